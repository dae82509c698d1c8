//! What the machine sends when, over five days and in any weather.

use bytes::Bytes;

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
            assert_eq!(keys().map(|keys| keys.len()).sum::<usize>(), keys().flatten().collect::<HashSet<_>>().len());
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
