//! How fast events are consumed on the vendor's wire: by this project's client, and by the vendor's SDK under Node.

use std::{
    io::{BufRead as _, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Instant,
};

use anyhow::Context as _;
use rtm_client::{RtmMessage, Wire};
use tokio::sync::oneshot;

use crate::{
    candidate::{Candidate, package_version},
    ours,
    process::{Server, installed, process_cpu, this_thread, thread_cpu, version},
    rival::runtime,
    run::{Recorder, Run},
};

/// The vendor's SDK and what runs it.
#[derive(Debug, Clone)]
pub(crate) struct Sdk {
    node: PathBuf,
    folder: PathBuf,
}

/// The runs; without Node or the SDK ours alone.
pub(crate) fn runs(candidates: &[Candidate]) -> Vec<Run> {
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
            rtm_load::receive(&mut user.events, WARM_UP + EVENTS, |_| {}).await?;
            // Its receipts may still have to go out.
            let _ = wait_over.await;
            anyhow::Ok(())
        })
    });
    let Ok(consumer) = wait_ready.recv() else {
        consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))??;
        anyhow::bail!("the consumer ended early");
    };
    publish(server, EVENTS, || thread_cpu(&consumer), recorder)?;
    drop(over);
    consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?
}

fn consume_in_node(sdk: &Sdk, server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    let events = EVENTS / 10;
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
        rtm_load::send_to_peer(&sender, CONSUMER, &message, WARM_UP, WINDOW, None, || {}).await?;
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
const SDK_PACKAGE: &str = "node_modules/ar-rtm-sdk/package.json";
const CONSUMER: &str = "consumer";
const EVENTS: u64 = 200_000;
/// Node compiles what it runs often.
const WARM_UP: u64 = 5000;
const WINDOW: usize = 512;
