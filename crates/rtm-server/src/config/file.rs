//! The TOML file: its keys, and how values are written in it.

use std::{collections::BTreeMap, fmt, path::PathBuf, str::FromStr, time::Duration};

#[cfg(feature = "rest")]
use rtm_codec::anyrtc::rest::ChannelMessageType;
use rtm_codec::{AppId, CallLimit, LimitedCall};
#[cfg(feature = "cluster")]
use rtm_core::cluster::NodeName;
use rtm_core::{ProjectConfig, Settings};
#[cfg(feature = "rest")]
use rtm_core::{RestKey, RestRights};
use rtm_token::Certificate;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};
use toml::de::{DeTable, DeValue};

#[cfg(feature = "rest")]
use super::RestConfig;
use super::{Advertise, ServerConfig};
#[cfg(feature = "admin")]
use crate::admin::config::{AdminConfig, AdminKey, AdminRole, sha256};
#[cfg(feature = "cluster")]
use crate::cluster::config::{ClusterConfig, ClusterName, NatsTls, NatsUrl};
use crate::{
    address::ListenAddress,
    error::{ConfigError, ConfigErrorKind},
    tls::TlsFiles,
};

impl ServerConfig {
    /// Reads a configuration in TOML. What is left out keeps its default; every key of `[project.settings]` is a
    /// field of [`Settings`](crate::Settings).
    ///
    /// ```toml
    #[doc = include_str!("example.toml")]
    /// ```
    ///
    /// # Errors
    ///
    /// [`ConfigError`] names the unknown key or the bad value. No certificate is ever shown.
    pub fn from_toml_str(text: &str) -> Result<Self, ConfigError> {
        parse(text)
    }
}

fn parse(text: &str) -> Result<ServerConfig, ConfigError> {
    let document = toml::Deserializer::parse(text).map_err(|error| ConfigError {
        kind: ConfigErrorKind::Syntax,
        key: String::new(),
        line: error.span().map(|span| line_at(text, span.start)),
        what: match (error.message(), error.span().and_then(|span| text.get(span))) {
            ("duplicate key", Some(key)) => format!("the key {key} is there twice"),
            (message, _) => message.to_owned(),
        },
    })?;
    let file: File = serde_path_to_error::deserialize(document).map_err(|error| {
        let key = error.path().to_string();
        let error = error.into_inner();
        let unknown = error.message().starts_with("unknown field");
        ConfigError {
            kind: if unknown { ConfigErrorKind::UnknownKey } else { ConfigErrorKind::Value },
            key: if key == "." { String::new() } else { key },
            line: error.span().map(|span| line_at(text, span.start)),
            what: error.message().to_owned(),
        }
    })?;
    let config = file.into_config();
    config.check().map_err(|error| ConfigError { line: line_of(text, &error.key), ..error })?;
    Ok(config)
}

/// The line, counted from 1, of a place in the file.
fn line_at(text: &str, place: usize) -> usize {
    1 + text.as_bytes().iter().take(place).filter(|&&byte| byte == b'\n').count()
}

