//! Calls of back ends: messages of users that need no session, and what they read.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use hmac::{Hmac, KeyInit as _, Mac as _};
use rtm_codec::{
    Answer, CallLimit, ChannelId, ErrorKind, Event, HistoryOf, MessageId, PeerMessage, Refusal, RtmMessage,
    SendOutcome, SharedEvent, StoredMessage, Token, UserId,
    anyrtc::rest::{
        FoundMessage, HistorySearch, PeerMessageCode, RestAnswer, RestCall, RestChannelMessage, RestPeerMessage,
    },
};
use sha2::{Digest as _, Sha256};

use super::{
    Conversation, Core, HttpId, Now, StoreAnswer, StoreWork,
    back_end::Origin,
    config::RestRights,
    counters::{MessageKind, MessageSource, Quota},
    delivery::Parting,
    jobs::{HISTORY_FAILED, Waiting},
    notes::{Asker, Note, Queued, event_bytes},
    rest_events::RestReadings,
    store::{HistoryFilter, HistorySpan},
    timer::Due,
};

/// Who calls.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum RestCaller {
    /// A back end, with a key of the project.
    Key {
        /// The key's id.
        id: String,
        /// Its secret.
        secret: Token,
    },
    /// An operator of the server. The shell knows that it is one. No limit counts what it does.
    Operator,
    /// A user, with a token.
    User {
        /// The user.
        user_id: UserId,
        /// The token.
        token: Token,
    },
}

/// The answers to back ends that are ready, and how often they called.
#[derive(Debug, Default)]
pub(super) struct Rest {
    answers: Vec<(HttpId, Result<RestAnswer, Refusal>)>,
    messages: Calls,
    history: Calls,
    events: Calls,
    pub(super) readings: RestReadings,
}

/// When the last calls were made, as many as a limit allows.
#[derive(Debug, Default)]
struct Calls(VecDeque<Instant>);

impl Calls {
    /// Counts a call, or says after which time there is room for it.
    fn count(&mut self, now: Instant, limit: CallLimit) -> Result<(), Duration> {
        if limit.is_unlimited() {
            return Ok(());
        }
        while self.0.front().is_some_and(|first| *first + limit.per() <= now) {
            self.0.pop_front();
        }
        if let Some(first) = self.0.front().filter(|_| self.0.len() >= limit.calls() as usize) {
            return Err((*first + limit.per()).saturating_duration_since(now));
        }
        self.0.push_back(now);
        Ok(())
    }
}

impl Rest {
    pub(super) fn answer(&mut self, id: HttpId, answer: Result<RestAnswer, Refusal>) {
        self.answers.push((id, answer));
    }
}

impl Core {
    /// Takes in a call of a back end. [`take_rest_answers`](Self::take_rest_answers) gives its answer, at once or later, but
    /// within [`Settings::receipt_within`](super::Settings::receipt_within) and half a second.
    pub fn rest(&mut self, now: Now, caller: &RestCaller, call: RestCall) -> HttpId {
        let is_counted = *caller != RestCaller::Operator;
        self.take_rest(now, caller, call, is_counted)
    }

    /// Takes in a call that [`admit_rest`](Self::admit_rest) has let pass: whether the caller may make it is looked at again, and it
    /// is not counted again.
    pub fn rest_admitted(&mut self, now: Now, caller: &RestCaller, call: RestCall) -> HttpId {
        self.take_rest(now, caller, call, false)
    }

    /// Whether a caller may make a call now, before somebody else is asked about it. The call counts.
    ///
    /// # Errors
    ///
    /// Why it may not.
    pub fn admit_rest(&mut self, now: Now, caller: &RestCaller, call: &RestCall) -> Result<(), Refusal> {
        let now = self.time(now);
        self.check_caller(now, caller, call)?;
        self.count_rest(now, call)
    }

    /// Whether a user is in a channel, with a session here that is not away.
    #[must_use]
    pub fn is_member(&self, user_id: &UserId, channel_id: &ChannelId) -> bool {
        let key = self.session_of(user_id);
        let key = key.filter(|key| self.hub.sessions.get(*key).is_some_and(|session| session.is_there()));
        key.is_some_and(|key| self.channel_of(key, channel_id).is_some())
    }

