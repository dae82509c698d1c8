//! The same user twice: who stays, and what others see of it.

use rtm_codec::{
    AppId, CloseReason, Event, GetMembers, InstanceId, JoinChannel, Login, Resumption, SubscribePeersOnlineStatus,
    anyrtc::gateway::{Caller, GatewayRequest},
};

use crate::harness::*;

fn from(instance: &str, login: Login) -> Login {
    Login { instance: InstanceId::new(instance).unwrap(), ..login }
}

#[test]
fn a_second_client_ends_the_first_ones_session() {
    let mut world = World::new();
    let first = world.login("alice");
    let second = world.login_with(from("tablet", login_of("alice")));
    assert_eq!(world.closed(first), Some(CloseReason::RemoteLogin));
    assert_eq!(world.closed(second), None);
    assert_eq!(world.core.stats().sessions, 1);
    let bob = world.login("bob");
    let id = world.request(bob, to_peer(1, "alice", "to the newer"));
    assert!(world.reply(bob, id).is_some());
    assert_eq!(world.texts(second), ["to the newer"]);
}

#[test]
fn members_see_the_first_client_leave_once_and_the_second_is_in_no_channel() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [bob, alice] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.events(bob);
    let second = world.login_with(from("tablet", login_of("alice")));
    let left = |event: &Event| matches!(event, Event::MemberLeft { member_id, .. } if *member_id == uid("alice"));
    assert_eq!(world.events(bob).iter().filter(|event| left(event)).count(), 1);
    assert!(world.call(second, GetMembers { channel_id: room("r") }).is_err());
    assert_eq!(world.call(bob, GetMembers { channel_id: room("r") }).unwrap(), [uid("bob")]);
}

#[test]
fn subscribers_see_nothing_of_a_takeover() {
    let mut world = World::new();
    let (_, bob) = (world.login("alice"), world.login("bob"));
    world.call(bob, SubscribePeersOnlineStatus { peer_ids: vec![uid("alice")] }).unwrap();
    world.events(bob);
    world.login_with(from("tablet", login_of("alice")));
    world.advance(secs(5));
    assert_eq!(world.events(bob), []);
}

