//! What the cores of one project say to each other.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rtm_codec::{
    AttributeKey, InstanceId, MessageId, PeerMessage, Refusal, RequestId, Revision, SendOutcome, SessionId,
    SessionTicket, Text, UserId,
};

use super::{
    calls::{CallMessage, CallOutcome},
    channels::{ChannelParcel, HomeParcel},
    gateway::GatewayWord,
    kept::{PROTO_OF_MANY, PROTO_OF_RUNS, PROTO_OF_STORING},
    names::NodeId,
    post::Ticket,
    presence::PresenceParcel,
};

/// One thing that a core says to the core of the same project on another node.
#[derive(Debug, Clone, PartialEq)]
pub enum ProjectParcel {
    /// A user logs in here, whose session is there.
    Ask(Ask),
    /// What becomes of that session.
    Verdict {
        /// The claim that asked.
        claim: u64,
        /// What becomes of it.
        verdict: Verdict,
    },
    /// A part of a packed session, in order behind its [`Verdict::Moves`].
    Pack {
        /// The claim that asked.
        claim: u64,
        /// The part.
        bytes: Bytes,
    },
    /// The claim for a user has come to its end: the session there is over, or is here now.
    Took {
        /// Whose.
        user_id: UserId,
        /// The session that the user's entry names now.
        session: SessionId,
        /// The revision of the entry.
        revision: u64,
    },
    /// A message for a user whose session is there.
    Deliver(Box<Deliver>),
    /// The receiver's session has the message with this number, and all before it that were sent to the node that says so. That node
    /// says what becomes of them.
    Placed {
        /// The sender's session.
        session: SessionId,
        /// The sender.
        user_id: UserId,
        /// The receiver.
        to: UserId,
        /// The message's number.
        n: u64,
        /// Whether the receiver's device recognises a message that it gets again.
        drops_repeats: bool,
    },
    /// The receiver has no session there.
    NotHere {
        /// The sender's session.
        session: SessionId,
        /// The sender.
        user_id: UserId,
        /// The receiver.
        to: UserId,
        /// The message's number.
        n: u64,
    },
    /// A message before that one has not come.
    Missing {
        /// The sender's session.
        session: SessionId,
        /// The sender.
        user_id: UserId,
        /// The receiver.
        to: UserId,
        /// The message's number.
        n: u64,
    },
    /// What became of a message, for its sender's session.
    Outcome(Box<MessageOutcome>),
    /// What a user elsewhere has to say to a user there of an invitation between them.
    Call {
        /// To name the answer with.
        id: u64,
        /// Who says it.
        from: UserId,
        /// To whom.
        to: UserId,
        /// What.
        message: Box<CallMessage>,
    },
    /// What became of that.
    CallAnswered {
        /// Of what.
        id: u64,
        /// Who said it.
        from: UserId,
        /// To whom.
        to: UserId,
        /// What became of it.
        outcome: CallOutcome,
    },
    /// Who is online.
    Presence(PresenceParcel),
    /// The attributes of a user are asked for, whose session is there.
    ReadAttributes {
        /// To name the answer with.
        read: u64,
        /// Whose.
        user_id: UserId,
        /// Which; `None` for all.
        keys: Option<Vec<AttributeKey>>,
    },
    /// The answer; `None` if the session is not there.
    Attributes {
        /// The question.
        read: u64,
        /// The attributes, or why there are none.
        attributes: Option<Result<BTreeMap<AttributeKey, Text>, Refusal>>,
    },
    /// Something about a channel.
    Channel(Box<ChannelParcel>),
    /// Something between the home of channels and another node.
    Home(Box<HomeParcel>),
    /// The sender is about to leave, and nobody has come for this user's session there: the receiver is to take it.
    Fetch {
        /// Whose.
        user_id: UserId,
        /// The client object of the session.
        instance: InstanceId,
        /// The session.
        ticket: SessionTicket,
    },
    /// Parcels of the receiver may be missing at the sender: what it said, and is not known to have come, is to be said
    /// again.
    SayAgain,
    /// A message was stored for a user whose session is there: it is to read what is stored once more.
    StoredFor {
        /// Whose.
        user_id: UserId,
    },
    /// What is refused to a user from now on, or to all users.
    Restricted {
        /// To whom; `None` for all users.
        user_id: Option<UserId>,
        /// The higher one holds.
        revision: Revision,
        /// Until when its logins are refused, in milliseconds since the Unix epoch; 0 for no ban.
        banned_until: u64,
        /// From when on its tokens are good, in milliseconds since the Unix epoch.
        tokens_from: u64,
    },
    /// An operator ends the session that a user has there.
    Kick {
        /// Whose.
        user_id: UserId,
    },
    /// An operator removes what is kept of a user: its attributes and subscriptions go.
    ForgetUser {
        /// Whose.
        user_id: UserId,
    },
    /// Something about an HTTP request of the vendor's.
    Gateway {
        /// The number that the node has given it to which it came.
        id: u64,
        /// What.
        word: Box<GatewayWord>,
    },
    /// Messages of one session have arrived: the same as an [`Outcome`](Self::Outcome) for each.
    Delivered(Box<Delivered>),
    /// Messages for users whose sessions are there: the same as a [`Deliver`](Self::Deliver) for each, in order.
    DeliverRuns(Vec<LaneRun>),
    /// The message of this request of a back end is being stored there: what becomes of it follows, also where nobody waits for the
    /// receiver's device. It comes before it is said that the message is [placed](Self::Placed), each time.
    Storing {
        /// What stands for the back ends of the node that is told so.
        session: SessionId,
        /// The request.
        request: RequestId,
    },
}

