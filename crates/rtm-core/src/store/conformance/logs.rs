//! Checks of logs.

use bytes::Bytes;
use rtm_codec::RtmMessage;

use super::{
    Fault,
    support::{
        APPS, START, app_id, append, entries, expire, history, holds, keep, message, numbers, page, put_in, read_all,
        run, run_in, same, stored, user, wrong_answer,
    },
};
use crate::store::{Backend, Conversation, LogEntry, LogKey, LogKind, Place, StoreAnswer, StoreWork, Task};

pub(super) fn order_and_pages(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = stored("bob")?;
    let mut places = Vec::new();
    for number in 1..=5 {
        places.push(keep(backend, &log, number)?);
    }
    holds("the places", &places, "rising ones", places.is_sorted_by(|one, next| one < next))?;
    let (all, _) = entries(&run(backend, read_all(&log))?)?;
    let mut wanted = Vec::new();
    for (place, number) in places.iter().zip(1..) {
        wanted.push((*place, message(number, START + number)?));
    }
    same("all entries", &all, &wanted)?;

    let read = |after, from, max_bytes, limit| StoreWork::Read {
        log: log.clone(),
        after,
        times: from..u64::MAX,
        limit,
        max_bytes,
    };
    // Each message has 5 bytes: the one that reaches the bound is the last of its page.
    let cases = [
        ("a page of 10 bytes", read(None, 0, 10, 100), (vec![1, 2], true)),
        ("a page of 11 bytes", read(None, 0, 11, 100), (vec![1, 2, 3], true)),
        ("a page of no bytes", read(None, 0, 0, 100), (vec![1], true)),
        ("a page of two entries", read(None, 0, 100, 2), (vec![1, 2], true)),
        ("a page of no entries", read(None, 0, 100, 0), (vec![1], true)),
        ("the rest", read(Some(places[1]), 0, 15, 100), (vec![3, 4, 5], false)),
        ("what follows the last", read(Some(places[4]), 0, 15, 100), (vec![], false)),
        ("what follows the last place", read(Some(Place(u64::MAX)), 0, 15, 100), (vec![], false)),
        ("the entries from the fourth's time on", read(None, START + 4, 100, 100), (vec![4, 5], false)),
        ("the entries of later times", read(None, START + 6, 100, 100), (vec![], false)),
    ];
    cases.into_iter().try_for_each(|(what, work, wanted)| same(what, &page(backend, work)?, &wanted))
}

pub(super) fn limit(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = stored("bob")?;
    for number in 1..=3 {
        let (_, dropped) = put_in(backend, &log, number, START, Some(3))?;
        same("how many were dropped while there was room", &dropped, &0)?;
    }
    let (_, dropped) = put_in(backend, &log, 4, START, Some(3))?;
    same("how many were dropped for one", &dropped, &1)?;
    same("what is left", &numbers(backend, &log)?, &vec![2, 3, 4])?;
    let (_, dropped) = put_in(backend, &log, 5, START, Some(1))?;
    same("how many were dropped for a lower limit", &dropped, &3)?;
    same("what is left", &numbers(backend, &log)?, &vec![5])?;
    put_in(backend, &stored("alice")?, 6, START, Some(1))?;
    same("what is left after another log was full", &numbers(backend, &log)?, &vec![5])
}

pub(super) fn removal(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = stored("bob")?;
    let remove = |log: &LogKey, places: &[Place]| StoreWork::Remove { log: log.clone(), places: places.into() };
    let mut places = Vec::new();
    for number in 1..=3 {
        places.push(put_in(backend, &log, number, START, Some(3))?.0);
    }
    same("the answer", &run(backend, remove(&log, &[places[0], places[2], Place(u64::MAX)]))?, &StoreAnswer::Done)?;
    same("the answer", &run(backend, remove(&stored("alice")?, &[places[1]]))?, &StoreAnswer::Done)?;
    same("what is left", &numbers(backend, &log)?, &vec![2])?;
    // What is gone makes room.
    places.push(put_in(backend, &log, 4, START, Some(3))?.0);
    places.push(put_in(backend, &log, 5, START, Some(3))?.0);
    same("what is left", &numbers(backend, &log)?, &vec![2, 4, 5])?;
    run(backend, remove(&log, &places))?;
    same("what is left", &numbers(backend, &log)?, &vec![])?;
    places.push(put_in(backend, &log, 6, START, Some(3))?.0);
    holds("the places", &places, "rising ones", places.is_sorted_by(|one, next| one < next))
}

