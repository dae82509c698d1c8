//! Which events go to an endpoint when, and when again: a machine without a clock and without sockets.
//!
//! Events that concern the same user or the same channel arrive in their order. Others do not wait for them: what an endpoint
//! refuses holds up nothing else, until so much is unsettled behind it that it has to.

use std::{
    collections::{BTreeMap, BTreeSet, HashSet},
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;

/// An event for an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Event {
    /// Its place in the log.
    pub(crate) seq: u64,
    /// When it happened, in milliseconds since the Unix epoch.
    pub(crate) time: u64,
    /// Whom and what it concerns: hashes of its users, of whom there are at most two, and of its channel.
    pub(crate) keys: [Option<u64>; 3],
    /// How it is written in the body of a request.
    pub(crate) body: Bytes,
}

/// What goes out in one request.
#[derive(Debug, Clone)]
pub(crate) struct Delivery {
    pub(crate) id: u64,
    /// How often these events were tried before, together.
    pub(crate) attempt: u32,
    pub(crate) events: Arc<[Event]>,
}

/// What an endpoint made of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Answer {
    Taken,
    /// It wants no more events, ever.
    Gone,
    /// It has too much to do, and may have said for how long.
    Busy(Option<Duration>),
    /// It was asked, and does not like what it got.
    Refused,
    Failed,
}

/// How an endpoint is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Health {
    Working,
    /// Something waits to be tried again.
    Retrying,
    /// Something was tried for days in vain.
    Failing,
    /// It said that it wants no more.
    Gone,
    /// An operator wants it to get nothing for now.
    Paused,
}

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

impl Answer {
    /// Its place among the names that metrics have of them.
    pub(crate) fn place(self) -> usize {
        match self {
            Self::Taken => 0,
            Self::Refused => 1,
            Self::Busy(_) => 2,
            Self::Gone => 3,
            Self::Failed => 4,
        }
    }
}

impl Health {
    /// Whether the endpoint gets nothing until it is enabled.
    #[cfg(feature = "admin")]
    pub(crate) fn is_off(self) -> bool {
        matches!(self, Self::Gone | Self::Paused)
    }

    /// Its name, in small letters.
    #[cfg(feature = "admin")]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Retrying => "retrying",
            Self::Failing => "failing",
            Self::Gone => "gone",
            Self::Paused => "paused",
        }
    }
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

