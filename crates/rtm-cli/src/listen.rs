//! `rtm listen`: logs in and prints every event.

use std::{
    io::{self, Write as _},
    ops::ControlFlow,
    pin::pin,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context as _;
use clap::ValueEnum;
use futures::{FutureExt as _, StreamExt as _};
use rtm_client::{ChannelId, Client, ConnectionState, Events, RtmEvent, UserId};
use serde::{Serialize, Serializer};

use crate::{
    connect::{Stop, User},
    readable,
};

/// Log in and print every event, until SIGINT or SIGTERM.
///
/// A user has one session: a second login with the same --uid, also by `rtm send`, ends this one with ABORTED, REMOTE_LOGIN.
/// Use different user ids.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    /// Also print whether this user is online, and each change. Can be repeated.
    #[arg(long, value_name = "PEER", num_args = 1..)]
    subscribe: Vec<UserId>,
    /// Join this channel and print its messages and changes. Can be repeated.
    #[arg(long, value_name = "ROOM", num_args = 1..)]
    channel: Vec<ChannelId>,
    /// Accept every call invitation.
    #[arg(long)]
    accept_invitations: bool,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Json)]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One JSON object per line; ts is the time in UTC.
    Json,
    /// Lines for people, coloured on a terminal.
    Text,
}

/// An event, and when it happened.
#[derive(Serialize)]
struct Timed<'a> {
    #[serde(flatten)]
    event: &'a RtmEvent,
    ts: Utc,
}

/// A moment, as RFC 3339 writes it.
struct Utc(SystemTime);

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (client, mut events) = args.user.client(false)?;
    let mut setup = pin!(args.setup(&client).fuse());
    loop {
        tokio::select! {
            biased;
            event = events.next() => {
                let event = event.context("the client has ended")?;
                if args.happened(&client, &event)?.is_break() {
                    return Ok(());
                }
            }
            result = &mut setup => if result.is_err() {
                // Why it failed may be among the events that came before the result.
                args.print_waiting(&mut events)?;
                return result;
            },
            () = stop.asked() => break,
        }
    }
    // Events go on until the server has taken the logout.
    let mut logout = pin!(client.logout().fuse());
    loop {
        tokio::select! {
            biased;
            Some(event) = events.next() => if args.print(&event)?.is_break() { return Ok(()) },
            // The events that belong to it came before, perhaps since they were looked for.
            _ = &mut logout => return args.print_waiting(&mut events),
        }
    }
}

impl Args {
    async fn setup(&self, client: &Client) -> anyhow::Result<()> {
        self.user.login(client).await?;
        if !self.subscribe.is_empty() {
            client.subscribe_peers_online_status(&self.subscribe).await.context("cannot subscribe")?;
        }
        for room in &self.channel {
            let channel = client.channel(room)?;
            channel.join().await.with_context(|| format!("cannot join {room}"))?;
        }
        Ok(())
    }

    fn print_waiting(&self, events: &mut Events) -> anyhow::Result<()> {
        while let Some(event) = events.try_recv() {
            if self.print(&event)?.is_break() {
                break;
            }
        }
        Ok(())
    }

    fn happened(&self, client: &Client, event: &RtmEvent) -> anyhow::Result<ControlFlow<()>> {
        if self.print(event)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        match event {
            RtmEvent::RemoteInvitationReceived { invitation, .. } if self.accept_invitations => {
                let (client, invitation) = (client.clone(), invitation.clone());
                tokio::spawn(async move {
                    if let Err(error) = client.accept_invitation(&invitation, "").await {
                        tracing::warn!("cannot accept the invitation from {}: {error:#}", invitation.caller_id);
                    }
                });
            }
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. } => {
                anyhow::bail!("the server ended the session: {reason}");
            }
            RtmEvent::TokenNeeded { error, .. } => anyhow::bail!("a new token is required: {error}"),
            _ => {}
        }
        Ok(ControlFlow::Continue(()))
    }

    /// Writes one line and flushes it. Breaks when nobody reads any more, as in `rtm listen | head`.
    fn print(&self, event: &RtmEvent) -> anyhow::Result<ControlFlow<()>> {
        let line = match self.format {
            Format::Json => serde_json::to_string(&Timed { event, ts: Utc(moment(event)) })?,
            Format::Text => readable::line(event, SystemTime::now()),
        };
        let mut stdout = anstream::stdout().lock();
        match writeln!(stdout, "{line}").and_then(|()| stdout.flush()) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(ControlFlow::Break(())),
            Err(error) => Err(error).context("cannot write to standard output"),
        }
    }
}

/// When it happened: of messages, when the server took them, and of all else, now.
fn moment(event: &RtmEvent) -> SystemTime {
    let told = event.server_received_ts().filter(|ms| *ms < YEAR_10000_MS);
    told.map_or_else(SystemTime::now, |ms| UNIX_EPOCH + Duration::from_millis(ms))
}

/// What no date in RFC 3339 is as late as.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

#[cfg(test)]
mod tests {
    use rtm_client::{ReceivedMessageProperties, RtmMessage};

    use super::*;

    fn ts(server_received_ts: u64) -> String {
        let event = RtmEvent::message_from_peer(
            "bob".parse().unwrap(),
            RtmMessage::text("hi"),
            ReceivedMessageProperties::new(true, server_received_ts),
        );
        let line = serde_json::to_value(Timed { event: &event, ts: Utc(moment(&event)) }).unwrap();
        line["ts"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_message_has_the_time_at_which_the_server_took_it() {
        assert_eq!(ts(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(ts(YEAR_10000_MS - 1), "9999-12-31T23:59:59.999Z");
        assert!(ts(u64::MAX).starts_with("20"), "a server that makes no sense is not asked");
    }
}
