//! What a log of events leaves open: sessions, who is online, and who is in which channel. The ends of these are written after a
//! crash; of what has gone from the log a store keeps what is open.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use rtm_codec::{ChannelId, UserId};

use super::{EventType, EventTypes, ProjectEvent, Reason, SessionName};

/// What is open behind the events that were seen.
///
/// A store that drops the oldest events of a log keeps what they leave open. It [loads](Self::load) what it has under the
/// [keys](Self::keys) of each event that goes, shows the [event](Self::see), and keeps what is [left](Self::left) under
/// these keys.
#[derive(Debug, Default)]
pub struct OpenEvents {
    /// In the order of their beginning.
    sessions: IndexMap<SessionName, Open, FixedState>,
    occupied: BTreeSet<ChannelId>,
    /// Who was online by a session that gave way to another one, of which nothing has been seen.
    replaced: BTreeMap<UserId, SessionName>,
}

/// Under which key a store keeps what is open.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[expect(clippy::exhaustive_enums, reason = "a store writes and reads all of them")]
pub enum OpenKey {
    /// A session.
    Session(SessionName),
    /// A channel with members.
    Channel(ChannelId),
    /// A user who was online by a session that gave way to another one, of which no event has come.
    User(UserId),
}

#[derive(Debug)]
struct Open {
    user_id: UserId,
    server: Reason,
    is_online: bool,
    channels: BTreeSet<ChannelId>,
}

impl OpenEvents {
    /// The keys under which is kept what an event may change; none for most types of events.
    #[must_use]
    pub fn keys(event: &ProjectEvent) -> Vec<OpenKey> {
        let channel = |channel_id: &ChannelId| OpenKey::Channel(channel_id.clone());
        match event {
            ProjectEvent::SessionStarted { user_id, session, .. }
            | ProjectEvent::SessionEnded { user_id, session, .. } => {
                vec![OpenKey::Session(*session), OpenKey::User(user_id.clone())]
            }
            ProjectEvent::SessionResumed { session, .. }
            | ProjectEvent::SessionMoved { session, .. }
            | ProjectEvent::UserOnline { session, .. }
            | ProjectEvent::UserOffline { session, .. }
            | ProjectEvent::MemberLeft { session, .. } => vec![OpenKey::Session(*session)],
            ProjectEvent::MemberJoined { channel_id, session, .. } => {
                vec![OpenKey::Session(*session), channel(channel_id)]
            }
            ProjectEvent::ChannelOccupied { channel_id } | ProjectEvent::ChannelVacated { channel_id } => {
                vec![channel(channel_id)]
            }
            _ => Vec::new(),
        }
    }

    /// Whether a log of these types says how what is under a key ends. Where it does not, nothing is to be kept: it would stay for ever.
    #[must_use]
    pub fn are_followed(key: &OpenKey, written: EventTypes) -> bool {
        let needed: &[EventType] = match key {
            OpenKey::Session(_) | OpenKey::User(_) => &[EventType::SessionStarted, EventType::SessionEnded],
            OpenKey::Channel(_) => &[EventType::ChannelOccupied, EventType::ChannelVacated],
        };
        needed.iter().all(|event_type| written.has(*event_type))
    }

    /// What is open under a key: events that say so, or none.
    #[must_use]
    pub fn left(&self, key: &OpenKey) -> Vec<ProjectEvent> {
        match key {
            OpenKey::Session(session) => {
                let Some(open) = self.sessions.get(session) else { return Vec::new() };
                let (user_id, session) = (open.user_id.clone(), *session);
                let (takeover, server) = (open.is_online, open.server.clone());
                let started = ProjectEvent::SessionStarted { user_id, session, takeover, server };
                let joined = open.channels.iter().map(|channel_id| {
                    let (channel_id, user_id) = (channel_id.clone(), open.user_id.clone());
                    ProjectEvent::MemberJoined { channel_id, user_id, session }
                });
                std::iter::once(started).chain(joined).collect()
            }
            OpenKey::Channel(channel_id) => {
                let occupied = self.occupied.get(channel_id).cloned();
                occupied.map(|channel_id| ProjectEvent::ChannelOccupied { channel_id }).into_iter().collect()
            }
            OpenKey::User(user_id) => {
                let Some(session) = self.replaced.get(user_id).copied() else { return Vec::new() };
                vec![ProjectEvent::UserOnline { user_id: user_id.clone(), session }]
            }
        }
    }

