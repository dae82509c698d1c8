//! Users as a test sees them: a client, and what comes to it.
#![allow(dead_code, reason = "not all tests use all of it")]

use std::{fmt::Debug, time::Duration};

use rtm_client::{CallLimits, Client, ConnectionState, RtmEvent, Wire};
use tokio::{
    sync::mpsc::{UnboundedReceiver, unbounded_channel},
    time::timeout,
};

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// A user's client.
pub(crate) struct User {
    pub(crate) client: Client,
    /// Read from the client as they come, since one that is not read is sent no more after a while.
    events: UnboundedReceiver<RtmEvent>,
    pub(crate) name: String,
}

impl User {
    /// The first event, from the next one on, that is wanted. Others are passed over.
    pub(crate) async fn event(&mut self, what: &str, wanted: impl Fn(&RtmEvent) -> bool) -> RtmEvent {
        let next = async {
            loop {
                let event = self.events.recv().await.unwrap_or_else(|| panic!("{} has ended", self.name));
                if wanted(&event) {
                    return event;
                }
            }
        };
        timeout(LIMIT, next).await.unwrap_or_else(|_| panic!("{what} does not come to {}", self.name))
    }

    /// What has come since the last time.
    pub(crate) fn so_far(&mut self) -> Vec<RtmEvent> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// A message to another user arrives, and its sender learns it.
    pub(crate) async fn tells(&self, other: &mut Self, text: &str) {
        let sent = soon("sending", self.client.send_message_to_peer(&other.name, text)).await.unwrap();
        assert!(sent.has_peer_received(), "{text} from {} to {}: {sent:?}", self.name, other.name);
        let from = self.name.as_str();
        other.event(text, |event| is_text(event, from, text)).await;
    }
}

/// Whether an event is a text from this user, to its receiver or to a channel.
pub(crate) fn is_text(event: &RtmEvent, from: &str, text: &str) -> bool {
    match event {
        RtmEvent::MessageFromPeer { peer_id, message, .. } => {
            peer_id.as_str() == from && message.as_text() == Some(text)
        }
        RtmEvent::ChannelMessage { member_id, message, .. } => {
            member_id.as_str() == from && message.as_text() == Some(text)
        }
        _ => false,
    }
}

/// Users that may be anywhere talk, meet in a channel, and see one of them go.
pub(crate) async fn meet(users: &mut [User]) {
    for from in 0..users.len() {
        for to in (0..users.len()).filter(|to| *to != from) {
            let [sender, receiver] = users.get_disjoint_mut([from, to]).unwrap();
            sender.tells(receiver, &format!("from {from} to {to}")).await;
        }
    }

    let mut names: Vec<_> = users.iter().map(|user| user.name.clone()).collect();
    names.sort();
    let mut channels = Vec::new();
    for user in users.iter() {
        let channel = user.client.channel("room").unwrap();
        soon("joining", channel.join()).await.unwrap();
        channels.push(channel);
    }
    for (from, channel) in channels.iter().enumerate() {
        let text = format!("all, from {from}");
        soon("sending", channel.send_message(text.as_str())).await.unwrap();
        let sender = users[from].name.clone();
        for user in users.iter_mut().filter(|user| user.name != sender) {
            user.event(&text, |event| is_text(event, &sender, &text)).await;
        }
        let mut members = soon("asking", channel.members()).await.unwrap();
        members.sort();
        assert!(members.iter().map(|member| member.as_str()).eq(&names), "{members:?}");
    }

    let gone = users[2].name.clone();
    let watcher = &mut users[1];
    soon("watching", watcher.client.subscribe_peers_online_status([&gone])).await.unwrap();
    drop(channels);
    soon("leaving", users[2].client.logout()).await.unwrap();
    let left = |event: &RtmEvent| matches!(event, RtmEvent::MemberLeft { member_id, .. } if member_id.as_str() == gone);
    users[0].event("a member that left", left).await;
    users[1].event("a state", |event| matches!(event, RtmEvent::PeersOnlineStatusChanged { .. })).await;
}

/// Logs a user in at one of these gateways.
pub(crate) async fn log_in(wire: Wire, name: &str, gateways: &[String]) -> User {
    let mut builder = Client::builder().app_id(APP_ID).wire(wire).call_limits(CallLimits::unlimited());
    for gateway in gateways {
        builder = builder.gateway(gateway);
    }
    let (client, mut all) = builder.build().unwrap();
    let (came, events) = unbounded_channel();
    tokio::spawn(async move {
        while let Some(event) = all.recv().await {
            // The user may be gone.
            let _ = came.send(event);
        }
    });
    soon("logging in", client.login(name, None)).await.unwrap();
    let mut user = User { client, events, name: name.to_owned() };
    user.event("login", |event| {
        matches!(event, RtmEvent::ConnectionStateChanged { state: ConnectionState::Connected, .. })
    })
    .await;
    user
}

/// What may not take long.
pub(crate) async fn soon<T: Debug>(what: &str, doing: impl IntoFuture<Output = T>) -> T {
    timeout(LIMIT, doing.into_future()).await.unwrap_or_else(|_| panic!("{what} takes too long"))
}

pub(crate) const LIMIT: Duration = Duration::from_secs(40);
