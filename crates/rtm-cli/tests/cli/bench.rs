//! `rtm bench` from outside: every load, on an open project and on one that needs tokens.

use serde_json::Value;

use crate::support::{APP_ID, CERTIFICATE, SECURE_APP_ID, Server, rtm};

fn bench(server: &Server, load: &[&str], more: &[&str]) -> (Option<i32>, Value, String) {
    let gateway = &server.gateway;
    let output = rtm(&[&["bench"], load, &["--gateway", gateway, "--json"], more].concat());
    let figures = serde_json::from_slice(&output.stdout).unwrap_or(Value::Null);
    (output.status.code(), figures, String::from_utf8(output.stderr).unwrap())
}

const LOADS: [(&[&str], &str, u64); 4] = [
    (&["peers", "--pairs", "3", "--messages", "20", "--size", "100", "--window", "4"], "messages", 60),
    (&["channel", "--members", "5", "--messages", "20", "--window", "2"], "deliveries", 100),
    (&["idle", "--users", "10", "--stay", "10ms"], "still_connected", 10),
    (&["logins", "--users", "10", "--at-once", "3"], "logins", 10),
];

#[test]
fn every_load_tells_what_it_did() {
    let server = Server::start(&[]);
    for wire in ["native", "vendor"] {
        for (load, name, count) in LOADS {
            let (code, figures, stderr) = bench(&server, load, &["--app-id", APP_ID, "--wire", wire]);
            assert_eq!((code, stderr.as_str()), (Some(0), ""), "{load:?}");
            assert_eq!(figures[name], count, "{load:?}: {figures}");
        }
    }
}

#[test]
fn receipts_and_logins_are_timed() {
    let server = Server::start(&[]);
    for (load, of) in [(LOADS[0].0, "receipt"), (LOADS[3].0, "login")] {
        let (_, figures, _) = bench(&server, load, &["--app-id", APP_ID]);
        let figure = |name: &str| figures[format!("{of}_{name}_ms")].as_f64().unwrap();
        assert!(figure("p50") > 0.0 && figure("p50") <= figure("p99") && figure("p99") <= figure("max"), "{figures}");
    }
}

#[test]
fn a_certificate_makes_the_users_tokens() {
    let server = Server::start(&[]);
    let (load, name, count) = LOADS[0];
    let with = ["--app-id", SECURE_APP_ID, "--certificate", CERTIFICATE];
    let (code, figures, stderr) = bench(&server, load, &with);
    assert_eq!((code, stderr.as_str()), (Some(0), ""));
    assert_eq!(figures[name], count);
    let (code, figures, stderr) = bench(&server, load, &["--app-id", SECURE_APP_ID]);
    assert_eq!((code, figures), (Some(1), Value::Null));
    assert!(stderr.contains("login") && !stderr.contains(CERTIFICATE), "{stderr}");
}
