//! Tells the program what it is built from, for `rtm --version --verbose`.

use std::{env, process::Command};

fn main() {
    println!("cargo::rerun-if-env-changed=RTM_COMMIT");
    let commit = env::var("RTM_COMMIT").ok().filter(|commit| !commit.is_empty()).or_else(checked_out);
    set("BUILD_COMMIT", commit.as_deref());
    let compiler = env::var("RUSTC").ok().and_then(|rustc| output(Command::new(rustc).arg("--version")));
    set("BUILD_RUSTC", compiler.as_deref().map(|version| version.trim_start_matches("rustc ")));
    set("BUILD_TARGET", env::var("TARGET").ok().as_deref());
    set("BUILD_PROFILE", env::var("PROFILE").ok().as_deref());
}

fn set(name: &str, value: Option<&str>) {
    println!("cargo::rustc-env={name}={}", value.unwrap_or("unknown"));
}

/// The commit that is checked out, if the root of this workspace is the root of a repository.
fn checked_out() -> Option<String> {
    let git = |arguments: &[&str]| output(Command::new("git").args(arguments).current_dir("../.."));
    let folder = git(&["rev-parse", "--show-prefix"])?;
    // The log of HEAD gets a line with each commit.
    if folder.is_empty()
        && let Some(log) = git(&["rev-parse", "--path-format=absolute", "--git-path", "logs/HEAD"])
    {
        println!("cargo::rerun-if-changed={log}");
        return git(&["rev-parse", "HEAD"]);
    }
    None
}

/// What a program prints, without the end of its line; `None` if it fails.
fn output(command: &mut Command) -> Option<String> {
    let output = command.output().ok().filter(|output| output.status.success())?;
    Some(String::from_utf8(output.stdout).ok()?.trim().to_owned())
}
