//! The handle of one channel.

use rtm_codec::{
    ChannelId, ErrorKind, Family, GetChannelMemberCount, GetMembers, JoinChannel, LeaveChannel, MessageId, Operation,
    RtmMessage, SendChannelMessage, UserId,
};
use rtm_connection::RtmError;

use crate::{Call, Client, client::invalid};

/// A channel of a client: a group of users who send each other messages. Cheap to clone; all handles of one channel share one
/// membership.
///
/// Messages and changes of the channel arrive in [`Events`](crate::Events) with its id;
/// [`Events::channel_part`](crate::Events::channel_part) separates them. Errors and cancel safety are as for
/// [every call](Client#errors-of-every-call).
///
/// ```no_run
/// # async fn example(client: rtm_client::Client, mut events: rtm_client::Events) -> Result<(), rtm_client::RtmError> {
/// use rtm_client::RtmEvent;
///
/// let room = client.channel("lobby")?;
/// room.join().await?;
/// room.send_message("hello everybody").await?;
/// while let Some(event) = events.recv().await {
///     match event {
///         RtmEvent::ChannelMessage { member_id, message, .. } => println!("{member_id}: {message:?}"),
///         RtmEvent::MemberJoined { member_id, .. } => println!("{member_id} joined"),
///         RtmEvent::MemberLeft { member_id, .. } => println!("{member_id} left"),
///         _ => {}
///     }
/// }
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone)]
pub struct Channel {
    client: Client,
    id: ChannelId,
}

/// Options of [`Channel::send_message_with`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct SendChannelMessageOptions {
    historical: bool,
}

impl SendChannelMessageOptions {
    /// The defaults: the server stores nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether the server adds the message to the channel's [history](Channel::history). Off unless set.
    ///
    /// The server sends the message without waiting for its store. If the store then fails, the call ends with
    /// [`ErrorKind::Failure`] and a text that says that the message was sent: sending it again would send it twice.
    pub fn enable_historical_messaging(self, on: bool) -> Self {
        Self { historical: on }
    }
}

impl Client {
    /// A handle of a channel. This does not call the server: [join](Channel::join) the channel to take part in it.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an invalid id: it has 1 to 64 bytes of
    /// [certain characters](crate::ChannelId).
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

    /// Joins the channel. From then on its events arrive, the first with the number of members. The membership lasts
    /// until `leave` or `logout` and survives reconnects. A client can be in 20 channels.
    ///
    /// # Errors
    ///
    /// | [`ErrorKind`] | when |
    /// |---|---|
    /// | `AlreadyJoined` | the client is a member already; see [`ensure_joined`](Self::ensure_joined) |
    /// | `ExceedLimit` | the client is in 20 channels |
    /// | `SameChannelTooOften` | more than 2 joins of this channel in 5 s |
    /// | `AbortedByLeave` | `leave` was called before the answer |
    pub fn join(&self) -> Call<()> {
        self.client.request(Ok(JoinChannel { channel_id: self.id.clone() }))
    }

    /// Joins the channel unless the client is a member already.
    ///
    /// # Errors
    ///
    /// Those of [`join`](Self::join) except `AlreadyJoined`.
    pub fn ensure_joined(&self) -> impl Future<Output = Result<(), RtmError>> + Send + use<> {
        let join = self.join();
        async move {
            match join.await {
                Err(error) if error.kind() == ErrorKind::AlreadyJoined => Ok(()),
                result => result,
            }
        }
    }

    /// Leaves the channel. Its events stop.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel) if the client is not a member.
    pub fn leave(&self) -> Call<()> {
        self.client.request(Ok(LeaveChannel { channel_id: self.id.clone() }))
    }

    /// Sends a message to all other members. `Ok` means that the server has it; there are no receipts of members.
    ///
    /// Members on the vendor's wire receive texts and [typed](Self::typed) values, but no bytes.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel) if the client is not a member,
    /// [`ErrorKind::InvalidMessage`](crate::ErrorKind::InvalidMessage) for an empty message or one over 32,768 bytes.
    pub fn send_message(&self, message: impl Into<RtmMessage>) -> Call<()> {
        self.send_message_with(message, SendChannelMessageOptions::default())
    }

    /// [`send_message`](Self::send_message) with options, to add the message to the channel's history.
    ///
    /// # Errors
    ///
    /// Those of [`send_message`](Self::send_message); [`ErrorKind::Failure`] if the server's store failed.
    pub fn send_message_with(&self, message: impl Into<RtmMessage>, options: SendChannelMessageOptions) -> Call<()> {
        self.client.request(Ok(SendChannelMessage {
            message_id: MessageId::default(),
            channel_id: self.id.clone(),
            message: message.into(),
            enable_historical_messaging: options.historical,
        }))
    }

    /// The number of members. The client need not be one. A channel without members has 0.
    ///
    /// # Errors
    ///
    /// Those of [every call](Client#errors-of-every-call).
    pub fn member_count(&self) -> Call<u32> {
        let operation = GetChannelMemberCount { channel_ids: vec![self.id.clone()] };
        self.client.request_then(Ok(operation), |answer| {
            Some(GetChannelMemberCount::answer(answer)?.into_values().next().unwrap_or(0))
        })
    }

    /// The members, this user included. Of a larger channel, 512 of them.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::NotInChannel`](crate::ErrorKind::NotInChannel) if the client is not a member.
    #[doc(alias = "getMembers")]
    pub fn members(&self) -> Call<Vec<UserId>> {
        self.client.request(Ok(GetMembers { channel_id: self.id.clone() }))
    }
}
