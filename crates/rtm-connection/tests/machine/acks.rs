//! What the server is told of events received and consumed, and of answers.

use rtm_codec::{
    Answer, ClientFrame, Event, QueryPeersBySubscriptionOption, Resumption, RtmMessage, Seq, ServerFrame, Welcome,
};
use rtm_connection::Config;

use crate::peer::{Peer, SECOND, channel, peer_message, user};

fn count(member_count: u32) -> Event {
    Event::MemberCountUpdated { channel_id: channel("room"), member_count }
}

fn ack_count(peer: &mut Peer) -> usize {
    let mut count = 0;
    while let Some(frame) = peer.next_sent() {
        count += usize::from(matches!(frame, ClientFrame::Ack { .. }));
    }
    count
}

#[test]
fn a_message_is_acknowledged_at_once_for_its_sender_waits() {
    let mut peer = Peer::online();
    peer.message("hi");
    peer.expect_ack(1, 0, 1);
    peer.expect_nothing_sent();
}

#[test]
fn an_invitation_is_acknowledged_at_once_for_its_caller_waits() {
    let mut peer = Peer::online();
    peer.event(Event::RemoteInvitationReceived {
        call_id: rtm_codec::CallId::new("1").unwrap(),
        caller_id: user("alice"),
        content: "".into(),
    });
    peer.expect_ack(1, 0, 1);
}

#[test]
fn one_acknowledgement_is_enough_for_all_that_came_together() {
    let mut peer = Peer::online();
    peer.frames(
        (1..=100).map(|seq| ServerFrame::Event { seq: Seq(seq), event: Event::MessageFromPeer(peer_message("hi")) }),
    );
    peer.expect_ack(100, 0, 1);
    peer.expect_nothing_sent();
}

#[test]
fn an_acknowledgement_comes_after_what_is_sent_anyway() {
    let mut peer = Peer::online();
    let id = peer.with(|connection, now| {
        let event = Event::MessageFromPeer(peer_message("hi"));
        connection.handle_frame(now, ServerFrame::Event { seq: Seq(1), event });
        connection.request(now, QueryPeersBySubscriptionOption {})
    });
    peer.expect_request(id);
    peer.expect_ack(1, 0, id.0);
}

#[test]
fn events_that_nobody_waits_for_are_acknowledged_in_bulk() {
    let mut peer = Peer::online();
    for i in 0..63 {
        peer.event(count(i));
    }
    peer.expect_nothing_sent();
    peer.event(count(63));
    peer.expect_ack(64, 0, 1);
    for i in 0..640 {
        peer.event(count(i));
    }
    assert_eq!(ack_count(&mut peer), 10);
}

#[test]
fn large_events_are_acknowledged_before_they_pile_up() {
    let mut peer = Peer::online();
    for _ in 0..4 {
        peer.event(Event::ChannelMessage {
            channel_id: channel("room"),
            message_id: rtm_codec::MessageId(1),
            member_id: user("alice"),
            message: RtmMessage::text("x".repeat(32 * 1024)),
            server_received_ts: 0,
        });
    }
    peer.expect_ack(2, 0, 1);
    peer.expect_ack(4, 0, 1);
}

#[test]
fn whatever_is_left_goes_with_the_next_ping() {
    let mut peer = Peer::online();
    peer.event(count(1));
    peer.expect_nothing_sent();
    peer.pass(SECOND * 2);
    peer.expect_ack(1, 0, 1);
    peer.pass(SECOND * 20);
    peer.expect_nothing_sent();
}

#[test]
fn half_a_window_consumed_is_told() {
    let mut config = Config::native();
    config.window = 8;
    let mut peer = Peer::online_with(config);
    for _ in 0..8 {
        peer.message("hi");
    }
    peer.forget_sent();
    peer.consume(2); // The two state changes.
    peer.consume(3);
    peer.expect_nothing_sent();
    peer.consume(1);
    peer.expect_ack(8, 4, 1);
    peer.consume(4);
    peer.expect_ack(8, 8, 1);
    // More than there is does no harm.
    peer.consume(1000);
    peer.expect_nothing_sent();
}

#[test]
fn a_window_of_one_still_moves() {
    let mut config = Config::native();
    config.window = 1;
    let mut peer = Peer::online_with(config);
    peer.consume(2);
    for seq in 1..=10 {
        peer.message("hi");
        peer.expect_ack(seq, seq - 1, 1);
        peer.consume(1);
        peer.expect_ack(seq, seq, 1);
    }
}

#[test]
fn answers_are_told_now_and_then_so_that_the_server_may_forget_them() {
    let mut peer = Peer::online_with({
        let mut config = Config::native();
        config.limits = rtm_codec::CallLimits::unlimited();
        config
    });
    for _ in 0..64 {
        let id = peer.request(QueryPeersBySubscriptionOption {});
        peer.expect_request(id);
        peer.reply(id, Answer::QueryPeersBySubscriptionOption(Vec::new()));
    }
    peer.expect_ack(0, 0, 65);
    let open = peer.request(QueryPeersBySubscriptionOption {});
    peer.expect_request(open);
    peer.message("hi");
    peer.expect_ack(1, 0, open.0);
}

#[test]
fn the_vendors_wire_hears_of_receipts_only() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.message("hi");
    peer.expect_ack(1, 0, 1);
    peer.consume(3);
    let id = peer.request(QueryPeersBySubscriptionOption {});
    peer.expect_request(id);
    peer.reply(id, Answer::QueryPeersBySubscriptionOption(Vec::new()));
    peer.pass(SECOND * 60);
    peer.expect_nothing_sent();
}

#[test]
fn a_resumed_session_is_not_told_again_what_its_login_said() {
    let mut peer = Peer::online();
    peer.event(count(1));
    peer.drop_events();
    peer.reconnect(Resumption::Resumed);
    peer.pass(SECOND * 2);
    peer.expect_nothing_sent();
}

#[test]
fn events_of_the_old_session_are_not_consumed_in_the_new_one() {
    let mut peer = Peer::online();
    for _ in 0..3 {
        peer.message("old");
    }
    peer.drop_events();
    peer.reconnect(Resumption::New);
    peer.message("new");
    peer.forget_sent();
    // Connecting, connected, three messages, reconnecting, connected, gap.
    peer.consume(8);
    assert_eq!(peer.connection.session().unwrap().consumed(), Seq(0));
    peer.consume(1);
    assert_eq!(peer.connection.session().unwrap().consumed(), Seq(1));
}

#[test]
fn a_logout_without_a_link_does_not_hurry_the_acknowledgements_of_the_next_login() {
    let mut peer = Peer::online();
    peer.cut();
    peer.logout().unwrap();
    peer.login();
    peer.open();
    let welcome = Welcome {
        user_id: user("bob"),
        ticket: None,
        resumption: Resumption::New,
        token_expires_in_ms: None,
        server_time_ms: 0,
        limits: None,
    };
    peer.frames([ServerFrame::Welcome(Box::new(welcome)), ServerFrame::Event { seq: Seq(1), event: count(1) }]);
    peer.expect_nothing_sent();
}
