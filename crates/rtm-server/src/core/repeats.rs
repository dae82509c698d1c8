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
    at: Instant,
    outcome: Option<SendOutcome>,
    /// Requests that repeated the message before its outcome was known.
    repeats: Vec<RequestId>,
}

/// The ids of one session.
#[derive(Debug)]
pub(super) struct Repeats {
    entries: HashMap<Sent, Entry, FixedState>,
    /// In the order of their first use. An entry that was forgotten may still be in it.
    order: VecDeque<(Sent, Instant)>,
}

impl Repeats {
    pub(super) fn new(hasher: FixedState) -> Self {
        Self { entries: HashMap::with_hasher(hasher), order: VecDeque::new() }
    }

    pub(super) fn begin(&mut self, sent: Sent, request: RequestId, now: Instant, settings: &Settings) -> Known {
        while self.order.front().is_some_and(|(_, at)| *at + settings.repeat_within <= now) {
            self.forget_oldest();
        }
        match self.entries.get_mut(&sent) {
            Some(Entry { outcome: Some(outcome), .. }) => Known::Done(*outcome),
            Some(entry) => {
                entry.repeats.push(request);
                Known::UnderWay
            }
            None => {
                if self.order.len() >= settings.repeat_ids.max(1) {
                    self.forget_oldest();
                }
                self.entries.insert(sent, Entry { at: now, outcome: None, repeats: Vec::new() });
                self.order.push_back((sent, now));
                Known::Fresh
            }
        }
    }

    /// Whether nothing is remembered any more.
    pub(super) fn is_over(&self, now: Instant, settings: &Settings) -> bool {
        self.order.back().is_none_or(|(_, at)| *at + settings.repeat_within <= now)
    }

    fn forget_oldest(&mut self) {
        if let Some((oldest, at)) = self.order.pop_front()
            && self.entries.get(&oldest).is_some_and(|entry| entry.at == at)
        {
            self.entries.remove(&oldest);
        }
    }

    /// The outcome is known. Gives the requests that repeated the message meanwhile.
    pub(super) fn finish(&mut self, sent: Sent, outcome: SendOutcome) -> Vec<RequestId> {
        self.entries.get_mut(&sent).map_or_else(Vec::new, |entry| {
            entry.outcome = Some(outcome);
            std::mem::take(&mut entry.repeats)
        })
    }

    /// The message was refused after all, so it may be tried again. Gives the requests that repeated it meanwhile.
    pub(super) fn forget(&mut self, sent: Sent) -> Vec<RequestId> {
        self.entries.remove(&sent).map_or_else(Vec::new, |entry| entry.repeats)
    }

    /// The client numbers its requests anew: those that wait are not asked about any more.
    pub(super) fn restart(&mut self) {
        for (sent, _) in &self.order {
            if let Some(entry) = self.entries.get_mut(sent) {
                entry.repeats.clear();
            }
        }
    }
}
