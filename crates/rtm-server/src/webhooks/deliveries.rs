//! Which events go to an endpoint when, and when again: a machine without a clock and without sockets.
//!
//! Events that concern the same user or the same channel arrive in their order. Others do not wait for them: what an endpoint
//! refuses holds up nothing else, until so much is unsettled behind it that it has to.

#[cfg(test)]
mod tests;

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use super::delivery::{Answer, Delivery, Event, Health};

/// How events are put together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Batching {
    /// How many events a request has at most; at least 1.
    pub(crate) most: usize,
    /// How long an event may wait for others.
    pub(crate) wait: Duration,
}

/// What goes to one endpoint.
#[derive(Debug)]
pub(crate) struct Deliveries {
    batching: Batching,
    random: fastrand::Rng,
    /// Up to here the log was read.
    read_to: u64,
    /// What is in no batch yet, and when it came.
    waiting: BTreeMap<u64, (Instant, Event)>,
    batches: BTreeMap<u64, Batch>,
    last_id: u64,
    /// The last event that was on its way.
    sent_to: u64,
    /// Whom and what the batches concern: no two have a key in common.
    busy: HashSet<u64, foldhash::fast::FixedState>,
    /// How many deliveries were taken.
    taken: u64,
    /// Events that were taken before an earlier one.
    ahead: BTreeSet<u64>,
    /// From which event to which all were taken before the start, but for those that the endpoint does not get.
    taken_before: Vec<(u64, u64)>,
    paused_until: Option<Instant>,
    /// How many pauses it wanted since it took something.
    pauses: u32,
    is_gone: bool,
    /// An operator wants it to get nothing for now.
    is_paused: bool,
    /// When events that wait for others have waited long enough, as of the last look.
    full_at: Option<Instant>,
}

#[derive(Debug)]
struct Batch {
    events: Arc<[Event]>,
    attempts: u32,
    /// How far it is in the schedule, which an endpoint that is only busy does not use up.
    steps: usize,
    /// When it failed first, and that this was days before it failed last.
    since: Option<Instant>,
    is_failing: bool,
    /// When it is tried again; `None` while it is on its way.
    due: Option<Instant>,
    /// How many others had been taken when it failed first.
    failed_at: Option<u64>,
    /// The endpoint was there the last time, and did not like it.
    was_refused: bool,
    /// When it was last brought forward, because the endpoint works again.
    hurried: Option<Instant>,
}

impl Deliveries {
    /// Of an endpoint that has everything up to this place in the log, and what is in these spans behind it.
    pub(crate) fn new(batching: Batching, settled_to: u64, taken_before: Vec<(u64, u64)>, seed: u64) -> Self {
        Self {
            batching,
            random: fastrand::Rng::with_seed(seed),
            read_to: settled_to,
            waiting: BTreeMap::new(),
            batches: BTreeMap::new(),
            last_id: 0,
            sent_to: settled_to,
            busy: HashSet::default(),
            taken: 0,
            ahead: BTreeSet::new(),
            taken_before,
            paused_until: None,
            pauses: 0,
            is_gone: false,
            is_paused: false,
            full_at: None,
        }
    }

    /// The next event to be read from the log comes after this one.
    pub(crate) fn read_to(&self) -> u64 {
        self.read_to
    }

    /// The endpoint has everything up to here: what it is given after a restart comes after this.
    pub(crate) fn settled_to(&self) -> u64 {
        let waiting = self.waiting.keys().next().copied();
        let batches = self.batches.values().filter_map(|batch| batch.events.first()).map(|event| event.seq);
        batches.chain(waiting).min().map_or(self.read_to, |first| first - 1)
    }

    /// What the endpoint has of the events behind [`settled_to`](Self::settled_to), as spans of numbers: between two of them is an
    /// event that it does not have. Only the first of very many.
    pub(crate) fn taken_ahead(&self) -> Vec<(u64, u64)> {
        let mut spans = self.spans_of_this_start();
        // What was not read again since the start is as it was.
        spans.extend(self.taken_before.iter().filter(|(_, last)| *last > self.read_to).map(|(first, last)| {
            let first = *first.max(&(self.read_to + 1));
            (first, *last)
        }));
        spans.truncate(MOST_SPANS);
        spans
    }

