//! Random histories: whatever happens, messages come once and in order, requests are answered once, and nothing stays.

use std::collections::BTreeMap;

use rtm_codec::{
    AcceptInvitation, Answer, CancelInvitation, ChannelAttributeTarget, Command, Event, InstanceId, JoinChannel,
    LeaveChannel, Login, MessageId, RefuseInvitation, RequestId, SendChannelMessage, SendInvitation, SendMessageToPeer,
    SendOutcome, SetChannelAttributes, SetLocalUserAttributes, SubscribePeersOnlineStatus,
    UnsubscribePeersOnlineStatus,
};

use crate::harness::*;

const USERS: usize = 6;
const WINDOWED: usize = 4;
const VENDOR: usize = 5;
const ROOMS: u64 = 3;

/// xorshift64*: good enough to choose what happens next, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: u64) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % bound
    }
}

/// One user, its present or last client, and what it was told.
#[derive(Default)]
struct User {
    client: Option<C>,
    /// How many devices it has had.
    devices: u64,
    /// Whether its last session can still be resumed, as far as it knows.
    has_ticket: bool,
    /// The numbers of the messages that reached it, from whom and where.
    got: Vec<(String, u64)>,
}

struct History {
    world: World,
    random: Random,
    users: Vec<User>,
    next_message: u64,
    /// Messages between users: from, to, and the request on the client that sent it.
    sent: BTreeMap<u64, (usize, usize, C, RequestId)>,
}

impl History {
    fn new(seed: u64) -> Self {
        let mut config = config();
        // Small enough that histories run into it.
        config.settings.session_bytes = 20_000;
        Self {
            world: World::with(config),
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            users: (0..USERS).map(|_| User::default()).collect(),
            next_message: 1,
            sent: BTreeMap::new(),
        }
    }

    fn is_online(&self, user: usize) -> Option<C> {
        self.users[user].client.filter(|client| self.world.is_open(*client))
    }

    fn step(&mut self) {
        let user = self.random.below(USERS as u64) as usize;
        let peer = self.random.below(USERS as u64) as usize;
        let channel = room(&format!("r{}", self.random.below(ROOMS)));
        let what = self.random.below(100);
        let Some(client) = self.is_online(user) else {
            return match what {
                0..60 => self.log_in(user),
                _ => self.pass(),
            };
        };
        match what {
            0..6 => self.world.cut(client),
            6..8 => {
                self.world.logout(client);
                self.users[user].has_ticket = false;
            }
            8..10 => self.log_in(user),
            10..12 => self.world.silence(client),
            12..22 => self.pass(),
            22..50 => {
                let id = self.next_message;
                self.next_message += 1;
                let send = SendMessageToPeer {
                    enable_offline_messaging: id.is_multiple_of(3),
                    enable_historical_messaging: id.is_multiple_of(7),
                    ..to_peer(id, &format!("u{peer}"), &self.text(id))
                };
                let request = self.world.request(client, send);
                self.sent.insert(id, (user, peer, client, request));
            }
            50..70 => {
                let id = self.next_message;
                self.next_message += 1;
                let say = SendChannelMessage {
                    message_id: MessageId(id),
                    channel_id: channel,
                    message: self.text(id).into(),
                    enable_historical_messaging: id.is_multiple_of(7),
                };
                self.world.request(client, say);
            }
            _ => {
                let command = self.command(what, peer, channel);
                self.world.request(client, command);
            }
        }
        self.collect();
    }

    fn command(&mut self, what: u64, peer: usize, channel: rtm_codec::ChannelId) -> Command {
        let peer_id = uid(&format!("u{peer}"));
        let call_id = call_id(&format!("c{}", self.random.below(4)));
        match what {
            70..76 => JoinChannel { channel_id: channel }.into(),
            76..78 => LeaveChannel { channel_id: channel }.into(),
            78..82 => SubscribePeersOnlineStatus { peer_ids: vec![peer_id] }.into(),
            82..83 => UnsubscribePeersOnlineStatus { peer_ids: vec![peer_id] }.into(),
            83..88 => SendInvitation { call_id, callee_id: peer_id, content: "?".into() }.into(),
            88..91 => AcceptInvitation { call_id, caller_id: peer_id, response: "y".into() }.into(),
            91..93 => RefuseInvitation { call_id, caller_id: peer_id, response: "n".into() }.into(),
            93..95 => CancelInvitation { call_id, callee_id: peer_id, content: "x".into() }.into(),
            95..98 => SetLocalUserAttributes { attributes: attributes(&[("k", "v")]) }.into(),
            _ => SetChannelAttributes {
                target: ChannelAttributeTarget { channel_id: channel, notify: true, expected_revision: None },
                attributes: attributes(&[("k", "v")]),
            }
            .into(),
        }
    }

    fn text(&mut self, id: u64) -> String {
        format!("{id} {}", "x".repeat(self.random.below(1500) as usize))
    }

