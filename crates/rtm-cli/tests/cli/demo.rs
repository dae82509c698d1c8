//! `rtm demo`, as somebody meets it who has never seen RTM.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::{APP_ID, Running, SECURE_APP_ID, command};

#[test]
fn a_demo_says_where_its_console_is_and_has_users_on_both_wires() {
    let mut demo = Running::new(&["demo", "--users", "8", "--seconds", "14"]);
    let console = demo.line().unwrap();
    let (url, key) = console.strip_prefix("console: ").and_then(|url| url.split_once("/#key=")).unwrap();
    assert!(url.starts_with("http://127.0.0.1:") && key.starts_with("rtm_admin_"), "{console}");
    let gateway = demo.line().unwrap();
    assert!(gateway.starts_with("gateway: http://127.0.0.1:"), "{gateway}");
    assert_eq!(demo.line().unwrap(), format!("project: {APP_ID} (no tokens)"));
    let secure = demo.line().unwrap();
    let prefix = format!("project: {SECURE_APP_ID} (tokens; certificate ");
    let certificate = secure.strip_prefix(&prefix).and_then(|rest| rest.strip_suffix(')')).unwrap();

    let admin = |args: &[&str]| {
        let output = command(&[&["admin", "--format", "json"], args].concat())
            .env("RTM_ADMIN_URL", url)
            .env("RTM_ADMIN_KEY", key)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    assert_eq!(admin(&["key"])["role"], "admin");
    for app_id in [APP_ID, SECURE_APP_ID] {
        let since = Instant::now();
        loop {
            let sessions = admin(&["sessions", "--app-id", app_id]);
            let wires: Vec<_> = sessions["items"].as_array().unwrap().iter().map(|one| &one["wire"]).collect();
            if ["native", "vendor"].iter().all(|wire| wires.contains(&&Value::from(*wire))) {
                break;
            }
            assert!(since.elapsed() < Duration::from_secs(13), "{app_id}: {wires:?}");
        }
    }
    // The certificate is the one that the server has.
    let token = command(&["token", "--app-id", SECURE_APP_ID, "--certificate", certificate, "--uid", "me"]).output();
    let token = String::from_utf8(token.unwrap().stdout).unwrap();
    let explained = admin(&["explain-token", "--app-id", SECURE_APP_ID, "--uid", "me", token.trim()]);
    assert_eq!(explained["verdict"], "valid");
    let made = admin(&["token", "--app-id", SECURE_APP_ID, "me", "--for", "10m", "--version", "007"]);
    assert!(made["token"].as_str().unwrap().starts_with("007"));

    let (status, stdout, stderr) = demo.end();
    assert_eq!((status.code(), stdout.as_str(), stderr.as_str()), (Some(0), "", ""));
}

#[test]
fn a_demo_with_users_that_it_cannot_have_is_refused() {
    for users in ["1", "5001", "many"] {
        let refused = command(&["demo", "--users", users]).output().unwrap();
        assert_eq!(refused.status.code(), Some(2), "{users}");
    }
}
