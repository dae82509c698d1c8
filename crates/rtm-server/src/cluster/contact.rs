//! How a node can be asked past NATS whether it is a member: at its port for clients, with TLS where that speaks it.

use std::{fmt::Display, io, net::SocketAddr, sync::Arc};

use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    crypto::{self, CryptoProvider, WebPkiSupportedAlgorithms},
    pki_types::{CertificateDer, ServerName, UnixTime},
};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _},
    net::TcpStream,
};
use tokio_rustls::TlsConnector;

use crate::tls::{Tls, fingerprint};

/// Where a node can be asked, and what it shows there.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Contact {
    /// `HOST:PORT`, or `https://HOST:PORT` where it speaks TLS.
    #[serde(default)]
    pub(crate) addresses: Vec<String>,
    /// The SHA-256 of each certificate that it may show. Nodes of older versions name none, and no address with TLS.
    #[serde(default)]
    pub(crate) certificates: Vec<String>,
}

/// Where this node can be asked.
#[derive(Debug)]
pub(crate) struct OwnContact {
    addresses: Vec<String>,
    tls: Option<Tls>,
}

impl OwnContact {
    pub(crate) fn new(addresses: Vec<String>, tls: Option<Tls>) -> Self {
        Self { addresses, tls }
    }

    /// What it tells the others: the certificates are those that it has now.
    pub(crate) fn told(&self) -> Contact {
        let certificates = self.tls.as_ref().map(Tls::fingerprints).unwrap_or_default();
        Contact { addresses: self.addresses.clone(), certificates }
    }
}

impl Contact {
    /// What the node answers to a request for a path at one of its addresses, as far as it is of this length.
    pub(super) async fn ask(&self, address: &str, path: &str, most: u64) -> io::Result<String> {
        let Some(address) = address.strip_prefix(WITH_TLS) else {
            return ask(TcpStream::connect(address).await?, address, path, most).await;
        };
        let host = address.rsplit_once(':').map_or(address, |(host, _)| host);
        let name = ServerName::try_from(host.trim_matches(['[', ']']).to_owned()).map_err(io::Error::other)?;
        let connector = TlsConnector::from(Arc::new(self.tls()?));
        let stream = connector.connect(name, TcpStream::connect(address).await?).await?;
        ask(stream, address, path, most).await
    }

    /// TLS with a server that shows one of the certificates.
    fn tls(&self) -> io::Result<ClientConfig> {
        let provider = Arc::new(crypto::ring::default_provider());
        let known = Known::new(self.certificates.clone(), &provider);
        let builder = ClientConfig::builder_with_provider(provider);
        let builder = builder.with_safe_default_protocol_versions().map_err(io::Error::other)?;
        Ok(builder.dangerous().with_custom_certificate_verifier(Arc::new(known)).with_no_client_auth())
    }
}

/// An address as it stands in a [`Contact`].
pub(crate) fn contact_address(address: &impl Display, is_tls: bool) -> String {
    if is_tls { format!("{WITH_TLS}{address}") } else { address.to_string() }
}

/// Whether an address of a socket means this machine to others: all addresses stand for any, and the scope of a link-local one is a
/// number that only this machine knows.
pub(crate) fn names_one_machine(address: &SocketAddr) -> bool {
    let is_scoped = matches!(address, SocketAddr::V6(address) if address.scope_id() != 0);
    !is_scoped && !address.ip().is_unspecified()
}

async fn ask(
    mut stream: impl AsyncRead + AsyncWrite + Unpin,
    address: &str,
    path: &str,
    most: u64,
) -> io::Result<String> {
    let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    stream.flush().await?;
    let mut answer = String::new();
    stream.take(most).read_to_string(&mut answer).await?;
    Ok(answer)
}

/// Takes a server for the right one by its certificate alone: which name it was reached by says nothing, since nodes are
/// asked at their own addresses, and the certificate is for the name that clients use.
#[derive(Debug)]
struct Known {
    certificates: Vec<String>,
    algorithms: WebPkiSupportedAlgorithms,
}

impl Known {
    fn new(certificates: Vec<String>, provider: &CryptoProvider) -> Self {
        Self { certificates, algorithms: provider.signature_verification_algorithms }
    }
}

impl ServerCertVerifier for Known {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        if self.certificates.contains(&fingerprint(certificate)) {
            return Ok(ServerCertVerified::assertion());
        }
        Err(CertificateError::ApplicationVerificationFailure.into())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls12_signature(message, certificate, signature, &self.algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        crypto::verify_tls13_signature(message, certificate, signature, &self.algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}

/// What stands before an address where TLS is spoken.
const WITH_TLS: &str = "https://";

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;
    use crate::tls::{TlsConfig, TlsFiles};

    /// A server with a certificate for another name than its address, which answers everybody the same.
    async fn server() -> (String, Tls, tempfile::TempDir) {
        let directory = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["rtm.example.com".to_owned()]).unwrap();
        let (certificate, key) = (directory.path().join("cert.pem"), directory.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let tls = Tls::load(&TlsConfig::new(vec![TlsFiles::new(certificate, key)]), "tls").unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = contact_address(&listener.local_addr().unwrap(), true);
        let acceptor = tls.acceptor();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                // Who does not know the server ends the handshake.
                let Ok(mut stream) = acceptor.accept(stream).await else { continue };
                let mut request = [0; 1024];
                let len = stream.read(&mut request).await.unwrap();
                assert!(request[..len].starts_with(b"GET /readyz HTTP/1.1\r\n"));
                stream.write_all(b"HTTP/1.1 200 OK\r\n\r\nready").await.unwrap();
                stream.shutdown().await.unwrap();
            }
        });
        (address, tls, directory)
    }

    #[test]
    fn others_are_told_no_address_that_means_nothing_to_them() {
        let is_told = |address: &str| names_one_machine(&address.parse().unwrap());
        assert!(["10.0.0.1:80", "127.0.0.1:80", "[2001:db8::1]:80", "[fe80::1]:80"].into_iter().all(is_told));
        assert!(!["0.0.0.0:80", "[::]:80", "[fe80::1%2]:80"].into_iter().any(is_told));
    }

    #[tokio::test]
    async fn a_node_with_tls_is_known_by_the_certificate_that_it_named() {
        let (address, tls, _directory) = server().await;
        let contact = OwnContact::new(vec![address.clone()], Some(tls)).told();
        let answer = contact.ask(&address, "/readyz", 4096).await.unwrap();
        assert!(answer.ends_with("ready"), "{answer}");
        let start = contact.ask(&address, "/readyz", 15).await.unwrap();
        assert_eq!(start, "HTTP/1.1 200 OK", "no more is read than asked for");
    }

    #[tokio::test]
    async fn whoever_shows_another_certificate_is_not_believed() {
        let (address, _, _directory) = server().await;
        let (_, of_another_one, _other) = server().await;
        for certificates in [vec![], of_another_one.fingerprints()] {
            let contact = Contact { addresses: vec![address.clone()], certificates };
            let error = contact.ask(&address, "/readyz", 4096).await.unwrap_err();
            assert!(error.to_string().contains("invalid peer certificate"), "{error}");
        }
    }
}
