//! Users who chat without a pause. The [`account`] of all that they sent says whether each message has come.

mod account;
mod arrival;
mod history;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, future::BoxFuture, stream, stream::FuturesUnordered};
use rtm_client::{ErrorKind, RtmError, RtmEvent, SendChannelMessageOptions, SendMessageOptions, SendOutcome};
use tokio::{
    task::JoinHandle,
    time::{MissedTickBehavior, interval, sleep, timeout},
};

pub(crate) use self::account::{Account, Faults};
use self::{arrival::has_all_that_was_stored, history::Histories};
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
    begun: Instant,
    reached: Arc<[Reached; USERS]>,
}

/// When that message of a user was sent that is the latest one to be delivered, in milliseconds since the chat began.
#[derive(Debug, Default)]
struct Reached {
    peer: AtomicU64,
    room: AtomicU64,
}

/// What a user sent, and what was said of it.
#[derive(Debug, Clone)]
struct Sent {
    to: To,
    n: usize,
    /// When it was sent and when its sender was answered, since the chat began.
    at: Duration,
    answered: Duration,
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

impl Outcome {
    fn of_peer(answer: Result<SendOutcome, RtmError>) -> Self {
        match answer {
            Ok(SendOutcome::Delivered) => Self::Delivered,
            Ok(SendOutcome::Stored) => Self::Stored,
            Ok(_) => Self::NotReceived,
            Err(error) => Self::Failed(error.kind()),
        }
    }

    fn of_room(answer: Result<(), RtmError>) -> Self {
        answer.map_or_else(|error| Self::Failed(error.kind()), |()| Self::Delivered)
    }
}

impl Chat {
    /// A few dozen users, half of them on each wire, who know all three nodes, begin at any, and meet in rooms. All reach each
    /// other.
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
        let (is_over, begun, reached) =
            (Arc::<AtomicBool>::default(), Instant::now(), Arc::<[Reached; USERS]>::default());
        let talkers = users.iter().enumerate();
        let talkers = talkers.map(|(number, user)| talk(user, number, &is_over, &reached, begun)).collect();
        let chat = Self { users, talkers, is_over, begun, reached };
        chat.goes_on().await;
        chat
    }

    /// How long it has been going on.
    pub(crate) fn time(&self) -> Duration {
        self.begun.elapsed()
    }

    /// Waits until each user has reached its partner and its room with what it sent after now, and says how long that took.
    pub(crate) async fn goes_on_within(&self, limit: Duration) -> Duration {
        let since = self.time();
        let now = u64::try_from(since.as_millis()).unwrap();
        let has_reached = |reached: &Reached| {
            [&reached.peer, &reached.room].into_iter().all(|latest| latest.load(Ordering::Relaxed) > now)
        };
        let all = async {
            while !self.reached.iter().all(has_reached) {
                sleep(Duration::from_millis(50)).await;
            }
        };
        if timeout(limit, all).await.is_err() {
            let silent: Vec<_> = (0..USERS).filter(|number| !has_reached(&self.reached[*number])).collect();
            panic!("after {limit:?} these do not reach others: {silent:?}");
        }
        let took = self.time() - since;
        eprintln!("all reach each other after {took:.1?}");
        took
    }

    /// The same where nothing is wrong.
    pub(crate) async fn goes_on(&self) {
        self.goes_on_within(GOES_ON_WITHIN).await;
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
        let all_come = async {
            loop {
                for (user, events) in self.users.iter_mut().zip(&mut events) {
                    events.extend(user.so_far());
                }
                if has_all_that_was_stored(&events, &sent) {
                    break;
                }
                sleep(Duration::from_millis(100)).await;
            }
        };
        // If they do not, the account says which.
        let _ = timeout(STORED_COMES_WITHIN, all_come).await;
        let histories = Histories::read(&self.users).await;
        Account::settle(&events, sent, &histories)
    }
}

