//! How long calls take: of messages one in sixteen, of all others those of which nobody waits for an answer yet.

use std::{
    cell::Cell,
    sync::{Mutex, PoisonError},
    time::Instant,
};

use rtm_codec::{CallName, ClientFrame, RequestId, ServerFrame};
use rtm_core::Latencies;

use crate::clock::instant;

/// A call on its way.
#[derive(Debug)]
pub(crate) struct TimedCall {
    id: RequestId,
    call: CallName,
    since: Instant,
}

/// How long calls took, by what they were.
#[derive(Debug)]
pub(crate) struct CallTimes(Mutex<Vec<Latencies>>);

impl TimedCall {
    /// One of these frames, which the core is about to get, if any of them is to be timed.
    pub(crate) fn among<'a>(frames: impl Iterator<Item = &'a ClientFrame>) -> Option<Box<Self>> {
        for frame in frames {
            let ClientFrame::Request { id, command } = frame else { continue };
            let call = command.name();
            let is_message = matches!(call, CallName::SendMessageToPeer | CallName::SendChannelMessage);
            if !is_message || is_sampled() {
                return Some(Box::new(Self { id: *id, call, since: instant() }));
            }
        }
        None
    }

    /// Whether a frame is its answer.
    pub(crate) fn is_answered_by(&self, frame: &ServerFrame) -> bool {
        matches!(frame, ServerFrame::Reply { id, .. } if *id == self.id)
    }
}

impl CallTimes {
    /// A call is answered now.
    pub(crate) fn add(&self, timed: &TimedCall) {
        let time = instant().saturating_duration_since(timed.since);
        let mut times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(times) = times.get_mut(timed.call as usize) {
            times.add(time);
        }
    }

    /// By what the calls were.
    pub(crate) fn all(&self) -> Vec<(CallName, Latencies)> {
        let times = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        CallName::ALL.iter().copied().zip(times.iter().copied()).collect()
    }
}

impl Default for CallTimes {
    fn default() -> Self {
        Self(Mutex::new(vec![Latencies::default(); CallName::ALL.len()]))
    }
}

/// Whether this message is timed: one in sixteen of each thread.
fn is_sampled() -> bool {
    thread_local!(static MESSAGES: Cell<u8> = const { Cell::new(0) });
    let messages = MESSAGES.get().wrapping_add(1);
    MESSAGES.set(messages);
    messages.is_multiple_of(16)
}
