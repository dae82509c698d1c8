//! Endpoints that are told what happens, over real sockets.

#[cfg(feature = "admin")]
mod operator;
mod reload;

use std::{
    collections::BTreeSet,
    convert::Infallible,
    net::SocketAddr,
    path::Path,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use axum::{
    body::{Body, Bytes},
    http::{
        HeaderMap, StatusCode,
        header::{LOCATION, RETRY_AFTER},
    },
    response::IntoResponse,
    routing::post,
};
use futures::stream;
use rtm_codec::{ClientFrame, Command, JoinChannel, Wire};
use rtm_server::{HookConfig, HookTarget, Server, WebhookConfig, WebhookFormat, WebhookSecret};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::{Semaphore, mpsc, watch},
    time::sleep,
};

use crate::support::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// The body of such an answer never ends.
const ENDLESS: u16 = 206;

/// This answer is given when the test lets it.
const HELD: u16 = 207;

/// A request that an endpoint got.
#[derive(Debug, Clone)]
struct Got {
    id: String,
    attempt: u32,
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "an operator asks for a replay"))]
    is_replay: bool,
    content_type: String,
    epoch: Option<String>,
    at: Instant,
    body: Value,
    status: u16,
}

impl Got {
    /// The events in it.
    fn events(&self) -> Vec<Value> {
        match &self.body {
            Value::Array(events) => events.clone(),
            body => body["data"]["events"].as_array().cloned().unwrap_or_else(|| vec![body.clone()]),
        }
    }
}

/// An endpoint, and what it got.
struct Endpoint {
    address: SocketAddr,
    got: Arc<Mutex<Vec<Got>>>,
    news: watch::Receiver<usize>,
    /// So many answers that are held are given.
    let_go: Arc<Semaphore>,
}

impl Endpoint {
    /// One that answers so to a request with these events. When it is busy it wants to be left alone for an hour.
    async fn start(answers: impl Fn(&[Value]) -> u16 + Send + Sync + 'static) -> Self {
        Self::busy_until("3600", answers).await
    }

    /// One that wants to be left alone so long.
    async fn busy_until(busy: &'static str, answers: impl Fn(&[Value]) -> u16 + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Vec<Got>>>::default();
        let (told, news) = watch::channel(0);
        let (kept, answers) = (Arc::clone(&got), Arc::new(answers));
        let (told, let_go) = (Arc::new(told), Arc::new(Semaphore::new(0)));
        let held = Arc::clone(&let_go);
        let answer = move |headers: HeaderMap, body: Bytes| {
            let (kept, answers, told) = (Arc::clone(&kept), Arc::clone(&answers), Arc::clone(&told));
            let held = Arc::clone(&held);
            async move {
                standardwebhooks::Webhook::new(SECRET).unwrap().verify(&body, &headers).unwrap();
                let text = |name: &str| headers[name].to_str().unwrap().to_owned();
                let mut request = Got {
                    id: text("webhook-id"),
                    attempt: text("rtm-attempt").parse().unwrap(),
                    is_replay: headers.get("rtm-replay").is_some_and(|value| value == "1"),
                    content_type: text("content-type"),
                    epoch: headers.get("rtm-epoch").map(|value| value.to_str().unwrap().to_owned()),
                    at: Instant::now(),
                    body: serde_json::from_slice(&body).unwrap(),
                    status: 0,
                };
                request.status = answers(&request.events());
                let status = request.status;
                kept.lock().unwrap().push(request);
                told.send_modify(|count| *count += 1);
                match status {
                    0 => std::future::pending().await,
                    HELD => held.acquire().await.unwrap().forget(),
                    _ => {}
                }
                let body = match status {
                    ENDLESS => Body::from_stream(stream::pending::<Result<Bytes, Infallible>>()),
                    _ => Body::empty(),
                };
                let headers = [(LOCATION, "/told"), (RETRY_AFTER, busy)];
                (StatusCode::from_u16(status).unwrap(), headers, body).into_response()
            }
        };
        let app = axum::Router::new().route("/told", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, got, news, let_go }
    }

