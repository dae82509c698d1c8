//! Back ends that are asked before something is done, over real sockets.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use async_tungstenite::tungstenite::Message;
use axum::{
    body::Bytes,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use rtm_codec::{
    ClientFrame, Command, ErrorKind, Event, JoinChannel, MessageId, RequestId, RtmMessage, SendChannelMessage,
    SendMessageToPeer, ServerFrame, Wire, limits::MESSAGE_BYTES,
};
use rtm_server::{CallLimit, Hook, HookConfig, HookKind, HookTarget, OnError, Server, WebhookSecret};
use serde_json::{Value, json};
use tokio::{net::TcpListener, sync::Semaphore, time::sleep};

use crate::support::*;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";

/// What a back end answers to a question.
type Answers = dyn Fn(&Value) -> (StatusCode, String) + Send + Sync;

/// A back end that is asked, and what it was asked.
struct BackEnd {
    address: SocketAddr,
    questions: Arc<Mutex<Vec<Value>>>,
    /// It answers as often as there are permits.
    may_answer: Arc<Semaphore>,
}

impl BackEnd {
    async fn start(answers: impl Fn(&Value) -> (StatusCode, String) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (questions, may_answer) = (Arc::<Mutex<Vec<Value>>>::default(), Arc::new(Semaphore::new(1000)));
        let answers: Arc<Answers> = Arc::new(answers);
        let (asked, permits) = (Arc::clone(&questions), Arc::clone(&may_answer));
        let answer = move |headers: HeaderMap, body: Bytes| {
            let (answers, asked, permits) = (Arc::clone(&answers), Arc::clone(&asked), Arc::clone(&permits));
            async move {
                standardwebhooks::Webhook::new(SECRET).unwrap().verify(&body, &headers).unwrap();
                let question: Value = serde_json::from_slice(&body).unwrap();
                asked.lock().unwrap().push(question.clone());
                permits.acquire().await.unwrap().forget();
                answers(&question)
            }
        };
        let app = axum::Router::new().route("/asked", post(answer));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, questions, may_answer }
    }

    fn hook(&self, kind: HookKind, on_error: OnError) -> Hook {
        let mut target =
            HookTarget::new(format!("http://{}/asked", self.address), vec![WebhookSecret::new(SECRET).unwrap()]);
        target.allow_private = true;
        let mut hook = Hook::new(kind, target, on_error);
        hook.target.timeout = Duration::from_secs(5);
        hook
    }

    fn questions(&self) -> Vec<Value> {
        self.questions.lock().unwrap().clone()
    }
}

fn says(answer: &Value) -> (StatusCode, String) {
    (StatusCode::OK, answer.to_string())
}

async fn server_with_hooks(hooks: Vec<Hook>) -> Server {
    server_with(|config| {
        let mut asked = HookConfig::new(app_id());
        asked.hooks = hooks;
        config.hooks = vec![asked];
    })
    .await
}

fn to_peer(number: u64, text: &str) -> ClientFrame {
    let command = Command::SendMessageToPeer(SendMessageToPeer {
        message_id: MessageId(number),
        peer_id: user("bob"),
        message: RtmMessage::text(text.to_owned()),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    });
    ClientFrame::Request { id: RequestId(number), command }
}

fn to_channel(number: u64, text: &str) -> ClientFrame {
    let command = Command::SendChannelMessage(SendChannelMessage {
        message_id: MessageId(number),
        channel_id: "room".parse().unwrap(),
        message: RtmMessage::text(text.to_owned()),
        enable_historical_messaging: false,
    });
    ClientFrame::Request { id: RequestId(number), command }
}

fn join(number: u64, channel: &str) -> ClientFrame {
    let command = Command::JoinChannel(JoinChannel { channel_id: channel.parse().unwrap() });
    ClientFrame::Request { id: RequestId(number), command }
}

/// The refusal of a request, unless it was done.
async fn refused(client: &mut Client, number: u64) -> Option<(ErrorKind, String)> {
    loop {
        if let ServerFrame::Reply { id, result } = client.next().await
            && id == RequestId(number)
        {
            return result.err().map(|refusal| (refusal.kind, refusal.to_string()));
        }
    }
}

