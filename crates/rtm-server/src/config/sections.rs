//! The sections of the file, and the settings that they make.

use std::{fmt, path::PathBuf};

#[cfg(feature = "admin")]
use rtm_codec::AppId;
#[cfg(feature = "rest")]
use rtm_codec::anyrtc::rest::ChannelMessageType;
#[cfg(feature = "rest")]
use rtm_core::RestRights;
#[cfg(feature = "cluster")]
use rtm_core::cluster::NodeName;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, Visitor},
};

#[cfg(feature = "rest")]
use super::RestConfig;
#[cfg(feature = "otlp")]
use super::otlp::OtlpSection;
use super::{
    Advertise, ForAllProjects, ListenerConfig, LogConfig, LogFormat, ServerConfig,
    events::EventsSection,
    project::{ProjectSection, Projects},
    values::{Count, Limit, OneOrMore, Parsed, Size, Switch, Time},
};
#[cfg(feature = "admin")]
use crate::admin::config::{AdminConfig, AdminKey, AdminRole, BuildInfo, sha256};
#[cfg(feature = "cluster")]
use crate::cluster::config::{ClusterConfig, ClusterName, NatsTls, NatsUrl};
use crate::{
    address::ListenAddress,
    client_address::{ClientAddress, Network},
    tls::{TlsConfig, TlsFiles, TlsVersion},
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct File {
    #[serde(default)]
    listen: OneOrMore<ListenEntry>,
    advertise: Option<Parsed<Advertise>>,
    data_dir: Option<PathBuf>,
    tls: Option<TlsSection>,
    #[cfg(feature = "cluster")]
    cluster: Option<ClusterSection>,
    #[cfg(feature = "rest")]
    rest: Option<RestSection>,
    events: Option<EventsSection>,
    #[cfg(feature = "admin")]
    #[serde(default)]
    admin: AdminSection,
    #[cfg(feature = "cluster")]
    workers: Option<u16>,
    handshake_timeout: Option<Time>,
    login_timeout: Option<Time>,
    drain_delay: Option<Time>,
    drain_time: Option<Time>,
    drain_rate: Option<Count>,
    max_connections: Option<Count>,
    max_connections_per_address: Option<u32>,
    connects_per_address: Option<Limit>,
    refused_logins_per_address: Option<Limit>,
    max_memory: Option<Size>,
    #[serde(default)]
    trusted_proxies: OneOrMore<Parsed<Network>>,
    client_address: Option<Parsed<ClientAddress>>,
    #[serde(default)]
    log: LogSection,
    #[cfg(feature = "otlp")]
    otlp: Option<OtlpSection>,
    #[serde(default)]
    project: Projects,
}

impl File {
    #[cfg_attr(not(feature = "webhooks"), expect(unused_mut, reason = "projects have no hooks"))]
    pub(super) fn into_config(mut self) -> ServerConfig {
        #[cfg(feature = "webhooks")]
        let hooks = self.project.0.iter_mut().filter_map(ProjectSection::take_hooks).collect();
        let default = ServerConfig::default();
        let mut for_all = ForAllProjects::default();
        if let Some(events) = self.events {
            for_all.events = events.into_settings();
        }
        #[cfg(feature = "rest")]
        let rest = self.rest.map_or(default.rest, |section| section.into_config(&mut for_all));
        let mut projects: Vec<_> = self.project.0.into_iter().map(ProjectSection::into_config).collect();
        projects.iter_mut().for_each(|project| for_all.hold_for(project));
        ServerConfig {
            for_all,
            #[cfg(feature = "rest")]
            rest,
            #[cfg(feature = "webhooks")]
            hooks,
            listen: self.listen.0.into_iter().map(|listener| listener.0).collect(),
            advertise: self.advertise.map(|address| address.0),
            tls: self.tls.map(TlsSection::into_config),
            data_dir: self.data_dir,
            #[cfg(feature = "cluster")]
            cluster: self.cluster.map(ClusterSection::into_config),
            #[cfg(feature = "admin")]
            admin: self.admin.into_config(),
            #[cfg(feature = "cluster")]
            workers: self.workers.unwrap_or(default.workers),
            handshake_timeout: self.handshake_timeout.map_or(default.handshake_timeout, |time| time.0),
            login_timeout: self.login_timeout.map_or(default.login_timeout, |time| time.0),
            drain_delay: self.drain_delay.map_or(default.drain_delay, |time| time.0),
            drain_time: self.drain_time.map(|time| time.0),
            drain_rate: self.drain_rate.map_or(default.drain_rate, |count| count.0.try_into().unwrap_or(u32::MAX)),
            max_connections: self.max_connections.map_or(default.max_connections, |count| count.0),
            max_connections_per_address: self
                .max_connections_per_address
                .unwrap_or(default.max_connections_per_address),
            connects_per_address: self.connects_per_address.map_or(default.connects_per_address, |limit| limit.0),
            refused_logins_per_address: self
                .refused_logins_per_address
                .map_or(default.refused_logins_per_address, |limit| limit.0),
            max_memory: self.max_memory.map(|size| size.0),
            trusted_proxies: self.trusted_proxies.0.into_iter().map(|network| network.0).collect(),
            client_address: self.client_address.map(|told_by| told_by.0).unwrap_or_default(),
            log: LogConfig {
                format: self.log.format.map(|format| format.0).unwrap_or_default(),
                level: self.log.level,
            },
            #[cfg(feature = "otlp")]
            otlp: self.otlp.map(OtlpSection::into_config),
            projects,
            sources: super::sources::Sources::default(),
        }
    }
}

/// An address, or a table with an address and what is spoken there.
struct ListenEntry(ListenerConfig);

impl<'de> Deserialize<'de> for ListenEntry {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            address: Parsed<ListenAddress>,
            tls: Option<Switch>,
            proxy_protocol: Option<ProxyProtocol>,
        }

        #[derive(Deserialize, PartialEq, Eq)]
        #[serde(rename_all = "snake_case")]
        enum ProxyProtocol {
            Off,
            Required,
        }

        struct Entry;

        impl<'de> Visitor<'de> for Entry {
            type Value = ListenerConfig;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an address, or a table with an address")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<ListenerConfig, E> {
                text.parse::<ListenAddress>().map(ListenerConfig::from).map_err(E::custom)
            }

            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<ListenerConfig, A::Error> {
                let section = Section::deserialize(de::value::MapAccessDeserializer::new(map))?;
                Ok(ListenerConfig {
                    tls: section.tls.map(|tls| tls.0),
                    proxy_protocol: section.proxy_protocol == Some(ProxyProtocol::Required),
                    ..section.address.0.into()
                })
            }
        }

        deserializer.deserialize_any(Entry).map(Self)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    certificate: PathBuf,
    key: PathBuf,
    #[serde(default)]
    more: Vec<TlsPair>,
    client_ca: Option<PathBuf>,
    min_version: Option<Parsed<TlsVersion>>,
}

