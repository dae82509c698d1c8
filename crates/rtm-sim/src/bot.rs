//! A user that does this and that, as chance has it.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{
    AddOrUpdateChannelAttributes, AddOrUpdateLocalUserAttributes, AttributeKey, ChannelAttributeTarget, ChannelId,
    ClearLocalUserAttributes, DeleteLocalUserAttributesByKeys, GetChannelMemberCount, GetMembers, GetUserAttributes,
    HistoryOf, MessageId, QueryHistory, QueryPeersOnlineStatus, RtmMessage, SendChannelMessage, SendMessageToPeer,
    SetLocalUserAttributes, SubscribePeersOnlineStatus, Text, Token, UnsubscribePeersOnlineStatus, UserId, Wire,
};
use rtm_connection::{ConnectionState, LocalInvitation, RemoteInvitation, RtmEvent};

use crate::app::{App, Handle, Input};

/// What a bot knows of its world.
#[derive(Debug, Clone)]
pub(crate) struct Plan {
    pub(crate) users: Vec<UserId>,
    pub(crate) channels: Vec<ChannelId>,
    /// The mean pause between two things that it does.
    pub(crate) pause: Duration,
    /// Until when it does things.
    pub(crate) until: Duration,
    /// When it logs out for good.
    pub(crate) leaves_at: Duration,
    /// The largest message that it sends now and then.
    pub(crate) large: usize,
    /// Whether it stays logged in: its sessions last.
    pub(crate) stays: bool,
    /// Whether its messages may wait for users that are not there.
    pub(crate) stores: bool,
    /// Whether it only comes for a while now and then, as a second device does.
    pub(crate) is_guest: bool,
    /// Whether it leaves it to its token provider to renew the token.
    pub(crate) has_provider: bool,
}

/// The bot.
#[derive(Debug)]
pub(crate) struct Bot {
    plan: Plan,
    said: u64,
    /// Whether it wants to be logged in.
    wants: bool,
    sent: Vec<LocalInvitation>,
    received: Vec<RemoteInvitation>,
}

impl Bot {
    pub(crate) fn new(plan: Plan) -> Self {
        Self { plan, said: 0, wants: false, sent: Vec::new(), received: Vec::new() }
    }

    fn act(&mut self, client: &mut Handle<'_>) {
        match client.random(100) {
            0..30 => self.send_to_peer(client),
            30..55 => self.send_to_channel(client),
            55..63 => self.join_or_leave(client),
            63..71 => self.invite(client),
            71..74 => {
                if let Some(invitation) = take_some(client, &mut self.sent) {
                    client.cancel_invitation(&invitation, "never mind");
                }
            }
            74..80 => self.subscribe(client),
            80..88 => self.attributes(client),
            88..94 => self.ask(client),
            94..97 => {
                // Several at once, so that there is something under way.
                for _ in 0..3 + client.random(12) {
                    if client.random(2) == 0 { self.send_to_peer(client) } else { self.send_to_channel(client) }
                }
            }
            _ => self.go(client),
        }
    }

    /// Logs out, for a while.
    fn go(&mut self, client: &mut Handle<'_>) {
        if !self.plan.stays && client.random(3) == 0 {
            self.wants = false;
            // An error says that it is not logged in.
            let _ = client.logout();
            let pause = Duration::from_millis(client.random(20_000) as u64);
            client.after(pause, LOG_IN);
        }
    }

    fn peer(&self, client: &mut Handle<'_>) -> UserId {
        self.plan.users[client.random(self.plan.users.len())].clone()
    }

    fn channel(&self, client: &mut Handle<'_>) -> ChannelId {
        self.plan.channels[client.random(self.plan.channels.len())].clone()
    }

    fn message(&mut self, client: &mut Handle<'_>) -> RtmMessage {
        self.said += 1;
        let second = if self.plan.is_guest { "'s tablet" } else { "" };
        let mut text = format!("{}{second}-{}", client.user_id(), self.said);
        if client.random(12) == 0 {
            let size = client.random(self.plan.large.max(1));
            text.extend(std::iter::repeat_n('x', size.saturating_sub(text.len())));
        }
        if client.wire() == Wire::Native && client.random(15) == 0 {
            return RtmMessage::binary(text.into_bytes());
        }
        RtmMessage::text(text)
    }

