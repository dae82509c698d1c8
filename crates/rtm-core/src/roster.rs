//! What a node with members in a channel knows of those on other nodes, and how far messages between them have come.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Instant,
};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rtm_codec::{ChannelId, Event, GetMembers, SendChannelMessage, UserId};

use super::{
    arena::SessionKey,
    cluster::{FanOut, MemberChange, NodeId, Part, Said, Version, View},
    message_ids::Sent,
    notes::Asker,
};

/// The channels in which this node has members.
#[derive(Debug)]
pub(super) struct Rosters {
    by_channel: HashMap<ChannelId, Roster, FixedState>,
    by_partition: BTreeMap<u16, BTreeSet<ChannelId>>,
    /// No number of a message or change was higher in a channel that is forgotten.
    highest: u64,
}

/// One channel, seen from a node with members.
#[derive(Debug)]
pub(super) struct Roster {
    pub(super) partition: u16,
    pub(super) standing: Standing,
    /// The last change that came from the home.
    pub(super) version: Version,
    holders: BTreeMap<NodeId, Holder>,
    /// The number of this node's last change, and the last one that all others are to know.
    pub(super) change: u64,
    pub(super) settle: u64,
    /// The last one that the home has told.
    pub(super) told: u64,
    /// Whether the others know this node's members by name.
    pub(super) tells_names: bool,
    /// Calls that wait until all others know that this node has members.
    pub(super) waiting: Vec<Waiting>,
    /// The number of the last message from here, and the first without holes.
    pub(super) k: u64,
    pub(super) since: u64,
    /// Messages that other nodes may not have yet.
    open: BTreeMap<u64, OpenMessage>,
    /// What the home is to hear once all messages up to a number have come.
    owed: Vec<(Version, u64)>,
    /// The last message of each other node.
    pub(super) heard: BTreeMap<NodeId, u64>,
    /// Messages that are ahead of the changes that came.
    pub(super) early: VecDeque<Early>,
    pub(super) early_bytes: usize,
    /// Members that came from other nodes, and count there yet.
    pub(super) moving_in: BTreeSet<UserId>,
    /// Changes are missing, and the home was asked for them.
    pub(super) is_asking: bool,
}

/// How far the others know that a node has members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    /// It has none.
    Out,
    /// It has told the home.
    Asked,
    /// All know.
    Settled,
}

/// Another node with members.
#[derive(Debug, Default)]
pub(super) struct Holder {
    part: Part,
    /// The last message that was sent to it.
    pub(super) last: u64,
}

/// A call that waits.
#[derive(Debug)]
pub(super) enum Waiting {
    Join(Asker),
    Send(Asker, SendChannelMessage),
    Members(Asker, GetMembers),
}

impl Waiting {
    pub(super) fn asker(&self) -> Asker {
        match self {
            Self::Join(asker) | Self::Send(asker, _) | Self::Members(asker, _) => *asker,
        }
    }
}

/// A message that other nodes may not have yet.
#[derive(Debug)]
struct OpenMessage {
    nodes: usize,
    asker: Asker,
    sent: Sent,
}

/// A message that is ahead.
#[derive(Debug)]
pub(super) struct Early {
    pub(super) until: Instant,
    pub(super) from: NodeId,
    pub(super) fan_out: FanOut,
    pub(super) bytes: usize,
    /// Members that joined here after it had come. It is not for them: one may have had it in a stay before.
    pub(super) newcomers: Vec<SessionKey>,
}

impl Early {
    /// Who sent it.
    pub(super) fn sender(&self) -> Option<&UserId> {
        match &self.fan_out.event {
            Some(Event::ChannelMessage { member_id, .. }) => Some(member_id),
            _ => None,
        }
    }
}

/// A change of members that those on this node are told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum MemberNews {
    Joined(UserId),
    Left(UserId),
}

