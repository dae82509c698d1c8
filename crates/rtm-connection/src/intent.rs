//! What the user wants to have on the server, kept here to be had again after a reconnect.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use rtm_codec::{
    AttributeKey, ChannelId, Command, JoinChannel, RequestId, SetLocalUserAttributes, SubscribePeersOnlineStatus, Text,
    UserId,
};

use crate::Restored;

/// Channels, subscriptions and attributes, as the server confirmed them.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    pub(crate) channels: BTreeMap<ChannelId, Membership>,
    pub(crate) subscriptions: BTreeSet<UserId>,
    pub(crate) attributes: BTreeMap<AttributeKey, Text>,
    /// What of it the server has yet to be told.
    pub(crate) restoring: BTreeMap<Restored, Restoring>,
}

/// A user's relation to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    Joining(RequestId),
    Joined,
    Leaving(RequestId),
}

/// How far restoring something is.
#[derive(Debug, Default)]
pub(crate) struct Restoring {
    pub(crate) tries: u8,
    pub(crate) under_way: bool,
    pub(crate) retry_at: Option<Instant>,
}

impl Intent {
    /// The channels that the user is in.
    pub(crate) fn joined(&self) -> impl Iterator<Item = &ChannelId> {
        self.channels.iter().filter(|(_, membership)| **membership == Membership::Joined).map(|(id, _)| id)
    }

    pub(crate) fn is_joined(&self, channel: &ChannelId) -> bool {
        self.channels.get(channel) == Some(&Membership::Joined)
    }

    /// Marks the memberships and the attributes as to be restored: the user was away for too long. `writes`: there are
    /// writes of attributes without an answer, which the server may have done before that.
    pub(crate) fn restore_lapsed(&mut self, writes: bool) {
        let channels: Vec<_> = self.joined().cloned().map(Restored::Channel).collect();
        self.restoring.extend(channels.into_iter().map(|what| (what, Restoring::default())));
        if writes || !self.attributes.is_empty() {
            self.restoring.insert(Restored::UserAttributes, Restoring::default());
        }
    }

    /// Marks everything as to be restored: the session is a new one.
    pub(crate) fn restore_all(&mut self, writes: bool) {
        self.restoring.clear();
        self.restore_lapsed(writes);
        if !self.subscriptions.is_empty() {
            self.restoring.insert(Restored::Subscriptions, Restoring::default());
        }
    }

    /// The call that restores something, or `None` if the user does not want it any more.
    pub(crate) fn restoring_command(&self, what: &Restored) -> Option<Command> {
        match what {
            Restored::Channel(channel_id) => {
                self.is_joined(channel_id).then(|| JoinChannel { channel_id: channel_id.clone() }.into())
            }
            Restored::Subscriptions => {
                let peer_ids: Vec<_> = self.subscriptions.iter().cloned().collect();
                (!peer_ids.is_empty()).then(|| SubscribePeersOnlineStatus { peer_ids }.into())
            }
            Restored::UserAttributes => {
                let attributes = self.attributes.clone();
                (!attributes.is_empty()).then(|| SetLocalUserAttributes { attributes }.into())
            }
        }
    }

    /// Gives up what could not be restored.
    pub(crate) fn forget(&mut self, what: &Restored) {
        match what {
            Restored::Channel(channel) => {
                self.channels.remove(channel);
            }
            Restored::Subscriptions => self.subscriptions.clear(),
            Restored::UserAttributes => self.attributes.clear(),
        }
    }

    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.restoring.values().filter_map(|restoring| restoring.retry_at).min()
    }
}

/// Whether `command` writes the user's own attributes.
pub(crate) fn is_attribute_write(command: &Command) -> bool {
    matches!(
        command,
        Command::SetLocalUserAttributes(_)
            | Command::AddOrUpdateLocalUserAttributes(_)
            | Command::DeleteLocalUserAttributesByKeys(_)
            | Command::ClearLocalUserAttributes(_)
    )
}

/// Does to `attributes` what `command` does to the user's own attributes on the server.
pub(crate) fn write_attributes(attributes: &mut BTreeMap<AttributeKey, Text>, command: &Command) {
    match command {
        Command::SetLocalUserAttributes(set) => attributes.clone_from(&set.attributes),
        Command::AddOrUpdateLocalUserAttributes(add) => attributes.extend(add.attributes.clone()),
        Command::DeleteLocalUserAttributesByKeys(delete) => {
            attributes.retain(|key, _| !delete.keys.contains(key));
        }
        Command::ClearLocalUserAttributes(_) => attributes.clear(),
        _ => {}
    }
}
