//! What all commands have in common that log in: which server, which project, who logs in, and how a run ends.

use std::{convert::Infallible, error::Error as _, path::PathBuf, pin::pin, time::Duration};

use anyhow::Context as _;
use clap::ValueEnum;
use futures::FutureExt as _;
use rtm_client::{Client, ClientBuilder, ConnectionState, ErrorKind, Events, RtmError, RtmEvent, UserId, Wire};
use rtm_codec::AppId;
use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    time::{Instant, sleep},
};
use tokio_rustls::rustls::{self, CertificateError};

use crate::{
    exit::WrongArgument,
    values::{login_timeout, read_authorities, read_certificates, read_key},
};

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
    #[arg(long, value_name = "TIME", default_value = "5s", value_parser = login_timeout)]
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
    #[command(flatten)]
    pub(crate) transport: Transport,
}

/// How a server is reached.
#[derive(Debug, clap::Args)]
pub(crate) struct Transport {
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
    /// As --wire has it.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Vendor => "vendor",
        }
    }

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

    /// Logs in, acts, and logs out whatever came of it. The calls wait for the limits of calls.
    pub(crate) async fn act(&self, act: impl AsyncFnOnce(&Client) -> anyhow::Result<()>) -> anyhow::Result<()> {
        let mut stop = Stop::new()?;
        let (client, events) = self.client(true)?;
        drop(events);
        let done = tokio::select! {
            done = self.log_in_and_act(&client, act) => done,
            () = stop.asked() => Err(anyhow::anyhow!("interrupted")),
        };
        let _ = client.logout().await;
        done
    }

    /// Logs in, acts, and stays until SIGINT or SIGTERM. `happened` gets all events.
    pub(crate) async fn stay(
        &self,
        act: impl AsyncFnOnce(&Client) -> anyhow::Result<()>,
        happened: impl FnMut(&RtmEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut stop = Stop::new()?;
        let (client, events) = self.client(true)?;
        let done = tokio::select! {
            done = self.stay_until_over(&client, events, act, happened) => done,
            () = stop.asked() => Ok(()),
        };
        let _ = client.logout().await;
        done
    }

    async fn stay_until_over(
        &self,
        client: &Client,
        mut events: Events,
        act: impl AsyncFnOnce(&Client) -> anyhow::Result<()>,
        mut happened: impl FnMut(&RtmEvent) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        let mut acting = pin!(self.log_in_and_act(client, act).fuse());
        loop {
            tokio::select! {
                biased;
                event = events.recv() => {
                    let event = event.context("the client has ended")?;
                    happened(&event)?;
                    goes_on(&event)?;
                }
                done = &mut acting => done?,
            }
        }
    }

    async fn log_in_and_act(
        &self,
        client: &Client,
        act: impl AsyncFnOnce(&Client) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        self.login(client).await?;
        act(client).await
    }

    /// Logs in. Who logs in more often than a limit allows, or finds the project full, is let in or refused within --timeout.
    pub(crate) async fn login(&self, client: &Client) -> anyhow::Result<()> {
        let deadline = Instant::now() + self.timeout;
        loop {
            let Err(error) = client.login(&self.uid, self.token.as_deref()).await else { return Ok(()) };
            let pause = error.retry_after().unwrap_or(PAUSE);
            if error.kind() != ErrorKind::TooOften || Instant::now() + pause >= deadline {
                let hint = if is_not_trusted(&error) { " (--ca FILE names a certificate to trust)" } else { "" };
                let cannot = || format!("{} cannot log in at {}{hint}", self.uid, self.project.gateway.join(", "));
                return Err(error).with_context(cannot);
            }
            sleep(pause).await;
        }
    }
}

impl Project {
    /// A client of this project that is not built yet.
    pub(crate) fn client(&self) -> anyhow::Result<ClientBuilder> {
        let Transport { wire, ca, .. } = &self.transport;
        let builder = gateways(&self.gateway)?.iter().fold(Client::builder(), ClientBuilder::gateway);
        let builder = builder.app_id(self.app_id.as_str()).wire(wire.wire());
        let builder = match ca {
            Some(file) => builder.root_certificates(read_authorities(file)?),
            None => builder,
        };
        Ok(match self.transport.client_certificate()? {
            Some((certificates, key)) => builder.client_certificate(certificates, key),
            None => builder,
        })
    }
}

impl Transport {
    /// The client's certificate and its key, as PEM.
    pub(crate) fn client_certificate(&self) -> anyhow::Result<Option<(Vec<u8>, Vec<u8>)>> {
        let (Some(cert), Some(key)) = (&self.cert, &self.key) else { return Ok(None) };
        Ok(Some((read_certificates(cert)?, read_key(key)?)))
    }
}

/// The URLs of --gateway.
pub(crate) fn gateways(urls: &[String]) -> Result<&[String], WrongArgument> {
    // A password may have a comma: an error about one part would then show some of it.
    if urls.len() > 1 && urls.iter().any(|part| part.contains('@')) {
        return Err(WrongArgument("--gateway has a user or a password: remove them".to_owned()));
    }
    Ok(urls)
}

/// An error, if the event says that the session has ended, or that it will without a new token.
pub(crate) fn goes_on(event: &RtmEvent) -> anyhow::Result<()> {
    match event {
        RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. } => {
            anyhow::bail!("the server ended the session: {reason}")
        }
        RtmEvent::TokenNeeded { error, .. } => anyhow::bail!("a new token is required: {error}"),
        _ => Ok(()),
    }
}

/// Whether nobody who is trusted has signed the server's certificate.
fn is_not_trusted(error: &RtmError) -> bool {
    let source = error.source().and_then(|source| source.downcast_ref());
    let Some(rustls::Error::InvalidCertificate(fault)) = source else { return false };
    matches!(
        fault,
        CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. }
    )
}

/// One of several texts, after whose commas there may be spaces.
pub(crate) fn trimmed(text: &str) -> Result<String, Infallible> {
    Ok(text.trim().to_owned())
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

/// Before a login is tried again that was refused for a limit, unless the server says how long.
const PAUSE: Duration = Duration::from_secs(1);
