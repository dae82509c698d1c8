//! The post between two nodes began anew: parcels may be missing for ever. What rests on them is asked for, or said, again.

use super::{
    Core, Now,
    cluster::{ChannelWord, MemberChange, NodeId, PresenceParcel, ProjectParcel},
    roster::Standing,
};

impl Core {
    /// The post from a node began anew, so parcels of it may be missing: everything that rests on what that node says is asked
    /// for again, and it is asked to do the same.
    pub fn handle_restarted(&mut self, now: Now, from: &NodeId) {
        let now = self.time(now);
        let Some(edge) = self.edge.as_mut().filter(|edge| edge.view.has(from)) else { return };
        edge.homes.pull_again(from);
        edge.presence.home.pull_again(&edge.view, from);
        self.watch_again(from);
        self.ask_for_rosters(now, from);
        self.repeat_unanswered(now, from);
        self.tell(from, ProjectParcel::SayAgain);
        self.pass_presence_on(now);
        self.hub.close_overfull(now);
    }

    /// A node may not have heard all that was said to it.
    pub(super) fn asked_to_say_again(&mut self, now: Now, node: &NodeId) {
        let Some(edge) = &mut self.edge else { return };
        edge.homes.ask_again(node);
        edge.presence.home.ask_again(node);
        self.tell_written_attributes(node);
        self.tell_changed_restrictions(node);
        self.repeat_unanswered(now, node);
        self.pass_presence_on(now);
    }

    /// Says again what a node has not answered: the question or the answer may be lost.
    fn repeat_unanswered(&mut self, now: Now, node: &NodeId) {
        self.claim_again(node);
        self.send_again(now, node);
        self.say_of_calls_again(now, node);
        self.ask_anew(now, Some(node));
        self.ask_counts_again(now);
        self.follow_moves_again(now, node);
        self.pull_next(now);
    }

    /// Asks the home of watched users for their states again.
    fn watch_again(&mut self, home: &NodeId) {
        let Some(edge) = &mut self.edge else { return };
        let is_at = |number: u16| edge.view.home(number).is_some_and(|member| member.id == *home);
        let watched: Vec<_> = edge.presence.watched_at(is_at).collect();
        for user_id in watched {
            edge.tell_presence(home, PresenceParcel::Watch { user_id });
        }
    }

    /// Asks the home of channels who is in them, and has it confirm once more what somebody waits for.
    fn ask_for_rosters(&mut self, now: Now, home: &NodeId) {
        let Some(edge) = &self.edge else { return };
        let is_at = |number: u16| edge.view.home(number).is_some_and(|member| member.id == *home);
        let channels = edge.rosters.channels().into_iter();
        let channels: Vec<_> =
            channels.filter(|id| edge.rosters.get(id).is_some_and(|roster| is_at(roster.partition))).collect();
        for channel_id in channels {
            let Some(edge) = &mut self.edge else { return };
            let is_moving = edge.moves.await_settling(&channel_id);
            let Some(roster) = edge.rosters.get_mut(&channel_id) else { continue };
            let is_awaited = is_moving || !roster.waiting.is_empty();
            if roster.standing == Standing::Out {
                continue;
            }
            roster.is_asking = true;
            let (is_asked, tells_names) = (roster.standing == Standing::Asked, roster.tells_names);
            self.say_to(now, home, &channel_id, ChannelWord::Lost);
            if is_asked {
                self.hold(now, &channel_id);
            } else if is_awaited {
                let names = tells_names.then(|| self.own_names(&channel_id));
                self.say(now, &channel_id, MemberChange::All(names), true);
            }
        }
    }
}
