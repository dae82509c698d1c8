//! Any frame that the model can hold, for property tests.

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use proptest::{
    collection::{btree_map, vec},
    option,
    prelude::*,
    sample::select,
};
use rtm_codec::*;

/// Any frame of a client but [`ClientFrame::BadRequest`], which none sends.
pub(crate) fn client_frame() -> impl Strategy<Value = ClientFrame> {
    prop_oneof![
        1 => login().prop_map(|login| ClientFrame::Login(Box::new(login))),
        10 => (number(), command()).prop_map(|(id, command)| ClientFrame::Request { id: RequestId(id), command }),
        2 => (number(), number(), number()).prop_map(|(received, consumed, answered)| ClientFrame::Ack {
            received: Seq(received),
            consumed: Seq(consumed),
            answered: RequestId(answered),
        }),
        1 => select(vec![ClientFrame::Ping, ClientFrame::Pong, ClientFrame::Logout]),
    ]
}

/// Any frame of a server.
pub(crate) fn server_frame() -> impl Strategy<Value = ServerFrame> {
    prop_oneof![
        1 => welcome().prop_map(|welcome| ServerFrame::Welcome(Box::new(welcome))),
        1 => refusal().prop_map(ServerFrame::Refused),
        10 => (number(), prop_oneof![3 => answer().prop_map(Ok), 1 => refusal().prop_map(Err)])
            .prop_map(|(id, result)| ServerFrame::Reply { id: RequestId(id), result }),
        10 => (number(), event()).prop_map(|(seq, event)| ServerFrame::Event { seq: Seq(seq), event }),
        1 => select(vec![ServerFrame::Ping, ServerFrame::Pong]),
        1 => select(CloseReason::ALL.to_vec()).prop_map(ServerFrame::Close),
    ]
}

/// Any event.
pub(crate) fn event() -> BoxedStrategy<Event> {
    let call = || (call_id(), user_id());
    prop_oneof![
        (message_id(), user_id(), message(), any::<bool>(), number()).prop_map(
            |(message_id, peer_id, message, is_offline_message, server_received_ts)| {
                Event::MessageFromPeer(PeerMessage {
                    message_id,
                    peer_id,
                    message,
                    is_offline_message,
                    server_received_ts,
                })
            }
        ),
        vec((user_id(), online_state()), 0..5).prop_map(|peers| Event::PeersOnlineStatusChanged { peers }),
        number().prop_map(|expires_in_ms| Event::TokenWillExpire { expires_in_ms }),
        (call(), text()).prop_map(|((call_id, caller_id), content)| Event::RemoteInvitationReceived {
            call_id,
            caller_id,
            content
        }),
        (call(), text()).prop_map(|((call_id, caller_id), content)| Event::RemoteInvitationCanceled {
            call_id,
            caller_id,
            content
        }),
        (
            call(),
            select(vec![
                RemoteInvitationFailureReason::PeerOffline,
                RemoteInvitationFailureReason::AcceptFailure,
                RemoteInvitationFailureReason::InvitationExpire,
            ])
        )
            .prop_map(|((call_id, caller_id), reason)| Event::RemoteInvitationFailure {
                call_id,
                caller_id,
                reason
            }),
        call().prop_map(|(call_id, callee_id)| Event::LocalInvitationReceivedByPeer { call_id, callee_id }),
        (call(), text()).prop_map(|((call_id, callee_id), response)| Event::LocalInvitationAccepted {
            call_id,
            callee_id,
            response
        }),
        (call(), text()).prop_map(|((call_id, callee_id), response)| Event::LocalInvitationRefused {
            call_id,
            callee_id,
            response
        }),
        (
            call(),
            select(vec![
                LocalInvitationFailureReason::PeerOffline,
                LocalInvitationFailureReason::PeerNoResponse,
                LocalInvitationFailureReason::InvitationExpire,
                LocalInvitationFailureReason::NotLoggedIn,
            ])
        )
            .prop_map(|((call_id, callee_id), reason)| Event::LocalInvitationFailure {
                call_id,
                callee_id,
                reason
            }),
        (channel_id(), message_id(), user_id(), message(), number()).prop_map(
            |(channel_id, message_id, member_id, message, server_received_ts)| Event::ChannelMessage {
                channel_id,
                message_id,
                member_id,
                message,
                server_received_ts,
            }
        ),
        member().prop_map(|(channel_id, member_id, member_count)| Event::MemberJoined {
            channel_id,
            member_id,
            member_count
        }),
        member().prop_map(|(channel_id, member_id, member_count)| Event::MemberLeft {
            channel_id,
            member_id,
            member_count
        }),
        (channel_id(), any::<u32>())
            .prop_map(|(channel_id, member_count)| Event::MemberCountUpdated { channel_id, member_count }),
        (channel_id(), channel_attributes())
            .prop_map(|(channel_id, attributes)| Event::AttributesUpdated { channel_id, attributes }),
        (option::of(channel_id()), option::of(number())).prop_map(|(channel_id, lost)| Event::Gap { channel_id, lost }),
    ]
    .boxed()
}

