//! What back ends are told of a project: the events of its log.

mod fields;

use std::fmt;

use rtm_codec::{CallId, ChannelId, MessageId, UserId};

use self::fields::Field;

pub use self::fields::{EventValue, Moment, Reason, SessionName};

/// An event, and when it happened.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "whoever writes a store or a reader of the log reads all of it")]
pub struct LoggedEvent {
    /// When, in milliseconds since the Unix epoch.
    pub time: u64,
    /// What.
    pub event: ProjectEvent,
}

macro_rules! project_events {
    ($($(#[$doc:meta])* $tag:literal $name:literal $variant:ident $on:ident {
        $($(#[$field_doc:meta])* $field:ident: $type:ty,)*
    })*) => {
        /// Something that happened in a project.
        #[derive(Debug, Clone, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum ProjectEvent {
            $($(#[$doc])* $variant {
                $($(#[$field_doc])* $field: $type,)*
            },)*
        }

        /// The types of events.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[non_exhaustive]
        pub enum EventType {
            $($(#[$doc])* $variant,)*
        }

        impl EventType {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),*];

            /// Its dotted name.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $name,)*
                }
            }

            /// Whether it is written unless somebody says otherwise.
            #[must_use]
            pub fn is_usual(self) -> bool {
                match self {
                    $(Self::$variant => usual!($on),)*
                }
            }
        }

        impl ProjectEvent {
            /// Its type.
            #[must_use]
            pub fn event_type(&self) -> EventType {
                match self {
                    $(Self::$variant { .. } => EventType::$variant,)*
                }
            }

            /// Its data, in order.
            #[must_use]
            pub fn data(&self) -> Vec<(&'static str, EventValue<'_>)> {
                match self {
                    $(Self::$variant { $($field),* } => vec![$((stringify!($field), $field.value())),*],)*
                }
            }

            /// An event of a type, with this data; `None` if that does not make one.
            #[must_use]
            pub fn from_data<'a>(
                event_type: EventType,
                #[allow(unused_variables, reason = "some types have no data")]
                value: impl Fn(&str) -> Option<EventValue<'a>>,
            ) -> Option<Self> {
                Some(match event_type {
                    $(EventType::$variant => Self::$variant {
                        $($field: Field::from_value(value(stringify!($field))?)?,)*
                    },)*
                })
            }

            /// Appends its bytes: a tag, and the fields in order.
            pub(crate) fn write(&self, out: &mut Vec<u8>) {
                match self {
                    $(Self::$variant { $($field),* } => {
                        out.push($tag);
                        $($field.write(out);)*
                    })*
                }
            }

            /// Reads what [`write`](Self::write) wrote. What a later version added to it is passed over.
            pub(crate) fn read(mut bytes: &[u8]) -> Option<Self> {
                let bytes = &mut bytes;
                let (&tag, rest) = bytes.split_first()?;
                *bytes = rest;
                Some(match tag {
                    $($tag => Self::$variant { $($field: Field::read(bytes)?,)* },)*
                    _ => return None,
                })
            }
        }
    };
}

macro_rules! usual {
    (on) => {
        true
    };
    (off) => {
        false
    };
}

