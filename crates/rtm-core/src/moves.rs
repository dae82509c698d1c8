//! Members of channels whose sessions move: what comes for one meanwhile goes after it, and each message reaches it once
//! and in order.

use std::{
    collections::{BTreeMap, VecDeque},
    time::{Duration, Instant},
};

use rtm_codec::{ChannelId, Event, Revision, RtmMessage, SessionId, SharedEvent, UserId};

use super::{
    Core, Now,
    arena::{ChannelKey, SessionKey},
    away::ChannelNews,
    cluster::{ChannelWord, ForwardedNews, Mark, MemberChange, NodeId, Part},
    counters::GapReason,
    notes::event_bytes,
    roster::{MemberNews, Roster, Standing},
    session::Session,
};

/// The members that go to other nodes, and those that came from there a moment ago.
#[derive(Debug, Default)]
pub(super) struct Moves {
    out: BTreeMap<ChannelId, Vec<MovingOut>>,
    caught: BTreeMap<(ChannelId, SessionKey), CatchingUp>,
}

/// A member whose session stands still, or is elsewhere already.
#[derive(Debug)]
struct MovingOut {
    user_id: UserId,
    session: SessionId,
    /// Where it is, once that is decided.
    to: Option<NodeId>,
    /// Whether it counts as a member of this node yet.
    counts: bool,
    /// Its node is to say that it has gone.
    is_to_be_said: bool,
    /// What came for it before that was decided.
    kept: Vec<ForwardedNews>,
    kept_bytes: usize,
}

/// A member whose session came from another node, from which more comes for it.
#[derive(Debug)]
struct CatchingUp {
    user_id: UserId,
    session: SessionId,
    from: NodeId,
    /// When all nodes know this change, what they send comes here.
    change: u64,
    has_asked: bool,
    /// What it was given last.
    last: Given,
    /// What came for it here, behind what comes from where it was.
    held: VecDeque<ForwardedNews>,
    until: Option<Instant>,
    /// It has waited for long enough: what comes here goes to it at once.
    is_open: bool,
    /// Its old node has no more for it. Other nodes' own copies of messages that it has from there may still come here.
    has_ended: bool,
    /// It has left the channel, and may have joined it again: it is not to get what it had before.
    has_left: bool,
}

/// How far a member has come in what reaches it over two ways.
#[derive(Debug, Default)]
struct Given {
    /// The last message of each node.
    messages: BTreeMap<NodeId, u64>,
    /// The last attributes of the channel.
    attributes: Option<Revision>,
}

impl Given {
    fn heard(messages: Vec<(NodeId, u64)>) -> Self {
        Self { messages: messages.into_iter().collect(), attributes: None }
    }
}

impl Moves {
    fn is_concerned(&self, channel_id: &ChannelId) -> bool {
        let from = (channel_id.clone(), SessionKey::LOWEST);
        let mut caught = self.caught.range(from..).map(|((caught, _), _)| caught);
        self.out.contains_key(channel_id) || caught.next() == Some(channel_id)
    }

    /// How many members there are for whom something is forwarded, or to whom it comes.
    pub(super) fn len(&self) -> usize {
        self.out.values().map(Vec::len).sum::<usize>() + self.caught.values().filter(|it| !it.has_ended).count()
    }

    /// Whether a member that came from elsewhere waits until all nodes know.
    pub(super) fn await_settling(&self, channel_id: &ChannelId) -> bool {
        self.caught.iter().any(|((caught, _), it)| caught == channel_id && !it.has_asked)
    }

    /// Whether a session has not all yet of what comes from where it was.
    pub(super) fn is_catching_up(&self, key: SessionKey) -> bool {
        self.caught.iter().any(|((_, caught), it)| *caught == key && !it.has_ended)
    }

    /// A member's session is not here any more.
    pub(super) fn forget_caught(&mut self, channel_id: &ChannelId, key: SessionKey) {
        self.caught.remove(&(channel_id.clone(), key));
    }