/// The texts of the next messages.
async fn texts(client: &mut Client, count: usize) -> Vec<String> {
    let mut texts = Vec::new();
    while texts.len() < count {
        let ServerFrame::Event { seq, event } = client.next().await else { continue };
        let message = match event {
            Event::MessageFromPeer(message) => message.message,
            Event::ChannelMessage { message, .. } => message,
            _ => continue,
        };
        texts.push(message.as_text().unwrap().to_owned());
        client.ack(seq).await;
    }
    texts
}

#[tokio::test]
async fn a_back_end_decides_who_logs_in() {
    let back_end = BackEnd::start(|question| match question["user_id"].as_str() {
        Some("alice") => says(&json!({ "allow": true })),
        _ => says(&json!({ "allow": false, "reason": "not paid" })),
    })
    .await;
    let server = server_with_hooks(vec![back_end.hook(HookKind::AuthorizeLogin, OnError::Allow)]).await;
    for wire in [Wire::Native, Wire::Vendor] {
        Client::login(server.local_addr(), wire, "alice").await;
        let mut bob = Client::connect(server.local_addr(), wire).await;
        bob.send(login("bob")).await;
        match bob.next().await {
            ServerFrame::Refused(refusal) => {
                assert_eq!(refusal.kind, ErrorKind::NotAuthorized, "{wire:?}");
                assert!(wire == Wire::Vendor || refusal.to_string().contains("not paid"), "{refusal}");
            }
            other => panic!("{other:?}"),
        }
    }
    let question = &back_end.questions()[0];
    let wanted = json!({ "type": "authorize_login", "app_id": APP, "user_id": "alice", "address": "127.0.0.1" });
    assert_eq!(*question, wanted);
}

#[tokio::test]
async fn a_back_end_decides_who_joins() {
    let back_end =
        BackEnd::start(|question| says(&json!({ "allow": question["channel_id"] == "room", "reason": "full" }))).await;
    let server = server_with_hooks(vec![back_end.hook(HookKind::AuthorizeJoin, OnError::Allow)]).await;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut alice = Client::login(server.local_addr(), wire, "alice").await;
        alice.send(join(1, "room")).await;
        assert_eq!(refused(&mut alice, 1).await, None);
        alice.send(join(2, "other")).await;
        let (kind, what) = refused(&mut alice, 2).await.unwrap();
        assert_eq!(kind, ErrorKind::Rejected);
        assert!(wire == Wire::Vendor || what.contains("full"), "{what}");
    }
}

