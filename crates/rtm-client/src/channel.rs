//! The handle of one channel.

use rtm_codec::{
    ChannelId, ErrorKind, Family, GetChannelMemberCount, GetMembers, JoinChannel, LeaveChannel, MessageId, Operation,
    RtmMessage, SendChannelMessage, UserId,
};
use rtm_connection::RtmError;

use crate::{Call, Client, client::invalid};

/// A channel, as one client sees it. Cheap to clone; every handle of a channel is the same membership.
///
/// Its messages and changes arrive in the client's one stream of [events](crate::RtmEvent), with its id in them. What
/// is said of errors and cancelling at [`Client`] holds here too.
#[derive(Debug, Clone)]
pub struct Channel {
    client: Client,
    id: ChannelId,
}

/// How a message is sent to a channel.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct SendChannelMessageOptions {
    historical: bool,
}

impl SendChannelMessageOptions {
    /// Nothing is kept.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the server keeps the message for [history queries](Channel::history). Off unless set.
    ///
    /// The message goes to the members without waiting for that. If the server's store then refuses it, the call ends
    /// with [`ErrorKind::Failure`] and a text that says that the message was sent: members have it, and sending it again
    /// sends it twice.
    pub fn enable_historical_messaging(self, on: bool) -> Self {
        Self { historical: on }
    }
}

impl Client {
    /// A handle for a channel. Nothing is asked of the server: channels exist when somebody joins them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an id that breaks its rules.
    #[doc(alias = "createChannel")]
    pub fn channel(&self, channel_id: impl AsRef<str>) -> Result<Channel, RtmError> {
        let channel_id = ChannelId::new(channel_id).map_err(|error| invalid(Family::CreateChannel, error))?;
        Ok(Channel { client: self.clone(), id: channel_id })
    }
}

impl Channel {
    /// The channel's id.
    #[must_use]
    pub fn id(&self) -> &ChannelId {
        &self.id
    }

    /// The client that this handle belongs to.
    #[must_use]
    pub fn client(&self) -> &Client {
        &self.client
    }

    /// Becomes a member, as of at most 20 channels at once. Messages and events of the channel arrive from then on,
    /// the first being the number of members. The membership outlasts reconnects, until `leave` or `logout`.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::AlreadyJoined`](crate::ErrorKind::AlreadyJoined),
    /// [`ErrorKind::ExceedLimit`](crate::ErrorKind::ExceedLimit) for a 21st channel,
    /// [`ErrorKind::SameChannelTooOften`](crate::ErrorKind::SameChannelTooOften),
    /// [`ErrorKind::AbortedByLeave`](crate::ErrorKind::AbortedByLeave) when `leave` comes before the answer.
    pub fn join(&self) -> Call<()> {
        self.client.request(Ok(JoinChannel { channel_id: self.id.clone() }))
    }

    /// [`join`](Self::join), where the user may be a member already.
    ///
    /// # Errors
    ///
    /// The same but for `AlreadyJoined`.
    pub fn ensure_joined(&self) -> impl Future<Output = Result<(), RtmError>> + Send + use<> {
        let join = self.join();
        async move {
            match join.await {
                Err(error) if error.kind() == ErrorKind::AlreadyJoined => Ok(()),
                result => result,
            }
        }
    }

    /// Stops being a member.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel).
    pub fn leave(&self) -> Call<()> {
        self.client.request(Ok(LeaveChannel { channel_id: self.id.clone() }))
    }

    /// Sends a message to all other members. Returns when the server has it; nobody says who received it.
    ///
    /// Members on the vendor's wire get texts and [typed](Self::typed) values, and no other bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel),
    /// [`ErrorKind::InvalidMessage`](crate::ErrorKind::InvalidMessage) for an empty message or one over 32,768 bytes.
    pub fn send_message(&self, message: impl Into<RtmMessage>) -> Call<()> {
        self.send_message_with(message, SendChannelMessageOptions::default())
    }

    /// [`send_message`](Self::send_message), with options.
    ///
    /// # Errors
    ///
    /// The same.
    pub fn send_message_with(&self, message: impl Into<RtmMessage>, options: SendChannelMessageOptions) -> Call<()> {
        self.client.request(Ok(SendChannelMessage {
            message_id: MessageId::default(),
            channel_id: self.id.clone(),
            message: message.into(),
            enable_historical_messaging: options.historical,
        }))
    }

    /// How many members there are, this user or not; 0 in a channel that nobody is in.
    ///
    /// # Errors
    ///
    /// Those of every call.
    pub fn member_count(&self) -> Call<u32> {
        let operation = GetChannelMemberCount { channel_ids: vec![self.id.clone()] };
        self.client.request_then(Ok(operation), |answer| {
            Some(GetChannelMemberCount::answer(answer)?.into_values().next().unwrap_or(0))
        })
    }

    /// The members, this user included; at most 512 of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel).
    #[doc(alias = "getMembers")]
    pub fn members(&self) -> Call<Vec<UserId>> {
        self.client.request(Ok(GetMembers { channel_id: self.id.clone() }))
    }
}
