//! How messages and attributes are written into a durable store. Records outlive versions of the
//! server, so the layout only ever grows: each begins with the number of its version.

use bytes::Bytes;
use rtm_codec::{AttributeKey, ChannelAttribute, ChannelAttributes, MessageId, Revision, RtmMessage, Text, UserId};

/// A record that cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// It was written by a later version of the server.
    #[error("a record has version {0}, which this server does not know")]
    Version(u8),
    /// Its bytes make no sense.
    #[error("a record is damaged")]
    Damaged,
}

/// A kept message, waiting or in a history.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageRecord {
    /// The sender's number for it.
    pub message_id: MessageId,
    /// Who sent it.
    pub from: UserId,
    /// What was sent.
    pub message: RtmMessage,
    /// When the server took it, in milliseconds since the Unix epoch.
    pub server_received_ts: u64,
}

impl MessageRecord {
    /// The bytes to keep.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let (kind, body) = match &self.message {
            RtmMessage::Text(text) => (TEXT, text.as_bytes()),
            RtmMessage::Binary(bytes) => (BINARY, bytes.as_ref()),
            RtmMessage::Value(bytes) => (VALUE, bytes.as_ref()),
            // A kind of message that is added to the protocol has to be added here.
            other => unreachable!("a message of an unknown kind: {other:?}"),
        };
        let mut record = Vec::with_capacity(20 + self.from.as_str().len() + body.len());
        record.push(VERSION);
        record.extend(self.message_id.0.to_le_bytes());
        record.extend(self.server_received_ts.to_le_bytes());
        short_text(&mut record, self.from.as_str());
        record.push(kind);
        record.extend(body);
        record
    }

    /// Reads what [`encode`](Self::encode) wrote.
    ///
    /// # Errors
    ///
    /// [`RecordError`] for a later version or damaged bytes.
    pub fn decode(record: &[u8]) -> Result<Self, RecordError> {
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
        Ok(Self { message_id, from, message, server_received_ts })
    }
}

/// The bytes to keep of a channel's attributes.
#[must_use]
pub fn encode_attributes(attributes: &ChannelAttributes) -> Vec<u8> {
    let ChannelAttributes { attributes, revision } = attributes;
    let mut record = vec![VERSION];
    record.extend(revision.0.to_le_bytes());
    for (key, attribute) in attributes {
        let ChannelAttribute { value, last_update_user_id, last_update_ts } = attribute;
        short_text(&mut record, key.as_str());
        short_text(&mut record, last_update_user_id.as_str());
        record.extend(last_update_ts.to_le_bytes());
        record.extend((value.len() as u32).to_le_bytes());
        record.extend(value.as_bytes());
    }
    record
}

/// Reads what [`encode_attributes`] wrote.
///
/// # Errors
///
/// [`RecordError`] for a later version or damaged bytes.
pub fn decode_attributes(record: &[u8]) -> Result<ChannelAttributes, RecordError> {
    let mut reader = Reader::new(record)?;
    let revision = Revision(reader.u64()?);
    let mut attributes = std::collections::BTreeMap::new();
    while !reader.0.is_empty() {
        let key = AttributeKey::new(text(reader.short()?)?).map_err(|_| RecordError::Damaged)?;
        let last_update_user_id = reader.user_id()?;
        let last_update_ts = reader.u64()?;
        let len = reader.u32()? as usize;
        let value = text(reader.take(len)?)?;
        attributes.insert(key, ChannelAttribute { value, last_update_user_id, last_update_ts });
    }
    Ok(ChannelAttributes { attributes, revision })
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
const TEXT: u8 = 0;
const BINARY: u8 = 1;
const VALUE: u8 = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn message(message: RtmMessage) -> MessageRecord {
        let from = UserId::new("alice").unwrap();
        MessageRecord { message_id: MessageId(7), from, message, server_received_ts: 1_700_000_000_000 }
    }

    fn attributes() -> ChannelAttributes {
        let attribute = |value: &str| ChannelAttribute {
            value: value.into(),
            last_update_user_id: UserId::new("bob").unwrap(),
            last_update_ts: 1,
        };
        let attributes =
            [("a", "1"), ("城", "市")].map(|(key, value)| (AttributeKey::new(key).unwrap(), attribute(value)));
        ChannelAttributes { attributes: attributes.into(), revision: Revision(3) }
    }

    #[test]
    fn records_read_back_as_they_were() {
        let bytes = Bytes::from_static(b"\x00\xff");
        for kind in [RtmMessage::text("你好"), RtmMessage::Binary(bytes.clone()), RtmMessage::Value(bytes)] {
            let record = message(kind);
            assert_eq!(MessageRecord::decode(&record.encode()), Ok(record));
        }
        assert_eq!(decode_attributes(&encode_attributes(&attributes())), Ok(attributes()));
        let none = ChannelAttributes::default();
        assert_eq!(decode_attributes(&encode_attributes(&none)), Ok(none));
    }

    #[test]
    fn the_layout_is_the_one_that_files_have() {
        let golden = b"\x01\x07\0\0\0\0\0\0\0\x00\x68\xe5\xcf\x8b\x01\0\0\x05alice\0hi";
        assert_eq!(message(RtmMessage::text("hi")).encode(), golden);
        let golden = b"\x01\x03\0\0\0\0\0\0\0\x01a\x03bob\x01\0\0\0\0\0\0\0\x01\0\0\x001\
            \x03\xe5\x9f\x8e\x03bob\x01\0\0\0\0\0\0\0\x03\0\0\0\xe5\xb8\x82";
        assert_eq!(encode_attributes(&attributes()), golden);
    }

    #[test]
    fn a_damaged_record_is_an_error_wherever_it_breaks() {
        let record = encode_attributes(&attributes());
        let whole: Vec<_> = (0..=record.len()).filter(|&len| decode_attributes(&record[..len]).is_ok()).collect();
        assert_eq!(whole, [9, 28, record.len()], "only at the ends of entries");
        let record = message(RtmMessage::text("hi")).encode();
        assert!((0..24).all(|len| MessageRecord::decode(&record[..len]).is_err()));
        assert_eq!(MessageRecord::decode(b"\x02"), Err(RecordError::Version(2)));
    }
}
