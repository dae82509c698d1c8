//! `rtm admin events`: the log of events of a project, as far as it goes or as it grows.

use std::io::Write as _;

use rtm_server::AppId;
use serde_json::Value;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The project.
    #[arg(long, env = "RTM_APP_ID", value_name = "APPID")]
    app_id: AppId,
    /// Only events behind this number. By default from the oldest that is kept.
    #[arg(long, value_name = "SEQ")]
    after: Option<u64>,
    /// Only these types: user.online, user.*. Can be repeated.
    #[arg(long, value_name = "TYPE", value_delimiter = ',')]
    types: Vec<String>,
    /// Go on with what comes, until this is stopped.
    #[arg(long)]
    follow: bool,
}

/// Prints events, one in a line. `ask` gets the server's answer to a path.
pub(super) async fn run(
    Args { app_id, mut after, types, follow }: Args,
    is_json: bool,
    ask: impl AsyncFn(String) -> anyhow::Result<Value>,
) -> anyhow::Result<()> {
    let types = types.join(",");
    loop {
        let mut path = format!("/projects/{app_id}/events?limit={LIMIT}");
        if let Some(after) = after {
            path.push_str(&format!("&after={after}"));
        }
        if !types.is_empty() {
            path.push_str(&format!("&types={types}"));
        }
        if follow {
            path.push_str("&wait=20s");
        }
        let answer = ask(path).await?;
        let events = answer["events"].as_array().map_or(&[][..], Vec::as_slice);
        {
            let mut stdout = std::io::stdout().lock();
            for event in events {
                match is_json {
                    true => writeln!(stdout, "{event}")?,
                    false => writeln!(stdout, "{}", line(event))?,
                }
            }
            stdout.flush()?;
        }
        let next = answer["next"].as_u64();
        if events.is_empty() && !follow {
            return Ok(());
        }
        after = next.filter(|next| *next > 0).or(after);
    }
}

/// The number, time and type of an event, and its data behind their names.
fn line(event: &Value) -> String {
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    let mut line = format!("{} {} {}", event["seq"], text(&event["time"]), text(&event["type"]));
    for (name, value) in event["data"].as_object().into_iter().flatten() {
        line.push_str(&format!(" {name}={}", text(value)));
    }
    line
}

/// How many events are asked for at once.
const LIMIT: usize = 1000;
