//! Who is online on other nodes: this node tells the homes of its users where they are, and is told by the homes of those
//! that are watched here. Of a node that leaves everybody concludes the same: its users are unreachable, and then offline.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{PeerOnlineState, UserId};

use super::{
    Core, Now,
    arena::UserKey,
    by_partition::{ByPartition, Spot},
    cluster::{NodeId, PagedUser, PresenceParcel, Revised, Role, Sighting, View, partition},
    timer::{Alarm, Due},
    watch_home::{Query, WatchHome},
};

/// What a node has of presence in a cluster.
#[derive(Debug)]
pub(super) struct FarPresence {
    pub(super) home: WatchHome,
    /// The users whose sessions are here, and what their homes were told.
    here: ByPartition<(PeerOnlineState, u64)>,
    /// The users that are watched here.
    watched: ByPartition<Known>,
    /// Pulls of nodes that have a newer view.
    pulls: BTreeMap<NodeId, Pull>,
    /// The nodes that left, until their users count as offline.
    left: BTreeMap<NodeId, Departure>,
    /// The last watched user that was looked at since a node left, while all are.
    sweep: Option<Option<Spot>>,
    /// The last partition that was tidied since the users of a node became offline, while all are.
    tidying: Option<Option<u16>>,
    alarm: Alarm,
    /// What is to be said, also to this node itself.
    out: VecDeque<(NodeId, PresenceParcel)>,
}

/// What is known here of a watched user.
#[derive(Debug, Default)]
struct Known {
    sighting: Option<Sighting>,
    /// Whether its home has said anything.
    is_told: bool,
}

/// A node that left.
#[derive(Debug)]
struct Departure {
    /// When its users count as offline.
    until: Instant,
    /// It was handing its users over: they are somewhere else, though that may not have been said here yet.
    was_draining: bool,
}

/// A home asks for what is known of some partitions.
#[derive(Debug)]
struct Pull {
    epoch: u64,
    partitions: Vec<u16>,
    after: Option<Spot>,
}

impl FarPresence {
    pub(super) fn new(node: NodeId, view: &View) -> Self {
        let mut home = WatchHome::new(node);
        home.set_view(view);
        let mut out = VecDeque::new();
        home.take_out(&mut out);
        Self {
            home,
            here: ByPartition::default(),
            watched: ByPartition::default(),
            pulls: BTreeMap::new(),
            left: BTreeMap::new(),
            sweep: None,
            tidying: None,
            alarm: Alarm::default(),
            out,
        }
    }

    /// Takes out what is to be said to other nodes first; the rest is for this one.
    pub(super) fn take_out_for_others(&mut self, node: &NodeId) -> Vec<(NodeId, PresenceParcel)> {
        let (own, others) = std::mem::take(&mut self.out).into_iter().partition(|(to, _)| to == node);
        self.out = own;
        others.into()
    }

    fn say(&mut self, to: Option<NodeId>, parcel: PresenceParcel) {
        if let Some(to) = to {
            self.out.push_back((to, parcel));
        }
    }

    /// The users that are watched here, of some partitions.
    pub(super) fn watched_at(&self, is_at: impl Fn(u16) -> bool) -> impl Iterator<Item = UserId> {
        self.watched.behind(None).filter(move |((number, _), _)| is_at(*number)).map(|((_, user_id), _)| user_id)
    }

    /// A page of what is known here of the users in some partitions.
    fn page(&self, Pull { epoch, partitions, after }: &Pull) -> PresenceParcel {
        let mut users: BTreeMap<Spot, PagedUser> = BTreeMap::new();
        let mut more = None;
        for &partition in partitions {
            let room = PAGE_USERS + 1 - users.len();
            for (spot, here) in self.here.of_partition(partition, after.as_ref()).take(room) {
                let user_id = spot.1.clone();
                users.insert(spot, PagedUser { user_id, here: Some(*here), watched: None });
            }
            for (spot, known) in self.watched.of_partition(partition, after.as_ref()).take(room) {
                let told = known.sighting.as_ref().map(|sighting| (sighting.state, sighting.revision));
                let none = PagedUser { user_id: spot.1.clone(), here: None, watched: None };
                users.entry(spot).or_insert(none).watched = Some(told);
            }
            if users.len() > PAGE_USERS {
                while users.len() > PAGE_USERS {
                    users.pop_last();
                }
                more = users.last_key_value().map(|(spot, _)| spot.clone());
                break;
            }
        }
        PresenceParcel::Page { epoch: *epoch, users: users.into_values().collect(), more }
    }
}

