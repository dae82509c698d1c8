//! The services that tokens are made for, and the permissions that one of them knows.

use std::fmt;

/// Access to some resources of one kind, in a token for RTM2. This server does not enforce it.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Permission {
    /// The kind: 0 message channels, 1 stream channels, 2 group channels, 3 server groups, 4 users.
    pub resource: u16,
    /// 0 to read, 1 to write.
    pub access: u16,
    /// The names of the resources.
    pub names: Vec<String>,
}

/// A service that tokens are made for, with its number in 007 tokens.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
#[repr(u16)]
pub enum Service {
    /// Audio and video.
    Rtc = 1,
    /// Real-time messaging: what this crate is for.
    Rtm = 2,
    /// Streaming.
    Streaming = 3,
    /// Full-path accelerator.
    Fpa = 4,
    /// Chat.
    Chat = 5,
    /// Fusion CDN.
    Fcdn = 6,
    /// Flexible classroom and other application platforms.
    Apaas = 7,
    /// Real-time messaging with permissions by resource.
    Rtm2 = 8,
    /// Conversational AI.
    ConvoAi = 9,
    /// Speech to text.
    Stt = 10,
}

impl Service {
    /// Its number in 007 tokens.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The service with this number in 007 tokens, if it is known here.
    pub fn from_number(number: u16) -> Option<Self> {
        [
            Self::Rtc,
            Self::Rtm,
            Self::Streaming,
            Self::Fpa,
            Self::Chat,
            Self::Fcdn,
            Self::Apaas,
            Self::Rtm2,
            Self::ConvoAi,
            Self::Stt,
        ]
        .into_iter()
        .find(|service| service.number() == number)
    }
}

impl fmt::Display for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Rtc => "RTC",
            Self::Rtm => "RTM",
            Self::Streaming => "Streaming",
            Self::Fpa => "FPA",
            Self::Chat => "Chat",
            Self::Fcdn => "FCDN",
            Self::Apaas => "APaaS",
            Self::Rtm2 => "RTM2",
            Self::ConvoAi => "ConvoAI",
            Self::Stt => "STT",
        })
    }
}
