//! The configuration of a project.

use std::time::Duration;

use rtm_codec::{AppId, CallLimit, CallLimits, limits};
use rtm_token::{Certificate, Policy};

use super::project_event::EventTypes;

/// The configuration of one project: its App ID, its certificates, and its limits and settings.
///
/// A project without a certificate is *open*: anyone who knows the App ID can log in (`docs/rtm.md#the-parts`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProjectConfig {
    /// The project's App ID.
    pub app_id: AppId,
    /// The certificates that may sign tokens: none for an open project, two while one replaces the other.
    pub certificates: Vec<Certificate>,
    /// The rules for tokens that a server can choose.
    pub token_policy: Policy,
    /// How often each call may be made by one client.
    pub limits: CallLimits,
    /// Times, sizes and counts.
    pub settings: Settings,
    /// Who may use the REST API.
    pub rest: RestAccess,
    /// What the log of events has.
    pub events: EventSettings,
    /// How much of a server the project may take.
    pub quotas: Quotas,
}

/// What the log of events has, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventSettings {
    /// Whether there is one (yes).
    pub enabled: bool,
    /// Which types of events it has ([`EventTypes::usual`]).
    pub types: EventTypes,
    /// How long an event is kept. 7 days.
    pub keep_for: Duration,
    /// How many events are kept, about. 1,000,000; a server without a data directory keeps at most 100,000.
    pub keep_count: usize,
}

impl Default for EventSettings {
    fn default() -> Self {
        Self {
            enabled: true,
            types: EventTypes::usual(),
            keep_for: Duration::from_secs(7 * 24 * 60 * 60),
            keep_count: 1_000_000,
        }
    }
}

/// How much of a server a project may take; of each server, unless said otherwise. 0, the default: no limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub struct Quotas {
    /// The most connections. Beyond them a login is refused, unless its user has a session already.
    pub max_connections: usize,
    /// The most channels with members or attributes. Beyond them nobody joins another, and none gets attributes.
    pub max_channels: usize,
    /// The most bytes that the store keeps of what users send and write: messages that wait, history and attributes of channels, as
    /// [`StoredBytes`](crate::store::StoredBytes) has them. Of the whole cluster, about: nodes measure from time to time. Beyond them
    /// nothing is stored, and its sender is told so.
    pub stored_bytes: u64,
    /// The most bytes of the log of events, about; of the whole cluster. Beyond them the oldest events go, and readers are told so.
    pub event_log_bytes: u64,
}

/// Who may use the REST API of a project, and how often. Without a key nobody may.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct RestAccess {
    /// The keys of back ends.
    pub keys: Vec<RestKey>,
    /// What a user's token opens besides.
    pub tokens_may: RestRights,
    /// How often messages may be sent, to users and channels together (500 in 1 s).
    pub limit: CallLimit,
}

/// A key of a back end.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RestKey {
    /// What the back end says in place of a user name.
    pub id: String,
    /// The SHA-256 of its secret, which the server does not have.
    pub secret_sha256: [u8; 32],
}

/// What a user's token opens in the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[expect(clippy::exhaustive_structs, reason = "each call belongs to one of them")]
pub struct RestRights {
    /// Sending messages as that user.
    pub send: bool,
    /// Searching what that user sent and received, and the channels that it is in.
    pub history: bool,
    /// Reading, and thereby removing, the events of all users.
    pub events: bool,
}

/// This is no key of the REST API.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidRestKey {
    /// The id is not 1 to 64 visible ASCII characters without a colon.
    #[error("a key's id has 1 to 64 visible ASCII characters and no colon")]
    Id,
    /// The digest is not 64 hexadecimal digits.
    #[error("secret_sha256 is not a SHA-256 in 64 hexadecimal digits")]
    Digest,
}

impl RestKey {
    /// A key with this id, whose secret has this SHA-256 in hexadecimal digits.
    ///
    /// # Errors
    ///
    /// [`InvalidRestKey`] says which of them is none.
    pub fn new(id: &str, secret_sha256: &str) -> Result<Self, InvalidRestKey> {
        let is_id = (1..=64).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':');
        if !is_id {
            return Err(InvalidRestKey::Id);
        }
        let digits = secret_sha256.as_bytes();
        let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
        let byte = |pair: &[u8]| Some(digit(*pair.first()?)? * 16 + digit(*pair.get(1)?)?);
        let bytes: Option<Vec<u8>> = digits.chunks(2).map(byte).collect();
        let secret_sha256 = bytes.and_then(|bytes| bytes.try_into().ok()).ok_or(InvalidRestKey::Digest)?;
        Ok(Self { id: id.to_owned(), secret_sha256 })
    }
}

impl Default for RestAccess {
    /// No key, and the vendor's limit.
    fn default() -> Self {
        let tokens_may = RestRights { send: true, history: true, events: false };
        Self { keys: Vec::new(), tokens_may, limit: CallLimit::new(500, Duration::from_secs(1)) }
    }
}