    fn take_out(&mut self, channel_id: &ChannelId, user_id: &UserId, session: SessionId) -> Option<MovingOut> {
        let all = self.out.get_mut(channel_id)?;
        let at = all.iter().position(|it| it.user_id == *user_id && it.session == session)?;
        let taken = all.remove(at);
        if all.is_empty() {
            self.out.remove(channel_id);
        }
        Some(taken)
    }
}

impl Core {
    /// The members of a channel that are on their way to other nodes, and count here.
    pub(super) fn moving_out(&self, channel_id: &ChannelId) -> impl Iterator<Item = &UserId> {
        let out = self.edge.as_ref().and_then(|edge| edge.moves.out.get(channel_id));
        out.into_iter().flatten().filter(|it| it.counts).map(|it| &it.user_id)
    }

    /// Whether a session can be packed as far as its channels go.
    pub(super) fn are_channels_settled(&self, key: SessionKey) -> bool {
        let (Some(edge), Some(session)) = (&self.edge, self.hub.sessions.get(key)) else { return true };
        let channels = session.memberships.channels().filter_map(|channel| self.channels.get(channel));
        let mut rosters = channels.filter_map(|channel| edge.rosters.get(&channel.id));
        let is_busy =
            |roster: &Roster| roster.is_sending(key) || roster.waiting.iter().any(|it| it.asker().session == key);
        !edge.moves.is_catching_up(key) && !rosters.any(is_busy)
    }

    /// The last messages of all nodes to a channel that a member here has, or that are not for it.
    pub(super) fn heard_of(&self, channel_id: &ChannelId, key: SessionKey) -> Vec<(NodeId, u64)> {
        let Some(edge) = &self.edge else { return Vec::new() };
        let Some(roster) = edge.rosters.get(channel_id) else { return Vec::new() };
        let own = (edge.node.clone(), roster.k);
        let mut heard = roster.heard.clone();
        for early in roster.early.iter().filter(|early| early.newcomers.contains(&key)) {
            heard.insert(early.from.clone(), early.fan_out.k);
        }
        let caught = edge.moves.caught.get(&(channel_id.clone(), key));
        for (origin, k) in caught.into_iter().flat_map(|caught| &caught.last.messages) {
            let heard = heard.entry(origin.clone()).or_default();
            *heard = (*heard).max(*k);
        }
        heard.into_iter().chain([own]).collect()
    }

    /// A member's session was packed for another node.
    pub(super) fn move_out(&mut self, channel_id: &ChannelId, user_id: &UserId, session: SessionId) {
        let Some(edge) = &mut self.edge else { return };
        edge.moves.out.entry(channel_id.clone()).or_default().push(MovingOut {
            user_id: user_id.clone(),
            session,
            to: None,
            counts: true,
            is_to_be_said: false,
            kept: Vec::new(),
            kept_bytes: 0,
        });
        self.set_elsewhere(channel_id);
    }

    /// A user's session is on another node, or nowhere, and what comes for it here goes there.
    pub(super) fn go_after(&mut self, now: Now, user_id: &UserId, session: SessionId, to: Option<&NodeId>) {
        let Some(edge) = &mut self.edge else { return };
        let mut forward = Vec::new();
        let mut gone = Vec::new();
        for (channel_id, all) in &mut edge.moves.out {
            for out in all.iter_mut().filter(|it| it.user_id == *user_id && it.session == session && it.to.is_none()) {
                match to {
                    Some(node) => {
                        out.to = Some(node.clone());
                        let kept = std::mem::take(&mut out.kept);
                        forward.extend(kept.into_iter().map(|news| (channel_id.clone(), news)));
                    }
                    None => gone.push(channel_id.clone()),
                }
            }
        }
        if let Some(node) = to {
            for (channel_id, news) in forward {
                let (user_id, news) = (user_id.clone(), Box::new(news));
                self.say_to(now, node, &channel_id, ChannelWord::Forwarded { user_id, session, news });
            }
        }
        for channel_id in gone {
            self.end_moving_out(now, &channel_id, user_id, session, MemberChange::Left(user_id.clone()));
        }
    }

