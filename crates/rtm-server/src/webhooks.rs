//! What the server tells back ends, and what it asks them.

mod caller;
mod client;
pub(crate) mod config;
mod deliveries;
mod guard;
pub(crate) mod hooks;
pub(crate) mod signature;

pub use config::{Hook, HookConfig, HookKind, HookTarget, OnError, UnknownWord, WebhookConfig, WebhookFormat};
pub use signature::{InvalidSecret, WebhookSecret};
