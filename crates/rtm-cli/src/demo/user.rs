//! A user of the demo: joins channels, writes, calls, answers, loses its connection, goes and comes back.

use std::{io, sync::Arc, time::Duration};

use rtm_client::{Client, Events, RemoteInvitation, RtmEvent, SendMessageOptions, Wire};
use rtm_token::{Builder, Certificate};
use tokio::{
    io::{DuplexStream, copy_bidirectional, duplex},
    net::TcpStream,
    sync::watch,
    time::sleep,
};

use super::{OPEN, SECURE};

/// What all users know.
#[derive(Debug, Clone)]
pub(super) struct Demo {
    pub(super) gateway: String,
    pub(super) people: u32,
    pub(super) certificate: Certificate,
}

/// One of them.
#[derive(Debug)]
pub(super) struct Person {
    demo: Demo,
    number: u32,
    name: String,
    /// Whether its network works.
    network: Arc<watch::Sender<bool>>,
}

impl Person {
    pub(super) fn new(demo: Demo, number: u32) -> Self {
        Self { demo, number, name: name(number), network: Arc::new(watch::Sender::new(true)) }
    }

    /// Goes on until it is dropped. What fails in between is part of life.
    pub(super) async fn live(self) {
        // Not all at once.
        sleep(Duration::from_millis(u64::from(self.number) * 10)).await;
        loop {
            if let Ok((client, events)) = self.client() {
                let listening = tokio::spawn(listen(client.clone(), events));
                self.visit(&client).await;
                // It may be refused, where the server has ended the session before.
                let _ = client.logout().await;
                listening.abort();
            }
            sleep(seconds(5.0, 20.0)).await;
        }
    }

    fn client(&self) -> Result<(Client, Events), rtm_client::BuildError> {
        let network = Arc::clone(&self.network);
        let builder = Client::builder().gateway(&self.demo.gateway).app_id(self.app_id()).wire(self.wire());
        let builder =
            builder.wait_for_limits(true).connector(move |host, port| connect(host, port, network.subscribe()));
        if !self.is_in_secure() {
            return builder.build();
        }
        let certificate = self.demo.certificate.clone();
        builder
            .token_provider(move |user_id| {
                let certificate = certificate.clone();
                async move { Builder::for_now(SECURE, &certificate, user_id.as_str()).build() }
            })
            .build()
    }

    /// From login to logout.
    async fn visit(&self, client: &Client) {
        if client.login(&self.name, None).await.is_err() {
            return;
        }
        let mood = *pick(&["here", "at lunch", "in a meeting", "休息一下"]);
        let attributes = [("name", self.name.as_str()), ("mood", mood)];
        let _ = client.set_local_user_attributes(attributes).await;
        let friends: Vec<_> = (0..3).map(|_| self.somebody()).collect();
        let _ = client.subscribe_peers_online_status(&friends).await;
        let rooms: Vec<_> = (0..fastrand::u32(1..=3)).map(|_| self.room()).collect();
        for room in &rooms {
            if let Ok(channel) = client.channel(room) {
                let _ = channel.ensure_joined().await;
            }
        }
        // Where there are more users, each does less.
        let busy = f64::from(self.demo.people.max(100)) / 100.0;
        for _ in 0..fastrand::u32(20..200) {
            sleep(seconds(1.0 * busy, 7.0 * busy)).await;
            self.act(client, &rooms, &friends).await;
            if client.connection_state() == rtm_client::ConnectionState::Disconnected {
                return;
            }
        }
    }

    async fn act(&self, client: &Client, rooms: &[String], friends: &[String]) {
        let (room, friend) = (pick(rooms), pick(friends));
        let line = *pick(&LINES);
        match fastrand::u32(..100) {
            0..65 => {
                if let Ok(channel) = client.channel(room) {
                    let options = rtm_client::SendChannelMessageOptions::new().enable_historical_messaging(true);
                    let _ = channel.send_message_with(line, options).await;
                }
            }
            65..85 => {
                let options = SendMessageOptions::new().enable_offline_messaging(true);
                let _ = client.send_message_to_peer_with(friend, line, options).await;
            }
            85..91 => {
                if let Ok(invitation) = client.send_invitation(friend, "a call?").await {
                    sleep(seconds(2.0, 8.0)).await;
                    // It may have been answered.
                    let _ = client.cancel_invitation(&invitation, "").await;
                }
            }
            91..94 => {
                if let Ok(channel) = client.channel(room) {
                    let options =
                        rtm_client::ChannelAttributeOptions::new().enable_notification_to_channel_members(true);
                    let _ = channel.add_or_update_attributes([("topic", line)], options).await;
                }
            }
            // Mostly a moment; sometimes for so long that others see it offline.
            94..99 => {
                self.network.send_replace(false);
                sleep(if fastrand::u8(..10) == 0 { seconds(32.0, 40.0) } else { seconds(1.0, 10.0) }).await;
                self.network.send_replace(true);
            }
            _ => {
                if let Ok(channel) = client.channel(room) {
                    let _ = channel.leave().await;
                    sleep(seconds(1.0, 4.0)).await;
                    let _ = channel.ensure_joined().await;
                }
            }
        }
    }