impl ProjectParcel {
    /// Whether its sender has no use for knowing soon that it has come.
    pub(crate) fn ack_may_wait(&self) -> bool {
        matches!(
            self,
            Self::Deliver(_) | Self::DeliverRuns(_) | Self::Placed { .. } | Self::Outcome(_) | Self::Delivered(_)
        )
    }

    /// The first version of what nodes say that has this parcel.
    #[must_use]
    pub fn since(&self) -> u16 {
        match self {
            Self::DeliverRuns(_) => PROTO_OF_RUNS,
            Self::Delivered(_) => PROTO_OF_MANY,
            Self::Storing { .. } => PROTO_OF_STORING,
            _ => 1,
        }
    }
}

/// A parcel for another node.
#[derive(Debug, Clone, PartialEq)]
pub struct Posting {
    /// To whom.
    pub to: NodeId,
    /// What.
    pub parcel: ProjectParcel,
    /// By which the core is to be told what became of it ([`Core::handle_posted`](crate::Core::handle_posted)).
    pub ticket: Option<Ticket>,
}

/// What became of a parcel that was given out with a ticket.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Posted {
    /// The other node's core has it.
    Taken,
    /// The other node left the view. It may have it or not.
    Left,
    /// It did not fit into the box for the other node, or the post to that began anew: it may be missing there.
    Dropped,
}

/// A message from a session to a user.
#[derive(Debug, Clone, PartialEq)]
pub struct Deliver {
    /// The sender's session.
    pub session: SessionId,
    /// The receiver.
    pub to: UserId,
    /// The message's number: it rises from message to message of the session.
    pub n: u64,
    /// The number of the last message before it to the same receiver that no session is known to have; 0 if there is none.
    pub after: u64,
    /// Which numbering of the sender's requests the request belongs to.
    pub numbering: u32,
    /// The sender's request.
    pub request: RequestId,
    /// The message, as the receiver gets it.
    pub message: PeerMessage,
    /// Whether it is to be stored when the receiver's device does not get it.
    pub store: bool,
    /// How long its sender waits for the device.
    pub within: Duration,
}

