use std::time::Duration;

use futures::StreamExt;
use proptest::prelude::*;
use rtm_connection::{ConnectionChangeReason, ConnectionState, GapReason, ReceivedMessageProperties, RtmEvent};

use super::{EventPart, EventSender, Events};
use crate::{ChannelId, UserId};

const NEVER: u32 = u32::MAX;

fn room(name: &str) -> ChannelId {
    ChannelId::new(name).unwrap()
}

fn message(channel: &str, number: u64) -> RtmEvent {
    let properties = ReceivedMessageProperties::new(false, number);
    let (channel_id, member_id) = (room(channel), UserId::new("bob").unwrap());
    RtmEvent::channel_message(channel_id, member_id, "hi".into(), properties)
}

fn gap(lost: Option<u64>) -> RtmEvent {
    RtmEvent::gap(None, lost, GapReason::NewSession)
}

fn send(sender: &mut EventSender, events: impl IntoIterator<Item = RtmEvent>) {
    events.into_iter().for_each(|event| sender.send(event));
    sender.flush();
}

/// The numbers of the messages that wait; 0 for anything else.
fn numbers(mut next: impl FnMut() -> Option<RtmEvent>) -> Vec<u64> {
    std::iter::from_fn(|| Some(next()?.server_received_ts().unwrap_or(0))).collect()
}

fn read(part: &mut EventPart) -> Vec<u64> {
    numbers(|| part.try_recv())
}

fn rest(events: &mut Events) -> Vec<u64> {
    numbers(|| events.try_recv())
}

#[test]
fn each_event_goes_to_the_first_part_that_picks_it_and_else_to_the_rest_also_if_it_waits_already() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    send(&mut sender, [message("a", 1), message("b", 2), message("c", 3)]);
    assert_eq!(events.try_recv(), Some(message("a", 1)), "taken before the stream is divided");
    let mut a = events.channel_part(&room("a"));
    let mut late = events.part(|event| event.server_received_ts() >= Some(4));
    let mut b = events.channel_part(&room("b"));
    send(&mut sender, [message("b", 4), message("a", 5), message("b", 6), message("c", 7)]);
    assert_eq!((read(&mut a), read(&mut late), read(&mut b)), (vec![5], vec![4, 6, 7], vec![2]));
    assert_eq!(rest(&mut events), [3]);
    assert_eq!(sender.take_taken(), Some(7));
}

#[test]
fn what_concerns_everything_is_told_to_all_once_and_a_closure_cannot_keep_it_to_itself() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let mut all = events.part(|_| true);
    let mut a = events.channel_part(&room("a"));
    let aborted = RtmEvent::connection_state_changed(ConnectionState::Aborted, ConnectionChangeReason::RemoteLogin);
    send(&mut sender, [gap(Some(1)), gap(Some(2)), aborted.clone(), gap(None), aborted.clone()]);
    for part in [&mut all, &mut a] {
        let told: Vec<_> = std::iter::from_fn(|| part.try_recv()).collect();
        assert_eq!(told, [gap(None), aborted.clone()], "in one, since nobody took them in between");
    }
    assert_eq!(sender.take_taken(), None, "copies count for nothing");
    let told: Vec<_> = std::iter::from_fn(|| events.try_recv()).collect();
    assert_eq!(told, [gap(Some(1)), gap(Some(2)), aborted.clone(), gap(None), aborted]);
    assert_eq!(sender.take_taken(), Some(5));
    send(&mut sender, [gap(Some(1)), message("a", 1), gap(Some(1))]);
    assert_eq!(read(&mut a), [0], "the closure that picks everything has the message between the two");
    assert_eq!(read(&mut all), [0, 1, 0]);
}

