//! Streams that the application opens, and gateways below a path.

use std::{
    error::Error as _,
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll},
};

use rtm_client::{Client, ConnectionState, Wire};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf, copy_bidirectional},
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
};

use crate::support::{APP_ID, WIRES, message, server, state};

#[tokio::test]
async fn a_connector_of_ones_own_is_asked_for_each_stream() {
    let server = server().await;
    let at = server.local_addr();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("rtm.sock");
    let listener = UnixListener::bind(&path).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut here, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut there = TcpStream::connect(at).await.unwrap();
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    for wire in WIRES {
        let path = path.clone();
        let asked = Arc::<std::sync::Mutex<Vec<_>>>::default();
        let noted = Arc::clone(&asked);
        let builder = Client::builder().gateway("http://rtm.invalid:81").app_id(APP_ID).wire(wire);
        let builder = builder.connector(move |host, port| {
            noted.lock().unwrap().push((host, port));
            UnixStream::connect(path.clone())
        });
        let (client, _events) = builder.build().unwrap();
        client.login("ann", None).await.unwrap();
        client.query_peer_history("bob", rtm_client::HistoryQuery::new()).await.unwrap();
        client.logout().await.unwrap();
        let asked = asked.lock().unwrap();
        assert!(asked.iter().all(|(host, port)| (host.as_str(), *port) == ("rtm.invalid", 81)), "{asked:?}");
        let streams = if wire == Wire::Native { 1 } else { 4 };
        assert_eq!(asked.len(), streams, "{wire:?}");
    }
}

#[tokio::test]
async fn what_a_connector_says_is_in_the_error() {
    let builder = Client::builder().gateway("http://rtm.invalid:81").app_id(APP_ID);
    let builder = builder.connector(async |_, _| Err::<UnixStream, _>(io::Error::other("no tunnel today")));
    let builder = builder.login_timeout(std::time::Duration::from_millis(300));
    let (client, _events) = builder.build().unwrap();
    let error = client.login("ann", None).await.unwrap_err();
    assert!(error.detail().ends_with("rtm.invalid:81"), "{error}");
    assert_eq!(error.source().unwrap().to_string(), "no tunnel today");
}

/// A stream that panics where it is read, when it is told to.
struct Panics {
    stream: TcpStream,
    now: Arc<AtomicBool>,
}

impl AsyncRead for Panics {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        assert!(!self.now.swap(false, Ordering::Relaxed), "the stream's own fault");
        Pin::new(&mut self.stream).poll_read(cx, buf)
    }
}

impl AsyncWrite for Panics {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn a_panic_in_a_stream_of_the_application_costs_the_connection_and_not_the_client() {
    let server = server().await;
    let at = server.local_addr();
    let now = Arc::new(AtomicBool::new(false));
    let panics = Arc::clone(&now);
    let builder = Client::builder().gateway("http://rtm.invalid").app_id(APP_ID).connector(move |_, _| {
        let now = Arc::clone(&panics);
        async move { Ok(Panics { stream: TcpStream::connect(at).await?, now }) }
    });
    let (client, mut events) = builder.build().unwrap();
    client.login("ann", None).await.unwrap();
    now.store(true, Ordering::Relaxed);
    client.send_message_to_peer("ann", "still there?").await.unwrap();
    state(&mut events, ConnectionState::Reconnecting).await;
    state(&mut events, ConnectionState::Connected).await;
    assert_eq!(message(&mut events).await.1, "still there?");
}

/// A proxy in front of a server that has it below `/apps/rtm`, and answers 404 to all else.
async fn below_a_path(server: std::net::SocketAddr) -> std::net::SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    tokio::spawn(async move {
        loop {
            let (mut here, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut line = Vec::new();
                while !line.ends_with(b"\r\n") {
                    line.push(here.read_u8().await.unwrap());
                }
                let line = String::from_utf8(line).unwrap();
                let Some((method, rest)) = line.split_once(" /apps/rtm") else {
                    here.write_all(b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n").await.unwrap();
                    here.shutdown().await.unwrap();
                    let _ = here.read_to_end(&mut Vec::new()).await;
                    return;
                };
                let mut there = TcpStream::connect(server).await.unwrap();
                let slash = if rest.starts_with('/') { "" } else { "/" };
                there.write_all(format!("{method} {slash}{rest}").as_bytes()).await.unwrap();
                let _ = copy_bidirectional(&mut here, &mut there).await;
            });
        }
    });
    at
}

#[tokio::test]
async fn a_gateway_may_be_below_a_path() {
    let server = server().await;
    let at = below_a_path(server.local_addr()).await;
    for wire in WIRES {
        for path in ["/apps/rtm", "/apps/rtm/"] {
            let (client, _events) =
                Client::builder().gateway(format!("http://{at}{path}")).app_id(APP_ID).wire(wire).build().unwrap();
            client.login("ann", None).await.unwrap();
            client.query_peer_history("bob", rtm_client::HistoryQuery::new()).await.unwrap();
            client.logout().await.unwrap();
        }
        let (client, _events) =
            Client::builder().gateway(format!("http://{at}/")).app_id(APP_ID).wire(wire).build().unwrap();
        let error = client.login("ann", None).await.unwrap_err().to_string();
        assert!(error.contains("404"), "{error}");
    }
}
