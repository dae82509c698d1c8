//! How events are written in requests.

use std::{hash::BuildHasher as _, sync::Arc};

use bytes::Bytes;
use foldhash::fast::FixedState;
use rtm_core::NumberedEvent;
use serde::Serialize;
use serde_json::{Map, Value, value::RawValue};
use sha2::{Digest as _, Sha256};

use super::{config::WebhookFormat, delivery::Event};
use crate::events::{data, time};

/// How the events of a project are written for an endpoint.
#[derive(Debug, Clone)]
pub(super) struct Writer {
    pub(super) app_id: String,
    pub(super) format: WebhookFormat,
    /// Whether several events may be in one request.
    pub(super) is_batched: bool,
    /// Of events of channels only those of channels that begin so.
    pub(super) channel_prefix: String,
    /// Of the log that the numbers of events are those of; none where they are of no log.
    pub(super) epoch: Option<Arc<str>>,
}

/// What a request has.
#[derive(Debug)]
pub(super) struct Body {
    /// The same whenever these events are sent.
    pub(super) id: String,
    pub(super) content_type: &'static str,
    pub(super) bytes: Bytes,
}

#[derive(Serialize)]
struct Standard<'a> {
    r#type: &'static str,
    timestamp: String,
    app_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
    data: Map<String, Value>,
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: String,
    source: String,
    r#type: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    time: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    epoch: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    sequence: Option<String>,
    datacontenttype: &'static str,
    data: Map<String, Value>,
}

#[derive(Serialize)]
struct Batch<'a> {
    r#type: &'static str,
    timestamp: String,
    app_id: &'a str,
    data: Events<'a>,
}

#[derive(Serialize)]
struct Events<'a> {
    events: Vec<&'a RawValue>,
}

impl Writer {
    /// An event of the log, as it is kept until it is sent; `None` for one that the endpoint does not want.
    pub(super) fn event(&self, event: &NumberedEvent) -> Option<Event> {
        let data = data(&event.logged.event);
        let text = |name: &str| data.get(name).and_then(Value::as_str).map(str::to_owned);
        let channel = text("channel_id");
        if channel.as_ref().is_some_and(|channel| !channel.starts_with(&self.channel_prefix)) {
            return None;
        }
        let key = |kind: u8, text: &String| FixedState::with_seed(kind.into()).hash_one(text.as_str());
        let mut users = USERS.iter().filter_map(|name| text(name));
        let (user, other) = (users.next(), users.next());
        let keys = [
            user.as_ref().map(|id| key(1, id)),
            other.as_ref().map(|id| key(1, id)),
            channel.as_ref().map(|id| key(2, id)),
        ];
        let (r#type, timestamp) = (event.logged.event.event_type().name(), time(event.logged.time));
        let subject = channel.map(|id| format!("channels/{id}")).or_else(|| user.map(|id| format!("users/{id}")));
        let id = self.id(event.seq);
        let body = self.written(Some(event.seq), &id, r#type, timestamp, subject, data)?;
        Some(Event { seq: event.seq, time: event.logged.time, keys, body })
    }

    /// A request with this id and one event that tells an endpoint nothing, as all others are written.
    #[cfg(feature = "admin")]
    pub(super) fn test(&self, id: &str, webhook: &str, now: u64) -> Option<Body> {
        let data = Map::from_iter([("webhook".to_owned(), Value::from(webhook))]);
        let body = self.written(None, id, TEST, time(now), None, data)?;
        let event = Event { seq: 0, time: now, keys: [None; 3], body };
        Some(Body { id: id.to_owned(), ..self.body(&[event])? })
    }

    /// The bytes of an event.
    fn written(
        &self,
        seq: Option<u64>,
        id: &str,
        r#type: &'static str,
        timestamp: String,
        subject: Option<String>,
        data: Map<String, Value>,
    ) -> Option<Bytes> {
        // What is in no log has no number in one.
        let epoch = self.epoch.as_deref().filter(|_| seq.is_some());
        let written = match self.format {
            WebhookFormat::Standard => {
                serde_json::to_vec(&Standard { r#type, timestamp, app_id: &self.app_id, epoch, seq, data })
            }
            WebhookFormat::CloudEvents => serde_json::to_vec(&CloudEvent {
                specversion: "1.0",
                id: id.to_owned(),
                source: format!("/projects/{}", self.app_id),
                r#type,
                subject,
                time: timestamp,
                epoch,
                sequence: seq.map(|seq| seq.to_string()),
                datacontenttype: "application/json",
                data,
            }),
        };
        written.ok().map(Bytes::from)
    }

    /// The name of an event, which no event of another log has.
    fn id(&self, seq: u64) -> String {
        match &self.epoch {
            Some(epoch) => format!("{}-{epoch}-{seq}", self.app_id),
            None => format!("{}-{seq}", self.app_id),
        }
    }

    /// The request with these events, of which there is at least one.
    pub(super) fn body(&self, events: &[Event]) -> Option<Body> {
        let (first, last) = (events.first()?, events.last()?);
        if !self.is_batched {
            let id = self.id(first.seq);
            let content_type = match self.format {
                WebhookFormat::Standard => "application/json",
                WebhookFormat::CloudEvents => "application/cloudevents+json",
            };
            return Some(Body { id, content_type, bytes: first.body.clone() });
        }
        // After a restart other events may be together: that is another request then.
        let mut hash = Sha256::new();
        events.iter().for_each(|event| hash.update(event.seq.to_le_bytes()));
        let [a, b, c, d, ..]: [u8; 32] = hash.finalize().into();
        let id = format!("{}-{}-{:08x}", self.id(first.seq), last.seq, u32::from_be_bytes([a, b, c, d]));
        let raw: Vec<&RawValue> =
            events.iter().map(|event| serde_json::from_slice(&event.body)).collect::<Result<_, _>>().ok()?;
        let (content_type, bytes) = match self.format {
            WebhookFormat::Standard => {
                let timestamp = time(last.time);
                let batch = Batch { r#type: BATCH, timestamp, app_id: &self.app_id, data: Events { events: raw } };
                ("application/json", serde_json::to_vec(&batch))
            }
            WebhookFormat::CloudEvents => ("application/cloudevents-batch+json", serde_json::to_vec(&raw)),
        };
        Some(Body { id, content_type, bytes: bytes.ok()?.into() })
    }
}

/// The names under which events have users, of whom each event has at most two.
const USERS: [&str; 5] = ["user_id", "from", "to", "caller_id", "callee_id"];
/// The type of an event that only tries an endpoint out.
#[cfg(feature = "admin")]
const TEST: &str = "webhook.test";
/// The type of a request with several events.
const BATCH: &str = "rtm.batch";
