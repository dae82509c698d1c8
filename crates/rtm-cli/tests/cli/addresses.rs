//! Whose connection it is: behind proxies that send PROXY headers or name their clients, and over IPv6.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    time::{Duration, Instant},
};

use rtm_server::{AdminKey, AdminRole};

use crate::support::{APP_ID, Running, rtm};

struct World {
    _folder: tempfile::TempDir,
    server: Running,
    addresses: Vec<SocketAddr>,
}

impl World {
    /// A server with these settings before its project.
    fn start(settings: &str, addresses: usize) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("rtm.toml");
        fs::write(&file, format!("{settings}\n[[project]]\napp_id = \"{APP_ID}\"\n")).unwrap();
        let mut server = Running::new(&["serve", "--config", file.to_str().unwrap()]);
        let mut line = || server.line().unwrap().rsplit(' ').next().unwrap().parse().unwrap();
        let addresses = (0..addresses).map(|_| line()).collect();
        Self { _folder: folder, server, addresses }
    }

    /// What is answered to these bytes until the server closes.
    fn answer(&self, bytes: &[u8]) -> String {
        let mut stream = TcpStream::connect(self.addresses[0]).unwrap();
        // It may have closed already.
        let _ = stream.write_all(bytes);
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    }

    fn log(self) -> String {
        self.server.signal("TERM");
        self.server.end().2
    }
}

