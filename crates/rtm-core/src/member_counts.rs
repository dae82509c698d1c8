//! How many members channels have in which this node has none: their homes know.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use rtm_codec::{Answer, CallName, ChannelId, ErrorKind, GetChannelMemberCount, Refusal, limits};

use super::{
    Core, Now,
    channel::Channel,
    cluster::{HomeParcel, NodeId},
    notes::Asker,
    roster::Standing,
};

/// The questions of this node that are not answered, and those of others that cannot be yet.
#[derive(Debug, Default)]
pub(super) struct CountQuestions {
    next: u64,
    asked: BTreeMap<u64, Question>,
    waiting: Vec<(NodeId, u64, Vec<ChannelId>)>,
}

#[derive(Debug)]
struct Question {
    asker: Asker,
    channel_ids: Vec<ChannelId>,
    counts: BTreeMap<ChannelId, u32>,
    until: Instant,
}

impl Core {
    pub(super) fn member_counts(
        &mut self,
        now: Now,
        asker: Asker,
        query: GetChannelMemberCount,
    ) -> Option<Result<Answer, Refusal>> {
        match query.channel_ids.len() {
            0 => return Some(Err(Refusal::new(ErrorKind::InvalidArgument, "no channel is named"))),
            len if len > limits::MEMBER_COUNT_CHANNELS => {
                return Some(Err(Refusal::new(
                    ErrorKind::ExceedLimit,
                    "at most 32 channels can be asked about at once",
                )));
            }
            _ => {}
        }
        if self.edge.is_none() {
            let counts = query.channel_ids.into_iter().map(|id| {
                let count = self.count_here(&id);
                (id, count)
            });
            return Some(Ok(Answer::GetChannelMemberCount(counts.collect())));
        }
        let until = now.instant + ANSWERED_WITHIN;
        let edge = self.edge.as_mut()?;
        let question = edge.counts.next;
        edge.counts.next += 1;
        let channel_ids = query.channel_ids;
        edge.counts.asked.insert(question, Question { asker, channel_ids, counts: BTreeMap::new(), until });
        self.ask_counts(now, question);
        self.arm_edge(until);
        None
    }

    fn count_here(&self, channel_id: &ChannelId) -> u32 {
        let channel = self.channels.find(channel_id).and_then(|channel| self.channels.get(channel));
        channel.map_or(0, Channel::count)
    }

    /// Asks for what is missing of an answer.
    fn ask_counts(&mut self, now: Now, question: u64) {
        let Some(edge) = &self.edge else { return };
        let Some(asked) = edge.counts.asked.get(&question) else { return };
        let epoch = edge.view.epoch();
        let mut counts = Vec::new();
        let mut by_home: BTreeMap<NodeId, Vec<ChannelId>> = BTreeMap::new();
        for channel_id in asked.channel_ids.iter().filter(|id| !asked.counts.contains_key(*id)) {
            let is_member = edge.rosters.get(channel_id).is_some_and(|it| it.standing == Standing::Settled);
            if is_member {
                counts.push((channel_id.clone(), self.count_here(channel_id)));
            } else if let Some(home) = edge.view.home(self.partition_of(channel_id)) {
                by_home.entry(home.id.clone()).or_default().push(channel_id.clone());
            }
        }
        for (home, channel_ids) in by_home {
            self.say_home(now, &home, HomeParcel::Count { question, epoch, channel_ids });
        }
        self.counted(question, counts);
    }

    /// Homes have answered.
    pub(super) fn counted(&mut self, question: u64, counts: Vec<(ChannelId, u32)>) {
        let Some(edge) = &mut self.edge else { return };
        let Some(asked) = edge.counts.asked.get_mut(&question) else { return };
        asked.counts.extend(counts);
        if !asked.channel_ids.iter().all(|id| asked.counts.contains_key(id)) {
            return;
        }
        if let Some(Question { asker, channel_ids, counts, .. }) = edge.counts.asked.remove(&question) {
            let counts = channel_ids.into_iter().map(|id| {
                let count = counts.get(&id).copied().unwrap_or(0);
                (id, count)
            });
            self.answer_read(
                asker,
                CallName::GetChannelMemberCount,
                Ok(Answer::GetChannelMemberCount(counts.collect())),
            );
        }
    }

    /// Another node, or this one, asks this one as the home of channels.
    pub(super) fn asked_to_count(&mut self, now: Now, from: &NodeId, question: u64, channel_ids: Vec<ChannelId>) {
        if let Some(edge) = &mut self.edge {
            edge.counts.waiting.push((from.clone(), question, channel_ids));
        }
        self.answer_counts(now);
    }

    /// Answers what can be answered. Who is not the home any more leaves that to the next one, which is asked again.
    pub(super) fn answer_counts(&mut self, now: Now) {
        self.look_at_relays(now);
        let Some(edge) = &mut self.edge else { return };
        let waiting = std::mem::take(&mut edge.counts.waiting);
        for (from, question, channel_ids) in waiting {
            let numbers: Vec<u16> = channel_ids.iter().map(|id| self.partition_of(id)).collect();
            let Some(edge) = &mut self.edge else { return };
            if !numbers.iter().all(|number| edge.homes.has(*number)) || !edge.view.has(&from) {
                continue;
            }
            let counts =
                channel_ids.iter().zip(&numbers).map(|(id, number)| Some((id.clone(), edge.homes.count(*number, id)?)));
            match counts.collect::<Option<Vec<_>>>() {
                Some(counts) => self.say_home(now, &from, HomeParcel::Counted { question, counts }),
                None => edge.counts.waiting.push((from, question, channel_ids)),
            }
        }
    }

    /// The homes may be others.
    pub(super) fn ask_counts_again(&mut self, now: Now) {
        let questions: Vec<u64> = self.edge.iter().flat_map(|edge| edge.counts.asked.keys().copied()).collect();
        for question in questions {
            self.ask_counts(now, question);
        }
    }

    /// Gives up what was not answered in time.
    pub(super) fn expire_counts(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let mut askers = Vec::new();
        edge.counts.asked.retain(|_, question| {
            let is_over = question.until <= now.instant;
            if is_over {
                askers.push(question.asker);
            }
            !is_over
        });
        for asker in askers {
            self.answer_read(asker, CallName::GetChannelMemberCount, Err(ErrorKind::Timeout.into()));
        }
    }
}

/// Less than a client waits.
const ANSWERED_WITHIN: Duration = Duration::from_secs(9);
