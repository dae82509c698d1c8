//! A server that is a cluster of one, beside the same server without a cluster. What takes time elsewhere takes none in both:
//! so nobody is to see a difference, to the nanosecond.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::UserId;
use rtm_core::cluster::{Change, EngineAnswer, EngineJob, EngineWork, NodeId, PROTO, Revised, UserEntry, View};

use super::World;
use crate::{check::Invariant, faults::Faults};

/// Which of the two a world is.
#[derive(Debug, Default)]
pub(crate) enum OfOne {
    /// Neither.
    #[default]
    No,
    /// The server without a cluster.
    Alone,
    /// The cluster, with what its engine has of users.
    Cluster(Users),
}

/// What an engine that answers at once has of users. It outlives the server.
#[derive(Debug, Default)]
pub(crate) struct Users {
    entries: BTreeMap<UserId, Revised>,
    revision: u64,
}

impl OfOne {
    pub(crate) fn is_compared(&self) -> bool {
        !matches!(self, Self::No)
    }
}

impl Users {
    fn serve(&mut self, user_id: &UserId, work: EngineWork) -> (EngineAnswer, Option<Revised>) {
        let none = Revised { entry: None, revision: 0 };
        let present = self.entries.get(user_id).cloned().unwrap_or(none);
        match work {
            EngineWork::Read => (EngineAnswer::Read(present), None),
            EngineWork::Write { expected, .. } if expected != present.revision => (EngineAnswer::Conflict, None),
            EngineWork::Write { entry, .. } => {
                let written = self.write(user_id, entry);
                (EngineAnswer::Written(written.revision), Some(written))
            }
        }
    }

    fn write(&mut self, user_id: &UserId, entry: Option<UserEntry>) -> Revised {
        self.revision += 1;
        let written = Revised { entry, revision: self.revision };
        self.entries.insert(user_id.clone(), written.clone());
        written
    }
}

impl World {
    /// Makes the world one of two that are compared. To be called before anybody is there.
    pub(crate) fn compare(&mut self, of_one: OfOne) {
        self.of_one = of_one;
        self.join_of_one();
    }

    /// The same things go wrong, but nothing is drawn for what may happen another number of times in the two worlds.
    pub(super) fn compared(&self, mut faults: Faults) -> Faults {
        if self.of_one.is_compared() {
            (faults.store_delay, faults.store_failures) = (Duration::ZERO..=Duration::ZERO, 0);
            faults.pauses_every = None;
            (faults.delay, faults.splits) = (*faults.delay.start()..=*faults.delay.start(), 0);
            (faults.doomed, faults.bandwidth) = (0, None);
        }
        faults
    }

    /// Whether nothing is drawn for what may happen another number of times in a world that this one is compared with.
    pub(crate) fn is_of_one(&self) -> bool {
        self.of_one.is_compared()
    }

    /// The server has begun: it is the only member of a new view.
    pub(crate) fn join_of_one(&mut self) {
        let OfOne::Cluster(users) = &self.of_one else { return };
        let now = self.server_now();
        let server = &mut self.servers[0];
        let Some(core) = &mut server.core else { return };
        let id = NodeId { name: server.name.clone(), incarnation: server.run };
        let (joins, is_home) = (Change::Join(id.clone(), PROTO, 1), Change::Home(id.clone()));
        core.join_cluster(id, View::empty(server.run * 2).next(&[joins]).next(&[is_home]));
        users.entries.iter().for_each(|(user_id, heard)| core.handle_entry(now, user_id, heard));
    }

    /// The engine answers at once, and the watch tells of it.
    pub(crate) fn settle_of_one(&mut self) {
        let now = self.server_now();
        let (OfOne::Cluster(users), Some(core)) = (&mut self.of_one, &mut self.servers[0].core) else { return };
        loop {
            let (mut parcels, mut jobs) = (Vec::new(), Vec::new());
            core.take_parcels(&mut parcels);
            core.take_engine_jobs(&mut jobs);
            if let Some(posting) = parcels.first() {
                let detail = format!("a cluster of one says {:?} to {}", posting.parcel, posting.to);
                return self.ledger.broke_cluster(self.now, Invariant::Bounds, detail);
            }
            if jobs.is_empty() {
                return;
            }
            for EngineJob { id, user_id, work } in jobs {
                let (answer, written) = users.serve(&user_id, work);
                core.handle_engine(now, id, answer);
                if let Some(heard) = written {
                    core.handle_entry(now, &user_id, &heard);
                }
            }
        }
    }
}
