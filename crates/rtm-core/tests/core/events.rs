//! The log of events: what is written and when, what a restart adds, what is said of events that are missing, and its
//! readers.

use std::collections::BTreeMap;

use rtm_codec::{
    Answer, AttributeKey, ChannelAttributeTarget, ErrorKind, Event, JoinChannel, LeaveChannel, Refusal, SendInvitation,
    SendOutcome, SessionId, SetChannelAttributes, SetLocalUserAttributes, Text, Token,
    anyrtc::rest::{RestAnswer, RestCall, RestEvent, RestEventsOf},
};
use rtm_core::{
    AdminAnswer, AdminCall, EventAnswer, EventLogStart, EventPage, EventQuery, EventType, EventTypes, EventValue,
    HttpId, LogKey, LoggedEvent, Place, ProjectConfig, ProjectEvent, RestCaller, RestKey, Restriction, StateKey,
    StoreWork, store::EventCursor,
};

use crate::harness::*;

#[test]
fn what_a_session_does_is_in_the_log_in_order() {
    let mut world = logging(config());
    let alice = world.login("alice");
    join(&mut world, alice, "room");
    let bob = world.login("bob");
    join(&mut world, bob, "room");
    world.call(alice, LeaveChannel { channel_id: room("room") }).unwrap();
    world.logout(bob);
    world.logout(alice);
    assert_eq!(
        lines(&mut world),
        [
            "server.started server=first",
            "session.started user_id=alice takeover=false server=first",
            "user.online user_id=alice",
            "channel.occupied channel_id=room",
            "channel.member_joined channel_id=room user_id=alice",
            "session.started user_id=bob takeover=false server=first",
            "user.online user_id=bob",
            "channel.member_joined channel_id=room user_id=bob",
            "channel.member_left channel_id=room user_id=alice",
            "channel.member_left channel_id=room user_id=bob",
            "channel.vacated channel_id=room",
            "user.offline user_id=bob reason=logout",
            "session.ended user_id=bob reason=logout",
            "user.offline user_id=alice reason=logout",
            "session.ended user_id=alice reason=logout",
        ]
    );
}

#[test]
fn a_silent_user_goes_offline_and_may_come_back_to_its_session() {
    let mut world = logging(config());
    let alice = world.login("alice");
    join(&mut world, alice, "room");
    world.cut(alice);
    world.advance(secs(29));
    let alice = world.resume(alice);
    world.cut(alice);
    world.advance(secs(31));
    let alice = world.resume(alice);
    world.cut(alice);
    world.advance(secs(121));
    let all = lines(&mut world);
    assert_eq!(
        all[5..],
        [
            "session.resumed user_id=alice server=first",
            "channel.member_left channel_id=room user_id=alice",
            "channel.vacated channel_id=room",
            "user.offline user_id=alice reason=keep_alive_timeout",
            "session.resumed user_id=alice server=first",
            "user.online user_id=alice",
            "user.offline user_id=alice reason=keep_alive_timeout",
            "session.ended user_id=alice reason=keep_alive_timeout",
        ]
    );
}

#[test]
fn who_logs_in_elsewhere_stays_online() {
    let mut world = logging(config());
    world.login("alice");
    let mut tablet = login_of("alice");
    tablet.instance = rtm_codec::InstanceId::new("tablet").unwrap();
    world.login_with(tablet);
    assert_eq!(
        lines(&mut world)[3..],
        ["session.ended user_id=alice reason=remote_login", "session.started user_id=alice takeover=true server=first",]
    );
}