/// The line of a key like `project[0].settings.offline_after`, or of what it would stand in.
fn line_of(text: &str, key: &str) -> Option<usize> {
    let document = DeTable::parse(text).ok()?.into_inner();
    let mut place = None;
    let mut table = Some(&document);
    for part in key.split('.') {
        let (name, number) = match part.split_once('[') {
            Some((name, number)) => (name, number.strip_suffix(']').and_then(|number| number.parse::<usize>().ok())),
            None => (part, None),
        };
        let Some((key, value)) = table.and_then(|table| table.iter().find(|(key, _)| key.get_ref() == name)) else {
            break;
        };
        place = Some(key.span().start);
        let value = match (value.get_ref(), number) {
            (DeValue::Array(list), Some(number)) => {
                let Some(item) = list.get(number) else { break };
                place = Some(item.span().start);
                item.get_ref()
            }
            (value, _) => value,
        };
        table = value.as_table();
    }
    place.map(|place| line_at(text, place))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    listen: OneOrMore<Parsed<ListenAddress>>,
    advertise: Option<Parsed<Advertise>>,
    data_dir: Option<PathBuf>,
    tls: Option<TlsSection>,
    #[cfg(feature = "cluster")]
    cluster: Option<ClusterSection>,
    #[cfg(feature = "rest")]
    rest: Option<RestSection>,
    #[cfg(feature = "admin")]
    #[serde(default)]
    admin: AdminSection,
    #[cfg(feature = "cluster")]
    workers: Option<u16>,
    handshake_timeout: Option<Time>,
    login_timeout: Option<Time>,
    drain_time: Option<Time>,
    max_connections: Option<Count>,
    max_connections_per_address: Option<u32>,
    connects_per_address: Option<Limit>,
    refused_logins_per_address: Option<Limit>,
    #[serde(default)]
    project: Projects,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TlsSection {
    certificate: PathBuf,
    key: PathBuf,
}

#[cfg(feature = "admin")]
#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, default)]
struct AdminSection {
    listen: OneOrMore<Parsed<ListenAddress>>,
    hosts: OneOrMore<String>,
    key: Vec<AdminKeySection>,
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
            log: None,
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
    client: Option<TlsSection>,
}

#[cfg(feature = "cluster")]
impl ClusterSection {
    fn into_config(self) -> ClusterConfig {
        let mut config = ClusterConfig::new(self.nats.0.into_iter().map(|url| url.0).collect());
        config.nats_user = self.nats_user;
        config.nats_password_file = self.nats_password_file;
        config.nats_credentials = self.nats_credentials;
        config.nats_nkey_file = self.nats_nkey_file;
        config.nats_tls = self.nats_tls.map(|NatsTlsSection { ca, client }| {
            let client = client.map(|client| (client.certificate, client.key));
            NatsTls { ca, client }
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
    fn into_config(self, projects: &mut [ProjectConfig]) -> RestConfig {
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
            let tokens_may = RestRights {
                send: may(RestRight::Send),
                history: may(RestRight::History),
                events: may(RestRight::Events),
            };
            projects.iter_mut().for_each(|project| project.rest.tokens_may = tokens_may);
        }
        config
    }
}

/// A key of a back end.
#[cfg(feature = "rest")]
struct KeyOfRest(RestKey);

#[cfg(feature = "rest")]
impl<'de> Deserialize<'de> for KeyOfRest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(deny_unknown_fields)]
        struct Section {
            id: String,
            secret_sha256: String,
        }

        let Section { id, secret_sha256 } = Section::deserialize(deserializer)?;
        RestKey::new(&id, &secret_sha256).map(Self).map_err(de::Error::custom)
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ProjectSection {
    app_id: Parsed<AppId>,
    #[serde(default)]
    certificates: OneOrMore<Parsed<Certificate>>,
    honour_privilege_expiry: Option<bool>,
    #[serde(default)]
    limits: BTreeMap<Budget, Limit>,
    #[cfg(feature = "rest")]
    rest: Option<Limit>,
    #[cfg(feature = "rest")]
    #[serde(default)]
    rest_key: Vec<KeyOfRest>,
    #[serde(default)]
    settings: ProjectSettings,
}

macro_rules! project_settings {
    ($($setting:ident: $shape:ident,)*) => {
        /// The settings of a project that the file may have: all of them.
        #[derive(Deserialize, Default)]
        #[serde(deny_unknown_fields, default)]
        struct ProjectSettings {
            $($setting: Option<$shape>,)*
        }

        impl ProjectSettings {
            fn into_settings(self) -> Settings {
                let mut settings = Settings::default();
                $(if let Some(value) = self.$setting {
                    settings.$setting = value.0;
                })*
                settings
            }
        }

        #[cfg(test)]
        const SETTINGS: &[&str] = &[$(stringify!($setting)),*];
    };
}

project_settings! {
    unreachable_after: Time,
    offline_after: Time,
    resume_within: Time,
    receipt_within: Time,
    repeat_within: Time,
    repeat_ids: Count,
    session_bytes: Size,
    away_channel_messages: Count,
    presence_pause: Time,
    member_count_pause: Time,
    large_member_count_pause: Time,
    channel_attributes_for: Time,
    channel_attributes_bytes: Size,
    subscriptions_for: Time,
    subscriptions_bytes: Size,
    offline_messages: Count,
    offline_for: Time,
    history_for: Time,
    invitation_receipt_within: Time,
    invitation_answer_within: Time,
    open_invitations: Count,
    token_warning: Time,
    keep_attributes_on_return: Switch,
}

impl ProjectSection {
    fn into_config(self) -> ProjectConfig {
        let mut config = ProjectConfig::new(self.app_id.0);
        config.certificates = self.certificates.0.into_iter().map(|certificate| certificate.0).collect();
        if let Some(honour) = self.honour_privilege_expiry {
            config.token_policy = config.token_policy.honour_privilege_expiry(honour);
        }
        for (Budget(call), Limit(limit)) in self.limits {
            config.limits.set(call, limit);
        }
        config.settings = self.settings.into_settings();
        #[cfg(feature = "rest")]
        {
            config.rest.keys = self.rest_key.into_iter().map(|key| key.0).collect();
            if let Some(Limit(limit)) = self.rest {
                config.rest.limit = limit;
            }
        }
        config
    }
}

impl File {
    fn into_config(self) -> ServerConfig {
        let default = ServerConfig::default();
        #[cfg_attr(not(feature = "rest"), expect(unused_mut, reason = "they get their rights"))]
        let mut projects: Vec<_> = self.project.0.into_iter().map(ProjectSection::into_config).collect();
        #[cfg(feature = "rest")]
        let rest = self.rest.map_or(default.rest, |section| section.into_config(&mut projects));
        ServerConfig {
            #[cfg(feature = "rest")]
            rest,
            listen: self.listen.0.into_iter().map(|address| address.0).collect(),
            advertise: self.advertise.map(|address| address.0),
            tls: self.tls.map(|TlsSection { certificate, key }| TlsFiles::new(certificate, key)),
            data_dir: self.data_dir,
            #[cfg(feature = "cluster")]
            cluster: self.cluster.map(ClusterSection::into_config),
            #[cfg(feature = "admin")]
            admin: self.admin.into_config(),
            #[cfg(feature = "cluster")]
            workers: self.workers.unwrap_or(default.workers),
            handshake_timeout: self.handshake_timeout.map_or(default.handshake_timeout, |time| time.0),
            login_timeout: self.login_timeout.map_or(default.login_timeout, |time| time.0),
            drain_time: self.drain_time.map(|time| time.0),
            max_connections: self.max_connections.map_or(default.max_connections, |count| count.0),
            max_connections_per_address: self
                .max_connections_per_address
                .unwrap_or(default.max_connections_per_address),
            connects_per_address: self.connects_per_address.map_or(default.connects_per_address, |limit| limit.0),
            refused_logins_per_address: self
                .refused_logins_per_address
                .map_or(default.refused_logins_per_address, |limit| limit.0),
            projects,
        }
    }
}

/// All projects: `[[project]]`, once for each.
#[derive(Default)]
struct Projects(Vec<ProjectSection>);

impl<'de> Deserialize<'de> for Projects {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List;

        impl<'de> Visitor<'de> for List {
            type Value = Projects;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("one [[project]] or more")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Projects, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                Ok(Projects(all))
            }

            fn visit_map<A: MapAccess<'de>>(self, _: A) -> Result<Projects, A::Error> {
                Err(de::Error::custom("there may be several: write [[project]] with two brackets"))
            }
        }

        deserializer.deserialize_any(List)
    }
}

