//! Random histories of channels over several nodes: whatever happens, all agree in the end on who is there, and each member
//! has all messages of a sender once and in order, but for what it is told is missing.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_codec::{Answer, Event, LeaveChannel, RequestId};

use crate::harness::*;

const NODES: usize = 4;
const USERS: usize = 6;
const CHANNELS: [&str; 2] = ["one", "two"];
const SEEDS: u64 = 60;
const STEPS: usize = 120;

/// xorshift64*: good enough to choose what happens next, and the same everywhere.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let number = self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33;
        usize::try_from(number % bound as u64).unwrap()
    }
}

#[derive(Default)]
struct User {
    client: Option<C>,
    /// The channels that it is in for certain.
    joined: BTreeSet<usize>,
    /// What it got.
    got: BTreeSet<u64>,
    /// For each channel and sender the number of the last message.
    last: BTreeMap<(usize, usize), u64>,
    /// For each channel the message before which some may be missing: it was told so, left, or began anew.
    excused: BTreeMap<usize, u64>,
}

struct Message {
    sender: usize,
    channel: usize,
    client: C,
    request: RequestId,
    /// Who was a member when it was sent.
    members: Vec<usize>,
}

struct History {
    world: World,
    random: Random,
    users: Vec<User>,
    next: u64,
    sent: BTreeMap<u64, Message>,
    is_anybody_dead: bool,
    seed: u64,
}

fn name(user: usize) -> String {
    format!("user-{user}")
}

impl History {
    fn new(seed: u64) -> Self {
        Self {
            world: World::of_seed(seed, NODES),
            random: Random(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1),
            users: (0..USERS).map(|_| User::default()).collect(),
            next: 1,
            sent: BTreeMap::new(),
            is_anybody_dead: false,
            seed,
        }
    }

    fn node(&mut self) -> usize {
        loop {
            let node = self.random.below(NODES);
            if !self.world.is_dead(node) {
                return node;
            }
        }
    }

    fn client(&self, user: usize) -> Option<C> {
        let client = self.users[user].client?;
        (self.world.is_open(client) && self.world.welcome(client).is_some()).then_some(client)
    }

    fn step(&mut self) {
        let user = self.random.below(USERS);
        let channel = self.random.below(CHANNELS.len());
        match self.random.below(100) {
            0..35 => self.send(user, channel),
            35..50 => self.come(user),
            50..60 => {
                if let Some(client) = self.client(user) {
                    self.world.cut(client);
                }
            }
            60..72 => {
                if let Some(client) = self.client(user) {
                    let id = self.world.request(client, join(CHANNELS[channel]));
                    if self.world.reply(client, id) == Some(&Ok(Answer::JoinChannel(()))) {
                        self.read(user);
                        self.users[user].joined.insert(channel);
                    }
                }
            }
            72..77 => {
                if let Some(client) = self.client(user) {
                    self.read(user);
                    self.world.request(client, LeaveChannel { channel_id: cid(CHANNELS[channel]) });
                    self.excuse(user, channel);
                }
            }
            77..83 => {
                let (from, to) = (self.random.below(NODES), self.random.below(NODES));
                self.world.stall(from, to);
            }
            83..89 => self.world.unstall(),
            89..91 => {
                let node = self.random.below(NODES);
                self.world.hide_views(node);
            }
            91..93 => self.world.show_views(),
            93..94 if !self.is_anybody_dead => {
                self.is_anybody_dead = true;
                let node = self.random.below(NODES);
                self.world.kill(node);
            }
            94..96 => {
                let (from, to) = (self.node(), self.node());
                self.world.restart_post(from, to);
            }
            _ => {
                let time = [10, 100, 500, 2000][self.random.below(4)];
                self.world.advance(Duration::from_millis(time));
            }
        }
        (0..USERS).for_each(|user| self.read(user));
    }

    fn come(&mut self, user: usize) {
        let node = self.node();
        match self.users[user].client {
            Some(client) if self.world.is_open(client) => {}
            Some(client) if self.world.welcome(client).is_some() => {
                self.users[user].client = Some(self.world.resume(node, client));
            }
            _ => {
                self.users[user].client = Some(self.world.start_login(node, login_of(&name(user))));
                self.world.pump();
            }
        }
    }

    fn send(&mut self, user: usize, channel: usize) {
        let Some(client) = self.client(user) else { return };
        let number = self.next;
        self.next += 1;
        let request = self.world.request(client, to_channel(number, CHANNELS[channel], &user.to_string()));
        let members =
            (0..USERS).filter(|other| *other != user && self.users[*other].joined.contains(&channel)).collect();
        self.sent.insert(number, Message { sender: user, channel, client, request, members });
    }

