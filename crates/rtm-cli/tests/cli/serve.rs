//! `rtm serve`, from outside: its first line, its end, its configuration.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{TcpListener, TcpStream},
    process::Stdio,
    time::{Duration, Instant},
};

use crate::support::{APP_ID, CERTIFICATE, Running, SECURE_APP_ID, Server, command, rtm};

fn stderr_of(args: &[&str]) -> (Option<i32>, String) {
    let output = rtm(&[&["serve"], args].concat());
    assert!(output.stdout.is_empty(), "{output:?}");
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn it_says_where_it_listens_and_ends_well_on_both_signals() {
    for signal in ["INT", "TERM"] {
        let server = Server::start(&[]);
        let mut bob = server.listener("bob", &[]);
        server.running.signal(signal);
        let (status, stdout, stderr) = server.running.end();
        assert_eq!(status.code(), Some(0), "{stderr}");
        assert_eq!(stdout, "", "one line and no more");
        // Sent away, not logged out: it goes on trying to come back.
        bob.event(|event| event["state"] == "RECONNECTING" && event["reason"] == "INTERRUPTED");
        bob.signal("INT");
        assert_eq!(bob.end().0.code(), Some(0));
    }
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    // It would go on accepting for an hour.
    let config = format!("listen = \"127.0.0.1:0\"\ndrain_delay = \"1h\"\n[[project]]\napp_id = \"{APP_ID}\"\n");
    fs::write(&file, config).unwrap();
    let mut running = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    let address = running.line().unwrap().strip_prefix("listening on ").unwrap().to_owned();
    running.signal("TERM");
    let ready = || {
        let mut stream = TcpStream::connect(&address).unwrap();
        write!(stream, "GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        answer
    };
    let deadline = Instant::now() + Duration::from_secs(20);
    while !ready().starts_with("HTTP/1.1 503") {
        assert!(Instant::now() < deadline, "it does not say that it goes down");
    }
    running.signal("TERM");
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("stopped by a second signal"), "{stderr}");
}

#[test]
fn a_signal_ends_it_also_while_its_configuration_cannot_be_read() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("rtm.toml");
    fs::write(&file, format!("listen = \"127.0.0.1:0\"\n[[project]]\napp_id = \"{APP_ID}\"\n")).unwrap();
    let mut running = Running::new(&["serve", "--config", file.to_str().unwrap()]);
    running.line().unwrap();
    fs::remove_file(&file).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&file).status().unwrap().success());
    running.signal("HUP");
    // This opens when the server has opened it too, which then waits for what is never written.
    let written = fs::File::options().write(true).open(&file).unwrap();
    running.signal("TERM");
    let (status, _, stderr) = running.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    drop(written);
}

#[test]
fn the_end_of_its_terminal_is_not_its_end() {
    let server = Server::start(&[]);
    let mut bob = server.listener("bob", &[]);
    server.running.signal("HUP");
    let sent = rtm(&[&["send"], &server.user("alice")[..], &["--to", "bob", "still there"]].concat());
    assert!(sent.status.success(), "{sent:?}");
    bob.event(|event| event["type"] == "MessageFromPeer");
    server.running.signal("TERM");
    let (status, _, stderr) = server.running.end();
    assert_eq!(status.code(), Some(0), "{stderr}");
    assert!(stderr.contains("the configuration is loaded anew: nothing has changed"), "{stderr}");
}

#[test]
fn it_has_as_many_descriptors_as_the_system_allows() {
    let mut child = std::process::Command::new("sh")
        .args(["-c", "ulimit -Sn 64; exec \"$@\"", "sh", env!("CARGO_BIN_EXE_rtm"), "serve"])
        .args(["--listen", "127.0.0.1:0", "--project", APP_ID])
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let limits = fs::read_to_string(format!("/proc/{}/limits", child.id())).unwrap();
    let words: Vec<_> =
        limits.lines().find(|line| line.starts_with("Max open files")).unwrap().split_whitespace().collect();
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(line.starts_with("listening"), "{line}");
    assert_eq!(words[3], words[4], "the soft limit is not the hard one");
}