#[test]
fn the_same_client_on_another_socket_goes_on() {
    let mut world = World::new();
    let (first, bob) = (world.login("alice"), world.login("bob"));
    for client in [first, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.events(bob);
    let second = world.resume(first);
    assert_eq!(world.closed(first), Some(CloseReason::Replaced));
    assert_eq!(world.welcome(second).resumption, Resumption::Resumed);
    world.advance(secs(2));
    assert_eq!(world.events(bob), []);
    assert_eq!(world.call(second, GetMembers { channel_id: room("r") }).unwrap().len(), 2);
}

#[test]
fn a_client_without_its_ticket_is_known_by_its_instance() {
    let mut world = World::new();
    let (alice, bob) = (world.login_vendor("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] }).unwrap();
    world.events(bob);
    world.cut(alice);
    let again = world.login_vendor("alice");
    world.advance(secs(2));
    assert_eq!(world.events(bob), [], "nobody sees it leave and join");
    // The vendor's SDK joins again, and does not subscribe again.
    world.call(again, JoinChannel { channel_id: room("r") }).unwrap();
    assert_eq!(world.events(bob), []);
    assert_eq!(world.call(again, rtm_codec::QueryPeersBySubscriptionOption {}).unwrap(), [uid("bob")]);
}

#[test]
fn a_client_that_was_put_out_while_away_does_not_come_back_by_itself() {
    let mut world = World::new();
    let phone = world.login_with(from("phone", login_of("alice")));
    world.cut(phone);
    let tablet = world.login_with(from("tablet", login_of("alice")));
    let login = world.resuming(phone);
    for _ in 0..2 {
        let again = world.try_login(login.clone());
        assert_eq!(world.closed(again), Some(CloseReason::RemoteLogin));
        assert!(!world.is_welcome(again));
    }
    assert_eq!(world.closed(tablet), None);
    // A person who logs in there again is newer.
    world.login_with(from("phone", login_of("alice")));
    assert_eq!(world.closed(tablet), Some(CloseReason::RemoteLogin));
}

#[test]
fn a_vendor_client_that_was_put_out_while_away_is_told_once() {
    let mut world = World::new();
    let phone = world.login_with(from("phone", vendor_login_of("alice")));
    world.cut(phone);
    let tablet = world.login_with(from("tablet", vendor_login_of("alice")));
    // Its SDK hears of the other login only when its own is answered.
    let again = world.login_with(from("phone", vendor_login_of("alice")));
    let asked = world.request(again, JoinChannel { channel_id: room("r") });
    world.advance(millis(1900));
    assert_eq!((world.closed(again), world.reply(again, asked)), (None, None));
    world.advance(millis(200));
    assert_eq!(world.closed(again), Some(CloseReason::RemoteLogin));
    assert_eq!(world.closed(tablet), None);
    world.login_with(from("phone", vendor_login_of("alice")));
    assert_eq!(world.closed(tablet), Some(CloseReason::RemoteLogin));
}

#[test]
fn what_a_vendor_client_asks_for_before_it_is_told_takes_little_memory() {
    let mut world = World::new();
    let phone = world.login_with(from("phone", vendor_login_of("alice")));
    world.cut(phone);
    world.login_with(from("tablet", vendor_login_of("alice")));
    let again = world.login_with(from("phone", vendor_login_of("alice")));
    let long = "x".repeat(32 * 1024);
    for id in 1..=2 {
        world.request(again, to_peer(id, "bob", &long));
        assert_eq!(world.closed(again), None);
    }
    world.request(again, to_peer(3, "bob", &long));
    assert_eq!(world.closed(again), Some(CloseReason::RemoteLogin));
}

#[test]
fn a_vendor_client_whose_application_logs_in_puts_out_the_one_that_put_it_out() {
    let mut world = World::new();
    let phone = world.login_with(from("phone", vendor_login_of("alice")));
    world.cut(phone);
    let other = Login { gateway_session: Some("gateway-of-the-tablet".into()), ..vendor_login_of("alice") };
    let tablet = world.login_with(from("tablet", other));
    let again = world.login_with(from("phone", vendor_login_of("alice")));
    // What the application asks for meanwhile waits.
    let asked = world.request(again, JoinChannel { channel_id: room("r") });
    assert_eq!((world.closed(tablet), world.reply(again, asked)), (None, None));
    let app_id = AppId::new(APP_ID).unwrap();
    let caller = |session: &str| Caller { app_id: app_id.clone(), user_id: uid("alice"), session: session.into() };
    let ask = |session: &str| GatewayRequest::OfflineMessages { caller: caller(session), page: None };
    world.ask(ask("gateway-of-the-tablet"));
    assert_eq!(world.closed(tablet), None, "the tablet asks for itself");
    world.ask(ask("gateway-of-alice"));
    assert_eq!(world.closed(tablet), Some(CloseReason::RemoteLogin));
    assert!(world.reply(again, asked).is_some_and(|reply| reply.is_ok()));
    world.advance(secs(5));
    assert_eq!(world.closed(again), None);
}

#[test]
fn a_vendor_client_that_may_be_put_out_can_log_out_and_is_closed_when_it_asks_for_too_much() {
    let mut world = World::new();
    for _ in 0..2 {
        let phone = world.login_with(from("phone", vendor_login_of("alice")));
        world.cut(phone);
        let tablet = world.login_with(from("tablet", vendor_login_of("alice")));
        let again = world.login_with(from("phone", vendor_login_of("alice")));
        world.logout(again);
        assert_eq!((world.closed(again), world.closed(tablet)), (Some(CloseReason::Logout), None));
    }
    let phone = world.login_with(from("phone", vendor_login_of("alice")));
    world.cut(phone);
    world.login_with(from("tablet", vendor_login_of("alice")));
    let again = world.login_with(from("phone", vendor_login_of("alice")));
    for _ in 0..64 {
        world.request(again, JoinChannel { channel_id: room("r") });
    }
    assert_eq!(world.closed(again), None);
    world.request(again, JoinChannel { channel_id: room("r") });
    assert_eq!(world.closed(again), Some(CloseReason::RemoteLogin));
}

#[test]
fn a_vendor_client_that_was_told_may_log_in_again() {
    let mut world = World::new();
    world.login_with(from("phone", vendor_login_of("alice")));
    let tablet = world.login_with(from("tablet", vendor_login_of("alice")));
    world.login_with(from("phone", vendor_login_of("alice")));
    assert_eq!(world.closed(tablet), Some(CloseReason::RemoteLogin));
}

#[test]
fn the_third_of_three_clients_remembers_the_first() {
    let mut world = World::new();
    let phone = world.login_with(from("phone", login_of("alice")));
    let login = world.resuming(phone);
    world.cut(phone);
    world.login_with(from("tablet", login_of("alice")));
    let desk = world.login_with(from("desk", login_of("alice")));
    let again = world.try_login(login);
    assert_eq!(world.closed(again), Some(CloseReason::RemoteLogin));
    assert_eq!(world.closed(desk), None);
}

#[test]
fn anothers_ticket_opens_nothing() {
    let mut world = World::new();
    let alice = world.login("alice");
    let ticket = world.resuming(alice).resume;
    let mallory = world.login_with(Login { resume: ticket, ..login_of("mallory") });
    assert_eq!(world.welcome(mallory).resumption, Resumption::New);
    assert_eq!(world.welcome(mallory).user_id, uid("mallory"));
    assert_ne!(world.welcome(mallory).ticket.unwrap().session, world.welcome(alice).ticket.unwrap().session);
    assert_eq!(world.closed(alice), None);
}

#[test]
fn a_guessed_ticket_of_the_same_user_takes_nothing_over() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.stop_acks(alice);
    let bob = world.login("bob");
    world.request(bob, to_peer(1, "alice", "secret"));
    let mut login = from("other", world.resuming(alice));
    if let Some(resume) = &mut login.resume {
        resume.ticket.session.0[0] ^= 1;
        resume.received = rtm_codec::Seq(0);
    }
    let other = world.login_with(login);
    assert_eq!(world.welcome(other).resumption, Resumption::New);
    assert_eq!(world.texts(other), Vec::<String>::new());
}
