//! The queries of messages that were kept at their senders' wish.

use rtm_codec::{ChannelId, Family, HistoryCursor, HistoryOf, HistoryPage, QueryHistory, UserId, limits::HISTORY_PAGE};

use crate::{Call, Client, client::invalid};

/// Which part of a history. The default is its first 100 messages.
///
/// The next page: `HistoryQuery { after: page.next, ..query }`, while `page.next` is some.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Not older than this, in milliseconds since the Unix epoch.
    pub from_ts: u64,
    /// Older than this, in milliseconds since the Unix epoch.
    pub until_ts: u64,
    /// Where the page before ended; `None` for the first page.
    pub after: Option<HistoryCursor>,
    /// At most this many messages, 1 to 100.
    pub limit: u32,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self { from_ts: 0, until_ts: u64::MAX, after: None, limit: HISTORY_PAGE as u32 }
    }
}

impl Client {
    /// One page of the messages that this user and a peer sent each other with `enable_historical_messaging`, oldest
    /// first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an id that breaks its rules or a limit
    /// outside its bounds, [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) by a server that keeps no history.
    pub fn query_peer_history(&self, peer_id: impl AsRef<str>, query: HistoryQuery) -> Call<HistoryPage> {
        let peer_id = UserId::new(peer_id).map_err(|error| invalid(Family::History, error));
        self.request(peer_id.map(|peer_id| query.operation(HistoryOf::Peer(peer_id))))
    }

    /// One page of the messages that were sent to a channel with `enable_historical_messaging`, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel) for a channel that this user is not in, and those of
    /// [`query_peer_history`](Self::query_peer_history).
    pub fn query_channel_history(&self, channel_id: impl AsRef<str>, query: HistoryQuery) -> Call<HistoryPage> {
        let channel_id = ChannelId::new(channel_id).map_err(|error| invalid(Family::History, error));
        self.request(channel_id.map(|channel_id| query.operation(HistoryOf::Channel(channel_id))))
    }
}

impl HistoryQuery {
    fn operation(self, history: HistoryOf) -> QueryHistory {
        let Self { from_ts, until_ts, after, limit } = self;
        QueryHistory { conversation: history, from_ts, until_ts, after, limit }
    }
}
