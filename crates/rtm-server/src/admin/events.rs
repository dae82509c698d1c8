//! The call of the API that reads the log of events: as pages, waited for if need be, or as a stream.

use std::{convert::Infallible, num::NonZeroUsize, sync::Arc, time::Duration};

use axum::{
    Extension, Json,
    extract::{Path, Query, State},
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use rtm_codec::{ChannelId, InvalidId, UserId};
use rtm_core::{EventTypes, NumberedEvent};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use tokio::{sync::OwnedSemaphorePermit, time::Instant};

use super::{
    Admin,
    access::{Caller, Leave},
    answers::{ApiError, Checked},
    config::AdminRole,
};
use crate::events::{EventReader, Subject, data, last_number, log_epoch, time};

/// What is read.
#[derive(Debug, Deserialize)]
pub(super) struct Wanted {
    after: Option<u64>,
    /// Only what happens from now on, unless `after` says otherwise.
    #[serde(default)]
    live: bool,
    user_id: Option<String>,
    channel_id: Option<String>,
    types: Option<String>,
    limit: Option<NonZeroUsize>,
    wait: Option<String>,
}

#[derive(Debug, Serialize)]
struct EventsAnswer {
    events: Vec<EventAnswer>,
    /// Of the log that the numbers are those of.
    epoch: String,
    next: u64,
}

#[derive(Debug, Serialize)]
struct EventAnswer {
    seq: u64,
    #[serde(rename = "type")]
    event_type: &'static str,
    time: String,
    app_id: String,
    epoch: String,
    data: Map<String, Value>,
}

pub(super) async fn read(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    Checked(Path(app_id)): Checked<Path<String>>,
    Checked(Query(wanted)): Checked<Query<Wanted>>,
    headers: HeaderMap,
) -> Result<Response, ApiError> {
    let project = caller.project(&admin, &app_id, AdminRole::Read)?;
    let types = types(wanted.types.as_deref())?;
    let wait = wait(wanted.wait.as_deref())?;
    let subject = subject(wanted.user_id.as_deref(), wanted.channel_id.as_deref())?;
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let is_stream = text(header::ACCEPT.as_str()).is_some_and(|accept| accept.contains("text/event-stream"));
    let read_before = |id: &str| id.parse().map_err(|_| ApiError::bad_request("Last-Event-ID is not one of ours"));
    let last = text("last-event-id").filter(|_| is_stream).map(read_before).transpose()?;
    // A browser that comes back asks with what it has, behind the address that it began with.
    let place = match is_stream || !wait.is_zero() {
        false => None,
        true => Some(Arc::clone(&admin.readers).try_acquire_owned().map_err(|_| {
            ApiError::too_often(format!("{READERS} readers wait for events already: so many are served at once"))
        })?),
    };
    let mut after = last.or(wanted.after);
    if wanted.live && after.is_none() {
        if !project.look(|core, _, _| core.config().events.enabled) {
            return Err(ApiError::unavailable("the project has no log of events ([events] enabled)"));
        }
        after = Some(last_number(&project).await.map_err(|refusal| unreadable(&refusal))?);
    }
    let epoch = log_epoch(&project).await.map_err(|refusal| unreadable(&refusal))?;
    let log = Log { app_id, epoch: epoch.as_ref().to_owned() };
    let mut leave = Leave::new(&admin, &caller, Some(project.app_id()));
    let mut reader = EventReader::new(project, after, types).about(subject);
    if is_stream {
        return Ok(stream(reader, log, leave, place).into_response());
    }
    let limit = wanted.limit.map_or(LIMIT, NonZeroUsize::get).min(LIMIT);
    let page = tokio::select! {
        page = reader.next(limit, Instant::now() + wait) => page.map_err(|refusal| unreadable(&refusal))?,
        () = leave.ends() => return Err(ApiError::unauthorized("this key does not let you read these events any more")),
    };
    let events = page.events.iter().map(|event| log.answer(event)).collect();
    Ok(Json(EventsAnswer { events, epoch: log.epoch, next: page.next }).into_response())
}

/// All events from now on, until the reader goes, its key is taken, or the server cannot read them.
fn stream(reader: EventReader, log: Log, leave: Leave, permit: Option<OwnedSemaphorePermit>) -> impl IntoResponse {
    // A reader that comes back before the first event goes on from here all the same.
    let told = reader.read_to();
    let ready: Vec<_> = told.map(place).into_iter().collect();
    let start = (reader, told, ready.into_iter(), log, leave, permit);
    let events = stream::unfold(start, |(mut reader, mut told, mut ready, log, mut leave, permit)| async move {
        loop {
            if let Some(event) = ready.next() {
                return Some((Ok::<_, Infallible>(event), (reader, told, ready, log, leave, permit)));
            }
            let page = tokio::select! {
                page = reader.next(LIMIT, Instant::now() + KEEP_ALIVE) => page.ok()?,
                () = leave.ends() => return None,
            };
            let event = |event: &NumberedEvent| {
                let said = log.answer(event);
                let sent = Event::default().id(said.seq.to_string()).event(said.event_type).json_data(&said);
                // Texts, numbers and flags are always JSON.
                sent.unwrap_or_default()
            };
            let mut events: Vec<_> = page.events.iter().map(event).collect();
            told = page.events.last().map(|event| event.seq).or(told);
            // What the reader does not want is read too, and need not be read once more when it comes back.
            if reader.read_to() != told {
                told = reader.read_to();
                events.extend(told.map(place));
            }
            ready = events.into_iter();
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

/// Says how far a stream is. That is no event to its reader, which keeps the number.
fn place(seq: u64) -> Event {
    Event::default().id(seq.to_string())
}

/// Whose log is read, and which one of all that there were.
struct Log {
    app_id: String,
    epoch: String,
}

impl Log {
    fn answer(&self, NumberedEvent { seq, logged }: &NumberedEvent) -> EventAnswer {
        EventAnswer {
            epoch: self.epoch.clone(),
            seq: *seq,
            event_type: logged.event.event_type().name(),
            time: time(logged.time),
            app_id: self.app_id.clone(),
            data: data(&logged.event),
        }
    }
}

fn types(words: Option<&str>) -> Result<EventTypes, ApiError> {
    let Some(words) = words else { return Ok(EventTypes::ALL) };
    let mut of_words = words.split(',').map(str::trim).map(EventTypes::from_word);
    let all = of_words.try_fold(EventTypes::NONE, |all, some| some.map(|some| all.or(some)));
    all.map_err(|unknown| ApiError::bad_request(unknown.to_string()))
}

/// Whose events are wanted.
fn subject(user_id: Option<&str>, channel_id: Option<&str>) -> Result<Subject, ApiError> {
    let invalid = |error: InvalidId| ApiError::bad_request(error.to_string());
    match (user_id, channel_id) {
        (None, None) => Ok(Subject::All),
        (Some(user_id), None) => UserId::new(user_id).map(Subject::User).map_err(invalid),
        (None, Some(channel_id)) => ChannelId::new(channel_id).map(Subject::Channel).map_err(invalid),
        _ => Err(ApiError::bad_request("either user_id or channel_id is taken, not both")),
    }
}

/// A time such as `30s`, or a number of seconds.
fn wait(text: Option<&str>) -> Result<Duration, ApiError> {
    let Some(text) = text else { return Ok(Duration::ZERO) };
    let seconds = text.parse().ok().map(Duration::from_secs);
    let time = seconds.or_else(|| humantime::parse_duration(text).ok());
    let time = time.ok_or_else(|| ApiError::bad_request("wait is a time such as 30s"))?;
    Ok(time.min(LONGEST_WAIT))
}

fn unreadable(refusal: &rtm_codec::Refusal) -> ApiError {
    ApiError::unavailable(&refusal.to_string())
}

/// How many readers may wait for events at once, so that others are answered all the same.
pub(super) const READERS: usize = 128;
/// How many events an answer has at most.
const LIMIT: usize = 1000;
/// How long a call waits at most for the first event.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// How often a stream without events says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);
