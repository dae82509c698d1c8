//! `docs/native-wire.md` says what the code does: its tables name every frame, operation, event, value and code with
//! their fields in order, its figures are those in force, and its bytes are those of the vectors.

use std::collections::BTreeSet;

use rtm_codec::{Abilities, CallLimits, CloseReason, ErrorKind, LimitedCall, Refusal, ServerFrame, Token, limits};

use crate::{
    meaning::{ENUMS, Meaning, STRUCTS, Tell},
    samples,
    vectors::{self, Vector},
};

/// A link to the page, so that the crate's package has it too.
const PAGE: &str = include_str!("native-wire.md");

#[test]
fn the_frames_are_those_of_the_page() {
    let clients: Vec<Meaning> = samples::client_frames().iter().map(|(_, frame)| frame.tell()).collect();
    let servers: Vec<Meaning> = samples::server_frames().iter().map(|(_, frame)| frame.tell()).collect();
    assert_describes("Frames of a client", &kinds(vectors::client(), &clients, |frame| Some((1, frame.clone()))));
    assert_describes("Frames of a server", &kinds(vectors::server(), &servers, |frame| Some((1, frame.clone()))));
}

#[test]
fn the_operations_and_events_are_those_of_the_page() {
    let commands: Vec<Meaning> = samples::client_frames().iter().map(|(_, frame)| frame.tell()).collect();
    let command = |frame: &Meaning| inside(frame, "Request", "command").map(|command| (3, command));
    assert_describes("Operations", &kinds(vectors::client(), &commands, command));
    let events: Vec<Meaning> = samples::server_frames().iter().map(|(_, frame)| frame.tell()).collect();
    let event = |frame: &Meaning| inside(frame, "Event", "event").map(|event| (3, event));
    assert_describes("Event kinds", &kinds(vectors::server(), &events, event));
}

#[test]
fn the_values_are_those_of_the_page() {
    let rows = rows("Values");
    for row in &rows {
        let [name, cell] = &row[..] else { panic!("{row:?}") };
        let name = name.trim_matches('`');
        if let Some((_, fields)) = STRUCTS.iter().find(|(other, _)| *other == name) {
            assert_eq!(quoted(cell).as_slice(), *fields, "{name}");
        } else if let Some((_, variants)) = ENUMS.iter().find(|(other, _)| *other == name) {
            for (tag, variant) in variants.iter().enumerate() {
                assert!(cell.contains(&format!("{tag} `{variant}`")), "{name} has not {tag} {variant}");
            }
            assert_eq!(quoted(cell).len(), variants.len(), "{name}");
        } else {
            assert_eq!(name, "peer state");
        }
    }
    // What is a table of its own, or has a plain name.
    let elsewhere = ["ClientFrame", "ServerFrame", "Command", "Answer", "Event", "Welcome", "PeerMessage"];
    let commands = ENUMS.iter().find(|(name, _)| *name == "Command").unwrap().1;
    for (name, _) in
        STRUCTS.iter().chain(ENUMS).filter(|(name, _)| !elsewhere.contains(name) && !commands.contains(name))
    {
        assert!(rows.iter().any(|row| row[0].trim_matches('`') == *name), "the page does not describe {name}");
    }
}

#[test]
fn the_codes_are_those_of_the_page() {
    let kinds: Vec<(u8, ErrorKind)> = samples::server_frames()
        .into_iter()
        .filter_map(|(name, frame)| match frame {
            ServerFrame::Reply { result: Err(Refusal { kind, .. }), .. } => {
                let vector = vectors::server().find(|vector| vector.name == name).unwrap();
                Some((vectors::bytes(vector.hex)[5], kind))
            }
            _ => None,
        })
        .collect();
    let expected: BTreeSet<Vec<String>> =
        kinds.iter().map(|(code, kind)| vec![code.to_string(), format!("`{kind:?}`")]).collect();
    let told: BTreeSet<Vec<String>> = rows("Error codes").iter().map(|row| row[..2].to_vec()).collect();
    assert_eq!(told, expected);

    let reasons = CloseReason::ALL.iter().enumerate().map(|(tag, reason)| {
        let come_back = if reason.can_reconnect() { "yes" } else { "no" };
        vec![tag.to_string(), format!("`{reason:?}`"), reason.websocket_code().to_string(), come_back.to_owned()]
    });
    assert_eq!(rows("The end of a connection"), reasons.collect::<Vec<_>>());
}

