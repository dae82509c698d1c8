//! What the store asks of JetStream. Each request has a time limit, and is repeated where that is harmless: while a stream elects
//! a leader nobody answers for it.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use async_nats::{Client, HeaderMap, Message};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use bytes::Bytes;
use serde::{Deserialize, de::DeserializeOwned};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::cluster::{
    permits::{NotAMember, Permits},
    requests::{NoAnswer, Requests},
};

/// The way to JetStream.
#[derive(Debug, Clone)]
pub(crate) struct JetStream {
    requests: Arc<Requests>,
    /// Begins the ids of this process's writes.
    writer: u64,
    writes: Arc<AtomicU64>,
    /// Whether this life of the node may write. A tool has none.
    permits: Option<(Permits, u64)>,
}

/// A message of a stream.
#[derive(Debug, Clone)]
pub(crate) struct Found {
    pub(crate) seq: u64,
    pub(crate) subject: String,
    /// When the stream got it, in milliseconds since the Unix epoch.
    pub(crate) stored_ms: u64,
    pub(crate) payload: Bytes,
}

/// Where to begin to read.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start {
    /// At a sequence.
    At(u64),
    /// At the first message that the stream got at or after a time, in milliseconds since the Unix epoch.
    Time(u64),
}

/// The number of a write, unlike that of any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WriteId(pub(crate) u128);

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
pub(crate) enum Fault {
    #[error(transparent)]
    NoAnswer(#[from] NoAnswer),
    #[error("JetStream refused it: {} ({})", .0.description, .0.err_code)]
    Refused(Refusal),
    #[error("JetStream answered what makes no sense: {0}")]
    Garbled(String),
    #[error(transparent)]
    NotAMember(#[from] NotAMember),
}

/// An error that JetStream answers.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Refusal {
    code: u16,
    pub(crate) err_code: u32,
    description: String,
}

impl Fault {
    fn refusal(&self) -> Option<u32> {
        match self {
            Self::Refused(refusal) => Some(refusal.err_code),
            Self::NoAnswer(_) | Self::Garbled(_) | Self::NotAMember(_) => None,
        }
    }

    /// Whether a conditional publish came too late.
    pub(crate) fn is_conflict(&self) -> bool {
        self.refusal().is_some_and(|code| CONFLICTS.contains(&code))
    }

    /// Whether the same may be done a little later.
    pub(crate) fn is_passing(&self) -> bool {
        match self {
            Self::NoAnswer(NoAnswer::NoResponders(_) | NoAnswer::NotConnected | NoAnswer::TimedOut) => true,
            Self::NoAnswer(NoAnswer::NotSent(_) | NoAnswer::Refused(_)) | Self::Garbled(_) | Self::NotAMember(_) => {
                false
            }
            Self::Refused(refusal) => refusal.code == UNAVAILABLE || refusal.err_code == ID_IN_PROCESS,
        }
    }
}

impl JetStream {
    /// Waits while NATS is away.
    pub(crate) async fn new(client: Client, writer: u64) -> Result<Self, Fault> {
        let requests = Arc::new(Requests::new(client).await?);
        Ok(Self { requests, writer, writes: Arc::default(), permits: None })
    }

    /// The same for a node, which writes nothing while it may be out of its cluster.
    pub(crate) fn with_permits(self, permits: Permits) -> Self {
        Self { permits: Some((permits, 0)), ..self }
    }

    /// The same for what a node wants in one of its lives.
    pub(crate) fn for_life(&self, life: u64) -> Self {
        let permits = self.permits.as_ref().map(|(permits, _)| (permits.clone(), life));
        Self { permits, ..self.clone() }
    }

    /// Waits until what is wanted may be written.
    async fn permit(&self, until: Instant) -> Result<(), NotAMember> {
        match &self.permits {
            Some((permits, life)) => permits.wait(*life, until).await,
            None => Ok(()),
        }
    }

    /// An id for a write.
    pub(crate) fn write_id(&self) -> WriteId {
        let number = self.writes.fetch_add(1, Ordering::Relaxed);
        WriteId(u128::from(self.writer) << 64 | u128::from(number))
    }

