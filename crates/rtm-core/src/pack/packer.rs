//! A session of a core, read into what is packed of it.

use std::time::{Duration, Instant};

use rtm_codec::{Budgets, ChannelId, LimitedCall, UserId};

use super::{
    COUNTED_CALLS,
    format::{ChannelsV1, CountedV1, Id, Moment, NodeV1, PackV1, PackV2, PackV3, PackV4},
    times::PackTime,
};
use crate::{
    Core, Now,
    arena::{ChannelKey, SessionKey, UserKey},
    cluster::NodeId,
};

/// Finds the names of what a session refers to by keys.
#[derive(Clone, Copy)]
pub(crate) struct Packer<'a> {
    core: &'a Core,
    now: Now,
}

impl<'a> Packer<'a> {
    pub(super) fn new(core: &'a Core, now: Now) -> Self {
        Self { core, now }
    }

    /// `None` while the store is at work for the session.
    pub(super) fn pack(self, key: SessionKey) -> Option<PackV4> {
        let session = self.core.hub.sessions.get(key)?;
        let user = self.core.users.get(session.user)?;
        let sent = user.invitations.iter().filter_map(|key| self.core.invitations.get(*key));
        let pack = PackV1 {
            app_id: Id(self.core.config.app_id.clone()),
            user_id: Id(user.id.clone()),
            session: session.id.0,
            terms: session.terms.pack(self),
            liveness: session.liveness.pack(self),
            stream: session.stream.pack(self)?,
            receipts: session.receipts.pack(self),
            mail: session.mail.pack(self)?,
            requests: session.requests.pack(),
            message_ids: session.message_ids.as_ref().map(|ids| ids.pack(self)),
            budgets: self.budgets(&session.budgets),
            memberships: session.memberships.pack(self)?,
            watching: session.watching.pack(self),
            attributes: session.attributes.iter().map(|(key, value)| (Id(key.clone()), value.to_string())).collect(),
            ousted: session.ousted.pack(),
            invitations: sent.filter_map(|invitation| invitation.pack(self, session.user)).collect(),
        };
        let subscriber = self.core.subscriber(key)?;
        let session_v2 = PackV2 {
            session: pack,
            subscribes_once: session.terms.abilities().subscribes_once,
            subscriptions_seen_ms: self.core.subscriptions.packed_seen_ms(&subscriber),
        };
        let session_v3 = PackV3 {
            session: session_v2,
            lanes: session.lanes.as_ref().map(|lanes| lanes.pack(self)),
            channels: self.channels(key),
            given: self.core.edge.as_ref().map_or_else(Vec::new, |edge| edge.given.pack(self, &user.id)),
        };
        Some(PackV4 { session: session_v3, token_issued_at_ms: session.terms.token_issued_at() })
    }

    fn channels(self, key: SessionKey) -> Option<ChannelsV1> {
        let (edge, session) = (self.core.edge.as_ref()?, self.core.hub.sessions.get(key)?);
        let node = |node: &NodeId| NodeV1(node.name.as_str().to_owned(), node.incarnation);
        let heard = |channel: ChannelKey| {
            let heard = self.core.channels.get(channel).map(|channel| self.core.heard_of(&channel.id, key));
            heard.iter().flatten().map(|(from, k)| (node(from), *k)).collect()
        };
        Some(ChannelsV1 { node: node(&edge.node), heard: session.memberships.channels().map(heard).collect() })
    }

    fn budgets(self, budgets: &Budgets) -> Vec<CountedV1> {
        let now = self.core.since_start(self.now);
        let pack = |(call, channel, at): (LimitedCall, Option<&ChannelId>, Duration)| CountedV1 {
            call: call as u8,
            channel: channel.cloned().map(Id),
            age: u64::try_from(now.saturating_sub(at).as_nanos()).unwrap_or(u64::MAX),
        };
        budgets.counted().map(pack).take(COUNTED_CALLS).collect()
    }

    pub(crate) fn is_in_cluster(self) -> bool {
        self.core.edge.is_some()
    }

    pub(crate) fn moment(self, at: Instant) -> Moment {
        PackTime(self.now.instant).moment(at)
    }

    pub(crate) fn user(self, key: UserKey) -> Option<Id<UserId>> {
        self.core.user_id(key).map(Id)
    }

    /// A channel, when its members were last told how many they are, and when they are to be told again.
    pub(crate) fn channel(self, key: ChannelKey) -> Option<(&'a ChannelId, Option<Instant>, Option<Instant>)> {
        let channel = self.core.channels.get(key)?;
        let (told_at, tell_at) = channel.count_times();
        Some((&channel.id, told_at, tell_at))
    }

    /// The id of a session, unless it has ended.
    pub(crate) fn session(self, key: SessionKey) -> Option<[u8; 16]> {
        self.core.hub.session_id(key).map(|id| id.0)
    }
}