project_events! {
    /// A server began to serve the project.
    1 "server.started" ServerStarted on {
        /// Which one: its name in a cluster, and another one at each start.
        server: Reason,
    }
    /// A server is about to go down.
    2 "server.draining" ServerDraining on {
        /// Which one.
        server: Reason,
    }
    /// A user is there.
    3 "user.online" UserOnline on {
        /// Who.
        user_id: UserId,
        /// The session.
        session: SessionName,
    }
    /// Nothing was heard from a user for a moment.
    4 "user.unreachable" UserUnreachable off {
        /// Who.
        user_id: UserId,
        /// The session.
        session: SessionName,
    }
    /// A user is not there any more.
    5 "user.offline" UserOffline on {
        /// Who.
        user_id: UserId,
        /// The session.
        session: SessionName,
        /// Why.
        reason: Reason,
    }
    /// A user is banned.
    6 "user.banned" UserBanned on {
        /// Who.
        user_id: UserId,
        /// Until when.
        until: Moment,
    }
    /// A user is not banned any more, before the time.
    7 "user.unbanned" UserUnbanned on {
        /// Who.
        user_id: UserId,
    }
    /// A session began.
    8 "session.started" SessionStarted on {
        /// Whose.
        user_id: UserId,
        /// The session.
        session: SessionName,
        /// Whether it took the place of another one, whose user was there and stays there.
        takeover: bool,
        /// The server that has it.
        server: Reason,
    }
    /// A client came back to its session.
    9 "session.resumed" SessionResumed on {
        /// Whose.
        user_id: UserId,
        /// The session.
        session: SessionName,
        /// The server that has it.
        server: Reason,
    }
    /// A session went to another server of the cluster.
    10 "session.moved" SessionMoved on {
        /// Whose.
        user_id: UserId,
        /// The session.
        session: SessionName,
        /// The server that has it now.
        server: Reason,
    }
    /// A session ended.
    11 "session.ended" SessionEnded on {
        /// Whose.
        user_id: UserId,
        /// The session.
        session: SessionName,
        /// Why.
        reason: Reason,
    }
    /// A channel has its first member.
    12 "channel.occupied" ChannelOccupied on {
        /// Which one.
        channel_id: ChannelId,
    }
    /// A channel's last member has left.
    13 "channel.vacated" ChannelVacated on {
        /// Which one.
        channel_id: ChannelId,
    }
    /// A user joined a channel.
    14 "channel.member_joined" MemberJoined on {
        /// The channel.
        channel_id: ChannelId,
        /// Who.
        user_id: UserId,
        /// By which session.
        session: SessionName,
    }
    /// A user left a channel, also by going offline.
    15 "channel.member_left" MemberLeft on {
        /// The channel.
        channel_id: ChannelId,
        /// Who.
        user_id: UserId,
        /// By which session.
        session: SessionName,
    }
    /// A user sent a message to another one.
    16 "message.peer" PeerMessage off {
        /// The sender.
        from: UserId,
        /// The receiver.
        to: UserId,
        /// The message's id, which its sender chose.
        message_id: MessageId,
    }
    /// A user sent a message to a channel.
    17 "message.channel" ChannelMessage off {
        /// The sender.
        from: UserId,
        /// The channel.
        channel_id: ChannelId,
        /// The message's id, which its sender chose.
        message_id: MessageId,
    }
    /// A message waits for its receiver.
    18 "message.stored" MessageStored on {
        /// The sender.
        from: UserId,
        /// The receiver.
        to: UserId,
        /// The message's id, which its sender chose.
        message_id: MessageId,
    }
    /// Stored messages gave way to newer ones.
    19 "message.evicted" MessagesEvicted on {
        /// The receiver.
        to: UserId,
        /// How many.
        messages: u64,
    }
    /// A user invited another one.
    20 "invitation.sent" InvitationSent on {
        /// The invitation.
        call_id: CallId,
        /// Who invited.
        caller_id: UserId,
        /// Who was invited.
        callee_id: UserId,
    }
    /// The callee's device has an invitation.
    21 "invitation.received" InvitationReceived on {
        /// The invitation.
        call_id: CallId,
        /// Who invited.
        caller_id: UserId,
        /// Who was invited.
        callee_id: UserId,
    }
    /// An invitation was accepted.
    22 "invitation.accepted" InvitationAccepted on {
        /// The invitation.
        call_id: CallId,
        /// Who invited.
        caller_id: UserId,
        /// Who was invited.
        callee_id: UserId,
    }
    /// An invitation was refused.
    23 "invitation.refused" InvitationRefused on {
        /// The invitation.
        call_id: CallId,
        /// Who invited.
        caller_id: UserId,
        /// Who was invited.
        callee_id: UserId,
    }
    /// An invitation was cancelled.
    24 "invitation.cancelled" InvitationCancelled on {
        /// The invitation.
        call_id: CallId,
        /// Who invited.
        caller_id: UserId,
        /// Who was invited.
        callee_id: UserId,
    }
    /// An invitation ended without an answer.
    25 "invitation.failed" InvitationFailed on {
        /// The invitation.
        call_id: CallId,
        /// Who invited.
        caller_id: UserId,
        /// Who was invited.
        callee_id: UserId,
        /// Why.
        reason: Reason,
    }
    /// A user changed its attributes.
    26 "attributes.user_changed" UserAttributesChanged off {
        /// Who.
        user_id: UserId,
    }
    /// The attributes of a channel were changed.
    27 "attributes.channel_changed" ChannelAttributesChanged off {
        /// The channel.
        channel_id: ChannelId,
        /// By whom.
        user_id: UserId,
    }
    /// Tokens of a user are refused that were issued before a time.
    31 "user.tokens_revoked" TokensRevoked on {
        /// Who.
        user_id: UserId,
        /// The time.
        issued_before: Moment,
    }
    /// Tokens of all users are refused that were issued before a time.
    32 "project.tokens_revoked" AllTokensRevoked on {
        /// The time.
        issued_before: Moment,
    }
    /// A user that was unreachable is heard again.
    30 "user.reachable" UserReachable off {
        /// Who.
        user_id: UserId,
        /// The session.
        session: SessionName,
    }
    /// Events are missing here, since the store could not keep them.
    28 "log.gap" LogGap on {
        /// At least so many; some of them may be in the log after all.
        lost: u64,
    }
    /// Events that the reader has not read are not kept any more. A reader is told that; it is not in the log.
    29 "log.truncated" LogTruncated on {
        /// The first number that may be missing.
        from: u64,
        /// The last one.
        to: u64,
    }
}

