//! Traces, as a collector of OpenTelemetry gets them.

#[cfg(feature = "cluster")]
use std::time::Duration;
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use axum::{
    Router,
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use opentelemetry_proto::tonic::{
    collector::trace::v1::ExportTraceServiceRequest,
    common::v1::{KeyValue, any_value::Value},
    trace::v1::{Span, span::SpanKind, status::StatusCode as SpanStatus},
};
use prost::Message as _;
use rtm_codec::Wire;
#[cfg(feature = "cluster")]
use rtm_server::{AdminConfig, ClusterConfig, core::cluster::NodeName};
use rtm_server::{
    AdminKey, AdminRole, HookConfig, HookTarget, OtlpConfig, RestKey, Server, ServerConfig, WebhookConfig,
    WebhookSecret,
};
use tokio::{net::TcpListener, sync::watch};

use crate::support::*;

/// The SHA-256 of "secret".
const SHA256: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const PARENT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

/// A collector, and a back end that is told what happens.
struct Receiver {
    address: SocketAddr,
    got: Arc<Mutex<Got>>,
    news: watch::Receiver<()>,
}

#[derive(Default)]
struct Got {
    requests: Vec<ExportTraceServiceRequest>,
    headers: HeaderMap,
    /// Of which traces the back end's requests were.
    traceparents: Vec<String>,
}

impl Receiver {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let got = Arc::<Mutex<Got>>::default();
        let (told, news) = watch::channel(());
        let (collected, hooked, told) = (Arc::clone(&got), Arc::clone(&got), Arc::new(told));
        let told_too = Arc::clone(&told);
        let collect = async move |headers: HeaderMap, body: Bytes| {
            let mut got = collected.lock().unwrap();
            assert_eq!(headers["content-type"], "application/x-protobuf");
            got.requests.push(ExportTraceServiceRequest::decode(body).unwrap());
            got.headers = headers;
            told.send_replace(());
            StatusCode::OK
        };
        let hook = async move |headers: HeaderMap| {
            hooked.lock().unwrap().traceparents.push(headers["traceparent"].to_str().unwrap().to_owned());
            told_too.send_replace(());
            StatusCode::OK
        };
        let router = Router::new().route("/base/v1/traces", post(collect)).route("/hook", post(hook));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, got, news }
    }

    fn otlp(&self) -> OtlpConfig {
        OtlpConfig::new(format!("http://{}/base", self.address))
    }

    fn spans(&self) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let scopes = got.requests.iter().flat_map(|request| &request.resource_spans).flat_map(|all| &all.scope_spans);
        scopes.flat_map(|scope| scope.spans.clone()).collect()
    }

    /// The spans that the store has no part in.
    fn names(&self) -> Vec<String> {
        self.spans().into_iter().map(|span| span.name).filter(|name| name != "store batch").collect()
    }

    /// The spans of one of several servers.
    #[cfg(feature = "cluster")]
    fn spans_of(&self, service: &str) -> Vec<Span> {
        let got = self.got.lock().unwrap();
        let all = got.requests.iter().flat_map(|request| &request.resource_spans);
        let own = all.filter(|all| text(&all.resource.as_ref().unwrap().attributes, "service.name") == service);
        own.flat_map(|all| &all.scope_spans).flat_map(|scope| scope.spans.clone()).collect()
    }

    fn span(&self, name: &str) -> Span {
        let found = self.spans().into_iter().find(|span| span.name == name);
        found.unwrap_or_else(|| panic!("no {name} in {:?}", self.names()))
    }
}

fn value<'a>(attributes: &'a [KeyValue], key: &str) -> Option<&'a Value> {
    attributes.iter().find(|attribute| attribute.key == key)?.value.as_ref()?.value.as_ref()
}

fn text<'a>(attributes: &'a [KeyValue], key: &str) -> &'a str {
    match value(attributes, key) {
        Some(Value::StringValue(text)) => text,
        other => panic!("{key} is {other:?}"),
    }
}

