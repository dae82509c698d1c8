//! The connection of an RTM client as a state machine without IO: typed frames go in and out, time and the seed
//! of all randomness are arguments.

mod backoff;
mod check;
mod config;
mod connection;
mod display;
mod error;
mod event;
mod intent;
mod invitation;
mod limiter;
mod link;
mod output;
mod pending;
mod recent;
mod rng;
mod session;
mod state;
mod stream;
mod token;

pub use config::{BackoffConfig, Config, Credentials};
pub use connection::Connection;
pub use error::RtmError;
pub use event::{GapReason, LocalInvitation, ReceivedMessageProperties, RemoteInvitation, Restored, RtmEvent};
pub use output::{Dial, DialError, Output};
pub use session::Session;
pub use state::{ConnectionChangeReason, ConnectionState};
