//! `rtm send`: logs in, sends one message or one for each line, says what became of it.

mod lines;
mod report;

use anyhow::Context as _;
use clap::ValueEnum;
use rtm_client::{ChannelId, Client, RtmError, RtmMessage, SendMessageOptions, SendOutcome, UserId};

use self::report::{Report, Sent};
use crate::{
    connect::{Stop, User},
    exit::Unmet,
};

/// Send a message to a user or to a channel, or one for each line of standard input.
///
/// It prints a line of JSON that says what became of the message. Its outcome is delivered: the user's device has it;
/// stored: the user is offline, and gets it at the next login; not_received: the user is offline or does not answer;
/// accepted: the channel's members get it; refused: nobody gets it, with error, code and, where it was sent too often,
/// retry_after_ms; or unknown: the server had not answered in time, or before the connection was lost. It may have been sent.
///
/// A user has one session: whoever else is logged in as the same user is logged out. Send as another user than the one
/// that listens.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    to: Receiver,
    /// Have the server keep it for a user who is offline.
    #[arg(long, conflicts_with = "channel")]
    offline: bool,
    /// End with status 3 unless this became of every message; stored is met by delivered too.
    #[arg(long, value_name = "OUTCOME", value_enum, conflicts_with = "channel")]
    require: Option<Required>,
    /// Send each line of standard input as a message, in their order and as fast as the limits of the server allow. What
    /// became of each is printed in the same order, with the number of its line. Empty lines are left out. Lines that are
    /// under way when the connection breaks may end as unknown. Without a server it waits, and says so on standard error.
    #[arg(long, conflicts_with = "text")]
    lines: bool,
    /// The message. It may begin with a hyphen.
    #[arg(required_unless_present = "lines", allow_hyphen_values = true)]
    text: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Receiver {
    /// To this user.
    #[arg(long = "to", value_name = "PEER")]
    peer: Option<UserId>,
    /// To the members of this channel, which is joined for it.
    #[arg(long, value_name = "ROOM")]
    channel: Option<ChannelId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Required {
    /// The user's device has it.
    Delivered,
    /// The user's device has it, or gets it at the next login.
    Stored,
}

/// Where messages go.
#[derive(Debug, Clone)]
struct Sender {
    client: Client,
    to: To,
}

#[derive(Debug, Clone)]
enum To {
    Peer(UserId, SendMessageOptions),
    Channel(rtm_client::Channel),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (client, events) = args.user.client(args.lines)?;
    let sent = tokio::select! {
        sent = args.send(&client, events) => sent,
        () = stop.asked() => Err(anyhow::anyhow!(if client.user_id().is_some() {
            "interrupted: what was not reported may or may not have been sent"
        } else {
            "interrupted before the login: nothing was sent"
        })),
    };
    // Whatever came of it, the user should not stay online without a device.
    let _ = client.logout().await;
    sent
}

impl Args {
    async fn send(&self, client: &Client, events: rtm_client::Events) -> anyhow::Result<()> {
        self.user.login(client).await?;
        let sender = self.sender(client).await?;
        let Some(text) = &self.text else {
            return lines::send(&sender, events, |sent| self.is_met(sent)).await;
        };
        drop(events);
        let sent = Sent::from(sender.send(text.as_str().into()).await);
        Report { line: None, sent: &sent }.print()?;
        match sent {
            Sent::Failed(error) => Err(anyhow::Error::new(error).context("the message was not sent")),
            _ if self.is_met(&sent) => Ok(()),
            _ => Err(Unmet("the message was not received").into()),
        }
    }

    async fn sender(&self, client: &Client) -> anyhow::Result<Sender> {
        let to = match (&self.to.peer, &self.to.channel) {
            (Some(peer), _) => {
                let options = SendMessageOptions::new().enable_offline_messaging(self.offline);
                To::Peer(peer.clone(), options)
            }
            (None, Some(room)) => {
                let channel = client.channel(room)?;
                channel.join().await.with_context(|| format!("cannot join {room}"))?;
                To::Channel(channel)
            }
            (None, None) => anyhow::bail!("say --to or --channel"),
        };
        Ok(Sender { client: client.clone(), to })
    }

    /// Whether what became of a message is what was asked for.
    fn is_met(&self, sent: &Sent) -> bool {
        match (self.require, sent) {
            (None, _) | (_, Sent::Accepted | Sent::Peer(SendOutcome::Delivered)) => true,
            (Some(required), Sent::Peer(outcome)) => required == Required::Stored && *outcome == SendOutcome::Stored,
            (Some(_), Sent::Failed(_)) => false,
        }
    }
}

impl Sender {
    async fn send(&self, message: RtmMessage) -> Result<Option<SendOutcome>, RtmError> {
        match &self.to {
            To::Peer(peer, options) => self.client.send_message_to_peer_with(peer, message, *options).await.map(Some),
            To::Channel(channel) => channel.send_message(message).await.map(|()| None),
        }
    }
}