fn number(attributes: &[KeyValue], key: &str) -> i64 {
    match value(attributes, key) {
        Some(Value::IntValue(number)) => *number,
        other => panic!("{key} is {other:?}"),
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn traced(otlp: OtlpConfig, change: impl FnOnce(&mut ServerConfig)) -> Server {
    server_with(|config| {
        config.otlp = Some(otlp);
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admin.keys = vec![AdminKey::new("root", AdminRole::Admin, "secret")];
        config.projects[0].rest.keys = vec![RestKey::new("back-end", SHA256).unwrap()];
        change(config);
    })
    .await
}

/// Sends a message to bob over the REST API. Gives the status.
async fn rest(server: &Server, headers: &str) -> u16 {
    let body = r#"{"destination":"bob","payload":"hello"}"#;
    let request = format!(
        "POST /dev/v2/project/{APP}/rtm/users/alice/peer_messages HTTP/1.1\r\nHost: rtm\r\nConnection: close\r\n\
         Authorization: Basic {}\r\nContent-Length: {}\r\n{headers}\r\n{body}",
        STANDARD.encode("back-end:secret"),
        body.len()
    );
    http(server.local_addr(), request).await.status
}

async fn admin(server: &Server, path: &str, headers: &str) -> u16 {
    let address = server.admin_addrs()[0];
    let request = format!(
        "GET /admin/v1{path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nAuthorization: Bearer secret\r\n{headers}\r\n"
    );
    http(address, request).await.status
}

#[tokio::test]
async fn calls_deliveries_and_batches_arrive_with_names_and_attributes() {
    let mut receiver = Receiver::start().await;
    let mut otlp = receiver.otlp();
    otlp.headers = vec!["authorization=Bearer %20abc".parse().unwrap()];
    otlp.service_name = "chat".to_owned();
    otlp.resource_attributes = vec!["deployment.environment.name=test".parse().unwrap()];
    let hook = format!("http://{}/hook", receiver.address);
    let server = traced(otlp, |config| {
        let mut told = HookConfig::new(app_id());
        let secret = WebhookSecret::new("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").unwrap();
        let mut target = HookTarget::new(hook, vec![secret]);
        target.allow_private = true;
        told.webhooks = vec![WebhookConfig::new("shop", target)];
        config.hooks = vec![told];
    })
    .await;
    assert_eq!(rest(&server, &format!("traceparent: {PARENT}\r\n")).await, 200);
    assert_eq!(admin(&server, "/projects", &format!("traceparent: {PARENT}\r\n")).await, 200);
    for events in ["user_events", "channel_events"] {
        let head =
            format!("GET /dev/v2/project/{APP}/rtm/vendor/{events} HTTP/1.1\r\nHost: rtm\r\nConnection: close\r\n");
        let key = format!("Authorization: Basic {}\r\n\r\n", STANDARD.encode("back-end:secret"));
        assert_eq!(http(server.local_addr(), head + &key).await.status, 200);
    }
    assert_eq!(admin(&server, &format!("/projects/{APP}/users/bob?nothing=1"), "").await, 400);
    // An event, which the store keeps and the back end is told.
    drop(Client::login(server.local_addr(), Wire::Native, "alice").await);
    soon("the back end is told", async {
        while receiver.got.lock().unwrap().traceparents.is_empty() {
            receiver.news.changed().await.unwrap();
        }
    })
    .await;
    server.shutdown().await;

    let span = receiver.span("POST /dev/v2/project/{app_id}/rtm/users/{user_id}/peer_messages");
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (PARENT[3..35].to_owned(), PARENT[36..52].to_owned()));
    assert_eq!(span.kind, SpanKind::Server as i32);
    assert_eq!(text(&span.attributes, "http.request.method"), "POST");
    assert_eq!(text(&span.attributes, "rtm.app_id"), APP);
    assert_eq!(number(&span.attributes, "http.response.status_code"), 200);
    assert!(span.end_time_unix_nano >= span.start_time_unix_nano && span.start_time_unix_nano > 0);

    for events in ["user_events", "channel_events"] {
        receiver.span(&format!("GET /dev/v2/project/{{app_id}}/rtm/vendor/{events}"));
    }

    let span = receiver.span("GET /admin/v1/projects");
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (PARENT[3..35].to_owned(), PARENT[36..52].to_owned()));
    assert_eq!(text(&span.attributes, "rtm.admin.key"), "root");
    assert_eq!(text(&span.attributes, "http.route"), "/admin/v1/projects");
    let span = receiver.span("GET /admin/v1/projects/{app_id}/users/{user_id}");
    assert_eq!(number(&span.attributes, "http.response.status_code"), 400);
    assert!(span.parent_span_id.is_empty());
    assert_ne!(span.status.unwrap_or_default().code, SpanStatus::Error as i32, "the caller's fault, not the server's");

    let span = receiver.span("webhook");
    let got = receiver.got.lock().unwrap().traceparents[0].clone();
    assert_eq!(got, format!("00-{}-{}-01", hex(&span.trace_id), hex(&span.span_id)));
    assert_eq!(span.kind, SpanKind::Client as i32);
    assert_eq!(text(&span.attributes, "rtm.webhook.name"), "shop");
    assert_eq!(number(&span.attributes, "rtm.webhook.attempt"), 1);
    assert!(number(&span.attributes, "rtm.webhook.events") >= 1);
    assert_eq!(number(&span.attributes, "http.response.status_code"), 200);

    let span = receiver.span("store batch");
    assert!(number(&span.attributes, "rtm.store.jobs") >= 1);
    assert_eq!(number(&span.attributes, "rtm.store.failed"), 0);

    let got = receiver.got.lock().unwrap();
    assert_eq!(got.headers["authorization"], "Bearer %20abc");
    let resource = got.requests[0].resource_spans[0].resource.clone().unwrap().attributes;
    assert_eq!(text(&resource, "service.name"), "chat");
    assert_eq!(text(&resource, "deployment.environment.name"), "test");
    assert!(!text(&resource, "service.instance.id").is_empty());
    assert!(!format!("{:?}", got.requests).contains("alice"), "users are nobody's business there");
}

