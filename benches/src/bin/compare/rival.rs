//! What every candidate can do, and the loads that all of them are put under.

use std::{
    path::PathBuf,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use rtm_load::{Latency, Window};
use tokio::{
    runtime::{Builder, Runtime},
    sync::oneshot,
    task::LocalSet,
};

use crate::process::{Cpu, Server, this_thread, thread_cpu};

/// A message system.
pub(crate) trait Rival: 'static {
    /// A client that sends and receives.
    type Connection: 'static;

    /// Connects a user, who receives what is sent to its name, or else to the room.
    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Self::Connection>;

    /// Connects a user who need not receive anything yet.
    async fn log_in(port: u16, user: &str) -> anyhow::Result<Self::Connection> {
        Self::connect(port, user, None).await
    }

    /// Sends copies of a message to a user or a room, and flushes.
    async fn send(connection: &mut Self::Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()>;

    /// Waits for a message; counts those that are there, up to `most`.
    async fn receive(connection: &mut Self::Connection, most: u64) -> anyhow::Result<u64>;

    /// Sends many, as fast as the window lets it.
    async fn publish(
        connection: &mut Self::Connection,
        to: &str,
        message: &Bytes,
        messages: u64,
        window: &Window,
    ) -> anyhow::Result<()> {
        let mut left = messages;
        while left > 0 {
            let room = window.take(left.min(BATCH)).await;
            Self::send(connection, to, message, room).await?;
            left -= room;
        }
        Ok(())
    }

    /// Receives many.
    async fn take(connection: &mut Self::Connection, messages: u64, window: &Window) -> anyhow::Result<()> {
        let mut left = messages;
        while left > 0 {
            let batch = Self::receive(connection, left.min(BATCH)).await?;
            window.delivered(batch);
            left -= batch;
        }
        Ok(())
    }

    /// Sends a message, waits for one, and so on.
    async fn ping(
        connection: &mut Self::Connection,
        to: &str,
        message: &Bytes,
        rounds: u64,
        latency: &mut Latency,
    ) -> anyhow::Result<()> {
        for _ in 0..rounds {
            let start = Instant::now();
            Self::send(connection, to, message, 1).await?;
            Self::receive(connection, 1).await?;
            latency.record(start.elapsed());
        }
        Ok(())
    }

    /// Waits for a message, sends one, and so on.
    async fn echo(connection: &mut Self::Connection, to: &str, message: &Bytes, rounds: u64) -> anyhow::Result<()> {
        for _ in 0..rounds {
            Self::receive(connection, 1).await?;
            Self::send(connection, to, message, 1).await?;
        }
        Ok(())
    }
}

/// A load of messages from one publisher.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Load {
    pub(crate) bytes: usize,
    /// How many are in the room; 0 if the messages go to a user.
    pub(crate) members: usize,
    pub(crate) window: u64,
    pub(crate) messages: u64,
}

/// What a load cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Throughput {
    pub(crate) per_second: f64,
    /// All in nanoseconds per delivery.
    pub(crate) server: f64,
    pub(crate) server_user: f64,
    pub(crate) publisher: f64,
    /// `None` if it is part of the publisher's.
    pub(crate) receiver: Option<f64>,
}

/// Measures a load: publisher and receivers on a thread each, the server in its process. A tenth of the messages goes
/// before, to warm up.
pub(crate) fn throughput<R: Rival>(server: &Server, load: Load) -> anyhow::Result<Throughput> {
    let receivers = load.members.max(1) as u64;
    let warm_up = load.messages.div_ceil(10);
    let window = Arc::new(Window::new(load.window, receivers));
    let (ready, wait_ready) = mpsc::channel::<PathBuf>();
    // Receivers stay until everything is measured.
    let (over, wait_over) = oneshot::channel::<()>();
    let receiving = thread::spawn({
        let window = Arc::clone(&window);
        let ports = (0..receivers as usize).map(|number| server.receiver_port(number)).collect();
        move || receive_all::<R>(ports, load, warm_up + load.messages, &window, &ready, wait_over)
    });
    let Ok(receiver) = wait_ready.recv() else {
        receiving.join().map_err(|_| anyhow::anyhow!("the receivers panicked"))??;
        anyhow::bail!("the receivers ended early");
    };

    let message = payload(load.bytes);
    let publisher = this_thread()?;
    let (before, after, took) = runtime()?.block_on(async {
        let room = (load.members > 0).then_some(ROOM);
        let to = room.unwrap_or(RECEIVER);
        let mut connection = R::connect(server.port(), "publisher", room).await?;
        let snapshot = || -> anyhow::Result<_> { Ok((server.cpu()?, thread_cpu(&publisher)?, thread_cpu(&receiver)?)) };
        let publish = async {
            R::publish(&mut connection, to, &message, warm_up, &window).await?;
            window.all_delivered().await;
            let (before, start) = (snapshot()?, Instant::now());
            R::publish(&mut connection, to, &message, load.messages, &window).await?;
            window.all_delivered().await;
            anyhow::Ok((before, snapshot()?, start.elapsed()))
        };
        tokio::time::timeout(PATIENCE, publish).await.context("not done in time")?
    })?;
    drop(over);
    receiving.join().map_err(|_| anyhow::anyhow!("the receivers panicked"))??;

    let deliveries = (load.messages * receivers) as f64;
    let cpu = |part: fn(&Cpu) -> f64| (part(&after.0) - part(&before.0)) / deliveries;
    Ok(Throughput {
        per_second: deliveries / took.as_secs_f64(),
        server: cpu(|cpu| cpu.total),
        server_user: cpu(|cpu| cpu.user),
        publisher: (after.1 - before.1) / deliveries,
        receiver: Some((after.2 - before.2) / deliveries),
    })
}

