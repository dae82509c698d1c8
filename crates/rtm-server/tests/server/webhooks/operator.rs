//! What an operator sees of endpoints, and has them do.

use super::*;

/// A server with a webhook, its admin listener, and a key for that.
async fn server_with_key(role: rtm_server::AdminRole, webhook: WebhookConfig) -> (Server, SocketAddr, String) {
    let (key, text) = rtm_server::AdminKey::generate("somebody", role).unwrap();
    let server = server_with(|config| {
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admin.keys = vec![key];
        let mut told = HookConfig::new(app_id());
        told.webhooks = vec![webhook];
        config.hooks = vec![told];
    })
    .await;
    let admin = server.admin_addrs()[0];
    (server, admin, text)
}

/// Calls the admin API about the project's webhooks.
async fn call_of_webhooks(admin: SocketAddr, key: &str, method: &str, path: &str, body: &str) -> (u16, Value) {
    let len = body.len();
    let answer = http(admin, format!(
        "{method} /admin/v1/projects/{APP}/webhooks{path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: {len}\r\nConnection: close\r\n\r\n{body}"
    ))
    .await;
    (answer.status, answer.json())
}

#[tokio::test]
async fn a_replay_waits_for_what_is_on_its_way() {
    let mut endpoint = Endpoint::start(|_| HELD).await;
    let mut webhook = endpoint.webhook("one");
    webhook.types = vec!["user.online".to_owned()];
    webhook.target.timeout = Duration::from_secs(20);
    let (server, admin, key) = server_with_key(rtm_server::AdminRole::Operate, webhook).await;
    let call = async |method: &str, path: &str, body: &str| {
        let (status, answer) = call_of_webhooks(admin, &key, method, &format!("/one{path}"), body).await;
        assert_eq!(status, 200, "{path}");
        answer
    };
    comes_and_goes(&server, "alice", "room").await;
    endpoint.until("a request", |endpoint| !endpoint.got().is_empty()).await;
    call("POST", "/replay", r#"{"after":0}"#).await;
    endpoint.let_go.add_permits(1);
    endpoint.until("the event again", |endpoint| endpoint.got().len() == 2).await;
    let taken = async || {
        let answer = call("GET", "/attempts", "").await;
        answer["items"].as_array().unwrap().iter().filter(|attempt| attempt["taken"] == true).count()
    };
    assert_eq!(taken().await, 1, "the first request was answered before the second one went");
    assert!(!endpoint.got()[0].is_replay && endpoint.got()[1].is_replay);
    endpoint.let_go.add_permits(1);
    soon("the answer to the second one", async {
        while taken().await < 2 {
            tokio::task::yield_now().await;
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_is_not_shown_what_is_secret_in_a_url() {
    let endpoint = Endpoint::start(|_| 200).await;
    let mut webhook = endpoint.webhook("one");
    webhook.target.url.push_str("?token=hidden");
    let (_server, admin, key) = server_with_key(rtm_server::AdminRole::Read, webhook).await;
    let (_, list) = call_of_webhooks(admin, &key, "GET", "", "").await;
    assert_eq!(list["items"][0]["url"], format!("http://{}/told?…", endpoint.address), "{list}");
}

#[tokio::test]
async fn a_paused_endpoint_stays_so_when_the_server_starts_again() {
    let directory = tempfile::tempdir().unwrap();
    let mut endpoint = Endpoint::start(|_| 200).await;
    let (key, text) = rtm_server::AdminKey::generate("operator", rtm_server::AdminRole::Operate).unwrap();
    let start = async || {
        let (key, webhook) = (key.clone(), endpoint.webhook("one"));
        server_with(|config| {
            config.data_dir = Some(directory.path().into());
            config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
            config.admin.keys = vec![key];
            let mut told = HookConfig::new(app_id());
            told.webhooks = vec![webhook];
            config.hooks = vec![told];
        })
        .await
    };
    let call = async |server: &Server, method: &str, path: &str| {
        let admin = server.admin_addrs()[0];
        let head = format!(
            "{method} /admin/v1/projects/{APP}/webhooks{path} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {text}\r\n\
             Connection: close\r\n\r\n"
        );
        http(admin, head).await.json()
    };
    let is = async |server: &Server, state: &str| {
        soon("the state is shown", async {
            while call(server, "GET", "").await["items"][0]["state"] != state {
                tokio::task::yield_now().await;
            }
        })
        .await;
    };
    let server = start().await;
    is(&server, "working").await;
    assert_eq!(call(&server, "POST", "/one/pause").await["done"], true);
    is(&server, "paused").await;
    server.shutdown().await;
    let server = start().await;
    is(&server, "paused").await;
    comes_and_goes(&server, "alice", "room").await;
    assert_eq!(call(&server, "POST", "/one/enable").await["done"], true);
    is(&server, "working").await;
    server.shutdown().await;
    let server = start().await;
    is(&server, "working").await;
    endpoint.until_taken("session.ended", "alice").await;
}

#[tokio::test]
async fn an_operator_sees_endpoints_and_has_events_sent_again() {
    let was_asked = AtomicBool::new(false);
    let mut endpoint = Endpoint::start(move |events| {
        let is_bob = events.iter().any(|event| is(event, "user.online", "bob"));
        if is_bob && !was_asked.swap(true, Ordering::Relaxed) { 410 } else { 200 }
    })
    .await;
    let (server, admin, key) = server_with_key(rtm_server::AdminRole::Operate, endpoint.webhook("one")).await;
    let call = async |method: &str, path: &str, body: &str| call_of_webhooks(admin, &key, method, path, body).await;
    comes_and_goes(&server, "alice", "room").await;
    endpoint.until_taken("session.ended", "alice").await;
    let first = endpoint.taken()[0]["seq"].as_u64().unwrap();
    comes_and_goes(&server, "bob", "room").await;
    endpoint.until("a refusal", |endpoint| endpoint.got().iter().any(|got| got.status == 410)).await;
    soon("the state is shown", async {
        while call("GET", "", "").await.1["items"][0]["state"] != "gone" {
            tokio::task::yield_now().await;
        }
    })
    .await;
    // What it has yet to get cannot be passed over.
    let (status, answer) = call("POST", "/one/replay", r#"{"after":1000000}"#).await;
    assert_eq!((status, answer["error"]["code"].as_str()), (400, Some("invalid_argument")), "{answer}");
    let (status, answer) = call("POST", "/one/replay", r#"{"time":"2999-01-01T00:00:00Z"}"#).await;
    assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("in the future"), "{answer}");
    let (_, list) = call("GET", "", "").await;
    let item = &list["items"][0];
    assert_eq!((&item["name"], item["last_failure"]["what"].as_str()), (&json!("one"), Some("410 Gone")));
    // What metrics say of it.
    let figure = async |name: &str| {
        let answer = http(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")).await;
        let name = name.replace('{', &format!("{{app_id=\"{APP}\",webhook=\"one\""));
        let line = answer.body.lines().find_map(|line| line.strip_prefix(&name)?.strip_prefix(' '));
        line.unwrap_or_else(|| panic!("no {name} in\n{}", answer.body)).parse::<f64>().unwrap()
    };
    assert_eq!(figure("rtm_webhook_enabled{}").await, 0.0);
    assert_eq!(figure("rtm_webhook_attempts_total{,result=\"gone\"}").await, 1.0);
    assert_eq!(figure("rtm_webhook_attempts_total{,result=\"failed\"}").await, 0.0);
    assert!(figure("rtm_webhook_pending_events{}").await >= 1.0);
    sleep(Duration::from_millis(20)).await;
    assert!(figure("rtm_webhook_oldest_pending_seconds{}").await >= 0.02);
    assert!(item["pending"].as_u64().unwrap() >= 1, "{item}");
    // It can be tried out all the same, past what waits.
    let (status, tried) = call("POST", "/one/test", "").await;
    assert_eq!((status, &tried["taken"], &tried["answer"]), (200, &json!(true), &json!("200 OK")));
    let (_, attempts) = call("GET", "/one/attempts", "").await;
    let last = &attempts["items"][0];
    assert_eq!((&last["status"], &last["taken"], &last["first"]), (&json!(200), &json!(true), &json!(0)), "{last}");
    let test = endpoint.got().last().unwrap().clone();
    assert!(test.id.starts_with("test-") && test.attempt == 1, "{test:?}");
    assert_eq!(
        (&test.events()[0]["type"], &test.events()[0]["data"]),
        (&json!("webhook.test"), &json!({"webhook": "one"}))
    );
    assert_eq!(call("POST", "/one/enable", "").await, (200, json!({ "done": true })));
    endpoint.until_taken("session.ended", "bob").await;
    soon("it works", async {
        while figure("rtm_webhook_enabled{}").await < 1.0 || figure("rtm_webhook_pending_events{}").await > 0.0 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(figure("rtm_webhook_oldest_pending_seconds{}").await, 0.0);
    assert_eq!(call("POST", "/one/enable", "").await, (200, json!({ "done": false })), "it is already");
    let answer = http(admin, format!("GET /metrics HTTP/1.1\r\nHost: {admin}\r\nConnection: close\r\n\r\n")).await;
    let both = "rtm_admin_actions_total{action=\"enable_webhook\",result=\"done\"} 2.0\n";
    assert!(answer.body.contains(both), "that is written down too: {}", answer.body);
    let count = |endpoint: &Endpoint| endpoint.taken().iter().filter(|event| is(event, "user.online", "alice")).count();
    assert_eq!(count(&endpoint), 1);
    assert!(!endpoint.got().iter().any(|got| got.is_replay));
    let before = endpoint.got().len();
    let (_, list) = call("GET", "", "").await;
    let settled = &list["items"][0]["settled"];
    let answer = call("POST", "/one/replay", &format!(r#"{{"after":{}}}"#, first - 1)).await;
    assert_eq!(answer, (200, json!({ "after": first - 1, "settled": settled, "paused": false })));
    endpoint.until("the events again", |endpoint| count(endpoint) == 2).await;
    // Under the same numbers, so that only the header tells a receiver to take them again.
    let again = endpoint.got()[before..]
        .iter()
        .find(|got| got.events().iter().any(|one| is(one, "user.online", "alice")))
        .cloned();
    assert!(again.is_some_and(|again| again.is_replay && again.attempt == 1));
    let answer = call("POST", "/one/replay", r#"{"time":"2020-01-01T00:00:00Z"}"#).await;
    assert_eq!(answer.0, 200, "{answer:?}");
    endpoint.until("all events again", |endpoint| count(endpoint) == 3).await;
    // What happens from now on is new.
    comes_and_goes(&server, "carol", "room").await;
    endpoint.until_taken("session.ended", "carol").await;
    assert!(
        !endpoint
            .got()
            .iter()
            .any(|got| got.is_replay && got.events().iter().all(|one| one["data"]["user_id"] == "carol"))
    );
    for (path, body, status) in [
        ("/two/replay", r#"{"after":1}"#, 404),
        ("/two/test", "", 404),
        ("/two/enable", "", 404),
        ("/one/replay", "{}", 400),
        ("/one/replay", r#"{"time":"now"}"#, 400),
    ] {
        assert_eq!(call("POST", path, body).await.0, status, "{path} {body}");
    }
}

#[tokio::test]
async fn a_repaired_endpoint_gets_at_once_what_it_did_not_take() {
    for order in ["test", "enable"] {
        let is_broken = Arc::new(AtomicBool::new(true));
        let broken = Arc::clone(&is_broken);
        // It asks for an hour, so nothing comes by itself while this test waits.
        let mut endpoint = Endpoint::start(move |_| if broken.load(Ordering::Relaxed) { 503 } else { 200 }).await;
        let (key, text) = rtm_server::AdminKey::generate("operator", rtm_server::AdminRole::Operate).unwrap();
        let webhook = endpoint.webhook("one");
        let server = server_with(|config| {
            config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
            config.admin.keys = vec![key];
            let mut told = HookConfig::new(app_id());
            told.webhooks = vec![webhook];
            config.hooks = vec![told];
        })
        .await;
        comes_and_goes(&server, "alice", "room").await;
        endpoint.until("a try", |endpoint| !endpoint.got().is_empty()).await;
        let admin = server.admin_addrs()[0];
        let call = async |method: &str, path: &str| {
            let head = format!("{method} /admin/v1/projects/{APP}/webhooks{path} HTTP/1.1\r\nHost: {admin}\r\n");
            let rest = format!("Authorization: Bearer {text}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
            http(admin, head + &rest).await.json()
        };
        soon("the state is shown", async {
            while call("GET", "").await["items"][0]["state"] != "retrying" {
                tokio::task::yield_now().await;
            }
        })
        .await;
        if order == "test" {
            assert_eq!(call("POST", "/one/test").await["taken"], false, "it is not repaired yet");
            assert!(endpoint.taken().is_empty());
        }
        is_broken.store(false, Ordering::Relaxed);
        let answer = call("POST", &format!("/one/{order}")).await;
        assert!(answer["taken"] == true || answer["done"] == true, "{order}: {answer}");
        endpoint.until_taken("session.ended", "alice").await;
    }
}
