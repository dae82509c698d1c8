//! Going on with a session on the native wire, and what happens where that cannot be.

use rtm_codec::{
    Answer, CloseReason, ErrorKind, Event, GetMembers, JoinChannel, MessageId, RequestId, Resume, Resumption,
    SendOutcome, Seq,
};
use rtm_connection::{
    Config, Connection, ConnectionChangeReason as Reason, ConnectionState as State, GapReason, RtmEvent,
};

use crate::peer::{MS, Peer, SECOND, channel, from_alice, ticket, to_alice};

#[test]
fn a_reconnect_says_where_it_wants_to_go_on() {
    let mut peer = Peer::online();
    peer.message("one");
    peer.message("two");
    peer.consume(3); // Two state changes came first.
    let open = peer.request(to_alice("hi"));
    let login = peer.cut_and_reopen_after_events(2);
    assert_eq!(login.resume, Some(Resume { ticket: ticket(1), received: Seq(2), consumed: Seq(1), answered: open }));
}

#[test]
fn a_resumed_session_goes_on_without_a_word() {
    let mut peer = Peer::online();
    peer.message("one");
    peer.expect_event(from_alice("one"));
    peer.reconnect(Resumption::Resumed);
    peer.expect_no_event();
    peer.message("two");
    peer.expect_event(from_alice("two"));
}

#[test]
fn the_newest_ticket_counts() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    peer.welcome_with(|welcome| welcome.ticket = Some(ticket(2)));
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(None, GapReason::NewSession);
    assert_eq!(peer.cut_and_reopen().resume.unwrap().ticket, ticket(2));
}

#[test]
fn a_new_session_in_place_of_the_old_one_is_a_gap() {
    let mut peer = Peer::online();
    peer.message("one");
    peer.expect_event(from_alice("one"));
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    // The new stream counts from one again.
    peer.message("two");
    peer.expect_event(from_alice("two"));
    assert_eq!(peer.cut_and_reopen().resume.unwrap().received, Seq(1));
}

#[test]
fn the_vendors_wire_never_resumes_and_says_so() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.message("one");
    peer.expect_event(from_alice("one"));
    assert_eq!(peer.cut_and_reopen().resume, None);
    peer.welcome_with(|welcome| welcome.ticket = None);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(None, GapReason::NewSession);
    assert_eq!(peer.connection.session(), None);
}

#[test]
fn an_unanswered_request_is_sent_again_with_its_number_when_the_server_knows_the_session() {
    for resumption in [Resumption::Resumed, Resumption::Lapsed] {
        let mut peer = Peer::online();
        let id = peer.request(to_alice("hi"));
        let command = peer.expect_request(id);
        peer.reconnect(resumption);
        assert_eq!(peer.expect_request(id), command);
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered));
        assert_eq!(peer.expect_ok(id), Answer::SendMessageToPeer(SendOutcome::Delivered));
    }
}

#[test]
fn what_may_have_had_its_effect_is_not_sent_over_a_new_session() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.expect_request(id);
    peer.reconnect(Resumption::New);
    peer.expect_nothing_sent();
    peer.expect_err(id, ErrorKind::OutcomeUnknown);
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered));
    peer.expect_no_reply();
}

#[test]
fn what_is_the_same_done_twice_is_sent_over_a_new_session() {
    let mut peer = Peer::online();
    let join = peer.request(JoinChannel { channel_id: channel("room") });
    let query = peer.request(rtm_codec::QueryPeersBySubscriptionOption {});
    peer.forget_all();
    peer.reconnect(Resumption::New);
    peer.expect_request(join);
    peer.expect_request(query);
    peer.reply(join, Answer::JoinChannel(()));
    peer.expect_ok(join);
}

#[test]
fn what_was_never_sent_is_sent_over_any_session() {
    for resumption in [Resumption::Resumed, Resumption::Lapsed, Resumption::New] {
        let mut peer = Peer::online();
        peer.cut();
        peer.expect_state(State::Reconnecting, Reason::Interrupted);
        let first = peer.request(to_alice("one"));
        let second = peer.request(to_alice("two"));
        peer.expect_nothing_sent();
        peer.until_dial();
        peer.open();
        peer.expect_nothing_sent();
        peer.welcome(resumption);
        peer.expect_request(first);
        peer.expect_request(second);
        peer.expect_no_reply();
    }
}

#[test]
fn what_was_not_handed_to_the_link_before_it_broke_was_never_sent() {
    let mut peer = Peer::online();
    let id = peer.with(|connection, now| {
        let id = connection.request(now, to_alice("hi"));
        connection.handle_closed(now, None);
        id
    });
    peer.expect_nothing_sent();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_request(id);
    peer.expect_no_reply();
}

