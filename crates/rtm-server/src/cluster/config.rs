//! How a server is a node of a cluster.

use std::{fmt, path::PathBuf, str::FromStr, time::Duration};

use async_nats::ServerAddr;
use rtm_core::cluster::NodeName;

use crate::error::ConfigError;

/// How a server is a node of a cluster: one of several that serve the same projects as one, on NATS 2.12 or later with
/// JetStream.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ClusterConfig {
    /// The servers of NATS. It is best to name all of them: those that join later are learnt only when a node connects.
    pub nats: Vec<NatsUrl>,
    /// The user to log in to NATS with, whose password is in [`nats_password_file`](Self::nats_password_file).
    pub nats_user: Option<String>,
    /// The file with that password. White space around it is left out.
    pub nats_password_file: Option<PathBuf>,
    /// The file with a token to log in to NATS with. White space around it is left out.
    pub nats_token_file: Option<PathBuf>,
    /// A credentials file (`.creds`) to log in to NATS with.
    pub nats_credentials: Option<PathBuf>,
    /// The file with the seed of an NKey to log in to NATS with.
    pub nats_nkey_file: Option<PathBuf>,
    /// How to speak TLS to NATS. By default that is done where NATS asks for it, or an URL begins with `tls://`, and the
    /// system's certificate authorities are trusted.
    pub nats_tls: Option<NatsTls>,
    /// The name of the cluster (`main`): subjects, buckets and streams are called `rtm_<name>_…`.
    pub name: ClusterName,
    /// The name of this node, which no other one of the cluster has. By default the host's name and the port.
    pub node: Option<NodeName>,
    /// How many servers of NATS keep what the cluster stores. By default, when it is made, three; and what is there is taken
    /// as it is. If JetStream has fewer servers, the largest odd number of servers that there are keeps it. A number that
    /// differs from what was asked for when it was made is an error.
    pub replicas: Option<usize>,
    /// How long a node goes on that is out of touch with NATS (30 s).
    pub isolated_for: Duration,
}

/// The address of a server of NATS: `nats://HOST:PORT`, or `tls://HOST:PORT`. A user and a password, or a token, may stand
/// before the host, percent-encoded: `nats://rtm:p%40ss@HOST:PORT`.
#[derive(Clone, PartialEq, Eq)]
pub struct NatsUrl {
    text: String,
    login: Option<(String, Option<String>)>,
    address: ServerAddr,
}

/// This is no address of a server of NATS.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{what}")]
pub struct InvalidNatsUrl {
    what: String,
}

/// How to speak TLS to NATS, and only that.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct NatsTls {
    /// A PEM file with the certificate authorities to trust, in place of the system's.
    pub ca: Option<PathBuf>,
    /// PEM files with a certificate to show, and its key.
    pub client: Option<(PathBuf, PathBuf)>,
    /// Whether TLS begins before NATS says anything, as with `handshake_first` in its configuration. By default NATS says first
    /// who it is, and that without TLS.
    pub handshake_first: bool,
}

/// The name of a cluster: 1 to 32 letters, digits, `-` and `_`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ClusterName(String);

/// This is no name of a cluster.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a cluster's name has 1 to 32 letters, digits, - and _")]
#[non_exhaustive]
pub struct InvalidClusterName;

impl ClusterConfig {
    /// The usual settings, on these servers of NATS.
    #[must_use]
    pub fn new(nats: Vec<NatsUrl>) -> Self {
        Self {
            nats,
            nats_user: None,
            nats_password_file: None,
            nats_token_file: None,
            nats_credentials: None,
            nats_nkey_file: None,
            nats_tls: None,
            name: ClusterName("main".to_owned()),
            node: None,
            replicas: None,
            isolated_for: Duration::from_secs(30),
        }
    }

    pub(crate) fn check(&self) -> Result<(), ConfigError> {
        let fault = |key: &str, what: &str| Err(ConfigError::value(format!("cluster.{key}"), what));
        if self.nats.is_empty() {
            return fault("nats", "there is no server of NATS");
        }
        if self.nats_user.is_some() != self.nats_password_file.is_some() {
            return fault("nats_user", "nats_user and nats_password_file belong together");
        }
        let is_in_address = self.nats.iter().any(|url| url.login().is_some());
        let ways = [
            is_in_address,
            self.nats_user.is_some(),
            self.nats_token_file.is_some(),
            self.nats_credentials.is_some(),
            self.nats_nkey_file.is_some(),
        ];
        if ways.into_iter().filter(|given| *given).count() > 1 {
            return fault(
                "nats_user",
                "there is more than one way to log in: use one of nats_user, nats_token_file, nats_credentials, \
                 nats_nkey_file and what stands in an address",
            );
        }
        if self.replicas.is_some_and(|replicas| !(1..=MOST_REPLICAS).contains(&replicas)) {
            return fault("replicas", "it has to be 1 to 5");
        }
        if self.isolated_for < SHORTEST_ISOLATION {
            return fault("isolated_for", "it is shorter than 5s: NATS needs that long to choose another leader");
        }
        Ok(())
    }
}

