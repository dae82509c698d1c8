//! All connections are lost at one moment: how soon everybody is back, with the session of before.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Instant,
};

use anyhow::Context as _;
use futures::{StreamExt as _, TryStreamExt as _};
use rtm_client::{ConnectionState, RtmEvent, Wire};
use rtm_load::{Latency, LoadError, User};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};

use crate::{
    candidate::Candidate,
    ours,
    process::Server,
    rival::{PATIENCE, runtime},
    run::{Recorder, Run, scaled},
};

/// The runs.
pub(crate) fn runs(candidates: Vec<Candidate>) -> Vec<Run> {
    candidates
        .into_iter()
        .map(|candidate| Run::new(candidate.name.clone(), move |recorder| storm(&candidate.start()?, recorder)))
        .collect()
}

fn storm(server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let (target, count) = (ours::target(server.port(), Wire::Native), scaled(USERS));
        let (cut, is_cut) = watch::channel(());
        let mut users: Vec<User> = futures::stream::iter(0..count)
            .map(|number| {
                let (target, is_cut) = (&target, is_cut.clone());
                let client = target.client().connector(move |host, port| connect(host, port, is_cut.clone()));
                async move { target.log_in_with(client, &format!("user-{number}")).await }
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        let (before, start) = (server.cpu()?.total, Instant::now());
        cut.send(())?;
        let back = futures::future::try_join_all(users.iter_mut().map(async |user| {
            is_back(user).await?;
            Ok::<_, LoadError>(start.elapsed())
        }));
        let took = tokio::time::timeout(PATIENCE, back).await.context("not all came back in time")??;
        let mut latency = Latency::new();
        took.into_iter().for_each(|took| latency.record(took));
        recorder.add("s until all are back", latency.max().as_secs_f64());
        recorder.add("p50 s", latency.percentile(50.0).as_secs_f64());
        recorder.add("server µs/user", (server.cpu()?.total - before) / count as f64 / 1000.0);
        Ok(())
    })
}

/// Waits until a user has lost its connection, and has its session again.
async fn is_back(user: &mut User) -> Result<(), LoadError> {
    let mut is_lost = false;
    loop {
        match user.events.recv().await.ok_or(LoadError::Lost)? {
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. } => is_lost = true,
            // The first login told of itself too.
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Connected, .. } if is_lost => return Ok(()),
            RtmEvent::Gap { .. } => return Err(LoadError::Lost),
            _ => {}
        }
    }
}

async fn connect(host: String, port: u16, mut is_cut: watch::Receiver<()>) -> io::Result<Cuttable> {
    let stream = TcpStream::connect((host.as_str(), port)).await?;
    stream.set_nodelay(true)?;
    // Only what comes from now on cuts it.
    is_cut.mark_unchanged();
    Ok(Cuttable { stream, cut: Some(Box::pin(async move { _ = is_cut.changed().await })) })
}

/// A connection that is lost when somebody says so.
struct Cuttable {
    stream: TcpStream,
    /// `None` once it is lost.
    cut: Option<Pin<Box<dyn Future<Output = ()> + Send>>>,
}

impl Cuttable {
    fn look(&mut self, cx: &mut Context<'_>) -> io::Result<()> {
        if let Some(cut) = &mut self.cut {
            if cut.as_mut().poll(cx).is_pending() {
                return Ok(());
            }
            self.cut = None;
        }
        Err(io::ErrorKind::ConnectionReset.into())
    }
}

impl AsyncRead for Cuttable {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        self.look(cx)?;
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Cuttable {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

const USERS: u64 = 10_000;
const AT_ONCE: usize = 64;
