//! Channels: joining, leaving, what needs membership, and coming back.

use rtm_codec::{
    Answer, ChannelId, CloseReason, Command, ErrorKind, Event, GetMembers, JoinChannel, LeaveChannel, MessageId,
    Resumption, SendChannelMessage, ServerFrame,
};
use rtm_connection::{ConnectionChangeReason as Reason, ConnectionState as State, GapReason, Restored, RtmEvent};

use crate::peer::{Peer, SECOND, channel};

fn join(id: &str) -> JoinChannel {
    JoinChannel { channel_id: channel(id) }
}

fn leave(id: &str) -> LeaveChannel {
    LeaveChannel { channel_id: channel(id) }
}

fn say(id: &str) -> SendChannelMessage {
    SendChannelMessage {
        message_id: MessageId(0),
        channel_id: channel(id),
        message: "hi".into(),
        enable_historical_messaging: false,
    }
}

fn joined(peer: &mut Peer, channel: &str) {
    let id = peer.request(join(channel));
    peer.expect_request(id);
    peer.reply(id, Answer::JoinChannel(()));
    peer.expect_ok(id);
}

fn member_of(channels: &[&str]) -> Peer {
    let mut peer = Peer::online();
    for channel in channels {
        joined(&mut peer, channel);
    }
    peer
}

fn rejoined(peer: &mut Peer) -> ChannelId {
    let (id, command) = peer.expect_any_request();
    let Command::JoinChannel(join) = command else { panic!("a join") };
    peer.reply(id, Answer::JoinChannel(()));
    peer.expect_no_reply();
    join.channel_id
}

#[test]
fn a_joined_channel_is_known_and_a_left_one_is_not() {
    let mut peer = member_of(&["b", "a"]);
    assert_eq!(peer.connection.channels().collect::<Vec<_>>(), [&channel("a"), &channel("b")]);
    let id = peer.request(leave("a"));
    peer.expect_request(id);
    peer.reply(id, Answer::LeaveChannel(()));
    peer.expect_ok(id);
    assert_eq!(peer.connection.channels().collect::<Vec<_>>(), [&channel("b")]);
}

#[test]
fn a_channel_is_joined_once() {
    let mut peer = Peer::online();
    let first = peer.request(join("room"));
    let second = peer.request(join("room"));
    assert_eq!(peer.expect_err(second, ErrorKind::AlreadyJoined).code(), Some(6));
    peer.reply(first, Answer::JoinChannel(()));
    peer.expect_ok(first);
    let third = peer.request(join("room"));
    peer.expect_err(third, ErrorKind::AlreadyJoined);
}

#[test]
fn a_failed_join_may_be_tried_again() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.refuse(id, ErrorKind::Failure);
    peer.expect_err(id, ErrorKind::Failure);
    peer.forget_sent();
    joined(&mut peer, "room");
}

#[test]
fn the_third_join_of_one_channel_within_five_seconds_is_too_often() {
    let mut peer = Peer::online();
    for _ in 0..2 {
        let id = peer.request(join("room"));
        peer.refuse(id, ErrorKind::Failure);
    }
    peer.drop_replies();
    let id = peer.request(join("room"));
    assert_eq!(peer.expect_err(id, ErrorKind::SameChannelTooOften).code(), Some(8));
    let id = peer.request(join("other"));
    peer.expect_no_reply();
    peer.refuse(id, ErrorKind::Failure);
    peer.pass(SECOND * 5);
    peer.drop_replies();
    peer.request(join("room"));
    peer.expect_no_reply();
}

