//! What events leave open that have gone from the log of a file: it is known as long as it is open, and ended after a crash.
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{path::Path, time::Instant};

use proptest::prelude::*;
use rtm_codec::{AppId, ChannelId, SessionId, UserId};
use rtm_server::{
    Redb,
    core::{
        Core, EventLogStart, EventTypes, LogEntry, LogKey, LogKind, LoggedEvent, Now, Place, ProjectConfig,
        ProjectEvent, SessionName, StateKey, StateValue, StoreAnswer, StoreDone, StoreWork,
        store::{Backend, BackendStats, OpenEvents, OpenKey, StateKind, Task, read_state},
    },
};

fn app_id() -> AppId {
    AppId::new("0123456789abcdef0123456789abcdef").unwrap()
}

fn user(number: u8) -> UserId {
    UserId::new(format!("user{number}")).unwrap()
}

fn channel(number: u8) -> ChannelId {
    ChannelId::new(format!("room{number}")).unwrap()
}

fn session(number: u8) -> SessionName {
    SessionId([number; 16]).into()
}

/// An event of some kind about a session of a user, and a channel.
fn made(kind: u8, of_user: u8, of_session: u8, of_channel: u8, takeover: bool) -> ProjectEvent {
    let (user_id, session, channel_id) = (user(of_user), session(of_user * 2 + of_session), channel(of_channel));
    let (server, reason) = (format!("server{takeover}").into(), "logout".into());
    match kind {
        0 => ProjectEvent::SessionStarted { user_id, session, takeover, server },
        1 => ProjectEvent::SessionResumed { user_id, session, server },
        2 => ProjectEvent::SessionMoved { user_id, session, server },
        3 => ProjectEvent::SessionEnded { user_id, session, reason },
        4 => ProjectEvent::UserOnline { user_id, session },
        5 => ProjectEvent::UserOffline { user_id, session, reason },
        6 => ProjectEvent::MemberJoined { channel_id, user_id, session },
        7 => ProjectEvent::MemberLeft { channel_id, user_id, session },
        8 => ProjectEvent::ChannelOccupied { channel_id },
        _ => ProjectEvent::ChannelVacated { channel_id },
    }
}

fn event() -> impl Strategy<Value = ProjectEvent> {
    (0..10_u8, 0..3_u8, 0..2_u8, 0..2_u8, any::<bool>())
        .prop_map(|(kind, user, session, channel, takeover)| made(kind, user, session, channel, takeover))
}

fn run(store: &mut Redb, work: StoreWork) -> StoreAnswer {
    store.apply(vec![Task { app_id: &app_id(), work }]).remove(0).unwrap()
}

fn append(store: &mut Redb, events: &[ProjectEvent], time: u64) {
    let events = events.iter().map(|event| LoggedEvent { time, event: event.clone() }).collect();
    run(store, StoreWork::AppendEvents { events, is_awaited: false });
}

fn expire(store: &mut Redb, before: u64, keep: usize) {
    expire_of(store, before, keep, EventTypes::ALL);
}

fn expire_of(store: &mut Redb, before: u64, keep: usize, written: EventTypes) {
    run(store, StoreWork::Expire { kind: LogKind::Events, before, keep: Some(keep), max_bytes: None, written });
}

fn log(store: &mut Redb) -> Vec<ProjectEvent> {
    let work = StoreWork::Read {
        log: LogKey::Events,
        after: None::<Place>,
        times: 0..u64::MAX,
        limit: usize::MAX,
        max_bytes: usize::MAX,
    };
    let StoreAnswer::Entries { entries, .. } = run(store, work) else { panic!("no entries") };
    let event = |(_, entry)| match entry {
        LogEntry::Event(LoggedEvent { event, .. }) => event,
        LogEntry::Message(_) => panic!("a message"),
    };
    entries.into_iter().map(event).collect()
}

fn kept(store: &mut Redb) -> Vec<(StateKey, StateValue)> {
    read_state(store, &app_id(), StateKind::Open).unwrap()
}

fn open(path: &Path) -> Redb {
    Redb::open(path).unwrap()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn what_is_kept_and_the_rest_of_the_log_say_what_all_of_it_said(
        steps in prop::collection::vec((prop::collection::vec(event(), 1..12), 0..14_usize, any::<bool>()), 1..8),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        let mut all = Vec::new();
        for (time, (events, keep, is_by_time)) in (1..).zip(steps) {
            append(&mut store, &events, time);
            all.extend(events);
            match is_by_time {
                true => expire(&mut store, time, usize::MAX),
                false => expire(&mut store, 0, keep),
            }
            let (mut whole, mut parts) = (OpenEvents::default(), OpenEvents::default());
            all.iter().cloned().for_each(|event| whole.see(event));
            for (key, value) in kept(&mut store) {
                let (StateKey::Open(key), StateValue::Open(left)) = (key, value) else { panic!("another kind") };
                prop_assert!(!left.is_empty());
                parts.load(&key, left);
            }
            log(&mut store).into_iter().for_each(|event| parts.see(event));
            for key in all.iter().flat_map(OpenEvents::keys) {
                prop_assert_eq!(parts.left(&key), whole.left(&key), "{:?}", key);
            }
        }
    }
}

