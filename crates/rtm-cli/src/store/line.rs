//! A record of the store as a line of JSON.

use std::{
    collections::{BTreeMap, BTreeSet},
    io::{self, Write},
};

use anyhow::Context as _;
use base64::{Engine as _, prelude::BASE64_STANDARD};
use rtm_codec::{
    AttributeKey, ChannelAttribute, ChannelAttributes, ChannelId, InstanceId, MessageId, Revision, RtmMessage, Text,
    UserId, limits,
};
use rtm_server::{
    StoreRecord,
    core::{
        Conversation, EventType, EventValue, LogEntry, LogKey, LoggedEvent, ProjectEvent, StateKey, StateValue,
        StoredMessage,
        store::{Restrictions, Subscriptions},
    },
};
use serde::{Deserialize, Serialize};

/// What a line says. Times are in milliseconds since the Unix epoch.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Line {
    /// A message that waits for a user.
    StoredMessage {
        app_id: String,
        user_id: String,
        from: String,
        message_id: u64,
        server_received_ts: u64,
        message: Message,
    },
    /// A message in the history of two users or of a channel.
    History {
        app_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        peers: Option<[String; 2]>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        channel_id: Option<String>,
        from: String,
        message_id: u64,
        server_received_ts: u64,
        message: Message,
    },
    /// The attributes of a channel.
    ChannelAttributes { app_id: String, channel_id: String, revision: u64, attributes: BTreeMap<String, Attribute> },
    /// The highest revision that a forgotten channel had.
    ForgottenRevision { app_id: String, revision: u64 },
    /// Whom a client of a user is subscribed to.
    Subscriptions { app_id: String, user_id: String, instance: String, last_seen_ts: u64, peers: Vec<String> },
    /// What is refused to a user; without one to all users of the project. The `banned_until` of a ban that does
    /// not end is the largest number.
    Restrictions {
        app_id: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        user_id: Option<String>,
        revision: u64,
        #[serde(default, skip_serializing_if = "is_zero")]
        banned_until: u64,
        #[serde(default, skip_serializing_if = "is_zero")]
        tokens_from: u64,
    },
    /// An event of a project. In another store it has another number.
    Event { app_id: String, time: u64, event: String, data: BTreeMap<String, Value> },
}

/// A value of an event.
#[derive(Debug, Serialize, Deserialize)]
#[serde(untagged)]
pub(super) enum Value {
    Flag(bool),
    Number(u64),
    Text(String),
}

/// A message in one of its forms.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub(super) enum Message {
    Text(String),
    /// In base64.
    Binary(String),
    /// A value in MessagePack, in base64.
    Value(String),
}

#[derive(Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Attribute {
    value: String,
    last_update_user_id: String,
    last_update_ts: u64,
}

