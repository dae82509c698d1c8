//! The handle: session, messages, online states and invitations.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use rtm_codec::{
    Answer, ChannelId, ErrorKind, Family, GetChannelMemberCount, InvalidId, Operation, PeerOnlineState,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RtmMessage, SendMessageToPeer, SendOutcome,
    SubscribePeersOnlineStatus, Text, Token, UnsubscribePeersOnlineStatus, UserId,
};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, Session};
use tokio::sync::{oneshot, watch};

use crate::{
    call::{Call, Order, RareOrder, Reply, Status, Task},
    stats::{ClientStats, Figures},
};

#[doc = include_str!("guide.md")]
#[derive(Debug, Clone)]
pub struct Client {
    task: Task,
    status: watch::Receiver<Status>,
    figures: Arc<Figures>,
}

/// Options of [`Client::send_message_to_peer_with`]. Both are off unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct SendMessageOptions {
    offline: bool,
    historical: bool,
}

impl SendMessageOptions {
    /// The defaults: the server stores nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the server stores the message for the receiver's next login if the receiver is offline: up to 200 messages
    /// for 7 days, unless the server sets other limits.
    pub fn enable_offline_messaging(self, on: bool) -> Self {
        Self { offline: on, ..self }
    }

    /// Whether the server adds the message to the history of the two users, for [queries](Client::query_peer_history).
    ///
    /// The server sends the message without waiting for its store. If the store then fails, the call ends with
    /// [`ErrorKind::Failure`] and a text that says that the message was sent: sending it again would send it twice.
    pub fn enable_historical_messaging(self, on: bool) -> Self {
        Self { historical: on, ..self }
    }
}

impl Client {
    pub(crate) fn new(task: Task, status: watch::Receiver<Status>, figures: Arc<Figures>) -> Self {
        Self { task, status, figures }
    }

    /// Logs a user in. `token` is needed if the project has a certificate; with `None` the client asks its
    /// [token provider](crate::ClientBuilder::token_provider), if it has one.
    ///
    /// The events `CONNECTING` and `CONNECTED` are in the stream before this returns. From then on the client reconnects by
    /// itself. An unreachable server is tried until the [login timeout](crate::ClientBuilder::login_timeout).
    ///
    /// # Errors
    ///
    /// | [`ErrorKind`] | when |
    /// |---|---|
    /// | `AlreadyLogin` | the state is not `DISCONNECTED`. After `ABORTED`, log out first |
    /// | `InvalidArgument` | the user id is not valid: 1 to 64 bytes of [certain characters](crate::UserId) |
    /// | `Timeout` | the server was not reached in time |
    /// | `GatewayConnectFailed` | the server cannot be reached, and trying again is pointless |
    /// | `InvalidAppId` | the server does not have this project |
    /// | `InvalidToken`, `TokenExpired` | the server refuses the token |
    /// | `ProviderFailed` | the token provider failed |
    /// | `Banned` | the server banned the user |
    /// | `TooOften` | more than 2 logins in 1 s; or the server refused too many logins from this address |
    ///
    /// # Cancel safety
    ///
    /// Dropping the call does not stop the login. [`logout`](Self::logout) does.
    pub fn login(&self, user_id: impl AsRef<str>, token: Option<&str>) -> Call<()> {
        let arguments = UserId::new(user_id)
            .map_err(|error| invalid(Family::Login, error))
            .and_then(|user_id| Ok((user_id, token.map(|token| token_of(token, Family::Login)).transpose()?)));
        self.ask(Family::Login, arguments, |(user_id, token), done| RareOrder::Login { user_id, token, done })
    }

    /// Logs the user out. The user leaves its channels and loses its subscriptions and attributes at once.
    ///
    /// Returns when the connection is closed: after at most 3 s, or 5 s on the vendor's wire. Calls under way end with
    /// [`ErrorKind::AbortedByLogout`], also those that wait for their limit.
    /// It also leaves the state `ABORTED`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] in the state `DISCONNECTED`.
    pub fn logout(&self) -> Call<()> {
        self.ask(Family::Logout, Ok(()), |(), done| RareOrder::Logout { done })
    }

