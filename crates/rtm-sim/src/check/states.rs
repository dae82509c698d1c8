//! The states of a connection: only along the arrows, only for a reason, and silence where nobody is logged in.

use std::time::Duration;

use rtm_codec::{CloseReason, ErrorKind, ServerFrame, Wire};
use rtm_connection::{ConnectionChangeReason as Reason, ConnectionState as State, RtmEvent};

use super::{Invariant, Verdict, facts::Facts, fault};

/// The states of all devices.
#[derive(Debug, Default)]
pub(super) struct States(Vec<Observed>);

#[derive(Debug)]
struct Observed {
    state: State,
    /// When `login` was called that has yet to end, and calls of `logout`.
    login: Option<Duration>,
    logouts: usize,
    /// When bytes last came while connected.
    heard: Option<Duration>,
    connected_at: Duration,
}

impl States {
    pub(super) fn add(&mut self) {
        self.0.push(Observed {
            state: State::Disconnected,
            login: None,
            logouts: 0,
            heard: None,
            connected_at: Duration::ZERO,
        });
    }

    pub(super) fn login_called(&mut self, now: Duration, device: usize) {
        self.0[device].login = Some(now);
    }

    pub(super) fn login_ended(&mut self, device: usize) -> Verdict {
        match self.0[device].login.take() {
            Some(_) => Ok(()),
            None => Err(fault(Invariant::RequestsEndOnce, "a login ended that nobody called")),
        }
    }

    pub(super) fn logout_called(&mut self, device: usize) {
        self.0[device].logouts += 1;
    }

    pub(super) fn logout_ended(&mut self, device: usize) -> Verdict {
        match self.0[device].logouts.checked_sub(1) {
            Some(left) => {
                self.0[device].logouts = left;
                Ok(())
            }
            None => Err(fault(Invariant::RequestsEndOnce, "a logout ended that nobody called")),
        }
    }

    /// Bytes came.
    pub(super) fn heard(&mut self, facts: &Facts, now: Duration, device: usize) -> Verdict {
        let observed = &mut self.0[device];
        let before = observed.heard.replace(now);
        let limit = facts.devices[device].keep_alive * 2 + SLACK;
        match before {
            Some(before)
                if observed.state == State::Connected
                    && now - before > limit
                    && facts.devices[device].frozen_until < before =>
            {
                let detail = format!("still connected after {:.3} s of silence", (now - before).as_secs_f64());
                Err(fault(Invariant::LinkLossNoticed, detail))
            }
            _ => Ok(()),
        }
    }

    /// The device gives up its link for its silence.
    pub(super) fn gave_up(
        &self,
        facts: &Facts,
        now: Duration,
        device: usize,
        bytes_at: Option<Duration>,
        unshown_since: Option<Duration>,
    ) -> Verdict {
        match bytes_at {
            Some(at) if at + facts.devices[device].keep_alive > now => {
                let detail = format!("gives up a link over which bytes came {:.3} s ago", (now - at).as_secs_f64());
                Err(fault(Invariant::NeedlessReconnect, detail))
            }
            _ => match unshown_since {
                Some(since) if since + SLACK < now => {
                    let since = (now - since).as_secs_f64();
                    let detail =
                        format!("gives up a link over which the server has heard it for {since:.3} s in silence");
                    Err(fault(Invariant::NeedlessReconnect, detail))
                }
                _ => Ok(()),
            },
        }
    }

    /// The server closed a connection over which it let a device in at this time, if it did.
    pub(super) fn closed(
        &self,
        facts: &Facts,
        device: usize,
        welcomed_at: Option<Duration>,
        reason: Option<CloseReason>,
    ) -> Verdict {
        let known = &facts.devices[device];
        let since = welcomed_at.unwrap_or(known.since.from);
        if reason != Some(CloseReason::RemoteLogin) || known.ousted_at.is_some_and(|at| at + CLAIMED >= since) {
            return Ok(());
        }
        Err(fault(Invariant::NeedlessOust, "thrown out, and nobody else has logged in"))
    }

    /// The server may have refused a login.
    pub(super) fn refused(&self, facts: &Facts, device: usize, frame: &ServerFrame) -> Verdict {
        match frame {
            ServerFrame::Refused(refusal)
                if facts.devices[device].wire == Wire::Vendor && refusal.kind == ErrorKind::TooOften =>
            {
                Err(fault(Invariant::NeedlessRefusal, "a login is refused for a while"))
            }
            _ => Ok(()),
        }
    }

    pub(super) fn told(&mut self, facts: &Facts, now: Duration, device: usize, event: &RtmEvent) -> Verdict {
        let observed = &mut self.0[device];
        let RtmEvent::ConnectionStateChanged { state, reason, .. } = event else {
            if matches!(observed.state, State::Connected | State::Reconnecting) {
                return Ok(());
            }
            return Err(fault(Invariant::NothingAfterClosed, format!("{event} while {}", observed.state)));
        };
        let from = std::mem::replace(&mut observed.state, *state);
        if !is_arrow(from, *state, *reason) {
            return Err(fault(Invariant::States, format!("{from} to {state} by {reason}")));
        }
        if *state == State::Connected {
            observed.heard = None;
            observed.connected_at = now;
        }
        let was_disturbed = facts.devices[device].disturbed_at.is_some_and(|at| at + LATER >= observed.connected_at)
            || facts.devices[device].is_slow
            || facts.is_narrow;
        if from == State::Connected && *state == State::Reconnecting && !was_disturbed {
            return Err(fault(Invariant::NeedlessReconnect, "interrupted without a cause"));
        }
        Ok(())
    }

    pub(super) fn finish(&self, now: Duration) -> Verdict {
        let is_open =
            |observed: &&Observed| observed.logouts > 0 || observed.login.is_some_and(|at| now > at + LOGIN_WITHIN);
        match self.0.iter().find(is_open) {
            Some(observed) => {
                let detail = format!("a login ({:?}) or {} logouts have not ended", observed.login, observed.logouts);
                Err(fault(Invariant::RequestsEndOnce, detail))
            }
            None => Ok(()),
        }
    }
}

/// Whether the diagram has this arrow.
fn is_arrow(from: State, to: State, reason: Reason) -> bool {
    match (from, to) {
        (State::Disconnected, State::Connecting) => reason == Reason::Login,
        (State::Connecting | State::Reconnecting, State::Connected) => reason == Reason::LoginSuccess,
        (State::Connecting, State::Disconnected) => {
            matches!(reason, Reason::LoginFailure | Reason::LoginTimeout | Reason::BannedByServer | Reason::Logout)
        }
        (State::Connected, State::Reconnecting) => reason == Reason::Interrupted,
        (State::Connected | State::Reconnecting, State::Aborted) => {
            matches!(reason, Reason::RemoteLogin | Reason::TokenExpired | Reason::BannedByServer)
        }
        (State::Connected | State::Reconnecting | State::Aborted, State::Disconnected) => {
            matches!(reason, Reason::Logout | Reason::RemoteLogin)
        }
        _ => false,
    }
}

/// A login may have been under way for so long when it throws another one out.
const CLAIMED: Duration = Duration::from_secs(30);

/// What happens to a link may show so much later.
const LATER: Duration = Duration::from_secs(30);

/// A login ends within this time.
const LOGIN_WITHIN: Duration = Duration::from_secs(13);

/// For timers that are late, and for the time that a pong takes.
const SLACK: Duration = Duration::from_millis(50);
