//! Where traces go, and which.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use hyper::{
    Uri,
    header::{HeaderName, HeaderValue},
};
use sha2::{Digest as _, Sha256};

use super::exporter::client;
use crate::{
    error::{ConfigError, ServerError},
    webhooks::client::fault,
};

/// Where traces of what the server does for back ends and operators go: calls of the REST and the admin API, deliveries to
/// webhooks, batches of the store. They are sent as OTLP, protobuf over HTTP.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct OtlpConfig {
    /// The collector's address, such as `http://127.0.0.1:4318`. `/v1/traces` is added to its path.
    pub endpoint: String,
    /// Headers that the collector wants.
    pub headers: Vec<OtlpHeader>,
    /// Which part of the traces is sent, 0 to 1 (1). A call with a `traceparent` does as its caller does.
    pub sample_ratio: f64,
    /// What the server is called there (`rtm`).
    pub service_name: String,
    /// What else is said of the server, such as `deployment.environment.name` and `production`.
    pub resource_attributes: Vec<OtlpAttribute>,
    /// How long the collector may take for an answer (10 s).
    pub timeout: Duration,
    /// A PEM file with authorities that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
}

/// A header for a collector: `NAME=VALUE`. `Debug` shows no value.
#[derive(Clone, PartialEq, Eq)]
pub struct OtlpHeader {
    pub(super) name: HeaderName,
    pub(super) value: HeaderValue,
}

/// Something that is said of the server: `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtlpAttribute {
    pub(super) name: String,
    pub(super) value: String,
}

/// This is no `NAME=VALUE`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct InvalidNameValue {
    what: &'static str,
}

impl OtlpConfig {
    /// The usual settings, with this collector.
    #[must_use]
    pub fn new(endpoint: impl Into<String>) -> Self {
        Self {
            endpoint: endpoint.into(),
            headers: Vec::new(),
            sample_ratio: 1.0,
            service_name: "rtm".to_owned(),
            resource_attributes: Vec::new(),
            timeout: Duration::from_secs(10),
            ca_file: None,
        }
    }

    /// Reads the file that it names, as a server does at its start. Blocks.
    ///
    /// # Errors
    ///
    /// [`ServerError::Tls`] when it cannot be used.
    pub fn check_files(&self) -> Result<(), ServerError> {
        client(self).map(drop)
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let fault_in = |key: &str, what: String| Err(ConfigError::value(format!("otlp.{key}"), what));
        let uri = self.endpoint.parse::<Uri>();
        let what = match &uri {
            Ok(uri) if uri.query().is_some() => Some("a URL with a query is not taken".to_owned()),
            // It is where whoever runs the server wants it to be.
            Ok(uri) => fault(uri, true),
            Err(_) => Some("it is no URL that begins with https:// or http://".to_owned()),
        };
        if let Some(what) = what {
            return fault_in("endpoint", what);
        }
        if !(0.0..=1.0).contains(&self.sample_ratio) {
            return fault_in("sample_ratio", "it has to be 0 to 1".to_owned());
        }
        if self.service_name.trim().is_empty() {
            return fault_in("service_name", "it is empty".to_owned());
        }
        if self.timeout.is_zero() {
            return fault_in("timeout", "it has to be longer than 0".to_owned());
        }
        Ok(())
    }

    /// Where requests go.
    pub(super) fn url(&self) -> String {
        let base = self.endpoint.trim_end_matches('/');
        if base.ends_with(PATH) { base.to_owned() } else { format!("{base}{PATH}") }
    }
}

impl OtlpHeader {
    /// Its name, and what tells its value from others.
    pub(crate) fn shown(&self) -> String {
        let digest = Sha256::digest(self.value.as_bytes());
        let start: String = digest.iter().take(4).map(|byte| format!("{byte:02x}")).collect();
        format!("{}=<{start}…>", self.name)
    }
}

impl FromStr for OtlpHeader {
    type Err = InvalidNameValue;

    /// Reads `NAME=VALUE`.
    fn from_str(text: &str) -> Result<Self, InvalidNameValue> {
        let (name, value) = pair(text)?;
        let name =
            name.parse().map_err(|_| InvalidNameValue { what: "a header's name has a letter that it cannot have" })?;
        let value = HeaderValue::from_str(value);
        let mut value =
            value.map_err(|_| InvalidNameValue { what: "a header's value has a letter that it cannot have" })?;
        value.set_sensitive(true);
        Ok(Self { name, value })
    }
}

impl FromStr for OtlpAttribute {
    type Err = InvalidNameValue;

    /// Reads `NAME=VALUE`.
    fn from_str(text: &str) -> Result<Self, InvalidNameValue> {
        let (name, value) = pair(text)?;
        Ok(Self { name: name.to_owned(), value: value.to_owned() })
    }
}

/// A name and a value. What is wrong is said without the text, which may be a secret.
fn pair(text: &str) -> Result<(&str, &str), InvalidNameValue> {
    let pair = text.split_once('=').map(|(name, value)| (name.trim(), value.trim()));
    pair.filter(|(name, _)| !name.is_empty()).ok_or(InvalidNameValue { what: "it is not NAME=VALUE" })
}

impl fmt::Debug for OtlpHeader {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "OtlpHeader({})", self.shown())
    }
}

impl fmt::Display for OtlpAttribute {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.name, self.value)
    }
}

const PATH: &str = "/v1/traces";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_go_to_the_collectors_own_path() {
        for (endpoint, url) in [
            ("http://127.0.0.1:4318", "http://127.0.0.1:4318/v1/traces"),
            ("http://127.0.0.1:4318/", "http://127.0.0.1:4318/v1/traces"),
            ("https://example.com/otlp", "https://example.com/otlp/v1/traces"),
            ("https://example.com/otlp/v1/traces", "https://example.com/otlp/v1/traces"),
        ] {
            assert_eq!(OtlpConfig::new(endpoint).url(), url);
        }
    }

    #[test]
    fn nobody_sees_the_value_of_a_header() {
        let header: OtlpHeader = "authorization = Bearer secret=".parse().unwrap();
        assert_eq!(header.value, "Bearer secret=");
        let shown = format!("{header:?}");
        assert!(shown.contains("authorization") && !shown.contains("secret"), "{shown}");
        for bad in ["authorization", "=secret", "a b=secret", "a=secret\u{7}"] {
            let error = bad.parse::<OtlpHeader>().unwrap_err().to_string();
            assert!(!error.contains("secret"), "{error}");
        }
    }
}
