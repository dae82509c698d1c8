//! What is asked of the vendor's gateway: a server to connect to, stored messages, and history.

use rtm_codec::{
    Answer, ClientFrame, CloseReason, ErrorKind, HistoryOf, HistoryPage, PeerMessage, QueryHistory, Resumption,
    SendOutcome, Text,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest, StoredCursor, StoredPage, StoredQuery},
};
use rtm_connection::{
    AskId, Config, ConnectionChangeReason as Reason, ConnectionState as State, Deadline, Output, RtmEvent, Timer,
};

use crate::peer::{MS, Peer, SECOND, app, named, no_route, peer_message, to_alice, token, user};

/// Not logged in, with a gateway that is answered by hand.
fn by_hand() -> Peer {
    let mut peer = Peer::new(Config::vendor());
    peer.has_gateway = false;
    peer
}

/// Logged in; the stored messages are asked for.
fn online() -> Peer {
    let mut peer = by_hand();
    peer.login();
    peer.answer_ask(Ok(named(&["alive"])));
    peer.open();
    peer.welcome(Resumption::New);
    peer.drop_events();
    peer.expect_login_ok();
    peer
}

fn caller() -> Caller {
    Caller { app_id: app(), user_id: user("bob"), session: Text::from("gateway-7") }
}

fn stored(text: &str) -> PeerMessage {
    PeerMessage { is_offline_message: true, ..peer_message(text) }
}

fn texts(peer: &mut Peer) -> Vec<String> {
    let mut texts = Vec::new();
    while peer.has_event() {
        if let RtmEvent::MessageFromPeer { message, .. } = peer.expect_any_event() {
            texts.push(message.as_text().unwrap().to_owned());
        }
    }
    texts
}

fn history() -> QueryHistory {
    QueryHistory { conversation: HistoryOf::Peer(user("alice")), from_ts: 1, until_ts: 9, after: None, limit: 10 }
}

#[test]
fn the_gateway_is_asked_first_and_the_login_names_the_session_that_it_gave() {
    let mut peer = by_hand();
    peer.login();
    peer.expect_no_dial();
    let asked = peer.answer_ask(Ok(named(&["alive"])));
    let request =
        GatewayRequest::Connect { app_id: app(), user_id: Some(user("bob")), token: Some(token("old")), tls: false };
    assert_eq!(asked, request);
    assert_eq!(peer.open().gateway_session, Some(Text::from("gateway-7")));
}

#[test]
fn servers_for_tls_are_asked_for_where_that_is_set() {
    let mut config = Config::vendor();
    config.gateways[0].tls = true;
    let mut peer = Peer::new(config);
    peer.has_gateway = false;
    peer.login();
    assert!(matches!(peer.expect_ask(), (_, GatewayRequest::Connect { tls: true, .. })));
}

#[test]
fn the_servers_are_tried_one_after_the_other_and_each_attempt_begins_with_another_one() {
    let mut peer = by_hand();
    peer.login();
    for order in [["a", "b", "c"], ["b", "c", "a"], ["c", "a", "b"], ["a", "b", "c"]] {
        peer.until_dial();
        peer.answer_ask(Ok(named(&["a", "b", "c"])));
        for host in order {
            peer.expect_server(host);
            peer.with(|connection, now| connection.handle_dial_failed(now, no_route(true)));
        }
        peer.expect_no_dial();
    }
    assert_eq!(peer.connection.state(), State::Connecting);
}

#[test]
fn a_server_that_does_not_open_the_link_in_half_the_time_is_given_up_for_the_next_one() {
    let mut peer = by_hand();
    peer.login();
    peer.answer_ask(Ok(named(&["silent", "alive"])));
    peer.expect_server("silent");
    peer.pass(SECOND * 5 - MS);
    peer.expect_no_dial();
    peer.pass(MS);
    peer.open();
    peer.welcome(Resumption::New);
    peer.expect_login_ok();
    peer.expect_no_hangup();
}

#[test]
fn a_login_that_may_not_be_tried_again_fails_with_what_the_last_server_said() {
    let mut peer = by_hand();
    peer.login();
    peer.answer_ask(Ok(named(&["a", "b"])));
    peer.dial_failed(true);
    peer.dial_failed(false);
    let error = peer.expect_login_err(ErrorKind::GatewayConnectFailed);
    assert_eq!(error.detail(), "no route");
}

