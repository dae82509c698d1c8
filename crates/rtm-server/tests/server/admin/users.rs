//! What an operator sees of users and channels, and does to them.

use rtm_codec::{
    ChannelId, ClientFrame, CloseReason, ErrorKind, JoinChannel, MessageId, SendMessageToPeer, ServerFrame, Wire,
};
use rtm_server::{AdminKey, AdminRole};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{call, metrics, sample, with_keys};
use crate::support::{APP, Client, login, server_with, soon};

#[tokio::test]
async fn an_operator_sees_who_is_there_and_who_was() {
    let (server, admin, [read, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let _bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    let join = JoinChannel { channel_id: ChannelId::new("room").unwrap() };
    alice.request(join).await;
    alice.next().await;

    let (status, sessions) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?limit=1"), "").await;
    assert_eq!(status, 200, "{sessions}");
    assert_eq!(sessions["items"][0]["user_id"], "alice");
    assert_eq!(sessions["items"][0]["wire"], "native");
    assert_eq!(sessions["items"][0]["channels"], 1);
    assert!(sessions["items"][0]["address"].as_str().unwrap().starts_with("127.0.0.1:"));
    let cursor = sessions["next"].as_str().unwrap();
    let path = format!("/projects/{APP}/sessions?limit=1&cursor={cursor}");
    let (_, sessions) = call(admin, &read, "GET", &path, "").await;
    assert_eq!(sessions["items"][0]["user_id"], "bob");

    let (_, found) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?prefix=bo&state=online"), "").await;
    assert_eq!(found["items"].as_array().unwrap().len(), 1);
    assert_eq!(found["next"], serde_json::Value::Null);
    let (_, user) = call(admin, &read, "GET", &format!("/projects/{APP}/users/alice"), "").await;
    assert_eq!(user["channels"], serde_json::json!(["room"]));
    let (_, channels) = call(admin, &read, "GET", &format!("/projects/{APP}/channels"), "").await;
    assert_eq!(channels["items"][0]["channel_id"], "room");
    let (_, members) = call(admin, &read, "GET", &format!("/projects/{APP}/channels/room/members"), "").await;
    assert_eq!(members["items"], serde_json::json!(["alice"]));
    let (_, projects) = call(admin, &read, "GET", "/projects", "").await;
    assert_eq!(projects["items"][0]["users_online"], 2);

    alice.send(ClientFrame::Logout).await;
    alice.closed().await;
    let path = format!("/projects/{APP}/closed");
    soon("the end is seen", async {
        loop {
            let (_, closed) = call(admin, &read, "GET", &path, "").await;
            if closed["items"][0]["user_id"] == "alice" {
                assert_eq!(closed["items"][0]["reason"], "logout");
                let ended = closed["items"][0]["ended"].as_str().unwrap();
                assert!(ended.ends_with('Z') && ended.contains('T'), "{ended}");
                return;
            }
        }
    })
    .await;
}

#[tokio::test]
async fn an_operator_kicks_bans_and_unbans_and_all_of_it_is_written_down() {
    let (server, admin, [read, operate, all, _]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let user = format!("/projects/{APP}/users/alice");
    let (status, done) = call(admin, &operate, "POST", &format!("{user}/kick"), "").await;
    assert_eq!((status, &done["done"]), (200, &true.into()));
    assert_eq!(alice.closed().await.unwrap().1, CloseReason::Banned.as_str());
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let (status, ban) = call(admin, &operate, "PUT", &format!("{user}/ban"), r#"{"for":"10m"}"#).await;
    assert_eq!(status, 200, "{ban}");
    alice.closed().await;
    let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
    alice.send(login("alice")).await;
    assert!(matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::Banned));
    let (_, bans) = call(admin, &operate, "GET", &format!("/projects/{APP}/bans"), "").await;
    assert_eq!(bans["items"][0]["user_id"], "alice");
    let (_, done) = call(admin, &operate, "DELETE", &format!("{user}/ban"), "").await;
    assert_eq!(done["done"], true);
    Client::login(server.local_addr(), Wire::Native, "alice").await;

    let (_, audit) = call(admin, &all, "GET", "/audit?limit=2", "").await;
    let actions: Vec<_> = audit["items"].as_array().unwrap().iter().map(|entry| &entry["action"]).collect();
    assert_eq!(actions, ["unban", "ban"]);
    assert_eq!(audit["items"][0]["key"], "support");
    let cursor = audit["next"].as_str().unwrap();
    let (_, audit) = call(admin, &all, "GET", &format!("/audit?cursor={cursor}"), "").await;
    assert_eq!(audit["items"][0]["action"], "kick");

    for body in [
        "{}",
        r#"{"for":"10m","until":"2030-01-01T00:00:00Z"}"#,
        r#"{"for":"soon"}"#,
        r#"{"until":"2020-01-01T00:00:00Z"}"#,
        "x",
    ] {
        let (status, answer) = call(admin, &operate, "PUT", &format!("{user}/ban"), body).await;
        assert_eq!((status, &answer["error"]["code"]), (400, &"invalid_argument".into()), "{body}: {answer}");
    }
    assert_eq!(call(admin, &read, "POST", &format!("{user}/kick"), "").await.0, 403);
    assert_eq!(call(admin, "rtm_admin_guess", "POST", &format!("{user}/kick"), "").await.0, 401);
    let page = metrics(admin).await;
    for (action, result, count) in [
        ("kick", "done", 1.0),
        ("kick", "refused", 1.0),
        ("ban", "done", 1.0),
        ("ban", "refused", 5.0),
        ("ban", "failed", 0.0),
    ] {
        let name = format!("rtm_admin_actions_total{{action=\"{action}\",result=\"{result}\"}}");
        assert_eq!(sample(&page, &name), count, "{name}");
    }
    let (_, closed) = call(admin, &operate, "GET", &format!("/projects/{APP}/closed"), "").await;
    let reasons = closed["items"].as_array().unwrap().iter().map(|closed| closed["reason"].as_str().unwrap());
    assert_eq!(reasons.filter(|reason| *reason != "gone").collect::<Vec<_>>(), ["refused", "banned", "kicked"]);
    // Back ends are told a kick from a ban, though clients are not.
    let (_, log) = call(admin, &operate, "GET", &format!("/projects/{APP}/events?types=session.ended"), "").await;
    let reasons = log["events"].as_array().unwrap().iter().map(|event| &event["data"]["reason"]);
    assert_eq!(reasons.collect::<Vec<_>>(), ["kicked", "banned"]);
    // The longest time that can be written.
    let (status, ban) = call(admin, &operate, "PUT", &format!("{user}/ban"), r#"{"for":"100000000000s"}"#).await;
    assert_eq!(status, 200, "{ban}");
}

#[tokio::test]
async fn bans_and_revoked_tokens_survive_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let (key, operate) = AdminKey::generate("support", AdminRole::Admin).unwrap();
    let start = async || {
        let server = server_with(|config| {
            config.data_dir = Some(directory.path().to_owned());
            config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
            config.admin.keys = vec![key.clone()];
        });
        let server = server.await;
        let admin = server.admin_addrs()[0];
        (server, admin)
    };
    let (server, admin) = start().await;
    let ban = async |user: &str, body: &str| {
        let (status, answer) = call(admin, &operate, "PUT", &format!("/projects/{APP}/users/{user}/ban"), body).await;
        assert_eq!(status, 200, "{answer}");
        answer["banned_until"].as_str().unwrap().to_owned()
    };
    assert_eq!(ban("alice", r#"{"until":"forever"}"#).await, "forever");
    let until = ban("bob", r#"{"for":"10m"}"#).await;
    ban("carol", r#"{"for":"10m"}"#).await;
    let path = format!("/projects/{APP}/users/carol/ban");
    assert_eq!(call(admin, &operate, "DELETE", &path, "").await.1["done"], true);
    let path = format!("/projects/{APP}/users/dave/revoke-tokens");
    let body = r#"{"issued_before":"2026-01-01T00:00:00Z"}"#;
    assert_eq!(call(admin, &operate, "POST", &path, body).await.0, 200);
    let path = format!("/projects/{APP}/revoke-tokens");
    assert_eq!(call(admin, &operate, "POST", &path, body).await.0, 200);
    // Until then nobody could log in, also with a token that is made meanwhile.
    let (status, answer) = call(admin, &operate, "POST", &path, r#"{"issued_before":"2999-01-01T00:00:00Z"}"#).await;
    assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("in the future"), "{answer}");
    for time in ["9000y", "1000000000000y"] {
        let path = format!("/projects/{APP}/users/dave/ban");
        let (status, answer) = call(admin, &operate, "PUT", &path, &format!(r#"{{"for":"{time}"}}"#)).await;
        assert!(status == 400 && answer["error"]["message"].as_str().unwrap().contains("forever"), "{answer}");
    }
    server.shutdown().await;

    let (server, admin) = start().await;
    let (_, bans) = call(admin, &operate, "GET", &format!("/projects/{APP}/bans"), "").await;
    let before = "2026-01-01T00:00:00.000Z";
    let wanted = serde_json::json!([
        { "user_id": "alice", "banned_until": "forever", "tokens_revoked_before": null },
        { "user_id": "bob", "banned_until": until, "tokens_revoked_before": null },
        { "user_id": "dave", "banned_until": null, "tokens_revoked_before": before },
    ]);
    assert_eq!(bans["items"], wanted);
    let mut alice = Client::connect(server.local_addr(), Wire::Native).await;
    alice.send(login("alice")).await;
    assert!(matches!(alice.next().await, ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::Banned));
    Client::login(server.local_addr(), Wire::Native, "carol").await;
    let (_, user) = call(admin, &operate, "GET", &format!("/projects/{APP}/users/alice"), "").await;
    assert_eq!(user["banned_until"], "forever");
}

#[tokio::test]
async fn an_operator_counts_and_removes_what_is_kept_of_a_user() {
    let (server, admin, [read, operate, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for number in 1..=3 {
        let message = SendMessageToPeer {
            message_id: MessageId(number),
            peer_id: crate::support::user("bob"),
            message: "waits".into(),
            enable_offline_messaging: true,
            enable_historical_messaging: true,
        };
        alice.request(message).await;
        alice.next().await;
    }
    let path = format!("/projects/{APP}/users/bob/stored");
    assert_eq!(call(admin, &read, "GET", &path, "").await.1["stored_messages"], 3);
    // Nothing else is known of a user who is offline.
    let shown = async |user: &str| call(admin, &read, "GET", &format!("/projects/{APP}/users/{user}"), "").await;
    let (status, bob) = shown("bob").await;
    assert_eq!((status, &bob["state"], &bob["stored_messages"]), (200, &"offline".into(), &3.into()), "{bob}");
    assert_eq!((&bob["session"], &bob["node"]), (&serde_json::Value::Null, &serde_json::Value::Null));
    let (_, alice_shown) = shown("alice").await;
    assert_eq!((&alice_shown["state"], &alice_shown["stored_messages"]), (&"online".into(), &0.into()));
    assert_eq!(shown("nobody").await.0, 404);
    let data = |user: &str| format!("/projects/{APP}/users/{user}/data");
    assert_eq!(call(admin, &read, "DELETE", &data("bob"), "").await.0, 403);
    let (_, deleted) = call(admin, &operate, "DELETE", &data("bob"), "").await;
    assert_eq!(deleted, serde_json::json!({ "stored_messages": 3, "history_messages": 0, "attributes": 0 }));
    let (_, deleted) = call(admin, &operate, "DELETE", &data("alice"), "").await;
    assert_eq!(deleted, serde_json::json!({ "stored_messages": 0, "history_messages": 3, "attributes": 0 }));
    assert_eq!(call(admin, &read, "GET", &path, "").await.1["stored_messages"], 0);
    assert_eq!(shown("bob").await.0, 404, "nothing is left");
}

#[tokio::test]
async fn refused_calls_are_counted_for_their_session() {
    let (server, admin, [read, _, _, _]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    for _ in 0..3 {
        alice.request(rtm_codec::LeaveChannel { channel_id: ChannelId::new("nowhere").unwrap() }).await;
        alice.next().await;
    }
    let (_, user) = call(admin, &read, "GET", &format!("/projects/{APP}/users/alice"), "").await;
    assert_eq!(user["session"]["refused_calls"], 3, "{user}");
    assert_eq!((&user["refused"]["not_there"], &user["session"]["limited_calls"]), (&3.into(), &0.into()), "{user}");
    let (_, most) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?sort=refused_calls"), "").await;
    assert_eq!(most["items"][0]["user_id"], "alice");
    let name = format!("rtm_calls_refused_total{{app_id=\"{APP}\",op=\"leave_channel\",reason=\"not_there\"}}");
    assert_eq!(sample(&metrics(admin).await, &name), 3.0);
}

#[tokio::test]
async fn whoever_watches_gets_what_was_and_then_what_is() {
    let (server, admin, [read, _, _, other]) = with_keys().await;
    let _alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let (_, key) = call(admin, &read, "GET", "/key", "").await;
    assert_eq!(key, serde_json::json!({ "name": "grafana", "role": "read", "projects": null }));
    let (_, key) = call(admin, &other, "GET", "/key", "").await;
    assert_eq!(key["projects"], serde_json::json!(["f".repeat(32)]));

    let mut stream = TcpStream::connect(admin).await.unwrap();
    let request = format!(
        "GET /admin/v1/watch HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {read}\r\nAccept: text/event-stream\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut text = String::new();
    let mut seen: Vec<serde_json::Value> = Vec::new();
    soon("two samples", async {
        while seen.len() < 2 {
            let mut bytes = [0; 4096];
            let count = stream.read(&mut bytes).await.unwrap();
            assert!(count > 0, "the stream goes on");
            text.push_str(std::str::from_utf8(&bytes[..count]).unwrap());
            let events = text.lines().filter_map(|line| line.strip_prefix("data: "));
            let samples = events.filter_map(|data| serde_json::from_str::<serde_json::Value>(data).ok());
            seen = samples.flat_map(|event| event["samples"].as_array().unwrap().clone()).collect();
        }
    })
    .await;
    let numbers: Vec<_> = seen.iter().map(|sample| sample["number"].as_u64().unwrap()).collect();
    assert!(numbers.is_sorted_by(|one, next| one + 1 == *next), "{numbers:?}");
    let last = seen.last().unwrap();
    assert_eq!(last["projects"][0]["app_id"], APP);
    assert_eq!((&last["projects"][0]["native"], &last["projects"][0]["users_online"]), (&1.into(), &1.into()));
    assert_eq!(last["server"]["connections"], 1);

    let (_, kept) = call(admin, &other, "GET", "/watch", "").await;
    let sample = &kept["samples"][0];
    assert_eq!((&sample["server"], &sample["projects"]), (&serde_json::Value::Null, &serde_json::json!([])));
}

#[tokio::test]
async fn lists_are_sorted_and_filtered() {
    let (server, admin, [read, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let _bob = Client::login(server.local_addr(), Wire::Vendor, "bob").await;
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let users = async |query: &str| {
        let (status, found) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?{query}"), "").await;
        assert_eq!(status, 200, "{found}");
        let items = found["items"].as_array().unwrap().iter();
        items.map(|item| item["user_id"].as_str().unwrap().to_owned()).collect::<Vec<_>>().join(" ")
    };
    for (query, wanted) in [
        ("sort=channels", "alice bob"),
        ("sort=channels&limit=1", "alice"),
        ("wire=vendor", "bob"),
        ("wire=native&prefix=b", ""),
        ("address=127.0.0.1&state=online", "alice bob"),
        ("address=127.0.0.2", ""),
    ] {
        assert_eq!(users(query).await, wanted, "{query}");
    }
    for query in ["sort=luck", "wire=tin", "address=here", "sort=channels&cursor=0"] {
        let (status, _) = call(admin, &read, "GET", &format!("/projects/{APP}/sessions?{query}"), "").await;
        assert_eq!(status, 400, "{query}");
    }
    let (status, _) = call(admin, &read, "GET", &format!("/projects/{APP}/closed?reason=boredom"), "").await;
    assert_eq!(status, 400);
    let (_, closed) = call(admin, &read, "GET", &format!("/projects/{APP}/closed?reason=kicked"), "").await;
    assert_eq!(closed["items"], serde_json::json!([]));
    // A misspelt name would change nothing unseen.
    for (path, named, takes) in [
        (format!("/projects/{APP}/closed?limit=1&reasn=kicked"), "\"reasn\"", "limit, cursor, reason, prefix"),
        (format!("/projects/{APP}/users/alice?verbose"), "\"verbose\"", "none"),
        (format!("/projects/{APP}/events?after=0&type=user.*"), "\"type\"", "after, live, user_id"),
    ] {
        let (status, answer) = call(admin, &read, "GET", &path, "").await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert_eq!((status, &answer["error"]["code"]), (400, &"invalid_argument".into()));
        assert!(message.contains(named) && message.contains(takes), "{message}");
    }
}

#[tokio::test]
async fn an_operator_writes_to_users_and_channels_and_reads_histories() {
    let (server, admin, [read, operate, ..]) = with_keys().await;
    let mut alice = Client::login(server.local_addr(), Wire::Native, "alice").await;
    alice.request(JoinChannel { channel_id: ChannelId::new("room").unwrap() }).await;
    alice.next().await;
    let path = format!("/projects/{APP}/channels/room/messages");
    let body = r#"{"from":"support","text":"to all","history":true}"#;
    assert_eq!(call(admin, &operate, "POST", &path, body).await.1["done"], true);
    let path = |user: &str| format!("/projects/{APP}/users/{user}/messages");
    let body = r#"{"from":"support","text":"later","offline":true,"history":true}"#;
    assert_eq!(call(admin, &operate, "POST", &path("carol"), body).await.1["outcome"], "stored");
    let unstored = r#"{"from":"support","text":"now or never"}"#;
    assert_eq!(call(admin, &operate, "POST", &path("carol"), unstored).await.1["outcome"], "offline");
    assert_eq!(call(admin, &read, "POST", &path("carol"), body).await.0, 403);
    for body in [r#"{"from":"support","text":""}"#, r#"{"from":"","text":"x"}"#, r#"{"text":"x"}"#] {
        assert_eq!(call(admin, &operate, "POST", &path("carol"), body).await.0, 400, "{body}");
    }
    let texts = async |path: &str| {
        let (status, found) = call(admin, &operate, "GET", &format!("/projects/{APP}/{path}"), "").await;
        assert_eq!(status, 200, "{found}");
        let items = found["items"].as_array().unwrap().iter();
        items.map(|item| item["text"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert_eq!(texts("users/support/history").await, ["to all", "later"]);
    assert_eq!(texts("users/support/history?newest_first=true&limit=1").await, ["later"]);
    assert_eq!(texts("users/carol/history?received=true").await, ["later"]);
    assert_eq!(texts("channels/room/history").await, ["to all"]);
    assert_eq!(call(admin, &read, "GET", &format!("/projects/{APP}/channels/room/history"), "").await.0, 403);
}
