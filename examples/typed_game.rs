//! A game whose moves are a type of the application's own, in a typed channel. One who does not play by the rules is
//! named, and disturbs nobody.

use anyhow::{Context, bail};
use examples::{APP_ID, start_server};
use rtm_client::{Client, Events, TypedChannel, TypedEvent};
use serde::{Deserialize, Serialize};

/// Nim: who takes the last stick wins.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Move {
    takes: u8,
    left: u8,
}

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let (server, gateway) = start_server().await?;
    let (ann, ann_events) = join("ann", &gateway).await?;
    let (ben, ben_events) = join("ben", &gateway).await?;
    let (spoiler, _) = join("mallory", &gateway).await?;

    spoiler.channel().send_message("{\"takes\": \"everything\"}").await?;
    let start = Move { takes: 0, left: 21 };
    ben.send(&start).await?;
    let (ann, ben) = tokio::join!(play("ann", ann, ann_events), play("ben", ben, ben_events));
    println!("{} wins", if ann? { "ann" } else { "ben" });
    ben?;
    server.shutdown().await;
    Ok(())
}

async fn join(name: &str, gateway: &str) -> anyhow::Result<(TypedChannel<Move>, Events)> {
    let (client, events) = Client::builder().gateway(gateway).app_id(APP_ID).build()?;
    client.login(name, None).await?;
    let game = client.channel("nim")?.typed::<Move>();
    game.channel().join().await?;
    Ok((game, events))
}

/// Answers moves until the sticks are gone, and says whether this player took the last.
async fn play(name: &str, game: TypedChannel<Move>, mut events: Events) -> anyhow::Result<bool> {
    let mut moves = game.messages(&mut events);
    loop {
        let left = match moves.recv().await.context("the client has ended")? {
            TypedEvent::Message(message) => message.value.left,
            TypedEvent::Unreadable(error) => {
                println!("{name}: {error}");
                continue;
            }
            // Without a move that is missing nobody can go on.
            other => bail!("the game is broken off: {other:?}"),
        };
        if left == 0 {
            return Ok(false);
        }
        // Leave a multiple of four, where that is possible.
        let takes = (left % 4).max(1);
        let mine = Move { takes, left: left - takes };
        println!("{name} takes {takes}, {} left", mine.left);
        game.send(&mine).await?;
        if mine.left == 0 {
            return Ok(true);
        }
    }
}
