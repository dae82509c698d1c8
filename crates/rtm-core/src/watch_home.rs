//! The home of users, as far as those who watch them are concerned: it gathers where its users are, and tells each node
//! that has watchers of one, once.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rtm_codec::{PeerOnlineState, UserId};

use super::{
    by_partition::Spot,
    cluster::{NodeId, PagedUser, PresenceParcel, Sighting, View},
};

/// The users of the partitions that this node is the home of.
#[derive(Debug)]
pub(super) struct WatchHome {
    node: NodeId,
    partitions: BTreeMap<u16, BTreeMap<UserId, Watched>>,
    /// The partitions of which not all nodes have said yet what they know.
    opening: Option<Opening>,
    /// Users of nodes that are asked again where their users are: what they do not name is there no more.
    unconfirmed: BTreeMap<NodeId, BTreeSet<Spot>>,
    /// Queries that came too early.
    queries: VecDeque<Query>,
    out: Vec<(NodeId, PresenceParcel)>,
}

/// A user that is somewhere, or watched.
#[derive(Debug, Default)]
struct Watched {
    sighting: Option<Sighting>,
    /// No node has it. One that is offline may have a session still, and whoever asks is to hear that it is offline.
    is_gone: bool,
    /// The nodes that have watchers of it, and what each knows.
    watchers: BTreeMap<NodeId, Option<(PeerOnlineState, u64)>>,
}

/// Partitions that are new here.
#[derive(Debug)]
struct Opening {
    epoch: u64,
    partitions: BTreeSet<u16>,
    /// The nodes that have more to say, and the last user that they spoke of.
    members: BTreeMap<NodeId, Option<Spot>>,
}

/// A query that has to wait.
#[derive(Debug)]
pub(super) struct Query {
    pub(super) from: NodeId,
    pub(super) query: u64,
    pub(super) epoch: u64,
    pub(super) user_ids: Vec<UserId>,
}

impl WatchHome {
    pub(super) fn new(node: NodeId) -> Self {
        Self {
            node,
            partitions: BTreeMap::new(),
            opening: None,
            unconfirmed: BTreeMap::new(),
            queries: VecDeque::new(),
            out: Vec::new(),
        }
    }

    /// Appends what is to be said, also to this node itself.
    pub(super) fn take_out(&mut self, out: &mut VecDeque<(NodeId, PresenceParcel)>) {
        out.extend(self.out.drain(..));
    }

    /// There is another view: partitions go, and others come, of which all members are asked what they know.
    pub(super) fn set_view(&mut self, view: &View) {
        let mine: BTreeSet<u16> = view.partitions_of(&self.node).collect();
        self.unconfirmed.retain(|node, _| view.has(node));
        self.partitions.retain(|partition, _| mine.contains(partition));
        let mut opening = self.opening.take().map(|opening| opening.partitions).unwrap_or_default();
        opening.retain(|partition| mine.contains(partition));
        for partition in mine {
            self.partitions.entry(partition).or_insert_with(|| {
                opening.insert(partition);
                BTreeMap::new()
            });
        }
        if opening.is_empty() {
            return;
        }
        let members: Vec<_> = view.members().iter().map(|member| member.id.clone()).collect();
        let partitions: Vec<_> = opening.iter().copied().collect();
        for member in &members {
            let pull = PresenceParcel::Pull { epoch: view.epoch(), partitions: partitions.clone(), after: None };
            self.out.push((member.clone(), pull));
        }
        let members = members.into_iter().map(|member| (member, None)).collect();
        self.opening = Some(Opening { epoch: view.epoch(), partitions: opening, members });
    }

    /// What a node said may be missing: it is asked for all that it knows.
    pub(super) fn pull_again(&mut self, view: &View, node: &NodeId) {
        let unconfirmed = self.unconfirmed.entry(node.clone()).or_default();
        for (partition, users) in &mut self.partitions {
            for (user_id, watched) in users {
                watched.watchers.remove(node);
                let sighting = watched.sighting.as_ref().filter(|sighting| sighting.node == *node);
                if sighting.is_some() {
                    unconfirmed.insert((*partition, user_id.clone()));
                }
            }
        }
        let none = || Opening { epoch: view.epoch(), partitions: BTreeSet::new(), members: BTreeMap::new() };
        let mut opening = self.opening.take().unwrap_or_else(none);
        opening.partitions = self.partitions.keys().copied().collect();
        opening.members.insert(node.clone(), None);
        let partitions = opening.partitions.iter().copied().collect();
        self.out.push((node.clone(), PresenceParcel::Pull { epoch: opening.epoch, partitions, after: None }));
        self.opening = Some(opening);
    }

