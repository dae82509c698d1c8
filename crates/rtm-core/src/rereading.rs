//! Stored mail in a cluster: whoever stores a message for a user that is not here sees to it that the user's session reads
//! it, if there is one by then; and each session reads once more a while after its login.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{SharedEvent, UserId};

use super::{
    Core, Now,
    arena::SessionKey,
    cluster::{EngineAnswer, EngineWork, Posted},
    engine::Purpose,
    event_promises::{Logged, Promised},
    notes::Asker,
};

/// Who is to read what was stored.
#[derive(Debug, Default)]
pub(super) struct Rereading {
    /// The receivers of messages that this node stores, and how many of these no session may have read yet.
    storing: BTreeMap<UserId, usize>,
    /// The receivers of messages that this node has stored, where the engine is asked for their sessions.
    asked: BTreeMap<UserId, Asked>,
    /// Those of whom it gave no answer.
    unanswered: BTreeMap<UserId, Vec<Storing>>,
    /// The sessions that logged in a while ago, and when they are to read once more.
    logins: VecDeque<(Instant, SessionKey)>,
}

/// A message in the store whose sender is told so once its receiver's session, if there is one, knows of it: what is sent
/// then does not overtake it, and it is not forgotten where this node ends.
#[derive(Debug)]
pub(super) struct Storing {
    pub(super) asker: Asker,
    pub(super) event: SharedEvent,
    /// How far the log has to be before the sender is told.
    pub(super) logged: Option<Logged>,
}

#[derive(Debug, Default)]
struct Asked {
    stored: Vec<Storing>,
    /// What was stored since.
    more: Vec<Storing>,
}

impl Rereading {
    /// This node is about to store a message.
    pub(super) fn begin_to_store(&mut self, to: &UserId) {
        *self.storing.entry(to.clone()).or_default() += 1;
    }

    /// Whether this node stores a message for a user that its session cannot have read.
    pub(super) fn is_storing_for(&self, to: &UserId) -> bool {
        self.storing.contains_key(to)
    }

    /// Whether a session has sent a message that was stored, and was not told so.
    pub(super) fn concern(&self, key: SessionKey) -> bool {
        let asked = self.asked.values().flat_map(|asked| asked.stored.iter().chain(&asked.more));
        let mut all = asked.chain(self.unanswered.values().flatten());
        all.any(|storing| storing.asker.session == key)
    }

    /// For how many users the engine is yet to be asked.
    pub(super) fn len(&self) -> usize {
        self.unanswered.len()
    }
}

impl Core {
    /// A message was stored for a user that has no session here, or had none any more.
    pub(super) fn find_reader(&mut self, to: &UserId, stored: Storing) {
        self.find_reader_of(to, vec![stored]);
    }

    fn find_reader_of(&mut self, to: &UserId, mut stored: Vec<Storing>) {
        let Some(edge) = &mut self.edge else { return };
        match edge.rereading.asked.get_mut(to) {
            Some(asked) => asked.more.append(&mut stored),
            None => {
                edge.rereading.asked.insert(to.clone(), Asked { stored, more: Vec::new() });
                edge.ask(to, EngineWork::Read, Purpose::Reader);
            }
        }
    }

    /// Where the receiver of stored messages is, as the engine says.
    pub(super) fn reader_found(&mut self, now: Now, to: &UserId, answer: &EngineAnswer) {
        let Some(edge) = &mut self.edge else { return };
        let Some(Asked { stored, more }) = edge.rereading.asked.remove(to) else { return };
        let EngineAnswer::Read(_) = answer else {
            edge.rereading.unanswered.entry(to.clone()).or_default().extend(stored.into_iter().chain(more));
            return self.arm_edge(now.instant + PAUSE);
        };
        // What was heard before may be newer than the answer.
        let entry = edge.entry_of(to).and_then(|heard| heard.entry.as_ref());
        match entry.filter(|entry| edge.is_good(entry)).map(|entry| entry.node.clone()) {
            Some(node) if node != edge.node => edge.post_stored_for(&node, to, stored),
            found => {
                if found.is_some() {
                    self.read_stored_again(now, to);
                }
                self.tell_stored(now, to, stored);
            }
        }
        if !more.is_empty() {
            self.find_reader_of(to, more);
        }
    }

    /// A receiver's node was told that there is something to read.
    pub(super) fn reader_told(&mut self, now: Now, to: &UserId, stored: Vec<Storing>, posted: Posted) {
        match posted {
            Posted::Taken => self.tell_stored(now, to, stored),
            // The user may be elsewhere by now.
            _ => self.find_reader_of(to, stored),
        }
    }

    fn tell_stored(&mut self, now: Now, to: &UserId, stored: Vec<Storing>) {
        self.end_storing(now, to, stored.len());
        for Storing { asker, event, logged } in stored {
            self.answer_when_logged(logged, Promised::Stored { asker, event });
        }
    }

    /// So many messages are stored, or not, and their receiver's session knows of them: what has to come behind them goes
    /// on.
    pub(super) fn end_storing(&mut self, now: Now, to: &UserId, messages: usize) {
        let Some(edge) = &mut self.edge else { return };
        let Some(storing) = edge.rereading.storing.get_mut(to) else { return };
        *storing = storing.saturating_sub(messages);
        if *storing > 0 {
            return;
        }
        edge.rereading.storing.remove(to);
        for key in edge.lanes_to(to) {
            self.go_on_with_lane(now, key, to);
        }
    }

    /// Something was stored for a user that may have read before. One whose session moves reads when it has moved.
    pub(super) fn read_stored_again(&mut self, now: Now, user_id: &UserId) {
        if let Some(key) = self.session_of(user_id) {
            self.read_once_more(now, key, true);
        }
    }

    /// A client has logged in. Who stored something for it may not live to tell.
    pub(super) fn plan_rereading(&mut self, now: Now, key: SessionKey) {
        let Some(edge) = &mut self.edge else { return };
        let at = now.instant + REREAD_AFTER;
        let is_first = edge.rereading.logins.is_empty();
        edge.rereading.logins.push_back((at, key));
        if is_first {
            self.arm_edge(at);
        }
    }

    /// Has sessions read that logged in a while ago, and asks the engine again that gave no answer.
    pub(super) fn look_at_rereading(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let logins = &mut edge.rereading.logins;
        let due = logins.iter().take_while(|(at, _)| *at <= now.instant).count();
        let due: Vec<_> = logins.drain(..due).collect();
        let next = logins.front().map(|(at, _)| *at);
        let unanswered = std::mem::take(&mut edge.rereading.unanswered);
        if let Some(at) = next.filter(|_| !due.is_empty()) {
            self.arm_edge(at.max(now.instant + TOGETHER));
        }
        due.into_iter().for_each(|(_, key)| self.read_once_more(now, key, false));
        unanswered.into_iter().for_each(|(to, stored)| self.find_reader_of(&to, stored));
    }
}

/// How long after its login a session reads once more: by then a node that was lost while it stored something is out.
const REREAD_AFTER: Duration = Duration::from_secs(15);
/// Sessions whose time comes within this read together.
const TOGETHER: Duration = Duration::from_secs(1);
/// How soon an engine is asked again that gave no answer.
const PAUSE: Duration = Duration::from_millis(250);
