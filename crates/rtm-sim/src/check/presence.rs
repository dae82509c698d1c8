//! Online states: never a needless absence, and in the end what is so.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_codec::{Answer, ChannelId, Command, PeerOnlineState, RequestId, UserId};
use rtm_connection::{GapReason, Restored, RtmError, RtmEvent};

use super::{
    Invariant, Verdict,
    facts::{Facts, RECOVERY},
    fault,
};

/// What devices are subscribed to, and were told.
#[derive(Debug, Default)]
pub(super) struct Presence {
    subscribed: BTreeMap<usize, BTreeSet<UserId>>,
    /// Of whom it is not known whether a device is subscribed to them: a call had no good end.
    uncertain: BTreeMap<usize, BTreeSet<UserId>>,
    /// The last call of a device about a user that had a good end. An earlier one may be answered after it.
    settled: BTreeMap<(usize, UserId), RequestId>,
    told: BTreeMap<(usize, UserId), (PeerOnlineState, Duration)>,
    /// When each device last began or ended a subscription: it is told all states then.
    asked: BTreeMap<usize, Duration>,
    /// When each device last came back.
    returned: BTreeMap<usize, Duration>,
}

impl Presence {
    pub(super) fn issued(&mut self, now: Duration, device: usize, command: &Command) {
        if matches!(command, Command::SubscribePeersOnlineStatus(_) | Command::UnsubscribePeersOnlineStatus(_)) {
            self.asked.insert(device, now);
        }
    }

    pub(super) fn replied(
        &mut self,
        device: usize,
        id: RequestId,
        command: &Command,
        result: &Result<Answer, RtmError>,
    ) {
        let subscribed = self.subscribed.entry(device).or_default();
        let uncertain = self.uncertain.entry(device).or_default();
        let settled = &mut self.settled;
        let mut is_last = |peer: &UserId| {
            let last = settled.entry((device, peer.clone())).or_insert(id);
            *last = id.max(*last);
            *last == id
        };
        match (command, result) {
            (Command::SubscribePeersOnlineStatus(subscribe), Ok(_)) => {
                for peer in subscribe.peer_ids.iter().filter(|peer| is_last(peer)) {
                    uncertain.remove(peer);
                    subscribed.insert(peer.clone());
                }
            }
            (Command::UnsubscribePeersOnlineStatus(unsubscribe), Ok(_)) => {
                for peer in unsubscribe.peer_ids.iter().filter(|peer| is_last(peer)) {
                    uncertain.remove(peer);
                    subscribed.remove(peer);
                }
            }
            (Command::SubscribePeersOnlineStatus(rtm_codec::SubscribePeersOnlineStatus { peer_ids }), Err(_))
            | (Command::UnsubscribePeersOnlineStatus(rtm_codec::UnsubscribePeersOnlineStatus { peer_ids }), Err(_)) => {
                uncertain.extend(peer_ids.iter().cloned());
            }
            _ => {}
        }
    }

    pub(super) fn session_ended(&mut self, device: usize) {
        self.subscribed.remove(&device);
        self.uncertain.remove(&device);
        self.settled.retain(|(owner, _), _| *owner != device);
        self.told.retain(|(owner, _), _| *owner != device);
    }

    pub(super) fn told(&mut self, facts: &Facts, now: Duration, device: usize, event: &RtmEvent) -> Verdict {
        match event {
            RtmEvent::Gap { channel_id: None, reason, .. }
                if !matches!(reason, GapReason::Dropped | GapReason::Missing) =>
            {
                self.told.retain(|(owner, _), _| *owner != device);
                if facts.devices[device].has_sdk_habits {
                    self.sdk_returned(facts, now, device);
                }
            }
            RtmEvent::RestoreFailed { what: Restored::Subscriptions, .. } => self.session_ended(device),
            RtmEvent::PeersOnlineStatusChanged { peers, .. } => {
                for (peer, state) in peers {
                    self.peer(facts, now, device, peer, *state)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A device has come back that does not subscribe again.
    fn sdk_returned(&mut self, facts: &Facts, now: Duration, device: usize) {
        let before = self.returned.insert(device, now).unwrap_or_default();
        if !facts.durable && facts.server_ended_since(before) {
            self.subscribed.remove(&device);
        } else if facts.devices[device].ousted_at.is_some_and(|at| at >= before) {
            // A server that ended meanwhile may have forgotten that, and its store what it was asked to forget for it.
            let lost = self.subscribed.remove(&device).unwrap_or_default();
            self.uncertain.entry(device).or_default().extend(lost);
        }
    }

    fn peer(&mut self, facts: &Facts, now: Duration, device: usize, peer: &UserId, state: PeerOnlineState) -> Verdict {
        let before = self.told.insert((device, peer.clone()), (state, now));
        let before = before.filter(|_| self.asked.get(&device).is_none_or(|at| *at + ASKED < now));
        let is_due = |at: Option<Duration>| {
            let since = before.map_or(Duration::ZERO, |(_, told)| told.saturating_sub(facts.lag(now, device)));
            at.is_some_and(|at| at >= since)
        };
        let from = before.map_or_else(|| "nothing".to_owned(), |(state, _)| state.to_string());
        let is_needless = match state {
            _ if before.is_some_and(|(before, _)| before == state) => false,
            PeerOnlineState::Online => false,
            PeerOnlineState::Unreachable => {
                // Who was away itself is told how things are, and not how they came to be so.
                let was_here = |told| facts.devices[device].disturbed_at.is_none_or(|at| at + RECOVERY < told);
                matches!(before, Some((PeerOnlineState::Offline, told)) if was_here(told))
                    || !is_due(facts.unreachable_at(now, peer))
            }
            _ => !is_due(facts.offline_at(now, peer)),
        };
        if is_needless {
            let detail = format!("{peer} is told to be {state} after {from}, without a cause");
            return Err(fault(Invariant::NeedlessAbsence, detail));
        }
        Ok(())
    }

    pub(super) fn finish(&self, facts: &Facts, here: &[(usize, Vec<ChannelId>)]) -> Verdict {
        for (device, _) in here {
            let known = &facts.devices[*device];
            let uncertain = self.uncertain.get(device);
            for peer in self.subscribed.get(device).into_iter().flatten() {
                if uncertain.is_some_and(|uncertain| uncertain.contains(peer)) {
                    continue;
                }
                let expected = if facts.is_online(peer) { PeerOnlineState::Online } else { PeerOnlineState::Offline };
                let told = self.told.get(&(*device, peer.clone())).map(|(state, _)| *state);
                if told != Some(expected) {
                    let detail = format!("{} believes {peer} to be {told:?}, not {expected:?}", known.user_id);
                    return Err(fault(Invariant::PresenceConverges, detail));
                }
            }
        }
        Ok(())
    }
}

/// So long after a subscription is asked for all states may be told.
const ASKED: Duration = Duration::from_secs(30);
