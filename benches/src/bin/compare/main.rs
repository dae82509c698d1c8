//! `compare`: starts each rival and this project on loopback, puts them under the same loads, and tells how they compare.
//!
//! Every round runs every candidate once, so that a ratio is made of two runs that follow each other. Read ratios, not
//! absolute figures.

use std::{io::Write as _, path::PathBuf, time::Instant};

use anyhow::Context as _;
use clap::Parser;
use indicatif::{ProgressBar, ProgressStyle};

use crate::{candidate::System, scenario::is_named};

mod against;
mod back_ends;
mod candidate;
mod checkout;
mod codec;
mod goals;
mod jetstream;
mod machine;
mod mqtt;
mod nats;
mod ours;
mod pairs;
mod plot;
mod presence;
mod process;
mod raw;
mod redis_pubsub;
mod relay;
mod report;
mod rival;
mod run;
mod scenario;
mod side;
mod slow;
mod stored;
mod storm;
mod summary;
mod tls;
mod vendor;
mod wakeups;
mod websocket;

/// Under load a server mostly allocates and frees small messages, on whichever thread has them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Compare this project with what a user might pick instead.
#[derive(Debug, Parser)]
struct Args {
    /// How often everything is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Only scenarios whose name contains this; may be given more than once.
    #[arg(long, value_name = "SCENARIO")]
    only: Vec<String>,
    /// Only candidates whose name contains this; may be given more than once.
    #[arg(long, value_name = "CANDIDATE")]
    candidate: Vec<String>,
    /// List the scenarios and end.
    #[arg(long)]
    list: bool,
    /// Try whether all of it runs, with a hundredth of the messages and users: its figures say nothing.
    #[arg(long = "try", conflicts_with_all = ["against", "json", "plots", "page"])]
    only_try: bool,
    /// Write all figures to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write plots into this folder.
    #[arg(long, value_name = "DIR")]
    plots: Option<PathBuf>,
    /// Write all tables to this file, as a page in Markdown that shows the plots too.
    #[arg(long, value_name = "FILE")]
    page: Option<PathBuf>,
    /// Measure this project here and in this checkout of it, in turns, and pair the figures; with --candidate others too.
    #[arg(long, value_name = "PATH", conflicts_with_all = ["list", "plots", "page"])]
    against: Option<PathBuf>,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Be the server of a run.
    #[command(hide = true)]
    Serve {
        kind: relay::Kind,
        #[command(flatten)]
        settings: relay::Settings,
    },
}

fn main() -> anyhow::Result<()> {
    let args = Args::parse();
    if let Some(Role::Serve { kind, settings }) = args.role {
        return relay::serve(kind, &settings);
    }
    if args.only_try {
        run::only_try();
    }
    let mut out = std::io::stdout();
    let mut scenarios = scenario::scenarios();
    if args.list {
        for scenario in scenarios {
            writeln!(out, "{}", scenario.name)?;
        }
        return Ok(());
    }
    if cfg!(debug_assertions) {
        writeln!(out, "this is no release build: its figures say little")?;
    }
    writeln!(out, "{}", machine::Machine::here())?;
    let rounds = usize::from(args.rounds);
    if let Some(folder) = &args.against {
        let (only, candidates, json) = (&args.only[..], &args.candidate[..], args.json.as_deref());
        return against::compare(folder, &against::Plan { rounds, only, candidates, json });
    }
    scenarios.retain(|scenario| is_named(&args.only, &scenario.name));
    anyhow::ensure!(!scenarios.is_empty(), "no scenario has that in its name: see --list");

    let (mut candidates, missing) = candidate::candidates();
    candidates.retain(|candidate| candidate.system == System::Ours || is_named(&args.candidate, &candidate.name));
    let sdk = vendor::Sdk::installed().is_none().then_some("the vendor's SDK");
    let strace = process::installed("strace").is_none().then_some("strace");
    for missing in missing.into_iter().chain(sdk).chain(strace) {
        writeln!(out, "{missing} is not installed and left out: see benches/setup.sh")?;
    }

    let began = Instant::now();
    let mut report = report::Report::here(checkout::Checkout::this()?.commit);
    for scenario in &scenarios {
        let runs = scenario.runs(&candidates);
        let bar = ProgressBar::new(u64::from(args.rounds) * runs.len() as u64);
        bar.set_style(ProgressStyle::with_template("{msg:60} {wide_bar} {pos}/{len}")?);
        for round in 0..rounds {
            for run in &runs {
                bar.set_message(format!("{}: {}", scenario.name, run.name));
                run.measure(&mut report, &scenario.name, round);
                bar.inc(1);
            }
        }
        bar.finish_and_clear();
        writeln!(out, "\n{}", report.table(&scenario.name))?;
        // What is there is kept, should a later scenario be interrupted.
        if let Some(file) = &args.json {
            report.write(file)?;
        }
    }
    let asked: Vec<&str> = scenarios.iter().map(|scenario| scenario.name.as_str()).collect();
    let goals = goals::table(&report, &asked);
    writeln!(out, "\n{goals}")?;
    if let Some(folder) = &args.plots {
        plot::write(&report, folder)?;
    }
    if let Some(file) = &args.page {
        let minutes = began.elapsed().as_secs().div_ceil(60);
        let how = format!("`compare --rounds {rounds}`, which took {minutes} minutes,");
        let plots = args.plots.as_deref();
        let plots = plots.map(|plots| file.parent().and_then(|here| plots.strip_prefix(here).ok()).unwrap_or(plots));
        std::fs::write(file, report.page(&how, &goals, plots))
            .with_context(|| format!("cannot write {}", file.display()))?;
    }
    for failure in report.failures() {
        writeln!(out, "failed: {failure}")?;
    }
    anyhow::ensure!(report.failures().is_empty(), "some runs failed");
    Ok(())
}