    fn take_rest(&mut self, now: Now, caller: &RestCaller, call: RestCall, is_counted: bool) -> HttpId {
        let now = self.time(now);
        let id = self.http.number();
        let source = if *caller == RestCaller::Operator { MessageSource::Admin } else { MessageSource::Rest };
        let done = self.check_caller(now, caller, &call).and_then(|user| {
            if self.is_outside {
                return Err(Refusal::new(ErrorKind::Failure, "the server is not in its cluster"));
            }
            if is_counted {
                self.count_rest(now, &call)?;
            }
            self.serve_rest(now, id, user.as_ref(), call, source)
        });
        if let Some(answer) = done.transpose() {
            self.rest.answer(id, answer);
        }
        self.hub.close_overfull(now);
        id
    }

    /// Appends the answers to calls of back ends that are ready.
    pub fn take_rest_answers(&mut self, answers: &mut Vec<(HttpId, Result<RestAnswer, Refusal>)>) {
        self.settle_back_end();
        answers.append(&mut self.rest.answers);
    }

    /// Tells back ends, and nodes that ask for theirs, what has become of messages.
    pub(super) fn settle_back_end(&mut self) {
        if self.hub.back_end.has_settled() {
            for (origin, result) in self.hub.back_end.take_settled() {
                self.answer_origin(origin, Some(result));
            }
        }
    }

    /// Whether a caller is who it says, before anything is read of what it wants. [`rest`](Self::rest) looks again.
    ///
    /// # Errors
    ///
    /// Why it is not.
    pub fn check_rest_caller(&mut self, now: Now, caller: &RestCaller) -> Result<(), Refusal> {
        let now = self.time(now);
        self.identify(now, caller).map(drop)
    }

    /// A signature under the handle of a search, so that nobody asks for another one than was allowed. All nodes of a cluster
    /// make the same, and it changes with the keys of the REST API.
    #[must_use]
    pub fn sign_search(&self, handle: &str) -> String {
        let keys: Vec<u8> = self.config.rest.keys.iter().flat_map(|key| key.secret_sha256).collect();
        let mut mac = Hmac::<Sha256>::new_from_slice(&keys).expect("HMAC takes keys of any length");
        mac.update(self.config.app_id.as_str().as_bytes());
        mac.update(handle.as_bytes());
        let bytes: [u8; 32] = mac.finalize().into_bytes().into();
        bytes.iter().take(SIGNATURE_BYTES).map(|byte| format!("{byte:02x}")).collect()
    }

    /// Gives the user whose token the caller has, if it does not have a key.
    fn identify(&self, now: Now, caller: &RestCaller) -> Result<Option<UserId>, Refusal> {
        let access = &self.config.rest;
        if access.keys.is_empty() && *caller != RestCaller::Operator {
            return Err(not_allowed("this project has no key for the REST API"));
        }
        let (user_id, token) = match caller {
            RestCaller::Key { id, secret } => {
                let digest = Sha256::digest(secret.expose().as_bytes());
                let key = access.keys.iter().find(|key| key.id == *id);
                return match key.filter(|key| is_same(&key.secret_sha256, &digest)) {
                    Some(_) => Ok(None),
                    None => Err(not_allowed("the key is not known, or its secret is another one")),
                };
            }
            RestCaller::User { user_id, token } => (user_id, token),
            RestCaller::Operator => return Ok(None),
        };
        if self.config.certificates.is_empty() {
            return Err(unauthorized("this project has no certificate: only keys of the REST API open it"));
        }
        self.authenticate(now, user_id, Some(token))?;
        self.check_ban(now, user_id)?;
        Ok(Some(user_id.clone()))
    }

    /// Whether the caller may do this. Gives the user whose token it has, if it does not have a key.
    fn check_caller(&self, now: Now, caller: &RestCaller, call: &RestCall) -> Result<Option<UserId>, Refusal> {
        let Some(user_id) = self.identify(now, caller)? else { return Ok(None) };
        let RestRights { send, history, events } = self.config.rest.tokens_may;
        let sender = match call {
            RestCall::SendToPeer(send) => Some(&send.from),
            RestCall::SendToChannel(send) => Some(&send.from),
            _ => None,
        };
        let may = match call {
            RestCall::SendToPeer(_) | RestCall::SendToChannel(_) => send,
            RestCall::Events(_) => events,
            _ => history,
        };
        if !may {
            return Err(not_allowed("tokens do not open this call: a key of the REST API does"));
        }
        if sender.is_some_and(|sender| *sender != user_id) {
            return Err(not_allowed("the token is another user's"));
        }
        Ok(Some(user_id))
    }

