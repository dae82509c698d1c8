//! A backend that keeps everything in one file.

use std::path::{Path, PathBuf};

use ::redb::{
    Database, DatabaseError, Durability, ReadableDatabase, ReadableTable, ReadableTableMetadata, StorageError, Table,
    TableDefinition, WriteTransaction,
};
use rtm_codec::{AppId, ChannelAttributes, ChannelId, HistoryMessage, UserId};
use rtm_core::store::{
    Backend, BackendError, BackendStats, Conversation, OfflineId, OfflineMessage, Page, Place, StoreAnswer, StoreWork,
    Task,
    record::{MessageRecord, RecordError, decode_attributes, encode_attributes},
};
use tracing::info;

/// Keeps everything in the file `rtm.redb` of a directory. What it has answered is on the disk: it survives
/// a crash of the process at any moment, and of the machine as far as its disk keeps what it says it wrote.
///
/// One process at a time may have the file open.
#[derive(Debug)]
pub struct Redb {
    path: PathBuf,
    /// `None` after an error: the next batch opens the file again, since a database that once failed to
    /// write refuses everything from then on.
    database: Option<Database>,
}

impl Redb {
    /// Opens the store in `directory`, both created if they are not there. After a crash this also repairs.
    ///
    /// # Errors
    ///
    /// [`BackendError`] when the file cannot be opened, is not such a store, is of a later version, or is in use.
    pub fn open(directory: impl AsRef<Path>) -> Result<Self, BackendError> {
        let directory = directory.as_ref();
        std::fs::create_dir_all(directory)
            .map_err(|error| BackendError::new(format!("create {}", directory.display()), error))?;
        let mut store = Self { path: directory.join(FILE), database: None };
        store.open_file()?;
        Ok(store)
    }

    fn open_file(&mut self) -> Result<&Database, BackendError> {
        if self.database.is_none() {
            let fault = |error: Fault| BackendError::new(format!("open {}", self.path.display()), error);
            let database = Database::builder()
                .set_cache_size(CACHE)
                .set_repair_callback(|_| info!("repairing the store after a crash"))
                .create(&self.path)
                .map_err(|error| match error {
                    DatabaseError::DatabaseAlreadyOpen => fault(Fault::InUse),
                    error => fault(error.into()),
                })?;
            prepare(&database).map_err(fault)?;
            self.database = Some(database);
        }
        Ok(self.database.as_ref().expect("it was just opened"))
    }

    /// Runs `f` with the open file; an error of it closes the file.
    fn with<R>(&mut self, doing: &str, f: impl FnOnce(&Database) -> Result<R, Fault>) -> Result<R, BackendError> {
        f(self.open_file()?).map_err(|error| {
            self.database = None;
            BackendError::new(format!("{doing} {}", self.path.display()), error)
        })
    }
}

impl Backend for Redb {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Result<Vec<StoreAnswer>, BackendError> {
        self.with("write", |database| {
            let mut transaction = database.begin_write()?;
            transaction.set_durability(Durability::Immediate)?;
            // Two syncs instead of one, so that a crash is repaired at once however large the file is.
            transaction.set_quick_repair(true);
            let mut tables = Tables::open(&transaction)?;
            let answers =
                tasks.into_iter().map(|task| tables.work(task.app_id.as_str(), task.work)).collect::<Result<_, _>>()?;
            let changed = tables.changed;
            drop(tables);
            if changed {
                transaction.commit()?;
            } else {
                transaction.abort()?;
            }
            Ok(answers)
        })
    }

    fn channel_attributes(&mut self, app_id: &AppId) -> Result<Vec<(ChannelId, ChannelAttributes)>, BackendError> {
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            let table = transaction.open_table(ATTRIBUTES)?;
            let mut all = Vec::new();
            for entry in table.range((app_id.as_str(), "")..)? {
                let (key, record) = entry?;
                let (of_project, channel) = key.value();
                if of_project != app_id.as_str() {
                    break;
                }
                let channel = ChannelId::new(channel).map_err(|_| RecordError::Damaged)?;
                all.push((channel, decode_attributes(record.value())?));
            }
            Ok(all)
        })
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        self.with("read", |database| {
            let transaction = database.begin_read()?;
            Ok(BackendStats {
                offline_messages: transaction.open_table(OFFLINE)?.len()?,
                history_messages: transaction.open_table(HISTORY)?.len()?,
                channels: transaction.open_table(ATTRIBUTES)?.len()?,
            })
        })
    }
}

/// Makes the tables, and checks that the file is one of ours.
fn prepare(database: &Database) -> Result<(), Fault> {
    let transaction = database.begin_write()?;
    {
        let mut tables = Tables::open(&transaction)?;
        let version = tables.meta.get(META_VERSION)?.map(|version| version.value());
        match version {
            None => drop(tables.meta.insert(META_VERSION, VERSION)?),
            Some(VERSION) => {}
            Some(version) => return Err(Fault::Version(version)),
        }
    }
    transaction.commit()?;
    Ok(())
}