/// Health, over a connection that begins with this.
fn health(before: &[u8]) -> Vec<u8> {
    [before, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"].concat()
}

fn v2(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
    let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
    [b"\r\n\r\n\0\r\nQUIT\n", &[command, family][..], &len, rest].concat()
}

const TRUSTING: &str = "listen = [{ address = \"127.0.0.1:0\", proxy_protocol = \"required\" }]\n\
    trusted_proxies = \"127.0.0.1\"\nconnects_per_address = \"2/1h\"";

#[test]
fn a_proxy_header_says_whose_a_connection_is() {
    let world = World::start(TRUSTING, 1);
    let of = |client: &str| format!("PROXY TCP4 {client} 127.0.0.1 49152 80\r\n").into_bytes();
    for _ in 0..2 {
        assert!(world.answer(&health(&of("203.0.113.7"))).starts_with("HTTP/1.1 200"));
    }
    assert_eq!(world.answer(&health(&of("203.0.113.7"))), "", "this client has connected too often");
    assert!(world.answer(&health(&of("203.0.113.8"))).starts_with("HTTP/1.1 200"), "others have not");
    let binary = v2(0x21, 0x11, &[203, 0, 113, 7, 127, 0, 0, 1, 0xc0, 0, 0, 80]);
    assert_eq!(world.answer(&health(&binary)), "", "either version means the same client");
    let six = |last: u8| [&[0x20, 1, 0xd, 0xb8, 0, 0, 0, 0][..], &[last; 8], &[0; 16], &[0, 1, 0, 80]].concat();
    for last in 1..3 {
        assert!(world.answer(&health(&v2(0x21, 0x21, &six(last)))).starts_with("HTTP/1.1 200"));
    }
    assert_eq!(world.answer(&health(&v2(0x21, 0x21, &six(3)))), "", "a network of IPv6 is one client");
    for _ in 0..4 {
        assert!(world.answer(&health(&v2(0x20, 0, b""))).starts_with("HTTP/1.1 200"), "the proxy asks for itself");
    }
}

#[test]
fn without_its_header_a_connection_is_closed() {
    let world = World::start(TRUSTING, 1);
    assert_eq!(world.answer(&health(b"")), "");
    assert_eq!(world.answer(b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03aaaaaaaaaaaaaaaaaaaa"), "");
    assert_eq!(world.answer(&health(b"PROXY TCP4 203.0.113.7 127.0.0.1 49152 80800\r\n")), "");
    let before = Instant::now();
    let mut silent = TcpStream::connect(world.addresses[0]).unwrap();
    silent.write_all(b"PROXY TCP4 203").unwrap();
    assert_eq!(silent.read(&mut [0]).unwrap_or(0), 0);
    let waited = before.elapsed();
    assert!(waited > Duration::from_secs(4) && waited < Duration::from_secs(15), "{waited:?}");
    let log = world.log();
    assert!(log.contains("there is no header of the PROXY protocol"), "{log}");
}

#[test]
fn only_trusted_proxies_may_send_a_proxy_header() {
    let world = World::start(&TRUSTING.replace("\"127.0.0.1\"\n", "\"10.0.0.0/8\"\n"), 1);
    assert_eq!(world.answer(&health(b"PROXY TCP4 203.0.113.7 127.0.0.1 49152 80\r\n")), "");
    let log = world.log();
    assert!(log.contains("is not in trusted_proxies"), "{log}");
}

#[test]
fn clients_log_in_behind_proxy_headers_and_are_shown_by_their_own_addresses() {
    let key = "rtm_admin_of_these_tests";
    let hash = AdminKey::new("root", AdminRole::Admin, key).sha256_hex();
    let admin = format!(
        "[admin]\nlisten = \"127.0.0.1:0\"\n[[admin.key]]\nname = \"root\"\nrole = \"admin\"\nsha256 = \"{hash}\"\n"
    );
    let world = World::start(&format!("{TRUSTING}\n{admin}"), 2);
    // A proxy that sends a header and then copies both ways.
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let (at, to) = (proxy.local_addr().unwrap(), world.addresses[0]);
    std::thread::spawn(move || {
        for client in proxy.incoming() {
            let (mut client, mut server) = (client.unwrap(), TcpStream::connect(to).unwrap());
            server.write_all(b"PROXY TCP6 2001:db8::7 ::1 4711 80\r\n").unwrap();
            let (mut from_server, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
            std::thread::spawn(move || std::io::copy(&mut from_server, &mut to_client));
            std::thread::spawn(move || std::io::copy(&mut client, &mut server));
        }
    });
    let gateway = format!("http://{at}");
    let mut bob = Running::new(&["listen", "--gateway", &gateway, "--app-id", APP_ID, "--uid", "bob"]);
    bob.event(|event| event["state"] == "CONNECTED");
    let url = format!("http://{}", world.addresses[1]);
    let args = ["admin", "--url", &url, "--key", key, "sessions", "--app-id", APP_ID];
    let sessions = String::from_utf8(rtm(&args).stdout).unwrap();
    assert!(sessions.contains("address=[2001:db8::7]:4711"), "{sessions}");
}

#[test]
fn the_headers_of_trusted_proxies_say_whose_a_request_is() {
    for (told_by, header) in [
        ("x-forwarded-for", "X-Forwarded-For: 1.1.1.1, CLIENT, 127.0.0.1\r\n"),
        ("forwarded", "Forwarded: for=1.1.1.1;by=x, for=\"CLIENT:80\";proto=https\r\n"),
        ("x-real-ip", "X-Real-IP: CLIENT\r\n"),
    ] {
        let settings = format!(
            "listen = \"127.0.0.1:0\"\ntrusted_proxies = [\"127.0.0.0/8\"]\nclient_address = \"{told_by}\"\n\
             connects_per_address = \"2/1h\""
        );
        let world = World::start(&settings, 1);
        let ask = |client: &str| {
            let header = header.replace("CLIENT", client);
            world.answer(format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{header}\r\n").as_bytes())
        };
        for _ in 0..2 {
            assert!(ask("203.0.113.7").starts_with("HTTP/1.1 200"), "{told_by}");
        }
        let refused = ask("203.0.113.7");
        assert!(refused.starts_with("HTTP/1.1 429"), "{told_by}: {refused}");
        assert!(ask("203.0.113.8").starts_with("HTTP/1.1 200"), "{told_by}");
    }
}

#[test]
fn what_a_proxy_asks_for_itself_counts_for_no_limit() {
    let settings = "listen = \"127.0.0.1:0\"\ntrusted_proxies = \"127.0.0.1\"\nclient_address = \"x-forwarded-for\"\n\
                    connects_per_address = \"2/1h\"";
    let world = World::start(settings, 1);
    for path in ["/healthz", "/readyz", "/livez", "/readyz"] {
        let answer = world.answer(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n").as_bytes());
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    // What may be a login is counted, also where the proxy does not say whose it is.
    let login = b"POST /arapi/v1?action=wrtm_gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}";
    let is_refused: Vec<_> = (0..3).map(|_| world.answer(login).starts_with("HTTP/1.1 429")).collect();
    assert_eq!(is_refused, [false, false, true]);
}

#[test]
fn the_headers_of_others_are_passed_over() {
    let settings = "listen = \"127.0.0.1:0\"\ntrusted_proxies = \"10.0.0.0/8\"\nclient_address = \"x-forwarded-for\"\n\
                    connects_per_address = \"2/1h\"";
    let world = World::start(settings, 1);
    let ask = |client: &str| {
        let header = format!("X-Forwarded-For: {client}\r\n");
        world.answer(format!("GET /healthz HTTP/1.1\r\nHost: localhost\r\n{header}\r\n").as_bytes())
    };
    assert!(ask("203.0.113.1").starts_with("HTTP/1.1 200"));
    assert!(ask("203.0.113.2").starts_with("HTTP/1.1 200"));
    assert_eq!(ask("203.0.113.3"), "", "all of them are the same client");
}

#[test]
fn literals_of_ipv6_are_understood_everywhere() {
    if std::net::TcpListener::bind("[::1]:0").is_err() {
        // This machine has no IPv6.
        return;
    }
    let world =
        World::start("listen = [\"[::1]:0\"]\nadvertise = \"[2001:db8::1]:443\"\nadmin.listen = \"[::1]:0\"", 2);
    let gateway = format!("http://{}", world.addresses[0]);
    for wire in ["native", "vendor"] {
        let sent =
            rtm(&["send", "--gateway", &gateway, "--wire", wire, "--app-id", APP_ID, "--uid", "a", "--to", "b", "hi"]);
        // The vendor's wire is sent on to where the server is advertised.
        assert_eq!(sent.status.code() == Some(1), wire == "vendor", "{sent:?}");
    }
    let answer = world.answer(b"GET /readyz HTTP/1.1\r\nHost: [::1]\r\n\r\n");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let flags = ["serve", "--check-config", "--listen", "[::1]:1", "--admin", "[::1]:2", "--advertise", "[::1]:3"];
    assert!(rtm(&[&flags[..], &["--project", APP_ID]].concat()).status.success());
}
