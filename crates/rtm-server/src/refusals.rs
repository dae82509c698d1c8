//! Refused logins: told to the operator, counted for their project, and held against the address they come from.

use std::sync::atomic::Ordering;

use rtm_codec::{ErrorKind, Refusal};
use tracing::warn;

use crate::{
    admission::{Admission, News},
    clock::instant,
    project::Project,
    shared::{Guest, Shared},
};

/// Logs and counts a refused login of either wire, with its project and user as far as they could be read. A refusal never
/// contains a token.
pub(crate) fn login_refused(
    shared: &Shared,
    guest: &Guest,
    project: Option<&Project>,
    user_id: Option<&str>,
    refusal: &Refusal,
) {
    project.map_or(&shared.refused_logins, Project::refused_logins).fetch_add(1, Ordering::Relaxed);
    let News { suppressed, locks } = guest.admitted.login_refused(refusal.kind, instant());
    let address = guest.admitted.address();
    let shown = address.map(tracing::field::display);
    if let Some(suppressed) = suppressed {
        let app_id = project.map(|project| project.app_id().as_str());
        warn!(address = shown, app_id, user = user_id, reason = %refusal, suppressed, "a login is refused");
    }
    if let Some(wait) = locks {
        warn!(
            address = shown,
            seconds = wait.as_secs_f64().ceil(),
            "too many logins from this address were refused: the server refuses all further ones for this time without \
             looking at them. If the address is a proxy's or many users share it, set refused_logins_per_address"
        );
        let admission = guest.admitted.admission();
        tokio::spawn(async move {
            if let Some(unseen) = Admission::unlocked(admission, address).await {
                warn!(
                    address = address.map(tracing::field::display),
                    unseen, "logins from this address are accepted again"
                );
            }
        });
    }
}

/// The refusal of a login from a locked address.
pub(crate) fn too_many_refused() -> Refusal {
    Refusal::new(ErrorKind::TooOften, "too many logins from this address were refused")
}
