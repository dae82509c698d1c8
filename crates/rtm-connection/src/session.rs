//! What of a session outlives its link, as plain data.

use std::collections::{BTreeMap, BTreeSet};

use rtm_codec::{AttributeKey, ChannelId, InstanceId, RequestId, Seq, SessionTicket, Text, UserId};

/// A session that can be resumed, and what its user had in it. Plain data: it may be saved and given to
/// [`Connection::with_session`](crate::Connection::with_session) in another process, within the server's window
/// (2 minutes by default). Who has it can take the session over: keep it as secret as a token.
///
/// Events that were received and not yet consumed when it is saved are not sent again: drain them first. The stream
/// says how many they were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Session {
    /// Whose it is.
    pub user_id: UserId,
    /// The client object.
    pub instance: InstanceId,
    /// The session and its stream.
    pub ticket: SessionTicket,
    /// The last event received.
    pub received: Seq,
    /// The last event consumed.
    pub consumed: Seq,
    /// The number of the next request.
    pub next_request: RequestId,
    /// The channels that the user is in.
    pub channels: BTreeSet<ChannelId>,
    /// The users whose online states the user is subscribed to.
    pub subscriptions: BTreeSet<UserId>,
    /// The user's own attributes.
    pub attributes: BTreeMap<AttributeKey, Text>,
}