#[test]
fn a_killed_server_writes_the_ends_at_its_next_start_once_and_before_all_else() {
    let mut world = logging(config());
    let alice = world.login("alice");
    join(&mut world, alice, "room");
    join(&mut world, alice, "hall");
    let bob = world.login("bob");
    join(&mut world, bob, "room");
    world.login("carol");
    world.cut(bob);
    world.advance(secs(31));
    let before = lines(&mut world).len();
    let mut world = world.restart(config());
    // Its log is not read yet, and somebody comes.
    world.hold_store();
    begin(&mut world, "second", EventLogStart::AfterRestart);
    world.login("bob");
    assert!(!world.core.is_event_log_ready());
    world.release_store();
    assert!(world.core.is_event_log_ready());
    let ends = [
        "channel.member_left channel_id=hall user_id=alice",
        "channel.vacated channel_id=hall",
        "channel.member_left channel_id=room user_id=alice",
        "channel.vacated channel_id=room",
        "user.offline user_id=alice reason=server_restart",
        "session.ended user_id=alice reason=server_restart",
        "session.ended user_id=bob reason=server_restart",
        "user.offline user_id=carol reason=server_restart",
        "session.ended user_id=carol reason=server_restart",
        "server.started server=second",
        "session.started user_id=bob takeover=false server=second",
        "user.online user_id=bob",
    ];
    assert_eq!(lines(&mut world)[before..], ends);
    let mut world = world.restart(config());
    begin(&mut world, "third", EventLogStart::AfterRestart);
    world.pump();
    assert_eq!(
        lines(&mut world)[before + ends.len()..],
        [
            "user.offline user_id=bob reason=server_restart",
            "session.ended user_id=bob reason=server_restart",
            "server.started server=third",
        ]
    );
}

#[test]
fn a_server_that_goes_down_writes_the_ends_itself_and_nothing_after_them() {
    let mut world = logging(config());
    let alice = world.login("alice");
    join(&mut world, alice, "room");
    world.core.drain(world.now);
    world.core.end_event_log(world.now);
    world.logout(alice);
    let wanted = [
        "server.draining server=first",
        "channel.member_left channel_id=room user_id=alice",
        "channel.vacated channel_id=room",
        "user.offline user_id=alice reason=server_stopped",
        "session.ended user_id=alice reason=server_stopped",
    ];
    assert_eq!(lines(&mut world)[5..], wanted);
    let mut world = world.restart(config());
    begin(&mut world, "second", EventLogStart::AfterRestart);
    world.pump();
    assert_eq!(lines(&mut world)[10..], ["server.started server=second"]);
}

#[test]
fn a_server_that_goes_down_before_it_has_read_what_an_earlier_run_left_loses_nothing() {
    for start in [EventLogStart::AfterRestart, EventLogStart::Held] {
        let mut world = logging(config());
        world.login("alice");
        let before = lines(&mut world).len();
        let mut world = world.restart(config());
        world.hold_store();
        begin(&mut world, "second", start);
        world.login("bob");
        world.core.end_event_log(world.now);
        world.release_store();
        let written = [
            "session.started user_id=bob takeover=false server=second",
            "user.online user_id=bob",
            "user.offline user_id=bob reason=server_stopped",
            "session.ended user_id=bob reason=server_stopped",
        ];
        assert_eq!(lines(&mut world)[before..], written);
        let mut world = world.restart(config());
        begin(&mut world, "third", EventLogStart::AfterRestart);
        world.pump();
        let ends = [
            "user.offline user_id=alice reason=server_restart",
            "session.ended user_id=alice reason=server_restart",
            "server.started server=third",
        ];
        assert_eq!(lines(&mut world)[before + written.len()..], ends);
    }
}

#[test]
fn that_a_server_is_about_to_go_down_is_written_once_when_it_says_so() {
    let mut world = logging(config());
    let before = lines(&mut world).len();
    world.core.announce_drain(world.now);
    world.pump();
    assert_eq!(lines(&mut world)[before..], ["server.draining server=first"]);
    // It still lets clients in.
    world.login("alice");
    world.core.announce_drain(world.now);
    world.core.drain(world.now);
    world.pump();
    let draining = lines(&mut world).iter().filter(|line| line.starts_with("server.draining")).count();
    assert_eq!(draining, 1);
}

#[test]
fn a_core_that_is_held_writes_when_it_is_let_go() {
    let mut world = World::new();
    begin(&mut world, "second", EventLogStart::Held);
    world.login("alice");
    assert_eq!(lines(&mut world), [""; 0]);
    world.core.release_event_log(world.now);
    world.core.drain(world.now);
    world.pump();
    // Of the server another core writes.
    let wanted = ["session.started user_id=alice takeover=false server=second", "user.online user_id=alice"];
    assert_eq!(lines(&mut world), wanted);
}

#[test]
fn what_the_store_could_not_keep_stands_in_the_log_as_a_gap() {
    let mut world = logging(config());
    world.store.is_broken = true;
    let alice = world.login("alice");
    world.logout(alice);
    world.advance(secs(5));
    assert_eq!(world.core.event_figures().lost, 4);
    world.store.is_broken = false;
    world.advance(secs(2));
    world.login("bob");
    assert_eq!(
        lines(&mut world)[1..],
        ["log.gap lost=4", "session.started user_id=bob takeover=false server=first", "user.online user_id=bob"]
    );
    let written: u64 = world.core.counters().logged_events().map(|(_, count)| count).sum();
    assert_eq!(written, 4);
}

