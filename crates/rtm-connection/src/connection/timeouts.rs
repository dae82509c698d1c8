//! What time does.

use std::time::Instant;

use rtm_codec::{ClientFrame, CloseReason, ErrorKind, Family, Text};

use crate::{
    ConnectionChangeReason as Reason, ConnectionState as State, RtmError,
    connection::Connection,
    link::{KeepAliveStep, Link},
};

impl Connection {
    /// The next instant at which something is to be done.
    pub(super) fn next_timeout(&self) -> Option<Instant> {
        let link = match &self.link {
            Link::Idle | Link::Aborted | Link::NeedsToken => None,
            Link::Dialing { give_up, .. } | Link::LoggingIn { give_up, .. } | Link::LoggingOut { give_up } => {
                Some(*give_up)
            }
            Link::Waiting { until } => Some(*until),
            Link::Online(online) => {
                let sign_of_life = online.next_timeout();
                Some(self.intent.next_retry().map_or(sign_of_life, |at| at.min(sign_of_life)))
            }
        };
        let token = if self.state() == State::Reconnecting { self.token.deadline() } else { None };
        let login = self.login.as_ref().map(|login| login.deadline);
        [link, token, login, self.pending.next_deadline(), self.invitations.next_deadline()].into_iter().flatten().min()
    }

    pub(super) fn timeout(&mut self, now: Instant) {
        while let Some((id, request)) = self.pending.pop_expired(now) {
            self.finish(now, id, request, Err(ErrorKind::Timeout.into()));
        }
        let effects = self.invitations.expire(now);
        self.apply(effects);
        if let Some(login) = self.login.take_if(|login| login.deadline <= now) {
            let detail = login
                .last_error
                .map_or_else(Text::default, |error| Text::from(format!("the last attempt failed: {}", error)));
            self.give_up_attempt();
            let error = RtmError::new(ErrorKind::Timeout, Family::Login).with_detail(detail);
            self.login_failed(Reason::LoginTimeout, error);
        }
        if self.state() == State::Reconnecting && self.token.deadline().is_some_and(|at| at <= now) {
            self.token_expired();
        }
        match &mut self.link {
            Link::Dialing { give_up, .. } | Link::LoggingIn { give_up, .. } if *give_up <= now => {
                self.give_up_attempt();
                let detail = Text::from("the server did not answer");
                self.attempt_failed(now, ErrorKind::GatewayConnectFailed, detail, true);
            }
            Link::Waiting { until } if *until <= now => self.dial(now),
            Link::LoggingOut { give_up } if *give_up <= now => self.logged_out(true),
            Link::Online(online) => match online.step(now) {
                None => self.retry_errands(now),
                Some(KeepAliveStep::Ping) => {
                    self.send(ClientFrame::Ping);
                    self.ack_anything = true;
                    self.retry_errands(now);
                }
                Some(KeepAliveStep::GiveUp) => {
                    self.interrupted(now, Some(CloseReason::KeepAliveTimeout), Some(CloseReason::KeepAliveTimeout));
                }
            },
            _ => {}
        }
    }

    /// The transport is to leave a link alone that is not made yet, or on which the login has no answer.
    fn give_up_attempt(&mut self) {
        if matches!(self.link, Link::Dialing { .. } | Link::LoggingIn { .. }) {
            self.drop_link(Some(CloseReason::LoginTimeout));
        }
    }
}
