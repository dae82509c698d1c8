//! Call invitations, the caller's side and the callee's. The server's timers decide; those here only make sure that
//! every invitation ends.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{
    CallId, CancelInvitation, Command, ErrorKind, Event, LocalInvitationFailureReason as LocalReason, Refusal,
    RemoteInvitationFailureReason as RemoteReason, RequestId, Text, UserId,
};

use crate::{LocalInvitation, RemoteInvitation, RtmEvent};

/// The numbers of the invitations of one client object, over all its sessions.
#[derive(Debug)]
pub(crate) struct CallIds {
    prefix: u64,
    made: u64,
}

/// The live invitations. An ended one is forgotten, except that an accepted one stays accepted until its deadline.
#[derive(Debug, Default)]
pub(crate) struct Invitations {
    local: BTreeMap<CallId, Local>,
    remote: BTreeMap<(UserId, CallId), Remote>,
    next_deadline: Option<Instant>,
}

#[derive(Debug)]
struct Local {
    invitation: LocalInvitation,
    state: LocalState,
    canceling: Option<RequestId>,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LocalState {
    /// The server has not answered this request yet, so the user does not count on it yet.
    Sending(RequestId),
    Sent,
    Received,
}

impl Local {
    fn is_sending(&self) -> bool {
        matches!(self.state, LocalState::Sending(_))
    }
}

#[derive(Debug)]
struct Remote {
    invitation: RemoteInvitation,
    state: RemoteState,
    deadline: Instant,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RemoteState {
    Received,
    Accepting(RequestId),
    Refusing(RequestId),
    Accepted,
}

/// What ending a request, or time, does to invitations.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    /// What the user is told.
    pub(crate) events: Vec<RtmEvent>,
    /// Invitations that the other side may still believe in.
    pub(crate) cancels: Vec<Command>,
    /// Requests that have lost their object.
    pub(crate) orphans: Vec<RequestId>,
}

impl CallIds {
    pub(crate) fn new(prefix: u64) -> Self {
        Self { prefix, made: 0 }
    }

    /// A number for a new invitation.
    pub(crate) fn next(&mut self) -> CallId {
        self.made += 1;
        self.call_id(self.made)
    }

    /// Whether an invitation of this number was made here at any time.
    fn has_made(&self, call_id: &CallId) -> bool {
        let number = call_id.as_str().rsplit('-').next().and_then(|number| number.parse().ok());
        number.is_some_and(|number| (1..=self.made).contains(&number) && self.call_id(number) == *call_id)
    }

    fn call_id(&self, number: u64) -> CallId {
        CallId::new(format!("{:016x}-{number}", self.prefix)).expect("37 visible characters at most")
    }
}

impl Invitations {
    /// Whether the state of the invitation allows `command`.
    pub(crate) fn check(&self, command: &Command, call_ids: &CallIds) -> Result<(), Refusal> {
        match command {
            Command::SendInvitation(send) if self.local.contains_key(&send.call_id) => {
                Err(ErrorKind::AlreadySent.into())
            }
            Command::SendInvitation(_) if self.local.len() >= MOST => {
                Err(Refusal::new(ErrorKind::ExceedLimit, "1024 invitations are under way"))
            }
            Command::CancelInvitation(cancel) => match self.local.get(&cancel.call_id) {
                Some(local) if local.invitation.callee_id != cancel.callee_id => {
                    Err(Refusal::new(ErrorKind::InvalidArgument, "the invitation is to another callee"))
                }
                Some(Local { canceling: None, .. }) => Ok(()),
                None if !call_ids.has_made(&cancel.call_id) => Err(ErrorKind::NotStarted.into()),
                _ => Err(ErrorKind::AlreadyEnd.into()),
            },
            Command::AcceptInvitation(accept) => self.check_answer(&accept.caller_id, &accept.call_id),
            Command::RefuseInvitation(refuse) => self.check_answer(&refuse.caller_id, &refuse.call_id),
            _ => Ok(()),
        }
    }

