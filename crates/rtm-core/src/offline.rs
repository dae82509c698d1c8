//! Messages that are stored for their receivers: put into the store, read at a login, page by page, and removed once
//! the device has them.

use std::{
    collections::{BTreeSet, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{Event, MessageId, PeerMessage, RtmMessage, SendOutcome, SharedEvent, UserId};

use super::{
    Core, JobId, LogEntry, LogKey, Now, Place, StoreWork, StoredMessage,
    arena::SessionKey,
    jobs::Waiting,
    notes::{Asker, Note, Queued, event_bytes},
    pack::{
        format::{MailV1, ReadingV1},
        packer::Packer,
    },
};

/// The stored messages of a session's user, as far as they are read, and what has to wait for them.
#[derive(Debug, Default)]
pub(super) struct Mail {
    reading: Reading,
    /// More was stored while the last page was being read.
    reads_again: bool,
    /// What waited was left to the store while a page was being read: those before it may have been read without that.
    begins_anew: bool,
    /// Stored messages that were received while a page was being read, which may hold them still; in a cluster also those
    /// before, since a replica of the store may hold them for a while.
    removed: Vec<Place>,
    /// Stored messages that the device has and the store failed to remove.
    unremoved: Vec<Place>,
    /// Messages from users that have to wait until older, stored ones are read.
    held: VecDeque<Queued>,
    held_bytes: usize,
    /// When the client last asked for messages itself, which may be on their way since.
    fetched_at: Option<Instant>,
}

/// How far the reading of stored messages is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Reading {
    /// All were read, or are not wanted.
    #[default]
    Done,
    /// The client is to fetch them itself until then. Nothing waits for that.
    Awaited { until: Instant },
    /// A page is being read. What comes meanwhile waits behind it if it has to be later. It has not where later ones have come
    /// already: it would only wait for a store that may not answer.
    Loading { holds: bool },
    /// There may be more after this one, to be read when every event of the stream before this number is received.
    Paused { after: Place, until: u64 },
    /// Something was stored while the session had no connection and no room: to be read when the client is back.
    Due,
}

impl Mail {
    /// How many bytes wait.
    pub(super) fn bytes(&self) -> usize {
        self.held_bytes
    }

    /// When the client is no longer waited for that fetches its messages itself.
    pub(super) fn fetch_by(&self) -> Option<Instant> {
        match self.reading {
            Reading::Awaited { until } => Some(until),
            _ => None,
        }
    }

    /// The client fetches its messages. `false` if it gets them as events, since it did not come in time.
    pub(super) fn fetch(&mut self, now: Instant) -> bool {
        self.fetched_at = Some(now);
        self.await_no_more();
        self.is_read()
    }

    /// The client is to fetch its messages itself, or to try it again; they come as events where it does not.
    pub(super) fn await_fetch(&mut self, now: Instant) {
        if self.is_read() {
            self.reading = Reading::Awaited { until: now + FETCH_WITHIN };
        }
    }

    /// The client has come for its messages, or is gone.
    pub(super) fn await_no_more(&mut self) {
        if matches!(self.reading, Reading::Awaited { .. }) {
            self.reading = Reading::Done;
        }
    }

    /// Whether a message that comes now has to wait for older, stored ones.
    pub(super) fn holds(&self) -> bool {
        !matches!(self.reading, Reading::Done | Reading::Awaited { .. } | Reading::Loading { holds: false })
    }

    /// Whether no stored message is going to be an event.
    fn is_read(&self) -> bool {
        matches!(self.reading, Reading::Done | Reading::Awaited { .. })
    }

    /// What is being read is older than what comes from now on.
    fn hold_what_comes(&mut self) {
        if let Reading::Loading { holds } = &mut self.reading {
            *holds = true;
        }
    }

    /// A message has to wait until older ones are read.
    pub(super) fn hold(&mut self, queued: Queued) {
        self.held_bytes += queued.bytes as usize;
        self.held.push_back(queued);
    }

    /// The waiting messages.
    pub(super) fn held(&self) -> impl Iterator<Item = &Queued> {
        self.held.iter()
    }

    /// One of the waiting messages.
    pub(super) fn held_mut(&mut self, index: usize) -> Option<&mut Queued> {
        self.held.get_mut(index)
    }

    /// The messages that waited until the end of the session.
    pub(super) fn into_held(self) -> VecDeque<Queued> {
        self.held
    }

    /// All that the session was to receive is in the store or on its way there, and is to be read from there: what
    /// waited behind stored messages is now read in its turn. It may come before what was read last, without that.
    pub(super) fn leave_to_store(&mut self, client_fetches: bool) {
        let has_held = !self.held.is_empty();
        self.held.clear();
        self.held_bytes = 0;
        let is_loading = matches!(self.reading, Reading::Loading { .. });
        self.reads_again = is_loading;
        self.begins_anew |= is_loading && has_held;
        self.hold_what_comes();
        // Later messages may find room again: they wait behind what is stored now.
        let is_due = match self.reading {
            Reading::Done => !client_fetches,
            Reading::Paused { .. } => has_held,
            Reading::Awaited { .. } | Reading::Loading { .. } | Reading::Due => false,
        };
        if is_due {
            self.reading = Reading::Due;
        }
    }

    /// What was left out of the reading under way is to be read after it.
    pub(super) fn read_again(&mut self) {
        self.reads_again = matches!(self.reading, Reading::Loading { .. } | Reading::Paused { .. });
        self.hold_what_comes();
    }

    /// A connection begins: what it missed may have come between, and the numbers of the stream, which now ends with
    /// `end`, may be new ones.
    pub(super) fn attach(&mut self, end: u64) {
        if let Reading::Paused { until, .. } = &mut self.reading {
            *until = end;
        }
    }

    /// Stored messages were received, and will be removed.
    fn remember_removed(&mut self, places: &[Place], is_in_cluster: bool) {
        if matches!(self.reading, Reading::Loading { .. }) || is_in_cluster {
            self.removed.extend_from_slice(places);
        }
        if is_in_cluster && self.removed.len() > REMEMBERED {
            self.removed.drain(..self.removed.len() - REMEMBERED);
        }
    }
}

impl Mail {
    /// `None` while the store is reading, or keeping one of the messages.
    pub(super) fn pack(&self, packer: Packer<'_>) -> Option<MailV1> {
        Some(MailV1 {
            reading: match self.reading {
                // A session is packed without its connection.
                Reading::Done | Reading::Awaited { .. } => ReadingV1::Done,
                Reading::Loading { .. } => return None,
                Reading::Paused { after, until } => ReadingV1::Paused { after: after.0, until },
                Reading::Due => ReadingV1::Due,
            },
            reads_again: self.reads_again,
            // What another node is to remove once more comes to nobody there.
            unremoved: match packer.is_in_cluster() {
                true => self.unremoved.iter().chain(&self.removed).map(|place| place.0).collect(),
                false => self.unremoved.iter().map(|place| place.0).collect(),
            },
            held: self.held.iter().map(|queued| queued.pack(packer)).collect::<Option<_>>()?,
        })
    }

    /// What was read; so many messages waited, which are to be held again.
    pub(super) fn unpack(packed: &MailV1, held: usize) -> Option<Self> {
        let reading = match packed.reading {
            ReadingV1::Done => Reading::Done,
            ReadingV1::Paused { after, until } => Reading::Paused { after: Place(after), until },
            ReadingV1::Due => Reading::Due,
        };
        // Where all is read, nothing waits.
        let is_good = reading != Reading::Done || held == 0;
        let unremoved = packed.unremoved.iter().copied().map(Place).collect();
        is_good.then(|| Self { reading, reads_again: packed.reads_again, unremoved, ..Self::default() })
    }
}

impl Core {
    /// A message has not reached its receiver's device in time: it is stored if its sender wished so, else the sender
    /// is told. `receiver` is the session that may still receive it. Gives the note of what is being stored.
    pub(super) fn store_or_give_up(
        &mut self,
        now: Now,
        to: &UserId,
        asker: Asker,
        store: bool,
        event: &SharedEvent,
        receiver: Option<SessionKey>,
    ) -> Option<Note> {
        let Event::MessageFromPeer(message) = event.event() else { return None };
        if !store || self.jobs.check_room().is_err() {
            self.settle_message(asker, event, Ok(SendOutcome::NotReceived));
            return None;
        }
        if let Err(refusal) = self.check_stored_bytes(now, message.message.len()) {
            self.settle_message(asker, event, Err(refusal));
            return None;
        }
        let message = StoredMessage::from(message);
        self.count_stored_bytes(message.message.len());
        self.clock.keeps(message.server_received_ts);
        let keep = self.config.settings.offline_messages.max(1);
        let (log, entry) = (LogKey::Stored(to.clone()), LogEntry::Message(message));
        let work = StoreWork::Append { log, entry, keep: Some(keep) };
        let waiting = Waiting::Offline { to: to.clone(), asker, event: event.clone(), receiver, is_received: false };
        if let Some(edge) = &mut self.edge {
            edge.rereading.begin_to_store(to);
        }
        Some(Note::Storing(self.jobs.ask(work, waiting)))
    }

    /// A message is stored: its receiver's session may still receive it, and if it did so meanwhile, it is removed. Says
    /// whether it is there for the receiver now; else [`find_reader`](Self::find_reader) is next.
    pub(super) fn message_stored(
        &mut self,
        job: JobId,
        place: Place,
        to: UserId,
        receiver: Option<SessionKey>,
        is_received: bool,
    ) -> bool {
        let is_in_cluster = self.edge.is_some();
        let session = receiver.and_then(|key| self.hub.sessions.get_mut(key));
        if is_received {
            if let Some(session) = session {
                session.mail.remember_removed(&[place], is_in_cluster);
            }
            let places = vec![place];
            let work = StoreWork::Remove { log: LogKey::Stored(to), places: places.clone() };
            match receiver {
                Some(session) => self.jobs.ask(work, Waiting::Removal { session, places }),
                None => self.jobs.tell(work),
            };
            return true;
        }
        let Some(session) = session else { return !is_in_cluster };
        let mut events = session.stream.iter_mut().chain(&mut session.mail.held);
        if let Some(queued) = events.find(|queued| queued.note == Note::Storing(job)) {
            queued.note = Note::Stored(place);
        }
        true
    }

    /// A message could not be stored, as far as is known. Its receiver's session may still receive it.
    pub(super) fn message_not_stored(&mut self, job: JobId, receiver: Option<SessionKey>) {
        let Some(session) = receiver.and_then(|key| self.hub.sessions.get_mut(key)) else { return };
        let mut events = session.stream.iter_mut().chain(&mut session.mail.held);
        if let Some(queued) = events.find(|queued| queued.note == Note::Storing(job)) {
            queued.note = Note::None;
        }
    }

    /// Reads the first page of the messages that wait for a session's user.
    pub(super) fn load_offline(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        match session.mail.reading {
            Reading::Done if session.terms.abilities().fetches_stored => session.mail.await_fetch(now.instant),
            Reading::Done | Reading::Due => self.load_page(now, key, None, true),
            Reading::Awaited { .. } | Reading::Loading { .. } | Reading::Paused { .. } => {}
        }
    }

    /// A client that fetches its stored messages itself has not done so in time, as the vendor's SDK when it comes back
    /// by itself: it gets them as events.
    pub(super) fn end_fetching(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if session.mail.fetch_by().is_some_and(|until| until <= now.instant) {
            // What came so far has not waited for them either.
            self.load_page(now, key, None, false);
        }
    }

    /// More may be stored for a session's user than it has read: `is_told` if somebody says so.
    pub(super) fn read_once_more(&mut self, now: Now, key: SessionKey, is_told: bool) {
        let is_given = !self.http.handed_out.places(key).is_empty();
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let is_connected = session.conn.is_some();
        let is_fetching = session.mail.fetched_at.is_some_and(|at| now.instant < at + FETCH_WITHIN);
        match session.mail.reading {
            // What it has fetched may be on its way: as events, newer ones would overtake that. It asks for what follows.
            Reading::Done if is_connected && (is_fetching || is_given) => {
                session.mail.await_fetch(now.instant);
                self.hub.arm(key);
            }
            Reading::Done if is_connected => self.load_page(now, key, None, is_told),
            Reading::Done if !session.terms.abilities().fetches_stored => session.mail.reading = Reading::Due,
            Reading::Loading { .. } => {
                session.mail.reads_again = true;
                if is_told {
                    session.mail.hold_what_comes();
                }
            }
            // It reads more in any case.
            Reading::Done | Reading::Awaited { .. } | Reading::Paused { .. } | Reading::Due => {}
        }
    }

    /// Reads the next page, when the one before is received. The store does its removal before the reading, so that no
    /// more than one page comes again after a crash: so much a client recognises.
    #[inline]
    pub(super) fn continue_offline(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.hub.sessions.get_mut(key)
            && let Reading::Paused { after, until } = session.mail.reading
            && session.stream.first() >= until
        {
            self.load_page(now, key, Some(after), true);
        }
    }

    #[inline(never)]
    fn load_page(&mut self, now: Now, key: SessionKey, after: Option<Place>, holds: bool) {
        let Some(to) = self.user_id_of(key) else { return };
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.mail.reading = Reading::Loading { holds };
            if self.edge.is_none() {
                session.mail.removed.clear();
            }
            let unremoved = std::mem::take(&mut session.mail.unremoved);
            self.remove_stored(key, unremoved);
            let work = self.stored_messages(now, to, after, usize::MAX, self.config.settings.session_bytes / 4);
            self.jobs.ask(work, Waiting::Load(key));
        }
    }

    /// What the store has to read for a user's stored messages.
    pub(super) fn stored_messages(
        &self,
        now: Now,
        to: UserId,
        after: Option<Place>,
        limit: usize,
        max_bytes: usize,
    ) -> StoreWork {
        let times = self.oldest_offline(now)..u64::MAX;
        StoreWork::Read { log: LogKey::Stored(to), after, times, limit, max_bytes }
    }

    /// A page was read: its messages go into the stream, and after the last page those that had to wait.
    pub(super) fn offline_loaded(&mut self, now: Now, key: SessionKey, mut messages: Vec<(Place, StoredMessage)>) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if std::mem::take(&mut session.mail.begins_anew) {
            return self.load_page(now, key, None, true);
        }
        if !session.mail.unremoved.is_empty() {
            // The page before could come again, and together they are more than a client recognises.
            messages.clear();
        }
        messages.truncate(PAGE);
        let last = messages.last().map(|(place, _)| *place);
        let mut repeated = if self.edge.is_some() { take_repeated(&mut messages) } else { Vec::new() };
        let stored = |queued: &Queued| match queued.note {
            Note::Stored(place) => Some(place),
            _ => None,
        };
        // Those that were stored while their receiver was away are in its stream already.
        let mut known: Vec<_> = session.stream.iter().chain(&session.mail.held).filter_map(stored).collect();
        match &self.edge {
            None => known.append(&mut session.mail.removed),
            Some(_) => {
                known.extend_from_slice(&session.mail.removed);
                known.extend_from_slice(self.http.handed_out.places(key));
            }
        }
        known.sort_unstable();
        let takes_binary = session.terms.abilities().binary;
        let mut new = Vec::new();
        let mut found = Vec::new();
        for (place, message) in messages {
            if known.binary_search(&place).is_ok() {
                continue;
            }
            // Without a number one message looks like another.
            let may_be_twice = self.edge.is_some() && message.message_id != MessageId(0);
            let is_it = |queued: &&mut Queued| {
                (may_be_twice || queued.note == Note::None) && is_same(&message, queued.event.event())
            };
            if let Some(queued) = session.stream.iter_mut().chain(&mut session.mail.held).find(is_it) {
                match queued.note {
                    // The store had it, and seemed to have failed.
                    Note::None | Note::Invitation(_) => queued.note = Note::Stored(place),
                    // A node that was lost had stored it, and its sender's sent it again.
                    Note::Receipt { asker, .. } => {
                        queued.note = Note::Stored(place);
                        found.push((asker, queued.event.clone()));
                    }
                    Note::Stored(_) => repeated.push(place),
                    // It is read once more when it is known whether that succeeds.
                    Note::Storing(_) => {}
                }
                continue;
            }
            if !takes_binary && matches!(message.message, RtmMessage::Binary(_)) {
                continue;
            }
            let event = Event::MessageFromPeer(message.into_peer_message());
            let bytes = event_bytes(&event);
            new.push(Queued { event: SharedEvent::for_one(event), note: Note::Stored(place), bytes });
        }
        new.into_iter().for_each(|queued| self.hub.push(key, queued));
        self.remove_stored(key, repeated);
        for (asker, event) in found {
            self.settle_message(asker, &event, Ok(SendOutcome::Stored));
        }
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        if let Some(after) = last {
            session.mail.reading = Reading::Paused { after, until: session.stream.end() };
            return self.continue_offline(now, key);
        }
        let holds = session.mail.holds();
        session.mail.reading = Reading::Done;
        if std::mem::take(&mut session.mail.reads_again) {
            return self.load_page(now, key, last, holds);
        }
        session.mail.held_bytes = 0;
        for queued in std::mem::take(&mut session.mail.held) {
            self.hub.push(key, queued);
        }
    }

    /// Removes stored messages that a session's device has received, and those that the store failed to remove before.
    #[inline(never)]
    pub(super) fn remove_stored(&mut self, key: SessionKey, mut places: Vec<Place>) {
        if places.is_empty() {
            return;
        }
        let Some(to) = self.user_id_of(key) else { return };
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        places.append(&mut session.mail.unremoved);
        places.sort_unstable();
        session.mail.remember_removed(&places, self.edge.is_some());
        let work = StoreWork::Remove { log: LogKey::Stored(to), places: places.clone() };
        self.jobs.ask(work, Waiting::Removal { session: key, places });
    }

    /// The store has not removed messages that a session's device has. They go with the next ones, and until then the
    /// session reads no more: they do not come again in it, and in another session no more than a client recognises.
    pub(super) fn removal_failed(&mut self, key: SessionKey, mut places: Vec<Place>) {
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.mail.unremoved.append(&mut places);
        }
    }
}

