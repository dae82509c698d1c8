//! What RTM promises, and the ledger that holds a world to it.

mod attributes;
mod channels;
mod counts;
mod event_log;
mod facts;
mod gaps;
mod invitations;
mod messages;
mod outcomes;
mod presence;
mod requests;
mod states;
mod wire;

use std::{fmt, time::Duration};

use rtm_codec::{
    Answer, ChannelId, ClientFrame, CloseReason, Command, RequestId, Resumption, ServerFrame, StoredMessage, UserId,
};
use rtm_connection::{RtmError, RtmEvent};
use rtm_core::{LoggedEvent, Place, Settings, UnpackError};

pub(crate) use self::counts::MemberCount;
pub use self::facts::Invariant;
use self::{
    attributes::Attributes, channels::Channels, facts::Facts, gaps::Gaps, invitations::Invitations, messages::Messages,
    outcomes::Outcomes, presence::Presence, requests::Requests, states::States, wire::Streams,
};
use crate::{
    figures::DeviceConfig,
    nodes::{NodesInvariant, NodesViolation},
};

/// A broken promise.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Violation {
    /// Which promise.
    pub invariant: Invariant,
    /// When that showed.
    pub at: Duration,
    /// To whom.
    pub user_id: Option<UserId>,
    /// What happened.
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} at {:.4} s", self.invariant, self.at.as_secs_f64())?;
        if let Some(user_id) = &self.user_id {
            write!(f, ", {user_id}")?;
        }
        write!(f, ": {}", self.detail)
    }
}

impl std::error::Error for Violation {}

impl From<&NodesViolation> for Violation {
    fn from(violation: &NodesViolation) -> Self {
        let invariant = match violation.invariant {
            NodesInvariant::ViewsRise => Invariant::ViewsRise,
            NodesInvariant::NobodyDecidesOutside => Invariant::NobodyDecidesOutside,
            NodesInvariant::NobodyHealthyOut => Invariant::NobodyHealthyOut,
            NodesInvariant::BoxesBounded => Invariant::BoxesBounded,
            _ => Invariant::NothingStuck,
        };
        Self { invariant, at: violation.at, user_id: None, detail: violation.detail.clone() }
    }
}

/// What one check found.
pub(crate) type Verdict = Result<(), Fault>;

/// A promise that a check found broken.
#[derive(Debug)]
pub(crate) struct Fault {
    invariant: Invariant,
    detail: String,
}

/// The fault of a broken promise.
pub(crate) fn fault(invariant: Invariant, detail: impl Into<String>) -> Fault {
    Fault { invariant, detail: detail.into() }
}

/// Everything that is to be known for judging a world: what was asked for, what was answered, what was told, and
/// what went wrong meanwhile.
#[derive(Debug)]
pub(crate) struct Ledger {
    facts: Facts,
    requests: Requests,
    streams: Streams,
    states: States,
    gaps: Gaps,
    messages: Messages,
    outcomes: Outcomes,
    channels: Channels,
    presence: Presence,
    invitations: Invitations,
    attributes: Attributes,
    violation: Option<Violation>,
}

impl Ledger {
    pub(crate) fn new(settings: &Settings, durable: bool) -> Self {
        Self {
            facts: Facts::new(settings, durable),
            requests: Requests::default(),
            streams: Streams::default(),
            states: States::default(),
            gaps: Gaps::default(),
            messages: Messages::default(),
            outcomes: Outcomes::default(),
            channels: Channels::default(),
            presence: Presence::default(),
            invitations: Invitations::default(),
            attributes: Attributes::default(),
            violation: None,
        }
    }

    /// The first broken promise.
    pub(crate) fn violation(&self) -> Option<Violation> {
        self.violation.clone()
    }

    pub(crate) fn add_device(&mut self, user_id: UserId, config: &DeviceConfig) {
        self.facts.add(user_id, config);
        self.streams.add(config);
        self.states.add();
    }

