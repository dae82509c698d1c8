//! The states of a connection and why it changes between them, in the vendor's words: `docs/rtm.md#connection-states`.

use std::fmt;

/// The state of a client's connection.
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
    /// Logged in, but the connection is lost. The client tries to reconnect until it succeeds, or until `logout`.
    Reconnecting,
    /// The server ended the session. The client does nothing before `logout` and the next `login`.
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

    /// Whether the user is logged in: `Connected` or `Reconnecting`.
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
    /// The server accepted the login, the first one or that of a reconnect.
    LoginSuccess,
    /// The server or the gateway refused the login.
    LoginFailure,
    /// The login did not end in time.
    LoginTimeout,
    /// The connection is lost.
    Interrupted,
    /// The user logged out.
    Logout,
    /// The user, the address or the project is banned, or the server does not have the project.
    BannedByServer,
    /// The same user logged in elsewhere.
    RemoteLogin,
    /// The token expired.
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
