//! TLS for listeners: certificates by name, loaded anew when their files change.

#[cfg(feature = "admin")]
use std::{collections::BTreeSet, net::IpAddr};
use std::{
    fmt,
    path::{Path, PathBuf},
    str::FromStr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _, verify_server_name},
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::{ClientHello, ParsedCertificate, ResolvesServerCert, WebPkiClientVerifier},
    sign::CertifiedKey,
};
use tokio::{task::spawn_blocking, time::sleep};
use tokio_rustls::TlsAcceptor;
use tracing::{info, warn};

use crate::error::ServerError;

/// How a listener speaks TLS.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct TlsConfig {
    /// The certificates and their keys. A client is shown the first that is for the name it asks for, and else the first.
    pub certificates: Vec<TlsFiles>,
    /// A PEM file with certificates of authorities: every client has to have a certificate of one of them. By default none
    /// has to.
    pub client_ca: Option<PathBuf>,
    /// The oldest version that is spoken (1.2).
    pub min_version: TlsVersion,
}

/// The files of a TLS certificate and its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TlsVersion {
    /// TLS 1.2.
    #[default]
    V1_2,
    /// TLS 1.3.
    V1_3,
}

/// The text is the name of no version of TLS that is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a version of TLS is \"1.2\" or \"1.3\"")]
#[non_exhaustive]
pub struct UnknownTlsVersion;

impl TlsFiles {
    /// The PEM file with the certificate, and the chain that leads to it, and the one with its private key.
    pub fn new(certificate: impl Into<PathBuf>, key: impl Into<PathBuf>) -> Self {
        Self { certificate: certificate.into(), key: key.into() }
    }

    /// The file with the certificate.
    #[must_use]
    pub fn certificate(&self) -> &Path {
        &self.certificate
    }

    /// The file with the private key.
    #[must_use]
    pub fn key(&self) -> &Path {
        &self.key
    }
}

impl TlsConfig {
    /// With these certificates, and the defaults.
    #[must_use]
    pub fn new(certificates: Vec<TlsFiles>) -> Self {
        Self { certificates, client_ca: None, min_version: TlsVersion::default() }
    }

    /// Reads the files, as a server does when it starts, and logs a warning for a certificate that clients would refuse.
    /// `section` is where it stands in the configuration: `tls` or `admin.tls`. Blocks.
    ///
    /// # Errors
    ///
    /// [`ServerError::Tls`] names the file that is missing or invalid, or the key that does not belong to the certificate.
    pub fn check(&self, section: &'static str) -> Result<(), ServerError> {
        Loaded::read(self, section).map(drop)
    }
}

impl From<TlsFiles> for TlsConfig {
    fn from(files: TlsFiles) -> Self {
        Self::new(vec![files])
    }
}

impl TlsVersion {
    /// Its number.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::V1_2 => "1.2",
            Self::V1_3 => "1.3",
        }
    }
}

impl fmt::Display for TlsVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for TlsVersion {
    type Err = UnknownTlsVersion;

    fn from_str(text: &str) -> Result<Self, UnknownTlsVersion> {
        [Self::V1_2, Self::V1_3].into_iter().find(|version| version.as_str() == text).ok_or(UnknownTlsVersion)
    }
}

/// The certificates that are shown to clients. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Tls(Arc<Mutex<Loaded>>);

/// What was read from the files.
pub(crate) struct Loaded {
    config: TlsConfig,
    /// Where that stands in the configuration.
    section: &'static str,
    acceptor: TlsAcceptor,
    chains: Vec<Vec<CertificateDer<'static>>>,
    /// Of which clients need a certificate; none, if they need none.
    authorities: Vec<CertificateDer<'static>>,
    /// What the files looked like before they were last read.
    seen: Stamp,
}

