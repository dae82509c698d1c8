//! Random worlds: when all is quiet, every subscriber was last told the true state of everybody.

use std::collections::BTreeMap;

use rtm_codec::{
    Event,
    PeerOnlineState::{self, Offline, Online},
    SubscribePeersOnlineStatus, UserId,
};

use crate::harness::*;

const USERS: usize = 6;
const WATCHERS: usize = 3;

struct Random(u64);

impl Random {
    /// `SplitMix64`.
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % u64::try_from(most).unwrap()).unwrap()
    }
}

struct Party {
    name: String,
    client: Option<C>,
    /// What it was last told of others.
    told: BTreeMap<UserId, PeerOnlineState>,
}

struct Run {
    world: World,
    random: Random,
    parties: Vec<Party>,
    kills: usize,
}

impl Run {
    fn new(seed: u64) -> Self {
        let name = |at| match at < USERS {
            true => format!("user-{at}"),
            false => format!("watcher-{at}"),
        };
        let party = |at| Party { name: name(at), client: None, told: BTreeMap::new() };
        Self {
            world: World::new(4),
            random: Random(seed),
            parties: (0..USERS + WATCHERS).map(party).collect(),
            kills: 0,
        }
    }

    fn alive(&mut self) -> usize {
        loop {
            let number = self.random.below(self.world.cores.len());
            if !self.world.is_dead(number) {
                return number;
            }
        }
    }

    /// A party comes, or comes back, on some node.
    fn arrive(&mut self, at: usize) {
        let number = self.alive();
        self.listen();
        if let Some(client) = self.parties[at].client.filter(|client| self.world.is_open(*client)) {
            self.world.cut(client);
        }
        let party = &self.parties[at];
        let client = match party.client.filter(|client| self.world.welcome(*client).is_some()) {
            Some(client) => self.world.start_resume(number, client),
            None => self.world.start_login(number, login_of(&party.name)),
        };
        self.parties[at].client = Some(client);
        self.world.pump();
    }

    fn is_in(&self, at: usize) -> bool {
        self.parties[at].client.is_some_and(|client| {
            self.world.is_open(client) && self.world.welcome(client).is_some() && self.world.closed(client).is_none()
        })
    }

    fn step(&mut self) {
        let at = self.random.below(self.parties.len());
        match (self.random.below(20), self.parties[at].client) {
            (0..5, _) if !self.is_in(at) => self.arrive(at),
            (0..3, Some(client)) => {
                self.world.cut(client);
                self.arrive(at);
            }
            (3..5, Some(client)) if at < USERS => {
                self.world.logout(client);
                self.parties[at].client = None;
            }
            (5..7, Some(client)) => self.world.cut(client),
            (7, Some(client)) if at < USERS => self.world.silence(client),
            (8, _) if self.kills < 2 => {
                let number = self.alive();
                self.kills += 1;
                self.world.kill(number);
            }
            (9, _) if self.world.cores.len() < 6 => self.world.join(),
            (10, _) => {
                let (from, to) = (self.alive(), self.alive());
                self.world.stall(from, to);
            }
            (11..13, _) => self.world.unstall(),
            (13, _) => {
                let number = self.alive();
                self.world.blind(number);
            }
            (14, _) => self.see_all(),
            (15, _) => {
                let seconds = self.random.below(40);
                self.world.advance(secs(u64::try_from(seconds).unwrap()));
            }
            (16, _) => {
                let (from, to) = (self.alive(), self.alive());
                self.world.restart_post(from, to);
            }
            _ => self.world.advance(millis(50)),
        }
        self.listen();
    }

    fn see_all(&mut self) {
        for number in 0..self.world.cores.len() {
            self.world.see(number);
        }
    }

    /// Hears what parties were told, and has watchers subscribe that have a new session.
    fn listen(&mut self) {
        for at in 0..self.parties.len() {
            let Some(client) = self.parties[at].client else { continue };
            for event in self.world.events(client) {
                if let Event::PeersOnlineStatusChanged { peers } = event {
                    self.parties[at].told.extend(peers);
                }
            }
            if at >= USERS && self.is_in(at) && self.world.begins_anew(client) {
                self.parties[at].told.clear();
                let peer_ids = (0..USERS).map(|at| uid(&format!("user-{at}"))).collect();
                self.world.request(client, SubscribePeersOnlineStatus { peer_ids });
            }
        }
    }

    fn settle(&mut self) {
        self.world.unstall();
        self.see_all();
        for _ in 0..16 {
            for at in USERS..self.parties.len() {
                if !self.is_in(at) {
                    self.arrive(at);
                }
            }
            self.world.advance(secs(10));
            self.listen();
        }
        self.world.advance(secs(1));
        self.listen();
    }
}

#[test]
fn presence_converges() {
    let only = std::env::var("SEED").ok().and_then(|seed| seed.parse().ok());
    for seed in only.map_or(0..20, |seed: u64| seed..seed + 1) {
        let mut run = Run::new(seed);
        for _ in 0..120 {
            run.step();
        }
        run.settle();
        for watcher in USERS..USERS + WATCHERS {
            assert!(run.is_in(watcher), "seed {seed}: {} is not in", run.parties[watcher].name);
            for user in 0..USERS {
                let state = if run.is_in(user) && !run.parties[user].client.is_some_and(|c| run.world.is_silent(c)) {
                    Online
                } else {
                    Offline
                };
                let told = run.parties[watcher].told.get(&uid(&run.parties[user].name));
                assert_eq!(told, Some(&state), "seed {seed}: {watcher} of {user}");
            }
        }
    }
}
