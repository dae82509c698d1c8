//! A received event costs no allocation once the connection has warmed up.

#![allow(clippy::unwrap_used, reason = "a panic in a test is its failure")]

use std::time::{Duration, Instant};

use rtm_codec::{
    AppId, ChannelId, Epoch, Event, MessageId, PeerMessage, Resumption, RtmMessage, Seq, ServerFrame, SessionId,
    SessionTicket, UserId, Welcome,
};
use rtm_connection::{Config, Connection, Credentials, Output};

/// Receives everything, hands it on and has it consumed, as a driver does. Returns how many events there were.
fn receive(connection: &mut Connection, now: Instant, frames: Vec<ServerFrame>) -> u32 {
    let mut all = 0;
    for frame in frames {
        connection.handle_frame(now, frame);
        let mut events = 0;
        loop {
            match connection.poll_output(now) {
                Output::Event(_) => events += 1,
                Output::Wait(_) => break,
                _ => {}
            }
        }
        connection.consumed(now, events);
        all += events;
    }
    all
}

fn messages(seqs: std::ops::Range<u64>) -> Vec<ServerFrame> {
    let user = UserId::new("a user id of more than 24 bytes, kept on the heap").unwrap();
    let channel = ChannelId::new("room").unwrap();
    seqs.map(|seq| {
        let message = RtmMessage::text("a text of more than 24 bytes, kept on the heap");
        let event = if seq % 2 == 0 {
            Event::MessageFromPeer(PeerMessage {
                message_id: MessageId(seq),
                peer_id: user.clone(),
                message,
                is_offline_message: false,
                server_received_ts: seq,
            })
        } else {
            Event::ChannelMessage {
                channel_id: channel.clone(),
                message_id: MessageId(seq),
                member_id: user.clone(),
                message,
                server_received_ts: seq,
            }
        };
        ServerFrame::Event { seq: Seq(seq), event }
    })
    .collect()
}

#[test]
#[allow(clippy::disallowed_methods)]
fn a_received_event_costs_no_allocation() {
    let now = Instant::now();
    let mut connection = Connection::new(Config::native(), 1);
    let user_id = UserId::new("bob").unwrap();
    let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
    connection.login(now, Credentials { app_id, user_id: user_id.clone(), token: None }).unwrap();
    while !matches!(connection.poll_output(now), Output::Wait(_)) {}
    connection.handle_opened(now);
    let welcome = Welcome {
        user_id,
        ticket: Some(SessionTicket::new(SessionId([1; 16]), Epoch(1))),
        resumption: Resumption::New,
        token_expires_in_ms: None,
        server_time_ms: 0,
        limits: None,
    };
    connection.handle_frame(now, ServerFrame::Welcome(Box::new(welcome)));

    receive(&mut connection, now, messages(1..2001));
    let frames = messages(2001..12_001);
    let later = now + Duration::from_millis(1);
    let mut received = 0;
    let counted = allocation_counter::measure(|| received = receive(&mut connection, later, frames));
    assert_eq!((received, counted.count_total), (10_000, 0));
}
