//! Links that cannot be made, and what is said of them.

use std::time::{Duration, Instant};

use rtm_client::{Client, ConnectError, ErrorKind, Wire};
use rtm_server::{Server, TlsFiles};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::support::{APP_ID, WIRES, builder, project, server};

/// Answers each connection with these bytes, and closes it.
async fn answers(bytes: Vec<u8>) -> std::net::SocketAddr {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = [0; 2048];
            let _ = stream.read(&mut request).await;
            let _ = stream.write_all(&bytes).await;
        }
    });
    at
}

#[tokio::test]
async fn a_redirect_is_named_and_not_followed() {
    let elsewhere = "HTTP/1.1 302 Found\r\nLocation: https://rtm.example.com/\r\nContent-Length: 0\r\n\r\n";
    let at = answers(elsewhere.as_bytes().to_vec()).await;
    for wire in WIRES {
        let (client, _events) = Client::builder().gateway(at.to_string()).app_id(APP_ID).wire(wire).build().unwrap();
        let begun = Instant::now();
        let error = client.login("ann", None).await.unwrap_err();
        assert!(begun.elapsed() < Duration::from_secs(5), "{wire:?}: it ends at once");
        assert_eq!(error.kind(), ErrorKind::GatewayConnectFailed, "{wire:?}: {error}");
        let text = error.to_string();
        assert!(text.contains("Location \"https://rtm.example.com/\""), "{wire:?}: {text}");
    }
}

#[tokio::test]
async fn an_error_says_which_scheme_to_use() {
    let directory = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles::new(directory.path().join("cert.pem"), directory.path().join("key.pem"));
    std::fs::write(files.certificate(), made.cert.pem()).unwrap();
    std::fs::write(files.key(), made.signing_key.serialize_pem()).unwrap();
    let tls = Server::builder().project(project()).tls(files).bind("127.0.0.1:0").await.unwrap();
    let plain = server().await;
    for wire in WIRES {
        for (scheme, server, advice) in [("http", &tls, "use https://"), ("https", &plain, "use http://")] {
            let gateway = format!("{scheme}://localhost:{}", server.local_addr().port());
            let builder = Client::builder().gateway(gateway).app_id(APP_ID).wire(wire).without_system_roots();
            let (client, _events) = builder.build().unwrap();
            let begun = Instant::now();
            let error = client.login("ann", None).await.unwrap_err();
            assert!(error.to_string().contains(advice), "{wire:?}, {scheme}: {error}");
            assert!(begun.elapsed() < Duration::from_secs(5), "{wire:?}, {scheme}: it ends at once");
        }
    }
}

#[tokio::test]
async fn an_address_of_the_gateways_is_not_called_the_gateway() {
    let at = Server::builder()
        .project(project())
        .advertise("127.0.0.1:1".parse().unwrap())
        .bind("127.0.0.1:0")
        .await
        .unwrap();
    let builder = builder(&at).wire(Wire::Vendor).login_timeout(Duration::from_secs(1));
    let (client, _events) = builder.build().unwrap();
    let error = client.login("ann", None).await.unwrap_err().to_string();
    assert!(error.contains("the address that the gateway named could not be reached: 127.0.0.1:1: "), "{error}");
}

#[tokio::test]
async fn an_error_tells_its_cause_once_and_its_code_last() {
    let (client, _events) = Client::builder()
        .gateway("127.0.0.1:1")
        .app_id(APP_ID)
        .login_timeout(Duration::from_millis(300))
        .build()
        .unwrap();
    let error = client.login("ann", None).await.unwrap_err();
    assert_eq!(error.to_string().matches("(code").count(), 1, "{error}");
    assert!(error.to_string().ends_with("(code 8)"), "{error}");
    assert!(format!("{error:?}").contains("Connection refused"), "{error:?}");
    let chain = ConnectError::Login(error.clone());
    assert_eq!(chain.to_string(), "the login failed");
    assert_eq!(std::error::Error::source(&chain).unwrap().to_string(), error.to_string());
}