    fn webhook(&self, name: &str) -> WebhookConfig {
        let secrets = vec![WebhookSecret::new(SECRET).unwrap()];
        let mut target = HookTarget::new(format!("http://{}/told", self.address), secrets);
        target.allow_private = true;
        let mut webhook = WebhookConfig::new(name, target);
        webhook.batch_wait = Duration::from_millis(20);
        webhook
    }

    fn got(&self) -> Vec<Got> {
        self.got.lock().unwrap().clone()
    }

    /// What it took, event by event.
    fn taken(&self) -> Vec<Value> {
        self.got().iter().filter(|got| got.status / 100 == 2).flat_map(Got::events).collect()
    }

    /// Waits until what it got is as wanted.
    async fn until(&mut self, what: &str, is_so: impl Fn(&Self) -> bool) {
        soon(what, async {
            loop {
                self.news.borrow_and_update();
                if is_so(self) {
                    return;
                }
                self.news.changed().await.unwrap();
            }
        })
        .await;
    }

    async fn until_taken(&mut self, event_type: &str, user: &str) {
        let is_taken = |endpoint: &Self| endpoint.taken().iter().any(|event| is(event, event_type, user));
        self.until(&format!("{event_type} of {user}"), is_taken).await;
    }
}

fn is(event: &Value, event_type: &str, user: &str) -> bool {
    event["type"] == event_type && event["data"]["user_id"] == user
}

async fn server_with_webhooks(directory: Option<&Path>, webhooks: Vec<WebhookConfig>) -> Server {
    server_with(|config| {
        config.data_dir = directory.map(Path::to_owned);
        let mut told = HookConfig::new(app_id());
        told.webhooks = webhooks;
        config.hooks = vec![told];
    })
    .await
}

/// Logs in, joins a channel, and logs out.
async fn comes_and_goes(server: &Server, name: &str, channel: &str) {
    let mut client = Client::login(server.local_addr(), Wire::Native, name).await;
    client.request(Command::JoinChannel(JoinChannel { channel_id: channel.parse().unwrap() })).await;
    client.send(ClientFrame::Logout).await;
    client.closed().await;
}

#[tokio::test]
async fn an_endpoint_is_told_what_happens_in_order() {
    let mut endpoint = Endpoint::start(|_| 200).await;
    let server = server_with_webhooks(None, vec![endpoint.webhook("one")]).await;
    comes_and_goes(&server, "alice", "room").await;
    comes_and_goes(&server, "bob", "room").await;
    endpoint.until_taken("session.ended", "bob").await;
    let events = endpoint.taken();
    let types = |user: &str| -> Vec<String> {
        let events = events.iter().filter(|event| event["data"]["user_id"] == user);
        events.map(|event| event["type"].as_str().unwrap().to_owned()).collect()
    };
    let wanted = [
        "session.started",
        "user.online",
        "channel.member_joined",
        "channel.member_left",
        "user.offline",
        "session.ended",
    ];
    for user in ["alice", "bob"] {
        let types = types(user);
        assert_eq!(types.iter().collect::<BTreeSet<_>>().len(), types.len(), "{types:?}");
        let places: Vec<_> = wanted.iter().map(|wanted| types.iter().position(|one| one == wanted)).collect();
        assert!(places.iter().all(Option::is_some) && places[2] < places[3] && places[0] < places[5], "{types:?}");
    }
    let seqs: Vec<_> = events.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert_eq!(seqs.iter().collect::<BTreeSet<_>>().len(), seqs.len(), "each comes once");
    let first = &endpoint.got()[0];
    assert_eq!(
        (first.attempt, first.content_type.as_str(), &first.body["type"]),
        (1, "application/json", &json!("rtm.batch"))
    );
    assert_eq!(first.body["app_id"], APP);
}

