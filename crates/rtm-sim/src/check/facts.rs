//! What went on around the promises: who was heard when, who was disturbed, and when the server was there.

use std::time::Duration;

use rtm_codec::{ClientFrame, CloseReason, KeepAlive, UserId, Wire};
use rtm_connection::{ConnectionState, GapReason};
use rtm_core::Settings;

use crate::figures::DeviceConfig;

/// A guarantee of RTM. The [`World`](crate::World) checks each of them at every step and at the end.
///
/// *Native* and *vendor* name the wire of the receiving device. The vendor's wire cannot
/// resume a session: every reconnect begins with a [`Gap`](rtm_connection::RtmEvent::Gap) of the reason
/// `NewSession`, and a guarantee "unless a gap covers it" applies between two such gaps.
///
/// "At rest" means: nothing goes wrong any more, and everything under way has arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[non_exhaustive]
pub enum Invariant {
    /// Each half of a codec can read what the other half writes, and each answer belongs to its request.
    Protocol,
    /// Every request ends exactly once, and no login or logout ends that nobody called.
    RequestsEndOnce,
    /// Every request ends in time: messages, invitations and presence within 10 s, everything else within 5 s.
    RequestsEndInTime,
    /// While network and server are undisturbed, no call ends with `Timeout` or `OutcomeUnknown`, and a
    /// message to a user who is connected, undisturbed and reading is `Delivered`.
    NeedlessFailure,
    /// The state of a connection changes only along the arrows of its diagram.
    States,
    /// At rest, a device that can reach the server is not `RECONNECTING`, if its application provides a valid token.
    ///
    /// *Vendor*: not so with an expired token, because its SDK always shows its first token to the gateway.
    ComesBack,
    /// There are no events while the state is neither `CONNECTED` nor `RECONNECTING`.
    NothingAfterClosed,
    /// A device notices within two keep-alive intervals that nothing arrives on its link.
    LinkLossNoticed,
    /// While network and server are undisturbed, no connection is interrupted. No device gives up a link
    /// on which bytes still arrive, even if only parts of a frame, or whose bytes it has not read yet.
    NeedlessReconnect,
    /// A session is thrown out (`REMOTE_LOGIN`) only by another login of its user: not because it goes on at another server.
    NeedlessOust,
    /// *Vendor*: no login is refused for a temporary reason, because the vendor's SDK would never log in again.
    NeedlessRefusal,
    /// *Native*: the events of a session have consecutive numbers, and a resumed session continues with the
    /// event after the last one received. The server never sends more than the window beyond what was consumed.
    Stream,
    /// There is a gap only where events may have been lost. *Native*: a new session only if the server was
    /// restarted, if a login that the device had given up arrived late, if the session was closed because its
    /// client read too slowly, or after an absence of more than [`Settings::resume_within`]; `LeftChannel` only after
    /// [`Settings::offline_after`] or one of these; `Dropped` only after a break; `Missing` never. *Several servers*: the time
    /// counts as absence in which a login waits until its server has found the session.
    NeedlessGap,
    /// Nobody receives a message that was never sent or was refused.
    NoInvention,
    /// No message appears twice in the stream of one device.
    ///
    /// *Vendor*: a stored message may appear twice if the server crashed, or the connection broke, after it was
    /// handed out.
    NoDuplicate,
    /// At rest, nothing waits in the store for a user whose device can receive it, unless the store failed.
    NothingUnread,
    /// Messages of one sending device to one user, or to one channel, appear in the order in which they were sent.
    /// Stored messages come late if the store fails to read or to remove them.
    ///
    /// *Vendor*: stored messages are fetched separately, and may come before or after live ones.
    OrderPerSender,
    /// A `Delivered` message is in the stream of one of the receiver's devices. A `Stored` message is in the stream after the
    /// receiver's next login with a device that can receive it, or after the login after that if the store fails to read it;
    /// without a durable store this ends with the server's process. Whoever is a member during the whole call receives an accepted
    /// message to the channel, or a later gap covers it (of the channel or of everything). A gap with a number of lost events
    /// covers no more than that. `leave` and `logout` discard what is under way.
    ///
    /// *Vendor*: stored messages whose hand-out does not arrive are lost or come at the next login. The vendor's SDK has no
    /// gaps: a member that returns before it counts as offline gets the channel messages that it missed, up to
    /// [`Settings::away_channel_messages`].
    NoSilentLoss,
    /// Nobody is reported as offline, or as having left a channel, unless it was silent for [`Settings::offline_after`], logged
    /// out or was replaced; nor as unreachable unless it was silent for [`Settings::unreachable_after`]. An offline user never
    /// becomes unreachable.
    NeedlessAbsence,
    /// At rest, every subscriber knows the state of each user.
    ///
    /// *Vendor*: its SDK subscribes once. This survives absences of any length and restarts of a server with
    /// a durable store, but not another login of the user.
    PresenceConverges,
    /// At rest, devices and server agree on who is a member; the last count and the joins and leaves that each
    /// member got match that.
    MembershipConverges,
    /// The log of events is in order and complete, also after crashes: each session, presence and membership ends once, and a
    /// channel is vacated when its last member has left. Only where the store failed something may be missing.
    EventLog,
    /// Every invitation ends, once on each side that knows it.
    InvitationsEnd,
    /// The two sides of an invitation never contradict each other (accepted here, refused there). One side may end with a failure
    /// only if one of the two devices was disturbed; otherwise both sides end alike.
    ///
    /// *Vendor*: a refusal is not confirmed, so it may be one for the callee only.
    InvitationsAgree,
    /// At rest, a user's attributes are what it wrote last, and a channel's have at least the last revision
    /// that a writer got. Revisions never fall while the server runs.
    Attributes,
    /// A session that was packed can be unpacked.
    PackRoundTrips,
    /// When all users are gone, the server keeps nothing of them.
    Bounds,
    /// *Several servers*: views follow each other one by one, and no node goes back to an earlier one.
    ViewsRise,
    /// *Several servers*: whoever counts itself as a member is in the view that the engine has.
    NobodyDecidesOutside,
    /// *Several servers*: no node is put out that is well: not because the engine is away, a watch hangs, or another node
    /// stood still.
    NobodyHealthyOut,
    /// *Several servers*: at rest, a user has one session, the one that its entry names.
    OneSession,
    /// *Several servers*: one session decides what becomes of a message: no message is stored twice, unless a node that had it was
    /// lost, or the store failed.
    OneOwner,
    /// A sender is told that a message is `Delivered` when a device of its receiver has it, and that it is `Stored` when the store has it.
    OutcomeTrue,
    /// *Several servers*: at rest, each node with members in a channel counts all that there are on all nodes.
    CountsAgree,
    /// *Several servers*: within 30 s after all is well, all nodes are in one view.
    NothingStuck,
    /// *Several servers*: no more waits for a node than may.
    BoxesBounded,
    /// *Several servers*: no node is told anything in a form that its version does not know.
    VersionKnown,
    /// A guarantee of the application, which reports it as broken with [`Handle::broken`](crate::Handle::broken).
    Application,
}

