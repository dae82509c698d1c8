//! How keys, entries and values are written into a durable store. Records outlive versions of the
//! server, so the layout only ever grows: each begins with the number of its version.

use std::borrow::Cow;

use bytes::Bytes;
use rtm_codec::{
    AttributeKey, ChannelAttribute, ChannelAttributes, ChannelId, InstanceId, MessageId, Revision, RtmMessage, Text,
    UserId,
};

use super::{
    AcceptedEvents, Conversation, EventCursor, LogEntry, LogKey, LogKind, OpenKey, Place, Restrictions, StateKey,
    StateKind, StateValue, StoredMessage, Subscriptions,
};
use crate::project_event::{LoggedEvent, ProjectEvent, SessionName};

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecordError {
    /// It was written by a later version of the server.
    #[error("a record has version {0}, which this server does not know")]
    Version(u8),
    /// Its bytes make no sense.
    #[error("a record is damaged")]
    Damaged,
    /// It is to be written, and holds what no record of this version can.
    #[error("a message is of a kind that cannot be kept")]
    Kind,
}

impl LogKey {
    /// The key as text, unique within its kind. Ids have no control characters, so that they cannot hold its separator.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::Stored(user_id) => user_id.as_str().into(),
            Self::History(Conversation::Peers(one, other)) => format!("p\0{one}\0{other}").into(),
            Self::History(Conversation::Channel(channel_id)) => format!("c\0{channel_id}").into(),
            Self::Events => EVENTS.into(),
        }
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError::Damaged`] for any other text.
    pub fn from_text(kind: LogKind, key: &str) -> Result<Self, RecordError> {
        let user = |id: &str| UserId::new(id).map_err(|_| RecordError::Damaged);
        match kind {
            LogKind::Stored => Ok(Self::Stored(user(key)?)),
            LogKind::History => Ok(Self::History(match key.split_once('\0') {
                Some(("c", channel_id)) => Conversation::Channel(channel(channel_id)?),
                Some(("p", users)) => {
                    let (one, other) = users.split_once('\0').ok_or(RecordError::Damaged)?;
                    Conversation::between(user(one)?, user(other)?)
                }
                _ => return Err(RecordError::Damaged),
            })),
            LogKind::Events if key == EVENTS => Ok(Self::Events),
            LogKind::Events => Err(RecordError::Damaged),
        }
    }
}

impl LoggedEvent {
    /// Appends it in the form that stores keep, which [`LogEntry::decode`] reads.
    pub fn encode(&self, record: &mut Vec<u8>) {
        let Self { time, event } = self;
        record.push(VERSION);
        record.extend(time.to_le_bytes());
        event.write(record);
    }

    /// The time of what [`encode`](Self::encode) wrote, and the bytes of the event alone, which [`ProjectEvent::decode`] reads.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for a later version or damaged bytes.
    pub fn split(record: &[u8]) -> Result<(u64, &[u8]), RecordError> {
        let mut reader = Reader::new(record)?;
        Ok((reader.u64()?, reader.rest()))
    }
}

impl ProjectEvent {
    /// Appends it without a time and a version, for records that have many events.
    pub fn encode(&self, record: &mut Vec<u8>) {
        self.write(record);
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError::Damaged`] for other bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, RecordError> {
        Self::read(bytes).ok_or(RecordError::Damaged)
    }
}

