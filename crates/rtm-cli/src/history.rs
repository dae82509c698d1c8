//! `rtm history`: the messages that were sent to be kept.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use anyhow::Context as _;
use rtm_client::{ChannelId, Client, History, HistoryQuery, StoredMessage, UserId};

use crate::{
    connect::User,
    exit::WrongArgument,
    output::{self, Format},
    readable::{self, Timed},
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
    if let (Some(since), Some(until)) = (args.since, args.until)
        && since >= until
    {
        let what = "--until is not later than --since, so nothing is between them: 2h ago is before 1h ago";
        return Err(WrongArgument(what.to_owned()).into());
    }
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

/// A moment, or how long ago it was.
fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    let ago: Duration = humantime::parse_duration(text)
        .map_err(|_| "it is neither a time like 2030-01-31T12:00:00Z nor a duration like 90m".to_owned())?;
    SystemTime::now().checked_sub(ago).ok_or_else(|| "it is too long ago".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_such_or_as_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:01:00Z"), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(60)));
        let ago = moment("90m").unwrap().elapsed().unwrap();
        assert!((5400..5460).contains(&ago.as_secs()), "{ago:?}");
        assert!(moment("yesterday").is_err());
        assert!(moment("1000000000000y").is_err());
    }
}
