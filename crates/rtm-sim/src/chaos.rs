//! A whole world from nothing but a seed.

use std::{
    ops::RangeInclusive,
    panic::{AssertUnwindSafe, catch_unwind},
    time::Duration,
};

use rtm_codec::{AppId, ChannelId, KeepAlive, UserId, Wire};
use rtm_core::{ProjectConfig, Settings};

use crate::{
    agenda::Step,
    bot::{Bot, Plan},
    check::{Invariant, Violation},
    faults::Faults,
    figures::{Counts, DeviceConfig, DeviceId},
    moving::Moves,
    nodes::{Badness, Lies, Mishap},
    rng::Rng,
    world::{OfOne, Users, World},
};

/// What came of a seed.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What happened, in figures.
    pub counts: Counts,
    /// What was violated: the promise, or that nothing panics.
    pub fault: Option<String>,
    /// What happened, line by line, if that was wanted.
    pub trace: Vec<String>,
}

/// Makes up a world from `seed`, lets its users do this and that for about a minute while things go wrong, makes
/// everything well, and looks it over; then lets all users go and looks at what is left.
#[must_use]
pub fn run_seed(seed: u64, trace: bool) -> Outcome {
    let mut rng = Rng::new(seed ^ MOVES_SALT);
    let moves = rng.chance(500).then(|| (Duration::from_secs(1 + rng.below(20) as u64), Moves::Anywhere));
    let mut outcome = run_moving(seed, trace, moves);
    if outcome.fault.is_none() && rng.chance(COMPARED) {
        outcome.fault = difference(seed);
    }
    outcome
}

/// Runs a world in which sessions move and return, and the same world in which they stay and only lose their
/// connections as one that moves does. Says where the two first differ: nobody may notice that a session moved.
fn difference(seed: u64) -> Option<String> {
    let every = Duration::from_secs(1 + seed % 5);
    let stays = run_moving(seed, true, Some((every, Moves::Stays)));
    let moves = run_moving(seed, true, Some((every, Moves::Returns)));
    if moves.fault.is_some() {
        return moves.fault;
    }
    let (stayed, moved) = (comparable(&stays.trace), comparable(&moves.trace));
    let end = stayed.len().max(moved.len());
    let at = (0..end).find(|&at| stayed.get(at) != moved.get(at))?;
    let before = &moves.trace[at.saturating_sub(BEFORE)..at.min(moves.trace.len())];
    Some(format!(
        "{:?} broken: after\n{}\na session that moved makes a difference:\n{:?}, where it stays\n{:?}, where it moved",
        Invariant::PackRoundTrips,
        before.join("\n"),
        stays.trace.get(at),
        moves.trace.get(at)
    ))
}

/// Runs a world on a server that is a cluster of one, and the same world on one without a cluster: nobody may see a difference.
#[must_use]
pub fn run_of_one(seed: u64, trace: bool) -> Outcome {
    let run = |of_one, trace| {
        let mut rng = Rng::new(seed ^ SALT);
        let mut project = make_project(seed, &mut rng);
        // An invitation to a user whose session ends before its device has it fails sooner in a cluster.
        project.settings.resume_within = Settings::default().resume_within;
        let mut world = World::with_project(seed, project, rng.chance(600));
        world.compare(of_one);
        watch(seed, trace, &mut world, &mut rng)
    };
    let mut of_one = run(OfOne::Cluster(Users::default()), true);
    if of_one.fault.is_none() {
        let alone = run(OfOne::Alone, true);
        of_one.fault = alone.fault.or_else(|| first_difference(&seen(&alone.trace), &seen(&of_one.trace)));
    }
    if !trace {
        of_one.trace.clear();
    }
    of_one
}

