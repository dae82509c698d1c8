//! `rtm serve`: the server, by flags and a configuration file.

mod systemd;

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
    str::FromStr,
};

use anyhow::Context as _;
use rtm_server::{
    Advertise, AppId, CallLimit, CallLimits, Certificate, ClusterConfig, ClusterName, ConfigSource, HookConfig,
    InvalidNodeName, ListenAddress, LogControl, NodeName, OtlpConfig, ServerBuilder, ServerConfig,
};
use tokio::signal::unix::{SignalKind, signal};

use self::systemd::Sockets;
use crate::{
    LogFormat,
    cluster::addresses,
    connect::Stop,
    exit::{self, WrongArgument},
    log_in, output, read_filter, run_in_runtime, version,
};

/// Run a server until SIGINT or SIGTERM. On SIGHUP it reads its config file again.
///
/// It prints "listening on ADDR" for each address when it is ready. Flags override the environment (RTM_…, see `rtm config env`),
/// and the environment overrides the config file. GET /healthz answers 200 while the server accepts clients; in a cluster, GET
/// /readyz answers 200 only while the server is also in touch with the others.
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
    /// Directory for stored messages, history, channel attributes, the SDK's subscriptions, bans, revoked tokens, events, and how
    /// far webhooks are. Without it they are lost on exit.
    #[arg(long, value_name = "DIR")]
    data_dir: Option<PathBuf>,
    /// Join a cluster: several servers that serve the same projects as one, on these servers of NATS. Name all of them.
    /// NATS then stores what would be in --data-dir.
    #[arg(long, value_name = "nats://HOST:PORT[,nats://…]", value_delimiter = ',')]
    cluster: Vec<String>,
    /// Name of the cluster [default: main]. Clusters with different names know nothing of each other.
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<ClusterName>,
    /// Name of this node, unique in the cluster [default: host name and port].
    #[arg(long, value_name = "NAME", value_parser = node_name)]
    node: Option<NodeName>,
    /// How many servers of NATS store the cluster's data [default: 3 if there are three, otherwise 1].
    #[arg(long, value_name = "N")]
    cluster_replicas: Option<usize>,
    /// Address of the admin listener, for operators: GET /metrics, /livez, /readyz, /healthz, and the admin API for those with a
    /// key of the config file. Clients cannot connect there. Can be repeated.
    #[arg(long, value_name = "ADDR")]
    admin: Vec<ListenAddress>,
    /// How to write the log on standard error [default: text].
    #[arg(long, value_enum, value_name = "FORMAT")]
    log_format: Option<LogFormat>,
    /// How many cores each project has, 1 to 64 [default: 1]. With several, a project uses more than one processor; messages
    /// between users on different cores take a little longer.
    #[arg(long, value_name = "N")]
    workers: Option<u16>,
    /// Turn off the call limits of all projects, for measurements.
    #[arg(long)]
    no_limits: bool,
    /// Config file in TOML.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Validate the config and read its TLS files and those for NATS, then exit.
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

pub(crate) fn run(args: Args) -> anyhow::Result<()> {
    let sockets = Sockets::inherited()?;
    let (config, unknown) = args.configuration()?;
    let format = args.log_format.unwrap_or(match config.log.format {
        rtm_server::LogFormat::Json => LogFormat::Json,
        _ => LogFormat::Text,
    });
    let log = log_in(format, config.log.level.as_deref().unwrap_or(LEVEL))?.with_default(LEVEL);
    warn(&config, &unknown, sockets.has_admin());
    run_in_runtime(serve(args, config, log, sockets))
}

