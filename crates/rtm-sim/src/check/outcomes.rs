//! What becomes of messages to users: one session decides it, and their senders are told the truth.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_codec::{
    Answer, Command, Event, MessageId, RequestId, RtmMessage, SendOutcome, ServerFrame, StoredMessage, UserId,
};
use rtm_connection::RtmError;

use super::{Invariant, Verdict, facts::Facts, fault, messages::digest};

/// What devices and the store have had of messages, and what the senders of these were told.
#[derive(Debug, Default)]
pub(super) struct Outcomes {
    under_way: BTreeMap<(usize, RequestId), Content>,
    known: BTreeMap<Content, Known>,
    /// When each message was stored first.
    stored: BTreeMap<Stored, Duration>,
}

/// All that tells a message from another one before a server has it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Content {
    from: UserId,
    to: UserId,
    digest: u64,
}

/// Which messages with a content came to a device or into the store, and how often a sender was told so.
#[derive(Debug, Default)]
struct Known {
    arrived: Messages,
    stored: Messages,
    told_delivered: usize,
    told_stored: usize,
}

/// Messages that look alike. One that comes again is the same.
#[derive(Debug, Default)]
struct Messages {
    numbered: BTreeSet<(MessageId, u64)>,
    others: usize,
}

impl Messages {
    fn add(&mut self, message_id: MessageId, server_received_ts: u64) {
        // Without a number one message looks like another.
        match message_id {
            MessageId(0) => self.others += 1,
            _ => drop(self.numbered.insert((message_id, server_received_ts))),
        }
    }

    fn count(&self) -> usize {
        self.numbered.len() + self.others
    }
}

/// By what servers know a message.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Stored {
    from: UserId,
    to: UserId,
    message_id: MessageId,
    server_received_ts: u64,
}

impl Outcomes {
    pub(super) fn issued(&mut self, facts: &Facts, device: usize, id: RequestId, command: &Command) {
        // A value arrives as text on the vendor's wire.
        if let Command::SendMessageToPeer(send) = command
            && !matches!(send.message, RtmMessage::Value(_))
        {
            let (from, to) = (facts.devices[device].user_id.clone(), send.peer_id.clone());
            self.under_way.insert((device, id), Content { from, to, digest: digest(&send.message) });
        }
    }

    /// A frame reaches a device.
    pub(super) fn received(&mut self, facts: &Facts, device: usize, frame: &ServerFrame) {
        if let ServerFrame::Event { event: Event::MessageFromPeer(message), .. } = frame {
            let (from, to) = (message.peer_id.clone(), facts.devices[device].user_id.clone());
            let content = Content { from, to, digest: digest(&message.message) };
            let known = self.known.entry(content).or_default();
            known.arrived.add(message.message_id, message.server_received_ts);
        }
    }

    /// The store has a message for a user.
    pub(super) fn stored(&mut self, facts: &Facts, now: Duration, to: &UserId, message: &StoredMessage) -> Verdict {
        let (from, to) = (message.from.clone(), to.clone());
        let content = Content { from: from.clone(), to: to.clone(), digest: digest(&message.message) };
        let (message_id, server_received_ts) = (message.message_id, message.server_received_ts);
        self.known.entry(content).or_default().stored.add(message_id, server_received_ts);
        if !facts.is_cluster || message_id == MessageId(0) {
            return Ok(());
        }
        let stored = Stored { from, to, message_id, server_received_ts };
        let Some(first) = self.stored.get(&stored).copied() else {
            self.stored.insert(stored, now);
            return Ok(());
        };
        // Who had it may have been lost before it could say so, or not have known that it had succeeded.
        let since = first.saturating_sub(UNDER_WAY);
        if facts.server_ended_since(since) || facts.store_failed_since(since) {
            return Ok(());
        }
        let Stored { from, to, message_id, .. } = stored;
        let detail = format!("message {message_id} from {from} to {to} of {first:?} is stored again");
        Err(fault(Invariant::OneOwner, detail))
    }

    pub(super) fn replied(&mut self, device: usize, id: RequestId, result: &Result<Answer, RtmError>) -> Verdict {
        let Some(content) = self.under_way.remove(&(device, id)) else { return Ok(()) };
        let Ok(Answer::SendMessageToPeer(outcome)) = result else { return Ok(()) };
        let to = content.to.clone();
        let known = self.known.entry(content).or_default();
        let (told, happened) = match outcome {
            SendOutcome::Delivered => (&mut known.told_delivered, known.arrived.count()),
            SendOutcome::Stored => (&mut known.told_stored, known.stored.count()),
            _ => return Ok(()),
        };
        *told += 1;
        if *told > happened {
            let detail = format!("call {id} to {to} is {outcome:?}, which happened to {happened} such messages");
            return Err(fault(Invariant::OutcomeTrue, detail));
        }
        Ok(())
    }
}