    /// Replaces the token of this session and of later reconnects. A refused token changes nothing.
    ///
    /// ```no_run
    /// # async fn new_token() -> String { String::new() }
    /// # async fn example(client: rtm_client::Client, mut events: rtm_client::Events) -> Result<(), rtm_client::RtmError> {
    /// use rtm_client::RtmEvent;
    ///
    /// while let Some(event) = events.recv().await {
    ///     match event {
    ///         RtmEvent::TokenWillExpire | RtmEvent::TokenNeeded { .. } => client.renew_token(&new_token().await).await?,
    ///         event => println!("{event}"),
    ///     }
    /// }
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`] or [`ErrorKind::TokenExpired`] if the server refuses the token. On the vendor's wire the
    /// server does not answer: `Ok` then means that the token was sent. If the next reconnect is refused with it, the client goes
    /// back to the last token of an accepted login.
    pub fn renew_token(&self, token: &str) -> Call<()> {
        let token = token_of(token, Family::RenewToken);
        self.ask_answer(Family::RenewToken, token, |token, done| RareOrder::RenewToken { token, done })
    }

    /// The current state of the connection. Each change is also an event.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.status.borrow().state
    }

    /// The user who is logged in or logging in.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.status.borrow().user_id.clone()
    }

    /// Statistics for your metrics: bytes, events, calls, reconnects, the round trip to the server. Reading them
    /// is cheap. They are a moment old, and not all from the same instant.
    ///
    /// ```
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let app_id = "0123456789abcdef0123456789abcdef";
    /// # let server = rtm_server::Server::builder().project(rtm_server::AppId::new(app_id)?).bind("127.0.0.1:0").await?;
    /// # let gateway = format!("http://{}", server.local_addr());
    /// # let (client, events) = rtm_client::connect(&gateway, app_id, "alice", None).await?;
    /// let stats = client.stats();
    /// println!("{} B received, {} reconnects, {:?}", stats.bytes_in, stats.reconnects, stats.round_trip);
    /// // CONNECTING and CONNECTED, which nobody has read.
    /// assert_eq!((stats.events, stats.events_waiting), (2, 2));
    /// # server.shutdown().await;
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn stats(&self) -> ClientStats {
        self.figures.stats()
    }

    /// The current session, to save it and [resume](crate::ClientBuilder::resume) it in another process. `None` while not logged
    /// in, and always on the vendor's wire, which cannot resume.
    pub async fn session(&self) -> Option<Session> {
        let (done, session) = oneshot::channel();
        self.task.send(RareOrder::Session { done }.into()).ok()?;
        session.await.ok().flatten()
    }

    /// Tells the client that the network may have changed: the computer woke up, or is in another network. The client then
    /// connects at once instead of after its pause, and asks its token provider again if that failed. A connection that is
    /// open is tested: it stays if the server answers within 2 s. Calling this when nothing has changed does no harm.
    ///
    /// The client notices all that by itself, only later: after up to 10 s between two attempts to connect, and after 4 s of
    /// silence (20 s on the vendor's wire).
    ///
    /// ```no_run
    /// # async fn example(client: rtm_client::Client, mut wake_ups: tokio::sync::mpsc::Receiver<()>) {
    /// // `wake_ups`: whatever your platform offers, such as `PrepareForSleep` of systemd's logind.
    /// while let Some(()) = wake_ups.recv().await {
    ///     client.network_changed();
    /// }
    /// # }
    /// ```
    #[doc(alias = "reconnect")]
    #[doc(alias = "force_reconnect")]
    pub fn network_changed(&self) {
        // A client whose task has ended has no network.
        let _ = self.task.send(RareOrder::NetworkChanged.into());
    }

    /// Sends a message (text, bytes or a [value](RtmMessage::value)) to a user. The outcome says whether the user's device has
    /// it. No channel is needed, and the user need not be online.
    ///
    /// Messages to one user arrive in the order in which their calls are first polled. To have many under way in order, use
    /// `FuturesOrdered`:
    ///
    /// ```no_run
    /// # async fn example(client: rtm_client::Client) -> Result<(), rtm_client::RtmError> {
    /// use futures::{TryStreamExt, stream::FuturesOrdered};
    ///
    /// let calls: FuturesOrdered<_> = (1..=100).map(|n| client.send_message_to_peer("bob", n.to_string())).collect();
    /// let outcomes: Vec<_> = calls.try_collect().await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// | [`ErrorKind`] | when |
    /// |---|---|
    /// | `InvalidUserId` | the user id is not valid |
    /// | `InvalidMessage` | the message is empty or has more than 32,768 bytes |
    /// | `IncompatibleMessage` | bytes to a user whose client is on the vendor's wire |
    pub fn send_message_to_peer(&self, peer_id: impl AsRef<str>, message: impl Into<RtmMessage>) -> Call<SendOutcome> {
        self.send_message_to_peer_with(peer_id, message, SendMessageOptions::default())
    }

