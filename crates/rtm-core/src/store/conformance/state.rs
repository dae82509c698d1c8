//! Checks of state.

use rtm_codec::{ChannelAttributes, InstanceId, Revision};

use super::{
    Fault,
    support::{APPS, app_id, bad_id, key, put, run, run_in, same, user, value, values, values_in, wrong_answer},
};
use crate::store::{
    Backend, Restrictions, StateKey, StateKind, StateValue, StoreAnswer, StoreWork, Subscriptions, Task, read_state,
};

pub(super) fn last_put(backend: &mut dyn Backend) -> Result<(), Fault> {
    same("what an empty store has", &values(backend)?, &vec![])?;
    for (name, revision) in [("a", 1), ("b", 2), ("a", 3)] {
        same("the answer", &run(backend, put(name, revision, None)?)?, &StoreAnswer::Done)?;
    }
    same("what is kept", &values(backend)?, &vec![(key("a")?, value(3)?), (key("b")?, value(2)?)])?;
    same("how much is kept", &backend.stats()?.channels, &2)?;
    // Attributes may be none and still have a revision.
    let none = ChannelAttributes::new([].into(), Revision(4));
    let none = StateValue::ChannelAttributes(none);
    run(backend, StoreWork::Put { key: key("a")?, value: none.clone(), expected: None })?;
    for name in ["b", "c"] {
        same("the answer", &run(backend, StoreWork::Delete { key: key(name)?, expected: None })?, &StoreAnswer::Done)?;
    }
    same("what is kept", &values(backend)?, &vec![(key("a")?, none)])?;
    same("how much is kept", &backend.stats()?.channels, &1)
}

pub(super) fn pages(backend: &mut dyn Backend) -> Result<(), Fault> {
    for name in ["c", "a", "b"] {
        run(backend, put(name, 1, None)?)?;
    }
    // Each value has 4 bytes: the key's and its own.
    let list = |after: Option<&str>, max_bytes| {
        let after = after.map(key).transpose()?;
        Ok::<_, Fault>(StoreWork::List { kind: StateKind::ChannelAttributes, after, max_bytes })
    };
    let cases = [
        (list(None, 8)?, vec!["a", "b"], true),
        (list(None, 0)?, vec!["a"], true),
        (list(Some("a"), 8)?, vec!["b", "c"], false),
        (list(Some("aa"), 1)?, vec!["b"], true),
        (list(Some("c"), 8)?, vec![], false),
    ];
    for (work, wanted, more) in cases {
        let what = format!("{work:?}");
        let wanted = wanted.into_iter().map(|name| Ok((key(name)?, value(1)?))).collect::<Result<_, Fault>>()?;
        same(what, &run(backend, work)?, &StoreAnswer::Values { values: wanted, more })?;
    }
    Ok(())
}

pub(super) fn conflicts(backend: &mut dyn Backend) -> Result<(), Fault> {
    let conflict = |kept| StoreAnswer::Conflict { kept };
    same("a put where nothing is", &run(backend, put("a", 6, Some(5))?)?, &conflict(None))?;
    same("what is kept", &values(backend)?, &vec![])?;
    same("a put that expects nothing", &run(backend, put("a", 5, Some(0))?)?, &StoreAnswer::Done)?;
    same("another one", &run(backend, put("a", 1, Some(0))?)?, &conflict(Some(value(5)?)))?;
    same("a put that comes late", &run(backend, put("a", 5, Some(4))?)?, &conflict(Some(value(5)?)))?;
    same("a put that expects too much", &run(backend, put("a", 7, Some(6))?)?, &conflict(Some(value(5)?)))?;
    same("what is kept", &values(backend)?, &vec![(key("a")?, value(5)?)])?;
    same("a put that is right", &run(backend, put("a", 6, Some(5))?)?, &StoreAnswer::Done)?;
    run(backend, StoreWork::Delete { key: key("a")?, expected: None })?;
    same("a put to what was deleted", &run(backend, put("a", 7, Some(6))?)?, &conflict(None))?;
    same("what is kept", &values(backend)?, &vec![])
}

pub(super) fn one_winner(backend: &mut dyn Backend) -> Result<(), Fault> {
    let app_id = app_id(APPS[0])?;
    let tasks = (1..=3).map(|_| Ok(Task { app_id: &app_id, work: put("a", 1, Some(0))? }));
    let answers = backend.apply(tasks.collect::<Result<_, Fault>>()?);
    let answers = answers.into_iter().collect::<Result<Vec<_>, _>>()?;
    let conflict = StoreAnswer::Conflict { kept: Some(value(1)?) };
    same("the answers", &answers, &vec![StoreAnswer::Done, conflict.clone(), conflict])
}

