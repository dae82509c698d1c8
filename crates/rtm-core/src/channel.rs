//! Channels: joining, leaving, messages, and how many members there are.

use std::time::Instant;

use foldhash::fast::FixedState;
use indexmap::IndexSet;
use rtm_codec::{
    Answer, ChannelId, ErrorKind, Event, GetMembers, JoinChannel, LeaveChannel, Refusal, RtmMessage,
    SendChannelMessage, SendOutcome, SharedEvent, UserId, limits,
};

use super::{
    Conversation, Core, EventType, Now, StoredMessage,
    arena::{ChannelKey, SessionKey},
    attributes::SizedAttributes,
    away::ChannelNews,
    cluster::Mark,
    counters::{GapReason, MessageKind, MessageSource, Quota},
    directory::{Directory, Named},
    jobs::Waiting,
    memberships::Memberships,
    message_ids::{Known, Sent},
    notes::{Asker, Note, Queued, event_bytes},
    pack::{open::UnpackedMembership, times::PackTime},
    roster::Waiting as Waits,
    session::Session,
    timer::{Alarm, Due},
};

/// One channel, while it has members or attributes.
#[derive(Debug)]
pub(super) struct Channel {
    pub(super) id: ChannelId,
    pub(super) members: IndexSet<SessionKey, FixedState>,
    /// How many members there are on other nodes; `None` as long as that is not known.
    pub(super) elsewhere: Option<u32>,
    pub(super) attributes: Option<Box<SizedAttributes>>,
    /// Since when it has had no members, or when its attributes were last written after that.
    pub(super) empty_since: Instant,
    /// When all members were last told how many they are, and when they are to be told again.
    told_at: Option<Instant>,
    tell_at: Option<Instant>,
    /// The number that all of them were told then.
    told: Option<u32>,
    alarm: Alarm,
    /// How many messages members here were told.
    pub(super) messages: u64,
}

impl Named for Channel {
    type Name = ChannelId;

    fn name(&self) -> &ChannelId {
        &self.id
    }
}

impl Channel {
    /// When all members were last told how many they are, and when they are to be told again.
    pub(super) fn count_times(&self) -> (Option<Instant>, Option<Instant>) {
        (self.told_at, self.tell_at)
    }

    /// So many members are on other nodes. Once that is known again, all are told, whatever they knew before.
    pub(super) fn set_elsewhere(&mut self, elsewhere: Option<u32>) {
        self.elsewhere = elsewhere;
        if elsewhere.is_none() {
            self.told = None;
        }
    }

    /// How many members it has.
    pub(super) fn count(&self) -> u32 {
        u32::try_from(self.members.len()).unwrap_or(u32::MAX).saturating_add(self.elsewhere.unwrap_or(0))
    }
}

impl Directory<ChannelKey, Channel> {
    /// The channel of that name, made if it was not there.
    pub(super) fn intern(&mut self, id: &ChannelId, now: Now) -> ChannelKey {
        self.find(id).unwrap_or_else(|| {
            let members = IndexSet::with_hasher(self.hasher.clone());
            self.insert(Channel {
                id: id.clone(),
                members,
                elsewhere: Some(0),
                attributes: None,
                empty_since: now.instant,
                told_at: None,
                told: None,
                tell_at: None,
                alarm: Alarm::default(),
                messages: 0,
            })
        })
    }
}

impl Core {
    /// A member that joins again stays what it is, and is told the count again.
    pub(super) fn join(&mut self, now: Now, asker: Asker, join: &JoinChannel) -> Option<Result<Answer, Refusal>> {
        let key = asker.session;
        if let Some(channel) = self.channel_of(key, &join.channel_id) {
            if self.is_joining(key, channel) {
                self.wait_for_roster(&join.channel_id, Waits::Join(asker));
            } else {
                self.rejoin(asker, channel, &join.channel_id);
            }
            return None;
        }
        let session = self.hub.sessions.get(key)?;
        if session.memberships.len() >= limits::JOINED_CHANNELS {
            return Some(Err(Refusal::new(ErrorKind::ExceedLimit, "a client can be in at most 20 channels")));
        }
        if self.has_no_room_for(&join.channel_id) {
            return Some(Err(too_many_channels()));
        }
        let session = self.hub.sessions.get_mut(key)?;
        let channel = self.channels.intern(&join.channel_id, now);
        session.memberships.add(channel);
        match self.edge {
            Some(_) => self.join_over_nodes(now, asker, channel, &join.channel_id),
            None => self.become_member(now, asker, channel),
        }
        None
    }

