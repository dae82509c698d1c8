//! What members do for the view: they put out who is dead, let in who is there, and share out the partitions.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Asked, EngineKey, EngineOp, Membership, MembershipEvent, Phase, keys::LAST_MOMENTS};
use crate::cluster::{
    names::NodeId,
    view::{Change, Role, View},
};

/// What a node has to do for the view, and since when.
#[derive(Debug, Default)]
pub(super) struct Duties {
    pub(super) is_draining: bool,
    pub(super) joined_at: Option<Instant>,
    /// When the members changed last, and in which view.
    calm_since: Option<Instant>,
    members_epoch: u64,
    viewed_at: Option<Instant>,
    /// Whether this view was looked over, and every partition is where it should be.
    is_balanced: bool,
    read_at: Option<Instant>,
    /// Members whose life is over, and since when this is known.
    gone: BTreeMap<NodeId, Instant>,
    /// Members that are taken for dead, or have to go, and since when.
    suspects: BTreeMap<NodeId, Instant>,
    /// Since when there is something to change.
    due_since: Option<Instant>,
}

impl Duties {
    pub(super) fn see_view(&mut self, before: &View, view: &View, now: Instant) {
        self.viewed_at = Some(now);
        self.is_balanced = false;
        self.due_since = None;
        self.gone.retain(|id, _| view.has(id));
        self.suspects.retain(|id, _| view.has(id));
        if !before.members().iter().map(|member| &member.id).eq(view.members().iter().map(|member| &member.id)) {
            self.members_epoch = view.epoch();
            self.calm_since = Some(now);
        }
    }

    pub(super) fn begin_anew(&mut self, now: Instant) {
        self.gone.values_mut().for_each(|since| *since = now);
        self.suspects.clear();
        self.due_since = None;
        self.calm_since = self.calm_since.map(|_| now);
    }
}

impl Membership {
    /// Asks the leader for the view.
    pub(super) fn read_view(&mut self) {
        self.duties.read_at = Some(self.now);
        if !self.is_asking(|asked| *asked == Asked::ReadView) {
            self.ask(Asked::ReadView, EngineOp::Read { key: EngineKey::View });
        }
    }

    /// There is no view: the first one is to be made, or somebody removed it.
    pub(super) fn no_view(&mut self) {
        self.view_revision = Some(0);
        self.tend_view();
    }

    pub(super) fn tend_view(&mut self) {
        if !matches!(self.phase, Phase::Outside | Phase::Inside | Phase::Leaving) {
            return;
        }
        if self.duties.read_at.is_none_or(|at| self.now >= at + VIEW_READ_EVERY) {
            self.read_view();
        }
        self.note_gone();
        match self.phase {
            Phase::Outside => self.tend_as_outsider(),
            Phase::Inside if self.own.is_certain(self.now) => self.tend_as_member(),
            Phase::Leaving if self.view.has(&self.id) => self.propose(&[Change::Leave(self.id.clone())]),
            _ => {}
        }
    }

    fn others(&self) -> Vec<NodeId> {
        self.view.members().iter().map(|member| member.id.clone()).filter(|id| *id != self.id).collect()
    }

    fn note_gone(&mut self) {
        for id in self.others() {
            let is_own_past = id.name == self.id.name;
            if is_own_past || self.keys.is_over(&id) {
                self.duties.suspects.remove(&id);
                self.duties.gone.entry(id).or_insert(self.now);
            }
        }
    }

    /// Those that left so long ago that they know it.
    fn departed(&self) -> impl Iterator<Item = Change> {
        let gone = self.duties.gone.iter().filter(|(_, since)| self.now >= **since + LAST_MOMENTS);
        gone.map(|(id, _)| Change::Leave(id.clone()))
    }

