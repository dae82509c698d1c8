//! Channels: who is a member for certain and when, what each was told of the others, and what there is in the end.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use rtm_codec::{Answer, ChannelId, ClientFrame, Command, ErrorKind, RequestId, ServerFrame, UserId};
use rtm_connection::{GapReason, RtmError, RtmEvent};

use super::{Invariant, Verdict, facts::Facts, fault, requests::Probed};

/// The memberships of all devices.
#[derive(Debug, Default)]
pub(super) struct Channels {
    /// Joins that were sent and are not answered yet, restoring ones included.
    joins: BTreeMap<(usize, RequestId), ChannelId>,
    members: BTreeMap<(usize, ChannelId), Member>,
    /// When a user last had a reason to leave a channel: it called `leave`.
    left: BTreeMap<(UserId, ChannelId), Duration>,
    /// When devices logged out, or were thrown out.
    ends: Vec<(usize, Duration)>,
}

/// A device's relation to a channel.
#[derive(Debug, Default)]
struct Member {
    /// Times for which it certainly was a member.
    certain: Vec<Certain>,
    /// What it knows of the members, once it asked.
    known: Option<BTreeSet<UserId>>,
    /// The last number of members that it was told.
    count: Option<u32>,
    /// Whether it called `join` since it logged in.
    wants: bool,
    /// Whether it called `leave` after that.
    leaves: bool,
}

#[derive(Debug)]
struct Certain {
    from: Duration,
    until: Option<Duration>,
    /// Whether it ended by the user's own call to `leave`.
    left: bool,
}

impl Member {
    fn end(&mut self, now: Duration, left: bool) {
        if let Some(last) = self.certain.last_mut()
            && last.until.is_none()
        {
            *last = Certain { until: Some(now), left, ..*last };
        }
        self.known = None;
        self.count = None;
    }
}

impl Channels {
    pub(super) fn issued(&mut self, now: Duration, device: usize, command: &Command) {
        match command {
            Command::JoinChannel(join) => {
                let member = self.members.entry((device, join.channel_id.clone())).or_default();
                member.wants = true;
                member.leaves = false;
            }
            Command::LeaveChannel(leave) => {
                if let Some(member) = self.members.get_mut(&(device, leave.channel_id.clone())) {
                    member.end(now, true);
                    member.leaves = true;
                }
            }
            _ => {}
        }
    }

    pub(super) fn replied(
        &mut self,
        now: Duration,
        device: usize,
        id: RequestId,
        command: &Command,
        result: &Result<Answer, RtmError>,
    ) {
        if let (Command::LeaveChannel(leave), Err(_)) = (command, result)
            && let Some(member) = self.members.get_mut(&(device, leave.channel_id.clone()))
        {
            member.leaves = false;
        }
        if let (Command::JoinChannel(join), Err(error)) = (command, result)
            && error.kind() != ErrorKind::AlreadyJoined
        {
            // The answer may yet come, and nobody waits for it.
            self.joins.remove(&(device, id));
            if let Some(member) = self.members.get_mut(&(device, join.channel_id.clone())) {
                member.end(now, false);
            }
        }
        if let (Command::GetMembers(get), Ok(Answer::GetMembers(members))) = (command, result)
            && let Some(member) = self.members.get_mut(&(device, get.channel_id.clone()))
            && member.certain.last().is_some_and(|last| last.until.is_none())
        {
            member.known = Some(members.iter().cloned().collect());
        }
    }

    pub(super) fn sent(&mut self, device: usize, frame: &ClientFrame) {
        match frame {
            ClientFrame::Login(_) => self.joins.retain(|(owner, _), _| *owner != device),
            ClientFrame::Request { id, command: Command::JoinChannel(join) } => {
                self.joins.insert((device, *id), join.channel_id.clone());
            }
            // The answer to a join that is followed by a leave makes nobody a member, not even of a later join.
            ClientFrame::Request { command: Command::LeaveChannel(leave), .. } => {
                self.joins.retain(|(owner, _), channel_id| *owner != device || *channel_id != leave.channel_id);
            }
            _ => {}
        }
    }

