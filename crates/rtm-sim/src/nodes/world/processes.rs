//! What happens to processes: they start, end, stand still, go on, and leave.

use std::time::Duration;

use rtm_core::cluster::{MembershipConfig, Node, NodeConfig, Stored};

use super::{NodesWorld, Step};
impl NodesWorld {
    pub(in crate::nodes) fn start(&mut self, node: usize) {
        if self.places[node].node.is_some() {
            return;
        }
        let seed = self.rng.number();
        let now = self.clock(node);
        let place = &mut self.places[node];
        place.run += 1;
        (place.frozen, place.is_draining, place.leaves) = (None, false, false);
        place.put_off.clear();
        place.well_since = self.now;
        let mut membership = MembershipConfig::new(place.name.clone());
        membership.proto = place.proto;
        let config = NodeConfig { membership, post: self.post };
        place.node = Some(Node::new(config, seed, now));
        self.line(node, || "starts".to_owned());
        let all: Vec<_> = self.engine.all().map(|(key, stored)| (key.clone(), Stored::from(stored.clone()))).collect();
        for (key, stored) in all {
            self.plan_watched(node, key, stored);
        }
        let (pause, run) = (self.rng.about(self.talks_every), self.places[node].run);
        self.agenda.plan(self.now + pause, Step::Talks { node, run });
        self.drive(node);
    }

    /// A process is gone, without a word.
    pub(in crate::nodes) fn kill(&mut self, node: usize) {
        let place = &mut self.places[node];
        if place.node.take().is_some() {
            let run = place.run;
            place.timer_at = None;
            place.frozen = None;
            place.put_off.clear();
            self.ledger.ended(node, run);
            self.line(node, || "is gone".to_owned());
        }
    }

    /// A process stands still. With its whole computer, its steady clock does so too.
    pub(in crate::nodes) fn freeze(&mut self, node: usize, time: Duration) {
        let now = self.now;
        let place = &mut self.places[node];
        if place.node.is_none() || place.frozen.is_some() {
            return;
        }
        place.freezes += 1;
        place.frozen = Some((now, place.freezes));
        let freeze = place.freezes;
        self.ledger.excuse(node, now + time);
        self.line(node, || format!("stands still for {time:?}"));
        self.agenda.plan(now + time, Step::Thaws { node, freeze });
    }

    pub(in crate::nodes) fn thaw(&mut self, node: usize, is_snapshot: bool) {
        let now = self.now;
        let timer_first = self.rng.chance(500);
        let place = &mut self.places[node];
        let Some((since, _)) = place.frozen.take() else { return };
        place.well_since = now;
        if is_snapshot {
            place.behind += now - since;
        }
        let put_off = std::mem::take(&mut place.put_off);
        self.line(node, || format!("goes on, {} things wait", put_off.len()));
        if timer_first {
            let clock = self.clock(node);
            self.input(node, |it| it.handle_timeout(clock));
        }
        for step in put_off {
            self.step(step);
        }
        self.drive(node);
    }

    /// Everything is well from now on.
    pub(in crate::nodes) fn heal(&mut self) {
        self.trace.line(self.now, "world", || "heals".to_owned());
        self.well_since = Some(self.now);
        self.ways.heal(self.now);
        self.engine.heal(self.now);
        for node in 0..self.places.len() {
            self.thaw(node, false);
            self.start(node);
            if self.places[node].is_draining {
                self.leave(node);
            }
        }
    }

    pub(in crate::nodes) fn drain(&mut self, node: usize, leaves_after: Duration) {
        let clock = self.clock(node);
        let place = &mut self.places[node];
        if place.node.is_none() || place.frozen.is_some() || place.is_draining {
            return;
        }
        place.is_draining = true;
        let run = place.run;
        self.line(node, || "drains".to_owned());
        self.input(node, |it| it.drain(clock));
        self.agenda.plan(self.now + leaves_after, Step::Leaves { node, run });
    }

    pub(in crate::nodes) fn leave(&mut self, node: usize) {
        let clock = self.clock(node);
        let place = &mut self.places[node];
        if std::mem::replace(&mut place.leaves, true) {
            return;
        }
        let run = place.run;
        self.agenda.plan(self.now + LEAVES_WITHIN, Step::Ends { node, run });
        self.input(node, |it| it.leave(clock));
    }
}

/// A process that leaves is ended after so long.
const LEAVES_WITHIN: Duration = Duration::from_secs(10);
