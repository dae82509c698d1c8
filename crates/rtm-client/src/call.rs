//! A call: the future that an application awaits, and what passes from it to the client's task.

use std::{
    fmt, mem,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::FutureExt;
use rtm_codec::{Answer, Command, ErrorKind, Family, Text, Token, UserId};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, Session};
use tokio::{
    sync::{mpsc, oneshot},
    time::Sleep,
};

/// A call to the server, as the methods of [`Client`](crate::Client) and [`Channel`](crate::Channel) return it: a future of
/// its answer.
///
/// The client makes the call when the future is first awaited. The future borrows nothing, so you can spawn it. Until it ends, it
/// counts as a handle of the client: if you drop all other handles, the client finishes its calls under way before it logs out.
///
/// ```no_run
/// # async fn example(client: rtm_client::Client) -> Result<(), rtm_client::RtmError> {
/// use std::time::Duration;
///
/// let in_background = tokio::spawn(client.send_message_to_peer("bob", "hello"));
/// let members = client.channel("lobby")?.members().timeout(Duration::from_secs(1)).await?;
/// # Ok(())
/// # }
/// ```
///
/// # Cancel safety
///
/// Dropping the future discards the answer, but cancels nothing: a call that was polled once continues, unless the
/// method says otherwise.
#[must_use = "a call is made when it is awaited"]
pub struct Call<T> {
    stage: Stage<T>,
    family: Family,
    limit: Option<Limit>,
}

enum Limit {
    After(Duration),
    Runs(Pin<Box<Sleep>>),
}

/// How far a call is.
enum Stage<T> {
    /// It will not be made.
    Refused(RtmError),
    New {
        task: Task,
        order: Order,
        reply: Reply<T>,
    },
    /// The sender keeps the client from ending before the call.
    Waiting {
        _task: Task,
        reply: Reply<T>,
    },
    Ended,
}

/// Where the answer comes, and what is made of it.
pub(crate) enum Reply<T> {
    Answer(oneshot::Receiver<Result<Answer, RtmError>>, fn(Answer) -> Option<T>),
    Itself(oneshot::Receiver<Result<T, RtmError>>),
}

impl<T> Call<T> {
    /// Sets a shorter time limit for this call, counted from when it is first awaited. At the limit it ends with
    /// [`ErrorKind::Timeout`], but it may still have its effect. A limit longer than the usual one has no effect.
    pub fn timeout(self, limit: Duration) -> Self {
        Self { limit: Some(Limit::After(limit)), ..self }
    }

    pub(crate) fn new(task: Task, family: Family, order: Order, reply: Reply<T>) -> Self {
        Self { stage: Stage::New { task, order, reply }, family, limit: None }
    }

    /// A call whose arguments break their rules.
    pub(crate) fn refused(family: Family, error: RtmError) -> Self {
        Self { stage: Stage::Refused(error), family, limit: None }
    }

    fn poll_answer(&mut self, cx: &mut Context<'_>) -> Poll<Result<T, RtmError>> {
        loop {
            if let Stage::Waiting { reply, .. } = &mut self.stage {
                let answer = reply.poll(cx, self.family);
                if answer.is_ready() {
                    self.stage = Stage::Ended;
                }
                return answer;
            }
            match mem::replace(&mut self.stage, Stage::Ended) {
                Stage::Refused(error) => return Poll::Ready(Err(error)),
                Stage::New { task, order, reply } => {
                    if task.send(order).is_err() {
                        return Poll::Ready(Err(gone(self.family)));
                    }
                    self.stage = Stage::Waiting { _task: task, reply };
                }
                // It has nothing to say any more.
                Stage::Waiting { .. } | Stage::Ended => return Poll::Pending,
            }
        }
    }

    fn poll_limit(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(Limit::After(limit)) = self.limit {
            self.limit = Some(Limit::Runs(Box::pin(tokio::time::sleep(limit))));
        }
        match &mut self.limit {
            Some(Limit::Runs(limit)) => limit.poll_unpin(cx),
            Some(Limit::After(_)) | None => Poll::Pending,
        }
    }
}

impl<T> Future for Call<T> {
    type Output = Result<T, RtmError>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Poll::Ready(answer) = self.poll_answer(cx) {
            return Poll::Ready(answer);
        }
        ready!(self.poll_limit(cx));
        self.stage = Stage::Ended;
        self.limit = None;
        Poll::Ready(Err(
            RtmError::new(ErrorKind::Timeout, self.family).with_detail("this call's own time limit is over")
        ))
    }
}

impl<T> Reply<T> {
    fn poll(&mut self, cx: &mut Context<'_>, family: Family) -> Poll<Result<T, RtmError>> {
        Poll::Ready(match self {
            Self::Answer(answer, read) => match ready!(answer.poll_unpin(cx)) {
                Ok(answer) => answer.and_then(|answer| {
                    read(answer).ok_or_else(|| {
                        RtmError::new(ErrorKind::Failure, family).with_detail("the answer is to another call")
                    })
                }),
                Err(_) => Err(gone(family)),
            },
            Self::Itself(answer) => ready!(answer.poll_unpin(cx)).unwrap_or_else(|_| Err(gone(family))),
        })
    }
}

impl<T> fmt::Debug for Call<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Call").field("family", &self.family).finish_non_exhaustive()
    }
}

/// There is no task any more.
pub(crate) fn gone(family: Family) -> RtmError {
    RtmError::new(ErrorKind::ClientEnded, family)
        .with_detail("its task is gone: the runtime that it ran in was shut down, or it panicked")
}

/// What a handle wants of the task. The senders are shadows of what the connection keeps: each call ends there, by its
/// deadline at the latest, whether or not somebody still waits for it. Small, since many wait at once and each is moved a
/// few times.
#[derive(Debug)]
pub(crate) enum Order {
    Request { command: Arc<Command>, done: oneshot::Sender<Result<Answer, RtmError>> },
    Rare(Box<RareOrder>),
}

const _: () = assert!(size_of::<Order>() <= 2 * size_of::<usize>(), "an order is a request, or a pointer");

/// The orders of which there are never many.
#[derive(Debug)]
pub(crate) enum RareOrder {
    Login { user_id: UserId, token: Option<Token>, done: oneshot::Sender<Result<(), RtmError>> },
    Logout { done: oneshot::Sender<Result<(), RtmError>> },
    RenewToken { token: Token, done: oneshot::Sender<Result<Answer, RtmError>> },
    Invite { callee_id: UserId, content: Text, done: oneshot::Sender<Result<LocalInvitation, RtmError>> },
    CancelInvitation { invitation: LocalInvitation, content: Text, done: oneshot::Sender<Result<Answer, RtmError>> },
    AcceptInvitation { invitation: RemoteInvitation, response: Text, done: oneshot::Sender<Result<Answer, RtmError>> },
    RefuseInvitation { invitation: RemoteInvitation, response: Text, done: oneshot::Sender<Result<Answer, RtmError>> },
    Session { done: oneshot::Sender<Option<Session>> },
    NetworkChanged,
}

impl From<RareOrder> for Order {
    fn from(order: RareOrder) -> Self {
        Self::Rare(Box::new(order))
    }
}

/// How handles reach the task. Its queue has no bound: a call that was polled once has its place in it, in the order of the
/// first polls, and the task refuses what is too much as soon as it takes it. Shared as a whole: a call that keeps the task
/// counts one reference, where a clone of the sender would count two.
pub(crate) type Task = Arc<mpsc::UnboundedSender<Order>>;

/// What handles see of the connection without asking the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: ConnectionState,
    pub(crate) user_id: Option<UserId>,
}
