//! Events as one line of text for a person.

use std::{fmt, time::Duration};

use rtm_codec::RtmMessage;

use crate::{GapReason, Restored, RtmEvent};

impl RtmEvent {
    /// The name of the variant.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::ConnectionStateChanged { .. } => "ConnectionStateChanged",
            Self::MessageFromPeer { .. } => "MessageFromPeer",
            Self::RemoteInvitationReceived { .. } => "RemoteInvitationReceived",
            Self::PeersOnlineStatusChanged { .. } => "PeersOnlineStatusChanged",
            Self::TokenWillExpire => "TokenWillExpire",
            Self::TokenDidExpire => "TokenDidExpire",
            Self::TokenNeeded { .. } => "TokenNeeded",
            Self::LocalInvitationReceivedByPeer { .. } => "LocalInvitationReceivedByPeer",
            Self::LocalInvitationAccepted { .. } => "LocalInvitationAccepted",
            Self::LocalInvitationRefused { .. } => "LocalInvitationRefused",
            Self::LocalInvitationCanceled { .. } => "LocalInvitationCanceled",
            Self::LocalInvitationFailure { .. } => "LocalInvitationFailure",
            Self::RemoteInvitationAccepted { .. } => "RemoteInvitationAccepted",
            Self::RemoteInvitationRefused { .. } => "RemoteInvitationRefused",
            Self::RemoteInvitationCanceled { .. } => "RemoteInvitationCanceled",
            Self::RemoteInvitationFailure { .. } => "RemoteInvitationFailure",
            Self::ChannelMessage { .. } => "ChannelMessage",
            Self::MemberJoined { .. } => "MemberJoined",
            Self::MemberLeft { .. } => "MemberLeft",
            Self::MemberCountUpdated { .. } => "MemberCountUpdated",
            Self::AttributesUpdated { .. } => "AttributesUpdated",
            Self::Gap { .. } => "Gap",
            Self::RestoreFailed { .. } => "RestoreFailed",
        }
    }
}

/// Describes the event on one line, without its [`name`](RtmEvent::name). Contains the texts of users, with
/// control characters escaped for terminals.
impl fmt::Display for RtmEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConnectionStateChanged { state, reason } => write!(f, "{state}, {reason}"),
            Self::MessageFromPeer { message, peer_id, properties } => {
                let stored = if properties.is_offline_message { " (stored)" } else { "" };
                write!(f, "{peer_id}{stored}: {}", Shown(message))
            }
            Self::RemoteInvitationReceived { invitation } => {
                write!(f, "{} invites: {}", invitation.caller_id, Plain(&invitation.content))
            }
            Self::PeersOnlineStatusChanged { peers } => {
                list(f, peers.iter().map(|(peer, state)| format!("{peer} is {state}")))
            }
            Self::TokenWillExpire => f.write_str("the token expires soon: renew it"),
            Self::TokenDidExpire => f.write_str("the token has expired"),
            Self::TokenNeeded { error, retry_after } => match retry_after {
                None => write!(f, "{error}: renew the token"),
                Some(Duration::ZERO) => write!(f, "{error}: fetching a new one"),
                Some(wait) => write!(f, "{error}: next try in {:.1} s", wait.as_secs_f64()),
            },
            Self::LocalInvitationReceivedByPeer { invitation } => {
                write!(f, "{} received the invitation", invitation.callee_id)
            }
            Self::LocalInvitationAccepted { invitation, response } => {
                write!(f, "{} accepts: {}", invitation.callee_id, Plain(response))
            }
            Self::LocalInvitationRefused { invitation, response } => {
                write!(f, "{} refuses: {}", invitation.callee_id, Plain(response))
            }
            Self::LocalInvitationCanceled { invitation } => {
                write!(f, "the invitation to {} is cancelled", invitation.callee_id)
            }
            Self::LocalInvitationFailure { invitation, reason } => {
                write!(f, "the invitation to {} failed: {reason}", invitation.callee_id)
            }
            Self::RemoteInvitationAccepted { invitation } => {
                write!(f, "the invitation of {} is accepted", invitation.caller_id)
            }
            Self::RemoteInvitationRefused { invitation } => {
                write!(f, "the invitation of {} is refused", invitation.caller_id)
            }
            Self::RemoteInvitationCanceled { invitation, content } => {
                write!(f, "{} cancels the invitation: {}", invitation.caller_id, Plain(content))
            }
            Self::RemoteInvitationFailure { invitation, reason } => {
                write!(f, "the invitation of {} failed: {reason}", invitation.caller_id)
            }
            Self::ChannelMessage { channel_id, member_id, message, .. } => {
                write!(f, "{channel_id}, {member_id}: {}", Shown(message))
            }
            Self::MemberJoined { channel_id, member_id } => write!(f, "{channel_id}, {member_id} joined"),
            Self::MemberLeft { channel_id, member_id } => write!(f, "{channel_id}, {member_id} left"),
            Self::MemberCountUpdated { channel_id, member_count } => write!(f, "{channel_id}, members: {member_count}"),
            Self::AttributesUpdated { channel_id, attributes } => {
                write!(f, "{channel_id}, ")?;
                list(f, attributes.attributes.iter().map(|(key, one)| format!("{key}={}", Plain(&one.value))))
            }
            Self::Gap { channel_id, lost, reason } => {
                if let Some(channel_id) = channel_id {
                    write!(f, "{channel_id}, ")?;
                }
                match lost {
                    Some(lost) => write!(f, "{lost} events were lost: {reason}"),
                    None => write!(f, "events were lost: {reason}"),
                }
            }
            Self::RestoreFailed { what, error } => write!(f, "{what} could not be restored: {error}"),
        }
    }
}

