//! The native wire: WebSocket binary frames of the subprotocol [`SUBPROTOCOL`].

use crate::{ClientFrame, DecodeError, Packet, Seq, ServerFrame, SharedEvent};

/// The WebSocket subprotocol of this wire.
pub const SUBPROTOCOL: &str = "rtm.v1";

/// The client's half: one per socket.
#[derive(Debug, Default)]
pub struct ClientCodec {}

impl ClientCodec {
    /// The state of a fresh socket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the frames of `packet` to `frames`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet breaks the protocol; the socket is to be closed then. Frames
    /// before the fault may have been appended.
    pub fn decode(&mut self, _packet: Packet, _frames: &mut Vec<ServerFrame>) -> Result<(), DecodeError> {
        Ok(())
    }

    /// Appends a frame to what goes out next.
    pub fn encode(&mut self, _frame: &ClientFrame) {}

    /// The next packet to write, holding as many of the encoded frames as fit.
    pub fn take_packet(&mut self) -> Option<Packet> {
        None
    }

    /// The next frame that the codec answers with itself: the refusal of a request too large to send.
    pub fn take_frame(&mut self) -> Option<ServerFrame> {
        None
    }
}

/// The server's half: one per socket.
#[derive(Debug, Default)]
pub struct ServerCodec {}

impl ServerCodec {
    /// The state of a fresh socket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the frames of `packet` to `frames`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet breaks the protocol; the socket is to be closed then. Frames
    /// before the fault may have been appended.
    pub fn decode(&mut self, _packet: Packet, _frames: &mut Vec<ClientFrame>) -> Result<(), DecodeError> {
        Ok(())
    }

    /// Appends a frame to what goes out next.
    pub fn encode(&mut self, _frame: &ServerFrame) {}

    /// Appends an event whose bytes are shared by all its receivers.
    pub fn encode_event(&mut self, _seq: Seq, _event: &SharedEvent) {}

    /// The next packet to write, holding as many of the encoded frames as fit.
    pub fn take_packet(&mut self) -> Option<Packet> {
        None
    }
}
