//! The handle: session, messages, online states and invitations.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use futures::future::BoxFuture;
use rtm_codec::{
    ChannelId, ErrorKind, Family, GetChannelMemberCount, InvalidId, Operation, PeerOnlineState,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RtmMessage, SendMessageToPeer, SendOutcome,
    SubscribePeersOnlineStatus, Text, Token, UnsubscribePeersOnlineStatus, UserId,
};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, Session};
use tokio::sync::{
    mpsc::{self, error::TrySendError},
    oneshot, watch,
};

use crate::call::{Call, Status};

/// A client of an RTM server. Cheap to clone; all clones are the same client.
///
/// What happens to it arrives in its [`Events`](crate::Events). Each call is one request to the server, which answers
/// it or lets its time run out: 10 s for messages and online states, 5 s for the rest, 12 s for `login`.
///
/// # Errors
///
/// Every call that needs a login fails with [`ErrorKind::NotLoggedIn`] without one, with [`ErrorKind::TooOften`] when
/// it is made more often than [allowed](crate::ClientBuilder::call_limits), with [`ErrorKind::Timeout`] without an
/// answer in time, with [`ErrorKind::OutcomeUnknown`] when the session was lost before the answer, and with
/// [`ErrorKind::AbortedByLogout`] when `logout` comes first. While a reconnect waits for a
/// [new token](crate::RtmEvent::TokenNeeded) they fail with what is wrong with the old one. The methods name only what comes beyond that.
///
/// # Cancel safety
///
/// Dropping the future of a call forgets the answer and leaks nothing. It takes nothing back: what was handed to the
/// client's task before goes on, unless the method says otherwise.
///
/// # Dropping
///
/// When the last clone, [`Channel`](crate::Channel)s included, is dropped, the client logs out in the background.
/// Await [`logout`](Self::logout) before the runtime ends, if the server is to know at once.
#[derive(Debug, Clone)]
pub struct Client {
    calls: mpsc::Sender<Call>,
    status: watch::Receiver<Status>,
}

/// How a message is sent to a user.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct SendMessageOptions {
    /// Whether the server keeps it for the receiver's next login, if the receiver is offline.
    pub enable_offline_messaging: bool,
    /// Whether the server keeps it for history queries.
    pub enable_historical_messaging: bool,
}

impl Client {
    pub(crate) fn new(calls: mpsc::Sender<Call>, status: watch::Receiver<Status>) -> Self {
        Self { calls, status }
    }

    /// Logs a user in, with a token where the project needs one. Without a token, the
    /// [token provider](crate::ClientBuilder::token_provider) is asked for one, if there is one.
    ///
    /// `CONNECTING` and then `CONNECTED` are in the stream of events before this returns. A link lost later is taken up
    /// again by the client itself.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyLogin`] unless the state is `DISCONNECTED` (after `ABORTED`, log out first),
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules, [`ErrorKind::GatewayConnectFailed`] when the
    /// server cannot be reached and trying again is pointless, [`ErrorKind::Timeout`] when it was not reached in time;
    /// [`ErrorKind::InvalidAppId`], [`ErrorKind::InvalidToken`], [`ErrorKind::TokenExpired`] and
    /// [`ErrorKind::Banned`] as the server says; [`ErrorKind::ProviderFailed`] when the token provider fails;
    /// [`ErrorKind::TooOften`] also after four logins within a minute that were refused.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future does not stop a login that has begun: [`logout`](Self::logout) does.
    pub async fn login(&self, user_id: impl AsRef<str>, token: Option<&str>) -> Result<(), RtmError> {
        let user_id = UserId::new(user_id).map_err(|error| invalid(Family::Login, error))?;
        let token = token.map(|token| token_of(token, Family::Login)).transpose()?;
        self.ask(Family::Login, |done| Call::Login { user_id, token, done }).await?
    }

    /// Logs the user out: the server forgets channels, subscriptions and attributes of the user at once.
    ///
    /// Returns when the link is closed. Calls under way end with [`ErrorKind::AbortedByLogout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] in the state `DISCONNECTED`.
    pub async fn logout(&self) -> Result<(), RtmError> {
        self.ask(Family::Logout, |done| Call::Logout { done }).await?
    }

    /// Replaces the token, for this session and for reconnects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`] and [`ErrorKind::TokenExpired`], as the server says. On the vendor's wire it says
    /// nothing: a good result then means that the token was sent.
    pub async fn renew_token(&self, token: &str) -> Result<(), RtmError> {
        let token = token_of(token, Family::RenewToken)?;
        self.ask(Family::RenewToken, |done| Call::RenewToken { token, done }).await?.map(|_| ())
    }

