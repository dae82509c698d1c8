//! How often the HTTP interfaces were asked, what they answered, and how long that took.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use hyper::{Method, StatusCode};
use rtm_core::Latencies;

use crate::clock::instant;

/// What is asked over HTTP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Api {
    /// The vendor's gateway.
    Gateway,
    /// The REST API of back ends.
    #[cfg_attr(not(any(feature = "rest", feature = "admin")), expect(dead_code, reason = "nobody calls"))]
    Rest,
    /// The admin listener.
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "it is not there"))]
    Admin,
}

impl Api {
    #[cfg(feature = "admin")]
    const ALL: [Self; 3] = [Self::Gateway, Self::Rest, Self::Admin];

    /// Its name, as metrics have it.
    #[cfg(feature = "admin")]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Gateway => "gateway",
            Self::Rest => "rest",
            Self::Admin => "admin",
        }
    }
}

/// The requests to each of them.
#[derive(Debug, Default)]
pub(crate) struct HttpFigures([ApiFigures; 3]);

#[derive(Debug, Default)]
struct ApiFigures {
    answers: [[AtomicU64; CLASSES.len()]; METHODS.len()],
    in_flight: AtomicU64,
    times: Mutex<Latencies>,
}

/// A request that is not answered yet.
#[derive(Debug)]
pub(crate) struct InFlight<'a> {
    figures: &'a ApiFigures,
    method: usize,
    since: Instant,
}

impl HttpFigures {
    /// A request has come.
    pub(crate) fn begin(&self, api: Api, method: &Method) -> InFlight<'_> {
        let figures = &self.0[api as usize];
        figures.in_flight.fetch_add(1, Ordering::Relaxed);
        let method = METHODS.iter().position(|known| *known == method.as_str()).unwrap_or(METHODS.len() - 1);
        InFlight { figures, method, since: instant() }
    }
}

#[cfg(feature = "admin")]
impl HttpFigures {
    /// How many requests were answered, by their methods and the classes of their statuses.
    pub(crate) fn answers(&self) -> impl Iterator<Item = (Api, &'static str, &'static str, u64)> {
        Api::ALL.into_iter().zip(&self.0).flat_map(|(api, figures)| {
            METHODS.into_iter().zip(&figures.answers).flat_map(move |(method, classes)| {
                let count = move |(class, count): (_, &AtomicU64)| (api, method, class, count.load(Ordering::Relaxed));
                CLASSES.into_iter().zip(classes).map(count)
            })
        })
    }

    /// How long answers took.
    pub(crate) fn times(&self) -> impl Iterator<Item = (Api, Latencies)> {
        let times = |figures: &ApiFigures| *figures.times.lock().unwrap_or_else(PoisonError::into_inner);
        Api::ALL.into_iter().zip(self.0.each_ref().map(times))
    }

    /// How many requests wait for their answers.
    pub(crate) fn in_flight(&self) -> impl Iterator<Item = (Api, u64)> {
        let count = |figures: &ApiFigures| figures.in_flight.load(Ordering::Relaxed);
        Api::ALL.into_iter().zip(self.0.each_ref().map(count))
    }
}

impl InFlight<'_> {
    /// It is answered with this status.
    pub(crate) fn answered(self, status: StatusCode) {
        let class = usize::from(status.as_u16() / 100).saturating_sub(2).min(CLASSES.len() - 1);
        self.figures.answers[self.method][class].fetch_add(1, Ordering::Relaxed);
        let time = instant().saturating_duration_since(self.since);
        self.figures.times.lock().unwrap_or_else(PoisonError::into_inner).add(time);
    }
}

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.figures.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Any other method counts as the last.
const METHODS: [&str; 5] = ["GET", "POST", "PUT", "DELETE", "other"];
const CLASSES: [&str; 4] = ["2xx", "3xx", "4xx", "5xx"];
