//! Invitations: the server keeps their state and their time, and tells both sides how each ends
//! (`docs/rtm.md#invitations`).

use std::time::Instant;

use rtm_codec::{
    AcceptInvitation, Answer, CallId, CancelInvitation, ErrorKind, Event, LocalInvitationFailureReason, Refusal,
    RefuseInvitation, RemoteInvitationFailureReason, SendInvitation, SessionId, SharedEvent, Text, UserId, limits,
};

use super::{
    Core, EventType, Now,
    arena::{InvitationKey, SessionKey, UserKey},
    cluster::CallAnswer,
    notes::{Asker, Note, Queued, event_bytes},
    pack::{
        format::{Id, InvitationV1},
        packer::Packer,
        times::PackTime,
    },
    timer::Due,
};

/// An open invitation. It ends once, for both sides.
#[derive(Debug)]
pub(super) struct Invitation {
    call_id: CallId,
    caller: UserKey,
    callee: UserKey,
    content: Text,
    sent_at: Instant,
    /// Tells it from an earlier one of the same caller and id.
    number: u32,
    /// The callee's session that was given it.
    given_to: Option<SessionKey>,
    /// Whether the callee's device has it.
    is_received: bool,
    /// Whether the callee was online at any time since.
    was_callee_there: bool,
}

/// How a callee answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answering {
    Accepting,
    Refusing,
}

/// Whether an invitation was given to its callee.
#[derive(Debug, Clone, Copy)]
pub(super) struct Giving {
    pub(super) given_to: Option<SessionKey>,
    pub(super) is_received: bool,
    pub(super) was_callee_there: bool,
}

/// How a user goes away, for those that it has open invitations with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Leaving {
    /// It logged out, or was put out, or its session was given up.
    Ended,
    /// It logged in elsewhere: its new session can still be given what no device has.
    Replaced,
    /// It was silent for too long, and its session may yet be resumed.
    Lapsed,
}

impl Invitation {
    /// For the session of its caller; `None` if `caller` is not that.
    pub(super) fn pack(&self, packer: Packer<'_>, caller: UserKey) -> Option<InvitationV1> {
        Some(InvitationV1 {
            call_id: Id(self.call_id.clone()),
            callee_id: packer.user(self.callee).filter(|_| self.caller == caller)?,
            content: self.content.to_string(),
            sent_at: packer.moment(self.sent_at),
            number: self.number,
            given_to: self.given_to.and_then(|key| packer.session(key)),
            is_received: self.is_received,
            was_callee_there: self.was_callee_there,
        })
    }
}

impl Answering {
    fn with(self, response: Text) -> CallAnswer {
        match self {
            Self::Accepting => CallAnswer::Accepted(response),
            Self::Refusing => CallAnswer::Refused(response),
        }
    }

    /// What the callee's call is answered.
    pub(super) fn answer(self) -> Answer {
        match self {
            Self::Accepting => Answer::AcceptInvitation(()),
            Self::Refusing => Answer::RefuseInvitation(()),
        }
    }
}

/// What is asked of invitations whose callees are on other nodes.
impl Core {
    /// The open invitation with this id of a caller whose session is here.
    pub(super) fn sent_invitation(&self, caller_id: &UserId, call_id: &CallId) -> Option<InvitationKey> {
        self.find_invitation(self.users.find(caller_id)?, call_id)
    }

    pub(super) fn has_number(&self, key: InvitationKey, number: u32) -> bool {
        self.invitations.get(key).is_some_and(|invitation| invitation.number == number)
    }

    pub(super) fn is_callee(&self, key: InvitationKey, callee_id: &UserId) -> bool {
        let callee = self.invitations.get(key).and_then(|invitation| self.users.get(invitation.callee));
        callee.is_some_and(|callee| callee.id == *callee_id)
    }

    /// Its id, who invited, and whom.
    pub(super) fn parties(&self, key: InvitationKey) -> Option<(CallId, UserId, UserId)> {
        let invitation = self.invitations.get(key)?;
        Some((invitation.call_id.clone(), self.user_id(invitation.caller)?, self.user_id(invitation.callee)?))
    }

