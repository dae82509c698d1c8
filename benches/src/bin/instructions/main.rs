//! `instructions`: counts what the codec, the connection and the server's core execute, under valgrind's callgrind, and
//! holds it against two files of figures. Unlike time, that is the same on a busy machine.
//!
//! The **committed figures** are those of the last commit that changed a case; no change adds much at once. The
//! **baseline** is one commit's, and stays: what many changes add together shows there.

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    io::{ErrorKind, Write as _},
    path::{Path, PathBuf},
    process::{Command, ExitCode, Stdio},
};

use anyhow::Context as _;
use benches::machines::Case;
use clap::Parser;

/// Count instructions; fail where a case takes over 5 % more than committed, or over 2 % more than the baseline.
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
    /// The figures of the baseline.
    #[arg(
        long,
        value_name = "FILE",
        default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/baselines/a4f9e6f/instructions.json")
    )]
    baseline: PathBuf,
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
    let mut committed = read(&args.figures, args.write)?;
    let baseline = read(&args.baseline, false)?;
    let folder = std::env::temp_dir().join(format!("instructions-{}", std::process::id()));
    std::fs::create_dir(&folder)?;
    let counted: anyhow::Result<Figures> =
        cases.iter().map(|case| Ok((case.name.to_owned(), count(case, &folder)? / TIMES as u64))).collect();
    std::fs::remove_dir_all(&folder)?;
    let counted = counted?;
    let is_all = args.only.is_empty();
    if args.write {
        if is_all {
            committed.clear();
        }
        committed.extend(counted.clone());
        std::fs::write(&args.figures, serde_json::to_string_pretty(&committed)? + "\n")?;
    }
    let (text, is_good) = report(&counted, &committed, &baseline, is_all);
    write!(std::io::stdout(), "{text}")?;
    Ok(if is_good { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn read(file: &Path, may_be_new: bool) -> anyhow::Result<Figures> {
    let shown = file.display();
    match std::fs::read(file) {
        Ok(json) => serde_json::from_slice(&json).with_context(|| format!("{shown} has no figures of instructions")),
        Err(error) if may_be_new && error.kind() == ErrorKind::NotFound => Ok(Figures::new()),
        Err(error) => Err(error).with_context(|| format!("cannot read {shown}")),
    }
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

/// Tells of each case how it stands to the committed figures and to the baseline, and whether both hold.
fn report(counted: &Figures, committed: &Figures, baseline: &Figures, is_all: bool) -> (String, bool) {
    let mut text = format!("{:>9}  {:>11}  {:>11}\n", "now", "committed", "baseline");
    let (mut failures, mut fallen) = (Vec::new(), Vec::new());
    for (case, &now) in counted {
        let change = |before: Option<&u64>| match before {
            Some(&before) => format!("{:+.1} %", (now as f64 / before as f64 - 1.0) * 100.0),
            None => "new".to_owned(),
        };
        let (figure, base) = (committed.get(case), baseline.get(case));
        let _ = writeln!(text, "{now:>9}  {:>11}  {:>11}  {case}", change(figure), change(base));
        match figure {
            None => failures.push(format!("{case} has no committed figure, which --write adds")),
            Some(&before) if now * 100 > before * (100 + COMMITTED_PERCENT) => {
                failures.push(format!("{case}: {now} instructions, {} to the committed figure", change(figure)));
            }
            Some(&before) if now * 100 < before * (100 - COMMITTED_PERCENT) => fallen.push(case.as_str()),
            Some(_) => {}
        }
        if base.is_some_and(|&before| now * 100 > before * (100 + BASELINE_PERCENT) && now > before + BASELINE_FEW) {
            failures.push(format!("{case}: {now} instructions, {} to the baseline", change(base)));
        }
    }
    if is_all {
        for (figures, name) in [(committed, "committed figures"), (baseline, "baseline")] {
            let gone = figures.keys().filter(|case| !counted.contains_key(*case));
            failures.extend(gone.map(|case| format!("{case} of the {name} is no longer counted")));
        }
    }
    if !fallen.is_empty() {
        let _ = writeln!(text, "less than committed, which --write keeps: {}", fallen.join(", "));
    }
    for failure in &failures {
        let _ = writeln!(text, "FAILED: {failure}");
    }
    (text, failures.is_empty())
}

/// How often a case is done.
const TIMES: usize = 1000;
/// What a case may take more than the last commit that changed it, and more than the baseline.
const COMMITTED_PERCENT: u64 = 5;
const BASELINE_PERCENT: u64 = 2;
/// What the compiler moves the shortest cases by from one build to the next.
const BASELINE_FEW: u64 = 4;

#[cfg(test)]
mod tests {
    use super::{Figures, report};

    fn figures(figures: &[(&str, u64)]) -> Figures {
        figures.iter().map(|&(case, count)| (case.to_owned(), count)).collect()
    }

    #[test]
    fn a_case_may_take_5_percent_more_than_committed_and_2_percent_more_than_the_baseline() {
        let figures = |count| figures(&[("encode", count)]);
        let (text, is_good) = report(&figures(1020), &figures(972), &figures(1000), true);
        assert!(is_good, "{text}");
        assert!(text.contains("     1020       +4.9 %       +2.0 %  encode\n"), "{text}");
        let (text, is_good) = report(&figures(1021), &figures(1021), &figures(1000), true);
        assert!(!is_good && text.contains("FAILED: encode: 1021 instructions, +2.1 % to the baseline\n"), "{text}");
        let (text, is_good) = report(&figures(104), &figures(104), &figures(100), true);
        assert!(is_good, "few instructions more are those of another build: {text}");
        let (text, is_good) = report(&figures(105), &figures(105), &figures(100), true);
        assert!(!is_good, "{text}");
        let (text, is_good) = report(&figures(1060), &figures(1000), &figures(1060), true);
        assert!(!is_good && text.contains("FAILED: encode: 1060 instructions, +6.0 % to the committed"), "{text}");
    }

    #[test]
    fn a_new_case_needs_a_committed_figure_and_none_in_the_baseline() {
        let counted = figures(&[("encode", 10), ("new", 10)]);
        let baseline = figures(&[("encode", 10)]);
        let (text, is_good) = report(&counted, &counted, &baseline, true);
        assert!(is_good && text.contains("new  new\n"), "{text}");
        let (text, is_good) = report(&counted, &baseline, &baseline, true);
        assert!(!is_good && text.contains("FAILED: new has no committed figure"), "{text}");
    }

    #[test]
    fn a_case_that_is_gone_is_a_failure_unless_only_some_are_counted() {
        let (all, counted) = (figures(&[("encode", 10), ("old", 10)]), figures(&[("encode", 10)]));
        let (text, is_good) = report(&counted, &counted, &all, true);
        assert!(!is_good && text.contains("FAILED: old of the baseline is no longer counted"), "{text}");
        let (text, is_good) = report(&counted, &all, &counted, true);
        assert!(!is_good && text.contains("FAILED: old of the committed figures is no longer counted"), "{text}");
        assert!(report(&counted, &all, &all, false).1);
    }

    #[test]
    fn a_case_that_takes_much_less_is_told_and_good() {
        let (text, is_good) = report(&figures(&[("a", 90)]), &figures(&[("a", 100)]), &figures(&[("a", 100)]), true);
        assert!(is_good && text.contains("less than committed, which --write keeps: a\n"), "{text}");
    }
}
