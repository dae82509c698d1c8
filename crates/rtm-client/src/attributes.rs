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
    Client,
    client::{ids, invalid},
};

/// How a channel's attributes are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct ChannelAttributeOptions {
    /// Whether all members get the channel's attributes in an
    /// [`AttributesUpdated`](crate::RtmEvent::AttributesUpdated).
    pub enable_notification_to_channel_members: bool,
    /// Write only if the attributes are still at this revision. On the native wire only.
    pub expected_revision: Option<Revision>,
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
    pub async fn set_local_user_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), RtmError> {
        self.call(SetLocalUserAttributes { attributes: map(attributes)? }).await
    }

    /// Adds to or changes the user's own attributes.
    ///
    /// # Errors
    ///
    /// As said above, and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for none.
    pub async fn add_or_update_local_user_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        attributes: impl IntoIterator<Item = (K, V)>,
    ) -> Result<(), RtmError> {
        self.call(AddOrUpdateLocalUserAttributes { attributes: map(attributes)? }).await
    }

    /// Removes some of the user's own attributes. A key that is not there is passed over.
    ///
    /// # Errors
    ///
    /// As said above.
    pub async fn delete_local_user_attributes_by_keys(
        &self,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<(), RtmError> {
        self.call(DeleteLocalUserAttributesByKeys { keys: key_list(keys)? }).await
    }

    /// Removes all of the user's own attributes.
    ///
    /// # Errors
    ///
    /// As said above.
    pub async fn clear_local_user_attributes(&self) -> Result<(), RtmError> {
        self.call(ClearLocalUserAttributes {}).await
    }

    /// Reads all attributes of a user.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for a user who is not online, and as said above.
    #[doc(alias = "getUserAttributes")]
    pub async fn user_attributes(&self, user_id: impl AsRef<str>) -> Result<BTreeMap<AttributeKey, Text>, RtmError> {
        self.call(GetUserAttributes { user_id: user(user_id)?, keys: None }).await
    }

    /// Reads some attributes of a user. A key that is not there is left out.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::UserNotFound`](crate::ErrorKind::UserNotFound) for a user who is not online, and as said above.
    #[doc(alias = "getUserAttributesByKeys")]
    pub async fn user_attributes_by_keys(
        &self,
        user_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<BTreeMap<AttributeKey, Text>, RtmError> {
        self.call(GetUserAttributes { user_id: user(user_id)?, keys: Some(key_list(keys)?) }).await
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
    pub async fn set_channel_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        channel_id: impl AsRef<str>,
        attributes: impl IntoIterator<Item = (K, V)>,
        options: ChannelAttributeOptions,
    ) -> Result<Revision, RtmError> {
        self.call(SetChannelAttributes { target: target(channel_id, options)?, attributes: map(attributes)? }).await
    }

    /// Adds to or changes the attributes of a channel.
    ///
    /// # Errors
    ///
    /// As said above, and [`ErrorKind::InvalidArgument`](crate::ErrorKind::InvalidArgument) for none.
    pub async fn add_or_update_channel_attributes<K: AsRef<str>, V: Into<Text>>(
        &self,
        channel_id: impl AsRef<str>,
        attributes: impl IntoIterator<Item = (K, V)>,
        options: ChannelAttributeOptions,
    ) -> Result<Revision, RtmError> {
        self.call(AddOrUpdateChannelAttributes { target: target(channel_id, options)?, attributes: map(attributes)? })
            .await
    }

    /// Removes some attributes of a channel. A key that is not there is passed over.
    ///
    /// # Errors
    ///
    /// As said above.
    pub async fn delete_channel_attributes_by_keys(
        &self,
        channel_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
        options: ChannelAttributeOptions,
    ) -> Result<Revision, RtmError> {
        self.call(DeleteChannelAttributesByKeys { target: target(channel_id, options)?, keys: key_list(keys)? }).await
    }

    /// Removes all attributes of a channel.
    ///
    /// # Errors
    ///
    /// As said above.
    pub async fn clear_channel_attributes(
        &self,
        channel_id: impl AsRef<str>,
        options: ChannelAttributeOptions,
    ) -> Result<Revision, RtmError> {
        self.call(ClearChannelAttributes { target: target(channel_id, options)? }).await
    }

    /// Reads all attributes of a channel, with who wrote each and when, and their revision.
    ///
    /// # Errors
    ///
    /// As said above.
    #[doc(alias = "getChannelAttributes")]
    pub async fn channel_attributes(&self, channel_id: impl AsRef<str>) -> Result<ChannelAttributes, RtmError> {
        self.call(GetChannelAttributes { channel_id: channel(channel_id)?, keys: None }).await
    }

    /// Reads some attributes of a channel. A key that is not there is left out.
    ///
    /// # Errors
    ///
    /// As said above.
    #[doc(alias = "getChannelAttributesByKeys")]
    pub async fn channel_attributes_by_keys(
        &self,
        channel_id: impl AsRef<str>,
        keys: impl IntoIterator<Item: AsRef<str>>,
    ) -> Result<ChannelAttributes, RtmError> {
        self.call(GetChannelAttributes { channel_id: channel(channel_id)?, keys: Some(key_list(keys)?) }).await
    }
}

fn user(user_id: impl AsRef<str>) -> Result<UserId, RtmError> {
    UserId::new(user_id).map_err(|error| invalid(Family::Attributes, error))
}

fn target(channel_id: impl AsRef<str>, options: ChannelAttributeOptions) -> Result<ChannelAttributeTarget, RtmError> {
    let ChannelAttributeOptions { enable_notification_to_channel_members: notify, expected_revision } = options;
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
