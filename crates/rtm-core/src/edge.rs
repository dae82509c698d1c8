//! This core as one of several: which nodes there are, where the sessions of users are, and what is to be said to other
//! nodes and asked of the engine.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque, btree_map},
    time::{Duration, Instant},
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use indexmap::IndexMap;
use rtm_codec::{ChannelId, Revision, SendOutcome, SessionId, UserId};

use super::{
    Core, HttpId, Now,
    arena::SessionKey,
    claim::Claims,
    cluster::{
        ChannelParcel, ChannelWord, Delivered, EngineAnswer, EngineJob, EngineJobId, EngineWork, HomeParcel,
        MessageOutcome, NodeId, PROTO_OF_MANY, Posting, PresenceParcel, ProjectParcel, Revised, Ticket, UserEntry,
        View, partition,
    },
    delivery::{LaneAnswer, Numbered},
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
    rereading::{Rereading, Storing},
    roster::Rosters,
    store::Restrictions,
    timer::Due,
};

/// What a core has of the cluster that it belongs to.
#[derive(Debug)]
pub(super) struct Edge {
    pub(super) node: NodeId,
    pub(super) view: View,
    /// Whether this node speaks a version in which parcels speak of many messages.
    speaks_of_many: bool,
    /// The entries of users as they were last heard of, by whatever way.
    entries: IndexMap<UserId, Known, FixedState>,
    /// The next entry to be looked at, and those after it, while all are; else when that begins.
    tidying: Tidying,
    /// The nodes that left, until their users' entries are removed.
    left: BTreeMap<NodeId, Instant>,
    /// The revisions under which this node has users.
    own: HashMap<UserId, u64, FixedState>,
    pub(super) engine: EngineJobs,
    parcels: Vec<Posting>,
    next_ticket: u64,
    /// What nodes have not taken yet.
    tickets: BTreeMap<Ticket, Posted>,
    /// What became of messages, which their senders' nodes have not heard.
    pub(super) lost_outcomes: Vec<MessageOutcome>,
    /// The channels to whose attributes this node wrote last, or that it forgot, and whether members were told.
    pub(super) written: VecDeque<(ChannelId, bool)>,
    /// What the store told of channels, before the node that wrote it.
    pub(super) adopted: BTreeMap<ChannelId, Revision>,
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
    look_at_lanes: Option<Instant>,
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

/// A user's entry as it was last heard of.
#[derive(Debug)]
struct Known {
    heard: Revised,
    /// The session before the one that it names, or that it named last.
    before: Option<SessionId>,
    /// It says that the user is nowhere, and did so the last time that it was looked at.
    is_over: bool,
}

/// How far looking for void entries is.
#[derive(Debug, Clone, Copy, Default)]
struct Tidying {
    /// When all are looked at again.
    at: Option<Instant>,
    /// So many are yet to be looked at.
    left: usize,
}

/// What is to be done when a parcel has come, or has not.
#[derive(Debug)]
pub(super) enum Posted {
    /// A message to a channel, the node that it goes to, and its number.
    FanOut(ChannelId, NodeId, u64),
    /// What became of a message.
    Outcome(Box<MessageOutcome>),
    /// Messages have arrived.
    Delivered(Box<Delivered>),
    /// New attributes of a channel, and who wrote them.
    Attributes(Asker),
    /// Something is refused to users; an operator waits until this node knows.
    Restriction { call: HttpId, node: NodeId, parcel: Box<ProjectParcel> },
    /// A session is to end; an operator waits for that.
    Kick(HttpId),
    /// A user is to read what these senders' messages left in the store.
    StoredFor(UserId, Vec<Storing>),
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
            speaks_of_many: has_proto_of_many(&view, &node),
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
            next_ticket: numbers.ticket,
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
            look_at_lanes: None,
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

    /// Says something to the same project on another node.
    pub(super) fn tell(&mut self, node: &NodeId, parcel: ProjectParcel) {
        self.parcels.push(Posting { to: node.clone(), parcel, ticket: None });
    }

    /// Says something of a channel to another node.
    pub(super) fn tell_of(&mut self, node: &NodeId, channel_id: &ChannelId, word: ChannelWord) {
        let parcel = ChannelParcel { channel_id: channel_id.clone(), epoch: self.view.epoch(), word };
        self.tell(node, ProjectParcel::Channel(Box::new(parcel)));
    }

