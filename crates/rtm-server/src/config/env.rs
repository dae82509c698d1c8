//! Settings from the environment: `RTM_` and the key in capitals, with two underscores between its levels.

use std::{collections::BTreeMap, fs};

use toml::{Table, Value};

use super::{
    ServerConfig,
    keys::{ConfigKey, ConfigKind},
    sources::{ConfigSource, Sources},
};
use crate::error::{ConfigError, ConfigErrorKind};

/// What the environment says.
pub(super) struct Environment {
    settings: BTreeMap<Vec<Part>, Setting>,
    /// Variables that begin like these and are none.
    pub(super) unknown: Vec<String>,
}

/// A step on the way to a value. Numbers come in their order.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(usize),
    Name(String),
}

struct Setting {
    variable: String,
    value: Value,
}

impl Environment {
    /// Takes the variables that are settings. Empty ones are as if they were not there.
    pub(super) fn read(variables: impl IntoIterator<Item = (String, String)>) -> Result<Self, ConfigError> {
        let keys = by_variable();
        let mut read = Self { settings: BTreeMap::new(), unknown: Vec::new() };
        for (variable, text) in variables {
            let Some(name) = variable.strip_prefix("RTM_").filter(|_| !OTHERS.contains(&variable.as_str())) else {
                continue;
            };
            if text.is_empty() {
                continue;
            }
            let Some((key, name, is_file)) = find(&keys, name) else {
                read.unknown.push(variable);
                continue;
            };
            let fault = |what: String| fault(&variable, what);
            let text = if is_file {
                fs::read_to_string(&text)
                    .map_err(|error| fault(format!("cannot read {text}: {error}")))?
                    .trim()
                    .to_owned()
            } else {
                text
            };
            let value = value(key.kind, &text).map_err(fault)?;
            let setting = Setting { variable: variable.clone(), value };
            if let Some(other) = read.settings.insert(parts(name), setting) {
                return Err(fault(format!("{} is set too: remove one of the two", other.variable)));
            }
        }
        read.unknown.sort_unstable();
        Ok(read)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.settings.is_empty()
    }

    /// Puts the settings into what the file says, in place of what it says of them.
    pub(super) fn put_into(&self, file: &mut Table) -> Result<(), ConfigError> {
        for (parts, setting) in &self.settings {
            let place = place(file, parts).map_err(|what| fault(&setting.variable, what))?;
            *place = setting.value.clone();
        }
        Ok(())
    }

    /// Says which settings come from variables.
    pub(super) fn put_sources_into(&self, sources: &mut Sources) {
        for (parts, setting) in &self.settings {
            let mut key = String::new();
            for part in parts {
                match part {
                    Part::Number(number) => key.push_str(&format!("[{number}]")),
                    Part::Name(name) if key.is_empty() => key.push_str(name),
                    Part::Name(name) => key.extend([".", name]),
                }
            }
            sources.set(&key, ConfigSource::Environment(setting.variable.clone()));
        }
    }

    /// The variable that a fault in this key is about.
    pub(super) fn variable_of(&self, key: &str) -> Option<&str> {
        let wanted: Vec<Part> = key.replace('[', ".").replace(']', "").split('.').map(part).collect();
        let found = self.settings.iter().find(|(parts, _)| wanted.starts_with(parts));
        found.map(|(_, setting)| setting.variable.as_str())
    }
}

impl ServerConfig {
    /// Whether a variable of the environment is a setting, or says which file has one.
    ///
    /// ```
    /// use rtm_server::ServerConfig;
    ///
    /// assert!(ServerConfig::has_variable("RTM_PROJECT__0__APP_ID"));
    /// assert!(!ServerConfig::has_variable("RTM_PORT"));
    /// ```
    #[must_use]
    pub fn has_variable(name: &str) -> bool {
        name.strip_prefix("RTM_").is_some_and(|name| find(&by_variable(), name).is_some())
    }

    /// The variable of a setting that another name is most like, if there is one.
    ///
    /// ```
    /// use rtm_server::ServerConfig;
    ///
    /// assert_eq!(ServerConfig::nearest_variable("RTM_LISTEM").as_deref(), Some("RTM_LISTEN"));
    /// assert_eq!(ServerConfig::nearest_variable("RTM_PORT"), None);
    /// ```
    #[must_use]
    pub fn nearest_variable(name: &str) -> Option<String> {
        let wanted = pattern(name.strip_prefix("RTM_")?);
        let changes = by_variable().into_keys().map(|known| (strsim::damerau_levenshtein(&wanted, &known), known));
        let (_, nearest) = changes.filter(|(changes, _)| *changes <= MISTYPED).min()?;
        // The numbers are those that were given.
        let numbers: Vec<&str> = name.split("__").filter(|part| is_number(part)).collect();
        let mut numbers = numbers.into_iter();
        let parts = nearest.split("__").map(|part| match part {
            "N" => numbers.next().unwrap_or(part),
            part => part,
        });
        Some(parts.collect::<Vec<_>>().join("__"))
    }
}

