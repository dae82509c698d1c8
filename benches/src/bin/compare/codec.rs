//! The codec beside its rivals: what one thread needs to encode or decode one message event.

use std::time::Duration;

use benches::codec::{Size, Way};

use crate::run::Run;

/// The scenario of a way and a size.
pub(crate) fn name(way: Way, size: Size) -> String {
    format!("codec: {way}, {size}")
}

/// All candidates in one run, so that those whose ratio is taken are measured within milliseconds of each other: a turn
/// counts as a round.
pub(crate) fn runs(way: Way, size: Size) -> Vec<Run> {
    let all = Run::new("all in turns", move |recorder| {
        let mut candidates: Vec<_> = way.candidates(size).into_iter().map(|mut it| (it.times_in(TURN), it)).collect();
        for turn in 0..TURNS {
            for (times, candidate) in &mut candidates {
                let took = candidate.run(*times).as_nanos() as f64 / *times as f64;
                let round = recorder.round * TURNS + turn;
                recorder.report.add(recorder.scenario, candidate.name, round, NS, took);
                if size.bytes() >= LARGE {
                    let rate = size.bytes() as f64 / took * 1000.0;
                    recorder.report.add(recorder.scenario, candidate.name, round, PAYLOAD, rate);
                }
            }
        }
        Ok(())
    });
    vec![all]
}

pub(crate) const NS: &str = "CPU ns/message";

/// How fast the text goes through, where that is most of the work.
pub(crate) const PAYLOAD: &str = "payload MB/s";
const LARGE: usize = 4096;

const TURN: Duration = Duration::from_millis(3);
const TURNS: usize = 10;
