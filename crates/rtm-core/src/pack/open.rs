//! A pack from outside: it is read and checked as a whole before anything is done with it.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_codec::{AttributeKey, Budgets, ChannelId, LimitedCall, SessionId, SharedEvent, Text, UserId, limits};

use super::{
    COUNTED_CALLS, UnpackErrorKind,
    format::{
        self, ChannelsV1, CountedV1, GivenV1, Id, InvitationV1, LanesV1, MembershipV1, Moment, NodeV1, NoteV1, PackV1,
        PackV2, PackV3, PackV4, QueuedV1, WatchingV1,
    },
    times::PackTime,
};
use crate::{
    Core, Now, Settings,
    away::Away,
    binary,
    cluster::{NodeId, NodeName},
    lanes::Lanes,
    liveness::Liveness,
    message_ids::MessageIds,
    notes::{Note, Queued, event_bytes},
    offline::Mail,
    ousted::OustedSessions,
    receipts::Receipts,
    requests::Requests,
    stream::{COUNTED, Stream},
    terms::Terms,
};

/// A good pack. The parts that name others are as they were written: nobody knows yet whom they mean here.
pub(super) struct Opened {
    pub(super) user_id: UserId,
    pub(super) id: SessionId,
    pub(super) parts: Parts,
    pub(super) events: Vec<UnpackedEvent>,
    pub(super) held: Vec<UnpackedEvent>,
    pub(super) memberships: Vec<UnpackedMembership>,
    pub(super) away_order: u64,
    pub(super) watching: WatchingV1,
    pub(super) subscriptions_seen_ms: u64,
    pub(super) invitations: Vec<InvitationV1>,
    /// The node that packed it, and for each channel the last messages of all nodes.
    pub(super) channels: Option<(NodeId, Vec<Heard>)>,
    pub(super) given: Vec<GivenV1>,
}

/// The last message of each node to a channel.
pub(crate) type Heard = Vec<(NodeId, u64)>;

/// The parts of a session that name nobody.
pub(crate) struct Parts {
    pub(crate) terms: Terms,
    pub(crate) liveness: Liveness,
    pub(crate) stream: Stream,
    pub(crate) receipts: Receipts,
    pub(crate) mail: Mail,
    pub(crate) requests: Requests,
    pub(crate) message_ids: Option<Box<MessageIds>>,
    pub(crate) lanes: Option<Box<Lanes>>,
    pub(crate) budgets: Budgets,
    pub(crate) attributes: BTreeMap<AttributeKey, Text>,
    pub(crate) ousted: OustedSessions,
}

/// An event, and the note that it had.
pub(crate) struct UnpackedEvent {
    pub(crate) event: SharedEvent,
    pub(crate) bytes: u32,
    pub(crate) note: NoteV1,
}

/// A channel, and what was missed of it.
pub(crate) struct UnpackedMembership {
    pub(crate) channel_id: ChannelId,
    pub(crate) told_count: u32,
    pub(crate) away: Option<Away>,
    pub(crate) count_told: Option<Moment>,
    pub(crate) count_due: Option<Moment>,
}

impl Opened {
    pub(super) fn read(core: &Core, now: Now, bytes: &[u8]) -> Result<Self, UnpackErrorKind> {
        let PackV4 { session, token_issued_at_ms } = format::decode(bytes)?;
        let PackV3 { session, lanes, channels, given } = session;
        let PackV2 { session: pack, subscribes_once, subscriptions_seen_ms } = session;
        if pack.app_id.0 != core.config.app_id {
            return Err(UnpackErrorKind::OtherProject);
        }
        if core.session_of(&pack.user_id.0).is_some() {
            return Err(UnpackErrorKind::UserHasSession);
        }
        let opened = Self::open(core, now, pack, lanes, (subscribes_once, token_issued_at_ms))
            .ok_or(UnpackErrorKind::Inconsistent)?;
        let channels = match channels {
            Some(packed) => Some(
                self::channels(packed)
                    .filter(|(_, heard)| heard.len() == opened.memberships.len())
                    .ok_or(UnpackErrorKind::Inconsistent)?,
            ),
            None => None,
        };
        if given.len() > GIVEN_INVITATIONS {
            return Err(UnpackErrorKind::Inconsistent);
        }
        Ok(Self { subscriptions_seen_ms, channels, given, ..opened })
    }