    pub(super) fn caller_and_number(&self, key: InvitationKey) -> Option<(UserId, u32)> {
        let invitation = self.invitations.get(key)?;
        Some((self.user_id(invitation.caller)?, invitation.number))
    }

    /// Whose invitation it is, its id and number, and what the caller says.
    pub(super) fn offer(&self, key: InvitationKey) -> Option<(UserId, CallId, u32, Text)> {
        let invitation = self.invitations.get(key)?;
        let caller_id = self.user_id(invitation.caller)?;
        Some((caller_id, invitation.call_id.clone(), invitation.number, invitation.content.clone()))
    }

    pub(super) fn giving(&self, key: InvitationKey) -> Option<Giving> {
        let &Invitation { given_to, is_received, was_callee_there, .. } = self.invitations.get(key)?;
        Some(Giving { given_to, is_received, was_callee_there })
    }

    /// The open invitations to a user that were sent from here.
    pub(super) fn invitations_to(&self, callee: UserKey) -> Vec<InvitationKey> {
        let is_to = |key: &InvitationKey| self.invitations.get(*key).is_some_and(|it| it.callee == callee);
        self.users.get(callee).into_iter().flat_map(|user| user.invitations.iter().copied()).filter(is_to).collect()
    }

    /// A callee's session elsewhere was given an invitation.
    pub(super) fn invitation_given(&mut self, now: Now, key: InvitationKey, callee_id: &UserId, session: SessionId) {
        let given_to = self.session_key(now, callee_id, session);
        if let Some(invitation) = self.invitations.get_mut(key) {
            (invitation.given_to, invitation.was_callee_there) = (Some(given_to), true);
        }
    }

    pub(super) fn callee_was_there(&mut self, key: InvitationKey) {
        if let Some(invitation) = self.invitations.get_mut(key) {
            invitation.was_callee_there = true;
        }
    }
}

impl Core {
    pub(super) fn send_invitation(
        &mut self,
        now: Now,
        key: SessionKey,
        send: SendInvitation,
    ) -> Result<Answer, Refusal> {
        limits::check_invitation_text(&send.content)?;
        let caller = self.hub.sessions.get(key).ok_or(ErrorKind::NotLoggedIn)?.user;
        if self.find_invitation(caller, &send.call_id).is_some() {
            return Err(ErrorKind::AlreadySent.into());
        }
        let most = self.config.settings.open_invitations;
        let callee = self.users.intern(&send.callee_id);
        let is_full = |user: UserKey| self.users.get(user).is_none_or(|user| user.invitations.len() >= most);
        if is_full(caller) || is_full(callee) {
            self.users.release(callee);
            return Err(Refusal::new(ErrorKind::ExceedLimit, "too many invitations are open"));
        }
        self.invitations_sent = self.invitations_sent.wrapping_add(1);
        let invitation = self.open_invitation(
            now,
            Invitation {
                call_id: send.call_id,
                caller,
                callee,
                content: send.content.detach(),
                sent_at: now.instant,
                number: self.invitations_sent,
                given_to: None,
                is_received: false,
                was_callee_there: false,
            },
        );
        self.log_invitation(now, EventType::InvitationSent, invitation);
        self.give_invitation(now, invitation);
        Ok(Answer::SendInvitation(()))
    }

    /// Puts an invitation in, at its place among those of its parties, which are in the order of their sending.
    fn open_invitation(&mut self, now: Now, invitation: Invitation) -> InvitationKey {
        let Invitation { caller, callee, sent_at, .. } = invitation;
        let key = self.invitations.insert(invitation);
        let Self { users, invitations, .. } = self;
        for user in [caller, callee] {
            if let Some(user) = users.get_mut(user)
                && !user.invitations.contains(&key)
            {
                let is_earlier =
                    |other: &InvitationKey| invitations.get(*other).is_some_and(|it| it.sent_at <= sent_at);
                let at = user.invitations.partition_point(is_earlier);
                user.invitations.insert(at, key);
            }
        }
        if self.edge.is_some()
            && let Some(callee_id) = self.user_id(callee)
        {
            self.begin_to_watch(now, &callee_id);
        }
        let settings = &self.config.settings;
        for within in [settings.invitation_receipt_within, settings.invitation_answer_within] {
            self.hub.timers.push(sent_at + within, Due::Invitation(key));
        }
        key
    }