/// What is known of the devices and of the server.
#[derive(Debug)]
pub(super) struct Facts {
    pub(super) settings: Settings,
    pub(super) durable: bool,
    /// Whether the server is one of several.
    pub(super) is_cluster: bool,
    /// Since when, and until when something was wrong between the nodes of a cluster, or will be.
    pub(super) cluster_disturbed: Option<(Duration, Duration)>,
    /// Whether nothing goes wrong but that links to devices are cut.
    pub(super) is_calm: bool,
    pub(super) devices: Vec<Fact>,
    /// When the store last failed.
    pub(super) store_failed: Option<Duration>,
    /// When something last waited for the store, since its node may have been out of the cluster.
    pub(super) store_waited: Option<Duration>,
    /// When the server's process ended, each time.
    pub(super) server_ends: Vec<Duration>,
    pub(super) server_started: Duration,
    /// When a core last began with another wall clock than the one before it: what is kept has another age for it.
    pub(super) clock_set_at: Option<Duration>,
    /// When the server last stood still, and until when.
    pub(super) stood_still: Option<(Duration, Duration)>,
    /// Whether the network ever was so narrow that bytes waited for their turn.
    pub(super) is_narrow: bool,
}

/// What is known of a device.
#[derive(Debug)]
pub(super) struct Fact {
    pub(super) user_id: UserId,
    pub(super) wire: Wire,
    pub(super) keep_alive: Duration,
    pub(super) state: ConnectionState,
    /// When the server last heard of it.
    pub(super) heard: Option<Duration>,
    /// When the server read its last login, whatever came of it.
    pub(super) login_at: Option<Duration>,
    /// When the server read the first of its logins of which it has not heard what came. It may have a session since then,
    /// also where a later login was refused.
    pub(super) logins_from: Option<Duration>,
    /// The longest time that the server heard nothing of it.
    pub(super) longest_absence: Duration,
    /// What went on since it was connected last, and before it was.
    pub(super) since: Between,
    pub(super) before: Between,
    /// When the server last could hold its user for offline, and for unreachable.
    pub(super) offline_at: Option<Duration>,
    pub(super) unreachable_at: Option<Duration>,
    /// When its session was last lost, by the server's end, by its word, or by a login of another device.
    pub(super) lost_at: Option<Duration>,
    /// Whether its server is put out of its cluster, and goes on as long as it does not know that.
    pub(super) is_outside: bool,
    /// When its session was last replaced: by another device of its user, or by a new login of this one.
    pub(super) ousted_at: Option<Duration>,
    /// Whether its next login is a new one.
    pub(super) is_anew: bool,
    /// When it was last told that its session goes on without what its user was in.
    pub(super) lapsed_at: Option<Duration>,
    /// When anything last came over its link or its process.
    pub(super) disturbed_at: Option<Duration>,
    /// When its link was last cut.
    pub(super) cut_at: Option<Duration>,
    /// When it last asked the gateway something to which no answer will come.
    pub(super) unanswered_at: Option<Duration>,
    pub(super) frozen_until: Duration,
    pub(super) frozen_for: Duration,
    /// Whether its application does not always read at once.
    pub(super) is_slow: bool,
    /// Whether so few events may be under way to it that they come late over a slow link.
    pub(super) has_small_window: bool,
    /// Whether it hears nothing of a channel until it joins it again.
    pub(super) has_sdk_habits: bool,
    /// When anything came over its link or its process, each time.
    pub(super) disturbances: Vec<Duration>,
    /// When the server last learned that its link is gone.
    pub(super) link_lost_at: Option<Duration>,
}

