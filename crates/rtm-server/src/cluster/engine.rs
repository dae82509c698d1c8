//! The engine: two buckets of JetStream, whose conditional writes decide who is a member and where each user's session is.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use async_nats::{HeaderMap, Message};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use humantime::parse_rfc3339;
use rtm_codec::{AppId, UserId};
use rtm_core::cluster::{EngineAnswer, EngineKey, EngineOp, EngineWork, Outcome, Revised, Stored, UserEntry};
use serde::Deserialize;
use tokio::time::Instant;
use tracing::{debug, warn};

use super::{
    names::{NODES, Names, USERS, escape, unescape},
    requests::{NoAnswer, Requests},
    streams::MARKERS_STAY,
};
use crate::shared::Seldom;

/// Asks JetStream.
#[derive(Debug)]
pub(crate) struct Engine {
    requests: Requests,
    names: Names,
    odd: Seldom,
}

/// What came of a conditional write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Write {
    Done(u64),
    Conflict,
    /// Nobody was there: it was not done.
    NotDone,
    Unknown,
}

/// A value that JetStream has under a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Kept {
    pub(crate) revision: u64,
    /// `None` for the marker of one that was removed.
    pub(crate) value: Option<Bytes>,
    /// When it was written, as JetStream says it.
    time: String,
}

impl Kept {
    /// When it was written, by JetStream's clock.
    pub(crate) fn time(&self) -> Option<SystemTime> {
        parse_rfc3339(&self.time).ok()
    }
}

impl Engine {
    pub(crate) fn new(requests: Requests, names: Names) -> Self {
        Self { requests, names, odd: Seldom::default() }
    }

    /// Does what membership asks for.
    pub(crate) async fn membership(&self, op: EngineOp) -> Outcome {
        match op {
            EngineOp::Write { key, value, expected } => {
                match self.write(self.names.engine_key(&key), Some(value), expected).await {
                    Write::Done(revision) => Outcome::Written(revision),
                    Write::Conflict => Outcome::Conflict,
                    Write::NotDone => Outcome::NoResponders,
                    Write::Unknown => Outcome::TimedOut,
                }
            }
            EngineOp::Read { key } => match self.read(NODES, &self.names.engine_key(&key)).await {
                // Nobody removes a key of membership but by hand.
                Ok(Some(Kept { revision, value: Some(value), .. })) => Outcome::Found(Some(Stored { revision, value })),
                Ok(Some(Kept { revision, value: None, .. })) => {
                    Outcome::Found(Some(Stored { revision, value: Bytes::new() }))
                }
                Ok(None) => Outcome::Found(None),
                Err(why) if why.is_not_done() => Outcome::NoResponders,
                Err(_) => Outcome::TimedOut,
            },
        }
    }

    /// Does what a core asks for. What was certainly not done, since nobody was there, is tried again for some seconds.
    pub(crate) async fn users(&self, app_id: &AppId, user_id: &UserId, work: &EngineWork) -> EngineAnswer {
        let subject = self.names.key(USERS, user_key(app_id, user_id));
        for pause in PAUSES {
            let answer = match work {
                EngineWork::Read => match self.read(USERS, &subject).await {
                    Ok(found) => Some(EngineAnswer::Read(found.as_ref().map_or_else(nothing, revised))),
                    Err(why) if why.is_not_done() => None,
                    Err(_) => Some(EngineAnswer::Unknown),
                },
                EngineWork::Write { entry, expected } => {
                    let value = entry.as_ref().map(UserEntry::encode);
                    match self.write(subject.clone(), value, *expected).await {
                        Write::Done(revision) => Some(EngineAnswer::Written(revision)),
                        Write::Conflict => Some(EngineAnswer::Conflict),
                        Write::NotDone => None,
                        Write::Unknown => Some(EngineAnswer::Unknown),
                    }
                }
            };
            match answer {
                Some(answer) => return answer,
                None => tokio::time::sleep(pause).await,
            }
        }
        EngineAnswer::Unknown
    }

    /// Writes a key, whatever it has.
    pub(crate) async fn put(&self, subject: String, value: Bytes) {
        // It is said again soon.
        let _ = self.ask(&subject, HeaderMap::new(), value).await;
    }

