//! A client of the WebSocket relays, by async-tungstenite: one flush for a batch, or one for each message.

use anyhow::Context as _;
use async_tungstenite::{
    WebSocketReceiver, WebSocketSender,
    tokio::{ConnectStream, connect_async},
    tungstenite::Message,
};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{FutureExt as _, SinkExt as _, StreamExt as _};

use crate::rival::Rival;

/// The relay that flushes once for all that waits.
pub(crate) struct Batched;

/// The relay that flushes each message.
pub(crate) struct Naive;

pub(crate) struct Connection {
    sender: WebSocketSender<ConnectStream>,
    receiver: WebSocketReceiver<ConnectStream>,
}

impl Rival for Batched {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        connect(port, user, room).await
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        for _ in 0..copies {
            connection.sender.feed(Message::Binary(addressed(to, message))).await?;
        }
        Ok(connection.sender.flush().await?)
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        receive(connection, most).await
    }
}

impl Rival for Naive {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        connect(port, user, room).await
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        for _ in 0..copies {
            connection.sender.send(Message::Binary(addressed(to, message))).await?;
        }
        Ok(())
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        receive(connection, most).await
    }
}

async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
    let (socket, _) = connect_async(format!("ws://127.0.0.1:{port}/")).await?;
    let (mut sender, receiver) = socket.split();
    let name = match room {
        Some(room) if user != "publisher" => room,
        _ => user,
    };
    sender.send(Message::text(name.to_owned())).await?;
    let mut connection = Connection { sender, receiver };
    // The relay answers when it has the name.
    receive(&mut connection, 1).await?;
    Ok(connection)
}

async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
    connection.receiver.next().await.context("the relay closed")??;
    let mut received = 1;
    while received < most
        && let Some(Some(Ok(_))) = connection.receiver.next().now_or_never()
    {
        received += 1;
    }
    Ok(received)
}

/// The relays' format: one byte of length, the receiver, the message.
pub(crate) fn addressed(to: &str, message: &Bytes) -> Bytes {
    let mut frame = BytesMut::with_capacity(1 + to.len() + message.len());
    frame.put_u8(to.len() as u8);
    frame.put_slice(to.as_bytes());
    frame.put_slice(message);
    frame.freeze()
}
