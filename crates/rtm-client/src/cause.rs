//! What went wrong on the way to a server: a sentence, and the error behind it.

use std::{error::Error, fmt, io, sync::Arc};

use rtm_codec::Text;
use rtm_connection::TransportError;

/// An error of IO with a sentence before it, which does not say what the error itself says.
#[derive(Debug)]
struct Explained {
    what: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

/// An error of IO that says `what`, and why.
pub(crate) fn explained(
    kind: io::ErrorKind,
    what: impl Into<String>,
    source: impl Into<Box<dyn Error + Send + Sync>>,
) -> io::Error {
    io::Error::new(kind, Explained { what: what.into(), source: Some(source.into()) })
}

/// An error of IO that says `what`, with nothing behind it.
pub(crate) fn said(kind: io::ErrorKind, what: impl Into<String>) -> io::Error {
    io::Error::new(kind, explanation(what.into()))
}

/// An error that says `what`, with nothing behind it.
pub(crate) fn explanation(what: String) -> Box<dyn Error + Send + Sync> {
    Box::new(Explained { what, source: None })
}

/// What the machine is told of a failure.
pub(crate) fn transport_error(error: Box<dyn Error + Send + Sync>, retry: bool) -> TransportError {
    let (mut detail, mut source) = (String::new(), Some(error));
    // Sentences belong to the detail; the source is the first error that somebody else made.
    while let Some(error) = source.take() {
        let error = match error.downcast::<Explained>() {
            Ok(explained) => {
                detail = if detail.is_empty() { explained.what } else { format!("{detail}: {}", explained.what) };
                source = explained.source;
                continue;
            }
            Err(error) => error,
        };
        match error.downcast::<io::Error>() {
            Ok(error) if is_wrapping(&error) => source = error.into_inner(),
            Ok(error) => return with_source(retry, detail, error),
            Err(error) => return with_source(retry, detail, error),
        }
    }
    TransportError { retry, detail: Text::from(detail), source: None }
}

fn with_source(retry: bool, detail: String, source: Box<dyn Error + Send + Sync>) -> TransportError {
    TransportError { retry, detail: Text::from(detail), source: Some(Arc::from(source)) }
}

/// Whether an error of IO only carries another one: a sentence, or what rustls says.
fn is_wrapping(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<Explained>() || is_of_tls(inner))
}

#[cfg(feature = "_tls")]
fn is_of_tls(error: &(dyn Error + Send + Sync + 'static)) -> bool {
    error.is::<tokio_rustls::rustls::Error>()
}

#[cfg(not(feature = "_tls"))]
fn is_of_tls(_: &(dyn Error + Send + Sync + 'static)) -> bool {
    false
}

impl fmt::Display for Explained {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

impl Error for Explained {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        Some(&**self.source.as_ref()?)
    }
}
