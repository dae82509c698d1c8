//! Calls that are made too often and wait until they are allowed.

use std::{
    collections::BTreeMap,
    sync::Arc,
    task::Context,
    time::{Duration, Instant},
};

use rtm_codec::{Answer, Command, ErrorKind, LimitedCall};
use rtm_connection::RtmError;
use tokio::sync::oneshot;

use crate::timer::WakeUp;

/// A call that may have to wait, and who waits for its answer.
#[derive(Debug)]
pub(super) struct Delayable {
    /// Its place among all calls.
    pub(super) number: u64,
    pub(super) command: Arc<Command>,
    pub(super) done: oneshot::Sender<Result<Answer, RtmError>>,
}

/// The calls that wait, each kind in the order in which they were made.
#[derive(Debug, Default)]
pub(super) struct DelayedCalls {
    queues: Vec<Queue>,
    wake_up: WakeUp,
}

/// The calls of one budget, which are tried again together.
#[derive(Debug)]
struct Queue {
    budget: Option<LimitedCall>,
    at: Instant,
    calls: BTreeMap<u64, Delayable>,
}

impl DelayedCalls {
    pub(super) fn len(&self) -> usize {
        self.queues.iter().map(|queue| queue.calls.len()).sum()
    }

    /// Has a call wait behind others of its kind, if there are any, and gives it back otherwise. Where too many wait it ends:
    /// tried now, it would overtake them.
    pub(super) fn behind_others(&mut self, call: Delayable) -> Option<Delayable> {
        let budget = call.command.budget();
        let Some(queue) = self.queues.iter_mut().find(|queue| queue.budget == budget && !queue.calls.is_empty()) else {
            return Some(call);
        };
        if queue.calls.len() < MOST {
            queue.calls.insert(call.number, call);
        } else {
            let error = RtmError::new(ErrorKind::TooOften, call.command.family());
            drop(call.done.send(Err(error.with_detail(format!("{MOST} calls of this kind wait for their limit")))));
        }
        None
    }

    /// Has a call that was refused wait, and with it all of its kind. Gives it back if that is of no use.
    pub(super) fn refused(&mut self, now: Instant, call: Delayable, error: &RtmError) -> Option<Delayable> {
        if !matches!(error.kind(), ErrorKind::TooOften | ErrorKind::SameChannelTooOften) {
            return Some(call);
        }
        let at = now + error.retry_after().unwrap_or(BUSY);
        let budget = call.command.budget();
        let known = self.queues.iter().position(|queue| queue.budget == budget);
        let known = known.unwrap_or_else(|| {
            self.queues.push(Queue { budget, at, calls: BTreeMap::new() });
            self.queues.len() - 1
        });
        let queue = &mut self.queues[known];
        if queue.calls.len() >= MOST {
            return Some(call);
        }
        queue.at = if queue.calls.is_empty() { at } else { queue.at.max(at) };
        queue.calls.insert(call.number, call);
        self.set_timer();
        None
    }

    /// Those that are to be tried again now, a few of each kind.
    pub(super) fn poll(&mut self, cx: &mut Context<'_>, now: Instant) -> Vec<Delayable> {
        if !self.wake_up.poll(cx) {
            return Vec::new();
        }
        let due =
            self.queues.iter_mut().filter(|queue| queue.at <= now).flat_map(|queue| {
                std::iter::from_fn(|| queue.calls.pop_first().map(|(_, call)| call)).take(TRIED_AT_ONCE)
            });
        let due = due.collect();
        self.set_timer();
        due
    }

    /// Everything that waits.
    pub(super) fn take_all(&mut self) -> Vec<Delayable> {
        let all = std::mem::take(&mut self.queues).into_iter().flat_map(|queue| queue.calls.into_values());
        self.wake_up.set(None);
        all.collect()
    }

    fn set_timer(&mut self) {
        let waiting = self.queues.iter().filter(|queue| !queue.calls.is_empty());
        self.wake_up.set(waiting.map(|queue| queue.at).min());
    }
}

/// How many calls of one kind may wait.
const MOST: usize = 4096;

/// How many are tried at once: each that is still too early costs a refusal.
const TRIED_AT_ONCE: usize = 64;

/// How long a call waits while too many are under way.
const BUSY: Duration = Duration::from_millis(20);
