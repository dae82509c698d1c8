//! `rtm token explain`: shows the content of a token, and whether a server would accept it.

use std::{
    io::Read as _,
    time::{Duration, UNIX_EPOCH},
};

use anyhow::Context as _;
use rtm_codec::{AppId, UserId};
use rtm_token::{Certificate, Explained, Grant, Holder, Permission, Policy, Signature, TokenError, Version, verify};
use serde_json::{Value, json};

use crate::output;

/// Show the content of a token, and whether a server would accept it now.
///
/// The exit status is 1 if a server would refuse the token. Without the certificate (and for a 006 token without the user)
/// the verdict can be undecided, with status 0.
#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Token; - reads it from standard input.
    #[arg(env = "RTM_TOKEN", hide_env_values = true)]
    token: String,
    /// Certificate of the project, to check the signature. Can be used twice, for a project that replaces its certificate.
    #[arg(long, value_name = "CERT", env = "RTM_CERTIFICATE", hide_env_values = true)]
    certificate: Vec<Certificate>,
    /// User who wants to log in. A 006 token does not contain its user id, but the signature depends on it.
    #[arg(long, env = "RTM_UID")]
    uid: Option<String>,
    /// App ID of the project [default: the one in the token].
    #[arg(long, value_name = "APPID", env = "RTM_APP_ID")]
    app_id: Option<AppId>,
    /// Print one line of JSON.
    #[arg(long)]
    json: bool,
}

/// What a server would decide.
enum Verdict {
    /// These users may log in.
    Valid(Vec<String>),
    Refused(String),
    /// Why this cannot be decided.
    Undecided(&'static str),
}

pub(super) fn run(args: &Args, now: u64) -> anyhow::Result<()> {
    let token = match args.token.as_str() {
        "-" => {
            let mut text = String::new();
            let limit = rtm_token::MAX_TOKEN_LENGTH as u64 + 2;
            std::io::stdin().take(limit).read_to_string(&mut text).context("cannot read standard input")?;
            text.trim().to_owned()
        }
        token => token.to_owned(),
    };
    let explained = rtm_token::explain(&token);
    let verdict = match &explained {
        Ok(explained) => args.verdict(&token, explained, now),
        Err(error) => Verdict::Refused(error.to_string()),
    };
    let text = if args.json {
        let mut json = explained.as_ref().map_or_else(|_| json!({}), |explained| args.json(explained));
        verdict.add_to(&mut json);
        format!("{json}\n")
    } else {
        let text = explained.as_ref().map(|explained| args.text(explained, now)).unwrap_or_default();
        format!("{text}{}", line("verdict", &verdict.text()))
    };
    output::text(&text)?;
    match verdict {
        Verdict::Refused(why) => Err(anyhow::anyhow!(why).context("the token is refused")),
        Verdict::Valid(_) | Verdict::Undecided(_) => Ok(()),
    }
}

impl Args {
    /// The decision of a server with the default policy.
    fn verdict(&self, token: &str, explained: &Explained, now: u64) -> Verdict {
        let app_id = self.app_id.as_ref().map_or(explained.app_id.as_str(), AppId::as_str);
        if app_id != explained.app_id {
            return Verdict::Refused(TokenError::OtherAppId.to_string());
        }
        let users: Vec<&str> = match &self.uid {
            Some(uid) => vec![uid],
            None => explained.users().collect(),
        };
        if users.is_empty() {
            return match explained.holder {
                Holder::Crc32(_) if explained.ends_at <= now => {
                    Verdict::Refused(TokenError::Expired { ended_at: explained.ends_at }.to_string())
                }
                Holder::Crc32(_) => Verdict::Undecided("a 006 token does not contain its user id: use --uid"),
                _ => Verdict::Refused(TokenError::NoLoginPrivilege.to_string()),
            };
        }
        let policy = Policy::new();
        let check = |uid: &str| {
            UserId::new(uid).map_err(|error| error.to_string())?;
            let checked = if self.certificate.is_empty() {
                explained.check_claims(uid, now, &policy)
            } else {
                verify(token, app_id, &self.certificate, uid, now, &policy).map(drop)
            };
            checked.map_err(|error| error.to_string())
        };
        let (accepted, refused): (Vec<_>, Vec<_>) =
            users.into_iter().map(|uid| (uid, check(uid))).partition(|(_, it)| it.is_ok());
        match refused.into_iter().next() {
            Some((_, Err(why))) if accepted.is_empty() => Verdict::Refused(why),
            _ if self.certificate.is_empty() => Verdict::Undecided("the signature is not checked: use --certificate"),
            _ => Verdict::Valid(accepted.into_iter().map(|(uid, _)| uid.to_owned()).collect()),
        }
    }

    fn text(&self, explained: &Explained, now: u64) -> String {
        let mut text = String::new();
        let mut add = |name: &str, value: &str| text.push_str(&line(name, value));
        add("version", explained.version.as_str());
        add("app id", &explained.app_id);
        add("user", &self.user(explained));
        add("issued", &moment(explained.issued_at));
        add("ends", &format!("{}, {}", moment(explained.ends_at), distance(now, explained.ends_at)));
        for grant in &explained.grants {
            add("allows", &allowed(grant));
            grant.permissions.iter().for_each(|permission| add("", &permitted(permission)));
        }
        if let Some(number) = explained.unknown_service {
            add("allows", &format!("service {number}, which this version does not know, and everything after it"));
        }
        add("signature", self.signature(explained).map_or("not checked", |(_, text)| text));
        text
    }