    fn excuse(&mut self, user: usize, channel: usize) {
        self.users[user].joined.remove(&channel);
        self.users[user].excused.insert(channel, self.next);
    }

    fn read(&mut self, user: usize) {
        let Some(client) = self.users[user].client else { return };
        if self.world.begins_anew(client) {
            self.users[user].last.clear();
            (0..CHANNELS.len()).for_each(|channel| self.excuse(user, channel));
        }
        let at = |id: &rtm_codec::ChannelId| CHANNELS.iter().position(|name| *name == id.as_str()).unwrap();
        for event in self.world.events(client) {
            match event {
                Event::Gap { channel_id: None, .. } => {
                    (0..CHANNELS.len()).for_each(|channel| self.excuse(user, channel));
                }
                Event::Gap { channel_id: Some(channel_id), .. } => {
                    self.excuse(user, at(&channel_id));
                }
                Event::ChannelMessage { channel_id, message_id, member_id, .. } => {
                    let sender: usize = member_id.as_str().trim_start_matches("user-").parse().unwrap();
                    let state = &mut self.users[user];
                    state.got.insert(message_id.0);
                    let last = state.last.insert((at(&channel_id), sender), message_id.0).unwrap_or(0);
                    assert!(last < message_id.0, "seed {}: {user} got {message_id:?} after {last}", self.seed);
                }
                _ => {}
            }
        }
    }

    fn finish(mut self) {
        let seed = self.seed;
        self.world.unstall();
        self.world.show_views();
        for _ in 0..40 {
            for user in 0..USERS {
                if self.users[user].client.is_some_and(|client| !self.world.is_open(client)) {
                    self.come(user);
                }
            }
            self.world.advance(secs(1));
            (0..USERS).for_each(|user| self.read(user));
        }
        for (number, Message { sender, channel, client, request, members }) in &self.sent {
            let is_last = self.users[*sender].client == Some(*client);
            let reply = self.world.reply(*client, *request);
            assert!(!is_last || reply.is_some(), "seed {seed}: {number} waits");
            if !matches!(reply, Some(Ok(_))) {
                continue;
            }
            for member in members.iter().map(|member| &self.users[*member]) {
                let is_excused = member.excused.get(channel).is_some_and(|before| number < before);
                assert!(is_excused || member.got.contains(number), "seed {seed}: {number} is missing");
            }
        }
        for (channel, id) in CHANNELS.iter().enumerate() {
            let mut rosters = Vec::new();
            let mut counts = Vec::new();
            for user in 0..USERS {
                let Some(client) = self.client(user) else { continue };
                counts.push(self.world.count(client, id));
                let query = rtm_codec::GetMembers { channel_id: cid(id) };
                if let Ok(Answer::GetMembers(members)) = self.world.call(client, query) {
                    let mut members: Vec<_> = members.iter().map(ToString::to_string).collect();
                    members.sort();
                    rosters.push((name(user), members));
                }
            }
            let all: Vec<String> = rosters.iter().map(|(user, _)| user.clone()).collect();
            for (user, members) in &rosters {
                assert_eq!(members, &all, "seed {seed}: what {user} sees of {id}");
            }
            assert!(counts.iter().all(|count| *count as usize == all.len()), "seed {seed}: {id} {counts:?} {all:?}");
            // Everybody who is there hears everybody, now that all is well.
            let senders: Vec<usize> = (0..USERS).filter(|user| all.contains(&name(*user))).collect();
            for sender in &senders {
                (0..USERS).for_each(|user| self.read(user));
                self.send(*sender, channel);
                let Message { client, request, .. } = self.sent[&(self.next - 1)];
                assert!(matches!(self.world.reply(client, request), Some(Ok(_))), "seed {seed}: {sender} in {id}");
                for receiver in senders.iter().filter(|receiver| *receiver != sender) {
                    self.read(*receiver);
                    let last = self.users[*receiver].last.get(&(channel, *sender)).copied();
                    assert_eq!(last, Some(self.next - 1), "seed {seed}: {receiver} hears {sender} in {id}");
                }
            }
        }
    }
}

#[test]
fn all_agree_on_members_and_messages_come_once_and_in_order() {
    let only = std::env::var("SEED").ok().map(|seed| seed.parse::<u64>().unwrap());
    for seed in 0..SEEDS {
        if only.is_some_and(|only| only != seed) {
            continue;
        }
        let mut history = History::new(seed);
        for _ in 0..STEPS {
            history.step();
        }
        history.finish();
    }
}