impl Event {
    fn keys(&self) -> impl Iterator<Item = u64> {
        self.keys.into_iter().flatten()
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

#[cfg(test)]
mod tests {
    use super::*;

    fn event(seq: u64, user: u64, channel: Option<u64>) -> Event {
        Event {
            seq,
            time: seq,
            keys: [Some(user), None, channel.map(|channel| 1_000_000 + channel)],
            body: Bytes::from_static(b"{}"),
        }
    }

    fn deliveries(most: usize) -> Deliveries {
        Deliveries::new(Batching { most, wait: Duration::from_millis(200) }, 0, Vec::new(), 7)
    }

    fn seqs(delivery: &Delivery) -> Vec<u64> {
        delivery.events.iter().map(|event| event.seq).collect()
    }

    #[test]
    fn events_wait_a_moment_for_others() {
        let (start, mut all) = (Instant::now(), deliveries(3));
        all.take(start, [event(1, 1, None), event(2, 2, None)], 5);
        assert!(all.poll(start).is_none());
        assert_eq!(all.next_timeout(), Some(start + Duration::from_millis(200)));
        let first = all.poll(start + Duration::from_millis(200)).unwrap();
        assert_eq!(seqs(&first), [1, 2]);
        all.take(start, (6..10).map(|seq| event(seq, seq, None)), 10);
        assert_eq!(seqs(&all.poll(start).unwrap()), [6, 7, 8], "a full batch waits for nothing");
        assert!(all.poll(start).is_none());
        assert_eq!(all.settled_to(), 0);
        all.handle_answer(start, first.id, Answer::Taken);
        assert_eq!(all.settled_to(), 5, "what nobody wants is settled too");
    }

    #[test]
    fn an_endpoint_that_is_away_for_five_days_gets_everything_when_it_is_back() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, (1..=40).map(|seq| event(seq, seq % 20, None)), 40);
        let (mut now, mut tries) = (start, Vec::new());
        let back = start + Duration::from_secs(5 * 24 * HOUR);
        while now < back {
            while let Some(delivery) = all.poll(now) {
                if delivery.events[0].seq == 1 {
                    tries.push(now - start);
                }
                all.handle_answer(now, delivery.id, Answer::Failed);
            }
            now = all.next_timeout().unwrap();
        }
        let mut sum = Duration::ZERO;
        for (number, at) in tries.iter().enumerate() {
            assert!(*at >= sum && *at <= sum.mul_f64(1.0 + SPREAD), "try {number} at {at:?}, not about {sum:?}");
            sum += RETRIES.get(number).copied().unwrap_or(AFTERWARDS);
        }
        assert!(tries.len() > RETRIES.len() + 10);
        assert_eq!((all.health(), all.settled_to()), (Health::Failing, 0));
        let mut taken = Vec::new();
        let begun = now;
        while all.settled_to() < 40 {
            while let Some(delivery) = all.poll(now) {
                taken.extend(seqs(&delivery));
                all.handle_answer(now, delivery.id, Answer::Taken);
            }
            now = all.next_timeout().unwrap_or(now);
        }
        assert!(now - begun < Duration::from_secs(5), "{:?}", now - begun);
        assert_eq!(all.health(), Health::Working);
        for user in 0..20 {
            let of_user: Vec<_> = taken.iter().filter(|seq| **seq % 20 == user).collect();
            assert!(of_user.len() == 2 && of_user.is_sorted(), "{of_user:?}");
        }
    }

    #[test]
    fn what_is_never_taken_holds_up_only_what_concerns_the_same_user_or_channel() {
        never_taken(Answer::Failed);
        never_taken(Answer::Refused);
    }

    fn never_taken(answer: Answer) {
        let (start, mut all) = (Instant::now(), deliveries(10));
        let bad = 5;
        all.take(start, (1..=400).map(|seq| event(seq, seq % 100, None)), 400);
        let mut taken = Vec::new();
        let mut now = start;
        while now < start + Duration::from_secs(2 * HOUR) {
            while let Some(delivery) = all.poll(now) {
                let is_bad = seqs(&delivery).contains(&bad);
                taken.extend(seqs(&delivery).into_iter().filter(|_| !is_bad));
                all.handle_answer(now, delivery.id, if is_bad { answer } else { Answer::Taken });
            }
            let Some(next) = all.next_timeout() else { break };
            now = next;
        }
        taken.sort_unstable();
        let wanted: Vec<_> = (1..=400).filter(|seq| seq % 100 != bad).collect();
        assert_eq!(taken, wanted);
        assert_eq!((all.health(), all.settled_to()), (Health::Retrying, bad - 1));
    }

    /// Answers everything that is to be sent now. Gives what was taken.
    fn answer_all(all: &mut Deliveries, now: Instant, answer: impl Fn(&[u64]) -> Answer) -> Vec<u64> {
        let mut taken = Vec::new();
        while let Some(delivery) = all.poll(now) {
            let seqs = seqs(&delivery);
            let answer = answer(&seqs);
            all.handle_answer(now, delivery.id, answer);
            if answer == Answer::Taken {
                taken.extend(seqs);
            }
        }
        taken
    }

