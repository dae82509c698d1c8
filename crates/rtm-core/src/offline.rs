//! Stored messages: read at a login, page by page, and removed once the device has them.

use rtm_codec::{ErrorKind, Refusal, RtmMessage, SharedEvent, UserId};

use super::{
    Core, HttpAnswer, HttpId, Now, OfflineId, OfflineMessage, StoreAnswer, StoreFailed, StoreWork,
    arena::SessionKey,
    jobs::{Waiting, offline_event},
    session::OfflineLoad,
    stream::{Note, Queued, event_bytes},
};

impl Core {
    /// Reads the first page of the messages that wait for a session's user.
    pub(super) fn load_offline(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.hub.sessions.get_mut(key)
            && match session.offline {
                OfflineLoad::Done => !session.abilities.fetches_stored,
                OfflineLoad::Due => true,
                OfflineLoad::Loading | OfflineLoad::Paused { .. } => false,
            }
        {
            self.load_page(now, key, None);
        }
    }

    /// Reads the next page, when the one before is received. The store does its removal before the reading, so that no
    /// more than one page comes again after a crash: so much a client recognises.
    pub(super) fn continue_offline(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.hub.sessions.get_mut(key)
            && let OfflineLoad::Paused { after, until } = session.offline
            && session.stream.first() >= until
        {
            self.load_page(now, key, Some(after));
        }
    }

    fn load_page(&mut self, now: Now, key: SessionKey, after: Option<OfflineId>) {
        let Some(of) = self.user_id_of(key) else { return };
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.offline = OfflineLoad::Loading;
            session.removed_meanwhile.clear();
            let max_bytes = self.config.settings.session_bytes / 4;
            let work = StoreWork::LoadOffline { of, after, not_before: self.oldest_offline(now), max_bytes };
            self.jobs.ask(work, Waiting::Load(key));
        }
    }

    /// Before this, in milliseconds since the Unix epoch, stored messages are over.
    pub(super) fn oldest_offline(&self, now: Now) -> u64 {
        let age = self.config.settings.offline_for.as_millis().try_into().unwrap_or(u64::MAX);
        now.unix_ms.saturating_sub(age)
    }

    /// A page was read: its messages go into the stream, and after the last page those that had to wait.
    pub(super) fn offline_loaded(&mut self, now: Now, key: SessionKey, mut messages: Vec<(OfflineId, OfflineMessage)>) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        messages.truncate(PAGE);
        let last = messages.last().map(|(id, _)| *id);
        let stored = |queued: &Queued| match queued.note {
            Note::Stored(id) => Some(id),
            _ => None,
        };
        // Those that were stored while their receiver was away are in its stream already.
        let mut known: Vec<_> = session.stream.iter().chain(&session.held).filter_map(stored).collect();
        known.append(&mut session.removed_meanwhile);
        known.sort_unstable();
        let takes_binary = session.abilities.binary;
        for (id, message) in messages {
            if known.binary_search(&id).is_ok() {
                continue;
            }
            if !takes_binary && matches!(message.message, RtmMessage::Binary(_)) {
                continue;
            }
            let event = offline_event(message);
            let bytes = event_bytes(&event);
            self.hub.push(key, Queued { event: SharedEvent::for_one(event), note: Note::Stored(id), bytes });
        }
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        session.offline = match last {
            Some(after) => OfflineLoad::Paused { after, until: session.stream.end() },
            None => OfflineLoad::Done,
        };
        if session.offline == OfflineLoad::Done && std::mem::take(&mut session.reads_again) {
            return self.load_page(now, key, last);
        }
        if session.offline == OfflineLoad::Done {
            session.held_bytes = 0;
            for queued in std::mem::take(&mut session.held) {
                self.hub.push(key, queued);
            }
        } else {
            self.continue_offline(now, key);
        }
    }

    /// Removes stored messages that a session's device has received.
    pub(super) fn remove_offline(&mut self, key: SessionKey, mut ids: Vec<OfflineId>) {
        if ids.is_empty() {
            return;
        }
        let Some(of) = self.user_id_of(key) else { return };
        ids.sort_unstable();
        if let Some(session) = self.hub.sessions.get_mut(key)
            && session.offline == OfflineLoad::Loading
        {
            session.removed_meanwhile.extend_from_slice(&ids);
        }
        self.jobs.tell(StoreWork::RemoveOffline { of, ids });
    }

    /// The messages for an HTTP request were read. Those that the wire cannot carry stay for another login.
    pub(super) fn http_offline_loaded(&mut self, http: HttpId, of: UserId, read: Result<StoreAnswer, StoreFailed>) {
        let Ok(StoreAnswer::Offline { messages, .. }) = read else {
            return self.http.answer(http, Err(Refusal::new(ErrorKind::Failure, "the server's store failed")));
        };
        let mut ids = Vec::new();
        let mut given = Vec::new();
        for (id, message) in messages {
            if matches!(message.message, RtmMessage::Binary(_)) {
                continue;
            }
            if let rtm_codec::Event::MessageFromPeer(message) = offline_event(message) {
                ids.push(id);
                given.push(message);
            }
        }
        self.http.hand_out(http, of, ids);
        self.http.answer(http, Ok(HttpAnswer::Offline(given)));
    }
}

/// How many messages a page has at most: fewer than a client remembers to recognise repeated ones by.
const PAGE: usize = 128;
