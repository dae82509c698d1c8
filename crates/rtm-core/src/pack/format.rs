//! A packed session as bytes: the number of a version, and what it says in bincode. A change of these structs is a new
//! version beside them.

use bincode::{
    Decode, Encode,
    config::{Configuration, Limit, LittleEndian, Varint},
    error::DecodeError,
};
use rtm_codec::{AppId, AttributeKey, CallId, ChannelId, InstanceId, UserId};

use super::UnpackErrorKind;
pub(crate) use crate::binary::{Id, StateV1};

/// A session in the first version.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct PackV1 {
    pub(crate) app_id: Id<AppId>,
    pub(crate) user_id: Id<UserId>,
    pub(crate) session: [u8; 16],
    pub(crate) terms: TermsV1,
    pub(crate) liveness: LivenessV1,
    pub(crate) stream: StreamV1,
    pub(crate) receipts: ReceiptsV1,
    pub(crate) mail: MailV1,
    pub(crate) requests: RequestsV1,
    pub(crate) message_ids: Option<MessageIdsV1>,
    /// The calls that count for limits, those of each budget oldest first.
    pub(crate) budgets: Vec<CountedV1>,
    pub(crate) memberships: MembershipsV1,
    pub(crate) watching: WatchingV1,
    pub(crate) attributes: Vec<(Id<AttributeKey>, String)>,
    pub(crate) ousted: Vec<OustedV1>,
    /// The open invitations that the user sent.
    pub(crate) invitations: Vec<InvitationV1>,
}

/// A session in the second version.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct PackV2 {
    pub(crate) session: PackV1,
    /// Whether the store keeps its subscriptions.
    pub(crate) subscribes_once: bool,
    /// The time under which the store has them, in milliseconds since the Unix epoch; 0 if it has none. Without any
    /// subscription: whether the store may have what nobody is to come back to.
    pub(crate) subscriptions_seen_ms: u64,
}

/// A session in the third version.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct PackV3 {
    pub(crate) session: PackV2,
    pub(crate) lanes: Option<LanesV1>,
    pub(crate) channels: Option<ChannelsV1>,
    /// The invitations that its user was given by callers on other nodes.
    pub(crate) given: Vec<GivenV1>,
}

/// A session in the fourth version.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct PackV4 {
    pub(crate) session: PackV3,
    /// When its token was issued, in milliseconds since the Unix epoch; 0 if that is not known or there is none.
    pub(crate) token_issued_at_ms: u64,
}

/// An invitation that was given to the user of the session.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct GivenV1 {
    pub(crate) caller_id: Id<UserId>,
    pub(crate) call_id: Id<CallId>,
    pub(crate) caller_session: [u8; 16],
    pub(crate) until: Moment,
}

