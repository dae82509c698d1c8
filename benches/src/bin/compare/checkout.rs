//! A checkout of this project whose `compare` is driven: this one, or another.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use anyhow::{Context as _, bail, ensure};

use crate::report::Report;

/// A checkout and its `compare`. All that is asked of that program is `--list`, `--rounds`, `--only`, `--candidate` and
/// `--json`.
#[derive(Debug)]
pub(crate) struct Checkout {
    folder: PathBuf,
    pub(crate) commit: String,
    program: PathBuf,
}

impl Checkout {
    /// The one that this program was built in.
    pub(crate) fn this() -> anyhow::Result<Self> {
        let folder = fs::canonicalize(Path::new(env!("CARGO_MANIFEST_DIR")).join(".."))
            .context("the checkout that this program was built in is gone")?;
        let program = std::env::current_exe().context("this program has no path")?;
        Ok(Self { commit: commit(&folder), folder, program })
    }

    /// Another one. Cargo builds its `compare` in release, or finds it built, in the target folder of that checkout.
    pub(crate) fn build(folder: &Path) -> anyhow::Result<Self> {
        let shown = folder.display();
        let folder = fs::canonicalize(folder).with_context(|| format!("there is no checkout at {shown}"))?;
        let is_checkout = folder.join("benches/Cargo.toml").is_file();
        ensure!(is_checkout, "{shown} is no checkout of this project: it has no benches/Cargo.toml");
        let output = Command::new("cargo")
            .args(["build", "--release", "-p", "benches", "--bin", "compare"])
            .args(["--message-format", "json-render-diagnostics"])
            .current_dir(&folder)
            // In a common folder one program would replace the other.
            .env_remove("CARGO_TARGET_DIR")
            .env_remove("CARGO_BUILD_TARGET_DIR")
            // That checkout may name another one.
            .env_remove("RUSTUP_TOOLCHAIN")
            .stdin(Stdio::null())
            .stderr(Stdio::inherit())
            .output()
            .context("cannot start cargo")?;
        ensure!(output.status.success(), "the compare of {shown} does not build: cargo ended with {}", output.status);
        let program = executable(&String::from_utf8_lossy(&output.stdout))
            .with_context(|| format!("cargo built no program compare in {shown}"))?;
        let own = std::env::current_exe().and_then(fs::canonicalize);
        let is_own = own.is_ok_and(|own| fs::canonicalize(&program).is_ok_and(|program| program == own));
        ensure!(!is_own, "both checkouts build into one target folder: {}", program.display());
        Ok(Self { commit: commit(&folder), folder, program })
    }

    /// The names of all its scenarios.
    pub(crate) fn scenarios(&self) -> anyhow::Result<Vec<String>> {
        let output = self.call(self.command().arg("--list"))?;
        ensure!(output.status.success(), "the compare of {self} does not list its scenarios: {}", last_words(&output));
        let list = String::from_utf8_lossy(&output.stdout);
        Ok(list.lines().map(str::trim).filter(|line| !line.is_empty()).map(ToOwned::to_owned).collect())
    }

    /// One round of a scenario. Runs that fail are among the failures of what this gives back; it is an error if nothing
    /// can be learned from what the program wrote.
    pub(crate) fn measure(&self, scenario: &str, candidates: &[String]) -> anyhow::Result<Report> {
        let file = std::env::temp_dir().join(format!("compare-{}.json", std::process::id()));
        let mut command = self.command();
        command.args(["--rounds", "1", "--only", scenario, "--json"]).arg(&file);
        for candidate in candidates {
            command.args(["--candidate", candidate]);
        }
        let output = self.call(&mut command)?;
        let Ok(json) = fs::read(&file) else {
            bail!("the compare of {self} wrote no figures of {scenario:?}: {}", last_words(&output));
        };
        fs::remove_file(&file)?;
        let mut report = Report::read(&json).with_context(|| format!("the compare of {self}, {scenario:?}"))?;
        if !output.status.success() && report.failures().is_empty() {
            report.failed(format!("{scenario}: {}", last_words(&output)));
        }
        Ok(report)
    }

    fn command(&self) -> Command {
        Command::new(&self.program)
    }

    fn call(&self, command: &mut Command) -> anyhow::Result<Output> {
        let command = command.current_dir(&self.folder).stdin(Stdio::null());
        command.output().with_context(|| format!("cannot start {}", self.program.display()))
    }
}

impl std::fmt::Display for Checkout {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.folder.display(), self.commit)
    }
}

/// What is checked out, and whether it was changed since.
fn commit(folder: &Path) -> String {
    let git = |args: &[&str]| {
        let output = Command::new("git").arg("-C").arg(folder).args(args).stdin(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).trim().to_owned())
    };
    match (git(&["rev-parse", "--short", "HEAD"]), git(&["status", "--porcelain", "--untracked-files=no"])) {
        (Some(commit), Some(changes)) if changes.is_empty() => commit,
        (Some(commit), _) => format!("{commit}, changed"),
        (None, _) => "of unknown commit".to_owned(),
    }
}

/// The program among the messages that cargo writes, one JSON object a line.
fn executable(messages: &str) -> Option<PathBuf> {
    messages
        .lines()
        .filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok())
        .filter(|message| message["reason"] == "compiler-artifact" && message["target"]["name"] == "compare")
        .find_map(|message| message["executable"].as_str().map(PathBuf::from))
}

/// Why a program ended, as far as it said.
fn last_words(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr);
    match stderr.lines().map(str::trim).rfind(|line| !line.is_empty()) {
        Some(line) => format!("it ended with {}: {line}", output.status),
        None => format!("it ended with {}", output.status),
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::executable;

    #[test]
    fn the_program_is_found_among_the_messages_of_cargo() {
        let messages = r#"
            a line that is no JSON
            {"reason":"compiler-artifact","target":{"name":"benches"},"executable":null}
            {"reason":"compiler-artifact","target":{"name":"compare"},"executable":"/there/compare"}
            {"reason":"build-finished","success":true}"#;
        assert_eq!(executable(messages).as_deref(), Some(Path::new("/there/compare")));
        assert_eq!(executable(r#"{"reason":"build-finished","success":true}"#), None);
    }
}
