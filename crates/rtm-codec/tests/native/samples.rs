//! One frame of each kind, and of each command, answer, event, error and reason to close: what the vectors are of.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use rtm_codec::*;

/// What a client sends, by name.
pub(crate) fn client_frames() -> Vec<(String, ClientFrame)> {
    let login = Login {
        app_id: AppId::new("0123456789abcdef0123456789ABCDEF").unwrap(),
        user_id: Some(alice()),
        token: Some(Token::new("007eJx").unwrap()),
        instance: InstanceId::new("i-1").unwrap(),
        resume: Some(Resume { ticket: ticket(), received: Seq(300), consumed: Seq(299), answered: RequestId(7) }),
        keep_alive: KeepAlive::Server { interval_ms: 10_000 },
        window: 1024,
        abilities: Wire::Native.abilities(),
        gateway_session: None,
    };
    let first_login = Login {
        user_id: None,
        token: None,
        resume: None,
        keep_alive: KeepAlive::Client { interval_ms: 70_000 },
        window: 0,
        abilities: Abilities::default(),
        ..login.clone()
    };
    let mut frames = vec![
        ("login".into(), ClientFrame::Login(Box::new(login))),
        ("login.first".into(), ClientFrame::Login(Box::new(first_login))),
    ];
    for (name, command) in commands() {
        frames.push((format!("request.{name}"), ClientFrame::Request { id: RequestId(5), command }));
    }
    let ack = ClientFrame::Ack { received: Seq(250), consumed: Seq(251), answered: RequestId(u64::MAX) };
    frames.extend([
        ("ack".into(), ack),
        ("ping".into(), ClientFrame::Ping),
        ("pong".into(), ClientFrame::Pong),
        ("logout".into(), ClientFrame::Logout),
    ]);
    frames
}

fn commands() -> Vec<(&'static str, Command)> {
    let (notify, expected_revision) = (true, Some(Revision(9)));
    let send = SendMessageToPeer {
        message_id: MessageId(0x0123_4567_89ab_cdef),
        peer_id: bob(),
        message: "hi".into(),
        enable_offline_messaging: true,
        enable_historical_messaging: false,
    };
    vec![
        ("renew_token", RenewToken { token: Token::new("006").unwrap() }.into()),
        ("send_message_to_peer", send.clone().into()),
        ("send_message_to_peer.long", SendMessageToPeer { message: "字".repeat(90).into(), ..send.clone() }.into()),
        ("send_message_to_peer.binary", SendMessageToPeer { message: binary(), ..send.clone() }.into()),
        ("send_message_to_peer.value", SendMessageToPeer { message: value(), ..send }.into()),
        ("query_peers_online_status", QueryPeersOnlineStatus { peer_ids: vec![alice(), bob()] }.into()),
        ("subscribe_peers_online_status", SubscribePeersOnlineStatus { peer_ids: vec![bob()] }.into()),
        ("unsubscribe_peers_online_status", UnsubscribePeersOnlineStatus { peer_ids: vec![bob()] }.into()),
        ("query_peers_by_subscription_option", QueryPeersBySubscriptionOption {}.into()),
        ("send_invitation", SendInvitation { call_id: call(), callee_id: bob(), content: "c".into() }.into()),
        ("cancel_invitation", CancelInvitation { call_id: call(), callee_id: bob(), content: "c".into() }.into()),
        ("accept_invitation", AcceptInvitation { call_id: call(), caller_id: bob(), response: "r".into() }.into()),
        ("refuse_invitation", RefuseInvitation { call_id: call(), caller_id: bob(), response: "".into() }.into()),
        ("set_local_user_attributes", SetLocalUserAttributes { attributes: attributes() }.into()),
        ("add_or_update_local_user_attributes", AddOrUpdateLocalUserAttributes { attributes: attributes() }.into()),
        ("delete_local_user_attributes_by_keys", DeleteLocalUserAttributesByKeys { keys: keys() }.into()),
        ("clear_local_user_attributes", ClearLocalUserAttributes {}.into()),
        ("get_user_attributes", GetUserAttributes { user_id: bob(), keys: None }.into()),
        ("get_user_attributes.by_keys", GetUserAttributes { user_id: bob(), keys: Some(keys()) }.into()),
        ("join_channel", JoinChannel { channel_id: room() }.into()),
        ("leave_channel", LeaveChannel { channel_id: room() }.into()),
        (
            "send_channel_message",
            SendChannelMessage {
                message_id: MessageId(1),
                channel_id: room(),
                message: "hi".into(),
                enable_historical_messaging: true,
            }
            .into(),
        ),
        ("get_members", GetMembers { channel_id: room() }.into()),
        ("get_channel_member_count", GetChannelMemberCount { channel_ids: vec![room()] }.into()),
        (
            "set_channel_attributes",
            SetChannelAttributes {
                target: ChannelAttributeTarget { channel_id: room(), notify, expected_revision },
                attributes: attributes(),
            }
            .into(),
        ),
        (
            "add_or_update_channel_attributes",
            AddOrUpdateChannelAttributes {
                target: ChannelAttributeTarget { channel_id: room(), notify, expected_revision: None },
                attributes: attributes(),
            }
            .into(),
        ),
        (
            "delete_channel_attributes_by_keys",
            DeleteChannelAttributesByKeys {
                target: ChannelAttributeTarget { channel_id: room(), notify, expected_revision },
                keys: keys(),
            }
            .into(),
        ),
        (
            "clear_channel_attributes",
            ClearChannelAttributes { target: ChannelAttributeTarget { channel_id: room(), notify, expected_revision } }
                .into(),
        ),
        ("get_channel_attributes", GetChannelAttributes { channel_id: room(), keys: Some(keys()) }.into()),
        (
            "query_history",
            QueryHistory {
                conversation: HistoryOf::Peer(bob()),
                from_ts: 0,
                until_ts: 1_700_000_000_000,
                after: Some(HistoryCursor(3)),
                limit: 100,
            }
            .into(),
        ),
        (
            "query_history.channel",
            QueryHistory { conversation: HistoryOf::Channel(room()), from_ts: 0, until_ts: 1, after: None, limit: 1 }
                .into(),
        ),
    ]
}

