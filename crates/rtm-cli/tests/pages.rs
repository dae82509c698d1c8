//! The links between the repository's pages lead to files and headings that exist, and what the pages say of names, numbers and texts
//! is what the code has.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use rtm_codec::{CloseReason, Family};
use rtm_server::core::EventType;

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
fn the_book_has_every_page_once_and_its_guide_every_example() {
    let mut listed = links(&read("docs/SUMMARY.md"));
    let mut pages: Vec<_> = files(&root().join("docs"), "md").iter().map(|path| name(path)).collect();
    pages.retain(|page| page != "SUMMARY.md");
    pages.sort();
    listed.sort();
    assert_eq!(listed, pages, "docs/SUMMARY.md lists every page of docs/ once");
    let guide = read("docs/client.md");
    for example in files(&root().join("examples"), "rs") {
        let name = format!("`{}`", example.file_stem().unwrap().to_str().unwrap());
        assert!(guide.contains(&name), "docs/client.md does not mention the example {name}");
    }
}

/// A name such as `Client::login` or `RtmEvent::Gap` on these pages is one of the libraries.
#[test]
fn the_pages_about_moving_name_what_there_is() {
    let source = sources(&["rtm-client", "rtm-connection", "rtm-codec"]);
    let mut checked = 0;
    for page in ["docs/moving-from-anyrtc.md", "docs/moving-from-agora.md", "docs/faq.md", "docs/client.md"] {
        for word in read(page).split('`').skip(1).step_by(2) {
            let Some((type_name, item)) = word.split_once("::").filter(|(_, item)| is_identifier(item)) else {
                continue;
            };
            if !is_identifier(type_name) || type_name.chars().all(|c| c.is_lowercase() || c == '_') {
                continue;
            }
            checked += 1;
            let is_there = match item.starts_with(char::is_uppercase) {
                true => source.lines().any(|line| line.trim().trim_end_matches([',', '{', '(']).trim() == item),
                false => source.contains(&format!("fn {item}(")) || source.contains(&format!("fn {item}<")),
            };
            assert!(is_there && source.contains(type_name), "{page} names {word}");
        }
    }
    assert!(checked > 80, "only {checked} names were found");
}

#[test]
fn the_faq_has_every_error_with_its_numbers_and_every_close_code() {
    let page = read("docs/faq.md");
    let mut numbers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let codec = read("crates/rtm-codec/src/error.rs");
    let kinds = codec.split("pub enum ErrorKind {").nth(1).unwrap().split("\n}").next().unwrap();
    for kind in kinds.lines().filter_map(|line| line.trim().strip_suffix(',')).filter(|kind| is_identifier(kind)) {
        numbers.insert(format!("`{kind}`"), Vec::new());
    }
    for family in FAMILIES {
        for (code, kind) in family.codes() {
            numbers.get_mut(&format!("`{kind:?}`")).unwrap().push(format!("{family:?} {code}"));
        }
    }
    let rows = rows(&page, "## Errors, by name");
    assert_eq!(rows.len(), numbers.len());
    for row in rows {
        let known = numbers.get(row[0]).unwrap_or_else(|| panic!("there is no error {}", row[0]));
        let known = if known.is_empty() { "–".to_owned() } else { known.join(", ") };
        assert_eq!(row[1], known, "{}", row[0]);
        assert!(row[2..].iter().all(|cell| !cell.is_empty()), "{row:?}");
    }
    let rows = crate::rows(&page, "## Close codes");
    for reason in CloseReason::ALL {
        let cells = [reason.websocket_code().to_string(), format!("`{reason:?}`")];
        assert!(rows.iter().any(|row| row[..2] == cells), "docs/faq.md does not have {cells:?}");
    }
}

#[test]
fn the_page_about_events_has_every_type_once() {
    let page = read("docs/operations.md");
    let mut listed = Vec::new();
    for row in rows(&page, "## Events") {
        let mut group = "";
        for word in row[0].split('`').skip(1).step_by(2) {
            // In a row `.sent` is of the group of the type before it.
            match word.strip_prefix('.') {
                Some(end) => listed.push(format!("{group}.{end}")),
                None => {
                    group = word.split_once('.').unwrap().0;
                    listed.push(word.to_owned());
                }
            }
        }
    }
    listed.sort();
    let mut types: Vec<_> = EventType::ALL.iter().map(|event_type| event_type.name()).collect();
    types.sort();
    assert_eq!(listed, types);
}

#[test]
fn what_the_faq_quotes_is_what_programs_say() {
    let crates = fs::read_dir(root().join("crates")).unwrap().map(|entry| name(&entry.unwrap().path()));
    let source = sources(&crates.collect::<Vec<_>>().iter().map(String::as_str).collect::<Vec<_>>());
    // What others say: the system, a browser's engine.
    let others = ["Address already in use", "reading 'joined'"];
    let page = read("docs/faq.md");
    let first_cells = page.lines().filter_map(|line| line.strip_prefix("| ")?.split(" | ").next());
    let mut checked = 0;
    for quoted in first_cells.flat_map(|cell| cell.split('"').skip(1).step_by(2)) {
        // `…` and numbers stand for what differs.
        for part in
            quoted.split(|c: char| c == '…' || c.is_ascii_digit()).map(|part| part.trim_matches([' ', ':', '/']))
        {
            let part = part.strip_prefix("rtm.redb: ").unwrap_or(part);
            if part.len() > 6 && !others.contains(&part) {
                checked += 1;
                assert!(source.contains(part), "docs/faq.md quotes {part:?}, and no program says it");
            }
        }
    }
    assert!(checked > 20, "only {checked} quotes were found");
}

const FAMILIES: [Family; 16] = [
    Family::Login,
    Family::Logout,
    Family::RenewToken,
    Family::PeerMessage,
    Family::QueryPeersOnlineStatus,
    Family::PeerSubscription,
    Family::QueryPeersBySubscriptionOption,
    Family::Attributes,
    Family::CreateChannel,
    Family::JoinChannel,
    Family::LeaveChannel,
    Family::ChannelMessage,
    Family::GetMembers,
    Family::GetChannelMemberCount,
    Family::Invitation,
    Family::History,
];

/// The Markdown files that people read.
fn pages() -> Vec<PathBuf> {
    ["", "docs", "fuzz", "findings"].iter().flat_map(|folder| files(&root().join(folder), "md")).collect()
}

fn files(folder: &Path, kind: &str) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path());
    entries.filter(|path| path.extension().is_some_and(|extension| extension == kind)).collect()
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap()
}

/// The source of these crates, with texts over several lines in one.
fn sources(crates: &[&str]) -> String {
    let mut source = String::new();
    let mut folders: Vec<_> = crates.iter().map(|name| root().join("crates").join(name).join("src")).collect();
    while let Some(folder) = folders.pop() {
        source.extend(files(&folder, "rs").iter().map(|file| fs::read_to_string(file).unwrap()));
        folders.extend(fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()));
    }
    source.split("\\\n").map(str::trim_start).collect()
}

fn is_identifier(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic()) && text.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
}

/// The rows of the table below a heading.
fn rows<'a>(page: &'a str, heading: &str) -> Vec<Vec<&'a str>> {
    let section = page.split(&format!("\n{heading}\n")).nth(1).unwrap().split("\n## ").next().unwrap();
    let lines = section.lines().filter(|line| line.starts_with('|')).skip(2);
    lines.map(|line| line.trim_matches('|').split('|').map(str::trim).collect()).collect()
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
