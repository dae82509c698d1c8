//! This core as one of several: which nodes there are, where the sessions of users are, and what is to be said to other
//! nodes and asked of the engine.

mod entries;
mod heard;
mod lanes;
mod posted;

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use rtm_codec::{ChannelId, UserId};

pub(super) use self::posted::{LaneOf, Posted};
use self::{
    entries::{Gone, Known, Release, Tidying, VOID_FOR},
    posted::{OpenRuns, proto_of},
};
use super::{
    Core, Now,
    arena::SessionKey,
    channel_attributes::Adopted,
    claim::Claims,
    cluster::{EngineJob, EngineWork, MessageOutcome, NodeId, Posting, ProjectParcel, Ticket, View},
    draining::Draining,
    engine::{EngineJobs, Purpose},
    far_invitations::CallMessages,
    far_presence::FarPresence,
    far_reads::FarReads,
    frozen::Frozen,
    given_invitations::GivenInvitations,
    home::Homes,
    member_counts::CountQuestions,
    moves::Moves,
    notes::Asker,
    relays::Relays,
    rereading::Rereading,
    roster::Rosters,
    timer::Due,
};

/// What a core has of the cluster that it belongs to.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) node: NodeId,
    pub(super) view: View,
    /// The version that this node speaks.
    proto: u16,
    /// The entries of users as they were last heard of, by whatever way.
    entries: IndexMap<UserId, Known, FixedState>,
    /// The next entry to be looked at, and those after it, while all are; else when that begins.
    tidying: Tidying,
    /// The nodes that left, until their users' entries are removed.
    left: BTreeMap<NodeId, Gone>,
    /// The revisions under which this node has users.
    own: HashMap<UserId, u64, FixedState>,
    pub(super) engine: EngineJobs,
    parcels: Vec<Posting>,
    /// Those of them that messages can still be added to: the last ones for their nodes.
    open_runs: Vec<OpenRuns>,
    /// The lanes on which messages wait for the end of the turn.
    pub(super) lanes_to_go: Vec<(SessionKey, UserId)>,
    next_ticket: u64,
    /// Entries that may not have been removed, and when this node tries that again.
    releases: Vec<(Instant, Release)>,
    /// What nodes have not taken yet.
    tickets: BTreeMap<Ticket, Posted>,
    /// What became of messages, which their senders' nodes have not heard.
    pub(super) lost_outcomes: Vec<MessageOutcome>,
    /// The channels to whose attributes this node wrote last, or that it forgot, and whether members were told.
    pub(super) written: VecDeque<(ChannelId, bool)>,
    /// What the store told of channels, before the node that wrote it.
    pub(super) adopted: BTreeMap<ChannelId, Adopted>,
    /// The sessions of which other nodes are being told what they wrote, and how many have yet to say that they know.
    telling: BTreeMap<SessionKey, usize>,
    /// What nodes said that have a newer view.
    early: BTreeMap<NodeId, VecDeque<ProjectParcel>>,
    pub(super) claims: Claims,
    pub(super) frozen: Frozen,
    /// Requests of sessions that came from elsewhere while somebody there was to answer them, and until when.
    promised: VecDeque<(Instant, Asker)>,
    /// The lanes on which messages are on their way.
    lanes: BTreeSet<(UserId, SessionKey)>,
    /// When they are looked at next.
    lanes_due: Option<Instant>,
    looks: Looks,
    pub(super) presence: FarPresence,
    pub(super) reads: FarReads,
    pub(super) homes: Homes,
    pub(super) rosters: Rosters,
    pub(super) moves: Moves,
    pub(super) counts: CountQuestions,
    /// The nodes to which a message of a channel did not go, and which do not know that yet.
    pub(super) skipped: BTreeSet<(ChannelId, NodeId)>,
    /// The channels in which messages wait for changes of members.
    pub(super) channels_with_early: BTreeSet<ChannelId>,
    pub(super) calls: CallMessages,
    pub(super) given: GivenInvitations,
    pub(super) relays: Relays,
    pub(super) rereading: Rereading,
    /// This node is about to leave.
    pub(super) draining: Option<Draining>,
}

/// When it is looked at what waits. Thousands wait at a time, and each looks at all that wait: looks that are planned for almost the same
/// time are one.
#[derive(Debug, Default)]
struct Looks {
    planned: BTreeSet<Instant>,
    /// The first one.
    first: Option<Instant>,
}

impl Looks {
    /// When to look so that it is at this time or a moment later, if nobody has planned that yet.
    fn plan(&mut self, at: Instant) -> Option<Instant> {
        let since_first = at.saturating_duration_since(*self.first.get_or_insert(at));
        let past = since_first.as_nanos() % LOOK_STEP.as_nanos();
        let at = if past == 0 { at } else { at + LOOK_STEP - Duration::from_nanos(past as u64) };
        self.planned.insert(at).then_some(at)
    }

