//! `rtm chat`, with its lines from a pipe.

use std::{
    io::Write as _,
    process::{ChildStdin, Stdio},
};

use serde_json::json;

use crate::support::{Running, Server, command};

/// A chat in the lobby, and where its lines are written.
fn chat(server: &Server, uid: &str, more: &[&str]) -> (Running, ChildStdin) {
    let args = [&["chat", "lobby"][..], &server.user(uid), more].concat();
    let mut lines = None;
    let running = Running::start_with(command(&args).stdin(Stdio::piped()).stderr(Stdio::piped()), |child| {
        lines = child.stdin.take();
    });
    (running, lines.unwrap())
}

/// A line without the time at its beginning.
fn timeless(line: Option<String>) -> String {
    let line = line.expect("the chat ended");
    let (time, rest) = line.split_at(9);
    assert!(time.bytes().all(|byte| byte.is_ascii_digit() || byte == b':' || byte == b' '), "{line}");
    rest.to_owned()
}

#[test]
fn what_is_said_and_who_comes_and_goes_is_shown() {
    let server = Server::start(&["--no-limits"]);
    let (mut alice, mut said) = chat(&server, "alice", &[]);
    writeln!(said, "/members").unwrap();
    assert_eq!(alice.line().as_deref(), Some("* 1 here: alice"));
    let (mut bob, mut to_say) = chat(&server, "bob", &["--history"]);
    assert_eq!(timeless(alice.line()), "* bob joined");
    writeln!(to_say, "hi\u{1b}[2J 你好\n//slash\n/to alice psst").unwrap();
    assert_eq!(timeless(alice.line()), "bob: hi\\u{1b}[2J 你好");
    assert_eq!(timeless(alice.line()), "bob: /slash");
    assert_eq!(timeless(alice.line()), "bob, to you alone: psst");
    assert_eq!(bob.line().as_deref(), Some("* alice has it"));
    writeln!(said, "/history\n/online bob eve\n/members").unwrap();
    for expected in ["bob: hi\\u{1b}[2J 你好", "bob: /slash"] {
        assert!(alice.line().unwrap().ends_with(expected));
    }
    assert_eq!(alice.line().as_deref(), Some("* bob is online, eve is offline"));
    assert_eq!(alice.line().as_deref(), Some("* 2 here: alice, bob"));
    writeln!(to_say, "/quit\nnot said any more").unwrap();
    assert_eq!(bob.end().0.code(), Some(0));
    assert_eq!(timeless(alice.line()), "* bob left");
    drop(said);
    let (status, stdout, stderr) = alice.end();
    assert_eq!((status.code(), stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn a_line_that_cannot_be_carried_out_is_told_by_the_status_and_the_others_are_sent() {
    let server = Server::start(&["--no-limits"]);
    let mut bob = server.listener("bob", &["--channel", "lobby"]);
    let (alice, mut said) = chat(&server, "alice", &[]);
    writeln!(said, "one\n/qiut\n/to nobody hi\n{}\ntwo", "x".repeat(40_000)).unwrap();
    drop(said);
    let (status, _, stderr) = alice.end();
    assert_eq!(status.code(), Some(1));
    let lines: Vec<_> = stderr.lines().collect();
    assert_eq!(lines.len(), 4, "{stderr}");
    assert!(lines[0].contains("/qiut") && lines[1].contains("nobody") && lines[2].contains("not sent"), "{stderr}");
    assert!(lines[3].starts_with("rtm: 3 "), "{stderr}");
    for text in ["one", "two"] {
        assert_eq!(bob.event(|event| event["type"] == "ChannelMessage")["message"], json!({ "text": text }));
    }
}

#[test]
fn as_json_each_event_and_each_answer_is_an_object() {
    let server = Server::start(&["--no-limits"]);
    let (mut alice, mut said) = chat(&server, "alice", &["--format", "json"]);
    alice.event(|event| event["state"] == "CONNECTED");
    let bob = server.listener("bob", &["--channel", "lobby"]);
    alice.event(|event| event["type"] == "MemberJoined" && event["member_id"] == "bob");
    writeln!(said, "/members").unwrap();
    let answer = loop {
        let line: serde_json::Value = serde_json::from_str(&alice.line().unwrap()).unwrap();
        if line.get("members").is_some() {
            break line;
        }
    };
    assert_eq!(answer, json!({ "channel_id": "lobby", "members": ["alice", "bob"] }));
    bob.signal("INT");
    alice.event(|event| event["type"] == "MemberLeft");
}

#[test]
fn a_login_elsewhere_ends_the_chat_with_status_1() {
    let server = Server::start(&["--no-limits"]);
    let (mut alice, mut said) = chat(&server, "alice", &[]);
    writeln!(said, "/members").unwrap();
    alice.line();
    let _other = server.listener("alice", &[]);
    let (status, _, stderr) = alice.end();
    assert_eq!(status.code(), Some(1));
    assert!(stderr.contains("REMOTE_LOGIN"), "{stderr}");
}
