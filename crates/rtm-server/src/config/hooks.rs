//! The tables `[[project.webhook]]` and `[[project.hook]]` of the file.

use std::path::PathBuf;

use rtm_codec::AppId;
use serde::{Deserialize, Deserializer, de};

use super::values::{Count, OneOrMore, Parsed, Time};
use crate::webhooks::{
    config::{Hook, HookConfig, HookKind, HookTarget, OnError, WebhookConfig, WebhookFormat},
    signature::WebhookSecret,
};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct WebhookSection {
    name: String,
    url: String,
    secrets: OneOrMore<Secret>,
    timeout: Option<Time>,
    ca_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    allow_private: Option<bool>,
    #[serde(default)]
    types: OneOrMore<String>,
    channel_prefix: Option<String>,
    batch: Option<BatchSection>,
    format: Option<Parsed<WebhookFormat>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct BatchSection {
    max: Option<Count>,
    wait: Option<Time>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct HookSection {
    r#type: Parsed<HookKind>,
    url: String,
    secrets: OneOrMore<Secret>,
    on_error: Parsed<OnError>,
    timeout: Option<Time>,
    ca_file: Option<PathBuf>,
    client_certificate: Option<PathBuf>,
    client_key: Option<PathBuf>,
    allow_private: Option<bool>,
}

struct Secret(WebhookSecret);

impl<'de> Deserialize<'de> for Secret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        WebhookSecret::new(&String::deserialize(deserializer)?).map(Self).map_err(de::Error::custom)
    }
}

/// What back ends of a project are told and asked, if they are.
pub(super) fn into_config(app_id: AppId, webhooks: Vec<WebhookSection>, hooks: Vec<HookSection>) -> Option<HookConfig> {
    if webhooks.is_empty() && hooks.is_empty() {
        return None;
    }
    let mut config = HookConfig::new(app_id);
    config.webhooks = webhooks.into_iter().map(WebhookSection::into_config).collect();
    config.hooks = hooks.into_iter().map(HookSection::into_config).collect();
    Some(config)
}

impl WebhookSection {
    fn into_config(self) -> WebhookConfig {
        let mut target = HookTarget::new(self.url, self.secrets.0.into_iter().map(|secret| secret.0).collect());
        if let Some(timeout) = self.timeout {
            target.timeout = timeout.0;
        }
        target.ca_file = self.ca_file;
        target.client_certificate = self.client_certificate;
        target.client_key = self.client_key;
        target.allow_private = self.allow_private.unwrap_or(false);
        let mut config = WebhookConfig::new(self.name, target);
        config.types = self.types.0;
        config.channel_prefix = self.channel_prefix.unwrap_or_default();
        if let Some(BatchSection { max, wait }) = self.batch {
            config.batch_max = max.map_or(config.batch_max, |max| max.0);
            config.batch_wait = wait.map_or(config.batch_wait, |wait| wait.0);
        }
        if let Some(format) = self.format {
            config.format = format.0;
        }
        config
    }
}

impl HookSection {
    fn into_config(self) -> Hook {
        let mut target = HookTarget::new(self.url, self.secrets.0.into_iter().map(|secret| secret.0).collect());
        target.ca_file = self.ca_file;
        target.client_certificate = self.client_certificate;
        target.client_key = self.client_key;
        target.allow_private = self.allow_private.unwrap_or(false);
        let mut hook = Hook::new(self.r#type.0, target, self.on_error.0);
        if let Some(timeout) = self.timeout {
            hook.target.timeout = timeout.0;
        }
        hook
    }
}
