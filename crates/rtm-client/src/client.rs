//! The handle: session, messages, online states and invitations.

use std::{collections::BTreeMap, fmt::Display, sync::Arc};

use rtm_codec::{
    Answer, ChannelId, ErrorKind, Family, GetChannelMemberCount, InvalidId, Operation, PeerOnlineState,
    QueryPeersBySubscriptionOption, QueryPeersOnlineStatus, RtmMessage, SendMessageToPeer, SendOutcome,
    SubscribePeersOnlineStatus, Text, Token, UnsubscribePeersOnlineStatus, UserId,
};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, Session};
use tokio::sync::{mpsc, oneshot, watch};

use crate::call::{Call, Order, Reply, Status};

/// A client of an RTM server. Cheap to clone; all clones are the same client.
///
/// What happens to it arrives in its [`Events`](crate::Events). Each method that asks the server for something returns a
/// [`Call`], to be awaited: one request, which the server answers or whose time runs out, 10 s for messages and online
/// states, 5 s for the rest, 12 s for `login`.
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
/// Dropping a [`Call`] forgets the answer and leaks nothing. It takes nothing back: what was handed to the client's task
/// before goes on, unless the method says otherwise.
///
/// # Dropping
///
/// When the last clone, [`Channel`](crate::Channel)s and calls under way included, is dropped, the client logs out in the background.
/// Await [`logout`](Self::logout) before the runtime ends, if the server is to know at once.
#[derive(Debug, Clone)]
pub struct Client {
    task: mpsc::Sender<Order>,
    status: watch::Receiver<Status>,
}

/// How a message is sent to a user. Neither of the two is on unless set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct SendMessageOptions {
    offline: bool,
    historical: bool,
}

impl SendMessageOptions {
    /// Nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the server keeps the message for the receiver's next login, if the receiver is offline.
    pub fn enable_offline_messaging(self, on: bool) -> Self {
        Self { offline: on, ..self }
    }

    /// Whether the server keeps the message for [history queries](Client::query_peer_history).
    ///
    /// The message goes to its receiver without waiting for that. If the server's store then refuses it, the call ends
    /// with [`ErrorKind::Failure`] and a text that says that the message was sent: it may have been received, and sending
    /// it again sends it twice.
    pub fn enable_historical_messaging(self, on: bool) -> Self {
        Self { historical: on, ..self }
    }
}

impl Client {
    pub(crate) fn new(task: mpsc::Sender<Order>, status: watch::Receiver<Status>) -> Self {
        Self { task, status }
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
    /// Dropping the call does not stop a login that has begun: [`logout`](Self::logout) does.
    pub fn login(&self, user_id: impl AsRef<str>, token: Option<&str>) -> Call<()> {
        let arguments = UserId::new(user_id)
            .map_err(|error| invalid(Family::Login, error))
            .and_then(|user_id| Ok((user_id, token.map(|token| token_of(token, Family::Login)).transpose()?)));
        self.ask(Family::Login, arguments, |(user_id, token), done| Order::Login { user_id, token, done })
    }

    /// Logs the user out: the server forgets channels, subscriptions and attributes of the user at once.
    ///
    /// Returns when the link is closed. Calls under way end with [`ErrorKind::AbortedByLogout`].
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotLoggedIn`] in the state `DISCONNECTED`.
    pub fn logout(&self) -> Call<()> {
        self.ask(Family::Logout, Ok(()), |(), done| Order::Logout { done })
    }

    /// Replaces the token, for this session and for reconnects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidToken`] and [`ErrorKind::TokenExpired`], as the server says. On the vendor's wire it says
    /// nothing: a good result then means that the token was sent.
    pub fn renew_token(&self, token: &str) -> Call<()> {
        let token = token_of(token, Family::RenewToken);
        self.ask_answer(Family::RenewToken, token, |token, done| Order::RenewToken { token, done })
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
        let (done, session) = oneshot::channel();
        self.task.send(Order::Session { done }).await.ok()?;
        session.await.ok().flatten()
    }