/// All keys by the variables that set them.
fn by_variable() -> BTreeMap<String, ConfigKey> {
    ServerConfig::keys().into_iter().map(|key| (key.variable(), key)).collect()
}

/// The key that a variable sets, the part of its name that names the key, and whether it says which file has the value.
fn find<'k, 'n>(keys: &'k BTreeMap<String, ConfigKey>, name: &'n str) -> Option<(&'k ConfigKey, &'n str, bool)> {
    if let Some(key) = keys.get(&pattern(name)) {
        return Some((key, name, false));
    }
    let name = name.strip_suffix("_FILE")?;
    let key = keys.get(&pattern(name)).filter(|key| key.is_secret())?;
    Some((key, name, true))
}

/// Where a value goes. What is on the way there is made.
fn place<'t>(file: &'t mut Table, parts: &[Part]) -> Result<&'t mut Value, String> {
    let (Some(Part::Name(first)), rest) = (parts.first(), parts.get(1..).unwrap_or_default()) else {
        return Err("it names no key".to_owned());
    };
    let empty = |next: Option<&Part>| match next {
        Some(Part::Number(_)) => Value::Array(Vec::new()),
        Some(Part::Name(_)) => Value::Table(Table::new()),
        None => Value::Boolean(false),
    };
    let mut value = file.entry(first.clone()).or_insert_with(|| empty(rest.first()));
    for (at, part) in rest.iter().enumerate() {
        let next = rest.get(at + 1);
        value = match (value, part) {
            (Value::Table(table), Part::Name(name)) => table.entry(name.clone()).or_insert_with(|| empty(next)),
            (Value::Array(list), Part::Number(number)) => {
                if *number > list.len() {
                    return Err(format!("number {} is missing: numbers begin at 0 and leave none out", list.len()));
                }
                if *number == list.len() {
                    list.push(empty(next));
                }
                &mut list[*number]
            }
            _ => return Err("the file has something else in this place".to_owned()),
        };
    }
    Ok(value)
}

/// A value as the file would have it.
fn value(kind: ConfigKind, text: &str) -> Result<Value, String> {
    let text = text.trim();
    match kind {
        ConfigKind::Text | ConfigKind::Secret => Ok(Value::String(text.to_owned())),
        ConfigKind::Number => text.parse().map(Value::Integer).map_err(|_| format!("{text:?} is not a number")),
        ConfigKind::Decimal => text.parse().map(Value::Float).map_err(|_| format!("{text:?} is not a number")),
        ConfigKind::Size => Ok(text.parse().map_or_else(|_| Value::String(text.to_owned()), Value::Integer)),
        ConfigKind::Switch => text.parse().map(Value::Boolean).map_err(|_| format!("{text:?} is not true or false")),
        ConfigKind::List | ConfigKind::SecretList => {
            let items = text.split([',', '\n']).map(str::trim).filter(|item| !item.is_empty());
            Ok(Value::Array(items.map(|item| Value::String(item.to_owned())).collect()))
        }
    }
}

/// A name with `N` for each number.
fn pattern(name: &str) -> String {
    let parts = name.split("__").map(|part| match part {
        // Where a number has to be put, as in a list of all variables.
        "N" => "",
        number if is_number(number) => "N",
        name => name,
    });
    format!("RTM_{}", parts.collect::<Vec<_>>().join("__"))
}

fn parts(name: &str) -> Vec<Part> {
    name.to_lowercase().split("__").map(part).collect()
}

fn part(text: &str) -> Part {
    match text.parse() {
        Ok(number) if is_number(text) => Part::Number(number),
        _ => Part::Name(text.to_owned()),
    }
}

fn is_number(part: &str) -> bool {
    !part.is_empty() && part.len() <= 4 && part.bytes().all(|byte| byte.is_ascii_digit())
}

fn fault(variable: &str, what: String) -> ConfigError {
    ConfigError { kind: ConfigErrorKind::Value, key: variable.to_owned(), line: None, what }
}

/// So many letters of a name may be wrong.
const MISTYPED: usize = 2;
/// What the commands of `rtm` read.
const OTHERS: [&str; 8] = [
    "RTM_GATEWAY",
    "RTM_APP_ID",
    "RTM_UID",
    "RTM_TOKEN",
    "RTM_CERTIFICATE",
    "RTM_ADMIN_URL",
    "RTM_ADMIN_KEY",
    "RTM_LOG",
];
