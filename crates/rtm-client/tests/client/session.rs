//! Sessions and handles over a real server: logging in and out, coming back, letting go.

use std::time::Duration;

use crate::support::{APP_ID, WIRES, builder, login, message, next, project, server, state};
use rtm_client::{
    BuildError, Client, ConnectError, ConnectionChangeReason, ConnectionState, ErrorKind, PeerOnlineState, RtmEvent,
    SendOutcome, TypedEvent, Wire,
};
use rtm_server::{Certificate, Server, TlsFiles};

#[tokio::test]
async fn calls_may_be_awaited_between_events_of_a_flood() {
    let server = server().await;
    for wire in WIRES {
        let (bob, mut events) = login(&server, wire, "bob").await;
        let (alice, mut replies) = login(&server, Wire::Native, "alice").await;
        let flood = tokio::spawn(async move {
            for n in 0..150 {
                alice.send_message_to_peer("bob", n.to_string()).await.unwrap();
            }
            alice
        });
        for n in 0..150 {
            let (peer, text, _) = message(&mut events).await;
            assert_eq!(text, n.to_string());
            // Each answer costs a round trip in which further events arrive.
            assert_eq!(bob.query_peers_online_status([&peer]).await.unwrap().len(), 1);
            if n % 50 == 0 {
                assert_eq!(bob.send_message_to_peer(&peer, "ok").await.unwrap(), SendOutcome::Delivered);
                message(&mut replies).await;
            }
        }
        flood.await.unwrap().logout().await.unwrap();
        bob.logout().await.unwrap();
    }
}

#[tokio::test]
async fn a_second_login_ends_the_first_and_each_wire_says_so() {
    let server = server().await;
    for wire in WIRES {
        for (web15, left) in [(false, ConnectionState::Aborted), (true, ConnectionState::Disconnected)] {
            let (first, mut events) = builder(&server).wire(wire).web15_compatibility(web15).build().unwrap();
            first.login("alice", None).await.unwrap();
            let (second, _second_events) = login(&server, Wire::Native, "alice").await;
            assert_eq!(state(&mut events, left).await, ConnectionChangeReason::RemoteLogin, "{wire:?}");
            assert_eq!(first.send_message_to_peer("bob", "x").await.unwrap_err().kind(), ErrorKind::NotLoggedIn);
            let again = first.login("alice", None).await;
            if left == ConnectionState::Aborted {
                assert_eq!(again.unwrap_err().kind(), ErrorKind::AlreadyLogin);
                first.logout().await.unwrap();
                first.login("alice", None).await.unwrap();
            } else {
                again.unwrap();
            }
            drop(second);
            first.logout().await.unwrap();
        }
    }
}

#[tokio::test]
async fn dropping_the_last_handle_takes_the_user_offline() {
    let server = server().await;
    for wire in WIRES {
        let (watcher, mut events) = login(&server, Wire::Native, "watcher").await;
        let (client, mut dropped) = login(&server, wire, "alice").await;
        watcher.subscribe_peers_online_status(["alice"]).await.unwrap();
        let room = client.channel("room").unwrap();
        drop(client);
        room.join().await.unwrap();
        drop(room);
        let offline = next(&mut events, |event| match event {
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                (peers.get("alice") == Some(&PeerOnlineState::Offline)).then_some(())
            }
            _ => None,
        });
        offline.await;
        assert_eq!(state(&mut dropped, ConnectionState::Disconnected).await, ConnectionChangeReason::Logout);
        assert_eq!(dropped.recv().await, None, "{wire:?}");
        watcher.logout().await.unwrap();
    }
}

#[tokio::test]
async fn a_client_whose_events_are_dropped_goes_on_sending_and_receiving_receipts_for_others() {
    let server = server().await;
    for wire in WIRES {
        let (mute, events) = builder(&server).wire(wire).window(4).build().unwrap();
        mute.login("mute", None).await.unwrap();
        drop(events);
        let (alice, mut heard) = login(&server, Wire::Native, "alice").await;
        for n in 0..20 {
            assert_eq!(alice.send_message_to_peer("mute", n.to_string()).await.unwrap(), SendOutcome::Delivered);
        }
        mute.send_message_to_peer("alice", "still here").await.unwrap();
        assert_eq!(message(&mut heard).await.1, "still here", "{wire:?}");
        mute.logout().await.unwrap();
        alice.logout().await.unwrap();
    }
}

