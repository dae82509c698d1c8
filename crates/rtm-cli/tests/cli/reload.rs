//! A server that reads its configuration again: on SIGHUP, and asked by `rtm admin reload`.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpStream,
    path::PathBuf,
    time::{Duration, Instant},
};

use rtm_server::{AdminKey, AdminRole};

use crate::support::{APP_ID, Running, SECURE_APP_ID, command, rtm};

const ADMIN_KEY: &str = "rtm_admin_of_these_tests";

/// A server with a file that is changed while it runs.
struct World {
    folder: tempfile::TempDir,
    server: Running,
    gateway: String,
    admin: String,
}

/// What a file of these tests begins with.
fn head(key: &str) -> String {
    let hash = AdminKey::new("root", AdminRole::Admin, key).sha256_hex();
    format!(
        "listen = \"127.0.0.1:0\"\nmax_connections = 100\n[admin]\nlisten = \"127.0.0.1:0\"\n\
         [[admin.key]]\nname = \"root\"\nrole = \"admin\"\nsha256 = \"{hash}\"\n"
    )
}

fn project(app_id: &str, more: &str) -> String {
    format!("[[project]]\napp_id = \"{app_id}\"\n{more}\n")
}

impl World {
    fn start(text: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rtm.toml");
        fs::write(&file, text).unwrap();
        let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
        let address = |line: Option<String>, before| line.unwrap().strip_prefix(before).unwrap().to_owned();
        let gateway = format!("http://{}", address(server.line(), "listening on "));
        let admin = address(server.line(), "admin on ");
        Self { folder, server, gateway, admin }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("rtm.toml")
    }

    fn write(&self, text: &str) {
        fs::write(self.file(), text).unwrap();
    }

    /// Has the admin API reload. Says how that ended, and what was printed.
    fn reload(&self, key: &str) -> (Option<i32>, String) {
        let url = format!("http://{}", self.admin);
        let mut command = command(&["admin", "--format", "json", "reload"]);
        let output = command.env("RTM_ADMIN_URL", url).env("RTM_ADMIN_KEY", key).output().unwrap();
        let text = if output.status.success() { output.stdout } else { output.stderr };
        (output.status.code(), String::from_utf8(text).unwrap())
    }

    fn metric(&self, name: &str) -> f64 {
        let mut stream = TcpStream::connect(&self.admin).unwrap();
        write!(stream, "GET /metrics HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", self.admin).unwrap();
        let mut page = String::new();
        stream.read_to_string(&mut page).unwrap();
        let line = page.lines().find(|line| line.starts_with(&format!("{name} "))).expect("the metric");
        line.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Reloads by SIGHUP, and waits until that is over.
    fn hang_up(&self) {
        let before = (self.metric(SUCCESSFUL), self.metric(SUCCEEDED));
        self.server.signal("HUP");
        let deadline = Instant::now() + Duration::from_secs(20);
        while (self.metric(SUCCESSFUL), self.metric(SUCCEEDED)) == before {
            assert!(Instant::now() < deadline, "nothing comes of SIGHUP");
        }
    }

    fn user<'a>(&'a self, app_id: &'a str, uid: &'a str) -> [&'a str; 6] {
        ["--gateway", &self.gateway, "--app-id", app_id, "--uid", uid]
    }

    fn can_log_in(&self, app_id: &str) -> bool {
        rtm(&[&["send"], &self.user(app_id, "caller")[..], &["--to", "nobody", "hi"]].concat()).status.code() != Some(1)
    }
}

const SUCCESSFUL: &str = "rtm_config_last_reload_successful";
const SUCCEEDED: &str = "rtm_config_last_reload_success_timestamp_seconds";