#[test]
fn a_gateway_that_says_nothing_is_asked_again_after_10_s_and_its_late_answer_is_of_no_use() {
    let mut peer = by_hand();
    peer.login();
    let (id, _) = peer.expect_ask();
    peer.pass(SECOND * 10 - MS);
    peer.expect_none_canceled();
    peer.pass(MS);
    peer.expect_canceled(id);
    peer.answer_late(id, Ok(named(&["late"])));
    peer.expect_no_dial();
    peer.until_dial();
    peer.answer_ask(Ok(named(&["alive"])));
    peer.expect_server("alive");
}

#[test]
fn a_gateway_that_has_no_server_for_now_is_asked_again() {
    for answer in [named(&[]), GatewayAnswer::TryAgain, GatewayAnswer::OfflineMessages(StoredPage::default())] {
        let mut peer = by_hand();
        peer.login();
        peer.answer_ask(Ok(answer));
        assert_eq!(peer.connection.state(), State::Connecting);
        peer.until_dial();
        peer.answer_ask(Ok(named(&["alive"])));
        peer.open();
    }
}

#[test]
fn a_gateway_that_refuses_ends_the_login_with_its_reason() {
    for (kind, reason) in [(ErrorKind::InvalidToken, Reason::LoginFailure), (ErrorKind::Banned, Reason::BannedByServer)]
    {
        let mut peer = by_hand();
        peer.login();
        peer.answer_ask(Ok(GatewayAnswer::Refused(kind)));
        peer.expect_state(State::Connecting, Reason::Login);
        peer.expect_state(State::Disconnected, reason);
        peer.expect_login_err(kind);
        peer.expect_no_hangup();
    }
}

#[test]
fn a_logout_ends_what_is_asked() {
    let mut peer = by_hand();
    peer.login();
    let (id, _) = peer.expect_ask();
    peer.logout().unwrap();
    peer.expect_canceled(id);
    peer.expect_no_hangup();
    peer.expect_logout_ok();
    peer.answer_late(id, Ok(named(&["late"])));
    peer.expect_no_dial();

    let mut peer = online();
    let (stored_id, _) = peer.expect_ask();
    let query = peer.request(history());
    let (history_id, _) = peer.expect_ask();
    peer.logout().unwrap();
    peer.expect_err(query, ErrorKind::AbortedByLogout);
    peer.expect_canceled(stored_id);
    peer.expect_canceled(history_id);
    peer.drop_events();
    peer.answer_late(stored_id, Ok(GatewayAnswer::OfflineMessages(vec![stored("late")].into())));
    peer.expect_no_event();
}

#[test]
fn stored_messages_are_fetched_after_the_login_and_take_their_place_in_the_stream() {
    let mut peer = online();
    peer.message("before");
    let asked = peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(vec![stored("one"), stored("two")].into())));
    assert_eq!(asked, pages(None));
    peer.message("after");
    assert_eq!(texts(&mut peer), ["before", "one", "two", "after"]);
    peer.pass(SECOND * 60);
    peer.expect_no_ask();
    assert_eq!(peer.stored_left(), 0);
}

#[test]
fn stored_messages_do_not_count_among_what_came_over_the_link() {
    let mut peer = online();
    peer.forget_sent();
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(vec![stored("one"), stored("two")].into())));
    peer.expect_nothing_sent();
    peer.message("live");
    peer.expect_ack(1, 0, 1);
    // Those of the login, the stored ones and the live one.
    peer.consume(5);
    peer.message("another");
    peer.expect_ack(2, 1, 1);
}

#[test]
fn a_stored_message_that_came_before_does_not_come_again() {
    let mut peer = online();
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(vec![stored("once")].into())));
    peer.cut();
    peer.until_dial();
    peer.answer_ask(Ok(named(&["alive"])));
    peer.open();
    peer.welcome(Resumption::New);
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(vec![stored("once"), stored("new")].into())));
    assert_eq!(texts(&mut peer), ["once", "new"]);
}

