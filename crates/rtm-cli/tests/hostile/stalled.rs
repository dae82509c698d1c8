//! Clients that take nothing of what is sent to them: nobody else waits for them, what they cost is bounded in bytes,
//! and they are told why they were closed.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_client::{ConnectionState, Events, GapReason, RtmEvent, Wire};
use tokio::sync::watch;

use crate::{
    proxy::{Network, Proxy},
    server::{Options, Server, client, soon, unlimited},
};

const MEMBERS: usize = 1000;
const MESSAGES: usize = 160;
/// Sent before the readers are waited for, so that none of them is behind by what a session may hold.
const AT_ONCE: usize = 10;

/// What the readers have noticed.
#[derive(Default)]
struct Noticed {
    messages: watch::Sender<usize>,
    /// Gaps, and links that were lost.
    troubles: AtomicUsize,
}

async fn read(mut events: Events, noticed: Arc<Noticed>) {
    while let Some(event) = events.recv().await {
        match event {
            RtmEvent::ChannelMessage { .. } => noticed.messages.send_modify(|count| *count += 1),
            RtmEvent::Gap { .. } | RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. } => {
                noticed.troubles.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}

/// Waits until a stream says that its session was closed for not reading.
async fn is_told_why(events: &mut Events) {
    loop {
        match soon("being told why", events.recv()).await {
            Some(RtmEvent::Gap { reason, .. }) => {
                assert_eq!(reason, GapReason::SlowConsumer);
                return;
            }
            Some(_) => {}
            None => panic!("the events ended"),
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_stalled_member_of_a_thousand_holds_up_none_of_the_others() {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let project = format!("{}\n[project.settings]\nsession_bytes = \"128KiB\"", unlimited());
    let server = Server::start(Options { project: &project, ..Options::default() });
    // Its application never takes an event until the end.
    let (stalled, mut untaken) = server.client(Wire::Native).window(8).build().unwrap();
    stalled.login("stalled", None).await.unwrap();
    stalled.channel("room").unwrap().join().await.unwrap();

    let noticed = Arc::<Noticed>::default();
    let readers: Vec<_> = stream::iter(1..MEMBERS)
        .map(async |number| {
            let wire = if number % 2 == 0 { Wire::Native } else { Wire::Vendor };
            // The machine may be busy; a member that is slow to answer is not what this is about.
            let (client, events) = server.client(wire).heartbeat(Duration::from_secs(10)).build().unwrap();
            client.login(format!("reader-{number}"), None).await?;
            tokio::spawn(read(events, Arc::clone(&noticed)));
            client.channel("room").unwrap().join().await?;
            Ok::<_, rtm_client::RtmError>(client)
        })
        .buffered(16)
        .try_collect()
        .await
        .unwrap();

    let sender = readers[0].channel("room").unwrap();
    let text = "x".repeat(2048);
    for sent in 1..=MESSAGES {
        sender.send_message(text.as_str()).await.unwrap();
        if sent % AT_ONCE == 0 {
            let mut messages = noticed.messages.subscribe();
            let all = messages.wait_for(|count| *count >= sent * (MEMBERS - 2));
            soon("a message to each reader", all).await.unwrap();
        }
    }
    assert_eq!(*noticed.messages.borrow(), MESSAGES * (MEMBERS - 2));
    assert_eq!(noticed.troubles.load(Ordering::Relaxed), 0);
    is_told_why(&mut untaken).await;
    // And it is a member again.
    soon("a message", async {
        while !matches!(untaken.recv().await, Some(RtmEvent::ChannelMessage { .. })) {
            readers[0].channel("room").unwrap().send_message("again").await.unwrap();
        }
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stalled_reader_costs_no_more_than_its_session_may_hold() {
    const KIB: usize = 16;
    const SENT_KIB: usize = 128 * 1024;
    // A session of 4 MiB that comes back may hold twice that; the socket's bytes, and what the allocator keeps.
    const MOST_KIB: u64 = 24 * 1024;
    let project = unlimited();
    let server = Server::start(Options { project: &project, ..Options::default() });
    for wire in [Wire::Native, Wire::Vendor] {
        let proxy = Proxy::start(server.address).await;
        let name = format!("stalled-{wire:?}");
        let builder = client(proxy.address, wire).heartbeat(Duration::from_secs(10));
        let (stalled, mut events) =
            builder.reconnect_backoff(Duration::from_millis(50), Duration::from_millis(50)).build().unwrap();
        stalled.login(&name, None).await.unwrap();
        stalled.channel(&name).unwrap().join().await.unwrap();
        let (sender, _sender_events) = server.log_in(Wire::Native, &format!("sender-{wire:?}")).await;
        let room = sender.channel(&name).unwrap();
        room.join().await.unwrap();
        let before = server.level();
        proxy.set(Network::Stopped);
        let text = "x".repeat(KIB * 1024);
        for sent in 0..SENT_KIB / KIB {
            room.send_message(text.as_str()).await.unwrap();
            if sent % 64 == 0 {
                let now = server.level().resident_kib;
                assert!(now <= before.resident_kib + MOST_KIB, "{wire:?}: {now} KiB after {before:?}");
            }
        }
        proxy.set(Network::Open);
        loop {
            match soon("being told of a loss", events.recv()).await {
                Some(RtmEvent::Gap { .. }) => break,
                Some(_) => {}
                None => panic!("the events ended"),
            }
        }
        stalled.logout().await.unwrap();
        sender.logout().await.unwrap();
    }
}
