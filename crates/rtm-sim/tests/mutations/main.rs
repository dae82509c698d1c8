//! Breaks RTM on purpose, one mutation after the other, and demands that the simulation finds each of them.
//!
//! `crates/rtm-sim/mutations` has a file for each: what it breaks, which invariants may see it, and the lines that it
//! puts in the place of others. Some schedules are too rare in a world: there it names a test of the core that has it. That all of
//! them still fit the code is tested with everything else. That they are found takes a build with all of them in it, so it has to be
//! asked for:
//!
//! ```text
//! cargo test -p rtm-sim --test mutations -- --ignored --nocapture
//! ```

mod mutation;
mod switch;

use std::{
    collections::BTreeSet,
    fs,
    ops::RangeInclusive,
    path::{Path, PathBuf},
    process::Command,
    sync::Mutex,
    thread,
    time::Instant,
};

use anyhow::{Context as _, ensure};

use self::mutation::Mutation;

/// What showed a mutation.
#[derive(Debug)]
enum Found {
    /// The simulation, at this seed.
    Broken { invariant: String, seed: u64 },
    /// A test of the core.
    Failed(String),
}

#[test]
fn every_mutation_fits_the_code() -> anyhow::Result<()> {
    if !root().join("crates").exists() {
        // The package of this crate alone has nothing that could be broken.
        return Ok(());
    }
    let mutations = Mutation::all()?;
    ensure!(mutations.len() >= 10, "there are only {} mutations", mutations.len());
    switch::with_all(&mutations, |file| Ok(fs::read_to_string(root().join(file))?))?;
    for test in mutations.iter().filter_map(|mutation| mutation.fails.as_deref()) {
        let (file, name) = test.split_once("::").with_context(|| format!("{test} names no file"))?;
        let tests = fs::read_to_string(root().join(format!("crates/rtm-core/tests/cluster/{file}.rs")))?;
        ensure!(tests.contains(&format!("fn {name}()")), "there is no test {test}");
    }
    Ok(())
}