fn command() -> BoxedStrategy<Command> {
    let messages = prop_oneof![
        (message_id(), user_id(), message(), any::<bool>(), any::<bool>()).prop_map(
            |(message_id, peer_id, message, enable_offline_messaging, enable_historical_messaging)| {
                Command::from(SendMessageToPeer {
                    message_id,
                    peer_id,
                    message,
                    enable_offline_messaging,
                    enable_historical_messaging,
                })
            }
        ),
        (message_id(), channel_id(), message(), any::<bool>()).prop_map(
            |(message_id, channel_id, message, enable_historical_messaging)| {
                SendChannelMessage { message_id, channel_id, message, enable_historical_messaging }.into()
            }
        ),
        (history_of(), number(), number(), option::of(number()), any::<u32>()).prop_map(
            |(conversation, from_ts, until_ts, after, limit)| {
                QueryHistory { conversation, from_ts, until_ts, after: after.map(HistoryCursor), limit }.into()
            }
        ),
        token().prop_map(|token| RenewToken { token }.into()),
    ];
    let peers = prop_oneof![
        vec(user_id(), 0..5).prop_map(|peer_ids| Command::from(QueryPeersOnlineStatus { peer_ids })),
        vec(user_id(), 0..5).prop_map(|peer_ids| SubscribePeersOnlineStatus { peer_ids }.into()),
        vec(user_id(), 0..5).prop_map(|peer_ids| UnsubscribePeersOnlineStatus { peer_ids }.into()),
        Just(QueryPeersBySubscriptionOption {}.into()),
    ];
    let invitations = (0..4, call_id(), user_id(), text()).prop_map(|(kind, call_id, peer, text)| match kind {
        0 => Command::from(SendInvitation { call_id, callee_id: peer, content: text }),
        1 => CancelInvitation { call_id, callee_id: peer, content: text }.into(),
        2 => AcceptInvitation { call_id, caller_id: peer, response: text }.into(),
        _ => RefuseInvitation { call_id, caller_id: peer, response: text }.into(),
    });
    let user_attributes = prop_oneof![
        attributes().prop_map(|attributes| Command::from(SetLocalUserAttributes { attributes })),
        attributes().prop_map(|attributes| AddOrUpdateLocalUserAttributes { attributes }.into()),
        keys().prop_map(|keys| DeleteLocalUserAttributesByKeys { keys }.into()),
        Just(ClearLocalUserAttributes {}.into()),
        (user_id(), option::of(keys())).prop_map(|(user_id, keys)| GetUserAttributes { user_id, keys }.into()),
    ];
    let channels = prop_oneof![
        channel_id().prop_map(|channel_id| Command::from(JoinChannel { channel_id })),
        channel_id().prop_map(|channel_id| LeaveChannel { channel_id }.into()),
        channel_id().prop_map(|channel_id| GetMembers { channel_id }.into()),
        vec(channel_id(), 0..5).prop_map(|channel_ids| GetChannelMemberCount { channel_ids }.into()),
        (channel_id(), option::of(keys()))
            .prop_map(|(channel_id, keys)| GetChannelAttributes { channel_id, keys }.into()),
    ];
    let channel_attributes = (0..4, channel_id(), attributes(), keys(), any::<bool>(), option::of(number())).prop_map(
        |(kind, channel_id, attributes, keys, notify, revision)| {
            let expected_revision = revision.map(Revision);
            match kind {
                0 => Command::from(SetChannelAttributes {
                    target: ChannelAttributeTarget { channel_id, notify, expected_revision },
                    attributes,
                }),
                1 => AddOrUpdateChannelAttributes {
                    target: ChannelAttributeTarget { channel_id, notify, expected_revision },
                    attributes,
                }
                .into(),
                2 => DeleteChannelAttributesByKeys {
                    target: ChannelAttributeTarget { channel_id, notify, expected_revision },
                    keys,
                }
                .into(),
                _ => {
                    ClearChannelAttributes { target: ChannelAttributeTarget { channel_id, notify, expected_revision } }
                        .into()
                }
            }
        },
    );
    prop_oneof![
        messages.boxed(),
        peers.boxed(),
        invitations.boxed(),
        user_attributes.boxed(),
        channels.boxed(),
        channel_attributes.boxed()
    ]
    .boxed()
}

