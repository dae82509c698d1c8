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

/// A part of a client's [`Events`]: those that [`Events::channel_part`], [`Events::peer_part`] or [`Events::part`] picked
/// for it, in their order.
///
/// Each event goes to one reader: the first part that picks it, in the order in which the parts were made, or else the
/// rest, which is the `Events` itself. Every reader, the rest included, gets two events: a [`Gap`](RtmEvent::Gap) without a
/// channel, and the change to `ABORTED`. Dropping a part returns the events that
/// wait in it to the rest, and those that it would have picked go on to the other parts and the rest.
///
/// # Slow readers
///
/// All readers share the client's [window](crate::ClientBuilder::window). The server sends at most so many events beyond
/// the first one that nobody has taken yet: one reader that takes nothing holds back the events of all, as an `Events`
/// that nobody reads does. Read every part, drop it, or make it [`lossy`](Self::lossy).
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
    /// Divides off the events of one channel: those of which [`RtmEvent::channel_id`] says that they are about it.
    /// [`EventPart`] says what that means. Events that wait already are among them.
    pub fn channel_part(&mut self, channel_id: &ChannelId) -> EventPart {
        let wanted = channel_id.clone();
        self.part_of_channel(channel_id.clone(), move |event| event.channel_id() == Some(&wanted))
    }

    /// Divides off the events of one other user: those of which [`RtmEvent::peer_id`] says that they are about that user,
    /// which are messages and invitations. Online states stay in the rest: one event tells those of many users.
    pub fn peer_part(&mut self, peer_id: &UserId) -> EventPart {
        let peer_id = peer_id.clone();
        self.part(move |event| event.peer_id() == Some(&peer_id))
    }

    /// Divides off the events for which `picks` returns `true`, those that wait already included.
    ///
    /// The client's own task calls `picks` once for each event that no earlier part picked, while readers wait: it must be
    /// quick, and must neither block nor read events of this client. If it panics, the event is not picked.
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
    /// The next event of this part; `None` when there will be no more.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<RtmEvent> {
        poll_fn(|cx| self.poll_recv(cx)).await
    }

    /// The first event that `choose` makes something of, as [`Events::wait_for`] does.
    ///
    /// # Cancel safety
    ///
    /// No event is lost when the future is dropped, but those that were passed over are.
    pub async fn wait_for<T>(&mut self, limit: Duration, choose: impl FnMut(RtmEvent) -> Option<T>) -> Option<T> {
        first_within(self, limit, choose).await
    }

    /// An event that waits, without waiting for one.
    pub fn try_recv(&mut self) -> Option<RtmEvent> {
        take(&self.shared, self.id)
    }

    /// Keeps at most `events` of the server's, at least 1, and drops the oldest beyond that: a reader that is slow here
    /// holds back nobody. What the client itself tells, of the connection and the token, is never dropped. Before the events that are left comes a [`Gap`](RtmEvent::Gap) with
    /// [`GapReason::Lossy`](crate::GapReason::Lossy) that says how many were dropped.
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
