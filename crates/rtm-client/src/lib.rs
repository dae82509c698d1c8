//! A client for real-time messaging (anyRTC RTM, and Agora RTM 1.x in the same words): users, messages between them,
//! channels, presence, attributes and call invitations, over one connection that comes back by itself.
//!
//! A [`Client`] makes calls; everything that happens arrives in one ordered stream, [`Events`], as an [`RtmEvent`].
//!
//! ```no_run
//! use rtm_client::{Client, RtmEvent};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let (client, mut events) =
//!     Client::builder().gateway("http://127.0.0.1:8080").app_id("0123456789abcdef0123456789abcdef").build()?;
//! client.login("alice", None).await?;
//! let outcome = client.send_message_to_peer("bob", "hello").await?;
//! println!("bob's device has it: {}", outcome.has_peer_received());
//!
//! while let Some(event) = events.recv().await {
//!     match event {
//!         RtmEvent::MessageFromPeer { message, peer_id, .. } => {
//!             println!("{peer_id}: {}", message.as_text().unwrap_or("(bytes)"));
//!             // Calls may be awaited here: answers do not come through the stream.
//!             client.send_message_to_peer(&peer_id, "thank you").await?;
//!         }
//!         RtmEvent::RemoteInvitationReceived { invitation } => client.refuse_invitation(&invitation, "busy").await?,
//!         RtmEvent::ConnectionStateChanged { state, reason } => println!("{state} {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Several readers
//!
//! There is one stream. [`Events::channel_part`], [`Events::peer_part`] and [`Events::part`] divide events off from it, for a
//! task of their own or a branch of `select!`; [`TypedChannel::messages`] reads values of a type of yours.
//!
//! # What may be relied on
//!
//! - *Order*: events come in the order in which the server told them, and a call's effects on the connection's state
//!   come before the call returns.
//! - *Nothing is lost silently*: a good result means that the server said so. After a lost link the session goes on
//!   where it was, without loss or repetition, on the native wire and within the server's two minutes; otherwise an
//!   [`RtmEvent::Gap`] says what is missing. A call whose session was lost before the answer ends with
//!   [`ErrorKind::OutcomeUnknown`] and is never repeated by itself.
//! - *Memory is bounded*: the server sends only so many events [beyond those taken](ClientBuilder::window).
//! - *Awaiting a call between two events cannot deadlock*: replies have their own way.
//!
//! # Two wires
//!
//! [`Wire::Native`], the default, is this project's own. [`Wire::Vendor`] is the vendor's JSON wire, which its own
//! servers speak: the client then asks the gateway for a server. [`ClientBuilder::wire`] says what that wire lacks.

mod address;
mod attributes;
mod builder;
mod call;
mod channel;
mod client;
mod driver;
mod error;
mod events;
mod gateway;
mod handshake;
mod history;
mod link;
mod settings;
#[cfg(test)]
mod testing;
mod timer;
mod tls;
mod token;
mod transport;
mod typed;

pub use attributes::ChannelAttributeOptions;
pub use builder::{ClientBuilder, connect};
pub use call::Call;
pub use channel::{Channel, SendChannelMessageOptions};
pub use client::{Client, SendMessageOptions};
pub use error::{AddressFault, BuildError, CertificateFault, ConnectError};
pub use events::{EventPart, Events};
pub use history::{History, HistoryQuery};
pub use rtm_codec::{
    AttributeKey, CallId, CallLimit, CallLimits, ChannelAttribute, ChannelAttributes, ChannelId, Epoch, ErrorKind,
    Family, HistoryCursor, HistoryPage, IdFault, InstanceId, InvalidId, LimitedCall, LocalInvitationFailureReason,
    MessageId, PeerOnlineState, Refusal, RemoteInvitationFailureReason, RequestId, Revision, RtmMessage, SendOutcome,
    Seq, SessionId, SessionTicket, StoredMessage, Text, UnknownWire, UserId, ValueError, ValueErrorKind, Wire, limits,
};
pub use rtm_connection::{
    ConnectionChangeReason, ConnectionState, GapReason, LocalInvitation, ReceivedMessageProperties, RemoteInvitation,
    Restored, RtmError, RtmEvent, Session,
};
pub use typed::{TypedChannel, TypedError, TypedEvent, TypedMessage, TypedMessages};

#[cfg(test)]
const _: () = {
    const fn may_be_spawned<T: Future + Send + Unpin + 'static>() {}
    may_be_spawned::<Call<()>>();
    const fn goes_between_threads<T: Send + Sync>() {}
    goes_between_threads::<Client>();
    goes_between_threads::<ClientBuilder>();
    goes_between_threads::<Events>();
    goes_between_threads::<EventPart>();
    goes_between_threads::<TypedMessages<std::rc::Rc<()>>>();
    goes_between_threads::<TypedChannel<std::rc::Rc<()>>>();
};
