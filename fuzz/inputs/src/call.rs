//! Calls of every kind, about few users, channels and invitations, so that they meet.

use std::collections::BTreeMap;

use arbitrary::{Arbitrary, Unstructured};
use bytes::Bytes;
use rtm_codec::{
    Abilities, AcceptInvitation, AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, AppId, AttributeKey,
    CallId, CancelInvitation, ChannelAttributeTarget, ChannelId, ClearChannelAttributes, ClearLocalUserAttributes,
    Command, DeleteChannelAttributesByKeys, DeleteLocalUserAttributesByKeys, GetChannelAttributes,
    GetChannelMemberCount, GetMembers, GetUserAttributes, HistoryCursor, HistoryOf, InstanceId, JoinChannel, KeepAlive,
    LeaveChannel, Login, MessageId, QueryHistory, QueryPeersBySubscriptionOption, QueryPeersOnlineStatus,
    RefuseInvitation, RenewToken, Revision, RtmMessage, SendChannelMessage, SendInvitation, SendMessageToPeer,
    SetChannelAttributes, SetLocalUserAttributes, SubscribePeersOnlineStatus, Text, Token,
    UnsubscribePeersOnlineStatus, UserId,
};

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// One call; numbers become ids, and sizes those near the limits.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Call {
    RenewToken(Size),
    SendMessageToPeer { id: u8, peer: u8, message: Message, offline: bool, history: bool },
    QueryPeersOnlineStatus(Several),
    SubscribePeersOnlineStatus(Several),
    UnsubscribePeersOnlineStatus(Several),
    QueryPeersBySubscriptionOption,
    SendInvitation { call: u8, callee: u8, content: Size },
    CancelInvitation { call: u8, callee: u8, content: Size },
    AcceptInvitation { call: u8, caller: u8, response: Size },
    RefuseInvitation { call: u8, caller: u8, response: Size },
    SetLocalUserAttributes(Attributes),
    AddOrUpdateLocalUserAttributes(Attributes),
    DeleteLocalUserAttributesByKeys(Several),
    ClearLocalUserAttributes,
    GetUserAttributes { user: u8, keys: Option<Several> },
    JoinChannel(u8),
    LeaveChannel(u8),
    SendChannelMessage { id: u8, channel: u8, message: Message, history: bool },
    GetMembers(u8),
    GetChannelMemberCount(Several),
    SetChannelAttributes { channel: u8, attributes: Attributes, tell: bool, revision: Option<u8> },
    AddOrUpdateChannelAttributes { channel: u8, attributes: Attributes, tell: bool, revision: Option<u8> },
    DeleteChannelAttributesByKeys { channel: u8, keys: Several, tell: bool, revision: Option<u8> },
    ClearChannelAttributes { channel: u8, tell: bool, revision: Option<u8> },
    GetChannelAttributes { channel: u8, keys: Option<Several> },
    QueryHistory { of_peer: bool, whose: u8, from: u8, until: u8, after: Option<u8>, limit: u8 },
}

/// A length in bytes.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Size(u8);

/// A few ids, seldom more than a call allows.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Several {
    first: u8,
    count: u8,
}

/// What a message holds.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Message {
    Text(Size),
    Binary(Size),
    Value(Size),
}

/// A few attributes, of one size each.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Attributes {
    keys: Several,
    value: Size,
}

/// Bytes as they stand in the input, after their length.
#[derive(Debug)]
pub(crate) struct Raw(pub(crate) Vec<u8>);

/// A login.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Device {
    pub(crate) user: u8,
    pub(crate) device: u8,
    pub(crate) window: u8,
    pub(crate) binary: bool,
    pub(crate) server_pings: bool,
    pub(crate) token: Option<Size>,
    pub(crate) gateway: bool,
}

impl<'a> Arbitrary<'a> for Raw {
    fn arbitrary(input: &mut Unstructured<'a>) -> arbitrary::Result<Self> {
        let len = usize::from(u16::arbitrary(input)?).min(input.len());
        Ok(Self(input.bytes(len)?.to_vec()))
    }
}

impl Size {
    pub(crate) fn bytes(self) -> usize {
        match self.0.checked_sub(224) {
            None => self.0.into(),
            Some(large) => LARGE[usize::from(large) % LARGE.len()],
        }
    }

