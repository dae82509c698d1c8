//! How fast both wires encode and decode on this machine: `cargo run --release --example codec_speed`.

use std::time::{Duration, Instant};

use anyhow::Context;
use rtm_codec::{
    ClientWire, Event, MessageId, Packet, PeerMessage, RtmMessage, Seq, ServerFrame, ServerWire, UserId, Wire,
};

/// How long each number is measured.
const TIME: Duration = Duration::from_millis(250);

fn main() -> anyhow::Result<()> {
    if cfg!(debug_assertions) {
        println!("this is a debug build: use `cargo run --release --example codec_speed` for real numbers");
    }
    println!("{:<7} {:>6} {:>14} {:>14} {:>10}", "wire", "text", "encodes/s", "decodes/s", "on wire");
    for wire in [Wire::Native, Wire::Vendor] {
        for size in [16, 256, 4096, 32_768] {
            let frame = message(size)?;
            let (encodes, packet) = encode(wire, &frame)?;
            let decodes = decode(wire, &packet, &frame)?;
            let name = format!("{wire:?}").to_lowercase();
            println!("{name:<7} {size:>4} B {encodes:>14.0} {decodes:>14.0} {:>8} B", length(&packet));
        }
    }
    Ok(())
}

/// What a server sends when a user gets a message.
fn message(size: usize) -> anyhow::Result<ServerFrame> {
    let text: String = "It's \"just\" a message. ".chars().cycle().take(size).collect();
    let event = Event::MessageFromPeer(PeerMessage {
        message_id: MessageId(1_234_567_890_123),
        peer_id: UserId::new("alice")?,
        message: RtmMessage::text(text),
        is_offline_message: false,
        server_received_ts: 1_700_000_000_000,
    });
    Ok(ServerFrame::Event { seq: Seq(1), event })
}

fn encode(wire: Wire, frame: &ServerFrame) -> anyhow::Result<(f64, Packet)> {
    let mut codec = ServerWire::new(wire);
    let mut last = None;
    let rate = measure(|| {
        codec.encode(frame);
        last = codec.take_packet();
        Ok(())
    })?;
    Ok((rate, last.context("nothing was encoded")?))
}

fn decode(wire: Wire, packet: &Packet, sent: &ServerFrame) -> anyhow::Result<f64> {
    let mut codec = ClientWire::new(wire);
    let mut frames = Vec::new();
    measure(|| {
        frames.clear();
        codec.decode(packet.clone(), &mut frames)?;
        let (Some(ServerFrame::Event { event: received, .. }), ServerFrame::Event { event, .. }) =
            (frames.first(), sent)
        else {
            anyhow::bail!("another frame arrived");
        };
        anyhow::ensure!(received == event, "another message arrived");
        Ok(())
    })
}

/// How often a second `work` runs.
fn measure(mut work: impl FnMut() -> anyhow::Result<()>) -> anyhow::Result<f64> {
    let (start, mut times) = (Instant::now(), 0_u32);
    while start.elapsed() < TIME {
        for _ in 0..64 {
            work()?;
        }
        times += 64;
    }
    Ok(f64::from(times) / start.elapsed().as_secs_f64())
}

fn length(packet: &Packet) -> usize {
    match packet {
        Packet::Text(text) => text.len(),
        Packet::Binary(bytes) => bytes.len(),
    }
}
