//! Checks of what outlives a restart. Each function is what happens between two of them.

use super::{
    Fault,
    support::{
        START, entries, history, holds, keep, key, numbers, put, put_in, read_all, run, same, stored, value, values,
    },
};
use crate::store::{Backend, StoreWork};

pub(super) fn fill(backend: &mut dyn Backend) -> Result<(), Fault> {
    for number in 1..=5 {
        keep(backend, &stored("bob")?, number)?;
        keep(backend, &history("room")?, number)?;
    }
    let (first, _) = entries(&run(backend, read_all(&stored("bob")?))?)?;
    let places = first.iter().take(2).map(|(place, _)| *place).collect();
    run(backend, StoreWork::Remove { log: stored("bob")?, places })?;
    for (name, revision) in [("a", 1), ("b", 2), ("a", 3)] {
        run(backend, put(name, revision, None)?)?;
    }
    run(backend, StoreWork::Delete { key: key("b")?, expected: None })?;
    Ok(())
}

pub(super) fn find(backend: &mut dyn Backend) -> Result<(), Fault> {
    same("what waits", &numbers(backend, &stored("bob")?)?, &vec![3, 4, 5])?;
    same("the history", &numbers(backend, &history("room")?)?, &vec![1, 2, 3, 4, 5])?;
    same("the values", &values(backend)?, &vec![(key("a")?, value(3)?)])?;
    // The limit counts what was there before.
    let (_, dropped) = put_in(backend, &stored("bob")?, 6, START, Some(2))?;
    same("how many were dropped", &dropped, &2)
}

/// Puts a message in and takes it out again, so that nothing in the log tells which place it had.
pub(super) fn take_places(backend: &mut dyn Backend) -> Result<(), Fault> {
    let place = keep(backend, &stored("bob")?, 1)?;
    // What the place was is kept in another log, as a time.
    put_in(backend, &history("places")?, 1, START.saturating_add(place.0), None)?;
    run(backend, StoreWork::Remove { log: stored("bob")?, places: vec![place] })?;
    Ok(())
}

pub(super) fn find_places(backend: &mut dyn Backend) -> Result<(), Fault> {
    take_places(backend)?;
    let (kept, _) = entries(&run(backend, read_all(&history("places")?))?)?;
    let places: Vec<_> = kept.iter().map(|(_, message)| message.server_received_ts - START).collect();
    same("how many places were given", &places.len(), &3)?;
    holds("the places", &places, "different ones", places.windows(2).all(|two| two[0] < two[1]))
}
