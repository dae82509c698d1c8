//! A server in the process, and clients of it.

use std::time::Duration;

use rtm_client::{CallLimits, Client, ClientBuilder, ConnectionState, Events, RtmEvent, Wire};
use rtm_server::{AppId, ProjectConfig, Server};
use tokio::time::timeout;

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";
pub(crate) const WIRES: [Wire; 2] = [Wire::Native, Wire::Vendor];

/// An open project on a port of its own.
pub(crate) async fn server() -> Server {
    Server::builder().project(project()).bind("127.0.0.1:0").await.unwrap()
}

/// A project in which tests may log in as often as they like.
pub(crate) fn project() -> ProjectConfig {
    let mut project = ProjectConfig::new(AppId::new(APP_ID).unwrap());
    project.limits = CallLimits::unlimited();
    project
}

pub(crate) fn builder(server: &Server) -> ClientBuilder {
    let gateway = format!("http://{}", server.local_addr());
    Client::builder().gateway(gateway).app_id(APP_ID).call_limits(CallLimits::unlimited())
}

/// A client that is logged in, its two events of that taken.
pub(crate) async fn login(server: &Server, wire: Wire, user_id: &str) -> (Client, Events) {
    let (client, mut events) = builder(server).wire(wire).build().unwrap();
    client.login(user_id, None).await.unwrap();
    assert!(matches!(
        (events.try_recv(), events.try_recv()),
        (
            Some(RtmEvent::ConnectionStateChanged { state: ConnectionState::Connecting, .. }),
            Some(RtmEvent::ConnectionStateChanged { state: ConnectionState::Connected, .. })
        )
    ));
    (client, events)
}

/// What `choose` makes of the first event that it makes something of. Other events are passed over.
pub(crate) async fn next<T>(events: &mut Events, mut choose: impl FnMut(RtmEvent) -> Option<T>) -> T {
    let mut passed = Vec::new();
    let wanted = async {
        loop {
            let event = events.recv().await.expect("the stream goes on");
            passed.push(format!("{event:?}"));
            if let Some(wanted) = choose(event) {
                return wanted;
            }
        }
    };
    match timeout(Duration::from_secs(20), wanted).await {
        Ok(wanted) => wanted,
        Err(_) => panic!("the event did not come; there were {passed:#?}"),
    }
}

/// The next message of a peer, as text, with whether it was stored.
pub(crate) async fn message(events: &mut Events) -> (String, String, bool) {
    next(events, |event| match event {
        RtmEvent::MessageFromPeer { message, peer_id, properties, .. } => {
            Some((peer_id.to_string(), message.as_text()?.to_owned(), properties.is_offline_message))
        }
        _ => None,
    })
    .await
}

/// Waits until the connection is in this state.
pub(crate) async fn state(events: &mut Events, wanted: ConnectionState) -> rtm_client::ConnectionChangeReason {
    next(events, |event| match event {
        RtmEvent::ConnectionStateChanged { state, reason, .. } if state == wanted => Some(reason),
        _ => None,
    })
    .await
}