impl fmt::Display for GapReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NewSession => "the session could not be resumed",
            Self::SlowConsumer => "this client read too slowly",
            Self::LeftChannel => "this user was away for too long to stay a member",
            Self::Dropped => "the server could not keep them",
            Self::Missing => "event numbers are missing",
            Self::Lossy => "a reader was too slow",
        })
    }
}

impl fmt::Display for Restored {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Channel(channel_id) => write!(f, "the membership in {channel_id}"),
            Self::Subscriptions => f.write_str("the subscriptions to online states"),
            Self::UserAttributes => f.write_str("the user's attributes"),
        }
    }
}

fn list(f: &mut fmt::Formatter<'_>, items: impl Iterator<Item = String>) -> fmt::Result {
    for (i, item) in items.enumerate() {
        write!(f, "{}{item}", if i == 0 { "" } else { ", " })?;
    }
    Ok(())
}

struct Shown<'a>(&'a RtmMessage);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_text() {
            Some(text) => Plain(text).fmt(f),
            None => write!(f, "{} bytes", self.0.len()),
        }
    }
}

/// Texts of other users. Control characters are escaped, so that a terminal does not obey them.
struct Plain<'a>(&'a str);

impl fmt::Display for Plain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .chars()
            .try_for_each(|c| if c.is_control() { write!(f, "{}", c.escape_default()) } else { write!(f, "{c}") })
    }
}

#[cfg(test)]
mod tests {
    use rtm_codec::{ChannelId, UserId};

    use super::*;
    use crate::ReceivedMessageProperties;

    #[test]
    fn control_characters_of_a_message_do_not_reach_the_terminal() {
        let event = RtmEvent::MessageFromPeer {
            message: RtmMessage::text("a\u{1b}[31m\r\nb 你好"),
            peer_id: UserId::new("bob").unwrap(),
            properties: ReceivedMessageProperties { is_offline_message: true, server_received_ts: 0 },
        };
        assert_eq!(event.to_string(), "bob (stored): a\\u{1b}[31m\\r\\nb 你好");
    }

    #[test]
    fn a_gap_says_where_how_many_and_why() {
        let gap = |channel_id: Option<&str>, lost| {
            let channel_id = channel_id.map(|id| ChannelId::new(id).unwrap());
            RtmEvent::Gap { channel_id, lost, reason: GapReason::Missing }.to_string()
        };
        assert_eq!(gap(Some("room"), Some(3)), "room, 3 events were lost: event numbers are missing");
        assert_eq!(gap(None, None), "events were lost: event numbers are missing");
    }
}
