//! `rtm token`: makes access tokens and explains them.

use std::{
    fmt::Write as _,
    hash::{BuildHasher, RandomState},
    io::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anyhow::Context;
use rtm_token::{Builder, Certificate, Explained, Holder, Signature, Version};

/// Make a token for a user, or explain one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    make: Option<Make>,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Say whose a token is, when it ends and whether its signature holds.
    Explain(Explain),
}

#[derive(Debug, clap::Args)]
struct Make {
    /// The project: 32 letters and digits.
    #[arg(long, value_name = "APPID")]
    app_id: String,
    /// The project's certificate, which signs the token.
    #[arg(long, value_name = "CERT", env = "RTM_CERTIFICATE", hide_env_values = true)]
    certificate: Certificate,
    /// The user that the token lets log in.
    #[arg(long)]
    uid: String,
    /// How long it lives, at most 24h: 30s, 10m, 1h 30m …
    #[arg(long, default_value = "24h", value_parser = humantime::parse_duration)]
    ttl: Duration,
    /// The format: 006, or 007, which names its user.
    #[arg(long, default_value = "006")]
    version: Version,
}

#[derive(Debug, clap::Args)]
struct Explain {
    /// The token.
    #[arg(env = "RTM_TOKEN", hide_env_values = true)]
    token: String,
    /// The certificate to check its signature with.
    #[arg(long, value_name = "CERT", env = "RTM_CERTIFICATE", hide_env_values = true)]
    certificate: Option<Certificate>,
    /// Whose it should be; a 006 token is signed together with its user id and does not name it.
    #[arg(long)]
    uid: Option<String>,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is set before 1970")?.as_secs();
    let mut stdout = std::io::stdout().lock();
    match (args.action, args.make) {
        (Some(Action::Explain(explain)), _) => stdout.write_all(explain.text(now)?.as_bytes())?,
        (None, Some(make)) => writeln!(stdout, "{}", make.token(now)?)?,
        (None, None) => anyhow::bail!("say --app-id, --certificate and --uid, or explain TOKEN"),
    }
    Ok(())
}

impl Make {
    fn token(&self, now: u64) -> anyhow::Result<String> {
        // The salt guards nothing, it only makes tokens of one second differ.
        let salt = RandomState::new().hash_one(now) as u32;
        Builder::new(&self.app_id, &self.certificate, &self.uid, now, salt)
            .version(self.version)
            .ttl(self.ttl)
            .build()
            .context("this token cannot be made")
    }
}

impl Explain {
    fn text(&self, now: u64) -> anyhow::Result<String> {
        let explained = rtm_token::explain(&self.token).context("this is not a token")?;
        let mut text = String::new();
        let mut line = |name: &str, value: String| {
            let _ = writeln!(text, "{name:<11}{value}");
        };
        line("version", explained.version.to_string());
        line("app id", explained.app_id.clone());
        line("user", holder(&explained.holder, self.uid.as_deref()));
        line("issued", moment(explained.issued_at));
        line("ends", format!("{}, {}", moment(explained.ends_at), distance(now, explained.ends_at)));
        line(
            "login",
            if explained.grants_login { "allowed" } else { "not allowed: no RTM login privilege" }.to_owned(),
        );
        for grant in explained.grants.iter().filter(|grant| grant.service != rtm_token::Service::Rtm) {
            line("also", grant.service.to_string());
        }
        line("signature", self.signature(&explained));
        Ok(text)
    }

    fn signature(&self, explained: &Explained) -> String {
        let Some(certificate) = &self.certificate else {
            return "not checked: give --certificate".to_owned();
        };
        match explained.signature(certificate, self.uid.as_deref()) {
            Signature::Holds => "holds",
            Signature::Fails if explained.version == Version::V006 => {
                "fails: another certificate or user, or the token was changed"
            }
            Signature::Fails => "fails: another certificate, or the token was changed",
            Signature::NeedsUid => "not checked: a 006 token needs --uid too",
            _ => "not checked",
        }
        .to_owned()
    }
}

fn holder(holder: &Holder, uid: Option<&str>) -> String {
    let fits = |uid: &&str| holder.may_be(uid);
    match (holder, uid) {
        (Holder::Uid(named), None) => named.clone(),
        (Holder::Uid(named), Some(uid)) if named == uid => named.clone(),
        (Holder::Uid(named), Some(uid)) => format!("{named}, not {uid}"),
        (Holder::Crc32(_), Some(uid)) if fits(&uid) => uid.to_owned(),
        (Holder::Crc32(crc), Some(uid)) => format!("not {uid}: another one with the CRC-32 {crc:08x}"),
        (Holder::Crc32(crc), None) => format!("not named, CRC-32 {crc:08x}: give --uid to compare"),
        _ => "nobody: this is no RTM token".to_owned(),
    }
}

fn moment(unix_seconds: u64) -> String {
    humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_secs(unix_seconds)).to_string()
}

fn distance(now: u64, then: u64) -> String {
    let apart = humantime::format_duration(Duration::from_secs(now.abs_diff(then)));
    if then > now { format!("in {apart}") } else { format!("{apart} ago") }
}
