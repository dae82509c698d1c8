//! How many bytes the store keeps of a project. JetStream knows that of whole streams alone, so the records of the project are read.

use rtm_codec::AppId;
use rtm_core::store::{LogKey, LogKind, StateKind, StoreAnswer, StoredBytes};
use tokio::time::Instant;

use super::{
    Failure, NatsStore,
    jetstream::{Found, Start},
    logs::EXPIRY,
    scan::Scan,
    state::record_bytes,
};

impl NatsStore {
    pub(super) async fn measure(&self, app_id: &AppId, until: Instant) -> Result<StoreAnswer, Failure> {
        let until = until.max(Instant::now() + EXPIRY);
        let mut measured = StoredBytes::default();
        for kind in LogKind::ALL {
            let filter = match kind.only_log() {
                Some(log) => self.subjects.log(app_id, &log),
                None => self.subjects.logs_of(app_id, kind),
            };
            let record = |found: &Found| found.payload.len();
            *measured.log(kind) = self.sum(self.subjects.log_stream(kind), &filter, record, until).await?;
        }
        for kind in StateKind::ALL {
            if let Some(bytes) = measured.state(kind) {
                let filter = self.subjects.keys_of(Some(app_id), kind);
                *bytes = self.sum(self.subjects.state_stream(), &filter, record_bytes, until).await?;
            }
        }
        Ok(StoreAnswer::Measured(measured))
    }

    /// How many bytes the events of a project have.
    pub(super) async fn event_bytes(&self, app_id: &AppId, until: Instant) -> Result<u64, Failure> {
        let subject = self.subjects.log(app_id, &LogKey::Events);
        self.sum(self.subjects.log_stream(LogKind::Events), &subject, |found| found.payload.len(), until).await
    }

    /// What all messages that a filter matches have together.
    async fn sum(
        &self,
        stream: &str,
        filter: &str,
        bytes: impl Fn(&Found) -> usize,
        until: Instant,
    ) -> Result<u64, Failure> {
        let Some(last) = self.jetstream.last(stream, filter, until).await? else { return Ok(0) };
        let mut scan = Scan::new(&self.jetstream, stream, filter, Start::At(1), last.seq, until);
        let mut sum = 0;
        while let Some(found) = scan.next().await? {
            sum += bytes(&found) as u64;
        }
        Ok(sum)
    }
}
