//! docs/rtm.md has the figures of the code, and every place that refers to one of its sections finds it.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{collections::BTreeSet, fs, path::Path, time::Duration};

use rtm_codec::{
    AppId, AttributeKey, CallId, CallLimits, CloseReason, Family, KeepAlive, LimitedCall, Token, UserId, limits,
};
use rtm_connection::{BackoffConfig, Config};
use rtm_server::{Policy, Settings};

#[test]
fn sizes_counts_and_times_are_those_of_the_code() {
    let page = page();
    let figures = figures();
    let mut named = BTreeSet::new();
    for row in tables(&page, "in code") {
        let name = *row.last().unwrap();
        let figure = figures.iter().find(|(known, _)| *known == name);
        let (_, figure) = figure.unwrap_or_else(|| panic!("no figure is known for {name:?}"));
        assert!(row.contains(&figure.as_str()), "{name} is {figure}, and the page says {row:?}");
        named.insert(name);
    }
    for (name, _) in figures {
        assert!(named.contains(name), "the page says nothing of {name}");
    }
    let settings = format!("{:?}", Settings::default());
    for setting in settings.trim_start_matches("Settings {").split(", ").filter_map(|field| field.split(':').next()) {
        assert!(
            page.contains(&format!("setting `{}`", setting.trim())),
            "the page does not have the setting {setting}"
        );
    }
}

#[test]
fn call_limits_are_those_of_the_code() {
    let (page, limits) = (page(), CallLimits::default());
    let rows = tables(&page, "name of the setting");
    assert_eq!(rows.len(), LimitedCall::ALL.len());
    for (row, call) in rows.into_iter().zip(LimitedCall::ALL) {
        let limit = limits.get(call);
        let figure = format!("{} in {}", limit.calls(), time(limit.per()));
        assert_eq!(row[1..], [figure, format!("`{}`", call.as_str())]);
    }
}

#[test]
fn error_numbers_and_close_codes_are_those_of_the_code() {
    let page = page();
    let families = [
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
    ];
    let rows = tables(&page, "numbers");
    assert_eq!(rows.len(), families.len());
    for (row, family) in rows.into_iter().zip(families) {
        let numbers: Vec<_> = family.codes().iter().map(|(code, kind)| format!("{code} `{kind:?}`")).collect();
        assert_eq!(row, [format!("`{family:?}`"), numbers.join(", ")]);
    }
    let rows = tables(&page, "the client reconnects by itself");
    assert_eq!(rows.len(), CloseReason::ALL.len());
    for (row, reason) in rows.into_iter().zip(CloseReason::ALL) {
        let comes_back = if reason.can_reconnect() { "yes" } else { "no" };
        assert_eq!(row, [reason.websocket_code().to_string(), format!("`{reason:?}`"), comes_back.to_owned()]);
    }
}

#[test]
fn every_reference_to_a_section_finds_it() {
    let page = page();
    let anchors: BTreeSet<String> = page.lines().filter_map(|line| line.strip_prefix("## ")).map(anchor).collect();
    for line in page.lines().filter(|line| line.starts_with("- [")) {
        let link = line.split("](#").nth(1).and_then(|rest| rest.strip_suffix(')')).unwrap();
        assert!(anchors.contains(link), "the contents name {link:?}");
    }
    let mut references = 0;
    for folder in ["crates", "benches", "fuzz/inputs", "docs", "interop/peer"] {
        visit(&root().join(folder), &mut |file, text| {
            for rest in text.split("rtm.md#").skip(1) {
                let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '-').unwrap_or(rest.len());
                references += 1;
                assert!(anchors.contains(&rest[..end]), "{} refers to {:?}", file.display(), &rest[..end]);
            }
        });
    }
    assert!(references > 0);
}

