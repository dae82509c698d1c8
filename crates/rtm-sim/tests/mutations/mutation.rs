//! Mutations as they are written down: what each breaks, and the lines that it puts in the place of others.

use std::{fs, ops::Range, path::Path};

use anyhow::{Context as _, bail, ensure};

/// A change that breaks a promise.
#[derive(Debug)]
pub(crate) struct Mutation {
    pub(crate) name: String,
    /// What is broken.
    pub(crate) breaks: String,
    /// The invariants that show it, in most worlds.
    pub(crate) seen_by: Vec<String>,
    /// What the simulation is to be run with.
    pub(crate) run_with: Vec<String>,
    /// The seed to begin with, where few worlds show it.
    pub(crate) shows_at: Option<u64>,
    /// The test of the core's cluster that fails, where what shows it is too rare in a world.
    pub(crate) fails: Option<String>,
    pub(crate) edits: Vec<Edit>,
}

/// Lines that take the place of others in a file. How far they are indented does not matter.
#[derive(Debug, Default)]
pub(crate) struct Edit {
    pub(crate) file: String,
    old: Vec<String>,
    new: Vec<String>,
}

/// What an edit changes in a text.
#[derive(Debug, Clone)]
pub(crate) struct Change {
    pub(crate) lines: Range<usize>,
    pub(crate) new: Vec<String>,
}

impl Mutation {
    /// All that there are, in the order of their names.
    pub(crate) fn all() -> anyhow::Result<Vec<Self>> {
        let mut files: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("mutations"))?
            .map(|entry| Ok(entry?.path()))
            .collect::<std::io::Result<_>>()?;
        files.sort();
        files.iter().map(|file| Self::read(file).with_context(|| file.display().to_string())).collect()
    }

    /// Reads a file of this form, in which edits may follow each other:
    ///
    /// ```text
    /// # What it breaks.
    /// # Seen by: OneInvariant, AnotherInvariant
    /// # Run with: --nodes 2..5
    /// # Shows at seed: 17
    /// @ the/file.rs
    ///  a line that stays
    /// -a line that goes
    /// +a line that comes in its place
    /// ```
    ///
    /// `# Fails: a::test` in the place of who sees it names a test of `rtm-core/tests/cluster`.
    fn read(file: &Path) -> anyhow::Result<Self> {
        let text = fs::read_to_string(file)?;
        let mut mutation = Self {
            name: file.file_stem().unwrap_or_default().to_string_lossy().into_owned(),
            breaks: String::new(),
            seen_by: Vec::new(),
            run_with: Vec::new(),
            shows_at: None,
            fails: None,
            edits: Vec::new(),
        };
        for line in text.lines() {
            if let Some(invariants) = line.strip_prefix("# Seen by: ") {
                mutation.seen_by.extend(invariants.split(", ").map(str::to_owned));
            } else if let Some(arguments) = line.strip_prefix("# Run with: ") {
                mutation.run_with.extend(arguments.split(' ').map(str::to_owned));
            } else if let Some(seed) = line.strip_prefix("# Shows at seed: ") {
                mutation.shows_at = Some(seed.parse()?);
            } else if let Some(test) = line.strip_prefix("# Fails: ") {
                mutation.fails = Some(test.to_owned());
            } else if let Some(words) = line.strip_prefix("# ") {
                mutation.breaks = format!("{} {words}", mutation.breaks).trim_start().to_owned();
            } else if let Some(file) = line.strip_prefix("@ ") {
                mutation.edits.push(Edit { file: file.to_owned(), ..Edit::default() });
            } else {
                let edit = mutation.edits.last_mut().context("a line of code comes before its file")?;
                edit.push(line)?;
            }
        }
        let is_seen = mutation.seen_by.is_empty() == mutation.fails.is_some();
        ensure!(is_seen && !mutation.edits.is_empty(), "it says who sees it or which test fails, and has an edit");
        Ok(mutation)
    }
}

impl Edit {
    /// Lines of a mutation's file.
    #[cfg(test)]
    pub(crate) fn of_lines(lines: &str) -> anyhow::Result<Self> {
        let mut edit = Self::default();
        lines.lines().try_for_each(|line| edit.push(line))?;
        Ok(edit)
    }

    fn push(&mut self, line: &str) -> anyhow::Result<()> {
        match line.split_at_checked(1) {
            Some(("-", line)) => self.old.push(line.to_owned()),
            Some(("+", line)) => self.new.push(line.to_owned()),
            Some((" ", line)) => {
                self.old.push(line.to_owned());
                self.new.push(line.to_owned());
            }
            None => {
                self.old.push(String::new());
                self.new.push(String::new());
            }
            _ => bail!("a line of code begins with a blank, - or +: {line:?}"),
        }
        Ok(())
    }

    /// What it changes in a text, without the lines around that stay.
    pub(crate) fn find(&self, lines: &[&str]) -> anyhow::Result<Change> {
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
                self.file,
                self.old.join("\n")
            );
        };
        let same =
            |pairs: &mut dyn Iterator<Item = (&String, &String)>| pairs.take_while(|(old, new)| old == new).count();
        let first = same(&mut self.old.iter().zip(&self.new));
        let (old, new) = (&self.old[first..], &self.new[first..]);
        let last = same(&mut old.iter().rev().zip(new.iter().rev()));
        let lines = at + first..at + first + old.len() - last;
        Ok(Change { lines, new: new[..new.len() - last].to_vec() })
    }
}