    /// What was asked of a node may not have come there: it is asked again.
    pub(super) fn ask_again(&mut self, node: &NodeId) {
        let Some(opening) = &self.opening else { return };
        let Some(after) = opening.members.get(node) else { return };
        let first = after.as_ref().map_or(0, |(partition, _)| *partition);
        let partitions = opening.partitions.range(first..).copied().collect();
        let pull = PresenceParcel::Pull { epoch: opening.epoch, partitions, after: after.clone() };
        self.out.push((node.clone(), pull));
    }

    /// Whether this node is the home of a partition, and knows all of it.
    pub(super) fn is_open(&self, partition: u16) -> bool {
        let is_opening = |opening: &Opening| opening.partitions.contains(&partition);
        self.partitions.contains_key(&partition) && !self.opening.as_ref().is_some_and(is_opening)
    }

    /// Whether this node is the home of a partition, of which it does not know all yet.
    pub(super) fn is_opening(&self, partition: u16) -> bool {
        self.partitions.contains_key(&partition) && !self.is_open(partition)
    }

    /// Where a user is.
    pub(super) fn sighting(&self, partition: u16, user_id: &UserId) -> Option<&Sighting> {
        self.partitions.get(&partition)?.get(user_id)?.sighting.as_ref()
    }

    /// A query has to wait until partitions are open, or this node has the view in which it was asked.
    pub(super) fn wait(&mut self, query: Query) {
        if self.queries.len() >= WAITING_QUERIES {
            // Who asked asks again, or is told that it took too long.
            self.queries.pop_front();
        }
        self.queries.push_back(query);
    }

    pub(super) fn take_queries(&mut self) -> VecDeque<Query> {
        std::mem::take(&mut self.queries)
    }

    /// A node says where a user is. What is older than what is known is passed over.
    pub(super) fn see(&mut self, view: &View, partition: u16, user_id: &UserId, sighting: Sighting) {
        let Some(users) = self.partitions.get_mut(&partition) else { return };
        let watched = users.entry(user_id.clone()).or_default();
        if !is_newer(watched.sighting.as_ref(), &sighting) {
            return;
        }
        // It knows what it says.
        if let Some(known) = watched.watchers.get_mut(&sighting.node) {
            *known = Some((sighting.state, sighting.revision));
        }
        watched.sighting = Some(sighting);
        watched.is_gone = false;
        self.settle(view, partition, user_id);
    }

    /// No node has a user whose entry was removed under this revision.
    pub(super) fn see_no_more(&mut self, view: &View, partition: u16, user_id: &UserId, revision: u64) {
        let watched = self.partitions.get_mut(&partition).and_then(|users| users.get_mut(user_id));
        let Some(Watched { sighting: Some(sighting), is_gone, .. }) = watched else { return };
        if sighting.revision >= revision {
            return;
        }
        if sighting.state != PeerOnlineState::Offline {
            (sighting.state, sighting.revision) = (PeerOnlineState::Offline, revision);
        }
        *is_gone = true;
        self.settle(view, partition, user_id);
    }

    /// Somebody on a node watches a user. The node is told where that is.
    pub(super) fn watch(&mut self, view: &View, from: &NodeId, partition: u16, user_id: &UserId) {
        let Some(users) = self.partitions.get_mut(&partition) else { return };
        users.entry(user_id.clone()).or_default().watchers.insert(from.clone(), None);
        self.settle(view, partition, user_id);
    }

    pub(super) fn unwatch(&mut self, view: &View, from: &NodeId, partition: u16, user_id: &UserId) {
        let watched = self.partitions.get_mut(&partition).and_then(|users| users.get_mut(user_id));
        if let Some(watched) = watched {
            watched.watchers.remove(from);
            self.settle(view, partition, user_id);
        }
    }