    pub(super) fn received(&mut self, facts: &Facts, now: Duration, device: usize, frame: &ServerFrame) {
        if let ServerFrame::Reply { id, result } = frame
            && let Some(channel_id) = self.joins.remove(&(device, *id))
            && result.is_ok()
            && let Some(member) = self.members.get_mut(&(device, channel_id))
            && !member.leaves
        {
            // It is in the channel all the while, and only listens to it again.
            let has_stayed = member.certain.last().is_some_and(|last| last.until.is_none());
            if has_stayed && facts.came_back_whole(now, device) {
                return;
            }
            // The gap of a lapse may come after the answer to the join that makes up for it.
            let (known, count) = (member.known.take(), member.count);
            member.end(now, false);
            (member.known, member.count) = (known, count);
            member.certain.push(Certain { from: now, until: None, left: false });
        }
    }

    pub(super) fn session_ended(&mut self, now: Duration, device: usize) {
        self.ends.push((device, now));
        // An answer that comes after a logout makes nobody a member.
        self.joins.retain(|(owner, _), _| *owner != device);
        for ((owner, _), member) in &mut self.members {
            if *owner == device {
                member.end(now, false);
                member.wants = false;
            }
        }
    }

    pub(super) fn told(&mut self, facts: &Facts, now: Duration, device: usize, event: &RtmEvent) -> Verdict {
        let channel_id = match event {
            RtmEvent::Gap { channel_id, reason, .. } => {
                let ends =
                    facts.gap_reason(device, *reason) != GapReason::Dropped && !facts.came_back_whole(now, device);
                for ((owner, name), member) in &mut self.members {
                    if *owner == device && channel_id.as_ref().is_none_or(|channel_id| channel_id == name) {
                        // It may come after the answer to the join that made up for it.
                        let came_back = facts.devices[device].lapsed_at;
                        let is_again = member.certain.last().is_some_and(|last| Some(last.from) >= came_back);
                        if ends && !(channel_id.is_some() && is_again) {
                            member.end(now, false);
                        }
                        member.known = None;
                    }
                }
                return Ok(());
            }
            RtmEvent::RestoreFailed { what: rtm_connection::Restored::Channel(channel_id), .. } => {
                if let Some(member) = self.members.get_mut(&(device, channel_id.clone())) {
                    member.end(now, false);
                }
                return Ok(());
            }
            RtmEvent::ChannelMessage { channel_id, .. }
            | RtmEvent::MemberJoined { channel_id, .. }
            | RtmEvent::MemberLeft { channel_id, .. }
            | RtmEvent::MemberCountUpdated { channel_id, .. } => channel_id,
            _ => return Ok(()),
        };
        let known = &facts.devices[device];
        let Some(member) = self.members.get_mut(&(device, channel_id.clone())).filter(|member| member.wants) else {
            let detail = format!("{event}, and {} never joined it", known.user_id);
            return Err(fault(Invariant::NoInvention, detail));
        };
        match event {
            RtmEvent::MemberJoined { member_id, .. } => {
                if *member_id == known.user_id {
                    return Err(fault(Invariant::NoInvention, "a member was told of its own joining"));
                }
                if let Some(known) = &mut member.known {
                    known.insert(member_id.clone());
                }
            }
            RtmEvent::MemberLeft { member_id, .. } => {
                if let Some(known) = &mut member.known {
                    known.remove(member_id);
                }
                let left = self.left.get(&(member_id.clone(), channel_id.clone())).copied();
                let gone = left.max(facts.offline_at(now, member_id)).max(facts.ousted_at(member_id));
                if gone.is_none_or(|at| at + facts.lag(now, device) < now) {
                    return Err(fault(Invariant::NeedlessAbsence, format!("{event} without a cause")));
                }
            }
            RtmEvent::MemberCountUpdated { member_count, .. } => member.count = Some(*member_count),
            _ => {}
        }
        Ok(())
    }

    /// A user's device called `leave`, or gave up a join.
    pub(super) fn leaves(&mut self, facts: &Facts, now: Duration, device: usize, frame: &ClientFrame) {
        if let ClientFrame::Request { command: Command::LeaveChannel(leave), .. } = frame {
            self.left.insert((facts.devices[device].user_id.clone(), leave.channel_id.clone()), now);
        }
    }

