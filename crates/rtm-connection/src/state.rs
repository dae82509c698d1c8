//! The states of a connection and why it changes between them, in the vendor's words: `docs/rtm.md#connection-states`.

use std::fmt;

/// Where a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum ConnectionState {
    /// Not logged in. The first state.
    Disconnected,
    /// Logging in.
    Connecting,
    /// Logged in.
    Connected,
    /// Logged in, and the link is lost: the connection tries to come back until it does, or until `logout`.
    Reconnecting,
    /// The server ended the session for good: `logout`, then `login` again.
    Aborted,
}

impl ConnectionState {
    /// The vendor's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Disconnected => "DISCONNECTED",
            Self::Connecting => "CONNECTING",
            Self::Connected => "CONNECTED",
            Self::Reconnecting => "RECONNECTING",
            Self::Aborted => "ABORTED",
        }
    }

    /// Whether calls that need a login are taken: logged in, with or without a link at the moment.
    #[must_use]
    pub fn is_logged_in(self) -> bool {
        matches!(self, Self::Connected | Self::Reconnecting)
    }
}

impl fmt::Display for ConnectionState {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a connection changed its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "SCREAMING_SNAKE_CASE"))]
#[non_exhaustive]
pub enum ConnectionChangeReason {
    /// The user logs in.
    Login,
    /// The server took the login, the first one or that of a reconnect.
    LoginSuccess,
    /// The server or the gateway refused the login.
    LoginFailure,
    /// The login did not end in time.
    LoginTimeout,
    /// The link is lost.
    Interrupted,
    /// The user logged out.
    Logout,
    /// The user, its address or the project is banned, or the project is not served.
    BannedByServer,
    /// The same user logged in elsewhere.
    RemoteLogin,
    /// The token ran out.
    TokenExpired,
}

impl ConnectionChangeReason {
    /// The vendor's spelling.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Login => "LOGIN",
            Self::LoginSuccess => "LOGIN_SUCCESS",
            Self::LoginFailure => "LOGIN_FAILURE",
            Self::LoginTimeout => "LOGIN_TIMEOUT",
            Self::Interrupted => "INTERRUPTED",
            Self::Logout => "LOGOUT",
            Self::BannedByServer => "BANNED_BY_SERVER",
            Self::RemoteLogin => "REMOTE_LOGIN",
            Self::TokenExpired => "TOKEN_EXPIRED",
        }
    }
}

impl fmt::Display for ConnectionChangeReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}