    /// A node has said more of what it knows. Says whether partitions have opened.
    pub(super) fn page(
        &mut self,
        view: &View,
        from: &NodeId,
        epoch: u64,
        users: Vec<(u16, PagedUser)>,
        more: Option<Spot>,
    ) -> bool {
        if self.opening.as_ref().is_none_or(|opening| opening.epoch != epoch || !opening.members.contains_key(from)) {
            return false;
        }
        for (partition, PagedUser { user_id, here, watched }) in users {
            if !self.is_opening(partition) {
                continue;
            }
            let Some(users) = self.partitions.get_mut(&partition) else { continue };
            let spot_user = user_id.clone();
            let record = users.entry(user_id).or_default();
            if let Some(known) = watched {
                // What came in the meantime is not older.
                record.watchers.entry(from.clone()).or_insert(known);
            }
            if let Some((state, revision)) = here {
                if let Some(unconfirmed) = self.unconfirmed.get_mut(from) {
                    unconfirmed.remove(&(partition, spot_user.clone()));
                }
                let sighting = Sighting { state, revision, node: from.clone() };
                if is_newer(record.sighting.as_ref(), &sighting) {
                    record.sighting = Some(sighting);
                    record.is_gone = false;
                }
            }
        }
        let Some(opening) = &mut self.opening else { return false };
        match &more {
            Some(last) => {
                let partitions = opening.partitions.iter().copied().filter(|partition| *partition >= last.0).collect();
                self.out.push((from.clone(), PresenceParcel::Pull { epoch, partitions, after: Some(last.clone()) }));
                opening.members.insert(from.clone(), more);
            }
            None => {
                opening.members.remove(from);
                self.conclude_unconfirmed(from);
            }
        }
        self.open(view)
    }

    /// A node has said all that it knows: users that it did not name are there no more.
    fn conclude_unconfirmed(&mut self, node: &NodeId) {
        for (partition, user_id) in self.unconfirmed.remove(node).into_iter().flatten() {
            let watched = self.partitions.get_mut(&partition).and_then(|users| users.get_mut(&user_id));
            if let Some(Watched { sighting: Some(sighting), is_gone, .. }) = watched
                && sighting.node == *node
            {
                sighting.state = PeerOnlineState::Offline;
                *is_gone = true;
            }
        }
    }

    /// Opens the partitions of which all members have said what they know.
    fn open(&mut self, view: &View) -> bool {
        let Some(opening) = &mut self.opening else { return false };
        let first_open =
            opening.members.values().map(|last| last.as_ref().map_or(0, |(partition, _)| *partition)).min();
        let later = first_open.map_or_else(BTreeSet::new, |first| opening.partitions.split_off(&first));
        let opened = std::mem::replace(&mut opening.partitions, later);
        if opening.partitions.is_empty() {
            self.opening = None;
        }
        for partition in &opened {
            let users: Vec<_> =
                self.partitions.get(partition).into_iter().flat_map(|users| users.keys().cloned()).collect();
            users.iter().for_each(|user_id| self.settle(view, *partition, user_id));
        }
        !opened.is_empty()
    }

    /// Tells the nodes that watch a user what they do not know yet, and forgets a user that nobody needs.
    fn settle(&mut self, view: &View, partition: u16, user_id: &UserId) {
        if !self.is_open(partition) {
            return;
        }
        let Some(users) = self.partitions.get_mut(&partition) else { return };
        let Some(watched) = users.get_mut(user_id) else { return };
        watched.watchers.retain(|node, _| view.has(node));
        let present = watched.sighting.as_ref().map_or(NOWHERE, |sighting| (sighting.state, sighting.revision));
        for (node, known) in &mut watched.watchers {
            if known.replace(present) != Some(present) {
                let sighting = watched.sighting.clone();
                self.out.push((node.clone(), PresenceParcel::Told { user_id: user_id.clone(), sighting }));
            }
        }
        if (watched.is_gone || watched.sighting.is_none()) && watched.watchers.is_empty() {
            users.remove(user_id);
        }
    }

    /// Forgets what nobody needs of the partition after this one: users whom only a node had that left. Gives the partition,
    /// if there is one.
    pub(super) fn tidy(&mut self, view: &View, after: Option<u16>, is_over: impl Fn(&NodeId) -> bool) -> Option<u16> {
        let next = after.map_or(0, |after| after + 1);
        let (partition, users) = self.partitions.range_mut(next..).next()?;
        users.retain(|_, watched| {
            watched.watchers.retain(|node, _| view.has(node));
            let is_somewhere = watched.sighting.as_ref().is_some_and(|sighting| !is_over(&sighting.node));
            is_somewhere || !watched.watchers.is_empty()
        });
        Some(*partition)
    }
}

/// Whether a sighting says something that is not known. What one node says under one revision it says in order.
fn is_newer(known: Option<&Sighting>, sighting: &Sighting) -> bool {
    known.is_none_or(|known| {
        let is_later = sighting.revision > known.revision;
        is_later || (sighting.revision == known.revision && sighting.node == known.node && known != sighting)
    })
}

/// What a node knows that was told of no sighting.
const NOWHERE: (PeerOnlineState, u64) = (PeerOnlineState::Offline, 0);
/// So many queries wait.
const WAITING_QUERIES: usize = 1024;