#[tokio::test]
async fn messages_wait_in_order_for_whoever_filters_them() {
    let back_end = BackEnd::start(|question| match question["text"].as_str().unwrap() {
        "bad" => says(&json!({ "allow": false, "reason": "rude" })),
        "rude" => says(&json!({ "text": "r***" })),
        _ => says(&json!({ "allow": true })),
    })
    .await;
    back_end.may_answer.forget_permits(1000);
    let server = server_with_hooks(vec![back_end.hook(HookKind::FilterMessage, OnError::Allow)]).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for client in [&mut alice, &mut bob] {
        client.send(join(1, "room")).await;
        assert_eq!(refused(client, 1).await, None, "joining is not filtered");
    }
    alice.send(to_peer(2, "one")).await;
    alice.send(to_peer(3, "bad")).await;
    alice.send(to_peer(4, "rude")).await;
    alice.send(to_channel(5, "two")).await;
    // Others are served, and so is she: only what comes after the message waits.
    let mut carol = Client::login(server.local_addr(), Wire::Native, "carol").await;
    carol.send(join(1, "room")).await;
    assert_eq!(refused(&mut carol, 1).await, None);
    soon("the first question", async {
        while back_end.questions().is_empty() {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    assert_eq!(back_end.questions().len(), 1, "one after the other is asked about");
    back_end.may_answer.add_permits(4);
    assert_eq!(texts(&mut bob, 3).await, ["one", "r***", "two"]);
    let (kind, what) = refused(&mut alice, 3).await.unwrap();
    assert_eq!(kind, ErrorKind::Rejected);
    assert!(what.contains("rude"), "{what}");
    let questions = back_end.questions();
    let wanted = json!({
        "type": "filter_message", "app_id": APP, "user_id": "alice", "peer_id": "bob", "text": "one", "address": "127.0.0.1",
    });
    assert_eq!(questions[0], wanted);
    assert_eq!((&questions[3]["channel_id"], &questions[3]["text"]), (&json!("room"), &json!("two")));
}

#[tokio::test]
async fn the_longest_text_takes_the_place_of_a_message_however_it_is_written() {
    let escaped = "\\u0061".repeat(MESSAGE_BYTES);
    let body = format!("{{\"text\":\"{escaped}\"}}");
    let back_end = BackEnd::start(move |_| (StatusCode::OK, body.clone())).await;
    let server = server_with_hooks(vec![back_end.hook(HookKind::FilterMessage, OnError::Allow)]).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.send(to_peer(1, "unfiltered")).await;
    assert!(texts(&mut bob, 1).await == ["a".repeat(MESSAGE_BYTES)]);
}

#[tokio::test]
async fn who_closes_at_once_gets_nothing_past_the_filter() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": true }))).await;
    back_end.may_answer.forget_permits(1000);
    let server = server_with_hooks(vec![back_end.hook(HookKind::FilterMessage, OnError::Allow)]).await;
    let mut bob = Client::login(server.local_addr(), Wire::Native, "bob").await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.send(to_peer(1, "unseen")).await;
    alice.send(to_peer(2, "unseen")).await;
    alice.send_raw(Message::Close(None)).await;
    back_end.may_answer.add_permits(1000);
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.send(to_peer(3, "seen")).await;
    assert_eq!(texts(&mut bob, 1).await, ["seen"]);
}

#[tokio::test]
async fn what_holds_without_an_answer_is_said_before() {
    for (status, body) in [(500, ""), (302, ""), (200, "what?"), (200, "{}")] {
        let back_end = BackEnd::start(move |_| (StatusCode::from_u16(status).unwrap(), body.to_owned())).await;
        for on_error in [OnError::Allow, OnError::Deny] {
            let server = server_with_hooks(vec![back_end.hook(HookKind::AuthorizeJoin, on_error)]).await;
            let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
            alice.send(join(1, "room")).await;
            assert_eq!(refused(&mut alice, 1).await.is_some(), on_error == OnError::Deny, "{status} {body}");
        }
    }
}

#[tokio::test]
async fn a_back_end_that_hangs_costs_its_timeout() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": true }))).await;
    back_end.may_answer.forget_permits(1000);
    let mut hook = back_end.hook(HookKind::AuthorizeLogin, OnError::Deny);
    hook.target.timeout = Duration::from_millis(100);
    let server = server_with_hooks(vec![hook]).await;
    let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
    alice.send(login("alice")).await;
    assert!(matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::NotAuthorized));
}

#[tokio::test]
async fn a_back_end_that_does_not_answer_locks_nobody_out() {
    let back_end = BackEnd::start(|_| (StatusCode::INTERNAL_SERVER_ERROR, String::new())).await;
    let hook = back_end.hook(HookKind::AuthorizeLogin, OnError::Deny);
    let server = server_with(|config| {
        config.refused_logins_per_address = CallLimit::new(2, Duration::from_secs(3600));
        let mut asked = HookConfig::new(app_id());
        asked.hooks = vec![hook];
        config.hooks = vec![asked];
    })
    .await;
    for _ in 0..5 {
        let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
        alice.send(login("alice")).await;
        assert!(
            matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::NotAuthorized)
        );
    }
}

#[tokio::test]
async fn nobody_is_asked_about_a_login_without_a_good_token() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": true }))).await;
    let hook = back_end.hook(HookKind::AuthorizeLogin, OnError::Allow);
    let server = server_with(|config| {
        config.projects[0].certificates = vec!["5CFd2fd1755d40ecb72977518be15d3b".parse().unwrap()];
        let mut asked = HookConfig::new(app_id());
        asked.hooks = vec![hook];
        config.hooks = vec![asked];
    })
    .await;
    let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
    alice.send(login("alice")).await;
    assert!(matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::InvalidToken));
    assert_eq!(back_end.questions(), Vec::<Value>::new());
}

