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

/// How a channel's attributes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[must_use]
pub struct ChannelAttributeOptions {
    notify: bool,
    expected_revision: Option<Revision>,
}

impl ChannelAttributeOptions {
    /// Whatever there is is changed, and nobody is told.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether all members get the channel's attributes in an
    /// [`AttributesUpdated`](crate::RtmEvent::AttributesUpdated). Off unless set.
    pub fn enable_notification_to_channel_members(self, on: bool) -> Self {
        Self { notify: on, ..self }
    }

    /// Writes only if the attributes are still at this revision. On the native wire only.
    pub fn expected_revision(self, revision: Revision) -> Self {
        Self { expected_revision: Some(revision), ..self }
    }
}

/// User attributes: a map that its user writes and that everybody who is logged in reads. It is gone after `logout`,
/// and kept over reconnects.
///
/// All of these fail with [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for a key that is empty or
/// over 32 bytes and for an empty value; those that write with
/// [`ErrorKind::SizeOverflow`](crate::ErrorKind::SizeOverflow) when there would be more than 32 attributes, more than
/// 8,192 bytes in a value or more than 16,384 bytes in all, and nothing is written then.
impl Client {
    /// Replaces all of the user's own attributes. None at all clears them.
    ///
    /// # Errors
    ///
    /// As said above.
    pub fn set_local_user_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Call<()> {
        self.try_request(|| Ok(SetLocalUserAttributes { attributes: map(attributes)? }))
    }

    /// Adds to or changes the user's own attributes.
    ///
    /// # Errors
    ///
    /// As said above, and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for none.
    pub fn add_or_update_local_user_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Call<()> {
        self.try_request(|| Ok(AddOrUpdateLocalUserAttributes { attributes: map(attributes)? }))
    }

    /// Removes some of the user's own attributes. A key that is not there is passed over.
    ///
    /// # Errors
    ///
    /// As said above.
    pub fn delete_local_user_attributes_by_keys(&self, keys: impl IntoIterator<Item: AsRef<str>>) -> Call<()> {
        self.try_request(|| Ok(DeleteLocalUserAttributesByKeys { keys: key_list(keys)? }))
    }

    /// Removes all of the user's own attributes.
    ///
    /// # Errors
    ///
    /// As said above.
    pub fn clear_local_user_attributes(&self) -> Call<()> {
        self.request(Ok(ClearLocalUserAttributes {}))
    }

    /// Reads all attributes of a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for a user who is not online, and as said above.
    #[doc(alias = "getUserAttributes")]
    pub fn user_attributes(&self, user_id: impl AsRef<str>) -> Call<BTreeMap<AttributeKey, Text>> {
        self.try_request(|| Ok(GetUserAttributes { user_id: user(user_id)?, keys: None }))
    }

    /// Reads some attributes of a user. A key that is not there is left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for a user who is not online, and as said above.
    #[doc(alias = "getUserAttributesByKeys")]
    pub fn user_attributes_by_keys(
        &self,
        user_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<BTreeMap<AttributeKey, Text>> {
        self.try_request(|| Ok(GetUserAttributes { user_id: user(user_id)?, keys: Some(key_list(keys)?) }))
    }
}

/// Channel attributes: a map for each channel that everybody who is logged in reads and writes, member or not. It is
/// cleared when nobody has been in the channel for some minutes.
///
/// All of these fail as those on user attributes do, with 32,768 bytes in all; those that write with
/// [`ErrorKind::RevisionConflict`](crate::ErrorKind::RevisionConflict) when the attributes are not at the expected
/// revision. They return the new revision, or 0 on the vendor's wire, which has none.
impl Client {
    /// Replaces all attributes of a channel. None at all clears them.
    ///
    /// # Errors
    ///
    /// As said above.
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

    /// Adds to or changes the attributes of a channel.
    ///
    /// # Errors
    ///
    /// As said above, and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for none.
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

    /// Removes some attributes of a channel. A key that is not there is passed over.
    ///
    /// # Errors
    ///
    /// As said above.
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
    /// As said above.
    pub fn clear_channel_attributes(
        &self,
        channel_id: impl AsRef<str>,
        options: ChannelAttributeOptions,
    ) -> Call<Revision> {
        self.try_request(|| Ok(ClearChannelAttributes { target: target(channel_id, options)? }))
    }

    /// Reads all attributes of a channel, with who wrote each and when, and their revision.
    ///
    /// # Errors
    ///
    /// As said above.
    #[doc(alias = "getChannelAttributes")]
    pub fn channel_attributes(&self, channel_id: impl AsRef<str>) -> Call<ChannelAttributes> {
        self.try_request(|| Ok(GetChannelAttributes { channel_id: channel(channel_id)?, keys: None }))
    }

    /// Reads some attributes of a channel. A key that is not there is left out.
    ///
    /// # Errors
    ///
    /// As said above.
    #[doc(alias = "getChannelAttributesByKeys")]
    pub fn channel_attributes_by_keys(
        &self,
        channel_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Call<ChannelAttributes> {
        self.try_request(|| Ok(GetChannelAttributes { channel_id: channel(channel_id)?, keys: Some(key_list(keys)?) }))
    }
}

/// The channel's attributes: those calls of [`Client`] on channel attributes, with this channel's id.
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
