//! How long to pause before connecting again.

use std::time::Duration;

use crate::{config::BackoffConfig, rng::Rng};

/// Counts failed attempts in a row.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    failed: u32,
}

impl Backoff {
    /// The pause before the next attempt: the longest one doubles with every attempt, and the real one is anything
    /// up to it, so that clients which lost their links together do not come back together.
    pub(crate) fn pause(&mut self, config: &BackoffConfig, draining: bool, rng: &mut Rng) -> Duration {
        let first = if draining { config.first.max(config.draining) } else { config.first };
        let longest = first.saturating_mul(1 << self.failed.min(20)).min(config.max);
        self.failed = self.failed.saturating_add(1);
        rng.up_to(longest)
    }

    /// A link that lasted shows that the server is well; one that broke at once does not.
    pub(crate) fn lasted(&mut self, config: &BackoffConfig, time: Duration) {
        if time >= config.reset_after {
            self.reset();
        }
    }

    pub(crate) fn reset(&mut self) {
        self.failed = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn longest_seen(failed: u32, draining: bool) -> Duration {
        let mut rng = Rng::new(1);
        let config = BackoffConfig::default();
        (0..2000).map(|_| Backoff { failed }.pause(&config, draining, &mut rng)).max().unwrap_or_default()
    }

    #[test]
    fn the_longest_pause_doubles_up_to_its_limit() {
        for (failed, limit) in [(0, 250), (1, 500), (3, 2000), (5, 8000), (6, 10_000), (60, 10_000)] {
            let limit = Duration::from_millis(limit);
            let seen = longest_seen(failed, false);
            assert!(seen <= limit && seen > limit * 9 / 10, "{failed}: {seen:?}");
        }
    }

    #[test]
    fn clients_of_a_server_that_drains_are_elsewhere_soon() {
        let seen = longest_seen(0, true);
        assert!(seen <= Duration::from_millis(250) && seen > Duration::from_millis(225));
    }

    #[test]
    fn a_longer_pause_after_a_drain_can_be_asked_for() {
        let mut rng = Rng::new(1);
        let config = BackoffConfig { draining: Duration::from_secs(2), ..BackoffConfig::default() };
        let pauses = (0..2000).map(|_| Backoff::default().pause(&config, true, &mut rng));
        assert!(pauses.max().is_some_and(|longest| longest > Duration::from_millis(1800)));
    }

    #[test]
    fn only_a_link_that_lasted_starts_the_pauses_anew() {
        let config = BackoffConfig::default();
        let mut backoff = Backoff { failed: 4 };
        backoff.lasted(&config, Duration::from_millis(4999));
        assert_eq!(backoff.failed, 4);
        backoff.lasted(&config, Duration::from_secs(5));
        assert_eq!(backoff.failed, 0);
    }
}