    /// Sends a message to a user, who need not be online, in a channel or known.
    ///
    /// Messages to one user arrive in the order in which their calls are first awaited: to have many under way, put them in a
    /// `FuturesOrdered`. The outcome says whether the user's device has it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidUserId`], [`ErrorKind::InvalidMessage`] for an empty message or one over 32,768 bytes,
    /// [`ErrorKind::IncompatibleMessage`] for bytes to a user of a client that takes text only.
    pub fn send_message_to_peer(&self, peer_id: impl AsRef<str>, message: impl Into<RtmMessage>) -> Call<SendOutcome> {
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
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules, for none, and for more than 256.
    pub fn query_peers_online_status(
        &self,
        peer_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<BTreeMap<UserId, PeerOnlineState>> {
        let peer_ids = user_ids(peer_ids, Family::QueryPeersOnlineStatus);
        self.request_then(peer_ids.map(|peer_ids| QueryPeersOnlineStatus { peer_ids }), |answer| {
            Some(QueryPeersOnlineStatus::answer(answer)?.into_iter().collect())
        })
    }

    /// Subscribes to the online states of 1 to 512 users, in all at most 512. Afterwards
    /// [`PeersOnlineStatusChanged`](crate::RtmEvent::PeersOnlineStatusChanged) tells the states of all of them once,
    /// and then each change. Subscriptions last until `logout`, over reconnects.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for none or too many: none of them is subscribed to then.
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules.
    pub fn subscribe_peers_online_status(&self, peer_ids: impl IntoIterator<Item: AsRef<str>>) -> Call<()> {
        let peer_ids = user_ids(peer_ids, Family::PeerSubscription);
        self.request(peer_ids.map(|peer_ids| SubscribePeersOnlineStatus { peer_ids }))
    }

    /// Ends subscriptions. An id that is not subscribed to is passed over.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for none or more than 512, [`ErrorKind::InvalidArgument`] for an id that breaks its
    /// rules.
    pub fn unsubscribe_peers_online_status(&self, peer_ids: impl IntoIterator<Item: AsRef<str>>) -> Call<()> {
        let peer_ids = user_ids(peer_ids, Family::PeerSubscription);
        self.request(peer_ids.map(|peer_ids| UnsubscribePeersOnlineStatus { peer_ids }))
    }

    /// The users to whose online states the client is subscribed; on the vendor's own servers only those online.
    ///
    /// # Errors
    ///
    /// Those of every call.
    #[doc(alias = "queryPeersBySubscriptionOption")]
    pub fn subscribed_peers(&self) -> Call<Vec<UserId>> {
        self.request(Ok(QueryPeersBySubscriptionOption {}))
    }

    /// Invites a user to a call, with up to 8,192 bytes of text for it. Returns when the server has the invitation;
    /// what becomes of it, within 60 s, comes as one of the `LocalInvitation…` [events](crate::RtmEvent).
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`] for an id that breaks its rules and for too long a text.
    pub fn send_invitation(&self, callee_id: impl AsRef<str>, content: impl Into<Text>) -> Call<LocalInvitation> {
        let callee_id = UserId::new(callee_id).map_err(|error| invalid(Family::Invitation, error));
        let content = content.into();
        self.ask(Family::Invitation, callee_id, |callee_id, done| Order::Invite { callee_id, content, done })
    }

    /// Takes an invitation back, with up to 8,192 bytes of text for the callee.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotStarted`] for an invitation that this client did not send, [`ErrorKind::AlreadyEnd`] when it has
    /// ended, [`ErrorKind::InvalidArgument`] for too long a text.
    pub fn cancel_invitation(&self, invitation: &LocalInvitation, content: impl Into<Text>) -> Call<()> {
        let (invitation, content) = (invitation.clone(), content.into());
        self.ask_answer(Family::Invitation, Ok(()), |(), done| Order::CancelInvitation { invitation, content, done })
    }

    /// Accepts an invitation, with up to 8,192 bytes of text for the caller. When the caller's side has confirmed it,
    /// [`RemoteInvitationAccepted`](crate::RtmEvent::RemoteInvitationAccepted) comes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyAccept`], [`ErrorKind::AlreadyEnd`] when it has ended or is not known,
    /// [`ErrorKind::InvalidArgument`] for too long a text.
    pub fn accept_invitation(&self, invitation: &RemoteInvitation, response: impl Into<Text>) -> Call<()> {
        let (invitation, response) = (invitation.clone(), response.into());
        self.ask_answer(Family::Invitation, Ok(()), |(), done| Order::AcceptInvitation { invitation, response, done })
    }

    /// Refuses an invitation, with up to 8,192 bytes of text for the caller.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyEnd`] when it has ended or is not known, [`ErrorKind::InvalidArgument`] for too long a text.
    pub fn refuse_invitation(&self, invitation: &RemoteInvitation, response: impl Into<Text>) -> Call<()> {
        let (invitation, response) = (invitation.clone(), response.into());
        self.ask_answer(Family::Invitation, Ok(()), |(), done| Order::RefuseInvitation { invitation, response, done })
    }

    /// Asks how many members each of 1 to 32 channels has; 0 for one that nobody is in.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::ExceedLimit`] for more than 32, [`ErrorKind::InvalidArgument`] for none and for an id that breaks
    /// its rules.
    #[doc(alias = "getChannelMemberCount")]
    pub fn channel_member_count(
        &self,
        channel_ids: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<BTreeMap<ChannelId, u32>> {
        let channel_ids = ids(channel_ids, ChannelId::new, Family::GetChannelMemberCount);
        self.request(channel_ids.map(|channel_ids| GetChannelMemberCount { channel_ids }))
    }

    /// A call whose operation is known, or what is wrong with its arguments.
    pub(crate) fn request<O: Operation>(&self, operation: Result<O, RtmError>) -> Call<O::Answer> {
        self.request_then(operation, O::answer)
    }

    /// [`request`](Self::request), for what has several arguments that may break their rules.
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
        Call::new(self.task.clone(), O::FAMILY, Order::Request { command, done }, Reply::Answer(answer, read))
    }

    fn ask_answer<A>(
        &self,
        family: Family,
        arguments: Result<A, RtmError>,
        order: impl FnOnce(A, oneshot::Sender<Result<Answer, RtmError>>) -> Order,
    ) -> Call<()> {
        match arguments {
            Ok(arguments) => {
                let (done, answer) = oneshot::channel();
                Call::new(self.task.clone(), family, order(arguments, done), Reply::Answer(answer, |_| Some(())))
            }
            Err(error) => Call::refused(family, error),
        }
    }

    fn ask<A, T>(
        &self,
        family: Family,
        arguments: Result<A, RtmError>,
        order: impl FnOnce(A, oneshot::Sender<Result<T, RtmError>>) -> Order,
    ) -> Call<T> {
        match arguments {
            Ok(arguments) => {
                let (done, answer) = oneshot::channel();
                Call::new(self.task.clone(), family, order(arguments, done), Reply::Itself(answer))
            }
            Err(error) => Call::refused(family, error),
        }
    }
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
