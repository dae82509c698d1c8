//! The position in the session's stream of events: what was received, what the user consumed, and how much of that
//! the server knows.

use std::collections::VecDeque;

use rtm_codec::{ClientFrame, RequestId, Seq};

/// What the number of an event says about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Arrival {
    /// It is the next one.
    Next,
    /// It came before.
    Duplicate,
    /// This many before it are missing.
    After(u64),
}

/// Both ends of the stream: the server numbers events, the user counts those it takes, and events that the
/// connection makes itself lie between. Runs of equal kind keep that map small.
#[derive(Debug, Default)]
pub(crate) struct Stream {
    received: u64,
    consumed: u64,
    runs: VecDeque<Run>,
    /// Numbered events in `runs` that the user has yet to consume.
    waiting: u64,
    acked_received: u64,
    acked_consumed: u64,
    acked_answered: u64,
    receipt_due: bool,
    unacked_bytes: usize,
}

#[derive(Debug)]
struct Run {
    kind: Kind,
    len: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// The server numbered it and the user sees it.
    Numbered,
    /// The connection made it.
    Local,
    /// The server numbered it and the user never sees it.
    Hidden,
}

impl Stream {
    /// Goes on with a session whose events up to `received` are received and consumed.
    pub(crate) fn start(&mut self, received: Seq) {
        self.restart();
        self.received = received.0;
        self.consumed = received.0;
    }

    /// Starts at the beginning of a new stream. What the user has yet to consume of the old one counts no more.
    pub(crate) fn restart(&mut self) {
        let unseen = self.runs.iter().filter(|run| run.kind != Kind::Hidden).map(|run| run.len).sum();
        *self = Self { runs: std::mem::take(&mut self.runs), ..Self::default() };
        self.runs.clear();
        self.push(Kind::Local, unseen);
    }

    pub(crate) fn received(&self) -> Seq {
        Seq(self.received)
    }

    pub(crate) fn consumed(&self) -> Seq {
        Seq(self.consumed)
    }

    /// How many numbered events the user has yet to consume.
    pub(crate) fn waiting(&self) -> u64 {
        self.waiting
    }

    /// Takes note of an event's number.
    pub(crate) fn arrived(&mut self, seq: Seq) -> Arrival {
        if seq.0 <= self.received {
            return Arrival::Duplicate;
        }
        let missing = seq.0 - self.received - 1;
        self.received = seq.0;
        if missing == 0 {
            Arrival::Next
        } else {
            self.push(Kind::Hidden, missing);
            Arrival::After(missing)
        }
    }

    /// The event that arrived last goes to the user. `receipt`: its sender waits to hear of that.
    pub(crate) fn push_numbered(&mut self, receipt: bool, bytes: usize) {
        self.receipt_due |= receipt;
        self.unacked_bytes = self.unacked_bytes.saturating_add(bytes);
        self.waiting += 1;
        self.push(Kind::Numbered, 1);
    }

    /// The event that arrived last does not go to the user; whoever waits for its receipt gets it all the same.
    pub(crate) fn push_hidden(&mut self, receipt: bool) {
        self.receipt_due |= receipt;
        self.push(Kind::Hidden, 1);
    }

    /// The connection itself tells the user something.
    pub(crate) fn push_local(&mut self) {
        self.push(Kind::Local, 1);
    }

    fn push(&mut self, kind: Kind, len: u64) {
        match self.runs.back_mut() {
            _ if len == 0 => {}
            None if kind == Kind::Hidden => self.consumed += len,
            Some(run) if run.kind == kind => run.len += len,
            _ => self.runs.push_back(Run { kind, len }),
        }
    }

    /// The user took this many events.
    pub(crate) fn consume(&mut self, events: u32) {
        let mut left = u64::from(events);
        while let Some(run) = self.runs.front_mut() {
            let taken = if run.kind == Kind::Hidden { run.len } else { run.len.min(left) };
            if taken == 0 {
                return;
            }
            run.len -= taken;
            match run.kind {
                Kind::Hidden => self.consumed += taken,
                Kind::Local => left -= taken,
                Kind::Numbered => {
                    left -= taken;
                    self.consumed += taken;
                    self.waiting -= taken;
                }
            }
            if run.len == 0 {
                self.runs.pop_front();
            }
        }
    }

