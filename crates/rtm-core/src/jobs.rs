//! The jobs that the store was given, and what goes on when each is done.

use std::collections::BTreeMap;

use rtm_codec::{Answer, ErrorKind, HistoryPage, Refusal, Revision, SendOutcome, SharedEvent, UserId};

use super::{
    Conversation, Core, EventType, HttpId, JobId, LogEntry, LogKey, LoggedEvent, Now, Place, ProjectEvent, StateValue,
    StoreAnswer, StoreDone, StoreFailed, StoreJob, StoreWork, StoredMessage,
    arena::SessionKey,
    attributes::{Kept, Written},
    event_promises::Promised,
    event_reads::EventQuery,
    kept_subscriptions::{KeptChange, Subscriber},
    message_ids::Sent,
    notes::Asker,
    rereading::Storing,
    rest_events::{RestRead, RestReading},
    restrictions::WrittenRestriction,
    store::EventCursor,
};

/// What a job was given for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// An answer that promises that something is kept, and what it says when it is not.
    Promise {
        asker: Asker,
        broken: &'static str,
    },
    /// The same of a message to a channel, which may be repeated meanwhile.
    ChannelMessage {
        asker: Asker,
        sent: Sent,
    },
    /// A sender that is told that its message is stored. `receiver` is the session that may still receive it.
    Offline {
        to: UserId,
        asker: Asker,
        event: SharedEvent,
        receiver: Option<SessionKey>,
        is_received: bool,
    },
    /// A session that wants its stored messages.
    Load(SessionKey),
    /// A session whose device has stored messages, which go therefore.
    Removal {
        session: SessionKey,
        places: Vec<Place>,
    },
    /// A write to a channel's attributes, which nobody sees before.
    Attributes(Box<Written>),
    /// A change of subscriptions, which does not hold before.
    Subscriptions(Box<KeptChange>),
    /// Subscriptions that nobody comes back to.
    SubscriptionsOver(Box<Subscriber>),
    /// The revision that no forgotten channel has passed.
    ForgottenRevision(Revision),
    /// A session that wants a page of history.
    History(Asker),
    /// An HTTP request for either.
    Http(HttpId),
    /// A back end that searches histories.
    Search(Asker),
    /// A change of what is refused to users, which is in force when it is kept.
    Restriction(Box<WrittenRestriction>),
    /// A call of an operator.
    Admin(HttpId),
    /// Events, which are in the log then.
    EventsWritten(EventCount),
    /// A core that reads what an earlier run left in the log of events.
    EventsToRecover,
    /// A node that looks for what nodes that are gone left there.
    EventsForDuty,
    /// A reader of events.
    Events {
        id: HttpId,
        query: EventQuery,
    },
    /// A reader of events whose cursor moves there.
    EventCursor {
        id: HttpId,
        name: String,
        cursor: EventCursor,
    },
    /// What a reader of events has of those behind its cursor: it is read for this reader, or written.
    AcceptedEvents {
        id: HttpId,
        reader: Option<String>,
    },
    /// A back end that reads events in the vendor's way, and whose cursor has to move before it is answered.
    RestEvents(Box<RestReading>),
    RestEventsTaken(Box<RestRead>),
    /// A core that has to know how much is kept.
    Measuring,
}

impl Waiting {
    /// Whether clients are not to be refused anything for want of room for it.
    fn is_aside(&self) -> bool {
        matches!(
            self,
            Self::EventsWritten(_)
                | Self::EventsToRecover
                | Self::EventsForDuty
                | Self::Events { .. }
                | Self::EventCursor { .. }
                | Self::AcceptedEvents { .. }
                | Self::RestEvents(_)
                | Self::RestEventsTaken(_)
                | Self::Measuring
        )
    }
}

/// The jobs of a project.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    next: u64,
    /// How many are not done.
    open: usize,
    out: Vec<StoreJob>,
    /// Events that go to the store with `out`, together.
    events: Vec<LoggedEvent>,
    /// Somebody waits for one of them.
    are_events_awaited: bool,
    waiting: BTreeMap<JobId, Waiting>,
}

/// What is in a part of the log.
#[derive(Debug)]
pub(super) struct EventCount {
    /// Of each entry.
    pub(super) types: Box<[EventType]>,
    /// Which of them are gaps, and for how many events each stands.
    gaps: Vec<(usize, u64)>,
}

