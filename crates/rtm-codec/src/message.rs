//! Messages, attributes, online states and outcomes.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;

use crate::{AttributeKey, MessageId, Revision, Text, UserId};

/// A message to a user or to a channel: text, bytes, or a value of a serde type.
///
/// `Debug` shows lengths only. Printed with the feature `serde`, bytes are Base64, and a typed value is what it is.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "lowercase"))]
#[non_exhaustive]
pub enum RtmMessage {
    /// A text of 1 to 32,768 bytes.
    Text(Text),
    /// Bytes, 1 to 32,768 of them; on the native wire only.
    Binary(#[cfg_attr(feature = "serde", serde(serialize_with = "crate::printed::bytes"))] Bytes),
    /// One value of the application's own type as MessagePack with named fields, 1 to 32,768 bytes. Receivers on
    /// the native wire get these bytes; on the vendor's wire the codec writes the same value as JSON text, so
    /// that a vendor client reads it as a text message. What is not one MessagePack value is refused.
    Value(#[cfg_attr(feature = "serde", serde(serialize_with = "crate::printed::value"))] Bytes),
}

impl RtmMessage {
    /// A text message.
    pub fn text(text: impl Into<Text>) -> Self {
        Self::Text(text.into())
    }

    /// A binary message.
    pub fn binary(bytes: impl Into<Bytes>) -> Self {
        Self::Binary(bytes.into())
    }

    /// The bytes of a binary message.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        match self {
            Self::Binary(bytes) => Some(bytes),
            Self::Text(_) | Self::Value(_) => None,
        }
    }

    /// The text of a text message.
    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Self::Text(text) => Some(text.as_str()),
            Self::Binary(_) | Self::Value(_) => None,
        }
    }

    /// Its size in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.len(),
            Self::Binary(bytes) | Self::Value(bytes) => bytes.len(),
        }
    }

    /// The same message in memory of its own: a long one shares the bytes of the packet that it came in, and keeps all
    /// of them.
    #[must_use]
    pub fn detach(self) -> Self {
        match self {
            Self::Text(text) => Self::Text(text.detach()),
            Self::Binary(bytes) => Self::Binary(Bytes::copy_from_slice(&bytes)),
            Self::Value(bytes) => Self::Value(Bytes::copy_from_slice(&bytes)),
        }
    }

    /// Whether it is empty. Servers refuse empty messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl fmt::Debug for RtmMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "{text:?}"),
            Self::Binary(bytes) => write!(f, "Binary({} bytes)", bytes.len()),
            Self::Value(bytes) => write!(f, "Value({} bytes)", bytes.len()),
        }
    }
}

impl From<&str> for RtmMessage {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

impl From<String> for RtmMessage {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<Text> for RtmMessage {
    fn from(text: Text) -> Self {
        Self::Text(text)
    }
}

impl From<Vec<u8>> for RtmMessage {
    fn from(bytes: Vec<u8>) -> Self {
        Self::binary(bytes)
    }
}

impl From<Bytes> for RtmMessage {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

/// A message from another user, live or stored.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "both sides of both wires fill in and read every field")]
pub struct PeerMessage {
    /// The sender's number of the message.
    pub message_id: MessageId,
    /// Who sent it.
    pub peer_id: UserId,
    /// What was sent.
    pub message: RtmMessage,
    /// Whether it was stored because the receiver was offline when the server took it.
    pub is_offline_message: bool,
    /// When the server took it, in milliseconds since the Unix epoch.
    pub server_received_ts: u64,
}

/// What became of a message to a peer, as the server says.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum SendOutcome {
    /// The receiver's device has the message.
    Delivered,
    /// The receiver is offline. The server stores the message for the next login.
    Stored,
    /// No device confirmed the message in time, or the receiver is offline. A message that was already on its way may still arrive.
    NotReceived,
}

impl SendOutcome {
    /// Whether the receiver's device has the message: the two outcomes of the vendor's SDK.
    #[must_use]
    pub fn has_peer_received(self) -> bool {
        self == Self::Delivered
    }
}

impl fmt::Display for SendOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Delivered => "delivered",
            Self::Stored => "stored",
            Self::NotReceived => "not received",
        })
    }
}

/// The online state of a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum PeerOnlineState {
    /// Logged in.
    Online,
    /// Logged in, but silent for some seconds.
    Unreachable,
    /// Not logged in.
    Offline,
}

impl fmt::Display for PeerOnlineState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Online => "online",
            Self::Unreachable => "unreachable",
            Self::Offline => "offline",
        })
    }
}

/// One attribute of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ChannelAttribute {
    /// The value, 1 to 8,192 bytes.
    pub value: Text,
    /// The user who wrote it last.
    pub last_update_user_id: UserId,
    /// The time of that write, in milliseconds since the Unix epoch.
    pub last_update_ts: u64,
}

impl ChannelAttribute {
    /// An attribute with this value, last written by that user at that time, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(value: Text, last_update_user_id: UserId, last_update_ts: u64) -> Self {
        Self { value, last_update_user_id, last_update_ts }
    }

    /// The time of the last write.
    #[must_use]
    pub fn last_update_at(&self) -> SystemTime {
        system_time(self.last_update_ts)
    }
}

/// The time so many milliseconds after the Unix epoch. What lies after the year 9999 is its end: not every system has
/// later times.
#[must_use]
pub fn system_time(ms: u64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(ms.min(YEAR_10000_MS - 1))
}

/// A channel's attributes, or some of them, at one revision.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ChannelAttributes {
    /// The attributes by key.
    pub attributes: BTreeMap<AttributeKey, ChannelAttribute>,
    /// How often the channel's attributes were changed; 0 on the vendor's wire, which has no revisions.
    pub revision: Revision,
}

impl ChannelAttributes {
    /// These attributes at that revision.
    #[must_use]
    pub fn new(attributes: BTreeMap<AttributeKey, ChannelAttribute>, revision: Revision) -> Self {
        Self { attributes, revision }
    }
}

/// A message of a history, or one that waits for its receiver.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct StoredMessage {
    /// The sender's number of the message.
    pub message_id: MessageId,
    /// Who sent it.
    pub from: UserId,
    /// What was sent.
    pub message: RtmMessage,
    /// When the server received it, in milliseconds since the Unix epoch.
    pub server_received_ts: u64,
}

impl StoredMessage {
    /// A message that the server took then, in milliseconds since the Unix epoch.
    #[must_use]
    pub fn new(message_id: MessageId, from: UserId, message: RtmMessage, server_received_ts: u64) -> Self {
        Self { message_id, from, message, server_received_ts }
    }

    /// When the server received it.
    #[must_use]
    pub fn server_received_at(&self) -> SystemTime {
        system_time(self.server_received_ts)
    }

    /// The message as its receiver gets it at last.
    #[must_use]
    pub fn into_peer_message(self) -> PeerMessage {
        let Self { message_id, from, message, server_received_ts } = self;
        PeerMessage { message_id, peer_id: from, message, is_offline_message: true, server_received_ts }
    }
}

impl From<&PeerMessage> for StoredMessage {
    /// Shares no bytes with the packet that the message came in.
    fn from(message: &PeerMessage) -> Self {
        let PeerMessage { message_id, peer_id, message, is_offline_message: _, server_received_ts } = message;
        Self {
            message_id: *message_id,
            from: peer_id.clone(),
            message: message.clone().detach(),
            server_received_ts: *server_received_ts,
        }
    }
}

/// When the year 10000 begins.
const YEAR_10000_MS: u64 = 253_402_300_800_000;
