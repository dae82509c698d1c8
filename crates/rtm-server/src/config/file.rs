//! Reads the TOML file, and says where in it something is wrong.

use toml::{
    Table, Value,
    de::{DeTable, DeValue},
};

use super::{ServerConfig, env::Environment, sections::File, sources::Sources};
use crate::error::{ConfigError, ConfigErrorKind};

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

    /// Reads a configuration in TOML and the variables of the environment, which come before it: `RTM_` and the key in capitals,
    /// with two underscores between its levels (`RTM_ADMIN__LISTEN`, `RTM_PROJECT__0__APP_ID`; [`ServerConfig::keys`] has all). Lists
    /// have commas. With `_FILE` behind its name a variable says which file has a secret. Empty variables and those that do not
    /// begin with `RTM_` are ignored.
    ///
    /// Gives also the variables that begin with `RTM_` and are no settings.
    ///
    /// ```
    /// use rtm_server::ServerConfig;
    ///
    /// let variables = [("RTM_DATA_DIR", "/data"), ("RTM_PROJECT__0__APP_ID", "0123456789abcdef0123456789abcdef"), ("RTM_PORT", "1")];
    /// let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    /// let (config, unknown) = ServerConfig::from_toml_and_env("data_dir = '/other'", variables)?;
    /// assert_eq!(config.data_dir.unwrap().to_str(), Some("/data"));
    /// assert_eq!(config.projects.len(), 1);
    /// assert_eq!(unknown, ["RTM_PORT"]);
    /// # Ok::<(), rtm_server::ConfigError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// As [`from_toml_str`](Self::from_toml_str). The key of a fault in a variable is the variable.
    pub fn from_toml_and_env(
        text: &str,
        variables: impl IntoIterator<Item = (String, String)>,
    ) -> Result<(Self, Vec<String>), ConfigError> {
        let mut environment = Environment::read(variables)?;
        let config = if environment.is_empty() { parse(text)? } else { parse_with(text, &environment)? };
        Ok((config, std::mem::take(&mut environment.unknown)))
    }
}

fn parse(text: &str) -> Result<ServerConfig, ConfigError> {
    let document = toml::Deserializer::parse(text).map_err(|error| syntax(text, &error))?;
    let file: File = serde_path_to_error::deserialize(document).map_err(|error| {
        let line = error.inner().span().map(|span| line_at(text, span.start));
        ConfigError { line, ..wrong(error) }
    })?;
    let mut config = file.into_config();
    config.sources = Sources::of_file(&toml::from_str(text).map_err(|error| syntax(text, &error))?);
    config.check().map_err(|error| ConfigError { line: line_of(text, &error.key), ..error })?;
    Ok(config)
}

fn parse_with(text: &str, environment: &Environment) -> Result<ServerConfig, ConfigError> {
    let mut table: Table = toml::from_str(text).map_err(|error| syntax(text, &error))?;
    let mut sources = Sources::of_file(&table);
    environment.put_into(&mut table)?;
    environment.put_sources_into(&mut sources);
    // A fault of the file has its line, and one of a variable its name.
    let placed = |error: ConfigError| match environment.variable_of(&error.key) {
        Some(variable) => ConfigError { key: variable.to_owned(), ..error },
        None => ConfigError { line: line_of(text, &error.key), ..error },
    };
    let file: File = serde_path_to_error::deserialize(Value::Table(table)).map_err(|error| placed(wrong(error)))?;
    let mut config = file.into_config();
    config.sources = sources;
    config.check().map_err(placed)?;
    Ok(config)
}

/// It is not TOML.
fn syntax(text: &str, error: &toml::de::Error) -> ConfigError {
    ConfigError {
        kind: ConfigErrorKind::Syntax,
        key: String::new(),
        line: error.span().map(|span| line_at(text, span.start)),
        what: match (error.message(), error.span().and_then(|span| text.get(span))) {
            ("duplicate key", Some(key)) => format!("the key {key} is there twice"),
            (message, _) => message.to_owned(),
        },
    }
}

/// A key or a value is wrong.
fn wrong(error: serde_path_to_error::Error<toml::de::Error>) -> ConfigError {
    let key = error.path().to_string();
    let what = error.into_inner().message().to_owned();
    let is_unknown = what.starts_with("unknown field");
    ConfigError {
        kind: if is_unknown { ConfigErrorKind::UnknownKey } else { ConfigErrorKind::Value },
        key: if key == "." { String::new() } else { key },
        line: None,
        what,
    }
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
