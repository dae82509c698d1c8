//! What a load balancer is told, also while the server ends, and who reaches the listener.

use rtm_codec::Wire;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{get, metrics, sample, with_admin, with_keys};
use crate::support::{APP, Client, server_with, soon};

#[tokio::test]
async fn a_server_that_goes_down_says_so_first_and_lives_on() {
    let (server, admin) = with_admin().await;
    for path in ["/livez", "/healthz"] {
        assert_eq!(get(admin, path).await, (200, "ok\n".to_owned()), "{path}");
    }
    assert_eq!(get(admin, "/readyz").await, (200, r#"{"ready":true,"reasons":[]}"#.to_owned()));
    // It does not confirm its close, so that the shutdown waits for it.
    let _client = Client::login(server.local_addr(), Wire::Native, "alice").await;
    let shutdown = tokio::spawn(server.shutdown());
    soon("it is not ready", async {
        while get(admin, "/readyz").await != (503, r#"{"ready":false,"reasons":["draining"]}"#.to_owned()) {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(get(admin, "/livez").await.0, 200);
    assert_eq!(get(admin, "/healthz").await, (503, "draining\n".to_owned()));
    assert_eq!(sample(&metrics(admin).await, "rtm_draining"), 1.0);
    soon("the shutdown", shutdown).await.unwrap();
    assert!(TcpStream::connect(admin).await.is_err(), "its port is free");
}

#[tokio::test]
async fn what_is_asked_while_the_server_ends_is_answered() {
    let (server, admin, [_, _, key, _]) = with_keys().await;
    let mut asking = TcpStream::connect(admin).await.unwrap();
    let head = format!(
        "POST /admin/v1/log-level HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {key}\r\n\
         Content-Type: application/json\r\nContent-Length: 2\r\n\r\n{{"
    );
    asking.write_all(head.as_bytes()).await.unwrap();
    // It is heard, since a later one is answered.
    assert_eq!(get(admin, "/livez").await.0, 200);
    let ends = tokio::spawn(server.shutdown());
    let refused = async {
        while TcpStream::connect(admin).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    soon("the listener takes nothing more", refused).await;
    asking.write_all(b"}").await.unwrap();
    let mut answer = String::new();
    asking.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 4"), "the body is no level, and that is said: {answer}");
    ends.await.unwrap();
}

#[tokio::test]
async fn those_who_wait_for_events_keep_nobody_else_out() {
    let (_server, admin, [read, ..]) = with_keys().await;
    let ask = async |more: &str| {
        let mut stream = TcpStream::connect(admin).await.unwrap();
        let request = format!(
            "GET /admin/v1/projects/{APP}/events{more} HTTP/1.1\r\nHost: {admin}\r\nAuthorization: Bearer {read}\r\n\
             Accept: text/event-stream\r\n\r\n"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut head = vec![0; "HTTP/1.1 200".len()];
        soon("an answer", stream.read_exact(&mut head)).await.unwrap();
        (stream, String::from_utf8(head).unwrap())
    };
    let mut readers = Vec::new();
    for _ in 0..128 {
        let (stream, head) = ask("").await;
        assert_eq!(head, "HTTP/1.1 200");
        readers.push(stream);
    }
    assert_eq!(ask("").await.1, "HTTP/1.1 429", "so many are enough");
    assert_eq!(get(admin, "/livez").await.0, 200);
    readers.pop();
    soon("a place is free", async { while ask("").await.1 != "HTTP/1.1 200" {} }).await;
}

#[tokio::test]
async fn clients_do_not_reach_it() {
    let (server, admin) = with_admin().await;
    assert_eq!(get(server.local_addr(), "/metrics").await.0, 404);
    assert_eq!(get(admin, "/arapi/v1").await.0, 404);
    let plain = server_with(|_| {}).await;
    assert!(plain.admin_addrs().is_empty());
}