impl Core {
    /// Whether a user is there, as far as is known here; `None` while its home has not said so.
    pub(super) fn seen_state(&self, user: UserKey) -> Option<PeerOnlineState> {
        if self.edge.is_none() {
            return Some(self.state_of(user));
        }
        let Some(user) = self.users.get(user) else { return Some(PeerOnlineState::Offline) };
        if user.session.is_some() {
            return user.session.and_then(|key| self.hub.sessions.get(key)).map(|session| session.liveness.state());
        }
        self.far_state(&user.id)
    }

    /// Whether a user that is watched here and has no session here is there, as far as is known.
    pub(super) fn far_state(&self, user_id: &UserId) -> Option<PeerOnlineState> {
        let edge = self.edge.as_ref()?;
        let known = edge.presence.watched.get(&self.spot_of(user_id))?;
        self.conclude(known.sighting.as_ref(), user_id).or_else(|| {
            let is_nowhere = edge.entry_of(user_id).is_none_or(|heard| heard.entry.is_none());
            (is_nowhere && known.is_told).then_some(PeerOnlineState::Offline)
        })
    }

    /// What a sighting and the user's entry, of which the newer one counts, mean now; `None` if they say nothing.
    fn conclude(&self, sighting: Option<&Sighting>, user_id: &UserId) -> Option<PeerOnlineState> {
        let edge = self.edge.as_ref()?;
        let entry = edge.entry_of(user_id);
        let entry = entry.filter(|heard| sighting.is_none_or(|sighting| heard.revision > sighting.revision));
        let node = match (entry, sighting) {
            (Some(Revised { entry: None, .. }), Some(_)) => return Some(PeerOnlineState::Offline),
            (Some(Revised { entry: None, .. }) | None, None) => return None,
            (Some(Revised { entry: Some(entry), .. }), _) => &entry.node,
            (None, Some(sighting)) if sighting.state == PeerOnlineState::Offline => return Some(sighting.state),
            (None, Some(sighting)) => &sighting.node,
        };
        if edge.view.has(node) {
            // Where a newer entry names a node that has said nothing yet, the user is on its way.
            return sighting.map(|sighting| sighting.state);
        }
        match edge.presence.left.get(node) {
            Some(departure) if departure.was_draining => sighting.map(|sighting| sighting.state),
            Some(_) => Some(PeerOnlineState::Unreachable),
            None => Some(PeerOnlineState::Offline),
        }
    }

    fn spot_of(&self, user_id: &UserId) -> Spot {
        (partition(self.config.app_id.as_str(), user_id.as_str()), user_id.clone())
    }

    fn home_of(&self, spot: &Spot) -> Option<NodeId> {
        Some(self.edge.as_ref()?.view.home(spot.0)?.id.clone())
    }

    /// The state of a user that has a session here is another one, or is new here: its home is told.
    pub(super) fn report_state(&mut self, now: Now, user: UserKey) {
        if self.edge.is_none() {
            return;
        }
        let Some((user_id, session)) = self.users.get(user).map(|user| (user.id.clone(), user.session)) else { return };
        let Some(session) = session.and_then(|key| self.hub.sessions.get(key)) else { return };
        let state = session.liveness.state();
        let spot = self.spot_of(&user_id);
        let Some(edge) = &mut self.edge else { return };
        let before = edge.presence.here.get(&spot).copied();
        let Some(revision) = edge.owned(&user_id).or_else(|| Some(before?.1)) else { return };
        if before != Some((state, revision)) {
            edge.presence.here.insert(spot.clone(), (state, revision));
            self.report(now, spot, state, revision);
        }
    }

    /// A user's session here has ended. Where another one takes its place, that one's state is told.
    pub(super) fn report_end(&mut self, now: Now, user_id: &UserId, is_respotd: bool) {
        if self.edge.is_none() {
            return;
        }
        let spot = self.spot_of(user_id);
        let Some(edge) = &mut self.edge else { return };
        if let Some((state, revision)) = edge.presence.here.remove(&spot)
            && !is_respotd
            && state != PeerOnlineState::Offline
        {
            self.report(now, spot, PeerOnlineState::Offline, revision);
        }
    }