/// What a server sends, by name.
pub(crate) fn server_frames() -> Vec<(String, ServerFrame)> {
    let mut limits = CallLimits::default();
    limits.set(LimitedCall::Login, CallLimit::new(5, Duration::from_secs(1)));
    limits.set(LimitedCall::JoinChannel, CallLimit::UNLIMITED);
    let welcome = Welcome {
        user_id: alice(),
        ticket: Some(ticket()),
        resumption: Resumption::Resumed,
        token_expires_in_ms: Some(86_400_000),
        server_time_ms: 1_700_000_000_000,
        limits: Some(limits),
    };
    let new = Welcome {
        ticket: None,
        resumption: Resumption::New,
        token_expires_in_ms: None,
        server_time_ms: 0,
        limits: None,
        ..welcome.clone()
    };
    let lapsed = Welcome { resumption: Resumption::Lapsed, ..new.clone() };
    let refused = Refusal::new(ErrorKind::InvalidToken, "the signature does not hold");
    let mut frames = vec![
        ("welcome".into(), ServerFrame::Welcome(Box::new(welcome))),
        ("welcome.new".into(), ServerFrame::Welcome(Box::new(new))),
        ("welcome.lapsed".into(), ServerFrame::Welcome(Box::new(lapsed))),
        ("refused".into(), ServerFrame::Refused(refused)),
    ];
    for (name, answer) in answers() {
        frames.push((format!("reply.{name}"), ServerFrame::Reply { id: RequestId(5), result: Ok(answer) }));
    }
    for (name, kind) in error_kinds() {
        let frame = ServerFrame::Reply { id: RequestId(5), result: Err(Refusal::from(kind)) };
        frames.push((format!("refusal.{name}"), frame));
    }
    for (name, event) in events() {
        frames.push((format!("event.{name}"), ServerFrame::Event { seq: Seq(17), event }));
    }
    frames.push(("ping".into(), ServerFrame::Ping));
    frames.push(("pong".into(), ServerFrame::Pong));
    for reason in CloseReason::ALL {
        frames.push((format!("close.{reason:?}"), ServerFrame::Close(reason)));
    }
    frames
}