fn answer() -> BoxedStrategy<Answer> {
    let empty = select(vec![
        Answer::RenewToken(()),
        Answer::SubscribePeersOnlineStatus(()),
        Answer::UnsubscribePeersOnlineStatus(()),
        Answer::SendInvitation(()),
        Answer::CancelInvitation(()),
        Answer::AcceptInvitation(()),
        Answer::RefuseInvitation(()),
        Answer::SetLocalUserAttributes(()),
        Answer::AddOrUpdateLocalUserAttributes(()),
        Answer::DeleteLocalUserAttributesByKeys(()),
        Answer::ClearLocalUserAttributes(()),
        Answer::JoinChannel(()),
        Answer::LeaveChannel(()),
        Answer::SendChannelMessage(()),
    ]);
    let page = (vec(history_message(), 0..4), option::of(number()));
    prop_oneof![
        3 => empty,
        1 => select(vec![SendOutcome::Delivered, SendOutcome::Stored, SendOutcome::NotReceived])
            .prop_map(Answer::SendMessageToPeer),
        1 => vec((user_id(), online_state()), 0..5).prop_map(Answer::QueryPeersOnlineStatus),
        1 => vec(user_id(), 0..5).prop_map(Answer::QueryPeersBySubscriptionOption),
        1 => attributes().prop_map(Answer::GetUserAttributes),
        1 => vec(user_id(), 0..5).prop_map(Answer::GetMembers),
        1 => btree_map(channel_id(), any::<u32>(), 0..5).prop_map(Answer::GetChannelMemberCount),
        1 => (0..4, number()).prop_map(|(kind, revision)| match kind {
            0 => Answer::SetChannelAttributes(Revision(revision)),
            1 => Answer::AddOrUpdateChannelAttributes(Revision(revision)),
            2 => Answer::DeleteChannelAttributesByKeys(Revision(revision)),
            _ => Answer::ClearChannelAttributes(Revision(revision)),
        }),
        1 => channel_attributes().prop_map(Answer::GetChannelAttributes),
        1 => page.prop_map(|(messages, next)| {
            Answer::QueryHistory(HistoryPage::new(messages, next.map(HistoryCursor)))
        }),
    ]
    .boxed()
}

fn login() -> BoxedStrategy<Login> {
    let instance = "[!-~]{1,64}".prop_map(|id| InstanceId::new(id).unwrap());
    let resume = (ticket(), number(), number(), number()).prop_map(|(ticket, received, consumed, answered)| Resume {
        ticket,
        received: Seq(received),
        consumed: Seq(consumed),
        answered: RequestId(answered),
    });
    let keep_alive = (any::<bool>(), any::<u32>()).prop_map(|(client, interval_ms)| match client {
        true => KeepAlive::Client { interval_ms },
        false => KeepAlive::Server { interval_ms },
    });
    (
        "[a-zA-Z0-9]{32}".prop_map(|id| AppId::new(id).unwrap()),
        option::of(user_id()),
        option::of(token()),
        instance,
        option::of(resume),
        keep_alive,
        any::<u32>(),
        abilities(),
    )
        .prop_map(|(app_id, user_id, token, instance, resume, keep_alive, window, abilities)| Login {
            app_id,
            user_id,
            token,
            instance,
            resume,
            keep_alive,
            window,
            abilities,
            gateway_session: None,
        })
        .boxed()
}

fn abilities() -> BoxedStrategy<Abilities> {
    any::<[bool; 8]>()
        .prop_map(
            |[
                resume,
                binary,
                revisions,
                fetches_stored,
                repeats_attributes,
                times_token,
                gives_up,
                subscribes_once,
            ]| {
                Abilities {
                    resume,
                    binary,
                    revisions,
                    fetches_stored,
                    repeats_attributes,
                    times_token,
                    gives_up,
                    subscribes_once,
                }
            },
        )
        .boxed()
}

fn welcome() -> BoxedStrategy<Welcome> {
    let limits = vec((any::<u32>(), any::<u32>()), LimitedCall::ALL.len()).prop_map(|figures| {
        let mut limits = CallLimits::default();
        for (call, (calls, per_ms)) in LimitedCall::ALL.into_iter().zip(figures) {
            limits.set(call, CallLimit::new(calls, Duration::from_millis(per_ms.into())));
        }
        limits
    });
    (
        user_id(),
        option::of(ticket()),
        select(vec![Resumption::New, Resumption::Resumed, Resumption::Lapsed]),
        option::of(number()),
        number(),
        option::of(limits),
    )
        .prop_map(|(user_id, ticket, resumption, token_expires_in_ms, server_time_ms, limits)| Welcome {
            user_id,
            ticket,
            resumption,
            token_expires_in_ms,
            server_time_ms,
            limits,
        })
        .boxed()
}

