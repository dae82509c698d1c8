//! Ten thousand that connect and are gone.

use futures::{StreamExt as _, stream};
use rtm_codec::Wire;
use tokio::io::AsyncWriteExt;

use crate::{
    raw::{Raw, frame},
    server::{Options, Server, unlimited},
    witnesses::Witnesses,
};

/// Ten thousand that left a hundred bytes each would be over it.
const ALLOWANCE_KIB: u64 = 1024;
/// How many rounds fill what is bounded.
const WARM_UP: usize = 4;

/// Gets as far as its number says, and drops the socket.
async fn come_and_go(number: usize, server: &Server) {
    let mut raw = Raw::connect_from(number, server.address).await;
    let wire = if number.is_multiple_of(2) { Wire::Native } else { Wire::Vendor };
    match number % 10 {
        0..3 => {}
        3 => raw.stream.write_all(b"GET / HTTP/1.1\r\nHost").await.unwrap(),
        4..7 => raw.shake_hands(wire).await,
        7 => {
            raw.shake_hands(wire).await;
            raw.stream.write_all(&frame(0x82, &[1; 500])[..100]).await.unwrap();
        }
        // Users come back: what is kept of each of them is bounded by their number.
        _ => raw.log_in(&format!("user-{}", number % 1000), 10_000).await,
    }
}

#[tokio::test]
async fn ten_thousand_connects_and_drops_leave_nothing_behind() {
    // The log of events is there to be kept, in memory too.
    let project = format!("{}\n[events]\nenabled = false\n", unlimited());
    let server = Server::start(Options { project: &project, ..Options::default() });
    let mut witnesses = Witnesses::of(&server).await;
    let before = server.level();
    // What is kept for a while, of addresses, users and the last connections that ended, is full after some rounds.
    let mut when_full = None;
    for round in 0..WARM_UP + 6 {
        stream::iter(round * 2000..(round + 1) * 2000)
            .for_each_concurrent(50, async |number| come_and_go(number, &server).await)
            .await;
        witnesses.notice_nothing().await;
        match when_full {
            None if round < WARM_UP => server.returns_to(before, 32 * 1024).await,
            None => when_full = Some(server.level()),
            Some(level) => server.returns_to(level, ALLOWANCE_KIB).await,
        }
    }
}