impl NatsUrl {
    pub(crate) fn address(&self) -> ServerAddr {
        self.address.clone()
    }

    /// The user and the password that stand in it, without percent-encoding; a token has no password.
    pub(crate) fn login(&self) -> Option<(&str, Option<&str>)> {
        self.login.as_ref().map(|(user, password)| (user.as_str(), password.as_deref()))
    }
}

impl FromStr for NatsUrl {
    type Err = InvalidNatsUrl;

    fn from_str(text: &str) -> Result<Self, InvalidNatsUrl> {
        let invalid = || InvalidNatsUrl::new(text);
        let has_scheme = text.starts_with("nats://") || text.starts_with("tls://");
        let address: ServerAddr = text.parse().ok().filter(|_| has_scheme).ok_or_else(invalid)?;
        let rest = text.split_once("://").map_or(text, |(_, rest)| rest);
        if address.host().is_empty() || rest.contains(['/', '?', '#']) {
            return Err(invalid());
        }
        let login = match rest.rsplit_once('@') {
            Some((login, host)) => Some(open_login(login).ok_or_else(|| InvalidNatsUrl::badly_encoded(host))?),
            None => None,
        };
        Ok(Self { text: text.to_owned(), login, address })
    }
}

impl InvalidNatsUrl {
    fn new(text: &str) -> Self {
        // Without what somebody may have written before an @.
        let shown = text.rsplit_once('@').map_or(text, |(_, host)| host);
        let login = text.split_once("://").and_then(|(_, rest)| rest.rsplit_once('@'));
        if login.is_some_and(|(login, _)| login.contains(['/', '?', '#'])) {
            return Self::badly_encoded(shown);
        }
        let (host, port) = host_and_port(shown);
        let has_no_port = port.is_some_and(|port| port.parse::<u16>().is_err());
        let what = if text.is_empty() {
            "an address of NATS is empty: there may be a comma too many".to_owned()
        } else if has_no_port && shown == text {
            // A comma parts addresses: this may be the beginning of a login, whose password is not to be shown.
            format!(
                "{host:?} has no port from 1 to 65535: write nats://HOST:PORT or tls://HOST:PORT, and %2C for a comma in a \
                 password"
            )
        } else if has_no_port {
            format!("{shown:?} has no port from 1 to 65535: write nats://HOST:PORT or tls://HOST:PORT")
        } else {
            format!("{shown:?} is not an address of NATS: write nats://HOST:PORT or tls://HOST:PORT")
        };
        Self { what }
    }

    fn badly_encoded(host: &str) -> Self {
        let what = format!(
            "what stands before @{host} is not percent-encoded right: write %25 for a %, %40 for an @, %2F for a /"
        );
        Self { what }
    }
}

/// What stands before the first colon that is in no scheme and no IPv6 address, and what stands behind it.
fn host_and_port(text: &str) -> (&str, Option<&str>) {
    let start = text.find("://").map_or(0, |at| at + "://".len());
    let rest = text.get(start..).unwrap_or_default();
    let bracket = if rest.starts_with('[') { rest.find(']').unwrap_or_default() } else { 0 };
    match rest.get(bracket..).and_then(|rest| rest.find(':')) {
        Some(colon) => {
            let end = start + bracket + colon;
            (text.get(..end).unwrap_or(text), text.get(end + 1..))
        }
        None => (text, None),
    }
}

/// The user and the password of an address, or a token.
fn open_login(login: &str) -> Option<(String, Option<String>)> {
    Some(match login.split_once(':') {
        Some((user, password)) => (decoded(user)?, Some(decoded(password)?)),
        None => (decoded(login)?, None),
    })
}

/// Undoes percent-encoding. `None` for what is not encoded right.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        bytes.push(if byte == b'%' {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            let value = digit(rest.next()?)? * 16 + digit(rest.next()?)?;
            u8::try_from(value).ok()?
        } else {
            byte
        });
    }
    String::from_utf8(bytes).ok()
}

impl fmt::Debug for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "NatsUrl({self})")
    }
}

impl fmt::Display for NatsUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Without what somebody may have written before an @.
        match self.text.split_once("://").and_then(|(scheme, rest)| Some((scheme, rest.rsplit_once('@')?.1))) {
            Some((scheme, rest)) => write!(f, "{scheme}://{rest}"),
            None => f.write_str(&self.text),
        }
    }
}

