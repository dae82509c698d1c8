//! The native wire's frames are what bincode 2 writes, told by the crate itself over types of the same shape.

use std::collections::BTreeMap;

use ::bincode::{
    BorrowDecode, Decode, Encode, config,
    de::{BorrowDecoder, Decoder},
    decode_from_slice,
    enc::Encoder,
    encode_to_vec,
    error::{DecodeError, EncodeError},
};
use proptest::{collection::vec, prelude::*};
use rtm_codec::{CloseReason, Event, Packet, RtmMessage, ServerFrame, native::ServerCodec};

use crate::frames;

/// A [`ServerFrame`] as bincode's derive would have it, with numbers for the enums of bare variants.
#[derive(Debug, PartialEq, Encode, Decode)]
enum MirrorFrame {
    Welcome {
        user_id: String,
        ticket: Option<([u8; 16], u64)>,
        resumption: u32,
        token_expires_in_ms: Option<u64>,
        server_time_ms: u64,
        limits: Option<Vec<Entry<(u32, u32)>>>,
    },
    Refused(MirrorRefusal),
    Reply {
        id: u64,
        result: Result<MirrorAnswer, MirrorRefusal>,
    },
    Event {
        seq: u64,
        event: MirrorEvent,
    },
    Ping,
    Pong,
    Close(u32),
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct MirrorRefusal(u32, String);

#[derive(Debug, PartialEq, Encode, Decode)]
enum MirrorAnswer {
    RenewToken,
    SendMessageToPeer(u32),
    QueryPeersOnlineStatus(Vec<Entry<(String, u32)>>),
    SubscribePeersOnlineStatus,
    UnsubscribePeersOnlineStatus,
    QueryPeersBySubscriptionOption(Vec<String>),
    SendInvitation,
    CancelInvitation,
    AcceptInvitation,
    RefuseInvitation,
    SetLocalUserAttributes,
    AddOrUpdateLocalUserAttributes,
    DeleteLocalUserAttributesByKeys,
    ClearLocalUserAttributes,
    GetUserAttributes(BTreeMap<String, String>),
    JoinChannel,
    LeaveChannel,
    SendChannelMessage,
    GetMembers(Vec<String>),
    GetChannelMemberCount(BTreeMap<String, u32>),
    SetChannelAttributes(u64),
    AddOrUpdateChannelAttributes(u64),
    DeleteChannelAttributesByKeys(u64),
    ClearChannelAttributes(u64),
    GetChannelAttributes(MirrorAttributes),
    QueryHistory(Vec<Entry<(u64, String, MirrorMessage, u64)>>, Option<u64>),
}

#[derive(Debug, PartialEq, Encode, Decode)]
enum MirrorEvent {
    MessageFromPeer(u64, String, MirrorMessage, bool, u64),
    PeersOnlineStatusChanged(Vec<Entry<(String, u32)>>),
    TokenWillExpire(u64),
    RemoteInvitationReceived(String, String, String),
    RemoteInvitationCanceled(String, String, String),
    RemoteInvitationFailure(String, String, u32),
    LocalInvitationReceivedByPeer(String, String),
    LocalInvitationAccepted(String, String, String),
    LocalInvitationRefused(String, String, String),
    LocalInvitationFailure(String, String, u32),
    ChannelMessage(String, u64, String, MirrorMessage, u64),
    MemberJoined(String, String, u32),
    MemberLeft(String, String, u32),
    MemberCountUpdated(String, u32),
    AttributesUpdated(String, MirrorAttributes),
    Gap(Option<String>, Option<u64>),
}

#[derive(Debug, PartialEq, Encode, Decode)]
enum MirrorMessage {
    Text(String),
    Binary(Vec<u8>),
    Value(Vec<u8>),
}

#[derive(Debug, PartialEq, Encode, Decode)]
struct MirrorAttributes(BTreeMap<String, Entry<(String, String, u64)>>, u64);

/// An entry of a list: its bytes behind their length.
#[derive(Debug, PartialEq)]
struct Entry<T>(T);

impl<T: Encode> Encode for Entry<T> {
    fn encode<E: Encoder>(&self, encoder: &mut E) -> Result<(), EncodeError> {
        encode_to_vec(&self.0, config::standard())?.encode(encoder)
    }
}

impl<Context, T: Decode<()>> Decode<Context> for Entry<T> {
    fn decode<D: Decoder<Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        let bytes = Vec::decode(decoder)?;
        let (entry, size) = decode_from_slice(&bytes, config::standard())?;
        if size == bytes.len() { Ok(Self(entry)) } else { Err(DecodeError::Other("an entry has bytes left")) }
    }
}

