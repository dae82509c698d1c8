//! Users who chat without a pause, and the account of all that they sent: each message has come once, or its sender or its
//! receiver was told otherwise.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future::BoxFuture, stream, stream::FuturesUnordered};
use rtm_client::{ConnectionState, ErrorKind, PeerOnlineState, RtmEvent, SendMessageOptions, SendOutcome, Wire};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval},
};

use crate::{
    nodes::Nodes,
    rolling::{name, partner, wire},
    users::{User, log_in, soon},
};

/// Users at work.
pub(crate) struct Chat {
    users: Vec<User>,
    talkers: Vec<JoinHandle<Vec<Sent>>>,
    is_over: Arc<AtomicBool>,
}

/// What a user sent, and what was said of it.
#[derive(Debug, Clone)]
struct Sent {
    to: To,
    n: usize,
    /// When it was sent, since the chat began.
    #[allow(dead_code, reason = "it is shown where something is wrong")]
    at: Duration,
    outcome: Outcome,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum To {
    Peer,
    Room,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Outcome {
    /// The peer has it, or all members of the room.
    Delivered,
    /// The store has it.
    Stored,
    /// The peer did not say in time that it has it.
    NotReceived,
    Failed(ErrorKind),
}

/// What came to a user, in order.
#[derive(Debug)]
enum Item {
    Text {
        from: usize,
        to: To,
        n: usize,
        is_stored: bool,
    },
    Gap {
        is_of_room: bool,
    },
    Cut,
    /// This user is offline, or has left the room, it was told.
    Away(usize),
}

/// What went wrong, with a few cases of each.
#[derive(Debug, Default)]
pub(crate) struct Faults(BTreeMap<&'static str, (usize, Vec<String>)>);

impl Faults {
    pub(crate) fn add(&mut self, what: &'static str, case: impl FnOnce() -> String) {
        let (count, cases) = self.0.entry(what).or_default();
        *count += 1;
        if cases.len() < 5 {
            cases.push(case());
        }
    }

    pub(crate) fn are_none(&self) -> bool {
        self.0.is_empty()
    }
}

/// What a chat came to.
#[derive(Debug)]
pub(crate) struct Account {
    faults: Faults,
    /// How many messages had which outcome.
    outcomes: BTreeMap<Outcome, usize>,
    /// Whose connection was lost.
    cut: BTreeSet<usize>,
    /// Who was told of gaps.
    gaps: BTreeSet<usize>,
}

impl Chat {
    /// A few dozen users, half of them on each wire, who know all three nodes, begin at any, and meet in rooms.
    pub(crate) async fn start(nodes: &Nodes) -> Self {
        let logins = (0..USERS).map(|number| {
            let gateways = nodes.gateways(&[0, 1, 2]);
            async move { log_in(wire(number), &name(number), &gateways).await }
        });
        let users: Vec<User> = stream::iter(logins).buffered(12).collect().await;
        for (number, user) in users.iter().enumerate() {
            soon("joining", user.client.channel(room(number)).unwrap().join()).await.unwrap();
            soon("watching", user.client.subscribe_peers_online_status([name(partner(number))])).await.unwrap();
        }
        let is_over = Arc::new(AtomicBool::new(false));
        let begun = Instant::now();
        let talker = |(number, user): (usize, &User)| talk(user, number, Arc::clone(&is_over), begun);
        let talkers = users.iter().enumerate().map(talker).collect();
        Self { users, talkers, is_over }
    }

    /// Ends it, sees that all users are with each other, and settles the account.
    pub(crate) async fn settle(mut self) -> Account {
        self.is_over.store(true, Ordering::Relaxed);
        let mut sent = Vec::new();
        for talker in self.talkers {
            sent.push(talker.await.unwrap());
        }
        let mut events: Vec<Vec<RtmEvent>> = self.users.iter_mut().map(User::so_far).collect();
        // All are there, in their rooms, and reach each other: what came before has come by then.
        for number in 0..USERS {
            let [user, other] = self.users.get_disjoint_mut([number, partner(number)]).unwrap();
            until_it_works(async || {
                user.client.send_message_to_peer(&other.name, LAST).await == Ok(SendOutcome::Delivered)
            })
            .await;
            let channel = user.client.channel(room(number)).unwrap();
            until_it_works(async || channel.members().await.is_ok_and(|members| members.len() == ROOM)).await;
            until_it_works(async || channel.send_message(LAST).await.is_ok()).await;
        }
        for (user, events) in self.users.iter_mut().zip(&mut events) {
            events.extend(user.so_far());
        }
        check(&events, &sent)
    }
}

impl Account {
    /// Nothing is lost, repeated or out of order, no user was thrown out, and whoever kept its connection has no gap; most of
    /// what was sent has come.
    pub(crate) fn assert_clean(&self) {
        eprintln!("{:?}, cut: {:?}, gaps: {:?}", self.outcomes, self.cut, self.gaps);
        assert!(self.faults.are_none(), "{:#?}, {:?}", self.faults, self.outcomes);
        assert!(self.gaps.is_subset(&self.cut), "{self:?}");
        let all: usize = self.outcomes.values().sum();
        let delivered = self.outcomes.get(&Outcome::Delivered).copied().unwrap_or(0);
        assert!(all > 20 * USERS && delivered * 4 > all, "{self:?}");
    }

    /// Some lost their connections, and others kept theirs.
    pub(crate) fn assert_some_are_cut(&self) {
        assert!((1..USERS - 1).contains(&self.cut.len()), "{self:?}");
    }

    /// Nobody lost its connection.
    pub(crate) fn assert_nobody_is_cut(&self) {
        assert!(self.cut.is_empty(), "{self:?}");
    }

    /// Each message was delivered.
    pub(crate) fn assert_all_delivered(&self) {
        assert!(self.outcomes.keys().eq([&Outcome::Delivered]), "{self:?}");
    }
}

/// Sends now to the partner, now to the room, until it is told to stop, and waits for all answers.
fn talk(user: &User, number: usize, is_over: Arc<AtomicBool>, begun: Instant) -> JoinHandle<Vec<Sent>> {
    let client = user.client.clone();
    tokio::spawn(async move {
        let room = client.channel(room(number)).unwrap();
        // They do not all speak at once.
        tokio::time::sleep(PAUSE.mul_f64(number as f64 / USERS as f64)).await;
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way: FuturesUnordered<BoxFuture<'static, Sent>> = FuturesUnordered::new();
        let (mut all, mut n) = (Vec::new(), 0);
        while !is_over.load(Ordering::Relaxed) {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(sent) = under_way.next() => {
                    all.push(sent);
                    continue;
                }
            }
            let at = begun.elapsed();
            if n % 2 == 0 {
                // Every other one is stored if the partner is away.
                let options = SendMessageOptions::new().enable_offline_messaging(n % 4 == 0);
                let call = client.send_message_to_peer_with(name(partner(number)), n.to_string(), options);
                under_way.push(Box::pin(async move {
                    let outcome = match call.await {
                        Ok(SendOutcome::Delivered) => Outcome::Delivered,
                        Ok(SendOutcome::Stored) => Outcome::Stored,
                        Ok(_) => Outcome::NotReceived,
                        Err(error) => Outcome::Failed(error.kind()),
                    };
                    Sent { to: To::Peer, n, at, outcome }
                }));
            } else {
                let call = room.send_message(n.to_string());
                under_way.push(Box::pin(async move {
                    let outcome =
                        call.await.map_or_else(|error| Outcome::Failed(error.kind()), |()| Outcome::Delivered);
                    Sent { to: To::Room, n, at, outcome }
                }));
            }
            n += 1;
        }
        all.extend(under_way.collect::<Vec<_>>().await);
        all
    })
}

/// A room has users of both wires.
fn room(number: usize) -> String {
    format!("room-{}", number / ROOM)
}

/// Tries something until it succeeds.
async fn until_it_works(mut what: impl AsyncFnMut() -> bool) {
    let all = async {
        while !what().await {
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    };
    soon("being with each other", all).await;
}

/// What came to a user. Who is thrown out, or cannot have back what it had, is a fault.
fn items(number: usize, events: &[RtmEvent], faults: &mut Faults) -> Vec<Item> {
    let mut items = Vec::new();
    for event in events {
        let (from, to, message, is_stored) = match event {
            RtmEvent::MessageFromPeer { peer_id, message, properties, .. } => {
                (peer_id, To::Peer, message, properties.is_offline_message)
            }
            RtmEvent::ChannelMessage { member_id, message, .. } => (member_id, To::Room, message, false),
            RtmEvent::Gap { channel_id, .. } => {
                items.push(Item::Gap { is_of_room: channel_id.is_some() });
                continue;
            }
            RtmEvent::ConnectionStateChanged {
                state: ConnectionState::Aborted | ConnectionState::Disconnected,
                ..
            } => {
                faults.add("thrown out", || format!("{}: {event:?}", name(number)));
                continue;
            }
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Reconnecting, .. } => {
                items.push(Item::Cut);
                continue;
            }
            RtmEvent::MemberLeft { member_id, .. } => {
                items.push(Item::Away(number_of(member_id.as_str())));
                continue;
            }
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                let away = peers.iter().filter(|(_, state)| **state == PeerOnlineState::Offline);
                items.extend(away.map(|(peer, _)| Item::Away(number_of(peer.as_str()))));
                continue;
            }
            RtmEvent::RestoreFailed { .. } => {
                faults.add("not restored", || format!("{}: {event:?}", name(number)));
                continue;
            }
            _ => continue,
        };
        let from = number_of(from.as_str());
        if let Ok(n) = message.as_text().unwrap().parse() {
            items.push(Item::Text { from, to, n, is_stored });
        }
    }
    items
}

fn number_of(user: &str) -> usize {
    user.strip_prefix("user-").unwrap().parse().unwrap()
}

fn check(events: &[Vec<RtmEvent>], sent: &[Vec<Sent>]) -> Account {
    let mut faults = Faults::default();
    let received: Vec<Vec<Item>> =
        events.iter().enumerate().map(|(number, events)| items(number, events, &mut faults)).collect();
    for (number, items) in received.iter().enumerate() {
        check_order(number, items, &mut faults);
    }
    let mut outcomes = BTreeMap::new();
    for (number, sent) in sent.iter().enumerate() {
        for one in sent {
            *outcomes.entry(one.outcome).or_default() += 1;
            match one.outcome {
                Outcome::Delivered | Outcome::Stored => check_arrival(number, one, &received, &mut faults),
                Outcome::NotReceived | Outcome::Failed(ErrorKind::Timeout | ErrorKind::OutcomeUnknown) => {}
                Outcome::Failed(_) => faults.add("refused", || format!("{} {one:?}", name(number))),
            }
        }
    }
    let with = |is_it: fn(&Item) -> bool| {
        received.iter().enumerate().filter(|(_, items)| items.iter().any(is_it)).map(|(number, _)| number).collect()
    };
    let (cut, gaps): (BTreeSet<usize>, _) =
        (with(|item| matches!(item, Item::Cut)), with(|item| matches!(item, Item::Gap { .. })));
    for (number, items) in received.iter().enumerate() {
        let away = items.iter().filter_map(|item| if let Item::Away(user) = item { Some(*user) } else { None });
        for user in away.filter(|user| !cut.contains(user)) {
            faults.add("away, with its connection", || format!("{}, said {}", name(user), name(number)));
        }
    }
    Account { faults, outcomes, cut, gaps }
}

/// What one user got of each other one is in order, and nothing came twice. The vendor's wire may repeat what the server
/// could not know to have come over a connection that was lost; what was stored may be late.
fn check_order(number: usize, items: &[Item], faults: &mut Faults) {
    let mut seen: HashMap<(usize, To, usize), usize> = HashMap::new();
    let mut last: HashMap<(usize, To), usize> = HashMap::new();
    for (at, item) in items.iter().enumerate() {
        let Item::Text { from, to, n, is_stored } = item else { continue };
        let case = || format!("{to:?} {n} from {} to {}", name(*from), name(number));
        if let Some(first) = seen.insert((*from, *to, *n), at) {
            let is_behind_gap = items[first..at].iter().any(|item| matches!(item, Item::Gap { is_of_room: false }));
            if wire(number) == Wire::Native || !is_behind_gap || *to == To::Room {
                faults.add("repeated", case);
            }
            continue;
        }
        if *is_stored {
            continue;
        }
        let last = last.entry((*from, *to)).or_insert(*n);
        if n < last {
            faults.add("out of order", case);
        }
        *last = *n.max(last);
    }
}

/// A message that was said to be delivered or stored has come to each receiver; a room's message may be in a gap, which is
/// where the message would be.
fn check_arrival(number: usize, one: &Sent, received: &[Vec<Item>], faults: &mut Faults) {
    let receivers = match one.to {
        To::Peer => vec![partner(number)],
        To::Room => {
            let first = number / ROOM * ROOM;
            (first..first + ROOM).filter(|other| *other != number).collect()
        }
    };
    for receiver in receivers {
        let items = &received[receiver];
        let (mut after, mut before) = (0, items.len());
        let mut has_come = false;
        for (at, item) in items.iter().enumerate() {
            match item {
                Item::Text { from, to, n, .. } if *from == number && *to == one.to => {
                    has_come |= *n == one.n;
                    if *n < one.n {
                        after = at;
                    } else {
                        before = before.min(at);
                    }
                }
                _ => {}
            }
        }
        let mut between = items.get(after..before).into_iter().flatten();
        let is_told = one.to == To::Room && between.any(|item| matches!(item, Item::Gap { .. }));
        if !has_come && !is_told {
            faults.add("lost", || format!("{} to {}: {one:?}", name(number), name(receiver)));
        }
    }
}

/// How many users there are, and how many of them in a room.
const USERS: usize = 24;
const ROOM: usize = 12;
/// After so long each user sends again.
const PAUSE: Duration = Duration::from_millis(250);
/// What is no number is said when all is over.
const LAST: &str = "over";

#[test]
fn an_account_has_what_is_lost_repeated_and_out_of_order() {
    let text = |n| Item::Text { from: 0, to: To::Room, n, is_stored: false };
    let gap = || Item::Gap { is_of_room: true };
    let faults_of = |items: Vec<Item>, delivered: &[usize]| {
        let mut received: Vec<Vec<Item>> = (0..ROOM).map(|_| [1, 3, 5, 7].map(text).into()).collect();
        received[1] = items;
        let mut faults = Faults::default();
        check_order(1, &received[1], &mut faults);
        for n in delivered {
            let one = Sent { to: To::Room, n: *n, at: Duration::ZERO, outcome: Outcome::Delivered };
            check_arrival(0, &one, &received, &mut faults);
        }
        faults.0.into_keys().collect::<Vec<_>>()
    };
    assert_eq!(faults_of(vec![text(1), text(3), text(5)], &[1, 3, 5]), [""; 0]);
    assert_eq!(faults_of(vec![text(1), text(5)], &[1, 3, 5]), ["lost"]);
    assert_eq!(faults_of(vec![text(1), gap(), text(5)], &[1, 3, 5]), [""; 0]);
    assert_eq!(faults_of(vec![gap(), text(1), text(5), gap()], &[1, 3, 5]), ["lost"]);
    assert_eq!(faults_of(vec![text(1), text(3)], &[1, 3, 5]), ["lost"]);
    assert_eq!(faults_of(vec![text(1), text(3), text(5), gap()], &[1, 3, 5, 7]), [""; 0]);
    assert_eq!(faults_of(vec![text(1), text(3), text(3), text(5)], &[1, 3, 5]), ["repeated"]);
    assert_eq!(faults_of(vec![text(3), text(1), text(5)], &[1, 3, 5]), ["out of order"]);
}