    /// Publishes once, however often that has to be tried. Gives the sequence.
    pub(crate) async fn publish(
        &self,
        subject: &str,
        write: WriteId,
        payload: Bytes,
        until: Instant,
    ) -> Result<u64, Fault> {
        self.repeat(until, || self.try_to_publish(subject, write, payload.clone(), until)).await
    }

    /// One attempt at that.
    pub(crate) async fn try_to_publish(
        &self,
        subject: &str,
        write: WriteId,
        payload: Bytes,
        until: Instant,
    ) -> Result<u64, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Msg-Id", format!("{:032x}", write.0));
        self.publish_with(subject, headers, payload, until).await
    }

    /// Which connection to NATS there is, by a number that rises.
    pub(crate) fn connection(&self) -> u64 {
        self.requests.connection()
    }

    /// Publishes if a sequence is the last one of the subject; 0 stands for none. Tried once: after a time-out, whether
    /// it was done is to be read.
    pub(crate) async fn publish_after(
        &self,
        subject: &str,
        last: u64,
        payload: Bytes,
        until: Instant,
    ) -> Result<u64, Fault> {
        let mut headers = HeaderMap::new();
        headers.insert("Nats-Expected-Last-Subject-Sequence", last.to_string());
        self.publish_with(subject, headers, payload, until).await
    }

    async fn publish_with(
        &self,
        subject: &str,
        headers: HeaderMap,
        payload: Bytes,
        until: Instant,
    ) -> Result<u64, Fault> {
        self.permit(until).await?;
        let answer = self.requests.ask(subject, headers, payload, attempt(until)).await?;
        let ack: Ack = read(&answer)?;
        ack.seq.filter(|seq| *seq > 0).ok_or_else(|| Fault::Garbled("an acknowledgement without a sequence".to_owned()))
    }

    /// The last message of a subject, or of all that a filter matches.
    pub(crate) async fn last(&self, stream: &str, filter: &str, until: Instant) -> Result<Option<Found>, Fault> {
        self.get(stream, json!({"last_by_subj": filter}), until).await
    }

    /// The message of a sequence.
    pub(crate) async fn at(&self, stream: &str, seq: u64, until: Instant) -> Result<Option<Found>, Fault> {
        self.get(stream, json!({"seq": seq, "no_hdr": true}), until).await
    }

    /// The first message that a filter matches, from a sequence or time on.
    pub(crate) async fn next(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
        until: Instant,
    ) -> Result<Option<Found>, Fault> {
        let mut query = json!({"next_by_subj": filter, "no_hdr": true});
        start.put_into(&mut query);
        self.get(stream, query, until).await
    }

    /// Reads a message at the stream's leader.
    async fn get(&self, stream: &str, query: serde_json::Value, until: Instant) -> Result<Option<Found>, Fault> {
        let answer: Result<GetAnswer, Fault> = self.api(&format!("STREAM.MSG.GET.{stream}"), &query, until).await;
        let Raw { seq, subject, time, data } = match answer {
            Ok(answer) => answer.message,
            Err(fault) if fault.refusal() == Some(NOT_FOUND) => return Ok(None),
            Err(fault) => return Err(fault),
        };
        let payload = BASE64_STANDARD.decode(data).map_err(|error| Fault::Garbled(error.to_string()))?;
        Ok(Some(Found { seq, subject, stored_ms: millis(&time)?, payload: payload.into() }))
    }

    /// Messages that a filter matches, in order, from a sequence or time on: as many as whichever server answers has and
    /// wants to give. It may be behind the leader, so that the newest are missing and removed ones are there still.
    pub(crate) async fn some(
        &self,
        stream: &str,
        filter: &str,
        start: Start,
        batch: usize,
        until: Instant,
    ) -> Result<Vec<Found>, Fault> {
        let mut query = json!({"next_by_subj": filter, "batch": batch, "max_bytes": BATCH_BYTES});
        start.put_into(&mut query);
        let subject = format!("$JS.API.DIRECT.GET.{stream}");
        let asked = self.repeat(until, || async {
            Ok(self.requests.ask_for_many(&subject, query.to_string().into(), attempt(until)).await?)
        });
        let (messages, status) = asked.await?;
        if let Some(status) = status.filter(|status| !ENDS.contains(&status.as_u16())) {
            return Err(Fault::Garbled(format!("status {status} for a batch of messages")));
        }
        let mut all: Vec<Found> = Vec::with_capacity(messages.len());
        for message in messages {
            let text = |name: &str| message.headers.as_ref()?.get(name).map(|value| value.as_str().to_owned());
            let number = |name: &str| text(name)?.parse::<u64>().ok();
            let (Some(seq), Some(subject), Some(time)) =
                (number("Nats-Sequence"), text("Nats-Subject"), text("Nats-Time-Stamp"))
            else {
                return Err(Fault::Garbled("a message of a batch without its headers".to_owned()));
            };
            // One that is missing was dropped on the way here.
            if number("Nats-Last-Sequence").is_some_and(|last| last != all.last().map_or(0, |last| last.seq)) {
                break;
            }
            all.push(Found { seq, subject, stored_ms: millis(&time)?, payload: message.payload });
        }
        Ok(all)
    }

