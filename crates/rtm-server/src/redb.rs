//! A backend that keeps everything in one file.

mod check;
mod format;
mod records;
mod tables;

use std::{
    fs,
    io::{self, Read as _},
    path::{Path, PathBuf},
    slice,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use ::redb::{Database, DatabaseError, Durability, ReadableDatabase, ReadableTableMetadata, StorageError};
use rtm_core::store::{
    Backend, BackendError, BackendStats, LogKind, StateKind, StoreAnswer, Task, record::RecordError,
};
use tracing::{info, warn};

use self::tables::{Tables, log_table, state_table};

pub use self::records::{DamagedRecord, StoreRecord};

/// Keeps everything in the file `rtm.redb` of a directory. What it has answered is on the disk: it survives
/// a crash of the process at any moment, and of the machine as far as its disk keeps what it says it wrote.
///
/// One process at a time may have the file open. A file of an earlier version of the server is brought up to this
/// version's format when it is opened, as a whole or not at all.
#[derive(Debug)]
pub struct Redb {
    path: PathBuf,
    /// `None` after an error: the next batch opens the file again, since a database that once failed to
    /// write refuses everything from then on.
    database: Option<Database>,
    /// Whether the log says that the file is repaired: that has several steps, and each error may lead to another one.
    tells_repair: Arc<AtomicBool>,
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
        let mut store = Self { path: directory.join(FILE), database: None, tells_repair: Arc::default() };
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

    fn open_file(&mut self) -> Result<&mut Database, BackendError> {
        if self.database.is_none() {
            let fault = |error: Fault| BackendError::new(format!("open {}", self.path.display()), error);
            look_at(&self.path).map_err(fault)?;
            let is_told = Arc::clone(&self.tells_repair);
            let database = Database::builder()
                .set_cache_size(CACHE)
                .set_repair_callback(move |_| {
                    if !is_told.swap(true, Ordering::Relaxed) {
                        info!("repairing the store after a crash");
                    }
                })
                .create(&self.path)
                .map_err(|error| match error {
                    DatabaseError::DatabaseAlreadyOpen => fault(Fault::InUse),
                    error => fault(error.into()),
                })?;
            if let Some(old) = format::prepare(&database).map_err(fault)? {
                info!(from = old, to = format::VERSION, "{} is brought up to a newer format", self.path.display());
            }
            self.database = Some(database);
        }
        Ok(self.database.as_mut().expect("it was just opened"))
    }

    /// Runs `f` with the open file; an error of it closes the file.
    fn with<R>(&mut self, doing: &str, f: impl FnOnce(&mut Database) -> Result<R, Fault>) -> Result<R, BackendError> {
        f(self.open_file()?).map_err(|error| {
            self.database = None;
            BackendError::new(format!("{doing} {}", self.path.display()), error)
        })
    }

    /// Does all of `tasks` in one transaction, or none.
    fn transact(&mut self, tasks: &[Task<'_>]) -> Result<Vec<StoreAnswer>, BackendError> {
        self.with("write", |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            // Two syncs instead of one, so that a crash is repaired at once however large the file is.
            transaction.set_quick_repair(true);
            let mut tables = Tables::new(&transaction);
            let answers =
                tasks.iter().map(|task| tables.work(task.app_id.as_str(), &task.work)).collect::<Result<_, _>>()?;
            if tables.finish()? {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(answers)
        })
    }
}

impl Backend for Redb {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Vec<Result<StoreAnswer, BackendError>> {
        let error = match self.transact(&tasks) {
            Ok(answers) => return answers.into_iter().map(Ok).collect(),
            Err(error) => error,
        };
        // What is kept can be read although nothing more can be written.
        let mut unreadable = None;
        let mut read = |task| match &unreadable {
            None => {
                let answer = self.transact(slice::from_ref(task)).map(|mut answers| answers.remove(0));
                unreadable = answer.as_ref().err().cloned();
                answer
            }
            Some(error) => Err(error.clone()),
        };
        tasks.iter().map(|task| if task.work.is_read() { read(task) } else { Err(error.clone()) }).collect()
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            let mut stats = BackendStats::default();
            for kind in LogKind::ALL {
                *stats.entries(kind) = transaction.open_table(log_table(kind).entries)?.len()?;
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
    #[error(transparent)]
    Store(Box<::redb::Error>),
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
    ::redb::SetDurabilityError
);

const FILE: &str = "rtm.redb";
/// What a file of redb begins with.
const MAGIC: &[u8] = b"redb\x1a\x0a\xa9\x0d\x0a";
/// The pages kept in memory; the disk's own cache does the rest.
const CACHE: usize = 64 * 1024 * 1024;