/// What devices do and see, of a trace. What happens at one instant is in no order: a message to a user that is not there is looked
/// at in a cluster when all that came with it was.
fn seen(trace: &[String]) -> Vec<String> {
    let at = |line: &str| line.split_whitespace().next().map(str::to_owned);
    let is_seen = |line: &&String| {
        let who = line.split_whitespace().nth(1);
        let keeps_alive = [" Ping", " Pong"].iter().any(|end| line.ends_with(end)) || line.contains(" -> Ack ");
        !who.is_some_and(|who| ["server", "store"].contains(&who)) && !keeps_alive
    };
    // The order between messages of a channel and of a peer is free, and so are the numbers of both in the stream.
    let without_number = |line: &String| match line.split_once(" <- [") {
        Some((head, tail)) => format!("{head} <- {}", tail.split_once("] ").map_or(tail, |(_, event)| event)),
        None => without_order(line),
    };
    let mut lines: Vec<String> = trace.iter().filter(is_seen).map(without_number).collect();
    lines.chunk_by_mut(|one, other| at(one) == at(other)).for_each(<[String]>::sort_unstable);
    lines
}

/// Where two traces first differ, with what was before.
fn first_difference(alone: &[String], of_one: &[String]) -> Option<String> {
    let at = (0..alone.len().max(of_one.len())).find(|&at| alone.get(at) != of_one.get(at))?;
    let before = of_one[at.saturating_sub(BEFORE)..at.min(of_one.len())].join("\n");
    let (alone, of_one) = (alone.get(at), of_one.get(at));
    Some(format!("SameOfOne after\n{before}\na server without a cluster: {alone:?}\na cluster of one: {of_one:?}"))
}

/// The lines of a trace. The members of a channel are in no order that anybody may rely on, nor is what the store is asked
/// at one instant.
fn comparable(trace: &[String]) -> Vec<String> {
    let mut lines: Vec<String> = trace.iter().map(|line| without_order(line)).collect();
    let mut from = 0;
    while from < lines.len() {
        let asked = |line: &String| line.split_once(STORE_ASKED).map(|(at, _)| at.to_owned());
        let at = asked(&lines[from]);
        let len = lines[from..].iter().take_while(|line| at.is_some() && asked(line) == at).count().max(1);
        lines[from..from + len].sort_unstable();
        from += len;
    }
    lines
}

fn without_order(line: &str) -> String {
    let mut letters: Vec<char> = line.chars().collect();
    if line.contains("GetMembers(") {
        letters.sort_unstable();
    }
    letters.into_iter().collect()
}

/// The same with sessions that move so often and in this way. Nothing else of the world depends on it.
fn run_moving(seed: u64, trace: bool, moves: Option<(Duration, Moves)>) -> Outcome {
    let mut rng = Rng::new(seed ^ SALT);
    let mut world = make_world(seed, &mut rng);
    if let Some((every, moves)) = moves {
        world.move_sessions(every, moves);
    }
    watch(seed, trace, &mut world, &mut rng)
}

/// Runs a world, and says what came of it.
fn watch(seed: u64, trace: bool, world: &mut World, rng: &mut Rng) -> Outcome {
    if trace {
        world.start_trace();
    }
    let result = catch_unwind(AssertUnwindSafe(|| run(world, rng)));
    let fault = match result {
        Ok(Ok(())) => None,
        Ok(Err(violation)) => Some(violation.to_string()),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
            Some(format!("panic at {:.4} s: {}", world.now().as_secs_f64(), text.unwrap_or_default()))
        }
    };
    Outcome { seed, counts: world.counts(), fault, trace: world.trace().to_vec() }
}

/// Makes up a world of so many servers that are one from `seed`, lets its users do this and that while things go wrong
/// with them and between the servers, makes everything well, and looks it over.
#[must_use]
pub fn run_cluster(seed: u64, nodes: RangeInclusive<usize>, trace: bool) -> Outcome {
    let mut rng = Rng::new(seed ^ CLUSTER_SALT);
    let nodes = nodes.start() + rng.below(nodes.end().saturating_sub(*nodes.start()) + 1);
    let project = make_project(seed, &mut rng);
    let mut world = World::with_cluster(seed, project, nodes.max(1));
    world.go_wrong(&mut rng);
    world.go_about(&mut Rng::new(seed ^ MOVES_SALT));
    watch(seed, trace, &mut world, &mut rng)
}

