//! The home of channels: what it knows of their members on all nodes, and what it tells of them.

use std::collections::{BTreeMap, BTreeSet};

use rtm_codec::{ChannelId, UserId};

use super::cluster::{ChannelWord, HeldChannel, MemberChange, NodeId, PROTO_OF_LAST_MOVED, Part, Said, Version, View};

/// The partitions of which this node is the home.
#[derive(Debug, Default)]
pub(super) struct Homes {
    partitions: BTreeMap<u16, HomePartition>,
    /// Nodes of an older version: they do not say that their last member has moved away.
    silent: BTreeSet<NodeId>,
}

/// Something to say to a node about a channel.
pub(super) type Saying = (NodeId, ChannelId, ChannelWord);

#[derive(Debug)]
struct HomePartition {
    /// The epoch in which this node became its home.
    term: u64,
    /// Whose members in it are not known yet. While there are some, nothing is told.
    awaited: BTreeSet<NodeId>,
    is_pulled: bool,
    channels: BTreeMap<ChannelId, Home>,
}

/// A channel with members.
#[derive(Debug, Default)]
struct Home {
    n: u64,
    parts: BTreeMap<NodeId, Part>,
    /// Nodes whose last members have gone, each with the number of that change. Messages from them may still be on their way.
    leaving: BTreeMap<NodeId, u64>,
    unsettled: Vec<Unsettled>,
    /// Members that may have moved, by the node that they moved from.
    moving: Vec<(NodeId, UserId)>,
    /// Silent nodes whose last known member has moved away, and the number of that change. Once such a node knows it, all that it
    /// had said before of others has come.
    asked: BTreeMap<NodeId, (u64, UserId)>,
}

/// A change that all nodes with members have to know.
#[derive(Debug)]
struct Unsettled {
    n: u64,
    /// Whose change.
    node: NodeId,
    change: u64,
    /// Who does not know it yet.
    awaited: BTreeSet<NodeId>,
}

impl Homes {
    /// The members of the cluster are these. Nodes that left have no members any more: each node concludes that by itself.
    pub(super) fn set_view(&mut self, view: &View, me: &NodeId) -> Vec<Saying> {
        let mine: BTreeSet<u16> = view.partitions_of(me).collect();
        self.partitions.retain(|number, _| mine.contains(number));
        let older = view.members().iter().filter(|member| member.proto < PROTO_OF_LAST_MOVED);
        self.silent = older.map(|member| member.id.clone()).collect();
        let mut sayings = Vec::new();
        for number in mine {
            let partition = self.partitions.entry(number).or_insert_with(|| HomePartition {
                term: view.epoch(),
                awaited: view.members().iter().map(|member| member.id.clone()).collect(),
                is_pulled: false,
                channels: BTreeMap::new(),
            });
            let was_open = partition.awaited.is_empty();
            partition.awaited.retain(|node| view.has(node));
            for (channel_id, home) in &mut partition.channels {
                home.parts.retain(|node, _| view.has(node));
                home.leaving.retain(|node, _| view.has(node));
                home.asked.retain(|node, _| view.has(node));
                home.unsettled.retain(|unsettled| view.has(&unsettled.node));
                home.unsettled.iter_mut().for_each(|unsettled| unsettled.awaited.retain(|node| view.has(node)));
                if was_open {
                    home.settle(channel_id, &mut sayings);
                }
            }
            partition.channels.retain(|_, home| !home.is_over() || !home.moving.is_empty());
            if !was_open {
                partition.open_if_known(&self.silent, &mut sayings);
            }
        }
        sayings
    }

    /// What a node said may be missing: it is asked for its members anew, and everybody is told what comes of it.
    pub(super) fn pull_again(&mut self, node: &NodeId) {
        for partition in self.partitions.values_mut() {
            partition.awaited.insert(node.clone());
            partition.is_pulled = false;
            for home in partition.channels.values_mut() {
                home.parts.remove(node);
                home.leaving.remove(node);
                home.asked.remove(node);
                home.moving.retain(|(other, _)| other != node);
            }
        }
    }

    /// What was asked of a node may not have come there.
    pub(super) fn ask_again(&mut self, node: &NodeId) {
        for partition in self.partitions.values_mut().filter(|partition| partition.awaited.contains(node)) {
            partition.is_pulled = false;
        }
    }