#[test]
fn the_abilities_are_those_of_the_page() {
    let bits = |abilities: Abilities| abilities.tell().to_string();
    let none = Abilities::default();
    let all = [
        (Abilities { resume: true, ..none }, "resume"),
        (Abilities { binary: true, ..none }, "binary"),
        (Abilities { revisions: true, ..none }, "revisions"),
        (Abilities { fetches_stored: true, ..none }, "fetches_stored"),
        (Abilities { repeats_attributes: true, ..none }, "repeats_attributes"),
        (Abilities { times_token: true, ..none }, "times_token"),
        (Abilities { gives_up: true, ..none }, "gives_up"),
        (Abilities { subscribes_once: true, ..none }, "subscribes_once"),
    ];
    let expected: Vec<String> = all.into_iter().map(|(ability, name)| format!("{} `{name}`", bits(ability))).collect();
    let told: Vec<String> =
        rows("Logging in").iter().map(|row| format!("{} `{}`", row[0], quoted(&row[1])[0])).collect();
    assert_eq!(told, expected);
}

#[test]
fn the_limits_are_those_of_the_page() {
    let figures = [
        ("a packet", limits::PACKET_BYTES),
        ("frames in a packet", limits::PACKET_FRAMES),
        ("entries of any list or map", limits::LIST_ENTRIES),
        ("requests under way", limits::REQUESTS_IN_FLIGHT),
        ("a message", limits::MESSAGE_BYTES),
        ("the content or response of an invitation", limits::INVITATION_BYTES),
        ("a token", Token::MAX_LEN),
        ("the detail of a refusal", Refusal::DETAIL_BYTES),
        ("an attribute's value", limits::ATTRIBUTE_VALUE_BYTES),
        ("attributes of a user, or of a channel", limits::ATTRIBUTE_COUNT),
        ("all keys and values of a user's attributes", limits::USER_ATTRIBUTES_BYTES),
        ("all keys and values of a channel's attributes", limits::CHANNEL_ATTRIBUTES_BYTES),
        ("users in one `QueryPeersOnlineStatus`", limits::ONLINE_QUERY_PEERS),
        ("users whose state one client subscribes to", limits::SUBSCRIBED_PEERS),
        ("channels in one `GetChannelMemberCount`", limits::MEMBER_COUNT_CHANNELS),
        ("channels that one client is in", limits::JOINED_CHANNELS),
        ("members that `GetMembers` lists", limits::MEMBER_EVENTS),
        ("messages that are stored for one user", limits::OFFLINE_MESSAGES),
        ("messages in one page of history", limits::HISTORY_PAGE),
    ];
    let told: Vec<(String, usize)> = rows("Limits").iter().map(|row| (row[0].clone(), figure(&row[1]))).collect();
    assert_eq!(told, figures.map(|(what, limit)| (what.to_owned(), limit)));

    let told: Vec<(usize, String, usize, usize)> = rows("Call limits")
        .iter()
        .map(|row| (figure(&row[0]), quoted(&row[1])[0].to_owned(), figure(&row[2]), figure(&row[3])))
        .collect();
    let limits = CallLimits::default();
    let expected = LimitedCall::ALL.iter().enumerate().map(|(place, call)| {
        let limit = limits.get(*call);
        (place, call.as_str().to_owned(), limit.calls() as usize, limit.per().as_millis() as usize)
    });
    assert_eq!(told, expected.collect::<Vec<_>>());
}

