//! The life of the access token of a session.

use std::time::{Duration, Instant};

use rtm_codec::{RequestId, Token};

/// What is known of the token in use.
#[derive(Debug, Default)]
pub(crate) struct TokenState {
    /// The last renewal that has no answer yet.
    pub(crate) renewing: Option<RequestId>,
    /// The last token that the server took, while a newer one is in use that it has not confirmed.
    pub(crate) fallback: Option<Token>,
    /// When the token ends, where the server told.
    expires_at: Option<Instant>,
    /// The user was told that it ends soon.
    warned: bool,
    /// The user was told that it ended.
    expired: bool,
}

impl TokenState {
    /// The server took the login with the token in use.
    pub(crate) fn accepted(&mut self, now: Instant, expires_in: Option<Duration>) {
        self.expires_at = expires_in.and_then(|left| now.checked_add(left));
        self.warned = false;
        self.expired = false;
    }

    /// The server took a renewed token, and does not say how long it is good.
    pub(crate) fn renewed(&mut self) {
        *self = Self::default();
    }

    /// A new token is there to try.
    pub(crate) fn replaced(&mut self) {
        self.expired = false;
    }

    /// Whether the user is to be told, now, that the token ends soon.
    pub(crate) fn warn(&mut self) -> bool {
        !std::mem::replace(&mut self.warned, true)
    }

    /// Whether the user is to be told, now, that the token ended.
    pub(crate) fn expire(&mut self) -> bool {
        !std::mem::replace(&mut self.expired, true)
    }

    pub(crate) fn is_expired(&self) -> bool {
        self.expired
    }

    /// Whether the token ends within [`WARNING`].
    pub(crate) fn ends_soon(&self, now: Instant) -> bool {
        self.expires_at.is_some_and(|at| at.saturating_duration_since(now) < WARNING)
    }

    /// When the user is to be told that it ended, if nobody else will.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        if self.expired || self.renewing.is_some() { None } else { self.expires_at }
    }
}

/// How long before its end a token is to be renewed.
const WARNING: Duration = Duration::from_secs(30);
