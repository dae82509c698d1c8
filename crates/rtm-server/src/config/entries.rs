//! All settings of a configuration by their keys, with their values as the file writes them: to show them, and to see what is
//! different in another configuration.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Display,
    path::Path,
};

use rtm_codec::LimitedCall;
use rtm_core::{EventSettings, ProjectConfig};

#[cfg(feature = "otlp")]
use super::values::Decimal;
use super::{
    ListenerConfig, LogConfig, ServerConfig,
    events::words,
    project::settings,
    sources::without_secrets,
    values::{Limit, Size, Time, quoted},
};
#[cfg(feature = "admin")]
use crate::admin::config::AdminConfig;
#[cfg(feature = "cluster")]
use crate::cluster::config::{ClusterConfig, NatsTls};
use crate::tls::TlsConfig;
#[cfg(feature = "otlp")]
use crate::traces::config::{OtlpConfig, OtlpHeader};
#[cfg(feature = "webhooks")]
use crate::webhooks::config::{Hook, HookConfig, HookTarget, WebhookConfig};

/// One setting: its key, and its value in TOML.
struct Entry {
    key: String,
    value: String,
}

/// The keys whose values differ, projects by their App IDs.
pub(crate) fn changes(before: &ServerConfig, after: &ServerConfig) -> Vec<String> {
    let by_key = |config| -> BTreeMap<String, String> {
        let entries = Entries::of(config, |_, project| format!("project[{}]", project.app_id));
        entries.into_iter().map(|entry| (entry.key, entry.value)).collect()
    };
    let (before, after) = (by_key(before), by_key(after));
    let keys: BTreeSet<_> = before.keys().chain(after.keys()).collect();
    let differs = |key: &&&String| before.get(**key) != after.get(**key);
    let mut changed: Vec<String> = keys.iter().filter(differs).map(|key| (**key).clone()).collect();
    // A project that comes or goes is one change.
    let whole: Vec<_> = changed.iter().filter_map(|key| key.strip_suffix(".app_id").map(str::to_owned)).collect();
    for project in whole {
        changed.retain(|key| !key.starts_with(&format!("{project}.")));
        changed.push(project);
    }
    changed
}

impl ServerConfig {
    /// All settings by their keys, such as `project[0].settings.offline_after`, with their values as the file writes them. What
    /// is not set and has no default is left out. In place of a secret there is what tells it from others; URLs are without
    /// their passwords and queries.
    #[must_use]
    pub fn entries(&self) -> Vec<(String, String)> {
        let entries = Entries::of(self, |place, _| format!("project[{place}]"));
        entries.into_iter().map(|Entry { key, value }| (key, without_secrets(&value))).collect()
    }
}

struct Entries(Vec<Entry>);

impl Entries {
    fn of(config: &ServerConfig, name: impl Fn(usize, &ProjectConfig) -> String) -> Vec<Entry> {
        // A new field that is passed over does not compile.
        let ServerConfig {
            listen,
            advertise,
            tls,
            data_dir,
            #[cfg(feature = "cluster")]
            cluster,
            #[cfg(feature = "rest")]
            rest,
            #[cfg(feature = "admin")]
            admin,
            #[cfg(feature = "webhooks")]
            hooks,
            #[cfg(feature = "cluster")]
            workers,
            handshake_timeout,
            login_timeout,
            drain_delay,
            drain_time,
            drain_rate,
            max_connections,
            max_connections_per_address,
            connects_per_address,
            refused_logins_per_address,
            max_memory,
            trusted_proxies,
            client_address,
            log,
            #[cfg(feature = "otlp")]
            otlp,
            projects,
            for_all,
            sources: _,
        } = config;
        let mut all = Self(Vec::new());
        all.listeners(listen);
        all.some("advertise", advertise.as_ref().map(quoted));
        all.some("data_dir", data_dir.as_deref().map(path));
        all.add("handshake_timeout", Time::show(*handshake_timeout));
        all.add("login_timeout", Time::show(*login_timeout));
        all.add("drain_delay", Time::show(*drain_delay));
        all.some("drain_time", drain_time.map(Time::show));
        all.add("drain_rate", drain_rate);
        all.add("max_connections", max_connections);
        all.add("max_connections_per_address", max_connections_per_address);
        all.add("connects_per_address", Limit::show(*connects_per_address));
        all.add("refused_logins_per_address", Limit::show(*refused_logins_per_address));
        #[cfg(feature = "cluster")]
        all.add("workers", workers);
        all.some("max_memory", max_memory.map(Size::show));
        all.list("trusted_proxies", trusted_proxies);
        all.add("client_address", quoted(client_address));
        let LogConfig { format, level } = log;
        all.add("log.format", quoted(format));
        all.some("log.level", level.as_ref().map(quoted));
        #[cfg(feature = "otlp")]
        all.otlp(otlp.as_ref());
        all.tls("tls", tls.as_ref());
        #[cfg(feature = "admin")]
        all.admin(admin);
        #[cfg(feature = "cluster")]
        all.cluster(cluster.as_ref());
        // All projects have the same, or those that will be added.
        let of_first = projects.first().map(|project| project.events);
        let EventSettings { enabled, types, keep_for, keep_count, .. } = of_first.unwrap_or(for_all.events);
        all.add("events.enabled", enabled);
        all.list("events.types", words(types));
        all.add("events.keep_for", Time::show(keep_for));
        all.add("events.keep_count", keep_count);
        #[cfg(feature = "rest")]
        {
            let crate::config::RestConfig { enabled, channel_message_type } = rest;
            all.add("rest.enabled", enabled);
            all.add("rest.channel_message_type", quoted(channel_message_type.as_str()));
            // The same as with the log of events.
            let tokens_may = projects.first().map_or(for_all.tokens_may, |project| project.rest.tokens_may);
            let rights = [("send", tokens_may.send), ("history", tokens_may.history), ("events", tokens_may.events)];
            all.list("rest.tokens_may", rights.into_iter().filter_map(|(right, may)| may.then_some(right)));
        }
        for (place, project) in projects.iter().enumerate() {
            let key = name(place, project);
            all.project(&key, project);
            #[cfg(feature = "webhooks")]
            for hooks in hooks.iter().filter(|hooks| hooks.app_id == project.app_id) {
                all.hooks(&key, hooks);
            }
        }
        all.0
    }

