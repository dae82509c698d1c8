//! The REST API as back ends call it: connections that are kept, keys and tokens in all their forms, what real callers get
//! wrong, and what becomes of messages.

use std::{net::SocketAddr, time::Duration};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rtm_codec::{CallLimit, ClientFrame, Event, JoinChannel, RequestId, RtmMessage, ServerFrame, Wire};
use rtm_server::{Certificate, RestKey, Server, ServerConfig};
use rtm_token::{Builder, Version};
use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::*;

/// The SHA-256 of "secret".
const SHA256: &str = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";

async fn rest_server(change: impl FnOnce(&mut ServerConfig)) -> Server {
    server_with(|config| {
        config.projects[0].rest.keys = vec![RestKey::new("back-end", SHA256).unwrap()];
        change(config);
    })
    .await
}

/// A connection of a back end.
struct BackEnd {
    stream: TcpStream,
    read: Vec<u8>,
    headers: String,
}

struct Answer {
    status: u16,
    head: String,
    body: Value,
}

impl BackEnd {
    /// One that sends these headers with each request.
    async fn new(address: SocketAddr, headers: &str) -> Self {
        let stream = TcpStream::connect(address).await.unwrap();
        Self { stream, read: Vec::new(), headers: headers.to_owned() }
    }

    async fn with_key(address: SocketAddr) -> Self {
        Self::new(address, &basic("back-end:secret")).await
    }

    async fn send(&mut self, method: &str, path: &str, body: &str) {
        let (headers, len) = (&self.headers, body.len());
        let request = format!(
            "{method} /dev/v2/project/{APP}{path} HTTP/1.1\r\nHost: rtm\r\nContent-Length: {len}\r\n{headers}\r\n{body}"
        );
        self.stream.write_all(request.as_bytes()).await.unwrap();
    }

    async fn answer(&mut self) -> Answer {
        let (head, len) = loop {
            if let Some(end) = self.read.windows(4).position(|end| end == b"\r\n\r\n") {
                let head = String::from_utf8(self.read.drain(..end + 4).collect()).unwrap();
                let len =
                    head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
                break (head, len.unwrap());
            }
            self.read_more().await;
        };
        while self.read.len() < len {
            self.read_more().await;
        }
        let body: Vec<u8> = self.read.drain(..len).collect();
        let status = head[9..12].parse().unwrap();
        Answer { status, head, body: serde_json::from_slice(&body).unwrap_or(Value::Null) }
    }

    async fn read_more(&mut self) {
        let read = soon("an answer", self.stream.read_buf(&mut self.read)).await.unwrap();
        assert_ne!(read, 0, "the connection was closed");
    }

    async fn call(&mut self, method: &str, path: &str, body: &str) -> Answer {
        self.send(method, path, body).await;
        self.answer().await
    }

    async fn post(&mut self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &body.to_string()).await
    }

    /// Whether the server closes the connection.
    async fn is_closed(&mut self) -> bool {
        matches!(soon("the end", self.stream.read_buf(&mut self.read)).await, Ok(0) | Err(_))
    }
}

/// The header of a proxy, and a server that believes it and lets an address connect twice an hour, one at a time.
const FORWARDED: &str = "X-Forwarded-For: 203.0.113.7\r\n";

async fn behind_a_proxy() -> Server {
    rest_server(|config| {
        config.trusted_proxies = vec!["127.0.0.1/32".parse().unwrap()];
        config.client_address = rtm_server::ClientAddress::XForwardedFor;
        config.connects_per_address = CallLimit::new(2, Duration::from_secs(3600));
        config.max_connections_per_address = 1;
    })
    .await
}

