//! The calls of `rtm admin`, and the request that is sent for each.

use std::time::SystemTime;

use clap::{ArgGroup, builder::NonEmptyStringValueParser};
use hyper::Method;
use rtm_server::{AdminRole, AppId};
use serde_json::{Map, Value, json};

use super::{events, top};
use crate::{
    exit::WrongArgument,
    values::{duration_text, in_order, moment, moment_or},
};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Call {
    /// Make a key, without a server: prints it, and what to add to the configuration. It is nowhere else, so keep it.
    NewKey {
        /// Whose it is; it stands in the audit log.
        #[arg(long)]
        name: String,
        /// What it may do: read, operate (act on users too) or admin (act on the server too).
        #[arg(long)]
        role: AdminRole,
        /// Only for this project. Can be repeated.
        #[arg(long, value_name = "APPID")]
        project: Vec<AppId>,
    },
    /// Make a key for the REST API of back ends, without a server: prints its id and secret, and what to add to a project.
    NewRestKey {
        /// Its id, which a back end says in place of a user name. By default a random one.
        #[arg(long)]
        id: Option<String>,
    },
    /// Ask without a key whether clients should be sent to the server. Exits with status 1 unless it is ready: for the health checks of
    /// containers.
    Ready,
    /// Show what the key may do.
    Key,
    /// Show the server: version, connections, whether it is ready.
    Server,
    /// List its settings, with where each value comes from: default, file, environment, flag or program. Without secrets.
    Config {
        #[command(flatten)]
        part: Part,
        /// Only keys that begin so: log, admin.tls.
        #[arg(long)]
        prefix: Option<String>,
        /// Only those that have not their default.
        #[arg(long)]
        set: bool,
    },
    /// List the TLS certificates of all listeners: names, and how long each is valid.
    Certificates,
    /// List the nodes of its cluster.
    Cluster,
    /// List its projects.
    Projects,
    /// Watch the server: rates, connections, and the sessions for which most waits. Ctrl-C ends it.
    Top(top::Args),
    /// List the sessions of a project.
    Sessions {
        #[command(flatten)]
        list: List,
        /// Only users in this state: online, unreachable or offline.
        #[arg(long)]
        state: Option<String>,
        /// Only users whose ids begin so.
        #[arg(long)]
        prefix: Option<String>,
        /// Only clients on this wire: native or vendor.
        #[arg(long)]
        wire: Option<String>,
        /// Only clients at this address.
        #[arg(long)]
        address: Option<std::net::IpAddr>,
        /// Those that have most of it: queued_bytes, queued_events, silent_ms, channels, subscriptions, refused_calls,
        /// limited_calls, away_dropped, rtt_ms or connected_ms.
        #[arg(long, conflicts_with = "cursor")]
        sort: Option<String>,
    },
    /// List the last connections of a project that have ended, newest first, with the reason.
    Closed {
        #[command(flatten)]
        list: List,
        /// Only those that ended for this reason: kicked, banned, slow_consumer, gone …
        #[arg(long)]
        reason: Option<String>,
        /// Only users whose ids begin so.
        #[arg(long)]
        prefix: Option<String>,
        /// Only clients on this wire: native or vendor.
        #[arg(long)]
        wire: Option<String>,
        /// Only clients at this address.
        #[arg(long)]
        address: Option<std::net::IpAddr>,
    },
    /// Show a user: state, connection, channels, attributes, waiting messages, ban.
    User(User),
    /// End a user's session. Its client may log in again.
    Kick(User),
    /// End a user's session and refuse its logins.
    #[command(group = ArgGroup::new("how_long").required(true).args(["for", "until"]))]
    Ban {
        #[command(flatten)]
        user: User,
        /// For how long: 10m, 24h, 7d.
        #[arg(long, value_name = "TIME", value_parser = duration_text)]
        r#for: Option<String>,
        /// Until when: 2030-01-31T12:00:00Z, or forever.
        #[arg(long, value_name = "TIME", value_parser = moment_or("forever"))]
        until: Option<String>,
    },
    /// Let a banned user log in again.
    Unban(User),
    /// List the users of a project who are banned or have revoked tokens.
    Bans(List),
    /// Refuse tokens that were issued before a time, and end the sessions that use them.
    #[command(group = ArgGroup::new("whose").required(true).args(["user_id", "all"]))]
    RevokeTokens {
        /// The user; in its place --all is possible.
        #[arg(value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
        user_id: Option<String>,
        /// Revoke the tokens of all users of the project.
        #[arg(long)]
        all: bool,
        /// The time: 2030-01-31T12:00:00Z, or now. An earlier one than before takes back what was revoked since.
        #[arg(long, value_name = "TIME", default_value = "now", value_parser = moment_or("now"))]
        issued_before: String,
    },
    /// Have the server make a token with which a user logs in. Who has the certificate can do without: rtm token.
    Token {
        #[command(flatten)]
        user: User,
        /// For how long, at most 24h.
        #[arg(long, value_name = "TIME", default_value = "24h", value_parser = duration_text)]
        r#for: String,
        /// The format: 006, or 007, which contains the user id.
        #[arg(long, default_value = "006")]
        version: String,
    },
    /// Show what a token holds, and whether the server would let a user in with it.
    ExplainToken {
        /// The token.
        token: String,
        /// Who logs in with it. Tokens of the format 006 do not contain their user.
        #[arg(long, env = "RTM_UID")]
        uid: Option<String>,
    },
    /// Send a text to a user, in the name of any user.
    Send {
        #[command(flatten)]
        user: User,
        /// The text.
        text: String,
        /// In whose name.
        #[arg(long, value_name = "USER")]
        from: String,
        /// Store it if the user does not get it now.
        #[arg(long)]
        offline: bool,
        /// Keep it in the history.
        #[arg(long)]
        history: bool,
    },
    /// Send a text to a channel, in the name of any user.
    SendChannel {
        #[command(flatten)]
        channel: Channel,
        /// The text.
        text: String,
        /// In whose name.
        #[arg(long, value_name = "USER")]
        from: String,
        /// Keep it in the history.
        #[arg(long)]
        history: bool,
    },
    /// List messages of histories that a user sent. It is written down that you read them.
    History {
        #[command(flatten)]
        user: User,
        #[command(flatten)]
        history: HistoryPart,
        /// Those that it received from users instead.
        #[arg(long)]
        received: bool,
    },
    /// List messages of a channel's history. It is written down that you read them.
    ChannelHistory {
        #[command(flatten)]
        channel: Channel,
        #[command(flatten)]
        history: HistoryPart,
    },
    /// Count the messages that wait for a user.
    Stored(User),
    /// Remove the messages that wait for a user.
    DeleteStored(User),
    /// Remove what is kept of a user: messages that wait for it, messages in histories that it sent, subscriptions, attributes.
    DeleteData(User),
    /// List the channels of a project.
    Channels(List),
    /// Show a channel: its attributes, and how many members it has.
    Channel(Channel),
    /// List the members of a channel.
    Members {
        #[command(flatten)]
        channel: Channel,
        #[command(flatten)]
        part: Part,
    },
    /// Print the log of events of a project, one in a line.
    Events(events::Args),
    /// Print what happens to one user or in one channel, as it happens. Ctrl-C ends it.
    Tap(events::TapArgs),
    /// List the webhooks of a project: whether each works, how many events wait for it, and for how long.
    Webhooks,
    /// Send a webhook an event of the type webhook.test, and show what it answers.
    TestWebhook(Webhook),
    /// Send a webhook events once more.
    #[command(group = ArgGroup::new("from_where").required(true).args(["since", "after"]))]
    ReplayWebhook {
        #[command(flatten)]
        webhook: Webhook,
        /// Those since this time: 2030-01-31T12:00:00Z, or how long ago: 90m, 24h.
        #[arg(long, value_name = "TIME", value_parser = moment)]
        since: Option<SystemTime>,
        /// Those behind this number.
        #[arg(long, value_name = "SEQ")]
        after: Option<u64>,
    },
    /// List the last requests to a webhook, newest first, and what came of each.
    WebhookAttempts(Webhook),
    /// Send a webhook nothing until it is enabled. The events wait in the log.
    PauseWebhook(Webhook),
    /// Send events again to a webhook that is paused, or whose endpoint has said that it is gone. What failed is tried at once.
    EnableWebhook(Webhook),
    /// Shut the server down, clients first. With --status, only show how far that is.
    Drain {
        /// Only show how many are left.
        #[arg(long)]
        status: bool,
    },
    /// Have the server read its configuration again, as SIGHUP does: prints what has changed, and what needs a restart.
    Reload,
    /// Show the log's level, or set it: debug, info, warn, or as RTM_LOG has it.
    LogLevel {
        /// The new level.
        level: Option<String>,
    },
    /// Show how often the clients of a project may make each call, or set that: send_message=360/3s, get_members=unlimited, or
    /// query_history=configured for what the configuration says. It holds until the next reload or restart.
    Limits {
        /// New limits.
        #[arg(value_name = "CALL=LIMIT", value_parser = limit)]
        limits: Vec<(String, String)>,
    },
    /// List what operators changed, newest first.
    Audit(Part),
    /// Print the description of the admin API in OpenAPI, without a server.
    Openapi,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    part: Part,
}

