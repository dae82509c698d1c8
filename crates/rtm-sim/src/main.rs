//! Runs worlds made up from seeds, and says which of them break a promise.

use std::{
    io::{IsTerminal as _, Write as _},
    ops::RangeInclusive,
    process::ExitCode,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use clap::Parser;
use rtm_sim::{Counts, NodesCounts, run_cluster, run_nodes, run_of_one, run_seed};

/// Simulates RTM under faults, deterministically, and checks what it promises.
#[derive(Debug, Parser)]
#[command(version)]
struct Options {
    /// How many seeds to run.
    #[arg(long, default_value_t = 1000, conflicts_with = "seed")]
    seeds: u64,
    /// The first of them.
    #[arg(long, default_value_t = 1, conflicts_with = "seed")]
    first_seed: u64,
    /// Run this one seed.
    #[arg(long)]
    seed: Option<u64>,
    /// Print what happens, line by line.
    #[arg(long, requires = "seed")]
    trace: bool,
    /// How many threads run seeds. By default one for each processor.
    #[arg(long)]
    threads: Option<usize>,
    /// Go on after a seed that breaks a promise, and print them all.
    #[arg(long)]
    keep_going: bool,
    /// Seeds that are known to break a promise: that they do is no failure, and that one does not is.
    #[arg(long, value_name = "SEEDS", value_delimiter = ',', conflicts_with = "seed")]
    known: Vec<u64>,
    /// Run worlds of so many servers that are one, as 3 or 2..5: as many as each seed likes of these.
    #[arg(long, value_name = "HOW MANY", value_parser = range)]
    nodes: Option<RangeInclusive<usize>>,
    /// Run worlds of the nodes of a cluster alone, without clients: their membership, and the post between them.
    #[arg(long, conflicts_with = "nodes")]
    membership: bool,
    /// Run each world on a server that is a cluster of one, and on one without a cluster: nobody may see a difference.
    #[arg(long, conflicts_with_all = ["nodes", "membership"])]
    of_one: bool,
}

/// What came of a seed.
struct Ran {
    figures: Figures,
    fault: Option<String>,
    trace: Vec<String>,
}

/// What happened in worlds of one kind.
#[derive(Clone, Copy)]
enum Figures {
    Clients(Counts),
    Nodes(NodesCounts),
}

impl Figures {
    fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Clients(one), Self::Clients(other)) => Self::Clients(one.and(other)),
            (Self::Nodes(one), Self::Nodes(other)) => Self::Nodes(one.and(other)),
            (_, other) => other,
        }
    }

    fn events(&self) -> String {
        match self {
            Self::Clients(counts) => figures(counts),
            Self::Nodes(counts) => {
                let NodesCounts { steps, views, put_out, isolated, parcels, payloads, .. } = counts;
                format!(
                    "{steps} steps, {views} views, {put_out} nodes put out, {isolated} times isolated, {parcels} parcels, \
                     {payloads} payloads"
                )
            }
        }
    }

    fn mishaps(&self) -> String {
        match self {
            Self::Clients(counts) => mishaps(counts),
            Self::Nodes(counts) => format!("{} mishaps", counts.mishaps),
        }
    }
}

fn run(options: &Options, seed: u64, trace: bool) -> Ran {
    if options.membership {
        let outcome = run_nodes(seed, None, trace);
        let fault = outcome.fault.map(|fault| fault.to_string());
        return Ran { figures: Figures::Nodes(outcome.counts), fault, trace: outcome.trace };
    }
    let outcome = match &options.nodes {
        Some(nodes) => run_cluster(seed, nodes.clone(), trace),
        None if options.of_one => run_of_one(seed, trace),
        None => run_seed(seed, trace),
    };
    Ran { figures: Figures::Clients(outcome.counts), fault: outcome.fault, trace: outcome.trace }
}

/// Reads `3`, `2..5` or `2..=5`: either has its last number in it.
fn range(text: &str) -> Result<RangeInclusive<usize>, String> {
    let number = |text: &str| text.parse::<usize>().map_err(|error| format!("{text:?}: {error}"));
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let (first, last) = (number(first)?, number(last.trim_start_matches('='))?);
    let is_good = 1 <= first && first <= last && last <= MOST_NODES;
    if is_good { Ok(first..=last) } else { Err(format!("from 1 to {MOST_NODES} servers")) }
}

fn main() -> ExitCode {
    let options = Options::parse();
    match options.seed {
        Some(seed) => run_one(&options, seed),
        None => run_many(&options),
    }
}

fn run_one(options: &Options, seed: u64) -> ExitCode {
    let outcome = run(options, seed, options.trace);
    let mut out = std::io::stdout().lock();
    for line in &outcome.trace {
        // Whoever reads this may have read enough.
        if writeln!(out, "{line}").is_err() {
            return ExitCode::FAILURE;
        }
    }
    let _ = writeln!(out, "seed {seed}: {}", outcome.figures.events());
    let _ = writeln!(out, "seed {seed}: {}", outcome.figures.mishaps());
    match outcome.fault {
        Some(fault) => {
            let _ = writeln!(out, "seed {seed} breaks a promise: {fault}");
            ExitCode::FAILURE
        }
        None => ExitCode::SUCCESS,
    }
}

