//! What is to be done when an event has reached its device, and who waits for it.

use std::time::Instant;

use rtm_codec::{RequestId, SendOutcome};

use super::{
    Core, JobId, Now, Place,
    arena::{InvitationKey, SessionKey},
    stream::Queued,
};

/// Who waits for the answer to a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Asker {
    pub(super) session: SessionKey,
    /// Which numbering of the session's requests the id belongs to.
    pub(super) numbering: u32,
    pub(super) request: RequestId,
}

/// What is to be done when an event has reached its device.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Note {
    /// Nothing.
    None,
    /// The sender waits for it until the deadline.
    Receipt { asker: Asker, deadline: Instant, store: bool },
    /// The store is keeping it.
    Storing(JobId),
    /// The store has it.
    Stored(Place),
    /// The callee has the invitation.
    Invitation(InvitationKey),
}

impl Core {
    /// Does what somebody waits for now that events have reached their device.
    pub(super) fn settle_notes(&mut self, now: Now, key: SessionKey, received: &mut Vec<Queued>) {
        let mut stored = Vec::new();
        for Queued { event, note, .. } in received.drain(..) {
            match note {
                Note::None => {}
                Note::Receipt { asker, .. } => self.settle_message(asker, &event, Ok(SendOutcome::Delivered)),
                Note::Storing(job) => self.jobs.receive(job),
                Note::Stored(place) => stored.push(place),
                Note::Invitation(invitation) => self.invitation_received(invitation, key),
            }
        }
        self.remove_stored(key, stored);
        self.continue_offline(now, key);
    }
}