    /// Whether the project has as many channels as it may have, and this would be one more.
    pub(super) fn has_no_room_for(&mut self, channel_id: &ChannelId) -> bool {
        let most = self.config.quotas.max_channels;
        let is_beyond = most != 0 && self.channels.len() >= most && self.channels.find(channel_id).is_none();
        if is_beyond {
            self.hub.counters.beyond(Quota::Channels);
        }
        is_beyond
    }

    /// A session that is a member becomes one for all others too.
    pub(super) fn become_member(&mut self, now: Now, asker: Asker, channel_key: ChannelKey) {
        let key = asker.session;
        let Some(channel) = self.channels.get(channel_key) else { return };
        let channel_id = channel.id.clone();
        let count = channel.count().saturating_add(1);
        if count as usize <= limits::MEMBER_EVENTS
            && let Some(member_id) = self.user_id_of(key)
        {
            let event = Event::MemberJoined { channel_id: channel_id.clone(), member_id, member_count: count };
            self.tell_members(channel_key, ChannelNews::Member, event, |_, _| true);
        }
        if let Some(channel) = self.channels.get_mut(channel_key) {
            channel.members.insert(key);
        }
        self.join_behind_early(&channel_id, key);
        self.log_join(now, key, &channel_id, count);
        self.hub.finish(asker, Ok(Answer::JoinChannel(())));
        self.joined(key, &channel_id);
        self.tell_count(key, channel_key, true);
        self.count_changed(now, channel_key);
    }

    /// A session joins a channel again that it is a member of.
    pub(super) fn rejoin(&mut self, asker: Asker, channel: ChannelKey, channel_id: &ChannelId) {
        self.hub.finish(asker, Ok(Answer::JoinChannel(())));
        self.joined(asker.session, channel_id);
        self.tell_count(asker.session, channel, true);
    }

