//! Writes to the attributes of channels: the store has each before anybody can see it, one after the other in each
//! channel. And what is left of channels that are forgotten: a revision that none of them has passed.

use std::collections::{BTreeMap, VecDeque};

use rtm_codec::{Answer, ChannelAttributeTarget, ChannelAttributes, ChannelId, ErrorKind, Refusal, Revision, UserId};

use super::{
    Core, Now, StateKey, StateValue, StoreWork,
    arena::SessionKey,
    attributes::{Edit, Kept, SizedAttributes, Written},
    channel::too_many_channels,
    jobs::Waiting,
    notes::Asker,
};

/// The writes that the store has not kept yet.
#[derive(Debug, Default)]
pub(super) struct AttributeWrites {
    /// For each channel of which the store is keeping something, the writes that wait for that.
    waiting: BTreeMap<ChannelId, VecDeque<Write>>,
    /// What the values count for that the store is keeping.
    bytes: usize,
    forgotten: Forgotten,
}

/// A write that waits for its turn.
#[derive(Debug, Clone)]
struct Write {
    asker: Asker,
    writer: UserId,
    notify: bool,
    expected: Option<Revision>,
    edit: Edit,
    answer: fn(Revision) -> Answer,
}

/// A channel that comes back goes on from a revision that it never had: a write that expects an old one must not win.
#[derive(Debug, Default)]
struct Forgotten {
    /// The highest of all forgotten channels.
    revision: Revision,
    /// The one that the store has.
    kept: Revision,
    is_keeping: bool,
    /// Channels that the store forgets when it has the revision.
    channels: Vec<ChannelId>,
}

impl AttributeWrites {
    /// Whether the store is keeping attributes of a channel.
    pub(super) fn is_busy(&self, channel_id: &ChannelId) -> bool {
        self.waiting.contains_key(channel_id)
    }

    /// Whether a session waits for its turn.
    pub(super) fn concern(&self, key: SessionKey) -> bool {
        self.waiting.values().flatten().any(|write| write.asker.session == key)
    }

    /// The revision of a channel without attributes.
    pub(super) fn forgotten_revision(&self) -> Revision {
        self.forgotten.revision
    }

    /// Nobody waits for a write any more, and nothing is to be deleted.
    pub(super) fn forget(&mut self) {
        let Forgotten { revision, kept, .. } = self.forgotten;
        *self = Self { forgotten: Forgotten { revision, kept, ..Forgotten::default() }, ..Self::default() };
    }

    /// What the store has kept before the core began.
    pub(super) fn restore_forgotten(&mut self, revision: Revision) {
        let forgotten = &mut self.forgotten;
        (forgotten.revision, forgotten.kept) = (forgotten.revision.max(revision), forgotten.kept.max(revision));
    }
}

impl Core {
    /// Anybody who is logged in may write to any channel.
    pub(super) fn write_channel_attributes(
        &mut self,
        now: Now,
        asker: Asker,
        target: ChannelAttributeTarget,
        edit: Edit,
        answer: fn(Revision) -> Answer,
    ) -> Option<Result<Answer, Refusal>> {
        let ChannelAttributeTarget { channel_id, notify, expected_revision: expected } = target;
        let abilities = self.hub.sessions.get(asker.session)?.terms.abilities();
        if let Err(refusal) = edit.check(abilities).and_then(|()| self.jobs.check_room()) {
            return Some(Err(refusal));
        }
        let writer = self.user_id_of(asker.session)?;
        let write = Write { asker, writer, notify, expected, edit, answer };
        if let Some(waiting) = self.writes.waiting.get_mut(&channel_id) {
            waiting.push_back(write);
            return None;
        }
        self.keep_attributes(now, channel_id, write).err().map(Err)
    }

    /// Has the store keep what a write makes of a channel's attributes.
    fn keep_attributes(&mut self, now: Now, channel_id: ChannelId, write: Write) -> Result<(), Refusal> {
        let expected = write.expected;
        let old = self.channels.find(&channel_id).and_then(|key| self.channels.get(key)?.attributes.as_deref());
        let revision = old.map_or(self.writes.forgotten.revision, |old| old.value().revision);
        if expected.is_some_and(|expected| expected != revision) {
            return Err(ErrorKind::RevisionConflict.into());
        }
        let kept = old.map_or(Revision(0), |old| old.value().revision);
        let again = self.edge.as_ref().map(|_| write.clone());
        let Write { asker, writer, notify, edit, answer, .. } = write;
        let old_bytes = old.map_or(0, SizedAttributes::bytes);
        let old = old.map(|old| old.value().attributes.clone()).unwrap_or_default();
        let (attributes, bytes) = edit.apply(old, &writer, now)?;
        let in_all = self.channel_attribute_bytes + self.writes.bytes - old_bytes + bytes;
        if in_all > self.config.settings.channel_attributes_bytes && bytes > old_bytes {
            return Err(Refusal::new(ErrorKind::Failure, "the project holds as many channel attributes as it may"));
        }
        if bytes > old_bytes {
            if self.has_no_room_for(&channel_id) {
                return Err(too_many_channels());
            }
            self.check_stored_bytes(now, bytes - old_bytes)?;
            self.count_stored_bytes(bytes - old_bytes);
        }
        let value = ChannelAttributes::new(attributes, revision.next());
        let work = StoreWork::Put {
            key: StateKey::ChannelAttributes(channel_id.clone()),
            value: StateValue::ChannelAttributes(value.clone()),
            // Without a cluster all writers pass through here, so what is kept is what was put last.
            expected: self.edge.as_ref().map(|_| kept),
        };
        // What is put now is not to be deleted later.
        self.writes.forgotten.channels.retain(|forgotten| *forgotten != channel_id);
        let waiting = self.writes.waiting.entry(channel_id.clone()).or_default();
        if let Some(again) = again {
            waiting.push_front(again);
        }
        self.writes.bytes += bytes;
        let written = Written { asker, writer, channel_id, value, bytes, notify, answer };
        self.jobs.ask(work, Waiting::Attributes(Box::new(written)));
        Ok(())
    }

