//! Ways through proxies: by CONNECT and SOCKS5, and what is said of a proxy that lets nobody through.

use std::{
    error::Error as _,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use rtm_client::{
    Client, ErrorKind, Proxy,
    error::{BuildError, ProxyFault},
};
use rtm_server::{Server, TlsFiles};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
};

use crate::support::{APP_ID, WIRES, project, server};

/// What a proxy does with those who come.
#[derive(Clone, Copy)]
enum Manner {
    /// Lets them through, whichever name they ask for.
    Open,
    /// Lets through who shows this user and password.
    Wants(&'static str, &'static str),
    /// Answers with this status, or with this number of SOCKS.
    Refuses(u16),
    /// Says nothing.
    Hangs,
    /// Is no proxy.
    Babbles,
}

/// A proxy to one server.
struct TestProxy {
    at: SocketAddr,
    /// What it was asked to connect to.
    asked: Arc<Mutex<Vec<String>>>,
}

impl TestProxy {
    async fn start(server: SocketAddr, manner: Manner, socks: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let at = listener.local_addr().unwrap();
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        tokio::spawn(async move {
            loop {
                let (mut here, _) = listener.accept().await.unwrap();
                let seen = Arc::clone(&seen);
                tokio::spawn(async move {
                    let may_pass = match socks {
                        true => socks_let_in(&mut here, manner, &seen).await,
                        false => connect_let_in(&mut here, manner, &seen).await,
                    };
                    if may_pass {
                        let mut there = TcpStream::connect(server).await.unwrap();
                        let _ = copy_bidirectional(&mut here, &mut there).await;
                    }
                });
            }
        });
        Self { at, asked }
    }

    fn asked(&self) -> Vec<String> {
        let mut asked = self.asked.lock().unwrap().clone();
        asked.dedup();
        asked
    }
}

async fn connect_let_in(here: &mut TcpStream, manner: Manner, asked: &Mutex<Vec<String>>) -> bool {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(here.read_u8().await.unwrap());
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.strip_prefix("CONNECT ").and_then(|rest| rest.split(' ').next()).expect("a CONNECT");
    assert!(head.to_ascii_lowercase().contains(&format!("\r\nhost: {target}\r\n")), "{head}");
    asked.lock().unwrap().push(target.to_owned());
    let status = match manner {
        Manner::Open => 200,
        // user:pass word
        Manner::Wants(..) if head.contains("Basic dXNlcjpwYXNzIHdvcmQ=\r\n") => 200,
        Manner::Wants(..) => 407,
        Manner::Refuses(status) => status,
        Manner::Hangs => std::future::pending().await,
        Manner::Babbles => {
            here.write_all(b"SSH-2.0-OpenSSH_9.2\r\n").await.unwrap();
            return false;
        }
    };
    here.write_all(format!("HTTP/1.1 {status} So\r\n\r\n").as_bytes()).await.unwrap();
    status == 200
}

async fn socks_let_in(here: &mut TcpStream, manner: Manner, asked: &Mutex<Vec<String>>) -> bool {
    if let Manner::Hangs = manner {
        std::future::pending::<()>().await;
    }
    assert_eq!(here.read_u8().await.unwrap(), 5);
    let mut methods = vec![0; here.read_u8().await.unwrap().into()];
    here.read_exact(&mut methods).await.unwrap();
    if let Manner::Babbles = manner {
        here.write_all(b"HTTP/1.1 400 Bad Request\r\n\r\n").await.unwrap();
        return false;
    }
    if let Manner::Wants(user, password) = manner {
        if !methods.contains(&2) {
            here.write_all(&[5, 0xFF]).await.unwrap();
            return false;
        }
        here.write_all(&[5, 2]).await.unwrap();
        assert_eq!(here.read_u8().await.unwrap(), 1);
        for wanted in [user, password] {
            let mut shown = vec![0; here.read_u8().await.unwrap().into()];
            here.read_exact(&mut shown).await.unwrap();
            if shown != wanted.as_bytes() {
                here.write_all(&[1, 1]).await.unwrap();
                return false;
            }
        }
        here.write_all(&[1, 0]).await.unwrap();
    } else {
        here.write_all(&[5, 0]).await.unwrap();
    }
    let mut request = [0; 4];
    here.read_exact(&mut request).await.unwrap();
    let host = match request {
        [5, 1, 0, 1] => std::net::Ipv4Addr::from(here.read_u32().await.unwrap()).to_string(),
        [5, 1, 0, 3] => {
            let mut name = vec![0; here.read_u8().await.unwrap().into()];
            here.read_exact(&mut name).await.unwrap();
            String::from_utf8(name).unwrap()
        }
        other => panic!("no CONNECT to a name or an address: {other:?}"),
    };
    let port = here.read_u16().await.unwrap();
    asked.lock().unwrap().push(format!("{host}:{port}"));
    let code = if let Manner::Refuses(code) = manner { code as u8 } else { 0 };
    here.write_all(&[5, code, 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
    code == 0
}

#[tokio::test]
async fn a_gateway_is_reached_through_a_proxy_that_looks_up_its_name() {
    for wire in WIRES {
        for (scheme, socks) in [("http", false), ("socks5h", true)] {
            // Requests to the gateway go through the proxy, and so does the WebSocket to the server that it names.
            let server = server().await;
            let proxy = TestProxy::start(server.local_addr(), Manner::Open, socks).await;
            let builder = Client::builder().gateway("http://rtm.invalid:81").app_id(APP_ID).wire(wire);
            let (client, _events) = builder.proxy(format!("{scheme}://{}", proxy.at)).build().unwrap();
            client.login("ann", None).await.unwrap();
            assert_eq!(proxy.asked(), ["rtm.invalid:81"], "{wire:?}, {scheme}");
            client.logout().await.unwrap();
        }
    }
}

#[tokio::test]
async fn tls_is_spoken_with_the_server_through_the_proxy_and_with_a_proxy_too() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned(), "rtm.invalid".to_owned()]).unwrap();
    let files = TlsFiles::new(directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(files.certificate(), made.cert.pem()).unwrap();
    std::fs::write(files.key(), made.signing_key.serialize_pem()).unwrap();
    let server = Server::builder().project(project()).tls(files).bind("127.0.0.1:0").await.unwrap();
    for (scheme, socks) in [("http", false), ("socks5h", true)] {
        let proxy = TestProxy::start(server.local_addr(), Manner::Open, socks).await;
        let builder = Client::builder().gateway("https://rtm.invalid").app_id(APP_ID);
        let builder = builder.root_certificates(made.cert.pem()).without_system_roots();
        let (client, _events) = builder.proxy(format!("{scheme}://{}", proxy.at)).build().unwrap();
        client.login("ann", None).await.unwrap();
        assert_eq!(proxy.asked(), ["rtm.invalid:443"]);
        client.logout().await.unwrap();
    }
}

