//! Channels whose messages are values of a serde type.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::{Stream, StreamExt};
use rtm_codec::{ChannelId, ErrorKind, Family, RtmMessage, UserId, ValueError, ValueErrorKind};
use rtm_connection::{
    ConnectionChangeReason, ConnectionState, GapReason, ReceivedMessageProperties, RtmError, RtmEvent,
};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Call, Channel, EventPart, Events};

/// A [`Channel`] that sends and yields values of a serde type.
///
/// Members on the native wire get a value as MessagePack with named fields, members on the vendor's wire as JSON text. This
/// channel reads both, so a client of the vendor's SDK takes part by sending JSON.
///
/// ```no_run
/// # async fn example(client: rtm_client::Client, mut events: rtm_client::Events) -> Result<(), rtm_client::RtmError> {
/// use rtm_client::TypedEvent;
///
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Move { x: i32, y: i32 }
///
/// let game = client.channel("game")?.typed::<Move>();
/// let mut moves = game.messages(&mut events);
/// game.channel().join().await?;
/// game.send(&Move { x: 1, y: 2 }).await?;
/// while let Some(event) = moves.recv().await {
///     match event {
///         TypedEvent::Message(moved) => println!("{} moved to {}, {}", moved.member_id, moved.value.x, moved.value.y),
///         TypedEvent::Unreadable(error) => eprintln!("{error}"),
///         TypedEvent::Gap { lost, .. } => eprintln!("moves are missing: {lost:?}"),
///         TypedEvent::Aborted { reason, .. } => eprintln!("log out, and in again: {reason}"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
pub struct TypedChannel<T> {
    channel: Channel,
    value: PhantomData<fn() -> T>,
}

/// A member's message to a [`TypedChannel`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TypedMessage<T> {
    /// The channel.
    pub channel_id: ChannelId,
    /// The sender.
    pub member_id: UserId,
    /// The value.
    pub value: T,
    /// When the server received it, and whether it was stored.
    pub properties: ReceivedMessageProperties,
}

/// An item of [`TypedMessages`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum TypedEvent<T> {
    /// A member sent a value.
    Message(TypedMessage<T>),
    /// A member sent a message that is not a value of the type.
    Unreadable(TypedError),
    /// Messages of the channel were lost here, or may have been.
    #[non_exhaustive]
    Gap {
        /// How many, if known. If events of all channels were lost, this counts all of them.
        lost: Option<u64>,
        /// Why.
        reason: GapReason,
    },
    /// The server ended the session, and the client does not reconnect: no values before the next `logout` and `login`.
    #[non_exhaustive]
    Aborted {
        /// Why.
        reason: ConnectionChangeReason,
    },
}

/// A message to a [`TypedChannel`] that is not a value of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedError {
    channel_id: ChannelId,
    member_id: UserId,
    error: ValueError,
}

impl Channel {
    /// The same channel, for messages that are values of a serde type.
    #[must_use]
    pub fn typed<T: Serialize + DeserializeOwned>(&self) -> TypedChannel<T> {
        TypedChannel { channel: self.clone(), value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> TypedChannel<T> {
    /// The channel, to join and leave it.
    #[must_use]
    pub fn channel(&self) -> &Channel {
        &self.channel
    }

    /// Sends a value to all other members.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidMessage`] for a value that [cannot be sent](RtmMessage::value), such as a NaN, or that takes more than
    /// 32,768 bytes; and those of [`Channel::send_message`].
    pub fn send(&self, value: &T) -> Call<()> {
        match encode(value) {
            Ok(message) => self.channel.send_message(message),
            Err(error) => Call::refused(Family::ChannelMessage, error),
        }
    }

    /// Reads the value in an event. `None` unless the event is a message to this channel.
    ///
    /// # Errors
    ///
    /// [`TypedError`] if the message is not a value of the type. It names the channel and the sender.
    pub fn decode(&self, event: &RtmEvent) -> Option<Result<TypedMessage<T>, TypedError>> {
        read(event).filter(|_| event.channel_id() == Some(self.channel.id()))
    }

    /// Makes a part of the event stream with the channel's messages and gaps. All other events stay in the stream, also the
    /// channel's joins and leaves. The rules of [`EventPart`] apply.
    ///
    /// The reader does not keep the client alive: it ends when the last `Client`, `Channel`, `TypedChannel` and running
    /// [`Call`](crate::Call) has been dropped and the client has logged out.
    pub fn messages(&self, events: &mut Events) -> TypedMessages<T> {
        let channel_id = self.channel.id().clone();
        let is_of_channel = channel_id.clone();
        let is_message = move |event: &RtmEvent| match event {
            RtmEvent::ChannelMessage { channel_id, .. } => *channel_id == is_of_channel,
            RtmEvent::Gap { channel_id, .. } => channel_id.as_ref() == Some(&is_of_channel),
            _ => false,
        };
        TypedMessages { events: events.part_of_channel(channel_id, is_message), value: PhantomData }
    }
}

impl<T> Clone for TypedChannel<T> {
    fn clone(&self) -> Self {
        Self { channel: self.channel.clone(), value: PhantomData }
    }
}

impl<T> fmt::Debug for TypedChannel<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedChannel").field("id", self.channel.id()).finish_non_exhaustive()
    }
}

/// The stream of [`TypedChannel::messages`]: an [`EventPart`] that reads its messages as values.
#[must_use = "a stream does nothing unless it is polled"]
pub struct TypedMessages<T> {
    events: EventPart,
    value: PhantomData<fn() -> T>,
}

impl<T: Serialize + DeserializeOwned> TypedMessages<T> {
    /// The next value, unreadable message, gap or end of the session; `None` after the last one.
    ///
    /// # Cancel safety
    ///
    /// No message is lost when the future is dropped.
    pub async fn recv(&mut self) -> Option<TypedEvent<T>> {
        self.next().await
    }

