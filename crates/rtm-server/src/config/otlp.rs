//! The table `[otlp]` of the file.

use std::path::PathBuf;

use serde::Deserialize;

use super::values::{Decimal, OneOrMore, Parsed, Time};
use crate::traces::config::{OtlpAttribute, OtlpConfig, OtlpHeader};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtlpSection {
    endpoint: String,
    #[serde(default)]
    headers: OneOrMore<Parsed<OtlpHeader>>,
    sample_ratio: Option<Decimal>,
    service_name: Option<String>,
    #[serde(default)]
    resource_attributes: OneOrMore<Parsed<OtlpAttribute>>,
    timeout: Option<Time>,
    ca_file: Option<PathBuf>,
}

impl OtlpSection {
    pub(super) fn into_config(self) -> OtlpConfig {
        let mut config = OtlpConfig::new(self.endpoint);
        config.headers = self.headers.0.into_iter().map(|header| header.0).collect();
        config.sample_ratio = self.sample_ratio.map_or(config.sample_ratio, |ratio| ratio.0);
        config.service_name = self.service_name.unwrap_or(config.service_name);
        config.resource_attributes = self.resource_attributes.0.into_iter().map(|attribute| attribute.0).collect();
        config.timeout = self.timeout.map_or(config.timeout, |time| time.0);
        config.ca_file = self.ca_file;
        config
    }
}
