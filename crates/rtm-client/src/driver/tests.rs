//! What the task promises, against a server that does what each test says, with a stopped clock.

mod limits;
mod tokens;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, StreamExt};
use rtm_codec::{
    Answer, CallLimit, CallLimiter, CallLimits, ClientFrame, CloseReason, Command, ErrorKind, Event, LimitedCall,
    MessageId, PeerMessage, Refusal, Resumption, RtmMessage, SendOutcome, ServerFrame, UserId,
};
use rtm_connection::{ConnectionChangeReason, ConnectionState, RtmEvent};
use tokio::{
    sync::Notify,
    time::{Instant, timeout},
};

use crate::{
    Client, Events,
    switchboard::{End, Peer, Switchboard, client, client_over},
};

#[tokio::test(start_paused = true)]
async fn the_states_of_a_login_are_in_the_stream_before_it_returns() {
    let (client, mut events, mut server) = client(&Client::builder());
    let (result, (_peer, login)) = tokio::join!(client.login("alice", Some("secret")), server.accept_login());
    result.unwrap();
    assert_eq!(login.user_id.unwrap().as_str(), "alice");
    assert_eq!(login.token.unwrap().expose(), "secret");
    assert_eq!(state(events.try_recv()), (ConnectionState::Connecting, ConnectionChangeReason::Login));
    assert_eq!(state(events.try_recv()), (ConnectionState::Connected, ConnectionChangeReason::LoginSuccess));
    assert_eq!(events.try_recv(), None);
    assert_eq!(client.connection_state(), ConnectionState::Connected);
    assert_eq!(client.user_id().unwrap().as_str(), "alice");
}

#[tokio::test(start_paused = true)]
async fn a_call_awaited_between_two_events_ends_though_the_window_is_full() {
    let (client, mut events, mut peer) = logged_in(Client::builder().window(4)).await;
    for n in 0..4 {
        peer.event(message(n)).await;
    }
    let answering = tokio::spawn(async move {
        let (id, _) = peer.request().await;
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
        peer
    });
    let first = events.recv().await.unwrap();
    assert!(matches!(first, RtmEvent::MessageFromPeer { .. }));
    assert_eq!(client.send_message_to_peer("bob", "hi").await.unwrap(), SendOutcome::Delivered);
    answering.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_a_dropped_call_held_is_freed_when_its_time_is_over() {
    let (client, _events, mut peer) = logged_in(Client::builder()).await;
    let freed = Arc::new(AtomicBool::new(false));
    let message = RtmMessage::binary(Bytes::from_owner(Held(vec![1; 100], Arc::clone(&freed))));
    assert!(timeout(Duration::from_millis(10), client.send_message_to_peer("bob", message)).await.is_err());
    peer.request().await;
    assert!(!freed.load(Ordering::Relaxed));
    tokio::spawn(async move {
        while peer.try_recv().await.is_ok() {
            peer.send(ServerFrame::Pong).await;
        }
    });
    tokio::time::sleep(Duration::from_secs(11)).await;
    assert!(freed.load(Ordering::Relaxed));
    assert_eq!(client.connection_state(), ConnectionState::Connected);
}

struct Held(Vec<u8>, Arc<AtomicBool>);

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.1.store(true, Ordering::Relaxed);
    }
}

#[tokio::test(start_paused = true)]
async fn dropping_the_last_handle_logs_out_and_ends_the_stream() {
    let (client, mut events, mut peer) = logged_in(Client::builder()).await;
    let channel = client.channel("room").unwrap();
    drop(client);
    assert_eq!(channel.client().connection_state(), ConnectionState::Connected);
    drop(channel);
    loop {
        match peer.recv().await {
            ClientFrame::Logout => break,
            ClientFrame::Ping | ClientFrame::Ack { .. } => {}
            other => panic!("{other:?}"),
        }
    }
    peer.close(CloseReason::Logout).await;
    assert_eq!(state(events.recv().await), (ConnectionState::Disconnected, ConnectionChangeReason::Logout));
    assert_eq!(events.recv().await, None);
}

#[tokio::test(start_paused = true)]
async fn the_stream_ends_with_the_last_handle_also_if_nobody_reads_it_meanwhile() {
    let (client, mut events, peer) = logged_in(Client::builder()).await;
    peer.close(CloseReason::RemoteLogin).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(client.connection_state(), ConnectionState::Aborted);
    drop(client);
    tokio::time::sleep(Duration::from_secs(60)).await;
    let mut left = std::iter::from_fn(|| events.recv().now_or_never());
    assert_eq!(left.find(Option::is_none), Some(None), "the task has ended");
}

