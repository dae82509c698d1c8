//! `rtm serve --data-dir` killed while the receivers of its messages are away, come back and are cut off again: what a
//! sender was told holds.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream};
use rtm_client::{Client, ErrorKind, Events, RtmEvent, SendMessageOptions, SendOutcome, Wire};
use tokio::time::sleep;

use crate::{
    proxy::{Network, Proxy},
    server::{Options, Server, client, soon, unlimited},
};

const SENDERS: usize = 3;
const RECEIVERS: usize = 8;
const UNDER_WAY: usize = 16;
const KILLS: usize = 3;
/// How many acknowledged messages there are between two kills.
const BETWEEN: usize = 400;

/// By sender and receiver, the numbers of messages.
type Numbers = BTreeMap<(String, String), BTreeSet<usize>>;

#[derive(Default)]
struct Told {
    /// That they are on the device, or stored, and so have to be there.
    promised: Mutex<Numbers>,
    stored: AtomicUsize,
    delivered: AtomicUsize,
    /// That nobody knows.
    unknown: AtomicUsize,
    is_over: AtomicBool,
}

impl Told {
    fn count(&self) -> usize {
        self.stored.load(Ordering::Relaxed) + self.delivered.load(Ordering::Relaxed)
    }
}

fn wire_of(receiver: usize) -> Wire {
    if receiver.is_multiple_of(2) { Wire::Native } else { Wire::Vendor }
}

async fn send(client: Client, name: String, told: Arc<Told>) {
    let options = SendMessageOptions::new().enable_offline_messaging(true);
    stream::iter(0..)
        .take_while(|_| std::future::ready(!told.is_over.load(Ordering::Relaxed)))
        .map(async |n: usize| {
            let receiver = format!("receiver-{}", n % RECEIVERS);
            let sent = client.send_message_to_peer_with(&receiver, format!("{name} {n}"), options).await;
            (sent, receiver, n)
        })
        .buffered(UNDER_WAY)
        .for_each(async |(sent, receiver, n)| {
            let (count, is_promised) = match sent {
                Ok(SendOutcome::Delivered) => (&told.delivered, true),
                Ok(SendOutcome::Stored) => (&told.stored, true),
                Err(error) if matches!(error.kind(), ErrorKind::OutcomeUnknown | ErrorKind::Timeout) => {
                    (&told.unknown, false)
                }
                other => panic!("{other:?} of a message that was to be stored"),
            };
            count.fetch_add(1, Ordering::Relaxed);
            if is_promised {
                told.promised.lock().unwrap().entry((name.clone(), receiver)).or_default().insert(n);
            }
        })
        .await;
}

/// What a receiver has got, in order, by sender.
type Got = Arc<Mutex<BTreeMap<String, Vec<usize>>>>;

async fn receive(mut events: Events, got: Got) {
    while let Some(event) = events.recv().await {
        if let RtmEvent::MessageFromPeer { message, .. } = event {
            let (sender, n) = message.as_text().unwrap().split_once(' ').unwrap();
            got.lock().unwrap().entry(sender.to_owned()).or_default().push(n.parse().unwrap());
        }
    }
}

