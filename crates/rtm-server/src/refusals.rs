//! Refused logins: told to the operator, counted for their project, and held against the address they come from.

use std::{fmt, sync::atomic::Ordering};

use rtm_codec::ErrorKind;
use tracing::warn;

use crate::{
    admission::{Admission, News},
    clock::instant,
    project::Project,
    shared::{Remote, Shared},
    store::Customer as _,
};

/// A login that is refused, on either wire.
pub(crate) struct RefusedLogin<'a> {
    /// The project of this server that it is for, if it names one.
    pub(crate) project: Option<&'a Project>,
    /// Who wants to log in, as far as that can be read.
    pub(crate) user_id: Option<&'a str>,
    pub(crate) kind: ErrorKind,
    /// Why, in words; never a token.
    pub(crate) reason: &'a dyn fmt::Display,
}

/// Tells the operator, and counts.
pub(crate) fn login_refused(shared: &Shared, remote: &Remote, login: &RefusedLogin<'_>) {
    login.project.map_or(&shared.refused_logins, Project::refused_logins).fetch_add(1, Ordering::Relaxed);
    let News { unlogged, locks } = remote.admitted.login_refused(login.kind, instant());
    let address = remote.admitted.address();
    if let Some(unlogged) = unlogged {
        let RefusedLogin { project, user_id, reason, .. } = login;
        let app_id = project.map(|project| project.app_id().as_str());
        warn!(%address, app_id, user = user_id, %reason, unlogged, "a login is refused");
    }
    if let Some(wait) = locks {
        warn!(
            %address, seconds = wait.as_secs_f64().ceil(),
            "too many logins from this address were refused: all further ones are for this time, unseen. If it is a \
             proxy, or shared by many users, set refused_logins_per_address"
        );
        let admission = remote.admitted.admission();
        tokio::spawn(async move {
            if let Some(unseen) = Admission::unlocked(admission, address).await {
                warn!(%address, unseen, "logins from this address are looked at again");
            }
        });
    }
}
