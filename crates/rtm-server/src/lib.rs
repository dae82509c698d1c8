//! A server for RTM (real-time messaging) as a library, for tests and programs. `rtm serve` is built on it.
//!
//! ```
//! use rtm_server::{AppId, Server};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let app_id = AppId::new("0123456789abcdef0123456789abcdef")?;
//! let server = Server::builder().project(app_id).bind("127.0.0.1:0").await?;
//! println!("clients connect to http://{}", server.local_addr());
//! server.shutdown().await;
//! # Ok(())
//! # }
//! ```
//!
//! | to | use |
//! |---|---|
//! | start and stop a server | [`Server`], [`ServerBuilder`] |
//! | add projects, certificates, call limits and settings | [`ProjectConfig`], [`CallLimits`], [`Settings`] |
//! | read a config file | [`ServerConfig::from_toml_str`] |
//! | store messages and attributes in a file | [`ServerBuilder::data_dir`]; [`ServerBuilder::backend`] for a store of your own |
//! | serve connections that your program accepted | [`ServerHandle::serve`]; with the feature `tower-service`, in an axum application |
//! | be one of several servers that serve as one, on NATS | `ClusterConfig` in [`ServerConfig`], with the feature `cluster` |
//! | have Prometheus scrape it, look into it and steer it | `AdminConfig` in [`ServerConfig`], with the feature `admin` |
//! | send traces to a collector of OpenTelemetry | `OtlpConfig` in [`ServerConfig`], with the feature `otlp` |
//! | ban or kick a user, revoke tokens, delete a user's data | [`Server::ban`], [`Server::kick`], [`Server::revoke_tokens`], [`Server::delete_data`] |
//! | read figures | [`Server::stats`] |
//!
//! One port serves everything: WebSocket connections on both wires, the HTTP gateway of the vendor's wire, the REST API, `/livez`, `/readyz`
//! and `/healthz`.
//! [`core`] (the crate `rtm-core`) has the rules of the protocol, without IO.

mod address;
#[cfg(feature = "admin")]
mod admin;
mod admission;
mod bind;
#[cfg(feature = "admin")]
mod call_times;
#[doc(hidden)]
pub mod client_address;
mod clock;
#[cfg(feature = "cluster")]
mod cluster;
mod config;
mod counted;
mod error;
#[cfg(any(feature = "admin", feature = "webhooks"))]
mod events;
#[cfg(feature = "cluster")]
mod floor;
mod gate;
mod handle;
mod http;
mod http_figures;
#[cfg(feature = "cluster")]
mod link;
mod listener;
mod live;
mod memory;
#[cfg(feature = "http")]
mod mounted;
mod outbox;
#[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody looks at who is there"))]
mod peers;
mod project;
mod random;
mod redb;
mod refusals;
mod remote;
#[cfg(feature = "rest")]
mod rest;
mod scratch;
mod server;
mod shared;
mod socket;
mod spare;
mod store;
mod stream;
mod tasks;
mod tls;
mod traces;
#[cfg(feature = "webhooks")]
mod webhooks;
mod workers;

pub use self::redb::{DamagedRecord, Redb, StoreRecord};
pub use address::{InvalidAddress, ListenAddress};
#[cfg(feature = "admin")]
pub use admin::{
    config::{AdminConfig, AdminKey, AdminRole, BuildInfo, UnknownRole},
    log::{LogControl, LogCounts},
    openapi::admin_openapi,
};
pub use client_address::{ClientAddress, InvalidNetwork, Network, UnknownClientAddress};
#[cfg(feature = "cluster")]
pub use cluster::{
    ClusterConfig, ClusterError, ClusterErrorKind, ClusterName, ClusterProbe, ClusterStatus, ClusterStore,
    InvalidClusterName, InvalidNatsUrl, NatsTls, NatsUrl, NodeState, NodeStatus, Whereabouts,
};
#[cfg(feature = "rest")]
pub use config::RestConfig;
pub use config::{
    Advertise, ConfigKey, ConfigKind, ConfigSource, ListenerConfig, LogConfig, LogFormat, ServerConfig,
    UnknownLogFormat,
};
pub use error::{ConfigError, ConfigErrorKind, NotChanged, NotServed, ReloadError, ServerError, ServerErrorKind};
pub use handle::ServerHandle;
#[cfg(feature = "http")]
pub use mounted::ResponseBody;
#[cfg(feature = "tower-service")]
pub use mounted::RtmService;
pub use remote::Remote;
#[cfg(feature = "rest")]
pub use rest::new_rest_secret;
#[cfg(feature = "rest")]
pub use rtm_codec::anyrtc::rest::ChannelMessageType;
pub use rtm_codec::{AppId, CallLimit, CallLimits, IdFault, InvalidId, LimitedCall, UserId};
pub use rtm_core as core;
#[cfg(feature = "cluster")]
pub use rtm_core::cluster::{InvalidNodeName, NodeName};
pub use rtm_core::{
    InvalidRestKey, ProjectConfig, Quotas, RestAccess, RestKey, RestRights, Settings, store::BackendError,
};
pub use rtm_token::{Certificate, Policy};
pub use server::{Server, ServerBuilder, ServerStats, reload::Reloaded};
pub use tls::{TlsConfig, TlsFiles, TlsVersion, UnknownTlsVersion};
#[cfg(feature = "otlp")]
pub use traces::config::{InvalidNameValue, OtlpAttribute, OtlpConfig, OtlpHeader};
#[cfg(feature = "webhooks")]
pub use webhooks::{
    Hook, HookConfig, HookKind, HookTarget, InvalidSecret, OnError, UnknownWord, WebhookConfig, WebhookFormat,
    WebhookSecret,
};
