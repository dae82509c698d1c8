//! What back ends ask of a server, and what it tells them: messages over REST, events to a webhook, and what the log of events
//! costs those who send messages.

use std::{
    fs,
    net::TcpListener as Socket,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::Instant,
};

use anyhow::Context as _;
use bytes::Bytes;
use futures::future::try_join_all;
use http_body_util::{BodyExt as _, Full};
use hyper::{
    Request, Response,
    body::Incoming,
    client::conn::http1::{SendRequest, handshake},
    header::{AUTHORIZATION, CONTENT_TYPE, HOST},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use rtm_client::{RtmMessage, Wire};
use serde::{
    Deserialize,
    de::{DeserializeOwned, IgnoredAny},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Notify,
    time::timeout,
};

use crate::{
    candidate::{Candidate, OURS},
    ours::{self, APP_ID},
    process::Server,
    rival::{Load, PATIENCE, runtime},
    run::{Recorder, Run, scaled},
    scenario,
};

/// Messages over REST; beside it a server that does nothing but HTTP.
pub(crate) fn rest() -> Vec<Run> {
    let ours = Run::new(OURS, |recorder| {
        let server = Server::ours(|folder| {
            configured(folder, &format!("rest = \"unlimited\"\n\n[[project.rest_key]]\nid = \"bench\"\n{SECRET}\n"))
        })?;
        let (there, over) = (mpsc::channel(), Arc::new(Notify::new()));
        let receivers = thread::spawn({
            let (port, over, there) = (server.port(), Arc::clone(&over), there.0);
            move || receive_until(port, &over, &there)
        });
        let done = match there.1.recv() {
            Ok(()) => post_all(&server, recorder),
            Err(_) => Err(anyhow::anyhow!("the receivers ended early")),
        };
        over.notify_one();
        receivers.join().map_err(|_| anyhow::anyhow!("the receivers panicked"))??;
        done
    });
    let floor = Run::new(HTTP, |recorder| post_all(&Server::own("http")?, recorder));
    vec![ours, floor]
}

/// Messages between two users, with and without a log of them on the disk.
pub(crate) fn logs(candidates: &[Candidate]) -> Vec<Run> {
    let mut runs = Vec::new();
    for candidate in candidates {
        for (name, types) in [(NOT_LOGGED, "[]"), (USUAL_LOG, "[\"usual\"]"), (FULL_LOG, "[\"usual\", \"message.*\"]")]
        {
            let throughput = candidate.throughput;
            runs.push(Run::new(name, move |recorder| {
                let server = Server::ours(|folder| {
                    let (file, store) = (folder.join("rtm.toml"), folder.join("data"));
                    let text = format!(
                        "data_dir = {store:?}\n[events]\ntypes = {types}\n[[project]]\napp_id = \"{APP_ID}\"\n"
                    );
                    fs::write(&file, text)?;
                    Ok(vec!["--config".into(), file.display().to_string()])
                })?;
                let load = Load { bytes: 64, members: 0, window: 1024, messages: scaled(LOGGED) };
                scenario::record(recorder, throughput(&server, load)?);
                Ok(())
            }));
        }
    }
    runs
}

/// Events of messages to an endpoint that takes all of them.
pub(crate) fn webhook() -> Vec<Run> {
    vec![Run::new(OURS, |recorder| {
        let (socket, taken) = (Socket::bind("127.0.0.1:0")?, Arc::new(Taken::default()));
        let url = format!("http://{}/", socket.local_addr()?);
        thread::spawn({
            let taken = Arc::clone(&taken);
            move || runtime()?.block_on(take_events(socket, &taken))
        });
        let webhook = format!(
            "[[project.webhook]]\nname = \"bench\"\nurl = \"{url}\"\nallow_private = true\ntypes = [\"message.*\"]\nsecrets = [\"{}\"]\n\n\
             [events]\ntypes = [\"usual\", \"message.*\"]\n",
            "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
        );
        let server = Server::ours(|folder| configured(folder, &webhook))?;
        runtime()?.block_on(async {
            let target = ours::target(server.port(), Wire::Native);
            let senders = target.log_in_many("sender", PAIRS, PAIRS, || {}).await?;
            let mut receivers = target.log_in_many("user", PAIRS, PAIRS, || {}).await?;
            let (each, message) = (scaled(EVENTS) / PAIRS as u64, RtmMessage::text("x".repeat(BYTES)));
            let (before, start) = (server.cpu()?.total, Instant::now());
            let sending = senders.iter().enumerate().map(async |(number, sender)| {
                let to = format!("user-{number}");
                rtm_load::send_to_peer(&sender.client, &to, &message, each, WINDOW, None, || {}).await
            });
            let receiving = receivers.iter_mut().map(|user| rtm_load::receive(&mut user.events, each, |_| {}));
            let events = each * PAIRS as u64;
            let told = async {
                try_join_all(sending).await?;
                taken.wait(events).await;
                anyhow::Ok(())
            };
            let received = async { try_join_all(receiving).await.context("a receiver") };
            timeout(PATIENCE, async { tokio::try_join!(told, received) }).await.context("not done in time")??;
            recorder.add(EVENTS_PER_SECOND, events as f64 / start.elapsed().as_secs_f64());
            recorder.add("server ns/event", (server.cpu()?.total - before) / events as f64);
            recorder.add("events/request", events as f64 / taken.requests.load(Ordering::Relaxed) as f64);
            Ok(())
        })
    })]
}

/// The arguments of a server with one project, and more in its configuration.
fn configured(folder: &std::path::Path, more: &str) -> anyhow::Result<Vec<String>> {
    let file = folder.join("rtm.toml");
    fs::write(&file, format!("[[project]]\napp_id = \"{APP_ID}\"\n{more}"))?;
    Ok(vec!["--config".into(), file.display().to_string()])
}

/// Has users there who take what they are sent, until it is over.
fn receive_until(port: u16, over: &Notify, there: &mpsc::Sender<()>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let mut users = ours::target(port, Wire::Native).log_in_many("user", CONNECTIONS, CONNECTIONS, || {}).await?;
        there.send(())?;
        let all = users.iter_mut().map(|user| rtm_load::receive(&mut user.events, u64::MAX, |_| {}));
        tokio::select! {
            ended = try_join_all(all) => ended.map(drop).context("a receiver"),
            () = over.notified() => Ok(()),
        }
    })
}

