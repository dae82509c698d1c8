//! `rtm store import`: adds records to a store, without duplicates.

use std::{
    collections::BTreeMap,
    fmt,
    io::{BufRead, Read as _},
};

use anyhow::Context as _;
use rtm_codec::AppId;
use rtm_server::{
    Redb, StoreRecord,
    core::{
        LogEntry, LogKey, StateKey, StateValue, StoreAnswer, StoreWork,
        store::{Backend as _, StateKind, Task, read_state},
    },
};

use super::line::Line;

/// How many records an import added or skipped.
#[derive(Debug, Default)]
pub(super) struct Imported {
    kept: usize,
    /// Already in the store.
    duplicates: usize,
    /// The store has a newer value, or another one of the same revision.
    outdated: usize,
}

/// Adds the records of all lines, in order.
///
/// # Errors
///
/// The number of the first invalid line, or a failure of the store. The lines before it are imported; the error has their count.
pub(super) fn import(store: &mut Redb, mut lines: impl BufRead) -> anyhow::Result<Imported> {
    let mut import = Import { store, state: BTreeMap::new(), batch: Vec::new(), done: Imported::default() };
    let mut number = 0_u64;
    let read = loop {
        number += 1;
        let record = match next_line(&mut lines) {
            Ok(None) => break Ok(()),
            Ok(Some(line)) if line.trim_ascii().is_empty() => continue,
            Ok(Some(line)) => Line::read(&line),
            Err(error) => Err(error),
        };
        match record {
            Ok(record) => import.batch.push(record),
            Err(error) => break Err(error),
        }
        if import.batch.len() >= BATCH {
            import.keep_batch()?;
        }
    };
    import.keep_batch()?;
    match read {
        Ok(()) => Ok(import.done),
        Err(error) => anyhow::bail!("line {number}: {error:#}; the lines before it: {}", import.done),
    }
}

/// The next line, `None` at the end.
fn next_line(lines: &mut impl BufRead) -> anyhow::Result<Option<Vec<u8>>> {
    let mut line = Vec::new();
    lines.by_ref().take(LINE_BYTES).read_until(b'\n', &mut line).context("the line cannot be read")?;
    anyhow::ensure!((line.len() as u64) < LINE_BYTES, "the line is longer than any record");
    Ok((!line.is_empty()).then_some(line))
}

struct Import<'a> {
    store: &'a mut Redb,
    /// The state of the projects that lines have spoken of.
    state: BTreeMap<AppId, BTreeMap<StateKey, StateValue>>,
    /// Records of lines that are not kept yet.
    batch: Vec<StoreRecord>,
    done: Imported,
}

impl Import<'_> {
    /// Adds the records of the batch that the store does not have yet.
    fn keep_batch(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let mut there = self.same_times(&batch)?.into_iter();
        let mut tasks = Vec::new();
        let mut fresh: Vec<(&AppId, &LogKey, &LogEntry)> = Vec::new();
        for record in &batch {
            match record {
                StoreRecord::Entry { app_id, log, entry } => {
                    let is_there = there.next().is_some_and(|entries| entries.contains(entry));
                    if is_there || fresh.contains(&(app_id, log, entry)) {
                        self.done.duplicates += 1;
                        continue;
                    }
                    fresh.push((app_id, log, entry));
                    let (log, entry) = (log.clone(), entry.clone());
                    // Nothing is dropped here: the server keeps to its limit with the next message.
                    let keep = log.kind().is_limited().then_some(usize::MAX);
                    tasks.push(Task { app_id, work: StoreWork::Append { log, entry, keep } });
                }
                StoreRecord::Value { app_id, key, value } => {
                    let state = self.state.entry(app_id.clone());
                    let state = match state {
                        std::collections::btree_map::Entry::Occupied(state) => state.into_mut(),
                        std::collections::btree_map::Entry::Vacant(free) => {
                            let mut all = BTreeMap::new();
                            for kind in StateKind::ALL {
                                all.extend(read_state(self.store, app_id, kind)?);
                            }
                            free.insert(all)
                        }
                    };
                    match state.get(key) {
                        Some(kept) if kept == value => self.done.duplicates += 1,
                        Some(kept) if kept.revision() >= value.revision() => self.done.outdated += 1,
                        _ => {
                            state.insert(key.clone(), value.clone());
                            let (key, value) = (key.clone(), value.clone());
                            tasks.push(Task { app_id, work: StoreWork::Put { key, value, expected: None } });
                        }
                    }
                }
            }
        }
        if !tasks.is_empty() {
            for answer in self.store.apply(tasks) {
                answer.with_context(|| format!("the lines before: {}", self.done))?;
                self.done.kept += 1;
            }
        }
        Ok(())
    }

    /// For each entry of the batch, what its log has of the same time.
    fn same_times(&mut self, batch: &[StoreRecord]) -> anyhow::Result<Vec<Vec<LogEntry>>> {
        let reads = batch.iter().filter_map(|record| match record {
            StoreRecord::Entry { app_id, log, entry } => {
                let (log, time) = (log.clone(), entry.time());
                let times = time..time.saturating_add(1);
                let work = StoreWork::Read { log, after: None, times, limit: usize::MAX, max_bytes: usize::MAX };
                Some(Task { app_id, work })
            }
            StoreRecord::Value { .. } => None,
        });
        let answers = self.store.apply(reads.collect()).into_iter().map(|answer| match answer? {
            StoreAnswer::Entries { entries, .. } => Ok(entries.into_iter().map(|(_, entry)| entry).collect()),
            other => anyhow::bail!("the store answered {other:?}"),
        });
        answers.collect()
    }
}

impl fmt::Display for Imported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { kept, duplicates, outdated } = self;
        write!(f, "{kept} imported, {duplicates} already in the store")?;
        if *outdated > 0 {
            write!(f, ", {outdated} not newer than the store's")?;
        }
        Ok(())
    }
}

/// How many records are kept at once.
const BATCH: usize = 256;
/// Longer than the longest line of export: 32 KiB, each byte of it escaped, and as much again.
const LINE_BYTES: u64 = 512 * 1024;
