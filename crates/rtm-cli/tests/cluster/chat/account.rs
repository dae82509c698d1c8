//! What became of all that users of a chat sent.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Range,
    slice,
    time::Duration,
};

use rtm_client::{ErrorKind, RtmEvent, Wire};

use super::{
    Outcome, Sent, To, USERS,
    arrival::{Item, check_arrival, check_order, items},
    history::Histories,
};
use crate::rolling::{name, partner, wire};

/// What went wrong, with a few cases of each.
#[derive(Debug, Default)]
pub(crate) struct Faults(pub(super) BTreeMap<&'static str, (usize, Vec<String>)>);

impl Faults {
    pub(crate) fn add(&mut self, what: &'static str, case: impl FnOnce() -> String) {
        let (count, cases) = self.0.entry(what).or_default();
        *count += 1;
        if cases.len() < 5 {
            cases.push(case());
        }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a chat came to.
#[derive(Debug)]
pub(crate) struct Account {
    faults: Faults,
    /// What each user sent.
    sent: Vec<Vec<Sent>>,
    /// What was stored and came after a later message of its sender.
    late: Vec<String>,
    /// Whose connection was lost.
    cut: BTreeSet<usize>,
    /// Who was told of gaps.
    gaps: BTreeSet<usize>,
    /// Who was said to be offline, or to have left its room.
    away: BTreeSet<usize>,
}

impl Account {
    pub(super) fn settle(events: &[Vec<RtmEvent>], sent: Vec<Vec<Sent>>, histories: &Histories) -> Self {
        let mut faults = Faults::default();
        let received: Vec<Vec<Item>> =
            events.iter().enumerate().map(|(number, events)| items(number, events, &mut faults)).collect();
        let mut late = Vec::new();
        for (number, items) in received.iter().enumerate() {
            late.extend(check_order(number, items, &mut faults));
        }
        for (number, sent) in sent.iter().enumerate() {
            for one in sent {
                match one.outcome {
                    Outcome::Delivered | Outcome::Stored => check_arrival(number, one, &received, &mut faults),
                    Outcome::NotReceived | Outcome::Failed(ErrorKind::Timeout | ErrorKind::OutcomeUnknown) => {}
                    // The store failed. The message may have come.
                    Outcome::Failed(ErrorKind::Failure) if one.is_for_the_store() => {}
                    Outcome::Failed(_) => faults.add("refused", || format!("{} {one:?}", name(number))),
                }
            }
        }
        histories.check(&sent, &mut faults);
        let with = |is_it: fn(&Item) -> bool| {
            received.iter().enumerate().filter(|(_, items)| items.iter().any(is_it)).map(|(number, _)| number).collect()
        };
        let (cut, gaps): (BTreeSet<usize>, _) =
            (with(|item| matches!(item, Item::Cut)), with(|item| matches!(item, Item::Gap { .. })));
        let is_away = |item: &Item| if let Item::Away(user) = item { Some(*user) } else { None };
        let away: BTreeSet<usize> = received.iter().flatten().filter_map(is_away).collect();
        for user in away.difference(&cut) {
            faults.add("away, with its connection", || name(*user));
        }
        Self { faults, sent, late, cut, gaps, away }
    }

    /// Nothing is lost, repeated or out of order, no user was thrown out, and whoever kept its connection has no gap.
    pub(crate) fn assert_clean(&self) {
        eprintln!("{}", self.summary());
        assert!(self.faults.are_none(), "{:#?}, {}", self.faults, self.summary());
        assert!(self.gaps.is_subset(&self.cut), "{}", self.summary());
    }

    /// What was neither sent nor under way in one of these spans was delivered.
    pub(crate) fn assert_delivered_but_in(&self, spans: &[Range<Duration>]) {
        let failed = self.failed().filter(|one| spans.iter().all(|span| is_outside(one, span)));
        let failed: Vec<_> = failed.take(9).collect();
        assert!(failed.is_empty(), "{failed:#?}, {}", self.summary());
    }

    /// Whoever kept its connection always reached a partner that did so too, and outside of this span also its room.
    pub(crate) fn assert_others_talked(&self, span: &Range<Duration>) {
        let is_kept = |user: usize| !self.cut.contains(&user);
        let failed: Vec<_> = (0..USERS)
            .filter(|number| is_kept(*number))
            .flat_map(|number| self.sent[number].iter().map(move |one| (name(number), number, one)))
            .filter(|(.., one)| one.outcome != Outcome::Delivered)
            .filter(|(_, number, one)| match one.to {
                To::Peer => is_kept(partner(*number)),
                To::Room => is_outside(one, span),
            })
            .take(9)
            .collect();
        assert!(failed.is_empty(), "{failed:#?}, {}", self.summary());
    }

    /// Only those on one node noticed, or whoever wanted something of them in this span.
    pub(crate) fn assert_one_node_was_lost(&self, span: &Range<Duration>) {
        self.assert_clean();
        self.assert_delivered_but_in(slice::from_ref(span));
        self.assert_others_talked(span);
        self.assert_some_are_cut();
    }

    /// What nobody wanted to be stored was delivered.
    pub(crate) fn assert_only_the_store_failed(&self) {
        assert!(self.failed().all(Sent::is_for_the_store), "{}", self.summary());
    }

    /// No device with a session that can go on has a gap, nobody seemed to be away, and no call failed but those on the vendor's
    /// wire, one of a hundred, that were cut off and cannot be repeated.
    pub(crate) fn assert_nobody_noticed(&self) {
        assert!(self.gaps.iter().all(|user| wire(*user) == Wire::Vendor), "{}", self.summary());
        assert!(self.away.is_empty(), "{:?}, {}", self.away, self.summary());
        let is_cut_off = |sent: &&Sent| sent.outcome == Outcome::Failed(ErrorKind::OutcomeUnknown);
        for (number, sent) in self.sent.iter().enumerate().filter(|(number, _)| wire(*number) == Wire::Native) {
            assert!(!sent.iter().any(|one| is_cut_off(&one)), "{}, {}", name(number), self.summary());
        }
        let cut_off = self.failed().filter(is_cut_off).count();
        assert_eq!(self.failed().count(), cut_off, "{}", self.summary());
        assert!(cut_off * 100 <= self.all().count(), "{}", self.summary());
    }

    /// Nothing that was stored came after a later message of its sender.
    pub(crate) fn assert_nothing_late(&self) {
        assert!(self.late.is_empty(), "{:?}, {}", self.late, self.summary());
    }

    /// Some lost their connections, and others kept theirs.
    pub(crate) fn assert_some_are_cut(&self) {
        assert!((1..USERS - 1).contains(&self.cut.len()), "{}", self.summary());
    }

    /// Nobody lost its connection.
    pub(crate) fn assert_nobody_is_cut(&self) {
        assert!(self.cut.is_empty(), "{}", self.summary());
    }

    /// Each message was delivered.
    pub(crate) fn assert_all_delivered(&self) {
        self.assert_delivered_but_in(&[]);
    }

    fn failed(&self) -> impl Iterator<Item = &Sent> {
        self.all().filter(|one| one.outcome != Outcome::Delivered)
    }

    fn all(&self) -> impl Iterator<Item = &Sent> {
        self.sent.iter().flatten()
    }

    /// How many messages had which outcome, when the first and the last of them were sent, and the longest wait for an answer.
    fn summary(&self) -> String {
        let mut outcomes: BTreeMap<(&str, Outcome), Vec<&Sent>> = BTreeMap::new();
        for one in self.all() {
            let to = if one.to == To::Peer { "peer" } else { "room" };
            outcomes.entry((to, one.outcome)).or_default().push(one);
        }
        let lines = outcomes.into_iter().map(|((to, outcome), sent)| {
            let times = || sent.iter().map(|one| one.at);
            let [first, last] = [times().min(), times().max()].map(|time| time.unwrap_or_default().as_secs_f64());
            let slowest = sent.iter().map(|one| one.answered.saturating_sub(one.at)).max().unwrap_or_default();
            format!(
                "{} to {to} {outcome:?}, sent from {first:.1} s to {last:.1} s, slowest {slowest:.1?}\n",
                sent.len()
            )
        });
        format!("{}cut: {:?}, gaps: {:?}, late: {:?}", lines.collect::<String>(), self.cut, self.gaps, self.late)
    }
}

/// Whether a message was neither sent nor under way then.
fn is_outside(one: &Sent, span: &Range<Duration>) -> bool {
    one.answered < span.start || span.end < one.at
}