    fn spans_of_this_start(&self) -> Vec<(u64, u64)> {
        if self.ahead.is_empty() {
            return Vec::new();
        }
        let batches = self.batches.values().flat_map(|batch| batch.events.iter()).map(|event| event.seq);
        let mut open: Vec<_> = batches.chain(self.waiting.keys().copied()).collect();
        open.sort_unstable();
        let mut open = open.into_iter().peekable();
        let mut spans: Vec<(u64, u64)> = Vec::new();
        for &seq in &self.ahead {
            let mut is_behind_another = false;
            while open.next_if(|open| *open < seq).is_some() {
                is_behind_another = true;
            }
            match spans.last_mut().filter(|_| !is_behind_another) {
                Some((_, last)) => *last = seq,
                None => spans.push((seq, seq)),
            }
        }
        spans
    }

    /// Up to here the endpoint may have got events, though not all of them.
    pub(crate) fn sent_to(&self) -> u64 {
        self.sent_to
    }

    /// How many more events it takes. Those that overtook an earlier one count: after a restart they come again.
    pub(crate) fn room(&self) -> usize {
        if self.is_gone {
            return 0;
        }
        let open: usize = self.batches.values().map(|batch| batch.events.len()).sum();
        MOST_OPEN.saturating_sub(open + self.waiting.len() + self.ahead.len())
    }

    /// How many events were read and are not settled, and when the oldest of them happened, in milliseconds since the Unix
    /// epoch.
    pub(crate) fn pending(&self) -> (usize, Option<u64>) {
        let open = self.batches.values().flat_map(|batch| batch.events.first());
        let oldest = open.chain(self.waiting.values().next().map(|(_, event)| event)).map(|event| event.time).min();
        (self.batches.values().map(|batch| batch.events.len()).sum::<usize>() + self.waiting.len(), oldest)
    }

    /// The endpoint gets nothing more until it is enabled. What is on its way is not taken back.
    pub(crate) fn pause(&mut self) {
        self.is_paused = true;
    }

    /// Whether an operator has paused it.
    pub(crate) fn is_paused(&self) -> bool {
        self.is_paused
    }

    /// The endpoint that wanted no more, or was paused, gets events again, and what failed is tried again at once.
    #[cfg(feature = "admin")]
    pub(crate) fn enable(&mut self, now: Instant) {
        self.is_paused = false;
        self.is_gone = false;
        self.wake(now);
    }

    /// The endpoint works as far as somebody knows: what failed is tried again at once.
    #[cfg(feature = "admin")]
    pub(crate) fn wake(&mut self, now: Instant) {
        self.paused_until = None;
        for batch in self.batches.values_mut() {
            batch.due = batch.due.map(|due| due.min(now));
        }
    }

    pub(crate) fn health(&self) -> Health {
        let failed = self.batches.values().filter(|batch| batch.failed_at.is_some()).map(|batch| batch.is_failing);
        match failed.max() {
            _ if self.is_gone => Health::Gone,
            _ if self.is_paused => Health::Paused,
            None => Health::Working,
            Some(false) => Health::Retrying,
            Some(true) => Health::Failing,
        }
    }

    /// These were read from the log, which goes up to `read_to` by now.
    pub(crate) fn take(&mut self, now: Instant, events: impl IntoIterator<Item = Event>, read_to: u64) {
        for event in events {
            let is_taken = self.taken_before.iter().any(|(first, last)| (*first..=*last).contains(&event.seq));
            if is_taken {
                self.ahead.insert(event.seq);
            } else {
                self.waiting.insert(event.seq, (now, event));
            }
        }
        self.read_to = self.read_to.max(read_to);
        self.taken_before.retain(|(_, last)| *last > self.read_to);
        self.forget_settled();
    }

    /// What is to be sent now, if anything. Ask again until there is nothing.
    pub(crate) fn poll(&mut self, now: Instant) -> Option<Delivery> {
        self.full_at = None;
        self.paused_until = self.paused_until.filter(|until| now < *until);
        if self.is_gone || self.is_paused || self.paused_until.is_some() || self.has_enough_on_their_way() {
            return None;
        }
        let due = self.batches.iter_mut().find(|(_, batch)| batch.due.is_some_and(|due| due <= now));
        if let Some((id, batch)) = due {
            batch.due = None;
            return Some(Delivery { id: *id, attempt: batch.attempts, events: Arc::clone(&batch.events) });
        }
        // It does not work at all: more of it would only be more to try again. Where it refuses some it may take others.
        let has_failed = |batch: &&Batch| batch.failed_at.is_some() && !batch.was_refused;
        if self.batches.values().filter(has_failed).count() >= MOST_AT_ONCE {
            return None;
        }
        let events = self.gather(now)?;
        self.busy.extend(events.iter().flat_map(Event::keys));
        self.sent_to = events.last().map_or(self.sent_to, |last| self.sent_to.max(last.seq));
        self.last_id += 1;
        self.batches.insert(self.last_id, Batch::new(Arc::clone(&events)));
        Some(Delivery { id: self.last_id, attempt: 0, events })
    }