    /// Takes the next event in.
    pub fn see(&mut self, event: ProjectEvent) {
        match event {
            ProjectEvent::SessionStarted { user_id, session, takeover, server } => {
                self.replaced.remove(&user_id);
                self.begin(user_id, session, takeover, server);
            }
            ProjectEvent::SessionResumed { user_id, session, server }
            | ProjectEvent::SessionMoved { user_id, session, server } => self.open(user_id, session).server = server,
            ProjectEvent::SessionEnded { session, .. } => {
                if let Some(Open { user_id, is_online: true, .. }) = self.sessions.shift_remove(&session) {
                    self.replaced.insert(user_id, session);
                }
            }
            ProjectEvent::UserOnline { user_id, session } => self.open(user_id, session).is_online = true,
            ProjectEvent::UserOffline { session, .. } => {
                if let Some(open) = self.sessions.get_mut(&session) {
                    open.is_online = false;
                }
            }
            ProjectEvent::MemberJoined { channel_id, user_id, session } => {
                self.open(user_id, session).channels.insert(channel_id.clone());
                self.occupied.insert(channel_id);
            }
            ProjectEvent::MemberLeft { channel_id, session, .. } => {
                if let Some(open) = self.sessions.get_mut(&session) {
                    open.channels.remove(&channel_id);
                }
            }
            ProjectEvent::ChannelOccupied { channel_id } => drop(self.occupied.insert(channel_id)),
            ProjectEvent::ChannelVacated { channel_id } => drop(self.occupied.remove(&channel_id)),
            _ => {}
        }
    }

    /// Takes in what was [left](Self::left) under a key. It says nothing of other keys.
    pub fn load(&mut self, key: &OpenKey, left: Vec<ProjectEvent>) {
        for event in left {
            match (key, event) {
                (OpenKey::User(_), ProjectEvent::UserOnline { user_id, session }) => {
                    self.replaced.insert(user_id, session);
                }
                (_, ProjectEvent::SessionStarted { user_id, session, takeover, server }) => {
                    self.begin(user_id, session, takeover, server);
                }
                (_, ProjectEvent::MemberJoined { channel_id, user_id, session }) => {
                    self.open(user_id, session).channels.insert(channel_id);
                }
                (_, event) => self.see(event),
            }
        }
    }

    fn begin(&mut self, user_id: UserId, session: SessionName, is_online: bool, server: Reason) {
        let open = self.open(user_id, session);
        open.server = server;
        open.is_online |= is_online;
    }

    fn open(&mut self, user_id: UserId, session: SessionName) -> &mut Open {
        let new = || Open { user_id, server: Reason::default(), is_online: false, channels: BTreeSet::new() };
        self.sessions.entry(session).or_insert_with(new)
    }

    /// A session that is open.
    pub(super) fn add(
        &mut self,
        user_id: UserId,
        session: SessionName,
        is_online: bool,
        channels: BTreeSet<ChannelId>,
    ) {
        self.occupied.extend(channels.iter().cloned());
        self.sessions.insert(session, Open { user_id, server: Reason::default(), is_online, channels });
    }

    /// The events with which the sessions of some servers end.
    pub(super) fn ends(self, is_over: impl Fn(&str) -> bool, reason: &'static str) -> Vec<ProjectEvent> {
        let reason = Reason::Borrowed(reason);
        let (over, rest): (Vec<_>, Vec<_>) = self.sessions.into_iter().partition(|(_, open)| is_over(&open.server));
        let mut members: BTreeMap<ChannelId, usize> = BTreeMap::new();
        for channel_id in over.iter().chain(&rest).flat_map(|(_, open)| &open.channels) {
            *members.entry(channel_id.clone()).or_default() += 1;
        }
        let goes_on: BTreeSet<UserId> =
            rest.iter().filter(|(_, open)| open.is_online).map(|(_, open)| open.user_id.clone()).collect();
        let is_all = rest.is_empty();
        let (mut occupied, mut replaced) = (self.occupied, self.replaced);
        let mut ends = Vec::new();
        for (session, Open { user_id, is_online, channels, .. }) in over {
            for channel_id in channels {
                let left = members.get_mut(&channel_id).map_or(0, |count| {
                    *count -= 1;
                    *count
                });
                let (user_id, left_channel) = (user_id.clone(), channel_id.clone());
                ends.push(ProjectEvent::MemberLeft { channel_id: left_channel, user_id, session });
                if left == 0 && occupied.remove(&channel_id) {
                    ends.push(ProjectEvent::ChannelVacated { channel_id });
                }
            }
            if is_online && !goes_on.contains(&user_id) {
                replaced.remove(&user_id);
                ends.push(ProjectEvent::UserOffline { user_id: user_id.clone(), session, reason: reason.clone() });
            }
            ends.push(ProjectEvent::SessionEnded { user_id, session, reason: reason.clone() });
        }
        if is_all {
            let offline = |(user_id, session)| ProjectEvent::UserOffline { user_id, session, reason: reason.clone() };
            ends.extend(replaced.into_iter().map(offline));
            // Who was in them is not in the log any more, or never was.
            ends.extend(occupied.into_iter().map(|channel_id| ProjectEvent::ChannelVacated { channel_id }));
        }
        ends
    }
}
