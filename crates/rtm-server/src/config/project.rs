//! The tables `[[project]]` of the file.

use std::{collections::BTreeMap, fmt};

use rtm_codec::AppId;
#[cfg(feature = "rest")]
use rtm_core::RestKey;
use rtm_core::{ProjectConfig, Settings};
use rtm_token::Certificate;
use serde::{
    Deserialize, Deserializer,
    de::{self, MapAccess, SeqAccess, Visitor},
};

#[cfg(feature = "webhooks")]
use super::hooks::{self, HookSection, WebhookSection};
use super::values::{Budget, Count, Limit, OneOrMore, Parsed, Size, Switch, Time};

#[cfg(feature = "webhooks")]
use crate::webhooks::config::HookConfig;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct ProjectSection {
    app_id: Parsed<AppId>,
    #[serde(default)]
    certificates: OneOrMore<Parsed<Certificate>>,
    honour_privilege_expiry: Option<Switch>,
    max_connections: Option<usize>,
    max_channels: Option<usize>,
    stored_bytes: Option<Size>,
    event_log_bytes: Option<Size>,
    #[serde(default)]
    limits: BTreeMap<Budget, Limit>,
    #[cfg(feature = "rest")]
    rest: Option<Limit>,
    #[cfg(feature = "rest")]
    #[serde(default)]
    rest_key: Vec<KeyOfRest>,
    #[cfg(feature = "webhooks")]
    #[serde(default)]
    webhook: Vec<WebhookSection>,
    #[cfg(feature = "webhooks")]
    #[serde(default)]
    hook: Vec<HookSection>,
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

        /// All settings, by their names, with their values as the file writes them.
        pub(super) fn settings(settings: &Settings) -> Vec<(&'static str, String)> {
            vec![$((stringify!($setting), $shape::show(settings.$setting))),*]
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
    /// What back ends are told and asked, if they are.
    #[cfg(feature = "webhooks")]
    pub(super) fn take_hooks(&mut self) -> Option<HookConfig> {
        let (webhooks, hooks) = (std::mem::take(&mut self.webhook), std::mem::take(&mut self.hook));
        hooks::into_config(self.app_id.0.clone(), webhooks, hooks)
    }

    pub(super) fn into_config(self) -> ProjectConfig {
        let mut config = ProjectConfig::new(self.app_id.0);
        config.certificates = self.certificates.0.into_iter().map(|certificate| certificate.0).collect();
        if let Some(Switch(honour)) = self.honour_privilege_expiry {
            config.token_policy = config.token_policy.honour_privilege_expiry(honour);
        }
        for (Budget(call), Limit(limit)) in self.limits {
            config.limits.set(call, limit);
        }
        config.settings = self.settings.into_settings();
        config.quotas.max_connections = self.max_connections.unwrap_or_default();
        config.quotas.max_channels = self.max_channels.unwrap_or_default();
        config.quotas.stored_bytes = self.stored_bytes.map_or(0, |Size(bytes)| bytes as u64);
        config.quotas.event_log_bytes = self.event_log_bytes.map_or(0, |Size(bytes)| bytes as u64);
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

/// All projects: `[[project]]`, once for each.
#[derive(Default)]
pub(super) struct Projects(pub(super) Vec<ProjectSection>);

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