/// So long before it was stored a message may have been on its way.
const UNDER_WAY: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use rtm_codec::{PeerMessage, SendMessageToPeer, Seq, Wire};
    use rtm_core::Settings;

    use super::*;
    use crate::figures::DeviceConfig;

    fn facts() -> Facts {
        let mut facts = Facts::new(&Settings::default(), true);
        facts.is_cluster = true;
        for name in ["alice", "bob"] {
            facts.add(UserId::new(name).unwrap(), &DeviceConfig::new(Wire::Native));
        }
        facts
    }

    fn sent(outcomes: &mut Outcomes, facts: &Facts, request: u64) {
        let send = SendMessageToPeer {
            peer_id: facts.devices[1].user_id.clone(),
            message: RtmMessage::from("hello"),
            message_id: MessageId(request),
            enable_offline_messaging: true,
            enable_historical_messaging: false,
        };
        outcomes.issued(facts, 0, RequestId(request), &send.into());
    }

    fn stored(ts: u64) -> StoredMessage {
        StoredMessage::new(MessageId(1), UserId::new("alice").unwrap(), RtmMessage::from("hello"), ts)
    }

    fn received(outcomes: &mut Outcomes, facts: &Facts, device: usize, id: u64) {
        let message = PeerMessage {
            message_id: MessageId(id),
            peer_id: facts.devices[0].user_id.clone(),
            message: RtmMessage::from("hello"),
            is_offline_message: false,
            server_received_ts: 1,
        };
        let frame = ServerFrame::Event { seq: Seq(1), event: Event::MessageFromPeer(message) };
        outcomes.received(facts, device, &frame);
    }

    fn told(outcomes: &mut Outcomes, request: u64, outcome: SendOutcome) -> Option<Invariant> {
        let result = Ok(Answer::SendMessageToPeer(outcome));
        outcomes.replied(0, RequestId(request), &result).err().map(|fault| fault.invariant)
    }

    #[test]
    fn a_sender_is_told_that_a_message_is_delivered_when_a_device_has_it() {
        let facts = facts();
        for (receiver, broken) in
            [(None, Some(Invariant::OutcomeTrue)), (Some(0), Some(Invariant::OutcomeTrue)), (Some(1), None)]
        {
            let mut outcomes = Outcomes::default();
            sent(&mut outcomes, &facts, 1);
            receiver.into_iter().for_each(|device| received(&mut outcomes, &facts, device, 1));
            assert_eq!(told(&mut outcomes, 1, SendOutcome::Delivered), broken, "{receiver:?}");
        }
    }

    #[test]
    fn a_sender_is_told_that_a_message_is_stored_when_the_store_has_it() {
        let facts = facts();
        for (is_stored, broken) in [(false, Some(Invariant::OutcomeTrue)), (true, None)] {
            let mut outcomes = Outcomes::default();
            sent(&mut outcomes, &facts, 1);
            if is_stored {
                outcomes.stored(&facts, Duration::ZERO, &facts.devices[1].user_id, &stored(1)).unwrap();
            }
            assert_eq!(told(&mut outcomes, 1, SendOutcome::Stored), broken);
        }
    }

    #[test]
    fn a_message_that_comes_again_is_not_another_one() {
        let facts = facts();
        for (second, broken) in [(1, Some(Invariant::OutcomeTrue)), (2, None)] {
            let mut outcomes = Outcomes::default();
            (1..=2).for_each(|request| sent(&mut outcomes, &facts, request));
            [1, second].into_iter().for_each(|id| received(&mut outcomes, &facts, 1, id));
            assert_eq!(told(&mut outcomes, 1, SendOutcome::Delivered), None);
            assert_eq!(told(&mut outcomes, 2, SendOutcome::Delivered), broken);
        }
    }

    #[test]
    fn one_session_stores_a_message_unless_a_node_is_lost() {
        let at = Duration::from_secs;
        for (node_gone, ts, broken) in [(false, 1, Some(Invariant::OneOwner)), (false, 2, None), (true, 1, None)] {
            let (mut facts, mut outcomes) = (facts(), Outcomes::default());
            let to = facts.devices[1].user_id.clone();
            outcomes.stored(&facts, at(30), &to, &stored(1)).unwrap();
            if node_gone {
                facts.node_gone(at(31), &[]);
            }
            let again = outcomes.stored(&facts, at(32), &to, &stored(ts));
            assert_eq!(again.err().map(|fault| fault.invariant), broken, "{node_gone} {ts}");
        }
    }
}
