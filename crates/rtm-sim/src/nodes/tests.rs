//! Nodes in schedules that are hard on them, one after the other, and in worlds by seed.

use std::time::Duration;

use rtm_core::cluster::{NodeId, PROTO, Role, Standing};

use super::{chaos::Mishap, run_nodes, world::NodesWorld};

/// So many nodes that have been members and homes for a while.
fn calm(seed: u64, nodes: usize) -> NodesWorld {
    let mut world = NodesWorld::new(seed, nodes);
    world.trace.start();
    for node in 0..nodes {
        world.start(node);
    }
    pass(&mut world, 60);
    assert_eq!(members(&world), (0..nodes).collect::<Vec<_>>());
    world
}

#[track_caller]
fn pass(world: &mut NodesWorld, secs: u64) {
    if let Err(violation) = world.run_for(Duration::from_secs(secs)) {
        panic!("{violation}\n{}", world.trace.lines().join("\n"));
    }
}

/// The members of the view that the engine has, by their places.
fn members(world: &NodesWorld) -> Vec<usize> {
    let names =
        |node: &usize| world.ledger.truth.as_ref().is_some_and(|view| view.named(&world.places[*node].name).is_some());
    (0..world.places.len()).filter(names).collect()
}

fn standing(world: &NodesWorld, node: usize) -> Standing {
    let clock = world.clock(node);
    world.places[node].node.as_ref().unwrap().standing(clock)
}

fn id(world: &NodesWorld, node: usize) -> NodeId {
    world.places[node].node.as_ref().unwrap().id().clone()
}

#[test]
fn nodes_that_start_together_are_members_within_seconds() {
    for nodes in [1, 2, 3, 5, 12] {
        let mut world = NodesWorld::new(nodes as u64, nodes);
        for node in 0..nodes {
            world.start(node);
        }
        pass(&mut world, 8);
        assert_eq!(members(&world).len(), nodes);
        assert!((0..nodes).all(|node| standing(&world, node) == Standing::Member));
    }
}

#[test]
fn whose_watch_hangs_puts_nobody_out() {
    let mut world = calm(1, 3);
    world.ways.places[0].watch_hangs_until = world.now + Duration::from_secs(60);
    pass(&mut world, 70);
    assert_eq!((members(&world).len(), world.counts.put_out), (3, 0));
}

#[test]
fn who_slept_puts_nobody_out_whatever_it_does_first() {
    for seed in 1..=10 {
        let mut world = calm(seed, 3);
        let others = [id(&world, 1), id(&world, 2)];
        world.freeze(0, Duration::from_secs(7));
        pass(&mut world, 40);
        assert_eq!([id(&world, 1), id(&world, 2)], others);
        assert_eq!(members(&world), [0, 1, 2]);
    }
}

#[test]
fn an_election_of_8_s_puts_nobody_out() {
    for seed in 1..=5 {
        let mut world = calm(seed, 5);
        world.engine.leaderless_until = world.now + Duration::from_secs(8);
        pass(&mut world, 7);
        assert!((0..5).all(|node| standing(&world, node) == Standing::Isolated), "nothing is decided meanwhile");
        pass(&mut world, 3);
        assert!((0..5).all(|node| standing(&world, node) == Standing::Member));
        pass(&mut world, 30);
        assert_eq!(world.counts.put_out, 0);
    }
}

#[test]
fn after_all_was_away_for_long_all_go_on_as_they_were() {
    for seed in 1..=5 {
        let mut world = calm(seed, 3);
        let before = [0, 1, 2].map(|node| id(&world, node));
        world.ways.away_until = world.now + Duration::from_secs(90);
        pass(&mut world, 89);
        assert!(world.trace.lines().iter().any(|line| line.contains("IsolatedTooLong")));
        pass(&mut world, 40);
        assert_eq!([0, 1, 2].map(|node| id(&world, node)), before);
        assert_eq!((members(&world).len(), world.counts.put_out), (3, 0));
    }
}

#[test]
fn whom_all_hear_stays_though_it_does_not_reach_the_engine() {
    let mut world = calm(2, 3);
    world.ways.places[1].engine_cut_until = world.now + Duration::from_secs(25);
    pass(&mut world, 24);
    assert_eq!((members(&world), standing(&world, 1)), (vec![0, 1, 2], Standing::Isolated));
    pass(&mut world, 20);
    assert_eq!((standing(&world, 1), world.counts.put_out), (Standing::Member, 0));
}

