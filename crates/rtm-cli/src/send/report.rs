//! What became of a message, as a line of JSON.

use rtm_client::{ErrorKind, RtmError, SendOutcome};
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::output;

/// What became of a message.
#[derive(Debug)]
pub(super) enum Sent {
    /// One to a user.
    Peer(SendOutcome),
    /// One to a channel: the server took it.
    Accepted,
    /// One that was refused, or whose fate is not known.
    Failed(RtmError),
}

/// A line of JSON.
#[derive(Debug)]
pub(super) struct Report<'a> {
    /// Which line of standard input the message was.
    pub(super) line: Option<u64>,
    pub(super) sent: &'a Sent,
}

impl From<Result<Option<SendOutcome>, RtmError>> for Sent {
    fn from(sent: Result<Option<SendOutcome>, RtmError>) -> Self {
        match sent {
            Ok(Some(outcome)) => Self::Peer(outcome),
            Ok(None) => Self::Accepted,
            Err(error) => Self::Failed(error),
        }
    }
}

impl Report<'_> {
    pub(super) fn print(&self) -> anyhow::Result<()> {
        output::line(serde_json::to_string(self)?)
    }
}

impl Serialize for Report<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        if let Some(line) = self.line {
            map.serialize_entry("line", &line)?;
        }
        match self.sent {
            Sent::Peer(outcome) => {
                map.serialize_entry("has_peer_received", &outcome.has_peer_received())?;
                let outcome = match outcome {
                    SendOutcome::Delivered => "delivered",
                    SendOutcome::Stored => "stored",
                    // And whatever else is added: the receiver has not got it.
                    _ => "not_received",
                };
                map.serialize_entry("outcome", outcome)?;
            }
            Sent::Accepted => map.serialize_entry("outcome", "accepted")?,
            Sent::Failed(error) => {
                map.serialize_entry("outcome", if is_unknown(error) { "unknown" } else { "refused" })?;
                map.serialize_entry("error", &format!("{:?}", error.kind()))?;
                if let Some(code) = error.code() {
                    map.serialize_entry("code", &code)?;
                }
                if let Some(wait) = error.retry_after() {
                    map.serialize_entry("retry_after_ms", &wait.as_millis())?;
                }
            }
        }
        map.end()
    }
}

/// Whether the message may have been sent all the same.
pub(super) fn is_unknown(error: &RtmError) -> bool {
    matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Timeout)
}