    /// Sends a message of a channel. What becomes of it is to be told.
    pub(super) fn post(&mut self, node: &NodeId, parcel: ProjectParcel, channel_id: ChannelId, k: u64) {
        self.post_with(node, parcel, Posted::FanOut(channel_id, node.clone(), k));
    }

    /// Tells a sender's node what became of a message.
    pub(super) fn post_outcome(&mut self, node: &NodeId, outcome: MessageOutcome) {
        if outcome.outcome == Ok(SendOutcome::Delivered) && self.knows_of_many(node) {
            return self.post_delivered(node, outcome);
        }
        let outcome = Box::new(outcome);
        self.post_with(node, ProjectParcel::Outcome(outcome.clone()), Posted::Outcome(outcome));
    }

    /// Tells a sender's node that a message has arrived, together with those that it was told of just before.
    fn post_delivered(&mut self, node: &NodeId, outcome: MessageOutcome) {
        let MessageOutcome { session, user_id, numbering, request, message_id, hops, .. } = outcome;
        if let Some(Posting { to, parcel: ProjectParcel::Delivered(last), ticket: Some(ticket) }) =
            self.parcels.last_mut()
            && to == node
            && (last.session, last.numbering, last.hops) == (session, numbering, hops)
            && last.user_id == user_id
            && last.messages.len() < SAID_AT_ONCE
            && let Some(Posted::Delivered(awaited)) = self.tickets.get_mut(ticket)
        {
            last.messages.push((request, message_id));
            awaited.messages.push((request, message_id));
            return;
        }
        let messages = vec![(request, message_id)];
        let delivered = Box::new(Delivered { session, user_id, numbering, messages, hops });
        self.post_with(node, ProjectParcel::Delivered(delivered.clone()), Posted::Delivered(delivered));
    }

    /// Tells a sender's node that the receiver's session has a message, and all that came before it on its lane.
    pub(super) fn tell_placed(&mut self, node: &NodeId, numbered: Numbered, drops_repeats: bool) {
        let Numbered { session, sender: user_id, to, n } = numbered;
        if self.knows_of_many(node)
            && let Some(Posting {
                to: last,
                parcel: ProjectParcel::Placed { session: of, to: receiver, n: up_to, drops_repeats: drops, .. },
                ..
            }) = self.parcels.last_mut()
            && (&*last, *of, &*receiver, *drops) == (node, session, &to, drops_repeats)
        {
            *up_to = n.max(*up_to);
            return;
        }
        self.tell(node, ProjectParcel::Placed { session, user_id, to, n, drops_repeats });
    }

    /// Whether parcels to this node may speak of many messages: both nodes are to speak a version that has them.
    fn knows_of_many(&self, node: &NodeId) -> bool {
        self.speaks_of_many && has_proto_of_many(&self.view, node)
    }

    /// Tells a node of new attributes of a channel, whose writer is answered when all nodes have them.
    pub(super) fn post_attributes(&mut self, node: &NodeId, parcel: ProjectParcel, asker: Asker) {
        *self.telling.entry(asker.session).or_default() += 1;
        self.post_with(node, parcel, Posted::Attributes(asker));
    }

    /// Tells a node that a user of it is to read its stored messages.
    pub(super) fn post_stored_for(&mut self, node: &NodeId, user_id: &UserId, senders: Vec<Storing>) {
        let parcel = ProjectParcel::StoredFor { user_id: user_id.clone() };
        self.post_with(node, parcel, Posted::StoredFor(user_id.clone(), senders));
    }

    /// Tells a node what is refused from now on, for a call of an operator.
    pub(super) fn post_restriction(&mut self, node: &NodeId, parcel: ProjectParcel, call: HttpId) {
        let posted = Posted::Restriction { call, node: node.clone(), parcel: Box::new(parcel.clone()) };
        self.post_with(node, parcel, posted);
    }

    /// Has a node end a user's session, for a call of an operator.
    pub(super) fn post_kick(&mut self, node: &NodeId, user_id: &UserId, call: HttpId) {
        self.post_with(node, ProjectParcel::Kick { user_id: user_id.clone() }, Posted::Kick(call));
    }

    /// One node more has what a session wrote.
    pub(super) fn attributes_posted(&mut self, key: SessionKey) {
        if let btree_map::Entry::Occupied(mut open) = self.telling.entry(key) {
            *open.get_mut() -= 1;
            if *open.get() == 0 {
                open.remove();
            }
        }
    }

    /// Whether other nodes are being told of what a session wrote.
    pub(super) fn is_telling(&self, key: SessionKey) -> bool {
        self.telling.contains_key(&key)
    }