impl ClusterName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ClusterName {
    type Err = InvalidClusterName;

    fn from_str(text: &str) -> Result<Self, InvalidClusterName> {
        let is_good = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_';
        let fits = (1..=LONGEST_NAME).contains(&text.len()) && text.bytes().all(is_good);
        if fits { Ok(Self(text.to_owned())) } else { Err(InvalidClusterName) }
    }
}

impl fmt::Display for ClusterName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What JetStream allows.
const MOST_REPLICAS: usize = 5;
const LONGEST_NAME: usize = 32;
const SHORTEST_ISOLATION: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_nats_names_its_scheme_and_a_host() {
        for good in ["nats://127.0.0.1:4222", "nats://nats-1", "tls://nats.example.com:4222", "nats://[::1]:4222"] {
            assert_eq!(good.parse::<NatsUrl>().map(|url| url.to_string()), Ok(good.to_owned()));
        }
        for bad in ["", "127.0.0.1:4222", "http://127.0.0.1:4222", "nats://", "nats:4222", "ws://host", "nats://h/path"]
        {
            assert!(bad.parse::<NatsUrl>().is_err(), "{bad}");
        }
        assert_eq!(
            "nats://user:secret@host:1".parse::<NatsUrl>().map(|url| url.to_string()),
            Ok("nats://host:1".into())
        );
        let wrong = "nats://user:secret@host:99999".parse::<NatsUrl>().map_err(|error| error.to_string());
        assert!(wrong.as_ref().is_err_and(|text| !text.contains("secret")), "{wrong:?}");
    }

    #[test]
    fn what_stands_before_a_host_is_a_user_with_a_password_or_a_token() {
        let login = |text: &str| {
            let url = text.parse::<NatsUrl>().unwrap();
            url.login().map(|(user, password)| (user.to_owned(), password.map(str::to_owned)))
        };
        assert_eq!(login("nats://host"), None);
        assert_eq!(login("nats://user:p:ss@host"), Some(("user".to_owned(), Some("p:ss".to_owned()))));
        assert_eq!(login("nats://token@host"), Some(("token".to_owned(), None)));
        let encoded = login("nats://us%65r:p%40s%2fs%3A%25%C3%BC+@host:1");
        assert_eq!(encoded, Some(("user".to_owned(), Some("p@s/s:%ü+".to_owned()))));
        assert_eq!(login("nats://t%40ken@host"), Some(("t@ken".to_owned(), None)));
    }

    #[test]
    fn a_login_that_is_not_percent_encoded_right_is_refused_and_not_shown() {
        for bad in ["user:secret%", "user:secret%4", "user:secret%zz", "secret%+1", "user:secret%FF", "user:secret/1"] {
            let error = format!("nats://{bad}@host:1").parse::<NatsUrl>().unwrap_err().to_string();
            assert!(error.contains("@host:1 is not percent-encoded right: write %25"), "{error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn a_password_with_an_at_sign_is_not_shown() {
        let url: NatsUrl = "nats://user:a@secret@host:1".parse().unwrap();
        assert_eq!((url.to_string(), url.login()), ("nats://host:1".to_owned(), Some(("user", Some("a@secret")))));
    }

    #[test]
    fn the_beginning_of_a_login_with_a_comma_shows_nothing_of_the_password() {
        for bad in ["nats://rtm:sec", "nats://rtm:12:sec", "tls://rtm:12/sec", "rtm:sec", "nats://rtm:99999"] {
            let error = bad.parse::<NatsUrl>().unwrap_err().to_string();
            let shown = bad.strip_suffix(bad.split("rtm").last().unwrap()).unwrap();
            assert!(error.starts_with(&format!("{shown:?} has no port from 1 to 65535: ")), "{error}");
            assert!(error.ends_with("and %2C for a comma in a password"), "{error}");
        }
        let error = |text: &str| text.parse::<NatsUrl>().unwrap_err().to_string();
        assert!(error("nats://[::1]:x").starts_with("\"nats://[::1]\" has no port"), "{}", error("nats://[::1]:x"));
        assert!(error("nats://a:b@host:x").starts_with("\"host:x\" has no port"), "{}", error("nats://a:b@host:x"));
        assert!(error("127.0.0.1:4222").starts_with("\"127.0.0.1:4222\" is not an address of NATS"));
    }

    #[test]
    fn a_name_fits_into_a_subject() {
        assert!("main_2-b".parse::<ClusterName>().is_ok());
        for bad in ["", "a.b", "a b", "ü", "*", &"a".repeat(33)] {
            assert!(bad.parse::<ClusterName>().is_err(), "{bad}");
        }
    }
}
