//! How often calls may be made: the last one that is allowed, the first one that is refused, and when it goes on.

use std::time::Duration;

use rtm_codec::{
    CallLimit, CallLimits, ChannelAttributeTarget, ClearLocalUserAttributes, ClientFrame, Command, ErrorKind,
    GetChannelAttributes, GetChannelMemberCount, GetMembers, GetUserAttributes, HistoryOf, JoinChannel, LeaveChannel,
    LimitedCall, Login, MessageId, QueryHistory, QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RenewToken,
    RequestId, Resume, SendChannelMessage, SendInvitation, SetChannelAttributes, SubscribePeersOnlineStatus, Token,
    UnsubscribePeersOnlineStatus,
};

use crate::harness::*;

/// A world with the vendor's limits.
fn limited() -> World {
    let mut config = config();
    config.limits = CallLimits::default();
    World::with(config)
}

fn kind(world: &mut World, client: C, command: Command) -> Option<ErrorKind> {
    let id = world.request(client, command);
    world.reply(client, id)?.err().map(|refusal| refusal.kind)
}

/// Makes `calls` calls, of which the next is refused until the first is `window` old.
fn takes(calls: u32, window_ms: u64, mut command: impl FnMut(u64) -> Command) {
    let mut world = limited();
    let alice = world.login("alice");
    world.request(alice, JoinChannel { channel_id: room("r") });
    for n in 0..u64::from(calls) {
        assert_ne!(kind(&mut world, alice, command(n)), Some(ErrorKind::TooOften), "call {n}");
    }
    assert_eq!(kind(&mut world, alice, command(1000)), Some(ErrorKind::TooOften));
    world.advance(millis(window_ms - 1));
    assert_eq!(kind(&mut world, alice, command(1001)), Some(ErrorKind::TooOften));
    world.advance(millis(1));
    assert_ne!(kind(&mut world, alice, command(1002)), Some(ErrorKind::TooOften));
}

#[test]
fn token_renewals_2_per_s() {
    takes(2, 1000, |_| RenewToken { token: Token::new("x").unwrap() }.into());
}

#[test]
fn messages_180_per_3_s_to_users_and_channels_together() {
    takes(180, 3000, |n| match n % 2 {
        0 => to_peer(n, "bob", "x").into(),
        _ => SendChannelMessage {
            message_id: MessageId(n),
            channel_id: room("r"),
            message: "x".into(),
            enable_historical_messaging: false,
        }
        .into(),
    });
}

#[test]
fn invitations_as_often_as_messages() {
    takes(180, 3000, |n| {
        SendInvitation { call_id: call_id(&n.to_string()), callee_id: uid("bob"), content: "".into() }.into()
    });
}

#[test]
fn members_5_per_2_s() {
    takes(5, 2000, |_| GetMembers { channel_id: room("r") }.into());
}

#[test]
fn member_counts_1_per_s() {
    takes(1, 1000, |_| GetChannelMemberCount { channel_ids: vec![room("r")] }.into());
}

#[test]
fn online_queries_10_per_5_s() {
    takes(10, 5000, |_| QueryPeersOnlineStatus { peer_ids: vec![uid("bob")] }.into());
}

#[test]
fn subscribing_10_per_5_s() {
    takes(10, 5000, |_| SubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] }.into());
}

#[test]
fn unsubscribing_10_per_5_s() {
    takes(10, 5000, |_| UnsubscribePeersOnlineStatus { peer_ids: vec![uid("bob")] }.into());
}

#[test]
fn subscription_queries_10_per_5_s() {
    takes(10, 5000, |_| QueryPeersBySubscriptionOption {}.into());
}

#[test]
fn writing_user_attributes_10_per_5_s() {
    takes(10, 5000, |_| ClearLocalUserAttributes {}.into());
}

#[test]
fn reading_user_attributes_40_per_5_s() {
    takes(40, 5000, |_| GetUserAttributes { user_id: uid("alice"), keys: None }.into());
}

#[test]
fn writing_channel_attributes_10_per_5_s() {
    takes(10, 5000, |_| {
        SetChannelAttributes {
            target: ChannelAttributeTarget { channel_id: room("r"), notify: false, expected_revision: None },
            attributes: attributes(&[("a", "1")]),
        }
        .into()
    });
}

#[test]
fn reading_channel_attributes_10_per_5_s() {
    takes(10, 5000, |_| GetChannelAttributes { channel_id: room("r"), keys: None }.into());
}

#[test]
fn history_queries_10_per_5_s() {
    takes(10, 5000, |_| {
        let conversation = HistoryOf::Peer(uid("bob"));
        QueryHistory { conversation, from_ts: 0, until_ts: 1, after: None, limit: 1 }.into()
    });
}

#[test]
fn joining_different_channels_50_per_3_s() {
    // All but 19 fail for another reason; they are calls all the same.
    let mut world = limited();
    let alice = world.login("alice");
    let join = |n: u64| Command::from(JoinChannel { channel_id: room(&format!("r{n}")) });
    for n in 0..50 {
        assert_ne!(kind(&mut world, alice, join(n)), Some(ErrorKind::TooOften));
    }
    assert_eq!(kind(&mut world, alice, join(50)), Some(ErrorKind::TooOften));
    world.advance(secs(3));
    assert_ne!(kind(&mut world, alice, join(50)), Some(ErrorKind::TooOften));
}

