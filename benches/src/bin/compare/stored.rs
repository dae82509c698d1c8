//! Messages stored for users who are away, as fast as they are confirmed, and what a login then reads of them.

use std::{collections::VecDeque, pin::pin, time::Instant};

use anyhow::Context as _;
use async_nats::jetstream::{
    self, Message,
    consumer::{AckPolicy, pull},
    message::PublishMessage,
    stream::{self, StorageType},
};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _};
use rtm_client::{RtmMessage, SendMessageOptions, SendOutcome, Wire};
use rtm_load::Latency;

use crate::{
    candidate::{Candidate, JETSTREAM, OURS, System},
    ours,
    process::Server,
    rival::{PATIENCE, payload, runtime},
    run::{Recorder, Run, scaled},
};

/// Ours, and JetStream with a file: once as it says that it writes each message to the disk, and once as it comes.
pub(crate) fn runs(candidates: &[Candidate]) -> Vec<Run> {
    let mut runs = Vec::new();
    for candidate in candidates {
        match (candidate.system, &candidate.program) {
            (System::Ours, _) => runs.push(Run::new(OURS, |recorder| {
                let server = Server::ours(|folder| Ok(vec!["--data-dir".into(), folder.display().to_string()]))?;
                ours_stores(&server, recorder)
            })),
            (System::JetStream, Some(program)) => {
                let version = candidate.name.strip_prefix(JETSTREAM).unwrap_or_default();
                for (name, sync, users) in
                    [(JETSTREAM_SYNCED, "sync_interval: always", USERS_SYNCED), (JETSTREAM_CACHED, "", users())]
                {
                    let program = program.clone();
                    runs.push(Run::new(format!("{name}{version}"), move |recorder| {
                        let server = Server::configured(&program, |port, folder| {
                            let (file, store) = (folder.join("nats.conf"), folder.display());
                            let at = format!("listen: \"127.0.0.1:{port}\"\n");
                            std::fs::write(&file, format!("{at}jetstream {{ store_dir: \"{store}\"\n{sync} }}\n"))?;
                            Ok(vec!["-c".into(), file.display().to_string()])
                        })?;
                        jetstream_stores(&server, users, recorder)
                    }));
                }
            }
            _ => {}
        }
    }
    runs
}

fn ours_stores(server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let target = ours::target(server.port(), Wire::Native);
        let sender = target.log_in("sender").await?.client;
        let message = RtmMessage::text("x".repeat(BYTES));
        let (before, start) = (server.cpu()?.total, Instant::now());
        let users = users();
        let mut stored = pin!(
            futures::stream::iter(0..users * EACH)
                .map(|number| {
                    let options = SendMessageOptions::new().enable_offline_messaging(true);
                    sender.send_message_to_peer_with(user(number % users), message.clone(), options)
                })
                .buffered(WINDOW)
        );
        while let Some(outcome) = stored.next().await {
            let outcome = outcome?;
            anyhow::ensure!(outcome == SendOutcome::Stored, "a message was {outcome}");
        }
        record(recorder, server, users, before, start)?;
        let mut latency = Latency::new();
        for number in 0..READERS {
            let start = Instant::now();
            let mut user = target.log_in(&user(number)).await?;
            rtm_load::receive(&mut user.events, EACH as u64, |_| {}).await?;
            latency.record(start.elapsed());
        }
        recorder.add(READ_BACK, latency.percentile(50.0).as_secs_f64() * 1e3);
        Ok(())
    })
}

fn jetstream_stores(server: &Server, users: usize, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let context = connect(server.port()).await?;
        let stream = stream::Config {
            name: STREAM.into(),
            subjects: vec!["stored.*".into()],
            storage: StorageType::File,
            num_replicas: 1,
            ..Default::default()
        };
        context.create_stream(stream).await?;
        let (message, mut acknowledgements) = (payload(BYTES), VecDeque::new());
        let (before, start) = (server.cpu()?.total, Instant::now());
        for number in 0..users * EACH {
            let publish = PublishMessage::build().payload(Bytes::clone(&message));
            acknowledgements.push_back(context.send_publish(subject(number % users), publish).await?);
            if acknowledgements.len() == WINDOW {
                acknowledgements.pop_front().context("no acknowledgement")?.await?;
            }
        }
        for acknowledgement in acknowledgements {
            acknowledgement.await?;
        }
        record(recorder, server, users, before, start)?;
        let mut latency = Latency::new();
        for number in 0..READERS {
            let start = Instant::now();
            let context = connect(server.port()).await?;
            let consumer =
                pull::Config { filter_subject: subject(number), ack_policy: AckPolicy::Explicit, ..Default::default() };
            let consumer = context.get_stream(STREAM).await?.create_consumer(consumer).await?;
            let messages = consumer.fetch().max_messages(EACH).messages().await?;
            let messages: Vec<Message> = messages.try_collect().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            anyhow::ensure!(messages.len() == EACH, "{} messages instead of {EACH}", messages.len());
            latency.record(start.elapsed());
            for message in messages {
                message.ack().await.map_err(|error| anyhow::anyhow!("{error}"))?;
            }
        }
        recorder.add(READ_BACK, latency.percentile(50.0).as_secs_f64() * 1e3);
        Ok(())
    })
}

async fn connect(port: u16) -> anyhow::Result<jetstream::Context> {
    let client = async_nats::connect(format!("nats://127.0.0.1:{port}")).await?;
    Ok(jetstream::context::ContextBuilder::new().timeout(PATIENCE).max_ack_inflight(WINDOW).build(client))
}

fn record(
    recorder: &mut Recorder<'_>,
    server: &Server,
    users: usize,
    before: f64,
    start: Instant,
) -> anyhow::Result<()> {
    let messages = (users * EACH) as f64;
    recorder.add(STORED, messages / start.elapsed().as_secs_f64());
    recorder.add("server ns/message", (server.cpu()?.total - before) / messages);
    Ok(())
}

fn users() -> usize {
    (scaled(USERS) as usize).max(READERS)
}

fn user(number: usize) -> String {
    format!("user-{number}")
}

fn subject(number: usize) -> String {
    format!("stored.{}", user(number))
}

pub(crate) const STORED: &str = "stored/s";
pub(crate) const JETSTREAM_SYNCED: &str = "JetStream, sync_interval always";
const JETSTREAM_CACHED: &str = "JetStream, default sync_interval";
const READ_BACK: &str = "ms to read 200 at login";
const STREAM: &str = "stored";
const BYTES: usize = 64;
/// As many as the server keeps for a user.
const EACH: usize = 200;
const USERS: u64 = 200;
/// Who waits for the disk at each message needs fewer of them.
const USERS_SYNCED: usize = 10;
const READERS: usize = 10;
const WINDOW: usize = 1024;
