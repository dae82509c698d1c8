//! Many clients while nodes are restarted: nobody may notice. `RTM_CLIENTS` says how many, `RTM_BEFORE` names the program of an
//! older version to begin with.

use std::{
    collections::HashMap,
    env,
    path::PathBuf,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use futures::{StreamExt as _, stream};
use rtm_client::{ErrorKind, PeerOnlineState, RtmEvent, SendOutcome, Wire};
use tokio::{task::JoinHandle, time::sleep};

use crate::{
    chat::Faults,
    nodes::Nodes,
    users::{User, log_in, soon},
};

/// What a user sent, and what was said of it.
#[derive(Debug, Clone)]
struct Sent {
    to: To,
    n: usize,
    is_delivered: bool,
    outcome: Option<ErrorKind>,
    took: Duration,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum To {
    Peer,
    Room,
}

fn number(variable: &str, usual: usize) -> usize {
    env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

/// So many users, half of them on each wire, who know all nodes and begin at one after the other.
async fn log_all_in(nodes: &Nodes, count: usize, first: impl Fn(usize) -> usize) -> Vec<User> {
    rlimit::increase_nofile_limit(u64::MAX).unwrap();
    let begun = Instant::now();
    let logins = (0..count).map(|number| {
        let first = first(number);
        let gateways = nodes.gateways(&[first, (first + 1) % 3, (first + 2) % 3]);
        let wire = wire(number);
        async move { log_in(wire, &name(number), &gateways).await }
    });
    let users = stream::iter(logins).buffered(32).collect().await;
    eprintln!("{count} clients are logged in after {:.1} s", begun.elapsed().as_secs_f64());
    users
}

pub(crate) fn wire(number: usize) -> Wire {
    if (number / 3).is_multiple_of(2) { Wire::Native } else { Wire::Vendor }
}

pub(crate) fn name(number: usize) -> String {
    format!("user-{number}")
}

/// The other one of a pair, who began at another node.
pub(crate) fn partner(number: usize) -> usize {
    number ^ 1
}

/// Sends now to the partner, now to the room, until it is told to stop.
fn talk(user: &User, number: usize, is_over: Arc<AtomicBool>, pause: Duration) -> JoinHandle<Vec<Sent>> {
    let client = user.client.clone();
    tokio::spawn(async move {
        let room = client.channel(room(number)).unwrap();
        // They do not all speak at once.
        sleep(pause.mul_f64((number % 101) as f64 / 101.0)).await;
        let mut all = Vec::new();
        for n in 0_usize.. {
            if is_over.load(Ordering::Relaxed) {
                break;
            }
            let begun = Instant::now();
            let to = if n.is_multiple_of(2) { To::Peer } else { To::Room };
            let (is_delivered, outcome) = match to {
                To::Peer => {
                    let outcome = client.send_message_to_peer(name(partner(number)), format!("{n}")).await;
                    (matches!(outcome, Ok(SendOutcome::Delivered)), outcome.err().map(|error| error.kind()))
                }
                To::Room => {
                    let outcome = room.send_message(format!("{n}")).await;
                    (outcome.is_ok(), outcome.err().map(|error| error.kind()))
                }
            };
            all.push(Sent { to, n, is_delivered, outcome, took: begun.elapsed() });
            sleep(pause).await;
        }
        all
    })
}

fn room(number: usize) -> String {
    format!("room-{}", number / ROOM)
}

/// What a user got from whom, and what it should not have noticed. The vendor's wire cannot say that a session goes on: there
/// each new connection is a gap to the client.
fn received(user: &mut User, wire: Wire, faults: &mut Faults) -> HashMap<(String, To), Vec<usize>> {
    let mut texts: HashMap<(String, To), Vec<usize>> = HashMap::new();
    for event in user.so_far() {
        let (from, to, message) = match &event {
            RtmEvent::MessageFromPeer { peer_id, message, .. } => (peer_id, To::Peer, message),
            RtmEvent::ChannelMessage { member_id, message, .. } => (member_id, To::Room, message),
            RtmEvent::Gap { .. } if wire == Wire::Vendor => continue,
            RtmEvent::Gap { .. } => {
                faults.add("gaps", || format!("{}: {event:?}", user.name));
                continue;
            }
            RtmEvent::MemberLeft { .. } => {
                faults.add("members left", || format!("{}: {event:?}", user.name));
                continue;
            }
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                if peers.values().any(|state| *state == PeerOnlineState::Offline) {
                    faults.add("offline", || format!("{}: {event:?}", user.name));
                }
                continue;
            }
            _ => continue,
        };
        let n = message.as_text().unwrap().parse().unwrap();
        texts.entry((from.as_str().to_owned(), to)).or_default().push(n);
    }
    texts
}

fn check(users: &mut [User], sent: &[Vec<Sent>]) -> Faults {
    let mut faults = Faults::default();
    let received: Vec<_> =
        users.iter_mut().enumerate().map(|(at, user)| received(user, wire(at), &mut faults)).collect();
    for (number, texts) in received.iter().enumerate() {
        for ((from, to), texts) in texts {
            for pair in texts.windows(2).filter(|pair| pair[0] >= pair[1]) {
                let what =
                    if texts.iter().filter(|n| **n == pair[1]).count() > 1 { "repeated" } else { "out of order" };
                faults.add(what, || format!("{to:?} from {from} to {}: {pair:?}", name(number)));
            }
        }
    }
    for (number, sent) in sent.iter().enumerate() {
        for one in sent {
            // Nor can a call be repeated there whose answer was cut off.
            if !one.is_delivered && (wire(number) == Wire::Native || one.outcome != Some(ErrorKind::OutcomeUnknown)) {
                faults.add("not delivered", || format!("{} {one:?}", name(number)));
            }
            let receivers: Vec<usize> = match one.to {
                To::Peer => vec![partner(number)],
                To::Room => {
                    let first = number / ROOM * ROOM;
                    (first..users.len().min(first + ROOM)).filter(|other| *other != number).collect()
                }
            };
            for receiver in receivers {
                let texts = received[receiver].get(&(name(number), one.to));
                if one.is_delivered && !texts.is_some_and(|texts| texts.contains(&one.n)) {
                    faults.add("lost", || format!("{} to {}: {one:?}", name(number), name(receiver)));
                }
            }
        }
    }
    faults
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn a_rolling_restart_under_many_chatting_clients_is_noticed_by_nobody() {
    let count = number("RTM_CLIENTS", 300) / ROOM * ROOM;
    let mut nodes = Nodes::new(3).await;
    if let Some(before) = env::var_os("RTM_BEFORE") {
        nodes.program = PathBuf::from(before);
    }
    nodes.add_all(3).await;
    let mut users = log_all_in(&nodes, count, |number| number % 3).await;
    let prepared = stream::iter(users.iter().enumerate()).for_each_concurrent(32, |(number, user)| async move {
        soon("joining", user.client.channel(room(number)).unwrap().join()).await.unwrap();
        soon("watching", user.client.subscribe_peers_online_status([name(partner(number))])).await.unwrap();
    });
    prepared.await;
    sleep(Duration::from_secs(1)).await;
    users.iter_mut().for_each(|user| drop(user.so_far()));

    let is_over = Arc::new(AtomicBool::new(false));
    let pause = Duration::from_secs(1).mul_f64((count as f64 / 300.0).max(1.0));
    let talkers: Vec<_> =
        users.iter().enumerate().map(|(number, user)| talk(user, number, Arc::clone(&is_over), pause)).collect();
    nodes.program = PathBuf::from(env!("CARGO_BIN_EXE_rtm"));
    for at in 0..3 {
        sleep(Duration::from_secs(2)).await;
        let begun = Instant::now();
        nodes.stop(at, Duration::from_secs(70)).await;
        eprintln!("node {at} ended after {:.1} s", begun.elapsed().as_secs_f64());
        nodes.spawn(at);
        nodes.listening(at).await;
    }
    sleep(Duration::from_secs(2)).await;
    is_over.store(true, Ordering::Relaxed);
    let mut sent = Vec::new();
    for talker in talkers {
        sent.push(talker.await.unwrap());
    }
    sleep(Duration::from_secs(2)).await;
    let mut times: Vec<_> = sent.iter().flatten().map(|sent| sent.took).collect();
    times.sort();
    eprintln!(
        "{count} clients sent {} messages: the median took {:?}, the slowest {:?}",
        times.len(),
        times[times.len() / 2],
        times[times.len() - 1]
    );
    let unknown = sent.iter().flatten().filter(|sent| sent.outcome == Some(ErrorKind::OutcomeUnknown)).count();
    eprintln!("of {unknown} of them the outcome is unknown");
    let faults = check(&mut users, &sent);
    assert!(unknown * 100 < times.len(), "{unknown} of {}", times.len());
    assert!(faults.are_none(), "{faults:#?}");
    assert!(times.len() > 3 * count, "only {} messages were sent", times.len());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "needs NATS_SERVER"]
async fn a_node_gives_its_idle_sessions_away_in_seconds() {
    let count = number("RTM_CLIENTS", 500);
    let mut nodes = Nodes::start(1, 3).await;
    let mut users = log_all_in(&nodes, count, |_| 0).await;
    let begun = Instant::now();
    nodes.stop(0, Duration::from_secs(70)).await;
    let took = begun.elapsed();
    eprintln!("a node with {count} idle sessions ended after {:.1} s", took.as_secs_f64());
    assert!(took < Duration::from_secs(15), "{took:?}");
    sleep(Duration::from_secs(2)).await;
    let mut faults = Faults::default();
    users.iter_mut().enumerate().for_each(|(at, user)| drop(received(user, wire(at), &mut faults)));
    assert!(faults.are_none(), "{faults:#?}");
    let [first, .., last] = &mut users[..] else { panic!("two users") };
    first.tells(last, "still here").await;
}

/// How many users are in a channel.
const ROOM: usize = 10;
