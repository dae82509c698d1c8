//! The two wires behind one face, so that nobody but the transport's handshake asks which one is spoken.

#![expect(clippy::exhaustive_enums, reason = "who drives a wire has to know which it is")]

use crate::{
    Abilities, ClientFrame, Command, DecodeError, Packet, PacketRef, RequestId, Seq, ServerFrame, SharedEvent, Wire,
    anyrtc, native,
};

/// The client's half of a socket's wire.
#[derive(Debug)]
pub enum ClientWire {
    /// Binary frames.
    Native(native::ClientCodec),
    /// The vendor's JSON.
    Vendor(anyrtc::ClientCodec),
}

impl ClientWire {
    /// The state of a fresh socket.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        match wire {
            Wire::Native => Self::Native(native::ClientCodec::new()),
            Wire::Vendor => Self::Vendor(anyrtc::ClientCodec::new()),
        }
    }

    /// Appends the frames of `packet` to `frames`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet breaks the protocol; the socket is to be closed then. Frames
    /// before the fault may have been appended.
    pub fn decode(&mut self, packet: Packet, frames: &mut Vec<ServerFrame>) -> Result<(), DecodeError> {
        match self {
            Self::Native(codec) => codec.decode(packet, frames),
            Self::Vendor(codec) => codec.decode(packet, frames),
        }
    }

    /// Appends a frame to what goes out next.
    pub fn encode(&mut self, frame: &ClientFrame) {
        match self {
            Self::Native(codec) => codec.encode(frame),
            Self::Vendor(codec) => codec.encode(frame),
        }
    }

    /// Appends a request to what goes out next: the same as [`encode`](Self::encode) with a
    /// [`ClientFrame::Request`], for a command that lies elsewhere.
    #[inline]
    pub fn encode_request(&mut self, id: RequestId, command: &Command) {
        match self {
            Self::Native(codec) => codec.encode_request(id, command),
            Self::Vendor(codec) => codec.encode_request(id, command),
        }
    }

    /// The next packet to write; `None` when everything encoded was taken.
    pub fn take_packet(&mut self) -> Option<Packet> {
        match self {
            Self::Native(codec) => codec.take_packet(),
            Self::Vendor(codec) => codec.take_packet(),
        }
    }

    /// Shows every packet that is to be written, in order. On the native wire this copies nothing and
    /// keeps the buffer until [`rest`](Self::rest), which makes it the way for whoever copies
    /// packets into a buffer of their own.
    #[inline(always)]
    pub fn drain(&mut self, mut write: impl FnMut(PacketRef<'_>)) {
        match self {
            Self::Native(codec) => codec.drain(write),
            Self::Vendor(codec) => {
                while let Some(packet) = codec.take_packet() {
                    write(packet.as_ref());
                }
            }
        }
    }

    /// Gives back the memory of large packets. For a socket that falls silent.
    pub fn rest(&mut self) {
        match self {
            Self::Native(codec) => codec.rest(),
            Self::Vendor(_) => {}
        }
    }

    /// The next frame that the codec answers with itself: to a request that the wire leaves
    /// unanswered, or cannot carry. To be called after [`encode`](Self::encode) until `None`.
    pub fn take_frame(&mut self) -> Option<ServerFrame> {
        match self {
            Self::Native(codec) => codec.take_frame(),
            Self::Vendor(codec) => codec.take_frame(),
        }
    }
}

/// The server's half of a socket's wire.
#[derive(Debug)]
pub enum ServerWire {
    /// Binary frames.
    Native(native::ServerCodec),
    /// The vendor's JSON.
    Vendor(anyrtc::ServerCodec),
}

impl ServerWire {
    /// The state of a fresh socket.
    #[must_use]
    pub fn new(wire: Wire) -> Self {
        match wire {
            Wire::Native => Self::Native(native::ServerCodec::new()),
            Wire::Vendor => Self::Vendor(anyrtc::ServerCodec::new()),
        }
    }

    /// Which wire it is.
    #[must_use]
    pub fn wire(&self) -> Wire {
        match self {
            Self::Native(_) => Wire::Native,
            Self::Vendor(_) => Wire::Vendor,
        }
    }