    fn count_rest(&mut self, now: Now, call: &RestCall) -> Result<(), Refusal> {
        let (calls, limit) = match call {
            RestCall::SendToPeer(_) | RestCall::SendToChannel(_) => {
                let counted = self.rest.messages.count(now.instant, self.config.rest.limit);
                return counted.map_err(|wait| {
                    self.hub.counters.beyond(Quota::Rest);
                    Refusal::too_much_of("the project's back ends send as many messages as they may (rest)", wait)
                });
            }
            RestCall::Events(_) => (&mut self.rest.events, EVENTS_LIMIT),
            _ => (&mut self.rest.history, HISTORY_LIMIT),
        };
        calls.count(now.instant, limit).map_err(Refusal::too_often)
    }

    fn serve_rest(
        &mut self,
        now: Now,
        id: HttpId,
        user: Option<&UserId>,
        call: RestCall,
        source: MessageSource,
    ) -> Result<Option<RestAnswer>, Refusal> {
        match call {
            RestCall::SendToPeer(send) => self.rest_to_peer(now, id, send, source),
            RestCall::SendToChannel(send) => self.rest_to_channel(now, id, send, source),
            RestCall::QueryHistory(search) => {
                self.allowed_span(now, user, &search)?;
                Ok(Some(RestAnswer::Query(search)))
            }
            RestCall::HistoryPage(search) => {
                let span = self.allowed_span(now, user, &search)?;
                let HistorySearch { offset, limit, newest_first, .. } = search;
                let (offset, limit) = (offset as usize, limit as usize);
                self.search(now, id, StoreWork::Search { span, newest_first, offset, limit })
            }
            RestCall::CountHistory(search) => {
                let span = self.allowed_span(now, user, &search)?;
                self.search(now, id, StoreWork::Count { span })
            }
            RestCall::Events(events_of) => self.rest_events(now, id, events_of),
            _ => Err(ErrorKind::Unsupported.into()),
        }
    }

    fn rest_to_peer(
        &mut self,
        now: Now,
        id: HttpId,
        send: RestPeerMessage,
        source: MessageSource,
    ) -> Result<Option<RestAnswer>, Refusal> {
        let RestPeerMessage {
            from,
            to,
            payload,
            enable_offline_messaging: store,
            enable_historical_messaging: keep,
            wait_for_ack: waits,
        } = send;
        if keep || store {
            self.jobs.check_room()?;
        }
        if keep {
            self.check_stored_bytes(now, payload.len())?;
        }
        let is_there = |core: &Self, key| core.hub.sessions.get(key).is_some_and(|session| session.is_there());
        let receiver = self.session_of(&to);
        let is_here = receiver.is_some();
        let receiver = receiver.filter(|key| is_there(self, *key));
        self.hub.stats.peer_messages += 1;
        self.hub.counters.took_message(MessageKind::Peer, source, payload.len());
        let asker = match waits || keep || store {
            true => self.await_back_end(now, Origin::Peer { id, to: to.clone(), waits, stores: store }),
            false => self.hub.back_end.nobody(),
        };
        let message_id = MessageId(self.hub.back_end.message_number());
        self.log_peer_message(now, &from, &to, message_id);
        let message = RtmMessage::Text(payload);
        if keep {
            let stored = StoredMessage::new(message_id, from.clone(), message.clone().detach(), now.unix_ms);
            let conversation = Conversation::between(from.clone(), to.clone());
            self.keep_history(asker, conversation, stored, Waiting::Promise { asker, broken: HISTORY_FAILED });
        }
        let event = Event::MessageFromPeer(PeerMessage {
            message_id,
            peer_id: from,
            message,
            is_offline_message: false,
            server_received_ts: now.unix_ms,
        });
        let bytes = event_bytes(&event);
        let event = SharedEvent::for_one(event);
        let is_taken = if self.edge.is_some() && self.needs_lane(asker.session, &to, is_here) {
            self.send_over_lane(now, asker, &to, Parting { event, store });
            // Its receiver may be offline, and then it is not stored yet.
            !store
        } else if let Some(key) = receiver.filter(|key| self.hub.has_room(*key, bytes)) {
            let deadline = now.instant + self.config.settings.receipt_within;
            let note = if waits || store { Note::Receipt { asker, deadline, store } } else { Note::None };
            self.push_message(key, Queued { event, note, bytes });
            true
        } else {
            if store {
                self.store_what_waits(now, &to);
            }
            self.store_or_give_up(now, &to, asker, store, &event, None);
            !store
        };
        if !waits && is_taken {
            if !keep && !store {
                return Ok(Some(RestAnswer::PeerMessage(PeerMessageCode::Sent)));
            }
            self.hub.back_end.finish(asker, Ok(Answer::SendMessageToPeer(SendOutcome::Delivered)));
        }
        Ok(None)
    }

