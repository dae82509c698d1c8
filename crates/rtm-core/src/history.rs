//! Queries of kept messages.

use rtm_codec::{Answer, ErrorKind, HistoryOf, QueryHistory, Refusal, UserId, limits};

use super::{Conversation, Core, LogKey, Now, StoreWork, arena::SessionKey, jobs::Waiting, notes::Asker};

impl Core {
    pub(super) fn query_history_of(
        &mut self,
        now: Now,
        asker: Asker,
        query: &QueryHistory,
    ) -> Option<Result<Answer, Refusal>> {
        let user_id = self.user_id_of(asker.session)?;
        let work = self
            .check_conversation(asker.session, &query.conversation)
            .and_then(|()| self.history_work(now, user_id, query));
        match work {
            Ok(work) => {
                self.jobs.ask(work, Waiting::History(asker));
                None
            }
            Err(refusal) => Some(Err(refusal)),
        }
    }

    /// Whether a session may read a conversation.
    pub(super) fn check_conversation(&self, key: SessionKey, conversation: &HistoryOf) -> Result<(), Refusal> {
        match conversation {
            HistoryOf::Peer(_) => Ok(()),
            HistoryOf::Channel(channel_id) => {
                self.channel_of(key, channel_id).map(drop).ok_or_else(|| ErrorKind::NotInChannel.into())
            }
        }
    }

    /// What the store has to read for a query of a user, who may read the conversation.
    pub(super) fn history_work(&self, now: Now, user_id: UserId, query: &QueryHistory) -> Result<StoreWork, Refusal> {
        let limit = query.limit as usize;
        if !(1..=limits::HISTORY_PAGE).contains(&limit) {
            return Err(Refusal::new(ErrorKind::InvalidArgument, "a page has 1 to 100 messages"));
        }
        if query.from_ts >= query.until_ts {
            return Err(Refusal::new(ErrorKind::InvalidArgument, "the time span is empty"));
        }
        self.jobs.check_room()?;
        let conversation = match &query.conversation {
            HistoryOf::Peer(peer_id) => Conversation::between(user_id, peer_id.clone()),
            HistoryOf::Channel(channel_id) => Conversation::Channel(channel_id.clone()),
        };
        Ok(StoreWork::Read {
            log: LogKey::History(conversation),
            after: query.after.map(Into::into),
            times: query.from_ts.max(self.oldest_history(now))..query.until_ts,
            limit,
            max_bytes: PAGE_BYTES,
        })
    }
}

/// A page has to fit in a packet, also when its text is written as JSON in JSON.
const PAGE_BYTES: usize = limits::PACKET_BYTES / 8;
