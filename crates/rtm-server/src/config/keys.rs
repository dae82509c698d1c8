//! All keys of the configuration: what each is for, how it is written, and whether a reload takes it.

use rtm_codec::LimitedCall;

use self::ConfigKind::{Decimal, List, Number, Secret, SecretList, Size, Switch, Text};
use super::ServerConfig;
#[cfg(feature = "cluster")]
use crate::cluster::config::ClusterConfig;
#[cfg(feature = "webhooks")]
use crate::webhooks::config::{Hook, HookConfig, HookKind, HookTarget, OnError, WebhookConfig};

/// A key of the configuration.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ConfigKey {
    /// Its name; `[]` stands for a number from 0 on: `project[].app_id`.
    pub name: String,
    /// How its value is written.
    pub kind: ConfigKind,
    /// Whether a reload takes another value. If not, the server has to be restarted for it.
    pub is_live: bool,
    /// What it is for.
    pub about: &'static str,
    /// Its value where it is left out, as the file writes it; `None` if it has none.
    pub default: Option<String>,
}

/// How a value is written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigKind {
    /// Text.
    Text,
    /// Text that nobody should see.
    Secret,
    /// A number.
    Number,
    /// A number that may have a fraction.
    Decimal,
    /// A size in bytes.
    Size,
    /// `true` or `false`.
    Switch,
    /// A list of texts; in the environment with commas between them.
    List,
    /// A list of texts that nobody should see.
    SecretList,
}

impl ConfigKey {
    /// The variable of the environment that sets it, with `N` for each number: `RTM_PROJECT__N__APP_ID`.
    #[must_use]
    pub fn variable(&self) -> String {
        format!("RTM_{}", self.name.replace("[]", ".N").replace('.', "__").to_uppercase())
    }

    /// Whether the file that a variable with `_FILE` behind its name points to may hold the value.
    #[must_use]
    pub fn is_secret(&self) -> bool {
        matches!(self.kind, Secret | SecretList)
    }
}

impl ServerConfig {
    /// All keys of the configuration, in the order in which they are explained.
    #[must_use]
    pub fn keys() -> Vec<ConfigKey> {
        let defaults = defaults();
        let key = |name: String, kind, is_live, about| {
            let written = name.replace("[]", "[0]");
            let default = defaults.iter().find(|(key, _)| *key == written).map(|(_, value)| value.clone());
            ConfigKey { name, kind, is_live, about, default }
        };
        let mut keys = Vec::new();
        for &(name, kind, is_live, about) in KEYS.iter().filter(|(name, ..)| is_compiled(name)) {
            if name == LIMITS {
                let limit = |call: LimitedCall| key(format!("{LIMITS}.{}", call.as_str()), kind, is_live, about);
                keys.extend(LimitedCall::ALL.map(limit));
            } else {
                keys.push(key(name.to_owned(), kind, is_live, about));
            }
        }
        keys
    }
}

/// Whether this server was compiled with what a key is about.
fn is_compiled(name: &str) -> bool {
    let is_in = |sections: &[&str]| sections.iter().any(|section| name.starts_with(section));
    (cfg!(feature = "admin") || !is_in(&["admin."]))
        && (cfg!(feature = "cluster") || !is_in(&["cluster.", "workers"]))
        && (cfg!(feature = "otlp") || !is_in(&["otlp."]))
        && (cfg!(feature = "webhooks") || !is_in(&["project[].webhook", "project[].hook"]))
        && (cfg!(feature = "rest") || !is_in(&["rest.", "project[].rest"]))
}

/// The entries of a configuration that says nothing, with one of each table.
fn defaults() -> Vec<(String, String)> {
    let mut config = ServerConfig::default();
    let app_id = rtm_codec::AppId::new("0".repeat(32)).into_iter();
    config.projects = app_id.map(rtm_core::ProjectConfig::new).collect();
    config.tls = Some(crate::tls::TlsConfig::new(Vec::new()));
    #[cfg(feature = "admin")]
    {
        config.admin.tls.clone_from(&config.tls);
    }
    #[cfg(feature = "cluster")]
    {
        config.cluster = Some(ClusterConfig::new(Vec::new()));
    }
    #[cfg(feature = "otlp")]
    {
        config.otlp = Some(crate::traces::config::OtlpConfig::new(""));
    }
    #[cfg(feature = "webhooks")]
    for project in &config.projects {
        let mut told = HookConfig::new(project.app_id.clone());
        let target = || HookTarget::new("", Vec::new());
        told.webhooks = vec![WebhookConfig::new("", target())];
        told.hooks = vec![Hook::new(HookKind::AuthorizeLogin, target(), OnError::Deny)];
        config.hooks.push(told);
    }
    let mut entries = config.entries();
    entries.retain(|(key, _)| !NEEDED.contains(&key.as_str()));
    entries
}

