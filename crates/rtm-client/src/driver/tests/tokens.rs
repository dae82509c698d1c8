//! Tokens: where they come from, which one is shown, and logging in again after one ended a session.

use super::*;

#[tokio::test(start_paused = true)]
async fn a_token_is_fetched_for_the_login_and_when_it_ends_soon() {
    let count = AtomicU32::new(0);
    let builder = Client::builder().token_provider(move |user_id: UserId| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        async move { Ok::<_, std::io::Error>(format!("{user_id}-{n}")) }
    });
    let (client, mut events, mut server) = client(&builder);
    let (result, (mut peer, login)) = tokio::join!(client.login("alice", None), server.accept_login());
    result.unwrap();
    assert_eq!(login.token.unwrap().expose(), "alice-0");
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 }).await;
    let (id, command) = peer.request().await;
    let Command::RenewToken(renew) = command else { panic!("{command:?}") };
    assert_eq!(renew.token.expose(), "alice-1");
    peer.reply(id, Answer::RenewToken(())).await;
    events.next().await.unwrap();
    events.next().await.unwrap();
    assert_eq!(events.next().await, Some(RtmEvent::TokenWillExpire));
}

#[tokio::test(start_paused = true)]
async fn a_session_that_ended_with_its_token_is_followed_by_another_if_that_is_wanted() {
    use ConnectionChangeReason as Reason;
    use ConnectionState::{Aborted, Connected, Connecting, Disconnected};

    let count = AtomicU32::new(0);
    let builder =
        Client::builder().relogin(Duration::from_secs(1), Duration::from_secs(60)).token_provider(move |_| {
            let n = count.fetch_add(1, Ordering::Relaxed);
            async move { if n == 1 { Err("no network".to_owned()) } else { Ok(format!("token {n}")) } }
        });
    let (client, mut events, mut server) = client(&builder);
    let (result, (peer, _)) = tokio::join!(client.login("alice", None), server.accept_login());
    result.unwrap();
    let begun = Instant::now();
    peer.close(CloseReason::TokenExpired).await;
    // The provider fails at the first attempt.
    let (_peer, login) = server.accept_login().await;
    assert_eq!((login.user_id.unwrap().as_str(), login.token.unwrap().expose()), ("alice", "token 2"));
    assert!((1500..=3000).contains(&begun.elapsed().as_millis()), "{:?}", begun.elapsed());
    let mut told = Vec::new();
    while told.len() < 8 {
        if let Some(RtmEvent::ConnectionStateChanged { state, reason, .. }) = events.recv().await {
            told.push((state, reason));
        }
    }
    let relogin = [
        (Aborted, Reason::TokenExpired),
        (Disconnected, Reason::Logout),
        (Connecting, Reason::Login),
        (Disconnected, Reason::LoginFailure),
        (Connecting, Reason::Login),
        (Connected, Reason::LoginSuccess),
    ];
    assert_eq!(told[2..8], relogin);
}

