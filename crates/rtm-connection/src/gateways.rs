//! The gateways that the user named: which is in use, and which are still to be tried.

use rtm_codec::Text;

use crate::rng::Rng;

/// The gateways, by their places in the list. The one that works stays in use, over reconnects and logins.
#[derive(Debug)]
pub(crate) struct Gateways {
    count: usize,
    current: usize,
    round: Round,
}

/// One attempt to connect: each gateway is tried once.
#[derive(Debug, Default)]
struct Round {
    untried: usize,
    /// What went wrong at those that were tried.
    details: String,
    /// Whether trying again may help at one of them.
    retry: bool,
}

impl Gateways {
    /// Clients begin at random, so that they spread over the servers.
    pub(crate) fn new(count: usize, rng: &mut Rng) -> Self {
        let current = if count > 1 { (rng.next() % count as u64) as usize } else { 0 };
        Self { count, current, round: Round::default() }
    }

    /// The one in use.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// How many others are left to be tried.
    pub(crate) fn untried(&self) -> usize {
        self.round.untried
    }

    /// A new attempt to connect: all may be tried, from the one in use on.
    pub(crate) fn begin(&mut self) {
        self.round = Round { untried: self.count - 1, ..Round::default() };
    }

    /// The next one is in use from now on.
    pub(crate) fn leave(&mut self) {
        self.current = (self.current + 1) % self.count;
    }

    /// The one in use let nobody in, and is left. Gives what is wrong with all that were tried, and whether trying them
    /// again may help.
    pub(crate) fn failed(&mut self, detail: Text, retry: bool) -> (Text, bool) {
        self.leave();
        self.round.retry |= retry;
        if self.count == 1 {
            return (detail, retry);
        }
        if !self.round.details.contains(detail.as_str()) {
            if !self.round.details.is_empty() {
                self.round.details.push_str("; ");
            }
            self.round.details.push_str(detail.as_str());
        }
        (Text::from(self.round.details.as_str()), self.round.retry)
    }

    /// Whether there is one that was not tried yet; then it counts as tried.
    pub(crate) fn try_next(&mut self) -> bool {
        let is_left = self.round.untried > 0;
        self.round.untried = self.round.untried.saturating_sub(1);
        is_left
    }
}
