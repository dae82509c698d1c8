//! Channels whose messages are values of a type of the application's own.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;
use rtm_codec::{ChannelId, ErrorKind, Family, RtmMessage, UserId, ValueError, ValueErrorKind};
use rtm_connection::{ReceivedMessageProperties, RtmError, RtmEvent};
use serde::{Serialize, de::DeserializeOwned};

use crate::Channel;

/// A [`Channel`] that sends and yields values of a serde type.
///
/// A value travels as MessagePack with named fields to members on the native wire and as JSON text to those on the
/// vendor's, so one message is compact for the ones and readable for the others. Both are read here, so a vendor client
/// takes part by sending JSON.
///
/// ```no_run
/// # async fn example(client: rtm_client::Client, mut events: rtm_client::Events) -> Result<(), rtm_client::RtmError> {
/// #[derive(serde::Serialize, serde::Deserialize)]
/// struct Move { x: i32, y: i32 }
///
/// let game = client.channel("game")?.typed::<Move>();
/// game.channel().join().await?;
/// game.send(&Move { x: 1, y: 2 }).await?;
/// while let Some(event) = events.recv().await {
///     match game.decode(&event) {
///         Some(Ok(message)) => println!("{} moved to {}, {}", message.member_id, message.value.x, message.value.y),
///         Some(Err(error)) => eprintln!("{error}"),
///         None => { /* an event of another kind or channel */ }
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
pub struct TypedMessage<T> {
    /// Where.
    pub channel_id: ChannelId,
    /// Who sent it.
    pub member_id: UserId,
    /// What was sent.
    pub value: T,
    /// How it came.
    pub properties: ReceivedMessageProperties,
}

/// A message to a [`TypedChannel`] that is not a value of its type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TypedError {
    channel_id: ChannelId,
    member_id: UserId,
    error: ValueError,
}

impl Channel {
    /// The same channel, for messages that are values of a type of your own.
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
    /// [`ErrorKind::InvalidMessage`] for a value that is [no message](RtmMessage::value): it would be another one at the
    /// receiver, or takes more than 32,768 bytes. And those of [`Channel::send_message`].
    pub fn send<'a>(&'a self, value: &T) -> impl Future<Output = Result<(), RtmError>> + Send + use<'a, T> {
        let message = encode(value);
        async move { self.channel.send_message(message?).await }
    }

    /// The value in an event: `None` unless the event is a message to this channel.
    ///
    /// # Errors
    ///
    /// [`TypedError`] when the message is not a value of the type. It names channel and sender.
    pub fn decode(&self, event: &RtmEvent) -> Option<Result<TypedMessage<T>, TypedError>> {
        read(self.channel.id(), event)
    }

    /// The values in a stream of events, [`Events`](crate::Events) for one. All other events of that stream are passed
    /// over: use [`decode`](Self::decode) where they matter.
    /// The reader is no handle of the client: the stream ends when the last other one is dropped.
    pub fn messages<S: Stream<Item = RtmEvent> + Unpin>(&self, events: S) -> TypedMessages<S, T> {
        TypedMessages { channel_id: self.channel.id().clone(), events, value: PhantomData }
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

/// The stream that [`TypedChannel::messages`] gives.
#[derive(Debug, Clone)]
#[must_use = "a stream does nothing unless it is polled"]
pub struct TypedMessages<S, T> {
    channel_id: ChannelId,
    events: S,
    value: PhantomData<fn() -> T>,
}

impl<S: Stream<Item = RtmEvent> + Unpin, T: Serialize + DeserializeOwned> Stream for TypedMessages<S, T> {
    type Item = Result<TypedMessage<T>, TypedError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(event) = ready!(Pin::new(&mut self.events).poll_next(cx)) else { return Poll::Ready(None) };
            if let Some(message) = read(&self.channel_id, &event) {
                return Poll::Ready(Some(message));
            }
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

fn read<T: DeserializeOwned>(channel: &ChannelId, event: &RtmEvent) -> Option<Result<TypedMessage<T>, TypedError>> {
    let RtmEvent::ChannelMessage { channel_id, member_id, message, properties } = event else { return None };
    if channel_id != channel {
        return None;
    }
    let (channel_id, member_id) = (channel_id.clone(), member_id.clone());
    Some(match message.decode() {
        Ok(value) => Ok(TypedMessage { channel_id, member_id, value, properties: *properties }),
        Err(error) => Err(TypedError { channel_id, member_id, error }),
    })
}

fn encode<T: Serialize>(value: &T) -> Result<RtmMessage, RtmError> {
    RtmMessage::value(value).map_err(|error| {
        RtmError::new(ErrorKind::InvalidMessage, Family::ChannelMessage).with_detail(error.to_string())
    })
}
