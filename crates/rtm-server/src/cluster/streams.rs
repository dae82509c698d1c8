//! The streams and buckets of a cluster: made when missing, checked when there.

use std::{
    collections::HashMap,
    fmt::Debug,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use async_nats::jetstream::{
    Context, Error, ErrorCode,
    response::Response,
    stream::{Config, DiscardPolicy, Info, RetentionPolicy, StorageType},
};
use serde::Serialize;
use serde_json::Value;
use tokio::time::timeout;
use tracing::{info, warn};

use super::{
    config::ClusterConfig,
    error::{ClusterError, ClusterErrorKind, NotDone},
};
use crate::clock::instant;

/// Makes and checks streams.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    jetstream: Context,
    /// How many servers are to keep each, if that was given.
    replicas: Option<usize>,
    /// Whose account the streams are in.
    user: String,
    off: Arc<Off>,
    /// Since when JetStream is known to have too few servers.
    short_since: Arc<OnceLock<Instant>>,
    /// That was said: once for all streams.
    is_told: Arc<AtomicBool>,
}

/// Since when JetStream has said nothing but that it is off for the account.
#[derive(Debug, Default)]
struct Off(Mutex<Option<Instant>>);

impl Streams {
    pub(crate) fn new(jetstream: Context, config: &ClusterConfig) -> Self {
        Self {
            jetstream,
            replicas: config.replicas,
            user: config.user(),
            off: Arc::default(),
            short_since: Arc::default(),
            is_told: Arc::default(),
        }
    }

    /// Makes a stream if it is missing: kept by as many servers as were asked for, or by three, and where there are not
    /// so many by the most that is odd. One that is there has to be as `wanted`; but where it lies, how it is compressed, and on
    /// how many servers if no number was given, is the operator's choice.
    ///
    /// # Errors
    ///
    /// [`NotDone`]. It may be tried again after `NotNow`.
    pub(crate) async fn ensure(&self, mut wanted: Config) -> Result<(), NotDone> {
        wanted.num_replicas = self.replicas.unwrap_or(USUAL_REPLICAS);
        if let Some(found) = self.find(&wanted.name).await? {
            return self.use_found(&wanted, &found).await;
        }
        let asked = wanted.num_replicas;
        let mut made = self.create(&wanted).await?;
        while let Response::Err { error } = &made
            && TOO_FEW_SERVERS.contains(&error.error_code())
            && wanted.num_replicas > 1
        {
            // The others may be about to start, unless there are none.
            let is_single = error.error_code() == ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED;
            if !is_single && self.short_since.get_or_init(instant).elapsed() < OTHERS_START_WITHIN {
                return Err(NotDone::NotNow(format!("cannot make the stream {}: {error}", wanted.name)));
            }
            wanted.metadata.insert(REPLICAS_ASKED.to_owned(), asked.to_string());
            wanted.num_replicas = if is_single { 1 } else { fewer(wanted.num_replicas) };
            made = self.create(&wanted).await?;
        }
        match made {
            Response::Ok(_) => {
                if wanted.num_replicas < asked {
                    self.tell_that_it_is_short(asked, wanted.num_replicas);
                }
                Ok(())
            }
            // Another node was faster.
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NAME_EXIST => {
                let found = self.find(&wanted.name).await?;
                let found =
                    found.ok_or_else(|| NotDone::NotNow(format!("the stream {} is gone again", wanted.name)))?;
                wanted.num_replicas = self.replicas.unwrap_or(USUAL_REPLICAS);
                self.use_found(&wanted, &found).await
            }
            Response::Err { error } if error.code() == 503 => {
                Err(NotDone::NotNow(format!("cannot make the stream {}: {error}", wanted.name)))
            }
            Response::Err { error } => Err(fault(format!("cannot make the stream {}: {error}", wanted.name))),
        }
    }

    /// Whether there is a stream of this name.
    ///
    /// # Errors
    ///
    /// [`NotDone`].
    pub(crate) async fn has(&self, name: &str) -> Result<bool, NotDone> {
        Ok(self.find(name).await?.is_some())
    }

