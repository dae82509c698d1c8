//! A user of the Rust client that another program drives over JSON lines.
//!
//! A line in is `{"id":1,"call":{"login":{"uid":"alice"}}}`; a line out is `{"id":1,"ok":…}`, `{"id":1,"error":…}` or
//! `{"event":…}`. It ends with its standard input.

mod call;

use std::io::Write as _;

use clap::{Parser, ValueEnum};
use rtm_client::{Client, RtmError, RtmEvent, Wire};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::call::Call;

#[derive(Debug, Parser)]
struct Args {
    #[arg(long)]
    gateway: String,
    #[arg(long)]
    app_id: String,
    #[arg(long, value_enum)]
    wire: WireName,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum WireName {
    Native,
    Vendor,
}

#[derive(Debug, serde::Deserialize)]
struct Line {
    id: u64,
    call: Call,
}

// One thread, so that calls start in the order in which they came.
#[tokio::main(flavor = "current_thread")]
async fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    let wire = match args.wire {
        WireName::Native => Wire::Native,
        WireName::Vendor => Wire::Vendor,
    };
    let (client, mut events) = Client::builder().gateway(args.gateway).app_id(args.app_id).wire(wire).build()?;
    let values = client.clone();
    tokio::spawn(async move {
        while let Some(event) = events.recv().await {
            say(&json!({ "event": event, "value": value(&values, &event) }));
        }
    });
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Some(line) = lines.next_line().await? {
        let Line { id, call } = serde_json::from_str(&line)?;
        let client = client.clone();
        tokio::spawn(async move {
            match call.make(&client).await {
                Ok(answer) => say(&json!({ "id": id, "ok": answer })),
                Err(error) => {
                    let refused = error.downcast_ref::<RtmError>();
                    let kind = refused.map(|error| format!("{:?}", error.kind()));
                    let code = refused.and_then(RtmError::code);
                    say(&json!({ "id": id, "error": { "kind": kind, "code": code, "message": error.to_string() } }));
                }
            }
        });
    }
    // Refused when the user is not logged in, which is as good.
    let _ = client.logout().await;
    Ok(())
}

/// What a typed channel makes of a channel's message.
fn value(client: &Client, event: &RtmEvent) -> Option<Value> {
    let RtmEvent::ChannelMessage { channel_id, .. } = event else { return None };
    Some(match client.channel(channel_id).ok()?.typed::<Value>().decode(event)? {
        Ok(message) => json!({ "ok": message.value }),
        Err(error) => json!({ "error": error.to_string() }),
    })
}

fn say(line: &Value) {
    // Nobody reads any more: the end of standard input follows.
    let _ = writeln!(std::io::stdout(), "{line}");
}