    pub(crate) fn text(self) -> Text {
        Text::from("x".repeat(self.bytes()))
    }
}

impl Several {
    fn numbers(self) -> impl Iterator<Item = u8> {
        let count = if self.count < 240 { u16::from(self.count % 8) } else { u16::from(self.count) * 3 };
        (0..count).map(move |n| self.first.wrapping_add(n as u8))
    }

    fn users(self) -> Vec<UserId> {
        self.numbers().map(user).collect()
    }

    fn keys(self) -> Vec<AttributeKey> {
        self.numbers().map(key).collect()
    }
}

impl Message {
    pub(crate) fn message(self) -> RtmMessage {
        match self {
            Self::Text(size) => RtmMessage::Text(size.text()),
            Self::Binary(size) => RtmMessage::binary(vec![0; size.bytes()]),
            Self::Value(Size(short)) if short < 32 => {
                let mut value = vec![0xa0 | short];
                value.resize(1 + usize::from(short), b'x');
                RtmMessage::Value(Bytes::from(value))
            }
            // Arrays in arrays, and no end.
            Self::Value(size) => RtmMessage::Value(Bytes::from(vec![0x91; size.bytes()])),
        }
    }
}

impl Attributes {
    pub(crate) fn map(self) -> BTreeMap<AttributeKey, Text> {
        self.keys.keys().into_iter().map(|key| (key, self.value.text())).collect()
    }
}

impl Device {
    pub(crate) fn login(self) -> Login {
        let Self { user: number, device, window, binary, server_pings, token, gateway } = self;
        let interval_ms = 2000;
        Login {
            app_id: app_id(),
            user_id: (number < 250).then(|| user(number)),
            token: token.and_then(|size| Token::new(size.text()).ok()),
            instance: InstanceId::new(format!("{number}-{}", device % 3)).expect("it is short"),
            resume: None,
            keep_alive: if server_pings {
                KeepAlive::Server { interval_ms }
            } else {
                KeepAlive::Client { interval_ms }
            },
            window: window.into(),
            abilities: Abilities {
                resume: !gateway,
                binary,
                revisions: true,
                fetches_stored: gateway,
                repeats_attributes: gateway,
                times_token: !gateway,
                gives_up: gateway,
                subscribes_once: gateway,
            },
            gateway_session: gateway.then(|| gateway_session(number)),
        }
    }
}

