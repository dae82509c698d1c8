//! How long senders wait until the receiver's device has their messages, and what becomes of those that it does not get.

use std::{collections::BTreeSet, time::Instant};

use rtm_codec::{Event, UserId};

use super::{
    Core, Now,
    arena::SessionKey,
    notes::{Note, Queued},
    offline::Mail,
    pack::{format::ReceiptsV1, packer::Packer, times::PackTime},
    stream::Stream,
};

/// Which events of a session senders wait for.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// When the first sender gives up.
    due: Option<Instant>,
    /// No event of the stream before this number has a sender that waits.
    from: u64,
}

/// How long the sender of an event waits.
enum Wait {
    Over,
    Until(Instant),
}

impl Receipts {
    /// When the first sender gives up.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// A sender waits until `deadline` for the event that comes next into `stream`. `true` if it is the only one.
    pub(super) fn expect(&mut self, deadline: Instant, stream: &Stream) -> bool {
        let is_first = self.due.is_none();
        if is_first {
            *self = Self { due: Some(deadline), from: stream.end() };
        }
        is_first
    }

    /// The stream begins under new numbers.
    pub(super) fn restart(&mut self, stream: &Stream) {
        self.from = stream.first();
    }
}

impl Receipts {
    pub(super) fn pack(&self, packer: Packer<'_>) -> ReceiptsV1 {
        ReceiptsV1 { due: self.due.map(|at| packer.moment(at)), from: self.from }
    }

    pub(super) fn unpack(packed: &ReceiptsV1, time: PackTime) -> Self {
        Self { due: packed.due.map(|at| time.instant(at)), from: packed.from }
    }
}

impl Core {
    /// Gives up on the messages that a session's device has not received in time.
    pub(super) fn expire_receipts(&mut self, now: Now, key: SessionKey) {
        self.give_up_receipts(now, key, now.instant);
    }

    /// The server ends, and its sessions with it: what senders wait for, and devices have not received, is stored or given up
    /// as if they had waited long enough.
    pub fn store_unreceived(&mut self, now: Now) {
        let now = self.time(now);
        let until = now.instant + self.config.settings.receipt_within;
        let sessions: Vec<SessionKey> = self.hub.sessions.keys().collect();
        sessions.into_iter().for_each(|key| self.give_up_receipts(now, key, until));
        self.hub.close_overfull(now);
    }

    /// A message is about to be stored for a user that has a session. What this session has not delivered is stored
    /// before it, as far as it may be: a later login reads all of it in the order in which it was sent.
    pub(super) fn store_what_waits(&mut self, now: Now, to: &UserId) {
        let Some(key) = self.session_of(to) else { return };
        self.give_up_receipts(now, key, now.instant + self.config.settings.receipt_within);
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.mail.leave_to_store(session.terms.abilities().fetches_stored);
        }
    }

    /// A session is about to give way to one on another node, which reads what is stored: has that stored which its device has not
    /// received, as far as it may be. Says whether it is. What comes to the next session would overtake it otherwise.
    pub(super) fn is_stored_ahead(&mut self, now: Now, key: SessionKey) -> bool {
        let Some(session) = self.hub.sessions.get(key) else { return true };
        let Some(to) = self.user_id(session.user) else { return true };
        let until = |queued: &Queued| match queued.note {
            Note::Receipt { deadline, store: true, .. } => Some(deadline),
            _ => None,
        };
        let numbers = session.stream.first()..session.stream.end();
        let in_stream: Vec<_> =
            numbers.zip(session.stream.iter()).filter_map(|(at, queued)| Some((at, until(queued)?))).collect();
        let held: Vec<_> =
            session.mail.held().enumerate().filter_map(|(at, queued)| Some((at, until(queued)?))).collect();
        for (number, until) in in_stream {
            self.give_up_receipt(now, key, &to, until, |stream, _| stream.get_mut(number));
        }
        for (index, until) in held {
            self.give_up_receipt(now, key, &to, until, |_, mail| mail.held_mut(index));
        }
        let Some(session) = self.hub.sessions.get(key) else { return true };
        !session.stream.iter().chain(session.mail.held()).any(|queued| matches!(queued.note, Note::Storing(_)))
    }

    /// A session has ended: tells the senders of what its device has not received what becomes of it.
    pub(super) fn return_receipts(&mut self, now: Now, user_id: &UserId, stream: Stream, mail: Mail) {
        for queued in stream.into_events().into_iter().chain(mail.into_held()) {
            if let Note::Receipt { asker, store, .. } = queued.note {
                self.store_or_give_up(now, user_id, asker, store, &queued.event, None);
            }
        }
    }

    /// Gives up on the messages whose senders wait until then at most.
    fn give_up_receipts(&mut self, now: Now, key: SessionKey, until: Instant) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        if session.receipts.due.is_none_or(|due| due > until) {
            return;
        }
        let Some(to) = self.user_id(session.user) else { return };
        let mut from = session.receipts.from.max(session.stream.first());
        let mut due = None;
        while let Some(wait) = self.give_up_receipt(now, key, &to, until, |stream, _| stream.get_mut(from)) {
            if let Wait::Until(deadline) = wait {
                due = Some(deadline);
                break;
            }
            from += 1;
        }
        // What waits for stored messages comes behind those, and goes by sender: one from another node may have a later deadline
        // than what its sender sent after it, and is stored before that.
        let mut waiting = BTreeSet::new();
        let mut index = 0;
        while due.is_none() || !waiting.is_empty() {
            let Some(sender) = self.held_from(key, index) else { break };
            if !waiting.contains(&sender)
                && let Some(Wait::Until(deadline)) =
                    self.give_up_receipt(now, key, &to, until, |_, mail| mail.held_mut(index))
            {
                due = Some(due.map_or(deadline, |due| deadline.min(due)));
                waiting.insert(sender);
            }
            index += 1;
        }
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.receipts = Receipts { due, from };
        }
    }

    /// Who sent a message that waits for stored ones.
    fn held_from(&mut self, key: SessionKey, index: usize) -> Option<UserId> {
        let queued = self.hub.sessions.get_mut(key)?.mail.held_mut(index)?;
        match queued.event.event() {
            Event::MessageFromPeer(message) => Some(message.peer_id.clone()),
            _ => None,
        }
    }

    /// Gives up on one message, if its sender waits until then at most. `None` if there is no such event.
    fn give_up_receipt(
        &mut self,
        now: Now,
        key: SessionKey,
        to: &UserId,
        until: Instant,
        find: impl for<'s> Fn(&'s mut Stream, &'s mut Mail) -> Option<&'s mut Queued>,
    ) -> Option<Wait> {
        let session = self.hub.sessions.get_mut(key)?;
        let queued = find(&mut session.stream, &mut session.mail)?;
        let Note::Receipt { asker, deadline, store } = queued.note else { return Some(Wait::Over) };
        if deadline > until {
            return Some(Wait::Until(deadline));
        }
        queued.note = Note::None;
        let event = queued.event.clone();
        let note = self.store_or_give_up(now, to, asker, store, &event, Some(key));
        if let Some(note) = note
            && let Some(session) = self.hub.sessions.get_mut(key)
            && let Some(queued) = find(&mut session.stream, &mut session.mail)
        {
            queued.note = note;
        }
        Some(Wait::Over)
    }
}
