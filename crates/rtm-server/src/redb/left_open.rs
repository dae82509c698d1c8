//! What events leave open that go from a log: kept as state, so that a start after a crash finds what it has to end.

use std::collections::BTreeSet;

use ::redb::ReadableTable as _;
use rtm_core::{
    EventTypes, ProjectEvent,
    store::{OpenEvents, OpenKey, StateKey, StateKind, StateValue},
};

use super::{
    Fault,
    damage::Damage,
    tables::{StateTable, decode_value},
};

/// What the events leave open that go from one log. Most sessions have begun and ended in what goes at once, and never come
/// into the table.
pub(super) struct LeftOpen<'a, 't> {
    pub(super) app: &'a str,
    table: &'a mut StateTable<'t>,
    damage: &'a Damage,
    /// The types of events that the log has.
    written: EventTypes,
    open: OpenEvents,
    /// What was taken from the table.
    loaded: BTreeSet<OpenKey>,
}

impl<'a, 't> LeftOpen<'a, 't> {
    pub(super) fn new(app: &'a str, table: &'a mut StateTable<'t>, damage: &'a Damage, written: EventTypes) -> Self {
        Self { app, table, damage, written, open: OpenEvents::default(), loaded: BTreeSet::new() }
    }

    /// The next event goes.
    pub(super) fn see(&mut self, event: ProjectEvent) -> Result<(), Fault> {
        let keys = OpenEvents::keys(&event);
        if keys.is_empty() {
            return Ok(());
        }
        for key in keys {
            if self.loaded.insert(key.clone()) {
                let text = StateKey::Open(key.clone()).to_text().into_owned();
                let kept = self.table.get((self.app, text.as_str()))?;
                let value =
                    kept.and_then(|kept| decode_value(StateKind::Open, self.app, &text, kept.value(), self.damage));
                if let Some(StateValue::Open(left)) = value {
                    self.open.load(&key, left);
                }
            }
        }
        self.open.see(event);
        if self.loaded.len() >= AT_ONCE { self.write() } else { Ok(()) }
    }

    /// Keeps what is left.
    pub(super) fn write(&mut self) -> Result<(), Fault> {
        for key in std::mem::take(&mut self.loaded) {
            let left = self.open.left(&key);
            let is_over = left.is_empty() || !OpenEvents::are_followed(&key, self.written);
            let text = StateKey::Open(key).to_text().into_owned();
            match is_over {
                true => drop(self.table.remove((self.app, text.as_str()))?),
                false => {
                    let record = StateValue::Open(left).encode();
                    self.table.insert((self.app, text.as_str()), record.as_slice())?;
                }
            }
        }
        self.open = OpenEvents::default();
        Ok(())
    }
}

/// So much is held in memory before it is written.
const AT_ONCE: usize = 16 * 1024;
