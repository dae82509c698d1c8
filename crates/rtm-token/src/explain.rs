//! What a token says, without the judgement whether it holds.

use std::fmt;

use crate::{
    Certificate, Permission, Policy, Service, TokenError, Version, v006, v007,
    verify::{life_006, life_007},
};

/// What a token says about itself.
///
/// Nothing of it is proven until its signature was checked, and the names in a 007 token may hold any
/// characters, control characters too: escape them before a terminal sees them.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Explained {
    /// Its format.
    pub version: Version,
    /// The project it is for: 32 ASCII letters and digits.
    pub app_id: String,
    /// Whom it lets log in to RTM, as far as it tells.
    pub holder: Holder,
    /// The unix second of its issue. 006 does not say it: there it is 24 hours before the token's
    /// own end, as every published builder has it.
    pub issued_at: u64,
    /// The first unix second at which it no longer lets its holder log in, or which ends it if it
    /// never does; at most 24 hours after its issue.
    pub ends_at: u64,
    /// Whether it has the privilege to log in to RTM.
    pub grants_login: bool,
    /// What it allows, by service. 006 has one table for all services and does not name the
    /// channel or user of any.
    pub grants: Vec<Grant>,
    /// A service type of a 007 token that is not known here; it and what follows could not be read.
    pub unknown_service: Option<u16>,
    decoded: Decoded,
}

/// Whom a token lets log in to RTM.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Holder {
    /// The user that the token names (007).
    Uid(String),
    /// The token tells only the CRC-32 of the user id (006).
    Crc32(u32),
    /// It names no RTM user: it is a token for media or other services.
    Nobody,
}

/// What a token allows for one service.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Grant {
    /// The service.
    pub service: Service,
    /// The channel or room it is for, where the token names one.
    pub channel: Option<String>,
    /// The user it is for, where the token names one; empty for a media user with the number 0.
    pub user: Option<String>,
    /// The role, in a token for APaaS.
    pub role: Option<i16>,
    /// What the user may do, by ascending number.
    pub privileges: Vec<Privilege>,
    /// On what the user may do it, in a token for RTM2.
    pub permissions: Vec<Permission>,
}

/// One thing that a token allows.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Privilege {
    /// Its number in the token.
    pub number: u16,
    /// The vendor's name for it, if it has one.
    pub name: Option<&'static str>,
    /// The unix second at which it says to end, before the ends of the token itself are taken into
    /// account; `None` if it has no end of its own.
    pub ends_at: Option<u64>,
}

/// Whether a signature holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Signature {
    /// The certificate made this token.
    Holds,
    /// The certificate did not make it, or not for this user, or it was changed since.
    Fails,
    /// The user id is part of what is signed but not of the token (006), so it must be given.
    NeedsUid,
}

/// Decodes `token` without checking its signature, its holder or the time.
///
/// ```
/// use rtm_token::{Certificate, Holder, Signature, explain};
///
/// let token = "006970CA35de60c44645bbae8a215061b33IAAsR0qgiCxv0vrpRcpkz5BrbfEWCBZ6kvR6t7qG/w\
///              JIQob86ogAAAAAEAABAAAAR/QQAAEA6AOvKDdW";
/// let explained = explain(token)?;
/// assert_eq!(explained.holder, Holder::Crc32(0x88ea_fc86));
/// assert!(explained.holder.may_be("test_user"));
///
/// let certificate: Certificate = "5CFd2fd1755d40ecb72977518be15d3b".parse()?;
/// assert_eq!(explained.signature(&certificate, None), Signature::NeedsUid);
/// assert_eq!(explained.signature(&certificate, Some("test_user")), Signature::Holds);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// If it is not a token, or one with a broken content.
pub fn explain(token: &str) -> Result<Explained, TokenError> {
    let (version, body) = Version::split(token)?;
    match version {
        Version::V006 => explain_006(v006::Token::parse(body)?),
        Version::V007 => explain_007(v007::Token::parse(body)?),
    }
}

fn explain_006(token: v006::Token) -> Result<Explained, TokenError> {
    let message = token.message()?;
    let login_ends_at = message.login_ends_at(true);
    let mut grants: Vec<Grant> = Vec::new();
    for (&number, &ends_at) in &message.privileges {
        let (service, name) = privilege_006(number);
        let privilege = Privilege { number, name, ends_at: (ends_at != 0).then_some(ends_at.into()) };
        match grants.iter_mut().find(|grant| grant.service == service) {
            Some(grant) => grant.privileges.push(privilege),
            None => grants.push(Grant {
                service,
                channel: None,
                user: None,
                role: None,
                privileges: vec![privilege],
                permissions: Vec::new(),
            }),
        }
    }
    Ok(Explained {
        version: Version::V006,
        app_id: token.app_id.clone(),
        holder: token.uid_crc32().map_or(Holder::Nobody, Holder::Crc32),
        issued_at: message.issued_at(),
        ends_at: login_ends_at.unwrap_or_else(|| message.ends_at.into()),
        grants_login: login_ends_at.is_some(),
        grants,
        unknown_service: None,
        decoded: Decoded::V006(token),
    })
}

