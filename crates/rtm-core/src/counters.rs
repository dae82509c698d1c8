//! What a project counts for those who run it: plain numbers, under whatever lock holds the core.

mod histograms;
mod labels;

use std::time::Duration;

use rtm_codec::{Abilities, CallName, ErrorKind, SendOutcome};

use super::project_event::EventType;

pub use self::{
    histograms::{Histogram, Latencies},
    labels::{
        GapReason, LoginResult, LossReason, MessageKind, MessageSource, MoveResult, Quota, RefusedCall, ResumeResult,
    },
};

/// Counters of a project since its start.
#[derive(Debug, Clone, Default)]
pub struct Counters {
    /// By call. The last are those of which it is not known what was asked.
    refused_calls: [Counts<{ RefusedCall::ALL.len() }>; CallName::ALL.len() + 1],
    /// Of clients that cannot resume, and of those that can.
    logins: [Counts<{ LoginResult::ALL.len() }>; 2],
    quotas: Counts<{ Quota::ALL.len() }>,
    outcomes: Counts<{ OUTCOMES.len() }>,
    receipts: Latencies,
    members: Histogram,
    gaps: Counts<{ GapReason::ALL.len() }>,
    lost: Counts<{ LossReason::ALL.len() }>,
    moves: Counts<{ MoveResult::ALL.len() }>,
    pings: Latencies,
    /// The sizes of messages, by kind and source.
    sizes: [[Histogram; MessageSource::ALL.len()]; MessageKind::ALL.len()],
    resumes: Counts<{ ResumeResult::ALL.len() }>,
    replayed: Histogram,
    overwritten: u64,
    logged: Counts<{ EventType::ALL.len() }>,
}

/// What went wrong for a session since it began, or came to this node of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct SessionCounts {
    refused_calls: Counts<{ RefusedCall::ALL.len() }>,
    away_dropped: u64,
}

impl SessionCounts {
    /// Its calls that were answered with a refusal.
    pub fn refused_calls(&self) -> impl Iterator<Item = (RefusedCall, u64)> {
        RefusedCall::ALL.into_iter().zip(self.refused_calls.0)
    }

    /// Events of channels that were lost while its client was away.
    #[must_use]
    pub fn away_dropped(&self) -> u64 {
        self.away_dropped
    }

    #[cold]
    pub(super) fn call_refused(&mut self, kind: ErrorKind) {
        self.refused_calls.add(RefusedCall::of(kind) as usize);
    }

