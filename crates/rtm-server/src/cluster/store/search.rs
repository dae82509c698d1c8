//! Searches over all histories. NATS finds what a user or a channel received by its subjects; of who sent something it knows
//! nothing, so that all history of the project in the span is read where only that is asked for.

use std::collections::BTreeSet;

use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_codec::{AppId, UserId};
use rtm_core::store::{Conversation, HistorySpan, LogEntry, LogKey, LogKind, StoreAnswer, StoredMessage};
use tokio::time::Instant;

use super::{
    Failure, NatsStore,
    jetstream::{Found, Start},
    logs::{CLOCKS_DIFFER, stored_by},
    scan::{IN_FLIGHT, Scan},
};

impl NatsStore {
    pub(super) async fn search(
        &self,
        app_id: &AppId,
        span: &HistorySpan,
        newest_first: bool,
        offset: usize,
        limit: usize,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        // Of each message its place alone is held: what a page has is read again.
        let wanted = offset.saturating_add(limit);
        let mut places: BTreeSet<(u64, u64)> = BTreeSet::new();
        self.see_found(app_id, span, until, |seq, time| {
            places.insert((time, seq));
            if places.len() > wanted {
                let _ = if newest_first { places.pop_first() } else { places.pop_last() };
            }
        })
        .await?;
        let mut seqs: Vec<u64> = places.into_iter().map(|(_, seq)| seq).collect();
        if newest_first {
            seqs.reverse();
        }
        let stream = self.subjects.log_stream(LogKind::History);
        let page = stream::iter(seqs.into_iter().skip(offset)).map(|seq| self.jetstream.at(stream, seq, until));
        let page = page.buffered(IN_FLIGHT).try_collect::<Vec<_>>().await?;
        let found = page.into_iter().flatten().filter_map(|found| self.read_found(app_id, &found));
        Ok(StoreAnswer::Found(found.collect()))
    }

    pub(super) async fn count_found(
        &self,
        app_id: &AppId,
        span: &HistorySpan,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let mut count = 0;
        self.see_found(app_id, span, until, |_, _| count += 1).await?;
        Ok(StoreAnswer::Counted(count))
    }

    /// Shows `see` the sequence and the time of each message that is meant, once.
    async fn see_found(
        &self,
        app_id: &AppId,
        HistorySpan { filter, times }: &HistorySpan,
        until: Instant,
        mut see: impl FnMut(u64, u64),
    ) -> Result<(), Failure> {
        if times.is_empty() {
            return Ok(());
        }
        let kind = LogKind::History;
        let stream = self.subjects.log_stream(kind);
        let late = self.last_late(app_id, kind, until).await?;
        let from_ms = times.start.saturating_sub(CLOCKS_DIFFER.as_millis() as u64);
        for (at, subject) in self.subjects_of(app_id, filter).into_iter().enumerate() {
            let Some(last) = self.jetstream.last(stream, &subject, until).await? else { continue };
            let start = if from_ms == 0 { Start::At(1) } else { Start::Time(from_ms) };
            let mut scan = Scan::new(&self.jetstream, stream, &subject, start, last.seq, until);
            while let Some(found) = scan.next().await? {
                if times.end < u64::MAX && found.seq > late && found.stored_ms > stored_by(kind, times.end) {
                    break;
                }
                let Some((conversation, message)) = self.read_found(app_id, &found) else { continue };
                // Of a user with itself: it was in the subject before.
                let is_twice = matches!(&conversation, Conversation::Peers(one, other) if at > 0 && one == other);
                let is_meant = filter.matches(&conversation, &message.from) && !(is_twice && filter.source.is_none());
                if times.contains(&message.server_received_ts) && is_meant {
                    see(found.seq, message.server_received_ts);
                }
            }
        }
        Ok(())
    }

    fn read_found(&self, app_id: &AppId, found: &Found) -> Option<(Conversation, StoredMessage)> {
        let (of, log) = self.subjects.read_log(LogKind::History, &found.subject)?;
        let LogKey::History(conversation) = log else { return None };
        match LogEntry::decode(LogKind::History, &found.payload) {
            Ok(entry) => entry.into_message().map(|message| (conversation, message)).filter(|_| of == *app_id),
            Err(fault) => {
                self.damage.tell(found, fault);
                None
            }
        }
    }

    /// Subjects that have what is meant, none of it twice.
    fn subjects_of(&self, app_id: &AppId, filter: &rtm_core::store::HistoryFilter) -> Vec<String> {
        let log = |conversation| self.subjects.log(app_id, &LogKey::History(conversation));
        let mut subjects = Vec::new();
        if let Some(channel_id) = &filter.to_channel {
            subjects.push(log(Conversation::Channel(channel_id.clone())));
        }
        match (&filter.source, &filter.to_user) {
            (Some(source), Some(to)) => subjects.push(log(Conversation::between(source.clone(), to.clone()))),
            (None, Some(to)) => subjects.extend(self.subjects.conversations_of(app_id, to)),
            (_, None) if filter.to_channel.is_some() => {}
            (_, None) => subjects.push(self.subjects.logs_of(app_id, LogKind::History)),
        }
        subjects
    }
}

impl super::subjects::Subjects {
    /// The conversations of a user with others: those in which it comes first, and those in which it comes second. One with
    /// itself is in both.
    fn conversations_of(&self, app_id: &AppId, user_id: &UserId) -> [String; 2] {
        let own = self.log(app_id, &LogKey::History(Conversation::between(user_id.clone(), user_id.clone())));
        let (first, second) = own.rsplit_once('.').unwrap_or_default();
        let before = first.rsplit_once('.').map_or("", |(before, _)| before);
        [format!("{first}.*"), format!("{before}.*.{second}")]
    }
}
