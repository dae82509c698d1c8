//! The record of a run: events of one project that were appended together.
//!
//! It is a version, the form of the body, then as numbers of variable length how many events there are, the length of the body,
//! the oldest time and how much later the newest one is; the body, perhaps compressed; and a checksum of all that. The body has the
//! place, the time and the length of each event, and behind these the events themselves.

use std::{borrow::Cow, ops::Range};

use rtm_core::{LoggedEvent, ProjectEvent, store::record::RecordError};

/// Events of a log, in order.
#[derive(Debug, Default, Clone, PartialEq)]
pub(super) struct Run {
    events: Vec<RunEvent>,
    bytes: Vec<u8>,
}

/// An event of a run.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct RunEvent {
    pub(super) place: u64,
    pub(super) time: u64,
    /// Where its bytes are.
    bytes: Range<usize>,
}

/// What is known of a run without its events.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) count: u64,
    pub(super) oldest: u64,
    pub(super) newest: u64,
    /// What its body has before it is compressed: so much its events take.
    pub(super) bytes: u64,
}

impl Run {
    /// Most events that a run has.
    pub(super) const MOST_EVENTS: usize = 1024;

    pub(super) fn push(&mut self, place: u64, time: u64, event: &ProjectEvent) {
        let start = self.bytes.len();
        event.encode(&mut self.bytes);
        self.events.push(RunEvent { place, time, bytes: start..self.bytes.len() });
    }

    /// Appends an event of which there are only the bytes.
    pub(super) fn push_bytes(&mut self, place: u64, time: u64, event: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(event);
        self.events.push(RunEvent { place, time, bytes: start..self.bytes.len() });
    }

    /// Whether the next event begins another run.
    pub(super) fn is_full(&self) -> bool {
        self.events.len() >= Self::MOST_EVENTS || self.bytes.len() >= FULL
    }

    pub(super) fn events(&self) -> &[RunEvent] {
        &self.events
    }

    /// The place of its last event.
    pub(super) fn last(&self) -> Option<u64> {
        self.events.last().map(|event| event.place)
    }

    /// Empties it. Its memory is used again.
    pub(super) fn clear(&mut self) {
        self.events.clear();
        self.bytes.clear();
    }

    /// Keeps the events that `keep` wants.
    pub(super) fn retain(&mut self, keep: impl FnMut(&RunEvent) -> bool) {
        self.events.retain(keep);
    }

    /// How many of its first events have so many bytes, or a little less, but one at least: without the first ones, the others may
    /// take less than before.
    pub(super) fn first_with(&self, bytes: u64) -> usize {
        let mut sum = 0;
        let with = self.events.iter().take_while(|event| {
            sum += event.bytes.len() as u64 + 3;
            sum <= bytes
        });
        with.count().max(1)
    }

    /// An event of it.
    pub(super) fn event(&self, event: &RunEvent) -> Result<LoggedEvent, RecordError> {
        let bytes = self.bytes.get(event.bytes.clone()).ok_or(RecordError::Damaged)?;
        Ok(LoggedEvent { time: event.time, event: ProjectEvent::decode(bytes)? })
    }

    /// The times of its oldest and its newest event.
    fn times(&self) -> (u64, u64) {
        let times = || self.events.iter().map(|event| event.time);
        (times().min().unwrap_or(0), times().max().unwrap_or(0))
    }

    /// The time of its oldest event.
    pub(super) fn oldest(&self) -> u64 {
        self.times().0
    }