#[test]
fn the_server_is_told_of_what_all_readers_have_taken_from_the_first_on() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let mut slow = events.channel_part(&room("slow"));
    send(&mut sender, [message("a", 1), message("slow", 2), message("a", 3), message("a", 4), message("slow", 5)]);
    assert_eq!(rest(&mut events), [1, 3, 4]);
    assert_eq!((sender.take_taken(), sender.waiting()), (Some(1), 4), "the slow reader holds the others back");
    assert_eq!(slow.try_recv(), Some(message("slow", 2)));
    assert_eq!(sender.take_taken(), Some(3));
    assert_eq!(read(&mut slow), [5]);
    assert_eq!((sender.take_taken(), sender.waiting()), (Some(1), 0));
}

#[test]
fn a_lossy_part_drops_its_oldest_tells_how_many_and_holds_nobody_back() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let a = events.channel_part(&room("a"));
    send(&mut sender, (1..=4).map(|n| message("a", n)));
    let mut a = a.lossy(2);
    assert_eq!(sender.take_taken(), Some(2), "what waited already counts");
    send(&mut sender, [message("b", 5), message("a", 6), gap(None), message("a", 7)]);
    assert_eq!(sender.take_taken(), Some(2));
    let lossy = RtmEvent::gap(Some(room("a")), Some(4), GapReason::Lossy);
    assert_eq!(a.try_recv(), Some(lossy));
    let left: Vec<_> = std::iter::from_fn(|| a.try_recv()).collect();
    assert_eq!(left, [message("a", 6), gap(None), message("a", 7)], "no gap of everything is dropped");
    assert_eq!(rest(&mut events), [5, 0]);
    assert_eq!(sender.take_taken(), Some(4));
    drop(a);
    let mut any = events.part(|_| true).lossy(0);
    send(&mut sender, [message("a", 8), message("a", 9)]);
    let lossy = RtmEvent::gap(None, Some(1), GapReason::Lossy);
    assert_eq!(any.try_recv(), Some(lossy));
    assert_eq!(read(&mut any), [9]);
}

#[test]
fn a_lossy_part_drops_nothing_of_the_connection() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let mut all = events.part(|_| true).lossy(1);
    let state = |state| RtmEvent::connection_state_changed(state, ConnectionChangeReason::Login);
    let told = [state(ConnectionState::Connecting), RtmEvent::TokenDidExpire, state(ConnectionState::Connected)];
    let [connecting, token, connected] = told.clone();
    send(&mut sender, [message("a", 1), connecting, message("a", 2), token, message("a", 3), connected]);
    let lossy = RtmEvent::gap(None, Some(2), GapReason::Lossy);
    assert_eq!(all.try_recv(), Some(lossy));
    let left: Vec<_> = std::iter::from_fn(|| all.try_recv()).collect();
    let [connecting, token, connected] = told;
    assert_eq!(left, [connecting, token, message("a", 3), connected]);
    assert_eq!(sender.take_taken(), Some(6));
}

#[test]
fn a_lossy_part_tells_of_what_it_dropped_where_the_first_of_that_was() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let mut all = events.part(|_| true).lossy(1);
    let state = |state| RtmEvent::connection_state_changed(state, ConnectionChangeReason::Login);
    let (connecting, connected) = (state(ConnectionState::Connecting), state(ConnectionState::Connected));
    let lossy = |lost| RtmEvent::gap(None, Some(lost), GapReason::Lossy);
    send(&mut sender, [connecting.clone(), connected.clone(), message("a", 1), message("a", 2), message("a", 3)]);
    let told: Vec<_> = std::iter::from_fn(|| all.try_recv()).collect();
    assert_eq!(told, [connecting.clone(), connected, lossy(2), message("a", 3)]);
    send(&mut sender, [gap(None), message("a", 4), gap(None), message("a", 5), connecting.clone(), message("a", 6)]);
    let told: Vec<_> = std::iter::from_fn(|| all.try_recv()).collect();
    assert_eq!(
        told,
        [gap(None), lossy(2), gap(None), connecting, message("a", 6)],
        "one gap, once for those before it is read"
    );
}

