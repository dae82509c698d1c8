//! Checks of the log of events.

use std::ops::Range;

use rtm_codec::Revision;

use super::{
    Fault,
    bytes::measure,
    support::{APPS, START, app_id, holds, run, run_in, same, user, wrong_answer},
};
use crate::{
    project_event::{EventTypes, LoggedEvent, Moment, ProjectEvent},
    store::{
        Backend, EventCursor, LogEntry, LogKey, LogKind, Place, StateKey, StateKind, StateValue, StoreAnswer,
        StoreWork, Task,
    },
};

/// Events as a reading gives them: their places and numbers, whether more follow, and up to which place some went.
type Events = (Vec<(Place, u64)>, bool, Place);

pub(super) fn order_and_pages(backend: &mut dyn Backend) -> Result<(), Fault> {
    let mut places = Vec::new();
    for number in 1..=5 {
        // A clock that goes back changes nothing in their order.
        places.push(add(backend, APPS[0], number, START + 10 - number)?);
    }
    holds("the places", &places, "rising ones", places.is_sorted_by(|one, next| one < next))?;
    let wanted: Vec<(Place, u64)> = places.iter().copied().zip(1..).collect();
    same("all", &read(backend, APPS[0], None, 100)?, &(wanted.clone(), false, Place(0)))?;
    same("the first page", &read(backend, APPS[0], None, 2)?, &(wanted[..2].to_vec(), true, Place(0)))?;
    same("the rest", &read(backend, APPS[0], Some(places[1]), 3)?, &(wanted[2..].to_vec(), false, Place(0)))?;
    same("what follows the last", &read(backend, APPS[0], Some(places[4]), 3)?, &(vec![], false, Place(0)))
}

pub(super) fn dropped(backend: &mut dyn Backend) -> Result<(), Fault> {
    let mut places = Vec::new();
    for number in 1..=6 {
        places.push(add(backend, APPS[0], number, START + number)?);
    }
    let expire = |before, keep| StoreWork::Expire {
        kind: LogKind::Events,
        before,
        keep,
        max_bytes: None,
        written: EventTypes::ALL,
    };
    run(backend, expire(START + 1, Some(6)))?;
    same("nothing was too old or too many", &read(backend, APPS[0], None, 100)?.2, &Place(0))?;
    run(backend, expire(START + 3, Some(100)))?;
    let (left, _, dropped_to) = read(backend, APPS[0], None, 100)?;
    same("what is not too old", &left.iter().map(|(_, number)| *number).collect(), &vec![3, 4, 5, 6])?;
    same("up to where they were too old", &dropped_to, &places[1])?;
    run(backend, expire(START, Some(1)))?;
    same("what is left of too many", &read(backend, APPS[0], None, 9)?, &(vec![(places[5], 6)], false, places[4]))?;
    same("how many are counted", &backend.stats()?.events, &1)?;
    run(backend, expire(u64::MAX, None))?;
    let after = Some(places[5]);
    same("what a reader is told of an empty log", &read(backend, APPS[0], after, 9)?, &(vec![], false, places[5]))?;
    let next = add(backend, APPS[0], 7, START)?;
    holds("the places", &(places[5], next), "rising ones", places[5] < next)?;
    same("the next event", &read(backend, APPS[0], after, 9)?, &(vec![(next, 7)], false, places[5]))
}

/// Events that come at once, some of them at one time, go one by one all the same.
pub(super) fn at_once(backend: &mut dyn Backend) -> Result<(), Fault> {
    let times = [1, 1, 1, 2, 2, 3, 3];
    let app_id = app_id(APPS[0])?;
    let works = (1..).zip(times).map(|(number, time)| append(number, START + time));
    let tasks = works.map(|work| Ok(Task { app_id: &app_id, work: work? })).collect::<Result<_, Fault>>()?;
    let mut places = Vec::new();
    for answer in backend.apply(tasks) {
        match answer? {
            StoreAnswer::Appended { place, .. } => places.push(place),
            other => return Err(wrong_answer(&other, "Appended")),
        }
    }
    places.push(add(backend, APPS[0], 8, START + 3)?);
    holds("the places", &places, "rising ones", places.is_sorted_by(|one, next| one < next))?;
    let all = places.iter().copied().zip(1..).collect();
    same("all", &read(backend, APPS[0], None, 100)?, &(all, false, Place(0)))?;
    let mut left_after = |what: &str, before, keep, wanted: &[u64]| {
        run(
            backend,
            StoreWork::Expire {
                kind: LogKind::Events,
                before: START + before,
                keep,
                max_bytes: None,
                written: EventTypes::ALL,
            },
        )?;
        let (left, _, dropped_to) = read(backend, APPS[0], None, 100)?;
        same(what, &left.into_iter().map(|(_, number)| number).collect(), &wanted.to_vec())?;
        same("up to where they went", &dropped_to, &places[places.len() - wanted.len() - 1])?;
        same("how many are counted", &backend.stats()?.events, &(wanted.len() as u64))
    };
    left_after("what is not too many", 0, Some(6), &[3, 4, 5, 6, 7, 8])?;
    left_after("what is not too old", 2, None, &[4, 5, 6, 7, 8])?;
    left_after("what is not too many", 2, Some(2), &[7, 8])?;
    left_after("what is not too old", 4, Some(2), &[])
}

