//! A backend that keeps everything in one file.

mod check;
mod damage;
mod event_records;
mod events;
mod format;
mod left_open;
mod logs;
mod old_events;
mod records;
mod run;
mod tables;
mod walk;

use std::{
    fs::{self, TryLockError},
    io::{self, Read as _},
    ops::ControlFlow,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ::redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTableMetadata, StorageError};
use rtm_core::store::{
    Backend, BackendError, BackendKind, BackendStats, LogKind, Page, StateKey, StateKind, StateValue, StoreAnswer,
    StoreWork, Task, record::RecordError,
};
use tracing::{info, warn};

use self::{
    damage::{Damage, guard},
    records::raw_values,
    tables::{Tables, decode_value, log_table, state_table},
};

pub use self::records::{DamagedRecord, StoreRecord};

/// Stores everything in the file `rtm.redb` of a directory. A finished task is on the disk: it survives a crash of the process at
/// any moment, and one of the machine if the disk keeps what it confirmed.
///
/// Only one process can have the file open. Opening a file of an older version converts it to this version's format, completely or
/// not at all.
///
/// Damage affects only the damaged part. A record that makes no sense is skipped. Tasks on a log or key with a damaged
/// page fail until the store is opened again. The log has one ERROR for each, and [`BackendStats::damaged`] counts them. Only
/// [`check`](Self::check) finds damage that can still be read.
#[derive(Debug)]
pub struct Redb {
    path: PathBuf,
    /// `None` after an error: the next batch opens the file again, since a database that once failed to
    /// write refuses everything from then on.
    database: Option<Database>,
    /// Whether the log says that the file is repaired: that has several steps, and each error may lead to another one.
    tells_repair: Arc<AtomicBool>,
    damage: Arc<Damage>,
    /// The file, where it is a copy.
    _copy: Option<TemporaryFile>,
}

/// A file that is removed when this is dropped.
#[derive(Debug)]
struct TemporaryFile(PathBuf);

impl Drop for TemporaryFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            warn!("{} cannot be removed: {error}", self.0.display());
        }
    }
}