pub(super) fn deletion(backend: &mut dyn Backend) -> Result<(), Fault> {
    let delete = |name: &str, expected| {
        Ok::<_, Fault>(StoreWork::Delete { key: key(name)?, expected: Some(Revision(expected)) })
    };
    same("a deletion of nothing", &run(backend, delete("a", 5)?)?, &StoreAnswer::Done)?;
    run(backend, put("a", 5, None)?)?;
    let conflict = StoreAnswer::Conflict { kept: Some(value(5)?) };
    for expected in [0, 4, 6] {
        same("a deletion of another revision", &run(backend, delete("a", expected)?)?, &conflict)?;
    }
    same("what is kept", &values(backend)?, &vec![(key("a")?, value(5)?)])?;
    same("how much is kept", &backend.stats()?.channels, &1)?;
    same("a deletion that is right", &run(backend, delete("a", 5)?)?, &StoreAnswer::Done)?;
    same("what is kept", &values(backend)?, &vec![])?;
    same("how much is kept", &backend.stats()?.channels, &0)
}

pub(super) fn restrictions(backend: &mut dyn Backend) -> Result<(), Fault> {
    let restricted = |revision, banned_until| {
        StateValue::Restrictions(Restrictions { revision: Revision(revision), banned_until, tokens_from: 7 })
    };
    let wanted = vec![
        (StateKey::Restrictions(None), restricted(1, 0)),
        (StateKey::Restrictions(Some(user("a b")?)), restricted(2, u64::MAX)),
        // A user may have any name.
        (StateKey::Restrictions(Some(user("all")?)), restricted(3, 5)),
    ];
    for (key, value) in wanted.iter().rev().cloned() {
        let put = StoreWork::Put { key, value, expected: Some(Revision(0)) };
        same("the answer", &run(backend, put)?, &StoreAnswer::Done)?;
    }
    let app_id = app_id(APPS[0])?;
    same("what is kept", &read_state(backend, &app_id, StateKind::Restrictions)?, &wanted)?;
    same("how many are kept", &backend.stats()?.restricted, &3)
}

pub(super) fn apart(backend: &mut dyn Backend) -> Result<(), Fault> {
    run(backend, put("a", 1, None)?)?;
    same("what the other project has", &values_in(backend, APPS[1])?, &vec![])?;
    run_in(backend, APPS[1], put("a", 7, Some(0))?)?;
    run_in(backend, APPS[1], put("b", 8, None)?)?;
    same("what the first project has", &values(backend)?, &vec![(key("a")?, value(1)?)])?;
    run(backend, StoreWork::Delete { key: key("a")?, expected: None })?;
    let kept = values_in(backend, APPS[1])?;
    match kept.as_slice() {
        [(first, _), (second, _)] if *first == key("a")? && *second == key("b")? => Ok(()),
        other => Err(wrong_answer(&StoreAnswer::Values { values: other.to_vec(), more: false }, "a and b")),
    }
}

pub(super) fn kinds(backend: &mut dyn Backend) -> Result<(), Fault> {
    run(backend, put("a", 1, None)?)?;
    let subscriber = |name: &str, object: &str| {
        let object = InstanceId::new(object).map_err(bad_id)?;
        Ok::<_, Fault>(StateKey::Subscriptions(user(name)?, object))
    };
    let kept = |last_seen_ts, peers: &[&str]| {
        let peers = peers.iter().map(|peer| user(peer)).collect::<Result<_, _>>()?;
        Ok::<_, Fault>(StateValue::Subscriptions(Subscriptions { last_seen_ts, peers }))
    };
    // An id that begins with another one comes after all that belongs to that.
    let wanted = vec![
        (subscriber("a", "1")?, kept(1, &["b", "c"])?),
        (subscriber("a", "2")?, kept(2, &["b"])?),
        (subscriber("a b", "1")?, kept(4, &["a"])?),
        (subscriber("ab", "1")?, kept(3, &["a"])?),
    ];
    for (key, value) in wanted.iter().rev().cloned() {
        run(backend, StoreWork::Put { key, value, expected: None })?;
    }
    let app_id = app_id(APPS[0])?;
    let found = read_state(backend, &app_id, StateKind::Subscriptions)?;
    same("the subscriptions", &found, &wanted)?;
    same("how many are kept", &backend.stats()?.subscribers, &4)?;
    same("the attributes", &values(backend)?, &vec![(key("a")?, value(1)?)])?;
    run(backend, StoreWork::Delete { key: subscriber("a", "1")?, expected: None })?;
    let found = read_state(backend, &app_id, StateKind::Subscriptions)?;
    same("what is left", &found, &wanted[1..].to_vec())
}
