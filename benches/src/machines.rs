//! What the parts without IO do most often: the codec, the client's connection and the server's core, each in a steady
//! state. Criterion measures how long it takes, `instructions` counts what it takes.

use std::{any::Any, hint::black_box, time::Duration};

use crate::clock;

mod codec;
mod connection;
mod server;

/// Something that is done again and again.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What it is called.
    pub name: &'static str,
    /// Prepares to do it this many times.
    prepare: fn(usize) -> Work,
}

/// The same everywhere and each time: nothing in it depends on a clock, on addresses or on chance.
/// What it returns is dropped after the measurement.
struct Work(Box<dyn FnOnce() -> Box<dyn Any>>);

impl Work {
    fn new<R: 'static>(run: impl FnOnce() -> R + 'static) -> Self {
        Self(Box::new(|| Box::new(run())))
    }

    /// `run` on each of `inputs`, and dropping it.
    fn each<I: 'static>(inputs: Vec<I>, mut run: impl FnMut(I) + 'static) -> Self {
        Self::new(move || {
            for input in inputs {
                run(black_box(input));
            }
            run
        })
    }
}

impl Case {
    /// Every case, by the part it belongs to.
    #[must_use]
    pub fn all() -> Vec<(&'static str, Vec<Self>)> {
        vec![("codec", codec::cases()), ("connection", connection::cases()), ("server", server::cases())]
    }

    /// Prepares to do it `times` times. Calling what this returns does it, and returns what is to be dropped afterwards.
    pub fn prepare(&self, times: usize) -> impl FnOnce() -> Box<dyn Any> + use<> {
        (self.prepare)(times).0
    }

    /// How long it takes to do it `times` times.
    #[must_use]
    pub fn time(&self, times: u64) -> Duration {
        clock::batches(times)
            .map(|batch| {
                let work = self.prepare(batch);
                let started = clock::now();
                let rest = work();
                let took = clock::now() - started;
                drop(rest);
                took
            })
            .sum()
    }
}
