//! `rtm listen` and `rtm send`, from outside: what scripts read and rely on.

use serde_json::{Value, json};

use crate::support::{APP_ID, Running, SECURE_APP_ID, Server, rtm};

fn send(server: &Server, uid: &str, more: &[&str]) -> (Option<i32>, String, String) {
    let output = rtm(&[&["send"], &server.user(uid)[..], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn is_type(name: &'static str) -> impl Fn(&Value) -> bool {
    move |event| event["type"] == name
}

#[test]
fn a_message_is_one_json_line_with_the_fields_of_the_event() {
    let server = Server::start(&[]);
    for wire in ["native", "vendor"] {
        let mut bob = server.listener("bob", &["--wire", wire]);
        let (code, stdout, stderr) = send(&server, "alice", &["--wire", wire, "--to", "bob", "hi \"bob\"\n你好"]);
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "{\"has_peer_received\":true}\n", ""));
        let event = bob.event(is_type("MessageFromPeer"));
        let ts = event["properties"]["server_received_ts"].as_u64().unwrap();
        assert!(ts > 1_700_000_000_000, "{event}");
        let properties = json!({ "is_offline_message": false, "server_received_ts": ts });
        let expected = json!({
            "type": "MessageFromPeer", "peer_id": "alice", "message": { "text": "hi \"bob\"\n你好" }, "properties": properties,
        });
        assert_eq!(event, expected);
    }
}

#[test]
fn listen_tells_the_login_first_and_the_logout_last_and_ends_well() {
    let server = Server::start(&[]);
    for signal in ["INT", "TERM"] {
        let mut bob = Running::new(&[&["listen"], &server.user("bob")[..]].concat());
        for expected in [
            r#"{"type":"ConnectionStateChanged","state":"CONNECTING","reason":"LOGIN"}"#,
            r#"{"type":"ConnectionStateChanged","state":"CONNECTED","reason":"LOGIN_SUCCESS"}"#,
        ] {
            assert_eq!(bob.line().unwrap(), expected);
        }
        bob.signal(signal);
        let (status, stdout, stderr) = bob.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert_eq!(stdout, "{\"type\":\"ConnectionStateChanged\",\"state\":\"DISCONNECTED\",\"reason\":\"LOGOUT\"}\n");
        assert_eq!(stderr, "");
    }
}

#[test]
fn send_says_whether_the_peer_has_it() {
    let server = Server::start(&[]);
    let (code, stdout, _) = send(&server, "alice", &["--to", "nobody", "anyone?"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "{\"has_peer_received\":false}\n"));

    let (code, stdout, _) = send(&server, "alice", &["--offline", "--to", "later", "for later"]);
    assert_eq!((code, stdout.as_str()), (Some(0), "{\"has_peer_received\":false}\n"));
    let mut later = server.listener("later", &[]);
    let event = later.event(is_type("MessageFromPeer"));
    assert_eq!(
        (&event["message"]["text"], &event["properties"]["is_offline_message"]),
        (&json!("for later"), &json!(true))
    );
}

#[test]
fn a_server_that_is_not_there_is_said_within_the_timeout() {
    // A port of the system that nobody serves.
    let gateway = "http://127.0.0.1:1";
    for (wire, command) in [("native", "send"), ("vendor", "send"), ("native", "listen")] {
        let args = [command, "--gateway", gateway, "--app-id", APP_ID, "--uid", "a", "--wire", wire];
        let message: &[&str] = if command == "send" { &["--to", "b", "hi"] } else { &[] };
        let output = rtm(&[&args[..], &["--timeout", "300ms"], message].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{stderr}");
        assert!(stderr.contains(gateway) && stderr.contains("refused"), "{stderr}");
    }
}

#[test]
fn a_script_that_sends_message_after_message_is_held_up_and_not_refused() {
    let server = Server::start(&[]);
    for i in 0..4 {
        let (code, _, stderr) = send(&server, "alice", &["--to", "nobody", "hi"]);
        assert_eq!(code, Some(0), "message {i}: {stderr}");
    }
}

#[test]
fn subscribed_users_are_told_as_a_map_of_states() {
    let server = Server::start(&[]);
    let mut board = server.listener("board", &["--subscribe", "bob", "--subscribe", "eve"]);
    let peers = |event: &Value| event["peers"].clone();
    let first = board.event(is_type("PeersOnlineStatusChanged"));
    assert_eq!(peers(&first), json!({ "bob": "OFFLINE", "eve": "OFFLINE" }));
    let bob = server.listener("bob", &[]);
    assert_eq!(peers(&board.event(is_type("PeersOnlineStatusChanged"))), json!({ "bob": "ONLINE" }));
    bob.signal("INT");
    assert_eq!(peers(&board.event(is_type("PeersOnlineStatusChanged"))), json!({ "bob": "OFFLINE" }));
}

#[test]
fn channel_events_are_printed_and_send_reaches_the_channel() {
    let server = Server::start(&[]);
    let mut bob = server.listener("bob", &["--channel", "lobby", "annex"]);
    bob.event(|event| event["type"] == "MemberCountUpdated" && event["channel_id"] == "annex");
    let (code, stdout, stderr) = send(&server, "alice", &["--channel", "lobby", "hello room"]);
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
    let joined = bob.event(is_type("MemberJoined"));
    assert_eq!(joined, json!({ "type": "MemberJoined", "channel_id": "lobby", "member_id": "alice" }));
    let message = bob.event(is_type("ChannelMessage"));
    assert_eq!(
        (&message["channel_id"], &message["member_id"], &message["message"]),
        (&json!("lobby"), &json!("alice"), &json!({ "text": "hello room" }))
    );
    bob.event(is_type("MemberLeft"));
}

#[test]
fn a_refused_login_is_said_on_stderr_with_exit_status_1() {
    let server = Server::start(&[]);
    let gateway = server.gateway.as_str();
    let strange = "ffffffffffffffffffffffffffffffff";
    for (app_id, token, names) in [(strange, "any", "App ID"), (SECURE_APP_ID, "nonsense", "token")] {
        let user = ["--gateway", gateway, "--app-id", app_id, "--uid", "bob", "--token", token];
        for wire in ["native", "vendor"] {
            for args in [vec!["listen"], vec!["send", "--to", "alice", "hi"]] {
                let output = rtm(&[&args[..], &user[..], &["--wire", wire]].concat());
                let stderr = String::from_utf8(output.stderr).unwrap();
                assert_eq!(output.status.code(), Some(1), "{args:?} {wire}: {stderr}");
                assert!(stderr.starts_with("rtm: ") && stderr.contains(names), "{args:?} {wire}: {stderr}");
                let stdout = String::from_utf8(output.stdout).unwrap();
                assert!(!stdout.contains("CONNECTED\"") || stdout.contains("DISCONNECTED"), "{stdout}");
            }
        }
    }
}

#[test]
fn listen_ends_with_exit_status_1_when_the_user_logs_in_elsewhere() {
    let server = Server::start(&[]);
    let first = server.listener("bob", &[]);
    let _second = server.listener("bob", &[]);
    let (status, stdout, stderr) = first.end();
    assert_eq!(status.code(), Some(1));
    assert!(stdout.contains(r#""state":"ABORTED","reason":"REMOTE_LOGIN""#), "{stdout}");
    assert!(stderr.contains("REMOTE_LOGIN"), "{stderr}");
}

#[test]
fn the_text_format_is_for_a_person_and_without_colours_in_a_pipe() {
    let server = Server::start(&[]);
    let mut bob = Running::new(&[&["listen"], &server.user("bob")[..], &["--format", "text"]].concat());
    assert!(bob.line().unwrap().contains("CONNECTING, LOGIN"));
    assert!(bob.line().unwrap().contains("CONNECTED, LOGIN_SUCCESS"));
    send(&server, "alice", &["--to", "bob", "a\u{1b}[31mred"]);
    let line = bob.line().unwrap();
    assert!(line.ends_with("alice: a\\u{1b}[31mred"), "{line}");
    assert!(!line.contains('\u{1b}'), "{line:?}");
}

#[test]
fn arguments_that_do_not_fit_are_named_with_exit_status_2() {
    let user = ["--gateway", "http://127.0.0.1:1", "--app-id", APP_ID, "--uid", "bob"];
    for (more, names) in [
        (vec!["send", "hi"], "--to"),
        (vec!["send", "--to", "a", "--channel", "b", "hi"], "--channel"),
        (vec!["send", "--channel", "b", "--offline", "hi"], "--offline"),
        (vec!["listen", "--wire", "pigeon"], "pigeon"),
        (vec!["listen", "--format", "xml"], "xml"),
    ] {
        let output = rtm(&[&more[..], &user[..]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {stderr}");
        assert!(stderr.contains(names), "{more:?}: {stderr}");
    }
    for (args, names) in [
        (["--gateway", "ftp://x", "--app-id", APP_ID, "--uid", "bob"], "ftp"),
        (["--gateway", "http://127.0.0.1:1", "--app-id", "short", "--uid", "bob"], "app id"),
        (["--gateway", "http://127.0.0.1:1", "--app-id", APP_ID, "--uid", "bo'b"], "user id"),
    ] {
        let output = rtm(&[&["listen"], &args[..]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(1), "{args:?}: {stderr}");
        assert!(stderr.contains(names), "{args:?}: {stderr}");
    }
}