impl EventType {
    /// The type of this name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|event_type| event_type.name() == name)
    }

    /// Whether it is written whatever types are wanted: readers must hear of what they miss.
    #[must_use]
    pub fn is_needed(self) -> bool {
        matches!(self, Self::LogGap | Self::LogTruncated)
    }
}

impl fmt::Display for EventType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A set of types of events. The default is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct EventTypes(u64);

impl EventTypes {
    /// No type.
    pub const NONE: Self = Self(0);
    /// All types.
    pub const ALL: Self = Self(u64::MAX);

    /// The types that are written unless somebody says otherwise.
    #[must_use]
    pub fn usual() -> Self {
        EventType::ALL.iter().copied().filter(|event_type| event_type.is_usual()).collect()
    }

    /// Whether a type is in it.
    #[inline]
    #[must_use]
    pub fn has(self, event_type: EventType) -> bool {
        self.0 & 1 << event_type as u32 != 0
    }

    /// The same and one more.
    #[must_use]
    pub fn with(self, event_type: EventType) -> Self {
        Self(self.0 | 1 << event_type as u32)
    }
}

impl EventTypes {
    /// The types of both sets.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl FromIterator<EventType> for EventTypes {
    fn from_iter<I: IntoIterator<Item = EventType>>(types: I) -> Self {
        types.into_iter().fold(Self::NONE, Self::with)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An event of each type.
    fn samples() -> impl Iterator<Item = ProjectEvent> {
        EventType::ALL.iter().map(|event_type| {
            // Whatever a field takes of these.
            let kinds =
                || [EventValue::Text("0000000000000007".into()), EventValue::Number(u64::MAX), EventValue::Flag(true)];
            let mut made = None;
            for code in 0..3_usize.pow(4) {
                let used = std::cell::Cell::new(code);
                let value = |_: &str| {
                    let code = used.get();
                    used.set(code / 3);
                    kinds().into_iter().nth(code % 3)
                };
                made = made.or_else(|| ProjectEvent::from_data(*event_type, value));
            }
            made.unwrap_or_else(|| panic!("no event of type {event_type}"))
        })
    }

    #[test]
    fn every_event_comes_back_from_its_bytes_and_from_its_data() {
        for event in samples() {
            let mut bytes = Vec::new();
            event.write(&mut bytes);
            assert_eq!(ProjectEvent::read(&bytes), Some(event.clone()));
            bytes.push(7);
            assert_eq!(ProjectEvent::read(&bytes), Some(event.clone()), "with what a later version added");
            for len in 0..bytes.len() - 1 {
                assert_eq!(ProjectEvent::read(&bytes[..len]), None, "{len} bytes of {event:?}");
            }
            let data = event.data();
            let value = |name: &str| data.iter().find(|(field, _)| *field == name).map(|(_, value)| value.clone());
            assert_eq!(ProjectEvent::from_data(event.event_type(), value), Some(event.clone()));
            assert_eq!(EventType::from_name(event.event_type().name()), Some(event.event_type()));
        }
    }

    #[test]
    fn tags_and_bits_are_each_of_one_type() {
        let tags: std::collections::BTreeSet<u8> = samples()
            .map(|event| {
                let mut bytes = Vec::new();
                event.write(&mut bytes);
                bytes[0]
            })
            .collect();
        assert_eq!(tags.len(), EventType::ALL.len());
        assert!(EventType::ALL.len() <= 64, "EventTypes has a bit for each");
        for one in EventType::ALL {
            for other in EventType::ALL {
                assert_eq!(EventTypes::NONE.with(*one).has(*other), one == other);
            }
        }
    }
}
