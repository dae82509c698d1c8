//! Sessions that are packed and unpacked: nobody sees a difference, and bytes that are no session do no harm.

use proptest::prelude::*;
use rtm_codec::{
    Answer, AppId, ClientFrame, CloseReason, Event, GetChannelMemberCount, GetUserAttributes, JoinChannel, MessageId,
    PeerOnlineState, QueryPeersOnlineStatus, Resumption, RtmMessage, SendChannelMessage, SendInvitation, SendOutcome,
    SetLocalUserAttributes, SubscribePeersOnlineStatus,
};
use rtm_core::{Core, NotPackable, ProjectConfig, UnpackErrorKind};

use crate::harness::*;

/// Packs a user's session and unpacks it at once.
fn move_session(world: &mut World, user: &str) {
    let pack = world.core.pack_session(world.now, &uid(user)).unwrap();
    world.core.unpack_session(world.now, &pack).unwrap();
    world.pump();
}

/// Lets the sessions of these users go on in a new core, one after the other.
fn move_all(world: &mut World, users: &[&str]) {
    let packs: Vec<_> = users.iter().map(|user| world.core.pack_session(world.now, &uid(user)).unwrap()).collect();
    world.pump();
    world.core = Core::new(config(), [9; 32], world.now);
    for pack in packs {
        world.core.unpack_session(world.now, &pack).unwrap();
    }
}

fn unpack_error(world: &mut World, pack: &[u8]) -> UnpackErrorKind {
    world.core.unpack_session(world.now, pack).unwrap_err().kind()
}

/// A session that has something of everything.
fn rich_pack() -> Vec<u8> {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.call(alice, SetLocalUserAttributes { attributes: attributes(&[("mood", "good")]) }).unwrap();
    world.call(alice, SubscribePeersOnlineStatus { peer_ids: vec![uid("bob"), uid("carol")] }).unwrap();
    world.call(alice, invitation("bob")).unwrap();
    world.stop_acks(bob);
    world.request(alice, to_peer(1, "bob", "under way"));
    world.stop_acks(alice);
    world.request(bob, to_peer(1, "alice", "not acknowledged"));
    world.cut(alice);
    world.request(bob, to_channel(2, "missed"));
    world.core.pack_session(world.now, &uid("alice")).unwrap()
}

fn invitation(callee: &str) -> SendInvitation {
    SendInvitation { callee_id: uid(callee), call_id: call_id("c1"), content: "come".into() }
}

fn to_channel(id: u64, text: &str) -> SendChannelMessage {
    SendChannelMessage {
        channel_id: room("r"),
        message_id: MessageId(id),
        message: RtmMessage::text(text),
        enable_historical_messaging: false,
    }
}

#[test]
fn its_client_loses_the_connection_and_resumes() {
    let mut world = World::new();
    let alice = world.login("alice");
    let bob = world.login("bob");
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.call(alice, SetLocalUserAttributes { attributes: attributes(&[("mood", "good")]) }).unwrap();
    move_session(&mut world, "alice");
    assert_eq!(world.closed(alice), Some(CloseReason::Draining));
    world.request(bob, to_peer(1, "alice", "while away"));
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    assert_eq!(world.texts(again), ["while away"]);
    let mood = world.call(bob, GetUserAttributes { user_id: uid("alice"), keys: None }).unwrap();
    assert_eq!(mood, attributes(&[("mood", "good")]));
    let counts = world.call(again, GetChannelMemberCount { channel_ids: vec![room("r")] }).unwrap();
    assert_eq!(counts, [(room("r"), 1)].into());
}

#[test]
fn members_and_watchers_are_told_nothing() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [bob, alice] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.call(bob, SubscribePeersOnlineStatus { peer_ids: vec![uid("alice")] }).unwrap();
    world.advance(secs(5));
    world.events(bob);
    move_session(&mut world, "alice");
    let again = world.resume(alice);
    world.advance(secs(5));
    assert_eq!(world.events(bob), []);
    world.call(again, to_channel(1, "still here")).unwrap();
    assert_eq!(world.texts(bob), ["still here"]);
    let states = world.call(bob, QueryPeersOnlineStatus { peer_ids: vec![uid("alice")] }).unwrap();
    assert_eq!(states, [(uid("alice"), PeerOnlineState::Online)]);
}

#[test]
fn what_is_missed_of_channels_meanwhile_comes_in_its_place() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    world.events(alice);
    world.cut(alice);
    world.request(bob, to_channel(1, "one"));
    world.request(bob, to_peer(2, "alice", "two"));
    move_session(&mut world, "alice");
    world.request(bob, to_channel(3, "three"));
    let again = world.resume(alice);
    assert_eq!(world.texts(again), ["one", "two", "three"]);
}