/// What is not in the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct EventsLost {
    pub(super) events: u64,
    /// The same with those for which lost gaps stood.
    pub(super) in_all: u64,
}

impl EventCount {
    fn of(events: &[LoggedEvent]) -> Self {
        let gap = |(at, event): (usize, &LoggedEvent)| match event.event {
            ProjectEvent::LogGap { lost } => Some((at, lost)),
            _ => None,
        };
        let types = events.iter().map(|event| event.event.event_type()).collect();
        Self { types, gaps: events.iter().enumerate().filter_map(gap).collect() }
    }

    /// What is lost if these entries are missing; `None` for all of them.
    pub(super) fn lost(&self, missing: Option<&[usize]>) -> EventsLost {
        let gaps = self.gaps.iter().filter(|(at, _)| missing.is_none_or(|missing| missing.contains(at)));
        let events = (missing.map_or(self.types.len(), <[usize]>::len) - gaps.clone().count()) as u64;
        EventsLost { events, in_all: events + gaps.map(|(_, lost)| lost).sum::<u64>() }
    }
}

impl Jobs {
    /// Gives the store something to do that nobody waits for.
    pub(super) fn tell(&mut self, work: StoreWork) -> JobId {
        let id = JobId(self.next);
        self.next += 1;
        self.open += 1;
        self.out.push(StoreJob { id, work });
        id
    }

    /// Gives the store something to do that somebody waits for.
    pub(super) fn ask(&mut self, work: StoreWork, waiting: Waiting) -> JobId {
        let id = self.tell(work);
        self.waiting.insert(id, waiting);
        id
    }

    /// Gives the store something to do beside what clients ask for.
    pub(super) fn ask_aside(&mut self, work: StoreWork, waiting: Waiting) -> JobId {
        debug_assert!(waiting.is_aside(), "it is not counted when it is done");
        let id = self.ask(work, waiting);
        self.open -= 1;
        id
    }

    /// Has the store append an event to the log, together with others.
    pub(super) fn append_event(&mut self, event: LoggedEvent) {
        if self.events.len() >= EVENTS_TOGETHER {
            self.append_events();
        }
        self.events.push(event);
    }

    /// Somebody waits for the events that were appended.
    pub(super) fn await_events(&mut self) {
        self.are_events_awaited = true;
    }

    fn append_events(&mut self) {
        if !self.events.is_empty() {
            // The next ones are probably about as many.
            let next = Vec::with_capacity(self.events.len());
            let events = std::mem::replace(&mut self.events, next);
            let count = EventCount::of(&events);
            let is_awaited = std::mem::take(&mut self.are_events_awaited);
            self.ask_aside(StoreWork::AppendEvents { events, is_awaited }, Waiting::EventsWritten(count));
        }
    }

    /// The device received the message that a job is storing.
    pub(super) fn receive(&mut self, job: JobId) {
        if let Some(Waiting::Offline { is_received, .. }) = self.waiting.get_mut(&job) {
            *is_received = true;
        }
    }

    /// Refuses to promise more while the store has too much to do.
    pub(super) fn check_room(&self) -> Result<(), Refusal> {
        match self.open {
            OPEN_JOBS.. => Err(Refusal::new(ErrorKind::Failure, "the server's store is behind: try again later")),
            _ => Ok(()),
        }
    }

    /// Whether a job is under way that a session asked for, or that is for it.
    pub(super) fn concern(&self, key: SessionKey) -> bool {
        self.waiting.values().any(|waiting| match waiting {
            Waiting::Promise { asker, .. } | Waiting::ChannelMessage { asker, .. } | Waiting::History(asker) => {
                asker.session == key
            }
            Waiting::Offline { asker, receiver, .. } => asker.session == key || *receiver == Some(key),
            Waiting::Load(session) | Waiting::Removal { session, .. } => *session == key,
            Waiting::Attributes(written) => written.asker.session == key,
            // Whose subscriptions they are is known to those who keep them.
            Waiting::Subscriptions(_) | Waiting::SubscriptionsOver(_) => false,
            Waiting::ForgottenRevision(_) | Waiting::Http(_) | Waiting::Search(_) => false,
            Waiting::Restriction(_) | Waiting::Admin(_) => false,
            Waiting::EventsWritten(_)
            | Waiting::EventsToRecover
            | Waiting::EventsForDuty
            | Waiting::Events { .. }
            | Waiting::EventCursor { .. }
            | Waiting::AcceptedEvents { .. }
            | Waiting::RestEvents(_)
            | Waiting::RestEventsTaken(_)
            | Waiting::Measuring => false,
        })
    }