    /// The subjects of a bucket's keys, and what time it is for JetStream; `None` if there is no such bucket.
    pub(crate) async fn keys(&self, bucket: &str) -> Result<Option<(Vec<String>, SystemTime)>, NoAnswer> {
        let asked = format!("$JS.API.STREAM.INFO.KV_{}", self.names.bucket(bucket));
        let question = serde_json::json!({ "subjects_filter": self.names.key(bucket, ">") }).to_string();
        keys_in(&self.ask(&asked, HeaderMap::new(), question.into()).await?.payload)
    }

    /// Reads a key where writes are decided.
    pub(crate) async fn read(&self, bucket: &str, subject: &str) -> Result<Option<Kept>, NoAnswer> {
        let stream = format!("KV_{}", self.names.bucket(bucket));
        let question = serde_json::json!({ "last_by_subj": subject }).to_string();
        let asked = format!("$JS.API.STREAM.MSG.GET.{stream}");
        let answer = self.ask(&asked, HeaderMap::new(), question.into()).await?;
        match serde_json::from_slice(&answer.payload) {
            Ok(Got { message: Some(message), .. }) => message.open().map(Some).ok_or(NoAnswer::TimedOut),
            Ok(Got { error: Some(error), .. }) if error.err_code == NO_MESSAGE => Ok(None),
            Ok(Got { error: Some(error), .. }) => {
                self.odd.warn(format_args!("JetStream cannot read {subject}: {}", error.description));
                Err(NoAnswer::TimedOut)
            }
            _ => Err(NoAnswer::TimedOut),
        }
    }

    async fn ask(&self, subject: &str, headers: HeaderMap, payload: Bytes) -> Result<Message, NoAnswer> {
        self.requests.ask(subject, headers, payload, Instant::now() + ANSWER).await
    }

    /// Writes a key, or puts the marker of a removed one there, if it has this revision; 0 if there is nothing.
    async fn write(&self, subject: String, value: Option<Bytes>, expected: u64) -> Write {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", expected.to_string());
        if value.is_none() {
            headers.insert("KV-Operation", "DEL");
            headers.insert("Nats-TTL", format!("{}s", MARKERS_STAY.as_secs()));
        }
        let answer = match self.ask(&subject, headers, value.unwrap_or_default()).await {
            Ok(answer) => answer,
            Err(why) if why.is_not_done() => return Write::NotDone,
            Err(_) => return Write::Unknown,
        };
        match serde_json::from_slice(&answer.payload) {
            Ok(Acknowledged { seq: Some(revision), error: None }) => Write::Done(revision),
            Ok(Acknowledged { error: Some(error), .. }) if CONFLICTS.contains(&error.err_code) => Write::Conflict,
            Ok(Acknowledged { error: Some(error), .. }) => {
                self.odd.warn(format_args!("JetStream does not write {subject}: {}", error.description));
                Write::Unknown
            }
            _ => Write::Unknown,
        }
    }
}

/// What the watch of the bucket of nodes brings.
pub(crate) fn watched_node(names: &Names, message: &Message, revision: u64) -> Option<(EngineKey, Stored)> {
    let key = message.subject.strip_prefix(names.key(NODES, "").as_str())?;
    let key = match key.split_once('.') {
        None if key == super::names::VIEW => EngineKey::View,
        Some((super::names::NODE, name)) => EngineKey::Node(rtm_core::cluster::NodeName::new(&unescape(name)?).ok()?),
        _ => return None,
    };
    Some((key, Stored { revision, value: message.payload.clone() }))
}

/// What the watch of the bucket of users brings.
pub(crate) fn watched_user(names: &Names, message: &Message, revision: u64) -> Option<(AppId, UserId, Revised)> {
    let key = message.subject.strip_prefix(names.key(USERS, "").as_str())?;
    let (app_id, user_id) = key.split_once('.')?;
    let (app_id, user_id) = (AppId::new(&unescape(app_id)?).ok()?, UserId::new(&unescape(user_id)?).ok()?);
    let is_marker =
        message.headers.as_ref().is_some_and(|headers| MARKERS.iter().any(|name| headers.get(*name).is_some()));
    let value = (!is_marker).then(|| message.payload.clone());
    Some((app_id, user_id, revised(&Kept { revision, value, time: String::new() })))
}

