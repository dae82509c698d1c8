//! The calls of the API on the server itself.

use std::{
    fs::Metadata,
    net::{Ipv4Addr, Ipv6Addr},
    num::NonZeroUsize,
    path::Path,
    sync::Arc,
    time::SystemTime,
};

use axum::{
    Extension, Json,
    extract::{Query, State},
};
use rtm_core::{Quotas, store::StoredBytes};
use serde::{Deserialize, Serialize};
use tokio::task::spawn_blocking;

use super::{
    Admin,
    access::Caller,
    answers::{ApiError, Checked, List, rfc3339},
    audit::Entry,
    config::AdminRole,
    log::LogControl,
};
use crate::{
    config::{
        show_limit,
        sources::{ConfigSource, Setting},
    },
    error::ReloadError,
    server::reload::Reloaded,
    tls::CertificateInfo,
};

/// Which part of a list is wanted.
#[derive(Debug, Deserialize)]
pub(super) struct Part {
    pub(super) limit: Option<NonZeroUsize>,
    pub(super) cursor: Option<String>,
}

impl Part {
    /// How many items at most.
    pub(super) fn limit(&self) -> usize {
        self.limit.map_or(100, NonZeroUsize::get).min(1000)
    }

    /// The number that the cursor stands for, if there is one.
    pub(super) fn number<N: std::str::FromStr>(&self) -> Result<Option<N>, ApiError> {
        let read =
            |cursor: &String| cursor.parse().map_err(|_| ApiError::bad_request("this cursor is not one of ours"));
        self.cursor.as_ref().map(read).transpose()
    }
}

#[derive(Debug, Serialize)]
pub(super) struct KeyAnswer {
    name: String,
    role: &'static str,
    /// The projects that it is for, where those are not all.
    projects: Option<Vec<String>>,
}

#[derive(Debug, Serialize)]
pub(super) struct ServerAnswer {
    version: &'static str,
    started: String,
    ready: bool,
    reasons: Vec<&'static str>,
    draining: bool,
    connections: usize,
    connections_limit: usize,
    listen: Vec<String>,
    tls: bool,
    cluster: bool,
    projects: usize,
    /// When the first of its certificates ends.
    certificate_ends: Option<String>,
    last_reload: ReloadState,
    disk: Option<Disk>,
}

/// How the last reload ended; the start counts as one.
#[derive(Debug, Serialize)]
struct ReloadState {
    succeeded: String,
    fault: Option<String>,
}

/// What the store takes, and what is left for it.
#[derive(Debug, Serialize)]
struct Disk {
    data_dir: String,
    used_bytes: u64,
    free_bytes: Option<u64>,
}

