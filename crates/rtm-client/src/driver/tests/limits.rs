//! Calls that wait for their limit.

use super::*;

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_their_limit_go_out_in_their_order_and_as_soon_as_they_may() {
    let mut limits = CallLimits::unlimited();
    limits.set(LimitedCall::SendMessage, CallLimit::new(10, Duration::from_secs(1)));
    let (client, _events, mut peer) = logged_in_with_limits(limits).await;
    let begun = Instant::now();
    let mut calls = futures::stream::FuturesUnordered::new();
    for n in 0..100 {
        calls.push(client.send_message_to_peer("bob", n.to_string()));
    }
    let server = async {
        for n in 0..100 {
            let (id, command) = peer.request().await;
            let Command::SendMessageToPeer(send) = command else { panic!("{command:?}") };
            assert_eq!(send.message.as_text(), Some(n.to_string().as_str()));
            peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
        }
    };
    let all = async {
        while let Some(result) = calls.next().await {
            result.unwrap();
        }
    };
    tokio::join!(all, server);
    assert_eq!(begun.elapsed().as_millis() / 125, 9 * 9, "nine windows, each with its reserve: {:?}", begun.elapsed());
}

#[tokio::test(start_paused = true)]
async fn calls_that_wait_for_their_limit_are_within_it_on_the_server_though_the_first_came_late() {
    let limit = CallLimit::new(10, Duration::from_secs(1));
    let mut limits = CallLimits::unlimited();
    limits.set(LimitedCall::SendMessage, limit);
    let (client, _events, mut peer) = logged_in_with_limits(limits).await;
    let calls: futures::stream::FuturesUnordered<_> =
        (0..30).map(|n| client.send_message_to_peer("bob", n.to_string())).collect();
    let server = async {
        let (mut counted, begun) = (CallLimiter::default(), Instant::now());
        for n in 0..30 {
            let (id, _) = peer.request().await;
            if n < 10 {
                // The way takes 120 ms for the first calls, and nothing for those that follow.
                tokio::time::sleep_until(begun + Duration::from_millis(120)).await;
            }
            assert_eq!(counted.try_call(limit, begun.elapsed()), Ok(()), "call {n} came too early");
            peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
        }
    };
    let (outcomes, ()) = tokio::join!(calls.collect::<Vec<_>>(), server);
    assert!(outcomes.into_iter().all(|outcome| outcome.unwrap() == SendOutcome::Delivered));
}

#[tokio::test(start_paused = true)]
async fn a_logout_ends_calls_that_wait_for_their_limit() {
    let mut limits = CallLimits::unlimited();
    limits.set(LimitedCall::SendMessage, CallLimit::new(1, Duration::from_secs(3600)));
    let (client, _events, _peer) = logged_in_with_limits(limits.clone()).await;
    let waits = async {
        let (first, second) =
            tokio::join!(client.send_message_to_peer("bob", "1"), client.send_message_to_peer("bob", "2"));
        assert_eq!(first.unwrap_err().kind(), ErrorKind::AbortedByLogout);
        assert_eq!(second.unwrap_err().kind(), ErrorKind::AbortedByLogout);
    };
    let logout = async {
        tokio::time::sleep(Duration::from_secs(1)).await;
        client.logout().await.unwrap();
    };
    tokio::join!(waits, logout);

    let (client, _events, mut peer) = logged_in_with_limits(limits).await;
    let waits = async {
        let (first, second) =
            tokio::join!(client.send_message_to_peer("bob", "1"), client.send_message_to_peer("bob", "2"));
        first.unwrap();
        assert_eq!(second.unwrap_err().kind(), ErrorKind::NotLoggedIn);
    };
    let end = async {
        let (id, _) = peer.request().await;
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
        peer.close(CloseReason::RemoteLogin).await;
    };
    tokio::join!(waits, end);
}

#[tokio::test(start_paused = true)]
async fn a_call_does_not_overtake_those_that_wait_though_no_more_may() {
    let builder = Client::builder().call_limits(CallLimits::unlimited()).wait_for_limits(true);
    let (client, _events, mut peer) = logged_in(builder).await;
    assert!(client.send_message_to_peer("bob", "0").now_or_never().is_none());
    let (id, _) = peer.request().await;
    let refusal = Refusal::too_often(Duration::from_secs(3600));
    peer.send(ServerFrame::Reply { id, result: Err(refusal) }).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    for n in 1..4096 {
        assert!(client.send_message_to_peer("bob", n.to_string()).now_or_never().is_none());
    }
    let error = client.send_message_to_peer("bob", "4096").await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::TooOften, "{error}");
    while let Some(frame) = peer.recv().now_or_never() {
        assert!(matches!(frame, ClientFrame::Ping | ClientFrame::Ack { .. }), "{frame:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_that_was_polled_once_has_its_turn_however_many_wait_and_though_it_is_dropped() {
    let (client, _events, mut peer) = logged_in(Client::builder().call_limits(CallLimits::unlimited())).await;
    for n in 0..3000 {
        assert!(client.send_message_to_peer("bob", n.to_string()).now_or_never().is_none());
    }
    for n in 0..3000 {
        let (id, command) = peer.request().await;
        let Command::SendMessageToPeer(send) = command else { panic!("{command:?}") };
        assert_eq!(send.message.as_text(), Some(n.to_string().as_str()));
        peer.reply(id, Answer::SendMessageToPeer(SendOutcome::Delivered)).await;
    }
}
