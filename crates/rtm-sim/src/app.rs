//! The user's side of a simulated device: an application, what it is told, and the handle that it makes calls with.

use std::{fmt, time::Duration};

use rtm_codec::{
    Answer, ChannelId, Command, JoinChannel, LeaveChannel, MessageId, RequestId, RtmMessage, SendChannelMessage,
    SendMessageToPeer, Text, Token, UserId, Wire,
};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmError, RtmEvent};

/// An application on a simulated device. Closures over the same arguments are applications too.
///
/// It is called for one [`Input`] at a time, and makes its calls with the handle. Nothing in it may read the real
/// clock or draw numbers from anywhere but [`Handle::random`], or a run cannot be repeated.
pub trait App {
    /// Something happened.
    fn handle(&mut self, client: &mut Handle<'_>, input: Input);
}

impl<F: FnMut(&mut Handle<'_>, Input)> App for F {
    fn handle(&mut self, client: &mut Handle<'_>, input: Input) {
        self(client, input);
    }
}

/// What an application is told.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Input {
    /// The device was switched on. The first input, and no later one.
    Start,
    /// The next event of the stream.
    Event(RtmEvent),
    /// `login` ended.
    LoggedIn(Result<(), RtmError>),
    /// `logout` ended.
    LoggedOut(Result<(), RtmError>),
    /// A call ended.
    #[non_exhaustive]
    Reply {
        /// Which, as [`Handle::request`] named it.
        id: RequestId,
        /// What came of it.
        result: Result<Answer, RtmError>,
    },
    /// A timer that [`Handle::after`] set.
    Timer(u64),
    /// The device's token provider is asked: answer with [`Handle::provide_token`]. Comes only with
    /// [`Config::token_provider`](rtm_connection::Config::token_provider).
    FetchToken,
}

/// What the world does for the application on a device.
pub(crate) trait Calls: fmt::Debug {
    fn now(&self) -> Duration;
    fn user_id(&self, device: usize) -> &UserId;
    fn wire(&self, device: usize) -> Wire;
    fn state(&self, device: usize) -> ConnectionState;
    fn channels(&self, device: usize) -> Vec<ChannelId>;
    fn random(&mut self, end: usize) -> usize;
    fn token(&mut self, device: usize, ttl: Duration) -> Option<Token>;
    fn login(&mut self, device: usize, token: Option<Token>) -> Result<(), RtmError>;
    fn logout(&mut self, device: usize) -> Result<(), RtmError>;
    fn provide_token(&mut self, device: usize, token: Option<Token>);
    fn request(&mut self, device: usize, command: Command) -> RequestId;
    fn invite(&mut self, device: usize, callee_id: UserId, content: Text) -> (LocalInvitation, RequestId);
    fn set_timer(&mut self, device: usize, pause: Duration, tag: u64);
    fn broken(&mut self, device: usize, detail: String);
    fn write_note(&mut self, device: usize, text: String);
}

/// What an application on a device makes its calls with.
#[derive(Debug)]
pub struct Handle<'w> {
    world: &'w mut dyn Calls,
    device: usize,
}

impl<'w> Handle<'w> {
    pub(crate) fn new(world: &'w mut dyn Calls, device: usize) -> Self {
        Self { world, device }
    }

