//! The messages that came last, so that a server which sends one again over a new session is not believed.

use std::hash::BuildHasher;

use foldhash::quality::FixedState;
use rtm_codec::{ChannelId, MessageId, UserId};

/// What tells one message from another.
#[derive(Debug, Hash)]
pub(crate) struct Message<'a> {
    /// Where; `None` for one to this user alone.
    pub(crate) channel: Option<&'a ChannelId>,
    pub(crate) sender: &'a UserId,
    pub(crate) message_id: MessageId,
    pub(crate) server_received_ts: u64,
}

/// Remembers the last 256 messages to this user and the last 256 of channels by a keyed hash, without allocating.
#[derive(Debug)]
pub(crate) struct Recent {
    hasher: FixedState,
    to_user: Ring,
    of_channels: Ring,
}

#[derive(Debug)]
struct Ring {
    hashes: Box<[u64; KEPT]>,
    next: usize,
}

impl Recent {
    pub(crate) fn new(key: u64) -> Self {
        let ring = || Ring { hashes: Box::new([0; KEPT]), next: 0 };
        Self { hasher: FixedState::with_seed(key), to_user: ring(), of_channels: ring() }
    }

    /// Whether no message has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.to_user.hashes[0] == 0 && self.of_channels.hashes[0] == 0
    }

    /// Remembers a message, and says whether it was there already if `check` asks for that.
    pub(crate) fn insert(&mut self, message: &Message<'_>, check: bool) -> bool {
        // Without a number one message looks like another.
        if message.message_id == MessageId(0) {
            return false;
        }
        let hash = self.hasher.hash_one(message).max(1);
        let ring = if message.channel.is_some() { &mut self.of_channels } else { &mut self.to_user };
        if check && ring.hashes.contains(&hash) {
            return true;
        }
        ring.hashes[ring.next] = hash;
        ring.next = (ring.next + 1) % KEPT;
        false
    }
}

/// How many messages of each kind are remembered.
const KEPT: usize = 256;