fn answers() -> Vec<(&'static str, Answer)> {
    let history = StoredMessage::new(MessageId(1), bob(), "hi".into(), 1_700_000_000_000);
    vec![
        ("renew_token", Answer::RenewToken(())),
        ("send_message_to_peer", Answer::SendMessageToPeer(SendOutcome::Delivered)),
        ("send_message_to_peer.stored", Answer::SendMessageToPeer(SendOutcome::Stored)),
        ("send_message_to_peer.not_received", Answer::SendMessageToPeer(SendOutcome::NotReceived)),
        ("query_peers_online_status", Answer::QueryPeersOnlineStatus(online_states())),
        ("subscribe_peers_online_status", Answer::SubscribePeersOnlineStatus(())),
        ("unsubscribe_peers_online_status", Answer::UnsubscribePeersOnlineStatus(())),
        ("query_peers_by_subscription_option", Answer::QueryPeersBySubscriptionOption(vec![alice(), bob()])),
        ("send_invitation", Answer::SendInvitation(())),
        ("cancel_invitation", Answer::CancelInvitation(())),
        ("accept_invitation", Answer::AcceptInvitation(())),
        ("refuse_invitation", Answer::RefuseInvitation(())),
        ("set_local_user_attributes", Answer::SetLocalUserAttributes(())),
        ("add_or_update_local_user_attributes", Answer::AddOrUpdateLocalUserAttributes(())),
        ("delete_local_user_attributes_by_keys", Answer::DeleteLocalUserAttributesByKeys(())),
        ("clear_local_user_attributes", Answer::ClearLocalUserAttributes(())),
        ("get_user_attributes", Answer::GetUserAttributes(attributes())),
        ("join_channel", Answer::JoinChannel(())),
        ("leave_channel", Answer::LeaveChannel(())),
        ("send_channel_message", Answer::SendChannelMessage(())),
        ("get_members", Answer::GetMembers(vec![alice(), bob()])),
        ("get_channel_member_count", Answer::GetChannelMemberCount(BTreeMap::from([(room(), 70_000)]))),
        ("set_channel_attributes", Answer::SetChannelAttributes(Revision(1))),
        ("add_or_update_channel_attributes", Answer::AddOrUpdateChannelAttributes(Revision(2))),
        ("delete_channel_attributes_by_keys", Answer::DeleteChannelAttributesByKeys(Revision(3))),
        ("clear_channel_attributes", Answer::ClearChannelAttributes(Revision(4))),
        ("get_channel_attributes", Answer::GetChannelAttributes(channel_attributes())),
        ("query_history", Answer::QueryHistory(HistoryPage::new(vec![history], Some(HistoryCursor(2))))),
    ]
}

fn error_kinds() -> Vec<(&'static str, ErrorKind)> {
    vec![
        ("failure", ErrorKind::Failure),
        ("invalid_argument", ErrorKind::InvalidArgument),
        ("rejected", ErrorKind::Rejected),
        ("timeout", ErrorKind::Timeout),
        ("too_often", ErrorKind::TooOften),
        ("not_logged_in", ErrorKind::NotLoggedIn),
        ("invalid_app_id", ErrorKind::InvalidAppId),
        ("invalid_token", ErrorKind::InvalidToken),
        ("token_expired", ErrorKind::TokenExpired),
        ("not_authorized", ErrorKind::NotAuthorized),
        ("banned", ErrorKind::Banned),
        ("already_login", ErrorKind::AlreadyLogin),
        ("aborted_by_logout", ErrorKind::AbortedByLogout),
        ("gateway_connect_failed", ErrorKind::GatewayConnectFailed),
        ("invalid_user_id", ErrorKind::InvalidUserId),
        ("invalid_message", ErrorKind::InvalidMessage),
        ("incompatible_message", ErrorKind::IncompatibleMessage),
        ("exceed_limit", ErrorKind::ExceedLimit),
        ("size_overflow", ErrorKind::SizeOverflow),
        ("user_not_found", ErrorKind::UserNotFound),
        ("already_joined", ErrorKind::AlreadyJoined),
        ("already_joined_same_id", ErrorKind::AlreadyJoinedSameId),
        ("same_channel_too_often", ErrorKind::SameChannelTooOften),
        ("aborted_by_leave", ErrorKind::AbortedByLeave),
        ("not_in_channel", ErrorKind::NotInChannel),
        ("not_started", ErrorKind::NotStarted),
        ("already_end", ErrorKind::AlreadyEnd),
        ("already_accept", ErrorKind::AlreadyAccept),
        ("already_sent", ErrorKind::AlreadySent),
        ("outcome_unknown", ErrorKind::OutcomeUnknown),
        ("revision_conflict", ErrorKind::RevisionConflict),
        ("unsupported", ErrorKind::Unsupported),
        ("provider_failed", ErrorKind::ProviderFailed),
        ("client_ended", ErrorKind::ClientEnded),
    ]
}

