//! Who said what of a configuration: the file, the environment, a flag, or nobody.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::ServerConfig;
#[cfg(feature = "admin")]
use super::keys::ConfigKey;

/// Where the value of a setting comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum ConfigSource {
    /// Nobody has said anything of it.
    Default,
    /// The config file.
    File,
    /// This variable of the environment.
    Environment(String),
    /// This flag of the program.
    Flag(String),
    /// The program itself.
    Program,
}

/// A setting, for those who look.
#[cfg(feature = "admin")]
#[derive(Debug)]
pub(crate) struct Setting {
    pub(crate) key: String,
    /// As the file writes it, without secrets.
    pub(crate) value: String,
    pub(crate) source: ConfigSource,
    /// Whether a reload takes another value.
    pub(crate) is_live: bool,
    pub(crate) about: &'static str,
}

/// The sources of all settings of which somebody has said something, by their keys.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct Sources(BTreeMap<String, ConfigSource>);

impl ConfigSource {
    /// Its kind, in small letters.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Default => "default",
            Self::File => "file",
            Self::Environment(_) => "environment",
            Self::Flag(_) => "flag",
            Self::Program => "program",
        }
    }

    /// The variable or the flag.
    #[must_use]
    pub fn name(&self) -> Option<&str> {
        match self {
            Self::Environment(name) | Self::Flag(name) => Some(name),
            _ => None,
        }
    }
}

impl ServerConfig {
    /// Says where the value of a setting comes from, and of all settings in it if it is a table or a list. The key is one of
    /// [`entries`](Self::entries), or the beginning of one.
    pub fn set_source(&mut self, key: &str, source: ConfigSource) {
        self.sources.set(key, source);
    }

    /// Where the value of a setting comes from.
    #[must_use]
    pub fn source(&self, key: &str) -> ConfigSource {
        self.sources.of(key).cloned().unwrap_or(ConfigSource::Default)
    }

    /// All settings with where they come from.
    #[cfg(feature = "admin")]
    pub(crate) fn settings(&self) -> Vec<Setting> {
        let known: BTreeMap<String, ConfigKey> = Self::keys().into_iter().map(|key| (key.name.clone(), key)).collect();
        let describe = |(key, value): (String, String)| {
            let pattern = pattern(&key);
            let about = ancestors(&pattern).find_map(|name| known.get(name));
            let default = known.get(&pattern).and_then(|key| key.default.as_ref());
            let source = match self.sources.of(&key) {
                Some(source) => source.clone(),
                // An empty text says nothing.
                None if default == Some(&value) || value == "\"\"" => ConfigSource::Default,
                None => ConfigSource::Program,
            };
            Setting {
                value,
                source,
                is_live: about.is_some_and(|key| key.is_live),
                about: about.map_or("", |key| key.about),
                key,
            }
        };
        self.entries().into_iter().map(describe).collect()
    }
}

impl Sources {
    /// Of what a file says.
    pub(super) fn of_file(file: &Table) -> Self {
        let mut sources = Self::default();
        file.iter().for_each(|(name, value)| sources.add(name.clone(), value));
        sources
    }

    fn add(&mut self, key: String, value: &Value) {
        match value {
            Value::Table(table) => table.iter().for_each(|(name, value)| self.add(format!("{key}.{name}"), value)),
            Value::Array(list) if list.iter().any(Value::is_table) => {
                list.iter().enumerate().for_each(|(at, value)| self.add(format!("{key}[{at}]"), value));
            }
            _ => drop(self.0.insert(key, ConfigSource::File)),
        }
    }

    pub(super) fn set(&mut self, key: &str, source: ConfigSource) {
        self.0.retain(|known, _| !is_in(known, key));
        self.0.insert(key.to_owned(), source);
    }

    /// Takes over where a setting came from before.
    pub(crate) fn keep(&mut self, key: &str, before: &Self) {
        self.0.retain(|known, _| !is_in(known, key));
        let kept = before.0.iter().filter(|(known, _)| is_in(known, key) || is_in(key, known));
        self.0.extend(kept.map(|(known, source)| (known.clone(), source.clone())));
    }

    /// Where a setting comes from: said of itself, of what it is in, or of something in it.
    fn of(&self, key: &str) -> Option<&ConfigSource> {
        let around = ancestors(key).find_map(|key| self.0.get(key));
        let mut below = self.0.range(key.to_owned()..).take_while(|(known, _)| known.starts_with(key));
        around.or_else(|| below.find(|(known, _)| is_in(known, key)).map(|(_, source)| source))
    }
}

/// Whether a key is another one, or stands in it.
fn is_in(key: &str, other: &str) -> bool {
    key.strip_prefix(other).is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '[']))
}