#[test]
fn a_store_that_stands_still_holds_nobody_up_and_what_is_too_much_is_a_gap() {
    let mut world = logging(config());
    world.hold_store();
    let alice = world.login("alice");
    for _ in 0..20_000 {
        world.call(alice, JoinChannel { channel_id: room("room") }).unwrap();
        world.call(alice, LeaveChannel { channel_id: room("room") }).unwrap();
    }
    world.release_store();
    let all = lines(&mut world);
    let lost = 3 + 80_000 - 8192 - 32 * 1024;
    assert_eq!(all.last(), Some(&format!("log.gap lost={}", lost - 1 - 1 + 1)));
    assert_eq!(all.iter().filter(|line| line.starts_with("log.gap")).count(), 1);
    let bob = world.login("bob");
    world.logout(bob);
    assert_eq!(lines(&mut world).len(), all.len() + 4, "it goes on");
}

#[test]
fn only_the_types_that_are_wanted_are_written() {
    let mut wanted = config();
    wanted.events.types = [EventType::MemberJoined, EventType::PeerMessage].into_iter().collect();
    let mut world = logging(wanted);
    let alice = world.login("alice");
    world.login("bob");
    join(&mut world, alice, "room");
    world.call(alice, to_peer(7, "bob", "hi")).unwrap();
    world.logout(alice);
    assert_eq!(
        lines(&mut world),
        ["channel.member_joined channel_id=room user_id=alice", "message.peer from=alice to=bob message_id=7"]
    );
    let mut off = config();
    off.events.enabled = false;
    let mut world = logging(off);
    world.login("alice");
    assert_eq!(lines(&mut world), [""; 0]);
}

#[test]
fn stored_and_evicted_messages_bans_and_invitations_are_in_the_log() {
    let mut few = config();
    few.settings.offline_messages = 1;
    let mut world = logging(few);
    let alice = world.login("alice");
    let bob = world.login("bob");
    for id in [1, 2] {
        world.call(alice, stored_to_peer(id, "carol", "later")).unwrap();
    }
    for (call, content) in [("one", "a"), ("two", "b")] {
        let (call_id, callee_id, content) = (call_id(call), uid("bob"), Text::from(content));
        world.call(alice, SendInvitation { callee_id, call_id, content }).unwrap();
    }
    assert_eq!(world.events(bob).iter().filter(|event| is_invitation(event)).count(), 2);
    let (call, caller_id) = (call_id("one"), uid("alice"));
    let accept = rtm_codec::AcceptInvitation { call_id: call, caller_id, response: Text::from("") };
    world.call(bob, accept).unwrap();
    world.ban("bob", world.now.unix_ms + 1000);
    world.pump();
    assert_eq!(
        lines(&mut world)[5..],
        [
            "message.stored from=alice to=carol message_id=1",
            "message.stored from=alice to=carol message_id=2",
            "message.evicted to=carol messages=1",
            "invitation.sent call_id=one caller_id=alice callee_id=bob",
            "invitation.received call_id=one caller_id=alice callee_id=bob",
            "invitation.sent call_id=two caller_id=alice callee_id=bob",
            "invitation.received call_id=two caller_id=alice callee_id=bob",
            "invitation.accepted call_id=one caller_id=alice callee_id=bob",
            "user.banned user_id=bob until=1700000001000",
            "user.offline user_id=bob reason=banned",
            "session.ended user_id=bob reason=banned",
            "invitation.failed call_id=two caller_id=alice callee_id=bob reason=callee_offline",
        ]
    );
}