/// A value that is written as text and says itself what is wrong with it.
struct Parsed<T>(T);

impl<'de, T: FromStr<Err: fmt::Display>> Deserialize<'de> for Parsed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map(Self).map_err(de::Error::custom)
    }
}

/// A list, or its only element.
struct OneOrMore<T>(Vec<T>);

impl<T> Default for OneOrMore<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMore<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct List<T>(std::marker::PhantomData<T>);

        impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
            type Value = Vec<T>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text or a list of texts")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Vec<T>, E> {
                Ok(vec![T::deserialize(de::value::StrDeserializer::new(text))?])
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Vec<T>, A::Error> {
                let mut all = Vec::new();
                while let Some(one) = list.next_element()? {
                    all.push(one);
                }
                if all.is_empty() {
                    return Err(de::Error::custom("the list is empty: write something in it, or leave it out"));
                }
                Ok(all)
            }
        }

        deserializer.deserialize_any(List(std::marker::PhantomData)).map(Self)
    }
}

/// A time, written as `10s`, `500ms`, `5m`, `7d`.
struct Time(Duration);

impl<'de> Deserialize<'de> for Time {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text =
            text_or(deserializer, "a time in quotes with its unit: \"500ms\", \"10s\", \"5m\", \"24h\" or \"7d\"")?;
        match humantime::parse_duration(&text) {
            Ok(time) if time <= MAX_TIME => Ok(Self(time)),
            Ok(_) => Err(de::Error::custom(format!("{text:?} is longer than a year"))),
            Err(_) => Err(de::Error::custom(format!("{text:?} is not a time: write 500ms, 10s, 5m, 24h or 7d"))),
        }
    }
}

