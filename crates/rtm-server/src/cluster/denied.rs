//! What NATS does not permit, as it says itself: a denied request gets no answer, so that it would be waited for without end.

use std::sync::Arc;

use tokio::sync::watch;

use super::error::{ClusterError, ClusterErrorKind};

/// What NATS has denied first, on any of the connections that share this.
#[derive(Debug, Clone)]
pub(crate) struct Denied {
    who: Arc<str>,
    first: watch::Sender<Option<String>>,
}

impl Denied {
    /// Nothing yet. `who` names whose permissions they are.
    pub(crate) fn new(who: &str) -> Self {
        Self { who: who.into(), first: watch::Sender::new(None) }
    }

    /// Takes note of an error that NATS tells.
    pub(crate) fn note(&self, error: &str) {
        let is_denial = error.get(..VIOLATION.len()).is_some_and(|start| start.eq_ignore_ascii_case(VIOLATION));
        self.first.send_if_modified(|first| {
            let is_first = is_denial && first.is_none();
            if is_first {
                *first = Some(error.to_owned());
            }
            is_first
        });
    }

    /// What was denied, if anything was.
    pub(crate) fn error(&self) -> Option<ClusterError> {
        let first = self.first.borrow();
        let first = first.as_ref()?;
        let what = format!("NATS denies {} what the cluster needs: {first}", self.who);
        Some(ClusterError::new(ClusterErrorKind::Refused, what))
    }

    /// Waits until something is denied.
    pub(crate) async fn wait(&self) -> ClusterError {
        let mut first = self.first.subscribe();
        loop {
            if let Some(error) = self.error() {
                return error;
            }
            if first.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }
}

/// What the errors of NATS begin with that are about permissions.
const VIOLATION: &str = "permissions violation";

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
}
