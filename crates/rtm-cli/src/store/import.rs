//! `rtm store import`: adds records to a store, without duplicates.

use std::{
    collections::{BTreeMap, HashMap, HashSet, btree_map},
    fmt,
    hash::{BuildHasher as _, RandomState},
    io::{BufRead, Read as _},
};

use anyhow::Context as _;
use rtm_codec::{AppId, Revision};
use rtm_server::{
    StoreRecord,
    core::{
        LogEntry, LogKey, StateKey, StateValue, StoreAnswer, StoreWork,
        store::{Backend, StateKind, Task, read_state},
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

/// Adds the records of all lines of a file, in order.
///
/// # Errors
///
/// The file and the number of the first invalid line, or a failure of the store. The lines before it are imported; the error has their count.
pub(super) fn import(store: &mut dyn Backend, file: &str, mut lines: impl BufRead) -> anyhow::Result<Imported> {
    let mut import =
        Import { store, state: BTreeMap::new(), logs: Logs::default(), batch: Vec::new(), done: Imported::default() };
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
        Err(error) => anyhow::bail!("{file}, line {number}: {error:#}; the lines before it: {}", import.done),
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
    store: &'a mut dyn Backend,
    /// The state of the projects that lines have spoken of.
    state: BTreeMap<AppId, BTreeMap<StateKey, StateValue>>,
    logs: Logs,
    /// Records of lines that are not kept yet.
    batch: Vec<StoreRecord>,
    done: Imported,
}

impl Import<'_> {
    /// Adds the records of the batch that the store does not have yet.
    fn keep_batch(&mut self) -> anyhow::Result<()> {
        let batch = std::mem::take(&mut self.batch);
        let mut tasks = Vec::new();
        for record in &batch {
            match record {
                StoreRecord::Entry { app_id, log, entry } => {
                    if !self.logs.add(self.store, app_id, log, entry)? {
                        self.done.duplicates += 1;
                        continue;
                    }
                    let (log, entry) = (log.clone(), entry.clone());
                    // Nothing is dropped here: the server keeps to its limit with the next message.
                    let keep = log.kind().is_limited().then_some(usize::MAX);
                    tasks.push(Task { app_id, work: StoreWork::Append { log, entry, keep } });
                }
                StoreRecord::Value { app_id, key, value } => {
                    let state = match self.state.entry(app_id.clone()) {
                        btree_map::Entry::Occupied(state) => state.into_mut(),
                        btree_map::Entry::Vacant(free) => {
                            let mut all = BTreeMap::new();
                            for kind in StateKind::ALL {
                                all.extend(read_state(self.store, app_id, kind)?);
                            }
                            free.insert(all)
                        }
                    };
                    let revision = state.get(key).map_or(Revision(0), StateValue::revision);
                    match state.get(key) {
                        Some(kept) if kept == value => self.done.duplicates += 1,
                        Some(_) if revision >= value.revision() => self.done.outdated += 1,
                        _ => {
                            state.insert(key.clone(), value.clone());
                            let (key, value) = (key.clone(), value.clone());
                            tasks.push(Task { app_id, work: StoreWork::Put { key, value, expected: Some(revision) } });
                        }
                    }
                }
            }
        }
        if !tasks.is_empty() {
            for answer in self.store.apply(tasks) {
                match answer.with_context(|| format!("the lines before: {}", self.done))? {
                    // A server has written a newer value meanwhile.
                    StoreAnswer::Conflict { .. } => self.done.outdated += 1,
                    _ => self.done.kept += 1,
                }
            }
        }
        Ok(())
    }
}

/// What logs have, for those that lines have spoken of lately.
#[derive(Default)]
struct Logs {
    entries: HashMap<(AppId, LogKey), HashSet<[u64; 2]>>,
    count: usize,
    hashers: [RandomState; 2],
}

impl Logs {
    /// Whether a log does not have an entry yet; from now on it has.
    fn add(&mut self, store: &mut dyn Backend, app_id: &AppId, log: &LogKey, entry: &LogEntry) -> anyhow::Result<bool> {
        let key = (app_id.clone(), log.clone());
        if !self.entries.contains_key(&key) {
            if self.count >= REMEMBERED {
                (self.entries, self.count) = (HashMap::new(), 0);
            }
            let known = self.read(store, app_id, log)?;
            self.count += known.len();
            self.entries.insert(key.clone(), known);
        }
        let digest = self.digest(entry)?;
        let is_new = self.entries.entry(key).or_default().insert(digest);
        self.count += usize::from(is_new);
        Ok(is_new)
    }

    fn read(&self, store: &mut dyn Backend, app_id: &AppId, log: &LogKey) -> anyhow::Result<HashSet<[u64; 2]>> {
        let mut known = HashSet::new();
        let mut after = None;
        loop {
            let (log, times) = (log.clone(), 0..u64::MAX);
            let work = StoreWork::Read { log, after, times, limit: PAGE, max_bytes: PAGE_BYTES };
            match store.apply(vec![Task { app_id, work }]).pop() {
                Some(Ok(StoreAnswer::Entries { entries, more, .. })) => {
                    after = entries.last().map(|(place, _)| *place);
                    for (_, entry) in entries {
                        known.insert(self.digest(&entry)?);
                    }
                    if !more || after.is_none() {
                        return Ok(known);
                    }
                }
                Some(Err(error)) => return Err(error.into()),
                other => anyhow::bail!("the store answered {other:?}"),
            }
        }
    }

    /// So long that no two entries of a store have the same.
    fn digest(&self, entry: &LogEntry) -> anyhow::Result<[u64; 2]> {
        let record = entry.encode()?;
        Ok(self.hashers.each_ref().map(|hasher| hasher.hash_one(&record)))
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
/// How many entries and bytes of a log are read at once.
const PAGE: usize = 1024;
const PAGE_BYTES: usize = 4 * 1024 * 1024;
/// How many entries of logs are remembered before another log is read.
const REMEMBERED: usize = 4 * 1024 * 1024;
/// Longer than the longest line of export: 32 KiB, each byte of it escaped, and as much again.
const LINE_BYTES: u64 = 512 * 1024;
