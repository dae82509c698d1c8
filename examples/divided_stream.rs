//! One client whose stream of events is divided among several readers: a task for a room, two typed channels that one
//! `select!` reads, and the rest beside them.

use std::time::Duration;

use anyhow::{Context, ensure};
use examples::{APP_ID, start_server};
use rtm_client::{Client, EventPart, Events, RtmEvent, TypedEvent};
use serde::{Deserialize, Serialize};
use tokio::time::timeout;

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Price {
    cents: u32,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Order {
    pieces: u8,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (server, gateway) = start_server().await?;
    let (ann, mut events) = log_in("ann", &gateway).await?;
    let (ben, _) = log_in("ben", &gateway).await?;

    // A part picks events from when it is made: make it before the channel is joined, and it misses none.
    let lobby = ann.channel("lobby")?;
    let lobby_task = tokio::spawn(read_lobby(events.channel_part(lobby.id())));
    let (prices, orders) = (ann.channel("prices")?.typed::<Price>(), ann.channel("orders")?.typed::<Order>());
    // Only the latest price matters. A slow reader of prices does not hold back the orders.
    let mut new_prices = prices.messages(&mut events).lossy(1);
    let mut new_orders = orders.messages(&mut events);
    for channel in [&lobby, prices.channel(), orders.channel()] {
        channel.join().await?;
    }

    let trade = tokio::spawn(sell(ben));
    let mut sold = 0;
    while sold < 3 {
        tokio::select! {
            Some(event) = new_prices.recv() => match event {
                TypedEvent::Message(price) => println!("the price is {} cents", price.value.cents),
                TypedEvent::Gap { lost, .. } => println!("{} prices were passed over", lost.unwrap_or_default()),
                other => println!("{other:?}"),
            },
            Some(event) = new_orders.recv() => match event {
                TypedEvent::Message(order) => sold += order.value.pieces,
                other => println!("{other:?}"),
            },
            // What no part picked: the connection, messages from users, who comes and goes.
            Some(event) = events.recv() => println!("{event}"),
            else => break,
        }
    }
    println!("{sold} pieces are sold");

    let ben = trade.await??;
    let said = timeout(Duration::from_secs(5), lobby_task).await??;
    ensure!(said == ["hello", "bye"], "the lobby heard {said:?}");
    for client in [ann, ben] {
        client.logout().await?;
    }
    server.shutdown().await;
    Ok(())
}

async fn log_in(name: &str, gateway: &str) -> anyhow::Result<(Client, Events)> {
    let (client, events) = Client::builder().gateway(gateway).app_id(APP_ID).build()?;
    client.login(name, None).await?;
    Ok((client, events))
}

/// What members say, until one of them says bye.
async fn read_lobby(mut lobby: EventPart) -> Vec<String> {
    let mut said = Vec::new();
    while let Some(event) = lobby.recv().await {
        println!("in the lobby: {event}");
        if let RtmEvent::ChannelMessage { message, .. } = event {
            said.extend(message.as_text().map(str::to_owned));
        }
        if said.last().is_some_and(|text| text == "bye") {
            break;
        }
    }
    said
}

/// Talks in the lobby, changes the price, and orders.
async fn sell(ben: Client) -> anyhow::Result<Client> {
    let lobby = ben.channel("lobby")?;
    let (prices, orders) = (ben.channel("prices")?.typed(), ben.channel("orders")?.typed());
    for channel in [&lobby, prices.channel(), orders.channel()] {
        channel.join().await?;
    }
    lobby.send_message("hello").await?;
    for cents in [100, 110, 120] {
        prices.send(&Price { cents }).await?;
        orders.send(&Order { pieces: 1 }).await.context("no order")?;
    }
    lobby.send_message("bye").await?;
    Ok(ben)
}
