//! `rtm top`: a server, or all nodes of a cluster, at a glance, again and again.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    io::IsTerminal as _,
    time::{Duration, Instant},
};

use hyper::Method;
use rtm_server::AppId;
use serde_json::Value;
use tokio::time::sleep;

use super::{call::encoded, listener::Listener, shown::shown};
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

/// Counters at one moment: of each project at each node, since a node that starts again begins with nothing.
#[derive(Debug)]
struct Seen {
    at: Instant,
    counters: BTreeMap<(String, String), [u64; COUNTERS.len()]>,
}

/// What a server says, or each node of a cluster.
#[derive(Debug)]
struct Node {
    /// Its name; empty where there is no cluster, or where the key may not know it.
    name: String,
    /// Its state, unless the key is for some projects only.
    server: Option<Value>,
    /// Its projects, or why it does not say.
    projects: Result<Value, String>,
}

/// What is shown at once.
#[derive(Debug)]
struct Picture {
    at: Instant,
    nodes: Vec<Node>,
    /// Of each project the sessions for which most waits, or why they are not known.
    sessions: BTreeMap<String, Result<Value, String>>,
}

pub(super) async fn run(args: Args, listener: &Listener) -> anyhow::Result<()> {
    let mut stop = Stop::new()?;
    let is_terminal = std::io::stdout().is_terminal();
    let is_plain = !output::has_colours(&std::io::stdout());
    let mut before = None;
    loop {
        let picture = look(&args, listener).await?;
        let seen = picture.counters();
        let picture = draw(&picture, &seen, before.as_ref(), is_plain)?;
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

/// Asks for all of it. In a cluster that is what all nodes say, unless one is named.
async fn look(args: &Args, listener: &Listener) -> anyhow::Result<Picture> {
    let get = async |path: &str| listener.ask(Method::GET, path, None).await;
    let mut names: Vec<String> = Vec::new();
    // Without a cluster, or with a key of some projects, this is refused.
    if let Ok(cluster) = get("/cluster").await {
        match listener.node() {
            Some(node) => names.push(node.to_owned()),
            None => names.extend(cluster["nodes"].as_array().into_iter().flatten().map(|node| name_of(&node["node"]))),
        }
    }
    let mut nodes = Vec::new();
    if names.is_empty() {
        let projects = get("/projects").await?;
        nodes.push(Node { name: String::new(), server: get("/server").await.ok(), projects: Ok(projects) });
    }
    for name in names {
        let at = |path: &str| match listener.node() {
            Some(_) => path.to_owned(),
            None => format!("{path}?node={}", encoded(&name)),
        };
        let projects = get(&at("/projects")).await.map_err(|error| format!("{error:#}"));
        let server = match &projects {
            Ok(_) => get(&at("/server")).await.ok(),
            Err(_) => None,
        };
        nodes.push(Node { name, server, projects });
    }
    if let Some(error) = nodes.iter().all(|node| node.projects.is_err()).then(|| nodes.first()?.projects.as_ref().err())
    {
        anyhow::bail!("{}", error.map_or("there is no node", String::as_str));
    }
    let mut picture = Picture { at: Instant::now(), nodes, sessions: BTreeMap::new() };
    if let Some(wanted) = &args.app_id
        && !picture.app_ids().contains(wanted.as_str())
        && picture.nodes.iter().all(|node| node.projects.is_ok())
    {
        anyhow::bail!("there is no project {wanted} at {}, or the key is not for it", listener.url());
    }
    for app_id in picture.app_ids() {
        if args.app_id.as_ref().is_some_and(|wanted| wanted.as_str() != app_id) {
            picture.drop_project(&app_id);
            continue;
        }
        let path = format!("/projects/{app_id}/sessions?sort=queued_bytes&limit={}", args.sessions.clamp(1, 1000));
        let sessions = get(&path).await.map_err(|error| format!("{error:#}"));
        picture.sessions.insert(app_id, sessions);
    }
    Ok(picture)
}

impl Picture {
    /// Each project of each node that answers.
    fn projects(&self) -> impl Iterator<Item = (&Node, &Value)> {
        self.nodes.iter().flat_map(|node| {
            let items = node.projects.as_ref().ok().and_then(|projects| projects["items"].as_array());
            items.into_iter().flatten().map(move |project| (node, project))
        })
    }

    fn app_ids(&self) -> BTreeSet<String> {
        self.projects().map(|(_, project)| name_of(&project["app_id"])).collect()
    }

    fn drop_project(&mut self, app_id: &str) {
        for projects in self.nodes.iter_mut().filter_map(|node| node.projects.as_mut().ok()) {
            if let Some(items) = projects["items"].as_array_mut() {
                items.retain(|project| project["app_id"] != app_id);
            }
        }
    }

    fn counters(&self) -> Seen {
        let counters = self.projects().map(|(node, project)| {
            let counters = COUNTERS.map(|(name, _)| project[name].as_u64().unwrap_or_default());
            ((name_of(&project["app_id"]), node.name.clone()), counters)
        });
        Seen { at: self.at, counters: counters.collect() }
    }
}

impl Seen {
    /// What all nodes have counted of a project.
    fn total(&self, app_id: &str, counter: usize) -> u64 {
        self.of(app_id).map(|(_, counters)| counters[counter]).sum()
    }

    /// How much that is in a second since then, of the nodes that were seen at both times.
    fn rate(&self, app_id: &str, counter: usize, before: &Self) -> f64 {
        let seconds = self.at.duration_since(before.at).as_secs_f64().max(0.001);
        let more = self
            .of(app_id)
            .filter_map(|(key, counters)| Some(counters[counter].saturating_sub(before.counters.get(key)?[counter])));
        more.sum::<u64>() as f64 / seconds
    }

    fn of(&self, app_id: &str) -> impl Iterator<Item = (&(String, String), &[u64; COUNTERS.len()])> {
        self.counters.iter().filter(move |((known, _), _)| known == app_id)
    }
}

/// The picture as text. Figures of a project are those of all nodes that answer.
fn draw(picture: &Picture, seen: &Seen, before: Option<&Seen>, is_plain: bool) -> anyhow::Result<String> {
    let [bold, red, plain] = if is_plain { [""; 3] } else { ["\x1b[1m", "\x1b[31m", "\x1b[0m"] };
    let mut out = String::new();
    for node in &picture.nodes {
        let name = if node.name.is_empty() { String::new() } else { format!("{}  ", shown(&node.name)) };
        if let Err(why) = &node.projects {
            writeln!(out, "{bold}{name}{plain}{red}its figures are missing: {}{plain}", shown(why))?;
        }
        let Some(server) = &node.server else { continue };
        let ready = match server["ready"].as_bool() {
            Some(true) => "ready".to_owned(),
            _ => format!("{red}not ready: {}{plain}", texts(&server["reasons"])),
        };
        writeln!(
            out,
            "{bold}{name}rtm {}{plain}  {ready}  connections {} of {}  since {}",
            text(&server["version"]),
            server["connections"],
            server["connections_limit"],
            text(&server["started"]),
        )?;
    }
    for app_id in picture.app_ids() {
        let of_project = || picture.projects().filter(|(_, project)| project["app_id"] == app_id.as_str());
        let sum = |name: &str| of_project().filter_map(|(_, project)| project[name].as_u64()).sum::<u64>();
        let nodes = match of_project().count() {
            1 => String::new(),
            count => format!("  nodes {count}"),
        };
        writeln!(
            out,
            "\n{bold}{}{plain}{nodes}  connections {}  sessions {}  online {}  channels {}  invitations {}",
            shown(&app_id),
            sum("connections"),
            sum("sessions"),
            sum("users_online"),
            sum("channels"),
            sum("invitations"),
        )?;
        for (place, (name, what)) in COUNTERS.iter().enumerate() {
            let rate = before.map(|before| seen.rate(&app_id, place, before));
            let color = if *name == "refused_calls" && rate.unwrap_or(0.0) > 0.0 { red } else { "" };
            match rate {
                Some(rate) => write!(out, "  {color}{what} {rate:.1}/s{}", if color.is_empty() { "" } else { plain })?,
                None => write!(out, "  {what} {}", seen.total(&app_id, place))?,
            }
        }
        out.push('\n');
        let sessions = match picture.sessions.get(&app_id) {
            Some(Ok(sessions)) => sessions,
            Some(Err(why)) => {
                writeln!(out, "  {red}sessions: {}{plain}", shown(why))?;
                continue;
            }
            None => continue,
        };
        let items = sessions["items"].as_array().map(Vec::as_slice).unwrap_or_default();
        let node_of = |session: &Value| session["node"].as_str().map(shown);
        if picture.nodes.iter().all(|node| node.name.is_empty()) && items.iter().any(|one| node_of(one).is_some()) {
            writeln!(out, "  the figures are of one node, the sessions of all nodes")?;
        }
        if !items.is_empty() {
            let node = if items.iter().any(|one| node_of(one).is_some()) { "  NODE" } else { "" };
            writeln!(
                out,
                "  {bold}{:>12} {:>8} {:>9} {:>11}  {:<22} USER{node}{plain}",
                "QUEUED BYTES", "EVENTS", "SILENT", "STATE", "ADDRESS"
            )?;
        }
        for session in items {
            writeln!(
                out,
                "  {:>12} {:>8} {:>8.1}s {:>11}  {:<22} {}{}",
                // A value takes no notice of a width.
                session["queued_bytes"].to_string(),
                session["queued_events"].to_string(),
                session["silent_ms"].as_f64().unwrap_or_default() / 1000.0,
                text(&session["state"]),
                text(&session["address"]),
                text(&session["user_id"]),
                node_of(session).map_or(String::new(), |node| format!("  {node}")),
            )?;
        }
    }
    Ok(out)
}

fn name_of(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
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

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const APP: &str = "0123456789abcdef0123456789abcdef";

    fn node(name: &str, sessions: u64, calls: u64) -> Node {
        let project = json!({
            "app_id": APP, "connections": sessions, "sessions": sessions, "users_online": sessions, "channels": 1,
            "invitations": 0, "peer_messages": 0, "channel_messages": 0, "events": 0, "calls": calls, "refused_calls": 0,
        });
        let server = json!({ "version": "1.0", "ready": true, "connections": sessions, "connections_limit": 9, "started": "today" });
        Node { name: name.to_owned(), server: Some(server), projects: Ok(json!({ "items": [project] })) }
    }

    fn picture(at: Instant, nodes: Vec<Node>) -> Picture {
        let session = json!({ "user_id": "alice", "node": "rtm-2", "state": "online", "queued_bytes": 5, "queued_events": 1, "silent_ms": 10 });
        let sessions = [(APP.to_owned(), Ok(json!({ "items": [session] })))];
        Picture { at, nodes, sessions: sessions.into() }
    }

    #[test]
    fn a_cluster_is_shown_node_by_node_and_its_projects_as_their_sums() {
        let first = picture(Instant::now(), vec![node("rtm-1", 2, 100), node("rtm-2", 3, 50)]);
        let before = first.counters();
        let text = draw(&first, &before, None, true).unwrap();
        assert!(text.contains("rtm-1  rtm 1.0  ready  connections 2 of 9"), "{text}");
        assert!(text.contains("rtm-2  rtm 1.0  ready  connections 3 of 9"), "{text}");
        assert!(text.contains(&format!("{APP}  nodes 2  connections 5  sessions 5  online 5")), "{text}");
        assert!(text.contains("calls 150"), "{text}");
        assert!(text.lines().any(|line| line.ends_with("alice  rtm-2")), "{text}");

        // One has started again, one is new: what they count since their start is no rate.
        let nodes = vec![node("rtm-1", 2, 120), node("rtm-2", 3, 7), node("rtm-3", 1, 9000)];
        let later = picture(first.at + Duration::from_secs(2), nodes);
        let text = draw(&later, &later.counters(), Some(&before), true).unwrap();
        assert!(text.contains("nodes 3") && text.contains("  calls 10.0/s"), "{text}");
    }

    #[test]
    fn a_node_whose_figures_are_missing_is_named() {
        let mut silent = node("rtm-2", 0, 0);
        silent.server = None;
        silent.projects = Err("the node rtm-2 does not answer: nobody listens there".to_owned());
        let shown = picture(Instant::now(), vec![node("rtm-1", 2, 100), silent]);
        let text = draw(&shown, &shown.counters(), None, true).unwrap();
        assert!(text.contains("rtm-2  its figures are missing"), "{text}");
        assert!(text.contains(&format!("{APP}  connections 2 ")), "{text}");
    }

    #[test]
    fn a_key_of_some_projects_learns_that_the_figures_are_of_one_node() {
        let mut only = node("", 2, 100);
        only.server = None;
        let shown = picture(Instant::now(), vec![only]);
        let text = draw(&shown, &shown.counters(), None, true).unwrap();
        assert!(text.contains("the figures are of one node, the sessions of all nodes"), "{text}");
    }
}
