//! The sessions that a user's present session put an end to: their clients may come back without knowing it, and must
//! not put an end to the present one.

use std::collections::VecDeque;

use rtm_codec::{InstanceId, SessionId};

use super::{
    cluster::OustedSession,
    pack::format::{Id, OustedV1},
    session::Session,
};

/// The last sessions that ended so, oldest first.
#[derive(Debug, Default)]
pub(super) struct OustedSessions(VecDeque<Ousted>);

#[derive(Debug)]
struct Ousted {
    session: SessionId,
    instance: InstanceId,
    /// Whether its client has been told, or could be.
    was_told: bool,
}

impl OustedSessions {
    /// A session ends for another one. `is_told`: its client is connected.
    pub(super) fn add(&mut self, session: SessionId, instance: InstanceId, is_told: bool) {
        if self.0.len() >= OUSTED_SESSIONS {
            self.0.pop_front();
        }
        self.0.push_back(Ousted { session, instance, was_told: is_told });
    }

    /// Whether a client comes back to a session that ended so. It is told now.
    pub(super) fn tell_resuming(&mut self, session: SessionId) -> bool {
        let found = self.0.iter_mut().find(|ousted| ousted.session == session);
        found.map(|ousted| ousted.was_told = true).is_some()
    }

    /// Whether a client that logs in anew lost its session unheard. Without a ticket it looks like one that never had
    /// a session, so it is told once.
    pub(super) fn tell_returning(&mut self, instance: &InstanceId) -> bool {
        let untold = |ousted: &Ousted| !ousted.was_told && ousted.instance == *instance;
        self.0.iter().position(untold).and_then(|at| self.0.remove(at)).is_some()
    }
}

impl OustedSessions {
    /// These, and a session of the same user behind them, which another node is to put an end to.
    pub(super) fn with(&self, session: &Session) -> Vec<OustedSession> {
        let ousted = |ousted: &Ousted| OustedSession {
            session: ousted.session,
            instance: ousted.instance.clone(),
            was_told: ousted.was_told,
        };
        let last = OustedSession {
            session: session.id,
            instance: session.terms.instance().clone(),
            was_told: session.conn.is_some(),
        };
        self.0.iter().map(ousted).chain([last]).collect()
    }

    /// What another node said of the sessions of a user.
    pub(super) fn from_elsewhere(sessions: Vec<OustedSession>) -> Self {
        let mut ousted = Self::default();
        for OustedSession { session, instance, was_told } in sessions {
            ousted.add(session, instance, was_told);
        }
        ousted
    }
}

impl OustedSessions {
    pub(super) fn pack(&self) -> Vec<OustedV1> {
        let pack = |ousted: &Ousted| OustedV1 {
            session: ousted.session.0,
            instance: Id(ousted.instance.clone()),
            was_told: ousted.was_told,
        };
        self.0.iter().map(pack).collect()
    }

    pub(super) fn unpack(packed: Vec<OustedV1>) -> Option<Self> {
        let unpack = |OustedV1 { session, instance, was_told }| Ousted {
            session: SessionId(session),
            instance: instance.0,
            was_told,
        };
        (packed.len() <= OUSTED_SESSIONS).then(|| Self(packed.into_iter().map(unpack).collect()))
    }
}

const OUSTED_SESSIONS: usize = 8;