    /// Whether a device certainly was a member from before `issued` until after `ended`, and did not soon leave for
    /// good, which takes what is still under way with it.
    pub(super) fn was_member(&self, device: usize, channel_id: &ChannelId, issued: Duration, ended: Duration) -> bool {
        let soon = issued..ended + SOON;
        !self.ends.iter().any(|(owner, at)| *owner == device && soon.contains(at))
            && self.members.get(&(device, channel_id.clone())).is_some_and(|member| {
                member
                    .certain
                    .iter()
                    .any(|stay| stay.from <= issued && stay.until.is_none_or(|until| stay.left && until > ended + SOON))
            })
    }

    pub(super) fn finish(&self, facts: &Facts, here: &[(usize, Vec<ChannelId>)], probed: &[Probed]) -> Verdict {
        let mut truth: BTreeMap<&ChannelId, BTreeSet<&UserId>> = BTreeMap::new();
        for (device, channels) in here {
            for channel_id in channels {
                truth.entry(channel_id).or_default().insert(&facts.devices[*device].user_id);
            }
        }
        for Probed { device, command, answer } in probed {
            let known = &facts.devices[*device];
            match (command, answer) {
                (Command::GetMembers(get), Some(Answer::GetMembers(members))) => {
                    let members: BTreeSet<_> = members.iter().collect();
                    let expected = truth.get(&get.channel_id).cloned().unwrap_or_default();
                    if members != expected {
                        let detail = format!("{} has the members {members:?}, not {expected:?}", get.channel_id);
                        return Err(fault(Invariant::MembershipConverges, detail));
                    }
                }
                (Command::GetChannelMemberCount(get), Some(Answer::GetChannelMemberCount(counts))) => {
                    for channel_id in &get.channel_ids {
                        let count = counts.get(channel_id).copied().unwrap_or(0) as usize;
                        let expected = truth.get(channel_id).map_or(0, BTreeSet::len);
                        if count != expected {
                            let detail = format!("{channel_id} counts {count} members, not {expected}");
                            return Err(fault(Invariant::MembershipConverges, detail));
                        }
                    }
                }
                (Command::GetMembers(_) | Command::GetChannelMemberCount(_), _) => {
                    let detail = format!("{} cannot ask for members when all is quiet: {answer:?}", known.user_id);
                    return Err(fault(Invariant::MembershipConverges, detail));
                }
                _ => {}
            }
        }
        for (device, channels) in here {
            for channel_id in channels {
                self.finish_member(facts, *device, channel_id, &truth)?;
            }
        }
        Ok(())
    }

    fn finish_member(
        &self,
        facts: &Facts,
        device: usize,
        channel_id: &ChannelId,
        truth: &BTreeMap<&ChannelId, BTreeSet<&UserId>>,
    ) -> Verdict {
        let known = &facts.devices[device];
        let Some(member) = self.members.get(&(device, channel_id.clone())) else { return Ok(()) };
        let Some(members) = truth.get(channel_id) else { return Ok(()) };
        if member.certain.last().is_some_and(|last| last.left) {
            // It could not leave, so it still is one, and nothing is certain.
            return Ok(());
        }
        if member.certain.last().is_none_or(|last| last.until.is_some()) {
            let detail = format!("{} believes to be in {channel_id}, and never was let in", known.user_id);
            return Err(fault(Invariant::MembershipConverges, detail));
        }
        if member.count != u32::try_from(members.len()).ok() {
            let detail = format!(
                "{} was told that {channel_id} has {:?} members, not {}",
                known.user_id,
                member.count,
                members.len()
            );
            return Err(fault(Invariant::MembershipConverges, detail));
        }
        if let Some(seen) = &member.known {
            let seen: BTreeSet<_> = seen.iter().collect();
            if seen != *members {
                let detail = format!("{} knows the members {seen:?} of {channel_id}, not {members:?}", known.user_id);
                return Err(fault(Invariant::MembershipConverges, detail));
            }
        }
        Ok(())
    }
}

/// So long something may be under way to a device that is not well.
const SOON: Duration = Duration::from_secs(120);
