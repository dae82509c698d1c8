//! Who waits for the answers to requests.

use std::collections::VecDeque;

use rtm_codec::{Answer, RequestId, Token};
use rtm_connection::{LocalInvitation, RtmError};
use tokio::sync::oneshot;

use super::delayed::Delayable;

/// Who waits for a reply.
#[derive(Debug)]
pub(super) enum Waiting {
    Answer(oneshot::Sender<Result<Answer, RtmError>>),
    /// An answer, or the time at which the call is allowed.
    Delayable(Box<Delayable>),
    Invitation(Box<Invited>),
    Renewal(Box<Renewal>),
}

/// A token that the server has yet to take, and who waits for that.
#[derive(Debug)]
pub(super) struct Renewal {
    pub(super) token: Token,
    pub(super) done: oneshot::Sender<Result<Answer, RtmError>>,
}

/// An invitation that the server has yet to take, and who waits for that.
#[derive(Debug)]
pub(super) struct Invited {
    pub(super) invitation: LocalInvitation,
    pub(super) done: oneshot::Sender<Result<LocalInvitation, RtmError>>,
}

/// Who waits, in the order of the requests. Replies mostly come in that order, so nothing is hashed, searched or moved
/// then; one that comes early leaves a hole.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// The first one is no hole, and not many more than half are.
    slots: VecDeque<(RequestId, Option<Waiting>)>,
    /// How many are no holes.
    len: usize,
}

impl Replies {
    pub(super) fn len(&self) -> usize {
        self.len
    }

    pub(super) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Has somebody wait for the reply to a request that nobody waits for yet.
    pub(super) fn insert(&mut self, id: RequestId, waiting: Waiting) {
        let slot = (id, Some(waiting));
        match self.slots.back() {
            // A session may be saved with any number for its next request, so they may start over.
            Some((last, _)) if *last >= id => {
                let at = self.slots.partition_point(|(earlier, _)| *earlier < id);
                self.slots.insert(at, slot);
            }
            _ => self.slots.push_back(slot),
        }
        self.len += 1;
    }

    pub(super) fn remove(&mut self, id: RequestId) -> Option<Waiting> {
        let (first, _) = self.slots.front()?;
        let waiting = if *first == id {
            self.slots.pop_front()?.1?
        } else {
            let at = self.find(id)?;
            self.slots[at].1.take()?
        };
        self.len -= 1;
        self.close_holes();
        Some(waiting)
    }

    fn find(&self, id: RequestId) -> Option<usize> {
        let (first, _) = self.slots.front()?;
        // Few numbers are left out.
        let guess = usize::try_from(id.0.checked_sub(first.0)?).unwrap_or(usize::MAX);
        if self.slots.get(guess).is_some_and(|(at, _)| *at == id) {
            return Some(guess);
        }
        self.slots.binary_search_by_key(&id, |(id, _)| *id).ok()
    }

    fn close_holes(&mut self) {
        while self.slots.front().is_some_and(|(_, waiting)| waiting.is_none()) {
            self.slots.pop_front();
        }
        if self.slots.len() > 2 * self.len + FEW {
            self.slots.retain(|(_, waiting)| waiting.is_some());
        }
    }
}

/// How many holes are never worth closing.
const FEW: usize = 16;

#[cfg(test)]
mod tests {
    use super::*;

    /// Somebody who waits, and where the answer comes.
    fn waiting() -> (Waiting, oneshot::Receiver<Result<Answer, RtmError>>) {
        let (done, answer) = oneshot::channel();
        (Waiting::Answer(done), answer)
    }

    fn replies(numbers: impl IntoIterator<Item = u64>) -> (Replies, Vec<oneshot::Receiver<Result<Answer, RtmError>>>) {
        let mut replies = Replies::default();
        let answers = numbers.into_iter().map(|number| {
            let (waiting, answer) = waiting();
            replies.insert(RequestId(number), waiting);
            answer
        });
        let answers = answers.collect();
        (replies, answers)
    }

    /// Answers a request, and says whether somebody waited for it.
    fn answer(replies: &mut Replies, number: u64) -> bool {
        match replies.remove(RequestId(number)) {
            Some(Waiting::Answer(done)) => done.send(Ok(Answer::JoinChannel(()))).is_ok(),
            Some(other) => panic!("{other:?}"),
            None => false,
        }
    }

    #[test]
    fn each_reply_goes_to_who_waits_for_it_in_any_order_and_once() {
        // Some numbers were given to requests that nobody waits for.
        let numbers = [3, 4, 5, 9, 10, 20, 21];
        for order in [[0, 1, 2, 3, 4, 5, 6], [6, 5, 4, 3, 2, 1, 0], [3, 0, 6, 1, 2, 5, 4]] {
            let (mut replies, mut answers) = replies(numbers);
            for (answered, at) in order.into_iter().enumerate() {
                assert_eq!(replies.len(), numbers.len() - answered);
                assert!(answers[at].try_recv().is_err());
                assert!(answer(&mut replies, numbers[at]));
                assert!(answers[at].try_recv().is_ok(), "the reply to {} went elsewhere", numbers[at]);
                assert!(!answer(&mut replies, numbers[at]));
            }
            assert!(replies.is_empty() && replies.slots.is_empty());
        }
    }

    #[test]
    fn numbers_may_start_over() {
        let numbers = [u64::MAX - 1, u64::MAX, 0, 1];
        let (mut replies, mut answers) = replies(numbers);
        for (number, mut receipt) in numbers.into_iter().zip(answers.drain(..)) {
            assert!(answer(&mut replies, number));
            assert!(receipt.try_recv().is_ok());
        }
        assert!(replies.slots.is_empty());
    }

    #[test]
    fn nobody_waits_for_a_number_that_was_left_out_or_is_yet_to_come() {
        let (mut replies, _answers) = replies([3, 4, 9]);
        for number in [0, 2, 5, 8, 10, u64::MAX] {
            assert!(!answer(&mut replies, number));
        }
        assert_eq!(replies.len(), 3);
    }

    #[test]
    fn one_that_waits_long_keeps_no_memory_for_those_behind_it() {
        let (mut replies, _first) = replies([1]);
        for number in 2..10_000 {
            let (waiting, _answer) = waiting();
            replies.insert(RequestId(number), waiting);
            assert!(replies.remove(RequestId(number)).is_some());
            assert!(replies.slots.len() <= 2 * replies.len() + FEW);
        }
        assert_eq!(replies.len(), 1);
        assert!(replies.remove(RequestId(1)).is_some());
        assert!(replies.slots.is_empty());
    }
}
