//! What nodes promise, and the ledger that holds a world of them to it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use rtm_core::cluster::{LeaseEntry, Left, MembershipEvent, NodeId, NodeName, Priority, Settled, Standing, View};

/// A promise of the node level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum NodesInvariant {
    /// Views follow each other one by one, and no node goes back to an earlier one.
    ViewsRise,
    /// Whoever counts itself as a member is in the view that the engine has: before others go on without a node, it
    /// has stopped.
    NobodyDecidesOutside,
    /// Nobody is put out who is well: not because the engine is away, a watch hangs, or another node slept.
    NobodyHealthyOut,
    /// A node that was put out says so soon, if it can know.
    StopsInTime,
    /// On a well network all nodes come into one view, and everything that waits ends.
    NothingStuck,
    /// Boxes hold no more than they may.
    BoxesBounded,
    /// Parcels of one node and priority arrive in order, once, and without a hole that is not told.
    PostOrder,
    /// What a sender is told of a parcel is true, and told once.
    SettledTrue,
    /// Partitions move as planned: at most 64 in a view in which nobody left, and in the end each has its home.
    PartitionsSettle,
    /// Nothing panics.
    NoPanic,
}

/// A broken promise of the node level.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NodesViolation {
    /// Which promise.
    pub invariant: NodesInvariant,
    /// When that showed.
    pub at: Duration,
    /// What happened.
    pub detail: String,
}

impl fmt::Display for NodesViolation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:.4} s: {}", self.invariant, self.at.as_secs_f64(), self.detail)
    }
}

impl std::error::Error for NodesViolation {}

/// From which life to which, among which parcels.
type Way = (NodeId, NodeId, Priority);

/// What happened, as far as it is needed to judge.
#[derive(Debug, Default)]
pub(crate) struct Ledger {
    /// The view that the engine has.
    pub(crate) truth: Option<View>,
    /// Who was in some view: no life comes back.
    truth_changed: Duration,
    /// Until when being put out is no wonder.
    excused: BTreeMap<usize, Duration>,
    /// When the last life of each node was put out: its lease was written over, or it went out of the engine's view.
    dropped: BTreeMap<NodeName, (u64, Duration)>,
    /// The last epoch that a process told.
    told: BTreeMap<(usize, u64), u64>,
    /// The numbers of parcels that were given to the post, and that came.
    sent: BTreeMap<Way, u64>,
    came: BTreeMap<Way, u64>,
    may_have_hole: BTreeSet<Way>,
    /// Parcels whose senders wait to be told: by process and ticket.
    waiting: BTreeMap<(usize, u64, u64), Waiting>,
    violation: Option<NodesViolation>,
}

#[derive(Debug)]
struct Waiting {
    way: Way,
    number: u64,
    since: Duration,
}

impl Ledger {
    pub(crate) fn violation(&self) -> Option<&NodesViolation> {
        self.violation.as_ref()
    }

    pub(crate) fn broken(&mut self, now: Duration, invariant: NodesInvariant, detail: String) {
        self.violation.get_or_insert(NodesViolation { invariant, at: now, detail });
    }

    /// Something happens to a node for which the others may put it out until then, and a while after.
    pub(crate) fn excuse(&mut self, node: usize, until: Duration) {
        let until = until + EXCUSED_AFTER;
        let excused = self.excused.entry(node).or_default();
        *excused = until.max(*excused);
    }

    /// The engine took a new view.
    pub(crate) fn written(&mut self, now: Duration, value: &[u8]) {
        let Ok(view) = View::decode(value) else {
            return self.broken(now, NodesInvariant::ViewsRise, "the view cannot be read".to_owned());
        };
        let before = self.truth.take().unwrap_or_else(|| View::empty(0));
        if view.epoch() != before.epoch() + 1 {
            let detail = format!("view {} comes after {}", view.epoch(), before.epoch());
            self.broken(now, NodesInvariant::ViewsRise, detail);
        }
        let lost = before.members().iter().filter(|member| !view.has(&member.id)).count();
        let partitions = 0..rtm_core::cluster::PARTITIONS;
        let moved = partitions.filter(|&partition| {
            let home = |view: &View| view.home(partition).map(|home| home.id.clone());
            home(&before).is_some() && home(&before) != home(&view)
        });
        let moved = moved.count();
        if lost == 0 && moved > 64 {
            self.broken(
                now,
                NodesInvariant::PartitionsSettle,
                format!("{moved} partitions move in view {}", view.epoch()),
            );
        }
        for member in before.members().iter().filter(|member| !view.has(&member.id)) {
            self.dropped(now, &member.id.name, member.id.incarnation);
        }
        self.truth = Some(view);
        self.truth_changed = now;
    }

