//! A server for RTM (real-time messaging), as a library: it runs inside a test, a program, or `rtm serve`.
//!
//! One port serves everything: the vendor's HTTP gateway, WebSocket connections on both wires, and
//! `/healthz`.
//!
//! [`core`] (the crate `rtm-core`) is the sans-IO heart of one project: frames and time in, frames out. Everything else here
//! moves bytes: [`Server`] listens, each socket is one task, and a [`Backend`](core::store::Backend) keeps
//! what outlives a session.

mod address;
mod admission;
mod bind;
mod clock;
mod config;
mod counted;
mod error;
mod handle;
mod http;
mod listener;
#[cfg(feature = "http")]
mod mounted;
mod outbox;
mod project;
mod redb;
mod refusals;
mod remote;
mod scratch;
mod server;
mod shared;
mod socket;
mod store;
mod tasks;
mod tls;

pub use self::redb::{DamagedRecord, Redb, StoreRecord};
pub use address::{InvalidAddress, ListenAddress};
pub use config::{Advertise, ServerConfig};
pub use error::{ConfigError, ConfigErrorKind, NotServed, ServerError, ServerErrorKind};
pub use handle::ServerHandle;
#[cfg(feature = "http")]
pub use mounted::ResponseBody;
#[cfg(feature = "tower-service")]
pub use mounted::RtmService;
pub use remote::Remote;
pub use rtm_codec::{AppId, CallLimit, CallLimits, LimitedCall, UserId};
pub use rtm_core as core;
pub use rtm_core::{ProjectConfig, Settings, store::BackendError};
pub use rtm_token::{Certificate, Policy};
pub use server::{Server, ServerBuilder, ServerStats};
pub use tls::TlsFiles;
