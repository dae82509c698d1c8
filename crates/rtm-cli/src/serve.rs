//! `rtm serve`: the server, by flags and a configuration file.

use std::{io::Write as _, net::SocketAddr, path::PathBuf, str::FromStr};

use anyhow::Context as _;
use rtm_server::{
    Advertise, AppId, CallLimits, Certificate, ListenAddress, ProjectConfig, Server, ServerConfig, TlsFiles,
};
use tokio::signal::unix::{SignalKind, signal};

use crate::{connect::Stop, exit::WrongArgument};

/// Run a server until SIGINT or SIGTERM.
///
/// It prints "listening on ADDR" for each address when it is ready. Flags override the config file. GET /healthz answers 200
/// while the server accepts clients.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Address to listen on [default: 127.0.0.1:8080]. A host name stands for all its addresses, port 0 for any free port.
    /// Can be repeated.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddress>,
    /// Project to serve. With APPID, anyone who knows the App ID can log in; with APPID:CERTIFICATE, users need a token.
    /// Can be repeated: for several projects, or with two certificates for one App ID while you replace one. Adds to the projects
    /// of the config file; a project that is in both keeps its limits and settings from the file and takes the certificates of
    /// the flags.
    #[arg(long, value_name = "APPID[:CERTIFICATE]")]
    project: Vec<Project>,
    /// Public address that the gateway of the vendor's wire sends clients to [default: the address that they asked].
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<Advertise>,
    /// Directory for offline messages, history, channel attributes and the SDK's subscriptions. Without it they are lost on exit.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Turn off the call limits of all projects, for measurements.
    #[arg(long)]
    no_limits: bool,
    /// Config file in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Validate the config and its TLS files, then exit.
    #[arg(long)]
    check_config: bool,
}

/// `APPID` or `APPID:CERTIFICATE`. `Debug` shows no certificate.
#[derive(Debug, Clone)]
struct Project {
    app_id: AppId,
    certificate: Option<Certificate>,
}

impl FromStr for Project {
    type Err = anyhow::Error;

    fn from_str(text: &str) -> anyhow::Result<Self> {
        let (app_id, certificate) = match text.split_once(':') {
            Some((app_id, certificate)) => (app_id, Some(certificate.parse()?)),
            None => (text, None),
        };
        Ok(Self { app_id: app_id.parse()?, certificate })
    }
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    let config = args.configuration()?;
    if args.check_config {
        config.tls.as_ref().map(TlsFiles::check).transpose()?;
        return writeln!(std::io::stdout(), "the configuration is valid").context("cannot write to standard output");
    }
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP is ignored: restart the server to load a new configuration or new certificates");
        }
    });
    raise_descriptors(config.max_connections);
    if config.data_dir.is_none() {
        tracing::warn!(
            "running in memory: messages, history and attributes are lost on exit; use --data-dir to keep them"
        );
    }
    let server = Server::start(config).await?;
    {
        let mut stdout = std::io::stdout().lock();
        for address in server.local_addrs() {
            writeln!(stdout, "listening on {address}")?;
        }
        stdout.flush()?;
    }
    stop.asked().await;

    tokio::select! {
        () = server.shutdown() => Ok(()),
        () = stop.asked() => anyhow::bail!("stopped by a second signal, before all clients had disconnected"),
    }
}

/// Allows as many open descriptors as the system does.
fn raise_descriptors(connections: usize) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(descriptors) if descriptors < connections as u64 => tracing::info!(
            descriptors,
            "the system allows fewer file descriptors than max_connections = {connections}: when none is left, the server \
             closes new connections"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("cannot raise the limit of file descriptors: {error}"),
    }
}

impl Args {
    fn configuration(&self) -> anyhow::Result<ServerConfig> {
        let mut config = match &self.config {
            Some(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
                ServerConfig::from_toml_str(&text).with_context(|| format!("{name} is not a valid configuration"))?
            }
            None => ServerConfig::default(),
        };
        if !self.listen.is_empty() {
            config.listen.clone_from(&self.listen);
        }
        if config.listen.is_empty() {
            config.listen.push(SocketAddr::from(([127, 0, 0, 1], 8080)).into());
        }
        if self.advertise.is_some() {
            config.advertise.clone_from(&self.advertise);
        }
        if self.data_dir.is_some() {
            config.data_dir.clone_from(&self.data_dir);
        }
        // A project of the file keeps its limits and settings, and has the flags' certificates instead of its own.
        for Project { app_id, .. } in &self.project {
            let has_certificate =
                self.project.iter().any(|named| named.app_id == *app_id && named.certificate.is_some());
            match config.projects.iter_mut().find(|project| project.app_id == *app_id) {
                Some(project) if !has_certificate && !project.certificates.is_empty() => {
                    let fault = format!(
                        "--project {app_id} would open a project that has a certificate in the configuration: remove the \
                         option, or use --project {app_id}:CERTIFICATE"
                    );
                    return Err(WrongArgument(fault).into());
                }
                Some(project) => project.certificates.clear(),
                None => config.projects.push(ProjectConfig::new(app_id.clone())),
            }
        }
        for Project { app_id, certificate } in &self.project {
            let named = config.projects.iter_mut().find(|project| project.app_id == *app_id);
            if let (Some(project), Some(certificate)) = (named, certificate) {
                project.certificates.push(certificate.clone());
            }
        }
        if self.no_limits {
            config.projects.iter_mut().for_each(|project| project.limits = CallLimits::unlimited());
        }
        config.check()?;
        match &self.config {
            _ if !config.projects.is_empty() => {}
            Some(path) => {
                anyhow::bail!("{} has no project: add a [[project]] section or use --project", path.display())
            }
            None => {
                let fault = "no project to serve: use --project or --config".to_owned();
                return Err(WrongArgument(fault).into());
            }
        }
        Ok(config)
    }
}
