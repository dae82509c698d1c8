//! Who may log in, and the secrets that the core makes.

use std::time::{Duration, Instant};

use hmac::{Hmac, KeyInit, Mac};
use rtm_codec::{ErrorKind, Refusal, SessionId, Token, UserId};
use rtm_token::TokenErrorKind;
use sha2::Sha256;

use super::{Core, Now, ProjectConfig};

/// Numbers that nobody can guess who does not know the seed.
pub(super) struct Secrets {
    seed: [u8; 32],
    made: u64,
}

impl Secrets {
    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { seed, made: 0 }
    }

    pub(super) fn next(&mut self) -> [u8; 16] {
        self.made += 1;
        self.at(self.made)
    }

    /// A number that is none of those that come one after the other.
    pub(super) fn first_message(&self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.at(u64::MAX);
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    fn at(&self, place: u64) -> [u8; 16] {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.seed).expect("HMAC takes keys of any length");
        mac.update(&place.to_le_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        let mut secret = [0; 16];
        secret.copy_from_slice(&bytes[..16]);
        secret
    }

    pub(super) fn number(&mut self) -> u64 {
        let [a, b, c, d, e, f, g, h, ..] = self.next();
        u64::from_le_bytes([a, b, c, d, e, f, g, h])
    }

    pub(super) fn session_id(&mut self) -> SessionId {
        SessionId(self.next())
    }

    /// 32 hexadecimal digits.
    pub(super) fn text(&mut self) -> String {
        self.next().iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

/// When a token ends, on the clock of people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenLife {
    pub(super) issued_at_ms: u64,
    pub(super) warn_at_ms: u64,
    pub(super) ends_at_ms: u64,
}

/// When a token ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TokenClock {
    /// When to warn; `None` once it is done.
    pub(super) warn_at: Option<Instant>,
    pub(super) ends_at: Instant,
    /// When it was issued, in milliseconds since the Unix epoch; 0 if that is not known.
    pub(super) issued_at_ms: u64,
}

impl TokenLife {
    /// Of a token that is over.
    pub(super) const OVER: Self = Self { issued_at_ms: 0, warn_at_ms: 0, ends_at_ms: 0 };

    pub(super) fn is_over(self, now: Now) -> bool {
        self.ends_at_ms <= now.unix_ms
    }

    /// The same on the clock of durations.
    pub(super) fn clock(self, now: Now) -> TokenClock {
        let at = |unix_ms: u64| now.instant + Duration::from_millis(unix_ms.saturating_sub(now.unix_ms));
        TokenClock { warn_at: Some(at(self.warn_at_ms)), ends_at: at(self.ends_at_ms), issued_at_ms: self.issued_at_ms }
    }
}

/// Whether a token lets a user in, and until when; `None` where the project asks for none.
fn authenticate(
    config: &ProjectConfig,
    now: Now,
    user_id: &UserId,
    token: Option<&Token>,
) -> Result<Option<TokenLife>, Refusal> {
    if config.certificates.is_empty() {
        return Ok(None);
    }
    let token = token.ok_or_else(|| Refusal::new(ErrorKind::InvalidToken, "this project needs a token"))?;
    let verified = rtm_token::verify(
        token.expose(),
        config.app_id.as_str(),
        &config.certificates,
        user_id.as_str(),
        now.unix_ms / 1000,
        &config.token_policy,
    )
    .map_err(|error| {
        let kind = match error.kind() {
            TokenErrorKind::Expired => ErrorKind::TokenExpired,
            _ => ErrorKind::InvalidToken,
        };
        Refusal::new(kind, &error.to_string())
    })?;
    let ends_at_ms = verified.ends_at.saturating_mul(1000);
    let issued_at_ms = verified.issued_at.saturating_mul(1000);
    let life_ms = ends_at_ms.saturating_sub(issued_at_ms);
    let warning = config.settings.token_warning.as_millis().try_into().unwrap_or(u64::MAX);
    let warning = if life_ms < warning.saturating_mul(2) { life_ms / 2 } else { warning };
    Ok(Some(TokenLife { issued_at_ms, warn_at_ms: ends_at_ms.saturating_sub(warning), ends_at_ms }))
}

impl Core {
    /// Whether a token lets a user in, and until when; `None` where the project asks for none. One that was revoked counts as
    /// one that has ended: its client is to get another one.
    pub(super) fn authenticate(
        &self,
        now: Now,
        user_id: &UserId,
        token: Option<&Token>,
    ) -> Result<Option<TokenLife>, Refusal> {
        let life = authenticate(&self.config, now, user_id, token)?;
        if life.is_some_and(|life| life.issued_at_ms < self.restrictions.tokens_from(user_id)) {
            return Err(Refusal::new(ErrorKind::TokenExpired, "the token was revoked"));
        }
        Ok(life)
    }
}

/// Whether two texts are equal, in a time that does not tell where they differ.
pub(super) fn is_same_secret(one: &str, other: &str) -> bool {
    one.len() == other.len() && one.bytes().zip(other.bytes()).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}
