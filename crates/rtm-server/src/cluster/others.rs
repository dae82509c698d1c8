//! Whether another node of the cluster can be reached past NATS, and is a member: then clients are better off there.

use std::{collections::BTreeMap, time::Duration};

use rtm_core::cluster::NodeName;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{sleep, timeout},
};

/// Asks one after the other at their addresses, until one says that it is a member and in touch.
pub(crate) async fn find_member(addresses: BTreeMap<NodeName, Vec<String>>) -> NodeName {
    loop {
        for (name, addresses) in &addresses {
            for address in addresses {
                let answer = timeout(ANSWER, is_member(address)).await;
                if matches!(answer, Ok(Ok(true))) {
                    return name.clone();
                }
            }
        }
        sleep(PAUSE).await;
    }
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
