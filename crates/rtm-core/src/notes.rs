//! What is to be done when an event has reached its device, and who waits for it.

use std::time::Instant;

use rtm_codec::{Event, RequestId, SendOutcome, SessionId, SharedEvent};

use super::{
    Core, JobId, Now, Place,
    arena::SessionKey,
    binary,
    pack::{
        format::{NoteV1, QueuedV1},
        packer::Packer,
        times::PackTime,
    },
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
    /// The callee has the invitation of the event, if it is still the one with this number.
    Invitation(u32),
}

/// An event of a session's stream, and its note.
#[derive(Debug, Clone)]
pub(super) struct Queued {
    pub(super) event: SharedEvent,
    pub(super) note: Note,
    /// What it counts for.
    pub(super) bytes: u32,
}

impl Queued {
    /// An event for one receiver, with which nothing is to be done when it has arrived.
    pub(super) fn plain(event: Event) -> Self {
        Self { bytes: event_bytes(&event), event: SharedEvent::for_one(event), note: Note::None }
    }

    /// `None` while the store is keeping the event.
    pub(super) fn pack(&self, packer: Packer<'_>) -> Option<QueuedV1> {
        Some(QueuedV1 { event: binary::event_bytes(&self.event).into(), note: self.note.pack(packer)? })
    }
}

impl Note {
    /// `None` while the store is keeping the event.
    pub(super) fn pack(self, packer: Packer<'_>) -> Option<NoteV1> {
        Some(match self {
            Self::None => NoteV1::None,
            Self::Receipt { asker, deadline, store } => NoteV1::Receipt {
                session: packer.session(asker.session),
                numbering: asker.numbering,
                request: asker.request.0,
                deadline: packer.moment(deadline),
                store,
            },
            Self::Storing(_) => return None,
            Self::Stored(place) => NoteV1::Stored(place.0),
            Self::Invitation(number) => NoteV1::Invitation(number),
        })
    }
}

impl Core {
    /// Does what somebody waits for now that an event has reached its device. Where it was stored is appended, for
    /// [`settle_stored`](Self::settle_stored).
    #[inline]
    pub(super) fn settle_note(&mut self, now: Now, key: SessionKey, received: Queued, stored: &mut Vec<Place>) {
        let Queued { event, note, .. } = received;
        match note {
            Note::None => {}
            Note::Receipt { asker, deadline, .. } => {
                let left = deadline.saturating_duration_since(now.instant);
                self.hub.counters.received_after(self.config.settings.receipt_within.saturating_sub(left));
                self.settle_message(asker, &event, Ok(SendOutcome::Delivered));
            }
            Note::Storing(job) => self.jobs.receive(job),
            Note::Stored(place) => stored.push(place),
            Note::Invitation(number) => self.invitation_event_received(now, event.event(), number, key),
        }
    }

    /// Events have reached their device that were stored in these places. There may be room for more.
    #[inline(always)]
    pub(super) fn settle_stored(&mut self, now: Now, key: SessionKey, stored: Vec<Place>) {
        if !stored.is_empty() {
            self.remove_stored(key, stored);
        }
        self.continue_offline(now, key);
    }

    /// The note of an event that comes from elsewhere.
    pub(super) fn unpack_note(&mut self, now: Now, event: &Event, note: NoteV1) -> Note {
        match note {
            NoteV1::None => Note::None,
            NoteV1::Receipt { session, numbering, request, deadline, store } => {
                let session = match (session, event) {
                    (Some(id), Event::MessageFromPeer(message)) => {
                        self.session_key(now, &message.peer_id, SessionId(id))
                    }
                    _ => self.hub.nobody(),
                };
                let asker = Asker { session, numbering, request: RequestId(request) };
                Note::Receipt { asker, deadline: PackTime(now.instant).instant(deadline), store }
            }
            NoteV1::Stored(place) => Note::Stored(Place(place)),
            NoteV1::Invitation(number) => Note::Invitation(number),
        }
    }
}

/// What an event counts for against its session's limit: its texts, and a share for the places it is kept in.
pub(super) fn event_bytes(event: &Event) -> u32 {
    let texts = match event {
        Event::MessageFromPeer(message) => message.message.len(),
        Event::ChannelMessage { message, .. } => message.len(),
        Event::PeersOnlineStatusChanged { peers } => peers.iter().map(|(id, _)| id.as_str().len() + OVERHEAD / 4).sum(),
        Event::RemoteInvitationReceived { content: text, .. }
        | Event::RemoteInvitationCanceled { content: text, .. }
        | Event::LocalInvitationAccepted { response: text, .. }
        | Event::LocalInvitationRefused { response: text, .. } => text.len(),
        Event::AttributesUpdated { attributes, .. } => attributes
            .attributes
            .iter()
            .map(|(key, attribute)| key.as_str().len() + attribute.value.len() + OVERHEAD)
            .sum(),
        _ => 0,
    };
    u32::try_from(texts + OVERHEAD).unwrap_or(u32::MAX)
}

const OVERHEAD: usize = 128;
