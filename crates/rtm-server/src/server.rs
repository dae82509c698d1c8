//! The server as its user sees it.

mod back_ends;
mod builder;
#[cfg(feature = "cluster")]
mod join;
mod premises;
pub(crate) mod reload;
mod shutdown;
mod users;

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, atomic::Ordering},
};

use rtm_codec::AppId;
use rtm_core::{Stats, store::BackendStats};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    task::JoinHandle,
};

use self::reload::{Reloaded, Reloader};
#[cfg(feature = "admin")]
use crate::admin::{Admin, AdminListener};
#[cfg(feature = "cluster")]
use crate::cluster::Member;
use crate::{
    config::ServerConfig,
    error::{NotServed, ReloadError, ServerError},
    handle::ServerHandle,
    project::Project,
    remote::Remote,
    shared::Shared,
    store::Store,
};

pub use builder::ServerBuilder;

/// A running server. Dropping it ends everything at once; [`shutdown`](Self::shutdown) lets clients go first. Its ports
/// are free when `shutdown` returns; after a drop, as soon as the runtime has run its tasks once more.
///
/// ```
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
/// use rtm_server::{AppId, Server};
///
/// let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
/// let server = Server::builder().project(app_id).bind("127.0.0.1:0").await?;
/// println!("listening on {}", server.local_addr());
/// server.shutdown().await;
/// # Ok(())
/// # }
/// ```
#[derive(Debug)]
pub struct Server {
    addresses: Vec<SocketAddr>,
    shared: Arc<Shared>,
    listeners: Vec<JoinHandle<()>>,
    timers: Vec<JoinHandle<()>>,
    store: Option<Store>,
    reloader: Arc<Reloader>,
    #[cfg(feature = "admin")]
    admin: Arc<Admin>,
    #[cfg(feature = "admin")]
    admin_listener: AdminListener,
    #[cfg(feature = "cluster")]
    member: Option<Member>,
}

/// The figures of a server at one moment.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct ServerStats {
    /// Open connections, including those in their handshake.
    pub connections: usize,
    /// The figures of each project.
    pub projects: BTreeMap<AppId, Stats>,
    /// Refused logins of each project since the start.
    pub refused_logins: BTreeMap<AppId, u64>,
    /// Refused logins since the start with an App ID that this server does not have.
    pub refused_logins_without_project: u64,
}

impl Server {
    /// A builder without projects and with default settings.
    #[must_use]
    pub fn builder() -> ServerBuilder {
        ServerBuilder::default()
    }

    /// Starts a server with a configuration, on the addresses in it.
    ///
    /// # Errors
    ///
    /// Those of [`ServerBuilder::start`].
    pub async fn start(config: ServerConfig) -> Result<Self, ServerError> {
        ServerBuilder::from(config).start().await
    }