/// The times and sizes of the files, as far as they are there.
type Stamp = Vec<Option<(SystemTime, u64)>>;

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("config", &self.config).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files and makes ready to accept. Blocks.
    pub(crate) fn load(config: &TlsConfig, section: &'static str) -> Result<Self, ServerError> {
        Ok(Self(Arc::new(Mutex::new(Loaded::read(config, section)?))))
    }

    /// What accepts connections now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.loaded().acceptor.clone()
    }

    /// Whether the first certificate is out of date, which is shown to all who ask for no name of another.
    pub(crate) fn is_out_of_date(&self) -> bool {
        let first = self.loaded().chains.first().cloned();
        first.is_some_and(|chain| fault(&chain, UnixTime::now()).as_ref().is_some_and(is_out_of_date))
    }

    /// The SHA-256 of each certificate that is in use, in base64: by that who is told it beforehand knows the server.
    #[cfg(feature = "cluster")]
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        self.loaded().chains.iter().filter_map(|chain| chain.first()).map(fingerprint).collect()
    }

    /// When each certificate ends, in seconds since the Unix epoch, by its file.
    #[cfg(feature = "admin")]
    pub(crate) fn ends(&self) -> Vec<(String, u64)> {
        let loaded = self.loaded();
        let certificates = loaded.config.certificates.iter().zip(&loaded.chains);
        let end = |(files, chain): (&TlsFiles, &Vec<_>)| Some((files.certificate.display().to_string(), end(chain)?));
        certificates.filter_map(end).collect()
    }

    /// What stands in each certificate that is in use, and for which of these addresses it is.
    #[cfg(feature = "admin")]
    pub(crate) fn certificates(&self, addresses: &BTreeSet<IpAddr>) -> Vec<CertificateInfo> {
        let loaded = self.loaded();
        let all = loaded.config.certificates.iter().zip(&loaded.chains);
        all.map(|(files, chain)| CertificateInfo::new(files, chain, addresses)).collect()
    }

    /// Shows these from now on. Gives the keys of the configuration whose files have other certificates than before.
    pub(crate) fn replace(&self, loaded: Loaded) -> Vec<String> {
        let mut now = self.loaded();
        let section = loaded.section;
        let chains = now.chains.iter().zip(&loaded.chains).enumerate();
        let others = chains.filter(|(_, (before, after))| before != after);
        let mut keys: Vec<_> = others.map(|(place, _)| format!("{section}.{}certificate", pair(place))).collect();
        if now.authorities != loaded.authorities {
            keys.push(format!("{section}.client_ca"));
        }
        *now = loaded;
        keys
    }

    /// Reads the files again whenever they have changed, until it is dropped. Where they cannot be used, what was read before
    /// stays.
    pub(crate) async fn watch(self) {
        loop {
            sleep(LOOK_EVERY).await;
            let (config, section, seen) = {
                let loaded = self.loaded();
                (loaded.config.clone(), loaded.section, loaded.seen.clone())
            };
            let looked = spawn_blocking(move || {
                let stamp = stamp(&config);
                (stamp != seen).then(|| (Loaded::read(&config, section), config, stamp))
            });
            let Ok(Some((read, config, stamp))) = looked.await else { continue };
            let mut loaded = self.loaded();
            if loaded.config != config {
                // A reload has replaced it meanwhile.
                continue;
            }
            let names: Vec<_> = config.certificates.iter().map(|it| it.certificate.display().to_string()).collect();
            match read {
                Ok(new) => {
                    *loaded = new;
                    info!("the TLS certificate is loaded anew: {}", names.join(", "));
                }
                Err(error) => {
                    loaded.seen = stamp;
                    warn!("the TLS files have changed, and the old certificate stays in use: {error}");
                }
            }
        }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What stands in a certificate, as far as it could be read.
#[cfg(feature = "admin")]
#[derive(Debug)]
pub(crate) struct CertificateInfo {
    pub(crate) file: String,
    /// The host names that it is for, and those of the addresses asked about.
    pub(crate) names: Vec<String>,
    /// From when until when it is valid.
    pub(crate) from: Option<SystemTime>,
    pub(crate) until: Option<SystemTime>,
    /// Why clients would refuse it now.
    pub(crate) fault: Option<&'static str>,
}

#[cfg(feature = "admin")]
impl CertificateInfo {
    fn new(files: &TlsFiles, chain: &[CertificateDer<'static>], addresses: &BTreeSet<IpAddr>) -> Self {
        let time = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let read = chain.first().and_then(|der| webpki::EndEntityCert::try_from(der).ok());
        let names = read.iter().flat_map(|certificate| certificate.valid_dns_names()).map(ToOwned::to_owned);
        let parsed = chain.first().and_then(|der| ParsedCertificate::try_from(der).ok());
        let is_for = |address: &&IpAddr| {
            let name = ServerName::IpAddress((**address).into());
            parsed.as_ref().is_some_and(|certificate| verify_server_name(certificate, &name).is_ok())
        };
        Self {
            file: files.certificate.display().to_string(),
            names: names.chain(addresses.iter().filter(is_for).map(ToString::to_string)).collect(),
            from: start(chain).map(time),
            until: end(chain).map(time),
            fault: warning(chain),
        }
    }
}

impl Loaded {
    /// Reads all files of this section of the configuration. Blocks.
    pub(crate) fn read(config: &TlsConfig, section: &'static str) -> Result<Self, ServerError> {
        Self::read_files(config, section).map_err(|error| error.within(&format!("{section}.")))
    }

    fn read_files(config: &TlsConfig, section: &'static str) -> Result<Self, ServerError> {
        let seen = stamp(config);
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut keys = Vec::new();
        let mut chains = Vec::new();
        for (place, files) in config.certificates.iter().enumerate() {
            let of_pair = |error: ServerError| error.within(&pair(place));
            let chain = chain(&files.certificate, "certificate").map_err(of_pair)?;
            if let Some(warning) = warning(&chain) {
                warn!("{}: {warning}", files.certificate.display());
            }
            keys.push(Arc::new(certified(files, chain.clone(), &provider).map_err(of_pair)?));
            chains.push(chain);
        }
        let first = config.certificates.first().map(|files| files.certificate.clone()).unwrap_or_default();
        let fault = |what: String| unusable("certificate", &first, what);
        let versions: &[_] = match config.min_version {
            TlsVersion::V1_2 => &[&rustls::version::TLS13, &rustls::version::TLS12],
            TlsVersion::V1_3 => &[&rustls::version::TLS13],
        };
        let builder = rustls::ServerConfig::builder_with_provider(Arc::clone(&provider))
            .with_protocol_versions(versions)
            .map_err(|error| fault(error.to_string()))?;
        let mut authorities = Vec::new();
        let builder = match &config.client_ca {
            None => builder.with_no_client_auth(),
            Some(path) => {
                let fault = |what: String| unusable("client_ca", path, what);
                let mut roots = RootCertStore::empty();
                authorities = chain(path, "client_ca")?;
                for authority in &authorities {
                    roots.add(authority.clone()).map_err(|error| fault(error.to_string()))?;
                }
                let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
                builder.with_client_cert_verifier(verifier.build().map_err(|error| fault(error.to_string()))?)
            }
        };
        let mut tls = builder.with_cert_resolver(Arc::new(ByName(keys)));
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        let (config, acceptor) = (config.clone(), TlsAcceptor::from(Arc::new(tls)));
        Ok(Self { config, section, acceptor, chains, authorities, seen })
    }
}

/// What the keys of a certificate begin with in their section: the first stands there itself.
fn pair(place: usize) -> String {
    place.checked_sub(1).map(|more| format!("more[{more}].")).unwrap_or_default()
}

/// The certificates of a listener.
#[derive(Debug)]
struct ByName(Vec<Arc<CertifiedKey>>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, client: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = client.server_name().and_then(|name| ServerName::try_from(name).ok());
        let is_for = |key: &&Arc<CertifiedKey>| {
            let certificate = key.cert.first().and_then(|der| ParsedCertificate::try_from(der).ok());
            certificate
                .zip(name.as_ref())
                .is_some_and(|(certificate, name)| verify_server_name(&certificate, name).is_ok())
        };
        let named = if self.0.len() > 1 { self.0.iter().find(is_for) } else { None };
        named.or_else(|| self.0.first()).cloned()
    }
}

/// Reads the key of a certificate, and sees whether it is.
pub(crate) fn certified(
    files: &TlsFiles,
    chain: Vec<CertificateDer<'static>>,
    provider: &CryptoProvider,
) -> Result<CertifiedKey, ServerError> {
    let fault = |what: String| unusable("key", &files.key, what);
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault(error.to_string()))?;
    CertifiedKey::from_der(chain, key, provider).map_err(|error| fault(error.to_string()))
}