/// All tables of one transaction.
struct Tables<'t> {
    offline: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    offline_counts: Table<'t, (&'static str, &'static str), u64>,
    offline_ages: Table<'t, (&'static str, u64, u64), &'static str>,
    history: Table<'t, (&'static str, &'static str, u64), &'static [u8]>,
    history_ages: Table<'t, (&'static str, u64, &'static str), ()>,
    attributes: Table<'t, (&'static str, &'static str), &'static [u8]>,
    meta: Table<'t, &'static str, u64>,
    changed: bool,
}

impl<'t> Tables<'t> {
    fn open(transaction: &'t WriteTransaction) -> Result<Self, Fault> {
        Ok(Self {
            offline: transaction.open_table(OFFLINE)?,
            offline_counts: transaction.open_table(OFFLINE_COUNTS)?,
            offline_ages: transaction.open_table(OFFLINE_AGES)?,
            history: transaction.open_table(HISTORY)?,
            history_ages: transaction.open_table(HISTORY_AGES)?,
            attributes: transaction.open_table(ATTRIBUTES)?,
            meta: transaction.open_table(META)?,
            changed: false,
        })
    }

    fn work(&mut self, app: &str, work: StoreWork) -> Result<StoreAnswer, Fault> {
        match work {
            StoreWork::AppendOffline { of, message, keep } => self.append_offline(app, &of, message, keep),
            StoreWork::LoadOffline { of, after, not_before, max_bytes } => {
                self.load_offline(app, &of, after, not_before, max_bytes)
            }
            StoreWork::RemoveOffline { of, ids } => {
                for id in ids {
                    self.remove_offline(app, of.as_str(), id.0)?;
                }
                Ok(StoreAnswer::Done)
            }
            StoreWork::AppendHistory { of, message } => self.append_history(app, &of, message),
            StoreWork::LoadHistory { of, from_ts, until_ts, after, limit, max_bytes } => {
                let from = Place::start(from_ts, after);
                self.load_history(app, &of, from, Place::first_at(until_ts), Page::new(limit, max_bytes))
            }
            StoreWork::PutChannelAttributes { channel_id, attributes } => {
                self.changed = true;
                self.attributes.insert((app, channel_id.as_str()), encode_attributes(&attributes).as_slice())?;
                Ok(StoreAnswer::Done)
            }
            StoreWork::ClearChannelAttributes { channel_id } => {
                self.changed |= self.attributes.remove((app, channel_id.as_str()))?.is_some();
                Ok(StoreAnswer::Done)
            }
            StoreWork::Expire { offline_before, history_before } => {
                self.expire(app, offline_before, history_before)?;
                Ok(StoreAnswer::Done)
            }
        }
    }

    fn append_offline(
        &mut self,
        app: &str,
        of: &UserId,
        message: OfflineMessage,
        keep: usize,
    ) -> Result<StoreAnswer, Fault> {
        self.changed = true;
        let user = of.as_str();
        let id = self.meta.get(META_LAST_OFFLINE)?.map_or(0, |last| last.value()) + 1;
        self.meta.insert(META_LAST_OFFLINE, id)?;
        let ts = message.server_received_ts;
        let OfflineMessage { message_id, from, message, server_received_ts } = message;
        let record = MessageRecord { message_id, from, message, server_received_ts };
        self.offline.insert((app, user, id), record.encode().as_slice())?;
        self.offline_ages.insert((app, ts, id), user)?;
        let count = self.offline_counts.get((app, user))?.map_or(0, |count| count.value()) + 1;
        self.offline_counts.insert((app, user), count)?;
        let dropped = count.saturating_sub(keep.max(1) as u64) as usize;
        if dropped > 0 {
            let oldest = self.offline.range((app, user, 0)..=(app, user, id))?.take(dropped);
            let oldest = oldest.map(|entry| Ok(entry?.0.value().2)).collect::<Result<Vec<_>, Fault>>()?;
            for id in oldest {
                self.remove_offline(app, user, id)?;
            }
        }
        Ok(StoreAnswer::Appended { id: OfflineId(id), dropped })
    }

    fn load_offline(
        &self,
        app: &str,
        of: &UserId,
        after: Option<OfflineId>,
        not_before: u64,
        max_bytes: usize,
    ) -> Result<StoreAnswer, Fault> {
        let first = after.map_or(0, |after| after.0.saturating_add(1));
        let mut page = Page::new(usize::MAX, max_bytes);
        for entry in self.offline.range((app, of.as_str(), first)..=(app, of.as_str(), u64::MAX))? {
            let (key, record) = entry?;
            let MessageRecord { message_id, from, message, server_received_ts } =
                MessageRecord::decode(record.value())?;
            let bytes = message.len();
            let message = OfflineMessage { message_id, from, message, server_received_ts };
            if server_received_ts >= not_before && !page.push((OfflineId(key.value().2), message), bytes) {
                break;
            }
        }
        Ok(StoreAnswer::Offline { messages: page.messages, more: page.more })
    }

