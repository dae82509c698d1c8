//! The call of the API for those who watch: what the server did in the last ten minutes, and on from there.

use std::{
    collections::{HashMap, VecDeque},
    convert::Infallible,
    sync::{Arc, Mutex, PoisonError, atomic::Ordering},
    time::{Duration, SystemTime},
};

use axum::{
    Extension, Json,
    extract::State,
    http::{HeaderMap, header},
    response::{
        IntoResponse, Response,
        sse::{Event, KeepAlive, Sse},
    },
};
use futures::stream;
use rtm_codec::{AppId, Wire};
use rtm_core::Latencies;
use serde::Serialize;
use tokio::{
    sync::watch::{self, Receiver},
    time::{MissedTickBehavior, interval},
};

use super::{
    Admin,
    access::{Caller, Leave},
    answers::rfc3339,
    metrics::Look,
};

/// The last samples, and news of each one.
#[derive(Debug)]
pub(crate) struct Samples {
    kept: Mutex<VecDeque<Arc<Sample>>>,
    newest: watch::Sender<u64>,
}

/// What there was at one moment. Counters are since the start.
#[derive(Debug)]
struct Sample {
    number: u64,
    time: SystemTime,
    server: ServerSample,
    projects: Vec<(AppId, ProjectSample)>,
}

#[derive(Debug, Clone, Serialize)]
struct ServerSample {
    connections: usize,
    accepted: u64,
    turned_away: u64,
    store_queue_bytes: u64,
}

#[derive(Debug, Clone, Serialize)]
struct ProjectSample {
    native: usize,
    vendor: usize,
    sessions: usize,
    users_online: usize,
    channels: usize,
    invitations: usize,
    peer_messages: u64,
    channel_messages: u64,
    events: u64,
    calls: u64,
    refused_calls: u64,
    slow_consumers: u64,
    /// How many events were lost of channels whose members were away.
    away_dropped: u64,
    /// How many connections have ended.
    closed: u64,
    queued_bytes: usize,
    sessions_behind: usize,
    /// How long messages took until their receivers had them, of those since the sample before.
    receipt_p50_ms: Option<f64>,
    receipt_p99_ms: Option<f64>,
}

#[derive(Debug, Serialize)]
struct WatchAnswer {
    samples: Vec<SampleAnswer>,
}

#[derive(Debug, Serialize)]
struct SampleAnswer {
    number: u64,
    time: String,
    server: Option<ServerSample>,
    projects: Vec<ProjectSampleAnswer>,
}

#[derive(Debug, Serialize)]
struct ProjectSampleAnswer {
    app_id: String,
    #[serde(flatten)]
    figures: ProjectSample,
}

/// The call: what is kept, or a stream that begins with it.
pub(super) async fn watch(
    State(admin): State<Arc<Admin>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let accept = headers.get(header::ACCEPT).and_then(|value| value.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        let news = admin.samples.newest.subscribe();
        return stream(admin, caller, news).into_response();
    }
    Json(WatchAnswer { samples: admin.samples.after(0, &caller) }).into_response()
}

/// All that is kept as one event, and then each sample as it is taken, until the reader goes or its key is taken.
fn stream(admin: Arc<Admin>, caller: Caller, news: Receiver<u64>) -> impl IntoResponse {
    let leave = Leave::new(&admin, &caller, None);
    let start = (admin, caller, leave, news, 0);
    let events = stream::unfold(start, |(admin, caller, mut leave, mut news, seen)| async move {
        loop {
            let samples = admin.samples.after(seen, &caller);
            if let Some(last) = samples.last() {
                let seen = last.number;
                let event = Event::default().id(seen.to_string()).event("samples").json_data(WatchAnswer { samples });
                // Numbers and texts are always JSON.
                return Some((Ok::<_, Infallible>(event.unwrap_or_default()), (admin, caller, leave, news, seen)));
            }
            tokio::select! {
                changed = news.changed() => changed.ok()?,
                () = leave.ends() => return None,
            }
        }
    });
    Sse::new(events).keep_alive(KeepAlive::new().interval(KEEP_ALIVE))
}

impl Default for Samples {
    fn default() -> Self {
        Self { kept: Mutex::default(), newest: watch::Sender::new(0) }
    }
}

impl Samples {
    /// Those with greater numbers, as the caller may see them.
    fn after(&self, number: u64, caller: &Caller) -> Vec<SampleAnswer> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        let wanted: Vec<_> = kept.iter().filter(|sample| sample.number > number).cloned().collect();
        drop(kept);
        wanted.iter().map(|sample| sample.answer(caller)).collect()
    }

    fn add(&self, sample: Sample) {
        let (number, of_projects) = (sample.number, sample.projects.len());
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.push_back(Arc::new(sample));
        let most = KEPT.min(KEPT_OF_PROJECTS / of_projects.max(1)).max(2);
        while kept.len() > most {
            kept.pop_front();
        }
        drop(kept);
        self.newest.send_replace(number);
    }
}

impl Sample {
    fn answer(&self, caller: &Caller) -> SampleAnswer {
        let seen = self.projects.iter().filter(|(app_id, _)| caller.sees(app_id));
        let answer = |(app_id, figures): &(AppId, ProjectSample)| ProjectSampleAnswer {
            app_id: app_id.to_string(),
            figures: figures.clone(),
        };
        SampleAnswer {
            number: self.number,
            time: rfc3339(self.time),
            server: caller.sees_server().then(|| self.server.clone()),
            projects: seen.map(answer).collect(),
        }
    }
}