    /// Whether a look at this time was planned.
    fn take(&mut self, at: Instant) -> bool {
        self.planned.remove(&at)
    }
}

/// The numbers of the next job and ticket. They go on when a core joins again: an answer to what it asked before comes to
/// nobody.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Numbers {
    job: u64,
    ticket: u64,
}

impl Edge {
    fn new(node: NodeId, view: View, hasher: &FixedState, numbers: Numbers) -> Self {
        let mut presence = FarPresence::new(node.clone(), &view);
        let presence_parcels = presence.take_out_for_others(&node).into_iter();
        Self {
            proto: proto_of(&view, &node),
            node,
            view,
            entries: IndexMap::with_hasher(hasher.clone()),
            tidying: Tidying::default(),
            left: BTreeMap::new(),
            own: HashMap::with_hasher(hasher.clone()),
            engine: EngineJobs::new(numbers.job),
            parcels: presence_parcels
                .map(|(to, parcel)| Posting { to, parcel: ProjectParcel::Presence(parcel), ticket: None })
                .collect(),
            open_runs: Vec::new(),
            lanes_to_go: Vec::new(),
            next_ticket: numbers.ticket,
            releases: Vec::new(),
            tickets: BTreeMap::new(),
            lost_outcomes: Vec::new(),
            written: VecDeque::new(),
            adopted: BTreeMap::new(),
            telling: BTreeMap::new(),
            early: BTreeMap::new(),
            claims: Claims::default(),
            frozen: Frozen::default(),
            promised: VecDeque::new(),
            lanes: BTreeSet::new(),
            lanes_due: None,
            looks: Looks::default(),
            presence,
            reads: FarReads::default(),
            homes: Homes::default(),
            rosters: Rosters::new(hasher.clone()),
            moves: Moves::default(),
            counts: CountQuestions::default(),
            skipped: BTreeSet::new(),
            channels_with_early: BTreeSet::new(),
            calls: CallMessages::default(),
            given: GivenInvitations::default(),
            relays: Relays::default(),
            rereading: Rereading::default(),
            draining: None,
        }
    }

    pub(super) fn numbers(&self) -> Numbers {
        Numbers { job: self.engine.next(), ticket: self.next_ticket }
    }

    /// Asks something of the engine.
    pub(super) fn ask(&mut self, user_id: &UserId, work: EngineWork, purpose: Purpose) {
        self.engine.ask(user_id, work, purpose);
    }

    /// Somebody elsewhere is to answer a request until then.
    pub(super) fn await_promised(&mut self, until: Instant, asker: Asker) {
        self.promised.push_back((until, asker));
    }

    /// The requests that somebody should have answered by now.
    pub(super) fn take_broken(&mut self, now: Instant) -> Vec<Asker> {
        let due = self.promised.iter().take_while(|(until, _)| *until <= now).count();
        self.promised.drain(..due).map(|(_, asker)| asker).collect()
    }

    /// How much of this node others wait for.
    pub(super) fn unsettled(&self) -> usize {
        let waiting = self.early.values().map(VecDeque::len).sum::<usize>() + self.parcels.len();
        waiting
            + self.lost_outcomes.len()
            + self.tickets.len()
            + self.engine.len()
            + self.releases.len()
            + self.moves.len()
            + self.calls.len()
            + self.rereading.len()
    }

    /// Whether a user's session stands still here for another node, or a login here asks where it is: it is not known yet
    /// where the user will be.
    pub(super) fn is_on_its_way(&self, user_id: &UserId) -> bool {
        self.frozen.has(user_id) || self.claims.concern(user_id)
    }
}

impl Core {
    /// This core is to [join](Self::join_cluster) a cluster: before, nobody is let in, and what back ends and operators ask for is
    /// refused.
    pub fn await_cluster(&mut self) {
        self.is_outside = true;
    }

    /// Makes this core one of several: it is on this node, with this view, which has it. For a core that has had no connection
    /// yet, or that [left](Self::leave_cluster). The entries of users come next ([`handle_entry`](Self::handle_entry)), and
    /// what the store has kept once more ([`restore`](Self::restore)): other nodes may have written before they knew of this one.
    pub fn join_cluster(&mut self, node: NodeId, view: View) {
        let mut edge = Edge::new(node, view, &self.hasher, self.numbers);
        // There are no channels with members yet.
        let _ = edge.homes.set_view(&edge.view, &edge.node);
        self.hub.back_end.join(&edge.node);
        self.edge = Some(Box::new(edge));
        self.is_outside = false;
        self.pull_next(Now { instant: self.clock.last(), unix_ms: 0 });
    }