/// Sends now to the partner, now to the room, until it is told to stop, and waits for all answers.
fn talk(
    user: &User,
    number: usize,
    is_over: &Arc<AtomicBool>,
    reached: &Arc<[Reached; USERS]>,
    begun: Instant,
) -> JoinHandle<Vec<Sent>> {
    let (client, is_over, reached) = (user.client.clone(), Arc::clone(is_over), Arc::clone(reached));
    tokio::spawn(async move {
        let room = client.channel(room(number)).unwrap();
        // They do not all speak at once.
        sleep(PAUSE.mul_f64(number as f64 / USERS as f64)).await;
        let mut ticks = interval(PAUSE);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut under_way: FuturesUnordered<BoxFuture<'static, Sent>> = FuturesUnordered::new();
        let (mut all, mut n) = (Vec::new(), 0);
        while !is_over.load(Ordering::Relaxed) {
            tokio::select! {
                _ = ticks.tick() => {}
                Some(sent) = under_way.next() => {
                    reached[number].note(&sent);
                    all.push(sent);
                    continue;
                }
            }
            let (at, text) = (begun.elapsed(), n.to_string());
            let sent = move |to, outcome| Sent { to, n, at, answered: begun.elapsed(), outcome };
            if n % 2 == 0 {
                let options = SendMessageOptions::new()
                    .enable_offline_messaging(is_to_be_stored(n))
                    .enable_historical_messaging(is_to_be_kept(n));
                let call = client.send_message_to_peer_with(name(partner(number)), text, options);
                under_way.push(Box::pin(async move { sent(To::Peer, Outcome::of_peer(call.await)) }));
            } else {
                let options = SendChannelMessageOptions::new().enable_historical_messaging(is_to_be_kept(n));
                let call = room.send_message_with(text, options);
                under_way.push(Box::pin(async move { sent(To::Room, Outcome::of_room(call.await)) }));
            }
            n += 1;
        }
        all.extend(under_way.collect::<Vec<_>>().await);
        all
    })
}

impl Sent {
    fn is_for_the_store(&self) -> bool {
        is_to_be_kept(self.n) || self.to == To::Peer && is_to_be_stored(self.n)
    }
}

impl Reached {
    fn note(&self, sent: &Sent) {
        if sent.outcome == Outcome::Delivered {
            let latest = if sent.to == To::Peer { &self.peer } else { &self.room };
            latest.fetch_max(u64::try_from(sent.at.as_millis()).unwrap(), Ordering::Relaxed);
        }
    }
}

/// Whether a message to a peer is stored if the peer is away: every other one.
fn is_to_be_stored(n: usize) -> bool {
    n.is_multiple_of(4)
}

/// Whether a message goes into the history: every third one, whatever else is asked of it.
fn is_to_be_kept(n: usize) -> bool {
    n.is_multiple_of(3)
}

/// A room has users of both wires.
fn room(number: usize) -> String {
    format!("room-{}", number / ROOM)
}

/// The users in the room of this one.
fn members(number: usize) -> std::ops::Range<usize> {
    let first = number / ROOM * ROOM;
    first..first + ROOM
}

/// Tries something until it succeeds.
async fn until_it_works(mut what: impl AsyncFnMut() -> bool) {
    let all = async {
        while !what().await {
            sleep(Duration::from_millis(100)).await;
        }
    };
    soon("being with each other", all).await;
}

fn number_of(user: &str) -> usize {
    user.strip_prefix("user-").unwrap().parse().unwrap()
}

/// How many users there are, and how many of them in a room.
const USERS: usize = 24;
const ROOM: usize = 12;
/// After so long each user sends again.
const PAUSE: Duration = Duration::from_millis(250);
/// Each user speaks to its partner and to its room twice a second. The machine may be busy.
const GOES_ON_WITHIN: Duration = Duration::from_secs(10);
/// What was stored by a node that did not know of a login is read 15 s after that.
const STORED_COMES_WITHIN: Duration = Duration::from_secs(30);
/// What is no number is said when all is over.
const LAST: &str = "over";
