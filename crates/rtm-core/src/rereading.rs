//! Stored mail in a cluster: whoever stores a message for a user that is not here sees to it that the user's session reads
//! it, if there is one by then; and each session reads once more a while after its login.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::UserId;

use super::{
    Core, Now,
    arena::SessionKey,
    cluster::{EngineAnswer, EngineWork, ProjectParcel},
    engine::Purpose,
};

/// Who is to read what was stored.
#[derive(Debug, Default)]
pub(super) struct Rereading {
    /// The receivers of messages that this node stored, where the engine is asked for their sessions; and whether more was
    /// stored since.
    asked: BTreeMap<UserId, bool>,
    /// Those of whom it gave no answer.
    unanswered: Vec<UserId>,
    /// The sessions that logged in a while ago, and when they are to read once more.
    logins: VecDeque<(Instant, SessionKey)>,
}

impl Core {
    /// A message was stored for a user that has no session here, or had none any more.
    pub(super) fn find_reader(&mut self, to: &UserId) {
        let Some(edge) = &mut self.edge else { return };
        match edge.rereading.asked.get_mut(to) {
            Some(more) => *more = true,
            None => {
                edge.rereading.asked.insert(to.clone(), false);
                edge.ask(to, EngineWork::Read, Purpose::Reader);
            }
        }
    }

    /// Where the receiver of a stored message is, as the engine says.
    pub(super) fn reader_found(&mut self, now: Now, to: &UserId, answer: &EngineAnswer) {
        let Some(edge) = &mut self.edge else { return };
        let Some(more) = edge.rereading.asked.remove(to) else { return };
        let EngineAnswer::Read(heard) = answer else {
            edge.rereading.unanswered.push(to.clone());
            return self.arm_edge(now.instant + PAUSE);
        };
        match heard.entry.as_ref().filter(|entry| edge.is_good(entry)).map(|entry| entry.node.clone()) {
            Some(node) if node == edge.node => self.read_stored_again(now, to),
            Some(node) => edge.tell(&node, ProjectParcel::StoredFor { user_id: to.clone() }),
            None => {}
        }
        if more {
            self.find_reader(to);
        }
    }

    /// Something was stored for a user that may have read before. One whose session moves reads when it has moved.
    pub(super) fn read_stored_again(&mut self, now: Now, user_id: &UserId) {
        if let Some(key) = self.session_of(user_id) {
            self.read_once_more(now, key);
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
        due.into_iter().for_each(|(_, key)| self.read_once_more(now, key));
        unanswered.iter().for_each(|to| self.find_reader(to));
    }
}

/// How long after its login a session reads once more: by then a node that was lost while it stored something is out.
const REREAD_AFTER: Duration = Duration::from_secs(15);
/// Sessions whose time comes within this read together.
const TOGETHER: Duration = Duration::from_secs(1);
/// How soon an engine is asked again that gave no answer.
const PAUSE: Duration = Duration::from_millis(250);
