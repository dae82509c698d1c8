//! Where the sessions of users are: their entries as they were last heard of, and those that are this node's own.

use std::time::{Duration, Instant};

use rtm_codec::{SessionId, UserId};

use crate::{
    Core, Now,
    claim::{LONGEST_PAUSE, PAUSE},
    cluster::{EngineAnswer, EngineWork, NodeId, Revised, UserEntry, partition},
    delivery::LaneAnswer,
    edge::Edge,
    engine::Purpose,
};

/// A user's entry as it was last heard of.
#[derive(Debug)]
pub(super) struct Known {
    heard: Revised,
    /// The session before the one that it names, or that it named last.
    before: Option<SessionId>,
    /// It says that the user is nowhere, and did so the last time that it was looked at.
    is_over: bool,
    /// Whether the user's device recognises repeats, as the node that has its session said last.
    drops_repeats: Option<bool>,
}

/// An entry that this node is to remove.
#[derive(Debug)]
pub(super) struct Release {
    pub(super) user_id: UserId,
    /// Its revision.
    pub(super) expected: u64,
    /// How long this node waits until it tries again.
    pub(super) pause: Duration,
}

/// A node that left.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone {
    /// Until when its users' entries are kept.
    pub(super) until: Instant,
    /// The first view that may have been without it.
    pub(super) epoch: u64,
}

/// How far looking for void entries is.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Tidying {
    /// When all are looked at again.
    at: Option<Instant>,
    /// So many are yet to be looked at.
    left: usize,
}

impl Edge {
    /// This node's entry for a session.
    pub(crate) fn entry(&self, session: SessionId) -> UserEntry {
        UserEntry { node: self.node.clone(), session, epoch: self.view.epoch() }
    }

    /// Whether an entry is good: the node that it names is a member.
    pub(crate) fn is_good(&self, entry: &UserEntry) -> bool {
        self.view.has(&entry.node)
    }

    /// Whether an entry was written while a node that left was a member for certain: that node took part in what it says.
    pub(crate) fn is_from_before_it_left(&self, entry: &UserEntry, node: &NodeId) -> bool {
        self.left.get(node).is_some_and(|gone| entry.epoch < gone.epoch)
    }

    /// A user's entry as it was last heard of.
    pub(crate) fn entry_of(&self, user_id: &UserId) -> Option<&Revised> {
        self.entries.get(user_id).map(|known| &known.heard)
    }

    /// The entry of a user of whose session a node says this.
    pub(crate) fn entry_of_answer(&mut self, user_id: &UserId, answer: LaneAnswer) -> Option<&UserEntry> {
        let known = self.entries.get_mut(user_id)?;
        if let LaneAnswer::Placed { drops_repeats } = answer {
            known.drops_repeats = Some(drops_repeats);
        }
        known.heard.entry.as_ref()
    }

    /// The revision of a user's entry, if it names this node.
    pub(crate) fn entry_naming(&self, user_id: &UserId, node: &NodeId) -> Option<u64> {
        let heard = self.entry_of(user_id)?;
        heard.entry.as_ref().is_some_and(|entry| entry.node == *node).then_some(heard.revision)
    }

    /// Whether a user's device recognises repeats, as far as is known.
    pub(crate) fn drops_repeats(&self, user_id: &UserId) -> bool {
        self.entries.get(user_id).and_then(|known| known.drops_repeats).unwrap_or(true)
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
        let drops_repeats = known.and_then(|known| known.drops_repeats);
        self.entries.insert(user_id.clone(), Known { heard: heard.clone(), before, is_over: false, drops_repeats });
        true
    }

    /// Whether a session of a user is known to be over since the user has the other one.
    pub(crate) fn is_followed(&self, user_id: &UserId, session: SessionId, by: SessionId) -> bool {
        let Some(known) = self.entries.get(user_id).filter(|_| session != by) else { return false };
        let named = known.heard.entry.as_ref().map(|entry| entry.session);
        match named == Some(by) {
            true => known.before == Some(session),
            // The other one is here, and its entry has not been heard of.
            false => self.own.contains_key(user_id) && (named == Some(session) || known.before == Some(session)),
        }
    }

    /// This node has the user from now on, under this revision.
    pub(crate) fn own(&mut self, user_id: &UserId, revision: u64) {
        self.own.insert(user_id.clone(), revision);
    }

    /// This node has the user no more. Gives the revision under which it had it.
    pub(crate) fn disown(&mut self, user_id: &UserId) -> Option<u64> {
        self.own.remove(user_id)
    }

    /// Has the entry of a user that is not here removed, if it has this revision yet.
    fn remove_entry(&mut self, user_id: &UserId, expected: u64, next_pause: Duration) {
        let purpose = Purpose::Release { expected, next_pause };
        self.ask(user_id, EngineWork::Write { entry: None, expected }, purpose);
    }

    /// Whether nobody has come since an entry was to be removed.
    fn is_to_be_removed(&self, release: &Release) -> bool {
        self.owned(&release.user_id).is_none() && !self.claims.concern(&release.user_id)
    }

    /// The revision under which this node has the user.
    pub(crate) fn owned(&self, user_id: &UserId) -> Option<u64> {
        self.own.get(user_id).copied()
    }
}

