//! `rtm admin`, from outside: keys made without a server, and a server steered by them.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    process::Stdio,
};

use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::support::{APP_ID, Running, command, rtm};

fn admin(url: &str, key: &str, args: &[&str]) -> (Option<i32>, String, String) {
    let output = command(&[&["admin"], args].concat()).env("RTM_ADMIN_URL", url).env("RTM_ADMIN_KEY", key).output();
    let output = output.unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

#[test]
fn a_reader_that_has_read_enough_is_no_failure() {
    let mut child = command(&["admin", "new-rest-key"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), ended.stderr.len()), (Some(0), 0));
}

#[test]
fn a_new_rest_key_opens_the_project_that_has_its_table() {
    let made = rtm(&["admin", "new-rest-key", "--id", "shop"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    assert!(key.starts_with("shop:") && !table.contains(&key[5..]), "{made}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    fs::write(&file, format!("listen = \"127.0.0.1:0\"\n[[project]]\napp_id = \"{APP_ID}\"\n{table}")).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    let address = server.line().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    for (key, status) in [(key, "200 OK"), ("shop:another secret", "401 Unauthorized")] {
        let body = r#"{"destination":"bob","payload":"hello"}"#;
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(
            stream,
            "POST /dev/v2/project/{APP_ID}/rtm/users/shop/peer_messages HTTP/1.1\r\nHost: {address}\r\n\
             Authorization: Basic {}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
            BASE64_STANDARD.encode(key),
            body.len()
        )
        .unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}\r\n")), "{answer}");
    }

    let refused = rtm(&["admin", "new-rest-key", "--id", "a:b"]);
    assert_eq!(refused.status.code(), Some(2));
}

#[test]
fn a_signal_after_a_drain_is_the_first_one() {
    let made = String::from_utf8(rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]).stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let config = format!(
        "listen = \"127.0.0.1:0\"\ndrain_delay = \"1s\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{table}\n[[project]]\n\
         app_id = \"{APP_ID}\"\n"
    );
    fs::write(&file, config).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    server.line().unwrap();
    let url = server.line().unwrap();
    let url = format!("http://{}", url.strip_prefix("admin on ").unwrap());
    assert_eq!(admin(&url, key, &["drain"]).0, Some(0));
    server.signal("TERM");
    let (status, _, stderr) = server.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
}

