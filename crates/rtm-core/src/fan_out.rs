//! Messages to a channel with members on several nodes: one parcel to each node, in order, and its sender is answered when
//! all have it.

use std::{collections::BTreeSet, time::Duration};

use rtm_codec::{Answer, ChannelId, Event, RtmMessage, SendOutcome, UserId};

use super::{
    Core, Now,
    arena::SessionKey,
    away::ChannelNews,
    cluster::{ChannelParcel, ChannelWord, FanOut, Mark, NodeId, Posted, ProjectParcel, Ticket},
    edge::Posted as Awaited,
    message_ids::Sent,
    notes::{Asker, event_bytes},
    roster::{Early, Standing},
};

impl Core {
    /// The place of the next message from this node to a channel.
    pub(super) fn next_mark(&mut self, channel_id: &ChannelId) -> Option<Mark> {
        self.edge.as_ref()?;
        let roster = self.roster(channel_id)?;
        roster.k += 1;
        let (k, since) = (roster.k, roster.since);
        Some(Mark { origin: self.edge.as_ref()?.node.clone(), k, since })
    }

    /// Sends a message to the members on other nodes. Says whether there are any, so that its sender has to wait.
    pub(super) fn fan_out(
        &mut self,
        asker: Asker,
        sent: Sent,
        channel_id: &ChannelId,
        mark: &Mark,
        event: &Event,
    ) -> bool {
        let Some(edge) = &mut self.edge else { return false };
        let Some(roster) = edge.rosters.get_mut(channel_id) else { return false };
        let (version, change, epoch) = (roster.version, roster.change, edge.view.epoch());
        let mut parcels = Vec::new();
        for (node, holder) in roster.holders_mut() {
            let after = std::mem::replace(&mut holder.last, mark.k);
            let fan_out = FanOut { version, change, k: mark.k, after, since: mark.since, event: Some(event.clone()) };
            parcels.push((node.clone(), fan_out));
        }
        if parcels.is_empty() {
            return false;
        }
        roster.open(mark.k, parcels.len(), asker, sent);
        for (node, fan_out) in parcels {
            let word = ChannelWord::Message(Box::new(fan_out));
            let parcel = ChannelParcel { channel_id: channel_id.clone(), epoch, word };
            edge.post(&node, ProjectParcel::Channel(Box::new(parcel)), channel_id.clone(), mark.k);
        }
        self.hub.promise(asker);
        true
    }

