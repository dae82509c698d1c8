//! The durable store: one batch at a time, in order, and what a crash leaves of it.

use rtm_codec::{AppId, ChannelAttributes, ChannelId, StoredMessage, UserId};
use rtm_core::{
    LogEntry, LogKey, LoggedEvent, Place, StateKey, StateValue, StoreAnswer, StoreDone, StoreFailed, StoreJob,
    StoreWork,
    store::{Backend, Memory, StateKind, Task, read_state},
};

use crate::rng::Rng;

/// What is kept, whoever asked for that.
#[derive(Debug)]
pub(crate) struct SimulatedStore {
    backend: Memory,
    is_durable: bool,
    /// The attributes of channels that were written since they were last taken.
    written: Vec<(ChannelId, ChannelAttributes)>,
    /// The messages that were stored for users since they were last taken.
    stored: Vec<(UserId, StoredMessage)>,
}

/// What a server has asked of the store, which does what has gathered in one batch.
///
/// A crash while a batch is under way leaves any of its jobs done: all of it or nothing, as a store does that has
/// transactions, or a part. What waited behind it is lost.
#[derive(Debug, Default)]
pub(crate) struct StoreQueue {
    waiting: Vec<StoreJob>,
    under_way: Vec<StoreJob>,
    /// What became of a batch that was done while the process stood still.
    landed: Vec<StoreDone>,
}

/// What becomes of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Outcome {
    IsDone,
    Fails,
    /// It is done, and the answer is lost.
    SeemsToFail,
}

impl SimulatedStore {
    pub(crate) fn new(is_durable: bool) -> Self {
        Self { backend: Memory::default(), is_durable, written: Vec::new(), stored: Vec::new() }
    }

    /// Whether it outlives a server's process.
    pub(crate) fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// The process stands still. What it has asked of a store that is elsewhere is done all the same.
    pub(crate) fn land(&mut self, app_id: &AppId, queue: &mut StoreQueue) {
        queue.landed = self.finish(app_id, queue, || Outcome::IsDone);
    }

    /// The batch is over. Jobs fail each for itself: some of them were done nevertheless.
    pub(crate) fn finish(
        &mut self,
        app_id: &AppId,
        queue: &mut StoreQueue,
        mut outcome: impl FnMut() -> Outcome,
    ) -> Vec<StoreDone> {
        let mut done = std::mem::take(&mut queue.landed);
        for StoreJob { id, work } in std::mem::take(&mut queue.under_way) {
            let outcome = outcome();
            let mut result = Err(StoreFailed);
            let (attributes, message) = (attributes_in(&work), message_in(&work));
            if outcome != Outcome::Fails
                && let Some(answer) = self.backend.apply(vec![Task { app_id, work }]).pop()
            {
                self.written.extend(attributes.filter(|_| matches!(answer, Ok(StoreAnswer::Done))));
                self.stored.extend(message.filter(|_| answer.is_ok()));
                if outcome == Outcome::IsDone {
                    result = answer.map_err(|_| StoreFailed);
                }
            }
            done.push(StoreDone { id, result });
        }
        done
    }

    /// The attributes of channels that were written since this was last called, in order.
    pub(crate) fn take_written(&mut self) -> Vec<(ChannelId, ChannelAttributes)> {
        std::mem::take(&mut self.written)
    }

    /// The messages that were stored for users since this was last called.
    pub(crate) fn take_stored(&mut self) -> Vec<(UserId, StoredMessage)> {
        std::mem::take(&mut self.stored)
    }

    /// The attributes of all channels.
    pub(crate) fn attributes(&mut self, app_id: &AppId) -> Vec<(ChannelId, ChannelAttributes)> {
        let kept = read_state(&mut self.backend, app_id, StateKind::ChannelAttributes).unwrap_or_default();
        let attributes = |(key, value)| match (key, value) {
            (StateKey::ChannelAttributes(channel_id), StateValue::ChannelAttributes(value)) => {
                Some((channel_id, value))
            }
            _ => None,
        };
        kept.into_iter().filter_map(attributes).collect()
    }

