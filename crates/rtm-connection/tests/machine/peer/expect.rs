//! What a test looks at: each output is taken once.

use rtm_codec::{
    Answer, ClientFrame, CloseReason, Command, ErrorKind, RequestId, Seq, Text,
    anyrtc::gateway::{Address, GatewayRequest},
};
use rtm_connection::{AskId, ConnectionChangeReason as Reason, ConnectionState as State, RtmError, RtmEvent, Target};

use super::Peer;

impl Peer {
    pub(crate) fn expect_dial(&mut self) -> Target {
        self.dials.pop_front().expect("a dial")
    }

    pub(crate) fn expect_server(&mut self, host: &str) {
        let address = Address { host: Text::from(host), port: 7000 };
        let dial = self.expect_dial();
        assert!(matches!(&dial, Target::Server { address: dialed, .. } if *dialed == address), "{dial:?}");
    }

    /// The gateway that is dialled.
    pub(crate) fn expect_gateway(&mut self) -> usize {
        match self.expect_dial() {
            Target::Gateway(gateway) => gateway,
            other => panic!("a gateway, not {other:?}"),
        }
    }

    pub(crate) fn expect_ask(&mut self) -> (AskId, GatewayRequest) {
        self.asks.pop_front().expect("a request to the gateway")
    }

    pub(crate) fn expect_no_ask(&mut self) {
        assert_eq!(self.asks, []);
    }

    pub(crate) fn has_ask(&self) -> bool {
        !self.asks.is_empty()
    }

    pub(crate) fn expect_canceled(&mut self, id: AskId) {
        assert_eq!(self.canceled_asks.pop_front(), Some(id));
    }

    pub(crate) fn expect_none_canceled(&mut self) {
        assert_eq!(self.canceled_asks, []);
    }

    /// How often stored messages were left on the server since the last look.
    pub(crate) fn stored_left(&mut self) -> usize {
        std::mem::take(&mut self.left_stored)
    }

    pub(crate) fn expect_no_dial(&mut self) {
        assert_eq!(self.dials, []);
    }

    /// The next frame but acknowledgements, which is this request.
    pub(crate) fn expect_request(&mut self, id: RequestId) -> Command {
        let (sent, command) = self.expect_any_request();
        assert_eq!(sent, id, "{command:?}");
        command
    }

    /// The next frame but acknowledgements, which is a request.
    pub(crate) fn expect_any_request(&mut self) -> (RequestId, Command) {
        self.drop_acks();
        match self.sent.pop_front() {
            Some(ClientFrame::Request { id, command }) => (id, command),
            other => panic!("a request, not {other:?}"),
        }
    }

    fn drop_acks(&mut self) {
        while let Some(ClientFrame::Ack { .. }) = self.sent.front() {
            self.sent.pop_front();
        }
    }

    pub(crate) fn expect_no_request(&mut self) {
        self.drop_acks();
        assert_eq!(self.sent, []);
    }

    pub(crate) fn next_sent(&mut self) -> Option<ClientFrame> {
        self.sent.pop_front()
    }

    pub(crate) fn has_event(&self) -> bool {
        !self.events.is_empty()
    }

    pub(crate) fn drop_replies(&mut self) {
        self.replies.clear();
    }

    pub(crate) fn drop_events(&mut self) {
        self.events.clear();
    }

    pub(crate) fn expect_any_sent(&mut self) -> ClientFrame {
        self.sent.pop_front().expect("a frame")
    }

    pub(crate) fn has_reply(&self) -> bool {
        !self.replies.is_empty()
    }

    pub(crate) fn has_dial(&self) -> bool {
        !self.dials.is_empty()
    }

    pub(crate) fn forget_sent(&mut self) {
        self.sent.clear();
    }

    /// Nothing so far is of interest.
    pub(crate) fn forget_all(&mut self) {
        let Self { dials, sent, hangups, events, replies, logins, logouts, tokens_needed, .. } = self;
        dials.clear();
        sent.clear();
        hangups.clear();
        events.clear();
        replies.clear();
        logins.clear();
        logouts.clear();
        *tokens_needed = 0;
    }

    pub(crate) fn expect_sent(&mut self, frame: ClientFrame) {
        assert_eq!(self.sent.pop_front(), Some(frame));
    }

    pub(crate) fn expect_ack(&mut self, received: u64, consumed: u64, answered: u64) {
        let [received, consumed] = [received, consumed].map(Seq);
        self.expect_sent(ClientFrame::Ack { received, consumed, answered: RequestId(answered) });
    }

    pub(crate) fn expect_nothing_sent(&mut self) {
        assert_eq!(self.sent, []);
    }

    pub(crate) fn expect_hangup(&mut self, reason: CloseReason) {
        assert_eq!(self.hangups.pop_front(), Some(reason));
    }

    pub(crate) fn expect_no_hangup(&mut self) {
        assert_eq!(self.hangups, []);
    }

    pub(crate) fn expect_event(&mut self, event: RtmEvent) {
        assert_eq!(self.events.pop_front(), Some(event));
    }

    pub(crate) fn expect_any_event(&mut self) -> RtmEvent {
        self.events.pop_front().expect("an event")
    }

    pub(crate) fn expect_no_event(&mut self) {
        assert_eq!(self.events, []);
    }

    pub(crate) fn expect_state(&mut self, state: State, reason: Reason) {
        self.expect_event(RtmEvent::connection_state_changed(state, reason));
    }

    pub(crate) fn expect_gap(&mut self, lost: Option<u64>, reason: rtm_connection::GapReason) {
        self.expect_event(RtmEvent::gap(None, lost, reason));
    }

    pub(crate) fn expect_ok(&mut self, id: RequestId) -> Answer {
        match self.replies.pop_front() {
            Some((replied, Ok(answer))) if replied == id => answer,
            other => panic!("a good answer to {id}, not {other:?}"),
        }
    }

    pub(crate) fn expect_err(&mut self, id: RequestId, kind: ErrorKind) -> RtmError {
        match self.replies.pop_front() {
            Some((replied, Err(error))) if replied == id && error.kind() == kind => error,
            other => panic!("{kind:?} for {id}, not {other:?}"),
        }
    }

    pub(crate) fn expect_no_reply(&mut self) {
        assert_eq!(self.replies, []);
    }

    pub(crate) fn expect_login_ok(&mut self) {
        assert_eq!(self.logins.pop_front(), Some(Ok(())));
    }

    pub(crate) fn expect_login_err(&mut self, kind: ErrorKind) -> RtmError {
        let error = self.logins.pop_front().expect("the login ended").unwrap_err();
        assert_eq!(error.kind(), kind);
        error
    }

    pub(crate) fn expect_login_under_way(&mut self) {
        assert_eq!(self.logins, []);
    }

    pub(crate) fn expect_logout_ok(&mut self) {
        assert_eq!(self.logouts.pop_front(), Some(Ok(())));
    }

    pub(crate) fn expect_logout_under_way(&mut self) {
        assert_eq!(self.logouts, []);
    }

    /// How often a new token was asked for since the last look.
    pub(crate) fn tokens_needed(&mut self) -> usize {
        std::mem::take(&mut self.tokens_needed)
    }

    /// How many pings went out since the last look.
    pub(crate) fn pings(&mut self) -> usize {
        std::mem::take(&mut self.pings)
    }
}
