//! What a fuzzer's bytes stand for: the steps of a run, and how its project is set up.

use arbitrary::Arbitrary;

use crate::call::{Call, Device, Raw, Size};

/// One input. Which socket it is about follows from the number and what there is.
#[derive(Debug, Arbitrary)]
pub(super) enum Step {
    Connect {
        vendor: bool,
    },
    Login {
        socket: u8,
        device: Device,
        resume: Option<Position>,
    },
    Call {
        socket: u8,
        id: Numbering,
        call: Call,
    },
    Ack {
        socket: u8,
        received: Position,
        consumed: Position,
        answered: Position,
    },
    Ping(u8),
    Pong(u8),
    Logout(u8),
    /// A packet as it came.
    Raw {
        socket: u8,
        bytes: Raw,
    },
    /// The socket takes what there is for it.
    Read(u8),
    Disconnect(u8),
    Close {
        socket: u8,
        reason: u8,
    },
    /// Time, in milliseconds, in which nobody says anything.
    Pass(u16),
    /// Time, in seconds, in which the clients give signs of life and take everything.
    Live(u8),
    Store {
        held: bool,
        broken: bool,
    },
    Gateway {
        user: u8,
        token: Option<Size>,
    },
    TakeOffline {
        user: u8,
        session: u8,
    },
    Taken(u8),
    History {
        user: u8,
        of_peer: bool,
        whose: u8,
        limit: u8,
    },
    Ban {
        user: u8,
        seconds: u8,
    },
    Unban(u8),
    Drain,
    Crash,
}

/// Where a client says that it is.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Position {
    Right,
    Behind(u8),
    Ahead(u8),
    Any(u64),
}

/// What number a request gets.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Numbering {
    Next,
    Again(u8),
    Any(u64),
}

/// How the project is set up.
#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) struct Setup {
    pub(super) secure: bool,
    pub(super) limited: bool,
    pub(super) small: bool,
}

impl Position {
    pub(super) fn from(self, right: u64) -> u64 {
        match self {
            Self::Right => right,
            Self::Behind(by) => right.saturating_sub(by.into()),
            Self::Ahead(by) => right.saturating_add(by.into()),
            Self::Any(number) => number,
        }
    }
}
