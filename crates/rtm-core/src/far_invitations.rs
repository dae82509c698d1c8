//! Invitations between users on different nodes. What one has to say to the other goes in order and one at a time, to
//! wherever the other is by then; the caller's session decides.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{
    CallId, ErrorKind, Event, LocalInvitationFailureReason, PeerOnlineState, Refusal, RemoteInvitationFailureReason,
    SessionId, SharedEvent, UserId,
};

use super::{
    Core, Now,
    arena::{InvitationKey, SessionKey, UserKey},
    cluster::{CallAnswer, CallMessage, CallOutcome, NodeId, ProjectParcel},
    invitations::Answering,
    notes::{Asker, Note, Queued, event_bytes},
};

/// What users here have to say to users elsewhere, by who says it to whom.
#[derive(Debug, Default)]
pub(super) struct CallMessages {
    next: u64,
    queues: BTreeMap<(UserId, UserId), VecDeque<Waiting>>,
    /// What was answered to other nodes last: what comes again is answered again, and nothing more.
    answered: VecDeque<((NodeId, u64), CallOutcome)>,
}

/// A message that is not taken yet. Of those between two users only the first one is under way.
#[derive(Debug)]
struct Waiting {
    id: u64,
    message: CallMessage,
    /// The call that is answered with the outcome.
    asker: Option<(Asker, Answering)>,
    asked: Option<NodeId>,
    /// Not before this, since the user was not where it was to be.
    again_at: Option<Instant>,
    until: Instant,
}

impl CallMessages {
    /// Whether a user here has something to say, which does not move with its session.
    pub(super) fn has_from(&self, from: &UserId) -> bool {
        self.queues.keys().any(|(other, _)| other == from)
    }

    /// How many messages wait.
    pub(super) fn len(&self) -> usize {
        self.queues.values().map(VecDeque::len).sum()
    }

    /// Whether an offer of an invitation waits or is under way.
    fn is_offering(&self, from: &UserId, to: &UserId, number: u32) -> bool {
        let is_it =
            |waiting: &Waiting| matches!(waiting.message, CallMessage::Offer { number: other, .. } if other == number);
        self.queues.get(&(from.clone(), to.clone())).is_some_and(|queue| queue.iter().any(is_it))
    }

    /// When something is to be done.
    pub(super) fn next_due(&self) -> Option<Instant> {
        let first = self.queues.values().filter_map(VecDeque::front);
        first.map(|waiting| waiting.again_at.map_or(waiting.until, |at| at.min(waiting.until))).min()
    }
}

impl Core {
    fn say_of_call(
        &mut self,
        now: Now,
        from: UserId,
        to: UserId,
        message: CallMessage,
        asker: Option<(Asker, Answering)>,
    ) -> Result<(), Refusal> {
        let until = now.instant + SAID_WITHIN;
        let Some(edge) = &mut self.edge else { return Ok(()) };
        let calls = &mut edge.calls;
        let pair = (from, to);
        let queue = calls.queues.entry(pair.clone()).or_default();
        if queue.len() >= WAITING_MESSAGES {
            return Err(Refusal::new(ErrorKind::Failure, "the other user's node takes nothing for now"));
        }
        let id = calls.next;
        calls.next += 1;
        queue.push_back(Waiting { id, message, asker, asked: None, again_at: None, until });
        self.arm_presence(until);
        self.go_on_saying(now, &pair);
        Ok(())
    }

    /// Says the first thing that one user has to say to another, if it is known where to.
    fn go_on_saying(&mut self, now: Now, pair: &(UserId, UserId)) {
        loop {
            let here = self.session_of(&pair.1);
            let node = self.node_of(&pair.1).cloned();
            let Some(edge) = &mut self.edge else { return };
            let is_on_its_way = edge.is_on_its_way(&pair.1);
            let Some(queue) = edge.calls.queues.get_mut(pair) else { return };
            let Some(first) = queue.front_mut() else {
                edge.calls.queues.remove(pair);
                return;
            };
            let is_over = first.until <= now.instant;
            let waits = first.asked.is_some() || first.again_at.is_some_and(|at| now.instant < at);
            if waits && !is_over {
                return;
            }
            first.again_at = None;
            if is_over {
                self.call_said(now, pair, CallOutcome::NotHere);
            } else if here.is_some() {
                let message = first.message.clone();
                let outcome = self.hear_of_call(now, &pair.0, &pair.1, message);
                self.call_said(now, pair, outcome);
            } else if is_on_its_way {
                return self.say_again(now, pair);
            } else if let Some(node) = node {
                first.asked = Some(node.clone());
                let (id, message) = (first.id, Box::new(first.message.clone()));
                let (from, to) = pair.clone();
                edge.tell(&node, ProjectParcel::Call { id, from, to, message });
                return;
            } else {
                self.call_said(now, pair, CallOutcome::NotHere);
            }
        }
    }

