//! One part of a stream that is divided.

use std::{
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use futures::{Stream, future::poll_fn};
use rtm_connection::RtmEvent;

use super::{
    Events,
    divided::{PartId, Picker},
    first_within, poll_event,
    queue::Shared,
};
use crate::{ChannelId, UserId};

/// A part of a client's [`Events`], made by [`Events::channel_part`], [`Events::peer_part`] or [`Events::part`]. It has the
/// events that it picks, in order.
///
/// Each event goes to one reader: to the oldest part that picks it, and otherwise to the rest, which is the `Events` itself.
/// Two events go to every reader, the rest included: a [`Gap`](RtmEvent::Gap) without a channel, and the change to `ABORTED`.
/// Dropping a part moves its waiting events to the rest; later events go to the other parts and the rest.
///
/// # Slow readers
///
/// All readers share the client's [window](crate::ClientBuilder::window): the server sends at most this many events after
/// the first unread one. So a part that nobody reads holds back the events of all readers. Read every part, drop it, or make it
/// [`lossy`](Self::lossy).
///
/// ```no_run
/// # async fn example(client: rtm_client::Client, mut events: rtm_client::Events) -> Result<(), rtm_client::RtmError> {
/// let lobby = client.channel("lobby")?;
/// let mut in_lobby = events.channel_part(lobby.id());
/// lobby.join().await?;
/// tokio::spawn(async move {
///     while let Some(event) = in_lobby.recv().await {
///         println!("in the lobby: {event}");
///     }
/// });
/// while let Some(event) = events.recv().await {
///     println!("elsewhere: {event}");
/// }
/// # Ok(())
/// # }
/// ```
pub struct EventPart {
    shared: Arc<Shared>,
    id: PartId,
}

impl Events {
    /// Makes a part with the events of one channel: those with its [`RtmEvent::channel_id`], including events that wait
    /// already. Make it before joining the channel, so that it has all events. See [`EventPart`].
    pub fn channel_part(&mut self, channel_id: &ChannelId) -> EventPart {
        let wanted = channel_id.clone();
        self.part_of_channel(channel_id.clone(), move |event| event.channel_id() == Some(&wanted))
    }

    /// Makes a part with the messages and invitations of one other user: the events with its [`RtmEvent::peer_id`], including
    /// events that wait already. Online states stay in the rest, because one event has those of many users.
    pub fn peer_part(&mut self, peer_id: &UserId) -> EventPart {
        let peer_id = peer_id.clone();
        self.part(move |event| event.peer_id() == Some(&peer_id))
    }

    /// Makes a part with the events for which `picks` returns `true`, including events that wait already.
    ///
    /// ```no_run
    /// # fn example(mut events: rtm_client::Events) {
    /// use rtm_client::RtmEvent;
    ///
    /// let presence = events.part(|event| matches!(event, RtmEvent::PeersOnlineStatusChanged { .. }));
    /// # }
    /// ```
    ///
    /// The client's task calls `picks` once for each event that no older part picked. It must be fast, and must not block or
    /// read events of this client. If it panics, the part does not get the event.
    pub fn part(&mut self, picks: impl FnMut(&RtmEvent) -> bool + Send + 'static) -> EventPart {
        self.divide(Picker { channel_id: None, picks: Box::new(picks) })
    }

    /// The events for which `picks` returns `true`, all of them about this channel.
    pub(crate) fn part_of_channel(
        &mut self,
        channel_id: ChannelId,
        picks: impl FnMut(&RtmEvent) -> bool + Send + 'static,
    ) -> EventPart {
        self.divide(Picker { channel_id: Some(channel_id), picks: Box::new(picks) })
    }

    fn divide(&mut self, picker: Picker) -> EventPart {
        let mut queue = self.shared.queue();
        let mut waiting = std::mem::take(&mut self.fetched);
        waiting.append(&mut queue.events);
        let divided = queue.divided.get_or_insert_default();
        for event in waiting {
            divided.route(event, true);
        }
        let id = divided.add(picker);
        EventPart { shared: Arc::clone(&self.shared), id }
    }
}

impl EventPart {
    /// The next event of this part, `None` after the last one.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<RtmEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// Reads events until `choose` returns `Some`, as [`Events::wait_for`] does.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses only the events that `choose` has seen.
    pub async fn wait_for<T>(&mut self, limit: Duration, choose: impl FnMut(RtmEvent) -> Option<T>) -> Option<T> {
        first_within(self, limit, choose).await
    }

    /// Returns the next waiting event, or `None` if there is none yet.
    pub fn try_recv(&mut self) -> Option<RtmEvent> {
        take(&self.shared, self.id)
    }

    /// Keeps at most `events` waiting events (at least 1) and drops the oldest beyond that, so that a slow reader of this part
    /// holds back nobody. A [`Gap`](RtmEvent::Gap) with [`GapReason::Lossy`](crate::GapReason::Lossy) replaces the dropped events
    /// and has their number. Events about the connection and the token are never dropped.
    #[must_use]
    pub fn lossy(self, events: usize) -> Self {
        let mut queue = self.shared.queue();
        let taken = queue.divided.as_mut().map_or(0, |divided| divided.set_most(self.id, events.max(1)));
        drop(queue);
        self.shared.taken(taken);
        self
    }

    fn poll_recv(&mut self, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        poll_event(cx, &self.shared, Some(self.id), || take(&self.shared, self.id))
    }
}

impl Stream for EventPart {
    type Item = RtmEvent;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<RtmEvent>> {
        self.poll_recv(cx)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.shared.queue().divided.as_ref().map_or(0, |divided| divided.len(Some(self.id))), None)
    }
}

impl Drop for EventPart {
    fn drop(&mut self) {
        let mut queue = self.shared.queue();
        let rest_is_read = !queue.is_abandoned;
        let Some(divided) = &mut queue.divided else { return };
        let Some((taken, picker)) = divided.remove(self.id, rest_is_read) else { return };
        let woken = divided.take_woken();
        drop(queue);
        drop(picker);
        self.shared.taken(taken);
        woken.into_iter().for_each(std::task::Waker::wake);
    }
}

impl fmt::Debug for EventPart {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EventPart").field("id", &self.id).finish_non_exhaustive()
    }
}

fn take(shared: &Shared, id: PartId) -> Option<RtmEvent> {
    let (event, taken) = shared.queue().divided.as_mut()?.take(Some(id))?;
    shared.taken(taken);
    Some(event)
}
