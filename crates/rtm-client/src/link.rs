//! The link to the server: none, being made, or open.

use std::{
    fmt,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Duration,
};

use futures::{FutureExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use rtm_codec::{
    Answer, ClientFrame, ClientWire, CloseReason, Command, ErrorKind, Event, Refusal, RequestId, ServerFrame, Text,
    Wire,
    anyrtc::gateway::{Caller, GatewayAnswer, GatewayRequest},
    native,
};
use rtm_connection::{Dial, DialError};
use tokio::time::{sleep, timeout};

use crate::{
    address::Address,
    driver::Settings,
    gateway::{self, GatewayError},
    transport::{Closed, Network, Transport},
};

/// The link, and what it is made with.
pub(crate) struct Link<N> {
    network: Arc<N>,
    settings: Arc<Settings>,
    state: State,
}

enum State {
    /// There is none.
    None,
    /// It is being made.
    Dialing(BoxFuture<'static, Result<Open, DialError>>),
    /// It is there.
    Open(Box<Open>),
}

/// What became of a link since it was asked last.
pub(crate) enum Progress<'a> {
    /// It is open, with the session id of the vendor's gateway.
    Opened(Option<Text>),
    /// It could not be made.
    DialFailed(DialError),
    /// Frames came; they are to be drained.
    Frames(&'a mut Vec<ServerFrame>),
    /// It is over.
    Closed(Closed),
}

/// A link that stands. What dies with the socket lives here and nowhere else.
struct Open {
    transport: Transport,
    wire: ClientWire,
    /// What came in.
    frames: Vec<ServerFrame>,
    /// What comes after the frames.
    ended: Option<Closed>,
    /// Who asks the vendor's HTTP endpoints, on that wire.
    caller: Option<Caller>,
    posts: FuturesUnordered<BoxFuture<'static, Posted>>,
}

/// The outcome of a request to an HTTP endpoint.
enum Posted {
    Offline(Result<GatewayAnswer, GatewayError>),
    History(RequestId, Result<GatewayAnswer, GatewayError>),
}

impl<N: Network> Link<N> {
    pub(crate) fn new(network: N, settings: Arc<Settings>) -> Self {
        Self { network: Arc::new(network), settings, state: State::None }
    }

    /// Starts to make one.
    pub(crate) fn dial(&mut self, dial: Dial) {
        let (network, settings) = (Arc::clone(&self.network), Arc::clone(&self.settings));
        self.state = State::Dialing(Box::pin(async move { Open::dial(&*network, &settings, dial).await }));
    }

    /// Does what can be done without waiting; `read` says whether more may come in.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Progress<'_>> {
        match &mut self.state {
            State::None => return Poll::Pending,
            State::Dialing(dial) => {
                return match ready!(dial.poll_unpin(cx)) {
                    Ok(open) => {
                        let session = open.caller.as_ref().map(|caller| caller.session.clone());
                        self.state = State::Open(Box::new(open));
                        Poll::Ready(Progress::Opened(session))
                    }
                    Err(error) => {
                        self.state = State::None;
                        Poll::Ready(Progress::DialFailed(error))
                    }
                };
            }
            State::Open(open) => {
                if open.poll(cx, read) {
                    open.posts.push(offline(Arc::clone(&self.network), &self.settings, open.caller.clone()));
                    cx.waker().wake_by_ref();
                }
                // What came before the end is told before the end.
                if open.frames.is_empty()
                    && let Some(closed) = open.ended.take()
                {
                    self.state = State::None;
                    return Poll::Ready(Progress::Closed(closed));
                }
            }
        }
        match &mut self.state {
            State::Open(open) if !open.frames.is_empty() => Poll::Ready(Progress::Frames(&mut open.frames)),
            _ => Poll::Pending,
        }
    }

    /// Sends a frame with the next write.
    pub(crate) fn send(&mut self, frame: &ClientFrame) {
        let State::Open(open) = &mut self.state else { return };
        open.wire.encode(frame);
        open.frames.extend(std::iter::from_fn(|| open.wire.take_frame()));
    }

    /// Sends a request with the next write.
    pub(crate) fn request(&mut self, id: RequestId, command: &Command) {
        let State::Open(open) = &mut self.state else { return };
        if let (Command::QueryHistory(query), Some(caller)) = (command, &open.caller) {
            let request = GatewayRequest::History { caller: caller.clone(), query: query.clone() };
            open.posts.push(post(id, Arc::clone(&self.network), &self.settings, request));
            return;
        }
        open.wire.encode_request(id, command);
        open.frames.extend(std::iter::from_fn(|| open.wire.take_frame()));
    }

    /// Ends it. The future writes what was sent and says goodbye.
    pub(crate) fn close(&mut self, reason: CloseReason) -> Option<BoxFuture<'static, ()>> {
        match std::mem::replace(&mut self.state, State::None) {
            State::None | State::Dialing(_) => None,
            State::Open(open) => {
                let Open { transport, mut wire, .. } = *open;
                Some(Box::pin(transport.close(reason, move || wire.take_packet())))
            }
        }
    }
}

