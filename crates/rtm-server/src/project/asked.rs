//! Those who wait for an answer of the core.

use std::collections::HashMap;

use rtm_codec::Refusal;
use rtm_core::HttpId;
use tokio::sync::oneshot;

/// What the core says to a question.
pub(super) type Answer<A> = Result<A, Refusal>;

/// Those who wait for answers of one kind.
#[derive(Debug)]
pub(super) struct Asked<A> {
    waiting: HashMap<HttpId, oneshot::Sender<Answer<A>>>,
    /// Room for answers on their way.
    answers: Vec<(HttpId, Answer<A>)>,
}

impl<A> Default for Asked<A> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), answers: Vec::new() }
    }
}

impl<A> Asked<A> {
    /// Waits for the answer to a question.
    pub(super) fn wait(&mut self, id: HttpId) -> oneshot::Receiver<Answer<A>> {
        let (answer, answered) = oneshot::channel();
        self.waiting.insert(id, answer);
        answered
    }

    /// Waits as [`wait`](Self::wait) does, unless the answer is the last of those that `take` takes from the core.
    pub(super) fn wait_unless_there(
        &mut self,
        id: HttpId,
        take: impl FnOnce(&mut Vec<(HttpId, Answer<A>)>),
    ) -> Result<Answer<A>, oneshot::Receiver<Answer<A>>> {
        take(&mut self.answers);
        match self.answers.pop_if(|(answered, _)| *answered == id) {
            Some((_, answer)) => Ok(answer),
            None => Err(self.wait(id)),
        }
    }

    /// Passes on the answers that `take` takes from the core.
    pub(super) fn pass_on(&mut self, take: impl FnOnce(&mut Vec<(HttpId, Answer<A>)>)) {
        take(&mut self.answers);
        for (id, answer) in self.answers.drain(..) {
            if let Some(waiting) = self.waiting.remove(&id) {
                // Whoever asked may have gone.
                let _ = waiting.send(answer);
            }
        }
    }
}