#[cfg(feature = "admin")]
#[tokio::test]
async fn what_was_asked_is_counted_also_over_a_reload() {
    let back_end = BackEnd::start(|question| says(&json!({ "allow": question["channel_id"] == "room" }))).await;
    let mut config = rtm_server::ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
    config.projects = vec![app_id().into()];
    let mut asked = HookConfig::new(app_id());
    asked.hooks = vec![back_end.hook(HookKind::AuthorizeJoin, OnError::Deny)];
    config.hooks = vec![asked];
    let mut next = config.clone();
    next.hooks[0].hooks.push(back_end.hook(HookKind::FilterMessage, OnError::Allow));
    let server = rtm_server::ServerBuilder::from(config).config_source(move || Ok::<_, String>(next.clone()));
    let server = server.start().await.unwrap();
    let admin = server.admin_addrs()[0];
    let calls = async |hook: &str, result: &str| {
        let answer = http(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")).await;
        let name = format!("rtm_hook_calls_total{{app_id=\"{APP}\",hook=\"{hook}\",result=\"{result}\"}} ");
        answer.body.lines().find_map(|line| line.strip_prefix(&name)?.parse::<f64>().ok())
    };
    for result in ["allowed", "denied", "replaced", "failed"] {
        assert_eq!(calls("authorize_join", result).await, Some(0.0), "{result} is there from the start");
    }
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.send(join(1, "room")).await;
    assert_eq!(refused(&mut alice, 1).await, None);
    alice.send(join(2, "other")).await;
    assert!(refused(&mut alice, 2).await.is_some());
    server.reload().await.unwrap();
    assert_eq!(calls("authorize_join", "allowed").await, Some(1.0));
    assert_eq!(calls("authorize_join", "denied").await, Some(1.0));
    assert_eq!(calls("filter_message", "failed").await, Some(0.0));
}

/// A server whose hooks can be others at the next reload.
struct Changing {
    server: Server,
    config: Arc<Mutex<rtm_server::ServerConfig>>,
}

impl Changing {
    async fn start(hooks: Vec<Hook>) -> Self {
        let mut config = rtm_server::ServerConfig::default();
        config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
        config.projects = vec![app_id().into()];
        let mut asked = HookConfig::new(app_id());
        asked.hooks = hooks;
        config.hooks = vec![asked];
        let next = Arc::new(Mutex::new(config.clone()));
        let source = Arc::clone(&next);
        let builder = rtm_server::ServerBuilder::from(config);
        let builder = builder.config_source(move || Ok::<_, String>(source.lock().unwrap().clone()));
        Self { server: builder.start().await.unwrap(), config: next }
    }

    async fn reload(&self, hooks: Vec<Hook>) {
        self.config.lock().unwrap().hooks[0].hooks = hooks;
        self.server.reload().await.unwrap();
    }
}

#[tokio::test]
async fn a_reload_gives_open_connections_other_hooks() {
    let (old, new) = (
        BackEnd::start(|_| says(&json!({ "text": "of the old one" }))).await,
        BackEnd::start(|_| says(&json!({ "text": "of the new one" }))).await,
    );
    let filter = |back_end: &BackEnd| vec![back_end.hook(HookKind::FilterMessage, OnError::Deny)];
    let changing = Changing::start(Vec::new()).await;
    // One message of a user has one number.
    let mut number = 0;
    for wire in [Wire::Native, Wire::Vendor] {
        let mut bob = Client::login(changing.server.local_addr(), Wire::Native, "bob").await;
        let mut alice = Client::login(changing.server.local_addr(), wire, "alice").await;
        for (hooks, text) in [
            (Vec::new(), "as it was sent"),
            (filter(&old), "of the old one"),
            (filter(&new), "of the new one"),
            (Vec::new(), "as it was sent"),
        ] {
            changing.reload(hooks).await;
            number += 1;
            alice.send(to_peer(number, "as it was sent")).await;
            assert_eq!(texts(&mut bob, 1).await, [text], "{wire:?}");
        }
        let wanted = json!({
            "type": "filter_message", "app_id": APP, "user_id": "alice", "peer_id": "bob", "text": "as it was sent",
            "address": "127.0.0.1",
        });
        assert_eq!((old.questions().pop(), new.questions().pop()), (Some(wanted.clone()), Some(wanted)), "{wire:?}");
    }
    assert_eq!((old.questions().len(), new.questions().len()), (2, 2));
}

#[tokio::test]
async fn a_secret_that_a_reload_takes_away_signs_nothing_more() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": true }))).await;
    let good = back_end.hook(HookKind::FilterMessage, OnError::Deny);
    let mut other = good.clone();
    other.target.secrets = vec![WebhookSecret::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX").unwrap()];
    let changing = Changing::start(vec![other]).await;
    let mut bob = Client::login(changing.server.local_addr(), Wire::Native, "bob").await;
    let mut alice = Client::login(changing.server.local_addr(), Wire::Native, "alice").await;
    alice.send(to_peer(1, "unsigned")).await;
    assert!(refused(&mut alice, 1).await.is_some(), "the back end takes no other signature");
    changing.reload(vec![good]).await;
    alice.send(to_peer(2, "signed")).await;
    assert_eq!(texts(&mut bob, 1).await, ["signed"]);
}

#[tokio::test]
async fn what_was_asked_before_a_reload_is_decided_by_the_answer_to_it() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": false, "reason": "rude" }))).await;
    back_end.may_answer.forget_permits(1000);
    let filter = || vec![back_end.hook(HookKind::FilterMessage, OnError::Deny)];
    let changing = Changing::start(filter()).await;
    let address = changing.server.local_addr();
    let mut bob = Client::login(address, Wire::Native, "bob").await;
    let mut alice = Client::login(address, Wire::Native, "alice").await;
    let mut carol = Client::login(address, Wire::Native, "carol").await;
    for client in [&mut alice, &mut carol] {
        client.send(to_peer(1, "asked about")).await;
    }
    soon("both questions", async {
        while back_end.questions().len() < 2 {
            sleep(Duration::from_millis(5)).await;
        }
    })
    .await;
    changing.reload(Vec::new()).await;
    alice.send(to_peer(2, "free")).await;
    // Nobody has decided about the message of one that is gone.
    carol.send_raw(Message::Close(None)).await;
    carol.closed().await;
    back_end.may_answer.add_permits(2);
    assert!(refused(&mut alice, 1).await.unwrap().1.contains("rude"));
    assert_eq!(texts(&mut bob, 1).await, ["free"]);
    assert_eq!(back_end.questions().len(), 2);
}