#[tokio::test]
async fn dropped_futures_disturb_nothing() {
    let server = server().await;
    for wire in WIRES {
        let (alice, mut events) = login(&server, wire, "alice").await;
        for n in 0..20 {
            let send = alice.send_message_to_peer("alice", n.to_string());
            // Polled once or not at all, and dropped.
            drop(tokio::time::timeout(Duration::ZERO, send).await);
        }
        assert_eq!(alice.send_message_to_peer("alice", "last").await.unwrap(), SendOutcome::Delivered);
        let mut texts = Vec::new();
        while texts.last().map(String::as_str) != Some("last") {
            texts.push(message(&mut events).await.1);
        }
        texts.pop();
        let numbers: Vec<u32> = texts.iter().map(|text| text.parse().unwrap()).collect();
        assert!(numbers.is_sorted(), "{wire:?}: {numbers:?}");
        alice.logout().await.unwrap();
    }
}

#[tokio::test]
async fn a_saved_session_goes_on_in_another_client_with_what_came_meanwhile() {
    let server = server().await;
    let (first, mut events) = login(&server, Wire::Native, "alice").await;
    let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
    let room = bob.channel("room").unwrap();
    first.channel("room").unwrap().join().await.unwrap();
    room.join().await.unwrap();
    next(&mut events, |event| matches!(event, RtmEvent::MemberJoined { .. }).then_some(())).await;
    // What this client leaves unread would be a gap for the next.
    drop(events);
    let session = first.session().await.unwrap();
    room.send_message("meanwhile").await.unwrap();
    let refused = builder(&server).wire(Wire::Vendor).resume(session.clone()).build().unwrap_err();
    assert_eq!(refused.to_string(), "resume must be left out on the vendor's wire, which cannot resume a session");
    let (second, mut events) = builder(&server).resume(session).build().unwrap();
    second.login("alice", None).await.unwrap();
    let text = next(&mut events, |event| match event {
        RtmEvent::ChannelMessage { message, .. } => Some(message.as_text()?.to_owned()),
        RtmEvent::Gap { .. } => panic!("something was lost"),
        _ => None,
    });
    assert_eq!(text.await, "meanwhile");
    assert_eq!(second.channel("room").unwrap().members().await.unwrap().len(), 2);
}

#[tokio::test]
async fn clients_come_back_to_a_server_that_was_restarted() {
    for wire in WIRES {
        let server = server().await;
        let address = server.local_addr();
        let (client, mut events) = builder(&server)
            .wire(wire)
            .reconnect_backoff(Duration::from_millis(10), Duration::from_millis(100))
            .build()
            .unwrap();
        client.login("alice", None).await.unwrap();
        client.channel("room").unwrap().join().await.unwrap();
        client.subscribe_peers_online_status(["bob"]).await.unwrap();
        server.shutdown().await;
        state(&mut events, ConnectionState::Reconnecting).await;
        let server = Server::builder().project(project()).bind(address).await.unwrap();
        state(&mut events, ConnectionState::Connected).await;
        let (bob, _bob_events) = login(&server, Wire::Native, "bob").await;
        let room = bob.channel("room").unwrap();
        room.join().await.unwrap();
        room.send_message("welcome back").await.unwrap();
        let (mut online, mut greeted) = (false, false);
        while !(online && greeted) {
            next(&mut events, |event| {
                match event {
                    RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                        online |= peers.get("bob") == Some(&PeerOnlineState::Online);
                    }
                    RtmEvent::ChannelMessage { .. } => greeted = true,
                    RtmEvent::RestoreFailed { error, .. } => panic!("{wire:?}: {error}"),
                    _ => {}
                }
                Some(())
            })
            .await;
        }
    }
}

