//! What the store does to events besides what it does to all logs: it drops those that are too old or too many, and says so.

use rtm_codec::AppId;
use rtm_core::{
    LoggedEvent,
    store::{LogEntry, LogKey, LogKind, Place, StoreAnswer},
};
use tokio::time::Instant;

use super::{
    Failure, NatsStore,
    jetstream::Start,
    logs::{EXPIRED_AT_ONCE, EXPIRY},
    scan::Scan,
};

impl NatsStore {
    /// Appends the events of several tasks, in order, and answers each.
    pub(super) async fn append_events(
        &self,
        app_id: &AppId,
        tasks: Vec<Vec<LoggedEvent>>,
        until: Instant,
    ) -> Vec<Result<StoreAnswer, Failure>> {
        let counts: Vec<usize> = tasks.iter().map(Vec::len).collect();
        let entries = tasks.into_iter().flatten().map(|event| (LogEntry::Event(event), None)).collect();
        let mut answers = self.append(app_id, &LogKey::Events, entries, until).await.into_iter();
        counts.into_iter().map(|count| answer(app_id, answers.by_ref().take(count))).collect()
    }

    /// Drops events that are too old, too many or too large together. Nodes that do so at the same time drop the same ones.
    pub(super) async fn expire_events(
        &self,
        app_id: &AppId,
        before: u64,
        keep: Option<usize>,
        max_bytes: Option<u64>,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let until = until.max(Instant::now() + EXPIRY);
        let (stream, subject) = (self.subjects.log_stream(LogKind::Events), self.subjects.log(app_id, &LogKey::Events));
        let Some(last) = self.jetstream.last(stream, &subject, until).await? else { return Ok(StoreAnswer::Done) };
        let excess = match keep {
            Some(keep) => self.jetstream.count(stream, &subject, until).await?.saturating_sub(keep.max(1) as u64),
            None => 0,
        };
        let mut excess_bytes = match max_bytes {
            Some(max_bytes) => self.event_bytes(app_id, until).await?.saturating_sub(max_bytes),
            None => 0,
        };
        let mut scan = Scan::new(&self.jetstream, stream, &subject, Start::At(1), last.seq, until);
        let (mut seen, mut old) = (0, Vec::new());
        while let Some(found) = scan.next().await? {
            seen += 1;
            let time = LogEntry::decode(LogKind::Events, &found.payload).map_or(0, |entry| entry.time());
            if seen > excess && time >= before && excess_bytes == 0 {
                break;
            }
            excess_bytes = excess_bytes.saturating_sub(found.payload.len() as u64);
            old.push(found.seq);
            if old.len() >= EXPIRED_AT_ONCE {
                self.drop_events(app_id, stream, std::mem::take(&mut old), until).await?;
            }
        }
        self.drop_events(app_id, stream, old, until).await?;
        Ok(StoreAnswer::Done)
    }

    /// It is told before it is done: a reader must not miss them without hearing of it.
    async fn drop_events(&self, app_id: &AppId, stream: &str, seqs: Vec<u64>, until: Instant) -> Result<(), Failure> {
        let Some(last) = seqs.last() else { return Ok(()) };
        self.raise_mark(&self.subjects.dropped(app_id, LogKind::Events), *last, until).await?;
        self.delete_all(stream, seqs, until).await?;
        Ok(())
    }

    /// Up to which place entries of a log went.
    pub(super) async fn dropped_to(&self, app_id: &AppId, kind: LogKind, until: Instant) -> Result<Place, Failure> {
        match kind.tells_dropped() {
            true => Ok(Place(self.mark(&self.subjects.dropped(app_id, kind), until).await?.1)),
            false => Ok(Place(0)),
        }
    }
}

/// What became of the events of a task, each of which was kept or not.
fn answer(app_id: &AppId, events: impl Iterator<Item = Result<StoreAnswer, Failure>>) -> Result<StoreAnswer, Failure> {
    let (mut last, mut missing, mut why) = (None, Vec::new(), None);
    for (at, event) in events.enumerate() {
        match event {
            Ok(StoreAnswer::Appended { place, .. }) => last = last.max(Some(place)),
            Ok(_) => missing.push(at),
            Err(failure) => {
                missing.push(at);
                why.get_or_insert(failure);
            }
        }
    }
    match (last, why) {
        (None, Some(failure)) => Err(failure),
        (last, why) => {
            if let Some(failure) = why {
                tracing::warn!(%app_id, events = missing.len(), "events may be missing in the log: {failure}");
            }
            Ok(StoreAnswer::EventsAppended { last: last.unwrap_or(Place(0)), missing })
        }
    }
}

#[cfg(test)]
mod tests {
    use rtm_core::store::record::RecordError;

    use super::*;

    #[test]
    fn a_task_of_which_some_events_were_kept_says_which_were_not() {
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
        let kept = |seq| Ok(StoreAnswer::Appended { place: Place(seq), dropped: 0 });
        let lost = || Err(Failure::Record(RecordError::Damaged));
        let answered = |events: Vec<_>| answer(&app_id, events.into_iter()).ok();
        let some = |last, missing| Some(StoreAnswer::EventsAppended { last: Place(last), missing });
        assert_eq!(answered(vec![kept(4), kept(5)]), some(5, vec![]));
        assert_eq!(answered(vec![kept(4), lost(), kept(6), lost()]), some(6, vec![1, 3]));
        assert_eq!(answered(vec![lost(), lost()]), None);
    }
}