impl Core {
    /// A user's entry has changed. Changes may come late, but those of one user come in order.
    pub fn handle_entry(&mut self, now: Now, user_id: &UserId, heard: &Revised) {
        let now = self.time(now);
        self.learn_entry(now, user_id, heard);
    }

    /// The node that has a user's session, as far as this core has heard; `None` for this node, or none.
    #[must_use]
    pub fn node_of(&self, user_id: &UserId) -> Option<&NodeId> {
        let edge = self.edge.as_ref()?;
        let entry = edge.entry_of(user_id)?.entry.as_ref()?;
        (edge.is_good(entry) && entry.node != edge.node).then_some(&entry.node)
    }

    pub(super) fn learn_entry(&mut self, now: Now, user_id: &UserId, heard: &Revised) {
        let Some(edge) = &mut self.edge else { return };
        let before = edge.entry_of(user_id).and_then(|known| known.entry.as_ref()).map(|entry| entry.session);
        if !edge.learn(user_id, heard) {
            return;
        }
        match &heard.entry {
            Some(entry) if entry.node != edge.node => {
                let (session, node) = (entry.session, entry.node.clone());
                self.user_is_elsewhere(now, user_id, &node, session, heard.revision);
                self.receiver_moved(now, user_id, &node, before == Some(session));
            }
            // A write of this node may be done long after it was given up.
            Some(_) => self.release_void_entry(user_id),
            None => {}
        }
        self.presence_of_entry(now, user_id, heard);
    }

    /// A user has no entry, though this node has not heard that the one of this revision was removed.
    pub(crate) fn entry_is_gone(&mut self, now: Now, user_id: &UserId, revision: u64) {
        let Some(edge) = &mut self.edge else { return };
        if edge.entry_of(user_id).is_some_and(|heard| heard.revision == revision) {
            // Were the engine's answer an old one, the same entry could be heard of again.
            edge.entries.swap_remove(user_id);
            self.presence_of_entry(now, user_id, &Revised { entry: None, revision });
        }
    }

    /// Looks at some of the entries: those of nodes that left a while ago are removed by the homes of their users, under their
    /// revision, and users that are nowhere are forgotten.
    pub(crate) fn tidy_entries(&mut self, now: Now) {
        let app_id = self.config.app_id.as_str();
        let Some(edge) = &mut self.edge else { return };
        let at = *edge.tidying.at.get_or_insert(now.instant + VOID_FOR);
        if edge.tidying.left == 0 {
            if now.instant < at {
                return;
            }
            edge.tidying = Tidying { at: Some(now.instant + TIDY_EVERY), left: edge.entries.len() };
            edge.left.retain(|_, gone| now.instant < gone.until);
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
    pub(crate) fn next_tidying(&self, now: Now) -> Option<Instant> {
        let edge = self.edge.as_ref()?;
        match edge.tidying.left {
            0 => edge.tidying.at,
            _ => Some(now.instant + TIDY_STEP),
        }
    }

    /// A user has no session here any more: its entry goes, if it is still this node's.
    pub(crate) fn release_entry(&mut self, user_id: &UserId) {
        let Some(edge) = &mut self.edge else { return };
        if let Some(expected) = edge.disown(user_id) {
            edge.remove_entry(user_id, expected, PAUSE);
        }
    }

    /// An entry goes that names this node although the user is not here: a login that was to write over it has not.
    pub(crate) fn release_void_entry(&mut self, user_id: &UserId) {
        let is_here = self.session_of(user_id).is_some();
        let Some(edge) = self.edge.as_mut().filter(|edge| !is_here && !edge.is_on_its_way(user_id)) else { return };
        if edge.owned(user_id).is_none()
            && let Some(heard) = edge.entry_of(user_id)
            && heard.entry.as_ref().is_some_and(|entry| entry.node == edge.node)
        {
            let expected = heard.revision;
            edge.remove_entry(user_id, expected, PAUSE);
        }
    }

    /// An entry that could not be removed for sure is removed again in a while.
    pub(super) fn release_answered(&mut self, now: Now, release: Release, answer: &EngineAnswer) {
        let Some(edge) = &mut self.edge else { return };
        if *answer == EngineAnswer::Unknown && edge.is_to_be_removed(&release) {
            let at = now.instant + release.pause;
            edge.releases.push((at, release));
            self.arm_edge(at);
        }
    }

    /// Has entries removed that were not removed for sure, unless another one has come.
    pub(super) fn look_at_releases(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let due: Vec<_> = edge.releases.extract_if(.., |(at, _)| *at <= now.instant).collect();
        for (_, release) in due {
            if edge.is_to_be_removed(&release) {
                let Release { user_id, expected, pause } = release;
                edge.remove_entry(&user_id, expected, (pause * 2).min(LONGEST_PAUSE));
            }
        }
    }
}

/// How long entries of a node that left are kept: an older client whose session was lost is known by them.
pub(super) const VOID_FOR: Duration = Duration::from_secs(120);
/// How often entries are looked at; so many at a time, of which so many are removed, and after which pause the next ones.
const TIDY_EVERY: Duration = Duration::from_secs(60);
const TIDIED_AT_ONCE: usize = 2048;
const REMOVED_AT_ONCE: usize = 32;
const TIDY_STEP: Duration = Duration::from_millis(10);