#[test]
fn who_is_told_that_something_is_stored_or_refused_finds_it_in_the_log() {
    let mut world = logging(config());
    let alice = world.login("alice");
    world.store.holds = Some(|work| matches!(work, StoreWork::AppendEvents { .. }));
    let sent = world.request(alice, stored_to_peer(1, "carol", "later"));
    let ban = AdminCall::Restrict { user_id: Some(uid("bob")), restriction: Restriction::BannedUntil(u64::MAX) };
    let ban = world.core.admin(world.now, ban);
    world.pump();
    assert_eq!(world.store.waiting("carol"), ["later"]);
    assert_eq!((world.reply(alice, sent), world.admin_answer(ban)), (None, None));
    world.store.holds = None;
    world.pump();
    assert!(matches!(world.reply(alice, sent), Some(Ok(Answer::SendMessageToPeer(SendOutcome::Stored)))));
    assert_eq!(world.admin_answer(ban), Some(Ok(AdminAnswer::Restricted { changed: true })));
    let last = lines(&mut world).split_off(3);
    assert_eq!(last[0], "message.stored from=alice to=carol message_id=1");
    assert!(last[1].starts_with("user.banned user_id=bob"), "{last:?}");
}

#[test]
fn a_log_that_cannot_be_written_keeps_nobody_waiting() {
    let mut world = logging(config());
    let alice = world.login("alice");
    world.store.fails = Some(|work| matches!(work, StoreWork::AppendEvents { .. }));
    assert_eq!(world.call(alice, stored_to_peer(1, "carol", "later")), Ok(SendOutcome::Stored));
    assert!(world.ban("bob", u64::MAX));
    // Nobody wants to know of either.
    let mut few = config();
    few.events.types = [EventType::MemberJoined].into_iter().collect();
    let mut world = logging(few);
    let alice = world.login("alice");
    world.store.holds = Some(|work| matches!(work, StoreWork::AppendEvents { .. }));
    assert_eq!(world.call(alice, stored_to_peer(1, "carol", "later")), Ok(SendOutcome::Stored));
}

#[test]
fn changed_attributes_are_in_the_log_if_somebody_wants_that() {
    let mut all = config();
    all.events.types = EventType::ALL.iter().copied().collect();
    let mut world = logging(all);
    let alice = world.login("alice");
    let attributes: BTreeMap<AttributeKey, Text> = [("mood".parse().unwrap(), Text::from("good"))].into();
    for _ in 0..2 {
        // The second time nothing changes.
        world.call(alice, SetLocalUserAttributes { attributes: attributes.clone() }).unwrap();
    }
    let target = ChannelAttributeTarget { channel_id: room("room"), notify: false, expected_revision: None };
    world.call(alice, SetChannelAttributes { target, attributes }).unwrap();
    assert_eq!(
        lines(&mut world)[3..],
        ["attributes.user_changed user_id=alice", "attributes.channel_changed channel_id=room user_id=alice",]
    );
}

#[test]
fn a_reader_is_told_what_went_before_it_was_read() {
    let mut few = config();
    few.events.keep_count = 4;
    let mut world = logging(few);
    let first = page(&mut world, Some(0), EventTypes::ALL, 100);
    for user in ["alice", "bob", "carol"] {
        world.login(user);
    }
    world.advance(secs(3601));
    let behind = page(&mut world, Some(first.next), EventTypes::ALL, 100);
    let truncated = &behind.events[0];
    let to = truncated.seq;
    assert_eq!(line(truncated), format!("log.truncated from={} to={to}", first.next + 1));
    assert_eq!(behind.events.len(), 1 + 4, "{behind:?}");
    assert!(behind.events.is_sorted_by(|one, next| one.seq < next.seq));
    // Who has read that is told no more, and who begins with what is there is told nothing.
    let again = page(&mut world, Some(to), EventTypes::NONE, 100);
    assert_eq!((again.events.len(), again.next, again.more), (0, behind.next, false));
    let fresh = page(&mut world, None, EventTypes::ALL, 100);
    assert_eq!(fresh.events, behind.events[1..]);
    let pages = page(&mut world, Some(to), EventTypes::ALL, 3);
    assert_eq!((pages.events.len(), pages.more), (3, true));
    assert_eq!(page(&mut world, Some(pages.next), EventTypes::ALL, 3).events, behind.events[4..]);
}

#[test]
fn a_log_with_a_quota_of_bytes_drops_its_oldest_events_and_says_so() {
    let mut small = config();
    small.quotas.event_log_bytes = 10_000;
    let mut world = logging(small);
    let first = page(&mut world, Some(0), EventTypes::ALL, 100);
    for number in 0..100 {
        world.login(&format!("user{number}"));
    }
    let behind = page(&mut world, Some(first.next), EventTypes::ALL, 1000);
    let (truncated, left) = behind.events.split_first().unwrap();
    assert_eq!(line(truncated), format!("log.truncated from={} to={}", first.next + 1, truncated.seq));
    assert!((10..100).contains(&left.len()), "{}", left.len());
    assert_eq!(line(&left[left.len() - 1]), "user.online user_id=user99");
    let kept = world.core.stored_bytes().unwrap().events;
    assert!((1_000..=10_000).contains(&kept), "{kept}");
}