#[tokio::test(start_paused = true)]
async fn a_remote_login_and_a_logout_end_the_logging_in_again() {
    let builder = || Client::builder().relogin(Duration::from_secs(1), Duration::from_secs(60));
    let hour = Duration::from_secs(3600);
    for reason in [CloseReason::RemoteLogin, CloseReason::TokenExpired] {
        // Without a provider there is no other token.
        let (client, _events, peer) = logged_in(builder()).await;
        peer.close(reason).await;
        tokio::time::sleep(hour).await;
        assert_eq!(client.connection_state(), ConnectionState::Aborted, "{reason:?}");
    }
    let (client, _events, peer) = logged_in(builder()).await;
    peer.close(CloseReason::Banned).await;
    tokio::time::sleep(Duration::from_millis(100)).await;
    client.logout().await.unwrap();
    tokio::time::sleep(hour).await;
    assert_eq!(client.connection_state(), ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_or_panics_costs_the_login_and_nothing_else() {
    let (client, _events, _server) =
        client(&Client::builder().token_provider(async |_| Err::<String, _>("no network")));
    let error = client.login("alice", None).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::ProviderFailed);
    assert_eq!(format!("{error:#}"), "the token provider failed (code 1): no network");

    let asked = Arc::new(AtomicBool::new(false));
    let builder = Client::builder().token_provider({
        let asked = Arc::clone(&asked);
        move |_| {
            asked.store(true, Ordering::Relaxed);
            async { panic!("the provider's own fault") as Result<String, std::io::Error> }
        }
    });
    let (client, mut events, mut server) = self::client(&builder);
    let (result, (mut peer, _)) = tokio::join!(client.login("alice", Some("t")), server.accept_login());
    result.unwrap();
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 }).await;
    while events.recv().await != Some(RtmEvent::TokenWillExpire) {}
    let needed = events.recv().await;
    assert!(matches!(needed, Some(RtmEvent::TokenNeeded { error: ErrorKind::ProviderFailed, .. })), "{needed:?}");
    assert!(asked.swap(false, Ordering::Relaxed));
    peer.event(message(1)).await;
    assert!(matches!(events.recv().await, Some(RtmEvent::MessageFromPeer { .. })));
    // And it is asked again.
    let needed = events.recv().await;
    assert!(matches!(needed, Some(RtmEvent::TokenNeeded { error: ErrorKind::ProviderFailed, .. })), "{needed:?}");
    assert!(asked.load(Ordering::Relaxed));
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_fails_is_asked_again_until_it_has_a_token() {
    let count = AtomicU32::new(0);
    let builder = Client::builder().token_provider(move |_| {
        let n = count.fetch_add(1, Ordering::Relaxed);
        async move { if n == 0 || n == 3 { Ok(format!("token-{n}")) } else { Err("not now") } }
    });
    let (client, _events, mut server) = client(&builder);
    let (result, (mut peer, _)) = tokio::join!(client.login("alice", None), server.accept_login());
    result.unwrap();
    let warned = Instant::now();
    peer.event(Event::TokenWillExpire { expires_in_ms: 30_000 }).await;
    let (_, command) = peer.request().await;
    let Command::RenewToken(renew) = command else { panic!("{command:?}") };
    assert_eq!(renew.token.expose(), "token-3");
    assert!((1500..=3000).contains(&warned.elapsed().as_millis()), "{:?}", warned.elapsed());
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_hangs_does_not_hold_up_the_login_beyond_its_time() {
    let builder = Client::builder()
        .login_timeout(Duration::from_secs(2))
        .token_provider(|_| std::future::pending::<Result<String, std::io::Error>>());
    let (client, _events, _server) = client(&builder);
    let begun = Instant::now();
    let error = client.login("alice", None).await.unwrap_err();
    assert_eq!((error.kind(), begun.elapsed()), (ErrorKind::Timeout, Duration::from_secs(2)));
    assert_eq!(client.connection_state(), ConnectionState::Disconnected);
}

#[tokio::test(start_paused = true)]
async fn logging_in_again_shows_the_last_token_that_the_server_took() {
    let builder = Client::builder().relogin(Duration::from_secs(1), Duration::from_secs(60));
    let (client, _events, mut server) = client(&builder);
    let (result, (mut peer, _)) = tokio::join!(client.login("alice", Some("first")), server.accept_login());
    result.unwrap();
    let renew = async |peer: &mut Peer, token: &str, result: Result<Answer, Refusal>| {
        let server = async {
            let (id, _) = peer.request().await;
            peer.send(ServerFrame::Reply { id, result }).await;
        };
        tokio::join!(client.renew_token(token), server).0
    };
    renew(&mut peer, "refused", Err(ErrorKind::InvalidToken.into())).await.unwrap_err();
    peer.close(CloseReason::Banned).await;
    let (mut peer, login) = server.accept_login().await;
    assert_eq!(login.token.unwrap().expose(), "first");
    // Until the client has read the answer.
    tokio::time::sleep(Duration::from_millis(1)).await;
    renew(&mut peer, "second", Ok(Answer::RenewToken(()))).await.unwrap();
    peer.close(CloseReason::Banned).await;
    let (_peer, login) = server.accept_login().await;
    assert_eq!(login.token.unwrap().expose(), "second");
}

#[cfg(feature = "vendor")]
#[tokio::test(start_paused = true)]
async fn on_the_vendors_wire_a_renewed_token_counts_once_it_has_let_the_client_in() {
    use rtm_codec::anyrtc::gateway::{Address, GatewayAnswer, StoredPage};

    let builder = Client::builder().wire(rtm_codec::Wire::Vendor);
    let builder = builder.relogin(Duration::from_secs(1), Duration::from_secs(60));
    let (client, _events, mut server) = client(&builder);
    // The gateway names a server, that answers the login as the test wishes, and the stored messages are fetched.
    let connect = async |server: &mut Switchboard| {
        let addresses = vec![Address { host: "server".into(), port: 7000 }];
        server.answer_post(GatewayAnswer::Connect { session: "session".into(), addresses }).await;
        server.accept().await
    };
    let let_in = async |server: &mut Switchboard| {
        let mut peer = connect(server).await;
        let login = peer.login(Resumption::New).await;
        server.answer_post(GatewayAnswer::OfflineMessages(StoredPage::default())).await;
        (peer, login.token.unwrap().expose().to_owned())
    };
    let (result, (peer, _)) = tokio::join!(client.login("alice", Some("first")), let_in(&mut server));
    result.unwrap();
    client.renew_token("refused").await.unwrap();
    drop(peer);
    let mut peer = connect(&mut server).await;
    let ClientFrame::Login(login) = peer.recv().await else { panic!("no login") };
    assert_eq!(login.token.unwrap().expose(), "refused");
    peer.send(ServerFrame::Refused(ErrorKind::InvalidToken.into())).await;
    drop(peer);
    let (peer, token) = let_in(&mut server).await;
    assert_eq!(token, "first");
    peer.close(CloseReason::Banned).await;
    let (_peer, token) = let_in(&mut server).await;
    assert_eq!(token, "first");
}

#[tokio::test(start_paused = true)]
async fn the_token_of_one_user_is_not_taken_for_another() {
    let may_go_on = Arc::new(Notify::new());
    let builder = Client::builder().token_provider({
        let may_go_on = Arc::clone(&may_go_on);
        move |user_id: UserId| {
            let may_go_on = Arc::clone(&may_go_on);
            async move {
                if user_id.as_str() == "alice" {
                    may_go_on.notified().await;
                }
                Ok::<_, std::io::Error>(format!("token-of-{user_id}"))
            }
        }
    });
    let (client, _events, mut server) = client(&builder);
    let mut alice = client.login("alice", None);
    assert!(timeout(Duration::from_millis(10), &mut alice).await.is_err());
    // The provider is done before the task hears of the logout and the other login, both at once.
    may_go_on.notify_one();
    let (logout, bob, (_peer, login)) = tokio::join!(client.logout(), client.login("bob", None), server.accept_login());
    logout.unwrap();
    bob.unwrap();
    assert_eq!(login.token.unwrap().expose(), "token-of-bob");
    assert_eq!(alice.await.unwrap_err().kind(), ErrorKind::AbortedByLogout);
}
