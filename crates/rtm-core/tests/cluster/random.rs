//! Random histories over several nodes: whatever happens, each user has one session, and messages come once and in order.

use std::collections::{BTreeMap, BTreeSet};

use rtm_codec::{Answer, Event, InstanceId, Login, MessageId, RequestId, SendOutcome, SessionId};

use crate::harness::*;

const NODES: usize = 4;
const USERS: usize = 5;
const SEEDS: u64 = 60;

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
    /// All that it had: an older one may get something before it hears that it is over.
    clients: Vec<C>,
    devices: usize,
    /// What came to it: from whom, of which session of that, and the number.
    got: Vec<(String, u64)>,
    seen: BTreeSet<(String, u64)>,
    /// Whether messages may have come twice: a node was killed.
    repeats: usize,
}

struct History {
    world: World,
    random: Random,
    users: Vec<User>,
    next_message: u64,
    /// From, to, the session that sent it, and the request.
    sent: BTreeMap<u64, (usize, usize, SessionId, C, RequestId)>,
    /// Whether a node was killed or put out: messages may come twice.
    is_anybody_dead: bool,
    /// The node that is put out, and whether it has heard so.
    out: Option<(usize, bool)>,
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
            next_message: 1,
            sent: BTreeMap::new(),
            is_anybody_dead: false,
            out: None,
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

    fn step(&mut self) {
        let user = self.random.below(USERS);
        match self.random.below(100) {
            0..30 => self.send(user),
            30..45 => self.come(user),
            45..55 => {
                if let Some(client) = self.users[user].client.filter(|client| self.world.is_open(*client)) {
                    self.world.cut(client);
                }
            }
            55..58 => {
                // One that waits for its login leaves the session that it comes back to.
                let is_in = |client: &C| self.world.is_open(*client) && self.world.welcome(*client).is_some();
                if let Some(client) = self.users[user].client.filter(is_in) {
                    self.read(user);
                    self.world.logout(client);
                    self.users[user].client = None;
                }
            }
            58..62 => {
                // Another device of the user.
                self.read(user);
                // One that still waits for its login would come in later.
                let waits = |client: &C| self.world.is_open(*client) && self.world.welcome(*client).is_none();
                if let Some(client) = self.users[user].client.filter(waits) {
                    self.world.cut(client);
                }
                self.users[user].devices += 1;
                let login = self.login_of(user);
                let node = self.node();
                self.users[user].client = Some(self.world.start_login(node, login));
                self.world.pump();
            }
            62..70 => {
                let (from, to) = (self.random.below(NODES), self.random.below(NODES));
                self.world.stall(from, to);
            }
            70..78 => self.world.unstall(),
            78..82 => {
                let node = self.random.below(NODES);
                self.world.blind(node);
            }
            82..88 => (0..NODES).for_each(|node| self.world.see(node)),
            88..90 => self.world.engine.loses_answers += 1,
            90..92 => self.world.engine.is_deaf += 2,
            92..93 if !self.is_anybody_dead => {
                self.is_anybody_dead = true;
                let node = self.random.below(NODES);
                self.world.kill(node);
            }
            93..95 => self.put_out_or_join(),
            95..97 => {
                let (from, to) = (self.node(), self.node());
                self.world.restart_post(from, to);
            }
            _ => {
                let time = [10, 100, 500, 2000, 7000][self.random.below(5)];
                self.world.advance(std::time::Duration::from_millis(time));
            }
        }
        (0..USERS).for_each(|user| self.read(user));
    }

    /// A node is put out, hears of it later, and joins again.
    fn put_out_or_join(&mut self) {
        match self.out {
            None => {
                self.is_anybody_dead = true;
                let node = self.node();
                self.out = Some((node, false));
                self.world.put_out(node);
            }
            Some((node, false)) => {
                self.out = Some((node, true));
                self.world.leave_cluster(node);
            }
            Some((node, true)) => {
                self.out = None;
                self.world.join_again(node);
            }
        }
    }

    fn login_of(&self, user: usize) -> Login {
        let instance = InstanceId::new(format!("device-{}-of-{user}", self.users[user].devices)).unwrap();
        Login { instance, ..login_of(&name(user)) }
    }

