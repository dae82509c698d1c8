//! Channels with members on several nodes: what this node tells the home of its own members, and its members of those
//! on other nodes.

use std::collections::BTreeSet;

use rtm_codec::{Answer, CallName, ChannelId, ErrorKind, Event, GetMembers, Refusal, UserId, limits};

use super::{
    Core, Now,
    arena::{ChannelKey, SessionKey},
    away::ChannelNews,
    cluster::{
        ChannelParcel, ChannelWord, HeldChannel, HomeParcel, MemberChange, NAMES_AT_MOST, NodeId, Part, ProjectParcel,
        Said, Version, partition,
    },
    home::Saying,
    notes::Asker,
    roster::{MemberNews, Roster, Standing, Waiting},
};

impl Core {
    /// A session that is a member from now on is to be told so: at once where all nodes know that this one has members,
    /// else once they do.
    pub(super) fn join_over_nodes(&mut self, now: Now, asker: Asker, channel: ChannelKey, channel_id: &ChannelId) {
        self.set_elsewhere(channel_id);
        let has_left = self.hub.sessions.get(asker.session).is_some_and(|it| it.may_have_left(channel_id, now.instant));
        let Some(roster) = self.roster(channel_id) else { return };
        match roster.standing {
            // It was a member on another node, and may have from there what is on its way here.
            Standing::Settled if has_left => {
                roster.waiting.push(Waiting::Join(asker));
                if let Some(user_id) = self.user_id_of(asker.session) {
                    self.say(now, channel_id, MemberChange::Joined(user_id), true);
                }
            }
            Standing::Settled => {
                self.become_member(now, asker, channel);
                if let Some(user_id) = self.user_id_of(asker.session) {
                    self.say(now, channel_id, MemberChange::Joined(user_id), false);
                }
            }
            Standing::Asked => {
                roster.waiting.push(Waiting::Join(asker));
                if let Some(user_id) = self.user_id_of(asker.session) {
                    self.say(now, channel_id, MemberChange::Joined(user_id), false);
                }
            }
            Standing::Out => {
                roster.waiting.push(Waiting::Join(asker));
                self.hold(now, channel_id);
            }
        }
    }

    /// This node has members in a channel from now on, and says so.
    pub(super) fn hold(&mut self, now: Now, channel_id: &ChannelId) {
        let Some(roster) = self.roster(channel_id) else { return };
        roster.standing = Standing::Asked;
        self.set_elsewhere(channel_id);
        let names = self.own_names(channel_id);
        self.say(now, channel_id, MemberChange::All(Some(names)), true);
    }

