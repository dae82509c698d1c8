//! What came to each user, beside what was sent to it.

use std::{
    collections::{HashMap, HashSet, hash_map::Entry},
    time::Duration,
};

use rtm_client::{ConnectionState, PeerOnlineState, RtmEvent, Wire};

use super::{Faults, Outcome, Sent, To, members, number_of};
use crate::rolling::{name, partner, wire};

/// What came to a user, in order.
#[derive(Debug)]
pub(super) enum Item {
    Text {
        from: usize,
        to: To,
        n: usize,
        is_stored: bool,
    },
    Gap {
        is_of_room: bool,
    },
    Cut,
    /// This user is offline, or has left the room, it was told.
    Away(usize),
}

/// What came to a user. Who is thrown out, or cannot have back what it had, is a fault.
pub(super) fn items(number: usize, events: &[RtmEvent], faults: &mut Faults) -> Vec<Item> {
    let mut items = Vec::new();
    for event in events {
        let (from, to, message, is_stored) = match event {
            RtmEvent::MessageFromPeer { peer_id, message, properties, .. } => {
                (peer_id, To::Peer, message, properties.is_offline_message)
            }
            RtmEvent::ChannelMessage { member_id, message, .. } => (member_id, To::Room, message, false),
            RtmEvent::Gap { channel_id, .. } => {
                items.push(Item::Gap { is_of_room: channel_id.is_some() });
                continue;
            }
            RtmEvent::ConnectionStateChanged {
                state: ConnectionState::Aborted | ConnectionState::Disconnected,
                ..
            } => {
                faults.add("thrown out", || format!("{}: {event:?}", name(number)));
                continue;
            }
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. } => {
                items.push(Item::Cut);
                continue;
            }
            RtmEvent::MemberLeft { member_id, .. } => {
                items.push(Item::Away(number_of(member_id.as_str())));
                continue;
            }
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                let away = peers.iter().filter(|(_, state)| **state == PeerOnlineState::Offline);
                items.extend(away.map(|(peer, _)| Item::Away(number_of(peer.as_str()))));
                continue;
            }
            RtmEvent::RestoreFailed { .. } => {
                faults.add("not restored", || format!("{}: {event:?}", name(number)));
                continue;
            }
            _ => continue,
        };
        let from = number_of(from.as_str());
        if let Ok(n) = message.as_text().unwrap().parse() {
            items.push(Item::Text { from, to, n, is_stored });
        }
    }
    items
}

/// What one user got of each other one is in order, and nothing came twice. The vendor's wire may repeat what the server could
/// not know to have come over a connection that was lost, and orders what was stored among itself only. Returns what was
/// stored and came on the native wire after a later message of its sender.
pub(super) fn check_order(number: usize, items: &[Item], faults: &mut Faults) -> Vec<String> {
    let mut seen: HashMap<(usize, To, usize), usize> = HashMap::new();
    let mut last: HashMap<(usize, To, bool), usize> = HashMap::new();
    let mut late = Vec::new();
    for (at, item) in items.iter().enumerate() {
        let Item::Text { from, to, n, is_stored } = item else { continue };
        let case = || format!("{to:?} {n} from {} to {}", name(*from), name(number));
        match seen.entry((*from, *to, *n)) {
            Entry::Vacant(entry) => _ = entry.insert(at),
            Entry::Occupied(mut entry) => {
                let first = entry.insert(at);
                let is_behind_gap = items[first..at].iter().any(|item| matches!(item, Item::Gap { is_of_room: false }));
                if wire(number) == Wire::Native || !is_behind_gap || *to == To::Room {
                    faults.add("repeated", case);
                }
                continue;
            }
        }
        let is_behind = |is_stored| last.get(&(*from, *to, is_stored)).is_some_and(|last| n < last);
        match (is_behind(*is_stored), is_behind(!is_stored), is_stored) {
            (true, _, false) => faults.add("out of order", case),
            (true, _, true) => faults.add("out of order, all of them stored", case),
            (false, true, true) if wire(number) == Wire::Native => late.push(case()),
            (false, true, false) if wire(number) == Wire::Native => faults.add("behind what was stored later", case),
            (false, ..) => {}
        }
        let last = last.entry((*from, *to, *is_stored)).or_insert(*n);
        *last = *n.max(last);
    }
    late
}

