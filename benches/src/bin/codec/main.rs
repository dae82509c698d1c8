//! The codec against its rivals: in turns, as the median of the ratios of each turn, beside the goals.
//!
//! `cargo run --release -p benches --bin codec [ROUNDS]`

use std::{env, time::Duration};

use benches::codec::{BINCODE, Candidate, JSON_TWICE, NATIVE, PROST, Size, VENDOR, decoders, encoders};

/// What a candidate is held against, and how much of its time it may take at which size.
struct Goal {
    what: &'static str,
    ours: &'static str,
    theirs: &'static str,
    at_most: fn(Size) -> Option<f64>,
}

const GOALS: [Goal; 5] = [
    Goal { what: "encode", ours: NATIVE, theirs: BINCODE, at_most: |size| at(size, &[64, 1024], 1.1) },
    Goal { what: "encode", ours: NATIVE, theirs: PROST, at_most: |size| at(size, &[64, 1024], 0.4) },
    Goal { what: "encode", ours: VENDOR, theirs: JSON_TWICE, at_most: |_| Some(0.5) },
    Goal {
        what: "decode",
        ours: NATIVE,
        theirs: BINCODE,
        at_most: |size| match size {
            Size::Ascii(32 | 256) => Some(0.75),
            Size::Ascii(4096 | 32_768) => Some(0.5),
            Size::Chinese(_) => Some(0.12),
            Size::Ascii(_) => None,
        },
    },
    Goal { what: "decode", ours: VENDOR, theirs: JSON_TWICE, at_most: |_| Some(0.6) },
];

fn main() -> anyhow::Result<()> {
    let rounds = env::args().nth(1).map_or(Ok(25), |rounds| rounds.parse::<usize>())?.max(1);
    let mut verdicts = String::new();
    for (what, candidates) in [("encode", encoders as fn(Size) -> Vec<Candidate>), ("decode", decoders)] {
        for size in Size::ALL {
            let mut candidates = candidates(size);
            let times = in_turns(&mut candidates, rounds);
            println!("{what}, {size} bytes, ns");
            for (candidate, times) in candidates.iter().zip(&times) {
                println!("  {:<32} {:>9.1}", candidate.name, median(times.clone()));
            }
            let of = |name| candidates.iter().position(|candidate| candidate.name == name).map(|i| &times[i]);
            for goal in GOALS.iter().filter(|goal| goal.what == what) {
                if let (Some(at_most), Some(ours), Some(theirs)) =
                    ((goal.at_most)(size), of(goal.ours), of(goal.theirs))
                {
                    let ratio = median(ours.iter().zip(theirs).map(|(ours, theirs)| ours / theirs).collect());
                    let verdict = if ratio <= at_most { "met" } else { "missed" };
                    verdicts += &format!(
                        "| {what}, {size} bytes | {} / {} | {at_most} | {ratio:.2} | {verdict} |\n",
                        goal.ours, goal.theirs
                    );
                }
            }
        }
    }
    println!("\n| what | of | at most | measured | |\n|---|---|---:|---:|---|\n{verdicts}");
    Ok(())
}

/// Nanoseconds for each candidate in each round.
fn in_turns(candidates: &mut [Candidate], rounds: usize) -> Vec<Vec<f64>> {
    let iterations: Vec<u64> = candidates
        .iter_mut()
        .map(|candidate| {
            candidate.run(1000);
            let once = candidate.run(1000).max(Duration::from_nanos(1000)) / 1000;
            (TURN.as_nanos() / once.as_nanos().max(1)) as u64 + 1
        })
        .collect();
    let mut times = vec![Vec::with_capacity(rounds); candidates.len()];
    for _ in 0..rounds {
        for ((candidate, iterations), times) in candidates.iter_mut().zip(&iterations).zip(&mut times) {
            times.push(candidate.run(*iterations).as_nanos() as f64 / *iterations as f64);
        }
    }
    times
}

fn median(mut times: Vec<f64>) -> f64 {
    times.sort_by(f64::total_cmp);
    times.get(times.len() / 2).copied().unwrap_or(f64::NAN)
}

fn at(size: Size, sizes: &[usize], bound: f64) -> Option<f64> {
    matches!(size, Size::Ascii(bytes) if sizes.contains(&bytes)).then_some(bound)
}

const TURN: Duration = Duration::from_millis(3);
