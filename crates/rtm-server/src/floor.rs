//! The cores of one project where a server is alone: what they say to each other, and what is decided once for all of them.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::{Arc, Mutex, PoisonError},
    time::{Duration, Instant},
};

use rtm_codec::UserId;
use rtm_core::cluster::{
    Change, EngineAnswer, EngineJob, EngineWork, NodeId, NodeName, PROTO, Posted, Posting, Revised, Ticket, View,
};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use crate::{clock::instant, link::FromCluster, project::Project};

/// The place of one core among those of its project.
#[derive(Debug)]
pub(crate) struct Desk {
    floor: Arc<Floor>,
    number: usize,
}

/// What comes to a desk.
#[derive(Debug)]
pub(crate) struct Inbox {
    floor: Arc<Floor>,
    deliveries: UnboundedReceiver<Delivery>,
}

/// The cores of one project.
#[derive(Debug)]
struct Floor {
    inboxes: Vec<UnboundedSender<Delivery>>,
    entries: Mutex<Entries>,
}

/// What comes to a core, and who is told when it has it.
#[derive(Debug)]
struct Delivery {
    what: FromCluster,
    receipt: Option<(usize, Ticket)>,
}

/// Where each user's session is.
#[derive(Debug, Default)]
struct Entries {
    entries: BTreeMap<UserId, Revised>,
    revision: u64,
    /// Removed entries, which are forgotten some time after all cores have heard of it.
    removed: VecDeque<(Instant, UserId, u64)>,
}

impl Desk {
    /// So many desks, and what comes to each.
    pub(crate) fn set_up(workers: u16) -> Vec<(Self, Inbox)> {
        let (inboxes, receivers): (Vec<_>, Vec<_>) = (0..workers).map(|_| unbounded_channel()).unzip();
        let floor = Arc::new(Floor { inboxes, entries: Mutex::default() });
        let desk = |(number, deliveries)| {
            let floor = || Arc::clone(&floor);
            (Self { floor: floor(), number }, Inbox { floor: floor(), deliveries })
        };
        receivers.into_iter().enumerate().map(desk).collect()
    }

    /// What the core says to others.
    pub(crate) fn post(&self, postings: Vec<Posting>) {
        for Posting { to, parcel, ticket } in postings {
            let (_, to) = to.node_and_worker();
            let from = id(u16::try_from(self.number).unwrap_or_default());
            let receipt = ticket.map(|ticket| (self.number, ticket));
            self.floor.deliver(usize::from(to), FromCluster::Parcel(from, parcel), receipt);
        }
    }

    /// What the core wants decided.
    pub(crate) fn ask(&self, jobs: &[EngineJob]) {
        for EngineJob { id, user_id, work } in jobs {
            let mut entries = self.floor.entries.lock().unwrap_or_else(PoisonError::into_inner);
            let answer = entries.decide(user_id, work, instant());
            // While nobody else decides, so that all hear of changes in their order.
            if let EngineAnswer::Written(revision) = answer
                && let EngineWork::Write { entry, .. } = work
            {
                for to in 0..self.floor.inboxes.len() {
                    let heard = Revised { entry: entry.clone(), revision };
                    self.floor.deliver(to, FromCluster::Entry(user_id.clone(), heard), None);
                }
            }
            self.floor.deliver(self.number, FromCluster::Answer(*id, answer), None);
        }
    }
}

impl Floor {
    fn deliver(&self, to: usize, what: FromCluster, receipt: Option<(usize, Ticket)>) {
        if let Some(inbox) = self.inboxes.get(to) {
            // Nobody is there only when the server ends.
            let _ = inbox.send(Delivery { what, receipt });
        }
    }
}

impl Inbox {
    /// Hands the core of this desk what comes to it, until the server ends.
    pub(crate) async fn serve(mut self, core: Arc<Project>) {
        let mut deliveries = Vec::new();
        while self.deliveries.recv_many(&mut deliveries, AT_ONCE).await > 0 {
            let mut receipts = Vec::new();
            let events = deliveries.drain(..).map(|Delivery { what, receipt }| {
                receipts.extend(receipt);
                what
            });
            core.handle_cluster(events.collect());
            for (to, ticket) in receipts {
                self.floor.deliver(to, FromCluster::Posted(ticket, Posted::Taken), None);
            }
        }
    }
}

