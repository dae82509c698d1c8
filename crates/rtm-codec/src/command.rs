//! The operations: one struct each, and one table from which command, answer and their pairing follow.

#![expect(
    clippy::exhaustive_structs,
    clippy::exhaustive_enums,
    reason = "both sides of both wires fill in and read every field and call: a new one that one of them passes over must not compile"
)]

use std::collections::BTreeMap;

use crate::{
    AttributeKey, CallId, ChannelAttributes, ChannelId, Family, LimitedCall, MessageId, PeerOnlineState, Revision,
    RtmMessage, SendOutcome, StoredMessage, Text, Token, UserId,
};

/// Replaces the session's token.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenewToken {
    /// The new token.
    pub token: Token,
}

/// Sends a message to a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendMessageToPeer {
    /// The sender's number for it: a repeat within 60 s is not delivered again.
    pub message_id: MessageId,
    /// To whom.
    pub peer_id: UserId,
    /// What.
    pub message: RtmMessage,
    /// Whether the server keeps it while the receiver is offline.
    pub enable_offline_messaging: bool,
    /// Whether the server keeps it for history queries.
    pub enable_historical_messaging: bool,
}

/// Asks who is online.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPeersOnlineStatus {
    /// About whom, 1 to 256 users.
    pub peer_ids: Vec<UserId>,
}

/// Subscribes to online states.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SubscribePeersOnlineStatus {
    /// Of whom, 1 to 512 users.
    pub peer_ids: Vec<UserId>,
}

/// Ends such subscriptions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnsubscribePeersOnlineStatus {
    /// Of whom, 1 to 512 users.
    pub peer_ids: Vec<UserId>,
}

/// Asks whom this client is subscribed to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryPeersBySubscriptionOption {}

/// Invites a user to a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendInvitation {
    /// The caller's number for it.
    pub call_id: CallId,
    /// Who is called.
    pub callee_id: UserId,
    /// What the caller writes, at most 8,192 bytes.
    pub content: Text,
}

/// Takes an invitation back.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CancelInvitation {
    /// The caller's number for it.
    pub call_id: CallId,
    /// Who is called.
    pub callee_id: UserId,
    /// What the caller writes, at most 8,192 bytes.
    pub content: Text,
}

/// Accepts an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcceptInvitation {
    /// The caller's number for it.
    pub call_id: CallId,
    /// Who calls.
    pub caller_id: UserId,
    /// What the callee writes, at most 8,192 bytes.
    pub response: Text,
}

/// Refuses an invitation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefuseInvitation {
    /// The caller's number for it.
    pub call_id: CallId,
    /// Who calls.
    pub caller_id: UserId,
    /// What the callee writes, at most 8,192 bytes.
    pub response: Text,
}

/// Replaces all of the user's own attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetLocalUserAttributes {
    /// The new attributes; none clears them.
    pub attributes: BTreeMap<AttributeKey, Text>,
}

/// Adds to or changes the user's own attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOrUpdateLocalUserAttributes {
    /// What to write, at least one.
    pub attributes: BTreeMap<AttributeKey, Text>,
}

/// Removes some of the user's own attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteLocalUserAttributesByKeys {
    /// Which; unknown keys are ignored.
    pub keys: Vec<AttributeKey>,
}

/// Removes all of the user's own attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearLocalUserAttributes {}

/// Reads a user's attributes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetUserAttributes {
    /// Whose.
    pub user_id: UserId,
    /// Which; `None` for all.
    pub keys: Option<Vec<AttributeKey>>,
}

/// Joins a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JoinChannel {
    /// Which.
    pub channel_id: ChannelId,
}

/// Leaves a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaveChannel {
    /// Which.
    pub channel_id: ChannelId,
}

/// Sends a message to a channel's other members.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SendChannelMessage {
    /// The sender's number for it: a repeat within 60 s is not delivered again.
    pub message_id: MessageId,
    /// Where.
    pub channel_id: ChannelId,
    /// What.
    pub message: RtmMessage,
    /// Whether the server keeps it for history queries.
    pub enable_historical_messaging: bool,
}

/// Lists a channel's members, at most 512 of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetMembers {
    /// Of which channel.
    pub channel_id: ChannelId,
}

/// Counts the members of channels.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetChannelMemberCount {
    /// Of which, 1 to 32 channels.
    pub channel_ids: Vec<ChannelId>,
}

/// Which channel's attributes are written, and how.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelAttributeTarget {
    /// The channel.
    pub channel_id: ChannelId,
    /// Whether all members are told.
    pub notify: bool,
    /// Write only at this revision.
    pub expected_revision: Option<Revision>,
}

