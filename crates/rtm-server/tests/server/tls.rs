//! The same port, encrypted.

use std::{fs, path::Path, sync::Arc};

use async_tungstenite::tungstenite::client::IntoClientRequest;
use rtm_codec::{Wire, native::SUBPROTOCOL};
use rtm_server::{Server, ServerErrorKind, TlsFiles};
use rustls::pki_types::{CertificateDer, ServerName, pem::PemObject};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use crate::support::{APP, Client, GATEWAY, app_id, parse, soon};

fn files(directory: &Path) -> TlsFiles {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles::new(directory.join("cert.pem"), directory.join("key.pem"));
    fs::write(files.certificate(), made.cert.pem()).unwrap();
    fs::write(files.key(), made.signing_key.serialize_pem()).unwrap();
    files
}

async fn connect(server: &Server, trusted: &TlsFiles) -> TlsStream<TcpStream> {
    let mut roots = rustls::RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(trusted.certificate()).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(server.local_addr()).await.unwrap();
    let name = ServerName::try_from("localhost").unwrap();
    soon("the TLS handshake", TlsConnector::from(Arc::new(config)).connect(name, stream)).await.unwrap()
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
        (TlsFiles::new(&missing, good.key()), missing.as_path()),
        (TlsFiles::new(&junk, good.key()), &junk),
        (TlsFiles::new(good.certificate(), &missing), &missing),
        (TlsFiles::new(good.certificate(), &junk), &junk),
        (TlsFiles::new(good.certificate(), other.key()), other.key()),
    ];
    for (files, at_fault) in cases {
        let error = Server::builder().project(app_id()).tls(files).bind("127.0.0.1:0").await.unwrap_err();
        assert_eq!(error.kind(), ServerErrorKind::Tls);
        assert!(error.to_string().contains(at_fault.to_str().unwrap()), "{error}");
    }
}