#[tokio::test]
async fn messages_have_no_spans() {
    let receiver = Receiver::start().await;
    let server = traced(receiver.otlp(), |_| {}).await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let mut bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    for _ in 0..50 {
        alice.talks_with("alice", &mut bob, "bob").await;
    }
    assert_eq!(rest(&server, "").await, 200);
    server.shutdown().await;
    assert_eq!(receiver.names().len(), 1, "{:?}", receiver.names());
    // Sessions, not messages.
    assert!(receiver.spans().len() < 50, "{:?}", receiver.spans());
}

#[tokio::test]
async fn a_caller_and_the_ratio_decide_what_is_sent() {
    let receiver = Receiver::start().await;
    let mut otlp = receiver.otlp();
    otlp.sample_ratio = 0.0;
    let server = traced(otlp, |_| {}).await;
    assert_eq!(rest(&server, "").await, 200);
    assert_eq!(rest(&server, &format!("traceparent: {}00\r\n", &PARENT[..53])).await, 200);
    assert_eq!(rest(&server, "traceparent: nonsense\r\n").await, 200);
    assert_eq!(admin(&server, "/key", &format!("traceparent: {PARENT}\r\n")).await, 200);
    server.shutdown().await;
    assert_eq!(receiver.names(), ["GET /admin/v1/key"]);
}