#[tokio::test]
async fn what_an_endpoint_does_not_take_is_sent_again_and_holds_up_nobody() {
    // 0 hangs.
    for status in [500, 302, 404, 0] {
        let tries = Arc::new(Mutex::new(0));
        let count = Arc::clone(&tries);
        let mut endpoint = Endpoint::start(move |events| {
            let mut tries = count.lock().unwrap();
            let is_bad = events.iter().any(|event| event["data"]["user_id"] == "alice");
            *tries += usize::from(is_bad);
            if is_bad && *tries == 1 { status } else { 204 }
        })
        .await;
        let mut other = Endpoint::start(|_| 200).await;
        let mut webhook = endpoint.webhook("one");
        webhook.types = vec!["user.online".to_owned()];
        // Long enough for a busy machine, but where it is waited for.
        webhook.target.timeout = Duration::from_secs(if status == 0 { 2 } else { 20 });
        let server = server_with_webhooks(None, vec![webhook, other.webhook("two")]).await;
        comes_and_goes(&server, "alice", "room").await;
        endpoint.until("a try", |endpoint| !endpoint.got().is_empty()).await;
        other.until_taken("session.ended", "alice").await;
        // The endpoint works: what failed does not wait for the schedule.
        comes_and_goes(&server, "bob", "room").await;
        endpoint.until_taken("user.online", "bob").await;
        endpoint.until_taken("user.online", "alice").await;
        let got = endpoint.got();
        let alices: Vec<_> =
            got.iter().filter(|got| got.events().iter().any(|one| is(one, "user.online", "alice"))).collect();
        assert_eq!((alices[0].attempt, alices[1].attempt), (1, 2), "{status}");
        assert_eq!(alices[0].id, alices[1].id, "the same events under the same name");
        assert_eq!(got.len(), 3, "{status}: nothing else is asked: {got:?}");
    }
}

#[tokio::test]
async fn an_answer_whose_body_never_ends_counts_by_its_status() {
    let mut endpoint = Endpoint::start(|_| ENDLESS).await;
    let mut webhook = endpoint.webhook("one");
    webhook.types = vec!["user.online".to_owned()];
    webhook.target.timeout = Duration::from_secs(1);
    let server = server_with_webhooks(None, vec![webhook]).await;
    for name in ["alice", "bob"] {
        comes_and_goes(&server, name, "room").await;
        endpoint.until_taken("user.online", name).await;
    }
    let got = endpoint.got();
    assert!(got.len() == 2 && got.iter().all(|got| got.attempt == 1), "nothing is sent again: {got:?}");
}

#[tokio::test]
async fn an_endpoint_that_is_gone_gets_nothing_more() {
    let mut endpoint = Endpoint::start(|_| 410).await;
    let mut other = Endpoint::start(|_| 200).await;
    let server = server_with_webhooks(None, vec![endpoint.webhook("one"), other.webhook("two")]).await;
    comes_and_goes(&server, "alice", "room").await;
    endpoint.until("a try", |endpoint| !endpoint.got().is_empty()).await;
    comes_and_goes(&server, "bob", "room").await;
    other.until_taken("session.ended", "bob").await;
    let tries = endpoint.got();
    assert!(!tries.iter().flat_map(Got::events).any(|event| event["data"]["user_id"] == "bob"), "{tries:?}");
}

#[tokio::test]
async fn an_endpoint_gets_what_it_asked_for() {
    let mut endpoint = Endpoint::start(|_| 200).await;
    let mut single = endpoint.webhook("single");
    single.batch_max = 1;
    single.types = vec!["channel.*".to_owned()];
    single.channel_prefix = "room-".to_owned();
    let server = server_with_webhooks(None, vec![single]).await;
    comes_and_goes(&server, "alice", "lobby").await;
    comes_and_goes(&server, "alice", "room-1").await;
    let is_over = |endpoint: &Endpoint| endpoint.taken().iter().any(|event| event["type"] == "channel.vacated");
    endpoint.until("the end", is_over).await;
    for got in endpoint.got() {
        assert_eq!(got.body["data"]["channel_id"], "room-1");
        let epoch = got.epoch.as_deref().unwrap();
        assert_eq!((got.body["epoch"].as_str().unwrap(), epoch.len()), (epoch, 16));
        assert_eq!(got.id, format!("{APP}-{epoch}-{}", got.body["seq"]));
        assert!(got.body["type"].as_str().unwrap().starts_with("channel."), "{got:?}");
    }
}

