//! Which call a path names.

use super::RestEventsOf;

/// A path of the REST API.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestRoute {
    /// Messages of a user to users.
    PeerMessages {
        /// The sender's id, of which nothing is known yet.
        user_id: String,
    },
    /// Messages of a user to channels.
    ChannelMessages {
        /// The sender's id, of which nothing is known yet.
        user_id: String,
    },
    /// Events.
    Events(RestEventsOf),
    /// Searches in histories.
    HistoryQuery,
    /// What a search found.
    HistoryPage {
        /// The search, as the answer to it named it.
        handle: String,
    },
    /// How many messages there are in histories.
    HistoryCount,
}

impl RestRoute {
    /// Whether a path is one of the REST API, known or not.
    #[must_use]
    pub fn is_rest(path: &str) -> bool {
        path.starts_with(PREFIX)
    }

    /// The project and the call that a path names; `None` for a path that is not known. The singular of the vendor's
    /// examples and the older path of its events are known too.
    #[must_use]
    pub fn find(path: &str) -> Option<(String, Self)> {
        let rest = path.strip_prefix(PREFIX)?;
        let mut parts = rest.strip_suffix('/').unwrap_or(rest).splitn(PARTS, '/');
        let app_id = decode(parts.next()?, false)?;
        if parts.next()? != "rtm" {
            return None;
        }
        let [one, two, three, four] = [parts.next(), parts.next(), parts.next(), parts.next()];
        let route = match (one?, two?, three, four) {
            ("users", user_id, Some("peer_messages" | "peer_message"), None) => {
                Self::PeerMessages { user_id: decode(user_id, false)? }
            }
            ("users", user_id, Some("channel_messages" | "channel_message"), None) => {
                Self::ChannelMessages { user_id: decode(user_id, false)? }
            }
            ("vendor" | "hook", "user_events", None, None) => Self::Events(RestEventsOf::Users),
            ("vendor" | "hook", "channel_events", None, None) => Self::Events(RestEventsOf::Channels),
            ("message", "history", Some("query"), None) => Self::HistoryQuery,
            ("message", "history", Some("query"), Some(handle)) if !handle.contains('/') => {
                Self::HistoryPage { handle: decode(handle, false)? }
            }
            ("message", "history", Some("count"), None) => Self::HistoryCount,
            _ => return None,
        };
        Some((app_id, route))
    }

    /// The method that the call is made with.
    #[must_use]
    pub fn method(&self) -> &'static str {
        match self {
            Self::PeerMessages { .. } | Self::ChannelMessages { .. } | Self::HistoryQuery => "POST",
            Self::Events(_) | Self::HistoryPage { .. } | Self::HistoryCount => "GET",
        }
    }
}

/// The value of a key in a query. Quotes around it, as in the vendor's examples, do not count.
pub(super) fn parameter(query: &str, name: &str) -> Option<String> {
    let pairs = query.split(['&', '?']).filter_map(|pair| pair.split_once('=').or(Some((pair, ""))));
    let (_, value) = pairs.into_iter().find(|(key, _)| *key == name)?;
    let value = decode(value, true)?;
    let unquoted = value.strip_prefix('"').and_then(|value| value.strip_suffix('"'));
    Some(unquoted.map_or_else(|| value.clone(), str::to_owned))
}

/// Undoes percent-encoding, and in a query also a space's plus. `None` for what is not encoded right.
fn decode(text: &str, is_query: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(match byte {
            b'%' => {
                let digit = |byte: u8| char::from(byte).to_digit(16);
                let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
                u8::try_from(value).ok()?
            }
            b'+' if is_query => b' ',
            byte => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

const PREFIX: &str = "/dev/v2/project/";
/// The most parts that a path has behind the prefix.
const PARTS: usize = 6;

#[cfg(test)]
mod tests {
    use super::*;

    fn found(rest: &str) -> Option<RestRoute> {
        let (app_id, route) = RestRoute::find(&format!("/dev/v2/project/app/rtm/{rest}"))?;
        assert_eq!(app_id, "app");
        Some(route)
    }

    #[test]
    fn every_path_of_the_vendor_is_known() {
        let user_id = || "user A".to_owned();
        let handle = "MjIzMDA3OjEyODA5MzkyOQ==".to_owned();
        let cases = [
            ("users/user%20A/peer_messages", RestRoute::PeerMessages { user_id: user_id() }),
            ("users/user%20A/peer_message", RestRoute::PeerMessages { user_id: user_id() }),
            ("users/user%20A/channel_messages/", RestRoute::ChannelMessages { user_id: user_id() }),
            ("vendor/user_events", RestRoute::Events(RestEventsOf::Users)),
            ("hook/channel_events", RestRoute::Events(RestEventsOf::Channels)),
            ("message/history/query", RestRoute::HistoryQuery),
            ("message/history/query/MjIzMDA3OjEyODA5MzkyOQ==", RestRoute::HistoryPage { handle }),
            ("message/history/count", RestRoute::HistoryCount),
        ];
        for (path, route) in cases {
            assert_eq!(found(path), Some(route), "{path}");
        }
    }

    #[test]
    fn no_other_path_is() {
        for path in [
            "",
            "users",
            "users/a",
            "users/a/peer_messages/b",
            "users/%zz/peer_messages",
            "users/%ff/peer_messages",
            "vendor/events",
            "message/history/query/a/b",
            "message/history/query/a/b/c",
        ] {
            assert_eq!(found(path), None, "{path}");
        }
        assert_eq!(RestRoute::find("/dev/v2/project/app/other/users/a/peer_messages"), None);
        assert!(RestRoute::is_rest("/dev/v2/project/app/other"));
        assert!(!RestRoute::is_rest("/dev/v2/projects"));
    }

    #[test]
    fn values_of_a_query_are_read_as_callers_write_them() {
        let query = "?&source=\"userA\"&destination=user%2BB&start_time=2019-08-01T01:22:10Z&wait_for_ack";
        assert_eq!(parameter(query, "source").as_deref(), Some("userA"));
        assert_eq!(parameter(query, "destination").as_deref(), Some("user+B"));
        assert_eq!(parameter(query, "wait_for_ack").as_deref(), Some(""));
        assert_eq!(parameter(query, "end_time"), None);
        assert_eq!(parameter("a=b+c", "a").as_deref(), Some("b c"));
    }
}