/// A key, and all that it stands in.
fn ancestors(key: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(key), |key| key.rfind(['.', '[']).and_then(|at| key.get(..at)))
}

/// A key without its numbers.
#[cfg(feature = "admin")]
fn pattern(key: &str) -> String {
    let parts = key.split('[').enumerate();
    let part = |(at, part): (usize, &str)| match part.split_once(']') {
        Some((_, rest)) if at > 0 => format!("[]{rest}"),
        _ => part.to_owned(),
    };
    parts.map(part).collect()
}

/// A value without the passwords and queries of the URLs in it.
pub(crate) fn without_secrets(value: &str) -> String {
    let mut shown = String::new();
    let mut rest = value;
    while let Some((before, after)) = rest.split_once("://") {
        shown.push_str(before);
        shown.push_str("://");
        let end = after.find('"').unwrap_or(after.len());
        let (url, behind) = after.split_at(end);
        let (url, query) = url.split_once('?').map_or((url, ""), |(url, _)| (url, "?…"));
        let (authority, path) = url.split_at(url.find('/').unwrap_or(url.len()));
        match authority.rsplit_once('@') {
            Some((_, host)) => shown.extend(["…@", host]),
            None => shown.push_str(authority),
        }
        shown.extend([path, query]);
        rest = behind;
    }
    shown + rest
}

#[cfg(all(test, feature = "admin"))]
mod tests {
    use super::*;

    fn source(config: &ServerConfig, key: &str) -> ConfigSource {
        let found = config.settings().into_iter().find(|setting| setting.key == key);
        found.unwrap_or_else(|| panic!("there is no {key}")).source
    }

    #[test]
    fn each_setting_says_where_it_comes_from() {
        let file = "
            listen = ['127.0.0.1:1', { address = '127.0.0.1:2', tls = false }]
            drain_time = '5s'
            [log]
            level = 'warn'
            [[project]]
            app_id = '0123456789abcdef0123456789abcdef'
            limits = { send_message = '360/3s' }
        ";
        let variables = [("RTM_DRAIN_TIME", "7s"), ("RTM_PROJECT__0__SETTINGS__OFFLINE_AFTER", "40s")];
        let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let (mut config, _) = ServerConfig::from_toml_and_env(file, variables).unwrap();
        config.set_source("log", ConfigSource::Flag("--log-format".to_owned()));
        config.drain_rate = 7;
        let variable = |name: &str| ConfigSource::Environment(name.to_owned());
        for (key, wanted) in [
            ("listen[0].address", ConfigSource::File),
            ("listen[1].tls", ConfigSource::File),
            ("drain_time", variable("RTM_DRAIN_TIME")),
            ("drain_delay", ConfigSource::Default),
            ("drain_rate", ConfigSource::Program),
            ("log.level", ConfigSource::Flag("--log-format".to_owned())),
            ("project[0].app_id", ConfigSource::File),
            ("project[0].limits.send_message", ConfigSource::File),
            ("project[0].limits.query_history", ConfigSource::Default),
            ("project[0].settings.offline_after", variable("RTM_PROJECT__0__SETTINGS__OFFLINE_AFTER")),
        ] {
            assert_eq!(source(&config, key), wanted, "{key}");
        }
        let settings = config.settings();
        let app_id = settings.iter().find(|setting| setting.key == "project[0].app_id").unwrap();
        assert!(!app_id.about.is_empty());
        assert!(settings.iter().find(|setting| setting.key == "drain_rate").unwrap().is_live);
    }

    #[test]
    fn what_a_reload_does_not_take_is_said_to_come_from_where_it_came() {
        let read = |text: &str| ServerConfig::from_toml_str(text).unwrap().sources;
        let before = read("data_dir = '/one'");
        let mut after = Sources::default();
        after.set("data_dir", ConfigSource::Environment("RTM_DATA_DIR".to_owned()));
        after.keep("data_dir", &before);
        assert_eq!(after.of("data_dir"), Some(&ConfigSource::File));
    }

    #[test]
    fn urls_are_shown_without_what_is_secret() {
        for (value, shown) in [
            ("\"https://example.com/hooks\"", "\"https://example.com/hooks\""),
            ("\"https://me:secret@example.com/a?token=b\"", "\"https://…@example.com/a?…\""),
            ("\"https://example.com/a?b=c,token=d\"", "\"https://example.com/a?…\""),
            ("[\"nats://a:b@one:4222\", \"nats://two:4222\"]", "[\"nats://…@one:4222\", \"nats://two:4222\"]"),
            ("\"10s\"", "\"10s\""),
        ] {
            assert_eq!(without_secrets(value), shown);
        }
    }
}