    fn add(&mut self, key: impl Into<String>, value: impl Display) {
        self.0.push(Entry { key: key.into(), value: value.to_string() });
    }

    fn some(&mut self, key: impl Into<String>, value: Option<String>) {
        if let Some(value) = value {
            self.add(key, value);
        }
    }

    fn list<T: Display>(&mut self, key: impl Into<String>, values: impl IntoIterator<Item = T>) {
        let values: Vec<_> = values.into_iter().map(quoted).collect();
        if !values.is_empty() {
            self.add(key, format!("[{}]", values.join(", ")));
        }
    }

    fn listeners(&mut self, listeners: &[ListenerConfig]) {
        if listeners.iter().all(|listener| listener.tls.is_none() && !listener.proxy_protocol) {
            return self.list("listen", listeners.iter().map(|listener| &listener.address));
        }
        for (at, ListenerConfig { address, tls, proxy_protocol }) in listeners.iter().enumerate() {
            self.add(format!("listen[{at}].address"), quoted(address));
            self.some(format!("listen[{at}].tls"), tls.map(|tls| tls.to_string()));
            self.add(format!("listen[{at}].proxy_protocol"), quoted(if *proxy_protocol { "required" } else { "off" }));
        }
    }

    fn tls(&mut self, key: &str, tls: Option<&TlsConfig>) {
        let Some(TlsConfig { certificates, client_ca, min_version }) = tls else { return };
        for (place, files) in certificates.iter().enumerate() {
            let key = if place == 0 { key.to_owned() } else { format!("{key}.more[{}]", place - 1) };
            self.add(format!("{key}.certificate"), path(files.certificate()));
            self.add(format!("{key}.key"), path(files.key()));
        }
        self.some(format!("{key}.client_ca"), client_ca.as_deref().map(path));
        self.add(format!("{key}.min_version"), quoted(min_version));
    }

    #[cfg(feature = "otlp")]
    fn otlp(&mut self, otlp: Option<&OtlpConfig>) {
        let Some(otlp) = otlp else { return };
        let OtlpConfig { endpoint, headers, sample_ratio, service_name, resource_attributes, timeout, ca_file } = otlp;
        self.add("otlp.endpoint", quoted(endpoint));
        self.list("otlp.headers", headers.iter().map(OtlpHeader::shown));
        self.add("otlp.sample_ratio", Decimal::show(*sample_ratio));
        self.add("otlp.service_name", quoted(service_name));
        self.list("otlp.resource_attributes", resource_attributes);
        self.add("otlp.timeout", Time::show(*timeout));
        self.some("otlp.ca_file", ca_file.as_deref().map(path));
    }

    #[cfg(feature = "admin")]
    fn admin(&mut self, admin: &AdminConfig) {
        let AdminConfig { listen, hosts, keys, tls, log: _, build: _ } = admin;
        self.list("admin.listen", listen);
        self.list("admin.hosts", hosts);
        self.tls("admin.tls", tls.as_ref());
        for (place, key) in keys.iter().enumerate() {
            let at = |what: &str| format!("admin.key[{place}].{what}");
            self.add(at("name"), quoted(&key.name));
            self.add(at("role"), quoted(key.role));
            self.add(at("sha256"), secret(&key.sha256));
            if let Some(projects) = &key.projects {
                self.list(at("projects"), projects);
            }
        }
    }

