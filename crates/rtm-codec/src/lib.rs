//! The RTM protocol: identifiers, limits, operations, events and frames. One typed model, two wires
//! ([`native`](binary) binary frames and the [`vendor`]'s JSON), both halves of each.
//!
//! The crate is pure: no sockets, no clock, no logging. A client or server turns packets into frames
//! with a codec of [`binary`] or [`vendor`] and never learns again which of the two it was.

pub mod binary;
mod command;
mod error;
mod event;
mod frame;
mod id;
pub mod limits;
mod message;
mod rate;
mod reason;
mod text;
pub mod vendor;
mod wire;

pub use command::*;
pub use error::{DecodeError, DecodeErrorKind, ErrorKind, Family, Refusal};
pub use event::{Event, SharedEvent};
pub use frame::{
    ClientFrame, KeepAlive, Login, Packet, PacketRef, Resume, Resumption, ServerFrame, SessionTicket, Welcome,
};
pub use id::{
    AppId, AttributeKey, CallId, ChannelId, Epoch, IdFault, InstanceId, InvalidId, MessageId, RequestId, Revision, Seq,
    SessionId, UserId,
};
pub use message::{
    ChannelAttribute, ChannelAttributes, HistoryMessage, PeerMessage, PeerOnlineState, RtmMessage, SendOutcome,
};
pub use rate::{CallLimit, CallLimiter, CallLimits, LimitedCall};
pub use reason::{CloseReason, LocalInvitationFailureReason, RemoteInvitationFailureReason};
pub use text::{InvalidUtf8, Text, Token, TokenTooLong};
pub use wire::{ClientWire, ServerWire, Wire};
