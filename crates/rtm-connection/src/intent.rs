//! What the user wants to have on the server, kept here to be restored after a reconnect.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Instant,
};

use rtm_codec::{
    AttributeKey, ChannelId, Command, JoinChannel, LeaveChannel, LimitedCall, RequestId, SetLocalUserAttributes,
    SubscribePeersOnlineStatus, Text, UserId,
};

use crate::Restored;

/// Channels, subscriptions and attributes, as the server confirmed them.
#[derive(Debug, Default)]
pub(crate) struct Intent {
    pub(crate) channels: BTreeMap<ChannelId, Membership>,
    pub(crate) subscriptions: BTreeSet<UserId>,
    pub(crate) attributes: BTreeMap<AttributeKey, Text>,
    /// What the server has yet to be told.
    pub(crate) errands: BTreeMap<Errand, Progress>,
}

/// What the connection has to get done by itself.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Errand {
    /// The user had it and shall have it again.
    Restore(Restored),
    /// The server may yet do a join that the user believes to have failed.
    Leave(ChannelId),
}

/// A user's relation to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Membership {
    /// `left`: the server has confirmed that the user is out, or never had it in.
    Joining {
        id: RequestId,
        left: bool,
    },
    Joined,
    Leaving(RequestId),
}

/// How far an errand is.
#[derive(Debug, Default)]
pub(crate) struct Progress {
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

    /// Whether the server has the user in no channel of this name for certain: nothing is to be undone there.
    pub(crate) fn is_out_of(&self, channel: &ChannelId) -> bool {
        !self.channels.contains_key(channel) && !self.errands.contains_key(&Errand::Leave(channel.clone()))
    }

    /// Marks the memberships and the attributes as to be restored: the user was away for too long. `writes`: there are
    /// writes of attributes without an answer, which the server may have done before that.
    pub(crate) fn restore_lapsed(&mut self, writes: bool) {
        let channels: Vec<_> = self.joined().cloned().map(Restored::Channel).collect();
        channels.into_iter().for_each(|channel| self.restore(channel));
        if writes || !self.attributes.is_empty() {
            self.restore(Restored::UserAttributes);
        }
    }

    /// Marks everything as to be restored: the session is a new one.
    pub(crate) fn restore_all(&mut self, writes: bool) {
        self.errands.retain(|errand, _| matches!(errand, Errand::Leave(_)));
        self.restore_lapsed(writes);
        if !self.subscriptions.is_empty() {
            self.restore(Restored::Subscriptions);
        }
    }

    fn restore(&mut self, what: Restored) {
        self.errands.insert(Errand::Restore(what), Progress::default());
    }

    /// The call that an errand takes, or `None` if there is no need for it any more.
    pub(crate) fn command(&self, errand: &Errand) -> Option<Command> {
        match errand {
            Errand::Leave(channel_id) => {
                let is_wanted = self.channels.contains_key(channel_id);
                (!is_wanted).then(|| LeaveChannel { channel_id: channel_id.clone() }.into())
            }
            Errand::Restore(Restored::Channel(channel_id)) => {
                self.is_joined(channel_id).then(|| JoinChannel { channel_id: channel_id.clone() }.into())
            }
            Errand::Restore(Restored::Subscriptions) => {
                let peer_ids: Vec<_> = self.subscriptions.iter().cloned().collect();
                (!peer_ids.is_empty()).then(|| SubscribePeersOnlineStatus { peer_ids }.into())
            }
            Errand::Restore(Restored::UserAttributes) => {
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

    #[inline]
    pub(crate) fn next_retry(&self) -> Option<Instant> {
        self.errands.values().filter_map(|progress| progress.retry_at).min()
    }
}

/// Whether `command` writes the user's own attributes.
pub(crate) fn is_attribute_write(command: &Command) -> bool {
    command.budget() == Some(LimitedCall::WriteUserAttributes)
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
        Command::RenewToken(_)
        | Command::SendMessageToPeer(_)
        | Command::QueryPeersOnlineStatus(_)
        | Command::SubscribePeersOnlineStatus(_)
        | Command::UnsubscribePeersOnlineStatus(_)
        | Command::QueryPeersBySubscriptionOption(_)
        | Command::SendInvitation(_)
        | Command::CancelInvitation(_)
        | Command::AcceptInvitation(_)
        | Command::RefuseInvitation(_)
        | Command::GetUserAttributes(_)
        | Command::JoinChannel(_)
        | Command::LeaveChannel(_)
        | Command::SendChannelMessage(_)
        | Command::GetMembers(_)
        | Command::GetChannelMemberCount(_)
        | Command::SetChannelAttributes(_)
        | Command::AddOrUpdateChannelAttributes(_)
        | Command::DeleteChannelAttributesByKeys(_)
        | Command::ClearChannelAttributes(_)
        | Command::GetChannelAttributes(_)
        | Command::QueryHistory(_) => {}
    }
}