#[tokio::test]
async fn calls_that_come_by_a_proxy_are_no_connections_of_their_client() {
    let server = behind_a_proxy().await;
    let mut client = Client::connect(server.local_addr(), Wire::Native).await;
    client.log_in("bob").await;
    let headers = format!("{FORWARDED}{}", basic("back-end:secret"));
    let mut back_end = BackEnd::new(server.local_addr(), &headers).await;
    let mut other = BackEnd::new(server.local_addr(), &headers).await;
    for _ in 0..5 {
        for back_end in [&mut back_end, &mut other] {
            let answer = back_end.post("/rtm/users/alice/peer_messages", &hello()).await;
            assert_eq!(answer.status, 200, "{}", answer.body);
        }
    }
    // What is no call counts as ever.
    let ask = async |more: &str| {
        let request = format!("GET /healthz HTTP/1.1\r\nHost: rtm\r\n{FORWARDED}{more}\r\n");
        http(server.local_addr(), request).await.status
    };
    assert_eq!([ask("").await, ask("").await, ask("").await], [200, 200, 429]);
    // Nor does the path of a call open a WebSocket past the limit.
    let upgrade = format!(
        "GET /dev/v2/project/{APP} HTTP/1.1\r\nHost: rtm\r\n{FORWARDED}Connection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    assert_eq!(http(server.local_addr(), upgrade).await.status, 429);
}

#[tokio::test]
async fn also_a_request_that_is_refused_as_such_is_answered_in_the_form_of_the_api() {
    let server = rest_server(|_| {}).await;
    let many = "X: y\r\n".repeat(101);
    for (headers, status, reason) in [
        ("Host: one\r\nHost: two\r\n", 400, "invalid_argument"),
        ("", 400, "invalid_argument"),
        (&format!("Host: rtm\r\n{many}"), 431, "head_too_large"),
    ] {
        let request =
            format!("GET /dev/v2/project/{APP}/rtm/vendor/user_events HTTP/1.1\r\nConnection: close\r\n{headers}\r\n");
        let answer = http(server.local_addr(), request).await;
        let body = answer.json();
        assert_eq!(
            (answer.status, &body["result"], &body["reason"]),
            (status, &json!("failed"), &json!(reason)),
            "{body}"
        );
    }
}

fn basic(pair: &str) -> String {
    format!("Authorization: Basic {}\r\n", STANDARD.encode(pair))
}

fn hello() -> Value {
    json!({ "destination": "bob", "enable_offline_messaging": false, "enable_historical_messaging": false, "payload": "hello" })
}

/// The next message that a client gets; the device acknowledges it.
async fn receive(client: &mut Client) -> (String, String) {
    loop {
        let ServerFrame::Event { seq, event } = client.next().await else { continue };
        let (from, message) = match event {
            Event::MessageFromPeer(message) => (message.peer_id, message.message),
            Event::ChannelMessage { member_id, message, .. } => (member_id, message),
            _ => continue,
        };
        client.ack(seq).await;
        let RtmMessage::Text(text) = message else { panic!("a text") };
        return (from.to_string(), text.to_string());
    }
}

async fn join(client: &mut Client, channel: &str) {
    client.requests += 1;
    let id = RequestId(client.requests);
    let command = JoinChannel { channel_id: channel.parse().unwrap() }.into();
    client.send(ClientFrame::Request { id, command }).await;
    while !matches!(client.next().await, ServerFrame::Reply { result: Ok(_), .. }) {}
}

#[tokio::test]
async fn messages_go_over_one_connection_and_say_what_became_of_them() {
    let server = rest_server(|_| {}).await;
    let address = server.local_addr();
    let mut back_end = BackEnd::with_key(address).await;
    let path = "/rtm/users/alice/peer_messages";
    let answer = back_end.post(&format!("{path}?wait_for_ack=true"), &hello()).await;
    assert_eq!(
        (answer.status, &answer.body["result"], &answer.body["code"]),
        (200, &json!("success"), &json!("peer_offline"))
    );
    assert!(answer.head.contains("application/json"), "{}", answer.head);
    let first: u64 = answer.body["request_id"].as_str().unwrap().parse().unwrap();

    let mut bob = Client::login(address, Wire::Native, "bob").await;
    back_end.send("POST", &format!("{path}?wait_for_ack=1"), &hello().to_string()).await;
    assert_eq!(receive(&mut bob).await, ("alice".into(), "hello".into()));
    let answer = back_end.answer().await;
    assert_eq!(answer.body["code"], "message_delivered");
    let second: u64 = answer.body["request_id"].as_str().unwrap().parse().unwrap();
    assert_ne!(first, second);

    let answer = back_end.post(path, &hello()).await;
    assert_eq!((answer.status, &answer.body["code"]), (200, &json!("message_sent")));
    assert_eq!(receive(&mut bob).await.1, "hello");

    join(&mut bob, "room").await;
    let body = json!({ "channel_name": "room", "enable_historical_messaging": false, "payload": "to all" });
    let answer = back_end.post("/rtm/users/carol/channel_messages", &body).await;
    assert_eq!((answer.status, answer.body.get("code")), (200, None));
    assert_eq!(receive(&mut bob).await, ("carol".into(), "to all".into()));
    server.shutdown().await;
}

#[tokio::test]
async fn what_real_callers_send_is_understood() {
    let server = rest_server(|_| {}).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    back_end.headers.push_str("Content-Type: text/plain\r\n");
    let cases = [
        (
            "/rtm/users/user%20A/peer_message",
            r#"{"destination":"bob","payload":"one","offSet":{"a":[1]}}"#,
            "user A",
            "one",
        ),
        (
            "/rtm/users/a/peer_messages/?wait_for_ack=",
            r#" {"payload":"two","destination":"bob","enable_offline_messaging":0}"#,
            "a",
            "two",
        ),
        (
            "/rtm/users/a/peer_messages?&wait_for_ack=false",
            r#"{"payload":"\u4f60\u597d \ud83d\ude00","destination":"bob","enable_historical_messaging":"false"}"#,
            "a",
            "你好 😀",
        ),
    ];
    for (path, body, from, text) in cases {
        let answer = back_end.call("POST", path, body).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.body);
        assert_eq!(receive(&mut bob).await, (from.into(), text.into()));
    }
    server.shutdown().await;
}

