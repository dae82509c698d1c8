//! What an operator does: draining, figures.

use rtm_codec::{
    CloseReason, ErrorKind, GetMembers, JoinChannel, LeaveChannel, MessageId, Resumption, SendChannelMessage, Text,
    UserId,
    anyrtc::rest::{RestCall, RestChannelMessage},
};
use rtm_core::{AdminCall, LossReason, RefusedCall, RestCaller};

use crate::harness::*;

#[test]
fn a_draining_server_takes_no_logins_and_closes_by_and_by() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.core.drain(world.now);
    let late = world.try_login(login_of("late"));
    assert_eq!(world.closed(late), Some(CloseReason::Draining));
    assert!(!world.is_welcome(late));
    world.call(alice, to_peer(1, "bob", "still works")).unwrap();
    for conn in world.core.connections() {
        world.core.close(world.now, conn, CloseReason::Draining);
    }
    world.pump();
    assert_eq!((world.closed(alice), world.closed(bob)), (Some(CloseReason::Draining), Some(CloseReason::Draining)));
    assert_eq!(world.core.connections(), []);
}

#[test]
fn nothing_is_done_before_the_core_has_joined_its_cluster() {
    let mut world = World::new();
    world.core.await_cluster();
    assert_eq!(world.admin(AdminCall::Kick(uid("bob"))).unwrap_err().kind, ErrorKind::Failure);
    let to_room = RestChannelMessage {
        from: uid("alice"),
        channel_id: room("room"),
        payload: Text::from("lost"),
        enable_historical_messaging: false,
    };
    world.core.rest(world.now, &RestCaller::Operator, RestCall::SendToChannel(to_room));
    let mut answers = Vec::new();
    world.core.take_rest_answers(&mut answers);
    assert_eq!(answers.pop().unwrap().1.unwrap_err().kind, ErrorKind::Failure);
    let bob = world.try_login(login_of("bob"));
    assert_eq!(world.closed(bob), Some(CloseReason::Draining));
}

#[test]
fn a_client_that_a_refusal_would_be_the_end_of_is_let_in_and_sent_back_at_once() {
    let mut world = World::new();
    world.core.drain(world.now);
    let late = world.try_login(vendor_login_of("late"));
    assert!(world.is_welcome(late));
    assert_eq!(world.closed(late), Some(CloseReason::Draining));
}

#[test]
fn a_connection_that_the_shell_closes_can_be_resumed() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    let conn = world.conn(alice);
    world.core.close(world.now, conn, CloseReason::ProtocolError);
    world.pump();
    assert_eq!(world.closed(alice), Some(CloseReason::ProtocolError));
    world.request(bob, to_peer(1, "alice", "x"));
    let again = world.resume(alice);
    assert_eq!(world.welcome(again).resumption, Resumption::Resumed);
    assert_eq!(world.texts(again), ["x"]);
    assert_eq!(world.call(again, GetMembers { channel_id: room("r") }).unwrap(), [uid("alice")]);
}

#[test]
fn the_figures_say_what_is_there() {
    let mut world = World::new();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    world.connect();
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    world.call(alice, to_peer(1, "bob", "x")).unwrap();
    world.cut(bob);
    let stats = world.core.stats();
    assert_eq!((stats.connections, stats.users, stats.sessions, stats.channels), (2, 2, 2, 1));
    assert_eq!((stats.peer_messages, stats.channel_messages), (1, 0));
    world.advance(secs(40));
    let stats = world.core.stats();
    assert_eq!((stats.connections, stats.users, stats.sessions), (2, 1, 2));
}

#[test]
fn a_session_says_what_went_wrong_for_it_and_a_channel_how_much_is_said() {
    let mut config = config();
    config.settings.away_channel_messages = 2;
    let mut world = World::with(config);
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for client in [alice, bob] {
        world.call(client, JoinChannel { channel_id: room("r") }).unwrap();
    }
    assert!(world.call(bob, LeaveChannel { channel_id: room("other") }).is_err());
    world.cut(bob);
    for id in 1..=5 {
        let message_id = MessageId(id);
        let said = SendChannelMessage {
            message_id,
            channel_id: room("r"),
            message: "x".into(),
            enable_historical_messaging: false,
        };
        world.call(alice, said).unwrap();
    }
    let session = world.core.inspect_user(world.now, &uid("bob")).unwrap().session.unwrap();
    assert_eq!(session.counts.away_dropped(), 3);
    let lost: Vec<_> = world.core.counters().lost().filter(|(_, count)| *count > 0).collect();
    assert_eq!(lost, [(LossReason::Away, 3)]);
    let refused: Vec<_> = session.counts.refused_calls().filter(|(_, count)| *count > 0).collect();
    assert_eq!(refused, [(RefusedCall::NotThere, 1)]);
    let session = world.core.inspect_user(world.now, &uid("alice")).unwrap().session.unwrap();
    assert_eq!(
        (session.counts.away_dropped(), session.counts.refused_calls().map(|(_, count)| count).sum::<u64>()),
        (0, 0)
    );
    assert_eq!(world.core.inspect_channel(&room("r")).unwrap().0.messages, 5);
}

#[test]
fn the_pages_of_a_channels_members_have_each_of_them_once_however_many_of_the_users_they_are() {
    let mut world = World::new();
    for number in 0..60 {
        let user = world.login(&format!("u{number:02}"));
        world.call(user, JoinChannel { channel_id: room("most") }).unwrap();
        if number % 10 == 3 {
            world.call(user, JoinChannel { channel_id: room("few") }).unwrap();
        }
        if number % 7 == 0 {
            world.call(user, LeaveChannel { channel_id: room("most") }).unwrap();
        }
    }
    let all = |is_member: fn(usize) -> bool| -> Vec<UserId> {
        (0..60).filter(|number| is_member(*number)).map(|number| uid(&format!("u{number:02}"))).collect()
    };
    for (channel, wanted) in [("most", all(|number| number % 7 != 0)), ("few", all(|number| number % 10 == 3))] {
        for most in [1, 3, 50, 100] {
            let (mut members, mut from) = (Vec::new(), Some(0));
            while let Some(at) = from {
                let (page, next) = world.core.inspect_members(&room(channel), at, most);
                assert!(page.len() <= most && next.is_none_or(|next| next > at), "{page:?}, {next:?} after {at}");
                members.extend(page);
                from = next;
            }
            assert_eq!(members, wanted, "{channel} by {most}");
        }
    }
    assert_eq!(world.core.inspect_members(&room("none"), 0, 10), (Vec::new(), None));
}