    fn rest_to_channel(
        &mut self,
        now: Now,
        id: HttpId,
        send: RestChannelMessage,
        source: MessageSource,
    ) -> Result<Option<RestAnswer>, Refusal> {
        let RestChannelMessage { from, channel_id, payload, enable_historical_messaging: keep } = send;
        if keep {
            self.jobs.check_room()?;
            self.check_stored_bytes(now, payload.len())?;
        }
        self.hub.stats.channel_messages += 1;
        self.hub.counters.took_message(MessageKind::Channel, source, payload.len());
        let message_id = MessageId(self.hub.back_end.message_number());
        self.log_channel_message(now, &from, &channel_id, message_id);
        let message = RtmMessage::Text(payload);
        let asker = self.await_back_end(now, Origin::Channel(id));
        if keep {
            let stored = StoredMessage::new(message_id, from.clone(), message.clone().detach(), now.unix_ms);
            let conversation = Conversation::Channel(channel_id.clone());
            self.keep_history(asker, conversation, stored, Waiting::Promise { asker, broken: HISTORY_FAILED });
        }
        let event =
            Event::ChannelMessage { channel_id, message_id, member_id: from, message, server_received_ts: now.unix_ms };
        self.send_for_nobody(now, asker, event);
        self.hub.back_end.finish(asker, Ok(Answer::SendChannelMessage(())));
        Ok(None)
    }

    /// Waits for what becomes of a message, as long as its sender does.
    pub(super) fn await_back_end(&mut self, now: Now, origin: Origin) -> Asker {
        let until = now.instant + self.config.settings.receipt_within + GRACE;
        if self.hub.back_end.next_due().is_none() {
            self.hub.timers.push(until, Due::BackEnd);
        }
        self.hub.back_end.begin(until, origin)
    }

    /// Answers those that have waited long enough.
    pub(super) fn back_end_due(&mut self, now: Now) {
        for (origin, result) in self.hub.back_end.take_due(now.instant) {
            self.answer_origin(origin, result);
        }
        if let Some(at) = self.hub.back_end.next_due() {
            self.hub.timers.push(at, Due::BackEnd);
        }
    }

    /// Nobody has what back ends wait for.
    pub(super) fn forget_back_end(&mut self) {
        self.rest.readings.forget();
        for origin in self.hub.back_end.forget() {
            let gone = Refusal::new(ErrorKind::Failure, "the server has left its cluster");
            self.answer_origin(origin, Some(Err(gone)));
        }
    }

    /// Tells a back end, or another node, what became of a message; `None` if that is not known in time.
    fn answer_origin(&mut self, origin: Origin, result: Option<Result<Answer, Refusal>>) {
        match origin {
            Origin::Peer { id, to, waits, stores } => {
                let code = match result {
                    Some(Err(refusal)) if refusal.kind != ErrorKind::Timeout => {
                        return self.rest.answer(id, Err(refusal));
                    }
                    // It was to be stored, and is not, or nobody says so.
                    None | Some(Err(_) | Ok(Answer::SendMessageToPeer(SendOutcome::NotReceived))) if stores => {
                        let unknown = Refusal::new(ErrorKind::Failure, "the message may not be stored");
                        return self.rest.answer(id, Err(unknown));
                    }
                    Some(Ok(_)) if !waits => PeerMessageCode::Sent,
                    Some(Ok(Answer::SendMessageToPeer(SendOutcome::Delivered))) => PeerMessageCode::Delivered,
                    Some(Ok(_)) if !self.is_online(&to) => PeerMessageCode::PeerOffline,
                    // Its receiver may have it yet: whoever sent it again would send it twice.
                    _ => PeerMessageCode::Sent,
                };
                self.rest.answer(id, Ok(RestAnswer::PeerMessage(code)));
            }
            Origin::Channel(id) => {
                let late = || Err(Refusal::new(ErrorKind::Failure, "the message may not be everywhere, or not kept"));
                let answer = result.unwrap_or_else(late).map(|_| RestAnswer::ChannelMessage);
                self.rest.answer(id, answer);
            }
            Origin::Read(id) => {
                let late = Refusal::new(ErrorKind::Failure, "the server's store did not answer in time");
                self.rest.answer(id, Err(late));
            }
            Origin::Node { node, number, channel_id } => {
                if result.is_some_and(|result| result.is_ok()) {
                    self.say_relayed(&node, number, &channel_id);
                }
            }
        }
    }

