//! Checks of searches over all histories.

use rtm_codec::RtmMessage;

use super::{
    Fault,
    support::{APPS, START, channel, expire, run, run_in, same, user, wrong_answer},
};
use crate::store::{
    Backend, Conversation, HistoryFilter, HistorySpan, LogEntry, LogKey, LogKind, Place, StoreAnswer, StoreWork,
    StoredMessage,
};

/// Messages from one user to another, or to the channel of a name in brackets, in the order of their times.
const SAID: [(&str, &str); 7] = [
    ("alice", "bob"),
    ("bob", "alice"),
    ("alice", "[bob]"),
    ("alice", "carol"),
    ("carol", "[room]"),
    ("alice", "[room]"),
    ("alice", "bob"),
];

pub(super) fn fill(backend: &mut dyn Backend) -> Result<(), Fault> {
    for (number, (from, to)) in (1..).zip(SAID) {
        say(backend, APPS[0], number, from, to)?;
    }
    Ok(())
}

fn say(backend: &mut dyn Backend, app: char, number: u64, from: &str, to: &str) -> Result<(LogKey, Place), Fault> {
    say_at(backend, app, number, START + number, (from, to))
}

fn say_at(
    backend: &mut dyn Backend,
    app: char,
    number: u64,
    time: u64,
    (from, to): (&str, &str),
) -> Result<(LogKey, Place), Fault> {
    let conversation = match to.strip_prefix('[').and_then(|to| to.strip_suffix(']')) {
        Some(name) => Conversation::Channel(channel(name)?),
        None => Conversation::between(user(from)?, user(to)?),
    };
    let message = StoredMessage::new(rtm_codec::MessageId(number), user(from)?, RtmMessage::text("hello"), time);
    let log = LogKey::History(conversation);
    let append = StoreWork::Append { log: log.clone(), entry: LogEntry::Message(message), keep: None };
    match run_in(backend, app, append)? {
        StoreAnswer::Appended { place, .. } => Ok((log, place)),
        other => Err(wrong_answer(&other, "Appended")),
    }
}

fn filter(source: Option<&str>, to_user: Option<&str>, to_channel: Option<&str>) -> Result<HistoryFilter, Fault> {
    Ok(HistoryFilter {
        source: source.map(user).transpose()?,
        to_user: to_user.map(user).transpose()?,
        to_channel: to_channel.map(channel).transpose()?,
    })
}

/// The numbers of what a search finds.
fn search(backend: &mut dyn Backend, app: char, work: StoreWork) -> Result<Vec<u64>, Fault> {
    match run_in(backend, app, work)? {
        StoreAnswer::Found(found) => Ok(found.iter().map(|(_, message)| message.message_id.0).collect()),
        other => Err(wrong_answer(&other, "Found")),
    }
}

fn all(filter: HistoryFilter) -> StoreWork {
    let span = HistorySpan { filter, times: START..START + 100 };
    StoreWork::Search { span, newest_first: false, offset: 0, limit: 100 }
}

pub(super) fn find(backend: &mut dyn Backend) -> Result<(), Fault> {
    let cases = [
        ((Some("alice"), None, None), vec![1, 3, 4, 6, 7]),
        ((None, Some("bob"), None), vec![1, 7]),
        ((None, None, Some("bob")), vec![3]),
        ((None, Some("bob"), Some("bob")), vec![1, 3, 7]),
        ((None, Some("room"), Some("room")), vec![5, 6]),
        ((Some("alice"), Some("bob"), None), vec![1, 7]),
        ((Some("alice"), Some("bob"), Some("bob")), vec![1, 3, 7]),
        ((Some("bob"), Some("alice"), Some("alice")), vec![2]),
        ((Some("alice"), Some("room"), Some("room")), vec![6]),
        ((Some("room"), None, None), vec![]),
        ((Some("dave"), None, None), vec![]),
    ];
    for ((source, to_user, to_channel), wanted) in cases {
        let filter = filter(source, to_user, to_channel)?;
        let what = format!("{filter:?}");
        same(&*what, &search(backend, APPS[0], all(filter.clone()))?, &wanted)?;
        same(format!("{what} of another project"), &search(backend, APPS[1], all(filter.clone()))?, &vec![])?;
        let span = HistorySpan { filter, times: START..START + 100 };
        let count = run(backend, StoreWork::Count { span })?;
        same(format!("how many are {what}"), &count, &StoreAnswer::Counted(wanted.len() as u64))?;
    }
    Ok(())
}

pub(super) fn filters(backend: &mut dyn Backend) -> Result<(), Fault> {
    fill(backend)?;
    find(backend)
}

pub(super) fn pages(backend: &mut dyn Backend) -> Result<(), Fault> {
    fill(backend)?;
    let search_for = |from: u64, until: u64, newest_first, offset, limit| {
        let span = HistorySpan { filter: filter(Some("alice"), None, None)?, times: START + from..START + until };
        Ok::<_, Fault>(StoreWork::Search { span, newest_first, offset, limit })
    };
    let cases = [
        ("the first two", search_for(0, 100, false, 0, 2)?, vec![1, 3]),
        ("the next two", search_for(0, 100, false, 2, 2)?, vec![4, 6]),
        ("the rest", search_for(0, 100, false, 4, 2)?, vec![7]),
        ("what follows the rest", search_for(0, 100, false, 5, 2)?, vec![]),
        ("the newest two", search_for(0, 100, true, 0, 2)?, vec![7, 6]),
        ("those before", search_for(0, 100, true, 2, 2)?, vec![4, 3]),
        ("from is part of the span, until is not", search_for(3, 6, false, 0, 9)?, vec![3, 4]),
        ("the same backwards", search_for(3, 6, true, 1, 9)?, vec![3]),
        ("a span of nothing", search_for(3, 3, false, 0, 9)?, vec![]),
    ];
    cases.into_iter().try_for_each(|(what, work, wanted)| same(what, &search(backend, APPS[0], work)?, &wanted))
}

/// What was said within one millisecond is found in the order in which it was said, wherever that was.
pub(super) fn one_millisecond(backend: &mut dyn Backend) -> Result<(), Fault> {
    for (number, said) in (1..).zip(SAID) {
        say_at(backend, APPS[0], number, START, said)?;
    }
    find(backend)
}

pub(super) fn removal(backend: &mut dyn Backend) -> Result<(), Fault> {
    fill(backend)?;
    let (log, place) = say(backend, APPS[0], 8, "alice", "[room]")?;
    run(backend, StoreWork::Remove { log, places: vec![place] })?;
    run(backend, expire(LogKind::History, START + 4))?;
    same("by who sent it", &search(backend, APPS[0], all(filter(Some("alice"), None, None)?))?, &vec![4, 6, 7])?;
    same("by who received it", &search(backend, APPS[0], all(filter(None, Some("bob"), Some("bob"))?))?, &vec![7])
}