fn refusal() -> BoxedStrategy<Refusal> {
    use ErrorKind::*;
    let kinds = vec![
        Failure,
        InvalidArgument,
        Rejected,
        Timeout,
        TooOften,
        NotLoggedIn,
        InvalidAppId,
        InvalidToken,
        TokenExpired,
        NotAuthorized,
        Banned,
        AlreadyLogin,
        AbortedByLogout,
        GatewayConnectFailed,
        InvalidUserId,
        InvalidMessage,
        IncompatibleMessage,
        ExceedLimit,
        SizeOverflow,
        UserNotFound,
        AlreadyJoined,
        AlreadyJoinedSameId,
        SameChannelTooOften,
        AbortedByLeave,
        NotInChannel,
        NotStarted,
        AlreadyEnd,
        AlreadyAccept,
        AlreadySent,
        OutcomeUnknown,
        RevisionConflict,
        Unsupported,
        ProviderFailed,
        ClientEnded,
    ];
    (select(kinds), "[ -~]{0,80}|字{0,80}").prop_map(|(kind, detail)| Refusal::new(kind, &detail)).boxed()
}

fn history_message() -> impl Strategy<Value = StoredMessage> {
    (message_id(), user_id(), message(), number()).prop_map(|(message_id, from, message, server_received_ts)| {
        StoredMessage::new(message_id, from, message, server_received_ts)
    })
}

fn history_of() -> impl Strategy<Value = HistoryOf> {
    prop_oneof![user_id().prop_map(HistoryOf::Peer), channel_id().prop_map(HistoryOf::Channel)]
}

fn channel_attributes() -> impl Strategy<Value = ChannelAttributes> {
    let attribute = (text(), user_id(), number()).prop_map(|(value, last_update_user_id, last_update_ts)| {
        ChannelAttribute::new(value, last_update_user_id, last_update_ts)
    });
    (btree_map(key(), attribute, 0..4), number())
        .prop_map(|(attributes, revision)| ChannelAttributes::new(attributes, Revision(revision)))
}

fn attributes() -> impl Strategy<Value = BTreeMap<AttributeKey, Text>> {
    btree_map(key(), text(), 0..4)
}

fn keys() -> impl Strategy<Value = Vec<AttributeKey>> {
    vec(key(), 0..4)
}

fn key() -> impl Strategy<Value = AttributeKey> {
    "[!-~]{1,32}|字{1,10}".prop_map(|key| AttributeKey::new(key).unwrap())
}

fn member() -> impl Strategy<Value = (ChannelId, UserId, u32)> {
    (channel_id(), user_id(), any::<u32>())
}

fn ticket() -> impl Strategy<Value = SessionTicket> {
    (any::<[u8; 16]>(), number()).prop_map(|(session, epoch)| SessionTicket::new(SessionId(session), Epoch(epoch)))
}

fn online_state() -> impl Strategy<Value = PeerOnlineState> {
    select(vec![PeerOnlineState::Online, PeerOnlineState::Unreachable, PeerOnlineState::Offline])
}

/// Texts and bytes short and long, so that some share their frame.
fn message() -> BoxedStrategy<RtmMessage> {
    prop_oneof![
        text().prop_map(RtmMessage::Text),
        vec(any::<u8>(), 0..2000).prop_map(|bytes| RtmMessage::Binary(Bytes::from(bytes))),
        vec(any::<u8>(), 0..300).prop_map(|bytes| RtmMessage::Value(Bytes::from(bytes))),
    ]
    .boxed()
}

fn text() -> BoxedStrategy<Text> {
    prop_oneof![4 => "\\PC{0,40}", 1 => "[ -~]{230,270}", 1 => "[字🙂a]{300,700}"].prop_map(Text::from).boxed()
}

fn token() -> impl Strategy<Value = Token> {
    "[a-zA-Z0-9+/=]{0,200}".prop_map(|text| Token::new(text).unwrap())
}

fn user_id() -> impl Strategy<Value = UserId> {
    name().prop_map(|name| UserId::new(name).unwrap())
}

fn channel_id() -> impl Strategy<Value = ChannelId> {
    name().prop_map(|name| ChannelId::new(name).unwrap())
}

fn name() -> impl Strategy<Value = String> {
    "[a-zA-Z0-9 !#$%&()+:;<=.>?@\\[\\]^_{}|~,-]{1,64}".prop_filter("reserved", |name| name != "null")
}

fn call_id() -> impl Strategy<Value = CallId> {
    "[!-~]{1,64}".prop_map(|id| CallId::new(id).unwrap())
}

fn message_id() -> impl Strategy<Value = MessageId> {
    number().prop_map(MessageId)
}

/// Numbers of every width on the wire.
fn number() -> impl Strategy<Value = u64> {
    prop_oneof![
        0..=260u64,
        Just(0xffff),
        Just(0x1_0000),
        Just(0xffff_ffff),
        Just(0x1_0000_0000),
        Just(u64::MAX),
        any::<u64>(),
    ]
}
