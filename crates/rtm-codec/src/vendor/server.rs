//! The server's half of the vendor's wire.

use crate::{ClientFrame, DecodeError, Packet, Seq, ServerFrame, SharedEvent};

/// One socket's state, server side.
#[derive(Debug, Default)]
pub struct ServerCodec {}

impl ServerCodec {
    /// For a socket just accepted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one packet of the client and appends the frames in it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet is not of this wire; the connection is to be closed.
    pub fn decode(&mut self, _packet: Packet, _frames: &mut Vec<ClientFrame>) -> Result<(), DecodeError> {
        Ok(())
    }

    /// Appends a frame to what goes out.
    pub fn encode(&mut self, _frame: &ServerFrame) {}

    /// Appends an event to what goes out; its bytes are made once for all receivers.
    pub fn encode_event(&mut self, _seq: Seq, _event: &SharedEvent) {}

    /// The next packet to send; one frame each.
    pub fn take_packet(&mut self) -> Option<Packet> {
        None
    }

    /// The acknowledgement of events that need none from the client, to be fed to the session after
    /// the packets are written.
    pub fn take_acks(&mut self) -> Option<ClientFrame> {
        None
    }
}