    // What the application does.

    pub(crate) fn login_called(&mut self, now: Duration, device: usize) {
        self.states.login_called(now, device);
    }

    pub(crate) fn login_ended(&mut self, now: Duration, device: usize) {
        let verdict = self.states.login_ended(device);
        self.judge(now, Some(device), verdict);
    }

    pub(crate) fn logout_called(&mut self, now: Duration, device: usize) {
        self.states.logout_called(device);
        self.channels.session_ended(now, device);
        self.presence.session_ended(device);
        self.attributes.session_ended(device);
        self.invitations.disturbed(now, device);
    }

    pub(crate) fn logout_ended(&mut self, now: Duration, device: usize) {
        let verdict = self.states.logout_ended(device);
        self.judge(now, Some(device), verdict);
    }

    /// The application makes a call.
    pub(crate) fn issued(&mut self, now: Duration, device: usize, id: RequestId, command: Command) {
        self.messages.issued(&self.facts, now, device, id, &command);
        self.outcomes.issued(&self.facts, device, id, &command);
        self.channels.issued(now, device, &command);
        self.presence.issued(now, device, &command);
        self.invitations.issued(&self.facts, now, device, id, &command);
        self.requests.issued(now, device, id, command);
    }

    /// A call ended. Says whether the application made it, and not the world for itself.
    pub(crate) fn replied(
        &mut self,
        now: Duration,
        device: usize,
        id: RequestId,
        result: &Result<Answer, RtmError>,
    ) -> bool {
        let (command, is_probe) = match self.requests.replied(&self.facts, now, device, id, result) {
            Ok(answer) => answer,
            Err(fault) => {
                self.judge(now, Some(device), Err(fault));
                return false;
            }
        };
        let verdict = self.messages.replied(&self.facts, now, device, id, result);
        self.judge(now, Some(device), verdict);
        let verdict = self.outcomes.replied(device, id, result);
        self.judge(now, Some(device), verdict);
        self.channels.replied(now, device, id, &command, result);
        self.presence.replied(device, id, &command, result);
        self.attributes.replied(&self.facts, now, device, &command, result);
        self.invitations.replied(now, device, id, result);
        !is_probe
    }

    // What the device's connection sends, receives and tells.

    pub(crate) fn frame_out(&mut self, now: Duration, device: usize, frame: &ClientFrame) {
        let verdict = self.streams.sent(device, frame);
        self.judge(now, Some(device), verdict);
        self.channels.sent(device, frame);
        self.channels.leaves(&self.facts, now, device, frame);
    }

    /// Bytes reach a device, be they whole frames or not.
    pub(crate) fn bytes_in(&mut self, now: Duration, device: usize) {
        let verdict = self.states.heard(&self.facts, now, device);
        self.judge(now, Some(device), verdict);
    }

    /// A frame reaches the connection. Says whether it is that a session goes on.
    pub(crate) fn frame_in(&mut self, now: Duration, device: usize, frame: &ServerFrame) -> bool {
        let verdict = self.streams.received(device, frame);
        self.judge(now, Some(device), verdict);
        let verdict = self.states.refused(&self.facts, device, frame);
        self.judge(now, Some(device), verdict);
        if let ServerFrame::Welcome(welcome) = frame
            && welcome.resumption == Resumption::Lapsed
        {
            self.facts.devices[device].lapsed_at = Some(now);
        }
        self.channels.received(&self.facts, now, device, frame);
        self.outcomes.received(&self.facts, device, frame);
        self.streams.went_on(frame)
    }

