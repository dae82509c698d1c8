//! What a line of a chat says: a text for everybody, or a command.

/// A line of a chat.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Command<'a> {
    Nothing,
    Say(&'a str),
    To {
        peer: &'a str,
        text: &'a str,
    },
    Members,
    Online(Vec<&'a str>),
    /// The last messages, and how many of them.
    History(usize),
    Attributes,
    Help,
    Quit,
    /// A command that makes no sense, and why.
    Wrong(String),
}

pub(super) const HELP: &str = "\
/to USER TEXT     send a text to one user
/members          list who is here
/online USER…     show which users are online
/history [N]      show the last N messages of the history (20)
/attributes       show the attributes of the channel
/quit             end the chat, as Ctrl-D does
//TEXT            say a text that begins with a slash";

pub(super) fn read(line: &str) -> Command<'_> {
    let Some(command) = line.strip_prefix('/') else {
        return if line.trim().is_empty() { Command::Nothing } else { Command::Say(line) };
    };
    if command.starts_with('/') {
        return Command::Say(command);
    }
    let (name, rest) = command.split_once(char::is_whitespace).unwrap_or((command, ""));
    let rest = rest.trim();
    match (name, rest) {
        ("to", rest) => match rest.split_once(char::is_whitespace) {
            Some((peer, text)) => Command::To { peer, text: text.trim_start() },
            None => Command::Wrong("use it as /to USER TEXT".to_owned()),
        },
        ("online", "") => Command::Wrong("use it as /online USER…".to_owned()),
        ("online", peers) => Command::Online(peers.split_whitespace().collect()),
        ("history", "") => Command::History(HISTORY),
        ("history", number) => match number.parse() {
            Ok(number) if number > 0 => Command::History(number),
            _ => Command::Wrong("use it as /history, or /history 50".to_owned()),
        },
        ("members", "") => Command::Members,
        ("attributes", "") => Command::Attributes,
        ("help", "") => Command::Help,
        ("quit", "") => Command::Quit,
        ("members" | "attributes" | "help" | "quit", _) => Command::Wrong(format!("/{name} takes nothing behind it")),
        _ => Command::Wrong(format!("there is no command /{name}: /help lists them; //{name} says it")),
    }
}

/// How many messages of the history are shown.
const HISTORY: usize = 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_a_text_unless_it_begins_with_a_slash() {
        for (line, command) in [
            ("hi all", Command::Say("hi all")),
            ("  ", Command::Nothing),
            ("a /quit", Command::Say("a /quit")),
            ("//quit", Command::Say("/quit")),
            ("/to bob how are you?", Command::To { peer: "bob", text: "how are you?" }),
            ("/members", Command::Members),
            ("/online bob eve", Command::Online(vec!["bob", "eve"])),
            ("/history", Command::History(20)),
            ("/history 5", Command::History(5)),
            ("/attributes ", Command::Attributes),
            ("/help", Command::Help),
            ("/quit", Command::Quit),
        ] {
            assert_eq!(read(line), command, "{line}");
        }
    }

    #[test]
    fn what_is_no_command_is_said_and_not_sent() {
        for line in ["/", "/qiut", "/to bob", "/to", "/online", "/history 0", "/history all", "/quit now"] {
            assert!(matches!(read(line), Command::Wrong(_)), "{line}");
        }
    }

    #[test]
    fn the_help_has_every_command() {
        for name in ["to", "members", "online", "history", "attributes", "quit"] {
            assert!(HELP.lines().any(|line| line.starts_with(&format!("/{name} "))), "{name}");
        }
    }
}