impl Call {
    pub(crate) fn command(self) -> Command {
        match self {
            Self::RenewToken(size) => RenewToken { token: token(size) }.into(),
            Self::SendMessageToPeer { id, peer, message, offline, history } => SendMessageToPeer {
                message_id: MessageId(id.into()),
                peer_id: user(peer),
                message: message.message(),
                enable_offline_messaging: offline,
                enable_historical_messaging: history,
            }
            .into(),
            Self::QueryPeersOnlineStatus(peers) => QueryPeersOnlineStatus { peer_ids: peers.users() }.into(),
            Self::SubscribePeersOnlineStatus(peers) => SubscribePeersOnlineStatus { peer_ids: peers.users() }.into(),
            Self::UnsubscribePeersOnlineStatus(peers) => {
                UnsubscribePeersOnlineStatus { peer_ids: peers.users() }.into()
            }
            Self::QueryPeersBySubscriptionOption => QueryPeersBySubscriptionOption {}.into(),
            Self::SendInvitation { call, callee, content } => {
                SendInvitation { call_id: call_id(call), callee_id: user(callee), content: content.text() }.into()
            }
            Self::CancelInvitation { call, callee, content } => {
                CancelInvitation { call_id: call_id(call), callee_id: user(callee), content: content.text() }.into()
            }
            Self::AcceptInvitation { call, caller, response } => {
                AcceptInvitation { call_id: call_id(call), caller_id: user(caller), response: response.text() }.into()
            }
            Self::RefuseInvitation { call, caller, response } => {
                RefuseInvitation { call_id: call_id(call), caller_id: user(caller), response: response.text() }.into()
            }
            Self::SetLocalUserAttributes(attributes) => SetLocalUserAttributes { attributes: attributes.map() }.into(),
            Self::AddOrUpdateLocalUserAttributes(attributes) => {
                AddOrUpdateLocalUserAttributes { attributes: attributes.map() }.into()
            }
            Self::DeleteLocalUserAttributesByKeys(keys) => DeleteLocalUserAttributesByKeys { keys: keys.keys() }.into(),
            Self::ClearLocalUserAttributes => ClearLocalUserAttributes {}.into(),
            Self::GetUserAttributes { user: number, keys } => {
                GetUserAttributes { user_id: user(number), keys: keys.map(Several::keys) }.into()
            }
            Self::JoinChannel(number) => JoinChannel { channel_id: channel(number) }.into(),
            Self::LeaveChannel(number) => LeaveChannel { channel_id: channel(number) }.into(),
            Self::SendChannelMessage { id, channel: number, message, history } => SendChannelMessage {
                message_id: MessageId(id.into()),
                channel_id: channel(number),
                message: message.message(),
                enable_historical_messaging: history,
            }
            .into(),
            Self::GetMembers(number) => GetMembers { channel_id: channel(number) }.into(),
            Self::GetChannelMemberCount(several) => {
                GetChannelMemberCount { channel_ids: several.numbers().map(channel).collect() }.into()
            }
            Self::SetChannelAttributes { channel: number, attributes, tell, revision } => {
                SetChannelAttributes { target: target(number, tell, revision), attributes: attributes.map() }.into()
            }
            Self::AddOrUpdateChannelAttributes { channel: number, attributes, tell, revision } => {
                AddOrUpdateChannelAttributes { target: target(number, tell, revision), attributes: attributes.map() }
                    .into()
            }
            Self::DeleteChannelAttributesByKeys { channel: number, keys, tell, revision } => {
                DeleteChannelAttributesByKeys { target: target(number, tell, revision), keys: keys.keys() }.into()
            }
            Self::ClearChannelAttributes { channel: number, tell, revision } => {
                ClearChannelAttributes { target: target(number, tell, revision) }.into()
            }
            Self::GetChannelAttributes { channel: number, keys } => {
                GetChannelAttributes { channel_id: channel(number), keys: keys.map(Several::keys) }.into()
            }
            Self::QueryHistory { of_peer, whose, from, until, after, limit } => QueryHistory {
                conversation: if of_peer { HistoryOf::Peer(user(whose)) } else { HistoryOf::Channel(channel(whose)) },
                from_ts: START_MS + u64::from(from) * 1000,
                until_ts: START_MS + u64::from(until) * 1000,
                after: after.map(|cursor| HistoryCursor(cursor.into())),
                limit: limit.into(),
            }
            .into(),
        }
    }
}

pub(crate) fn app_id() -> AppId {
    AppId::new(APP_ID).expect("it has the right form")
}

pub(crate) fn user(number: u8) -> UserId {
    UserId::new(format!("u{}", few(number, 4))).expect("it is short")
}

pub(crate) fn channel(number: u8) -> ChannelId {
    ChannelId::new(format!("c{}", few(number, 3))).expect("it is short")
}

pub(crate) fn call_id(number: u8) -> CallId {
    CallId::new(format!("i{}", few(number, 4))).expect("it is short")
}

pub(crate) fn key(number: u8) -> AttributeKey {
    AttributeKey::new(format!("k{number}")).expect("it is short")
}

pub(crate) fn token(size: Size) -> Token {
    Token::new(size.text()).unwrap_or_else(|_| Token::new("t").expect("it is short"))
}

pub(crate) fn gateway_session(user: u8) -> Text {
    Text::from(format!("gateway-{}", few(user, 4)))
}

/// Mostly one of the first few numbers; sometimes one of many, to come to the limits of how many there may be.
fn few(number: u8, most: u8) -> u8 {
    if number < 160 { number % most } else { number }
}

/// When the world began, in milliseconds since the Unix epoch.
pub(crate) const START_MS: u64 = 1_700_000_000_000;
const LARGE: [usize; 16] =
    [255, 256, 1023, 1024, 1025, 4096, 8191, 8192, 8193, 16_383, 16_384, 16_385, 32_767, 32_768, 32_769, 100_000];

fn target(number: u8, notify: bool, revision: Option<u8>) -> ChannelAttributeTarget {
    let expected_revision = revision.map(|revision| Revision(revision.into()));
    ChannelAttributeTarget { channel_id: channel(number), notify, expected_revision }
}