impl Open {
    async fn dial(network: &impl Network, settings: &Settings, dial: Dial) -> Result<Self, DialError> {
        let made = match settings.wire {
            Wire::Vendor => Self::dial_vendor(network, settings, dial).await,
            Wire::Native => Self::open(network, &settings.gateway, Wire::Native, None).await,
        };
        if let Err(error) = &made {
            tracing::debug!(gateway = %settings.gateway, detail = error.detail.as_str(), "no link could be made");
        }
        made
    }

    async fn open(
        network: &impl Network,
        address: &Address,
        wire: Wire,
        caller: Option<Caller>,
    ) -> Result<Self, DialError> {
        let subprotocol = (wire == Wire::Native).then_some(native::SUBPROTOCOL);
        let transport = timeout(OPEN_TIMEOUT, Transport::open(network, address, subprotocol))
            .await
            .map_err(|_| no_link(address, &"it did not answer in time", true))?
            .map_err(|error| no_link(address, &error, !error.is_lasting()))?;
        Ok(Self {
            transport,
            wire: ClientWire::new(wire),
            frames: Vec::new(),
            ended: None,
            caller,
            posts: FuturesUnordered::new(),
        })
    }

    /// Asks the gateway which server to connect to, and takes the first one there that can be reached.
    async fn dial_vendor(network: &impl Network, settings: &Settings, dial: Dial) -> Result<Self, DialError> {
        let Dial { credentials, attempt, .. } = dial;
        let request = GatewayRequest::Connect {
            app_id: credentials.app_id.clone(),
            user_id: Some(credentials.user_id.clone()),
            token: credentials.token,
            tls: settings.gateway.tls,
        };
        let gateway = &settings.gateway;
        let answer = gateway::ask(network, gateway, &request)
            .await
            .map_err(|error| no_link(gateway, &error, !error.is_lasting()))?;
        let (session, mut addresses) = match answer {
            GatewayAnswer::Connect { session, addresses } => (session, addresses),
            GatewayAnswer::Refused(kind) => return Err(DialError { kind, retry: false, detail: Text::default() }),
            _ => return Err(no_link(gateway, &"it says to try again", true)),
        };
        let caller = Caller { app_id: credentials.app_id, user_id: credentials.user_id, session };
        let mut failed = no_link(gateway, &"it names no server", true);
        // Each attempt begins with another one, for the case that its time is over before it comes to the last.
        let first = attempt.saturating_sub(1) as usize % addresses.len().max(1);
        addresses.rotate_left(first);
        for address in addresses {
            let address = Address::new(&address.host, address.port, gateway.tls);
            match Self::open(network, &address, Wire::Vendor, Some(caller.clone())).await {
                Ok(open) => return Ok(open),
                Err(error) => failed = error,
            }
        }
        Err(failed)
    }

