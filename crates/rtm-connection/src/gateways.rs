//! The gateways that the user named: which is in use, which are still to be tried, and why those failed that were.

use rtm_codec::Text;

use crate::{failure::Failure, rng::Rng};

/// The gateways, by their places in the list. The one that works stays in use, over reconnects and logins.
#[derive(Debug)]
pub(crate) struct Gateways {
    count: usize,
    current: usize,
    /// How many the attempt at hand has not tried; it tries each once.
    untried: usize,
    /// What went wrong last at each since a login, the latest last.
    failed: Vec<Failed>,
}

#[derive(Debug)]
struct Failed {
    gateway: usize,
    failure: Failure,
    /// Whether trying again may help.
    retry: bool,
}

impl Gateways {
    /// Clients begin at random, so that they spread over the servers.
    pub(crate) fn new(count: usize, rng: &mut Rng) -> Self {
        let current = if count > 1 { (rng.next() % count as u64) as usize } else { 0 };
        Self { count, current, untried: 0, failed: Vec::new() }
    }

    /// The one in use.
    pub(crate) fn current(&self) -> usize {
        self.current
    }

    /// Whether there are others than the one in use.
    pub(crate) fn are_several(&self) -> bool {
        self.count > 1
    }

    /// How many others are left to be tried.
    pub(crate) fn untried(&self) -> usize {
        self.untried
    }

    /// A new attempt to connect: all may be tried, from the one in use on.
    pub(crate) fn begin(&mut self) {
        self.untried = self.count - 1;
    }

    /// The next one is in use from now on.
    pub(crate) fn leave(&mut self) {
        self.current = (self.current + 1) % self.count;
    }

    /// A login began, or succeeded: what went wrong before is of no interest.
    pub(crate) fn forget_failures(&mut self) {
        self.failed = Vec::new();
    }

    /// Whether it is known what is wrong with the one in use.
    pub(crate) fn has_failed(&self) -> bool {
        self.failed.iter().any(|failed| failed.gateway == self.current)
    }

    /// The one in use let nobody in, and is left. Gives what is wrong with all that were tried, and whether trying them
    /// again may help.
    pub(crate) fn failed(&mut self, failure: Failure, retry: bool) -> (Failure, bool) {
        self.failed.retain(|failed| failed.gateway != self.current);
        self.failed.push(Failed { gateway: self.current, failure, retry });
        self.leave();
        (self.summary(), self.failed.iter().any(|failed| failed.retry))
    }

    /// All failures as one. The source is that of the latest one that has any, whose detail comes last, so that the source
    /// continues it; the others say theirs themselves.
    fn summary(&self) -> Failure {
        let continued = self.failed.iter().rposition(|failed| failed.failure.source.is_some());
        let mut others = self.failed.iter().enumerate().filter(|(at, _)| Some(*at) != continued);
        let mut parts: Vec<_> = others.by_ref().take(NAMED).map(|(_, failed)| failed.failure.in_full()).collect();
        match others.count() {
            0 => {}
            more => parts.push(format!("and {more} more")),
        }
        let continued = continued.map(|at| self.failed[at].failure.clone()).unwrap_or_default();
        if continued.source.is_some() {
            parts.push(continued.detail.as_str().to_owned());
        }
        Failure { detail: Text::from(parts.join("; ")), source: continued.source }
    }

    /// Whether there is one that was not tried yet; then it counts as tried.
    pub(crate) fn try_next(&mut self) -> bool {
        let is_left = self.untried > 0;
        self.untried = self.untried.saturating_sub(1);
        is_left
    }
}

/// How many failed gateways an error names, beside the one whose source it has.
const NAMED: usize = 3;