    /// A copy of a session is taken out that goes on elsewhere, with its memberships.
    pub(super) fn forget_moving_out(&mut self, now: Now, user_id: &UserId, session: SessionId) {
        let Some(edge) = &self.edge else { return };
        let is_it = |it: &MovingOut| it.user_id == *user_id && it.session == session;
        let channels = edge.moves.out.iter().filter(|(_, all)| all.iter().any(is_it));
        let channels: Vec<ChannelId> = channels.map(|(channel_id, _)| channel_id.clone()).collect();
        for channel_id in channels {
            self.end_moving_out(now, &channel_id, user_id, session, MemberChange::MovedAway(user_id.clone()));
        }
    }

    fn end_moving_out(
        &mut self,
        now: Now,
        channel_id: &ChannelId,
        user_id: &UserId,
        session: SessionId,
        change: MemberChange,
    ) {
        let out = self.edge.as_mut().and_then(|edge| edge.moves.take_out(channel_id, user_id, session));
        if out.is_some_and(|out| out.counts) {
            if let MemberChange::Left(user_id) = &change {
                let news = vec![MemberNews::Left(user_id.clone())];
                self.members_changed(now, channel_id, news);
            }
            self.say(now, channel_id, change, false);
            self.set_elsewhere(channel_id);
        }
    }

    /// The home counts a member of this node where it has moved to. What this node said before it heard that may come to the
    /// home after it, and the others take this node for one with members until it says that the last one has gone.
    pub(super) fn moved_away(&mut self, channel_id: &ChannelId, user_id: &UserId) {
        let Some(edge) = &mut self.edge else { return };
        // What the home has not told all nodes yet had this member in it, also where it was said before its session moved.
        let is_said = edge.rosters.get(channel_id).is_none_or(|roster| roster.told < roster.change);
        let mut has_gone = false;
        for out in edge.moves.out.get_mut(channel_id).into_iter().flatten().filter(|it| it.user_id == *user_id) {
            has_gone |= std::mem::replace(&mut out.counts, false);
        }
        let is_last = self.leave_if_empty(channel_id);
        if !has_gone || !(is_said || is_last) {
            return;
        }
        let out = self.edge.as_mut().and_then(|edge| edge.moves.out.get_mut(channel_id));
        for out in out.into_iter().flatten().filter(|it| it.user_id == *user_id) {
            out.is_to_be_said = true;
        }
    }

    /// Says of members that have moved how many this node has without them, where the home may not know that.
    pub(super) fn say_moved_away(&mut self, now: Now, channel_id: &ChannelId) {
        let out = self.edge.as_mut().and_then(|edge| edge.moves.out.get_mut(channel_id));
        let mut gone = Vec::new();
        for out in out.into_iter().flatten().filter(|it| it.is_to_be_said) {
            out.is_to_be_said = false;
            gone.push(out.user_id.clone());
        }
        for user_id in gone {
            let _ = self.roster(channel_id);
            self.say(now, channel_id, MemberChange::MovedAway(user_id), false);
        }
    }

    /// The home has said which members are elsewhere. Gives those that were members of this node.
    pub(super) fn forget_moved_away(&mut self, channel_id: &ChannelId, parts: &[(NodeId, Part)]) -> Vec<UserId> {
        let is_elsewhere = |user_id: &&UserId| parts.iter().any(|(_, part)| part.has(user_id));
        let gone: Vec<UserId> = self.moving_out(channel_id).filter(is_elsewhere).cloned().collect();
        gone.iter().for_each(|user_id| self.moved_away(channel_id, user_id));
        gone
    }

    /// Says whether this node has no members any more.
    fn leave_if_empty(&mut self, channel_id: &ChannelId) -> bool {
        let channel = self.channels.find(channel_id).and_then(|key| self.channels.get(key));
        let is_empty =
            channel.is_none_or(|channel| channel.members.is_empty()) && self.moving_out(channel_id).next().is_none();
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else {
            return is_empty;
        };
        let has_left = is_empty && roster.waiting.is_empty();
        if has_left {
            roster.leave();
            self.set_elsewhere(channel_id);
        }
        has_left
    }

