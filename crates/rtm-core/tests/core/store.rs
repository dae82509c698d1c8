//! What the shell's store does, in memory, with faults on demand.

use std::collections::{BTreeMap, VecDeque};

use rtm_codec::{ChannelAttributes, ChannelId, HistoryCursor, HistoryMessage, HistoryPage, UserId};
use rtm_core::{Conversation, OfflineId, OfflineMessage, StoreAnswer, StoreDone, StoreFailed, StoreJob, StoreWork};

#[derive(Debug, Default)]
pub(crate) struct MemoryStore {
    pub(crate) offline: BTreeMap<UserId, BTreeMap<OfflineId, OfflineMessage>>,
    pub(crate) history: BTreeMap<Conversation, Vec<HistoryMessage>>,
    pub(crate) channel_attributes: BTreeMap<ChannelId, ChannelAttributes>,
    /// Jobs wait until it is released.
    pub(crate) is_held: bool,
    /// Jobs fail.
    pub(crate) is_broken: bool,
    pub(crate) expired: Vec<(u64, u64)>,
    jobs: VecDeque<StoreJob>,
    next: u64,
}

impl MemoryStore {
    pub(crate) fn take(&mut self, job: StoreJob) {
        self.jobs.push_back(job);
    }

    pub(crate) fn waiting(&self, user: &str) -> Vec<String> {
        let of = self.offline.iter().filter(|(id, _)| id.as_str() == user).flat_map(|(_, of)| of.values());
        of.map(|message| message.message.as_text().unwrap_or("(binary)").to_owned()).collect()
    }

    pub(crate) fn finish(&mut self) -> Vec<StoreDone> {
        if self.is_held {
            return Vec::new();
        }
        std::mem::take(&mut self.jobs)
            .into_iter()
            .map(|job| {
                let result = if self.is_broken { Err(StoreFailed) } else { Ok(self.work(job.work)) };
                StoreDone { id: job.id, result }
            })
            .collect()
    }

    fn work(&mut self, work: StoreWork) -> StoreAnswer {
        match work {
            StoreWork::AppendOffline { of, message, keep } => {
                self.next += 1;
                let id = OfflineId(self.next);
                let queue = self.offline.entry(of).or_default();
                queue.insert(id, message);
                let dropped = queue.len().saturating_sub(keep);
                for _ in 0..dropped {
                    queue.pop_first();
                }
                StoreAnswer::Appended { id, dropped }
            }
            StoreWork::LoadOffline { of, after, not_before, max_bytes } => {
                let mut messages = Vec::new();
                let mut bytes = 0;
                let all = self.offline.get(&of).into_iter().flatten();
                let mut wanted = all
                    .filter(|(id, of)| after.is_none_or(|after| **id > after) && of.server_received_ts >= not_before)
                    .peekable();
                while let Some((id, message)) = wanted.next_if(|_| bytes < max_bytes) {
                    bytes += message.message.len();
                    messages.push((*id, message.clone()));
                }
                StoreAnswer::Offline { messages, more: wanted.peek().is_some() }
            }
            StoreWork::RemoveOffline { of, ids } => {
                if let Some(queue) = self.offline.get_mut(&of) {
                    queue.retain(|id, _| !ids.contains(id));
                }
                StoreAnswer::Done
            }
            StoreWork::AppendHistory { of, message } => {
                self.history.entry(of).or_default().push(message);
                StoreAnswer::Done
            }
            StoreWork::LoadHistory { of, from_ts, until_ts, after, limit, .. } => {
                let all = self.history.get(&of).cloned().unwrap_or_default();
                let start = after.map_or(0, |after| usize::try_from(after.0).unwrap());
                let mut next = None;
                let mut messages = Vec::new();
                for (at, message) in all.into_iter().enumerate().skip(start) {
                    if !(from_ts..until_ts).contains(&message.server_received_ts) {
                        continue;
                    }
                    if messages.len() == limit {
                        next = Some(HistoryCursor(at as u64));
                        break;
                    }
                    messages.push(message);
                }
                StoreAnswer::History(HistoryPage { messages, next })
            }
            StoreWork::PutChannelAttributes { channel_id, attributes } => {
                self.channel_attributes.insert(channel_id, attributes);
                StoreAnswer::Done
            }
            StoreWork::ClearChannelAttributes { channel_id } => {
                self.channel_attributes.remove(&channel_id);
                StoreAnswer::Done
            }
            StoreWork::Expire { offline_before, history_before } => {
                self.expired.push((offline_before, history_before));
                for queue in self.offline.values_mut() {
                    queue.retain(|_, message| message.server_received_ts >= offline_before);
                }
                for log in self.history.values_mut() {
                    log.retain(|message| message.server_received_ts >= history_before);
                }
                StoreAnswer::Done
            }
        }
    }
}
