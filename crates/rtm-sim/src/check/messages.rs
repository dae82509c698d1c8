//! Messages: none lost in silence, none twice, none out of order, none that nobody sent.

use std::{
    collections::BTreeMap,
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use rtm_codec::{Answer, ChannelId, Command, ErrorKind, RequestId, RtmMessage, SendOutcome, UserId, Wire};
use rtm_connection::{ConnectionState, GapReason, RtmError, RtmEvent};

use super::{Invariant, Verdict, channels::Channels, facts::Facts, fault, gaps::Gaps};
use crate::trace;

/// Every message that was sent, and who got it.
#[derive(Debug, Default)]
pub(super) struct Messages {
    sent: Vec<Sent>,
    by_content: BTreeMap<(Target, u64), Vec<usize>>,
    by_request: BTreeMap<(usize, RequestId), usize>,
    /// The last message that a device got, by sending device, channel, and whether it was stored.
    last: BTreeMap<(usize, usize, Option<ChannelId>, bool), usize>,
    /// When stored messages of a user were handed out and did not arrive.
    lost_handouts: Vec<(UserId, Duration)>,
    has_values: bool,
}

/// From whom to whom.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Target {
    Peer { from: UserId, to: UserId },
    Channel { from: UserId, channel_id: ChannelId },
}

#[derive(Debug)]
struct Sent {
    device: usize,
    target: Target,
    message: RtmMessage,
    issued: Duration,
    ended: Option<(Duration, Result<Option<SendOutcome>, ErrorKind>)>,
    /// The devices outside of their cluster, if it was sent from there: it reaches nobody else.
    outside: Option<Vec<usize>>,
    got: Vec<usize>,
}

impl Messages {
    pub(super) fn issued(&mut self, facts: &Facts, now: Duration, device: usize, id: RequestId, command: &Command) {
        let from = facts.devices[device].user_id.clone();
        let (target, message) = match command {
            Command::SendMessageToPeer(send) => (Target::Peer { from, to: send.peer_id.clone() }, &send.message),
            Command::SendChannelMessage(send) => {
                (Target::Channel { from, channel_id: send.channel_id.clone() }, &send.message)
            }
            _ => return,
        };
        self.has_values |= matches!(message, RtmMessage::Value(_));
        let at = self.sent.len();
        self.by_content.entry((target.clone(), digest(message))).or_default().push(at);
        self.by_request.insert((device, id), at);
        let message = message.clone();
        self.sent.push(Sent { device, target, message, issued: now, ended: None, outside: None, got: Vec::new() });
    }

    pub(super) fn replied(
        &mut self,
        facts: &Facts,
        now: Duration,
        device: usize,
        id: RequestId,
        result: &Result<Answer, RtmError>,
    ) -> Verdict {
        let Some(at) = self.by_request.remove(&(device, id)) else { return Ok(()) };
        let result = match result {
            Ok(Answer::SendMessageToPeer(outcome)) => Ok(Some(*outcome)),
            Ok(_) => Ok(None),
            Err(error) => Err(error.kind()),
        };
        let sent = &mut self.sent[at];
        sent.ended = Some((now, result));
        sent.outside = Some(facts.outside()).filter(|_| facts.devices[device].is_outside);
        if let (Target::Peer { to, .. }, Some((_, outcome))) = (&sent.target, &sent.ended)
            && matches!(
                outcome,
                Ok(Some(SendOutcome::Stored | SendOutcome::NotReceived))
                    | Err(ErrorKind::Timeout | ErrorKind::OutcomeUnknown)
            )
            && facts.was_well_until(device, sent.issued, now)
            && facts.devices.iter().any(|device| device.user_id == *to)
            && (0..facts.devices.len())
                .all(|device| facts.devices[device].user_id != *to || facts.was_well_until(device, sent.issued, now))
        {
            let detail = format!("{} to {to} is {outcome:?}, without a cause", trace::message(&sent.message));
            return Err(fault(Invariant::NeedlessFailure, detail));
        }
        Ok(())
    }

    pub(super) fn handout_lost(&mut self, user_id: &UserId, now: Duration) {
        self.lost_handouts.push((user_id.clone(), now));
    }

