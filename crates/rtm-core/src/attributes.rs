//! Attributes of users and of channels: each write is checked as a whole and then done as a whole.

use std::collections::{BTreeMap, btree_map::Entry};

use rtm_codec::{
    Answer, AttributeKey, ChannelAttribute, ChannelAttributeTarget, ChannelAttributes, ChannelId, ErrorKind, Event,
    GetChannelAttributes, GetUserAttributes, Refusal, Revision, Text, limits,
};

use super::{
    Core, Now, StateKey, StateValue, StoreWork, arena::SessionKey, away::ChannelNews, jobs::Waiting, notes::Asker,
};

/// The attributes of a channel.
#[derive(Debug, Default)]
pub(super) struct ChannelStore {
    value: ChannelAttributes,
    /// All keys and values.
    bytes: usize,
}

/// What a call does to attributes.
#[derive(Debug)]
pub(super) enum Edit {
    /// Only these are left.
    Replace(BTreeMap<AttributeKey, Text>),
    /// These are added or changed.
    Merge(BTreeMap<AttributeKey, Text>),
    /// These go; unknown ones are passed over.
    Delete(Vec<AttributeKey>),
    /// All go.
    Clear,
}

impl Edit {
    /// A call that names nothing is a mistake, but for those that replace all.
    fn check(&self) -> Result<(), Refusal> {
        match self {
            Self::Merge(attributes) if attributes.is_empty() => {
                Err(Refusal::new(ErrorKind::InvalidArgument, "no attribute is given"))
            }
            Self::Delete(keys) if keys.is_empty() => Err(Refusal::new(ErrorKind::InvalidArgument, "no key is given")),
            _ => Ok(()),
        }
    }
}

impl Core {
    pub(super) fn write_user_attributes(
        &mut self,
        now: Now,
        key: SessionKey,
        edit: Edit,
        answer: Answer,
    ) -> Result<Answer, Refusal> {
        edit.check()?;
        let session = self.hub.sessions.get_mut(key).ok_or(ErrorKind::NotLoggedIn)?;
        let may_be_echo = session.terms.take_echo(now.instant);
        let is_echo = |sent: &BTreeMap<AttributeKey, Text>| {
            sent.iter().all(|(key, value)| session.attributes.get(key) == Some(value))
        };
        let attributes = match edit {
            // The vendor's SDK sends what it last wrote, in full or in part, as if it were all.
            Edit::Replace(new) if may_be_echo && is_echo(&new) => {
                return Ok(answer);
            }
            Edit::Replace(new) => new.into_iter().map(|(key, value)| (key, value.detach())).collect(),
            Edit::Merge(new) => {
                let mut all = session.attributes.clone();
                all.extend(new.into_iter().map(|(key, value)| (key, value.detach())));
                all
            }
            Edit::Delete(keys) => {
                let mut all = session.attributes.clone();
                keys.iter().for_each(|key| drop(all.remove(key)));
                all
            }
            Edit::Clear => BTreeMap::new(),
        };
        limits::check_attributes(&attributes, limits::USER_ATTRIBUTES_BYTES)?;
        session.attributes = attributes;
        Ok(answer)
    }

    pub(super) fn read_user_attributes(&self, read: &GetUserAttributes) -> Result<Answer, Refusal> {
        let session = self.session_of(&read.user_id).and_then(|key| self.hub.sessions.get(key));
        let session = session.filter(|session| session.is_there());
        let session = session.ok_or(ErrorKind::UserNotFound)?;
        Ok(Answer::GetUserAttributes(match &read.keys {
            None => session.attributes.clone(),
            Some(keys) => chosen(&session.attributes, keys),
        }))
    }

    /// Anybody who is logged in may write to any channel. The answer waits until the store has it.
    pub(super) fn write_channel_attributes(
        &mut self,
        now: Now,
        asker: Asker,
        target: ChannelAttributeTarget,
        edit: Edit,
        answer: impl FnOnce(Revision) -> Answer,
    ) -> Option<Result<Answer, Refusal>> {
        match self.try_write_channel(now, asker, target, edit) {
            // The request waits for the store before it is answered with this.
            Ok(revision) => Some(Ok(answer(revision))),
            Err(refusal) => Some(Err(refusal)),
        }
    }

