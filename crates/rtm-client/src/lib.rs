//! A client for RTM (real-time messaging), as anyRTC RTM and Agora RTM 1.x define it: users, messages, channels, presence,
//! attributes and call invitations, over one connection that reconnects by itself.
//!
//! A [`Client`] makes calls. All events arrive in order on one stream, [`Events`]. **[The page of `Client`](Client) is the
//! guide**: login, events, messages, channels, presence, attributes, invitations, tokens, reconnects, shutdown, testing.
//!
//! ```
//! use rtm_client::{Client, RtmEvent};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let app_id = rtm_server::AppId::new("0123456789abcdef0123456789abcdef")?;
//! # let server = rtm_server::Server::builder().project(app_id).bind("127.0.0.1:0").await?;
//! # let gateway = format!("http://{}", server.local_addr());
//! // A gateway is the URL of a server, such as "http://127.0.0.1:8080".
//! let (client, mut events) =
//!     Client::builder().gateway(&gateway).app_id("0123456789abcdef0123456789abcdef").build()?;
//! client.login("alice", None).await?;
//! # let (bob, _) = rtm_client::connect(&gateway, "0123456789abcdef0123456789abcdef", "bob", None).await?;
//! # bob.send_message_to_peer("alice", "hello").await?;
//!
//! while let Some(event) = events.recv().await {
//!     match event {
//!         RtmEvent::MessageFromPeer { peer_id, message, .. } => {
//!             println!("{peer_id}: {}", message.as_text().unwrap_or("(not a text)"));
//!             client.send_message_to_peer(&peer_id, "thank you").await?;
//! #           break;
//!         }
//!         RtmEvent::ConnectionStateChanged { state, reason, .. } => println!("{state}, {reason}"),
//!         _ => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | set up a client | [`Client::builder`], [`connect`] |
//! | call the server | [`Client`], [`Channel`]; each call is a [`Call`], and fails with an [`RtmError`] that has an [`ErrorKind`] |
//! | read events | [`Events`], [`RtmEvent`]; [`EventPart`] divides the stream among several readers |
//! | send values of a serde type | [`Channel::typed`], [`RtmMessage::value`] |
//! | read history | [`Channel::history`], [`Client::peer_history`] |
//! | continue in another process | [`Client::session`], [`ClientBuilder::resume`] |
//!
//! # What may be relied on
//!
//! - *Order*: events arrive in the order in which they happened on the server. The events of a call about the connection's state
//!   arrive before the call returns.
//! - *Nothing is lost silently*: `Ok` means that the server confirmed the call. On the native wire, a connection that is lost for up to
//!   two minutes loses and repeats no event. Otherwise [`RtmEvent::Gap`] reports what is missing. If the session is lost before
//!   the answer to a call, the call is made again where that does no harm, and fails with [`ErrorKind::OutcomeUnknown`] otherwise.
//! - *Memory is bounded*: the server sends a limited number of events [beyond those that were read](ClientBuilder::window).
//! - *No deadlock*: a call can be awaited between two events, because answers do not come through the stream.
//!
//! # Two wires
//!
//! [`Wire::Native`], the default, is the binary protocol of this project. [`Wire::Vendor`] is the JSON protocol of anyRTC's SDK
//! and servers. See [`ClientBuilder::wire`] for what that wire lacks.
//!
//! # Features
//!
//! Default: `ring`, `native-roots`, `vendor`, `typed`, `tracing`. Without any, the crate is the native wire without TLS.
//!
//! - `ring`, `aws-lc-rs`: TLS, with this cryptography; with both, `aws-lc-rs` is used.
//! - `native-roots`, `webpki-roots`: trust the certificates of the system, or Mozilla's.
//! - `rustls`: `ClientBuilder::tls_config` takes a TLS configuration of your own.
//! - `vendor`: the vendor's wire. `typed`: typed channels. `tracing`: logs. `serde`: events can be serialized, and a session saved.

mod address;
mod attributes;
mod builder;
mod call;
mod cause;
mod channel;
mod client;
mod driver;
pub mod error;
mod events;
#[cfg(feature = "vendor")]
mod gateway;
mod handshake;
mod history;
mod link;
mod log;
mod network;
mod proxy;
mod settings;
mod stats;
#[cfg(test)]
mod switchboard;
#[cfg(feature = "test-util")]
pub mod testing;
mod timer;
#[cfg(feature = "_tls")]
mod tls;
#[cfg(not(feature = "_tls"))]
#[path = "no_tls.rs"]
mod tls;
mod token;
mod transport;
#[cfg(feature = "typed")]
mod typed;

pub use attributes::ChannelAttributeOptions;
pub use builder::{ClientBuilder, connect};
pub use call::Call;
pub use channel::{Channel, SendChannelMessageOptions};
pub use client::{Client, SendMessageOptions};
pub use error::{BuildError, ConnectError};
pub use events::{EventPart, Events};
pub use history::{History, HistoryQuery};
pub use proxy::Proxy;
pub use rtm_codec::{
    AttributeKey, CallLimit, CallLimits, ChannelAttribute, ChannelAttributes, ChannelId, ErrorKind, HistoryCursor,
    HistoryPage, LimitedCall, LocalInvitationFailureReason, PeerOnlineState, RemoteInvitationFailureReason, Revision,
    RtmMessage, SendOutcome, StoredMessage, Text, UserId, Wire, limits,
};
pub use rtm_connection::{
    ConnectionChangeReason, ConnectionState, GapReason, LocalInvitation, ReceivedMessageProperties, RemoteInvitation,
    Restored, RtmError, RtmEvent, Session,
};
pub use stats::ClientStats;
#[cfg(feature = "rustls")]
pub use tokio_rustls::rustls;
#[cfg(feature = "typed")]
pub use typed::{TypedChannel, TypedError, TypedEvent, TypedMessage, TypedMessages};

/// Types of the protocol that few programs name: numbers and ids behind sessions, messages and invitations.
pub mod protocol {
    pub use rtm_codec::{CallId, Epoch, InstanceId, MessageId, RequestId, Seq, SessionId, SessionTicket};
}

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