impl LogEntry {
    /// The bytes to keep.
    ///
    /// # Errors
    ///
    /// [`RecordError::Kind`] for a message of a kind that has no record.
    pub fn encode(&self) -> Result<Vec<u8>, RecordError> {
        match self {
            Self::Message(message) => encode_message(message),
            Self::Event(event) => {
                // Most are shorter.
                let mut record = Vec::with_capacity(64);
                event.encode(&mut record);
                Ok(record)
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote of an entry in a log of this kind.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for a later version or damaged bytes.
    pub fn decode(kind: LogKind, record: &[u8]) -> Result<Self, RecordError> {
        match kind {
            LogKind::Stored | LogKind::History => decode_message(record).map(Self::Message),
            LogKind::Events => {
                let (time, event) = LoggedEvent::split(record)?;
                Ok(Self::Event(LoggedEvent { time, event: ProjectEvent::decode(event)? }))
            }
        }
    }
}

impl StateKey {
    /// The key as text, unique within its kind.
    #[must_use]
    pub fn to_text(&self) -> Cow<'_, str> {
        match self {
            Self::ChannelAttributes(channel_id) => channel_id.as_str().into(),
            Self::ForgottenRevision => FORGOTTEN_REVISION.into(),
            Self::Subscriptions(user_id, instance) => format!("{user_id}\0{instance}").into(),
            Self::Restrictions(Some(user_id)) => format!("u\0{user_id}").into(),
            Self::Restrictions(None) => ALL_USERS.into(),
            Self::EventCursor(name) | Self::AcceptedEvents(name) => name.into(),
            Self::Open(OpenKey::Session(session)) => format!("s\0{session}").into(),
            Self::Open(OpenKey::Channel(channel_id)) => format!("c\0{channel_id}").into(),
            Self::Open(OpenKey::User(user_id)) => format!("u\0{user_id}").into(),
        }
    }

    /// Reads what [`to_text`](Self::to_text) wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError::Damaged`] for any other text.
    pub fn from_text(kind: StateKind, key: &str) -> Result<Self, RecordError> {
        match kind {
            StateKind::ChannelAttributes => channel(key).map(Self::ChannelAttributes),
            StateKind::ForgottenRevision if key == FORGOTTEN_REVISION => Ok(Self::ForgottenRevision),
            StateKind::ForgottenRevision => Err(RecordError::Damaged),
            StateKind::Subscriptions => {
                let (user_id, instance) = key.split_once('\0').ok_or(RecordError::Damaged)?;
                let user_id = UserId::new(user_id).map_err(|_| RecordError::Damaged)?;
                let instance = InstanceId::new(instance).map_err(|_| RecordError::Damaged)?;
                Ok(Self::Subscriptions(user_id, instance))
            }
            StateKind::Restrictions if key == ALL_USERS => Ok(Self::Restrictions(None)),
            StateKind::Restrictions => {
                let user_id = key.strip_prefix("u\0").ok_or(RecordError::Damaged)?;
                UserId::new(user_id).map(|user_id| Self::Restrictions(Some(user_id))).map_err(|_| RecordError::Damaged)
            }
            StateKind::EventCursor | StateKind::AcceptedEvents if key.is_empty() => Err(RecordError::Damaged),
            StateKind::EventCursor => Ok(Self::EventCursor(key.to_owned())),
            StateKind::AcceptedEvents => Ok(Self::AcceptedEvents(key.to_owned())),
            StateKind::Open => {
                let (what, key) = key.split_once('\0').ok_or(RecordError::Damaged)?;
                match what {
                    "s" => SessionName::from_text(key).map(OpenKey::Session).ok_or(RecordError::Damaged),
                    "c" => channel(key).map(OpenKey::Channel),
                    "u" => UserId::new(key).map(OpenKey::User).map_err(|_| RecordError::Damaged),
                    _ => Err(RecordError::Damaged),
                }
                .map(Self::Open)
            }
        }
    }
}

impl StateValue {
    /// The bytes to keep.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        match self {
            Self::ChannelAttributes(attributes) => encode_attributes(attributes),
            Self::ForgottenRevision(Revision(revision)) => {
                let mut record = vec![VERSION];
                record.extend(revision.to_le_bytes());
                record
            }
            Self::Subscriptions(Subscriptions { last_seen_ts, peers }) => {
                let mut record = vec![VERSION];
                record.extend(last_seen_ts.to_le_bytes());
                peers.iter().for_each(|peer| short_text(&mut record, peer.as_str()));
                record
            }
            Self::Restrictions(Restrictions { revision, banned_until, tokens_from }) => {
                let numbers = [revision.0, *banned_until, *tokens_from];
                std::iter::once(VERSION).chain(numbers.into_iter().flat_map(u64::to_le_bytes)).collect()
            }
            Self::EventCursor(EventCursor { read, is_paused, revision }) => {
                let mut record = vec![VERSION];
                record.extend(read.0.to_le_bytes());
                record.extend(revision.0.to_le_bytes());
                record.extend(is_paused.then_some(PAUSED));
                record
            }
            Self::AcceptedEvents(AcceptedEvents { cursor, spans }) => {
                let numbers = [cursor.0].into_iter().chain(spans.iter().flat_map(|(first, last)| [*first, *last]));
                std::iter::once(VERSION).chain(numbers.flat_map(u64::to_le_bytes)).collect()
            }
            Self::Open(events) => {
                let mut record = vec![VERSION];
                for event in events {
                    let mut bytes = Vec::new();
                    event.write(&mut bytes);
                    record.extend((bytes.len() as u32).to_le_bytes());
                    record.append(&mut bytes);
                }
                record
            }
        }
    }