#[test]
fn limits_are_shown_and_set_and_events_are_printed_up_to_a_count() {
    let made = String::from_utf8(rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]).stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    let elsewhere = "f".repeat(32);
    let other = rtm(&["admin", "new-key", "--name", "of-others", "--role", "read", "--project", &elsewhere]).stdout;
    let other = String::from_utf8(other).unwrap();
    let (_, other) = other.split_once("\n\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{table}\n{other}\n[[project]]\napp_id = \"{APP_ID}\"\n"
    );
    fs::write(&file, config).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    server.line().unwrap();
    let url = server.line().unwrap();
    let url = format!("http://{}", url.strip_prefix("admin on ").unwrap());
    let call = |args: &[&str]| admin(&url, key, &[args, &["--app-id", APP_ID]].concat());
    let (code, limits, stderr) = call(&["limits"]);
    assert_eq!((code, limits.lines().count()), (Some(0), 17), "{limits} {stderr}");
    let (code, limits, stderr) = call(&["limits", "send_message=7/1s", "query_history=unlimited"]);
    assert_eq!(code, Some(0), "{stderr}");
    let is_set = |what: &str| limits.lines().any(|line| line == what);
    assert!(is_set("call=send_message configured=180/3s limit=7/1s source=operator"), "{limits}");
    assert!(is_set("call=query_history configured=10/5s limit=unlimited source=operator"), "{limits}");
    let (code, limits, _) = call(&["limits", "send_message=configured"]);
    assert!(code == Some(0) && limits.contains("call=send_message configured=180/3s limit=180/3s source=default"));
    let (code, _, stderr) = call(&["limits", "send_message=fast"]);
    assert!(code == Some(2) && stderr.contains("send_message: \"fast\" is not a limit"), "{stderr}");
    assert_eq!(call(&["limits", "send_message"]).0, Some(2));
    for limit in ["0", "1001", "many"] {
        let (code, _, stderr) = call(&["sessions", "--limit", limit]);
        assert!(code == Some(2) && stderr.contains("--limit"), "{stderr}");
    }
    let client = rtm(&["send", "--gateway", &url, "--app-id", APP_ID, "--uid", "alice", "--to", "bob", "hi"]);
    let stderr = String::from_utf8(client.stderr).unwrap();
    assert!(client.status.code() == Some(1) && stderr.contains("400 Bad Request"), "no page of the console: {stderr}");
    let send = ["send", "bob", "hi", "--from", "alice"];
    for (more, outcome) in [(&[][..], "outcome=offline\n"), (&["--offline"], "outcome=stored\n")] {
        let (code, said, stderr) = call(&[&send[..], more].concat());
        assert_eq!((code, said.as_str()), (Some(0), outcome), "{stderr}");
    }

    assert!(call(&["ban", "alice", "--for", "1h"]).0 == Some(0) && call(&["unban", "alice"]).0 == Some(0));
    let (_, all, _) = call(&["events"]);
    assert!(all.lines().count() >= 3, "{all}");
    for (limit, count) in [("0", 0), ("1", 1), ("2", 2), ("5000", all.lines().count())] {
        let (code, some, _) = call(&["events", "--limit", limit]);
        assert_eq!((code, some.lines().count()), (Some(0), count), "{some}");
        assert!(all.starts_with(&some), "the first ones: {some}");
    }
    // It ends by itself when it has them.
    assert_eq!(call(&["events", "--follow", "--limit", "2"]).1.lines().count(), 2);
    server.signal("TERM");
    let (_, _, said) = server.end();
    assert!(
        said.contains(&format!("the admin key \"of-others\" is for the project {elsewhere}, which is not served")),
        "{said}"
    );
}

#[test]
fn a_new_key_opens_the_server_that_has_its_table() {
    let made = rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    assert!(key.starts_with("rtm_admin_") && !table.contains(key), "{made}");

    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let config = format!(
        "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"\n{table}\n[[project]]\napp_id = \"{APP_ID}\"\n"
    );
    fs::write(&file, config).unwrap();
    let mut server = Running::new(&["serve", "--log-format", "json", "--config", file.to_str().unwrap()]);
    let gateway = server.line().unwrap();
    let gateway = format!("http://{}", gateway.strip_prefix("listening on ").unwrap());
    let url = server.line().unwrap();
    let url = format!("http://{}", url.strip_prefix("admin on ").unwrap());
    let mut bob =
        Running::new(&["listen", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "bob", "--format", "json"]);
    bob.event(|event| event["state"] == "CONNECTED");

    let (code, sessions, stderr) = admin(&url, key, &["sessions", "--app-id", APP_ID]);
    assert_eq!(code, Some(0), "{stderr}");
    assert!(sessions.contains("user_id=bob") && sessions.lines().count() == 1, "{sessions}");
    let (_, user, _) = admin(&url, key, &["--format", "json", "user", "--app-id", APP_ID, "bob"]);
    let user: serde_json::Value = serde_json::from_str(&user).unwrap();
    assert_eq!(user["session"]["state"], "online");

    let (code, banned, _) = admin(&url, key, &["ban", "--app-id", APP_ID, "bob", "--for", "1h"]);
    assert!(code == Some(0) && banned.contains("banned_until="), "{banned}");
    bob.event(|event| event["state"] == "ABORTED");
    assert!(admin(&url, key, &["bans", "--app-id", APP_ID]).1.contains("user_id=bob"));
    assert_eq!(admin(&url, key, &["unban", "--app-id", APP_ID, "bob"]).1, "done=true\n");
    assert_eq!(admin(&url, key, &["log-level", "debug"]).1, "level=debug\n");
    assert_eq!(admin(&url, key, &["log-level", "debgu"]).0, Some(2));

    let (code, _, stderr) = admin(&url, "rtm_admin_no", &["server"]);
    assert!(code == Some(1) && stderr.contains("this key is not known"), "{stderr}");
    assert_eq!(admin(&url, key, &["drain"]).0, Some(0));
    let (status, _, stderr) = server.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    let lines: Vec<serde_json::Value> = stderr.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let audited = lines.iter().filter(|line| line["target"] == "rtm::audit");
    assert_eq!(
        audited.map(|line| &line["fields"]["action"]).collect::<Vec<_>>(),
        ["ban", "unban", "log_level", "drain"]
    );
    assert!(lines.iter().all(|line| line["timestamp"].as_str().unwrap().ends_with('Z')), "{stderr}");
    assert!(!stderr.contains(key), "no key in the log");
}