fn explain_007(token: v007::Token) -> Result<Explained, TokenError> {
    let services = token.services()?;
    let rtm_user = services.rtm_user();
    let login_ttl = rtm_user.and_then(|uid| services.login_ttl(uid).ok());
    let ends_at = token.ends_at(login_ttl.unwrap_or(u32::MAX));
    let holder = rtm_user.map_or(Holder::Nobody, |uid| Holder::Uid(uid.to_owned()));
    let issued_at = u64::from(token.issued_at);
    let grants = services
        .blocks
        .into_iter()
        .map(|block| Grant {
            service: block.service,
            channel: block.channel,
            user: block.user,
            role: block.role,
            privileges: block
                .privileges
                .into_iter()
                .map(|(number, ttl)| Privilege {
                    number,
                    name: privilege_007(block.service, number),
                    ends_at: Some(issued_at + u64::from(ttl)),
                })
                .collect(),
            permissions: block.permissions,
        })
        .collect();
    Ok(Explained {
        version: Version::V007,
        app_id: token.app_id.clone(),
        holder,
        issued_at,
        ends_at,
        grants_login: login_ttl.is_some(),
        grants,
        unknown_service: services.unknown,
        decoded: Decoded::V007(token),
    })
}

impl Explained {
    /// Whether `certificate` signed the token.
    ///
    /// A 006 token is signed together with its user id without naming it, so `uid` says for whom to
    /// try. The signature of a 007 token covers the name in it, and `uid` is not looked at.
    pub fn signature(&self, certificate: &Certificate, uid: Option<&str>) -> Signature {
        let holds = match (&self.decoded, uid) {
            (Decoded::V006(_), None) => return Signature::NeedsUid,
            (Decoded::V006(token), Some(uid)) => token.is_signed_by(certificate, uid),
            (Decoded::V007(token), _) => token.is_signed_by(certificate),
        };
        if holds { Signature::Holds } else { Signature::Fails }
    }

    /// The first fault for which a server would refuse `uid` with this token, whoever signed it: what can be said
    /// without a certificate. `Ok` is not enough to let anybody in: [`verify`](crate::verify()) decides that.
    ///
    /// # Errors
    ///
    /// With that fault.
    pub fn check_claims(&self, uid: &str, now: u64, policy: &Policy) -> Result<(), TokenError> {
        match &self.decoded {
            _ if uid.is_empty() => Err(TokenError::EmptyUid),
            Decoded::V006(token) if !token.may_be_for(uid) => Err(TokenError::AnotherUser),
            Decoded::V006(token) => life_006(token, now, policy).map(drop),
            Decoded::V007(token) => life_007(token, uid, now, policy).map(drop),
        }
    }

    /// The users that the token names as those it lets log in to RTM (007); each of them may.
    pub fn users(&self) -> impl Iterator<Item = &str> {
        self.grants.iter().filter_map(|grant| {
            let is_login = |privilege: &Privilege| privilege.number == v007::LOGIN;
            let is_rtm = matches!(grant.service, Service::Rtm | Service::Rtm2);
            grant.user.as_deref().filter(|_| is_rtm && grant.privileges.iter().any(is_login))
        })
    }
}

impl Holder {
    /// Whether `uid` can be whom the token is for: for certain where it names its user; a CRC-32
    /// fits another user id once in four thousand million.
    pub fn may_be(&self, uid: &str) -> bool {
        match self {
            Self::Uid(named) => named == uid,
            Self::Crc32(crc) => *crc == crc32fast::hash(uid.as_bytes()),
            Self::Nobody => false,
        }
    }
}

/// What a token was decoded to, for checking its signature later.
#[derive(Clone)]
enum Decoded {
    V006(v006::Token),
    V007(v007::Token),
}

impl fmt::Debug for Decoded {
    /// Signature and signed bytes together are the token again, so they are not shown.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redacted>")
    }
}

/// The service and name of a privilege in 006's one table.
const fn privilege_006(number: u16) -> (Service, Option<&'static str>) {
    let name = match number {
        v006::LOGIN => return (Service::Rtm, Some("RtmLogin")),
        1 => "JoinChannel",
        2 => "PublishAudioStream",
        3 => "PublishVideoStream",
        4 => "PublishDataStream",
        5 => "PublishAudioCdn",
        6 => "PublishVideoCdn",
        7 => "RequestPublishAudioStream",
        8 => "RequestPublishVideoStream",
        9 => "RequestPublishDataStream",
        10 => "InvitePublishAudioStream",
        11 => "InvitePublishVideoStream",
        12 => "InvitePublishDataStream",
        101 => "AdministrateChannel",
        _ => return (Service::Rtc, None),
    };
    (Service::Rtc, Some(name))
}

const fn privilege_007(service: Service, number: u16) -> Option<&'static str> {
    Some(match (service, number) {
        (Service::Rtc, 1) => "JoinChannel",
        (Service::Rtc, 2) => "PublishAudioStream",
        (Service::Rtc, 3) => "PublishVideoStream",
        (Service::Rtc, 4) => "PublishDataStream",
        (Service::Rtm | Service::Rtm2, v007::LOGIN) | (Service::Fpa, 1) => "Login",
        (Service::Streaming, 1) => "PublishMixStream",
        (Service::Streaming, 2) => "PublishRawStream",
        (Service::Chat, 1) => "User",
        (Service::Chat, 2) => "App",
        (Service::Fcdn, 1) => "Publish",
        (Service::Fcdn, 2) => "Play",
        (Service::Apaas, 1) => "RoomUser",
        (Service::Apaas, 2) => "User",
        (Service::Apaas, 3) => "App",
        _ => return None,
    })
}