#[tokio::test]
async fn user_and_password_are_shown_to_a_proxy_that_wants_them() {
    let server = server().await;
    for (scheme, socks) in [("http", false), ("socks5", true)] {
        let proxy = TestProxy::start(server.local_addr(), Manner::Wants("user", "pass word"), socks).await;
        let login = async |url: String| {
            let gateway = format!("http://{}", server.local_addr());
            let (client, _events) = Client::builder().gateway(gateway).app_id(APP_ID).proxy(url).build().unwrap();
            client.login("ann", None).await
        };
        login(format!("{scheme}://user:pass%20word@{}", proxy.at)).await.unwrap();
        for (user, said) in
            [("", "wants a user and a password"), ("user:wr0ng@", "does not take this user and password")]
        {
            let begun = Instant::now();
            let error = login(format!("{scheme}://{user}{}", proxy.at)).await.unwrap_err();
            assert!(begun.elapsed() < Duration::from_secs(5), "{scheme}: it ends at once");
            assert_eq!(error.kind(), ErrorKind::GatewayConnectFailed);
            let error = format!("{error} {error:?}");
            assert!(error.contains(&format!("the proxy {scheme}://{} {said}", proxy.at)), "{scheme}: {error}");
            assert!(!error.contains("wr0ng"), "{error}");
        }
    }
}

#[tokio::test]
async fn an_error_names_the_proxy_and_what_is_wrong_with_it() {
    let server = server().await.local_addr();
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    for (scheme, socks, manner, said) in [
        ("http", false, Manner::Refuses(403), "refuses with HTTP status 403 Forbidden"),
        ("http", false, Manner::Refuses(502), "answered with HTTP status 502 Bad Gateway"),
        ("http", false, Manner::Hangs, "did not answer in time"),
        ("http", false, Manner::Babbles, "did not answer as an HTTP proxy does"),
        ("socks5h", true, Manner::Refuses(2), "could not connect: Connection not allowed by ruleset"),
        ("socks5h", true, Manner::Refuses(5), "could not connect: Connection refused"),
        ("socks5h", true, Manner::Hangs, "did not answer in time"),
        ("socks5h", true, Manner::Babbles, "could not connect"),
    ] {
        let proxy = TestProxy::start(server, manner, socks).await;
        let builder = Client::builder().gateway("http://rtm.invalid").app_id(APP_ID);
        let builder = builder.proxy(format!("{scheme}://{}", proxy.at)).login_timeout(Duration::from_secs(5));
        let (client, _events) = builder.build().unwrap();
        let error = format!("{:#}", client.login("ann", None).await.unwrap_err())
            .replace(" (code 11)", "")
            .replace(" (code 8)", "");
        assert!(
            error.contains(&format!("rtm.invalid:80: the proxy {scheme}://{} {said}", proxy.at)),
            "{said}: {error}"
        );
    }
    let builder = Client::builder().gateway("http://rtm.invalid").app_id(APP_ID);
    let builder = builder.proxy(format!("http://{gone}")).login_timeout(Duration::from_millis(300));
    let (client, _events) = builder.build().unwrap();
    let error = client.login("ann", None).await.unwrap_err();
    assert!(error.detail().ends_with(&format!("the proxy http://{gone} cannot be reached")), "{error}");
    let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn what_is_no_proxy_is_refused_without_its_password() {
    let builder = Client::builder().gateway("http://rtm.invalid").app_id(APP_ID).proxy("ftp://user:s3cret@proxy");
    assert!(!format!("{builder:?}").contains("s3cret"), "{builder:?}");
    let error = builder.build().unwrap_err();
    assert_eq!(error, BuildError::Proxy { proxy: "ftp://proxy".to_owned(), fault: ProxyFault::Scheme });
    let none = Client::builder().gateway("http://rtm.invalid").app_id(APP_ID).proxy(Proxy::None);
    assert!(none.build().is_ok());
}