    fn post_with(&mut self, node: &NodeId, parcel: ProjectParcel, posted: Posted) {
        let ticket = Ticket(self.next_ticket);
        self.next_ticket += 1;
        self.tickets.insert(ticket, posted);
        self.parcels.push(Posting { to: node.clone(), parcel, ticket: Some(ticket) });
    }

    pub(super) fn take_ticket(&mut self, ticket: Ticket) -> Option<Posted> {
        self.tickets.remove(&ticket)
    }

    /// Puts off what a node says that has a newer view. Gives back what is to be heard now.
    fn put_off(&mut self, from: &NodeId, parcel: ProjectParcel) -> Option<ProjectParcel> {
        let epoch = match &parcel {
            ProjectParcel::Channel(parcel) => match &parcel.word {
                // These name what they rest on.
                ChannelWord::Message(_)
                | ChannelWord::Attributes { .. }
                | ChannelWord::Forgotten { .. }
                | ChannelWord::Forwarded { .. }
                | ChannelWord::Enough { .. }
                | ChannelWord::ForwardEnd { .. } => None,
                _ => Some(parcel.epoch),
            },
            ProjectParcel::Home(parcel) => match &**parcel {
                HomeParcel::Pull { term: epoch, .. } | HomeParcel::Count { epoch, .. } => Some(*epoch),
                HomeParcel::Held { .. } | HomeParcel::Counted { .. } => Some(0),
            },
            _ => None,
        };
        let Some(epoch) = epoch else { return Some(parcel) };
        if epoch <= self.view.epoch() && !self.early.contains_key(from) {
            return Some(parcel);
        }
        let waiting = self.early.entry(from.clone()).or_default();
        // Changes that are missing are asked for.
        if waiting.len() < EARLY_PARCELS {
            waiting.push_back(parcel);
        }
        None
    }

    /// Says something of who is online.
    pub(super) fn tell_presence(&mut self, node: &NodeId, parcel: PresenceParcel) {
        self.tell(node, ProjectParcel::Presence(parcel));
    }

    /// Asks something of the engine.
    pub(super) fn ask(&mut self, user_id: &UserId, work: EngineWork, purpose: Purpose) {
        self.engine.ask(user_id, work, purpose);
    }

    /// This node's entry for a session.
    pub(super) fn entry(&self, session: SessionId) -> UserEntry {
        UserEntry { node: self.node.clone(), session, epoch: self.view.epoch() }
    }

    /// Whether an entry is good: the node that it names is a member.
    pub(super) fn is_good(&self, entry: &UserEntry) -> bool {
        self.view.has(&entry.node)
    }

    /// A user's entry as it was last heard of.
    pub(super) fn entry_of(&self, user_id: &UserId) -> Option<&Revised> {
        self.entries.get(user_id).map(|known| &known.heard)
    }

    /// Takes note of an entry. What was heard before with a higher revision stays.
    fn learn(&mut self, user_id: &UserId, heard: &Revised) -> bool {
        let known = self.entries.get(user_id);
        if heard.revision <= known.map_or(0, |known| known.heard.revision) {
            return false;
        }
        let named = |heard: &Revised| heard.entry.as_ref().map(|entry| entry.session);
        let last = known.and_then(|known| named(&known.heard));
        let before = last.filter(|last| named(heard) != Some(*last)).or_else(|| known?.before);
        self.entries.insert(user_id.clone(), Known { heard: heard.clone(), before, is_over: false });
        true
    }

    /// Whether a session of a user is known to be over since the user has the other one.
    pub(super) fn is_followed(&self, user_id: &UserId, session: SessionId, by: SessionId) -> bool {
        let Some(known) = self.entries.get(user_id).filter(|_| session != by) else { return false };
        let named = known.heard.entry.as_ref().map(|entry| entry.session);
        match named == Some(by) {
            true => known.before == Some(session),
            // The other one is here, and its entry has not been heard of.
            false => self.own.contains_key(user_id) && (named == Some(session) || known.before == Some(session)),
        }
    }

    /// This node has the user from now on, under this revision.
    pub(super) fn own(&mut self, user_id: &UserId, revision: u64) {
        self.own.insert(user_id.clone(), revision);
    }

    /// This node has the user no more. Gives the revision under which it had it.
    pub(super) fn disown(&mut self, user_id: &UserId) -> Option<u64> {
        self.own.remove(user_id)
    }