    #[cold]
    pub(super) fn dropped(&mut self, events: u64) {
        self.away_dropped += events;
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counts<const N: usize>([u64; N]);

impl<const N: usize> Default for Counts<N> {
    fn default() -> Self {
        Self([0; N])
    }
}

impl<const N: usize> Counts<N> {
    #[inline]
    fn add(&mut self, place: usize) {
        if let Some(count) = self.0.get_mut(place) {
            *count += 1;
        }
    }

    fn merge(&mut self, other: &Self) {
        self.0.iter_mut().zip(other.0).for_each(|(count, more)| *count += more);
    }
}

impl Counters {
    /// Adds what another core of the same project has counted.
    pub fn merge(&mut self, other: &Self) {
        let Self {
            refused_calls,
            logins,
            quotas,
            outcomes,
            receipts,
            members,
            gaps,
            lost,
            moves,
            pings,
            sizes,
            resumes,
            replayed,
            overwritten,
            logged,
        } = self;
        let all_sizes = sizes.iter_mut().flatten().zip(other.sizes.iter().flatten());
        all_sizes.for_each(|(sizes, more)| sizes.merge(more));
        resumes.merge(&other.resumes);
        replayed.merge(&other.replayed);
        *overwritten += other.overwritten;
        logged.merge(&other.logged);
        refused_calls.iter_mut().zip(&other.refused_calls).for_each(|(counts, more)| counts.merge(more));
        logins.iter_mut().zip(&other.logins).for_each(|(counts, more)| counts.merge(more));
        quotas.merge(&other.quotas);
        outcomes.merge(&other.outcomes);
        gaps.merge(&other.gaps);
        lost.merge(&other.lost);
        moves.merge(&other.moves);
        receipts.merge(&other.receipts);
        members.merge(&other.members);
        pings.merge(&other.pings);
    }

    /// Calls that were answered with a refusal. `None` are those of which it is not known what was asked: the call broke the rules
    /// of the wire, or its session has come from another node.
    pub fn refused_calls(&self) -> impl Iterator<Item = (Option<CallName>, RefusedCall, u64)> {
        let calls = CallName::ALL.iter().copied().map(Some).chain([None]);
        calls.zip(self.refused_calls).flat_map(|(call, counts)| {
            RefusedCall::ALL.into_iter().zip(counts.0).map(move |(reason, count)| (call, reason, count))
        })
    }

    /// What was refused since the project has as much of it as it may have.
    pub fn quotas(&self) -> impl Iterator<Item = (Quota, u64)> {
        Quota::ALL.into_iter().zip(self.quotas.0)
    }

    /// Something is refused for a quota.
    pub(super) fn beyond(&mut self, quota: Quota) {
        let place = Quota::ALL.iter().position(|known| *known == quota);
        if let Some(count) = place.and_then(|place| self.quotas.0.get_mut(place)) {
            *count += 1;
        }
    }

    /// Logins by whether their clients can resume, and by what became of them.
    pub fn logins(&self) -> impl Iterator<Item = (bool, LoginResult, u64)> {
        [false, true].into_iter().zip(self.logins).flat_map(|(resumes, counts)| {
            LoginResult::ALL.into_iter().zip(counts.0).map(move |(result, count)| (resumes, result, count))
        })
    }

    /// What senders on this server were told of their messages.
    pub fn outcomes(&self) -> impl Iterator<Item = (SendOutcome, u64)> {
        OUTCOMES.into_iter().zip(self.outcomes.0)
    }

    /// How long it took from a message until its receiver's device had it, by receivers on this server.
    #[must_use]
    pub fn receipts(&self) -> &Latencies {
        &self.receipts
    }

    /// How many members on this server each channel message went to.
    #[must_use]
    pub fn members(&self) -> &Histogram {
        &self.members
    }

    /// Gaps that clients were told of, one for each client and channel.
    pub fn gaps(&self) -> impl Iterator<Item = (GapReason, u64)> {
        GapReason::ALL.into_iter().zip(self.gaps.0)
    }

    /// Events of channels that were dropped for their receivers.
    pub fn lost(&self) -> impl Iterator<Item = (LossReason, u64)> {
        LossReason::ALL.into_iter().zip(self.lost.0)
    }

    /// Sessions that went from node to node, as this server has seen it.
    pub fn moves(&self) -> impl Iterator<Item = (MoveResult, u64)> {
        MoveResult::ALL.into_iter().zip(self.moves.0)
    }

    /// How long clients took to answer a ping.
    #[must_use]
    pub fn pings(&self) -> &Latencies {
        &self.pings
    }

    /// How many bytes the messages had that were taken, by what they were.
    pub fn sizes(&self) -> impl Iterator<Item = (MessageKind, MessageSource, Histogram)> {
        MessageKind::ALL.into_iter().zip(self.sizes).flat_map(|(kind, of_kind)| {
            MessageSource::ALL.into_iter().zip(of_kind).map(move |(source, sizes)| (kind, source, sizes))
        })
    }

    /// What became of the sessions that clients came back to.
    pub fn resumes(&self) -> impl Iterator<Item = (ResumeResult, u64)> {
        ResumeResult::ALL.into_iter().zip(self.resumes.0)
    }

    /// How many events clients were sent that went on with their sessions.
    #[must_use]
    pub fn replayed(&self) -> &Histogram {
        &self.replayed
    }

    /// Events that the vendor's calls for events passed over, since newer ones had taken their places.
    #[must_use]
    pub fn overwritten(&self) -> u64 {
        self.overwritten
    }

    /// Events that were written to the log, by type: of all types that can be there.
    pub fn logged_events(&self) -> impl Iterator<Item = (EventType, u64)> {
        // Readers are told of that one, and nobody writes it.
        let is_written = |(event_type, _): &(EventType, u64)| *event_type != EventType::LogTruncated;
        EventType::ALL.iter().copied().zip(self.logged.0).filter(is_written)
    }

    /// Events of these types are in the log, but for the missing ones, counted from 0.
    pub(super) fn logged(&mut self, types: &[EventType], missing: &[usize]) {
        types.iter().for_each(|event_type| self.logged.add(*event_type as usize));
        for event_type in missing.iter().filter_map(|at| types.get(*at)) {
            if let Some(count) = self.logged.0.get_mut(*event_type as usize) {
                *count = count.saturating_sub(1);
            }
        }
    }

    /// A message is taken.
    #[inline]
    pub(super) fn took_message(&mut self, kind: MessageKind, source: MessageSource, bytes: usize) {
        self.sizes[kind as usize][source as usize].add(bytes as u64);
    }

    /// A client has come back with so many events to be sent.
    pub(super) fn came_back(&mut self, result: ResumeResult, events: usize) {
        self.resumes.add(result as usize);
        if result != ResumeResult::NewSession {
            self.replayed.add(events as u64);
        }
    }

    pub(super) fn overwrote(&mut self, events: usize) {
        self.overwritten += events as u64;
    }

    /// Clients are told of so many gaps.
    pub(super) fn told_gaps(&mut self, reason: GapReason, gaps: usize) {
        if let Some(count) = self.gaps.0.get_mut(reason as usize) {
            *count += gaps as u64;
        }
    }

    #[cold]
    pub(super) fn lost_events(&mut self, reason: LossReason, events: u64) {
        if let Some(count) = self.lost.0.get_mut(reason as usize) {
            *count += events;
        }
    }

    pub(super) fn moved(&mut self, result: MoveResult) {
        self.moves.add(result as usize);
    }

    pub(super) fn ponged_after(&mut self, time: Duration) {
        self.pings.add(time);
    }

    #[cold]
    pub(super) fn call_refused(&mut self, call: Option<CallName>, kind: ErrorKind) {
        let place = call.map_or(CallName::ALL.len(), |call| call as usize);
        if let Some(counts) = self.refused_calls.get_mut(place) {
            counts.add(RefusedCall::of(kind) as usize);
        }
    }

    pub(super) fn logged_in(&mut self, result: LoginResult, abilities: Abilities) {
        self.logins[usize::from(abilities.resume)].add(result as usize);
    }

    pub(super) fn login_refused(&mut self, kind: ErrorKind, abilities: Abilities) {
        self.logged_in(LoginResult::refused(kind), abilities);
    }

    #[inline]
    pub(super) fn settled(&mut self, outcome: SendOutcome) {
        self.outcomes.add(match outcome {
            SendOutcome::Delivered => 0,
            SendOutcome::Stored => 1,
            SendOutcome::NotReceived => 2,
            // One that is added to the protocol has to be added here.
            _ => return,
        });
    }

    #[inline]
    pub(super) fn received_after(&mut self, time: Duration) {
        self.receipts.add(time);
    }

    #[inline]
    pub(super) fn fanned_out(&mut self, members: usize) {
        self.members.add(members as u64);
    }
}

/// In the order in which they are counted.
const OUTCOMES: [SendOutcome; 3] = [SendOutcome::Delivered, SendOutcome::Stored, SendOutcome::NotReceived];