/// What went on between two times that a device was connected.
#[derive(Debug, Default)]
pub(super) struct Between {
    /// When it was connected.
    pub(super) from: Duration,
    /// The longest time that the server heard nothing of it.
    pub(super) absence: Duration,
    /// Why the server closed its link last.
    pub(super) closed: Option<CloseReason>,
}

impl Facts {
    pub(super) fn new(settings: &Settings, durable: bool) -> Self {
        Self {
            settings: *settings,
            durable,
            is_cluster: false,
            cluster_disturbed: None,
            is_calm: false,
            devices: Vec::new(),
            store_failed: None,
            store_waited: None,
            server_ends: Vec::new(),
            server_started: Duration::ZERO,
            clock_set_at: None,
            stood_still: None,
            is_narrow: false,
        }
    }

    pub(super) fn add(&mut self, user_id: UserId, config: &DeviceConfig) {
        let interval_ms = match config.connection.keep_alive {
            KeepAlive::Client { interval_ms } | KeepAlive::Server { interval_ms } => interval_ms,
            _ => 10_000,
        };
        self.devices.push(Fact {
            user_id,
            wire: config.wire,
            keep_alive: Duration::from_millis(interval_ms.into()),
            state: ConnectionState::Disconnected,
            heard: None,
            login_at: None,
            logins_from: None,
            longest_absence: Duration::ZERO,
            since: Between::default(),
            before: Between::default(),
            offline_at: None,
            unreachable_at: None,
            lost_at: None,
            is_outside: false,
            ousted_at: None,
            is_anew: true,
            lapsed_at: None,
            disturbed_at: None,
            cut_at: None,
            unanswered_at: None,
            frozen_until: Duration::ZERO,
            frozen_for: Duration::ZERO,
            is_slow: config.reads_at_once < usize::MAX,
            has_small_window: (1..SMALL_WINDOW).contains(&config.connection.window),
            has_sdk_habits: config.has_sdk_habits,
            disturbances: Vec::new(),
            link_lost_at: None,
        });
    }