    /// All nodes know that a member has moved: nothing comes for it here that does not come to where it is.
    pub(super) fn enough(
        &mut self,
        now: Now,
        from: &NodeId,
        channel_id: &ChannelId,
        user_id: &UserId,
        session: SessionId,
    ) {
        self.deliver_early(channel_id);
        self.go_after(now, user_id, session, Some(from));
        self.end_moving_out(now, channel_id, user_id, session, MemberChange::MovedAway(user_id.clone()));
        self.say_to(now, from, channel_id, ChannelWord::ForwardEnd { user_id: user_id.clone(), session });
    }

    /// A session has come from another node with its memberships, or was packed in vain by this one.
    pub(super) fn unpacked_memberships(
        &mut self,
        now: Now,
        key: SessionKey,
        channels: &[ChannelKey],
        from: &NodeId,
        heard: Vec<Vec<(NodeId, u64)>>,
    ) {
        for (channel, heard) in channels.iter().zip(heard) {
            if let Some(channel_id) = self.channels.get(*channel).map(|channel| channel.id.clone()) {
                self.move_in(now, key, &channel_id, from, heard);
            }
        }
        self.look_at_moves(now);
    }

    /// A session has come from another node: what it joins next, and is not in, it may have left there.
    pub(super) fn remember_channels(&mut self, now: Now, user_id: &UserId) {
        let Some(key) = self.session_of(user_id) else { return };
        let channels = self.hub.sessions.get(key).into_iter().flat_map(|session| session.memberships.channels());
        let ids: Vec<ChannelId> = channels.filter_map(|key| Some(self.channels.get(key)?.id.clone())).collect();
        if let Some(session) = self.hub.sessions.get_mut(key) {
            session.has_moved(now.instant, ids);
        }
    }

    /// A member's session has come from another node, or was packed in vain by this one.
    pub(super) fn move_in(
        &mut self,
        now: Now,
        key: SessionKey,
        channel_id: &ChannelId,
        from: &NodeId,
        heard: Vec<(NodeId, u64)>,
    ) {
        let Some(user_id) = self.user_id_of(key) else { return };
        let Some(session) = self.hub.sessions.get(key).map(|session| session.id) else { return };
        let Some(edge) = &mut self.edge else { return };
        if edge.node == *from {
            let out = edge.moves.take_out(channel_id, &user_id, session);
            let mut last = Given::heard(heard);
            for news in out.into_iter().flat_map(|out| out.kept) {
                self.give(key, channel_id, &mut last, news);
            }
            return self.set_elsewhere(channel_id);
        }
        let Some(roster) = self.roster(channel_id) else { return };
        roster.moving_in.insert(user_id.clone());
        if roster.standing == Standing::Out {
            roster.standing = Standing::Asked;
        }
        let change = roster.change + 1;
        let caught = CatchingUp {
            user_id: user_id.clone(),
            session,
            from: from.clone(),
            change,
            has_asked: false,
            last: Given::heard(heard),
            held: VecDeque::new(),
            until: None,
            is_open: false,
            has_ended: false,
            has_left: false,
        };
        let Some(edge) = &mut self.edge else { return };
        edge.moves.caught.insert((channel_id.clone(), key), caught);
        self.set_elsewhere(channel_id);
        self.say(now, channel_id, MemberChange::MovedIn { user_id, from: from.clone() }, true);
    }

    /// All nodes with members know a change of this node.
    pub(super) fn moves_settled(&mut self, now: Now, channel_id: &ChannelId, change: u64) {
        let Some(edge) = &mut self.edge else { return };
        let mut sayings = Vec::new();
        for ((caught, _), it) in &mut edge.moves.caught {
            if caught == channel_id && it.change <= change && !it.has_asked {
                it.has_asked = true;
                sayings.push((it.from.clone(), it.user_id.clone(), it.session));
            }
        }
        for (node, user_id, session) in sayings {
            self.say_to(now, &node, channel_id, ChannelWord::Enough { user_id, session });
        }
    }

