//! Reads a table as far as that is possible.

use std::{cmp::Ordering, ops::ControlFlow};

use ::redb::{AccessGuard, Key, StorageError, Value};

use super::damage::guard;

/// How far a table could be read.
#[derive(Debug)]
pub(super) enum Walked<K> {
    /// To its end.
    Whole,
    /// As far as the visitor wanted.
    Stopped,
    /// Nothing can be read behind this key.
    Broken { last: Option<K>, fault: String },
}

/// Shows `see` what comes out of `pairs`, with keys that rise (`Less`) or fall (`Greater`): keys in another order are
/// damage too, and could go round for ever. `own` takes a key and a value out of the file.
pub(super) fn walk<'t, K: Key + 'static, V: Value + 'static, O: Ord + Clone, W>(
    pairs: impl Iterator<Item = Result<(AccessGuard<'t, K>, AccessGuard<'t, V>), StorageError>>,
    order: Ordering,
    own: impl for<'a> Fn(K::SelfType<'a>, V::SelfType<'a>) -> (O, W),
    mut see: impl FnMut(O, W) -> ControlFlow<()>,
) -> Walked<O> {
    let mut pairs = pairs;
    let mut last: Option<O> = None;
    loop {
        let pair = guard(|| {
            let pair = pairs.next().transpose()?;
            Ok(pair.map(|(key, value)| own(key.value(), value.value())))
        });
        match pair {
            Ok(None) => return Walked::Whole,
            Ok(Some((key, value))) if last.as_ref().is_none_or(|last| last.cmp(&key) == order) => {
                last = Some(key.clone());
                if see(key, value).is_break() {
                    return Walked::Stopped;
                }
            }
            Ok(Some(_)) => return Walked::Broken { last, fault: "its keys are in disorder".to_owned() },
            Err(fault) => return Walked::Broken { last, fault: fault.to_string() },
        }
    }
}

/// Where the last part of a table begins that can be read from its end; `None` if there is none.
pub(super) fn readable_end<'t, K: Key + 'static, V: Value + 'static, O: Ord + Clone, W>(
    backwards: impl Iterator<Item = Result<(AccessGuard<'t, K>, AccessGuard<'t, V>), StorageError>>,
    own: impl for<'a> Fn(K::SelfType<'a>, V::SelfType<'a>) -> (O, W),
) -> Option<O> {
    match walk(backwards, Ordering::Greater, own, |_, _| ControlFlow::Continue(())) {
        Walked::Broken { last, .. } => last,
        // What is broken forwards is broken backwards.
        Walked::Whole | Walked::Stopped => None,
    }
}