/// A certificate and its key.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsPair {
    certificate: PathBuf,
    key: PathBuf,
}

impl TlsSection {
    fn into_config(self) -> TlsConfig {
        let more = self.more.into_iter().map(|TlsPair { certificate, key }| TlsFiles::new(certificate, key));
        let mut config = TlsConfig::from(TlsFiles::new(self.certificate, self.key));
        config.certificates.extend(more);
        config.client_ca = self.client_ca;
        config.min_version = self.min_version.map(|version| version.0).unwrap_or_default();
        config
    }
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct LogSection {
    format: Option<Parsed<LogFormat>>,
    level: Option<String>,
}

#[cfg(feature = "admin")]
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AdminSection {
    listen: OneOrMore<Parsed<ListenAddress>>,
    hosts: OneOrMore<String>,
    key: Vec<AdminKeySection>,
    tls: Option<TlsSection>,
}

#[cfg(feature = "admin")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct AdminKeySection {
    name: String,
    role: Parsed<AdminRole>,
    sha256: Hash,
    projects: Option<Vec<Parsed<AppId>>>,
}

#[cfg(feature = "admin")]
impl AdminSection {
    fn into_config(self) -> AdminConfig {
        let key = |AdminKeySection { name, role, sha256, projects }| AdminKey {
            name,
            role: role.0,
            sha256: sha256.0,
            projects: projects.map(|all| all.into_iter().map(|app_id: Parsed<AppId>| app_id.0).collect()),
        };
        AdminConfig {
            listen: self.listen.0.into_iter().map(|address| address.0).collect(),
            hosts: self.hosts.0,
            keys: self.key.into_iter().map(key).collect(),
            tls: self.tls.map(TlsSection::into_config),
            log: None,
            build: BuildInfo::default(),
        }
    }
}

