//! What `listen` and `send` have in common: which server, which project, who logs in, and how a run ends.

use std::{path::PathBuf, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;
use rtm_client::{Client, ClientBuilder, ErrorKind, Events, UserId, Wire};
use rtm_codec::AppId;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

#[derive(Debug, clap::Args)]
pub(crate) struct User {
    #[command(flatten)]
    project: Project,
    /// Who logs in.
    #[arg(long, env = "RTM_UID")]
    uid: UserId,
    /// The access token, where the project has a certificate.
    #[arg(long, env = "RTM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// How long the login may take, 100ms to 1h. A server that cannot be reached is tried again until then.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Which server, and which project.
#[derive(Debug, clap::Args)]
pub(crate) struct Project {
    /// Where the server is, for example http://127.0.0.1:8080.
    #[arg(long, value_name = "URL", env = "RTM_GATEWAY")]
    pub(crate) gateway: String,
    /// The project: 32 letters and digits.
    #[arg(long, value_name = "APPID", env = "RTM_APP_ID")]
    pub(crate) app_id: AppId,
    /// Which wire to speak.
    #[arg(long, value_enum, default_value_t = WireName::Native)]
    pub(crate) wire: WireName,
    /// A PEM file with certificates to trust besides those of the system: that of a server that signed its own, or that
    /// of its authority.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WireName {
    /// This project's own.
    Native,
    /// The vendor's, which its own servers speak too.
    Vendor,
}

impl WireName {
    pub(crate) fn wire(self) -> Wire {
        match self {
            Self::Native => Wire::Native,
            Self::Vendor => Wire::Vendor,
        }
    }
}

impl User {
    /// A client that is not logged in yet. Its calls wait for their limits or are refused.
    pub(crate) fn client(&self, wait_for_limits: bool) -> anyhow::Result<(Client, Events)> {
        Ok(self.project.client()?.login_timeout(self.timeout).wait_for_limits(wait_for_limits).build()?)
    }

    /// Logs in. A script may do so more often than users are allowed to: it is held up then, for some seconds at most.
    pub(crate) async fn login(&self, client: &Client) -> anyhow::Result<()> {
        let mut pauses = [1, 1, 2].map(Duration::from_secs).into_iter();
        loop {
            let login = client.login(&self.uid, self.token.as_deref()).await;
            match (login, pauses.next()) {
                (Err(error), Some(pause)) if error.kind() == ErrorKind::TooOften => sleep(pause).await,
                (login, _) => {
                    return login.with_context(|| format!("{} cannot log in at {}", self.uid, self.project.gateway));
                }
            }
        }
    }
}

impl Project {
    /// A client of this project that is not built yet.
    pub(crate) fn client(&self) -> anyhow::Result<ClientBuilder> {
        let builder = Client::builder().gateway(&self.gateway).app_id(self.app_id.as_str()).wire(self.wire.wire());
        Ok(match &self.ca {
            Some(file) => {
                let pem = std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))?;
                builder.root_certificates(pem)
            }
            None => builder,
        })
    }
}

/// The signals that end a run: SIGINT and SIGTERM.
pub(crate) struct Stop {
    interrupt: Signal,
    terminate: Signal,
}

impl Stop {
    /// From here on the signals no longer kill the process.
    pub(crate) fn new() -> anyhow::Result<Self> {
        let listen = |kind| signal(kind).context("cannot listen for signals");
        Ok(Self { interrupt: listen(SignalKind::interrupt())?, terminate: listen(SignalKind::terminate())? })
    }

    /// Waits for the next of them. Cancel safe: no signal is lost.
    pub(crate) async fn asked(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
    }
}
