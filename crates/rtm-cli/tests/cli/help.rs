//! What `rtm` says of itself: help, version, completions, manual pages, and the page of the book.

use std::{fs, path::Path};

use crate::support::{command, rtm};

fn stdout(args: &[&str]) -> String {
    let output = rtm(args);
    assert_eq!((output.status.code(), output.stderr.len()), (Some(0), 0), "{args:?}: {output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The names below `Commands:` of a help.
fn commands(of: &[&str]) -> Vec<String> {
    let help = stdout(&[of, &["--help"]].concat());
    let list = help.split("Commands:\n").nth(1).unwrap_or_else(|| panic!("{of:?} has no commands"));
    let names = list.lines().take_while(|line| !line.trim().is_empty());
    let names = names.filter(|line| line.starts_with("  ") && !line.starts_with("   "));
    names.map(|line| line.split_whitespace().next().unwrap().to_owned()).filter(|name| name != "help").collect()
}

#[test]
fn commands_stand_in_the_order_of_use() {
    let order = [
        "demo",
        "serve",
        "listen",
        "send",
        "chat",
        "history",
        "members",
        "online",
        "attributes",
        "token",
        "bench",
        "top",
        "admin",
        "config",
        "store",
        "cluster",
        "completions",
        "man",
    ];
    assert_eq!(commands(&[]), order);
}

#[test]
fn the_page_names_every_command() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/cli.md")).unwrap();
    for name in commands(&[]) {
        assert!(page.contains(&format!("\nrtm {name} ")), "docs/cli.md has no form of rtm {name}");
    }
    for name in commands(&["attributes"]) {
        assert!(
            page.contains(&format!("\nrtm attributes {name} ")),
            "docs/cli.md has no form of rtm attributes {name}"
        );
    }
    for name in commands(&["admin"]) {
        let is_named = page.contains(&format!("`{name}`")) || page.contains(&format!("`rtm admin {name} "));
        assert!(is_named, "docs/cli.md does not name rtm admin {name}");
    }
}

#[test]
fn the_version_says_what_it_was_built_from_one_value_a_line() {
    let plain = stdout(&["--version"]);
    assert_eq!(plain, format!("rtm {}\n", env!("CARGO_PKG_VERSION")));
    assert_eq!(stdout(&["-V"]), plain);
    let verbose = stdout(&["--version", "--verbose"]);
    let mut lines = verbose.lines();
    assert_eq!(lines.next(), plain.lines().next());
    let values: Vec<_> = lines.map(|line| line.split_once(": ").unwrap()).collect();
    let names: Vec<_> = values.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["commit", "target", "rustc", "profile", "features"]);
    assert!(values.iter().all(|(_, value)| !value.is_empty()), "{verbose}");
    assert_eq!(rtm(&["--verbose"]).status.code(), Some(2));
    assert_eq!(rtm(&[]).status.code(), Some(2));
}

#[test]
fn completions_of_each_shell_know_the_commands() {
    for shell in ["bash", "elvish", "fish", "powershell", "zsh"] {
        let script = stdout(&["completions", shell]);
        for name in ["serve", "attributes", "revoke-tokens"] {
            assert!(script.contains(name), "{shell}: no {name}");
        }
    }
    assert_eq!(rtm(&["completions", "tcsh"]).status.code(), Some(2));
}

#[test]
fn there_is_a_manual_page_for_each_command() {
    let directory = tempfile::tempdir().unwrap();
    let pages = directory.path().join("share/man/man1");
    assert_eq!(stdout(&["man", "--dir", pages.to_str().unwrap()]), "");
    let page = |name: &str| fs::read_to_string(pages.join(name)).unwrap_or_else(|_| panic!("no {name}"));
    assert!(page("rtm.1").contains(".TH rtm 1"));
    assert_eq!(stdout(&["man"]), page("rtm.1"));
    for name in commands(&[]) {
        assert!(page(&format!("rtm-{name}.1")).contains(&format!("rtm\\-{name}")), "{name}");
    }
    for name in commands(&["admin"]) {
        page(&format!("rtm-admin-{name}.1"));
    }
    // A file where the directory should be.
    let output = rtm(&["man", "--dir", pages.join("rtm.1").to_str().unwrap()]);
    assert_eq!(output.status.code(), Some(1));
    assert!(String::from_utf8(output.stderr).unwrap().contains("rtm.1"));
}

#[test]
fn secrets_of_the_environment_are_not_in_help_or_pages() {
    for args in [&["send", "--help"][..], &["admin", "--help"], &["man"]] {
        let output = command(args).env("RTM_TOKEN", "s3cret").env("RTM_ADMIN_KEY", "s3cret").output().unwrap();
        assert!(output.status.success() && !String::from_utf8(output.stdout).unwrap().contains("s3cret"), "{args:?}");
    }
}