/// Measures round trips through the server: from one user to another and back, one at a time.
pub(crate) fn round_trips<R: Rival>(server: &Server, bytes: usize, rounds: u64) -> anyhow::Result<Latency> {
    let (ready, wait_ready) = mpsc::channel::<()>();
    let (over, wait_over) = oneshot::channel::<()>();
    let port = server.receiver_port(0);
    let echoing = thread::spawn(move || {
        runtime()?.block_on(async {
            let mut connection = R::connect(port, RECEIVER, None).await?;
            ready.send(())?;
            R::echo(&mut connection, "publisher", &payload(bytes), rounds + WARM_UP_ROUNDS).await?;
            // What was sent last may still have to go out.
            let _ = wait_over.await;
            anyhow::Ok(())
        })
    });
    if wait_ready.recv().is_err() {
        echoing.join().map_err(|_| anyhow::anyhow!("the echo panicked"))??;
        anyhow::bail!("the echo ended early");
    }
    let latency = runtime()?.block_on(async {
        let mut connection = R::connect(server.port(), "publisher", None).await?;
        let (message, mut latency) = (payload(bytes), Latency::new());
        R::ping(&mut connection, RECEIVER, &message, WARM_UP_ROUNDS, &mut Latency::new()).await?;
        let ping = R::ping(&mut connection, RECEIVER, &message, rounds, &mut latency);
        tokio::time::timeout(PATIENCE, ping).await.context("not done in time")??;
        anyhow::Ok(latency)
    })?;
    drop(over);
    echoing.join().map_err(|_| anyhow::anyhow!("the echo panicked"))??;
    Ok(latency)
}

/// Memory of a server in bytes per connection: idle, and after each has carried one message to itself.
pub(crate) fn idle<R: Rival>(server: &Server, connections: usize, bytes: usize) -> anyhow::Result<(f64, f64)> {
    let base = server.resident()?;
    let per_connection = |resident: f64| (resident - base) / connections as f64;
    runtime()?.block_on(async {
        let mut users = Vec::with_capacity(connections);
        while users.len() < connections {
            let batch = (users.len()..connections.min(users.len() + 64)).map(|number| async move {
                R::connect(server.user_port(number), &format!("user-{number}"), None).await
            });
            users.extend(futures::future::try_join_all(batch).await?);
        }
        tokio::time::sleep(SETTLE).await;
        let fresh = per_connection(server.resident()?);
        let message = payload(bytes);
        for (number, user) in users.iter_mut().enumerate() {
            R::send(user, &format!("user-{number}"), &message, 1).await?;
            R::receive(user, 1).await?;
        }
        tokio::time::sleep(SETTLE).await;
        Ok((fresh, per_connection(server.resident()?)))
    })
}

/// Logs users in one after another, so many at a time, and says how many per second. They stay until all are there.
pub(crate) fn logins<R: Rival>(server: &Server, users: usize, at_once: usize) -> anyhow::Result<f64> {
    runtime()?.block_on(async {
        let start = Instant::now();
        let connect =
            |number: usize| async move { R::log_in(server.user_port(number), &format!("user-{number}")).await };
        let users: Vec<_> =
            futures::stream::iter(0..users).map(connect).buffer_unordered(at_once).try_collect().await?;
        Ok(users.len() as f64 / start.elapsed().as_secs_f64())
    })
}

/// The runtime of one thread.
pub(crate) fn runtime() -> anyhow::Result<Runtime> {
    Builder::new_current_thread().enable_all().build().context("cannot start a runtime")
}

/// A text, which every candidate can carry.
pub(crate) fn payload(bytes: usize) -> Bytes {
    Bytes::from("x".repeat(bytes))
}

fn receive_all<R: Rival>(
    ports: Vec<u16>,
    load: Load,
    messages: u64,
    window: &Arc<Window>,
    ready: &mpsc::Sender<PathBuf>,
    over: oneshot::Receiver<()>,
) -> anyhow::Result<()> {
    let local = LocalSet::new();
    local.block_on(&runtime()?, async {
        let room = (load.members > 0).then_some(ROOM);
        let mut tasks = Vec::new();
        for (number, port) in ports.into_iter().enumerate() {
            let user = if room.is_some() { format!("member-{number}") } else { RECEIVER.to_owned() };
            let mut connection = R::connect(port, &user, room).await?;
            let window = Arc::clone(window);
            tasks.push(tokio::task::spawn_local(async move {
                R::take(&mut connection, messages, &window).await?;
                anyhow::Ok(connection)
            }));
        }
        ready.send(this_thread()?)?;
        let mut connections = Vec::new();
        for task in tasks {
            connections.push(task.await??);
        }
        // Whoever is to say so may have failed; that is told elsewhere.
        let _ = over.await;
        Ok(())
    })
}

/// How many messages a batching client sends with one flush.
pub(crate) const BATCH: u64 = 64;
pub(crate) const WARM_UP_ROUNDS: u64 = 200;
/// A load that takes longer than this has hung.
pub(crate) const PATIENCE: Duration = Duration::from_secs(180);
/// How long a server may take to give back what it does not need.
const SETTLE: Duration = Duration::from_secs(1);
const RECEIVER: &str = "receiver";
pub(crate) const ROOM: &str = "room";
