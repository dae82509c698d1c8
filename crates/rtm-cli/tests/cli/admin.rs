//! `rtm admin`, from outside: keys made without a server, and a server steered by them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::support::{APP_ID, Running, command, rtm};

fn admin(url: &str, key: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(&[&["admin"], args].concat()).env("RTM_ADMIN_URL", url).env("RTM_ADMIN_KEY", key).output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let mut child = command(&["admin", "new-rest-key"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
}

#[test]
fn a_new_rest_key_opens_the_project_that_has_its_table() {
    let made = rtm(&["admin", "new-rest-key", "--id", "shop"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    assert!(key.starts_with("shop:") && !table.contains(&key[5..]), "{made}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    fs::write(&file, format!("listen = \"127.0.0.1:0\"\n[[project]]\napp_id = \"{APP_ID}\"\n{table}")).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    let address = server.line().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    for (key, status) in [(key, "200 OK"), ("shop:another secret", "401 Unauthorized")] {
        let body = r#"{"destination":"bob","payload":"hello"}"#;
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST /dev/v2/project/{APP_ID}/rtm/users/shop/peer_messages HTTP/1.1\r\nHost: {address}\r\n\
             Authorization: Basic {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            BASE64_STANDARD.encode(key),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }

    let refused = rtm(&["admin", "new-rest-key", "--id", "a:b"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_signal_after_a_drain_is_the_first_one() {
    let made = String::from_utf8(rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]).stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndrain_delay = \"1s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{table}\n[[project]]\n\
         app_id = \"{APP_ID}\"\n"
    );
    fs::write(&file, config).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    server.line().unwrap();
    let url = server.line().unwrap();
    let url = format!("http://{}", url.strip_prefix("admin on ").unwrap());
    assert_eq!(admin(&url, key, &["drain"]).0, Some(0));
    server.signal("TERM");
    let (status, _, stderr) = server.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn a_new_key_opens_the_server_that_has_its_table() {
    let made = rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    assert!(key.starts_with("rtm_admin_") && !table.contains(key), "{made}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{table}\n[[project]]\napp_id = \"{APP_ID}\"\n"
    );
    fs::write(&file, config).unwrap();
    let mut server = Running::new(&["serve", "--log-format", "json", "--config", file.to_str().unwrap()]);
    let gateway = server.line().unwrap();
    let gateway = format!("http://{}", gateway.strip_prefix("listening on ").unwrap());
    let url = server.line().unwrap();
    let url = format!("http://{}", url.strip_prefix("admin on ").unwrap());
    let mut bob =
        Running::new(&["listen", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "bob", "--format", "json"]);
    bob.event(|event| event["state"] == "CONNECTED");

    let (code, sessions, stderr) = admin(&url, key, &["sessions", "--app-id", APP_ID]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(sessions.contains("user_id=bob") && sessions.lines().count() == 1, "{sessions}");
    let (_, user, _) = admin(&url, key, &["--format", "json", "user", "--app-id", APP_ID, "bob"]);
    let user: serde_json::Value = serde_json::from_str(&user).unwrap();
    assert_eq!(user["session"]["state"], "online");

    let (code, banned, _) = admin(&url, key, &["ban", "--app-id", APP_ID, "bob", "--for", "1h"]);
    assert!(code == Some(0) && banned.contains("banned_until="), "{banned}");
    bob.event(|event| event["state"] == "ABORTED");
    assert!(admin(&url, key, &["bans", "--app-id", APP_ID]).1.contains("user_id=bob"));
    assert_eq!(admin(&url, key, &["unban", "--app-id", APP_ID, "bob"]).1, "done=true\n");
    assert_eq!(admin(&url, key, &["log-level", "debug"]).1, "level=debug\n");
    assert_eq!(admin(&url, key, &["log-level", "debgu"]).0, Some(1));

    let (code, _, stderr) = admin(&url, "rtm_admin_no", &["server"]);
    assert!(code == Some(1) && stderr.contains("this key is not known"), "{stderr}");
    assert_eq!(admin(&url, key, &["drain"]).0, Some(0));
    let (status, _, stderr) = server.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let lines: Vec<serde_json::Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audited = lines.iter().filter(|line| line["target"] == "rtm::audit");
    assert_eq!(
        audited.map(|line| &line["fields"]["action"]).collect::<Vec<_>>(),
        ["ban", "unban", "log_level", "drain"]
    );
    assert!(lines.iter().all(|line| line["timestamp"].as_str().unwrap().ends_with('Z')), "{stderr}");
    assert!(!stderr.contains(key), "no key in the log");
}
