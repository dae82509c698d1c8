//! Which events of a socket have arrived, made out from a wire where only messages are acknowledged, one by one.

use std::collections::VecDeque;

use super::events::Receipt;
use crate::{DecodeErrorKind, Seq};

/// The events written to one socket.
#[derive(Debug, Default)]
pub(super) struct Receipts {
    /// The messages that are not acknowledged, or that follow one which is not.
    waiting: VecDeque<Waiting>,
    /// The last event encoded.
    encoded: Seq,
    /// The last event whose packet was taken to be written.
    written: Seq,
    /// The last event told of as received.
    told: Seq,
    overflow: bool,
}

#[derive(Debug)]
struct Waiting {
    seq: Seq,
    receipt: Receipt,
    acknowledged: bool,
}

impl Receipts {
    /// An event is encoded; a message is acknowledged by `receipt`.
    pub(super) fn encoded(&mut self, seq: Seq, receipt: Option<Receipt>) {
        if self.encoded == Seq(0) {
            self.told = Seq(seq.0.saturating_sub(1));
        }
        self.encoded = seq;
        let Some(receipt) = receipt else { return };
        self.overflow |= self.waiting.len() == UNACKNOWLEDGED;
        if !self.overflow {
            self.waiting.push_back(Waiting { seq, receipt, acknowledged: false });
        }
    }

    /// Everything encoded was taken to be written.
    pub(super) fn written(&mut self) {
        self.written = self.encoded;
    }

    /// The client acknowledges a message. A receipt that fits no waiting message is skipped.
    pub(super) fn acknowledge(&mut self, receipt: &Receipt) {
        let mut waiting = self.waiting.iter_mut().take(OUT_OF_ORDER);
        if let Some(waiting) = waiting.find(|waiting| !waiting.acknowledged && waiting.receipt == *receipt) {
            waiting.acknowledged = true;
        }
        while self.waiting.front().is_some_and(|waiting| waiting.acknowledged) {
            self.waiting.pop_front();
        }
        if self.waiting.is_empty() && self.waiting.capacity() > OUT_OF_ORDER {
            self.waiting = VecDeque::new();
        }
    }

    /// The last event that arrived, if that is more than was told before.
    pub(super) fn take(&mut self) -> Option<Seq> {
        let arrived = match self.waiting.front() {
            Some(waiting) => self.written.min(Seq(waiting.seq.0 - 1)),
            None => self.written,
        };
        (!self.overflow && arrived > self.told).then(|| {
            self.told = arrived;
            arrived
        })
    }

    /// # Errors
    ///
    /// When more messages wait for their acknowledgement than can be remembered.
    pub(super) fn check(&self) -> Result<(), DecodeErrorKind> {
        if self.overflow { Err(DecodeErrorKind::TooMany { limit: UNACKNOWLEDGED }) } else { Ok(()) }
    }
}

/// The messages that may wait for their acknowledgement.
const UNACKNOWLEDGED: usize = 32_768;
/// How far from the oldest message an acknowledgement is looked for. The SDK acknowledges in order.
const OUT_OF_ORDER: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn receipt(msg_id: u64) -> Receipt {
        Receipt { msg_id, from: "ann".into() }
    }

    #[test]
    fn an_event_without_receipt_has_arrived_once_it_and_everything_before_it_has() {
        let mut receipts = Receipts::default();
        receipts.encoded(Seq(1), None);
        assert_eq!(receipts.take(), None, "not written yet");
        receipts.written();
        assert_eq!((receipts.take(), receipts.take()), (Some(Seq(1)), None));
        receipts.encoded(Seq(2), Some(receipt(20)));
        receipts.encoded(Seq(3), None);
        receipts.encoded(Seq(4), Some(receipt(40)));
        receipts.encoded(Seq(5), None);
        receipts.written();
        assert_eq!(receipts.take(), None, "the first message is not acknowledged");
        receipts.acknowledge(&receipt(40));
        assert_eq!(receipts.take(), None, "the first message is still not acknowledged");
        receipts.acknowledge(&receipt(20));
        assert_eq!(receipts.take(), Some(Seq(5)));
    }

    #[test]
    fn a_socket_that_goes_on_in_a_stream_tells_nothing_of_what_was_before() {
        let mut receipts = Receipts::default();
        receipts.encoded(Seq(57), Some(receipt(1)));
        receipts.written();
        assert_eq!(receipts.take(), None);
        receipts.acknowledge(&receipt(1));
        assert_eq!(receipts.take(), Some(Seq(57)));
    }

    #[test]
    fn two_messages_of_one_number_need_two_acknowledgements() {
        let mut receipts = Receipts::default();
        receipts.encoded(Seq(1), Some(receipt(7)));
        receipts.encoded(Seq(2), Some(receipt(7)));
        receipts.written();
        receipts.acknowledge(&receipt(7));
        assert_eq!(receipts.take(), Some(Seq(1)));
        receipts.acknowledge(&Receipt { msg_id: 7, from: "bob".into() });
        assert_eq!(receipts.take(), None, "another sender's");
        receipts.acknowledge(&receipt(7));
        assert_eq!(receipts.take(), Some(Seq(2)));
    }

    #[test]
    fn a_client_that_never_acknowledges_is_found_out() {
        let mut receipts = Receipts::default();
        for i in 1..=UNACKNOWLEDGED as u64 {
            receipts.encoded(Seq(i), Some(receipt(i)));
        }
        assert_eq!(receipts.check(), Ok(()));
        receipts.encoded(Seq(99_999), Some(receipt(0)));
        assert_eq!(receipts.check(), Err(DecodeErrorKind::TooMany { limit: UNACKNOWLEDGED }));
        receipts.written();
        for i in 1..=UNACKNOWLEDGED as u64 {
            receipts.acknowledge(&receipt(i));
        }
        assert_eq!(receipts.take(), None, "what was not remembered is never told of as received");
    }
}