type Row = (&'static str, ConfigKind, bool, &'static str);

/// What each of its tables has to say.
const NEEDED: [&str; 7] = [
    "otlp.endpoint",
    "project[0].app_id",
    "project[0].webhook[0].name",
    "project[0].webhook[0].url",
    "project[0].hook[0].type",
    "project[0].hook[0].url",
    "project[0].hook[0].on_error",
];

/// Stands for a row for each call.
const LIMITS: &str = "project[].limits";

const KEYS: &[Row] = &[
    (
        "listen",
        List,
        false,
        "The addresses to listen on. A host name stands for all its addresses, port 0 for a free port.",
    ),
    ("listen[].address", Text, false, "An address of which more is said. listen is then a list of tables."),
    ("listen[].tls", Switch, false, "Whether TLS is spoken there; otherwise where there is a certificate."),
    (
        "listen[].proxy_protocol",
        Text,
        false,
        "Whether each connection there begins with a PROXY header, version 1 or 2, of a trusted proxy: off or required.",
    ),
    (
        "advertise",
        Text,
        true,
        "The public address that the gateway of the vendor's wire sends clients to; otherwise the one that they asked.",
    ),
    (
        "data_dir",
        Text,
        false,
        "The directory of all that outlives the server: stored messages, history, channel attributes, subscriptions of the vendor's \
         SDK, bans, revoked tokens, events, and how far webhooks are. Without it, all of that is lost on exit.",
    ),
    (
        "handshake_timeout",
        Text,
        true,
        "How long a client may take from connecting to the end of the head of its HTTP request, a PROXY header and TLS included. A body may \
         take as long again.",
    ),
    ("login_timeout", Text, true, "How long a client may take from the WebSocket handshake to its login."),
    (
        "drain_delay",
        Text,
        true,
        "How long a shutdown still accepts connections after it has said that the server is not ready.",
    ),
    (
        "drain_time",
        Text,
        true,
        "The most time over which a shutdown sends clients away: 10s, and in a cluster 60s. A node of a cluster uses at most half of it, \
         so that the sessions are on other nodes when it is over.",
    ),
    (
        "drain_rate",
        Number,
        true,
        "How many clients a shutdown sends away each second. More, if they would not all be away in time.",
    ),
    ("max_connections", Number, true, "The most connections at once; further ones wait."),
    ("max_connections_per_address", Number, true, "The most connections at once from one address; 0: no limit."),
    ("connects_per_address", Text, true, "How often one address may connect."),
    (
        "refused_logins_per_address",
        Text,
        true,
        "After so many refused logins from one address all its logins are refused for a while.",
    ),
    (
        "max_memory",
        Size,
        false,
        "From so much resident memory of the process on, logins are refused until it is less; 0: no limit.",
    ),
    ("trusted_proxies", List, true, "The networks of proxies that are believed what they say of their clients."),
    (
        "client_address",
        Text,
        true,
        "What of their requests tells a client's address: peer, x-forwarded-for, forwarded or x-real-ip.",
    ),
    (
        "workers",
        Number,
        false,
        "How many cores each project has, 1 to 64: with several it uses more than one processor.",
    ),
    ("log.format", Text, false, "How the log is written: text, or json with an object on each line."),
    ("log.level", Text, true, "The level of the log, as info or info,rtm_server=debug. RTM_LOG comes before it."),
    (
        "otlp.endpoint",
        Text,
        false,
        "The collector that gets traces as OTLP over HTTP: http://127.0.0.1:4318. /v1/traces is added to its path.",
    ),
    ("otlp.headers", SecretList, false, "Headers that it wants: authorization=Bearer TOKEN."),
    (
        "otlp.sample_ratio",
        Decimal,
        false,
        "Which part of the traces is sent, 0 to 1. A call with a traceparent does as its caller does.",
    ),
    ("otlp.service_name", Text, false, "What the server is called in traces."),
    (
        "otlp.resource_attributes",
        List,
        false,
        "What else they say of the server: deployment.environment.name=production.",
    ),
    ("otlp.timeout", Text, false, "How long the collector may take for an answer."),
    ("otlp.ca_file", Text, false, "Authorities that are trusted in place of the system's."),
    (
        "tls.certificate",
        Text,
        true,
        "The PEM file with the certificate and its chain. With it every address speaks TLS only.",
    ),
    ("tls.key", Text, true, "The PEM file with its key."),
    ("tls.more[].certificate", Text, true, "A certificate that is shown to clients which ask for its names."),
    ("tls.more[].key", Text, true, "The key of that certificate."),
    ("tls.client_ca", Text, true, "A PEM file with authorities: each client needs a certificate of one of them."),
    ("tls.min_version", Text, true, "The oldest version of TLS that is spoken: 1.2 or 1.3."),
    ("admin.listen", List, false, "The addresses of the listener for those who run the server."),
    ("admin.hosts", List, true, "The names by which it is reached, beside addresses and localhost."),
    ("admin.tls.certificate", Text, true, "Its certificate. With it the admin listener speaks TLS only."),
    ("admin.tls.key", Text, true, "The key of that certificate."),
    ("admin.tls.more[].certificate", Text, true, "A certificate for other names."),
    ("admin.tls.more[].key", Text, true, "The key of that certificate."),
    ("admin.tls.client_ca", Text, true, "Authorities: who connects needs a certificate of one of them."),
    ("admin.tls.min_version", Text, true, "The oldest version of TLS that is spoken there."),
    ("admin.key[].name", Text, true, "Whose key it is: it stands in the audit log."),
    ("admin.key[].role", Text, true, "What it may do: read, operate or admin."),
    ("admin.key[].sha256", Secret, true, "The SHA-256 of its text, as rtm admin new-key prints it."),
    ("admin.key[].projects", List, true, "The projects that it is for; otherwise all, and the server itself."),
    (
        "cluster.nats",
        List,
        false,
        "The servers of NATS. With it the server is one of several that serve as one, and NATS keeps what data_dir would.",
    ),
    ("cluster.nats_user", Text, false, "The user to log in to NATS with."),
    ("cluster.nats_password_file", Text, false, "The file with its password."),
    ("cluster.nats_token_file", Text, false, "A file with a token to log in to NATS with."),
    ("cluster.nats_credentials", Text, false, "A credentials file to log in to NATS with."),
    ("cluster.nats_nkey_file", Text, false, "A file with the seed of an NKey to log in to NATS with."),
    (
        "cluster.nats_tls.ca",
        Text,
        false,
        "A PEM file with authorities that NATS' certificate has to be of, in place of the system's.",
    ),
    ("cluster.nats_tls.client.certificate", Text, false, "A certificate to show to NATS."),
    ("cluster.nats_tls.client.key", Text, false, "The key of that certificate."),
    (
        "cluster.nats_tls.handshake_first",
        Switch,
        false,
        "Whether TLS begins before NATS says anything, as with handshake_first in its configuration.",
    ),
    ("cluster.name", Text, false, "The name of the cluster."),
    ("cluster.node", Text, false, "The name of this node; otherwise host name and port."),
    (
        "cluster.replicas",
        Number,
        false,
        "How many servers of NATS keep what the cluster stores. If JetStream has fewer, 3 or 1 keep it.",
    ),
    ("cluster.isolated_for", Text, false, "How long a node goes on that is out of touch with NATS."),
    ("events.enabled", Switch, true, "Whether the server keeps a log of events for back ends."),
    ("events.types", List, true, "Which types of events it has: names, groups such as message.*, usual, or all."),
    ("events.keep_for", Text, true, "How long an event is kept."),
    ("events.keep_count", Number, true, "How many events of each project are kept, about."),
    ("rest.enabled", Switch, true, "Whether the REST API for back ends is there."),
    ("rest.tokens_may", List, true, "What a user's token opens there: send, history, events."),
    (
        "rest.channel_message_type",
        Text,
        true,
        "How messages of channels are called there: group_message or channel_message.",
    ),
    ("project[].app_id", Text, true, "The App ID of a project."),
    (
        "project[].certificates",
        SecretList,
        true,
        "The certificates that sign its tokens: none for an open project, two while you replace one.",
    ),
    ("project[].honour_privilege_expiry", Switch, true, "Whether a 006 token ends when its login privilege does."),
    ("project[].max_connections", Number, true, "The most connections of the project to this server; 0: no limit."),
    ("project[].max_channels", Number, true, "The most channels of the project on this server; 0: no limit."),
    (
        "project[].stored_bytes",
        Size,
        true,
        "The most bytes that the store keeps of its waiting messages, history and channel attributes; 0: no limit.",
    ),
    ("project[].event_log_bytes", Size, true, "The most bytes of its log of events, about; 0: no limit."),
    (LIMITS, Text, true, "How often one client may make this call."),
    ("project[].rest", Text, true, "How many messages back ends may send."),
    ("project[].rest_key[].id", Text, true, "The id of a back end's key."),
    (
        "project[].rest_key[].secret_sha256",
        Secret,
        true,
        "The SHA-256 of its secret, as rtm admin new-rest-key prints it.",
    ),
    (
        "project[].webhook[].name",
        Text,
        true,
        "The name of an endpoint that is told what happens; how far it is, is kept under it.",
    ),
    ("project[].webhook[].url", Text, true, "Where it is."),
    (
        "project[].webhook[].secrets",
        SecretList,
        true,
        "What requests are signed with: whsec_ and base64, two while you replace one.",
    ),
    (
        "project[].webhook[].types",
        List,
        true,
        "The types of events that it gets; all that the log has if there are none.",
    ),
    ("project[].webhook[].channel_prefix", Text, true, "Of events of channels only those of channels that begin so."),
    ("project[].webhook[].batch.max", Number, true, "How many events a request has at most."),
    ("project[].webhook[].batch.wait", Text, true, "How long an event waits for others."),
    ("project[].webhook[].format", Text, true, "How events are written: standard or cloudevents."),
    ("project[].webhook[].timeout", Text, true, "How long an answer may take."),
    ("project[].webhook[].ca_file", Text, true, "Authorities that are trusted in place of the system's."),
    ("project[].webhook[].client_certificate", Text, true, "A certificate to show to it."),
    ("project[].webhook[].client_key", Text, true, "The key of that certificate."),
    ("project[].webhook[].allow_private", Switch, true, "Whether it may be in a private network or on this machine."),
    (
        "project[].hook[].type",
        Text,
        true,
        "What a back end is asked about: authorize_login, authorize_join or filter_message.",
    ),
    ("project[].hook[].url", Text, true, "Where it is."),
    ("project[].hook[].secrets", SecretList, true, "What requests are signed with."),
    ("project[].hook[].timeout", Text, true, "How long an answer may take, at most 5s."),
    ("project[].hook[].on_error", Text, true, "What to do if the back end gives no valid answer: allow or deny."),
    ("project[].hook[].ca_file", Text, true, "Authorities that are trusted in place of the system's."),
    ("project[].hook[].client_certificate", Text, true, "A certificate to show to it."),
    ("project[].hook[].client_key", Text, true, "The key of that certificate."),
    ("project[].hook[].allow_private", Switch, true, "Whether it may be in a private network or on this machine."),
    ("project[].settings.unreachable_after", Text, true, "Silence after which a user is unreachable."),
    ("project[].settings.offline_after", Text, true, "Silence after which a user is offline."),
    ("project[].settings.resume_within", Text, true, "Silence after which a session cannot be resumed."),
    ("project[].settings.receipt_within", Text, true, "How long the server waits for a device's receipt of a message."),
    ("project[].settings.repeat_within", Text, true, "How long a repeated message is recognised."),
    ("project[].settings.repeat_ids", Number, true, "How many messages of a sender are remembered for that."),
    ("project[].settings.session_bytes", Size, true, "The most that waits for one client."),
    (
        "project[].settings.away_channel_messages",
        Number,
        true,
        "The most messages of a channel that wait for a member who is away for a moment.",
    ),
    (
        "project[].settings.presence_pause",
        Text,
        true,
        "The least time between two changes of online states that a subscriber is told.",
    ),
    (
        "project[].settings.member_count_pause",
        Text,
        true,
        "The least time between two member counts of a channel up to 512 members.",
    ),
    ("project[].settings.large_member_count_pause", Text, true, "The same in larger channels."),
    ("project[].settings.channel_attributes_for", Text, true, "How long an empty channel keeps its attributes."),
    ("project[].settings.channel_attributes_bytes", Size, true, "The most bytes of all channel attributes."),
    (
        "project[].settings.subscriptions_for",
        Text,
        true,
        "How long subscriptions of the vendor's SDK are kept after its last sign of life.",
    ),
    ("project[].settings.subscriptions_bytes", Size, true, "The most bytes of all these."),
    ("project[].settings.offline_messages", Number, true, "The most stored messages for one receiver."),
    ("project[].settings.offline_for", Text, true, "How long a stored message waits."),
    ("project[].settings.history_for", Text, true, "How long history is kept."),
    (
        "project[].settings.invitation_receipt_within",
        Text,
        true,
        "How long a callee may take to receive an invitation.",
    ),
    ("project[].settings.invitation_answer_within", Text, true, "How long an invitation can be answered."),
    ("project[].settings.open_invitations", Number, true, "The most open invitations of a user."),
    ("project[].settings.token_warning", Text, true, "How long before its token ends a user is warned."),
    (
        "project[].settings.keep_attributes_on_return",
        Switch,
        true,
        "Whether a client of the vendor's SDK that returns soon keeps its attributes.",
    ),
];
