//! The view: who is a member, in which role, and which home has which partition.

use std::{collections::BTreeMap, fmt};

use super::names::{MOST_WORKERS, NodeId, NodeName};

/// What a member does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// It has sessions, and is no home yet.
    Edge,
    /// It has sessions, and is the home of partitions.
    Home,
    /// It gives its sessions and partitions away, and leaves.
    Draining,
}

/// A node of a view.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Which.
    pub id: NodeId,
    /// What it does.
    pub role: Role,
    /// The newest version of what nodes say that it understands.
    pub proto: u16,
    /// How many cores of each project it has.
    pub workers: u16,
}

/// Who is a member. There is one view at a time, and each has a higher epoch than the one before.
#[derive(Clone, PartialEq, Eq)]
pub struct View {
    epoch: u64,
    members: Vec<Member>,
    /// For each partition the place of its home in `members`; empty without homes.
    homes: Vec<u16>,
}

/// A step from one view to the next.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Change {
    /// A node comes in, as an edge, understanding so new a version, with so many cores of each project. An earlier life of
    /// it must have left.
    Join(NodeId, u16, u16),
    /// A node goes.
    Leave(NodeId),
    /// A member becomes a home.
    Home(NodeId),
    /// A member is going to leave.
    Drain(NodeId),
}

impl View {
    /// Nobody, before the first view.
    #[must_use]
    pub fn empty(epoch: u64) -> Self {
        Self { epoch, members: Vec::new(), homes: Vec::new() }
    }

    /// A view that was written somewhere; `None` if it contradicts itself.
    pub(super) fn from_parts(epoch: u64, members: Vec<Member>, homes: Vec<u16>) -> Option<Self> {
        let is_sorted = members.windows(2).all(|pair| pair[0].id.name < pair[1].id.name);
        let has_homes = members.iter().any(|member| member.role != Role::Edge);
        let fits = if has_homes { homes.len() == usize::from(PARTITIONS) } else { homes.is_empty() };
        let are_homes = homes.iter().all(|&at| members.get(usize::from(at)).is_some_and(|it| it.role != Role::Edge));
        let has_workers = members.iter().all(|member| (1..=MOST_WORKERS).contains(&member.workers));
        let is_good = members.len() <= MEMBERS && has_workers && is_sorted && fits && are_homes;
        is_good.then_some(Self { epoch, members, homes })
    }

    /// Its number.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// What all members understand: nobody says anything newer.
    #[must_use]
    pub fn proto(&self) -> u16 {
        self.members.iter().map(|member| member.proto).min().unwrap_or(u16::MAX)
    }

    /// The members, in the order of their names.
    #[must_use]
    pub fn members(&self) -> &[Member] {
        &self.members
    }

    /// The member with this name, whichever life of it.
    #[must_use]
    pub fn named(&self, name: &NodeName) -> Option<&Member> {
        let at = self.members.binary_search_by(|member| member.id.name.cmp(name)).ok()?;
        self.members.get(at)
    }

    /// The member that this node is; `None` if it is none, or only another life of it is.
    #[must_use]
    pub fn member(&self, id: &NodeId) -> Option<&Member> {
        self.named(&id.name).filter(|member| member.id == *id)
    }

    /// Whether this node is a member.
    #[must_use]
    pub fn has(&self, id: &NodeId) -> bool {
        self.member(id).is_some()
    }

    /// The home of a partition, below [`PARTITIONS`]; `None` where nobody is a home.
    #[must_use]
    pub fn home(&self, partition: u16) -> Option<&Member> {
        self.members.get(usize::from(*self.homes.get(usize::from(partition))?))
    }

    /// For each partition the place of its home among the members; empty where nobody is a home.
    pub(super) fn homes(&self) -> &[u16] {
        &self.homes
    }

    /// The partitions that this member is the home of.
    pub fn partitions_of<'a>(&'a self, id: &'a NodeId) -> impl Iterator<Item = u16> + 'a {
        (0..PARTITIONS).filter(move |&partition| self.home(partition).is_some_and(|home| home.id == *id))
    }

    /// The view as the cores of a project have it: each core of a node is a member, and the partitions of which the node is the
    /// home are divided among its cores.
    #[must_use]
    pub fn by_worker(&self) -> Self {
        if self.members.iter().all(|member| member.workers == 1) {
            return self.clone();
        }
        let each = self.members.iter().enumerate().flat_map(|(at, member)| {
            let core = |number| Member { id: member.id.worker(number), workers: 1, ..member.clone() };
            (0..member.workers).map(move |number| (core(number), at, number))
        });
        let mut each: Vec<_> = each.collect();
        each.sort_by(|(a, ..), (b, ..)| a.id.name.cmp(&b.id.name));
        let places: BTreeMap<_, _> =
            (0_u16..).zip(&each).map(|(place, (_, at, number))| ((*at, *number), place)).collect();
        let homes = (0..).zip(&self.homes).map(|(partition, home): (u16, _)| {
            let at = usize::from(*home);
            places[&(at, partition % self.members[at].workers)]
        });
        let homes = homes.collect();
        Self { epoch: self.epoch, members: each.into_iter().map(|(member, ..)| member).collect(), homes }
    }

