//! What is shown of an endpoint.

use std::{
    collections::VecDeque,
    time::{Duration, SystemTime},
};

use rtm_core::Latencies;

use super::delivery::{ANSWERS, Health};

/// How an endpoint is, for those who look.
#[derive(Debug, Clone, Default)]
pub(crate) struct WebhookStatus {
    pub(crate) health: Option<Health>,
    /// This node tells it as soon as the one before cannot have anything on its way any more.
    pub(crate) is_awaited: bool,
    /// The endpoint has all events up to this one.
    pub(crate) settled_to: u64,
    /// The log was read up to this one.
    pub(crate) read_to: u64,
    /// How many events it took since the start, and how many requests failed.
    pub(crate) taken: u64,
    pub(crate) failures: u64,
    /// The last requests, oldest first.
    pub(crate) attempts: VecDeque<Attempt>,
    /// When a request failed last, and how.
    pub(crate) last_failure: Option<(SystemTime, String)>,
    /// How many requests there were, by what was answered ([`Answer::place`]).
    pub(crate) answers: [u64; ANSWERS.len()],
    /// How long they took, in microseconds.
    pub(crate) took: Latencies,
    /// How many events wait to be taken, as far as the log was read, and when the oldest of them happened, in milliseconds since
    /// the Unix epoch.
    pub(crate) pending: (usize, Option<u64>),
}

impl WebhookStatus {
    /// Remembers a request, and forgets the oldest for it.
    pub(super) fn note(&mut self, attempt: Attempt) {
        if self.attempts.len() >= ATTEMPTS {
            self.attempts.pop_front();
        }
        self.attempts.push_back(attempt);
    }
}

/// What came of a request.
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody looks at all of it"))]
#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    pub(crate) time: SystemTime,
    /// Which try it was of these events, from 1 on.
    pub(crate) number: u32,
    /// The first and the last of its events; 0 of a test.
    pub(crate) first: u64,
    pub(crate) last: u64,
    pub(crate) events: usize,
    pub(crate) is_taken: bool,
    /// The status, if there was an answer.
    pub(crate) status: Option<u16>,
    /// What was said, or what went wrong, in a line.
    pub(crate) what: String,
    pub(crate) took: Duration,
}

/// What an endpoint made of a request that an operator had it sent.
#[cfg(feature = "admin")]
#[derive(Debug)]
pub(crate) struct Tried {
    /// Whether it was taken.
    pub(crate) is_taken: bool,
    /// What it said, or what went wrong, in a line.
    pub(crate) what: String,
    pub(crate) took: Duration,
}

/// How many of the last requests are remembered.
const ATTEMPTS: usize = 50;