    fn json(&self, explained: &Explained) -> Value {
        let grants = explained.grants.iter().map(|grant| {
            let privileges = grant.privileges.iter().map(|privilege| {
                let ends_at = privilege.ends_at.map(moment);
                json!({ "number": privilege.number, "name": privilege.name, "ends_at": ends_at })
            });
            let permissions = grant.permissions.iter().map(|permission| {
                let Permission { resource, access, names, .. } = permission;
                json!({ "resource": resource, "access": access, "names": names })
            });
            json!({
                "service": grant.service.to_string(),
                "user": grant.user,
                "channel": grant.channel,
                "role": grant.role,
                "privileges": privileges.collect::<Vec<_>>(),
                "permissions": permissions.collect::<Vec<_>>(),
            })
        });
        json!({
            "version": explained.version.as_str(),
            "app_id": explained.app_id,
            "users": explained.users().collect::<Vec<_>>(),
            "issued_at": moment(explained.issued_at),
            "ends_at": moment(explained.ends_at),
            "signature": self.signature(explained).map_or("not_checked", |(name, _)| name),
            "grants": grants.collect::<Vec<_>>(),
        })
    }

    fn user(&self, explained: &Explained) -> String {
        match (&explained.holder, &self.uid) {
            (Holder::Crc32(_), Some(uid)) if explained.holder.may_be(uid) => shown(uid),
            (Holder::Crc32(crc), Some(uid)) => format!("not {}: a user with the CRC-32 {crc:08x}", shown(uid)),
            (Holder::Crc32(crc), None) => format!("unknown, CRC-32 {crc:08x}: use --uid to compare"),
            _ => {
                let users: Vec<_> = explained.users().map(shown).collect();
                if users.is_empty() {
                    "nobody: the token has no privilege to log in to RTM".to_owned()
                } else {
                    users.join(", ")
                }
            }
        }
    }

    /// Whether the signature is valid; `None` if the arguments do not suffice to decide.
    fn signature(&self, explained: &Explained) -> Option<(&'static str, &'static str)> {
        let uid = self.uid.as_deref();
        let signatures = self.certificate.iter().map(|certificate| explained.signature(certificate, uid));
        let best = signatures.fold(None, |best, it| if best == Some(Signature::Holds) { best } else { Some(it) })?;
        match best {
            Signature::Holds => Some(("valid", "valid")),
            Signature::Fails if explained.version == Version::V006 => {
                Some(("invalid", "invalid: another certificate or user, or the token was changed"))
            }
            Signature::Fails => Some(("invalid", "invalid: another certificate, or the token was changed")),
            _ => None,
        }
    }
}

impl Verdict {
    fn text(&self) -> String {
        match self {
            Self::Valid(users) => {
                let users: Vec<_> = users.iter().map(|uid| shown(uid)).collect();
                format!("valid: {} may log in", users.join(", "))
            }
            Self::Refused(why) => format!("refused: {why}"),
            Self::Undecided(why) => format!("undecided: {why}"),
        }
    }

    fn add_to(&self, json: &mut Value) {
        match self {
            Self::Valid(users) => {
                json["verdict"] = "valid".into();
                json["users"] = users.clone().into();
            }
            Self::Refused(why) => {
                json["verdict"] = "refused".into();
                json["reason"] = why.as_str().into();
            }
            Self::Undecided(why) => {
                json["verdict"] = "undecided".into();
                json["reason"] = (*why).into();
            }
        }
    }
}

fn line(name: &str, value: &str) -> String {
    format!("{name:<11}{value}\n")
}

/// A name from a token, which may hold anything, so that it does no harm in a terminal.
fn shown(name: &str) -> String {
    if name.is_empty() { "\"\"".to_owned() } else { name.escape_debug().to_string() }
}

fn allowed(grant: &Grant) -> String {
    let named = |what: &str, name: &Option<String>| {
        name.as_deref().map(|name| format!(" {what} {}", shown(name))).unwrap_or_default()
    };
    let privileges = grant
        .privileges
        .iter()
        .map(|privilege| privilege.name.map_or_else(|| format!("privilege {}", privilege.number), str::to_owned));
    let (user, channel) = (named("user", &grant.user), named("channel", &grant.channel));
    format!("{}{user}{channel}: {}", grant.service, privileges.collect::<Vec<_>>().join(", "))
}

fn permitted(permission: &Permission) -> String {
    let access = match permission.access {
        0 => "read".to_owned(),
        1 => "write".to_owned(),
        other => format!("access {other} to"),
    };
    let resource = match permission.resource {
        0 => "message channels",
        1 => "stream channels",
        2 => "group channels",
        3 => "server groups",
        4 => "users",
        _ => "other resources",
    };
    let names: Vec<_> = permission.names.iter().map(|name| shown(name)).collect();
    format!("{access} {resource} {} (not enforced)", names.join(", "))
}

fn moment(unix_seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix_seconds)).to_string()
}

fn distance(now: u64, then: u64) -> String {
    let apart = humantime::format_duration(Duration::from_secs(now.abs_diff(then)));
    if then > now { format!("in {apart}") } else { format!("{apart} ago") }
}
