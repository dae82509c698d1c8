//! The connections to NATS: how they are made, and whether this NATS will do.

use std::{error::Error, fs, io, path::Path, time::Duration};

use async_nats::{Client, ConnectError, ConnectErrorKind, ConnectOptions, Event, ServerAddr};
use nkeys::{KeyPair, KeyPairType};
use tokio::time::sleep;
use tracing::{debug, info, warn};

use super::{
    config::{ClusterConfig, NatsTls, NatsUrl},
    denied::Denied,
    error::{ClusterError, ClusterErrorKind, NotDone},
};
use crate::{
    error::ServerError,
    shared::Seldom,
    tls::{TlsFiles, certified, chain},
};

/// The connections of a node. What must not wait has one of its own.
#[derive(Debug, Clone)]
pub(crate) struct Connections {
    pub(crate) urgent: Client,
    pub(crate) bulk: Client,
    /// For what is stored.
    pub(crate) store: Client,
    /// What NATS denies any of them.
    pub(crate) denied: Denied,
}

impl Connections {
    /// Connects, however long NATS is away.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] for what does not pass by itself.
    pub(crate) async fn open(config: &ClusterConfig, who: &str) -> Result<Self, ClusterError> {
        let denied = Denied::new(&config.user());
        let urgent = open(config, who, &denied).await?;
        let bulk = open(config, who, &denied).await?;
        let store = open(config, who, &denied).await?;
        Ok(Self { urgent, bulk, store, denied })
    }

    /// The largest payload that both take.
    pub(crate) fn payload_bytes(&self) -> usize {
        self.urgent.max_payload().min(self.bulk.max_payload())
    }
}

impl ClusterConfig {
    /// Reads the files with passwords, credentials and certificates, as a start would, and connects to nothing.
    ///
    /// # Errors
    ///
    /// [`ClusterError`] for a file that cannot be used.
    pub fn check_files(&self) -> Result<(), ClusterError> {
        options(self, "rtm", &Denied::new(&self.user())).map(drop)
    }

    /// With what it logs in, without secrets.
    fn login(&self) -> String {
        let user = self.user();
        if self.nats.iter().filter_map(NatsUrl::login).any(|(_, password)| password.is_some()) {
            format!("{user}, or the password that stands in the address")
        } else if let Some(file) = &self.nats_password_file {
            format!("{user}, or the password in {}", file.display())
        } else if user == NOBODY {
            format!("{user}, and none are configured")
        } else {
            user
        }
    }

    /// As whom it logs in.
    pub(crate) fn user(&self) -> String {
        let in_file = |what: &str, file: &Path| format!("{what} in {}", file.display());
        let client = self.nats_tls.as_ref().and_then(|tls| tls.client.as_ref());
        if let Some(login) = self.nats.iter().find_map(NatsUrl::login) {
            match login {
                (user, Some(_)) => format!("the user {user}"),
                (_, None) => "the token that stands in the address".to_owned(),
            }
        } else if let Some(user) = &self.nats_user {
            format!("the user {user}")
        } else if let Some(file) = &self.nats_token_file {
            in_file("the token", file)
        } else if let Some(file) = &self.nats_credentials {
            in_file("the credentials", file)
        } else if let Some(file) = &self.nats_nkey_file {
            in_file("the NKey", file)
        } else if let Some((certificate, _)) = client {
            in_file("the certificate", certificate)
        } else {
            NOBODY.to_owned()
        }
    }

    /// Where the servers of NATS are, without what stands in the addresses to log in.
    fn places(&self) -> String {
        let places: Vec<_> =
            self.nats.iter().map(NatsUrl::address).map(|it| format!("{}:{}", it.host(), it.port())).collect();
        places.join(", ")
    }
}

/// Connects, and says every ten seconds that NATS is away.
async fn open(config: &ClusterConfig, who: &str, denied: &Denied) -> Result<Client, ClusterError> {
    let mut told = Told::default();
    loop {
        match try_once(config, who, denied).await {
            Ok(client) => return Ok(client),
            Err(NotDone::Never(error)) => return Err(error),
            Err(NotDone::NotNow(what)) => told.wait(&what).await,
        }
    }
}

