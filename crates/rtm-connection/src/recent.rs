//! The peer messages that came last, so that a server which sends one again over a new session is not believed.

use std::hash::{DefaultHasher, Hash, Hasher};

use rtm_codec::PeerMessage;

const KEPT: usize = 256;

/// Remembers the last 256 messages by a keyed hash, without allocating.
#[derive(Debug)]
pub(crate) struct Recent {
    key: u64,
    hashes: Box<[u64; KEPT]>,
    next: usize,
}

impl Recent {
    pub(crate) fn new(key: u64) -> Self {
        Self { key, hashes: Box::new([0; KEPT]), next: 0 }
    }

    /// Remembers a message, and says whether it was there already if `check` asks for that.
    pub(crate) fn insert(&mut self, message: &PeerMessage, check: bool) -> bool {
        // A stored message may carry no number of its own on the vendor's wire.
        if message.is_offline_message {
            return false;
        }
        let mut hasher = DefaultHasher::new();
        (self.key, &message.peer_id, message.message_id, message.server_received_ts).hash(&mut hasher);
        let hash = hasher.finish().max(1);
        if check && self.hashes.contains(&hash) {
            return true;
        }
        self.hashes[self.next] = hash;
        self.next = (self.next + 1) % KEPT;
        false
    }
}
