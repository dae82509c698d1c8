//! Senders without sessions: what back ends have sent, until it is known what became of it.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use rtm_codec::{Answer, ChannelId, ErrorKind, Refusal, RequestId, SendOutcome, SessionId, UserId};
use sha2::{Digest as _, Sha256};

use super::{
    HttpId,
    arena::SessionKey,
    cluster::{NodeId, View},
    lanes::Lanes,
    notes::Asker,
};

/// All senders of a project without sessions. To the others they are one session under one key, which no session ever
/// has.
#[derive(Debug)]
pub(super) struct BackEnd {
    pub(super) key: SessionKey,
    /// What other nodes know it by.
    pub(super) id: SessionId,
    /// The messages that are on their way to other nodes.
    pub(super) lanes: Option<Box<Lanes>>,
    last_request: u64,
    last_message: u64,
    open: BTreeMap<RequestId, Pending>,
    /// In the order of their deadlines, those that are answered among them.
    due: VecDeque<(Instant, RequestId)>,
    settled: Vec<Settled>,
}

/// Who is to be told what became of a message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Origin {
    /// Who sent a message to this user, and may wait for its device. `stores`: the message may have to be stored.
    Peer { id: HttpId, to: UserId, waits: bool, stores: bool },
    /// Who sent a message to a channel.
    Channel(HttpId),
    /// Who searches histories.
    Read(HttpId),
    /// Another node, which has sent it here.
    Node { node: NodeId, number: u64, channel_id: ChannelId },
}

/// A message of which it is not known what became of it.
#[derive(Debug)]
struct Pending {
    origin: Origin,
    /// How many things are yet to be kept, or to come somewhere.
    promises: u32,
    /// This node stores it, and says what comes of that.
    stored_by: Option<NodeId>,
    result: Option<Result<Answer, Refusal>>,
}

/// What became of a message.
pub(super) type Settled = (Origin, Result<Answer, Refusal>);

impl BackEnd {
    pub(super) fn new(key: SessionKey) -> Self {
        Self {
            key,
            id: SessionId([0; 16]),
            lanes: None,
            last_request: 0,
            last_message: 0,
            open: BTreeMap::new(),
            due: VecDeque::new(),
            settled: Vec::new(),
        }
    }

    /// Messages are numbered from here on.
    pub(super) fn count_from(&mut self, random: u64) {
        self.last_message = random;
    }

    /// The number of the next message. JavaScript has to be able to say it.
    pub(super) fn message_number(&mut self) -> u64 {
        self.last_message = self.last_message.wrapping_add(1) & MOST_EXACT;
        self.last_message
    }

    /// This core is on a node from now on.
    pub(super) fn join(&mut self, node: &NodeId) {
        let mut id = [0; 16];
        id[..8].copy_from_slice(&BACK_END);
        id[8..].copy_from_slice(&digest(node));
        (self.id, self.lanes) = (SessionId(id), None);
    }

    /// Waits for what becomes of a message.
    pub(super) fn begin(&mut self, until: Instant, origin: Origin) -> Asker {
        self.last_request += 1;
        let asker = self.asker(self.last_request);
        self.open.insert(asker.request, Pending { origin, promises: 0, stored_by: None, result: None });
        self.due.push_back((until, asker.request));
        asker
    }

    /// Something sent it for which nobody waits.
    pub(super) fn nobody(&mut self) -> Asker {
        self.last_request += 1;
        self.asker(self.last_request)
    }

    pub(super) fn promise(&mut self, asker: Asker) {
        if let Some(pending) = self.pending(asker) {
            pending.promises += 1;
        }
    }

    /// One of the things that were promised is done, or is not.
    pub(super) fn kept(&mut self, asker: Asker, kept: Result<(), Refusal>) {
        let Some(pending) = self.pending(asker) else { return };
        pending.promises = pending.promises.saturating_sub(1);
        if let Err(refusal) = kept {
            pending.result = Some(Err(refusal));
        }
        self.settle_if_done(asker);
    }

    /// It is known what became of a message, but for what is promised.
    pub(super) fn finish(&mut self, asker: Asker, result: Result<Answer, Refusal>) {
        let Some(pending) = self.pending(asker) else { return };
        pending.result.get_or_insert(result);
        self.settle_if_done(asker);
    }

    /// A session on a node has a message. Whoever does not wait for its device is answered.
    pub(super) fn placed(&mut self, from: &NodeId, request: RequestId) {
        let asker = self.asker(request.0);
        // A node that was lost while it stored the message says nothing more: it went to another one since.
        let waits_not = |pending: &mut Pending| {
            matches!(pending.origin, Origin::Peer { waits: false, .. }) && pending.stored_by.as_ref() != Some(from)
        };
        if self.pending(asker).is_some_and(waits_not) {
            self.finish(asker, Ok(Answer::SendMessageToPeer(SendOutcome::Delivered)));
        }
    }