/// A moment, in nanoseconds after the packing; negative for one before it.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) struct Moment(pub(crate) i64);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct TermsV1 {
    pub(crate) instance: Id<InstanceId>,
    pub(crate) token: Option<TokenV1>,
    /// The first six of [`Abilities`](rtm_codec::Abilities), in their order.
    pub(crate) abilities: [bool; 6],
    pub(crate) gateway_session: Option<String>,
    pub(crate) echo_until: Option<Moment>,
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) struct TokenV1 {
    /// `None` once its user was warned.
    pub(crate) warn_at: Option<Moment>,
    pub(crate) ends_at: Moment,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct LivenessV1 {
    pub(crate) state: StateV1,
    pub(crate) has_lapsed: bool,
    pub(crate) heard: Moment,
    pub(crate) server_pings: bool,
    pub(crate) interval_ms: u32,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct StreamV1 {
    pub(crate) position: PositionV1,
    pub(crate) events: Vec<QueuedV1>,
}

/// Where a stream is.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) struct PositionV1 {
    pub(crate) epoch: u64,
    pub(crate) first: u64,
    pub(crate) highest: u64,
    pub(crate) consumed: u64,
    pub(crate) window: u32,
}

/// An event and what is to be done when it has arrived.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct QueuedV1 {
    /// A packet of the native wire.
    pub(crate) event: Vec<u8>,
    pub(crate) note: NoteV1,
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) enum NoteV1 {
    None,
    /// The sender of the message waits, in this session, or nobody does any more.
    Receipt {
        session: Option<[u8; 16]>,
        numbering: u32,
        request: u64,
        deadline: Moment,
        store: bool,
    },
    Stored(u64),
    /// The invitation of the event, with this number.
    Invitation(u32),
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct ReceiptsV1 {
    pub(crate) due: Option<Moment>,
    pub(crate) from: u64,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct MailV1 {
    pub(crate) reading: ReadingV1,
    pub(crate) reads_again: bool,
    /// Stored messages that the device has and the store failed to remove.
    pub(crate) unremoved: Vec<u64>,
    pub(crate) held: Vec<QueuedV1>,
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) enum ReadingV1 {
    Done,
    Paused { after: u64, until: u64 },
    Due,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct RequestsV1 {
    pub(crate) numbering: u32,
    pub(crate) requests: Vec<RequestV1>,
    pub(crate) reads: Vec<u64>,
    pub(crate) answered: u64,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct RequestV1 {
    pub(crate) id: u64,
    /// A packet of the native wire; `None` while the request is under way.
    pub(crate) answer: Option<Vec<u8>>,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct MessageIdsV1 {
    pub(crate) to_peers: Vec<MessageIdV1>,
    pub(crate) to_channels: Vec<MessageIdV1>,
    pub(crate) repeats: Vec<RepeatV1>,
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) struct MessageIdV1 {
    pub(crate) id: u64,
    pub(crate) at: Moment,
    pub(crate) state: MessageStateV1,
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) enum MessageStateV1 {
    UnderWay,
    Delivered,
    Stored,
    NotReceived,
    Refused,
}

/// A request that repeated a message before its outcome was known.
#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) struct RepeatV1 {
    pub(crate) to_channel: bool,
    pub(crate) id: u64,
    pub(crate) request: u64,
}

/// A call that counts for a limit.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct CountedV1 {
    /// The place of its budget in [`LimitedCall::ALL`](rtm_codec::LimitedCall::ALL).
    pub(crate) call: u8,
    pub(crate) channel: Option<Id<ChannelId>>,
    /// How many nanoseconds ago it was made.
    pub(crate) age: u64,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct MembershipsV1 {
    pub(crate) channels: Vec<MembershipV1>,
    pub(crate) away_order: u64,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct MembershipV1 {
    pub(crate) channel_id: Id<ChannelId>,
    pub(crate) told_count: u32,
    pub(crate) away: Option<AwayV1>,
    /// When the channel's members were told last how many they are, and when they are to be told again.
    pub(crate) count_told: Option<Moment>,
    pub(crate) count_due: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct AwayV1 {
    pub(crate) kept: Vec<KeptV1>,
    pub(crate) lost: u64,
    pub(crate) lost_at: (u64, u64),
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct KeptV1 {
    /// The number of the event that it goes before, and its place among its like.
    pub(crate) place: (u64, u64),
    pub(crate) news: NewsV1,
    /// A packet of the native wire.
    pub(crate) event: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Encode, Decode)]
pub(crate) enum NewsV1 {
    Message,
    Member,
    Attributes,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct WatchingV1 {
    /// Whom, and the state that was told last.
    pub(crate) subscriptions: Vec<(Id<UserId>, StateV1)>,
    pub(crate) told_at: Option<Moment>,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct OustedV1 {
    pub(crate) session: [u8; 16],
    pub(crate) instance: Id<InstanceId>,
    pub(crate) was_told: bool,
}

/// How far the channels of a session had come on the node that packed it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct ChannelsV1 {
    pub(crate) node: NodeV1,
    /// For each channel, in their order, the nodes that sent messages to it and the number of the last one of each.
    pub(crate) heard: Vec<Vec<(NodeV1, u64)>>,
}

/// A node's name and incarnation.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct NodeV1(pub(crate) String, pub(crate) u64);

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct LanesV1 {
    pub(crate) last: u64,
    pub(crate) open: Vec<(Id<UserId>, Vec<LaneMessageV1>)>,
    /// Sessions, and the number of the last message of each that came.
    pub(crate) heard: Vec<([u8; 16], u64)>,
}

/// A message of which its sender does not know what became of it.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct LaneMessageV1 {
    pub(crate) n: u64,
    pub(crate) numbering: u32,
    pub(crate) request: u64,
    /// A packet of the native wire.
    pub(crate) event: Vec<u8>,
    pub(crate) store: bool,
    pub(crate) deadline: Moment,
    /// `None` while it has no place.
    pub(crate) placed: Option<PlacedV1>,
}

/// The node whose session has a message.
#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct PlacedV1 {
    pub(crate) node: String,
    pub(crate) incarnation: u64,
    pub(crate) drops_repeats: bool,
}

#[derive(Debug, Clone, PartialEq, Encode, Decode)]
pub(crate) struct InvitationV1 {
    pub(crate) call_id: Id<CallId>,
    pub(crate) callee_id: Id<UserId>,
    pub(crate) content: String,
    pub(crate) sent_at: Moment,
    pub(crate) number: u32,
    /// The callee's session that was given it.
    pub(crate) given_to: Option<[u8; 16]>,
    pub(crate) is_received: bool,
    pub(crate) was_callee_there: bool,
}

/// The bytes of a session; `None` if they are more than may be unpacked.
pub(super) fn encode(pack: &PackV4) -> Option<Vec<u8>> {
    let mut bytes = vec![VERSION];
    // The format can say everything, and a vector takes everything.
    bincode::encode_into_std_write(pack, &mut bytes, CONFIG).ok()?;
    Some(bytes).filter(|bytes| bytes.len() <= PACK_BYTES)
}

/// Reads what [`encode`] wrote, in this version or an earlier one. What is set aside for it is bounded, whatever the
/// bytes are.
pub(super) fn decode(bytes: &[u8]) -> Result<PackV4, UnpackErrorKind> {
    let (&version, body) = bytes.split_first().ok_or(UnpackErrorKind::Damaged)?;
    if !(1..=VERSION).contains(&version) {
        return Err(UnpackErrorKind::Version(version));
    }
    if bytes.len() > PACK_BYTES {
        return Err(UnpackErrorKind::TooLarge);
    }
    let issued_somewhen = |session| PackV4 { session, token_issued_at_ms: 0 };
    let without_lanes = |session| issued_somewhen(PackV3 { session, lanes: None, channels: None, given: Vec::new() });
    match version {
        1 => {
            let session = read(body)?;
            Ok(without_lanes(PackV2 { session, subscribes_once: false, subscriptions_seen_ms: 0 }))
        }
        2 => read(body).map(without_lanes),
        3 => read(body).map(issued_somewhen),
        _ => read(body),
    }
}

fn read<T: Decode<()>>(body: &[u8]) -> Result<T, UnpackErrorKind> {
    match bincode::decode_from_slice(body, CONFIG) {
        Ok((pack, read)) if read == body.len() => Ok(pack),
        Err(DecodeError::LimitExceeded) => Err(UnpackErrorKind::TooLarge),
        Ok(_) | Err(_) => Err(UnpackErrorKind::Damaged),
    }
}

const VERSION: u8 = 4;

/// How large a pack may be. A session holds 8 MiB at most with the usual settings, which here take less.
const PACK_BYTES: usize = 32 * 1024 * 1024;

/// What reading may set aside: lists take more room in memory than on paper.
const CONFIG: Configuration<LittleEndian, Varint, Limit<{ 2 * PACK_BYTES }>> =
    bincode::config::standard().with_limit::<{ 2 * PACK_BYTES }>();
