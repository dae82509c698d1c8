//! `rtm history`: the messages that were sent to be kept.

use std::{collections::VecDeque, time::SystemTime};

use anyhow::Context as _;
use rtm_client::{ChannelId, Client, History, HistoryQuery, StoredMessage, UserId};

use crate::{
    connect::User,
    output::{self, Format},
    readable::{self, Timed},
    values::{in_order, moment},
};

/// Print messages of a channel's history, or those that --uid and another user sent each other, oldest first.
///
/// A history has the messages that were sent for it, as by `rtm send --history`. Only members can read that of a channel, so --uid
/// joins the channel for it.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    user: User,
    #[command(flatten)]
    of: Conversation,
    /// Only messages from this time on: 2030-01-31T12:00:00Z, or how long ago: 90m, 24h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// Only messages before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<SystemTime>,
    /// Only the last N of them.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    last: Option<u32>,
    /// Output format.
    #[arg(long, value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Conversation {
    /// Messages between --uid and this user.
    #[arg(long, value_name = "PEER")]
    peer: Option<UserId>,
    /// Messages of this channel.
    #[arg(long, value_name = "ROOM")]
    channel: Option<ChannelId>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    in_order(args.since, args.until)?;
    args.user.act(async |client| args.print(client).await).await
}

impl Args {
    async fn print(&self, client: &Client) -> anyhow::Result<()> {
        let mut query = HistoryQuery::new();
        query = self.since.map_or(query, |time| query.from(time));
        query = self.until.map_or(query, |time| query.until(time));
        let mut history = match (&self.of.peer, &self.of.channel) {
            (Some(peer), _) => client.peer_history(peer, query)?,
            (None, Some(room)) => {
                let channel = client.channel(room)?;
                channel.join().await.with_context(|| format!("cannot join {room}"))?;
                channel.history(query)
            }
            (None, None) => anyhow::bail!("use --peer or --channel"),
        };
        match self.last {
            Some(messages) => {
                last(&mut history, messages as usize).await?.iter().try_for_each(|message| self.line(message))
            }
            None => {
                while let Some(message) = history.try_next().await? {
                    self.line(&message)?;
                }
                Ok(())
            }
        }
    }

    fn line(&self, message: &StoredMessage) -> anyhow::Result<()> {
        match self.format {
            Format::Json => output::json(&Timed::stored(message)),
            Format::Text => output::line(readable::stored(message)),
        }
    }
}

/// The last messages of a history, which is read from its beginning.
pub(crate) async fn last(history: &mut History, messages: usize) -> anyhow::Result<VecDeque<StoredMessage>> {
    let mut last = VecDeque::new();
    while let Some(message) = history.try_next().await? {
        last.push_back(message);
        if last.len() > messages {
            last.pop_front();
        }
    }
    Ok(last)
}