    #[cfg(feature = "cluster")]
    fn cluster(&mut self, cluster: Option<&ClusterConfig>) {
        let Some(cluster) = cluster else { return };
        let ClusterConfig {
            nats,
            nats_user,
            nats_password_file,
            nats_token_file,
            nats_credentials,
            nats_nkey_file,
            nats_tls,
            name,
            node,
            replicas,
            isolated_for,
        } = cluster;
        self.list("cluster.nats", nats);
        self.some("cluster.nats_user", nats_user.as_ref().map(quoted));
        self.some("cluster.nats_password_file", nats_password_file.as_deref().map(path));
        self.some("cluster.nats_token_file", nats_token_file.as_deref().map(path));
        self.some("cluster.nats_credentials", nats_credentials.as_deref().map(path));
        self.some("cluster.nats_nkey_file", nats_nkey_file.as_deref().map(path));
        if let Some(NatsTls { ca, client, handshake_first }) = nats_tls {
            self.some("cluster.nats_tls.ca", ca.as_deref().map(path));
            if let Some((certificate, key)) = client {
                self.add("cluster.nats_tls.client.certificate", path(certificate));
                self.add("cluster.nats_tls.client.key", path(key));
            }
            self.add("cluster.nats_tls.handshake_first", handshake_first);
        }
        self.add("cluster.name", quoted(name.as_str()));
        self.some("cluster.node", node.as_ref().map(|node| quoted(node.as_str())));
        self.some("cluster.replicas", replicas.map(|count| count.to_string()));
        self.add("cluster.isolated_for", Time::show(*isolated_for));
    }

    #[cfg(feature = "webhooks")]
    fn hooks(&mut self, key: &str, config: &HookConfig) {
        let HookConfig { app_id: _, webhooks, hooks } = config;
        for (place, webhook) in webhooks.iter().enumerate() {
            let at = |what: &str| format!("{key}.webhook[{place}].{what}");
            let WebhookConfig { name, target, types, channel_prefix, batch_max, batch_wait, format } = webhook;
            self.add(at("name"), quoted(name));
            self.target(&at(""), target);
            self.list(at("types"), types);
            self.some(at("channel_prefix"), Some(channel_prefix).filter(|prefix| !prefix.is_empty()).map(quoted));
            self.add(at("batch.max"), batch_max);
            self.add(at("batch.wait"), Time::show(*batch_wait));
            self.add(at("format"), quoted(format));
        }
        for (place, hook) in hooks.iter().enumerate() {
            let at = |what: &str| format!("{key}.hook[{place}].{what}");
            let Hook { kind, target, on_error } = hook;
            self.add(at("type"), quoted(kind));
            self.target(&at(""), target);
            self.add(at("on_error"), quoted(on_error));
        }
    }

    #[cfg(feature = "webhooks")]
    fn target(&mut self, key: &str, target: &HookTarget) {
        let HookTarget { url, secrets, timeout, ca_file, client_certificate, client_key, allow_private } = target;
        self.add(format!("{key}url"), quoted(url));
        self.list(format!("{key}secrets"), secrets.iter().map(|secret| format!("<{}…>", secret.fingerprint())));
        self.add(format!("{key}timeout"), Time::show(*timeout));
        self.some(format!("{key}ca_file"), ca_file.as_deref().map(path));
        self.some(format!("{key}client_certificate"), client_certificate.as_deref().map(path));
        self.some(format!("{key}client_key"), client_key.as_deref().map(path));
        self.add(format!("{key}allow_private"), allow_private);
    }

    fn project(&mut self, key: &str, project: &ProjectConfig) {
        let at = |what: &str| format!("{key}.{what}");
        self.add(at("app_id"), quoted(&project.app_id));
        let certificates: Vec<_> = project
            .certificates
            .iter()
            .map(|certificate| quoted(format!("<{}…>", certificate.fingerprint())))
            .collect();
        if !certificates.is_empty() {
            self.add(at("certificates"), format!("[{}]", certificates.join(", ")));
        }
        self.add(at("honour_privilege_expiry"), project.token_policy.honours_privilege_expiry());
        self.add(at("max_connections"), project.quotas.max_connections);
        self.add(at("max_channels"), project.quotas.max_channels);
        let size = |bytes: u64| Size::show(usize::try_from(bytes).unwrap_or(usize::MAX));
        self.add(at("stored_bytes"), size(project.quotas.stored_bytes));
        self.add(at("event_log_bytes"), size(project.quotas.event_log_bytes));
        for call in LimitedCall::ALL {
            self.add(at(&format!("limits.{}", call.as_str())), Limit::show(project.limits.get(call)));
        }
        #[cfg(feature = "rest")]
        {
            let rtm_core::RestAccess { keys, limit: messages, .. } = &project.rest;
            self.add(at("rest"), Limit::show(*messages));
            for (place, key) in keys.iter().enumerate() {
                self.add(at(&format!("rest_key[{place}].id")), quoted(&key.id));
                self.add(at(&format!("rest_key[{place}].secret_sha256")), secret(&key.secret_sha256));
            }
        }
        for (name, value) in settings(&project.settings) {
            self.add(at(&format!("settings.{name}")), value);
        }
    }
}

fn path(path: &Path) -> String {
    quoted(path.display())
}

/// What tells the hash of a random secret from another.
#[cfg(any(feature = "rest", feature = "admin"))]
fn secret(hash: &[u8; 32]) -> String {
    quoted(format!("<{}…>", hash.iter().take(4).map(|byte| format!("{byte:02x}")).collect::<String>()))
}