#[test]
fn a_reload_adds_and_removes_projects_and_sessions_stay() {
    let world = World::start(&(head(ADMIN_KEY) + &project(APP_ID, "")));
    let mut bob = Running::new(&[&["listen"], &world.user(APP_ID, "bob")[..]].concat());
    bob.event(|event| event["state"] == "CONNECTED");
    assert!(!world.can_log_in(SECURE_APP_ID));

    world.write(&(head(ADMIN_KEY) + &project(APP_ID, "") + &project(SECURE_APP_ID, "")));
    world.hang_up();
    assert!(world.can_log_in(SECURE_APP_ID));
    let sent = rtm(&[&["send"], &world.user(APP_ID, "alice")[..], &["--to", "bob", "here"]].concat());
    assert!(sent.status.success(), "{sent:?}");
    bob.event(|event| event["type"] == "MessageFromPeer");

    let mut carol = Running::new(&[&["listen"], &world.user(SECURE_APP_ID, "carol")[..]].concat());
    carol.event(|event| event["state"] == "CONNECTED");
    world.write(&(head(ADMIN_KEY) + &project(APP_ID, "limits = { send_message = \"1/1h\" }")));
    let (code, printed) = world.reload(ADMIN_KEY);
    assert_eq!(code, Some(0), "{printed}");
    let changed = format!("[\"project[{APP_ID}].limits.send_message\",\"project[{SECURE_APP_ID}]\"]");
    assert!(printed.contains(&format!("\"changed\":{changed},\"needs_restart\":[]")), "{printed}");
    carol.event(|event| event["state"] == "RECONNECTING");
    let (status, _, _) = carol.end();
    assert_eq!(status.code(), Some(1), "its project is not served any more");
    assert!(!world.can_log_in(SECURE_APP_ID));

    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("the configuration is loaded anew, with another project[fedcba98"), "{log}");
}

#[test]
fn a_bad_file_changes_nothing_and_its_fault_is_logged() {
    let world = World::start(&(head(ADMIN_KEY) + &project(APP_ID, "")));
    let succeeded = world.metric(SUCCEEDED);
    assert_eq!(world.metric(SUCCESSFUL), 1.0);
    // The first project is good; nothing of it may be taken.
    world.write(&(head(ADMIN_KEY) + &project(SECURE_APP_ID, "") + &project(APP_ID, "limits = { login = \"often\" }")));
    world.hang_up();
    assert_eq!((world.metric(SUCCESSFUL), world.metric(SUCCEEDED)), (0.0, succeeded));
    assert!(!world.can_log_in(SECURE_APP_ID) && world.can_log_in(APP_ID));
    let (code, said) = world.reload(ADMIN_KEY);
    assert!(code == Some(1) && said.contains("project[1].limits.login"), "{said}");
    // TLS files that cannot be read keep the rest back too, also where they are of use from the next start on.
    let tls = "[tls]\ncertificate = \"/nowhere.pem\"\nkey = \"/nowhere.pem\"\n";
    world.write(&(head(ADMIN_KEY) + tls + &project(SECURE_APP_ID, "")));
    let (code, said) = world.reload(ADMIN_KEY);
    assert!(code == Some(1) && said.contains("/nowhere.pem"), "{said}");
    assert!(world.can_log_in(APP_ID));
    fs::remove_file(world.file()).unwrap();
    assert_eq!(world.reload(ADMIN_KEY).0, Some(1));
    world.write(&(head(ADMIN_KEY) + &project(APP_ID, "")));
    let (code, said) = world.reload(ADMIN_KEY);
    assert!(code == Some(0) && said.contains("\"changed\":[]"), "{said}");
    assert_eq!(world.metric(SUCCESSFUL), 1.0);
    assert!(world.metric(SUCCEEDED) > succeeded);
    let reloads =
        |result: &str| world.metric(&format!("rtm_admin_actions_total{{action=\"reload\",result=\"{result}\"}}"));
    assert_eq!(["done", "refused", "failed"].map(reloads), [1.0, 3.0, 0.0], "what changed nothing was not done");
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("nothing has changed: ") && log.contains("is not a limit"), "{log}");
}