    /// Writes and reads. True when a login succeeded on a wire where that is the time to fetch what was stored.
    fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> bool {
        if self.ended.is_some() {
            return false;
        }
        // What the server said before it went away may still be there to read, and may say why it went.
        let broken = match self.transport.poll_write(cx, || self.wire.take_packet()) {
            Poll::Ready(Err(closed)) => Some(closed),
            Poll::Ready(Ok(())) | Poll::Pending => None,
        };
        let mut drained = !read && broken.is_none();
        for _ in 0..PACKETS_A_TURN {
            if drained || self.ended.is_some() {
                break;
            }
            match self.transport.poll_read(cx) {
                Poll::Ready(Ok(packet)) => {
                    if let Err(error) = self.wire.decode(packet, &mut self.frames) {
                        self.ended = Some(Closed { reason: None, detail: error.to_string() });
                    }
                }
                Poll::Ready(Err(closed)) => self.ended = Some(closed),
                Poll::Pending => drained = true,
            }
        }
        if self.ended.is_none() {
            if drained {
                self.ended = broken;
            } else {
                // There is more to read, and nobody else would say so.
                cx.waker().wake_by_ref();
            }
        }
        while let Poll::Ready(Some(posted)) = self.posts.poll_next_unpin(cx) {
            self.posted(posted);
        }
        self.caller.is_some() && self.frames.iter().any(|frame| matches!(frame, ServerFrame::Welcome(_)))
    }

    fn posted(&mut self, posted: Posted) {
        match posted {
            Posted::Offline(Ok(GatewayAnswer::OfflineMessages(messages))) => {
                let ClientWire::Vendor(codec) = &mut self.wire else { return };
                let events = messages.into_iter().map(|message| codec.number(Event::MessageFromPeer(message)));
                self.frames.extend(events);
            }
            Posted::Offline(answer) => {
                let error = answer.map_or_else(|error| error.to_string(), |_| "it refused".to_owned());
                tracing::warn!(error, "messages stored while offline stay on the server: they cannot be fetched");
            }
            Posted::History(id, answer) => {
                let result = match answer {
                    Ok(GatewayAnswer::History(page)) => Ok(Answer::QueryHistory(page)),
                    Ok(GatewayAnswer::Refused(kind)) => Err(Refusal::from(kind)),
                    Ok(_) => Err(Refusal::new(ErrorKind::Failure, "the gateway says to try again")),
                    Err(GatewayError::Timeout) => Err(Refusal::from(ErrorKind::Timeout)),
                    Err(error) => Err(Refusal::new(ErrorKind::GatewayConnectFailed, &error.to_string())),
                };
                self.frames.push(ServerFrame::Reply { id, result });
            }
        }
    }
}

fn no_link(address: &Address, what: &dyn fmt::Display, retry: bool) -> DialError {
    DialError { kind: ErrorKind::GatewayConnectFailed, retry, detail: Text::from(format!("{address}: {what}")) }
}

/// Fetches what was stored while the user was away, which on the vendor's wire a client asks for.
fn offline<N: Network>(network: Arc<N>, settings: &Settings, caller: Option<Caller>) -> BoxFuture<'static, Posted> {
    let address = settings.gateway.clone();
    Box::pin(async move {
        let Some(caller) = caller else { return Posted::Offline(Ok(GatewayAnswer::OfflineMessages(Vec::new()))) };
        let request = GatewayRequest::OfflineMessages { caller };
        for _ in 1..OFFLINE_TRIES {
            match gateway::ask(&*network, &address, &request).await {
                Ok(GatewayAnswer::TryAgain) | Err(_) => sleep(TRY_AGAIN_AFTER).await,
                answer => return Posted::Offline(answer),
            }
        }
        Posted::Offline(gateway::ask(&*network, &address, &request).await)
    })
}

fn post<N: Network>(
    id: RequestId,
    network: Arc<N>,
    settings: &Settings,
    request: GatewayRequest,
) -> BoxFuture<'static, Posted> {
    let address = settings.gateway.clone();
    Box::pin(async move { Posted::History(id, gateway::ask(&*network, &address, &request).await) })
}

/// How long opening a WebSocket may take: the connection gives an attempt twice as long.
const OPEN_TIMEOUT: Duration = Duration::from_secs(3);

/// How many packets are read before other sources get their turn.
const PACKETS_A_TURN: usize = 64;

/// How often stored messages are asked for, and after what pause again.
const OFFLINE_TRIES: u32 = 5;
const TRY_AGAIN_AFTER: Duration = Duration::from_secs(2);

#[cfg(test)]
mod tests;
