//! The events that wait for the application, and how the client's task learns what was taken.

use std::{
    collections::VecDeque,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU32, Ordering},
    },
    task::Waker,
};

use futures::task::AtomicWaker;
use rtm_connection::RtmEvent;

use super::divided::{Divided, PartId};

/// What the task and the readers of a stream share.
#[derive(Debug)]
pub(super) struct Shared {
    queue: Mutex<Queue>,
    /// How many events were taken that the task does not know of.
    count: AtomicU32,
    wake_after: u32,
    task: AtomicWaker,
}

/// The events that wait.
#[derive(Debug, Default)]
pub(super) struct Queue {
    /// Those of a stream that was never divided.
    pub(super) events: VecDeque<RtmEvent>,
    /// The events of a stream that is divided.
    pub(super) divided: Option<Box<Divided>>,
    /// Whether the task has ended.
    pub(super) is_complete: bool,
    /// Whether nobody reads the stream, or what is left of it beside its parts, any more.
    pub(super) is_abandoned: bool,
    /// Who waits for events of the stream that was never divided.
    pub(super) reader: Option<Waker>,
}

impl Shared {
    /// The task is woken whenever `wake_after` events were taken: waking it for each would cost more than the event did.
    pub(super) fn new(wake_after: u32) -> Self {
        Self { queue: Mutex::default(), count: AtomicU32::new(0), wake_after, task: AtomicWaker::new() }
    }

    pub(super) fn queue(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// A reader took so many events.
    pub(super) fn taken(&self, events: u32) {
        let before = self.count.fetch_add(events, Ordering::Relaxed);
        if before < self.wake_after && before.saturating_add(events) >= self.wake_after {
            self.task.wake();
        }
    }

    /// So many events need no reader. The task, which finds that out, looks at the count by itself.
    pub(super) fn thrown_away(&self, events: u32) {
        self.count.fetch_add(events, Ordering::Relaxed);
    }

    /// How many events were taken since the last call.
    pub(super) fn take_count(&self) -> u32 {
        self.count.swap(0, Ordering::Relaxed)
    }

    /// The task that learns of what is taken.
    pub(super) fn task(&self) -> &AtomicWaker {
        &self.task
    }
}

impl Queue {
    /// Exchanges an empty list for all there is.
    pub(super) fn fetch(&mut self, fetched: &mut VecDeque<RtmEvent>) {
        if !self.events.is_empty() {
            std::mem::swap(&mut self.events, fetched);
        }
    }

    /// How many events wait in a part, or in the stream without its parts.
    pub(super) fn len(&self, part: Option<PartId>) -> usize {
        self.divided.as_ref().map_or(self.events.len(), |divided| divided.len(part))
    }

    /// Remembers whom to wake when a part, or the stream without its parts, has something to take.
    pub(super) fn wait(&mut self, part: Option<PartId>, waker: &Waker) {
        let reader = match &mut self.divided {
            None => Some(&mut self.reader),
            Some(divided) => divided.reader(part),
        };
        match reader {
            Some(Some(reader)) => reader.clone_from(waker),
            Some(none) => *none = Some(waker.clone()),
            None => {}
        }
    }

    /// Everybody who waits for events.
    pub(super) fn take_readers(&mut self) -> Vec<Waker> {
        let parts = self.divided.as_mut().map(|divided| divided.take_readers());
        self.reader.take().into_iter().chain(parts.into_iter().flatten()).collect()
    }
}

/// A count of events, of which there are never so many.
pub(super) fn count(events: usize) -> u32 {
    u32::try_from(events).unwrap_or(u32::MAX)
}