#[test]
fn what_an_earlier_link_took_stays_sent_when_a_later_one_did_not() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.expect_request(id);
    peer.cut_and_reopen();
    peer.with(|connection, now| {
        let welcome = rtm_codec::Welcome {
            user_id: crate::peer::user("bob"),
            ticket: Some(ticket(1)),
            resumption: Resumption::Resumed,
            token_expires_in_ms: None,
            server_time_ms: 0,
            limits: None,
        };
        connection.handle_frame(now, rtm_codec::ServerFrame::Welcome(Box::new(welcome)));
        // The second sending never reaches the transport.
        connection.handle_closed(now, None);
    });
    peer.expect_nothing_sent();
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_nothing_sent();
    peer.expect_err(id, ErrorKind::OutcomeUnknown);
}

#[test]
fn a_send_during_reconnecting_waits_until_its_deadline() {
    let mut peer = Peer::online();
    peer.cut();
    let id = peer.request(to_alice("hi"));
    for _ in 0..1000 {
        if peer.has_dial() {
            peer.dial_failed(true);
        }
        peer.pass(MS * 10);
        if peer.has_reply() {
            break;
        }
    }
    let error = peer.expect_err(id, ErrorKind::Timeout);
    assert_eq!(error.code(), Some(2));
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_nothing_sent();
}

#[test]
fn a_request_keeps_its_deadline_over_a_reconnect() {
    let mut peer = Peer::online();
    let id = peer.request(to_alice("hi"));
    peer.pass(SECOND * 6);
    peer.forget_all();
    peer.reconnect(Resumption::Resumed);
    peer.expect_request(id);
    peer.pass(SECOND * 4);
    peer.expect_err(id, ErrorKind::Timeout);
}

#[test]
fn events_follow_connected_and_the_gap() {
    for (resumption, is_gap) in [(Resumption::Resumed, false), (Resumption::Lapsed, false), (Resumption::New, true)] {
        let mut peer = Peer::online();
        peer.cut_and_reopen();
        peer.welcome(resumption);
        peer.message("missed");
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        if is_gap {
            peer.expect_gap(None, GapReason::NewSession);
        }
        peer.expect_event(from_alice("missed"));
    }
}

#[test]
fn numbers_of_requests_rise_over_reconnects() {
    let mut peer = Peer::online();
    let mut last = RequestId(0);
    for resumption in [Resumption::Resumed, Resumption::New, Resumption::Lapsed] {
        let id = peer.request(rtm_codec::QueryPeersBySubscriptionOption {});
        assert!(id > last);
        last = id;
        peer.cut();
        peer.until_dial();
        peer.open();
        peer.welcome(resumption);
    }
}

#[test]
fn a_saved_session_is_resumed_by_another_connection() {
    let mut peer = Peer::online();
    let join = peer.request(JoinChannel { channel_id: channel("room") });
    peer.reply(join, Answer::JoinChannel(()));
    peer.message("one");
    peer.consume(3);
    let session = peer.connection.session().unwrap();
    let instance = peer.cut_and_reopen_after_events(1).instance;

    let mut peer = Peer::around(Connection::with_session(Config::native(), 99, session.clone()));
    peer.login();
    let login = peer.open();
    assert_eq!(login.instance, instance);
    let resume = login.resume.unwrap();
    assert_eq!((resume.ticket, resume.received), (ticket(1), Seq(1)));
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_no_event();
    let id = peer.request(GetMembers { channel_id: channel("room") });
    assert!(id > join);
    peer.expect_request(id);

    // Where the server does not know it any more, what was in it is restored.
    let mut peer = Peer::around(Connection::with_session(Config::native(), 99, session));
    peer.login();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(None, GapReason::NewSession);
    assert_eq!(peer.expect_any_request().1, JoinChannel { channel_id: channel("room") }.into());
}

#[test]
fn what_was_received_and_not_consumed_when_a_session_was_saved_is_a_gap() {
    let mut peer = Peer::online();
    peer.message("one");
    peer.message("two");
    peer.message("three");
    peer.consume(3);
    let session = peer.connection.session().unwrap();
    assert_eq!((session.received(), session.consumed()), (Seq(3), Seq(1)));

    let mut peer = Peer::around(Connection::with_session(Config::native(), 99, session));
    peer.login();
    let resume = peer.open().resume.unwrap();
    assert_eq!((resume.received, resume.consumed), (Seq(3), Seq(3)));
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(Some(2), GapReason::Missing);
    peer.expect_no_event();
}

#[test]
fn a_saved_session_is_resumed_by_the_first_login_that_reaches_the_server() {
    let mut peer = Peer::online();
    peer.message("one");
    peer.message("two");
    peer.consume(3);
    let session = peer.connection.session().unwrap();

    let mut peer = Peer::around(Connection::with_session(Config::native(), 99, session));
    peer.login();
    peer.dial_failed(false);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Disconnected, Reason::LoginFailure);
    peer.login();
    peer.open();
    peer.pass(SECOND * 20);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Disconnected, Reason::LoginTimeout);
    peer.forget_all();
    peer.login();
    let login = peer.open();
    let resume = login.resume.unwrap();
    assert_eq!((resume.ticket, resume.received), (ticket(1), Seq(2)));
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.expect_gap(Some(1), GapReason::Missing);
}