/// A message that was said to be delivered or stored has come to each receiver; a room's message may be in a gap, which is
/// where the message would be.
pub(super) fn check_arrival(number: usize, one: &Sent, received: &[Vec<Item>], faults: &mut Faults) {
    let receivers = match one.to {
        To::Peer => vec![partner(number)],
        To::Room => members(number).filter(|other| *other != number).collect(),
    };
    for receiver in receivers {
        let items = &received[receiver];
        let (mut after, mut before) = (0, items.len());
        let mut has_come = false;
        for (at, item) in items.iter().enumerate() {
            match item {
                Item::Text { from, to, n, .. } if *from == number && *to == one.to => {
                    has_come |= *n == one.n;
                    if *n < one.n {
                        after = at;
                    } else {
                        before = before.min(at);
                    }
                }
                _ => {}
            }
        }
        let mut between = items.get(after..before).into_iter().flatten();
        let is_told = one.to == To::Room && between.any(|item| matches!(item, Item::Gap { .. }));
        if !has_come && !is_told {
            faults.add("lost", || format!("{} to {}: {one:?}", name(number), name(receiver)));
        }
    }
}

/// Whether each message that was said to be stored has come.
pub(super) fn has_all_that_was_stored(events: &[Vec<RtmEvent>], sent: &[Vec<Sent>]) -> bool {
    let come = |receiver: usize| -> HashSet<String> {
        let texts = events[receiver].iter().filter_map(|event| match event {
            RtmEvent::MessageFromPeer { message, .. } => message.as_text().map(str::to_owned),
            _ => None,
        });
        texts.collect()
    };
    sent.iter().enumerate().all(|(number, sent)| {
        let mut stored = sent.iter().filter(|one| one.outcome == Outcome::Stored).peekable();
        stored.peek().is_none() || {
            // Nobody else writes to it.
            let come = come(partner(number));
            stored.all(|one| come.contains(&one.n.to_string()))
        }
    })
}

#[test]
fn an_account_has_what_is_lost_repeated_and_out_of_order() {
    let text = |n| Item::Text { from: 0, to: To::Room, n, is_stored: false };
    let gap = || Item::Gap { is_of_room: true };
    let faults_of = |items: Vec<Item>, delivered: &[usize]| {
        let mut received: Vec<Vec<Item>> = members(0).map(|_| [1, 3, 5, 7].map(text).into()).collect();
        received[1] = items;
        let mut faults = Faults::default();
        check_order(1, &received[1], &mut faults);
        for n in delivered {
            let [at, answered] = [Duration::ZERO; 2];
            let one = Sent { to: To::Room, n: *n, at, answered, outcome: Outcome::Delivered };
            check_arrival(0, &one, &received, &mut faults);
        }
        faults.0.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(faults_of(vec![text(1), text(3), text(5)], &[1, 3, 5]), [""; 0]);
    assert_eq!(faults_of(vec![text(1), text(5)], &[1, 3, 5]), ["lost"]);
    assert_eq!(faults_of(vec![text(1), gap(), text(5)], &[1, 3, 5]), [""; 0]);
    assert_eq!(faults_of(vec![gap(), text(1), text(5), gap()], &[1, 3, 5]), ["lost"]);
    assert_eq!(faults_of(vec![text(1), text(3)], &[1, 3, 5]), ["lost"]);
    assert_eq!(faults_of(vec![text(1), text(3), text(5), gap()], &[1, 3, 5, 7]), [""; 0]);
    assert_eq!(faults_of(vec![text(1), text(3), text(3), text(5)], &[1, 3, 5]), ["repeated"]);
    assert_eq!(faults_of(vec![text(3), text(1), text(5)], &[1, 3, 5]), ["out of order"]);
}

#[test]
fn stored_texts_are_in_order_too() {
    let text = |is_stored: bool| move |n: usize| Item::Text { from: 1, to: To::Peer, n, is_stored };
    let [live, stored] = [text(false), text(true)];
    let order_of = |receiver: usize, items: Vec<Item>| {
        let mut faults = Faults::default();
        let late = check_order(receiver, &items, &mut faults).len();
        (faults.0.into_keys().collect::<Vec<_>>(), late)
    };
    let [native, vendor] = [0, 3];
    assert_eq!([native, vendor].map(wire), [Wire::Native, Wire::Vendor]);
    for receiver in [native, vendor] {
        assert_eq!(order_of(receiver, vec![live(2), stored(4), live(6), stored(8)]), (vec![], 0));
        assert_eq!(order_of(receiver, vec![stored(8), stored(4)]), (vec!["out of order, all of them stored"], 0));
        assert_eq!(order_of(receiver, vec![live(6), live(8), live(2)]), (vec!["out of order"], 0));
    }
    assert_eq!(order_of(native, vec![live(6), stored(4)]), (vec![], 1));
    assert_eq!(order_of(vendor, vec![live(6), stored(4)]), (vec![], 0));
    assert_eq!(order_of(native, vec![stored(4), live(2)]), (vec!["behind what was stored later"], 0));
    assert_eq!(order_of(vendor, vec![stored(4), live(2)]), (vec![], 0));
}
