//! Who may do what, and what nobody is shown.

use std::time::{Duration, SystemTime};

use rtm_codec::Wire;
use rtm_server::{AdminKey, AdminRole, Server, ServerConfig};

use super::{call, get, with_admin, with_keys};
use crate::support::{APP, Client, http, server_with, soon};

#[tokio::test]
async fn a_setting_is_shown_with_where_it_comes_from_and_without_secrets() {
    let (key, text) = AdminKey::generate("root", AdminRole::Read).unwrap();
    let file = format!(
        "listen = '127.0.0.1:0'\ndrain_rate = 100\n[admin]\nlisten = '127.0.0.1:0'\n[[admin.key]]\nname = 'root'\nrole = 'read'\n\
         sha256 = '{}'\n[[project]]\napp_id = '{APP}'\ncertificates = ['5CFd2fd1755d40ecb72977518be15d3b']\n",
        key.sha256_hex()
    );
    let variables = [("RTM_LOGIN_TIMEOUT".to_owned(), "7s".to_owned())];
    let (mut config, _) = ServerConfig::from_toml_and_env(&file, variables).unwrap();
    config.set_source("admin.listen", rtm_server::ConfigSource::Flag("--admin".to_owned()));
    let server = Server::start(config).await.unwrap();
    let admin = server.admin_addrs()[0];
    let (status, set) = call(admin, &text, "GET", "/config?set=true", "").await;
    assert_eq!(status, 200, "{set}");
    let found = |key: &str| {
        let all = set["items"].as_array().unwrap().iter();
        let said = all.clone().find(|one| one["key"] == key).unwrap_or_else(|| panic!("no {key} in {set}"));
        (said["value"].as_str().unwrap().to_owned(), said["source"].clone(), said["from"].clone())
    };
    let null = serde_json::Value::Null;
    assert_eq!(found("drain_rate"), ("100".to_owned(), "file".into(), null.clone()));
    assert_eq!(found("login_timeout"), ("\"7s\"".to_owned(), "environment".into(), "RTM_LOGIN_TIMEOUT".into()));
    assert_eq!(found("admin.listen").1, "flag");
    assert_eq!(found("admin.listen").2, "--admin");
    let whole = set.to_string();
    assert!(!whole.contains("5CFd2fd1755d40ecb72977518be15d3b") && !whole.contains(&key.sha256_hex()), "{whole}");
    assert!(!whole.contains("\"default\""), "{whole}");
    // All of them, page by page.
    let (mut keys, mut cursor) = (Vec::new(), String::new());
    loop {
        let (_, page) = call(admin, &text, "GET", &format!("/config?limit=7{cursor}"), "").await;
        keys.extend(page["items"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        cursor = format!("&cursor={next}");
    }
    assert!(keys.len() > 30 && keys.iter().any(|key| key == "handshake_timeout"), "{keys:?}");
    let (_, of_limits) = call(admin, &text, "GET", "/config?prefix=project%5B0%5D.limits", "").await;
    let all_of_limits = of_limits["items"].as_array().unwrap();
    assert!(!all_of_limits.is_empty() && all_of_limits.iter().all(|one| one["source"] == "default"), "{of_limits}");
}

#[tokio::test]
async fn a_token_is_made_for_those_who_may_and_explained_to_all() {
    let (read, read_text) = AdminKey::generate("grafana", AdminRole::Read).unwrap();
    let (all, all_text) = AdminKey::generate("root", AdminRole::Admin).unwrap();
    let server = server_with(|config| {
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admin.keys = vec![read, all];
        config.projects[0].certificates = vec!["5CFd2fd1755d40ecb72977518be15d3b".parse().unwrap()];
    })
    .await;
    let admin = server.admin_addrs()[0];
    let tokens = format!("/projects/{APP}/tokens");
    let make = async |key: &str, body: &str| call(admin, key, "POST", &tokens, body).await;
    assert_eq!(make(&read_text, r#"{"user_id":"alice"}"#).await.0, 403);
    for body in [
        "{}",
        r#"{"user_id":""}"#,
        r#"{"user_id":"alice","for":"25h"}"#,
        r#"{"user_id":"alice","for":"0s"}"#,
        r#"{"user_id":"alice","version":"005"}"#,
    ] {
        assert_eq!(make(&all_text, body).await.0, 400, "{body}");
    }
    let explain = async |token: &serde_json::Value, user_id: &str| {
        let body = serde_json::json!({ "token": token, "user_id": user_id }).to_string();
        let (status, answer) = call(admin, &read_text, "POST", &format!("{tokens}/explain"), &body).await;
        assert_eq!(status, 200, "{answer}");
        answer
    };
    for version in ["006", "007"] {
        let body = format!(r#"{{"user_id":"alice","for":"1h","version":"{version}"}}"#);
        let (status, made) = make(&all_text, &body).await;
        assert_eq!(status, 200, "{made}");
        let token = &made["token"];
        let mut client = Client::connect(server.local_addr(), Wire::Native).await;
        let text = token.as_str().unwrap().to_owned();
        client.log_in_with("alice", |login| login.token = Some(rtm_codec::Token::new(text).unwrap())).await;

        let explained = explain(token, "alice").await;
        assert_eq!((&explained["verdict"], &explained["version"]), (&"valid".into(), &version.into()));
        assert_eq!(explained["ends"], made["ends"]);
        assert_eq!(explain(token, "bob").await["verdict"], "refused");
        // Only the newer format contains its user.
        let without = if version == "006" { "undecided" } else { "valid" };
        assert_eq!(explain(token, "").await["verdict"], without);
    }
    assert_eq!(explain(&"no token".into(), "alice").await["verdict"], "refused");
    let (_, audit) = call(admin, &all_text, "GET", "/audit", "").await;
    assert_eq!(audit["items"].as_array().unwrap().len(), 2);
    assert_eq!(audit["items"][0]["action"], "make_token");
    let (_, made) = make(&all_text, r#"{"user_id":"alice","version":"007"}"#).await;
    let verdict = async || {
        let explained = explain(&made["token"], "alice").await;
        (explained["verdict"].as_str().unwrap().to_owned(), explained["reason"].as_str().map(str::to_owned))
    };
    let refused = |reason: &str| ("refused".to_owned(), Some(reason.to_owned()));
    let ban = format!("/projects/{APP}/users/alice/ban");
    assert_eq!(call(admin, &all_text, "PUT", &ban, r#"{"until":"forever"}"#).await.0, 200);
    assert_eq!(verdict().await, refused("the user is banned"));
    assert_eq!(call(admin, &all_text, "DELETE", &ban, "").await.0, 200);
    assert_eq!(verdict().await, ("valid".to_owned(), None));
    // The tokens of everybody, which stands nowhere among the users.
    let before = SystemTime::now() + Duration::from_secs(30);
    let before = humantime::format_rfc3339_millis(before).to_string();
    let body = format!(r#"{{"issued_before":"{before}"}}"#);
    assert_eq!(call(admin, &all_text, "POST", &format!("/projects/{APP}/revoke-tokens"), &body).await.0, 200);
    assert_eq!(verdict().await, refused("the token was revoked"));
    let (_, projects) = call(admin, &read_text, "GET", "/projects", "").await;
    assert_eq!(projects["items"][0]["tokens_revoked_before"], before.as_str());
    let (_, log) =
        call(admin, &read_text, "GET", &format!("/projects/{APP}/events?types=project.tokens_revoked&wait=20s"), "")
            .await;
    assert_eq!(log["events"][0]["data"]["issued_before"], before.as_str());
}

#[tokio::test]
async fn each_role_may_do_so_much_and_a_key_of_a_project_sees_only_that() {
    let (_server, admin, [read, operate, all, other]) = with_keys().await;
    let kick = format!("/projects/{APP}/users/alice/kick");
    for (key, method, path, status) in [
        (&read, "GET", "/server", 200),
        (&read, "POST", kick.as_str(), 403),
        (&operate, "POST", &kick, 200),
        (&operate, "POST", "/drain", 403),
        (&operate, "GET", "/audit", 403),
        (&all, "GET", "/audit", 200),
        (&all, "GET", "/log", 200),
        (&all, "GET", "/nothing", 404),
        (&all, "DELETE", "/server", 405),
        (&all, "POST", "/audit", 405),
        (&all, "GET", "/cluster", 409),
        (&all, "GET", "/projects/short/sessions", 404),
        (&all, "GET", "/audit?cursor=x", 400),
        (&all, "GET", "/audit?limit=x", 400),
        (&all, "GET", "/audit?limit=0", 400),
        (&all, "GET", "/config?limit=0", 400),
        (&all, "GET", &format!("/projects/{APP}/sessions?limit=0"), 400),
        (&all, "GET", &format!("/projects/{APP}/closed?limit=0"), 400),
        (&all, "GET", &format!("/projects/{APP}/events?limit=0"), 400),
        (&all, "GET", &format!("/projects/{APP}/channels/room/history?limit=0"), 400),
        (&other, "GET", "/server", 403),
        (&other, "POST", &kick, 404),
        (&other, "GET", "/projects", 200),
        (&"rtm_admin_wrong".to_owned(), "GET", "/server", 401),
    ] {
        let (answered, answer) = call(admin, key, method, path, "").await;
        assert_eq!(answered, status, "{method} {path}: {answer}");
        assert_eq!(answer["error"]["message"].is_string(), status != 200, "{answer}");
    }
    let (_, projects) = call(admin, &other, "GET", "/projects", "").await;
    assert_eq!(projects["items"], serde_json::json!([]));
}

#[tokio::test]
async fn a_key_whose_role_may_too_little_is_told_which_one_each_call_needs() {
    let (_server, admin, [read, operate, ..]) = with_keys().await;
    let described: serde_json::Value = serde_json::from_str(&rtm_server::admin_openapi()).unwrap();
    let roles = ["read", "operate", "admin"];
    let mut refused = 0;
    for (path, calls) in described["paths"].as_object().unwrap() {
        let path = path.strip_prefix("/admin/v1").unwrap().replace("{app_id}", APP).replace("{user_id}", "alice");
        let path = path.replace("{channel_id}", "room").replace("{name}", "crm");
        for (method, described) in calls.as_object().unwrap() {
            let Some(text) = described["description"].as_str() else { continue };
            let needed = roles.into_iter().position(|role| text.contains(&format!("the role {role} "))).unwrap();
            for (has, key) in [&read, &operate].into_iter().enumerate().filter(|(has, _)| *has < needed) {
                // Neither a body that is not there nor an unknown parameter comes first.
                let path = format!("{path}?nothing=1");
                let (status, answer) = call(admin, key, &method.to_uppercase(), &path, "").await;
                let message = answer["error"]["message"].as_str().unwrap();
                assert_eq!(status, 403, "{method} {path}: {message}");
                let (has, needed) = (roles[has], roles[needed]);
                assert!(
                    message.ends_with(&format!("has the role {has}, and this needs {needed}")),
                    "{path}: {message}"
                );
                refused += 1;
            }
        }
    }
    assert!(refused > 20, "{refused}");
}

#[tokio::test]
async fn the_log_level_is_changed_while_it_runs_and_a_drain_is_passed_on() {
    let (server, admin, [.., all, _]) = with_keys().await;
    let (_, answer) = call(admin, &all, "PUT", "/log", r#"{"level":"debug"}"#).await;
    assert_eq!(answer["level"], "debug");
    let (status, _) = call(admin, &all, "PUT", "/log", r#"{"level":"nonsense"}"#).await;
    assert_eq!(status, 400);
    let (_, answer) = call(admin, &all, "GET", "/log", "").await;
    assert_eq!(answer["level"], "debug");
    let (_, answer) = call(admin, &all, "POST", "/drain", "").await;
    assert_eq!(answer["draining"], true);
    soon("the drain", server.drain_asked()).await;
}

#[tokio::test]
async fn pages_in_a_browser_and_those_who_guess_are_kept_out() {
    let (_server, admin, [read, ..]) = with_keys().await;
    let ask = async |host: &str, more: &str, key: &str| {
        let request = format!(
            "GET /admin/v1/server HTTP/1.1\r\nHost: {host}\r\n{more}Authorization: Bearer {key}\r\nConnection: close\r\n\r\n"
        );
        http(admin, request).await.status
    };
    let own = admin.to_string();
    let origin = format!("Origin: http://{own}\r\n");
    for (host, more, status) in [
        (own.as_str(), "", 200),
        ("localhost:8090", "", 200),
        ("[::1]:8090", "", 200),
        (&own, &origin, 200),
        ("evil.example", "", 403),
        ("127.0.0.1.evil.example:8090", "", 403),
        (&own, "Origin: http://evil.example\r\n", 403),
        (&own, "Origin: null\r\n", 403),
    ] {
        assert_eq!(ask(host, more, &read).await, status, "{host} {more}");
    }
    for _ in 0..10 {
        assert_eq!(ask(&own, "", "guess").await, 401);
    }
    assert_eq!(ask(&own, "", "guess").await, 429);
    assert_eq!(ask(&own, "", &read).await, 429, "nor is a good key looked at, or guesses could go on");

    let (_server, admin) = with_admin().await;
    assert_eq!(get(admin, "/admin/v1/server").await.0, 403, "without a key nobody gets in");
    let ask = async |method: &str, path: &str, host: &str| {
        http(admin, format!("{method} {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n")).await
    };
    assert_eq!(ask("GET", "/metrics", "evil.example").await.status, 403);
    assert_eq!(ask("GET", "/livez", "evil.example").await.status, 200);
    for (method, path, status) in [("POST", "/metrics", 405), ("PUT", "/livez", 405), ("GET", "/nothing", 404)] {
        let answer = ask(method, path, &admin.to_string()).await;
        assert_eq!(answer.status, status, "{method} {path}");
        assert!(answer.json()["error"]["code"].is_string());
    }
}
