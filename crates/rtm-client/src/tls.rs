//! TLS by rustls: which certificates are trusted, which is shown, and the handshake.

use std::{fmt, io, sync::Arc};

use tokio::sync::OnceCell;
use tokio_rustls::{
    TlsConnector,
    rustls::{
        CertificateError, ClientConfig, Error, RootCertStore, SignatureScheme,
        client::ResolvesClientCert,
        crypto::CryptoProvider,
        pki_types::{CertificateDer, PrivateKeyDer, ServerName, pem::PemObject},
        sign::{CertifiedKey, SingleCertAndKey},
    },
};

use crate::{
    cause::{explained, said},
    error::{BuildError, CertificateFault},
    network::Io,
};

/// What an application says of TLS.
#[derive(Clone, Default)]
pub(crate) struct TlsSettings {
    /// Certificates to trust, as PEM.
    pub(crate) roots: Vec<Vec<u8>>,
    /// Whether no others are trusted.
    pub(crate) only_roots: bool,
    /// The client's own certificate and its key, as PEM.
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
    /// In place of all of these.
    #[cfg(feature = "rustls")]
    pub(crate) config: Option<Arc<ClientConfig>>,
}

/// What a client trusts and shows. The system's certificates are read when the first connection needs them.
#[derive(Debug)]
pub(crate) struct Trust {
    roots: Vec<CertificateDer<'static>>,
    only_roots: bool,
    client: Option<Arc<CertifiedKey>>,
    connector: OnceCell<Connector>,
    to_proxies: OnceCell<Connector>,
}

impl Trust {
    pub(crate) fn new(settings: &TlsSettings) -> Result<Self, BuildError> {
        let mut roots = Vec::new();
        for pem in &settings.roots {
            for root in certificates(pem).map_err(BuildError::Certificates)? {
                let invalid = |_| BuildError::Certificates(CertificateFault::Invalid);
                RootCertStore::empty().add(root.clone()).map_err(invalid)?;
                roots.push(root);
            }
        }
        let client = settings.client.as_ref().map(|(chain, key)| certified_key(chain, key)).transpose();
        let client = client.map_err(BuildError::ClientCertificate)?;
        #[cfg(feature = "rustls")]
        let connector = OnceCell::new_with(settings.config.clone().map(|config| Connector(TlsConnector::from(config))));
        #[cfg(not(feature = "rustls"))]
        let connector = OnceCell::new();
        Ok(Self { roots, only_roots: settings.only_roots, client, connector, to_proxies: OnceCell::new() })
    }

    /// The TLS handshake with the server on `host`, over an open connection.
    pub(crate) async fn handshake(&self, host: &str, stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        self.connector().await?.handshake(host, stream).await
    }

    /// The same with a proxy, which is shown no certificate of the client: that is meant for the server.
    pub(crate) async fn handshake_with_proxy(&self, host: &str, stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let connector = self.to_proxies.get_or_try_init(|| async {
            let Connector(connector) = self.connector().await?;
            let mut config = ClientConfig::clone(connector.config());
            config.client_auth_cert_resolver = Arc::new(NoCertificate);
            Ok::<_, io::Error>(Connector(TlsConnector::from(Arc::new(config))))
        });
        connector.await?.handshake(host, stream).await
    }

    async fn connector(&self) -> io::Result<&Connector> {
        self.connector.get_or_try_init(|| self.load()).await
    }

    async fn load(&self) -> io::Result<Connector> {
        let provider = provider().map_err(|fault| io::Error::new(io::ErrorKind::InvalidInput, fault))?;
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(self.roots.iter().cloned());
        if !self.only_roots {
            #[cfg(feature = "webpki-roots")]
            roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
            #[cfg(feature = "native-roots")]
            roots.add_parsable_certificates(native_roots().await?);
        }
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)?
            .with_root_certificates(roots);
        let config = match &self.client {
            Some(client) => config.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(Arc::clone(client)))),
            None => config.with_no_client_auth(),
        };
        Ok(Connector(TlsConnector::from(Arc::new(config))))
    }
}

