//! A backend that keeps everything in memory, up to a bound.

use std::{
    collections::{BTreeMap, BTreeSet},
    ops::Bound,
    sync::Arc,
};

use rtm_codec::{AppId, ChannelAttributes, ChannelId, HistoryMessage, RtmMessage, UserId};

use super::{
    Backend, BackendError, BackendStats, Conversation, OfflineId, OfflineMessage, Page, Place, StoreAnswer, StoreWork,
    Task,
};

/// Keeps everything in memory: it is gone when the server ends.
///
/// What it may hold in all is bounded; beyond that the oldest message of any user or conversation gives way.
#[derive(Debug)]
pub struct Memory {
    offline: BTreeMap<(Arc<AppId>, UserId, OfflineId), OfflineMessage>,
    /// The same by age: (time taken, place).
    offline_ages: BTreeSet<(u64, OfflineId, Arc<AppId>, UserId)>,
    history: BTreeMap<(Arc<AppId>, Conversation, Place), HistoryMessage>,
    /// The same by age.
    history_ages: BTreeSet<(Place, Arc<AppId>, Conversation)>,
    attributes: BTreeMap<(Arc<AppId>, ChannelId), ChannelAttributes>,
    projects: BTreeSet<Arc<AppId>>,
    last_offline: u64,
    bytes: usize,
    capacity: usize,
}

impl Memory {
    /// What a server without a data directory keeps at most: 512 MiB.
    pub const DEFAULT_CAPACITY: usize = 512 * 1024 * 1024;

    /// An empty store whose messages may take `capacity` bytes, their bookkeeping included.
    #[must_use]
    pub fn with_capacity(capacity: usize) -> Self {
        Self {
            offline: BTreeMap::new(),
            offline_ages: BTreeSet::new(),
            history: BTreeMap::new(),
            history_ages: BTreeSet::new(),
            attributes: BTreeMap::new(),
            projects: BTreeSet::new(),
            last_offline: 0,
            bytes: 0,
            capacity,
        }
    }

    fn work(&mut self, app_id: &Arc<AppId>, work: StoreWork) -> StoreAnswer {
        match work {
            StoreWork::AppendOffline { of, message, keep } => self.append_offline(app_id, &of, message, keep),
            StoreWork::LoadOffline { of, after, not_before, max_bytes } => {
                let start = match after {
                    Some(after) => Bound::Excluded((Arc::clone(app_id), of.clone(), after)),
                    None => Bound::Included((Arc::clone(app_id), of.clone(), OfflineId(0))),
                };
                let end = Bound::Included((Arc::clone(app_id), of, OfflineId(u64::MAX)));
                let mut page = Page::new(usize::MAX, max_bytes);
                for ((_, _, id), message) in self.offline.range((start, end)) {
                    if message.server_received_ts >= not_before
                        && !page.push((*id, message.clone()), message.message.len())
                    {
                        break;
                    }
                }
                StoreAnswer::Offline { messages: page.messages, more: page.more }
            }
            StoreWork::RemoveOffline { of, ids } => {
                for id in ids {
                    self.remove_offline(app_id, &of, id);
                }
                StoreAnswer::Done
            }
            StoreWork::AppendHistory { of, message } => {
                let ts = message.server_received_ts;
                let key = |place| (Arc::clone(app_id), of.clone(), place);
                let same_time = self.history.range(key(Place::first_at(ts))..=key(Place::last_at(ts)));
                let last = same_time.last().map(|((_, _, last), _)| last.next());
                let place = last.unwrap_or_else(|| Place::first_at(ts));
                self.bytes += size(&message.message);
                self.history_ages.insert((place, Arc::clone(app_id), of.clone()));
                self.history.insert((Arc::clone(app_id), of, place), message);
                self.make_room();
                StoreAnswer::Done
            }
            StoreWork::LoadHistory { of, from_ts, until_ts, after, limit, max_bytes } => {
                let start = (Arc::clone(app_id), of.clone(), Place::start(from_ts, after));
                let end = (Arc::clone(app_id), of, Place::first_at(until_ts));
                let mut page = Page::new(limit, max_bytes);
                if start < end {
                    for ((_, _, place), message) in self.history.range(start..end) {
                        if !page.push((*place, message.clone()), message.message.len()) {
                            break;
                        }
                    }
                }
                StoreAnswer::History(page.into_history())
            }
            StoreWork::PutChannelAttributes { channel_id, attributes } => {
                self.attributes.insert((Arc::clone(app_id), channel_id), attributes);
                StoreAnswer::Done
            }
            StoreWork::ClearChannelAttributes { channel_id } => {
                self.attributes.remove(&(Arc::clone(app_id), channel_id));
                StoreAnswer::Done
            }
            StoreWork::Expire { offline_before, history_before } => {
                self.expire(app_id, offline_before, history_before);
                StoreAnswer::Done
            }
        }
    }

