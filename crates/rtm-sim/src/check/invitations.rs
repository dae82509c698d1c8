//! Invitations: each ends once on each side, and the sides do not contradict each other.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    Answer, CallId, Command, LocalInvitationFailureReason as LocalReason,
    RemoteInvitationFailureReason as RemoteReason, RequestId, UserId, Wire,
};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, RtmEvent};

use super::{Invariant, Verdict, facts::Facts, fault};

/// Every invitation, and what became of it.
#[derive(Debug, Default)]
pub(super) struct Invitations {
    calls: BTreeMap<(UserId, CallId), Call>,
    by_request: BTreeMap<(usize, RequestId), (UserId, CallId)>,
    /// When each device was last other than well.
    disturbed: BTreeMap<usize, Vec<Duration>>,
}

#[derive(Debug)]
struct Call {
    device: usize,
    callee_id: UserId,
    at: Duration,
    /// Whether the server took it; `None` while that is open.
    taken: Option<bool>,
    received: bool,
    end: Option<LocalEnd>,
    ended_at: Duration,
    callees: BTreeMap<usize, Callee>,
}

#[derive(Debug, Default)]
struct Callee {
    is_open: bool,
    /// The last end.
    end: Option<RemoteEnd>,
    /// Every end, in order.
    ends: Vec<RemoteEnd>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum LocalEnd {
    Accepted,
    Refused,
    Canceled,
    Failed(LocalReason),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RemoteEnd {
    Accepted,
    Refused,
    Canceled,
    Failed(RemoteReason),
}

impl Invitations {
    pub(super) fn issued(&mut self, facts: &Facts, now: Duration, device: usize, id: RequestId, command: &Command) {
        let Command::SendInvitation(send) = command else { return };
        let key = (facts.devices[device].user_id.clone(), send.call_id.clone());
        self.by_request.insert((device, id), key.clone());
        self.calls.entry(key).or_insert_with(|| Call {
            device,
            callee_id: send.callee_id.clone(),
            at: now,
            taken: None,
            received: false,
            end: None,
            ended_at: now,
            callees: BTreeMap::new(),
        });
    }

    pub(super) fn replied(&mut self, now: Duration, device: usize, id: RequestId, result: &Result<Answer, RtmError>) {
        if let Some(call) = self.by_request.remove(&(device, id)).and_then(|key| self.calls.get_mut(&key)) {
            call.taken = Some(result.is_ok());
            if result.is_err() {
                call.ended_at = now;
            }
        }
    }

    pub(super) fn disturbed(&mut self, now: Duration, device: usize) {
        self.disturbed.entry(device).or_default().push(now);
    }

    pub(super) fn disturbed_unless_connected(&mut self, now: Duration, device: usize, _state: ConnectionState) {
        self.disturbed(now, device);
    }

    pub(super) fn told(&mut self, facts: &Facts, now: Duration, device: usize, event: &RtmEvent) -> Verdict {
        let local = |invitation: &LocalInvitation, end| (invitation.call_id.clone(), end);
        let (call_id, end) = match event {
            RtmEvent::LocalInvitationReceivedByPeer { invitation, .. } => local(invitation, None),
            RtmEvent::LocalInvitationAccepted { invitation, .. } => local(invitation, Some(LocalEnd::Accepted)),
            RtmEvent::LocalInvitationRefused { invitation, .. } => local(invitation, Some(LocalEnd::Refused)),
            RtmEvent::LocalInvitationCanceled { invitation, .. } => local(invitation, Some(LocalEnd::Canceled)),
            RtmEvent::LocalInvitationFailure { invitation, reason, .. } => {
                local(invitation, Some(LocalEnd::Failed(*reason)))
            }
            _ => return self.told_callee(facts, device, event),
        };
        let key = (facts.devices[device].user_id.clone(), call_id);
        let Some(call) = self.calls.get_mut(&key).filter(|call| call.device == device) else {
            return Err(fault(Invariant::NoInvention, format!("{event}, which was never sent")));
        };
        if let Some(before) = call.end {
            return Err(fault(Invariant::InvitationsEnd, format!("{event} after its end ({before:?})")));
        }
        if call.taken == Some(false) {
            return Err(fault(Invariant::InvitationsEnd, format!("{event}, and the call to send it failed")));
        }
        match end {
            Some(end) => {
                call.end = Some(end);
                call.ended_at = now;
            }
            None if call.received => {
                return Err(fault(Invariant::InvitationsEnd, format!("{event} again")));
            }
            None => call.received = true,
        }
        Ok(())
    }

    fn told_callee(&mut self, facts: &Facts, device: usize, event: &RtmEvent) -> Verdict {
        let (invitation, end) = match event {
            RtmEvent::RemoteInvitationReceived { invitation, .. } => (invitation, None),
            RtmEvent::RemoteInvitationAccepted { invitation, .. } => (invitation, Some(RemoteEnd::Accepted)),
            RtmEvent::RemoteInvitationRefused { invitation, .. } => (invitation, Some(RemoteEnd::Refused)),
            RtmEvent::RemoteInvitationCanceled { invitation, .. } => (invitation, Some(RemoteEnd::Canceled)),
            RtmEvent::RemoteInvitationFailure { invitation, reason, .. } => {
                (invitation, Some(RemoteEnd::Failed(*reason)))
            }
            _ => return Ok(()),
        };
        let RemoteInvitation { call_id, caller_id, .. } = invitation;
        let call = self
            .calls
            .get_mut(&(caller_id.clone(), call_id.clone()))
            .filter(|call| call.callee_id == facts.devices[device].user_id);
        let Some(call) = call else {
            return Err(fault(Invariant::NoInvention, format!("{event}, which nobody sent")));
        };
        let callee = call.callees.entry(device).or_default();
        match end {
            None if callee.is_open => Err(fault(Invariant::InvitationsEnd, format!("{event} again"))),
            None => {
                callee.is_open = true;
                Ok(())
            }
            Some(_) if !callee.is_open => {
                Err(fault(Invariant::InvitationsEnd, format!("{event}, which was not open ({:?})", callee.end)))
            }
            Some(end) => {
                callee.is_open = false;
                callee.end = Some(end);
                callee.ends.push(end);
                Ok(())
            }
        }
    }

    pub(super) fn finish(&self, facts: &Facts, now: Duration) -> Verdict {
        for ((caller_id, call_id), call) in &self.calls {
            let name = format!("invitation {call_id} of {caller_id} to {}", call.callee_id);
            let is_old = now > call.at + OLD;
            if is_old && call.taken == Some(true) && call.end.is_none() {
                return Err(fault(Invariant::InvitationsEnd, format!("{name} has no end for its caller")));
            }
            for (device, callee) in &call.callees {
                if is_old && callee.is_open {
                    return Err(fault(Invariant::InvitationsEnd, format!("{name} has no end for its callee")));
                }
                self.agree(facts, call, &name, *device, callee)?;
            }
            if call.callees.values().all(|callee| callee.ends.is_empty())
                && matches!(call.end, Some(LocalEnd::Accepted | LocalEnd::Refused))
            {
                return Err(fault(Invariant::InvitationsAgree, format!("{name} ended as {:?} by nobody", call.end)));
            }
        }
        Ok(())
    }

    fn agree(&self, facts: &Facts, call: &Call, name: &str, device: usize, callee: &Callee) -> Verdict {
        let ends = &callee.ends;
        // The vendor's wire does not confirm a refusal.
        let is_unheard = |end: RemoteEnd| end == RemoteEnd::Refused && facts.devices[device].wire == Wire::Vendor;
        let has = |end: RemoteEnd| ends.contains(&end) && !is_unheard(end);
        let contradicts = match call.end {
            Some(LocalEnd::Accepted) => has(RemoteEnd::Refused) || has(RemoteEnd::Canceled),
            Some(LocalEnd::Refused) => has(RemoteEnd::Accepted) || has(RemoteEnd::Canceled),
            Some(LocalEnd::Canceled) => has(RemoteEnd::Accepted) || has(RemoteEnd::Refused),
            Some(LocalEnd::Failed(_)) | None => false,
        };
        let until = call.ended_at + AFTER;
        let is_well = |device: usize| {
            !facts.is_narrow
                && !facts.devices[device].is_slow
                && !self
                    .disturbed
                    .get(&device)
                    .into_iter()
                    .flatten()
                    .any(|at| (call.at.saturating_sub(AFTER)..=until).contains(at))
        };
        let must_match = is_well(call.device) && is_well(device) && call.taken == Some(true);
        let matches = matches!(
            (call.end, callee.end),
            (Some(LocalEnd::Accepted), Some(RemoteEnd::Accepted))
                | (Some(LocalEnd::Refused), Some(RemoteEnd::Refused))
                | (Some(LocalEnd::Canceled), Some(RemoteEnd::Canceled))
                | (Some(LocalEnd::Failed(_)), Some(RemoteEnd::Failed(_)))
                | (None, _)
                | (_, None)
        ) || callee.end.is_some_and(is_unheard);
        if contradicts || (must_match && !matches) {
            let detail = format!("{name} ended as {:?} for its caller and as {ends:?} for its callee", call.end);
            return Err(fault(Invariant::InvitationsAgree, detail));
        }
        Ok(())
    }
}

/// An invitation of this age has ended.
const OLD: Duration = Duration::from_secs(70);
/// What happens so long before or after an invitation may have an effect on it.
const AFTER: Duration = Duration::from_secs(15);
