//! The message that every candidate carries, and the types that the rivals carry it in.

use rtm_codec::{Event, MessageId, PeerMessage, RtmMessage, Seq, ServerFrame, UserId};

use super::Size;

/// A message of a user to another.
pub(super) struct Message {
    message_id: u64,
    peer_id: String,
    text: String,
    server_received_ts: u64,
    is_offline_message: bool,
}

impl Message {
    /// Messages that differ in everything.
    pub(super) fn all(size: Size) -> Vec<Self> {
        let (text, chars) = match size {
            Size::Ascii(bytes) => ("It's \"just\" a message, as people send them. ", bytes),
            Size::Chinese(bytes) => ("实时消息的内容，与事件流的测试。", bytes / 3),
        };
        (0..MESSAGES).map(|i| Self::new(i, text.chars().cycle().skip(i).take(chars).collect())).collect()
    }

    fn new(i: usize, text: String) -> Self {
        Self {
            // Thirteen digits, as the vendor's SDK makes them.
            message_id: 1_234_567_890_123 + 7919 * i as u64,
            peer_id: format!("user-{:07}", i * 31),
            text,
            server_received_ts: 1_700_000_000_000 + i as u64,
            is_offline_message: i.is_multiple_of(3),
        }
    }

    pub(super) fn text(&self) -> &str {
        &self.text
    }

    pub(super) fn event(&self) -> Event {
        Event::MessageFromPeer(PeerMessage {
            message_id: MessageId(self.message_id),
            peer_id: UserId::new(&self.peer_id).expect("the id has allowed characters"),
            message: RtmMessage::text(self.text.as_str()),
            is_offline_message: self.is_offline_message,
            server_received_ts: self.server_received_ts,
        })
    }

    pub(super) fn frame(&self) -> ServerFrame {
        ServerFrame::Event { seq: Seq(1000), event: self.event() }
    }

    pub(super) fn bincode(&self) -> BincodeEvent {
        BincodeEvent::MessageFromPeer {
            message_id: self.message_id,
            peer_id: self.peer_id.clone(),
            text: self.text.clone(),
            is_offline_message: self.is_offline_message,
            server_received_ts: self.server_received_ts,
        }
    }

    pub(super) fn prost(&self) -> ProstEvent {
        ProstEvent {
            kind: Some(ProstKind::MessageFromPeer(ProstMessage {
                message_id: self.message_id,
                peer_id: self.peer_id.clone(),
                text: self.text.clone(),
                is_offline_message: self.is_offline_message,
                server_received_ts: self.server_received_ts,
            })),
        }
    }

    pub(super) fn json(&self) -> JsonMessage {
        JsonMessage {
            msg_id: self.message_id,
            from_uid: self.peer_id.clone(),
            msg_type: 1,
            msg_body: self.text.clone(),
            svr_ts: self.server_received_ts,
        }
    }
}

/// An enum of as many variants as our events have.
#[derive(bincode::Encode, bincode::Decode)]
pub(super) enum BincodeEvent {
    MessageFromPeer {
        message_id: u64,
        peer_id: String,
        text: String,
        is_offline_message: bool,
        server_received_ts: u64,
    },
    Peers(Vec<(String, u32)>),
    Token(u64),
    Received(String, String, String),
    Canceled(String, String, String),
    Failed(String, String, u32),
    Delivered(String, String),
    Accepted(String, String, String),
    Refused(String, String, String),
    Expired(String, String, u32),
    ChannelMessage(String, u64, String, String, u64),
    Joined(String, String, u32),
    Left(String, String, u32),
    Count(String, u32),
    Attributes(String, Vec<(String, String)>),
    Gap(Option<String>, Option<u64>),
}

#[derive(bincode::BorrowDecode)]
#[expect(dead_code, reason = "only decoded")]
pub(super) enum BorrowedEvent<'a> {
    MessageFromPeer {
        message_id: u64,
        peer_id: &'a str,
        text: &'a str,
        is_offline_message: bool,
        server_received_ts: u64,
    },
    Peers(Vec<(&'a str, u32)>),
    Token(u64),
    Received(&'a str, &'a str, &'a str),
    Canceled(&'a str, &'a str, &'a str),
    Failed(&'a str, &'a str, u32),
    Delivered(&'a str, &'a str),
    Accepted(&'a str, &'a str, &'a str),
    Refused(&'a str, &'a str, &'a str),
    Expired(&'a str, &'a str, u32),
    ChannelMessage(&'a str, u64, &'a str, &'a str, u64),
    Joined(&'a str, &'a str, u32),
    Left(&'a str, &'a str, u32),
    Count(&'a str, u32),
    Attributes(&'a str, Vec<(&'a str, &'a str)>),
    Gap(Option<&'a str>, Option<u64>),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct ProstEvent {
    #[prost(oneof = "ProstKind", tags = "1, 2, 3, 4, 5, 6, 7, 8")]
    kind: Option<ProstKind>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum ProstKind {
    #[prost(message, tag = "1")]
    MessageFromPeer(ProstMessage),
    #[prost(message, tag = "2")]
    ChannelMessage(ProstMessage),
    #[prost(message, tag = "3")]
    Received(ProstCall),
    #[prost(message, tag = "4")]
    Canceled(ProstCall),
    #[prost(message, tag = "5")]
    Accepted(ProstCall),
    #[prost(message, tag = "6")]
    Refused(ProstCall),
    #[prost(uint64, tag = "7")]
    Token(u64),
    #[prost(string, tag = "8")]
    Other(String),
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProstCall {
    #[prost(string, tag = "1")]
    call_id: String,
    #[prost(string, tag = "2")]
    peer_id: String,
    #[prost(string, tag = "3")]
    text: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ProstMessage {
    #[prost(uint64, tag = "1")]
    message_id: u64,
    #[prost(string, tag = "2")]
    peer_id: String,
    #[prost(string, tag = "3")]
    text: String,
    #[prost(bool, tag = "4")]
    is_offline_message: bool,
    #[prost(uint64, tag = "5")]
    server_received_ts: u64,
}

/// The content of the vendor's envelope, as serde has it.
#[derive(serde::Serialize, serde::Deserialize)]
pub(super) struct JsonMessage {
    #[serde(rename = "MsgId")]
    msg_id: u64,
    #[serde(rename = "FromUId")]
    from_uid: String,
    #[serde(rename = "MsgType")]
    msg_type: u32,
    #[serde(rename = "MsgBody")]
    msg_body: String,
    #[serde(rename = "SvrTS")]
    svr_ts: u64,
}

#[derive(serde::Serialize)]
pub(super) struct Envelope<'a> {
    #[serde(rename = "Cmd")]
    pub(super) cmd: &'a str,
    #[serde(rename = "Encrypt")]
    pub(super) encrypt: bool,
    #[serde(rename = "Content")]
    pub(super) content: &'a str,
}

#[derive(serde::Deserialize)]
pub(super) struct OwnedEnvelope {
    #[serde(rename = "Content")]
    pub(super) content: String,
}

/// As many different messages take turns.
const MESSAGES: usize = 16;
