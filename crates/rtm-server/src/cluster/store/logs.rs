//! What the store does to logs.

use std::{
    collections::HashMap,
    hash::{BuildHasher as _, RandomState},
    ops::Range,
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_codec::AppId;
use rtm_core::store::{LogEntry, LogKey, LogKind, Page, Place, StoreAnswer, record::RecordError};
use tokio::time::Instant;

use super::{
    Failure, NatsStore,
    in_order::in_order,
    jetstream::{Fault, Start, WriteId},
    scan::{IN_FLIGHT, Scan},
};
use crate::project::now;

/// Which entries of a log are read.
pub(super) struct Span {
    pub(super) after: Option<Place>,
    pub(super) times: Range<u64>,
    pub(super) limit: usize,
    pub(super) max_bytes: usize,
}

impl NatsStore {
    /// Appends entries to a log, in order, and answers each.
    pub(super) async fn append(
        &self,
        app_id: &AppId,
        log: &LogKey,
        entries: Vec<(LogEntry, Option<usize>)>,
        until: Instant,
    ) -> Vec<Result<StoreAnswer, Failure>> {
        let (stream, subject) = (self.subjects.log_stream(log.kind()), self.subjects.log(app_id, log));
        let records = entries.iter().map(|(entry, _)| Ok((self.jetstream.write_id(), Bytes::from(entry.encode()?))));
        let records: Vec<Result<(WriteId, Bytes), RecordError>> = records.collect();
        let attempt = |record: Result<(WriteId, Bytes), RecordError>| async {
            let (write, record) = record?;
            Ok(self.jetstream.try_to_publish(&subject, write, record, until).await?)
        };
        let persist = |record: Result<(WriteId, Bytes), RecordError>| async {
            let (write, record) = record?;
            Ok(self.jetstream.publish(&subject, write, record, until).await?)
        };
        let connection = || self.jetstream.connection();
        let kept = in_order(&records, (&self.steady, log.kind()), connection, attempt, persist).await;
        let seqs = kept.iter().filter_map(|seq| seq.as_ref().ok());
        seqs.clone().for_each(|seq| self.places.remember(*seq, &subject));
        let is_late = |entry: &LogEntry| entry.time().saturating_add(late_after(log.kind())) < now().unix_ms;
        if let Some(last) = seqs.max()
            && entries.iter().any(|(entry, _)| is_late(entry))
            && let Err(failure) = self.tell_late(app_id, log.kind(), *last, until).await
        {
            return entries.iter().map(|_| Err(failure.clone())).collect();
        }
        let mut answers = Vec::with_capacity(kept.len());
        for (seq, (_, keep)) in kept.into_iter().zip(entries) {
            answers.push(match (seq, keep) {
                (Ok(seq), None | Some(usize::MAX)) => Ok(StoreAnswer::Appended { place: Place(seq), dropped: 0 }),
                (Ok(seq), Some(keep)) => {
                    // It is stored, also if nothing could be dropped for it: the next one drops more.
                    let dropped = self.trim(stream, &subject, keep.max(1), until).await.unwrap_or_else(|fault| {
                        tracing::warn!(subject, "the oldest stored messages could not be dropped: {fault}");
                        0
                    });
                    Ok(StoreAnswer::Appended { place: Place(seq), dropped })
                }
                (Err(failure), _) => Err(failure),
            });
        }
        answers
    }

    /// Drops the oldest messages of a subject beyond so many. Who does so at the same time drops the same ones.
    async fn trim(&self, stream: &str, subject: &str, keep: usize, until: Instant) -> Result<usize, Fault> {
        let keep = keep as u64;
        let over = self.jetstream.count(stream, subject, until).await?.saturating_sub(keep);
        if over == 0 {
            return Ok(0);
        }
        let mut oldest = Vec::new();
        let mut start = Start::At(1);
        while (oldest.len() as u64) < over
            && let Some(found) = self.jetstream.next(stream, subject, start, until).await?
        {
            oldest.push(found.seq);
            start = Start::At(found.seq + 1);
        }
        // Counted again now: what somebody else dropped before is not among the oldest, and what they drop later is.
        let over = self.jetstream.count(stream, subject, until).await?.saturating_sub(keep);
        oldest.truncate(usize::try_from(over).unwrap_or(usize::MAX));
        self.delete_all(stream, oldest, until).await
    }

    pub(super) async fn read(
        &self,
        app_id: &AppId,
        log: &LogKey,
        span: Span,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let Span { after, times, limit, max_bytes } = span;
        let mut page = Page::new(limit, max_bytes);
        let kind = log.kind();
        let (stream, subject) = (self.subjects.log_stream(kind), self.subjects.log(app_id, log));
        let last = self.jetstream.last(stream, &subject, until).await?;
        let start = after.map_or(1, |after| after.0.saturating_add(1));
        let Some(last) = last.filter(|last| last.seq >= start && !times.is_empty()) else {
            let dropped_to = self.dropped_to(app_id, kind, until).await?;
            return Ok(StoreAnswer::Entries { entries: Vec::new(), more: false, dropped_to });
        };
        let (start, mut end) = if kind.is_by_time() {
            let late = self.last_late(app_id, kind, until).await?;
            let from = times.start.saturating_sub(CLOCKS_DIFFER.as_millis() as u64);
            (self.start_of_times(stream, &subject, start, from, until).await?, Some((late, times.end)))
        } else {
            (Start::At(start), None)
        };
        // Where the times end is of no use if they have no end.
        end = end.filter(|(_, times_end)| *times_end < u64::MAX);
        let mut scan = Scan::new(&self.jetstream, stream, &subject, start, last.seq, until);
        // One more says whether more follows.
        scan = scan.expect(limit.saturating_add(1));
        if kind == LogKind::Stored {
            scan = scan.skip_removed();
        }
        while let Some(found) = scan.next().await? {
            if end.is_some_and(|(late, times_end)| found.seq > late && found.stored_ms > stored_by(kind, times_end)) {
                break;
            }
            let entry = match LogEntry::decode(kind, &found.payload) {
                Ok(entry) => entry,
                Err(fault) => {
                    self.damage.tell(&found, fault);
                    continue;
                }
            };
            let bytes = entry.bytes();
            if !times.contains(&entry.time()) {
                continue;
            }
            if kind != LogKind::Events {
                self.places.remember(found.seq, &subject);
            }
            if !page.push((Place(found.seq), entry), bytes) {
                break;
            }
        }
        let dropped_to = self.dropped_to(app_id, kind, until).await?;
        Ok(StoreAnswer::Entries { entries: page.items, more: page.more, dropped_to })
    }

    /// Where the messages of a time begin, not before a sequence.
    async fn start_of_times(
        &self,
        stream: &str,
        subject: &str,
        start: u64,
        from_ms: u64,
        until: Instant,
    ) -> Result<Start, Failure> {
        if from_ms == 0 {
            return Ok(Start::At(start));
        }
        if start == 1 {
            return Ok(Start::Time(from_ms));
        }
        let first = self.jetstream.next(stream, subject, Start::Time(from_ms), until).await?;
        Ok(Start::At(first.map_or(start, |first| start.max(first.seq))))
    }

    pub(super) async fn remove(
        &self,
        app_id: &AppId,
        log: &LogKey,
        places: Vec<Place>,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let (stream, subject) = (self.subjects.log_stream(log.kind()), self.subjects.log(app_id, log));
        let removed = stream::iter(places).map(|Place(seq)| self.remove_one(stream, &subject, seq, until));
        removed.buffer_unordered(IN_FLIGHT).try_collect::<()>().await?;
        Ok(StoreAnswer::Done)
    }

    async fn remove_one(&self, stream: &str, subject: &str, seq: u64, until: Instant) -> Result<(), Failure> {
        let is_there = self.places.knows(seq, subject)
            || self.jetstream.at(stream, seq, until).await?.is_some_and(|found| found.subject == subject);
        if is_there {
            self.jetstream.delete(stream, seq, until).await?;
        }
        Ok(())
    }

    /// Removes what is too old of all logs of a kind.
    pub(super) async fn expire(&self, app_id: &AppId, kind: LogKind, before: u64) -> Result<StoreAnswer, Failure> {
        let until = Instant::now() + EXPIRY;
        let (stream, filter) = (self.subjects.log_stream(kind), self.subjects.logs_of(app_id, kind));
        let Some(last) = self.jetstream.last(stream, &filter, until).await? else { return Ok(StoreAnswer::Done) };
        let late = self.last_late(app_id, kind, until).await?;
        let mut scan = Scan::new(&self.jetstream, stream, &filter, Start::At(1), last.seq, until);
        let mut old = Vec::new();
        while let Some(found) = scan.next().await? {
            if found.seq > late && found.stored_ms > stored_by(kind, before) {
                break;
            }
            if LogEntry::decode(kind, &found.payload).is_ok_and(|entry| entry.time() < before) {
                old.push(found.seq);
            }
            if old.len() >= EXPIRED_AT_ONCE {
                self.delete_all(stream, std::mem::take(&mut old), until).await?;
            }
        }
        self.delete_all(stream, old, until).await?;
        Ok(StoreAnswer::Done)
    }

    /// Removes messages. Says how many of them were there.
    pub(super) async fn delete_all(&self, stream: &str, seqs: Vec<u64>, until: Instant) -> Result<usize, Fault> {
        let deleted = stream::iter(seqs).map(|seq| self.jetstream.delete(stream, seq, until));
        deleted.buffer_unordered(IN_FLIGHT).try_fold(0, async |sum, is_gone| Ok(sum + usize::from(is_gone))).await
    }
}

/// Which subjects sequences are of, as far as it is known: that never changes, whoever reads and writes there.
#[derive(Debug, Default)]
pub(super) struct Places {
    hasher: RandomState,
    subjects: Mutex<HashMap<u64, u64>>,
}

impl Places {
    fn remember(&self, seq: u64, subject: &str) {
        let hash = self.hasher.hash_one(subject);
        let mut subjects = self.lock();
        if subjects.len() >= REMEMBERED {
            subjects.clear();
        }
        subjects.insert(seq, hash);
    }

    /// Whether a sequence is known to be of a subject.
    fn knows(&self, seq: u64, subject: &str) -> bool {
        self.lock().get(&seq) == Some(&self.hasher.hash_one(subject))
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, u64>> {
        self.subjects.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// An entry that is stored so long after its time, in milliseconds, is late: it is read for as if it were of any time.
pub(super) fn late_after(kind: LogKind) -> u64 {
    let after = match kind {
        // A message is stored when its receiver has not come back.
        LogKind::Stored => Duration::from_secs(60 * 60),
        LogKind::History => CLOCKS_DIFFER,
        // They are read by their places alone.
        LogKind::Events => Duration::MAX,
    };
    u64::try_from(after.as_millis()).unwrap_or(u64::MAX)
}

/// When entries of a time that are not late are stored at the latest, by the clock of NATS.
pub(super) fn stored_by(kind: LogKind, time: u64) -> u64 {
    time.saturating_add(late_after(kind)).saturating_add(CLOCKS_DIFFER.as_millis() as u64)
}

/// The clocks of nodes and of NATS servers differ by less.
pub(super) const CLOCKS_DIFFER: Duration = Duration::from_secs(60);
/// How long the removal of what is too old may take. What is left then goes with the next one.
pub(super) const EXPIRY: Duration = Duration::from_secs(60);
pub(super) const EXPIRED_AT_ONCE: usize = 1024;
/// How many sequences are remembered with their subjects.
const REMEMBERED: usize = 64 * 1024;