/// What the last column of a table calls a figure, and the figure.
fn figures() -> Vec<(&'static str, String)> {
    let settings = Settings::default();
    let (native, vendor, backoff) = (Config::native(), Config::vendor(), BackoffConfig::default());
    let keep_alive = |config: &Config| match config.keep_alive {
        KeepAlive::Client { interval_ms } => time(Duration::from_millis(interval_ms.into())),
        other => panic!("{other:?}"),
    };
    let call_id = (1..100).take_while(|len| CallId::new("x".repeat(*len)).is_ok()).count();
    let tolerance = Duration::from_secs(5 * 60);
    assert_eq!(Policy::new(), Policy::new().clock_tolerance(tolerance));
    vec![
        ("`AppId::LEN`", AppId::LEN.to_string()),
        ("`UserId::MAX_LEN`", format!("1 to {}", UserId::MAX_LEN)),
        ("`AttributeKey::MAX_LEN`", format!("1 to {}", AttributeKey::MAX_LEN)),
        ("`CallId`, `InstanceId`", format!("1 to {call_id}")),
        ("`limits::MESSAGE_BYTES`", bytes(limits::MESSAGE_BYTES)),
        ("`limits::INVITATION_BYTES`", bytes(limits::INVITATION_BYTES)),
        ("`limits::ATTRIBUTE_VALUE_BYTES`", bytes(limits::ATTRIBUTE_VALUE_BYTES)),
        ("`limits::USER_ATTRIBUTES_BYTES`", bytes(limits::USER_ATTRIBUTES_BYTES)),
        ("`limits::CHANNEL_ATTRIBUTES_BYTES`", bytes(limits::CHANNEL_ATTRIBUTES_BYTES)),
        ("setting `channel_attributes_bytes`", bytes(settings.channel_attributes_bytes)),
        ("setting `subscriptions_bytes`", bytes(settings.subscriptions_bytes)),
        ("`Token::MAX_LEN`", bytes(Token::MAX_LEN)),
        ("`limits::PACKET_BYTES`", bytes(limits::PACKET_BYTES)),
        ("setting `session_bytes`", bytes(settings.session_bytes)),
        ("`limits::JOINED_CHANNELS`", count(limits::JOINED_CHANNELS)),
        ("`limits::SUBSCRIBED_PEERS`", count(limits::SUBSCRIBED_PEERS)),
        ("`limits::ONLINE_QUERY_PEERS`", count(limits::ONLINE_QUERY_PEERS)),
        ("`limits::MEMBER_COUNT_CHANNELS`", count(limits::MEMBER_COUNT_CHANNELS)),
        ("`limits::ATTRIBUTE_COUNT`", count(limits::ATTRIBUTE_COUNT)),
        ("`limits::MEMBER_EVENTS`", count(limits::MEMBER_EVENTS)),
        ("`limits::HISTORY_PAGE`", count(limits::HISTORY_PAGE)),
        ("setting `offline_messages`", count(settings.offline_messages)),
        ("setting `away_channel_messages`", count(settings.away_channel_messages)),
        ("setting `open_invitations`", count(settings.open_invitations)),
        ("setting `repeat_ids`", count(settings.repeat_ids)),
        ("`limits::REQUESTS_IN_FLIGHT`", count(limits::REQUESTS_IN_FLIGHT)),
        ("`rtm_token::MAX_TTL`", time(rtm_token::MAX_TTL)),
        ("`Policy::clock_tolerance`", time(tolerance)),
        ("setting `token_warning`", time(settings.token_warning)),
        ("`REFUSED` in `rtm-connection/src/token.rs`", written("rtm-connection/src/token.rs", "REFUSED")),
        (
            "`REFUSED_LONGEST` in `rtm-connection/src/token.rs`",
            written("rtm-connection/src/token.rs", "REFUSED_LONGEST"),
        ),
        ("`FAILED` in `rtm-connection/src/token.rs`", written("rtm-connection/src/token.rs", "FAILED")),
        ("`FAILED_LONGEST` in `rtm-connection/src/token.rs`", written("rtm-connection/src/token.rs", "FAILED_LONGEST")),
        ("setting `unreachable_after`", time(settings.unreachable_after)),
        ("setting `offline_after`", time(settings.offline_after)),
        ("setting `resume_within`", time(settings.resume_within)),
        ("`Config::native().keep_alive`", keep_alive(&native)),
        ("`Config::vendor().keep_alive`", keep_alive(&vendor)),
        (
            "`MOST_KEEP_ALIVE_MS` in `rtm-core/src/liveness.rs`",
            written("rtm-core/src/liveness.rs", "MOST_KEEP_ALIVE_MS"),
        ),
        ("`Config::native().login_timeout`", time(native.login_timeout)),
        ("`Config::native().connect_timeout`", time(native.connect_timeout)),
        ("`Config::native().answer_timeout`", time(native.answer_timeout)),
        ("`Config::native().message_timeout`", time(native.message_timeout)),
        ("`Config::native().presence_timeout`", time(native.presence_timeout)),
        ("`Config::native().call_timeout`", time(native.call_timeout)),
        ("`Config::native().logout_timeout`", time(native.logout_timeout)),
        ("`Config::native().provider_timeout`", time(native.provider_timeout)),
        ("`BackoffConfig::default().first`", time(backoff.first)),
        ("`BackoffConfig::default().draining`", time(backoff.draining)),
        ("`BackoffConfig::default().max`", time(backoff.max)),
        ("setting `receipt_within`", time(settings.receipt_within)),
        ("setting `repeat_within`", time(settings.repeat_within)),
        ("setting `offline_for`", time(settings.offline_for)),
        ("setting `history_for`", time(settings.history_for)),
        ("setting `member_count_pause`", time(settings.member_count_pause)),
        ("setting `large_member_count_pause`", time(settings.large_member_count_pause)),
        ("setting `presence_pause`", time(settings.presence_pause)),
        ("setting `subscriptions_for`", time(settings.subscriptions_for)),
        ("setting `channel_attributes_for`", time(settings.channel_attributes_for)),
        ("setting `invitation_receipt_within`", time(settings.invitation_receipt_within)),
        ("setting `invitation_answer_within`", time(settings.invitation_answer_within)),
    ]
}

