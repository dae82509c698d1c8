//! This project: every message to a user is confirmed by the receiving device, and the sessions can be resumed.

use anyhow::Context as _;
use bytes::Bytes;
use rtm_client::{Channel, RtmMessage, Wire};
use rtm_load::{Latency, Target, User, Window};

use crate::{rival::Rival, tls};

/// With TLS or without.
pub(crate) struct Ours<const TLS: bool>;

pub(crate) struct Connection {
    user: User,
    channel: Option<Channel>,
}

impl<const TLS: bool> Rival for Ours<TLS> {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        let user = if TLS {
            let target = Target::new(format!("https://127.0.0.1:{port}"), APP_ID, Wire::Native);
            target
                .log_in_with(target.client().root_certificates(tls::certificate()?).without_system_roots(), user)
                .await?
        } else {
            target(port, Wire::Native).log_in(user).await?
        };
        let channel = room.map(|room| user.client.channel(room)).transpose()?;
        if let Some(channel) = &channel {
            channel.join().await?;
        }
        Ok(Connection { user, channel })
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        let client = &connection.user.client;
        rtm_load::send_to_peer(client, to, &text(message)?, copies, copies as usize, None, || {}).await?;
        Ok(())
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        rtm_load::receive(&mut connection.user.events, 1.min(most), |_| {}).await?;
        Ok(1)
    }

    async fn publish(
        connection: &mut Connection,
        to: &str,
        message: &Bytes,
        messages: u64,
        window: &Window,
    ) -> anyhow::Result<()> {
        let message = text(message)?;
        match &connection.channel {
            Some(channel) => rtm_load::publish_to_channel(channel, &message, messages, window, || {}).await?,
            None => {
                // The receipts are the window.
                let size = window.limit() as usize;
                rtm_load::send_to_peer(&connection.user.client, to, &message, messages, size, None, || {}).await?;
            }
        }
        Ok(())
    }

    async fn take(connection: &mut Connection, messages: u64, window: &Window) -> anyhow::Result<()> {
        Ok(rtm_load::receive(&mut connection.user.events, messages, |batch| window.delivered(batch)).await?)
    }

    async fn ping(
        connection: &mut Connection,
        to: &str,
        message: &Bytes,
        rounds: u64,
        latency: &mut Latency,
    ) -> anyhow::Result<()> {
        Ok(rtm_load::ping(&mut connection.user, to, &text(message)?, rounds, latency).await?)
    }

    async fn echo(connection: &mut Connection, _to: &str, _message: &Bytes, rounds: u64) -> anyhow::Result<()> {
        Ok(rtm_load::echo(&mut connection.user, rounds).await?)
    }
}

/// Our server at a port.
pub(crate) fn target(port: u16, wire: Wire) -> Target {
    Target::new(format!("http://127.0.0.1:{port}"), APP_ID, wire)
}

fn text(message: &Bytes) -> anyhow::Result<RtmMessage> {
    Ok(RtmMessage::text(std::str::from_utf8(message).context("the message is no text")?.to_owned()))
}

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";
