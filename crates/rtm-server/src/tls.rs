//! TLS for the listener, and one stream type for plain and encrypted sockets.

use std::{
    fmt,
    io::{self, IoSlice},
    path::{Path, PathBuf},
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll},
    time::{Duration, SystemTime},
};

use rustls::{
    CertificateError, RootCertStore,
    client::{WebPkiServerVerifier, danger::ServerCertVerifier as _},
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
};
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    task::spawn_blocking,
    time::sleep,
};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::{info, warn};

use crate::error::ServerError;

/// The files of the server's TLS certificate and key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    certificate: PathBuf,
    key: PathBuf,
}

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

    /// Reads the files, as a server does when it starts, and logs a warning for a certificate that clients would refuse.
    /// Blocks.
    ///
    /// # Errors
    ///
    /// [`ServerError::Tls`] names the file that is missing or invalid, or the key that does not belong to the certificate.
    pub fn check(&self) -> Result<(), ServerError> {
        load(self).map(drop)
    }
}

/// Why clients would refuse a certificate, even if they trust its issuer.
fn warning(chain: &[CertificateDer<'static>]) -> Option<&'static str> {
    let ((certificate, others), root) = (chain.split_first()?, chain.last()?);
    let mut roots = RootCertStore::empty();
    roots.add(root.clone()).ok()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build().ok()?;
    // Which names it has to have only those know who know by which one the server is reached.
    let name = ServerName::try_from("localhost").ok()?;
    let verified = verifier.verify_server_cert(certificate, others, &name, &[], UnixTime::now());
    let Err(rustls::Error::InvalidCertificate(fault)) = verified else { return None };
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => Some("it has expired"),
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => Some("it is not valid yet"),
        CertificateError::Other(fault) if format!("{fault:?}").contains("CaUsedAsEndEntity") => Some(
            "it is the certificate of an authority, which clients do not take for that of a server: make one with \
             basicConstraints=critical,CA:FALSE",
        ),
        _ => None,
    }
}

/// Reads the certificate, and the chain that leads to it.
fn chain(files: &TlsFiles) -> Result<Vec<CertificateDer<'static>>, ServerError> {
    let fault = |what: String| ServerError::Tls { path: files.certificate.clone(), what };
    let chain: Vec<_> = CertificateDer::pem_file_iter(&files.certificate)
        .and_then(Iterator::collect)
        .map_err(|error| fault(error.to_string()))?;
    if chain.is_empty() {
        return Err(fault("there is no certificate in it".into()));
    }
    Ok(chain)
}

/// The certificate that is shown to clients. All clones are one.
#[derive(Debug, Clone)]
pub(crate) struct Tls {
    files: TlsFiles,
    loaded: Arc<Mutex<Loaded>>,
}

struct Loaded {
    acceptor: TlsAcceptor,
    #[cfg_attr(not(feature = "admin"), expect(dead_code, reason = "nobody asks how it is"))]
    chain: Vec<CertificateDer<'static>>,
    /// What the files looked like before they were read.
    stamp: Stamp,
}

/// The times and sizes of the files, as far as they are there.
type Stamp = [Option<(SystemTime, u64)>; 2];

impl fmt::Debug for Loaded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Loaded").field("stamp", &self.stamp).finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files and makes ready to accept. Blocks.
    pub(crate) fn load(files: &TlsFiles) -> Result<Self, ServerError> {
        Ok(Self { files: files.clone(), loaded: Arc::new(Mutex::new(load(files)?)) })
    }

    /// What accepts connections now.
    pub(crate) fn acceptor(&self) -> TlsAcceptor {
        self.loaded().acceptor.clone()
    }

    /// Why clients would refuse the certificate now, even if they trust its issuer.
    #[cfg(feature = "admin")]
    pub(crate) fn fault(&self) -> Option<&'static str> {
        let chain = self.loaded().chain.clone();
        warning(&chain)
    }

    /// Reads the files again: those that follow see the new certificate. On an error the old one stays. Blocks.
    pub(crate) fn reload(&self) -> Result<(), ServerError> {
        let loaded = load(&self.files)?;
        *self.loaded() = loaded;
        Ok(())
    }

    /// Reads the files again whenever they have changed, until it is dropped.
    pub(crate) async fn watch(self) {
        let mut seen = self.loaded().stamp;
        loop {
            sleep(LOOK_EVERY).await;
            let (tls, before) = (self.clone(), seen);
            let looked = spawn_blocking(move || {
                let stamp = stamp(&tls.files);
                (stamp, (stamp != before).then(|| tls.reload()))
            });
            let Ok((stamp, reloaded)) = looked.await else { continue };
            seen = stamp;
            match reloaded {
                None => {}
                Some(Ok(())) => info!("the TLS certificate is loaded anew: {}", self.files.certificate.display()),
                Some(Err(error)) => warn!("the TLS files have changed, and the old certificate stays in use: {error}"),
            }
        }
    }

    fn loaded(&self) -> MutexGuard<'_, Loaded> {
        self.loaded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn stamp(files: &TlsFiles) -> Stamp {
    [&files.certificate, &files.key].map(|path| {
        let metadata = std::fs::metadata(path).ok()?;
        Some((metadata.modified().ok()?, metadata.len()))
    })
}

fn load(files: &TlsFiles) -> Result<Loaded, ServerError> {
    let fault = |path: &Path, what: String| ServerError::Tls { path: path.to_owned(), what };
    let stamp = stamp(files);
    let chain = chain(files)?;
    if let Some(warning) = warning(&chain) {
        warn!("{}: {warning}", files.certificate.display());
    }
    let key = PrivateKeyDer::from_pem_file(&files.key).map_err(|error| fault(&files.key, error.to_string()))?;
    let mut config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()
        .map_err(|error| fault(&files.certificate, error.to_string()))?
        .with_no_client_auth()
        .with_single_cert(chain.clone(), key)
        .map_err(|error| fault(&files.key, error.to_string()))?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Loaded { acceptor: TlsAcceptor::from(Arc::new(config)), chain, stamp })
}

/// A connection's bytes: a socket, encrypted or not, or what the application has instead.
pub(crate) enum Stream {
    /// As it is.
    Plain(TcpStream),
    /// Through TLS.
    Tls(Box<TlsStream<TcpStream>>),
    /// From the application.
    Other(Pin<Box<dyn Io>>),
}

/// Any stream of bytes.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send {}

impl<S: AsyncRead + AsyncWrite + Send> Io for S {}

impl Stream {
    /// Whether it goes through TLS.
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Other(stream) => stream.as_mut().poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
            Self::Other(stream) => stream.as_mut().poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, slices),
            Self::Other(stream) => stream.as_mut().poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(stream) => stream.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
            Self::Other(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
            Self::Other(stream) => stream.as_mut().poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Other(stream) => stream.as_mut().poll_shutdown(cx),
        }
    }
}

/// How often the files are looked at.
const LOOK_EVERY: Duration = Duration::from_secs(10);