    /// Puts an invitation in whose caller's session comes from elsewhere.
    pub(super) fn unpack_invitation(&mut self, now: Now, caller: UserKey, packed: InvitationV1) {
        let InvitationV1 { call_id, callee_id, content, sent_at, number, given_to, is_received, was_callee_there } =
            packed;
        let callee = self.users.intern(&callee_id.0);
        let given_to = given_to.map(|id| self.session_key(now, &callee_id.0, SessionId(id)));
        self.open_invitation(
            now,
            Invitation {
                call_id: call_id.0,
                caller,
                callee,
                content: Text::from(content),
                sent_at: PackTime(now.instant).instant(sent_at).min(now.instant),
                number,
                given_to,
                is_received,
                was_callee_there,
            },
        );
        if self.edge.is_some() {
            self.callee_changed(now, callee);
        }
    }

    /// The session of a caller moves: its invitations go with it, and nobody is told.
    pub(super) fn forget_sent_invitations(&mut self, caller: UserKey) {
        let invitations = self.users.get(caller).map_or_else(Vec::new, |user| user.invitations.clone());
        for key in invitations {
            if self.invitations.get(key).is_some_and(|invitation| invitation.caller == caller)
                && let Some(invitation) = self.take_invitation(key)
            {
                self.users.release(invitation.callee);
            }
        }
    }

    pub(super) fn cancel_invitation(
        &mut self,
        now: Now,
        key: SessionKey,
        cancel: CancelInvitation,
    ) -> Result<Answer, Refusal> {
        let caller = self.hub.sessions.get(key).ok_or(ErrorKind::NotLoggedIn)?.user;
        let invitation = self.find_invitation(caller, &cancel.call_id).ok_or(ErrorKind::AlreadyEnd)?;
        if let Err(refusal) = limits::check_invitation_text(&cancel.content) {
            if self.gives_up(key) {
                self.fail_invitation(now, invitation, None, Some(RemoteInvitationFailureReason::PeerOffline));
            }
            return Err(refusal);
        }
        self.log_invitation(now, EventType::InvitationCancelled, invitation);
        let Some(invitation) = self.take_invitation(invitation) else { return Err(ErrorKind::AlreadyEnd.into()) };
        if let Some(caller_id) = self.user_id(caller) {
            let call_id = invitation.call_id.clone();
            let event = Event::RemoteInvitationCanceled { call_id, caller_id, content: cancel.content.detach() };
            self.tell_callee(now, &invitation, event);
        }
        self.release_parties(invitation.caller, invitation.callee);
        Ok(Answer::CancelInvitation(()))
    }

    pub(super) fn accept_invitation(
        &mut self,
        now: Now,
        asker: Asker,
        accept: AcceptInvitation,
    ) -> Option<Result<Answer, Refusal>> {
        let AcceptInvitation { call_id, caller_id, response } = accept;
        self.answer_invitation(now, asker, call_id, caller_id, response, Answering::Accepting)
    }

    pub(super) fn refuse_invitation(
        &mut self,
        now: Now,
        asker: Asker,
        refuse: RefuseInvitation,
    ) -> Option<Result<Answer, Refusal>> {
        let RefuseInvitation { call_id, caller_id, response } = refuse;
        self.answer_invitation(now, asker, call_id, caller_id, response, Answering::Refusing)
    }