#[test]
fn an_empty_rtm_log_says_nothing_of_the_level() {
    let made = rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    let listen = "listen = \"127.0.0.1:0\"\n[admin]\nlisten = \"127.0.0.1:0\"";
    fs::write(&file, format!("{listen}\n{table}\n[[project]]\napp_id = \"{APP_ID}\"\n")).unwrap();
    let mut serve = command(&["serve", "--config", file.to_str().unwrap()]);
    let mut server = Running::start(serve.env("RTM_LOG", "").stderr(Stdio::null()));
    server.line().unwrap();
    let url = format!("http://{}", server.line().unwrap().strip_prefix("admin on ").unwrap());
    let (code, level, _) = admin(&url, key, &["log-level"]);
    assert!(code == Some(0) && level.contains("info"), "{level}");
}

/// A server with a key, more settings and a project, and what goes with it.
struct Steered {
    _folder: tempfile::TempDir,
    server: Running,
    gateway: String,
    url: String,
    key: String,
}

impl Steered {
    fn start(folder: tempfile::TempDir, scheme: &str, settings: &str, project: &str) -> Self {
        let made = rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]);
        let made = String::from_utf8(made.stdout).unwrap();
        let (key, table) = made.split_once("\n\n").unwrap();
        let file = folder.path().join("rtm.toml");
        let config = format!(
            "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\n{settings}\n{table}\n[[project]]\napp_id = \"{APP_ID}\"\n{project}"
        );
        fs::write(&file, config).unwrap();
        let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
        let mut address = |prefix: &str| server.line().unwrap().strip_prefix(prefix).unwrap().to_owned();
        let gateway = format!("http://{}", address("listening on "));
        let admin = address("admin on ");
        let port = admin.rsplit(':').next().unwrap();
        let url = format!("{scheme}://localhost:{port}");
        Self { _folder: folder, server, gateway, url, key: key.to_owned() }
    }

    fn admin(&self, args: &[&str]) -> (Option<i32>, String, String) {
        admin(&self.url, &self.key, args)
    }

    fn listen(&self, uid: &str, more: &[&str]) -> Running {
        let args = ["listen", "--gateway", &self.gateway, "--app-id", APP_ID, "--uid", uid];
        let mut running = Running::new(&[&args, more].concat());
        running.event(|event| event["state"] == "CONNECTED");
        running
    }
}

