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
    candidate::Candidate,
    ours,
    process::{Server, installed, process_cpu, this_thread, thread_cpu},
    rival::runtime,
    scenario::{Note, Run, run},
};

/// The runs; without Node or the SDK ours alone.
pub(crate) fn runs(candidates: &[Candidate]) -> Vec<Run> {
    let mut runs = Vec::new();
    for &candidate in candidates {
        runs.push(run(RUST, move |note| consume_here(&(candidate.start)()?, note)));
        if sdk().is_some() {
            runs.push(run(NODE, move |note| consume_in_node(&(candidate.start)()?, note)));
        }
    }
    runs
}

/// The folder of the SDK's program, if it is installed.
pub(crate) fn sdk() -> Option<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vendor-sdk");
    (installed("node").is_some() && folder.join("node_modules/ar-rtm-sdk").is_dir()).then_some(folder)
}

fn consume_here(server: &Server, note: &mut Note<'_>) -> anyhow::Result<()> {
    let port = server.port;
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
    publish(server, EVENTS, || thread_cpu(&consumer), note)?;
    drop(over);
    consuming.join().map_err(|_| anyhow::anyhow!("the consumer panicked"))?
}

fn consume_in_node(server: &Server, note: &mut Note<'_>) -> anyhow::Result<()> {
    let folder = sdk().context("the SDK is not installed")?;
    let events = EVENTS / 10;
    let mut node = Command::new("node")
        .arg(folder.join("consume.mjs"))
        .args([&format!("127.0.0.1:{}", server.port), ours::APP_ID, CONSUMER])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let stdout = node.stdout.take().context("node has no output")?;
    let mut line = String::new();
    BufReader::new(stdout).read_line(&mut line)?;
    let measured = if line.trim() == "ready" {
        publish(server, events, || Ok(process_cpu(node.id())?.total), note)
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
    note: &mut Note<'_>,
) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let sender = ours::target(server.port, Wire::Native).log_in("sender").await?.client;
        let message = RtmMessage::text("x".repeat(64));
        rtm_load::send_to_peer(&sender, CONSUMER, &message, WARM_UP, WINDOW, None).await?;
        let (cpu, start) = (consumer_cpu()?, Instant::now());
        rtm_load::send_to_peer(&sender, CONSUMER, &message, events, WINDOW, None).await?;
        let took = start.elapsed().as_secs_f64();
        note.add(EVENTS_PER_SECOND, events as f64 / took);
        note.add("consumer ns/event", (consumer_cpu()? - cpu) / events as f64);
        Ok(())
    })
}

pub(crate) const RUST: &str = "Rust client";
pub(crate) const NODE: &str = "vendor SDK, Node";
pub(crate) const EVENTS_PER_SECOND: &str = "events/s";
const CONSUMER: &str = "consumer";
const EVENTS: u64 = 200_000;
/// Node compiles what it runs often.
const WARM_UP: u64 = 5000;
const WINDOW: usize = 512;