/// The SHA-256 of a certificate, in base64.
#[cfg(feature = "cluster")]
pub(crate) fn fingerprint(certificate: &CertificateDer<'_>) -> String {
    use base64::{Engine as _, engine::general_purpose::STANDARD_NO_PAD};
    use sha2::{Digest as _, Sha256};
    STANDARD_NO_PAD.encode(Sha256::digest(certificate))
}

fn is_out_of_date(fault: &CertificateError) -> bool {
    matches!(
        fault,
        CertificateError::Expired
            | CertificateError::ExpiredContext { .. }
            | CertificateError::NotValidYet
            | CertificateError::NotValidYetContext { .. }
    )
}

/// Why clients would refuse a certificate, even if they trust its issuer.
fn warning(chain: &[CertificateDer<'static>]) -> Option<&'static str> {
    match fault(chain, UnixTime::now())? {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some("it has expired"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Some("it is not valid yet"),
        CertificateError::Other(fault) if format!("{fault:?}").contains("CaUsedAsEndEntity") => Some(
            "it is the certificate of an authority, which clients do not take for that of a server: make one with \
             basicConstraints=critical,CA:FALSE",
        ),
        _ => None,
    }
}

/// When a certificate ends, in seconds since the Unix epoch: who verifies it long after that is told.
#[cfg(feature = "admin")]
fn end(chain: &[CertificateDer<'static>]) -> Option<u64> {
    match fault(chain, UnixTime::since_unix_epoch(LONG_AFTER))? {
        CertificateError::ExpiredContext { not_after, .. } => Some(not_after.as_secs()),
        _ => None,
    }
}

/// From when on a certificate is valid, found out in the same way.
#[cfg(feature = "admin")]
fn start(chain: &[CertificateDer<'static>]) -> Option<u64> {
    match fault(chain, UnixTime::since_unix_epoch(Duration::ZERO))? {
        CertificateError::NotValidYetContext { not_before, .. } => Some(not_before.as_secs()),
        _ => None,
    }
}

/// What is wrong with a certificate at a time, for whoever trusts its issuer.
fn fault(chain: &[CertificateDer<'static>], time: UnixTime) -> Option<CertificateError> {
    let ((certificate, others), root) = (chain.split_first()?, chain.last()?);
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    // Which names it has to have only those know who know by which one the server is reached.
    let name = ServerName::try_from("localhost").ok()?;
    let verified = verifier.verify_server_cert(certificate, others, &name, &[], time);
    let Err(rustls::Error::InvalidCertificate(fault)) = verified else { return None };
    Some(fault)
}

/// Reads the certificates of a file, of which there has to be one. The file is what a key of the configuration names.
pub(crate) fn chain(path: &Path, key: &str) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let fault = |what: String| unusable(key, path, what);
    let chain: Vec<_> =
        CertificateDer::pem_file_iter(path).and_then(Iterator::collect).map_err(|error| fault(error.to_string()))?;
    if chain.is_empty() {
        return Err(fault("there is no certificate in it".into()));
    }
    Ok(chain)
}

fn unusable(key: &str, path: &Path, what: String) -> ServerError {
    ServerError::Tls { key: key.to_owned(), path: path.to_owned(), what }
}

fn stamp(config: &TlsConfig) -> Stamp {
    let pairs = config.certificates.iter().flat_map(|files| [&files.certificate, &files.key]);
    let look = |path: &PathBuf| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    };
    pairs.chain(&config.client_ca).map(look).collect()
}

/// The end of the year 9999: no certificate ends later.
#[cfg(feature = "admin")]
const LONG_AFTER: Duration = Duration::from_secs(253_402_300_799);
/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
