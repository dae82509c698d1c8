//! What the client logs, with the feature `tracing`.

use std::fmt::{Debug, Display};

/// Makes a function for each thing that is logged: it takes the fields, and does nothing where there is no log.
macro_rules! logs {
    ($($level:ident $name:ident($($field:ident: $format:ident),*) = $text:literal;)+) => {
        $(
            #[allow(dead_code, reason = "not every build has everything that is logged")]
            pub(crate) fn $name($($field: impl $format),*) {
                #[cfg(feature = "tracing")]
                tracing::$level!($($field = logs!(@$format $field),)* $text);
                #[cfg(not(feature = "tracing"))]
                let _ = ($($field,)*);
            }
        )+
    };
    (@Display $field:ident) => { tracing::field::display(&$field) };
    (@Debug $field:ident) => { tracing::field::debug(&$field) };
}

logs! {
    debug no_link(address: Display, error: Display) = "no link could be made";
    debug link_ended(reason: Debug, detail: Display) = "the link ended";
    debug not_answered(address: Display, endpoint: Debug, error: Display) = "the gateway did not answer";
    debug not_closed() = "the server did not close in time";
    warn stored_left(detail: Display) = "messages stored while offline stay on the server: they cannot be fetched";
    warn token_needed(error: Debug, retry_after: Debug) = "a token is needed";
    warn provider_failed(error: Display) = "there is no new token";
    warn roots_unreadable(error: Display) = "some of the system's certificates cannot be read";
}
