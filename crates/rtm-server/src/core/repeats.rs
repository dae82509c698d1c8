//! The message ids that a sender used lately, so that a repeated message is not delivered again.

use std::{collections::VecDeque, time::Instant};

use foldhash::fast::FixedState;
use hashbrown::HashMap;
use rtm_codec::{MessageId, RequestId, SendOutcome};

use super::Settings;

/// What is known of a message id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is new, and remembered from now on.
    Fresh,
    /// The message was taken, and this came of it.
    Done(SendOutcome),
    /// The message was taken, and its outcome is not known yet. The repeat will be told too.
    UnderWay,
}

/// Messages to peers and to channels are numbered apart: a sender may use one number in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Sent {
    ToPeer(MessageId),
    ToChannel(MessageId),
}

#[derive(Debug)]
struct Entry {
    /// Its number in the order of use.
    number: u64,
    outcome: Option<SendOutcome>,
}

/// The ids of one session.
#[derive(Debug)]
pub(super) struct Repeats {
    entries: HashMap<Sent, Entry, FixedState>,
    /// In the order of their first use. An entry that was forgotten may still be in it.
    order: VecDeque<(Sent, Instant)>,
    /// The number of the first one in `order`.
    first: u64,
    /// Requests that repeated a message before its outcome was known.
    repeats: Vec<(Sent, RequestId)>,
}

impl Repeats {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { entries: HashMap::with_hasher(hasher), order: VecDeque::new(), first: 0, repeats: Vec::new() }
    }

    pub(super) fn begin(&mut self, sent: Sent, request: RequestId, now: Instant, settings: &Settings) -> Known {
        while self.order.front().is_some_and(|(_, at)| *at + settings.repeat_within <= now) {
            self.forget_oldest();
        }
        if let Some(entry) = self.entries.get(&sent) {
            let Some(outcome) = entry.outcome else {
                self.repeats.push((sent, request));
                return Known::UnderWay;
            };
            return Known::Done(outcome);
        }
        if self.order.len() >= settings.repeat_ids.max(1) {
            self.forget_oldest();
        }
        let number = self.first + self.order.len() as u64;
        self.entries.insert(sent, Entry { number, outcome: None });
        self.order.push_back((sent, now));
        Known::Fresh
    }

    /// Whether nothing is remembered any more.
    pub(super) fn is_over(&self, now: Instant, settings: &Settings) -> bool {
        self.order.back().is_none_or(|(_, at)| *at + settings.repeat_within <= now) && self.repeats.is_empty()
    }

    fn forget_oldest(&mut self) {
        let Some((oldest, _)) = self.order.pop_front() else { return };
        if self.entries.get(&oldest).is_some_and(|entry| entry.number == self.first) {
            self.entries.remove(&oldest);
        }
        self.first += 1;
    }

    /// The outcome is known. Gives the requests that repeated the message meanwhile.
    pub(super) fn finish(&mut self, sent: Sent, outcome: SendOutcome) -> Vec<RequestId> {
        if let Some(entry) = self.entries.get_mut(&sent) {
            entry.outcome = Some(outcome);
        }
        self.take_repeats(sent)
    }

    /// The message was refused after all, so it may be tried again. Gives the requests that repeated it meanwhile.
    pub(super) fn forget(&mut self, sent: Sent) -> Vec<RequestId> {
        self.entries.remove(&sent);
        self.take_repeats(sent)
    }

    fn take_repeats(&mut self, sent: Sent) -> Vec<RequestId> {
        if self.repeats.is_empty() {
            return Vec::new();
        }
        self.repeats.extract_if(.., |(of, _)| *of == sent).map(|(_, request)| request).collect()
    }

    /// The client numbers its requests anew: those that wait are not asked about any more.
    pub(super) fn restart(&mut self) {
        self.repeats.clear();
    }
}