    fn tell_that_it_is_short(&self, wanted: usize, replicas: usize) {
        if !self.is_told.swap(true, Ordering::Relaxed) {
            let asked = if self.replicas.is_some() { "asked for" } else { "usual" };
            warn!(
                "JetStream had fewer servers than the {wanted} replicas that are {asked} when the cluster was made: what it stores \
                 has {replicas}"
            );
        }
    }

    async fn find(&self, name: &str) -> Result<Option<Info>, NotDone> {
        match self.ask::<Info>(format!("STREAM.INFO.{name}"), &()).await? {
            Response::Ok(info) => Ok(Some(info)),
            Response::Err { error } if error.error_code() == ErrorCode::STREAM_NOT_FOUND => Ok(None),
            Response::Err { error } if error.code() == 503 => Err(NotDone::NotNow(error.to_string())),
            Response::Err { error } => Err(fault(format!("cannot read the stream {name}: {error}"))),
        }
    }

    async fn create(&self, config: &Config) -> Result<Response<Info>, NotDone> {
        self.ask(format!("STREAM.CREATE.{}", config.name), config).await
    }

    async fn ask<T: serde::de::DeserializeOwned>(
        &self,
        subject: String,
        payload: &impl Serialize,
    ) -> Result<Response<T>, NotDone> {
        let answered = timeout(ANSWER, self.jetstream.request(subject, payload)).await;
        let says_off = |error: &Error| error.error_code() == ErrorCode::JETSTREAM_NOT_ENABLED_FOR_ACCOUNT;
        let is_off = matches!(&answered, Ok(Ok(Response::Err { error })) if says_off(error));
        let stays_off = self.off.stays(is_off);
        match answered {
            Ok(Ok(Response::Err { error })) if is_off => {
                let what = format!("NATS has JetStream off for the account of {}: {error}", self.user);
                Err(if stays_off {
                    ClusterError::new(ClusterErrorKind::Unsuitable, what).into()
                } else {
                    NotDone::NotNow(what)
                })
            }
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(NotDone::NotNow(format!("JetStream does not answer: {error}"))),
            Err(_) => Err(NotDone::NotNow("JetStream does not answer".to_owned())),
        }
    }

    /// A stream that is there is used if it is as wanted. Earlier versions made streams that know repeats for a shorter time:
    /// one where that cannot be changed is used all the same.
    async fn use_found(&self, wanted: &Config, found: &Info) -> Result<(), NotDone> {
        self.check(wanted, found)?;
        let (name, window) = (&wanted.name, wanted.duplicate_window);
        let known_for = found.config.duplicate_window;
        if known_for < window {
            match self.set_duplicate_window(name, window).await {
                Ok(()) => info!("the stream {name} knows what comes again for {window:?} now"),
                Err(why) => warn!(
                    "the stream {name} knows what comes again for {known_for:?} only, and not for {window:?}: where a server of \
                     NATS hangs for longer, something may be stored twice: {why}"
                ),
            }
        }
        Ok(())
    }

    async fn set_duplicate_window(&self, name: &str, window: Duration) -> Result<(), NotDone> {
        // All settings as NATS says them: it may have some that this server does not know.
        let mut config = match self.ask::<Value>(format!("STREAM.INFO.{name}"), &()).await? {
            Response::Ok(mut info) => info["config"].take(),
            Response::Err { error } => return Err(NotDone::NotNow(error.to_string())),
        };
        config["duplicate_window"] = u64::try_from(window.as_nanos()).unwrap_or(u64::MAX).into();
        match self.ask::<Value>(format!("STREAM.UPDATE.{name}"), &config).await? {
            Response::Ok(_) => Ok(()),
            Response::Err { error } => Err(NotDone::NotNow(error.to_string())),
        }
    }

