//! What is there, for those who run the server. Lists are read in slices, so that nobody waits for a long one.

use std::{collections::BinaryHeap, time::Duration};

use rtm_codec::{ChannelAttributes, ChannelId, PeerOnlineState, Text, UserId};

use super::{
    ConnId, Core, Now, SessionCounts,
    arena::{Key as _, SessionKey},
    session::Session,
    store::Restrictions,
};

/// A session, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct SessionInfo {
    /// Whose it is.
    pub user_id: UserId,
    /// How others see the user.
    pub state: PeerOnlineState,
    /// The connection, while there is one.
    pub conn: Option<ConnId>,
    /// The client object that logged in.
    pub instance: String,
    /// How long nothing has been heard from the client.
    pub silent_for: Duration,
    /// How long its token is still good, if it has one.
    pub token_left: Option<Duration>,
    /// How many channels it is in.
    pub channels: usize,
    /// To how many users it is subscribed.
    pub subscriptions: usize,
    /// Events that its device has not acknowledged.
    pub queued_events: usize,
    /// What the session holds for its client, in bytes.
    pub queued_bytes: usize,
    /// How many events the server may send beyond the last one that the application took; 0: no such limit.
    pub window: u32,
    /// How long the way to the client and back took last, where the server pings it.
    pub rtt: Option<Duration>,
    /// What went wrong for it.
    pub counts: SessionCounts,
}

/// A user, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct UserInfo {
    /// The session, if the user has one here.
    pub session: Option<SessionInfo>,
    /// The channels that it is in.
    pub channels: Vec<ChannelId>,
    /// The users that it is subscribed to.
    pub subscriptions: Vec<UserId>,
    /// The user's attributes.
    pub attributes: Vec<(String, Text)>,
    /// Sessions here that are subscribed to the user.
    pub watchers: usize,
    /// Open invitations that it takes part in.
    pub invitations: usize,
    /// What is refused to it, if anything is.
    pub restrictions: Option<Restrictions>,
}

/// A channel, as an operator sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ChannelInfo {
    /// Which one.
    pub channel_id: ChannelId,
    /// Members whose sessions are here.
    pub members: usize,
    /// Members on other nodes of a cluster, as far as they are known.
    pub members_elsewhere: usize,
    /// How many attributes it has.
    pub attributes: usize,
    /// How many messages there were since it has had members or attributes here.
    pub messages: u64,
}

/// Figures that only a look at all sessions gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Census {
    /// Sessions of users that are online.
    pub online: usize,
    /// Sessions of which nothing has been heard for a moment.
    pub unreachable: usize,
    /// Sessions that only wait to be resumed.
    pub offline: usize,
    /// Sessions whose clients are connected.
    pub connected: usize,
    /// Memberships in channels.
    pub memberships: usize,
    /// Subscriptions to users.
    pub subscriptions: usize,
    /// What all sessions hold for their clients, in bytes.
    pub queued_bytes: usize,
    /// What the one that holds most has.
    pub most_queued_bytes: usize,
    /// Sessions that hold more than a quarter of what they may.
    pub behind: usize,
}

impl ChannelInfo {
    /// Adds what another core of the same server knows of the channel, whose members are elsewhere to this one.
    pub fn merge(&mut self, other: &Self) {
        let all = (self.members + self.members_elsewhere).max(other.members + other.members_elsewhere);
        self.members += other.members;
        self.members_elsewhere = all.saturating_sub(self.members);
        self.attributes = self.attributes.max(other.attributes);
        // Each core with members has seen each message.
        self.messages = self.messages.max(other.messages);
    }
}

impl Census {
    /// Adds the figures of another core of the same project.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            online,
            unreachable,
            offline,
            connected,
            memberships,
            subscriptions,
            queued_bytes,
            most_queued_bytes,
            behind,
        } = self;
        *online += other.online;
        *unreachable += other.unreachable;
        *offline += other.offline;
        *connected += other.connected;
        *memberships += other.memberships;
        *subscriptions += other.subscriptions;
        *queued_bytes += other.queued_bytes;
        *most_queued_bytes = (*most_queued_bytes).max(other.most_queued_bytes);
        *behind += other.behind;
    }
}

impl Core {
    /// Hands out the sessions of the next `slots` places from `from` on. Gives where to go on, if there are more. Sessions
    /// that come and go between two calls may be seen or not, the others are seen once.
    pub fn inspect_sessions(
        &self,
        now: Now,
        from: usize,
        slots: usize,
        mut take: impl FnMut(SessionInfo),
    ) -> Option<usize> {
        let (sessions, next) = self.hub.sessions.slice(from, slots);
        sessions.filter_map(|session| self.session_info(now, session)).for_each(&mut take);
        next
    }

    /// The same with channels that have members or attributes.
    pub fn inspect_channels(&self, from: usize, slots: usize, mut take: impl FnMut(ChannelInfo)) -> Option<usize> {
        let (channels, next) = self.channels.slice(from, slots);
        channels.map(channel_info).for_each(&mut take);
        next
    }

    /// Adds the sessions of the next `slots` places from `from` on to `census`. Gives where to go on, if there are more.
    pub fn count_sessions(&self, from: usize, slots: usize, census: &mut Census) -> Option<usize> {
        let (sessions, next) = self.hub.sessions.slice(from, slots);
        for session in sessions {
            match session.liveness.state() {
                PeerOnlineState::Online => census.online += 1,
                PeerOnlineState::Unreachable => census.unreachable += 1,
                _ => census.offline += 1,
            }
            let bytes = session.bytes();
            census.connected += usize::from(session.conn.is_some());
            census.memberships += session.memberships.len();
            census.subscriptions += session.watching.len();
            census.queued_bytes += bytes;
            census.most_queued_bytes = census.most_queued_bytes.max(bytes);
            census.behind += usize::from(bytes > self.config.settings.session_bytes / 4);
        }
        next
    }

