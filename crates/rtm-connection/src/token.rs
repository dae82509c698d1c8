//! The life of the access token of a session, and how a new one is had.

use std::{
    collections::BTreeSet,
    mem,
    time::{Duration, Instant},
};

use rtm_codec::{ErrorKind, RequestId, Token};

use crate::rng::Rng;

/// What is known of the token in use.
#[derive(Debug, Default)]
pub(crate) struct TokenState {
    /// The last renewal that has no answer yet.
    pub(crate) renewing: Option<RequestId>,
    /// The renewals with a token of the provider: nobody else hears of them.
    pub(crate) provided: BTreeSet<RequestId>,
    /// The last token that the server said it takes, unless it has refused that since.
    pub(crate) taken: Option<Token>,
    /// Why the token in use lets nobody in any more, or why there is no better one.
    pub(crate) fault: Option<ErrorKind>,
    /// When the token in use is tried again in spite of that.
    pub(crate) again_at: Option<Instant>,
    pub(crate) supply: Supply,
    /// When the token ends, where the server told.
    expires_at: Option<Instant>,
    /// The token that the user was told ends soon.
    warned_of: Option<Token>,
    /// The user was told that it ended.
    expired: bool,
    /// How many tokens in a row the server did not take.
    refusals: u32,
    /// How often in a row the provider gave none.
    failures: u32,
}

/// Whether the user's token provider is at work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Supply {
    #[default]
    Idle,
    /// It is asked, and has until then.
    Asked { until: Instant },
    /// It is asked then.
    Waiting { until: Instant },
}

impl TokenState {
    /// The server took the login with the token that it `presented`.
    pub(crate) fn accepted(&mut self, now: Instant, presented: Option<Token>, expires_in: Option<Duration>) {
        let is_known = self.taken.is_some() && self.taken == presented;
        self.taken = presented;
        self.expires_at = expires_in.and_then(|left| now.checked_add(left));
        self.expired = false;
        self.fault = None;
        self.again_at = None;
        self.refusals = 0;
        self.failures = 0;
        // Whoever was asked for a better one than this is asked again when its pause is over.
        if !is_known && !self.is_asked() {
            self.supply = Supply::Idle;
        }
    }

    /// The server was given a renewed token, and does not say how long it is good.
    pub(crate) fn renewed(&mut self) {
        let Self { provided, taken, warned_of, .. } = mem::take(self);
        *self = Self { provided, taken, warned_of, ..Self::default() };
    }

    /// The server does not take this token any more.
    pub(crate) fn not_taken(&mut self, token: Option<&Token>) {
        if self.taken.as_ref() == token {
            self.taken = None;
        }
    }

    /// A new token is there to try. When it ends is not known.
    pub(crate) fn replaced(&mut self) {
        self.expires_at = None;
        self.expired = false;
        self.fault = None;
        self.again_at = None;
        self.supply = Supply::Idle;
    }

    /// Whether the user is to be told, now, that this token ends soon: once for each.
    pub(crate) fn warn(&mut self, token: Option<Token>) -> bool {
        let is_told = token.is_some() && self.warned_of == token;
        self.warned_of = token;
        !is_told
    }

    /// Whether the user is to be told, now, that the token ended.
    pub(crate) fn expire(&mut self) -> bool {
        !mem::replace(&mut self.expired, true)
    }

    /// Whether the provider is at work on a new one.
    pub(crate) fn is_asked(&self) -> bool {
        matches!(self.supply, Supply::Asked { .. })
    }

    /// When the time of [`supply`](Self::supply) is over.
    pub(crate) fn supply_at(&self) -> Option<Instant> {
        match self.supply {
            Supply::Idle => None,
            Supply::Asked { until } | Supply::Waiting { until } => Some(until),
        }
    }

    /// How long to leave the server alone after it refused a token. Refusals count against the whole address there.
    pub(crate) fn after_refusal(&mut self, rng: &mut Rng) -> Duration {
        let longest = REFUSED.saturating_mul(1 << self.refusals.saturating_sub(1).min(16)).min(REFUSED_LONGEST);
        about(longest, rng)
    }

    /// Counts a token that the server did not take. Says whether it was the first in a row.
    pub(crate) fn refused(&mut self) -> bool {
        self.refusals = self.refusals.saturating_add(1);
        self.refusals == 1
    }

    /// Counts a call of the provider that gave no token, and says how long to leave it alone.
    pub(crate) fn provider_failed(&mut self, rng: &mut Rng) -> Duration {
        let longest = FAILED.saturating_mul(1 << self.failures.min(16)).min(FAILED_LONGEST);
        self.failures = self.failures.saturating_add(1);
        about(longest, rng)
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

/// Half of `longest` to all of it, so that many clients do not come together.
fn about(longest: Duration, rng: &mut Rng) -> Duration {
    longest / 2 + rng.up_to(longest / 2)
}

/// How long before its end a token is to be renewed.
const WARNING: Duration = Duration::from_secs(30);

/// The longest pause after the first token that is not taken, and after any later one. A server locks an address out
/// after 120 refusals within a minute: thirty clients behind one address stay below that.
const REFUSED: Duration = Duration::from_secs(20);
const REFUSED_LONGEST: Duration = Duration::from_secs(300);

/// The longest pause after the first failure of the provider, and after any later one.
const FAILED: Duration = Duration::from_secs(1);
const FAILED_LONGEST: Duration = Duration::from_secs(120);
