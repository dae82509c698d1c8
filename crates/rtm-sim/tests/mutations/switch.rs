//! Puts all mutations into the code at once: each function that some of them change has a body for each of these besides its
//! own, and a number that the process is started with says which. So one build has them all.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Context as _;

use crate::mutation::{Change, Mutation};

/// The variable with the number of the mutation that is to break the code. 0, or none, is the code as it is.
pub(crate) const NUMBER: &str = "RTM_MUTATION";

/// The texts of the files that change, with all mutations in them. Their numbers are their places, from 1 on. `read` gives the
/// text of a file.
pub(crate) fn with_all(
    mutations: &[Mutation],
    read: impl Fn(&str) -> anyhow::Result<String>,
) -> anyhow::Result<BTreeMap<String, String>> {
    let mut by_file: BTreeMap<&str, Vec<(usize, Change)>> = BTreeMap::new();
    for (place, mutation) in mutations.iter().enumerate() {
        for edit in &mutation.edits {
            let text = read(&edit.file).with_context(|| format!("{}: {}", mutation.name, edit.file))?;
            let change = edit.find(&text.lines().collect::<Vec<_>>()).with_context(|| mutation.name.clone())?;
            by_file.entry(&edit.file).or_default().push((place + 1, change));
        }
    }
    let mut texts = BTreeMap::new();
    for (file, changes) in &by_file {
        let name = |number: usize| mutations[number - 1].name.as_str();
        texts
            .insert((*file).to_owned(), with_changes(&read(file)?, changes, name).with_context(|| (*file).to_owned())?);
    }
    let roots: BTreeSet<String> =
        by_file.keys().filter_map(|file| Some(format!("{}/src/lib.rs", file.split_once("/src/")?.0))).collect();
    for root in roots {
        let text = match texts.remove(&root) {
            Some(text) => text,
            None => read(&root)?,
        };
        texts.insert(root, text + IS_ON);
    }
    Ok(texts)
}

/// The text of a file with changes in it, each with the number of its mutation.
pub(crate) fn with_changes<'a>(
    text: &str,
    changes: &[(usize, Change)],
    name: impl Fn(usize) -> &'a str,
) -> anyhow::Result<String> {
    let lines: Vec<&str> = text.lines().collect();
    let mut by_function: BTreeMap<Function, BTreeMap<usize, Vec<&Change>>> = BTreeMap::new();
    for (number, change) in changes {
        let function = Function::around(&lines, change).with_context(|| {
            format!("{}: it has to change what a function does, and its name and arguments stay", name(*number))
        })?;
        by_function.entry(function).or_default().entry(*number).or_default().push(change);
    }
    let mut out = Vec::new();
    let mut next = 0;
    for (function, mutations) in &by_function {
        out.extend(lines[next..=function.opens].iter().map(|line| (*line).to_owned()));
        for (number, changes) in mutations {
            out.push(format!("if crate::mutation_is_on({number}) {{"));
            out.extend(function.changed(&lines, changes));
            out.push("} else {".to_owned());
        }
        out.extend(lines[function.opens + 1..function.closes].iter().map(|line| (*line).to_owned()));
        out.extend(mutations.iter().map(|_| "}".to_owned()));
        next = function.closes;
    }
    out.extend(lines[next..].iter().map(|line| (*line).to_owned()));
    Ok(out.join("\n") + "\n")
}

/// The lines of a function that open and close its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Function {
    opens: usize,
    closes: usize,
}

impl Function {
    /// The innermost one whose body has all of a change in it. The code is formatted: what is indented as the first line is at
    /// the function's ends.
    fn around(lines: &[&str], change: &Change) -> Option<Self> {
        (0..change.lines.start).rev().find_map(|first| {
            let line = lines[first];
            let words = line.trim_start();
            let is_function = words.starts_with("fn ") || words.starts_with("pub") && words.contains(" fn ");
            let indent = &line[..line.len() - words.len()];
            let is_at_end = |line: &str| line.strip_prefix(indent).is_some_and(|rest| !rest.starts_with(' '));
            let at_end = |from: usize, is_it: fn(&str) -> bool| {
                (from..lines.len()).find(|at| is_at_end(lines[*at]) && is_it(lines[*at].trim()))
            };
            let opens = at_end(first, |line| line.ends_with('{')).filter(|_| is_function)?;
            let closes = at_end(opens + 1, |line| line == "}")?;
            (opens < change.lines.start && change.lines.end <= closes).then_some(Self { opens, closes })
        })
    }

    /// Its body with changes.
    fn changed(self, lines: &[&str], changes: &[&Change]) -> Vec<String> {
        let mut changes = changes.to_vec();
        changes.sort_by_key(|change| change.lines.start);
        let mut out = Vec::new();
        let mut next = self.opens + 1;
        for change in changes {
            out.extend(lines[next..change.lines.start].iter().map(|line| (*line).to_owned()));
            out.extend(change.new.iter().cloned());
            next = change.lines.end;
        }
        out.extend(lines[next..self.closes].iter().map(|line| (*line).to_owned()));
        out
    }
}

/// What the code asks for the number.
const IS_ON: &str = "
fn mutation_is_on(number: u32) -> bool {
    static NUMBER: std::sync::OnceLock<u32> = std::sync::OnceLock::new();
    let read = || std::env::var(\"RTM_MUTATION\").ok().and_then(|text| text.parse().ok()).unwrap_or(0);
    *NUMBER.get_or_init(read) == number
}
";

#[test]
fn each_function_has_a_body_for_each_mutation() {
    let text = "\
impl Thing {
    fn first(&self) -> u8 {
        let one = 1;
        one
    }

    pub(crate) fn second(
        &self,
        wide: u8,
    ) -> u8 {
        if wide > 1 {
            return 2;
        }
        3
    }
}
";
    let change =
        |lines: &str| crate::mutation::Edit::of_lines(lines).unwrap().find(&text.lines().collect::<Vec<_>>()).unwrap();
    let changes = [
        (1, change(" pub(crate) fn second(\n &self,\n wide: u8,\n ) -> u8 {\n-if wide > 1 {\n+if wide > 4 {")),
        (2, change(" }\n-3\n+4")),
        (2, change("-return 2;")),
    ];
    let with = with_changes(text, &changes, |_| "name").unwrap();
    let expected = "\
impl Thing {
    fn first(&self) -> u8 {
        let one = 1;
        one
    }

    pub(crate) fn second(
        &self,
        wide: u8,
    ) -> u8 {
if crate::mutation_is_on(1) {
if wide > 4 {
            return 2;
        }
        3
} else {
if crate::mutation_is_on(2) {
        if wide > 1 {
        }
4
} else {
        if wide > 1 {
            return 2;
        }
        3
}
}
    }
}
";
    assert_eq!(with, expected);
    assert!(with_changes(text, &[(1, change("-impl Thing {\n+impl Other {"))], |_| "name").is_err());
    assert!(with_changes(text, &[(1, change("-wide: u8,\n+wide: u16,"))], |_| "name").is_err());
}
