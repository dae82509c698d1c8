//! Channels whose messages are values of a type of the application's own.

use std::{
    fmt,
    marker::PhantomData,
    pin::Pin,
    task::{Context, Poll, ready},
};

use futures::Stream;
use rtm_codec::{ChannelId, ErrorKind, Family, RtmMessage, UserId};
use rtm_connection::{ReceivedMessageProperties, RtmError, RtmEvent};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Channel, surrogates::without_halves};

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
    kind: TypedErrorKind,
    detail: String,
}

/// The ways in which a message is not a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum TypedErrorKind {
    /// It is plain bytes, which could be anything.
    NotAValue,
    /// It is JSON or MessagePack of something else, or neither.
    Malformed,
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
    /// [`ErrorKind::InvalidMessage`] when the value cannot be serialized or takes more than 32,768 bytes, and those of
    /// [`Channel::send_message`].
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
        let RtmEvent::ChannelMessage { channel_id, member_id, message, properties } = event else { return None };
        if channel_id != self.channel.id() {
            return None;
        }
        let (channel_id, member_id) = (channel_id.clone(), member_id.clone());
        Some(match decode(message) {
            Ok(value) => Ok(TypedMessage { channel_id, member_id, value, properties: *properties }),
            Err((kind, detail)) => Err(TypedError { channel_id, member_id, kind, detail }),
        })
    }

    /// The values in a stream of events, [`Events`](crate::Events) for one. All other events of that stream are passed
    /// over: use [`decode`](Self::decode) where they matter.
    pub fn messages<S: Stream<Item = RtmEvent> + Unpin>(&self, events: S) -> TypedMessages<S, T> {
        TypedMessages { channel: self.clone(), events }
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
    channel: TypedChannel<T>,
    events: S,
}

impl<S: Stream<Item = RtmEvent> + Unpin, T: Serialize + DeserializeOwned> Stream for TypedMessages<S, T> {
    type Item = Result<TypedMessage<T>, TypedError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        loop {
            let Some(event) = ready!(Pin::new(&mut self.events).poll_next(cx)) else { return Poll::Ready(None) };
            if let Some(message) = self.channel.decode(&event) {
                return Poll::Ready(Some(message));
            }
        }
    }
}

impl TypedError {
    /// In which way the message is not a value.
    #[must_use]
    pub fn kind(&self) -> TypedErrorKind {
        self.kind
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
        let Self { channel_id, member_id, kind: _, detail } = self;
        write!(f, "what {member_id} sent to {channel_id} is not a value of the channel's type: {detail}")
    }
}

impl std::error::Error for TypedError {}

fn encode<T: Serialize>(value: &T) -> Result<RtmMessage, RtmError> {
    // Named fields, so that a reader may know fewer or more fields than the writer, as with JSON.
    match rmp_serde::to_vec_named(value) {
        Ok(bytes) => Ok(RtmMessage::Value(bytes.into())),
        Err(error) => Err(RtmError::new(ErrorKind::InvalidMessage, Family::ChannelMessage)
            .with_detail(format!("the value cannot be serialized: {error}"))),
    }
}

fn decode<T: DeserializeOwned>(message: &RtmMessage) -> Result<T, (TypedErrorKind, String)> {
    match message {
        RtmMessage::Value(bytes) => {
            let mut rest = &bytes[..];
            let value = T::deserialize(&mut rmp_serde::Deserializer::new(&mut rest))
                .map_err(|error| (TypedErrorKind::Malformed, error.to_string()))?;
            if rest.is_empty() {
                Ok(value)
            } else {
                Err((TypedErrorKind::Malformed, "there are bytes after the value".to_owned()))
            }
        }
        RtmMessage::Text(text) => {
            serde_json::from_str(&without_halves(text)).map_err(|error| (TypedErrorKind::Malformed, error.to_string()))
        }
        _ => Err((TypedErrorKind::NotAValue, "it is plain bytes".to_owned())),
    }
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(tag = "kind", rename_all = "lowercase")]
    enum Shape {
        Circle {
            r: f64,
        },
        Named {
            name: String,
            #[serde(default, skip_serializing_if = "Option::is_none")]
            note: Option<String>,
        },
    }

    #[test]
    fn a_value_is_read_from_its_compact_form_and_from_json() {
        let shape = Shape::Named { name: "中".to_owned(), note: None };
        assert_eq!(decode::<Shape>(&encode(&shape).unwrap()).unwrap(), shape);
        assert_eq!(
            decode::<Shape>(&RtmMessage::text(r#"{"kind":"circle","r":1.5}"#)).unwrap(),
            Shape::Circle { r: 1.5 }
        );
        let cut = decode::<Shape>(&RtmMessage::text(r#"{"kind":"named","name":"a\ud83d"}"#));
        assert_eq!(cut.unwrap(), Shape::Named { name: "a\u{fffd}".to_owned(), note: None }, "half an emoji");
    }

    #[test]
    fn what_is_not_a_value_says_how() {
        let good = encode(&Shape::Circle { r: 1.0 }).unwrap();
        let RtmMessage::Value(bytes) = good else { panic!("not a value") };
        let mut longer = bytes.to_vec();
        longer.push(0);
        for (message, kind) in [
            (RtmMessage::Binary(bytes.clone()), TypedErrorKind::NotAValue),
            (RtmMessage::Value(longer.into()), TypedErrorKind::Malformed),
            (RtmMessage::Value(bytes.slice(..bytes.len() - 1)), TypedErrorKind::Malformed),
            (RtmMessage::text("hello"), TypedErrorKind::Malformed),
            (RtmMessage::text(r#"{"kind":"square"}"#), TypedErrorKind::Malformed),
            // Deeper than any honest value: refused, not recursed into until the stack ends.
            (RtmMessage::Value(vec![0x91; 32_768].into()), TypedErrorKind::Malformed),
            (RtmMessage::text("[".repeat(32_768)), TypedErrorKind::Malformed),
        ] {
            assert_eq!(decode::<Shape>(&message).unwrap_err().0, kind);
        }
    }
}