    /// The next partitions to ask all nodes about, and for which term.
    pub(super) fn next_pull(&mut self) -> Option<(u64, Vec<u16>)> {
        let is_open = |partition: &HomePartition| partition.awaited.is_empty();
        let under_way = self.partitions.values().filter(|it| !is_open(it) && it.is_pulled).count();
        let mut to_pull = self.partitions.iter_mut().filter(|(_, it)| !is_open(it) && !it.is_pulled).peekable();
        let term = to_pull.peek()?.1.term;
        let mut numbers = Vec::new();
        for (number, partition) in to_pull.filter(|(_, it)| it.term == term) {
            if under_way + numbers.len() >= PULLED_AT_ONCE {
                break;
            }
            partition.is_pulled = true;
            numbers.push(*number);
        }
        Some((term, numbers)).filter(|(_, numbers)| !numbers.is_empty())
    }

    /// A node says in which channels it has members.
    pub(super) fn take_held(
        &mut self,
        from: &NodeId,
        term: u64,
        channels: Vec<(u16, HeldChannel)>,
        done: &[u16],
    ) -> Vec<Saying> {
        for (number, held) in channels {
            let partition = self.partitions.get_mut(&number);
            let awaits = |it: &&mut HomePartition| it.term == term && it.awaited.contains(from);
            let Some(partition) = partition.filter(awaits) else { continue };
            let home = partition.channels.entry(held.channel_id).or_default();
            if let Some(change) = held.settle {
                home.await_settled(from, change);
            }
            home.moving.extend(held.moving.into_iter().map(|user_id| (from.clone(), user_id)));
            home.parts.insert(from.clone(), held.part);
        }
        let mut sayings = Vec::new();
        for number in done {
            let Some(partition) = self.partitions.get_mut(number).filter(|it| it.term == term) else { continue };
            if partition.awaited.remove(from) {
                partition.open_if_known(&self.silent, &mut sayings);
            }
        }
        sayings
    }

    /// A node tells a change of its members. Before it has said which it had, that is in what it will say.
    pub(super) fn say(&mut self, number: u16, channel_id: &ChannelId, from: &NodeId, said: &Said) -> Vec<Saying> {
        let Some(partition) = self.partitions.get_mut(&number) else { return Vec::new() };
        if let MemberChange::MovedIn { user_id, from: old } = &said.what
            && !partition.awaited.is_empty()
        {
            // What the node says that it came from may be older.
            let home = partition.channels.entry(channel_id.clone()).or_default();
            home.moving.retain(|(node, moving)| node != from || moving != user_id);
            home.moving.push((old.clone(), user_id.clone()));
        }
        if partition.awaited.contains(from) {
            return Vec::new();
        }
        let (term, is_open) = (partition.term, partition.awaited.is_empty());
        let home = partition.channels.entry(channel_id.clone()).or_default();
        let mut told: BTreeSet<NodeId> = home.parts.keys().cloned().collect();
        let is_new = home.parts.get(from).is_none_or(|part| part.count == 0);
        home.apply(from, said);
        if home.parts.contains_key(from) {
            home.leaving.remove(from);
        } else if told.remove(from) {
            home.leaving.insert(from.clone(), home.n + 1);
        }
        if !is_open {
            if said.settle {
                home.await_settled(from, said.change);
            }
            return Vec::new();
        }
        home.n += 1;
        let version = Version { term, n: home.n };
        let mut sayings: Vec<Saying> = Vec::new();
        for node in &told {
            let word = ChannelWord::Told { version, node: from.clone(), said: said.clone() };
            sayings.push((node.clone(), channel_id.clone(), word));
        }
        if is_new && home.parts.contains_key(from) {
            // One that left and is back may not have said what it knew before: it takes nothing in but this.
            let confirm = home.awaits(from);
            sayings.push((from.clone(), channel_id.clone(), home.snapshot(version, from, confirm)));
        }
        if let MemberChange::MovedIn { user_id, from: old } = &said.what
            && home.is_to_be_asked(old, &self.silent)
        {
            home.asked.insert(old.clone(), (home.n, user_id.clone()));
            sayings.push((old.clone(), channel_id.clone(), home.snapshot(version, old, true)));
        }
        // A node that has left is asked to say when all its messages have come: a snapshot that it is to confirm makes it do so.
        for (node, _) in home.leaving.iter().filter(|(_, n)| **n == home.n) {
            sayings.push((node.clone(), channel_id.clone(), home.snapshot(version, node, true)));
        }
        if said.settle {
            told.remove(from);
            if matches!(said.what, MemberChange::MovedIn { .. } | MemberChange::Joined(_)) {
                // Until all of these have answered, a message may come late to the member's old node or to its new one.
                told.extend(home.leaving.keys().filter(|node| *node != from).cloned());
            }
            home.unsettled.push(Unsettled { n: home.n, node: from.clone(), change: said.change, awaited: told });
            home.settle(channel_id, &mut sayings);
        }
        if home.is_over() {
            partition.channels.remove(channel_id);
        }
        sayings
    }