    /// [`send_message_to_peer`](Self::send_message_to_peer) with options, to store the message for an offline user or in the
    /// history.
    ///
    /// # Errors
    ///
    /// Those of [`send_message_to_peer`](Self::send_message_to_peer); [`ErrorKind::Failure`] if the server's store failed.
    pub fn send_message_to_peer_with(
        &self,
        peer_id: impl AsRef<str>,
        message: impl Into<RtmMessage>,
        options: SendMessageOptions,
    ) -> Call<SendOutcome> {
        let operation = match UserId::new(peer_id) {
            Ok(peer_id) => Ok(SendMessageToPeer {
                message_id: Default::default(),
                peer_id,
                message: message.into(),
                enable_offline_messaging: options.offline,
                enable_historical_messaging: options.historical,
            }),
            Err(error) => {
                Err(RtmError::new(ErrorKind::InvalidUserId, Family::PeerMessage).with_detail(error.to_string()))
            }
        };
        self.request(operation)
    }

    /// Asks which of 1 to 256 users are online.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for an invalid user id, for no user, and for more than 256.
    pub fn query_peers_online_status(
        &self,
        peer_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<BTreeMap<UserId, PeerOnlineState>> {
        let peer_ids = user_ids(peer_ids, Family::QueryPeersOnlineStatus);
        self.request_then(peer_ids.map(|peer_ids| QueryPeersOnlineStatus { peer_ids }), |answer| {
            Some(QueryPeersOnlineStatus::answer(answer)?.into_iter().collect())
        })
    }

    /// Subscribes to the online states of users. A client can have 512 subscriptions. The next
    /// [`PeersOnlineStatusChanged`](crate::RtmEvent::PeersOnlineStatusChanged) has the states of all users in this call, later
    /// ones have the changes. Subscriptions last until `logout` and survive reconnects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for no user, or if there would be more than 512: then no subscription is added.
    /// [`ErrorKind::InvalidArgument`] for an invalid user id.
    pub fn subscribe_peers_online_status(&self, peer_ids: impl IntoIterator<Item: AsRef<str>>) -> Call<()> {
        let peer_ids = user_ids(peer_ids, Family::PeerSubscription);
        self.request(peer_ids.map(|peer_ids| SubscribePeersOnlineStatus { peer_ids }))
    }

    /// Ends subscriptions. Users without a subscription are ignored.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for no user or more than 512, [`ErrorKind::InvalidArgument`] for an invalid user id.
    pub fn unsubscribe_peers_online_status(&self, peer_ids: impl IntoIterator<Item: AsRef<str>>) -> Call<()> {
        let peer_ids = user_ids(peer_ids, Family::PeerSubscription);
        self.request(peer_ids.map(|peer_ids| UnsubscribePeersOnlineStatus { peer_ids }))
    }

    /// The users to whose online states the client is subscribed. The vendor's own servers list only those who are online.
    ///
    /// # Errors
    ///
    /// Those of every call.
    #[doc(alias = "queryPeersBySubscriptionOption")]
    pub fn subscribed_peers(&self) -> Call<Vec<UserId>> {
        self.request(Ok(QueryPeersBySubscriptionOption {}))
    }

    /// Invites a user to a call. `content` is a text for the callee, of up to 8,192 bytes. Returns when the server has the
    /// invitation. The answer, or its end after 60 s, is one of the `LocalInvitation…` [events](crate::RtmEvent).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for an invalid user id or a text that is too long; [`ErrorKind::ExceedLimit`] if the user
    /// has 128 open invitations.
    pub fn send_invitation(&self, callee_id: impl AsRef<str>, content: impl Into<Text>) -> Call<LocalInvitation> {
        let callee_id = UserId::new(callee_id).map_err(|error| invalid(Family::Invitation, error));
        let content = content.into();
        self.ask(Family::Invitation, callee_id, |callee_id, done| RareOrder::Invite { callee_id, content, done })
    }

    /// Cancels an invitation. `content` is a text for the callee, of up to 8,192 bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotStarted`] for an invitation that this client did not send, [`ErrorKind::AlreadyEnd`] if it has
    /// ended, [`ErrorKind::InvalidArgument`] for a text that is too long.
    pub fn cancel_invitation(&self, invitation: &LocalInvitation, content: impl Into<Text>) -> Call<()> {
        let (invitation, content) = (invitation.clone(), content.into());
        self.ask_answer(Family::Invitation, Ok(()), |(), done| RareOrder::CancelInvitation {
            invitation,
            content,
            done,
        })
    }

    /// Accepts an invitation. `response` is a text for the caller, of up to 8,192 bytes. The event
    /// [`RemoteInvitationAccepted`](crate::RtmEvent::RemoteInvitationAccepted) confirms that the caller's side knows.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyAccept`] if it was accepted already, [`ErrorKind::AlreadyEnd`] if it has ended or is unknown,
    /// [`ErrorKind::InvalidArgument`] for a text that is too long.
    pub fn accept_invitation(&self, invitation: &RemoteInvitation, response: impl Into<Text>) -> Call<()> {
        let (invitation, response) = (invitation.clone(), response.into());
        self.ask_answer(Family::Invitation, Ok(()), |(), done| RareOrder::AcceptInvitation {
            invitation,
            response,
            done,
        })
    }

    /// Refuses an invitation. `response` is a text for the caller, of up to 8,192 bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyEnd`] if it has ended or is unknown, [`ErrorKind::InvalidArgument`] for a text that is too long.
    pub fn refuse_invitation(&self, invitation: &RemoteInvitation, response: impl Into<Text>) -> Call<()> {
        let (invitation, response) = (invitation.clone(), response.into());
        self.ask_answer(Family::Invitation, Ok(()), |(), done| RareOrder::RefuseInvitation {
            invitation,
            response,
            done,
        })
    }

    /// Asks how many members each of 1 to 32 channels has. The client need not be a member. A channel without members has 0.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for more than 32 channels, [`ErrorKind::InvalidArgument`] for none and for an invalid
    /// channel id.
    #[doc(alias = "getChannelMemberCount")]
    pub fn channel_member_count(
        &self,
        channel_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<BTreeMap<ChannelId, u32>> {
        let channel_ids = ids(channel_ids, ChannelId::new, Family::GetChannelMemberCount);
        self.request(channel_ids.map(|channel_ids| GetChannelMemberCount { channel_ids }))
    }

    /// The call of an operation, or of invalid arguments.
    pub(crate) fn request<O: Operation>(&self, operation: Result<O, RtmError>) -> Call<O::Answer> {
        self.request_then(operation, O::answer)
    }

    /// [`request`](Self::request), for several arguments that may be invalid.
    pub(crate) fn try_request<O: Operation>(&self, operation: impl FnOnce() -> Result<O, RtmError>) -> Call<O::Answer> {
        self.request(operation())
    }

    pub(crate) fn request_then<O: Operation, T>(
        &self,
        operation: Result<O, RtmError>,
        read: fn(Answer) -> Option<T>,
    ) -> Call<T> {
        let command = match operation {
            Ok(operation) => Arc::new(operation.into()),
            Err(error) => return Call::refused(O::FAMILY, error),
        };
        let (done, answer) = oneshot::channel();
        Call::new(Arc::clone(&self.task), O::FAMILY, Order::Request { command, done }, Reply::Answer(answer, read))
    }

    fn ask_answer<A>(
        &self,
        family: Family,
        arguments: Result<A, RtmError>,
        order: impl FnOnce(A, oneshot::Sender<Result<Answer, RtmError>>) -> RareOrder,
    ) -> Call<()> {
        match arguments {
            Ok(arguments) => {
                let (done, answer) = oneshot::channel();
                Call::new(
                    Arc::clone(&self.task),
                    family,
                    order(arguments, done).into(),
                    Reply::Answer(answer, |_| Some(())),
                )
            }
            Err(error) => Call::refused(family, error),
        }
    }

    fn ask<A, T>(
        &self,
        family: Family,
        arguments: Result<A, RtmError>,
        order: impl FnOnce(A, oneshot::Sender<Result<T, RtmError>>) -> RareOrder,
    ) -> Call<T> {
        match arguments {
            Ok(arguments) => {
                let (done, answer) = oneshot::channel();
                Call::new(Arc::clone(&self.task), family, order(arguments, done).into(), Reply::Itself(answer))
            }
            Err(error) => Call::refused(family, error),
        }
    }
}

/// An invalid argument.
pub(crate) fn invalid(family: Family, error: impl Display) -> RtmError {
    RtmError::new(ErrorKind::InvalidArgument, family).with_detail(error.to_string())
}

/// Reads texts as ids.
pub(crate) fn ids<T, I: AsRef<str>>(
    texts: impl IntoIterator<Item = I>,
    id: fn(I) -> Result<T, InvalidId>,
    family: Family,
) -> Result<Vec<T>, RtmError> {
    texts.into_iter().map(|text| id(text).map_err(|error| invalid(family, error))).collect()
}

fn user_ids(texts: impl IntoIterator<Item: AsRef<str>>, family: Family) -> Result<Vec<UserId>, RtmError> {
    ids(texts, UserId::new, family)
}

fn token_of(token: &str, family: Family) -> Result<Token, RtmError> {
    Token::new(token).map_err(|error| RtmError::new(ErrorKind::InvalidToken, family).with_detail(error.to_string()))
}