fn make_world(seed: u64, rng: &mut Rng) -> World {
    let project = make_project(seed, rng);
    let durable = rng.chance(600);
    World::with_project(seed, project, durable)
}

fn make_project(seed: u64, rng: &mut Rng) -> ProjectConfig {
    let app_id = AppId::new("5e1f0000000000000000000000000001").expect("32 letters and digits");
    let mut project = ProjectConfig::new(app_id);
    if rng.chance(300) {
        project.settings.session_bytes = 96 * 1024 + rng.below(256 * 1024);
    }
    if rng.chance(200) {
        project.settings.away_channel_messages = rng.below(8);
    }
    if rng.chance(300) {
        project.settings.channel_attributes_for = Duration::from_secs(1 + rng.below(20) as u64);
    }
    if rng.chance(300) {
        // The wall clock jumps farther than that.
        project.settings.offline_for = Duration::from_secs(20 * 60);
    }
    if rng.chance(300) {
        project.certificates = vec!["5CFd2fd1755d40ecb72977518be15d3b".parse().expect("a good certificate")];
    }
    let mut absences = Rng::new(seed ^ ABSENCES_SALT);
    if absences.chance(300) {
        // Many are away for longer.
        project.settings.resume_within = Duration::from_secs(30 + absences.below(10) as u64);
    }
    project
}

fn run(world: &mut World, rng: &mut Rng) -> Result<(), Violation> {
    let mut faults = make_faults(rng);
    let is_cluster = world.is_cluster();
    if is_cluster {
        // What happens to servers is drawn apart.
        (faults.crashes_every, faults.drains_every, faults.pauses_every) = (None, None, None);
        (faults.certificates_every, faults.clock_jumps_every) = (None, None);
    }
    if world.are_links_good() {
        faults = Faults::none();
    }
    if world.moves_exactly() {
        // A server that stood still goes on from when it was to be called next. Moves leave alarms behind that decide it.
        faults.pauses_every = None;
    }
    let until = Duration::from_secs(20 + rng.below(60) as u64);
    let leaves_at = until + QUIET + Duration::from_secs(10);
    let names = ["alice", "bob", "carol", "dave", "erin", "frank"];
    let count = 2 + rng.below(names.len() - 1);
    let users: Vec<UserId> = names[..count].iter().map(|name| UserId::new(name).expect("a good name")).collect();
    let channels: Vec<ChannelId> =
        ["north", "south"][..1 + rng.below(2)].iter().map(|name| ChannelId::new(name).expect("a good name")).collect();
    let pause = Duration::from_millis(100 + rng.below(2000) as u64);
    // Where sessions move all the time, much has to be under way.
    let pause = if world.are_links_good() { pause / 4 } else { pause };
    let plan = Plan {
        users,
        channels,
        pause,
        until,
        leaves_at,
        large: [64, 2_000, 32_000][rng.below(3)],
        stays: world.are_links_good(),
        // Stored messages come at other moments in a cluster: a session reads once more, and what was handed out may be on its way.
        stores: !world.is_of_one(),
        is_guest: false,
        has_provider: false,
    };
    // None, some or all on the vendor's wire.
    let vendor = [0, 400, 1000][rng.below(3)];
    let has_tokens = world.has_tokens();
    let mut devices = Vec::new();
    for name in &names[..count] {
        let mut config = make_device(rng, vendor, has_tokens);
        fit(&mut config, world);
        devices.push(add(world, name, config, &plan));
        // In a cluster of one the older device of a user does not come back after a crash, where it would throw out the newer.
        if rng.chance(80) && !world.is_of_one() {
            let mut config = make_device(rng, vendor, has_tokens);
            fit(&mut config, world);
            add(world, name, config, &Plan { is_guest: true, ..plan.clone() });
        }
    }
    world.set_faults(faults);
    world.run_for(until)?;
    world.heal();
    if rng.chance(300)
        && let Some(device) = rng.pick(&devices)
    {
        // Somebody never comes back, and everybody has to notice.
        world.isolate(*device, Duration::from_secs(24 * 60 * 60));
    }
    world.run_for(QUIET)?;
    world.check()?;
    world.run_for(Duration::from_secs(4) + GONE)?;
    world.check_emptied()
}