    /// Whether some partition is not where it should be in the end.
    #[must_use]
    pub fn is_unbalanced(&self) -> bool {
        let homes = self.ranking(Role::Home);
        (0..PARTITIONS).zip(&self.homes).any(|(partition, &at)| homes.first(partition).is_some_and(|best| best != at))
    }

    /// The next view. Changes that do not apply any more are passed over. Partitions whose home left go to others at
    /// once; beside them at most 64 go to where they should be, so that a balanced view takes several
    /// steps. Where fewer than two would be homes, edges become homes.
    #[must_use]
    pub fn next(&self, changes: &[Change]) -> Self {
        let mut members = self.members.clone();
        for change in changes {
            let find = |id: &NodeId| members.iter().position(|member| member.id == *id);
            match change {
                Change::Join(id, proto, workers) => {
                    let at = members.partition_point(|member| member.id.name < id.name);
                    let is_there = members.get(at).is_some_and(|member| member.id.name == id.name);
                    if !is_there && members.len() < MEMBERS {
                        members.insert(at, {
                            let (id, role) = (id.clone(), Role::Edge);
                            Member { id, role, proto: *proto, workers: *workers }
                        });
                    }
                }
                Change::Leave(id) => members.retain(|member| member.id != *id),
                Change::Home(id) => {
                    if let Some(member) = find(id).map(|at| &mut members[at])
                        && member.role == Role::Edge
                    {
                        member.role = Role::Home;
                    }
                }
                Change::Drain(id) => {
                    if let Some(at) = find(id) {
                        members[at].role = Role::Draining;
                    }
                }
            }
        }
        let homes = members.iter().filter(|member| member.role == Role::Home).count();
        for edge in
            members.iter_mut().filter(|member| member.role == Role::Edge).take(FEWEST_HOMES.saturating_sub(homes))
        {
            edge.role = Role::Home;
        }
        let mut next = Self { epoch: self.epoch + 1, members, homes: Vec::new() };
        next.homes = next.assign(self);
        next
    }

    /// Who is home of what, coming from the view before.
    fn assign(&self, before: &Self) -> Vec<u16> {
        let old_home = |partition| {
            let at = self.place(&before.home(partition)?.id)?;
            self.members.get(usize::from(at)).filter(|member| member.role != Role::Edge).map(|member| (at, member.role))
        };
        let old: Vec<_> = (0..PARTITIONS).map(old_home).collect();
        let mut planned = PLANNED_MOVES.saturating_sub(old.iter().filter(|home| home.is_none()).count());
        let mut homes: Vec<Option<u16>> = old.iter().map(|home| home.map(|(at, _)| at)).collect();
        let (candidates, leaving) = (self.ranking(Role::Home), self.ranking(Role::Draining));
        // Those of homes that are going to leave first.
        for role in [Role::Draining, Role::Home] {
            for (partition, home) in (0..PARTITIONS).zip(&mut homes) {
                let has_role = old[usize::from(partition)].is_some_and(|(_, its)| its == role);
                if !has_role || planned == 0 {
                    continue;
                }
                if let Some(best) = candidates.first(partition).filter(|best| *home != Some(*best)) {
                    *home = Some(best);
                    planned -= 1;
                }
            }
        }
        for (partition, home) in (0..PARTITIONS).zip(&mut homes) {
            // All who are left may be leaving: one of them has it until then.
            *home = home.or_else(|| candidates.first(partition)).or_else(|| leaving.first(partition));
        }
        homes.into_iter().collect::<Option<Vec<_>>>().unwrap_or_default()
    }

    fn place(&self, id: &NodeId) -> Option<u16> {
        let at = self.members.iter().position(|member| member.id == *id)?;
        u16::try_from(at).ok()
    }

    /// The members of a role as candidates for partitions.
    fn ranking(&self, role: Role) -> Ranking {
        let of_role = (0..).zip(&self.members).filter(|(_, member)| member.role == role);
        Ranking(of_role.map(|(at, member)| (at, fnv(FNV_START, member.id.name.as_str().as_bytes()))).collect())
    }
}

/// Rendezvous hashing, by which a member that comes or goes moves no partition between two others: the places of members, each
/// with the hash of its name.
struct Ranking(Vec<(u16, u64)>);

impl Ranking {
    /// Where a partition should be.
    fn first(&self, partition: u16) -> Option<u16> {
        let weight = |(_, name): &&(u16, u64)| mix(fnv(*name, &partition.to_le_bytes()));
        self.0.iter().max_by_key(weight).map(|(at, _)| *at)
    }
}