    /// The address it listens at; the first, if there are several.
    ///
    /// # Panics
    ///
    /// If it listens nowhere, since it was made by [`ServerBuilder::build`]; [`local_addrs`](Self::local_addrs) is empty
    /// then.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        *self.addresses.first().expect("the server was built to listen nowhere")
    }

    /// All addresses it listens at.
    #[must_use]
    pub fn local_addrs(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// All addresses of the listener for those who run it.
    #[cfg(feature = "admin")]
    #[must_use]
    pub fn admin_addrs(&self) -> &[SocketAddr] {
        &self.admin_listener.addresses
    }

    /// Reads the configuration anew ([`ServerBuilder::config_source`]) and goes by it, as far as that is possible without a restart:
    /// projects, certificates, limits, keys, TLS and the level of the log. All of it is taken, or nothing. Sessions stay; clients
    /// of a project that is not there any more are sent away. What has changed is logged, by its keys. Cancelling it may
    /// leave the old configuration.
    ///
    /// # Errors
    ///
    /// [`ReloadError`] says why the server goes on as before.
    pub async fn reload(&self) -> Result<Reloaded, ReloadError> {
        self.reloader.reload().await
    }

    /// Waits until an operator wants the server to go down, by its admin API: [`shutdown`](Self::shutdown) is then the program's
    /// to call. Cancel safe.
    #[cfg(feature = "admin")]
    pub async fn drain_asked(&self) {
        self.admin.drain_asked.notified().await;
    }

    /// Waits until the server was put out of its cluster and cannot join it again: another server has its name by now, or the others
    /// speak what this version does not understand. It serves nobody then, and [`shutdown`](Self::shutdown) is the program's to call.
    /// Never ready without a cluster. Cancel safe.
    #[cfg(feature = "cluster")]
    pub async fn refused_by_cluster(&self) -> crate::ClusterError {
        match &self.member {
            Some(member) => member.refused().await,
            None => std::future::pending().await,
        }
    }

    /// What gives it connections that it did not accept itself: [`ServerHandle::serve`], and behind the features `http`
    /// and `tower-service` the requests of an HTTP server.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { shared: Arc::clone(&self.shared) }
    }

    /// Serves a client at the other end of any stream of bytes: [`ServerHandle::serve`].
    ///
    /// # Errors
    ///
    /// [`NotServed`] when the client's address has too many connections or made too many.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future before it is ready drops the stream.
    pub async fn serve<S>(&self, io: S, remote: impl Into<Remote>) -> Result<(), NotServed>
    where
        S: AsyncRead + AsyncWrite + Send + 'static,
    {
        self.handle().serve(io, remote).await
    }

    /// The server as a service of an application's HTTP server: [`RtmService`](crate::RtmService).
    #[cfg(feature = "tower-service")]
    #[must_use]
    pub fn service(&self) -> crate::RtmService {
        crate::RtmService::new(self.handle())
    }

    /// The current figures.
    #[must_use]
    pub fn stats(&self) -> ServerStats {
        let live = self.shared.live();
        let projects = live.projects.iter();
        let refused = |project: &Arc<Project>| project.refused_logins().load(Ordering::Relaxed);
        ServerStats {
            connections: self.shared.tasks.len(),
            projects: projects.clone().map(|(app_id, workers)| (app_id.clone(), workers.stats())).collect(),
            refused_logins: projects
                .map(|(app_id, workers)| (app_id.clone(), workers.all().map(refused).sum()))
                .collect(),
            refused_logins_without_project: self.shared.refused_logins.load(Ordering::Relaxed),
        }
    }

    /// How much the backend stores, after everything that was asked of it until now; `None` if it does not count.
    /// Cancel safe.
    pub async fn store_stats(&self) -> Option<BackendStats> {
        match &self.store {
            Some(store) => store.queue().stats().await,
            None => None,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop_tasks();
        self.shared.draining.begin();
        self.shared.tasks.abort();
    }
}

#[cfg(all(test, feature = "admin"))]
mod tests {
    use std::{
        sync::{atomic::Ordering, mpsc},
        thread,
        time::Duration,
    };

    use tokio::{task::yield_now, time::timeout};

    use super::*;

    async fn server() -> Server {
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").expect("it is an App ID");
        Server::builder().project(app_id).bind("127.0.0.1:0").await.expect("it starts")
    }

    // On threads of its own: what else the server does with the project meanwhile waits for the lock too.
    #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
    async fn a_server_is_not_alive_while_a_lock_is_stuck() {
        let server = server().await;
        let handle = server.handle();
        assert!(handle.is_alive().await);
        let project = server.shared.cores().swap_remove(0);
        let ((taken, is_taken), (release, is_released)) = (mpsc::channel(), mpsc::channel::<()>());
        let holder = thread::spawn(move || {
            project.look(|_, _, _| {
                taken.send(()).unwrap();
                let _ = is_released.recv_timeout(Duration::from_secs(20));
            });
        });
        is_taken.recv().unwrap();
        assert!(timeout(Duration::from_millis(100), handle.is_alive()).await.is_err());
        release.send(()).unwrap();
        holder.join().unwrap();
        assert!(handle.is_alive().await);
    }

    #[tokio::test]
    async fn a_server_that_has_lost_a_listener_is_not_alive() {
        let server = server().await;
        server.listeners[0].abort();
        while !server.listeners[0].is_finished() {
            yield_now().await;
        }
        assert!(!server.handle().is_alive().await);
    }

    #[tokio::test]
    async fn who_probes_a_server_often_has_it_looked_at_once_a_second() {
        let server = server().await;
        assert!(server.shared.says_it_lives().await);
        let looked_at = server.shared.last_alive.lock().await.map(|(at, _)| at);
        assert!(server.shared.says_it_lives().await);
        assert_eq!(server.shared.last_alive.lock().await.map(|(at, _)| at), looked_at);
        *server.shared.last_alive.lock().await = looked_at.map(|at| (at - Duration::from_secs(1), false));
        assert!(server.shared.says_it_lives().await);
    }

    #[tokio::test]
    async fn a_server_is_ready_again_when_it_has_descriptors_though_nobody_connects() {
        let server = server().await;
        server.shared.has_no_descriptors.store(true, Ordering::Relaxed);
        assert!(server.shared.unready().is_empty());
    }

    #[tokio::test]
    async fn a_server_that_goes_down_is_alive_until_it_is_gone() {
        let server = server().await;
        let handle = server.handle();
        server.shutdown().await;
        assert!(handle.is_alive().await);
    }
}
