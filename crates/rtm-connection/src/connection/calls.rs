//! The user's calls: checked, sent, and ended once.

use std::{collections::BTreeSet, sync::Arc, time::Instant};

use rtm_codec::{
    Answer, ChannelId, Command, ErrorKind, MessageId, Refusal, RequestId, Token,
    limits::{self, check_attributes},
};

use crate::{
    Output, RtmError, check,
    connection::Connection,
    intent::{Membership, is_attribute_write, write_attributes},
    invitation::Effects,
    link::Link,
    pending::{Pending, Request, Sent},
};

impl Connection {
    /// Takes a call of the user, or refuses it at once.
    pub(super) fn start(&mut self, now: Instant, id: RequestId, mut command: Arc<Command>) {
        self.number_message(&mut command);
        if let Err(refusal) = self.admit(now, &command) {
            let error = RtmError::from_refusal(refusal, command.family());
            self.queue.push_back(Output::Reply { id, result: Err(error) });
            return;
        }
        if let Command::LeaveChannel(leave) = &*command
            && self.abort_join(now, &leave.channel_id)
        {
            self.queue.push_back(Output::Reply { id, result: Ok(Answer::LeaveChannel(())) });
            return;
        }
        self.note(now, id, &command);
        let deadline = Pending::deadline(&self.config, now, &command);
        let mut sent = Sent::Never;
        if matches!(self.link, Link::Online(_)) {
            self.queue.push_back(Output::Request { id, command: Arc::clone(&command) });
            sent = Sent::Once;
        }
        self.pending.insert(id, Request { command, deadline, sent, errand: None });
    }

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

    /// Whether a call may be made now. Only one that may draws on the call limits.
    fn admit(&mut self, now: Instant, command: &Command) -> Result<(), Refusal> {
        check::arguments(command, self.config.extensions)?;
        if !self.state().is_logged_in() {
            return Err(ErrorKind::NotLoggedIn.into());
        }
        self.check_state(command)?;
        if self.pending.len() >= limits::REQUESTS_IN_FLIGHT {
            return Err(Refusal::new(ErrorKind::TooOften, "4096 requests are under way"));
        }
        self.limiter.try_call(now, command)
    }

