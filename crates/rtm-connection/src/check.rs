//! What is wrong with a call's arguments, found out before anything is sent.

use std::collections::BTreeMap;

use rtm_codec::{
    Abilities, AttributeKey, Command, ErrorKind, Refusal, RtmMessage, Text,
    limits::{self, check_attributes, check_invitation_text, check_message},
};

/// Checks what can be known from the call alone. `abilities`: what the wire can carry.
pub(crate) fn arguments(command: &Command, abilities: Abilities) -> Result<(), Refusal> {
    match command {
        Command::RenewToken(renew) => not_empty(renew.token.expose().len(), "the token is empty"),
        Command::SendMessageToPeer(send) => message(&send.message, abilities),
        Command::SendChannelMessage(send) => message(&send.message, abilities),
        Command::QueryPeersOnlineStatus(query) => {
            let count = query.peer_ids.len();
            not_empty(count, "no peers are given")?;
            at_most(count, limits::ONLINE_QUERY_PEERS, ErrorKind::InvalidArgument, "more than 256 peers are given")
        }
        Command::SubscribePeersOnlineStatus(subscribe) => peers(subscribe.peer_ids.len()),
        Command::UnsubscribePeersOnlineStatus(unsubscribe) => peers(unsubscribe.peer_ids.len()),
        Command::SendInvitation(send) => check_invitation_text(&send.content),
        Command::CancelInvitation(cancel) => check_invitation_text(&cancel.content),
        Command::AcceptInvitation(accept) => check_invitation_text(&accept.response),
        Command::RefuseInvitation(refuse) => check_invitation_text(&refuse.response),
        Command::SetLocalUserAttributes(set) => check_attributes(&set.attributes, limits::USER_ATTRIBUTES_BYTES),
        Command::AddOrUpdateLocalUserAttributes(add) => some_attributes(&add.attributes, limits::USER_ATTRIBUTES_BYTES),
        Command::DeleteLocalUserAttributesByKeys(delete) => keys(Some(&delete.keys)),
        Command::GetUserAttributes(get) => keys(get.keys.as_ref()),
        Command::GetChannelMemberCount(get) => {
            let count = get.channel_ids.len();
            not_empty(count, "no channels are given")?;
            at_most(count, limits::MEMBER_COUNT_CHANNELS, ErrorKind::ExceedLimit, "more than 32 channels are given")
        }
        Command::SetChannelAttributes(set) => {
            revision(set.target.expected_revision.is_some(), abilities)?;
            check_attributes(&set.attributes, limits::CHANNEL_ATTRIBUTES_BYTES)
        }
        Command::AddOrUpdateChannelAttributes(add) => {
            revision(add.target.expected_revision.is_some(), abilities)?;
            some_attributes(&add.attributes, limits::CHANNEL_ATTRIBUTES_BYTES)
        }
        Command::DeleteChannelAttributesByKeys(delete) => {
            revision(delete.target.expected_revision.is_some(), abilities)?;
            keys(Some(&delete.keys))
        }
        Command::ClearChannelAttributes(clear) => revision(clear.target.expected_revision.is_some(), abilities),
        Command::GetChannelAttributes(get) => keys(get.keys.as_ref()),
        Command::QueryHistory(query) => {
            if query.limit == 0 || query.limit as usize > limits::HISTORY_PAGE {
                return Err(Refusal::new(ErrorKind::InvalidArgument, "a page has 1 to 100 messages"));
            }
            if query.from_ts >= query.until_ts {
                return Err(Refusal::new(ErrorKind::InvalidArgument, "the time range is empty"));
            }
            Ok(())
        }
        Command::QueryPeersBySubscriptionOption(_)
        | Command::ClearLocalUserAttributes(_)
        | Command::JoinChannel(_)
        | Command::LeaveChannel(_)
        | Command::GetMembers(_) => Ok(()),
    }
}

fn message(message: &RtmMessage, abilities: Abilities) -> Result<(), Refusal> {
    check_message(message)?;
    match message {
        RtmMessage::Binary(_) if !abilities.binary => {
            Err(Refusal::new(ErrorKind::IncompatibleMessage, "the vendor's wire carries no bytes"))
        }
        _ => Ok(()),
    }
}

fn peers(count: usize) -> Result<(), Refusal> {
    not_empty(count, "no peers are given")?;
    at_most(count, limits::SUBSCRIBED_PEERS, ErrorKind::ExceedLimit, "more than 512 peers are given")
}

fn some_attributes(attributes: &BTreeMap<AttributeKey, Text>, total: usize) -> Result<(), Refusal> {
    not_empty(attributes.len(), "no attributes are given")?;
    check_attributes(attributes, total)
}

fn keys(keys: Option<&Vec<AttributeKey>>) -> Result<(), Refusal> {
    keys.map_or(Ok(()), |keys| not_empty(keys.len(), "no keys are given"))
}

fn revision(given: bool, abilities: Abilities) -> Result<(), Refusal> {
    supported(abilities.revisions || !given, "the vendor's wire has no revisions")
}

fn supported(is: bool, detail: &str) -> Result<(), Refusal> {
    if is { Ok(()) } else { Err(Refusal::new(ErrorKind::Unsupported, detail)) }
}

fn not_empty(count: usize, detail: &str) -> Result<(), Refusal> {
    if count == 0 { Err(Refusal::new(ErrorKind::InvalidArgument, detail)) } else { Ok(()) }
}

fn at_most(count: usize, most: usize, kind: ErrorKind, detail: &str) -> Result<(), Refusal> {
    if count > most { Err(Refusal::new(kind, detail)) } else { Ok(()) }
}