impl ProjectConfig {
    /// An open project with the default limits and settings.
    #[must_use]
    pub fn new(app_id: AppId) -> Self {
        Self {
            app_id,
            certificates: Vec::new(),
            token_policy: Policy::new(),
            limits: CallLimits::default(),
            settings: Settings::default(),
            rest: RestAccess::default(),
            events: EventSettings::default(),
            quotas: Quotas::default(),
        }
    }
}

impl From<AppId> for ProjectConfig {
    /// An open project with the default limits and settings.
    fn from(app_id: AppId) -> Self {
        Self::new(app_id)
    }
}

/// The times, sizes and counts of a project. The defaults are the vendor's where it has any. `docs/rtm.md` explains each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// Silence after which a user is unreachable, or one and a half of its keep-alive intervals if that is longer. 6 s.
    pub unreachable_after: Duration,
    /// Silence after which a user is offline: it leaves its channels and loses its attributes. 30 s.
    pub offline_after: Duration,
    /// Silence after which a session can no longer be resumed. 2 min; at least `offline_after`.
    pub resume_within: Duration,
    /// How long the server waits for the receipt of the receiving device before it answers that the message was stored or not
    /// received. 9 s: less than the 10 s of the client's call.
    pub receipt_within: Duration,
    /// How long a repeated message id is recognised. 60 s.
    pub repeat_within: Duration,
    /// How many message ids per sender are remembered for that. 4,096.
    pub repeat_ids: usize,
    /// The most bytes of undelivered and unacknowledged events and answers of a session. 4 MiB.
    pub session_bytes: usize,
    /// The most messages of each channel that are kept for a member that is away for a short time. 32.
    pub away_channel_messages: usize,
    /// The least time between two events with changed online states to a subscriber. 100 ms.
    pub presence_pause: Duration,
    /// The least time between two member counts of a channel up to 512 members. 1 s.
    pub member_count_pause: Duration,
    /// The least time between two member counts of a larger channel. 3 s.
    pub large_member_count_pause: Duration,
    /// How long an empty channel keeps its attributes. 5 min.
    pub channel_attributes_for: Duration,
    /// The most bytes of all channel attributes of the project. 256 MiB.
    pub channel_attributes_bytes: usize,
    /// How long the subscriptions of a client that does not repeat them are kept after its last sign of life. 24 h.
    pub subscriptions_for: Duration,
    /// The most bytes of all such subscriptions of the project. 64 MiB.
    pub subscriptions_bytes: usize,
    /// The most stored messages for one receiver; beyond that the oldest are discarded. 200.
    pub offline_messages: usize,
    /// How long a stored message waits for its receiver. 7 days.
    pub offline_for: Duration,
    /// How long history is kept. 7 days.
    pub history_for: Duration,
    /// How long a callee may take to receive an invitation. 30 s.
    pub invitation_receipt_within: Duration,
    /// How long after it was sent an invitation can be accepted or refused. 60 s.
    pub invitation_answer_within: Duration,
    /// The most open invitations of a user, as caller and as callee. 128.
    pub open_invitations: usize,
    /// How long before the expiry of a token its user is warned; half of the token's validity if that is shorter. 30 s.
    pub token_warning: Duration,
    /// Whether a client of the vendor's SDK that returns within `offline_after` keeps its attributes, although the SDK
    /// sends only a part of them (`docs/rtm.md#the-vendors-sdk`). Yes.
    pub keep_attributes_on_return: bool,
}

impl Default for Settings {
    fn default() -> Self {
        const DAY: Duration = Duration::from_secs(24 * 60 * 60);
        Self {
            unreachable_after: Duration::from_secs(6),
            offline_after: Duration::from_secs(30),
            resume_within: Duration::from_secs(120),
            receipt_within: Duration::from_secs(9),
            repeat_within: Duration::from_secs(60),
            repeat_ids: 4096,
            session_bytes: 4 * 1024 * 1024,
            away_channel_messages: 32,
            presence_pause: Duration::from_millis(100),
            member_count_pause: Duration::from_secs(1),
            large_member_count_pause: Duration::from_secs(3),
            channel_attributes_for: Duration::from_secs(5 * 60),
            channel_attributes_bytes: 256 * 1024 * 1024,
            subscriptions_for: DAY,
            subscriptions_bytes: 64 * 1024 * 1024,
            offline_messages: limits::OFFLINE_MESSAGES,
            offline_for: DAY * 7,
            history_for: DAY * 7,
            invitation_receipt_within: Duration::from_secs(30),
            invitation_answer_within: Duration::from_secs(60),
            open_invitations: 128,
            token_warning: Duration::from_secs(30),
            keep_attributes_on_return: true,
        }
    }
}
