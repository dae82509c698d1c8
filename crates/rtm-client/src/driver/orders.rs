//! What the user's handles ask of the task.

use std::time::Instant;

use rtm_codec::ErrorKind;
use rtm_connection::Credentials;

use super::{
    Driver,
    delayed::Delayable,
    replies::{Invited, Renewal, Waiting},
};
use crate::{
    call::{Order, RareOrder},
    network::Network,
};

impl<N: Network> Driver<N> {
    pub(super) fn carry_out(&mut self, now: Instant, order: Order) {
        match order {
            Order::Request { command, done } if self.settings.waits_for_limits => {
                let number = self.next_call;
                self.next_call += 1;
                if let Some(call) = self.delayed.behind_others(Delayable { number, command, done }) {
                    self.try_call(now, call);
                }
            }
            Order::Request { command, done } => {
                let id = self.connection.request_shared(now, command);
                self.replies.insert(id, Waiting::Answer(done));
            }
            Order::Rare(order) => self.carry_out_rare(now, *order),
        }
    }

    pub(super) fn carry_out_rare(&mut self, now: Instant, order: RareOrder) {
        match order {
            RareOrder::Login { user_id, token, done } => {
                let app_id = self.settings.app_id.clone();
                match self.connection.login(now, Credentials { app_id, user_id: user_id.clone(), token: token.clone() })
                {
                    Ok(()) => {
                        self.relogin.logged_in(user_id, token);
                        self.logins.push_back(done);
                    }
                    Err(error) => drop(done.send(Err(error))),
                }
            }
            RareOrder::Logout { done } => {
                self.relogin.stop();
                match self.connection.logout(now) {
                    Ok(()) => {
                        self.end_delayed(ErrorKind::AbortedByLogout);
                        self.logouts.push_back(done);
                    }
                    Err(error) => drop(done.send(Err(error))),
                }
            }
            RareOrder::RenewToken { token, done } => {
                let id = self.connection.renew_token(now, token.clone());
                self.replies.insert(id, Waiting::Renewal(Box::new(Renewal { token, done })));
            }
            RareOrder::Invite { callee_id, content, done } => {
                let (invitation, id) = self.connection.send_invitation(now, callee_id, content);
                self.replies.insert(id, Waiting::Invitation(Box::new(Invited { invitation, done })));
            }
            RareOrder::CancelInvitation { invitation, content, done } => {
                let id = self.connection.cancel_invitation(now, &invitation, content);
                self.replies.insert(id, Waiting::Answer(done));
            }
            RareOrder::AcceptInvitation { invitation, response, done } => {
                let id = self.connection.accept_invitation(now, &invitation, response);
                self.replies.insert(id, Waiting::Answer(done));
            }
            RareOrder::RefuseInvitation { invitation, response, done } => {
                let id = self.connection.refuse_invitation(now, &invitation, response);
                self.replies.insert(id, Waiting::Answer(done));
            }
            RareOrder::NetworkChanged => self.connection.network_changed(now),
            RareOrder::Session { done } => {
                // A session says what of its events was consumed: to the last one.
                self.connection.consumed(now, self.events.take_taken().unwrap_or(0));
                drop(done.send(self.connection.session()));
            }
        }
    }
}