    pub(super) fn told(&mut self, facts: &Facts, _now: Duration, device: usize, event: &RtmEvent) -> Verdict {
        let known = &facts.devices[device];
        let (target, message, is_stored) = match event {
            RtmEvent::MessageFromPeer { message, peer_id, properties, .. } => {
                let target = Target::Peer { from: peer_id.clone(), to: known.user_id.clone() };
                (target, message, properties.is_offline_message)
            }
            RtmEvent::ChannelMessage { channel_id, member_id, message, .. } => {
                if *member_id == known.user_id {
                    return Err(fault(Invariant::NoInvention, "a member got its own message"));
                }
                (Target::Channel { from: member_id.clone(), channel_id: channel_id.clone() }, message, false)
            }
            _ => return Ok(()),
        };
        let channel_id = match &target {
            Target::Peer { .. } => None,
            Target::Channel { channel_id, .. } => Some(channel_id.clone()),
        };
        let text = trace::message(message);
        let Some(candidates) = self.by_content.get(&(target, digest(message))) else {
            // A value of the application's own type arrives as text on the vendor's wire.
            if known.wire == Wire::Vendor && self.has_values {
                return Ok(());
            }
            return Err(fault(Invariant::NoInvention, format!("got {text}, which nobody sent")));
        };
        let is_only = candidates.len() == 1;
        let fits = |at: &&usize| !self.sent[**at].got.contains(&device);
        let is_refused = |at: &usize| matches!(&self.sent[*at].ended, Some((_, Err(kind))) if was_refused(*kind));
        let fitting = candidates.iter().find(|at| fits(at) && !is_refused(at)).or_else(|| candidates.iter().find(fits));
        let Some(&at) = fitting else {
            // What a vendor's client is given of the store it cannot acknowledge.
            if known.wire == Wire::Vendor && is_stored && !facts.server_ends.is_empty() {
                return Ok(());
            }
            return Err(fault(Invariant::NoDuplicate, format!("got {text} again")));
        };
        let sent = &mut self.sent[at];
        sent.got.push(device);
        if let Some((_, Err(kind))) = &sent.ended
            && was_refused(*kind)
        {
            return Err(fault(Invariant::NoInvention, format!("got {text}, which was refused with {kind:?}")));
        }
        if !is_only {
            return Ok(());
        }
        let apart = is_stored && known.wire == Wire::Vendor;
        let last = self.last.entry((sent.device, device, channel_id, apart)).or_insert(at);
        // What a failing store gives late comes late. So does what a node that may be out of the cluster could not store at once,
        // and what a node stored that was killed before the receiver's knew of it.
        let was_cut_off = facts.store_waited_since(sent.issued) || facts.server_ended_since(sent.issued);
        // And what was too old until the clock was set back.
        let was_hidden = was_cut_off && facts.is_cluster || may_be_too_old(facts, sent.issued);
        // A node that is out of the cluster gives a client that comes back to it what it still has.
        let was_late = facts.store_failed_since(sent.issued) || (is_stored && was_hidden) || known.is_outside;
        if at < *last && !was_late {
            let later = trace::message(&self.sent[*last].message);
            return Err(fault(Invariant::OrderPerSender, format!("got {text} after {later}, which was sent later")));
        }
        *last = at.max(*last);
        Ok(())
    }

    /// So many messages wait in the store for a device's user, at rest.
    pub(super) fn unread(&self, facts: &Facts, device: usize, messages: usize) -> Verdict {
        let known = &facts.devices[device];
        // What the store could not remove is there yet, and what is too old is for nobody.
        let has_cause = facts.store_failed.is_some() || facts.clock_set_at.is_some();
        if messages == 0 || has_cause || known.wire == Wire::Vendor {
            return Ok(());
        }
        let detail = format!("{messages} messages wait in the store for {}, who is connected", known.user_id);
        Err(fault(Invariant::NothingUnread, detail))
    }

    pub(super) fn finish(&self, facts: &Facts, channels: &Channels, gaps: &Gaps) -> Verdict {
        for sent in &self.sent {
            match &sent.target {
                Target::Peer { to, .. } => self.finish_peer(facts, sent, to)?,
                Target::Channel { .. } => {}
            }
        }
        for device in 0..facts.devices.len() {
            self.finish_channels(facts, channels, gaps, device)?;
        }
        Ok(())
    }