#[cfg(feature = "cluster")]
#[tokio::test]
#[ignore = "needs NATS_SERVER"]
async fn what_a_node_does_for_another_one_is_of_the_same_trace_in_a_cluster() {
    let nats = crate::nats::Nats::start(1);
    let receiver = Receiver::start().await;
    let node = async |name: &str, has_admin: bool| {
        let mut otlp = receiver.otlp();
        otlp.service_name = name.to_owned();
        traced(otlp, |config| {
            let mut cluster = ClusterConfig::new(nats.urls().iter().map(|url| url.parse().unwrap()).collect());
            cluster.node = Some(NodeName::new(name).unwrap());
            config.cluster = Some(cluster);
            // Nobody can ask it but the other node.
            if !has_admin {
                config.admin = AdminConfig::default();
            }
        })
        .await
    };
    let (caller, other) = (node("caller", true).await, node("other", false).await);
    let trace = format!("traceparent: {PARENT}\r\n");
    soon("the other node is known", async {
        while admin(&caller, "/log?node=other", "traceparent: nonsense\r\n").await == 404 {
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    })
    .await;
    assert_eq!(admin(&caller, &format!("/projects/{APP}/sessions"), &trace).await, 200);
    other.shutdown().await;
    caller.shutdown().await;

    let name = "GET /admin/v1/projects/{app_id}/sessions";
    let of = |service: &str| {
        let mut all = receiver.spans_of(service).into_iter().filter(|span| span.name == name);
        all.next().unwrap_or_else(|| panic!("{service} has no {name} in {:?}", receiver.names()))
    };
    let (asked, did) = (of("caller"), of("other"));
    assert_eq!(hex(&asked.parent_span_id), PARENT[36..52]);
    assert_eq!((hex(&did.trace_id), &did.parent_span_id), (PARENT[3..35].to_owned(), &asked.span_id));
    assert_eq!(did.kind, SpanKind::Server as i32);
    assert_eq!(text(&did.attributes, "rtm.admin.key"), "root");
    assert_eq!(text(&did.attributes, "http.route"), &name[4..]);
    assert_eq!(number(&did.attributes, "http.response.status_code"), 200);
}

#[tokio::test]
async fn nothing_depends_on_the_collector() {
    // One that is not there, and one that never answers.
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    for address in [gone, silent.local_addr().unwrap()] {
        let server = traced(OtlpConfig::new(format!("http://{address}")), |_| {}).await;
        let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
        let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
        alice.talks_with("alice", &mut bob, "bob").await;
        assert_eq!(rest(&server, "").await, 200);
        drop((alice, bob));
        soon("the end", server.shutdown()).await;
    }
}

#[tokio::test]
async fn a_collector_that_cannot_be_is_an_error_that_names_its_key() {
    for (line, key) in [
        ("endpoint = \"127.0.0.1:4318\"", "otlp.endpoint"),
        ("endpoint = \"ftp://host\"", "otlp.endpoint"),
        ("endpoint = \"http://user:secret@host\"", "otlp.endpoint"),
        ("endpoint = \"\"", "otlp.endpoint"),
        ("endpoint = \"http://host\"\nsample_ratio = 1.5", "otlp.sample_ratio"),
        ("endpoint = \"http://host\"\nheaders = [\"secret\"]", "otlp.headers"),
        ("endpoint = \"http://host\"\nservice_name = \"\"", "otlp.service_name"),
        ("endpoint = \"http://host\"\ntimeout = \"0s\"", "otlp.timeout"),
    ] {
        let read = ServerConfig::from_toml_str(&format!("[otlp]\n{line}"));
        let error = read.and_then(|config| config.check()).unwrap_err();
        assert!(error.key().starts_with(key), "{line}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
    }
    let variables = [("RTM_OTLP__ENDPOINT", "http://host:4318"), ("RTM_OTLP__SAMPLE_RATIO", "0.25")];
    let variables = variables.map(|(name, value)| (name.to_owned(), value.to_owned()));
    let (config, _) = ServerConfig::from_toml_and_env("", variables).unwrap();
    assert_eq!(config.otlp.unwrap().sample_ratio, 0.25);
}