    /// What a client on this wire can do, as long as its login does not say more.
    #[must_use]
    pub fn abilities(&self) -> Abilities {
        match self {
            Self::Native(_) => Wire::Native.abilities(),
            Self::Vendor(_) => Wire::Vendor.abilities(),
        }
    }

    /// Appends the frames of `packet` to `frames`.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet breaks the protocol; the socket is to be closed then. Frames
    /// before the fault may have been appended.
    pub fn decode(&mut self, packet: Packet, frames: &mut Vec<ClientFrame>) -> Result<(), DecodeError> {
        match self {
            Self::Native(codec) => codec.decode(packet, frames),
            Self::Vendor(codec) => codec.decode(packet, frames),
        }
    }

    /// Appends a frame to what goes out next.
    pub fn encode(&mut self, frame: &ServerFrame) {
        match self {
            Self::Native(codec) => codec.encode(frame),
            Self::Vendor(codec) => codec.encode(frame),
        }
    }

    /// Appends an event whose bytes are shared by all its receivers.
    #[inline]
    pub fn encode_event(&mut self, seq: Seq, event: &SharedEvent) {
        match self {
            Self::Native(codec) => codec.encode_event(seq, event),
            Self::Vendor(codec) => codec.encode_event(seq, event),
        }
    }

    /// The next packet to write; `None` when everything encoded was taken.
    pub fn take_packet(&mut self) -> Option<Packet> {
        match self {
            Self::Native(codec) => codec.take_packet(),
            Self::Vendor(codec) => codec.take_packet(),
        }
    }

    /// Shows every packet that is to be written, in order. On the native wire this copies nothing and
    /// keeps the buffer until [`rest`](Self::rest), which makes it the way for whoever copies
    /// packets into a buffer of their own.
    #[inline(always)]
    pub fn drain(&mut self, mut write: impl FnMut(PacketRef<'_>)) {
        match self {
            Self::Native(codec) => codec.drain(write),
            Self::Vendor(codec) => {
                while let Some(packet) = codec.take_packet() {
                    write(packet.as_ref());
                }
            }
        }
    }

    /// How many bytes are encoded and not taken, about; 0 on the vendor's wire.
    #[must_use]
    pub fn waiting(&self) -> usize {
        match self {
            Self::Native(codec) => codec.waiting(),
            Self::Vendor(_) => 0,
        }
    }

    /// Takes all packets that are to be written, each as a WebSocket message of a server. They are not copied: the next frame that is
    /// encoded overwrites them. `None`, with nothing taken, where that is not possible, and always on the
    /// vendor's wire: [`drain`](Self::drain) shows them all.
    #[inline]
    pub fn take_messages(&mut self) -> Option<&[u8]> {
        match self {
            Self::Native(codec) => codec.take_messages(),
            Self::Vendor(_) => None,
        }
    }

    /// How many messages [`take_messages`](Self::take_messages) has given since this was last asked.
    #[inline]
    pub fn taken(&mut self) -> u32 {
        match self {
            Self::Native(codec) => codec.taken(),
            Self::Vendor(_) => 0,
        }
    }

    /// Exchanges the buffer that frames are written into for `buffer`, if nothing waits in it. Called before a batch
    /// and after it with one buffer for many sockets, it leaves none at a socket that is silent. Does nothing on the
    /// vendor's wire.
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        match self {
            Self::Native(codec) => codec.lend(buffer),
            Self::Vendor(_) => {}
        }
    }

    /// Gives back the memory of large packets. For a socket that falls silent.
    pub fn rest(&mut self) {
        match self {
            Self::Native(codec) => codec.rest(),
            Self::Vendor(_) => {}
        }
    }

    /// How far the events are written, on a wire that has no acknowledgement for most of them: a
    /// [`Written`](ClientFrame::Written) for the session. To be called after the packets were written, until `None`.
    pub fn take_written(&mut self) -> Option<ClientFrame> {
        match self {
            Self::Native(_) => None,
            Self::Vendor(codec) => codec.take_written(),
        }
    }
}
