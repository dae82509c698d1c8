//! What a client that came back is not told yet: the vendor's SDK hears nothing of a channel before it has joined it
//! again (`docs/rtm.md#the-vendors-sdk`). A client that resumes its session needs none of this.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use rtm_codec::{Answer, ChannelId, Event, LeaveChannel, limits};

use super::{Core, LossReason, Now, arena::SessionKey, attributes::Edit, away::gap, notes::Queued};

/// The channels that a connected client has yet to join again, and their events.
#[derive(Debug)]
pub(super) struct Rejoining {
    channels: Vec<Awaited>,
    held: VecDeque<Queued>,
    bytes: usize,
    /// When the client is no longer waited for.
    until: Instant,
}

#[derive(Debug)]
struct Awaited {
    channel_id: ChannelId,
    /// How many of its events were discarded.
    lost: u64,
}

impl Rejoining {
    /// How many bytes are held.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// When the client is no longer waited for.
    pub(super) fn until(&self) -> Instant {
        self.until
    }

    /// Whether the client has yet to join a channel.
    pub(super) fn awaits(&self, channel_id: &ChannelId) -> bool {
        self.channels.iter().any(|awaited| awaited.channel_id == *channel_id)
    }

    /// The channels that the client has yet to join.
    fn channel_ids(&self) -> impl Iterator<Item = &ChannelId> {
        self.channels.iter().map(|awaited| &awaited.channel_id)
    }

    /// All that is held, in order, behind what is to be said of the lost ones.
    pub(super) fn into_events(self) -> impl Iterator<Item = Queued> {
        let gaps = self.channels.into_iter().filter(|awaited| awaited.lost > 0);
        gaps.map(|awaited| gap(awaited.channel_id, Some(awaited.lost))).chain(self.held)
    }

    /// Keeps an event of a channel until that is joined, and says so; not one of a channel that is not awaited.
    pub(super) fn hold(&mut self, queued: Queued) -> Result<(), Queued> {
        match channel_of(queued.event.event()) {
            Some(channel_id) if self.awaits(channel_id) => {
                self.bytes += queued.bytes as usize;
                self.held.push_back(queued);
                Ok(())
            }
            _ => Err(queued),
        }
    }

    /// Whether more events are held than may be.
    pub(super) fn is_full(&self) -> bool {
        self.held.len() > HELD_EVENTS
    }

    /// Lets the oldest event go. `false` if there is none.
    pub(super) fn lose_oldest(&mut self) -> bool {
        let Some(oldest) = self.held.pop_front() else { return false };
        self.bytes -= oldest.bytes as usize;
        let channel_id = channel_of(oldest.event.event());
        if let Some(awaited) = self.channels.iter_mut().find(|awaited| Some(&awaited.channel_id) == channel_id) {
            awaited.lost += 1;
        }
        true
    }

    /// The client is no longer awaited in a channel: the events of that.
    pub(super) fn take(&mut self, channel_id: &ChannelId) -> Vec<Queued> {
        let Some(at) = self.channels.iter().position(|awaited| awaited.channel_id == *channel_id) else {
            return Vec::new();
        };
        let lost = Some(self.channels.swap_remove(at).lost).filter(|lost| *lost > 0);
        let held = std::mem::take(&mut self.held);
        let (taken, held) = held.into_iter().partition::<VecDeque<_>, _>(|queued| is_of(queued, channel_id));
        self.held = held;
        self.bytes -= taken.iter().map(|queued| queued.bytes as usize).sum::<usize>();
        lost.map(|lost| gap(channel_id.clone(), Some(lost))).into_iter().chain(taken).collect()
    }
}

