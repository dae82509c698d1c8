//! Attributes of channels over several nodes: the store decides which write is next, and each node has what it was told
//! last. It reads from that, as a single server does, and tells its own members.

use std::collections::BTreeMap;

use rtm_codec::{ChannelAttributes, ChannelId, Revision};

use super::{
    Core, Now,
    attributes::{SizedAttributes, attribute_bytes},
    cluster::{ChannelWord, NodeId},
};

impl Core {
    /// The store has new attributes of a channel: all other nodes are told.
    pub(super) fn tell_attributes(&mut self, channel_id: &ChannelId, value: &ChannelAttributes, notify: bool) {
        self.tell_all_nodes(channel_id, &ChannelWord::Attributes { value: value.clone(), notify });
        self.note_written(channel_id, notify);
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

    fn tell_all_nodes(&mut self, channel_id: &ChannelId, word: &ChannelWord) {
        let Some(edge) = &mut self.edge else { return };
        let others = edge.view.members().iter().filter(|member| member.id != edge.node);
        let others: Vec<NodeId> = others.map(|member| member.id.clone()).collect();
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

    /// Another node tells what the store has. What has a lower revision than what was told before is passed over.
    pub(super) fn attributes_told(&mut self, now: Now, channel_id: &ChannelId, value: ChannelAttributes, notify: bool) {
        if !self.knows_newer_attributes(channel_id, value.revision) && value.revision > Revision(0) {
            let texts =
                value.attributes.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect();
            self.put_channel_attributes(now, channel_id.clone(), value, attribute_bytes(&texts), notify);
        }
        self.write_again(now, channel_id);
    }

    /// A write of this node conflicts with one that it has not heard of.
    pub(super) fn ask_for_channel_attributes(&mut self, channel_id: &ChannelId) {
        self.tell_all_nodes(channel_id, &ChannelWord::TellAttributes);
    }

    pub(super) fn asked_for_channel_attributes(&mut self, from: &NodeId, channel_id: &ChannelId) {
        let Some(value) = self.attributes_of_channel(channel_id).map(|known| known.value().clone()) else { return };
        if let Some(edge) = &mut self.edge {
            edge.tell_of(from, channel_id, ChannelWord::Attributes { value, notify: false });
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

/// So many channels are told again.
const WRITTEN: usize = 1024;
