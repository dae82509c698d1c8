//! The ways of what nodes say, to the engine and back, and to each other.

use bytes::Bytes;
use rtm_core::cluster::{EngineKey, EngineOp, NodeId, OpId, Outcome, Stored, View};

use super::{NodesWorld, Step};
use crate::nodes::{
    engine::key_of,
    ways::{Carried, ToEngine},
};

impl NodesWorld {
    pub(in crate::nodes) fn asked(&mut self, node: usize, run: u64, id: OpId, op: EngineOp, is_delayed: bool) {
        match self.ways.to_engine(self.now, node, &mut self.rng) {
            ToEngine::Arrives => {}
            ToEngine::FailsAfter(pause) => {
                let step = Step::Answered { node, run, id, outcome: Outcome::NoResponders };
                return self.agenda.plan(self.now + pause, step);
            }
            ToEngine::Waits(at) => return self.agenda.plan(at, Step::Asked { node, run, id, op, is_delayed }),
            ToEngine::Lost => return,
        }
        if !is_delayed && let Some(pause) = self.engine.delays(&mut self.rng) {
            self.agenda.plan(self.now + pause, Step::Asked { node, run, id, op, is_delayed: true });
            return;
        }
        let answer = self.engine.ask(self.now, &op, &mut self.rng);
        let outcome = Outcome::from(answer.said);
        self.trace.line(self.now, "engine", || {
            let shown: String = format!("{op:?}").chars().take(90).collect();
            format!("node {node} {shown} -> {}", self::outcome(&outcome))
        });
        if let Some(kept) = answer.written {
            let (key, stored) = (key_of(&op), Stored::from(kept));
            match key {
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
            self.agenda.plan(self.now + after, Step::Answered { node, run, id, outcome });
        }
    }

    pub(in crate::nodes) fn plan_watched(&mut self, node: usize, key: EngineKey, stored: Stored) {
        let at = self.ways.watched_at(self.now, node, &mut self.rng);
        let run = self.places[node].run;
        self.agenda.plan(at, Step::Watched { node, run, key, stored });
    }

    pub(in crate::nodes) fn publish(&mut self, node: usize, to: &NodeId, payload: &Bytes, is_urgent: bool) {
        self.counts.payloads += 1;
        let run = self.places[node].run;
        let Some(target) = self.places.iter().position(|place| place.name == to.name) else { return };
        let place = &self.places[target];
        let (is_there, stands_since) = (place.node.is_some(), place.frozen.map(|(since, _)| since));
        match self.ways.carry(self.now, (node, target), is_urgent, is_there, stands_since, &mut self.rng) {
            Carried::Arrives(times) => {
                for at in times {
                    self.agenda.plan(at, Step::Arrives { node: target, payload: payload.clone() });
                }
            }
            Carried::NobodyThere(at) => self.agenda.plan(at, Step::NobodyThere { node, run, to: to.clone() }),
        }
    }
}

fn outcome(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Found(found) => format!("Found revision {:?}", found.as_ref().map(|stored| stored.revision)),
        other => format!("{other:?}"),
    }
}
