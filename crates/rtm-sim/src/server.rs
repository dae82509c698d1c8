//! A server's process: the core of a project, its sockets, and how all that ends and begins again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_core::{ConnId, Core, HttpId, cluster::NodeName};

use crate::{
    agenda::{Ask, Step},
    cluster::Member,
    store::StoreQueue,
};

/// A server, up or down.
#[derive(Debug)]
pub(crate) struct Server {
    pub(crate) name: NodeName,
    /// Its part of a cluster, if it is one of several and up.
    pub(crate) member: Option<Member>,
    /// How often its process was started.
    pub(crate) process: u64,
    /// Its memory; `None` while it is down, and as long as it is no member.
    pub(crate) core: Option<Core>,
    /// What it has asked of the store.
    pub(crate) queue: StoreQueue,
    /// How often that began.
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
    /// Whether it sends all clients away just now.
    pub(crate) is_ending: bool,
}

impl Server {
    pub(crate) fn new(name: &str) -> Self {
        Self {
            name: NodeName::new(name).expect("letters and digits"),
            member: None,
            process: 0,
            core: None,
            queue: StoreQueue::default(),
            run: 0,
            timer: None,
            links: BTreeMap::new(),
            logging_in: BTreeSet::new(),
            asked: BTreeMap::new(),
            wall_offset_ms: 0,
            stands_since: None,
            put_off: Vec::new(),
            is_ending: false,
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
