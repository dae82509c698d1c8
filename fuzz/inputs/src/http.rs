//! Bytes of any kind to the port of a real server: what HTTP makes of them, and the gateway of what HTTP does.

use std::{net::SocketAddr, time::Duration};

use rtm_server::{ServerBuilder, ServerConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::yield_now,
    time::timeout,
};

use crate::call::app_id;

/// A server's port against any bytes: each connection ends, and whatever is said is HTTP.
pub fn http(bytes: &[u8]) {
    let answer = exchange(bytes);
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", answer.escape_ascii());
}

/// What a new server answers to these bytes of a client that says no more and waits for the end.
pub(crate) fn exchange(bytes: &[u8]) -> Vec<u8> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("the system has threads");
    runtime.block_on(async {
        let mut config = ServerConfig::default();
        config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
        config.projects = vec![app_id().into()];
        let server = ServerBuilder::from(config).start().await.expect("the system has ports");
        let answer = timeout(PATIENCE, talk(server.local_addr(), bytes)).await.expect("a connection ends");
        let gone = async {
            while server.stats().connections > 0 {
                yield_now().await;
            }
        };
        timeout(PATIENCE, gone).await.expect("nothing stays of a connection");
        answer
    })
}

async fn talk(address: SocketAddr, bytes: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect(address).await.expect("the server listens");
    let (mut from, mut to) = stream.split();
    let write = async {
        // A server that had enough may have closed by then.
        if to.write_all(bytes).await.is_ok() {
            let _ = to.shutdown().await;
        }
    };
    let read = async {
        let mut answer = Vec::new();
        let _ = from.read_to_end(&mut answer).await;
        answer
    };
    tokio::join!(write, read).1
}

/// The whole exchange takes a millisecond.
const PATIENCE: Duration = Duration::from_secs(5);
