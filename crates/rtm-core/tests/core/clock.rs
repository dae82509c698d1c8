//! Time as the core takes it: pauses of the whole server, and a clock that is set.

use rtm_codec::{
    ClientFrame, ErrorKind, Event, GetChannelMemberCount, JoinChannel, KeepAlive, Login,
    PeerOnlineState::{self, *},
    SendOutcome, SubscribePeersOnlineStatus,
};

use crate::harness::*;

fn subscribe(users: &[&str]) -> SubscribePeersOnlineStatus {
    SubscribePeersOnlineStatus { peer_ids: users.iter().map(|user| uid(user)).collect() }
}

fn join(channel: &str) -> JoinChannel {
    JoinChannel { channel_id: room(channel) }
}

fn members(world: &mut World, client: C, channel: &str) -> u32 {
    world.call(client, GetChannelMemberCount { channel_ids: vec![room(channel)] }).unwrap()[&room(channel)]
}

fn changes(events: &[Event]) -> Vec<(String, PeerOnlineState)> {
    let peers = events.iter().filter_map(|event| match event {
        Event::PeersOnlineStatusChanged { peers } => Some(peers),
        _ => None,
    });
    peers.flatten().map(|(id, state)| (id.as_str().to_owned(), *state)).collect()
}

#[test]
fn after_a_pause_of_its_own_the_server_reads_before_it_judges() {
    for timer_first in [true, false] {
        let mut world = World::new();
        let (alice, bob, carol) = (world.login("alice"), world.login("bob"), world.login("carol"));
        world.call(alice, subscribe(&["bob", "carol"])).unwrap();
        world.call(bob, join("room")).unwrap();
        world.silence(carol);
        world.advance(secs(5));
        world.events(alice);
        // A minute in which nobody calls it. Bob's pings wait in its socket, Carol's are missing.
        world.stand_still(secs(60));
        if timer_first {
            world.core.handle_timeout(world.now);
            world.pump();
        }
        world.frame(bob, ClientFrame::Ping);
        world.core.handle_timeout(world.now);
        world.pump();
        world.advance(millis(900));
        assert_eq!(changes(&world.events(alice)), [], "{timer_first}");
        world.advance(millis(300));
        assert_eq!(changes(&world.events(alice)), [("carol".to_owned(), Unreachable)], "{timer_first}");
        world.advance(secs(22));
        assert_eq!(changes(&world.events(alice)), [], "the pause counts for no deadline");
        world.advance(secs(2));
        assert_eq!(changes(&world.events(alice)), [("carol".to_owned(), Offline)]);
        assert_eq!(members(&mut world, alice, "room"), 1, "bob was never out");
    }
}

#[test]
fn a_client_that_is_pinged_is_pinged_first_after_a_pause() {
    for timer_first in [true, false] {
        let mut world = World::new();
        let alice = world.login("alice");
        let bob = world.login_with(Login { keep_alive: KeepAlive::Server { interval_ms: 2000 }, ..login_of("bob") });
        world.silence(bob);
        world.advance(millis(1500));
        assert_eq!(world.pings(bob), 0);
        // It was to be pinged half a second from here, and gives its link up after four seconds without a word.
        world.stand_still(millis(2400));
        match timer_first {
            true => world.core.handle_timeout(world.now),
            false => world.frame(alice, ClientFrame::Ping),
        }
        world.pump();
        assert_eq!(world.pings(bob), 1, "{timer_first}");
        world.advance(millis(1900));
        assert_eq!(world.pings(bob), 1, "{timer_first}");
        world.advance(millis(200));
        assert_eq!(world.pings(bob), 2, "{timer_first}: in step again");
    }
}

#[test]
fn a_client_that_found_the_server_paused_resumes_its_session() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.call(bob, join("room")).unwrap();
    world.events(alice);
    world.stand_still(secs(300));
    // It gave its link up and opened another one: both wait.
    world.core.handle_timeout(world.now);
    let resuming = world.resuming(bob);
    world.cut(bob);
    world.login_again(bob, resuming);
    world.advance(secs(60));
    assert_eq!(changes(&world.events(alice)), []);
    assert_eq!(members(&mut world, alice, "room"), 1);
}

#[test]
fn a_core_that_is_often_called_late_goes_on_all_the_same() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, subscribe(&["bob"])).unwrap();
    world.events(alice);
    world.silence(bob);
    let mut passed = 0;
    while changes(&world.events(alice)).is_empty() {
        world.stand_still(secs(10));
        world.core.handle_timeout(world.now);
        world.pump();
        world.advance(secs(2));
        passed += 1;
        assert!(passed < 10, "nothing is ever due");
    }
}

#[test]
fn a_clock_that_is_set_forward_drops_nothing_and_ends_no_ban() {
    const YEARS: u64 = 50 * 365 * 24 * 60 * 60 * 1000;
    let mut world = World::new();
    let alice = world.login("alice");
    assert_eq!(world.call(alice, stored_to_peer(1, "bob", "early")).unwrap(), SendOutcome::Stored);
    let until = world.now.unix_ms + 60 * 60 * 1000;
    world.ban("carol", until);
    world.now.unix_ms += YEARS;
    world.advance(secs(60 * 60 - 60));
    assert_eq!(world.gateway(Some("carol"), None), Err(ErrorKind::Banned));
    world.advance(secs(120));
    assert!(world.gateway(Some("carol"), None).is_ok());
    let bob = world.login("bob");
    let texts = world.events(bob).into_iter().filter_map(|event| match event {
        Event::MessageFromPeer(message) => message.message.as_text().map(str::to_owned),
        _ => None,
    });
    assert_eq!(texts.collect::<Vec<_>>(), ["early"]);
}