    fn send_to_peer(&mut self, client: &mut Handle<'_>) {
        let (peer_id, message) = (self.peer(client), self.message(client));
        let (keep, record) = (client.random(5) < 3, client.random(5) == 0);
        client.request(SendMessageToPeer {
            message_id: MessageId(0),
            peer_id,
            message,
            enable_offline_messaging: keep && self.plan.stores,
            enable_historical_messaging: record,
        });
    }

    fn send_to_channel(&mut self, client: &mut Handle<'_>) {
        let joined = client.channels();
        if joined.is_empty() {
            return self.join_or_leave(client);
        }
        let channel_id = joined[client.random(joined.len())].clone();
        let message = self.message(client);
        let record = client.random(5) == 0;
        client.request(SendChannelMessage {
            message_id: MessageId(0),
            channel_id,
            message,
            enable_historical_messaging: record,
        });
    }

    fn join_or_leave(&mut self, client: &mut Handle<'_>) {
        let channel_id = self.channel(client);
        if !client.channels().contains(&channel_id) {
            client.join(&channel_id);
        } else if client.random(3) == 0 {
            client.leave(&channel_id);
        }
    }

    fn invite(&mut self, client: &mut Handle<'_>) {
        let callee = self.peer(client);
        if callee != *client.user_id() {
            let (invitation, _) = client.invite(&callee, "come");
            self.sent.push(invitation);
        }
    }

    fn subscribe(&mut self, client: &mut Handle<'_>) {
        let mut peer_ids = vec![self.peer(client)];
        if client.random(2) == 0 {
            peer_ids = self.plan.users.clone();
        }
        if client.random(4) == 0 {
            client.request(UnsubscribePeersOnlineStatus { peer_ids });
        } else {
            client.request(SubscribePeersOnlineStatus { peer_ids });
        }
    }

    fn attributes(&mut self, client: &mut Handle<'_>) {
        self.said += 1;
        let key = AttributeKey::new(["city", "mood", "seat"][client.random(3)]).expect("a good key");
        let value = Text::from(format!("{}-{}", client.user_id(), self.said));
        let attributes = BTreeMap::from([(key.clone(), value)]);
        match client.random(6) {
            0 => client.request(SetLocalUserAttributes { attributes }),
            1 | 2 => client.request(AddOrUpdateLocalUserAttributes { attributes }),
            3 => client.request(DeleteLocalUserAttributesByKeys { keys: vec![key] }),
            4 if client.random(2) == 0 => client.request(ClearLocalUserAttributes {}),
            _ => {
                let channel_id = self.channel(client);
                let notify = client.random(2) == 0;
                client.request(AddOrUpdateChannelAttributes {
                    target: ChannelAttributeTarget { channel_id, notify, expected_revision: None },
                    attributes,
                })
            }
        };
    }

    fn ask(&mut self, client: &mut Handle<'_>) {
        let (peer, channel_id) = (self.peer(client), self.channel(client));
        match client.random(5) {
            0 => client.request(GetMembers { channel_id }),
            1 => client.request(GetChannelMemberCount { channel_ids: self.plan.channels.clone() }),
            2 => client.request(QueryPeersOnlineStatus { peer_ids: vec![peer] }),
            3 => client.request(GetUserAttributes { user_id: peer, keys: None }),
            _ => {
                let conversation = HistoryOf::Peer(peer);
                client.request(QueryHistory { conversation, from_ts: 0, until_ts: 1 << 42, after: None, limit: 20 })
            }
        };
    }

    fn answer(&mut self, client: &mut Handle<'_>, at: u64) {
        let Some(invitation) = self.received.get(usize::try_from(at).unwrap_or(usize::MAX)).cloned() else { return };
        match client.random(5) {
            0..3 => drop(client.accept_invitation(&invitation, "yes")),
            3 => drop(client.refuse_invitation(&invitation, "no")),
            _ => {}
        }
    }

    fn log_in(&mut self, client: &mut Handle<'_>) {
        if self.plan.is_guest && client.now() > self.plan.until {
            return;
        }
        self.wants = true;
        match client.state() {
            // It is tried again if this is too early.
            ConnectionState::Disconnected => {
                let token = self.token(client);
                if client.login(token).is_err() {
                    client.after(Duration::from_secs(2), LOG_IN);
                }
            }
            ConnectionState::Aborted => {
                let _ = client.logout();
                client.after(Duration::from_secs(1), LOG_IN);
            }
            _ => {}
        }
    }

