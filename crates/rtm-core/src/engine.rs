//! What a core has asked of the engine, and what for.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{SessionId, UserId};

use super::{
    HttpId,
    arena::SessionKey,
    cluster::{EngineJob, EngineJobId, EngineWork},
};

/// The jobs that are not answered.
#[derive(Debug, Default)]
pub(super) struct EngineJobs {
    next: u64,
    asked: BTreeMap<EngineJobId, (UserId, Purpose)>,
    out: Vec<EngineJob>,
}

/// What the engine was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Purpose {
    /// A claim goes on.
    Claim(u64),
    /// A session that was to go to another node goes on here, if the entry says so.
    Thaw(SessionId),
    /// The user has no session here any more.
    Release { expected: u64, next_pause: Duration },
    /// A message of this session goes there.
    Where(SessionKey),
    /// The user's session is to read what was stored for it.
    Reader,
    /// The entry is void, and goes.
    Tidy,
    /// An HTTP request is for its client's session there.
    Request(HttpId),
}

impl EngineJobs {
    pub(super) fn new(next: u64) -> Self {
        Self { next, ..Self::default() }
    }

    /// How many are not answered.
    pub(super) fn len(&self) -> usize {
        self.asked.len()
    }

    /// The number of the next job.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    /// Asks something of the engine.
    pub(super) fn ask(&mut self, user_id: &UserId, work: EngineWork, purpose: Purpose) {
        let id = EngineJobId(self.next);
        self.next += 1;
        self.asked.insert(id, (user_id.clone(), purpose));
        self.out.push(EngineJob { id, user_id: user_id.clone(), work });
    }

    /// A job is answered: whose entry it was about, and what it was for.
    pub(super) fn answered(&mut self, id: EngineJobId) -> Option<(UserId, Purpose)> {
        self.asked.remove(&id)
    }

    pub(super) fn take(&mut self, jobs: &mut Vec<EngineJob>) {
        jobs.append(&mut self.out);
    }
}