    /// The server's process is gone.
    pub(crate) fn crash(&mut self, app_id: &AppId, queue: &mut StoreQueue, rng: &mut Rng) {
        // Drawn at once, so that what comes later does not depend on how many jobs there were.
        let (done, seed) = ([0, 500, 1000][rng.below(3)], rng.below(1 << 31));
        let mut rng = Rng::new(seed as u64);
        // Events are appended in their order: what is missing of them is the end.
        let is_event = |job: &StoreJob| matches!(&job.work, StoreWork::AppendEvents { .. });
        let (mut events, others): (Vec<_>, _) = std::mem::take(&mut queue.under_way).into_iter().partition(is_event);
        let mut is_cut = false;
        for job in &mut events {
            if let StoreWork::AppendEvents { events, .. } = &mut job.work {
                let kept = events.iter().take_while(|_| !is_cut && rng.chance(done)).count();
                is_cut |= kept < events.len();
                events.truncate(kept);
            }
        }
        events.retain(|job| matches!(&job.work, StoreWork::AppendEvents { events, .. } if !events.is_empty()));
        queue.under_way = events;
        self.finish(app_id, queue, || Outcome::IsDone);
        queue.under_way = others;
        self.finish(app_id, queue, || if rng.chance(done) { Outcome::IsDone } else { Outcome::Fails });
        self.end(queue);
    }

    /// The server ends in order: everything that it asked for is done first.
    pub(crate) fn flush(&mut self, app_id: &AppId, queue: &mut StoreQueue) {
        self.finish(app_id, queue, || Outcome::IsDone);
        queue.start();
        self.finish(app_id, queue, || Outcome::IsDone);
        self.end(queue);
    }

    fn end(&mut self, queue: &mut StoreQueue) {
        *queue = StoreQueue::default();
        if !self.is_durable {
            self.backend = Memory::default();
        }
    }

    /// The log of events.
    pub(crate) fn events(&mut self, app_id: &AppId) -> Vec<(Place, LoggedEvent)> {
        let event = |(place, entry)| match entry {
            LogEntry::Event(event) => Some((place, event)),
            LogEntry::Message(_) => None,
        };
        self.entries(app_id, LogKey::Events).into_iter().filter_map(event).collect()
    }

    /// How many messages wait for a user.
    pub(crate) fn stored_for(&mut self, app_id: &AppId, user_id: &UserId) -> usize {
        self.entries(app_id, LogKey::Stored(user_id.clone())).len()
    }

    fn entries(&mut self, app_id: &AppId, log: LogKey) -> Vec<(Place, LogEntry)> {
        let (after, times) = (None, 0..u64::MAX);
        let work = StoreWork::Read { log, after, times, limit: usize::MAX, max_bytes: usize::MAX };
        match self.backend.apply(vec![Task { app_id, work }]).pop() {
            Some(Ok(StoreAnswer::Entries { entries, .. })) => entries,
            _ => Vec::new(),
        }
    }

    /// What a server starts with.
    pub(crate) fn state(&mut self, app_id: &AppId) -> Vec<(StateKey, StateValue)> {
        let all = StateKind::ALL.into_iter().filter_map(|kind| read_state(&mut self.backend, app_id, kind).ok());
        all.flatten().collect()
    }
}

/// The attributes of a channel that a job writes.
fn attributes_in(work: &StoreWork) -> Option<(ChannelId, ChannelAttributes)> {
    match work {
        StoreWork::Put {
            key: StateKey::ChannelAttributes(channel_id),
            value: StateValue::ChannelAttributes(value),
            ..
        } => Some((channel_id.clone(), value.clone())),
        _ => None,
    }
}

/// The message for a user that a job stores.
fn message_in(work: &StoreWork) -> Option<(UserId, StoredMessage)> {
    match work {
        StoreWork::Append { log: LogKey::Stored(to), entry: LogEntry::Message(message), .. } => {
            Some((to.clone(), message.clone()))
        }
        _ => None,
    }
}

impl StoreQueue {
    /// Whether the store has nothing to do for the server.
    pub(crate) fn is_idle(&self) -> bool {
        self.waiting.is_empty() && !self.is_at_work()
    }

    /// Takes jobs. Says whether a batch starts with that.
    pub(crate) fn take(&mut self, jobs: &mut Vec<StoreJob>) -> bool {
        self.waiting.append(jobs);
        self.start()
    }

    /// Starts the next batch, if none is under way and something waits.
    pub(crate) fn start(&mut self) -> bool {
        if self.is_at_work() || self.waiting.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.under_way, &mut self.waiting);
        true
    }

    /// Whether the store is yet to answer a batch.
    fn is_at_work(&self) -> bool {
        !self.under_way.is_empty() || !self.landed.is_empty()
    }

    /// Whether a batch is yet to be done.
    pub(crate) fn is_under_way(&self) -> bool {
        !self.under_way.is_empty()
    }
}
