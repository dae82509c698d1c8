//! Redis publish and subscribe: `redis-server` and the redis crate, pipelines of PUBLISH, several under way.

use anyhow::Context as _;
use bytes::Bytes;
use futures::{FutureExt as _, StreamExt as _, stream::BoxStream};
use redis::{Msg, aio::MultiplexedConnection};
use tokio::task::JoinSet;

use crate::rival::Rival;

pub(crate) struct Redis;

pub(crate) struct Connection {
    publisher: MultiplexedConnection,
    pipelines: JoinSet<redis::RedisResult<()>>,
    messages: BoxStream<'static, Msg>,
    /// Ends the subscription when dropped.
    _sink: redis::aio::PubSubSink,
}

impl Rival for Redis {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        let client = redis::Client::open(format!("redis://127.0.0.1:{port}/"))?;
        let publisher = client.get_multiplexed_async_connection().await?;
        let (mut sink, messages) = client.get_async_pubsub().await?.split();
        let subject = match room {
            Some(room) if user != "publisher" => room,
            _ => user,
        };
        sink.subscribe(subject).await?;
        Ok(Connection { publisher, pipelines: JoinSet::new(), messages: messages.boxed(), _sink: sink })
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        let mut pipeline = redis::pipe();
        for _ in 0..copies {
            pipeline.publish(to, message.as_ref()).ignore();
        }
        if connection.pipelines.len() == PIPELINES {
            connection.pipelines.join_next().await.context("no pipeline")???;
        }
        let mut publisher = connection.publisher.clone();
        connection.pipelines.spawn(async move { pipeline.query_async(&mut publisher).await });
        Ok(())
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        connection.messages.next().await.context("the subscription ended")?;
        let mut received = 1;
        while received < most
            && let Some(Some(_)) = connection.messages.next().now_or_never()
        {
            received += 1;
        }
        Ok(received)
    }
}

/// How many pipelines are under way at once.
const PIPELINES: usize = 16;