    fn tend_as_member(&mut self) {
        self.look_for_dead();
        for id in self.contacts.joiners(self.now).cloned().collect::<Vec<_>>() {
            self.look_at(&id);
        }
        let mut changes: Vec<Change> = self.departed().collect();
        changes.extend(self.joiners());
        let mine = self.own_change();
        let turn = STAGGER * self.rank();
        let due_since = (!changes.is_empty()).then(|| self.duties.due_since.unwrap_or(self.now));
        self.duties.due_since = due_since;
        let is_my_turn = due_since.is_some_and(|since| self.now >= since + turn);
        if is_my_turn || mine.is_some() {
            changes.extend(mine);
            return self.propose(&changes);
        }
        let is_calm = self.duties.gone.is_empty() && self.duties.suspects.is_empty() && changes.is_empty();
        let is_settled = self.duties.viewed_at.is_none_or(|at| self.now >= at + MOVES_EVERY);
        if is_calm && is_settled && turn.is_zero() && !self.duties.is_balanced {
            self.duties.is_balanced = !self.view.is_unbalanced();
            if !self.duties.is_balanced {
                self.propose(&[]);
            }
        }
    }

    /// Nobody does anything: whoever is outside begins anew, after it has made sure that all members are dead.
    fn tend_as_outsider(&mut self) {
        let others = self.others();
        if !others.is_empty() && self.config.proto < self.view.proto() {
            return self.refuse_to_join(MembershipEvent::TooOld { proto: self.view.proto() });
        }
        if !self.own.is_certain(self.now) {
            return;
        }
        for id in &others {
            if id.name != self.id.name {
                self.look_at(id);
            }
        }
        let is_dead = |id: &NodeId| self.duties.gone.contains_key(id) || self.keys.still(id) >= ALL_DEAD;
        if !others.iter().all(is_dead) {
            return;
        }
        for id in others.iter().filter(|id| !self.duties.gone.contains_key(id)).cloned().collect::<Vec<_>>() {
            self.bury(&id);
        }
        let mut changes: Vec<Change> = self.departed().collect();
        if changes.len() == others.len() {
            changes.push(Change::Join(self.id.clone(), self.config.proto, self.config.workers));
            self.propose(&changes);
        }
    }

    fn look_for_dead(&mut self) {
        let others: Vec<NodeId> = self.others().into_iter().filter(|id| !self.duties.gone.contains_key(id)).collect();
        let deaf = self.deafness();
        let has_to_go = self.who_of_the_deaf_goes(&deaf);
        for id in others {
            self.look_at(&id);
            let still = self.keys.still(&id);
            let is_heard_by_all = deaf.get(&id).is_none_or(|by| by.values().all(|&seconds| seconds < UNHEARD));
            let is_dead = still >= DEAD && !is_heard_by_all;
            // After an outage some come back a few seconds later than others.
            let is_calm = self.keys.row() >= DEAD;
            let is_unreachable = self.contacts.unreachable_for(&id, self.now) >= UNREACHABLE;
            let is_killed = still >= KILLED && is_unreachable && is_calm;
            if !is_dead && !is_killed && has_to_go.as_ref() != Some(&id) {
                self.duties.suspects.remove(&id);
                continue;
            }
            let since = *self.duties.suspects.entry(id.clone()).or_insert(self.now);
            if self.now >= since + STAGGER * self.rank() {
                self.bury(&id);
            }
        }
    }

    /// Of each member who does not hear it, and for how many seconds.
    fn deafness(&self) -> BTreeMap<NodeId, BTreeMap<NodeId, u16>> {
        let mut deaf: BTreeMap<NodeId, BTreeMap<NodeId, u16>> = BTreeMap::new();
        for id in self.view.members().iter().map(|member| &member.id).filter(|id| !self.duties.gone.contains_key(id)) {
            let said = match self.keys.lease(id) {
                _ if *id == self.id => self.contacts.deaf(&self.view, &self.id, self.now),
                // What it says of names is about the members of today only if it knows them.
                Some(lease) if self.keys.is_moving(id) && lease.epoch >= self.duties.members_epoch => {
                    lease.deaf.clone()
                }
                _ => continue,
            };
            for one in said {
                if let Some(member) = self.view.named(&one.node).filter(|it| !self.duties.gone.contains_key(&it.id)) {
                    deaf.entry(member.id.clone()).or_default().insert(id.clone(), one.seconds);
                }
            }
        }
        deaf
    }

