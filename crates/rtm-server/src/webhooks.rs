//! What the server tells back ends, and what it asks them.

mod body;
mod caller;
pub(crate) mod client;
pub(crate) mod config;
mod deliveries;
pub(crate) mod delivery;
pub(crate) mod endpoints;
mod guard;
pub(crate) mod hooks;
pub(crate) mod signature;
pub(crate) mod status;
pub(crate) mod worker;

pub use config::{Hook, HookConfig, HookKind, HookTarget, OnError, UnknownWord, WebhookConfig, WebhookFormat};
pub use signature::{InvalidSecret, WebhookSecret};