    /// The callee answers: the first of its answer and the caller's cancel that comes to the caller's session wins.
    fn answer_invitation(
        &mut self,
        now: Now,
        asker: Asker,
        call_id: CallId,
        caller_id: UserId,
        response: Text,
        answering: Answering,
    ) -> Option<Result<Answer, Refusal>> {
        let (answer, bad) = match limits::check_invitation_text(&response) {
            Ok(()) => (answering.with(response.detach()), None),
            Err(refusal) => (CallAnswer::GivenUp, Some(refusal)),
        };
        let gives_up = bad.is_none() || self.gives_up(asker.session);
        if self.is_far_caller(&caller_id) {
            let about = (call_id, caller_id);
            let said = match (bad, gives_up) {
                (Some(refusal), true) => self.answer_far_invitation(now, asker, about, answer, None).and(Err(refusal)),
                (Some(refusal), false) => Err(refusal),
                (None, _) => self.answer_far_invitation(now, asker, about, answer, Some(answering)),
            };
            return said.err().map(Err);
        }
        let Some(invitation) = self.answerable(asker.session, &call_id, &caller_id) else {
            return Some(Err(ErrorKind::AlreadyEnd.into()));
        };
        if gives_up {
            // A refused answer is the end of the call for such a callee.
            self.take_answer(now, invitation, asker.session, answer);
        }
        Some(match bad {
            Some(refusal) => Err(refusal),
            None => Ok(answering.answer()),
        })
    }

    /// The open invitation that a callee's session may answer.
    fn answerable(&self, key: SessionKey, call_id: &CallId, caller_id: &UserId) -> Option<InvitationKey> {
        let callee = self.hub.sessions.get(key)?.user;
        let invitation_key = self.find_invitation(self.users.find(caller_id)?, call_id)?;
        let invitation = self.invitations.get(invitation_key)?;
        (invitation.callee == callee && invitation.given_to == Some(key)).then_some(invitation_key)
    }

    /// Ends an invitation with the answer of its callee. `false` if that was not given it.
    pub(super) fn take_answer(
        &mut self,
        now: Now,
        invitation_key: InvitationKey,
        key: SessionKey,
        answer: CallAnswer,
    ) -> bool {
        let invitation = self.invitations.get(invitation_key);
        let Some(invitation) = invitation.filter(|invitation| invitation.given_to == Some(key)) else { return false };
        let Some(callee_id) = self.user_id(invitation.callee) else { return false };
        let call_id = invitation.call_id.clone();
        let (event, answered) = match answer {
            CallAnswer::Accepted(response) => {
                (Event::LocalInvitationAccepted { call_id, callee_id, response }, EventType::InvitationAccepted)
            }
            CallAnswer::Refused(response) => {
                (Event::LocalInvitationRefused { call_id, callee_id, response }, EventType::InvitationRefused)
            }
            CallAnswer::GivenUp => {
                self.fail_invitation(now, invitation_key, Some(LocalInvitationFailureReason::PeerNoResponse), None);
                return true;
            }
        };
        // Whoever answers has received it, also when the acknowledgement comes later.
        self.invitation_received(now, invitation_key, key);
        self.log_invitation(now, answered, invitation_key);
        if let Some(invitation) = self.take_invitation(invitation_key) {
            self.tell_user(invitation.caller, event);
            self.release_parties(invitation.caller, invitation.callee);
        }
        true
    }

    /// Whether a refused answer to an invitation is the last one that a session's client gives.
    fn gives_up(&self, key: SessionKey) -> bool {
        self.hub.sessions.get(key).is_some_and(|session| session.terms.abilities().gives_up)
    }

    /// A callee's device has the event of an invitation.
    pub(super) fn invitation_event_received(&mut self, now: Now, event: &Event, number: u32, key: SessionKey) {
        let Event::RemoteInvitationReceived { call_id, caller_id, .. } = event else { return };
        if self.is_far_caller(caller_id) {
            return self.far_invitation_received(now, call_id, number, caller_id, key);
        }
        let found = self.users.find(caller_id).and_then(|caller| self.find_invitation(caller, call_id));
        if let Some(found) = found
            && self.invitations.get(found).is_some_and(|invitation| invitation.number == number)
        {
            self.invitation_received(now, found, key);
        }
    }

