//! The lists that answers and events have in common: online states and channel attributes.

use super::{
    fields::{List, Mark, Number, Str},
    shapes,
};
use crate::{
    AttributeKey, ChannelAttribute, ChannelAttributes, DecodeErrorKind, PeerOnlineState, Revision, Text, UserId,
};

/// Online states as a list.
pub(super) fn peer_states<const MAX: usize>(peers: &[(UserId, PeerOnlineState)]) -> List<shapes::PeerStatus<'_>, MAX> {
    peers.iter().map(|(peer, state)| peer_state(peer, *state)).collect()
}

/// The online state of one user.
pub(super) fn peer_state(peer: &UserId, state: PeerOnlineState) -> shapes::PeerStatus<'_> {
    let (online, unreachable) = match state {
        PeerOnlineState::Online => (1, false),
        PeerOnlineState::Unreachable => (1, true),
        PeerOnlineState::Offline => (0, false),
    };
    shapes::PeerStatus { user_id: Str::from(peer), online: Number(Some(online)), unreachable: Mark(unreachable) }
}

/// The states in a list; users whose ids are none are ignored.
pub(super) fn read_peer_states<const MAX: usize>(
    status: &List<shapes::PeerStatus<'_>, MAX>,
) -> Result<Vec<(UserId, PeerOnlineState)>, DecodeErrorKind> {
    let state = |peer: &shapes::PeerStatus<'_>| {
        let state = match (peer.online.0, peer.unreachable.0) {
            (None | Some(0), _) => PeerOnlineState::Offline,
            (Some(_), true) => PeerOnlineState::Unreachable,
            (Some(_), false) => PeerOnlineState::Online,
        };
        Some((UserId::new(peer.user_id.as_str()).ok()?, state))
    };
    Ok(status.whole()?.iter().filter_map(state).collect())
}

/// A channel's attributes as a list.
pub(super) fn channel_attributes<const MAX: usize>(all: &ChannelAttributes) -> List<shapes::ChanAttribute<'_>, MAX> {
    let attributes = all.attributes.iter().map(|(key, attribute)| {
        let ChannelAttribute { value, last_update_user_id, last_update_ts } = attribute;
        shapes::ChanAttribute {
            key: Str::from(key),
            value: Str::from(value),
            user_id: Str::from(last_update_user_id),
            time: Number(Some(*last_update_ts)),
        }
    });
    attributes.collect()
}

/// The attributes in a list; those that break the rules are ignored.
pub(super) fn read_channel_attributes<const MAX: usize>(
    list: &List<shapes::ChanAttribute<'_>, MAX>,
) -> Result<ChannelAttributes, DecodeErrorKind> {
    let attribute = |it: &shapes::ChanAttribute<'_>| {
        let attribute = ChannelAttribute {
            value: Text::from(it.value.as_str()),
            last_update_user_id: UserId::new(it.user_id.as_str()).ok()?,
            last_update_ts: it.time.0.unwrap_or_default(),
        };
        Some((AttributeKey::new(it.key.as_str()).ok()?, attribute))
    };
    let attributes = list.whole()?.iter().filter_map(attribute).collect();
    Ok(ChannelAttributes { attributes, revision: Revision(0) })
}