    fn say_again(&mut self, now: Now, pair: &(UserId, UserId)) {
        let Some(edge) = &mut self.edge else { return };
        if let Some(first) = edge.calls.queues.get_mut(pair).and_then(VecDeque::front_mut) {
            let at = now.instant + AGAIN;
            (first.asked, first.again_at) = (None, Some(at));
            self.arm_presence(at);
        }
    }

    /// A node says what became of what was said there.
    pub(super) fn call_answered(
        &mut self,
        now: Now,
        node: &NodeId,
        id: u64,
        (from, to): (UserId, UserId),
        outcome: CallOutcome,
    ) {
        let pair = (from, to);
        let Some(edge) = &mut self.edge else { return };
        let first = edge.calls.queues.get(&pair).and_then(VecDeque::front);
        if first.is_none_or(|first| first.id != id || first.asked.as_ref() != Some(node)) {
            return;
        }
        if outcome == CallOutcome::NotHere {
            return self.say_again(now, &pair);
        }
        self.call_said(now, &pair, outcome);
        self.go_on_saying(now, &pair);
    }

    /// What became of the first thing that one user had to say to another.
    fn call_said(&mut self, now: Now, pair: &(UserId, UserId), outcome: CallOutcome) {
        let Some(edge) = &mut self.edge else { return };
        let Some(queue) = edge.calls.queues.get_mut(pair) else { return };
        let Some(Waiting { message, asker, .. }) = queue.pop_front() else { return };
        if let Some((asker, answering)) = asker {
            self.hub.finish(
                asker,
                match outcome {
                    CallOutcome::Taken(_) => Ok(answering.answer()),
                    _ => Err(ErrorKind::AlreadyEnd.into()),
                },
            );
            return;
        }
        let CallMessage::Offer { call_id, number, .. } = message else { return };
        for waiting in queue.iter_mut() {
            if let CallMessage::Over { session, number: other, .. } = &mut waiting.message
                && *other == number
                && let CallOutcome::Taken(given_to) = outcome
            {
                *session = Some(given_to);
            }
        }
        if !matches!(outcome, CallOutcome::Taken(_)) {
            let is_of_it = |waiting: &Waiting| matches!(waiting.message, CallMessage::Over { number: other, session: None, .. } if other == number);
            queue.retain(|waiting| !is_of_it(waiting));
        }
        let (caller_id, callee_id) = pair;
        if let Some(key) = self.sent_invitation(caller_id, &call_id).filter(|key| self.has_number(*key, number)) {
            match outcome {
                CallOutcome::Taken(session) => self.invitation_given(now, key, callee_id, session),
                CallOutcome::NotTaken => self.callee_was_there(key),
                CallOutcome::Away | CallOutcome::NotHere => {}
            }
        }
    }

    /// A user elsewhere, or here, says something of an invitation to a user whose session is here, or was.
    pub(super) fn call_came(
        &mut self,
        now: Now,
        node: &NodeId,
        id: u64,
        (from, to): (UserId, UserId),
        message: CallMessage,
    ) {
        let Some(edge) = &self.edge else { return };
        let known = edge.calls.answered.iter().find(|(said, _)| said.0 == *node && said.1 == id);
        let known = known.map(|(_, outcome)| *outcome);
        let outcome = known.unwrap_or_else(|| self.hear_of_call(now, &from, &to, message));
        if let Some(edge) = &mut self.edge {
            // Where the user was not there it may be by now.
            if known.is_none() && outcome != CallOutcome::NotHere {
                edge.calls.answered.push_back(((node.clone(), id), outcome));
                if edge.calls.answered.len() > ANSWERED {
                    edge.calls.answered.pop_front();
                }
            }
            edge.tell(node, ProjectParcel::CallAnswered { id, from, to, outcome });
        }
    }