    #[test]
    fn what_is_refused_stops_nothing_else_however_much_that_is() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, (1..=MOST_AT_ONCE as u64 * 5).map(|seq| event(seq, seq, None)), 80);
        let taken = answer_all(&mut all, start, |seqs| if seqs[0] <= 70 { Answer::Refused } else { Answer::Taken });
        assert_eq!((taken, all.settled_to()), ((71..=80).collect(), 0));
        // One that does not work at all is left alone.
        let mut all = deliveries(1);
        all.take(start, (1..=80).map(|seq| event(seq, seq, None)), 80);
        let tries = std::cell::Cell::new(0);
        answer_all(&mut all, start, |_| {
            tries.set(tries.get() + 1);
            Answer::Failed
        });
        assert_eq!(tries.get(), MOST_AT_ONCE);
    }

    #[test]
    fn the_halves_of_what_is_refused_are_sent_at_once() {
        let (start, mut all) = (Instant::now(), deliveries(8));
        all.take(start, (1..=8).map(|seq| event(seq, seq, None)), 8);
        let answer = |seqs: &[u64]| if seqs.contains(&3) { Answer::Refused } else { Answer::Taken };
        let mut taken = Vec::new();
        let mut now = start;
        for _ in 0..4 {
            taken.extend(answer_all(&mut all, now, answer));
            now += all.batching.wait;
        }
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 4, 5, 6, 7, 8]);
        assert!(now - start < RETRIES[0]);
        assert_eq!((all.settled_to(), all.health()), (2, Health::Retrying));
    }

    #[test]
    fn only_so_much_overtakes_what_is_not_taken() {
        let (start, mut all) = (Instant::now(), deliveries(100));
        let (mut now, mut last, mut taken) = (start, 0, Vec::new());
        while now < start + Duration::from_secs(HOUR) && last < 3 * MOST_OPEN as u64 {
            let room = all.room() as u64;
            all.take(now, (last + 1..=last + room).map(|seq| event(seq, seq, None)), last + room);
            last += room;
            let bad = |seqs: &[u64]| if seqs.contains(&7) { Answer::Refused } else { Answer::Taken };
            taken.extend(answer_all(&mut all, now, bad));
            now = all.next_timeout().unwrap_or(now + Duration::from_secs(HOUR));
        }
        taken.sort_unstable();
        let wanted: Vec<_> = (1..=MOST_OPEN as u64 + 6).filter(|seq| *seq != 7).collect();
        assert_eq!((all.room(), all.settled_to(), all.pending().0), (0, 6, 1));
        assert!(taken == wanted, "{} of {}", taken.len(), wanted.len());
        assert_eq!(answer_all(&mut all, now, |_| Answer::Taken), [7]);
        assert_eq!((all.room(), all.settled_to()), (MOST_OPEN, last));
    }

    #[test]
    fn what_failed_is_brought_forward_each_minute_and_what_was_refused_once() {
        for (answer, tries) in [(Answer::Failed, 4), (Answer::Refused, 2)] {
            let (start, mut all) = (Instant::now(), deliveries(1));
            all.take(start, [event(1, 1, None)], 1);
            let (mut asked, mut now, mut seq) = (Vec::new(), start, 1);
            // Another event is taken each second.
            while now < start + Duration::from_secs(150) {
                seq += 1;
                all.take(now, [event(seq, seq, None)], seq);
                while let Some(delivery) = all.poll(now) {
                    let is_bad = seqs(&delivery) == [1];
                    if is_bad {
                        asked.push(now - start);
                    }
                    all.handle_answer(now, delivery.id, if is_bad { answer } else { Answer::Taken });
                }
                now += Duration::from_secs(1);
            }
            assert_eq!(asked.len(), tries, "{answer:?}: {asked:?}");
        }
    }

    #[test]
    fn an_endpoint_says_when_it_wants_more_and_that_it_wants_no_more() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, (1..=3).map(|seq| event(seq, seq, None)), 3);
        let first = all.poll(start).unwrap();
        all.handle_answer(start, first.id, Answer::Busy(Some(Duration::from_secs(90))));
        assert!(all.poll(start).is_none() && all.poll(start + Duration::from_secs(89)).is_none());
        assert_eq!(all.next_timeout(), Some(start + Duration::from_secs(90)));
        let again = all.poll(start + Duration::from_secs(90)).unwrap();
        assert_eq!((again.attempt, seqs(&again)), (1, vec![1]));
        all.handle_answer(start, again.id, Answer::Gone);
        assert!(all.poll(start + Duration::from_secs(100 * HOUR)).is_none());
        assert_eq!((all.health(), all.room(), all.next_timeout(), all.settled_to()), (Health::Gone, 0, None, 0));
    }

    #[cfg(feature = "admin")]
    #[test]
    fn an_endpoint_that_wanted_no_more_goes_on_where_it_was_once_it_is_enabled() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, (1..=3).map(|seq| event(seq, seq, None)), 3);
        let [first, second] = std::array::from_fn(|_| all.poll(start).unwrap());
        all.handle_answer(start, first.id, Answer::Gone);
        all.handle_answer(start, second.id, Answer::Taken);
        assert_eq!((all.pending(), all.poll(start).is_none()), ((2, Some(1)), true));
        all.enable(start);
        let again = all.poll(start).unwrap();
        assert_eq!((seqs(&again), again.attempt, all.health()), (vec![1], 1, Health::Retrying));
        all.handle_answer(start, again.id, Answer::Taken);
        let last = all.poll(start).unwrap();
        all.handle_answer(start, last.id, Answer::Taken);
        assert_eq!((all.health(), all.settled_to(), all.pending()), (Health::Working, 3, (0, None)));
    }

    #[cfg(feature = "admin")]
    #[test]
    fn a_paused_endpoint_gets_nothing_until_it_is_enabled() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, (1..=2).map(|seq| event(seq, seq, None)), 2);
        let first = all.poll(start).unwrap();
        all.pause();
        assert!(all.health().is_off() && all.poll(start).is_none() && all.next_timeout().is_none());
        // What was on its way is not sent again.
        all.handle_answer(start, first.id, Answer::Taken);
        assert_eq!((all.settled_to(), all.health()), (1, Health::Paused));
        all.enable(start);
        let second = all.poll(start).unwrap();
        assert_eq!((seqs(&second), all.health()), (vec![2], Health::Working));
    }

    #[cfg(feature = "admin")]
    #[test]
    fn what_failed_is_tried_at_once_when_the_endpoint_is_known_to_work() {
        for answer in [Answer::Failed, Answer::Busy(Some(Duration::from_secs(HOUR)))] {
            let (start, mut all) = (Instant::now(), deliveries(1));
            all.take(start, (1..=2).map(|seq| event(seq, 1, None)), 2);
            let first = all.poll(start).unwrap();
            all.handle_answer(start, first.id, answer);
            assert!(all.poll(start).is_none());
            all.wake(start);
            let again = all.poll(start).unwrap();
            assert_eq!((again.attempt, seqs(&again)), (1, vec![1]));
            // Whoever wanted no more is not asked again before an operator says so.
            all.handle_answer(start, again.id, Answer::Gone);
            all.wake(start);
            assert_eq!((all.poll(start).is_none(), all.health()), (true, Health::Gone));
        }
    }

    #[test]
    fn a_long_pause_that_an_endpoint_asks_for_is_cut() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, [event(1, 1, None)], 1);
        let first = all.poll(start).unwrap();
        all.handle_answer(start, first.id, Answer::Busy(Some(Duration::from_secs(1000 * HOUR))));
        assert_eq!(all.next_timeout(), Some(start + LONGEST_PAUSE));
    }

    #[test]
    fn an_endpoint_that_wants_everything_at_once_again_is_asked_ever_less_often() {
        for wait in [Some(Duration::ZERO), Some(Duration::from_millis(1)), None] {
            let (start, mut all) = (Instant::now(), deliveries(1));
            all.take(start, (1..=40).map(|seq| event(seq, seq, None)), 40);
            let (mut now, mut rounds, mut tries) = (start, Vec::new(), 0);
            while now < start + Duration::from_secs(HOUR) {
                let open: Vec<_> = std::iter::from_fn(|| all.poll(now)).collect();
                assert!(!open.is_empty() && open.len() <= MOST_AT_ONCE);
                tries += open.len();
                rounds.push(now - start);
                open.iter().for_each(|delivery| all.handle_answer(now, delivery.id, Answer::Busy(wait)));
                assert_eq!(all.health(), Health::Retrying, "no days have passed");
                now = all.next_timeout().unwrap();
            }
            let pauses: Vec<_> = rounds.windows(2).map(|pair| pair[1] - pair[0]).collect();
            assert!(pauses[0] >= LEAST_PAUSE && pauses[3] >= LEAST_PAUSE * 8, "{wait:?}: {pauses:?}");
            assert!(pauses[8..].iter().all(|pause| *pause >= SHORT_PAUSE), "{wait:?}: {pauses:?}");
            assert!(pauses.iter().all(|pause| *pause <= SHORT_PAUSE.mul_f64(1.0 + SPREAD)), "{wait:?}: {pauses:?}");
            assert!(tries < MOST_AT_ONCE * 70, "{wait:?}: {tries} tries");
            // One that fails afterwards is at the start of the schedule.
            let delivery = all.poll(now).unwrap();
            all.handle_answer(now, delivery.id, Answer::Failed);
            let due = all.batches[&delivery.id].due.unwrap();
            assert!(due - now <= RETRIES[0].mul_f64(1.0 + SPREAD), "{wait:?}");
        }
    }

    #[test]
    fn an_endpoint_that_is_busy_for_days_is_failing_and_one_that_takes_something_begins_anew() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, [event(1, 1, None)], 1);
        let mut now = start;
        loop {
            let delivery = all.poll(now).unwrap();
            all.handle_answer(now, delivery.id, Answer::Busy(Some(Duration::from_secs(HOUR))));
            let wanted = if now - start < DAYS { Health::Retrying } else { Health::Failing };
            assert_eq!(all.health(), wanted, "after {:?}", now - start);
            if wanted == Health::Failing {
                break;
            }
            now = all.next_timeout().unwrap();
        }
        now = all.next_timeout().unwrap();
        let delivery = all.poll(now).unwrap();
        all.handle_answer(now, delivery.id, Answer::Taken);
        assert_eq!(all.health(), Health::Working);
        all.take(now, [event(2, 1, None)], 2);
        now += Duration::from_secs(1);
        let delivery = all.poll(now).unwrap();
        all.handle_answer(now, delivery.id, Answer::Busy(Some(Duration::ZERO)));
        let pause = all.next_timeout().unwrap() - now;
        assert!(pause >= LEAST_PAUSE && pause <= LEAST_PAUSE.mul_f64(1.0 + SPREAD), "{pause:?}");
    }

    #[test]
    fn large_events_go_alone() {
        let (start, mut all) = (Instant::now(), deliveries(10));
        let large = |seq| Event { body: vec![b' '; MOST_BYTES].into(), ..event(seq, seq, None) };
        all.take(start, [large(1), large(2), event(3, 3, None)], 3);
        assert_eq!(seqs(&all.poll(start).unwrap()), [1]);
        assert_eq!(seqs(&all.poll(start).unwrap()), [2]);
    }

    #[test]
    fn what_overtook_another_event_is_not_sent_again_after_a_restart() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        let log = || (1..=12_u64).filter(|seq| seq % 4 > 0).map(|seq| event(seq, seq, None));
        all.take(start, log(), 12);
        let bad = |seqs: &[u64]| if [2, 7].contains(&seqs[0]) { Answer::Refused } else { Answer::Taken };
        answer_all(&mut all, start, bad);
        assert_eq!((all.settled_to(), all.taken_ahead()), (1, vec![(3, 6), (9, 11)]));
        let mut all = Deliveries::new(all.batching, all.settled_to(), all.taken_ahead(), 7);
        // It is stopped before it has read all of that again.
        all.take(start, log().filter(|event| (2..=5).contains(&event.seq)), 5);
        assert_eq!((all.settled_to(), all.taken_ahead()), (1, vec![(3, 5), (6, 6), (9, 11)]));
        let mut all = Deliveries::new(all.batching, all.settled_to(), all.taken_ahead(), 7);
        all.take(start, log().filter(|event| event.seq > 1), 12);
        assert_eq!(all.room(), MOST_OPEN - 8, "they count as before");
        assert_eq!(answer_all(&mut all, start, |_| Answer::Taken), [2, 7]);
        assert_eq!((all.settled_to(), all.taken_ahead()), (12, vec![]));
    }

    #[test]
    fn of_what_overtook_very_many_events_only_the_first_part_is_kept() {
        let (start, mut all) = (Instant::now(), deliveries(1));
        all.take(start, (1..=4 * MOST_SPANS as u64).map(|seq| event(seq, seq, None)), 4 * MOST_SPANS as u64);
        answer_all(&mut all, start, |seqs| if seqs[0] % 2 == 1 { Answer::Refused } else { Answer::Taken });
        let spans = all.taken_ahead();
        assert_eq!((spans.len(), spans[0], spans[MOST_SPANS - 1]), (MOST_SPANS, (2, 2), (2048, 2048)));
    }

    #[test]
    fn in_any_weather_everything_comes_in_order_and_nothing_is_left_out() {
        for seed in 0..60 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut all = deliveries(random.usize(1..8));
            let (mut now, mut last, mut open) = (Instant::now(), 0, Vec::<Delivery>::new());
            let mut taken: Vec<Event> = Vec::new();
            let mut of_all: Vec<Event> = Vec::new();
            while last < 300 || all.settled_to() < last {
                if random.u8(0..30) == 0 {
                    // It starts again, and nobody knows what became of what was on its way.
                    all = Deliveries::new(all.batching, all.settled_to(), all.taken_ahead(), seed);
                    open.clear();
                }
                if all.read_to() < last {
                    let to = (all.read_to() + random.u64(1..20)).min(last);
                    let is_read = |event: &&Event| (all.read_to() + 1..=to).contains(&event.seq);
                    let page: Vec<_> = of_all.iter().filter(is_read).cloned().collect();
                    all.take(now, page, to);
                } else if last < 300 && random.u8(0..4) == 0 {
                    let count = random.u64(1..20);
                    let mut new = Vec::new();
                    for seq in (last + 1..=last + count).filter(|seq| seq % 5 > 0) {
                        new.push(event(seq, random.u64(0..10), random.bool().then(|| random.u64(0..5))));
                    }
                    of_all.extend(new.clone());
                    last += count;
                    all.take(now, new, last);
                }
                open.extend(std::iter::from_fn(|| all.poll(now)));
                assert!(all.next_timeout().is_none_or(|next| now < next), "seed {seed}: it would turn on the spot");
                assert!(open.len() <= MOST_AT_ONCE);
                assert!(open.iter().all(|delivery| delivery.events.len() <= all.batching.most));
                let keys =
                    || open.iter().map(|delivery| delivery.events.iter().flat_map(Event::keys).collect::<HashSet<_>>());
                assert_eq!(
                    keys().map(|keys| keys.len()).sum::<usize>(),
                    keys().flatten().collect::<HashSet<_>>().len()
                );
                if open.is_empty() || random.u8(0..8) == 0 {
                    now = all.next_timeout().unwrap_or(now);
                    continue;
                }
                let delivery = open.swap_remove(random.usize(0..open.len()));
                let answer = match random.u8(0..10) {
                    0 => Answer::Failed,
                    1 => Answer::Refused,
                    2 => Answer::Busy(random.bool().then(|| Duration::from_secs(random.u64(0..100)))),
                    _ => Answer::Taken,
                };
                if answer == Answer::Taken {
                    taken.extend(delivery.events.iter().cloned());
                }
                all.handle_answer(now, delivery.id, answer);
                let settled = all.settled_to();
                let is_taken = |event: &Event| taken.iter().any(|taken| taken.seq == event.seq);
                assert!(of_all.iter().filter(|event| event.seq <= settled).all(is_taken), "seed {seed}");
            }
            assert_eq!(taken.len(), of_all.len(), "seed {seed}: each is taken once");
            for key in taken.iter().flat_map(Event::keys).collect::<HashSet<_>>() {
                let seqs: Vec<_> =
                    taken.iter().filter(|event| event.keys().any(|one| one == key)).map(|event| event.seq).collect();
                assert!(seqs.is_sorted(), "seed {seed}: {seqs:?}");
            }
        }
    }
}