/// Connects if NATS is there. `denied` hears of what NATS does not permit.
///
/// # Errors
///
/// [`NotDone`].
pub(crate) async fn try_once(config: &ClusterConfig, who: &str, denied: &Denied) -> Result<Client, NotDone> {
    let addresses: Vec<ServerAddr> = config.nats.iter().map(|url| url.address()).collect();
    let client = options(config, who, denied)?.connect(addresses).await.map_err(|error| match error.kind() {
        ConnectErrorKind::AuthorizationViolation | ConnectErrorKind::Authentication => {
            let what = format!("NATS refuses {}: {error}", config.login());
            ClusterError::new(ClusterErrorKind::Refused, what).into()
        }
        ConnectErrorKind::Tls | ConnectErrorKind::ServerParse => no_tls(&error, WITHOUT_TLS).into(),
        _ => match tls_error(&error) {
            Some(rustls::Error::InvalidMessage(_)) => no_tls(&error, WITHOUT_TLS).into(),
            Some(rustls::Error::InvalidCertificate(_)) => no_tls(&error, NOT_TRUSTED).into(),
            Some(rustls::Error::AlertReceived(_)) => no_tls(&error, NOT_WANTED).into(),
            _ => NotDone::NotNow(format!("cannot connect to NATS at {}: {error}", config.places())),
        },
    })?;
    check(&client)?;
    Ok(client)
}

fn no_tls(error: &ConnectError, hint: &str) -> ClusterError {
    ClusterError::new(ClusterErrorKind::Credentials, format!("cannot speak TLS to NATS: {error} ({hint})"))
}

/// What TLS says of it, if it does.
fn tls_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a rustls::Error> {
    let mut causes = std::iter::successors(Some(error), |error: &&'a (dyn Error + 'static)| (*error).source());
    causes.find_map(|error| {
        let inner = error.downcast_ref::<io::Error>().and_then(io::Error::get_ref);
        inner.and_then(|inner| inner.downcast_ref::<rustls::Error>()).or_else(|| error.downcast_ref())
    })
}

/// Whether a server of NATS will do.
fn check(client: &Client) -> Result<(), NotDone> {
    let info = client.try_server_info().ok_or_else(|| NotDone::NotNow("NATS says nothing of itself".to_owned()))?;
    let fault = |what: String| {
        let name = format!("the NATS server {} at {}:{}", info.server_name, info.host, info.port);
        Err(ClusterError::new(ClusterErrorKind::Unsuitable, format!("{name} {what}")).into())
    };
    if !client.is_server_compatible(OLDEST.0, OLDEST.1, 0) {
        return fault(format!("has version {}: it has to be {}.{} or later", info.version, OLDEST.0, OLDEST.1));
    }
    if !info.jetstream {
        return fault("has JetStream off: start it with --jetstream".to_owned());
    }
    if info.max_payload < LEAST_PAYLOAD {
        return fault(format!("has max_payload {}: it has to be {LEAST_PAYLOAD} or more", info.max_payload));
    }
    Ok(())
}