impl Admin {
    /// Takes a sample now and then, for as long as it is polled.
    pub(super) async fn take_samples(self: Arc<Self>) {
        let mut ticks = interval(EVERY);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut receipts = HashMap::new();
        for number in 1.. {
            ticks.tick().await;
            let sample = self.sample(number, &mut receipts).await;
            self.samples.add(sample);
        }
    }

    /// `receipts` has each project's at the sample before.
    async fn sample(&self, number: u64, receipts: &mut HashMap<AppId, Latencies>) -> Sample {
        let looks = self.look_at_projects().await;
        receipts.retain(|app_id, _| looks.iter().any(|look| look.app_id == *app_id));
        let projects = looks.iter().map(|look| {
            let before = receipts.insert(look.app_id.clone(), *look.receipts());
            (look.app_id.clone(), ProjectSample::new(look, before.as_ref()))
        });
        let projects = projects.collect();
        let shared = &self.shared;
        let turned_away = shared.admission.turned_away();
        let server = ServerSample {
            connections: shared.tasks.len(),
            accepted: shared.accepted.iter().map(|(_, count)| count.load(Ordering::Relaxed)).sum(),
            turned_away: turned_away.too_many + turned_away.too_often + shared.found_full.load(Ordering::Relaxed),
            store_queue_bytes: self.store.queued_bytes() as u64,
        };
        Sample { number, time: SystemTime::now(), server, projects }
    }
}

impl ProjectSample {
    fn new(look: &Look, receipts_before: Option<&Latencies>) -> Self {
        let stats = &look.stats;
        let on = |wire| look.by_wire.iter().find(|(known, _)| *known == wire).map_or(0, |(_, count)| *count);
        let before = receipts_before.map_or([0; Latencies::CLASSES], Latencies::counts);
        let mut receipts = look.receipts().counts();
        receipts.iter_mut().zip(before).for_each(|(count, before)| *count = count.saturating_sub(before));
        Self {
            native: on(Wire::Native),
            vendor: on(Wire::Vendor),
            sessions: stats.sessions,
            users_online: stats.users,
            channels: stats.channels,
            invitations: stats.invitations,
            peer_messages: stats.peer_messages,
            channel_messages: stats.channel_messages,
            events: stats.events,
            calls: look.calls(),
            refused_calls: look.refused_calls(),
            slow_consumers: stats.slow_consumers,
            away_dropped: stats.away_dropped,
            closed: look.by_end.iter().map(|(.., count)| count).sum(),
            queued_bytes: look.census.queued_bytes,
            sessions_behind: look.census.behind,
            receipt_p50_ms: quantile(&receipts, 0.5),
            receipt_p99_ms: quantile(&receipts, 0.99),
        }
    }
}

/// The time in milliseconds under which this share of the times is. Within a class they are taken to be spread evenly; those above all
/// bounds are as long as the last one.
fn quantile(counts: &[u64; Latencies::CLASSES], share: f64) -> Option<f64> {
    let all: u64 = counts.iter().sum();
    let mut left = all as f64 * share;
    for (class, count) in counts.iter().enumerate().filter(|(_, count)| **count > 0) {
        if left <= *count as f64 {
            let bounds = Latencies::BOUNDS;
            let bound = |class: usize| bounds[class.min(bounds.len() - 1)] as f64;
            let bottom = class.checked_sub(1).map_or(0.0, bound);
            let top = bound(class);
            let micros = bottom + (top - bottom) * left / *count as f64;
            return Some((micros / 10.0).round() / 100.0);
        }
        left -= *count as f64;
    }
    None
}

/// How often a sample is taken.
const EVERY: Duration = Duration::from_secs(2);
/// How many are kept: ten minutes of them.
const KEPT: usize = 300;
/// How many there may be of projects, over all that are kept: with many projects they are of a shorter time.
const KEPT_OF_PROJECTS: usize = 30_000;
/// How often a stream says that it is there.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_are_within_their_class() {
        assert_eq!(quantile(&[0; Latencies::CLASSES], 0.5), None);
        // A hundred times from 0.5 to 1 ms, one of about a second, and one of more than all bounds.
        let mut times = Latencies::default();
        (0..100).for_each(|_| times.add(Duration::from_micros(700)));
        times.add(Duration::from_millis(1_100));
        assert_eq!(quantile(&times.counts(), 0.5), Some(0.75));
        assert_eq!(quantile(&times.counts(), 0.99), Some(1.0));
        assert!(quantile(&times.counts(), 0.999).unwrap() > 900.0);
        let mut late = Latencies::default();
        late.add(Duration::from_secs(100));
        assert_eq!(quantile(&late.counts(), 0.5), Some(60_000.0));
    }

    #[test]
    fn with_many_projects_fewer_samples_are_kept() {
        let samples = Samples::default();
        let figures = ProjectSample {
            native: 0,
            vendor: 0,
            sessions: 0,
            users_online: 0,
            channels: 0,
            invitations: 0,
            peer_messages: 0,
            channel_messages: 0,
            events: 0,
            calls: 0,
            refused_calls: 0,
            slow_consumers: 0,
            away_dropped: 0,
            closed: 0,
            queued_bytes: 0,
            sessions_behind: 0,
            receipt_p50_ms: None,
            receipt_p99_ms: None,
        };
        let app_id = AppId::new("0123456789abcdef0123456789abcdef").unwrap();
        for (projects, kept) in [(1, KEPT), (1000, 30)] {
            for number in 0..=KEPT as u64 {
                let server = ServerSample { connections: 0, accepted: 0, turned_away: 0, store_queue_bytes: 0 };
                let projects = vec![(app_id.clone(), figures.clone()); projects];
                samples.add(Sample { number, time: SystemTime::now(), server, projects });
            }
            assert_eq!(samples.kept.lock().unwrap().len(), kept, "{projects} projects");
        }
    }
}