    /// Puts a call off that needs to know who else is in the channel. Gives it back where that is known.
    pub(super) fn wait_for_roster(&mut self, channel_id: &ChannelId, waiting: Waiting) -> Option<Waiting> {
        let roster = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id));
        match roster.filter(|roster| roster.standing == Standing::Asked || roster.is_to_join(waiting.asker().session)) {
            Some(roster) => {
                roster.waiting.push(waiting);
                None
            }
            None => Some(waiting),
        }
    }

    /// A session joins a channel again that it is about to be a member of.
    pub(super) fn is_joining(&self, key: SessionKey, channel: ChannelKey) -> bool {
        self.edge.is_some() && self.channels.get(channel).is_some_and(|channel| !channel.members.contains(&key))
    }

    /// A member of this node has left, or would have become one.
    pub(super) fn left_over_nodes(&mut self, now: Now, key: SessionKey, channel_id: &ChannelId, user_id: UserId) {
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else { return };
        for waiting in roster.take_waiting(key) {
            let result = match &waiting {
                Waiting::Join(_) => Ok(Answer::JoinChannel(())),
                Waiting::Send(..) | Waiting::Members(..) => Err(ErrorKind::NotInChannel.into()),
            };
            self.answer_waiting(&waiting, result);
        }
        self.say(now, channel_id, MemberChange::Left(user_id), false);
    }

    /// Tells the home of a change of this node's members.
    pub(super) fn say(&mut self, now: Now, channel_id: &ChannelId, what: MemberChange, settle: bool) {
        let (count, all) = self.own_count(channel_id);
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else { return };
        roster.change += 1;
        let change = roster.change;
        if settle {
            roster.settle = change;
        }
        let mut what = what;
        if count as usize > NAMES_AT_MOST {
            roster.tells_names = false;
        } else if !roster.tells_names && count as usize <= limits::MEMBER_EVENTS {
            roster.tells_names = true;
            what = MemberChange::All(Some(all));
        }
        let number = roster.partition;
        if count == 0 {
            roster.leave();
            self.set_elsewhere(channel_id);
        }
        self.say_to_home(now, number, channel_id, ChannelWord::Say(Said { change, count, what, settle }));
        if count == 0 {
            self.forget_roster_if_over(channel_id);
        }
    }

    fn forget_roster_if_over(&mut self, channel_id: &ChannelId) {
        if let Some(edge) = &mut self.edge {
            edge.rosters.forget_if_over(channel_id);
        }
    }

    pub(super) fn say_to_home(&mut self, now: Now, number: u16, channel_id: &ChannelId, word: ChannelWord) {
        // Without a home nobody misses it: the next one asks.
        let home = self.edge.as_ref().and_then(|edge| Some(edge.view.home(number)?.id.clone()));
        if let Some(home) = home {
            self.say_to(now, &home, channel_id, word);
        }
    }

    /// Says something of a channel to a node, which may be this one.
    pub(super) fn say_to(&mut self, now: Now, to: &NodeId, channel_id: &ChannelId, word: ChannelWord) {
        let Some(edge) = &mut self.edge else { return };
        if edge.node == *to {
            return self.word_came(now, to, channel_id, word);
        }
        let parcel = ChannelParcel { channel_id: channel_id.clone(), epoch: edge.view.epoch(), word };
        edge.tell(to, ProjectParcel::Channel(Box::new(parcel)));
    }

    /// Says things of channels to nodes. To others first: what this node makes of its own may be said to them as well.
    pub(super) fn say_all(&mut self, now: Now, mut sayings: Vec<Saying>) {
        let own_node = self.edge.as_ref().map(|edge| edge.node.clone());
        sayings.sort_by_key(|(to, ..)| Some(to) == own_node.as_ref());
        for (to, channel_id, word) in sayings {
            self.say_to(now, &to, &channel_id, word);
        }
    }

    /// Something was said of a channel, by another node or by this one.
    pub(super) fn word_came(&mut self, now: Now, from: &NodeId, channel_id: &ChannelId, word: ChannelWord) {
        let number = self.partition_of(channel_id);
        let Some(edge) = &mut self.edge else { return };
        match word {
            // What rests on a node that left is void.
            ChannelWord::Say(_) | ChannelWord::Know { .. } | ChannelWord::Lost if !edge.view.has(from) => {}
            ChannelWord::Say(said) => {
                let sayings = edge.homes.say(number, channel_id, from, &said);
                let is_empty = edge.homes.count(number, channel_id) == Some(0);
                self.say_all(now, sayings);
                if is_empty {
                    self.channel_is_empty(now, channel_id);
                }
            }
            ChannelWord::Know { version } => {
                let sayings = edge.homes.know(number, channel_id, from, version);
                self.say_all(now, sayings);
            }
            ChannelWord::Lost => {
                let sayings = edge.homes.tell_anew(number, channel_id, from);
                self.say_all(now, sayings);
            }
            ChannelWord::Told { version, node, said } => {
                self.change_told(now, from, channel_id, version, &node, &said);
                self.say_moved_away(now, channel_id);
            }
            ChannelWord::Snapshot { version, parts, confirm } => {
                self.snapshot_came(now, channel_id, version, parts, confirm);
                self.say_moved_away(now, channel_id);
            }
            ChannelWord::Settled { change } => self.settled(now, channel_id, change),
            ChannelWord::Message(fan_out) => self.fan_out_came(now, from, channel_id, *fan_out),
            ChannelWord::Forwarded { user_id, session, news } => {
                self.forwarded_came(channel_id, &user_id, session, *news);
            }
            ChannelWord::Enough { user_id, session } => self.enough(now, from, channel_id, &user_id, session),
            ChannelWord::Attributes { value, notify } => self.attributes_told(now, channel_id, value, notify),
            ChannelWord::Forgotten { revision } => self.attributes_gone(now, channel_id, revision),
            ChannelWord::Relay(relay) => self.relay(now, channel_id, *relay),
            ChannelWord::Relayed { number } => self.hub.back_end.relayed(number),
            ChannelWord::ForwardEnd { user_id, session } => self.forward_ended(now, channel_id, &user_id, session),
        }
    }

    /// The home tells a change of a node's members.
    fn change_told(
        &mut self,
        now: Now,
        home: &NodeId,
        channel_id: &ChannelId,
        version: Version,
        node: &NodeId,
        said: &Said,
    ) {
        let Some(edge) = &mut self.edge else { return };
        let is_own = edge.node == *node;
        if is_own && let Some(roster) = edge.rosters.get_mut(channel_id) {
            roster.told = roster.told.max(said.change);
        }
        if let MemberChange::MovedIn { user_id, from } = &said.what
            && edge.node == *from
        {
            self.moved_away(channel_id, user_id);
            self.say_that_one_is_here(now, channel_id, user_id);
        }
        let Some(edge) = &mut self.edge else { return };
        let is_member = edge.view.has(node);
        let Some(roster) = edge.rosters.get_mut(channel_id) else {
            if said.settle && !is_own {
                self.say_to(now, home, channel_id, ChannelWord::Know { version });
            }
            return;
        };
        if roster.standing == Standing::Out {
            if said.settle && !is_own {
                roster.owe(version);
                self.pay_owed(now, channel_id);
            }
            return self.forget_roster_if_over(channel_id);
        }
        let known = roster.version;
        if version <= known || known == Version::default() {
            return;
        }
        if version.term != known.term || version.n != known.n + 1 {
            if !std::mem::replace(&mut roster.is_asking, true) {
                self.say_to(now, home, channel_id, ChannelWord::Lost);
            }
            return;
        }
        roster.version = version;
        let mut news = Vec::new();
        if is_own {
            if let MemberChange::MovedIn { user_id, from } = &said.what {
                roster.moving_in.remove(user_id);
                roster.move_away(user_id, from);
            }
        } else if is_member {
            news = roster.take_in(node, said);
        }
        if said.settle && !is_own {
            roster.owe(version);
        }
        self.members_changed(now, channel_id, news);
        self.pay_owed(now, channel_id);
        self.look_at_early(now, channel_id);
    }

    /// A member is said to have moved away from here. If it is here all the same, it is back, and what came late to the home was of
    /// a stay before: the others do not count it here any more.
    fn say_that_one_is_here(&mut self, now: Now, channel_id: &ChannelId, user_id: &UserId) {
        let key = self.session_of(user_id);
        if key.is_some_and(|key| self.channel_of(key, channel_id).is_some()) {
            let roster = self.edge.as_ref().and_then(|edge| edge.rosters.get(channel_id));
            let names = roster.is_some_and(|roster| roster.tells_names).then(|| self.own_names(channel_id));
            self.say(now, channel_id, MemberChange::All(names), false);
        }
    }

    fn snapshot_came(
        &mut self,
        now: Now,
        channel_id: &ChannelId,
        version: Version,
        mut parts: Vec<(NodeId, Part)>,
        confirm: bool,
    ) {
        let Some(edge) = &mut self.edge else { return };
        parts.retain(|(node, _)| edge.view.has(node));
        let moved = self.forget_moved_away(channel_id, &parts);
        let gone = self.gone_again(channel_id);
        let Some(edge) = &mut self.edge else { return };
        let Some(roster) = edge.rosters.get_mut(channel_id) else {
            if confirm {
                let number = self.partition_of(channel_id);
                self.say_to_home(now, number, channel_id, ChannelWord::Know { version });
            }
            return;
        };
        if roster.standing == Standing::Out {
            if confirm {
                roster.owe(version);
                self.pay_owed(now, channel_id);
            }
            return self.forget_roster_if_over(channel_id);
        }
        if version < roster.version {
            return;
        }
        // The snapshot has these where they are now, so they are not left out of it any more.
        roster.moving_in.retain(|user_id| !gone.contains(user_id));
        let is_first = roster.version == Version::default();
        let mut news = roster.take_snapshot(version, parts);
        // They were members before.
        news.retain(|item| !matches!(item, MemberNews::Joined(user_id) if moved.contains(user_id)));
        if confirm {
            roster.owe(version);
        }
        let news = if is_first { Vec::new() } else { news };
        self.members_changed(now, channel_id, news);
        self.pay_owed(now, channel_id);
        self.look_at_early(now, channel_id);
    }

    /// All nodes with members know a change of this one.
    fn settled(&mut self, now: Now, channel_id: &ChannelId, change: u64) {
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else { return };
        if roster.awaits_settling() && roster.settle <= change {
            roster.standing = Standing::Settled;
            let waiting = std::mem::take(&mut roster.waiting);
            self.set_elsewhere(channel_id);
            for waiting in waiting {
                self.go_on_waiting(now, channel_id, waiting);
            }
            if let Some(channel) = self.channels.find(channel_id) {
                self.count_changed(now, channel);
            }
        }
        self.moves_settled(now, channel_id, change);
    }

    /// A call has its turn that has waited to know who else is in the channel.
    fn go_on_waiting(&mut self, now: Now, channel_id: &ChannelId, waiting: Waiting) {
        let asker = waiting.asker();
        let Some(channel) = self.channel_of(asker.session, channel_id) else { return };
        match waiting {
            Waiting::Join(_) if self.is_joining(asker.session, channel) => self.become_member(now, asker, channel),
            Waiting::Join(_) => self.rejoin(asker, channel, channel_id),
            Waiting::Send(_, send) => {
                if let Some(result) = self.send_to_channel(now, asker, send) {
                    self.hub.finish(asker, result);
                }
            }
            Waiting::Members(_, query) => {
                if let Some(result) = self.members(asker, &query) {
                    self.answer_read(asker, CallName::GetMembers, result);
                }
            }
        }
    }

    fn answer_waiting(&mut self, waiting: &Waiting, result: Result<Answer, Refusal>) {
        match waiting {
            Waiting::Join(asker) | Waiting::Send(asker, _) => self.hub.finish(*asker, result),
            Waiting::Members(asker, _) => self.answer_read(*asker, CallName::GetMembers, result),
        }
    }

    /// Answers a read that was put off.
    pub(super) fn answer_read(&mut self, asker: Asker, call: CallName, result: Result<Answer, Refusal>) {
        let session = self.hub.sessions.get(asker.session);
        if session.is_some_and(|session| session.requests.numbering == asker.numbering) {
            self.hub.reply(asker.session, asker.request, Some(call), result);
        }
    }

    /// Tells the members here who has come and gone on other nodes, and how many there are.
    pub(super) fn members_changed(&mut self, now: Now, channel_id: &ChannelId, news: Vec<MemberNews>) {
        self.set_elsewhere(channel_id);
        let channel = self.channels.find(channel_id);
        // Where all members are about to be elsewhere, there is no channel any more.
        let member_count = match channel.and_then(|channel| self.channels.get(channel)) {
            Some(channel) => channel.count(),
            None => self.elsewhere(channel_id).unwrap_or(0),
        };
        if member_count as usize <= limits::MEMBER_EVENTS {
            for item in news {
                let (MemberNews::Joined(user_id) | MemberNews::Left(user_id)) = &item;
                // Of somebody who is here this node tells by itself.
                if channel.is_some_and(|channel| self.is_member_here(user_id, channel)) {
                    continue;
                }
                let (name, channel_id) = (channel_id, channel_id.clone());
                let event = match item {
                    MemberNews::Joined(member_id) => Event::MemberJoined { channel_id, member_id, member_count },
                    MemberNews::Left(member_id) => Event::MemberLeft { channel_id, member_id, member_count },
                };
                match channel {
                    Some(channel) => self.tell_members(channel, ChannelNews::Member, event, |_, _| true),
                    None => self.forward(name, &event, None),
                }
            }
        }
        if let Some(channel) = channel {
            self.count_changed(now, channel);
        }
    }

    fn is_member_here(&self, user_id: &UserId, channel: ChannelKey) -> bool {
        let session = self.session_of(user_id).and_then(|key| self.hub.sessions.get(key));
        session.is_some_and(|session| session.memberships.contains(channel))
    }

    /// How many members there are elsewhere, or on their way there: not known, as long as the home has not said so.
    fn elsewhere(&self, channel_id: &ChannelId) -> Option<u32> {
        let roster = self.edge.as_ref().and_then(|edge| edge.rosters.get(channel_id));
        match roster.map(|roster| (roster.standing, roster)) {
            None | Some((Standing::Out, _)) => Some(0),
            Some((Standing::Asked, _)) => None,
            Some((Standing::Settled, roster)) => {
                let moving = u32::try_from(self.moving_out(channel_id).count()).unwrap_or(u32::MAX);
                Some(roster.elsewhere().saturating_add(moving))
            }
        }
    }

    pub(super) fn set_elsewhere(&mut self, channel_id: &ChannelId) {
        let elsewhere = self.elsewhere(channel_id);
        if let Some(channel) = self.channels.find(channel_id).and_then(|key| self.channels.get_mut(key)) {
            channel.set_elsewhere(elsewhere);
        }
    }

    /// The members of a channel on other nodes, by name.
    pub(super) fn names_elsewhere(&self, channel_id: &ChannelId, most: usize) -> Vec<UserId> {
        let roster = self.edge.as_ref().and_then(|edge| edge.rosters.get(channel_id));
        let elsewhere = roster.into_iter().flat_map(Roster::names);
        elsewhere.chain(self.moving_out(channel_id)).take(most).cloned().collect()
    }

    pub(super) fn wait_for_members(&mut self, asker: Asker, query: &GetMembers) -> bool {
        self.wait_for_roster(&query.channel_id, Waiting::Members(asker, query.clone())).is_none()
    }

    /// Members that came here from other nodes and have gone again, before a home told that they had come.
    fn gone_again(&self, channel_id: &ChannelId) -> Vec<UserId> {
        let Some(roster) = self.edge.as_ref().and_then(|edge| edge.rosters.get(channel_id)) else { return Vec::new() };
        let is_here =
            |user_id: &&UserId| self.session_of(user_id).is_some_and(|key| self.channel_of(key, channel_id).is_some());
        roster.moving_in.iter().filter(|user_id| !is_here(user_id)).cloned().collect()
    }

    /// This node's members: those that are, those that are about to be, and those that are on their way to another node.
    pub(super) fn own_names(&self, channel_id: &ChannelId) -> BTreeSet<UserId> {
        let channel = self.channels.find(channel_id).and_then(|key| self.channels.get(key));
        let members = channel.into_iter().flat_map(|channel| &channel.members);
        let joining = self.joining(channel_id);
        let mut names: BTreeSet<UserId> =
            members.copied().chain(joining).filter_map(|key| self.user_id_of(key)).collect();
        names.extend(self.moving_out(channel_id).cloned());
        names
    }

    /// How many there are, and who, if that is to be told anew.
    fn own_count(&self, channel_id: &ChannelId) -> (u32, BTreeSet<UserId>) {
        let channel = self.channels.find(channel_id).and_then(|key| self.channels.get(key));
        let members = channel.map_or(0, |channel| channel.members.len());
        let count = members + self.joining(channel_id).len() + self.moving_out(channel_id).count();
        let roster = self.edge.as_ref().and_then(|edge| edge.rosters.get(channel_id));
        let is_anew = count <= limits::MEMBER_EVENTS && roster.is_some_and(|roster| !roster.tells_names);
        let names = if is_anew { self.own_names(channel_id) } else { BTreeSet::new() };
        (u32::try_from(count).unwrap_or(u32::MAX), names)
    }

    /// The sessions that are about to be members.
    pub(super) fn joining(&self, channel_id: &ChannelId) -> BTreeSet<SessionKey> {
        let roster = self.edge.as_ref().and_then(|edge| edge.rosters.get(channel_id));
        let channel = self.channels.find(channel_id).and_then(|key| self.channels.get(key));
        let waiting = roster.into_iter().flat_map(|roster| &roster.waiting);
        let joins = waiting.filter(|waiting| matches!(waiting, Waiting::Join(_))).map(|it| it.asker().session);
        joins.filter(|key| channel.is_none_or(|channel| !channel.members.contains(key))).collect()
    }

    pub(super) fn partition_of(&self, channel_id: &ChannelId) -> u16 {
        partition(self.config.app_id.as_str(), channel_id.as_str())
    }

    pub(super) fn roster(&mut self, channel_id: &ChannelId) -> Option<&mut Roster> {
        let app_id = &self.config.app_id;
        let edge = self.edge.as_mut()?;
        Some(edge.rosters.intern(channel_id, || partition(app_id.as_str(), channel_id.as_str())))
    }

    /// Something was said between a home and another node.
    pub(super) fn home_parcel_came(&mut self, now: Now, from: &NodeId, parcel: HomeParcel) {
        match parcel {
            HomeParcel::Pull { term, partitions } => self.pulled(now, from, term, partitions),
            HomeParcel::Held { term, channels, done } => {
                let channels: Vec<_> =
                    channels.into_iter().map(|held| (self.partition_of(&held.channel_id), held)).collect();
                let Some(edge) = self.edge.as_mut().filter(|edge| edge.view.has(from)) else { return };
                let sayings = edge.homes.take_held(from, term, channels, &done);
                self.say_all(now, sayings);
                self.pull_next(now);
                self.answer_counts(now);
            }
            HomeParcel::Count { question, channel_ids, .. } => self.asked_to_count(now, from, question, channel_ids),
            HomeParcel::Counted { question, counts } => self.counted(question, counts),
        }
    }

    /// Another node is the home of partitions: it is told what this node has of their channels.
    fn pulled(&mut self, now: Now, home: &NodeId, term: u64, partitions: Vec<u16>) {
        let Some(edge) = &self.edge else { return };
        let mut channels = Vec::new();
        let mut bytes = 0;
        let channel_ids: Vec<ChannelId> =
            partitions.iter().flat_map(|number| edge.rosters.channels_of(*number)).collect();
        for channel_id in channel_ids {
            let Some(edge) = &mut self.edge else { return };
            // One without members counts as long as messages of those it had are on their way.
            let Some(roster) = edge.rosters.get(&channel_id).filter(|it| it.standing != Standing::Out || it.is_open())
            else {
                continue;
            };
            let (tells_names, change) = (roster.tells_names, roster.change);
            let settle = self.awaits_settling(&channel_id);
            let (count, _) = self.own_count(&channel_id);
            let names = tells_names.then(|| self.own_names(&channel_id));
            let moving: Vec<UserId> = self.moving_out(&channel_id).cloned().collect();
            bytes += HELD_BYTES + names.iter().flatten().map(|name| HELD_BYTES + name.as_str().len()).sum::<usize>();
            channels.push(HeldChannel { channel_id, part: Part { count, change, names }, settle, moving });
            if bytes >= PAGE_BYTES {
                bytes = 0;
                let channels = std::mem::take(&mut channels);
                self.say_home(now, home, HomeParcel::Held { term, channels, done: Vec::new() });
            }
        }
        self.say_home(now, home, HomeParcel::Held { term, channels, done: partitions });
    }

    /// The change that somebody waits for until all nodes with members know it.
    fn awaits_settling(&self, channel_id: &ChannelId) -> Option<u64> {
        let edge = self.edge.as_ref()?;
        let roster = edge.rosters.get(channel_id)?;
        let is_awaited = roster.awaits_settling() || edge.moves.await_settling(channel_id);
        is_awaited.then_some(roster.change)
    }

    /// Asks all nodes for what the next partitions have, of which this node is the home now.
    pub(super) fn pull_next(&mut self, now: Now) {
        while let Some(edge) = &mut self.edge
            && let Some((term, partitions)) = edge.homes.next_pull()
        {
            let nodes: Vec<NodeId> = edge.view.members().iter().map(|member| member.id.clone()).collect();
            for node in nodes {
                self.say_home(now, &node, HomeParcel::Pull { term, partitions: partitions.clone() });
            }
        }
    }

    /// Says something to a home, or as one, to a node which may be this one.
    pub(super) fn say_home(&mut self, now: Now, to: &NodeId, parcel: HomeParcel) {
        let Some(edge) = &mut self.edge else { return };
        if edge.node == *to {
            return self.home_parcel_came(now, to, parcel);
        }
        edge.tell(to, ProjectParcel::Home(Box::new(parcel)));
    }

    /// The members of the cluster are others.
    pub(super) fn look_at_channels(&mut self, now: Now) {
        let Some(edge) = &mut self.edge else { return };
        let sayings = edge.homes.set_view(&edge.view, &edge.node);
        for channel_id in edge.rosters.channels() {
            let Some(edge) = &mut self.edge else { return };
            let Some(roster) = edge.rosters.get_mut(&channel_id) else { continue };
            let news = roster.leave_behind(&edge.view);
            self.members_changed(now, &channel_id, news);
        }
        self.look_at_moves(now);
        self.say_all(now, sayings);
        self.pull_next(now);
        self.ask_counts_again(now);
        self.answer_counts(now);
    }
}

/// What is said at once of the channels of a node, about.
const PAGE_BYTES: usize = 256 * 1024;
const HELD_BYTES: usize = 16;