/// The keys that an answer has, and when it was made; `None` if it says that there is no such bucket.
fn keys_in(answer: &[u8]) -> Result<Option<(Vec<String>, SystemTime)>, NoAnswer> {
    match serde_json::from_slice(answer) {
        Ok(Info { error: Some(error), .. }) if error.err_code == NO_STREAM => Ok(None),
        // So JetStream answers while it chooses a leader.
        Ok(Info { error: Some(error), .. }) if error.code == UNAVAILABLE && !OFF.contains(&error.err_code) => {
            Err(NoAnswer::TimedOut)
        }
        Ok(Info { error: Some(error), .. }) => Err(NoAnswer::Refused(error.description)),
        Ok(Info { state: Some(state), ts: Some(time), error: None }) => {
            let time = parse_rfc3339(&time).map_err(|_| NoAnswer::TimedOut)?;
            Ok(Some((state.subjects.unwrap_or_default().into_keys().collect(), time)))
        }
        _ => Err(NoAnswer::TimedOut),
    }
}

/// The key of a user.
pub(crate) fn user_key(app_id: &AppId, user_id: &UserId) -> String {
    format!("{}.{}", escape(app_id.as_str()), escape(user_id.as_str()))
}

/// An entry; what cannot be read is none, and is written over under its revision.
fn revised(kept: &Kept) -> Revised {
    let entry = kept.value.as_ref().and_then(|value| {
        UserEntry::decode(value).map_err(|error| warn!("an entry of a user is {error}: it counts for nothing")).ok()
    });
    Revised { entry, revision: kept.revision }
}

fn nothing() -> Revised {
    Revised { entry: None, revision: 0 }
}

#[derive(Deserialize)]
struct Acknowledged {
    seq: Option<u64>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Got {
    message: Option<StoredMessage>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct Info {
    state: Option<State>,
    ts: Option<String>,
    error: Option<Fault>,
}

#[derive(Deserialize)]
struct State {
    subjects: Option<BTreeMap<String, u64>>,
}

#[derive(Deserialize)]
struct Fault {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    err_code: u64,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
struct StoredMessage {
    seq: u64,
    #[serde(default)]
    data: String,
    #[serde(default)]
    hdrs: String,
    #[serde(default)]
    time: String,
}

impl StoredMessage {
    fn open(self) -> Option<Kept> {
        let headers = BASE64_STANDARD.decode(&self.hdrs).ok()?;
        let headers = String::from_utf8_lossy(&headers);
        let is_marker = headers.lines().any(|line| MARKERS.iter().any(|name| line.starts_with(name)));
        let value = BASE64_STANDARD.decode(&self.data).inspect_err(|error| debug!("{error}")).ok()?;
        Some(Kept { revision: self.seq, value: (!is_marker).then(|| value.into()), time: self.time })
    }
}

/// The headers of a message that says that there is no value any more.
const MARKERS: [&str; 2] = ["KV-Operation", "Nats-Marker-Reason"];
/// The last sequence was another one; it was, or another write is on its way.
const CONFLICTS: [u64; 2] = [10071, 10164];
const NO_MESSAGE: u64 = 10037;
const NO_STREAM: u64 = 10059;
/// The code of what passes by itself, and of JetStream that is off: for the account, or at all.
const UNAVAILABLE: u16 = 503;
const OFF: [u64; 2] = [10039, 10076];
/// Less than what membership waits for.
const ANSWER: Duration = Duration::from_millis(1800);
/// What nobody was there for is asked again after these pauses: as long as JetStream takes to choose another leader.
const PAUSES: [Duration; 8] = [
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_secs(1),
    Duration::from_secs(2),
    Duration::from_secs(2),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_election_of_jetstream_is_no_refusal() {
        let keys = |code: u16, err_code: u64| {
            let error = serde_json::json!({ "code": code, "err_code": err_code, "description": "why" });
            keys_in(serde_json::json!({ "error": error }).to_string().as_bytes())
        };
        assert_eq!(keys(503, 10008), Err(NoAnswer::TimedOut), "JetStream has no leader at the moment");
        for (code, err_code) in [(503, 10039), (503, 10076), (400, 10025)] {
            assert_eq!(keys(code, err_code), Err(NoAnswer::Refused("why".to_owned())), "{err_code}");
        }
        assert_eq!(keys(404, NO_STREAM), Ok(None));
    }
}