fn events() -> Vec<(&'static str, Event)> {
    let from_peer = PeerMessage {
        message_id: MessageId(1),
        peer_id: bob(),
        message: "hi".into(),
        is_offline_message: false,
        server_received_ts: 1_700_000_000_000,
    };
    let stored = PeerMessage { message: binary(), is_offline_message: true, ..from_peer.clone() };
    let remote = |reason| Event::RemoteInvitationFailure { call_id: call(), caller_id: bob(), reason };
    let local = |reason| Event::LocalInvitationFailure { call_id: call(), callee_id: bob(), reason };
    vec![
        ("message_from_peer", Event::MessageFromPeer(from_peer)),
        ("message_from_peer.stored", Event::MessageFromPeer(stored)),
        ("peers_online_status_changed", Event::PeersOnlineStatusChanged { peers: online_states() }),
        ("token_will_expire", Event::TokenWillExpire { expires_in_ms: 30_000 }),
        (
            "remote_invitation_received",
            Event::RemoteInvitationReceived { call_id: call(), caller_id: bob(), content: "c".into() },
        ),
        (
            "remote_invitation_canceled",
            Event::RemoteInvitationCanceled { call_id: call(), caller_id: bob(), content: "c".into() },
        ),
        ("remote_invitation_failure.peer_offline", remote(RemoteInvitationFailureReason::PeerOffline)),
        ("remote_invitation_failure.accept_failure", remote(RemoteInvitationFailureReason::AcceptFailure)),
        ("remote_invitation_failure.invitation_expire", remote(RemoteInvitationFailureReason::InvitationExpire)),
        (
            "local_invitation_received_by_peer",
            Event::LocalInvitationReceivedByPeer { call_id: call(), callee_id: bob() },
        ),
        (
            "local_invitation_accepted",
            Event::LocalInvitationAccepted { call_id: call(), callee_id: bob(), response: "r".into() },
        ),
        (
            "local_invitation_refused",
            Event::LocalInvitationRefused { call_id: call(), callee_id: bob(), response: "r".into() },
        ),
        ("local_invitation_failure.peer_offline", local(LocalInvitationFailureReason::PeerOffline)),
        ("local_invitation_failure.peer_no_response", local(LocalInvitationFailureReason::PeerNoResponse)),
        ("local_invitation_failure.invitation_expire", local(LocalInvitationFailureReason::InvitationExpire)),
        ("local_invitation_failure.not_logged_in", local(LocalInvitationFailureReason::NotLoggedIn)),
        (
            "channel_message",
            Event::ChannelMessage {
                channel_id: room(),
                message_id: MessageId(1),
                member_id: bob(),
                message: value(),
                server_received_ts: 1_700_000_000_000,
            },
        ),
        ("member_joined", Event::MemberJoined { channel_id: room(), member_id: bob(), member_count: 2 }),
        ("member_left", Event::MemberLeft { channel_id: room(), member_id: bob(), member_count: 1 }),
        ("member_count_updated", Event::MemberCountUpdated { channel_id: room(), member_count: 513 }),
        ("attributes_updated", Event::AttributesUpdated { channel_id: room(), attributes: channel_attributes() }),
        ("gap", Event::Gap { channel_id: None, lost: Some(3) }),
        ("gap.channel", Event::Gap { channel_id: Some(room()), lost: None }),
    ]
}

fn alice() -> UserId {
    UserId::new("alice").unwrap()
}

fn bob() -> UserId {
    UserId::new("bob").unwrap()
}

fn room() -> ChannelId {
    ChannelId::new("room").unwrap()
}

fn call() -> CallId {
    CallId::new("c-1").unwrap()
}

fn ticket() -> SessionTicket {
    SessionTicket::new(SessionId(std::array::from_fn(|i| i as u8)), Epoch(2))
}

fn binary() -> RtmMessage {
    RtmMessage::Binary(Bytes::from_static(&[0, 0xff, 0xfb]))
}

fn value() -> RtmMessage {
    RtmMessage::Value(Bytes::from_static(b"\x81\xa1n\x01"))
}

fn attributes() -> BTreeMap<AttributeKey, Text> {
    BTreeMap::from([(AttributeKey::new("城市").unwrap(), "上海".into())])
}

fn keys() -> Vec<AttributeKey> {
    vec![AttributeKey::new("k").unwrap()]
}

fn channel_attributes() -> ChannelAttributes {
    let attribute = ChannelAttribute::new("v".into(), bob(), 1_700_000_000_000);
    ChannelAttributes::new(BTreeMap::from([(keys().remove(0), attribute)]), Revision(9))
}

fn online_states() -> Vec<(UserId, PeerOnlineState)> {
    vec![
        (alice(), PeerOnlineState::Online),
        (bob(), PeerOnlineState::Unreachable),
        (UserId::new("carol").unwrap(), PeerOnlineState::Offline),
    ]
}