    pub(super) fn take(&mut self, jobs: &mut Vec<StoreJob>) {
        self.append_events();
        jobs.append(&mut self.out);
    }

    /// How many are not done.
    pub(super) fn open(&self) -> usize {
        self.open
    }

    /// Nobody waits for any job, and those that the store does not have yet are not done.
    pub(super) fn forget(&mut self) {
        let is_counted = |job: &&StoreJob| !self.waiting.get(&job.id).is_some_and(Waiting::is_aside);
        self.open = self.open.saturating_sub(self.out.iter().filter(is_counted).count());
        self.out.clear();
        self.events.clear();
        self.waiting.clear();
    }

    fn done(&mut self, job: JobId) -> Option<Waiting> {
        let waiting = self.waiting.remove(&job);
        if !waiting.as_ref().is_some_and(Waiting::is_aside) {
            self.open = self.open.saturating_sub(1);
        }
        waiting
    }
}

impl Core {
    pub(super) fn stored(&mut self, now: Now, done: StoreDone) {
        let waiting = self.jobs.done(done.id);
        if done.result.is_err() {
            self.hub.stats.store_failures += 1;
        }
        let Some(waiting) = waiting else { return };
        match waiting {
            Waiting::Promise { asker, broken } => self.hub.kept(asker, kept(&done.result, broken)),
            Waiting::ChannelMessage { asker, sent } => {
                let kept = kept(&done.result, HISTORY_FAILED);
                let answer = || kept.clone().map(Answer::SendChannelMessage);
                // The members have it in any case: a later repeat must not reach them again.
                self.finish_repeated(asker, sent, Some(SendOutcome::Delivered), answer);
                self.hub.kept(asker, kept);
            }
            Waiting::Offline { to, asker, event, receiver, is_received } => {
                let mut logged = None;
                let outcome = match done.result {
                    Ok(StoreAnswer::Appended { place, dropped }) => {
                        self.hub.stats.offline_dropped += dropped as u64;
                        let is_logged = self.log_stored(now, &to, &event, dropped as u64, is_received);
                        logged = self.await_logged(is_logged);
                        if !self.message_stored(done.id, place, to.clone(), receiver, is_received) {
                            return self.find_reader(&to, Storing { asker, event, logged });
                        }
                        Ok(if is_received { SendOutcome::Delivered } else { SendOutcome::Stored })
                    }
                    _ if is_received => Ok(SendOutcome::Delivered),
                    _ => {
                        self.message_not_stored(done.id, receiver);
                        // The store of a cluster is elsewhere: it may have it all the same.
                        let what = if self.edge.is_some() { MAY_BE_STORED } else { NOT_STORED };
                        Err(Refusal::new(ErrorKind::Failure, what))
                    }
                };
                self.end_storing(now, &to, 1);
                match outcome {
                    Ok(SendOutcome::Stored) => {
                        self.answer_when_logged(logged, Promised::Stored { asker, event });
                    }
                    outcome => self.settle_message(asker, &event, outcome),
                }
            }
            Waiting::Load(session) => {
                let read = done.result.ok().and_then(StoreAnswer::into_messages);
                self.offline_loaded(now, session, read.map_or_else(Vec::new, |(messages, _)| messages));
            }
            Waiting::Removal { session, places } => {
                if done.result.is_err() {
                    self.removal_failed(session, places);
                }
            }
            Waiting::Attributes(written) => {
                let kept = match done.result {
                    Ok(StoreAnswer::Conflict { kept }) => Kept::Conflict(match kept {
                        Some(StateValue::ChannelAttributes(kept)) => Some(kept),
                        _ => None,
                    }),
                    Ok(_) => Kept::Done,
                    Err(_) => Kept::Failed,
                };
                self.attributes_written(now, *written, kept);
            }
            Waiting::Subscriptions(written) => self.subscriptions_written(now, *written, done.result.is_ok()),
            Waiting::SubscriptionsOver(whose) => self.subscriptions_forgotten(&whose, done.result.is_ok()),
            Waiting::ForgottenRevision(revision) => {
                let kept = match done.result {
                    Ok(StoreAnswer::Conflict { kept }) => Some(kept.map_or(Revision(0), |kept| kept.revision())),
                    result => result.ok().map(|_| revision),
                };
                self.forgotten_revision_kept(kept);
            }
            Waiting::History(asker) => self.hub.finish(asker, history_page(done.result).map(Answer::QueryHistory)),
            Waiting::Http(id) => self.http_read(now, id, done.result),
            Waiting::Search(asker) => self.searched(asker, done.result.ok()),
            Waiting::Restriction(written) => self.restriction_written(now, *written, done.result),
            Waiting::Admin(id) => self.admin_stored(id, done.result),
            Waiting::EventsWritten(count) => self.events_written(now, &count, done.result),
            Waiting::EventsToRecover => self.recover_events(now, done.result),
            Waiting::EventsForDuty => self.duty_read(now, done.result),
            Waiting::Events { id, query } => self.events_read(now, id, query, done.result),
            Waiting::EventCursor { id, name, cursor } => self.event_cursor_moved(id, name, cursor, &done.result),
            Waiting::AcceptedEvents { id, reader } => self.accepted_events_done(id, reader, done.result),
            Waiting::RestEvents(reading) => self.rest_events_read(*reading, done.result),
            Waiting::RestEventsTaken(read) => self.rest_events_taken(*read, &done.result),
            Waiting::Measuring => self.stored_bytes_measured(now, &done.result),
        }
    }

