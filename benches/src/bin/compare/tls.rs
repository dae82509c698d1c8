//! TLS on both sides: a certificate of this process, and what clients trust.

use std::{
    path::{Path, PathBuf},
    sync::{Arc, OnceLock},
};

use anyhow::Context as _;
use rcgen::{CertifiedKey, KeyPair};
use rustls::{ClientConfig, RootCertStore, client::Resumption, crypto::ring};

/// Writes certificate and key for a server into a folder.
pub(crate) fn write(folder: &Path) -> anyhow::Result<(PathBuf, PathBuf)> {
    let CertifiedKey { cert, signing_key } = identity()?;
    let (certificate, key) = (folder.join("certificate.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, cert.pem())?;
    std::fs::write(&key, signing_key.serialize_pem())?;
    Ok((certificate, key))
}

/// The certificate as a text, which clients of ours trust, and no other.
pub(crate) fn certificate() -> anyhow::Result<String> {
    Ok(identity()?.cert.pem())
}

/// The same for clients of NATS, which would otherwise read the system's certificates whenever they connect. Each makes a whole
/// handshake, as users on devices of their own do.
pub(crate) fn client() -> anyhow::Result<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(identity()?.cert.der().clone())?;
    let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    config.resumption = Resumption::disabled();
    Ok(config)
}

fn identity() -> anyhow::Result<&'static CertifiedKey<KeyPair>> {
    static IDENTITY: OnceLock<Option<CertifiedKey<KeyPair>>> = OnceLock::new();
    let make = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).ok();
    IDENTITY.get_or_init(make).as_ref().context("cannot make a certificate")
}