impl Redb {
    /// Opens the store in `directory`, both created if they are not there. After a crash this also repairs.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the file cannot be opened, is not such a store, was written by a later version, or is in
    /// use.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, BackendError> {
        let directory = directory.as_ref();
        let fault = |error: io::Error| BackendError::new(format!("create {}", directory.display()), error);
        if directory.exists() && !directory.is_dir() {
            return Err(fault(io::Error::new(io::ErrorKind::NotADirectory, "it is there, and is not a directory")));
        }
        fs::create_dir_all(directory).map_err(fault)?;
        let mut store = Self {
            path: directory.join(FILE),
            database: None,
            tells_repair: Arc::default(),
            damage: Arc::default(),
            _copy: None,
        };
        store.open_file()?;
        Ok(store)
    }

    /// Opens the store in `directory`, which has to be there.
    ///
    /// # Errors
    ///
    /// As [`open`](Self::open), and when there is none.
    pub fn open_existing(directory: impl AsRef<Path>) -> Result<Self, BackendError> {
        let path = directory.as_ref().join(FILE);
        fs::metadata(&path).map_err(|error| BackendError::new(format!("open {}", path.display()), error))?;
        Self::open(directory)
    }

    /// Opens a copy of the store in `directory`, which lies beside it until this is dropped: nothing that is done to it, a
    /// repair or a newer format, changes the store itself.
    ///
    /// # Errors
    ///
    /// As [`open_existing`](Self::open_existing), and when there is no room for the copy.
    pub fn open_copy(directory: impl AsRef<Path>) -> Result<Self, BackendError> {
        let directory = directory.as_ref();
        let path = directory.join(FILE);
        let fault = |error: Fault| BackendError::new(format!("open {}", path.display()), error);
        let file = fs::File::open(&path).map_err(|error| fault(error.into()))?;
        // Whoever uses it has it locked.
        file.try_lock().map_err(|error| match error {
            TryLockError::WouldBlock => fault(Fault::InUse),
            TryLockError::Error(error) => fault(error.into()),
        })?;
        let copy = TemporaryFile(directory.join(format!("{FILE}.copy-{}", std::process::id())));
        fs::copy(&path, &copy.0).map_err(|error| BackendError::new(format!("copy {}", path.display()), error))?;
        let mut store = Self {
            path: copy.0.clone(),
            database: None,
            tells_repair: Arc::default(),
            damage: Arc::default(),
            _copy: Some(copy),
        };
        store.open_file()?;
        Ok(store)
    }

    fn open_file(&mut self) -> Result<&mut Database, BackendError> {
        if self.database.is_none() {
            let fault = |error: Fault| BackendError::new(format!("open {}", self.path.display()), error);
            look_at(&self.path).map_err(fault)?;
            let is_told = Arc::clone(&self.tells_repair);
            let open = || {
                let database = Database::builder()
                    .set_cache_size(CACHE)
                    .set_repair_callback(move |_| {
                        if !is_told.swap(true, Ordering::Relaxed) {
                            info!("repairing the store after a crash");
                        }
                    })
                    .create(&self.path)
                    .map_err(|error| match error {
                        DatabaseError::DatabaseAlreadyOpen => Fault::InUse,
                        error => error.into(),
                    })?;
                let old = format::prepare(&database)?;
                Ok((database, old))
            };
            let (database, old) = guard(open).map_err(fault)?;
            if let Some(old) = old {
                info!(from = old, to = format::VERSION, "{} is brought up to a newer format", self.path.display());
            }
            self.database = Some(database);
        }
        Ok(self.database.as_mut().expect("it was just opened"))
    }

    /// Runs `f` with the open file.
    fn with<R>(&mut self, doing: &str, f: impl FnOnce(&mut Database) -> Result<R, Fault>) -> Result<R, BackendError> {
        self.run(doing, f).map_err(|failure| failure.error)
    }

    fn run<R>(&mut self, doing: &str, f: impl FnOnce(&mut Database) -> Result<R, Fault>) -> Result<R, Failure> {
        let database = self.open_file().map_err(|error| Failure { error, damage: None })?;
        guard(|| f(database)).map_err(|fault| {
            let damage = fault.is_damage().then(|| fault.to_string());
            if !matches!(fault, Fault::Unreadable(_)) {
                self.close();
            }
            Failure { error: BackendError::new(format!("{doing} {}", self.path.display()), fault), damage }
        })
    }

    fn close(&mut self) {
        let database = self.database.take();
        // Closing writes to the file, and meets its damage.
        let _ = catch_unwind(AssertUnwindSafe(|| drop(database)));
    }

    /// Does all of `tasks` in one transaction, or none.
    fn transact(&mut self, tasks: &[&Task<'_>]) -> Result<Vec<StoreAnswer>, Failure> {
        let damage = Arc::clone(&self.damage);
        self.run("write", |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            // Two syncs instead of one, so that a crash is repaired at once however large the file is.
            transaction.set_quick_repair(true);
            let mut tables = Tables::new(&transaction, &damage);
            // A panic must not get as far as the transaction: that would make the whole file be repaired when it is
            // opened the next time, and a damaged one cannot be.
            let done = guard(|| {
                let work = |task: &&Task<'_>| tables.work(task.app_id.as_str(), &task.work);
                let answers = tasks.iter().map(work).collect::<Result<_, _>>()?;
                tables.finish()?;
                Ok(answers)
            });
            let has_changed = tables.has_changed();
            drop(tables);
            if done.is_ok() && has_changed {
                transaction.commit()?;
                return done;
            }
            // What stands in the way of the tasks stands in the way of this too.
            let aborted = transaction.abort();
            let answers = done?;
            aborted?;
            Ok(answers)
        })
    }

    /// Does tasks, all in one transaction unless that meets damage: then in parts, so that no other task fails for it.
    fn apply_in_parts(&mut self, tasks: &[&Task<'_>]) -> Vec<Result<StoreAnswer, BackendError>> {
        let error = match (self.transact(tasks), tasks) {
            (Ok(answers), _) => return answers.into_iter().map(Ok).collect(),
            (Err(Failure { damage: Some(fault), .. }), [task]) => return vec![self.damaged_task(task, fault)],
            (Err(Failure { damage: Some(_), .. }), _) => {
                let (first, rest) = tasks.split_at(tasks.len() / 2);
                let mut answers = self.apply_in_parts(first);
                answers.extend(self.apply_in_parts(rest));
                return answers;
            }
            (Err(Failure { error, damage: None }), _) => error,
        };
        // What is kept can be read although nothing more can be written.
        let mut unreadable = None;
        let mut read = |task| match &unreadable {
            None => {
                let answer = self.transact(&[task]).map(|mut answers| answers.remove(0));
                let answer = answer.map_err(|failure| failure.error);
                unreadable = answer.as_ref().err().cloned();
                answer
            }
            Some(error) => Err(error.clone()),
        };
        tasks.iter().map(|task| if task.work.is_read() { read(task) } else { Err(error.clone()) }).collect()
    }

    /// What comes of a task that has met damage. State is read as far as that is possible, since a server could not
    /// start without it.
    fn damaged_task(&mut self, task: &Task<'_>, fault: String) -> Result<StoreAnswer, BackendError> {
        if let StoreWork::List { kind, after, max_bytes } = &task.work {
            return self.list_readable(task.app_id.as_str(), *kind, after.as_ref(), Page::new(usize::MAX, *max_bytes));
        }
        self.damage.tell(&DamagedRecord::new(damage::place(task.app_id.as_str(), &task.work), fault));
        Err(self.refusal(task))
    }

    fn list_readable(
        &mut self,
        app: &str,
        kind: StateKind,
        after: Option<&StateKey>,
        mut page: Page<(StateKey, StateValue)>,
    ) -> Result<StoreAnswer, BackendError> {
        let after = after.map(StateKey::to_text);
        let damage = Arc::clone(&self.damage);
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            // It may break off.
            let _ = raw_values(&transaction, kind, &mut |value| {
                let (project, key, value) = match value {
                    Ok(value) => value,
                    Err(damaged) => {
                        damage.tell(&damaged);
                        return ControlFlow::Continue(());
                    }
                };
                if project != app || after.as_deref().is_some_and(|after| *key <= *after) {
                    return ControlFlow::Continue(());
                }
                let Some(value) = decode_value(kind, app, &key, &value, &damage) else {
                    return ControlFlow::Continue(());
                };
                let Ok(key) = StateKey::from_text(kind, &key) else { return ControlFlow::Continue(()) };
                let bytes = value.bytes();
                if page.push((key, value), bytes) { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
            });
            Ok(StoreAnswer::Values { values: page.items, more: page.more })
        })
    }

    fn refusal(&self, task: &Task<'_>) -> BackendError {
        let place = damage::place(task.app_id.as_str(), &task.work);
        BackendError::new(format!("use {place} in {}", self.path.display()), "it is damaged").logged()
    }
}

