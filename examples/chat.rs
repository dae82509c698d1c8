//! A chat room in the terminal.
//!
//! `cargo run --example chat` starts a server and a room with a bot in it; it prints the command with which others join.
//! `cargo run --example chat -- GATEWAY APP_ID USER ROOM` joins a room on any server. Where standard input is not a
//! terminal, three users talk by themselves.

use std::{env, io::IsTerminal, time::Duration};

use anyhow::bail;
use examples::{APP_ID, start_server};
use futures::{Stream, StreamExt, pin_mut, stream};
use rtm_client::{Client, RtmEvent};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    time::sleep,
};

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let args: Vec<String> = env::args().skip(1).collect();
    match &args[..] {
        [gateway, app_id, user, room] => chat(gateway, app_id, user, room, typed_lines()).await,
        [] => {
            let (server, gateway) = start_server().await?;
            println!("others join with: cargo run --example chat -- {gateway} {APP_ID} NAME lobby");
            if std::io::stdin().is_terminal() {
                let bot = tokio::spawn(bot(gateway.clone()));
                chat(&gateway, APP_ID, "you", "lobby", typed_lines()).await?;
                bot.abort();
            } else {
                demo(&gateway).await?;
            }
            server.shutdown().await;
            Ok(())
        }
        _ => bail!("usage: chat [GATEWAY APP_ID USER ROOM]"),
    }
}

/// Sends `lines` to a room and prints what others send, until the lines end.
async fn chat(
    gateway: &str,
    app_id: &str,
    user: &str,
    room: &str,
    lines: impl Stream<Item = String>,
) -> anyhow::Result<()> {
    let (client, mut events) = Client::builder().gateway(gateway).app_id(app_id).build()?;
    client.login(user, None).await?;
    let channel = client.channel(room)?;
    channel.join().await?;
    pin_mut!(lines);
    loop {
        tokio::select! {
            line = lines.next() => match line {
                Some(line) if line.trim().is_empty() => {}
                Some(line) => channel.send_message(line).await?,
                None => break,
            },
            Some(event) = events.recv() => match event {
                RtmEvent::ChannelMessage { member_id, message, .. } => {
                    println!("{user:>6} | {member_id}: {}", message.as_text().unwrap_or("(bytes)"));
                }
                RtmEvent::MemberJoined { member_id, .. } => println!("{user:>6} | * {member_id} comes in"),
                RtmEvent::MemberLeft { member_id, .. } => println!("{user:>6} | * {member_id} goes"),
                _ => {}
            },
        }
    }
    client.logout().await?;
    Ok(())
}

fn typed_lines() -> impl Stream<Item = String> {
    stream::unfold(BufReader::new(tokio::io::stdin()).lines(), |mut lines| async {
        lines.next_line().await.ok().flatten().map(|line| (line, lines))
    })
}

/// Answers everybody.
async fn bot(gateway: String) -> anyhow::Result<()> {
    let (client, mut events) = Client::builder().gateway(&gateway).app_id(APP_ID).build()?;
    client.login("bot", None).await?;
    let channel = client.channel("lobby")?;
    channel.join().await?;
    while let Some(event) = events.recv().await {
        if let RtmEvent::ChannelMessage { member_id, message, .. } = event {
            channel.send_message(format!("{member_id} says {:?}", message.as_text().unwrap_or_default())).await?;
        }
    }
    Ok(())
}

/// Three users who say their lines at their times, and listen a little longer.
async fn demo(gateway: &str) -> anyhow::Result<()> {
    let said = |lines: [(u64, &'static str); 3]| {
        stream::iter(lines).then(async |(after_ms, line)| {
            sleep(Duration::from_millis(after_ms)).await;
            line.to_owned()
        })
    };
    tokio::try_join!(
        chat(gateway, APP_ID, "ann", "lobby", said([(400, "hello"), (600, "how are you two?"), (800, "")])),
        chat(gateway, APP_ID, "ben", "lobby", said([(600, "hi ann"), (700, "fine, thank you"), (400, "")])),
        chat(gateway, APP_ID, "cho", "lobby", said([(800, "大家好"), (300, "bye"), (100, "")])),
    )?;
    Ok(())
}
