//! `rtm token` and `rtm token explain`, from outside.

use std::{
    io::Write as _,
    process::Stdio,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use rtm_token::{Builder, Certificate, Version};
use serde_json::{Value, json};

use crate::support::{APP_ID, CERTIFICATE, command, rtm};

const OTHER_CERTIFICATE: &str = "00000000000000000000000000000000";

fn stdout(args: &[&str]) -> String {
    let output = rtm(&[&["token"], args].concat());
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn make(more: &[&str]) -> String {
    let text = stdout(&[&["--app-id", APP_ID, "--certificate", CERTIFICATE, "--uid", "alice"], more].concat());
    assert!(text.ends_with('\n') && text.lines().count() == 1, "{text:?}");
    text.trim_end().to_owned()
}

/// The status, and what is printed.
fn explain(args: &[&str]) -> (Option<i32>, String) {
    let output = rtm(&[&["token", "explain"], args].concat());
    (output.status.code(), String::from_utf8(output.stdout).unwrap())
}

fn field<'a>(text: &'a str, name: &str) -> &'a str {
    text.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_else(|| panic!("no {name} in {text}")).trim_start()
}

#[test]
fn a_007_token_is_explained_with_user_end_and_signature() {
    let token = make(&["--version", "007", "--ttl", "90m"]);
    let text = stdout(&["explain", &token, "--certificate", CERTIFICATE]);
    assert_eq!(field(&text, "version"), "007");
    assert_eq!(field(&text, "app id"), APP_ID);
    assert_eq!(field(&text, "user"), "alice");
    assert!(field(&text, "ends").ends_with("in 1h 30m") || field(&text, "ends").contains("in 1h 29m"), "{text}");
    assert_eq!(field(&text, "signature"), "valid");

    assert_eq!(field(&text, "verdict"), "valid: alice may log in");

    let (code, text) = explain(&[&token, "--certificate", OTHER_CERTIFICATE]);
    assert!(field(&text, "signature").starts_with("invalid"), "{text}");
    assert_eq!((code, field(&text, "verdict")), (Some(1), "refused: the token's signature is not valid"));
    let (code, text) = explain(&[&token]);
    assert!(field(&text, "signature").starts_with("not checked"), "{text}");
    assert!(
        field(&text, "verdict").contains("undecided") && field(&text, "verdict").contains("--certificate"),
        "{text}"
    );
    assert_eq!(code, Some(0));
    // While certificates change either is valid.
    let both = ["--certificate", OTHER_CERTIFICATE, "--certificate", CERTIFICATE];
    assert_eq!(explain(&[&[token.as_str()], &both[..]].concat()).0, Some(0));
}

#[test]
fn a_006_token_is_the_default_and_needs_the_user_id_to_be_checked() {
    let token = make(&[]);
    let (code, text) = explain(&[&token, "--certificate", CERTIFICATE]);
    assert_eq!(field(&text, "version"), "006");
    assert!(field(&text, "verdict").starts_with("undecided") && field(&text, "verdict").contains("--uid"), "{text}");
    assert_eq!(code, Some(0));

    let (code, text) = explain(&[&token, "--certificate", CERTIFICATE, "--uid", "alice"]);
    assert_eq!((field(&text, "user"), field(&text, "signature")), ("alice", "valid"));
    assert_eq!((code, field(&text, "verdict")), (Some(0), "valid: alice may log in"));
    let (code, text) = explain(&[&token, "--certificate", CERTIFICATE, "--uid", "bob"]);
    assert!(field(&text, "user").starts_with("not bob"), "{text}");
    assert!(field(&text, "signature").starts_with("invalid"), "{text}");
    assert_eq!((code, field(&text, "verdict")), (Some(1), "refused: the token is for another user"));
    // Without a certificate what can be said is.
    assert_eq!(explain(&[&token, "--uid", "bob"]).0, Some(1));
}

