//! MQTT 3.1.1 with QoS 1, by rumqttc: the broker acknowledges each message to its publisher, and each receiver to the broker.

use std::sync::Arc;

use anyhow::Context as _;
use bytes::Bytes;
use rtm_load::Window;
use rumqttc::{AsyncClient, Event, EventLoop, Incoming, MqttOptions, QoS};
use tokio::sync::mpsc;

use crate::rival::{BATCH, Rival};

pub(crate) struct Mqtt;

pub(crate) struct Connection {
    client: AsyncClient,
    messages: mpsc::UnboundedReceiver<()>,
    /// What was sent and the broker has not acknowledged.
    acknowledged: Arc<Window>,
}

impl Rival for Mqtt {
    type Connection = Connection;

    async fn connect(port: u16, user: &str, room: Option<&str>) -> anyhow::Result<Connection> {
        anyhow::ensure!(room.is_none(), "it is measured from one user to another");
        let mut options = MqttOptions::new(user, "127.0.0.1", port);
        options.set_inflight(MOST_UNDER_WAY);
        let (client, mut events) = AsyncClient::new(options, usize::from(MOST_UNDER_WAY));
        events.network_options.set_tcp_nodelay(true);
        client.subscribe(user, QoS::AtLeastOnce).await?;
        while !matches!(events.poll().await?, Event::Incoming(Incoming::SubAck(_))) {}
        let (message, messages) = mpsc::unbounded_channel();
        let acknowledged = Arc::new(Window::new(u64::from(MOST_UNDER_WAY), 1));
        tokio::spawn(run(events, message, Arc::clone(&acknowledged)));
        Ok(Connection { client, messages, acknowledged })
    }

    async fn send(connection: &mut Connection, to: &str, message: &Bytes, copies: u64) -> anyhow::Result<()> {
        let mut left = copies;
        while left > 0 {
            let room = connection.acknowledged.take(left).await;
            for _ in 0..room {
                connection.client.publish_bytes(to, QoS::AtLeastOnce, false, message.clone()).await?;
            }
            left -= room;
        }
        Ok(())
    }

    async fn receive(connection: &mut Connection, most: u64) -> anyhow::Result<u64> {
        connection.messages.recv().await.context("the connection ended")?;
        let mut received = 1;
        while received < most && connection.messages.try_recv().is_ok() {
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
        connection.acknowledged.all_delivered().await;
        Ok(())
    }
}

/// The client reads and writes, and acknowledges what it has received, only while somebody asks it for events.
async fn run(mut events: EventLoop, message: mpsc::UnboundedSender<()>, acknowledged: Arc<Window>) {
    while let Ok(event) = events.poll().await {
        match event {
            Event::Incoming(Incoming::PubAck(_)) => acknowledged.delivered(1),
            Event::Incoming(Incoming::Publish(_)) if message.send(()).is_err() => break,
            _ => {}
        }
    }
}

/// As many as the window of the load, so that nothing else holds a message back.
const MOST_UNDER_WAY: u16 = 1024;
