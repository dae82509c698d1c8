//! Reads the log of events of a project as it grows.

use std::{
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

#[cfg(feature = "admin")]
use rtm_codec::{ChannelId, UserId};
use rtm_codec::{ErrorKind, Refusal};
use rtm_core::{EventPage, EventQuery, EventTypes, EventValue, ProjectEvent};
use serde_json::{Map, Value};
use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

use crate::{
    project::{Project, now},
    random::random_bytes,
};

/// Whose events are read, and beside them what the log says of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Subject {
    All,
    #[cfg(feature = "admin")]
    User(UserId),
    #[cfg(feature = "admin")]
    Channel(ChannelId),
}

impl Subject {
    #[cfg_attr(not(feature = "admin"), expect(unused_variables, reason = "nobody asks for a part"))]
    fn has(&self, event: &ProjectEvent) -> bool {
        #[cfg(feature = "admin")]
        let is_named = |names: &[&str], id: &str| {
            let mut data = event.data().into_iter();
            let is_it = |value: &EventValue<'_>| matches!(value, EventValue::Text(text) if text == id);
            data.any(|(name, value)| names.contains(&name) && is_it(&value))
                || matches!(event, ProjectEvent::LogGap { .. } | ProjectEvent::LogTruncated { .. })
        };
        match self {
            Self::All => true,
            #[cfg(feature = "admin")]
            Self::User(user_id) => is_named(&["user_id", "from", "to", "caller_id", "callee_id"], user_id.as_str()),
            #[cfg(feature = "admin")]
            Self::Channel(channel_id) => is_named(&["channel_id"], channel_id.as_str()),
        }
    }
}

/// A reader of the log, from where it has read to.
#[derive(Debug)]
pub(crate) struct EventReader {
    project: Arc<Project>,
    after: Option<u64>,
    types: EventTypes,
    subject: Subject,
    /// It changes when this server has written.
    news: watch::Receiver<u64>,
}

impl EventReader {
    /// A reader of events behind a number; `None` begins with the oldest that is kept.
    pub(crate) fn new(project: Arc<Project>, after: Option<u64>, types: EventTypes) -> Self {
        let news = project.event_news();
        Self { project, after, types, subject: Subject::All, news }
    }

    /// The same for the events of one user or channel.
    #[cfg(feature = "admin")]
    pub(crate) fn about(self, subject: Subject) -> Self {
        Self { subject, ..self }
    }

    /// The number behind which it reads on; `None` before it has read anything, where it begins with the oldest event.
    #[cfg(feature = "admin")]
    pub(crate) fn read_to(&self) -> Option<u64> {
        self.after
    }

    /// The next events, at most so many. Waits until then for the first one; the page is empty where none came.
    ///
    /// Cancel safe: what was read and not given is read again.
    ///
    /// # Errors
    ///
    /// [`Refusal`] when the store cannot be read.
    pub(crate) async fn next(&mut self, limit: usize, until: Instant) -> Result<EventPage, Refusal> {
        loop {
            self.news.borrow_and_update();
            let query = EventQuery { after: self.after, types: self.types, limit: LOOKED_AT };
            let page = self.project.read_events(query).await;
            let gone = || Err(Refusal::new(ErrorKind::Failure, "the server is going down"));
            let mut page = page.unwrap_or_else(gone)?;
            if self.subject != Subject::All {
                page.events.retain(|event| self.subject.has(&event.logged.event));
            }
            if page.events.len() > limit {
                page.events.truncate(limit);
                page.more = true;
                if let Some(last) = page.events.last() {
                    page.next = last.seq;
                }
            }
            if page.next > 0 {
                self.after = Some(page.next);
            }
            let now = Instant::now();
            if !page.events.is_empty() || (!page.more && now >= until) {
                return Ok(page);
            }
            if !page.more {
                // Other nodes write too, of which nothing is heard here.
                let _ = timeout_at(until.min(now + LOOK_AGAIN), self.news.changed()).await;
            }
        }
    }
}

/// Which log of the project it is, of all that there ever were: its numbers mean nothing in another one. A log that is stored keeps
/// its epoch, on all nodes of a cluster; one in memory has another after each start.
///
/// # Errors
///
/// [`Refusal`] when the store cannot be read or written.
pub(crate) async fn log_epoch(project: &Arc<Project>) -> Result<Arc<str>, Refusal> {
    loop {
        let known = project.event_cursor(EPOCH);
        if known.revision.0 > 0 {
            return Ok(format!("{:016x}", known.read.0).into());
        }
        if !project.may_write() {
            return Err(Refusal::new(ErrorKind::Failure, "the server is not in its cluster"));
        }
        // Without random numbers the time tells one log from another.
        let number = random_bytes().map_or_else(|_| now().unix_ms, u64::from_le_bytes);
        // Whoever is first decides.
        let kept = project.move_event_cursor(EPOCH, known, number, false).await;
        kept.unwrap_or_else(|| Err(Refusal::new(ErrorKind::Failure, "the server is going down")))?;
    }
}

/// The number of the last event, as far as the log goes now.
///
/// # Errors
///
/// [`Refusal`] when the store cannot be read.
pub(crate) async fn last_number(project: &Arc<Project>) -> Result<u64, Refusal> {
    let mut last = 0;
    let mut reader = EventReader::new(Arc::clone(project), None, EventTypes::NONE);
    loop {
        let page = reader.next(LOOKED_AT, Instant::now()).await?;
        last = last.max(page.next);
        if !page.more {
            return Ok(last);
        }
    }
}

/// The number of the last event before a time, in milliseconds since the Unix epoch: what is read after it begins there.
///
/// # Errors
///
/// [`Refusal`] when the store cannot be read.
#[cfg(all(feature = "admin", feature = "webhooks"))]
pub(crate) async fn number_before(project: &Arc<Project>, unix_ms: u64) -> Result<u64, Refusal> {
    let mut reader = EventReader::new(Arc::clone(project), None, EventTypes::ALL);
    let mut before = 0;
    loop {
        let page = reader.next(LOOKED_AT, Instant::now()).await?;
        match page.events.iter().find(|event| event.logged.time >= unix_ms) {
            Some(event) => return Ok(event.seq - 1),
            None => before = before.max(page.next),
        }
        if !page.more {
            return Ok(before);
        }
    }
}

/// What an event says, in JSON.
pub(crate) fn data(event: &ProjectEvent) -> Map<String, Value> {
    let value = |value: EventValue<'_>| match value {
        EventValue::Text(text) => Value::from(text),
        EventValue::Number(number) => Value::from(number),
        EventValue::Flag(flag) => Value::from(flag),
        EventValue::Time(ms) => Value::from(time(ms)),
    };
    event.data().into_iter().map(|(name, data)| (name.to_owned(), value(data))).collect()
}

/// A time in milliseconds since the Unix epoch, as RFC 3339 writes it.
pub(crate) fn time(unix_ms: u64) -> String {
    humantime::format_rfc3339_millis(UNIX_EPOCH + Duration::from_millis(unix_ms.min(LATEST_MS))).to_string()
}

/// The epoch of a log stands where the cursors of its readers are, since that is kept as long as the log.
const EPOCH: &str = "epoch";
/// How many events are looked at at once.
const LOOKED_AT: usize = 1000;
/// How soon the log is looked at again that nobody here has written.
const LOOK_AGAIN: Duration = Duration::from_secs(1);
/// The end of the year 9999.
const LATEST_MS: u64 = 253_402_300_799_000;