    /// Whether what this client has and is in allows the call.
    fn check_state(&self, command: &Command) -> Result<(), Refusal> {
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
            _ => self.invitations.check(command),
        }
    }

    fn check_joined(&self, channel: &ChannelId) -> Result<(), Refusal> {
        if self.intent.is_joined(channel) { Ok(()) } else { Err(ErrorKind::NotInChannel.into()) }
    }

    /// A join that has no answer yet ends with the channel being left. Says whether the server never heard of it.
    fn abort_join(&mut self, now: Instant, channel: &ChannelId) -> bool {
        let Some(&Membership::Joining { id, left }) = self.intent.channels.get(channel) else { return false };
        self.intent.channels.remove(channel);
        let Some(request) = self.pending.remove(id) else { return false };
        let sent = request.is_sent();
        self.finish(now, id, request, Err(ErrorKind::AbortedByLeave.into()));
        left && !sent
    }

    /// What a call that is now under way changes here at once.
    fn note(&mut self, now: Instant, id: RequestId, command: &Command) {
        match command {
            Command::JoinChannel(join) => {
                let left = !self.intent.channels.contains_key(&join.channel_id);
                self.intent.channels.insert(join.channel_id.clone(), Membership::Joining { id, left });
            }
            Command::LeaveChannel(leave) => {
                self.intent.channels.insert(leave.channel_id.clone(), Membership::Leaving(id));
            }
            Command::RenewToken(renew) => {
                let older = self.set_token(renew.token.clone());
                if self.token.fallback.is_none() && !self.token.is_expired() {
                    self.token.fallback = older;
                }
                self.token.renewing = Some(id);
                self.token.replaced();
                if matches!(self.link, Link::Waiting { .. } | Link::NeedsToken) {
                    self.dial(now);
                }
            }
            _ => self.invitations.requested(now, id, command, self.config.invitation_timeout),
        }
    }

    /// Logins present this token from now on. Returns the one before.
    pub(super) fn set_token(&mut self, token: Token) -> Option<Token> {
        self.credentials.as_mut()?.token.replace(token)
    }

    /// Ends a request: brings what is kept here up to date, and tells the user.
    pub(super) fn finish(&mut self, now: Instant, id: RequestId, request: Request, result: Result<Answer, Refusal>) {
        let Request { command, deadline: _, sent, errand } = request;
        let mut result = match result {
            Ok(answer) if !command.is_answered_by(&answer) => {
                Err(Refusal::new(ErrorKind::Failure, "the server's answer is to another call"))
            }
            result => result,
        };
        if let Some(errand) = errand {
            self.errand_ended(now, errand, result.map(drop));
            return;
        }
        match &*command {
            Command::JoinChannel(join) => self.join_ended(now, id, &join.channel_id, sent, &mut result),
            Command::LeaveChannel(leave) => self.leave_ended(now, id, &leave.channel_id, sent, &mut result),
            Command::RenewToken(_) => self.renewal_ended(id, &result),
            Command::SubscribePeersOnlineStatus(subscribe) if result.is_ok() => {
                self.intent.subscriptions.extend(subscribe.peer_ids.iter().cloned());
            }
            Command::UnsubscribePeersOnlineStatus(unsubscribe) if result.is_ok() => {
                for peer in &unsubscribe.peer_ids {
                    self.intent.subscriptions.remove(peer);
                }
            }
            _ if is_attribute_write(&command) => {
                if result.is_ok() {
                    write_attributes(&mut self.intent.attributes, &command);
                }
                self.write_ended(now);
            }
            _ => {
                let error = result.as_ref().err().map(|refusal| refusal.kind);
                let effects = self.invitations.answered(id, &command, sent != Sent::Never, error);
                self.apply(effects);
            }
        }
        let result = result.map_err(|refusal| RtmError::from_refusal(refusal, command.family()));
        self.queue.push_back(Output::Reply { id, result });
    }

    fn join_ended(
        &mut self,
        now: Instant,
        id: RequestId,
        channel: &ChannelId,
        sent: Sent,
        result: &mut Result<Answer, Refusal>,
    ) {
        if result.as_ref().is_err_and(|refusal| refusal.kind == ErrorKind::AlreadyJoined) {
            // What was wanted is so: the server kept a membership that this side had forgotten.
            *result = Ok(Answer::JoinChannel(()));
        }
        let left = match self.intent.channels.get(channel) {
            Some(Membership::Joining { id: joining, left }) if *joining == id => *left,
            _ => return,
        };
        match result {
            Ok(_) => {
                self.intent.channels.insert(channel.clone(), Membership::Joined);
                if sent == Sent::AgainAfterLapse {
                    self.join_again(now, channel);
                }
            }
            Err(refusal) => {
                self.intent.channels.remove(channel);
                // The server may yet do it, or has the user in from before, and the user believes that it is out.
                if !left || (sent != Sent::Never && refusal.kind == ErrorKind::Timeout) {
                    self.leave_unjoined(now, channel);
                }
            }
        }
    }

    fn leave_ended(
        &mut self,
        now: Instant,
        id: RequestId,
        channel: &ChannelId,
        sent: Sent,
        result: &mut Result<Answer, Refusal>,
    ) {
        if result.as_ref().is_err_and(|refusal| refusal.kind == ErrorKind::NotInChannel) {
            // This side knew of the membership, and it is gone: over a reconnect, or by an earlier try.
            *result = Ok(Answer::LeaveChannel(()));
        }
        match self.intent.channels.get_mut(channel) {
            Some(Membership::Leaving(leaving)) if *leaving == id => {}
            Some(Membership::Joining { left, .. }) => {
                *left |= result.is_ok();
                return;
            }
            _ => return,
        }
        if result.is_ok() {
            self.intent.channels.remove(channel);
        } else {
            self.intent.channels.insert(channel.clone(), Membership::Joined);
            if sent != Sent::Never {
                // The server may have done it, or may yet, and the user believes that it is in.
                self.join_again(now, channel);
            }
        }
    }

    fn renewal_ended(&mut self, id: RequestId, result: &Result<Answer, Refusal>) {
        if self.token.renewing != Some(id) {
            return;
        }
        self.token.renewing = None;
        match result {
            Ok(_) => self.token.renewed(),
            // Nobody said that the token is not good.
            Err(refusal) if refusal.kind == ErrorKind::Timeout => {}
            Err(_) => {
                if let Some(older) = self.token.fallback.take() {
                    self.set_token(older);
                }
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
        if matches!(self.link, Link::Online(_)) {
            let id = self.take_request_id();
            self.queue.push_back(Output::Request { id, command: Arc::new(command) });
        }
    }
}
