//! What back ends are told and asked, as the configuration says.

#[cfg(feature = "webhooks")]
use std::{collections::BTreeMap, fs, path::PathBuf};

#[cfg(feature = "webhooks")]
use sha2::{Digest as _, Sha256};

#[cfg(feature = "webhooks")]
use crate::webhooks::{
    self,
    config::{HookConfig, HookTarget},
};
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

/// What tells the contents of files from others, by the keys of the configuration that name the files.
#[cfg(feature = "webhooks")]
pub(super) type Digests = BTreeMap<String, [u8; 32]>;

/// Those of all files that webhooks and hooks name. One that cannot be read is left out.
#[cfg(feature = "webhooks")]
pub(super) async fn digests(hooks: &[HookConfig]) -> Digests {
    let files: Vec<_> = hooks.iter().flat_map(files).collect();
    let read = |(key, path): (String, PathBuf)| Some((key, Sha256::digest(fs::read(path).ok()?).into()));
    let reading = tokio::task::spawn_blocking(move || files.into_iter().filter_map(read).collect());
    reading.await.unwrap_or_default()
}

/// The keys of the files that have something else in them than before.
#[cfg(feature = "webhooks")]
pub(super) fn others(before: &Digests, after: &Digests) -> impl Iterator<Item = String> {
    let is_other = move |(key, digest): &(&String, &[u8; 32])| before.get(*key).is_some_and(|before| before != *digest);
    after.iter().filter(is_other).map(|(key, _)| key.clone())
}

/// The files of a project's webhooks and hooks, by the keys that name them.
#[cfg(feature = "webhooks")]
fn files(config: &HookConfig) -> Vec<(String, PathBuf)> {
    let webhooks = config.webhooks.iter().map(|webhook| &webhook.target).enumerate();
    let webhooks = webhooks.map(|(place, target)| (format!("webhook[{place}]"), target));
    let hooks = config.hooks.iter().map(|hook| &hook.target).enumerate();
    let hooks = hooks.map(|(place, target)| (format!("hook[{place}]"), target));
    let files = |(of, target): (String, &HookTarget)| {
        let HookTarget { ca_file, client_certificate, client_key, .. } = target;
        let named = [("ca_file", ca_file), ("client_certificate", client_certificate), ("client_key", client_key)];
        named.map(|(name, path)| Some((format!("project[{}].{of}.{name}", config.app_id), path.clone()?)))
    };
    webhooks.chain(hooks).flat_map(files).flatten().collect()
}
