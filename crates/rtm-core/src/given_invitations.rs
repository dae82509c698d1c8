//! Invitations of callers on other nodes that users here were given. Where a caller's node is lost, nobody else tells the
//! callee that it is over.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{CallId, Event, PeerOnlineState, RemoteInvitationFailureReason, SessionId, UserId};

use super::{
    Core, Now,
    arena::SessionKey,
    pack::{
        format::{GivenV1, Id},
        packer::Packer,
        times::PackTime,
    },
};

/// What was given to users here.
#[derive(Debug, Default)]
pub(super) struct GivenInvitations {
    /// By caller, then by callee and id.
    callers: BTreeMap<UserId, BTreeMap<(UserId, CallId), Given>>,
    /// When to look whether they are old: oldest first.
    order: VecDeque<(Instant, Parties)>,
}

/// Caller, callee, and the id.
type Parties = (UserId, UserId, CallId);

#[derive(Debug, Clone)]
struct Given {
    caller_session: SessionId,
    until: Instant,
    /// Its callee was told so.
    is_over: bool,
}

impl GivenInvitations {
    pub(super) fn pack(&self, packer: Packer<'_>, callee_id: &UserId) -> Vec<GivenV1> {
        let mut packed = Vec::new();
        for (caller_id, all) in &self.callers {
            let of_callee = all.iter().filter(|((callee, _), given)| callee == callee_id && !given.is_over);
            packed.extend(of_callee.map(|((_, call_id), given)| GivenV1 {
                caller_id: Id(caller_id.clone()),
                call_id: Id(call_id.clone()),
                caller_session: given.caller_session.0,
                until: packer.moment(given.until),
            }));
        }
        packed
    }

    /// When the oldest may be forgotten.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.order.front().map(|(until, _)| *until)
    }

    fn get_mut(&mut self, (caller_id, callee_id, call_id): &Parties) -> Option<&mut Given> {
        self.callers.get_mut(caller_id)?.get_mut(&(callee_id.clone(), call_id.clone()))
    }

    fn remove(&mut self, caller_id: &UserId, callee_id: &UserId, call_id: &CallId) -> Option<Given> {
        let all = self.callers.get_mut(caller_id)?;
        let given = all.remove(&(callee_id.clone(), call_id.clone()));
        if all.is_empty() {
            self.callers.remove(caller_id);
        }
        given
    }
}

impl Core {
    /// A user here was given an invitation of a caller that is elsewhere.
    pub(super) fn note_given(&mut self, now: Now, (caller_id, callee_id, call_id): Parties, caller_session: SessionId) {
        let until = now.instant + self.config.settings.invitation_answer_within + GRACE;
        let Some(edge) = &mut self.edge else { return };
        edge.given.order.push_back((until, (caller_id.clone(), callee_id.clone(), call_id.clone())));
        let given = Given { caller_session, until, is_over: false };
        edge.given.callers.entry(caller_id.clone()).or_default().insert((callee_id, call_id), given);
        self.begin_to_watch(now, &caller_id);
        self.arm_presence(until);
    }

    /// Whether somebody here was given an invitation of a caller that may not be over.
    pub(super) fn has_given(&self, caller_id: &UserId) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.given.callers.contains_key(caller_id))
    }

    /// A callee has answered, or is told by the caller's side that it is over. `false` if it was told so before.
    pub(super) fn forget_given(&mut self, caller_id: &UserId, callee_id: &UserId, call_id: &CallId) -> bool {
        let Some(edge) = &mut self.edge else { return true };
        let given = edge.given.remove(caller_id, callee_id, call_id);
        if given.is_some() && !edge.given.callers.contains_key(caller_id) {
            match self.users.find(caller_id) {
                Some(user) => self.watch_no_longer(user),
                None => self.cease_to_watch(caller_id),
            }
        }
        given.is_none_or(|given| !given.is_over)
    }

    /// Something has become known of a caller: where its session is lost with its node, so are its invitations.
    pub(super) fn caller_changed(&mut self, now: Now, caller_id: &UserId) {
        let Some(edge) = &self.edge else { return };
        let all = edge.given.callers.get(caller_id).into_iter().flat_map(BTreeMap::keys);
        let keys: Vec<Parties> =
            all.map(|(callee_id, call_id)| (caller_id.clone(), callee_id.clone(), call_id.clone())).collect();
        let Some(heard) = edge.entry_of(caller_id).filter(|_| !keys.is_empty()) else { return };
        let Some(entry) = heard.entry.clone() else { return };
        let is_lost = !edge.is_good(&entry) && self.far_state(caller_id) == Some(PeerOnlineState::Offline);
        for key in keys {
            let Some(edge) = &mut self.edge else { return };
            let Some(given) = edge.given.get_mut(&key) else { continue };
            let is_replaced = edge.view.has(&entry.node) && entry.session != given.caller_session;
            if given.is_over || now.instant >= given.until || !(is_lost || is_replaced) {
                continue;
            }
            given.is_over = true;
            let (caller_id, callee_id, call_id) = key;
            if let Some(session) = self.session_of(&callee_id) {
                let reason = RemoteInvitationFailureReason::PeerOffline;
                self.hub.tell(session, Event::RemoteInvitationFailure { call_id, caller_id, reason });
            }
        }
    }

    /// A callee's session has come from elsewhere, with what it was given there.
    pub(super) fn unpack_given(&mut self, now: Now, key: SessionKey, packed: Vec<GivenV1>) {
        let Some(callee_id) = self.user_id_of(key) else { return };
        for GivenV1 { caller_id: Id(caller_id), call_id: Id(call_id), caller_session, until } in packed {
            let place = (caller_id.clone(), callee_id.clone(), call_id);
            self.note_given(now, place.clone(), SessionId(caller_session));
            let until = PackTime(now.instant).instant(until);
            if let Some(given) = self.edge.as_mut().and_then(|edge| edge.given.get_mut(&place)) {
                given.until = until.min(given.until);
            }
            self.caller_changed(now, &caller_id);
        }
    }

    /// Forgets what can be answered no more.
    pub(super) fn forget_old_given(&mut self, now: Now) {
        while let Some(edge) = &mut self.edge
            && edge.given.next_due().is_some_and(|until| until <= now.instant)
            && let Some((_, parties)) = edge.given.order.pop_front()
        {
            if edge.given.get_mut(&parties).is_some_and(|given| given.until <= now.instant) {
                let (caller_id, callee_id, call_id) = parties;
                self.forget_given(&caller_id, &callee_id, &call_id);
            }
        }
    }

    /// A callee's session has left: what it was given goes with it.
    pub(super) fn take_given(&mut self, callee_id: &UserId) {
        let Some(edge) = &self.edge else { return };
        let all = edge.given.callers.iter().flat_map(|(caller_id, all)| all.keys().map(move |key| (caller_id, key)));
        let of_callee = all.filter(|(_, (callee, _))| callee == callee_id);
        let keys: Vec<_> = of_callee
            .map(|(caller_id, (_, call_id))| (caller_id.clone(), callee_id.clone(), call_id.clone()))
            .collect();
        for (caller_id, callee_id, call_id) in keys {
            self.forget_given(&caller_id, &callee_id, &call_id);
        }
    }
}

/// How much longer it is known what was given than it can be answered.
const GRACE: Duration = Duration::from_secs(10);
