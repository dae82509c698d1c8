//! Checks of how many bytes are kept.

use super::{
    Fault,
    support::{APPS, START, expire, history, holds, keep, key, put, put_in, run, run_in, same, stored, wrong_answer},
};
use crate::store::{Backend, LogKind, StateKind, StoreAnswer, StoreWork, StoredBytes};

pub(super) fn measured(backend: &mut dyn Backend) -> Result<(), Fault> {
    same("what an empty store has", &measure(backend, APPS[0])?, &StoredBytes::default())?;
    let mut before = StoredBytes::default();
    let mut places = Vec::new();
    for number in 1..=3 {
        places.push(keep(backend, &stored("bob")?, number)?);
        keep(backend, &history("room")?, number)?;
        run(backend, put(&format!("room{number}"), number, None)?)?;
        let now = measure(backend, APPS[0])?;
        // Each message has 5 bytes, each value the bytes of its key at least.
        let grows = now.offline >= before.offline + 5
            && now.history >= before.history + 5
            && now.channel_attributes >= before.channel_attributes + 3;
        holds("what is measured", &(before, now), "more of all with each", grows)?;
        same("what one more takes", &now.offline, &(before.offline + now.offline / number))?;
        before = now;
    }
    same("what the other project has", &measure(backend, APPS[1])?, &StoredBytes::default())?;
    let (log, one) = (stored("bob")?, before.offline / 3);
    run(backend, StoreWork::Remove { log: log.clone(), places: vec![places[1], places[1]] })?;
    same("what is left without one", &measure(backend, APPS[0])?.offline, &(2 * one))?;
    put_in(backend, &log, 4, START, Some(1))?;
    same("what is left of a limited log", &measure(backend, APPS[0])?.offline, &one)?;
    run(backend, put("room1", 4, None)?)?;
    let replaced = measure(backend, APPS[0])?.channel_attributes;
    same("a value in place of one as long", &replaced, &before.channel_attributes)?;
    for number in 1..=3 {
        run(backend, StoreWork::Delete { key: key(&format!("room{number}"))?, expected: None })?;
    }
    for kind in LogKind::ALL {
        run(backend, expire(kind, u64::MAX))?;
    }
    same("what is left of all", &measure(backend, APPS[0])?, &StoredBytes::default())?;
    same("the values that are left", &backend.stats()?.values(StateKind::ChannelAttributes), &&mut 0)
}

pub(super) fn fill(backend: &mut dyn Backend) -> Result<(), Fault> {
    for number in 1..=4 {
        keep(backend, &history("room")?, number)?;
    }
    Ok(())
}

pub(super) fn find(backend: &mut dyn Backend) -> Result<(), Fault> {
    let before = measure(backend, APPS[0])?.history;
    holds("what is measured", &before, "four messages", before >= 4 * 5)?;
    keep(backend, &history("room")?, 5)?;
    same("what is measured with one more", &measure(backend, APPS[0])?.history, &(before / 4 * 5))
}

pub(super) fn measure(backend: &mut dyn Backend, app: char) -> Result<StoredBytes, Fault> {
    match run_in(backend, app, StoreWork::Measure)? {
        StoreAnswer::Measured(measured) => Ok(measured),
        other => Err(wrong_answer(&other, "Measured")),
    }
}