    /// Comes back with its ticket, or as a device of its own.
    fn log_in(&mut self, user: usize) {
        let resumes = self.users[user].has_ticket && self.random.below(4) > 0;
        match self.users[user].client.filter(|_| resumes) {
            Some(client) => {
                let login = match user {
                    // The vendor's SDK has no ticket, and is known by its instance.
                    VENDOR => self.login_of(user),
                    _ => self.world.resuming(client),
                };
                let again = self.world.login_again(client, login);
                if self.world.is_welcome(again) {
                    self.users[user].client = Some(again);
                } else {
                    self.users[user].has_ticket = false;
                }
            }
            None => {
                self.collect();
                self.users[user].devices += 1;
                let login = self.login_of(user);
                let client = self.world.login_with(login);
                self.users[user].client = Some(client);
                self.users[user].has_ticket = true;
            }
        }
        self.collect();
    }

    fn login_of(&self, user: usize) -> Login {
        let instance = InstanceId::new(format!("u{user}-{}", self.users[user].devices)).unwrap();
        let name = format!("u{user}");
        match user {
            VENDOR => Login { instance, ..vendor_login_of(&name) },
            WINDOWED => Login { instance, window: 2, ..login_of(&name) },
            _ => Login { instance, ..login_of(&name) },
        }
    }

    fn pass(&mut self) {
        let passed = match self.random.below(10) {
            0 => secs(self.random.below(130)),
            1..4 => secs(self.random.below(12)),
            _ => millis(self.random.below(1500)),
        };
        self.world.advance(passed);
        self.collect();
    }

    fn collect(&mut self) {
        for user in &mut self.users {
            let Some(client) = user.client else { continue };
            for event in self.world.events(client) {
                let (from, message) = match event {
                    Event::MessageFromPeer(message) => (message.peer_id.to_string(), message.message),
                    Event::ChannelMessage { channel_id, member_id, message, .. } => {
                        (format!("{member_id} in {channel_id}"), message)
                    }
                    _ => continue,
                };
                let text = message.as_text().unwrap();
                user.got.push((from, text.split(' ').next().unwrap().parse().unwrap()));
            }
        }
    }

    /// Everybody comes back, hears everything, and leaves.
    fn end(&mut self) {
        for user in 0..USERS {
            if self.is_online(user).is_none() {
                self.log_in(user);
            }
            if self.is_online(user).is_none() {
                self.log_in(user);
            }
        }
        self.world.advance(secs(11));
        self.collect();
    }

    fn check(&mut self, seed: u64) {
        for (n, user) in self.users.iter().enumerate() {
            let mut seen: BTreeMap<&str, u64> = BTreeMap::new();
            let mut ids: Vec<u64> = user.got.iter().map(|(_, id)| *id).collect();
            for (from, id) in &user.got {
                let last = seen.entry(from).or_default();
                assert!(*last < *id || self.was_stored(*id), "seed {seed}: u{n} got {id} after {last} from {from}");
                *last = (*last).max(*id);
            }
            ids.sort_unstable();
            let all = ids.len();
            ids.dedup();
            assert_eq!(ids.len(), all, "seed {seed}: u{n} got a message twice");
        }
        for (id, (_, to, client, request)) in &self.sent {
            let got = self.users[*to].got.iter().any(|(_, message_id)| message_id == id);
            match self.world.reply(*client, *request) {
                Some(Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))) => {
                    assert!(got, "seed {seed}: {id} was delivered to nobody");
                }
                Some(Ok(Answer::SendMessageToPeer(SendOutcome::Stored))) => {
                    let waits = self.world.store.waiting(&format!("u{to}"));
                    let waits = waits.iter().any(|text| text.split(' ').next() == Some(&id.to_string()));
                    assert!(got || waits, "seed {seed}: {id} was stored, and is gone");
                }
                Some(Ok(Answer::SendMessageToPeer(SendOutcome::NotReceived))) => {}
                Some(other) => panic!("seed {seed}: {id}: {other:?}"),
                None => assert!(!self.world.is_open(*client), "seed {seed}: {id} was never answered"),
            }
        }
        for user in 0..USERS {
            if let Some(client) = self.is_online(user) {
                self.world.logout(client);
            }
        }
        self.world.advance(secs(301));
        let stats = self.world.core.stats();
        let left = (stats.connections, stats.sessions, stats.channels, stats.invitations);
        assert_eq!(left, (0, 0, 0, 0), "seed {seed}: something stays");
    }

    /// Whether a message may have come by the store, and so after later ones that did not.
    fn was_stored(&self, id: u64) -> bool {
        id.is_multiple_of(3)
    }
}

#[test]
fn every_history_keeps_the_promises() {
    let mut delivered = 0;
    let seeds: u64 = std::env::var("RTM_SEEDS").ok().and_then(|seeds| seeds.parse().ok()).unwrap_or(60);
    for seed in 1..=seeds {
        let mut history = History::new(seed);
        for _ in 0..400 {
            history.step();
        }
        history.end();
        history.check(seed);
        delivered += history.users.iter().map(|user| user.got.len()).sum::<usize>();
    }
    assert!(delivered > 1000, "the histories are too quiet to show anything");
}