#[tokio::test]
async fn every_way_to_authenticate_is_taken_and_no_other() {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let builder = || Builder::for_now(APP, &certificate, "alice");
    let old = builder().build().unwrap();
    let new = builder().version(Version::V007).build().unwrap();
    let own = certificate.clone();
    let server = rest_server(|config| config.projects[0].certificates = vec![own]).await;
    let send = "/rtm/users/alice/peer_messages";
    let search = "/rtm/message/history/query";
    let filter = json!({ "filter": { "source": "alice", "start_time": "2019-08-01T01:22:10Z", "end_time": "2019-08-01T01:32:10.5Z" } });
    let good = [
        basic("back-end:secret"),
        format!("x-ar-token: {old}\r\nx-ar-uid: alice\r\n"),
        format!("x-agora-token: {old}\r\nx-agora-uid: alice\r\nAuthorization: bm90IEJhc2lj\r\n"),
        format!("Authorization: agora token={new}\r\n"),
        format!("Authorization: Bearer {new}\r\n"),
        format!("Authorization: agora token={old}\r\nx-agora-uid: alice\r\n"),
    ];
    for headers in good {
        let mut back_end = BackEnd::new(server.local_addr(), &headers).await;
        for (path, body) in [(send, &hello()), (search, &filter)] {
            let answer = back_end.post(path, body).await;
            assert_eq!((answer.status, &answer.body["result"]), (200, &json!("success")), "{headers}: {}", answer.body);
        }
    }
    let bad = [
        String::new(),
        basic("back-end:wrong"),
        basic("back-end"),
        "Authorization: Basic ***\r\n".into(),
        format!("Authorization: {}\r\n", STANDARD.encode("back-end:secret")),
        format!("x-ar-token: {old}\r\nx-ar-uid: bob\r\n"),
        format!("x-ar-token: {}\r\nx-ar-uid: alice\r\n", &old[..old.len() - 4]),
    ];
    for headers in bad {
        let mut back_end = BackEnd::new(server.local_addr(), &headers).await;
        let answer = back_end.post(send, &hello()).await;
        assert_eq!((answer.status, &answer.body["code"]), (401, &json!("unauthorized")), "{headers}");
        assert_eq!(answer.body["result"], "failed");
        assert!(answer.body["request_id"].is_string() && answer.body["message"].is_string());
    }
    // As nobody else, and nothing that is not the user's.
    let mut alice = BackEnd::new(server.local_addr(), &format!("x-ar-token: {old}\r\nx-ar-uid: alice\r\n")).await;
    assert_eq!(alice.post("/rtm/users/bob/peer_messages", &hello()).await.status, 401);
    assert_eq!(alice.call("GET", "/rtm/vendor/user_events", "").await.status, 401);
    server.shutdown().await;

    // Nobody has a key.
    let server = rest_server(|config| config.projects[0].rest.keys.clear()).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    assert_eq!(back_end.post(send, &hello()).await.status, 401);
    server.shutdown().await;
}

