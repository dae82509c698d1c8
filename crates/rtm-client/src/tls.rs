//! TLS by rustls: which certificates are trusted, and the handshake.

use std::{io, sync::Arc};

use tokio::sync::OnceCell;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, Error, RootCertStore,
        crypto::ring,
        pki_types::{CertificateDer, ServerName, pem::PemObject},
    },
};

use crate::network::Io;

/// What a client trusts. The system's certificates are read when the first connection needs them.
#[derive(Debug, Default)]
pub(crate) struct Trust {
    extra: Vec<CertificateDer<'static>>,
    only_extra: bool,
    connector: OnceCell<Connector>,
}

/// Why PEM text gives no certificates to trust.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CertificateFault {
    /// A PEM section is damaged.
    #[error("a PEM section is damaged")]
    Pem,
    /// There is no certificate in it.
    #[error("there is no certificate in it")]
    None,
    /// A certificate cannot be used to trust others.
    #[error("a certificate in it is not valid as a root")]
    Invalid,
}

impl Trust {
    pub(crate) fn new(extra: &[Vec<u8>], only_extra: bool) -> Result<Self, CertificateFault> {
        let mut certificates = Vec::new();
        for pem in extra {
            let before = certificates.len();
            for certificate in CertificateDer::pem_slice_iter(pem) {
                let certificate = certificate.map_err(|_| CertificateFault::Pem)?;
                RootCertStore::empty().add(certificate.clone()).map_err(|_| CertificateFault::Invalid)?;
                certificates.push(certificate);
            }
            if certificates.len() == before {
                return Err(CertificateFault::None);
            }
        }
        Ok(Self { extra: certificates, only_extra, connector: OnceCell::new() })
    }

    /// The TLS handshake with `host`, over a connection that stands.
    pub(crate) async fn handshake(&self, host: &str, stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "the host name cannot be verified by TLS"))?;
        let Connector(connector) = self.connector.get_or_try_init(|| self.load()).await?;
        Ok(Box::new(connector.connect(name, stream).await.map_err(explained)?))
    }

    async fn load(&self) -> io::Result<Connector> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.extra.iter().cloned());
        if !self.only_extra {
            // Reads files, so not on a thread that runs tasks.
            let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
            for error in &system.errors {
                tracing::warn!(%error, "some of the system's certificates cannot be read");
            }
            roots.add_parsable_certificates(system.certs);
        }
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Connector(TlsConnector::from(Arc::new(config))))
    }
}

/// The same error with what to do about it, where that is known.
fn explained(error: io::Error) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) else { return error };
    let advice = match cause {
        Error::InvalidMessage(_) => "the server does not speak TLS: use http:// or ws://",
        // The name of its issuer may be that of another certificate that is trusted.
        Error::InvalidCertificate(CertificateError::UnknownIssuer | CertificateError::BadSignature) => {
            "nobody who is trusted has signed the server's certificate: trust the certificate of its CA too"
        }
        Error::InvalidCertificate(CertificateError::Other(other))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "the server's certificate is that of a CA: give the server one with basicConstraints=CA:FALSE"
        }
        _ => return error,
    };
    io::Error::new(error.kind(), format!("{advice} ({cause})"))
}

struct Connector(TlsConnector);

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Connector(..)")
    }
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpStream};
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{ServerConfig, pki_types::PrivateKeyDer},
    };

    use super::*;

    /// Takes one connection after the other, with a certificate for `localhost`; gives that as PEM and the port.
    async fn server() -> (String, u16) {
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(vec![made.cert.der().clone()], key)
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                // A client that does not trust the certificate hangs up.
                let _ = acceptor.accept(stream).await;
            }
        });
        (made.cert.pem(), port)
    }

    async fn handshake(trust: &Trust, host: &str, port: u16) -> io::Result<()> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        trust.handshake(host, Box::new(stream)).await.map(|_| ())
    }

    #[tokio::test]
    async fn a_given_root_is_trusted_for_its_host_and_no_other_certificate_is() {
        let (pem, port) = server().await;
        let given = Trust::new(&[pem.clone().into_bytes()], true).unwrap();
        handshake(&given, "localhost", port).await.unwrap();
        for (trust, host) in [(&given, "example.com"), (&Trust::new(&[], true).unwrap(), "localhost")] {
            let error = handshake(trust, host, port).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        let beside_the_system = Trust::new(&[pem.into_bytes()], false).unwrap();
        handshake(&beside_the_system, "localhost", port).await.unwrap();
    }

    #[test]
    fn what_is_no_certificate_is_refused_with_its_fault() {
        let damaged = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n";
        let nonsense = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for (pem, fault) in [
            ("", CertificateFault::None),
            ("no PEM at all", CertificateFault::None),
            (damaged, CertificateFault::Pem),
            (nonsense, CertificateFault::Invalid),
        ] {
            assert_eq!(Trust::new(&[pem.as_bytes().to_vec()], true).unwrap_err(), fault, "{pem:?}");
        }
    }
}
