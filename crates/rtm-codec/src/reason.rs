//! Why a session, a connection or an invitation ended: `docs/rtm.md#close-codes`, `docs/rtm.md#invitations`.

use std::fmt;

/// Why the server closes a connection, and so whether the client may come back.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum CloseReason {
    /// The client logged out.
    Logout,
    /// The user logged in elsewhere.
    RemoteLogin,
    /// The token ran out.
    TokenExpired,
    /// The server banned the user.
    Banned,
    /// The server goes down or sends its clients elsewhere.
    Draining,
    /// The same client came back on another connection.
    Replaced,
    /// Nothing was heard from the client for too long.
    KeepAliveTimeout,
    /// No login came in time.
    LoginTimeout,
    /// The client read too slowly, and what waits for it went over its limit.
    SlowConsumer,
    /// The client sent what is not the protocol.
    ProtocolError,
    /// The server failed.
    Internal,
}

impl CloseReason {
    /// Every reason.
    pub const ALL: [Self; 11] = [
        Self::Logout,
        Self::RemoteLogin,
        Self::TokenExpired,
        Self::Banned,
        Self::Draining,
        Self::Replaced,
        Self::KeepAliveTimeout,
        Self::LoginTimeout,
        Self::SlowConsumer,
        Self::ProtocolError,
        Self::Internal,
    ];

    /// The WebSocket close code. Never 1000 or 1005 for a client that should come back: the vendor's
    /// SDK takes these for its own leaving.
    #[must_use]
    pub fn websocket_code(self) -> u16 {
        match self {
            Self::Logout => 1000,
            Self::Draining => 1012,
            Self::ProtocolError => 1002,
            Self::Internal => 1011,
            Self::RemoteLogin => 4001,
            Self::TokenExpired => 4002,
            Self::Banned => 4003,
            Self::Replaced => 4004,
            Self::KeepAliveTimeout => 4005,
            Self::LoginTimeout => 4006,
            Self::SlowConsumer => 4007,
        }
    }

    /// The reason that a WebSocket close code stands for, if it is one of ours.
    #[must_use]
    pub fn from_websocket_code(code: u16) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.websocket_code() == code)
    }

    /// Whether the client may connect again by itself.
    #[must_use]
    pub fn can_reconnect(self) -> bool {
        match self {
            Self::Logout | Self::RemoteLogin | Self::TokenExpired | Self::Banned | Self::Replaced => false,
            Self::Draining
            | Self::KeepAliveTimeout
            | Self::LoginTimeout
            | Self::SlowConsumer
            | Self::ProtocolError
            | Self::Internal => true,
        }
    }

    /// Its name, in small letters.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Logout => "logout",
            Self::RemoteLogin => "remote_login",
            Self::TokenExpired => "token_expired",
            Self::Banned => "banned",
            Self::Draining => "draining",
            Self::Replaced => "replaced",
            Self::KeepAliveTimeout => "keep_alive_timeout",
            Self::LoginTimeout => "login_timeout",
            Self::SlowConsumer => "slow_consumer",
            Self::ProtocolError => "protocol_error",
            Self::Internal => "internal",
        }
    }

    /// A sentence for the close frame and for logs.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Logout => "logged out",
            Self::RemoteLogin => "the user logged in elsewhere",
            Self::TokenExpired => "the token expired",
            Self::Banned => "the user is banned",
            Self::Draining => "the server is shutting down",
            Self::Replaced => "the client came back on another connection",
            Self::KeepAliveTimeout => "nothing was heard from the client",
            Self::LoginTimeout => "no login came in time",
            Self::SlowConsumer => "the client reads too slowly",
            Self::ProtocolError => "the client broke the protocol",
            Self::Internal => "the server failed",
        }
    }
}

/// Why a call invitation failed for its caller.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum LocalInvitationFailureReason {
    /// The callee was offline for 30 s, or went away.
    PeerOffline,
    /// The callee was online but did not acknowledge within 30 s.
    PeerNoResponse,
    /// Nobody accepted or refused within 60 s.
    InvitationExpire,
    /// The caller was not logged in (any more).
    #[cfg_attr(feature = "serde", serde(rename = "NOT_LOGGEDIN"))]
    NotLoggedIn,
}

impl fmt::Display for LocalInvitationFailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerOffline => "the callee is offline",
            Self::PeerNoResponse => "the callee's device does not answer",
            Self::InvitationExpire => "nobody answered in time",
            Self::NotLoggedIn => "the caller is not logged in",
        })
    }
}

/// Why a call invitation failed for its callee.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum RemoteInvitationFailureReason {
    /// The caller went away.
    PeerOffline,
    /// Accepting was not confirmed within 5 s.
    AcceptFailure,
    /// Nobody accepted or refused within 60 s.
    InvitationExpire,
}

impl fmt::Display for RemoteInvitationFailureReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::PeerOffline => "the caller is gone",
            Self::AcceptFailure => "accepting was not confirmed",
            Self::InvitationExpire => "it was not answered in time",
        })
    }
}
