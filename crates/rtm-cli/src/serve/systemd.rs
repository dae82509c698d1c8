//! What systemd and `rtm serve` tell each other: sockets that are open already, states, and signs of life. Without systemd nothing
//! of it happens.

use std::{net::TcpListener, time::Duration};

use anyhow::Context as _;
use listenfd::ListenFd;
use rtm_server::{ServerBuilder, ServerHandle};
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// The sockets that the process was started with.
#[derive(Debug, Default)]
pub(super) struct Sockets {
    clients: Vec<TcpListener>,
    admin: Vec<TcpListener>,
}

impl Sockets {
    /// Takes them. Those whose `FileDescriptorName=` is `admin` are for the admin listener, all others for clients.
    pub(super) fn inherited() -> anyhow::Result<Self> {
        let mut sockets = Self::default();
        // Without it nobody says that they are for this process.
        if std::env::var_os("LISTEN_PID").is_none() {
            return Ok(sockets);
        }
        let names = std::env::var("LISTEN_FDNAMES").unwrap_or_default();
        let mut names = names.split(':');
        let mut inherited = ListenFd::from_env();
        for at in 0..inherited.len() {
            let name = names.next().unwrap_or_default();
            let taken = inherited.take_tcp_listener(at);
            let socket = taken.with_context(|| format!("systemd handed over a socket that is not of TCP: {name}"))?;
            match name {
                "admin" => sockets.admin.extend(socket),
                _ => sockets.clients.extend(socket),
            }
        }
        Ok(sockets)
    }

    pub(super) fn has_admin(&self) -> bool {
        !self.admin.is_empty()
    }

    /// Has a server listen on them.
    pub(super) fn give_to(self, builder: ServerBuilder) -> ServerBuilder {
        let builder = self.clients.into_iter().fold(builder, ServerBuilder::listener);
        self.admin.into_iter().fold(builder, ServerBuilder::admin_listener)
    }
}

/// The server accepts clients, at these addresses.
pub(super) fn ready(addresses: &str) {
    tell(&[NotifyState::Ready, NotifyState::Status(&format!("listening on {addresses}"))]);
}

/// The configuration is about to be read anew. [`reloaded`] has to follow.
pub(super) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!("the clock cannot be read: {error}"),
    }
}

/// The server goes on, with another configuration or the one that it had.
pub(super) fn reloaded(status: &str) {
    // A line is a variable: an error of several lines must not set others.
    let status = status.split_whitespace().collect::<Vec<_>>().join(" ");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// The server goes down, and takes so long at most.
pub(super) fn stopping(limit: Duration) {
    let limit = u32::try_from(limit.as_micros()).unwrap_or(u32::MAX);
    let status = NotifyState::Status("asking clients to reconnect");
    tell(&[NotifyState::Stopping, status, NotifyState::ExtendTimeoutUsec(limit)]);
}

/// Gives signs of life, twice as often as systemd wants them, as long as the server really answers. Ends at once where none
/// are wanted.
pub(super) async fn show_life(server: ServerHandle) {
    let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else { return };
    let mut ticks = interval(limit / 2);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        match timeout(limit / 2, server.is_alive()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            Ok(false) | Err(_) => tracing::error!("the server does not answer: systemd gets no sign of life"),
        }
    }
}

fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(states) {
        tracing::warn!("cannot tell systemd: {error}");
    }
}
