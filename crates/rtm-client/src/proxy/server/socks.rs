//! The way through a SOCKS proxy.

use std::{io, net::SocketAddr};

use tokio::time::timeout;
use tokio_socks::{Error as SocksError, tcp::Socks5Stream};

use super::{ANSWER_TIMEOUT, Server};
use crate::{
    handshake::is_lasting,
    network::{Connector, Io},
};

impl Server {
    /// Tries the addresses of a host in their order, each over a stream of its own: the proxy ends one that it could not
    /// connect.
    pub(super) async fn connect_socks_to_any(
        &self,
        connector: &Connector,
        addresses: impl IntoIterator<Item = SocketAddr>,
    ) -> io::Result<Box<dyn Io>> {
        let mut failed = None;
        for address in addresses {
            let stream = self.reach(connector).await?;
            let opened = self.connect_socks(stream, (address.ip().to_string(), address.port()));
            let error = match timeout(ANSWER_TIMEOUT, opened).await {
                Ok(Ok(stream)) => return Ok(stream),
                Ok(Err(error)) if is_of_proxy(&error) => return Err(self.explain_socks(error)),
                Ok(Err(error)) => self.explain_socks(error),
                Err(_) => self.too_late(),
            };
            // One that may answer the next time is a reason to try again.
            if failed.is_none() || !is_lasting(&error) {
                failed = Some(error);
            }
        }
        Err(failed.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
    }

    pub(super) async fn connect_socks(
        &self,
        stream: Box<dyn Io>,
        target: (String, u16),
    ) -> Result<Box<dyn Io>, SocksError> {
        let opened = match self.intercept.raw_auth() {
            None => Socks5Stream::connect_with_socket(stream, target).await,
            Some((user, password)) => {
                Socks5Stream::connect_with_password_and_socket(stream, target, user, password).await
            }
        };
        opened.map(Socks5Stream::into_inner)
    }

    /// What the answer of a SOCKS proxy means.
    pub(super) fn explain_socks(&self, error: SocksError) -> io::Error {
        let kind = |error: &SocksError| match error {
            SocksError::Io(error) => error.kind(),
            SocksError::InvalidTargetAddress(_)
            | SocksError::InvalidResponseVersion
            | SocksError::NoAcceptableAuthMethods
            | SocksError::UnknownAuthMethod
            | SocksError::ConnectionNotAllowedByRuleset
            | SocksError::CommandNotSupported
            | SocksError::AddressTypeNotSupported
            | SocksError::InvalidReservedByte
            | SocksError::UnknownAddressType
            | SocksError::InvalidAuthValues(_)
            | SocksError::PasswordAuthFailure(_)
            | SocksError::AuthorizationRequired => io::ErrorKind::InvalidInput,
            _ => io::ErrorKind::ConnectionRefused,
        };
        let has_credentials = self.intercept.raw_auth().is_some();
        let kind = kind(&error);
        match error {
            SocksError::PasswordAuthFailure(_) => self.say(kind, "does not take this user and password"),
            SocksError::NoAcceptableAuthMethods if !has_credentials => self.say(kind, "wants a user and a password"),
            SocksError::Io(error) => self.explain(kind, "could not connect", error),
            error => self.explain(kind, "could not connect", error),
        }
    }
}

/// Whether a SOCKS proxy lets nobody through, to whichever address.
fn is_of_proxy(error: &SocksError) -> bool {
    matches!(
        error,
        SocksError::InvalidResponseVersion
            | SocksError::NoAcceptableAuthMethods
            | SocksError::UnknownAuthMethod
            | SocksError::CommandNotSupported
            | SocksError::InvalidAuthValues(_)
            | SocksError::PasswordAuthFailure(_)
            | SocksError::AuthorizationRequired
    )
}

#[cfg(test)]
mod tests {
    use std::{
        net::IpAddr,
        sync::{Arc, Mutex},
    };

    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    use super::*;

    /// A SOCKS proxy that answers each address with a number, and what it was asked for.
    fn socks(answers: &'static [(&'static str, u8)]) -> (Connector, Arc<Mutex<Vec<String>>>) {
        let asked = Arc::<Mutex<Vec<String>>>::default();
        let seen = Arc::clone(&asked);
        let connector = Connector::new(move |_, _| {
            let (here, mut there) = duplex(1024);
            let seen = Arc::clone(&seen);
            tokio::spawn(async move {
                let mut methods = [0; 3];
                there.read_exact(&mut methods).await.unwrap();
                there.write_all(&[5, 0]).await.unwrap();
                let mut request = [0; 10];
                there.read_exact(&mut request).await.unwrap();
                let [5, 1, 0, 1, a, b, c, d, ..] = request else { panic!("no IPv4 address: {request:?}") };
                let address = IpAddr::from([a, b, c, d]).to_string();
                let answer = answers.iter().find(|(known, _)| *known == address).map(|(_, answer)| *answer);
                seen.lock().unwrap().push(address);
                there.write_all(&[5, answer.unwrap(), 0, 1, 0, 0, 0, 0, 0, 0]).await.unwrap();
                let _ = there.write_all(b"here").await;
            });
            std::future::ready(io::Result::Ok(here))
        });
        (connector, asked)
    }

    /// The first words of whoever answers at one of these addresses.
    async fn through_socks(connector: &Connector, addresses: &[&str]) -> io::Result<String> {
        let server = Server::parse("socks5://proxy").unwrap();
        let addresses: Vec<SocketAddr> =
            addresses.iter().map(|address| format!("{address}:80").parse().unwrap()).collect();
        let mut stream = server.connect_socks_to_any(connector, addresses).await?;
        let mut words = String::new();
        stream.read_to_string(&mut words).await?;
        Ok(words)
    }

    #[tokio::test]
    async fn a_socks_proxy_is_asked_for_each_address_of_a_host_until_one_answers() {
        // 3 to 5: no way to the address; 8: an address of this kind is not known.
        let (connector, asked) = socks(&[("192.0.2.1", 4), ("192.0.2.2", 8), ("192.0.2.3", 0), ("192.0.2.4", 0)]);
        let words = through_socks(&connector, &["192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"]).await;
        assert_eq!(words.unwrap(), "here");
        assert_eq!(*asked.lock().unwrap(), ["192.0.2.1", "192.0.2.2", "192.0.2.3"]);
        let error = through_socks(&connector, &["192.0.2.1", "192.0.2.2"]).await.unwrap_err();
        assert!(!is_lasting(&error), "the first may answer the next time: {error}");
        let error = through_socks(&connector, &["192.0.2.2"]).await.unwrap_err();
        assert!(is_lasting(&error), "{error}");
        assert_eq!(through_socks(&connector, &[]).await.unwrap_err().kind(), io::ErrorKind::NotFound);
    }
}