#[test]
fn listeners_with_tls_are_reached_with_their_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let [certificate, key, ca] = ["cert.pem", "key.pem", "junk.pem"].map(|name| folder.path().join(name));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    fs::write(&ca, "junk").unwrap();
    let [certificate, key, junk] = [certificate, key, ca].map(|path| path.to_str().unwrap().to_owned());
    let tls = |at: &str| format!("{at}.certificate = {certificate:?}\n{at}.key = {key:?}\n");
    let tls = tls("admin.tls") + &tls("tls");
    let world = Steered::start(folder, "https", &tls, "");
    let (status, text, error) = world.admin(&["server", "--ca", &certificate]);
    assert!(status == Some(0) && text.contains("ready=true"), "{text}{error}");
    let (status, text, error) = world.admin(&["top", "--once", "--ca", &certificate]);
    assert!(status == Some(0) && text.contains(APP_ID), "{text}{error}");
    let (status, _, error) = world.admin(&["server"]);
    assert!(status == Some(1) && error.contains("--ca"), "{error}");
    for wire in ["native", "vendor"] {
        let gateway = world.gateway.replace("http:", "https:");
        let send = ["send", "--gateway", &gateway, "--wire", wire, "--app-id", APP_ID, "--uid", "alice"];
        let output = rtm(&[&send[..], &["--to", "bob", "hi"]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        assert!(output.status.code() == Some(1) && error.contains("--ca FILE names a certificate"), "{error}");
    }
    let (status, _, error) = world.admin(&["server", "--ca", &junk]);
    assert!(status == Some(1) && error.contains("junk.pem"), "{error}");
    let (status, _, error) = admin(&world.url.replace("https", "http"), &world.key, &["server"]);
    assert!(status == Some(1) && error.contains("http://localhost") && error.contains("write https://"), "{error}");
    let (status, _, error) = admin("ftp://localhost", &world.key, &["server"]);
    assert!(status == Some(2) && error.contains("http://127.0.0.1:8090"), "{error}");
}

#[test]
fn whether_a_server_is_ready_is_told_without_a_key_by_the_status() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "drain_delay = \"60s\"", "");
    let ready = |url: &str, more: &[&str]| {
        let output = rtm(&[&["admin", "ready", "--url", url], more].concat());
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    assert_eq!(ready(&world.url, &[]), (Some(0), "ready\n".to_owned(), String::new()));
    // The listener of clients says it too.
    assert_eq!(ready(&world.gateway, &[]).0, Some(0));
    assert_eq!(world.admin(&["drain"]).0, Some(0));
    let (status, text, error) = ready(&world.url, &["--format", "json"]);
    assert_eq!((status, text.as_str()), (Some(1), "{\"ready\":false,\"reasons\":[\"draining\"]}\n"), "{error}");
    assert_eq!(error, "rtm: the server is not ready: draining\n");
    let (status, text, error) = ready("http://127.0.0.1:1", &[]);
    assert!(status == Some(1) && text.is_empty() && error.contains("http://127.0.0.1:1"), "{error}");
    // Everything else needs a key.
    let output = rtm(&["admin", "server", "--url", &world.url]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.code() == Some(2) && error.contains("no key: use --key or RTM_ADMIN_KEY"), "{error}");
}

#[test]
fn top_is_one_command_under_two_names() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    let _bob = world.listen("bob", &[]);
    let (status, picture, error) = world.admin(&["top", "--once"]);
    assert!(status == Some(0) && picture.contains("bob") && picture.contains("sessions 1"), "{picture}{error}");
    let (status, _, error) = world.admin(&["top", "--once", "--format", "json"]);
    assert!(status == Some(2) && error.contains("--format"), "{error}");
    // The port of clients answers in HTTP too, and not as this one does.
    let output = rtm(&["top", "--once", "--url", &world.gateway, "--key", &world.key]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.ends_with("is not the admin listener of a server: it answers 404 Not Found\n"), "{error}");
    let output = rtm(&["top", "--once", "--url", &world.url, "--key", &world.key]);
    let same = String::from_utf8(output.stdout).unwrap();
    let heads = |text: &str| -> Vec<Option<String>> {
        text.lines().map(|line| line.split_whitespace().next().map(str::to_owned)).collect()
    };
    assert_eq!((output.status.code(), heads(&same)), (Some(0), heads(&picture)), "{same}");
    assert!(!same.contains('\u{1b}'), "{same}");
    let column = |line: &str| picture.lines().find(|text| text.contains(line)).and_then(|text| text.find(line));
    assert_eq!(column("USER"), column("bob"), "{picture}");
}

