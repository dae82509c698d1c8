//! The RTM protocol: identifiers, limits, operations, events and frames. One typed model, two wires
//! ([`native`] binary frames and [`anyrtc`], the vendor's JSON), both halves of each.
//!
//! The crate is pure: no sockets, no clock, no logging. A client or server turns packets into frames
//! with a codec of [`native`] or [`anyrtc`] and never learns again which of the two it was. [`websocket`] is what the
//! packets travel in.

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
};
pub use rate::{CallLimit, CallLimits, LimitedCall};
pub use reason::{CloseReason, LocalInvitationFailureReason, RemoteInvitationFailureReason};
pub use text::{InvalidUtf8, Text, Token, TokenTooLong};
#[cfg(feature = "typed")]
pub use typed::{ValueError, ValueErrorKind};
pub use wire::{ClientWire, ServerWire};