/// Posts messages over connections that stay open, a tenth of them to warm up.
fn post_all(server: &Server, recorder: &mut Recorder<'_>) -> anyhow::Result<()> {
    runtime()?.block_on(async {
        let connections = (0..CONNECTIONS).map(|number| Poster::connect(server.port(), number));
        let mut connections = try_join_all(connections).await?;
        let each = scaled(POSTED).div_ceil(CONNECTIONS as u64);
        let mut post = async |each: u64| {
            let all = connections.iter_mut().map(|connection| connection.post(each));
            timeout(PATIENCE, try_join_all(all)).await.context("not done in time")?.map(drop)
        };
        post(each.div_ceil(10)).await?;
        let (before, start) = (server.cpu()?.total, Instant::now());
        post(each).await?;
        let messages = (each * CONNECTIONS as u64) as f64;
        recorder.add(POSTED_PER_SECOND, messages / start.elapsed().as_secs_f64());
        recorder.add(SERVER_NS_POSTED, (server.cpu()?.total - before) / messages);
        Ok(())
    })
}

/// A connection of a back end.
struct Poster {
    requests: SendRequest<Full<Bytes>>,
    uri: String,
    host: String,
    body: Bytes,
}

impl Poster {
    async fn connect(port: u16, number: usize) -> anyhow::Result<Self> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let (requests, connection) = handshake(TokioIo::new(stream)).await?;
        // Its end is seen by whoever asks.
        tokio::spawn(connection);
        let payload = "x".repeat(BYTES);
        Ok(Self {
            requests,
            uri: format!("/dev/v2/project/{APP_ID}/rtm/users/back-end-{number}/peer_messages?wait_for_ack=true"),
            host: format!("127.0.0.1:{port}"),
            body: format!(r#"{{"destination":"user-{number}","payload":"{payload}"}}"#).into(),
        })
    }

