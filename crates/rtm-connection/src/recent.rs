//! The messages that came last, so that a server which sends one again over a new session is not believed.

use std::{collections::HashSet, hash::BuildHasher};

use foldhash::{fast, quality::FixedState};
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

/// Remembers the last messages to this user, and the last ones of channels, by a keyed hash.
#[derive(Debug)]
pub(crate) struct Recent {
    hasher: FixedState,
    to_user: Ring,
    of_channels: Ring,
}

/// Hashes of messages: the oldest one goes first.
#[derive(Debug, Default)]
struct Ring {
    /// None at first, then so many as are remembered; 0 where no message has been.
    hashes: Box<[u64]>,
    next: usize,
    /// The same hashes, while repeats are looked for: most of the time nobody looks.
    index: Option<HashSet<u64, fast::FixedState>>,
}

impl Ring {
    #[inline]
    fn push(&mut self, hash: u64) {
        if self.hashes.is_empty() {
            self.hashes = vec![0; KEPT].into_boxed_slice();
        }
        let oldest = std::mem::replace(&mut self.hashes[self.next], hash);
        self.next = (self.next + 1) % KEPT;
        if let Some(index) = &mut self.index {
            index.remove(&oldest);
        }
    }

    /// Remembers a message, and says whether it was there.
    fn check(&mut self, hash: u64) -> bool {
        let known = self.hashes.iter().copied().filter(|hash| *hash != 0);
        let is_new = self.index.get_or_insert_with(|| known.collect()).insert(hash);
        if is_new {
            self.push(hash);
        }
        !is_new
    }
}

impl Recent {
    pub(crate) fn new(key: u64) -> Self {
        Self { hasher: FixedState::with_seed(key), to_user: Ring::default(), of_channels: Ring::default() }
    }

    /// Whether no message has come.
    pub(crate) fn is_empty(&self) -> bool {
        self.to_user.hashes.is_empty() && self.of_channels.hashes.is_empty()
    }

    /// Remembers a message, and says whether it was there already if `check` asks for that.
    pub(crate) fn insert(&mut self, message: &Message<'_>, check: bool) -> bool {
        // Without a number one message looks like another.
        if message.message_id == MessageId(0) {
            return false;
        }
        let hash = self.hasher.hash_one(message).max(1);
        let ring = if message.channel.is_some() { &mut self.of_channels } else { &mut self.to_user };
        if check {
            return ring.check(hash);
        }
        if ring.index.is_some() {
            ring.index = None;
        }
        ring.push(hash);
        false
    }
}

/// How many messages of each kind are remembered. When a node is lost, all that it had not acknowledged for others comes
/// again, in order: were it more than this, each repeat would push out the next one, and none would be known.
const KEPT: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    fn is_repeat(recent: &mut Recent, id: u64, check: bool) -> bool {
        let sender = UserId::new("alice").unwrap();
        let message = Message { channel: None, sender: &sender, message_id: MessageId(id), server_received_ts: id };
        recent.insert(&message, check)
    }

    #[test]
    fn all_that_is_remembered_is_known_when_it_comes_again_in_order() {
        let mut recent = Recent::new(1);
        assert!(recent.is_empty());
        let last = 10_000;
        for id in 1..=last {
            assert!(!is_repeat(&mut recent, id, false));
        }
        let first = last - KEPT as u64 + 1;
        for id in first..=last {
            assert!(is_repeat(&mut recent, id, true), "{id}");
        }
        assert!(!is_repeat(&mut recent, first - 1, true), "it was forgotten");
        assert!(!is_repeat(&mut recent, first, true), "the one before took its place");
    }

    #[test]
    fn what_comes_while_nobody_looks_for_repeats_is_known_later() {
        let mut recent = Recent::new(1);
        for id in 1..=3 {
            assert!(!is_repeat(&mut recent, id, id == 1), "{id}");
        }
        assert!([1, 2, 3].iter().all(|id| is_repeat(&mut recent, *id, true)));
    }
}