#[test]
fn a_cursor_moves_from_where_it_is_and_is_there_after_a_restart() {
    let mut world = logging(config());
    let start = world.core.event_cursor("hook");
    let EventAnswer::Moved(at) = moved(&mut world, "hook", start, 7) else { panic!("it has not moved") };
    assert_eq!((at.read.0, world.core.event_cursor("hook")), (7, at));
    assert_eq!(moved(&mut world, "hook", start, 9), EventAnswer::Elsewhere(at), "who is late is told where it is");
    let world = world.restart(config());
    assert_eq!(world.core.event_cursor("hook"), at);
    assert_eq!(world.core.event_cursor("another"), EventCursor::default());
}

#[test]
fn back_ends_read_events_as_the_vendor_gives_them_and_each_once() {
    let mut world = logging(with_key());
    let alice = world.login("alice");
    join(&mut world, alice, "room");
    let mut tablet = login_of("alice");
    tablet.instance = rtm_codec::InstanceId::new("tablet").unwrap();
    let tablet = world.login_with(tablet);
    world.logout(tablet);
    let at_ms = START_MS;
    let event = |channel: Option<&str>, is_arrival| RestEvent {
        user_id: uid("alice"),
        channel_id: channel.map(room),
        is_arrival,
        at_ms,
    };
    let users = [true, false, true, false].map(|is_arrival| event(None, is_arrival));
    assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap(), users);
    assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap(), []);
    let channels = [true, false].map(|is_arrival| event(Some("room"), is_arrival));
    assert_eq!(rest_events(&mut world, RestEventsOf::Channels).unwrap(), channels);
    // Reading takes nothing away from others, and is not forgotten by a restart.
    assert_eq!(lines(&mut world).len(), 11);
    let mut world = world.restart(with_key());
    begin(&mut world, "second", EventLogStart::AfterRestart);
    world.pump();
    assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap(), []);
}

#[test]
fn of_unread_events_back_ends_get_the_newest_2000_in_answers_of_1000() {
    let mut world = logging(with_key());
    let alice = world.login("alice");
    for _ in 0..1250 {
        world.call(alice, JoinChannel { channel_id: room("room") }).unwrap();
        world.call(alice, LeaveChannel { channel_id: room("room") }).unwrap();
        world.advance(millis(10));
    }
    let mut all = Vec::new();
    for wanted in [1000, 1000, 0] {
        let events = rest_events(&mut world, RestEventsOf::Channels).unwrap();
        assert_eq!(events.len(), wanted);
        all.extend(events);
    }
    assert!(all.is_sorted_by_key(|event| event.at_ms), "oldest first");
    assert_eq!(all[0].at_ms, START_MS + 250 * 10, "the newest have stayed");
    assert!(all.iter().enumerate().all(|(at, event)| event.is_arrival == (at % 2 == 0)));
}

#[test]
fn of_however_many_unread_events_back_ends_get_the_newest_2000() {
    let mut world = logging(with_key());
    world.store.append_events(many_joins(140_000));
    let events = rest_events(&mut world, RestEventsOf::Channels).unwrap();
    assert_eq!((events.len(), events[0].at_ms), (1000, START_MS + 138_000));
    let events = rest_events(&mut world, RestEventsOf::Channels).unwrap();
    assert_eq!((events.len(), events[0].at_ms), (1000, START_MS + 139_000));
    assert_eq!(world.core.counters().overwritten(), 138_000);
}

