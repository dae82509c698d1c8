//! The client's half of the vendor's wire.

use crate::{ClientFrame, DecodeError, Event, Packet, Seq, ServerFrame};

/// One socket's state, client side.
#[derive(Debug, Default)]
pub struct ClientCodec {}

impl ClientCodec {
    /// For a socket just opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one packet of the server and appends the frames in it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet is not of this wire; the connection is of no use then.
    pub fn decode(&mut self, _packet: Packet, _frames: &mut Vec<ServerFrame>) -> Result<(), DecodeError> {
        Ok(())
    }

    /// Appends a frame to what goes out.
    pub fn encode(&mut self, _frame: &ClientFrame) {}

    /// The next packet to send; one frame each.
    pub fn take_packet(&mut self) -> Option<Packet> {
        None
    }

    /// The next frame that the wire itself makes up: the answer to a request that this wire leaves
    /// without one. To be drained after the packets are written.
    pub fn take_frame(&mut self) -> Option<ServerFrame> {
        None
    }

    /// An event that came another way than over this socket, with its place in this socket's stream: a stored
    /// message that was fetched from the gateway.
    pub fn number(&mut self, event: Event) -> ServerFrame {
        ServerFrame::Event { seq: Seq(1), event }
    }
}