impl Rosters {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { by_channel: HashMap::with_hasher(hasher), by_partition: BTreeMap::new(), highest: 0 }
    }

    pub(super) fn get(&self, channel_id: &ChannelId) -> Option<&Roster> {
        self.by_channel.get(channel_id)
    }

    pub(super) fn get_mut(&mut self, channel_id: &ChannelId) -> Option<&mut Roster> {
        self.by_channel.get_mut(channel_id)
    }

    /// The roster of a channel, made if there is none.
    pub(super) fn intern(&mut self, channel_id: &ChannelId, partition: impl FnOnce() -> u16) -> &mut Roster {
        let (by_partition, highest) = (&mut self.by_partition, self.highest);
        self.by_channel.entry(channel_id.clone()).or_insert_with(|| {
            let partition = partition();
            by_partition.entry(partition).or_default().insert(channel_id.clone());
            Roster::new(partition, highest)
        })
    }

    /// Forgets a channel in which there is nothing more to do.
    pub(super) fn forget_if_over(&mut self, channel_id: &ChannelId) {
        let Some(roster) = self.by_channel.get(channel_id).filter(|roster| roster.is_over()) else { return };
        self.highest = self.highest.max(roster.k).max(roster.change);
        if let Some(channels) = self.by_partition.get_mut(&roster.partition) {
            channels.remove(channel_id);
            if channels.is_empty() {
                self.by_partition.remove(&roster.partition);
            }
        }
        self.by_channel.remove(channel_id);
    }

    pub(super) fn channels_of(&self, partition: u16) -> Vec<ChannelId> {
        self.by_partition.get(&partition).into_iter().flatten().cloned().collect()
    }

    pub(super) fn channels(&self) -> Vec<ChannelId> {
        self.by_partition.values().flatten().cloned().collect()
    }
}

impl Roster {
    fn new(partition: u16, highest: u64) -> Self {
        Self {
            partition,
            standing: Standing::Out,
            version: Version::default(),
            holders: BTreeMap::new(),
            change: highest,
            settle: 0,
            told: 0,
            tells_names: true,
            waiting: Vec::new(),
            k: highest,
            since: highest + 1,
            open: BTreeMap::new(),
            owed: Vec::new(),
            heard: BTreeMap::new(),
            early: VecDeque::new(),
            early_bytes: 0,
            moving_in: BTreeSet::new(),
            is_asking: false,
        }
    }

    fn is_over(&self) -> bool {
        self.standing == Standing::Out && self.open.is_empty() && self.owed.is_empty() && self.early.is_empty()
    }

    /// This node has no members any more.
    pub(super) fn leave(&mut self) {
        self.standing = Standing::Out;
        self.version = Version::default();
        self.holders.clear();
        self.heard.clear();
        self.moving_in.clear();
        self.tells_names = true;
        self.is_asking = false;
    }

    /// How many members there are on other nodes.
    pub(super) fn elsewhere(&self) -> u32 {
        let all = self.holders.values().fold(0_u32, |sum, holder| sum.saturating_add(holder.part.count));
        all.saturating_sub(u32::try_from(self.moving_in.len()).unwrap_or(u32::MAX))
    }

    /// The members on other nodes by name, as far as they are known.
    pub(super) fn names(&self) -> impl Iterator<Item = &UserId> {
        let names = self.holders.values().flat_map(|holder| holder.part.names.iter().flatten());
        names.filter(|user_id| !self.moving_in.contains(*user_id))
    }

    /// The other nodes with members.
    pub(super) fn holders_mut(&mut self) -> impl Iterator<Item = (&NodeId, &mut Holder)> {
        self.holders.iter_mut()
    }

    /// The last change of a node that came by way of the home.
    pub(super) fn change_of(&self, node: &NodeId) -> u64 {
        self.holders.get(node).map_or(0, |holder| holder.part.change)
    }

    /// Takes in a change of another node's members. Gives what is news of it.
    pub(super) fn take_in(&mut self, node: &NodeId, said: &Said) -> Vec<MemberNews> {
        let before: Option<BTreeSet<UserId>> =
            matches!(said.what, MemberChange::All(_)).then(|| self.names().cloned().collect());
        if let MemberChange::MovedIn { user_id, from } = &said.what {
            self.move_away(user_id, from);
        }
        let heard = &mut self.heard;
        let holder = self.holders.entry(node.clone()).or_insert_with(|| {
            // All that it sends from now on comes here, so that a member that moves misses what has not.
            heard.entry(node.clone()).or_insert(0);
            Holder { part: Part { names: Some(BTreeSet::new()), ..Part::default() }, last: 0 }
        });
        holder.part.apply(said);
        if said.count == 0 {
            self.holders.remove(node);
        }
        match (&said.what, before) {
            (MemberChange::Joined(user_id), _) => vec![MemberNews::Joined(user_id.clone())],
            (MemberChange::Left(user_id), _) => vec![MemberNews::Left(user_id.clone())],
            (_, Some(before)) => self.difference(&before),
            _ => Vec::new(),
        }
    }