    fn check(&self, wanted: &Config, found: &Info) -> Result<(), NotDone> {
        let found = &found.config;
        let mut differences = Vec::new();
        let mut compare = |what: &str, found: &dyn Debug, wanted: &dyn Debug| {
            let (found, wanted) = (format!("{found:?}"), format!("{wanted:?}"));
            if found != wanted {
                differences.push(format!("{what} is {found}, and has to be {wanted}"));
            }
        };
        macro_rules! compare {
            ($($field:ident)*) => {$(compare(stringify!($field), &found.$field, &wanted.$field);)*};
        }
        compare! {
            subjects retention discard max_messages_per_subject max_messages max_bytes max_age storage allow_rollup deny_delete
            deny_purge allow_direct allow_message_ttl subject_delete_marker_ttl no_ack sealed
        }
        let asked = found.metadata.get(REPLICAS_ASKED).and_then(|asked| asked.parse().ok());
        match self.replicas {
            Some(number) if number == found.num_replicas => {}
            Some(number) if asked == Some(number) => self.tell_that_it_is_short(number, found.num_replicas),
            Some(number) => compare("num_replicas", &found.num_replicas, &number),
            None => {}
        }
        if differences.is_empty() {
            return Ok(());
        }
        Err(fault(format!("the stream {} is not this cluster's: {}", found.name, differences.join("; "))))
    }
}

impl Off {
    /// Takes note of what came of a request. Says whether JetStream has been off for so long that it will stay so: a server that
    /// is about to end says it too, and so may the next one, much later.
    fn stays(&self, is_off: bool) -> bool {
        let mut since = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if !is_off {
            *since = None;
            return false;
        }
        let now = instant();
        now.duration_since(*since.get_or_insert(now)) >= OFF_FOR
    }
}

/// A stream of files without limits, whose messages go with `max_age` if that is not zero.
pub(crate) fn stream(name: String, subject: String) -> Config {
    Config {
        name,
        subjects: vec![subject],
        max_bytes: -1,
        max_messages: -1,
        max_messages_per_subject: -1,
        max_consumers: -1,
        discard: DiscardPolicy::Old,
        retention: RetentionPolicy::Limits,
        storage: StorageType::File,
        allow_direct: true,
        metadata: HashMap::new(),
        ..Config::default()
    }
}

/// A key-value bucket, which keeps one value of each key. Values may say after what time they go.
pub(crate) fn bucket(name: &str) -> Config {
    Config {
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        allow_rollup: true,
        deny_delete: true,
        allow_message_ttl: true,
        ..stream(format!("KV_{name}"), format!("$KV.{name}.>"))
    }
}

/// The next smaller number of replicas that is worth its servers: an even one outlives no more of them than the odd one below.
fn fewer(replicas: usize) -> usize {
    if replicas.is_multiple_of(2) { replicas - 1 } else { replicas.saturating_sub(2).max(1) }
}

fn fault(what: String) -> NotDone {
    ClusterError::new(ClusterErrorKind::Streams, what).into()
}

/// How long the marker of a removed key stays, so that every node hears of it.
pub(crate) const MARKERS_STAY: Duration = Duration::from_secs(10 * 60);

/// How many servers keep a stream if nobody says how many.
const USUAL_REPLICAS: usize = 3;

/// What a stream says of itself that has fewer replicas than it was to have.
const REPLICAS_ASKED: &str = "rtm_replicas_asked";

/// The errors of a JetStream that has too few servers: not clustered, no peers, not enough of something.
const TOO_FEW_SERVERS: [ErrorCode; 3] =
    [ErrorCode::STREAM_REPLICAS_NOT_SUPPORTED, ErrorCode::CLUSTER_NO_PEERS, ErrorCode::INSUFFICIENT_RESOURCES];

/// How long the other servers of a clustered JetStream have to start.
const OTHERS_START_WITHIN: Duration = Duration::from_secs(10);

/// An account without JetStream for so long has none.
const OFF_FOR: Duration = Duration::from_secs(2);

/// How long JetStream has for an answer.
const ANSWER: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fewer_replicas_are_odd() {
        assert_eq!([5, 4, 3, 2].map(fewer), [3, 3, 1, 1]);
    }

    #[tokio::test(start_paused = true)]
    async fn an_account_has_no_jetstream_if_nothing_else_is_said_for_two_seconds() {
        let off = Off::default();
        assert!(!off.stays(true));
        tokio::time::advance(OFF_FOR).await;
        assert!(off.stays(true));

        let off = Off::default();
        for _ in 0..2 {
            assert!(!off.stays(true), "a server that ends is not the one that ended before");
            tokio::time::advance(OFF_FOR).await;
            assert!(!off.stays(false));
        }
    }
}