#[test]
fn joining_the_same_channel_2_per_5_s() {
    let mut world = limited();
    let alice = world.login("alice");
    let join = JoinChannel { channel_id: room("r") };
    let leave = LeaveChannel { channel_id: room("r") };
    for _ in 0..2 {
        assert_eq!(kind(&mut world, alice, join.clone().into()), None);
        assert_eq!(kind(&mut world, alice, leave.clone().into()), None);
    }
    assert_eq!(kind(&mut world, alice, join.clone().into()), Some(ErrorKind::SameChannelTooOften));
    assert_eq!(kind(&mut world, alice, JoinChannel { channel_id: room("other") }.into()), None);
    world.advance(millis(4_999));
    assert_eq!(kind(&mut world, alice, join.clone().into()), Some(ErrorKind::SameChannelTooOften));
    world.advance(millis(1));
    assert_eq!(kind(&mut world, alice, join.into()), None);
}

#[test]
fn a_join_that_is_refused_for_its_channel_counts_for_no_other() {
    let mut world = limited();
    let alice = world.login("alice");
    let join = |name: &str| Command::from(JoinChannel { channel_id: room(name) });
    for _ in 0..2 {
        assert_eq!(kind(&mut world, alice, join("r")), None);
        assert_eq!(kind(&mut world, alice, LeaveChannel { channel_id: room("r") }.into()), None);
    }
    for _ in 0..50 {
        assert_eq!(kind(&mut world, alice, join("r")), Some(ErrorKind::SameChannelTooOften));
    }
    assert_eq!(kind(&mut world, alice, join("other")), None);
}

#[test]
fn a_member_that_joins_again_is_not_too_often() {
    let mut world = limited();
    let alice = world.login("alice");
    for _ in 0..5 {
        assert_eq!(kind(&mut world, alice, JoinChannel { channel_id: room("r") }.into()), None);
    }
}

#[test]
fn the_window_slides() {
    let mut world = limited();
    let alice = world.login("alice");
    let query = || Command::from(GetMembers { channel_id: room("r") });
    world.request(alice, JoinChannel { channel_id: room("r") });
    for _ in 0..3 {
        assert_eq!(kind(&mut world, alice, query()), None);
    }
    world.advance(secs(1));
    for _ in 0..2 {
        assert_eq!(kind(&mut world, alice, query()), None);
    }
    world.advance(secs(1));
    for _ in 0..3 {
        assert_eq!(kind(&mut world, alice, query()), None);
    }
    assert_eq!(kind(&mut world, alice, query()), Some(ErrorKind::TooOften));
}

#[test]
fn one_clients_calls_do_not_count_for_another() {
    let mut world = limited();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    let count = || Command::from(GetChannelMemberCount { channel_ids: vec![room("r")] });
    assert_eq!(kind(&mut world, alice, count()), None);
    assert_eq!(kind(&mut world, alice, count()), Some(ErrorKind::TooOften));
    assert_eq!(kind(&mut world, bob, count()), None);
}

#[test]
fn a_project_has_its_own_figures() {
    let mut config = config();
    config.limits.set(LimitedCall::GetMembers, CallLimit::new(1, Duration::from_secs(60)));
    let mut world = World::with(config);
    let alice = world.login("alice");
    world.call(alice, JoinChannel { channel_id: room("r") }).unwrap();
    let query = || Command::from(GetMembers { channel_id: room("r") });
    assert_eq!(kind(&mut world, alice, query()), None);
    world.advance(millis(59_999));
    assert_eq!(kind(&mut world, alice, query()), Some(ErrorKind::TooOften));
    world.advance(millis(1));
    assert_eq!(kind(&mut world, alice, query()), None);
}

#[test]
fn the_refusal_says_how_long_to_wait() {
    let mut world = limited();
    let alice = world.login("alice");
    let count = GetChannelMemberCount { channel_ids: vec![room("r")] };
    world.call(alice, count.clone()).unwrap();
    world.advance(millis(300));
    let refusal = world.call(alice, count).unwrap_err();
    assert_eq!(refusal.detail, "retry in 700 ms");
}

#[test]
fn a_refused_message_can_be_sent_again() {
    let mut world = limited();
    let (alice, bob) = (world.login("alice"), world.login("bob"));
    for id in 1..=180 {
        world.request(alice, to_peer(id, "bob", "x"));
    }
    assert_eq!(kind(&mut world, alice, to_peer(181, "bob", "late").into()), Some(ErrorKind::TooOften));
    world.events(bob);
    world.advance(secs(3));
    world.request(alice, to_peer(181, "bob", "late"));
    assert_eq!(world.texts(bob), ["late"]);
}

#[test]
fn a_read_that_is_repeated_over_a_new_link_counts_once() {
    let mut world = limited();
    let alice = world.login("alice");
    let read = || GetUserAttributes { user_id: uid("alice"), keys: None };
    let limit = CallLimits::default().get(LimitedCall::ReadUserAttributes).calls();
    let nothing_answered = |login: Login| {
        let resume = login.resume.map(|resume| Resume { answered: RequestId(1), ..resume });
        Login { resume, ..login }
    };
    let login = nothing_answered(world.resuming(alice));
    let ids: Vec<_> = (0..limit).map(|_| world.request(alice, read())).collect();
    let mut client = alice;
    for (times, is_taken) in [(1, true), (2, false)] {
        // The answers are lost with the link.
        world.cut(client);
        client = world.login_again(client, login.clone());
        for id in &ids {
            world.frame(client, ClientFrame::Request { id: *id, command: read().into() });
            assert_eq!(world.reply(client, *id).unwrap().is_ok(), is_taken, "{id} repeated {times} times");
        }
    }
}
