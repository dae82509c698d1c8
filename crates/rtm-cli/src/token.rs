//! `rtm token`: makes and explains access tokens.

mod explain;

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::Context;
use rtm_codec::{AppId, UserId};
use rtm_token::{Builder, Certificate, Version};

use crate::{exit::WrongArgument, output, values::duration};

/// Make a token for a user, or explain one.
#[derive(Debug, clap::Args)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Option<Action>,
    #[command(flatten)]
    make: Make,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    Explain(explain::Args),
}

#[derive(Debug, clap::Args)]
struct Make {
    /// App ID of the project: 32 letters and digits.
    #[arg(long, value_name = "APPID", env = "RTM_APP_ID", required = true)]
    app_id: Option<AppId>,
    /// Certificate of the project. It signs the token.
    #[arg(long, value_name = "CERT", env = "RTM_CERTIFICATE", hide_env_values = true, required = true)]
    certificate: Option<Certificate>,
    /// User who can log in with the token.
    #[arg(long, env = "RTM_UID", required = true)]
    uid: Option<UserId>,
    /// How long the token is valid, at most 24h: 30s, 10m, 1h 30m …
    #[arg(long, default_value = "24h", value_parser = duration)]
    ttl: Duration,
    /// Token format: 006, or 007, which contains the user id.
    #[arg(long, default_value = "006")]
    version: Version,
}

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Some(Action::Explain(args)) => {
            let now = SystemTime::now().duration_since(UNIX_EPOCH).context("the clock is set before 1970")?.as_secs();
            explain::run(&args, now)
        }
        None => output::line(args.make.token()?),
    }
}

impl Make {
    fn token(&self) -> anyhow::Result<String> {
        // `explain` needs none of them, also where the environment has some.
        let (Some(app_id), Some(certificate), Some(uid)) = (&self.app_id, &self.certificate, &self.uid) else {
            let ways = "use --app-id, --certificate and --uid, or explain TOKEN";
            return Err(WrongArgument(ways.to_owned()).into());
        };
        Builder::for_now(app_id.as_str(), certificate, uid.as_str())
            .version(self.version)
            .ttl(self.ttl)
            .build()
            .context("cannot make this token")
    }
}
