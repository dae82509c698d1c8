//! What every backend has to do, as a list of checks that anybody may run on a backend of their own.
//!
//! A [`Check`] gets the way to open a backend: an empty one at first, and where the check restarts it, the same
//! one again with what it kept. Durable backends have to pass all checks, others those without a restart:
//!
//! ```
//! use rtm_core::store::{Memory, conformance};
//!
//! for check in conformance::checks().iter().filter(|check| !check.restarts()) {
//!     check.run(|| Ok(Box::new(Memory::default())))?;
//! }
//! # Ok::<(), conformance::Failure>(())
//! ```

mod bytes;
mod events;
mod logs;
mod restart;
mod search;
mod state;
mod support;

use std::fmt;

use super::{Backend, BackendError};

/// One thing that every backend does.
#[derive(Debug)]
pub struct Check {
    name: &'static str,
    /// The backend is closed and opened again between them.
    steps: &'static [Step],
}

#[derive(Debug)]
struct Step(fn(&mut dyn Backend) -> Result<(), Fault>);

/// All checks.
#[must_use]
pub fn checks() -> &'static [Check] {
    CHECKS
}

impl Check {
    /// What the backend does, in a few words.
    #[must_use]
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Whether it closes the backend and opens it again: only a durable one passes.
    #[must_use]
    pub fn restarts(&self) -> bool {
        self.steps.len() > 1
    }

    /// Runs the check. The first call of `open` has to give an empty backend, each later one the same again, after
    /// the one before was dropped.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the backend does something else, fails, or cannot be opened.
    pub fn run(&self, mut open: impl FnMut() -> Result<Box<dyn Backend>, BackendError>) -> Result<(), Failure> {
        let mut run = || {
            self.steps.iter().try_for_each(|Step(step)| {
                let mut backend = open()?;
                step(backend.as_mut())
            })
        };
        run().map_err(|fault| Failure { check: self.name, fault })
    }
}

/// A check that a backend did not pass.
#[derive(Debug)]
pub struct Failure {
    check: &'static str,
    fault: Fault,
}

impl Failure {
    /// The name of the check.
    #[must_use]
    pub fn check(&self) -> &'static str {
        self.check
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\" does not hold: {}", self.check, self.fault)
    }
}

impl std::error::Error for Failure {}

/// How a check ended.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("the backend failed: {0}")]
    Backend(#[from] BackendError),
    #[error("{what}: {got} came, {wanted} was expected")]
    Differs { what: String, got: String, wanted: String },
}

macro_rules! checks {
    ($($name:literal => [$($step:path),+];)*) => {
        &[$(Check { name: $name, steps: &[$(Step($step)),+] }),*]
    };
}

const CHECKS: &[Check] = checks! {
    "entries come in order and in pages" => [logs::order_and_pages];
    "the oldest entry of a limited log gives way" => [logs::limit];
    "removed entries are gone and their places are never given again" => [logs::removal];
    "history is read by time in pages" => [logs::times];
    "history of one millisecond is in the order of arrival" => [logs::one_millisecond];
    "no entry is lost to a clock that goes back" => [logs::clock_back];
    "conversations, users and projects are apart" => [logs::apart];
    "what is too old goes and nothing else" => [logs::expiry];
    "what is kept of a project is measured" => [bytes::measured];
    "every form of message comes back as it was" => [logs::forms];
    "a task sees what those before it did" => [logs::sequence];
    "histories are searched by who sent a message and to whom" => [search::filters];
    "what a search finds comes in order and in pages" => [search::pages];
    "what was said within one millisecond is found in the order in which it was said" => [search::one_millisecond];
    "what is removed or too old is not found any more" => [search::removal];
    "events come in the order of their numbers and in pages" => [events::order_and_pages];
    "of events those go that are too old or too many, and their reader is told" => [events::dropped];
    "events that come at once go one by one" => [events::at_once];
    "events that are appended together are read one by one" => [events::together];
    "of events those go for which there is no room, and their reader is told" => [events::no_room];
    "events of projects are apart" => [events::apart];
    "a value is what was put last" => [state::last_put];
    "values come in the order of their keys and in pages" => [state::pages];
    "a put with another revision than expected changes nothing" => [state::conflicts];
    "of several puts with one expected revision the first wins" => [state::one_winner];
    "a deletion of another revision than expected changes nothing" => [state::deletion];
    "what is refused to users, and to all of them, comes back as it was" => [state::restrictions];
    "values of projects are apart" => [state::apart];
    "values of each kind are apart, and in the order of their keys" => [state::kinds];
    "cursors of readers of events are apart" => [events::cursors];
    "everything is there after a restart" => [restart::fill, restart::find];
    "histories are searched after a restart" => [search::fill, search::find];
    "what is kept is measured after a restart" => [bytes::fill, bytes::find];
    "events and what is known of those that went are there after a restart" => [events::fill, events::find];
    "places rise over restarts" => [restart::take_places, restart::take_places, restart::find_places];
};
