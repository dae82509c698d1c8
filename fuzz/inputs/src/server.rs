//! What a server may say to a connection, well-formed, right or wrong.

use std::collections::BTreeMap;

use arbitrary::Arbitrary;
use rtm_codec::{
    Answer, CallLimits, ChannelAttribute, ChannelAttributes, CloseReason, Command, Epoch, ErrorKind, Event,
    HistoryCursor, HistoryPage, LocalInvitationFailureReason, MessageId, PeerMessage, PeerOnlineState, Refusal,
    RemoteInvitationFailureReason, Resumption, Revision, SendOutcome, SessionId, SessionTicket, StoredMessage, UserId,
    Welcome,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
use rtm_connection::LocalInvitation;

use crate::call::{Attributes, Message, START_MS, Size, call_id, channel, gateway_session, user};

/// A login is taken.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) struct Welcomed {
    ticket: Option<u8>,
    resumption: u8,
    life: Option<u16>,
    limits: bool,
    /// Instead of the one who logged in.
    user: Option<u8>,
}

/// What comes of a call.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Said {
    Right(u8),
    Wrong(u8),
    Refused(u8),
}

/// An event.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(crate) enum Told {
    MessageFromPeer { id: u8, peer: u8, message: Message, stored: bool },
    PeersOnlineStatusChanged { peer: u8, state: u8 },
    TokenWillExpire(u16),
    RemoteInvitationReceived { call: u8, caller: u8, content: Size },
    RemoteInvitationCanceled { call: u8, caller: u8 },
    RemoteInvitationFailure { call: u8, caller: u8, reason: u8 },
    LocalInvitationReceivedByPeer,
    LocalInvitationAccepted,
    LocalInvitationRefused,
    LocalInvitationFailure(u8),
    ChannelMessage { channel: u8, id: u8, member: u8, message: Message },
    MemberJoined { channel: u8, member: u8 },
    MemberLeft { channel: u8, member: u8 },
    MemberCountUpdated { channel: u8, count: u8 },
    AttributesUpdated { channel: u8, attributes: Attributes },
    Gap { channel: Option<u8>, lost: Option<u64> },
}

impl Welcomed {
    pub(crate) fn welcome(self, asked: Option<&UserId>) -> Welcome {
        let Self { ticket, resumption, life, limits, user: other } = self;
        Welcome {
            user_id: other.map(user).or_else(|| asked.cloned()).unwrap_or_else(|| user(0)),
            ticket: ticket.map(|number| SessionTicket::new(SessionId([number % 4; 16]), Epoch(number.into()))),
            resumption: match resumption % 3 {
                0 => Resumption::New,
                1 => Resumption::Resumed,
                _ => Resumption::Lapsed,
            },
            token_expires_in_ms: life.map(|life| if life == u16::MAX { u64::MAX } else { u64::from(life) * 10 }),
            server_time_ms: START_MS,
            limits: limits.then(CallLimits::default),
        }
    }
}

impl Said {
    pub(crate) fn result(self, command: &Command) -> Result<Answer, Refusal> {
        match self {
            Self::Right(how) => Ok(answer(command, how)),
            Self::Wrong(0..128) => Ok(Answer::QueryPeersBySubscriptionOption(Vec::new())),
            Self::Wrong(_) => Ok(Answer::JoinChannel(())),
            Self::Refused(why) => Err(Refusal::from(kind(why))),
        }
    }
}

impl Said {
    pub(crate) fn gateway_answer(self, request: &GatewayRequest) -> GatewayAnswer {
        match (self, request) {
            (Self::Right(how), GatewayRequest::Connect { .. }) => {
                GatewayAnswer::Connect { session: gateway_session(how), addresses: Vec::new() }
            }
            (Self::Right(how), GatewayRequest::OfflineMessages { .. }) => {
                let message = PeerMessage {
                    message_id: MessageId(how.into()),
                    peer_id: user(how),
                    message: "x".into(),
                    is_offline_message: true,
                    server_received_ts: START_MS + u64::from(how),
                };
                GatewayAnswer::OfflineMessages(vec![message].into())
            }
            (Self::Right(how), _) => GatewayAnswer::History(history(how)),
            (Self::Wrong(_), _) => GatewayAnswer::TryAgain,
            (Self::Refused(number), _) => GatewayAnswer::Refused(kind(number)),
        }
    }
}