/// The other node would blame it, as long as it takes itself for one that is in touch.
#[test]
fn who_did_not_reach_the_engine_stays_also_if_everything_is_away_right_after() {
    for tenths in 0..20 {
        let mut world = calm(1, 2);
        let time = Duration::from_millis(25_000 + tenths * 100);
        let (start, end) = (world.now + time, world.now + time + Duration::from_secs(10));
        world.ways.places[0].engine_cut_until = start;
        world.run_for(time).unwrap();
        assert_eq!(standing(&world, 0), Standing::Isolated);
        world.ways.away_until = end;
        world.ways.places.iter_mut().for_each(|place| place.cut = (start, end));
        pass(&mut world, 40);
        assert_eq!((members(&world), world.counts.put_out), (vec![0, 1], 0), "{tenths}");
    }
}

#[test]
fn an_outsider_goes_on_without_members_that_the_engine_has_not_heard_for_long_when_they_have_stopped() {
    for members_before in [1, 3] {
        let mut world = NodesWorld::new(3, members_before + 1);
        for node in 0..members_before {
            world.start(node);
        }
        pass(&mut world, 60);
        for node in 0..members_before {
            let until = world.now + Duration::from_secs(100);
            world.ways.places[node].engine_cut_until = until;
            world.ledger.excuse(node, until);
        }
        world.start(members_before);
        pass(&mut world, 35);
        assert_eq!(members(&world).len(), members_before, "it gives them time");
        pass(&mut world, 20);
        assert_eq!(members(&world), [members_before]);
        assert!((0..members_before).all(|node| standing(&world, node) != Standing::Member));
        pass(&mut world, 75);
        assert_eq!(members(&world).len(), members_before + 1, "healed, all are in one view");
    }
}

#[test]
fn who_is_deaf_and_cut_off_has_stopped_when_the_others_go_on() {
    let mut world = calm(4, 3);
    let old = id(&world, 2);
    world.ways.places[2].engine_cut_until = world.now + Duration::from_secs(60);
    for other in [0, 1] {
        let until = world.now + Duration::from_secs(60);
        world.cut_until(2, other, until);
    }
    world.ledger.excuse(2, Duration::MAX / 2);
    pass(&mut world, 20);
    assert_eq!(members(&world), [0, 1], "it hears the others, and is put out");
    assert_ne!(standing(&world, 2), Standing::Member);
    pass(&mut world, 80);
    assert_eq!(members(&world), [0, 1, 2]);
    assert_ne!(id(&world, 2), old);
}

#[test]
fn who_hears_the_others_and_is_heard_by_nobody_goes() {
    let mut world = calm(5, 3);
    let until = world.now + Duration::from_secs(40);
    for other in [1, 2] {
        world.cut_until(0, other, until);
    }
    world.ledger.excuse(0, until);
    pass(&mut world, 22);
    assert_eq!(members(&world), [1, 2], "though it renews its lease, and has the smallest name");
    assert_eq!(standing(&world, 0), Standing::Outside);
    pass(&mut world, 40);
    assert_eq!(members(&world), [0, 1, 2]);
}

#[test]
fn of_two_that_do_not_hear_each_other_the_one_with_the_greater_name_goes() {
    let mut world = calm(6, 3);
    let until = world.now + Duration::from_secs(40);
    world.cut_until(0, 1, until);
    world.cut_until(1, 0, until);
    world.ledger.excuse(1, until);
    pass(&mut world, 22);
    assert_eq!(members(&world), [0, 2]);
    pass(&mut world, 18);
    assert_eq!(members(&world), [0, 2], "it does not come back before it hears all");
    pass(&mut world, 20);
    assert_eq!(members(&world), [0, 1, 2]);
}

#[test]
fn who_stood_still_for_40_s_decides_nothing_when_it_goes_on() {
    for seed in 1..=4 {
        for is_snapshot in [false, true] {
            let mut world = calm(seed, 3);
            let old = id(&world, 0);
            world.freeze(0, Duration::from_secs(1000));
            pass(&mut world, 40);
            assert_eq!(members(&world), [1, 2]);
            world.thaw(0, is_snapshot);
            assert_ne!(standing(&world, 0), Standing::Member, "old heartbeats are not taken for fresh ones");
            pass(&mut world, 10);
            assert_eq!(members(&world), [0, 1, 2]);
            assert_ne!(id(&world, 0), old);
        }
    }
}

#[test]
fn a_killed_node_is_out_within_15_s_and_its_restart_is_in_soon() {
    let mut world = calm(7, 3);
    world.kill(2);
    pass(&mut world, 15);
    assert_eq!(members(&world), [0, 1]);
    world.start(2);
    pass(&mut world, 6);
    assert_eq!(members(&world), [0, 1, 2]);
    world.kill(1);
    world.start(1);
    pass(&mut world, 13);
    assert_eq!(standing(&world, 1), Standing::Member);
}

