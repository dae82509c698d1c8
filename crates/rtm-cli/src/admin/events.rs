//! `rtm admin events`: the log of events of a project, as far as it goes or as it grows.

use clap::ArgGroup;
use hyper::Method;
use serde_json::Value;

use super::{call::more, listener::Listener, shown::shown};
use crate::output;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Only events behind this number. By default from the oldest that is kept.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Only what happens to this user.
    #[arg(long, value_name = "USER", conflicts_with = "channel")]
    user: Option<String>,
    /// Only what happens in this channel.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only these types: user.online, user.*. Can be repeated.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// At most so many events, the first ones.
    #[arg(long, value_name = "COUNT")]
    limit: Option<u64>,
    /// Go on with what comes, until this is stopped.
    #[arg(long)]
    follow: bool,
}

/// What happens to one user, or in one channel.
#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("whose").required(true).args(["user", "channel"]))]
pub(super) struct TapArgs {
    /// What happens to this user.
    #[arg(long, value_name = "USER")]
    user: Option<String>,
    /// What happens in this channel.
    #[arg(long, value_name = "CHANNEL")]
    channel: Option<String>,
    /// Only these types: user.online, user.*. Can be repeated.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
}

/// Which events are printed.
#[derive(Debug)]
pub(super) struct Wanted {
    after: Option<u64>,
    /// Without `after`: from now on.
    live: bool,
    limit: Option<u64>,
    follow: bool,
    user: Option<String>,
    channel: Option<String>,
    types: Vec<String>,
}

impl From<Args> for Wanted {
    fn from(Args { after, user, channel, types, limit, follow }: Args) -> Self {
        Self { after, live: false, limit, follow, user, channel, types }
    }
}

impl From<TapArgs> for Wanted {
    fn from(TapArgs { user, channel, types }: TapArgs) -> Self {
        Self { after: None, live: true, limit: None, follow: true, user, channel, types }
    }
}

/// Prints events, one in a line.
pub(super) async fn run(app_id: &str, wanted: Wanted, is_json: bool, listener: &Listener) -> anyhow::Result<()> {
    let Wanted { mut after, live, limit, follow, user, channel, types } = wanted;
    let mut left = limit.unwrap_or(u64::MAX);
    let types = Some(types.join(",")).filter(|types| !types.is_empty());
    let filters = more(&[("user_id", &user), ("channel_id", &channel), ("types", &types)]);
    while left > 0 {
        let most = left.min(LIMIT);
        let mut path = format!("/projects/{app_id}/events?limit={most}{filters}");
        match after {
            Some(after) => path.push_str(&format!("&after={after}")),
            None if live => path.push_str("&live=true"),
            None => {}
        }
        if follow {
            path.push_str("&wait=20s");
        }
        let answer = listener.ask(Method::GET, &path, None).await?;
        let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
        {
            let lines = events.iter().map(|event| if is_json { event.to_string() } else { line(event) });
            output::text(&lines.map(|line| line + "\n").collect::<String>())?;
        }
        left = left.saturating_sub(events.len() as u64);
        let next = answer["next"].as_u64();
        if events.is_empty() && !follow {
            return Ok(());
        }
        after = next.filter(|next| *next > 0).or(after);
    }
    Ok(())
}

/// The number, time and type of an event, and its data behind their names.
fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), shown);
    let mut line = format!("{} {} {}", event["seq"], text(&event["time"]), text(&event["type"]));
    for (name, value) in event["data"].as_object().into_iter().flatten() {
        line.push_str(&format!(" {name}={}", text(value)));
    }
    line
}

/// How many events are asked for at once.
const LIMIT: u64 = 1000;