/// Replaces all attributes of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetChannelAttributes {
    /// Of which channel.
    pub target: ChannelAttributeTarget,
    /// The new attributes; none clears them.
    pub attributes: BTreeMap<AttributeKey, Text>,
}

/// Adds to or changes the attributes of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AddOrUpdateChannelAttributes {
    /// Of which channel.
    pub target: ChannelAttributeTarget,
    /// What to write, at least one.
    pub attributes: BTreeMap<AttributeKey, Text>,
}

/// Removes some attributes of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteChannelAttributesByKeys {
    /// Of which channel.
    pub target: ChannelAttributeTarget,
    /// Which; unknown keys are ignored.
    pub keys: Vec<AttributeKey>,
}

/// Removes all attributes of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClearChannelAttributes {
    /// Of which channel.
    pub target: ChannelAttributeTarget,
}

/// Reads the attributes of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GetChannelAttributes {
    /// Of which channel.
    pub channel_id: ChannelId,
    /// Which; `None` for all.
    pub keys: Option<Vec<AttributeKey>>,
}

/// Asks for kept messages, oldest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueryHistory {
    /// Between this user and a peer, or of a channel.
    pub conversation: HistoryOf,
    /// Not older than this, in milliseconds since the Unix epoch.
    pub from_ts: u64,
    /// Older than this, in milliseconds since the Unix epoch.
    pub until_ts: u64,
    /// Where the page before ended, as its answer said; `None` for the first page.
    pub after: Option<HistoryCursor>,
    /// At most this many, 1 to 100.
    pub limit: u32,
}

/// Whose history is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum HistoryOf {
    /// What this user and the peer sent to each other.
    Peer(UserId),
    /// What was sent to a channel, which this user is in.
    Channel(ChannelId),
}

/// A place in a history, to go on from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryCursor(pub u64);

/// As text, since not every JSON number of this size is read as it was written.
#[cfg(feature = "serde")]
impl serde::Serialize for HistoryCursor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// One page of a history.
#[derive(Debug, Clone, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct HistoryPage {
    /// The messages, oldest first.
    pub messages: Vec<StoredMessage>,
    /// Where the next page starts; `None` at the end.
    pub next: Option<HistoryCursor>,
}

impl HistoryPage {
    /// A page of these messages.
    #[must_use]
    pub fn new(messages: Vec<StoredMessage>, next: Option<HistoryCursor>) -> Self {
        Self { messages, next }
    }
}

/// What asking twice does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effect {
    /// Nothing is changed.
    Read,
    /// The call sets something of this user: calling twice has the effect of calling once.
    Set,
    /// Something is done each time: a repeat must be recognised.
    Once,
}

/// How long an answer may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Pace {
    /// As long as another user's device may take.
    Message,
    /// As long as the online states of many users may take.
    Presence,
    /// As long as the server alone takes.
    Call,
}

/// An operation: what is asked, and the type of its answer.
pub trait Operation: Into<Command> + sealed::Sealed {
    /// What the server answers.
    type Answer;
    /// The list that its error numbers are in.
    const FAMILY: Family;

    /// The answer as this operation's own type; `None` when it is another operation's.
    fn answer(answer: Answer) -> Option<Self::Answer>;
}

macro_rules! operations {
    ($($operation:ident -> $answer:ty, $family:ident, $effect:ident, $pace:ident, $budget:expr;)*) => {
        /// A call, as it goes over a wire. Open to `match`: what is not known of a new call must not compile.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Command {
            $(
                #[doc = concat!("[`", stringify!($operation), "`]")]
                $operation($operation),
            )*
        }

        /// A server's good answer to the [`Command`] of the same name.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub enum Answer {
            $(
                #[doc = concat!("To [`", stringify!($operation), "`].")]
                $operation($answer),
            )*
        }

        /// Which call it is.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum CallName {
            $(
                #[doc = concat!("[`", stringify!($operation), "`]")]
                $operation,
            )*
        }

        impl CallName {
            /// Every call, in the order of their discriminants.
            pub const ALL: &[Self] = &[$(Self::$operation),*];

            /// The name of its struct.
            #[must_use]
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$operation => stringify!($operation),)*
                }
            }
        }

        impl Command {
            /// Which call it is.
            #[must_use]
            pub fn name(&self) -> CallName {
                match self {
                    $(Self::$operation(_) => CallName::$operation,)*
                }
            }

            /// The list that this call's error numbers are in.
            #[must_use]
            pub fn family(&self) -> Family {
                match self {
                    $(Self::$operation(_) => Family::$family,)*
                }
            }

            /// What asking for it twice does.
            #[must_use]
            pub fn effect(&self) -> Effect {
                match self {
                    $(Self::$operation(_) => Effect::$effect,)*
                }
            }

            /// How long its answer may take.
            #[must_use]
            pub fn pace(&self) -> Pace {
                match self {
                    $(Self::$operation(_) => Pace::$pace,)*
                }
            }

            /// The budget that it draws on; `None` where there is no limit.
            #[must_use]
            pub fn budget(&self) -> Option<LimitedCall> {
                match self {
                    $(Self::$operation(_) => $budget,)*
                }
            }

            /// Whether `answer` is one to a call of this kind.
            #[must_use]
            pub fn is_answered_by(&self, answer: &Answer) -> bool {
                match (self, answer) {
                    $((Self::$operation(_), Answer::$operation(_)) => true,)*
                    _ => false,
                }
            }
        }

        $(
            impl From<$operation> for Command {
                fn from(operation: $operation) -> Self {
                    Self::$operation(operation)
                }
            }

            impl sealed::Sealed for $operation {}

            impl Operation for $operation {
                type Answer = $answer;
                const FAMILY: Family = Family::$family;

                fn answer(answer: Answer) -> Option<$answer> {
                    match answer {
                        Answer::$operation(answer) => Some(answer),
                        _ => None,
                    }
                }
            }
        )*
    };
}

