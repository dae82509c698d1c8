//! Why a call is refused, and the one table of the vendor's error numbers: `docs/rtm.md#error-numbers`.

use std::fmt;

use crate::Text;

/// Why a call did not succeed. What number the vendor gives it depends on the call: [`Family::code`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub enum ErrorKind {
    /// No more precise reason is known.
    Failure,
    /// An argument breaks the rules.
    InvalidArgument,
    /// The server rejected it.
    Rejected,
    /// No answer came in time.
    Timeout,
    /// The call was made more often than allowed.
    TooOften,
    /// The user is not logged in.
    NotLoggedIn,
    /// The App ID is not known to the server, or not served.
    InvalidAppId,
    /// The token is not valid for this user and project.
    InvalidToken,
    /// The token has run out.
    TokenExpired,
    /// The user may not do this.
    NotAuthorized,
    /// The user, its address or the project is banned.
    Banned,
    /// The client is logged in already, or logging in.
    AlreadyLogin,
    /// The user logged out before the call ended.
    AbortedByLogout,
    /// The gateway could not be reached.
    GatewayConnectFailed,
    /// The peer's id breaks the rules.
    InvalidUserId,
    /// The message is empty or too long.
    InvalidMessage,
    /// The receiver cannot take this kind of message.
    IncompatibleMessage,
    /// More users, channels or ids than allowed.
    ExceedLimit,
    /// The attributes would be too many or too large.
    SizeOverflow,
    /// The user whose attributes are asked for is not there.
    UserNotFound,
    /// The channel is joined already, or being joined.
    AlreadyJoined,
    /// Another handle of the client joined the channel.
    AlreadyJoinedSameId,
    /// The same channel was joined more often than allowed.
    SameChannelTooOften,
    /// The channel was left before joining ended.
    AbortedByLeave,
    /// The client is not in the channel.
    NotInChannel,
    /// The invitation was not sent yet.
    NotStarted,
    /// The invitation has ended.
    AlreadyEnd,
    /// The invitation is accepted already.
    AlreadyAccept,
    /// The invitation was sent already.
    AlreadySent,
    /// The connection was lost before the answer: the call may or may not have taken effect.
    OutcomeUnknown,
    /// The channel's attributes are not at the expected revision.
    RevisionConflict,
    /// This server or this wire does not have the call.
    Unsupported,
    /// The application's token provider failed.
    ProviderFailed,
    /// The client's task is gone: the runtime that it ran in was shut down, or the task panicked.
    ClientEnded,
}

/// The calls that share a list of error numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[non_exhaustive]
pub enum Family {
    /// `login`
    Login,
    /// `logout`
    Logout,
    /// `renew_token`
    RenewToken,
    /// `send_message_to_peer`
    PeerMessage,
    /// `query_peers_online_status`
    QueryPeersOnlineStatus,
    /// `subscribe_peers_online_status`, `unsubscribe_peers_online_status`
    PeerSubscription,
    /// `subscribed_peers`
    QueryPeersBySubscriptionOption,
    /// All calls on user and channel attributes.
    Attributes,
    /// `channel`
    CreateChannel,
    /// `join`
    JoinChannel,
    /// `leave`
    LeaveChannel,
    /// `send_message` of a channel
    ChannelMessage,
    /// `members`
    GetMembers,
    /// `channel_member_count`
    GetChannelMemberCount,
    /// The calls on invitations.
    Invitation,
    /// The history queries, which the vendor's SDK does not have.
    History,
}

impl Family {
    /// The vendor's number for `kind` in this family of calls, if it has one.
    #[must_use]
    pub fn code(self, kind: ErrorKind) -> Option<u16> {
        self.codes().iter().find(|(_, known)| *known == kind).map(|(code, _)| *code)
    }

    /// What the vendor's number `code` means in this family of calls.
    #[must_use]
    pub fn kind(self, code: u16) -> Option<ErrorKind> {
        self.codes().iter().find(|(known, _)| *known == code).map(|(_, kind)| *kind)
    }

