//! What a node that is put out of the cluster leaves open in the log of events: the first of the others ends it, once.

use std::time::{Duration, Instant};

use super::{
    Core, LogEntry, LoggedEvent, Now, Place, StoreAnswer, StoreFailed, event_reads::read, event_replay::OpenEvents,
    jobs::Waiting, timer::Due,
};

/// The duty of the first member towards those that are gone.
#[derive(Debug, Default)]
pub(super) struct EventDuty {
    /// When the log is to be looked through.
    due: Option<Instant>,
    /// How far that is.
    reading: Option<(Place, OpenEvents)>,
}

impl Core {
    /// Nodes are gone, or this one is new. Users of a node that is gone have as long to come back as any that is silent: they
    /// were not offline then.
    pub(super) fn plan_event_duty(&mut self, now: Now) {
        if self.event_log.is_on() {
            let due = now.instant + self.config.settings.offline_after;
            self.event_log.duty.due = Some(due);
            self.hub.timers.push(due, Due::Events);
        }
    }

    /// Looks through the log, if that is due and this node's to do.
    pub(super) fn look_at_event_duty(&mut self, now: Now) {
        let Some(edge) = &self.edge else { return };
        let is_first = edge.view.members().iter().map(|member| &member.id).min() == Some(&edge.node);
        let duty = &mut self.event_log.duty;
        match duty.due {
            Some(due) if due <= now.instant && duty.reading.is_none() => duty.due = None,
            _ => return,
        }
        if is_first {
            duty.reading = Some((Place(0), OpenEvents::default()));
            self.read_for_duty();
        }
    }

    fn read_for_duty(&mut self) {
        let Some((after, _)) = &self.event_log.duty.reading else { return };
        self.jobs.ask_aside(read(Some(after.0), PAGE), Waiting::EventsForDuty);
    }

    /// A page of the log.
    pub(super) fn duty_read(&mut self, now: Now, result: Result<StoreAnswer, StoreFailed>) {
        let Some((after, replay)) = &mut self.event_log.duty.reading else { return };
        let Ok(StoreAnswer::Entries { entries, more, .. }) = result else {
            // It begins anew in a moment.
            self.event_log.duty = EventDuty { due: Some(now.instant + PAUSE), reading: None };
            return self.hub.timers.push(now.instant + PAUSE, Due::Events);
        };
        for (place, entry) in entries {
            *after = place;
            if let LogEntry::Event(LoggedEvent { event, .. }) = entry {
                replay.see(event);
            }
        }
        if more {
            return self.read_for_duty();
        }
        let (Some((_, replay)), Some(edge)) = (self.event_log.duty.reading.take(), &self.edge) else { return };
        let members: Vec<String> = edge.view.members().iter().map(|member| member.id.to_string()).collect();
        let is_over = |server: &str| !server.is_empty() && members.iter().all(|member| member != server);
        let ends = replay.ends(is_over, "node_lost");
        self.log_ends(now, ends);
        self.write_events(now);
        self.look_at_event_duty(now);
    }
}

/// How long a store that failed is left alone.
pub(super) const PAUSE: Duration = Duration::from_secs(1);
/// How many events are read at once.
const PAGE: usize = 2048;