    fn check_answer(&self, caller_id: &UserId, call_id: &CallId) -> Result<(), Refusal> {
        match self.remote.get(&(caller_id.clone(), call_id.clone())).map(|remote| remote.state) {
            Some(RemoteState::Received) => Ok(()),
            Some(RemoteState::Accepting(_) | RemoteState::Accepted) => Err(ErrorKind::AlreadyAccept.into()),
            Some(RemoteState::Refusing(_)) | None => Err(ErrorKind::AlreadyEnd.into()),
        }
    }

    /// A request that [`check`](Self::check) let pass is under way.
    pub(crate) fn requested(&mut self, now: Instant, id: RequestId, command: &Command, timeout: Duration) {
        match command {
            Command::SendInvitation(send) => {
                let invitation = LocalInvitation {
                    call_id: send.call_id.clone(),
                    callee_id: send.callee_id.clone(),
                    content: send.content.clone(),
                };
                let deadline = self.deadline(now, timeout);
                let local = Local { invitation, state: LocalState::Sending(id), canceling: None, deadline };
                self.local.insert(send.call_id.clone(), local);
            }
            Command::CancelInvitation(cancel) => {
                if let Some(local) = self.local.get_mut(&cancel.call_id) {
                    local.canceling = Some(id);
                }
            }
            Command::AcceptInvitation(accept) => {
                self.set_remote(&accept.caller_id, &accept.call_id, RemoteState::Accepting(id));
            }
            Command::RefuseInvitation(refuse) => {
                self.set_remote(&refuse.caller_id, &refuse.call_id, RemoteState::Refusing(id));
            }
            _ => {}
        }
    }

    fn set_remote(&mut self, caller_id: &UserId, call_id: &CallId, state: RemoteState) {
        if let Some(remote) = self.remote.get_mut(&(caller_id.clone(), call_id.clone())) {
            remote.state = state;
        }
    }

    fn deadline(&mut self, now: Instant, timeout: Duration) -> Instant {
        let deadline = now + timeout;
        self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
        deadline
    }

    /// A request of the user ended.
    pub(crate) fn answered(
        &mut self,
        id: RequestId,
        command: &Command,
        sent: bool,
        error: Option<ErrorKind>,
    ) -> Effects {
        let mut effects = Effects::default();
        match command {
            Command::SendInvitation(send) => self.send_answered(&send.call_id, sent, error, &mut effects),
            Command::CancelInvitation(cancel) => {
                let Some(local) = self.local.get_mut(&cancel.call_id) else { return effects };
                if local.canceling == Some(id) {
                    local.canceling = None;
                    if error.is_none() {
                        effects.events.extend(
                            self.end_local(&cancel.call_id)
                                .map(|invitation| RtmEvent::LocalInvitationCanceled { invitation }),
                        );
                    }
                }
            }
            Command::AcceptInvitation(accept) => {
                let key = (accept.caller_id.clone(), accept.call_id.clone());
                let Some(remote) = self.remote.get_mut(&key) else { return effects };
                if remote.state != RemoteState::Accepting(id) {
                    return effects;
                }
                match error {
                    None => {
                        remote.state = RemoteState::Accepted;
                        let invitation = remote.invitation.clone();
                        effects.events.push(RtmEvent::RemoteInvitationAccepted { invitation });
                    }
                    // The caller was quicker, or the answer was lost with a link that the invitation outlived: the event
                    // that ends it is on its way, or the user may try again.
                    Some(ErrorKind::AlreadyEnd | ErrorKind::OutcomeUnknown) => remote.state = RemoteState::Received,
                    Some(_) => effects.events.extend(self.fail_remote(&key, RemoteReason::AcceptFailure)),
                }
            }
            Command::RefuseInvitation(refuse) => {
                let key = (refuse.caller_id.clone(), refuse.call_id.clone());
                let Some(remote) = self.remote.get_mut(&key) else { return effects };
                if remote.state != RemoteState::Refusing(id) {
                    return effects;
                }
                remote.state = RemoteState::Received;
                if error.is_none() {
                    let ended = self.remote.remove(&key);
                    effects
                        .events
                        .extend(ended.map(|ended| RtmEvent::RemoteInvitationRefused { invitation: ended.invitation }));
                }
            }
            _ => {}
        }
        effects
    }