    /// A user that has a session here, that somebody here needs, or to which something is refused.
    #[must_use]
    pub fn inspect_user(&self, now: Now, user_id: &UserId) -> Option<UserInfo> {
        let restrictions = self.restrictions_of(now, user_id);
        let user = self.users.find(user_id).and_then(|key| self.users.get(key));
        if user.is_none() && restrictions.is_none() {
            return None;
        }
        let key = user.and_then(|user| user.session);
        let session = key.and_then(|key| self.hub.sessions.get(key));
        let channel_id = |channel| Some(self.channels.get(channel)?.id.clone());
        let attributes = session.map(|session| &session.attributes).into_iter().flatten();
        Some(UserInfo {
            session: session.and_then(|session| self.session_info(now, session)),
            channels: session.into_iter().flat_map(|it| it.memberships.channels()).filter_map(channel_id).collect(),
            subscriptions: key.into_iter().flat_map(|key| self.watched(key)).collect(),
            attributes: attributes.map(|(key, value)| (key.as_str().to_owned(), value.clone())).collect(),
            watchers: user.map_or(0, |user| user.watchers.len()),
            invitations: user.map_or(0, |user| user.invitations.len()),
            restrictions,
        })
    }

    /// The attributes of a channel that has members or attributes here.
    #[must_use]
    pub fn inspect_channel(&self, channel_id: &ChannelId) -> Option<(ChannelInfo, ChannelAttributes)> {
        let channel = self.channels.get(self.channels.find(channel_id)?)?;
        let attributes = channel.attributes.as_ref().map(|attributes| attributes.value().clone()).unwrap_or_default();
        Some((channel_info(channel), attributes))
    }

    /// The same without the attributes.
    #[must_use]
    pub fn channel_info(&self, channel_id: &ChannelId) -> Option<ChannelInfo> {
        Some(channel_info(self.channels.get(self.channels.find(channel_id)?)?))
    }

    /// The members of a channel whose sessions have the places from `from` on, at most `most`, in the order of these places. Gives
    /// where to go on, if there may be more. It looks at only so many sessions at a time, so it may have found none and still say
    /// where to go on. Members that come and go between two calls may be seen or not; the others are seen once, since a session keeps
    /// its place. In a cluster these are the members whose sessions are here.
    #[must_use]
    pub fn inspect_members(&self, channel_id: &ChannelId, from: usize, most: usize) -> (Vec<UserId>, Option<usize>) {
        let Some(channel) = self.channels.find(channel_id).and_then(|key| self.channels.get(key)) else {
            return (Vec::new(), None);
        };
        let (members, slots) = (channel.members.len(), self.hub.sessions.slots());
        // Whichever looks at less: the sessions from there on, of which every so many is a member, or all members.
        let (keys, next) = if slots.saturating_mul(most) < members.saturating_mul(members) {
            let end = from.saturating_add(members).min(slots);
            let mut keys = self.hub.sessions.keys_in(from..end).filter(|key| channel.members.contains(key));
            let first: Vec<_> = keys.by_ref().take(most).collect();
            (first, keys.next().map(place).or_else(|| Some(end).filter(|end| *end < slots)))
        } else {
            first_of(channel.members.iter().copied().filter(|key| place(*key) >= from), most)
        };
        (keys.into_iter().filter_map(|key| self.user_id_of(key)).collect(), next)
    }

    fn session_info(&self, now: Now, session: &Session) -> Option<SessionInfo> {
        Some(SessionInfo {
            user_id: self.user_id(session.user)?,
            state: session.liveness.state(),
            conn: session.conn,
            instance: session.terms.instance().as_str().to_owned(),
            silent_for: now.instant.saturating_duration_since(session.liveness.heard()),
            token_left: session.terms.token_left(now.instant).map(Duration::from_millis),
            channels: session.memberships.len(),
            subscriptions: session.watching.len(),
            queued_events: session.stream.len(),
            queued_bytes: session.bytes(),
            window: session.stream.window(),
            rtt: session.liveness.rtt(),
            counts: session.counts(),
        })
    }
}

/// The lowest of these keys, in order, and the place of the one after them.
fn first_of(keys: impl Iterator<Item = SessionKey>, most: usize) -> (Vec<SessionKey>, Option<usize>) {
    // Only as many are held as are wanted, and the one after them.
    let mut first = BinaryHeap::new();
    for key in keys {
        if first.len() <= most {
            first.push(key);
        } else if first.peek().is_some_and(|last| key < *last) {
            first.pop();
            first.push(key);
        }
    }
    let next = if first.len() > most { first.pop().map(place) } else { None };
    (first.into_sorted_vec(), next)
}

fn place(key: SessionKey) -> usize {
    key.slot() as usize
}

fn channel_info(channel: &super::Channel) -> ChannelInfo {
    ChannelInfo {
        channel_id: channel.id.clone(),
        members: channel.members.len(),
        members_elsewhere: channel.elsewhere.unwrap_or(0) as usize,
        attributes: channel.attributes.as_ref().map_or(0, |attributes| attributes.value().attributes.len()),
        messages: channel.messages,
    }
}