pub(super) fn times(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = history("room")?;
    for time in [100, 200, 300, 400] {
        put_in(backend, &log, time, START + time, None)?;
    }
    let read = |from, until, after, limit, max_bytes| StoreWork::Read {
        log: log.clone(),
        after,
        times: START + from..START + until,
        limit,
        max_bytes,
    };
    same("all", &numbers(backend, &log)?, &vec![100, 200, 300, 400])?;
    let cases = [
        ("from is part of the span, until is not", read(200, 400, None, 100, 100), (vec![200, 300], false)),
        ("a span between", read(201, 401, None, 100, 100), (vec![300, 400], false)),
        ("a span of nothing", read(200, 200, None, 100, 100), (vec![], false)),
        ("a span backwards", read(300, 200, None, 100, 100), (vec![], false)),
        ("a page of 10 bytes", read(0, 999, None, 100, 10), (vec![100, 200], true)),
        ("a page of no bytes", read(0, 999, None, 100, 0), (vec![100], true)),
        ("a place before all", read(0, 999, Some(Place(0)), 100, 100), (vec![100, 200, 300, 400], false)),
        ("a place after all", read(0, 999, Some(Place(u64::MAX)), 100, 100), (vec![], false)),
    ];
    for (what, work, wanted) in cases {
        same(what, &page(backend, work)?, &wanted)?;
    }
    let (first, more) = entries(&run(backend, read(150, 999, None, 2, 100))?)?;
    same("the first page", &first.iter().map(|(_, message)| message.message_id.0).collect(), &vec![200, 300])?;
    same("whether more follows the first page", &more, &true)?;
    let after = first.last().map(|(place, _)| *place);
    same("the second page", &page(backend, read(150, 999, after, 2, 100))?, &(vec![400], false))
}

pub(super) fn one_millisecond(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = history("room")?;
    for number in [7, 3, 9] {
        put_in(backend, &log, number, START, None)?;
    }
    put_in(backend, &log, 1, START + 1, None)?;
    let read =
        |after| StoreWork::Read { log: log.clone(), after, times: START..START + 1, limit: 2, max_bytes: usize::MAX };
    let (first, _) = entries(&run(backend, read(None))?)?;
    same("the first page", &first.iter().map(|(_, message)| message.message_id.0).collect(), &vec![7, 3])?;
    let after = first.last().map(|(place, _)| *place);
    same("the second page", &page(backend, read(after))?, &(vec![9], false))
}

pub(super) fn clock_back(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = history("room")?;
    for (number, time) in [(1, 200), (2, 100), (3, 200)] {
        put_in(backend, &log, number, START + time, None)?;
    }
    let mut all = numbers(backend, &log)?;
    same("whether 1 is before 3", &all.iter().rev().find(|number| **number != 2), &Some(&3))?;
    all.sort_unstable();
    same("all in any order", &all, &vec![1, 2, 3])?;
    let span = StoreWork::Read { log, after: None, times: START + 200..START + 201, limit: 100, max_bytes: usize::MAX };
    same("those of the later time", &page(backend, span)?, &(vec![1, 3], false))
}

