//! After a reconnect: having again what the user had, and sending again what has no answer.

use std::time::{Duration, Instant};

use rtm_codec::{ChannelId, ClientFrame, Command, ErrorKind, Family, LeaveChannel, Refusal, RequestId, Resumption};

use crate::{
    Restored, RtmError, RtmEvent,
    connection::Connection,
    intent::Restoring,
    link::Link,
    pending::{Pending, Request, Sent},
};

/// A restoring call is made at most so often.
const TRIES: u8 = 3;
/// So long after a failure it is made again: longer than the window of any call limit.
const PAUSE: Duration = Duration::from_secs(5);

impl Connection {
    /// Asks for everything that is to be restored.
    pub(super) fn restore(&mut self, now: Instant) {
        self.intent.restoring.values_mut().for_each(|restoring| *restoring = Restoring::default());
        let everything: Vec<_> = self.intent.restoring.keys().cloned().collect();
        for what in everything {
            self.ask_for(now, what);
        }
    }

    /// Asks again for what failed a while ago.
    pub(super) fn retry_restoring(&mut self, now: Instant) {
        let due = |restoring: &Restoring| restoring.retry_at.is_some_and(|at| at <= now);
        let due: Vec<_> = self
            .intent
            .restoring
            .iter()
            .filter(|(_, restoring)| due(restoring))
            .map(|(what, _)| what.clone())
            .collect();
        for what in due {
            self.ask_for(now, what);
        }
    }

    /// A write of the user's attributes ended, on which restoring them may have waited.
    pub(super) fn write_ended(&mut self, now: Instant) {
        let waits = |restoring: &Restoring| !restoring.under_way && restoring.retry_at.is_none();
        if matches!(self.link, Link::Online(_))
            && self.intent.restoring.get(&Restored::UserAttributes).is_some_and(waits)
        {
            self.ask_for(now, Restored::UserAttributes);
        }
    }

    /// The server took a join, but perhaps before the user was away for too long to stay in the channel.
    pub(super) fn join_again(&mut self, now: Instant, channel_id: &ChannelId) {
        let what = Restored::Channel(channel_id.clone());
        self.intent.restoring.insert(what.clone(), Restoring::default());
        self.ask_for(now, what);
    }

    fn ask_for(&mut self, now: Instant, what: Restored) {
        let waits = what == Restored::UserAttributes && self.pending.has_sent_attribute_write();
        let Some(restoring) = self.intent.restoring.get_mut(&what) else { return };
        restoring.retry_at = None;
        if waits {
            // Setting them now could undo a write that is on its way.
            return;
        }
        restoring.tries += 1;
        restoring.under_way = true;
        let Some(command) = self.intent.restoring_command(&what) else {
            self.intent.restoring.remove(&what);
            return;
        };
        let id = self.take_request_id();
        let deadline = Pending::deadline(&self.config, now, &command);
        self.send(ClientFrame::Request { id, command: command.clone() });
        self.pending.insert(id, Request { command, deadline, sent: Sent::Once, restores: Some(what) });
    }

    /// A restoring call ended.
    pub(super) fn restored(&mut self, now: Instant, what: Restored, result: Result<(), Refusal>) {
        let Some(restoring) = self.intent.restoring.get_mut(&what) else { return };
        restoring.under_way = false;
        let refusal = match result {
            Err(refusal) if refusal.kind != ErrorKind::AlreadyJoined => refusal,
            _ => {
                self.intent.restoring.remove(&what);
                return;
            }
        };
        let passes = matches!(
            refusal.kind,
            ErrorKind::TooOften | ErrorKind::SameChannelTooOften | ErrorKind::Timeout | ErrorKind::Failure
        );
        if passes && restoring.tries < TRIES {
            restoring.retry_at = Some(now + PAUSE + self.rng.up_to(PAUSE / 5));
            return;
        }
        self.intent.restoring.remove(&what);
        if self.intent.restoring_command(&what).is_none() {
            return;
        }
        self.intent.forget(&what);
        let family = match &what {
            Restored::Channel(channel_id) => {
                if refusal.kind == ErrorKind::Timeout {
                    self.send_unasked(LeaveChannel { channel_id: channel_id.clone() }.into());
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
                Some(command) => self.send(ClientFrame::Request { id, command }),
                None => {
                    if let Some(request) = self.pending.remove_user(id) {
                        self.finish(now, id, request, Err(ErrorKind::OutcomeUnknown.into()));
                    }
                }
            }
        }
    }

    fn next_sending(&mut self, id: RequestId, resumption: Resumption) -> Option<Command> {
        let request = self.pending.get_mut(id).filter(|request| request.restores.is_none())?;
        let known = matches!(resumption, Resumption::Resumed | Resumption::Lapsed);
        if !known && request.may_have_had_effect() {
            return None;
        }
        request.sent = match request.sent {
            Sent::Never => Sent::Once,
            Sent::Once | Sent::Again if resumption != Resumption::Lapsed => Sent::Again,
            Sent::Once | Sent::Again | Sent::AgainAfterLapse => Sent::AgainAfterLapse,
        };
        Some(request.command.clone())
    }
}
