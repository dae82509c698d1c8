//! After a reconnect: having again what the user had, and sending again what has no answer.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use rtm_codec::{ChannelId, Command, ErrorKind, Family, Refusal, RequestId, Resumption};

use crate::{
    Output, Restored, RtmError, RtmEvent,
    connection::Connection,
    intent::{Errand, Progress},
    link::Link,
    pending::{Pending, Request, Sent},
};

/// The call of an errand is made at most so often over one link.
const TRIES: u8 = 3;
/// So long after a failure it is made again: longer than the window of any call limit.
const PAUSE: Duration = Duration::from_secs(5);
/// So many channels at most are remembered that the user may be in without wanting it.
const UNJOINED: usize = 256;

impl Connection {
    /// Runs every errand that there is.
    pub(super) fn run_errands(&mut self, now: Instant) {
        self.intent.errands.values_mut().for_each(|progress| *progress = Progress::default());
        let errands: Vec<_> = self.intent.errands.keys().cloned().collect();
        errands.into_iter().for_each(|errand| self.run(now, errand));
    }

    /// Runs those again that failed a while ago.
    pub(super) fn retry_errands(&mut self, now: Instant) {
        let is_due = |progress: &Progress| progress.retry_at.is_some_and(|at| at <= now);
        let errands = self.intent.errands.iter().filter(|(_, progress)| is_due(progress));
        let due: Vec<_> = errands.map(|(errand, _)| errand.clone()).collect();
        due.into_iter().for_each(|errand| self.run(now, errand));
    }

    /// A write of the user's attributes ended, on which restoring them may have waited.
    pub(super) fn write_ended(&mut self, now: Instant) {
        let errand = Errand::Restore(Restored::UserAttributes);
        let waits = |progress: &Progress| !progress.under_way && progress.retry_at.is_none();
        if self.intent.errands.get(&errand).is_some_and(waits) {
            self.run(now, errand);
        }
    }

    /// The user is to be in the channel, and may not be: the server took its join, but perhaps before it was away for
    /// too long, or may do a leave after the user gave up waiting for it.
    pub(super) fn join_again(&mut self, now: Instant, channel: &ChannelId) {
        self.set_out(now, Errand::Restore(Restored::Channel(channel.clone())));
    }

    /// The server may do a join after the user gave up waiting for it.
    pub(super) fn leave_unjoined(&mut self, now: Instant, channel: &ChannelId) {
        let leaves = self.intent.errands.keys().filter(|errand| matches!(errand, Errand::Leave(_)));
        if leaves.count() < UNJOINED {
            self.set_out(now, Errand::Leave(channel.clone()));
        }
    }

    fn set_out(&mut self, now: Instant, errand: Errand) {
        self.intent.errands.insert(errand.clone(), Progress::default());
        self.run(now, errand);
    }

    /// Makes the call of an errand. Without a link it waits for the next one.
    fn run(&mut self, now: Instant, errand: Errand) {
        let writes_attributes = errand == Errand::Restore(Restored::UserAttributes);
        let Some(progress) = self.intent.errands.get_mut(&errand) else { return };
        progress.retry_at = None;
        // Setting attributes now could undo a write that is on its way.
        let waits = writes_attributes && self.pending.has_sent_attribute_write();
        if waits || !matches!(self.link, Link::Online(_)) {
            return;
        }
        progress.tries += 1;
        progress.under_way = true;
        let Some(command) = self.intent.command(&errand) else {
            self.intent.errands.remove(&errand);
            return;
        };
        let id = self.take_request_id();
        let deadline = Pending::deadline(&self.config, now, &command);
        let command = Arc::new(command);
        self.queue.push_back(Output::Request { id, command: Arc::clone(&command) });
        self.pending.insert(id, Request { command, deadline, sent: Sent::Once, errand: Some(errand) });
    }

    /// The call of an errand ended.
    pub(super) fn errand_ended(&mut self, now: Instant, errand: Errand, result: Result<(), Refusal>) {
        let Some(progress) = self.intent.errands.get_mut(&errand) else { return };
        progress.under_way = false;
        let refusal = match result {
            Err(refusal) if refusal.kind != ErrorKind::AlreadyJoined => refusal,
            _ => {
                self.intent.errands.remove(&errand);
                return;
            }
        };
        let passes = matches!(
            refusal.kind,
            ErrorKind::TooOften | ErrorKind::SameChannelTooOften | ErrorKind::Timeout | ErrorKind::Failure
        );
        if passes && progress.tries < TRIES {
            progress.retry_at = Some(now + PAUSE + self.rng.up_to(PAUSE / 5));
            return;
        }
        if passes && matches!(errand, Errand::Leave(_)) {
            // Nobody waits for it, and it has to be done: over the next link.
            return;
        }
        self.intent.errands.remove(&errand);
        if self.intent.command(&errand).is_none() {
            return;
        }
        let Errand::Restore(what) = errand else { return };
        self.intent.forget(&what);
        let family = match &what {
            Restored::Channel(channel) => {
                if refusal.kind == ErrorKind::Timeout {
                    self.leave_unjoined(now, channel);
                }
                Family::JoinChannel
            }
            Restored::Subscriptions => Family::PeerSubscription,
            Restored::UserAttributes => Family::Attributes,
        };
        self.emit(RtmEvent::RestoreFailed { what, error: RtmError::from_refusal(refusal, family) });
    }

    /// Sends what has no answer, in the order in which the user asked for it.
    pub(super) fn resend(&mut self, now: Instant, resumption: Resumption) {
        for id in self.pending.ids() {
            match self.next_sending(id, resumption) {
                Some(command) => self.queue.push_back(Output::Request { id, command }),
                None => {
                    if let Some(request) = self.pending.remove_user(id) {
                        self.finish(now, id, request, Err(ErrorKind::OutcomeUnknown.into()));
                    }
                }
            }
        }
    }

    fn next_sending(&mut self, id: RequestId, resumption: Resumption) -> Option<Arc<Command>> {
        let request = self.pending.get_mut(id).filter(|request| request.errand.is_none())?;
        let known = matches!(resumption, Resumption::Resumed | Resumption::Lapsed);
        if !known && request.may_have_had_effect() {
            return None;
        }
        request.sent = match request.sent {
            Sent::Never => Sent::Once,
            Sent::Once | Sent::Again if resumption != Resumption::Lapsed => Sent::Again,
            Sent::Once | Sent::Again | Sent::AgainAfterLapse => Sent::AgainAfterLapse,
        };
        Some(Arc::clone(&request.command))
    }
}