/// The cryptography that is built in, or that the program has chosen for rustls.
fn provider() -> Result<Arc<CryptoProvider>, CertificateFault> {
    #[cfg(feature = "aws-lc-rs")]
    let provider = Some(Arc::new(tokio_rustls::rustls::crypto::aws_lc_rs::default_provider()));
    #[cfg(all(feature = "ring", not(feature = "aws-lc-rs")))]
    let provider = Some(Arc::new(tokio_rustls::rustls::crypto::ring::default_provider()));
    #[cfg(not(any(feature = "ring", feature = "aws-lc-rs")))]
    let provider = CryptoProvider::get_default().cloned();
    provider.ok_or(CertificateFault::NoProvider)
}

#[cfg(feature = "native-roots")]
async fn native_roots() -> io::Result<Vec<CertificateDer<'static>>> {
    // Reads files, so not on a thread that runs tasks.
    let system = tokio::task::spawn_blocking(rustls_native_certs::load_native_certs).await?;
    for error in &system.errors {
        crate::log::roots_unreadable(error);
    }
    Ok(system.certs)
}

/// The certificates in a PEM text.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, CertificateFault> {
    let found: Vec<_> =
        CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().map_err(|_| CertificateFault::Pem)?;
    if found.is_empty() { Err(CertificateFault::None) } else { Ok(found) }
}

fn certified_key(chain: &[u8], key: &[u8]) -> Result<Arc<CertifiedKey>, CertificateFault> {
    let chain = certificates(chain)?;
    let key = PrivateKeyDer::from_pem_slice(key).map_err(|_| CertificateFault::NoKey)?;
    let made = CertifiedKey::from_der(chain, key, &*provider()?);
    made.map(Arc::new).map_err(|error| match error {
        Error::InvalidCertificate(_) => CertificateFault::Invalid,
        _ => CertificateFault::WrongKey,
    })
}

/// The same error with what to do about it, where that is known.
fn advised(error: io::Error) -> io::Error {
    let Some(cause) = error.get_ref().and_then(|cause| cause.downcast_ref::<Error>()) else { return error };
    let advice = match cause {
        Error::InvalidMessage(_) => "the server does not speak TLS: use http:// or ws://",
        // The name of its issuer may be that of another certificate that is trusted.
        Error::InvalidCertificate(
            CertificateError::UnknownIssuer
            | CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. },
        ) => "nobody who is trusted has signed the server's certificate: trust the certificate of its CA too",
        Error::InvalidCertificate(CertificateError::Other(other))
            if format!("{other:?}").contains("CaUsedAsEndEntity") =>
        {
            "the server's certificate is that of a CA: give the server one with basicConstraints=CA:FALSE"
        }
        _ => return error,
    };
    explained(error.kind(), advice, cause.clone())
}

struct Connector(TlsConnector);

impl Connector {
    async fn handshake(&self, host: &str, stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|_| said(io::ErrorKind::InvalidInput, "the host name cannot be verified by TLS"))?;
        Ok(Box::new(self.0.connect(name, stream).await.map_err(advised)?))
    }
}

/// Whoever asks is shown nothing.
#[derive(Debug)]
struct NoCertificate;

impl ResolvesClientCert for NoCertificate {
    fn resolve(&self, _issuers: &[&[u8]], _schemes: &[SignatureScheme]) -> Option<Arc<CertifiedKey>> {
        None
    }

    fn has_certs(&self) -> bool {
        false
    }
}

impl fmt::Debug for Connector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Connector(..)")
    }
}

