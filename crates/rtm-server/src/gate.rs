//! Frames that wait until somebody outside has decided about them: in order, and everything behind them waits too.

#[cfg(any(feature = "admin", feature = "webhooks"))]
use std::sync::Mutex;
use std::{
    any::Any,
    collections::{BTreeMap, VecDeque},
    fmt,
    future::Future,
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use rtm_codec::{AppId, ClientFrame, Command, ErrorKind, Refusal, RtmMessage, ServerFrame, Text, UserId};
#[cfg(any(feature = "admin", feature = "webhooks"))]
use rtm_core::Latencies;

/// Who decides about what clients of a project do.
pub(crate) trait Judge: Any + fmt::Debug + Send + Sync {
    /// Whether a login has to be decided about.
    fn judges_logins(&self) -> bool;

    /// Decides about a login; without a user about one that has no name yet.
    fn judge_login(&self, user_id: Option<&UserId>, address: Option<IpAddr>) -> Verdict;

    /// Whether a frame has to be decided about.
    fn judges(&self, frame: &ClientFrame) -> bool;

    /// What was asked so far.
    #[cfg(any(feature = "admin", feature = "webhooks"))]
    fn questions(&self) -> Questions;

    /// Decides about such a frame.
    fn judge(&self, frame: &ClientFrame, user_id: Option<&UserId>, address: Option<IpAddr>) -> Verdict;
}

/// What somebody was asked, by what it was about. All clones are one.
#[cfg(any(feature = "admin", feature = "webhooks"))]
pub(crate) type Questions = Arc<Mutex<BTreeMap<&'static str, QuestionFigures>>>;

/// How somebody answers.
#[cfg(any(feature = "admin", feature = "webhooks"))]
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct QuestionFigures {
    /// How many answers there were of each kind, as [`ANSWERS`] has them.
    pub(crate) answers: [u64; ANSWERS.len()],
    /// How long they took.
    pub(crate) took: Latencies,
}

/// What comes of a question.
#[cfg(any(feature = "admin", feature = "webhooks"))]
pub(crate) const ANSWERS: [&str; 4] = ["allowed", "denied", "replaced", "failed"];

/// Those who decide, by project.
pub(crate) type Judges = BTreeMap<AppId, Arc<dyn Judge>>;

/// A decision that is on its way.
pub(crate) type Verdict = Pin<Box<dyn Future<Output = Decision> + Send>>;

/// What was decided.
#[cfg_attr(not(feature = "webhooks"), expect(dead_code, reason = "nobody decides"))]
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Decision {
    Allow,
    /// No, and why not.
    Deny(String),
    /// Nobody has decided, which counts as no here. Why not.
    Undecided(String),
    /// Yes, with this text in place of the message's own.
    Text(Text),
}

/// Where the frames of a connection wait for decisions.
pub(crate) struct Gate {
    /// `None` when a reload has taken it away and an answer is still waited for.
    judge: Option<Arc<dyn Judge>>,
    user_id: Option<UserId>,
    address: Option<IpAddr>,
    /// The decision about the first frame that waits.
    verdict: Option<Verdict>,
    /// That one may go on.
    is_first_free: bool,
}

impl Gate {
    pub(crate) fn new(judge: Arc<dyn Judge>, user_id: Option<UserId>, address: Option<IpAddr>) -> Self {
        Self { judge: Some(judge), user_id, address, verdict: None, is_first_free: false }
    }

    /// Goes by another judge from now on, or by none. What was asked before is decided by the answer to that. Says whether the
    /// gate is needed.
    pub(crate) fn set_judge(&mut self, judge: Option<Arc<dyn Judge>>) -> bool {
        self.judge = judge;
        self.judge.is_some() || self.verdict.is_some()
    }

    /// Whether a frame has to be decided about.
    fn judges(&self, frame: &ClientFrame) -> bool {
        self.judge.as_ref().is_some_and(|judge| judge.judges(frame))
    }

    /// Who the client is, once the server has said so.
    pub(crate) fn set_user(&mut self, user_id: &UserId) {
        self.user_id = Some(user_id.clone());
    }

    /// How many of the frames that wait may go on. Those that may not are answered, and gone.
    pub(crate) fn open(
        &mut self,
        cx: &mut Context<'_>,
        pending: &mut VecDeque<ClientFrame>,
        mut answer: impl FnMut(ServerFrame),
    ) -> usize {
        loop {
            if let Some(verdict) = &mut self.verdict {
                let Poll::Ready(decision) = verdict.as_mut().poll(cx) else { return 0 };
                self.verdict = None;
                self.is_first_free = true;
                match decision {
                    Decision::Allow => {}
                    Decision::Text(text) => pending.front_mut().into_iter().for_each(|frame| replace(frame, &text)),
                    Decision::Deny(reason) | Decision::Undecided(reason) => {
                        self.is_first_free = false;
                        if let Some(ClientFrame::Request { id, .. }) = pending.pop_front() {
                            answer(ServerFrame::Reply { id, result: Err(denied(ErrorKind::Rejected, &reason)) });
                        }
                    }
                }
            }
            let first = usize::from(self.is_first_free);
            let free = first + pending.iter().skip(first).take_while(|frame| !self.judges(frame)).count();
            match (pending.front(), &self.judge) {
                (Some(frame), Some(judge)) if free == 0 => {
                    self.verdict = Some(judge.judge(frame, self.user_id.as_ref(), self.address));
                }
                _ => return free.min(pending.len()),
            }
        }
    }

    /// So many frames have gone on.
    pub(crate) fn passed(&mut self, frames: usize) {
        self.is_first_free &= frames == 0;
    }

    /// Takes out what nobody has decided about: its connection is gone.
    pub(crate) fn drop_undecided(&self, pending: &mut VecDeque<ClientFrame>) {
        if self.verdict.is_some() {
            pending.pop_front();
        }
        let mut is_free = self.is_first_free;
        pending.retain(|frame| std::mem::take(&mut is_free) || !self.judges(frame));
    }
}

/// What a client is told that may not do something.
pub(crate) fn denied(kind: ErrorKind, reason: &str) -> Refusal {
    Refusal::new(kind, if reason.is_empty() { "the application does not allow it" } else { reason })
}

fn replace(frame: &mut ClientFrame, text: &Text) {
    let ClientFrame::Request { command, .. } = frame else { return };
    let message = match command {
        Command::SendMessageToPeer(send) => &mut send.message,
        Command::SendChannelMessage(send) => &mut send.message,
        _ => return,
    };
    *message = RtmMessage::from(text.clone());
}