#[test]
fn a_part_whose_closure_owns_another_part_can_be_dropped() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let inner = events.channel_part(&room("a"));
    let outer = events.part(move |event| {
        let _owned = &inner;
        event.channel_id() == Some(&room("b"))
    });
    send(&mut sender, [message("a", 1), message("b", 2)]);
    drop(outer);
    assert_eq!(rest(&mut events), [1, 2]);
}

#[test]
fn a_part_that_is_dropped_returns_its_events_to_the_rest_in_their_order() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let a = events.channel_part(&room("a"));
    let mut also_a = events.channel_part(&room("a"));
    send(&mut sender, [message("a", 1), message("b", 2), gap(None), message("a", 3), message("b", 4), message("a", 5)]);
    drop(a);
    assert_eq!(rest(&mut events), [1, 2, 0, 3, 4, 5]);
    send(&mut sender, [message("a", 6), message("b", 7)]);
    assert_eq!((read(&mut also_a), rest(&mut events)), (vec![0, 6], vec![7]));
    assert_eq!(sender.take_taken(), Some(8));
}

#[test]
fn parts_outlive_the_rest_whose_events_then_count_as_taken() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let mut a = events.channel_part(&room("a"));
    let b = events.channel_part(&room("b"));
    send(&mut sender, [message("c", 1), message("a", 2), message("b", 3)]);
    drop(events);
    assert_eq!(sender.take_taken(), Some(1));
    send(&mut sender, [message("c", 4), message("a", 5)]);
    assert_eq!(read(&mut a), [2, 5]);
    assert_eq!(sender.take_taken(), Some(1));
    drop(b);
    assert_eq!(sender.take_taken(), Some(3), "nobody is left to read them");
    drop(a);
    send(&mut sender, [message("a", 6)]);
    assert_eq!((sender.take_taken(), sender.waiting()), (Some(1), 0));
}

#[test]
fn a_closure_that_panics_picks_nothing() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(|_| {}));
    let mut part = events.part(|event| match event.server_received_ts() {
        Some(1) => panic!("not this one"),
        _ => true,
    });
    send(&mut sender, [message("a", 1), message("a", 2)]);
    std::panic::set_hook(hook);
    assert_eq!((read(&mut part), rest(&mut events)), (vec![2], vec![1]));
}

#[tokio::test(start_paused = true)]
async fn only_readers_that_have_something_are_woken_and_all_end_with_the_task() {
    let (mut sender, mut events) = EventSender::new(NEVER);
    let mut a = events.channel_part(&room("a"));
    let mut b = by_hand(events.channel_part(&room("b")));
    let waits = tokio::spawn(async move { (a.recv().await, a.recv().await) });
    assert!(b.poll().is_pending());
    tokio::task::yield_now().await;
    send(&mut sender, [message("a", 1)]);
    assert!(!b.is_woken());
    send(&mut sender, [message("b", 2)]);
    assert!(b.is_woken());
    assert_eq!(b.poll(), std::task::Poll::Ready(Some(message("b", 2))));
    drop(sender);
    assert_eq!(waits.await.unwrap(), (Some(message("a", 1)), None));
    assert_eq!(b.poll(), std::task::Poll::Ready(None));
    assert_eq!(events.recv().await, None);
    let nothing: Option<()> = events.wait_for(Duration::from_secs(1), |_| None).await;
    assert_eq!(nothing, None);
}

/// Polls a part by hand, and knows whether it was woken.
struct ByHand {
    part: EventPart,
    flag: std::sync::Arc<Flag>,
}

#[derive(Default)]
struct Flag(std::sync::atomic::AtomicBool);

impl std::task::Wake for Flag {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.store(true, std::sync::atomic::Ordering::Relaxed);
    }
}

fn by_hand(part: EventPart) -> ByHand {
    ByHand { part, flag: std::sync::Arc::default() }
}

impl ByHand {
    fn poll(&mut self) -> std::task::Poll<Option<RtmEvent>> {
        let waker = std::sync::Arc::clone(&self.flag).into();
        self.part.poll_next_unpin(&mut std::task::Context::from_waker(&waker))
    }