/// The time that a private constant of a file stands for, as it is written there.
fn written(file: &str, name: &str) -> String {
    let text = fs::read_to_string(root().join("crates").join(file)).unwrap();
    let (_, rest) = text.split_once(&format!("const {name}: ")).unwrap_or_else(|| panic!("{file} has no {name}"));
    let (kind, rest) = rest.split_once(" = ").unwrap();
    let digits: String = rest.split(';').next().unwrap().chars().filter(char::is_ascii_digit).collect();
    let number = digits.parse().unwrap();
    match (kind, rest.starts_with("Duration::from_secs(")) {
        ("Duration", true) => time(Duration::from_secs(number)),
        ("u32", false) => time(Duration::from_millis(number)),
        _ => panic!("{name} of {file} is not a number of seconds or milliseconds"),
    }
}

fn time(time: Duration) -> String {
    let seconds = time.as_secs();
    match seconds {
        0 => format!("{} ms", time.as_millis()),
        1..120 => format!("{seconds} s"),
        120..3600 => format!("{} min", seconds / 60),
        3600..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} d", seconds / 86_400),
    }
}

fn bytes(bytes: usize) -> String {
    format!("{} bytes", count(bytes))
}

fn count(count: usize) -> String {
    let digits = count.to_string();
    let groups: Vec<&str> = digits.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).unwrap()).collect();
    groups.join(",")
}

/// The rows of all tables whose last column has this heading.
fn tables<'p>(page: &'p str, heading: &str) -> Vec<Vec<&'p str>> {
    let mut rows = Vec::new();
    let mut is_in = None;
    for line in page.lines() {
        let Some(row) = line.strip_prefix("| ").and_then(|line| line.strip_suffix(" |")) else {
            is_in = is_in.filter(|_| line.starts_with("|---"));
            continue;
        };
        let row: Vec<&str> = row.split('|').map(str::trim).collect();
        match is_in {
            None => is_in = Some(*row.last().unwrap() == heading),
            Some(true) => rows.push(row),
            Some(false) => {}
        }
    }
    rows
}

/// The name under which a heading can be linked to.
fn anchor(heading: &str) -> String {
    let letters = heading.to_lowercase();
    letters.chars().filter(|c| c.is_alphanumeric() || *c == ' ').collect::<String>().replace(' ', "-")
}

/// Shows all text files below a folder that may refer to the page.
fn visit(folder: &Path, see: &mut impl FnMut(&Path, &str)) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            if !path.ends_with("target") && !path.ends_with("node_modules") {
                visit(&path, see);
            }
        } else if path.extension().is_some_and(|kind| kind == "rs" || kind == "md")
            && !path.ends_with(Path::new(file!()).file_name().unwrap())
        {
            see(&path, &fs::read_to_string(&path).unwrap());
        }
    }
}

fn page() -> String {
    fs::read_to_string(root().join("docs/rtm.md")).unwrap()
}

fn root() -> &'static Path {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../.."))
}