    /// Reads what [`encode`](Self::encode) wrote of a value of this kind.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for a later version or damaged bytes.
    pub fn decode(kind: StateKind, record: &[u8]) -> Result<Self, RecordError> {
        match kind {
            StateKind::ChannelAttributes => decode_attributes(record).map(Self::ChannelAttributes),
            StateKind::ForgottenRevision => {
                let mut reader = Reader::new(record)?;
                let revision = reader.u64()?;
                if reader.rest().is_empty() {
                    Ok(Self::ForgottenRevision(Revision(revision)))
                } else {
                    Err(RecordError::Damaged)
                }
            }
            StateKind::Subscriptions => {
                let mut reader = Reader::new(record)?;
                let last_seen_ts = reader.u64()?;
                let mut peers = Vec::new();
                while !reader.0.is_empty() {
                    peers.push(reader.user_id()?);
                }
                Ok(Self::Subscriptions(Subscriptions { last_seen_ts, peers }))
            }
            StateKind::Restrictions => {
                let mut reader = Reader::new(record)?;
                let revision = Revision(reader.u64()?);
                let (banned_until, tokens_from) = (reader.u64()?, reader.u64()?);
                match reader.rest() {
                    [] => Ok(Self::Restrictions(Restrictions { revision, banned_until, tokens_from })),
                    _ => Err(RecordError::Damaged),
                }
            }
            StateKind::EventCursor => {
                let mut reader = Reader::new(record)?;
                let (read, revision) = (Place(reader.u64()?), Revision(reader.u64()?));
                let is_paused = match reader.rest() {
                    [] => false,
                    [PAUSED] => true,
                    _ => return Err(RecordError::Damaged),
                };
                Ok(Self::EventCursor(EventCursor { read, is_paused, revision }))
            }
            StateKind::AcceptedEvents => {
                let mut reader = Reader::new(record)?;
                let (cursor, mut spans, mut last) = (Revision(reader.u64()?), Vec::new(), 0);
                while !reader.0.is_empty() {
                    let span = (reader.u64()?, reader.u64()?);
                    if span.0 <= last || span.1 < span.0 {
                        return Err(RecordError::Damaged);
                    }
                    last = span.1;
                    spans.push(span);
                }
                Ok(Self::AcceptedEvents(AcceptedEvents { cursor, spans }))
            }
            StateKind::Open => {
                let (mut reader, mut events) = (Reader::new(record)?, Vec::new());
                while !reader.0.is_empty() {
                    let len = reader.u32()? as usize;
                    events.push(ProjectEvent::decode(reader.take(len)?)?);
                }
                Ok(Self::Open(events))
            }
        }
    }
}

fn encode_message(
    StoredMessage { message_id, from, message, server_received_ts, .. }: &StoredMessage,
) -> Result<Vec<u8>, RecordError> {
    let (kind, body) = match message {
        RtmMessage::Text(text) => (TEXT, text.as_bytes()),
        RtmMessage::Binary(bytes) => (BINARY, bytes.as_ref()),
        RtmMessage::Value(bytes) => (VALUE, bytes.as_ref()),
        // A kind of message that is added to the protocol has to be added here.
        _ => return Err(RecordError::Kind),
    };
    let mut record = Vec::with_capacity(20 + from.as_str().len() + body.len());
    record.push(VERSION);
    record.extend(message_id.0.to_le_bytes());
    record.extend(server_received_ts.to_le_bytes());
    short_text(&mut record, from.as_str());
    record.push(kind);
    record.extend(body);
    Ok(record)
}