/// Reads a file and the environment, which comes before it. Gives also the variables that look like settings and are none.
pub(crate) fn read(file: Option<&Path>) -> anyhow::Result<(ServerConfig, Vec<String>)> {
    let mut variables = Vec::new();
    for (name, value) in std::env::vars_os() {
        // None of ours has another name.
        let Ok(name) = name.into_string() else { continue };
        let value = match value.into_string() {
            Ok(value) => value,
            Err(_) if ServerConfig::has_variable(&name) => anyhow::bail!("{name} is not valid UTF-8"),
            // Only its name counts.
            Err(value) => value.to_string_lossy().into_owned(),
        };
        variables.push((name, value));
    }
    match file {
        Some(path) => {
            let name = path.display();
            let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {name}"))?;
            ServerConfig::from_toml_and_env(&text, variables).map_err(|error| match error.key().starts_with("RTM_") {
                true => anyhow::Error::new(error).context(OF_ENVIRONMENT),
                false => anyhow::Error::new(error).context(format!("{name} is not a valid configuration")),
            })
        }
        None => ServerConfig::from_toml_and_env("", variables).context(OF_ENVIRONMENT),
    }
}

/// What is said of variables that look like settings and are none.
fn is_no_setting(variable: &str) -> String {
    match ServerConfig::nearest_variable(variable) {
        Some(nearest) => format!("{variable} is not a setting (did you mean {nearest}?)"),
        None => format!("{variable} is not a setting"),
    }
}

/// Writes to the log what a configuration says in vain.
pub(crate) fn warn(config: &ServerConfig, unknown: &[String], has_admin_socket: bool) {
    for variable in unknown {
        tracing::warn!("{}, and is ignored", is_no_setting(variable));
    }
    if !config.admin.keys.is_empty() && config.admin.listen.is_empty() && !has_admin_socket {
        tracing::warn!("there are keys for the admin API, but no address for it: use --admin or admin.listen");
    }
}

/// What to add where something is missing that a mistyped variable may have been meant for.
fn no_settings(variables: &[String]) -> String {
    variables.iter().map(|variable| format!("; {}", is_no_setting(variable))).collect()
}

/// Checks what reading a configuration leaves open: the level of the log, and the files that it names.
pub(crate) fn check(config: &ServerConfig) -> anyhow::Result<()> {
    check_level(config)?;
    config.tls.as_ref().map(|tls| tls.check("tls")).transpose()?;
    config.admin.tls.as_ref().map(|tls| tls.check("admin.tls")).transpose()?;
    config.cluster.as_ref().map(ClusterConfig::check_files).transpose()?;
    config.hooks.iter().try_for_each(HookConfig::check_files)?;
    config.otlp.as_ref().map(OtlpConfig::check_files).transpose()?;
    Ok(())
}

fn check_level(config: &ServerConfig) -> anyhow::Result<()> {
    let Some(level) = &config.log.level else { return Ok(()) };
    read_filter(level).map(drop).map_err(|error| match config.source("log.level") {
        ConfigSource::Environment(variable) => anyhow::anyhow!("{variable}={level:?} is not a log level: {error}"),
        _ => anyhow::anyhow!("log.level = {level:?} is not a log level: {error}"),
    })
}

