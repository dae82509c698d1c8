//! The shape of events as JSON, which people script against.

#![cfg(feature = "serde")]
#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::collections::BTreeMap;

use rtm_codec::{
    AttributeKey, CallId, ChannelAttribute, ChannelAttributes, ChannelId, ErrorKind, Family,
    LocalInvitationFailureReason, PeerOnlineState, RemoteInvitationFailureReason, Revision, RtmMessage, UserId,
};
use rtm_connection::{
    ConnectionChangeReason, ConnectionState, GapReason, LocalInvitation, ReceivedMessageProperties, RemoteInvitation,
    Restored, RtmError, RtmEvent,
};

fn is(event: &RtmEvent, json: &str) {
    assert_eq!(serde_json::to_string(event).unwrap(), json);
}

fn user(id: &str) -> UserId {
    UserId::new(id).unwrap()
}

fn room() -> ChannelId {
    ChannelId::new("room").unwrap()
}

fn properties(is_offline_message: bool) -> ReceivedMessageProperties {
    ReceivedMessageProperties::new(is_offline_message, 1_700_000_000_000)
}

#[test]
fn the_type_is_the_variant_and_states_are_in_the_vendors_spelling() {
    is(
        &RtmEvent::connection_state_changed(ConnectionState::Connected, ConnectionChangeReason::LoginSuccess),
        r#"{"type":"ConnectionStateChanged","state":"CONNECTED","reason":"LOGIN_SUCCESS"}"#,
    );
    is(&RtmEvent::TokenWillExpire, r#"{"type":"TokenWillExpire"}"#);
    is(&RtmEvent::TokenDidExpire, r#"{"type":"TokenDidExpire"}"#);
    is(
        &RtmEvent::token_needed(ErrorKind::InvalidToken, None),
        r#"{"type":"TokenNeeded","error":"InvalidToken","retry_in_ms":null}"#,
    );
    is(
        &RtmEvent::token_needed(ErrorKind::ProviderFailed, Some(std::time::Duration::from_millis(250))),
        r#"{"type":"TokenNeeded","error":"ProviderFailed","retry_in_ms":250}"#,
    );
}

#[test]
fn messages() {
    is(
        &RtmEvent::message_from_peer(user("bob"), RtmMessage::text("hi"), properties(false)),
        r#"{"type":"MessageFromPeer","peer_id":"bob","message":{"text":"hi"},"properties":{"is_offline_message":false,"server_received_ts":1700000000000}}"#,
    );
    is(
        &RtmEvent::channel_message(room(), user("bob"), RtmMessage::binary(vec![0, 255]), properties(false)),
        r#"{"type":"ChannelMessage","channel_id":"room","member_id":"bob","message":{"binary":"AP8="},"properties":{"is_offline_message":false,"server_received_ts":1700000000000}}"#,
    );
    // [7, "x"], as MessagePack.
    is(
        &RtmEvent::channel_message(
            room(),
            user("bob"),
            RtmMessage::Value(vec![0x92, 7, 0xa1, b'x'].into()),
            properties(false),
        ),
        r#"{"type":"ChannelMessage","channel_id":"room","member_id":"bob","message":{"value":[7,"x"]},"properties":{"is_offline_message":false,"server_received_ts":1700000000000}}"#,
    );
}

#[test]
fn presence_and_channels() {
    let peers = BTreeMap::from([(user("bob"), PeerOnlineState::Unreachable), (user("al"), PeerOnlineState::Online)]);
    is(
        &RtmEvent::peers_online_status_changed(peers),
        r#"{"type":"PeersOnlineStatusChanged","peers":{"al":"ONLINE","bob":"UNREACHABLE"}}"#,
    );
    is(
        &RtmEvent::member_joined(room(), user("bob")),
        r#"{"type":"MemberJoined","channel_id":"room","member_id":"bob"}"#,
    );
    is(
        &RtmEvent::member_count_updated(room(), 3),
        r#"{"type":"MemberCountUpdated","channel_id":"room","member_count":3}"#,
    );
    let attribute = ChannelAttribute::new("v".into(), user("bob"), 1_700_000_000_000);
    let attributes = BTreeMap::from([(AttributeKey::new("k").unwrap(), attribute)]);
    is(
        &RtmEvent::attributes_updated(room(), ChannelAttributes::new(attributes, Revision(2))),
        r#"{"type":"AttributesUpdated","channel_id":"room","attributes":{"attributes":{"k":{"value":"v","last_update_user_id":"bob","last_update_ts":1700000000000}},"revision":2}}"#,
    );
}

#[test]
fn invitations() {
    let local = LocalInvitation::new(CallId::new("1").unwrap(), user("bob"), "call?".into());
    is(
        &RtmEvent::local_invitation_failure(local, LocalInvitationFailureReason::PeerOffline),
        r#"{"type":"LocalInvitationFailure","invitation":{"call_id":"1","callee_id":"bob","content":"call?"},"reason":"PEER_OFFLINE"}"#,
    );
    let remote = RemoteInvitation::new(CallId::new("1").unwrap(), user("bob"), "call?".into());
    is(
        &RtmEvent::remote_invitation_failure(remote, RemoteInvitationFailureReason::AcceptFailure),
        r#"{"type":"RemoteInvitationFailure","invitation":{"call_id":"1","caller_id":"bob","content":"call?"},"reason":"ACCEPT_FAILURE"}"#,
    );
}

#[test]
fn what_was_lost() {
    is(
        &RtmEvent::gap(None, Some(3), GapReason::Missing),
        r#"{"type":"Gap","channel_id":null,"lost":3,"reason":"MISSING"}"#,
    );
    is(
        &RtmEvent::restore_failed(Restored::Channel(room()), RtmError::new(ErrorKind::TooOften, Family::JoinChannel)),
        r#"{"type":"RestoreFailed","what":{"channel":"room"},"error":{"code":7,"message":"limit reached (code 7)"}}"#,
    );
    is(
        &RtmEvent::restore_failed(Restored::Subscriptions, RtmError::new(ErrorKind::Failure, Family::PeerSubscription)),
        r#"{"type":"RestoreFailed","what":"subscriptions","error":{"code":1,"message":"the call failed (code 1)"}}"#,
    );
}