    /// The virtual time since the world began.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.world.now()
    }

    /// Whose device this is.
    #[must_use]
    pub fn user_id(&self) -> &UserId {
        self.world.user_id(self.device)
    }

    /// The wire that it speaks.
    #[must_use]
    pub fn wire(&self) -> Wire {
        self.world.wire(self.device)
    }

    /// The state of its connection.
    #[must_use]
    pub fn state(&self) -> ConnectionState {
        self.world.state(self.device)
    }

    /// The channels that the user is in.
    #[must_use]
    pub fn channels(&self) -> Vec<ChannelId> {
        self.world.channels(self.device)
    }

    /// A random number below `end`, from the world's seed.
    pub fn random(&mut self, end: usize) -> usize {
        self.world.random(end)
    }

    /// A token for this user, as the project's certificate signs it now, that lives for `ttl`: 1 s to 24 h, in whole
    /// seconds. `None` where the project needs none.
    pub fn token(&mut self, ttl: Duration) -> Option<Token> {
        self.world.token(self.device, ttl)
    }

    /// Logs in, with a token where the project needs one. [`Input::LoggedIn`] follows.
    ///
    /// # Errors
    ///
    /// As [`Connection::login`](rtm_connection::Connection::login); then nothing follows.
    pub fn login(&mut self, token: Option<Token>) -> Result<(), RtmError> {
        self.world.login(self.device, token)
    }

    /// Logs out. [`Input::LoggedOut`] follows.
    ///
    /// # Errors
    ///
    /// As [`Connection::logout`](rtm_connection::Connection::logout); then nothing follows.
    pub fn logout(&mut self) -> Result<(), RtmError> {
        self.world.logout(self.device)
    }

    /// Makes a call. [`Input::Reply`] follows, exactly once.
    pub fn request(&mut self, command: impl Into<Command>) -> RequestId {
        self.world.request(self.device, command.into())
    }

    /// Replaces the token. [`Input::Reply`] follows.
    pub fn renew_token(&mut self, token: Token) -> RequestId {
        self.request(rtm_codec::RenewToken { token })
    }

    /// Answers [`Input::FetchToken`]; `None`: there is no token to be had.
    pub fn provide_token(&mut self, token: Option<Token>) {
        self.world.provide_token(self.device, token);
    }

    /// Sends a message to a user. The server keeps it for a user who is offline, if `offline` asks for that.
    pub fn send_to_peer(&mut self, peer_id: &UserId, message: impl Into<RtmMessage>, offline: bool) -> RequestId {
        self.request(SendMessageToPeer {
            message_id: MessageId(0),
            peer_id: peer_id.clone(),
            message: message.into(),
            enable_offline_messaging: offline,
            enable_historical_messaging: false,
        })
    }

    /// Sends a message to a channel.
    pub fn send_to_channel(&mut self, channel_id: &ChannelId, message: impl Into<RtmMessage>) -> RequestId {
        self.request(SendChannelMessage {
            message_id: MessageId(0),
            channel_id: channel_id.clone(),
            message: message.into(),
            enable_historical_messaging: false,
        })
    }

    /// Joins a channel.
    pub fn join(&mut self, channel_id: &ChannelId) -> RequestId {
        self.request(JoinChannel { channel_id: channel_id.clone() })
    }

    /// Leaves a channel.
    pub fn leave(&mut self, channel_id: &ChannelId) -> RequestId {
        self.request(LeaveChannel { channel_id: channel_id.clone() })
    }

    /// Invites a user to a call.
    pub fn invite(&mut self, callee_id: &UserId, content: &str) -> (LocalInvitation, RequestId) {
        self.world.invite(self.device, callee_id.clone(), Text::from(content))
    }

    /// Takes an invitation back.
    pub fn cancel_invitation(&mut self, invitation: &LocalInvitation, content: &str) -> RequestId {
        self.request(rtm_codec::CancelInvitation {
            call_id: invitation.call_id.clone(),
            callee_id: invitation.callee_id.clone(),
            content: Text::from(content),
        })
    }

    /// Accepts an invitation.
    pub fn accept_invitation(&mut self, invitation: &RemoteInvitation, response: &str) -> RequestId {
        self.request(rtm_codec::AcceptInvitation {
            call_id: invitation.call_id.clone(),
            caller_id: invitation.caller_id.clone(),
            response: Text::from(response),
        })
    }

    /// Refuses an invitation.
    pub fn refuse_invitation(&mut self, invitation: &RemoteInvitation, response: &str) -> RequestId {
        self.request(rtm_codec::RefuseInvitation {
            call_id: invitation.call_id.clone(),
            caller_id: invitation.caller_id.clone(),
            response: Text::from(response),
        })
    }

    /// Sets a timer: [`Input::Timer`] with `tag` follows after `pause`, whatever becomes of the connection.
    pub fn after(&mut self, pause: Duration, tag: u64) {
        self.world.set_timer(self.device, pause, tag);
    }

    /// Says that a promise of the application itself is broken: [`World::run_for`](crate::World::run_for) ends with a
    /// [`Violation`](crate::Violation) of [`Invariant::Application`](crate::Invariant::Application), unless another
    /// promise was broken before.
    pub fn broken(&mut self, detail: impl Into<String>) {
        self.world.broken(self.device, detail.into());
    }

    /// Writes a line into the world's trace.
    pub fn note(&mut self, text: impl Into<String>) {
        self.world.write_note(self.device, text.into());
    }
}