    /// A node knows the changes up to this one.
    pub(super) fn know(&mut self, number: u16, channel_id: &ChannelId, from: &NodeId, version: Version) -> Vec<Saying> {
        let mut sayings = Vec::new();
        let partition = self.partitions.get_mut(&number).filter(|it| it.term == version.term && it.awaited.is_empty());
        if let Some(home) = partition.and_then(|it| it.channels.get_mut(channel_id)) {
            let has_left = home.leaving.get(from).is_some_and(|n| *n <= version.n);
            for unsettled in home.unsettled.iter_mut().filter(|unsettled| has_left || unsettled.n <= version.n) {
                unsettled.awaited.remove(from);
            }
            if has_left {
                home.leaving.remove(from);
            }
            home.settle(channel_id, &mut sayings);
            if let Some((_, user_id)) = home.asked.get(from).filter(|(n, _)| *n <= version.n).cloned() {
                home.asked.remove(from);
                if let Some(part) = home.parts.get(from).filter(|part| part.count == 0) {
                    let what = MemberChange::MovedAway(user_id);
                    let said = Said { change: part.change, count: 0, what, settle: false };
                    sayings.extend(self.say(number, channel_id, from, &said));
                }
            }
        }
        if let Some(partition) = self.partitions.get_mut(&number)
            && partition.channels.get(channel_id).is_some_and(|home| home.is_over() && home.moving.is_empty())
        {
            partition.channels.remove(channel_id);
        }
        sayings
    }

    /// A node misses changes: it is told everything anew.
    pub(super) fn tell_anew(&mut self, number: u16, channel_id: &ChannelId, to: &NodeId) -> Vec<Saying> {
        let partition = self.partitions.get(&number).filter(|it| it.awaited.is_empty());
        let home = partition.and_then(|it| Some((it.term, it.channels.get(channel_id)?)));
        let Some((term, home)) = home.filter(|(_, home)| home.parts.contains_key(to)) else { return Vec::new() };
        let confirm = home.awaits(to);
        vec![(to.clone(), channel_id.clone(), home.snapshot(Version { term, n: home.n }, to, confirm))]
    }

    /// How many members a channel has; `None` as long as that is not known here.
    pub(super) fn count(&self, number: u16, channel_id: &ChannelId) -> Option<u32> {
        let partition = self.partitions.get(&number).filter(|it| it.awaited.is_empty())?;
        Some(partition.channels.get(channel_id).map_or(0, Home::count))
    }

    /// A node with members in a channel, if there is one; `None` as long as that is not known here.
    pub(super) fn holder(&self, number: u16, channel_id: &ChannelId) -> Option<Option<&NodeId>> {
        let partition = self.partitions.get(&number).filter(|it| it.awaited.is_empty())?;
        let home = partition.channels.get(channel_id);
        let mut parts = home.into_iter().flat_map(|home| &home.parts);
        Some(parts.find(|(_, part)| part.count > 0).map(|(node, _)| node))
    }

    /// Whether this node is the home of a partition.
    pub(super) fn has(&self, number: u16) -> bool {
        self.partitions.contains_key(&number)
    }
}

