//! What each call does, between clients on both wires.

use std::{
    collections::BTreeMap,
    time::{Duration, UNIX_EPOCH},
};

use crate::support::{WIRES, login, message, next, server};
use futures::StreamExt;
use rtm_client::{
    ChannelAttributeOptions, ErrorKind, HistoryQuery, LocalInvitationFailureReason, PeerOnlineState, Revision,
    RtmEvent, RtmMessage, SendChannelMessageOptions, SendMessageOptions, SendOutcome, StoredMessage, Wire,
    error::ValueErrorKind,
};
use serde::{Deserialize, Serialize};

#[tokio::test]
async fn messages_arrive_in_order_with_receipts_between_all_wires() {
    let server = server().await;
    for from in WIRES {
        for to in WIRES {
            let (alice, _alice_events) = login(&server, from, "alice").await;
            let (bob, mut bob_events) = login(&server, to, "bob").await;
            for n in 0..50 {
                let outcome = alice.send_message_to_peer("bob", n.to_string()).await.unwrap();
                assert_eq!(outcome, SendOutcome::Delivered, "{from:?} to {to:?}");
            }
            for n in 0..50 {
                assert_eq!(message(&mut bob_events).await, ("alice".to_owned(), n.to_string(), false));
            }
            alice.logout().await.unwrap();
            bob.logout().await.unwrap();
        }
    }
}

#[tokio::test]
async fn a_message_to_nobody_is_not_received_or_stored_for_later() {
    let server = server().await;
    for wire in WIRES {
        let (alice, _events) = login(&server, Wire::Native, "alice").await;
        assert_eq!(alice.send_message_to_peer("bob", "lost").await.unwrap(), SendOutcome::NotReceived);
        let options = SendMessageOptions::new().enable_offline_messaging(true);
        for text in ["first", "second"] {
            assert_eq!(alice.send_message_to_peer_with("bob", text, options).await.unwrap(), SendOutcome::Stored);
        }
        let (bob, mut events) = login(&server, wire, "bob").await;
        for text in ["first", "second"] {
            assert_eq!(message(&mut events).await, ("alice".to_owned(), text.to_owned(), true), "{wire:?}");
        }
        alice.logout().await.unwrap();
        bob.logout().await.unwrap();
    }
}

#[tokio::test]
async fn bytes_reach_native_clients_and_are_refused_for_others() {
    let server = server().await;
    let (alice, _events) = login(&server, Wire::Native, "alice").await;
    let (_bob, mut bob_events) = login(&server, Wire::Native, "bob").await;
    let (vera, _vera_events) = login(&server, Wire::Vendor, "vera").await;
    let bytes = RtmMessage::binary(vec![0, 255, 1]);
    assert_eq!(alice.send_message_to_peer("bob", bytes.clone()).await.unwrap(), SendOutcome::Delivered);
    let received = next(&mut bob_events, |event| match event {
        RtmEvent::MessageFromPeer { message, .. } => Some(message),
        _ => None,
    });
    assert_eq!(received.await, bytes);
    let error = alice.send_message_to_peer("vera", bytes.clone()).await.unwrap_err();
    assert_eq!((error.kind(), error.code()), (ErrorKind::IncompatibleMessage, Some(8)));
    let error = vera.send_message_to_peer("bob", bytes).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::IncompatibleMessage);
}

