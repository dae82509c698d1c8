//! What the store does to keyed state: each key is a subject with one message, its value.

use async_nats::Message;
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_codec::{AppId, ChannelAttributes, ChannelId, Revision};
use rtm_core::store::{LogKind, Page, StateKey, StateKind, StateValue, StoreAnswer, record::RecordError};
use tokio::time::Instant;

use super::{
    Failure, NatsStore,
    jetstream::{Fault, Found, WriteId},
    scan::IN_FLIGHT,
};

/// A value, and the last writes of it, so that whoever wrote finds out that it did, also if others wrote after it.
struct Written {
    writes: Vec<WriteId>,
    record: Bytes,
}

/// What a key has now.
struct Current {
    /// 0 if it has nothing.
    seq: u64,
    writes: Vec<WriteId>,
    kept: Option<StateValue>,
}

impl NatsStore {
    /// Keeps a value upon what the leader has. One that is taken by any revision is written so too: a server of NATS that hung
    /// may have an attempt that was given up, and publish it when something newer is there.
    pub(super) async fn put(
        &self,
        app_id: &AppId,
        key: &StateKey,
        value: &StateValue,
        expected: Option<Revision>,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let subject = self.subjects.key(app_id, key);
        let (write, record) = (self.jetstream.write_id(), value.encode());
        loop {
            let current = self.current(key.kind(), &subject, until).await?;
            // Written by an attempt that was not acknowledged.
            if current.writes.contains(&write) {
                return Ok(StoreAnswer::Done);
            }
            let revision = current.kept.as_ref().map_or(Revision(0), StateValue::revision);
            if expected.is_some_and(|expected| expected != revision) {
                return Ok(StoreAnswer::Conflict { kept: current.kept });
            }
            let writes = std::iter::once(write).chain(current.writes).take(REMEMBERED_WRITES).collect();
            let message = Written { writes, record: record.clone().into() }.encode();
            match self.jetstream.publish_after(&subject, current.seq, message, until).await {
                Ok(_) => return Ok(StoreAnswer::Done),
                // Somebody was faster, or it is unknown what came of it: what the leader has decides.
                Err(fault) if fault.is_conflict() || fault.is_passing() => {
                    if Instant::now() + PAUSE >= until {
                        return Err(fault.into());
                    }
                    tokio::time::sleep(PAUSE).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }

    async fn current(&self, kind: StateKind, subject: &str, until: Instant) -> Result<Current, Fault> {
        let none = Current { seq: 0, writes: Vec::new(), kept: None };
        let Some(found) = self.jetstream.last(self.subjects.state_stream(), subject, until).await? else {
            return Ok(none);
        };
        let Some((writes, value)) = self.decode(kind, &found) else { return Ok(Current { seq: found.seq, ..none }) };
        Ok(Current { seq: found.seq, writes, kept: Some(value) })
    }

    /// A value, unless its message is damaged.
    fn decode(&self, kind: StateKind, found: &Found) -> Option<(Vec<WriteId>, StateValue)> {
        let read = Written::decode(&found.payload).and_then(|Written { writes, record }| {
            let value = StateValue::decode(kind, &record)?;
            Ok((writes, value))
        });
        read.map_err(|fault| self.damage.tell(found, fault)).ok()
    }

    /// The stream of state, and which of its subjects have the attributes of channels.
    pub(crate) fn attributes_to_watch(&self) -> (String, String) {
        let filter = self.subjects.keys_of(None, StateKind::ChannelAttributes);
        (self.subjects.state_stream().to_owned(), filter)
    }

    /// What the watch of these brings.
    pub(crate) fn watched_attributes(
        &self,
        seq: u64,
        message: &Message,
    ) -> Option<(AppId, ChannelId, ChannelAttributes)> {
        let kind = StateKind::ChannelAttributes;
        let (app_id, key) = self.subjects.read_key(kind, &message.subject)?;
        let (subject, payload) = (message.subject.to_string(), message.payload.clone());
        let (_, value) = self.decode(kind, &Found { seq, subject, stored_ms: 0, payload })?;
        match (key, value) {
            (StateKey::ChannelAttributes(channel_id), StateValue::ChannelAttributes(value)) => {
                Some((app_id, channel_id, value))
            }
            _ => None,
        }
    }

    pub(super) async fn delete(
        &self,
        app_id: &AppId,
        key: &StateKey,
        expected: Option<Revision>,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let (stream, subject) = (self.subjects.state_stream(), self.subjects.key(app_id, key));
        if let Some(found) = self.jetstream.last(stream, &subject, until).await? {
            let kept = self.decode(key.kind(), &found).map(|(_, kept)| kept);
            if let (Some(expected), Some(kept)) = (expected, kept)
                && kept.revision() != expected
            {
                return Ok(StoreAnswer::Conflict { kept: Some(kept) });
            }
            // What is written meanwhile is another message, and stays.
            self.jetstream.delete(stream, found.seq, until).await?;
        }
        Ok(StoreAnswer::Done)
    }

    pub(super) async fn list(
        &self,
        app_id: &AppId,
        kind: StateKind,
        after: Option<&StateKey>,
        mut page: Page<(StateKey, StateValue)>,
        until: Instant,
    ) -> Result<StoreAnswer, Failure> {
        let filter = self.subjects.keys_of(Some(app_id), kind);
        let subjects = self.jetstream.subjects(self.subjects.state_stream(), &filter, until).await?;
        let keys = subjects.into_iter().filter_map(|subject| {
            let (_, key) = self.subjects.read_key(kind, &subject)?;
            after.is_none_or(|after| key > *after).then_some((key, subject))
        });
        let mut keys: Vec<_> = keys.collect();
        keys.sort_unstable();
        let mut values = self.values(kind, keys, until);
        while let Some((key, value)) = values.try_next().await? {
            let bytes = value.bytes();
            if !page.push((key, value), bytes) {
                break;
            }
        }
        drop(values);
        Ok(StoreAnswer::Values { values: page.items, more: page.more })
    }

    /// Some keys of one kind of a project with their subjects, and where to go on, if there are more.
    pub(super) async fn keys_from(
        &self,
        app_id: &AppId,
        kind: StateKind,
        offset: usize,
        until: Instant,
    ) -> Result<(Vec<(StateKey, String)>, Option<usize>), Fault> {
        let filter = self.subjects.keys_of(Some(app_id), kind);
        let (stream, subjects) = (self.subjects.state_stream(), &self.subjects);
        let (found, next) = self.jetstream.subjects_from(stream, &filter, offset, until).await?;
        let key = |subject: String| Some((subjects.read_key(kind, &subject)?.1, subject));
        Ok((found.into_iter().filter_map(key).collect(), next))
    }

    /// What these keys have. Those that are gone are left out.
    pub(super) async fn read_values(
        &self,
        kind: StateKind,
        keys: Vec<(StateKey, String)>,
        until: Instant,
    ) -> Result<Vec<(StateKey, StateValue)>, Fault> {
        self.values(kind, keys, until).try_collect().await
    }

    /// What keys have, read at the leader, in order. Those that are gone are left out.
    pub(super) fn values<K>(
        &self,
        kind: StateKind,
        keys: Vec<(K, String)>,
        until: Instant,
    ) -> impl futures::Stream<Item = Result<(K, StateValue), Fault>> + Unpin {
        let read = stream::iter(keys).map(move |(key, subject)| async move {
            let found = self.jetstream.last(self.subjects.state_stream(), &subject, until).await?;
            Ok(found.and_then(|found| self.decode(kind, &found)).map(|(_, value)| (key, value)))
        });
        Box::pin(read.buffered(IN_FLIGHT).try_filter_map(async |value| Ok(value)))
    }

    /// The last sequence of an entry that came long after its time.
    pub(super) async fn last_late(&self, app_id: &AppId, kind: LogKind, until: Instant) -> Result<u64, Fault> {
        Ok(self.mark(&self.subjects.late(app_id, kind), until).await?.1)
    }

    /// What a mark says, a sequence that only rises, and the sequence of its message.
    pub(super) async fn mark(&self, subject: &str, until: Instant) -> Result<(u64, u64), Fault> {
        let found = self.jetstream.last(self.subjects.state_stream(), subject, until).await?;
        let Some(found) = found else { return Ok((0, 0)) };
        let late = found.payload.as_ref().try_into().map_or(u64::MAX, u64::from_le_bytes);
        Ok((found.seq, late))
    }

    /// Entries up to a sequence came long after their time.
    pub(super) async fn tell_late(
        &self,
        app_id: &AppId,
        kind: LogKind,
        seq: u64,
        until: Instant,
    ) -> Result<(), Failure> {
        self.raise_mark(&self.subjects.late(app_id, kind), seq, until).await
    }

    /// Has a mark say this sequence, if it does not say a later one.
    pub(super) async fn raise_mark(&self, subject: &str, seq: u64, until: Instant) -> Result<(), Failure> {
        loop {
            let (last, told) = self.mark(subject, until).await?;
            if told >= seq {
                return Ok(());
            }
            let told = Bytes::copy_from_slice(&seq.to_le_bytes());
            match self.jetstream.publish_after(subject, last, told, until).await {
                Ok(_) => return Ok(()),
                Err(fault) if (fault.is_conflict() || fault.is_passing()) && Instant::now() + PAUSE < until => {
                    tokio::time::sleep(PAUSE).await;
                }
                Err(fault) => return Err(fault.into()),
            }
        }
    }
}

/// What the record in a message has.
pub(super) fn record_bytes(found: &Found) -> usize {
    Written::decode(&found.payload).map_or(found.payload.len(), |written| written.record.len())
}

impl Written {
    fn encode(&self) -> Bytes {
        let mut message = vec![VERSION, self.writes.len() as u8];
        self.writes.iter().for_each(|write| message.extend(write.0.to_le_bytes()));
        message.extend_from_slice(&self.record);
        message.into()
    }

    fn decode(message: &Bytes) -> Result<Self, RecordError> {
        let (&version, rest) = message.split_first().ok_or(RecordError::Damaged)?;
        if version != VERSION {
            return Err(RecordError::Version(version));
        }
        let (&count, rest) = rest.split_first().ok_or(RecordError::Damaged)?;
        let (writes, record) = rest.split_at_checked(usize::from(count) * 16).ok_or(RecordError::Damaged)?;
        let (writes, _) = writes.as_chunks();
        let writes = writes.iter().map(|write| WriteId(u128::from_le_bytes(*write))).collect();
        Ok(Self { writes, record: message.slice_ref(record) })
    }
}

const VERSION: u8 = 1;
/// How many writes a value remembers: more than happen to one while somebody waits for an acknowledgement.
const REMEMBERED_WRITES: usize = 16;
/// How long somebody who was too late waits before the next attempt.
const PAUSE: std::time::Duration = std::time::Duration::from_millis(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_comes_back_with_its_writes() {
        for writes in [vec![], vec![WriteId(1), WriteId(u128::MAX)]] {
            let message = Written { writes: writes.clone(), record: Bytes::from_static(b"value") }.encode();
            let read = Written::decode(&message).unwrap();
            assert_eq!((read.writes, read.record.as_ref()), (writes, &b"value"[..]));
        }
        for message in [&b""[..], b"\x01", b"\x01\x01short"] {
            assert!(matches!(Written::decode(&Bytes::from_static(message)), Err(RecordError::Damaged)));
        }
        assert!(matches!(Written::decode(&Bytes::from_static(b"\x02\0")), Err(RecordError::Version(2))));
    }
}
