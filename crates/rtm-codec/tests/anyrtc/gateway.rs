//! The gateway's bodies.

use rtm_codec::{
    AppId, ErrorKind, HistoryCursor, HistoryOf, HistoryPage, MessageId, PeerMessage, QueryHistory, RtmMessage,
    StoredMessage, Token,
    anyrtc::gateway::{
        Address, Caller, Endpoint, GatewayAnswer, GatewayRequest, StoredCursor, StoredPage, StoredQuery,
    },
    limits,
};

use crate::support::*;

const ENDPOINTS: [Endpoint; 4] =
    [Endpoint::Gateway, Endpoint::OfflineMessages, Endpoint::ChannelHistory, Endpoint::PeerHistory];

fn caller() -> Caller {
    Caller { app_id: AppId::new(APP_ID).unwrap(), user_id: user("ann"), session: "s1".into() }
}

fn query(conversation: HistoryOf) -> QueryHistory {
    QueryHistory { conversation, from_ts: 1, until_ts: 2, after: Some(HistoryCursor(3)), limit: 100 }
}

#[test]
fn each_endpoint_is_found_by_its_address_and_no_other() {
    for endpoint in ENDPOINTS {
        let (path, query) = match endpoint.path_and_query().split_once('?') {
            Some((path, query)) => (path, Some(query)),
            None => (endpoint.path_and_query(), None),
        };
        assert_eq!(Endpoint::find(path, query), Some(endpoint));
        assert_eq!(Endpoint::find(&format!("{path}/"), query), None);
    }
    assert_eq!(Endpoint::find("/arapi/v1", Some("t=1&action=wrtm_gateway")), Some(Endpoint::Gateway));
    assert_eq!(Endpoint::find("/arapi/v1", Some("action=wrtc_gateway")), None);
    assert_eq!(Endpoint::find("/arapi/v1", None), None);
    assert_eq!(Endpoint::find("/", None), None);
}

#[test]
fn requests_are_written_and_read_as_the_sdk_writes_them() {
    let connect = |user_id: Option<&str>, token: Option<&str>, tls| GatewayRequest::Connect {
        app_id: AppId::new(APP_ID).unwrap(),
        user_id: user_id.map(user),
        token: token.map(|token| Token::new(token).unwrap()),
        tls,
    };
    for (request, body) in [
        (
            connect(Some("ann"), None, false),
            r#"{"appid":"0123456789abcdef0123456789abcdef","uid":"ann","token":"","wss":false}"#,
        ),
        (
            connect(None, Some("006x"), true),
            r#"{"appid":"0123456789abcdef0123456789abcdef","uid":"","token":"006x","wss":true}"#,
        ),
        (
            GatewayRequest::OfflineMessages { caller: caller(), page: None },
            r#"{"uid":"ann","sessId":"s1","appId":"0123456789abcdef0123456789abcdef"}"#,
        ),
        (
            GatewayRequest::History { caller: caller(), query: query(HistoryOf::Channel(room("den"))) },
            r#"{"uid":"ann","channelId":"den","fromTs":1,"untilTs":2,"after":"3","limit":100,"sessId":"s1","appId":"0123456789abcdef0123456789abcdef"}"#,
        ),
        (
            GatewayRequest::History {
                caller: caller(),
                query: QueryHistory { after: None, ..query(HistoryOf::Peer(user("bob"))) },
            },
            r#"{"uid":"ann","peerId":"bob","fromTs":1,"untilTs":2,"limit":100,"sessId":"s1","appId":"0123456789abcdef0123456789abcdef"}"#,
        ),
    ] {
        assert_eq!(request.encode(), body);
        assert_eq!(request.app_id().as_str(), APP_ID);
        assert_eq!(GatewayRequest::decode(request.endpoint(), body.as_bytes()), Ok(request));
    }
}

