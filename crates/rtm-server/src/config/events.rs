//! The section of the file about the log of events.

use rtm_core::{EventSettings, EventType, EventTypes};
use serde::{Deserialize, Deserializer, de};

use super::values::{Count, Switch, Time};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct EventsSection {
    enabled: Option<Switch>,
    types: Option<Vec<Types>>,
    keep_for: Option<Time>,
    keep_count: Option<Count>,
}

impl EventsSection {
    pub(super) fn into_settings(self) -> EventSettings {
        let mut settings = EventSettings::default();
        if let Some(Switch(enabled)) = self.enabled {
            settings.enabled = enabled;
        }
        if let Some(types) = self.types {
            settings.types = types.into_iter().fold(EventTypes::NONE, |all, Types(some)| all.or(some));
        }
        if let Some(Time(time)) = self.keep_for {
            settings.keep_for = time;
        }
        if let Some(Count(count)) = self.keep_count {
            settings.keep_count = count;
        }
        settings
    }
}

/// What the file calls these types of events: the usual ones together, or each by its name.
pub(super) fn words(types: EventTypes) -> Vec<&'static str> {
    match types == EventTypes::usual() {
        true => vec!["usual"],
        false => EventType::ALL.iter().filter(|event_type| types.has(**event_type)).map(|it| it.name()).collect(),
    }
}

/// Types of events: `user.online`, `user.*`, `usual` or `all`.
struct Types(EventTypes);

impl<'de> Deserialize<'de> for Types {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let word = String::deserialize(deserializer)?;
        EventTypes::from_word(&word).map(Self).map_err(de::Error::custom)
    }
}
