//! TLS on both sides: a certificate of this process, and what clients trust.

use std::{
    fs::File,
    io::Write as _,
    os::fd::AsRawFd as _,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use anyhow::Context as _;
use rcgen::{CertifiedKey, KeyPair};
use rustls::crypto::ring;

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

/// A file with this certificate, for clients of NATS. With a file they read no other certificate; with a TLS configuration they would
/// read the system's whenever they connect. Each makes a whole handshake, as users on devices of their own do.
pub(crate) fn certificate_file() -> anyhow::Result<PathBuf> {
    static FILE: OnceLock<Option<File>> = OnceLock::new();
    // It has no name that would have to be removed.
    let make = || {
        let mut file = tempfile::tempfile().ok()?;
        file.write_all(certificate().ok()?.as_bytes()).ok()?;
        // Another one may be there already.
        let _ = ring::default_provider().install_default();
        Some(file)
    };
    let file = FILE.get_or_init(make).as_ref().context("cannot write a certificate")?;
    Ok(format!("/proc/self/fd/{}", file.as_raw_fd()).into())
}

fn identity() -> anyhow::Result<&'static CertifiedKey<KeyPair>> {
    static IDENTITY: OnceLock<Option<CertifiedKey<KeyPair>>> = OnceLock::new();
    let make = || rcgen::generate_simple_self_signed(["127.0.0.1".to_owned()]).ok();
    IDENTITY.get_or_init(make).as_ref().context("cannot make a certificate")
}
