//! What went wrong on the way to a server, before it is the error of a call.

use std::{error::Error, fmt, sync::Arc};

use rtm_codec::Text;

/// What went wrong, for a person, and the error behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Failure {
    pub(crate) detail: Text,
    pub(crate) source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Failure {
    /// The same, with the name of where it happened.
    pub(crate) fn at(self, name: &Text) -> Self {
        let detail = match (name.is_empty(), self.detail.is_empty()) {
            (true, _) => self.detail,
            (false, true) => name.clone(),
            (false, false) => Text::from(format!("{name}: {}", self.detail)),
        };
        Self { detail, source: self.source }
    }

    /// With what its source says.
    pub(crate) fn in_full(&self) -> String {
        let source = self.source.as_ref().map(|source| &**source as &(dyn Error + 'static));
        format!("{}{}", self.detail, Sources(source)).trim_start_matches(": ").to_owned()
    }
}

impl From<&str> for Failure {
    fn from(detail: &str) -> Self {
        Self { detail: Text::from(detail), source: None }
    }
}

impl From<Text> for Failure {
    fn from(detail: Text) -> Self {
        Self { detail, source: None }
    }
}

/// An error and those behind it, as the end of a sentence.
pub(crate) struct Sources<'a>(pub(crate) Option<&'a (dyn Error + 'static)>);

impl fmt::Display for Sources<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut next = self.0;
        while let Some(source) = next {
            write!(f, ": {source}")?;
            next = source.source();
        }
        Ok(())
    }
}
