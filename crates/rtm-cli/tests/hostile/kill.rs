//! `rtm serve --data-dir` killed under load: what was acknowledged is there.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use futures::{StreamExt as _, future::join_all, stream};
use rtm_client::{Client, HistoryQuery, RtmEvent, SendChannelMessageOptions, SendMessageOptions, SendOutcome, Wire};
use tokio::time::sleep;

use crate::server::{Options, Server, soon, unlimited};

const WRITERS: usize = 4;
/// Fewer than the server keeps for one receiver.
const PER_RECEIVER: usize = 100;
const UNDER_WAY: usize = 8;
const ROUNDS: usize = 3;

/// What the server has acknowledged.
#[derive(Default)]
struct Acknowledged {
    /// By receiver, in the order of the sender.
    offline: Mutex<BTreeMap<String, BTreeSet<usize>>>,
    channel_history: Mutex<BTreeMap<String, BTreeSet<usize>>>,
    /// The last value by channel.
    attributes: Mutex<BTreeMap<String, usize>>,
    count: AtomicUsize,
}

impl Acknowledged {
    fn counted(&self) {
        self.count.fetch_add(1, Ordering::Relaxed);
    }
}

/// Writes to everything that is kept, for ever.
async fn write(client: Client, name: String, acknowledged: Arc<Acknowledged>) {
    let offline = async {
        let options = SendMessageOptions::new().enable_offline_messaging(true).enable_historical_messaging(true);
        stream::iter(0..)
            .map(|n: usize| (format!("{name}-to-{}", n / PER_RECEIVER), n % PER_RECEIVER))
            .map(async |(receiver, n)| {
                (client.send_message_to_peer_with(&receiver, n.to_string(), options).await, receiver, n)
            })
            .buffered(UNDER_WAY)
            .for_each(async |(sent, receiver, n)| {
                if let Ok(outcome) = sent {
                    assert_eq!(outcome, SendOutcome::Stored);
                    acknowledged.offline.lock().unwrap().entry(receiver).or_default().insert(n);
                    acknowledged.counted();
                }
            })
            .await;
    };
    let attributes = async {
        let room = format!("{name}-room");
        for n in 0.. {
            if client.set_channel_attributes(&room, [("n", n.to_string())], Default::default()).await.is_ok() {
                acknowledged.attributes.lock().unwrap().insert(room.clone(), n);
                acknowledged.counted();
            }
        }
    };
    let history = async {
        let room = format!("{name}-hall");
        let channel = client.channel(&room).unwrap();
        channel.join().await.unwrap();
        let options = SendChannelMessageOptions::new().enable_historical_messaging(true);
        for n in 0.. {
            if channel.send_message_with(n.to_string(), options).await.is_ok() {
                acknowledged.channel_history.lock().unwrap().entry(room.clone()).or_default().insert(n);
                acknowledged.counted();
            }
        }
    };
    futures::join!(offline, attributes, history);
}

async fn history(client: &Client, ask: impl AsyncFn(HistoryQuery) -> rtm_client::HistoryPage) -> Vec<usize> {
    let mut texts = Vec::new();
    let mut query = HistoryQuery::default();
    loop {
        let page = ask(query).await;
        let own = page.messages.iter().filter(|message| Some(&message.from) == client.user_id().as_ref());
        texts.extend(own.map(|message| message.message.as_text().unwrap().parse::<usize>().unwrap()));
        match page.next {
            Some(next) => query = query.after(next),
            None => return texts,
        }
    }
}

/// In order, each once.
fn is_sorted_and_once(numbers: &[usize]) -> bool {
    numbers.is_sorted_by(|one, next| one < next)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everything_acknowledged_survives_kill_9_under_load() {
    let data = tempfile::tempdir().unwrap();
    let args = ["--data-dir", data.path().to_str().unwrap()];
    let project = unlimited();
    let options = Options { project: &project, args: &args, ..Options::default() };
    for round in 0..ROUNDS {
        let server = Server::start(options);
        let acknowledged = Arc::<Acknowledged>::default();
        let mut clients = Vec::new();
        let mut writers = Vec::new();
        for i in 0..WRITERS {
            let name = format!("writer-{round}-{i}");
            let (client, events) = server.log_in(Wire::Native, &name).await;
            writers.push(tokio::spawn(write(client, name, Arc::clone(&acknowledged))));
            clients.push(events);
        }
        // At another moment each time.
        soon("being written", async {
            while acknowledged.count.load(Ordering::Relaxed) < 300 + 457 * round {
                sleep(Duration::from_millis(1)).await;
            }
        })
        .await;
        server.kill();
        writers.iter().for_each(|writer| writer.abort());
        join_all(writers).await;
        drop(clients);

        let server = Server::start(options);
        let offline = std::mem::take(&mut *acknowledged.offline.lock().unwrap());
        for (receiver, sent) in &offline {
            let (client, mut events) = server.log_in(Wire::Native, receiver).await;
            let mut received = Vec::new();
            while !sent.iter().all(|n| received.contains(n)) {
                match soon("a stored message", events.recv()).await {
                    Some(RtmEvent::MessageFromPeer { message, properties, .. }) => {
                        assert!(properties.is_offline_message);
                        received.push(message.as_text().unwrap().parse().unwrap());
                    }
                    Some(RtmEvent::ConnectionStateChanged { .. }) => {}
                    other => panic!("{other:?}"),
                }
            }
            assert!(is_sorted_and_once(&received), "{receiver}: {received:?}");
            client.logout().await.unwrap();
        }
        let mut count = offline.values().map(BTreeSet::len).sum::<usize>();
        for i in 0..WRITERS {
            let name = format!("writer-{round}-{i}");
            let (client, _events) = server.log_in(Wire::Native, &name).await;
            for (receiver, sent) in offline.iter().filter(|(receiver, _)| receiver.starts_with(&format!("{name}-"))) {
                let kept =
                    history(&client, async |query| client.query_peer_history(receiver, query).await.unwrap()).await;
                assert!(is_sorted_and_once(&kept) && sent.iter().all(|n| kept.contains(n)), "{sent:?}: {kept:?}");
            }
            let room = format!("{name}-hall");
            client.channel(&room).unwrap().join().await.unwrap();
            let kept = history(&client, async |query| client.query_channel_history(&room, query).await.unwrap()).await;
            let sent = acknowledged.channel_history.lock().unwrap().remove(&room).unwrap_or_default();
            assert!(is_sorted_and_once(&kept) && sent.iter().all(|n| kept.contains(n)), "{sent:?}: {kept:?}");
            let room = format!("{name}-room");
            let written = acknowledged.attributes.lock().unwrap().remove(&room);
            let kept = client.channel_attributes(&room).await.unwrap();
            let kept = kept.attributes.iter().find(|(key, _)| key.as_str() == "n");
            let kept: Option<usize> = kept.map(|(_, attribute)| attribute.value.as_str().parse().unwrap());
            // The one that was under way may have been written.
            assert!(kept >= written && kept <= written.map_or(Some(0), |n| Some(n + 1)), "{written:?}: {kept:?}");
            count += sent.len() + written.map_or(0, |n| n + 1);
        }
        println!(
            "round {round}: {count} of {} acknowledged writes are there",
            acknowledged.count.load(Ordering::Relaxed)
        );
        assert!(count >= acknowledged.count.load(Ordering::Relaxed));
    }
}
