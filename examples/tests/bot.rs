//! How to test a bot: its logic alone, over a real server, and in a simulated bad network with virtual time.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::{cell::RefCell, collections::BTreeMap, rc::Rc, time::Duration};

use examples::{APP_ID, start_server};
use rtm_client::{Client, ConnectionState, Events, RtmEvent, UserId, Wire};
use rtm_sim::{App, DeviceConfig, Faults, Handle, Input, World};

/// A bot that counts votes: one for each text message that it gets. It knows nothing of clients and networks, so every test
/// below uses the same code.
#[derive(Debug, Default)]
struct VoteBot {
    votes: BTreeMap<String, u32>,
}

impl VoteBot {
    /// Counts a vote. The answer is for the voter.
    fn vote(&mut self, choice: &str) -> String {
        let votes = self.votes.entry(choice.to_owned()).or_default();
        *votes += 1;
        format!("{choice}: {votes}")
    }
}

#[test]
fn it_counts_votes() {
    let mut bot = VoteBot::default();
    assert_eq!(bot.vote("tea"), "tea: 1");
    assert_eq!(bot.vote("coffee"), "coffee: 1");
    assert_eq!(bot.vote("tea"), "tea: 2");
}

/// The bot as a program: answers each vote until its session ends.
async fn run(client: Client, mut events: Events, mut bot: VoteBot) -> VoteBot {
    while let Some(event) = events.recv().await {
        match event {
            RtmEvent::MessageFromPeer { peer_id, message, .. } => {
                let Some(choice) = message.as_text() else { continue };
                let answer = bot.vote(choice);
                // Who has left does not get the answer.
                let _ = client.send_message_to_peer(&peer_id, answer).await;
            }
            RtmEvent::ConnectionStateChanged { state: ConnectionState::Disconnected, .. } => break,
            _ => {}
        }
    }
    bot
}

#[tokio::test]
async fn it_answers_voters_over_a_server() {
    let (server, gateway) = start_server().await.unwrap();
    let (client, events) = rtm_client::connect(&gateway, APP_ID, "bot", None).await.unwrap();
    let bot = tokio::spawn(run(client.clone(), events, VoteBot::default()));

    let (alice, mut answers) = rtm_client::connect(&gateway, APP_ID, "alice", None).await.unwrap();
    for wanted in ["tea: 1", "tea: 2"] {
        assert!(alice.send_message_to_peer("bot", "tea").await.unwrap().has_peer_received());
        let answer = answers.wait_for(Duration::from_secs(5), |event| match event {
            RtmEvent::MessageFromPeer { message, .. } => message.as_text().map(str::to_owned),
            _ => None,
        });
        assert_eq!(answer.await.unwrap(), wanted);
    }

    // `run` ends when its own client logs out.
    client.logout().await.unwrap();
    assert_eq!(bot.await.unwrap().votes["tea"], 2);
    server.shutdown().await;
}

/// A voter that votes once a second, each time for another choice, so that the test can tell its votes apart.
struct Voter {
    bot: UserId,
    next: u32,
    delivered: Rc<RefCell<Vec<u32>>>,
    calls: BTreeMap<rtm_codec::RequestId, u32>,
}

impl App for Voter {
    fn handle(&mut self, client: &mut Handle<'_>, input: Input) {
        match input {
            Input::Start => client.login(None).unwrap(),
            Input::LoggedIn(Err(_)) => client.login(None).unwrap(),
            Input::LoggedIn(Ok(())) => client.after(Duration::from_secs(1), 0),
            Input::Timer(_) => {
                let call = client.send_to_peer(&self.bot, self.next.to_string(), true);
                self.calls.insert(call, self.next);
                self.next += 1;
                client.after(Duration::from_secs(1), 0);
            }
            Input::Reply { id, result, .. } => {
                let vote = self.calls.remove(&id).unwrap();
                if result.is_ok_and(|answer| {
                    matches!(answer, rtm_codec::Answer::SendMessageToPeer(outcome) if outcome.has_peer_received())
                }) {
                    self.delivered.borrow_mut().push(vote);
                }
            }
            _ => {}
        }
    }
}

/// A minute on a train and one with a good network, many times over: each takes milliseconds, and a seed that fails fails again.
#[test]
fn no_vote_is_lost_or_counted_twice_in_a_bad_network() {
    for seed in 1..=16 {
        let mut world = World::new(seed);
        world.start_trace();
        world.set_faults(Faults::train());
        let bot = Rc::new(RefCell::new(VoteBot::default()));
        let delivered = Rc::new(RefCell::new(Vec::new()));

        let votes = Rc::clone(&bot);
        let bot_app = move |client: &mut Handle<'_>, input: Input| match input {
            Input::Start | Input::LoggedIn(Err(_)) => client.login(None).unwrap(),
            Input::Event(RtmEvent::MessageFromPeer { peer_id, message, .. }) => {
                let answer = votes.borrow_mut().vote(message.as_text().unwrap());
                if !answer.ends_with(": 1") {
                    client.broken(format!("a vote was counted twice: {answer}"));
                }
                client.send_to_peer(&peer_id, answer, false);
            }
            _ => {}
        };
        world.add("bot", DeviceConfig::new(Wire::Native), bot_app).unwrap();
        let voter = Voter {
            bot: UserId::new("bot").unwrap(),
            next: 0,
            delivered: Rc::clone(&delivered),
            calls: BTreeMap::new(),
        };
        world.add("voter", DeviceConfig::new(Wire::Native), voter).unwrap();

        let mut minutes = || {
            world.run_for(Duration::from_secs(60))?;
            // From here on the network is good: at the end all must be well.
            world.heal();
            world.run_for(Duration::from_secs(75))?;
            world.check()
        };
        if let Err(violation) = minutes() {
            panic!("seed {seed}: {violation}\n{}", world.trace().join("\n"));
        }
        let (bot, delivered) = (bot.borrow(), delivered.borrow());
        assert!(delivered.len() > 30, "seed {seed}: only {} votes were delivered", delivered.len());
        for vote in delivered.iter() {
            assert!(
                bot.votes.contains_key(&vote.to_string()),
                "seed {seed}: vote {vote} was delivered and not counted"
            );
        }
    }
}