    /// Messages of a session to a user are on their way.
    pub(super) fn open_lane(&mut self, key: SessionKey, to: &UserId) {
        self.lanes.insert((to.clone(), key));
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

    /// No message of a session to a user is on its way any more.
    pub(super) fn close_lane(&mut self, key: SessionKey, to: &UserId) {
        self.lanes.remove(&(to.clone(), key));
    }

    /// When the lanes are to be looked at next, if nobody was told that yet.
    pub(super) fn next_look_at_lanes(&mut self, now: Instant, every: Duration) -> Option<Instant> {
        if self.lanes.is_empty() || self.look_at_lanes.is_some_and(|at| at > now) {
            return None;
        }
        self.look_at_lanes = Some(now + every);
        self.look_at_lanes
    }

    pub(super) fn open_lanes(&self) -> Vec<(SessionKey, UserId)> {
        self.lanes.iter().map(|(to, key)| (*key, to.clone())).collect()
    }

    /// The sessions that have messages on their way to a user.
    pub(super) fn lanes_to(&self, to: &UserId) -> Vec<SessionKey> {
        let from = (to.clone(), SessionKey::LOWEST);
        self.lanes.range(from..).take_while(|(other, _)| other == to).map(|(_, key)| *key).collect()
    }

    /// How much of this node others wait for.
    pub(super) fn unsettled(&self) -> usize {
        let waiting = self.early.values().map(VecDeque::len).sum::<usize>() + self.parcels.len();
        waiting
            + self.lost_outcomes.len()
            + self.tickets.len()
            + self.engine.len()
            + self.moves.len()
            + self.calls.len()
            + self.rereading.len()
    }

    /// Whether a user's session stands still here for another node, or a login here asks where it is: it is not known yet
    /// where the user will be.
    pub(super) fn is_on_its_way(&self, user_id: &UserId) -> bool {
        self.frozen.has(user_id) || self.claims.concern(user_id)
    }

    /// The revision under which this node has the user.
    pub(super) fn owned(&self, user_id: &UserId) -> Option<u64> {
        self.own.get(user_id).copied()
    }
}

impl Core {
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
        edge.left.extend(gone.map(|member| (member.id.clone(), now.instant + VOID_FOR)));
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

    /// The same project on another node says something. What a node says arrives once and in order.
    pub fn handle_parcel(&mut self, now: Now, from: &NodeId, parcel: ProjectParcel) {
        let now = self.time(now);
        self.parcel_came(now, from, parcel);
        self.hub.close_overfull(now);
    }

    pub(super) fn parcel_came(&mut self, now: Now, from: &NodeId, parcel: ProjectParcel) {
        let Some(edge) = &mut self.edge else { return };
        let Some(parcel) = edge.put_off(from, parcel).and_then(|parcel| edge.claims.await_session(from, parcel)) else {
            return;
        };
        match parcel {
            ProjectParcel::Ask(ask) => self.asked_for_session(now, from, ask),
            ProjectParcel::Verdict { claim, verdict } => self.claim_judged(now, from, claim, verdict),
            ProjectParcel::Pack { claim, bytes } => self.pack_came(now, from, claim, &bytes),
            ProjectParcel::Took { user_id, session, revision } => {
                let epoch = self.edge.as_ref().map_or(0, |edge| edge.view.epoch());
                let entry = Some(UserEntry { node: from.clone(), session, epoch });
                self.learn_entry(now, &user_id, &Revised { entry, revision });
            }
            ProjectParcel::Deliver(deliver) => self.deliver(now, from, *deliver),
            ProjectParcel::Placed { session, user_id, to, n, drops_repeats } => {
                let answer = LaneAnswer::Placed { drops_repeats };
                self.lane_answered(now, from, &Numbered { session, sender: user_id, to, n }, answer);
            }
            ProjectParcel::NotHere { session, user_id, to, n } => {
                self.lane_answered(now, from, &Numbered { session, sender: user_id, to, n }, LaneAnswer::NotHere);
            }
            ProjectParcel::Missing { session, user_id, to, n } => {
                self.lane_answered(now, from, &Numbered { session, sender: user_id, to, n }, LaneAnswer::Missing);
            }
            ProjectParcel::Outcome(outcome) => self.outcome_came(*outcome),
            ProjectParcel::Delivered(delivered) => delivered.outcomes().for_each(|outcome| self.outcome_came(outcome)),
            ProjectParcel::ReadAttributes { read, user_id, keys } => {
                self.asked_for_attributes(from, read, &user_id, keys.as_deref());
            }
            ProjectParcel::Attributes { read, attributes } => self.attributes_came(now, from, read, attributes),
            ProjectParcel::Call { id, from: user, to, message } => self.call_came(now, from, id, (user, to), *message),
            ProjectParcel::CallAnswered { id, from: user, to, outcome } => {
                self.call_answered(now, from, id, (user, to), outcome);
            }
            ProjectParcel::Presence(parcel) => {
                self.presence_came(now, from, parcel);
                self.pass_presence_on(now);
            }
            ProjectParcel::Channel(parcel) => self.word_came(now, from, &parcel.channel_id, parcel.word),
            ProjectParcel::Gateway { id, word } => self.request_word_came(now, from, id, *word),
            ProjectParcel::Home(parcel) => self.home_parcel_came(now, from, *parcel),
            ProjectParcel::SayAgain => self.asked_to_say_again(now, from),
            ProjectParcel::StoredFor { user_id } => self.read_stored_again(now, &user_id),
            ProjectParcel::Fetch { user_id, instance, ticket } => self.asked_to_fetch(now, user_id, instance, ticket),
            ProjectParcel::Restricted { user_id, revision, banned_until, tokens_from } => {
                let value = Restrictions { revision, banned_until, tokens_from };
                self.restriction_told(now, user_id.as_ref(), value);
            }
            ProjectParcel::Kick { user_id } => drop(self.kick_here(now, &user_id)),
            ProjectParcel::ForgetUser { user_id } => drop(self.forget_user(now, &user_id)),
        }
    }