fn run_many(options: &Options) -> ExitCode {
    let threads =
        options.threads.unwrap_or_else(|| thread::available_parallelism().map_or(1, std::num::NonZero::get)).max(1);
    let end = options.first_seed.saturating_add(options.seeds);
    let next = AtomicU64::new(options.first_seed);
    let done: Mutex<(u64, Option<Figures>, Vec<u64>)> = Mutex::default();
    #[expect(clippy::disallowed_methods, reason = "how long it took is for the person at the terminal")]
    let since = Instant::now();
    let shows_progress = std::io::stderr().is_terminal();
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= end {
                        return;
                    }
                    let outcome = run(options, seed, false);
                    let mut done = done.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                    done.0 += 1;
                    done.1 = Some(done.1.map_or(outcome.figures, |figures| figures.and(outcome.figures)));
                    if let Some(fault) = &outcome.fault {
                        let is_known = options.known.contains(&seed);
                        println!(
                            "seed {seed} breaks a promise{}: {fault}",
                            if is_known { ", as is known" } else { "" }
                        );
                        if !options.keep_going && !is_known {
                            next.store(end, Ordering::Relaxed);
                        }
                        done.2.push(seed);
                    }
                    let step = if shows_progress { 100 } else { (options.seeds / 10).max(1) };
                    if done.0.is_multiple_of(step) {
                        progress(done.0, options.seeds, since.elapsed(), shows_progress);
                    }
                }
            });
        }
    });
    let (seeds, figures, mut failed) = done.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    if shows_progress {
        eprint!("\r\x1b[K");
    }
    let mended = mended(options, &failed);
    for seed in &mended {
        println!("seed {seed} is known to break a promise, and does not any more: it is to be taken out of --known");
    }
    failed.retain(|seed| !options.known.contains(seed));
    failed.sort_unstable();
    if let Some(first) = failed.first() {
        let nodes = match &options.nodes {
            Some(nodes) => format!(" --nodes {}..{}", nodes.start(), nodes.end()),
            None if options.membership => " --membership".to_owned(),
            None if options.of_one => " --of-one".to_owned(),
            None => String::new(),
        };
        println!("to see what happened: rtm-sim{nodes} --seed {first} --trace");
    }
    let Some(figures) = figures else { return ExitCode::SUCCESS };
    println!("what went wrong in them: {}", figures.mishaps());
    println!("{seeds} seeds, {} failed: {} in {:.1} s", failed.len(), figures.events(), since.elapsed().as_secs_f64());
    if failed.is_empty() && mended.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// The known seeds that were run and broke nothing. Where the run ended early, nothing is said of them.
fn mended(options: &Options, failed: &[u64]) -> Vec<u64> {
    let run = options.first_seed..options.first_seed.saturating_add(options.seeds);
    let is_whole = options.keep_going || failed.iter().all(|seed| options.known.contains(seed));
    let mended = options.known.iter().filter(|seed| is_whole && run.contains(seed) && !failed.contains(seed));
    mended.copied().collect()
}

fn progress(done: u64, all: u64, took: Duration, in_place: bool) {
    let line = format!("{done} of {all} seeds in {:.0} s", took.as_secs_f64());
    if in_place {
        eprint!("\r\x1b[K{line}");
        let _ = std::io::stderr().flush();
    } else {
        eprintln!("{line}");
    }
}

fn figures(counts: &Counts) -> String {
    let Counts { steps, events, requests, links, resumed, gaps, views, parcels, .. } = counts;
    let between = if *views > 0 { format!(", {views} views, {parcels} parcels") } else { String::new() };
    format!(
        "{steps} steps, {events} events, {requests} requests, {links} connections, {resumed} resumed, {gaps} gaps{between}"
    )
}

/// What went wrong, in figures.
fn mishaps(counts: &Counts) -> String {
    format!(
        "{} cuts (a packet torn in {}), {} stalls, {} outages, {} overtakings, {} crashes with a durable store and {} \
         without, {} shutdowns, {} pauses of the server, {} changes of the certificate, {} failures of the store, {} clock jumps, {} freezes, {} slow reads, {} moved sessions ({} \
         not packable, {} times all){}",
        counts.cuts,
        counts.torn,
        counts.stalls,
        counts.outages,
        counts.overtakings,
        counts.crashes,
        counts.crashes_without_store,
        counts.drains,
        counts.pauses,
        counts.certificates,
        counts.store_failures,
        counts.clock_jumps,
        counts.freezes,
        counts.slow_reads,
        counts.moved,
        counts.not_moved,
        counts.moved_all,
        if counts.node_mishaps > 0 { format!(", {} between servers", counts.node_mishaps) } else { String::new() },
    )
}

/// As many servers as a world may have.
const MOST_NODES: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_known_seed_that_breaks_nothing_is_noticed_once_it_was_run() {
        let options = |arguments: &str| Options::parse_from(["rtm-sim"].into_iter().chain(arguments.split(' ')));
        let some = options("--seeds 10 --known 3,7,12");
        assert_eq!(mended(&some, &[3, 7]), [0; 0]);
        assert_eq!(mended(&some, &[3]), [7]);
        assert_eq!(mended(&some, &[5]), [0; 0], "the run ended early");
        assert_eq!(mended(&options("--seeds 10 --keep-going --known 3"), &[5]), [3]);
    }
}
