//! `rtm send`: logs in, sends one message or one for each line, says what became of it.

mod lines;
mod report;

use anyhow::Context as _;
use clap::ValueEnum;
use rtm_client::{
    ChannelId, Client, RtmError, RtmMessage, SendChannelMessageOptions, SendMessageOptions, SendOutcome, UserId,
};

use self::report::{Report, Sent};
use crate::{
    connect::{Stop, User},
    exit::Unmet,
};

/// Send a message to a user or to a channel, or one message per line of standard input
///
/// Prints the outcome of each message as a line of JSON:
///
///   delivered     the user's device has it
///   stored        the user is offline and gets it at the next login
///   not_received  the user is offline, or the device did not confirm it in time
///   accepted      the server sends it to the channel's members
///   refused       nobody gets it; error and code say why, and retry_after_ms is
///                 there if a limit was reached
///   unknown       no answer in time, or the connection was lost before it: the
///                 message may have been sent
///
/// A user has one session: this login ends any other session of the same --uid, also
/// one of `rtm listen`. Use different user ids.
#[derive(Debug, clap::Args)]
#[command(verbatim_doc_comment)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    to: Receiver,
    /// Store the message on the server if the user is offline.
    #[arg(long, conflicts_with = "channel")]
    offline: bool,
    /// Keep the message in the history of the channel, or in that of both users.
    #[arg(long)]
    history: bool,
    /// Exit with status 3 unless every message has this outcome. delivered satisfies stored too.
    #[arg(long, value_name = "OUTCOME", value_enum, conflicts_with = "channel")]
    require: Option<Required>,
    /// Send each line of standard input as a message, in order and as fast as the server's limits allow. Outcomes are
    /// printed in the same order, with the number of the line. Empty lines are skipped. If the connection is lost, messages
    /// under way may end as unknown. While there is no server it waits, and says so on standard error.
    #[arg(long, conflicts_with = "text")]
    lines: bool,
    /// Message text. It may start with a hyphen.
    #[arg(required_unless_present = "lines", allow_hyphen_values = true)]
    text: Option<String>,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Receiver {
    /// User to send to.
    #[arg(long = "to", value_name = "PEER")]
    peer: Option<UserId>,
    /// Channel to send to. It is joined first.
    #[arg(long, value_name = "ROOM")]
    channel: Option<ChannelId>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Required {
    /// The user's device has it.
    Delivered,
    /// The user's device has it, or will get it at the next login.
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
    Channel(rtm_client::Channel, SendChannelMessageOptions),
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let (client, events) = args.user.client(args.lines)?;
    let sent = tokio::select! {
        sent = args.send(&client, events) => sent,
        () = stop.asked() => Err(anyhow::anyhow!(if client.user_id().is_some() {
            "interrupted: messages without an outcome may or may not have been sent"
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
            Sent::Failed(error) if report::is_unknown(&error) => {
                Err(anyhow::Error::new(error).context("it is not known whether the message was sent"))
            }
            Sent::Failed(error) => Err(anyhow::Error::new(error).context("the message was not sent")),
            _ if self.is_met(&sent) => Ok(()),
            _ => Err(Unmet("the message was not received").into()),
        }
    }

    async fn sender(&self, client: &Client) -> anyhow::Result<Sender> {
        let to = match (&self.to.peer, &self.to.channel) {
            (Some(peer), _) => {
                let options = SendMessageOptions::new()
                    .enable_offline_messaging(self.offline)
                    .enable_historical_messaging(self.history);
                To::Peer(peer.clone(), options)
            }
            (None, Some(room)) => {
                let channel = client.channel(room)?;
                channel.join().await.with_context(|| format!("cannot join {room}"))?;
                To::Channel(channel, SendChannelMessageOptions::new().enable_historical_messaging(self.history))
            }
            (None, None) => anyhow::bail!("use --to or --channel"),
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
            To::Channel(channel, options) => channel.send_message_with(message, *options).await.map(|()| None),
        }
    }
}
