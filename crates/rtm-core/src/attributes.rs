//! Attributes of users and of channels: each write is checked as a whole and then done as a whole
//! (`docs/rtm.md#user-attributes`, `docs/rtm.md#channel-attributes`).

use std::collections::{BTreeMap, btree_map::Entry};

use rtm_codec::{
    Abilities, Answer, AttributeKey, ChannelAttribute, ChannelAttributes, ChannelId, ErrorKind, Event,
    GetChannelAttributes, GetUserAttributes, Refusal, Revision, Text, UserId, limits,
};

use super::{Core, Now, arena::SessionKey, away::ChannelNews, notes::Asker};

/// The attributes of a channel.
#[derive(Debug, Default)]
pub(super) struct SizedAttributes {
    value: ChannelAttributes,
    /// All keys and values.
    bytes: usize,
}

/// A write to a channel's attributes that the store is keeping.
#[derive(Debug)]
pub(super) struct Written {
    pub(super) asker: Asker,
    pub(super) writer: UserId,
    pub(super) channel_id: ChannelId,
    pub(super) value: ChannelAttributes,
    pub(super) bytes: usize,
    pub(super) notify: bool,
    pub(super) answer: fn(Revision) -> Answer,
}

/// What became of a write.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Kept {
    /// The store has it.
    Done,
    /// Another node was first: the store has these attributes, or none.
    Conflict(Option<ChannelAttributes>),
    /// The store failed.
    Failed,
}

/// What a call does to attributes.
#[derive(Debug, Clone)]
pub(super) enum Edit {
    /// Only these are left.
    Replace(BTreeMap<AttributeKey, Text>),
    /// These are added or changed.
    Merge(BTreeMap<AttributeKey, Text>),
    /// These go; unknown ones are ignored.
    Delete(Vec<AttributeKey>),
    /// All go.
    Clear,
}

impl Edit {
    /// A call that names nothing is a mistake, but for those that replace all. Of a list of keys the vendor's wire leaves out
    /// those that cannot be, and judges an empty one itself.
    pub(super) fn check(&self, abilities: Abilities) -> Result<(), Refusal> {
        match self {
            Self::Merge(attributes) if attributes.is_empty() => {
                Err(Refusal::new(ErrorKind::InvalidArgument, "no attribute is given"))
            }
            Self::Delete(keys) if keys.is_empty() && abilities.resume => {
                Err(Refusal::new(ErrorKind::InvalidArgument, "no key is given"))
            }
            _ => Ok(()),
        }
    }

    /// What it makes of a channel's attributes, and what they count for.
    pub(super) fn apply(
        self,
        mut all: BTreeMap<AttributeKey, ChannelAttribute>,
        writer: &UserId,
        now: Now,
    ) -> Result<(BTreeMap<AttributeKey, ChannelAttribute>, usize), Refusal> {
        let written = |value: Text| ChannelAttribute::new(value.detach(), writer.clone(), now.unix_ms);
        match self {
            Self::Replace(new) => all = new.into_iter().map(|(key, value)| (key, written(value))).collect(),
            Self::Merge(new) => {
                for (key, value) in new {
                    match all.entry(key) {
                        Entry::Occupied(mut old) => *old.get_mut() = written(value),
                        Entry::Vacant(free) => drop(free.insert(written(value))),
                    }
                }
            }
            Self::Delete(keys) => keys.iter().for_each(|key| drop(all.remove(key))),
            Self::Clear => all.clear(),
        }
        let texts: BTreeMap<_, _> = all.iter().map(|(key, attribute)| (key.clone(), attribute.value.clone())).collect();
        limits::check_attributes(&texts, limits::CHANNEL_ATTRIBUTES_BYTES)?;
        let bytes = attribute_bytes(&texts);
        Ok((all, bytes))
    }
}

impl SizedAttributes {
    pub(super) fn value(&self) -> &ChannelAttributes {
        &self.value
    }

    /// All keys and values.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
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
        let session = self.hub.sessions.get_mut(key).ok_or(ErrorKind::NotLoggedIn)?;
        edit.check(session.terms.abilities())?;
        let repeats_attributes =
            session.terms.abilities().repeats_attributes && self.config.settings.keep_attributes_on_return;
        let may_be_echo = session.terms.take_echo(now.instant) && repeats_attributes;
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
        if session.attributes != attributes {
            session.attributes = attributes;
            self.log_user_attributes(now, key);
        }
        Ok(answer)
    }

    pub(super) fn get_user_attributes(
        &mut self,
        now: Now,
        asker: Asker,
        read: GetUserAttributes,
    ) -> Option<Result<Answer, Refusal>> {
        let GetUserAttributes { user_id, keys } = read;
        if self.session_of(&user_id).is_none() && self.edge.is_some() {
            return self.read_far_attributes(now, asker, user_id, keys);
        }
        Some(self.attributes_of(&user_id, keys.as_deref()).map(Answer::GetUserAttributes))
    }

    /// The attributes of a user whose session is here.
    pub(super) fn attributes_of(
        &self,
        user_id: &UserId,
        keys: Option<&[AttributeKey]>,
    ) -> Result<BTreeMap<AttributeKey, Text>, Refusal> {
        let session = self.session_of(user_id).and_then(|key| self.hub.sessions.get(key));
        let session = session.filter(|session| session.is_there());
        let session = session.ok_or(ErrorKind::UserNotFound)?;
        Ok(match keys {
            None => session.attributes.clone(),
            Some(keys) => chosen(&session.attributes, keys),
        })
    }

    /// Takes in attributes, and tells the members if they are to know.
    pub(super) fn put_channel_attributes(
        &mut self,
        now: Now,
        channel_id: &ChannelId,
        value: ChannelAttributes,
        bytes: usize,
        notify: bool,
    ) {
        let key = self.channels.intern(channel_id, now);
        let Some(channel) = self.channels.get_mut(key) else { return };
        let store = channel.attributes.get_or_insert_default();
        self.channel_attribute_bytes = self.channel_attribute_bytes - store.bytes + bytes;
        **store = SizedAttributes { value, bytes };
        channel.empty_since = now.instant;
        if notify {
            self.tell_members_attributes(channel_id);
        }
        self.tidy_channel(now, key);
    }

    /// Tells the members here what attributes their channel has.
    pub(super) fn tell_members_attributes(&mut self, channel_id: &ChannelId) {
        let Some(key) = self.channels.find(channel_id) else { return };
        let value = self.channels.get(key).and_then(|channel| Some(channel.attributes.as_deref()?.value.clone()));
        if let Some(attributes) = value {
            let event = Event::AttributesUpdated { channel_id: channel_id.clone(), attributes };
            self.tell_members(key, ChannelNews::Attributes, event, |_, _| true);
        }
    }

    pub(super) fn read_channel_attributes(&self, read: &GetChannelAttributes) -> Result<Answer, Refusal> {
        let channel = self.channels.find(&read.channel_id).and_then(|key| self.channels.get(key));
        let value = channel.and_then(|channel| channel.attributes.as_deref()).map(|store| &store.value);
        Ok(Answer::GetChannelAttributes(match (value, &read.keys) {
            (None, _) => ChannelAttributes::new(BTreeMap::new(), self.writes.forgotten_revision()),
            (Some(value), None) => value.clone(),
            (Some(value), Some(keys)) => ChannelAttributes::new(chosen(&value.attributes, keys), value.revision),
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