fn pages(after: Option<StoredCursor>) -> GatewayRequest {
    GatewayRequest::OfflineMessages { caller: caller(), page: Some(StoredQuery { after, limit: 100 }) }
}

fn page(message: &str, next: u64) -> Result<GatewayAnswer, rtm_connection::TransportError> {
    Ok(GatewayAnswer::OfflineMessages(StoredPage { messages: vec![stored(message)], next: Some(StoredCursor(next)) }))
}

#[test]
fn stored_messages_come_in_pages_and_the_next_page_is_asked_for_until_there_is_none() {
    let mut peer = online();
    assert_eq!(peer.answer_ask(page("one", 7)), pages(None));
    assert_eq!(peer.answer_ask(page("two", 9)), pages(Some(StoredCursor(7))));
    // That the last page is here is said too.
    assert_eq!(
        peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(StoredPage::default()))),
        pages(Some(StoredCursor(9)))
    );
    peer.pass(SECOND * 60);
    peer.expect_no_ask();
    assert_eq!(texts(&mut peer), ["one", "two"]);
}

#[test]
fn a_page_that_does_not_come_is_asked_for_again_and_those_before_it_are_not() {
    let mut peer = online();
    for n in 1..=10 {
        let after = (n > 1).then(|| StoredCursor(n - 1));
        assert_eq!(peer.answer_ask(Err(no_route(true))), pages(after));
        peer.pass(SECOND * 2);
        assert_eq!(peer.answer_ask(page(&n.to_string(), n)), pages(after));
    }
    assert_eq!(peer.stored_left(), 0, "each page has its own tries");
    assert_eq!(texts(&mut peer).len(), 10);
}

/// A user who has the first page and logs out while that is being confirmed.
fn leaving() -> (Peer, AskId) {
    let mut peer = online();
    peer.answer_ask(page("one", 7));
    let (id, request) = peer.expect_ask();
    assert_eq!(request, pages(Some(StoredCursor(7))));
    peer.forget_sent();
    peer.logout().unwrap();
    assert_eq!(texts(&mut peer), ["one"]);
    (peer, id)
}

#[test]
fn a_logout_is_told_when_the_stored_messages_that_came_are_confirmed() {
    for answer in [page("two", 9), Err(no_route(true)), Ok(GatewayAnswer::TryAgain)] {
        let (mut peer, id) = leaving();
        assert_eq!(peer.connection.state(), State::Disconnected);
        peer.expect_none_canceled();
        peer.pass(SECOND);
        peer.expect_nothing_sent();
        peer.answer_late(id, answer);
        peer.expect_sent(ClientFrame::Logout);
        peer.expect_logout_under_way();
        peer.close(CloseReason::Logout);
        peer.expect_logout_ok();
        peer.expect_hangup(CloseReason::Logout);
        // What the server then sent of them comes at the next login.
        assert_eq!(texts(&mut peer), [""; 0]);
        peer.expect_no_ask();
    }
}

#[test]
fn a_logout_waits_2_s_for_that_and_no_longer() {
    let (mut peer, id) = leaving();
    peer.pass(SECOND * 2 - MS);
    peer.expect_nothing_sent();
    peer.pass(MS);
    peer.expect_canceled(id);
    peer.expect_sent(ClientFrame::Logout);
    peer.answer_late(id, page("two", 9));
    peer.expect_nothing_sent();
    peer.pass(SECOND * 2 - MS);
    peer.expect_logout_under_way();
    peer.pass(MS);
    peer.expect_logout_ok();
    peer.expect_hangup(CloseReason::Logout);
}

#[test]
fn a_link_that_breaks_meanwhile_ends_the_logout() {
    let (mut peer, id) = leaving();
    peer.cut();
    peer.expect_logout_ok();
    peer.expect_canceled(id);
    peer.expect_nothing_sent();
}

#[test]
fn a_login_meanwhile_ends_the_logout_and_the_server_is_told() {
    let (mut peer, id) = leaving();
    peer.pass(SECOND);
    peer.login();
    peer.expect_sent(ClientFrame::Logout);
    peer.expect_canceled(id);
    peer.expect_hangup(CloseReason::Logout);
    peer.expect_logout_ok();
}