    /// A user's entry has changed. Changes may come late, but those of one user come in order.
    pub fn handle_entry(&mut self, now: Now, user_id: &UserId, heard: &Revised) {
        let now = self.time(now);
        self.learn_entry(now, user_id, heard);
    }

    /// The engine's answer to a job.
    pub fn handle_engine(&mut self, now: Now, job: EngineJobId, answer: EngineAnswer) {
        let now = self.time(now);
        let Some(edge) = &mut self.edge else { return };
        let Some((user_id, purpose)) = edge.engine.answered(job) else { return };
        if let EngineAnswer::Read(heard) = &answer {
            self.learn_entry(now, &user_id, heard);
        }
        match purpose {
            Purpose::Claim(claim) => self.claim_answered(now, claim, answer),
            Purpose::Thaw(session) => self.thaw_answered(now, &user_id, session, answer),
            Purpose::Release { expected } => self.release_answered(&user_id, expected, &answer),
            Purpose::Request(id) => self.request_located(id, &user_id, &answer),
            Purpose::Where(key) => self.lane_found(now, key, &user_id, &answer),
            Purpose::Reader => self.reader_found(now, &user_id, &answer),
            // What was not removed is looked at again in a while.
            Purpose::Tidy => {}
        }
        self.hub.close_overfull(now);
    }

    /// Appends what is to be said to the same project on other nodes, in order for each. Each is to arrive once, as long
    /// as its receiver stays a member. What becomes of those with a ticket is to be told.
    pub fn take_parcels(&mut self, parcels: &mut Vec<Posting>) {
        self.settle_back_end();
        if let Some(edge) = &mut self.edge {
            parcels.append(&mut edge.parcels);
        }
    }

    /// Appends what is to be asked of the engine.
    pub fn take_engine_jobs(&mut self, jobs: &mut Vec<EngineJob>) {
        if let Some(edge) = &mut self.edge {
            edge.engine.take(jobs);
        }
    }

    /// The node that has a user's session, as far as this core has heard; `None` for this node, or none.
    #[must_use]
    pub fn node_of(&self, user_id: &UserId) -> Option<&NodeId> {
        let edge = self.edge.as_ref()?;
        let entry = edge.entry_of(user_id)?.entry.as_ref()?;
        (edge.is_good(entry) && entry.node != edge.node).then_some(&entry.node)
    }

    fn learn_entry(&mut self, now: Now, user_id: &UserId, heard: &Revised) {
        let Some(edge) = &mut self.edge else { return };
        let before = edge.entry_of(user_id).and_then(|known| known.entry.as_ref()).map(|entry| entry.session);
        if !edge.learn(user_id, heard) {
            return;
        }
        if let Some(entry) = heard.entry.as_ref().filter(|entry| entry.node != edge.node) {
            let (session, node) = (entry.session, entry.node.clone());
            self.user_is_elsewhere(now, user_id, &node, session, heard.revision);
            self.receiver_moved(now, user_id, &node, before == Some(session));
        }
        self.presence_of_entry(now, user_id, heard);
    }