#[test]
fn a_client_is_in_at_most_20_channels() {
    let names: Vec<_> = (0..20).map(|i| format!("c{i:02}")).collect();
    let mut peer = member_of(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let id = peer.request(join("one more"));
    assert_eq!(peer.expect_err(id, ErrorKind::ExceedLimit).code(), Some(5));
    // A channel that is being left makes room: the server hears of the leaving first.
    peer.request(leave("c00"));
    peer.request(join("one more"));
    peer.expect_no_reply();
}

#[test]
fn what_needs_membership_is_refused_without_it() {
    let mut peer = Peer::online();
    let id = peer.request(leave("room"));
    assert_eq!(peer.expect_err(id, ErrorKind::NotInChannel).code(), Some(3));
    let id = peer.request(say("room"));
    assert_eq!(peer.expect_err(id, ErrorKind::NotInChannel).code(), Some(5));
    let id = peer.request(GetMembers { channel_id: channel("room") });
    assert_eq!(peer.expect_err(id, ErrorKind::NotInChannel).code(), Some(5));
    peer.expect_no_request();
    joined(&mut peer, "room");
    let id = peer.request(say("room"));
    peer.expect_request(id);
    let id = peer.request(GetMembers { channel_id: channel("room") });
    peer.expect_request(id);
}

#[test]
fn leaving_aborts_a_join() {
    let mut peer = Peer::online();
    let joining = peer.request(join("room"));
    let leaving = peer.request(leave("room"));
    assert_eq!(peer.expect_err(joining, ErrorKind::AbortedByLeave).code(), Some(210));
    peer.expect_request(joining);
    peer.expect_request(leaving);
    peer.reply(joining, Answer::JoinChannel(()));
    assert_eq!(peer.connection.channels().count(), 0);
    peer.reply(leaving, Answer::LeaveChannel(()));
    peer.expect_ok(leaving);
    peer.expect_no_reply();
}

#[test]
fn leaving_what_the_server_never_heard_of_costs_no_round_trip() {
    let mut peer = Peer::online();
    peer.cut();
    let joining = peer.request(join("room"));
    let leaving = peer.request(leave("room"));
    peer.expect_err(joining, ErrorKind::AbortedByLeave);
    peer.expect_ok(leaving);
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_no_request();
}

#[test]
fn a_channel_may_be_joined_again_while_it_is_being_left() {
    let mut peer = member_of(&["room"]);
    let leaving = peer.request(leave("room"));
    let joining = peer.request(join("room"));
    peer.reply(leaving, Answer::LeaveChannel(()));
    peer.expect_ok(leaving);
    peer.reply(joining, Answer::JoinChannel(()));
    peer.expect_ok(joining);
    assert_eq!(peer.connection.channels().count(), 1);
}

#[test]
fn a_leave_and_a_join_that_both_came_too_late_leave_the_user_out() {
    let mut peer = member_of(&["room"]);
    peer.cut();
    let leaving = peer.request(leave("room"));
    peer.pass(SECOND * 4);
    let joining = peer.request(join("room"));
    peer.until_dial();
    peer.pass(SECOND);
    peer.expect_err(leaving, ErrorKind::Timeout);
    peer.pass(SECOND * 4);
    peer.expect_err(joining, ErrorKind::Timeout);
    assert_eq!(peer.connection.channels().count(), 0);
    peer.open();
    peer.welcome(Resumption::Resumed);
    // The server has had the user in all the while.
    assert_eq!(peer.expect_any_request().1, leave("room").into());
}

#[test]
fn leaving_once_more_is_sent_if_the_first_leave_was_not() {
    let mut peer = member_of(&["room"]);
    peer.cut();
    let first = peer.request(leave("room"));
    let joining = peer.request(join("room"));
    let second = peer.request(leave("room"));
    peer.expect_err(joining, ErrorKind::AbortedByLeave);
    peer.expect_no_reply();
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_request(first);
    peer.expect_request(second);
    peer.reply(first, Answer::LeaveChannel(()));
    peer.refuse(second, ErrorKind::NotInChannel);
    peer.expect_ok(first);
    peer.expect_ok(second);
    peer.expect_no_request();
}

#[test]
fn a_leave_without_an_answer_leaves_the_user_in_the_channel() {
    let mut peer = member_of(&["room"]);
    let id = peer.request(leave("room"));
    peer.pass(SECOND * 5);
    peer.expect_err(id, ErrorKind::Timeout);
    assert_eq!(peer.connection.channels().count(), 1);
    let id = peer.request(leave("room"));
    peer.refuse(id, ErrorKind::NotInChannel);
    // The first one was done after all.
    peer.expect_ok(id);
    assert_eq!(peer.connection.channels().count(), 0);
}

#[test]
fn a_leave_that_the_server_may_have_done_is_made_up_for() {
    let mut peer = member_of(&["room"]);
    let id = peer.request(leave("room"));
    peer.expect_request(id);
    peer.pass(SECOND * 5);
    peer.expect_err(id, ErrorKind::Timeout);
    // The user believes that it is in the channel, so it is to be in it on the server too.
    assert_eq!(peer.expect_any_request().1, join("room").into());
    assert_eq!(peer.connection.channels().count(), 1);
}

#[test]
fn a_join_without_an_answer_is_undone() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.expect_request(id);
    peer.pass(SECOND * 5);
    assert_eq!(peer.expect_err(id, ErrorKind::Timeout).code(), Some(4));
    assert_eq!(peer.expect_any_request().1, leave("room").into());
    let id = peer.request(join("room"));
    peer.expect_request(id);
    peer.expect_no_reply();
}

