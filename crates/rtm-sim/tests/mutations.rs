//! Breaks RTM on purpose, one mutation after the other, and demands that the simulation finds each of them.
//!
//! `crates/rtm-sim/mutations` has a file for each: what it breaks, which invariants may see it, and the lines that it
//! puts in the place of others. That all of them still fit the code is tested with everything else. That the simulation
//! finds them takes a build for each, so it has to be asked for:
//!
//! ```text
//! cargo test -p rtm-sim --test mutations -- --ignored --nocapture
//! ```

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
};

use anyhow::{Context as _, bail, ensure};

/// A change that breaks a promise.
#[derive(Debug)]
struct Mutation {
    name: String,
    /// What is broken.
    breaks: String,
    /// The invariants that show it, in most worlds.
    seen_by: Vec<String>,
    /// What the simulation is to be run with.
    run_with: Vec<String>,
    edits: Vec<Edit>,
}

/// Lines that take the place of others in a file. How far they are indented does not matter.
#[derive(Debug, Default)]
struct Edit {
    file: PathBuf,
    old: Vec<String>,
    new: Vec<String>,
}

/// What the simulation said of a mutation.
#[derive(Debug)]
struct Found {
    invariant: String,
    seed: u64,
    seeds: String,
}

#[test]
fn every_mutation_fits_the_code() -> anyhow::Result<()> {
    if !root().join("crates").exists() {
        // The package of this crate alone has nothing that could be broken.
        return Ok(());
    }
    let mutations = mutations()?;
    ensure!(mutations.len() >= 10, "there are only {} mutations", mutations.len());
    for mutation in &mutations {
        for edit in &mutation.edits {
            let text = fs::read_to_string(root().join(&edit.file))
                .with_context(|| format!("{}: {}", mutation.name, edit.file.display()))?;
            edit.apply(&text).with_context(|| mutation.name.clone())?;
        }
    }
    Ok(())
}

#[test]
#[ignore = "builds the simulation once for each mutation, which takes minutes"]
fn every_mutation_is_found() -> anyhow::Result<()> {
    let only = std::env::var("MUTATION").ok();
    let mut mutations = mutations()?;
    mutations.retain(|mutation| only.as_ref().is_none_or(|only| mutation.name.contains(only.as_str())));
    let trees = thread::available_parallelism()?.get().min(MOST_TREES);
    let trees = (0..trees).map(Tree::copy).collect::<anyhow::Result<Vec<_>>>()?;
    let tree = trees.first().context("there is a processor")?;
    tree.build().context("the code as it is")?;
    for arguments in [vec![], vec!["--membership".to_owned()]] {
        let said = tree.run(HOLDS, &arguments)?;
        ensure!(said.is_ok(), "the code as it is breaks a promise with {arguments:?}: {said:?}");
        println!("{:<28} nothing is found in {HOLDS} seeds with {arguments:?}", "(the code as it is)");
    }
    let next = Mutex::new(mutations.iter());
    let missed = thread::scope(|scope| {
        let try_out = |tree: &Tree| -> anyhow::Result<Vec<&String>> {
            let mut missed = Vec::new();
            loop {
                let mutation = next.lock().ok().and_then(|mut next| next.next());
                let Some(mutation) = mutation else { return Ok(missed) };
                let found = tree.try_out(mutation).with_context(|| mutation.name.clone())?;
                missed.extend(found.is_none().then_some(&mutation.name));
                println!("{:<28} {}", mutation.name, mutation.remark(found));
            }
        };
        let workers: Vec<_> = trees.iter().map(|tree| scope.spawn(move || try_out(tree))).collect();
        let mut missed = Vec::new();
        for worker in workers {
            missed.extend(worker.join().map_err(|_| anyhow::anyhow!("a thread has panicked"))??);
        }
        anyhow::Ok(missed)
    })?;
    ensure!(
        missed.is_empty(),
        "the simulation does not see {missed:?}: what it does, what goes wrong in it, or what it checks must become \
         better, unless the code has come to do without what is broken here"
    );
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// All mutations, in the order of their names.
fn mutations() -> anyhow::Result<Vec<Mutation>> {
    let mut files: Vec<PathBuf> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations"))?
        .map(|entry| Ok(entry?.path()))
        .collect::<std::io::Result<_>>()?;
    files.sort();
    files.iter().map(|file| Mutation::read(file).with_context(|| file.display().to_string())).collect()
}

impl Mutation {
    /// Reads a file of this form, in which edits may follow each other:
    ///
    /// ```text
    /// # What it breaks.
    /// # Seen by: OneInvariant, AnotherInvariant
    /// # Run with: --nodes 2..5
    /// @ the/file.rs
    ///  a line that stays
    /// -a line that goes
    /// +a line that comes in its place
    /// ```
    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)?;
        let mut mutation = Self {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            breaks: String::new(),
            seen_by: Vec::new(),
            run_with: Vec::new(),
            edits: Vec::new(),
        };
        for line in text.lines() {
            if let Some(invariants) = line.strip_prefix("# Seen by: ") {
                mutation.seen_by.extend(invariants.split(", ").map(str::to_owned));
            } else if let Some(arguments) = line.strip_prefix("# Run with: ") {
                mutation.run_with.extend(arguments.split(' ').map(str::to_owned));
            } else if let Some(words) = line.strip_prefix("# ") {
                mutation.breaks = format!("{} {words}", mutation.breaks).trim_start().to_owned();
            } else if let Some(file) = line.strip_prefix("@ ") {
                mutation.edits.push(Edit { file: file.into(), ..Edit::default() });
            } else {
                let edit = mutation.edits.last_mut().context("a line of code comes before its file")?;
                match line.split_at_checked(1) {
                    Some(("-", line)) => edit.old.push(line.to_owned()),
                    Some(("+", line)) => edit.new.push(line.to_owned()),
                    Some((" ", line)) => {
                        edit.old.push(line.to_owned());
                        edit.new.push(line.to_owned());
                    }
                    None => {
                        edit.old.push(String::new());
                        edit.new.push(String::new());
                    }
                    _ => bail!("a line of code begins with a blank, - or +: {line:?}"),
                }
            }
        }
        ensure!(!mutation.seen_by.is_empty() && !mutation.edits.is_empty(), "it says who sees it, and has an edit");
        Ok(mutation)
    }

    fn remark(&self, found: Option<Found>) -> String {
        match found {
            // What is broken may show in another place first, in one world or another.
            Some(Found { invariant, seed, seeds }) if !self.seen_by.contains(&invariant) => {
                format!("{invariant} at seed {seed}, after {seeds} seeds, before {}", self.seen_by.join(" or "))
            }
            Some(Found { invariant, seed, seeds }) => format!("{invariant} at seed {seed}, after {seeds} seeds"),
            None => format!("not found in {SEEDS} seeds: {}", self.breaks),
        }
    }
}

