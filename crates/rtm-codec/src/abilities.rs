//! Which wire a connection speaks, and what a client on it can do: `docs/rtm.md#the-two-wires`,
//! `docs/rtm.md#the-vendors-sdk`.

use std::{fmt, str::FromStr};

/// Which wire a connection speaks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Wire {
    /// Binary frames of the subprotocol `rtm.v1`: resume, flow control, binary messages.
    #[default]
    Native,
    /// The vendor's JSON text frames, as its SDKs speak them.
    Vendor,
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Native => "native",
            Self::Vendor => "vendor",
        })
    }
}

/// The text is the name of no wire.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("a wire is \"native\" or \"vendor\"")]
#[non_exhaustive]
pub struct UnknownWire;

impl FromStr for Wire {
    type Err = UnknownWire;

    fn from_str(text: &str) -> Result<Self, UnknownWire> {
        match text {
            "native" => Ok(Self::Native),
            "vendor" => Ok(Self::Vendor),
            _ => Err(UnknownWire),
        }
    }
}

impl Wire {
    /// What a client on this wire can do.
    #[must_use]
    pub const fn abilities(self) -> Abilities {
        let is_native = matches!(self, Self::Native);
        Abilities {
            resume: is_native,
            binary: is_native,
            revisions: is_native,
            fetches_stored: !is_native,
            repeats_attributes: !is_native,
            times_token: is_native,
            gives_up: !is_native,
            subscribes_once: !is_native,
        }
    }
}

/// What a client's wire can do, and what the client does by itself. The codecs put it into each [`Login`](crate::Login), so that
/// client and server ask for the ability that a question is about, and never which wire it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts, each asked for by its name")]
#[expect(clippy::exhaustive_structs, reason = "each wire says of every ability whether it has it")]
pub struct Abilities {
    /// It goes on in its session after a lost connection, and asks again for the answers that it did not get.
    pub resume: bool,
    /// It takes [binary messages](crate::RtmMessage::Binary).
    pub binary: bool,
    /// It can write channel attributes at a revision that it names.
    pub revisions: bool,
    /// It fetches its stored messages over HTTP, and gets them as events only where it has not done so in time.
    pub fetches_stored: bool,
    /// It sends its user attributes again, by itself, when it comes back, and perhaps only some of them or none.
    pub repeats_attributes: bool,
    /// It reads in the [`Welcome`](crate::Welcome) when its token ends, and warns its user itself if that is soon.
    pub times_token: bool,
    /// What is refused is over for it: it tries no login again that was refused for a while, and answers no invitation
    /// again.
    pub gives_up: bool,
    /// It subscribes to users once, and not again when it comes back: it counts on the server to keep its subscriptions.
    pub subscribes_once: bool,
}
