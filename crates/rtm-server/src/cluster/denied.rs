//! What NATS does not permit, as it says itself: a denied request gets no answer, so that it would be waited for without end.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::{ClusterError, ClusterErrorKind};

/// What NATS has denied, on any of the connections that share this.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    who: Arc<str>,
    /// What it said, once for each thing, in order.
    said: watch::Sender<Vec<String>>,
}

impl Denied {
    /// Nothing yet. `who` names whose permissions they are.
    pub(crate) fn new(who: &str) -> Self {
        Self { who: who.into(), said: watch::Sender::default() }
    }

    /// Takes note of an error that NATS tells.
    pub(crate) fn note(&self, error: &str) {
        if !error.get(..VIOLATION.len()).is_some_and(|start| start.eq_ignore_ascii_case(VIOLATION)) {
            return;
        }
        self.said.send_if_modified(|said| {
            let is_new = said.len() < MOST_THINGS && said.iter().all(|known| thing(known) != thing(error));
            if is_new {
                said.push(error.to_owned());
            }
            is_new
        });
    }

    /// What was denied first, if anything was.
    pub(crate) fn error(&self) -> Option<ClusterError> {
        self.nth(0)
    }

    /// Waits until something is denied.
    pub(crate) async fn wait(&self) -> ClusterError {
        self.wait_beyond(0).await
    }

    /// Waits until so many things and one more are denied, and tells that one.
    pub(crate) async fn wait_beyond(&self, before: usize) -> ClusterError {
        let mut said = self.said.subscribe();
        loop {
            if let Some(error) = self.nth(before) {
                return error;
            }
            if said.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    fn nth(&self, number: usize) -> Option<ClusterError> {
        let said = self.said.borrow();
        let what = format!("NATS denies {} what the cluster needs: {}", self.who, said.get(number)?);
        Some(ClusterError::new(ClusterErrorKind::Refused, what))
    }
}

/// What is denied, without what differs from one user or channel to the next: those are the same permission.
fn thing(error: &str) -> &str {
    let subject = error.find('"').map_or(0, |quote| quote + 1);
    let parts = match error.get(subject..) {
        Some(api) if api.starts_with("$JS.") => 4,
        Some(bucket) if bucket.starts_with('$') => 2,
        _ => 1,
    };
    let end = error.match_indices('.').map(|(at, _)| at).filter(|at| *at >= subject).nth(parts - 1);
    end.and_then(|end| error.get(..end)).unwrap_or(error)
}

/// What the errors of NATS begin with that are about permissions.
const VIOLATION: &str = "permissions violation";
/// More than a cluster has subjects: what NATS says is to take no memory without a bound.
const MOST_THINGS: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_first_thing_that_is_denied_is_told() {
        let denied = Denied::new("the user rtm");
        denied.note("Slow Consumer");
        assert_eq!(denied.error(), None);
        denied.clone().note("Permissions Violation for Publish to \"a\"");
        denied.note("Permissions Violation for Publish to \"b\"");
        let said = denied.wait().await;
        assert_eq!(said.kind(), ClusterErrorKind::Refused);
        assert_eq!(
            said.to_string(),
            "NATS denies the user rtm what the cluster needs: Permissions Violation for Publish to \"a\""
        );
    }

    #[tokio::test]
    async fn each_thing_that_is_denied_is_told_once() {
        let denied = Denied::new("the user rtm");
        let told = [
            "Publish to \"rtm_main_mail.app.alice\"",
            "Subscription to \"rtm_main_mail.>\"",
            "Publish to \"$JS.API.STREAM.INFO.rtm_main_mail\"",
            "Publish to \"$JS.API.STREAM.CREATE.rtm_main_mail\"",
            "Publish to \"$KV.rtm_main_nodes.view\"",
            "Publish to \"$KV.rtm_main_users.app.alice\"",
        ];
        let again = [
            "Publish to \"rtm_main_mail.app.bob\"",
            "Publish to \"$JS.API.STREAM.INFO.KV_rtm_main_users\"",
            "Publish to \"$KV.rtm_main_users.app.bob\"",
        ];
        told.iter().chain(&again).for_each(|what| denied.note(&format!("Permissions Violation for {what}")));
        for (number, what) in told.iter().enumerate() {
            assert!(denied.wait_beyond(number).await.to_string().ends_with(what), "{number}");
        }
        assert_eq!(denied.nth(told.len()), None);
        (0..1000).for_each(|number| denied.note(&format!("Permissions Violation for Publish to \"{number}\"")));
        assert_eq!(denied.said.borrow().len(), MOST_THINGS);
    }
}