    /// A token, where one is needed: a short one, and as long as things go wrong now and then one that is refused.
    fn token(&mut self, client: &mut Handle<'_>) -> Option<Token> {
        if client.now() >= self.plan.until {
            return client.token(Duration::from_secs(3600));
        }
        let ttl = Duration::from_secs(10 + client.random(120) as u64);
        let token = client.token(ttl)?;
        if client.random(10) == 0 { Token::new("a token of another project").ok() } else { Some(token) }
    }

    /// Renews the token in a while, which may be too late.
    fn renew_soon(client: &mut Handle<'_>) {
        let pause = Duration::from_millis(client.random(10_000) as u64);
        client.after(pause, RENEW);
    }

    fn event(&mut self, client: &mut Handle<'_>, event: RtmEvent) {
        match event {
            RtmEvent::RemoteInvitationReceived { invitation, .. } => {
                let at = self.received.len() as u64;
                self.received.push(invitation);
                // Some answer when it is too late.
                let most = if client.random(10) == 0 { 70_000 } else { 5_000 };
                let pause = Duration::from_millis(client.random(most) as u64);
                client.after(pause, ANSWER + at);
            }
            RtmEvent::TokenWillExpire | RtmEvent::TokenNeeded { .. } if !self.plan.has_provider => {
                Self::renew_soon(client);
            }
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, .. }
                if client.now() < self.plan.until && !self.plan.is_guest =>
            {
                let pause = Duration::from_millis(1000 + client.random(20_000) as u64);
                client.after(pause, LOG_IN);
            }
            _ => {}
        }
    }
}

impl App for Bot {
    fn handle(&mut self, client: &mut Handle<'_>, input: Input) {
        match input {
            Input::Start => {
                let first = if self.plan.is_guest { 60_000 } else { 3_000 };
                let pause = Duration::from_millis(client.random(first) as u64);
                client.after(pause, LOG_IN);
                client.after(pause, ACT);
                client.after(self.plan.leaves_at, LEAVE);
                if self.plan.has_provider {
                    // A provider is left alone for minutes once its tokens were refused: the application ends that.
                    client.after(self.plan.until + Duration::from_secs(5), RENEW);
                }
            }
            Input::Timer(ACT) if client.now() < self.plan.until => {
                self.act(client);
                let mean = u64::try_from(self.plan.pause.as_millis()).unwrap_or(u64::MAX);
                let pause = Duration::from_millis(client.random(2 * mean as usize) as u64);
                client.after(pause, ACT);
            }
            Input::Timer(LOG_IN) if client.now() < self.plan.leaves_at => self.log_in(client),
            Input::Timer(LEAVE) => {
                self.wants = false;
                let _ = client.logout();
            }
            Input::Timer(at) if at >= ANSWER => self.answer(client, at - ANSWER),
            Input::FetchToken => {
                let pause = Duration::from_millis(client.random(5_000) as u64);
                client.after(pause, PROVIDE);
            }
            // Now and then it does not answer at all.
            Input::Timer(PROVIDE) if client.now() >= self.plan.until || client.random(10) > 0 => {
                let token = self.token(client);
                client.provide_token(token);
            }
            Input::Timer(RENEW) => {
                if let Some(token) = self.token(client) {
                    client.renew_token(token);
                }
            }
            Input::LoggedIn(Err(_)) if self.wants => {
                let pause = Duration::from_millis(500 + client.random(2_000) as u64);
                client.after(pause, LOG_IN);
            }
            Input::Event(event) => self.event(client, event),
            _ => {}
        }
    }
}

fn take_some<T>(client: &mut Handle<'_>, items: &mut Vec<T>) -> Option<T> {
    if items.is_empty() { None } else { Some(items.swap_remove(client.random(items.len()))) }
}

const ACT: u64 = 0;
const LOG_IN: u64 = 1;
const LEAVE: u64 = 2;
const RENEW: u64 = 3;
const PROVIDE: u64 = 4;
/// And above: answer an invitation.
const ANSWER: u64 = 10;