    /// The connection tells its user something.
    pub(crate) fn emitted(&mut self, now: Duration, device: usize, event: &RtmEvent) {
        let verdict = self.states.told(&self.facts, now, device, event);
        self.judge(now, Some(device), verdict);
        if let RtmEvent::ConnectionStateChanged { state, .. } = event {
            self.facts.changed(now, device, *state);
            if !state.is_logged_in() {
                self.channels.session_ended(now, device);
                self.presence.session_ended(device);
                self.attributes.session_ended(device);
            }
            self.invitations.disturbed_unless_connected(now, device, *state);
        }
        let verdict = self.gaps.told(&self.facts, now, device, event);
        self.judge(now, Some(device), verdict);
        let verdict = self.messages.told(&self.facts, now, device, event);
        self.judge(now, Some(device), verdict);
        let verdict = self.channels.told(&self.facts, now, device, event);
        self.judge(now, Some(device), verdict);
        let verdict = self.presence.told(&self.facts, now, device, event);
        self.judge(now, Some(device), verdict);
        let verdict = self.invitations.told(&self.facts, now, device, event);
        self.judge(now, Some(device), verdict);
        let verdict = self.attributes.told(device, event);
        self.judge(now, Some(device), verdict);
    }

    // What happens to the server and the network.

    /// The server has read frames of a device. `is_stale`: the device has given up the link that they came over;
    /// `is_welcomed`: the server let it in over that.
    pub(crate) fn heard(
        &mut self,
        now: Duration,
        device: usize,
        frames: &[ClientFrame],
        is_stale: bool,
        is_welcomed: bool,
    ) {
        self.facts.heard(now, device, frames, is_stale, is_welcomed);
    }

    /// The server took a device's login.
    pub(crate) fn welcomed(&mut self, now: Duration, device: usize) {
        self.facts.welcomed(now, device);
    }

    pub(crate) fn server_lost_link(&mut self, now: Duration, device: usize) {
        self.facts.devices[device].link_lost_at = Some(now);
        self.disturbed(now, device);
    }

    /// The server closed a connection over which it let a device in at this time, if it did; without a reason it refused
    /// the login.
    pub(crate) fn server_closed(
        &mut self,
        now: Duration,
        device: usize,
        welcomed_at: Option<Duration>,
        reason: Option<CloseReason>,
    ) {
        let verdict = self.states.closed(&self.facts, device, welcomed_at, reason);
        self.judge(now, Some(device), verdict);
        self.facts.server_closed(now, device, reason);
        self.cut(now, device);
    }

    pub(crate) fn server_started(&mut self, now: Duration) {
        self.facts.server_started(now);
    }

    pub(crate) fn server_gone(&mut self, now: Duration) {
        self.facts.server_gone(now);
        for device in 0..self.facts.devices.len() {
            self.disturbed(now, device);
        }
    }

    /// A core began with another wall clock than the one before it.
    pub(crate) fn clock_was_set(&mut self, now: Duration) {
        self.facts.clock_set_at = Some(now);
    }

    /// A server's process stood still from one time to the other, with these devices.
    pub(crate) fn server_stood_still(&mut self, since: Duration, until: Duration, devices: &[usize]) {
        self.facts.server_stood_still(since, until, devices);
    }

    /// The server is one of several.
    pub(crate) fn is_cluster(&mut self) {
        self.facts.is_cluster = true;
    }

    /// The server of these devices is put out of its cluster, and may go on for a while.
    pub(crate) fn server_is_outside(&mut self, devices: &[usize]) {
        self.facts.server_is_outside(devices);
    }

    /// A node of a cluster is gone, or out of it, with the sessions of these devices.
    pub(crate) fn node_gone(&mut self, now: Duration, devices: &[usize]) {
        self.facts.node_gone(now, devices);
        self.cluster_disturbed(now, now);
    }

    /// Nodes may believe these to be on one that is gone, and not have heard where they are by now.
    pub(crate) fn taken_for_unreachable(&mut self, now: Duration, devices: &[usize]) {
        self.facts.taken_for_unreachable(now, devices);
    }