/// A setting, and who has said it.
#[derive(Debug, Serialize)]
pub(super) struct SettingAnswer {
    key: String,
    value: String,
    source: &'static str,
    /// The variable or the flag.
    from: Option<String>,
    /// Whether a reload takes another value.
    reload: bool,
    about: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct CertificateAnswer {
    listener: &'static str,
    file: String,
    names: Vec<String>,
    valid_from: Option<String>,
    valid_until: Option<String>,
    days_left: Option<u64>,
    fault: Option<&'static str>,
}

/// Which settings are wanted.
#[derive(Debug, Deserialize)]
pub(super) struct SettingFilter {
    limit: Option<NonZeroUsize>,
    cursor: Option<String>,
    /// Only keys that begin so.
    prefix: Option<String>,
    /// Only those that somebody has set, or only the others.
    set: Option<bool>,
}

#[derive(Debug, Serialize)]
pub(super) struct ProjectAnswer {
    app_id: String,
    connections: usize,
    sessions: usize,
    users_online: usize,
    channels: usize,
    invitations: usize,
    peer_messages: u64,
    channel_messages: u64,
    events: u64,
    calls: u64,
    refused_calls: u64,
    /// The number of the last event in the log, as far as this server knows.
    last_event: u64,
    /// Tokens of all users are refused that were issued before.
    tokens_revoked_before: Option<String>,
    quotas: QuotasAnswer,
    /// What the store keeps; `None` where that is not measured.
    stored_bytes: Option<StoredBytesAnswer>,
}

#[derive(Debug, Serialize)]
struct QuotasAnswer {
    max_connections: usize,
    max_channels: usize,
    stored_bytes: u64,
    event_log_bytes: u64,
    /// As the configuration has it.
    rest: String,
}

#[derive(Debug, Serialize)]
struct StoredBytesAnswer {
    offline: u64,
    history: u64,
    channel_attributes: u64,
    events: u64,
}

#[derive(Debug, Serialize)]
pub(super) struct ClusterAnswer {
    node: String,
    epoch: u64,
    nodes: Vec<NodeAnswer>,
}

#[derive(Debug, Serialize)]
struct NodeAnswer {
    node: String,
    role: &'static str,
    version: Option<String>,
    sessions: Option<usize>,
}

#[derive(Debug, Serialize)]
pub(super) struct DrainAnswer {
    draining: bool,
    connections: usize,
    sessions: usize,
}

#[derive(Debug, Serialize)]
pub(super) struct ReloadAnswer {
    changed: Vec<String>,
    needs_restart: Vec<String>,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct LogLevel {
    level: String,
}

pub(super) async fn key(Extension(caller): Extension<Caller>) -> Json<KeyAnswer> {
    let Caller { name, role, projects, .. } = caller;
    let projects = projects.map(|projects| projects.iter().map(ToString::to_string).collect());
    Json(KeyAnswer { name, role: role.as_str(), projects })
}

pub(super) async fn server(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ServerAnswer>, ApiError> {
    caller.check(AdminRole::Read)?;
    let (shared, reasons) = (&admin.shared, admin.shared.unready());
    let ends = admin.certificates().filter_map(|(_, certificate)| certificate.until).min();
    let last = admin.reloader.last();
    let disk = match admin.reloader.data_dir.clone() {
        Some(data_dir) => spawn_blocking(move || Disk::of(&data_dir)).await.ok(),
        None => None,
    };
    Ok(Json(ServerAnswer {
        version: env!("CARGO_PKG_VERSION"),
        started: rfc3339(admin.started),
        ready: reasons.is_empty(),
        reasons,
        draining: shared.draining.is_announced(),
        connections: shared.tasks.len(),
        connections_limit: shared.admission.most_connections(),
        listen: shared.accepted.iter().map(|(address, _)| address.to_string()).collect(),
        tls: shared.tls.is_some(),
        cluster: admin.is_in_cluster(),
        projects: shared.live().projects.len(),
        certificate_ends: ends.map(rfc3339),
        last_reload: ReloadState { succeeded: rfc3339(last.succeeded), fault: last.fault },
        disk,
    }))
}

/// The configuration that the server goes by.
pub(super) async fn config(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Query(filter)): Checked<Query<SettingFilter>>,
) -> Result<Json<List<SettingAnswer>>, ApiError> {
    caller.check(AdminRole::Read)?;
    let SettingFilter { limit, cursor, prefix, set } = filter;
    let part = Part { limit, cursor };
    let is_wanted = |setting: &Setting| {
        prefix.as_deref().is_none_or(|prefix| setting.key.starts_with(prefix))
            && set.is_none_or(|set| set == (setting.source != ConfigSource::Default))
    };
    let mut settings = admin.reloader.settings().await;
    // The last one that was seen, whatever a reload has put before it.
    if let Some(last) = &part.cursor {
        let seen = settings.iter().position(|setting| setting.key == *last);
        let seen = seen.ok_or_else(|| {
            ApiError::bad_request("this cursor is the key of no setting: a reload may have removed it, so begin again")
        })?;
        settings.drain(..=seen);
    }
    settings.retain(is_wanted);
    let next = settings.get(part.limit()..).filter(|rest| !rest.is_empty());
    let next = next.and_then(|_| settings.get(part.limit() - 1)).map(|last| last.key.clone());
    let answer = |Setting { key, value, source, is_live, about }| SettingAnswer {
        key,
        value,
        source: source.as_str(),
        from: source.name().map(ToOwned::to_owned),
        reload: is_live,
        about,
    };
    Ok(Json(List { items: settings.into_iter().take(part.limit()).map(answer).collect(), next }))
}

pub(super) async fn certificates(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<List<CertificateAnswer>>, ApiError> {
    caller.check(AdminRole::Read)?;
    let days = |until: SystemTime| until.duration_since(SystemTime::now()).map_or(0, |left| left.as_secs() / DAY);
    let answer = |(listener, info): (&'static str, CertificateInfo)| CertificateAnswer {
        listener,
        file: info.file,
        names: info.names,
        valid_from: info.from.map(rfc3339),
        valid_until: info.until.map(rfc3339),
        days_left: info.until.map(days),
        fault: info.fault,
    };
    Ok(Json(List { items: admin.certificates().map(answer).collect(), next: None }))
}

pub(super) async fn cluster(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ClusterAnswer>, ApiError> {
    caller.check(AdminRole::Read)?;
    admin.cluster_answer().map(Json).ok_or_else(|| ApiError::unavailable("this server is in no cluster"))
}

pub(super) async fn projects(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Json<List<ProjectAnswer>> {
    let mut looks = admin.look_at_projects().await;
    looks.retain(|look| caller.sees(&look.app_id));
    let mut items = Vec::new();
    for (look, stored) in looks.iter().zip(admin.measure(&looks).await) {
        let stats = look.stats;
        items.push(ProjectAnswer {
            app_id: look.app_id.to_string(),
            connections: stats.connections,
            sessions: stats.sessions,
            users_online: stats.users,
            channels: stats.channels,
            invitations: stats.invitations,
            peer_messages: stats.peer_messages,
            channel_messages: stats.channel_messages,
            events: stats.events,
            calls: look.calls(),
            refused_calls: look.refused_calls(),
            last_event: look.last_event(),
            tokens_revoked_before: super::actions::time(look.tokens_from),
            quotas: {
                let Quotas { max_connections, max_channels, stored_bytes, event_log_bytes, .. } = look.quotas;
                let rest = show_limit(look.rest_limit);
                QuotasAnswer { max_connections, max_channels, stored_bytes, event_log_bytes, rest }
            },
            stored_bytes: stored.map(|StoredBytes { offline, history, channel_attributes, events }| {
                StoredBytesAnswer { offline, history, channel_attributes, events }
            }),
        });
    }
    Json(List { items, next: None })
}

pub(super) async fn drain_progress(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<DrainAnswer>, ApiError> {
    caller.check(AdminRole::Read)?;
    Ok(Json(admin.drain_answer(admin.shared.draining.is_announced())))
}

pub(super) async fn drain(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<DrainAnswer>, ApiError> {
    caller.check(AdminRole::Admin)?;
    admin.audit.record(&caller, "drain", "server");
    // Whoever asks next learns it, however soon the program does what is asked.
    admin.shared.draining.announce();
    admin.drain_asked.notify_one();
    Ok(Json(admin.drain_answer(true)))
}

pub(super) async fn reload(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<ReloadAnswer>, ApiError> {
    caller.check(AdminRole::Admin)?;
    let level = admin.log.as_ref().map(LogControl::level);
    let done = admin.reloader.reload().await;
    if done.is_ok() {
        admin.record_at(level.as_deref(), &caller, "reload", "server");
    }
    match done {
        Ok(Reloaded { changed, needs_restart }) => Ok(Json(ReloadAnswer { changed, needs_restart })),
        Err(error @ (ReloadError::NoSource | ReloadError::ShuttingDown)) => {
            Err(ApiError::unavailable(&error.to_string()))
        }
        Err(error) => Err(ApiError::bad_request(format!("nothing has changed: {error}"))),
    }
}

pub(super) async fn log_level(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
) -> Result<Json<LogLevel>, ApiError> {
    caller.check(AdminRole::Read)?;
    let log = admin.log.as_ref().ok_or_else(no_log)?;
    Ok(Json(LogLevel { level: log.level() }))
}

pub(super) async fn set_log_level(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Json(LogLevel { level })): Checked<Json<LogLevel>>,
) -> Result<Json<LogLevel>, ApiError> {
    caller.check(AdminRole::Admin)?;
    let log = admin.log.as_ref().ok_or_else(no_log)?;
    let before = log.level();
    log.set_level(&level).map_err(ApiError::bad_request)?;
    admin.record_at(Some(&before), &caller, "log_level", &level);
    Ok(Json(LogLevel { level }))
}

pub(super) async fn audit(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Query(part)): Checked<Query<Part>>,
) -> Result<Json<List<Entry>>, ApiError> {
    caller.check(AdminRole::Admin)?;
    let items = admin.audit.before(part.number()?, part.limit());
    let next = items.last().filter(|last| items.len() == part.limit() && last.number > 1);
    Ok(Json(List { next: next.map(|last| last.number.to_string()), items }))
}

impl Disk {
    /// Blocks.
    fn of(data_dir: &Path) -> Self {
        let files = std::fs::read_dir(data_dir).into_iter().flatten().flatten();
        let sizes = files.filter_map(|file| file.metadata().ok()).filter(Metadata::is_file).map(|file| file.len());
        Self {
            data_dir: data_dir.display().to_string(),
            used_bytes: sizes.sum(),
            free_bytes: FileSystem::of(data_dir).map(|it| it.free),
        }
    }
}

/// The file system of a directory, in bytes.
#[derive(Debug, Clone, Copy)]
pub(super) struct FileSystem {
    /// What whoever runs the server may still write.
    pub(super) free: u64,
    pub(super) size: u64,
}

impl FileSystem {
    #[cfg(unix)]
    pub(super) fn of(directory: &Path) -> Option<Self> {
        let disk = rustix::fs::statvfs(directory).ok()?;
        let bytes = |blocks: u64| blocks.checked_mul(disk.f_frsize);
        Some(Self { free: bytes(disk.f_bavail)?, size: bytes(disk.f_blocks)? })
    }

    #[cfg(not(unix))]
    pub(super) fn of(_: &Path) -> Option<Self> {
        None
    }
}

fn no_log() -> ApiError {
    ApiError::unavailable("the log of this program is not the server's to change")
}

impl Admin {
    /// Takes note of a change after which the log may have another level than before: one that is turned down still has who did
    /// that.
    fn record_at(&self, before: Option<&str>, caller: &Caller, action: &'static str, target: &str) {
        let log = self.log.as_ref().filter(|_| !tracing::enabled!(target: "rtm::audit", tracing::Level::INFO));
        let Some((log, before)) = log.zip(before) else { return self.audit.record(caller, action, target) };
        let level = log.level();
        // Both were levels of this log.
        let _ = log.set_level(before);
        self.audit.record(caller, action, target);
        let _ = log.set_level(&level);
    }

    /// The certificates of all listeners.
    fn certificates(&self) -> impl Iterator<Item = (&'static str, CertificateInfo)> {
        let addresses = self.shared.accepted.iter().map(|(address, _)| address.ip().to_canonical());
        let addresses = addresses.chain([Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]).collect();
        let listeners = [("public", self.shared.tls.as_ref()), ("admin", self.reloader.admin.tls.as_ref())];
        listeners.into_iter().flat_map(move |(listener, tls)| {
            let certificates = tls.map(|tls| tls.certificates(&addresses)).unwrap_or_default();
            certificates.into_iter().map(move |certificate| (listener, certificate))
        })
    }

    /// Whether it is a node of a cluster, also one that has not joined yet.
    #[cfg(feature = "cluster")]
    pub(super) fn is_in_cluster(&self) -> bool {
        self.is_node
    }

    #[cfg(not(feature = "cluster"))]
    #[expect(clippy::unused_self, reason = "with clusters it is used")]
    pub(super) fn is_in_cluster(&self) -> bool {
        false
    }

    #[cfg(feature = "cluster")]
    fn cluster_answer(&self) -> Option<ClusterAnswer> {
        let crate::cluster::ClusterNodes { node, epoch, nodes } = self.cluster.get()?.figures.nodes();
        let answer = |node: crate::cluster::ClusterNode| NodeAnswer {
            node: node.name,
            role: node.role,
            version: node.version,
            sessions: node.sessions,
        };
        Some(ClusterAnswer { node, epoch, nodes: nodes.into_iter().map(answer).collect() })
    }

    #[cfg(not(feature = "cluster"))]
    #[expect(clippy::unused_self, reason = "with clusters it is used")]
    fn cluster_answer(&self) -> Option<ClusterAnswer> {
        None
    }

    fn drain_answer(&self, draining: bool) -> DrainAnswer {
        let cores = self.shared.cores();
        let sessions = cores.iter().map(|project| project.look(|core, _, _| core.figures().sessions));
        DrainAnswer { draining, connections: self.shared.tasks.len(), sessions: sessions.sum() }
    }
}

/// A time in the future, from what the clock says now.
pub(super) fn after(left: std::time::Duration) -> String {
    SystemTime::now().checked_add(left).map_or_else(|| "never".to_owned(), rfc3339)
}

const DAY: u64 = 24 * 60 * 60;
