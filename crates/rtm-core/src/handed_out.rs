//! Stored messages that were handed out over HTTP: they are removed once their client is known to have them. A proxy in
//! between may have taken an answer that its client never gets, so that a written answer proves nothing.

use std::collections::BTreeMap;

use rtm_codec::{CloseReason, UserId};

use super::{ConnId, Core, HttpId, LogKey, Now, Place, StoreWork, arena::SessionKey};

/// What was handed out, of each session the last.
#[derive(Debug, Default)]
pub(super) struct HandedOut(BTreeMap<SessionKey, Answer>);

#[derive(Debug)]
struct Answer {
    user_id: UserId,
    places: Vec<Place>,
    how: Confirmation,
    progress: Progress,
}

/// How a client says that it has an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Confirmation {
    /// It asks for the next page.
    NextPage,
    /// It cannot say so. It has the answer when its connection, the one of the time of the answer, gave signs of life
    /// some time after that, or when it logs out.
    Signs { answer: HttpId, conn: Option<ConnId> },
}

/// How far an answer is, for a client that cannot say that it has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Progress {
    /// It is being written, and its client may have logged out meanwhile.
    Writing { is_logged_out: bool },
    /// It is written. This many signs of life came since.
    Written { signs: u32 },
}

impl HandedOut {
    pub(super) fn add(&mut self, session: SessionKey, user_id: UserId, places: Vec<Place>, how: Confirmation) {
        self.0.remove(&session);
        if places.is_empty() {
            return;
        }
        if self.0.len() >= MOST {
            // Some answer that is never confirmed: its messages stay stored.
            self.0.pop_first();
        }
        let progress = Progress::Writing { is_logged_out: false };
        self.0.insert(session, Answer { user_id, places, how, progress });
    }
}

impl HandedOut {
    /// What was handed out to a session, and is not confirmed.
    pub(super) fn places(&self, session: SessionKey) -> &[Place] {
        self.0.get(&session).map_or(&[], |answer| &answer.places)
    }

    /// What was handed out to a session did not arrive. Says whether there was something.
    pub(super) fn forget(&mut self, session: SessionKey) -> bool {
        self.0.remove(&session).is_some()
    }
}

impl Core {
    /// An HTTP answer was written as a whole, or its connection broke before that. Required for answers with stored
    /// messages ([`GatewayAnswer::OfflineMessages`](rtm_codec::anyrtc::gateway::GatewayAnswer::OfflineMessages)).
    pub fn http_answer_ended(&mut self, now: Now, id: HttpId, is_written: bool) {
        if self.ended_elsewhere(id, is_written) {
            return;
        }
        let now = self.time(now);
        let is_it = |answer: &Answer| matches!(answer.how, Confirmation::Signs { answer, .. } if answer == id);
        let found = self.http.handed_out.0.iter_mut().find(|(_, answer)| is_it(answer));
        let Some((&key, answer)) = found else { return };
        let is_logged_out = answer.progress == Progress::Writing { is_logged_out: true };
        answer.progress = Progress::Written { signs: 0 };
        if !is_written {
            self.http.handed_out.0.remove(&key);
            self.fetch_failed(now, key);
        } else if is_logged_out {
            self.remove_handed_out(key);
        }
    }

    /// A client asks for what follows a page: it has all up to there.
    pub(super) fn confirm_page(&mut self, key: SessionKey, up_to: Place) {
        let handed_out = &mut self.http.handed_out.0;
        if let Some(answer) = handed_out.get_mut(&key)
            && answer.how == Confirmation::NextPage
        {
            answer.places.retain(|place| *place <= up_to);
            self.remove_handed_out(key);
        }
    }

    /// A client gave a sign of life on a connection.
    pub(super) fn count_sign(&mut self, conn: ConnId, key: SessionKey) {
        let handed_out = &mut self.http.handed_out.0;
        if handed_out.is_empty() {
            return;
        }
        let Some(Answer { how: Confirmation::Signs { conn: at, .. }, progress: Progress::Written { signs }, .. }) =
            handed_out.get_mut(&key)
        else {
            return;
        };
        if *at != Some(conn) {
            // It came back after a loss that the answer may have shared.
            handed_out.remove(&key);
            return;
        }
        *signs += 1;
        if *signs >= SIGNS {
            self.remove_handed_out(key);
        }
    }

    /// A session has ended. Whoever logs out on another connection than that of the answer may have lost it with that.
    pub(super) fn settle_handed_out(&mut self, key: SessionKey, conn: Option<ConnId>, reason: CloseReason) {
        let handed_out = &mut self.http.handed_out.0;
        let Some(answer) = handed_out.get_mut(&key) else { return };
        let is_there = matches!(answer.how, Confirmation::Signs { conn: at, .. } if at.is_some() && at == conn);
        match &mut answer.progress {
            _ if reason != CloseReason::Logout || !is_there => drop(handed_out.remove(&key)),
            Progress::Writing { is_logged_out } => *is_logged_out = true,
            Progress::Written { .. } => self.remove_handed_out(key),
        }
    }

    /// The client has what was handed out.
    fn remove_handed_out(&mut self, key: SessionKey) {
        let Some(Answer { user_id, places, .. }) = self.http.handed_out.0.remove(&key) else { return };
        if self.hub.sessions.get(key).is_some() {
            // What cannot be removed now goes with what is received later.
            self.remove_stored(key, places);
        } else if !places.is_empty() {
            self.jobs.tell(StoreWork::Remove { log: LogKey::Stored(user_id), places });
        }
    }
}

/// How many answers may wait for their confirmation.
const MOST: usize = 1024;
/// After this many signs of life the client has received what was written before them.
const SIGNS: u32 = 2;
