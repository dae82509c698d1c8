//! How a peer breaks the rules of WebSocket.

/// A peer that does not speak WebSocket, or sends too much. What comes after it cannot be understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Violation {
    /// A frame breaks the rules.
    #[error("{0}")]
    Protocol(&'static str),
    /// A text message, or the text of a close, is not UTF-8.
    #[error("a text is not valid UTF-8")]
    Utf8,
    /// A message is longer than is allowed.
    #[error("a message is longer than {max} bytes")]
    TooLong {
        /// The most that is allowed.
        max: usize,
    },
}

impl Violation {
    /// The code of the close frame with which it is answered.
    #[must_use]
    pub fn close_code(self) -> u16 {
        match self {
            Self::Protocol(_) => 1002,
            Self::Utf8 => 1007,
            Self::TooLong { .. } => 1009,
        }
    }
}
