//! What an operator wants of a node.

use std::{sync::Arc, time::Duration};

use rtm_codec::AppId;
use rtm_core::Now;

use super::Driver;
use crate::project::{Project, now};

/// What an operator wants of a node.
#[derive(Debug)]
pub(crate) enum Order {
    /// It gives away what it is the home of.
    Drain,
    /// It serves one project more, with these cores.
    Serve(Vec<Arc<Project>>),
    /// It does not serve a project any more.
    Forget(AppId),
    /// Projects go by other terms, which the other nodes are to know.
    SayTerms,
    /// It goes.
    Leave,
}

impl Driver {
    pub(super) fn obey(&mut self, order: Order) {
        match order {
            Order::Drain => self.gear.node.drain(now()),
            Order::Serve(cores) => self.serve(cores),
            Order::Forget(app_id) => {
                self.places.remove(&app_id);
                self.unopened.remove(&app_id);
                self.said_at = None;
            }
            Order::SayTerms => self.said_at = None,
            Order::Leave => self.leaves_by = Some(now().instant + LAST_WORDS),
        }
    }

    /// Leaves, if it is to, once no other member waits for anything that was said to it.
    pub(super) fn leave_if_heard(&mut self, time: Now) {
        let Some(leaves_by) = self.leaves_by else { return };
        while let Ok((place, postings)) = self.gear.parcels.try_recv() {
            self.post(place, postings);
        }
        let is_heard = self.members.iter().all(|node| self.gear.node.waiting_bytes(node) == 0);
        if is_heard || leaves_by <= time.instant {
            self.leaves_by = None;
            self.gear.node.leave(time);
        }
    }
}

/// How long a node that leaves waits for the others to take what it said last: they forward it, or tell of it.
const LAST_WORDS: Duration = Duration::from_secs(1);