#[test]
fn a_saved_session_that_is_over_is_not_resumed_by_the_next_login() {
    let session = Peer::online().connection.session().unwrap();
    for end in [Some(CloseReason::RemoteLogin), Some(CloseReason::Replaced), Some(CloseReason::Banned), None] {
        let mut peer = Peer::around(Connection::with_session(Config::native(), 99, session.clone()));
        peer.login();
        assert!(peer.open().resume.is_some());
        match end {
            Some(reason) => peer.close(reason),
            None => peer.logout().unwrap(),
        }
        assert_eq!(peer.connection.state(), State::Disconnected, "{end:?}");
        peer.pass(SECOND * 3);
        peer.forget_all();
        peer.login();
        assert_eq!(peer.open().resume, None, "{end:?}");
    }
}

#[test]
fn a_saved_session_of_another_user_is_left_alone() {
    let session = Peer::online().connection.session().unwrap();
    let mut peer = Peer::around(Connection::with_session(Config::native(), 99, session));
    peer.login_as("carol");
    assert_eq!(peer.open().resume, None);
}

#[test]
fn a_message_that_comes_again_over_a_new_session_is_dropped() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.message("once");
    peer.expect_event(from_alice("once"));
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    peer.message("once");
    peer.message("twice");
    peer.expect_event(from_alice("twice"));
    // Both senders wait for their receipt.
    peer.expect_ack(1, 0, 1);
    peer.expect_ack(2, 0, 1);
}

#[test]
fn a_message_that_comes_again_after_a_logout_is_dropped() {
    let mut peer = Peer::online();
    peer.message("once");
    peer.expect_event(from_alice("once"));
    peer.cut();
    peer.expect_state(State::Reconnecting, Reason::Interrupted);
    peer.logout().unwrap();
    peer.expect_state(State::Disconnected, Reason::Logout);
    peer.expect_logout_ok();
    peer.login();
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_state(State::Connecting, Reason::Login);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    peer.message("once");
    peer.message("twice");
    peer.expect_event(from_alice("twice"));
}

#[test]
fn messages_without_a_number_may_look_alike() {
    let mut peer = Peer::online_with(Config::vendor());
    peer.reconnect(Resumption::New);
    peer.expect_gap(None, GapReason::NewSession);
    for _ in 0..2 {
        let mut message = crate::peer::peer_message("happy birthday");
        message.message_id = MessageId(0);
        peer.event(Event::MessageFromPeer(message));
        assert!(matches!(peer.expect_any_event(), RtmEvent::MessageFromPeer { .. }));
    }
}

#[test]
fn a_client_whose_session_another_process_goes_on_with_ends() {
    for by_frame in [true, false] {
        let mut peer = Peer::online();
        if by_frame {
            peer.close(CloseReason::Replaced);
        } else {
            peer.with(|connection, now| connection.handle_closed(now, Some(CloseReason::Replaced)));
        }
        peer.expect_state(State::Aborted, Reason::RemoteLogin);
        peer.pass(SECOND * 1000);
        peer.expect_no_dial();
        peer.expect_no_event();
    }
}

/// The network may bring a login late that its client has given up: the server takes that for the newer one.
#[test]
fn a_client_comes_back_once_whose_own_late_login_took_its_session() {
    for is_given_up in [true, false] {
        let mut peer = Peer::online();
        peer.cut_and_reopen();
        if is_given_up {
            peer.pass(SECOND * 6);
            peer.expect_hangup(CloseReason::LoginTimeout);
        } else {
            peer.cut();
        }
        peer.until_dial();
        peer.open();
        peer.welcome(Resumption::Resumed);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.close(CloseReason::Replaced);
        peer.expect_state(State::Reconnecting, Reason::Interrupted);
        peer.until_dial();
        peer.open();
        peer.welcome(Resumption::Resumed);
        peer.expect_state(State::Connected, Reason::LoginSuccess);
        peer.close(CloseReason::Replaced);
        peer.expect_state(State::Aborted, Reason::RemoteLogin);
    }
}

#[test]
fn a_login_without_an_answer_explains_nothing_a_minute_later() {
    let mut peer = Peer::online();
    peer.cut_and_reopen();
    peer.cut();
    peer.until_dial();
    peer.open();
    peer.welcome(Resumption::Resumed);
    peer.expect_state(State::Connected, Reason::LoginSuccess);
    for _ in 0..12 {
        peer.pass(SECOND * 5);
        peer.frame(rtm_codec::ServerFrame::Pong);
    }
    peer.close(CloseReason::Replaced);
    peer.expect_state(State::Aborted, Reason::RemoteLogin);
}
