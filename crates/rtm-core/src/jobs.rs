//! The jobs that the store was given, and what goes on when each is done.

use std::collections::BTreeMap;

use rtm_codec::{Answer, ErrorKind, HistoryMessage, Refusal, SendOutcome, SharedEvent, UserId};

use super::{
    Conversation, Core, HttpId, JobId, Now, StoreAnswer, StoreDone, StoreJob, StoreWork, arena::SessionKey,
    message_ids::Sent, notes::Asker,
};

/// What a job was given for.
#[derive(Debug)]
pub(super) enum Waiting {
    /// An answer that promises that something is kept.
    Promise(Asker),
    /// The same of a message to a channel, which may be repeated meanwhile.
    ChannelMessage { asker: Asker, sent: Sent },
    /// A sender that is told that its message is stored. `receiver` is the session that may still receive it.
    Offline { of: UserId, asker: Asker, event: SharedEvent, receiver: Option<SessionKey>, is_received: bool },
    /// A session that wants its stored messages.
    Load(SessionKey),
    /// A session that wants a page of history.
    History(Asker),
    /// An HTTP request for either.
    Http(HttpId),
}

/// The jobs of a project.
#[derive(Debug, Default)]
pub(super) struct Jobs {
    next: u64,
    /// How many are not done.
    open: usize,
    out: Vec<StoreJob>,
    waiting: BTreeMap<JobId, Waiting>,
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

    pub(super) fn take(&mut self, jobs: &mut Vec<StoreJob>) {
        jobs.append(&mut self.out);
    }

    fn done(&mut self, job: JobId) -> Option<Waiting> {
        self.open = self.open.saturating_sub(1);
        self.waiting.remove(&job)
    }
}

impl Core {
    pub(super) fn stored(&mut self, now: Now, done: StoreDone) {
        let waiting = self.jobs.done(done.id);
        if done.result.is_err() {
            self.hub.stats.store_failures += 1;
        }
        let Some(waiting) = waiting else { return };
        let failed = || Refusal::new(ErrorKind::Failure, "the server could not store it");
        match waiting {
            Waiting::Promise(asker) => self.hub.kept(asker, done.result.map(|_| ()).map_err(|_| failed())),
            Waiting::ChannelMessage { asker, sent } => {
                let kept = done.result.map(|_| SendOutcome::Delivered).map_err(|_| failed());
                self.finish_repeated(asker, sent, kept.clone(), |_| Answer::SendChannelMessage(()));
                self.hub.kept(asker, kept.map(|_| ()));
            }
            Waiting::Offline { of, asker, event, receiver, is_received } => {
                let outcome = match done.result {
                    Ok(StoreAnswer::Appended { id, dropped }) => {
                        self.hub.stats.offline_dropped += dropped as u64;
                        self.message_stored(done.id, id, of, receiver, is_received);
                        Ok(if is_received { SendOutcome::Delivered } else { SendOutcome::Stored })
                    }
                    _ if is_received => Ok(SendOutcome::Delivered),
                    _ => Err(failed()),
                };
                self.settle_message(asker, &event, outcome);
            }
            Waiting::Load(session) => match done.result {
                Ok(StoreAnswer::Offline { messages, .. }) => self.offline_loaded(now, session, messages),
                _ => self.offline_loaded(now, session, Vec::new()),
            },
            Waiting::History(asker) => {
                let result = match done.result {
                    Ok(StoreAnswer::History(page)) => Ok(Answer::QueryHistory(page)),
                    _ => Err(Refusal::new(ErrorKind::Failure, "the server could not read the history")),
                };
                self.hub.finish(asker, result);
            }
            Waiting::Http(id) => self.http_read(id, done.result),
        }
    }

    /// Keeps a message for history. The answer to its sender waits for it.
    pub(super) fn keep_history(
        &mut self,
        asker: Asker,
        conversation: Conversation,
        message: HistoryMessage,
        waiting: Waiting,
    ) {
        self.jobs.ask(StoreWork::AppendHistory { of: conversation, message }, waiting);
        if let Some(session) = self.hub.sessions.get_mut(asker.session) {
            session.requests.promise(asker.request);
        }
    }
}

const OPEN_JOBS: usize = 16 * 1024;