    /// The store has kept a channel's attributes, or has not: then they are as they were, for everybody.
    pub(super) fn attributes_written(&mut self, now: Now, written: Written, kept: Kept) {
        let Written { asker, writer, channel_id, value, bytes, notify, answer } = written;
        self.writes.bytes -= bytes;
        if let Kept::Conflict(kept) = kept {
            // It is tried again upon what the store has, in front of the others.
            self.adopt_attributes(now, &channel_id, kept);
            return self.go_on_writing(now, &channel_id);
        }
        if self.edge.is_some()
            && let Some(waiting) = self.writes.waiting.get_mut(&channel_id)
        {
            waiting.pop_front();
        }
        // What became of it may be unknown to the store, and the watch of what it has may tell.
        let result = if kept == Kept::Done || self.has_heard_of(&channel_id, &value) {
            let answer = answer(value.revision);
            self.log_channel_attributes(now, &channel_id, &writer);
            self.tell_attributes(asker, &channel_id, &value, notify);
            match self.edge {
                // Another node may have written upon it and told so before the store's answer came here.
                Some(_) => self.attributes_told(now, &channel_id, value, notify),
                None => self.put_channel_attributes(now, &channel_id, value, bytes, notify),
            }
            Ok(answer)
        } else {
            // The store of a cluster is elsewhere: it may have them all the same.
            let what = if self.edge.is_some() { MAY_BE_KEPT } else { NOT_KEPT };
            Err(Refusal::new(ErrorKind::Failure, what))
        };
        self.hub.finish(asker, result);
        self.go_on_writing(now, &channel_id);
    }

    /// The next write to a channel has its turn.
    fn go_on_writing(&mut self, now: Now, channel_id: &ChannelId) {
        while let Some(next) = self.writes.waiting.get_mut(channel_id).and_then(VecDeque::pop_front) {
            let asker = next.asker;
            match self.keep_attributes(now, channel_id.clone(), next) {
                Ok(()) => return,
                Err(refusal) => self.hub.finish(asker, Err(refusal)),
            }
        }
        self.writes.waiting.remove(channel_id);
        if let Some(key) = self.channels.find(channel_id) {
            self.tidy_channel(now, key);
        }
    }

    /// Another node has forgotten a channel.
    pub(super) fn attributes_forgotten(&mut self, bytes: usize, revision: Revision) {
        self.channel_attribute_bytes -= bytes;
        self.writes.forgotten.revision = self.writes.forgotten.revision.max(revision);
        // The other node may be lost before the store has it.
        self.keep_forgotten_revision();
    }

    /// A channel is forgotten with its attributes: the store forgets it once it remembers the revision.
    pub(super) fn forget_channel_attributes(&mut self, channel_id: ChannelId, store: &SizedAttributes) {
        self.channel_attribute_bytes -= store.bytes();
        let forgotten = &mut self.writes.forgotten;
        forgotten.revision = forgotten.revision.max(store.value().revision);
        forgotten.channels.push(channel_id);
        self.keep_forgotten_revision();
    }

    /// Has the store keep the revision of the forgotten channels, and then forget them.
    pub(super) fn keep_forgotten_revision(&mut self) {
        let forgotten = &mut self.writes.forgotten;
        if forgotten.kept >= forgotten.revision {
            for channel_id in std::mem::take(&mut forgotten.channels) {
                self.jobs.tell(StoreWork::Delete { key: StateKey::ChannelAttributes(channel_id), expected: None });
            }
        } else if !forgotten.is_keeping {
            forgotten.is_keeping = true;
            let revision = forgotten.revision;
            let (key, value) = (StateKey::ForgottenRevision, StateValue::ForgottenRevision(revision));
            // All nodes of a cluster write it, and it must not fall.
            let expected = self.edge.as_ref().map(|_| forgotten.kept);
            self.jobs.ask(StoreWork::Put { key, value, expected }, Waiting::ForgottenRevision(revision));
        }
    }

    /// The store has this revision of the forgotten channels: the one that it was to keep, or another node's. If it failed, it is
    /// asked again from time to time.
    pub(super) fn forgotten_revision_kept(&mut self, kept: Option<Revision>) {
        let forgotten = &mut self.writes.forgotten;
        forgotten.is_keeping = false;
        if let Some(kept) = kept {
            forgotten.kept = kept;
            forgotten.revision = forgotten.revision.max(kept);
            self.keep_forgotten_revision();
        }
    }
}

const NOT_KEPT: &str = "the server could not keep the attributes: they are unchanged";
const MAY_BE_KEPT: &str = "the server does not know whether it has kept the attributes: read them to find out";