    /// A session that stood still goes on elsewhere: that node speaks of it from now on.
    pub(super) fn forget_reported(&mut self, user_id: &UserId, revision: u64) {
        let spot = self.spot_of(user_id);
        let Some(edge) = &mut self.edge else { return };
        if edge.presence.here.get(&spot).is_some_and(|(_, reported)| *reported == revision) {
            edge.presence.here.remove(&spot);
        }
    }

    fn report(&mut self, now: Now, spot: Spot, state: PeerOnlineState, revision: u64) {
        let home = self.home_of(&spot);
        let Some(edge) = &mut self.edge else { return };
        if let Some(known) = edge.presence.watched.get_mut(&spot) {
            let node = edge.node.clone();
            *known = Known { sighting: Some(Sighting { state, revision, node }), is_told: known.is_told };
        }
        edge.presence.say(home, PresenceParcel::State { user_id: spot.1, state, revision });
        self.pass_presence_on(now);
    }

    /// Somebody here watches a user, as the first one.
    pub(super) fn begin_to_watch(&mut self, now: Now, user_id: &UserId) {
        let spot = self.spot_of(user_id);
        let home = self.home_of(&spot);
        let Some(edge) = self.edge.as_mut().filter(|edge| !edge.presence.watched.has(&spot)) else { return };
        let node = edge.node.clone();
        let own = edge.presence.here.get(&spot);
        let sighting = own.map(|&(state, revision)| Sighting { state, revision, node });
        edge.presence.watched.insert(spot, Known { sighting, is_told: false });
        edge.presence.say(home, PresenceParcel::Watch { user_id: user_id.clone() });
        self.pass_presence_on(now);
    }

    /// Nobody here watches a user any more.
    pub(super) fn cease_to_watch(&mut self, user_id: &UserId) {
        let spot = self.spot_of(user_id);
        let home = self.home_of(&spot);
        let Some(edge) = &mut self.edge else { return };
        if edge.presence.watched.remove(&spot).is_none() {
            return;
        }
        match home {
            Some(home) if home == edge.node => edge.presence.home.unwatch(&edge.view, &home, spot.0, user_id),
            Some(home) => edge.tell_presence(&home, PresenceParcel::Unwatch { user_id: user_id.clone() }),
            None => {}
        }
    }

    /// Says what is to be said: to other nodes by parcels, to this one by plain calls.
    pub(super) fn pass_presence_on(&mut self, now: Now) {
        loop {
            let Some(edge) = &mut self.edge else { return };
            edge.presence.home.take_out(&mut edge.presence.out);
            let Some((to, parcel)) = edge.presence.out.pop_front() else { return };
            match to == edge.node {
                true => self.presence_came(now, &to, parcel),
                false => edge.tell_presence(&to, parcel),
            }
        }
    }

    /// Another node, or this one, says something of who is online.
    pub(super) fn presence_came(&mut self, now: Now, from: &NodeId, parcel: PresenceParcel) {
        let Some(edge) = self.edge.as_mut().filter(|edge| edge.view.has(from)) else { return };
        let app_id = self.config.app_id.as_str();
        let partition_of = |user_id: &UserId| partition(app_id, user_id.as_str());
        let home = &mut edge.presence.home;
        match parcel {
            PresenceParcel::State { user_id, state, revision } => {
                let sighting = Sighting { state, revision, node: from.clone() };
                home.see(&edge.view, partition_of(&user_id), &user_id, sighting);
            }
            PresenceParcel::Watch { user_id } => home.watch(&edge.view, from, partition_of(&user_id), &user_id),
            PresenceParcel::Unwatch { user_id } => home.unwatch(&edge.view, from, partition_of(&user_id), &user_id),
            PresenceParcel::Told { user_id, sighting } => self.told(now, &user_id, sighting),
            PresenceParcel::Query { query, epoch, user_ids } => {
                self.asked_for_states(Query { from: from.clone(), query, epoch, user_ids });
            }
            PresenceParcel::States { query, states } => self.states_came(query, states),
            PresenceParcel::Pull { epoch, partitions, after } => {
                let (is_own, is_next) = (*from == edge.node, after.is_some());
                edge.presence.pulls.insert(from.clone(), Pull { epoch, partitions, after });
                // This node does not ask itself for everything at one go.
                match is_own && is_next {
                    true => self.arm_presence(now.instant + STEP),
                    false => self.answer_pulls(),
                }
            }
            PresenceParcel::Page { epoch, users, more } => {
                let users = users.into_iter().map(|user| (partition_of(&user.user_id), user)).collect();
                if home.page(&edge.view, from, epoch, users, more) {
                    let queries = home.take_queries();
                    queries.into_iter().for_each(|query| self.asked_for_states(query));
                }
            }
        }
    }

