//! A client of the raw TCP relay: four bytes of length before each frame, nothing else. The floor.

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

use crate::rival::Rival;

pub(crate) struct Raw;

pub(crate) struct Connection {
    stream: TcpStream,
    read: BytesMut,
    write: BytesMut,
}

impl Rival for Raw {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let mut connection = Connection { stream, read: BytesMut::new(), write: BytesMut::new() };
        let name = match room {
            Some(room) if user != "publisher" => room,
            _ => user,
        };
        connection.write.put_u32(name.len() as u32);
        connection.write.put_slice(name.as_bytes());
        connection.stream.write_all_buf(&mut connection.write).await?;
        Self::receive(&mut connection, 1).await?;
        Ok(connection)
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        for _ in 0..copies {
            connection.write.put_u32((1 + to.len() + message.len()) as u32);
            connection.write.put_u8(to.len() as u8);
            connection.write.put_slice(to.as_bytes());
            connection.write.put_slice(message);
        }
        Ok(connection.stream.write_all_buf(&mut connection.write).await?)
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        let mut received = 0;
        loop {
            while received < most && next(&mut connection.read).is_some() {
                received += 1;
            }
            if received > 0 {
                return Ok(received);
            }
            connection.read.reserve(READ_BYTES);
            if connection.stream.read_buf(&mut connection.read).await? == 0 {
                anyhow::bail!("the relay closed");
            }
        }
    }
}

/// Takes a whole frame off the front.
pub(crate) fn next(read: &mut BytesMut) -> Option<Bytes> {
    let len = u32::from_be_bytes(read.get(..4)?.try_into().ok()?) as usize;
    if read.len() < 4 + len {
        return None;
    }
    read.advance(4);
    Some(read.split_to(len).freeze())
}

pub(crate) const READ_BYTES: usize = 64 * 1024;