    /// The server has read frames of a device. `is_stale`: the device has given up the link that they came over;
    /// `is_welcomed`: the server let it in over that.
    pub(super) fn heard(
        &mut self,
        now: Duration,
        device: usize,
        frames: &[ClientFrame],
        is_stale: bool,
        is_welcomed: bool,
    ) {
        // On the vendor's wire a receipt says nothing as long as an older message has none.
        if frames.is_empty() {
            return;
        }
        let user_silence = self.silence(now, &self.devices[device].user_id);
        let (offline_after, unreachable_after) = (self.settings.offline_after, self.settings.unreachable_after);
        let known = &mut self.devices[device];
        if user_silence.is_none_or(|silence| silence >= offline_after) {
            known.offline_at = Some(now);
        }
        if user_silence.is_some_and(|silence| silence >= unreachable_after) {
            known.unreachable_at = Some(now);
        }
        if frames.iter().any(|frame| matches!(frame, ClientFrame::Logout)) {
            known.offline_at = Some(now);
            known.lost_at = Some(now);
        }
        let absence = now - known.heard.unwrap_or(now);
        known.longest_absence = known.longest_absence.max(absence);
        known.since.absence = known.since.absence.max(absence);
        let is_login = frames.iter().any(|frame| matches!(frame, ClientFrame::Login(_)));
        if !is_login && is_welcomed {
            known.heard = Some(now);
        }
        known.login_at = Some(now).filter(|_| is_login).or(known.login_at);
        if is_login {
            known.logins_from.get_or_insert(now);
            // It puts an end to the connection that the device made since.
            if is_stale {
                known.lost_at = Some(now);
            }
            if std::mem::take(&mut known.is_anew) {
                known.ousted_at = Some(now);
            }
            // Another device of this user loses its session.
            let user_id = known.user_id.clone();
            for (other, known) in self.devices.iter_mut().enumerate() {
                if other != device && known.user_id == user_id {
                    known.lost_at = Some(now);
                    known.ousted_at = Some(now);
                }
            }
        }
    }

    /// The server took a device's login. What nodes had to ask first took time, in which the session heard nothing.
    pub(super) fn welcomed(&mut self, now: Duration, device: usize) {
        let silence = self.silence(now, &self.devices[device].user_id).filter(|_| self.is_cluster);
        let (offline_after, unreachable_after) = (self.settings.offline_after, self.settings.unreachable_after);
        let known = &mut self.devices[device];
        if let Some(heard) = known.heard.filter(|_| self.is_cluster) {
            known.longest_absence = known.longest_absence.max(now - heard);
        }
        if silence.is_some_and(|silence| silence >= offline_after) {
            known.offline_at = Some(now);
        }
        if silence.is_some_and(|silence| silence >= unreachable_after) {
            known.unreachable_at = Some(now);
        }
        // What it had on a server that is put out goes on there, and nowhere else.
        if std::mem::take(&mut known.is_outside) {
            known.lost_at = Some(now);
        }
        known.heard = known.heard.max(known.login_at);
        known.logins_from = None;
    }

    /// A connection changed its state.
    pub(super) fn changed(&mut self, now: Duration, device: usize, state: ConnectionState) {
        let known = &mut self.devices[device];
        known.state = state;
        known.is_anew |= !state.is_logged_in() && state != ConnectionState::Connecting;
        if state == ConnectionState::Connected {
            known.before = std::mem::replace(&mut known.since, Between { from: now, ..Between::default() });
        }
    }

    pub(super) fn server_closed(&mut self, now: Duration, device: usize, reason: Option<CloseReason>) {
        let known = &mut self.devices[device];
        known.since.closed = reason;
        if matches!(reason, Some(CloseReason::Logout | CloseReason::TokenExpired | CloseReason::Banned)) {
            known.offline_at = Some(now);
            known.lost_at = Some(now);
        }
        if reason == Some(CloseReason::RemoteLogin) {
            known.lost_at = Some(now);
        }
    }

