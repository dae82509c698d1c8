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
    (&["idle", "--users", "10", "--stay", "200ms"], "still_connected", 10),
    (&["logins", "--users", "10", "--at-once", "3"], "logins", 10),
];

#[test]
fn every_load_tells_what_it_did() {
    let server = Server::start(&["--no-limits"]);
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
    for (load, timed) in [(LOADS[0].0, "receipt"), (LOADS[3].0, "login")] {
        let (_, figures, _) = bench(&server, load, &["--app-id", APP_ID]);
        let figure = |name: &str| figures[format!("{timed}_{name}_ms")].as_f64().unwrap();
        assert!(figure("p50") > 0.0 && figure("p50") <= figure("p99") && figure("p99") <= figure("max"), "{figures}");
    }
}

#[test]
fn the_figures_are_printed_in_their_order() {
    let server = Server::start(&[]);
    let output = rtm(&[&["bench"], LOADS[0].0, &["--gateway", &server.gateway, "--app-id", APP_ID, "--json"]].concat());
    let text = String::from_utf8(output.stdout).unwrap();
    let at = |name: &str| text.find(&format!("{name}\":")).unwrap_or_else(|| panic!("no {name} in {text}"));
    let order = ["messages", "seconds", "messages_per_second", "_p50_ms", "_p90_ms", "_p99_ms", "_p999_ms", "_max_ms"];
    assert!(order.map(at).is_sorted(), "{text}");
}

#[test]
fn a_load_keeps_to_the_limits_of_the_server_and_says_so() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("rtm.toml");
    let config = format!("[[project]]\napp_id = \"{APP_ID}\"\nlimits = {{ send_message = \"20/200ms\" }}\n");
    std::fs::write(&file, config).unwrap();
    let server = Server::start(&["--config", file.to_str().unwrap()]);
    for wire in ["native", "vendor"] {
        for (load, name, count) in
            [(["peers", "--messages", "60"], "messages", 60), (["channel", "--messages", "60"], "deliveries", 180)]
        {
            let members: &[&str] = if name == "deliveries" { &["--members", "3"] } else { &[] };
            let more = [&["--app-id", APP_ID, "--wire", wire], members].concat();
            let (code, figures, stderr) = bench(&server, &load, &more);
            assert_eq!((code, &figures[name]), (Some(0), &count.into()), "{wire}: {stderr}");
            // Three times what the limit lets through at once, so two pauses; not one for each message.
            let seconds = figures["seconds"].as_f64().unwrap();
            assert!((0.4..4.0).contains(&seconds), "{wire}: {figures}");
            assert_eq!(stderr.lines().count(), 1, "{stderr}");
            assert!(stderr.contains("--no-limits"), "{stderr}");
        }
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

#[test]
fn without_a_gateway_it_measures_a_server_of_its_own_and_ends_with_a_table() {
    let output = rtm(&["bench", "peers", "--messages", "300", "--size", "100"]);
    let (table, stderr) = (String::from_utf8(output.stdout).unwrap(), String::from_utf8(output.stderr).unwrap());
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(stderr.contains("a server of its own"), "{stderr}");
    let rows: Vec<_> = table.lines().map(|line| line.split("  ").next().unwrap()).collect();
    let order = ["load", "wire", "pairs", "size", "window", "messages", "time", "messages"];
    assert_eq!(rows[..8], order, "{table}");
    let last = ["receipt p50", "receipt p90", "receipt p99", "receipt p99.9", "receipt max"];
    assert_eq!(rows[8..], last, "{table}");
    // Its users need tokens where there is a certificate; and it has no limits, which 300 messages at once would meet.
    for (load, name, count) in LOADS {
        let certificate = ["--certificate", CERTIFICATE, "--wire", "vendor", "--json"];
        let output = rtm(&[&["bench"], load, &certificate].concat());
        let figures: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        assert_eq!(figures[name], count, "{load:?}: {output:?}");
    }
}

#[test]
fn a_plot_is_an_svg_of_what_was_measured() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("load.svg");
    for (load, _, _) in LOADS {
        let output = rtm(&[&["bench"], load, &["--plot", file.to_str().unwrap()]].concat());
        assert_eq!(output.status.code(), Some(0), "{output:?}");
        let picture = std::fs::read_to_string(&file).unwrap();
        assert!(picture.starts_with("<svg") && picture.trim_end().ends_with("</svg>"), "{picture}");
        assert!(picture.contains(&format!("rtm bench {}", load[0])) && picture.contains("per second"), "{picture}");
        assert_eq!(picture.contains("in milliseconds"), matches!(load[0], "peers" | "logins"), "{}", load[0]);
    }
    // A place where nothing can be written is told before the load.
    let output = rtm(&["bench", "peers", "--plot", directory.path().join("no/such.svg").to_str().unwrap()]);
    assert_eq!((output.status.code(), output.stdout.len()), (Some(1), 0));
    let output = rtm(&["bench", "peers", "--gateway", "http://127.0.0.1:1"]);
    assert_eq!(output.status.code(), Some(2), "{output:?}");
}
