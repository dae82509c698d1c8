//! `instructions`: counts what the codec, the connection and the server's core execute, under valgrind's callgrind, and
//! holds it against the figures in `instructions.json`. Unlike time, that is the same on a busy machine.

use std::{
    collections::BTreeMap,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context as _;
use benches::machines::Case;
use clap::Parser;

/// Count instructions, and fail where more than 5 % are added.
#[derive(Debug, Parser)]
struct Args {
    /// Only cases whose name contains this; may be given more than once.
    #[arg(long, value_name = "CASE")]
    only: Vec<String>,
    /// Write what is counted in place of the committed figures.
    #[arg(long)]
    write: bool,
    /// The committed figures.
    #[arg(long, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/instructions.json"))]
    figures: PathBuf,
    #[command(subcommand)]
    role: Option<Role>,
}

#[derive(Debug, clap::Subcommand)]
enum Role {
    /// Do a case, as valgrind is to watch it.
    #[command(hide = true)]
    Run { case: String },
}

/// Instructions each time, by case.
type Figures = BTreeMap<String, u64>;

fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut cases: Vec<Case> = Case::all().into_iter().flat_map(|(_, cases)| cases).collect();
    if let Some(Role::Run { case }) = args.role {
        let case = cases.iter().find(|known| known.name == case).context("there is no such case")?;
        drop(counted(case.prepare(TIMES)));
        return Ok(ExitCode::SUCCESS);
    }
    cases.retain(|case| args.only.is_empty() || args.only.iter().any(|only| case.name.contains(only.as_str())));
    anyhow::ensure!(!cases.is_empty(), "no case has that in its name");
    let known: Figures = match std::fs::read(&args.figures) {
        Ok(json) => serde_json::from_slice(&json).context("the committed figures are no such file")?,
        Err(error) if args.write && error.kind() == ErrorKind::NotFound => Figures::new(),
        Err(error) => return Err(error).with_context(|| format!("cannot read {}", args.figures.display())),
    };
    let folder = std::env::temp_dir().join(format!("instructions-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let counted: anyhow::Result<Figures> =
        cases.iter().map(|case| Ok((case.name.to_owned(), count(case, &folder)? / TIMES as u64))).collect();
    std::fs::remove_dir_all(&folder)?;
    let counted = counted?;
    if args.write {
        let figures: Figures = if args.only.is_empty() { counted } else { known.into_iter().chain(counted).collect() };
        std::fs::write(&args.figures, serde_json::to_string_pretty(&figures)? + "\n")?;
        report(&figures, &figures, true)?;
        return Ok(ExitCode::SUCCESS);
    }
    let good = report(&counted, &known, args.only.is_empty())?;
    Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What callgrind counts, by this function's name.
#[inline(never)]
fn counted<R>(work: impl FnOnce() -> R) -> R {
    work()
}

/// The instructions of a case, all of its times.
fn count(case: &Case, folder: &Path) -> anyhow::Result<u64> {
    let out = folder.join("callgrind.out");
    let status = Command::new("valgrind")
        .args(["--tool=callgrind", "--toggle-collect=*instructions*counted*", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.display()))
        .arg(std::env::current_exe()?)
        .args(["run", case.name])
        .stdout(Stdio::null())
        .status()
        .context("cannot start valgrind, which Debian's package of that name has")?;
    anyhow::ensure!(status.success(), "{:?} ended with {status} under valgrind", case.name);
    let text = std::fs::read_to_string(&out)?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ")).context("callgrind counted nothing")?;
    let total: u64 = line.trim().parse().with_context(|| format!("callgrind counted {line:?}"))?;
    anyhow::ensure!(total > 0, "callgrind did not see {:?}", case.name);
    Ok(total)
}

/// Tells of each case, and says whether the committed figures hold.
fn report(counted: &Figures, known: &Figures, is_all: bool) -> anyhow::Result<bool> {
    let mut out = std::io::stdout();
    let (mut grown, mut fallen) = (Vec::new(), Vec::new());
    for (case, &now) in counted {
        let Some(&before) = known.get(case) else {
            writeln!(out, "{now:>9}       new   {case}")?;
            grown.push(format!("{case} has no committed figure"));
            continue;
        };
        let change = (now as f64 / before as f64 - 1.0) * 100.0;
        writeln!(out, "{now:>9}  {change:>+7.1} %  {case}")?;
        if change > PERCENT {
            grown.push(format!("{case}: {now} instructions instead of {before}, {change:+.1} %"));
        } else if change < -PERCENT {
            fallen.push(case.as_str());
        }
    }
    if is_all {
        let gone = known.keys().filter(|case| !counted.contains_key(*case));
        grown.extend(gone.map(|case| format!("{case} is no longer counted")));
    }
    if !fallen.is_empty() {
        writeln!(out, "less than before, which --write keeps: {}", fallen.join(", "))?;
    }
    for grown in &grown {
        writeln!(out, "FAILED: {grown}")?;
    }
    Ok(grown.is_empty())
}

/// A case is done so many times.
const TIMES: usize = 1000;
/// By how much a figure may change.
const PERCENT: f64 = 5.0;