#[tokio::test]
async fn a_private_address_is_not_asked_unless_it_is_allowed() {
    let secrets = vec![WebhookSecret::new(SECRET).unwrap()];
    let by_name =
        Hook::new(HookKind::AuthorizeJoin, HookTarget::new("http://localhost:1/", secrets.clone()), OnError::Deny);
    let server = server_with_hooks(vec![by_name]).await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.send(join(1, "room")).await;
    assert!(refused(&mut alice, 1).await.is_some());
    let mut config = rtm_server::ServerConfig::default();
    config.projects = vec![app_id().into()];
    let mut asked = HookConfig::new(app_id());
    asked.hooks =
        vec![Hook::new(HookKind::AuthorizeJoin, HookTarget::new("http://127.0.0.1/", secrets), OnError::Deny)];
    config.hooks = vec![asked];
    let error = config.check().unwrap_err().to_string();
    assert!(error.contains("project[0].hook[0].url") && error.contains("allow_private"), "{error}");
}

#[cfg(feature = "rest")]
const CERTIFICATE: &str = "5CFd2fd1755d40ecb72977518be15d3b";

/// A server whose users log in with tokens and may use them over REST.
#[cfg(feature = "rest")]
async fn rest_server_with_hooks(hooks: Vec<Hook>) -> Server {
    server_with(|config| {
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        config.projects[0].certificates = vec![CERTIFICATE.parse().unwrap()];
        config.projects[0].rest.keys = vec![rtm_server::RestKey::new("back-end", digest).unwrap()];
        let mut asked = HookConfig::new(app_id());
        asked.hooks = hooks;
        config.hooks = vec![asked];
    })
    .await
}

