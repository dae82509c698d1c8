//! The requests that have no answer yet. Each ends exactly once: by its answer, by its deadline, or with the session.

use std::{collections::VecDeque, sync::Arc, time::Instant};

use rtm_codec::{Command, Effect, Pace, RequestId};

use crate::{
    Config,
    intent::{Errand, is_attribute_write},
};

/// A request under way.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) command: Arc<Command>,
    pub(crate) deadline: Instant,
    pub(crate) sent: Sent,
    /// What the connection asks for by itself, and nobody else hears of.
    pub(crate) errand: Option<Errand>,
}

/// Whether the server may have a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Sent {
    /// It has not.
    Never,
    /// Over the link at hand, or the last one.
    Once,
    /// Over an earlier link too.
    Again,
    /// The same, and the user was away in between for so long that the server took things from it.
    AgainAfterLapse,
}

impl Request {
    /// The link was given up before the last sending reached the transport.
    pub(crate) fn take_back(&mut self) {
        if self.sent == Sent::Once {
            self.sent = Sent::Never;
        }
    }

    /// Whether the server may have it.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent != Sent::Never
    }

    /// Whether the server may have done it, and doing it again would not be the same.
    pub(crate) fn may_have_had_effect(&self) -> bool {
        self.is_sent() && self.command.effect() == Effect::Once
    }
}

/// The requests by number, apart by pace: within one pace, numbers and deadlines rise together, so that the
/// first one is always the next to expire.
#[derive(Debug, Default)]
pub(crate) struct Pending([Queue; 3]);

impl Pending {
    /// Until when `command` must be answered.
    pub(crate) fn deadline(config: &Config, now: Instant, command: &Command) -> Instant {
        now + match command.pace() {
            Pace::Message => config.message_timeout,
            Pace::Presence => config.presence_timeout,
            Pace::Call => config.call_timeout,
        }
    }

    pub(crate) fn insert(&mut self, id: RequestId, request: Request) {
        self.0[request.command.pace() as usize].insert(id, request);
    }

    pub(crate) fn remove(&mut self, id: RequestId) -> Option<Request> {
        self.0.iter_mut().find_map(|queue| queue.remove(id))
    }

    pub(crate) fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        self.0.iter_mut().find_map(|queue| queue.get_mut(id))
    }

    /// Takes a request out that the server cannot have.
    pub(crate) fn remove_unsent(&mut self, id: RequestId) -> Option<Request> {
        self.get_mut(id).is_some_and(|request| !request.is_sent()).then(|| self.remove(id))?
    }

    /// The renewals of the token up to this one, oldest first.
    pub(crate) fn renewals(&self, last: Option<RequestId>) -> Vec<RequestId> {
        let Some(last) = last else { return Vec::new() };
        let calls = self.0[Pace::Call as usize].iter().take_while(|(id, _)| *id <= last);
        calls.filter(|(_, request)| matches!(*request.command, Command::RenewToken(_))).map(|(id, _)| id).collect()
    }

    pub(crate) fn len(&self) -> usize {
        self.0.iter().map(|queue| queue.len).sum()
    }

    /// The lowest number without an answer.
    #[inline]
    pub(crate) fn lowest(&self) -> Option<RequestId> {
        self.0.iter().filter_map(|queue| queue.first().map(|(id, _)| id)).min()
    }

    #[inline]
    pub(crate) fn next_deadline(&self) -> Option<Instant> {
        self.0.iter().filter_map(|queue| queue.first().map(|(_, request)| request.deadline)).min()
    }

    /// Takes out a request whose deadline has passed.
    pub(crate) fn pop_expired(&mut self, now: Instant) -> Option<(RequestId, Request)> {
        self.0.iter_mut().find_map(|queue| {
            let (id, _) = queue.first().filter(|(_, request)| request.deadline <= now)?;
            Some((id, queue.remove(id)?))
        })
    }

    /// The numbers in rising order.
    pub(crate) fn ids(&self) -> Vec<RequestId> {
        let mut ids: Vec<_> = self.0.iter().flat_map(Queue::iter).map(|(id, _)| id).collect();
        ids.sort_unstable();
        ids
    }

    /// The commands that the user gave, each kind in the order given.
    pub(crate) fn commands(&self) -> impl Iterator<Item = &Command> {
        let requests = self.0.iter().flat_map(Queue::iter).map(|(_, request)| request);
        requests.filter(|request| request.errand.is_none()).map(|request| &*request.command)
    }

    /// Takes a request of the user out.
    pub(crate) fn remove_user(&mut self, id: RequestId) -> Option<Request> {
        self.get_mut(id).is_some_and(|request| request.errand.is_none()).then(|| self.remove(id))?
    }

    /// Whether the user writes its own attributes, and the server may have that.
    pub(crate) fn has_sent_attribute_write(&self) -> bool {
        self.0[Pace::Call as usize]
            .iter()
            .any(|(_, request)| request.is_sent() && request.errand.is_none() && is_attribute_write(&request.command))
    }

    /// Drops what the connection asked for itself.
    pub(crate) fn drop_errands(&mut self) {
        self.0.iter_mut().for_each(|queue| queue.retain(|request| request.errand.is_none()));
    }
}

/// Requests in the order of their numbers. Answers mostly come in that order, so nothing is searched or moved then;
/// one that comes early leaves a hole.
#[derive(Debug, Default)]
struct Queue {
    /// The first one is no hole, and not many more than half are.
    slots: VecDeque<(RequestId, Option<Request>)>,
    /// How many are no holes.
    len: usize,
}

impl Queue {
    fn insert(&mut self, id: RequestId, request: Request) {
        let slot = (id, Some(request));
        match self.slots.back() {
            Some((last, _)) if *last >= id => {
                let at = self.slots.partition_point(|(earlier, _)| *earlier < id);
                self.slots.insert(at, slot);
            }
            _ => self.slots.push_back(slot),
        }
        self.len += 1;
    }

    fn find(&self, id: RequestId) -> Option<usize> {
        let (first, _) = self.slots.front()?;
        let guess = usize::try_from(id.0.checked_sub(first.0)?).unwrap_or(usize::MAX);
        if self.slots.get(guess).is_some_and(|(at, _)| *at == id) {
            return Some(guess);
        }
        self.slots.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn get_mut(&mut self, id: RequestId) -> Option<&mut Request> {
        let at = self.find(id)?;
        self.slots[at].1.as_mut()
    }

    fn remove(&mut self, id: RequestId) -> Option<Request> {
        let (first, _) = self.slots.front()?;
        let request = if *first == id {
            self.slots.pop_front()?.1?
        } else {
            let at = self.find(id)?;
            self.slots[at].1.take()?
        };
        self.len -= 1;
        self.close_holes();
        Some(request)
    }

    fn retain(&mut self, keep: impl Fn(&Request) -> bool) {
        self.slots.retain(|(_, request)| request.as_ref().is_some_and(&keep));
        self.len = self.slots.len();
    }

    fn close_holes(&mut self) {
        while self.slots.front().is_some_and(|(_, request)| request.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.len + FEW {
            self.slots.retain(|(_, request)| request.is_some());
        }
    }

    fn iter(&self) -> impl Iterator<Item = (RequestId, &Request)> {
        self.slots.iter().filter_map(|(id, request)| Some((*id, request.as_ref()?)))
    }

    fn first(&self) -> Option<(RequestId, &Request)> {
        let (id, request) = self.slots.front()?;
        Some((*id, request.as_ref()?))
    }
}

/// How many holes are never worth closing.
const FEW: usize = 16;
