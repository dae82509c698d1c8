//! Messages from user to user, and what their senders are told of them.

use std::time::Instant;

use rtm_codec::{
    Answer, ErrorKind, Event, HistoryMessage, PeerMessage, Refusal, RtmMessage, SendMessageToPeer, SendOutcome,
    SharedEvent, UserId, limits,
};

use super::{
    Conversation, Core, Now, OfflineMessage, StoreWork,
    arena::SessionKey,
    jobs::Waiting,
    message_ids::{Known, Sent},
    session::OfflineLoad,
    stream::{Asker, Note, Queued, detached, event_bytes},
};

impl Core {
    pub(super) fn send_to_peer(
        &mut self,
        now: Now,
        asker: Asker,
        send: SendMessageToPeer,
    ) -> Option<Result<Answer, Refusal>> {
        if let Err(refusal) = limits::check_message(&send.message) {
            return Some(Err(refusal));
        }
        let from = self.user_id_of(asker.session)?;
        let receiver = self.users.find(&send.peer_id).and_then(|user| self.users.get(user)?.session);
        let receiver = receiver.and_then(|key| Some((key, self.hub.sessions.get(key).filter(|of| of.is_there())?)));
        if let (RtmMessage::Binary(_), Some((_, session))) = (&send.message, receiver)
            && !session.abilities.binary
        {
            return Some(Err(ErrorKind::IncompatibleMessage.into()));
        }
        let receiver = receiver.map(|(key, _)| key);
        if self.store_is_behind() && (send.enable_historical_messaging || send.enable_offline_messaging) {
            return Some(Err(Refusal::new(ErrorKind::Failure, "the server's store is behind: try again later")));
        }
        match self.begin_message(now, asker, Sent::ToPeer(send.message_id)) {
            Known::Fresh => {}
            Known::Done(outcome) => return Some(Ok(Answer::SendMessageToPeer(outcome))),
            Known::UnderWay => return None,
        }
        self.hub.stats.peer_messages += 1;
        if send.enable_historical_messaging {
            let message = HistoryMessage {
                message_id: send.message_id,
                from: from.clone(),
                message: detached(send.message.clone()),
                server_received_ts: now.unix_ms,
            };
            let of = Conversation::between(from.clone(), send.peer_id.clone());
            self.keep_history(asker, of, message, Waiting::Promise(asker));
        }
        let event = Event::MessageFromPeer(PeerMessage {
            message_id: send.message_id,
            peer_id: from,
            message: send.message,
            is_offline_message: false,
            server_received_ts: now.unix_ms,
        });
        let bytes = event_bytes(&event);
        let event = SharedEvent::for_one(event);
        let store = send.enable_offline_messaging;
        match receiver.filter(|key| self.hub.has_room(*key, bytes)) {
            Some(key) => {
                let deadline = now.instant + self.config.settings.receipt_within;
                let note = Note::Receipt { asker, deadline, store };
                self.push_message(key, Queued { event, note, bytes });
            }
            None => {
                if store {
                    self.store_what_waits(now, &send.peer_id);
                }
                self.give_up_receipt(&send.peer_id, asker, store, &event, None);
            }
        }
        None
    }