fn decode_message(record: &[u8]) -> Result<StoredMessage, RecordError> {
    let mut reader = Reader::new(record)?;
    let message_id = MessageId(reader.u64()?);
    let server_received_ts = reader.u64()?;
    let from = reader.user_id()?;
    let message = match reader.u8()? {
        TEXT => RtmMessage::Text(text(reader.rest())?),
        BINARY => RtmMessage::Binary(Bytes::copy_from_slice(reader.rest())),
        VALUE => RtmMessage::Value(Bytes::copy_from_slice(reader.rest())),
        _ => return Err(RecordError::Damaged),
    };
    Ok(StoredMessage::new(message_id, from, message, server_received_ts))
}

fn encode_attributes(ChannelAttributes { attributes, revision, .. }: &ChannelAttributes) -> Vec<u8> {
    let mut record = vec![VERSION];
    record.extend(revision.0.to_le_bytes());
    for (key, attribute) in attributes {
        let ChannelAttribute { value, last_update_user_id, last_update_ts, .. } = attribute;
        short_text(&mut record, key.as_str());
        short_text(&mut record, last_update_user_id.as_str());
        record.extend(last_update_ts.to_le_bytes());
        record.extend((value.len() as u32).to_le_bytes());
        record.extend(value.as_bytes());
    }
    record
}

fn decode_attributes(record: &[u8]) -> Result<ChannelAttributes, RecordError> {
    let mut reader = Reader::new(record)?;
    let revision = Revision(reader.u64()?);
    let mut attributes = std::collections::BTreeMap::new();
    while !reader.0.is_empty() {
        let key = AttributeKey::new(text(reader.short()?)?).map_err(|_| RecordError::Damaged)?;
        let last_update_user_id = reader.user_id()?;
        let last_update_ts = reader.u64()?;
        let len = reader.u32()? as usize;
        let value = text(reader.take(len)?)?;
        attributes.insert(key, ChannelAttribute::new(value, last_update_user_id, last_update_ts));
    }
    Ok(ChannelAttributes::new(attributes, revision))
}

fn channel(id: &str) -> Result<ChannelId, RecordError> {
    ChannelId::new(id).map_err(|_| RecordError::Damaged)
}

/// Appends a text of at most 255 bytes: every id is shorter.
fn short_text(record: &mut Vec<u8>, text: &str) {
    record.push(text.len() as u8);
    record.extend(text.as_bytes());
}

fn text(bytes: &[u8]) -> Result<Text, RecordError> {
    Text::from_utf8(bytes).map_err(|_| RecordError::Damaged)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn new(record: &'a [u8]) -> Result<Self, RecordError> {
        match record.split_first() {
            Some((&VERSION, rest)) => Ok(Self(rest)),
            Some((&version, _)) => Err(RecordError::Version(version)),
            None => Err(RecordError::Damaged),
        }
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8], RecordError> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], RecordError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(RecordError::Damaged)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u8(&mut self) -> Result<u8, RecordError> {
        self.array().map(u8::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32, RecordError> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, RecordError> {
        self.array().map(u64::from_le_bytes)
    }

    fn short(&mut self) -> Result<&'a [u8], RecordError> {
        let len = self.u8()?;
        self.take(len.into())
    }

    fn user_id(&mut self) -> Result<UserId, RecordError> {
        UserId::new(text(self.short()?)?).map_err(|_| RecordError::Damaged)
    }

    fn rest(&mut self) -> &'a [u8] {
        std::mem::take(&mut self.0)
    }
}

const VERSION: u8 = 1;
/// What stands behind the cursor of a reader that is paused.
const PAUSED: u8 = 1;
/// The one key of its kind.
const FORGOTTEN_REVISION: &str = "channels";
/// The key of what is refused to all users.
const ALL_USERS: &str = "all";
/// The one log of its kind.
const EVENTS: &str = "all";
const TEXT: u8 = 0;
const BINARY: u8 = 1;
const VALUE: u8 = 2;

#[cfg(test)]
mod tests {
    use rtm_codec::SessionId;

    use super::*;
    use crate::project_event::Moment;

    fn message(message: RtmMessage) -> StoredMessage {
        let from = UserId::new("alice").unwrap();
        StoredMessage::new(MessageId(7), from, message, 1_700_000_000_000)
    }

