//! `rtm listen` and `rtm send`, from outside: what scripts read and rely on.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    process::Stdio,
};

use serde_json::{Value, json};

use crate::support::{APP_ID, Running, SECURE_APP_ID, Server, command, event, rtm};

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
        assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), DELIVERED, ""));
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
            let line = bob.line().unwrap();
            assert!(line.starts_with(expected.trim_end_matches('}')), "{line}");
            assert_eq!(event(&line), serde_json::from_str::<Value>(expected).unwrap());
        }
        bob.signal(signal);
        let (status, stdout, stderr) = bob.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
        let logout = json!({ "type": "ConnectionStateChanged", "state": "DISCONNECTED", "reason": "LOGOUT" });
        assert_eq!(event(stdout.trim_end()), logout);
        assert_eq!(stderr, "");
    }
}

const DELIVERED: &str = "{\"has_peer_received\":true,\"outcome\":\"delivered\"}\n";
const STORED: &str = "{\"has_peer_received\":false,\"outcome\":\"stored\"}\n";
const NOT_RECEIVED: &str = "{\"has_peer_received\":false,\"outcome\":\"not_received\"}\n";

#[test]
fn send_says_what_became_of_the_message() {
    let server = Server::start(&["--no-limits"]);
    for wire in ["native", "vendor"] {
        let to = |to: &'static str, more: &[&'static str]| [&["--wire", wire, "--to", to, "hi"], more].concat();
        let (code, stdout, _) = send(&server, "alice", &to("nobody", &[]));
        assert_eq!((code, stdout.as_str()), (Some(0), NOT_RECEIVED), "{wire}");
        let (code, stdout, _) = send(&server, "alice", &to("later", &["--offline"]));
        assert_eq!((code, stdout.as_str()), (Some(0), STORED), "{wire}");
    }
    let mut later = server.listener("later", &[]);
    let event = later.event(is_type("MessageFromPeer"));
    assert_eq!((&event["message"]["text"], &event["properties"]["is_offline_message"]), (&json!("hi"), &json!(true)));
}

#[test]
fn what_is_required_of_the_outcome_is_met_or_the_status_is_3() {
    let server = Server::start(&["--no-limits"]);
    let _bob = server.listener("bob", &[]);
    for (to, more, require, outcome, status) in [
        ("bob", "", "delivered", DELIVERED, 0),
        ("bob", "", "stored", DELIVERED, 0),
        ("nobody", "", "delivered", NOT_RECEIVED, 3),
        ("nobody", "", "stored", NOT_RECEIVED, 3),
        ("nobody", "--offline", "stored", STORED, 0),
        ("nobody", "--offline", "delivered", STORED, 3),
    ] {
        let args = ["--require", require, "--to", to, "hi", more];
        let (code, stdout, stderr) = send(&server, "alice", if more.is_empty() { &args[..5] } else { &args });
        assert_eq!((code, stdout.as_str()), (Some(status), outcome), "{args:?}: {stderr}");
        assert_eq!(stderr.is_empty(), status == 0, "{stderr}");
    }
}

#[test]
fn a_refused_message_is_said_as_json_and_on_stderr() {
    let server = Server::start(&["--no-limits"]);
    let long = "x".repeat(32_769);
    let (code, stdout, stderr) = send(&server, "alice", &["--to", "bob", &long]);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(stdout, "{\"outcome\":\"refused\",\"error\":\"InvalidMessage\",\"code\":7}\n");
    assert!(stderr.contains("not sent") && stderr.lines().count() == 1, "{stderr}");
}

#[test]
fn a_text_may_look_like_an_option() {
    let server = Server::start(&["--no-limits"]);
    let mut bob = server.listener("bob", &[]);
    for text in [&["-5"][..], &["--help"], &["--", "--lines"], &["-h"], &["--no-such-option"]] {
        let (code, stdout, stderr) = send(&server, "alice", &[&["--to", "bob"], text].concat());
        assert_eq!((code, stdout.as_str()), (Some(0), DELIVERED), "{text:?}: {stderr}");
        assert_eq!(bob.event(is_type("MessageFromPeer"))["message"]["text"], text[text.len() - 1]);
    }
    let help = rtm(&["send", "--help"]);
    assert!(help.status.success() && help.stdout.starts_with(b"Send a message"), "{help:?}");
}

