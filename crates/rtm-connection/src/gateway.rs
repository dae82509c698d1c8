//! What a link knows of the vendor's gateway: where else to connect, and what was asked since the login.

use std::{collections::BTreeMap, time::Instant, vec};

use rtm_codec::{
    QueryHistory, RequestId, Text,
    anyrtc::gateway::{Address, Caller, GatewayRequest, StoredCursor, StoredQuery},
    limits::HISTORY_PAGE,
};

use crate::AskId;

/// The servers that the gateway named for one attempt to connect.
#[derive(Debug)]
pub(crate) struct Route {
    /// What the login and later requests to the gateway name.
    pub(crate) session: Text,
    left: vec::IntoIter<Address>,
}

impl Route {
    /// Start with a different server at each attempt: its time may run out before the last one is tried.
    pub(crate) fn new(session: Text, mut servers: Vec<Address>, attempt: u32) -> Self {
        let first = attempt.saturating_sub(1) as usize % servers.len().max(1);
        servers.rotate_left(first);
        Self { session, left: servers.into_iter() }
    }

    /// How many servers are left to be tried.
    pub(crate) fn untried(&self) -> usize {
        self.left.len()
    }

    /// The next server to try.
    pub(crate) fn next(&mut self) -> Option<Address> {
        self.left.next()
    }
}

/// What is asked of the gateway over one login.
#[derive(Debug)]
pub(crate) struct Gateway {
    caller: Caller,
    pub(crate) stored: Stored,
    /// The history queries that it has.
    pub(crate) queries: BTreeMap<AskId, RequestId>,
}

/// How far fetching the stored messages is. `after`: where the last page ended that is here.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Stored {
    /// A page of them is asked for, for the time since something of it came. `tries`: how often so far.
    Asked { ask: AskId, after: Option<StoredCursor>, tries: u32, until: Instant },
    /// That failed, and is tried again then.
    Waiting { after: Option<StoredCursor>, tries: u32, until: Instant },
    /// They are here, or not to be had.
    Done,
}

impl Gateway {
    pub(crate) fn new(caller: Caller) -> Self {
        Self { caller, stored: Stored::Done, queries: BTreeMap::new() }
    }

    /// Asks for the page after one that is here, which says so to the server.
    pub(crate) fn stored_request(&self, after: Option<StoredCursor>) -> GatewayRequest {
        let page = Some(StoredQuery { after, limit: HISTORY_PAGE as u32 });
        GatewayRequest::OfflineMessages { caller: self.caller.clone(), page }
    }

    pub(crate) fn history_request(&self, query: &QueryHistory) -> GatewayRequest {
        GatewayRequest::History { caller: self.caller.clone(), query: query.clone() }
    }

    /// When the time of [`stored`](Self::stored) is over.
    pub(crate) fn stored_at(&self) -> Option<Instant> {
        match self.stored {
            Stored::Asked { until, .. } | Stored::Waiting { until, .. } => Some(until),
            Stored::Done => None,
        }
    }

    /// What it has not answered.
    pub(crate) fn asks(&self) -> impl Iterator<Item = AskId> {
        let stored = match self.stored {
            Stored::Asked { ask, .. } => Some(ask),
            Stored::Waiting { .. } | Stored::Done => None,
        };
        self.queries.keys().copied().chain(stored)
    }
}