fn options(config: &ClusterConfig, who: &str, denied: &Denied) -> Result<ConnectOptions, ClusterError> {
    let mut options = ConnectOptions::new();
    // async-nats passes over what stands in an address.
    options = match config.nats.iter().find_map(NatsUrl::login) {
        Some((user, Some(password))) => options.user_and_password(user.to_owned(), password.to_owned()),
        Some((token, None)) => options.token(token.to_owned()),
        None => options,
    };
    if let (Some(user), Some(file)) = (&config.nats_user, &config.nats_password_file) {
        options = options.user_and_password(user.clone(), read(file)?);
    }
    if let Some(file) = &config.nats_token_file {
        options = options.token(read(file)?);
    }
    if let Some(file) = &config.nats_credentials {
        // It wants the line break behind the last line.
        options = options.credentials(&format!("{}\n", read(file)?)).map_err(|error| unusable(file, error))?;
    }
    if let Some(file) = &config.nats_nkey_file {
        let seed = read(file)?;
        // It is looked at again at each connect only, and then nothing says what is wrong.
        match KeyPair::from_seed(&seed).map(|pair| pair.key_pair_type()) {
            Ok(KeyPairType::User) => options = options.nkey(seed),
            Ok(_) => return Err(unusable(file, "it has to be the seed of a user, which begins with SU")),
            Err(_) => return Err(unusable(file, "this is not the seed of an NKey")),
        }
    }
    if let Some(NatsTls { ca, client, handshake_first }) = &config.nats_tls {
        options = options.require_tls(true);
        if *handshake_first {
            options = options.tls_first();
        }
        // A file is to be given and not a TLS configuration: with that, the system's certificates would have to be there too.
        if let Some(ca) = ca {
            chain(ca, "ca").map_err(unusable_pem)?;
            options = options.add_root_certificates(ca.clone());
        }
        if let Some((certificate, key)) = client {
            let files = TlsFiles::new(certificate.clone(), key.clone());
            chain(certificate, "certificate")
                .and_then(|chain| certified(&files, chain, &rustls::crypto::ring::default_provider()))
                .map_err(|error| unusable_pem(error.within("client.")))?;
            options = options.add_client_certificate(certificate.clone(), key.clone());
        }
    }
    let (lost, denied) = (std::sync::Arc::new(Seldom::default()), denied.clone());
    Ok(options
        .name(who)
        .ping_interval(PING_EVERY)
        .connection_timeout(CONNECT_WITHIN)
        .request_timeout(Some(ANSWER))
        .subscription_capacity(WAITING_PAYLOADS)
        .reconnect_delay_callback(|attempts| {
            (RECONNECT_AFTER * u32::try_from(attempts).unwrap_or(u32::MAX)).min(CONNECT_WITHIN)
        })
        .event_callback(move |event| {
            let lost = std::sync::Arc::clone(&lost);
            if let Event::ServerError(async_nats::ServerError::Other(error)) = &event {
                denied.note(error);
            }
            async move {
                match event {
                    Event::SlowConsumer(_) => {
                        lost.warn("this node reads so slowly what others say that some was dropped");
                    }
                    Event::Connected => info!("connected to NATS"),
                    Event::Disconnected => warn!("the connection to NATS is lost"),
                    Event::ServerError(error) => warn!("NATS says: {error}"),
                    // One for each attempt to come back, which says less than that the connection is lost.
                    Event::ClientError(error) => debug!("NATS: {error}"),
                    Event::LameDuckMode | Event::Draining | Event::Closed => {}
                }
            }
        }))
}

fn read(file: &Path) -> Result<String, ClusterError> {
    let text = fs::read_to_string(file).map_err(|error| unusable(file, error))?;
    match text.trim() {
        "" => Err(unusable(file, "it is empty")),
        text => Ok(text.to_owned()),
    }
}

/// A file of certificates or a key that cannot be used: the error names it.
fn unusable_pem(error: ServerError) -> ClusterError {
    ClusterError::new(ClusterErrorKind::Credentials, error.within("cluster.nats_tls.").to_string())
}

fn unusable(file: &Path, error: impl std::fmt::Display) -> ClusterError {
    ClusterError::new(ClusterErrorKind::Credentials, format!("cannot use {}: {error}", file.display()))
}

/// Says now and then what is waited for.
#[derive(Debug, Default)]
pub(crate) struct Told(Seldom);

impl Told {
    /// Says it, if that was not done for ten seconds, and waits a moment.
    pub(crate) async fn wait(&mut self, what: &str) {
        self.0.warn_every(TELL_EVERY, format_args!("{what}; trying again"));
        sleep(TRY_EVERY).await;
    }
}

/// As whom one logs in that does not.
const NOBODY: &str = "who has no credentials";
/// What may be behind it.
const WITHOUT_TLS: &str =
    "does it have TLS? Where it has none, write nats:// in place of tls://, and leave out nats_tls";
const NOT_TRUSTED: &str = "nats_tls.ca names whom to trust; the certificate has to be for the name in the address";
const NOT_WANTED: &str = "nats_tls.client names the certificate to show: NATS may want one, or another";
const OLDEST: (i64, i64) = (2, 12);
const LEAST_PAYLOAD: usize = 64 * 1024;
/// A server that hangs is left after three of these without a word. A node that finds another one only after 9 s, which is as many
/// renewals of its lease, is put out.
const PING_EVERY: Duration = Duration::from_secs(1);
const CONNECT_WITHIN: Duration = Duration::from_secs(1);
const RECONNECT_AFTER: Duration = Duration::from_millis(50);
/// What async-nats asks for itself: nothing that anybody waits for.
const ANSWER: Duration = Duration::from_secs(5);
/// How many payloads may wait for this node to read them.
const WAITING_PAYLOADS: usize = 64 * 1024;
const TRY_EVERY: Duration = Duration::from_millis(500);
const TELL_EVERY: Duration = Duration::from_secs(10);