    fn hear_of_call(&mut self, now: Now, from: &UserId, to: &UserId, message: CallMessage) -> CallOutcome {
        let Some(key) = self.session_of(to) else { return CallOutcome::NotHere };
        let Some(session) = self.hub.sessions.get(key) else { return CallOutcome::NotHere };
        let (id, is_there) = (session.id, session.is_there());
        match message {
            CallMessage::Offer { .. } if !is_there => CallOutcome::Away,
            CallMessage::Offer { call_id, number, content, session } => {
                let parties = (from.clone(), to.clone(), call_id.clone());
                let event = Event::RemoteInvitationReceived { call_id, caller_id: from.clone(), content };
                let bytes = event_bytes(&event);
                if !self.hub.has_room(key, bytes) {
                    return CallOutcome::NotTaken;
                }
                let note = Note::Invitation(number);
                self.hub.push(key, Queued { event: SharedEvent::for_one(event), note, bytes });
                if self.session_of(from).is_none() {
                    self.note_given(now, parties, session);
                }
                CallOutcome::Taken(id)
            }
            CallMessage::Over { session, event, .. } => {
                let call_id = match &event {
                    Event::RemoteInvitationCanceled { call_id, .. }
                    | Event::RemoteInvitationFailure { call_id, .. } => Some(call_id.clone()),
                    _ => None,
                };
                let is_news = call_id.is_none_or(|call_id| self.forget_given(from, to, &call_id));
                if is_news && session.is_none_or(|session| session == id) {
                    self.hub.tell(key, event);
                }
                CallOutcome::Taken(id)
            }
            CallMessage::Received { call_id, number, session } => {
                let found = self.sent_invitation(to, &call_id).filter(|key| self.has_number(*key, number));
                if let Some(invitation) = found.filter(|key| self.is_callee(*key, from)) {
                    let callee = self.answering_session(now, invitation, from, session);
                    self.invitation_received(now, invitation, callee);
                }
                CallOutcome::Taken(id)
            }
            CallMessage::Answered { call_id, session, answer } => {
                let found = self.sent_invitation(to, &call_id).filter(|key| self.is_callee(*key, from));
                let Some(invitation) = found else { return CallOutcome::NotTaken };
                let callee = self.answering_session(now, invitation, from, session);
                match self.take_answer(now, invitation, callee, answer) {
                    true => CallOutcome::Taken(id),
                    false => CallOutcome::NotTaken,
                }
            }
        }
    }

    /// The callee's session by which it answers. Where the word that it was given the invitation is still on its way, it
    /// was.
    fn answering_session(
        &mut self,
        now: Now,
        invitation: InvitationKey,
        callee_id: &UserId,
        session: SessionId,
    ) -> SessionKey {
        let key = self.session_key(now, callee_id, session);
        if let Some((caller_id, number)) = self.caller_and_number(invitation) {
            let is_offering = |calls: &CallMessages| calls.is_offering(&caller_id, callee_id, number);
            if self.edge.as_ref().is_some_and(|edge| is_offering(&edge.calls)) {
                self.invitation_given(now, invitation, callee_id, session);
            }
        }
        key
    }

    /// Goes on with what there is to say: the view is another one, or time has passed.
    pub(super) fn look_at_call_messages(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let view = &edge.view;
        let mut due = Vec::new();
        for (pair, queue) in &mut edge.calls.queues {
            let Some(first) = queue.front_mut() else { continue };
            first.asked.take_if(|node| !view.has(node));
            due.push(pair.clone());
        }
        due.iter().for_each(|pair| self.go_on_saying(now, pair));
    }

    /// What was said to a node, or its answer, may be lost.
    pub(super) fn say_of_calls_again(&mut self, now: Now, node: &NodeId) {
        let Some(edge) = &mut self.edge else { return };
        for first in edge.calls.queues.values_mut().filter_map(VecDeque::front_mut) {
            first.asked.take_if(|asked| asked == node);
        }
        self.look_at_call_messages(now);
    }

    /// Offers an invitation to a callee that is elsewhere.
    pub(super) fn offer_invitation(&mut self, now: Now, invitation: InvitationKey, callee_id: &UserId) {
        let Some(edge) = &self.edge else { return };
        let Some((caller_id, call_id, number, content)) = self.offer(invitation) else { return };
        if self.node_of(callee_id).is_none() || edge.calls.is_offering(&caller_id, callee_id, number) {
            return;
        }
        let session = self.session_of(&caller_id).and_then(|key| self.hub.session_id(key));
        let Some(session) = session else { return };
        let offer = CallMessage::Offer { call_id, number, content, session };
        // It is offered again when the callee's state changes.
        let _ = self.say_of_call(now, caller_id, callee_id.clone(), offer, None);
    }