    pub(super) fn server_started(&mut self, now: Duration) {
        self.server_started = now;
        for device in &mut self.devices {
            device.offline_at = Some(now);
        }
    }

    /// What a server did not hear while it stood still is no silence.
    pub(super) fn server_stood_still(&mut self, since: Duration, until: Duration, devices: &[usize]) {
        let stood = until - since;
        self.stood_still = Some((since, until));
        for device in devices {
            let device = &mut self.devices[*device];
            for at in [&mut device.heard, &mut device.login_at, &mut device.logins_from].into_iter().flatten() {
                *at = (*at + stood).min(until);
            }
        }
    }

    /// The server of these devices is put out of its cluster. Those of its members hear each other yet, and nobody else.
    pub(super) fn server_is_outside(&mut self, devices: &[usize]) {
        devices.iter().for_each(|device| self.devices[*device].is_outside = true);
    }

    /// The devices whose servers are put out of their cluster.
    pub(super) fn outside(&self) -> Vec<usize> {
        (0..self.devices.len()).filter(|device| self.devices[*device].is_outside).collect()
    }

    /// A node of a cluster is gone with the sessions of these devices, which others notice.
    pub(super) fn node_gone(&mut self, now: Duration, devices: &[usize]) {
        self.server_ends.push(now);
        for device in devices {
            let device = &mut self.devices[*device];
            (device.lost_at, device.offline_at, device.unreachable_at) = (Some(now), Some(now), Some(now));
        }
    }

    pub(super) fn taken_for_unreachable(&mut self, now: Duration, devices: &[usize]) {
        devices.iter().for_each(|device| self.devices[*device].unreachable_at = Some(now));
    }

    pub(super) fn cluster_disturbed(&mut self, now: Duration, until: Duration) {
        let (since, before) = self.cluster_disturbed.unwrap_or((now, until));
        self.cluster_disturbed = Some((if before + RECOVERY < now { now } else { since }, before.max(until)));
        for device in &mut self.devices {
            device.disturbed_at = device.disturbed_at.max(Some(until));
        }
    }

    pub(super) fn server_gone(&mut self, now: Duration) {
        self.server_ends.push(now);
        for device in &mut self.devices {
            device.lost_at = Some(now);
            device.offline_at = Some(now);
        }
    }

    /// How long the server has heard nothing of a user; `None` for one that it never heard of.
    pub(super) fn silence(&self, now: Duration, user_id: &UserId) -> Option<Duration> {
        // Of several devices only one has the session: it may be any of them. One that hung up before the answer to
        // its login was written may have a session all the same.
        let of_user = self.devices.iter().filter(|device| device.user_id == *user_id);
        let heard = of_user.filter_map(|device| device.heard.or(device.logins_from)).min()?;
        Some(now - heard)
    }

    /// When the server last could hold a user for offline.
    pub(super) fn offline_at(&self, now: Duration, user_id: &UserId) -> Option<Duration> {
        if self.silence(now, user_id).is_none_or(|silence| silence >= self.settings.offline_after) {
            return Some(now);
        }
        self.devices.iter().filter(|device| device.user_id == *user_id).filter_map(|device| device.offline_at).max()
    }

    /// When the server last could hold a user for unreachable.
    pub(super) fn unreachable_at(&self, now: Duration, user_id: &UserId) -> Option<Duration> {
        if self.silence(now, user_id).is_some_and(|silence| silence >= self.settings.unreachable_after) {
            return Some(now);
        }
        self.devices.iter().filter(|device| device.user_id == *user_id).filter_map(|device| device.unreachable_at).max()
    }

    /// When a session of a user was last replaced.
    pub(super) fn ousted_at(&self, user_id: &UserId) -> Option<Duration> {
        self.devices.iter().filter(|device| device.user_id == *user_id).filter_map(|device| device.ousted_at).max()
    }

