//! Searches over all histories of a project, by who sent a message and to whom.

#![expect(clippy::exhaustive_structs, reason = "a store does all of it")]

use std::ops::Range;

use rtm_codec::{ChannelId, UserId};

use super::Conversation;

/// Which messages of histories are meant: those that have everything that is said here.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HistoryFilter {
    /// Who sent them.
    pub source: Option<UserId>,
    /// Which user received them. With a channel besides, the one or the other.
    pub to_user: Option<UserId>,
    /// Which channel they were sent to.
    pub to_channel: Option<ChannelId>,
}

/// A search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HistorySpan {
    /// Which messages.
    pub filter: HistoryFilter,
    /// Only those of these times, in milliseconds since the Unix epoch.
    pub times: Range<u64>,
}

impl HistoryFilter {
    /// Whether a message is meant that this user sent in a conversation.
    #[must_use]
    pub fn matches(&self, conversation: &Conversation, from: &UserId) -> bool {
        let is_to = match conversation {
            _ if self.to_user.is_none() && self.to_channel.is_none() => true,
            Conversation::Channel(channel_id) => self.to_channel.as_ref() == Some(channel_id),
            Conversation::Peers(one, other) => {
                let to = if from == one { other } else { one };
                self.to_user.as_ref() == Some(to)
            }
        };
        is_to && self.source.as_ref().is_none_or(|source| source == from)
    }

    /// The id of whoever received them, where that is said; a user and a channel that are both meant have one.
    #[must_use]
    pub fn destination(&self) -> Option<&str> {
        let user = self.to_user.as_ref().map(UserId::as_str);
        user.or_else(|| self.to_channel.as_ref().map(ChannelId::as_str))
    }
}

impl Conversation {
    /// The id of whoever receives what this user says in it.
    #[must_use]
    pub fn destination(&self, from: &UserId) -> &str {
        match self {
            Self::Channel(channel_id) => channel_id.as_str(),
            Self::Peers(one, other) if from == one => other.as_str(),
            Self::Peers(one, _) => one.as_str(),
        }
    }
}
