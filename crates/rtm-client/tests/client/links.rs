//! Links that cannot be made, and what is said of them.

use std::{
    error::Error as _,
    time::{Duration, Instant},
};

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
    let error = client.login("ann", None).await.unwrap_err();
    let said = format!("{}: the address that the gateway named could not be reached: 127.0.0.1:1", at.local_addr());
    assert!(error.detail().ends_with(&said), "{error}");
    assert!(error.source().unwrap().is::<std::io::Error>(), "{error:?}");
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
    assert_eq!(chain.source().unwrap().to_string(), error.to_string());
}

#[tokio::test]
async fn behind_an_error_is_what_the_system_said_and_nothing_is_said_twice() {
    for wire in WIRES {
        let builder = Client::builder().gateway("127.0.0.1:1").app_id(APP_ID).wire(wire);
        let (client, _events) = builder.login_timeout(Duration::from_millis(300)).build().unwrap();
        let error = client.login("ann", None).await.unwrap_err();
        let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
        assert_eq!(source.kind(), std::io::ErrorKind::ConnectionRefused, "{wire:?}: {error:?}");
        assert_eq!(
            format!("{error:#}"),
            "no answer in time: the last attempt failed: cannot connect to the server: 127.0.0.1:1 (code 8): \
             Connection refused (os error 111)",
        );
    }
}

#[tokio::test]
async fn behind_the_failure_of_a_history_query_is_what_the_system_said() {
    let server = server().await;
    let at = server.local_addr();
    let is_gone = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let gone = std::sync::Arc::clone(&is_gone);
    let builder = Client::builder().gateway("http://rtm.invalid").app_id(APP_ID).wire(Wire::Vendor);
    let builder = builder.connector(move |_, _| {
        let is_gone = gone.load(std::sync::atomic::Ordering::Relaxed);
        async move {
            match is_gone {
                true => Err(std::io::ErrorKind::HostUnreachable.into()),
                false => tokio::net::TcpStream::connect(at).await,
            }
        }
    });
    let (client, _events) = builder.build().unwrap();
    client.login("ann", None).await.unwrap();
    is_gone.store(true, std::sync::atomic::Ordering::Relaxed);
    let error = client.query_peer_history("bob", rtm_client::HistoryQuery::new()).await.unwrap_err();
    assert_eq!((error.kind(), error.detail()), (ErrorKind::GatewayConnectFailed, "rtm.invalid:80"));
    let source = error.source().unwrap().downcast_ref::<std::io::Error>().unwrap();
    assert_eq!(source.kind(), std::io::ErrorKind::HostUnreachable);
}
