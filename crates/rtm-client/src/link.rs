//! The link to the server: one WebSocket and one codec. There is none, or it is being made, or open.

use std::{
    sync::Arc,
    task::{Context, Poll, ready},
};

use futures::{FutureExt, future::BoxFuture};
use rtm_codec::{ClientFrame, ClientWire, CloseReason, Command, RequestId, ServerFrame, Text, Wire, native};
use rtm_connection::{Target, TransportError};

use crate::{
    address::Address,
    handshake::OpenError,
    network::Network,
    settings::Settings,
    stats::Figures,
    transport::{Closed, Transport},
};

/// The link, and what it is made with.
pub(crate) struct Link<N> {
    network: Arc<N>,
    settings: Arc<Settings>,
    figures: Arc<Figures>,
    state: State,
}

enum State {
    /// There is none.
    None,
    /// It is being made.
    Dialing(BoxFuture<'static, Result<Open, TransportError>>),
    /// It is there.
    Open(Box<Open>),
}

/// What became of a link since it was asked last.
pub(crate) enum Progress<'a> {
    /// It is open.
    Opened,
    /// It could not be made.
    DialFailed(TransportError),
    /// Frames came; they are to be drained.
    Frames(&'a mut Vec<ServerFrame>),
    /// A part of a packet came.
    Bytes,
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
}

impl<N: Network> Link<N> {
    pub(crate) fn new(network: Arc<N>, settings: Arc<Settings>, figures: Arc<Figures>) -> Self {
        Self { network, settings, figures, state: State::None }
    }

    /// Starts to make one. One that was being made is given up.
    pub(crate) fn dial(&mut self, target: Target) {
        let (network, wire) = (Arc::clone(&self.network), self.settings.wire);
        let is_named = matches!(target, Target::Server { .. });
        let (address, figures) = (self.settings.address(target), Arc::clone(&self.figures));
        self.state = State::Dialing(Box::pin(async move {
            let open = Open::dial(&*network, wire, &address, figures).await;
            open.map_err(|error| {
                crate::log::no_link(&address, &error);
                if is_named { named(error, &address) } else { error }
            })
        }));
    }

    /// Does what can be done without waiting; `read` says whether more may come in.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, read: bool) -> Poll<Progress<'_>> {
        match &mut self.state {
            State::None => return Poll::Pending,
            State::Dialing(dial) => {
                return match ready!(dial.poll_unpin(cx)) {
                    Ok(open) => {
                        self.state = State::Open(Box::new(open));
                        Poll::Ready(Progress::Opened)
                    }
                    Err(error) => {
                        self.state = State::None;
                        Poll::Ready(Progress::DialFailed(error))
                    }
                };
            }
            State::Open(open) => {
                open.poll(cx, read);
                // What came before the end is told before the end.
                if open.frames.is_empty()
                    && let Some(closed) = open.ended.take()
                {
                    self.state = State::None;
                    return Poll::Ready(Progress::Closed(closed));
                }
            }
        }
        let State::Open(open) = &mut self.state else { return Poll::Pending };
        match (open.transport.take_heard(), &mut open.frames) {
            (_, frames) if !frames.is_empty() => Poll::Ready(Progress::Frames(frames)),
            (true, _) => Poll::Ready(Progress::Bytes),
            (false, _) => Poll::Pending,
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

/// The same error, of an address that the user did not give.
fn named(error: TransportError, address: &Address) -> TransportError {
    let place = format!("the address that the gateway named could not be reached: {address}");
    let detail = if error.detail.is_empty() { place } else { format!("{place}: {}", error.detail) };
    TransportError { detail: Text::from(detail), ..error }
}

impl Open {
    async fn dial(
        network: &impl Network,
        wire: Wire,
        address: &Address,
        figures: Arc<Figures>,
    ) -> Result<Self, TransportError> {
        let subprotocol = (wire == Wire::Native).then_some(native::SUBPROTOCOL);
        let transport = Transport::open(network, address, subprotocol, figures).await;
        let transport = transport.map_err(OpenError::into_transport_error)?;
        Ok(Self { transport, wire: ClientWire::new(wire), frames: Vec::new(), ended: None })
    }

    /// Writes and reads.
    fn poll(&mut self, cx: &mut Context<'_>, read: bool) {
        if self.ended.is_some() {
            return;
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
                        self.ended = Some(Closed::broken(error.to_string()));
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
    }
}

/// How many packets are read before other sources get their turn.
const PACKETS_A_TURN: usize = 64;

#[cfg(test)]
mod tests;