    /// Something is wrong between the nodes of a cluster until then: everybody may feel it.
    pub(crate) fn cluster_disturbed(&mut self, now: Duration, until: Duration) {
        self.facts.cluster_disturbed(now, until);
        for device in 0..self.facts.devices.len() {
            let mut at = now;
            while at <= until {
                self.invitations.disturbed(at, device);
                at += Duration::from_secs(10);
            }
            self.invitations.disturbed(until, device);
        }
    }

    /// What holds between servers does not.
    pub(crate) fn broke_cluster(&mut self, now: Duration, invariant: Invariant, detail: String) {
        self.judge(now, None, Err(fault(invariant, detail)));
    }

    /// Nothing goes wrong between servers, and to devices nothing but that their links are cut.
    pub(crate) fn is_calm(&mut self) {
        self.facts.is_calm = true;
    }

    /// A device has lost its link, and may not have noticed that.
    pub(crate) fn cut(&mut self, now: Duration, device: usize) {
        self.facts.devices[device].cut_at = Some(now);
        self.disturbed(now, device);
    }

    /// Something came over a device's link, or its process.
    pub(crate) fn disturbed(&mut self, now: Duration, device: usize) {
        let known = &mut self.facts.devices[device];
        known.disturbed_at = Some(now);
        if known.has_sdk_habits {
            known.disturbances.push(now);
        }
        self.invitations.disturbed(now, device);
    }

    pub(crate) fn frozen(&mut self, now: Duration, device: usize, until: Duration) {
        let known = &mut self.facts.devices[device];
        known.frozen_until = known.frozen_until.max(until);
        known.frozen_for += until.saturating_sub(now);
    }

    pub(crate) fn slow_reader(&mut self, now: Duration, device: usize) {
        self.facts.devices[device].is_slow = true;
        self.invitations.disturbed(now, device);
    }

    pub(crate) fn healed(&mut self, now: Duration) {
        for device in 0..self.facts.devices.len() {
            let known = &mut self.facts.devices[device];
            known.frozen_until = known.frozen_until.min(now);
        }
    }

    pub(crate) fn store_failed(&mut self, now: Duration) {
        self.facts.store_failed = Some(now);
    }

    /// A node that may be out of the cluster has something for the store, which waits.
    pub(crate) fn store_waited(&mut self, now: Duration) {
        self.facts.store_waited = Some(now);
    }

    pub(crate) fn narrow_network(&mut self) {
        self.facts.is_narrow = true;
    }

    /// A device gives up its link for its silence. `bytes_at`: when bytes last came over it. `unshown_since`: since when
    /// the server has read of it and written nothing.
    pub(crate) fn gave_up(
        &mut self,
        now: Duration,
        device: usize,
        bytes_at: Option<Duration>,
        unshown_since: Option<Duration>,
    ) {
        let verdict = self.states.gave_up(&self.facts, now, device, bytes_at, unshown_since);
        self.judge(now, Some(device), verdict);
    }

    /// How often a device is to hear something.
    pub(crate) fn keep_alive(&self, device: usize) -> Duration {
        self.facts.devices[device].keep_alive
    }

    /// A device is reconnecting when all is quiet.
    pub(crate) fn stays_away(&mut self, now: Duration, device: usize) {
        self.judge(now, Some(device), Err(fault(Invariant::ComesBack, "is still reconnecting")));
    }

    pub(crate) fn turns_on_the_spot(&mut self, now: Duration, step: &crate::agenda::Step) {
        let detail = format!("more than a million steps at one instant, the last of them {step:?}");
        self.judge(now, None, Err(fault(Invariant::Bounds, detail)));
    }

    /// A device waits in vain for what it asked the vendor's gateway.
    pub(crate) fn gateway_silent(&mut self, now: Duration, device: usize) {
        self.facts.devices[device].unanswered_at = Some(now);
    }

    /// Stored messages that the vendor's gateway handed out did not arrive.
    pub(crate) fn handout_lost(&mut self, now: Duration, device: usize) {
        self.messages.handout_lost(&self.facts.devices[device].user_id, now);
    }