    /// The bytes to keep, and their header.
    pub(super) fn encode(&self) -> (Header, Vec<u8>) {
        let (oldest, newest) = self.times();
        let mut body = Vec::with_capacity(self.bytes.len() + 4 * self.events.len() + 16);
        let (mut place, mut time) = (self.last().unwrap_or(0), oldest);
        for (at, event) in self.events.iter().enumerate() {
            // The first place goes back from the last one, which is in the key.
            number(&mut body, if at == 0 { place - event.place } else { event.place - place - 1 });
            let later = event.time.wrapping_sub(time).cast_signed();
            number(&mut body, (later.wrapping_shl(1) ^ (later >> 63)).cast_unsigned());
            number(&mut body, event.bytes.len() as u64);
            (place, time) = (event.place, event.time);
        }
        for event in &self.events {
            body.extend_from_slice(&self.bytes[event.bytes.clone()]);
        }
        let compressed = if body.len() < COMPRESSED_FROM { Vec::new() } else { lz4_flex::block::compress(&body) };
        let is_shorter = !compressed.is_empty() && compressed.len() < body.len();
        let (form, kept) = if is_shorter { (LZ4, &compressed) } else { (PLAIN, &body) };
        let mut record = Vec::with_capacity(kept.len() + 32);
        record.extend([VERSION, form]);
        let (count, bytes) = (self.events.len() as u64, body.len() as u64);
        [count, bytes, oldest, newest - oldest].into_iter().for_each(|one| number(&mut record, one));
        record.extend_from_slice(kept);
        let checksum = crc32fast::hash(&record);
        record.extend(checksum.to_le_bytes());
        (Header { count, oldest, newest, bytes }, record)
    }

    /// Reads what [`encode`](Self::encode) wrote of a run whose last event is at `last`.
    pub(super) fn decode(last: u64, record: &[u8]) -> Result<Self, RecordError> {
        let (form, Header { count, oldest, newest, bytes }, body) = parts(record)?;
        let len = bytes as usize;
        let body = match form {
            PLAIN if body.len() == len => Cow::Borrowed(body),
            LZ4 => {
                let mut plain = vec![0; len];
                match lz4_flex::block::decompress_into(body, &mut plain) {
                    Ok(found) if found == len => Cow::Owned(plain),
                    _ => return Err(RecordError::Damaged),
                }
            }
            _ => return Err(RecordError::Damaged),
        };
        let mut rest = &body[..];
        let mut events = Vec::with_capacity(count as usize);
        let (mut place, mut time, mut end) = (last, oldest, 0_usize);
        for at in 0..count {
            let step = read_number(&mut rest)?;
            let next = if at == 0 {
                place.checked_sub(step)
            } else {
                place.checked_add(1).and_then(|next| next.checked_add(step))
            };
            place = next.ok_or(RecordError::Damaged)?;
            let later = read_number(&mut rest)?;
            time = time.wrapping_add((later >> 1) ^ (later & 1).wrapping_neg());
            if !(oldest..=newest).contains(&time) {
                return Err(RecordError::Damaged);
            }
            let start = end;
            let bytes = usize::try_from(read_number(&mut rest)?).map_err(|_| RecordError::Damaged)?;
            end = end.checked_add(bytes).ok_or(RecordError::Damaged)?;
            events.push(RunEvent { place, time, bytes: start..end });
        }
        if place != last || end != rest.len() {
            return Err(RecordError::Damaged);
        }
        let bytes = rest.to_vec();
        Ok(Self { events, bytes })
    }
}

impl Header {
    /// The header of a record that is whole.
    pub(super) fn read(record: &[u8]) -> Result<Self, RecordError> {
        parts(record).map(|(_, header, _)| header)
    }

    /// How many events a record has and how many bytes these take, as far as a damaged one says.
    pub(super) fn weight(record: &[u8]) -> (u64, u64) {
        let weight = || {
            let mut rest = record.get(2..)?;
            Some((read_number(&mut rest).ok()?, read_number(&mut rest).ok()?))
        };
        let is_possible = |(count, bytes): &(u64, u64)| is_possible(*count, *bytes);
        weight().filter(is_possible).unwrap_or((1, 0))
    }
}

fn is_possible(count: u64, bytes: u64) -> bool {
    // Each event has three numbers in the body.
    (1..=Run::MOST_EVENTS as u64).contains(&count) && (3 * count..=MOST_BYTES).contains(&bytes)
}

/// The form of a record, its header and its body. What is to be allocated is checked here.
fn parts(record: &[u8]) -> Result<(u8, Header, &[u8]), RecordError> {
    match record.first() {
        Some(&VERSION) => {}
        Some(&version) => return Err(RecordError::Version(version)),
        None => return Err(RecordError::Damaged),
    }
    let (whole, checksum) = record.split_last_chunk().ok_or(RecordError::Damaged)?;
    if crc32fast::hash(whole) != u32::from_le_bytes(*checksum) {
        return Err(RecordError::Damaged);
    }
    let (&[_, form], mut rest) = whole.split_first_chunk().ok_or(RecordError::Damaged)?;
    let rest = &mut rest;
    let (count, bytes, oldest, later) =
        (read_number(rest)?, read_number(rest)?, read_number(rest)?, read_number(rest)?);
    let newest = oldest.checked_add(later).ok_or(RecordError::Damaged)?;
    if !is_possible(count, bytes) {
        return Err(RecordError::Damaged);
    }
    Ok((form, Header { count, oldest, newest, bytes }, rest))
}