    /// Tells a callee elsewhere that an invitation is over, if it was given it or may be.
    pub(super) fn tell_far_callee(
        &mut self,
        now: Now,
        (caller_id, callee_id): (UserId, UserId),
        number: u32,
        given_to: Option<SessionKey>,
        event: Event,
    ) {
        let session = given_to.and_then(|key| self.hub.session_id(key));
        let Some(edge) = &mut self.edge else { return };
        let is_offering = edge.calls.is_offering(&caller_id, &callee_id, number);
        if session.is_none() && !is_offering {
            return;
        }
        let over = CallMessage::Over { session, number, event };
        let _ = self.say_of_call(now, caller_id, callee_id, over, None);
    }

    /// A callee's device has an invitation of a caller that is elsewhere.
    pub(super) fn far_invitation_received(
        &mut self,
        now: Now,
        call_id: &CallId,
        number: u32,
        caller_id: &UserId,
        key: SessionKey,
    ) {
        let session = self.hub.sessions.get(key).map(|session| session.id);
        let (Some(session), Some(callee_id), true) = (session, self.user_id_of(key), self.edge.is_some()) else {
            return;
        };
        let received = CallMessage::Received { call_id: call_id.clone(), number, session };
        let _ = self.say_of_call(now, callee_id, caller_id.clone(), received, None);
    }

    /// A callee answers an invitation of a caller that is elsewhere, whose session decides.
    pub(super) fn answer_far_invitation(
        &mut self,
        now: Now,
        asker: Asker,
        (call_id, caller_id): (CallId, UserId),
        answer: CallAnswer,
        answering: Option<Answering>,
    ) -> Result<(), Refusal> {
        let session = self.hub.sessions.get(asker.session).ok_or(ErrorKind::NotLoggedIn)?.id;
        let callee_id = self.user_id_of(asker.session).ok_or(ErrorKind::NotLoggedIn)?;
        self.forget_given(&caller_id, &callee_id, &call_id);
        let answered = CallMessage::Answered { call_id, session, answer };
        self.say_of_call(now, callee_id, caller_id, answered, answering.map(|answering| (asker, answering)))
    }

    /// Whether an invitation of this caller would be decided elsewhere.
    pub(super) fn is_far_caller(&self, caller_id: &UserId) -> bool {
        let Some(edge) = &self.edge else { return false };
        self.session_of(caller_id).is_none() && (self.node_of(caller_id).is_some() || edge.is_on_its_way(caller_id))
    }

    /// Something has become known of a user: of invitations to it that were sent from here, some are given, and some end.
    pub(super) fn callee_changed(&mut self, now: Now, user: UserKey) {
        let keys = self.invitations_to(user);
        let Some(callee_id) = self.user_id(user).filter(|_| !keys.is_empty()) else { return };
        for key in keys {
            self.callee_of_changed(now, user, &callee_id, key);
        }
    }

    fn callee_of_changed(&mut self, now: Now, user: UserKey, callee_id: &UserId, key: InvitationKey) {
        use LocalInvitationFailureReason::PeerOffline;
        let Some(edge) = &self.edge else { return };
        let Some(state) = self.giving(key) else { return };
        let given = state.given_to.and_then(|key| self.hub.session_id(key));
        let entry = edge.entry_of(callee_id).map(|heard| heard.entry.clone());
        let present = match (self.session_of(callee_id), &entry) {
            (Some(session), _) => self.hub.session_id(session),
            (None, Some(Some(entry))) if edge.is_good(entry) => Some(entry.session),
            (None, Some(None)) if state.was_callee_there => {
                return self.fail_invitation(now, key, Some(PeerOffline), None);
            }
            _ => None,
        };
        let is_replaced = present.is_some() && given.is_some() && given != present;
        let seen = self.seen_state(user);
        match (present, state.is_received) {
            (_, true) if is_replaced => self.fail_invitation(now, key, Some(PeerOffline), None),
            (_, true) if seen == Some(PeerOnlineState::Offline) => {
                let remote = present.map(|_| RemoteInvitationFailureReason::PeerOffline);
                self.fail_invitation(now, key, Some(PeerOffline), remote);
            }
            (Some(_), false) if (given.is_none() || is_replaced) && seen != Some(PeerOnlineState::Offline) => {
                self.give_invitation(now, key);
            }
            _ => {}
        }
    }
}

/// How long something is tried to be said.
const SAID_WITHIN: Duration = Duration::from_secs(60);
/// How soon it is tried again where the user was not there.
const AGAIN: Duration = Duration::from_millis(100);
/// So many answers are remembered.
const ANSWERED: usize = 256;
/// So many messages of one user to another wait.
const WAITING_MESSAGES: usize = 1024;