#[test]
fn undoing_a_join_goes_on_over_the_next_link() {
    let mut peer = Peer::online();
    peer.request(join("room"));
    // Nothing is answered over this link, however often it is asked.
    for _ in 0..40 {
        peer.frame(ServerFrame::Pong);
        peer.pass(SECOND);
    }
    peer.forget_all();
    peer.cut_and_reopen();
    peer.welcome(Resumption::Resumed);
    assert_eq!(peer.expect_any_request().1, leave("room").into());
}

#[test]
fn undoing_a_join_outlives_the_link() {
    for resumption in [Resumption::Resumed, Resumption::Lapsed, Resumption::New] {
        let mut peer = Peer::online();
        let id = peer.request(join("room"));
        peer.pass(SECOND * 5);
        peer.expect_err(id, ErrorKind::Timeout);
        peer.forget_all();
        // Whether the server got the leave nobody knows.
        peer.reconnect(resumption);
        let (id, command) = peer.expect_any_request();
        assert_eq!(command, leave("room").into());
        peer.refuse(id, ErrorKind::NotInChannel);
        peer.drop_events();
        peer.reconnect(resumption);
        peer.expect_no_request();
    }
}

#[test]
fn a_join_that_ends_without_a_link_is_undone_over_the_next_one() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.cut();
    peer.until_dial();
    peer.pass(SECOND * 5);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.open();
    peer.welcome(Resumption::Resumed);
    assert_eq!(peer.expect_any_request().1, leave("room").into());
}

#[test]
fn a_join_that_is_wanted_again_is_not_undone() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.pass(SECOND * 5);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.forget_all();
    peer.cut();
    let id = peer.request(join("room"));
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_request(id);
    peer.expect_no_request();
}

#[test]
fn a_join_that_is_wanted_again_in_vain_is_undone() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.pass(SECOND * 5);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.forget_all();
    peer.cut();
    let again = peer.request(join("room"));
    peer.until_dial();
    peer.open();
    // The link ends with the welcome: the second join is never sent.
    let welcome = peer.welcome_frame(|welcome| welcome.resumption = Resumption::Resumed);
    peer.frames([welcome, ServerFrame::Close(CloseReason::Draining)]);
    peer.pass(SECOND * 5);
    peer.expect_err(again, ErrorKind::Timeout);
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    assert_eq!(peer.expect_any_request().1, leave("room").into());
}

#[test]
fn a_server_that_still_has_the_user_in_the_channel_means_yes() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.refuse(id, ErrorKind::AlreadyJoined);
    peer.expect_ok(id);
    assert_eq!(peer.connection.channels().count(), 1);
}

#[test]
fn a_resumed_session_is_still_in_its_channels() {
    let mut peer = member_of(&["room"]);
    peer.reconnect(Resumption::Resumed);
    peer.expect_no_request();
    let id = peer.request(say("room"));
    peer.expect_request(id);
}

#[test]
fn channels_are_joined_again_before_anything_is_sent_to_them() {
    for resumption in [Resumption::New, Resumption::Lapsed] {
        let mut peer = member_of(&["a", "b"]);
        peer.cut();
        peer.expect_state(State::Reconnecting, Reason::Interrupted);
        let id = peer.request(say("b"));
        peer.until_dial();
        peer.open();
        peer.welcome(resumption);
        assert_eq!(rejoined(&mut peer), channel("a"));
        assert_eq!(rejoined(&mut peer), channel("b"));
        peer.expect_request(id);
    }
}

