//! Reads the messages of a filter in order, quickly and up to date: most of them from any server, in batches, and what that one
//! does not have yet from the leader.

use std::collections::VecDeque;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use tokio::time::Instant;

use super::jetstream::{Fault, Found, JetStream, Start};

/// A reading under way.
#[derive(Debug)]
pub(crate) struct Scan<'a> {
    jetstream: &'a JetStream,
    stream: &'a str,
    filter: &'a str,
    start: Start,
    /// The last sequence that is read.
    last: u64,
    until: Instant,
    /// Messages that are gone at the leader are left out, whatever other servers still have.
    skips_removed: bool,
    batch: usize,
    read: VecDeque<Found>,
    /// So many more come from the leader.
    from_leader: u32,
}

impl<'a> Scan<'a> {
    /// Reads from `start` up to the sequence `last`, which the leader has told.
    pub(crate) fn new(
        jetstream: &'a JetStream,
        stream: &'a str,
        filter: &'a str,
        start: Start,
        last: u64,
        until: Instant,
    ) -> Self {
        Self {
            jetstream,
            stream,
            filter,
            start,
            last,
            until,
            skips_removed: false,
            batch: MAX_BATCH,
            read: VecDeque::new(),
            from_leader: 0,
        }
    }

    /// Leaves out what is gone at the leader.
    pub(crate) fn skip_removed(mut self) -> Self {
        self.skips_removed = true;
        self
    }

    /// Expects to be asked for so many messages.
    pub(crate) fn expect(mut self, messages: usize) -> Self {
        self.batch = messages.clamp(1, MAX_BATCH);
        self
    }

    /// The next message, `None` after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Found>, Fault> {
        loop {
            if let Some(found) = self.read.pop_front() {
                return Ok(Some(found));
            }
            if matches!(self.start, Start::At(seq) if seq > self.last) {
                return Ok(None);
            }
            if !self.fill().await? {
                return Ok(None);
            }
        }
    }

    /// Reads on. `false` at the end.
    async fn fill(&mut self) -> Result<bool, Fault> {
        let Self { jetstream, stream, filter, start, until, .. } = *self;
        if self.from_leader == 0 {
            let mut found = jetstream.some(stream, filter, start, self.batch, until).await?;
            if let Some(end) = found.last().map(|found| found.seq) {
                self.start = Start::At(end.saturating_add(1));
                found.retain(|found| found.seq <= self.last);
                if self.skips_removed {
                    found = self.left_at_leader(found).await?;
                }
                self.read.extend(found);
                return Ok(true);
            }
            self.from_leader = FROM_LEADER;
        }
        self.from_leader -= 1;
        match jetstream.next(stream, filter, start, until).await? {
            Some(found) if found.seq <= self.last => {
                self.start = Start::At(found.seq.saturating_add(1));
                self.read.push_back(found);
                Ok(true)
            }
            _ => Ok(false),
        }
    }

    async fn left_at_leader(&self, found: Vec<Found>) -> Result<Vec<Found>, Fault> {
        let asked = stream::iter(found).map(|found| async {
            let is_there = self.jetstream.at(self.stream, found.seq, self.until).await?.is_some();
            Ok::<_, Fault>(is_there.then_some(found))
        });
        let left = asked.buffered(IN_FLIGHT).try_collect::<Vec<_>>().await?;
        Ok(left.into_iter().flatten().collect())
    }
}

/// How many messages a server is asked for at once.
const MAX_BATCH: usize = 256;
/// How many messages come from the leader before another server is asked again.
const FROM_LEADER: u32 = 32;
/// How many requests of one task are under way at once.
pub(crate) const IN_FLIGHT: usize = 64;