#[test]
fn an_ipv6_address_is_read_with_and_without_brackets() {
    for host in ["::1", "[::1]"] {
        let body = format!(r#"{{"code":0,"sessionid":"s1","addresses":[{{"type":0,"addr":"{host}","port":80}}]}}"#);
        let address = Address { host: "::1".into(), port: 80 };
        let expected = GatewayAnswer::Connect { session: "s1".into(), addresses: vec![address] };
        assert_eq!(GatewayAnswer::decode(Endpoint::Gateway, body.as_bytes()), Ok(expected));
    }
}

#[test]
fn what_passes_has_a_status_with_which_the_sdk_tries_again() {
    let (try_again, too_often) = (GatewayAnswer::TryAgain, GatewayAnswer::Refused(ErrorKind::TooOften));
    for (answer, status) in [(&try_again, 503), (&too_often, 429)] {
        assert_eq!(answer.status(), status);
        assert_eq!(GatewayAnswer::of_status(status).as_ref(), Some(answer));
    }
    for answer in [GatewayAnswer::Refused(ErrorKind::TokenExpired), GatewayAnswer::OfflineMessages(Vec::new().into())] {
        assert_eq!(answer.status(), 200);
    }
    for status in [200, 204, 301, 400, 404, 500, 502, 504] {
        assert_eq!(GatewayAnswer::of_status(status), None);
    }
}

#[test]
fn answers_are_written_and_read_as_the_sdk_reads_them() {
    let messages = |is_offline_message| {
        ["你好 \"x\"", "two"].map(|text| PeerMessage {
            message_id: MessageId(9),
            peer_id: user("bob"),
            message: text.into(),
            is_offline_message,
            server_received_ts: 1_700_000_000_000,
        })
    };
    let data = r#"[{"msgFrom":"bob","msgStatus":0,"msgType":1,"msgBody":"你好 \"x\"","msgTs":1700000000000,"msgId":9},{"msgFrom":"bob","msgStatus":0,"msgType":1,"msgBody":"two","msgTs":1700000000000,"msgId":9}]"#;
    let address = |host: &str, port| Address { host: host.into(), port };
    let page =
        |next| GatewayAnswer::History(HistoryPage::new(messages(true).iter().map(StoredMessage::from).collect(), next));
    for (endpoint, answer, body) in [
        (
            Endpoint::Gateway,
            GatewayAnswer::Connect { session: "s1".into(), addresses: vec![address("127.0.0.1", 80), address("::1", 65_535)] },
            r#"{"code":0,"sessionid":"s1","addresses":[{"type":0,"addr":"127.0.0.1","port":80},{"type":0,"addr":"[::1]","port":65535}]}"#.to_owned(),
        ),
        (Endpoint::OfflineMessages, GatewayAnswer::OfflineMessages(messages(true).to_vec().into()), format!(r#"{{"code":0,"data":{data}}}"#)),
        (
            Endpoint::OfflineMessages,
            GatewayAnswer::OfflineMessages(StoredPage { messages: messages(true).into(), next: Some(StoredCursor(u64::MAX)) }),
            format!(r#"{{"code":0,"data":{data},"next":"18446744073709551615"}}"#),
        ),
        (Endpoint::OfflineMessages, GatewayAnswer::OfflineMessages(StoredPage::default()), r#"{"code":0,"data":[]}"#.to_owned()),
        (Endpoint::ChannelHistory, page(Some(HistoryCursor(5))), format!(r#"{{"code":0,"data":{data},"next":"5"}}"#)),
        (Endpoint::PeerHistory, page(None), format!(r#"{{"code":0,"data":{data}}}"#)),
        (Endpoint::Gateway, GatewayAnswer::TryAgain, r#"{"code":1}"#.to_owned()),
    ] {
        assert_eq!(answer.encode(), body);
        assert_eq!(GatewayAnswer::decode(endpoint, body.as_bytes()), Ok(answer));
    }
}

#[test]
fn every_refusal_has_the_number_that_the_sdk_knows() {
    use ErrorKind as E;
    for (kind, code) in [
        (E::InvalidArgument, 3),
        (E::Banned, 14),
        (E::InvalidAppId, 101),
        (E::TokenExpired, 109),
        (E::InvalidToken, 110),
        (E::NotLoggedIn, 401),
        (E::TooOften, 429),
        (E::Failure, 2),
    ] {
        let body = format!(r#"{{"code":{code}}}"#);
        for endpoint in ENDPOINTS {
            assert_eq!(GatewayAnswer::Refused(kind).encode(), body);
            assert_eq!(GatewayAnswer::decode(endpoint, body.as_bytes()), Ok(GatewayAnswer::Refused(kind)));
        }
    }
    for (code, kind) in [
        (-4, E::InvalidArgument),
        (-7, E::InvalidArgument),
        (13, E::Banned),
        (15, E::Banned),
        (16, E::Banned),
        (4, E::InvalidAppId),
        (102, E::InvalidAppId),
        (6, E::TokenExpired),
        (5, E::InvalidToken),
        (77, E::Failure),
        (-2, E::Failure),
    ] {
        let body = format!(r#"{{"msg":"no","code":{code}}}"#);
        assert_eq!(GatewayAnswer::decode(Endpoint::Gateway, body.as_bytes()), Ok(GatewayAnswer::Refused(kind)));
    }
    assert_eq!(GatewayAnswer::decode(Endpoint::Gateway, br#"{"code":-1}"#), Ok(GatewayAnswer::TryAgain));
}

#[test]
fn a_body_that_breaks_the_rules_is_refused() {
    use ErrorKind as E;
    let long = format!(r#"{{"appid":"{APP_ID}","token":"{}"}}"#, "x".repeat(Token::MAX_LEN + 1));
    let large = vec![b' '; limits::PACKET_BYTES + 1];
    for (endpoint, body, kind) in [
        (Endpoint::Gateway, b"".as_slice(), E::InvalidArgument),
        (Endpoint::Gateway, b"{", E::InvalidArgument),
        (Endpoint::Gateway, b"\xff", E::InvalidArgument),
        (Endpoint::Gateway, &large, E::InvalidArgument),
        (Endpoint::Gateway, br#"{"appid":"0123456789abcdef0123456789abcdef"}x"#, E::InvalidArgument),
        (Endpoint::Gateway, b"{}", E::InvalidAppId),
        (Endpoint::Gateway, br#"{"appid":"short","uid":"ann"}"#, E::InvalidAppId),
        (Endpoint::Gateway, br#"{"appid":"0123456789abcdef0123456789abcdef","uid":"a'b"}"#, E::InvalidArgument),
        (Endpoint::Gateway, br#"{"appid":"0123456789abcdef0123456789abcdef","uid":7}"#, E::InvalidArgument),
        (Endpoint::Gateway, br#"{"appid":"0123456789abcdef0123456789abcdef","uid":["ann"]}"#, E::InvalidArgument),
        (Endpoint::Gateway, br#"{"appid":"0123456789abcdef0123456789abcdef","uid":"a","token":{}}"#, E::InvalidToken),
        (Endpoint::Gateway, long.as_bytes(), E::InvalidToken),
        (Endpoint::OfflineMessages, br#"{"appId":"0123456789abcdef0123456789abcdef","uid":"ann"}"#, E::InvalidArgument),
        (
            Endpoint::OfflineMessages,
            br#"{"appId":"0123456789abcdef0123456789abcdef","sessId":"s1"}"#,
            E::InvalidArgument,
        ),
        (Endpoint::OfflineMessages, br#"{"uid":"ann","sessId":"s1"}"#, E::InvalidAppId),
        (
            Endpoint::ChannelHistory,
            br#"{"appId":"0123456789abcdef0123456789abcdef","uid":"ann","sessId":"s1"}"#,
            E::InvalidArgument,
        ),
        (
            Endpoint::PeerHistory,
            br#"{"appId":"0123456789abcdef0123456789abcdef","uid":"ann","sessId":"s1","peerId":"bob","limit":101}"#,
            E::InvalidArgument,
        ),
        (
            Endpoint::PeerHistory,
            br#"{"appId":"0123456789abcdef0123456789abcdef","uid":"ann","sessId":"s1","peerId":"bob","limit":0}"#,
            E::InvalidArgument,
        ),
    ] {
        let refusal = GatewayRequest::decode(endpoint, body).unwrap_err();
        assert_eq!(refusal.kind, kind, "{}", String::from_utf8_lossy(&body[..body.len().min(200)]));
        assert!(!refusal.detail.is_empty());
    }
}

#[test]
fn what_is_left_out_of_a_history_query_is_everything() {
    let body = br#"{"appId":"0123456789abcdef0123456789abcdef","uid":"ann","sessId":"s1","channelId":"den"}"#;
    let conversation = HistoryOf::Channel(room("den"));
    let query = QueryHistory { conversation, from_ts: 0, until_ts: u64::MAX, after: None, limit: 100 };
    let request = GatewayRequest::History { caller: caller(), query };
    assert_eq!(GatewayRequest::decode(Endpoint::ChannelHistory, body), Ok(request));
}

#[test]
fn an_answer_that_makes_no_sense_is_an_error_and_foreign_parts_are_left_out() {
    for body in ["", "{", "[]x", "{}", r#"{"code":"0"}"#, r#"{"code":null}"#] {
        assert!(GatewayAnswer::decode(Endpoint::Gateway, body.as_bytes()).is_err(), "{body}");
    }
    let body = br#"{"code":0,"sessionid":"s1","addresses":[{"type":1,"addr":"udp","port":1},{"type":0,"addr":"","port":1},{"type":0,"addr":"a","port":70000},{"type":0,"addr":"b","port":2},5]}"#;
    let addresses = vec![Address { host: "b".into(), port: 2 }];
    let answer = GatewayAnswer::Connect { session: "s1".into(), addresses };
    assert_eq!(GatewayAnswer::decode(Endpoint::Gateway, body), Ok(answer));
    let body = br#"{"code":0,"data":[{"msgFrom":"bob","msgType":4,"msgBody":"image"},{"msgFrom":"b'b","msgType":1,"msgBody":"x"},{"msgFrom":"bob","msgStatus":1,"msgType":1,"msgBody":"x","msgTs":5}]}"#;
    let Ok(GatewayAnswer::OfflineMessages(page)) = GatewayAnswer::decode(Endpoint::OfflineMessages, body) else {
        panic!("messages");
    };
    assert_eq!(page.messages.iter().map(|message| message.server_received_ts).collect::<Vec<_>>(), [5]);
}

#[test]
fn a_cursor_is_a_string_and_is_taken_as_a_number_too_under_either_of_its_names() {
    let at = u64::MAX - 1;
    for name in ["after", "next"] {
        for value in [format!("{at}"), format!("\"{at}\"")] {
            let body = |limit: &str| {
                format!(
                    r#"{{"uid":"ann","channelId":"den",{limit}"{name}":{value},"sessId":"s1","appId":"0123456789abcdef0123456789abcdef"}}"#
                )
            };
            let asked = GatewayRequest::decode(Endpoint::ChannelHistory, body("").as_bytes());
            let Ok(GatewayRequest::History { query, .. }) = asked else { panic!("{asked:?}") };
            assert_eq!(query.after, Some(HistoryCursor(at)), "{name} {value}");
            let asked = GatewayRequest::decode(Endpoint::OfflineMessages, body(r#""limit":7,"#).as_bytes());
            let Ok(GatewayRequest::OfflineMessages { page, .. }) = asked else { panic!("{asked:?}") };
            assert_eq!(page, Some(StoredQuery { after: Some(StoredCursor(at)), limit: 7 }), "{name} {value}");
        }
    }
    let body = br#"{"code":0,"data":[],"next":7}"#;
    let page = HistoryPage::new(Vec::new(), Some(HistoryCursor(7)));
    assert_eq!(GatewayAnswer::decode(Endpoint::PeerHistory, body), Ok(GatewayAnswer::History(page)));
}

#[test]
fn a_message_that_the_wire_cannot_carry_is_left_out() {
    let message = |message| PeerMessage {
        message_id: MessageId(1),
        peer_id: user("bob"),
        message,
        is_offline_message: true,
        server_received_ts: 1,
    };
    let value = RtmMessage::Value(b"\x91\x01".as_slice().into());
    let answer = GatewayAnswer::OfflineMessages(vec![message(RtmMessage::binary(&b"x"[..])), message(value)].into());
    let body = r#"{"code":0,"data":[{"msgFrom":"bob","msgStatus":0,"msgType":1,"msgBody":"[1]","msgTs":1,"msgId":1}]}"#;
    assert_eq!(answer.encode(), body);
}