#[tokio::test]
async fn a_project_with_a_certificate_takes_good_tokens_only() {
    let certificate = "abcdefabcdefabcdefabcdefabcdef12";
    let mut project = project();
    project.certificates.push(Certificate::new(certificate).unwrap());
    let server = Server::builder().project(project).bind("127.0.0.1:0").await.unwrap();
    for wire in WIRES {
        let (client, mut events) = builder(&server).wire(wire).build().unwrap();
        for token in [None, Some("007nonsense")] {
            let error = client.login("alice", token).await.unwrap_err();
            assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidToken, Some(4)), "{wire:?} {token:?}");
            let reason = state(&mut events, ConnectionState::Disconnected).await;
            assert_eq!(reason, ConnectionChangeReason::LoginFailure);
        }
    }
}

#[tokio::test]
async fn both_wires_go_over_tls_to_a_server_whose_root_is_given() {
    let directory = std::env::temp_dir().join(format!("rtm-client-tls-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let files = TlsFiles::new(directory.join("cert.pem"), directory.join("key.pem"));
    std::fs::write(files.certificate(), made.cert.pem()).unwrap();
    std::fs::write(files.key(), made.signing_key.serialize_pem()).unwrap();
    let server = Server::builder().project(project()).tls(files).bind("127.0.0.1:0").await.unwrap();
    std::fs::remove_dir_all(&directory).unwrap();
    let gateway = format!("https://localhost:{}", server.local_addr().port());
    for wire in WIRES {
        let builder = Client::builder().gateway(&gateway).app_id(APP_ID).wire(wire).without_system_roots();
        let (client, mut events) = builder.clone().root_certificates(made.cert.pem()).build().unwrap();
        client.login("alice", None).await.unwrap();
        assert_eq!(client.send_message_to_peer("alice", "x".repeat(32_768)).await.unwrap(), SendOutcome::Delivered);
        assert_eq!(message(&mut events).await.1.len(), 32_768);
        client.logout().await.unwrap();

        let (stranger, _events) = builder.build().unwrap();
        let error = stranger.login("alice", None).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::GatewayConnectFailed, "{wire:?}: {error}");
        assert!(error.to_string().contains("certificate"), "{wire:?}: {error}");
        #[cfg(feature = "rustls")]
        {
            use rtm_client::rustls::{CertificateError, Error};
            let source = std::error::Error::source(&error).unwrap().downcast_ref::<Error>();
            assert_eq!(source, Some(&Error::InvalidCertificate(CertificateError::UnknownIssuer)), "{wire:?}");
        }
    }
}

#[tokio::test]
async fn connect_needs_one_line_and_tells_whose_fault_a_failure_is() {
    let server = server().await;
    let gateway = format!("http://{}", server.local_addr());
    let (client, _events) = rtm_client::connect(&gateway, APP_ID, "alice", None).await.unwrap();
    assert_eq!(client.connection_state(), ConnectionState::Connected);
    let error = rtm_client::connect(&gateway, "short", "alice", None).await.unwrap_err();
    assert!(matches!(error, ConnectError::Build(BuildError::AppId(_))), "{error}");
    let unknown = "f".repeat(32);
    let ConnectError::Login(error) = rtm_client::connect(&gateway, &unknown, "alice", None).await.unwrap_err() else {
        panic!("not the login's fault")
    };
    assert_eq!((error.kind(), error.code()), (ErrorKind::InvalidAppId, Some(3)));
}

#[test]
fn a_builder_says_what_is_wrong_or_missing() {
    let good = || Client::builder().gateway("127.0.0.1:1").app_id(APP_ID);
    let faults = [
        (Client::builder().app_id(APP_ID), "has no gateway"),
        (Client::builder().gateway("127.0.0.1:1"), "has no App ID"),
        (good().gateway("ftp://x"), "scheme"),
        (good().app_id("short"), "app id is not exactly 32 bytes long"),
        (good().window(0), "window must be 1 to 65536 events"),
        (good().heartbeat(Duration::ZERO), "heartbeat must be"),
        (good().heartbeat(Duration::from_millis(20_001)), "heartbeat must be 100 ms to 20 s"),
        (good().wire(Wire::Vendor).heartbeat(Duration::from_millis(10_001)), "heartbeat must be 100 ms to 10 s"),
        (good().connect_timeout(Duration::ZERO), "connect_timeout must be"),
        (good().gateway("http://a:secret@b:80"), "\"http://b:80\" cannot be used: it has a user or a password"),
        (good().gateway("a:secret@b:80"), "\"b:80\" cannot be used"),
        (good().gateway("http://b:0"), "port 0"),
        (good().login_timeout(Duration::MAX), "login_timeout must be"),
        (good().reconnect_backoff(Duration::from_secs(2), Duration::from_secs(1)), "reconnect_backoff must be"),
        (good().root_certificates("none"), "no certificate"),
        (good(), "no tokio runtime"),
    ];
    for (builder, fault) in faults {
        let error = builder.build().unwrap_err().to_string();
        assert!(error.contains(fault), "{error:?} does not say {fault:?}");
    }
}

#[tokio::test]
async fn of_two_processes_with_one_saved_session_the_older_one_ends() {
    let server = server().await;
    let (first, mut first_events) = login(&server, Wire::Native, "ann").await;
    let (sender, _sender_events) = login(&server, Wire::Native, "bob").await;
    let session = first.session().await.unwrap();
    let (second, mut events) = builder(&server).resume(session).build().unwrap();
    second.login("ann", None).await.unwrap();
    assert_eq!(state(&mut first_events, ConnectionState::Aborted).await, ConnectionChangeReason::RemoteLogin);
    for n in 0..10 {
        assert_eq!(sender.send_message_to_peer("ann", n.to_string()).await.unwrap(), SendOutcome::Delivered);
        assert_eq!(message(&mut events).await.1, n.to_string());
    }
    assert_eq!(second.connection_state(), ConnectionState::Connected);
    assert_eq!(first.connection_state(), ConnectionState::Aborted);
}

#[tokio::test]
async fn the_stream_outlives_an_abort_and_ends_with_the_last_handle_but_not_a_typed_readers() {
    let server = server().await;
    for wire in WIRES {
        let (client, mut events) = login(&server, wire, "ann").await;
        let mut reader = client.channel("game").unwrap().typed::<u32>().messages(&mut events);
        let (_other, _other_events) = login(&server, wire, "ann").await;
        let told = tokio::time::timeout(Duration::from_secs(5), reader.recv()).await.unwrap();
        let reason = ConnectionChangeReason::RemoteLogin;
        assert!(matches!(told, Some(TypedEvent::Aborted { reason: told, .. }) if told == reason), "{wire:?}");
        let ended = tokio::time::timeout(Duration::from_millis(300), reader.recv()).await;
        assert!(ended.is_err(), "{wire:?}: ABORTED is not the end");
        drop(client);
        let ended = tokio::time::timeout(Duration::from_secs(5), reader.recv()).await;
        assert_eq!(ended, Ok(None), "{wire:?}: the last handle is gone");
    }
}

#[tokio::test(start_paused = true)]
async fn under_a_stopped_clock_a_server_in_the_process_keeps_still() {
    let server = server().await;
    for wire in WIRES {
        let (client, mut events) = login(&server, wire, "ann").await;
        let (peer, _peer_events) = login(&server, wire, "bob").await;
        let begun = std::time::Instant::now();
        tokio::time::sleep(Duration::from_secs(60)).await;
        assert!(begun.elapsed() < Duration::from_secs(20), "{wire:?}: {:?} of real time", begun.elapsed());
        assert_eq!(peer.send_message_to_peer("ann", "hi").await.unwrap(), SendOutcome::Delivered);
        assert_eq!(message(&mut events).await.1, "hi", "{wire:?}");
        assert_eq!(client.connection_state(), ConnectionState::Connected);
        client.logout().await.unwrap();
        peer.logout().await.unwrap();
    }
}