pub(super) fn together(backend: &mut dyn Backend) -> Result<(), Fault> {
    let several = |numbers: Range<u64>| {
        let events = numbers.map(|number| event(number, START + number)).collect::<Result<_, Fault>>()?;
        Ok::<_, Fault>(StoreWork::AppendEvents { events, is_awaited: false })
    };
    let app_id = app_id(APPS[0])?;
    let works = [several(1..4)?, append(4, START)?, several(5..6)?, several(6..9)?];
    let mut last_of_each = Vec::new();
    for answer in backend.apply(works.into_iter().map(|work| Task { app_id: &app_id, work }).collect()) {
        match answer? {
            StoreAnswer::Appended { place, .. } => last_of_each.push(place),
            StoreAnswer::EventsAppended { last, missing } if missing.is_empty() => last_of_each.push(last),
            other => return Err(wrong_answer(&other, "EventsAppended")),
        }
    }
    add(backend, APPS[0], 9, START)?;
    let (all, ..) = read(backend, APPS[0], None, 100)?;
    same("all", &all.iter().map(|(_, number)| *number).collect(), &(1..=9).collect::<Vec<_>>())?;
    holds("the places", &all, "rising ones", all.is_sorted_by(|(one, _), (next, _)| one < next))?;
    let lasts = all.iter().filter(|(_, number)| [3, 4, 5, 8].contains(number)).map(|(place, _)| *place);
    same("where the last of each is", &last_of_each, &lasts.collect())?;
    same("how many are counted", &backend.stats()?.events, &9)?;
    run(backend, several(10..310)?)?;
    let (all, ..) = read(backend, APPS[0], None, 1000)?;
    same("many", &all.into_iter().map(|(_, number)| number).collect(), &(1..310).collect::<Vec<_>>())
}

pub(super) fn no_room(backend: &mut dyn Backend) -> Result<(), Fault> {
    let mut places = Vec::new();
    for number in 1..=6 {
        places.push(add(backend, APPS[0], number, START)?);
        add(backend, APPS[1], number, START)?;
    }
    let all = measure(backend, APPS[0])?.events;
    holds("what is measured", &all, "what six events take", all >= 6 * 8)?;
    let room = |max_bytes| StoreWork::Expire {
        kind: LogKind::Events,
        before: 0,
        keep: None,
        max_bytes: Some(max_bytes),
        written: EventTypes::ALL,
    };
    run(backend, room(all))?;
    same("what has room", &read(backend, APPS[0], None, 9)?.0.len(), &6)?;
    // A little less than four have.
    run(backend, room(all / 6 * 4 - 1))?;
    let (left, _, dropped_to) = read(backend, APPS[0], None, 9)?;
    same("what has room", &left.iter().map(|(_, number)| *number).collect(), &vec![4, 5, 6])?;
    same("up to where events went", &dropped_to, &places[2])?;
    same("what they take", &measure(backend, APPS[0])?.events, &(all / 2))?;
    same("the events of the other project", &read(backend, APPS[1], None, 9)?.0.len(), &6)?;
    run(backend, room(0))?;
    same("what has no room at all", &read(backend, APPS[0], None, 9)?, &(vec![], false, places[5]))
}

pub(super) fn apart(backend: &mut dyn Backend) -> Result<(), Fault> {
    for (app, number) in APPS.into_iter().zip(1..) {
        add(backend, app, number, START)?;
    }
    let work = StoreWork::Expire {
        kind: LogKind::Events,
        before: u64::MAX,
        keep: Some(1),
        max_bytes: None,
        written: EventTypes::ALL,
    };
    run_in(backend, APPS[1], work)?;
    let (first, _, dropped_to) = read(backend, APPS[0], None, 9)?;
    same("the event of one project", &first.iter().map(|(_, number)| *number).collect(), &vec![1])?;
    same("what went of it", &dropped_to, &Place(0))?;
    let (second, _, dropped_to) = read(backend, APPS[1], None, 9)?;
    same("the events of the other one", &second, &vec![])?;
    holds("what went of it", &dropped_to, "a place", dropped_to > Place(0))
}

