//! `compare --against PATH`, with a program of a few lines in the other checkout's place.
#![allow(clippy::unwrap_used, reason = "a panic is the failure itself")]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::OnceLock,
};

/// The other checkout, whose `compare` does what `OTHER` says.
fn other() -> &'static Path {
    static OTHER: OnceLock<PathBuf> = OnceLock::new();
    OTHER.get_or_init(|| checkout("other", include_str!("other.rs")))
}

fn checkout(name: &str, program: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    fs::create_dir_all(folder.join("benches/src/bin")).unwrap();
    fs::write(folder.join("Cargo.toml"), "[workspace]\nmembers = [\"benches\"]\nresolver = \"3\"\n").unwrap();
    fs::write(folder.join("benches/Cargo.toml"), "[package]\nname = \"benches\"\nedition = \"2024\"\n").unwrap();
    fs::write(folder.join("benches/src/bin/compare.rs"), program).unwrap();
    folder
}

/// Compares the encoding of short messages, which takes a second.
fn compare(folder: &Path, behaviour: &str) -> Output {
    Command::new(env!("CARGO_BIN_EXE_compare"))
        .args(["--rounds", "2", "--only", "codec: encode, 32 B", "--against"])
        .arg(folder)
        .env("OTHER", behaviour)
        .output()
        .unwrap()
}

#[track_caller]
fn fails(output: &Output, with: &str) {
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(!output.status.success(), "{stdout}{stderr}");
    assert!(stderr.contains(with), "{stdout}{stderr}");
}

#[test]
fn both_sides_are_paired_round_by_round() {
    let output = compare(other(), "measures");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    let row = stdout.lines().find(|line| line.starts_with("| native | CPU ns/message |")).unwrap();
    // The other side's figure is its round's median; there are two pairs.
    assert!(row.contains("| 20.0 (20.0..20.0) |") && row.ends_with("| 2 |"), "{row}");
    assert!(stdout.contains("only this checkout measured codec: encode, 32 B: prost, CPU ns/message\n"), "{stdout}");
    assert!(stdout.contains("only the other checkout measured codec: encode, 32 B: an old rival, "), "{stdout}");
}

#[test]
fn what_is_no_checkout_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    fails(&compare(&folder.path().join("nowhere"), ""), "there is no checkout at");
    fails(&compare(folder.path(), ""), "is no checkout of this project: it has no benches/Cargo.toml");
}

#[test]
fn a_checkout_that_does_not_build_is_refused() {
    let folder = checkout("broken", "compile_error!(\"half a change\");");
    let output = compare(&folder, "");
    fails(&output, "does not build: cargo ended with");
    fails(&output, "half a change");
}

#[test]
fn a_checkout_without_a_common_scenario_is_refused() {
    let output = compare(other(), "lists something else");
    fails(&output, "nothing can be compared:\nonly this checkout has the scenario \"codec: encode, 32 B\"");
    fails(
        &compare(other(), "does not list"),
        "does not list its scenarios: it ended with exit status: 2: no such option",
    );
}

#[test]
fn figures_that_cannot_be_read_end_the_comparison() {
    fails(&compare(other(), "writes something else"), "the file is not what compare --json writes");
    fails(
        &compare(other(), "writes nothing"),
        "wrote no figures of \"codec: encode, 32 B\": it ended with exit status: 2",
    );
}

#[test]
fn a_run_that_fails_is_told_and_makes_no_pair() {
    let output = compare(other(), "fails");
    fails(&output, "nothing could be compared: no figure was measured on both sides");
    let stdout = String::from_utf8_lossy(&output.stdout);
    assert!(stdout.contains("failed: other, pair 1: the server did not start\n"), "{stdout}");
    assert!(stdout.contains("failed: other, pair 2: the server did not start\n"), "{stdout}");
}