    async fn post(&mut self, messages: u64) -> anyhow::Result<()> {
        for _ in 0..messages {
            let request = Request::post(&self.uri)
                .header(HOST, &self.host)
                .header(AUTHORIZATION, "Basic YmVuY2g6c2VjcmV0")
                .header(CONTENT_TYPE, "application/json")
                .body(Full::new(self.body.clone()))?;
            self.requests.ready().await?;
            let body = self.requests.send_request(request).await?.into_body().collect().await?.to_bytes();
            let answer: Answer = serde_json::from_slice(&body)?;
            anyhow::ensure!(answer.code == DELIVERED, "a message was answered {body:?}");
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct Answer {
    code: String,
}

/// A message as a back end posts it.
#[derive(Deserialize)]
struct Posted {
    destination: String,
    payload: String,
}

/// Serves HTTP as the REST API does, and does nothing but read the message and answer as that does.
pub(crate) async fn serve_http(listener: TcpListener) -> anyhow::Result<()> {
    serve(listener, |message: Posted| {
        anyhow::ensure!(!message.destination.is_empty() && !message.payload.is_empty(), "no message");
        Ok(Bytes::from_static(br#"{"result":"success","request_id":"0123456789abcdef","code":"message_delivered"}"#))
    })
    .await
}

/// What an endpoint has taken.
#[derive(Debug, Default)]
struct Taken {
    events: AtomicU64,
    requests: AtomicU64,
    more: Notify,
}

impl Taken {
    async fn wait(&self, events: u64) {
        loop {
            let more = self.more.notified();
            if self.events.load(Ordering::Relaxed) >= events {
                return;
            }
            more.await;
        }
    }
}

/// A request to a webhook with one event, or with many.
#[derive(Deserialize)]
#[serde(untagged)]
enum Told {
    Many { data: Many },
    One(IgnoredAny),
}

#[derive(Deserialize)]
struct Many {
    events: Vec<IgnoredAny>,
}

async fn take_events(socket: Socket, taken: &Arc<Taken>) -> anyhow::Result<()> {
    socket.set_nonblocking(true)?;
    let taken = Arc::clone(taken);
    serve(TcpListener::from_std(socket)?, move |told: Told| {
        let events = match told {
            Told::Many { data } => data.events.len() as u64,
            Told::One(IgnoredAny) => 1,
        };
        taken.requests.fetch_add(1, Ordering::Relaxed);
        taken.events.fetch_add(events, Ordering::Relaxed);
        taken.more.notify_one();
        Ok(Bytes::new())
    })
    .await
}

/// Answers each request with what becomes of its body.
async fn serve<T: DeserializeOwned>(
    listener: TcpListener,
    answer: impl Fn(T) -> anyhow::Result<Bytes> + Clone + Send + 'static,
) -> anyhow::Result<()> {
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let answer = answer.clone();
        let service = service_fn(move |request: Request<Incoming>| {
            let answer = answer.clone();
            async move {
                let body = request.into_body().collect().await?.to_bytes();
                let mut response = Response::new(Full::new(answer(serde_json::from_slice(&body)?)?));
                response.headers_mut().insert(CONTENT_TYPE, "application/json".parse()?);
                anyhow::Ok(response)
            }
        });
        // A client that goes away interests nobody.
        tokio::spawn(async move { http1::Builder::new().serve_connection(TokioIo::new(stream), service).await });
    }
}

pub(crate) const HTTP: &str = "hyper, which reads and answers";
pub(crate) const NOT_LOGGED: &str = "no events in the log";
pub(crate) const USUAL_LOG: &str = "users and sessions in the log";
pub(crate) const FULL_LOG: &str = "messages in the log too";
pub(crate) const POSTED_PER_SECOND: &str = "messages/s";
pub(crate) const SERVER_NS_POSTED: &str = "server ns/message";
pub(crate) const EVENTS_PER_SECOND: &str = "events/s";
const DELIVERED: &str = "message_delivered";
/// Of `secret`.
const SECRET: &str = "secret_sha256 = \"2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b\"";
const CONNECTIONS: usize = 64;
const PAIRS: usize = 16;
const WINDOW: usize = 64;
const BYTES: usize = 64;
const POSTED: u64 = 100_000;
const EVENTS: u64 = 200_000;
const LOGGED: u64 = 300_000;
