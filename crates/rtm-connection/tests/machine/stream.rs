//! The stream of events: numbers, duplicates, what is missing, and what the user sees of each.

use std::collections::BTreeMap;

use rtm_codec::{
    ChannelAttributes, ClientFrame, CloseReason, Event, MessageId, PeerOnlineState, Resumption, RtmMessage, Seq,
    ServerFrame,
};
use rtm_connection::{
    Config, ConnectionChangeReason as Reason, ConnectionState as State, GapReason, ReceivedMessageProperties, RtmEvent,
};

use crate::peer::{Peer, channel, from_alice, peer_message, user};

fn numbered(seq: u64, text: &str) -> ServerFrame {
    ServerFrame::Event { seq: Seq(seq), event: Event::MessageFromPeer(peer_message(text)) }
}

#[test]
fn a_number_that_came_before_is_dropped() {
    let mut peer = Peer::online();
    peer.frames([numbered(1, "one"), numbered(1, "one"), numbered(2, "two"), numbered(1, "one")]);
    peer.expect_event(from_alice("one"));
    peer.expect_event(from_alice("two"));
    peer.expect_no_event();
}

#[test]
fn missing_numbers_are_a_gap_with_their_count() {
    let mut peer = Peer::online();
    peer.frames([numbered(1, "one"), numbered(5, "five")]);
    peer.expect_event(from_alice("one"));
    peer.expect_gap(Some(3), GapReason::Missing);
    peer.expect_event(from_alice("five"));
    peer.expect_ack(5, 0, 1);
}

#[test]
fn a_gap_of_the_server_is_passed_on() {
    let mut peer = Peer::online();
    peer.event(Event::Gap { channel_id: None, lost: None });
    peer.expect_gap(None, GapReason::Dropped);
    peer.event(Event::Gap { channel_id: Some(channel("room")), lost: Some(12) });
    peer.expect_event(RtmEvent::gap(Some(channel("room")), Some(12), GapReason::Dropped));
}

#[test]
fn each_event_of_a_channel_is_passed_on_with_its_fields() {
    let mut peer = Peer::online();
    let room = || channel("room");
    let properties = ReceivedMessageProperties::new(false, 5);
    for (event, told) in [
        (
            Event::ChannelMessage {
                channel_id: room(),
                message_id: MessageId(1),
                member_id: user("alice"),
                message: RtmMessage::text("hi"),
                server_received_ts: 5,
            },
            RtmEvent::channel_message(room(), user("alice"), RtmMessage::text("hi"), properties),
        ),
        (
            Event::MemberJoined { channel_id: room(), member_id: user("alice"), member_count: 2 },
            RtmEvent::member_joined(room(), user("alice")),
        ),
        (
            Event::MemberLeft { channel_id: room(), member_id: user("alice"), member_count: 1 },
            RtmEvent::member_left(room(), user("alice")),
        ),
        (Event::MemberCountUpdated { channel_id: room(), member_count: 2 }, RtmEvent::member_count_updated(room(), 2)),
        (
            Event::AttributesUpdated { channel_id: room(), attributes: ChannelAttributes::default() },
            RtmEvent::attributes_updated(room(), ChannelAttributes::default()),
        ),
    ] {
        peer.event(event);
        peer.expect_event(told);
    }
}

#[test]
fn online_states_are_a_map() {
    let mut peer = Peer::online();
    let peers = vec![(user("b"), PeerOnlineState::Offline), (user("a"), PeerOnlineState::Unreachable)];
    peer.event(Event::PeersOnlineStatusChanged { peers: peers.clone() });
    peer.expect_event(RtmEvent::peers_online_status_changed(BTreeMap::from_iter(peers)));
}

#[test]
fn a_stored_message_says_that_it_is_one() {
    let mut peer = Peer::online();
    let mut message = peer_message("late");
    message.is_offline_message = true;
    peer.event(Event::MessageFromPeer(message));
    let RtmEvent::MessageFromPeer { properties, .. } = peer.expect_any_event() else { panic!("a message") };
    assert!(properties.is_offline_message);
}

#[test]
fn a_message_that_comes_from_the_store_again_is_shown_once() {
    let mut peer = Peer::online();
    let mut message = peer_message("kept");
    message.message_id = MessageId(7);
    peer.event(Event::MessageFromPeer(message.clone()));
    peer.expect_any_event();
    // The server had given up waiting for its receipt and stored it.
    message.is_offline_message = true;
    peer.event(Event::MessageFromPeer(message.clone()));
    peer.event(Event::MessageFromPeer(message));
    peer.expect_no_event();
}

#[test]
fn a_message_that_came_from_the_store_and_is_sent_again_is_shown_once() {
    let mut peer = Peer::online();
    let message = |is_offline_message| {
        let mut message = peer_message("kept by a server that was lost");
        (message.message_id, message.is_offline_message) = (MessageId(1), is_offline_message);
        Event::MessageFromPeer(message)
    };
    peer.event(message(true));
    peer.expect_any_event();
    peer.event(message(false));
    peer.expect_no_event();
}

#[test]
fn a_server_that_ignores_the_window_loses_the_link_and_nothing_else() {
    let mut config = Config::native();
    config.window = 10;
    let mut peer = Peer::online_with(config);
    let mut seq = 0;
    while peer.connection.state() == State::Connected {
        seq += 1;
        peer.frame(numbered(seq, "flood"));
        assert!(seq < 1000);
    }
    peer.expect_hangup(CloseReason::ProtocolError);
    for _ in 1..seq {
        peer.expect_event(from_alice("flood"));
    }
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
    assert_eq!(peer.open().resume.unwrap().received, Seq(seq - 1));
    peer.welcome(Resumption::Resumed);
}

#[test]
fn without_a_window_any_number_may_wait_for_the_user() {
    let mut peer = Peer::online_with(Config::vendor());
    for seq in 1..=5000 {
        peer.frame(numbered(seq, "flood"));
    }
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn numbers_at_the_end_of_their_range_do_no_harm() {
    let mut peer = Peer::online();
    peer.frames([numbered(u64::MAX, "last"), numbered(0, "none"), numbered(u64::MAX, "last")]);
    peer.expect_gap(Some(u64::MAX - 1), GapReason::Missing);
    peer.expect_event(from_alice("last"));
    peer.expect_no_event();
    assert!(matches!(peer.expect_any_sent(), ClientFrame::Ack { received: Seq(u64::MAX), .. }));
}
