//! The user's calls: checked, sent, and ended once.

use std::{collections::BTreeSet, error::Error, sync::Arc, time::Instant};

use rtm_codec::{
    Answer, ChannelId, Command, ErrorKind, MessageId, Refusal, RequestId,
    limits::{self, check_attributes},
};

use super::{
    Connection,
    account::{Account, Active},
    lasting::Lasting,
};
use crate::{
    Output, RtmError, check,
    intent::{Membership, write_attributes},
    invitation::{CallIds, Effects},
    pending::{Pending, Request, Sent},
};

impl Connection {
    /// Takes a call of the user, or refuses it at once.
    pub(super) fn start(&mut self, now: Instant, id: RequestId, mut command: Arc<Command>) {
        self.lasting.number_message(&mut command);
        let family = command.family();
        let started = check::arguments(&command, self.lasting.config.abilities).and_then(|()| {
            let mut active = self.active(now).ok_or(ErrorKind::NotLoggedIn)?;
            active.start(id, command)
        });
        if let Err(refusal) = started {
            let error = RtmError::from_refusal(refusal, family);
            self.lasting.queue.push_back(Output::Reply { id, result: Err(error) });
        }
    }
}

impl Lasting {
    fn number_message(&mut self, command: &mut Arc<Command>) {
        let number = match &**command {
            Command::SendMessageToPeer(send) => send.message_id,
            Command::SendChannelMessage(send) => send.message_id,
            _ => return,
        };
        if number != MessageId(0) {
            return;
        }
        let number = self.take_message_id();
        match Arc::make_mut(command) {
            Command::SendMessageToPeer(send) => send.message_id = number,
            Command::SendChannelMessage(send) => send.message_id = number,
            _ => {}
        }
    }
}

impl Account {
    /// Whether what this client has and is in allows the call.
    fn check_state(&self, command: &Command, call_ids: &CallIds) -> Result<(), Refusal> {
        match command {
            Command::JoinChannel(join) => {
                let stays = |membership: &&Membership| !matches!(membership, Membership::Leaving(_));
                if self.intent.channels.get(&join.channel_id).filter(stays).is_some() {
                    return Err(ErrorKind::AlreadyJoined.into());
                }
                if self.intent.channels.values().filter(stays).count() >= limits::JOINED_CHANNELS {
                    return Err(Refusal::new(ErrorKind::ExceedLimit, "a client is in at most 20 channels"));
                }
                Ok(())
            }
            Command::LeaveChannel(leave) => match self.intent.channels.get(&leave.channel_id) {
                Some(Membership::Joined | Membership::Joining { .. }) => Ok(()),
                Some(Membership::Leaving(_)) | None => Err(ErrorKind::NotInChannel.into()),
            },
            Command::SendChannelMessage(send) => self.check_joined(&send.channel_id),
            Command::GetMembers(get) => self.check_joined(&get.channel_id),
            Command::SubscribePeersOnlineStatus(subscribe) => {
                let mut peers: BTreeSet<_> = self.intent.subscriptions.iter().chain(&subscribe.peer_ids).collect();
                for command in self.pending.commands() {
                    if let Command::SubscribePeersOnlineStatus(earlier) = command {
                        peers.extend(&earlier.peer_ids);
                    }
                }
                if peers.len() > limits::SUBSCRIBED_PEERS {
                    return Err(Refusal::new(ErrorKind::ExceedLimit, "there would be more than 512 subscribed peers"));
                }
                Ok(())
            }
            Command::AddOrUpdateLocalUserAttributes(_) => {
                let mut attributes = self.intent.attributes.clone();
                for earlier in self.pending.commands() {
                    write_attributes(&mut attributes, earlier);
                }
                write_attributes(&mut attributes, command);
                check_attributes(&attributes, limits::USER_ATTRIBUTES_BYTES)
            }
            Command::SendInvitation(_)
            | Command::CancelInvitation(_)
            | Command::AcceptInvitation(_)
            | Command::RefuseInvitation(_) => self.invitations.check(command, call_ids),
            Command::RenewToken(_)
            | Command::SendMessageToPeer(_)
            | Command::QueryPeersOnlineStatus(_)
            | Command::UnsubscribePeersOnlineStatus(_)
            | Command::QueryPeersBySubscriptionOption(_)
            | Command::SetLocalUserAttributes(_)
            | Command::DeleteLocalUserAttributesByKeys(_)
            | Command::ClearLocalUserAttributes(_)
            | Command::GetUserAttributes(_)
            | Command::GetChannelMemberCount(_)
            | Command::SetChannelAttributes(_)
            | Command::AddOrUpdateChannelAttributes(_)
            | Command::DeleteChannelAttributesByKeys(_)
            | Command::ClearChannelAttributes(_)
            | Command::GetChannelAttributes(_)
            | Command::QueryHistory(_) => Ok(()),
        }
    }

    fn check_joined(&self, channel: &ChannelId) -> Result<(), Refusal> {
        if self.intent.is_joined(channel) { Ok(()) } else { Err(ErrorKind::NotInChannel.into()) }
    }
}

