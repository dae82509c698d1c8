//! The server that the load is put on, and users logged in to it.

use std::{fmt, sync::Arc};

use futures::{StreamExt as _, TryStreamExt as _, stream};
use rtm_client::{CallLimits, Client, ClientBuilder, Events, Wire};

use crate::LoadError;

/// A server and one of its projects.
#[derive(Clone)]
pub struct Target {
    gateways: Vec<String>,
    app_id: String,
    wire: Wire,
    token: Option<MakeToken>,
    root_certificates: Option<Arc<[u8]>>,
    client_certificate: Option<Arc<(Vec<u8>, Vec<u8>)>>,
}

/// A user that is logged in, and its events.
#[derive(Debug)]
#[non_exhaustive]
pub struct User {
    /// The handle.
    pub client: Client,
    /// What happens to it.
    pub events: Events,
}

#[derive(Clone)]
struct MakeToken(Arc<dyn Fn(&str) -> String + Send + Sync>);

impl Target {
    /// A project of the server at `gateway`, on a wire.
    #[must_use]
    pub fn new(gateway: impl Into<String>, app_id: impl Into<String>, wire: Wire) -> Self {
        Self {
            gateways: vec![gateway.into()],
            app_id: app_id.into(),
            wire,
            token: None,
            root_certificates: None,
            client_certificate: None,
        }
    }

    /// Another gateway of the same project: the users spread over all of them.
    #[must_use]
    pub fn with_gateway(mut self, gateway: impl Into<String>) -> Self {
        self.gateways.push(gateway.into());
        self
    }

    /// Makes each user's token with this, for a project that needs tokens.
    #[must_use]
    pub fn with_tokens(mut self, token: impl Fn(&str) -> String + Send + Sync + 'static) -> Self {
        self.token = Some(MakeToken(Arc::new(token)));
        self
    }

    /// Trusts these certificates too, in PEM.
    #[must_use]
    pub fn with_root_certificates(mut self, pem: impl Into<Arc<[u8]>>) -> Self {
        self.root_certificates = Some(pem.into());
        self
    }

    /// Has clients show this certificate, with its key, both in PEM.
    #[must_use]
    pub fn with_client_certificate(mut self, certificates: impl Into<Vec<u8>>, key: impl Into<Vec<u8>>) -> Self {
        self.client_certificate = Some(Arc::new((certificates.into(), key.into())));
        self
    }

    /// How its clients are set up: as by default, but without limits of their own, which are the server's to set.
    pub fn client(&self) -> ClientBuilder {
        let builder = self
            .gateways
            .iter()
            .fold(Client::builder(), ClientBuilder::gateway)
            .app_id(&self.app_id)
            .wire(self.wire)
            .call_limits(CallLimits::unlimited());
        let builder = match &self.root_certificates {
            Some(pem) => builder.root_certificates(&pem[..]),
            None => builder,
        };
        match self.client_certificate.as_deref() {
            Some((certificates, key)) => builder.client_certificate(certificates.as_slice(), key.as_slice()),
            None => builder,
        }
    }

    /// Logs a user in.
    ///
    /// # Errors
    ///
    /// [`LoadError::Build`] for bad settings, [`LoadError::Call`] for a failed login.
    ///
    /// # Cancel safety
    ///
    /// A dropped future drops the client.
    pub async fn log_in(&self, user_id: &str) -> Result<User, LoadError> {
        self.log_in_with(self.client(), user_id).await
    }

    /// Logs a user in with a client that was set up further.
    ///
    /// # Errors
    ///
    /// As [`log_in`](Self::log_in).
    ///
    /// # Cancel safety
    ///
    /// A dropped future drops the client.
    pub async fn log_in_with(&self, builder: ClientBuilder, user_id: &str) -> Result<User, LoadError> {
        let (client, events) = builder.build()?;
        self.log_in_again(&client, user_id).await?;
        Ok(User { client, events })
    }

    /// Logs in a client that is logged out.
    ///
    /// # Errors
    ///
    /// [`LoadError::Call`] for a failed login.
    ///
    /// # Cancel safety
    ///
    /// As [`Client::login`].
    pub async fn log_in_again(&self, client: &Client, user_id: &str) -> Result<(), LoadError> {
        let token = self.token.as_ref().map(|make| (make.0)(user_id));
        client.login(user_id, token.as_deref()).await.map_err(LoadError::call("login"))
    }

    /// Logs in the users `prefix-0`, `prefix-1` and so on, `at_once` at a time. `done` is told of each.
    ///
    /// # Errors
    ///
    /// As [`log_in`](Self::log_in), for the first that fails.
    ///
    /// # Cancel safety
    ///
    /// A dropped future drops all of them.
    pub async fn log_in_many(
        &self,
        prefix: &str,
        users: usize,
        at_once: usize,
        mut done: impl FnMut(),
    ) -> Result<Vec<User>, LoadError> {
        stream::iter(0..users)
            .map(async |number| self.log_in(&format!("{prefix}-{number}")).await)
            .buffered(at_once.max(1))
            .inspect_ok(|_| done())
            .try_collect()
            .await
    }
}

impl fmt::Debug for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Target")
            .field("gateways", &self.gateways)
            .field("app_id", &self.app_id)
            .field("wire", &self.wire)
            .finish_non_exhaustive()
    }
}
