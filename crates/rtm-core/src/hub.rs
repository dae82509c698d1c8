//! Connections and sessions, and the ways in which something gets to them.

use std::{collections::VecDeque, time::Instant};

use rtm_codec::{
    Answer, CallName, CloseReason, ErrorKind, Event, Refusal, RequestId, Seq, ServerFrame, SessionId, SharedEvent,
};

use super::{
    ConnId, Now, Outgoing, Settings, Stats,
    absent::Absent,
    arena::{Arena, ChannelKey, SessionKey},
    away::ChannelNews,
    back_end::BackEnd,
    cluster::NodeId,
    counters::{Counters, LossReason},
    lanes::Lanes,
    notes::{Asker, Note, Queued},
    session::Session,
    timer::{Due, Timers},
};

/// A socket as the core sees it.
#[derive(Debug, Default)]
pub(super) struct Conn {
    pub(super) session: Option<SessionKey>,
    /// Its last output is in the queue.
    pub(super) is_closed: bool,
    /// An operator has ended its session.
    pub(super) is_kicked: bool,
    is_woken: bool,
    /// Frames, each with the number of the event that it goes before.
    out: VecDeque<(u64, Outgoing)>,
    out_bytes: usize,
}

impl Conn {
    /// Whether a frame is about to be written.
    pub(super) fn has_frames(&self) -> bool {
        !self.out.is_empty()
    }

    /// Takes little memory while nothing happens.
    pub(super) fn tidy(&mut self) {
        if self.out.is_empty() {
            self.out = VecDeque::new();
        }
    }
}

/// Connections and sessions, and what they cause.
#[derive(Debug)]
pub(super) struct Hub {
    pub(super) settings: Settings,
    pub(super) conns: Arena<ConnId, Conn>,
    pub(super) sessions: Arena<SessionKey, Session>,
    pub(super) absent: Absent,
    pub(super) back_end: BackEnd,
    pub(super) timers: Timers,
    pub(super) stats: Stats,
    pub(super) counters: Counters,
    signals: Signals,
}

/// What is to be done with connections at the end of a call.
#[derive(Debug, Default)]
struct Signals {
    /// They have something to write.
    wakes: Vec<ConnId>,
    /// Their sessions are over their limit: they are closed.
    overfull: Vec<SessionKey>,
}

impl Signals {
    /// A session got an event.
    #[inline]
    fn pushed(&mut self, (key, session): (SessionKey, &mut Session), (id, conn): (ConnId, &mut Conn)) {
        if session.becomes_overfull(conn.out_bytes) {
            self.overfull.push(key);
        }
        if !conn.is_woken && session.stream.has_output() {
            self.wake(id, conn);
        }
    }

    /// A connection has something to write.
    #[inline]
    fn wake(&mut self, id: ConnId, conn: &mut Conn) {
        if !conn.is_woken {
            conn.is_woken = true;
            self.wakes.push(id);
        }
    }
}

impl Hub {
    pub(super) fn new(settings: Settings) -> Self {
        let mut sessions = Arena::new();
        let nobody = sessions.reserve();
        sessions.give_up(nobody);
        Self {
            settings,
            conns: Arena::new(),
            sessions,
            back_end: BackEnd::new(nobody),
            absent: Absent::default(),
            timers: Timers::default(),
            stats: Stats::default(),
            counters: Counters::default(),
            signals: Signals::default(),
        }
    }

    pub(super) fn take_wakes(&mut self, wakes: &mut Vec<ConnId>) {
        wakes.append(&mut self.signals.wakes);
    }

    /// Moves what a connection has to write to `out`, up to [`OUTPUT_BYTES`]. Says whether there is more.
    pub(super) fn take_output(&mut self, id: ConnId, out: &mut Vec<Outgoing>) -> bool {
        let Some(conn) = self.conns.get_mut(id) else { return false };
        conn.is_woken = false;
        let Some(session) = conn.session.and_then(|key| self.sessions.get_mut(key)) else {
            conn.out_bytes = 0;
            out.extend(conn.out.drain(..).map(|(_, outgoing)| outgoing));
            return false;
        };
        let mut budget = OUTPUT_BYTES;
        while let Some((before, _)) = conn.out.front() {
            budget = session.stream.give(*before, budget, out);
            if budget == 0 {
                return true;
            }
            if let Some((_, outgoing)) = conn.out.pop_front() {
                let bytes = outgoing_bytes(&outgoing);
                conn.out_bytes = conn.out_bytes.saturating_sub(bytes);
                budget = budget.saturating_sub(bytes);
                out.push(outgoing);
            }
        }
        session.stream.give(u64::MAX, budget, out);
        session.stream.has_output()
    }

