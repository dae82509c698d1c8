//! What all connections go by and a reload replaces, all of it at once.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use rtm_codec::AppId;

#[cfg(feature = "rest")]
use crate::config::RestConfig;
#[cfg(feature = "webhooks")]
use crate::webhooks::endpoints::Webhooks;
use crate::{
    client_address::Proxies,
    config::{Advertise, ServerConfig},
    gate::Judges,
    workers::Workers,
};

/// The settings that connections go by, and the projects.
#[derive(Debug)]
pub(crate) struct Live {
    pub(crate) handshake_timeout: Duration,
    pub(crate) login_timeout: Duration,
    pub(crate) advertise: Option<Advertise>,
    pub(crate) proxies: Proxies,
    #[cfg(feature = "rest")]
    pub(crate) rest: RestConfig,
    pub(crate) projects: BTreeMap<AppId, Arc<Workers>>,
    /// Who decides about what the clients of a project do.
    pub(crate) judges: Judges,
    /// The endpoints that are told what happens.
    #[cfg(feature = "webhooks")]
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody looks at them"))]
    pub(crate) webhooks: Webhooks,
}

impl Live {
    pub(crate) fn new(config: &ServerConfig, projects: BTreeMap<AppId, Arc<Workers>>, judges: Judges) -> Self {
        Self {
            handshake_timeout: config.handshake_timeout,
            login_timeout: config.login_timeout,
            advertise: config.advertise.clone(),
            proxies: Proxies { trusted: config.trusted_proxies.clone(), told_by: config.client_address },
            #[cfg(feature = "rest")]
            rest: config.rest.clone(),
            projects,
            judges,
            #[cfg(feature = "webhooks")]
            webhooks: Webhooks::new(),
        }
    }
}