fn send_lines(server: &Server, more: &[&str], input: &str) -> (Option<i32>, Vec<Value>) {
    let mut child = command(&[&["send", "--lines"], &server.user("alice")[..], more].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()).unwrap());
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap();
    let lines = String::from_utf8(output.stdout).unwrap();
    (output.status.code(), lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect())
}

#[test]
fn each_line_is_a_message_and_what_became_of_them_is_said_in_order() {
    let server = Server::start(&["--no-limits"]);
    for wire in ["native", "vendor"] {
        let mut bob = server.listener("bob", &["--wire", wire]);
        let (code, said) = send_lines(&server, &["--wire", wire, "--to", "bob"], "one\n\ntwo\r\n  \nthree");
        let delivered = |line: u64| json!({ "line": line, "has_peer_received": true, "outcome": "delivered" });
        assert_eq!((code, said), (Some(0), [1, 3, 4, 5].map(delivered).to_vec()), "{wire}");
        for text in ["one", "two", "  ", "three"] {
            assert_eq!(bob.event(is_type("MessageFromPeer"))["message"]["text"], text);
        }
        bob.signal("INT");
        bob.end();
    }
    let mut bob = server.listener("bob", &["--channel", "lobby"]);
    let (code, said) = send_lines(&server, &["--channel", "lobby"], "hello\n");
    assert_eq!((code, said), (Some(0), vec![json!({ "line": 1, "outcome": "accepted" })]));
    assert_eq!(bob.event(is_type("ChannelMessage"))["message"]["text"], "hello");
    assert_eq!(send_lines(&server, &["--to", "bob"], ""), (Some(0), vec![]));
}

#[test]
fn refused_and_unmet_lines_are_told_by_the_status_and_the_others_are_sent() {
    let server = Server::start(&["--no-limits"]);
    let _bob = server.listener("bob", &[]);
    let input = format!("one\n{}\nthree\n", "x".repeat(100_000));
    let (code, said) = send_lines(&server, &["--to", "bob"], &input);
    let outcomes: Vec<_> = said.iter().map(|line| line["outcome"].as_str().unwrap()).collect();
    assert_eq!((code, outcomes), (Some(1), vec!["delivered", "refused", "delivered"]), "{said:?}");
    assert_eq!(said[1]["error"], "InvalidMessage");
    let (code, said) = send_lines(&server, &["--to", "nobody", "--require", "stored"], "one\n");
    assert_eq!((code, &said[0]["outcome"]), (Some(3), &json!("not_received")));
}

#[test]
fn lines_keep_to_the_limits_of_the_server_in_their_order() {
    // The vendor's wire does not tell of the limit: its client learns of it by refusals, which may cost the order.
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rtm.toml");
    let config = format!("[[project]]\napp_id = \"{APP_ID}\"\nlimits = {{ send_message = \"60/4s\" }}\n");
    std::fs::write(&file, config).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]);
    for wire in ["native", "vendor"] {
        let mut bob = server.listener("bob", &[]);
        let input: String = (0..100).map(|i| format!("{i}\n")).collect();
        let (code, said) = send_lines(&server, &["--wire", wire, "--to", "bob"], &input);
        assert_eq!(code, Some(0), "{wire}: {said:?}");
        let lines: Vec<_> = said.iter().map(|line| line["line"].as_u64().unwrap()).collect();
        assert_eq!(lines, (1..=100).collect::<Vec<_>>());
        let mut texts: Vec<u32> = (0..100)
            .map(|_| bob.event(is_type("MessageFromPeer"))["message"]["text"].as_str().unwrap().parse().unwrap())
            .collect();
        if wire == "vendor" {
            texts.sort_unstable();
        }
        assert_eq!(texts, (0..100).collect::<Vec<_>>(), "{wire}");
        bob.signal("INT");
        bob.end();
    }
}

#[test]
fn lines_go_on_after_a_restart_of_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let data = ["--data-dir", directory.path().to_str().unwrap(), "--no-limits"];
    let server = Server::start(&data);
    let address = server.gateway.trim_start_matches("http://").to_owned();
    let mut sender = command(&[&["send", "--lines", "--offline", "--to", "later"], &server.user("alice")[..]].concat())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let (mut stdin, mut said) = (sender.stdin.take().unwrap(), BufReader::new(sender.stdout.take().unwrap()));
    let mut say = |text: &str| {
        writeln!(stdin, "{text}").unwrap();
        let mut line = String::new();
        said.read_line(&mut line).unwrap();
        serde_json::from_str::<Value>(&line).unwrap()
    };
    assert_eq!(say("before")["outcome"], "stored");
    server.running.signal("TERM");
    assert!(server.running.end().0.success());
    let mut again = Running::new(&[&["serve", "--listen", &address, "--project", APP_ID][..], &data].concat());
    assert!(again.line().unwrap().contains(&address));
    assert_eq!(say("after"), json!({ "line": 2, "has_peer_received": false, "outcome": "stored" }));
    drop(stdin);
    assert!(sender.wait().unwrap().success());
}