#[test]
fn a_session_that_began_and_ended_leaves_nothing_and_an_open_one_only_what_is_open() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    for number in 0..200 {
        let of = |kind| made(kind, number % 100, 0, 0, false);
        append(&mut store, &[of(0), of(4), of(8), of(6), of(7), of(9), of(5), of(3)], 1);
    }
    append(&mut store, &[made(0, 100, 0, 0, false), made(4, 100, 0, 0, false)], 1);
    append(&mut store, &[made(8, 1, 0, 1, false)], 1);
    expire(&mut store, 0, 1);
    let keys: Vec<_> = kept(&mut store).into_iter().map(|(key, _)| key).collect();
    assert_eq!(keys, [StateKey::Open(OpenKey::Session(session(200)))], "the channel is in the log still");
    let BackendStats { open, events, .. } = store.stats().unwrap();
    assert_eq!((open, events), (1, 1));
    let of = |kind| made(kind, 100, 0, 0, false);
    append(&mut store, &[of(5), of(3), made(9, 1, 0, 1, false), made(0, 1, 1, 0, false)], 1);
    expire(&mut store, 0, 1);
    assert_eq!(kept(&mut store), []);
}

#[test]
fn a_server_ends_at_its_start_what_began_before_the_log() {
    let directory = tempfile::tempdir().unwrap();
    let mut store = open(directory.path());
    let of = |kind, number| made(kind, number, 0, 0, false);
    append(&mut store, &[of(0, 1), of(4, 1), of(8, 1), of(6, 1), of(0, 2), of(4, 2), of(8, 1)], 1);
    expire(&mut store, 0, 1);
    drop(store);
    for is_first in [true, false] {
        let mut store = open(directory.path());
        let now = Now { instant: Instant::now(), unix_ms: 2 };
        let mut core = Core::new(ProjectConfig::new(app_id()), [7; 32], now);
        kept(&mut store).into_iter().for_each(|(key, value)| core.restore(now, key, value));
        core.begin_event_log(now, "again", EventLogStart::AfterRestart);
        let before = log(&mut store).len();
        loop {
            let mut jobs = Vec::new();
            core.take_store_jobs(&mut jobs);
            if jobs.is_empty() {
                break;
            }
            for job in jobs {
                let result = Ok(run(&mut store, job.work));
                core.handle_stored(now, StoreDone { id: job.id, result });
            }
        }
        let name = |event: &ProjectEvent| event.event_type().name();
        let written: Vec<_> = log(&mut store)[before..].iter().map(name).collect();
        let ends = [
            "channel.member_left",
            "channel.vacated",
            "user.offline",
            "session.ended",
            "user.offline",
            "session.ended",
            "server.started",
        ];
        assert_eq!(written, if is_first { &ends[..] } else { &ends[6..] }, "once");
        assert_eq!(kept(&mut store), [], "it has ended");
    }
}

#[test]
fn what_no_event_of_the_log_ends_is_not_kept() {
    let types =
        |words: &[&str]| words.iter().fold(EventTypes::NONE, |all, word| all.or(EventTypes::from_word(word).unwrap()));
    for (words, kept_of) in [
        (&["user.online", "user.offline"][..], [0, 0]),
        (&["channel.member_joined", "channel.member_left"], [0, 0]),
        (&["session.started"], [0, 0]),
        (&["channel.occupied", "channel.vacated"], [0, 1]),
        (&["session.*"], [1, 0]),
        (&["usual"], [1, 1]),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let mut store = open(directory.path());
        // A session that ended, of which the log has what it is to have, and an open one.
        let all = [(0, 1), (4, 1), (8, 1), (6, 1), (7, 1), (5, 1), (3, 1), (0, 2), (4, 2), (8, 2), (6, 2)];
        let events: Vec<_> = all.into_iter().map(|(kind, number)| made(kind, number, 0, 0, false)).collect();
        let written = types(words);
        let mut logged: Vec<_> = events.into_iter().filter(|event| written.has(event.event_type())).collect();
        logged.push(made(1, 0, 0, 0, false));
        append(&mut store, &logged, 1);
        expire_of(&mut store, 0, 1, written);
        let keys: Vec<_> = kept(&mut store).into_iter().map(|(key, _)| key).collect();
        let of =
            |is: fn(&OpenKey) -> bool| keys.iter().filter(|key| matches!(key, StateKey::Open(key) if is(key))).count();
        let counts = [of(|key| matches!(key, OpenKey::Session(_))), of(|key| matches!(key, OpenKey::Channel(_)))];
        assert_eq!(counts, kept_of, "{words:?}: {keys:?}");
        assert_eq!(counts[0] + counts[1], keys.len(), "{words:?}");
    }
}