    /// Removes the message of a sequence. `false` if there is none.
    pub(crate) async fn delete(&self, stream: &str, seq: u64, until: Instant) -> Result<bool, Fault> {
        let subject = format!("$JS.API.STREAM.MSG.DELETE.{stream}");
        let query = json!({"seq": seq, "no_erase": true});
        let ask = || async {
            self.permit(until).await?;
            self.ask_once::<Success>(&subject, &query, until).await
        };
        match self.repeat(until, ask).await {
            Ok(_) => Ok(true),
            Err(fault) if fault.refusal().is_some_and(|code| NOT_DELETED.contains(&code)) => {
                match self.at(stream, seq, until).await? {
                    None => Ok(false),
                    Some(_) => Err(fault),
                }
            }
            Err(fault) => Err(fault),
        }
    }

    /// How many messages a subject has.
    pub(crate) async fn count(&self, stream: &str, subject: &str, until: Instant) -> Result<u64, Fault> {
        let info = self.info(stream, json!({"subjects_filter": subject}), until).await?;
        Ok(info.state.subjects.get(subject).copied().unwrap_or_default())
    }

    /// How much a stream has.
    pub(crate) async fn size(&self, stream: &str, until: Instant) -> Result<Size, Fault> {
        let InfoState { messages, bytes, .. } = self.info(stream, json!({}), until).await?.state;
        Ok(Size { messages, bytes })
    }

    /// How many subjects of a stream a filter matches.
    pub(crate) async fn count_subjects(&self, stream: &str, filter: &str, until: Instant) -> Result<u64, Fault> {
        // Behind the last one, so that none is listed.
        let query = json!({"subjects_filter": filter, "offset": u32::MAX});
        Ok(self.info(stream, query, until).await?.total)
    }

    /// The subjects of a stream that a filter matches, in no order.
    pub(crate) async fn subjects(&self, stream: &str, filter: &str, until: Instant) -> Result<Vec<String>, Fault> {
        let mut all = std::collections::BTreeSet::new();
        let mut offset = Some(0);
        while let Some(from) = offset {
            let (subjects, next) = self.subjects_from(stream, filter, from, until).await?;
            all.extend(subjects);
            offset = next;
        }
        Ok(all.into_iter().collect())
    }

    /// Some of them, and where to go on, if there are more.
    pub(crate) async fn subjects_from(
        &self,
        stream: &str,
        filter: &str,
        offset: usize,
        until: Instant,
    ) -> Result<(Vec<String>, Option<usize>), Fault> {
        let info = self.info(stream, json!({"subjects_filter": filter, "offset": offset}), until).await?;
        let subjects: Vec<_> = info.state.subjects.into_keys().collect();
        let next = offset + subjects.len();
        let is_last = subjects.is_empty() || next as u64 >= info.total;
        Ok((subjects, (!is_last).then_some(next)))
    }

    async fn info(&self, stream: &str, query: serde_json::Value, until: Instant) -> Result<Info, Fault> {
        self.api(&format!("STREAM.INFO.{stream}"), &query, until).await
    }

    /// Asks the leader of a stream what may be asked twice.
    async fn api<T: DeserializeOwned>(
        &self,
        what: &str,
        query: &serde_json::Value,
        until: Instant,
    ) -> Result<T, Fault> {
        let subject = format!("$JS.API.{what}");
        self.repeat(until, || self.ask_once(&subject, query, until)).await
    }

