//! All events of the file one after the other, for those who check it or take it elsewhere.

use std::{
    cmp::Ordering,
    collections::{BTreeMap, BTreeSet},
    ops::ControlFlow,
};

use ::redb::{ReadOnlyTable, ReadTransaction, ReadableTable, ReadableTableMetadata};
use rtm_codec::AppId;
use rtm_core::store::{LogEntry, LogKey, LogKind, record::RecordError};

use super::{
    DamagedRecord, Fault, StoreRecord,
    check::NOT_FOUND_BY_AGE,
    damage::guard,
    events::{HEADS, Head, RUNS, STRAGGLERS, damaged},
    records::{gap, missing},
    run::{Header, Run},
    tables::{META, META_LAST_PLACE},
    walk::{Walked, readable_end, walk},
};

type RunTable = ReadOnlyTable<(&'static str, u64), &'static [u8]>;

/// Shows `visit` all events, and what of them cannot be read.
pub(super) fn event_records(
    transaction: &ReadTransaction,
    visit: &mut impl FnMut(Result<StoreRecord, DamagedRecord>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    raw_runs(transaction, &mut |found| {
        let (app, last, record) = match found {
            Ok(found) => found,
            Err(damaged) => return visit(Err(damaged)),
        };
        let run = match Run::decode(last, &record) {
            Ok(run) => run,
            Err(error) => return visit(Err(damaged(&app, last, error.to_string()))),
        };
        run.events().iter().try_for_each(|event| {
            let record = || {
                let app_id = AppId::new(&*app).map_err(|_| RecordError::Damaged)?;
                let entry = LogEntry::Event(run.event(event)?);
                Ok(StoreRecord::Entry { app_id, log: LogKey::Events, entry })
            };
            visit(record().map_err(|error: RecordError| damaged(&app, event.place, error.to_string())))
        })
    })
}

/// Checks that what is known of each log is true of its runs.
pub(super) fn check_events(transaction: &ReadTransaction, visit: &mut impl FnMut(DamagedRecord)) -> Result<(), Fault> {
    let runs = transaction.open_table(RUNS)?;
    let heads = transaction.open_table(HEADS)?;
    let stragglers = transaction.open_table(STRAGGLERS)?;
    let mut is_whole = true;
    let mut found: BTreeMap<String, Head> = BTreeMap::new();
    let _ = raw_runs(transaction, &mut |run| {
        // What cannot be read is shown with the records.
        let Ok((app, last, record)) = run else {
            is_whole = false;
            return ControlFlow::Continue(());
        };
        let seen = found.entry(app.clone()).or_default();
        let (count, bytes) = Header::weight(&record);
        seen.count += count;
        seen.bytes += bytes;
        if let Ok(Header { oldest, newest, .. }) = Header::read(&record) {
            let has_age = || guard(|| Ok(stragglers.get((app.as_str(), oldest, last))?.is_some()));
            if oldest < seen.newest && !matches!(has_age(), Ok(true)) {
                visit(damaged(&app, last, NOT_FOUND_BY_AGE));
            }
            seen.newest = newest.max(seen.newest);
        }
        ControlFlow::Continue(())
    });
    for straggler in stragglers.iter()? {
        let straggler = straggler?.0;
        let (app, _, last) = straggler.value();
        let is_there = guard(|| Ok(runs.get((app, last))?.is_some()));
        // What cannot be read is shown with the records.
        if matches!(is_there, Ok(false)) {
            visit(damaged(app, last, "it has an age, and is not there"));
        }
    }
    if !is_whole {
        return Ok(());
    }
    let mut see = |what: &str, app: &str, counted: u64, found: u64, unit: &str| {
        if counted != found {
            visit(DamagedRecord::new(
                format!("{what}{} {app}", LogKind::Events.name()),
                format!("{counted} {unit} are counted, and {found} are there"),
            ));
        }
    };
    for head in heads.iter()? {
        let (app, head) = head?;
        let (app, head) = (app.value().to_owned(), Head::from(head.value()));
        let seen = found.remove(&app).unwrap_or_default();
        see("", &app, head.count, seen.count, "entries");
        see("bytes of ", &app, head.bytes, seen.bytes, "bytes");
        if seen.newest > head.newest {
            see("times of ", &app, head.newest, seen.newest, "milliseconds");
        }
    }
    for (app, seen) in found {
        see("", &app, 0, seen.count, "entries");
    }
    Ok(())
}

/// Shows `see` the project, the last place and the record of each run. Where runs cannot be read, those before, between and behind
/// them are shown all the same.
fn raw_runs(
    transaction: &ReadTransaction,
    see: &mut impl FnMut(Result<(String, u64, Vec<u8>), DamagedRecord>) -> ControlFlow<()>,
) -> ControlFlow<()> {
    let name = LogKind::Events.name();
    let open = || {
        let table = transaction.open_table(RUNS)?;
        let len = table.len()?;
        Ok((table, len))
    };
    let (table, len) = match guard(open) {
        Ok(opened) => opened,
        Err(fault) => return see(Err(DamagedRecord::new(name, fault.to_string()))),
    };
    let last_place = || Ok(transaction.open_table(META)?.get(META_LAST_PLACE)?.map(|last| last.value()));
    let last_place = guard(last_place).ok().flatten().unwrap_or(u64::MAX);
    let (mut found, mut is_broken) = (0, false);
    for app in apps(transaction, &table) {
        let mut log = Log { table: &table, app: &app, last_place, read_to: None, fault: None, finest: None };
        log.span(0, u64::MAX, &mut |run| {
            match run {
                Ok(_) => found += 1,
                Err(_) => is_broken = true,
            }
            see(run)
        })?;
        if let Some(fault) = log.fault.take() {
            is_broken = true;
            see(Err(log.gap(None, &fault)))?;
        }
    }
    if found < len && !is_broken {
        return see(Err(missing(name, len, found)));
    }
    ControlFlow::Continue(())
}

/// The projects that have events, as far as that can be read.
fn apps(transaction: &ReadTransaction, table: &RunTable) -> BTreeSet<String> {
    let mut apps = BTreeSet::new();
    let mut see = |app, ()| {
        apps.insert(app);
        ControlFlow::Continue(())
    };
    let own = |app: &str, _: (u64, u64, u64, u64)| (app.to_owned(), ());
    if let Ok(heads) = guard(|| Ok(transaction.open_table(HEADS)?))
        && let Ok(all) = guard(|| Ok(heads.iter()?))
        && let Walked::Broken { .. } = walk(all, Ordering::Less, own, &mut see)
        && let Ok(all) = guard(|| Ok(heads.iter()?))
    {
        walk(all.rev(), Ordering::Greater, own, &mut see);
    }
    // And those whose heads are gone.
    let mut before = String::new();
    let next = |before: &str| {
        let next = table.range((before, u64::MAX)..)?.next().transpose()?;
        Ok(next.map(|(key, _)| key.value().0.to_owned()))
    };
    while let Ok(Some(app)) = guard(|| next(&before)) {
        if app <= before {
            break;
        }
        before.clone_from(&app);
        apps.insert(app);
    }
    apps
}

/// A log that is read as far as that is possible.
struct Log<'a> {
    table: &'a RunTable,
    app: &'a str,
    /// The last place that was given in any log.
    last_place: u64,
    /// The last place that was read.
    read_to: Option<u64>,
    /// Why what follows it cannot be read.
    fault: Option<String>,
    /// A span of so many places is not searched any further.
    finest: Option<u64>,
}

impl Log<'_> {
    /// Shows `see` the runs that end in these places: from the front, from the end, and then in the halves of what is between.
    fn span(
        &mut self,
        first: u64,
        last: u64,
        see: &mut impl FnMut(Result<(String, u64, Vec<u8>), DamagedRecord>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        let (table, app) = (self.table, self.app);
        let open = |first: u64| Ok(table.range((app, first)..=(app, last))?);
        let mut first = first;
        match guard(|| open(first)) {
            Ok(runs) => match walk(runs, Ordering::Less, own_run, |last, record| self.run(last, record, see)) {
                Walked::Whole => return ControlFlow::Continue(()),
                Walked::Stopped => return ControlFlow::Break(()),
                Walked::Broken { last, fault } => {
                    first = last.map_or(first, |last| last.saturating_add(1));
                    self.fault = Some(fault);
                }
            },
            Err(fault) => self.fault = Some(fault.to_string()),
        }
        let end = guard(|| open(first)).ok().and_then(|runs| readable_end(runs.rev(), own_run));
        let between = end.map_or_else(|| last.min(self.last_place.max(first)), |end| end.saturating_sub(1));
        let places = between.saturating_sub(first);
        let finest = *self.finest.get_or_insert(places / MOST_PARTS);
        if places > finest {
            let half = first + places / 2;
            self.span(first, half, see)?;
            self.span(half + 1, between, see)?;
        }
        let Some(end) = end else { return ControlFlow::Continue(()) };
        match guard(|| open(end)) {
            Ok(runs) => match walk(runs, Ordering::Less, own_run, |last, record| self.run(last, record, see)) {
                Walked::Stopped => ControlFlow::Break(()),
                Walked::Whole | Walked::Broken { .. } => ControlFlow::Continue(()),
            },
            Err(_) => ControlFlow::Continue(()),
        }
    }

    fn run(
        &mut self,
        last: u64,
        record: Vec<u8>,
        see: &mut impl FnMut(Result<(String, u64, Vec<u8>), DamagedRecord>) -> ControlFlow<()>,
    ) -> ControlFlow<()> {
        if let Some(fault) = self.fault.take() {
            let first = Run::decode(last, &record).ok().and_then(|run| Some(run.events().first()?.place));
            see(Err(self.gap(Some(first.unwrap_or(last)), &fault)))?;
        }
        self.read_to = Some(last);
        see(Ok((self.app.to_owned(), last, record)))
    }

    /// What lies between the last run that was read and this place.
    fn gap(&self, before: Option<u64>, fault: &str) -> DamagedRecord {
        let name = |place: u64| format!("{} {:?} {place}", self.app, LogKey::Events.to_text());
        gap(LogKind::Events.name(), self.read_to.map(name).as_deref(), before.map(name).as_deref(), fault)
    }
}

fn own_run((_, last): (&str, u64), record: &[u8]) -> (u64, Vec<u8>) {
    (last, record.to_vec())
}

/// How many parts of what cannot be read are looked at. What can be read between two pages that cannot is found if it has more
/// places than one of these.
const MOST_PARTS: u64 = 256;