#[test]
#[ignore = "builds the simulation and runs it for each mutation, which takes minutes"]
fn every_mutation_is_found() -> anyhow::Result<()> {
    let only = std::env::var("MUTATION").ok();
    let mut mutations = Mutation::all()?;
    mutations.retain(|mutation| only.as_ref().is_none_or(|only| mutation.name.contains(only.as_str())));
    let since = clock();
    let tree = Tree::copy(&mutations)?;
    let tests = match mutations.iter().any(|mutation| mutation.fails.is_some()) {
        true => Some(tree.build_tests()?),
        false => None,
    };
    tree.build()?;
    println!("{:<28} is built in {} s", "(all of them)", since.elapsed().as_secs());
    for arguments in [&[][..], &["--membership"], &["--nodes", "2..5"]] {
        let arguments: Vec<String> = arguments.iter().map(|argument| (*argument).to_owned()).collect();
        if !mutations.iter().any(|mutation| mutation.run_with == arguments) {
            continue;
        }
        let said = tree.run(0, 1..=HOLDS, &arguments, None)?;
        ensure!(said.is_none(), "the code as it is breaks a promise with {arguments:?}: {said:?}");
        println!("{:<28} nothing is found in {HOLDS} seeds with {arguments:?}", "(the code as it is)");
    }
    for (test, tests) in mutations.iter().filter_map(|mutation| mutation.fails.as_ref()).zip(tests.iter().cycle()) {
        ensure!(Tree::passes(tests, 0, test)?, "{test} fails with the code as it is");
    }
    let next = Mutex::new(mutations.iter().zip(1..));
    let missed = thread::scope(|scope| {
        let try_out = || -> anyhow::Result<Vec<&String>> {
            let mut missed = Vec::new();
            loop {
                let mutation = next.lock().ok().and_then(|mut next| next.next());
                let Some((mutation, number)) = mutation else { return Ok(missed) };
                let since = clock();
                let found = tree.try_out(mutation, number, tests.as_deref()).with_context(|| mutation.name.clone())?;
                missed.extend(found.is_none().then_some(&mutation.name));
                println!("{:<28} {}, {:.1} s", mutation.name, remark(mutation, found), since.elapsed().as_secs_f64());
            }
        };
        let workers = thread::available_parallelism()?.get();
        let workers: Vec<_> = (0..workers).map(|_| scope.spawn(try_out)).collect();
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

/// Removes what another version of the workspace has left.
fn remove_others(folder: &Path, kept: &BTreeSet<PathBuf>) -> anyhow::Result<()> {
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            remove_others(&path, kept)?;
        } else if !kept.contains(&path) {
            fs::remove_file(&path)?;
        }
    }
    Ok(())
}

#[expect(clippy::disallowed_methods, reason = "how long it took is for the person at the terminal")]
fn clock() -> Instant {
    Instant::now()
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn remark(mutation: &Mutation, found: Option<Found>) -> String {
    match found {
        // What is broken may show in another place first, in one world or another.
        Some(Found::Broken { invariant, seed }) if !mutation.seen_by.contains(&invariant) => {
            format!("{invariant} at seed {seed}, before {}", mutation.seen_by.join(" or "))
        }
        Some(Found::Broken { invariant, seed }) => format!("{invariant} at seed {seed}"),
        Some(Found::Failed(test)) => format!("{test} fails"),
        None if mutation.fails.is_some() => format!("no test fails: {}", mutation.breaks),
        None => format!("not found in {SEEDS} seeds: {}", mutation.breaks),
    }
}

/// A copy of the workspace with all mutations in it.
#[derive(Debug)]
struct Tree {
    source: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Copies what git knows of. A file that is there already and is the same stays, so that little is built anew.
    fn copy(mutations: &[Mutation]) -> anyhow::Result<Self> {
        let scratch = Path::new(env!("CARGO_TARGET_TMPDIR")).join("mutations");
        let tree = Self { source: scratch.join("source"), target: scratch.join("target") };
        let mut texts = switch::with_all(mutations, |file| Ok(fs::read_to_string(root().join(file))?))?;
        let git = ["ls-files", "-z", "--cached", "--others", "--exclude-standard"];
        let listed = Command::new("git").current_dir(root()).args(git).output().context("git")?;
        ensure!(listed.status.success(), "git does not list the files: {}", String::from_utf8_lossy(&listed.stderr));
        let mut copied = BTreeSet::new();
        for file in String::from_utf8(listed.stdout)?.split_terminator('\0') {
            // One that is deleted, and still in git's index.
            let Ok(bytes) = fs::read(root().join(file)) else { continue };
            let bytes = texts.remove(file).map_or(bytes, String::into_bytes);
            let copy = tree.source.join(file);
            copied.insert(copy.clone());
            if fs::read(&copy).is_ok_and(|old| old == bytes) {
                continue;
            }
            fs::create_dir_all(copy.parent().context("a file is in a folder")?)?;
            fs::write(copy, bytes)?;
        }
        remove_others(&tree.source, &copied)?;
        Ok(tree)
    }

    fn build(&self) -> anyhow::Result<()> {
        let built = Command::new(env!("CARGO"))
            .current_dir(&self.source)
            .args(["build", "--quiet", "--profile", "mutation", "--package", "rtm-sim", "--bin", "rtm-sim"])
            .arg("--target-dir")
            .arg(&self.target)
            .output()?;
        ensure!(built.status.success(), "it does not build:\n{}", String::from_utf8_lossy(&built.stderr));
        Ok(())
    }

    /// Builds the tests of the core's cluster. Gives the program.
    fn build_tests(&self) -> anyhow::Result<PathBuf> {
        let built = Command::new(env!("CARGO"))
            .current_dir(&self.source)
            .args(["build", "--profile", "mutation", "--package", "rtm-core", "--test", "cluster"])
            .args(["--message-format", "json", "--target-dir"])
            .arg(&self.target)
            .output()?;
        ensure!(built.status.success(), "the tests do not build:\n{}", String::from_utf8_lossy(&built.stderr));
        let said = String::from_utf8(built.stdout)?;
        let program =
            said.lines().filter_map(|line| line.split_once("\"executable\":\"")?.1.split('"').next()).next_back();
        Ok(program.context("the tests have a program")?.into())
    }

    /// Whether a test passes with the mutation of this number.
    fn passes(tests: &Path, number: usize, test: &str) -> anyhow::Result<bool> {
        let ran = Command::new(tests).env(switch::NUMBER, number.to_string()).args(["--exact", test]).output()?;
        let said = String::from_utf8_lossy(&ran.stdout);
        ensure!(said.contains("running 1 test"), "there is no test {test}");
        Ok(ran.status.success())
    }

    /// Runs these seeds of the simulation with the mutation of this number. Gives what it found.
    fn run(
        &self,
        number: usize,
        seeds: RangeInclusive<u64>,
        arguments: &[String],
        threads: Option<usize>,
    ) -> anyhow::Result<Option<Found>> {
        let (first, count) = (*seeds.start(), seeds.count());
        let mut command = Command::new(self.target.join("mutation/rtm-sim"));
        command.env(switch::NUMBER, number.to_string()).args(arguments);
        command.args(["--first-seed", &first.to_string(), "--seeds", &count.to_string()]);
        if let Some(threads) = threads {
            command.args(["--threads", &threads.to_string()]);
        }
        let ran = command.output()?;
        if ran.status.success() {
            return Ok(None);
        }
        let said = String::from_utf8_lossy(&ran.stdout);
        let broken = said.lines().find_map(|line| line.strip_prefix("seed ")?.split_once(" breaks a promise: "));
        let (seed, fault) = broken.with_context(|| {
            format!("the simulation ended with {}: {said}{}", ran.status, String::from_utf8_lossy(&ran.stderr))
        })?;
        let invariant = fault.split(' ').next().unwrap_or_default().to_owned();
        Ok(Some(Found::Broken { invariant, seed: seed.parse()? }))
    }

    /// What shows a mutation, if anything.
    fn try_out(&self, mutation: &Mutation, number: usize, tests: Option<&Path>) -> anyhow::Result<Option<Found>> {
        if let (Some(test), Some(tests)) = (&mutation.fails, tests) {
            return Ok(if Self::passes(tests, number, test)? { None } else { Some(Found::Failed(test.clone())) });
        }
        if let Some(seed) = mutation.shows_at
            && let Some(found) = self.run(number, seed..=seed, &mutation.run_with, Some(1))?
        {
            return Ok(Some(found));
        }
        self.run(number, 1..=SEEDS, &mutation.run_with, Some(1))
    }
}

/// So many seeds a mutation has to be found in. Most are found in the first ten.
const SEEDS: u64 = 2000;

/// In so many the code as it is has to hold here: that it does in ten thousand is seen by running the simulation itself.
const HOLDS: u64 = 100;
