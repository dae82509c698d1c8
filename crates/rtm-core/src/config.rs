//! What a project is, and the figures its rules work with.

use std::time::Duration;

use rtm_codec::{AppId, CallLimits, limits};
use rtm_token::{Certificate, Policy};

/// One project: its App ID, who may log in, and its figures.
///
/// Without a certificate the project is *open*: the App ID alone lets a user in (`docs/rtm.md#the-parts`).
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct ProjectConfig {
    /// The project's App ID.
    pub app_id: AppId,
    /// The certificates that tokens may be signed with: none for an open project, two during a rotation.
    pub certificates: Vec<Certificate>,
    /// What of the tokens' rules a server may choose.
    pub token_policy: Policy,
    /// How often each call may be made by one client.
    pub limits: CallLimits,
    /// Times, sizes and counts.
    pub settings: Settings,
}

impl ProjectConfig {
    /// An open project with the usual figures.
    #[must_use]
    pub fn new(app_id: AppId) -> Self {
        Self {
            app_id,
            certificates: Vec::new(),
            token_policy: Policy::new(),
            limits: CallLimits::default(),
            settings: Settings::default(),
        }
    }
}

impl From<AppId> for ProjectConfig {
    /// An open project with the usual figures.
    fn from(app_id: AppId) -> Self {
        Self::new(app_id)
    }
}

/// The times, sizes and counts of a project. The default has the vendor's figures, and where there are none those of
/// this project. `docs/rtm.md` says what each is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Settings {
    /// After how much silence a user counts as unreachable, if its keep-alive is not slower: then after
    /// one and a half keep-alive periods. 6 s.
    pub unreachable_after: Duration,
    /// After how much silence a user is offline: out of its channels, its attributes gone. 30 s.
    pub offline_after: Duration,
    /// After how much silence a session can no longer be resumed. 2 min; at least `offline_after`.
    pub resume_within: Duration,
    /// How long a sender waits for the receiving device before it is told that the message was stored
    /// or not received. 9 s: before its own 10 s for the call are over.
    pub receipt_within: Duration,
    /// How long a repeated message id is recognised. 60 s.
    pub repeat_within: Duration,
    /// How many message ids of one sender are remembered for that. 4,096.
    pub repeat_ids: usize,
    /// How many bytes of undelivered and unacknowledged events and answers a session may hold. 4 MiB.
    pub session_bytes: usize,
    /// How many messages of each channel are kept for a member that is away for a short time. 32.
    pub away_channel_messages: usize,
    /// The least time between two reports of changed online states to a subscriber. 100 ms.
    pub presence_pause: Duration,
    /// The least time between two member counts of a channel up to 512 members. 1 s.
    pub member_count_pause: Duration,
    /// The least time between two member counts of a larger channel. 3 s.
    pub large_member_count_pause: Duration,
    /// How long an empty channel keeps its attributes. 5 min.
    pub channel_attributes_for: Duration,
    /// How many bytes of channel attributes the project may hold in all. 256 MiB.
    pub channel_attributes_bytes: usize,
    /// How long the subscriptions of a client that does not repeat them are kept after its last sign of life. 24 h.
    pub subscriptions_for: Duration,
    /// How many bytes of such subscriptions the project may keep in all. 64 MiB.
    pub subscriptions_bytes: usize,
    /// How many stored messages wait for one receiver; the oldest give way. 200.
    pub offline_messages: usize,
    /// How long a stored message waits for its receiver. 7 days.
    pub offline_for: Duration,
    /// How long history is kept. 7 days.
    pub history_for: Duration,
    /// How long a callee may take to receive an invitation. 30 s.
    pub invitation_receipt_within: Duration,
    /// How long after its sending an invitation may be accepted or refused. 60 s.
    pub invitation_answer_within: Duration,
    /// How many open invitations a user may be part of, as caller and as callee. 128.
    pub open_invitations: usize,
    /// How long before a token's end its user is warned; half of the token's life, where that is shorter. 30 s.
    pub token_warning: Duration,
    /// Whether a vendor client that comes back within `offline_after` keeps its attributes although its SDK
    /// sends a part of them as if it were all (`docs/rtm.md#the-vendors-sdk`). Yes.
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