    /// A life of a node is over, if it was not before.
    fn dropped(&mut self, now: Duration, name: &NodeName, incarnation: u64) {
        let dropped = self.dropped.entry(name.clone()).or_insert((incarnation, now));
        if dropped.0 != incarnation {
            *dropped = (incarnation, now);
        }
    }

    /// The engine took a new value of a node's key.
    pub(crate) fn lease_written(&mut self, now: Duration, name: &NodeName, value: &[u8]) {
        if let Ok(LeaseEntry::Tombstone { incarnation }) = LeaseEntry::decode(value) {
            self.dropped(now, name, incarnation);
        }
    }

    pub(crate) fn is_in_truth(&self, id: &NodeId) -> bool {
        self.truth.as_ref().is_some_and(|view| view.has(id))
    }

    /// When the engine's view changed last.
    pub(crate) fn truth_changed(&self) -> Duration {
        self.truth_changed
    }

    pub(crate) fn told(&mut self, now: Duration, node: usize, name: &NodeName, run: u64, event: &MembershipEvent) {
        match event {
            MembershipEvent::View(view) => {
                let last = self.told.entry((node, run)).or_default();
                if view.epoch() <= *last {
                    let detail = format!("node {node} goes from view {last} to {}", view.epoch());
                    self.broken(now, NodesInvariant::ViewsRise, detail);
                } else {
                    *last = view.epoch();
                }
            }
            MembershipEvent::LeftOut(Left::PutOut) => {
                // It may hear of it much later.
                let at = self.dropped.get(name).map_or(now, |(_, at)| now.min(*at));
                if self.excused.get(&node).is_none_or(|until| at > *until) {
                    self.broken(now, NodesInvariant::NobodyHealthyOut, format!("node {node} is put out"));
                }
            }
            _ => {}
        }
    }

    /// A node had its turn.
    pub(crate) fn stands(&mut self, now: Duration, node: usize, id: &NodeId, standing: Standing) {
        if standing == Standing::Member && !self.is_in_truth(id) {
            let detail =
                format!("node {node} counts itself as a member, and is in no view since {:?}", self.truth_changed);
            self.broken(now, NodesInvariant::NobodyDecidesOutside, detail);
        }
    }

    /// A parcel was given to the post. Gives its number.
    pub(crate) fn next_number(&self, way: &Way) -> u64 {
        self.sent.get(way).map_or(0, |last| last + 1)
    }

    pub(crate) fn sent(&mut self, now: Duration, node: usize, run: u64, ticket: u64, way: Way, number: u64) {
        self.sent.insert(way.clone(), number);
        self.waiting.insert((node, run, ticket), Waiting { way, number, since: now });
    }

    pub(crate) fn came(&mut self, now: Duration, way: Way, number: u64) {
        let expected = self.came.get(&way).map_or(0, |last| last + 1);
        let may_have_hole = self.may_have_hole.remove(&way);
        if number < expected || (number > expected && !may_have_hole) {
            let detail = format!("{} gets {number} from {} {:?} in place of {expected}", way.1, way.0, way.2);
            self.broken(now, NodesInvariant::PostOrder, detail);
        }
        self.came.insert(way, number);
    }

    pub(crate) fn restarted(&mut self, way: Way) {
        self.may_have_hole.insert(way);
    }

    pub(crate) fn settled(&mut self, now: Duration, node: usize, run: u64, ticket: u64, settled: Settled) {
        let Some(waiting) = self.waiting.remove(&(node, run, ticket)) else {
            return self.broken(now, NodesInvariant::SettledTrue, format!("node {node} is told twice of {ticket}"));
        };
        let has_come = self.came.get(&waiting.way).is_some_and(|last| *last >= waiting.number);
        if settled == Settled::Taken && !has_come {
            let detail =
                format!("node {node} is told that {} was taken, which {} does not have", waiting.number, waiting.way.1);
            self.broken(now, NodesInvariant::SettledTrue, detail);
        }
    }

    /// A process ended: it is told nothing any more.
    pub(crate) fn ended(&mut self, node: usize, run: u64) {
        self.waiting.retain(|(at, in_run, _), _| (*at, *in_run) != (node, run));
    }

    /// Looks for parcels that wait too long on a well network, which it is since then.
    pub(crate) fn look_for_waiting(&mut self, now: Duration, well_since: Duration) {
        let stuck = self.waiting.iter().find(|(_, waiting)| now > waiting.since.max(well_since) + WAITS);
        if let Some(((node, ..), waiting)) = stuck {
            let detail =
                format!("node {node} waits since {:?} for {} to take {}", waiting.since, waiting.way.1, waiting.number);
            self.broken(now, NodesInvariant::NothingStuck, detail);
        }
    }
}

/// So long after it is well again a node may be put out for what was before.
const EXCUSED_AFTER: Duration = Duration::from_secs(20);

/// What waits on a well network ends within this.
const WAITS: Duration = Duration::from_secs(15);