pub(super) fn cursors(backend: &mut dyn Backend) -> Result<(), Fault> {
    for (name, read) in [("users", 7), ("hook.a b>c", 9)] {
        same("the answer to the first put", &run(backend, move_to(name, read, 1, 0))?, &StoreAnswer::Done)?;
    }
    let kept = Some(StateValue::EventCursor(EventCursor { read: Place(7), is_paused: false, revision: Revision(1) }));
    same("who comes late", &run(backend, move_to("users", 8, 1, 0))?, &StoreAnswer::Conflict { kept })?;
    same("who comes next", &run(backend, move_to("users", 8, 2, 1))?, &StoreAnswer::Done)?;
    let work = StoreWork::List { kind: StateKind::EventCursor, after: None, max_bytes: usize::MAX };
    let values = match run(backend, work)? {
        StoreAnswer::Values { values, .. } => values,
        other => return Err(wrong_answer(&other, "Values")),
    };
    let cursor = |name: &str, read, revision| {
        let cursor = EventCursor { read: Place(read), is_paused: read == 9, revision: Revision(revision) };
        (StateKey::EventCursor(name.to_owned()), StateValue::EventCursor(cursor))
    };
    same("all cursors", &values, &vec![cursor("hook.a b>c", 9, 1), cursor("users", 8, 2)])
}

pub(super) fn fill(backend: &mut dyn Backend) -> Result<(), Fault> {
    for number in 1..=4 {
        add(backend, APPS[0], number, START + number)?;
    }
    run(
        backend,
        StoreWork::Expire {
            kind: LogKind::Events,
            before: START + 3,
            keep: Some(9),
            max_bytes: None,
            written: EventTypes::ALL,
        },
    )?;
    run(backend, move_to("users", 7, 1, 0))?;
    Ok(())
}

pub(super) fn find(backend: &mut dyn Backend) -> Result<(), Fault> {
    let (left, _, dropped_to) = read(backend, APPS[0], None, 100)?;
    same("what is left", &left.iter().map(|(_, number)| *number).collect(), &vec![3, 4])?;
    let first = left.first().map_or(Place(0), |(place, _)| *place);
    holds(
        "up to where events went",
        &(dropped_to, first),
        "before the first",
        Place(0) < dropped_to && dropped_to < first,
    )?;
    run(
        backend,
        StoreWork::Expire {
            kind: LogKind::Events,
            before: 0,
            keep: Some(1),
            max_bytes: None,
            written: EventTypes::ALL,
        },
    )?;
    same("what is left of too many", &read(backend, APPS[0], None, 9)?.0.len(), &1)?;
    same("the next put", &run(backend, move_to("users", 8, 2, 1))?, &StoreAnswer::Done)
}

/// An event that is known by its number.
fn add(backend: &mut dyn Backend, app: char, number: u64, time: u64) -> Result<Place, Fault> {
    match run_in(backend, app, append(number, time)?)? {
        StoreAnswer::Appended { place, .. } => Ok(place),
        other => Err(wrong_answer(&other, "Appended")),
    }
}

fn append(number: u64, time: u64) -> Result<StoreWork, Fault> {
    Ok(StoreWork::Append { log: LogKey::Events, entry: LogEntry::Event(event(number, time)?), keep: None })
}

fn event(number: u64, time: u64) -> Result<LoggedEvent, Fault> {
    let event = ProjectEvent::UserBanned { user_id: user("alice")?, until: Moment(number) };
    Ok(LoggedEvent { time, event })
}

fn read(backend: &mut dyn Backend, app: char, after: Option<Place>, limit: usize) -> Result<Events, Fault> {
    let work = StoreWork::Read { log: LogKey::Events, after, times: 0..u64::MAX, limit, max_bytes: usize::MAX };
    let answer = run_in(backend, app, work)?;
    let StoreAnswer::Entries { entries, more, dropped_to } = answer else {
        return Err(wrong_answer(&answer, "Entries"));
    };
    let number = |entry: LogEntry| match entry {
        LogEntry::Event(LoggedEvent { event: ProjectEvent::UserBanned { until: Moment(number), .. }, .. }) => number,
        _ => 0,
    };
    Ok((entries.into_iter().map(|(place, entry)| (place, number(entry))).collect(), more, dropped_to))
}

fn move_to(name: &str, read: u64, revision: u64, expected: u64) -> StoreWork {
    let cursor = EventCursor { read: Place(read), is_paused: read == 9, revision: Revision(revision) };
    let key = StateKey::EventCursor(name.to_owned());
    StoreWork::Put { key, value: StateValue::EventCursor(cursor), expected: Some(Revision(expected)) }
}