#[test]
fn a_cluster_that_was_killed_as_a_whole_begins_anew() {
    let mut world = calm(8, 3);
    for node in 0..3 {
        world.kill(node);
    }
    pass(&mut world, 5);
    for node in 0..3 {
        world.start(node);
    }
    pass(&mut world, 15);
    assert_eq!(members(&world), [0, 1, 2], "all have come back, so all who were in the view are known to be dead");
    for node in 0..3 {
        world.kill(node);
    }
    world.start(1);
    pass(&mut world, 35);
    assert_ne!(standing(&world, 1), Standing::Member);
    pass(&mut world, 20);
    assert_eq!((members(&world), standing(&world, 1)), (vec![1], Standing::Member));
}

#[test]
fn nodes_that_are_restarted_one_by_one_leave_and_come_without_anybody_being_put_out() {
    let mut world = calm(9, 3);
    for node in 0..3 {
        let old = id(&world, node);
        world.drain(node, Duration::from_secs(25));
        pass(&mut world, 24);
        let view = world.ledger.truth.clone().unwrap();
        assert_eq!(view.partitions_of(&old).count(), 0, "all its partitions have gone to others");
        assert_eq!(view.members().iter().filter(|member| member.role == Role::Home).count(), 2);
        pass(&mut world, 8);
        assert_eq!(members(&world), [0, 1, 2]);
        assert_ne!(id(&world, node), old);
    }
    assert_eq!(world.counts.put_out, 0);
}

#[test]
fn a_second_process_of_the_same_name_does_not_get_in() {
    let mut world = calm(10, 2);
    world.places[1].name = world.places[0].name.clone();
    world.kill(1);
    world.start(1);
    pass(&mut world, 6);
    assert!(world.trace.lines().iter().any(|line| line.contains("NameTaken")));
    assert_eq!(standing(&world, 0), Standing::Member);
}

#[test]
fn a_second_process_of_the_same_name_does_not_get_in_while_nobody_can_renew() {
    for tenths in 0..20 {
        let mut world = calm(10, 2);
        let first = id(&world, 0);
        world.places[1].name = world.places[0].name.clone();
        world.kill(1);
        world.start(1);
        world.run_for(Duration::from_millis(100 + tenths * 25)).unwrap();
        world.engine.leaderless_until = world.now + Duration::from_millis(7_000 + tenths * 50);
        pass(&mut world, 16);
        assert_eq!((id(&world, 0), standing(&world, 0)), (first, Standing::Member), "{tenths}");
        assert!(world.trace.lines().iter().any(|line| line.contains("NameTaken")));
    }
}

#[test]
fn the_version_of_a_view_rises_with_the_last_node_that_takes_the_new_one() {
    let mut world = NodesWorld::new(13, 3);
    for node in 0..3 {
        world.places[node].proto = 1;
        world.start(node);
    }
    pass(&mut world, 60);
    for node in 0..3 {
        assert_eq!(world.ledger.truth.as_ref().unwrap().proto(), 1, "node {node} is old");
        world.places[node].proto = PROTO;
        world.drain(node, Duration::from_secs(25));
        pass(&mut world, 40);
        assert_eq!(members(&world), [0, 1, 2]);
    }
    assert_eq!((world.ledger.truth.as_ref().unwrap().proto(), world.counts.put_out), (PROTO, 0));
}

#[test]
fn a_node_that_is_too_old_for_all_others_does_not_get_in_and_is_told_why() {
    let mut world = calm(14, 3);
    world.kill(2);
    pass(&mut world, 40);
    world.places[2].proto = 1;
    world.start(2);
    pass(&mut world, 30);
    assert_eq!((members(&world), standing(&world, 2)), (vec![0, 1], Standing::Outside));
    assert!(world.trace.lines().iter().any(|line| line.contains(&format!("TooOld {{ proto: {PROTO} }}"))));
}

#[test]
fn whoever_meets_its_own_writes_is_not_put_out() {
    let mut world = NodesWorld::new(11, 3);
    world.engine.lies.own_conflict = 500;
    world.engine.lies.lost = 100;
    for node in 0..3 {
        world.start(node);
    }
    pass(&mut world, 120);
    assert_eq!((members(&world).len(), world.counts.put_out), (3, 0));
}

#[test]
fn each_kind_of_mishap_is_survived_alone() {
    for mishap in Mishap::ALL {
        let mut world = calm(12, 3);
        for node in 0..3 {
            world.happen(mishap, node);
            pass(&mut world, 15);
        }
        world.heal();
        pass(&mut world, 40);
        if let Err(violation) = world.check_agreed() {
            panic!("{mishap:?}: {violation}\n{}", world.trace.lines().join("\n"));
        }
    }
}

#[test]
fn worlds_of_nodes_keep_their_promises() {
    for seed in 1..=40 {
        let outcome = run_nodes(seed, None, false);
        assert!(outcome.fault.is_none(), "seed {seed}: {}", outcome.fault.unwrap());
    }
}

#[test]
fn many_nodes_agree_too() {
    let outcome = run_nodes(1, Some(12), false);
    assert!(outcome.fault.is_none(), "{}", outcome.fault.unwrap());
}
