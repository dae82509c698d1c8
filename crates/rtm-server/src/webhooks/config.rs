//! The settings of webhooks and of hooks.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use rtm_codec::AppId;

use rtm_core::{EventSettings, EventType, EventTypes};

use super::signature::WebhookSecret;

/// What the server tells the back ends of a project, and what it asks them.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookConfig {
    /// The project.
    pub app_id: AppId,
    /// The endpoints that are told what happens.
    pub webhooks: Vec<WebhookConfig>,
    /// Who is asked before something is done. Of each kind there may be one.
    pub hooks: Vec<Hook>,
}

/// An endpoint that is told what happens, by requests as the Standard Webhooks have them.
///
/// Each event arrives at least once, and those of one user and of one channel in their order. What an endpoint does not take
/// is sent again for days, and holds up no other endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct WebhookConfig {
    /// Its name: how far it has read is kept under this name, and goes on under another URL.
    pub name: String,
    /// Where it is, and how it is reached.
    pub target: HookTarget,
    /// The types of events that it gets: names as `user.online`, or all that begin alike, as `user.*`. All, if there are none.
    pub types: Vec<String>,
    /// Of events of channels only those of channels whose names begin so.
    pub channel_prefix: String,
    /// How many events a request has at most. 100; with 1, an event is a request of its own.
    pub batch_max: usize,
    /// How long an event waits for others. 200 ms.
    pub batch_wait: Duration,
    /// How events are written.
    pub format: WebhookFormat,
}

/// Where requests go, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct HookTarget {
    /// A URL with `https` or `http`.
    pub url: String,
    /// What requests are signed with: at least one secret, two while one takes the place of the other.
    pub secrets: Vec<WebhookSecret>,
    /// How long an answer may take. 15 s for webhooks, 200 ms for hooks.
    pub timeout: Duration,
    /// A PEM file with the authorities that are trusted in place of the system's.
    pub ca_file: Option<PathBuf>,
    /// A PEM file with a certificate that the server shows; `client_key` has its key.
    pub client_certificate: Option<PathBuf>,
    /// The PEM file with the key of that certificate.
    pub client_key: Option<PathBuf>,
    /// Addresses of private networks, and this machine, may be reached.
    pub allow_private: bool,
}

/// How events are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum WebhookFormat {
    /// As the Standard Webhooks have it.
    #[default]
    Standard,
    /// As CloudEvents 1.0, in the structured or the batched mode.
    CloudEvents,
}

/// Somebody who is asked before something is done.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Hook {
    /// Before what.
    pub kind: HookKind,
    /// Who is asked.
    pub target: HookTarget,
    /// What is done if the back end gives no valid answer.
    pub on_error: OnError,
}

/// What somebody is asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum HookKind {
    /// Whether a user whose token is good may log in, or come back.
    AuthorizeLogin,
    /// Whether a user may join a channel.
    AuthorizeJoin,
    /// Whether a message of a user may be sent, and with which text.
    FilterMessage,
}

/// What is done if a back end gives no valid answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum OnError {
    /// It is done.
    Allow,
    /// It is refused.
    Deny,
}

impl HookConfig {
    /// For a project, without any.
    #[must_use]
    pub fn new(app_id: AppId) -> Self {
        Self { app_id, webhooks: Vec::new(), hooks: Vec::new() }
    }

    /// What is wrong with it, if anything is, and with which key of the project.
    pub(crate) fn fault(&self, log: &EventSettings) -> Option<(String, String)> {
        for (i, webhook) in self.webhooks.iter().enumerate() {
            let WebhookConfig { name, target, batch_max, .. } = webhook;
            let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
            let fault = if !(1..=64).contains(&name.len()) || !name.bytes().all(is_name) {
                Some(("name", "a name has 1 to 64 letters, digits, - _ and .".to_owned()))
            } else if self.webhooks[..i].iter().any(|other| other.name == *name) {
                Some(("name", format!("two webhooks have the name {name}")))
            } else if !(1..=MOST_AT_ONCE).contains(batch_max) {
                Some(("batch.max", format!("it has to be 1 to {MOST_AT_ONCE}")))
            } else {
                webhook.types_fault(log).or_else(|| target.fault())
            };
            if let Some((key, what)) = fault {
                return Some((format!("webhook[{i}].{key}"), what));
            }
        }
        for (i, hook) in self.hooks.iter().enumerate() {
            let fault = if self.hooks[..i].iter().any(|other| other.kind == hook.kind) {
                Some(("type", format!("two hooks are {}", hook.kind)))
            } else if hook.target.timeout > LONGEST_HOOK {
                Some(("timeout", format!("it is at most {LONGEST_HOOK:?}, because the user waits for the answer")))
            } else {
                hook.target.fault()
            };
            if let Some((key, what)) = fault {
                return Some((format!("hook[{i}].{key}"), what));
            }
        }
        None
    }
}

