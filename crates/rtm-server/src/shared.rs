//! What all connections of a server share, and who is on the other side of one.

use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rtm_codec::AppId;
use tokio::sync::{Notify, futures::OwnedNotified};

use crate::{
    admission::{Admission, Admitted},
    config::Advertise,
    project::Project,
    tasks::Tasks,
};

/// What all connections of a server share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) handshake_timeout: Duration,
    pub(crate) login_timeout: Duration,
    pub(crate) advertise: Option<Advertise>,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) admission: Arc<Admission>,
    pub(crate) projects: BTreeMap<AppId, Arc<Project>>,
    pub(crate) draining: Draining,
}

/// Whether the server is going down.
#[derive(Debug, Default)]
pub(crate) struct Draining {
    has_begun: AtomicBool,
    begins: Arc<Notify>,
}

/// The other side of a connection.
#[derive(Debug)]
pub(crate) struct Remote {
    pub(crate) address: SocketAddr,
    /// The address of this server that it connected to.
    pub(crate) local: SocketAddr,
    pub(crate) tls: bool,
    pub(crate) admitted: Admitted,
}

impl Shared {
    pub(crate) fn project(&self, app_id: &AppId) -> Option<Arc<Project>> {
        self.projects.get(app_id).map(Arc::clone)
    }
}

impl Draining {
    pub(crate) fn begin(&self) {
        self.has_begun.store(true, Ordering::Relaxed);
        self.begins.notify_waiters();
    }

    pub(crate) fn has_begun(&self) -> bool {
        self.has_begun.load(Ordering::Relaxed)
    }

    /// Ends when the server begins to go down; not for whoever asks after that.
    pub(crate) fn begins(&self) -> OwnedNotified {
        Arc::clone(&self.begins).notified_owned()
    }
}
