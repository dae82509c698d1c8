//! NATS core: `nats-server` and async-nats. No receipts, no resuming.

use anyhow::Context as _;
use async_nats::{Client, Subscriber};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};

use crate::{rival::Rival, tls};

/// With TLS or without.
pub(crate) struct Nats<const TLS: bool>;

pub(crate) struct Connection {
    client: Client,
    subscriber: Option<Subscriber>,
}

impl<const TLS: bool> Rival for Nats<TLS> {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        let client = Self::log_in(port, user).await?.client;
        // A publisher to a room does not get its own messages.
        let subject = match room {
            Some(room) if user != "publisher" => room,
            _ => user,
        };
        let subscriber = client.subscribe(subject.to_owned()).await?;
        client.flush().await?;
        Ok(Connection { client, subscriber: Some(subscriber) })
    }

    async fn log_in(port: u16, _user: &str) -> anyhow::Result<Connection> {
        let mut options = async_nats::ConnectOptions::new().subscription_capacity(1 << 20);
        if TLS {
            options = options.require_tls(true).add_root_certificates(tls::certificate_file()?);
        }
        let client = options.connect(format!("nats://127.0.0.1:{port}")).await?;
        Ok(Connection { client, subscriber: None })
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        for _ in 0..copies {
            // The client flushes by itself when it has nothing more to write.
            connection.client.publish(to.to_owned(), message.clone()).await?;
        }
        Ok(())
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        let subscriber = connection.subscriber.as_mut().context("no subscription")?;
        subscriber.next().await.context("the subscription ended")?;
        let mut received = 1;
        while received < most
            && let Some(Some(_)) = subscriber.next().now_or_never()
        {
            received += 1;
        }
        Ok(received)
    }
}
