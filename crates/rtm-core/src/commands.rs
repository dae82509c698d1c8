//! What each command means: the one match over them.

use rtm_codec::{
    AddOrUpdateChannelAttributes, Answer, ClearChannelAttributes, Command, DeleteChannelAttributesByKeys, Effect,
    ErrorKind, JoinChannel, LimitedCall, Refusal, RequestId, SetChannelAttributes,
};

use super::{Core, Now, arena::SessionKey, attributes::Edit, notes::Asker, requests::Begin};

impl Core {
    /// Does a request of a session, and answers it at once or later.
    pub(super) fn request(&mut self, now: Now, key: SessionKey, id: RequestId, command: Command) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let asker = Asker { session: key, numbering: session.requests.numbering, request: id };
        let call = command.name();
        // A read is done again when it is repeated, but for one that takes the store's time.
        let is_remembered = command.effect() != Effect::Read || matches!(command, Command::QueryHistory(_));
        if !is_remembered {
            let allowed = match session.requests.take_counted_read(id) {
                true => Ok(()),
                false => self.check_limit(now, key, &command).map(|()| {
                    if let Some(session) = self.hub.sessions.get_mut(key) {
                        session.requests.counted_read(id);
                    }
                }),
            };
            let result = match allowed {
                Ok(()) => self.serve(now, asker, command),
                Err(refusal) => Some(Err(refusal)),
            };
            if let Some(result) = result {
                self.hub.reply(key, id, Some(call), result);
            }
            return;
        }
        match session.requests.begin(id, call) {
            Begin::Fresh => {}
            Begin::UnderWay => return,
            Begin::Done(result) => return self.hub.reply(key, id, Some(call), result),
            Begin::Refused(kind) => return self.hub.reply(key, id, Some(call), Err(kind.into())),
        }
        let result = match self.check_limit(now, key, &command) {
            Ok(()) => self.serve(now, asker, command),
            Err(refusal) => Some(Err(refusal)),
        };
        if let Some(result) = result {
            self.hub.finish(asker, result);
        }
    }

    /// Counts a call of a session within its limit.
    #[inline(always)]
    pub(super) fn check_limit(&mut self, now: Now, key: SessionKey, command: &Command) -> Result<(), Refusal> {
        let since_start = self.since_start(now);
        let session = self.hub.sessions.get_mut(key).ok_or(ErrorKind::NotLoggedIn)?;
        // What a client does by itself when it comes back was not asked for by anybody.
        let is_return = match command {
            Command::JoinChannel(join) => return self.check_join_limit(now, key, join),
            Command::SetLocalUserAttributes(_) => session.terms.expects_echo(now.instant),
            _ => false,
        };
        if is_return {
            return Ok(());
        }
        session.budgets.try_command(&self.config.limits, command, since_start)
    }

    /// Counts a join, within the limit of its channel too unless the session is a member already. A refused one counts
    /// within neither.
    fn check_join_limit(&mut self, now: Now, key: SessionKey, join: &JoinChannel) -> Result<(), Refusal> {
        let (since_start, is_member) = (self.since_start(now), self.channel_of(key, &join.channel_id).is_some());
        let session = self.hub.sessions.get_mut(key).ok_or(ErrorKind::NotLoggedIn)?;
        if session.awaits_join(&join.channel_id) {
            return Ok(());
        }
        match is_member {
            true => session.budgets.try_call(&self.config.limits, LimitedCall::JoinChannel, since_start),
            false => session.budgets.try_join(&self.config.limits, &join.channel_id, since_start),
        }
    }

    /// The answer, unless it is given later or was given already.
    fn serve(&mut self, now: Now, asker: Asker, command: Command) -> Option<Result<Answer, Refusal>> {
        let key = asker.session;
        match command {
            Command::RenewToken(renew) => Some(self.renew_token(now, key, &renew)),
            Command::SendMessageToPeer(send) => self.send_to_peer(now, asker, send),
            Command::QueryPeersOnlineStatus(query) => self.query_peers(now, asker, query),
            Command::SubscribePeersOnlineStatus(subscribe) => self.subscribe(now, asker, subscribe),
            Command::UnsubscribePeersOnlineStatus(unsubscribe) => self.unsubscribe(now, asker, unsubscribe),
            Command::QueryPeersBySubscriptionOption(_) => Some(self.subscribed_peers(key)),
            Command::SendInvitation(send) => Some(self.send_invitation(now, key, send)),
            Command::CancelInvitation(cancel) => Some(self.cancel_invitation(now, key, cancel)),
            Command::AcceptInvitation(accept) => self.accept_invitation(now, asker, accept),
            Command::RefuseInvitation(refuse) => self.refuse_invitation(now, asker, refuse),
            Command::SetLocalUserAttributes(set) => Some(self.write_user_attributes(
                now,
                key,
                Edit::Replace(set.attributes),
                Answer::SetLocalUserAttributes(()),
            )),
            Command::AddOrUpdateLocalUserAttributes(add) => Some(self.write_user_attributes(
                now,
                key,
                Edit::Merge(add.attributes),
                Answer::AddOrUpdateLocalUserAttributes(()),
            )),
            Command::DeleteLocalUserAttributesByKeys(delete) => Some(self.write_user_attributes(
                now,
                key,
                Edit::Delete(delete.keys),
                Answer::DeleteLocalUserAttributesByKeys(()),
            )),
            Command::ClearLocalUserAttributes(_) => {
                Some(self.write_user_attributes(now, key, Edit::Clear, Answer::ClearLocalUserAttributes(())))
            }
            Command::GetUserAttributes(read) => self.get_user_attributes(now, asker, read),
            Command::JoinChannel(join) => self.join(now, asker, &join),
            Command::LeaveChannel(leave) => Some(self.leave(now, key, &leave)),
            Command::SendChannelMessage(send) => self.send_to_channel(now, asker, send),
            Command::GetMembers(query) => self.members(asker, &query),
            Command::GetChannelMemberCount(query) => self.member_counts(now, asker, query),
            Command::SetChannelAttributes(SetChannelAttributes { target, attributes }) => {
                let edit = Edit::Replace(attributes);
                self.write_channel_attributes(now, asker, target, edit, Answer::SetChannelAttributes)
            }
            Command::AddOrUpdateChannelAttributes(AddOrUpdateChannelAttributes { target, attributes }) => {
                let edit = Edit::Merge(attributes);
                self.write_channel_attributes(now, asker, target, edit, Answer::AddOrUpdateChannelAttributes)
            }
            Command::DeleteChannelAttributesByKeys(DeleteChannelAttributesByKeys { target, keys }) => {
                let edit = Edit::Delete(keys);
                self.write_channel_attributes(now, asker, target, edit, Answer::DeleteChannelAttributesByKeys)
            }
            Command::ClearChannelAttributes(ClearChannelAttributes { target }) => {
                self.write_channel_attributes(now, asker, target, Edit::Clear, Answer::ClearChannelAttributes)
            }
            Command::GetChannelAttributes(read) => Some(self.read_channel_attributes(&read)),
            Command::QueryHistory(query) => self.query_history_of(now, asker, &query),
        }
    }
}
