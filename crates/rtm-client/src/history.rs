//! Queries of message history.

use std::{
    collections::VecDeque,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use futures::{FutureExt, Stream, StreamExt};
use rtm_codec::{
    ChannelId, Family, HistoryCursor, HistoryOf, HistoryPage, QueryHistory, StoredMessage, UserId, limits::HISTORY_PAGE,
};
use rtm_connection::RtmError;

use crate::{Call, Channel, Client, client::invalid};

/// Selects a part of a history. The default is all of it, in pages of 100 messages.
///
/// ```
/// use std::time::{Duration, SystemTime};
///
/// use rtm_client::HistoryQuery;
///
/// let today = HistoryQuery::new().from(SystemTime::now() - Duration::from_secs(24 * 3600)).limit(20);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct HistoryQuery {
    from_ts: u64,
    until_ts: u64,
    after: Option<HistoryCursor>,
    limit: u32,
}

impl HistoryQuery {
    /// All of the history.
    pub fn new() -> Self {
        Self { from_ts: 0, until_ts: u64::MAX, after: None, limit: HISTORY_PAGE as u32 }
    }

    /// Only messages that the server received at this time (in milliseconds) or later.
    pub fn from(self, time: SystemTime) -> Self {
        Self { from_ts: millis(time), ..self }
    }

    /// Only messages that the server received before this time.
    pub fn until(self, time: SystemTime) -> Self {
        Self { until_ts: millis(time), ..self }
    }

    /// Only messages after the page that had this [`next`](HistoryPage::next).
    pub fn after(self, cursor: HistoryCursor) -> Self {
        Self { after: Some(cursor), ..self }
    }

    /// The most messages in a page: 1 to 100.
    pub fn limit(self, messages: u32) -> Self {
        Self { limit: messages, ..self }
    }

    fn operation(self, conversation: HistoryOf) -> QueryHistory {
        let Self { from_ts, until_ts, after, limit } = self;
        QueryHistory { conversation, from_ts, until_ts, after, limit }
    }
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self::new()
    }
}

impl Client {
    /// One page of the messages that this user and a peer sent each other with `enable_historical_messaging`, oldest
    /// first. [`peer_history`](Self::peer_history) reads all pages.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an invalid user id or page size,
    /// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) if the server has no history.
    pub fn query_peer_history(&self, peer_id: impl AsRef<str>, query: HistoryQuery) -> Call<HistoryPage> {
        self.request(peer(peer_id).map(|conversation| query.operation(conversation)))
    }

    /// One page of the messages that members sent to a channel with `enable_historical_messaging`, oldest first.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel) if this user is not a member
    /// ([`ErrorKind::Failure`](crate::ErrorKind::Failure) on the vendor's wire, which does not say why); and those of
    /// [`query_peer_history`](Self::query_peer_history).
    pub fn query_channel_history(&self, channel_id: impl AsRef<str>, query: HistoryQuery) -> Call<HistoryPage> {
        let channel_id = ChannelId::new(channel_id).map_err(|error| invalid(Family::History, error));
        self.request(channel_id.map(|channel_id| query.operation(HistoryOf::Channel(channel_id))))
    }

    /// The messages of [`query_peer_history`](Self::query_peer_history) as a stream, which fetches page after page.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an invalid user id.
    pub fn peer_history(&self, peer_id: impl AsRef<str>, query: HistoryQuery) -> Result<History, RtmError> {
        Ok(History::new(self, peer(peer_id)?, query))
    }
}

impl Channel {
    /// [`Client::query_channel_history`] for this channel.
    ///
    /// # Errors
    ///
    /// Those of [`Client::query_channel_history`].
    pub fn query_history(&self, query: HistoryQuery) -> Call<HistoryPage> {
        self.client().request(Ok(query.operation(HistoryOf::Channel(self.id().clone()))))
    }

    /// The messages of [`query_history`](Self::query_history) as a stream, which fetches page after page.
    ///
    /// ```no_run
    /// # async fn example(room: rtm_client::Channel) -> Result<(), rtm_client::RtmError> {
    /// use rtm_client::HistoryQuery;
    ///
    /// let mut history = room.history(HistoryQuery::new());
    /// while let Some(message) = history.try_next().await? {
    ///     println!("{}: {}", message.from, message.message.as_text().unwrap_or("(bytes)"));
    /// }
    /// # Ok(())
    /// # }
    /// ```
    pub fn history(&self, query: HistoryQuery) -> History {
        History::new(self.client(), HistoryOf::Channel(self.id().clone()), query)
    }
}

/// The messages of a history, oldest first: a `Stream<Item = Result<StoredMessage, RtmError>>` that fetches a page when
/// the one before has been read.
///
/// Each page counts as a query towards the call limit of 10 in 5 s. After an error, polling again fetches the same page again.
#[derive(Debug)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct History {
    client: Client,
    conversation: HistoryOf,
    page: VecDeque<StoredMessage>,
    call: Option<Call<HistoryPage>>,
    /// Where the next page starts; `None` when there is none.
    next: Option<HistoryQuery>,
}

impl History {
    fn new(client: &Client, conversation: HistoryOf, query: HistoryQuery) -> Self {
        Self { client: client.clone(), conversation, page: VecDeque::new(), call: None, next: Some(query) }
    }

    /// The next message, `None` at the end.
    ///
    /// # Errors
    ///
    /// Those of [`Client::query_peer_history`].
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn try_next(&mut self) -> Result<Option<StoredMessage>, RtmError> {
        self.next().await.transpose()
    }
}

impl Stream for History {
    type Item = Result<StoredMessage, RtmError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let this = &mut *self;
        loop {
            if let Some(message) = this.page.pop_front() {
                return Poll::Ready(Some(Ok(message)));
            }
            let Some(query) = this.next else { return Poll::Ready(None) };
            let (client, conversation) = (&this.client, &this.conversation);
            let call = this.call.get_or_insert_with(|| client.request(Ok(query.operation(conversation.clone()))));
            let result = ready!(call.poll_unpin(cx));
            this.call = None;
            match result {
                Ok(page) => {
                    this.next = page.next.map(|cursor| query.after(cursor));
                    this.page = page.messages.into();
                }
                Err(error) => return Poll::Ready(Some(Err(error))),
            }
        }
    }
}

fn peer(peer_id: impl AsRef<str>) -> Result<HistoryOf, RtmError> {
    UserId::new(peer_id).map(HistoryOf::Peer).map_err(|error| invalid(Family::History, error))
}

/// Milliseconds since the Unix epoch; 0 for what is before it.
fn millis(time: SystemTime) -> u64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO);
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