impl Line {
    pub(super) fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        serde_json::to_writer(&mut *out, self)?;
        out.write_all(b"\n")
    }

    /// The record of a line, checked as a server checks what its clients send.
    pub(super) fn read(line: &[u8]) -> anyhow::Result<StoreRecord> {
        let line: Self = serde_json::from_slice(line).map_err(|error| {
            // The error counts lines of its own.
            let text = error.to_string();
            let text = text.split(" at line 1 column ").next().unwrap_or_default();
            match error.column() {
                0 => anyhow::anyhow!("{text}"),
                column => anyhow::anyhow!("{text}, at column {column}"),
            }
        })?;
        line.into_record()
    }

    fn into_record(self) -> anyhow::Result<StoreRecord> {
        match self {
            Self::StoredMessage { app_id, user_id, from, message_id, server_received_ts, message } => {
                Ok(StoreRecord::Entry {
                    app_id: app_id.parse().context("app_id")?,
                    log: LogKey::Stored(UserId::new(user_id).context("user_id")?),
                    entry: entry(from, message_id, server_received_ts, message)?,
                })
            }
            Self::History { app_id, peers, channel_id, from, message_id, server_received_ts, message } => {
                let conversation = match (peers, channel_id) {
                    (Some([one, other]), None) => {
                        Conversation::between(UserId::new(one).context("peers")?, UserId::new(other).context("peers")?)
                    }
                    (None, Some(channel_id)) => {
                        Conversation::Channel(ChannelId::new(channel_id).context("channel_id")?)
                    }
                    _ => anyhow::bail!("a history needs either peers or channel_id"),
                };
                Ok(StoreRecord::Entry {
                    app_id: app_id.parse().context("app_id")?,
                    log: LogKey::History(conversation),
                    entry: entry(from, message_id, server_received_ts, message)?,
                })
            }
            Self::ChannelAttributes { app_id, channel_id, revision, attributes } => {
                let attributes = attributes.into_iter().map(|(key, attribute)| {
                    let Attribute { value, last_update_user_id, last_update_ts } = attribute;
                    let attribute = ChannelAttribute::new(
                        value.into(),
                        UserId::new(last_update_user_id).context("last_update_user_id")?,
                        last_update_ts,
                    );
                    Ok((AttributeKey::new(key).context("attributes")?, attribute))
                });
                let attributes = attributes.collect::<anyhow::Result<BTreeMap<_, _>>>()?;
                let texts = attributes.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect();
                limits::check_attributes(&texts, limits::CHANNEL_ATTRIBUTES_BYTES).context("attributes")?;
                let revision = Revision(revision);
                Ok(StoreRecord::Value {
                    app_id: app_id.parse().context("app_id")?,
                    key: StateKey::ChannelAttributes(ChannelId::new(channel_id).context("channel_id")?),
                    value: StateValue::ChannelAttributes(ChannelAttributes::new(attributes, revision)),
                })
            }
            Self::ForgottenRevision { app_id, revision } => Ok(StoreRecord::Value {
                app_id: app_id.parse().context("app_id")?,
                key: StateKey::ForgottenRevision,
                value: StateValue::ForgottenRevision(Revision(revision)),
            }),
            Self::Subscriptions { app_id, user_id, instance, last_seen_ts, peers } => {
                let user_id = UserId::new(user_id).context("user_id")?;
                let instance = InstanceId::new(instance).context("instance")?;
                let peers = peers.into_iter().map(UserId::new).collect::<Result<BTreeSet<_>, _>>().context("peers")?;
                anyhow::ensure!(!peers.is_empty() && peers.len() <= limits::SUBSCRIBED_PEERS, "peers are not 1 to 512");
                anyhow::ensure!(last_seen_ts < LATEST, "last_seen_ts is too late");
                Ok(StoreRecord::Value {
                    app_id: app_id.parse().context("app_id")?,
                    key: StateKey::Subscriptions(user_id, instance),
                    value: StateValue::Subscriptions(Subscriptions {
                        last_seen_ts,
                        peers: peers.into_iter().collect(),
                    }),
                })
            }
            Self::Restrictions { app_id, user_id, revision, banned_until, tokens_from } => {
                let user_id = user_id.map(UserId::new).transpose().context("user_id")?;
                let revision = Revision(revision);
                Ok(StoreRecord::Value {
                    app_id: app_id.parse().context("app_id")?,
                    key: StateKey::Restrictions(user_id),
                    value: StateValue::Restrictions(Restrictions { revision, banned_until, tokens_from }),
                })
            }
            Self::Event { app_id, time, event, data } => {
                let event_type =
                    EventType::from_name(&event).with_context(|| format!("no event is called {event:?}"))?;
                anyhow::ensure!(time < LATEST, "time is too late");
                let value = |name: &str| data.get(name).map(EventValue::from);
                let event = ProjectEvent::from_data(event_type, value).context("data")?;
                Ok(StoreRecord::Entry {
                    app_id: app_id.parse().context("app_id")?,
                    log: LogKey::Events,
                    entry: LogEntry::Event(LoggedEvent { time, event }),
                })
            }
        }
    }

    /// The line of a record; `None` for what means nothing in another store: where readers of the events are, and what events leave
    /// open that are gone.
    pub(super) fn of(record: StoreRecord) -> Option<Self> {
        let is_of_this_store =
            |key: &StateKey| matches!(key, StateKey::EventCursor(_) | StateKey::AcceptedEvents(_) | StateKey::Open(_));
        match record {
            StoreRecord::Value { ref key, .. } if is_of_this_store(key) => None,
            record => Some(record.into()),
        }
    }
}

impl<'a> From<&'a Value> for EventValue<'a> {
    fn from(value: &'a Value) -> Self {
        match value {
            Value::Flag(flag) => Self::Flag(*flag),
            Value::Number(number) => Self::Number(*number),
            Value::Text(text) => Self::Text(text.into()),
        }
    }
}

impl From<EventValue<'_>> for Value {
    fn from(value: EventValue<'_>) -> Self {
        match value {
            EventValue::Flag(flag) => Self::Flag(flag),
            EventValue::Number(number) | EventValue::Time(number) => Self::Number(number),
            EventValue::Text(text) => Self::Text(text.into_owned()),
        }
    }
}

