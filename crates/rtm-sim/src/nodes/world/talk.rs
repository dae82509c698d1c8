//! What nodes tell each other, and what is looked over meanwhile and in the end.

use std::time::Duration;

use bytes::Bytes;
use rtm_codec::AppId;
use rtm_core::cluster::{NodeId, Parcel, Priority, Role, Standing, Ticket};

use super::{NodesWorld, Step};
use crate::nodes::check::{NodesInvariant, NodesViolation};

impl NodesWorld {
    /// A node says something to another.
    pub(in crate::nodes) fn talk(&mut self, node: usize) {
        self.check_standing(node);
        let pause = self.rng.about(self.talks_every);
        let clock = self.clock(node);
        let parcels = if self.rng.chance(20) { 100 } else { self.rng.below(3) };
        let priority = if self.rng.chance(300) { Priority::Urgent } else { Priority::Bulk };
        let bytes = if self.rng.chance(50) { 20_000 } else { 100 };
        let resets = self.rng.chance(5);
        let run = self.places[node].run;
        let Some(it) = &mut self.places[node].node else { return };
        self.agenda.plan(self.now + pause, Step::Talks { node, run });
        if it.standing(clock) == Standing::Outside {
            return;
        }
        let me = it.id().clone();
        let others: Vec<NodeId> = it.view().members().iter().map(|one| one.id.clone()).filter(|id| *id != me).collect();
        let Some(to) = self.rng.pick(&others).cloned() else { return };
        let way = (me, to.clone(), priority);
        for _ in 0..parcels {
            let place = &mut self.places[node];
            let Some(it) = &mut place.node else { return };
            let number = self.ledger.next_number(&way);
            let ticket = place.tickets + 1;
            match it.send(clock.instant, &to, priority, parcel(number, bytes).seal(), Some(Ticket(ticket))) {
                Ok(()) => {
                    place.tickets = ticket;
                    self.ledger.sent(self.now, node, place.run, ticket, way.clone(), number);
                }
                Err(_) => break,
            }
            let (waits, most) = (it.waiting_bytes(&to), self.post.urgent_bytes + self.post.bulk_bytes);
            if waits > most {
                self.ledger.broken(self.now, NodesInvariant::BoxesBounded, format!("{waits} bytes wait for {to}"));
            }
        }
        self.input(node, |it| {
            if resets {
                it.reset(clock.instant, &to, priority);
            }
        });
    }

    /// Looks everything over, once a second.
    pub(in crate::nodes) fn look(&mut self) {
        self.agenda.plan(self.now + Duration::from_secs(1), Step::Look);
        for node in 0..self.places.len() {
            if self.ways.is_cut(self.now, node) || self.now < self.engine.leaderless_until {
                self.places[node].well_since = self.now;
            }
            let clock = self.clock(node);
            let place = &self.places[node];
            let Some(it) = place.node.as_ref().filter(|_| place.frozen.is_none() && !place.leaves) else { continue };
            let is_out = it.standing(clock) != Standing::Outside && !self.ledger.is_in_truth(it.id());
            let since = place.well_since.max(self.ledger.truth_changed());
            if is_out && self.now > since + STOPS_WITHIN {
                let detail = format!("{} was left out at {:?} and does not know", it.id(), self.ledger.truth_changed());
                self.ledger.broken(self.now, NodesInvariant::StopsInTime, detail);
            }
        }
        if let Some(since) = self.well_since.filter(|since| self.now > *since + AGREED_WITHIN) {
            self.ledger.look_for_waiting(self.now, since + AGREED_WITHIN);
        }
    }

    /// All nodes are to be in one view by now, and know it.
    pub(in crate::nodes) fn check_agreed(&mut self) -> Result<(), NodesViolation> {
        let mut wrong = None;
        for node in 0..self.places.len() {
            let clock = self.clock(node);
            let Some(it) = &self.places[node].node else {
                wrong.get_or_insert_with(|| format!("node {node} does not run"));
                continue;
            };
            let is_member = it.standing(clock) == Standing::Member;
            let truth = self.ledger.truth.as_ref();
            let knows = truth.is_some_and(|truth| truth.epoch() <= it.view().epoch() + 1 && truth.has(it.id()));
            if !is_member || !knows {
                wrong.get_or_insert_with(|| {
                    format!("node {node} is {:?} in {:?}, the truth is {truth:?}", it.standing(clock), it.view())
                });
            }
        }
        if let Some(truth) = &self.ledger.truth
            && truth.members().len() != self.places.len()
        {
            wrong.get_or_insert_with(|| format!("{truth:?} has not all nodes"));
        }
        if let Some(detail) = wrong {
            self.ledger.broken(self.now, NodesInvariant::NothingStuck, detail);
        }
        self.ledger.violation().map_or(Ok(()), |violation| Err(violation.clone()))
    }

    /// All nodes are to be homes by now, each of its partitions.
    pub(in crate::nodes) fn check_homes(&mut self) -> Result<(), NodesViolation> {
        let Some(truth) = &self.ledger.truth else { return Ok(()) };
        let are_homes = truth.members().iter().all(|member| member.role == Role::Home);
        if !are_homes || truth.is_unbalanced() {
            let detail = format!("{truth:?} is not settled");
            self.ledger.broken(self.now, NodesInvariant::PartitionsSettle, detail);
        }
        self.ledger.violation().map_or(Ok(()), |violation| Err(violation.clone()))
    }
}

fn parcel(number: u64, bytes: usize) -> Parcel {
    let app_id = AppId::new("5e1f0000000000000000000000000001").expect("32 letters and digits");
    let head = Bytes::copy_from_slice(&number.to_le_bytes());
    Parcel::Project { app_id, head, body: vec![0; bytes].into() }
}

pub(super) fn number(parcel: &Parcel) -> u64 {
    match parcel {
        Parcel::Project { head, .. } | Parcel::Workers { head, .. } => {
            head.as_ref().try_into().map_or(u64::MAX, u64::from_le_bytes)
        }
    }
}

/// A node that was left out, runs and reaches the engine knows it within this.
const STOPS_WITHIN: Duration = Duration::from_secs(8);

/// All nodes are in one view so long after everything is well.
pub(in crate::nodes) const AGREED_WITHIN: Duration = Duration::from_secs(30);
