//! Messages of back ends to channels: the members here get them, those on other nodes as if a member here had sent them; where
//! there is no member here, a node that has some sends them.

use std::time::{Duration, Instant};

use rtm_codec::{Answer, ChannelId, Event};

use super::{
    Core, Now,
    away::ChannelNews,
    back_end::Origin,
    cluster::{ChannelWord, NodeId, Relay},
    message_ids::Sent,
    notes::Asker,
    roster::Standing,
};

/// Messages that wait until it is known where there are members.
#[derive(Debug, Default)]
pub(super) struct Relays(Vec<(Instant, ChannelId, Relay)>);

/// Where a message to a channel goes on from here.
enum Way {
    Here,
    Nowhere,
    To(NodeId),
    /// That is not known yet.
    Unknown,
}

impl Core {
    /// A message to a channel whose sender has no session. The sender's own session, if there is one, does not get it.
    pub(super) fn send_for_nobody(&mut self, now: Now, asker: Asker, event: Event) {
        let Event::ChannelMessage { channel_id, message_id, member_id, .. } = &event else { return };
        let (channel_id, sent) = (channel_id.clone(), Sent::ToChannel(*message_id));
        let channel = self.channels.find(&channel_id);
        if self.edge.is_none() {
            if let Some(channel) = channel {
                let sender = self.session_of(member_id);
                self.tell_members(channel, ChannelNews::Message, event, |member, _| Some(member) != sender);
            }
            return;
        }
        if let Some(channel) = channel
            && matches!(self.way_to(&channel_id), Way::Here)
        {
            let sender = self.session_of(member_id);
            self.send_over_nodes(asker, sent, channel, event, |member, _| Some(member) != sender);
            return;
        }
        let Some(edge) = &self.edge else { return };
        self.hub.promise(asker);
        let relay = Relay { origin: edge.node.clone(), number: asker.request.0, event, hops: 0 };
        self.relay(now, &channel_id, relay);
    }

    /// Sends a message of a back end on, to its members or towards them.
    pub(super) fn relay(&mut self, now: Now, channel_id: &ChannelId, relay: Relay) {
        let until = now.instant + RELAYED_WITHIN;
        self.relay_until(now, until, channel_id, relay);
    }

    fn relay_until(&mut self, now: Now, until: Instant, channel_id: &ChannelId, relay: Relay) {
        if until <= now.instant || relay.hops >= MOST_HOPS {
            return;
        }
        match self.way_to(channel_id) {
            Way::Here => {
                let Relay { origin, number, event, .. } = relay;
                if self.edge.as_ref().is_some_and(|edge| edge.node == origin) {
                    // Members have come here meanwhile.
                    let asker = self.hub.back_end.asker(number);
                    self.send_for_nobody(now, asker, event);
                    return self.hub.back_end.relayed(number);
                }
                let origin = Origin::Node { node: origin, number, channel_id: channel_id.clone() };
                let asker = self.await_back_end(now, origin);
                self.send_for_nobody(now, asker, event);
                self.hub.back_end.finish(asker, Ok(Answer::SendChannelMessage(())));
            }
            Way::Nowhere => self.say_relayed(&relay.origin, relay.number, channel_id),
            Way::To(node) => {
                let relay = Relay { hops: relay.hops + 1, ..relay };
                self.say_to(now, &node, channel_id, ChannelWord::Relay(Box::new(relay)));
            }
            Way::Unknown => {
                let Some(edge) = &mut self.edge else { return };
                if edge.relays.0.len() < MOST_WAITING {
                    edge.relays.0.push((until, channel_id.clone(), relay));
                    self.arm_edge(now.instant + LOOK_AGAIN);
                }
            }
        }
    }

    fn way_to(&self, channel_id: &ChannelId) -> Way {
        let Some(edge) = &self.edge else { return Way::Nowhere };
        let number = self.partition_of(channel_id);
        match edge.rosters.get(channel_id).map(|roster| roster.standing) {
            Some(Standing::Settled) if self.channels.find(channel_id).is_some() => return Way::Here,
            Some(Standing::Asked) => return Way::Unknown,
            _ => {}
        }
        match edge.view.home(number).map(|home| &home.id) {
            Some(home) if *home != edge.node => Way::To(home.clone()),
            Some(_) => match edge.homes.holder(number, channel_id) {
                // Its last member is leaving, and it has not said so yet.
                Some(Some(node)) if *node == edge.node => Way::Unknown,
                Some(Some(node)) => Way::To(node.clone()),
                Some(None) => Way::Nowhere,
                None => Way::Unknown,
            },
            None => Way::Unknown,
        }
    }

    /// Tells the node of a back end that a message has gone where it was to go.
    pub(super) fn say_relayed(&mut self, origin: &NodeId, number: u64, channel_id: &ChannelId) {
        let now = Now { instant: self.clock.last(), unix_ms: 0 };
        self.say_to(now, origin, channel_id, ChannelWord::Relayed { number });
    }

    /// It may be known by now where there are members.
    pub(super) fn look_at_relays(&mut self, now: Now) {
        let waiting = self.edge.as_mut().map_or_else(Vec::new, |edge| std::mem::take(&mut edge.relays.0));
        for (until, channel_id, relay) in waiting {
            self.relay_until(now, until, &channel_id, relay);
        }
    }
}

/// How long a message waits at most until it is known where there are members: less than its sender does.
const RELAYED_WITHIN: Duration = Duration::from_secs(9);
const LOOK_AGAIN: Duration = Duration::from_millis(50);
/// So many nodes pass a message on.
const MOST_HOPS: u8 = 8;
/// So many messages wait.
const MOST_WAITING: usize = 4096;