pub(super) fn apart(backend: &mut dyn Backend) -> Result<(), Fault> {
    let [alice, bob, bo] = [user("alice")?, user("bob")?, user("bo")?];
    let peers = |one: &_, other: &_| LogKey::History(Conversation::between(Clone::clone(one), Clone::clone(other)));
    let logs = [
        stored("bob")?,
        stored("bo")?,
        history("bob")?,
        peers(&alice, &bob),
        peers(&alice, &bo),
        peers(&alice, &alice),
    ];
    for (log, number) in logs.iter().zip(1..) {
        keep(backend, log, number)?;
    }
    same("the conversation from the other side", &numbers(backend, &peers(&bob, &alice))?, &vec![4])?;
    for app in APPS {
        for (log, number) in logs.iter().zip(1..) {
            let (found, _) = entries(&run_in(backend, app, read_all(log))?)?;
            let found: Vec<_> = found.into_iter().map(|(_, message)| message.message_id.0).collect();
            let wanted = if app == APPS[0] { vec![number] } else { vec![] };
            same(format!("{log:?} of {app}"), &found, &wanted)?;
        }
    }
    for kind in LogKind::ALL {
        run_in(backend, APPS[1], expire(kind, u64::MAX))?;
    }
    for (log, number) in logs.iter().zip(1..) {
        same(format!("{log:?} after the other project's end"), &numbers(backend, log)?, &vec![number])?;
    }
    Ok(())
}

pub(super) fn expiry(backend: &mut dyn Backend) -> Result<(), Fault> {
    let stored = [stored("bob")?, stored("alice")?];
    let histories = [history("room")?, history("hall")?];
    for number in 1..=4 {
        for log in stored.iter().chain(&histories) {
            keep(backend, log, number)?;
        }
    }
    run(backend, expire(LogKind::Stored, START + 3))?;
    for log in &stored {
        same(format!("{log:?}"), &numbers(backend, log)?, &vec![3, 4])?;
    }
    run(backend, expire(LogKind::History, START + 2))?;
    for log in &histories {
        same(format!("{log:?}"), &numbers(backend, log)?, &vec![2, 3, 4])?;
    }
    for log in &stored {
        same(format!("{log:?}, which is of another kind"), &numbers(backend, log)?, &vec![3, 4])?;
    }
    // What has gone makes room.
    put_in(backend, &stored[0], 5, START + 5, Some(3))?;
    same("what is left", &numbers(backend, &stored[0])?, &vec![3, 4, 5])?;
    let stats = backend.stats()?;
    same("how much is kept", &(stats.offline_messages, stats.history_messages), &(5, 6))
}

pub(super) fn forms(backend: &mut dyn Backend) -> Result<(), Fault> {
    let forms = vec![
        RtmMessage::text("字".repeat(10_922)),
        RtmMessage::Binary(Bytes::from(vec![0xff; 32_768])),
        RtmMessage::Binary(Bytes::new()),
        RtmMessage::Value(Bytes::from_static(b"\x93\x01\x02\x03")),
    ];
    for log in [stored("bob")?, history("room")?] {
        for form in &forms {
            let mut message = message(1, START)?;
            message.message = form.clone();
            let entry = LogEntry::Message(message);
            let keep = log.kind().is_limited().then_some(5);
            run(backend, StoreWork::Append { log: log.clone(), entry, keep })?;
        }
        let (found, _) = entries(&run(backend, read_all(&log))?)?;
        same(format!("{log:?}"), &found.into_iter().map(|(_, message)| message.message).collect(), &forms)?;
    }
    Ok(())
}

pub(super) fn sequence(backend: &mut dyn Backend) -> Result<(), Fault> {
    let log = stored("bob")?;
    let app_id = app_id(APPS[0])?;
    let work = [
        append(&log, 1, START, Some(5))?,
        append(&log, 2, START, Some(5))?,
        read_all(&log),
        expire(LogKind::Stored, u64::MAX),
        read_all(&log),
        append(&log, 3, START, Some(5))?,
    ];
    let wanted = work.len();
    let answers = backend.apply(work.into_iter().map(|work| Task { app_id: &app_id, work }).collect());
    same("the number of answers", &answers.len(), &wanted)?;
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    for (at, wanted) in [(2, 2), (4, 0)] {
        match &answers[at] {
            StoreAnswer::Entries { entries, .. } => same("how many entries are there", &entries.len(), &wanted)?,
            other => return Err(wrong_answer(other, "Entries")),
        }
    }
    same("what is left", &numbers(backend, &log)?, &vec![3])?;
    same("the number of answers to no task", &backend.apply(vec![]).len(), &0)
}
