//! `rtm listen`: logs in and prints every event.

use std::pin::pin;

use anyhow::Context as _;
use futures::{FutureExt as _, StreamExt as _};
use rtm_client::{ChannelId, Client, Events, RtmEvent, UserId};

use crate::{
    connect::{Stop, User, goes_on},
    output::{self, Format},
    readable::{self, Timed},
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

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (client, mut events) = args.user.client(false)?;
    let mut setup = pin!(args.setup(&client).fuse());
    loop {
        tokio::select! {
            biased;
            event = events.next() => {
                let event = event.context("the client has ended")?;
                args.happened(&client, &event)?;
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
            Some(event) = events.next() => args.print(&event)?,
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
            self.print(&event)?;
        }
        Ok(())
    }

    fn happened(&self, client: &Client, event: &RtmEvent) -> anyhow::Result<()> {
        self.print(event)?;
        match event {
            RtmEvent::RemoteInvitationReceived { invitation, .. } if self.accept_invitations => {
                let (client, invitation) = (client.clone(), invitation.clone());
                tokio::spawn(async move {
                    if let Err(error) = client.accept_invitation(&invitation, "").await {
                        tracing::warn!("cannot accept the invitation from {}: {error:#}", invitation.caller_id);
                    }
                });
            }
            event => goes_on(event)?,
        }
        Ok(())
    }

    fn print(&self, event: &RtmEvent) -> anyhow::Result<()> {
        match self.format {
            Format::Json => output::json(&Timed::event(event)),
            Format::Text => output::line(readable::line(event)),
        }
    }
}