impl Drop for Redb {
    fn drop(&mut self) {
        self.close();
    }
}

impl Backend for Redb {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        let is_damaged = |task: &Task<'_>| self.damage.is_at(task.app_id.as_str(), &task.work);
        let damaged: Vec<bool> = tasks.iter().map(is_damaged).collect();
        let whole: Vec<_> =
            tasks.iter().zip(&damaged).filter(|(_, damaged)| !**damaged).map(|(task, _)| task).collect();
        let mut answers = self.apply_in_parts(&whole).into_iter();
        let answer = |(task, damaged)| {
            let answer = if damaged { None } else { answers.next() };
            answer.unwrap_or_else(|| Err(self.refusal(task)))
        };
        tasks.iter().zip(damaged).map(answer).collect()
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        let damaged = self.damage.count();
        let bytes = fs::metadata(&self.path).ok().map(|file| file.len());
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            let mut stats = BackendStats::default();
            (stats.kind, stats.bytes, stats.damaged) = (BackendKind::Redb, bytes, damaged);
            for kind in LogKind::ALL {
                *stats.entries(kind) = match log_table(kind) {
                    Some(table) => transaction.open_table(table.entries)?.len()?,
                    None => events::count(&transaction)?,
                };
            }
            for kind in StateKind::ALL {
                *stats.values(kind) = transaction.open_table(state_table(kind))?.len()?;
            }
            Ok(stats)
        })
    }
}

/// Says so before a file is opened that is none of ours, or that has lost what it had.
fn look_at(path: &Path) -> Result<(), Fault> {
    // Whatever keeps it from being opened is found again when the database is.
    let Ok(mut file) = fs::File::open(path) else { return Ok(()) };
    let mut start = Vec::new();
    file.by_ref().take(MAGIC.len() as u64).read_to_end(&mut start)?;
    if start.is_empty() && file.metadata()?.is_file() {
        warn!("{} is empty: it becomes a new store", path.display());
    } else if start != MAGIC {
        return Err(Fault::NoStore);
    }
    Ok(())
}

/// Why work with the file failed.
struct Failure {
    error: BackendError,
    /// What is damaged, if that is why.
    damage: Option<String>,
}

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("another process has it open: stop the server that uses it first")]
    InUse,
    #[error("it is not a store of this server")]
    NoStore,
    #[error("it has format {found}, and this version of the server knows formats up to {known}")]
    Version { found: u64, known: u64 },
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    Io(#[from] io::Error),
    #[error("it is damaged: {0}")]
    Unreadable(String),
    #[error(transparent)]
    Store(Box<::redb::Error>),
}

impl Fault {
    fn is_damage(&self) -> bool {
        match self {
            Self::Unreadable(_) => true,
            Self::Store(error) => match &**error {
                ::redb::Error::Corrupted(_) => true,
                // Of a page behind the end of the file.
                ::redb::Error::Io(error) => error.kind() == io::ErrorKind::UnexpectedEof,
                _ => false,
            },
            Self::InUse | Self::NoStore | Self::Version { .. } | Self::Record(_) | Self::Io(_) => false,
        }
    }
}

macro_rules! from_redb {
    ($($error:ty),*) => {
        $(impl From<$error> for Fault {
            fn from(error: $error) -> Self {
                Self::Store(Box::new(error.into()))
            }
        })*
    };
}

from_redb!(
    DatabaseError,
    StorageError,
    ::redb::TransactionError,
    ::redb::TableError,
    ::redb::CommitError,
    ::redb::CursorError,
    ::redb::SetDurabilityError
);

const FILE: &str = "rtm.redb";
/// What a file of redb begins with.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// The pages kept in memory; the disk's own cache does the rest.
const CACHE: usize = 64 * 1024 * 1024;
