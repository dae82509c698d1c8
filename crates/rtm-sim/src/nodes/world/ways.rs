//! The ways of what nodes say, to the engine and back, and to each other.

use std::time::Duration;

use bytes::Bytes;
use rtm_core::cluster::{EngineKey, EngineOp, NodeId, OpId, Outcome, Stored, View};

use super::{NodesWorld, Step};
use crate::nodes::engine::WAY;

impl NodesWorld {
    pub(in crate::nodes) fn asked(&mut self, node: usize, run: u64, id: OpId, op: EngineOp, is_delayed: bool) {
        if self.is_cut(node) {
            // It fails, is lost, or waits in a queue: some writes are done when nobody waits for them any more.
            match self.rng.below(3) {
                0 => {
                    let step = Step::Answered { node, run, id, outcome: Outcome::NoResponders };
                    self.agenda.plan(self.now + *WAY.end(), step);
                }
                1 => {
                    let at = self.back_at(node) + self.rng.between(&WAY);
                    self.agenda.plan(at, Step::Asked { node, run, id, op, is_delayed });
                }
                _ => {}
            }
            return;
        }
        if !is_delayed && self.rng.chance(self.engine.lies.delayed) {
            let pause = self.rng.about(Duration::from_secs(3));
            self.agenda.plan(self.now + pause, Step::Asked { node, run, id, op, is_delayed: true });
            return;
        }
        let shown = format!("{op:?}");
        let answer = self.engine.ask(self.now, op, &mut self.rng);
        self.trace.line(self.now, "engine", || {
            let shown: String = shown.chars().take(90).collect();
            format!("node {node} {shown} -> {}", outcome(&answer.outcome))
        });
        if let Some((key, stored)) = answer.written {
            match &key {
                EngineKey::View => {
                    self.counts.views += 1;
                    self.ledger.written(self.now, &stored.value);
                    self.trace.line(self.now, "engine", || format!("{:?}", View::decode(&stored.value)));
                }
                EngineKey::Node(name) => self.ledger.lease_written(self.now, name, &stored.value),
            }
            for node in 0..self.places.len() {
                if self.places[node].node.is_some() {
                    self.plan_watched(node, key.clone(), stored.clone());
                }
            }
        }
        if let Some(after) = answer.after {
            self.agenda.plan(self.now + after, Step::Answered { node, run, id, outcome: answer.outcome });
        }
    }

    /// From when on a node's watch tells something.
    pub(in crate::nodes) fn watches_from(&self, node: usize) -> Duration {
        self.places[node].watch_hangs_until.max(self.back_at(node))
    }

    pub(in crate::nodes) fn plan_watched(&mut self, node: usize, key: EngineKey, stored: Stored) {
        let at = (self.now + self.rng.between(&WAY)).max(self.watches_from(node));
        let place = &mut self.places[node];
        place.last_watched = place.last_watched.max(at);
        let (at, run) = (place.last_watched, place.run);
        self.agenda.plan(at, Step::Watched { node, run, key, stored });
    }

    pub(in crate::nodes) fn publish(&mut self, node: usize, to: &NodeId, payload: &Bytes, is_urgent: bool) {
        self.counts.payloads += 1;
        let run = self.places[node].run;
        let Some(target) = self.places.iter().position(|place| place.name == to.name) else { return };
        if self.is_off_bus(node) {
            // The queue of a connection that is away: some of it is sent when it is back.
            if self.rng.chance(300) {
                let at = self.away_until.max(self.places[node].cut.1) + self.rng.between(&WAY);
                self.agenda.plan(at, Step::Arrives { node: target, payload: payload.clone() });
            }
            return;
        }
        let place = &self.places[target];
        let silent_since =
            place.frozen.map(|(since, _)| since).or_else(|| self.is_off_bus(target).then_some(place.cut.0));
        let is_known_away = silent_since.is_some_and(|since| self.now > since + NOTICED);
        if place.node.is_none() || is_known_away {
            let at = self.now + self.rng.between(&WAY);
            self.agenda.plan(at, Step::NobodyThere { node, run, to: to.clone() });
            return;
        }
        if self.is_off_bus(target) {
            return;
        }
        for at in self.bus.arrivals(self.now, node, target, is_urgent, &mut self.rng) {
            self.agenda.plan(at, Step::Arrives { node: target, payload: payload.clone() });
        }
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Found(found) => format!("Found revision {:?}", found.as_ref().map(|stored| stored.revision)),
        other => format!("{other:?}"),
    }
}

/// After so long the bus notices that a process takes nothing any more.
const NOTICED: Duration = Duration::from_millis(5500);
