//! What the log of events says of the world, and whether it could be so.

use std::collections::{BTreeMap, BTreeSet};

use rtm_codec::{ChannelId, UserId};
use rtm_core::{LoggedEvent, Place, ProjectEvent, SessionName};

use super::{Verdict, facts::Invariant, fault};

/// What is open behind the events that were looked at.
#[derive(Debug, Default)]
struct Open {
    /// Whose each session is, and its channels.
    sessions: BTreeMap<SessionName, (UserId, BTreeSet<ChannelId>)>,
    ended: BTreeSet<SessionName>,
    online: BTreeSet<UserId>,
    occupied: BTreeSet<ChannelId>,
}

/// Looks through the log of a server that has so many sessions now: whatever begins ends once, in order, also where the server
/// was killed.
pub(super) fn check(log: &[(Place, LoggedEvent)], sessions: usize) -> Verdict {
    let broken = |detail: String| Err(fault(Invariant::EventLog, detail));
    if !log.is_sorted_by(|(one, _), (next, _)| one < next) {
        return broken("a number is there twice, or out of order".to_owned());
    }
    // Where the store failed, events may be missing, and the log says so.
    if log.iter().any(|(_, logged)| matches!(logged.event, ProjectEvent::LogGap { .. })) {
        return Ok(());
    }
    let mut open = Open::default();
    for (Place(number), LoggedEvent { event, .. }) in log {
        if let Err(what) = open.see(event) {
            return broken(format!("{what}: {number} {event:?}"));
        }
    }
    match open.sessions.len() {
        left if left != sessions => broken(format!("{left} sessions are open there, and {sessions} in the server")),
        _ => Ok(()),
    }
}

impl Open {
    fn see(&mut self, event: &ProjectEvent) -> Result<(), &'static str> {
        let holds = |does: bool, what| if does { Ok(()) } else { Err(what) };
        match event {
            ProjectEvent::ServerStarted { .. } => {
                holds(self.sessions.is_empty(), "a server starts, and sessions of before are open")?;
                holds(self.online.is_empty(), "a server starts, and users of before are online")?;
                holds(self.occupied.is_empty(), "a server starts, and channels of before are occupied")
            }
            ProjectEvent::SessionStarted { user_id, session, takeover, .. } => {
                holds(!self.ended.contains(session), "a session starts that ended")?;
                holds(*takeover == self.online.contains(user_id), "what it takes over is not so")?;
                let before = self.sessions.insert(*session, (user_id.clone(), BTreeSet::new()));
                holds(before.is_none(), "a session starts twice")
            }
            ProjectEvent::SessionResumed { session, .. } => {
                holds(self.sessions.contains_key(session), "a session is resumed that is not open")
            }
            ProjectEvent::SessionEnded { session, .. } => {
                self.ended.insert(*session);
                let ended = self.sessions.remove(session);
                holds(ended.is_some_and(|(_, channels)| channels.is_empty()), "it is not open, or still in channels")
            }
            ProjectEvent::UserOnline { user_id, session } => {
                holds(self.sessions.contains_key(session), "its session is not open")?;
                holds(self.online.insert(user_id.clone()), "the user is online already")
            }
            ProjectEvent::UserOffline { user_id, session, .. } => {
                // It may have given way to one that a crash has undone.
                holds(self.sessions.contains_key(session) || self.ended.contains(session), "its session is not open")?;
                holds(self.online.remove(user_id), "the user is not online")
            }
            ProjectEvent::MemberJoined { channel_id, session, .. } => {
                holds(self.occupied.contains(channel_id), "the channel is not occupied")?;
                let channels = self.sessions.get_mut(session).map(|(_, channels)| channels);
                holds(channels.is_some_and(|it| it.insert(channel_id.clone())), "not open, or a member already")
            }
            ProjectEvent::MemberLeft { channel_id, session, .. } => {
                let channels = self.sessions.get_mut(session).map(|(_, channels)| channels);
                holds(channels.is_some_and(|it| it.remove(channel_id)), "not open, or no member")
            }
            ProjectEvent::ChannelOccupied { channel_id } => {
                holds(self.occupied.insert(channel_id.clone()), "the channel is occupied already")
            }
            ProjectEvent::ChannelVacated { channel_id } => {
                let has_members = self.sessions.values().any(|(_, channels)| channels.contains(channel_id));
                holds(!has_members && self.occupied.remove(channel_id), "the channel has members, or had none")
            }
            _ => Ok(()),
        }
    }
}
