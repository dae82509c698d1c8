//! After a reconnect: restoring what the user had, and sending again what has no answer.

use std::{sync::Arc, time::Duration};

use rtm_codec::{ChannelId, Command, ErrorKind, Family, Refusal, RequestId, Resumption};

use super::account::Active;
use crate::{
    Output, Restored, RtmError, RtmEvent,
    intent::{Errand, Progress},
    pending::{Pending, Request, Sent},
};

impl Active<'_> {
    /// Runs every errand that there is.
    pub(super) fn run_errands(&mut self) {
        self.account.intent.errands.values_mut().for_each(|progress| *progress = Progress::default());
        let errands: Vec<_> = self.account.intent.errands.keys().cloned().collect();
        errands.into_iter().for_each(|errand| self.run(errand));
    }

    /// Runs those again that failed a while ago.
    pub(super) fn retry_errands(&mut self) {
        let is_due = |progress: &Progress| progress.retry_at.is_some_and(|at| at <= self.now);
        let errands = self.account.intent.errands.iter().filter(|(_, progress)| is_due(progress));
        let due: Vec<_> = errands.map(|(errand, _)| errand.clone()).collect();
        due.into_iter().for_each(|errand| self.run(errand));
    }

    /// A write of the user's attributes ended, on which restoring them may have waited.
    pub(super) fn write_ended(&mut self) {
        let errand = Errand::Restore(Restored::UserAttributes);
        let waits = |progress: &Progress| !progress.under_way && progress.retry_at.is_none();
        if self.account.intent.errands.get(&errand).is_some_and(waits) {
            self.run(errand);
        }
    }

    /// The user is to be in the channel, and may not be: the server took its join, but perhaps before it was away for
    /// too long, or may do a leave after the user gave up waiting for it.
    pub(super) fn join_again(&mut self, channel: &ChannelId) {
        self.set_out(Errand::Restore(Restored::Channel(channel.clone())));
    }

    /// The server may do a join after the user gave up waiting for it.
    pub(super) fn leave_unjoined(&mut self, channel: &ChannelId) {
        let leaves = self.account.intent.errands.keys().filter(|errand| matches!(errand, Errand::Leave(_)));
        if leaves.count() < UNJOINED {
            self.set_out(Errand::Leave(channel.clone()));
        }
    }

    fn set_out(&mut self, errand: Errand) {
        self.account.intent.errands.insert(errand.clone(), Progress::default());
        self.run(errand);
    }

    /// Makes the call of an errand. Without a link it waits for the next one.
    fn run(&mut self, errand: Errand) {
        let writes_attributes = errand == Errand::Restore(Restored::UserAttributes);
        let is_online = self.account.is_online();
        let Some(progress) = self.account.intent.errands.get_mut(&errand) else { return };
        progress.retry_at = None;
        // Setting attributes now could undo a write that is on its way.
        let waits = writes_attributes && self.account.pending.has_sent_attribute_write();
        if waits || !is_online {
            return;
        }
        progress.tries += 1;
        progress.under_way = true;
        let Some(command) = self.account.intent.command(&errand) else {
            self.account.intent.errands.remove(&errand);
            return;
        };
        let id = self.lasting.take_request_id();
        let deadline = Pending::deadline(&self.lasting.config, self.now, &command);
        let command = Arc::new(command);
        self.push(Output::Request { id, command: Arc::clone(&command) });
        self.account.pending.insert(id, Request { command, deadline, sent: Sent::Once, errand: Some(errand) });
    }

    /// The call of an errand ended.
    pub(super) fn errand_ended(&mut self, errand: Errand, result: Result<(), Refusal>) {
        let Some(progress) = self.account.intent.errands.get_mut(&errand) else { return };
        progress.under_way = false;
        let refusal = match result {
            Err(refusal) if refusal.kind != ErrorKind::AlreadyJoined => refusal,
            _ => {
                self.account.intent.errands.remove(&errand);
                return;
            }
        };
        let passes = matches!(
            refusal.kind,
            ErrorKind::TooOften | ErrorKind::SameChannelTooOften | ErrorKind::Timeout | ErrorKind::Failure
        );
        if passes && progress.tries < TRIES {
            progress.retry_at = Some(self.now + PAUSE + self.lasting.rng.up_to(PAUSE / 5));
            return;
        }
        if passes && matches!(errand, Errand::Leave(_)) {
            // Nobody waits for it, and it has to be done: over the next link.
            return;
        }
        self.account.intent.errands.remove(&errand);
        if self.account.intent.command(&errand).is_none() {
            return;
        }
        let Errand::Restore(what) = errand else { return };
        self.account.intent.forget(&what);
        let family = match &what {
            Restored::Channel(channel) => {
                if refusal.kind == ErrorKind::Timeout {
                    self.leave_unjoined(channel);
                }
                Family::JoinChannel
            }
            Restored::Subscriptions => Family::PeerSubscription,
            Restored::UserAttributes => Family::Attributes,
        };
        self.emit(RtmEvent::RestoreFailed { what, error: RtmError::from_refusal(refusal, family) });
    }

    /// Sends what has no answer, in the order in which the user asked for it.
    pub(super) fn resend(&mut self, resumption: Resumption) {
        for id in self.account.pending.ids() {
            match self.next_sending(id, resumption) {
                Some(command) => self.send_request(id, command),
                None => {
                    if let Some(request) = self.account.pending.remove_user(id) {
                        self.finish(id, request, Err(ErrorKind::OutcomeUnknown.into()));
                    }
                }
            }
        }
    }

    fn next_sending(&mut self, id: RequestId, resumption: Resumption) -> Option<Arc<Command>> {
        let request = self.account.pending.get_mut(id).filter(|request| request.errand.is_none())?;
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

/// How often the call of an errand is made over one link.
const TRIES: u8 = 3;
/// How long after a failure it is made again: longer than the window of any call limit.
const PAUSE: Duration = Duration::from_secs(5);
/// How many channels are remembered that the user may be in against its will.
const UNJOINED: usize = 256;