#[test]
fn a_token_that_is_refused_is_a_failure() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    let (status, text, error) = world.admin(&["explain-token", "--app-id", APP_ID, "006nonsense"]);
    assert!(status == Some(1) && text.contains("verdict=refused") && error.contains("refuses"), "{text}{error}");
}

#[test]
fn https_to_a_listener_without_tls_is_told_so() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    for args in [&["admin", "server"][..], &["top", "--once"], &["admin", "ready"]] {
        let url = world.url.replace("http://", "https://");
        let output = rtm(&[args, &["--url", &url, "--key", &world.key]].concat());
        let error = String::from_utf8(output.stderr).unwrap();
        let hint = format!("{url} does not speak TLS: write http:// in place of https://");
        assert!(output.status.code() == Some(1) && error.contains(&hint), "{error}");
    }
}

#[test]
fn the_project_stands_before_the_call_or_behind_it() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    let unknown = "fedcba9876543210fedcba9876543210";
    for args in
        [["--app-id", APP_ID, "kick", "bob"], ["kick", "--app-id", APP_ID, "bob"], ["kick", "bob", "--app-id", APP_ID]]
    {
        let mut bob = world.listen("bob", &[]);
        assert_eq!(world.admin(&args), (Some(0), "done=true\n".to_owned(), String::new()), "{args:?}");
        bob.event(|event| event["state"] == "ABORTED");
    }
    for args in [&["top", "--once"][..], &["events", "--limit", "1"]] {
        let (status, text, error) = world.admin(&[&["--app-id", APP_ID], args].concat());
        assert!(status == Some(0) && !text.is_empty(), "{args:?}: {error}");
        assert_eq!(world.admin(&[&["--app-id", unknown], args].concat()).0, Some(1), "{args:?}");
    }
    let (status, _, error) = world.admin(&["kick", "bob"]);
    assert!(status == Some(2) && error.contains("no project: use --app-id or RTM_APP_ID"), "{error}");
    let (status, _, error) = world.admin(&["audit", "--app-id", APP_ID]);
    assert!(status == Some(2) && error.contains("leave out --app-id"), "{error}");
    let of_environment = |app_id: &str| {
        let args = ["admin", "stored", "bob", "--url", &world.url, "--key", &world.key];
        command(&args).env("RTM_APP_ID", app_id).output().unwrap().status.code()
    };
    assert_eq!([APP_ID, unknown, "mistyped"].map(of_environment), [Some(0), Some(1), Some(2)]);
    for call in [&["admin"][..], &["admin", "kick"], &["admin", "events"]] {
        let help = String::from_utf8(rtm(&[call, &["--help"]].concat()).stdout).unwrap();
        assert!(help.contains("--app-id <APPID>") && help.contains("before the call or behind it"), "{help}");
    }
}

#[test]
fn what_the_file_says_of_all_projects_holds_for_those_of_flags() {
    let folder = tempfile::tempdir().unwrap();
    let made = rtm(&["admin", "new-key", "--name", "root", "--role", "admin"]);
    let made = String::from_utf8(made.stdout).unwrap();
    let (key, table) = made.split_once("\n\n").unwrap();
    let file = folder.path().join("rtm.toml");
    let settings =
        "listen = \"127.0.0.1:0\"\nadmin.listen = \"127.0.0.1:0\"\nevents.enabled = false\nrest.tokens_may = []\n";
    fs::write(&file, format!("{settings}{table}")).unwrap();
    let mut server = Running::new(&["serve", "--config", file.to_str().unwrap(), "--project", APP_ID]);
    let mut address = |prefix: &str| server.line().unwrap().strip_prefix(prefix).unwrap().to_owned();
    let _ = address("listening on ");
    let url = format!("http://{}", address("admin on "));
    // With a log, the start of the server stands in it.
    let (status, text, error) = admin(&url, key, &["events", "--app-id", APP_ID]);
    assert_eq!((status, text.as_str()), (Some(0), ""), "{error}");
    let (status, text, error) = admin(&url, key, &["config", "--set"]);
    assert_eq!(status, Some(0), "{error}");
    let is_from = |key: &str, source: &str| text.lines().any(|line| line.contains(key) && line.contains(source));
    assert!(is_from("key=events.enabled ", "source=file value=false"), "{text}");
    assert!(is_from("project[0].app_id", "source=flag"), "{text}");
}