#[tokio::test(start_paused = true)]
async fn without_a_listener_events_are_taken_and_thrown_away() {
    let (client, events, mut peer) = logged_in(Client::builder().window(4)).await;
    peer.event(message(0)).await;
    drop(events);
    for n in 1..10 {
        peer.event(message(n)).await;
    }
    while !matches!(peer.recv().await, ClientFrame::Ack { consumed, .. } if consumed.0 == 10) {}
    assert_eq!(client.connection_state(), ConnectionState::Connected);
}

#[tokio::test(start_paused = true)]
async fn the_server_hears_of_what_the_application_takes_and_of_nothing_else() {
    let (_client, mut events, mut peer) = logged_in(Client::builder().window(8)).await;
    for n in 0..8 {
        peer.event(message(n)).await;
    }
    while !matches!(peer.recv().await, ClientFrame::Ack { received, consumed, .. } if {
        assert_eq!(consumed.0, 0);
        received.0 == 8
    }) {}
    for _ in 0..8 {
        events.recv().await.unwrap();
    }
    while !matches!(peer.recv().await, ClientFrame::Ack { consumed, .. } if consumed.0 >= 6) {}
}

#[tokio::test(start_paused = true)]
async fn one_event_that_waits_in_a_part_holds_the_server_back_whatever_the_others_take() {
    let (_client, mut events, mut peer) = logged_in(Client::builder().window(8)).await;
    let mut is_first = true;
    let mut part = events.part(move |event| {
        matches!(event, RtmEvent::MessageFromPeer { .. }) && std::mem::replace(&mut is_first, false)
    });
    for n in 0..8 {
        peer.event(message(n)).await;
    }
    for _ in 1..8 {
        let is_message = |event| matches!(event, RtmEvent::MessageFromPeer { .. }).then_some(());
        events.wait_for(Duration::from_secs(1), is_message).await.unwrap();
    }
    assert_eq!(events.try_recv(), None);
    // Pings carry whatever there is to acknowledge.
    for _ in 0..3 {
        loop {
            match peer.recv().await {
                ClientFrame::Ping => break peer.send(ServerFrame::Pong).await,
                ClientFrame::Ack { consumed, .. } => assert_eq!(consumed.0, 0),
                other => panic!("{other:?}"),
            }
        }
    }
    part.try_recv().unwrap();
    while !matches!(peer.recv().await, ClientFrame::Ack { consumed, .. } if consumed.0 == 8) {}
}

#[tokio::test(start_paused = true)]
async fn a_call_that_is_spawned_is_finished_before_a_client_without_handles_logs_out() {
    let (client, _events, mut peer) = logged_in(Client::builder()).await;
    let to = String::from("bob");
    let sent = tokio::spawn(client.send_message_to_peer(&to, "hi"));
    drop((client, to));
    let (id, _) = peer.request().await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
    assert_eq!(sent.await.unwrap().unwrap(), SendOutcome::Delivered);
    while !matches!(peer.recv().await, ClientFrame::Logout) {}
}

#[tokio::test(start_paused = true)]
async fn a_call_is_made_when_it_is_awaited_and_its_own_limit_counts_from_then() {
    let (client, _events, mut peer) = logged_in(Client::builder()).await;
    let call = client.send_message_to_peer("bob", "hi").timeout(Duration::from_secs(2));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let begun = Instant::now();
    let error = call.await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Timeout, Duration::from_secs(2)));
    let (id, _) = peer.request().await;
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
    let begun = Instant::now();
    let error = client.send_message_to_peer("bob", "hi").timeout(Duration::MAX).await.unwrap_err();
    assert_eq!(
        (error.kind(), begun.elapsed()),
        (ErrorKind::Timeout, Duration::from_secs(10)),
        "not longer than without"
    );
    let refused = client.send_message_to_peer("", "hi").timeout(Duration::from_secs(3)).await.unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::InvalidUserId);
}

#[tokio::test(start_paused = true)]
async fn logout_returns_when_the_link_is_closed() {
    let (client, mut events, mut peer) = logged_in(Client::builder()).await;
    let server = async {
        while !matches!(peer.recv().await, ClientFrame::Logout) {}
        peer.send(ServerFrame::Close(CloseReason::Logout)).await;
        assert_eq!(peer.end().await, End::Code(1000));
    };
    let (result, ()) = tokio::join!(client.logout(), server);
    result.unwrap();
    assert_eq!(state(events.recv().await), (ConnectionState::Disconnected, ConnectionChangeReason::Logout));
    assert_eq!(client.connection_state(), ConnectionState::Disconnected);
    assert_eq!(client.logout().await.unwrap_err().kind(), ErrorKind::NotLoggedIn);
}

