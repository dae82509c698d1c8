//! Whether another node of the cluster can be reached past NATS, and is a member: then clients are better off there.

use std::{collections::BTreeMap, time::Duration};

use rtm_core::cluster::NodeName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, sleep, timeout},
};

/// Asks one after the other at their addresses, until one has said for a while that it is a member and in touch.
pub(crate) async fn find_member(addresses: BTreeMap<NodeName, Vec<String>>) -> NodeName {
    let mut since: Option<Instant> = None;
    loop {
        match look_for_member(&addresses).await {
            Some(name) if since.get_or_insert_with(Instant::now).elapsed() >= CERTAIN_AFTER => return name,
            Some(_) => {}
            None => since = None,
        }
        sleep(PAUSE).await;
    }
}

async fn look_for_member(addresses: &BTreeMap<NodeName, Vec<String>>) -> Option<NodeName> {
    for (name, addresses) in addresses {
        for address in addresses {
            let answer = timeout(ANSWER, is_member(address)).await;
            if matches!(answer, Ok(Ok(true))) {
                return Some(name.clone());
            }
        }
    }
    None
}

/// Only a node that is certain of its place answers this with 200.
async fn is_member(address: &str) -> std::io::Result<bool> {
    let mut stream = TcpStream::connect(address).await?;
    stream
        .write_all(format!("GET /readyz HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n").as_bytes())
        .await?;
    let mut status = [0; STATUS.len()];
    stream.read_exact(&mut status).await?;
    Ok(status == *STATUS)
}

const STATUS: &[u8; 12] = b"HTTP/1.1 200";
const ANSWER: Duration = Duration::from_secs(2);
const PAUSE: Duration = Duration::from_secs(1);
/// When NATS comes back, it does not come to all nodes at once.
const CERTAIN_AFTER: Duration = Duration::from_secs(10);
