//! The requests of one session: each is answered once, and a repeat gets the same answer again.

use std::collections::VecDeque;

use rtm_codec::{Answer, CallName, ErrorKind, Refusal, RequestId, limits};

use super::{
    binary,
    pack::format::{RequestV1, RequestsV1},
};

/// What to do with a request.
#[derive(Debug, PartialEq)]
pub(super) enum Begin {
    /// Do it.
    Fresh,
    /// It was done: answer as before.
    Done(Result<Answer, Refusal>),
    /// It is under way and will be answered.
    UnderWay,
    /// Too many are under way, or the client said that it has the answer.
    Refused(ErrorKind),
}

/// The requests that are under way, and the answers that a client may ask for again.
#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Changes when a client begins to count anew.
    pub(super) numbering: u32,
    /// In the order of their ids.
    slots: VecDeque<Slot>,
    under_way: usize,
    /// Reads that were counted within the call limits and may come again, since their answers were lost.
    reads: VecDeque<RequestId>,
    /// Every request below it is answered.
    answered: RequestId,
}

#[derive(Debug)]
struct Slot {
    id: RequestId,
    /// What was asked; not known of a session that came from another node.
    call: Option<CallName>,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Waits for its result and for this many answers of the store.
    UnderWay {
        promises: u8,
        result: Option<Result<Answer, Refusal>>,
    },
    Done(Result<Answer, Refusal>),
}

impl Requests {
    #[inline(always)]
    pub(super) fn begin(&mut self, id: RequestId, call: CallName) -> Begin {
        let at = match self.slots.back() {
            None => 0,
            Some(last) if last.id < id => self.slots.len(),
            Some(_) => match self.find(id) {
                Ok(at) => {
                    return match &self.slots[at].state {
                        State::UnderWay { .. } => Begin::UnderWay,
                        State::Done(result) => Begin::Done(result.clone()),
                    };
                }
                Err(at) => at,
            },
        };
        if id < self.answered && self.answered != FORGETFUL {
            return Begin::Refused(ErrorKind::Failure);
        }
        if self.under_way >= limits::REQUESTS_IN_FLIGHT {
            return Begin::Refused(ErrorKind::TooOften);
        }
        self.under_way += 1;
        let slot = Slot { id, call: Some(call), state: State::UnderWay { promises: 0, result: None } };
        if at == self.slots.len() {
            self.slots.push_back(slot);
        } else {
            self.slots.insert(at, slot);
        }
        Begin::Fresh
    }

    /// The requests that are under way.
    pub(super) fn under_way(&self) -> impl Iterator<Item = RequestId> {
        let under_way = self.slots.iter().filter(|slot| matches!(slot.state, State::UnderWay { .. }));
        under_way.map(|slot| slot.id)
    }

    pub(super) fn is_under_way(&self, numbering: u32, id: RequestId) -> bool {
        let slot = self.find(id).ok().and_then(|at| self.slots.get(at)).filter(|_| self.numbering == numbering);
        slot.is_some_and(|slot| matches!(slot.state, State::UnderWay { .. }))
    }

    /// A read was counted within the call limits.
    pub(super) fn counted_read(&mut self, id: RequestId) {
        if self.answered != FORGETFUL {
            if self.reads.len() >= REPEATED_READS {
                self.reads.pop_front();
            }
            self.reads.push_back(id);
        }
    }

    /// Whether a read was counted before: a client that comes back without the answer asks again. That holds once for
    /// each, or repeating would be a way around the limits.
    pub(super) fn take_counted_read(&mut self, id: RequestId) -> bool {
        let at = self.reads.iter().position(|read| *read == id);
        at.and_then(|at| self.reads.remove(at)).is_some()
    }

    /// What was asked, as long as that is known.
    #[cold]
    pub(super) fn call_of(&self, id: RequestId) -> Option<CallName> {
        self.slots.get(self.find(id).ok()?)?.call
    }

    /// The request is answered only when the store has kept something.
    pub(super) fn promise(&mut self, id: RequestId) {
        if let Ok(at) = self.find(id)
            && let State::UnderWay { promises, .. } = &mut self.slots[at].state
        {
            *promises += 1;
        }
    }

    /// The store has kept it, or has not. Gives the answer if it is complete.
    pub(super) fn kept(&mut self, id: RequestId, kept: Result<(), Refusal>) -> Option<Result<Answer, Refusal>> {
        let at = self.find(id).ok()?;
        let State::UnderWay { promises, result } = &mut self.slots[at].state else { return None };
        *promises = promises.saturating_sub(1);
        if let Err(refusal) = kept {
            *result = Some(Err(refusal));
        }
        if *promises > 0 {
            return None;
        }
        let result = result.take()?;
        Some(self.complete(at, result))
    }

