use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use proptest::{prelude::*, sample::Index};
use rtm_codec::{Event, MessageId, PeerMessage, RequestId, RtmMessage, SessionId, SharedEvent, UserId};

use super::{Hearing, LaneMessage, Lanes, MessageKey, Place};
use crate::{
    arena::SessionKey,
    cluster::{NodeId, NodeName},
    notes::Asker,
};

fn node(number: u8) -> NodeId {
    NodeId { name: NodeName::new(&format!("rtm-{number}")).unwrap(), incarnation: 1 }
}

#[expect(clippy::disallowed_methods, reason = "any moment will do")]
fn now() -> Instant {
    Instant::now()
}

fn asker(request: u64) -> Asker {
    Asker { session: SessionKey::LOWEST, numbering: 1, request: RequestId(request) }
}

/// By what the message of this request is known.
fn key(request: u64) -> MessageKey {
    MessageKey::new(asker(request), MessageId(7))
}

/// A message that this request asked for, and whose time is over so many seconds after `start`.
fn message(start: Instant, request: u64, store: bool, seconds: u64, place: Place) -> LaneMessage {
    let event = Event::MessageFromPeer(PeerMessage {
        // A sender may use an id again.
        message_id: MessageId(7),
        peer_id: UserId::new("alice").unwrap(),
        message: RtmMessage::from("hello"),
        is_offline_message: false,
        server_received_ts: 1,
    });
    LaneMessage::new(asker(request), SharedEvent::for_one(event), store, start + Duration::from_secs(seconds), place)
}