    fn attributes() -> ChannelAttributes {
        let attribute = |value: &str| ChannelAttribute::new(value.into(), UserId::new("bob").unwrap(), 1);
        let attributes =
            [("a", "1"), ("城", "市")].map(|(key, value)| (AttributeKey::new(key).unwrap(), attribute(value)));
        ChannelAttributes::new(attributes.into(), Revision(3))
    }

    fn subscriptions() -> Subscriptions {
        let peers = ["bob", "carol"].map(|id| UserId::new(id).unwrap()).to_vec();
        Subscriptions { last_seen_ts: 1_700_000_000_000, peers }
    }

    fn restrictions() -> Restrictions {
        Restrictions { revision: Revision(7), banned_until: u64::MAX, tokens_from: 1_700_000_000_000 }
    }

    fn banned() -> LoggedEvent {
        let event = ProjectEvent::UserBanned { user_id: UserId::new("bob").unwrap(), until: Moment(7) };
        LoggedEvent { time: 1_700_000_000_000, event }
    }

    #[test]
    fn records_read_back_as_they_were() {
        let bytes = Bytes::from_static(b"\x00\xff");
        for form in [RtmMessage::text("你好"), RtmMessage::Binary(bytes.clone()), RtmMessage::Value(bytes)] {
            let entry = LogEntry::Message(message(form));
            for kind in [LogKind::Stored, LogKind::History] {
                assert_eq!(LogEntry::decode(kind, &entry.encode().unwrap()), Ok(entry.clone()));
            }
        }
        for attributes in [attributes(), ChannelAttributes::default()] {
            let value = StateValue::ChannelAttributes(attributes);
            assert_eq!(StateValue::decode(StateKind::ChannelAttributes, &value.encode()), Ok(value));
        }
        let value = StateValue::ForgottenRevision(Revision(u64::MAX));
        assert_eq!(StateValue::decode(StateKind::ForgottenRevision, &value.encode()), Ok(value));
        let value = StateValue::Subscriptions(subscriptions());
        assert_eq!(StateValue::decode(StateKind::Subscriptions, &value.encode()), Ok(value));
        let entry = LogEntry::Event(banned());
        assert_eq!(LogEntry::decode(LogKind::Events, &entry.encode().unwrap()), Ok(entry));
        for is_paused in [false, true] {
            let value = StateValue::EventCursor(EventCursor { read: Place(7), is_paused, revision: Revision(3) });
            assert_eq!(StateValue::decode(StateKind::EventCursor, &value.encode()), Ok(value));
        }
        let accepted = |spans| StateValue::AcceptedEvents(AcceptedEvents { cursor: Revision(3), spans });
        for spans in [vec![], vec![(7, 7)], vec![(7, 9), (11, u64::MAX)]] {
            let value = accepted(spans);
            assert_eq!(StateValue::decode(StateKind::AcceptedEvents, &value.encode()), Ok(value));
        }
        for spans in [vec![(0, 1)], vec![(9, 7)], vec![(7, 9), (9, 11)]] {
            let record = accepted(spans).encode();
            assert_eq!(StateValue::decode(StateKind::AcceptedEvents, &record), Err(RecordError::Damaged));
        }
        let value = StateValue::Open(vec![banned().event, banned().event]);
        assert_eq!(StateValue::decode(StateKind::Open, &value.encode()), Ok(value));
    }