#[cfg(feature = "cluster")]
#[tokio::test]
async fn a_token_reads_the_history_of_its_users_channels_whatever_core_serves_the_user() {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let own = certificate.clone();
    let server = rest_server(|config| {
        config.workers = 4;
        config.projects[0].certificates = vec![own];
    })
    .await;
    let filter = json!({ "filter": { "destination": "room", "start_time": "2019-08-01T01:22:10Z", "end_time": "2019-08-01T01:32:10Z" } });
    // Some of them have other cores than the first.
    for user in ["alice", "bob", "carol", "dave", "erin", "frank", "grace", "heidi"] {
        let token = Builder::for_now(APP, &certificate, user).build().unwrap();
        let mut client = Client::connect(server.local_addr(), Wire::Native).await;
        let shown = rtm_codec::Token::new(token.clone()).unwrap();
        client.log_in_with(user, |login| login.token = Some(shown)).await;
        let mut back_end =
            BackEnd::new(server.local_addr(), &format!("x-ar-token: {token}\r\nx-ar-uid: {user}\r\n")).await;
        assert_eq!(back_end.post("/rtm/message/history/query", &filter).await.status, 401, "{user} is no member");
        client.request(JoinChannel { channel_id: rtm_codec::ChannelId::new("room").unwrap() }).await;
        while !matches!(client.next().await, ServerFrame::Reply { result: Ok(_), .. }) {}
        let answer = back_end.post("/rtm/message/history/query", &filter).await;
        assert_eq!(answer.status, 200, "{user}: {}", answer.body);
        let handle = answer.body["location"].as_str().unwrap().trim_start_matches('~').to_owned();
        assert_eq!(back_end.call("GET", &handle, "").await.status, 200, "{user}");
    }
    server.shutdown().await;
}