/// Messages of one session to one user that follow each other.
#[derive(Debug, Clone, PartialEq)]
pub struct LaneRun {
    /// The sender's session.
    pub session: SessionId,
    /// The receiver.
    pub to: UserId,
    /// Which numbering of the sender's requests the requests belong to.
    pub numbering: u32,
    /// The messages.
    pub messages: Vec<RunMessage>,
}

/// One of them.
#[derive(Debug, Clone, PartialEq)]
pub struct RunMessage {
    /// Its number: it rises from message to message of the session.
    pub n: u64,
    /// The number of the last message before it to the same receiver that no session is known to have; 0 if there is none.
    pub after: u64,
    /// The sender's request.
    pub request: RequestId,
    /// The message, as the receiver gets it.
    pub message: PeerMessage,
    /// Whether it is to be stored when the receiver's device does not get it.
    pub store: bool,
    /// How long its sender waits for the device.
    pub within: Duration,
}

impl From<Deliver> for LaneRun {
    fn from(deliver: Deliver) -> Self {
        let Deliver { session, to, n, after, numbering, request, message, store, within } = deliver;
        Self { session, to, numbering, messages: vec![RunMessage { n, after, request, message, store, within }] }
    }
}

/// Messages of a session that arrived.
#[derive(Debug, Clone, PartialEq)]
pub struct Delivered {
    /// The sender's session.
    pub session: SessionId,
    /// The sender.
    pub user_id: UserId,
    /// Which numbering of the sender's requests the requests belong to.
    pub numbering: u32,
    /// The sender's requests, with the ids of their messages.
    pub messages: Vec<(RequestId, MessageId)>,
    /// How many nodes have passed this on that had not its sender.
    pub hops: u8,
}

/// What became of a message.
#[derive(Debug, Clone, PartialEq)]
pub struct MessageOutcome {
    /// The sender's session.
    pub session: SessionId,
    /// The sender.
    pub user_id: UserId,
    /// Which numbering of the sender's requests the request belongs to.
    pub numbering: u32,
    /// The sender's request.
    pub request: RequestId,
    /// Which message.
    pub message_id: MessageId,
    /// What became of it.
    pub outcome: Result<SendOutcome, Refusal>,
    /// How many nodes have passed it on that had not its sender.
    pub hops: u8,
}

/// Who logs in on another node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// To name the answer with.
    pub claim: u64,
    /// Who.
    pub user_id: UserId,
    /// The client object.
    pub instance: InstanceId,
    /// The session that it wants to resume.
    pub ticket: Option<SessionTicket>,
    /// Whether its token is over, so that it is let in only where its session has a newer one.
    pub is_token_over: bool,
}

/// What becomes of the session that a user has on the node that was asked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Verdict {
    /// There is none.
    NotHere,
    /// It moves: so many bytes follow. It stands still until it is taken.
    Moves {
        /// How many bytes the packed session has.
        bytes: u32,
    },
    /// It ends when another takes its place.
    Ends {
        /// The sessions that the user's next one puts an end to, oldest first: this one is the last.
        ousted: Vec<OustedSession>,
    },
    /// The client that logs in lost its session to this one, and does not come in.
    Ousted,
    /// The client's token is over, and this session is not its own.
    TokenOver,
}

/// A session that was put an end to by another one of its user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OustedSession {
    /// Which.
    pub session: SessionId,
    /// Whose client object.
    pub instance: InstanceId,
    /// Whether its client has been told, or could be.
    pub was_told: bool,
}

impl Delivered {
    /// An outcome for each message.
    pub(crate) fn outcomes(self) -> impl Iterator<Item = MessageOutcome> {
        let Self { session, user_id, numbering, messages, hops } = self;
        messages.into_iter().map(move |(request, message_id)| MessageOutcome {
            session,
            user_id: user_id.clone(),
            numbering,
            request,
            message_id,
            outcome: Ok(SendOutcome::Delivered),
            hops,
        })
    }
}