    fn is_woken(&self) -> bool {
        self.flag.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[derive(Debug, Clone)]
enum Step {
    Send(u8),
    TellAll,
    Take(usize),
    Divide(u8),
    Lossy(usize, usize),
    Drop(usize),
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let step = prop_oneof![
        8 => (0..4u8).prop_map(Step::Send),
        1 => Just(Step::TellAll),
        6 => (0..4usize).prop_map(Step::Take),
        2 => (0..4u8).prop_map(Step::Divide),
        1 => (0..4usize, 0..4usize).prop_map(|(part, most)| Step::Lossy(part, most)),
        1 => (0..4usize).prop_map(Step::Drop),
    ];
    proptest::collection::vec(step, 0..200)
}

proptest! {
    /// Whatever is done, each event is read once or dropped and counted, each reader reads in order, and the task learns
    /// of all events up to the first that was neither.
    #[test]
    fn nothing_is_lost_repeated_or_counted_wrongly(steps in steps()) {
        let (mut sender, mut events) = EventSender::new(NEVER);
        let mut parts: Vec<EventPart> = Vec::new();
        let (mut sent, mut taken) = (0u64, 0u64);
        // What became of each: read, or not yet.
        let mut is_read: Vec<bool> = Vec::new();
        let mut dropped = 0;
        let mut note = |event: RtmEvent, is_read: &mut Vec<bool>, is_rest: bool| match event {
            RtmEvent::Gap { reason: GapReason::Lossy, lost: Some(lost), .. } => dropped += lost,
            RtmEvent::Gap { lost: Some(number), .. } if is_rest => {
                assert!(!std::mem::replace(&mut is_read[number as usize - 1], true));
            }
            RtmEvent::Gap { .. } => {}
            event => {
                let number = event.server_received_ts().unwrap();
                assert!(!std::mem::replace(&mut is_read[number as usize - 1], true), "{number} came twice");
            }
        };
        for step in steps {
            match step {
                Step::Send(channel) => {
                    sent += 1;
                    is_read.push(false);
                    send(&mut sender, [message(&channel.to_string(), sent)]);
                }
                Step::TellAll => {
                    sent += 1;
                    is_read.push(false);
                    send(&mut sender, [gap(Some(sent))]);
                }
                Step::Take(0) => events.try_recv().into_iter().for_each(|event| note(event, &mut is_read, true)),
                Step::Take(part) => {
                    let event = parts.get_mut(part - 1).and_then(EventPart::try_recv);
                    event.into_iter().for_each(|event| note(event, &mut is_read, false));
                }
                Step::Divide(channel) => parts.push(events.channel_part(&room(&channel.to_string()))),
                Step::Lossy(part, most) if part < parts.len() => {
                    let lossy = parts.remove(part).lossy(most);
                    parts.insert(part, lossy);
                }
                Step::Drop(part) if part < parts.len() => {
                    // What it has before its first message may say how many it dropped.
                    while let Some(event) = parts[part].try_recv() {
                        let is_message = event.server_received_ts().is_some();
                        note(event, &mut is_read, false);
                        if is_message {
                            break;
                        }
                    }
                    drop(parts.remove(part));
                }
                Step::Lossy(..) | Step::Drop(_) => {}
            }
            taken += u64::from(sender.take_taken().unwrap_or(0));
            prop_assert!(taken + u64::from(sender.waiting()) == sent);
        }
        for part in &mut parts {
            let mut last = 0;
            while let Some(event) = part.try_recv() {
                let number = event.server_received_ts();
                prop_assert!(number.is_none_or(|number| number > last));
                last = number.unwrap_or(last);
                note(event, &mut is_read, false);
            }
        }
        while let Some(event) = events.try_recv() {
            note(event, &mut is_read, true);
        }
        taken += u64::from(sender.take_taken().unwrap_or(0));
        prop_assert_eq!(taken, sent, "everything is read or dropped now");
        prop_assert_eq!(is_read.iter().filter(|is_read| !**is_read).count() as u64, dropped);
    }
}