#[derive(Debug, Clone)]
enum Step {
    Push { store: bool, placed: Option<(u8, bool)> },
    PushAgain(Index, Option<(u8, bool)>),
    Settle(Index),
    Placed(Index, u8, bool),
    NotTaken(Index, u8),
    Send(u8),
    GiveBack(u8),
    TakeWaiting,
    TakeUnrepeatable(u64),
    TakeGivenBack,
    TakeOverdue(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let placed = || proptest::option::of((0..3u8, any::<bool>()));
    prop_oneof![
        4 => (any::<bool>(), placed()).prop_map(|(store, placed)| Step::Push { store, placed }),
        1 => (any::<Index>(), placed()).prop_map(|(index, placed)| Step::PushAgain(index, placed)),
        2 => any::<Index>().prop_map(Step::Settle),
        3 => (any::<Index>(), 0..3u8, any::<bool>()).prop_map(|(index, by, drops)| Step::Placed(index, by, drops)),
        2 => (any::<Index>(), 0..3u8).prop_map(|(index, by)| Step::NotTaken(index, by)),
        4 => (0..3u8).prop_map(Step::Send),
        1 => (0..3u8).prop_map(Step::GiveBack),
        1 => Just(Step::TakeWaiting),
        1 => (0..60u64).prop_map(Step::TakeUnrepeatable),
        1 => Just(Step::TakeGivenBack),
        1 => (0..60u64).prop_map(Step::TakeOverdue),
    ]
}

fn place(placed: Option<(u8, bool)>) -> Place {
    placed.map_or(Place::Waiting, |(number, drops_repeats)| Place::Placed { node: node(number), drops_repeats })
}

fn is_here(place: &Place) -> bool {
    matches!(place, Place::Waiting | Place::GivenBack { .. })
}

fn is_given_back(place: &Place) -> bool {
    matches!(place, Place::GivenBack { .. })
}

fn is_unrepeatable(place: &Place, is_over: bool) -> bool {
    matches!(place, Place::GivenBack { drops_repeats, .. } if is_over || !drops_repeats)
}

proptest! {
    /// What a lane counts is what one finds by looking at all of its messages.
    #[test]
    fn a_lane_knows_of_all_its_messages(steps in proptest::collection::vec(step(), 1..80)) {
        let start = now();
        let to = UserId::new("bob").unwrap();
        let mut lanes = Lanes::new(FixedState::default());
        // The number, the request, whether it is to be stored, when its time is over, and where it is.
        let mut all: Vec<(u64, u64, bool, u64, Place)> = Vec::new();
        for (number, step) in (1u64..).zip(steps) {
            match step {
                Step::Push { store, placed } => {
                    lanes.push(&to, message(start, number, store, number, place(placed)));
                    all.push((lanes.last, number, store, number, place(placed)));
                }
                Step::PushAgain(index, placed) if !all.is_empty() => {
                    let at = index.index(all.len());
                    let (_, request, store, until, known) = &mut all[at];
                    lanes.push(&to, message(start, *request, *store, *until, place(placed)));
                    *known = place(placed);
                }
                Step::Settle(index) if !all.is_empty() => {
                    let (_, request, ..) = all.remove(index.index(all.len()));
                    let settled = lanes.settle(key(request)).unwrap();
                    prop_assert_eq!((settled.to, settled.is_last), (to.clone(), all.is_empty()));
                    prop_assert!(lanes.settle(key(request)).is_none());
                }
                Step::Placed(index, by, drops_repeats) if !all.is_empty() => {
                    let at = index.index(all.len());
                    let sent = |it: &&mut (u64, u64, bool, u64, Place)| it.4 == Place::Sent(node(by));
                    let n = all[at].0;
                    let mut placed = 0;
                    for (.., known) in all[..=at].iter_mut().filter(sent) {
                        *known = place(Some((by, drops_repeats)));
                        placed += 1;
                    }
                    let lane = lanes.lane_mut(&to).unwrap();
                    prop_assert_eq!(lane.place_up_to(n, &node(by), &place(Some((by, drops_repeats)))), placed > 0);
                }
                Step::NotTaken(index, by) if !all.is_empty() => {
                    let at = index.index(all.len());
                    let (n, .., known) = &mut all[at];
                    let was_there = *known == Place::Sent(node(by));
                    if was_there {
                        *known = Place::Waiting;
                    }
                    prop_assert_eq!(lanes.lane_mut(&to).unwrap().take_back(*n, &node(by)), was_there);
                }
                Step::Send(number) if !all.is_empty() => {
                    let lane = lanes.lane_mut(&to).unwrap();
                    let elsewhere = all.iter().any(|(.., place)| matches!(place, Place::Sent(other) if *other != node(number)));
                    prop_assert_eq!(lane.has_sent_elsewhere(&node(number)), elsewhere);
                    if elsewhere {
                        continue;
                    }
                    let mut sent = Vec::new();
                    lane.send_waiting(&node(number), |message, after| sent.push((message.n, after)));
                    let (mut expected, mut after) = (Vec::new(), 0);
                    for (n, .., place) in &mut all {
                        if is_here(place) {
                            *place = Place::Sent(node(number));
                            expected.push((*n, after));
                        }
                        if !matches!(place, Place::Placed { .. }) {
                            after = *n;
                        }
                    }
                    prop_assert_eq!(sent, expected);
                }
                Step::GiveBack(number) => {
                    let given_back = |place: &Place| match place {
                        Place::Sent(of) if *of == node(number) => {
                            Some(Place::GivenBack { was_placed: false, drops_repeats: number != 1 })
                        }
                        Place::Placed { node: of, drops_repeats } if *of == node(number) => {
                            Some(Place::GivenBack { was_placed: true, drops_repeats: *drops_repeats })
                        }
                        _ => None,
                    };
                    if let Some(lane) = lanes.lane_mut(&to) {
                        lane.replace(given_back);
                    }
                    all.iter_mut().for_each(|(.., place)| *place = given_back(place).unwrap_or_else(|| place.clone()));
                }
                Step::TakeWaiting | Step::TakeUnrepeatable(_) | Step::TakeGivenBack | Step::TakeOverdue(_) => {
                    let taken = match step {
                        Step::TakeWaiting => lanes.take_waiting(&to),
                        Step::TakeUnrepeatable(seconds) => {
                            lanes.take_unrepeatable(&to, start + Duration::from_secs(seconds))
                        }
                        Step::TakeGivenBack => lanes.take_given_back(&to),
                        Step::TakeOverdue(seconds) => lanes.take_overdue(&to, start + Duration::from_secs(seconds)),
                        _ => unreachable!(),
                    };
                    lanes.close_if_empty(&to);
                    let is_taken = |(_, _, store, until, place): &(u64, u64, bool, u64, Place)| match step {
                        Step::TakeWaiting => is_here(place),
                        Step::TakeUnrepeatable(seconds) => is_unrepeatable(place, !store && *until <= seconds),
                        Step::TakeGivenBack => is_given_back(place),
                        Step::TakeOverdue(seconds) => until + super::GRACE.as_secs() <= seconds,
                        _ => unreachable!(),
                    };
                    let expected: Vec<u64> = all.iter().filter(|it| is_taken(it)).map(|(n, ..)| *n).collect();
                    all.retain(|it| !is_taken(it));
                    prop_assert_eq!(taken.iter().map(|message| message.n).collect::<Vec<_>>(), expected);
                }
                Step::PushAgain(..) | Step::Settle(_) | Step::Placed(..) | Step::NotTaken(..) | Step::Send(_) => {}
            }
            prop_assert_eq!(lanes.by_key.len(), all.len(), "what is gone is not kept by its key");
            prop_assert_eq!(lanes.are_unsettled(), all.iter().any(|(.., place)| !matches!(place, Place::Placed { .. })));
            let Some(lane) = lanes.lane(&to) else {
                prop_assert!(all.is_empty());
                continue;
            };
            let known: Vec<_> = lane.messages().map(|message| (message.n, message.place.clone())).collect();
            let expected: Vec<_> = all.iter().map(|(n, .., place)| (*n, place.clone())).collect();
            prop_assert_eq!(known, expected);
            prop_assert_eq!(lane.has_waiting(), all.iter().any(|(.., place)| is_here(place)));
            prop_assert_eq!(lane.has_sent(), all.iter().any(|(.., place)| matches!(place, Place::Sent(_))));
            for seconds in [0, 20, 60] {
                let has_any = all.iter().any(|(_, _, store, until, place)| is_unrepeatable(place, !store && *until <= seconds));
                prop_assert_eq!(lane.has_unrepeatable(start + Duration::from_secs(seconds)), has_any);
            }
            prop_assert_eq!(lane.has_given_back(), all.iter().any(|(.., place)| is_given_back(place)));
            for receiver in [None, Some(node(0)), Some(node(1))] {
                let before = all.iter().take_while(|(.., place)| !is_here(place));
                let awaits = before.into_iter().any(|(_, _, store, _, place)| {
                    *store && matches!(place, Place::Placed { node, .. } if Some(node) != receiver.as_ref())
                });
                prop_assert_eq!(lane.awaits_outcome(receiver.as_ref()), awaits);
            }
        }
    }
}

#[test]
fn a_lane_that_is_new_to_a_session_begins_with_the_first_message_that_nobody_has() {
    let mut lanes = Lanes::new(FixedState::default());
    let from = SessionId([1; 16]);
    assert_eq!(lanes.hear(from, 2, 1), Hearing::Missing, "the one before it comes again");
    assert_eq!(lanes.hear(from, 1, 0), Hearing::Next);
    assert_eq!(lanes.hear(from, 2, 1), Hearing::Next);
    assert_eq!(lanes.hear(from, 1, 0), Hearing::Known);
}

#[test]
fn of_too_many_lanes_one_is_forgotten_on_which_nothing_comes() {
    let mut lanes = Lanes::new(FixedState::default());
    let from = |number: u128| SessionId(number.to_le_bytes());
    let most = super::HEARD_LANES as u128;
    for number in 0..most {
        assert_eq!(lanes.hear(from(number), 1, 0), Hearing::Next);
    }
    // The first one is the oldest, and in use.
    for n in 2..=(3 * most as u64) {
        assert_eq!(lanes.hear(from(0), n, n - 1), Hearing::Next);
        assert_eq!(lanes.hear(from(most + u128::from(n)), 1, 0), Hearing::Next);
        assert_eq!(lanes.heard.len(), super::HEARD_LANES);
    }
    assert_eq!(lanes.hear(from(0), 2, 1), Hearing::Known);
}

#[test]
fn of_lanes_that_are_all_in_use_one_is_forgotten() {
    let mut lanes = Lanes::new(FixedState::default());
    let from = |number: u128| SessionId(number.to_le_bytes());
    let most = super::HEARD_LANES as u128;
    for n in 1..=3 {
        for number in 0..most {
            assert_eq!(lanes.hear(from(number), n, n - 1), Hearing::Next);
        }
    }
    assert_eq!(lanes.hear(from(most), 1, 0), Hearing::Next);
    assert_eq!((0..most).filter(|number| lanes.has_heard(from(*number), 3)).count(), super::HEARD_LANES - 1);
}
