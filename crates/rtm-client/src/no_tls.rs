//! A build without TLS.

use std::io;

use crate::{error::BuildError, network::Io};

/// Nothing can be said of it.
#[derive(Clone, Default)]
pub(crate) struct TlsSettings;

/// Nobody is trusted.
#[derive(Debug)]
pub(crate) struct Trust;

impl Trust {
    #[expect(clippy::unnecessary_wraps, reason = "with TLS there may be something wrong")]
    pub(crate) fn new(_settings: &TlsSettings) -> Result<Self, BuildError> {
        Ok(Self)
    }

    pub(crate) async fn handshake_with_proxy(&self, host: &str, stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        self.handshake(host, stream).await
    }

    pub(crate) async fn handshake(&self, _host: &str, _stream: Box<dyn Io>) -> io::Result<Box<dyn Io>> {
        Err(io::Error::new(io::ErrorKind::InvalidInput, "TLS is not built in: enable a feature of rtm-client for it"))
    }
}