#[tokio::test]
async fn what_is_wrong_is_named_and_the_connection_goes_on() {
    let server = rest_server(|_| {}).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let send = "/rtm/users/alice/peer_messages";
    let long = json!({ "destination": "bob", "payload": "x".repeat(32_769) }).to_string();
    let cases = [
        ("POST", send, "{", 400),
        ("POST", send, "", 400),
        ("POST", send, "[]", 400),
        ("POST", send, r#"{"destination":"bob"}"#, 400),
        ("POST", send, r#"{"destination":"bob","payload":""}"#, 400),
        ("POST", send, r#"{"destination":"bob","payload":7}"#, 400),
        ("POST", send, r#"{"destination":"","payload":"x"}"#, 400),
        ("POST", send, r#"{"destination":"b\u0000b","payload":"x"}"#, 400),
        ("POST", send, &long, 400),
        ("POST", "/rtm/users/%20alice/peer_messages", r#"{"destination":"bob","payload":"x"}"#, 400),
        ("GET", send, "", 405),
        ("POST", "/rtm/users/alice/nothing", "{}", 404),
        ("POST", "/rtm/message/history/query", r#"{"filter":{"source":"a"}}"#, 400),
        (
            "POST",
            "/rtm/message/history/query",
            r#"{"filter":{"start_time":"2019-08-01T01:22:10Z","end_time":"2019-08-01T01:32:10Z"}}"#,
            400,
        ),
        (
            "POST",
            "/rtm/message/history/query",
            r#"{"filter":{"source":"a","end_time":"2019-08-01T01:22:10Z","start_time":"2019-08-01T01:32:10Z"}}"#,
            400,
        ),
        (
            "POST",
            "/rtm/message/history/query",
            r#"{"limit":101,"filter":{"source":"a","start_time":"2019-08-01T01:22:10Z","end_time":"2019-08-01T01:32:10Z"}}"#,
            400,
        ),
        (
            "POST",
            "/rtm/message/history/query",
            r#"{"limit":-1,"filter":{"source":"a","start_time":"2019-08-01T01:22:10Z","end_time":"2019-08-01T01:32:10Z"}}"#,
            400,
        ),
        (
            "POST",
            "/rtm/message/history/query",
            r#"{"offset":1.5,"filter":{"source":"a","start_time":"2019-08-01T01:22:10Z","end_time":"2019-08-01T01:32:10Z"}}"#,
            400,
        ),
        ("GET", "/rtm/message/history/query/MjIzMDA3OjEyODA5MzkyOQ==", "", 410),
        ("GET", "/rtm/message/history/count?source=a", "", 400),
    ];
    for (method, path, body, status) in cases {
        let answer = back_end.call(method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {body:.80}: {}", answer.body);
        assert_eq!(answer.body["result"], "failed");
    }
    assert_eq!(back_end.post(send, &hello()).await.status, 200);
    let mut other = TcpStream::connect(server.local_addr()).await.unwrap();
    let unknown = "POST /dev/v2/project/00000000000000000000000000000000/rtm/users/a/peer_messages HTTP/1.1\r\nHost: rtm\r\nContent-Length: 0\r\nConnection: close\r\n\r\n";
    other.write_all(unknown.as_bytes()).await.unwrap();
    let mut text = String::new();
    soon("the answer", other.read_to_string(&mut text)).await.unwrap();
    assert!(text.starts_with("HTTP/1.1 404") && text.contains("unknown_app_id"), "{text}");
    server.shutdown().await;
}

#[tokio::test]
async fn too_many_calls_are_told_when_to_come_again() {
    let server = rest_server(|config| config.projects[0].rest.limit = CallLimit::new(2, Duration::from_secs(60))).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let send = "/rtm/users/alice/peer_messages";
    for _ in 0..2 {
        assert_eq!(back_end.post(send, &hello()).await.status, 200);
    }
    let answer = back_end.post(send, &hello()).await;
    assert_eq!((answer.status, &answer.body["code"]), (429, &json!("too_often")));
    assert!(answer.body["message"].as_str().unwrap().contains("(rest)"), "it names the quota: {}", answer.body);
    assert!(answer.head.to_lowercase().contains("\r\nretry-after: "), "{}", answer.head);
    server.shutdown().await;
}

#[tokio::test]
async fn a_body_that_is_too_long_or_too_slow_ends_the_connection() {
    let server = rest_server(|config| config.handshake_timeout = Duration::from_millis(300)).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let (path, headers) = (format!("/dev/v2/project/{APP}/rtm/users/a/peer_messages"), back_end.headers.clone());
    let head = format!("POST {path} HTTP/1.1\r\nHost: rtm\r\nContent-Length: 999999\r\n{headers}\r\n");
    back_end.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(back_end.answer().await.status, 413);
    assert!(back_end.is_closed().await);

    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let head = format!("POST {path} HTTP/1.1\r\nHost: rtm\r\nContent-Length: 100\r\n{headers}\r\n{{");
    back_end.stream.write_all(head.as_bytes()).await.unwrap();
    assert_eq!(back_end.answer().await.status, 408);

    // A head that stops half way, on a connection that was kept.
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    assert_eq!(back_end.post("/rtm/users/alice/peer_messages", &hello()).await.status, 200);
    back_end.stream.write_all(b"POST /dev/v2").await.unwrap();
    assert!(back_end.is_closed().await);

    // One that never comes again is closed too, but not at once.
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    assert_eq!(back_end.post("/rtm/users/alice/peer_messages", &hello()).await.status, 200);
    let begun = std::time::Instant::now();
    assert!(back_end.is_closed().await);
    assert!(begun.elapsed() > Duration::from_millis(1200), "{:?}", begun.elapsed());
    server.shutdown().await;
}

#[tokio::test]
async fn who_waits_for_a_device_is_not_cut_off_meanwhile() {
    let server = rest_server(|config| {
        config.handshake_timeout = Duration::from_millis(200);
        config.projects[0].settings.receipt_within = Duration::from_millis(1500);
    })
    .await;
    let bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let answer = back_end.post("/rtm/users/alice/peer_messages?wait_for_ack=true", &hello()).await;
    assert_eq!((answer.status, &answer.body["code"]), (200, &json!("message_sent")));
    drop(bob);
    server.shutdown().await;
}

#[tokio::test]
async fn nothing_is_said_of_a_call_to_who_has_no_key() {
    let server = rest_server(|_| {}).await;
    for headers in [basic("back-end:another"), basic("nobody:secret"), String::new()] {
        let mut stranger = BackEnd::new(server.local_addr(), &headers).await;
        for (method, path, body) in [
            ("POST", "/rtm/users/alice/peer_messages", "{"),
            ("POST", "/rtm/message/history/query", "{}"),
            ("GET", "/rtm/message/history/count?source=a", ""),
            ("GET", "/rtm/message/history/query/nothing", ""),
        ] {
            assert_eq!(stranger.call(method, path, body).await.status, 401, "{method} {path} {headers}");
        }
    }
    server.shutdown().await;
}

#[tokio::test]
async fn a_head_request_sends_nothing() {
    let server = rest_server(|_| {}).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    back_end.send("HEAD", "/rtm/users/alice/peer_messages", &hello().to_string()).await;
    // Its answer has no body, whatever its length says.
    let mut start = [0; 12];
    back_end.stream.read_exact(&mut start).await.unwrap();
    assert_eq!(start, *b"HTTP/1.1 405");
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let message = json!({ "destination": "bob", "payload": "the first" });
    assert_eq!(back_end.post("/rtm/users/alice/peer_messages", &message).await.status, 200);
    assert_eq!(receive(&mut bob).await.1, "the first");
    server.shutdown().await;
}

#[tokio::test]
async fn what_a_device_has_not_when_the_server_ends_is_stored_and_its_sender_answered() {
    let directory = tempfile::tempdir().unwrap();
    let server = rest_server(|config| config.data_dir = Some(directory.path().to_owned())).await;
    let bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let message = json!({ "destination": "bob", "payload": "kept", "enable_offline_messaging": true });
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    assert_eq!(back_end.post("/rtm/users/alice/peer_messages", &message).await.body["code"], "message_sent");
    let waiting = json!({ "destination": "bob", "payload": "kept too", "enable_offline_messaging": true });
    back_end.send("POST", "/rtm/users/alice/peer_messages?wait_for_ack=true", &waiting.to_string()).await;
    // A call on another connection, which is answered behind it.
    let mut other = BackEnd::with_key(server.local_addr()).await;
    assert_eq!(other.post("/rtm/users/alice/peer_messages", &hello()).await.status, 200);
    let (answer, ()) = tokio::join!(back_end.answer(), server.shutdown());
    assert_eq!((answer.status, &answer.body["code"]), (200, &json!("message_sent")));
    drop(bob);

    let server = rest_server(|config| config.data_dir = Some(directory.path().to_owned())).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    assert_eq!(receive(&mut bob).await.1, "kept");
    assert_eq!(receive(&mut bob).await.1, "kept too");
    server.shutdown().await;
}

#[tokio::test]
async fn a_shutdown_does_not_wait_for_connections_that_wait_for_nothing() {
    let server = rest_server(|_| {}).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    assert_eq!(back_end.post("/rtm/users/alice/peer_messages", &hello()).await.status, 200);
    let begun = std::time::Instant::now();
    server.shutdown().await;
    assert!(begun.elapsed() < Duration::from_secs(9), "a request may take longer: {:?}", begun.elapsed());
    assert!(back_end.is_closed().await);
}

#[tokio::test]
async fn histories_are_searched_counted_and_read_page_by_page() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().to_owned();
    let server = rest_server(|config| config.data_dir = Some(data)).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    for text in ["one", "two", "three"] {
        let body = json!({ "destination": "bob", "enable_historical_messaging": true, "payload": text });
        assert_eq!(back_end.post("/rtm/users/alice/peer_messages", &body).await.status, 200);
    }
    let body = json!({ "channel_name": "room", "enable_historical_messaging": true, "payload": "to all" });
    assert_eq!(back_end.post("/rtm/users/alice/channel_messages", &body).await.status, 200);
    let unkept = back_end.post("/rtm/users/alice/peer_messages", &hello()).await;
    assert_eq!(unkept.status, 200);

    let span = json!({ "source": "alice", "start_time": "2019-08-01T01:22:10Z", "end_time": "2100-08-01T01:32:10Z" });
    let query = back_end
        .post("/rtm/message/history/query", &json!({ "filter": span, "offset": 1, "limit": 20, "order": "asc" }))
        .await;
    let body = &query.body;
    assert_eq!((&body["offset"], &body["limit"], &body["order"]), (&json!(1), &json!(20), &json!("asc")));
    let location = body["location"].as_str().unwrap().strip_prefix('~').unwrap().to_owned();
    // One letter more or less is another search, which nobody asked for.
    for damaged in [location[..location.len() - 1].to_owned(), location.replace("query/M", "query/N")] {
        assert_eq!(back_end.call("GET", &damaged, "").await.status, 410, "{damaged}");
    }
    let page = back_end.call("GET", &location, "").await;
    assert_eq!((page.status, &page.body["code"]), (200, &json!("ok")), "{}", page.body);
    let messages = page.body["messages"].as_array().unwrap();
    let said: Vec<_> = messages
        .iter()
        .map(|message| {
            assert!(message["ms"].as_u64().unwrap() > 1_700_000_000_000 && message["src"] == "alice");
            ["dst", "message_type", "payload"].map(|key| message[key].as_str().unwrap())
        })
        .collect();
    assert_eq!(
        said,
        [["bob", "peer_message", "two"], ["bob", "peer_message", "three"], ["room", "group_message", "to all"]]
    );

    let counted = "/rtm/message/history/count?source=%22alice%22&destination=bob&start_time=2019-08-01T01:22:10Z&end_time=2100-08-01T01:32:10Z";
    assert_eq!(back_end.call("GET", counted, "").await.body["count"], 3);
    let received = counted.replace("source=%22alice%22&destination=bob", "destination=room");
    assert_eq!(back_end.call("GET", &received, "").await.body["count"], 1);
    let nothing = counted.replace("source=%22alice%22", "source=bob");
    assert_eq!(back_end.call("GET", &nothing, "").await.body["count"], 0);
    server.shutdown().await;
}

#[tokio::test]
async fn an_api_that_is_switched_off_is_not_there() {
    let server = rest_server(|config| config.rest.enabled = false).await;
    let mut back_end = BackEnd::with_key(server.local_addr()).await;
    let answer = back_end.post("/rtm/users/alice/peer_messages", &hello()).await;
    assert_eq!(answer.status, 404);
    assert!(back_end.is_closed().await);
    server.shutdown().await;
}
