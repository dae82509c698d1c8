//! The buffers that connections work with: one set for each thread, so that none is needed at rest.

use std::{cell::Cell, collections::VecDeque};

use rtm_codec::ClientFrame;

use rtm_core::Outgoing;

/// What a connection works with during one wake-up.
#[derive(Debug)]
pub(crate) struct Scratch {
    /// Bytes from the socket.
    pub(crate) read: Box<[u8]>,
    /// Frames of the packet that is being read.
    pub(crate) frames: Vec<ClientFrame>,
    /// Frames for the core that go before those that wait.
    pub(crate) ahead: Vec<ClientFrame>,
    /// Frames for the core.
    pub(crate) pending: VecDeque<ClientFrame>,
    /// What the core has for the connection.
    pub(crate) outgoing: Vec<Outgoing>,
    /// Where frames are encoded: its length is room.
    pub(crate) encode: Vec<u8>,
    /// Bytes for the socket.
    pub(crate) write: Vec<u8>,
}

impl Scratch {
    /// This thread's buffers, all empty.
    pub(crate) fn take() -> Box<Self> {
        SCRATCH.take().unwrap_or_else(|| {
            Box::new(Self {
                read: vec![0; READ_BYTES].into(),
                frames: Vec::new(),
                ahead: Vec::new(),
                pending: VecDeque::new(),
                outgoing: Vec::new(),
                encode: Vec::new(),
                write: Vec::new(),
            })
        })
    }

    /// Leaves them to the next wake-up on this thread, empty and not larger than usual.
    pub(crate) fn give_back(mut self: Box<Self>) {
        self.frames.clear();
        self.frames.shrink_to(KEPT_ITEMS);
        self.ahead.clear();
        self.ahead.shrink_to(KEPT_ITEMS);
        self.pending.clear();
        self.pending.shrink_to(KEPT_ITEMS);
        self.outgoing.clear();
        self.outgoing.shrink_to(KEPT_ITEMS);
        self.encode.truncate(KEPT_BYTES);
        self.encode.shrink_to(KEPT_BYTES);
        self.write.clear();
        self.write.shrink_to(KEPT_BYTES);
        SCRATCH.set(Some(self));
    }
}

thread_local! {
    static SCRATCH: Cell<Option<Box<Scratch>>> = const { Cell::new(None) };
}

/// What one read takes from a socket.
const READ_BYTES: usize = 64 * 1024;
const KEPT_ITEMS: usize = 1024;
const KEPT_BYTES: usize = 512 * 1024;
