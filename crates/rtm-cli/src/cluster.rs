//! `rtm cluster`: who is in a cluster, and where somebody is.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use rtm_codec::ChannelId;
use rtm_server::{AppId, ClusterConfig, ClusterName, ClusterProbe, ClusterStatus, InvalidNatsUrl, NatsUrl, UserId};
use serde::Serialize;

use crate::{exit::WrongArgument, output, serve};

/// Look at a cluster of servers.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Print the nodes of a cluster. Exit with status 1 if more than half of the members are out of touch, or if NATS has no
    /// majority of its servers.
    Status(Status),
    /// Print where a user or a channel is: its home, which gathers what is known of it, and the edge, which has the user's
    /// session. null stands for nowhere.
    Where(Where),
}

#[derive(Debug, clap::Args)]
struct Cluster {
    /// Servers of NATS that the cluster is on.
    #[arg(long, value_name = "nats://HOST:PORT[,nats://…]", value_delimiter = ',', required_unless_present = "config")]
    cluster: Vec<String>,
    /// Name of the cluster [default: main].
    #[arg(long, value_name = "NAME")]
    cluster_name: Option<ClusterName>,
    /// Config file of a node: its `[cluster]` says where NATS is, and how to log in there.
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
}

#[derive(Debug, clap::Args)]
struct Status {
    #[command(flatten)]
    cluster: Cluster,
    /// How to print it.
    #[arg(long, value_name = "FORMAT", value_enum, default_value_t = Format::Text)]
    format: Format,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Format {
    /// As JSON, in one line.
    Json,
    /// As a table.
    Text,
}

#[derive(Debug, clap::Args)]
struct Where {
    #[command(flatten)]
    cluster: Cluster,
    /// App ID of the project.
    #[arg(long, value_name = "APPID", env = "RTM_APP_ID")]
    app_id: AppId,
    #[command(flatten)]
    who: Who,
}

#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
struct Who {
    /// A user.
    #[arg(long, value_name = "UID")]
    user: Option<UserId>,
    /// A channel.
    #[arg(long, value_name = "ROOM")]
    channel: Option<ChannelId>,
}

pub(crate) async fn run(args: Args) -> anyhow::Result<()> {
    match args.action {
        Action::Status(args) => status(args).await,
        Action::Where(args) => whereabouts(args).await,
    }
}

async fn status(args: Status) -> anyhow::Result<()> {
    let status = probe(args.cluster).await?.status().await?;
    output::line(match args.format {
        Format::Json => serde_json::to_string(&Printed::from(&status)).context("cannot write JSON")?,
        Format::Text => table(&status),
    })?;
    anyhow::ensure!(status.has_majority(), "more than half of the members are out of touch");
    Ok(())
}

async fn whereabouts(args: Where) -> anyhow::Result<()> {
    let probe = probe(args.cluster).await?;
    let found = match (args.who.user, args.who.channel) {
        (Some(user), _) => probe.find_user(&args.app_id, &user).await?,
        (_, Some(channel)) => probe.find_channel(&args.app_id, &channel).await?,
        (None, None) => return Err(WrongArgument("neither a user nor a channel is named".to_owned()).into()),
    };
    let name = |node: &Option<rtm_server::NodeName>| node.as_ref().map(ToString::to_string);
    output::line(serde_json::json!({ "home": name(&found.home), "edge": name(&found.edge) }))
}

async fn probe(cluster: Cluster) -> anyhow::Result<ClusterProbe> {
    let config = config(&cluster.cluster, cluster.cluster_name, cluster.config.as_deref())?;
    Ok(ClusterProbe::connect(&config).await?)
}

/// The cluster of a config file; what the flags say of it comes first. Clap would show an address that is none with its password.
pub(crate) fn config(nats: &[String], name: Option<ClusterName>, file: Option<&Path>) -> anyhow::Result<ClusterConfig> {
    let nats = addresses(nats)?;
    let mut config = match file {
        Some(file) => {
            let (config, _) = serve::read(Some(file))?;
            config.check().with_context(|| format!("{} is not a valid configuration", file.display()))?;
            config.cluster.with_context(|| format!("{} has no [cluster]", file.display()))?
        }
        None => ClusterConfig::new(Vec::new()),
    };
    if !nats.is_empty() {
        config.nats = nats;
    }
    if let Some(name) = name {
        config.name = name;
    }
    Ok(config)
}

/// The addresses of `--cluster`. One that is none is no wrong argument: whatever is wrong with the way to NATS gives 1, so that
/// a supervisor need not know where the address came from.
pub(crate) fn addresses(urls: &[String]) -> Result<Vec<NatsUrl>, InvalidNatsUrl> {
    urls.iter().map(|url| url.parse()).collect()
}

/// A status as it is printed as JSON.
#[derive(Serialize)]
struct Printed<'a> {
    epoch: u64,
    nodes: Vec<PrintedNode<'a>>,
}

#[derive(Serialize)]
struct PrintedNode<'a> {
    node: &'a str,
    incarnation: u64,
    state: &'static str,
    version: Option<&'a str>,
    sessions: Option<usize>,
    lease_age_ms: u64,
}

impl<'a> From<&'a ClusterStatus> for Printed<'a> {
    fn from(status: &'a ClusterStatus) -> Self {
        let nodes = status.nodes.iter().map(|node| PrintedNode {
            node: node.node.as_str(),
            incarnation: node.incarnation,
            state: node.state.as_str(),
            version: node.version.as_deref(),
            sessions: node.sessions,
            lease_age_ms: u64::try_from(node.lease_age.as_millis()).unwrap_or(u64::MAX),
        });
        Self { epoch: status.epoch, nodes: nodes.collect() }
    }
}

fn table(status: &ClusterStatus) -> String {
    let width = status.nodes.iter().map(|node| node.node.as_str().len()).max().unwrap_or(0).max(4);
    let mut lines = vec![
        format!("epoch {}", status.epoch),
        format!("{:<width$}  {:<8}  {:>8}  {:>10}  version", "node", "state", "sessions", "lease age"),
    ];
    lines.extend(status.nodes.iter().map(|node| {
        let sessions = node.sessions.map_or_else(|| "?".to_owned(), |sessions| sessions.to_string());
        let age = format!("{:.1} s", node.lease_age.as_secs_f64());
        let version = node.version.as_deref().unwrap_or("?");
        format!("{:<width$}  {:<8}  {sessions:>8}  {age:>10}  {version}", node.node.as_str(), node.state.as_str())
    }));
    lines.join("\n")
}
