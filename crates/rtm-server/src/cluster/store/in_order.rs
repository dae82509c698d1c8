//! Has the messages of one log come in their order, whatever fails meanwhile.
//!
//! Many are on their way at once as long as JetStream takes them. When it does not (no server, no leader), each is tried again
//! until it does; were they tried side by side, a later one could be the first to come after that. So they go one by one then.
//! What JetStream did not take, although it took a later one at the same moment, has failed: it is not tried again.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use futures::future::join_all;
use rtm_core::store::LogKind;
use tokio::time::Instant;

use super::{Failure, jetstream::Fault};
use crate::cluster::requests::NoAnswer;

/// Whether JetStream takes what is sent, by kind of log: each has a stream with a leader of its own.
#[derive(Debug, Default)]
pub(super) struct Steady([Mutex<Option<Taken>>; LogKind::ALL.len()]);

/// The last message that it took.
#[derive(Debug, Clone, Copy)]
struct Taken {
    at: Instant,
    /// Over which connection to NATS.
    connection: u64,
}

impl Steady {
    /// Whether several messages may be on their way at once.
    fn is_steady(&self, kind: LogKind, connection: u64) -> bool {
        self.lock(kind).is_some_and(|taken| taken.connection == connection && taken.at.elapsed() < STEADY_FOR)
    }

    fn note(&self, kind: LogKind, connection: u64, taken: bool) {
        *self.lock(kind) = taken.then(|| Taken { at: Instant::now(), connection });
    }

    fn lock(&self, kind: LogKind) -> MutexGuard<'_, Option<Taken>> {
        self.0[kind as usize].lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Publishes messages of one log and says what came of each. `attempt` tries one once, `persist` as often as its time allows, and
/// `connection` numbers the connections to NATS.
pub(super) async fn in_order<M, A, P>(
    messages: &[M],
    (steady, kind): (&Steady, LogKind),
    connection: impl Fn() -> u64,
    attempt: impl Fn(M) -> A,
    persist: impl Fn(M) -> P,
) -> Vec<Result<u64, Failure>>
where
    M: Clone,
    A: Future<Output = Result<u64, Failure>>,
    P: Future<Output = Result<u64, Failure>>,
{
    let mut outcomes = Vec::with_capacity(messages.len());
    while let rest @ [first, ..] = &messages[outcomes.len()..] {
        let before = connection();
        if !steady.is_steady(kind, before) {
            let outcome = persist(first.clone()).await;
            // What it came over at last may be another connection; the next one finds out.
            steady.note(kind, before, outcome.is_ok());
            outcomes.push(outcome);
            continue;
        }
        let burst = &rest[..rest.len().min(POLLED_IN_ORDER)];
        // They are polled in their order, and so sent in it.
        let tried = join_all(burst.iter().cloned().map(&attempt)).await;
        let last_taken = tried.iter().rposition(Result::is_ok);
        steady.note(kind, before, tried.iter().all(Result::is_ok));
        for (at, (message, outcome)) in burst.iter().zip(tried).enumerate() {
            let is_passing = matches!(&outcome, Err(Failure::JetStream(fault)) if fault.is_passing());
            let is_overtaken = last_taken.is_some_and(|last| last > at);
            outcomes.push(if is_passing && !is_overtaken { persist(message.clone()).await } else { outcome });
        }
    }
    // A later one may have been taken without an answer, before an earlier one was.
    let mut next = u64::MAX;
    for outcome in outcomes.iter_mut().rev() {
        match outcome {
            Ok(seq) if *seq > next => *outcome = Err(Fault::from(NoAnswer::TimedOut).into()),
            Ok(seq) => next = *seq,
            Err(_) => {}
        }
    }
    outcomes
}

/// For so long after it took a message JetStream is believed to take the next ones.
const STEADY_FOR: Duration = Duration::from_secs(1);
/// So many futures `join_all` polls in their order.
const POLLED_IN_ORDER: usize = 30;

#[cfg(test)]
mod tests {
    use std::cell::{Cell, RefCell};

    use tokio::time::sleep;

    use super::*;

    /// A stream that takes or answers nothing for a while.
    #[derive(Default)]
    struct Stream {
        kept: RefCell<Vec<u32>>,
        under_way: Cell<usize>,
        most_at_once: Cell<usize>,
        /// From which attempt on, and up to which, what goes wrong.
        trouble: (usize, usize),
        keeps_in_trouble: bool,
        attempts: Cell<usize>,
        connection: Cell<u64>,
    }