impl fmt::Debug for View {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "View({}:", self.epoch)?;
        for member in &self.members {
            write!(f, " {} {:?}", member.id, member.role)?;
        }
        f.write_str(")")
    }
}

/// The partition of a user or channel of a project. All nodes of all versions agree on it.
#[must_use]
pub fn partition(app_id: &str, name: &str) -> u16 {
    let hash = mix(fnv(fnv(FNV_START, app_id.as_bytes()) ^ 0xff, name.as_bytes()));
    u16::try_from(hash % u64::from(PARTITIONS)).unwrap_or_default()
}

/// FNV-1a: what it gives for some bytes never changes, as with the hashes of libraries it may.
fn fnv(start: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(start, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3))
}

/// Spreads what differs in a few bits over all of them (the last step of `SplitMix64`).
fn mix(hash: u64) -> u64 {
    let hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

const FNV_START: u64 = 0xcbf2_9ce4_8422_2325;

/// How many parts the names of users and channels are divided into.
pub const PARTITIONS: u16 = 1024;

/// The most members of a view.
pub const MEMBERS: usize = 256;

/// So many partitions move in one view where nobody left.
pub(super) const PLANNED_MOVES: usize = 64;

/// With fewer homes than this, an edge becomes one at once.
const FEWEST_HOMES: usize = 2;

#[cfg(test)]
mod tests {
    use super::*;

    fn id(name: &str, incarnation: u64) -> NodeId {
        NodeId { name: NodeName::new(name).unwrap(), incarnation }
    }

    fn balanced(names: &[&str]) -> View {
        let joins: Vec<_> = names.iter().map(|name| Change::Join(id(name, 1), 1, 1)).collect();
        let homes: Vec<_> = names.iter().map(|name| Change::Home(id(name, 1))).collect();
        let mut view = View::empty(0).next(&joins).next(&homes);
        while view.is_unbalanced() {
            view = view.next(&[]);
        }
        view
    }

    fn moved(from: &View, to: &View) -> usize {
        (0..PARTITIONS).filter(|&p| from.home(p).map(|home| &home.id) != to.home(p).map(|home| &home.id)).count()
    }

    #[test]
    fn members_are_in_the_order_of_their_names_and_found_by_their_life() {
        let view = balanced(&["c", "a", "b"]);
        let names: Vec<_> = view.members().iter().map(|member| member.id.name.as_str()).collect();
        assert_eq!(names, ["a", "b", "c"]);
        assert!(view.has(&id("b", 1)));
        assert!(!view.has(&id("b", 2)) && view.named(&NodeName::new("b").unwrap()).is_some());
    }

    #[test]
    fn the_partition_of_a_name_is_the_same_in_every_version() {
        assert_eq!(partition("app", "alice"), 757);
        assert_eq!(partition("app", "bob"), 506);
        assert_ne!(partition("appa", "lice"), partition("app", "alice"));
    }

    #[test]
    fn partitions_are_spread_evenly_over_names_and_homes() {
        let mut counts = vec![0_u32; usize::from(PARTITIONS)];
        for number in 0..102_400 {
            counts[usize::from(partition("0123456789abcdef0123456789abcdef", &format!("user-{number}")))] += 1;
        }
        assert!(counts.iter().all(|count| (50..=150).contains(count)), "{counts:?}");
        let view = balanced(&["rtm-1", "rtm-2", "rtm-3", "rtm-4"]);
        for member in view.members() {
            let share = view.partitions_of(&member.id).count();
            assert!((200..=312).contains(&share), "{} is home of {share}", member.id);
        }
    }

    #[test]
    fn a_home_that_comes_takes_at_most_64_partitions_a_view_and_moves_none_between_others() {
        let old = balanced(&["a", "b", "c"]);
        let mut view = old.next(&[Change::Join(id("d", 1), 1, 1)]);
        assert_eq!(moved(&old, &view), 0, "an edge is no home");
        view = view.next(&[Change::Home(id("d", 1))]);
        let mut steps = 1;
        assert_eq!(moved(&old, &view), PLANNED_MOVES);
        while view.is_unbalanced() {
            let next = view.next(&[]);
            assert!(moved(&view, &next) <= PLANNED_MOVES);
            view = next;
            steps += 1;
        }
        assert!((3..=6).contains(&steps), "{steps}");
        for partition in 0..PARTITIONS {
            let home = &view.home(partition).unwrap().id;
            assert!(*home == id("d", 1) || *home == old.home(partition).unwrap().id);
        }
    }

    #[test]
    fn what_a_home_that_left_had_goes_to_others_at_once_and_nothing_else_moves() {
        let old = balanced(&["a", "b", "c"]);
        let lost = old.partitions_of(&id("b", 1)).count();
        let view = old.next(&[Change::Leave(id("b", 1))]);
        assert_eq!(moved(&old, &view), lost);
        assert!(!view.is_unbalanced());
    }

    #[test]
    fn a_draining_home_gives_its_partitions_away_step_by_step_and_keeps_them_if_it_is_alone() {
        let mut view = balanced(&["a", "b"]).next(&[Change::Drain(id("a", 1))]);
        let mut steps = 1;
        while view.is_unbalanced() {
            view = view.next(&[]);
            steps += 1;
        }
        assert_eq!(view.partitions_of(&id("a", 1)).count(), 0);
        assert!(steps <= 10, "{steps}");
        let alone = balanced(&["a"]).next(&[Change::Drain(id("a", 1))]);
        assert_eq!(alone.partitions_of(&id("a", 1)).count(), usize::from(PARTITIONS));
        assert!(alone.next(&[Change::Leave(id("a", 1))]).home(0).is_none());
    }

    #[test]
    fn edges_become_homes_at_once_where_fewer_than_two_would_be() {
        let first = View::empty(4).next(&[Change::Join(id("a", 1), 1, 1)]);
        assert_eq!((first.epoch(), first.members()[0].role), (5, Role::Home));
        let three = first.next(&[Change::Join(id("b", 1), 1, 1)]).next(&[Change::Join(id("c", 1), 1, 1)]);
        let roles = |view: &View| view.members().iter().map(|member| member.role).collect::<Vec<_>>();
        assert_eq!(roles(&three), [Role::Home, Role::Home, Role::Edge]);
        assert_eq!(roles(&three.next(&[Change::Drain(id("a", 1))])), [Role::Draining, Role::Home, Role::Home]);
    }

    #[test]
    fn a_second_life_comes_in_only_when_the_first_has_left() {
        let view = balanced(&["a", "b"]);
        assert!(!view.next(&[Change::Join(id("a", 2), 1, 1)]).has(&id("a", 2)));
        let next = view.next(&[Change::Leave(id("a", 1)), Change::Join(id("a", 2), 1, 1)]);
        assert!(next.has(&id("a", 2)) && !next.has(&id("a", 1)));
    }

    #[test]
    fn what_is_said_is_what_the_oldest_member_understands() {
        let view = View::empty(0).next(&[Change::Join(id("a", 1), 3, 1), Change::Join(id("b", 1), 2, 1)]);
        assert_eq!(view.proto(), 2);
        assert_eq!(view.next(&[Change::Leave(id("b", 1))]).proto(), 3);
    }

    #[test]
    fn the_cores_of_a_node_are_members_of_what_cores_see_and_share_its_partitions() {
        let joins = [Change::Join(id("a", 1), 1, 3), Change::Join(id("a1", 1), 1, 1), Change::Join(id("b", 1), 1, 12)];
        let homes = ["a", "a1", "b"].map(|name| Change::Home(id(name, 1)));
        let mut view = View::empty(0).next(&joins).next(&homes);
        while view.is_unbalanced() {
            view = view.next(&[]);
        }
        let seen = view.by_worker();
        assert_eq!((seen.epoch(), seen.members().len()), (view.epoch(), 16));
        for partition in 0..PARTITIONS {
            let (node, _) = seen.home(partition).unwrap().id.node_and_worker();
            assert_eq!(node, view.home(partition).unwrap().id);
        }
        for member in view.members() {
            for number in 0..member.workers {
                let core = member.id.worker(number);
                assert_eq!(core.node_and_worker(), (member.id.clone(), number));
                assert_eq!(NodeName::told(core.name.as_str()), Ok(core.name.clone()));
                assert!(seen.has(&core) && seen.partitions_of(&core).count() > 5, "{core}");
            }
        }
        let single = balanced(&["a", "b"]);
        assert_eq!(single.by_worker(), single);
    }

    #[test]
    fn views_that_contradict_themselves_are_refused() {
        let member = |name: &str, role| Member { id: id(name, 1), role, proto: 1, workers: 1 };
        let (home, edge) = (member("a", Role::Home), member("b", Role::Edge));
        let all = |at| vec![at; usize::from(PARTITIONS)];
        assert!(View::from_parts(1, vec![home.clone(), edge.clone()], all(0)).is_some());
        assert!(View::from_parts(1, vec![edge.clone(), home.clone()], all(1)).is_none(), "not sorted");
        assert!(View::from_parts(1, vec![home.clone(), home.clone()], all(0)).is_none(), "twice");
        assert!(View::from_parts(1, vec![home.clone(), edge], all(1)).is_none(), "an edge with partitions");
        assert!(View::from_parts(1, vec![home.clone()], all(1)).is_none(), "nobody's");
        assert!(View::from_parts(1, vec![home], vec![0; 3]).is_none(), "too few");
    }
}