    /// One side does not understand the other.
    pub(crate) fn broke_protocol(&mut self, now: Duration, device: usize, what: &str) {
        self.judge(now, Some(device), Err(fault(Invariant::Protocol, what)));
    }

    /// A core did not take a session that another one, or the same, had packed.
    pub(crate) fn pack_refused(&mut self, now: Duration, user_id: &UserId, error: &UnpackError) {
        self.judge(now, None, Err(fault(Invariant::PackRoundTrips, format!("of {user_id}: {error}"))));
    }

    /// An application says that it broke a promise of its own.
    pub(crate) fn broke_application(&mut self, now: Duration, device: usize, detail: String) {
        self.judge(now, Some(device), Err(fault(Invariant::Application, detail)));
    }

    // The end.

    /// The world makes a call for itself, to look at what came out.
    pub(crate) fn probe(&mut self, now: Duration, device: usize, id: RequestId, command: Command) {
        self.requests.probe(now, device, id, command);
    }

    /// What was asked of the server at the end is asked again.
    pub(crate) fn forget_probes(&mut self) {
        self.requests.forget_probes();
    }

    /// What the probes and everything before showed. `here`: the devices that are logged in, each with the
    /// channels that it believes to be in.
    pub(crate) fn finish(&mut self, now: Duration, here: &[(usize, Vec<ChannelId>)]) {
        let mut verdicts = vec![self.requests.finish(&self.facts, now)];
        verdicts.push(self.states.finish(now));
        verdicts.push(self.messages.finish(&self.facts, &self.channels, &self.gaps));
        verdicts.push(self.channels.finish(&self.facts, here, self.requests.probed()));
        verdicts.push(self.presence.finish(&self.facts, here));
        verdicts.push(self.invitations.finish(&self.facts, now));
        verdicts.push(self.attributes.finish(&self.facts, here, self.requests.probed()));
        for verdict in verdicts {
            self.judge(now, None, verdict);
        }
        self.requests.forget_probes();
    }

    /// The log of events of a server with so many sessions, which has written all of it.
    pub(crate) fn log_read(&mut self, now: Duration, log: &[(Place, LoggedEvent)], sessions: usize) {
        let verdict = event_log::check(log, sessions);
        self.judge(now, None, verdict);
    }

    /// What is left on the server when nobody is there any more.
    pub(crate) fn emptied(&mut self, now: Duration, stats: &rtm_core::Stats) {
        let left = [
            ("connections", stats.connections),
            ("users", stats.users),
            ("sessions", stats.sessions),
            ("invitations", stats.invitations),
        ];
        for (what, count) in left {
            if count > 0 {
                let detail = format!("the server still has {count} {what} when all are gone");
                self.judge(now, None, Err(fault(Invariant::Bounds, detail)));
            }
        }
    }

    /// The store has a message for a user.
    pub(crate) fn stored(&mut self, now: Duration, to: &UserId, message: &StoredMessage) {
        let verdict = self.outcomes.stored(&self.facts, now, to, message);
        self.judge(now, None, verdict);
    }

    /// What the servers of a cluster count in channels, at rest.
    pub(crate) fn counted(&mut self, now: Duration, counts: &[MemberCount]) {
        self.judge(now, None, counts::check(counts));
    }

    /// So many messages wait in the store for a device's user, at rest.
    pub(crate) fn waits_in_store(&mut self, now: Duration, device: usize, messages: usize) {
        let verdict = self.messages.unread(&self.facts, device, messages);
        self.judge(now, Some(device), verdict);
    }

    fn judge(&mut self, now: Duration, device: Option<usize>, verdict: Verdict) {
        if let Err(Fault { invariant, detail }) = verdict
            && self.violation.is_none()
        {
            let user_id = device.map(|device| self.facts.devices[device].user_id.clone());
            self.violation = Some(Violation { invariant, at: now, user_id, detail });
        }
    }
}