#[tokio::test]
async fn events_are_written_as_cloud_events_too() {
    for batch_max in [1, 10] {
        let mut endpoint = Endpoint::start(|_| 200).await;
        let mut webhook = endpoint.webhook("cloud");
        webhook.format = WebhookFormat::CloudEvents;
        webhook.batch_max = batch_max;
        let server = server_with_webhooks(None, vec![webhook]).await;
        comes_and_goes(&server, "alice", "room").await;
        endpoint.until_taken("session.ended", "alice").await;
        let got = &endpoint.got()[0];
        let wanted = if batch_max == 1 { "application/cloudevents+json" } else { "application/cloudevents-batch+json" };
        assert_eq!(got.content_type, wanted);
        let events = endpoint.taken();
        let event = events.iter().find(|event| is(event, "user.online", "alice")).unwrap();
        assert_eq!((&event["specversion"], &event["subject"]), (&json!("1.0"), &json!("users/alice")));
        assert_eq!(event["source"], format!("/projects/{APP}"));
        let epoch = event["epoch"].as_str().unwrap();
        assert_eq!(Some(epoch), got.epoch.as_deref());
        assert_eq!(event["id"], format!("{APP}-{epoch}-{}", event["sequence"].as_str().unwrap()));
    }
}

#[tokio::test]
async fn after_a_restart_an_endpoint_goes_on_where_it_was() {
    let directory = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(|_| 200).await;
    let server = server_with_webhooks(Some(directory.path()), vec![endpoint.webhook("one")]).await;
    comes_and_goes(&server, "alice", "room").await;
    endpoint.until_taken("session.ended", "alice").await;
    server.shutdown().await;
    let before = endpoint.taken().len();
    // Nobody is there to be told for a while.
    let server = server_with_webhooks(Some(directory.path()), vec![]).await;
    comes_and_goes(&server, "bob", "room").await;
    server.shutdown().await;
    let server = server_with_webhooks(Some(directory.path()), vec![endpoint.webhook("one")]).await;
    endpoint.until_taken("session.ended", "bob").await;
    comes_and_goes(&server, "carol", "room").await;
    endpoint.until_taken("session.ended", "carol").await;
    let after = &endpoint.taken()[before..];
    assert!(!after.iter().any(|event| event["data"]["user_id"] == "alice"), "{after:?}");
}

#[tokio::test]
async fn after_a_restart_what_overtook_a_rejected_event_does_not_come_again() {
    let directory = tempfile::tempdir().unwrap();
    let is_repaired = Arc::new(AtomicBool::new(false));
    let takes_all = Arc::clone(&is_repaired);
    let mut endpoint = Endpoint::start(move |events| {
        let is_bad = events.iter().any(|event| is(event, "user.online", "alice"));
        if is_bad && !takes_all.load(Ordering::SeqCst) { 400 } else { 204 }
    })
    .await;
    let server = server_with_webhooks(Some(directory.path()), vec![endpoint.webhook("one")]).await;
    comes_and_goes(&server, "alice", "hall").await;
    comes_and_goes(&server, "bob", "room").await;
    endpoint.until_taken("session.ended", "bob").await;
    server.shutdown().await;
    let before = endpoint.taken();
    is_repaired.store(true, Ordering::SeqCst);
    let server = server_with_webhooks(Some(directory.path()), vec![endpoint.webhook("one")]).await;
    comes_and_goes(&server, "carol", "room").await;
    endpoint.until_taken("session.ended", "carol").await;
    endpoint.until_taken("session.ended", "alice").await;
    let taken = endpoint.taken();
    let again: Vec<_> = taken[before.len()..].iter().filter(|event| before.contains(event)).collect();
    assert!(again.is_empty(), "{again:?}");
    for user in ["alice", "bob", "carol"] {
        assert_eq!(taken.iter().filter(|event| is(event, "user.online", user)).count(), 1, "{user}");
    }
}

#[tokio::test]
async fn no_other_event_has_the_name_of_one_whatever_becomes_of_the_log() {
    for batch_max in [1, 10] {
        let directory = tempfile::tempdir().unwrap();
        for kept in [None, Some(directory.path())] {
            let mut endpoint = Endpoint::start(|_| 200).await;
            let mut webhook = endpoint.webhook("one");
            webhook.batch_max = batch_max;
            for user in ["alice", "bob"] {
                let server = server_with_webhooks(kept, vec![webhook.clone()]).await;
                comes_and_goes(&server, user, "room").await;
                endpoint.until_taken("session.ended", user).await;
                server.shutdown().await;
            }
            let (got, mut ids) = (endpoint.got(), BTreeSet::new());
            assert!(got.iter().all(|got| ids.insert(got.id.clone())), "{batch_max}: {got:?}");
            let mut events = BTreeSet::new();
            let names =
                endpoint.taken().iter().map(|one| (one["epoch"].to_string(), one["seq"].as_u64())).collect::<Vec<_>>();
            assert!(names.iter().all(|name| events.insert(name.clone())), "{batch_max}: {names:?}");
            let epochs: BTreeSet<_> = got.iter().map(|got| got.epoch.clone().unwrap()).collect();
            assert!(epochs.iter().all(|epoch| names.iter().any(|(of, _)| of.contains(epoch.as_str()))));
            // One that is stored goes on, one in memory begins anew.
            assert_eq!(epochs.len(), if kept.is_some() { 1 } else { 2 }, "{batch_max}: {epochs:?}");
        }
    }
}