#[tokio::test]
async fn online_states_are_told_once_after_subscribing_and_at_each_change() {
    let server = server().await;
    for wire in WIRES {
        let (alice, mut events) = login(&server, wire, "alice").await;
        alice.subscribe_peers_online_status(["bob", "carol"]).await.unwrap();
        let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
        let mut seen = BTreeMap::new();
        let mut bobs = Vec::new();
        while bobs.last() != Some(&PeerOnlineState::Online) || seen.len() < 2 {
            let peers = peers(&mut events).await;
            bobs.extend(peers.get("bob").copied());
            seen.extend(peers);
        }
        assert_eq!(seen["carol"], PeerOnlineState::Offline);
        let online = alice.query_peers_online_status(["bob", "carol"]).await.unwrap();
        assert_eq!(online.values().copied().collect::<Vec<_>>(), [PeerOnlineState::Online, PeerOnlineState::Offline]);
        bob.logout().await.unwrap();
        while peers(&mut events).await.get("bob") != Some(&PeerOnlineState::Offline) {}
        alice.unsubscribe_peers_online_status(["carol"]).await.unwrap();
        let subscribed = alice.subscribed_peers().await.unwrap();
        assert!(subscribed.iter().all(|peer| peer.as_str() == "bob"), "{wire:?}: {subscribed:?}");
        alice.logout().await.unwrap();
    }

    async fn peers(events: &mut rtm_client::Events) -> BTreeMap<String, PeerOnlineState> {
        next(events, |event| match event {
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                Some(peers.into_iter().map(|(peer, state)| (peer.to_string(), state)).collect())
            }
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn an_invitation_is_accepted_refused_and_canceled_between_all_wires() {
    let server = server().await;
    for calling in WIRES {
        for called in WIRES {
            let (alice, mut caller) = login(&server, calling, "alice").await;
            let (bob, mut callee) = login(&server, called, "bob").await;

            let sent = alice.send_invitation("bob", "lunch?").await.unwrap();
            let received = invited(&mut callee).await;
            assert_eq!((received.caller_id.as_str(), received.content.as_str()), ("alice", "lunch?"));
            next(&mut caller, |event| {
                matches!(event, RtmEvent::LocalInvitationReceivedByPeer { invitation, .. } if invitation == sent)
                    .then_some(())
            })
            .await;
            bob.accept_invitation(&received, "yes").await.unwrap();
            let response = next(&mut caller, |event| match event {
                RtmEvent::LocalInvitationAccepted { invitation, response, .. } if invitation == sent => Some(response),
                _ => None,
            });
            assert_eq!(response.await, "yes");
            next(&mut callee, |event| {
                matches!(event, RtmEvent::RemoteInvitationAccepted { invitation, .. } if invitation == received)
                    .then_some(())
            })
            .await;
            let error = alice.cancel_invitation(&sent, "").await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::AlreadyEnd, Some(3)));

            alice.send_invitation("bob", "dinner?").await.unwrap();
            let second = invited(&mut callee).await;
            bob.refuse_invitation(&second, "busy").await.unwrap();
            let response = next(&mut caller, |event| match event {
                RtmEvent::LocalInvitationRefused { response, .. } => Some(response),
                _ => None,
            });
            assert_eq!(response.await, "busy");

            let third = alice.send_invitation("bob", "breakfast?").await.unwrap();
            invited(&mut callee).await;
            alice.cancel_invitation(&third, "never mind").await.unwrap();
            let content = next(&mut callee, |event| match event {
                RtmEvent::RemoteInvitationCanceled { content, .. } => Some(content),
                _ => None,
            });
            assert_eq!(content.await, "never mind");

            alice.send_invitation("bob", "supper?").await.unwrap();
            invited(&mut callee).await;
            bob.logout().await.unwrap();
            let reason = next(&mut caller, |event| match event {
                RtmEvent::LocalInvitationFailure { reason, .. } => Some(reason),
                _ => None,
            });
            assert_eq!(reason.await, LocalInvitationFailureReason::PeerOffline, "{calling:?} to {called:?}");
            alice.logout().await.unwrap();
        }
    }

    async fn invited(events: &mut rtm_client::Events) -> rtm_client::RemoteInvitation {
        next(events, |event| match event {
            RtmEvent::RemoteInvitationReceived { invitation, .. } => Some(invitation),
            _ => None,
        })
        .await
    }
}

#[tokio::test]
async fn a_channel_tells_its_members_of_messages_and_of_each_other() {
    let server = server().await;
    for wire in WIRES {
        let (alice, mut events) = login(&server, wire, "alice").await;
        let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
        let (room, bobs_room) = (alice.channel("room").unwrap(), bob.channel("room").unwrap());
        assert_eq!(room.send_message("hi").await.unwrap_err().kind(), ErrorKind::NotInChannel);
        room.join().await.unwrap();
        assert_eq!(room.join().await.unwrap_err().kind(), ErrorKind::AlreadyJoined);
        bobs_room.join().await.unwrap();
        bobs_room.send_message("hello").await.unwrap();
        room.send_message("not to myself").await.unwrap();
        let mut members = room.members().await.unwrap();
        members.sort();
        assert_eq!(members.iter().map(|member| member.as_str()).collect::<Vec<_>>(), ["alice", "bob"]);
        let counts = alice.channel_member_count(["room", "nowhere"]).await.unwrap();
        assert_eq!(counts.values().copied().collect::<Vec<_>>(), [0, 2]);
        bobs_room.leave().await.unwrap();
        let mut story = Vec::new();
        while story.last().map(String::as_str) != Some("bob left") {
            story.extend(
                next(&mut events, |event| match event {
                    RtmEvent::MemberJoined { member_id, .. } => Some(Some(format!("{member_id} joined"))),
                    RtmEvent::MemberLeft { member_id, .. } => Some(Some(format!("{member_id} left"))),
                    RtmEvent::ChannelMessage { member_id, message, .. } => {
                        Some(Some(format!("{member_id}: {}", message.as_text()?)))
                    }
                    _ => None,
                })
                .await,
            );
        }
        assert_eq!(story, ["bob joined", "bob: hello", "bob left"], "{wire:?}");
        alice.logout().await.unwrap();
        bob.logout().await.unwrap();
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Move {
    x: i32,
    y: i32,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    note: Option<String>,
}

#[tokio::test]
async fn a_typed_channel_is_read_on_all_wires_and_names_who_breaks_its_rules() {
    let server = server().await;
    for wire in WIRES {
        let (alice, _alice_events) = login(&server, wire, "alice").await;
        let (bob, mut bob_events) = login(&server, Wire::Native, "bob").await;
        let (vera, mut vera_events) = login(&server, Wire::Vendor, "vera").await;
        let game = alice.channel("game").unwrap().typed::<Move>();
        let (bobs_game, veras_game) = (bob.channel("game").unwrap().typed::<Move>(), vera.channel("game").unwrap());
        game.channel().join().await.unwrap();
        bobs_game.channel().join().await.unwrap();
        veras_game.join().await.unwrap();

        let step = Move { x: 1, y: -2, note: Some("中".to_owned()) };
        game.send(&step).await.unwrap();
        let seen = next(&mut vera_events, |event| match event {
            RtmEvent::ChannelMessage { message, .. } => Some(message.as_text()?.to_owned()),
            _ => None,
        })
        .await;
        assert_eq!(serde_json::from_str::<Move>(&seen).unwrap(), step);
        veras_game.send_message(r#"{"x":3,"y":4}"#).await.unwrap();
        veras_game.send_message("what game?").await.unwrap();
        let mut heard = Vec::new();
        for _ in 0..3 {
            heard.push(next(&mut bob_events, |event| bobs_game.decode(&event)).await);
        }
        let first = heard[0].as_ref().unwrap();
        assert_eq!((first.member_id.as_str(), &first.value), ("alice", &step), "{wire:?}");
        assert_eq!(heard[1].as_ref().unwrap().value, Move { x: 3, y: 4, note: None });
        let error = heard[2].as_ref().unwrap_err();
        assert_eq!(error.kind(), ValueErrorKind::Malformed);
        assert_eq!((error.channel_id().as_str(), error.member_id().as_str()), ("game", "vera"));
        let (one, two) = (Move { x: 1, y: 1, note: None }, Move { x: 2, y: 2, note: None });
        game.send(&one).await.unwrap();
        game.send(&two).await.unwrap();
        let moves: Vec<_> = bobs_game
            .messages(&mut bob_events)
            .take(2)
            .map(|moved| moved.into_message().unwrap().value)
            .collect()
            .await;
        assert_eq!(moves, [one, two]);
        for client in [alice, bob, vera] {
            client.logout().await.unwrap();
        }
    }
}

#[tokio::test]
async fn user_attributes_are_written_by_their_user_and_read_by_all() {
    let server = server().await;
    for wire in WIRES {
        let (alice, _events) = login(&server, wire, "alice").await;
        let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
        alice.set_local_user_attributes([("city", "上海"), ("mood", "fine")]).await.unwrap();
        alice.add_or_update_local_user_attributes([("mood", "better")]).await.unwrap();
        let all = bob.user_attributes("alice").await.unwrap();
        assert_eq!(
            all.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect::<Vec<_>>(),
            [("city", "上海"), ("mood", "better")]
        );
        let some = alice.user_attributes_by_keys("alice", ["mood", "none"]).await.unwrap();
        assert_eq!(some.len(), 1);
        alice.delete_local_user_attributes_by_keys(["mood"]).await.unwrap();
        assert_eq!(alice.user_attributes("alice").await.unwrap().len(), 1);
        alice.clear_local_user_attributes().await.unwrap();
        assert!(bob.user_attributes("alice").await.unwrap().is_empty(), "{wire:?}");
        alice.logout().await.unwrap();
        assert_eq!(bob.user_attributes("alice").await.unwrap_err().kind(), ErrorKind::UserNotFound);
        bob.logout().await.unwrap();
    }
}

#[tokio::test]
async fn channel_attributes_are_told_to_members_and_guarded_by_their_revision() {
    let server = server().await;
    let tell = ChannelAttributeOptions::new().enable_notification_to_channel_members(true);
    for wire in WIRES {
        let (alice, mut events) = login(&server, wire, "alice").await;
        let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
        alice.channel("room").unwrap().join().await.unwrap();
        bob.clear_channel_attributes("room", ChannelAttributeOptions::default()).await.unwrap();
        bob.set_channel_attributes("room", [("topic", "rust")], tell).await.unwrap();
        let told = next(&mut events, |event| match event {
            RtmEvent::AttributesUpdated { channel_id, attributes, .. } if channel_id.as_str() == "room" => {
                Some(attributes)
            }
            _ => None,
        })
        .await;
        let topic = told.attributes.get("topic").unwrap();
        assert_eq!((topic.value.as_str(), topic.last_update_user_id.as_str()), ("rust", "bob"), "{wire:?}");
        alice.add_or_update_channel_attributes("room", [("level", "2")], tell).await.unwrap();
        assert_eq!(alice.channel_attributes("room").await.unwrap().attributes.len(), 2);
        let some = alice.channel_attributes_by_keys("room", ["level"]).await.unwrap();
        assert_eq!(some.attributes.len(), 1);
        alice.delete_channel_attributes_by_keys("room", ["level"], tell).await.unwrap();

        let revision = bob.channel_attributes("room").await.unwrap().revision;
        let at = |revision| tell.expected_revision(revision);
        let newer = bob.add_or_update_channel_attributes("room", [("a", "1")], at(revision)).await.unwrap();
        assert!(newer > revision);
        let late = bob.add_or_update_channel_attributes("room", [("a", "2")], at(revision)).await.unwrap_err();
        assert_eq!(late.kind(), ErrorKind::RevisionConflict);
        let guarded = alice.clear_channel_attributes("room", at(Revision(0))).await.unwrap_err();
        let kind = if wire == Wire::Native { ErrorKind::RevisionConflict } else { ErrorKind::Unsupported };
        assert_eq!(guarded.kind(), kind);
        alice.logout().await.unwrap();
        bob.logout().await.unwrap();
    }
}

#[tokio::test]
async fn a_history_that_may_not_be_read_says_so_again_and_again_and_goes_on_when_it_may() {
    let server = server().await;
    for wire in WIRES {
        let (alice, _events) = login(&server, wire, "alice").await;
        let room = alice.channel(format!("room {wire:?}")).unwrap();
        let mut history = room.history(HistoryQuery::new());
        // The vendor's HTTP answers do not say why.
        let refused = if wire == Wire::Native { ErrorKind::NotInChannel } else { ErrorKind::Failure };
        for _ in 0..2 {
            assert_eq!(history.try_next().await.unwrap_err().kind(), refused, "{wire:?}");
        }
        room.ensure_joined().await.unwrap();
        room.ensure_joined().await.unwrap();
        assert_eq!(room.join().await.unwrap_err().kind(), ErrorKind::AlreadyJoined);
        assert_eq!(history.try_next().await.unwrap(), None, "{wire:?}");
        assert_eq!(room.member_count().await.unwrap(), 1);
        assert_eq!(alice.channel("nobody").unwrap().member_count().await.unwrap(), 0, "{wire:?}");
        alice.logout().await.unwrap();
    }
}

#[tokio::test]
async fn history_is_read_page_by_page_on_all_wires() {
    let server = server().await;
    for wire in WIRES {
        let (alice, _events) = login(&server, wire, "alice").await;
        let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
        let keep = SendMessageOptions::new().enable_historical_messaging(true);
        let room = format!("room {wire:?}");
        let (room, bobs_room) = (alice.channel(&room).unwrap(), bob.channel(&room).unwrap());
        room.join().await.unwrap();
        bobs_room.join().await.unwrap();
        let peer = format!("peer {wire:?}");
        for n in 0..5 {
            alice.send_message_to_peer_with(&peer, n.to_string(), keep).await.unwrap();
            let options = SendChannelMessageOptions::new().enable_historical_messaging(true);
            bobs_room.send_message_with(n.to_string(), options).await.unwrap();
        }
        alice.send_message_to_peer(&peer, "not kept").await.unwrap();
        for channel in [false, true] {
            let mut query = HistoryQuery::new().limit(2);
            let mut texts = Vec::new();
            loop {
                let page = if channel {
                    alice.query_channel_history(room.id(), query).await.unwrap()
                } else {
                    alice.query_peer_history(&peer, query).await.unwrap()
                };
                assert!(page.messages.len() <= 2);
                texts.extend(page.messages.iter().map(|kept| kept.message.as_text().unwrap().to_owned()));
                let Some(next) = page.next else { break };
                query = query.after(next);
            }
            assert_eq!(texts, ["0", "1", "2", "3", "4"], "{wire:?}, channel: {channel}");
        }
        let peers = alice.peer_history(&peer, HistoryQuery::new()).unwrap();
        for history in [room.history(HistoryQuery::new().limit(2)), peers] {
            let kept: Vec<_> = history.map(|kept| kept.unwrap()).collect().await;
            let texts: Vec<_> = kept.iter().map(|kept| kept.message.as_text().unwrap()).collect();
            assert_eq!(texts, ["0", "1", "2", "3", "4"], "{wire:?}");
        }
        let all: Vec<_> = room.history(HistoryQuery::new()).map(|kept| kept.unwrap()).collect().await;
        let third = UNIX_EPOCH + Duration::from_millis(all[2].server_received_ts);
        let since: Vec<_> = room.history(HistoryQuery::new().from(third)).map(|kept| kept.unwrap()).collect().await;
        let until: Vec<_> = room.history(HistoryQuery::new().until(third)).map(|kept| kept.unwrap()).collect().await;
        let is_since = |kept: &StoredMessage| kept.server_received_ts >= all[2].server_received_ts;
        assert_eq!(since, all.iter().filter(|kept| is_since(kept)).cloned().collect::<Vec<_>>(), "{wire:?}");
        assert_eq!(until, all.iter().filter(|kept| !is_since(kept)).cloned().collect::<Vec<_>>(), "{wire:?}");
        alice.logout().await.unwrap();
        bob.logout().await.unwrap();
    }
}