    fn has_enough_on_their_way(&self) -> bool {
        self.batches.values().filter(|batch| batch.due.is_none()).count() >= MOST_AT_ONCE
    }

    /// When something is due, unless something comes before. To be asked when [`poll`](Self::poll) has nothing.
    pub(crate) fn next_timeout(&self) -> Option<Instant> {
        // Only an answer, or an operator, makes room.
        if self.is_gone || self.is_paused || self.has_enough_on_their_way() {
            return None;
        }
        let due = self.batches.values().filter_map(|batch| batch.due).min();
        let next = due.into_iter().chain(self.full_at).min();
        // While it is paused nothing is due, and afterwards everything is.
        let has_more = next.is_some() || !self.waiting.is_empty();
        match self.paused_until {
            Some(until) if has_more => Some(next.map_or(until, |next| next.max(until))),
            _ => next,
        }
    }

    /// What came of a delivery.
    pub(crate) fn handle_answer(&mut self, now: Instant, id: u64, answer: Answer) {
        let Some(mut batch) = self.batches.remove(&id) else { return };
        match answer {
            Answer::Taken => {
                self.free(&batch.events);
                self.ahead.extend(batch.events.iter().map(|event| event.seq));
                self.forget_settled();
                self.taken += 1;
                self.paused_until = None;
                self.pauses = 0;
                self.hurry(now);
            }
            Answer::Gone => {
                self.is_gone = true;
                self.keep(now, id, batch, Duration::ZERO);
            }
            Answer::Busy(wait) => {
                batch.was_refused = false;
                let wait = self.pause_for(now, wait);
                self.paused_until = Some(now + wait);
                self.keep(now, id, batch, wait);
            }
            Answer::Failed | Answer::Refused => {
                batch.was_refused = answer == Answer::Refused;
                // Others get through: it is something in this one that the endpoint does not like.
                let others_pass = batch.failed_at.is_some_and(|taken| taken < self.taken);
                let is_split = (others_pass || batch.was_refused) && batch.events.len() > 1;
                if is_split {
                    self.free(&batch.events);
                    let (first, second) = batch.events.split_at(batch.events.len() / 2);
                    self.waiting.extend(second.iter().map(|event| (event.seq, (now, event.clone()))));
                    batch.events = first.into();
                    batch.attempts = 0;
                    batch.steps = 0;
                    self.busy.extend(batch.events.iter().flat_map(Event::keys));
                }
                let delay = if is_split && batch.was_refused {
                    // The endpoint is there, and may take a half.
                    Duration::ZERO
                } else {
                    batch.steps += 1;
                    self.delay(batch.steps - 1)
                };
                self.keep(now, id, batch, delay);
            }
        }
    }

    /// What was taken ahead and is settled by now is as any other event.
    fn forget_settled(&mut self) {
        let settled_to = self.settled_to();
        self.ahead = self.ahead.split_off(&settled_to.saturating_add(1));
    }

    /// The events that go out together now. What has to wait for another batch has those of its keys wait too.
    fn gather(&mut self, now: Instant) -> Option<Arc<[Event]>> {
        let mut blocked = HashSet::<u64, foldhash::fast::FixedState>::default();
        let mut seqs = Vec::new();
        let (mut bytes, mut since, mut is_full) = (0, None, false);
        for (seq, (came, event)) in &self.waiting {
            if event.keys().any(|key| self.busy.contains(&key) || blocked.contains(&key)) {
                blocked.extend(event.keys());
                continue;
            }
            if seqs.len() == self.batching.most || (bytes + event.body.len() > MOST_BYTES && !seqs.is_empty()) {
                is_full = true;
                break;
            }
            bytes += event.body.len();
            since = Some(since.map_or(*came, |since: Instant| since.min(*came)));
            seqs.push(*seq);
        }
        let full_at = since? + self.batching.wait;
        if !is_full && seqs.len() < self.batching.most && now < full_at {
            self.full_at = Some(full_at);
            return None;
        }
        Some(seqs.iter().filter_map(|seq| self.waiting.remove(seq)).map(|(_, event)| event).collect())
    }

