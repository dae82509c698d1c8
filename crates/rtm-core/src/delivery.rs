//! Messages to users whose sessions are on other nodes, and what their senders are told of them.

use std::time::{Duration, Instant};

use rtm_codec::{
    Answer, ErrorKind, Event, MessageId, PeerMessage, Refusal, RequestId, RtmMessage, SendOutcome, SessionId,
    SharedEvent, UserId,
};

use super::{
    Core, Now,
    arena::SessionKey,
    back_end::node_of_back_end,
    cluster::{
        Delivered, EngineAnswer, EngineWork, LaneRun, MessageOutcome, NodeId, ProjectParcel, RunMessage, UserEntry,
    },
    edge::LaneOf,
    engine::Purpose,
    lanes::{GRACE, Hearing, LaneMessage, Lanes, MessageKey, Place, Settled},
    notes::{Asker, Note, Queued, event_bytes},
};

/// A message that is to go to another node, or behind others that do.
#[derive(Debug)]
pub(super) struct Parting {
    pub(super) event: SharedEvent,
    pub(super) store: bool,
}

/// A message that was sent to another node.
#[derive(Debug, Clone, Copy)]
pub(super) struct Numbered<'a> {
    /// The sender's session.
    pub(super) session: SessionId,
    pub(super) sender: &'a UserId,
    pub(super) to: &'a UserId,
    pub(super) n: u64,
}

/// A message that a session has, of a sender that is here and waits.
#[derive(Debug)]
pub(super) struct Received {
    asker: Asker,
    event: SharedEvent,
    store: bool,
    deadline: Instant,
}

/// What the other node says of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneAnswer {
    Placed { drops_repeats: bool },
    Missing,
    NotHere,
}

impl Core {
    /// Whether a message of this session to a user has to go by a lane: the user's session, if it has one, is not here, or
    /// earlier messages to it are still on their way.
    #[cold]
    #[inline(never)]
    pub(super) fn needs_lane(&self, key: SessionKey, to: &UserId, is_here: bool) -> bool {
        let Some(edge) = &self.edge else { return false };
        // Of one who has just logged in elsewhere this node may not have heard: the engine knows.
        if !is_here {
            return true;
        }
        let lane = self.hub.lanes(key).and_then(|lanes| lanes.lane(to));
        lane.is_some_and(|lane| lane.has_waiting() || lane.has_sent() || lane.awaits_outcome(Some(&edge.node)))
    }

    /// Sends a message to where its receiver is.
    #[cold]
    #[inline(never)]
    pub(super) fn send_over_lane(&mut self, now: Now, asker: Asker, to: &UserId, parting: Parting) {
        let deadline = now.instant + self.config.settings.receipt_within;
        let message = LaneMessage::new(asker, parting.event, parting.store, deadline, Place::Waiting);
        self.put_on_lane(now, asker, to, message);
        let Some(edge) = &mut self.edge else { return };
        // The messages of a turn go together.
        if edge.lanes_to_go.last().is_none_or(|(key, last)| (*key, last) != (asker.session, to)) {
            edge.lanes_to_go.push((asker.session, to.clone()));
            self.look_for_receiver(asker.session, to);
        }
    }

    /// Sends what came in this turn.
    pub(super) fn send_what_waits(&mut self) {
        let Some(edge) = self.edge.as_mut().filter(|edge| !edge.lanes_to_go.is_empty()) else { return };
        let now = Now { instant: self.clock.last(), unix_ms: 0 };
        for (key, to) in std::mem::take(&mut edge.lanes_to_go) {
            self.look_for_receiver(key, &to);
            self.go_on_with_lane(now, key, &to);
        }
    }

