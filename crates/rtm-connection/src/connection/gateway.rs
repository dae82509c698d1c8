//! The vendor's gateway: which server to connect to, stored messages, and history, each asked for over HTTP.

use std::{collections::BTreeSet, ops::ControlFlow, sync::Arc, time::Duration};

use rtm_codec::{
    Answer, Command, ErrorKind, Event, PeerMessage, Refusal, RequestId, Text,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest, StoredCursor, StoredPage},
};

use super::{
    account::{Active, End},
    login::NOT_NAMED,
};
use crate::{
    AskId, Output, TransportError,
    failure::Failure,
    gateway::{Route, Stored},
    link::LinkState,
};

impl Active<'_> {
    /// Asks which server to connect to.
    pub(super) fn ask_for_server(&mut self) {
        let credentials = self.account.credentials.clone();
        let tls = self.lasting.config.gateways[self.lasting.gateways.current()].tls;
        let ask = self.ask(GatewayRequest::Connect {
            app_id: credentials.app_id,
            user_id: Some(credentials.user_id),
            token: credentials.token,
            tls,
        });
        let time = self.share(self.lasting.gateways.untried());
        self.account.link = LinkState::Asking { until: self.now + time, ask };
    }

    /// Asks for what was stored while the user was away, which on the vendor's wire a client has to do.
    pub(super) fn ask_for_stored(&mut self) {
        self.try_stored(None, 1);
    }

    /// Sends a request over the link at hand, or asks the gateway where the wire leaves it to that.
    pub(super) fn send_request(&mut self, id: RequestId, command: Arc<Command>) {
        if let Command::QueryHistory(query) = &*command
            && let LinkState::Online(online) = &mut self.account.link
            && let Some(gateway) = &mut online.gateway
        {
            let ask = self.lasting.take_ask_id();
            gateway.queries.insert(ask, id);
            let request = gateway.history_request(query);
            self.push_ask(ask, request);
        } else {
            self.push(Output::Request { id, command });
        }
    }

    /// The gateway answered, or could not be asked.
    pub(super) fn asked(&mut self, id: AskId, result: Result<GatewayAnswer, TransportError>) -> ControlFlow<End> {
        match &mut self.account.link {
            LinkState::Asking { ask, .. } if *ask == id => return self.server_named(result),
            LinkState::Online(online) => {
                let Some(gateway) = &mut online.gateway else { return ControlFlow::Continue(()) };
                if let Some(request) = gateway.queries.remove(&id) {
                    self.history_answered(request, result);
                } else if let Stored::Asked { ask, after, tries, .. } = gateway.stored
                    && ask == id
                {
                    self.stored_answered(after, tries, result);
                }
            }
            // Of a link that is gone.
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// A part of an answer came: the rest of the stored messages may take as long again.
    pub(super) fn ask_goes_on(&mut self, id: AskId) {
        if let LinkState::Online(online) = &mut self.account.link
            && let Some(gateway) = &mut online.gateway
            && let Stored::Asked { ask, until, .. } = &mut gateway.stored
            && *ask == id
        {
            *until = self.now + STORED_TIMEOUT;
        }
    }

    fn server_named(&mut self, result: Result<GatewayAnswer, TransportError>) -> ControlFlow<End> {
        self.account.link = LinkState::Lost;
        let unreachable = ErrorKind::GatewayConnectFailed;
        match result {
            Ok(GatewayAnswer::Connect { session, addresses }) => {
                let mut route = Route::new(session, addresses, self.account.attempt);
                match route.next() {
                    Some(server) => {
                        self.open_server(server, route);
                        ControlFlow::Continue(())
                    }
                    None => self.attempt_failed(unreachable, "the gateway names no server".into(), true),
                }
            }
            Ok(GatewayAnswer::Refused(kind)) => {
                self.attempt_failed(kind, Failure::default(), kind == ErrorKind::TooOften)
            }
            Ok(_) => self.attempt_failed(unreachable, "the gateway says to try again".into(), true),
            Err(error) => {
                let retry = error.retry;
                self.attempt_failed(unreachable, error.into(), retry)
            }
        }
    }

    /// The gateway has not said in time which server to connect to.
    pub(super) fn server_timeout(&mut self) -> ControlFlow<End> {
        self.drop_link(None);
        self.attempt_failed(ErrorKind::GatewayConnectFailed, NOT_NAMED.into(), true)
    }

    fn try_stored(&mut self, after: Option<StoredCursor>, tries: u32) {
        let LinkState::Online(online) = &mut self.account.link else { return };
        let Some(gateway) = &mut online.gateway else { return };
        let (ask, until) = (self.lasting.take_ask_id(), self.now + STORED_TIMEOUT);
        gateway.stored = Stored::Asked { ask, after, tries, until };
        let request = gateway.stored_request(after);
        self.push_ask(ask, request);
    }

    fn stored_answered(
        &mut self,
        after: Option<StoredCursor>,
        tries: u32,
        result: Result<GatewayAnswer, TransportError>,
    ) {
        match result {
            Ok(GatewayAnswer::OfflineMessages(StoredPage { messages, next })) => {
                self.set_stored(Stored::Done);
                messages.into_iter().for_each(|message| self.take_stored(message));
                // A server without pages says nothing of a next one.
                if next.is_some() && next != after {
                    self.try_stored(next, 1);
                }
            }
            Ok(GatewayAnswer::TryAgain | GatewayAnswer::Refused(ErrorKind::TooOften)) => {
                self.stored_failed(after, tries, Text::from("the gateway says to try again"));
            }
            Err(error) => self.stored_failed(after, tries, Text::from(self.at_gateway(error.into()).in_full())),
            Ok(_) => self.leave_stored(Text::from("the gateway refuses")),
        }
    }

    /// The request that tells the server of a page of stored messages that the user has, if it has yet to end. Its answer
    /// is then for somebody else.
    pub(super) fn take_confirmation(&mut self) -> Option<AskId> {
        if let Some(Stored::Waiting { after: after @ Some(_), .. }) = self.stored() {
            self.try_stored(after, 1);
        }
        let Some(Stored::Asked { ask, after: Some(_), .. }) = self.stored() else { return None };
        self.set_stored(Stored::Done);
        Some(ask)
    }

    fn stored(&self) -> Option<Stored> {
        let LinkState::Online(online) = &self.account.link else { return None };
        online.gateway.as_ref().map(|gateway| gateway.stored)
    }

    /// The server did not number a stored message: it takes its place among the events where it arrived.
    fn take_stored(&mut self, message: PeerMessage) {
        if let Some(event) = self.told(Event::MessageFromPeer(message)) {
            self.emit(event);
        }
    }

    fn stored_failed(&mut self, after: Option<StoredCursor>, tries: u32, detail: Text) {
        if tries < STORED_TRIES {
            self.set_stored(Stored::Waiting { after, tries, until: self.now + STORED_PAUSE });
        } else {
            self.leave_stored(detail);
        }
    }

    fn leave_stored(&mut self, detail: Text) {
        self.set_stored(Stored::Done);
        self.push(Output::StoredMessagesLeft { detail });
    }

    fn set_stored(&mut self, stored: Stored) {
        if let LinkState::Online(online) = &mut self.account.link
            && let Some(gateway) = &mut online.gateway
        {
            gateway.stored = stored;
        }
    }

    /// The gateway has not handed out the stored messages in time, or the pause before the next try is over.
    pub(super) fn stored_timeout(&mut self) {
        match self.stored() {
            Some(Stored::Asked { ask, after, tries, .. }) => {
                self.push(Output::CancelAsk(ask));
                self.stored_failed(after, tries, Text::from(NOT_NAMED));
            }
            Some(Stored::Waiting { after, tries, .. }) => self.try_stored(after, tries + 1),
            Some(Stored::Done) | None => {}
        }
    }

    fn history_answered(&mut self, id: RequestId, result: Result<GatewayAnswer, TransportError>) {
        let mut source = None;
        let result = match result {
            Ok(GatewayAnswer::History(page)) => Ok(Answer::QueryHistory(page)),
            Ok(GatewayAnswer::Refused(kind)) => Err(Refusal::from(kind)),
            Ok(_) => Err(Refusal::new(ErrorKind::Failure, "the gateway says to try again")),
            Err(error) => {
                let failure = self.at_gateway(error.into());
                source = failure.source;
                Err(Refusal::new(ErrorKind::GatewayConnectFailed, &failure.detail))
            }
        };
        if let Some(request) = self.account.pending.remove(id) {
            self.finish_with(id, request, result, source);
        }
    }

    /// A history query ended without the gateway's answer, if that has it.
    pub(super) fn cancel_query(&mut self, id: RequestId) {
        let LinkState::Online(online) = &mut self.account.link else { return };
        let Some(gateway) = &mut online.gateway else { return };
        if let Some(ask) = gateway.queries.iter().find(|(_, request)| **request == id).map(|(ask, _)| *ask) {
            gateway.queries.remove(&ask);
            self.lasting.cancel_asks([ask].into());
        }
    }

    /// Nobody waits any more for what `link` asked.
    pub(super) fn cancel_asks(&mut self, link: &LinkState) {
        let asks: BTreeSet<_> = match link {
            LinkState::Asking { ask, .. } => [*ask].into(),
            LinkState::Online(online) => online.gateway.iter().flat_map(|gateway| gateway.asks()).collect(),
            _ => return,
        };
        self.lasting.cancel_asks(asks);
    }

    fn ask(&mut self, request: GatewayRequest) -> AskId {
        let id = self.lasting.take_ask_id();
        self.push_ask(id, request);
        id
    }

    /// The gateway in use is asked: it is the one that let the user in, if there is a session.
    fn push_ask(&mut self, id: AskId, request: GatewayRequest) {
        let gateway = self.lasting.gateways.current();
        self.push(Output::Ask { id, gateway, request: Box::new(request) });
    }
}

/// How long nothing may come of stored messages that were asked for.
const STORED_TIMEOUT: Duration = Duration::from_secs(10);

/// How often a page of them is asked for over one link, and how long after a failure.
const STORED_TRIES: u32 = 5;
const STORED_PAUSE: Duration = Duration::from_secs(2);
