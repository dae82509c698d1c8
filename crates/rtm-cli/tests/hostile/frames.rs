//! Frames that are too large, too deep, or too many: what they take is given back. What each is answered, the server's
//! own tests say.

use futures::future::join_all;
use rtm_codec::Wire;
use tokio::io::AsyncWriteExt;

use crate::{
    raw::{Raw, frame},
    server::{Options, Server, soon},
    witnesses::Witnesses,
};

const CROWD: usize = 40;
/// What the allocator may keep of 40 MiB that were under way at once.
const ALLOWANCE_KIB: u64 = 16 * 1024;

/// Sends everything, unless the server has closed the socket before.
async fn send(raw: &mut Raw, bytes: &[u8]) {
    let _ = soon("being read from", raw.stream.write_all(bytes)).await;
}

#[tokio::test]
async fn messages_that_never_end_take_their_limit_and_give_it_back() {
    let server = Server::start(Options::default());
    let mut witnesses = Witnesses::of(&server).await;
    let part = vec![1; 60_000];
    for round in 0..2 {
        let before = server.level();
        let mut crowd = Vec::new();
        for i in 0..CROWD {
            let mut raw = Raw::connect(server.address).await;
            raw.log_in(&format!("giant-{i}"), 10_000).await;
            send(&mut raw, &frame(0x02, &part)).await;
            for _ in 0..15 {
                send(&mut raw, &frame(0x00, &part)).await;
            }
            crowd.push(raw);
        }
        witnesses.notice_nothing().await;
        let growth = server.level().resident_kib.saturating_sub(before.resident_kib);
        assert!(growth < CROWD as u64 * 2 * 1024, "{growth} KiB for {CROWD} unfinished messages of 1 MiB");
        // One more part is beyond the limit for one half; the other vanishes.
        let mut ends = Vec::new();
        for (i, mut raw) in crowd.into_iter().enumerate() {
            if i % 2 == 0 {
                for _ in 0..3 {
                    send(&mut raw, &frame(0x00, &part)).await;
                }
                ends.push(raw.closed());
            }
        }
        join_all(ends).await;
        witnesses.notice_nothing().await;
        if round > 0 {
            server.returns_to(before, ALLOWANCE_KIB).await;
        }
    }
}

#[tokio::test]
async fn nested_and_compressed_nonsense_costs_its_sender_alone() {
    let server = Server::start(Options::default());
    let mut witnesses = Witnesses::of(&server).await;
    let deep = "[".repeat(30_000);
    let objects = "{\"a\":".repeat(10_000);
    let escaped = "\\".repeat(30_000);
    let contents = [
        deep.clone(),
        objects.clone(),
        format!(r#"{{"Cmd":"Login","Encrypt":false,"Content":{deep}"#),
        format!(r#"{{"Cmd":"Login","Encrypt":false,"Content":"{escaped}"}}"#),
        format!(r#"{{"Cmd":"Login","Encrypt":false,"Content":"{objects}"#),
        format!(r#"{{"Cmd":"{}","Encrypt":false,"Content":"{{}}"}}"#, "x".repeat(60_000)),
    ];
    for round in 0..3 {
        let before = server.level();
        let crowd = (0..300).map(async |i| {
            let mut raw = Raw::connect_from(i, server.address).await;
            raw.shake_hands(Wire::Vendor).await;
            send(&mut raw, &frame(0x81, contents[i % contents.len()].as_bytes())).await;
            // One of a name that is unknown is passed over, so the others end it, and this its owner.
            send(&mut raw, &frame(0x88, b"")).await;
            raw.closed().await;
        });
        soon("being closed", join_all(crowd)).await;
        witnesses.notice_nothing().await;
        if round > 0 {
            server.returns_to(before, ALLOWANCE_KIB).await;
        }
    }
}
