//! One reader of a room reads nothing: what the others notice of it.

use std::{sync::Arc, thread};

use rtm_client::Wire;
use tokio::{
    io::AsyncWriteExt as _,
    net::{TcpSocket, TcpStream},
    sync::Notify,
};

use crate::{
    candidate::{Candidate, System},
    ours,
    rival::{Load, ROOM, runtime},
    run::{Run, scaled},
    scenario,
};

/// Each candidate without the slow reader and with it, who is then one of a thousand.
pub(crate) fn runs(candidates: Vec<Candidate>) -> Vec<Run> {
    let load = Load { bytes: 1024, members: 999, window: 16, messages: scaled(500) };
    candidates
        .into_iter()
        .flat_map(|candidate| {
            let name = format!("{}, one slow reader", candidate.name);
            let alone = scenario::load(candidate.name.clone(), candidate.clone(), load);
            let slow = Run::new(name, move |recorder| {
                let server = candidate.start()?;
                let (there, is_there) = std::sync::mpsc::channel();
                let (system, port, over) = (candidate.system, server.port(), Arc::new(Notify::new()));
                let reader = thread::spawn({
                    let over = Arc::clone(&over);
                    move || runtime()?.block_on(stay(system, port, &there, &over))
                });
                let measured = match is_there.recv() {
                    Ok(()) => {
                        (candidate.throughput)(&server, load).map(|measured| scenario::record(recorder, measured))
                    }
                    Err(_) => Ok(()),
                };
                over.notify_one();
                reader.join().map_err(|_| anyhow::anyhow!("the slow reader panicked"))??;
                measured
            });
            [alone, slow]
        })
        .collect()
}

/// Joins the room, says so, and reads nothing until it is over.
async fn stay(system: System, port: u16, there: &std::sync::mpsc::Sender<()>, over: &Notify) -> anyhow::Result<()> {
    match system {
        System::Ours => {
            let target = ours::target(port, Wire::Native);
            let client = target.client().window(FEW).connector(connect);
            let user = target.log_in_with(client, "slow").await?;
            let channel = user.client.channel(ROOM)?;
            channel.join().await?;
            there.send(())?;
            over.notified().await;
        }
        System::Nats => {
            let greeting = format!("CONNECT {{\"verbose\":false,\"pedantic\":false}}\r\nSUB {ROOM} 1\r\n");
            joined(port, greeting.as_bytes(), there, over).await?;
        }
        System::Raw => {
            let mut name = (ROOM.len() as u32).to_be_bytes().to_vec();
            name.extend_from_slice(ROOM.as_bytes());
            joined(port, &name, there, over).await?;
        }
        _ => anyhow::bail!("it has no slow reader"),
    }
    Ok(())
}

async fn joined(port: u16, greeting: &[u8], there: &std::sync::mpsc::Sender<()>, over: &Notify) -> anyhow::Result<()> {
    let mut stream = connect("127.0.0.1".into(), port).await?;
    stream.write_all(greeting).await?;
    there.send(())?;
    over.notified().await;
    Ok(())
}

/// A connection that takes little of what is not read.
async fn connect(host: String, port: u16) -> std::io::Result<TcpStream> {
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(RECEIVE_BYTES)?;
    let address = (host.as_str(), port);
    let mut addresses = tokio::net::lookup_host(address).await?;
    let address = addresses.next().ok_or(std::io::ErrorKind::NotFound)?;
    socket.connect(address).await
}

/// How many events the client takes of us that nobody reads.
const FEW: u32 = 16;
const RECEIVE_BYTES: u32 = 4096;
