//! Each limit at its edge: the last value that is taken, and the first one that costs no round trip.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, AttributeKey, CallId, CallLimit, CallLimits,
    ChannelAttributeTarget, ClearChannelAttributes, Command, DeleteLocalUserAttributesByKeys, ErrorKind,
    GetChannelAttributes, GetChannelMemberCount, GetUserAttributes, HistoryOf, LimitedCall, MessageId, QueryHistory,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, Resumption, Revision, RtmMessage, SendChannelMessage,
    SendInvitation, SendMessageToPeer, SetChannelAttributes, SetLocalUserAttributes, SubscribePeersOnlineStatus, Text,
    UnsubscribePeersOnlineStatus, UserId,
};
use rtm_connection::Config;

use crate::peer::{MS, Peer, SECOND, channel, to_alice, user};

fn users(count: usize) -> Vec<UserId> {
    (0..count).map(|i| user(&format!("u{i}"))).collect()
}

fn attributes(entries: impl IntoIterator<Item = (usize, usize)>) -> BTreeMap<AttributeKey, Text> {
    // One key of four bytes each.
    entries
        .into_iter()
        .map(|(i, len)| (AttributeKey::new(format!("k{i:03}")).unwrap(), "v".repeat(len).into()))
        .collect()
}

fn taken(command: impl Into<Command>) {
    let mut peer = Peer::online();
    let id = peer.request(command);
    peer.expect_request(id);
    peer.expect_no_reply();
}

fn refused_on(config: Config, command: impl Into<Command>, kind: ErrorKind, code: Option<u16>) {
    let mut peer = Peer::online_with(config);
    let id = peer.request(command);
    assert_eq!(peer.expect_err(id, kind).code(), code);
    peer.expect_nothing_sent();
}

fn refused(command: impl Into<Command>, kind: ErrorKind, code: Option<u16>) {
    refused_on(Config::native(), command, kind, code);
}

#[test]
fn a_message_has_1_to_32768_bytes() {
    let send = |message: RtmMessage| SendMessageToPeer { message, ..to_alice("") };
    taken(send("x".repeat(32768).into()));
    taken(send(RtmMessage::binary(vec![0; 32768])));
    refused(send("x".repeat(32769).into()), ErrorKind::InvalidMessage, Some(7));
    refused(send(RtmMessage::binary(vec![0; 32769])), ErrorKind::InvalidMessage, Some(7));
    refused(send("".into()), ErrorKind::InvalidMessage, Some(7));
    // Bytes count, not characters.
    refused(send("字".repeat(10923).into()), ErrorKind::InvalidMessage, Some(7));
    let to_room = SendChannelMessage {
        message_id: MessageId(0),
        channel_id: channel("room"),
        message: "".into(),
        enable_historical_messaging: false,
    };
    refused(to_room, ErrorKind::InvalidMessage, Some(4));
}

#[test]
fn the_vendors_wire_has_no_bytes_and_no_revisions() {
    let send = SendMessageToPeer { message: RtmMessage::binary(vec![1]), ..to_alice("") };
    refused_on(Config::vendor(), send, ErrorKind::IncompatibleMessage, Some(8));
    let clear = |expected_revision| ClearChannelAttributes {
        target: ChannelAttributeTarget { channel_id: channel("room"), notify: false, expected_revision },
    };
    refused_on(Config::vendor(), clear(Some(Revision(1))), ErrorKind::Unsupported, None);
    taken(clear(Some(Revision(1))));
}

fn history(from_ts: u64, until_ts: u64, limit: u32) -> QueryHistory {
    QueryHistory { conversation: HistoryOf::Peer(user("alice")), from_ts, until_ts, after: None, limit }
}

#[test]
fn a_page_of_history_has_1_to_100_messages_of_some_time() {
    taken(history(0, 1, 1));
    taken(history(0, 1, 100));
    for query in [history(0, 1, 0), history(0, 1, 101), history(5, 5, 10), history(6, 5, 10)] {
        refused(query, ErrorKind::InvalidArgument, None);
    }
}

#[test]
fn a_query_names_1_to_256_users() {
    taken(QueryPeersOnlineStatus { peer_ids: users(256) });
    refused(QueryPeersOnlineStatus { peer_ids: users(257) }, ErrorKind::InvalidArgument, Some(0));
    refused(QueryPeersOnlineStatus { peer_ids: users(0) }, ErrorKind::InvalidArgument, Some(0));
}

#[test]
fn a_subscription_names_1_to_512_users() {
    taken(SubscribePeersOnlineStatus { peer_ids: users(512) });
    refused(SubscribePeersOnlineStatus { peer_ids: users(513) }, ErrorKind::ExceedLimit, Some(6));
    refused(SubscribePeersOnlineStatus { peer_ids: users(0) }, ErrorKind::InvalidArgument, Some(2));
    taken(UnsubscribePeersOnlineStatus { peer_ids: users(512) });
    refused(UnsubscribePeersOnlineStatus { peer_ids: users(513) }, ErrorKind::ExceedLimit, Some(6));
    refused(UnsubscribePeersOnlineStatus { peer_ids: users(0) }, ErrorKind::InvalidArgument, Some(2));
}

#[test]
fn member_counts_are_asked_of_1_to_32_channels() {
    let ask =
        |count: usize| GetChannelMemberCount { channel_ids: (0..count).map(|i| channel(&format!("c{i}"))).collect() };
    taken(ask(32));
    refused(ask(33), ErrorKind::ExceedLimit, Some(5));
    refused(ask(0), ErrorKind::InvalidArgument, Some(2));
}