impl Core {
    /// The client of a session has come back and knows nothing of what it received, so its stream begins anew. From now
    /// on it gets of each of its channels nothing before it has joined that again.
    pub(super) fn await_joins(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let channels = &self.channels;
        let names = session.memberships.channels().filter_map(|channel| Some(channels.get(channel)?.id.clone()));
        let mut rejoining = Rejoining {
            channels: names.map(|channel_id| Awaited { channel_id, lost: 0 }).collect(),
            held: VecDeque::new(),
            bytes: 0,
            until: now.instant + JOINS_WITHIN,
        };
        let events = session.stream.take_unsent();
        for channel_id in events.iter().filter_map(|queued| channel_of(queued.event.event())) {
            // One that the user was in until it was away for too long.
            if rejoining.channels.len() < CHANNELS && !rejoining.awaits(channel_id) {
                rejoining.channels.push(Awaited { channel_id: channel_id.clone(), lost: 0 });
            }
        }
        // With each join the latest count is told.
        let is_news = |queued: &Queued| !matches!(queued.event.event(), Event::MemberCountUpdated { .. });
        for queued in events.into_iter().filter(is_news) {
            if let Err(queued) = rejoining.hold(queued) {
                session.stream.push(queued);
            } else if rejoining.is_full() {
                rejoining.lose_oldest();
                session.counts_mut().dropped(1);
                self.hub.stats.away_dropped += 1;
                self.hub.counters.lost_events(LossReason::Rejoining, 1);
            }
        }
        if !rejoining.channels.is_empty() {
            session.rejoining = Some(Box::new(rejoining));
        }
    }

    /// The client of a session has joined a channel: it gets what was held of that.
    pub(super) fn joined(&mut self, key: SessionKey, channel_id: &ChannelId) {
        let held = self.await_no_more(key, channel_id);
        self.hub.push_held(key, held);
    }

    /// A client is no longer awaited in a channel. Gives what was held of that.
    pub(super) fn await_no_more(&mut self, key: SessionKey, channel_id: &ChannelId) -> Vec<Queued> {
        let Some(session) = self.hub.sessions.get_mut(key) else { return Vec::new() };
        let Some(rejoining) = &mut session.rejoining else { return Vec::new() };
        let held = rejoining.take(channel_id);
        if rejoining.channels.is_empty() {
            session.rejoining = None;
        }
        held
    }

    /// A client asks for its stored messages. The vendor's SDK does so after a login of its application and never when it comes
    /// back by itself: if this one seemed to come back, the server has not heard of a logout. What it had before that is over.
    pub(super) fn asked_for_stored(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get(key) else { return };
        if !session.terms.abilities().repeats_attributes {
            return;
        }
        let channels: Vec<_> =
            session.rejoining.iter().flat_map(|rejoining| rejoining.channel_ids().cloned()).collect();
        if session.terms.expects_echo(now.instant) {
            // None of what is there can be too much.
            let _ = self.write_user_attributes(now, key, Edit::Clear, Answer::ClearLocalUserAttributes(()));
        }
        for channel_id in channels {
            // It is out of those where it was away for too long.
            let _ = self.leave(now, key, &LeaveChannel { channel_id });
        }
        self.end_older_subscriptions(now, key);
    }

    /// A client that has not joined all of its channels again in time gets their events all the same.
    pub(super) fn end_rejoining(&mut self, now: Now, key: SessionKey) {
        let Some(session) = self.hub.sessions.get_mut(key) else { return };
        let Some(rejoining) = session.rejoining.take_if(|rejoining| rejoining.until <= now.instant) else { return };
        let channels: Vec<_> = rejoining.channels.iter().map(|awaited| awaited.channel_id.clone()).collect();
        self.hub.push_held(key, rejoining.into_events());
        for channel_id in channels {
            if let Some(channel) = self.channel_of(key, &channel_id) {
                self.tell_count(key, channel, true);
            }
        }
    }
}

fn is_of(queued: &Queued, channel_id: &ChannelId) -> bool {
    channel_of(queued.event.event()) == Some(channel_id)
}

/// The channel that an event is about.
fn channel_of(event: &Event) -> Option<&ChannelId> {
    match event {
        Event::ChannelMessage { channel_id, .. }
        | Event::MemberJoined { channel_id, .. }
        | Event::MemberLeft { channel_id, .. }
        | Event::MemberCountUpdated { channel_id, .. }
        | Event::AttributesUpdated { channel_id, .. } => Some(channel_id),
        Event::Gap { channel_id, .. } => channel_id.as_ref(),
        _ => None,
    }
}

/// How long a client is waited for: it joins its channels right after its login, over a link that may be slow.
const JOINS_WITHIN: Duration = Duration::from_secs(10);
/// More than a client can have been in before and after it was away.
const CHANNELS: usize = 2 * limits::JOINED_CHANNELS;
/// More than is kept of all channels for a client that is away.
const HELD_EVENTS: usize = 4096;