    /// Keeps at most this many waiting messages and drops the oldest beyond that, as [`EventPart::lossy`] does.
    pub fn lossy(self, messages: usize) -> Self {
        Self { events: self.events.lossy(messages), value: PhantomData }
    }
}

impl<T: Serialize + DeserializeOwned> Stream for TypedMessages<T> {
    type Item = TypedEvent<T>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(event) = ready!(self.events.poll_next_unpin(cx)) else { return Poll::Ready(None) };
            if let Some(event) = typed(event) {
                return Poll::Ready(Some(event));
            }
        }
    }
}

impl<T> fmt::Debug for TypedMessages<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TypedMessages").field("events", &self.events).finish_non_exhaustive()
    }
}

impl<T> TypedEvent<T> {
    /// The message, if it is one.
    #[must_use]
    pub fn into_message(self) -> Option<TypedMessage<T>> {
        match self {
            Self::Message(message) => Some(message),
            Self::Unreadable(_) | Self::Gap { .. } | Self::Aborted { .. } => None,
        }
    }
}

impl TypedError {
    /// In which way the message is not a value.
    #[must_use]
    pub fn kind(&self) -> ValueErrorKind {
        self.error.kind()
    }

    /// The channel that it was sent to.
    #[must_use]
    pub fn channel_id(&self) -> &ChannelId {
        &self.channel_id
    }

    /// Who sent it.
    #[must_use]
    pub fn member_id(&self) -> &UserId {
        &self.member_id
    }
}

impl fmt::Display for TypedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { channel_id, member_id, error: _ } = self;
        write!(f, "what {member_id} sent to {channel_id} cannot be read")
    }
}

impl std::error::Error for TypedError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The value in an event, if the event is a message to a channel.
fn read<T: DeserializeOwned>(event: &RtmEvent) -> Option<Result<TypedMessage<T>, TypedError>> {
    let RtmEvent::ChannelMessage { channel_id, member_id, message, properties, .. } = event else { return None };
    let (channel_id, member_id) = (channel_id.clone(), member_id.clone());
    Some(match message.decode() {
        Ok(value) => Ok(TypedMessage { channel_id, member_id, value, properties: *properties }),
        Err(error) => Err(TypedError { channel_id, member_id, error }),
    })
}

/// What the reader of a channel's values is told of an event in its part.
fn typed<T: DeserializeOwned>(event: RtmEvent) -> Option<TypedEvent<T>> {
    match event {
        RtmEvent::Gap { channel_id: _, lost, reason, .. } => Some(TypedEvent::Gap { lost, reason }),
        RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. } => {
            Some(TypedEvent::Aborted { reason })
        }
        event => Some(match read(&event)? {
            Ok(message) => TypedEvent::Message(message),
            Err(error) => TypedEvent::Unreadable(error),
        }),
    }
}

fn encode<T: Serialize>(value: &T) -> Result<RtmMessage, RtmError> {
    RtmMessage::value(value).map_err(|error| {
        RtmError::new(ErrorKind::InvalidMessage, Family::ChannelMessage).with_detail(error.to_string())
    })
}
