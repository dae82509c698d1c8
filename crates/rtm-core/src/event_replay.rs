//! What a log of events says is open: sessions, who is online, and who is in which channel.

use std::collections::{BTreeMap, BTreeSet};

use foldhash::fast::FixedState;
use indexmap::IndexMap;
use rtm_codec::{ChannelId, UserId};

use super::{ProjectEvent, Reason, SessionName};

/// What is open behind the events that were seen.
#[derive(Debug, Default)]
pub(super) struct Replay {
    /// In the order of their beginning.
    sessions: IndexMap<SessionName, Open, FixedState>,
    occupied: BTreeSet<ChannelId>,
    /// Who was online by a session that gave way to another one, of which nothing has been seen.
    replaced: BTreeMap<UserId, SessionName>,
}

#[derive(Debug)]
struct Open {
    user_id: UserId,
    server: Reason,
    is_online: bool,
    channels: BTreeSet<ChannelId>,
}

impl Replay {
    /// Takes the next event in.
    pub(super) fn see(&mut self, event: ProjectEvent) {
        match event {
            ProjectEvent::SessionStarted { user_id, session, takeover, server } => {
                self.replaced.remove(&user_id);
                let open = self.open(user_id, session);
                open.server = server;
                open.is_online |= takeover;
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
