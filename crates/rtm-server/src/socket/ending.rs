//! How a connection ends from this side, and what is noted of that.

use std::time::Duration;

use rtm_codec::{CloseReason, ServerFrame};
use tokio::time::sleep;
use tracing::debug;

use super::{Phase, Socket};
use crate::{
    peers::{CONNECTIONS, End},
    scratch::Scratch,
};

impl Socket {
    /// Ends the connection from this side: says so on the wire and in the close frame.
    pub(super) fn close(&mut self, reason: CloseReason, detail: Option<&str>, scratch: &mut Scratch) {
        self.close_with(reason, reason.websocket_code(), detail.unwrap_or(reason.as_str()), scratch);
    }

    /// The same with a close frame that says more exactly what was wrong with the client's own.
    pub(super) fn close_with(&mut self, reason: CloseReason, code: u16, detail: &str, scratch: &mut Scratch) {
        if matches!(self.phase, Phase::LoggingIn { .. } | Phase::Judged(_) | Phase::Handed(_)) {
            self.ends(End::Closed(reason));
            self.ends_unknown(End::Closed(reason));
            self.wire.encode(&ServerFrame::Close(reason));
            self.hang_up(code, detail, scratch);
        }
    }

    /// Takes note of how the connection ends.
    pub(super) fn ends(&mut self, end: End) {
        if let Phase::Handed(handed) = &mut self.phase {
            handed.end = end;
        }
    }

    /// Logs that the connection ends and has not come to a project.
    pub(super) fn ends_unknown(&self, end: End) {
        if matches!(self.phase, Phase::LoggingIn { .. } | Phase::Judged(_)) {
            debug!(target: CONNECTIONS, remote = %self.guest.remote, reason = end.as_str(), "a connection has ended before its login");
        }
    }

    /// Ends the connection with a close frame alone, after what was encoded.
    pub(super) fn hang_up(&mut self, code: u16, detail: &str, scratch: &mut Scratch) {
        self.pack(scratch);
        self.websocket.close(code, detail, &mut scratch.write);
        self.phase = Phase::Closing;
        self.timer = Some(Box::pin(sleep(CLOSE_TIMEOUT)));
    }

    /// Ends the connection without another word.
    pub(super) fn abandon(&mut self) {
        self.phase = Phase::Ending;
        self.outbox.clear();
    }
}

/// How long a client may take to confirm a close.
pub(super) const CLOSE_TIMEOUT: Duration = Duration::from_secs(3);
/// The WebSocket code after a refused login: not one of [`CloseReason`], and not one that the vendor's
/// SDK takes for its own leaving.
pub(super) const CODE_REFUSED: u16 = 4000;