    fn finish_peer(&self, facts: &Facts, sent: &Sent, to: &UserId) -> Verdict {
        let Some((ended, result)) = &sent.ended else { return Ok(()) };
        let has_arrived = !sent.got.is_empty() || self.came_as_another(sent, |other| other.got.len());
        let text = trace::message(&sent.message);
        match result {
            Err(kind) if !sent.got.is_empty() && was_refused(*kind) => {
                Err(fault(Invariant::NoInvention, format!("{to} got {text}, which was refused with {kind:?}")))
            }
            Ok(Some(SendOutcome::Delivered)) if !has_arrived => {
                let detail =
                    format!("{text} of {:.3} s was delivered to {to}, and is not there", sent.issued.as_secs_f64());
                Err(fault(Invariant::NoSilentLoss, detail))
            }
            Ok(Some(SendOutcome::Stored)) if !has_arrived => {
                let is_gone = !facts.durable && facts.server_ended_since(sent.issued);
                let is_crowded = self.stored_for(to) > facts.settings.offline_messages;
                let was_handed_out = self.lost_handouts.iter().any(|(user_id, at)| user_id == to && *at >= sent.issued);
                // What the store cannot read is read at the next login.
                let waits = facts.store_failed_since(sent.issued);
                let can_take = facts.devices.iter().any(|device| {
                    device.user_id == *to
                        && device.state == ConnectionState::Connected
                        && (device.wire != Wire::Vendor || matches!(sent.message, RtmMessage::Text(_)))
                });
                if is_gone || may_be_too_old(facts, sent.issued) || is_crowded || was_handed_out || waits || !can_take {
                    return Ok(());
                }
                let detail = format!("{text} was stored for {to} at {:.3} s, and is not there", ended.as_secs_f64());
                Err(fault(Invariant::NoSilentLoss, detail))
            }
            _ => Ok(()),
        }
    }

    fn stored_for(&self, to: &UserId) -> usize {
        let stored = |sent: &&Sent| {
            matches!(&sent.target, Target::Peer { to: receiver, .. } if receiver == to)
                && matches!(sent.ended, Some((_, Ok(Some(SendOutcome::Stored)))))
        };
        self.sent.iter().filter(stored).count()
    }

    /// Whether of messages that look alike there came as many as were promised, so that this one may be among them.
    fn came_as_another(&self, sent: &Sent, arrivals: impl Fn(&Sent) -> usize) -> bool {
        let alike = self.by_content.get(&(sent.target.clone(), digest(&sent.message)));
        let alike: Vec<&Sent> = alike.into_iter().flatten().map(|at| &self.sent[*at]).collect();
        let is_promised = |other: &&&Sent| {
            matches!(other.ended, Some((_, Ok(None | Some(SendOutcome::Delivered | SendOutcome::Stored)))))
        };
        alike.iter().map(|other| arrivals(other)).sum::<usize>() >= alike.iter().filter(is_promised).count().max(1)
    }