    /// Of two members that are well and do not hear each other, one has to go: who is heard by fewer, then the one
    /// with the greater name. One at a time.
    fn who_of_the_deaf_goes(&self, deaf: &BTreeMap<NodeId, BTreeMap<NodeId, u16>>) -> Option<NodeId> {
        if !self.duties.gone.is_empty() {
            return None;
        }
        let is_well = |id: &NodeId| *id == self.id || self.keys.is_moving(id);
        let unheard_by = |id: &NodeId| deaf.get(id).map_or(0, |by| by.values().filter(|&&it| it >= UNHEARD).count());
        let mut losers = BTreeSet::new();
        for (unheard, by) in deaf.iter().filter(|(unheard, _)| is_well(unheard)) {
            for (deaf_one, _) in by.iter().filter(|(id, seconds)| **seconds >= DEAF && is_well(id)) {
                let pair = [unheard, deaf_one];
                losers.extend(
                    pair.into_iter().max_by_key(|id| (unheard_by(id), (*id).clone())).map(|id| (unheard_by(id), id)),
                );
            }
        }
        losers.last().map(|(_, id)| (*id).clone())
    }

    /// Who wants to join and may: it renews its lease, and hears all members.
    fn joiners(&self) -> Vec<Change> {
        let mut joiners = Vec::new();
        for id in self.contacts.joiners(self.now) {
            let Some(lease) = self.keys.lease(id).filter(|_| self.keys.is_moving(id)) else { continue };
            let is_ready = lease.epoch >= self.duties.members_epoch && lease.deaf.is_empty();
            let has_place = self.view.named(&id.name).is_none_or(|past| {
                self.duties.gone.get(&past.id).is_some_and(|since| self.now >= *since + LAST_MOMENTS)
            });
            if is_ready && has_place && lease.proto >= self.view.proto() {
                joiners.push(Change::Join(id.clone(), lease.proto, lease.workers));
            }
        }
        joiners
    }

    fn own_change(&self) -> Option<Change> {
        let role = self.view.member(&self.id)?.role;
        if self.duties.is_draining {
            return (role != Role::Draining).then(|| Change::Drain(self.id.clone()));
        }
        let since = self.duties.joined_at.max(self.duties.calm_since)?;
        (role == Role::Edge && self.now >= since + CALM).then(|| Change::Home(self.id.clone()))
    }

    /// How many members go before this one: they do not all do the same at once.
    fn rank(&self) -> u32 {
        let before = self.view.members().iter().map(|member| &member.id).take_while(|id| **id != self.id);
        let well = before.filter(|id| !self.duties.gone.contains_key(id) && !self.duties.suspects.contains_key(id));
        u32::try_from(well.count()).unwrap_or(u32::MAX).min(MOST_STAGGERED)
    }

    fn propose(&mut self, changes: &[Change]) {
        if self.is_asking(|asked| matches!(asked, Asked::Propose(_))) {
            return;
        }
        let Some(expected) = self.view_revision else { return self.read_view() };
        let view = Arc::new(self.view.next(changes));
        self.view_revision = None;
        let op = EngineOp::Write { key: EngineKey::View, value: view.encode(), expected };
        self.ask(Asked::Propose(view), op);
    }
}

/// How often the view is read at the leader.
const VIEW_READ_EVERY: Duration = Duration::from_secs(2);

/// A member whose key stood still for so many renewals, and that somebody does not hear, is dead.
const DEAD: u32 = 9;

/// A member that nobody listens for is dead after so many, and so much time.
const KILLED: u32 = 2;
const UNREACHABLE: Duration = Duration::from_secs(2);

/// An outsider takes all members for dead after so many.
const ALL_DEAD: u32 = 40;

/// A member that another has not heard for so many seconds is not heard by it, or one of both has to go.
const UNHEARD: u16 = 3;
const DEAF: u16 = 10;

/// After so much calm, an edge becomes a home.
const CALM: Duration = Duration::from_secs(30);

/// The pause between two views that move partitions.
const MOVES_EVERY: Duration = Duration::from_secs(2);

/// So much later than the member before it does a member what all have to do.
const STAGGER: Duration = Duration::from_millis(400);
const MOST_STAGGERED: u32 = 8;