    /// Keeps a message for history. The answer to its sender waits for it.
    pub(super) fn keep_history(
        &mut self,
        asker: Asker,
        conversation: Conversation,
        message: StoredMessage,
        waiting: Waiting,
    ) {
        let log = LogKey::History(conversation);
        self.count_stored_bytes(message.message.len());
        self.clock.keeps(message.server_received_ts);
        self.jobs.ask(StoreWork::Append { log, entry: LogEntry::Message(message), keep: None }, waiting);
        self.hub.promise(asker);
    }
}

/// What the store read of a history, as its reader gets it.
pub(super) fn history_page(read: Result<StoreAnswer, StoreFailed>) -> Result<HistoryPage, Refusal> {
    let (messages, more) = read
        .ok()
        .and_then(StoreAnswer::into_messages)
        .ok_or_else(|| Refusal::new(ErrorKind::Failure, "the server could not read the history"))?;
    let next = messages.last().filter(|_| more).map(|(place, _)| (*place).into());
    Ok(HistoryPage::new(messages.into_iter().map(|(_, message)| message).collect(), next))
}

/// What becomes of a promise that something is kept.
fn kept(result: &Result<StoreAnswer, StoreFailed>, broken: &str) -> Result<(), Refusal> {
    match result {
        Ok(StoreAnswer::Done | StoreAnswer::Appended { .. }) => Ok(()),
        _ => Err(Refusal::new(ErrorKind::Failure, broken)),
    }
}

/// What a sender is told whose message went its way without its place in the history.
pub(super) const HISTORY_FAILED: &str = "the message was sent, but the server could not keep it in the history";
const NOT_STORED: &str = "the server could not store the message";
const MAY_BE_STORED: &str = "the server does not know whether it has stored the message";
const OPEN_JOBS: usize = 16 * 1024;
/// So many events are appended together, so that what waits behind them waits briefly.
const EVENTS_TOGETHER: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::project_event::Reason;

    #[test]
    fn lost_gaps_stand_for_what_was_lost_before() {
        let event = |event| LoggedEvent { time: 1, event };
        let started = || event(ProjectEvent::ServerStarted { server: Reason::Owned("one".into()) });
        let count = EventCount::of(&[started(), event(ProjectEvent::LogGap { lost: 5 }), started()]);
        let lost = |missing: &[usize]| count.lost(Some(missing));
        assert_eq!(lost(&[]), EventsLost { events: 0, in_all: 0 });
        assert_eq!(lost(&[2]), EventsLost { events: 1, in_all: 1 });
        assert_eq!(lost(&[1, 2]), EventsLost { events: 1, in_all: 6 });
        assert_eq!(count.lost(None), EventsLost { events: 2, in_all: 7 });
    }
}