    fn open(
        core: &Core,
        now: Now,
        mut pack: PackV1,
        lanes: Option<LanesV1>,
        (subscribes_once, token_issued_at_ms): (bool, u64),
    ) -> Option<Self> {
        let (settings, time) = (&core.config.settings, PackTime(now.instant));
        let mut room = Room::new(settings);
        let events = room.events(pack.stream.events)?;
        let held = room.events(std::mem::take(&mut pack.mail.held))?;
        let memberships = memberships(&mut room, pack.memberships.channels)?;
        Some(Self {
            user_id: pack.user_id.0,
            id: SessionId(pack.session),
            parts: Parts {
                terms: Terms::unpack(pack.terms, subscribes_once, token_issued_at_ms, time),
                liveness: Liveness::unpack(&pack.liveness, time),
                stream: Stream::unpack(&pack.stream.position, events.len())?,
                receipts: Receipts::unpack(&pack.receipts, time),
                mail: Mail::unpack(&pack.mail, held.len())?,
                requests: Requests::unpack(pack.requests)?,
                message_ids: match pack.message_ids {
                    Some(ids) => Some(Box::new(MessageIds::unpack(&ids, time, settings)?)),
                    None => None,
                },
                lanes: match lanes {
                    Some(lanes) => Some(Box::new(Lanes::unpack(lanes, core.hasher.clone(), time)?)),
                    None => None,
                },
                budgets: budgets(pack.budgets, core.since_start(now))?,
                attributes: attributes(pack.attributes)?,
                ousted: OustedSessions::unpack(pack.ousted)?,
            },
            events,
            held,
            memberships,
            away_order: Some(pack.memberships.away_order).filter(|order| *order <= COUNTED)?,
            watching: watching(pack.watching)?,
            subscriptions_seen_ms: 0,
            invitations: invitations(pack.invitations, settings)?,
            channels: None,
            given: Vec::new(),
        })
    }
}

/// How much more the events of a pack may take.
struct Room(usize);

impl Room {
    /// A connected session that catches up may hold twice the usual.
    fn new(settings: &Settings) -> Self {
        Self(settings.session_bytes.saturating_mul(2).saturating_add(1024 * 1024))
    }

    fn events(&mut self, packed: Vec<QueuedV1>) -> Option<Vec<UnpackedEvent>> {
        packed.into_iter().map(|QueuedV1 { event, note }| self.event(event, note)).collect()
    }

    fn plain(&mut self, packet: Vec<u8>) -> Option<Queued> {
        let UnpackedEvent { event, bytes, .. } = self.event(packet, NoteV1::None)?;
        Some(Queued { event, note: Note::None, bytes })
    }

    fn event(&mut self, packet: Vec<u8>, note: NoteV1) -> Option<UnpackedEvent> {
        let event = binary::event(packet.into())?;
        let bytes = event_bytes(&event);
        self.0 = self.0.checked_sub(bytes as usize)?;
        Some(UnpackedEvent { event: SharedEvent::for_one(event), bytes, note })
    }
}

fn memberships(room: &mut Room, packed: Vec<MembershipV1>) -> Option<Vec<UnpackedMembership>> {
    let mut names = BTreeSet::new();
    let mut all = Vec::new();
    for MembershipV1 { channel_id: Id(channel_id), told_count, away, count_told, count_due } in packed {
        let away = match away {
            Some(away) => Some(Away::unpack(away, |event| room.plain(event))?),
            None => None,
        };
        names.insert(channel_id.clone());
        all.push(UnpackedMembership { channel_id, told_count, away, count_told, count_due });
    }
    Some(all).filter(|all| all.len() == names.len() && all.len() <= limits::JOINED_CHANNELS)
}

fn channels(packed: ChannelsV1) -> Option<(NodeId, Vec<Heard>)> {
    let node = |NodeV1(name, incarnation): NodeV1| Some(NodeId { name: NodeName::told(&name).ok()?, incarnation });
    let heard = |all: Vec<(NodeV1, u64)>| all.into_iter().map(|(from, k)| Some((node(from)?, k))).collect();
    Some((node(packed.node)?, packed.heard.into_iter().map(heard).collect::<Option<_>>()?))
}

fn attributes(packed: Vec<(Id<AttributeKey>, String)>) -> Option<BTreeMap<AttributeKey, Text>> {
    let attributes = packed.into_iter().map(|(Id(key), value)| (key, Text::from(value))).collect();
    limits::check_attributes(&attributes, limits::USER_ATTRIBUTES_BYTES).ok().map(|()| attributes)
}

fn budgets(packed: Vec<CountedV1>, now: Duration) -> Option<Budgets> {
    if packed.len() > COUNTED_CALLS {
        return None;
    }
    let mut budgets = Budgets::default();
    for CountedV1 { call, channel, age } in packed {
        let call = *LimitedCall::ALL.get(usize::from(call))?;
        budgets.recount(call, channel.map(|Id(channel)| channel), now.saturating_sub(Duration::from_nanos(age)));
    }
    Some(budgets)
}

fn watching(packed: WatchingV1) -> Option<WatchingV1> {
    let users: BTreeSet<_> = packed.subscriptions.iter().map(|(user_id, _)| user_id).collect();
    let is_good = users.len() == packed.subscriptions.len() && users.len() <= limits::SUBSCRIBED_PEERS;
    is_good.then_some(packed)
}

fn invitations(packed: Vec<InvitationV1>, settings: &Settings) -> Option<Vec<InvitationV1>> {
    let ids: BTreeSet<_> = packed.iter().map(|invitation| &invitation.call_id).collect();
    let is_good = ids.len() == packed.len()
        && packed.len() <= settings.open_invitations
        && packed.iter().all(|invitation| limits::check_invitation_text(&invitation.content).is_ok());
    is_good.then_some(packed)
}

/// So many invitations of callers on other nodes are packed at most.
const GIVEN_INVITATIONS: usize = 16 * 1024;