    /// The state of the connection at this moment. Each change comes as an event.
    #[must_use]
    pub fn connection_state(&self) -> ConnectionState {
        self.status.borrow().state
    }

    /// Who is logged in or logging in.
    #[must_use]
    pub fn user_id(&self) -> Option<UserId> {
        self.status.borrow().user_id.clone()
    }

    /// The session as it is now, to be saved and [resumed](crate::ClientBuilder::resume); `None` when there is none that
    /// can be, as on the vendor's wire.
    pub async fn session(&self) -> Option<Session> {
        self.ask(Family::Login, |done| Call::Session { done }).await.ok().flatten()
    }

    /// Sends a message to a user, who need not be online, in a channel or known.
    ///
    /// Messages to one user arrive in the order of the calls. The outcome says whether the user's device has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidUserId`], [`ErrorKind::InvalidMessage`] for an empty message or one over 32,768 bytes,
    /// [`ErrorKind::IncompatibleMessage`] for bytes to a user of a client that takes text only.
    pub fn send_message_to_peer(
        &self,
        peer_id: impl AsRef<str>,
        message: impl Into<RtmMessage>,
    ) -> impl Future<Output = Result<SendOutcome, RtmError>> {
        self.send_message_to_peer_with(peer_id, message, SendMessageOptions::default())
    }

