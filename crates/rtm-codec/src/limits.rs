//! The sizes and counts that RTM allows, in bytes of UTF-8 where nothing else is said: `docs/rtm.md#sizes`,
//! `docs/rtm.md#counts`.

use std::collections::BTreeMap;

use crate::{AttributeKey, ErrorKind, Refusal, RtmMessage, Text, value};

/// A message's text or bytes.
pub const MESSAGE_BYTES: usize = 32 * 1024;
/// The content or the response of an invitation.
pub const INVITATION_BYTES: usize = 8 * 1024;
/// The value of one attribute.
pub const ATTRIBUTE_VALUE_BYTES: usize = 8 * 1024;
/// The entries of a user's or a channel's attributes.
pub const ATTRIBUTE_COUNT: usize = 32;
/// All keys and values of a user's attributes together.
pub const USER_ATTRIBUTES_BYTES: usize = 16 * 1024;
/// All keys and values of a channel's attributes together.
pub const CHANNEL_ATTRIBUTES_BYTES: usize = 32 * 1024;
/// The users asked about in one `query_peers_online_status`.
pub const ONLINE_QUERY_PEERS: usize = 256;
/// The users whose online status one client subscribes to.
pub const SUBSCRIBED_PEERS: usize = 512;
/// The channels asked about in one `channel_member_count`.
pub const MEMBER_COUNT_CHANNELS: usize = 32;
/// The channels that one client is in.
pub const JOINED_CHANNELS: usize = 20;
/// The size up to which a channel tells of every joining and leaving, and lists all its members.
pub const MEMBER_EVENTS: usize = 512;
/// The stored messages that wait for one receiver.
pub const OFFLINE_MESSAGES: usize = 200;
/// The messages in one page of a history query.
pub const HISTORY_PAGE: usize = 100;
/// A decoded packet, on either wire and in either direction.
pub const PACKET_BYTES: usize = 1024 * 1024;
/// The frames in one packet of the native wire.
pub const PACKET_FRAMES: usize = 4096;
/// The entries of any list on the native wire: more than any call allows, few enough to set aside.
pub const LIST_ENTRIES: usize = 4096;
/// The requests that a client has under way at once.
pub const REQUESTS_IN_FLIGHT: usize = 4096;

/// Checks what a sender wrote: not empty, at most [`MESSAGE_BYTES`], and a value such that every receiver can read it.
///
/// # Errors
///
/// A refusal of kind [`ErrorKind::InvalidMessage`] that names the fault.
pub fn check_message(message: &RtmMessage) -> Result<(), Refusal> {
    let len = message.len();
    match len {
        0 => Err(Refusal::new(ErrorKind::InvalidMessage, "the message is empty")),
        len if len > MESSAGE_BYTES => {
            Err(Refusal::new(ErrorKind::InvalidMessage, "the message is longer than 32768 bytes"))
        }
        _ => match message {
            RtmMessage::Value(bytes) if !value::is_value(bytes) => {
                Err(Refusal::new(ErrorKind::InvalidMessage, "the value cannot be written as JSON"))
            }
            RtmMessage::Text(_) | RtmMessage::Binary(_) | RtmMessage::Value(_) => Ok(()),
        },
    }
}

/// Checks an invitation's content or response: at most [`INVITATION_BYTES`], possibly empty.
///
/// # Errors
///
/// A refusal of kind [`ErrorKind::InvalidArgument`].
pub fn check_invitation_text(text: &str) -> Result<(), Refusal> {
    if text.len() > INVITATION_BYTES {
        return Err(Refusal::new(ErrorKind::InvalidArgument, "the invitation's text is longer than 8192 bytes"));
    }
    Ok(())
}

/// Checks attributes as they would be after an operation: entries, value sizes, and `total` bytes of
/// keys and values together.
///
/// # Errors
///
/// [`ErrorKind::InvalidArgument`] for an empty value, [`ErrorKind::SizeOverflow`] for too much.
pub fn check_attributes(attributes: &BTreeMap<AttributeKey, Text>, total: usize) -> Result<(), Refusal> {
    if attributes.values().any(|value| value.is_empty()) {
        return Err(Refusal::new(ErrorKind::InvalidArgument, "an attribute's value is empty"));
    }
    if attributes.values().any(|value| value.len() > ATTRIBUTE_VALUE_BYTES) {
        return Err(Refusal::new(ErrorKind::SizeOverflow, "an attribute's value is longer than 8192 bytes"));
    }
    if attributes.len() > ATTRIBUTE_COUNT {
        return Err(Refusal::new(ErrorKind::SizeOverflow, "there would be more than 32 attributes"));
    }
    let bytes: usize = attributes.iter().map(|(key, value)| key.as_str().len() + value.len()).sum();
    if bytes > total {
        return Err(Refusal::new(ErrorKind::SizeOverflow, "the attributes together would be too large"));
    }
    Ok(())
}
