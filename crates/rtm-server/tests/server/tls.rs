//! The same port, encrypted.

use std::{fs, io, net::SocketAddr, path::Path, sync::Arc, time::Duration};

use async_tungstenite::tungstenite::client::IntoClientRequest;
use rtm_codec::{Wire, native::SUBPROTOCOL};
use rtm_server::{Server, ServerBuilder, ServerConfig, ServerErrorKind, TlsConfig, TlsFiles, TlsVersion};
use rustls::{
    SupportedProtocolVersion,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
    version::{TLS12, TLS13},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{APP, Client, GATEWAY, app_id, parse, server_with, soon};

fn files(directory: &Path) -> TlsFiles {
    files_for(directory, "localhost")
}

/// A certificate for a name, and its key.
fn files_for(directory: &Path, name: &str) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed([name.to_owned()]).unwrap();
    let files = TlsFiles::new(directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    fs::write(files.certificate(), made.cert.pem()).unwrap();
    fs::write(files.key(), made.signing_key.serialize_pem()).unwrap();
    files
}

async fn connect(server: &Server, trusted: &TlsFiles) -> TlsStream<TcpStream> {
    handshake(server.local_addr(), "localhost", &[trusted], None, &[&TLS13, &TLS12]).await.unwrap()
}

/// Shakes hands with whoever listens there under this name, with one of these versions.
async fn handshake(
    address: SocketAddr,
    name: &str,
    trusted: &[&TlsFiles],
    shown: Option<&TlsFiles>,
    versions: &[&'static SupportedProtocolVersion],
) -> io::Result<TlsStream<TcpStream>> {
    let mut roots = rustls::RootCertStore::empty();
    for files in trusted {
        roots.add(CertificateDer::from_pem_file(files.certificate()).unwrap()).unwrap();
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider).with_protocol_versions(versions).unwrap();
    let config = config.with_root_certificates(roots);
    let config = match shown {
        None => config.with_no_client_auth(),
        Some(files) => {
            let chain = vec![CertificateDer::from_pem_file(files.certificate()).unwrap()];
            config.with_client_auth_cert(chain, PrivateKeyDer::from_pem_file(files.key()).unwrap()).unwrap()
        }
    };
    let stream = TcpStream::connect(address).await.unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    soon("the TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await
}

/// What is answered to a request; an error where TLS refuses, which in TLS 1.3 is known only after the handshake.
async fn get(mut stream: TlsStream<TcpStream>, path: &str) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut text = String::new();
    soon("an answer", stream.read_to_string(&mut text)).await?;
    Ok(text)
}

/// The certificate that is shown.
fn shown(stream: &TlsStream<TcpStream>) -> Vec<u8> {
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

fn der(files: &TlsFiles) -> Vec<u8> {
    CertificateDer::from_pem_file(files.certificate()).unwrap().to_vec()
}

async fn server_with_tls(tls: TlsConfig) -> Server {
    server_with(|config| config.tls = Some(tls)).await
}

#[tokio::test]
async fn gateway_and_websocket_go_through_tls_on_one_port() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let server = Server::builder().project(app_id()).tls(files.clone()).bind("127.0.0.1:0").await.unwrap();

    let mut stream = connect(&server, &files).await;
    let body = format!(r#"{{"appid":"{APP}","uid":"alice","token":"","wss":true}}"#);
    let len = body.len();
    let request = format!("POST {GATEWAY} HTTP/1.1\r\nHost: localhost:7\r\nContent-Length: {len}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", stream.read_to_end(&mut bytes)).await.unwrap();
    let json = parse(&bytes).json();
    assert_eq!(json["code"], 0);
    assert_eq!(json["addresses"], serde_json::json!([{"type": 0, "addr": "localhost", "port": 7}]));

    let mut alice = client(&server, &files, "alice").await;
    let mut bob = client(&server, &files, "bob").await;
    alice.talks_with("alice", &mut bob, "bob").await;
    // More than fits into the socket's buffers at once.
    let long = "x".repeat(32_768);
    for _ in 0..50 {
        alice.delivers_to(&mut bob, "bob", &long).await;
    }
}

async fn client(server: &Server, files: &TlsFiles, name: &str) -> Client<TlsStream<TcpStream>> {
    let mut request = "ws://localhost/".into_client_request().unwrap();
    request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
    let stream = connect(server, files).await;
    let mut client = Client::connect_over(stream, request, Wire::Native).await;
    client.log_in(name).await;
    client
}

#[tokio::test]
async fn who_does_not_speak_tls_is_cut_off() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let server = Server::builder().project(app_id()).tls(files.clone()).bind("127.0.0.1:0").await.unwrap();
    let mut plain = TcpStream::connect(server.local_addr()).await.unwrap();
    plain.write_all(b"GET /healthz HTTP/1.1\r\nHost: h\r\n\r\n").await.unwrap();
    let mut bytes = Vec::new();
    // The end of the stream, cleanly or not, is what is waited for.
    let _ = soon("being cut off", plain.read_to_end(&mut bytes)).await;
    assert!(!bytes.starts_with(b"HTTP"));
    connect(&server, &files).await;
}

#[tokio::test]
async fn files_that_cannot_be_used_are_named() {
    let directory = tempfile::tempdir().unwrap();
    let good = files(directory.path());
    let other = tempfile::tempdir().unwrap();
    let other = files(other.path());
    let junk = directory.path().join("junk.pem");
    fs::write(&junk, "junk").unwrap();
    let missing = directory.path().join("missing.pem");
    let cases = [
        (TlsFiles::new(&missing, good.key()), missing.as_path(), "tls.certificate"),
        (TlsFiles::new(&junk, good.key()), &junk, "tls.certificate"),
        (TlsFiles::new(good.certificate(), &missing), &missing, "tls.key"),
        (TlsFiles::new(good.certificate(), &junk), &junk, "tls.key"),
        (TlsFiles::new(good.certificate(), other.key()), other.key(), "tls.key"),
    ];
    for (files, at_fault, key) in cases {
        let error = Server::builder().project(app_id()).tls(files).bind("127.0.0.1:0").await.unwrap_err();
        assert_eq!(error.kind(), ServerErrorKind::Tls);
        let text = error.to_string();
        assert!(text.starts_with(&format!("{key}: cannot use {}: ", at_fault.display())), "{text}");
    }
    let mut both = TlsConfig::new(vec![good.clone(), TlsFiles::new(good.certificate(), &missing)]);
    assert!(both.check("tls").unwrap_err().to_string().starts_with("tls.more[0].key: "), "the pair is named");
    both.certificates.pop();
    both.client_ca = Some(junk);
    let error = both.check("admin.tls").unwrap_err().to_string();
    assert!(error.starts_with("admin.tls.client_ca: "), "{error}");
}

#[tokio::test]
async fn each_name_has_its_certificate() {
    let directory = tempfile::tempdir().unwrap();
    let [first, second] = ["one.example", "two.example"].map(|name| files_for(directory.path(), name));
    let server = server_with_tls(TlsConfig::new(vec![first.clone(), second.clone()])).await;
    for (name, files) in [("one.example", &first), ("two.example", &second)] {
        let stream = handshake(server.local_addr(), name, &[files], None, &[&TLS13, &TLS12]).await.unwrap();
        assert_eq!(shown(&stream), der(files), "{name}");
        assert!(get(stream, "/healthz").await.unwrap().starts_with("HTTP/1.1 200"));
    }
    // Who asks for a name that has none is shown the first, and refuses that.
    let both = [&first, &second];
    let refused = handshake(server.local_addr(), "three.example", &both, None, &[&TLS13]).await.unwrap_err();
    assert_eq!(refused.kind(), io::ErrorKind::InvalidData, "{refused}");
}

#[tokio::test]
async fn only_clients_with_a_certificate_of_the_authority_get_in() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let authority = rcgen::KeyPair::generate().unwrap();
    let mut of_authority = rcgen::CertificateParams::new(Vec::<String>::new()).unwrap();
    of_authority.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    let ca = directory.path().join("ca.pem");
    fs::write(&ca, of_authority.self_signed(&authority).unwrap().pem()).unwrap();
    let issuer = rcgen::Issuer::new(of_authority, authority);
    let key = rcgen::KeyPair::generate().unwrap();
    let known = rcgen::CertificateParams::new(["phone".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
    let of_client = TlsFiles::new(directory.path().join("phone.pem"), directory.path().join("phone.key"));
    fs::write(of_client.certificate(), known.pem()).unwrap();
    fs::write(of_client.key(), key.serialize_pem()).unwrap();
    let stranger = files_for(directory.path(), "stranger.example");

    let mut tls = TlsConfig::from(files.clone());
    tls.client_ca = Some(ca);
    let server = server_with_tls(tls).await;
    for versions in [&[&TLS13][..], &[&TLS12]] {
        let ask = async |shown| {
            let stream = handshake(server.local_addr(), "localhost", &[&files], shown, versions).await?;
            get(stream, "/healthz").await
        };
        assert!(ask(Some(&of_client)).await.unwrap().starts_with("HTTP/1.1 200"));
        for shown in [None, Some(&stranger)] {
            let refused = ask(shown).await;
            assert!(refused.is_err(), "{versions:?} {shown:?}: {refused:?}");
        }
    }
}

#[tokio::test]
async fn an_old_version_of_tls_is_spoken_unless_that_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    for (least, is_spoken) in [(TlsVersion::V1_2, true), (TlsVersion::V1_3, false)] {
        let mut tls = TlsConfig::from(files.clone());
        tls.min_version = least;
        let server = server_with_tls(tls).await;
        let old = handshake(server.local_addr(), "localhost", &[&files], None, &[&TLS12]).await;
        assert_eq!(old.is_ok(), is_spoken, "{least}");
        let new = handshake(server.local_addr(), "localhost", &[&files], None, &[&TLS13]).await.unwrap();
        assert!(get(new, "/healthz").await.unwrap().starts_with("HTTP/1.1 200"));
    }
}

/// Makes another certificate in the same files, as an ACME client does.
fn renew(files: &TlsFiles) -> Vec<u8> {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    fs::write(files.key(), made.signing_key.serialize_pem()).unwrap();
    fs::write(files.certificate(), made.cert.pem()).unwrap();
    made.cert.der().to_vec()
}

#[tokio::test]
async fn a_renewed_certificate_is_shown_to_new_clients_and_open_connections_stay() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let old = der(&files);
    let mut config = ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.projects = vec![app_id().into()];
    config.tls = Some(files.clone().into());
    let next = config.clone();
    let server =
        ServerBuilder::from(config).config_source(move || Ok::<_, String>(next.clone())).start().await.unwrap();
    let mut alice = client(&server, &files, "alice").await;
    assert_eq!(shown(&connect(&server, &files).await), old);

    // A key that belongs to no certificate here: everything stays.
    let key = fs::read(files.key()).unwrap();
    fs::write(files.key(), rcgen::KeyPair::generate().unwrap().serialize_pem()).unwrap();
    assert!(server.reload().await.is_err());
    assert_eq!(shown(&connect(&server, &files).await), old);
    fs::write(files.key(), key).unwrap();

    let new = renew(&files);
    assert_eq!(server.reload().await.unwrap().changed, ["tls.certificate"]);
    assert_eq!(server.reload().await.unwrap().changed, [""; 0]);
    let mut bob = client(&server, &files, "bob").await;
    assert_eq!(shown(&connect(&server, &files).await), new);
    alice.talks_with("alice", &mut bob, "bob").await;

    // Nobody has to say that the files have changed: they are looked at every 10 s.
    let newest = renew(&files);
    let is_shown = async {
        loop {
            let tried = handshake(server.local_addr(), "localhost", &[&files], None, &[&TLS13]).await;
            if tried.is_ok_and(|stream| shown(&stream) == newest) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("the change is seen", is_shown).await;
    alice.talks_with("alice", &mut bob, "bob").await;
}

#[tokio::test]
async fn only_a_first_certificate_that_is_out_of_date_makes_a_server_unready() {
    let directory = tempfile::tempdir().unwrap();
    let good = files_for(directory.path(), "localhost");
    let made = |name: &str, change: &dyn Fn(&mut rcgen::CertificateParams)| {
        let mut params = rcgen::CertificateParams::new([name.to_owned()]).unwrap();
        change(&mut params);
        let key = rcgen::KeyPair::generate().unwrap();
        let files =
            TlsFiles::new(directory.path().join(format!("{name}.pem")), directory.path().join(format!("{name}.key")));
        fs::write(files.certificate(), params.self_signed(&key).unwrap().pem()).unwrap();
        fs::write(files.key(), key.serialize_pem()).unwrap();
        files
    };
    let expired = made("expired", &|params| params.not_after = rcgen::date_time_ymd(2001, 1, 2));
    let early = made("early", &|params| params.not_before = rcgen::date_time_ymd(2999, 1, 2));
    let authority = made("authority", &|params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
    });
    for (certificates, is_ready) in [
        (vec![&good, &expired, &early], true),
        (vec![&authority, &good], true),
        (vec![&expired, &good], false),
        (vec![&early, &good], false),
    ] {
        let config = TlsConfig::new(certificates.iter().map(|files| (*files).clone()).collect());
        let server = server_with_tls(config).await;
        // Whoever asks by a name is shown the certificate that is for it.
        let stream = handshake(server.local_addr(), "localhost", &[&good], None, &[&TLS13, &TLS12]).await.unwrap();
        let text = get(stream, "/readyz").await.unwrap();
        let wanted =
            if is_ready { "{\"ready\":true,\"reasons\":[]}" } else { "{\"ready\":false,\"reasons\":[\"tls\"]}" };
        assert!(text.ends_with(wanted), "{certificates:?}: {text}");
    }
}

#[cfg(feature = "admin")]
#[tokio::test]
async fn the_admin_listener_speaks_tls_and_says_when_certificates_end() {
    let directory = tempfile::tempdir().unwrap();
    let files = files(directory.path());
    let mut made = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
    made.not_after = rcgen::date_time_ymd(2100, 1, 2);
    let key = rcgen::KeyPair::generate().unwrap();
    let of_admin = TlsFiles::new(directory.path().join("admin.pem"), directory.path().join("admin.key"));
    fs::write(of_admin.certificate(), made.self_signed(&key).unwrap().pem()).unwrap();
    fs::write(of_admin.key(), key.serialize_pem()).unwrap();
    let server = server_with(|config| {
        config.tls = Some(files.clone().into());
        config.admin.listen = vec!["127.0.0.1:0".parse().unwrap()];
        config.admin.tls = Some(of_admin.clone().into());
    })
    .await;
    let admin = server.admin_addrs()[0];
    let stream = handshake(admin, "localhost", &[&of_admin], None, &[&TLS13, &TLS12]).await.unwrap();
    let text = get(stream, "/metrics").await.unwrap();
    let end = |listener: &str, files: &TlsFiles| {
        let name = "rtm_tls_certificate_not_after_timestamp_seconds";
        let file = files.certificate().display();
        let sample = format!("{name}{{listener=\"{listener}\",certificate=\"{file}\"}} ");
        let line = text.lines().find_map(|line| line.strip_prefix(&sample));
        line.unwrap_or_else(|| panic!("no {sample} in\n{text}")).parse::<f64>().unwrap()
    };
    assert_eq!(end("admin", &of_admin), 4_102_531_200.0, "2100-01-02T00:00:00Z");
    assert_eq!(end("public", &files), 67_090_118_400.0, "4096-01-01T00:00:00Z");
}