#[tokio::test(start_paused = true)]
async fn logout_does_not_wait_for_a_server_that_is_gone() {
    let (client, _events, peer) = logged_in(Client::builder()).await;
    let begun = Instant::now();
    client.logout().await.unwrap();
    assert!(begun.elapsed() <= Duration::from_secs(3), "{:?}", begun.elapsed());
    drop(peer);
}

#[tokio::test(start_paused = true)]
async fn a_cut_link_is_made_again_and_a_call_made_meanwhile_is_sent_then() {
    let (client, mut events, peer, mut server) = logged_in_at(&Client::builder()).await;
    drop(peer);
    assert_eq!(state(events.recv().await), (ConnectionState::Reconnecting, ConnectionChangeReason::Interrupted));
    let call = tokio::spawn({
        let client = client.clone();
        async move { client.send_message_to_peer("bob", "hi").await }
    });
    let mut peer = server.accept().await;
    let login = peer.login(Resumption::Resumed).await;
    assert!(login.resume.is_some());
    assert_eq!(state(events.recv().await), (ConnectionState::Connected, ConnectionChangeReason::LoginSuccess));
    let (id, command) = peer.request().await;
    assert!(matches!(command, Command::SendMessageToPeer(_)));
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Stored)).await;
    assert_eq!(call.await.unwrap().unwrap(), SendOutcome::Stored);
}

#[tokio::test(start_paused = true)]
async fn what_the_server_says_before_it_closes_is_heard() {
    let (client, mut events, mut peer) = logged_in(Client::builder()).await;
    peer.event(message(1)).await;
    peer.close(CloseReason::RemoteLogin).await;
    assert!(matches!(events.recv().await, Some(RtmEvent::MessageFromPeer { .. })));
    assert_eq!(state(events.recv().await), (ConnectionState::Aborted, ConnectionChangeReason::RemoteLogin));
    assert_eq!(client.login("alice", None).await.unwrap_err().kind(), ErrorKind::AlreadyLogin);
}

#[tokio::test(start_paused = true)]
async fn a_server_that_breaks_the_protocol_is_left_and_called_again() {
    let (_client, mut events, mut peer, mut server) = logged_in_at(&Client::builder()).await;
    peer.garbage().await;
    assert_eq!(state(events.recv().await), (ConnectionState::Reconnecting, ConnectionChangeReason::Interrupted));
    server.accept().await.login(Resumption::New).await;
}

#[tokio::test(start_paused = true)]
async fn signs_of_life_are_given_under_a_flood_of_events() {
    let (_client, mut events, mut peer) = logged_in(Client::builder()).await;
    tokio::spawn(async move { while events.recv().await.is_some() {} });
    let begun = Instant::now();
    let mut pings = 0;
    while begun.elapsed() < Duration::from_secs(20) {
        for n in 0..1000 {
            peer.event(message(n)).await;
        }
        while let Some(frame) = peer.recv().now_or_never() {
            if frame == ClientFrame::Ping {
                pings += 1;
                peer.send(ServerFrame::Pong).await;
            }
        }
        tokio::time::advance(Duration::from_millis(100)).await;
    }
    assert!(pings >= 8, "{pings} pings in 20 s");
}

#[tokio::test(start_paused = true)]
async fn a_server_that_does_not_read_can_still_be_heard() {
    let (client, mut events, mut server) = client_over(&Client::builder(), 1024);
    let (result, (mut peer, _)) = tokio::join!(client.login("alice", None), server.accept_login());
    result.unwrap();
    assert!(events.next().await.is_some() && events.next().await.is_some());
    let call = tokio::spawn(async move { client.send_message_to_peer("bob", "x".repeat(30_000)).await });
    tokio::task::yield_now().await;
    peer.event(message(1)).await;
    assert!(matches!(events.recv().await, Some(RtmEvent::MessageFromPeer { .. })));
    let (id, _) = peer.request().await;
    peer.reply(id, Answer::SendMessageToPeer(SendOutcome::NotReceived)).await;
    assert_eq!(call.await.unwrap().unwrap(), SendOutcome::NotReceived);
}

#[tokio::test(start_paused = true)]
async fn logins_and_logouts_made_at_once_end_each_with_its_own_result() {
    let (client, _events, mut server) = client(&Client::builder());
    let (first, out, second, _) =
        tokio::join!(client.login("alice", None), client.logout(), client.login("bob", None), server.accept_login(),);
    assert_eq!(first.unwrap_err().kind(), ErrorKind::AbortedByLogout);
    out.unwrap();
    second.unwrap();
    assert_eq!(client.user_id().unwrap().as_str(), "bob");
}