    /// The server knows this much: it was said in a login.
    pub(crate) fn told(&mut self, answered: RequestId) {
        self.acked_received = self.received;
        self.acked_consumed = self.consumed;
        self.acked_answered = answered.0;
        self.receipt_due = false;
        self.unacked_bytes = 0;
    }

    /// What the server should be told now, if anything. `idle`: anything new at all is worth a frame. With a
    /// `window` of 0 the server cares for receipts only.
    pub(crate) fn take_ack(&mut self, answered: RequestId, window: u32, idle: bool) -> Option<ClientFrame> {
        let received = self.received - self.acked_received;
        let (consumed, answers) = match window {
            0 => (0, 0),
            _ => (self.consumed - self.acked_consumed, answered.0.saturating_sub(self.acked_answered)),
        };
        let due = self.receipt_due
            || received >= ACK_EVENTS
            || self.unacked_bytes >= ACK_BYTES
            || (consumed > 0 && consumed >= u64::from(window / 2))
            || answers >= ACK_ANSWERS
            || (idle && received + consumed + answers > 0);
        due.then(|| {
            self.told(answered);
            ClientFrame::Ack { received: self.received(), consumed: self.consumed(), answered }
        })
    }
}

/// How many received events, or bytes in them, are acknowledged at once even if none of them asks for a receipt.
const ACK_EVENTS: u64 = 64;
const ACK_BYTES: usize = 64 * 1024;

/// How many answers are acknowledged at once, so that the server can forget them.
const ACK_ANSWERS: u64 = 64;

#[cfg(test)]
mod tests {
    use super::*;

    fn events(stream: &mut Stream, seqs: std::ops::RangeInclusive<u64>) {
        for seq in seqs {
            assert_eq!(stream.arrived(Seq(seq)), Arrival::Next);
            stream.push_numbered(false, 10);
        }
    }

    #[test]
    fn local_events_between_numbered_ones_do_not_move_the_number_consumed() {
        let mut stream = Stream::default();
        stream.push_local();
        events(&mut stream, 1..=2);
        stream.push_local();
        events(&mut stream, 3..=3);
        let mut consumed = Vec::new();
        for _ in 0..5 {
            stream.consume(1);
            consumed.push(stream.consumed().0);
        }
        assert_eq!(consumed, [0, 1, 2, 2, 3]);
        assert_eq!(stream.waiting(), 0);
    }

    #[test]
    fn hidden_and_missing_numbers_are_consumed_with_the_event_before_them() {
        let mut stream = Stream::default();
        assert_eq!(stream.arrived(Seq(1)), Arrival::Next);
        stream.push_hidden(false);
        assert_eq!(stream.consumed(), Seq(1));
        events(&mut stream, 2..=2);
        assert_eq!(stream.arrived(Seq(6)), Arrival::After(3));
        stream.push_numbered(false, 1);
        stream.consume(1);
        assert_eq!(stream.consumed(), Seq(5));
        stream.consume(7);
        assert_eq!(stream.consumed(), Seq(6));
    }

    #[test]
    fn events_of_an_earlier_stream_do_not_count_in_the_new_one() {
        let mut stream = Stream::default();
        events(&mut stream, 1..=3);
        stream.restart();
        events(&mut stream, 1..=1);
        stream.consume(3);
        assert_eq!(stream.consumed(), Seq(0));
        stream.consume(1);
        assert_eq!(stream.consumed(), Seq(1));
    }

    #[test]
    fn the_last_number_there_is_does_no_harm() {
        let mut stream = Stream::default();
        assert_eq!(stream.arrived(Seq(u64::MAX)), Arrival::After(u64::MAX - 1));
        stream.push_numbered(true, 1);
        stream.consume(1);
        assert_eq!(stream.consumed(), Seq(u64::MAX));
        assert_eq!(stream.arrived(Seq(0)), Arrival::Duplicate);
    }
}