#[test]
fn user_attributes_have_32_entries_of_8_kib_and_16_kib_together() {
    let set = |attributes| SetLocalUserAttributes { attributes };
    taken(set(attributes([])));
    taken(set(attributes((0..32).map(|i| (i, 1)))));
    refused(set(attributes((0..33).map(|i| (i, 1)))), ErrorKind::SizeOverflow, Some(4));
    taken(set(attributes([(0, 8192)])));
    refused(set(attributes([(0, 8193)])), ErrorKind::SizeOverflow, Some(4));
    taken(set(attributes([(0, 8188), (1, 8188)])));
    refused(set(attributes([(0, 8188), (1, 8189)])), ErrorKind::SizeOverflow, Some(4));
    refused(set(attributes([(0, 0)])), ErrorKind::InvalidArgument, Some(3));
}

#[test]
fn channel_attributes_have_32_kib_together() {
    let set = |attributes| SetChannelAttributes {
        target: ChannelAttributeTarget { channel_id: channel("room"), notify: true, expected_revision: None },
        attributes,
    };
    taken(set(attributes((0..4).map(|i| (i, 8188)))));
    refused(set(attributes((0..5).map(|i| (i, 8188)))), ErrorKind::SizeOverflow, Some(4));
}

#[test]
fn calls_on_attributes_name_at_least_one() {
    refused(AddOrUpdateLocalUserAttributes { attributes: attributes([]) }, ErrorKind::InvalidArgument, Some(3));
    refused(DeleteLocalUserAttributesByKeys { keys: vec![] }, ErrorKind::InvalidArgument, Some(3));
    let get = |keys| GetUserAttributes { user_id: user("alice"), keys };
    refused(get(Some(vec![])), ErrorKind::InvalidArgument, Some(3));
    taken(get(None));
    let get = |keys| GetChannelAttributes { channel_id: channel("room"), keys };
    refused(get(Some(vec![])), ErrorKind::InvalidArgument, Some(3));
    let add = AddOrUpdateChannelAttributes {
        target: ChannelAttributeTarget { channel_id: channel("room"), notify: false, expected_revision: None },
        attributes: attributes([]),
    };
    refused(add, ErrorKind::InvalidArgument, Some(3));
}

#[test]
fn a_call_made_too_often_costs_no_round_trip() {
    let mut peer = Peer::online();
    for _ in 0..180 {
        let id = peer.request(to_alice("hi"));
        peer.expect_request(id);
    }
    let id = peer.request(to_alice("hi"));
    assert_eq!(peer.expect_err(id, ErrorKind::TooOften).code(), Some(5));
    // Peers and channels share one budget; other calls have their own.
    peer.expect_nothing_sent();
    let id = peer.request(QueryPeersBySubscriptionOption {});
    peer.expect_request(id);
    peer.pass(SECOND * 3 - MS);
    let id = peer.request(to_alice("hi"));
    let error = peer.expect_err(id, ErrorKind::TooOften);
    assert!(error.detail().contains("1 ms"), "{}", error.detail());
    peer.pass(MS);
    peer.drop_replies();
    peer.request(to_alice("hi"));
    peer.expect_no_reply();
}

#[test]
fn invitations_may_be_sent_as_often_as_messages() {
    let mut peer = Peer::online();
    let invite = |number: u32| SendInvitation {
        call_id: CallId::new(number.to_string()).unwrap(),
        callee_id: user("alice"),
        content: Text::default(),
    };
    for number in 0..180 {
        let id = peer.request(invite(number));
        peer.expect_request(id);
    }
    let id = peer.request(invite(180));
    peer.expect_err(id, ErrorKind::TooOften);
    peer.expect_nothing_sent();
    peer.pass(SECOND * 3);
    peer.drop_replies();
    let id = peer.request(invite(181));
    peer.expect_request(id);
}

#[test]
fn a_refused_argument_does_not_count_as_a_call() {
    let mut peer = Peer::online();
    for _ in 0..20 {
        peer.request(QueryPeersOnlineStatus { peer_ids: vec![] });
    }
    peer.drop_replies();
    for _ in 0..10 {
        let id = peer.request(QueryPeersOnlineStatus { peer_ids: users(1) });
        peer.expect_request(id);
    }
    let id = peer.request(QueryPeersOnlineStatus { peer_ids: users(1) });
    peer.expect_err(id, ErrorKind::TooOften);
}

#[test]
fn the_servers_figures_take_the_place_of_the_vendors() {
    let mut peer = Peer::new(Config::native());
    peer.login();
    peer.open();
    peer.welcome_with(|welcome| {
        let mut limits = CallLimits::default();
        limits.set(LimitedCall::SendMessage, CallLimit::new(1, Duration::from_secs(1)));
        welcome.limits = Some(limits);
    });
    let id = peer.request(to_alice("hi"));
    peer.expect_request(id);
    let id = peer.request(to_alice("hi"));
    peer.expect_err(id, ErrorKind::TooOften);
}

#[test]
fn restoring_draws_on_no_budget() {
    let mut peer = Peer::online();
    let subscribe = peer.request(SubscribePeersOnlineStatus { peer_ids: users(1) });
    peer.reply(subscribe, rtm_codec::Answer::SubscribePeersOnlineStatus(()));
    for _ in 0..30 {
        peer.drop_events();
        peer.reconnect(Resumption::New);
        assert!(matches!(peer.expect_any_request().1, Command::SubscribePeersOnlineStatus(_)));
    }
}