async fn serve(args: Args, mut config: ServerConfig, log: LogControl, sockets: Sockets) -> anyhow::Result<()> {
    config.admin.log = Some(log);
    config.admin.build = version::build();
    if args.check_config {
        check(&config)?;
        return output::line("the configuration is valid");
    }
    let mut stop = Stop::new()?;
    let mut hangup = signal(SignalKind::hangup()).context("cannot listen for signals")?;
    raise_descriptors(config.max_connections);
    if config.data_dir.is_none() && config.cluster.is_none() {
        tracing::warn!(
            "running in memory: messages, history, attributes, the log of events with the positions of webhooks, bans and revoked tokens are lost on exit; use --data-dir to keep them"
        );
    }
    let builder = sockets.give_to(ServerBuilder::from(config));
    let builder = builder
        .config_source(move || args.configuration().map(|(config, _)| config).map_err(|error| format!("{error:#}")));
    // In a cluster this may take as long as NATS is away.
    let server = tokio::select! {
        server = builder.start() => server?,
        () = stop.asked() => return Ok(()),
    };
    let listening = server.local_addrs().iter().map(|address| format!("listening on {address}\n"));
    let admin = server.admin_addrs().iter().map(|address| format!("admin on {address}\n"));
    // In one piece: whoever reads a line only has got what it wanted.
    output::text(&listening.chain(admin).collect::<String>())?;
    systemd::ready(&server.local_addrs().iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
    tokio::spawn(systemd::show_life(server.handle()));
    // The server logs what came of each.
    let reloads = async {
        while hangup.recv().await.is_some() {
            systemd::reloading();
            match server.reload().await {
                Ok(_) => systemd::reloaded("the configuration is loaded anew"),
                Err(error) => systemd::reloaded(&format!("the configuration is not loaded anew: {error}")),
            }
        }
        std::future::pending().await
    };
    let mut refused = None;
    let is_signalled = tokio::select! {
        () = stop.asked() => true,
        () = server.drain_asked() => false,
        // A supervisor is to see that it is over.
        error = server.refused_by_cluster() => {
            refused = Some(error);
            false
        }
        // Besides: a file may take for ever, and the server is to end all the same.
        is_signalled = reloads => is_signalled,
    };
    let second = async {
        // Whoever drains it by the admin API may well send the first signal after that.
        if !is_signalled {
            stop.asked().await;
        }
        stop.asked().await;
        exit::at_once("stopped by a second signal, before all clients had disconnected");
    };
    let end = async {
        systemd::stopping(server.shutdown_limit().await);
        server.shutdown().await;
    };
    tokio::select! {
        () = end => refused.map_or(Ok(()), |error| Err(error.into())),
        () = second => Ok(()),
    }
}

/// Allows as many open descriptors as the system does.
pub(crate) fn raise_descriptors(connections: usize) {
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

fn node_name(text: &str) -> Result<NodeName, InvalidNodeName> {
    NodeName::new(text)
}

impl Args {
    /// Takes over what the flags say of the cluster.
    fn configure_cluster(&self, config: &mut ServerConfig) -> anyhow::Result<()> {
        if !self.cluster.is_empty() {
            let nats = addresses(&self.cluster)?;
            match &mut config.cluster {
                Some(cluster) => cluster.nats = nats,
                none => *none = Some(ClusterConfig::new(nats)),
            }
            config.set_source("cluster.nats", flag("--cluster"));
        }
        let Some(cluster) = &mut config.cluster else {
            return match [self.cluster_name.is_some(), self.node.is_some(), self.cluster_replicas.is_some()] {
                [false, false, false] => Ok(()),
                _ => Err(WrongArgument(
                    "--cluster-name, --node and --cluster-replicas need --cluster nats://HOST:PORT".to_owned(),
                )
                .into()),
            };
        };
        if let Some(data_dir) = &config.data_dir {
            let (directory, nats) = (data_dir.display(), cluster.nats.first().map(ToString::to_string));
            let nats = nats.unwrap_or_default();
            return Err(WrongArgument(format!(
                "in a cluster NATS keeps everything, so --data-dir cannot be used with --cluster: take what {directory} holds \
                 over with `rtm store export --data-dir {directory} > FILE` and `rtm store import --cluster {nats} FILE`"
            ))
            .into());
        }
        if let Some(name) = &self.cluster_name {
            cluster.name = name.clone();
        }
        if self.node.is_some() {
            cluster.node.clone_from(&self.node);
        }
        if self.cluster_replicas.is_some() {
            cluster.replicas = self.cluster_replicas;
        }
        for (is_given, key, name) in [
            (self.cluster_name.is_some(), "cluster.name", "--cluster-name"),
            (self.node.is_some(), "cluster.node", "--node"),
            (self.cluster_replicas.is_some(), "cluster.replicas", "--cluster-replicas"),
        ] {
            if is_given {
                config.set_source(key, flag(name));
            }
        }
        Ok(())
    }

    /// What flags, environment and file say together, and the variables that look like settings and are none.
    fn configuration(&self) -> anyhow::Result<(ServerConfig, Vec<String>)> {
        let (mut config, unknown) = read(self.config.as_deref())?;
        if !self.listen.is_empty() {
            config.listen = self.listen.iter().cloned().map(Into::into).collect();
            config.set_source("listen", flag("--listen"));
        }
        if config.listen.is_empty() {
            config.set_source("listen", ConfigSource::Default);
            config.listen.push(SocketAddr::from(([127, 0, 0, 1], 8080)).into());
        }
        if !self.admin.is_empty() {
            config.admin.listen.clone_from(&self.admin);
            config.set_source("admin.listen", flag("--admin"));
        }
        if self.advertise.is_some() {
            config.advertise.clone_from(&self.advertise);
            config.set_source("advertise", flag("--advertise"));
        }
        if self.data_dir.is_some() {
            config.data_dir.clone_from(&self.data_dir);
            config.set_source("data_dir", flag("--data-dir"));
        }
        if let Some(workers) = self.workers {
            config.workers = workers;
            config.set_source("workers", flag("--workers"));
        }
        if let Some(format) = self.log_format {
            config.log.format = match format {
                LogFormat::Json => rtm_server::LogFormat::Json,
                LogFormat::Text => rtm_server::LogFormat::Text,
            };
            config.set_source("log.format", flag("--log-format"));
        }
        self.configure_cluster(&mut config)?;
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
                None => {
                    config.set_source(&format!("project[{}].app_id", config.projects.len()), flag("--project"));
                    config.projects.push(config.new_project(app_id.clone()));
                }
            }
        }
        for Project { app_id, certificate } in &self.project {
            let named = config.projects.iter().position(|project| project.app_id == *app_id);
            if let (Some(at), Some(certificate)) = (named, certificate) {
                config.projects[at].certificates.push(certificate.clone());
                config.set_source(&format!("project[{at}].certificates"), flag("--project"));
            }
        }
        if self.no_limits {
            for project in &mut config.projects {
                project.limits = CallLimits::unlimited();
                project.rest.limit = CallLimit::UNLIMITED;
            }
            for at in 0..config.projects.len() {
                config.set_source(&format!("project[{at}].limits"), flag("--no-limits"));
                config.set_source(&format!("project[{at}].rest"), flag("--no-limits"));
            }
        }
        if let Ok(level) = std::env::var("RTM_LOG")
            && !level.is_empty()
        {
            config.log.level = Some(level);
            config.set_source("log.level", ConfigSource::Environment("RTM_LOG".to_owned()));
        }
        check_level(&config)?;
        config.check().map_err(|error| match config.source(error.key()) {
            ConfigSource::Flag(flag) => WrongArgument(format!("{error} ({flag})")).into(),
            ConfigSource::Environment(variable) => anyhow::Error::new(error).context(variable),
            _ => anyhow::Error::new(error),
        })?;
        match &self.config {
            _ if !config.projects.is_empty() => {}
            Some(path) => {
                let ways = "add a [[project]] section, or use --project or RTM_PROJECT__0__APP_ID";
                anyhow::bail!("{} has no project: {ways}{}", path.display(), no_settings(&unknown))
            }
            None => {
                let ways = "use --project, --config or RTM_PROJECT__0__APP_ID";
                return Err(WrongArgument(format!("no project to serve: {ways}{}", no_settings(&unknown))).into());
            }
        }
        Ok((config, unknown))
    }
}

fn flag(name: &str) -> ConfigSource {
    ConfigSource::Flag(name.to_owned())
}

/// What is logged unless something else is said.
const LEVEL: &str = "info,async_nats=off";
const OF_ENVIRONMENT: &str = "the environment is not a valid configuration";