    /// A member that counted on this node counts elsewhere from now on. The node may have others of which the home has not
    /// heard: it gets messages until it says that it has none.
    pub(super) fn move_away(&mut self, user_id: &UserId, from: &NodeId) {
        if let Some(holder) = self.holders.get_mut(from) {
            holder.part.move_away(user_id);
        }
    }

    /// Takes in all members on other nodes. Gives what is news of it.
    pub(super) fn take_snapshot(&mut self, version: Version, parts: Vec<(NodeId, Part)>) -> Vec<MemberNews> {
        let before: BTreeSet<UserId> = self.names().cloned().collect();
        self.version = version;
        self.is_asking = false;
        let old = std::mem::take(&mut self.holders);
        for (node, part) in parts {
            let last = old.get(&node).map_or(0, |holder| holder.last);
            self.holders.insert(node, Holder { part, last });
        }
        let holders = &self.holders;
        self.moving_in.retain(|user_id| holders.values().any(|holder| holder.part.has(user_id)));
        self.difference(&before)
    }

    /// Nodes that left have no members any more. Gives what is news of it.
    pub(super) fn leave_behind(&mut self, view: &View) -> Vec<MemberNews> {
        let gone: Vec<NodeId> = self.holders.keys().filter(|node| !view.has(node)).cloned().collect();
        let mut news = Vec::new();
        for node in gone {
            self.heard.remove(&node);
            if let Some(holder) = self.holders.remove(&node) {
                let left = holder.part.names.into_iter().flatten();
                news.extend(left.filter(|name| !self.moving_in.remove(name)).map(MemberNews::Left));
            }
        }
        news
    }

    fn difference(&self, before: &BTreeSet<UserId>) -> Vec<MemberNews> {
        let after: BTreeSet<UserId> = self.names().cloned().collect();
        let left = before.difference(&after).cloned().map(MemberNews::Left);
        left.chain(after.difference(before).cloned().map(MemberNews::Joined)).collect()
    }

    /// Whether something waits until all others know a change of this node.
    pub(super) fn awaits_settling(&self) -> bool {
        self.standing == Standing::Asked || !self.waiting.is_empty()
    }

    /// Whether a session waits to be a member.
    pub(super) fn is_to_join(&self, key: SessionKey) -> bool {
        self.waiting.iter().any(|waiting| matches!(waiting, Waiting::Join(asker) if asker.session == key))
    }

    /// Calls of a session that wait.
    pub(super) fn take_waiting(&mut self, key: SessionKey) -> Vec<Waiting> {
        self.waiting.extract_if(.., |waiting| waiting.asker().session == key).collect()
    }

    /// A message goes out to so many nodes.
    pub(super) fn open(&mut self, k: u64, nodes: usize, asker: Asker, sent: Sent) {
        self.open.insert(k, OpenMessage { nodes, asker, sent });
    }

    /// A node has a message, or will never have it. Gives who waits, if that was the last one.
    pub(super) fn settle_message(&mut self, k: u64) -> Option<(Asker, Sent)> {
        let message = self.open.get_mut(&k)?;
        message.nodes = message.nodes.saturating_sub(1);
        if message.nodes > 0 {
            return None;
        }
        self.open.remove(&k).map(|message| (message.asker, message.sent))
    }

    /// Whether messages are on their way to other nodes.
    pub(super) fn is_open(&self) -> bool {
        !self.open.is_empty()
    }

    /// Whether a message of a session is on its way.
    pub(super) fn is_sending(&self, key: SessionKey) -> bool {
        self.open.values().any(|message| message.asker.session == key)
    }

    /// The home is to hear that this version is known, once all messages so far have come.
    pub(super) fn owe(&mut self, version: Version) {
        self.owed.push((version, self.k));
    }

    /// What the home may hear now.
    pub(super) fn take_owed(&mut self) -> Vec<Version> {
        let oldest = self.open.first_key_value().map_or(u64::MAX, |(k, _)| *k);
        self.owed.extract_if(.., |(_, k)| *k < oldest).map(|(version, _)| version).collect()
    }
}