/// Stops and cuts a receiver's network, each time for as long as its number says.
async fn disturb(proxy: Arc<Proxy>, number: usize) {
    let states = [Network::Open, Network::Stopped, Network::Open, Network::Cut];
    for (turn, network) in states.into_iter().cycle().enumerate() {
        proxy.set(network);
        sleep(Duration::from_millis(40 + (number * 37 + turn * 101) as u64 % 300)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_senders_were_told_of_absent_receivers_holds_over_kill_9() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--data-dir", data.path().to_str().unwrap()];
    // Senders hear soon of receivers that do not answer, and the store takes all.
    let project =
        format!("{}\n[project.settings]\nreceipt_within = \"200ms\"\noffline_messages = 1000000", unlimited());
    let options = Options { project: &project, args: &args, ..Options::default() };
    let mut server = Server::start(options);
    let options = Options { listen: Some(server.address), ..options };

    let mut receivers = Vec::new();
    for number in 0..RECEIVERS {
        let proxy = Arc::new(Proxy::start(server.address).await);
        let wire = wire_of(number);
        let back = Duration::from_millis(20);
        let builder = client(proxy.address, wire).heartbeat(Duration::from_millis(500)).reconnect_backoff(back, back);
        let (client, events) = builder.build().unwrap();
        client.login(format!("receiver-{number}"), None).await.unwrap();
        let got = Got::default();
        tokio::spawn(receive(events, Arc::clone(&got)));
        let disturber = tokio::spawn(disturb(Arc::clone(&proxy), number));
        receivers.push((client, proxy, got, disturber));
    }
    let told = Arc::<Told>::default();
    let mut senders = Vec::new();
    for number in 0..SENDERS {
        let name = format!("sender-{number}");
        let back = Duration::from_millis(20);
        let (client, mut events) = server.client(Wire::Native).reconnect_backoff(back, back).build().unwrap();
        client.login(&name, None).await.unwrap();
        tokio::spawn(async move { while events.recv().await.is_some() {} });
        senders.push(tokio::spawn(send(client, name, Arc::clone(&told))));
    }

    for kill in 1..=KILLS {
        soon("being acknowledged", async {
            while told.count() < kill * BETWEEN {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        server.kill();
        server = Server::start(options);
    }
    told.is_over.store(true, Ordering::Relaxed);
    for sent in join_all(senders).await {
        sent.unwrap();
    }
    for (_, proxy, _, disturber) in &receivers {
        disturber.abort();
        proxy.set(Network::Open);
    }

    let promised = std::mem::take(&mut *told.promised.lock().unwrap());
    for ((sender, receiver), sent) in &promised {
        let number: usize = receiver.trim_start_matches("receiver-").parse().unwrap();
        let (_, _, got, _) = &receivers[number];
        let missing = || {
            let got = got.lock().unwrap();
            let got = got.get(sender).map(Vec::as_slice).unwrap_or_default();
            sent.iter().copied().filter(|n| !got.contains(n)).collect::<Vec<_>>()
        };
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        while !missing().is_empty() {
            assert!(tokio::time::Instant::now() < deadline, "{receiver} misses {:?} of {sender}", missing());
            sleep(Duration::from_millis(20)).await;
        }
        if wire_of(number) == Wire::Native {
            let got = got.lock().unwrap()[sender].clone();
            assert!(got.is_sorted_by(|one, next| one < next), "{receiver} got of {sender}: {got:?}");
        }
    }
    let [stored, delivered, unknown] =
        [&told.stored, &told.delivered, &told.unknown].map(|count| count.load(Ordering::Relaxed));
    println!("{stored} messages stored and {delivered} delivered; of {unknown} nobody knew");
    assert!(stored > 0 && delivered > 0 && unknown > 0);
    for (client, ..) in &receivers {
        client.logout().await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_delivered_at_the_moment_of_kill_9_comes_once() {
    const STORED: usize = 3000;
    let data = tempfile::tempdir().unwrap();
    let args = ["--data-dir", data.path().to_str().unwrap()];
    let project = format!("{}\n[project.settings]\noffline_messages = 1000000", unlimited());
    let options = Options { project: &project, args: &args, ..Options::default() };
    let mut server = Server::start(options);
    let options = Options { listen: Some(server.address), ..options };
    for round in 0..KILLS {
        let name = format!("receiver-{round}");
        let (sender, _events) = server.log_in(Wire::Native, &format!("sender-{round}")).await;
        let stored = SendMessageOptions::new().enable_offline_messaging(true);
        stream::iter(0..STORED)
            .map(async |n| sender.send_message_to_peer_with(&name, n.to_string(), stored).await.unwrap())
            .buffered(64)
            .for_each(async |outcome| assert_eq!(outcome, SendOutcome::Stored))
            .await;
        sender.logout().await.unwrap();

        let back = Duration::from_millis(20);
        let (receiver, mut events) = server.client(Wire::Native).reconnect_backoff(back, back).build().unwrap();
        receiver.login(&name, None).await.unwrap();
        let mut next = 0;
        while next < STORED {
            if let Some(RtmEvent::MessageFromPeer { message, .. }) = soon("a stored message", events.recv()).await {
                assert_eq!(message.as_text().unwrap(), next.to_string());
                next += 1;
                if next % (STORED / KILLS) == 100 * (round + 1) {
                    server.kill();
                    server = Server::start(options);
                }
            }
        }
        receiver.logout().await.unwrap();
    }
}