#[test]
fn a_log_that_cannot_be_written_ends_nothing() {
    let full = fs::File::options().write(true).open("/dev/full").unwrap();
    let mut child = command(&["serve", "--listen", "127.0.0.1:0", "--project", APP_ID])
        .stdout(Stdio::piped())
        .stderr(full)
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().strip_prefix("listening on ").unwrap().to_owned();
    let mut asking = TcpStream::connect(&address).unwrap();
    write!(asking, "GET /healthz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let killed = std::process::Command::new("kill").args(["-s", "TERM", &child.id().to_string()]).status().unwrap();
    assert!(killed.success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}

#[test]
fn one_port_serves_both_families_of_addresses() {
    let Ok(free) = TcpListener::bind("[::1]:0") else { return };
    let port = free.local_addr().unwrap().port();
    drop(free);
    let listen = [format!("0.0.0.0:{port}"), format!("[::]:{port}")];
    for [first, second] in [[&listen[0], &listen[1]], [&listen[1], &listen[0]]] {
        let mut server = Running::new(&["serve", "--listen", first, "--listen", second, "--project", APP_ID]);
        assert_eq!(server.line().unwrap(), format!("listening on {first}"));
        assert_eq!(server.line().unwrap(), format!("listening on {second}"));
        for host in ["127.0.0.1", "::1"] {
            TcpStream::connect((host, port)).unwrap();
        }
        server.signal("TERM");
        server.end();
        let flags = ["serve", "--listen", first, "--admin", second, "--project", APP_ID];
        assert!(rtm(&[&flags[..], &["--check-config"]].concat()).status.success());
        let mut server = Running::new(&flags);
        assert_eq!(server.line().unwrap(), format!("listening on {first}"), "what is valid can start");
        assert_eq!(server.line().unwrap(), format!("admin on {second}"));
        server.signal("TERM");
        server.end();
    }
}

#[test]
fn without_limits_a_user_calls_as_often_as_it_likes() {
    let server = Server::start(&["--no-limits"]);
    let load = ["bench", "peers", "--messages", "400", "--gateway", &server.gateway, "--app-id", APP_ID];
    let output = rtm(&load);
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
}

#[test]
fn without_a_data_directory_it_says_that_nothing_is_kept() {
    let server = Server::start(&[]);
    server.running.signal("TERM");
    let (_, _, stderr) = server.running.end();
    assert!(stderr.contains("--data-dir"), "{stderr}");
}

#[test]
fn with_a_data_directory_a_stored_message_outlives_the_server() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    let server = Server::start(&["--data-dir", path]);
    let sent = rtm(&[&["send"], &server.user("alice")[..], &["--offline", "--to", "bob", "kept"]].concat());
    assert!(sent.status.success(), "{sent:?}");
    server.running.signal("TERM");
    let (status, _, stderr) = server.running.end();
    assert!(status.success(), "{stderr}");
    assert!(!stderr.contains("--data-dir"), "{stderr}");

    let server = Server::start(&["--data-dir", path]);
    let mut bob = server.listener("bob", &[]);
    let event = bob.event(|event| event["type"] == "MessageFromPeer");
    assert_eq!(event["message"]["text"], "kept");
}

#[test]
fn an_address_in_use_is_said_with_exit_status_1_and_no_project_with_2() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, stderr) = stderr_of(&["--listen", &address, "--project", APP_ID]);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.contains(&address), "{stderr}");

    let (code, stderr) = stderr_of(&["--listen", "127.0.0.1:0"]);
    assert_eq!(code, Some(2), "{stderr}");
    assert!(stderr.contains("--project"), "{stderr}");
}

#[test]
fn a_bad_flag_is_named_with_exit_status_2_and_shows_no_certificate() {
    let short = format!("{SECURE_APP_ID}:secret");
    for (args, names) in [
        (["--project", "short"], "app id"),
        (["--project", &short], "32 characters"),
        (["--listen", "nowhere"], "nowhere"),
        (["--advertise", "host"], "HOST:PORT"),
    ] {
        let (code, stderr) = stderr_of(&args);
        assert_eq!(code, Some(2), "{args:?}: {stderr}");
        assert!(stderr.contains(names), "{args:?}: {stderr}");
    }
}