    /// [`send_message_to_peer`](Self::send_message_to_peer), with options.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn send_message_to_peer_with(
        &self,
        peer_id: impl AsRef<str>,
        message: impl Into<RtmMessage>,
        options: SendMessageOptions,
    ) -> impl Future<Output = Result<SendOutcome, RtmError>> {
        let operation = match UserId::new(peer_id) {
            Ok(peer_id) => Ok(SendMessageToPeer {
                message_id: Default::default(),
                peer_id,
                message: message.into(),
                enable_offline_messaging: options.enable_offline_messaging,
                enable_historical_messaging: options.enable_historical_messaging,
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
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules, for none, and for more than 256.
    pub async fn query_peers_online_status(
        &self,
        peer_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<BTreeMap<UserId, PeerOnlineState>, RtmError> {
        let peer_ids = user_ids(peer_ids, Family::QueryPeersOnlineStatus)?;
        Ok(self.call(QueryPeersOnlineStatus { peer_ids }).await?.into_iter().collect())
    }

    /// Subscribes to the online states of 1 to 512 users, in all at most 512. Afterwards
    /// [`PeersOnlineStatusChanged`](crate::RtmEvent::PeersOnlineStatusChanged) tells the states of all of them once,
    /// and then each change. Subscriptions last until `logout`, over reconnects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for none or too many: none of them is subscribed to then.
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules.
    pub async fn subscribe_peers_online_status(
        &self,
        peer_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<(), RtmError> {
        self.call(SubscribePeersOnlineStatus { peer_ids: user_ids(peer_ids, Family::PeerSubscription)? }).await
    }

    /// Ends subscriptions. An id that is not subscribed to is passed over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for none or more than 512, [`ErrorKind::InvalidArgument`] for an id that breaks its
    /// rules.
    pub async fn unsubscribe_peers_online_status(
        &self,
        peer_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<(), RtmError> {
        self.call(UnsubscribePeersOnlineStatus { peer_ids: user_ids(peer_ids, Family::PeerSubscription)? }).await
    }

    /// The users to whose online states the client is subscribed; on the vendor's own servers only those online.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub async fn query_peers_by_subscription_option(&self) -> Result<Vec<UserId>, RtmError> {
        self.call(QueryPeersBySubscriptionOption {}).await
    }

    /// Invites a user to a call, with up to 8,192 bytes of text for it. Returns when the server has the invitation;
    /// what becomes of it, within 60 s, comes as one of the `LocalInvitation…` [events](crate::RtmEvent).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules and for too long a text.
    pub async fn send_invitation(
        &self,
        callee_id: impl AsRef<str>,
        content: impl Into<Text>,
    ) -> Result<LocalInvitation, RtmError> {
        let callee_id = UserId::new(callee_id).map_err(|error| invalid(Family::Invitation, error))?;
        let content = content.into();
        self.ask(Family::Invitation, |done| Call::Invite { callee_id, content, done }).await?
    }

    /// Takes an invitation back, with up to 8,192 bytes of text for the callee.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotStarted`] for an invitation that this client did not send, [`ErrorKind::AlreadyEnd`] when it has
    /// ended, [`ErrorKind::InvalidArgument`] for too long a text.
    pub async fn cancel_invitation(
        &self,
        invitation: &LocalInvitation,
        content: impl Into<Text>,
    ) -> Result<(), RtmError> {
        let (invitation, content) = (invitation.clone(), content.into());
        self.ask(Family::Invitation, |done| Call::CancelInvitation { invitation, content, done }).await?.map(|_| ())
    }

    /// Accepts an invitation, with up to 8,192 bytes of text for the caller. When the caller's side has confirmed it,
    /// [`RemoteInvitationAccepted`](crate::RtmEvent::RemoteInvitationAccepted) comes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyAccept`], [`ErrorKind::AlreadyEnd`] when it has ended or is not known,
    /// [`ErrorKind::InvalidArgument`] for too long a text.
    pub async fn accept_invitation(
        &self,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> Result<(), RtmError> {
        let (invitation, response) = (invitation.clone(), response.into());
        self.ask(Family::Invitation, |done| Call::AcceptInvitation { invitation, response, done }).await?.map(|_| ())
    }

    /// Refuses an invitation, with up to 8,192 bytes of text for the caller.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyEnd`] when it has ended or is not known, [`ErrorKind::InvalidArgument`] for too long a text.
    pub async fn refuse_invitation(
        &self,
        invitation: &RemoteInvitation,
        response: impl Into<Text>,
    ) -> Result<(), RtmError> {
        let (invitation, response) = (invitation.clone(), response.into());
        self.ask(Family::Invitation, |done| Call::RefuseInvitation { invitation, response, done }).await?.map(|_| ())
    }

    /// Asks how many members each of 1 to 32 channels has; 0 for one that nobody is in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for more than 32, [`ErrorKind::InvalidArgument`] for none and for an id that breaks
    /// its rules.
    #[doc(alias = "getChannelMemberCount")]
    pub async fn channel_member_count(
        &self,
        channel_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<BTreeMap<ChannelId, u32>, RtmError> {
        let channel_ids = ids(channel_ids, ChannelId::new, Family::GetChannelMemberCount)?;
        self.call(GetChannelMemberCount { channel_ids }).await
    }

    /// Makes a call and waits for what comes of it.
    pub(crate) async fn call<O: Operation>(&self, operation: O) -> Result<O::Answer, RtmError> {
        self.request(Ok(operation)).await
    }

    /// [`call`](Self::call) for what is called thousands of times at once: its future is small, since the arguments lie
    /// in one place from the beginning.
    pub(crate) fn request<O: Operation>(
        &self,
        operation: Result<O, RtmError>,
    ) -> impl Future<Output = Result<O::Answer, RtmError>> + use<'_, O> {
        let command = operation.map(|operation| Arc::new(operation.into()));
        async move {
            let (done, answer) = oneshot::channel();
            if let Some(handing_over) = self.hand_over(O::FAMILY, Call::Request { command: command?, done })? {
                handing_over.await?;
            }
            O::answer(answer.await.map_err(|_| gone(O::FAMILY))??).ok_or_else(|| {
                RtmError::new(ErrorKind::Failure, O::FAMILY).with_detail("the answer is to another call")
            })
        }
    }

    async fn ask<T>(&self, family: Family, call: impl FnOnce(oneshot::Sender<T>) -> Call) -> Result<T, RtmError> {
        let (done, answer) = oneshot::channel();
        if let Some(handing_over) = self.hand_over(family, call(done))? {
            handing_over.await?;
        }
        answer.await.map_err(|_| gone(family))
    }

    /// Hands a call to the task. There is something to wait for when many calls wait for it already.
    fn hand_over(&self, family: Family, call: Call) -> Result<Option<BoxFuture<'_, Result<(), RtmError>>>, RtmError> {
        match self.calls.try_send(call) {
            Ok(()) => Ok(None),
            Err(TrySendError::Full(call)) => {
                Ok(Some(Box::pin(async move { self.calls.send(call).await.map_err(|_| gone(family)) })))
            }
            Err(TrySendError::Closed(_)) => Err(gone(family)),
        }
    }
}

/// There is no task any more.
fn gone(family: Family) -> RtmError {
    RtmError::new(ErrorKind::Failure, family).with_detail("the runtime of the client has ended")
}

/// An argument that breaks its rules.
pub(crate) fn invalid(family: Family, error: impl Display) -> RtmError {
    RtmError::new(ErrorKind::InvalidArgument, family).with_detail(error.to_string())
}

/// The ids that texts are.
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
