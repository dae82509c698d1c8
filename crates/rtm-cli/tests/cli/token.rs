//! `rtm token` and `rtm token explain`, from outside.

use crate::support::{APP_ID, CERTIFICATE, rtm};

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
    assert_eq!(field(&text, "signature"), "holds");

    let text = stdout(&["explain", &token, "--certificate", OTHER_CERTIFICATE]);
    assert!(field(&text, "signature").starts_with("fails"), "{text}");
    let text = stdout(&["explain", &token]);
    assert!(field(&text, "signature").starts_with("not checked"), "{text}");
}

#[test]
fn a_006_token_is_the_default_and_needs_the_user_id_to_be_checked() {
    let token = make(&[]);
    let text = stdout(&["explain", &token, "--certificate", CERTIFICATE]);
    assert_eq!(field(&text, "version"), "006");
    assert!(field(&text, "signature").contains("--uid"), "{text}");

    let text = stdout(&["explain", &token, "--certificate", CERTIFICATE, "--uid", "alice"]);
    assert_eq!((field(&text, "user"), field(&text, "signature")), ("alice", "holds"));
    let text = stdout(&["explain", &token, "--certificate", CERTIFICATE, "--uid", "bob"]);
    assert!(field(&text, "user").starts_with("not bob"), "{text}");
    assert!(field(&text, "signature").starts_with("fails"), "{text}");
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
    let refused: [(Vec<&str>, i32, &str); 6] = [
        (project("short", CERTIFICATE), 1, "32 letters and digits"),
        (project(APP_ID, "short"), 2, "32 characters"),
        ([project(APP_ID, CERTIFICATE), vec!["--ttl", "25h"]].concat(), 1, "24 hours"),
        ([project(APP_ID, CERTIFICATE), vec!["--ttl", "soon"]].concat(), 2, "--ttl"),
        ([project(APP_ID, CERTIFICATE), vec!["--version", "008"]].concat(), 2, "006 or 007"),
        (vec!["explain", "nonsense"], 1, "not a token"),
    ];
    for (args, code, names) in refused {
        let output = rtm(&[&["token"], &args[..]].concat());
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {stderr}");
        assert!(stderr.contains(names), "{args:?}: {stderr}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
}