fn add(world: &mut World, name: &str, config: DeviceConfig, plan: &Plan) -> DeviceId {
    let plan = Plan { has_provider: config.connection.token_provider, ..plan.clone() };
    world.add(name, config, Bot::new(plan)).expect("a good name")
}

/// In a cluster no device has the habits of the vendor's SDK, and where links are good, all devices read at once.
fn fit(config: &mut DeviceConfig, world: &World) {
    config.has_sdk_habits &= !world.is_cluster();
    if world.are_links_good() || world.is_of_one() {
        let usual = DeviceConfig::new(config.wire);
        config.connection.window = usual.connection.window;
        (config.reads_within, config.reads_at_once) = (usual.reads_within, usual.reads_at_once);
    }
}

fn make_device(rng: &mut Rng, vendor: u32, has_tokens: bool) -> DeviceConfig {
    let wire = if rng.chance(vendor) { Wire::Vendor } else { Wire::Native };
    let mut config = DeviceConfig::new(wire);
    if wire == Wire::Native && rng.chance(400) {
        config.connection.window = 1 + u32::try_from(rng.below(40)).unwrap_or(0);
    }
    if rng.chance(200) {
        config.reads_within = Duration::from_millis(300);
        config.reads_at_once = 1 + rng.below(4);
    }
    config.connection.token_provider = has_tokens && rng.chance(400);
    config.has_sdk_habits = wire == Wire::Vendor && rng.chance(600);
    if rng.chance(250)
        && let KeepAlive::Client { interval_ms } = config.connection.keep_alive
    {
        config.connection.keep_alive = KeepAlive::Server { interval_ms };
    }
    config
}

fn make_faults(rng: &mut Rng) -> Faults {
    let mut faults = match rng.below(10) {
        0 => Faults::none(),
        1 => Faults::satellite(),
        2..4 => Faults::train(),
        _ => Faults::all(),
    };
    // Half of the worlds lack this or that fault, so that it does not hide what others show.
    if rng.chance(500) {
        for fault in [
            &mut faults.cuts_every,
            &mut faults.stalls_every,
            &mut faults.outages_every,
            &mut faults.crashes_every,
            &mut faults.drains_every,
            &mut faults.clock_jumps_every,
            &mut faults.freezes_every,
            &mut faults.slow_reads_every,
            &mut faults.pauses_every,
            &mut faults.certificates_every,
        ] {
            if rng.chance(500) {
                *fault = None;
            }
        }
    }
    if rng.chance(100) {
        let most = [6_000, 50_000][rng.below(2)];
        faults.bandwidth = Some(2_000 + u32::try_from(rng.below(most)).unwrap_or(0));
    }
    faults
}

impl World {
    /// Decides what goes wrong with the nodes of a cluster, and between them.
    fn go_wrong(&mut self, rng: &mut Rng) {
        let Some(cluster) = &mut self.cluster else { return };
        let often = |rng: &mut Rng, most: usize| if rng.chance(400) { rng.below(most) as u32 } else { 0 };
        let mut lies = || Lies {
            stale: often(rng, 300),
            lost: often(rng, 50),
            late: often(rng, 50),
            own_conflict: often(rng, 100),
            delayed: often(rng, 30),
        };
        let (of_nodes, of_users) = (lies(), lies());
        let badness = Badness { lost: often(rng, 60), repeated: often(rng, 100), late: often(rng, 50) };
        (cluster.nodes.lies, cluster.users.lies) = (of_nodes, of_users);
        cluster.ways.bus.badness = badness;
        cluster.gives_up = rng.chance(500);
        cluster.mishaps = Mishap::ALL.into_iter().filter(|_| rng.chance(350)).collect();
        cluster.mishap_every = Duration::from_secs(2 + rng.below(30) as u64);
        self.agenda.plan(Duration::from_secs(10), Step::NodeMishap);
    }
}

