//! The Rust on the pages: each block is a part of a file that CI compiles, and the bot of docs/client.md is `examples/bot`.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]
#![allow(dead_code, reason = "what a page shows in a part, and no example has")]

use std::{fs, path::Path, time::Duration};

use futures::{TryStreamExt, stream::FuturesOrdered};
use rtm_client::{Client, ErrorKind, RtmEvent};
use rtm_token::{Builder, Certificate};

const APP_ID: &str = "0123456789abcdef0123456789abcdef";

#[test]
fn every_block_of_rust_is_a_part_of_a_file_that_is_compiled() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let mut compiled = String::new();
    for folder in ["examples", "examples/tests", "examples/bot/src", "examples/axum-backend/src"] {
        for entry in fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "rs") {
                compiled += &flat(&fs::read_to_string(path).unwrap());
            }
        }
    }
    let mut checked = 0;
    for page in ["README.md", "docs/start.md", "docs/client.md", "docs/server.md", "docs/testing.md"] {
        for block in blocks(&fs::read_to_string(root.join(page)).unwrap()) {
            checked += 1;
            assert!(compiled.contains(&flat(&block)), "{page} shows what CI does not compile:\n{block}");
        }
    }
    assert!(checked > 20, "only {checked} blocks were found");
}

#[test]
fn the_bot_of_the_guide_is_its_blocks_joined() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("../docs/client.md")).unwrap();
    let section = page.split("\n## A bot\n").nth(1).unwrap().split("\n## ").next().unwrap();
    let bot = fs::read_to_string(root.join("bot/src/main.rs")).unwrap();
    assert_eq!(blocks(section).join("\n"), bot[bot.find("use std::").unwrap()..]);
}

fn blocks(page: &str) -> Vec<String> {
    page.split("```rust\n").skip(1).filter_map(|rest| Some(rest.split("```").next()?.to_owned())).collect()
}

/// A text without indentation: a page shows a part of a function without that of the function.
fn flat(text: &str) -> String {
    text.lines().map(|line| format!("{}\n", line.trim_start())).collect()
}

async fn first_program() -> Result<(), Box<dyn std::error::Error>> {
    let (client, mut events) = Client::builder().gateway("http://127.0.0.1:8080").app_id(APP_ID).build()?;
    client.login("alice", None).await?;
    let outcome = client.send_message_to_peer("bob", "hello").await?;
    println!("bob has it: {}", outcome.has_peer_received());
    client.channel("lobby")?.join().await?;
    while let Some(event) = events.recv().await {
        match event {
            RtmEvent::ChannelMessage { member_id, message, .. } => {
                println!("{member_id}: {}", message.as_text().unwrap_or("(not a text)"));
            }
            event => println!("{}: {event}", event.name()),
        }
    }
    Ok(())
}

fn token(app_id: &str) -> Result<String, Box<dyn std::error::Error>> {
    let certificate: Certificate = std::env::var("RTM_CERTIFICATE")?.parse()?;
    let token = Builder::for_now(app_id, &certificate, "alice").ttl(Duration::from_secs(3600)).build()?;
    Ok(token)
}

fn network() -> Result<(), Box<dyn std::error::Error>> {
    let (client, events) = Client::builder()
        .gateway("https://one.example.com")
        .gateway("https://two.example.com") // the next one, when one is gone
        .app_id(APP_ID)
        .root_certificates(fs::read("ca.pem")?)
        .proxy("socks5h://127.0.0.1:1080")
        .build()?;
    drop((client, events));
    Ok(())
}

async fn many(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    let calls: FuturesOrdered<_> = (1..=100).map(|n| client.send_message_to_peer("bob", n.to_string())).collect();
    let outcomes: Vec<_> = calls.try_collect().await?;
    println!("{} of 100 were received", outcomes.iter().filter(|outcome| outcome.has_peer_received()).count());
    Ok(())
}

async fn refused(client: Client) -> Result<(), Box<dyn std::error::Error>> {
    match client.send_message_to_peer("bob", "hello").await {
        Ok(outcome) => println!("{outcome}"),
        Err(error) if error.kind() == ErrorKind::TooOften => {
            println!("again in {:?}", error.retry_after());
        }
        // It may have been sent: only a message that may be repeated is sent again.
        Err(error) if matches!(error.kind(), ErrorKind::Timeout | ErrorKind::OutcomeUnknown) => println!("{error:#}"),
        Err(error) => return Err(error.into()),
    }
    Ok(())
}