    pub(super) fn wake(&mut self, id: ConnId) {
        if let Some(conn) = self.conns.get_mut(id) {
            self.signals.wake(id, conn);
        }
    }

    /// Puts a frame behind the events that are there so far.
    pub(super) fn send(&mut self, id: ConnId, frame: ServerFrame) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        let session = conn.session.and_then(|key| Some((key, self.sessions.get_mut(key)?)));
        let outgoing = Outgoing::Frame(frame);
        conn.out_bytes += outgoing_bytes(&outgoing);
        let before = session.as_ref().map_or(0, |(_, session)| session.stream.end());
        if conn.out.capacity() == 0 {
            // A client at rest gets a pong now and then, and nothing else.
            conn.out.reserve_exact(1);
        }
        conn.out.push_back((before, outgoing));
        if let Some((key, session)) = session
            && session.becomes_overfull(conn.out_bytes)
        {
            self.signals.overfull.push(key);
        }
        self.signals.wake(id, conn);
    }

    /// Puts an event into a session for which nothing has to be done when it has arrived.
    pub(super) fn tell(&mut self, key: SessionKey, event: Event) {
        self.push(key, Queued::plain(event));
    }

    /// Puts an event into a session, and wakes its connection.
    pub(super) fn push(&mut self, key: SessionKey, queued: Queued) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        self.stats.events += 1;
        session.stream.push(queued);
        let Some(id) = session.conn else { return };
        let Some(conn) = self.conns.get_mut(id) else { return };
        self.signals.pushed((key, session), (id, conn));
    }

    /// Puts an event of a channel into the session of a member, if it `gets` it. For one that is away the last ones are
    /// kept, and for one that has yet to join it again all of them.
    pub(super) fn push_news(
        &mut self,
        key: SessionKey,
        channel: ChannelKey,
        news: ChannelNews,
        event: &SharedEvent,
        bytes: u32,
        gets: impl Fn(SessionKey, &Session) -> bool,
    ) {
        let Some(session) = self.sessions.get_mut(key).filter(|session| gets(key, session)) else { return };
        let queued = Queued { event: event.clone(), note: Note::None, bytes };
        if let Some(id) = session.conn {
            if session.rejoining.is_some() {
                return self.push_or_hold(key, queued);
            }
            self.stats.events += 1;
            session.stream.push(queued);
            if let Some(conn) = self.conns.get_mut(id) {
                self.signals.pushed((key, session), (id, conn));
            }
            return;
        }
        let before = session.stream.end();
        let most = self.settings.away_channel_messages;
        let Some(lost) = session.memberships.keep(channel, before, news, queued, most) else { return };
        self.stats.events += 1;
        if lost > 0 {
            self.stats.away_dropped += lost;
            self.counters.lost_events(LossReason::Away, lost);
            session.counts_mut().dropped(lost);
        }
        self.has_room(key, 0);
    }

    /// Puts an event of a channel into a session, or keeps it there until its client has joined that channel again.
    #[cold]
    fn push_or_hold(&mut self, key: SessionKey, queued: Queued) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        let Some(rejoining) = &mut session.rejoining else { return self.push(key, queued) };
        match rejoining.hold(queued) {
            Err(queued) => self.push(key, queued),
            Ok(()) => {
                self.stats.events += 1;
                self.make_room_for_held(key);
            }
        }
    }

    /// Gives each session the limit of the settings, which have changed.
    pub(super) fn limit_sessions(&mut self) {
        let keys: Vec<_> = self.sessions.keys().collect();
        for key in keys {
            if let Some(session) = self.sessions.get_mut(key) {
                session.set_limit(&self.settings);
            }
        }
    }

    /// Lets the oldest events go that wait for a client to join their channels, where a session holds too much.
    fn make_room_for_held(&mut self, key: SessionKey) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        while session.is_nearly_full(&self.settings)
            || session.rejoining.as_ref().is_some_and(|rejoining| rejoining.is_full())
        {
            if !session.rejoining.as_mut().is_some_and(|rejoining| rejoining.lose_oldest()) {
                return;
            }
            session.counts_mut().dropped(1);
            self.stats.away_dropped += 1;
            self.counters.lost_events(LossReason::Rejoining, 1);
        }
    }

    /// Puts events into a session that were counted when they were kept.
    pub(super) fn push_held(&mut self, key: SessionKey, held: impl IntoIterator<Item = Queued>) {
        let Some(session) = self.sessions.get_mut(key) else { return };
        held.into_iter().for_each(|queued| session.stream.push(queued));
        if session.stream.has_output()
            && let Some(conn) = session.conn
        {
            self.wake(conn);
        }
    }

    /// Whether an event may be put into a session: one that has no connection takes no more than its limit. Events
    /// of channels give way first.
    pub(super) fn has_room(&mut self, key: SessionKey, bytes: u32) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return false };
        if session.conn.is_some() {
            return true;
        }
        let wanted = bytes as usize;
        while session.bytes() + wanted > self.settings.session_bytes {
            if !session.memberships.lose_oldest() {
                return false;
            }
            session.counts_mut().dropped(1);
            self.stats.away_dropped += 1;
            self.counters.lost_events(LossReason::SessionFull, 1);
        }
        true
    }

    /// Answers a request; a repeat of it gets the same answer.
    pub(super) fn finish(&mut self, asker: Asker, result: Result<Answer, Refusal>) {
        let Some(session) = self.asking(asker) else { return self.back_end.finish(asker, result) };
        let call = if result.is_err() { session.requests.call_of(asker.request) } else { None };
        if let Some(result) = session.requests.finish(asker.request, result) {
            self.reply(asker.session, asker.request, call, result);
        }
    }

    /// Answers a read. One that is asked again is done again.
    pub(super) fn answer_read(&mut self, asker: Asker, call: CallName, result: Result<Answer, Refusal>) {
        if self.asking(asker).is_some() {
            self.reply(asker.session, asker.request, Some(call), result);
        }
    }

    /// A request's answer waits for one thing more.
    pub(super) fn promise(&mut self, asker: Asker) {
        match self.sessions.get_mut(asker.session) {
            Some(session) => session.requests.promise(asker.request),
            None => self.back_end.promise(asker),
        }
    }

    /// Whether a sender is here.
    pub(super) fn has_sender(&self, key: SessionKey) -> bool {
        self.sessions.get(key).is_some() || key == self.back_end.key
    }

    /// The id by which other nodes know a sender that is here.
    pub(super) fn sender_id(&self, key: SessionKey) -> Option<SessionId> {
        let session = self.sessions.get(key).map(|session| session.id);
        session.or_else(|| (key == self.back_end.key).then_some(self.back_end.id))
    }

    /// The lanes on which a sender that is here sends.
    pub(super) fn lanes(&self, key: SessionKey) -> Option<&Lanes> {
        match self.sessions.get(key) {
            Some(session) => session.lanes.as_deref(),
            None => self.back_end.lanes.as_deref().filter(|_| key == self.back_end.key),
        }
    }

    /// The same, to be changed.
    pub(super) fn lanes_mut(&mut self, key: SessionKey) -> Option<&mut Lanes> {
        match self.sessions.get_mut(key) {
            Some(session) => session.lanes.as_deref_mut(),
            None => self.back_end.lanes.as_deref_mut().filter(|_| key == self.back_end.key),
        }
    }

    /// The store has kept what a request's answer waits for, or has failed to.
    pub(super) fn kept(&mut self, asker: Asker, kept: Result<(), Refusal>) {
        let Some(session) = self.asking(asker) else { return self.back_end.kept(asker, kept) };
        let call = session.requests.call_of(asker.request);
        if let Some(result) = session.requests.kept(asker.request, kept) {
            self.reply(asker.session, asker.request, call, result);
        }
    }

    /// Sends an answer, if the session has a connection: without one, the client asks again.
    pub(super) fn reply(
        &mut self,
        key: SessionKey,
        id: RequestId,
        call: Option<CallName>,
        result: Result<Answer, Refusal>,
    ) {
        if let Err(refusal) = &result {
            self.count_refusal(key, call, refusal.kind);
        }
        if let Some(conn) = self.sessions.get(key).and_then(|session| session.conn) {
            self.send(conn, ServerFrame::Reply { id, result });
        }
    }

    #[cold]
    fn count_refusal(&mut self, key: SessionKey, call: Option<CallName>, kind: ErrorKind) {
        self.counters.call_refused(call, kind);
        if let Some(session) = self.sessions.get_mut(key) {
            session.counts_mut().call_refused(kind);
        }
    }

    /// The session whose request waits, unless it has begun to count anew.
    #[inline]
    fn asking(&mut self, asker: Asker) -> Option<&mut Session> {
        self.sessions.get_mut(asker.session).filter(|session| session.requests.numbering == asker.numbering)
    }

    /// Sees to it that a session is looked after in time.
    pub(super) fn arm(&mut self, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            let at = session.deadline(&self.settings);
            session.alarm.set(&mut self.timers, at, Due::Session(key));
        }
    }

    /// Gives a connection its last output. Its session goes on without it.
    pub(super) fn close(&mut self, now: Now, id: ConnId, last: Outgoing) {
        let Some(conn) = self.conns.get_mut(id) else { return };
        if conn.is_closed {
            return;
        }
        conn.is_closed = true;
        conn.is_woken = true;
        conn.out.push_back((u64::MAX, last));
        if let Some(key) = conn.session.take() {
            self.detach(now, key);
        }
        // Also one that was woken and has not taken its output: its socket may take nothing any more.
        self.signals.wakes.push(id);
    }

    /// Gives all connections their last output, and forgets all sessions.
    pub(super) fn forget_sessions(&mut self, now: Now, reason: CloseReason) {
        self.sessions.clear();
        self.absent = Absent::default();
        self.signals.overfull.clear();
        for id in self.conns.keys().collect::<Vec<_>>() {
            self.close(now, id, Outgoing::Close(reason));
        }
    }

    /// A session is without a connection from now on.
    pub(super) fn detach(&mut self, now: Now, key: SessionKey) {
        if let Some(session) = self.sessions.get_mut(key) {
            session.lose_connection(now.instant);
            self.arm(key);
        }
    }

    /// Closes the connections of sessions that hold too much.
    pub(super) fn close_overfull(&mut self, now: Now) {
        while let Some(key) = self.signals.overfull.pop() {
            let Some(session) = self.sessions.get(key) else { continue };
            if let Some(conn) = session.conn.filter(|_| session.is_overfull()) {
                self.stats.slow_consumers += 1;
                self.close(now, conn, Outgoing::Close(CloseReason::SlowConsumer));
            }
        }
    }

    /// Takes a device's acknowledgement. `false` if it acknowledges what was never sent.
    pub(super) fn acknowledge(&mut self, key: SessionKey, received: Seq, consumed: Seq) -> bool {
        let Some(session) = self.sessions.get_mut(key) else { return true };
        if session.stream.acknowledge(received, consumed).is_err() {
            return false;
        }
        if session.stream.has_output()
            && let Some(conn) = session.conn
        {
            self.wake(conn);
        }
        true
    }
}