#[cfg(test)]
#[cfg(feature = "ring")]
mod tests {
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _},
        net::{TcpListener, TcpStream},
    };
    use tokio_rustls::{
        TlsAcceptor,
        rustls::{RootCertStore, ServerConfig, crypto::ring, server::WebPkiClientVerifier},
    };

    use super::*;

    fn trust(roots: &[Vec<u8>], only_roots: bool) -> Result<Trust, BuildError> {
        Trust::new(&TlsSettings { roots: roots.to_vec(), only_roots, ..TlsSettings::default() })
    }

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
        let given = trust(&[pem.clone().into_bytes()], true).unwrap();
        handshake(&given, "localhost", port).await.unwrap();
        for (trust, host) in [(&given, "example.com"), (&trust(&[], true).unwrap(), "localhost")] {
            let error = handshake(trust, host, port).await.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::InvalidData, "{error}");
        }
        let beside_the_system = trust(&[pem.into_bytes()], false).unwrap();
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
            assert_eq!(
                trust(&[pem.as_bytes().to_vec()], true).unwrap_err(),
                BuildError::Certificates(fault),
                "{pem:?}"
            );
        }
    }

    /// A server that takes only clients whose certificate is signed by its CA, and tells them so; gives its port, its own
    /// certificate, and a client's certificate and key.
    async fn strict_server() -> (u16, String, String, String) {
        let ca_key = rcgen::KeyPair::generate().unwrap();
        let mut ca = rcgen::CertificateParams::new(Vec::new()).unwrap();
        ca.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let ca_certificate = ca.self_signed(&ca_key).unwrap();
        let issuer = rcgen::Issuer::new(ca, ca_key);
        let key = rcgen::KeyPair::generate().unwrap();
        let client =
            rcgen::CertificateParams::new(vec!["device-7".to_owned()]).unwrap().signed_by(&key, &issuer).unwrap();
        let mut trusted = RootCertStore::empty();
        trusted.add(ca_certificate.der().clone()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier =
            WebPkiClientVerifier::builder_with_provider(trusted.into(), Arc::clone(&provider)).build().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_client_cert_verifier(verifier)
            .with_single_cert(
                vec![made.cert.der().clone()],
                PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap(),
            )
            .unwrap();
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let acceptor = TlsAcceptor::from(Arc::new(config));
        tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                if let Ok(mut stream) = acceptor.accept(stream).await {
                    stream.write_all(b"hello").await.unwrap();
                    stream.shutdown().await.unwrap();
                }
            }
        });
        (port, made.cert.pem(), client.pem(), key.serialize_pem())
    }

    /// What the server says to a client with these settings.
    async fn hello(settings: &TlsSettings, port: u16) -> io::Result<String> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        let mut stream = Trust::new(settings).unwrap().handshake("localhost", Box::new(stream)).await?;
        let mut said = String::new();
        stream.read_to_string(&mut said).await?;
        Ok(said)
    }

    #[tokio::test]
    async fn a_server_that_wants_a_certificate_of_its_clients_is_shown_one() {
        let (port, root, certificate, key) = strict_server().await;
        let mut settings = TlsSettings { roots: vec![root.into_bytes()], only_roots: true, ..TlsSettings::default() };
        assert!(hello(&settings, port).await.is_err(), "no certificate is none");
        settings.client = Some((certificate.into_bytes(), key.into_bytes()));
        assert_eq!(hello(&settings, port).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_proxy_is_not_shown_the_certificate_that_is_meant_for_the_server() {
        let (port, root, certificate, key) = strict_server().await;
        let client = Some((certificate.into_bytes(), key.into_bytes()));
        let settings =
            TlsSettings { roots: vec![root.into_bytes()], only_roots: true, client, ..TlsSettings::default() };
        let trust = Trust::new(&settings).unwrap();
        let stream = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        let said = async {
            let mut stream = trust.handshake_with_proxy("localhost", Box::new(stream)).await?;
            stream.read_to_string(&mut String::new()).await
        };
        let error = said.await.unwrap_err().to_string();
        assert!(error.to_lowercase().contains("certificate"), "{error}");
        assert_eq!(hello(&settings, port).await.unwrap(), "hello");
    }

    #[tokio::test]
    async fn a_certificate_and_a_key_that_do_not_fit_are_refused_with_their_fault() {
        let (_, root, certificate, key) = strict_server().await;
        let other = rcgen::KeyPair::generate().unwrap().serialize_pem();
        for (certificate, key, fault) in [
            ("", key.as_str(), CertificateFault::None),
            (certificate.as_str(), "", CertificateFault::NoKey),
            (certificate.as_str(), root.as_str(), CertificateFault::NoKey),
            (certificate.as_str(), other.as_str(), CertificateFault::WrongKey),
        ] {
            let client = Some((certificate.as_bytes().to_vec(), key.as_bytes().to_vec()));
            let error = Trust::new(&TlsSettings { client, ..TlsSettings::default() }).unwrap_err();
            assert_eq!(error, BuildError::ClientCertificate(fault));
        }
    }

    #[cfg(feature = "rustls")]
    #[tokio::test]
    async fn a_configuration_of_ones_own_takes_the_place_of_all_else() {
        let (pem, port) = server().await;
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()).unwrap();
        let config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let config = Some(Arc::new(config));
        let own = Trust::new(&TlsSettings { config, only_roots: true, ..TlsSettings::default() }).unwrap();
        handshake(&own, "localhost", port).await.unwrap();
    }
}