    fn send_answered(&mut self, call_id: &CallId, sent: bool, error: Option<ErrorKind>, effects: &mut Effects) {
        let Some(local) = self.local.get_mut(call_id) else { return };
        if !local.is_sending() {
            return;
        }
        let Some(error) = error else {
            local.state = LocalState::Sent;
            let deadline = local.deadline;
            self.next_deadline = Some(self.next_deadline.map_or(deadline, |next| next.min(deadline)));
            return;
        };
        // The caller has its error and hears no more of this one; nor should the callee.
        let ended = self.end_local(call_id);
        if sent && matches!(error, ErrorKind::Timeout | ErrorKind::OutcomeUnknown) {
            effects.cancels.extend(ended.as_ref().map(cancel));
        }
    }

    fn end_local(&mut self, call_id: &CallId) -> Option<LocalInvitation> {
        self.local.remove(call_id).map(|local| local.invitation)
    }

    fn fail_remote(&mut self, key: &(UserId, CallId), reason: RemoteReason) -> Option<RtmEvent> {
        let Remote { invitation, .. } = self.remote.remove(key)?;
        Some(RtmEvent::RemoteInvitationFailure { invitation, reason })
    }

    /// The request to send an invitation that `event` answers, too: what happens to it shows that the server took it.
    pub(crate) fn answered_by(&self, event: &Event) -> Option<RequestId> {
        let (Event::LocalInvitationReceivedByPeer { call_id, .. }
        | Event::LocalInvitationAccepted { call_id, .. }
        | Event::LocalInvitationRefused { call_id, .. }
        | Event::LocalInvitationFailure { call_id, .. }) = event
        else {
            return None;
        };
        match self.local.get(call_id)?.state {
            LocalState::Sending(id) => Some(id),
            LocalState::Sent | LocalState::Received => None,
        }
    }

    /// The server said something of an invitation. `None` if it is of no live one.
    pub(crate) fn handle_event(&mut self, now: Instant, timeout: Duration, event: Event) -> Effects {
        let mut effects = Effects::default();
        let told = match event {
            Event::RemoteInvitationReceived { call_id, caller_id, content } => {
                let key = (caller_id.clone(), call_id.clone());
                if self.remote.contains_key(&key) {
                    return effects;
                }
                if self.remote.len() >= MOST {
                    let oldest =
                        self.remote.iter().min_by_key(|(_, remote)| remote.deadline).map(|(key, _)| key.clone());
                    let ended = oldest.and_then(|key| self.remote.remove(&key));
                    effects.events.extend(ended.filter(|ended| ended.state != RemoteState::Accepted).map(|ended| {
                        let reason = RemoteReason::InvitationExpire;
                        RtmEvent::RemoteInvitationFailure { invitation: ended.invitation, reason }
                    }));
                }
                let invitation = RemoteInvitation { call_id, caller_id, content };
                let deadline = self.deadline(now, timeout);
                let remote = Remote { invitation: invitation.clone(), state: RemoteState::Received, deadline };
                self.remote.insert(key, remote);
                Some(RtmEvent::RemoteInvitationReceived { invitation })
            }
            Event::RemoteInvitationCanceled { call_id, caller_id, content } => self
                .end_remote(caller_id, call_id)
                .map(|invitation| RtmEvent::RemoteInvitationCanceled { invitation, content }),
            Event::RemoteInvitationFailure { call_id, caller_id, reason } => self
                .end_remote(caller_id, call_id)
                .map(|invitation| RtmEvent::RemoteInvitationFailure { invitation, reason }),
            Event::LocalInvitationReceivedByPeer { call_id, .. } => match self.local.get_mut(&call_id) {
                Some(local) if local.state != LocalState::Received => {
                    local.state = LocalState::Received;
                    Some(RtmEvent::LocalInvitationReceivedByPeer { invitation: local.invitation.clone() })
                }
                _ => None,
            },
            Event::LocalInvitationAccepted { call_id, response, .. } => {
                self.end_local(&call_id).map(|invitation| RtmEvent::LocalInvitationAccepted { invitation, response })
            }
            Event::LocalInvitationRefused { call_id, response, .. } => {
                self.end_local(&call_id).map(|invitation| RtmEvent::LocalInvitationRefused { invitation, response })
            }
            Event::LocalInvitationFailure { call_id, reason, .. } => {
                self.end_local(&call_id).map(|invitation| RtmEvent::LocalInvitationFailure { invitation, reason })
            }
            _ => None,
        };
        effects.events.extend(told);
        effects
    }