    /// What became of a parcel that was given out with this ticket. To be told once for each, in any order.
    pub fn handle_posted(&mut self, now: Now, ticket: Ticket, posted: Posted) {
        let now = self.time(now);
        let Some(edge) = &mut self.edge else { return };
        let (channel_id, node, k) = match edge.take_ticket(ticket) {
            Some(Awaited::FanOut(channel_id, node, k)) => (channel_id, node, k),
            Some(Awaited::Outcome(outcome)) if posted != Posted::Taken => return self.outcome_lost(now, *outcome),
            Some(Awaited::Delivered(delivered)) if posted != Posted::Taken => {
                return delivered.outcomes().for_each(|outcome| self.outcome_lost(now, outcome));
            }
            Some(Awaited::Attributes(asker)) => {
                edge.attributes_posted(asker.session);
                return self.hub.kept(asker, Ok(()));
            }
            Some(Awaited::Restriction { call, node, parcel }) => {
                // Its box was full: without a ticket it is said again until it has come.
                if posted == Posted::Dropped {
                    edge.tell(&node, *parcel);
                }
                return self.admin_posted(call, &node);
            }
            Some(Awaited::Kick { call, node }) => return self.kick_posted(call, &node, posted),
            Some(Awaited::StoredFor(to, senders)) => return self.reader_told(now, &to, senders, posted),
            Some(Awaited::Outcome(_) | Awaited::Delivered(_)) | None => return,
        };
        if posted == Posted::Dropped {
            // Its receiver sees by the next message that some are missing. If none comes, it is told.
            edge.skipped.insert((channel_id.clone(), node));
            self.arm_edge(now.instant + SKIPPED_PAUSE);
        }
        let roster = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(&channel_id));
        if let Some((asker, sent)) = roster.and_then(|roster| roster.settle_message(k)) {
            self.finish_repeated(asker, sent, Some(SendOutcome::Delivered), || Ok(Answer::SendChannelMessage(())));
            self.hub.kept(asker, Ok(()));
        }
        self.pay_owed(now, &channel_id);
        if let Some(edge) = &mut self.edge {
            edge.rosters.forget_if_over(&channel_id);
        }
    }

    /// Tells the home what this node knows, once all that it sent before has come.
    pub(super) fn pay_owed(&mut self, now: Now, channel_id: &ChannelId) {
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else { return };
        let number = roster.partition;
        for version in roster.take_owed() {
            self.say_to_home(now, number, channel_id, ChannelWord::Know { version });
        }
    }

    /// Tells nodes that messages are missing which did not fit into their boxes.
    pub(super) fn say_skipped(&mut self) {
        let Some(edge) = &mut self.edge else { return };
        for (channel_id, node) in std::mem::take(&mut edge.skipped) {
            let epoch = edge.view.epoch();
            let Some(roster) = edge.rosters.get_mut(&channel_id) else { continue };
            let (version, change, since) = (roster.version, roster.change, roster.since);
            let Some((_, holder)) = roster.holders_mut().find(|(other, _)| **other == node) else { continue };
            let k = holder.last;
            let fan_out = FanOut { version, change, k, after: k, since, event: None };
            let word = ChannelWord::Message(Box::new(fan_out));
            let parcel = ChannelParcel { channel_id: channel_id.clone(), epoch, word };
            edge.post(&node, ProjectParcel::Channel(Box::new(parcel)), channel_id, k);
        }
    }

    /// A message came from another node. One that is ahead of the changes of members that came so far waits for those.
    pub(super) fn fan_out_came(&mut self, now: Now, from: &NodeId, channel_id: &ChannelId, fan_out: FanOut) {
        let Some(edge) = &mut self.edge else { return };
        let Some(roster) = edge.rosters.get_mut(channel_id) else {
            return self.deliver_fan_out(from, channel_id, fan_out, &[]);
        };
        if roster.early.is_empty() && !is_ahead(roster, from, &fan_out) {
            return self.deliver_fan_out(from, channel_id, fan_out, &[]);
        }
        let bytes = fan_out.event.as_ref().map_or(0, |event| event_bytes(event) as usize);
        let until = now.instant + EARLY_WITHIN;
        roster.early_bytes += bytes;
        roster.early.push_back(Early { until, from: from.clone(), fan_out, bytes, newcomers: Vec::new() });
        edge.channels_with_early.insert(channel_id.clone());
        self.arm_edge(until);
        self.look_at_early(now, channel_id);
    }

    /// Delivers the messages that are not ahead any more, or have waited for too long. None overtakes one of the same node, nor
    /// one of the same sender, who may have moved.
    pub(super) fn look_at_early(&mut self, now: Now, channel_id: &ChannelId) {
        while let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) {
            let is_full = roster.early_bytes > EARLY_BYTES;
            let (mut nodes, mut senders) = (BTreeSet::new(), BTreeSet::new());
            let ready = roster.early.iter().position(|early| {
                let is_first_of_node = nodes.insert(&early.from);
                let is_first = early.sender().is_none_or(|sender| senders.insert(sender)) && is_first_of_node;
                is_first && (is_full || early.until <= now.instant || !is_ahead(roster, &early.from, &early.fan_out))
            });
            let early = ready.and_then(|at| roster.early.remove(at));
            let is_empty = roster.early.is_empty();
            if let Some(early) = &early {
                roster.early_bytes -= early.bytes;
            }
            if is_empty && let Some(edge) = &mut self.edge {
                edge.channels_with_early.remove(channel_id);
                edge.rosters.forget_if_over(channel_id);
            }
            let Some(early) = early else { return };
            self.deliver_fan_out(&early.from, channel_id, early.fan_out, &early.newcomers);
        }
    }

    /// A member is about to send from here: what it has sent before from another node, and waits, goes first.
    pub(super) fn deliver_early_of(&mut self, channel_id: &ChannelId, sender: &UserId) {
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else { return };
        let Some(last) = roster.early.iter().rposition(|early| early.sender() == Some(sender)) else { return };
        for early in roster.early.drain(..=last).collect::<Vec<_>>() {
            let roster = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id));
            if let Some(roster) = roster {
                roster.early_bytes -= early.bytes;
            }
            self.deliver_fan_out(&early.from, channel_id, early.fan_out, &early.newcomers);
        }
    }

    /// A session is a member from now on. What came before it joined is not for it.
    pub(super) fn join_behind_early(&mut self, channel_id: &ChannelId, key: SessionKey) {
        let roster = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id));
        for early in roster.into_iter().flat_map(|roster| &mut roster.early) {
            early.newcomers.push(key);
        }
    }

    /// Delivers all messages that are ahead.
    pub(super) fn deliver_early(&mut self, channel_id: &ChannelId) {
        let Some(roster) = self.edge.as_mut().and_then(|edge| edge.rosters.get_mut(channel_id)) else { return };
        roster.early_bytes = 0;
        for early in std::mem::take(&mut roster.early) {
            self.deliver_fan_out(&early.from, channel_id, early.fan_out, &early.newcomers);
        }
    }

    fn deliver_fan_out(&mut self, from: &NodeId, channel_id: &ChannelId, fan_out: FanOut, newcomers: &[SessionKey]) {
        let Some(edge) = &mut self.edge else { return };
        let FanOut { k, after, since, event, .. } = fan_out;
        let roster = edge.rosters.get_mut(channel_id).filter(|roster| roster.standing != Standing::Out);
        let mut hole = None;
        if let Some(roster) = roster {
            let heard = roster.heard.get(from).copied();
            if heard.is_some_and(|heard| k <= heard) {
                return;
            }
            roster.heard.insert(from.clone(), k);
            let first = k + u64::from(event.is_none());
            hole =
                (after > heard.unwrap_or(0)).then(|| heard.map(|heard| first.saturating_sub(heard.max(since - 1) + 1)));
        }
        let channel = self.channels.find(channel_id);
        if let (Some(lost), Some(channel)) = (hole, channel) {
            self.tell_gap(channel, lost, newcomers);
        }
        let Some(event) = event else { return };
        let mark = Mark { origin: from.clone(), k, since };
        let Event::ChannelMessage { message, member_id, .. } = &event else { return };
        let is_binary = matches!(message, RtmMessage::Binary(_));
        let sender = self.session_of(member_id);
        match channel {
            Some(channel) => self.tell_marked(channel, ChannelNews::Message, event, Some(&mark), |member, session| {
                Some(member) != sender
                    && !newcomers.contains(&member)
                    && (!is_binary || session.terms.abilities().binary)
            }),
            None => self.forward(channel_id, &event, Some(&mark)),
        }
    }
}

/// Whether a message is ahead of the changes of members that came so far.
fn is_ahead(roster: &super::roster::Roster, from: &NodeId, fan_out: &FanOut) -> bool {
    let known = roster.change_of(from);
    roster.standing != Standing::Out && (fan_out.version > roster.version || (known > 0 && fan_out.change > known))
}

/// How long a message waits for the changes of members before it.
const EARLY_WITHIN: Duration = Duration::from_secs(2);
/// So many bytes of messages of a channel wait for that.
const EARLY_BYTES: usize = 1024 * 1024;
/// How long a node waits before it tells another that messages are missing.
const SKIPPED_PAUSE: Duration = Duration::from_millis(200);
