//! What the checks are written with.

use std::fmt::Debug;

use rtm_codec::{
    AppId, AttributeKey, ChannelAttribute, ChannelAttributes, ChannelId, InvalidId, MessageId, Revision, RtmMessage,
    UserId,
};

use super::Fault;
use crate::store::{
    Backend, BackendError, Conversation, LogEntry, LogKey, LogKind, Place, StateKey, StateKind, StateValue,
    StoreAnswer, StoreWork, StoredMessage, Task, read_state,
};

/// Fails unless both are the same.
pub(super) fn same<T: Debug + PartialEq>(what: impl Into<String>, got: &T, wanted: &T) -> Result<(), Fault> {
    if got == wanted {
        return Ok(());
    }
    Err(Fault::Differs { what: what.into(), got: format!("{got:?}"), wanted: format!("{wanted:?}") })
}

/// Fails unless it holds.
pub(super) fn holds(what: impl Into<String>, got: &impl Debug, wanted: &str, does: bool) -> Result<(), Fault> {
    if does {
        return Ok(());
    }
    Err(Fault::Differs { what: what.into(), got: format!("{got:?}"), wanted: wanted.to_owned() })
}

/// Does one task in a project.
pub(super) fn run_in(backend: &mut dyn Backend, app: char, work: StoreWork) -> Result<StoreAnswer, Fault> {
    let app_id = app_id(app)?;
    let mut answers = backend.apply(vec![Task { app_id: &app_id, work }]);
    same("the number of answers to one task", &answers.len(), &1)?;
    let answer = answers.pop().unwrap_or_else(|| Err(BackendError::new("answer", "there is no answer")));
    Ok(answer?)
}

/// Does one task in the first project.
pub(super) fn run(backend: &mut dyn Backend, work: StoreWork) -> Result<StoreAnswer, Fault> {
    run_in(backend, APPS[0], work)
}

pub(super) fn app_id(app: char) -> Result<AppId, Fault> {
    AppId::new(app.to_string().repeat(32)).map_err(bad_id)
}

pub(super) fn user(name: &str) -> Result<UserId, Fault> {
    UserId::new(name).map_err(bad_id)
}

pub(super) fn channel(name: &str) -> Result<ChannelId, Fault> {
    ChannelId::new(name).map_err(bad_id)
}

/// The ids of the checks are good: this is for those who change them.
pub(super) fn bad_id(error: InvalidId) -> Fault {
    BackendError::new("make an id", error).into()
}

/// The log of messages that wait for a user.
pub(super) fn stored(name: &str) -> Result<LogKey, Fault> {
    Ok(LogKey::Stored(user(name)?))
}

/// The history of a channel.
pub(super) fn history(name: &str) -> Result<LogKey, Fault> {
    Ok(LogKey::History(Conversation::Channel(channel(name)?)))
}

/// A message of five bytes, sent at a time and known by its number.
pub(super) fn message(number: u64, time: u64) -> Result<StoredMessage, Fault> {
    Ok(StoredMessage::new(MessageId(number), user("carol")?, RtmMessage::text("hello"), time))
}

pub(super) fn append(log: &LogKey, number: u64, time: u64, keep: Option<usize>) -> Result<StoreWork, Fault> {
    Ok(StoreWork::Append { log: log.clone(), entry: LogEntry::Message(message(number, time)?), keep })
}

/// Appends a message, and says where it is and how many were dropped for it.
pub(super) fn put_in(
    backend: &mut dyn Backend,
    log: &LogKey,
    number: u64,
    time: u64,
    keep: Option<usize>,
) -> Result<(Place, usize), Fault> {
    match run(backend, append(log, number, time, keep)?)? {
        StoreAnswer::Appended { place, dropped } => Ok((place, dropped)),
        other => Err(wrong_answer(&other, "Appended")),
    }
}

/// Appends a message to a log of waiting ones that may be as long as it likes, a millisecond after the one before.
pub(super) fn keep(backend: &mut dyn Backend, log: &LogKey, number: u64) -> Result<Place, Fault> {
    Ok(put_in(backend, log, number, START + number, log.kind().is_limited().then_some(usize::MAX))?.0)
}

pub(super) fn read_all(log: &LogKey) -> StoreWork {
    StoreWork::Read { log: log.clone(), after: None, times: 0..u64::MAX, limit: usize::MAX, max_bytes: usize::MAX }
}

/// The entries of an answer to a reading, and whether more follow.
pub(super) fn entries(answer: &StoreAnswer) -> Result<(Vec<(Place, StoredMessage)>, bool), Fault> {
    answer.clone().into_messages().ok_or_else(|| wrong_answer(answer, "Entries"))
}

/// The numbers of the messages that a reading gives, and whether more follow.
pub(super) fn page(backend: &mut dyn Backend, work: StoreWork) -> Result<(Vec<u64>, bool), Fault> {
    let (entries, more) = entries(&run(backend, work)?)?;
    Ok((entries.into_iter().map(|(_, message)| message.message_id.0).collect(), more))
}

/// The numbers of all messages in a log.
pub(super) fn numbers(backend: &mut dyn Backend, log: &LogKey) -> Result<Vec<u64>, Fault> {
    let (numbers, more) = page(backend, read_all(log))?;
    same("whether more follows a page without limits", &more, &false)?;
    Ok(numbers)
}

pub(super) fn expire(kind: LogKind, before: u64) -> StoreWork {
    StoreWork::Expire { kind, before, keep: None, max_bytes: None, written: crate::EventTypes::ALL }
}

pub(super) fn key(name: &str) -> Result<StateKey, Fault> {
    Ok(StateKey::ChannelAttributes(channel(name)?))
}

/// The attributes of a channel at a revision, which is also their one value.
pub(super) fn value(revision: u64) -> Result<StateValue, Fault> {
    let attribute = ChannelAttribute::new(revision.to_string().into(), user("alice")?, revision);
    let attributes = [(AttributeKey::new("key").map_err(bad_id)?, attribute)].into();
    Ok(StateValue::ChannelAttributes(ChannelAttributes::new(attributes, Revision(revision))))
}

pub(super) fn put(name: &str, revision: u64, expected: Option<u64>) -> Result<StoreWork, Fault> {
    Ok(StoreWork::Put { key: key(name)?, value: value(revision)?, expected: expected.map(Revision) })
}

/// All values of a project, as keys with revisions.
pub(super) fn values_in(backend: &mut dyn Backend, app: char) -> Result<Vec<(StateKey, StateValue)>, Fault> {
    Ok(read_state(backend, &app_id(app)?, StateKind::ChannelAttributes)?)
}

pub(super) fn values(backend: &mut dyn Backend) -> Result<Vec<(StateKey, StateValue)>, Fault> {
    values_in(backend, APPS[0])
}

pub(super) fn wrong_answer(got: &StoreAnswer, wanted: &str) -> Fault {
    Fault::Differs { what: "the answer".to_owned(), got: format!("{got:?}"), wanted: wanted.to_owned() }
}

/// Two projects.
pub(super) const APPS: [char; 2] = ['A', 'B'];
/// When the first message of a log was sent, in milliseconds since the Unix epoch.
pub(super) const START: u64 = 1_700_000_000_000;
