//! `rtm send`: logs in, sends one message, says what became of it.

use std::io::Write as _;

use anyhow::Context as _;
use rtm_client::{Client, SendMessageOptions};
use serde_json::json;

use crate::connect::{Stop, User};

/// Send one message to a user or to a channel.
///
/// Sent to a user, it prints {"has_peer_received":true} when the user's device has it, else false.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    to: Receiver,
    /// Have the server keep it for a user who is offline.
    #[arg(long, conflicts_with = "channel")]
    offline: bool,
    /// The message.
    text: String,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Receiver {
    /// To this user.
    #[arg(long = "to", value_name = "PEER")]
    peer: Option<String>,
    /// To the members of this channel, which is joined for it.
    #[arg(long, value_name = "ROOM")]
    channel: Option<String>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (client, events) = args.user.client()?;
    drop(events);
    let sent = tokio::select! {
        sent = args.send(&client) => sent,
        () = stop.asked() => Err(anyhow::anyhow!("interrupted: the message may or may not have been sent")),
    };
    // Whatever came of it, the user should not stay online without a device.
    let _ = client.logout().await;
    if let Some(line) = sent? {
        writeln!(std::io::stdout(), "{line}").context("cannot write to standard output")?;
    }
    Ok(())
}

impl Args {
    async fn send(&self, client: &Client) -> anyhow::Result<Option<serde_json::Value>> {
        self.user.login(client).await?;
        if let Some(room) = &self.to.channel {
            let channel = client.channel(room).with_context(|| format!("{room:?} is not a channel"))?;
            channel.join().await.with_context(|| format!("cannot join {room}"))?;
            channel.send_message(self.text.as_str()).await.context("the message was not sent")?;
            return Ok(None);
        }
        let peer = self.to.peer.as_deref().context("say --to or --channel")?;
        let options = SendMessageOptions { enable_offline_messaging: self.offline, ..SendMessageOptions::default() };
        let sent = client.send_message_to_peer_with(peer, self.text.as_str(), options).await;
        let outcome = sent.context("the message was not sent")?;
        Ok(Some(json!({ "has_peer_received": outcome.has_peer_received() })))
    }
}