    pub(super) fn leave(&mut self, now: Now, key: SessionKey, leave: &LeaveChannel) -> Result<Answer, Refusal> {
        self.await_no_more(key, &leave.channel_id);
        let channel = self.channel_of(key, &leave.channel_id).ok_or(ErrorKind::NotInChannel)?;
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.memberships.remove(channel);
        }
        self.member_left(now, key, channel);
        Ok(Answer::LeaveChannel(()))
    }

    /// Takes a session out of all its channels. Gives their names.
    pub(super) fn leave_all(&mut self, now: Now, key: SessionKey) -> Vec<ChannelId> {
        let Some(session) = self.hub.sessions.get_mut(key) else { return Vec::new() };
        session.memberships.take_all().filter_map(|channel| self.member_left(now, key, channel)).collect()
    }

    fn member_left(&mut self, now: Now, key: SessionKey, channel_key: ChannelKey) -> Option<ChannelId> {
        let member_id = self.user_id_of(key);
        let (channel_id, count) = self.remove_member(now, key, channel_key)?;
        self.log_leave(now, key, &channel_id, count);
        if let Some(member_id) = member_id.clone()
            && (1..=limits::MEMBER_EVENTS).contains(&(count as usize))
        {
            let event = Event::MemberLeft { channel_id: channel_id.clone(), member_id, member_count: count };
            self.tell_members(channel_key, ChannelNews::Member, event, |_, _| true);
        }
        if count > 0 {
            self.count_changed(now, channel_key);
        }
        if self.edge.is_some()
            && let Some(member_id) = member_id
        {
            self.leave_behind_move(now, &channel_id, key);
            self.left_over_nodes(now, key, &channel_id, member_id);
            self.tidy_channel(now, channel_key);
        }
        Some(channel_id)
    }

    /// Takes a member out of a channel and tells nobody. Gives the channel's name and how many members are left.
    pub(super) fn remove_member(
        &mut self,
        now: Now,
        key: SessionKey,
        channel_key: ChannelKey,
    ) -> Option<(ChannelId, u32)> {
        let channel = self.channels.get_mut(channel_key)?;
        channel.members.swap_remove(&key);
        if channel.members.is_empty() {
            channel.told = None;
        }
        let left = (channel.id.clone(), channel.count());
        if channel.members.is_empty() {
            channel.empty_since = now.instant;
            channel.tell_at = None;
            self.tidy_channel(now, channel_key);
        }
        Some(left)
    }

    /// Puts a session that comes from elsewhere into its channels. The other members are told nothing, but those that
    /// were told how many they are without it.
    pub(super) fn unpack_memberships(
        &mut self,
        now: Now,
        key: SessionKey,
        packed: Vec<UnpackedMembership>,
        away_order: u64,
    ) -> Memberships {
        let time = PackTime(now.instant);
        let mut memberships = Memberships::unpack(away_order, self.edge.is_some());
        for UnpackedMembership { channel_id, told_count, away, count_told, count_due } in packed {
            let channel_key = self.channels.intern(&channel_id, now);
            memberships.add_unpacked(channel_key, told_count, away);
            let Some(channel) = self.channels.get_mut(channel_key) else { continue };
            channel.members.insert(key);
            channel.told_at = channel.told_at.max(count_told.map(|at| time.instant(at).min(now.instant)));
            channel.tell_at = channel.tell_at.or_else(|| count_due.map(|at| time.instant(at)));
            if let Some(at) = channel.tell_at {
                channel.alarm.set(&mut self.hub.timers, at, Due::Channel(channel_key));
            }
            if self.edge.is_some() {
                continue;
            }
            let count = channel.count();
            let is_told_otherwise = |member: &SessionKey| {
                let session = self.hub.sessions.get(*member).filter(|session| session.conn.is_some());
                let session = session.filter(|session| !session.awaits_join(&channel_id));
                session.is_some_and(|session| session.memberships.was_told_otherwise(channel_key, count))
            };
            if channel.members.iter().any(is_told_otherwise) {
                self.count_changed(now, channel_key);
            }
        }
        memberships
    }

    /// To all members but the sender, and not to those that cannot take its kind.
    pub(super) fn send_to_channel(
        &mut self,
        now: Now,
        asker: Asker,
        send: SendChannelMessage,
    ) -> Option<Result<Answer, Refusal>> {
        if let Err(refusal) = limits::check_message(&send.message) {
            return Some(Err(refusal));
        }
        let Some(channel) = self.channel_of(asker.session, &send.channel_id) else {
            return Some(Err(ErrorKind::NotInChannel.into()));
        };
        if send.enable_historical_messaging
            && let Err(refusal) = self.jobs.check_room().and_then(|()| self.check_stored_bytes(now, send.message.len()))
        {
            return Some(Err(refusal));
        }
        let send = match self.edge {
            None => send,
            Some(_) => {
                let channel_id = send.channel_id.clone();
                match self.wait_for_roster(&channel_id, Waits::Send(asker, send)) {
                    Some(Waits::Send(_, send)) => send,
                    _ => return None,
                }
            }
        };
        let member_id = self.user_id_of(asker.session)?;
        let sent = Sent::ToChannel(send.message_id);
        match self.begin_message(now, asker, sent) {
            Known::Fresh => {}
            Known::Done(_) => return Some(Ok(Answer::SendChannelMessage(()))),
            Known::UnderWay => return None,
        }
        self.hub.stats.channel_messages += 1;
        self.hub.counters.took_message(MessageKind::Channel, MessageSource::Client, send.message.len());
        if self.event_log.wants(EventType::ChannelMessage) {
            self.log_channel_message(now, &member_id, &send.channel_id, send.message_id);
        }
        let others = self.channels.get(channel).map_or(0, |channel| channel.members.len().saturating_sub(1));
        self.hub.counters.fanned_out(others);
        if send.enable_historical_messaging {
            let message =
                StoredMessage::new(send.message_id, member_id.clone(), send.message.clone().detach(), now.unix_ms);
            let conversation = Conversation::Channel(send.channel_id.clone());
            self.keep_history(asker, conversation, message, Waiting::ChannelMessage { asker, sent });
        }
        let is_kept = send.enable_historical_messaging;
        let is_binary = matches!(send.message, RtmMessage::Binary(_));
        let event = Event::ChannelMessage {
            channel_id: send.channel_id,
            message_id: send.message_id,
            member_id,
            message: send.message,
            server_received_ts: now.unix_ms,
        };
        let gets = |member: SessionKey, session: &Session| {
            member != asker.session && (!is_binary || session.terms.abilities().binary)
        };
        let is_going_out = match self.edge {
            None => {
                self.tell_members(channel, ChannelNews::Message, event, gets);
                false
            }
            Some(_) => self.send_over_nodes(asker, sent, channel, event, gets),
        };
        if !is_kept
            && !is_going_out
            && let Some(message_ids) =
                self.hub.sessions.get_mut(asker.session).and_then(|session| session.message_ids.as_mut())
        {
            message_ids.finish(sent, SendOutcome::Delivered);
        }
        Some(Ok(Answer::SendChannelMessage(())))
    }

    /// Puts a message into the sessions of members here, and sends it to those on other nodes.
    pub(super) fn send_over_nodes(
        &mut self,
        asker: Asker,
        sent: Sent,
        channel: ChannelKey,
        event: Event,
        gets: impl Fn(SessionKey, &Session) -> bool,
    ) -> bool {
        let Some(channel_id) = self.channels.get(channel).map(|channel| channel.id.clone()) else { return false };
        if let Event::ChannelMessage { member_id, .. } = &event {
            self.deliver_early_of(&channel_id, member_id);
        }
        let Some(mark) = self.next_mark(&channel_id) else { return false };
        let is_going_out = self.fan_out(asker, sent, &channel_id, &mark, &event);
        self.tell_marked(channel, ChannelNews::Message, event, Some(&mark), gets);
        is_going_out
    }

    pub(super) fn members(&mut self, asker: Asker, query: &GetMembers) -> Option<Result<Answer, Refusal>> {
        let Some(channel) = self.channel_of(asker.session, &query.channel_id) else {
            return Some(Err(ErrorKind::NotInChannel.into()));
        };
        if self.edge.is_some() && self.wait_for_members(asker, query) {
            return None;
        }
        let members = self.channels.get(channel).into_iter().flat_map(|channel| &channel.members);
        let mut ids: Vec<UserId> =
            members.take(limits::MEMBER_EVENTS).filter_map(|member| self.user_id_of(*member)).collect();
        if self.edge.is_some() {
            ids.extend(self.names_elsewhere(&query.channel_id, limits::MEMBER_EVENTS - ids.len()));
        }
        Some(Ok(Answer::GetMembers(ids)))
    }

    /// The channel, if the session is in it.
    pub(super) fn channel_of(&self, key: SessionKey, channel_id: &ChannelId) -> Option<ChannelKey> {
        let channel = self.channels.find(channel_id)?;
        self.hub.sessions.get(key)?.memberships.contains(channel).then_some(channel)
    }

    /// Puts an event into the sessions of all members that are to get it.
    pub(super) fn tell_members(
        &mut self,
        channel_key: ChannelKey,
        news: ChannelNews,
        event: Event,
        gets: impl Fn(SessionKey, &Session) -> bool,
    ) {
        if self.edge.is_some() {
            return self.tell_marked(channel_key, news, event, None, gets);
        }
        self.tell_all(channel_key, news, event, gets);
    }

    /// The same of an event that has a place among those of a node; and to members whose sessions move.
    pub(super) fn tell_marked(
        &mut self,
        channel_key: ChannelKey,
        news: ChannelNews,
        event: Event,
        mark: Option<&Mark>,
        gets: impl Fn(SessionKey, &Session) -> bool,
    ) {
        let Some(channel) = self.channels.get(channel_key) else { return };
        if !self.has_moves(&channel.id) {
            return self.tell_all(channel_key, news, event, gets);
        }
        let (channel_id, members) = (channel.id.clone(), channel.members.clone());
        let held = |core: &mut Self, member| core.hold_behind_move(&channel_id, member, &event, mark, &gets);
        let held: Vec<SessionKey> = members.into_iter().filter(|member| held(self, *member)).collect();
        self.forward(&channel_id, &event, mark);
        self.tell_all(channel_key, news, event, |member, session| !held.contains(&member) && gets(member, session));
    }

    /// Tells the members here that some messages are missing; not those whose sessions move, who see that by themselves.
    /// Nor the newcomers, for whom they were not.
    pub(super) fn tell_gap(&mut self, channel_key: ChannelKey, lost: Option<u64>, newcomers: &[SessionKey]) {
        let Some(channel) = self.channels.get(channel_key) else { return };
        let (channel_id, moves) = (channel.id.clone(), self.edge.as_ref().map(|edge| &edge.moves));
        let is_left_out =
            |key: &&SessionKey| newcomers.contains(key) || moves.is_some_and(|moves| moves.is_catching_up(**key));
        let left_out: Vec<SessionKey> = channel.members.iter().filter(is_left_out).copied().collect();
        let event = Event::Gap { channel_id: Some(channel_id), lost };
        let told = channel.members.len().saturating_sub(left_out.len());
        self.hub.counters.told_gaps(GapReason::Cluster, told);
        self.tell_all(channel_key, ChannelNews::Message, event, |member, _| !left_out.contains(&member));
    }

    fn tell_all(
        &mut self,
        channel_key: ChannelKey,
        news: ChannelNews,
        event: Event,
        gets: impl Fn(SessionKey, &Session) -> bool,
    ) {
        let Some(channel) = self.channels.get_mut(channel_key) else { return };
        channel.messages += u64::from(matches!(event, Event::ChannelMessage { .. }));
        let bytes = event_bytes(&event);
        let event = SharedEvent::new(event);
        for &member in &channel.members {
            self.hub.push_news(member, channel_key, news, &event, bytes, &gets);
        }
    }

    /// The number of members has changed: they are told now, or once the last telling is long enough ago.
    pub(super) fn count_changed(&mut self, now: Now, key: ChannelKey) {
        let is_known = |channel: &&mut Channel| channel.elsewhere.is_some() && !channel.members.is_empty();
        let Some(channel) = self.channels.get_mut(key).filter(is_known) else { return };
        let settings = &self.config.settings;
        let pause = match channel.count() as usize {
            len if len > limits::MEMBER_EVENTS => settings.large_member_count_pause,
            _ => settings.member_count_pause,
        };
        // A home tells a node of its own members too, who count already.
        if channel.tell_at.is_some() || channel.told == Some(channel.count()) {
            return;
        }
        match channel.told_at.map(|at| at + pause) {
            Some(at) if at > now.instant => {
                channel.tell_at = Some(at);
                channel.alarm.set(&mut self.hub.timers, at, Due::Channel(key));
            }
            _ => self.tell_count_to_members(now, key),
        }
    }

    /// Tells the members that do not know it how many they are. Not as [`tell_members`](Self::tell_members) does: for
    /// one that has no connection a count is not kept, since it is told the latest one when it comes back.
    fn tell_count_to_members(&mut self, now: Now, key: ChannelKey) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        channel.tell_at = None;
        // How many they are is told when it is known.
        if channel.elsewhere.is_none() {
            return;
        }
        channel.told_at = Some(now.instant);
        let count = channel.count();
        channel.told = Some(count);
        let event = Event::MemberCountUpdated { channel_id: channel.id.clone(), member_count: count };
        let bytes = event_bytes(&event);
        let event = SharedEvent::new(event);
        for &member in &channel.members {
            let session = self.hub.sessions.get_mut(member).filter(|session| session.conn.is_some());
            // Who has yet to join again is told then.
            let session = session.filter(|session| !session.awaits_join(&channel.id));
            if session.is_some_and(|session| session.memberships.tell_count(key, count, false)) {
                self.hub.push(member, Queued { event: event.clone(), note: Note::None, bytes });
            }
        }
    }

    /// Tells one member how many there are, if it does not know or if `again`.
    pub(super) fn tell_count(&mut self, key: SessionKey, channel_key: ChannelKey, again: bool) {
        let Some(channel) = self.channels.get(channel_key) else { return };
        let count = channel.count();
        let Some(session) = self.hub.sessions.get_mut(key).filter(|it| !it.awaits_join(&channel.id)) else { return };
        if channel.elsewhere.is_none() {
            // It is told when it is known, and then also one who was told the same before.
            if again {
                session.memberships.tell_count(channel_key, 0, false);
            }
            return;
        }
        if session.memberships.tell_count(channel_key, count, again) {
            self.hub.tell(key, Event::MemberCountUpdated { channel_id: channel.id.clone(), member_count: count });
        }
    }

    /// Tells a member that has come back how many there are in its channels, where that has changed.
    pub(super) fn tell_counts(&mut self, key: SessionKey) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        let channels: Vec<ChannelKey> = session.memberships.channels().collect();
        for channel in channels {
            self.tell_count(key, channel, false);
        }
    }

    /// Does what is due for a channel.
    pub(super) fn channel_due(&mut self, now: Now, key: ChannelKey, at: Instant) {
        let Some(channel) = self.channels.get_mut(key) else { return };
        if !channel.alarm.take(at) {
            return;
        }
        if channel.tell_at.is_some_and(|at| at <= now.instant) {
            self.tell_count_to_members(now, key);
        } else if let Some(at) = channel.tell_at {
            channel.alarm.set(&mut self.hub.timers, at, Due::Channel(key));
        }
        self.tidy_channel(now, key);
    }

    /// Forgets an empty channel: at once if it has no attributes, else when they are over.
    pub(super) fn tidy_channel(&mut self, now: Now, key: ChannelKey) {
        let Some(channel) = self.channels.get(key).filter(|channel| channel.members.is_empty()) else { return };
        if self.edge.is_some() && !self.joining(&channel.id).is_empty() {
            return;
        }
        let may_forget = self.edge.is_none() || channel.attributes.is_none() || self.may_forget(&channel.id);
        let Some(channel) = self.channels.get_mut(key) else { return };
        let over_at = channel.empty_since + self.config.settings.channel_attributes_for;
        if self.writes.is_busy(&channel.id) {
            // Its attributes may come back from the store yet.
            return;
        }
        if !may_forget {
            let at = now.instant + self.config.settings.channel_attributes_for;
            channel.alarm.set(&mut self.hub.timers, at, Due::Channel(key));
            return;
        }
        if channel.attributes.is_some() && over_at > now.instant {
            channel.alarm.set(&mut self.hub.timers, over_at, Due::Channel(key));
            return;
        }
        if let Some(channel) = self.channels.remove(key)
            && let Some(store) = channel.attributes
        {
            if self.edge.is_some() {
                self.tell_forgotten(&channel.id, store.value().revision);
            }
            self.forget_channel_attributes(channel.id, &store);
        }
    }
}

/// The project has as many channels as it may have.
pub(super) fn too_many_channels() -> Refusal {
    Refusal::new(ErrorKind::ExceedLimit, "the project has as many channels as it may have (max_channels)")
}