impl Told {
    /// The event; `local` is the invitation that one of the user's own is about.
    pub(crate) fn event(self, local: Option<LocalInvitation>) -> Event {
        let (own, callee_id) = match local {
            Some(local) => (local.call_id, local.callee_id),
            None => (call_id(0), user(0)),
        };
        match self {
            Self::MessageFromPeer { id, peer, message, stored } => Event::MessageFromPeer(PeerMessage {
                message_id: MessageId(id.into()),
                peer_id: user(peer),
                message: message.message(),
                is_offline_message: stored,
                server_received_ts: START_MS + u64::from(id),
            }),
            Self::PeersOnlineStatusChanged { peer, state } => {
                Event::PeersOnlineStatusChanged { peers: vec![(user(peer), online_state(state))] }
            }
            Self::TokenWillExpire(ms) => Event::TokenWillExpire { expires_in_ms: ms.into() },
            Self::RemoteInvitationReceived { call, caller, content } => Event::RemoteInvitationReceived {
                call_id: call_id(call),
                caller_id: user(caller),
                content: content.text(),
            },
            Self::RemoteInvitationCanceled { call, caller } => {
                Event::RemoteInvitationCanceled { call_id: call_id(call), caller_id: user(caller), content: "".into() }
            }
            Self::RemoteInvitationFailure { call, caller, reason } => Event::RemoteInvitationFailure {
                call_id: call_id(call),
                caller_id: user(caller),
                reason: match reason % 3 {
                    0 => RemoteInvitationFailureReason::PeerOffline,
                    1 => RemoteInvitationFailureReason::AcceptFailure,
                    _ => RemoteInvitationFailureReason::InvitationExpire,
                },
            },
            Self::LocalInvitationReceivedByPeer => Event::LocalInvitationReceivedByPeer { call_id: own, callee_id },
            Self::LocalInvitationAccepted => {
                Event::LocalInvitationAccepted { call_id: own, callee_id, response: "".into() }
            }
            Self::LocalInvitationRefused => {
                Event::LocalInvitationRefused { call_id: own, callee_id, response: "".into() }
            }
            Self::LocalInvitationFailure(reason) => Event::LocalInvitationFailure {
                call_id: own,
                callee_id,
                reason: match reason % 4 {
                    0 => LocalInvitationFailureReason::PeerOffline,
                    1 => LocalInvitationFailureReason::PeerNoResponse,
                    2 => LocalInvitationFailureReason::InvitationExpire,
                    _ => LocalInvitationFailureReason::NotLoggedIn,
                },
            },
            Self::ChannelMessage { channel: number, id, member, message } => Event::ChannelMessage {
                channel_id: channel(number),
                message_id: MessageId(id.into()),
                member_id: user(member),
                message: message.message(),
                server_received_ts: START_MS + u64::from(id),
            },
            Self::MemberJoined { channel: number, member } => {
                Event::MemberJoined { channel_id: channel(number), member_id: user(member), member_count: 2 }
            }
            Self::MemberLeft { channel: number, member } => {
                Event::MemberLeft { channel_id: channel(number), member_id: user(member), member_count: 1 }
            }
            Self::MemberCountUpdated { channel: number, count } => {
                Event::MemberCountUpdated { channel_id: channel(number), member_count: count.into() }
            }
            Self::AttributesUpdated { channel: number, attributes } => {
                Event::AttributesUpdated { channel_id: channel(number), attributes: channel_attributes(attributes) }
            }
            Self::Gap { channel: number, lost } => Event::Gap { channel_id: number.map(channel), lost },
        }
    }
}

pub(crate) fn reason(number: u8) -> CloseReason {
    CloseReason::ALL[usize::from(number) % CloseReason::ALL.len()]
}

pub(crate) fn kind(number: u8) -> ErrorKind {
    KINDS[usize::from(number) % KINDS.len()]
}

fn online_state(number: u8) -> PeerOnlineState {
    match number % 3 {
        0 => PeerOnlineState::Online,
        1 => PeerOnlineState::Unreachable,
        _ => PeerOnlineState::Offline,
    }
}