/// Takes messages out that come again among these, and gives their places: who stored them first was lost before it could
/// say so.
pub(super) fn take_repeated(messages: &mut Vec<(Place, StoredMessage)>) -> Vec<Place> {
    let mut seen = BTreeSet::new();
    let mut repeated = Vec::new();
    for (place, message) in messages.iter() {
        // Without a number one message looks like another.
        let is_known = !seen.insert((message.message_id, message.server_received_ts, &message.from));
        if is_known && message.message_id != MessageId(0) {
            repeated.push(*place);
        }
    }
    if !repeated.is_empty() {
        messages.retain(|(place, _)| !repeated.contains(place));
    }
    repeated
}

/// Whether an event is this message.
fn is_same(message: &StoredMessage, event: &Event) -> bool {
    let is_it = |other: &PeerMessage| {
        (other.message_id, other.server_received_ts) == (message.message_id, message.server_received_ts)
            && other.peer_id == message.from
    };
    matches!(event, Event::MessageFromPeer(other) if is_it(other))
}

/// How long a client is waited for that fetches its stored messages itself: it does so right after its login.
const FETCH_WITHIN: Duration = Duration::from_secs(3);
/// So many removed messages are remembered in a cluster: more than may be stored for a user.
const REMEMBERED: usize = 256;
/// How many messages a page has at most: fewer than a client remembers to recognise repeated ones by.
const PAGE: usize = 128;