#[test]
fn what_no_call_was_given_in_time_is_there_for_the_next_one() {
    let reads: fn(&StoreWork) -> bool = |work| matches!(work, StoreWork::Read { log: LogKey::Events, .. });
    let moves: fn(&StoreWork) -> bool = |work| matches!(work, StoreWork::Put { key: StateKey::EventCursor(_), .. });
    for holds in [reads, moves] {
        let mut world = logging(with_key());
        let alice = world.login("alice");
        world.logout(alice);
        world.store.holds = Some(holds);
        let late = ask_for_events(&mut world, RestEventsOf::Users);
        world.advance(secs(10));
        assert_eq!(answers_to_rest(&mut world), [(late, Err(ErrorKind::Failure))]);
        // One that comes meanwhile waits, and has it.
        let next = ask_for_events(&mut world, RestEventsOf::Users);
        assert_eq!(answers_to_rest(&mut world), []);
        world.store.holds = None;
        world.pump();
        let answers = answers_to_rest(&mut world);
        let [(answered, Ok(events))] = &answers[..] else { panic!("{answers:?}") };
        assert_eq!((*answered, events.len()), (next, 2));
        assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap(), []);
    }
}

#[test]
fn a_call_that_was_too_slow_spares_the_next_one_what_is_overwritten() {
    let mut world = logging(with_key());
    world.store.append_events(many_joins(10_000));
    world.store.holds = Some(
        |work| matches!(work, StoreWork::Read { log: LogKey::Events, after: Some(Place(after)), .. } if *after > 0),
    );
    let late = ask_for_events(&mut world, RestEventsOf::Channels);
    world.advance(secs(10));
    assert_eq!(answers_to_rest(&mut world), [(late, Err(ErrorKind::Failure))]);
    world.store.holds = None;
    world.pump();
    // It has seen two pages of the log, and 2,000 events of these may yet be given.
    let passed = world.core.counters().overwritten();
    assert!((1..=4096 - 2000).contains(&passed), "{passed}");
    let events = rest_events(&mut world, RestEventsOf::Channels).unwrap();
    assert_eq!((events.len(), events[0].at_ms), (1000, START_MS + 8000));
    assert_eq!(world.core.counters().overwritten(), 8000);
}

#[test]
fn calls_that_come_together_get_each_event_once() {
    let mut world = logging(with_key());
    world.store.append_events(many_joins(1500));
    let calls: Vec<_> = (0..3).map(|_| ask_for_events(&mut world, RestEventsOf::Channels)).collect();
    world.pump();
    let answers = answers_to_rest(&mut world);
    let got: Vec<_> = answers.iter().map(|(id, events)| (*id, events.as_ref().unwrap().len())).collect();
    assert_eq!(got, [(calls[0], 1000), (calls[1], 500), (calls[2], 0)]);
}

#[test]
fn events_go_soon_after_the_time_for_which_they_are_kept() {
    let mut short = config();
    short.events.keep_for = secs(60);
    let mut world = logging(short);
    world.advance(secs(30));
    world.login("alice");
    let ages = |world: &mut World| {
        let events = page(world, None, EventTypes::ALL, 100).events;
        events.iter().map(|event| world.now.unix_ms - event.logged.time).collect::<Vec<_>>()
    };
    world.advance(secs(30));
    assert_eq!(ages(&mut world), [60_000, 30_000, 30_000]);
    world.advance(secs(4));
    assert_eq!(ages(&mut world), [34_000, 34_000]);
    // Who read up to there is told what it missed.
    let behind = page(&mut world, Some(0), EventTypes::ALL, 100);
    assert!(line(&behind.events[0]).starts_with("log.truncated from=1 "), "{behind:?}");
    // A new configuration holds for what is there.
    let mut shorter = config();
    shorter.events.keep_for = secs(10);
    world.core.reconfigure(world.now, shorter);
    world.advance(secs(1));
    assert!(ages(&mut world).is_empty());
}

#[test]
fn written_events_are_counted_by_type() {
    let mut world = logging(config());
    world.login("alice");
    world.login("bob");
    let counted = |world: &World| {
        let counts = world.core.counters().logged_events().filter(|(_, count)| *count > 0);
        counts.map(|(event_type, count)| (event_type.name(), count)).collect::<Vec<_>>()
    };
    let wanted = [("server.started", 1), ("user.online", 2), ("session.started", 2)];
    assert_eq!(counted(&world), wanted);
    // What cannot be written is not.
    world.store.is_broken = true;
    world.login("carol");
    assert_eq!(counted(&world), wanted);
}

