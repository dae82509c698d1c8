//! The vendor's HTTP requests that come to another node than that of their client's session. The session's node says whether
//! its client may have what it asks for, and keeps account of what it was given; the other one reads the store and answers.

use std::collections::BTreeMap;

use rtm_codec::{
    ErrorKind, QueryHistory, Refusal, UserId,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest, StoredPage},
};

use super::{
    Core, HttpId, Now, Place,
    arena::SessionKey,
    cluster::{EngineAnswer, EngineWork, GatewayWord, NodeId, ProjectParcel, Wanted},
    engine::Purpose,
    http::{Asked, Owner},
};

/// Requests between nodes.
#[derive(Debug, Default)]
pub(super) struct FarRequests {
    /// Answers of this node whose clients have their sessions elsewhere, until they are written.
    given: BTreeMap<HttpId, NodeId>,
    /// What other nodes give to sessions of this one, by their numbers.
    taken: BTreeMap<(NodeId, u64), Taken>,
}

/// Stored messages that another node gives to a session.
#[derive(Debug, Clone, Copy)]
struct Taken {
    session: SessionKey,
    /// A number of this node's own for the answer.
    answer: HttpId,
}

/// A request whose client's session is on another node.
#[derive(Debug)]
pub(super) struct Elsewhere {
    request: GatewayRequest,
    /// The node that was asked.
    node: Option<NodeId>,
    /// Whether the engine has said that the session is there.
    is_sure: bool,
}

impl Core {
    /// Asks the node that has the session of a request's client, which this node does not know.
    pub(super) fn ask_elsewhere(
        &mut self,
        id: HttpId,
        user_id: &UserId,
        request: GatewayRequest,
    ) -> Result<Asked, Refusal> {
        if self.edge.is_none() {
            return Err(ErrorKind::NotLoggedIn.into());
        }
        if self.http.elsewhere() >= MOST {
            return Err(Refusal::new(ErrorKind::Failure, "too many requests wait for other nodes"));
        }
        let mut elsewhere = Elsewhere { request, node: None, is_sure: false };
        match self.node_of(user_id).cloned() {
            Some(node) => self.ask_node(id, &mut elsewhere, node),
            None => self.locate(id, user_id, &mut elsewhere),
        }
        Ok(Asked::Elsewhere(Box::new(elsewhere)))
    }

    fn locate(&mut self, id: HttpId, user_id: &UserId, elsewhere: &mut Elsewhere) {
        elsewhere.is_sure = true;
        if let Some(edge) = &mut self.edge {
            edge.ask(user_id, EngineWork::Read, Purpose::Request(id));
        }
    }

    fn ask_node(&mut self, id: HttpId, elsewhere: &mut Elsewhere, node: NodeId) {
        let (caller, wanted) = match &elsewhere.request {
            GatewayRequest::OfflineMessages { caller, page } => {
                let after = page.and_then(|page| page.after).map(|after| after.0);
                (caller, Wanted::StoredMessages { after })
            }
            GatewayRequest::History { caller, query } => (caller, Wanted::History(query.clone())),
            _ => return,
        };
        let word = GatewayWord::Ask { user_id: caller.user_id.clone(), session: caller.session.clone(), wanted };
        self.say_of_request(&node, id.0, word);
        elsewhere.node = Some(node);
    }

    fn say_of_request(&mut self, node: &NodeId, id: u64, word: GatewayWord) {
        if let Some(edge) = &mut self.edge {
            edge.tell(node, ProjectParcel::Gateway { id, word: Box::new(word) });
        }
    }

    /// The engine has said where the session of a request's client is.
    pub(super) fn request_located(&mut self, id: HttpId, user_id: &UserId, answer: &EngineAnswer) {
        let Some(Asked::Elsewhere(mut elsewhere)) = self.http.take(id) else { return };
        match self.node_of(user_id).cloned() {
            Some(node) if elsewhere.node.as_ref() != Some(&node) && matches!(answer, EngineAnswer::Read(_)) => {
                self.ask_node(id, &mut elsewhere, node);
                self.http.wait(id, Asked::Elsewhere(elsewhere));
            }
            _ => self.http.answer(id, Err(ErrorKind::NotLoggedIn.into())),
        }
    }

    /// Another node says something of a request.
    pub(super) fn request_word_came(&mut self, now: Now, from: &NodeId, id: u64, word: GatewayWord) {
        match word {
            GatewayWord::Ask { user_id, session, wanted } => {
                let caller = Caller { app_id: self.config.app_id.clone(), user_id, session };
                let answer = self.asked_by_node(now, from, id, &caller, wanted).unwrap_or_else(GatewayWord::Refused);
                self.say_of_request(from, id, answer);
            }
            GatewayWord::May => self.may_read(now, from, HttpId(id)),
            GatewayWord::Nothing => {
                if self.take_elsewhere(from, HttpId(id)).is_some() {
                    let nothing = GatewayAnswer::OfflineMessages(StoredPage::default());
                    self.http.answer(HttpId(id), Ok(nothing));
                }
            }
            GatewayWord::Refused(refusal) => self.not_allowed(from, HttpId(id), refusal),
            GatewayWord::Given { places, is_page } => {
                if let Some(Taken { session, answer }) = self.http.far.taken.get(&(from.clone(), id)).copied() {
                    self.account_for(session, answer, is_page, places.into_iter().map(Place).collect());
                    self.say_of_request(from, id, GatewayWord::Noted);
                }
            }
            GatewayWord::Noted => self.noted(from, HttpId(id)),
            GatewayWord::NotGiven => {
                if let Some(taken) = self.http.far.taken.remove(&(from.clone(), id)) {
                    self.fetch_failed(now, taken.session);
                }
            }
            GatewayWord::Ended { is_written } => {
                if let Some(taken) = self.http.far.taken.remove(&(from.clone(), id)) {
                    self.http_answer_ended(now, taken.answer, is_written);
                }
            }
        }
    }