#[tokio::test]
async fn an_endpoint_that_is_busy_until_a_time_that_is_over_is_not_asked_all_the_time() {
    let tries = ["0", "Mon, 30 Nov 2020 06:00:00 GMT"].map(async |busy| {
        let mut endpoint = Endpoint::busy_until(busy, |_| 503).await;
        let server = server_with_webhooks(None, vec![endpoint.webhook("one")]).await;
        comes_and_goes(&server, "alice", "room").await;
        endpoint.until("a third try", |endpoint| endpoint.got().iter().any(|got| got.attempt == 3)).await;
        let got = endpoint.got();
        let third = got.iter().find(|got| got.attempt == 3).unwrap();
        let times: Vec<_> = got.iter().filter(|got| got.id == third.id).map(|got| got.at).collect();
        let pauses: Vec<_> = times.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let [first, second] = pauses[..] else { panic!("{busy}: {pauses:?}") };
        assert!(first >= Duration::from_secs(1) && second >= Duration::from_secs(2), "{busy}: {pauses:?}");
    });
    futures::future::join_all(tries).await;
}

#[tokio::test]
async fn a_new_endpoint_begins_with_what_happens_from_then_on() {
    let directory = tempfile::tempdir().unwrap();
    let server = server_with_webhooks(Some(directory.path()), vec![]).await;
    comes_and_goes(&server, "alice", "room").await;
    server.shutdown().await;
    let mut endpoint = Endpoint::start(|_| 200).await;
    let server = server_with_webhooks(Some(directory.path()), vec![endpoint.webhook("one")]).await;
    // It may take a moment until the log was looked through.
    soon("the first event", async {
        while endpoint.taken().is_empty() {
            comes_and_goes(&server, "bob", "room").await;
            sleep(Duration::from_millis(100)).await;
        }
    })
    .await;
    endpoint.until_taken("session.ended", "bob").await;
    assert!(!endpoint.taken().iter().any(|event| event["data"]["user_id"] == "alice"));
}

#[tokio::test]
async fn what_concerns_a_user_comes_in_order_under_whatever_name_it_stands() {
    let was_asked = AtomicBool::new(false);
    let mut endpoint = Endpoint::start(move |events| {
        let is_first = is(&events[0], "session.started", "alice");
        if is_first && !was_asked.swap(true, Ordering::Relaxed) { 500 } else { 200 }
    })
    .await;
    let mut webhook = endpoint.webhook("one");
    webhook.batch_max = 1;
    let server = server_with(|config| {
        config.projects[0].events.types = rtm_server::core::EventTypes::ALL;
        let mut told = HookConfig::new(app_id());
        told.webhooks = vec![webhook];
        config.hooks = vec![told];
    })
    .await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    alice.send(ClientFrame::Logout).await;
    alice.closed().await;
    endpoint.until_taken("session.ended", "alice").await;
    let names = ["user_id", "from", "to"];
    let taken = endpoint.taken();
    let of_alice: Vec<_> = taken.iter().filter(|one| names.iter().any(|name| one["data"][*name] == "alice")).collect();
    let seqs: Vec<_> = of_alice.iter().map(|event| event["seq"].as_u64().unwrap()).collect();
    assert!(seqs.is_sorted(), "{of_alice:?}");
    let messages = of_alice.iter().filter(|event| event["type"] == "message.peer").count();
    assert_eq!((messages, &of_alice[0]["type"]), (2, &json!("session.started")), "{of_alice:?}");
}