/// A text; `expected` is said of anything else.
fn text_or<'de, D: Deserializer<'de>>(deserializer: D, expected: &'static str) -> Result<String, D::Error> {
    struct Text(&'static str);

    impl Visitor<'_> for Text {
        type Value = String;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }

        fn visit_str<E: de::Error>(self, text: &str) -> Result<String, E> {
            Ok(text.to_owned())
        }
    }

    deserializer.deserialize_any(Text(expected))
}

/// A number above zero.
struct Count(usize);

impl<'de> Deserialize<'de> for Count {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        match usize::deserialize(deserializer)? {
            0 => Err(de::Error::custom("has to be at least 1")),
            count => Ok(Self(count)),
        }
    }
}

/// A size in bytes, written as a number or as `64KiB`, `4MiB`, `1GiB`.
struct Size(usize);

impl<'de> Deserialize<'de> for Size {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = usize;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a size in bytes: a number, or a text like 64KiB, 4MiB or 1GiB")
            }

            fn visit_i64<E: de::Error>(self, bytes: i64) -> Result<usize, E> {
                usize::try_from(bytes).map_err(|_| E::invalid_value(de::Unexpected::Signed(bytes), &self))
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<usize, E> {
                let units = [("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30)];
                let size = units.into_iter().find_map(|(unit, bytes)| {
                    text.strip_suffix(unit)?.trim().parse::<usize>().ok()?.checked_mul(bytes)
                });
                size.ok_or_else(|| E::invalid_value(de::Unexpected::Str(text), &self))
            }
        }

        deserializer.deserialize_any(Bytes).map(Self)
    }
}

/// Yes or no.
#[derive(Deserialize)]
struct Switch(bool);

/// A call limit, written as `180/3s`, or `unlimited`.
struct Limit(CallLimit);

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = text_or(deserializer, "a limit in quotes: \"180/3s\" or \"unlimited\"")?;
        if text == "unlimited" {
            return Ok(Self(CallLimit::UNLIMITED));
        }
        let limit = text.split_once('/').and_then(|(calls, per)| {
            let calls = calls.trim().parse().ok().filter(|&calls| calls > 0 && calls <= MAX_CALLS)?;
            let per = humantime::parse_duration(per.trim()).ok().filter(|per| *per <= MAX_WINDOW)?;
            let per_ms = u32::try_from(per.as_millis()).ok().filter(|&per_ms| per_ms > 0)?;
            Some(CallLimit::new(calls, Duration::from_millis(per_ms.into())))
        });
        limit.map(Self).ok_or_else(|| {
            de::Error::custom(format!(
                "{text:?} is not a limit: write 180/3s (1 to {MAX_CALLS} calls, within 1ms to 1h) or unlimited"
            ))
        })
    }
}

/// The name of a call budget.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Budget(LimitedCall);

impl<'de> Deserialize<'de> for Budget {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let name = String::deserialize(deserializer)?;
        LimitedCall::ALL.into_iter().find(|call| call.as_str() == name).map(Self).ok_or_else(|| {
            let names: Vec<_> = LimitedCall::ALL.iter().map(|call| call.as_str()).collect();
            de::Error::custom(format!("unknown field `{name}`, expected one of {}", names.join(", ")))
        })
    }
}

const MAX_TIME: Duration = Duration::from_secs(366 * 24 * 3600);
const MAX_WINDOW: Duration = Duration::from_secs(3600);
/// Each counted call is remembered for its window, by every client.
const MAX_CALLS: u32 = 10_000;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_file_has_every_setting_of_a_project() {
        let settings = format!("{:?}", Settings::default());
        let names = settings.trim_start_matches("Settings {").trim_end_matches('}').split(", ");
        let names: Vec<_> = names.filter_map(|field| Some(field.split_once(": ")?.0.trim())).collect();
        assert_eq!(names, SETTINGS);
    }
}
