//! What counters are counted by, each with its name in metrics.

#![expect(
    clippy::exhaustive_enums,
    reason = "whoever shows the counters names all of them: a new one that is passed over must not compile"
)]

use rtm_codec::ErrorKind;

/// What became of a login.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LoginResult {
    /// The user has a new session, and had none before on this server.
    New,
    /// The client goes on with its session where it was.
    Resumed,
    /// The same client object begins anew in its session.
    Returned,
    /// The user has a new session, and the one that it had elsewhere has ended for it.
    Takeover,
    /// The token is not good.
    InvalidToken,
    /// The token has run out.
    TokenExpired,
    /// The user logs in too often.
    TooOften,
    /// The user is banned.
    Banned,
    /// The server goes down.
    Draining,
    /// It is refused for another reason.
    Other,
}

/// Why a call was refused, as far as it is counted apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusedCall {
    /// An argument breaks the rules.
    InvalidArgument,
    /// Above a call limit.
    TooOften,
    /// More users, channels or ids than allowed, or attributes that are too large.
    TooMuch,
    /// The user or the channel is not there.
    NotThere,
    /// The attributes of a channel have another revision.
    RevisionConflict,
    /// No answer came in time.
    Timeout,
    /// The server or its store failed.
    Failure,
    /// Anything else.
    Other,
}

/// What a project may have so much of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Quota {
    /// Connections.
    Connections,
    /// Channels.
    Channels,
    /// Bytes of messages and attributes in the store.
    StoredBytes,
    /// Messages of back ends within a time.
    Rest,
}

/// Why a client was told that events are missing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum GapReason {
    /// More came while it was away than is kept of a channel.
    Away,
    /// It was away for too long to stay in a channel.
    Lapsed,
    /// It came for a session that is not there any more.
    NewSession,
    /// What another node sent to a channel was lost on its way.
    Cluster,
}

/// Why events of a channel were dropped for a receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LossReason {
    /// More came while it was away than is kept of a channel.
    Away,
    /// Its session held as much as it may while it was away.
    SessionFull,
    /// It came back, and more came than is kept for it until it joins the channel again.
    Rejoining,
}

/// What became of a session that another node of the cluster asked for, or that this one asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MoveResult {
    /// It came here.
    Taken,
    /// Another node has it.
    Given,
    /// It was packed for another node, and goes on here.
    Kept,
    /// Its bytes could not be read where they came to.
    Lost,
}

/// Whom a message goes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageKind {
    /// A user.
    Peer,
    /// A channel.
    Channel,
}

/// Where a message comes from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum MessageSource {
    /// The session of a client.
    Client,
    /// A back end.
    Rest,
    /// An operator.
    Admin,
}

/// What became of the session that a client comes back to.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResumeResult {
    /// It goes on.
    Resumed,
    /// It goes on, but was taken out of its channels meanwhile.
    Lapsed,
    /// It is not there any more, or the client has begun anew: there is a new session.
    NewSession,
}

macro_rules! names {
    ($type:ident: $($variant:ident = $name:literal),*) => {
        impl $type {
            /// Every value, in the order of their discriminants.
            pub const ALL: [Self; [$($name),*].len()] = [$(Self::$variant),*];

            /// Its name, as metrics have it.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }
        }
    };
}

names!(
    LoginResult: New = "new", Resumed = "resumed", Returned = "returned", Takeover = "takeover",
        InvalidToken = "invalid_token", TokenExpired = "token_expired", TooOften = "too_often",
        Banned = "banned", Draining = "draining", Other = "other"
);
names!(
    RefusedCall: InvalidArgument = "invalid_argument", TooOften = "too_often", TooMuch = "too_much",
        NotThere = "not_there", RevisionConflict = "revision_conflict", Timeout = "timeout",
        Failure = "failure", Other = "other"
);
names!(Quota: Connections = "connections", Channels = "channels", StoredBytes = "stored_bytes", Rest = "rest");
names!(GapReason: Away = "away", Lapsed = "lapsed", NewSession = "new_session", Cluster = "cluster");
names!(LossReason: Away = "away", SessionFull = "session_full", Rejoining = "rejoining");
names!(MoveResult: Taken = "taken", Given = "given", Kept = "kept", Lost = "lost");
names!(MessageKind: Peer = "peer", Channel = "channel");
names!(MessageSource: Client = "client", Rest = "rest", Admin = "admin");
names!(ResumeResult: Resumed = "resumed", Lapsed = "lapsed", NewSession = "new_session");

impl LoginResult {
    pub(super) fn refused(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidToken => Self::InvalidToken,
            ErrorKind::TokenExpired => Self::TokenExpired,
            ErrorKind::TooOften => Self::TooOften,
            ErrorKind::Banned => Self::Banned,
            _ => Self::Other,
        }
    }
}

impl RefusedCall {
    pub(super) fn of(kind: ErrorKind) -> Self {
        match kind {
            ErrorKind::InvalidArgument | ErrorKind::InvalidMessage | ErrorKind::InvalidUserId => Self::InvalidArgument,
            ErrorKind::TooOften | ErrorKind::SameChannelTooOften => Self::TooOften,
            ErrorKind::ExceedLimit | ErrorKind::SizeOverflow => Self::TooMuch,
            ErrorKind::UserNotFound | ErrorKind::NotInChannel => Self::NotThere,
            ErrorKind::RevisionConflict => Self::RevisionConflict,
            ErrorKind::Timeout => Self::Timeout,
            ErrorKind::Failure => Self::Failure,
            _ => Self::Other,
        }
    }
}
