//! Answers that wait until the log of events has what happened: whoever was told of it finds it there, also after a crash.

use std::collections::VecDeque;

use rtm_codec::{SendOutcome, SharedEvent};

use super::{Core, HttpId, arena::SessionKey, notes::Asker};

/// What waits, in the order of the events.
#[derive(Debug, Default)]
pub(super) struct EventPromises {
    /// How many events the store was given and is done with.
    done: u64,
    /// Each waits until that many are done.
    waiting: VecDeque<(u64, Promised)>,
}

/// An answer that waits.
#[derive(Debug)]
pub(super) enum Promised {
    /// A message was stored.
    Stored { asker: Asker, event: SharedEvent },
    /// Something is refused from now on.
    Restricted(HttpId),
}

/// How far the store is to be with the events.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Logged(u64);

impl EventPromises {
    /// Whether an answer to a session waits.
    pub(super) fn concern(&self, key: SessionKey) -> bool {
        let is_of = |promised: &Promised| matches!(promised, Promised::Stored { asker, .. } if asker.session == key);
        self.waiting.iter().any(|(_, promised)| is_of(promised))
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }
}

impl Core {
    /// When the log has the event that was written just now, which somebody is to be told of. `None` if there is none, or if the
    /// store has not been given it.
    pub(super) fn await_logged(&mut self, is_logged: bool) -> Option<Logged> {
        let log = &self.event_log;
        let logged = Logged(log.promises.done + log.ahead());
        if !is_logged || !log.is_writing() {
            return None;
        }
        self.jobs.await_events();
        Some(logged)
    }

    /// Answers when the log is so far.
    pub(super) fn answer_when_logged(&mut self, logged: Option<Logged>, promised: Promised) {
        let log = &mut self.event_log;
        let Some(Logged(at)) = logged.filter(|logged| logged.0 > log.promises.done && log.is_writing()) else {
            return self.answer_promised(promised);
        };
        let waiting = &mut log.promises.waiting;
        waiting.insert(waiting.partition_point(|(before, _)| *before <= at), (at, promised));
    }

    /// The store is done with so many events more.
    pub(super) fn events_done(&mut self, events: usize) {
        let promises = &mut self.event_log.promises;
        promises.done += events as u64;
        let done = promises.done;
        while self.event_log.promises.waiting.front().is_some_and(|(at, _)| *at <= done)
            && let Some((_, promised)) = self.event_log.promises.waiting.pop_front()
        {
            self.answer_promised(promised);
        }
    }

    /// The log is not written for a while, or any more: nobody waits for that.
    pub(super) fn answer_all_promised(&mut self) {
        for (_, promised) in std::mem::take(&mut self.event_log.promises.waiting) {
            self.answer_promised(promised);
        }
    }

    fn answer_promised(&mut self, promised: Promised) {
        match promised {
            Promised::Stored { asker, event } => self.settle_message(asker, &event, Ok(SendOutcome::Stored)),
            Promised::Restricted(call) => self.admin_logged(call),
        }
    }
}
