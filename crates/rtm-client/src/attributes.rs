//! The calls on user attributes and channel attributes.

use std::collections::BTreeMap;

use rtm_codec::{
    AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, AttributeKey, ChannelAttributeTarget,
    ChannelAttributes, ChannelId, ClearChannelAttributes, ClearLocalUserAttributes, DeleteChannelAttributesByKeys,
    DeleteLocalUserAttributesByKeys, Family, GetChannelAttributes, GetUserAttributes, Revision, SetChannelAttributes,
    SetLocalUserAttributes, Text, UserId,
};
use rtm_connection::RtmError;

use crate::{
    Call, Channel, Client,
    client::{ids, invalid},
};

/// Options of the calls that write channel attributes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct ChannelAttributeOptions {
    notify: bool,
    expected_revision: Option<Revision>,
}

impl ChannelAttributeOptions {
    /// The defaults: the write happens at any revision, and members get no event.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether all members get an [`AttributesUpdated`](crate::RtmEvent::AttributesUpdated) with all attributes of the channel.
    /// Off unless set.
    pub fn enable_notification_to_channel_members(self, on: bool) -> Self {
        Self { notify: on, ..self }
    }

    /// Writes only if the attributes are still at this revision, and fails with
    /// [`ErrorKind::RevisionConflict`](crate::ErrorKind::RevisionConflict) otherwise. On the native wire only.
    pub fn expected_revision(self, revision: Revision) -> Self {
        Self { expected_revision: Some(revision), ..self }
    }
}

/// User attributes: a map that only its user writes, and that everybody who is logged in can read. It survives reconnects and
/// ends with `logout`.
///
/// # Errors of these calls
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a key that is empty or over 32 bytes, and for an empty
/// value. [`ErrorKind::SizeOverflow`](crate::ErrorKind::SizeOverflow) if there would be more than 32 attributes, a value
/// over 8,192 bytes or more than 16,384 bytes in all: then nothing is written.
impl Client {
    /// Replaces all of the user's own attributes. An empty list removes them.
    ///
    /// ```no_run
    /// # async fn example(client: rtm_client::Client) -> Result<(), rtm_client::RtmError> {
    /// client.set_local_user_attributes([("city", "上海"), ("status", "busy")]).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of all calls on user attributes, see above.
    pub fn set_local_user_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Call<()> {
        self.try_request(|| Ok(SetLocalUserAttributes { attributes: map(attributes)? }))
    }

    /// Adds or changes attributes of the user, and keeps the others.
    ///
    /// # Errors
    ///
    /// Those above; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty list.
    pub fn add_or_update_local_user_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Call<()> {
        self.try_request(|| Ok(AddOrUpdateLocalUserAttributes { attributes: map(attributes)? }))
    }

    /// Removes attributes of the user. Unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// Those above.
    pub fn delete_local_user_attributes_by_keys(&self, keys: impl IntoIterator<Item: AsRef<str>>) -> Call<()> {
        self.try_request(|| Ok(DeleteLocalUserAttributesByKeys { keys: key_list(keys)? }))
    }

    /// Removes all attributes of the user.
    ///
    /// # Errors
    ///
    /// Those of [every call](Client#errors-of-every-call).
    pub fn clear_local_user_attributes(&self) -> Call<()> {
        self.request(Ok(ClearLocalUserAttributes {}))
    }

    /// Reads all attributes of a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for a user who is offline; and those above.
    #[doc(alias = "getUserAttributes")]
    pub fn user_attributes(&self, user_id: impl AsRef<str>) -> Call<BTreeMap<AttributeKey, Text>> {
        self.try_request(|| Ok(GetUserAttributes { user_id: user(user_id)?, keys: None }))
    }

    /// Reads the attributes of a user with these keys. Unknown keys are left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for a user who is offline; and those above.
    #[doc(alias = "getUserAttributesByKeys")]
    pub fn user_attributes_by_keys(
        &self,
        user_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<BTreeMap<AttributeKey, Text>> {
        self.try_request(|| Ok(GetUserAttributes { user_id: user(user_id)?, keys: Some(key_list(keys)?) }))
    }
}

/// Channel attributes: a map per channel that everybody who is logged in can read and write, member or not. The server removes
/// them when the channel has been empty for 5 minutes, unless set otherwise. Writes return the new revision, and 0 on the
/// vendor's wire, which has no revisions.
///
/// # Errors of these calls
///
/// [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an invalid channel id, a key that is empty or over
/// 32 bytes, and an empty value. [`ErrorKind::SizeOverflow`](crate::ErrorKind::SizeOverflow) if there would be more than
/// 32 attributes, a value over 8,192 bytes or more than 32,768 bytes in all.
/// [`ErrorKind::RevisionConflict`](crate::ErrorKind::RevisionConflict) if the attributes are not at the expected revision. A write
/// that fails changes nothing.
impl Client {
    /// Replaces all attributes of a channel. An empty list removes them.
    ///
    /// ```no_run
    /// # async fn example(client: rtm_client::Client) -> Result<(), rtm_client::RtmError> {
    /// use rtm_client::{ChannelAttributeOptions, ErrorKind};
    ///
    /// // Raises a counter that others may write at the same time.
    /// loop {
    ///     let now = client.channel_attributes("lobby").await?;
    ///     let count: u32 = now.attributes.get("count").and_then(|count| count.value.as_str().parse().ok()).unwrap_or(0);
    ///     let options = ChannelAttributeOptions::new().expected_revision(now.revision);
    ///     match client.set_channel_attributes("lobby", [("count", (count + 1).to_string())], options).await {
    ///         Err(error) if error.kind() == ErrorKind::RevisionConflict => continue,
    ///         written => break written.map(drop),
    ///     }
    /// }
    /// # }
    /// ```
    ///
    /// # Errors
    ///
    /// Those of all calls on channel attributes, see above.
    pub fn set_channel_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        channel_id: impl AsRef<str>,
        attributes: impl IntoIterator<Item = (K, V)>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.try_request(|| {
            Ok(SetChannelAttributes { target: target(channel_id, options)?, attributes: map(attributes)? })
        })
    }