    fn try_write_channel(
        &mut self,
        now: Now,
        asker: Asker,
        target: ChannelAttributeTarget,
        edit: Edit,
    ) -> Result<Revision, Refusal> {
        let ChannelAttributeTarget { channel_id, notify, expected_revision } = target;
        edit.check()?;
        self.jobs.check_room()?;
        let writer = self.user_id_of(asker.session).ok_or(ErrorKind::NotLoggedIn)?;
        let old = self.channels.find(&channel_id).and_then(|key| self.channels.get(key)?.attributes.as_deref());
        let (old_value, old_bytes) =
            old.map_or_else(|| (ChannelAttributes::default(), 0), |old| (old.value.clone(), old.bytes));
        if expected_revision.is_some_and(|expected| expected != old_value.revision) {
            return Err(ErrorKind::RevisionConflict.into());
        }
        let mut all = old_value.attributes;
        let written = |value: Text| ChannelAttribute {
            value: value.detach(),
            last_update_user_id: writer.clone(),
            last_update_ts: now.unix_ms,
        };
        match edit {
            Edit::Replace(new) => all = new.into_iter().map(|(key, value)| (key, written(value))).collect(),
            Edit::Merge(new) => {
                for (key, value) in new {
                    match all.entry(key) {
                        Entry::Occupied(mut old) => *old.get_mut() = written(value),
                        Entry::Vacant(free) => drop(free.insert(written(value))),
                    }
                }
            }
            Edit::Delete(keys) => keys.iter().for_each(|key| drop(all.remove(key))),
            Edit::Clear => all.clear(),
        }
        let texts: BTreeMap<_, _> = all.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect();
        limits::check_attributes(&texts, limits::CHANNEL_ATTRIBUTES_BYTES)?;
        let bytes = attribute_bytes(&texts);
        let in_all = self.channel_attribute_bytes - old_bytes + bytes;
        if in_all > self.config.settings.channel_attributes_bytes && bytes > old_bytes {
            return Err(Refusal::new(ErrorKind::Failure, "the project holds as many channel attributes as it may"));
        }
        let value = ChannelAttributes { attributes: all, revision: old_value.revision.next() };
        let work = StoreWork::Put {
            key: StateKey::ChannelAttributes(channel_id.clone()),
            value: StateValue::ChannelAttributes(value.clone()),
            // All writers pass through here, so what is kept is what was put last.
            expected: None,
        };
        let broken = "the attributes are set, but the server could not keep them";
        self.jobs.ask(work, Waiting::Promise { asker, broken });
        if let Some(session) = self.hub.sessions.get_mut(asker.session) {
            session.requests.promise(asker.request);
        }
        let revision = value.revision;
        self.put_channel_attributes(now, channel_id, value, bytes, notify);
        Ok(revision)
    }

    /// Takes in attributes, and tells the members if they are to know.
    pub(super) fn put_channel_attributes(
        &mut self,
        now: Now,
        channel_id: ChannelId,
        value: ChannelAttributes,
        bytes: usize,
        notify: bool,
    ) {
        let key = self.channels.intern(&channel_id, now);
        let Some(channel) = self.channels.get_mut(key) else { return };
        let store = channel.attributes.get_or_insert_default();
        self.channel_attribute_bytes = self.channel_attribute_bytes - store.bytes + bytes;
        let event = notify.then(|| Event::AttributesUpdated { channel_id, attributes: value.clone() });
        **store = ChannelStore { value, bytes };
        channel.empty_since = now.instant;
        if let Some(event) = event {
            self.tell_members(key, ChannelNews::Attributes, event, |_, _| true);
        }
        self.tidy_channel(now, key);
    }

    pub(super) fn forget_channel_attributes(&mut self, channel_id: ChannelId, store: &ChannelStore) {
        self.channel_attribute_bytes -= store.bytes;
        self.jobs.tell(StoreWork::Delete { key: StateKey::ChannelAttributes(channel_id) });
    }

    pub(super) fn read_channel_attributes(&self, read: &GetChannelAttributes) -> Result<Answer, Refusal> {
        let channel = self.channels.find(&read.channel_id).and_then(|key| self.channels.get(key));
        let value = channel.and_then(|channel| channel.attributes.as_deref()).map(|store| &store.value);
        Ok(Answer::GetChannelAttributes(match (value, &read.keys) {
            (None, _) => ChannelAttributes::default(),
            (Some(value), None) => value.clone(),
            (Some(value), Some(keys)) => {
                ChannelAttributes { attributes: chosen(&value.attributes, keys), revision: value.revision }
            }
        }))
    }
}

/// All keys and values.
pub(super) fn attribute_bytes(attributes: &BTreeMap<AttributeKey, Text>) -> usize {
    attributes.iter().map(|(key, value)| key.as_str().len() + value.len()).sum()
}

fn chosen<T: Clone>(all: &BTreeMap<AttributeKey, T>, keys: &[AttributeKey]) -> BTreeMap<AttributeKey, T> {
    keys.iter().filter_map(|key| Some((key.clone(), all.get(key)?.clone()))).collect()
}
