//! What is wrong with the arguments: the status is 2, and the error names the value and what is wanted. What is wrong with a file
//! that they name: the status is 1, and the error names the file.

use std::fs;

use crate::support::{APP_ID, CERTIFICATE, rtm};

fn run(args: &[&str]) -> (Option<i32>, String) {
    let output = rtm(args);
    assert!(output.stdout.is_empty(), "{args:?}: {output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

const USER: [&str; 6] = ["--gateway", "https://127.0.0.1:1", "--app-id", APP_ID, "--uid", "alice"];

#[test]
fn a_wrong_time_is_named_with_the_form_that_is_wanted() {
    let user = ["--app-id", APP_ID, "alice"];
    for (before, option, value) in [
        (&[&["listen"][..], &USER].concat(), "--timeout", "xx"),
        (&[&["listen"][..], &USER].concat(), "--timeout", "1ms"),
        (&[&["listen"][..], &USER].concat(), "--timeout", "2h"),
        (&vec!["token"], "--ttl", "tomorrow"),
        (&vec!["bench", "idle"], "--stay", "10"),
        (&[&["admin", "ban"][..], &user].concat(), "--for", "long"),
        (&[&["admin", "token"][..], &user].concat(), "--for", "long"),
    ] {
        let (code, error) = run(&[&before[..], &[option, value]].concat());
        let named = format!("invalid value '{value}' for '{option} <");
        assert!(error.contains(&named) && error.contains("it is not a time"), "{error}");
        assert!(code == Some(2) && error.contains("write 500ms, 10s"), "{error}");
    }
}

#[test]
fn a_time_or_a_number_for_an_operator_is_checked_before_a_server_is_asked() {
    let admin = ["admin", "--url", "http://127.0.0.1:1", "--key", "x", "--app-id", APP_ID];
    for (args, named) in [
        (&["bans", "--limit", "0"][..], "'0' for '--limit <"),
        (&["bans", "--limit", "1001"], "'1001' for '--limit <"),
        (&["audit", "--limit", "0"], "'0' for '--limit <"),
        (&["history", "alice", "--since", "soon"], "'soon' for '--since <"),
        (&["history", "alice", "--since", "1h", "--until", "2h"], "--until is not later than --since"),
        (&["channel-history", "room", "--until", "soon"], "'soon' for '--until <"),
        (&["channel-history", "room", "--since", "1h", "--until", "2h"], "--until is not later than --since"),
        (&["replay-webhook", "one", "--since", "soon"], "'soon' for '--since <"),
        (&["ban", "alice", "--until", "never"], "'never' for '--until <"),
        (&["ban", "alice", "--for", "1000000000000y"], "it is too long"),
        (&["revoke-tokens", "alice", "--issued-before", "soon"], "'soon' for '--issued-before <"),
    ] {
        let (code, error) = run(&[&admin, args].concat());
        assert!(code == Some(2) && error.contains(named), "{args:?}: {error}");
    }
}

#[test]
fn a_life_of_a_token_that_is_wrong_is_told_in_seconds() {
    let token = ["token", "--app-id", APP_ID, "--certificate", CERTIFICATE, "--uid", "alice"];
    for (ttl, said) in [("0s", "not 0 s"), ("30h", "not 108000 s"), ("1000000000000y", "it is too long")] {
        let (code, error) = run(&[&token[..], &["--ttl", ttl]].concat());
        assert!(code == Some(2) && error.contains(said), "{error}");
    }
}

#[test]
fn a_flag_with_a_wrong_value_is_a_wrong_argument_and_a_file_with_one_is_not() {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--project", APP_ID];
    let nats = ["--cluster", "nats://127.0.0.1:1"];
    for (more, what) in [
        (&["--workers", "0"][..], "workers: it has to be 1 to 64 (--workers)"),
        (&[nats[0], nats[1], "--cluster-replicas", "9"], "it has to be 1 to 5 (--cluster-replicas)"),
    ] {
        let (code, error) = run(&[&serve, more].concat());
        assert!(code == Some(2) && error.contains(what), "{error}");
    }
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    fs::write(&file, format!("workers = 0\n[[project]]\napp_id = '{APP_ID}'\n")).unwrap();
    let (code, error) = run(&["serve", "--config", file.to_str().unwrap()]);
    assert!(code == Some(1) && error.contains("workers"), "{error}");
}

#[test]
fn an_address_that_is_none_of_nats_gives_1_and_is_named_in_one_line() {
    let serve = ["serve", "--listen", "127.0.0.1:0", "--project", APP_ID];
    for command in [&serve[..], &["cluster", "status"], &["store", "export"]] {
        for (address, what) in [
            ("http://127.0.0.1:4222", "rtm: \"http://127.0.0.1:4222\" is not an address of NATS"),
            ("nats://rtm:50%@127.0.0.1:1", "rtm: what stands before @127.0.0.1:1 is not percent-encoded right"),
        ] {
            let (code, error) = run(&[command, &["--cluster", address]].concat());
            assert_eq!(code, Some(1), "{command:?}: {error}");
            assert!(error.starts_with(what) && error.lines().count() == 1, "{error}");
        }
    }
}

#[test]
fn a_file_of_certificates_that_cannot_be_used_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(&path, text).unwrap();
        path
    };
    let (junk, good) = (write("junk.pem", "junk"), write("good.pem", &made.cert.pem()));
    let not_its_key = write("other.key", &other.signing_key.serialize_pem());
    let damaged = write("damaged.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
    let missing = folder.path().join("missing.pem").to_str().unwrap().to_owned();
    let listen = [&["listen"][..], &USER].concat();
    let admin = ["admin", "server", "--url", "https://127.0.0.1:1", "--key", "key"];
    let bench = ["bench", "idle", "--gateway", "https://127.0.0.1:1", "--app-id", APP_ID];
    for (command, key) in [(&listen[..], "--key"), (&admin, "--cert-key"), (&bench, "--key")] {
        for (files, named) in [
            (&["--ca", &missing][..], &missing),
            (&["--ca", &junk], &junk),
            (&["--ca", &damaged], &damaged),
            (&["--cert", &junk, key, &not_its_key], &junk),
            (&["--cert", &good, key, &missing], &missing),
            (&["--cert", &good, key, &junk], &junk),
        ] {
            let (code, error) = run(&[command, files].concat());
            assert!(code == Some(1) && error.contains(named), "{command:?} {files:?}: {error}");
        }
        let (code, error) = run(&[command, &["--cert", &good, key, &not_its_key]].concat());
        assert!(code == Some(1), "{command:?}: {error}");
    }
}

#[test]
fn a_chain_to_show_may_have_what_only_its_reader_knows() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name).to_str().unwrap().to_owned();
        fs::write(&path, text).unwrap();
        path
    };
    let leaf = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let mut intermediate = rcgen::CertificateParams::new(Vec::new()).unwrap();
    // No list where one of places with revoked certificates belongs: rustls does not read it, and others may.
    intermediate.custom_extensions.push(rcgen::CustomExtension::from_oid_content(&[2, 5, 29, 31], vec![5, 0]));
    let intermediate = intermediate.self_signed(&leaf.signing_key).unwrap().pem();
    let chain = write("chain.pem", &(leaf.cert.pem() + &intermediate));
    let key = write("leaf.key", &leaf.signing_key.serialize_pem());
    let admin = ["admin", "server", "--url", "https://127.0.0.1:1", "--key", "key"];
    let (code, error) = run(&[&admin[..], &["--cert", &chain, "--cert-key", &key]].concat());
    assert!(code == Some(1) && error.contains("cannot connect"), "{error}");
    let (code, error) = run(&[&admin[..], &["--ca", &chain]].concat());
    assert!(
        code == Some(1) && error.contains(&chain),
        "nobody is trusted whose certificate is not understood: {error}"
    );
}

#[test]
fn each_of_several_ways_to_say_something_is_named_where_one_is_missing() {
    let attributes = [&["attributes", "delete", "--channel", "room"][..], &USER].concat();
    for (args, ways) in [
        (&["admin", "tap"][..], "<--user <USER>|--channel <CHANNEL>>"),
        (&["admin", "replay-webhook", "shop"], "<--since <TIME>|--after <SEQ>>"),
        (&["store", "export"], "<--data-dir <DIR>|--cluster <nats://HOST:PORT[,nats://…]>|--config <FILE>>"),
        (&attributes, "<KEY|--all>"),
    ] {
        let (code, error) = run(args);
        assert!(code == Some(2) && error.contains(ways), "{error}");
    }
}