    /// How old what a device is told may be.
    pub(super) fn lag(&self, now: Duration, device: usize) -> Duration {
        let known = &self.devices[device];
        let absence = known.longest_absence.max(now - known.heard.unwrap_or(now));
        // Logins whose answers were lost are no sign that it has heard anything.
        let away =
            if known.since.from + Duration::from_secs(60) > now { now - known.before.from } else { Duration::ZERO };
        let absence = absence.max(away);
        let slow = if known.is_slow || known.has_small_window || self.is_narrow {
            Duration::from_secs(600)
        } else {
            Duration::ZERO
        };
        // What was done while the server stood still it reads, and tells, when it goes on.
        let late = match self.stood_still {
            Some((since, until)) if until + absence + Duration::from_secs(30) > now => until - since,
            _ => Duration::ZERO,
        };
        // What nodes have to tell each other waits as long as they cannot.
        let apart = match self.cluster_disturbed {
            Some((since, until)) if until + absence + RECOVERY > now => now - since,
            _ => Duration::ZERO,
        };
        absence + known.frozen_for + Duration::from_secs(30) + slow + late + apart
    }

    /// Whether a device with the habits of the vendor's SDK has come back to all that it had: so soon that its user counted
    /// as offline at no time, and to the same session.
    pub(super) fn came_back_whole(&self, now: Duration, device: usize) -> bool {
        let known = &self.devices[device];
        let since = known.before.from;
        let is_before = |at: Option<Duration>| at.is_none_or(|at| at < since);
        known.has_sdk_habits
            && known.before.absence < self.settings.offline_after
            && known.before.closed != Some(CloseReason::SlowConsumer)
            && is_before(known.lost_at)
            && is_before(known.ousted_at)
            && is_before(self.offline_at(now, &known.user_id))
    }

    /// Why a device misses something. A client cannot tell a session that lapsed from a member whose node was lost while it
    /// moved.
    pub(super) fn gap_reason(&self, device: usize, reason: GapReason) -> GapReason {
        let known = &self.devices[device];
        let has_lapsed = known.lapsed_at.is_some_and(|at| at >= known.since.from);
        match reason {
            GapReason::LeftChannel if self.is_cluster && !has_lapsed => GapReason::Dropped,
            reason => reason,
        }
    }

    /// Whether a device has been connected since before `since`, and nothing came over it or over the network.
    pub(super) fn was_well(&self, device: usize, since: Duration) -> bool {
        let known = &self.devices[device];
        let has_recovered = match self.is_calm {
            // A new link is good.
            true => known.cut_at.is_none_or(|at| at < known.since.from) && known.since.from + SETTLED < since,
            false => known.disturbed_at.is_none_or(|at| at + RECOVERY < since),
        };
        known.state == ConnectionState::Connected
            && known.since.from < since
            && has_recovered
            && !known.is_slow
            && !known.has_small_window
            && !self.is_narrow
    }

    /// Whether a device was so well that a message of this time has come by now. Where nothing but links breaks, whoever can
    /// resume its session and is back for a while has all that was sent to it, and its calls are answered.
    pub(super) fn was_well_until(&self, device: usize, since: Duration, now: Duration) -> bool {
        let known = &self.devices[device];
        let resumes = self.is_calm && known.wire == Wire::Native && known.since.from < now;
        self.was_well(device, if resumes { now } else { since })
    }

    /// Whether a user has a device that is connected.
    pub(super) fn is_online(&self, user_id: &UserId) -> bool {
        self.devices.iter().any(|device| device.user_id == *user_id && device.state == ConnectionState::Connected)
    }

    /// Whether the server's process ended at or after this time.
    pub(super) fn server_ended_since(&self, at: Duration) -> bool {
        self.server_ends.last().is_some_and(|end| *end >= at)
    }

    /// Whether the store failed at or after this time.
    pub(super) fn store_failed_since(&self, at: Duration) -> bool {
        self.store_failed.is_some_and(|failed| failed >= at)
    }

    /// Whether something waited for the store at or after this time, since its node may have been out of the cluster.
    pub(super) fn store_waited_since(&self, at: Duration) -> bool {
        self.store_waited.is_some_and(|waited| waited >= at)
    }
}

/// What came over a device or its link is over after this time.
pub(super) const RECOVERY: Duration = Duration::from_secs(60);

/// After so long with a new link a device has all that waited for it.
const SETTLED: Duration = Duration::from_secs(3);

/// A window below this is small.
const SMALL_WINDOW: u32 = 128;