    /// The home of a watched user says where that is.
    fn told(&mut self, now: Now, user_id: &UserId, sighting: Option<Sighting>) {
        let spot = self.spot_of(user_id);
        let Some(edge) = &mut self.edge else { return };
        let has_entry =
            edge.entry_of(user_id).is_some_and(|heard| heard.entry.as_ref().is_some_and(|it| edge.is_good(it)));
        let is_here = edge.presence.here.has(&spot);
        let Some(known) = edge.presence.watched.get_mut(&spot) else { return };
        known.is_told = true;
        match (&known.sighting, &sighting) {
            (Some(old), Some(new)) if old.revision > new.revision => {}
            // What this node has said itself comes back, and it may have said something else since.
            (Some(old), Some(new))
                if old.revision == new.revision && old.node == edge.node && new.node == edge.node => {}
            // It was here a moment ago, or is about to be somewhere: that will be told.
            (Some(_), None) if has_entry || is_here => {}
            _ => known.sighting = sighting,
        }
        self.look_at_watched(now, user_id);
    }

    /// Tells those who watch a user here of its state, if they were told another one.
    fn look_at_watched(&mut self, now: Now, user_id: &UserId) {
        self.caller_changed(now, user_id);
        if let Some(user) = self.users.find(user_id) {
            self.tell_if_told_otherwise(now, user);
            self.callee_changed(now, user);
            if self.seen_state(user).is_some() {
                self.first_state_came(user_id);
            }
        }
    }

    fn asked_for_states(&mut self, query: Query) {
        let spots: Vec<_> = query.user_ids.iter().map(|user_id| self.spot_of(user_id)).collect();
        let Some(edge) = &mut self.edge else { return };
        let home = &mut edge.presence.home;
        if query.epoch > edge.view.epoch() || spots.iter().any(|spot| home.is_opening(spot.0)) {
            return home.wait(query);
        }
        // Who asked the wrong node has an old view, and asks again in the next one.
        if !spots.iter().all(|spot| home.is_open(spot.0)) {
            return;
        }
        let states = spots.into_iter().map(|spot| {
            let state = self.state_at_home(&spot);
            (spot.1, state)
        });
        let states = PresenceParcel::States { query: query.query, states: states.collect() };
        if let Some(edge) = &mut self.edge {
            edge.presence.say(Some(query.from), states);
        }
    }

    /// The state of a user whose home this node is.
    fn state_at_home(&self, spot: &Spot) -> PeerOnlineState {
        let Some(edge) = &self.edge else { return PeerOnlineState::Offline };
        let sighting = edge.presence.home.sighting(spot.0, &spot.1);
        self.conclude(sighting, &spot.1).unwrap_or_else(|| match edge.entry_of(&spot.1) {
            // It comes in, or moves.
            Some(Revised { entry: Some(_), .. }) => PeerOnlineState::Online,
            _ => PeerOnlineState::Offline,
        })
    }

    /// Answers homes that ask for what is known here.
    fn answer_pulls(&mut self) {
        let Some(edge) = &mut self.edge else { return };
        let epoch = edge.view.epoch();
        let presence = &mut edge.presence;
        let (due, later) = std::mem::take(&mut presence.pulls).into_iter().partition(|(_, pull)| pull.epoch <= epoch);
        presence.pulls = later;
        let due: BTreeMap<_, _> = due;
        for (from, pull) in due {
            let page = presence.page(&pull);
            presence.say(Some(from), page);
        }
    }

    /// There is another view than this one.
    pub(super) fn presence_in_new_view(&mut self, now: Now, old: &View) {
        let until = now.instant + self.config.settings.offline_after;
        let Some(edge) = &mut self.edge else { return };
        let presence = &mut edge.presence;
        for member in old.members().iter().filter(|member| !edge.view.has(&member.id)) {
            let was_draining = member.role == Role::Draining;
            presence.left.insert(member.id.clone(), Departure { until, was_draining });
            presence.sweep = Some(None);
        }
        presence.pulls.retain(|from, _| edge.view.has(from));
        presence.home.set_view(&edge.view);
        let queries = presence.home.take_queries();
        queries.into_iter().for_each(|query| self.asked_for_states(query));
        self.answer_pulls();
        self.arm_presence(now.instant + STEP);
        self.ask_anew(now, None);
        self.look_at_call_messages(now);
        self.pass_presence_on(now);
    }