fn channel_attributes(attributes: Attributes) -> ChannelAttributes {
    let entry = |value| ChannelAttribute::new(value, user(1), START_MS);
    ChannelAttributes::new(attributes.map().into_iter().map(|(key, value)| (key, entry(value))).collect(), Revision(1))
}

/// A right answer, whatever it says.
fn answer(command: &Command, how: u8) -> Answer {
    match command {
        Command::RenewToken(_) => Answer::RenewToken(()),
        Command::SendMessageToPeer(_) => Answer::SendMessageToPeer(match how % 3 {
            0 => SendOutcome::Delivered,
            1 => SendOutcome::Stored,
            _ => SendOutcome::NotReceived,
        }),
        Command::QueryPeersOnlineStatus(query) => Answer::QueryPeersOnlineStatus(
            query.peer_ids.iter().map(|peer| (peer.clone(), online_state(how))).collect(),
        ),
        Command::SubscribePeersOnlineStatus(_) => Answer::SubscribePeersOnlineStatus(()),
        Command::UnsubscribePeersOnlineStatus(_) => Answer::UnsubscribePeersOnlineStatus(()),
        Command::QueryPeersBySubscriptionOption(_) => Answer::QueryPeersBySubscriptionOption(vec![user(how)]),
        Command::SendInvitation(_) => Answer::SendInvitation(()),
        Command::CancelInvitation(_) => Answer::CancelInvitation(()),
        Command::AcceptInvitation(_) => Answer::AcceptInvitation(()),
        Command::RefuseInvitation(_) => Answer::RefuseInvitation(()),
        Command::SetLocalUserAttributes(_) => Answer::SetLocalUserAttributes(()),
        Command::AddOrUpdateLocalUserAttributes(_) => Answer::AddOrUpdateLocalUserAttributes(()),
        Command::DeleteLocalUserAttributesByKeys(_) => Answer::DeleteLocalUserAttributesByKeys(()),
        Command::ClearLocalUserAttributes(_) => Answer::ClearLocalUserAttributes(()),
        Command::GetUserAttributes(_) => Answer::GetUserAttributes(BTreeMap::new()),
        Command::JoinChannel(_) => Answer::JoinChannel(()),
        Command::LeaveChannel(_) => Answer::LeaveChannel(()),
        Command::SendChannelMessage(_) => Answer::SendChannelMessage(()),
        Command::GetMembers(_) => Answer::GetMembers(vec![user(how)]),
        Command::GetChannelMemberCount(_) => {
            Answer::GetChannelMemberCount(BTreeMap::from([(channel(how), u32::from(how))]))
        }
        Command::SetChannelAttributes(_) => Answer::SetChannelAttributes(Revision(how.into())),
        Command::AddOrUpdateChannelAttributes(_) => Answer::AddOrUpdateChannelAttributes(Revision(how.into())),
        Command::DeleteChannelAttributesByKeys(_) => Answer::DeleteChannelAttributesByKeys(Revision(how.into())),
        Command::ClearChannelAttributes(_) => Answer::ClearChannelAttributes(Revision(how.into())),
        Command::GetChannelAttributes(_) => Answer::GetChannelAttributes(ChannelAttributes::default()),
        Command::QueryHistory(_) => Answer::QueryHistory(history(how)),
    }
}

fn history(how: u8) -> HistoryPage {
    HistoryPage::new(
        vec![StoredMessage::new(MessageId(how.into()), user(how), "x".into(), START_MS)],
        how.is_multiple_of(2).then_some(HistoryCursor(how.into())),
    )
}

/// Those that a connection treats in a way of their own, and some others.
const KINDS: [ErrorKind; 16] = [
    ErrorKind::Failure,
    ErrorKind::Timeout,
    ErrorKind::TooOften,
    ErrorKind::NotLoggedIn,
    ErrorKind::InvalidAppId,
    ErrorKind::InvalidToken,
    ErrorKind::TokenExpired,
    ErrorKind::Banned,
    ErrorKind::GatewayConnectFailed,
    ErrorKind::AlreadyJoined,
    ErrorKind::NotInChannel,
    ErrorKind::AlreadyEnd,
    ErrorKind::AlreadyAccept,
    ErrorKind::OutcomeUnknown,
    ErrorKind::RevisionConflict,
    ErrorKind::Unsupported,
];
