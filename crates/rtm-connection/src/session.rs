//! A session as it can be saved and resumed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use rtm_codec::{AttributeKey, ChannelId, InstanceId, RequestId, Seq, SessionTicket, Text, UserId};

/// A session that can be resumed: its id, and the channels, subscriptions and attributes of its user. With the feature `serde` it can
/// be saved, and continue in another process if that logs in within 2 minutes, unless the server sets another time.
///
/// Whoever has it can take the session over: keep it as secret as a token. `Debug` does not show its id.
///
/// Before you save it, read all events: those received but not yet read are not sent again. The resumed stream then begins
/// with a [`Gap`](crate::RtmEvent::Gap) that has their greatest possible number.
#[derive(Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
#[cfg_attr(feature = "serde", serde(into = "saved::Saved", try_from = "saved::Saved"))]
pub struct Session {
    pub(crate) user_id: UserId,
    /// The client object.
    pub(crate) instance: InstanceId,
    pub(crate) ticket: SessionTicket,
    pub(crate) received: Seq,
    pub(crate) consumed: Seq,
    pub(crate) next_request: RequestId,
    pub(crate) channels: BTreeSet<ChannelId>,
    pub(crate) subscriptions: BTreeSet<UserId>,
    pub(crate) attributes: BTreeMap<AttributeKey, Text>,
}

impl Session {
    /// The user.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        &self.user_id
    }

    /// The number of the last event received.
    #[must_use]
    pub fn received(&self) -> Seq {
        self.received
    }

    /// The number of the last event that the application read.
    #[must_use]
    pub fn consumed(&self) -> Seq {
        self.consumed
    }

    /// The session's id and epoch on the server: as secret as a token.
    #[must_use]
    pub fn ticket(&self) -> SessionTicket {
        self.ticket
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { user_id, received, consumed, channels, .. } = self;
        let mut session = f.debug_struct("Session");
        session.field("user_id", user_id).field("received", received).field("consumed", consumed);
        session.field("channels", channels).finish_non_exhaustive()
    }
}

#[cfg(feature = "serde")]
mod saved {
    use serde::{Deserialize, Serialize};

    use rtm_codec::{Epoch, SessionId};

    use super::*;

    /// A session as it is written. Later versions may add fields, which earlier versions ignore.
    #[derive(Serialize, Deserialize)]
    pub(super) struct Saved {
        user_id: UserId,
        instance: InstanceId,
        /// 32 hexadecimal digits.
        session: String,
        epoch: u64,
        received: u64,
        consumed: u64,
        next_request: u64,
        channels: BTreeSet<ChannelId>,
        subscriptions: BTreeSet<UserId>,
        attributes: BTreeMap<AttributeKey, Text>,
    }

    impl From<Session> for Saved {
        fn from(session: Session) -> Self {
            Self {
                session: session.ticket.session.0.iter().map(|byte| format!("{byte:02x}")).collect(),
                epoch: session.ticket.epoch.0,
                user_id: session.user_id,
                instance: session.instance,
                received: session.received.0,
                consumed: session.consumed.0,
                next_request: session.next_request.0,
                channels: session.channels,
                subscriptions: session.subscriptions,
                attributes: session.attributes,
            }
        }
    }

    impl TryFrom<Saved> for Session {
        type Error = &'static str;

        fn try_from(saved: Saved) -> Result<Self, &'static str> {
            if saved.consumed > saved.received {
                return Err("more events were consumed than received");
            }
            if saved.next_request == 0 {
                return Err("requests are counted from 1");
            }
            let session = SessionId(bytes(&saved.session).ok_or("the session is not 32 hexadecimal digits")?);
            Ok(Self {
                ticket: SessionTicket::new(session, Epoch(saved.epoch)),
                user_id: saved.user_id,
                instance: saved.instance,
                received: Seq(saved.received),
                consumed: Seq(saved.consumed),
                next_request: RequestId(saved.next_request),
                channels: saved.channels,
                subscriptions: saved.subscriptions,
                attributes: saved.attributes,
            })
        }
    }

    fn bytes(hex: &str) -> Option<[u8; 16]> {
        let digits: Vec<u8> =
            hex.chars().map(|digit| digit.to_digit(16).map(|digit| digit as u8)).collect::<Option<_>>()?;
        let (pairs, []) = digits.as_chunks::<2>() else { return None };
        pairs.iter().map(|[high, low]| high << 4 | low).collect::<Vec<_>>().try_into().ok()
    }
}

#[cfg(all(test, feature = "serde"))]
mod tests {
    use rtm_codec::{Epoch, SessionId};

    use super::*;

    fn session() -> Session {
        Session {
            user_id: UserId::new("ann").expect("the id is good"),
            instance: InstanceId::new("instance-1").expect("the id is good"),
            ticket: SessionTicket::new(SessionId([0xa7; 16]), Epoch(3)),
            received: Seq(u64::MAX),
            consumed: Seq(7),
            next_request: RequestId(9),
            channels: [ChannelId::new("lobby").expect("the id is good")].into(),
            subscriptions: [UserId::new("bob").expect("the id is good")].into(),
            attributes: [(AttributeKey::new("city").expect("the id is good"), Text::from("上海"))].into(),
        }
    }

    #[test]
    fn a_session_is_the_same_after_it_was_saved_and_loaded_also_by_an_earlier_version() {
        let saved = serde_json::to_string(&session()).unwrap();
        assert_eq!(serde_json::from_str::<Session>(&saved).unwrap(), session());
        let later = saved.replacen('{', "{\"added_later\":[1,2],", 1);
        assert_eq!(serde_json::from_str::<Session>(&later).unwrap(), session());
    }

    #[test]
    fn what_is_no_session_is_named() {
        let saved = serde_json::to_string(&session()).unwrap();
        for (from, to, error) in [
            ("\"consumed\":7", "\"consumed\":18446744073709551616", "invalid type"),
            ("\"received\":18446744073709551615", "\"received\":6", "more events were consumed than received"),
            ("a7a7", "a7", "32 hexadecimal digits"),
            ("a7a7", "A7zz", "32 hexadecimal digits"),
            ("a7a7", "é7", "32 hexadecimal digits"),
            ("\"ann\"", "\"a'b\"", "user id"),
            ("\"next_request\":9", "\"next_request\":0", "requests are counted from 1"),
        ] {
            assert!(saved.contains(from), "{saved}");
            let told = serde_json::from_str::<Session>(&saved.replacen(from, to, 1)).unwrap_err().to_string();
            assert!(told.contains(error), "{told}");
        }
    }

    #[test]
    fn who_sees_a_session_in_a_log_cannot_take_it_over() {
        let shown = format!("{:?}", session());
        assert!(shown.contains("ann") && shown.contains("lobby"), "{shown}");
        assert!(!shown.contains("instance-1") && !shown.contains("a7") && !shown.contains("167"), "{shown}");
    }
}