    /// What a device had to get of its channels.
    fn finish_channels(&self, facts: &Facts, channels: &Channels, gaps: &Gaps, device: usize) -> Verdict {
        let known = &facts.devices[device];
        if known.state == ConnectionState::Reconnecting {
            // What it missed is on its way.
            return Ok(());
        }
        let mut missing: BTreeMap<&ChannelId, u64> = BTreeMap::new();
        for sent in &self.sent {
            let Target::Channel { from, channel_id } = &sent.target else { continue };
            let Some((ended, Ok(_))) = sent.ended else { continue };
            let is_binary = !matches!(sent.message, RtmMessage::Text(_));
            if *from == known.user_id
                || sent.got.contains(&device)
                || sent.outside.as_ref().is_some_and(|outside| !outside.contains(&device))
                || (is_binary && known.wire == Wire::Vendor)
                || !channels.was_member(device, channel_id, sent.issued, ended)
                || self.came_as_another(sent, |other| usize::from(other.got.contains(&device)))
            {
                continue;
            }
            if self.has_to_follow(facts, gaps, device, channel_id, sent.issued) {
                let detail = format!(
                    "{} did not get {} of {:.3} s in {channel_id}, which was said while it had no connection",
                    known.user_id,
                    trace::message(&sent.message),
                    sent.issued.as_secs_f64()
                );
                return Err(fault(Invariant::NoSilentLoss, detail));
            }
            let mut gaps = gaps.of(device, channel_id, sent.issued).peekable();
            if gaps.peek().is_none() {
                let detail = format!(
                    "{} did not get {} of {:.3} s in {channel_id}, and was not told of a gap",
                    known.user_id,
                    trace::message(&sent.message),
                    sent.issued.as_secs_f64()
                );
                return Err(fault(Invariant::NoSilentLoss, detail));
            }
            if gaps.all(|gap| gap.reason == GapReason::Dropped && gap.lost.is_some()) {
                *missing.entry(channel_id).or_default() += 1;
            }
        }
        for (channel_id, missing) in missing {
            let told: u64 = gaps.of(device, channel_id, Duration::ZERO).filter_map(|gap| gap.lost).sum();
            if missing > told {
                let detail =
                    format!("{} misses {missing} messages of {channel_id}, and was told of {told}", known.user_id);
                return Err(fault(Invariant::NoSilentLoss, detail));
            }
        }
        Ok(())
    }

    /// Whether a channel's message of this time was said while a member with the habits of the vendor's SDK had no
    /// connection, and has to follow when it is back.
    fn has_to_follow(
        &self,
        facts: &Facts,
        gaps: &Gaps,
        device: usize,
        channel_id: &ChannelId,
        issued: Duration,
    ) -> bool {
        let Some(back) = gaps.of(device, channel_id, issued).next() else { return false };
        let is_away = back.follows_from.is_some_and(|from| (from..back.at).contains(&issued));
        // A connection that breaks again at once takes what was written to it.
        let stays = !facts.devices[device].disturbances.iter().any(|at| (back.at..back.at + STAYS).contains(at));
        let said = self.sent.iter().filter(|sent| {
            matches!(&sent.target, Target::Channel { channel_id: id, .. } if id == channel_id)
                && back.follows_from.is_some_and(|from| sent.issued + UNDER_WAY >= from && sent.issued < back.at)
        });
        is_away && stays && said.count() <= facts.settings.away_channel_messages
    }
}

/// Whether an error of this kind says that the message was not taken. Anything else leaves it open.
fn was_refused(kind: ErrorKind) -> bool {
    matches!(
        kind,
        ErrorKind::TooOften
            | ErrorKind::InvalidMessage
            | ErrorKind::IncompatibleMessage
            | ErrorKind::InvalidUserId
            | ErrorKind::InvalidArgument
            | ErrorKind::NotLoggedIn
            | ErrorKind::NotInChannel
            | ErrorKind::Unsupported
    )
}

/// What tells a message from another one, but for those that look alike.
pub(super) fn digest(message: &RtmMessage) -> u64 {
    let mut hasher = DefaultHasher::new();
    match message {
        RtmMessage::Text(text) => (0, text.as_str().as_bytes()).hash(&mut hasher),
        RtmMessage::Binary(bytes) => (1, bytes.as_ref()).hash(&mut hasher),
        RtmMessage::Value(bytes) => (2, bytes.as_ref()).hash(&mut hasher),
        other => (3, format!("{other:?}")).hash(&mut hasher),
    }
    hasher.finish()
}

/// A connection that lasted so long had taken what it was given at its beginning.
const STAYS: Duration = Duration::from_secs(15);

/// Whether what was stored may be too old by a clock that was set since then.
fn may_be_too_old(facts: &Facts, issued: Duration) -> bool {
    facts.settings.offline_for < FAR_JUMP && facts.clock_set_at.is_some_and(|at| at >= issued)
}

/// So far the wall clock jumps at most, and back.
const FAR_JUMP: Duration = Duration::from_secs(2 * 60 * 60);

/// So long a message may be under way to the server.
const UNDER_WAY: Duration = Duration::from_secs(20);