impl HomePartition {
    /// Tells everybody everything, once all nodes have said what they have.
    fn open_if_known(&mut self, silent: &BTreeSet<NodeId>, sayings: &mut Vec<Saying>) {
        if !self.awaited.is_empty() {
            return;
        }
        for (channel_id, home) in &mut self.channels {
            // A node whose last member has gone is told so, as all others are.
            let empty = home.parts.iter().filter(|(_, part)| part.count == 0).map(|(node, _)| (node.clone(), home.n));
            home.leaving.extend(empty);
            home.parts.retain(|_, part| part.count > 0);
            home.n += 1;
            for (from, user_id) in std::mem::take(&mut home.moving) {
                let has_come = home.parts.iter().any(|(node, part)| *node != from && part.has(&user_id));
                if has_come && let Some(part) = home.parts.get_mut(&from) {
                    part.move_away(&user_id);
                    if home.is_to_be_asked(&from, silent) {
                        home.asked.insert(from, (home.n, user_id));
                    }
                }
            }
            let version = Version { term: self.term, n: home.n };
            home.leaving.values_mut().for_each(|n| *n = home.n);
            let told: Vec<NodeId> = home.parts.keys().chain(home.leaving.keys()).cloned().collect();
            for unsettled in &mut home.unsettled {
                unsettled.n = home.n;
                unsettled.awaited = told.iter().filter(|node| **node != unsettled.node).cloned().collect();
            }
            let is_unsettled = !home.unsettled.is_empty();
            for node in &told {
                let confirm = is_unsettled || home.leaving.contains_key(node) || home.asked.contains_key(node);
                sayings.push((node.clone(), channel_id.clone(), home.snapshot(version, node, confirm)));
            }
            home.settle(channel_id, sayings);
        }
        self.channels.retain(|_, home| !home.is_over());
    }
}

impl Home {
    fn is_over(&self) -> bool {
        self.parts.is_empty() && self.leaving.is_empty() && self.unsettled.is_empty()
    }

    fn count(&self) -> u32 {
        self.parts.values().fold(0, |sum, part| sum.saturating_add(part.count))
    }

    fn apply(&mut self, from: &NodeId, said: &Said) {
        // A node of which no member is known any more may have others, and says so when it hears of this: until then it counts.
        if let MemberChange::MovedIn { user_id, from: old } = &said.what
            && let Some(part) = self.parts.get_mut(old)
        {
            part.move_away(user_id);
        }
        // Who knew nothing of a node knows all names of it from its first member on.
        let part =
            self.parts.entry(from.clone()).or_insert_with(|| Part { names: Some(BTreeSet::new()), ..Part::default() });
        part.apply(said);
        if said.count == 0 {
            self.parts.remove(from);
        }
    }

    /// The members on nodes other than this one.
    fn snapshot(&self, version: Version, to: &NodeId, confirm: bool) -> ChannelWord {
        let others = self.parts.iter().filter(|(node, _)| *node != to);
        let parts = others.map(|(node, part)| (node.clone(), part.clone())).collect();
        ChannelWord::Snapshot { version, parts, confirm }
    }

    /// Whether a node may have no members any more and will not say so unasked.
    fn is_to_be_asked(&self, node: &NodeId, silent: &BTreeSet<NodeId>) -> bool {
        silent.contains(node) && self.parts.get(node).is_some_and(|part| part.count == 0)
    }

    /// Whether a node is to say that it knows a change.
    fn awaits(&self, node: &NodeId) -> bool {
        self.unsettled.iter().any(|unsettled| unsettled.awaited.contains(node))
    }

    fn await_settled(&mut self, node: &NodeId, change: u64) {
        self.unsettled.retain(|unsettled| unsettled.node != *node);
        self.unsettled.push(Unsettled { n: 0, node: node.clone(), change, awaited: BTreeSet::new() });
    }

    /// Tells nodes that all others know their changes, where that is so.
    fn settle(&mut self, channel_id: &ChannelId, sayings: &mut Vec<Saying>) {
        for done in self.unsettled.extract_if(.., |unsettled| unsettled.awaited.is_empty()) {
            sayings.push((done.node, channel_id.clone(), ChannelWord::Settled { change: done.change }));
        }
    }
}