    /// Adds or changes attributes of a channel, and keeps the others.
    ///
    /// # Errors
    ///
    /// Those above; [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for an empty list.
    pub fn add_or_update_channel_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        channel_id: impl AsRef<str>,
        attributes: impl IntoIterator<Item = (K, V)>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.try_request(|| {
            Ok(AddOrUpdateChannelAttributes { target: target(channel_id, options)?, attributes: map(attributes)? })
        })
    }

    /// Removes attributes of a channel. Unknown keys are ignored.
    ///
    /// # Errors
    ///
    /// Those above.
    pub fn delete_channel_attributes_by_keys(
        &self,
        channel_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.try_request(|| {
            Ok(DeleteChannelAttributesByKeys { target: target(channel_id, options)?, keys: key_list(keys)? })
        })
    }

    /// Removes all attributes of a channel.
    ///
    /// # Errors
    ///
    /// Those above.
    pub fn clear_channel_attributes(
        &self,
        channel_id: impl AsRef<str>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.try_request(|| Ok(ClearChannelAttributes { target: target(channel_id, options)? }))
    }

    /// Reads all attributes of a channel: their revision, and for each its value, who wrote it last, and when.
    ///
    /// # Errors
    ///
    /// Those above.
    #[doc(alias = "getChannelAttributes")]
    pub fn channel_attributes(&self, channel_id: impl AsRef<str>) -> Call<ChannelAttributes> {
        self.try_request(|| Ok(GetChannelAttributes { channel_id: channel(channel_id)?, keys: None }))
    }

    /// Reads the attributes of a channel with these keys. Unknown keys are left out.
    ///
    /// # Errors
    ///
    /// Those above.
    #[doc(alias = "getChannelAttributesByKeys")]
    pub fn channel_attributes_by_keys(
        &self,
        channel_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<ChannelAttributes> {
        self.try_request(|| Ok(GetChannelAttributes { channel_id: channel(channel_id)?, keys: Some(key_list(keys)?) }))
    }
}

/// The channel's attributes: the calls of [`Client`] on channel attributes, for this channel.
impl Channel {
    /// [`Client::set_channel_attributes`]
    pub fn set_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.client().set_channel_attributes(self.id(), attributes, options)
    }

    /// [`Client::add_or_update_channel_attributes`]
    pub fn add_or_update_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.client().add_or_update_channel_attributes(self.id(), attributes, options)
    }

    /// [`Client::delete_channel_attributes_by_keys`]
    pub fn delete_attributes_by_keys(
        &self,
        keys: impl IntoIterator<Item: AsRef<str>>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.client().delete_channel_attributes_by_keys(self.id(), keys, options)
    }

    /// [`Client::clear_channel_attributes`]
    pub fn clear_attributes(&self, options: ChannelAttributeOptions) -> Call<Revision> {
        self.client().clear_channel_attributes(self.id(), options)
    }

    /// [`Client::channel_attributes`]
    pub fn attributes(&self) -> Call<ChannelAttributes> {
        self.client().channel_attributes(self.id())
    }

    /// [`Client::channel_attributes_by_keys`]
    pub fn attributes_by_keys(&self, keys: impl IntoIterator<Item: AsRef<str>>) -> Call<ChannelAttributes> {
        self.client().channel_attributes_by_keys(self.id(), keys)
    }
}

fn user(user_id: impl AsRef<str>) -> Result<UserId, RtmError> {
    UserId::new(user_id).map_err(|error| invalid(Family::Attributes, error))
}

fn target(channel_id: impl AsRef<str>, options: ChannelAttributeOptions) -> Result<ChannelAttributeTarget, RtmError> {
    let ChannelAttributeOptions { notify, expected_revision } = options;
    Ok(ChannelAttributeTarget { channel_id: channel(channel_id)?, notify, expected_revision })
}

fn channel(channel_id: impl AsRef<str>) -> Result<ChannelId, RtmError> {
    ChannelId::new(channel_id).map_err(|error| invalid(Family::Attributes, error))
}

fn key_list(keys: impl IntoIterator<Item: AsRef<str>>) -> Result<Vec<AttributeKey>, RtmError> {
    ids(keys, AttributeKey::new, Family::Attributes)
}

fn map<K: AsRef<str>, V: Into<Text>>(
    attributes: impl IntoIterator<Item = (K, V)>,
) -> Result<BTreeMap<AttributeKey, Text>, RtmError> {
    attributes
        .into_iter()
        .map(|(key, value)| match AttributeKey::new(key) {
            Ok(key) => Ok((key, value.into())),
            Err(error) => Err(invalid(Family::Attributes, error)),
        })
        .collect()
}