#[test]
fn the_environment_says_which_server_and_who() {
    let server = Server::start(&["--no-limits"]);
    let output = command(&["send", "--to", "bob", "hi"])
        .env("RTM_GATEWAY", &server.gateway)
        .env("RTM_APP_ID", APP_ID)
        .env("RTM_UID", "alice")
        .output()
        .unwrap();
    assert_eq!((output.status.code(), String::from_utf8(output.stdout).unwrap().as_str()), (Some(0), NOT_RECEIVED));
}

#[test]
fn the_next_of_several_gateways_is_taken_where_one_is_gone() {
    let server = Server::start(&[]);
    let mut bob = server.listener("bob", &[]);
    let gateways = format!("http://127.0.0.1:1,{}", server.gateway);
    let arguments = ["send", "--app-id", APP_ID, "--uid", "alice", "--to", "bob"];
    // Which is tried first is drawn anew by each run.
    for text in ["1", "2", "3", "4"] {
        let output = rtm(&[&arguments[..], &["--gateway", &gateways, text]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
    }
    let gateways = gateways.replace(',', ", ");
    let output = command(&[&arguments[..], &["5"]].concat()).env("RTM_GATEWAY", &gateways).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{output:?}");
    for text in ["1", "2", "3", "4", "5"] {
        assert_eq!(bob.event(is_type("MessageFromPeer"))["message"]["text"], text);
    }
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
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "{\"outcome\":\"accepted\"}\n", ""));
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
    let line = bob.line().unwrap();
    assert!(line.contains("CONNECTING, LOGIN"));
    assert!(humantime::parse_rfc3339(line.split(' ').next().unwrap()).is_ok(), "{line}");
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
        (vec!["history", "--peer", "a", "--since", "1h", "--until", "2h"], "--until is not later than --since"),
    ] {
        let output = rtm(&[&more[..], &user[..]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {stderr}");
        assert!(stderr.contains(names), "{more:?}: {stderr}");
    }
    for (args, names) in [
        (["--gateway", "ftp://x", "--app-id", APP_ID, "--uid", "bob"], "ftp"),
        // A password with a comma in it, of which nothing is shown.
        (["--gateway", "http://a:s3cr,et@x", "--app-id", APP_ID, "--uid", "bob"], "--gateway has a user or a password"),
        (["--gateway", "http://127.0.0.1:1", "--app-id", "short", "--uid", "bob"], "app id"),
        (["--gateway", "http://127.0.0.1:1", "--app-id", APP_ID, "--uid", "bo'b"], "user id"),
    ] {
        for command in [&["listen"][..], &["send", "--to", "bob", "hi"]] {
            let output = rtm(&[command, &args[..]].concat());
            let stderr = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.code(), Some(2), "{args:?}: {stderr}");
            assert!(stderr.contains(names) && !stderr.contains("s3cr"), "{args:?}: {stderr}");
        }
    }
    for (more, names) in [
        (["send", "--to", "b'b", "hi"], "user id"),
        (["send", "--channel", "b'b", "hi"], "channel id"),
        (["listen", "--subscribe", "b'b", "c"], "user id"),
        (["listen", "--channel", "b'b", "c"], "channel id"),
    ] {
        let output = rtm(&[&more[..], &user].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(2), "{more:?}: {stderr}");
        assert!(stderr.contains(names), "{more:?}: {stderr}");
    }
    // A word that is no level would turn the log off.
    for level in ["a=foo", "debgu", "warn,rtm_server"] {
        let output =
            command(&[&["send", "--to", "b", "hi"], &user[..]].concat()).env("RTM_LOG", level).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        assert!(String::from_utf8(output.stderr).unwrap().contains("RTM_LOG"));
    }
    // What a status means stands in the help.
    let help = String::from_utf8(rtm(&["--help"]).stdout).unwrap();
    for names in ["Exit status", "RTM_LOG", "NO_COLOR", "RTM_GATEWAY"] {
        assert!(help.contains(names), "{help}");
    }
}