    fn free(&mut self, events: &[Event]) {
        for key in events.iter().flat_map(Event::keys) {
            self.busy.remove(&key);
        }
    }

    fn keep(&mut self, now: Instant, id: u64, mut batch: Batch, delay: Duration) {
        batch.attempts = batch.attempts.saturating_add(1);
        batch.is_failing = now.saturating_duration_since(*batch.since.get_or_insert(now)) >= DAYS;
        batch.failed_at.get_or_insert(self.taken);
        batch.due = Some(now + delay);
        self.batches.insert(id, batch);
    }

    /// The endpoint works: what failed while it did not is tried again soon. What it refuses it refuses again, while an endpoint that
    /// did not answer may have been away once more since.
    fn hurry(&mut self, now: Instant) {
        for batch in self.batches.values_mut() {
            let may_hurry = |at: Instant| !batch.was_refused && now.saturating_duration_since(at) >= HURRY_EVERY;
            if let Some(due) = batch.due
                && batch.hurried.is_none_or(may_hurry)
            {
                batch.hurried = Some(now);
                batch.due = Some(due.min(now + HURRY.mul_f64(self.random.f64())));
            }
        }
    }

    /// How long after this many failures before it is tried again.
    fn delay(&mut self, failures: usize) -> Duration {
        self.spread(RETRIES.get(failures).copied().unwrap_or(AFTERWARDS))
    }

    fn spread(&mut self, delay: Duration) -> Duration {
        delay.mul_f64(1.0 + SPREAD * self.random.f64())
    }

    /// How long nothing is sent to an endpoint that is busy and may have said until when. One that wants to be asked at once,
    /// each time, is asked ever less often all the same.
    fn pause_for(&mut self, now: Instant, wait: Option<Duration>) -> Duration {
        let before = self.pauses;
        // What was on its way when it began to pause says nothing new.
        if self.paused_until.is_none_or(|until| until <= now) {
            self.pauses = self.pauses.saturating_add(1);
        }
        let Some(wait) = wait else { return self.delay(before as usize).min(SHORT_PAUSE) };
        let least = LEAST_PAUSE.saturating_mul(1 << before.min(MOST_DOUBLINGS)).min(SHORT_PAUSE);
        wait.min(LONGEST_PAUSE).max(self.spread(least))
    }
}

impl Batch {
    /// One that is on its way for the first time.
    fn new(events: Arc<[Event]>) -> Self {
        Self {
            events,
            attempts: 0,
            steps: 0,
            since: None,
            is_failing: false,
            due: None,
            failed_at: None,
            was_refused: false,
            hurried: None,
        }
    }
}

/// The schedule of the Standard Webhooks, after the first try.
const RETRIES: [Duration; 9] = [
    Duration::from_secs(5),
    Duration::from_secs(5 * 60),
    Duration::from_secs(30 * 60),
    Duration::from_secs(2 * HOUR),
    Duration::from_secs(5 * HOUR),
    Duration::from_secs(10 * HOUR),
    Duration::from_secs(14 * HOUR),
    Duration::from_secs(20 * HOUR),
    Duration::from_secs(24 * HOUR),
];
const HOUR: u64 = 60 * 60;
const AFTERWARDS: Duration = Duration::from_secs(HOUR);
/// Each delay is longer by up to this share, so that not all come back at once.
const SPREAD: f64 = 0.1;
/// So many requests are on their way at once, or have failed before nothing new is tried.
const MOST_AT_ONCE: usize = 16;
/// So many events that the endpoint gets are read ahead of what is settled, taken or not.
const MOST_OPEN: usize = 10_000;
/// So many spans of events that were taken ahead are kept.
const MOST_SPANS: usize = 1024;
/// The standard wants bodies below 20 kB. One event alone may be larger.
const MOST_BYTES: usize = 18_000;
/// Whoever has failed for so long is failing: at the end of the schedule.
const DAYS: Duration = Duration::from_secs(72 * HOUR);
/// The first pause of an endpoint that says until when it is busy is at least this, each further one twice as long, up to the
/// short one.
const LEAST_PAUSE: Duration = Duration::from_secs(1);
const MOST_DOUBLINGS: u32 = 6;
const SHORT_PAUSE: Duration = Duration::from_secs(60);
const LONGEST_PAUSE: Duration = Duration::from_secs(HOUR);
/// What failed is tried again within this once the endpoint works.
const HURRY: Duration = Duration::from_secs(1);
/// But not more often than this.
const HURRY_EVERY: Duration = Duration::from_secs(60);
