//! The connection of an RTM client as a state machine without IO: frames go in and out; the time and a random seed are
//! arguments.
//!
//! [`Connection`] makes all decisions of a client: when to connect, what to send, when a connection is lost,
//! what to restore afterwards, how each call ends, and in which order events reach the user. It has no sockets,
//! threads or wires, so the same inputs always lead to the same outputs, and a test needs neither a server nor a sleep.
//! A driver owns the socket and the clock, and executes the outputs. Most programs use `rtm-client`, which is such a driver for tokio.
//!
//! ```
//! use std::time::Instant;
//!
//! use rtm_codec::{AppId, ClientFrame, Resumption, ServerFrame, UserId, Welcome};
//! use rtm_connection::{Config, Connection, ConnectionState, Credentials, Output};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let user_id = UserId::new("bob")?;
//! let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
//! let seed = 7; // Outside of examples: a random number of the system.
//!
//! let mut connection = Connection::new(Config::native(), seed);
//! connection.login(Instant::now(), Credentials { app_id, user_id: user_id.clone(), token: None })?;
//! loop {
//!     match connection.poll_output(Instant::now()) {
//!         // A driver opens a socket now. Here it is open at once, and a server accepts every login.
//!         Output::Dial(_) => connection.handle_opened(Instant::now()),
//!         Output::Send(ClientFrame::Login(_)) => {
//!             let welcome = Welcome {
//!                 user_id: user_id.clone(),
//!                 ticket: None,
//!                 resumption: Resumption::New,
//!                 token_expires_in_ms: None,
//!                 server_time_ms: 0,
//!                 limits: None,
//!             };
//!             connection.handle_frame(Instant::now(), ServerFrame::Welcome(Box::new(welcome)));
//!         }
//!         Output::Event(event) => println!("{event:?}"),
//!         Output::LoginResult(result) => result?,
//!         // A driver waits for a frame, for a call of the user, or until this time.
//!         Output::Wait(_) => break,
//!         _ => {}
//!     }
//! }
//! assert_eq!(connection.state(), ConnectionState::Connected);
//! # Ok(())
//! # }
//! ```
//!
//! With the feature `serde`, events and their fields implement `Serialize`, with the vendor's names.

mod backoff;
mod check;
mod config;
mod connection;
mod display;
mod error;
mod event;
mod failure;
mod gateway;
mod gateways;
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
mod timer;
mod token;

pub use config::{BackoffConfig, Config, Credentials, GatewayConfig};
pub use connection::Connection;
pub use error::RtmError;
pub use event::{GapReason, LocalInvitation, ReceivedMessageProperties, RemoteInvitation, Restored, RtmEvent};
pub use output::{AskId, Output, Target, TransportError};
pub use session::Session;
pub use state::{ConnectionChangeReason, ConnectionState};
pub use timer::{Deadline, Timer};