    /// The cluster has another view. One that is not newer is passed over.
    pub fn handle_view(&mut self, now: Now, view: View) {
        let now = self.time(now);
        let Some(edge) = self.edge.as_mut().filter(|edge| edge.view.epoch() < view.epoch()) else { return };
        let old = std::mem::replace(&mut edge.view, view);
        let gone = old.members().iter().filter(|member| !edge.view.has(&member.id));
        let before = edge.left.len();
        // Views in between may have been missed.
        let gone_at = Gone { until: now.instant + VOID_FOR, epoch: old.epoch() + 1 };
        edge.left.extend(gone.map(|member| (member.id.clone(), gone_at)));
        if edge.left.len() > before {
            self.plan_event_duty(now);
        }
        self.look_at_claims(now);
        self.look_at_frozen(now);
        self.look_at_lanes(now);
        self.look_at_requests(now);
        self.presence_in_new_view(now, &old);
        self.look_at_channels(now);
        self.greet(&old);
        let early = self.edge.as_mut().map(|edge| std::mem::take(&mut edge.early)).unwrap_or_default();
        for (from, parcels) in early {
            for parcel in parcels {
                self.parcel_came(now, &from, parcel);
            }
        }
        self.hub.close_overfull(now);
    }

    /// Tells new members what they cannot have read in the store: it was written before this node knew of them.
    fn greet(&mut self, old: &View) {
        let Some(edge) = &self.edge else { return };
        let new = edge.view.members().iter().filter(|member| member.id != edge.node && !old.has(&member.id));
        let new: Vec<NodeId> = new.map(|member| member.id.clone()).collect();
        for node in &new {
            self.tell_written_attributes(node);
            self.tell_changed_restrictions(node);
        }
    }

    /// Appends what is to be said to the same project on other nodes, in order for each. Each is to arrive once, as long
    /// as its receiver stays a member. What becomes of those with a ticket is to be told.
    pub fn take_parcels(&mut self, parcels: &mut Vec<Posting>) {
        self.send_what_waits();
        self.settle_back_end();
        if let Some(edge) = &mut self.edge {
            parcels.append(&mut edge.parcels);
            edge.open_runs.clear();
        }
    }

    /// Appends what is to be asked of the engine.
    pub fn take_engine_jobs(&mut self, jobs: &mut Vec<EngineJob>) {
        self.send_what_waits();
        if let Some(edge) = &mut self.edge {
            edge.engine.take(jobs);
        }
    }

    /// Sees to it that claims and frozen sessions are looked after in time, or a moment later.
    pub(super) fn arm_edge(&mut self, at: Instant) {
        if let Some(edge) = &mut self.edge
            && let Some(at) = edge.looks.plan(at)
        {
            self.hub.timers.push(at, Due::Edge);
        }
    }

    /// The same of lanes: there may be many, so that not each look is at these too.
    pub(super) fn arm_lanes(&mut self, at: Instant) {
        if let Some(edge) = &mut self.edge
            && edge.lanes_due.is_none_or(|due| due > at)
        {
            edge.lanes_due = Some(at);
            self.arm_edge(at);
        }
    }

    /// Does what is due for claims, frozen sessions and what else waits.
    pub(super) fn edge_due(&mut self, now: Now, at: Instant) {
        let Some(edge) = &mut self.edge else { return };
        if !edge.looks.take(at) {
            return;
        }
        let are_lanes_due = edge.lanes_due.is_some_and(|due| due <= now.instant);
        self.look_at_claims(now);
        self.look_at_frozen(now);
        self.look_at_releases(now);
        if are_lanes_due {
            self.look_at_lanes(now);
        }
        self.say_outcomes_again();
        self.look_at_rereading(now);
        self.look_at_adopted(now);
        self.end_broken_promises(now);
        self.pull_next(now);
        self.say_skipped();
        self.look_at_moves(now);
        self.expire_counts(now);
        self.look_at_relays(now);
        let early: Vec<ChannelId> =
            self.edge.iter().flat_map(|edge| edge.channels_with_early.iter().cloned()).collect();
        early.iter().for_each(|channel_id| self.look_at_early(now, channel_id));
    }
}

/// Looks are at least so far apart.
const LOOK_STEP: Duration = Duration::from_millis(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "any time will do")]
    fn looks_at_almost_the_same_time_are_one_and_none_is_early() {
        let start = Instant::now();
        let at = |micros| start + Duration::from_micros(micros);
        let mut looks = Looks::default();
        assert_eq!(looks.plan(at(500)), Some(at(500)));
        let planned: Vec<_> = (0..20_000).filter_map(|micros| looks.plan(at(500 + micros))).collect();
        assert_eq!(planned, [at(10_500), at(20_500)]);
        // Whoever wants one before the first gets it.
        assert_eq!((looks.plan(at(7)), looks.plan(at(7))), (Some(at(7)), None));
        assert!(looks.take(at(10_500)) && !looks.take(at(10_500)), "it was planned once");
        assert_eq!(looks.plan(at(10_400)), Some(at(10_500)), "it is over, so that there is another one");
    }
}
