//! What the histories of rooms and pairs have in the end, beside what was to be kept in them.

use std::{collections::HashMap, time::Duration};

use rtm_client::{ErrorKind, History, HistoryQuery, StoredMessage};

use super::{Faults, LAST, Outcome, Sent, To, USERS, is_to_be_kept, members, number_of, room, until_it_works};
use crate::{
    rolling::{name, partner},
    users::User,
};

/// For each user, the history of its room and the one that it has with its partner, as this user reads them.
pub(super) struct Histories(Vec<HashMap<To, Vec<Kept>>>);

/// A message in a history.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Kept {
    from: usize,
    n: usize,
}

impl Histories {
    pub(super) async fn read(users: &[User]) -> Self {
        let mut all = Vec::new();
        for (number, user) in users.iter().enumerate() {
            let query = HistoryQuery::new();
            let of_room = || user.client.channel(room(number)).unwrap().history(query);
            let of_pair = || user.client.peer_history(name(partner(number)), query).unwrap();
            all.push(HashMap::from([(To::Room, all_of(of_room).await), (To::Peer, all_of(of_pair).await)]));
        }
        Self(all)
    }

    /// What was said to be delivered or stored, and was to be kept, is there once and in order. What its sender was not told
    /// of may be there once, in any place, and nothing else is. All who may read a history read the same.
    pub(super) fn check(&self, sent: &[Vec<Sent>], faults: &mut Faults) {
        for number in 0..USERS {
            let first = [(To::Room, members(number).start), (To::Peer, number.min(partner(number)))];
            for (to, first) in first {
                if self.0[number][&to] != self.0[first][&to] {
                    faults.add("another history", || format!("{to:?}: {} and {}", name(number), name(first)));
                }
            }
        }
        let mut times: HashMap<(To, Kept), usize> = HashMap::new();
        for number in 0..USERS {
            for (to, is_first) in [(To::Room, members(number).start == number), (To::Peer, number < partner(number))] {
                let history = &self.0[number][&to];
                let said =
                    |kept: &Kept| sent[kept.from].iter().find(|one| (one.to, one.n) == (to, kept.n) && is_said(one));
                check_order(history.iter().filter_map(|kept| Some((kept.from, said(kept)?))), faults);
                history.iter().filter(|_| is_first).for_each(|kept| *times.entry((to, *kept)).or_default() += 1);
            }
        }
        for (number, sent) in sent.iter().enumerate() {
            for one in sent {
                let times = times.remove(&(one.to, Kept { from: number, n: one.n })).unwrap_or(0);
                let case = || format!("{} {one:?}", name(number));
                match (times, is_to_be_kept(one.n)) {
                    (0, true) if is_said(one) => faults.add("not in the history", case),
                    (0, _) | (1, true) => {}
                    (_, true) => faults.add("twice in the history", case),
                    (_, false) => faults.add("in the history, unasked", case),
                }
            }
        }
        for (to, Kept { from, n }) in times.into_keys() {
            faults.add("in the history, and never sent", || format!("{to:?} {n} from {}", name(from)));
        }
    }
}

/// Whether a sender was told that what it sent is where it was to be.
fn is_said(one: &Sent) -> bool {
    matches!(one.outcome, Outcome::Delivered | Outcome::Stored)
}

/// What each one sent is in the order of sending.
fn check_order<'a>(history: impl Iterator<Item = (usize, &'a Sent)>, faults: &mut Faults) {
    let mut last: HashMap<usize, &Sent> = HashMap::new();
    for (from, one) in history {
        let last = last.entry(from).or_insert(one);
        if one.n < last.n {
            faults.add("out of order in the history", || format!("{} {one:?} after {last:?}", name(from)));
        } else {
            *last = one;
        }
    }
}

/// All pages of a history.
async fn all_of(history: impl Fn() -> History) -> Vec<Kept> {
    let mut all = Vec::new();
    until_it_works(async || {
        all.clear();
        let mut history = history();
        loop {
            match history.try_next().await {
                Ok(Some(message)) => all.push(kept(&message)),
                Ok(None) => return true,
                Err(_) => return false,
            }
        }
    })
    .await;
    all
}

fn kept(message: &StoredMessage) -> Kept {
    let text = message.message.as_text().unwrap();
    assert_ne!(text, LAST, "it was not to be kept");
    Kept { from: number_of(message.from.as_str()), n: text.parse().unwrap() }
}

#[test]
fn histories_are_held_to_what_was_sent() {
    let sent = |n, outcome| Sent { to: To::Room, n, at: Duration::ZERO, answered: Duration::ZERO, outcome };
    let faults_of = |kept: &[usize]| {
        let mut all = vec![Vec::new(); USERS];
        let unknown = Outcome::Failed(ErrorKind::Timeout);
        all[0] = [(1, Outcome::Delivered), (3, Outcome::Delivered), (9, Outcome::Delivered), (15, unknown)]
            .map(|(n, outcome)| sent(n, outcome))
            .into();
        let kept: Vec<_> = kept.iter().map(|n| Kept { from: 0, n: *n }).collect();
        let history = |number| if members(0).contains(&number) { kept.clone() } else { Vec::new() };
        let histories = (0..USERS).map(|number| HashMap::from([(To::Room, history(number)), (To::Peer, Vec::new())]));
        let mut faults = Faults::default();
        Histories(histories.collect()).check(&all, &mut faults);
        faults.0.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(faults_of(&[3, 9]), [""; 0]);
    assert_eq!(faults_of(&[15, 3, 9]), [""; 0], "nobody was told of it");
    assert_eq!(faults_of(&[9, 3]), ["out of order in the history"]);
    assert_eq!(faults_of(&[3]), ["not in the history"]);
    assert_eq!(faults_of(&[3, 9, 15, 15]), ["twice in the history"]);
    assert_eq!(faults_of(&[1, 3, 9]), ["in the history, unasked"]);
    assert_eq!(faults_of(&[3, 9, 21]), ["in the history, and never sent"]);
}