impl<'de, Context, T: Decode<()>> BorrowDecode<'de, Context> for Entry<T> {
    fn borrow_decode<D: BorrowDecoder<'de, Context = Context>>(decoder: &mut D) -> Result<Self, DecodeError> {
        Self::decode(decoder)
    }
}

proptest! {
    #[test]
    fn bincode_reads_and_writes_the_same_bytes(sent in vec(frames::server_frame(), 1..8)) {
        let mut codec = ServerCodec::new();
        sent.iter().for_each(|frame| codec.encode(frame));
        let mut frames = sent.iter();
        while let Some(Packet::Binary(packet)) = codec.take_packet() {
            let mut written = vec![1];
            let mut unread = &packet[1..];
            while !unread.is_empty() {
                let (len, size): (u64, usize) = decode_from_slice(unread, config::standard())?;
                let (body, rest) = unread[size..].split_at(len as usize);
                let (mirror, size): (MirrorFrame, usize) = decode_from_slice(body, config::standard())?;
                prop_assert_eq!(size, body.len());
                let Some(frame) = frames.next() else { panic!("there is more than was sent: {mirror:?}") };
                prop_assert!(is_same(frame, &mirror), "{:?} is read as {:?}", frame, mirror);
                let body = encode_to_vec(&mirror, config::standard())?;
                written.extend(encode_to_vec(body.len() as u64, config::standard())?);
                written.extend(body);
                unread = rest;
            }
            prop_assert_eq!(written, packet);
        }
        prop_assert_eq!(frames.next(), None);
    }
}

/// Compares the kinds that hold most; for the others the same bytes written back have to do.
fn is_same(frame: &ServerFrame, mirror: &MirrorFrame) -> bool {
    match (frame, mirror) {
        (ServerFrame::Welcome(ours), MirrorFrame::Welcome { user_id, server_time_ms, .. }) => {
            (ours.user_id.as_str(), ours.server_time_ms) == (user_id, *server_time_ms)
        }
        (ServerFrame::Refused(ours), MirrorFrame::Refused(theirs)) => *ours.detail == theirs.1,
        (ServerFrame::Reply { id, result }, MirrorFrame::Reply { id: theirs, result: mirror }) => {
            id.0 == *theirs && result.is_ok() == mirror.is_ok()
        }
        (ServerFrame::Event { seq, event }, MirrorFrame::Event { seq: theirs, event: mirror }) => {
            seq.0 == *theirs
                && match (event, mirror) {
                    (
                        Event::MessageFromPeer(ours),
                        MirrorEvent::MessageFromPeer(message_id, peer_id, message, is_offline, server_received_ts),
                    ) => {
                        (ours.message_id.0, ours.peer_id.as_str(), ours.is_offline_message, ours.server_received_ts)
                            == (*message_id, peer_id, *is_offline, *server_received_ts)
                            && match (&ours.message, message) {
                                (RtmMessage::Text(ours), MirrorMessage::Text(theirs)) => **ours == **theirs,
                                (RtmMessage::Binary(ours), MirrorMessage::Binary(theirs))
                                | (RtmMessage::Value(ours), MirrorMessage::Value(theirs)) => ours == theirs,
                                _ => false,
                            }
                    }
                    (Event::MessageFromPeer(_), _) | (_, MirrorEvent::MessageFromPeer(..)) => false,
                    _ => true,
                }
        }
        (ServerFrame::Ping, MirrorFrame::Ping) | (ServerFrame::Pong, MirrorFrame::Pong) => true,
        (ServerFrame::Close(ours), MirrorFrame::Close(theirs)) => CloseReason::ALL[*theirs as usize] == *ours,
        _ => false,
    }
}