impl Active<'_> {
    fn start(&mut self, id: RequestId, command: Arc<Command>) -> Result<(), Refusal> {
        self.admit(&command)?;
        if let Command::LeaveChannel(leave) = &*command
            && self.abort_join(&leave.channel_id)
        {
            self.push(Output::Reply { id, result: Ok(Answer::LeaveChannel(())) });
            return Ok(());
        }
        self.make(id, command);
        Ok(())
    }

    /// Makes a call that may be made: at once, or with the next link.
    pub(super) fn make(&mut self, id: RequestId, command: Arc<Command>) {
        self.note(id, &command);
        let deadline = Pending::deadline(&self.lasting.config, self.now, &command);
        let mut sent = Sent::Never;
        if self.account.is_online() {
            self.send_request(id, Arc::clone(&command));
            sent = Sent::Once;
        }
        self.account.pending.insert(id, Request { command, deadline, sent, errand: None });
    }

    /// Whether a call may be made now. Only one that may draws on the call limits.
    fn admit(&mut self, command: &Command) -> Result<(), Refusal> {
        if !self.account.state().is_logged_in() {
            return Err(ErrorKind::NotLoggedIn.into());
        }
        self.check_token(command)?;
        self.account.check_state(command, &self.lasting.call_ids)?;
        if self.account.pending.len() >= limits::REQUESTS_IN_FLIGHT {
            return Err(Refusal::new(ErrorKind::TooOften, "4096 requests are under way"));
        }
        self.lasting.limiter.try_call(self.now, command)
    }

    /// A join that has no answer yet ends with the channel being left. Says whether the server never heard of the join.
    fn abort_join(&mut self, channel: &ChannelId) -> bool {
        let Some(&Membership::Joining { id, left }) = self.account.intent.channels.get(channel) else { return false };
        self.account.intent.channels.remove(channel);
        let Some(request) = self.account.pending.remove(id) else { return false };
        let sent = request.is_sent();
        self.finish(id, request, Err(ErrorKind::AbortedByLeave.into()));
        left && !sent
    }

    /// What a call that is now under way changes here at once.
    pub(super) fn note(&mut self, id: RequestId, command: &Command) {
        match command {
            Command::JoinChannel(join) => {
                let left = self.account.intent.is_out_of(&join.channel_id);
                self.account.intent.channels.insert(join.channel_id.clone(), Membership::Joining { id, left });
            }
            Command::LeaveChannel(leave) => {
                self.account.intent.channels.insert(leave.channel_id.clone(), Membership::Leaving(id));
            }
            Command::RenewToken(renew) => {
                self.account.set_token(renew.token.clone());
                self.account.token.renewing = Some(id);
                self.account.token.replaced();
                self.try_token();
            }
            Command::SendInvitation(_)
            | Command::CancelInvitation(_)
            | Command::AcceptInvitation(_)
            | Command::RefuseInvitation(_) => {
                let timeout = self.lasting.config.invitation_timeout;
                self.account.invitations.requested(self.now, id, command, timeout);
            }
            Command::SendMessageToPeer(_)
            | Command::QueryPeersOnlineStatus(_)
            | Command::SubscribePeersOnlineStatus(_)
            | Command::UnsubscribePeersOnlineStatus(_)
            | Command::QueryPeersBySubscriptionOption(_)
            | Command::SetLocalUserAttributes(_)
            | Command::AddOrUpdateLocalUserAttributes(_)
            | Command::DeleteLocalUserAttributesByKeys(_)
            | Command::ClearLocalUserAttributes(_)
            | Command::GetUserAttributes(_)
            | Command::SendChannelMessage(_)
            | Command::GetMembers(_)
            | Command::GetChannelMemberCount(_)
            | Command::SetChannelAttributes(_)
            | Command::AddOrUpdateChannelAttributes(_)
            | Command::DeleteChannelAttributesByKeys(_)
            | Command::ClearChannelAttributes(_)
            | Command::GetChannelAttributes(_)
            | Command::QueryHistory(_) => {}
        }
    }

    /// Ends a request: brings what is kept here up to date, and tells the user.
    pub(super) fn finish(&mut self, id: RequestId, request: Request, result: Result<Answer, Refusal>) {
        self.finish_with(id, request, result, None);
    }

    /// The same, with the error behind a refusal that is none of the server's.
    pub(super) fn finish_with(
        &mut self,
        id: RequestId,
        request: Request,
        result: Result<Answer, Refusal>,
        source: Option<Arc<dyn Error + Send + Sync>>,
    ) {
        let Request { command, deadline: _, sent, errand } = request;
        let mut result = match result {
            Ok(answer) if !command.is_answered_by(&answer) => {
                Err(Refusal::new(ErrorKind::Failure, "the server's answer is to another call"))
            }
            result => result,
        };
        let is_provided = self.account.token.provided.contains(&id);
        if let Some(errand) = errand {
            self.errand_ended(errand, result.map(drop));
            return;
        }
        match &*command {
            Command::JoinChannel(join) => self.join_ended(id, &join.channel_id, sent, &mut result),
            Command::LeaveChannel(leave) => self.leave_ended(id, &leave.channel_id, sent, &mut result),
            Command::RenewToken(renew) => self.renewal_ended(id, &renew.token, &result),
            Command::QueryHistory(_) => self.cancel_query(id),
            Command::SubscribePeersOnlineStatus(subscribe) => {
                if result.is_ok() {
                    self.account.intent.subscriptions.extend(subscribe.peer_ids.iter().cloned());
                }
            }
            Command::UnsubscribePeersOnlineStatus(unsubscribe) => {
                if result.is_ok() {
                    for peer in &unsubscribe.peer_ids {
                        self.account.intent.subscriptions.remove(peer);
                    }
                }
            }
            Command::SetLocalUserAttributes(_)
            | Command::AddOrUpdateLocalUserAttributes(_)
            | Command::DeleteLocalUserAttributesByKeys(_)
            | Command::ClearLocalUserAttributes(_) => {
                if result.is_ok() {
                    write_attributes(&mut self.account.intent.attributes, &command);
                }
                self.write_ended();
            }
            Command::SendInvitation(_)
            | Command::CancelInvitation(_)
            | Command::AcceptInvitation(_)
            | Command::RefuseInvitation(_) => {
                let error = result.as_ref().err().map(|refusal| refusal.kind);
                let effects = self.account.invitations.answered(id, &command, sent != Sent::Never, error);
                self.apply(effects);
            }
            Command::SendMessageToPeer(_)
            | Command::QueryPeersOnlineStatus(_)
            | Command::QueryPeersBySubscriptionOption(_)
            | Command::GetUserAttributes(_)
            | Command::SendChannelMessage(_)
            | Command::GetMembers(_)
            | Command::GetChannelMemberCount(_)
            | Command::SetChannelAttributes(_)
            | Command::AddOrUpdateChannelAttributes(_)
            | Command::DeleteChannelAttributesByKeys(_)
            | Command::ClearChannelAttributes(_)
            | Command::GetChannelAttributes(_) => {}
        }
        if is_provided {
            self.account.token.provided.remove(&id);
            return;
        }
        let result = result.map_err(|refusal| {
            let error = RtmError::from_refusal(refusal, command.family());
            source.into_iter().fold(error, RtmError::with_source)
        });
        self.push(Output::Reply { id, result });
    }

    fn join_ended(&mut self, id: RequestId, channel: &ChannelId, sent: Sent, result: &mut Result<Answer, Refusal>) {
        if result.as_ref().is_err_and(|refusal| refusal.kind == ErrorKind::AlreadyJoined) {
            // What was wanted is so: the server kept a membership that this side had forgotten.
            *result = Ok(Answer::JoinChannel(()));
        }
        let left = match self.account.intent.channels.get(channel) {
            Some(Membership::Joining { id: joining, left }) if *joining == id => *left,
            _ => return,
        };
        match result {
            Ok(_) => {
                self.account.intent.channels.insert(channel.clone(), Membership::Joined);
                if sent == Sent::AgainAfterLapse {
                    self.join_again(channel);
                }
            }
            Err(refusal) => {
                self.account.intent.channels.remove(channel);
                // The server may yet do it, or has the user in from before, and the user believes that it is out.
                if !left || (sent != Sent::Never && refusal.kind == ErrorKind::Timeout) {
                    self.leave_unjoined(channel);
                }
            }
        }
    }

    fn leave_ended(&mut self, id: RequestId, channel: &ChannelId, sent: Sent, result: &mut Result<Answer, Refusal>) {
        if result.as_ref().is_err_and(|refusal| refusal.kind == ErrorKind::NotInChannel) {
            // This side knew of the membership, and it is gone: over a reconnect, or by an earlier try.
            *result = Ok(Answer::LeaveChannel(()));
        }
        match self.account.intent.channels.get_mut(channel) {
            Some(Membership::Leaving(leaving)) if *leaving == id => {}
            Some(Membership::Joining { left, .. }) => {
                *left |= result.is_ok();
                return;
            }
            _ => return,
        }
        if result.is_ok() {
            self.account.intent.channels.remove(channel);
        } else {
            self.account.intent.channels.insert(channel.clone(), Membership::Joined);
            if sent != Sent::Never {
                // The server may have done it, or may yet, and the user believes that it is in.
                self.join_again(channel);
            }
        }
    }

    pub(super) fn apply(&mut self, effects: Effects) {
        let Effects { events, cancels, orphans: _ } = effects;
        events.into_iter().for_each(|event| self.emit(event));
        cancels.into_iter().for_each(|cancel| self.send_unasked(cancel));
    }

    /// Sends a call whose answer is of no interest, if there is a link: it undoes what nobody here wants any more.
    pub(super) fn send_unasked(&mut self, command: Command) {
        if self.account.is_online() {
            let id = self.lasting.take_request_id();
            self.push(Output::Request { id, command: Arc::new(command) });
        }
    }
}
