//! How fast events are consumed and messages are sent on the vendor's wire: by this project's client, and by the vendor's SDK
//! under Node.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context as _;
use rtm_client::{RtmMessage, Wire};
use tokio::sync::oneshot;

use crate::{
    candidate::{Candidate, package_version},
    ours,
    process::{Server, installed, process_cpu, this_thread, thread_cpu, version},
    rival::runtime,
    run::{Recorder, Run, scaled},
    side::Side,
};

/// The vendor's SDK and what runs it.
#[derive(Debug, Clone)]
pub(crate) struct Sdk {
    node: PathBuf,
    folder: PathBuf,
}

/// The runs that consume; without Node or the SDK ours alone.
pub(crate) fn consumers(candidates: &[Candidate]) -> Vec<Run> {
    let mut runs = Vec::new();
    for candidate in candidates {
        let server = candidate.clone();
        runs.push(Run::new(RUST, move |recorder| consume_here(&server.start()?, recorder)));
        if let Some(sdk) = Sdk::installed() {
            let server = candidate.clone();
            runs.push(Run::new(sdk.name(), move |recorder| consume_in_node(&sdk, &server.start()?, recorder)));
        }
    }
    runs
}

/// The runs that send; without Node or the SDK ours alone.
pub(crate) fn senders(candidates: &[Candidate]) -> Vec<Run> {
    let mut runs = Vec::new();
    for candidate in candidates {
        let server = candidate.clone();
        runs.push(Run::new(RUST, move |recorder| send_to_receiver(&server.start()?, None, recorder)));
        if let Some(sdk) = Sdk::installed() {
            let server = candidate.clone();
            runs.push(Run::new(sdk.name(), move |recorder| send_to_receiver(&server.start()?, Some(&sdk), recorder)));
        }
    }
    runs
}

impl Sdk {
    /// `None` if it or Node is missing.
    pub(crate) fn installed() -> Option<Self> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-sdk");
        let node = installed("node")?;
        folder.join(SDK_PACKAGE).is_file().then_some(Self { node, folder })
    }

    /// With both versions.
    fn name(&self) -> String {
        let unknown = || "of unknown version".to_owned();
        let sdk = package_version(&self.folder.join(SDK_PACKAGE)).unwrap_or_else(unknown);
        format!("{NODE} {sdk} on Node {}", version(&self.node).unwrap_or_else(unknown))
    }
}

fn consume_here(server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    let port = server.port();
    let (ready, wait_ready) = mpsc::channel();
    let (over, wait_over) = oneshot::channel::<()>();
    let consuming = thread::spawn(move || {
        runtime()?.block_on(async {
            let mut user = ours::target(port, Wire::Vendor).log_in(CONSUMER).await?;
            ready.send(this_thread()?)?;
            rtm_load::receive(&mut user.events, warm_up() + events(), |_| {}).await?;
            // Its receipts may still have to go out.
            let _ = wait_over.await;
            anyhow::Ok(())
        })
    });
    let Ok(consumer) = wait_ready.recv() else {
        consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
        anyhow::bail!("the consumer ended early");
    };
    publish(server, events(), || thread_cpu(&consumer), recorder)?;
    drop(over);
    consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?
}

fn consume_in_node(sdk: &Sdk, server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    let events = events() / 10;
    let mut node = Command::new(&sdk.node)
        .arg(sdk.folder.join("consume.mjs"))
        .args([&format!("127.0.0.1:{}", server.port()), ours::APP_ID, CONSUMER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = node.stdout.take().context("node has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let measured = if line.trim() == "ready" {
        publish(server, events, || Ok(process_cpu(node.id())?.total), recorder)
    } else {
        Err(anyhow::anyhow!("the SDK did not log in: {line:?}"))
    };
    node.kill()?;
    node.wait()?;
    measured
}

/// Sends with this client, or with the SDK, to a receiver on the native wire that has time to spare.
fn send_to_receiver(server: &Server, sdk: Option<&Sdk>, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    let port = server.port();
    let (before, messages) = if sdk.is_some() { (BURST, BURSTS * BURST) } else { (warm_up(), events()) };
    let (ready, wait_ready) = mpsc::channel();
    let (over, wait_over) = oneshot::channel::<()>();
    let receiving = thread::spawn(move || {
        runtime()?.block_on(async {
            let mut user = ours::target(port, Wire::Native).log_in(RECEIVER).await?;
            ready.send(())?;
            rtm_load::receive(&mut user.events, before + messages, |_| {}).await?;
            let _ = wait_over.await;
            anyhow::Ok(())
        })
    });
    if wait_ready.recv().is_err() {
        receiving.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))??;
        anyhow::bail!("the receiver ended early");
    }
    let (took, cpu) = match sdk {
        Some(sdk) => send_in_node(sdk, port)?,
        None => send_here(port, messages)?,
    };
    drop(over);
    receiving.join().map_err(|_| anyhow::anyhow!("the receiver panicked"))??;
    recorder.add(SENT_PER_SECOND, messages as f64 / took);
    recorder.add("sender ns/message", cpu / messages as f64);
    Ok(())
}

