//! The client's connection, online.

use std::{hint::black_box, time::Instant};

use rtm_codec::{
    Answer, AppId, ChannelId, Epoch, Event, MessageId, PeerMessage, RequestId, Resumption, SendMessageToPeer,
    SendOutcome, Seq, ServerFrame, SessionId, SessionTicket, UserId, Welcome,
};
use rtm_connection::{Config, Connection, Credentials, Output};

use super::{Case, Work, codec::message};

pub(super) fn cases() -> Vec<Case> {
    vec![
        Case { name: "connection: receive an event", prepare: events },
        Case { name: "connection: send a request and receive its answer", prepare: requests },
    ]
}

fn events(times: usize) -> Work {
    let mut online = Online::new();
    let receive = move |online: &mut Online, frames: Vec<ServerFrame>| {
        for frame in frames {
            online.connection.handle_frame(online.now, black_box(frame));
            let events = online.drain();
            online.connection.consumed(online.now, events);
        }
    };
    receive(&mut online, messages(1..WARM_UP));
    let frames = messages(WARM_UP..WARM_UP + times as u64);
    Work::new(move || {
        receive(&mut online, frames);
        online
    })
}

fn requests(times: usize) -> Work {
    let mut online = Online::new();
    let send = move |online: &mut Online, commands: Vec<SendMessageToPeer>| {
        for command in commands {
            let id: RequestId = online.connection.request(online.now, black_box(command));
            online.drain();
            let result = Ok(Answer::SendMessageToPeer(SendOutcome::Delivered));
            online.connection.handle_frame(online.now, ServerFrame::Reply { id, result });
            online.drain();
        }
    };
    send(&mut online, commands(0..WARM_UP));
    let commands = commands(WARM_UP..WARM_UP + times as u64);
    Work::new(move || {
        send(&mut online, commands);
        online
    })
}

/// A connection that is logged in.
struct Online {
    connection: Connection,
    now: Instant,
}

impl Online {
    fn new() -> Self {
        // Every instant of a run is this one: only differences count.
        let now = Instant::now();
        let mut online = Self { connection: Connection::new(Config::native(), 1), now };
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").expect("the id is good");
        let user_id = user("bob");
        let credentials = Credentials { app_id, user_id: user_id.clone(), token: None };
        online.connection.login(now, credentials).expect("nobody is logged in");
        online.drain();
        online.connection.handle_opened(now);
        let welcome = Welcome {
            user_id,
            ticket: Some(SessionTicket::new(SessionId([1; 16]), Epoch(1))),
            resumption: Resumption::New,
            token_expires_in_ms: None,
            server_time_ms: 0,
            limits: Some(rtm_codec::CallLimits::unlimited()),
        };
        online.connection.handle_frame(now, ServerFrame::Welcome(Box::new(welcome)));
        online.drain();
        online
    }

    /// Takes what comes out, and says how many events were among it.
    fn drain(&mut self) -> u32 {
        let mut events = 0;
        loop {
            match black_box(self.connection.poll_output(self.now)) {
                Output::Wait(_) => return events,
                Output::Event(_) => events += 1,
                _ => {}
            }
        }
    }
}

fn messages(seqs: std::ops::Range<u64>) -> Vec<ServerFrame> {
    let channel_id = ChannelId::new("room").expect("the id is good");
    seqs.map(|seq| {
        let (message_id, message, server_received_ts) = (MessageId(seq), message(64), seq);
        let event = if seq.is_multiple_of(2) {
            let (peer_id, is_offline_message) = (user("alice"), false);
            Event::MessageFromPeer(PeerMessage { message_id, peer_id, message, is_offline_message, server_received_ts })
        } else {
            let (channel_id, member_id) = (channel_id.clone(), user("alice"));
            Event::ChannelMessage { channel_id, message_id, member_id, message, server_received_ts }
        };
        ServerFrame::Event { seq: Seq(seq), event }
    })
    .collect()
}

fn commands(ids: std::ops::Range<u64>) -> Vec<SendMessageToPeer> {
    ids.map(|id| SendMessageToPeer {
        message_id: MessageId(id),
        peer_id: user("alice"),
        message: message(64),
        enable_offline_messaging: false,
        enable_historical_messaging: false,
    })
    .collect()
}

fn user(id: &str) -> UserId {
    UserId::new(id).expect("the id is good")
}

/// After this many events nothing grows any more.
const WARM_UP: u64 = 2048;