    /// Another node stores a message, since its receiver is not there.
    pub(super) fn stores(&mut self, from: &NodeId, request: RequestId) {
        let asker = self.asker(request.0);
        if let Some(pending) = self.pending(asker) {
            pending.stored_by = Some(from.clone());
        }
    }

    /// Whether somebody waits for the device of a message's receiver.
    pub(super) fn waits(&mut self, asker: Asker) -> bool {
        self.pending(asker).is_some_and(|pending| matches!(pending.origin, Origin::Peer { waits: true, .. }))
    }

    /// Who waits under a number.
    pub(super) fn asker(&self, number: u64) -> Asker {
        Asker { session: self.key, numbering: 0, request: RequestId(number) }
    }

    fn pending(&mut self, asker: Asker) -> Option<&mut Pending> {
        if asker.session == self.key { self.open.get_mut(&asker.request) } else { None }
    }

    fn settle_if_done(&mut self, asker: Asker) {
        let is_done = self.pending(asker).is_some_and(|pending| pending.promises == 0 && pending.result.is_some());
        if is_done && let Some(Pending { origin, result: Some(result), .. }) = self.open.remove(&asker.request) {
            self.settled.push((origin, result));
        }
    }

    /// Whether somebody still waits.
    pub(super) fn is_open(&self, asker: Asker) -> bool {
        self.open.contains_key(&asker.request)
    }

    /// The store has read what somebody waits for. Gives who, unless it is too late.
    pub(super) fn close(&mut self, asker: Asker) -> Option<Origin> {
        self.open.remove(&asker.request).map(|pending| pending.origin)
    }

    pub(super) fn take_settled(&mut self) -> Vec<Settled> {
        std::mem::take(&mut self.settled)
    }

    pub(super) fn has_settled(&self) -> bool {
        !self.settled.is_empty()
    }

    /// Another node has done what it was asked for.
    pub(super) fn relayed(&mut self, number: u64) {
        self.kept(self.asker(number), Ok(()));
    }

    /// The messages that have waited long enough, with what is known of them. None is done while something is open that was
    /// promised.
    pub(super) fn take_due(&mut self, now: Instant) -> Vec<(Origin, Option<Result<Answer, Refusal>>)> {
        let mut all = Vec::new();
        while let Some((until, request)) = self.due.front().copied() {
            match self.open.get(&request) {
                Some(_) if until > now => break,
                _ => drop(self.due.pop_front()),
            }
            if let Some(Pending { origin, promises, result, .. }) = self.open.remove(&request) {
                let is_open = promises > 0 && !matches!(result, Some(Err(_)));
                let late = || Err(Refusal::new(ErrorKind::Failure, LATE));
                all.push((origin, if is_open { Some(late()) } else { result }));
            }
        }
        all
    }

    /// When one has waited long enough.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.due.front().map(|(until, _)| *until)
    }

    /// All that wait, and do so in vain.
    pub(super) fn forget(&mut self) -> Vec<Origin> {
        self.due.clear();
        self.lanes = None;
        std::mem::take(&mut self.open).into_values().map(|pending| pending.origin).collect()
    }

    /// How many messages are not settled.
    pub(super) fn unsettled(&self) -> usize {
        self.open.len()
    }
}

/// The node whose senders without sessions are meant, if any are.
pub(super) fn node_of_back_end(view: &View, id: SessionId) -> Option<&NodeId> {
    let (mark, of_node) = id.0.split_at(BACK_END.len());
    if mark != BACK_END {
        return None;
    }
    view.members().iter().map(|member| &member.id).find(|node| digest(node) == of_node)
}

/// What tells the lives of nodes apart, the same on all of them.
fn digest(node: &NodeId) -> [u8; 8] {
    let mut digest = Sha256::new();
    digest.update(node.name.as_str().as_bytes());
    digest.update(node.incarnation.to_le_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest.finalize()[..8]);
    first
}

/// No session has an id that begins so, but for one in 2^64.
const BACK_END: [u8; 8] = *b"back end";
/// What is said of a message of which it is not known in time whether what was promised is done.
const LATE: &str = "the message may not be everywhere, or not kept in the history";
/// The highest number that JavaScript has without rounding.
const MOST_EXACT: u64 = (1 << 53) - 1;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arena::Arena, cluster::NodeName};

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a test begins somewhere")]
    fn a_message_that_a_lost_node_was_to_store_is_taken_when_another_one_has_it() {
        let [lost, other] = ["lost", "other"].map(|name| NodeId { name: NodeName::new(name).unwrap(), incarnation: 1 });
        let mut back_end = BackEnd::new(Arena::<SessionKey, ()>::new().insert(()));
        let to = UserId::new("bob").unwrap();
        let origin = Origin::Peer { id: HttpId(1), to, waits: false, stores: true };
        let request = back_end.begin(Instant::now(), origin).request;
        back_end.stores(&lost, request);
        back_end.placed(&lost, request);
        assert!(!back_end.has_settled(), "it says what comes of that");
        back_end.placed(&other, request);
        assert!(back_end.has_settled());
    }
}