    impl Stream {
        async fn attempt(&self, message: u32) -> Result<u64, Failure> {
            let number = self.attempts.get();
            self.attempts.set(number + 1);
            self.under_way.set(self.under_way.get() + 1);
            self.most_at_once.set(self.most_at_once.get().max(self.under_way.get()));
            let is_well = !(self.trouble.0..self.trouble.1).contains(&number);
            // It knows what it has already.
            if (is_well || self.keeps_in_trouble) && !self.kept.borrow().contains(&message) {
                self.kept.borrow_mut().push(message);
            }
            sleep(Duration::from_millis(1)).await;
            self.under_way.set(self.under_way.get() - 1);
            match (is_well, self.keeps_in_trouble) {
                (true, _) => Ok(u64::from(message)),
                (false, false) => Err(Fault::from(NoAnswer::NoResponders("log".to_owned())).into()),
                (false, true) => Err(Fault::from(NoAnswer::TimedOut).into()),
            }
        }

        async fn persist(&self, message: u32) -> Result<u64, Failure> {
            loop {
                match self.attempt(message).await {
                    Err(_) => sleep(Duration::from_millis(50)).await,
                    done => return done,
                }
            }
        }

        /// Publishes, and says what was acknowledged.
        async fn publish(&self, steady: &Steady, messages: &[u32]) -> Vec<u32> {
            let connection = || self.connection.get();
            let (attempt, persist) = (|message| self.attempt(message), |message| self.persist(message));
            let outcomes = in_order(messages, (steady, LogKind::History), connection, attempt, persist).await;
            assert_eq!(outcomes.len(), messages.len());
            outcomes.into_iter().filter_map(|seq| Some(seq.ok()? as u32)).collect()
        }
    }

    #[tokio::test(start_paused = true)]
    async fn all_go_together_while_all_is_well() {
        let (stream, steady) = (Stream::default(), Steady::default());
        let messages: Vec<u32> = (0..48).collect();
        assert_eq!(stream.publish(&steady, &messages[..24]).await, messages[..24]);
        assert_eq!(stream.most_at_once.take(), 23, "the first shows that all is well");
        assert_eq!(stream.publish(&steady, &messages[24..]).await, messages[24..]);
        assert_eq!(stream.most_at_once.take(), 24);
        assert_eq!(*stream.kept.borrow(), messages);
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_acknowledged_is_in_order_wherever_trouble_begins_and_ends() {
        let messages: Vec<u32> = (0..30).collect();
        for (from, len) in (0..40).flat_map(|from| (1..40).map(move |len| (from, len))) {
            for keeps_in_trouble in [false, true] {
                let (trouble, steady) = ((from, from + len), Steady::default());
                let stream = Stream { trouble, keeps_in_trouble, ..Stream::default() };
                let mut acknowledged = stream.publish(&steady, &messages[..20]).await;
                acknowledged.extend(stream.publish(&steady, &messages[20..]).await);
                let mut kept = stream.kept.take();
                kept.retain(|message| acknowledged.contains(message));
                assert_eq!(kept, acknowledged, "trouble at the attempts from {from}, {len} of them");
                // Attempts 1 to 19 go together, and so do 20 to 29 where nothing has failed before.
                let is_over_at_once =
                    [1..20, 20..30].iter().any(|at_once| at_once.contains(&from) && from + len < at_once.end);
                let failed = if is_over_at_once { len } else { 0 };
                assert_eq!(messages.len() - acknowledged.len(), failed, "trouble from {from}, {len} attempts");
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn after_a_pause_or_over_another_connection_one_goes_first() {
        let (stream, steady) = (Stream::default(), Steady::default());
        stream.publish(&steady, &[1]).await;
        sleep(STEADY_FOR).await;
        stream.most_at_once.take();
        stream.publish(&steady, &[2, 3, 4]).await;
        assert_eq!(stream.most_at_once.take(), 2);
        stream.connection.set(1);
        stream.publish(&steady, &[5, 6, 7]).await;
        assert_eq!(stream.most_at_once.take(), 2);
        stream.publish(&steady, &[8, 9, 10]).await;
        assert_eq!(stream.most_at_once.take(), 3);
    }

    #[tokio::test(start_paused = true)]
    async fn what_was_taken_after_a_later_one_does_not_count() {
        let steady = Steady::default();
        steady.note(LogKind::History, 0, true);
        // Of the first attempts only the second one came, and no answer.
        let attempt = |_| async { Err(Fault::from(NoAnswer::TimedOut).into()) };
        let persist = |message: u64| async move { Ok(if message == 1 { 6 } else { 5 }) };
        let outcomes = in_order(&[1, 2], (&steady, LogKind::History), || 0, attempt, persist).await;
        assert!(matches!(outcomes[..], [Err(_), Ok(5)]), "{outcomes:?}");
    }
}