    /// Looks at some of the entries: those of nodes that left a while ago are removed by the homes of their users, under their
    /// revision, and users that are nowhere are forgotten.
    pub(super) fn tidy_entries(&mut self, now: Now) {
        let app_id = self.config.app_id.as_str();
        let Some(edge) = &mut self.edge else { return };
        let at = *edge.tidying.at.get_or_insert(now.instant + VOID_FOR);
        if edge.tidying.left == 0 {
            if now.instant < at {
                return;
            }
            edge.tidying = Tidying { at: Some(now.instant + TIDY_EVERY), left: edge.entries.len() };
            edge.left.retain(|_, until| now.instant < *until);
        }
        let mut void = Vec::new();
        for _ in 0..TIDIED_AT_ONCE {
            edge.tidying.left = edge.tidying.left.min(edge.entries.len());
            if edge.tidying.left == 0 || void.len() >= REMOVED_AT_ONCE {
                break;
            }
            // Backwards: what takes the place of an entry that goes was looked at.
            edge.tidying.left -= 1;
            let Some((user_id, known)) = edge.entries.get_index_mut(edge.tidying.left) else { break };
            match &known.heard.entry {
                None if known.is_over => drop(edge.entries.swap_remove_index(edge.tidying.left)),
                None => known.is_over = true,
                Some(entry) => {
                    let has_left = !edge.view.has(&entry.node) && !edge.left.contains_key(&entry.node);
                    let home = edge.view.home(partition(app_id, user_id.as_str()));
                    if has_left && entry.epoch <= edge.view.epoch() && home.is_some_and(|home| home.id == edge.node) {
                        void.push((user_id.clone(), known.heard.revision));
                    }
                }
            }
        }
        for (user_id, expected) in void {
            edge.ask(&user_id, EngineWork::Write { entry: None, expected }, Purpose::Tidy);
        }
    }

    /// When [`tidy_entries`](Self::tidy_entries) is to be called next.
    pub(super) fn next_tidying(&self, now: Now) -> Option<Instant> {
        let edge = self.edge.as_ref()?;
        match edge.tidying.left {
            0 => edge.tidying.at,
            _ => Some(now.instant + TIDY_STEP),
        }
    }

    /// A user has no session here any more: its entry goes, if it is still this node's.
    pub(super) fn release_entry(&mut self, user_id: &UserId) {
        let Some(edge) = &mut self.edge else { return };
        if let Some(expected) = edge.disown(user_id) {
            edge.ask(user_id, EngineWork::Write { entry: None, expected }, Purpose::Release { expected });
        }
    }

    /// An entry that could not be removed for sure is removed again, unless another one has come.
    fn release_answered(&mut self, user_id: &UserId, expected: u64, answer: &EngineAnswer) {
        let Some(edge) = &mut self.edge else { return };
        let is_claimed = edge.owned(user_id).is_some() || edge.claims.concern(user_id);
        if *answer == EngineAnswer::Unknown && !is_claimed {
            edge.ask(user_id, EngineWork::Write { entry: None, expected }, Purpose::Release { expected });
        }
    }

    /// Sees to it that claims and frozen sessions are looked after in time.
    pub(super) fn arm_edge(&mut self, at: Instant) {
        self.hub.timers.push(at, Due::Edge);
    }

    /// Does what is due for claims and frozen sessions.
    pub(super) fn edge_due(&mut self, now: Now) {
        self.look_at_claims(now);
        self.look_at_frozen(now);
        self.look_at_lanes(now);
        self.say_outcomes_again();
        self.look_at_rereading(now);
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

fn has_proto_of_many(view: &View, node: &NodeId) -> bool {
    view.member(node).is_some_and(|member| member.proto >= PROTO_OF_MANY)
}

/// How long entries of a node that left are kept: an older client whose session was lost is known by them.
const VOID_FOR: Duration = Duration::from_secs(120);
/// How often entries are looked at; so many at a time, of which so many are removed, and after which pause the next ones.
const TIDY_EVERY: Duration = Duration::from_secs(60);
const TIDIED_AT_ONCE: usize = 2048;
const REMOVED_AT_ONCE: usize = 32;
const TIDY_STEP: Duration = Duration::from_millis(10);
/// So many parcels of a node wait for the view that it has.
const EARLY_PARCELS: usize = 16 * 1024;

/// Of so many messages a node is told at once that they have arrived.
const SAID_AT_ONCE: usize = 1024;