/// So many partitions are asked for at a time: what a node has in them is said in a few milliseconds.
const PULLED_AT_ONCE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::{Change, NodeName, PROTO};

    fn id(name: &str) -> NodeId {
        NodeId { name: NodeName::new(name).unwrap(), incarnation: 1 }
    }

    fn user(name: &str) -> UserId {
        UserId::new(name).unwrap()
    }

    fn said(change: u64, count: u32, what: MemberChange) -> Said {
        Said { change, count, what, settle: false }
    }

    /// The version that a home asks a node to confirm.
    fn asked_of(node: &NodeId, sayings: &[Saying]) -> Option<Version> {
        sayings.iter().filter(|(to, ..)| to == node).find_map(|(.., word)| match word {
            ChannelWord::Snapshot { version, confirm: true, .. } => Some(*version),
            _ => None,
        })
    }

    /// How many members the home says that a node has.
    fn told_of(node: &NodeId, sayings: &[Saying]) -> Vec<(NodeId, u32)> {
        let told = sayings.iter().filter_map(|(to, _, word)| match word {
            ChannelWord::Told { node: of, said, .. } if of == node => Some((to.clone(), said.count)),
            _ => None,
        });
        told.collect()
    }

    /// A channel with Alice on a node of this version and Carol on a new one, to which Alice moves after the node has said this.
    struct Moved {
        homes: Homes,
        number: u16,
        /// What the home says of the move.
        sayings: Vec<Saying>,
    }

    impl Moved {
        fn from(proto: u16, more: Option<Said>) -> Self {
            let [home, old, new] = ["home", "old", "new"].map(id);
            let join = |node: &NodeId, proto| Change::Join(node.clone(), proto, 1);
            let view = View::empty(0).next(&[join(&home, PROTO)]).next(&[join(&old, proto), join(&new, PROTO)]);
            let number = view.partitions_of(&home).next().unwrap();
            let mut homes = Homes::default();
            homes.set_view(&view, &home);
            for node in [&home, &old, &new] {
                homes.take_held(node, view.epoch(), Vec::new(), &[number]);
            }
            let mut moved = Self { homes, number, sayings: Vec::new() };
            moved.say(&old, &said(1, 1, MemberChange::Joined(user("alice"))));
            moved.say(&new, &said(1, 1, MemberChange::Joined(user("carol"))));
            if let Some(said) = more {
                moved.say(&old, &said);
            }
            moved.sayings = moved.say(&new, &said(2, 2, MemberChange::MovedIn { user_id: user("alice"), from: old }));
            moved
        }

        fn say(&mut self, from: &NodeId, said: &Said) -> Vec<Saying> {
            self.homes.say(self.number, &room(), from, said)
        }

        fn know(&mut self, from: &NodeId, version: Version) -> Vec<Saying> {
            self.homes.know(self.number, &room(), from, version)
        }
    }

    fn room() -> ChannelId {
        ChannelId::new("room").unwrap()
    }

    #[test]
    fn an_older_node_whose_last_member_has_moved_is_asked_and_then_has_none() {
        let (old, new) = (id("old"), id("new"));
        let mut moved = Moved::from(PROTO_BEFORE, None);
        let version = asked_of(&old, &moved.sayings).unwrap();
        let earlier = Version { n: version.n - 1, ..version };
        assert!(moved.know(&old, earlier).is_empty(), "it does not know of it yet");
        let sayings = moved.know(&old, version);
        assert_eq!(told_of(&old, &sayings), [(new.clone(), 0)]);
        moved.say(&new, &said(3, 0, MemberChange::All(Some(BTreeSet::new()))));
        let last = Version { n: u64::MAX, ..version };
        [&old, &new].into_iter().for_each(|node| drop(moved.know(node, last)));
        assert!(moved.homes.partitions[&moved.number].channels.is_empty(), "nothing is left of the channel");
    }

    #[test]
    fn an_older_node_that_has_another_member_stays_one_with_members() {
        let old = id("old");
        let mut moved = Moved::from(PROTO_BEFORE, None);
        let version = asked_of(&old, &moved.sayings).unwrap();
        moved.say(&old, &said(2, 1, MemberChange::Joined(user("bob"))));
        assert!(moved.know(&old, version).is_empty());
        assert_eq!(moved.homes.count(moved.number, &room()), Some(3));

        let moved = Moved::from(PROTO_BEFORE, Some(said(2, 2, MemberChange::Joined(user("bob")))));
        assert_eq!(asked_of(&old, &moved.sayings), None, "another one is known");
    }

    #[test]
    fn a_node_of_this_version_says_itself_that_its_last_member_has_moved() {
        let moved = Moved::from(PROTO, None);
        assert_eq!(asked_of(&id("old"), &moved.sayings), None);
    }

    const PROTO_BEFORE: u16 = PROTO_OF_LAST_MOVED - 1;
}
