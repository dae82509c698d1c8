//! Attributes of channels over several nodes: the store decides which write is next, and each node has what it was told
//! last. It reads from that, as a single server does, and tells its own members.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{ChannelAttributes, ChannelId, Revision};

use super::{
    Core, Now,
    attributes::{SizedAttributes, attribute_bytes},
    cluster::{ChannelParcel, ChannelWord, NodeId, ProjectParcel},
    notes::Asker,
};

/// What the store told of a channel, before the node that wrote it.
#[derive(Debug)]
pub(super) struct Adopted {
    revision: Revision,
    /// The channel had members here, who were not told.
    has_members: bool,
    /// Nobody is awaited to tell it any more.
    until: Instant,
}

impl Core {
    /// The store has these attributes of a channel, whoever wrote them. What is not newer than what this core knows is passed
    /// over, so they may come late, twice and in any order. Members are told when the node that wrote them says whether they are
    /// to be, or when that has not come for some seconds: the node may be gone, or may not know that they were written.
    pub fn handle_kept_attributes(&mut self, now: Now, channel_id: &ChannelId, value: ChannelAttributes) {
        let now = self.time(now);
        // What was on its way does not bring a channel back that was forgotten.
        let is_forgotten =
            self.attributes_of_channel(channel_id).is_none() && value.revision <= self.writes.forgotten_revision();
        if self.edge.is_some() && !is_forgotten {
            self.adopt_attributes(now, channel_id, Some(value));
        }
        self.hub.close_overfull(now);
    }

    /// The store has new attributes of a channel: all other nodes are told, and whoever wrote them is answered when all
    /// of those have them.
    pub(super) fn tell_attributes(
        &mut self,
        asker: Asker,
        channel_id: &ChannelId,
        value: &ChannelAttributes,
        notify: bool,
    ) {
        let others = self.other_nodes();
        let Some(edge) = &mut self.edge else { return };
        let epoch = edge.view.epoch();
        for node in &others {
            let word = ChannelWord::Attributes { value: value.clone(), notify };
            let parcel = ChannelParcel { channel_id: channel_id.clone(), epoch, word };
            edge.post_attributes(node, ProjectParcel::Channel(Box::new(parcel)), asker);
        }
        if let Some(session) = self.hub.sessions.get_mut(asker.session) {
            others.iter().for_each(|_| session.requests.promise(asker.request));
        }
        self.note_written(channel_id, notify);
    }

    /// The store has something of a channel that nobody has told: who wrote it may be gone.
    pub(super) fn adopt_attributes(&mut self, now: Now, channel_id: &ChannelId, kept: Option<ChannelAttributes>) {
        match kept {
            Some(value) if !self.knows_newer_attributes(channel_id, value.revision) => {
                self.await_writer(now, channel_id, value.revision);
                let bytes = bytes_of(&value);
                self.put_channel_attributes(now, channel_id, value, bytes, false);
            }
            Some(_) => {}
            None => {
                let known = self.attributes_of_channel(channel_id).map(|known| known.value().revision);
                self.attributes_gone(now, channel_id, known.unwrap_or_default());
            }
        }
    }

    /// The node that wrote these attributes is yet to say whether members are told.
    fn await_writer(&mut self, now: Now, channel_id: &ChannelId, revision: Revision) {
        let channel = self.channels.find(channel_id).and_then(|key| self.channels.get(key));
        let has_members = channel.is_some_and(|channel| !channel.members.is_empty());
        let Some(edge) = &mut self.edge else { return };
        let until = now.instant + TOLD_WITHIN;
        let overdue = if edge.adopted.len() < WRITTEN { None } else { edge.adopted.pop_first() };
        edge.adopted.insert(channel_id.clone(), Adopted { revision, has_members, until });
        if has_members {
            self.arm_edge(until);
        }
        if let Some((overdue, adopted)) = overdue {
            self.writer_is_silent(&overdue, &adopted);
        }
    }

    /// Tells members what the store told a while ago, and no node since.
    pub(super) fn look_at_adopted(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let (overdue, awaited): (BTreeMap<_, _>, _) =
            std::mem::take(&mut edge.adopted).into_iter().partition(|(_, adopted)| adopted.until <= now.instant);
        edge.adopted = awaited;
        for (channel_id, adopted) in overdue {
            self.writer_is_silent(&channel_id, &adopted);
        }
    }

    /// Whether members were to be told is not known: too much is better than too little.
    fn writer_is_silent(&mut self, channel_id: &ChannelId, adopted: &Adopted) {
        if adopted.has_members {
            self.tell_members_attributes(channel_id);
        }
    }

    fn note_written(&mut self, channel_id: &ChannelId, notify: bool) {
        if let Some(edge) = &mut self.edge {
            edge.written.push_back((channel_id.clone(), notify));
            if edge.written.len() > WRITTEN {
                edge.written.pop_front();
            }
        }
    }