#[derive(Debug, clap::Args)]
pub(super) struct Part {
    /// How many items at most, up to 1000; of a history up to 100.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u16).range(1..=1000))]
    limit: u16,
    /// Where to go on: what the last answer said.
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct HistoryPart {
    #[command(flatten)]
    part: Part,
    /// Only messages from this time on: 2030-01-31T12:00:00Z, or how long ago: 90m, 24h.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<SystemTime>,
    /// Only messages before this time.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    until: Option<SystemTime>,
    /// The newest first.
    #[arg(long)]
    newest_first: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct User {
    /// The user.
    #[arg(value_name = "USER", value_parser = NonEmptyStringValueParser::new())]
    user_id: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Channel {
    /// The channel.
    #[arg(value_name = "CHANNEL", value_parser = NonEmptyStringValueParser::new())]
    channel_id: String,
}

#[derive(Debug, clap::Args)]
pub(super) struct Webhook {
    /// The webhook.
    #[arg(value_name = "WEBHOOK", value_parser = NonEmptyStringValueParser::new())]
    name: String,
}

impl Call {
    /// Checks what options say together.
    pub(super) fn check(&self) -> Result<(), WrongArgument> {
        match self {
            Self::History { history, .. } | Self::ChannelHistory { history, .. } => {
                in_order(history.since, history.until)
            }
            _ => Ok(()),
        }
    }
}

/// What to send for a call.
pub(super) fn request(call: &Call, app_id: &str) -> (Method, String, Option<Value>) {
    let get = |path: String| (Method::GET, path, None);
    let project = |rest: &str| format!("/projects/{app_id}/{rest}");
    let user = |User { user_id }: &User, rest: &str| project(&format!("users/{}{rest}", encoded(user_id)));
    let channel =
        |Channel { channel_id }: &Channel, rest: &str| project(&format!("channels/{}{rest}", encoded(channel_id)));
    let webhook = |Webhook { name }: &Webhook, rest: &str| project(&format!("webhooks/{}{rest}", encoded(name)));
    let list = |List { part }: &List, what: &str| get(project(&format!("{what}?{}", query(part))));
    match call {
        // Most of these need no server, and events are asked for again and again.
        Call::NewKey { .. }
        | Call::NewRestKey { .. }
        | Call::Events(_)
        | Call::Tap(_)
        | Call::Openapi
        | Call::Ready
        | Call::Top(_)
        | Call::Server => get("/server".into()),
        Call::Key => get("/key".into()),
        Call::Config { part, prefix, set } => {
            let set = if *set { "&set=true" } else { "" };
            get(format!("/config?{}{}{set}", query(part), more(&[("prefix", prefix)])))
        }
        Call::Certificates => get("/certificates".into()),
        Call::Cluster => get("/cluster".into()),
        Call::Projects => get("/projects".into()),
        Call::Sessions { list: List { part }, state, prefix, wire, address, sort } => {
            let address = address.map(|address| address.to_string());
            let filters = [("state", state), ("prefix", prefix), ("wire", wire), ("address", &address), ("sort", sort)];
            get(project(&format!("sessions?{}{}", query(part), more(&filters))))
        }
        Call::Closed { list: List { part }, reason, prefix, wire, address } => {
            let address = address.map(|address| address.to_string());
            let filters = [("reason", reason), ("prefix", prefix), ("wire", wire), ("address", &address)];
            get(project(&format!("closed?{}{}", query(part), more(&filters))))
        }
        Call::Token { user: User { user_id }, r#for, version } => {
            let body = json!({ "user_id": user_id, "for": r#for, "version": version });
            (Method::POST, project("tokens"), Some(body))
        }
        Call::ExplainToken { token, uid } => {
            let body = json!({ "token": token, "user_id": uid });
            (Method::POST, project("tokens/explain"), Some(body))
        }
        Call::Send { user: named, text, from, offline, history } => {
            let body = json!({ "from": from, "text": text, "offline": offline, "history": history });
            (Method::POST, user(named, "/messages"), Some(body))
        }
        Call::SendChannel { channel: named, text, from, history } => {
            let body = json!({ "from": from, "text": text, "history": history });
            (Method::POST, channel(named, "/messages"), Some(body))
        }
        Call::History { user: named, history, received } => {
            get(user(named, &format!("/history?{}&received={received}", history.query())))
        }
        Call::ChannelHistory { channel: named, history } => {
            get(channel(named, &format!("/history?{}", history.query())))
        }
        Call::Webhooks => get(project("webhooks")),
        Call::TestWebhook(named) => (Method::POST, webhook(named, "/test"), None),
        Call::ReplayWebhook { webhook: named, since, after } => {
            let body = match after {
                Some(after) => json!({ "after": after }),
                None => json!({ "time": since.map(rfc3339) }),
            };
            (Method::POST, webhook(named, "/replay"), Some(body))
        }
        Call::WebhookAttempts(named) => get(webhook(named, "/attempts")),
        Call::PauseWebhook(named) => (Method::POST, webhook(named, "/pause"), None),
        Call::EnableWebhook(named) => (Method::POST, webhook(named, "/enable"), None),
        Call::Bans(of_project) => list(of_project, "bans"),
        Call::Channels(of_project) => list(of_project, "channels"),
        Call::User(named) => get(user(named, "")),
        Call::Kick(named) => (Method::POST, user(named, "/kick"), None),
        Call::Ban { user: named, r#for, until } => {
            let body = match (r#for, until) {
                (Some(time), _) => json!({ "for": time }),
                (None, until) => json!({ "until": until }),
            };
            (Method::PUT, user(named, "/ban"), Some(body))
        }
        Call::Unban(named) => (Method::DELETE, user(named, "/ban"), None),
        Call::RevokeTokens { user_id, issued_before, .. } => {
            let body = json!({ "issued_before": issued_before });
            let path = match user_id {
                Some(user_id) => format!("users/{}/revoke-tokens", encoded(user_id)),
                None => "revoke-tokens".to_owned(),
            };
            (Method::POST, project(&path), Some(body))
        }
        Call::Stored(named) => get(user(named, "/stored")),
        Call::DeleteStored(named) => (Method::DELETE, user(named, "/stored"), None),
        Call::DeleteData(named) => (Method::DELETE, user(named, "/data"), None),
        Call::Channel(named) => get(channel(named, "")),
        Call::Members { channel: named, part } => get(channel(named, &format!("/members?{}", query(part)))),
        Call::Drain { status: true } => get("/drain".into()),
        Call::Drain { status: false } => (Method::POST, "/drain".into(), None),
        Call::Reload => (Method::POST, "/reload".into(), None),
        Call::LogLevel { level: None } => get("/log".into()),
        Call::LogLevel { level: Some(level) } => (Method::PUT, "/log".into(), Some(json!({ "level": level }))),
        Call::Limits { limits } if limits.is_empty() => get(project("limits")),
        Call::Limits { limits } => {
            let limits: Map<_, _> = limits.iter().map(|(call, limit)| (call.clone(), json!(limit))).collect();
            (Method::PUT, project("limits"), Some(json!({ "limits": limits })))
        }
        Call::Audit(part) => get(format!("/audit?{}", query(part))),
    }
}

/// A call and its limit, which the server reads.
fn limit(text: &str) -> Result<(String, String), String> {
    let (call, limit) = text.split_once('=').ok_or("write a call and its limit, as send_message=360/3s")?;
    Ok((call.to_owned(), limit.to_owned()))
}

fn query(Part { limit, cursor }: &Part) -> String {
    let cursor = cursor.as_ref().map(|cursor| format!("&cursor={}", encoded(cursor)));
    format!("limit={limit}{}", cursor.unwrap_or_default())
}

/// Those filters of a list that were given.
pub(super) fn more(filters: &[(&str, &Option<String>)]) -> String {
    let given = filters.iter().filter_map(|(name, value)| Some((name, value.as_ref()?)));
    given.map(|(name, value)| format!("&{name}={}", encoded(value))).collect()
}

impl HistoryPart {
    fn query(&self) -> String {
        let Self { part, since, until, newest_first } = self;
        let times = more(&[("from", &since.map(rfc3339)), ("until", &until.map(rfc3339))]);
        format!("{}{times}&newest_first={newest_first}", query(part))
    }
}

/// A time as the server reads it.
fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_millis(time).to_string()
}

/// A text as a part of a path or a query.
pub(super) fn encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}
