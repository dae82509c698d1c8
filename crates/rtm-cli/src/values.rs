//! Values of options that several commands have, and how a wrong one is told: with the form that is wanted.

use std::{
    ops::RangeInclusive,
    path::Path,
    time::{Duration, SystemTime},
};

use anyhow::{Context as _, bail};
use tokio_rustls::rustls::{
    RootCertStore,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject as _},
};

use crate::exit::WrongArgument;

/// A time, as `10s`.
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    humantime::parse_duration(text).map_err(|error| match error {
        humantime::DurationError::NumberOverflow => "it is too long".to_owned(),
        _ => "it is not a time: write 500ms, 10s, 5m or 24h".to_owned(),
    })
}

/// A moment, or how long ago it was.
pub(crate) fn moment(text: &str) -> Result<SystemTime, String> {
    if let Ok(time) = humantime::parse_rfc3339_weak(text) {
        return Ok(time);
    }
    let ago = humantime::parse_duration(text)
        .map_err(|_| "it is neither a time like 2030-01-31T12:00:00Z nor a duration like 90m".to_owned())?;
    let time = SystemTime::now().checked_sub(ago).filter(|time| *time >= SystemTime::UNIX_EPOCH);
    time.ok_or_else(|| "it is too long ago".to_owned())
}

/// A moment as RFC 3339 writes it, or this word.
pub(crate) fn moment_or(word: &'static str) -> impl Fn(&str) -> Result<String, String> + Clone + Send + Sync + 'static {
    move |text| match humantime::parse_rfc3339(text) {
        Err(_) if text != word => Err(format!("it is neither a time like 2030-01-31T12:00:00Z nor the word {word}")),
        _ => Ok(text.to_owned()),
    }
}

/// Refuses what begins when it is over.
pub(crate) fn in_order(since: Option<SystemTime>, until: Option<SystemTime>) -> Result<(), WrongArgument> {
    match (since, until) {
        (Some(since), Some(until)) if since >= until => {
            let what = "--until is not later than --since, so nothing is between them: 2h ago is before 1h ago";
            Err(WrongArgument(what.to_owned()))
        }
        _ => Ok(()),
    }
}

/// A time that somebody else reads.
pub(crate) fn duration_text(text: &str) -> Result<String, String> {
    duration(text).map(|_| text.to_owned())
}

/// How long a login may take.
pub(crate) fn login_timeout(text: &str) -> Result<Duration, String> {
    let time = humantime::parse_duration(text).ok().filter(|time| LOGIN_TIMES.contains(time));
    time.ok_or_else(|| "it is not a time from 100ms to 1h: write 500ms, 10s or 5m".to_owned())
}

/// What is in a file.
pub(crate) fn read(file: &Path) -> anyhow::Result<Vec<u8>> {
    std::fs::read(file).with_context(|| format!("cannot read {}", file.display()))
}

/// What is in a PEM file with the certificates of authorities.
pub(crate) fn read_authorities(file: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = read(file)?;
    authorities(&pem, file)?;
    Ok(pem)
}

/// What is in a PEM file with certificates.
pub(crate) fn read_certificates(file: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = read(file)?;
    certificates(&pem, file)?;
    Ok(pem)
}

/// What is in a PEM file with a private key.
pub(crate) fn read_key(file: &Path) -> anyhow::Result<Vec<u8>> {
    let pem = read(file)?;
    private_key(&pem, file)?;
    Ok(pem)
}

/// The certificates in the PEM of a file, of which there has to be one.
pub(crate) fn certificates(pem: &[u8], file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>().with_context(|| invalid(file))?;
    if found.is_empty() {
        bail!(invalid(file));
    }
    Ok(found)
}

/// The certificates of authorities in the PEM of a file. What is only shown to somebody else, who looks at it, need not be such.
pub(crate) fn authorities(pem: &[u8], file: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let found = certificates(pem, file)?;
    for certificate in &found {
        RootCertStore::empty().add(certificate.clone()).with_context(|| invalid(file))?;
    }
    Ok(found)
}

fn invalid(file: &Path) -> String {
    format!("{} has no valid certificate in PEM", file.display())
}

/// The private key in the PEM of a file.
pub(crate) fn private_key(pem: &[u8], file: &Path) -> anyhow::Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem).with_context(|| format!("{} has no private key in PEM", file.display()))
}

/// What the client library takes.
const LOGIN_TIMES: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3600);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_said_as_such_or_as_how_long_ago() {
        assert_eq!(moment("1970-01-01T00:01:00Z"), Ok(SystemTime::UNIX_EPOCH + Duration::from_secs(60)));
        let ago = moment("90m").unwrap().elapsed().unwrap();
        assert!((5400..5460).contains(&ago.as_secs()), "{ago:?}");
        assert!(moment("yesterday").is_err());
        assert!(moment("1000y").is_err());
        assert!(moment("1000000000000y").is_err());
    }

    #[test]
    fn a_login_has_a_tenth_of_a_second_to_an_hour() {
        for (text, wanted) in
            [("100ms", Some(100)), ("1h", Some(3_600_000)), ("99ms", None), ("61m", None), ("xx", None)]
        {
            let read = login_timeout(text).ok();
            assert_eq!(read, wanted.map(Duration::from_millis), "{text}");
        }
    }
}
