//! What the server tells a session unasked, in the order in which it happened.

use std::sync::{Arc, OnceLock};

use bytes::Bytes;

use crate::{
    CallId, ChannelAttributes, ChannelId, LocalInvitationFailureReason, MessageId, PeerMessage, PeerOnlineState,
    RemoteInvitationFailureReason, RtmMessage, Text, UserId,
};

/// One event of a session's stream. On the native wire each carries a [`Seq`](crate::Seq).
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A message from another user, or from oneself.
    MessageFromPeer(PeerMessage),
    /// The online states of subscribed users: all of them after subscribing, else those that changed.
    PeersOnlineStatusChanged {
        /// Who is in which state.
        peers: Vec<(UserId, PeerOnlineState)>,
    },
    /// The token ends soon.
    TokenWillExpire {
        /// Milliseconds left.
        expires_in_ms: u64,
    },
    /// A caller invites this user.
    RemoteInvitationReceived {
        /// The caller's number for it.
        call_id: CallId,
        /// Who calls.
        caller_id: UserId,
        /// What the caller wrote.
        content: Text,
    },
    /// The caller took the invitation back.
    RemoteInvitationCanceled {
        /// The caller's number for it.
        call_id: CallId,
        /// Who called.
        caller_id: UserId,
        /// What the caller wrote.
        content: Text,
    },
    /// An invitation to this user ended without an answer.
    RemoteInvitationFailure {
        /// The caller's number for it.
        call_id: CallId,
        /// Who called.
        caller_id: UserId,
        /// Why.
        reason: RemoteInvitationFailureReason,
    },
    /// The callee's device has this user's invitation.
    LocalInvitationReceivedByPeer {
        /// This user's number for it.
        call_id: CallId,
        /// Who is called.
        callee_id: UserId,
    },
    /// The callee accepted.
    LocalInvitationAccepted {
        /// This user's number for it.
        call_id: CallId,
        /// Who is called.
        callee_id: UserId,
        /// What the callee wrote.
        response: Text,
    },
    /// The callee refused.
    LocalInvitationRefused {
        /// This user's number for it.
        call_id: CallId,
        /// Who is called.
        callee_id: UserId,
        /// What the callee wrote.
        response: Text,
    },
    /// This user's invitation ended without an answer.
    LocalInvitationFailure {
        /// This user's number for it.
        call_id: CallId,
        /// Who was called.
        callee_id: UserId,
        /// Why.
        reason: LocalInvitationFailureReason,
    },
    /// Another member's message to a channel.
    ChannelMessage {
        /// Where.
        channel_id: ChannelId,
        /// The sender's number for it.
        message_id: MessageId,
        /// Who sent it.
        member_id: UserId,
        /// What was sent.
        message: RtmMessage,
        /// When the server took it, in milliseconds since the Unix epoch.
        server_received_ts: u64,
    },
    /// Another user joined a channel (not told above 512 members).
    MemberJoined {
        /// Where.
        channel_id: ChannelId,
        /// Who.
        member_id: UserId,
        /// How many members there are now.
        member_count: u32,
    },
    /// Another user left a channel (not told above 512 members).
    MemberLeft {
        /// Where.
        channel_id: ChannelId,
        /// Who.
        member_id: UserId,
        /// How many members there are now.
        member_count: u32,
    },
    /// How many members a channel has.
    MemberCountUpdated {
        /// Where.
        channel_id: ChannelId,
        /// How many members there are.
        member_count: u32,
    },
    /// A writer of channel attributes asked that the members be told.
    AttributesUpdated {
        /// Where.
        channel_id: ChannelId,
        /// All attributes of the channel.
        attributes: ChannelAttributes,
    },
    /// Events that can no longer be delivered were dropped here.
    Gap {
        /// Of which channel; `None` for anything else.
        channel_id: Option<ChannelId>,
        /// How many, if known.
        lost: Option<u64>,
    },
}

/// An event that its receivers share: whoever it is for, it is kept once.
#[derive(Debug, Clone)]
pub struct SharedEvent(Repr);

#[derive(Debug, Clone)]
enum Repr {
    ForOne(Arc<Event>),
    ForMany(Arc<Encoded>),
}

/// An event and its bytes.
#[derive(Debug)]
pub(crate) struct Encoded {
    event: Event,
    native: OnceLock<Bytes>,
    vendor: OnceLock<Text>,
}

impl SharedEvent {
    /// Prepares `event` for any number of receivers: its bytes on each wire are made once, when they are first needed,
    /// and kept with it.
    #[must_use]
    pub fn new(event: Event) -> Self {
        Self(Repr::ForMany(Arc::new(Encoded { event, native: OnceLock::new(), vendor: OnceLock::new() })))
    }

    /// Prepares `event` for one receiver: its bytes are made whenever they are needed, which is mostly once.
    #[must_use]
    pub fn for_one(event: Event) -> Self {
        Self(Repr::ForOne(Arc::new(event)))
    }

    /// The event.
    #[must_use]
    pub fn event(&self) -> &Event {
        match &self.0 {
            Repr::ForOne(event) => event,
            Repr::ForMany(encoded) => &encoded.event,
        }
    }

    /// Where its bytes are kept, if they are.
    pub(crate) fn encoded(&self) -> Option<&Encoded> {
        match &self.0 {
            Repr::ForOne(_) => None,
            Repr::ForMany(encoded) => Some(encoded),
        }
    }
}

impl Encoded {
    /// The native bytes, made by `encode` when they are first needed.
    pub(crate) fn native(&self, encode: impl FnOnce(&Event) -> Bytes) -> &Bytes {
        self.native.get_or_init(|| encode(&self.event))
    }

    /// The vendor envelope, made by `encode` when it is first needed.
    pub(crate) fn vendor(&self, encode: impl FnOnce(&Event) -> Text) -> &Text {
        self.vendor.get_or_init(|| encode(&self.event))
    }
}