operations! {
    RenewToken -> (), RenewToken, Once, Call, Some(LimitedCall::RenewToken);
    SendMessageToPeer -> SendOutcome, PeerMessage, Once, Message, Some(LimitedCall::SendMessage);
    QueryPeersOnlineStatus -> Vec<(UserId, PeerOnlineState)>, QueryPeersOnlineStatus, Read, Presence, Some(LimitedCall::QueryPeersOnlineStatus);
    SubscribePeersOnlineStatus -> (), PeerSubscription, Set, Presence, Some(LimitedCall::SubscribePeersOnlineStatus);
    UnsubscribePeersOnlineStatus -> (), PeerSubscription, Set, Presence, Some(LimitedCall::UnsubscribePeersOnlineStatus);
    QueryPeersBySubscriptionOption -> Vec<UserId>, QueryPeersBySubscriptionOption, Read, Call, Some(LimitedCall::QueryPeersBySubscriptionOption);
    SendInvitation -> (), Invitation, Once, Message, Some(LimitedCall::SendInvitation);
    CancelInvitation -> (), Invitation, Once, Message, None;
    AcceptInvitation -> (), Invitation, Once, Call, None;
    RefuseInvitation -> (), Invitation, Once, Message, None;
    SetLocalUserAttributes -> (), Attributes, Set, Call, Some(LimitedCall::WriteUserAttributes);
    AddOrUpdateLocalUserAttributes -> (), Attributes, Set, Call, Some(LimitedCall::WriteUserAttributes);
    DeleteLocalUserAttributesByKeys -> (), Attributes, Set, Call, Some(LimitedCall::WriteUserAttributes);
    ClearLocalUserAttributes -> (), Attributes, Set, Call, Some(LimitedCall::WriteUserAttributes);
    GetUserAttributes -> BTreeMap<AttributeKey, Text>, Attributes, Read, Call, Some(LimitedCall::ReadUserAttributes);
    JoinChannel -> (), JoinChannel, Set, Call, Some(LimitedCall::JoinChannel);
    LeaveChannel -> (), LeaveChannel, Set, Call, None;
    SendChannelMessage -> (), ChannelMessage, Once, Message, Some(LimitedCall::SendMessage);
    GetMembers -> Vec<UserId>, GetMembers, Read, Call, Some(LimitedCall::GetMembers);
    GetChannelMemberCount -> BTreeMap<ChannelId, u32>, GetChannelMemberCount, Read, Call, Some(LimitedCall::GetChannelMemberCount);
    SetChannelAttributes -> Revision, Attributes, Once, Call, Some(LimitedCall::WriteChannelAttributes);
    AddOrUpdateChannelAttributes -> Revision, Attributes, Once, Call, Some(LimitedCall::WriteChannelAttributes);
    DeleteChannelAttributesByKeys -> Revision, Attributes, Once, Call, Some(LimitedCall::WriteChannelAttributes);
    ClearChannelAttributes -> Revision, Attributes, Once, Call, Some(LimitedCall::WriteChannelAttributes);
    GetChannelAttributes -> ChannelAttributes, Attributes, Read, Call, Some(LimitedCall::ReadChannelAttributes);
    QueryHistory -> HistoryPage, History, Read, Call, Some(LimitedCall::QueryHistory);
}

mod sealed {
    #[expect(unnameable_types, reason = "nobody else adds operations")]
    pub trait Sealed {}
}