    /// Every fourth is in the project that needs tokens.
    fn is_in_secure(&self) -> bool {
        self.number % 4 == 3
    }

    fn app_id(&self) -> &'static str {
        if self.is_in_secure() { SECURE } else { OPEN }
    }

    fn wire(&self) -> Wire {
        if self.number % 8 < 5 { Wire::Native } else { Wire::Vendor }
    }

    /// Another user of its project.
    fn somebody(&self) -> String {
        loop {
            let number = fastrand::u32(..self.demo.people);
            if (number % 4 == 3) == self.is_in_secure() && (number != self.number || self.demo.people < 8) {
                return name(number);
            }
        }
    }

    fn room(&self) -> String {
        let number = fastrand::u32(..(self.demo.people / 10).max(4)) as usize;
        match ROOMS.get(number) {
            Some(room) => (*room).to_owned(),
            None => format!("room-{number}"),
        }
    }
}

/// Takes what comes, and answers calls.
async fn listen(client: Client, mut events: Events) {
    while let Some(event) = events.recv().await {
        if let RtmEvent::RemoteInvitationReceived { invitation, .. } = event {
            tokio::spawn(answer(client.clone(), invitation));
        }
    }
}

async fn answer(client: Client, invitation: RemoteInvitation) {
    sleep(seconds(1.0, 6.0)).await;
    // The caller may have given up.
    let _ = match fastrand::u8(..3) {
        0 => client.accept_invitation(&invitation, "coming").await,
        1 => client.refuse_invitation(&invitation, "not now").await,
        _ => return,
    };
}

/// A connection that breaks when the network does.
async fn connect(host: String, port: u16, mut network: watch::Receiver<bool>) -> io::Result<DuplexStream> {
    if !*network.borrow_and_update() {
        return Err(io::ErrorKind::NetworkUnreachable.into());
    }
    let mut outer = TcpStream::connect((host, port)).await?;
    outer.set_nodelay(true)?;
    let (inner, mut far) = duplex(BUFFER);
    tokio::spawn(async move {
        tokio::select! {
            _ = copy_bidirectional(&mut far, &mut outer) => {}
            _ = network.changed() => {}
        }
    });
    Ok(inner)
}

fn name(number: u32) -> String {
    let count = NAMES.len() as u32;
    let name = NAMES[(number % count) as usize];
    if number < count { name.to_owned() } else { format!("{name}-{}", number / count + 1) }
}

fn seconds(from: f64, to: f64) -> Duration {
    Duration::from_secs_f64(from + fastrand::f64() * (to - from))
}

fn pick<T>(all: &[T]) -> &T {
    &all[fastrand::usize(..all.len())]
}

const BUFFER: usize = 64 * 1024;
const NAMES: [&str; 40] = [
    "ann", "ben", "chen", "dora", "emil", "fatima", "goran", "hana", "ivan", "jun", "kofi", "lena", "mei", "nils",
    "olga", "pablo", "quinn", "rosa", "sven", "tariq", "uma", "vera", "wei", "xia", "yusuf", "zoe", "amir", "bea",
    "carlos", "ding", "elif", "finn", "gita", "hugo", "ines", "jing", "kai", "lin", "marta", "noor",
];
const ROOMS: [&str; 8] = ["lobby", "support", "game-night", "standup", "music", "football", "kitchen", "travel"];
const LINES: [&str; 16] = [
    "hello",
    "hi everybody",
    "how are you?",
    "fine, thank you",
    "one moment",
    "who has the link?",
    "on my way",
    "back in ten minutes",
    "大家好",
    "好的",
    "谢谢",
    "see you tomorrow",
    "is the call at three?",
    "yes",
    "no idea 🙂",
    "let us try that",
];