    /// Tells a node what this one wrote last: it may not have heard it.
    pub(super) fn tell_written_attributes(&mut self, node: &NodeId) {
        let Some(edge) = &self.edge else { return };
        let written: BTreeMap<ChannelId, bool> = edge.written.iter().cloned().collect();
        for (channel_id, notify) in written {
            let word = match self.attributes_of_channel(&channel_id) {
                Some(known) => ChannelWord::Attributes { value: known.value().clone(), notify },
                None => ChannelWord::Forgotten { revision: self.writes.forgotten_revision() },
            };
            if let Some(edge) = &mut self.edge {
                edge.tell_of(node, &channel_id, word);
            }
        }
    }

    pub(super) fn other_nodes(&self) -> Vec<NodeId> {
        let Some(edge) = &self.edge else { return Vec::new() };
        edge.view.members().iter().map(|member| &member.id).filter(|id| **id != edge.node).cloned().collect()
    }

    fn tell_all_nodes(&mut self, channel_id: &ChannelId, word: &ChannelWord) {
        let others = self.other_nodes();
        let Some(edge) = &mut self.edge else { return };
        for node in others {
            edge.tell_of(&node, channel_id, word.clone());
        }
    }

    fn attributes_of_channel(&self, channel_id: &ChannelId) -> Option<&SizedAttributes> {
        self.channels.get(self.channels.find(channel_id)?)?.attributes.as_deref()
    }

    /// Whether these attributes, or newer ones, are known here.
    pub(super) fn knows_newer_attributes(&self, channel_id: &ChannelId, revision: Revision) -> bool {
        self.attributes_of_channel(channel_id).is_some_and(|known| known.value().revision >= revision)
    }

    /// Whether the store has told that it has exactly these attributes.
    pub(super) fn has_heard_of(&self, channel_id: &ChannelId, value: &ChannelAttributes) -> bool {
        self.edge.is_some() && self.attributes_of_channel(channel_id).is_some_and(|known| known.value() == value)
    }

    /// Another node tells what the store has. What has a lower revision than what was told before is passed over.
    pub(super) fn attributes_told(&mut self, now: Now, channel_id: &ChannelId, value: ChannelAttributes, notify: bool) {
        let adopted = self.edge.as_mut().and_then(|edge| edge.adopted.remove(channel_id));
        if !self.knows_newer_attributes(channel_id, value.revision) {
            if value.revision > Revision(0) {
                let bytes = bytes_of(&value);
                self.put_channel_attributes(now, channel_id, value, bytes, notify);
            }
        } else if let Some(adopted) = adopted {
            // The store told as much or more already, but the members were not told.
            if notify && value.revision <= adopted.revision {
                self.tell_members_attributes(channel_id);
            } else if value.revision < adopted.revision
                && let Some(edge) = &mut self.edge
            {
                edge.adopted.insert(channel_id.clone(), adopted);
            }
        }
    }

    /// Whether a channel may be forgotten here: only its home knows that nobody is in it anywhere.
    pub(super) fn may_forget(&self, channel_id: &ChannelId) -> bool {
        let number = self.partition_of(channel_id);
        self.edge.as_ref().is_none_or(|edge| edge.homes.count(number, channel_id) == Some(0))
    }

    /// Nobody is in a channel any more, says its home, which is this node.
    pub(super) fn channel_is_empty(&mut self, now: Now, channel_id: &ChannelId) {
        let Some(key) = self.channels.find(channel_id) else { return };
        if let Some(channel) = self.channels.get_mut(key) {
            channel.empty_since = now.instant;
        }
        self.tidy_channel(now, key);
    }

    /// This node forgets a channel: all others do so too.
    pub(super) fn tell_forgotten(&mut self, channel_id: &ChannelId, revision: Revision) {
        self.tell_all_nodes(channel_id, &ChannelWord::Forgotten { revision });
        self.note_written(channel_id, false);
    }

    /// The home of a channel has forgotten it.
    pub(super) fn attributes_gone(&mut self, now: Now, channel_id: &ChannelId, revision: Revision) {
        let Some(key) = self.channels.find(channel_id) else { return self.attributes_forgotten(0, revision) };
        let known = self
            .channels
            .get_mut(key)
            .and_then(|channel| channel.attributes.take_if(|attributes| attributes.value().revision <= revision));
        self.attributes_forgotten(known.map_or(0, |known| known.bytes()), revision);
        self.tidy_channel(now, key);
    }
}

fn bytes_of(value: &ChannelAttributes) -> usize {
    let texts = value.attributes.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect();
    attribute_bytes(&texts)
}

/// So many channels are told again.
const WRITTEN: usize = 1024;

/// A node that has written attributes tells the others within this, if it lives and knows that it has.
const TOLD_WITHIN: Duration = Duration::from_secs(5);
