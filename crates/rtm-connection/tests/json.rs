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
    ReceivedMessageProperties { is_offline_message, server_received_ts: 1_700_000_000_000 }
}

#[test]
fn the_type_is_the_variant_and_states_are_in_the_vendors_spelling() {
    is(
        &RtmEvent::ConnectionStateChanged {
            state: ConnectionState::Connected,
            reason: ConnectionChangeReason::LoginSuccess,
        },
        r#"{"type":"ConnectionStateChanged","state":"CONNECTED","reason":"LOGIN_SUCCESS"}"#,
    );
    is(&RtmEvent::TokenWillExpire, r#"{"type":"TokenWillExpire"}"#);
    is(&RtmEvent::TokenDidExpire, r#"{"type":"TokenDidExpire"}"#);
    is(
        &RtmEvent::TokenNeeded { error: ErrorKind::InvalidToken, retry_in_ms: None },
        r#"{"type":"TokenNeeded","error":"InvalidToken","retry_in_ms":null}"#,
    );
    is(
        &RtmEvent::TokenNeeded { error: ErrorKind::ProviderFailed, retry_in_ms: Some(250) },
        r#"{"type":"TokenNeeded","error":"ProviderFailed","retry_in_ms":250}"#,
    );
}

#[test]
fn messages() {
    is(
        &RtmEvent::MessageFromPeer {
            message: RtmMessage::text("hi"),
            peer_id: user("bob"),
            properties: properties(false),
        },
        r#"{"type":"MessageFromPeer","peer_id":"bob","message":{"text":"hi"},"properties":{"is_offline_message":false,"server_received_ts":1700000000000}}"#,
    );
    is(
        &RtmEvent::ChannelMessage {
            channel_id: room(),
            member_id: user("bob"),
            message: RtmMessage::binary(vec![0, 255]),
            properties: properties(false),
        },
        r#"{"type":"ChannelMessage","channel_id":"room","member_id":"bob","message":{"binary":"AP8="},"properties":{"is_offline_message":false,"server_received_ts":1700000000000}}"#,
    );
    // [7, "x"], as MessagePack.
    is(
        &RtmEvent::ChannelMessage {
            channel_id: room(),
            member_id: user("bob"),
            message: RtmMessage::Value(vec![0x92, 7, 0xa1, b'x'].into()),
            properties: properties(false),
        },
        r#"{"type":"ChannelMessage","channel_id":"room","member_id":"bob","message":{"value":[7,"x"]},"properties":{"is_offline_message":false,"server_received_ts":1700000000000}}"#,
    );
}

#[test]
fn presence_and_channels() {
    let peers = BTreeMap::from([(user("bob"), PeerOnlineState::Unreachable), (user("al"), PeerOnlineState::Online)]);
    is(
        &RtmEvent::PeersOnlineStatusChanged { peers },
        r#"{"type":"PeersOnlineStatusChanged","peers":{"al":"ONLINE","bob":"UNREACHABLE"}}"#,
    );
    is(
        &RtmEvent::MemberJoined { channel_id: room(), member_id: user("bob") },
        r#"{"type":"MemberJoined","channel_id":"room","member_id":"bob"}"#,
    );
    is(
        &RtmEvent::MemberCountUpdated { channel_id: room(), member_count: 3 },
        r#"{"type":"MemberCountUpdated","channel_id":"room","member_count":3}"#,
    );
    let attribute =
        ChannelAttribute { value: "v".into(), last_update_user_id: user("bob"), last_update_ts: 1_700_000_000_000 };
    let attributes = BTreeMap::from([(AttributeKey::new("k").unwrap(), attribute)]);
    is(
        &RtmEvent::AttributesUpdated {
            channel_id: room(),
            attributes: ChannelAttributes { attributes, revision: Revision(2) },
        },
        r#"{"type":"AttributesUpdated","channel_id":"room","attributes":{"attributes":{"k":{"value":"v","last_update_user_id":"bob","last_update_ts":1700000000000}},"revision":2}}"#,
    );
}

#[test]
fn invitations() {
    let local = LocalInvitation { call_id: CallId::new("1").unwrap(), callee_id: user("bob"), content: "call?".into() };
    is(
        &RtmEvent::LocalInvitationFailure { invitation: local, reason: LocalInvitationFailureReason::PeerOffline },
        r#"{"type":"LocalInvitationFailure","invitation":{"call_id":"1","callee_id":"bob","content":"call?"},"reason":"PEER_OFFLINE"}"#,
    );
    let remote =
        RemoteInvitation { call_id: CallId::new("1").unwrap(), caller_id: user("bob"), content: "call?".into() };
    is(
        &RtmEvent::RemoteInvitationFailure { invitation: remote, reason: RemoteInvitationFailureReason::AcceptFailure },
        r#"{"type":"RemoteInvitationFailure","invitation":{"call_id":"1","caller_id":"bob","content":"call?"},"reason":"ACCEPT_FAILURE"}"#,
    );
}

#[test]
fn what_was_lost() {
    is(
        &RtmEvent::Gap { channel_id: None, lost: Some(3), reason: GapReason::Missing },
        r#"{"type":"Gap","channel_id":null,"lost":3,"reason":"MISSING"}"#,
    );
    is(
        &RtmEvent::RestoreFailed {
            what: Restored::Channel(room()),
            error: RtmError::new(ErrorKind::TooOften, Family::JoinChannel),
        },
        r#"{"type":"RestoreFailed","what":{"channel":"room"},"error":{"code":7,"message":"rate limit reached (code 7)"}}"#,
    );
    is(
        &RtmEvent::RestoreFailed {
            what: Restored::Subscriptions,
            error: RtmError::new(ErrorKind::Failure, Family::PeerSubscription),
        },
        r#"{"type":"RestoreFailed","what":"subscriptions","error":{"code":1,"message":"the call failed (code 1)"}}"#,
    );
}