#[test]
fn a_sender_that_waits_is_answered_whoever_moves() {
    for users in [&["alice"][..], &["bob"], &["alice", "bob"], &["bob", "alice"]] {
        let mut world = World::new();
        let (alice, bob) = (world.login("alice"), world.login("bob"));
        world.stop_acks(bob);
        let id = world.request(alice, to_peer(1, "bob", "hello"));
        users.iter().for_each(|user| move_session(&mut world, user));
        let sender = if users.contains(&"alice") { world.resume(alice) } else { alice };
        let receiver = if users.contains(&"bob") { world.resume(bob) } else { bob };
        world.ack(receiver, 1, 1);
        let answer = world.reply(sender, id);
        assert_eq!(answer, Some(Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))), "{users:?}");
    }
}

#[test]
fn all_sessions_go_on_in_another_core_in_any_order() {
    for users in [["alice", "bob"], ["bob", "alice"]] {
        let mut world = World::new();
        let (alice, bob) = (world.login("alice"), world.login("bob"));
        for client in [alice, bob] {
            world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
            world.call(client, SubscribePeersOnlineStatus { peer_ids: vec![uid("alice"), uid("bob")] }).unwrap();
        }
        world.advance(secs(5));
        world.stop_acks(bob);
        let sent = world.request(alice, to_peer(1, "bob", "hello"));
        let invited = world.call(alice, invitation("bob"));
        assert!(invited.is_ok());
        world.events(alice);
        let received = world.received(bob);
        move_all(&mut world, &users);
        let (alice, bob) = (world.resume(alice), world.resume(bob));
        assert_eq!(world.welcome(alice).resumption, Resumption::Resumed);
        world.ack(bob, received, received);
        assert_eq!(world.reply(alice, sent), Some(Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
        let rings = Event::LocalInvitationReceivedByPeer { call_id: call_id("c1"), callee_id: uid("bob") };
        world.advance(secs(5));
        assert_eq!(world.events(alice), [rings]);
        world.call(alice, to_channel(2, "all here")).unwrap();
        assert_eq!(world.texts(bob).last().map(String::as_str), Some("all here"));
    }
}

#[test]
fn a_repeated_request_gets_the_answer_that_it_got_before() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, to_peer(6, "bob", "before")).unwrap();
    let id = world.request(alice, to_peer(7, "bob", "once"));
    move_all(&mut world, &["alice", "bob"]);
    let mut login = world.resuming(alice);
    login.resume.as_mut().unwrap().answered = id;
    let (alice, bob) = (world.login_again(alice, login), world.resume(bob));
    world.events(bob);
    world.frame(alice, ClientFrame::Request { id, command: to_peer(7, "bob", "once").into() });
    assert_eq!(world.reply(alice, id), Some(Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))));
    // Under a new number, the message is known by its own.
    assert_eq!(world.call(alice, to_peer(7, "bob", "once")).unwrap(), SendOutcome::Delivered);
    assert_eq!(world.events(bob), []);
}

#[test]
fn a_session_that_nobody_resumes_lapses_when_it_would_have() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(bob, SubscribePeersOnlineStatus { peer_ids: vec![uid("alice")] }).unwrap();
    world.cut(alice);
    world.advance(secs(20));
    world.events(bob);
    move_session(&mut world, "alice");
    world.advance(secs(9));
    assert_eq!(world.events(bob), []);
    world.advance(secs(2));
    let offline = Event::PeersOnlineStatusChanged { peers: vec![(uid("alice"), PeerOnlineState::Offline)] };
    assert_eq!(world.events(bob), [offline]);
}

#[test]
fn a_session_waits_for_the_store_before_it_is_packed() {
    let mut world = World::new();
    let alice = world.login("alice");
    world.hold_store();
    let id = world.request(alice, stored_to_peer(1, "bob", "for later"));
    assert_eq!(world.core.pack_session(world.now, &uid("alice")), Err(NotPackable::StoreAtWork));
    world.pump();
    assert_eq!(world.closed(alice), None);
    world.release_store();
    world.pump();
    assert_eq!(world.reply(alice, id), Some(Ok(Answer::SendMessageToPeer(SendOutcome::Stored))));
    assert!(world.core.pack_session(world.now, &uid("alice")).is_ok());
}

