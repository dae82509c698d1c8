//! Answers that wait until the log of events has what happened: whoever was told of it finds it there, also after a crash.

use std::collections::VecDeque;

use rtm_codec::{SendOutcome, SharedEvent};

use super::{Core, HttpId, notes::Asker};

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

impl Core {
    /// Answers when the log has the event that was written last, or at once if it has none.
    pub(super) fn answer_when_logged(&mut self, is_logged: bool, promised: Promised) {
        let log = &mut self.event_log;
        if !is_logged || !log.is_writing() {
            return self.answer_promised(promised);
        }
        let at = log.promises.done + log.ahead();
        log.promises.waiting.push_back((at, promised));
        self.jobs.await_events();
    }

    /// The store is done with so many events more.
    pub(super) fn events_done(&mut self, events: usize) {
        let promises = &mut self.event_log.promises;
        promises.done += events as u64;
        let done = promises.done;
        while let Some((_, promised)) = self.event_log.promises.waiting.pop_front_if(|(at, _)| *at <= done) {
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
            Promised::Restricted(call) => self.admin_posted(call),
        }
    }
}
