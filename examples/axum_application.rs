//! An axum application and RTM at one port: the application's own page, and two users who talk to each other.

use std::net::SocketAddr;

use anyhow::Context;
use axum::{Router, extract::ConnectInfo, routing::get};
use examples::{APP_ID, User};
use rtm_client::{RtmEvent, Wire};
use rtm_server::{AppId, Remote, Server};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::oneshot,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    // It listens nowhere itself: its connections come through the application.
    let server = Server::builder().project(AppId::new(APP_ID)?).build().await?;
    // Only the application knows who its clients are. Behind a proxy, take the address that the proxy names.
    let rtm = server.service().remote(|request| match request.extensions.get() {
        Some(ConnectInfo::<SocketAddr>(address)) => Remote::at(*address),
        None => Remote::unknown(),
    });
    let app = Router::new().route("/hello", get(async || "the application's own page")).fallback_service(rtm);

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let address = listener.local_addr()?;
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(async move {
        axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>())
            .with_graceful_shutdown(async { _ = stopped.await })
            .await
    });

    println!("http://{address}/hello: {}\n", page(address).await?);
    let gateway = format!("http://{address}");
    let alice = User::login("alice", &gateway).await?;
    let mut bob = User::new("bob", &gateway, Wire::Vendor)?;
    bob.client.login("bob", None).await?;
    alice.client.send_message_to_peer("bob", "we share a port with the page").await?;
    bob.until(|event| matches!(event, RtmEvent::MessageFromPeer { .. }).then_some(())).await?;

    // First RTM, which tells its clients to come back; then the application.
    server.shutdown().await;
    drop(stop);
    serving.await??;
    Ok(())
}

/// The application's own page, as a browser gets it.
async fn page(address: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").await?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await?;
    Ok(answer.split_once("\r\n\r\n").context("an answer without a body")?.1.to_owned())
}
