//! Events and messages for a person: one line each, coloured by kind on a terminal.

use std::{
    fmt::Write as _,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use anstyle::{AnsiColor, Style};
use rtm_client::{ConnectionState, RtmEvent, RtmMessage, StoredMessage};
use serde::{Serialize, Serializer};

/// A value that is printed as JSON, and its time.
#[derive(Serialize)]
pub(crate) struct Timed<T> {
    #[serde(flatten)]
    value: T,
    ts: Utc,
}

/// A moment, as RFC 3339 writes it.
struct Utc(SystemTime);

impl Serialize for Utc {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&humantime::format_rfc3339_millis(self.0))
    }
}

impl<'a> Timed<&'a RtmEvent> {
    /// An event.
    pub(crate) fn event(event: &'a RtmEvent) -> Self {
        Self { value: event, ts: Utc(moment(event)) }
    }
}

impl<'a> Timed<&'a StoredMessage> {
    /// A message of a history.
    pub(crate) fn stored(message: &'a StoredMessage) -> Self {
        Self { value: message, ts: Utc(message.server_received_at()) }
    }
}

impl<T> Timed<T> {
    /// A value as of now.
    pub(crate) fn now(value: T) -> Self {
        Self { value, ts: Utc(SystemTime::now()) }
    }
}

/// When an event happened: of messages, when the server took them, and of all else, now.
pub(crate) fn moment(event: &RtmEvent) -> SystemTime {
    let told = event.server_received_ts().filter(|ms| *ms < YEAR_10000_MS);
    told.map_or_else(SystemTime::now, |ms| UNIX_EPOCH + Duration::from_millis(ms))
}

/// A text of another user on one line. Characters that a terminal would obey, or that turn others around, are escaped.
pub(crate) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for letter in text.chars() {
        // Writing to a string cannot fail.
        let _ = match letter {
            letter if letter.is_control() || is_direction(letter) => write!(plain, "{}", letter.escape_default()),
            letter => write!(plain, "{letter}"),
        };
    }
    plain
}

/// A message on one line.
pub(crate) fn message(message: &RtmMessage) -> String {
    message.as_text().map_or_else(|| format!("({} bytes)", message.len()), plain)
}

/// A message of a history on one line, with its time.
pub(crate) fn stored(stored: &StoredMessage) -> String {
    let (dim, cyan) = (Style::new().dimmed(), Style::new().fg_color(Some(AnsiColor::Cyan.into())));
    let time = humantime::format_rfc3339_seconds(stored.server_received_at());
    format!("{dim}{time}{dim:#}  {cyan}{}{cyan:#}: {}", stored.from, message(&stored.message))
}

/// Marks of bidirectional text.
fn is_direction(letter: char) -> bool {
    matches!(letter, '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// One line for `event`, with escape codes: write it through a stream that drops them where they are not understood.
pub(crate) fn line(event: &RtmEvent) -> String {
    let time = humantime::format_rfc3339_seconds(moment(event));
    let (dim, style, name) = (Style::new().dimmed(), style(event), event.name());
    format!("{dim}{time}{dim:#}  {style}{name:<29}{style:#} {event}")
}

fn style(event: &RtmEvent) -> Style {
    use RtmEvent as E;
    let color = match event {
        E::ConnectionStateChanged { state: ConnectionState::Connected, .. } => AnsiColor::Green,
        E::ConnectionStateChanged { .. } | E::TokenWillExpire => AnsiColor::Yellow,
        E::MessageFromPeer { .. } | E::ChannelMessage { .. } => AnsiColor::Cyan,
        E::TokenDidExpire
        | E::LocalInvitationFailure { .. }
        | E::RemoteInvitationFailure { .. }
        | E::Gap { .. }
        | E::RestoreFailed { .. } => AnsiColor::Red,
        E::RemoteInvitationReceived { .. }
        | E::RemoteInvitationAccepted { .. }
        | E::RemoteInvitationRefused { .. }
        | E::RemoteInvitationCanceled { .. }
        | E::LocalInvitationReceivedByPeer { .. }
        | E::LocalInvitationAccepted { .. }
        | E::LocalInvitationRefused { .. }
        | E::LocalInvitationCanceled { .. } => AnsiColor::Magenta,
        _ => AnsiColor::Blue,
    };
    Style::new().fg_color(Some(color.into()))
}

/// What no date in RFC 3339 is as late as.
const YEAR_10000_MS: u64 = 253_402_300_800_000;

#[cfg(test)]
mod tests {
    use rtm_client::ReceivedMessageProperties;

    use super::*;

    fn ts(server_received_ts: u64) -> String {
        let event = RtmEvent::message_from_peer(
            "bob".parse().unwrap(),
            RtmMessage::text("hi"),
            ReceivedMessageProperties::new(true, server_received_ts),
        );
        let line = serde_json::to_value(Timed::event(&event)).unwrap();
        line["ts"].as_str().unwrap().to_owned()
    }

    #[test]
    fn a_message_has_the_time_at_which_the_server_took_it() {
        assert_eq!(ts(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(ts(YEAR_10000_MS - 1), "9999-12-31T23:59:59.999Z");
        assert!(ts(u64::MAX).starts_with("20"), "a server that makes no sense is not asked");
    }

    #[test]
    fn what_others_write_steers_no_terminal() {
        assert_eq!(plain("你好 👩‍💻 \"a\\b\""), "你好 👩‍💻 \"a\\b\"");
        assert_eq!(plain("a\u{1b}[2J\nb\u{202e}c"), "a\\u{1b}[2J\\nb\\u{202e}c");
        assert_eq!(message(&RtmMessage::binary(&b"abc"[..])), "(3 bytes)");
    }
}