    /// A node from which members came may not have heard that it is to end, or that it has was lost.
    pub(super) fn follow_moves_again(&mut self, now: Now, node: &NodeId) {
        let Some(edge) = &self.edge else { return };
        let caught = edge.moves.caught.iter().filter(|(_, it)| it.has_asked && !it.has_ended && it.from == *node);
        let again: Vec<_> = caught.map(|((id, _), it)| (id.clone(), it.user_id.clone(), it.session)).collect();
        for (channel_id, user_id, session) in again {
            self.say_to(now, node, &channel_id, ChannelWord::Enough { user_id, session });
        }
    }

    /// Something came for a member from where it was.
    pub(super) fn forwarded_came(
        &mut self,
        channel_id: &ChannelId,
        user_id: &UserId,
        session: SessionId,
        news: ForwardedNews,
    ) {
        let Some(key) = self.session_of(user_id) else { return };
        let place = (channel_id.clone(), key);
        let caught = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place));
        let Some(caught) = caught.filter(|caught| caught.session == session && !caught.has_left) else { return };
        let mut last = std::mem::take(&mut caught.last);
        self.give(key, channel_id, &mut last, news);
        if let Some(caught) = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place)) {
            caught.last = last;
        }
    }

    /// Nothing more comes for a member from where it was: what came here meanwhile is next.
    pub(super) fn forward_ended(&mut self, now: Now, channel_id: &ChannelId, user_id: &UserId, session: SessionId) {
        let Some(key) = self.session_of(user_id) else { return };
        let caught = self.edge.as_ref().and_then(|edge| edge.moves.caught.get(&(channel_id.clone(), key)));
        if caught.is_some_and(|caught| caught.session == session && !caught.has_left) {
            self.release(channel_id, key, false);
            if self.is_ahead_of_others(channel_id, key) {
                let place = (channel_id.clone(), key);
                if let Some(caught) = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place)) {
                    caught.has_ended = true;
                }
                return;
            }
            self.forget_catching_up(now, channel_id, key);
        }
    }

    /// Whether a member has messages of other nodes that have not come here.
    fn is_ahead_of_others(&self, channel_id: &ChannelId, key: SessionKey) -> bool {
        let Some(edge) = &self.edge else { return false };
        let Some(caught) = edge.moves.caught.get(&(channel_id.clone(), key)) else { return false };
        let Some(roster) = edge.rosters.get(channel_id) else { return false };
        caught.last.messages.iter().any(|(origin, k)| {
            let has_come = roster.heard.get(origin).is_some_and(|heard| heard >= k);
            !has_come && *origin != edge.node && edge.view.has(origin)
        })
    }

    /// A member gets what was held for it.
    fn release(&mut self, channel_id: &ChannelId, key: SessionKey, is_lossy: bool) {
        let place = (channel_id.clone(), key);
        let Some(caught) = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place)) else { return };
        caught.is_open = true;
        caught.until = None;
        let (mut last, held) = (std::mem::take(&mut caught.last), std::mem::take(&mut caught.held));
        if is_lossy {
            let event = Event::Gap { channel_id: Some(channel_id.clone()), lost: None };
            self.hub.counters.told_gaps(GapReason::Cluster, 1);
            self.give(key, channel_id, &mut last, ForwardedNews { event, mark: None });
        }
        for news in held {
            self.give(key, channel_id, &mut last, news);
        }
        if let Some(caught) = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place)) {
            caught.last = last;
        }
    }

    /// A member is none here any more, or has all.
    pub(super) fn forget_catching_up(&mut self, now: Now, channel_id: &ChannelId, key: SessionKey) {
        let Some(edge) = &mut self.edge else { return };
        let Some(caught) = edge.moves.caught.remove(&(channel_id.clone(), key)) else { return };
        if !caught.has_asked {
            let CatchingUp { from, user_id, session, .. } = caught;
            self.say_to(now, &from, channel_id, ChannelWord::Enough { user_id, session });
        }
    }

    /// A member has left its channel.
    pub(super) fn leave_behind_move(&mut self, now: Now, channel_id: &ChannelId, key: SessionKey) {
        if !self.is_ahead_of_others(channel_id, key) {
            return self.forget_catching_up(now, channel_id, key);
        }
        let place = (channel_id.clone(), key);
        let Some(caught) = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place)) else { return };
        (caught.has_ended, caught.has_left, caught.until) = (true, true, None);
        caught.held.clear();
        if !std::mem::replace(&mut caught.has_asked, true) {
            let (from, user_id, session) = (caught.from.clone(), caught.user_id.clone(), caught.session);
            self.say_to(now, &from, channel_id, ChannelWord::Enough { user_id, session });
        }
    }

    /// Gives an event to a member, unless that has it already, and says what is missing before it.
    fn give(&mut self, key: SessionKey, channel_id: &ChannelId, last: &mut Given, news: ForwardedNews) {
        let ForwardedNews { event, mark } = news;
        let Some(channel) = self.channels.find(channel_id) else { return };
        if let Some(Mark { origin, k, since }) = mark {
            let before = last.messages.get(&origin).copied();
            if before.is_some_and(|before| k <= before) {
                return;
            }
            if let Some(next) = before.map(|before| (before + 1).max(since)).filter(|next| *next < k) {
                let gap = Event::Gap { channel_id: Some(channel_id.clone()), lost: Some(k - next) };
                self.hub.counters.told_gaps(GapReason::Cluster, 1);
                self.push_news(key, channel, gap);
            }
            last.messages.insert(origin, k);
        }
        if let Event::AttributesUpdated { attributes, .. } = &event {
            if last.attributes.is_some_and(|before| attributes.revision <= before) {
                return;
            }
            last.attributes = Some(attributes.revision);
        }
        let own = self.user_id_of(key);
        let takes_binary = self.hub.sessions.get(key).is_some_and(|session| session.terms.abilities().binary);
        if let Event::ChannelMessage { member_id, message, .. } = &event
            && (own.as_ref() == Some(member_id) || (matches!(message, RtmMessage::Binary(_)) && !takes_binary))
        {
            return;
        }
        self.push_news(key, channel, event);
    }

    fn push_news(&mut self, key: SessionKey, channel: ChannelKey, event: Event) {
        let bytes = event_bytes(&event);
        let news = match &event {
            Event::MemberJoined { .. } | Event::MemberLeft { .. } => ChannelNews::Member,
            Event::AttributesUpdated { .. } => ChannelNews::Attributes,
            _ => ChannelNews::Message,
        };
        self.hub.push_news(key, channel, news, &SharedEvent::for_one(event), bytes, |_, _| true);
    }

    /// Whether a channel has members that come from other nodes or go there.
    pub(super) fn has_moves(&self, channel_id: &ChannelId) -> bool {
        self.edge.as_ref().is_some_and(|edge| edge.moves.is_concerned(channel_id))
    }

    /// An event of a channel goes to a member that has to have others before it. Gives it back for any other member.
    pub(super) fn hold_behind_move(
        &mut self,
        channel_id: &ChannelId,
        key: SessionKey,
        event: &Event,
        mark: Option<&Mark>,
        gets: &impl Fn(SessionKey, &Session) -> bool,
    ) -> bool {
        let place = (channel_id.clone(), key);
        let Some(edge) = &mut self.edge else { return false };
        let Some(caught) = edge.moves.caught.get_mut(&place) else { return false };
        if caught.has_left {
            let last = mark.and_then(|mark| Some((mark.k, caught.last.messages.get(&mark.origin)?)));
            return last.is_some_and(|(k, last)| k <= *last);
        }
        if !self.hub.sessions.get(key).is_some_and(|session| gets(key, session)) {
            match mark {
                Some(mark) if caught.is_open => drop(caught.last.messages.insert(mark.origin.clone(), mark.k)),
                // It counts behind what comes before it: nothing is missing there, and the member does not get it.
                Some(mark) => caught.held.push_back(ForwardedNews { event: event.clone(), mark: Some(mark.clone()) }),
                None => {}
            }
            return true;
        }
        let news = ForwardedNews { event: event.clone(), mark: mark.cloned() };
        if caught.is_open {
            let mut last = std::mem::take(&mut caught.last);
            self.give(key, channel_id, &mut last, news);
            if let Some(caught) = self.edge.as_mut().and_then(|edge| edge.moves.caught.get_mut(&place)) {
                caught.last = last;
            }
            return true;
        }
        caught.held.push_back(news);
        true
    }

    /// Sees to it that members do not wait for others for too long.
    fn limit_holding(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        for caught in edge.moves.caught.values_mut().filter(|it| !it.held.is_empty() && !it.is_open) {
            caught.until.get_or_insert(now.instant + HELD_WITHIN);
        }
        if edge.moves.caught.values().any(|it| !it.has_ended) {
            self.arm_edge(now.instant + LOOK_EVERY);
        }
    }

    /// An event of a channel goes to the members that have moved away, and to those that are about to.
    pub(super) fn forward(&mut self, channel_id: &ChannelId, event: &Event, mark: Option<&Mark>) {
        let most = self.config.settings.session_bytes;
        let Some(edge) = &mut self.edge else { return };
        let mut forward = Vec::new();
        for out in edge.moves.out.get_mut(channel_id).into_iter().flatten() {
            let news = ForwardedNews { event: event.clone(), mark: mark.cloned() };
            let Some(to) = &out.to else {
                let bytes = event_bytes(event) as usize;
                match out.kept_bytes + bytes > most {
                    // By the next number its receiver sees that some are missing.
                    true => {}
                    false => {
                        out.kept_bytes += bytes;
                        out.kept.push(news);
                    }
                }
                continue;
            };
            forward.push((to.clone(), out.user_id.clone(), out.session, news));
        }
        for (to, user_id, session, news) in forward {
            let word = ChannelWord::Forwarded { user_id, session, news: Box::new(news) };
            edge.tell_of(&to, channel_id, word);
        }
    }

    /// Goes on with moves from or to nodes that left, and with those that have waited for too long.
    pub(super) fn look_at_moves(&mut self, now: Now) {
        let Some(edge) = &self.edge else { return };
        let mut gone = Vec::new();
        for (channel_id, all) in &edge.moves.out {
            for out in all.iter().filter(|out| out.to.as_ref().is_some_and(|node| !edge.view.has(node))) {
                gone.push((channel_id.clone(), out.user_id.clone(), out.session));
            }
        }
        let mut over = Vec::new();
        let mut alone = Vec::new();
        let mut ended = Vec::new();
        for ((channel_id, key), caught) in &edge.moves.caught {
            if caught.has_ended {
                ended.push((channel_id.clone(), *key));
            } else if !edge.view.has(&caught.from) {
                alone.push((channel_id.clone(), *key));
            } else if caught.until.is_some_and(|until| until <= now.instant) {
                over.push((channel_id.clone(), *key));
            }
        }
        for (channel_id, user_id, session) in gone {
            self.end_moving_out(now, &channel_id, &user_id, session, MemberChange::Left(user_id.clone()));
        }
        for (channel_id, key) in over {
            self.release(&channel_id, key, false);
        }
        for (channel_id, key) in alone {
            self.release(&channel_id, key, true);
            let is_ahead = self.is_ahead_of_others(&channel_id, key);
            let Some(edge) = &mut self.edge else { return };
            match edge.moves.caught.get_mut(&(channel_id.clone(), key)).filter(|_| is_ahead) {
                Some(caught) => (caught.has_asked, caught.has_ended) = (true, true),
                None => edge.moves.forget_caught(&channel_id, key),
            }
        }
        for (channel_id, key) in ended {
            if !self.is_ahead_of_others(&channel_id, key) {
                self.forget_catching_up(now, &channel_id, key);
            }
        }
        self.limit_holding(now);
    }
}

/// How long a member waits for what comes from where it was, once something else waits behind that.
const HELD_WITHIN: Duration = Duration::from_secs(2);
/// How often members are looked at that came from other nodes.
const LOOK_EVERY: Duration = Duration::from_millis(500);