    /// A callee's device has an invitation: its caller is told.
    pub(super) fn invitation_received(&mut self, now: Now, invitation_key: InvitationKey, key: SessionKey) {
        let Some(invitation) = self
            .invitations
            .get_mut(invitation_key)
            .filter(|invitation| invitation.given_to == Some(key) && !invitation.is_received)
        else {
            return;
        };
        invitation.is_received = true;
        let (caller, callee, call_id) = (invitation.caller, invitation.callee, invitation.call_id.clone());
        if let Some(callee_id) = self.user_id(callee) {
            self.tell_user(caller, Event::LocalInvitationReceivedByPeer { call_id, callee_id });
        }
        self.log_invitation(now, EventType::InvitationReceived, invitation_key);
    }

    /// Gives a user that has logged in the invitations that wait for it. A client that begins `anew` has forgotten
    /// those that it had.
    pub(super) fn give_invitations(&mut self, now: Now, key: SessionKey, anew: bool) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        let user = session.user;
        let invitations = self.users.get(user).map_or_else(Vec::new, |user| user.invitations.clone());
        for invitation_key in invitations {
            let Some(invitation) = self.invitations.get(invitation_key).filter(|invitation| invitation.callee == user)
            else {
                continue;
            };
            if !invitation.is_received && invitation.given_to != Some(key) {
                self.give_invitation(now, invitation_key);
            } else if invitation.is_received && invitation.given_to == Some(key) && anew {
                let (call_id, content) = (invitation.call_id.clone(), invitation.content.clone());
                if let Some(caller_id) = self.user_id(invitation.caller) {
                    self.hub.tell(key, Event::RemoteInvitationReceived { call_id, caller_id, content });
                }
            }
        }
    }

    /// Gives an invitation to its callee, if that is there.
    pub(super) fn give_invitation(&mut self, now: Now, invitation_key: InvitationKey) {
        let Some(invitation) = self.invitations.get_mut(invitation_key) else { return };
        let Some(key) = self.users.get(invitation.callee).and_then(|user| user.session) else {
            if self.edge.is_some()
                && let Some(callee_id) = self.invitations.get(invitation_key).and_then(|it| self.user_id(it.callee))
            {
                self.offer_invitation(now, invitation_key, &callee_id);
            }
            return;
        };
        // In a cluster it was given when it became known where its callee is.
        let has_it = self.edge.is_some() && invitation.given_to == Some(key);
        if has_it || !self.hub.sessions.get(key).is_some_and(|session| session.is_there()) {
            return;
        }
        invitation.was_callee_there = true;
        let Some(caller) = self.users.get(invitation.caller) else { return };
        let event = Event::RemoteInvitationReceived {
            call_id: invitation.call_id.clone(),
            caller_id: caller.id.clone(),
            content: invitation.content.clone(),
        };
        let bytes = event_bytes(&event);
        if self.hub.has_room(key, bytes) {
            invitation.given_to = Some(key);
            let note = Note::Invitation(invitation.number);
            self.hub.push(key, Queued { event: SharedEvent::for_one(event), note, bytes });
        }
    }

    /// Does what is due for an invitation: not received in time, or not answered in time.
    pub(super) fn invitation_due(&mut self, now: Now, invitation_key: InvitationKey) {
        let Some(invitation) = self.invitations.get(invitation_key) else { return };
        let settings = &self.config.settings;
        let age = now.instant.saturating_duration_since(invitation.sent_at);
        let reason = if age >= settings.invitation_answer_within {
            LocalInvitationFailureReason::InvitationExpire
        } else if !invitation.is_received && age >= settings.invitation_receipt_within {
            match invitation.was_callee_there {
                true => LocalInvitationFailureReason::PeerNoResponse,
                false => LocalInvitationFailureReason::PeerOffline,
            }
        } else {
            return;
        };
        self.fail_invitation(now, invitation_key, Some(reason), Some(RemoteInvitationFailureReason::InvitationExpire));
    }

    /// A user goes away: what becomes of its open invitations.
    pub(super) fn end_invitations(&mut self, now: Now, user: UserKey, leaving: Leaving) {
        use LocalInvitationFailureReason as Local;
        use RemoteInvitationFailureReason as Remote;
        let invitations = self.users.get(user).map_or_else(Vec::new, |user| user.invitations.clone());
        for invitation_key in invitations {
            let Some(invitation) = self.invitations.get(invitation_key) else { continue };
            // A side that can come back is told then; one that has left for good is not.
            let is_back = leaving == Leaving::Lapsed;
            if invitation.caller == user {
                self.fail_invitation(
                    now,
                    invitation_key,
                    is_back.then_some(Local::NotLoggedIn),
                    Some(Remote::PeerOffline),
                );
            } else if invitation.is_received || (leaving == Leaving::Ended && invitation.was_callee_there) {
                self.fail_invitation(
                    now,
                    invitation_key,
                    Some(Local::PeerOffline),
                    is_back.then_some(Remote::PeerOffline),
                );
            }
        }
    }

    /// Ends an invitation without an answer, and tells the sides for which there is a reason.
    pub(super) fn fail_invitation(
        &mut self,
        now: Now,
        invitation_key: InvitationKey,
        local: Option<LocalInvitationFailureReason>,
        remote: Option<RemoteInvitationFailureReason>,
    ) {
        self.log_failed_invitation(now, invitation_key, local);
        let Some(invitation) = self.take_invitation(invitation_key) else { return };
        if let (Some(reason), Some(callee_id)) = (local, self.user_id(invitation.callee)) {
            let event = Event::LocalInvitationFailure { call_id: invitation.call_id.clone(), callee_id, reason };
            self.tell_user(invitation.caller, event);
        }
        if let (Some(reason), Some(caller_id)) = (remote, self.user_id(invitation.caller)) {
            let event = Event::RemoteInvitationFailure { call_id: invitation.call_id.clone(), caller_id, reason };
            self.tell_callee(now, &invitation, event);
        }
        self.release_parties(invitation.caller, invitation.callee);
    }

    /// Tells the session that was given an invitation how it ended.
    fn tell_callee(&mut self, now: Now, invitation: &Invitation, event: Event) {
        match invitation.given_to.filter(|key| self.hub.sessions.get(*key).is_some()) {
            Some(key) => self.hub.tell(key, event),
            None => {
                if self.edge.is_some()
                    && let (Some(caller_id), Some(callee_id)) =
                        (self.user_id(invitation.caller), self.user_id(invitation.callee))
                {
                    let parties = (caller_id, callee_id);
                    self.tell_far_callee(now, parties, invitation.number, invitation.given_to, event);
                }
            }
        }
    }

    /// The open invitation of a caller with this id.
    fn find_invitation(&self, caller: UserKey, call_id: &CallId) -> Option<InvitationKey> {
        let is_it = |key: &&InvitationKey| {
            self.invitations
                .get(**key)
                .is_some_and(|invitation| invitation.caller == caller && invitation.call_id == *call_id)
        };
        self.users.get(caller)?.invitations.iter().find(is_it).copied()
    }

    /// Takes an invitation out. Its parties are kept until [`release_parties`](Self::release_parties).
    fn take_invitation(&mut self, key: InvitationKey) -> Option<Invitation> {
        let invitation = self.invitations.remove(key)?;
        for user in [invitation.caller, invitation.callee] {
            if let Some(user) = self.users.get_mut(user) {
                user.invitations.retain(|other| *other != key);
            }
        }
        self.watch_no_longer(invitation.callee);
        Some(invitation)
    }

    fn release_parties(&mut self, caller: UserKey, callee: UserKey) {
        self.users.release(caller);
        self.users.release(callee);
    }

    /// Puts an event into the session of a user, if it has one.
    fn tell_user(&mut self, user: UserKey, event: Event) {
        if let Some(key) = self.users.get(user).and_then(|user| user.session) {
            self.hub.tell(key, event);
        }
    }
}
