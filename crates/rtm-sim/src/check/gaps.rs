//! Gaps in the streams: told only where something may have been lost.

use std::time::Duration;

use rtm_codec::{ChannelId, CloseReason, Wire};
use rtm_connection::{GapReason, RtmEvent};

use super::{Invariant, Verdict, facts::Facts, fault};

/// The gaps that devices were told of.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<Gap>);

/// A gap in a stream.
#[derive(Debug)]
pub(super) struct Gap {
    pub(super) device: usize,
    pub(super) at: Duration,
    pub(super) channel_id: Option<ChannelId>,
    pub(super) lost: Option<u64>,
    pub(super) reason: GapReason,
    /// From when on the receiver had no connection and lost nothing of what was sent, as the vendor's SDK has it.
    pub(super) follows_from: Option<Duration>,
}

impl Gaps {
    pub(super) fn told(&mut self, facts: &Facts, now: Duration, device: usize, event: &RtmEvent) -> Verdict {
        let RtmEvent::Gap { channel_id, lost, reason, .. } = event else { return Ok(()) };
        let (channel_id, lost, reason) = (channel_id.clone(), *lost, facts.gap_reason(device, *reason));
        let known = &facts.devices[device];
        let follows_from =
            known.link_lost_at.filter(|at| *at >= known.before.from && facts.came_back_whole(now, device));
        self.0.push(Gap { device, at: now, channel_id, lost, reason, follows_from });
        let before = &known.before;
        let absence = before.absence.as_secs_f64();
        let is_due = match reason {
            _ if known.wire == Wire::Vendor => true,
            GapReason::NewSession => {
                // That may have happened before the answer to the last login was there.
                let since = before.from.saturating_sub(UNDER_WAY);
                // In a cluster it may end while another node asks its own for it.
                let asked =
                    known.login_at.filter(|_| facts.is_cluster).map_or(Duration::ZERO, |at| now.saturating_sub(at));
                before.absence + asked >= facts.settings.resume_within
                    || known.lost_at.is_some_and(|at| at >= since)
                    // Too much came over a link that was broken already, and the client did not hear why it was closed.
                    || before.closed == Some(CloseReason::SlowConsumer)
            }
            GapReason::SlowConsumer => before.closed == Some(CloseReason::SlowConsumer),
            GapReason::LeftChannel => known.longest_absence >= facts.settings.offline_after,
            GapReason::Dropped => known.disturbed_at.is_some(),
            GapReason::Missing => false,
            _ => false,
        };
        if is_due {
            return Ok(());
        }
        let detail = format!("{event} ({reason:?}) after {absence:.3} s of absence");
        Err(fault(Invariant::NeedlessGap, detail))
    }

    /// The gaps of a device that are of a channel or of everything, not before `since`.
    pub(super) fn of<'a>(
        &'a self,
        device: usize,
        channel_id: &'a ChannelId,
        since: Duration,
    ) -> impl Iterator<Item = &'a Gap> {
        self.0.iter().filter(move |gap| {
            gap.device == device && gap.at >= since && gap.channel_id.as_ref().is_none_or(|named| named == channel_id)
        })
    }
}

/// So long a frame may be under way.
const UNDER_WAY: Duration = Duration::from_secs(20);

#[cfg(test)]
mod tests {
    use rtm_codec::UserId;
    use rtm_core::Settings;

    use super::*;
    use crate::figures::DeviceConfig;

    const AT: Duration = Duration::from_secs(60);

    /// What is wrong where a device begins a new session.
    fn broken(facts: &Facts) -> Option<Invariant> {
        let gap = RtmEvent::gap(None, None, GapReason::NewSession);
        Gaps::default().told(facts, AT, 0, &gap).err().map(|fault| fault.invariant)
    }

    fn facts() -> Facts {
        let mut facts = Facts::new(&Settings::default(), true);
        facts.add(UserId::new("alice").unwrap(), &DeviceConfig::new(Wire::Native));
        facts
    }

    #[test]
    fn a_session_ends_where_the_server_closed_its_link_for_what_waited() {
        for (closed, is_due) in
            [(None, false), (Some(CloseReason::Draining), false), (Some(CloseReason::SlowConsumer), true)]
        {
            let mut facts = facts();
            facts.devices[0].before.closed = closed;
            assert_eq!(broken(&facts).is_none(), is_due, "{closed:?}");
        }
    }

    #[test]
    fn a_session_ends_with_its_server_also_where_that_does_not_know_for_long_that_it_is_put_out() {
        for is_outside in [false, true] {
            let mut facts = facts();
            facts.node_gone(Duration::from_secs(10), &[0]);
            facts.devices[0].before.from = AT - Duration::from_secs(20);
            if is_outside {
                facts.server_is_outside(&[0]);
            }
            facts.welcomed(AT, 0);
            assert_eq!(broken(&facts), Some(Invariant::NeedlessGap).filter(|_| !is_outside));
        }
    }
}
