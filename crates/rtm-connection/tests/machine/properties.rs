//! Invariants under random input: whatever user, transport, server and clock do, in whatever order.

use std::time::Instant;

use proptest::prelude::*;
use rtm_codec::{CloseReason, ErrorKind, Event, Resumption, Seq, ServerFrame};
use rtm_connection::{Output, RtmEvent};

use crate::{
    peer::channel,
    world::{Step, World},
};

fn kind() -> impl Strategy<Value = ErrorKind> {
    prop_oneof![
        Just(ErrorKind::Failure),
        Just(ErrorKind::TooOften),
        Just(ErrorKind::InvalidToken),
        Just(ErrorKind::TokenExpired),
        Just(ErrorKind::Banned),
        Just(ErrorKind::NotInChannel),
        Just(ErrorKind::AlreadyJoined),
        Just(ErrorKind::AlreadyEnd),
        Just(ErrorKind::Timeout),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let resumption = prop_oneof![Just(Resumption::New), Just(Resumption::Resumed), Just(Resumption::Lapsed)];
    let life = prop_oneof![3 => Just(None), 1 => Just(Some(5_000)), 1 => Just(Some(u64::MAX))];
    let reason = || prop::sample::select(CloseReason::ALL.to_vec());
    prop_oneof![
        4 => Just(Step::Login),
        1 => Just(Step::Logout),
        4 => Just(Step::Send),
        2 => Just(Step::Query),
        2 => Just(Step::History),
        2 => any::<u8>().prop_map(Step::Subscribe),
        1 => any::<u8>().prop_map(Step::Unsubscribe),
        3 => any::<u8>().prop_map(Step::Join),
        3 => any::<u8>().prop_map(Step::Leave),
        2 => any::<u8>().prop_map(Step::Attribute),
        1 => any::<u8>().prop_map(Step::Renew),
        2 => Just(Step::Invite),
        2 => any::<u8>().prop_map(Step::Cancel),
        2 => any::<u8>().prop_map(Step::Accept),
        2 => any::<u8>().prop_map(Step::Refuse),
        2 => any::<u8>().prop_map(Step::Consume),
        1 => Just(Step::NetworkChanged),
        12 => Just(Step::Opened),
        1 => any::<bool>().prop_map(Step::DialFailed),
        8 => any::<u8>().prop_map(Step::Answer),
        1 => (any::<u8>(), kind()).prop_map(|(which, kind)| Step::RefuseAsk(which, kind)),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(which, retry)| Step::AskFailed(which, retry)),
        2 => prop::option::of(reason()).prop_map(Step::Closed),
        12 => (resumption, life).prop_map(|(resumption, life)| Step::Welcome(resumption, life)),
        1 => kind().prop_map(Step::Refused),
        1 => reason().prop_map(Step::Close),
        1 => Just(Step::Ping),
        8 => any::<u8>().prop_map(Step::Answered),
        3 => (any::<u8>(), kind()).prop_map(|(which, kind)| Step::RefusedCall(which, kind)),
        6 => any::<u8>().prop_map(Step::Message),
        2 => any::<u8>().prop_map(Step::Invited),
        1 => any::<u8>().prop_map(Step::Rang),
        1 => any::<u8>().prop_map(Step::LocalEnd),
        1 => any::<u8>().prop_map(Step::RemoteEnd),
        1 => Just(Step::Expiring),
        8 => (0u32..3_000).prop_map(Step::Pass),
        1 => (0u32..100_000).prop_map(Step::Sleep),
        4 => Just(Step::Drain),
    ]
}

#[allow(clippy::disallowed_methods)]
fn clock() -> Instant {
    Instant::now()
}

proptest! {
    #[test]
    fn the_promises_hold_whatever_comes(
        seed in any::<u64>(),
        vendor in any::<bool>(),
        web15 in any::<bool>(),
        steps in prop::collection::vec(step(), 1..150),
    ) {
        let mut world = World::new(seed, vendor, web15, clock());
        for step in steps {
            world.step(step);
        }
        world.finish();
    }

    #[test]
    fn the_same_inputs_and_seed_give_the_same_outputs(
        seed in any::<u64>(),
        steps in prop::collection::vec(step(), 1..100),
    ) {
        let start = clock();
        let run = || {
            let mut world = World::new(seed, false, false, start);
            steps.iter().copied().for_each(|step| world.step(step));
            world.finish();
            world.trace
        };
        prop_assert_eq!(run(), run());
    }

    #[test]
    fn numbers_handed_on_rise_and_what_is_missing_is_said(jumps in prop::collection::vec(0u64..4, 1..200)) {
        let mut world = World::new(1, false, false, clock());
        for step in [Step::Login, Step::Drain, Step::Opened, Step::Drain, Step::Welcome(Resumption::New, None)] {
            world.step(step);
        }
        world.drain();
        world.trace.clear();
        let mut expected = Vec::new();
        let (mut last, mut seq) = (0, 0);
        for jump in jumps {
            // Zero is a repeat, one the next, more leaves something out.
            seq += jump;
            let event = Event::MemberCountUpdated { channel_id: channel("c"), member_count: seq as u32 };
            world.frame(ServerFrame::Event { seq: Seq(seq), event });
            if seq > last {
                if seq > last + 1 {
                    expected.push((None, seq - last - 1));
                }
                expected.push((Some(seq as u32), 0));
                last = seq;
            }
            world.connection.consumed(world.now, 2);
        }
        let mut told = Vec::new();
        loop {
            match world.connection.poll_output(world.now) {
                Output::Event(RtmEvent::MemberCountUpdated { member_count, .. }) => told.push((Some(member_count), 0)),
                Output::Event(RtmEvent::Gap { lost: Some(lost), .. }) => told.push((None, lost)),
                Output::Wait(_) => break,
                _ => {}
            }
        }
        prop_assert_eq!(told, expected);
    }
}