    /// Of a receiver of whom nothing is known the engine is asked where it is.
    fn look_for_receiver(&mut self, key: SessionKey, to: &UserId) {
        if self.session_of(to).is_none()
            && self.node_of(to).is_none()
            && let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(to))
        {
            lane.is_lost = true;
        }
    }

    /// Sends what waits on a lane, if it is known where to, and all that was sent elsewhere is answered.
    pub(super) fn go_on_with_lane(&mut self, now: Now, key: SessionKey, to: &UserId) {
        let Some(edge) = &mut self.edge else { return };
        let Some(lane) = self.hub.lanes(key).and_then(|lanes| lanes.lane(to)) else {
            return edge.close_lane(key, to);
        };
        if !lane.has_waiting() || lane.is_asking {
            return;
        }
        if let Some(until) = lane.wait_until.filter(|until| now.instant < *until) {
            // This look may be the one that was planned for it, and come before.
            return self.arm_lanes(until);
        }
        let here = self.session_of(to);
        let elsewhere = self.node_of(to).cloned();
        let known = self.edge.as_ref().and_then(|edge| Some(edge.entry_of(to)?.entry.as_ref()?.session));
        let Some(edge) = &mut self.edge else { return };
        // Its entry may name this node before the session is here.
        let is_on_its_way = here.is_none() && edge.is_on_its_way(to);
        let receiver_here = here.and_then(|here| self.hub.sessions.get(here));
        let takes_repeats = receiver_here.is_some_and(|session| !session.terms.abilities().resume);
        let Some(from) = self.hub.sender_id(key) else { return };
        let Some(lanes) = self.hub.lanes_mut(key) else { return };
        let Some(lane) = lanes.lane_mut(to) else { return };
        lane.wait_until = None;
        let is_known = !lane.is_lost && here.is_none() && elsewhere.is_some();
        if !is_known && lane.has_sent() {
            return;
        }
        if is_on_its_way {
            lane.wait_until = Some(now.instant + LOST_PAUSE);
            return self.arm_lanes(now.instant + LOST_PAUSE);
        }
        let receiver_node = here.map(|_| &edge.node).or(elsewhere.as_ref());
        if !lane.is_lost && lane.awaits_outcome(receiver_node) {
            return;
        }
        if let Some(receiver) = here {
            // What its device may have would come twice there, if that does not recognise it.
            if takes_repeats && lane.has_given_back() {
                let given_back = lanes.take_given_back(to);
                return self.give_up_on_lane(now, key, to, given_back);
            }
            if lane.has_unrepeatable(now.instant) {
                let unrepeatable = lanes.take_unrepeatable(to, now.instant);
                return self.give_up_on_lane(now, key, to, unrepeatable);
            }
            // What this node stores for it is read first.
            if edge.rereading.is_storing_for(to) {
                return;
            }
            let waiting = lanes.take_waiting(to);
            if lanes.close_if_empty(to) {
                edge.close_lane(key, to);
            }
            return waiting.into_iter().for_each(|message| self.place(now, key, receiver, to, message));
        }
        if lane.is_lost {
            lane.is_asking = true;
            edge.ask(to, EngineWork::Read, Purpose::Where(key));
            return;
        }
        if lane.has_unrepeatable(now.instant) {
            let unrepeatable = lanes.take_unrepeatable(to, now.instant);
            return self.give_up_on_lane(now, key, to, unrepeatable);
        }
        let Some(node) = elsewhere else {
            if lane.awaits_return(now.instant) {
                return;
            }
            let waiting = lanes.take_waiting(to);
            return self.give_up_on_lane(now, key, to, waiting);
        };
        // What this node stores for the receiver is read first.
        if edge.rereading.is_storing_for(to) {
            return;
        }
        // What was sent to another place is answered first.
        if lane.has_sent_elsewhere(&node) {
            return;
        }
        lane.sent_to = known;
        lane.send_waiting(&node, |message, after| {
            let Event::MessageFromPeer(content) = message.event.event() else { return };
            let lane = LaneOf { session: from, to, numbering: message.numbering };
            let message = RunMessage {
                n: message.n,
                after,
                request: message.request,
                message: content.clone(),
                store: message.store,
                within: message.deadline.saturating_duration_since(now.instant),
            };
            edge.deliver(&node, lane, message);
        });
    }

    /// Messages that were taken from a lane do not go to their receiver any more: the others go on.
    fn give_up_on_lane(&mut self, now: Now, key: SessionKey, to: &UserId, messages: Vec<LaneMessage>) {
        if self.hub.lanes_mut(key).is_some_and(|lanes| lanes.close_if_empty(to))
            && let Some(edge) = &mut self.edge
        {
            edge.close_lane(key, to);
        }
        for LaneMessage { numbering, request, event, store, .. } in messages {
            self.store_or_give_up(now, to, Asker { session: key, numbering, request }, store, &event, None);
        }
        self.go_on_with_lane(now, key, to);
    }

    /// Puts a message into its receiver's session, which is here after all.
    fn place(&mut self, now: Now, key: SessionKey, receiver: SessionKey, to: &UserId, message: LaneMessage) {
        let LaneMessage { n, numbering, request, event, store, deadline, .. } = message;
        let sender = self.hub.sender_id(key);
        let lanes = self.hub.sessions.get(receiver).and_then(|session| session.lanes.as_ref());
        // It may have brought the message along from the node that this was sent to.
        if sender.is_some_and(|sender| lanes.is_some_and(|lanes| lanes.has_heard(sender, n))) {
            return;
        }
        self.receive(now, receiver, to, Asker { session: key, numbering, request }, store, event, deadline);
    }

    /// A message for a user whose session is here. Says whether it was to be stored at once, since that has no place for it.
    #[expect(
        clippy::too_many_arguments,
        reason = "each is used once, and a struct of them would be made for this call"
    )]
    fn receive(
        &mut self,
        now: Now,
        key: SessionKey,
        to: &UserId,
        asker: Asker,
        store: bool,
        event: SharedEvent,
        deadline: Instant,
    ) -> bool {
        let Some(session) = self.hub.sessions.get(key) else { return false };
        let (is_there, takes_binary) = (session.is_there(), session.terms.abilities().binary);
        let is_binary =
            matches!(event.event(), Event::MessageFromPeer(PeerMessage { message: RtmMessage::Binary(_), .. }));
        if is_binary && is_there && !takes_binary {
            self.settle_message(asker, &event, Err(ErrorKind::IncompatibleMessage.into()));
            return false;
        }
        let bytes = event_bytes(event.event());
        if is_there && self.hub.has_room(key, bytes) {
            let note = Note::Receipt { asker, deadline, store };
            self.push_message(key, Queued { event, note, bytes });
            return false;
        }
        if store {
            self.store_what_waits(now, to);
        }
        self.store_or_give_up(now, to, asker, store, &event, None);
        store
    }

    /// Messages from a session on another node to a user.
    pub(super) fn deliver(&mut self, now: Now, from: &NodeId, run: LaneRun) {
        let LaneRun { session: lane, to, numbering, messages } = run;
        let Some(sender) = messages.first().map(|first| first.message.peer_id.clone()) else { return };
        let Some(key) = self.session_of(&to) else {
            for RunMessage { n, .. } in messages {
                self.tell(from, ProjectParcel::NotHere { session: lane, user_id: sender.clone(), to: to.clone(), n });
            }
            return;
        };
        let is_overtaken = self.is_overtaken(key, lane, &sender);
        let hasher = self.hasher.clone();
        let (mut sender_key, mut placed) = (None, None);
        for RunMessage { n, after, request, message, store, within } in messages {
            let Some(session) = self.hub.sessions.get_mut(key) else { break };
            let drops_repeats = session.terms.abilities().resume;
            let lanes = session.lanes.get_or_insert_with(|| Box::new(Lanes::new(hasher.clone())));
            match lanes.hear(lane, n, after) {
                Hearing::Missing => {
                    let (user_id, to) = (sender.clone(), to.clone());
                    self.tell(from, ProjectParcel::Missing { session: lane, user_id, to, n });
                    continue;
                }
                Hearing::Known => {
                    if store && !self.waits_for_device(key, lane, request) {
                        self.tell_storing(lane, request);
                    }
                }
                // Its call has ended with its session, without an answer.
                Hearing::Next if is_overtaken => {}
                Hearing::Next => {
                    let session = *sender_key.get_or_insert_with(|| self.hub.sender_key(now.instant, lane, from));
                    let asker = Asker { session, numbering, request };
                    let event = SharedEvent::for_one(Event::MessageFromPeer(message));
                    if self.receive(now, key, &to, asker, store, event, now.instant + within) {
                        self.tell_storing(lane, request);
                    }
                }
            }
            placed = Some((n, drops_repeats));
        }
        if let (Some((n, drops_repeats)), Some(edge)) = (placed, &mut self.edge) {
            edge.tell_placed(from, Numbered { session: lane, sender: &sender, to: &to, n }, drops_repeats);
        }
    }

    /// Tells the node of a back end that what becomes of a message follows, and that nobody here waits for the device.
    fn tell_storing(&mut self, lane: SessionId, request: RequestId) {
        if let Some(edge) = &mut self.edge {
            edge.tell_storing(lane, request);
        }
    }

    /// Whether a session has a message of this request, and its sender waits for the device.
    fn waits_for_device(&self, key: SessionKey, lane: SessionId, request: RequestId) -> bool {
        let is_it = |sender: SessionKey| self.hub.session_id(sender) == Some(lane);
        self.received_of(key, is_it).iter().any(|received| received.asker.request == request)
    }

    /// Whether a session of a sender is over, and messages of the one that followed it may have come here already: one of the
    /// old session would come after later ones of its sender.
    fn is_overtaken(&self, receiver: SessionKey, lane: SessionId, sender: &UserId) -> bool {
        let Some(edge) = &self.edge else { return false };
        let here = self.session_of(sender).and_then(|key| self.hub.sessions.get(key));
        if let Some(session) = here {
            let has_sent = session.message_ids.as_ref().is_some_and(|ids| ids.has_any_to_peers());
            return session.id != lane && has_sent && edge.is_followed(sender, lane, session.id);
        }
        let entry = edge.entry_of(sender).and_then(|heard| heard.entry.as_ref());
        let Some(entry) = entry.filter(|entry| entry.session != lane) else { return false };
        let lanes = self.hub.sessions.get(receiver).and_then(|session| session.lanes.as_ref());
        let has_heard = lanes.is_some_and(|lanes| lanes.has_heard(entry.session, 0));
        has_heard && edge.is_followed(sender, lane, entry.session)
    }

    /// What another node says of a message that was sent to it.
    pub(super) fn lane_answered(&mut self, now: Now, from: &NodeId, numbered: Numbered<'_>, answer: LaneAnswer) {
        let Numbered { session, sender, to, n } = numbered;
        let Some(key) = self.sender_of(session, sender) else { return };
        let entry = self.edge.as_mut().and_then(|edge| edge.entry_of_answer(to, answer));
        let entry = entry.map(|entry| (entry.session, entry.node.clone()));
        let is_of_back_end = key == self.hub.back_end.key;
        let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(to)) else { return };
        // The receiver's session may have moved since.
        let moved_to = entry.filter(|(session, _)| lane.sent_to == Some(*session)).map(|(_, node)| node);
        let node = moved_to.unwrap_or_else(|| from.clone());
        let unanswered_from = lane.unanswered_from();
        let is_news = match answer {
            LaneAnswer::Placed { drops_repeats } => lane.place_up_to(n, from, &Place::Placed { node, drops_repeats }),
            LaneAnswer::Missing | LaneAnswer::NotHere => lane.take_back(n, from),
        };
        if !is_news {
            return;
        }
        if answer == LaneAnswer::NotHere {
            lane.is_lost = true;
            lane.denied = self.edge.as_ref().and_then(|edge| edge.entry_naming(to, from));
        }
        if is_of_back_end {
            let placed: Vec<_> = lane.placed(unanswered_from..=n).collect();
            placed.into_iter().for_each(|request| self.hub.back_end.placed(from, request));
        }
        self.go_on_with_lane(now, key, to);
    }

    /// Where a receiver is, as the engine says.
    pub(super) fn lane_found(&mut self, now: Now, key: SessionKey, to: &UserId, answer: &EngineAnswer) {
        let lane = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(to));
        // Of an entry that was removed long ago nothing is left that is newer than what is known here.
        if let Some(denied) = lane.and_then(|lane| lane.denied.take())
            && matches!(answer, EngineAnswer::Read(heard) if heard.revision == 0)
        {
            self.entry_is_gone(now, to, denied);
        }
        let is_found = self.node_of(to).is_some();
        let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(to)) else { return };
        lane.is_asking = false;
        match answer {
            EngineAnswer::Read(_) => {
                lane.is_lost = false;
                // The same node may be asked that said it had no such session: it may be about to.
                lane.wait_until = Some(now.instant + LOST_PAUSE).filter(|_| is_found);
            }
            _ => lane.wait_until = Some(now.instant + LOST_PAUSE),
        }
        self.arm_lanes(now.instant + LOST_PAUSE);
        self.go_on_with_lane(now, key, to);
    }

    /// A sender is told what became of its message, wherever its session is.
    #[cold]
    #[inline(never)]
    pub(super) fn settle_in_cluster(
        &mut self,
        asker: Asker,
        message: &PeerMessage,
        outcome: Result<SendOutcome, Refusal>,
    ) {
        if self.hub.sessions.get(asker.session).is_some() {
            return self.settle_on_lane(asker, message.message_id, outcome);
        }
        if asker.session == self.hub.back_end.key {
            return self.settle_of_back_end(asker, message.message_id, outcome);
        }
        let Some(session) = self.hub.session_id(asker.session) else { return };
        let (Asker { numbering, request, .. }, message_id) = (asker, message.message_id);
        if outcome == Ok(SendOutcome::Delivered)
            && let Some(edge) = &mut self.edge
            && edge.add_delivered(session, numbering, (request, message_id))
        {
            return;
        }
        let user_id = message.peer_id.clone();
        self.pass_outcome_on(MessageOutcome { session, user_id, numbering, request, message_id, outcome, hops: 0 });
    }

    /// The sender with this id, if it is here.
    pub(super) fn sender_of(&self, id: SessionId, user_id: &UserId) -> Option<SessionKey> {
        if self.hub.back_end.id == id && self.edge.is_some() {
            return Some(self.hub.back_end.key);
        }
        let key = self.session_of(user_id)?;
        self.hub.sessions.get(key).is_some_and(|session| session.id == id).then_some(key)
    }

    /// The other node that has a message's sender: the one that its user's entry names, or the one from which the message came, as
    /// long as nobody has heard of the sender's session otherwise.
    fn node_of_sender(&self, outcome: &MessageOutcome) -> Option<NodeId> {
        let edge = self.edge.as_ref()?;
        let named = self.node_of(&outcome.user_id);
        let entry = edge.entry_of(&outcome.user_id).and_then(|heard| heard.entry.as_ref());
        let is_known = entry.is_some_and(|entry| entry.session == outcome.session);
        let came_from = self.hub.absent.node(outcome.session).filter(|node| !is_known && edge.view.has(node));
        node_of_back_end(&edge.view, outcome.session).or(came_from).or(named).cloned()
    }

    fn pass_outcome_on(&mut self, outcome: MessageOutcome) {
        let Some(edge) = &mut self.edge else { return };
        let Some(outcome) = edge.frozen.keep_outcome(outcome).filter(|outcome| outcome.hops < MOST_HOPS) else {
            return;
        };
        let node = self.node_of_sender(&outcome);
        let Some(edge) = &mut self.edge else { return };
        match node {
            Some(node) => edge.post_outcome(&node, MessageOutcome { hops: outcome.hops + 1, ..outcome }),
            // The session of the sender may be about to be here.
            None => {
                let own_node = edge.node.clone();
                let _ = edge.claims.await_session(&own_node, ProjectParcel::Outcome(Box::new(outcome)));
            }
        }
    }

    /// What became of a message did not come to its sender's node: it is said again in a while, to where that is then.
    pub(super) fn outcome_lost(&mut self, now: Now, outcome: MessageOutcome) {
        let hops = outcome.hops.saturating_sub(1);
        if let Some(edge) = self.edge.as_mut().filter(|edge| edge.lost_outcomes.len() < LOST_OUTCOMES) {
            edge.lost_outcomes.push(MessageOutcome { hops, ..outcome });
            self.arm_edge(now.instant + LOST_PAUSE);
        }
    }

    pub(super) fn say_outcomes_again(&mut self) {
        let lost = self.edge.as_mut().map_or_else(Vec::new, |edge| std::mem::take(&mut edge.lost_outcomes));
        lost.into_iter().for_each(|outcome| self.pass_outcome_on(outcome));
    }

    /// What became of a message that a session sent which is here, or was.
    pub(super) fn outcome_came(&mut self, outcome: MessageOutcome) {
        let sender = self.sender_of(outcome.session, &outcome.user_id);
        let Some(session) = sender else { return self.pass_outcome_on(outcome) };
        let MessageOutcome { numbering, request, message_id, outcome, .. } = outcome;
        let asker = Asker { session, numbering, request };
        match session == self.hub.back_end.key {
            true => self.settle_of_back_end(asker, message_id, outcome),
            false => self.settle_on_lane(asker, message_id, outcome),
        }
    }

    /// Messages have arrived of a session that is here, or was.
    pub(super) fn delivered_came(&mut self, delivered: Delivered) {
        let Some(session) = self.sender_of(delivered.session, &delivered.user_id) else {
            return delivered.outcomes().for_each(|outcome| self.pass_outcome_on(outcome));
        };
        let numbering = delivered.numbering;
        let messages = delivered.messages.into_iter();
        let messages = messages.map(|(request, message_id)| (Asker { session, numbering, request }, message_id));
        if session == self.hub.back_end.key {
            return messages.for_each(|(asker, id)| self.settle_of_back_end(asker, id, Ok(SendOutcome::Delivered)));
        }
        messages.for_each(|(asker, message_id)| self.settle_on_lane(asker, message_id, Ok(SendOutcome::Delivered)));
    }

    /// Tells a back end what became of its message. As on one core alone, it is not counted that a message was delivered for which
    /// nobody waits and that is not to be stored.
    fn settle_of_back_end(&mut self, asker: Asker, message_id: MessageId, outcome: Result<SendOutcome, Refusal>) {
        let key = MessageKey::new(asker, message_id);
        let is_plain = self.hub.back_end.lanes.as_deref().and_then(|lanes| lanes.stores(&key)) == Some(false);
        if outcome == Ok(SendOutcome::Delivered) && is_plain && !self.hub.back_end.waits(asker) {
            self.leave_lane(asker, key);
            return self.hub.back_end.finish(asker, outcome.map(Answer::SendMessageToPeer));
        }
        self.settle_on_lane(asker, message_id, outcome);
    }

    fn settle_on_lane(&mut self, asker: Asker, message_id: MessageId, outcome: Result<SendOutcome, Refusal>) {
        self.leave_lane(asker, MessageKey::new(asker, message_id));
        self.settle_sent(asker, message_id, outcome);
    }

    #[inline(always)]
    fn leave_lane(&mut self, asker: Asker, key: MessageKey) {
        if let Some(lanes) = self.hub.lanes_mut(asker.session)
            && let Some(Settled { to, is_last }) = lanes.settle(key)
            && let Some(edge) = &mut self.edge
        {
            match is_last {
                true => edge.close_lane(asker.session, &to),
                // Others may have waited for that.
                false => self.go_on_with_lane(Now { instant: self.clock.last(), unix_ms: 0 }, asker.session, &to),
            }
        }
    }

    /// Goes on with all lanes: the view is another one, a receiver has moved, or time has passed.
    pub(super) fn look_at_lanes(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        for (key, to) in edge.take_open_lanes() {
            self.give_back_of_left(key, &to);
            self.expire_lane(now, key, &to);
            self.go_on_with_lane(now, key, &to);
        }
        self.look_again_at_lanes(now);
    }

    /// Sees to it that open lanes are looked at from time to time.
    fn look_again_at_lanes(&mut self, now: Now) {
        if self.edge.as_ref().is_some_and(|edge| edge.has_open_lanes()) {
            self.arm_lanes(now.instant + LOOK_EVERY);
        }
    }

    /// What was sent to nodes that left comes back. What their sessions had, or may have had, may have reached its device: it
    /// goes again only to one that recognises it. But a session may have moved, or ended, before its node left: the entry of the one that follows
    /// it is from that time then. A later entry is that of a user who lost the session with the node.
    fn give_back_of_left(&mut self, key: SessionKey, to: &UserId) {
        let has_other = self.node_of(to).is_some();
        let Some(edge) = &self.edge else { return };
        let elsewhere = edge.entry_of(to).and_then(|heard| heard.entry.as_ref()).filter(|_| has_other);
        let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(to)) else { return };
        let mut is_lost = false;
        let drops_repeats = edge.drops_repeats(to);
        let sent_to = lane.sent_to;
        let has_followed = |entry: &&UserEntry, node: &NodeId| {
            sent_to == Some(entry.session) || edge.is_from_before_it_left(entry, node)
        };
        lane.replace(|place| {
            let given_back = match place {
                // Its node may have placed it, and its word of that be lost.
                Place::Sent(node) if !edge.view.has(node) => Place::GivenBack { was_placed: false, drops_repeats },
                Place::Placed { node, drops_repeats } if !edge.view.has(node) => {
                    match elsewhere.filter(|entry| has_followed(entry, node)) {
                        // In a session that has ended, nobody says any more what became of it.
                        Some(entry) => {
                            return Some(Place::Placed { node: entry.node.clone(), drops_repeats: *drops_repeats });
                        }
                        None => Place::GivenBack { was_placed: true, drops_repeats: *drops_repeats },
                    }
                }
                _ => return None,
            };
            is_lost = true;
            Some(given_back)
        });
        lane.is_lost |= is_lost;
    }

    /// What was sent to a node, or its answer, may be lost.
    pub(super) fn send_again(&mut self, now: Now, node: &NodeId) {
        let lanes = self.edge.as_ref().map_or_else(Vec::new, |edge| edge.open_lanes());
        for (key, to) in lanes {
            let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(&to)) else { continue };
            let sent = Place::Sent(node.clone());
            lane.replace(|place| (*place == sent).then_some(Place::Waiting));
            self.go_on_with_lane(now, key, &to);
        }
    }

    /// Nobody says what became of a message in the time that any session may take for that.
    fn expire_lane(&mut self, now: Now, key: SessionKey, to: &UserId) {
        let Some(lanes) = self.hub.lanes_mut(key) else { return };
        let overdue = lanes.take_overdue(to, now.instant);
        if lanes.close_if_empty(to)
            && let Some(edge) = &mut self.edge
        {
            edge.close_lane(key, to);
        }
        for message in overdue {
            let asker = Asker { session: key, numbering: message.numbering, request: message.request };
            if let Some(message_id) = message.message_id() {
                self.settle_sent(asker, message_id, Err(ErrorKind::Timeout.into()));
            }
        }
    }

    /// The messages that a session has of senders that are here.
    pub(super) fn received_here(&self, key: SessionKey) -> Vec<Received> {
        self.received_of(key, |sender| self.hub.has_sender(sender))
    }

    /// The messages that a session has of these senders, who wait for its device.
    fn received_of(&self, key: SessionKey, is_sender: impl Fn(SessionKey) -> bool) -> Vec<Received> {
        let Some(session) = self.hub.sessions.get(key) else { return Vec::new() };
        let of_sender = |queued: &Queued| match queued.note {
            Note::Receipt { asker, deadline, store } if is_sender(asker.session) => {
                Some(Received { asker, event: queued.event.clone(), store, deadline })
            }
            _ => None,
        };
        session.stream.iter().chain(session.mail.held()).filter_map(of_sender).collect()
    }

    /// A session is about to go on elsewhere: what it sent to sessions here, and their devices do not have yet, is on its lanes
    /// from now on. What it sends there does not overtake that.
    pub(super) fn put_received_on_lanes(&mut self, now: Now, sender: SessionKey) {
        let Some(node) = self.edge.as_ref().map(|edge| edge.node.clone()) else { return };
        // All sessions are looked at, so it has to be for something.
        if self.hub.sessions.get(sender).is_none_or(|session| session.requests.under_way().next().is_none()) {
            return;
        }
        let mut sent = Vec::new();
        for key in self.hub.sessions.keys() {
            let Some(session) = self.hub.sessions.get(key).filter(|it| it.receipts.due().is_some()) else { continue };
            let received = self.received_of(key, |asker| asker == sender);
            if !received.is_empty() {
                sent.push((session.user, session.terms.abilities().resume, received));
            }
        }
        for (user, drops_repeats, received) in sent {
            if let Some(to) = self.user_id(user) {
                self.have_answered_by(now, &to, &node, drops_repeats, received);
            }
        }
    }

    /// A session that had messages of senders here goes on at another node, which says what becomes of them.
    pub(super) fn have_answered_by(
        &mut self,
        now: Now,
        to: &UserId,
        node: &NodeId,
        drops_repeats: bool,
        received: Vec<Received>,
    ) {
        for Received { asker, event, store, deadline } in received {
            // It may have said so already.
            let session = self.hub.sessions.get(asker.session);
            if session.is_some_and(|session| !session.requests.is_under_way(asker.numbering, asker.request)) {
                continue;
            }
            let place = Place::Placed { node: node.clone(), drops_repeats };
            self.put_on_lane(now, asker, to, LaneMessage::new(asker, event, store, deadline, place));
        }
    }

    fn put_on_lane(&mut self, now: Now, asker: Asker, to: &UserId, message: LaneMessage) {
        let hasher = self.hasher.clone();
        let lanes = match self.hub.sessions.get_mut(asker.session) {
            Some(session) => &mut session.lanes,
            None if asker.session == self.hub.back_end.key => &mut self.hub.back_end.lanes,
            None => return,
        };
        let is_first = lanes.get_or_insert_with(|| Box::new(Lanes::new(hasher))).push(to, message);
        if let Some(edge) = self.edge.as_mut().filter(|_| is_first) {
            edge.open_lane(asker.session, to);
        }
        self.look_again_at_lanes(now);
    }

    /// A user has come to this node: what was on its way to it goes on.
    pub(super) fn receiver_is_here(&mut self, now: Now, user_id: &UserId) {
        let keys = self.edge.as_ref().map_or_else(Vec::new, |edge| edge.lanes_to(user_id));
        for key in keys {
            if let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(user_id)) {
                lane.wait_until = None;
            }
            self.go_on_with_lane(now, key, user_id);
        }
    }

    /// A session has come from elsewhere, with messages that it sent from there.
    pub(super) fn unpacked_lanes(&mut self, now: Now, key: SessionKey) {
        let (Some(session), Some(edge)) = (self.hub.sessions.get(key), &mut self.edge) else { return };
        let receivers = session.lanes.as_ref().map_or_else(Vec::new, |lanes| lanes.receivers());
        for to in &receivers {
            edge.open_lane(key, to);
        }
        let until = now.instant + self.config.settings.receipt_within + GRACE;
        let numbering = session.requests.numbering;
        let mut is_promised = false;
        for request in session.requests.under_way() {
            edge.await_promised(until, Asker { session: key, numbering, request });
            is_promised = true;
        }
        if is_promised {
            self.arm_edge(until);
        }
        if !receivers.is_empty() {
            self.arm_lanes(now.instant);
        }
    }

    /// Whoever was to answer a request of a session that came from elsewhere has not: its node may have left.
    pub(super) fn end_broken_promises(&mut self, now: Now) {
        let broken = self.edge.as_mut().map_or_else(Vec::new, |edge| edge.take_broken(now.instant));
        for asker in broken {
            self.hub.finish(asker, Err(ErrorKind::Timeout.into()));
        }
    }

    pub(super) fn tell(&mut self, node: &NodeId, parcel: ProjectParcel) {
        if let Some(edge) = &mut self.edge {
            edge.tell(node, parcel);
        }
    }

    /// A user's entry names another node: where it is the same session, that answers what it has taken from there, also
    /// what it had on a node that left after it had moved.
    pub(super) fn receiver_moved(&mut self, now: Now, user_id: &UserId, node: &NodeId, is_same_session: bool) {
        let Some(edge) = &self.edge else { return };
        for key in edge.lanes_to(user_id) {
            let Some(lane) = self.hub.lanes_mut(key).and_then(|lanes| lanes.lane_mut(user_id)) else { continue };
            lane.replace(|place| match place {
                Place::Placed { drops_repeats, .. } | Place::GivenBack { was_placed: true, drops_repeats }
                    if is_same_session =>
                {
                    Some(Place::Placed { node: node.clone(), drops_repeats: *drops_repeats })
                }
                _ => None,
            });
            self.go_on_with_lane(now, key, user_id);
        }
    }
}

/// How long a lane waits before it asks again where its receiver is.
const LOST_PAUSE: Duration = Duration::from_millis(100);
/// How often open lanes are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// So many outcomes wait to be said again. Who is not told gives its message up.
const LOST_OUTCOMES: usize = 16 * 1024;
/// So many nodes pass an outcome on that have not its sender.
const MOST_HOPS: u8 = 8;