    /// A client of this node asks another one.
    fn asked_by_node(
        &mut self,
        now: Now,
        from: &NodeId,
        id: u64,
        caller: &Caller,
        wanted: Wanted,
    ) -> Result<GatewayWord, Refusal> {
        let session = self.callers_session(caller)?;
        match wanted {
            Wanted::History(query) => {
                self.may_query(now, session, &query)?;
                Ok(GatewayWord::May)
            }
            Wanted::StoredMessages { after } => {
                if !self.may_fetch(now, session, after.map(Place)) {
                    return Ok(GatewayWord::Nothing);
                }
                let answer = self.http.number();
                if self.http.far.taken.len() >= MOST {
                    // One of which nothing was heard for long: its client gets its messages another time.
                    self.http.far.taken.pop_first();
                }
                self.http.far.taken.insert((from.clone(), id), Taken { session, answer });
                Ok(GatewayWord::May)
            }
        }
    }

    /// Whether a session may read a history: how often it may, and of which channels.
    pub(super) fn may_query(&mut self, now: Now, session: SessionKey, query: &QueryHistory) -> Result<(), Refusal> {
        self.check_limit(now, session, &query.clone().into())?;
        self.check_conversation(session, &query.conversation)
    }

    fn take_elsewhere(&mut self, from: &NodeId, id: HttpId) -> Option<Box<Elsewhere>> {
        match self.http.take(id) {
            Some(Asked::Elsewhere(elsewhere)) if elsewhere.node.as_ref() == Some(from) => Some(elsewhere),
            Some(other) => {
                self.http.wait(id, other);
                None
            }
            None => None,
        }
    }

    /// The client may have what it asks for.
    fn may_read(&mut self, now: Now, from: &NodeId, id: HttpId) {
        let Some(elsewhere) = self.take_elsewhere(from, id) else { return };
        let begun = match elsewhere.request {
            GatewayRequest::OfflineMessages { caller, page } => {
                let owner = Owner::Elsewhere(from.clone());
                Ok(self.read_stored(now, caller.user_id, page, owner))
            }
            GatewayRequest::History { caller, query } => {
                self.history_work(now, caller.user_id, &query).map(|work| (Asked::History, work))
            }
            _ => Err(ErrorKind::Unsupported.into()),
        };
        match begun {
            Ok((asked, work)) => self.read_for_request(id, asked, work),
            Err(refusal) => self.http.answer(id, Err(refusal)),
        }
    }

    /// The client may not, or its session is on yet another node.
    fn not_allowed(&mut self, from: &NodeId, id: HttpId, refusal: Refusal) {
        let Some(mut elsewhere) = self.take_elsewhere(from, id) else { return };
        if refusal.kind != ErrorKind::NotLoggedIn || elsewhere.is_sure {
            return self.http.answer(id, Err(refusal));
        }
        if let GatewayRequest::OfflineMessages { caller, .. } | GatewayRequest::History { caller, .. } =
            &elsewhere.request
        {
            let user_id = caller.user_id.clone();
            self.locate(id, &user_id, &mut elsewhere);
        }
        self.http.wait(id, Asked::Elsewhere(elsewhere));
    }

    /// Stored messages are to be written to a client whose session is elsewhere, once its node has taken note of them.
    pub(super) fn give_elsewhere(
        &mut self,
        id: HttpId,
        node: NodeId,
        is_page: bool,
        places: &[Place],
        page: StoredPage,
    ) {
        let places = places.iter().map(|place| place.0).collect();
        self.say_of_request(&node, id.0, GatewayWord::Given { places, is_page });
        self.http.wait(id, Asked::Noted(node, Box::new(page)));
    }

    /// The session's node has taken note of what its client is given.
    fn noted(&mut self, from: &NodeId, id: HttpId) {
        match self.http.take(id) {
            Some(Asked::Noted(node, page)) if node == *from => {
                self.http.far.given.insert(id, node);
                self.http.answer(id, Ok(GatewayAnswer::OfflineMessages(*page)));
            }
            Some(other) => self.http.wait(id, other),
            None => {}
        }
    }

    /// A client whose session is elsewhere does not get its messages now.
    pub(super) fn not_given_elsewhere(&mut self, id: HttpId, node: &NodeId) {
        self.say_of_request(node, id.0, GatewayWord::NotGiven);
    }

    /// The answer to a client was written, or not. Says whether its session is elsewhere.
    pub(super) fn ended_elsewhere(&mut self, id: HttpId, is_written: bool) -> bool {
        let Some(node) = self.http.far.given.remove(&id) else { return false };
        self.say_of_request(&node, id.0, GatewayWord::Ended { is_written });
        true
    }

    /// What nodes had under way that have left comes to nothing.
    pub(super) fn look_at_requests(&mut self, now: Now) {
        let Some(view) = self.edge.as_ref().map(|edge| &edge.view) else { return };
        let far = &mut self.http.far;
        far.given.retain(|_, node| view.has(node));
        let mut gone = Vec::new();
        far.taken.retain(|(node, _), taken| {
            let is_there = view.has(node);
            if !is_there {
                gone.push(taken.answer);
            }
            is_there
        });
        for answer in gone {
            self.http_answer_ended(now, answer, false);
        }
    }
}

/// So many requests wait for other nodes at most, and for answers of theirs.
const MOST: usize = 1024;
