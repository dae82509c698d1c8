//! A reader that has read enough, as `head` does, ends each command quietly; and colours go only where they are wanted.

use std::process::Stdio;

use crate::support::{APP_ID, CERTIFICATE, Server, command};

/// Runs a command whose standard output nobody reads; answers its status and its standard error.
fn unread(args: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let output = command(args).stdout(writer).stderr(Stdio::piped()).output().unwrap();
    (output.status.code(), String::from_utf8(output.stderr).unwrap())
}

#[test]
fn a_command_without_a_server_ends_quietly_when_nobody_reads() {
    let token = ["token", "--app-id", APP_ID, "--certificate", CERTIFICATE, "--uid", "alice"];
    for args in [
        &["--help"][..],
        &["--version", "--verbose"],
        &["completions", "bash"],
        &["man"],
        &["config", "default"],
        &["config", "env"],
        &["admin", "openapi"],
        &["admin", "new-key", "--name", "a", "--role", "read"],
        &["admin", "new-rest-key"],
        &token,
        &["token", "explain", "006abc"],
        &["bench", "logins", "--users", "2", "--json"],
        &["demo", "--users", "2", "--seconds", "1"],
    ] {
        let (status, stderr) = unread(args);
        let stderr: Vec<_> = stderr.lines().filter(|line| !line.contains("a server of its own")).collect();
        assert_eq!((status, stderr.len()), (Some(0), 0), "{args:?}: {stderr:?}");
    }
}

#[test]
fn a_command_with_a_server_ends_quietly_when_nobody_reads() {
    let server = Server::start(&["--no-limits"]);
    let user = server.user("alice");
    let _bob = server.listener("bob", &["--channel", "lobby"]);
    for args in [
        &["listen"][..],
        &["send", "--to", "bob", "hi"],
        &["members", "lobby"],
        &["members", "lobby", "--count"],
        &["online", "bob"],
        &["online", "bob", "--watch"],
        &["attributes", "set", "--channel", "lobby", "topic=news"],
        &["attributes", "get", "--channel", "lobby"],
        &["attributes", "delete", "--channel", "lobby", "--all"],
    ] {
        // The options of a login stand behind the last command.
        let commands = if args[0] == "attributes" { 2 } else { 1 };
        let args = [&args[..commands], &user, &args[commands..]].concat();
        assert_eq!(unread(&args), (Some(0), String::new()), "{args:?}");
    }
}

#[test]
fn a_pipe_gets_no_colours() {
    let server = Server::start(&["--no-limits"]);
    let _bob = server.listener("bob", &[]);
    let args = [&["online"][..], &server.user("alice"), &["bob"]].concat();
    let output = command(&args).output().unwrap();
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "ONLINE       bob\n");
    let output = command(&args).env("CLICOLOR_FORCE", "1").output().unwrap();
    assert!(output.stdout.starts_with(b"\x1b["), "a pipe has colours where they are asked for: {output:?}");
}