#[test]
fn a_confirmation_that_failed_is_made_at_once_when_the_user_leaves() {
    let mut peer = online();
    peer.answer_ask(page("one", 7));
    peer.answer_ask(Err(no_route(true)));
    peer.forget_sent();
    peer.logout().unwrap();
    peer.expect_nothing_sent();
    assert_eq!(peer.answer_ask(page("two", 9)), pages(Some(StoredCursor(7))));
    peer.expect_sent(ClientFrame::Logout);
}

#[test]
fn a_logout_does_not_wait_for_a_first_page() {
    let mut peer = online();
    let (id, _) = peer.expect_ask();
    peer.forget_sent();
    peer.logout().unwrap();
    peer.expect_canceled(id);
    peer.expect_sent(ClientFrame::Logout);
}

#[test]
fn a_server_that_names_the_same_page_again_is_not_asked_for_ever() {
    let mut peer = online();
    peer.answer_ask(page("one", 7));
    peer.answer_ask(page("two", 7));
    peer.expect_no_ask();
}

#[test]
fn stored_messages_may_take_as_long_as_something_of_them_comes() {
    let mut peer = online();
    let (id, _) = peer.expect_ask();
    for _ in 0..20 {
        peer.pass(SECOND * 10 - MS);
        peer.ask_bytes(id);
    }
    peer.expect_none_canceled();
    peer.pass(SECOND * 10 - MS);
    peer.expect_none_canceled();
    peer.pass(MS);
    peer.expect_canceled(id);
}

#[test]
fn stored_messages_are_asked_for_five_times_and_then_left_on_the_server() {
    let mut peer = online();
    for n in 1..=5 {
        let answer = if n % 2 == 0 { Ok(GatewayAnswer::TryAgain) } else { Err(no_route(false)) };
        peer.answer_ask(answer);
        peer.expect_no_ask();
        if n < 5 {
            assert_eq!(peer.stored_left(), 0);
            peer.pass(SECOND * 2 - MS);
            peer.expect_no_ask();
            peer.pass(MS);
        }
    }
    assert_eq!(peer.stored_left(), 1);
    peer.pass(SECOND * 100);
    peer.expect_no_ask();
    peer.expect_none_canceled();
    assert_eq!(peer.connection.state(), State::Connected);
}

#[test]
fn stored_messages_that_do_not_come_within_10_s_are_asked_for_again() {
    let mut peer = online();
    let (id, _) = peer.expect_ask();
    peer.pass(SECOND * 10 - MS);
    peer.expect_none_canceled();
    peer.pass(MS);
    peer.expect_canceled(id);
    peer.pass(SECOND * 2);
    peer.answer_late(id, Ok(GatewayAnswer::OfflineMessages(vec![stored("late")].into())));
    assert_eq!(texts(&mut peer), [""; 0]);
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(vec![stored("in time")].into())));
    assert_eq!(texts(&mut peer), ["in time"]);
}

#[test]
fn a_gateway_that_refuses_the_stored_messages_is_not_asked_again() {
    let mut peer = online();
    peer.answer_ask(Ok(GatewayAnswer::Refused(ErrorKind::NotLoggedIn)));
    assert_eq!(peer.stored_left(), 1);
    peer.pass(SECOND * 100);
    peer.expect_no_ask();
}

#[test]
fn a_new_link_asks_for_stored_messages_anew_with_its_own_session() {
    let mut peer = online();
    let (id, _) = peer.expect_ask();
    peer.cut();
    peer.expect_canceled(id);
    peer.until_dial();
    let GatewayAnswer::Connect { addresses, .. } = named(&["alive"]) else { panic!("no servers") };
    let session = Text::from("gateway-8");
    peer.answer_ask(Ok(GatewayAnswer::Connect { session: session.clone(), addresses }));
    peer.open();
    peer.welcome(Resumption::New);
    let (_, asked) = peer.expect_ask();
    let page = Some(StoredQuery { after: None, limit: 100 });
    assert_eq!(asked, GatewayRequest::OfflineMessages { caller: Caller { session, ..caller() }, page });
}

