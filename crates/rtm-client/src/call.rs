//! What passes between the handles of a client and its task.

use std::sync::Arc;

use rtm_codec::{Answer, Command, Text, Token, UserId};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, Session};
use tokio::sync::oneshot;

/// A call of a handle. The senders are shadows of what the connection keeps: each call ends there, by its deadline at
/// the latest, whether or not somebody still waits for it.
#[derive(Debug)]
pub(crate) enum Call {
    Login { user_id: UserId, token: Option<Token>, done: oneshot::Sender<Result<(), RtmError>> },
    Logout { done: oneshot::Sender<Result<(), RtmError>> },
    RenewToken { token: Token, done: oneshot::Sender<Result<Answer, RtmError>> },
    Request { command: Arc<Command>, done: oneshot::Sender<Result<Answer, RtmError>> },
    Invite { callee_id: UserId, content: Text, done: oneshot::Sender<Result<LocalInvitation, RtmError>> },
    CancelInvitation { invitation: LocalInvitation, content: Text, done: oneshot::Sender<Result<Answer, RtmError>> },
    AcceptInvitation { invitation: RemoteInvitation, response: Text, done: oneshot::Sender<Result<Answer, RtmError>> },
    RefuseInvitation { invitation: RemoteInvitation, response: Text, done: oneshot::Sender<Result<Answer, RtmError>> },
    Session { done: oneshot::Sender<Option<Session>> },
}

/// What handles see of the connection without asking the task.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Status {
    pub(crate) state: ConnectionState,
    pub(crate) user_id: Option<UserId>,
}
