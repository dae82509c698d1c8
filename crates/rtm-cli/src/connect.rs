//! What `listen` and `send` have in common: which server, which project, who logs in, and how a run ends.

use std::{
    convert::Infallible,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::Context as _;
use clap::ValueEnum;
use rtm_client::{Client, ClientBuilder, ErrorKind, Events, UserId, Wire};
use rtm_codec::AppId;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::sleep,
};

use crate::exit::WrongArgument;

#[derive(Debug, clap::Args)]
pub(crate) struct User {
    #[command(flatten)]
    project: Project,
    /// User id to log in with.
    #[arg(long, env = "RTM_UID")]
    uid: UserId,
    /// Access token; required if the project has a certificate.
    #[arg(long, env = "RTM_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Time limit of the login, 100ms to 1h. Until then an unreachable server is tried again.
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = humantime::parse_duration)]
    timeout: Duration,
}

/// Which server, and which project.
#[derive(Debug, clap::Args)]
pub(crate) struct Project {
    /// URL of the server, for example http://127.0.0.1:8080. With several URLs, separated by commas or in several
    /// --gateway, the next one is used when one is unavailable; the first one is chosen at random.
    #[arg(long, value_name = "URL[,URL…]", env = "RTM_GATEWAY", value_delimiter = ',', value_parser = trimmed, required = true)]
    gateway: Vec<String>,
    /// App ID of the project: 32 letters and digits.
    #[arg(long, value_name = "APPID", env = "RTM_APP_ID")]
    pub(crate) app_id: AppId,
    /// Wire protocol to use.
    #[arg(long, value_enum, default_value_t = WireName::Native)]
    pub(crate) wire: WireName,
    /// PEM file with more certificates to trust: a self-signed certificate of the server, or that of its authority.
    #[arg(long, value_name = "FILE")]
    pub(crate) ca: Option<PathBuf>,
    /// PEM file with the client's certificate, for a server that asks for one; needs --key.
    #[arg(long, value_name = "FILE", requires = "key")]
    cert: Option<PathBuf>,
    /// PEM file with the private key of --cert.
    #[arg(long, value_name = "FILE", requires = "cert")]
    key: Option<PathBuf>,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum WireName {
    /// Binary, of this project.
    Native,
    /// JSON, of anyRTC's SDK and servers.
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

    /// Logs in. If a script logs in more often than the limit allows, it waits here, at most for some seconds.
    pub(crate) async fn login(&self, client: &Client) -> anyhow::Result<()> {
        let mut pauses = [1, 1, 2].map(Duration::from_secs).into_iter();
        loop {
            let login = client.login(&self.uid, self.token.as_deref()).await;
            match (login, pauses.next()) {
                (Err(error), Some(pause)) if error.kind() == ErrorKind::TooOften => sleep(pause).await,
                (login, _) => {
                    return login
                        .with_context(|| format!("{} cannot log in at {}", self.uid, self.project.gateway.join(", ")));
                }
            }
        }
    }
}

impl Project {
    /// A client of this project that is not built yet.
    pub(crate) fn client(&self) -> anyhow::Result<ClientBuilder> {
        let builder = self.gateways()?.iter().fold(Client::builder(), ClientBuilder::gateway);
        let builder = builder.app_id(self.app_id.as_str()).wire(self.wire.wire());
        let builder = match &self.ca {
            Some(file) => builder.root_certificates(read(file)?),
            None => builder,
        };
        Ok(match self.client_certificate()? {
            Some((certificates, key)) => builder.client_certificate(certificates, key),
            None => builder,
        })
    }

    /// The URLs of the servers.
    pub(crate) fn gateways(&self) -> Result<&[String], WrongArgument> {
        // A password may have a comma: an error about one part would then show some of it.
        if self.gateway.len() > 1 && self.gateway.iter().any(|part| part.contains('@')) {
            return Err(WrongArgument("--gateway has a user or a password: remove them".to_owned()));
        }
        Ok(&self.gateway)
    }

    /// The client's certificate and its key, as PEM.
    pub(crate) fn client_certificate(&self) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        Ok(Some((read(cert)?, read(key)?)))
    }
}

/// One of several texts, after whose commas there may be spaces.
fn trimmed(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
}

/// What is in a file.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
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