    /// Ends an invitation that is not accepted yet.
    fn end_remote(&mut self, caller_id: UserId, call_id: CallId) -> Option<RemoteInvitation> {
        let key = (caller_id, call_id);
        if self.remote.get(&key)?.state == RemoteState::Accepted {
            return None;
        }
        self.remote.remove(&key).map(|remote| remote.invitation)
    }

    /// Ends what is over its deadline.
    pub(crate) fn expire(&mut self, now: Instant) -> Effects {
        let mut effects = Effects::default();
        if self.next_deadline.is_none_or(|at| at > now) {
            return effects;
        }
        self.local.retain(|_, local| {
            let live = local.is_sending() || local.deadline > now;
            if !live {
                effects.cancels.push(cancel(&local.invitation));
                let reason = match local.state {
                    LocalState::Received => LocalReason::InvitationExpire,
                    LocalState::Sending(_) | LocalState::Sent => LocalReason::PeerNoResponse,
                };
                let invitation = local.invitation.clone();
                effects.events.push(RtmEvent::LocalInvitationFailure { invitation, reason });
            }
            live
        });
        self.remote.retain(|_, remote| {
            let live = remote.deadline > now;
            if !live && remote.state != RemoteState::Accepted {
                let invitation = remote.invitation.clone();
                let reason = RemoteReason::InvitationExpire;
                effects.events.push(RtmEvent::RemoteInvitationFailure { invitation, reason });
            }
            live
        });
        let started = self.local.values().filter(|local| !local.is_sending());
        let deadlines = started.map(|local| local.deadline);
        self.next_deadline = deadlines.chain(self.remote.values().map(|remote| remote.deadline)).min();
        effects
    }

    /// Ends every invitation with its session. One that the server has not answered yet ends with its request.
    pub(crate) fn end_session(&mut self) -> Effects {
        let mut effects = Effects::default();
        self.next_deadline = None;
        self.local.retain(|_, local| {
            if local.is_sending() {
                return true;
            }
            effects.orphans.extend(local.canceling);
            let invitation = local.invitation.clone();
            effects.events.push(RtmEvent::LocalInvitationFailure { invitation, reason: LocalReason::NotLoggedIn });
            false
        });
        for ((_, _), Remote { invitation, state, .. }) in std::mem::take(&mut self.remote) {
            let reason = match state {
                RemoteState::Accepted => continue,
                RemoteState::Received => RemoteReason::PeerOffline,
                RemoteState::Refusing(id) => {
                    effects.orphans.push(id);
                    RemoteReason::PeerOffline
                }
                RemoteState::Accepting(id) => {
                    effects.orphans.push(id);
                    RemoteReason::AcceptFailure
                }
            };
            effects.events.push(RtmEvent::RemoteInvitationFailure { invitation, reason });
        }
        effects
    }

    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.next_deadline
    }
}

fn cancel(invitation: &LocalInvitation) -> Command {
    let LocalInvitation { call_id, callee_id, .. } = invitation.clone();
    CancelInvitation { call_id, callee_id, content: Text::default() }.into()
}

/// The most invitations of either side at once.
const MOST: usize = 1024;