impl WebhookConfig {
    /// The types of events that it gets.
    pub(crate) fn event_types(&self) -> EventTypes {
        if self.types.is_empty() {
            return EventTypes::ALL;
        }
        self.types.iter().filter_map(|word| EventTypes::from_word(word).ok()).fold(EventTypes::NONE, EventTypes::or)
    }

    /// What is wrong with its types, of which the log has to have some.
    fn types_fault(&self, log: &EventSettings) -> Option<(&'static str, String)> {
        if !log.enabled {
            return Some((
                "name",
                "it is told what stands in the log of events, and that is off ([events] enabled)".to_owned(),
            ));
        }
        self.types.iter().find_map(|word| {
            let types = match EventTypes::from_word(word) {
                Ok(types) => types,
                Err(unknown) => return Some(("types", unknown.to_string())),
            };
            let is_logged = |event_type: &&EventType| types.has(**event_type) && log.types.has(**event_type);
            match EventType::ALL.iter().find(is_logged) {
                Some(_) => None,
                None => Some(("types", format!("the log has no {word}: add it to the types of [events]"))),
            }
        })
    }

    /// An endpoint that gets everything, a hundred events at a time.
    #[must_use]
    pub fn new(name: impl Into<String>, target: HookTarget) -> Self {
        Self {
            name: name.into(),
            target,
            types: Vec::new(),
            channel_prefix: String::new(),
            batch_max: 100,
            batch_wait: Duration::from_millis(200),
            format: WebhookFormat::Standard,
        }
    }
}

impl HookTarget {
    /// A public URL, and what its requests are signed with. Its answer may take 15 s.
    #[must_use]
    pub fn new(url: impl Into<String>, secrets: Vec<WebhookSecret>) -> Self {
        Self {
            url: url.into(),
            secrets,
            timeout: Duration::from_secs(15),
            ca_file: None,
            client_certificate: None,
            client_key: None,
            allow_private: false,
        }
    }
}

impl Hook {
    /// One whose answer may take 200 ms. More than 5 s are not taken.
    #[must_use]
    pub fn new(kind: HookKind, target: HookTarget, on_error: OnError) -> Self {
        Self { kind, target: HookTarget { timeout: Duration::from_millis(200), ..target }, on_error }
    }
}

/// Declares what an enum's values are called in the file.
macro_rules! words {
    ($type:ident, $what:literal: $($variant:ident = $word:literal),*) => {
        impl $type {
            /// Its name.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)*
                }
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $type {
            type Err = UnknownWord;

            fn from_str(text: &str) -> Result<Self, UnknownWord> {
                match text {
                    $($word => Ok(Self::$variant),)*
                    _ => Err(UnknownWord(concat!($what, " is one of", $(" \"", $word, "\""),*))),
                }
            }
        }
    };
}

words!(WebhookFormat, "a format": Standard = "standard", CloudEvents = "cloudevents");
words!(
    HookKind,
    "a hook's type": AuthorizeLogin = "authorize_login",
    AuthorizeJoin = "authorize_join",
    FilterMessage = "filter_message"
);
words!(OnError, "on_error": Allow = "allow", Deny = "deny");

/// A word that means nothing where it stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnknownWord(&'static str);

const MOST_AT_ONCE: usize = 1000;
/// Half of what a call may take on the client's side.
const LONGEST_HOOK: Duration = Duration::from_secs(5);
