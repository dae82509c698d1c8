//! What a client is set up with, beside its connection.

use std::time::Duration;

use rtm_codec::{AppId, Wire};
use rtm_connection::Target;

use crate::address::Address;

/// What the client's task and its link go by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) app_id: AppId,
    /// In the order of the machine's.
    pub(crate) gateways: Vec<Address>,
    pub(crate) wire: Wire,
    pub(crate) window: u32,
    /// Whether a call that is made too often waits.
    pub(crate) waits_for_limits: bool,
    /// The pauses before logging in again: the longest first one, and the longest of all.
    pub(crate) relogin: Option<(Duration, Duration)>,
}

impl Settings {
    /// Where a dial goes to. The servers that a gateway names speak TLS if it does.
    pub(crate) fn address(&self, target: Target) -> Address {
        match target {
            Target::Gateway(gateway) => self.gateways[gateway].clone(),
            Target::Server { gateway, address } => self.gateways[gateway].named(&address.host, address.port),
        }
    }
}