    fn is_online(&self, user_id: &UserId) -> bool {
        let session = self.session_of(user_id).and_then(|key| self.hub.sessions.get(key));
        session.is_some_and(|session| session.is_there()) || self.node_of(user_id).is_some()
    }

    /// What a caller may search of what it asks for. A user may search what it sent or received, and channels that it is in.
    fn allowed_span(&self, now: Now, user: Option<&UserId>, search: &HistorySearch) -> Result<HistorySpan, Refusal> {
        let HistorySearch { source, destination, from_ts, until_ts, .. } = search;
        let channel_id = destination.as_ref().and_then(|id| ChannelId::new(id.as_str()).ok());
        let mut filter = HistoryFilter { source: source.clone(), to_user: destination.clone(), to_channel: channel_id };
        if let Some(user) = user.filter(|user| source.as_ref() != Some(user)) {
            let is_member = |channel_id: &ChannelId| {
                self.session_of(user).is_some_and(|key| self.channel_of(key, channel_id).is_some())
            };
            // A channel may have the name of a user.
            filter.to_user = filter.to_user.filter(|to| to == user);
            filter.to_channel = filter.to_channel.filter(is_member);
            if filter.to_user.is_none() && filter.to_channel.is_none() {
                return Err(not_allowed("the token's user neither sent nor received these messages"));
            }
        }
        let oldest = self.oldest_history(now);
        Ok(HistorySpan { filter, times: oldest.max(*from_ts)..oldest.max(*until_ts) })
    }

    fn search(&mut self, now: Now, id: HttpId, work: StoreWork) -> Result<Option<RestAnswer>, Refusal> {
        self.jobs.check_room()?;
        let asker = self.await_back_end(now, Origin::Read(id));
        self.jobs.ask(work, Waiting::Search(asker));
        Ok(None)
    }

    /// The store has searched histories, or failed to.
    pub(super) fn searched(&mut self, asker: Asker, answer: Option<StoreAnswer>) {
        let Some(Origin::Read(id)) = self.hub.back_end.close(asker) else { return };
        let answer = match answer {
            Some(StoreAnswer::Found(found)) => {
                let message = |(conversation, message): (Conversation, StoredMessage)| FoundMessage {
                    to: match conversation {
                        Conversation::Channel(channel_id) => HistoryOf::Channel(channel_id),
                        Conversation::Peers(one, other) if message.from == one => HistoryOf::Peer(other),
                        Conversation::Peers(one, _) => HistoryOf::Peer(one),
                    },
                    message,
                };
                Ok(RestAnswer::Messages(found.into_iter().map(message).collect()))
            }
            Some(StoreAnswer::Counted(count)) => Ok(RestAnswer::Count(count)),
            _ => Err(Refusal::new(ErrorKind::Failure, "the server could not search the history")),
        };
        self.rest.answer(id, answer);
    }
}

/// Whether two digests are the same, in a time that does not tell where they differ.
fn is_same(one: &[u8], other: &[u8]) -> bool {
    one.len() == other.len() && one.iter().zip(other).fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
}

fn unauthorized(what: &str) -> Refusal {
    Refusal::new(ErrorKind::InvalidToken, what)
}

fn not_allowed(what: &str) -> Refusal {
    Refusal::new(ErrorKind::NotAuthorized, what)
}

/// So much of a signature is enough to try in vain.
const SIGNATURE_BYTES: usize = 12;
/// How often histories are searched and events are read, as the vendor has it.
const HISTORY_LIMIT: CallLimit = CallLimit::new(100, Duration::from_secs(1));
const EVENTS_LIMIT: CallLimit = CallLimit::new(10, Duration::from_secs(1));
/// How much longer than for a device's receipt a back end waits.
const GRACE: Duration = Duration::from_millis(500);