fn entry(from: String, message_id: u64, server_received_ts: u64, message: Message) -> anyhow::Result<LogEntry> {
    let bytes = |base64: String| BASE64_STANDARD.decode(base64).context("message");
    let message = match message {
        Message::Text(text) => RtmMessage::Text(Text::from(text)),
        Message::Binary(base64) => RtmMessage::Binary(bytes(base64)?.into()),
        Message::Value(base64) => RtmMessage::Value(bytes(base64)?.into()),
    };
    limits::check_message(&message).context("message")?;
    anyhow::ensure!(server_received_ts < LATEST, "server_received_ts is too late");
    let from = UserId::new(from).context("from")?;
    Ok(LogEntry::Message(StoredMessage::new(MessageId(message_id), from, message, server_received_ts)))
}

impl From<StoreRecord> for Line {
    fn from(record: StoreRecord) -> Self {
        match record {
            StoreRecord::Entry { app_id, entry: LogEntry::Event(LoggedEvent { time, event }), .. } => Self::Event {
                app_id: app_id.to_string(),
                time,
                event: event.event_type().name().to_owned(),
                data: event.data().into_iter().map(|(name, value)| (name.to_owned(), value.into())).collect(),
            },
            StoreRecord::Entry { app_id, log, entry: LogEntry::Message(message) } => {
                let StoredMessage { message_id, from, message, server_received_ts, .. } = message;
                let (app_id, from, message_id) = (app_id.to_string(), from.to_string(), message_id.0);
                let message = Message::from(message);
                let (peers, channel_id) = match log {
                    LogKey::Stored(user_id) => {
                        let user_id = user_id.to_string();
                        return Self::StoredMessage { app_id, user_id, from, message_id, server_received_ts, message };
                    }
                    LogKey::History(Conversation::Peers(one, other)) => {
                        (Some([one.to_string(), other.to_string()]), None)
                    }
                    LogKey::History(Conversation::Channel(channel_id)) => (None, Some(channel_id.to_string())),
                    // No store has a message there.
                    LogKey::Events => (None, None),
                };
                Self::History { app_id, peers, channel_id, from, message_id, server_received_ts, message }
            }
            StoreRecord::Value { app_id, key, value } => {
                let app_id = app_id.to_string();
                match (key, value) {
                    (StateKey::Subscriptions(user_id, instance), StateValue::Subscriptions(kept)) => {
                        Self::Subscriptions {
                            app_id,
                            user_id: user_id.to_string(),
                            instance: instance.to_string(),
                            last_seen_ts: kept.last_seen_ts,
                            peers: kept.peers.iter().map(UserId::to_string).collect(),
                        }
                    }
                    (StateKey::Restrictions(user_id), StateValue::Restrictions(kept)) => Self::Restrictions {
                        app_id,
                        user_id: user_id.map(|user_id| user_id.to_string()),
                        revision: kept.revision.0,
                        banned_until: kept.banned_until,
                        tokens_from: kept.tokens_from,
                    },
                    (StateKey::ChannelAttributes(channel_id), StateValue::ChannelAttributes(value)) => {
                        let attributes = value.attributes.into_iter();
                        Self::ChannelAttributes {
                            app_id,
                            channel_id: channel_id.to_string(),
                            revision: value.revision.0,
                            attributes: attributes.map(|(key, value)| (key.to_string(), value.into())).collect(),
                        }
                    }
                    // No store gives a key another kind of value.
                    (_, value) => Self::ForgottenRevision { app_id, revision: value.revision().0 },
                }
            }
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants it so")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl From<ChannelAttribute> for Attribute {
    fn from(attribute: ChannelAttribute) -> Self {
        let ChannelAttribute { value, last_update_user_id, last_update_ts, .. } = attribute;
        Self { value: value.to_string(), last_update_user_id: last_update_user_id.to_string(), last_update_ts }
    }
}

impl From<RtmMessage> for Message {
    fn from(message: RtmMessage) -> Self {
        match message {
            RtmMessage::Text(text) => Self::Text(text.to_string()),
            RtmMessage::Binary(bytes) => Self::Binary(BASE64_STANDARD.encode(bytes)),
            RtmMessage::Value(bytes) => Self::Value(BASE64_STANDARD.encode(bytes)),
            // A form of message that is added to the protocol has to be added here.
            other => unreachable!("a message of an unknown form: {other:?}"),
        }
    }
}

/// The year 2500, in milliseconds since the Unix epoch: histories have places for times until then.
const LATEST: u64 = 16_725_225_600_000;