#[test]
fn the_bytes_of_the_page_are_those_of_the_vectors() {
    let mut examples = 0;
    for block in PAGE.split("```bytes ").skip(1) {
        let (name, rest) = block.split_once('\n').unwrap();
        let (lines, _) = rest.split_once("```").unwrap();
        // Three spaces part the digits from what they mean.
        let hex: String = lines.lines().map(|line| line.split_once("   ").unwrap().0.replace(' ', "")).collect();
        let vector = vectors::client().chain(vectors::server()).find(|vector| vector.name == name);
        assert_eq!(Some(hex.as_str()), vector.map(|vector| vector.hex), "{name}");
        examples += 1;
    }
    assert!(examples >= 8, "{examples} examples");
}

/// A kind of frame, operation or event: its tag, its name and its fields.
type Kind = (u8, String, Vec<String>);

/// The kinds that a part of each frame is of; `part` says where its tag is among the bytes of the frame.
fn kinds<'t>(
    vectors: impl Iterator<Item = Vector<'t>>,
    samples: &[Meaning],
    part: impl Fn(&Meaning) -> Option<(usize, Meaning)>,
) -> BTreeSet<Kind> {
    let vectors: Vec<Vector<'t>> = vectors.collect();
    let told = |meaning: &Meaning| {
        let (at, kind) = part(meaning)?;
        let meaning = meaning.to_string();
        let vector = vectors.iter().find(|vector| vector.meaning == meaning).unwrap();
        let bytes = vectors::bytes(vector.hex);
        // The version and the length come before; a long length has three bytes.
        let tag = bytes[at + if bytes[1] == 251 { 3 } else { 1 }];
        let (name, fields) = kind.variant();
        let fields = fields.map_or_else(Vec::new, |fields| fields.names().into_iter().map(str::to_owned).collect());
        Some((tag, name.to_owned(), fields))
    };
    samples.iter().filter_map(told).collect()
}

fn inside(frame: &Meaning, name: &str, field: &str) -> Option<Meaning> {
    match frame.variant() {
        (variant, Some(fields)) if variant == name => Some(fields.field(field).clone()),
        _ => None,
    }
}

/// Fails unless the table under `heading` has exactly these kinds, with their fields in order.
fn assert_describes(heading: &str, kinds: &BTreeSet<Kind>) {
    let told: BTreeSet<Kind> = rows(heading)
        .iter()
        .map(|row| {
            // Each field is followed by a colon; the types are not.
            let fields = row[2].split("; ").filter_map(|field| field.split_once("`: "));
            let fields = fields.map(|(name, _)| name.trim_matches('`').to_owned()).collect();
            (row[0].parse().unwrap(), row[1].trim_matches('`').to_owned(), fields)
        })
        .collect();
    assert_eq!(told, *kinds, "{heading}");
}

/// The rows of all tables under a heading, up to the next one.
fn rows(heading: &str) -> Vec<Vec<String>> {
    let section =
        PAGE.lines().skip_while(|line| line.trim_start_matches('#').trim_start() != heading || !line.starts_with('#'));
    let section = section.skip(1).take_while(|line| !line.starts_with('#'));
    let is_row = |line: &&str| line.starts_with("| ");
    let cells = |line: &str| line.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>();
    let rows: Vec<Vec<String>> = section.filter(is_row).map(cells).collect();
    assert!(!rows.is_empty(), "there is no table under {heading}");
    rows.into_iter().filter(|row| !HEADS.contains(&row[0].as_str())).collect()
}

/// The words in backquotes.
fn quoted(cell: &str) -> Vec<&str> {
    let quoted = cell.split('`').skip(1).step_by(2);
    // Types are named as fields are, but after a colon.
    quoted
        .filter(|word| {
            !cell.contains(&format!(": `{word}`"))
                && !cell.contains(&format!(" to `{word}`"))
                && !cell.contains(&format!("list of `{word}`"))
        })
        .collect()
}

/// The number that a cell begins with.
fn figure(cell: &str) -> usize {
    let digits: String =
        cell.chars().take_while(|c| c.is_ascii_digit() || *c == ',').filter(char::is_ascii_digit).collect();
    digits.parse().unwrap()
}

/// The first cells of the tables' heads.
const HEADS: [&str; 7] = ["tag", "name", "code", "what", "place", "bit", "type"];
