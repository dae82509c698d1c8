//! The RTM protocol: ids, limits, operations, events and frames, as one typed model with two wire protocols:
//! [`native`] (binary) and [`anyrtc`] (the vendor's JSON), each with its client half and its server half.
//!
//! A frame is a value, such as a login, a request or an event. A codec turns frames into packets, which are the messages of a
//! WebSocket, and back. [`ClientWire`] and [`ServerWire`] choose the wire; nothing else depends on it. [`websocket`] frames packets
//! for a byte stream. The crate does no IO, reads no clock and logs nothing.
//!
//! ```
//! use rtm_codec::{
//!     ClientFrame, ClientWire, MessageId, RequestId, RtmMessage, SendMessageToPeer, ServerWire, UserId, Wire,
//! };
//!
//! let request = ClientFrame::Request {
//!     id: RequestId(1),
//!     command: SendMessageToPeer {
//!         message_id: MessageId(1),
//!         peer_id: UserId::new("bob")?,
//!         message: RtmMessage::text("hello"),
//!         enable_offline_messaging: false,
//!         enable_historical_messaging: false,
//!     }
//!     .into(),
//! };
//!
//! for wire in [Wire::Native, Wire::Vendor] {
//!     let mut client = ClientWire::new(wire);
//!     client.encode(&request);
//!     let packet = client.take_packet().ok_or("no packet")?;
//!
//!     let (mut server, mut frames) = (ServerWire::new(wire), Vec::new());
//!     server.decode(packet, &mut frames)?;
//!     assert_eq!(frames, [request.clone()]);
//! }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! Most programs use `rtm-client` or `rtm-server` instead. Without answers, a codec accepts at most
//! [4,096 requests](limits::REQUESTS_IN_FLIGHT): it keeps track of those under way.

mod abilities;
pub mod anyrtc;
mod budgets;
mod command;
mod decode_error;
mod error;
mod event;
mod frame;
mod id;
mod json;
pub mod limits;
mod message;
pub mod native;
#[cfg(feature = "typed")]
mod portable;
#[cfg(feature = "serde")]
mod printed;
mod rate;
mod reason;
#[cfg(feature = "typed")]
mod surrogates;
mod text;
#[cfg(feature = "typed")]
mod typed;
mod value;
pub mod websocket;
mod wire;

pub use abilities::{Abilities, UnknownWire, Wire};
pub use budgets::{Budgets, CallLimiter};
pub use command::*;
pub use decode_error::{DecodeError, DecodeErrorKind, IdFault, InvalidId};
pub use error::{ErrorKind, Family, Refusal};
pub use event::{Event, SharedEvent};
pub use frame::{
    ClientFrame, KeepAlive, Login, Packet, PacketRef, Resume, Resumption, ServerFrame, SessionTicket, Welcome,
};
pub use id::{
    AppId, AttributeKey, CallId, ChannelId, Epoch, InstanceId, MessageId, RequestId, Revision, Seq, SessionId, UserId,
};
pub use message::{
    ChannelAttribute, ChannelAttributes, PeerMessage, PeerOnlineState, RtmMessage, SendOutcome, StoredMessage,
    system_time,
};
pub use rate::{CallLimit, CallLimits, LimitedCall};
pub use reason::{CloseReason, LocalInvitationFailureReason, RemoteInvitationFailureReason};
pub use text::{InvalidUtf8, Text, Token, TokenTooLong};
#[cfg(feature = "typed")]
pub use typed::{ValueError, ValueErrorKind};
pub use wire::{ClientWire, ServerWire};
