//! The server's core: a session that sends, and those that receive.

use std::{hint::black_box, time::Instant};

use rtm_codec::{
    AppId, CallLimits, ChannelId, ClientFrame, Command, InstanceId, JoinChannel, KeepAlive, Login, MessageId,
    RequestId, SendChannelMessage, SendMessageToPeer, Seq, ServerFrame, UserId, Wire,
};
use rtm_core::{ConnId, Core, Now, Outgoing, Place, ProjectConfig, StoreAnswer, StoreDone};

use super::{Case, Work, codec::message};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case { name: "session: relay a message and its receipt", prepare: relayed },
        Case { name: "fan-out: a message to 100 members", prepare: fanned_out },
    ]
}

fn relayed(times: usize) -> Work {
    let mut world = World::new(&["bob"]);
    let commands = |ids: std::ops::Range<u64>| -> Vec<Command> {
        let command = |id| SendMessageToPeer {
            message_id: MessageId(id),
            peer_id: user("bob"),
            message: message(64),
            enable_offline_messaging: false,
            enable_historical_messaging: false,
        };
        ids.map(|id| command(id).into()).collect()
    };
    world.send(commands(1..WARM_UP));
    let commands = commands(WARM_UP..WARM_UP + times as u64);
    Work::new(move || {
        world.send(commands);
        world
    })
}

fn fanned_out(times: usize) -> Work {
    let names: Vec<String> = (0..MEMBERS).map(|n| format!("member-{n}")).collect();
    let mut world = World::new(&names.iter().map(String::as_str).collect::<Vec<_>>());
    let channel_id = ChannelId::new("room").expect("the id is good");
    for n in 0..world.all.len() {
        world.request(n, JoinChannel { channel_id: channel_id.clone() });
        world.turn();
    }
    let commands = |ids: std::ops::Range<u64>| -> Vec<Command> {
        let command = |id| SendChannelMessage {
            message_id: MessageId(id),
            channel_id: channel_id.clone(),
            message: message(64),
            enable_historical_messaging: false,
        };
        ids.map(|id| command(id).into()).collect()
    };
    world.send(commands(1..WARM_UP / 16));
    let commands = commands(WARM_UP / 16..WARM_UP / 16 + times as u64);
    Work::new(move || {
        world.send(commands);
        world
    })
}

/// Clients that acknowledge at once what they receive. The first one sends.
struct World {
    core: Core,
    now: Now,
    all: Vec<Client>,
    out: Vec<Outgoing>,
    wakes: Vec<ConnId>,
    /// The sender's last event.
    seen: Seq,
}

struct Client {
    conn: ConnId,
    requests: u64,
}

impl World {
    fn new(receivers: &[&str]) -> Self {
        // Every instant of a run is this one: only differences count.
        let now = Now { instant: Instant::now(), unix_ms: 1_700_000_000_000 };
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").expect("the id is good");
        let mut config = ProjectConfig::new(app_id.clone());
        config.limits = CallLimits::unlimited();
        let mut core = Core::new(config, [7; 32], now);
        let mut log_in = |name: &str| {
            let login = Login {
                app_id: app_id.clone(),
                user_id: Some(user(name)),
                token: None,
                instance: InstanceId::new(name).expect("the id is good"),
                resume: None,
                keep_alive: KeepAlive::Client { interval_ms: 2000 },
                window: 1024,
                abilities: Wire::Native.abilities(),
                gateway_session: None,
            };
            let conn = core.connect();
            core.handle_frame(now, conn, ClientFrame::Login(Box::new(login)));
            Client { conn, requests: 0 }
        };
        let all = std::iter::once("alice").chain(receivers.iter().copied()).map(&mut log_in).collect();
        let mut world = Self { core, now, all, out: Vec::new(), wakes: Vec::new(), seen: Seq(0) };
        let mut jobs = Vec::new();
        world.core.take_store_jobs(&mut jobs);
        for job in jobs {
            // Nothing waits for anybody.
            let result = Ok(StoreAnswer::Entries { entries: Vec::new(), more: false, dropped_to: Place(0) });
            world.core.handle_stored(now, StoreDone { id: job.id, result });
        }
        world.turn();
        world
    }

    fn request(&mut self, client: usize, command: impl Into<Command>) {
        let Client { conn, requests } = &mut self.all[client];
        *requests += 1;
        let frame = ClientFrame::Request { id: RequestId(*requests), command: command.into() };
        self.core.handle_frame(self.now, *conn, black_box(frame));
    }

    /// Sends one after the other, and lets everybody take and acknowledge what they receive.
    fn send(&mut self, commands: Vec<Command>) {
        for command in commands {
            self.request(0, command);
            self.turn();
        }
    }

    fn turn(&mut self) {
        loop {
            let mut wakes = std::mem::take(&mut self.wakes);
            self.core.take_wakes(&mut wakes);
            if wakes.is_empty() {
                self.wakes = wakes;
                return;
            }
            for conn in wakes.drain(..) {
                self.take(conn);
            }
            self.wakes = wakes;
        }
    }

    fn take(&mut self, conn: ConnId) {
        self.core.take_output(conn, &mut self.out);
        let (mut last, mut answered) = (None, RequestId(0));
        for out in black_box(&mut self.out).drain(..) {
            match out {
                Outgoing::Event(seq, _) => last = Some(seq),
                Outgoing::Frame(ServerFrame::Reply { id, result }) => {
                    assert!(result.is_ok(), "every call is good: {result:?}");
                    answered = id.next();
                }
                _ => {}
            }
        }
        let received = match last {
            // The sender's answers are acknowledged as well.
            _ if conn == self.all[0].conn => {
                self.seen = last.unwrap_or(self.seen);
                self.seen
            }
            Some(seq) => seq,
            None => return,
        };
        self.core.handle_frame(self.now, conn, ClientFrame::Ack { received, consumed: received, answered });
    }
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("the id is good")
}

const MEMBERS: usize = 100;
/// After this many messages of a sender the server forgets the oldest ones, and nothing grows any more.
const WARM_UP: u64 = 5000;
