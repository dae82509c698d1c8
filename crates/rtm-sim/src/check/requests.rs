//! Requests end once, in time, and with an answer of their kind.

use std::{collections::BTreeMap, time::Duration};

use rtm_codec::{Answer, Command, ErrorKind, RequestId};
use rtm_connection::RtmError;

use super::{Fault, Invariant, Verdict, facts::Facts, fault};
use crate::trace;

/// The requests under way, and what the world itself asked.
#[derive(Debug, Default)]
pub(super) struct Requests {
    open: BTreeMap<(usize, RequestId), Open>,
    probed: Vec<Probed>,
}

#[derive(Debug)]
struct Open {
    at: Duration,
    command: Command,
    is_probe: bool,
}

/// What the world asked and was answered.
#[derive(Debug)]
pub(super) struct Probed {
    pub(super) device: usize,
    pub(super) command: Command,
    pub(super) answer: Option<Answer>,
}

impl Requests {
    pub(super) fn issued(&mut self, at: Duration, device: usize, id: RequestId, command: Command) {
        self.open.insert((device, id), Open { at, command, is_probe: false });
    }

    pub(super) fn probe(&mut self, at: Duration, device: usize, id: RequestId, command: Command) {
        self.open.insert((device, id), Open { at, command, is_probe: true });
    }

    /// Gives the request that ended, and whether the world made it.
    pub(super) fn replied(
        &mut self,
        facts: &Facts,
        now: Duration,
        device: usize,
        id: RequestId,
        result: &Result<Answer, RtmError>,
    ) -> Result<(Command, bool), Fault> {
        let Some(Open { at, command, is_probe }) = self.open.remove(&(device, id)) else {
            return Err(fault(Invariant::RequestsEndOnce, format!("#{id} ended, and was not under way")));
        };
        if let Ok(answer) = result
            && !command.is_answered_by(answer)
        {
            let detail = format!("#{id} {} was answered with {answer:?}", trace::command(&command));
            return Err(fault(Invariant::Protocol, detail));
        }
        if now > at + within(&command) + SLACK && facts.devices[device].frozen_until < at {
            return Err(late(now, at, id, &command));
        }
        if let Err(error) = result
            && matches!(error.kind(), ErrorKind::Timeout | ErrorKind::OutcomeUnknown)
            && facts.was_well(device, at)
            // What becomes of a message depends on its receiver, too.
            && !matches!(command, Command::SendMessageToPeer(_))
            && !(matches!(command, Command::QueryHistory(_)) && facts.devices[device].unanswered_at >= Some(at))
        {
            let detail = format!("#{id} {} ended with {error}, without a cause", trace::command(&command));
            return Err(fault(Invariant::NeedlessFailure, detail));
        }
        if is_probe {
            self.probed.push(Probed { device, command: command.clone(), answer: result.as_ref().ok().cloned() });
        }
        Ok((command, is_probe))
    }

    pub(super) fn probed(&self) -> &[Probed] {
        &self.probed
    }

    pub(super) fn forget_probes(&mut self) {
        self.probed.clear();
    }

    pub(super) fn finish(&self, facts: &Facts, now: Duration) -> Verdict {
        let late_one = self.open.iter().find(|((device, _), open)| {
            now > open.at + within(&open.command) + SLACK && now > facts.devices[*device].frozen_until + SLACK
        });
        match late_one {
            Some(((_, id), open)) => {
                let detail =
                    format!("#{id} {} of {:.3} s has not ended", trace::command(&open.command), open.at.as_secs_f64());
                Err(fault(Invariant::RequestsEndOnce, detail))
            }
            None => Ok(()),
        }
    }
}

fn late(now: Duration, at: Duration, id: RequestId, command: &Command) -> Fault {
    let took = (now - at).as_secs_f64();
    fault(Invariant::RequestsEndInTime, format!("#{id} {} took {took:.3} s", trace::command(command)))
}

fn within(command: &Command) -> Duration {
    Duration::from_secs(match command {
        Command::SendMessageToPeer(_)
        | Command::SendChannelMessage(_)
        | Command::SendInvitation(_)
        | Command::CancelInvitation(_)
        | Command::RefuseInvitation(_)
        | Command::QueryPeersOnlineStatus(_)
        | Command::SubscribePeersOnlineStatus(_)
        | Command::UnsubscribePeersOnlineStatus(_) => 10,
        _ => 5,
    })
}

/// For timers that are late.
const SLACK: Duration = Duration::from_millis(50);
