//! The message ids that a sender used lately, so that a repeated message is not delivered again.

use std::{
    collections::{BTreeMap, VecDeque},
    time::Instant,
};

use rtm_codec::{MessageId, RequestId, SendOutcome, limits};

use super::{
    Settings,
    pack::{
        format::{MessageIdV1, MessageIdsV1, MessageStateV1, RepeatV1},
        packer::Packer,
        times::PackTime,
    },
};

/// What is known of a message id.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// It is new, and remembered from now on.
    Fresh,
    /// The message was taken, and this came of it.
    Done(SendOutcome),
    /// The message was taken, and its outcome is not known yet. The repeat will be told too.
    UnderWay,
}

/// Messages to peers and to channels are numbered apart: a sender may use one number in both.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Sent {
    ToPeer(MessageId),
    ToChannel(MessageId),
}

/// The ids of one session.
#[derive(Debug, Default)]
pub(super) struct MessageIds {
    to_peers: Ids,
    to_channels: Ids,
    /// Requests that repeated a message before its outcome was known.
    repeats: Vec<(Sent, RequestId)>,
}

impl MessageIds {
    pub(super) fn begin(&mut self, sent: Sent, request: RequestId, now: Instant, settings: &Settings) -> Known {
        if let Some(over) = now.checked_sub(settings.repeat_within) {
            for ids in [&mut self.to_peers, &mut self.to_channels] {
                while ids.entries.front().is_some_and(|oldest| oldest.at <= over) {
                    ids.forget_oldest();
                }
            }
        }
        let (ids, id) = self.ids(sent);
        match ids.get_mut(id).map(|entry| entry.state) {
            Some(State::UnderWay) => {
                self.repeats.push((sent, request));
                return Known::UnderWay;
            }
            Some(State::Done(outcome)) => return Known::Done(outcome),
            Some(State::Refused) | None => {}
        }
        if self.to_peers.entries.len() + self.to_channels.entries.len() >= settings.repeat_ids.max(1) {
            self.forget_oldest();
        }
        let (ids, id) = self.ids(sent);
        ids.push(Entry { id, at: now, state: State::UnderWay });
        Known::Fresh
    }

    /// Whether nothing is remembered any more.
    pub(super) fn is_over(&self, now: Instant, settings: &Settings) -> bool {
        let is_over = |ids: &Ids| ids.entries.back().is_none_or(|last| last.at + settings.repeat_within <= now);
        is_over(&self.to_peers) && is_over(&self.to_channels) && self.repeats.is_empty()
    }

    /// Whether a message to a user is remembered.
    pub(super) fn has_any_to_peers(&self) -> bool {
        !self.to_peers.entries.is_empty()
    }

    /// The outcome is known. Gives the requests that repeated the message meanwhile.
    pub(super) fn finish(&mut self, sent: Sent, outcome: SendOutcome) -> Vec<RequestId> {
        self.set(sent, State::Done(outcome));
        self.take_repeats(sent)
    }

    /// The message was refused after all, so it may be tried again. Gives the requests that repeated it meanwhile.
    pub(super) fn forget(&mut self, sent: Sent) -> Vec<RequestId> {
        self.set(sent, State::Refused);
        self.take_repeats(sent)
    }

    /// The client numbers its requests anew: those that wait are not asked about any more.
    pub(super) fn restart(&mut self) {
        self.repeats.clear();
    }

    fn ids(&mut self, sent: Sent) -> (&mut Ids, MessageId) {
        match sent {
            Sent::ToPeer(id) => (&mut self.to_peers, id),
            Sent::ToChannel(id) => (&mut self.to_channels, id),
        }
    }

    fn set(&mut self, sent: Sent, state: State) {
        let (ids, id) = self.ids(sent);
        if let Some(entry) = ids.get_mut(id) {
            entry.state = state;
        }
    }

    fn forget_oldest(&mut self) {
        let at = |ids: &Ids| ids.entries.front().map(|oldest| oldest.at);
        let is_to_channel = match (at(&self.to_peers), at(&self.to_channels)) {
            (Some(to_peer), Some(to_channel)) => to_channel < to_peer,
            (to_peer, _) => to_peer.is_none(),
        };
        if is_to_channel { self.to_channels.forget_oldest() } else { self.to_peers.forget_oldest() }
    }

    #[inline]
    fn take_repeats(&mut self, sent: Sent) -> Vec<RequestId> {
        if self.repeats.is_empty() { Vec::new() } else { self.take_some_repeats(sent) }
    }

    #[cold]
    fn take_some_repeats(&mut self, sent: Sent) -> Vec<RequestId> {
        self.repeats.extract_if(.., |(repeated, _)| *repeated == sent).map(|(_, request)| request).collect()
    }
}

