//! What back ends are told and asked, as the configuration says.

#[cfg(feature = "webhooks")]
use crate::webhooks;
use crate::{config::ServerConfig, error::ServerError, gate::Judges};

/// Those who decide about what clients do, by project. Reads the files that the configuration names.
pub(super) async fn judges(config: &ServerConfig, before: &Judges) -> Result<Judges, ServerError> {
    #[cfg(feature = "webhooks")]
    let judges = webhooks::hooks::judges(config.hooks.clone(), before).await?;
    #[cfg(not(feature = "webhooks"))]
    let judges = {
        let _ = (config, before);
        Judges::new()
    };
    Ok(judges)
}
