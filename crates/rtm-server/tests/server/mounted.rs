//! The server as a part of an axum application, at one port with it.

use std::{net::SocketAddr, time::Duration};

use async_tungstenite::tungstenite::client::IntoClientRequest;
use axum::{
    Router,
    extract::{ConnectInfo, Request, State},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse, Response},
    routing::get,
};
use rtm_codec::{CallLimit, ClientFrame, Wire, native::SUBPROTOCOL};
use rtm_server::{ClientAddress, ProjectConfig, Remote, RtmService, Server, ServerBuilder, ServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

use crate::support::{APP, Client, GATEWAY, app_id, http, parse, soon};

const HEALTH: &str = "GET /healthz HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n";

/// An application, which ends with this.
struct Application {
    address: SocketAddr,
    task: JoinHandle<()>,
}

impl Drop for Application {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn run(app: Router) -> Application {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = app.into_make_service_with_connect_info::<SocketAddr>();
    let task = tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    Application { address, task }
}

async fn server_with(change: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = ServerConfig::default();
    config.projects = vec![ProjectConfig::new(app_id())];
    change(&mut config);
    ServerBuilder::from(config).build().await.unwrap()
}

/// The server as a service that knows its clients' addresses.
fn service(server: &Server) -> RtmService {
    server.service().remote(|request| match request.extensions.get() {
        Some(ConnectInfo::<SocketAddr>(address)) => Remote::at(*address),
        None => Remote::unknown(),
    })
}

fn beside_hello(server: &Server) -> Router {
    Router::new().route("/hello", get(async || "hello")).fallback_service(service(server))
}

async fn get_path(address: SocketAddr, path: &str) -> crate::support::Answer {
    http(address, format!("GET {path} HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")).await
}

async fn post_once(address: SocketAddr, path: &str, body: &str) -> crate::support::Answer {
    let len = body.len();
    let head = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Length: {len}");
    http(address, format!("{head}\r\n\r\n{body}")).await
}

fn connect_body(name: &str) -> String {
    format!(r#"{{"appid":"{APP}","uid":"{name}","token":"","wss":false}}"#)
}

#[tokio::test]
async fn behind_a_proxy_each_client_counts_by_its_own_address() {
    let server = server_with(|config| {
        config.trusted_proxies = vec!["127.0.0.1".parse().unwrap()];
        config.client_address = ClientAddress::XForwardedFor;
        config.connects_per_address = CallLimit::new(1, Duration::from_secs(3600));
    })
    .await;
    let app = run(beside_hello(&server)).await;
    let ask = async |client: &str| {
        let request = HEALTH.replace("\r\n\r\n", &format!("\r\nX-Forwarded-For: {client}\r\n\r\n"));
        http(app.address, request).await.status
    };
    assert_eq!([ask("203.0.113.7").await, ask("203.0.113.8").await, ask("203.0.113.7").await], [200, 200, 429]);
}

#[tokio::test]
async fn websockets_gateway_and_the_applications_own_paths_share_a_port() {
    let server = server_with(|_| {}).await;
    let app = run(beside_hello(&server)).await;
    let mut alice = Client::login(app.address, Wire::Native, "alice").await;
    let mut bob = Client::login(app.address, Wire::Vendor, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;

    let answer = post_once(app.address, GATEWAY, &connect_body("carol")).await;
    assert_eq!((answer.status, answer.header("access-control-allow-origin")), (200, Some("*")));
    let here = serde_json::json!([{"type": 0, "addr": "127.0.0.1", "port": app.address.port()}]);
    assert_eq!(answer.json()["addresses"], here);
    assert_eq!(get_path(app.address, "/hello").await.body, "hello");
    assert_eq!(get_path(app.address, "/healthz").await.status, 200);
    assert_eq!(get_path(app.address, "/nowhere").await.status, 404);
    assert_eq!(server.stats().connections, 2, "answered requests do not count");
}

#[tokio::test]
async fn a_connection_that_stays_open_carries_one_request_after_the_other() {
    let server = server_with(|_| {}).await;
    let app = run(beside_hello(&server)).await;
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    stream.write_all(HEALTH.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("both answers", stream.read_to_end(&mut bytes)).await.unwrap();
    assert_eq!(String::from_utf8(bytes).unwrap().matches("200 OK").count(), 2);
}

#[tokio::test]
async fn below_a_path_it_serves_clients_that_know_the_path() {
    let server = server_with(|_| {}).await;
    let app = run(Router::new().nest_service("/rtm", service(&server))).await;
    let mut request = format!("ws://{}/rtm/", app.address).into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    let stream = TcpStream::connect(app.address).await.unwrap();
    let mut alice = Client::connect_over(stream, request, Wire::Native).await;
    alice.log_in("alice").await;

    let answer = post_once(app.address, &format!("/rtm{GATEWAY}"), &connect_body("carol")).await;
    assert_eq!((answer.status, answer.json()["code"].as_i64()), (200, Some(0)));
    assert_eq!(get_path(app.address, "/healthz").await.status, 404, "outside of the path");
    assert_eq!(get_path(app.address, "/rtm/healthz").await.status, 200);
}

#[tokio::test]
async fn an_application_with_a_page_at_the_root_hands_on_what_is_meant_for_it() {
    async fn hand_on(State(mut rtm): State<RtmService>, request: Request, next: Next) -> Response {
        if RtmService::is_for_rtm(&request) {
            let Ok(response) = tower_service::Service::call(&mut rtm, request).await;
            return response.into_response();
        }
        next.run(request).await
    }
    let server = server_with(|_| {}).await;
    let page = Router::new().route("/", get(async || "a page"));
    let app = run(page.layer(from_fn_with_state(service(&server), hand_on))).await;
    assert_eq!(get_path(app.address, "/").await.body, "a page");
    assert_eq!(get_path(app.address, "/healthz").await.status, 404, "the application's own");
    let mut alice = Client::login(app.address, Wire::Native, "alice").await;
    let mut bob = Client::login(app.address, Wire::Vendor, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    assert_eq!(post_once(app.address, GATEWAY, &connect_body("carol")).await.json()["code"], 0);

    let is_for_rtm = |path: &str, subprotocol: Option<&str>| {
        let request = http::Request::get(path).header("Upgrade", "websocket");
        let request =
            subprotocol.into_iter().fold(request, |request, name| request.header("Sec-WebSocket-Protocol", name));
        RtmService::is_for_rtm(&request.body(()).unwrap())
    };
    assert!(is_for_rtm("/any", Some("other, rtm.v1")) && is_for_rtm("/", None));
    assert!(!is_for_rtm("/live", None) && !is_for_rtm("/", Some("graphql-ws")));
}

#[tokio::test]
async fn the_limits_hold_and_the_answer_says_which() {
    let server = server_with(|config| {
        config.max_connections = 3;
        config.max_connections_per_address = 2;
    })
    .await;
    let app = run(beside_hello(&server)).await;
    let alice = Client::login(app.address, Wire::Native, "alice").await;
    let _bob = Client::login(app.address, Wire::Native, "bob").await;
    assert_eq!(get_path(app.address, "/healthz").await.status, 429);
    assert_eq!(get_path(app.address, "/hello").await.status, 200, "the application's own have no part in it");
    let (_here, there) = tokio::io::duplex(64);
    server.serve(there, Remote::unknown()).await.unwrap();
    assert_eq!(get_path(app.address, "/healthz").await.status, 503);
    drop(alice);
    soon("there being room", async {
        while server.stats().connections > 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(get_path(app.address, "/healthz").await.status, 200);
}

#[tokio::test]
async fn tokens_cannot_be_tried_out_there_either() {
    let server = server_with(|config| {
        config.projects[0].certificates = vec!["5cfd2fd1755d40ecb72977518be15d3b".parse().unwrap()];
        config.refused_logins_per_address = CallLimit::new(2, Duration::from_secs(3600));
    })
    .await;
    let app = run(beside_hello(&server)).await;
    let mut codes = Vec::new();
    for _ in 0..3 {
        let json = post_once(app.address, GATEWAY, &connect_body("alice")).await.json();
        codes.push(json["code"].as_i64().unwrap());
    }
    assert!(codes[0] == codes[1] && codes[1] != codes[2], "{codes:?}");
}

#[tokio::test]
async fn a_body_that_does_not_come_has_an_end() {
    let server = server_with(|config| config.handshake_timeout = Duration::from_millis(100)).await;
    let app = run(beside_hello(&server)).await;
    let head = format!("POST {GATEWAY} HTTP/1.1\r\nHost: h\r\nContent-Length: 100\r\nConnection: close\r\n\r\n");
    assert_eq!(http(app.address, head).await.status, 408);
}

#[tokio::test]
async fn a_shutdown_sends_its_clients_away_and_the_application_stays() {
    let server = server_with(|_| {}).await;
    let app = run(beside_hello(&server)).await;
    let mut alice = Client::login(app.address, Wire::Native, "alice").await;
    let mut bob = Client::login(app.address, Wire::Vendor, "bob").await;
    let mut half = TcpStream::connect(app.address).await.unwrap();
    let body = connect_body("carol");
    let head =
        format!("POST {GATEWAY} HTTP/1.1\r\nHost: h\r\nConnection: close\r\nContent-Length: {}\r\n\r\n", body.len());
    half.write_all(head.as_bytes()).await.unwrap();
    soon("the half request", async {
        while server.stats().connections < 3 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    let down = tokio::spawn(server.shutdown());
    assert_eq!(alice.closed().await.map(|(code, _)| code), Some(1012));
    assert_eq!(bob.closed().await.map(|(code, _)| code), Some(1012));
    half.write_all(body.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", half.read_to_end(&mut bytes)).await.unwrap();
    let answer = parse(&bytes);
    assert_eq!((answer.status, &answer.json()["code"]), (503, &1.into()), "the SDK tries again");
    soon("going down", down).await.unwrap();

    assert_eq!(get_path(app.address, "/hello").await.body, "hello");
    assert_eq!(get_path(app.address, "/healthz").await.status, 503);
    let key = "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13";
    let handshake = format!("GET / HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{key}\r\n\r\n");
    let mut stream = TcpStream::connect(app.address).await.unwrap();
    stream.write_all(handshake.as_bytes()).await.unwrap();
    let mut start = [0; 12];
    soon("an answer", stream.read_exact(&mut start)).await.unwrap();
    assert_eq!(&start, b"HTTP/1.1 503");
}

#[tokio::test]
async fn a_handshake_that_the_application_cannot_upgrade_is_refused() {
    let server = server_with(|_| {}).await;
    let request = http::Request::get("/")
        .header("Host", "h")
        .header("Upgrade", "websocket")
        .header("Connection", "Upgrade")
        .header("Sec-WebSocket-Version", "13")
        .header("Sec-WebSocket-Key", "AAAAAAAAAAAAAAAAAAAAAA==");
    // No HTTP server has put its connection into it.
    let response = server.handle().respond(request.body(axum::body::Body::empty()).unwrap(), Remote::unknown()).await;
    assert_eq!(response.status(), 426);
}

#[tokio::test]
async fn a_dropped_server_answers_nobody_and_the_application_stays() {
    let server = server_with(|_| {}).await;
    let app = run(beside_hello(&server)).await;
    let mut alice = Client::login(app.address, Wire::Native, "alice").await;
    drop(server);
    assert_eq!(alice.closed().await, None);
    assert_eq!(get_path(app.address, "/healthz").await.status, 503);
    assert_eq!(get_path(app.address, "/hello").await.status, 200);
}

#[tokio::test]
async fn stored_messages_that_were_handed_out_are_gone_after_that() {
    let server = server_with(|_| {}).await;
    let app = run(beside_hello(&server)).await;
    let mut alice = Client::login(app.address, Wire::Native, "alice").await;
    let message = rtm_codec::SendMessageToPeer {
        message_id: rtm_codec::MessageId(1),
        peer_id: crate::support::user("bob"),
        message: rtm_codec::RtmMessage::text("later"),
        enable_offline_messaging: true,
        enable_historical_messaging: false,
    };
    alice.request(message).await;
    alice.next().await;
    let session = post_once(app.address, GATEWAY, &connect_body("bob")).await.json();
    let session = session["sessionid"].as_str().unwrap().to_owned();
    let mut bob = Client::connect(app.address, Wire::Vendor).await;
    bob.log_in_with("bob", |login| login.gateway_session = Some(session.as_str().into())).await;
    let body = format!(r#"{{"uid":"bob","sessId":"{session}","appId":"{APP}"}}"#);
    let json = post_once(app.address, "/arapi/v1/artmgw/getOfflineMsg", &body).await.json();
    assert_eq!(json["data"][0]["msgBody"], "later");
    soon("its removal", async {
        while server.store_stats().await.unwrap().offline_messages > 0 {
            // Signs of life after the answer say that it has arrived.
            bob.send(ClientFrame::Ping).await;
        }
    })
    .await;
}