impl MessageIds {
    pub(super) fn pack(&self, packer: Packer<'_>) -> MessageIdsV1 {
        let repeat = |(sent, request): &(Sent, RequestId)| {
            let (to_channel, id) = match sent {
                Sent::ToPeer(id) => (false, id.0),
                Sent::ToChannel(id) => (true, id.0),
            };
            RepeatV1 { to_channel, id, request: request.0 }
        };
        MessageIdsV1 {
            to_peers: self.to_peers.pack(packer),
            to_channels: self.to_channels.pack(packer),
            repeats: self.repeats.iter().map(repeat).collect(),
        }
    }

    pub(super) fn unpack(packed: &MessageIdsV1, time: PackTime, settings: &Settings) -> Option<Self> {
        let MessageIdsV1 { to_peers, to_channels, repeats } = packed;
        if to_peers.len() + to_channels.len() > settings.repeat_ids.max(1) || repeats.len() > limits::REQUESTS_IN_FLIGHT
        {
            return None;
        }
        let repeat = |repeat: &RepeatV1| {
            let id = MessageId(repeat.id);
            let sent = if repeat.to_channel { Sent::ToChannel(id) } else { Sent::ToPeer(id) };
            (sent, RequestId(repeat.request))
        };
        Some(Self {
            to_peers: Ids::unpack(to_peers, time),
            to_channels: Ids::unpack(to_channels, time),
            repeats: repeats.iter().map(repeat).collect(),
        })
    }
}

/// Ids in the order of their use. A client mostly counts up, so runs of ids that follow each other are found as one:
/// nothing is hashed, and neighbours in time are neighbours in memory.
#[derive(Debug, Default)]
struct Ids {
    entries: VecDeque<Entry>,
    /// The place of the first entry. Places are counted from the beginning, also those of entries that are gone.
    first: u64,
    /// The run that may go on. Of a client that counts up, this is all there is.
    latest: Option<(u64, Run)>,
    /// The others, by their first ids. The beginning of one may be gone; its last id is not.
    earlier: BTreeMap<u64, Run>,
}

#[derive(Debug)]
struct Entry {
    id: MessageId,
    at: Instant,
    state: State,
}

#[derive(Debug, Clone, Copy)]
enum State {
    UnderWay,
    Done(SendOutcome),
    Refused,
}

/// So many ids that follow each other, from this place on.
#[derive(Debug, Clone, Copy)]
struct Run {
    place: u64,
    len: u64,
}

impl Run {
    fn end(self) -> u64 {
        self.place + self.len
    }
}

impl Ids {
    fn pack(&self, packer: Packer<'_>) -> Vec<MessageIdV1> {
        let state = |state| match state {
            State::UnderWay => MessageStateV1::UnderWay,
            State::Done(SendOutcome::Delivered) => MessageStateV1::Delivered,
            State::Done(SendOutcome::Stored) => MessageStateV1::Stored,
            State::Done(_) => MessageStateV1::NotReceived,
            State::Refused => MessageStateV1::Refused,
        };
        let pack =
            |entry: &Entry| MessageIdV1 { id: entry.id.0, at: packer.moment(entry.at), state: state(entry.state) };
        self.entries.iter().map(pack).collect()
    }

    fn unpack(packed: &[MessageIdV1], time: PackTime) -> Self {
        let mut ids = Self::default();
        for entry in packed {
            let state = match entry.state {
                MessageStateV1::UnderWay => State::UnderWay,
                MessageStateV1::Delivered => State::Done(SendOutcome::Delivered),
                MessageStateV1::Stored => State::Done(SendOutcome::Stored),
                MessageStateV1::NotReceived => State::Done(SendOutcome::NotReceived),
                MessageStateV1::Refused => State::Refused,
            };
            ids.push(Entry { id: MessageId(entry.id), at: time.instant(entry.at).min(time.0), state });
        }
        ids
    }

    /// The first id of the run that an id is in, and the run.
    #[inline]
    fn run(&self, id: u64) -> Option<(u64, Run)> {
        let is_in = |(start, run): &(u64, Run)| id.checked_sub(*start).is_some_and(|offset| offset < run.len);
        if self.earlier.is_empty() {
            return self.latest.filter(is_in);
        }
        self.latest.filter(is_in).or_else(|| self.earlier_run(id).filter(is_in))
    }

    /// The last of the other runs that begins no later than an id.
    #[cold]
    fn earlier_run(&self, id: u64) -> Option<(u64, Run)> {
        self.earlier.range(..=id).next_back().map(|(start, run)| (*start, *run))
    }

    fn get_mut(&mut self, id: MessageId) -> Option<&mut Entry> {
        let (start, run) = self.run(id.0)?;
        let index = (run.place + (id.0 - start)).checked_sub(self.first)?;
        self.entries.get_mut(usize::try_from(index).ok()?)
    }