impl Entries {
    fn decide(&mut self, user_id: &UserId, work: &EngineWork, now: Instant) -> EngineAnswer {
        while let Some((at, ..)) = self.removed.front()
            && *at + REMEMBERED <= now
            && let Some((_, user_id, revision)) = self.removed.pop_front()
        {
            if self.entries.get(&user_id).is_some_and(|entry| entry.revision == revision) {
                self.entries.remove(&user_id);
            }
        }
        let nothing = Revised { entry: None, revision: 0 };
        let present = self.entries.get(user_id).unwrap_or(&nothing);
        match work {
            EngineWork::Read => EngineAnswer::Read(present.clone()),
            EngineWork::Write { expected, .. } if *expected != present.revision => EngineAnswer::Conflict,
            EngineWork::Write { entry, .. } => {
                self.revision += 1;
                if entry.is_none() {
                    self.removed.push_back((now, user_id.clone(), self.revision));
                }
                let new = Revised { entry: entry.clone(), revision: self.revision };
                self.entries.insert(user_id.clone(), new);
                EngineAnswer::Written(self.revision)
            }
        }
    }
}

/// The name of a core of this server, which nobody outside ever hears.
pub(crate) fn id(number: u16) -> NodeId {
    let name = NodeName::new("alone").expect("visible characters, and not too many");
    NodeId { name, incarnation: 1 }.worker(number)
}

/// The view of so many cores: it never changes.
pub(crate) fn view(workers: u16) -> View {
    View::empty(0).next(&[Change::Join(id(0), PROTO, workers)]).by_worker()
}

/// How much is taken before a core has it.
const AT_ONCE: usize = 256;

/// How long a removed entry is known to have been there.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);

#[cfg(test)]
mod tests {
    use rtm_codec::SessionId;
    use rtm_core::cluster::UserEntry;

    use super::*;

    fn write(entry: bool, expected: u64) -> EngineWork {
        let entry = entry.then(|| UserEntry { node: id(1), session: SessionId([1; 16]), epoch: 1 });
        EngineWork::Write { entry, expected }
    }

    #[test]
    fn a_write_is_done_only_over_the_revision_that_it_names() {
        let (mut entries, now) = (Entries::default(), instant());
        let user = UserId::new("alice").unwrap();
        assert_eq!(entries.decide(&user, &write(true, 1), now), EngineAnswer::Conflict);
        assert_eq!(entries.decide(&user, &write(true, 0), now), EngineAnswer::Written(1));
        assert_eq!(entries.decide(&user, &write(true, 0), now), EngineAnswer::Conflict);
        assert_eq!(entries.decide(&user, &write(false, 1), now), EngineAnswer::Written(2));
        let removed = EngineAnswer::Read(Revised { entry: None, revision: 2 });
        assert_eq!(entries.decide(&user, &EngineWork::Read, now + REMEMBERED / 2), removed);
        let never = EngineAnswer::Read(Revised { entry: None, revision: 0 });
        assert_eq!(entries.decide(&user, &EngineWork::Read, now + REMEMBERED), never);
        assert_eq!(entries.decide(&user, &write(true, 0), now + REMEMBERED), EngineAnswer::Written(3));
    }

    #[test]
    fn a_user_that_came_back_is_not_forgotten() {
        let (mut entries, now) = (Entries::default(), instant());
        let user = UserId::new("alice").unwrap();
        for (entry, expected) in [(true, 0), (false, 1), (true, 2)] {
            assert_eq!(entries.decide(&user, &write(entry, expected), now), EngineAnswer::Written(expected + 1));
        }
        let read = entries.decide(&user, &EngineWork::Read, now + REMEMBERED);
        assert!(matches!(read, EngineAnswer::Read(Revised { entry: Some(_), revision: 3 })), "{read:?}");
    }
}