/// Sessions that move: see [`Core::pack_session`](super::Core::pack_session).
impl Hub {
    /// Takes a session out. Its key is kept for it, so that what refers to it here finds it when it comes back.
    pub(super) fn take_out(&mut self, now: Instant, key: SessionKey) -> Option<Session> {
        let session = self.sessions.take(key)?;
        self.keep_key(now, session.id, key);
        Some(session)
    }

    /// Puts a session in under the key that was kept for it.
    pub(super) fn put_in(&mut self, now: Instant, session: Session) -> SessionKey {
        let key = self.absent_key(now, session.id);
        self.absent.remove(session.id);
        match self.sessions.put(key, session) {
            Ok(()) => key,
            // Too many sessions are elsewhere, so no key was kept.
            Err(session) => self.sessions.insert(session),
        }
    }

    /// A key that no session has.
    pub(super) fn nobody(&mut self) -> SessionKey {
        let key = self.sessions.reserve();
        self.sessions.give_up(key);
        key
    }

    /// The key of a session that is not here.
    pub(super) fn absent_key(&mut self, now: Instant, id: SessionId) -> SessionKey {
        if let Some(key) = self.absent.key(id) {
            self.absent.wait_for(id, now + self.settings.resume_within);
            return key;
        }
        let key = self.sessions.reserve();
        self.keep_key(now, id, key);
        key
    }

