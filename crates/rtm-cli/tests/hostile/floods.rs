//! Clients that call far more often than they may, and addresses that do.

use futures::{StreamExt as _, future::join_all, stream};
use rtm_client::{Client, ErrorKind, HistoryQuery, LimitedCall, RtmError, Wire};
use tokio::io::AsyncReadExt;

use crate::{
    raw::Raw,
    server::{Options, Server, soon},
    witnesses::Witnesses,
};

const CALLS: usize = 1000;
const ALLOWANCE_KIB: u64 = 16 * 1024;

/// The call that draws on a budget. A login is refused at the gate, see below. A project without certificates takes any
/// token.
async fn call(client: &Client, limited: LimitedCall, number: usize) -> Option<Result<(), RtmError>> {
    let own = client.user_id()?;
    let done = |result: Result<_, RtmError>| Some(result);
    match limited {
        LimitedCall::Login => None,
        LimitedCall::RenewToken => done(client.renew_token(&format!("token {number}")).await),
        LimitedCall::SendMessage => done(client.send_message_to_peer("nobody", "x").await.map(drop)),
        LimitedCall::JoinChannel => done(client.channel(format!("flood-{number}")).ok()?.join().await),
        LimitedCall::JoinSameChannel => {
            let channel = client.channel("same").ok()?;
            let joined = channel.join().await;
            let _ = channel.leave().await;
            done(joined)
        }
        LimitedCall::GetMembers => done(client.channel("same").ok()?.members().await.map(drop)),
        LimitedCall::GetChannelMemberCount => done(client.channel_member_count(["same"]).await.map(drop)),
        LimitedCall::QueryPeersOnlineStatus => done(client.query_peers_online_status(["nobody"]).await.map(drop)),
        LimitedCall::SubscribePeersOnlineStatus => done(client.subscribe_peers_online_status(["nobody"]).await),
        LimitedCall::UnsubscribePeersOnlineStatus => done(client.unsubscribe_peers_online_status(["nobody"]).await),
        LimitedCall::QueryPeersBySubscriptionOption => done(client.subscribed_peers().await.map(drop)),
        LimitedCall::WriteUserAttributes => done(client.set_local_user_attributes([("key", "value")]).await),
        LimitedCall::ReadUserAttributes => done(client.user_attributes(&own).await.map(drop)),
        LimitedCall::WriteChannelAttributes => {
            done(client.set_channel_attributes("same", [("key", "value")], Default::default()).await.map(drop))
        }
        LimitedCall::ReadChannelAttributes => done(client.channel_attributes("same").await.map(drop)),
        LimitedCall::QueryHistory => done(client.query_peer_history("nobody", HistoryQuery::default()).await.map(drop)),
        LimitedCall::SendInvitation => done(client.send_invitation("nobody", "").await.map(drop)),
        other => panic!("{other:?} has no flood here"),
    }
}

#[tokio::test]
async fn a_flood_over_each_limit_is_refused_and_costs_nobody_else_anything() {
    let server = Server::start(Options::default());
    let mut witnesses = Witnesses::of(&server).await;
    let before = server.level();
    for limited in LimitedCall::ALL {
        for wire in [Wire::Native, Wire::Vendor] {
            let (client, _events) = server.log_in(wire, &format!("{}-{wire:?}", limited.as_str())).await;
            if limited == LimitedCall::GetMembers {
                client.channel("same").unwrap().join().await.unwrap();
            }
            // Joining and leaving the same channel at once would only undo one another.
            let at_once = if limited == LimitedCall::JoinSameChannel { 1 } else { 200 };
            let calls =
                stream::iter(0..CALLS).map(|number| call(&client, limited, number)).buffer_unordered(at_once).collect();
            let results: Vec<Option<Result<(), RtmError>>> = soon(limited.as_str(), calls).await;
            let Some(results): Option<Vec<_>> = results.into_iter().collect() else { continue };
            let refused = results.iter().filter(|result| {
                result.as_ref().is_err_and(|error| match error.kind() {
                    ErrorKind::TooOften => true,
                    ErrorKind::ExceedLimit => limited == LimitedCall::JoinChannel,
                    ErrorKind::SameChannelTooOften => limited == LimitedCall::JoinSameChannel,
                    // The vendor has no number that says of an invitation that it comes too often.
                    ErrorKind::InvalidArgument => limited == LimitedCall::SendInvitation && wire == Wire::Vendor,
                    _ => false,
                })
            });
            // The vendor's wire has no answer to a new token.
            if limited != LimitedCall::RenewToken || wire != Wire::Vendor {
                assert!(refused.count() > CALLS / 2, "{limited:?} on {wire:?}: {:?}", results.last());
            }
            assert!(results.iter().any(Result::is_ok), "{limited:?} on {wire:?}");
            witnesses.notice_nothing().await;
            client.logout().await.unwrap();
            server.returns_to(before, ALLOWANCE_KIB).await;
        }
    }
}

#[tokio::test]
async fn one_user_who_logs_in_too_often_is_refused_and_others_are_not() {
    let server = Server::start(Options::default());
    let mut witnesses = Witnesses::of(&server).await;
    let before = server.level();
    for wire in [Wire::Native, Wire::Vendor] {
        let logins = (0..60).map(async |_| {
            let (client, events) = server.client(wire).build().unwrap();
            let done = client.login(format!("eager-{wire:?}"), None).await;
            (done, client, events)
        });
        let done = join_all(logins).await;
        let refused =
            done.iter().filter(|(done, ..)| matches!(done, Err(error) if error.kind() == ErrorKind::TooOften));
        let (refused, good) = (refused.count(), done.iter().filter(|(done, ..)| done.is_ok()).count());
        // The vendor's SDK must not hear of it: it is let wait.
        assert!(good > 0 && (refused > 0 || wire == Wire::Vendor), "{wire:?}: {refused} refused, {good} not");
    }
    witnesses.notice_nothing().await;
    let (another, _events) = server.log_in(Wire::Native, "another").await;
    another.logout().await.unwrap();
    server.returns_to(before, ALLOWANCE_KIB).await;
}

#[tokio::test]
async fn an_address_that_connects_too_often_is_turned_away_and_who_is_there_stays() {
    let server = "max_connections_per_address = 50\nconnects_per_address = \"300/1h\"";
    let server = Server::start(Options { server, ..Options::default() });
    let mut witnesses = Witnesses::of(&server).await;
    let before = server.level();
    for _ in 0..3 {
        let crowd = join_all((0..150).map(|_| Raw::connect(server.address))).await;
        let turned_away = join_all(crowd.into_iter().map(async |mut raw| {
            // Who was let in hears nothing until the time for its handshake is over; it leaves before.
            let heard = tokio::time::timeout(std::time::Duration::from_millis(300), raw.stream.read_u8()).await;
            usize::from(heard.is_ok())
        }));
        let turned_away: usize = turned_away.await.into_iter().sum();
        assert!(turned_away >= 100, "{turned_away} of 150");
        witnesses.notice_nothing().await;
        server.returns_to(before, ALLOWANCE_KIB).await;
    }
    // Another address is not touched.
    let mut other = Raw::connect_from(7, server.address).await;
    other.shake_hands(Wire::Native).await;
}
