//! The server's process: the core of a project, its sockets and its store, and how all that ends and begins again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_core::{ConnId, Core, HttpId};

use crate::{
    agenda::{Ask, Step},
    store::SimulatedStore,
};

/// The server, up or down.
#[derive(Debug)]
pub(crate) struct Server {
    /// Its memory; `None` while it is down.
    pub(crate) core: Option<Core>,
    pub(crate) store: SimulatedStore,
    /// How often it was started.
    pub(crate) run: u64,
    pub(crate) timer: Option<Duration>,
    pub(crate) links: BTreeMap<ConnId, usize>,
    /// Links whose login has not come: the core knows nothing of them.
    pub(crate) logging_in: BTreeSet<usize>,
    /// HTTP requests whose answers the core has yet to give.
    pub(crate) asked: BTreeMap<HttpId, Ask>,
    /// How far the wall clock was off when the core began.
    pub(crate) wall_offset_ms: i64,
    /// Since when the process stands still.
    pub(crate) stands_since: Option<Duration>,
    /// What it does when it goes on.
    pub(crate) put_off: Vec<Step>,
}

impl Server {
    pub(crate) fn new(durable: bool) -> Self {
        Self {
            core: None,
            store: SimulatedStore::new(durable),
            run: 0,
            timer: None,
            links: BTreeMap::new(),
            logging_in: BTreeSet::new(),
            asked: BTreeMap::new(),
            wall_offset_ms: 0,
            stands_since: None,
            put_off: Vec::new(),
        }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.core.is_some()
    }

    /// Another core takes the place of the one that is there. Gives the links that were connected to that.
    pub(crate) fn go_on_in(&mut self, core: Core) -> Vec<usize> {
        self.core = Some(core);
        self.run += 1;
        self.timer = None;
        self.asked.clear();
        std::mem::take(&mut self.links).into_values().collect()
    }
}