#[test]
fn what_needs_a_restart_is_named_and_left() {
    let world = World::start(&(head(ADMIN_KEY) + &project(APP_ID, "")));
    let changed = head(ADMIN_KEY)
        .replace("listen = \"127.0.0.1:0\"\nmax", "listen = \"127.0.0.1:1\"\ndata_dir = \"/nowhere\"\nmax")
        .replace("= 100", "= 50");
    world.write(&(changed + &project(APP_ID, "")));
    let (_, said) = world.reload(ADMIN_KEY);
    assert!(said.contains(r#""changed":["max_connections"],"needs_restart":["data_dir","listen"]"#), "{said}");
    assert_eq!(world.metric("rtm_connections_limit"), 50.0);
    assert!(world.can_log_in(APP_ID));
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("has to be restarted for another data_dir, listen"), "{log}");
}

#[test]
fn keys_are_replaced_and_never_logged() {
    let world = World::start(&(head(ADMIN_KEY) + &project(APP_ID, "")));
    world.write(&(head("rtm_admin_another") + &project(APP_ID, "certificates = \"5CFd2fd1755d40ecb72977518be15d3b\"")));
    let (_, said) = world.reload(ADMIN_KEY);
    assert!(said.contains("admin.key[0].sha256") && said.contains("certificates"), "{said}");
    assert_eq!(world.reload(ADMIN_KEY).0, Some(1), "the old key is gone");
    assert_eq!(world.reload("rtm_admin_another").0, Some(0));
    assert!(!world.can_log_in(APP_ID), "a token is needed now");
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(!log.contains("5CFd2fd1755d40ecb72977518be15d3b") && !log.contains("rtm_admin_another"), "{log}");
}

#[test]
fn the_level_of_the_log_follows_the_file() {
    let with = |level: &str| {
        head(ADMIN_KEY) + &format!("[log]\nformat = \"json\"\nlevel = \"{level}\"\n") + &project(APP_ID, "")
    };
    let world = World::start(&with("warn"));
    world.write(&with("info"));
    assert_eq!(world.reload(ADMIN_KEY).0, Some(0));
    world.write(&with("loud"));
    let (code, said) = world.reload(ADMIN_KEY);
    assert!(code == Some(1) && said.contains("loud"), "{said}");
    world.write(&with("error"));
    assert_eq!(world.reload(ADMIN_KEY).0, Some(0));
    // Where the file names none any more, the default holds, at which the end of the server is logged.
    world.write(&(head(ADMIN_KEY) + "[log]\nformat = \"json\"\n" + &project(APP_ID, "")));
    let (_, said) = world.reload(ADMIN_KEY);
    assert!(said.contains(r#""changed":["log.level"],"needs_restart":[]"#), "{said}");
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("stopped") && !log.contains("\"listening\""), "{log}");
    assert!(log.lines().all(|line| line.starts_with('{')), "{log}");
}

#[test]
fn what_is_new_has_to_go_with_what_needs_a_restart() {
    let listen =
        "listen = [{ address = \"127.0.0.1:0\", proxy_protocol = \"required\" }]\ntrusted_proxies = \"127.0.0.1\"";
    let plain = head(ADMIN_KEY) + &project(APP_ID, "");
    let world = World::start(&plain.replacen("listen = \"127.0.0.1:0\"", listen, 1));
    // Alone it is good, but there still is an address where only trusted proxies may connect.
    world.write(&plain);
    let (code, said) = world.reload(ADMIN_KEY);
    assert!(code == Some(1) && said.contains("listen[0].proxy_protocol") && said.contains("trusted_proxies"), "{said}");
    let mut stream = TcpStream::connect(world.gateway.trim_start_matches("http://")).unwrap();
    stream.write_all(b"PROXY UNKNOWN\r\nGET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[test]
fn files_and_secrets_that_are_others_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let [ca_file, certificate, key] = ["ca.pem", "tls.pem", "tls.key"].map(|name| folder.path().join(name));
    let made = || rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let renew = || {
        let (authority, own) = (made(), made());
        fs::write(&ca_file, authority.cert.pem()).unwrap();
        fs::write(&certificate, own.cert.pem()).unwrap();
        fs::write(&key, own.signing_key.serialize_pem()).unwrap();
    };
    renew();
    let target = "secrets = [\"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"]\nallow_private = true";
    let hooks = |token: &str| {
        let files = format!("{target}\nca_file = \"{}\"", ca_file.display());
        format!(
            "[[project.webhook]]\nname = \"crm\"\nurl = \"https://127.0.0.1:1/?token={token}\"\n{target}\n\
             [[project.webhook]]\nname = \"log\"\nurl = \"https://127.0.0.1:1/\"\n{files}\n\
             [[project.hook]]\ntype = \"authorize_join\"\non_error = \"deny\"\nurl = \"https://127.0.0.1:1/\"\n{files}\n"
        )
    };
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"\n", certificate.display(), key.display());
    let text = |token: &str| head(ADMIN_KEY) + &tls + &project(APP_ID, "") + &hooks(token);
    let world = World::start(&text("geheim-1"));
    let changed = || {
        let (code, said) = world.reload(ADMIN_KEY);
        assert_eq!(code, Some(0), "{said}");
        let said: serde_json::Value = serde_json::from_str(&said).unwrap();
        let keys = said["changed"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
        keys.collect::<Vec<_>>()
    };
    let of = |key: &str| format!("project[{APP_ID}].{key}");
    renew();
    assert_eq!(changed(), ["tls.certificate".to_owned(), of("hook[0].ca_file"), of("webhook[1].ca_file")]);
    assert_eq!(changed(), [""; 0]);
    world.write(&text("geheim-2"));
    assert_eq!(changed(), [of("webhook[0].url")]);
    world.server.signal("TERM");
    let (_, _, log) = world.server.end();
    assert!(log.contains("with another tls.certificate, project["), "{log}");
    assert!(!log.contains("geheim"), "{log}");
}
