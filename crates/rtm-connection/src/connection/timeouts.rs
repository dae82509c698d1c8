//! What time does: when each timer is due, and what happens then.

use std::{ops::ControlFlow, time::Instant};

use rtm_codec::{ClientFrame, CloseReason, ErrorKind};

use super::{
    Connection, State,
    account::{Account, Active, End},
    login::NOT_ANSWERED,
};
use crate::{ConnectionState, Deadline, Timer, link::LinkState};

impl Connection {
    /// The next instant at which something is to be done, and what.
    pub(super) fn next_timeout(&self) -> Option<Deadline> {
        match self.lasting.judges_from {
            None => Self::earliest(|timer| self.deadline(timer)),
            Some(from) => self.next_timeout_judging(from),
        }
    }

    #[cold]
    fn next_timeout_judging(&self, from: Instant) -> Option<Deadline> {
        Self::earliest(|timer| self.deadline_judging(from, timer))
    }

    #[inline(always)]
    fn earliest(deadline: impl Fn(Timer) -> Option<Instant>) -> Option<Deadline> {
        let mut next: Option<Deadline> = None;
        Timer::for_each(|timer| {
            if let Some(at) = deadline(timer)
                && next.is_none_or(|next| at < next.at)
            {
                next = Some(Deadline { at, timer });
            }
        });
        next
    }

    /// Does everything that is due.
    pub(super) fn timeout(&mut self, now: Instant) {
        if self.lasting.judges_from.is_some_and(|from| from <= now) {
            self.lasting.judges_from = None;
        }
        Timer::for_each(|timer| {
            let deadline = match self.lasting.judges_from {
                None => self.deadline(timer),
                Some(from) => self.deadline_judging(from, timer),
            };
            if deadline.is_some_and(|at| at <= now) {
                self.due(now, timer);
            }
        });
    }

    /// When a timer is due, where nothing is judged before `from`.
    fn deadline_judging(&self, from: Instant, timer: Timer) -> Option<Instant> {
        let at = self.deadline(timer)?;
        Some(if timer.waits_for_others() { at.max(from) } else { at })
    }

    #[inline(always)]
    fn deadline(&self, timer: Timer) -> Option<Instant> {
        match &self.state {
            State::In(account) => account.deadline(timer),
            State::LoggingOut { give_up, .. } => (timer == Timer::Logout).then_some(*give_up),
            State::Out { .. } | State::Aborted => None,
        }
    }

    fn due(&mut self, now: Instant, timer: Timer) {
        match self.state {
            State::LoggingOut { confirms: Some(ask), .. } => {
                self.lasting.cancel_asks([ask].into());
                self.tell_logout(now);
            }
            State::LoggingOut { confirms: None, .. } => self.logged_out(true),
            State::Out { .. } | State::In(_) | State::Aborted => self.turn(now, |active| active.due(timer)),
        }
    }
}

impl Account {
    #[inline(always)]
    fn deadline(&self, timer: Timer) -> Option<Instant> {
        match (timer, &self.link) {
            (Timer::Request, _) => self.pending.next_deadline(),
            (Timer::Invitation, _) => self.invitations.next_deadline(),
            (Timer::Login, _) => self.login.as_ref().map(|login| login.deadline),
            (Timer::Token, _) if self.state() == ConnectionState::Reconnecting => self.token.deadline(),
            (Timer::Answer, LinkState::LoggingIn { give_up, .. }) => Some(*give_up),
            (Timer::Gateway, LinkState::Asking { until, .. }) => Some(*until),
            (Timer::Open, LinkState::Dialing { until, .. }) => Some(*until),
            (Timer::Reconnect, LinkState::Waiting { until } | LinkState::NeedsToken { until: Some(until) }) => Some(*until),
            (Timer::Provider, _) => self.token.supply_at(),
            (Timer::Silence, LinkState::Online(online)) => Some(online.look_at()),
            (Timer::Ping, LinkState::Online(online)) => online.ping_at(),
            (Timer::StoredMessages, LinkState::Online(online)) => online.gateway.as_ref()?.stored_at(),
            (Timer::Restore, LinkState::Online(_)) => self.intent.next_retry(),
            (
                Timer::Token
                | Timer::Answer
                | Timer::Gateway
                | Timer::Open
                | Timer::Reconnect
                | Timer::Silence
                | Timer::Ping
                | Timer::StoredMessages
                | Timer::Restore
                // There is no account any more.
                | Timer::Logout,
                _,
            ) => None,
        }
    }
}

impl Active<'_> {
    fn due(&mut self, timer: Timer) -> ControlFlow<End> {
        match timer {
            Timer::Request => {
                while let Some((id, request)) = self.account.pending.pop_expired(self.now) {
                    let refusal = self.unanswered(&request);
                    self.finish(id, request, Err(refusal));
                }
            }
            Timer::Invitation => {
                let effects = self.account.invitations.expire(self.now);
                self.apply(effects);
            }
            Timer::Login => return self.login_timeout(),
            Timer::Token => self.token_expired(),
            Timer::Provider => return self.provider_timeout(),
            Timer::Answer => {
                self.give_up_attempt();
                return self.attempt_failed(ErrorKind::GatewayConnectFailed, NOT_ANSWERED.into(), true);
            }
            Timer::Gateway => return self.server_timeout(),
            Timer::Open => return self.open_timeout(),
            Timer::Reconnect => self.dial(),
            Timer::Silence => {
                if let LinkState::Online(online) = &mut self.account.link
                    && online.is_silent(self.now)
                {
                    self.interrupted(Some(CloseReason::KeepAliveTimeout), Some(CloseReason::KeepAliveTimeout));
                }
            }
            Timer::Ping => self.ping(),
            Timer::StoredMessages => self.stored_timeout(),
            Timer::Restore => self.retry_errands(),
            Timer::Logout => {}
        }
        ControlFlow::Continue(())
    }

    pub(super) fn ping(&mut self) {
        if let LinkState::Online(online) = &mut self.account.link {
            online.ping(self.now);
            self.lasting.send(ClientFrame::Ping);
        }
    }

    /// Ends an attempt: nothing more is asked or dialled for it, and a link on which the login has no answer is left.
    pub(super) fn give_up_attempt(&mut self) {
        match self.account.link {
            LinkState::LoggingIn { .. } => {
                self.account.unanswered_at = Some(self.now);
                self.drop_link(Some(CloseReason::LoginTimeout));
            }
            LinkState::Dialing { .. } => self.drop_link(Some(CloseReason::LoginTimeout)),
            LinkState::Asking { .. } => self.drop_link(None),
            LinkState::Lost | LinkState::Online(_) | LinkState::Waiting { .. } | LinkState::NeedsToken { .. } => {}
        }
    }
}
