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
/// When it is ready it prints "listening on ADDR" for each address. A flag overrides the configuration file, and the file the
/// defaults. GET /healthz answers 200 while it serves.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Where to listen, 127.0.0.1:8080 by default; at a name, at all addresses that it has. Port 0 takes a free one. May
    /// be given more than once.
    #[arg(long, value_name = "ADDR")]
    listen: Vec<ListenAddress>,
    /// A project to serve: open, or with the certificate that its users' tokens are signed with. May be given more than
    /// once; with the same App ID twice for a change of certificates. It is served besides those of the configuration
    /// file; one that is there as well keeps its limits and settings, and its certificate is replaced.
    #[arg(long, value_name = "APPID[:CERTIFICATE]")]
    project: Vec<Project>,
    /// The address that the vendor's gateway names to its clients; by default the one they asked.
    #[arg(long, value_name = "HOST:PORT")]
    advertise: Option<Advertise>,
    /// Where to keep offline messages, history and channel attributes; without it they are lost when the server ends.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Let every user call as often as it likes, in all projects: for measurements on a machine of your own.
    #[arg(long)]
    no_limits: bool,
    /// A configuration in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Say whether the configuration and its TLS files are good, and start nothing.
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
        return writeln!(std::io::stdout(), "the configuration is good").context("cannot write to standard output");
    }
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    tokio::spawn(async move {
        while hangup.recv().await.is_some() {
            tracing::warn!("SIGHUP is ignored: restart the server to have it read its configuration and certificates");
        }
    });
    raise_descriptors(config.max_connections);
    if config.data_dir.is_none() {
        tracing::warn!("everything is kept in memory and lost at the end: give --data-dir to keep it");
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
    tracing::info!("going down: clients are sent away to come back");
    tokio::select! {
        () = server.shutdown() => Ok(()),
        () = stop.asked() => anyhow::bail!("stopped before all clients had gone"),
    }
}

/// Allows as many open descriptors as the system does.
fn raise_descriptors(connections: usize) {
    match rlimit::increase_nofile_limit(u64::MAX) {
        Ok(descriptors) if descriptors < connections as u64 => tracing::info!(
            descriptors,
            "the system allows fewer descriptors than max_connections = {connections}: when they have run out, new \
             connections are turned away"
        ),
        Ok(_) => {}
        Err(error) => tracing::warn!("the limit of descriptors cannot be raised: {error}"),
    }
}

impl Args {
    fn configuration(&self) -> anyhow::Result<ServerConfig> {
        let mut config = match &self.config {
            Some(path) => {
                let name = path.display();
                let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
                ServerConfig::from_toml_str(&text)
                    .with_context(|| format!("{name} cannot be used as a configuration"))?
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
                        "--project {app_id} would open a project that has a certificate in the configuration: leave the \
                         option out, or give --project {app_id}:CERTIFICATE"
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
            Some(path) => anyhow::bail!("{} names no project: write [[project]] or give --project", path.display()),
            None => {
                let fault = "there is no project to serve: give --project or --config".to_owned();
                return Err(WrongArgument(fault).into());
            }
        }
        Ok(config)
    }
}
