//! Peers that never finish what they begin: the HTTP head, the upgrade, the login, the conversation.

use std::time::Duration;

use futures::future::join_all;
use rtm_codec::Wire;
use tokio::{io::AsyncWriteExt, time::interval};

use crate::{
    raw::{Raw, frame, handshake},
    server::{Options, Server, soon},
    witnesses::Witnesses,
};

/// What the allocator may keep after some hundred sockets.
const ALLOWANCE_KIB: u64 = 8 * 1024;
const CROWD: usize = 200;

/// Writes `bytes` one by one, slowly, and the last of them for ever, until the server has enough of it.
async fn dribble(mut raw: Raw, bytes: &[u8]) {
    let mut drops = interval(Duration::from_millis(50));
    let last = bytes.len().saturating_sub(1);
    for byte in bytes[..last].iter().chain(std::iter::repeat(&bytes[last])) {
        drops.tick().await;
        if raw.stream.write_all(&[*byte]).await.is_err() {
            return;
        }
    }
}

#[tokio::test]
async fn handshakes_that_dribble_or_never_end_are_cut_off() {
    let server = Server::start(Options { server: "handshake_timeout = \"3s\"", ..Options::default() });
    let mut witnesses = Witnesses::of(&server).await;
    let unfinished = handshake(Wire::Native).trim_end().to_owned();
    let slow = [
        "G".to_owned(),
        "GET /healthz HTTP/1.1\r\nHost: aaaaaaaaaaaaaaaaaa".to_owned(),
        unfinished,
        "POST /arapi/v1?action=wrtm_gateway HTTP/1.1\r\nHost: h\r\nContent-Length: 60000\r\n\r\n{\"appid\":\"aaa"
            .to_owned(),
    ];
    // A first crowd, so that what is allocated once is.
    for crowd in [CROWD / 4, CROWD] {
        let before = server.level();
        let mut ends = Vec::new();
        let sockets = join_all((0..crowd).map(|_| Raw::connect(server.address))).await;
        for (i, mut raw) in sockets.into_iter().enumerate() {
            let text = &slow[i % slow.len()];
            // Half of them say all they have at once and then nothing.
            if i % 8 < 4 {
                raw.stream.write_all(&text.as_bytes()[..text.len() - 1]).await.unwrap();
                ends.push(futures::future::Either::Left(raw.closed()));
            } else {
                ends.push(futures::future::Either::Right(dribble(raw, text.as_bytes())));
            }
        }
        witnesses.notice_nothing().await;
        soon("being cut off", join_all(ends)).await;
        witnesses.notice_nothing().await;
        server.returns_to(before, ALLOWANCE_KIB).await;
    }
}

#[tokio::test]
async fn who_connects_and_does_not_log_in_is_cut_off_whatever_else_it_says() {
    let server = Server::start(Options { server: "login_timeout = \"3s\"", ..Options::default() });
    let mut witnesses = Witnesses::of(&server).await;
    for crowd in [CROWD / 4, CROWD] {
        let before = server.level();
        let mut ends = Vec::new();
        let sockets = (0..crowd).map(async |i| {
            let mut raw = Raw::connect(server.address).await;
            raw.shake_hands(if i % 2 == 0 { Wire::Native } else { Wire::Vendor }).await;
            raw
        });
        for (i, mut raw) in join_all(sockets).await.into_iter().enumerate() {
            ends.push(async move {
                match i % 4 {
                    0 | 1 => raw.closed().await,
                    // WebSocket pings: the timeout is not theirs to prolong.
                    2 => {
                        let mut pings = interval(Duration::from_millis(100));
                        loop {
                            pings.tick().await;
                            if raw.stream.write_all(&frame(0x89, b"")).await.is_err() {
                                return;
                            }
                        }
                    }
                    _ => dribble(raw, &frame(0x82, &[1; 60_000])).await,
                }
            });
        }
        witnesses.notice_nothing().await;
        soon("being cut off", join_all(ends)).await;
        witnesses.notice_nothing().await;
        server.returns_to(before, ALLOWANCE_KIB).await;
    }
}

#[tokio::test]
async fn half_open_sockets_are_given_up_after_their_silence() {
    let project = "[project.settings]\nunreachable_after = \"1s\"\noffline_after = \"4s\"\nresume_within = \"4s\"";
    let server = Server::start(Options { project, ..Options::default() });
    let mut witnesses = Witnesses::of(&server).await;
    let before = server.level();
    let mut silent = Vec::new();
    for i in 0..CROWD {
        let mut raw = Raw::connect(server.address).await;
        raw.log_in(&format!("silent-{i}"), 500).await;
        silent.push(raw);
    }
    witnesses.notice_nothing().await;
    // The sockets stay open on this side; nobody reads from or writes to them.
    server.returns_to(before, ALLOWANCE_KIB).await;
    witnesses.notice_nothing().await;
    drop(silent);
}