#[test]
fn a_revocation_that_is_taken_back_is_answered_in_words() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    let revoke = ["revoke-tokens", "--app-id", APP_ID, "alice"];
    let (status, text, error) = world.admin(&revoke);
    assert!(status == Some(0) && text.starts_with("tokens_revoked_before=20"), "{text}{error}");
    let (status, text, error) = world.admin(&[&revoke[..], &["--issued-before", "9999-01-01T00:00:00Z"]].concat());
    assert!(status == Some(2) && text.is_empty() && error.contains("in the future"), "{text}{error}");
    let undone = world.admin(&[&revoke[..], &["--issued-before", "1970-01-01T00:00:00Z"]].concat());
    assert_eq!(undone, (Some(0), "tokens_revoked_before=none\n".to_owned(), String::new()));
}

#[test]
fn top_of_a_project_that_is_not_there_fails() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    let unknown = "fedcba9876543210fedcba9876543210";
    let (status, picture, error) = world.admin(&["top", "--once", "--app-id", unknown]);
    assert_eq!((status, picture.as_str()), (Some(1), ""), "{error}");
    assert!(error.contains(&format!("there is no project {unknown} at {}", world.url)), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    assert_eq!(world.admin(&["top", "--once", "--app-id", APP_ID]).0, Some(0));
}

#[test]
fn what_one_user_does_is_printed_as_it_happens() {
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", "");
    let carol = world.listen("carol", &["--channel", "before"]);
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let before = loop {
        let (status, text, error) = world.admin(&["events", "--app-id", APP_ID, "--channel", "before"]);
        assert_eq!(status, Some(0), "{error}");
        if text.contains("channel.occupied channel_id=before") {
            break text;
        }
        assert!(std::time::Instant::now() < deadline, "{text}");
    };
    assert!(before.lines().all(|line| line.contains("channel_id=before")), "{before}");
    drop(carol);
    let args = ["admin", "tap", "--url", &world.url, "--key", &world.key, "--app-id", APP_ID, "--format", "json"];
    let mut of_alice = Running::new(&[&args[..], &["--user", "alice"]].concat());
    let mut of_room = Running::new(&[&args[..], &["--channel", "room", "--types", "channel.*"]].concat());
    let next = |tap: &mut Running| -> serde_json::Value { serde_json::from_str(&tap.line().unwrap()).unwrap() };
    // Which of what follows they see first depends on when they have begun: so somebody comes and goes until they have.
    let (done, is_done) = std::sync::mpsc::channel();
    let reader = std::thread::spawn(move || {
        let first = next(&mut of_alice);
        let in_room = next(&mut of_room);
        done.send(()).unwrap();
        (first, in_room)
    });
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while is_done.try_recv().is_err() {
        assert!(std::time::Instant::now() < deadline, "nothing is printed");
        let _bob = world.listen("bob", &["--channel", "other"]);
        let _alice = world.listen("alice", &["--channel", "room"]);
    }
    let (first, in_room) = reader.join().unwrap();
    assert_eq!(first["data"]["user_id"], "alice", "{first}");
    assert_eq!(in_room["data"]["channel_id"], "room", "{in_room}");
    let (_, text, _) = world.admin(&["events", "--app-id", APP_ID, "--channel", "before"]);
    assert!(text.starts_with(&before) && !text.contains("room"), "{text}");
    let (status, _, error) = world.admin(&["tap", "--app-id", APP_ID]);
    assert!(status == Some(2) && error.contains("--user"), "{error}");
}