    async fn ask_once<T: DeserializeOwned>(
        &self,
        subject: &str,
        query: &serde_json::Value,
        until: Instant,
    ) -> Result<T, Fault> {
        let payload = Bytes::from(query.to_string());
        let answer = self.requests.ask(subject, HeaderMap::new(), payload, attempt(until)).await?;
        read(&answer)
    }

    /// Tries something until a moment as long as what keeps it from being done may pass.
    async fn repeat<T, F: Future<Output = Result<T, Fault>>>(
        &self,
        until: Instant,
        mut attempt: impl FnMut() -> F,
    ) -> Result<T, Fault> {
        let mut pause = FIRST_PAUSE;
        loop {
            match attempt().await {
                Err(fault) if fault.is_passing() && Instant::now() + pause < until => sleep(pause).await,
                done => return done,
            }
            pause = (pause * 2).min(LONGEST_PAUSE);
        }
    }
}

impl Start {
    fn put_into(self, query: &mut serde_json::Value) {
        match self {
            Self::At(seq) => query["seq"] = seq.into(),
            Self::Time(ms) => {
                let time = SystemTime::UNIX_EPOCH + Duration::from_millis(ms.min(LATEST));
                query["start_time"] = humantime::format_rfc3339_millis(time).to_string().into();
            }
        }
    }
}

/// Until when an attempt waits that is one of several until a moment.
fn attempt(until: Instant) -> Instant {
    until.min(Instant::now() + ATTEMPT)
}

fn read<T: DeserializeOwned>(answer: &Message) -> Result<T, Fault> {
    let garbled = |error: serde_json::Error| Fault::Garbled(error.to_string());
    let Refused { error } = serde_json::from_slice(&answer.payload).map_err(garbled)?;
    match error {
        Some(refusal) => Err(Fault::Refused(refusal)),
        None => serde_json::from_slice(&answer.payload).map_err(garbled),
    }
}

fn millis(time: &str) -> Result<u64, Fault> {
    let time = humantime::parse_rfc3339(time).map_err(|error| Fault::Garbled(format!("{time:?}: {error}")))?;
    Ok(time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |age| age.as_millis() as u64))
}

#[derive(Deserialize)]
struct Refused {
    #[serde(default)]
    error: Option<Refusal>,
}

#[derive(Deserialize)]
struct Ack {
    #[serde(default)]
    seq: Option<u64>,
}

#[derive(Deserialize)]
struct Success {}

#[derive(Deserialize)]
struct GetAnswer {
    message: Raw,
}

#[derive(Deserialize)]
struct Raw {
    seq: u64,
    subject: String,
    time: String,
    #[serde(default)]
    data: String,
}

/// How much a stream has.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Size {
    pub(crate) messages: u64,
    /// Of each of its copies.
    pub(crate) bytes: u64,
}

#[derive(Deserialize)]
struct Info {
    #[serde(default)]
    total: u64,
    state: InfoState,
}

#[derive(Deserialize)]
struct InfoState {
    messages: u64,
    #[serde(default)]
    bytes: u64,
    #[serde(default)]
    subjects: std::collections::HashMap<String, u64>,
}

/// How long one request is waited for. Well answered ones take a few milliseconds.
const ATTEMPT: Duration = Duration::from_secs(2);
const FIRST_PAUSE: Duration = Duration::from_millis(20);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// What a server gives of messages at once.
const BATCH_BYTES: usize = 1024 * 1024;
/// The year 2500, in milliseconds since the Unix epoch.
const LATEST: u64 = 16_725_225_600_000;

/// The status at the end of a batch, and that of one without messages.
const ENDS: [u16; 2] = [204, 404];
/// Errors of the API: "no message found".
const NOT_FOUND: u32 = 10_037;
/// "sequence not found", as several servers say it, and whatever went wrong with a removal, as one does.
const NOT_DELETED: [u32; 2] = [10_043, 10_057];
/// "wrong last sequence", and the same while the write that came first is under way.
const CONFLICTS: [u32; 2] = [10_071, 10_164];
/// A write with the same id is under way.
const ID_IN_PROCESS: u32 = 10_158;
/// The code of what passes: no leader, too busy, starting.
const UNAVAILABLE: u16 = 503;