    #[test]
    fn keys_read_back_as_they_were() {
        let [alice, bob, room] = ["alice", "bob", "room"].map(|id| UserId::new(id).unwrap());
        let channel_id = ChannelId::new("room").unwrap();
        let keys = [
            (LogKey::Stored(room), "room"),
            (LogKey::History(Conversation::between(bob, alice)), "p\0alice\0bob"),
            (LogKey::History(Conversation::Channel(channel_id.clone())), "c\0room"),
            (LogKey::Events, "all"),
        ];
        for (key, text) in keys {
            assert_eq!(key.to_text(), text);
            assert_eq!(LogKey::from_text(key.kind(), text), Ok(key));
        }
        let client = StateKey::Subscriptions(UserId::new("alice").unwrap(), InstanceId::new("phone").unwrap());
        assert_eq!(client.to_text(), "alice\0phone");
        let cursor = StateKey::EventCursor("users".into());
        let accepted = StateKey::AcceptedEvents("users".into());
        let session = StateKey::Open(OpenKey::Session(SessionId([7; 16]).into()));
        let user = StateKey::Open(OpenKey::User(UserId::new("alice").unwrap()));
        let channel = StateKey::Open(OpenKey::Channel(channel_id.clone()));
        let attributes = StateKey::ChannelAttributes(channel_id);
        for key in [attributes, StateKey::ForgottenRevision, client, cursor, accepted, session, user, channel] {
            assert_eq!(StateKey::from_text(key.kind(), &key.to_text()), Ok(key.clone()));
        }
        assert_eq!(StateKey::from_text(StateKind::ForgottenRevision, "room"), Err(RecordError::Damaged));
        for text in ["", "alice", "alice\0", "\0phone", "alice\0phone\0"] {
            assert_eq!(StateKey::from_text(StateKind::Subscriptions, text), Err(RecordError::Damaged), "{text:?}");
        }
        for text in ["", "c", "c\0", "p\0alice", "p\0alice\0bob\0carol", "q\0room"] {
            assert_eq!(LogKey::from_text(LogKind::History, text), Err(RecordError::Damaged), "{text:?}");
        }
        assert_eq!(LogKey::from_text(LogKind::Stored, "a\0b"), Err(RecordError::Damaged));
    }

    #[test]
    fn the_layout_is_the_one_that_files_have() {
        let golden = b"\x01\x07\0\0\0\0\0\0\0\x00\x68\xe5\xcf\x8b\x01\0\0\x05alice\0hi";
        assert_eq!(encode_message(&message(RtmMessage::text("hi"))).unwrap(), golden);
        let golden = b"\x01\x03\0\0\0\0\0\0\0\x01a\x03bob\x01\0\0\0\0\0\0\0\x01\0\0\x001\
            \x03\xe5\x9f\x8e\x03bob\x01\0\0\0\0\0\0\0\x03\0\0\0\xe5\xb8\x82";
        assert_eq!(encode_attributes(&attributes()), golden);
        let golden = b"\x01\x00\x68\xe5\xcf\x8b\x01\0\0\x03bob\x05carol";
        assert_eq!(StateValue::Subscriptions(subscriptions()).encode(), golden);
        let golden = b"\x01\x07\0\0\0\0\0\0\0\xff\xff\xff\xff\xff\xff\xff\xff\x00\x68\xe5\xcf\x8b\x01\0\0";
        assert_eq!(StateValue::Restrictions(restrictions()).encode(), golden);
        let golden = b"\x01\x00\x68\xe5\xcf\x8b\x01\0\0\x06\x03bob\x07\0\0\0\0\0\0\0";
        assert_eq!(LogEntry::Event(banned()).encode().unwrap(), golden);
    }

    #[test]
    fn a_damaged_record_is_an_error_wherever_it_breaks() {
        let record = encode_attributes(&attributes());
        let whole: Vec<_> = (0..=record.len()).filter(|&len| decode_attributes(&record[..len]).is_ok()).collect();
        assert_eq!(whole, [9, 28, record.len()], "only at the ends of entries");
        let record = encode_message(&message(RtmMessage::text("hi"))).unwrap();
        assert!((0..24).all(|len| decode_message(&record[..len]).is_err()));
        let record = StateValue::Subscriptions(subscriptions()).encode();
        let read = |len: usize| StateValue::decode(StateKind::Subscriptions, &record[..len]);
        let whole: Vec<_> = (0..=record.len()).filter(|&len| read(len).is_ok()).collect();
        assert_eq!(whole, [9, 13, record.len()], "only at the ends of users");
        let record = StateValue::Restrictions(restrictions()).encode();
        let whole = |record: &[u8]| StateValue::decode(StateKind::Restrictions, record).is_ok();
        assert!(whole(&record) && (0..record.len()).all(|len| !whole(&record[..len])));
        assert!(!whole(&[&record[..], b"\0"].concat()));
        assert_eq!(decode_message(b"\x02"), Err(RecordError::Version(2)));
    }
}