#[test]
fn a_session_is_packed_once_and_unpacked_once() {
    let mut world = World::new();
    world.login("alice");
    let pack = world.core.pack_session(world.now, &uid("alice")).unwrap();
    assert_eq!(world.core.pack_session(world.now, &uid("alice")), Err(NotPackable::NoSession));
    assert_eq!(world.core.stats().sessions, 0);
    world.core.unpack_session(world.now, &pack).unwrap();
    assert_eq!(unpack_error(&mut world, &pack), UnpackErrorKind::UserHasSession);
    assert_eq!(world.core.stats().sessions, 1);
}

/// `packs/4.hex` is what this format was when it was first written. A later format is another version, and this one
/// is still read.
#[test]
fn a_pack_of_this_format_has_the_bytes_that_it_had_and_is_read() {
    let kept = bytes(include_str!("packs/4.hex"));
    assert_eq!(rich_pack(), kept, "the bytes of a pack changed: that is a new version");
    is_read(&kept);
}

#[test]
fn packs_of_earlier_formats_are_read() {
    is_read(&bytes(include_str!("packs/1.hex")));
    is_read(&bytes(include_str!("packs/2.hex")));
    is_read(&bytes(include_str!("packs/3.hex")));
}

fn bytes(hex: &str) -> Vec<u8> {
    hex.split_whitespace().map(|byte| u8::from_str_radix(byte, 16).unwrap()).collect()
}

fn is_read(pack: &[u8]) {
    let mut world = World::new();
    world.core.unpack_session(world.now, pack).unwrap();
    let carol = world.login("carol");
    let attributes = world.call(carol, GetUserAttributes { user_id: uid("alice"), keys: None }).unwrap();
    assert_eq!(attributes, [("mood".parse().unwrap(), "good".into())].into());
    let counts = world.call(carol, GetChannelMemberCount { channel_ids: vec![room("r")] }).unwrap();
    assert_eq!(counts, [(room("r"), 1)].into());
}

#[test]
fn a_pack_of_another_project_is_refused() {
    let mut world = World::with(ProjectConfig::new(AppId::new("f".repeat(32)).unwrap()));
    assert_eq!(unpack_error(&mut world, &rich_pack()), UnpackErrorKind::OtherProject);
}

#[test]
fn a_pack_of_another_version_is_refused_by_its_number() {
    let mut pack = rich_pack();
    for version in [0, 5, 255] {
        pack[0] = version;
        assert_eq!(unpack_error(&mut World::new(), &pack), UnpackErrorKind::Version(version));
    }
}

#[test]
fn a_pack_that_is_cut_short_or_goes_on_is_damaged() {
    let mut world = World::new();
    let mut pack = rich_pack();
    for len in 0..pack.len() {
        assert_eq!(unpack_error(&mut world, &pack[..len]), UnpackErrorKind::Damaged, "{len} bytes");
    }
    assert_eq!(world.core.stats(), World::new().core.stats());
    pack.push(0);
    assert_eq!(unpack_error(&mut world, &pack), UnpackErrorKind::Damaged);
}

#[test]
fn a_pack_that_is_too_large_is_refused_unread() {
    let mut pack = rich_pack();
    pack.resize(64 * 1024 * 1024, 0);
    assert_eq!(unpack_error(&mut World::new(), &pack), UnpackErrorKind::TooLarge);
}

/// A good pack, with some bytes changed.
fn spoilt() -> impl Strategy<Value = Vec<u8>> {
    let changes = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4);
    changes.prop_map(|changes| {
        let mut pack = rich_pack();
        for (at, byte) in changes {
            let at = at.index(pack.len());
            pack[at] = byte;
        }
        pack
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn whatever_the_bytes_are_nothing_is_harmed(pack in prop_oneof![
        8 => spoilt(),
        1 => prop::collection::vec(any::<u8>(), 0..200).prop_map(|mut bytes| { bytes.insert(0, 1); bytes }),
    ]) {
        let mut world = World::new();
        let before = world.core.stats();
        if world.core.unpack_session(world.now, &pack).is_err() {
            prop_assert_eq!(world.core.stats(), before);
        }
        let (alice, bob) = (world.login("alice"), world.login("bob"));
        world.call(bob, JoinChannel { channel_id: room("r") }).unwrap();
        world.call(bob, to_peer(1, "alice", "hello")).unwrap();
        world.advance(secs(70));
        world.logout(alice);
        world.logout(bob);
        world.advance(secs(300));
        let left = world.core.stats();
        prop_assert_eq!((left.users, left.sessions), (0, 0));
        prop_assert_eq!((left.channels, left.invitations), (0, 0));
    }
}