#[test]
fn history_is_asked_of_the_gateway_and_nothing_of_it_goes_over_the_link() {
    let mut peer = online();
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(StoredPage::default())));
    let id = peer.request(history());
    peer.expect_no_request();
    let page = HistoryPage::new(Vec::new(), None);
    let asked = peer.answer_ask(Ok(GatewayAnswer::History(page.clone())));
    assert_eq!(asked, GatewayRequest::History { caller: caller(), query: history() });
    assert_eq!(peer.expect_ok(id), Answer::QueryHistory(page));
    peer.expect_none_canceled();
}

#[test]
fn a_history_query_fails_as_the_gateway_does() {
    for (answer, kind) in [
        (Ok(GatewayAnswer::Refused(ErrorKind::NotInChannel)), ErrorKind::NotInChannel),
        (Ok(GatewayAnswer::TryAgain), ErrorKind::Failure),
        (Err(no_route(true)), ErrorKind::GatewayConnectFailed),
    ] {
        let mut peer = online();
        peer.expect_ask();
        let id = peer.request(history());
        peer.answer_ask(answer);
        peer.expect_err(id, kind);
    }
}

#[test]
fn a_history_query_whose_time_is_over_is_canceled() {
    let mut peer = online();
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(StoredPage::default())));
    let id = peer.request(history());
    let (ask, _) = peer.expect_ask();
    peer.pass(SECOND * 5);
    peer.expect_err(id, ErrorKind::Timeout);
    peer.expect_canceled(ask);
    peer.answer_late(ask, Ok(GatewayAnswer::History(HistoryPage::new(Vec::new(), None))));
    peer.expect_no_reply();
}

#[test]
fn a_history_query_without_an_answer_is_asked_again_over_the_next_link() {
    let mut peer = online();
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(StoredPage::default())));
    let id = peer.request(history());
    let (ask, _) = peer.expect_ask();
    peer.cut();
    peer.expect_canceled(ask);
    peer.until_dial();
    peer.answer_ask(Ok(named(&["alive"])));
    peer.open();
    peer.welcome(Resumption::New);
    peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(StoredPage::default())));
    peer.answer_ask(Ok(GatewayAnswer::History(HistoryPage::new(Vec::new(), None))));
    peer.expect_ok(id);
}

#[test]
fn an_answer_of_the_gateway_is_no_sign_of_life_of_the_link() {
    let mut peer = online();
    peer.alive = false;
    peer.pass(SECOND * 19);
    while peer.has_ask() {
        peer.answer_ask(Ok(GatewayAnswer::OfflineMessages(StoredPage::default())));
    }
    assert_eq!(peer.connection.state(), State::Connected);
    peer.pass(SECOND);
    assert_eq!(peer.connection.state(), State::Reconnecting);
}

#[test]
fn messages_to_others_go_over_the_link_as_ever() {
    let mut peer = online();
    let id = peer.request(to_alice("hi"));
    peer.expect_request(id);
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered));
    peer.expect_ok(id);
}

#[test]
fn a_wait_names_its_timer() {
    let mut peer = by_hand();
    let mut waits = |act: &dyn Fn(&mut Peer)| {
        act(&mut peer);
        peer.with(|connection, now| match connection.poll_output(now) {
            Output::Wait(until) => until.map(|Deadline { timer, .. }| timer),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(waits(&|_| {}), None);
    assert_eq!(waits(&Peer::login), Some(Timer::Gateway));
    assert_eq!(waits(&|peer| _ = peer.answer_ask(Ok(named(&["a"])))), Some(Timer::Open));
    assert_eq!(waits(&|peer| _ = peer.open()), Some(Timer::Answer));
    assert_eq!(waits(&|peer| peer.welcome(Resumption::New)), Some(Timer::Ping));
    assert_eq!(waits(&|peer| _ = peer.answer_ask(Err(no_route(true)))), Some(Timer::StoredMessages));
    assert_eq!(waits(&|peer| _ = peer.request(history())), Some(Timer::StoredMessages));
    assert_eq!(waits(&|peer| peer.pass(SECOND * 2)), Some(Timer::Request));
    assert_eq!(waits(&Peer::cut), Some(Timer::Reconnect));
    assert_eq!(waits(&|peer| peer.logout().unwrap()), None);
}