    fn append_offline(
        &mut self,
        app_id: &Arc<AppId>,
        of: &UserId,
        message: OfflineMessage,
        keep: usize,
    ) -> StoreAnswer {
        self.last_offline += 1;
        let id = OfflineId(self.last_offline);
        self.bytes += size(&message.message);
        self.offline_ages.insert((message.server_received_ts, id, Arc::clone(app_id), of.clone()));
        self.offline.insert((Arc::clone(app_id), of.clone(), id), message);
        let first = (Arc::clone(app_id), of.clone(), OfflineId(0));
        let last = (Arc::clone(app_id), of.clone(), id);
        let ids: Vec<_> = self.offline.range(first..=last).map(|((_, _, id), _)| *id).collect();
        let dropped = ids.len().saturating_sub(keep.max(1));
        for &id in &ids[..dropped] {
            self.remove_offline(app_id, of, id);
        }
        self.make_room();
        StoreAnswer::Appended { id, dropped }
    }

    fn remove_offline(&mut self, app_id: &Arc<AppId>, of: &UserId, id: OfflineId) {
        if let Some(message) = self.offline.remove(&(Arc::clone(app_id), of.clone(), id)) {
            self.bytes -= size(&message.message);
            self.offline_ages.remove(&(message.server_received_ts, id, Arc::clone(app_id), of.clone()));
        }
    }

    fn remove_history(&mut self, app_id: &Arc<AppId>, of: &Conversation, place: Place) {
        if let Some(message) = self.history.remove(&(Arc::clone(app_id), of.clone(), place)) {
            self.bytes -= size(&message.message);
            self.history_ages.remove(&(place, Arc::clone(app_id), of.clone()));
        }
    }

    fn expire(&mut self, app_id: &Arc<AppId>, offline_before: u64, history_before: u64) {
        let old = self.offline_ages.iter().take_while(|(ts, ..)| *ts < offline_before);
        let old: Vec<_> = old.filter(|(_, _, of_project, _)| of_project == app_id).cloned().collect();
        for (_, id, _, of) in old {
            self.remove_offline(app_id, &of, id);
        }
        let old = self.history_ages.iter().take_while(|(place, ..)| *place < Place::first_at(history_before));
        let old: Vec<_> = old.filter(|(_, of_project, _)| of_project == app_id).cloned().collect();
        for (place, _, of) in old {
            self.remove_history(app_id, &of, place);
        }
    }

    /// Lets the oldest messages go until the rest is within the capacity.
    fn make_room(&mut self) {
        while self.bytes > self.capacity {
            match (self.offline_ages.first(), self.history_ages.first()) {
                (Some(offline), history) if history.is_none_or(|history| Place::first_at(offline.0) <= history.0) => {
                    let (_, id, app_id, of) = offline.clone();
                    self.remove_offline(&app_id, &of, id);
                }
                (_, Some(history)) => {
                    let (place, app_id, of) = history.clone();
                    self.remove_history(&app_id, &of, place);
                }
                (_, None) => return,
            }
        }
    }

    /// The project's shared name.
    fn project(&mut self, app_id: &AppId) -> Arc<AppId> {
        if let Some(project) = self.projects.get(app_id) {
            return Arc::clone(project);
        }
        let project = Arc::new(app_id.clone());
        self.projects.insert(Arc::clone(&project));
        project
    }
}

impl Default for Memory {
    fn default() -> Self {
        Self::with_capacity(Self::DEFAULT_CAPACITY)
    }
}

impl Backend for Memory {
    fn apply(&mut self, tasks: Vec<Task<'_>>) -> Result<Vec<StoreAnswer>, BackendError> {
        Ok(tasks
            .into_iter()
            .map(|task| {
                let app_id = self.project(task.app_id);
                self.work(&app_id, task.work)
            })
            .collect())
    }

    fn channel_attributes(&mut self, app_id: &AppId) -> Result<Vec<(ChannelId, ChannelAttributes)>, BackendError> {
        let of_project = self.attributes.iter().filter(|((of_project, _), _)| **of_project == *app_id);
        Ok(of_project.map(|((_, channel), attributes)| (channel.clone(), attributes.clone())).collect())
    }

    fn stats(&mut self) -> Result<BackendStats, BackendError> {
        Ok(BackendStats {
            offline_messages: self.offline.len() as u64,
            history_messages: self.history.len() as u64,
            channels: self.attributes.len() as u64,
        })
    }
}

/// What a kept message costs: its text, and about as much again for two entries as a short text has.
fn size(message: &RtmMessage) -> usize {
    message.len() + 2 * size_of::<(Arc<AppId>, Conversation, HistoryMessage)>()
}
