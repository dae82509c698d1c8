//! Five hundred clients whose server dies and comes back: all return, and not all at once.

use std::time::{Duration, Instant};

use futures::future::join_all;
use rtm_client::{ConnectionState, Events, RtmEvent, Wire};

use crate::{
    server::{Options, Server, soon},
    witnesses::Witnesses,
};

const CLIENTS: usize = 500;
/// The longest pause of a client, and some time for the work.
const ALL_BACK: Duration = Duration::from_secs(20);
const ALLOWANCE_KIB: u64 = 16 * 1024;

async fn until(events: &mut Events, wanted: ConnectionState) -> Instant {
    loop {
        match events.recv().await {
            Some(RtmEvent::ConnectionStateChanged { state, .. }) if state == wanted => return Instant::now(),
            Some(RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. }) => {
                panic!("{reason:?}")
            }
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn all_clients_come_back_after_a_restart_spread_by_jitter() {
    let server = Server::start(Options::default());
    let address = server.address;
    let before = server.level();
    let mut clients = join_all((0..CLIENTS).map(async |i| {
        let wire = if i % 2 == 0 { Wire::Native } else { Wire::Vendor };
        server.log_in(wire, &format!("user-{i}")).await
    }))
    .await;
    join_all(clients.iter_mut().map(|(_, events)| until(events, ConnectionState::Connected))).await;
    let full = server.level();

    server.kill();
    let left = clients.iter_mut().map(|(_, events)| until(events, ConnectionState::Reconnecting));
    soon("noticing the end", join_all(left)).await;
    let server = Server::start(Options { listen: Some(address), ..Options::default() });
    let started = Instant::now();
    let back = clients.iter_mut().map(|(_, events)| until(events, ConnectionState::Connected));
    let back = tokio::time::timeout(ALL_BACK, join_all(back)).await.expect("all are back in time");

    let mut took: Vec<Duration> = back.into_iter().map(|at| at.saturating_duration_since(started)).collect();
    took.sort_unstable();
    let last = took[CLIENTS - 1];
    let early = took.iter().filter(|took| **took < last / 10).count();
    println!("back after {:?} (first), {:?} (median), {last:?} (last)", took[0], took[CLIENTS / 2]);
    assert!(early < CLIENTS / 2, "{early} of {CLIENTS} came in the first tenth of {last:?}");

    let mut witnesses = Witnesses::of(&server).await;
    drop(witnesses);
    server.returns_to(full, ALLOWANCE_KIB).await;
    join_all(clients.iter().map(async |(client, _)| client.logout().await.unwrap())).await;
    server.returns_to(before, ALLOWANCE_KIB).await;
    witnesses = Witnesses::of(&server).await;
    witnesses.notice_nothing().await;
}
