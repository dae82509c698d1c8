//! The durable store: one batch at a time, in order, and what a crash leaves of it.

use rtm_codec::{AppId, ChannelAttributes, ChannelId};
use rtm_core::{
    StoreDone, StoreFailed, StoreJob,
    store::{Backend, Memory, Task},
};

use crate::rng::Rng;

/// A store that does what has gathered in one batch, as the server's does.
///
/// A batch counts as a whole: a crash while it is under way leaves all of it or nothing. What waited behind it is lost.
#[derive(Debug)]
pub(crate) struct Store {
    backend: Memory,
    is_durable: bool,
    waiting: Vec<StoreJob>,
    under_way: Vec<StoreJob>,
}

impl Store {
    pub(crate) fn new(is_durable: bool) -> Self {
        Self { backend: Memory::default(), is_durable, waiting: Vec::new(), under_way: Vec::new() }
    }

    /// Whether it outlives the server's process.
    pub(crate) fn is_durable(&self) -> bool {
        self.is_durable
    }

    /// Takes jobs. Says whether a batch starts with that.
    pub(crate) fn take(&mut self, jobs: &mut Vec<StoreJob>) -> bool {
        self.waiting.append(jobs);
        self.start()
    }

    /// Starts the next batch, if none is under way and something waits.
    pub(crate) fn start(&mut self) -> bool {
        if !self.under_way.is_empty() || self.waiting.is_empty() {
            return false;
        }
        std::mem::swap(&mut self.under_way, &mut self.waiting);
        true
    }

    /// The batch is done, or failed.
    pub(crate) fn finish(&mut self, app_id: &AppId, fails: bool) -> Vec<StoreDone> {
        let batch = std::mem::take(&mut self.under_way);
        let ids: Vec<_> = batch.iter().map(|job| job.id).collect();
        let answers = if fails {
            None
        } else {
            self.backend.apply(batch.into_iter().map(|job| Task { app_id, work: job.work }).collect()).ok()
        };
        match answers {
            Some(answers) => {
                ids.into_iter().zip(answers).map(|(id, answer)| StoreDone { id, result: Ok(answer) }).collect()
            }
            None => ids.into_iter().map(|id| StoreDone { id, result: Err(StoreFailed) }).collect(),
        }
    }

    /// The server's process is gone.
    pub(crate) fn crash(&mut self, app_id: &AppId, rng: &mut Rng) {
        if rng.chance(500) {
            self.finish(app_id, false);
        }
        self.end();
    }

    /// The server ends in order: everything that it asked for is done first.
    pub(crate) fn flush(&mut self, app_id: &AppId) {
        self.finish(app_id, false);
        self.start();
        self.finish(app_id, false);
        self.end();
    }

    fn end(&mut self) {
        self.waiting.clear();
        self.under_way.clear();
        if !self.is_durable {
            self.backend = Memory::default();
        }
    }

    /// What a server starts with.
    pub(crate) fn channel_attributes(&mut self, app_id: &AppId) -> Vec<(ChannelId, ChannelAttributes)> {
        self.backend.channel_attributes(app_id).unwrap_or_default()
    }
}