#[cfg(feature = "rest")]
fn token(name: &str) -> String {
    rtm_token::Builder::for_now(APP, &CERTIFICATE.parse().unwrap(), name).build().unwrap()
}

/// Sends over REST with the user's own token.
#[cfg(feature = "rest")]
async fn posts(server: &Server, name: &str, call: &str, body: &Value) -> Answer {
    let (address, body) = (server.local_addr(), body.to_string());
    let request = format!(
        "POST /dev/v2/project/{APP}/rtm/users/{name}/{call} HTTP/1.1\r\nHost: rtm\r\nConnection: close\r\nx-ar-token: {}\r\n\
         x-ar-uid: {name}\r\nContent-Length: {}\r\n\r\n{body}",
        token(name),
        body.len()
    );
    http(address, request).await
}

#[cfg(feature = "rest")]
fn assert_forbidden(answer: &Answer, reason: &str) {
    let body = answer.json();
    assert_eq!((answer.status, &body["result"], &body["code"]), (403, &json!("failed"), &json!("forbidden")), "{body}");
    assert_eq!(body["reason"], "rejected");
    assert!(body["message"].as_str().unwrap().contains(reason), "{body}");
}

#[cfg(feature = "rest")]
#[tokio::test]
async fn a_token_over_rest_passes_by_no_hook() {
    let back_end = BackEnd::start(|question| {
        let is = |name: &str, value: &str| question[name] == value;
        let allow = match question["type"].as_str().unwrap() {
            "authorize_login" => !is("user_id", "evil"),
            "authorize_join" => is("user_id", "bob"),
            _ => !is("text", "bad"),
        };
        says(&json!({ "allow": allow, "reason": "not paid" }))
    })
    .await;
    let kinds = [HookKind::AuthorizeLogin, HookKind::AuthorizeJoin, HookKind::FilterMessage];
    let server = rest_server_with_hooks(kinds.map(|kind| back_end.hook(kind, OnError::Allow)).to_vec()).await;
    let mut bob = Client::connect(server.local_addr(), Wire::Native).await;
    bob.log_in_with("bob", |login| login.token = Some(rtm_codec::Token::new(token("bob")).unwrap())).await;
    bob.send(join(1, "room")).await;
    assert_eq!(refused(&mut bob, 1).await, None);
    let asked = back_end.questions().len();

    // Who may not log in sends nothing, to nobody, and finds nothing.
    let to_room = |text: &str| json!({ "channel_name": "room", "payload": text });
    let to_bob = |text: &str| json!({ "destination": "bob", "payload": text });
    assert_forbidden(&posts(&server, "evil", "channel_messages", &to_room("evil")).await, "not paid");
    assert_forbidden(&posts(&server, "evil", "peer_messages", &to_bob("evil")).await, "not paid");
    let question = json!({ "type": "authorize_login", "app_id": APP, "user_id": "evil", "address": "127.0.0.1" });
    assert_eq!(back_end.questions()[asked..], [question.clone(), question], "as at a login, and nothing else");

    // Who may not join does not write there either, but to others.
    assert_forbidden(&posts(&server, "alice", "channel_messages", &to_room("alice")).await, "not paid");
    assert_forbidden(&posts(&server, "alice", "peer_messages", &to_bob("bad")).await, "not paid");
    assert_eq!(posts(&server, "alice", "peer_messages", &to_bob("good")).await.status, 200);

    // A member is not asked about again; one that has left is.
    let asked = back_end.questions().len();
    assert_eq!(posts(&server, "bob", "channel_messages", &to_room("mine")).await.status, 200);
    let types = || -> Vec<String> {
        back_end.questions()[asked..].iter().map(|question| question["type"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(types(), ["authorize_login", "filter_message"]);
    assert_eq!(texts(&mut bob, 1).await, ["good"], "nothing else came before");
    bob.send(ClientFrame::Logout).await;
    bob.closed().await;
    assert_eq!(posts(&server, "bob", "channel_messages", &to_room("mine")).await.status, 200);
    assert_eq!(types()[2..], ["authorize_login", "authorize_join", "filter_message"]);
    let join = json!({ "type": "authorize_join", "app_id": APP, "user_id": "bob", "channel_id": "room", "address": "127.0.0.1" });
    assert_eq!(back_end.questions()[asked + 3], join);

    // A key is the application's own word.
    let asked = back_end.questions().len();
    let (path, body) = (format!("/dev/v2/project/{APP}/rtm/users/evil/channel_messages"), to_room("evil").to_string());
    let head = format!(
        "POST {path} HTTP/1.1\r\nHost: rtm\r\nConnection: close\r\nAuthorization: Basic YmFjay1lbmQ6c2VjcmV0\r\n"
    );
    let answer = http(server.local_addr(), format!("{head}Content-Length: {}\r\n\r\n{body}", body.len())).await;
    assert_eq!((answer.status, back_end.questions().len()), (200, asked));
}

#[cfg(feature = "rest")]
#[tokio::test]
async fn over_rest_too_on_error_holds_without_an_answer() {
    let back_end = BackEnd::start(|_| (StatusCode::INTERNAL_SERVER_ERROR, String::new())).await;
    let body = json!({ "channel_name": "room", "payload": "hello" });
    for kind in [HookKind::AuthorizeLogin, HookKind::AuthorizeJoin, HookKind::FilterMessage] {
        let server = rest_server_with_hooks(vec![back_end.hook(kind, OnError::Deny)]).await;
        assert_forbidden(&posts(&server, "alice", "channel_messages", &body).await, "");
        let server = rest_server_with_hooks(vec![back_end.hook(kind, OnError::Allow)]).await;
        assert_eq!(posts(&server, "alice", "channel_messages", &body).await.status, 200, "{kind}");
    }
}

#[cfg(feature = "rest")]
#[tokio::test]
async fn nobody_is_asked_about_calls_that_are_refused_anyway() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": false }))).await;
    let server = rest_server_with_hooks(vec![back_end.hook(HookKind::AuthorizeLogin, OnError::Allow)]).await;
    server.ban(&app_id(), &user("mallory"), Duration::from_secs(60)).await.unwrap();
    let body = json!({ "destination": "bob", "payload": "hello" });
    let banned = posts(&server, "mallory", "peer_messages", &body).await;
    assert_eq!((banned.status, banned.json()["reason"].as_str()), (403, Some("banned")), "{banned:?}");
    assert_eq!(
        posts(&server, "alice", "peer_messages", &json!({ "destination": "bob", "payload": 5 })).await.status,
        400
    );
    assert_eq!(back_end.questions(), Vec::<Value>::new());
}

#[cfg(feature = "rest")]
#[tokio::test]
async fn calls_that_a_hook_refuses_count_too() {
    let back_end = BackEnd::start(|_| says(&json!({ "allow": false }))).await;
    let hook = back_end.hook(HookKind::AuthorizeLogin, OnError::Allow);
    let server = server_with(|config| {
        let digest = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
        config.projects[0].certificates = vec![CERTIFICATE.parse().unwrap()];
        config.projects[0].rest.keys = vec![rtm_server::RestKey::new("back-end", digest).unwrap()];
        config.projects[0].rest.limit = CallLimit::new(2, Duration::from_secs(3600));
        let mut asked = HookConfig::new(app_id());
        asked.hooks = vec![hook];
        config.hooks = vec![asked];
    })
    .await;
    let body = json!({ "destination": "bob", "payload": "hello" });
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(posts(&server, "alice", "peer_messages", &body).await.status);
    }
    assert_eq!((statuses, back_end.questions().len()), (vec![403, 403, 429], 2));
}