/// The hash of a key.
#[cfg(feature = "admin")]
struct Hash([u8; 32]);

#[cfg(feature = "admin")]
impl<'de> Deserialize<'de> for Hash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        sha256(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(feature = "cluster")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClusterSection {
    nats: OneOrMore<Parsed<NatsUrl>>,
    nats_user: Option<String>,
    nats_password_file: Option<PathBuf>,
    nats_token_file: Option<PathBuf>,
    nats_credentials: Option<PathBuf>,
    nats_nkey_file: Option<PathBuf>,
    nats_tls: Option<NatsTlsSection>,
    name: Option<Parsed<ClusterName>>,
    node: Option<Node>,
    replicas: Option<Count>,
    isolated_for: Option<Time>,
}

#[cfg(feature = "cluster")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NatsTlsSection {
    ca: Option<PathBuf>,
    client: Option<TlsPair>,
    handshake_first: Option<Switch>,
}

#[cfg(feature = "cluster")]
impl ClusterSection {
    fn into_config(self) -> ClusterConfig {
        let mut config = ClusterConfig::new(self.nats.0.into_iter().map(|url| url.0).collect());
        config.nats_user = self.nats_user;
        config.nats_password_file = self.nats_password_file;
        config.nats_token_file = self.nats_token_file;
        config.nats_credentials = self.nats_credentials;
        config.nats_nkey_file = self.nats_nkey_file;
        config.nats_tls = self.nats_tls.map(|NatsTlsSection { ca, client, handshake_first }| {
            let client = client.map(|client| (client.certificate, client.key));
            NatsTls { ca, client, handshake_first: handshake_first.is_some_and(|first| first.0) }
        });
        if let Some(name) = self.name {
            config.name = name.0;
        }
        config.node = self.node.map(|node| node.0);
        config.replicas = self.replicas.map(|count| count.0);
        if let Some(time) = self.isolated_for {
            config.isolated_for = time.0;
        }
        config
    }
}

/// The name of a node.
#[cfg(feature = "cluster")]
struct Node(NodeName);

#[cfg(feature = "cluster")]
impl<'de> Deserialize<'de> for Node {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        NodeName::new(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

#[cfg(feature = "rest")]
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RestSection {
    enabled: Option<Switch>,
    tokens_may: Option<Vec<RestRight>>,
    channel_message_type: Option<MessageType>,
}

#[cfg(feature = "rest")]
#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "snake_case")]
enum RestRight {
    Send,
    History,
    Events,
}

#[cfg(feature = "rest")]
#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum MessageType {
    GroupMessage,
    ChannelMessage,
}

#[cfg(feature = "rest")]
impl RestSection {
    fn into_config(self, for_all: &mut ForAllProjects) -> RestConfig {
        let mut config = RestConfig::default();
        if let Some(Switch(enabled)) = self.enabled {
            config.enabled = enabled;
        }
        if let Some(message_type) = self.channel_message_type {
            config.channel_message_type = match message_type {
                MessageType::GroupMessage => ChannelMessageType::Group,
                MessageType::ChannelMessage => ChannelMessageType::Channel,
            };
        }
        if let Some(rights) = self.tokens_may {
            let may = |right| rights.contains(&right);
            for_all.tokens_may = RestRights {
                send: may(RestRight::Send),
                history: may(RestRight::History),
                events: may(RestRight::Events),
            };
        }
        config
    }
}