    /// A user without an open connection comes back, with its ticket if it has one.
    fn come(&mut self, user: usize) {
        let node = self.node();
        match self.users[user].client {
            Some(client) if self.world.is_open(client) => {}
            Some(client) if self.world.welcome(client).is_some() => {
                self.users[user].client = Some(self.world.resume(node, client));
            }
            _ => {
                self.users[user].devices += 1;
                let login = self.login_of(user);
                self.users[user].client = Some(self.world.start_login(node, login));
                self.world.pump();
            }
        }
    }

    fn send(&mut self, user: usize) {
        let to = self.random.below(USERS);
        let Some(client) = self.users[user].client.filter(|client| self.world.is_open(*client)) else { return };
        let Some(welcome) = self.world.welcome(client) else { return };
        let session = welcome.ticket.unwrap().session;
        let number = self.next_message;
        self.next_message += 1;
        let request = self.world.request(client, to_peer(number, &name(to), "x"));
        self.sent.insert(number, (user, to, session, client, request));
    }

    fn read(&mut self, user: usize) {
        if let Some(client) = self.users[user].client.filter(|client| !self.users[user].clients.contains(client)) {
            self.users[user].clients.push(client);
        }
        let clients = self.users[user].clients.clone();
        for event in clients.into_iter().flat_map(|client| self.world.events(client)) {
            if let Event::MessageFromPeer(message) = event {
                let MessageId(number) = message.message_id;
                let key = (message.peer_id.to_string(), number);
                if self.users[user].seen.insert(key.clone()) {
                    self.users[user].got.push(key);
                } else {
                    self.users[user].repeats += 1;
                }
            }
        }
    }

    /// Everything works again, everybody comes back, and all that was promised is looked at.
    fn finish(mut self, seed: u64) {
        self.world.engine.is_deaf = 0;
        self.world.engine.loses_answers = 0;
        (0..NODES).for_each(|node| self.world.see(node));
        self.world.unstall();
        while self.out.is_some() {
            self.put_out_or_join();
        }
        for _ in 0..40 {
            for user in 0..USERS {
                let client = self.users[user].client;
                if client.is_some_and(|client| !self.world.is_open(client)) {
                    self.come(user);
                }
            }
            self.world.advance(secs(1));
            (0..USERS).for_each(|user| self.read(user));
        }
        let logged_in = self.users.iter().filter(|user| user.client.is_some()).count();
        assert_eq!(self.world.sessions(), logged_in, "seed {seed}: one session a user");
        for user in 0..USERS {
            let Some(client) = self.users[user].client else { continue };
            let id = self.world.welcome(client).unwrap().ticket.unwrap().session;
            let entry = self.world.engine.entry(&name(user)).unwrap();
            assert_eq!(entry.session, id, "seed {seed}: the entry of {user} names its session");
            assert!(!self.world.is_waiting(client), "seed {seed}: {user} waits for an answer");
            assert!(self.is_anybody_dead || self.users[user].repeats == 0, "seed {seed}: {user} got something twice");
        }
        let mut last: BTreeMap<(usize, [u8; 16], usize), u64> = BTreeMap::new();
        for (user, state) in self.users.iter().enumerate() {
            for (_, number) in &state.got {
                let (from, _, session, ..) = &self.sent[number];
                let before = last.insert((*from, session.0, user), *number);
                assert!(before.is_none_or(|before| before < *number), "seed {seed}: {number} came after {before:?}");
            }
        }
        for (number, (from, to, _, client, request)) in &self.sent {
            if let Some(Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))) = self.world.reply(*client, *request) {
                let key = (name(*from), *number);
                assert!(self.users[*to].seen.contains(&key), "seed {seed}: {number} was not delivered to {to}");
            }
        }
    }
}

#[test]
fn whatever_happens_each_user_has_one_session_and_messages_come_once_and_in_order() {
    for seed in 0..SEEDS {
        let mut history = History::new(seed);
        for _ in 0..120 {
            history.step();
        }
        history.finish(seed);
    }
}
