//! JetStream, in memory: a publisher waits for the server's acknowledgements, and the consumer acknowledges each message.

use std::collections::VecDeque;

use anyhow::Context as _;
use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, pull},
    context::PublishAckFuture,
    message::PublishMessage,
    stream::{self, StorageType},
};
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _};
use rtm_load::Window;

use crate::rival::{BATCH, PATIENCE, Rival};

pub(crate) struct JetStream;

pub(crate) struct Connection {
    context: jetstream::Context,
    messages: pull::Stream,
    /// Messages that the server has not acknowledged.
    acknowledgements: VecDeque<PublishAckFuture>,
}

impl Rival for JetStream {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        anyhow::ensure!(room.is_none(), "it is measured from one user to another");
        let client = async_nats::ConnectOptions::new()
            .subscription_capacity(1 << 20)
            .connect(format!("nats://127.0.0.1:{port}"))
            .await?;
        let context =
            jetstream::context::ContextBuilder::new().timeout(PATIENCE).max_ack_inflight(MOST_UNDER_WAY).build(client);
        let stream = stream::Config {
            name: "messages".into(),
            subjects: vec!["messages.*".into()],
            storage: StorageType::Memory,
            ..Default::default()
        };
        let stream = context.get_or_create_stream(stream).await?;
        let consumer = pull::Config {
            filter_subject: subject(user),
            ack_policy: AckPolicy::Explicit,
            max_ack_pending: MOST_UNDER_WAY as i64,
            memory_storage: true,
            ..Default::default()
        };
        let consumer = stream.create_consumer(consumer).await?;
        let messages = consumer.stream().max_messages_per_batch(MOST_UNDER_WAY).messages().await?;
        Ok(Connection { context, messages, acknowledgements: VecDeque::new() })
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        for _ in 0..copies {
            let publish = PublishMessage::build().payload(message.clone());
            let acknowledgement = connection.context.send_publish(subject(to), publish).await?;
            connection.acknowledgements.push_back(acknowledgement);
            while connection.acknowledgements.len() >= MOST_UNDER_WAY {
                acknowledged(&mut connection.acknowledgements).await?;
            }
        }
        Ok(())
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        let message = connection.messages.next().await.context("the consumer ended")??;
        message.ack().await.map_err(|error| anyhow::anyhow!("ack: {error}"))?;
        let mut received = 1;
        while received < most
            && let Some(Some(message)) = connection.messages.next().now_or_never()
        {
            message?.ack().await.map_err(|error| anyhow::anyhow!("ack: {error}"))?;
            received += 1;
        }
        Ok(received)
    }

    async fn publish(
        connection: &mut Connection,
        to: &str,
        message: &Bytes,
        messages: u64,
        window: &Window,
    ) -> anyhow::Result<()> {
        let mut left = messages;
        while left > 0 {
            let room = window.take(left.min(BATCH)).await;
            Self::send(connection, to, message, room).await?;
            left -= room;
        }
        while !connection.acknowledgements.is_empty() {
            acknowledged(&mut connection.acknowledgements).await?;
        }
        Ok(())
    }
}

async fn acknowledged(acknowledgements: &mut VecDeque<PublishAckFuture>) -> anyhow::Result<()> {
    if let Some(oldest) = acknowledgements.pop_front() {
        oldest.await?;
    }
    Ok(())
}

fn subject(user: &str) -> String {
    format!("messages.{user}")
}

/// As many as the window of the load, so that nothing else holds a message back.
const MOST_UNDER_WAY: usize = 1024;