    /// The family's numbers. Where two kinds share a number, the first is what the number means.
    #[must_use]
    pub fn codes(self) -> &'static [(u16, ErrorKind)] {
        use ErrorKind as E;
        match self {
            Self::Login => &[
                (1, E::Failure),
                (2, E::InvalidArgument),
                (3, E::InvalidAppId),
                (3, E::Banned),
                (4, E::InvalidToken),
                (5, E::TokenExpired),
                (6, E::NotAuthorized),
                (7, E::AlreadyLogin),
                (8, E::Timeout),
                (9, E::TooOften),
                (10, E::AbortedByLogout),
                (11, E::GatewayConnectFailed),
                (1, E::ProviderFailed),
            ],
            Self::Logout => &[(102, E::NotLoggedIn)],
            Self::RenewToken => &[
                (1, E::Failure),
                (2, E::InvalidArgument),
                (3, E::Rejected),
                (4, E::TooOften),
                (5, E::TokenExpired),
                (6, E::InvalidToken),
                (102, E::NotLoggedIn),
                (201, E::AbortedByLogout),
            ],
            Self::PeerMessage => &[
                (1, E::Failure),
                (2, E::Timeout),
                (5, E::TooOften),
                (6, E::InvalidUserId),
                (7, E::InvalidMessage),
                (8, E::IncompatibleMessage),
                (102, E::NotLoggedIn),
            ],
            Self::QueryPeersOnlineStatus => {
                &[(0, E::InvalidArgument), (1, E::Rejected), (2, E::Timeout), (3, E::TooOften), (102, E::NotLoggedIn)]
            }
            Self::PeerSubscription => &[
                (1, E::Failure),
                (2, E::InvalidArgument),
                (3, E::Rejected),
                (4, E::Timeout),
                (5, E::TooOften),
                (6, E::ExceedLimit),
                (102, E::NotLoggedIn),
            ],
            Self::QueryPeersBySubscriptionOption => {
                &[(1, E::Failure), (2, E::Timeout), (3, E::TooOften), (102, E::NotLoggedIn)]
            }
            Self::Attributes => &[
                (2, E::Failure),
                (3, E::InvalidArgument),
                (4, E::SizeOverflow),
                (5, E::TooOften),
                (6, E::UserNotFound),
                (7, E::Timeout),
                (102, E::NotLoggedIn),
            ],
            Self::CreateChannel => &[(1, E::InvalidArgument)],
            Self::JoinChannel => &[
                (1, E::Failure),
                (2, E::Rejected),
                (3, E::InvalidArgument),
                (4, E::Timeout),
                (5, E::ExceedLimit),
                (6, E::AlreadyJoined),
                (7, E::TooOften),
                (8, E::SameChannelTooOften),
                (102, E::NotLoggedIn),
                (210, E::AbortedByLeave),
                (211, E::AlreadyJoinedSameId),
            ],
            Self::LeaveChannel => &[(1, E::Failure), (2, E::Rejected), (3, E::NotInChannel), (102, E::NotLoggedIn)],
            Self::ChannelMessage => &[
                (1, E::Failure),
                (2, E::Timeout),
                (3, E::TooOften),
                (4, E::InvalidMessage),
                (5, E::NotInChannel),
                (102, E::NotLoggedIn),
            ],
            Self::GetMembers => &[
                (1, E::Failure),
                (2, E::Rejected),
                (3, E::Timeout),
                (4, E::TooOften),
                (5, E::NotInChannel),
                (6, E::NotLoggedIn),
            ],
            Self::GetChannelMemberCount => &[
                (1, E::Failure),
                (2, E::InvalidArgument),
                (3, E::TooOften),
                (4, E::Timeout),
                (5, E::ExceedLimit),
                (102, E::NotLoggedIn),
            ],
            Self::Invitation => &[
                (1, E::InvalidArgument),
                (2, E::NotStarted),
                (3, E::AlreadyEnd),
                (4, E::AlreadyAccept),
                (5, E::AlreadySent),
            ],
            Self::History => &[],
        }
    }
}

/// A server's "no" to a request: why, and a sentence that names what was wrong (possibly empty).
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Refusal {
    /// Why.
    pub kind: ErrorKind,
    /// What was wrong, for a person.
    pub detail: Text,
}

impl Refusal {
    /// The most bytes of a detail that goes over a wire.
    pub const DETAIL_BYTES: usize = 256;

    /// A refusal with a sentence for a person.
    #[must_use]
    pub fn new(kind: ErrorKind, detail: &str) -> Self {
        Self { kind, detail: Text::from(detail) }
    }
}

impl From<ErrorKind> for Refusal {
    fn from(kind: ErrorKind) -> Self {
        Self { kind, detail: Text::default() }
    }
}

impl fmt::Display for ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Failure => "the call failed",
            Self::InvalidArgument => "an argument is not valid",
            Self::Rejected => "the server rejected the call",
            Self::Timeout => "no answer in time",
            Self::TooOften => "limit reached",
            Self::NotLoggedIn => "the user is not logged in",
            Self::InvalidAppId => "this server does not know the App ID",
            Self::InvalidToken => "the token is not valid for this user and project",
            Self::TokenExpired => "the token has expired: get a new one",
            Self::NotAuthorized => "the user is not allowed to do this",
            Self::Banned => "the user, the address or the project is banned",
            Self::AlreadyLogin => "the client is logged in already: log out first",
            Self::AbortedByLogout => "the user logged out before the call ended",
            Self::GatewayConnectFailed => "cannot connect to the server",
            Self::InvalidUserId => "the peer's user id is not valid",
            Self::InvalidMessage => "the message is empty or too long",
            Self::IncompatibleMessage => "the receiver's client cannot receive this kind of message",
            Self::ExceedLimit => "more than the limit allows",
            Self::SizeOverflow => "the attributes would be too many or too large",
            Self::UserNotFound => "the user is not online",
            Self::AlreadyJoined => "the channel is joined already",
            Self::AlreadyJoinedSameId => "another handle of this client joined the channel",
            Self::SameChannelTooOften => "rate limit for joining the same channel reached",
            Self::AbortedByLeave => "the channel was left before the join ended",
            Self::NotInChannel => "the client is not in the channel: join it first",
            Self::NotStarted => "the invitation was not sent yet",
            Self::AlreadyEnd => "the invitation has ended",
            Self::AlreadyAccept => "the invitation is accepted already",
            Self::AlreadySent => "the invitation was sent already",
            Self::OutcomeUnknown => {
                "the connection was lost before the answer: the call may or may not have taken effect"
            }
            Self::RevisionConflict => "somebody else has changed the channel's attributes",
            Self::Unsupported => "this server or wire does not support the call",
            Self::ProviderFailed => "the token provider failed",
            Self::ClientEnded => "the client has ended",
        })
    }
}

/// Shows the detail: it is a sentence of the server's, and of no user.
impl fmt::Debug for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Refusal").field("kind", &self.kind).field("detail", &self.detail.as_str()).finish()
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.detail.is_empty() { self.kind.fmt(f) } else { write!(f, "{}: {}", self.kind, self.detail) }
    }
}

impl std::error::Error for Refusal {}