    /// The request has its result. Gives the answer if it is complete.
    #[inline(always)]
    pub(super) fn finish(&mut self, id: RequestId, new: Result<Answer, Refusal>) -> Option<Result<Answer, Refusal>> {
        let at = self.find(id).ok()?;
        let State::UnderWay { promises, result } = &mut self.slots[at].state else { return None };
        if *promises > 0 {
            // What failed before stays failed.
            result.get_or_insert(new);
            return None;
        }
        Some(self.complete(at, new))
    }

    /// Every request below `id` is answered, says the client.
    pub(super) fn forget_before(&mut self, id: RequestId) {
        if id <= self.answered {
            return;
        }
        self.answered = id;
        if !self.reads.is_empty() {
            self.reads.retain(|read| *read >= id);
        }
        while self.slots.front().is_some_and(|slot| slot.id < id && matches!(slot.state, State::Done(_))) {
            self.slots.pop_front();
        }
    }

    /// Takes little memory while nothing is under way.
    pub(super) fn tidy(&mut self) {
        if self.slots.is_empty() {
            self.slots = VecDeque::new();
        }
        if self.reads.is_empty() {
            self.reads = VecDeque::new();
        }
    }

    /// Answers are never asked for again: the wire has no resuming.
    pub(super) fn be_forgetful(&mut self) {
        self.answered = FORGETFUL;
    }

    /// The client begins to count anew. What is under way ends without an answer.
    pub(super) fn restart(&mut self) {
        *self = Self { numbering: self.numbering.wrapping_add(1), ..Self::default() };
    }

    fn complete(&mut self, at: usize, result: Result<Answer, Refusal>) -> Result<Answer, Refusal> {
        self.under_way -= 1;
        // A page of history is not worth keeping: it can be read again.
        let is_kept = self.slots[at].id >= self.answered && !matches!(result, Ok(Answer::QueryHistory(_)));
        if is_kept {
            self.slots[at].state = State::Done(result.clone());
            if self.slots.len() > limits::REQUESTS_IN_FLIGHT {
                let oldest = self.slots.iter().position(|slot| matches!(slot.state, State::Done(_)));
                oldest.and_then(|at| self.slots.remove(at));
            }
        } else {
            self.slots.remove(at);
        }
        result
    }

    fn find(&self, id: RequestId) -> Result<usize, usize> {
        // Ids rise by one, so there is mostly no need to search.
        let first = self.slots.front().map_or(id, |slot| slot.id);
        if let Ok(at) = usize::try_from(id.0.wrapping_sub(first.0))
            && self.slots.get(at).is_some_and(|slot| slot.id == id)
        {
            return Ok(at);
        }
        self.slots.binary_search_by_key(&id, |slot| slot.id)
    }
}

impl Requests {
    pub(super) fn pack(&self) -> RequestsV1 {
        let request = |slot: &Slot| RequestV1 {
            id: slot.id.0,
            answer: match &slot.state {
                State::UnderWay { .. } => None,
                State::Done(result) => Some(binary::answer_bytes(slot.id, result).into()),
            },
        };
        RequestsV1 {
            numbering: self.numbering,
            requests: self.slots.iter().map(request).collect(),
            reads: self.reads.iter().map(|id| id.0).collect(),
            answered: self.answered.0,
        }
    }

    pub(super) fn unpack(packed: RequestsV1) -> Option<Self> {
        let RequestsV1 { numbering, requests, reads, answered } = packed;
        let is_good = requests.is_sorted_by(|one, next| one.id < next.id)
            && requests.len() <= MOST_SLOTS
            && reads.len() <= REPEATED_READS;
        if !is_good {
            return None;
        }
        let under_way = requests.iter().filter(|request| request.answer.is_none()).count();
        let slot = |RequestV1 { id, answer }| {
            let state = match answer {
                None => State::UnderWay { promises: 0, result: None },
                Some(bytes) => State::Done(binary::answer(bytes.into())?),
            };
            Some(Slot { id: RequestId(id), call: None, state })
        };
        Some(Self {
            numbering,
            slots: requests.into_iter().map(slot).collect::<Option<_>>()?,
            under_way,
            reads: reads.into_iter().map(RequestId).collect(),
            answered: RequestId(answered),
        })
    }
}

/// So many reads are remembered: more than the call limits let pass in the time that a read may take.
const REPEATED_READS: usize = 128;

/// At most this many finished requests are remembered. Requests under way are not discarded.
const MOST_SLOTS: usize = 2 * limits::REQUESTS_IN_FLIGHT;

/// What a client on a wire without resuming has answered: everything.
const FORGETFUL: RequestId = RequestId(u64::MAX);