    /// A user's entry is another one than was known.
    pub(super) fn presence_of_entry(&mut self, now: Now, user_id: &UserId, heard: &Revised) {
        let spot = self.spot_of(user_id);
        let Some(edge) = &mut self.edge else { return };
        if heard.entry.is_none() {
            edge.presence.home.see_no_more(&edge.view, spot.0, user_id, heard.revision);
        }
        if edge.presence.watched.has(&spot) {
            self.look_at_watched(now, user_id);
        }
        self.pass_presence_on(now);
    }

    pub(super) fn arm_presence(&mut self, at: Instant) {
        if let Some(edge) = &mut self.edge {
            edge.presence.alarm.set(&mut self.hub.timers, at, Due::Presence);
        }
    }

    /// Does what is due for presence in a cluster: a part at a time.
    pub(super) fn presence_due(&mut self, now: Now, at: Instant) {
        let Some(edge) = &mut self.edge else { return };
        if !edge.presence.alarm.take(at) {
            return;
        }
        let before = edge.presence.left.len();
        edge.presence.left.retain(|_, departure| now.instant < departure.until);
        if edge.presence.left.len() < before {
            edge.presence.sweep = Some(None);
            edge.presence.tidying = Some(None);
        }
        self.answer_pulls();
        self.sweep_watched(now);
        self.tidy_home();
        self.look_at_reads(now);
        self.forget_old_given(now);
        self.look_at_call_messages(now);
        self.tidy_entries(now);
        self.pass_presence_on(now);
        let tidying = self.next_tidying(now);
        let Some(edge) = &self.edge else { return };
        let presence = &edge.presence;
        let is_busy = presence.sweep.is_some() || presence.tidying.is_some();
        let next = presence
            .left
            .values()
            .map(|departure| departure.until)
            .min()
            .into_iter()
            .chain(edge.reads.next_due())
            .chain(edge.calls.next_due())
            .chain(edge.given.next_due())
            .chain(tidying);
        if let Some(at) = is_busy.then_some(now.instant + STEP).into_iter().chain(next).min() {
            self.arm_presence(at);
        }
    }

    /// Looks at some of the watched users: a node has left, or its users count as offline now.
    fn sweep_watched(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let Some(after) = edge.presence.sweep.take() else { return };
        let spots = edge.presence.watched.behind(after.as_ref()).map(|(spot, _)| spot);
        let spots: Vec<_> = spots.take(SWEPT_AT_ONCE).collect();
        if spots.len() == SWEPT_AT_ONCE {
            edge.presence.sweep = Some(spots.last().cloned());
        }
        spots.iter().for_each(|(_, user_id)| self.look_at_watched(now, user_id));
    }

    fn tidy_home(&mut self) {
        let Some(edge) = &mut self.edge else { return };
        let presence = &mut edge.presence;
        let Some(after) = presence.tidying.take() else { return };
        let (view, left) = (&edge.view, &presence.left);
        let is_over = |node: &NodeId| !view.has(node) && !left.contains_key(node);
        presence.tidying = presence.home.tidy(view, after, is_over).map(Some);
    }

    /// Asks the homes of users for their states.
    pub(super) fn ask_for_states(&mut self, now: Now, query: u64, user_ids: &[UserId]) {
        let mut homes: BTreeMap<NodeId, Vec<UserId>> = BTreeMap::new();
        for user_id in user_ids {
            if let Some(home) = self.home_of(&self.spot_of(user_id)) {
                homes.entry(home).or_default().push(user_id.clone());
            }
        }
        let Some(edge) = &mut self.edge else { return };
        let epoch = edge.view.epoch();
        for (home, user_ids) in homes {
            edge.presence.say(Some(home), PresenceParcel::Query { query, epoch, user_ids });
        }
        self.pass_presence_on(now);
    }
}

/// Users in one page.
const PAGE_USERS: usize = 512;
/// Watched users that are looked at in one go.
const SWEPT_AT_ONCE: usize = 512;
/// The pause between two parts of what is done in parts.
const STEP: Duration = Duration::from_millis(1);
