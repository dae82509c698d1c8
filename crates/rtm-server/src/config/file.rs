//! Reads the TOML file, and says where in it something is wrong.

use toml::de::{DeTable, DeValue};

use super::{ServerConfig, sections::File};
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
