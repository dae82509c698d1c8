//! Messages from user to user, and what their senders are told of them.

use rtm_codec::{
    Answer, ErrorKind, Event, MessageId, PeerMessage, Refusal, RtmMessage, SendMessageToPeer, SendOutcome, SharedEvent,
    limits,
};

use super::{
    Conversation, Core, EventType, Now, StoredMessage,
    arena::SessionKey,
    counters::{MessageKind, MessageSource},
    delivery::Parting,
    jobs::{HISTORY_FAILED, Waiting},
    message_ids::{Known, Sent},
    notes::{Asker, Note, Queued, event_bytes},
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
        let receiver = self.session_of(&send.peer_id);
        let is_here = receiver.is_some();
        let receiver = receiver.and_then(|key| Some((key, self.hub.sessions.get(key)?)));
        let receiver = receiver.filter(|(_, session)| session.is_there());
        if let (RtmMessage::Binary(_), Some((_, session))) = (&send.message, receiver)
            && !session.terms.abilities().binary
        {
            return Some(Err(ErrorKind::IncompatibleMessage.into()));
        }
        let receiver = receiver.map(|(key, _)| key);
        if (send.enable_historical_messaging || send.enable_offline_messaging)
            && let Err(refusal) = self.jobs.check_room()
        {
            return Some(Err(refusal));
        }
        if send.enable_historical_messaging
            && let Err(refusal) = self.check_stored_bytes(now, send.message.len())
        {
            return Some(Err(refusal));
        }
        match self.begin_message(now, asker, Sent::ToPeer(send.message_id)) {
            Known::Fresh => {}
            Known::Done(outcome) => return Some(Ok(Answer::SendMessageToPeer(outcome))),
            Known::UnderWay => return None,
        }
        self.hub.stats.peer_messages += 1;
        self.hub.counters.took_message(MessageKind::Peer, MessageSource::Client, send.message.len());
        if self.event_log.wants(EventType::PeerMessage) {
            self.log_peer_message(now, &from, &send.peer_id, send.message_id);
        }
        if send.enable_historical_messaging {
            let message = StoredMessage::new(send.message_id, from.clone(), send.message.clone().detach(), now.unix_ms);
            let conversation = Conversation::between(from.clone(), send.peer_id.clone());
            self.keep_history(asker, conversation, message, Waiting::Promise { asker, broken: HISTORY_FAILED });
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
        if self.edge.is_some() && self.needs_lane(asker.session, &send.peer_id, is_here) {
            self.send_over_lane(now, asker, &send.peer_id, Parting { event, store });
            return None;
        }
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
                self.store_or_give_up(now, &send.peer_id, asker, store, &event, None);
            }
        }
        None
    }

    /// Puts a message from a user into its receiver's session; behind stored ones that are still being read.
    #[inline(always)]
    pub(super) fn push_message(&mut self, key: SessionKey, queued: Queued) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let is_due_earlier = match queued.note {
            Note::Receipt { deadline, .. } => session.receipts.expect(deadline, &session.stream),
            _ => false,
        };
        match session.mail.holds() {
            false => self.hub.push(key, queued),
            true => session.mail.hold(queued),
        }
        if is_due_earlier {
            self.hub.arm(key);
        }
    }

    /// Remembers a message of a session by its number, and says whether it is a repeat.
    #[inline(always)]
    pub(super) fn begin_message(&mut self, now: Now, asker: Asker, sent: Sent) -> Known {
        let Some(session) = self.hub.sessions.get_mut(asker.session) else { return Known::UnderWay };
        let message_ids = session.message_ids.get_or_insert_with(Box::default);
        message_ids.begin(sent, asker.request, now.instant, &self.config.settings)
    }

    /// A sender is told what became of its message.
    #[inline(always)]
    pub(super) fn settle_message(&mut self, asker: Asker, event: &SharedEvent, outcome: Result<SendOutcome, Refusal>) {
        let Event::MessageFromPeer(message) = event.event() else { return };
        if self.edge.is_some() {
            return self.settle_in_cluster(asker, message, outcome);
        }
        self.settle_sent(asker, message.message_id, outcome);
    }

    /// A sender that is here is told what became of its message.
    #[inline(always)]
    pub(super) fn settle_sent(&mut self, asker: Asker, message_id: MessageId, outcome: Result<SendOutcome, Refusal>) {
        let remembered = outcome.as_ref().ok().copied();
        if let Some(outcome) = remembered {
            self.hub.counters.settled(outcome);
        }
        let result = outcome.map(Answer::SendMessageToPeer);
        self.finish_repeated(asker, Sent::ToPeer(message_id), remembered, || result.clone());
        self.hub.finish(asker, result);
    }

    /// Answers the requests that repeated a message before its outcome was known. Later ones are told what is to be
    /// remembered, or send the message again if that is nothing.
    #[inline(always)]
    pub(super) fn finish_repeated(
        &mut self,
        asker: Asker,
        sent: Sent,
        remembered: Option<SendOutcome>,
        result: impl FnOnce() -> Result<Answer, Refusal>,
    ) {
        let Some(session) = self.hub.sessions.get_mut(asker.session) else { return };
        let numbering = session.requests.numbering;
        let Some(message_ids) = &mut session.message_ids else { return };
        let repeated = match remembered {
            Some(outcome) => message_ids.finish(sent, outcome),
            None => message_ids.forget(sent),
        };
        if repeated.is_empty() {
            return;
        }
        let result = result();
        for request in repeated {
            self.hub.finish(Asker { request, numbering, ..asker }, result.clone());
        }
    }
}
