//! `rtm top`: a server at a glance, again and again.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use hyper::Method;
use rtm_server::AppId;
use serde_json::Value;
use tokio::time::sleep;

use super::{listener::Listener, shown};
use crate::{connect::Stop, output};

/// What is watched.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Show one picture and end.
    #[arg(long)]
    once: bool,
    /// Only this project.
    #[arg(long, env = "RTM_APP_ID", value_name = "APPID")]
    app_id: Option<AppId>,
    /// How many sessions to show of each project.
    #[arg(long, default_value_t = 10)]
    sessions: usize,
    /// Seconds between two pictures.
    #[arg(long, default_value_t = 2.0, value_parser = pause)]
    every: f64,
}

/// Counters of each project at one moment.
#[derive(Debug)]
struct Seen {
    at: Instant,
    counters: BTreeMap<String, [u64; COUNTERS.len()]>,
}

pub(super) async fn run(args: Args, listener: &Listener) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let is_terminal = std::io::stdout().is_terminal();
    let is_plain = !output::has_colours(&std::io::stdout());
    let mut before = None;
    loop {
        let (picture, seen) = picture(&args, listener, before.as_ref(), is_plain).await?;
        if args.once || !is_terminal {
            output::text(&picture)?;
        } else {
            // Each line is drawn over the one before and the rest cleared, so that nothing flickers.
            output::bytes(format!("{HOME}{}{CLEAR_REST}", picture.replace('\n', CLEAR_LINE)).as_bytes())?;
        }
        if args.once {
            return Ok(());
        }
        before = Some(seen);
        tokio::select! {
            () = sleep(Duration::from_secs_f64(args.every)) => {}
            () = stop.asked() => return Ok(()),
        }
    }
}

async fn picture(
    args: &Args,
    listener: &Listener,
    before: Option<&Seen>,
    is_plain: bool,
) -> anyhow::Result<(String, Seen)> {
    let get = async |path: &str| listener.ask(Method::GET, path, None).await;
    let projects = get("/projects").await?;
    let mut seen = Seen { at: Instant::now(), counters: BTreeMap::new() };
    let [bold, red, plain] = if is_plain { [""; 3] } else { ["\x1b[1m", "\x1b[31m", "\x1b[0m"] };
    let mut out = String::new();
    // A key of some projects sees only those.
    if let Ok(server) = get("/server").await {
        let ready = match server["ready"].as_bool() {
            Some(true) => "ready".to_owned(),
            _ => format!("{red}not ready: {}{plain}", texts(&server["reasons"])),
        };
        writeln!(
            out,
            "{bold}rtm {}{plain}  {ready}  connections {} of {}  since {}",
            text(&server["version"]),
            server["connections"],
            server["connections_limit"],
            text(&server["started"]),
        )?;
    }
    for project in projects["items"].as_array().into_iter().flatten() {
        let app_id = text(&project["app_id"]);
        if args.app_id.as_ref().is_some_and(|wanted| wanted.as_str() != app_id) {
            continue;
        }
        let counters = COUNTERS.map(|(name, _)| project[name].as_u64().unwrap_or_default());
        writeln!(
            out,
            "\n{bold}{app_id}{plain}  connections {}  sessions {}  online {}  channels {}  invitations {}",
            project["connections"],
            project["sessions"],
            project["users_online"],
            project["channels"],
            project["invitations"],
        )?;
        let earlier = before.and_then(|before| Some((before.at, before.counters.get(&app_id)?)));
        for (place, (name, what)) in COUNTERS.iter().enumerate() {
            let rate = earlier.map(|(at, earlier)| {
                let seconds = seen.at.duration_since(at).as_secs_f64().max(0.001);
                counters[place].saturating_sub(earlier[place]) as f64 / seconds
            });
            let color = if *name == "refused_calls" && rate.unwrap_or(0.0) > 0.0 { red } else { "" };
            match rate {
                Some(rate) => write!(out, "  {color}{what} {rate:.1}/s{}", if color.is_empty() { "" } else { plain })?,
                None => write!(out, "  {what} {}", counters[place])?,
            }
        }
        out.push('\n');
        seen.counters.insert(app_id.clone(), counters);
        let path = format!("/projects/{app_id}/sessions?sort=queued_bytes&limit={}", args.sessions.clamp(1, 1000));
        let sessions = get(&path).await?;
        let items = sessions["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        if !items.is_empty() {
            writeln!(
                out,
                "  {bold}{:>12} {:>8} {:>9} {:>11}  {:<22} USER{plain}",
                "QUEUED BYTES", "EVENTS", "SILENT", "STATE", "ADDRESS"
            )?;
        }
        for session in items {
            writeln!(
                out,
                "  {:>12} {:>8} {:>8.1}s {:>11}  {:<22} {}",
                // A value takes no notice of a width.
                session["queued_bytes"].to_string(),
                session["queued_events"].to_string(),
                session["silent_ms"].as_f64().unwrap_or_default() / 1000.0,
                text(&session["state"]),
                text(&session["address"]),
                text(&session["user_id"]),
            )?;
        }
    }
    Ok((out, seen))
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| "-".to_owned(), shown)
}

fn texts(value: &Value) -> String {
    value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>().join(", ")
}

fn pause(text: &str) -> Result<f64, String> {
    let seconds: f64 = text.parse().map_err(|_| "it is not a number of seconds".to_owned())?;
    if (0.1..=3600.0).contains(&seconds) { Ok(seconds) } else { Err("it is from 0.1 to 3600".to_owned()) }
}

/// What is counted, as the server calls it, and as it is shown.
const COUNTERS: [(&str, &str); 5] = [
    ("peer_messages", "peer messages"),
    ("channel_messages", "channel messages"),
    ("events", "events"),
    ("calls", "calls"),
    ("refused_calls", "refused calls"),
];
/// Goes to the first line of the screen.
const HOME: &str = "\x1b[H";
/// Clears what stands right of the cursor, and goes to the next line.
const CLEAR_LINE: &str = "\x1b[K\n";
/// Clears what stands below the cursor.
const CLEAR_REST: &str = "\x1b[J";