#[test]
fn only_what_the_user_is_in_is_joined_again() {
    let mut peer = member_of(&["stays", "left"]);
    let id = peer.request(leave("left"));
    peer.reply(id, Answer::LeaveChannel(()));
    let id = peer.request(join("refused"));
    peer.refuse(id, ErrorKind::Failure);
    peer.forget_all();
    peer.reconnect(Resumption::New);
    assert_eq!(rejoined(&mut peer), channel("stays"));
    peer.expect_no_request();
}

#[test]
fn a_channel_that_was_being_left_is_left_over_a_new_session() {
    let mut peer = member_of(&["room"]);
    let id = peer.request(leave("room"));
    peer.expect_request(id);
    peer.reconnect(Resumption::New);
    peer.expect_request(id);
    peer.refuse(id, ErrorKind::NotInChannel);
    peer.expect_ok(id);
    peer.expect_no_request();
}

#[test]
fn a_channel_that_cannot_be_joined_again_is_given_up_and_said() {
    let mut peer = member_of(&["room"]);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    let (id, _) = peer.expect_any_request();
    peer.refuse(id, ErrorKind::Rejected);
    let RtmEvent::RestoreFailed { what, error, .. } = peer.expect_any_event() else { panic!("the failure") };
    assert_eq!((what, error.code()), (Restored::Channel(channel("room")), Some(2)));
    assert_eq!(peer.connection.channels().count(), 0);
    let id = peer.request(say("room"));
    peer.expect_err(id, ErrorKind::NotInChannel);
    joined(&mut peer, "room");
}

#[test]
fn a_rejoin_made_too_often_waits_and_is_made_again() {
    let mut peer = member_of(&["room"]);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    let (id, _) = peer.expect_any_request();
    peer.refuse(id, ErrorKind::SameChannelTooOften);
    peer.expect_no_request();
    peer.pass(SECOND * 6);
    assert_eq!(rejoined(&mut peer), channel("room"));
    peer.expect_no_event();
    peer.pass(SECOND * 60);
    peer.expect_no_request();
}

#[test]
fn a_rejoin_without_an_answer_is_made_again_and_undone_in_the_end() {
    let mut peer = member_of(&["room"]);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    for _ in 0..3 {
        assert_eq!(peer.expect_any_request().1, join("room").into());
        peer.pass(SECOND * 11);
    }
    assert!(matches!(peer.expect_any_event(), RtmEvent::RestoreFailed { what: Restored::Channel(_), .. }));
    assert_eq!(peer.expect_any_request().1, leave("room").into());
}

#[test]
fn a_channel_left_while_it_is_being_joined_again_is_not_missed() {
    let mut peer = member_of(&["room"]);
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    let (rejoin, _) = peer.expect_any_request();
    let id = peer.request(leave("room"));
    peer.refuse(rejoin, ErrorKind::Rejected);
    peer.reply(id, Answer::LeaveChannel(()));
    peer.expect_ok(id);
    peer.expect_no_event();
    peer.pass(SECOND * 60);
    peer.expect_no_event();
}

#[test]
fn an_absence_too_long_for_membership_is_a_gap_where_the_server_says_so() {
    let mut peer = member_of(&["room"]);
    peer.reconnect(Resumption::Lapsed);
    peer.expect_no_event();
    let channel_id = Some(channel("room"));
    peer.event(Event::Gap { channel_id: channel_id.clone(), lost: None });
    peer.expect_event(RtmEvent::gap(channel_id, None, GapReason::LeftChannel));
}

#[test]
fn a_join_that_may_have_been_done_before_a_lapse_is_made_again() {
    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.expect_request(id);
    peer.reconnect(Resumption::Lapsed);
    peer.expect_request(id);
    // From memory, or done only now: nobody knows.
    peer.reply(id, Answer::JoinChannel(()));
    peer.expect_ok(id);
    assert_eq!(rejoined(&mut peer), channel("room"));
    peer.expect_no_request();

    let mut peer = Peer::online();
    let id = peer.request(join("room"));
    peer.expect_request(id);
    peer.reconnect(Resumption::Resumed);
    peer.expect_request(id);
    peer.reply(id, Answer::JoinChannel(()));
    peer.expect_no_request();
}