    /// The same of a sender, a message of whom came from this node.
    pub(super) fn sender_key(&mut self, now: Instant, id: SessionId, from: &NodeId) -> SessionKey {
        let key = self.absent_key(now, id);
        self.absent.came_from(id, from);
        key
    }

    /// The session that a key means, here or elsewhere.
    pub(super) fn session_id(&self, key: SessionKey) -> Option<SessionId> {
        self.sender_id(key).or_else(|| self.absent.id(key))
    }

    /// Forgets sessions that have not come for longer than anybody waits for them.
    pub(super) fn forget_absent(&mut self, now: Instant) {
        for key in self.absent.forget(now) {
            self.sessions.give_up(key);
        }
    }

    fn keep_key(&mut self, now: Instant, id: SessionId, key: SessionKey) {
        if self.absent.is_full() {
            self.forget_absent(now);
        }
        // Of too many, those that come last are waited for in vain.
        if self.absent.is_full() {
            return self.sessions.give_up(key);
        }
        self.absent.keep(id, key, now + self.settings.resume_within);
    }
}

/// What a frame counts for while it waits to be written.
fn outgoing_bytes(outgoing: &Outgoing) -> usize {
    let Outgoing::Frame(ServerFrame::Reply { result, .. }) = outgoing else { return FRAME_BYTES };
    FRAME_BYTES
        + match result {
            Ok(Answer::QueryHistory(page)) => page.messages.iter().map(|kept| kept.message.len() + FRAME_BYTES).sum(),
            Ok(Answer::GetUserAttributes(all)) => all.values().map(|value| value.len() + FRAME_BYTES).sum(),
            Ok(Answer::GetChannelAttributes(all)) => {
                all.attributes.values().map(|attribute| attribute.value.len() + FRAME_BYTES).sum()
            }
            Ok(Answer::GetMembers(all)) => all.len() * FRAME_BYTES,
            Ok(Answer::QueryPeersBySubscriptionOption(all)) => all.len() * FRAME_BYTES,
            Ok(Answer::QueryPeersOnlineStatus(all)) => all.len() * FRAME_BYTES,
            Ok(Answer::GetChannelMemberCount(all)) => all.len() * FRAME_BYTES,
            Ok(
                Answer::RenewToken(())
                | Answer::SendMessageToPeer(_)
                | Answer::SubscribePeersOnlineStatus(())
                | Answer::UnsubscribePeersOnlineStatus(())
                | Answer::SendInvitation(())
                | Answer::CancelInvitation(())
                | Answer::AcceptInvitation(())
                | Answer::RefuseInvitation(())
                | Answer::SetLocalUserAttributes(())
                | Answer::AddOrUpdateLocalUserAttributes(())
                | Answer::DeleteLocalUserAttributesByKeys(())
                | Answer::ClearLocalUserAttributes(())
                | Answer::JoinChannel(())
                | Answer::LeaveChannel(())
                | Answer::SendChannelMessage(())
                | Answer::SetChannelAttributes(_)
                | Answer::AddOrUpdateChannelAttributes(_)
                | Answer::DeleteChannelAttributesByKeys(_)
                | Answer::ClearChannelAttributes(_),
            )
            | Err(_) => 0,
        }
}

/// What one call to [`Hub::take_output`] gives at most, about: a socket's buffer is filled, not the memory.
const OUTPUT_BYTES: usize = 256 * 1024;
const FRAME_BYTES: usize = 96;