    fn remove_offline(&mut self, app: &str, user: &str, id: u64) -> Result<(), Fault> {
        let Some(record) = self.offline.remove((app, user, id))? else {
            return Ok(());
        };
        self.changed = true;
        let ts = MessageRecord::decode(record.value())?.server_received_ts;
        drop(record);
        self.offline_ages.remove((app, ts, id))?;
        let count = self.offline_counts.get((app, user))?.map_or(0, |count| count.value());
        if count > 1 {
            self.offline_counts.insert((app, user), count - 1)?;
        } else {
            self.offline_counts.remove((app, user))?;
        }
        Ok(())
    }

    fn append_history(&mut self, app: &str, of: &Conversation, message: HistoryMessage) -> Result<StoreAnswer, Fault> {
        self.changed = true;
        let conversation = conversation_key(of);
        let conversation = conversation.as_str();
        let ts = message.server_received_ts;
        let same_time = (app, conversation, Place::first_at(ts).0)..=(app, conversation, Place::last_at(ts).0);
        let place = match self.history.range(same_time)?.next_back() {
            Some(entry) => Place(entry?.0.value().2).next(),
            None => Place::first_at(ts),
        };
        let HistoryMessage { message_id, from, message, server_received_ts } = message;
        let record = MessageRecord { message_id, from, message, server_received_ts };
        self.history.insert((app, conversation, place.0), record.encode().as_slice())?;
        self.history_ages.insert((app, place.0, conversation), ())?;
        Ok(StoreAnswer::Done)
    }

    fn load_history(
        &self,
        app: &str,
        of: &Conversation,
        from: Place,
        until: Place,
        mut page: Page<(Place, HistoryMessage)>,
    ) -> Result<StoreAnswer, Fault> {
        let conversation = conversation_key(of);
        if from < until {
            let range = (app, conversation.as_str(), from.0)..(app, conversation.as_str(), until.0);
            for entry in self.history.range(range)? {
                let (key, record) = entry?;
                let MessageRecord { message_id, from, message, server_received_ts } =
                    MessageRecord::decode(record.value())?;
                let bytes = message.len();
                let message = HistoryMessage { message_id, from, message, server_received_ts };
                if !page.push((Place(key.value().2), message), bytes) {
                    break;
                }
            }
        }
        Ok(StoreAnswer::History(page.into_history()))
    }

    fn expire(&mut self, app: &str, offline_before: u64, history_before: u64) -> Result<(), Fault> {
        let old = self.offline_ages.range((app, 0, 0)..(app, offline_before, 0))?;
        let old = old.map(|entry| {
            let (key, user) = entry?;
            Ok((key.value().2, user.value().to_owned()))
        });
        for (id, user) in old.collect::<Result<Vec<_>, Fault>>()? {
            self.remove_offline(app, &user, id)?;
        }
        let before = Place::first_at(history_before).0;
        let old = self.history_ages.range((app, 0, "")..(app, before, ""))?;
        let old = old.map(|entry| {
            let (key, ()) = (entry?.0, ());
            let (_, place, conversation) = key.value();
            Ok((place, conversation.to_owned()))
        });
        for (place, conversation) in old.collect::<Result<Vec<_>, Fault>>()? {
            self.changed = true;
            self.history.remove((app, conversation.as_str(), place))?;
            self.history_ages.remove((app, place, conversation.as_str()))?;
        }
        Ok(())
    }
}

/// A conversation as one text. Ids have neither control characters nor the separator.
fn conversation_key(of: &Conversation) -> String {
    match of {
        Conversation::Peers(one, other) => format!("p\0{one}\0{other}"),
        Conversation::Channel(channel) => format!("c\0{channel}"),
    }
}

/// What can go wrong with the file.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("another process has it open")]
    InUse,
    #[error("it was written by a later version of the server (format {0})")]
    Version(u64),
    #[error(transparent)]
    Record(#[from] RecordError),
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
/// The pages kept in memory; the disk's own cache does the rest.
const CACHE: usize = 64 * 1024 * 1024;
/// (project, receiver, id) to message.
const OFFLINE: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("offline");
/// (project, receiver) to how many messages wait.
const OFFLINE_COUNTS: TableDefinition<'_, (&str, &str), u64> = TableDefinition::new("offline_counts");
/// (project, time taken, id) to receiver.
const OFFLINE_AGES: TableDefinition<'_, (&str, u64, u64), &str> = TableDefinition::new("offline_ages");
/// (project, conversation, place) to message.
const HISTORY: TableDefinition<'_, (&str, &str, u64), &[u8]> = TableDefinition::new("history");
/// (project, place, conversation).
const HISTORY_AGES: TableDefinition<'_, (&str, u64, &str), ()> = TableDefinition::new("history_ages");
/// (project, channel) to attributes.
const ATTRIBUTES: TableDefinition<'_, (&str, &str), &[u8]> = TableDefinition::new("channel_attributes");
const META: TableDefinition<'_, &str, u64> = TableDefinition::new("meta");
const META_VERSION: &str = "version";
const META_LAST_OFFLINE: &str = "last_offline_id";
const VERSION: u64 = 1;
