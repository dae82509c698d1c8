//! The decision whether a token lets a user log in.

use std::time::Duration;

use crate::{Certificate, MAX_TTL_SECONDS, TokenError, Version, v006, v007};

/// What of a token's rules a server may choose. [`Policy::new`] has the usual ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    honour_privilege_expiry: bool,
    clock_tolerance: Duration,
}

/// A token that holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Verified {
    /// The token's format.
    pub version: Version,
    /// The unix second of its issue. 006 does not say it: there it is 24 hours before the token's
    /// own end, as every published builder has it.
    pub issued_at: u64,
    /// The first unix second at which it is no longer valid: the earliest of all its clocks, and at
    /// most 24 hours after its issue.
    pub ends_at: u64,
    /// Which of the given certificates signed it. While certificates rotate this shows who still
    /// uses the old one.
    pub certificate_index: usize,
}

impl Policy {
    /// Honours the login privilege's own expiry, and tolerates clocks that differ by five minutes.
    pub const fn new() -> Self {
        Self { honour_privilege_expiry: true, clock_tolerance: Duration::from_secs(300) }
    }

    /// Whether a 006 token ends when its login privilege does (the default), or always 24 hours
    /// after its issue, which is how the vendor described 006 in 2021 (`docs/rtm.md#tokens`). A token
    /// without that privilege is refused either way, and the privilege of a 007 token always counts.
    #[must_use]
    pub const fn honour_privilege_expiry(mut self, honour: bool) -> Self {
        self.honour_privilege_expiry = honour;
        self
    }

    /// Whether it does: [`honour_privilege_expiry`](Self::honour_privilege_expiry).
    #[must_use]
    pub const fn honours_privilege_expiry(&self) -> bool {
        self.honour_privilege_expiry
    }

    /// How far the issuer's clock may be ahead of the server's, in whole seconds; 5 minutes by
    /// default. It never prolongs a token: an expired one is expired at once.
    #[must_use]
    pub const fn clock_tolerance(mut self, tolerance: Duration) -> Self {
        self.clock_tolerance = tolerance;
        self
    }

    /// The latest unix second at which a token may be issued.
    fn newest_issue(&self, now: u64) -> u64 {
        now.saturating_add(self.clock_tolerance.as_secs())
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self::new()
    }
}

/// Decides whether `token` lets the user `uid` log in to the project `app_id` at the unix second
/// `now`.
///
/// The token must be signed by one of `certificates`: one, or two while the new one replaces the old
/// one. With none, every token is refused; a project without a certificate does not ask for tokens.
///
/// # Errors
///
/// The first fault of the token, in this order: format, App ID, signature, user, privilege, validity of more than 24 h or an
/// issue in the future, expiry. [`TokenError::kind`] groups them as the vendor's codes do. So
/// [`Expired`](crate::TokenErrorKind::Expired) means that the token is signed for this user and right in everything else.
pub fn verify(
    token: &str,
    app_id: &str,
    certificates: &[Certificate],
    uid: &str,
    now: u64,
    policy: &Policy,
) -> Result<Verified, TokenError> {
    if uid.is_empty() {
        return Err(TokenError::EmptyUid);
    }
    let (version, body) = Version::split(token)?;
    let (certificate_index, life) = match version {
        Version::V006 => {
            let token = v006::Token::parse(body)?;
            check_app_id(&token.app_id, app_id)?;
            let signer = certificates.iter().position(|one| token.is_signed_by(one, uid));
            let certificate_index = match signer {
                // The checksums tell in whose name the signature would have to be tried.
                None if !token.may_be_for(uid) => return Err(TokenError::AnotherUser),
                None => return Err(TokenError::WrongSignature),
                Some(_) if !token.may_be_for(uid) => return Err(TokenError::WrongChecksum),
                Some(index) => index,
            };
            (certificate_index, life_006(&token, now, policy)?)
        }
        Version::V007 => {
            let token = v007::Token::parse(body)?;
            check_app_id(&token.app_id, app_id)?;
            let certificate_index =
                certificates.iter().position(|one| token.is_signed_by(one)).ok_or(TokenError::WrongSignature)?;
            (certificate_index, life_007(&token, uid, now, policy)?)
        }
    };
    let Life { issued_at, ends_at } = life;
    Ok(Verified { version, issued_at, ends_at, certificate_index })
}

/// From when and until when a token lets its user log in.
#[derive(Clone, Copy)]
pub(crate) struct Life {
    issued_at: u64,
    ends_at: u64,
}

/// The life of a 006 token that is in order, but for its signature.
pub(crate) fn life_006(token: &v006::Token, now: u64, policy: &Policy) -> Result<Life, TokenError> {
    let message = token.message()?;
    let ends_at = message.login_ends_at(policy.honour_privilege_expiry).ok_or(TokenError::NoLoginPrivilege)?;
    let own_end = u64::from(message.ends_at);
    if own_end > policy.newest_issue(now).saturating_add(MAX_TTL_SECONDS.into()) {
        return Err(TokenError::LivesTooLong { ends_at: own_end });
    }
    Life { issued_at: message.issued_at(), ends_at }.at(now)
}

/// The life of a 007 token that is in order, but for its signature.
pub(crate) fn life_007(token: &v007::Token, uid: &str, now: u64, policy: &Policy) -> Result<Life, TokenError> {
    let ends_at = token.ends_at(token.services()?.login_ttl(uid)?);
    let issued_at = u64::from(token.issued_at);
    if issued_at > policy.newest_issue(now) {
        return Err(TokenError::IssuedInFuture { issued_at });
    }
    Life { issued_at, ends_at }.at(now)
}

impl Life {
    fn at(self, now: u64) -> Result<Self, TokenError> {
        if now < self.ends_at { Ok(self) } else { Err(TokenError::Expired { ended_at: self.ends_at }) }
    }
}

fn check_app_id(found: &str, expected: &str) -> Result<(), TokenError> {
    if found == expected { Ok(()) } else { Err(TokenError::OtherAppId) }
}