/// Seconds and nanoseconds of CPU.
fn send_here(port: u16, messages: u64) -> anyhow::Result<(f64, f64)> {
    let thread = this_thread()?;
    runtime()?.block_on(async {
        let sender = ours::target(port, Wire::Vendor).log_in(SENDER).await?.client;
        let message = RtmMessage::text("x".repeat(64));
        rtm_load::send_to_peer(&sender, RECEIVER, &message, warm_up(), WINDOW, None, || {}).await?;
        let (cpu, start) = (thread_cpu(&thread)?, Instant::now());
        rtm_load::send_to_peer(&sender, RECEIVER, &message, messages, WINDOW, None, || {}).await?;
        Ok((start.elapsed().as_secs_f64(), thread_cpu(&thread)? - cpu))
    })
}

/// The SDK refuses more than 180 messages in 3 s by itself: it sends bursts, and its pauses do not count.
fn send_in_node(sdk: &Sdk, port: u16) -> anyhow::Result<(f64, f64)> {
    let (gateway, window) = (format!("127.0.0.1:{port}"), WINDOW.to_string());
    let mut command = Command::new(&sdk.node);
    command.arg(sdk.folder.join("produce.mjs")).args([&gateway, ours::APP_ID, SENDER, RECEIVER, &window]);
    let mut sender = Side::start(&mut command)?;
    sender.ask("send", BURST)?;
    let (mut seconds, mut cpu) = (0.0, 0.0);
    for _ in 0..BURSTS {
        thread::sleep(PAUSE);
        let before = sender.cpu()?;
        let took = sender.ask("send", BURST)?;
        let [took] = took[..] else { anyhow::bail!("not one time: {took:?}") };
        seconds += took as f64 / 1e9;
        cpu += sender.cpu()? - before;
    }
    Ok((seconds, cpu))
}

fn events() -> u64 {
    scaled(EVENTS)
}

fn warm_up() -> u64 {
    scaled(WARM_UP)
}

/// Sends events that the consumer confirms. The sender speaks the native wire and has time to spare.
fn publish(
    server: &Server,
    events: u64,
    consumer_cpu: impl Fn() -> anyhow::Result<f64>,
    recorder: &mut Recorder<'_>,
) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let sender = ours::target(server.port(), Wire::Native).log_in("sender").await?.client;
        let message = RtmMessage::text("x".repeat(64));
        rtm_load::send_to_peer(&sender, CONSUMER, &message, warm_up(), WINDOW, None, || {}).await?;
        let (cpu, start) = (consumer_cpu()?, Instant::now());
        rtm_load::send_to_peer(&sender, CONSUMER, &message, events, WINDOW, None, || {}).await?;
        let took = start.elapsed().as_secs_f64();
        recorder.add(EVENTS_PER_SECOND, events as f64 / took);
        recorder.add("consumer ns/event", (consumer_cpu()? - cpu) / events as f64);
        Ok(())
    })
}

pub(crate) const RUST: &str = "Rust client";
pub(crate) const NODE: &str = "vendor SDK";
pub(crate) const EVENTS_PER_SECOND: &str = "events/s";
pub(crate) const SENT_PER_SECOND: &str = "messages/s";
const SDK_PACKAGE: &str = "node_modules/ar-rtm-sdk/package.json";
const CONSUMER: &str = "consumer";
const SENDER: &str = "sender";
const RECEIVER: &str = "receiver";
const EVENTS: u64 = 200_000;
/// Node compiles what it runs often.
const WARM_UP: u64 = 5000;
const WINDOW: usize = 512;
const BURST: u64 = 150;
const BURSTS: u64 = 3;
const PAUSE: Duration = Duration::from_millis(3500);