/// Appends a number in as many bytes as it needs.
fn number(bytes: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        bytes.push(number as u8 | 0x80);
        number >>= 7;
    }
    bytes.push(number as u8);
}

fn read_number(bytes: &mut &[u8]) -> Result<u64, RecordError> {
    let mut number = 0_u64;
    for at in 0..10 {
        let (&byte, rest) = bytes.split_first().ok_or(RecordError::Damaged)?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << (7 * at);
        if byte < 0x80 {
            return Ok(number);
        }
    }
    Err(RecordError::Damaged)
}

const VERSION: u8 = 1;
const PLAIN: u8 = 0;
const LZ4: u8 = 1;
/// A run of so many bytes is full. The file has pages whose sizes are powers of two: what is a little longer than one has two.
const FULL: usize = 15 * 1024;
/// No body is longer: a full run, its longest event and what stands before the events.
const MOST_BYTES: u64 = 64 * 1024;
/// Shorter bodies are not compressed.
const COMPRESSED_FROM: usize = 512;

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

    use proptest::prelude::*;

    use super::*;

    /// Runs as they may be: events with gaps between their places, of times that go to and fro, and with bytes of any kind.
    fn runs() -> impl Strategy<Value = Run> {
        let event = (0..300_u64, any::<u64>(), prop::collection::vec(any::<u8>(), 0..70));
        let near = (0..3_u64, 0..50_u64, Just(b"\x10\x05alice\x03bob\0\0\0\0\0\0\0\x07".to_vec()));
        let unlike = prop::collection::vec(event, 1..40);
        let alike = prop::collection::vec(near, 1..=Run::MOST_EVENTS);
        (any::<u32>(), prop_oneof![unlike, alike]).prop_map(|(first, events)| {
            let (mut run, mut place) = (Run::default(), u64::from(first));
            for (gap, time, bytes) in events {
                place += gap + 1;
                run.push_bytes(place, time, &bytes);
            }
            run
        })
    }

    fn shown(run: &Run) -> Vec<(u64, u64, &[u8])> {
        run.events().iter().map(|event| (event.place, event.time, &run.bytes[event.bytes.clone()])).collect()
    }

    fn large() -> Run {
        let mut run = Run::default();
        (0..Run::MOST_EVENTS as u64)
            .for_each(|at| run.push_bytes(at + 1, 7, b"\x10\x05alice\x03bob\0\0\0\0\0\0\0\x07"));
        run
    }

    /// With a checksum that is right, whatever the rest is.
    fn sealed(mut record: Vec<u8>) -> Vec<u8> {
        let checksum = crc32fast::hash(&record);
        record.extend(checksum.to_le_bytes());
        record
    }

    /// A record with this header and body.
    fn record(form: u8, numbers: [u64; 4], body: &[u8]) -> Vec<u8> {
        let mut record = vec![VERSION, form];
        numbers.into_iter().for_each(|one| number(&mut record, one));
        record.extend(body);
        sealed(record)
    }

    proptest! {
        #[test]
        fn a_run_reads_back_as_it_was(mut run in runs(), keep in any::<u64>()) {
            let (header, record) = run.encode();
            prop_assert!(header.bytes <= MOST_BYTES && header.count == run.events().len() as u64);
            let read = Run::decode(run.last().unwrap(), &record).unwrap();
            prop_assert_eq!(shown(&read), shown(&run));
            prop_assert_eq!(Header::read(&record), Ok(header));
            prop_assert_eq!(Header::weight(&record), (header.count, header.bytes));
            // What is left of it reads back too.
            let mut at = 0;
            run.retain(|_| {
                at += 1;
                keep.rotate_left(at) & 1 == 1
            });
            if let Some(last) = run.last() {
                let (header, record) = run.encode();
                let read = Run::decode(last, &record).unwrap();
                prop_assert_eq!(shown(&read), shown(&run));
                prop_assert!(run.events().iter().all(|event| (header.oldest..=header.newest).contains(&event.time)));
            }
        }

        #[test]
        fn a_damaged_record_is_an_error(run in runs(), at in any::<prop::sample::Index>(), bit in 0..8_u8) {
            let last = run.last().unwrap();
            let (_, record) = run.encode();
            let cut = at.index(record.len());
            prop_assert!(Run::decode(last, &record[..cut]).is_err());
            let mut flipped = record;
            flipped[cut] ^= 1 << bit;
            prop_assert!(Run::decode(last, &flipped).is_err() && Header::read(&flipped).is_err());
            let (count, bytes) = Header::weight(&flipped);
            prop_assert!(count <= Run::MOST_EVENTS as u64 && bytes <= MOST_BYTES);
        }

        #[test]
        fn bytes_of_any_kind_are_read_without_harm(form in 0..4_u8, header in any::<[u64; 4]>(), small in 0..20_u64, body in prop::collection::vec(any::<u8>(), 0..200)) {
            for numbers in [header, [small, body.len() as u64, header[2] >> 8, small], [small, 3 * small + 9, 0, small]] {
                let record = record(form, numbers, &body);
                if let Ok(run) = Run::decode(header[0], &record) {
                    prop_assert!(run.events().iter().all(|event| run.bytes.get(event.bytes.clone()).is_some()));
                    prop_assert_eq!(run.last(), Some(header[0]));
                }
            }
            drop(Run::decode(0, &sealed(body)));
        }
    }

    #[test]
    fn a_record_that_says_it_is_large_is_refused_before_anything_is_allocated() {
        let (_, mut packed) = (0, lz4_flex::block::compress(&vec![0; 1 << 24]));
        packed.extend([0; 8]);
        for count in [1, Run::MOST_EVENTS as u64] {
            for len in [MOST_BYTES + 1, 1 << 24, u64::MAX] {
                assert_eq!(Run::decode(7, &record(LZ4, [count, len, 0, 0], &packed)), Err(RecordError::Damaged));
            }
            // It has more in it than it says.
            assert_eq!(Run::decode(7, &record(LZ4, [count, MOST_BYTES, 0, 0], &packed)), Err(RecordError::Damaged));
        }
        for count in [0, Run::MOST_EVENTS as u64 + 1, u64::MAX] {
            assert_eq!(Run::decode(7, &record(PLAIN, [count, 9, 0, 0], &[0; 9])), Err(RecordError::Damaged));
        }
        // More events than the body has room for.
        assert_eq!(Run::decode(7, &record(PLAIN, [4, 11, 0, 0], &[0; 11])), Err(RecordError::Damaged));
    }

    #[test]
    fn a_record_of_a_later_version_is_told_by_its_version() {
        let mut record = large().encode().1;
        record[0] = 2;
        assert_eq!(Run::decode(1024, &record), Err(RecordError::Version(2)));
        assert_eq!(Run::decode(1024, &[]), Err(RecordError::Damaged));
    }

    #[test]
    fn the_layout_is_the_one_that_files_have() {
        let mut run = Run::default();
        run.push_bytes(300, 1_000, b"one");
        run.push_bytes(302, 999, b"");
        let mut golden = b"\x01\x00\x02\x09\xe7\x07\x01\x02\x02\x03\x01\x01\x00one".to_vec();
        golden.extend(crc32fast::hash(&golden).to_le_bytes());
        assert_eq!(run.encode().1, golden);
        assert_eq!(shown(&Run::decode(302, &golden).unwrap()), shown(&run));
    }

    #[test]
    fn a_full_run_is_within_what_is_read() {
        assert!(large().is_full());
        let mut run = Run::default();
        let mut place = 0;
        while !run.is_full() {
            place += u64::MAX / 2048;
            run.push_bytes(place, place.wrapping_mul(place), &[0; 2]);
        }
        run.push_bytes(u64::MAX, 0, &[0; 1024]);
        let run = {
            let mut less = run;
            less.retain(|event| event.place > u64::MAX / 2048);
            less
        };
        let (header, record) = run.encode();
        assert!(header.bytes < MOST_BYTES, "{header:?}");
        assert_eq!(shown(&Run::decode(u64::MAX, &record).unwrap()), shown(&run));
    }
}