    /// Puts a message from a user into its receiver's session; behind stored ones that are still being read.
    fn push_message(&mut self, key: SessionKey, queued: Queued) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if let Note::Receipt { deadline, .. } = queued.note
            && session.receipts.due.is_none()
        {
            session.receipts.due = Some(deadline);
            session.receipts.from = session.stream.end();
            self.hub.arm(key);
        }
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if session.offline == OfflineLoad::Done {
            self.hub.push(key, queued);
        } else {
            session.held_bytes += queued.bytes as usize;
            session.held.push_back(queued);
        }
    }

    /// Remembers a message of a session by its number, and says whether it is a repeat.
    pub(super) fn begin_message(&mut self, now: Now, asker: Asker, sent: Sent) -> Known {
        let Some(session) = self.hub.sessions.get_mut(asker.session) else { return Known::UnderWay };
        let message_ids = session.message_ids.get_or_insert_with(Box::default);
        message_ids.begin(sent, asker.request, now.instant, &self.config.settings)
    }

    /// A sender is told what became of its message.
    pub(super) fn settle_message(&mut self, asker: Asker, event: &SharedEvent, outcome: Result<SendOutcome, Refusal>) {
        let Event::MessageFromPeer(message) = event.event() else { return };
        let sent = Sent::ToPeer(message.message_id);
        self.finish_repeated(asker, sent, outcome.clone(), Answer::SendMessageToPeer);
        self.hub.finish(asker, outcome.map(Answer::SendMessageToPeer));
    }

    /// Answers the requests that repeated a message before its outcome was known.
    pub(super) fn finish_repeated(
        &mut self,
        asker: Asker,
        sent: Sent,
        outcome: Result<SendOutcome, Refusal>,
        answer: impl FnOnce(SendOutcome) -> Answer,
    ) {
        let Some(session) = self.hub.sessions.get_mut(asker.session) else { return };
        let numbering = session.requests.numbering;
        let Some(message_ids) = &mut session.message_ids else { return };
        let repeated = match outcome {
            Ok(outcome) => message_ids.finish(sent, outcome),
            Err(_) => message_ids.forget(sent),
        };
        if repeated.is_empty() {
            return;
        }
        let result = outcome.map(answer);
        for request in repeated {
            self.hub.finish(Asker { request, numbering, ..asker }, result.clone());
        }
    }

    /// The receiver's device has not received a message in time: it is stored if its sender wished so.
    /// `receiver` is the session that may still receive it.
    pub(super) fn give_up_receipt(
        &mut self,
        to: &UserId,
        asker: Asker,
        store: bool,
        event: &SharedEvent,
        receiver: Option<SessionKey>,
    ) -> Option<Note> {
        let Event::MessageFromPeer(message) = event.event() else { return None };
        if !store || self.store_is_behind() {
            self.settle_message(asker, event, Ok(SendOutcome::NotReceived));
            return None;
        }
        let message = OfflineMessage {
            message_id: message.message_id,
            from: message.peer_id.clone(),
            message: detached(message.message.clone()),
            server_received_ts: message.server_received_ts,
        };
        let work =
            StoreWork::AppendOffline { of: to.clone(), message, keep: self.config.settings.offline_messages.max(1) };
        let waiting = Waiting::Offline { of: to.clone(), asker, event: event.clone(), receiver, is_received: false };
        let job = self.jobs.ask(work, waiting);
        Some(Note::Storing(job))
    }

    /// A message is about to be stored for a user that has a session. What this session has not delivered is stored
    /// before it, as far as it may be: a later login reads all of it in the order in which it was sent.
    fn store_what_waits(&mut self, now: Now, to: &UserId) {
        let Some(key) = self.users.find(to).and_then(|user| self.users.get(user)?.session) else { return };
        self.give_up_receipts(key, now.instant + self.config.settings.receipt_within);
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        // Behind stored messages that are still being read: now they are read in their turn as well.
        session.held.clear();
        session.held_bytes = 0;
        session.reads_again = session.offline == OfflineLoad::Loading;
        // Later messages may find room again: they wait behind this one.
        if session.offline == OfflineLoad::Done && !session.abilities.fetches_stored {
            session.offline = OfflineLoad::Due;
        }
    }

    /// Gives up on the messages that a session's device has not received in time.
    pub(super) fn expire_receipts(&mut self, now: Now, key: SessionKey) {
        self.give_up_receipts(key, now.instant);
    }

    /// Gives up on the messages whose senders wait until then at most.
    fn give_up_receipts(&mut self, key: SessionKey, until: Instant) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if session.receipts.due.is_none_or(|due| due > until) {
            return;
        }
        let Some(to) = self.users.get(session.user).map(|user| user.id.clone()) else { return };
        let mut number = session.receipts.from.max(session.stream.first());
        let mut next = None;
        while let Some(session) = self.hub.sessions.get_mut(key)
            && let Some(queued) = session.stream.get_mut(number)
        {
            if let Note::Receipt { asker, deadline, store } = queued.note {
                if deadline > until {
                    next = Some(deadline);
                    break;
                }
                queued.note = Note::None;
                let event = queued.event.clone();
                if let Some(note) = self.give_up_receipt(&to, asker, store, &event, Some(key))
                    && let Some(session) = self.hub.sessions.get_mut(key)
                    && let Some(queued) = session.stream.get_mut(number)
                {
                    queued.note = note;
                }
            }
            number += 1;
        }
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        session.receipts.from = number;
        let mut held = std::mem::take(&mut session.held);
        for queued in &mut held {
            let Note::Receipt { asker, deadline, store } = queued.note else { continue };
            if deadline > until {
                next = Some(next.map_or(deadline, |next| deadline.min(next)));
                continue;
            }
            let event = queued.event.clone();
            let note = self.give_up_receipt(&to, asker, store, &event, Some(key));
            queued.note = note.unwrap_or(Note::None);
        }
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.held = held;
            session.receipts.due = next;
        }
    }

    /// Does what somebody waits for now that events have reached their device.
    pub(super) fn settle_events(&mut self, now: Now, key: SessionKey, done: &mut Vec<Queued>) {
        let mut removed = Vec::new();
        for Queued { event, note, .. } in done.drain(..) {
            match note {
                Note::None => {}
                Note::Receipt { asker, .. } => self.settle_message(asker, &event, Ok(SendOutcome::Delivered)),
                Note::Storing(job) => self.jobs.receive(job),
                Note::Stored(id) => removed.push(id),
                Note::Invitation(call) => self.invitation_received(call, key),
            }
        }
        self.remove_offline(key, removed);
        self.continue_offline(now, key);
    }

    pub(super) fn user_id_of(&self, key: SessionKey) -> Option<UserId> {
        let session = self.hub.sessions.get(key)?;
        Some(self.users.get(session.user)?.id.clone())
    }
}