#[test]
fn events_are_read_ten_times_a_second_and_by_keys_alone() {
    let mut world = logging(with_key());
    for _ in 0..10 {
        rest_events(&mut world, RestEventsOf::Users).unwrap();
    }
    assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap_err(), ErrorKind::TooOften);
    world.advance(secs(1));
    rest_events(&mut world, RestEventsOf::Users).unwrap();
    let mut off = with_key();
    off.events.enabled = false;
    let mut world = logging(off);
    assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap_err(), ErrorKind::Unsupported);
    let mut world = logging(with_key());
    world.store.is_broken = true;
    assert_eq!(rest_events(&mut world, RestEventsOf::Users).unwrap_err(), ErrorKind::Failure);
}

fn logging(config: ProjectConfig) -> World {
    let mut world = World::with(config);
    begin(&mut world, "first", EventLogStart::AfterRestart);
    world.pump();
    world
}

fn begin(world: &mut World, server: &str, start: EventLogStart) {
    world.core.begin_event_log(world.now, server, start);
}

fn with_key() -> ProjectConfig {
    let mut config = config();
    let sha256 = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";
    config.rest.keys = vec![RestKey::new("back-end", sha256).unwrap()];
    config
}

fn join(world: &mut World, client: C, channel: &str) {
    world.call(client, JoinChannel { channel_id: room(channel) }).unwrap();
}

fn is_invitation(event: &Event) -> bool {
    matches!(event, Event::RemoteInvitationReceived { .. })
}

fn answer(world: &mut World) -> EventAnswer {
    world.pump();
    let mut answers = Vec::new();
    world.core.take_event_answers(&mut answers);
    assert_eq!(answers.len(), 1);
    answers.remove(0).1.unwrap()
}

fn page(world: &mut World, after: Option<u64>, types: EventTypes, limit: usize) -> EventPage {
    world.core.read_events(EventQuery { after, types, limit });
    match answer(world) {
        EventAnswer::Page(page) => page,
        other => panic!("{other:?}"),
    }
}

fn moved(world: &mut World, name: &str, from: EventCursor, read: u64) -> EventAnswer {
    world.core.move_event_cursor(name, from, read, false);
    answer(world)
}

/// All events, one in a line, without the names of sessions.
fn lines(world: &mut World) -> Vec<String> {
    let mut all = Vec::new();
    let mut after = None;
    loop {
        let page = page(world, after, EventTypes::ALL, 10_000);
        all.extend(page.events.iter().map(line));
        after = Some(page.next);
        if !page.more {
            return all;
        }
    }
}

fn line(event: &rtm_core::NumberedEvent) -> String {
    let mut line = event.logged.event.event_type().name().to_owned();
    for (name, value) in event.logged.event.data().into_iter().filter(|(name, _)| *name != "session") {
        let value = match value {
            EventValue::Text(text) => text.into_owned(),
            EventValue::Number(number) | EventValue::Time(number) => number.to_string(),
            EventValue::Flag(flag) => flag.to_string(),
        };
        line.push_str(&format!(" {name}={value}"));
    }
    line
}

fn rest_events(world: &mut World, events_of: RestEventsOf) -> Result<Vec<RestEvent>, ErrorKind> {
    let id = ask_for_events(world, events_of);
    let (answered, answer) = answers_to_rest(world).pop().expect("an answer");
    assert_eq!(answered, id);
    answer
}

fn ask_for_events(world: &mut World, events_of: RestEventsOf) -> HttpId {
    let caller = RestCaller::Key { id: "back-end".into(), secret: Token::new("secret").unwrap() };
    world.core.rest(world.now, &caller, RestCall::Events(events_of))
}

fn answers_to_rest(world: &mut World) -> Vec<(HttpId, Result<Vec<RestEvent>, ErrorKind>)> {
    world.pump();
    let mut answers = Vec::new();
    world.core.take_rest_answers(&mut answers);
    let events = |answer| match answer {
        Ok(RestAnswer::Events(events)) => Ok(events),
        Ok(other) => panic!("{other:?}"),
        Err(Refusal { kind, .. }) => Err(kind),
    };
    answers.into_iter().map(|(id, answer)| (id, events(answer))).collect()
}

/// That somebody joined a channel, each a millisecond after the one before.
fn many_joins(count: u64) -> Vec<LoggedEvent> {
    let join = |at| {
        let event = ProjectEvent::MemberJoined {
            channel_id: room("room"),
            user_id: uid("alice"),
            session: SessionId([7; 16]).into(),
        };
        LoggedEvent { time: START_MS + at, event }
    };
    (0..count).map(join).collect()
}