#[test]
fn the_verdict_is_that_of_the_server() {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let made = |uid: &str, at: u64, version| {
        let builder = Builder::new(APP_ID, &certificate, uid, at, 1).version(version).ttl(Duration::from_secs(600));
        builder.build().unwrap()
    };
    for (token, uid, verdict) in [
        (made("alice", now, Version::V007), "alice", "valid"),
        (made("alice", now + 60, Version::V007), "alice", "valid"),
        (made("alice", now + 48 * 3600, Version::V006), "alice", "refused: the token is valid for too long"),
        (made("alice", now + 3600, Version::V007), "alice", "refused: the token was issued in the future"),
        (made("alice", now - 601, Version::V007), "alice", "refused: the token expired"),
        (made("alice", now, Version::V007), "bob", "refused: the token is for another user"),
        // No user of this name can log in, whatever its token.
        (made("a/b", now, Version::V007), "a/b", "refused: user id"),
        (made("null", now, Version::V006), "null", "refused: user id"),
    ] {
        for more in [&["--certificate", CERTIFICATE][..], &[]] {
            let (code, text) = explain(&[&[token.as_str(), "--uid", uid], more].concat());
            let expected = if more.is_empty() && verdict == "valid" { "undecided" } else { verdict };
            assert!(field(&text, "verdict").starts_with(expected), "{text}");
            assert_eq!(code, Some(i32::from(verdict != "valid")), "{text}");
        }
    }
    let token = made("alice", now, Version::V007);
    let other = "f".repeat(32);
    let (code, text) = explain(&[&token, "--certificate", CERTIFICATE, "--app-id", &other]);
    assert_eq!((code, field(&text, "verdict")), (Some(1), "refused: the token is for another App ID"));
}

#[test]
fn explain_prints_json_and_reads_standard_input() {
    let token = make(&["--version", "007"]);
    let mut child = command(&["token", "explain", "-", "--certificate", CERTIFICATE, "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(format!("{token}\n").as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let json: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(
        (&json["verdict"], &json["users"], &json["signature"]),
        (&json!("valid"), &json!(["alice"]), &json!("valid"))
    );
    assert_eq!(json["grants"][0]["service"], "RTM");
    assert!(json["ends_at"].as_str().unwrap().ends_with('Z'), "{json}");

    for refused in [token.replace(&token[20..30], "AAAAAAAAAA"), "nonsense".into()] {
        let (code, text) = explain(&[&refused, "--json"]);
        let json: Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &json["verdict"]), (Some(1), &json!("refused")), "{json}");
        assert!(!json["reason"].as_str().unwrap().is_empty());
    }
}

#[test]
fn two_tokens_of_one_second_differ() {
    assert_ne!(make(&[]), make(&[]));
}

#[test]
fn what_cannot_be_made_or_explained_is_named_on_stderr() {
    let project = |app_id: &'static str, certificate: &'static str| {
        vec!["--app-id", app_id, "--certificate", certificate, "--uid", "alice"]
    };
    let user = |uid: &'static str| vec!["--app-id", APP_ID, "--certificate", CERTIFICATE, "--uid", uid];
    let refused: [(Vec<&str>, i32, &str); 9] = [
        (project("short", CERTIFICATE), 2, "app id"),
        (user("null"), 2, "user id"),
        (user("é"), 2, "user id"),
        (user("a/b"), 2, "user id"),
        (user("bob ä"), 2, "user id"),
        (project(APP_ID, "short"), 2, "32 characters"),
        ([project(APP_ID, CERTIFICATE), vec!["--ttl", "25h"]].concat(), 2, "24 hours"),
        ([project(APP_ID, CERTIFICATE), vec!["--ttl", "soon"]].concat(), 2, "--ttl"),
        ([project(APP_ID, CERTIFICATE), vec!["--version", "008"]].concat(), 2, "006 or 007"),
    ];
    for (args, code, names) in refused {
        let output = rtm(&[&["token"], &args[..]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(names), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn the_environment_of_other_commands_does_not_keep_a_token_from_being_explained() {
    let token = make(&["--version", "007"]);
    for (name, value) in [("RTM_APP_ID", APP_ID), ("RTM_UID", "alice"), ("RTM_CERTIFICATE", CERTIFICATE)] {
        let args = ["token", "explain", &token, "--certificate", CERTIFICATE, "--uid", "alice"];
        let output = command(&args).env(name, value).output().unwrap();
        assert!(output.status.success(), "{name}: {output:?}");
        let made = command(&["token"]).env(name, value).output().unwrap();
        let said = String::from_utf8(made.stderr).unwrap();
        assert_eq!(made.status.code(), Some(2), "{said}");
        assert!(said.contains("required"), "{said}");
    }
    let made = command(&["token"])
        .envs([("RTM_APP_ID", APP_ID), ("RTM_UID", "alice"), ("RTM_CERTIFICATE", CERTIFICATE)])
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");
}

#[test]
fn a_006_token_that_is_over_is_refused_whoever_its_user_is() {
    let certificate: Certificate = CERTIFICATE.parse().unwrap();
    let then = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() - 60;
    let token = Builder::new(APP_ID, &certificate, "alice", then, 1).ttl(Duration::from_secs(30)).build().unwrap();
    let (code, text) = explain(&[&token]);
    assert_eq!(code, Some(1), "{text}");
    assert!(field(&text, "verdict").starts_with("refused: the token expired"), "{text}");
}