#[test]
fn a_webhook_is_seen_and_tried_out() {
    let receiver = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = receiver.local_addr().unwrap();
    // It takes what it gets first, and then nothing.
    let answers = std::thread::spawn(move || {
        for status in ["204 No Content", "500 Internal Server Error"] {
            let (mut stream, _) = receiver.accept().unwrap();
            let mut request = Vec::new();
            let mut part = [0; 4096];
            while !String::from_utf8_lossy(&request).contains("webhook.test") {
                let read = stream.read(&mut part).unwrap();
                assert!(read > 0);
                request.extend_from_slice(&part[..read]);
            }
            write!(stream, "HTTP/1.1 {status}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
        }
    });
    let webhook = format!(
        "[[project.webhook]]\nname = \"billing\"\nurl = \"http://{address}/\"\nallow_private = true\n\
         types = [\"user.banned\"]\nsecrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\n"
    );
    let world = Steered::start(tempfile::tempdir().unwrap(), "http", "", &webhook);
    let call = |args: &[&str]| world.admin(&[args, &["--app-id", APP_ID]].concat());
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    let (status, text, error) = loop {
        let listed = call(&["webhooks"]);
        if !listed.1.contains("state=elsewhere") || std::time::Instant::now() > deadline {
            break listed;
        }
    };
    assert_eq!(status, Some(0), "{error}");
    for part in ["name=billing", "state=working", "pending=0", "lag_ms=0"] {
        assert!(text.contains(part), "{text}");
    }
    let (status, text, error) = call(&["test-webhook", "billing"]);
    assert!(status == Some(0) && text.contains("taken=true"), "{text}{error}");
    let (status, text, error) = call(&["test-webhook", "billing"]);
    assert!(status == Some(1) && text.contains("500") && error.contains("did not take"), "{text}{error}");
    answers.join().unwrap();
    let (status, text, error) = call(&["replay-webhook", "billing", "--since", "2026-01-01T00:00:00Z"]);
    assert!(status == Some(0) && text.contains("after="), "{text}{error}");
    let (status, text, error) = call(&["enable-webhook", "billing"]);
    assert!(status == Some(0) && text.contains("done=false"), "{text}{error}");
    let (status, text, error) = call(&["webhook-attempts", "billing"]);
    let statuses: Vec<_> = text.lines().map(|line| line.contains("first=0") && line.contains("status=204")).collect();
    assert!(status == Some(0) && statuses == [false, true], "both tests, newest first: {text}{error}");
    let (status, text, error) = call(&["pause-webhook", "billing"]);
    assert!(status == Some(0) && text.contains("done=true"), "{text}{error}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !call(&["webhooks"]).1.contains("state=paused") {
        assert!(std::time::Instant::now() < deadline, "it is not paused");
    }
    let (status, text, error) = call(&["enable-webhook", "billing"]);
    assert!(status == Some(0) && text.contains("done=true"), "{text}{error}");
    let (status, text, error) = world.admin(&["config", "--set"]);
    assert_eq!(status, Some(0), "{error}");
    assert!(text.lines().any(|line| line.contains("webhook[0].url") && line.contains("source=file")), "{text}");
    let (status, text, error) = world.admin(&["certificates"]);
    assert!(status == Some(0) && text.is_empty(), "{text}{error}");
    let (status, text, error) = call(&["delete-stored", "alice"]);
    assert!(status == Some(0) && text.contains("stored_messages=0"), "{text}{error}");
    let (status, _, error) = call(&["test-webhook", "other"]);
    assert!(status == Some(1) && error.contains("no webhook \"other\""), "{error}");
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("action=\"test_webhook\"") || log.contains("test_webhook"), "{log}");
}
