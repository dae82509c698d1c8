//! ARCHITECTURE.md says the truth about where things are: the files that it names exist, and each of its walks goes
//! one way.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{collections::BTreeSet, fs, path::Path};

/// The walks that the document has to have.
const WALKS: [&str; 10] = [
    "A peer message, both on the native wire",
    "A peer message to the vendor's SDK",
    "A peer message of a back end",
    "A channel message",
    "A login",
    "A stored message",
    "A history request over HTTP",
    "A scrape",
    "A call of the admin API",
    "An event for a back end",
];

#[test]
fn each_walk_names_files_that_exist_and_each_of_them_once() {
    let text = document();
    for walk in WALKS {
        let section = section(&text, &format!("### {walk}\n"));
        let files: Vec<_> = files(section).collect();
        assert!(files.len() >= 5, "the walk {walk:?} names only {files:?}");
        let mut named = BTreeSet::new();
        for file in files {
            assert!(root().join("crates").join(file).is_file(), "the walk {walk:?} names {file}, which does not exist");
            assert!(named.insert(file), "the walk {walk:?} names {file} twice: it goes back on its way");
        }
    }
}

#[test]
fn every_link_and_every_path_leads_somewhere() {
    let text = document();
    for target in text.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
        let path = target.split('#').next().unwrap();
        assert!(path.is_empty() || path.contains("://") || root().join(path).exists(), "no such file: {target}");
    }
    for file in files(&text) {
        assert!(root().join("crates").join(file).is_file() || root().join(file).is_file(), "no such file: {file}");
    }
}

/// The paths of Rust files that stand between backticks.
fn files(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2).filter(|word| word.contains('/') && word.ends_with(".rs"))
}

/// What stands below a heading, up to the next one.
fn section<'a>(text: &'a str, heading: &str) -> &'a str {
    let (_, rest) = text.split_once(heading).unwrap_or_else(|| panic!("there is no {heading:?}"));
    rest.split("\n#").next().unwrap()
}

fn document() -> String {
    fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