    fn push(&mut self, entry: Entry) {
        let (id, place) = (entry.id.0, self.first + self.entries.len() as u64);
        self.cut(id);
        self.entries.push_back(entry);
        match &mut self.latest {
            Some((start, run)) if id.checked_sub(*start) == Some(run.len) && run.end() == place => run.len += 1,
            latest => {
                let ended = latest.replace((id, Run { place, len: 1 }));
                self.earlier.extend(ended);
            }
        }
    }

    /// Takes an id that is used anew out of the run that it was in.
    fn cut(&mut self, id: u64) {
        let Some((start, run)) = self.run(id) else { return };
        self.remove(start);
        let before = id - start;
        let parts = [
            (start, Run { place: run.place, len: before }),
            (id.wrapping_add(1), Run { place: run.place + before + 1, len: run.len - before - 1 }),
        ];
        self.earlier.extend(parts.into_iter().filter(|(_, part)| part.len > 0 && part.end() > self.first));
    }

    fn forget_oldest(&mut self) {
        let Some(oldest) = self.entries.pop_front() else { return };
        self.first += 1;
        if let Some((start, _)) = self.run(oldest.id.0).filter(|(_, run)| run.end() <= self.first) {
            self.remove(start);
        }
    }

    fn remove(&mut self, start: u64) {
        if self.latest.take_if(|(first, _)| *first == start).is_none() {
            self.earlier.remove(&start);
        }
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "virtual time needs some instant to start from")]
mod tests {
    use std::time::Duration;

    use proptest::prelude::*;

    use super::*;

    /// What the ids of one kind are to be like: all of them in one list.
    #[derive(Default)]
    struct Plain(VecDeque<(u64, bool)>);

    impl Plain {
        fn is_known(&self, id: u64) -> bool {
            self.0.iter().rev().find(|(known, _)| *known == id).is_some_and(|(_, refused)| !refused)
        }
    }

    #[derive(Debug, Clone)]
    enum Step {
        Begin(u64),
        Next,
        Refuse(u64),
        Forget,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            3 => prop_oneof![0..12u64, u64::MAX - 3..=u64::MAX].prop_map(Step::Begin),
            3 => Just(Step::Next),
            1 => (0..12u64).prop_map(Step::Refuse),
            2 => Just(Step::Forget),
        ]
    }

    proptest! {
        #[test]
        fn runs_know_what_a_plain_list_knows(steps in proptest::collection::vec(step(), 1..200)) {
            let (mut ids, mut plain, mut last) = (Ids::default(), Plain::default(), 0u64);
            for step in steps {
                match step {
                    Step::Begin(_) | Step::Next => {
                        let id = if let Step::Begin(id) = step { id } else { last.wrapping_add(1) };
                        last = id;
                        let known = ids.get_mut(MessageId(id)).is_some_and(|entry| !matches!(entry.state, State::Refused));
                        prop_assert_eq!(known, plain.is_known(id));
                        if !known {
                            ids.push(Entry { id: MessageId(id), at: Instant::now(), state: State::UnderWay });
                            plain.0.push_back((id, false));
                        }
                    }
                    Step::Refuse(id) => {
                        if let Some(entry) = ids.get_mut(MessageId(id)) {
                            entry.state = State::Refused;
                        }
                        if let Some((_, refused)) = plain.0.iter_mut().rev().find(|(known, _)| *known == id) {
                            *refused = true;
                        }
                    }
                    Step::Forget => {
                        ids.forget_oldest();
                        plain.0.pop_front();
                    }
                }
                prop_assert_eq!(ids.entries.len(), plain.0.len());
                prop_assert!(ids.earlier.len() <= ids.entries.len());
            }
        }
    }

    #[test]
    fn the_oldest_of_both_kinds_makes_room() {
        let settings = Settings { repeat_ids: 2, ..Settings::default() };
        let (mut repeats, now) = (MessageIds::default(), Instant::now());
        let (peer, channel) = (Sent::ToPeer(MessageId(1)), Sent::ToChannel(MessageId(1)));
        assert_eq!(repeats.begin(channel, RequestId(1), now, &settings), Known::Fresh);
        assert_eq!(repeats.begin(peer, RequestId(2), now + Duration::from_secs(1), &settings), Known::Fresh);
        repeats.finish(peer, SendOutcome::Delivered);
        let later = now + Duration::from_secs(2);
        assert_eq!(repeats.begin(Sent::ToPeer(MessageId(2)), RequestId(3), later, &settings), Known::Fresh);
        assert_eq!(repeats.begin(peer, RequestId(4), later, &settings), Known::Done(SendOutcome::Delivered));
        assert_eq!(repeats.begin(channel, RequestId(5), later, &settings), Known::Fresh);
    }
}