#[test]
fn a_configuration_file_is_checked_and_its_faults_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtm.toml");
    let file = path.to_str().unwrap();
    let check = |text: &str| {
        fs::write(&path, text).unwrap();
        let output = rtm(&["serve", "--check-config", "--config", file]);
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (output.status.code(), text(output.stdout), text(output.stderr))
    };
    let project = format!("[[project]]\napp_id = \"{APP_ID}\"\n");

    let (code, stdout, stderr) = check(&format!("listen = \"127.0.0.1:0\"\n{project}"));
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(0), "the configuration is valid\n", ""));

    for (text, names) in [
        (format!("lisden = \"127.0.0.1:0\"\n{project}"), "lisden"),
        (format!("{project}limits = {{ send_message = \"often\" }}\n"), "send_message"),
        (format!("{project}certificates = [\"short\"]\n"), "certificates"),
        (format!("{project}certificates = []\n"), "the list is empty"),
        (format!("{project}{project}"), "two projects"),
        ("listen = ".to_owned(), "line 1"),
        (String::new(), "has no project"),
        (format!("data_dir = \"{file}\"\n{}", project.replace("[[", "[").replace("]]", "]")), "write [[project]]"),
    ] {
        let (code, stdout, stderr) = check(&text);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{text}: {stderr}");
        assert!(stderr.contains(file) || names == "two projects", "{text}: {stderr}");
        assert!(stderr.contains(names), "{text}: {stderr}");
    }

    let good = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let other = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let file_of = |name: &str, text: &str| {
        fs::write(directory.path().join(name), text).unwrap();
    };
    file_of("good.pem", &good.cert.pem());
    file_of("good.key", &good.signing_key.serialize_pem());
    file_of("other.key", &other.signing_key.serialize_pem());
    file_of("empty.pem", "");
    let tls = |certificate: &str, key: &str| {
        let at = |name| directory.path().join(name).display().to_string();
        check(&format!("tls = {{ certificate = \"{}\", key = \"{}\" }}\n{project}", at(certificate), at(key)))
    };
    assert_eq!(tls("good.pem", "good.key"), (Some(0), "the configuration is valid\n".into(), String::new()));
    // What `openssl req -x509` makes: the certificate of an authority, which clients refuse for a server.
    let key = rcgen::KeyPair::generate().unwrap();
    let mut authority = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    file_of("authority.pem", &authority.self_signed(&key).unwrap().pem());
    file_of("authority.key", &key.serialize_pem());
    let (code, stdout, stderr) = tls("authority.pem", "authority.key");
    assert_eq!((code, stdout.as_str()), (Some(0), "the configuration is valid\n"));
    assert!(stderr.contains("authority.pem") && stderr.contains("CA:FALSE"), "{stderr}");
    let checked = rtm(&["config", "check", file]);
    let stderr = String::from_utf8(checked.stderr).unwrap();
    assert!(checked.status.success() && stderr.contains("CA:FALSE"), "the same is said of the file alone: {stderr}");
    for (certificate, key, names) in [
        ("missing.pem", "good.key", "missing.pem"),
        ("empty.pem", "good.key", "empty.pem"),
        ("good.pem", "missing.key", "missing.key"),
        ("good.pem", "good.pem", "good.pem"),
        ("good.pem", "other.key", "other.key"),
    ] {
        let (code, stdout, stderr) = tls(certificate, key);
        assert_eq!((code, stdout.as_str()), (Some(1), ""), "{certificate}, {key}: {stderr}");
        assert!(stderr.contains(names), "{certificate}, {key}: {stderr}");
    }

    let (code, stderr) = stderr_of(&["--check-config", "--config", "/nowhere/rtm.toml"]);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("/nowhere/rtm.toml"), "{stderr}");
}

#[test]
fn flags_come_before_the_file_and_the_file_before_the_defaults() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtm.toml");
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    fs::write(&path, format!("listen = \"{address}\"\n[[project]]\napp_id = \"{APP_ID}\"\n")).unwrap();
    let file = path.to_str().unwrap();

    let (code, stderr) = stderr_of(&["--config", file]);
    assert_eq!(code, Some(1), "the file's address is in use: {stderr}");

    let mut server = Running::new(&["serve", "--config", file, "--listen", "127.0.0.1:0"]);
    let line = server.line().unwrap();
    let gateway = format!("http://{}", line.strip_prefix("listening on ").unwrap());
    let sent = rtm(&["send", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "a", "--to", "b", "hi"]);
    assert!(sent.status.success(), "the file's project is served: {sent:?}");
}

#[test]
fn a_project_of_the_file_takes_the_certificates_of_the_flags() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtm.toml");
    fs::write(&path, format!("listen = \"127.0.0.1:0\"\n[[project]]\napp_id = \"{APP_ID}\"\n")).unwrap();
    let old = format!("{APP_ID}:{}", "0".repeat(32));
    let new = format!("{APP_ID}:{CERTIFICATE}");
    let mut server = Running::new(&["serve", "--config", path.to_str().unwrap(), "--project", &old, "--project", &new]);
    let line = server.line().unwrap();
    let gateway = format!("http://{}", line.strip_prefix("listening on ").unwrap());
    let send = |token: &[&str]| {
        rtm(&[&["send", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "a", "--to", "b", "hi"], token].concat())
    };
    assert_eq!(send(&[]).status.code(), Some(1));
    for certificate in [CERTIFICATE, &"0".repeat(32)] {
        let made = rtm(&["token", "--app-id", APP_ID, "--certificate", certificate, "--uid", "a"]);
        let token = String::from_utf8(made.stdout).unwrap();
        let sent = send(&["--token", token.trim()]);
        assert!(sent.status.success(), "{sent:?}");
    }
}

#[test]
fn a_flag_does_not_open_a_project_that_the_file_protects() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtm.toml");
    fs::write(&path, format!("[[project]]\napp_id = \"{APP_ID}\"\ncertificates = \"{CERTIFICATE}\"\n")).unwrap();
    let serve = |project: &str| {
        let args = ["serve", "--listen", "127.0.0.1:0", "--config", path.to_str().unwrap(), "--check-config"];
        rtm(&[&args[..], &["--project", project]].concat())
    };
    let output = serve(APP_ID);
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("--project {APP_ID} would open a project")), "{said}");
    assert!(serve(&format!("{APP_ID}:{}", "0".repeat(32))).status.success());
    assert!(serve(&"f".repeat(32)).status.success(), "another project may be open");
}
