//! The users of a soak: what each does, and what all of them count.

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use rtm_client::{Channel, ConnectionState, RtmEvent, UserId};
use rtm_load::{Latency, User};
use tokio::{
    sync::watch,
    time::{Interval, MissedTickBehavior, interval_at},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Phase {
    Idle,
    Chat,
    /// Nobody sends any more.
    Quiet,
    End,
}

/// When a user sends.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Pace {
    /// How long after the chat began, when all have joined.
    pub(crate) first: Duration,
    pub(crate) every: Duration,
}

/// What all users counted.
#[derive(Debug, Default)]
pub(crate) struct Counts {
    pub(crate) sent: AtomicU64,
    pub(crate) received: AtomicU64,
    /// Calls that failed.
    pub(crate) errors: AtomicU64,
    /// Connections that were lost without anybody's asking for it, each counted once.
    pub(crate) reconnects: AtomicU64,
    /// What the stream said to be lost.
    pub(crate) gaps: AtomicU64,
    /// Messages that came twice or out of order, or before ones that never came.
    pub(crate) out_of_order: AtomicU64,
    pub(crate) latency: Mutex<Latency>,
}

/// One user: takes what comes, and sends when it is time to.
pub(crate) async fn live(
    user: User,
    channel: Option<Channel>,
    pace: Pace,
    mut phases: watch::Receiver<Phase>,
    counts: Arc<Counts>,
) {
    let User { client, mut events, .. } = user;
    // The login itself.
    while events.try_recv().is_some() {}
    let mut last: BTreeMap<UserId, u64> = BTreeMap::new();
    let mut number = 0;
    let mut ticks: Option<Interval> = None;
    let error = || counts.errors.fetch_add(1, Ordering::Relaxed);
    loop {
        let tick = async {
            match &mut ticks {
                Some(ticks) => ticks.tick().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = events.recv() => match event {
                Some(event) => counts.note(&event, &mut last),
                None => { error(); break }
            },
            _ = phases.changed() => { let phase = *phases.borrow_and_update(); match (phase, &channel) {
                (Phase::Chat, Some(channel)) => {
                    // Taken before the call, whose answer may come late.
                    let start = tokio::time::Instant::now() + pace.first;
                    if channel.join().await.is_err() {
                        error();
                    }
                    let mut interval = interval_at(start, pace.every);
                    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
                    ticks = Some(interval);
                }
                (Phase::Quiet, _) => ticks = None,
                (Phase::End, _) => break,
                (Phase::Idle | Phase::Chat, _) => {}
            } },
            _ = tick => if let Some(channel) = &channel {
                number += 1;
                let started = Instant::now();
                match channel.send_message(number.to_string()).await {
                    Ok(()) => { counts.sent.fetch_add(1, Ordering::Relaxed); }
                    Err(_) => { error(); }
                }
                counts.latency.lock().unwrap_or_else(PoisonError::into_inner).record(started.elapsed());
            }
        }
    }
    if client.logout().await.is_err() {
        error();
    }
}

impl Counts {
    fn note(&self, event: &RtmEvent, last: &mut BTreeMap<UserId, u64>) {
        match event {
            RtmEvent::ChannelMessage { member_id, message, .. } => {
                self.received.fetch_add(1, Ordering::Relaxed);
                let number = message.as_text().and_then(|text| text.parse().ok()).unwrap_or(0);
                let before = last.insert(member_id.clone(), number).unwrap_or(0);
                if number != before + 1 {
                    self.out_of_order.fetch_add(1, Ordering::Relaxed);
                }
            }
            RtmEvent::ConnectionStateChanged { state, .. } if *state != ConnectionState::Connected => {
                self.reconnects.fetch_add(1, Ordering::Relaxed);
            }
            RtmEvent::Gap { .. } | RtmEvent::RestoreFailed { .. } => {
                self.gaps.fetch_add(1, Ordering::Relaxed);
            }
            _ => {}
        }
    }
}
