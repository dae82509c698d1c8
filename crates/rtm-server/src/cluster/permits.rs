//! Whether a node may write into the store: what it decides while the others may have gone on without it must not come there.

use std::time::{Duration, Instant};

use tokio::{
    sync::watch,
    time::{self, sleep},
};

use crate::{clock::instant, project::now};

/// Says for how long the node may write, as its membership knows it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Permits(watch::Sender<Permit>);

/// Until when a life of the node is certain to be a member.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Permit {
    life: u64,
    until: Option<(Instant, u64)>,
}

/// What a node wanted to write while it was a member, and it is none any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this node may be out of the cluster: it writes nothing")]
pub(crate) struct NotAMember;

impl Permits {
    /// The node's present life; 0 while it is no member.
    pub(crate) fn life(&self) -> u64 {
        self.0.borrow().life
    }

    /// The node in this life is certain to be a member until then; `None` if it is not certain now.
    pub(crate) fn set(&self, life: u64, until: Option<Instant>) {
        let now = now();
        let until = until.map(|until| (until, now.unix_ms + millis(until.saturating_duration_since(now.instant))));
        let permit = Permit { life, until };
        self.0.send_if_modified(|known| {
            // The wall clock is set by a millisecond now and then.
            let is_same = known.life == life && known.until.map(|until| until.0) == until.map(|until| until.0);
            if !is_same {
                *known = permit;
            }
            !is_same
        });
    }

    /// Waits until what was wanted in this life of the node may be written.
    ///
    /// # Errors
    ///
    /// [`NotAMember`] when that life is over, or when it is not certain until `until` whether it is.
    pub(crate) async fn wait(&self, life: u64, until: time::Instant) -> Result<(), NotAMember> {
        let mut permits = self.0.subscribe();
        loop {
            let permit = *permits.borrow_and_update();
            if permit.life != life || life == 0 {
                return Err(NotAMember);
            }
            if permit.is_good() {
                return Ok(());
            }
            if time::Instant::now() >= until {
                return Err(NotAMember);
            }
            // A clock that was set back makes a permit good again without another one.
            tokio::select! {
                changed = permits.changed() => changed.map_err(|_| NotAMember)?,
                () = sleep(LOOK_EVERY) => {}
            }
        }
    }
}

impl Permit {
    /// Both clocks are asked: the one may have stood still while the computer did.
    fn is_good(&self) -> bool {
        self.until.is_some_and(|(until, unix_ms)| instant() < until && now().unix_ms < unix_ms)
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

const LOOK_EVERY: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests {
    use super::*;

    fn soon(ms: u64) -> time::Instant {
        time::Instant::now() + Duration::from_millis(ms)
    }

    #[tokio::test]
    async fn what_a_node_wants_waits_while_it_may_be_out_and_ends_when_it_is() {
        let permits = Permits::default();
        assert_eq!(permits.wait(0, soon(1000)).await, Err(NotAMember), "it never was a member");
        permits.set(7, Some(instant() + Duration::from_secs(4)));
        assert_eq!(permits.life(), 7);
        assert_eq!(permits.wait(7, soon(0)).await, Ok(()));

        permits.set(7, None);
        assert_eq!(permits.wait(7, soon(50)).await, Err(NotAMember), "it waits for no longer than it may");
        let waits = tokio::spawn({
            let permits = permits.clone();
            async move { permits.wait(7, soon(10_000)).await }
        });
        sleep(Duration::from_millis(20)).await;
        assert!(!waits.is_finished());
        permits.set(7, Some(instant() + Duration::from_secs(4)));
        assert_eq!(waits.await.unwrap(), Ok(()), "it was a member all the while");

        permits.set(7, None);
        let waits = tokio::spawn({
            let permits = permits.clone();
            async move { permits.wait(7, soon(10_000)).await }
        });
        sleep(Duration::from_millis(20)).await;
        permits.set(9, Some(instant() + Duration::from_secs(4)));
        assert_eq!(waits.await.unwrap(), Err(NotAMember), "another life does not do what the one before wanted");
    }

    #[tokio::test]
    async fn a_permit_ends_by_itself() {
        let permits = Permits::default();
        permits.set(7, Some(instant() + Duration::from_millis(30)));
        assert_eq!(permits.wait(7, soon(0)).await, Ok(()));
        sleep(Duration::from_millis(40)).await;
        assert_eq!(permits.wait(7, soon(20)).await, Err(NotAMember), "a process that stood still has heard of nothing");
    }
}