impl Edit {
    fn apply(&self, text: &str) -> anyhow::Result<String> {
        let lines: Vec<&str> = text.lines().collect();
        let fits = |at: &usize| {
            self.old.iter().zip(&lines[*at..]).all(|(old, line)| old.trim() == line.trim())
                && lines.len() - at >= self.old.len()
        };
        let places: Vec<usize> = (0..lines.len()).filter(fits).collect();
        let [at] = places[..] else {
            bail!(
                "its lines are {} times in {}. The code has changed: bring crates/rtm-sim/mutations in line with it, so \
                 that the same promise is broken as before\n{}",
                places.len(),
                self.file.display(),
                self.old.join("\n")
            );
        };
        let new = self.new.iter().map(String::as_str);
        let lines = lines[..at].iter().copied().chain(new).chain(lines[at + self.old.len()..].iter().copied());
        Ok(lines.flat_map(|line| [line, "\n"]).collect())
    }
}

/// A copy of the workspace to break.
#[derive(Debug)]
struct Tree {
    source: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies what git knows of. A file that is there already and is the same stays, so that little is built anew.
    fn copy(number: usize) -> anyhow::Result<Self> {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("mutations-{number}"));
        let tree = Self { source: scratch.join("source"), target: scratch.join("target") };
        let git = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Command::new("git").current_dir(root()).args(git).output().context("git")?;
        ensure!(listed.status.success(), "git does not list the files: {}", String::from_utf8_lossy(&listed.stderr));
        for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            // One that is deleted, and still in git's index.
            let Ok(bytes) = fs::read(root().join(file)) else { continue };
            let copy = tree.source.join(file);
            if fs::read(&copy).is_ok_and(|old| old == bytes) {
                continue;
            }
            fs::create_dir_all(copy.parent().context("a file is in a folder")?)?;
            fs::write(copy, bytes)?;
        }
        Ok(tree)
    }

    fn build(&self) -> anyhow::Result<()> {
        let built = Command::new(env!("CARGO"))
            .current_dir(&self.source)
            .args(["build", "--quiet", "--profile", "mutation", "--package", "rtm-sim", "--bin", "rtm-sim"])
            .arg("--target-dir")
            .arg(&self.target)
            .env("CARGO_INCREMENTAL", "1")
            .output()?;
        ensure!(built.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        Ok(())
    }

    /// Runs so many seeds of the simulation. Gives what it found, which is an error here.
    fn run(&self, seeds: u64, arguments: &[String]) -> anyhow::Result<Result<(), Found>> {
        let ran = Command::new(self.target.join("mutation/rtm-sim"))
            .args(arguments)
            .args(["--seeds", &seeds.to_string()])
            .output()?;
        if ran.status.success() {
            return Ok(Ok(()));
        }
        let said = String::from_utf8_lossy(&ran.stdout);
        let broken = said.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(" breaks a promise: "));
        let (seed, fault) = broken.with_context(|| {
            format!("the simulation ended with {}: {said}{}", ran.status, String::from_utf8_lossy(&ran.stderr))
        })?;
        Ok(Err(Found {
            invariant: fault.split(' ').next().unwrap_or_default().to_owned(),
            seed: seed.parse()?,
            seeds: said.lines().last().and_then(|line| line.split(' ').next()).unwrap_or_default().to_owned(),
        }))
    }

    /// What the simulation finds of a mutation, if anything. Afterwards the tree is as it was.
    fn try_out(&self, mutation: &Mutation) -> anyhow::Result<Option<Found>> {
        let mut whole = Vec::new();
        let mut result = Ok(());
        for edit in &mutation.edits {
            let file = self.source.join(&edit.file);
            let text = fs::read_to_string(&file)?;
            result = edit.apply(&text).and_then(|broken| Ok(fs::write(&file, broken)?));
            whole.push((file, text));
            if result.is_err() {
                break;
            }
        }
        let found = result.and_then(|()| self.build()).and_then(|()| self.run(SEEDS, &mutation.run_with));
        for (file, text) in whole.into_iter().rev() {
            fs::write(file, text)?;
        }
        Ok(found?.err())
    }
}

/// A build keeps one processor busy most of the time: so many are broken at once at most.
const MOST_TREES: usize = 4;

/// So many seeds a mutation has to be found in. Most are found in the first ten.
const SEEDS: u64 = 2000;

/// In so many the code as it is has to hold here: that it does in ten thousand is seen by running the simulation itself.
const HOLDS: u64 = 200;
