//! The timers of a connection: one list, which says for each what it is for.

use std::time::Instant;

/// Makes the enum and the walk over all of its variants from one list, so that neither can miss one.
macro_rules! timers {
    ($($(#[$doc:meta])+ $timer:ident,)+) => {
        /// What a connection waits for.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
        #[non_exhaustive]
        pub enum Timer {
            $($(#[$doc])+ $timer,)+
        }

        impl Timer {
            /// Calls `visit` with each timer, in the order in which those that are due at once are carried out.
            #[inline(always)]
            pub(crate) fn for_each(mut visit: impl FnMut(Self)) {
                $(visit(Self::$timer);)+
            }
        }
    };
}

timers! {
    /// A request has no answer: it ends with `Timeout`.
    Request,
    /// An invitation has no news: it ends.
    Invitation,
    /// The user's `login` has not succeeded: it fails.
    Login,
    /// The token ends while there is no link over which the server could say so.
    Token,
    /// The token provider has not answered, or is to be asked again.
    Provider,
    /// The server has not answered the login: the next attempt follows.
    Answer,
    /// The gateway has not said which server to connect to: the attempt fails.
    Gateway,
    /// A server has not opened the WebSocket: the next one is tried, or the attempt fails.
    Open,
    /// The pause between two attempts is over, or the one after a refused token.
    Reconnect,
    /// Nothing was heard for two keep-alive intervals: the link is given up.
    Silence,
    /// A ping is due.
    Ping,
    /// The gateway has not handed out the stored messages, or is to be asked again.
    StoredMessages,
    /// What could not be restored a while ago is tried again.
    Restore,
    /// The server has not confirmed the logout: it ends without that.
    Logout,
}

impl Timer {
    /// Whether it is for something that others are to say, and that may lie in the socket unread.
    #[inline(always)]
    pub(crate) fn waits_for_others(self) -> bool {
        match self {
            Self::Request
            | Self::Invitation
            | Self::Login
            | Self::Provider
            | Self::Answer
            | Self::Gateway
            | Self::Open
            | Self::Silence
            | Self::StoredMessages
            | Self::Logout => true,
            Self::Token | Self::Reconnect | Self::Ping | Self::Restore => false,
        }
    }
}

/// When the connection wants to hear of the time again, and for which of its timers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadline {
    /// When.
    pub at: Instant,
    /// What is due then.
    pub timer: Timer,
}
