//! The links between the repository's pages lead to files and headings that exist.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
};

#[test]
fn every_link_of_a_page_finds_its_file_and_its_heading() {
    let mut checked = 0;
    let mut broken = Vec::new();
    for page in pages() {
        for link in links(&fs::read_to_string(&page).unwrap()) {
            if link.contains("://") {
                continue;
            }
            checked += 1;
            let (file, heading) = link.split_once('#').map_or((link.as_str(), None), |(file, at)| (file, Some(at)));
            let target = if file.is_empty() { page.clone() } else { page.parent().unwrap().join(file) };
            let is_there = match heading {
                None => target.exists(),
                Some(heading) => fs::read_to_string(&target).is_ok_and(|text| headings(&text).contains(heading)),
            };
            if !is_there {
                broken.push(format!("{}: {link}", page.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{broken:#?}");
    assert!(checked > 50, "only {checked} links were found");
}

#[test]
fn readme_lists_every_example_and_page() {
    let readme = fs::read_to_string(root().join("README.md")).unwrap();
    for (folder, kind) in [("examples", "rs"), ("docs", "md")] {
        for path in files(&root().join(folder), kind) {
            let name = match kind {
                "rs" => format!("`{}`", path.file_stem().unwrap().to_str().unwrap()),
                _ => format!("docs/{}", path.file_name().unwrap().to_str().unwrap()),
            };
            assert!(readme.contains(&name), "README.md does not mention {name}");
        }
    }
}

/// The Markdown files that people read.
fn pages() -> Vec<PathBuf> {
    ["", "docs", "fuzz", "findings"].iter().flat_map(|folder| files(&root().join(folder), "md")).collect()
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
}

/// The targets of `[text](target)`, outside of code.
fn links(page: &str) -> Vec<String> {
    let mut is_code = false;
    let mut links = Vec::new();
    for line in page.lines() {
        is_code ^= line.trim_start().starts_with("```");
        if !is_code {
            links.extend(line.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned())));
        }
    }
    links
}

/// The names under which the headings of a page can be linked to.
fn headings(page: &str) -> BTreeSet<String> {
    let titles = page.lines().filter(|line| line.starts_with('#')).map(|line| line.trim_start_matches('#').trim());
    titles
        .map(|title| {
            let letters = title.to_lowercase();
            letters.chars().filter(|c| c.is_alphanumeric() || " -_".contains(*c)).collect::<String>().replace(' ', "-")
        })
        .collect()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
