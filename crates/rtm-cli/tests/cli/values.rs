//! `rtm history`, `members`, `online` and `attributes`: the values that scripts read.

use serde_json::{Value, json};

use crate::support::{Running, Server, rtm};

/// Runs a command of some words as a user; answers its status and what it printed.
fn run(server: &Server, command: &[&str], more: &[&str]) -> (Option<i32>, String, String) {
    let output = rtm(&[command, &server.user("alice")[..], more].concat());
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

/// The objects that it prints, without their times.
fn objects(server: &Server, command: &[&str], more: &[&str]) -> Vec<Value> {
    let (code, stdout, stderr) = run(server, command, &[more, &["--format", "json"]].concat());
    assert_eq!((code, stderr.as_str()), (Some(0), ""), "{command:?} {more:?}");
    let mut objects: Vec<Value> = stdout.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for object in &mut objects {
        object.as_object_mut().unwrap().remove("ts");
    }
    objects
}

#[test]
fn the_history_has_what_was_sent_for_it_oldest_first() {
    let server = Server::start(&["--no-limits"]);
    for (to, text) in [("--to", "one"), ("--to", "two"), ("--channel", "to all"), ("--to", "three")] {
        let receiver = if to == "--to" { "bob" } else { "lobby" };
        let (code, _, stderr) = run(&server, &["send", "--history"], &[to, receiver, text]);
        assert_eq!(code, Some(0), "{stderr}");
    }
    assert_eq!(run(&server, &["send"], &["--to", "bob", "not kept"]).0, Some(0));
    for wire in ["native", "vendor"] {
        let texts = |more: &[&str]| -> Vec<Value> {
            let messages = objects(&server, &["history", "--wire", wire], more);
            assert!(
                messages.iter().all(|message| message["from"] == "alice" && message["server_received_ts"].is_u64())
            );
            messages.iter().map(|message| message["message"]["text"].clone()).collect()
        };
        assert_eq!(texts(&["--peer", "bob"]), ["one", "two", "three"], "{wire}");
        assert_eq!(texts(&["--peer", "bob", "--last", "2"]), ["two", "three"]);
        assert_eq!(texts(&["--peer", "bob", "--since", "1h"]), ["one", "two", "three"]);
        assert_eq!(texts(&["--peer", "bob", "--until", "2020-01-31T12:00:00Z"]), [""; 0]);
        assert_eq!(texts(&["--channel", "lobby"]), ["to all"]);
    }
    let (_, text, _) = run(&server, &["history"], &["--peer", "bob", "--last", "1"]);
    assert!(text.ends_with("Z  alice: three\n"), "{text}");
    for wrong in [&[][..], &["--peer", "bob", "--channel", "lobby"], &["--peer", "bob", "--since", "yesterday"]] {
        assert_eq!(run(&server, &["history"], wrong).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn members_are_listed_without_who_asks_or_counted() {
    let server = Server::start(&[]);
    let joined = |uid| {
        let mut user = server.listener(uid, &["--channel", "lobby"]);
        user.event(|event| event["type"] == "MemberCountUpdated");
        user
    };
    let _members: Vec<Running> = ["carol", "bob"].into_iter().map(joined).collect();
    let members = objects(&server, &["members"], &["lobby"]);
    assert_eq!(members, [json!({ "channel_id": "lobby", "members": ["bob", "carol"] })]);
    assert_eq!(run(&server, &["members"], &["lobby"]).1, "bob\ncarol\n");
    assert_eq!(run(&server, &["members", "--count"], &["lobby"]).1, "2\n");
    assert_eq!(
        objects(&server, &["members", "--count"], &["empty"]),
        [json!({ "channel_id": "empty", "member_count": 0 })]
    );
    assert_eq!(run(&server, &["members"], &[&"x".repeat(65)]).0, Some(2));
}

#[test]
fn who_is_online_is_told_in_the_order_of_asking_and_with_watch_as_it_changes() {
    let server = Server::start(&[]);
    let bob = server.listener("bob", &[]);
    let state = |peer: &str, state: &str| json!({ "peer_id": peer, "state": state });
    let states = objects(&server, &["online"], &["eve", "bob"]);
    assert_eq!(states, [state("eve", "OFFLINE"), state("bob", "ONLINE")]);
    assert_eq!(run(&server, &["online"], &["eve", "bob"]).1, "OFFLINE      eve\nONLINE       bob\n");
    let watch = [&["online", "bob", "--watch", "--format", "json"][..], &server.user("board")].concat();
    let mut watch = Running::new(&watch);
    assert_eq!(watch.event(|_| true), state("bob", "ONLINE"));
    bob.signal("INT");
    assert_eq!(watch.event(|_| true), state("bob", "OFFLINE"));
    watch.signal("INT");
    let (status, _, stderr) = watch.end();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), ""));
}

#[test]
fn attributes_of_a_channel_are_set_read_and_deleted() {
    let server = Server::start(&["--no-limits"]);
    let mut bob = server.listener("bob", &["--channel", "lobby"]);
    let set = |more: &[&str]| objects(&server, &["attributes", "set", "--channel", "lobby"], more);
    assert_eq!(set(&["topic=a=b", "lang=中文"]), [json!({ "revision": 1 })]);
    assert_eq!(set(&["topic=news", "--notify"]), [json!({ "revision": 2 })]);
    let told = bob.event(|event| event["type"] == "AttributesUpdated");
    assert_eq!(told["attributes"]["attributes"]["topic"]["value"], "news", "{told}");
    let (_, text, _) = run(&server, &["attributes", "get", "--channel", "lobby"], &[]);
    let lines: Vec<_> = text.lines().map(|line| line.split("  ").next().unwrap()).collect();
    assert_eq!(lines, ["lang=中文", "topic=news"]);
    assert!(text.contains("(alice, 20"), "{text}");
    let found = objects(&server, &["attributes", "get", "--channel", "lobby"], &["topic", "unknown"]);
    assert_eq!((&found[0]["channel_id"], &found[0]["revision"]), (&json!("lobby"), &json!(2)), "{found:?}");
    assert_eq!(found[0]["attributes"].as_object().unwrap().len(), 1);
    // Somebody else was faster.
    let (code, _, stderr) =
        run(&server, &["attributes", "set", "--channel", "lobby"], &["topic=late", "--expected-revision", "1"]);
    assert_eq!(code, Some(1), "{stderr}");
    assert_eq!(set(&["only=this", "--replace", "--expected-revision", "2"]), [json!({ "revision": 3 })]);
    let (_, text, _) = run(&server, &["attributes", "delete", "--channel", "lobby"], &["only"]);
    assert_eq!(text, "revision 4\n");
    assert_eq!(run(&server, &["attributes", "get", "--channel", "lobby"], &[]).1, "");
    assert_eq!(run(&server, &["attributes", "delete", "--channel", "lobby"], &["--all"]).0, Some(0));
    for wrong in [&["set", "--channel", "lobby", "topic"][..], &["set", "a=b", "--notify"], &["delete", "topic"]] {
        assert_eq!(run(&server, &[&["attributes"], wrong].concat(), &[]).0, Some(2), "{wrong:?}");
    }
}

#[test]
fn attributes_of_a_user_last_as_long_as_it_stays() {
    let server = Server::start(&["--no-limits"]);
    let set = Running::new(&[&["attributes", "set", "city=上海"][..], &server.user("bob")].concat());
    let found = loop {
        let (code, stdout, _) = run(&server, &["attributes", "get", "--user", "bob"], &["--format", "json"]);
        if code == Some(0) && stdout.contains("city") {
            break serde_json::from_str::<Value>(&stdout).unwrap();
        }
    };
    assert_eq!(found, json!({ "user_id": "bob", "attributes": { "city": "上海" } }));
    assert_eq!(run(&server, &["attributes", "get", "--user", "bob"], &["city", "job"]).1, "city=上海\n");
    set.signal("INT");
    let (status, _, stderr) = set.end();
    assert_eq!((status.code(), stderr.as_str()), (Some(0), "rtm: set, until this ends\n"));
    let (code, _, stderr) = run(&server, &["attributes", "get", "--user", "bob"], &[]);
    assert_eq!(code, Some(1), "{stderr}");
}
