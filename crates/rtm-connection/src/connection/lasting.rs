//! What a connection keeps over any number of logins.

use std::{
    collections::{BTreeSet, VecDeque},
    time::Instant,
};

use rtm_codec::{ClientFrame, InstanceId, MessageId, RequestId};

use crate::{
    AskId, Config, ConnectionChangeReason, ConnectionState, Output, RtmEvent, gateways::Gateways, invitation::CallIds,
    limiter::Limiter, pending::Pending, recent::Recent, rng::Rng, stream::Stream,
};

/// What a connection keeps over any number of logins.
#[derive(Debug)]
pub(super) struct Lasting {
    pub(super) config: Config,
    pub(super) rng: Rng,
    pub(super) now: Option<Instant>,
    /// The driver was asked to say by then that time has passed.
    pub(super) waits_until: Option<Instant>,
    /// Until then nothing is judged for want of an answer: the process stood still, and what came meanwhile is yet to
    /// be read.
    pub(super) judges_from: Option<Instant>,
    pub(super) queue: VecDeque<Output>,
    /// What the user has yet to take of earlier sessions' events is counted on.
    pub(super) stream: Stream,
    pub(super) recent: Recent,
    pub(super) limiter: Limiter,
    pub(super) call_ids: CallIds,
    pub(super) gateways: Gateways,
    pub(super) next_request: RequestId,
    pub(super) next_message: u64,
    pub(super) next_ask: u64,
}

impl Lasting {
    pub(super) fn new(config: Config, seed: u64) -> Self {
        let config = config.clamped();
        let mut rng = Rng::new(seed);
        Self {
            now: None,
            waits_until: None,
            judges_from: None,
            queue: VecDeque::new(),
            stream: Stream::default(),
            recent: Recent::new(rng.next()),
            limiter: Limiter::new(&config),
            call_ids: CallIds::new(rng.next()),
            next_request: RequestId(1),
            next_message: rng.next(),
            next_ask: 0,
            gateways: Gateways::new(config.gateways.len(), &mut rng),
            config,
            rng,
        }
    }

    pub(super) fn take_request_id(&mut self) -> RequestId {
        let id = self.next_request;
        self.next_request = id.next();
        id
    }

    pub(super) fn take_ask_id(&mut self) -> AskId {
        self.next_ask += 1;
        AskId(self.next_ask)
    }

    /// At most 13 decimal digits, as the vendor's wire has it.
    pub(super) fn take_message_id(&mut self) -> MessageId {
        self.next_message = self.next_message.wrapping_add(1);
        MessageId(1 + self.next_message % 9_999_999_999_999)
    }

    /// What tells one session of this client object from every other.
    pub(super) fn new_instance(&mut self) -> InstanceId {
        let (high, low) = (self.rng.next(), self.rng.next());
        InstanceId::new(format!("{high:016x}{low:016x}")).expect("32 hexadecimal digits")
    }

    /// Every request below this one is answered.
    pub(super) fn answered(&self, pending: &Pending) -> RequestId {
        pending.lowest().unwrap_or(self.next_request)
    }

    pub(super) fn take_ack(&mut self, pending: &Pending, anything: bool) -> Option<ClientFrame> {
        self.stream.take_ack(self.answered(pending), self.config.window, anything)
    }

    /// Tells the user something that the server did not number.
    pub(super) fn emit(&mut self, event: RtmEvent) {
        self.stream.push_local();
        self.queue.push_back(Output::Event(event));
    }

    pub(super) fn changed(&mut self, state: ConnectionState, reason: ConnectionChangeReason) {
        self.emit(RtmEvent::ConnectionStateChanged { state, reason });
    }

    pub(super) fn send(&mut self, frame: ClientFrame) {
        self.queue.push_back(Output::Send(frame));
    }

    /// Nobody waits for these any more. Those that nobody was told of are not asked.
    pub(super) fn cancel_asks(&mut self, mut asks: BTreeSet<AskId>) {
        self.queue.retain(|output| !matches!(output, Output::Ask { id, .. } if asks.remove(id)));
        self.queue.extend(asks.into_iter().map(Output::CancelAsk));
    }

    /// Takes back what was not handed to the link yet, and names the requests among it.
    pub(super) fn unsend(&mut self, mut request: impl FnMut(RequestId)) {
        self.queue.retain(|output| match output {
            Output::Request { id, .. } => {
                request(*id);
                false
            }
            Output::Send(_) => false,
            _ => true,
        });
    }
}