#[tokio::test(start_paused = true)]
async fn a_login_ends_in_time_when_nobody_answers() {
    let (client, mut events, mut server) = client(&Client::builder().login_timeout(Duration::from_secs(3)));
    let begun = Instant::now();
    let silence = async {
        let mut streams = Vec::new();
        loop {
            streams.push(server.call().await);
        }
    };
    let error = tokio::select! {
        result = client.login("alice", None) => result.unwrap_err(),
        () = silence => unreachable!(),
    };
    assert_eq!(error.kind(), ErrorKind::Timeout);
    assert_eq!(begun.elapsed(), Duration::from_secs(3));
    assert_eq!(state(events.recv().await), (ConnectionState::Connecting, ConnectionChangeReason::Login));
    assert_eq!(state(events.recv().await), (ConnectionState::Disconnected, ConnectionChangeReason::LoginTimeout));
}

#[tokio::test(start_paused = true)]
async fn calls_reach_the_server_in_the_order_in_which_they_were_made() {
    let (client, _events, mut peer) = logged_in(Client::builder()).await;
    let mut calls = futures::stream::FuturesOrdered::new();
    for n in 0..100 {
        calls.push_back(client.send_message_to_peer("bob", n.to_string()));
    }
    let server = async {
        for n in 0..100 {
            let (id, command) = peer.request().await;
            let Command::SendMessageToPeer(send) = command else { panic!("{command:?}") };
            assert_eq!(send.message.as_text(), Some(n.to_string().as_str()));
            peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
        }
    };
    let (outcomes, ()) = tokio::join!(calls.collect::<Vec<_>>(), server);
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap() == SendOutcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn what_breaks_the_rules_is_refused_without_asking_the_server() {
    let (client, _events, mut peer) = logged_in(Client::builder()).await;
    let refused = [
        client.send_message_to_peer("", "hi").await.unwrap_err(),
        client.send_message_to_peer("bob", "").await.unwrap_err(),
        client.query_peers_online_status(["a'b"]).await.unwrap_err(),
        client.query_peers_online_status(Vec::<String>::new()).await.unwrap_err(),
        client.channel("null").unwrap_err(),
        client.set_local_user_attributes([("", "x")]).await.unwrap_err(),
        client.send_invitation("", "").await.unwrap_err(),
        client.renew_token(&"x".repeat(20_000)).await.unwrap_err(),
    ];
    let codes: Vec<_> = refused.iter().map(|error| error.code()).collect();
    assert_eq!(codes, [Some(6), Some(7), Some(0), Some(0), Some(1), Some(3), Some(1), Some(6)]);
    tokio::time::sleep(Duration::from_millis(100)).await;
    while let Some(frame) = peer.recv().now_or_never() {
        assert!(matches!(frame, ClientFrame::Ping | ClientFrame::Ack { .. }), "{frame:?}");
    }
}

async fn logged_in(builder: crate::ClientBuilder) -> (Client, Events, Peer) {
    let (client, events, peer, _) = logged_in_at(&builder).await;
    (client, events, peer)
}

/// A client whose calls wait for these limits.
async fn logged_in_with_limits(limits: CallLimits) -> (Client, Events, Peer) {
    logged_in(Client::builder().call_limits(limits).wait_for_limits(true)).await
}

/// A client that is logged in, its two events of that taken.
async fn logged_in_at(builder: &crate::ClientBuilder) -> (Client, Events, Peer, Switchboard) {
    let (client, mut events, mut server) = client(builder);
    let (result, (peer, _)) = tokio::join!(client.login("alice", None), server.accept_login());
    result.unwrap();
    assert!(events.try_recv().is_some() && events.try_recv().is_some());
    (client, events, peer, server)
}

fn message(n: u64) -> Event {
    Event::MessageFromPeer(PeerMessage {
        message_id: MessageId(n),
        peer_id: UserId::new("bob").unwrap(),
        message: RtmMessage::text(format!("message {n}")),
        is_offline_message: false,
        server_received_ts: 0,
    })
}

fn state(event: Option<RtmEvent>) -> (ConnectionState, ConnectionChangeReason) {
    match event {
        Some(RtmEvent::ConnectionStateChanged { state, reason, .. }) => (state, reason),
        other => panic!("no change of state: {other:?}"),
    }
}
