//! What cores of several nodes say to each other, in bytes: one example of everything, as nodes of every version read it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{collections::BTreeMap, ops::Range, time::Duration};

use bytes::Bytes;
use rtm_codec::{
    AppId, CallId, ChannelAttribute, ChannelAttributes, ChannelId, ErrorKind, Event, HistoryCursor, HistoryOf,
    InstanceId, MessageId, PeerMessage, PeerOnlineState, QueryHistory, Refusal, RequestId, Revision, RtmMessage,
    SendOutcome, SessionId, SessionTicket, Text, UserId,
};
use rtm_core::cluster::{
    Ask, CallAnswer, CallMessage, CallOutcome, ChannelParcel, ChannelWord, Deliver, Delivered, FanOut, ForwardedNews,
    GatewayWord, HeldChannel, HomeParcel, LaneRun, Mark, MemberChange, MessageOutcome, NodeId, NodeName, OustedSession,
    PagedUser, Parcel, ParcelErrorKind, Part, PresenceParcel, ProjectParcel, Relay, RunMessage, Said, Sighting,
    Verdict, Version, Wanted,
};

const SESSION: SessionId = SessionId([7; 16]);
const VERSION: Version = Version { term: 3, n: 4 };

fn app() -> AppId {
    AppId::new("0123456789abcdef0123456789abcdef").unwrap()
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn channel() -> ChannelId {
    ChannelId::new("room").unwrap()
}

fn node(name: &str) -> NodeId {
    NodeId { name: NodeName::new(name).unwrap(), incarnation: 300 }
}

fn call() -> CallId {
    CallId::new("call").unwrap()
}

fn message() -> PeerMessage {
    PeerMessage {
        message_id: MessageId(9),
        peer_id: user("a"),
        message: RtmMessage::from("hello"),
        is_offline_message: false,
        server_received_ts: 1_700_000_000_000,
    }
}

fn said(what: MemberChange) -> Said {
    Said { change: 5, count: 2, what, settle: true }
}

fn part() -> Part {
    Part { count: 1, change: 2, names: Some([user("a")].into()) }
}

fn fan_out(event: Option<Event>) -> FanOut {
    FanOut { version: VERSION, change: 5, k: 6, after: 4, since: 1, event }
}

fn sighting() -> Sighting {
    Sighting { state: PeerOnlineState::Unreachable, revision: 8, node: node("x") }
}

fn attributes() -> ChannelAttributes {
    let attribute = ChannelAttribute::new("value".into(), user("a"), 1_700_000_000_000);
    ChannelAttributes::new([("key".parse().unwrap(), attribute)].into(), Revision(12))
}

fn refusal() -> Refusal {
    Refusal::new(ErrorKind::Timeout, "why")
}

fn of_the_channel(word: ChannelWord) -> ProjectParcel {
    ProjectParcel::Channel(Box::new(ChannelParcel { channel_id: channel(), epoch: 3, word }))
}

fn of_a_call(message: CallMessage) -> ProjectParcel {
    ProjectParcel::Call { id: 1, from: user("a"), to: user("b"), message: Box::new(message) }
}

fn call_answered(outcome: CallOutcome) -> ProjectParcel {
    ProjectParcel::CallAnswered { id: 1, from: user("a"), to: user("b"), outcome }
}

fn outcome(outcome: Result<SendOutcome, Refusal>) -> ProjectParcel {
    ProjectParcel::Outcome(Box::new(MessageOutcome {
        session: SESSION,
        user_id: user("a"),
        numbering: 1,
        request: RequestId(2),
        message_id: MessageId(9),
        outcome,
        hops: 1,
    }))
}

fn of_a_request(word: GatewayWord) -> ProjectParcel {
    ProjectParcel::Gateway { id: 5, word: Box::new(word) }
}

fn query(conversation: HistoryOf, after: Option<HistoryCursor>) -> QueryHistory {
    QueryHistory { conversation, from_ts: 1, until_ts: 2, after, limit: 3 }
}

fn verdict(verdict: Verdict) -> ProjectParcel {
    ProjectParcel::Verdict { claim: 1, verdict }
}

/// One of each variant, in the order of their tags.
fn examples() -> Vec<ProjectParcel> {
    let ask = Ask {
        claim: 1,
        user_id: user("a"),
        instance: InstanceId::new("phone").unwrap(),
        ticket: Some(SessionTicket::new(SESSION, rtm_codec::Epoch(2))),
        is_token_over: false,
    };
    let ousted = OustedSession { session: SESSION, instance: InstanceId::new("phone").unwrap(), was_told: true };
    let deliver = Deliver {
        session: SESSION,
        to: user("b"),
        n: 3,
        after: 2,
        numbering: 1,
        request: RequestId(4),
        message: message(),
        store: true,
        within: Duration::from_secs(9),
    };
    let numbered = (SESSION, user("a"), user("b"), 3);
    let (session, user_id, to, n) = numbered;
    let held = HeldChannel { channel_id: channel(), part: part(), settle: Some(2), moving: vec![user("a")] };
    let paged = PagedUser {
        user_id: user("a"),
        here: Some((PeerOnlineState::Online, 8)),
        watched: Some(Some((PeerOnlineState::Offline, 7))),
    };
    let message_event = Event::ChannelMessage {
        channel_id: channel(),
        message_id: MessageId(9),
        member_id: user("a"),
        message: RtmMessage::from("hello"),
        server_received_ts: 1_700_000_000_000,
    };
    let mark = Mark { origin: node("x"), k: 6, since: 1 };
    let texts: BTreeMap<_, Text> = [("key".parse().unwrap(), Text::from("value"))].into();
    let presence = ProjectParcel::Presence;
    let home = |parcel| ProjectParcel::Home(Box::new(parcel));
    vec![
        ProjectParcel::Ask(ask),
        verdict(Verdict::NotHere),
        verdict(Verdict::Moves { bytes: 300 }),
        verdict(Verdict::Ends { ousted: vec![ousted] }),
        verdict(Verdict::Ousted),
        verdict(Verdict::TokenOver),
        ProjectParcel::Pack { claim: 1, bytes: Bytes::from_static(b"pack") },
        ProjectParcel::Took { user_id: user("a"), session: SESSION, revision: 8 },
        ProjectParcel::Deliver(Box::new(deliver)),
        ProjectParcel::Placed { session, user_id: user_id.clone(), to: to.clone(), n, drops_repeats: true },
        ProjectParcel::NotHere { session, user_id: user_id.clone(), to: to.clone(), n },
        ProjectParcel::Missing { session, user_id, to, n },
        outcome(Ok(SendOutcome::Stored)),
        outcome(Err(refusal())),
        of_a_call(CallMessage::Offer { call_id: call(), number: 2, content: "come".into(), session: SESSION }),
        of_a_call(CallMessage::Over {
            session: Some(SESSION),
            number: 2,
            event: Event::RemoteInvitationCanceled { call_id: call(), caller_id: user("a"), content: "no".into() },
        }),
        of_a_call(CallMessage::Received { call_id: call(), number: 2, session: SESSION }),
        of_a_call(CallMessage::Answered {
            call_id: call(),
            session: SESSION,
            answer: CallAnswer::Accepted("yes".into()),
        }),
        of_a_call(CallMessage::Answered {
            call_id: call(),
            session: SESSION,
            answer: CallAnswer::Refused("no".into()),
        }),
        of_a_call(CallMessage::Answered { call_id: call(), session: SESSION, answer: CallAnswer::GivenUp }),
        call_answered(CallOutcome::Taken(SESSION)),
        call_answered(CallOutcome::NotTaken),
        call_answered(CallOutcome::Away),
        call_answered(CallOutcome::NotHere),
        presence(PresenceParcel::State { user_id: user("a"), state: PeerOnlineState::Online, revision: 8 }),
        presence(PresenceParcel::Watch { user_id: user("a") }),
        presence(PresenceParcel::Unwatch { user_id: user("a") }),
        presence(PresenceParcel::Told { user_id: user("a"), sighting: Some(sighting()) }),
        presence(PresenceParcel::Query { query: 1, epoch: 3, user_ids: vec![user("a")] }),
        presence(PresenceParcel::States { query: 1, states: vec![(user("a"), PeerOnlineState::Offline)] }),
        presence(PresenceParcel::Pull { epoch: 3, partitions: vec![1, 1023], after: Some((1, user("a"))) }),
        presence(PresenceParcel::Page { epoch: 3, users: vec![paged], more: None }),
        ProjectParcel::ReadAttributes { read: 1, user_id: user("a"), keys: Some(vec!["key".parse().unwrap()]) },
        ProjectParcel::Attributes { read: 1, attributes: Some(Ok(texts)) },
        ProjectParcel::Attributes { read: 1, attributes: Some(Err(refusal())) },
        ProjectParcel::Attributes { read: 1, attributes: None },
        of_the_channel(ChannelWord::Say(said(MemberChange::Joined(user("a"))))),
        of_the_channel(ChannelWord::Say(said(MemberChange::Left(user("a"))))),
        of_the_channel(ChannelWord::Say(said(MemberChange::MovedIn { user_id: user("a"), from: node("x") }))),
        of_the_channel(ChannelWord::Say(said(MemberChange::MovedAway(user("a"))))),
        of_the_channel(ChannelWord::Say(said(MemberChange::All(Some([user("a")].into()))))),
        of_the_channel(ChannelWord::Told {
            version: VERSION,
            node: node("x"),
            said: said(MemberChange::Left(user("a"))),
        }),
        of_the_channel(ChannelWord::Snapshot { version: VERSION, parts: vec![(node("x"), part())], confirm: true }),
        of_the_channel(ChannelWord::Know { version: VERSION }),
        of_the_channel(ChannelWord::Settled { change: 5 }),
        of_the_channel(ChannelWord::Lost),
        of_the_channel(ChannelWord::Message(Box::new(fan_out(Some(message_event.clone()))))),
        of_the_channel(ChannelWord::Message(Box::new(fan_out(None)))),
        of_the_channel(ChannelWord::Forwarded {
            user_id: user("a"),
            session: SESSION,
            news: Box::new(ForwardedNews { event: message_event.clone(), mark: Some(mark) }),
        }),
        of_the_channel(ChannelWord::Enough { user_id: user("a"), session: SESSION }),
        of_the_channel(ChannelWord::Attributes { value: attributes(), notify: true }),
        of_the_channel(ChannelWord::Forgotten { revision: Revision(12) }),
        of_the_channel(ChannelWord::ForwardEnd { user_id: user("a"), session: SESSION }),
        of_the_channel(ChannelWord::Relay(Box::new(Relay {
            origin: node("x"),
            number: 9,
            event: message_event,
            hops: 1,
        }))),
        of_the_channel(ChannelWord::Relayed { number: 9 }),
        home(HomeParcel::Pull { term: 3, partitions: vec![1, 1023] }),
        home(HomeParcel::Held { term: 3, channels: vec![held], done: vec![1] }),
        home(HomeParcel::Count { question: 1, epoch: 3, channel_ids: vec![channel()] }),
        home(HomeParcel::Counted { question: 1, counts: vec![(channel(), 2)] }),
        ProjectParcel::Fetch {
            user_id: user("a"),
            instance: InstanceId::new("phone").unwrap(),
            ticket: SessionTicket::new(SESSION, rtm_codec::Epoch(2)),
        },
        ProjectParcel::SayAgain,
        ProjectParcel::StoredFor { user_id: user("a") },
        of_a_request(GatewayWord::Ask {
            user_id: user("a"),
            session: "gateway".into(),
            wanted: Wanted::StoredMessages { after: Some(3) },
        }),
        of_a_request(GatewayWord::Ask {
            user_id: user("a"),
            session: "gateway".into(),
            wanted: Wanted::History(query(HistoryOf::Peer(user("b")), None)),
        }),
        of_a_request(GatewayWord::Ask {
            user_id: user("a"),
            session: "gateway".into(),
            wanted: Wanted::History(query(HistoryOf::Channel(channel()), Some(HistoryCursor(4)))),
        }),
        of_a_request(GatewayWord::May),
        of_a_request(GatewayWord::Nothing),
        of_a_request(GatewayWord::Refused(refusal())),
        of_a_request(GatewayWord::Given { places: vec![1, 300], is_page: true }),
        of_a_request(GatewayWord::NotGiven),
        of_a_request(GatewayWord::Ended { is_written: true }),
        of_a_request(GatewayWord::Noted),
        ProjectParcel::Restricted {
            user_id: Some(user("a")),
            revision: Revision(12),
            banned_until: u64::MAX,
            tokens_from: 300,
        },
        ProjectParcel::Restricted { user_id: None, revision: Revision(12), banned_until: 0, tokens_from: 300 },
        ProjectParcel::Kick { user_id: user("a") },
        ProjectParcel::ForgetUser { user_id: user("a") },
        ProjectParcel::Delivered(Box::new(Delivered {
            session: SESSION,
            user_id: user("a"),
            numbering: 1,
            messages: vec![(RequestId(2), MessageId(9)), (RequestId(3), MessageId(300))],
            hops: 1,
        })),
        ProjectParcel::DeliverRuns(vec![run("b", 1..3), run("c", 3..4)]),
        ProjectParcel::Storing { session: SESSION, request: RequestId(300) },
    ]
}

/// Messages with these numbers.
fn run(to: &str, numbers: Range<u64>) -> LaneRun {
    let message = |n| RunMessage {
        n,
        after: n - 1,
        request: RequestId(n),
        message: PeerMessage { message_id: MessageId(n), ..message() },
        store: n.is_multiple_of(2),
        within: Duration::from_secs(9),
    };
    LaneRun { session: SESSION, to: user(to), numbering: 1, messages: numbers.map(message).collect() }
}

fn bytes_of(parcel: &ProjectParcel) -> (Bytes, Bytes) {
    let Parcel::Project { app_id, head, body } = parcel.seal(&app()).open().unwrap() else { panic!("of another core") };
    assert_eq!(app_id, app());
    (head, body)
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// `parcels.txt` has a line for each example: its head, and its body if it has one. A line stays what it is, and is read
/// by all later versions.
#[test]
fn a_parcel_may_name_the_cores_of_nodes() {
    let core = node("x").worker(3);
    let moved =
        of_the_channel(ChannelWord::Say(said(MemberChange::MovedIn { user_id: user("a"), from: core.clone() })));
    let snapshot =
        of_the_channel(ChannelWord::Snapshot { version: VERSION, parts: vec![(core, part())], confirm: true });
    for parcel in [moved, snapshot] {
        let (head, body) = bytes_of(&parcel);
        assert_eq!(ProjectParcel::open(&head, body), Ok(parcel));
    }
}

#[test]
fn every_parcel_has_the_bytes_that_it_had_and_is_read() {
    let examples = examples();
    let written: Vec<String> = examples
        .iter()
        .map(|parcel| {
            let (head, body) = bytes_of(parcel);
            format!("{} {}", hex(&head), hex(&body)).trim_end().to_owned()
        })
        .collect();
    let kept: Vec<_> = include_str!("parcels.txt").lines().collect();
    assert_eq!(written, kept, "\n{}\n", written.join("\n"));
    for parcel in examples {
        let (head, body) = bytes_of(&parcel);
        assert_eq!(ProjectParcel::open(&head, body), Ok(parcel));
    }
}

#[test]
fn a_parcel_that_is_cut_off_or_has_more_is_refused() {
    for parcel in examples() {
        let (head, body) = bytes_of(&parcel);
        for end in 0..head.len() {
            assert!(ProjectParcel::open(&head[..end], body.clone()).is_err(), "{parcel:?} to {end}");
        }
        assert!(ProjectParcel::open(&[&head[..], &[0]].concat(), body.clone()).is_err());
        // A pack may be anything.
        if !matches!(parcel, ProjectParcel::Pack { .. }) {
            let longer = [&body[..], &[0]].concat();
            assert!(ProjectParcel::open(&head, longer.into()).is_err(), "{parcel:?}");
        }
    }
}

#[test]
fn messages_that_take_more_than_a_packet_are_one_body() {
    let mut runs = vec![run("b", 1..600), run("c", 600..601)];
    // The largest message stands alone in its packet.
    runs[1].messages[0].message.message = "x".repeat(32 * 1024).into();
    let parcel = ProjectParcel::DeliverRuns(runs);
    let (head, body) = bytes_of(&parcel);
    assert!(body.len() > 40 * 1024, "{}", body.len());
    assert_eq!(ProjectParcel::open(&head, body), Ok(parcel));
}

#[test]
fn a_body_with_fewer_or_more_messages_than_its_head_tells_is_refused() {
    let parts = |numbers| bytes_of(&ProjectParcel::DeliverRuns(vec![run("b", numbers)]));
    let (head, _) = parts(1..3);
    for numbers in [1..2, 1..4] {
        let (_, body) = parts(numbers);
        assert_eq!(ProjectParcel::open(&head, body).unwrap_err().kind(), ParcelErrorKind::Damaged);
    }
    assert_eq!(ProjectParcel::open(&head, Bytes::new()).unwrap_err().kind(), ParcelErrorKind::Damaged);
}

#[test]
fn no_change_of_a_byte_makes_it_panic() {
    for parcel in examples() {
        let (head, body) = bytes_of(&parcel);
        for at in 0..head.len() {
            for to in [0, 1, 2, 127, 250, 251, 252, 253, 255] {
                let mut changed = head.to_vec();
                changed[at] = to;
                let _ = ProjectParcel::open(&changed, body.clone());
            }
        }
        for at in 0..body.len() {
            for to in [0, 1, 2, 127, 250, 251, 252, 253, 255] {
                let mut changed = body.to_vec();
                changed[at] = to;
                let _ = ProjectParcel::open(&head, changed.into());
            }
        }
    }
}

#[test]
fn what_a_newer_version_says_is_told_from_damage() {
    let kind = |head: &[u8]| ProjectParcel::open(head, Bytes::new()).unwrap_err().kind();
    assert_eq!(kind(&[200]), ParcelErrorKind::Unknown);
    assert_eq!(kind(&[11, 200]), ParcelErrorKind::Unknown, "of presence");
    assert_eq!(kind(&[]), ParcelErrorKind::Damaged);
    // A list that says to have as much as there is no memory for.
    assert_eq!(kind(&[15, 0, 3, 253, 255, 255, 255, 255, 255, 255, 255, 255]), ParcelErrorKind::Damaged);
}