impl World {
    /// In some worlds clients go from server to server all the time. In half of these nothing else goes wrong, so that whatever
    /// gets lost or late shows; in the others servers are killed, and do not hear each other, while sessions move.
    fn go_about(&mut self, rng: &mut Rng) {
        let Some(cluster) = self.cluster.as_mut().filter(|_| rng.chance(400)) else { return };
        cluster.are_links_good = true;
        let is_calm = rng.chance(500);
        if is_calm {
            (cluster.nodes.lies, cluster.users.lies) = (Lies::default(), Lies::default());
            cluster.mishaps.clear();
            self.ledger.is_calm();
        } else {
            let mishaps =
                [Mishap::OneWayCut, Mishap::PairCut, Mishap::Kill, Mishap::Kill, Mishap::Election, Mishap::WatchHangs];
            cluster.mishaps = mishaps.into_iter().filter(|_| rng.chance(600)).collect();
            cluster.mishap_every = Duration::from_secs(3 + rng.below(9) as u64);
        }
        self.move_sessions(Duration::from_millis(300 + rng.below(2500) as u64), Moves::Anywhere);
    }
}

/// So many of a thousand seeds are also run to compare worlds in which sessions move and in which they stay.
const COMPARED: u32 = 20;

/// How the trace begins to say what the store is asked, after the time.
const STORE_ASKED: &str = " store      is asked: ";

/// So many lines before a difference are shown.
const BEFORE: usize = 20;

/// Draws of the moves are not those of the plan.
const MOVES_SALT: u64 = 0x3c6e_f372_fe94_f82b;

/// Draws of how long sessions wait are not those of the plan.
const ABSENCES_SALT: u64 = 0x5d58_8b65_6c07_8965;

/// Draws of worlds with several servers are not those of worlds with one.
const CLUSTER_SALT: u64 = 0x636c_7573_7465_7201;

/// Draws of the plan are not those of the world.
const SALT: u64 = 0x9e37_79b9_7f4a_7c15;

/// So long after the last call and the last fault everything has settled.
const QUIET: Duration = Duration::from_secs(80);

/// So long after the last user went nothing of it is left.
const GONE: Duration = Duration::from_secs(140);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_sees_a_difference_when_sessions_move() {
        for seed in 1..=SEEDS {
            assert_eq!(difference(seed), None, "seed {seed}");
        }
    }

    #[test]
    fn sessions_move_in_these_seeds() {
        let moved = |seed| run_moving(seed, false, Some((Duration::from_secs(2), Moves::Returns))).counts.moved;
        assert!((1..=4).map(moved).sum::<u64>() > 20);
    }

    #[test]
    fn a_cluster_of_one_is_like_a_server() {
        for seed in 1..=3 {
            assert_eq!(run_of_one(seed, false).fault, None, "seed {seed}");
        }
    }

    #[test]
    fn only_what_users_see_is_compared() {
        let difference = |one: &[&str], other: &[&str]| {
            let seen = |lines: &[&str]| seen(&lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>());
            first_difference(&seen(one), &seen(other)).is_some()
        };
        let alone = ["1.0 bob <- [1] MemberLeft", "1.0 bob <- Pong", "1.0 alice = #1 Ok"];
        assert!(!difference(&alone, &["1.0 alice = #1 Ok", "1.0 bob <- [2] MemberLeft", "1.0 store is asked"]));
        assert!(difference(&alone, &["1.0 alice = #1 Ok", "1.1 bob <- [1] MemberLeft"]), "later");
        assert!(difference(&alone, &["1.0 bob <- [1] MemberLeft"]), "missing");
    }

    /// Members of channels move, and what they have got by way of the node that they left comes late from its origin.
    #[test]
    fn a_message_of_a_channel_comes_once_to_a_member_that_moves() {
        for seed in [65, 538] {
            assert_eq!(run_cluster(seed, 2..=5, false).fault, None, "seed {seed}");
        }
    }

    const SEEDS: u64 = 20;
}
