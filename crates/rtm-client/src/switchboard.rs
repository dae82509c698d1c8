//! A server that does what a test says, over streams in memory, so that the clock can be stopped.

use std::{future::poll_fn, io, pin::Pin};

use async_tungstenite::{
    WebSocketStream,
    tokio::{TokioAdapter, accept_hdr_async},
    tungstenite::{
        Message,
        handshake::server::{ErrorResponse, Request, Response},
        http::{HeaderValue, header::SEC_WEBSOCKET_PROTOCOL},
        protocol::CloseFrame,
    },
};
use bytes::Bytes;
use futures::{Sink, StreamExt};
use http_body_util::{BodyExt, Full};
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::TokioIo;
use rtm_codec::{
    Answer, ClientFrame, CloseReason, Command, Epoch, Login, Packet, RequestId, Resumption, Seq, ServerFrame,
    ServerWire, SessionId, SessionTicket, SharedEvent, UserId, Welcome, Wire,
    anyrtc::gateway::{Endpoint, GatewayAnswer, GatewayRequest},
};
use tokio::{
    io::{DuplexStream, duplex},
    sync::mpsc,
};

use crate::{
    Client, ClientBuilder, Events,
    address::Address,
    network::{Io, Network},
};

pub(crate) const APP_ID: &str = "0123456789abcdef0123456789abcdef";

/// A network with one server, which takes each connection by hand.
pub(crate) struct Switchboard {
    calls: mpsc::UnboundedReceiver<(Address, DuplexStream)>,
}

struct Wires {
    calls: mpsc::UnboundedSender<(Address, DuplexStream)>,
    capacity: usize,
}

impl Network for Wires {
    async fn connect(&self, address: &Address) -> io::Result<Box<dyn Io>> {
        let (here, there) = duplex(self.capacity);
        self.calls.send((address.clone(), there)).map_err(|_| io::Error::from(io::ErrorKind::ConnectionRefused))?;
        Ok(Box::new(here))
    }
}

/// A client of the builder's settings whose network is the switchboard.
pub(crate) fn client(builder: &ClientBuilder) -> (Client, Events, Switchboard) {
    client_over(builder, 64 * 1024)
}

/// The same, with streams that hold `capacity` bytes in each direction.
pub(crate) fn client_over(builder: &ClientBuilder, capacity: usize) -> (Client, Events, Switchboard) {
    let (calls, taken) = mpsc::unbounded_channel();
    let builder = builder.clone().gateway("http://gateway").app_id(APP_ID).seed(7);
    let (client, events, driver) = builder.assemble(Wires { calls, capacity }).unwrap();
    tokio::spawn(driver.run());
    (client, events, Switchboard { calls: taken })
}

impl Switchboard {
    /// The next connection that the client makes, with where to.
    pub(crate) async fn call(&mut self) -> (Address, DuplexStream) {
        self.calls.recv().await.expect("the client is gone")
    }

    /// The server's end of the next WebSocket.
    pub(crate) async fn accept(&mut self) -> Peer {
        let (_, stream) = self.call().await;
        Peer::new(stream).await
    }

    /// Takes the next WebSocket and its login.
    pub(crate) async fn accept_login(&mut self) -> (Peer, Login) {
        let mut peer = self.accept().await;
        let login = peer.login(Resumption::New).await;
        (peer, login)
    }

    /// Answers the next HTTP request, with the request's body decoded.
    pub(crate) async fn answer_post(&mut self, answer: GatewayAnswer) -> GatewayRequest {
        let (_, stream) = self.call().await;
        let (sender, mut asked) = mpsc::unbounded_channel();
        let service = service_fn(move |request: hyper::Request<Incoming>| {
            let (sender, body) = (sender.clone(), answer.encode());
            async move {
                let endpoint = Endpoint::find(request.uri().path(), request.uri().query()).expect("a known endpoint");
                let asked = request.into_body().collect().await?.to_bytes();
                sender.send(GatewayRequest::decode(endpoint, &asked).expect("a request")).expect("a test");
                Ok::<_, hyper::Error>(hyper::Response::new(Full::new(Bytes::from(body))))
            }
        });
        // The client hangs up after the answer.
        let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        asked.recv().await.expect("a request")
    }
}

/// The server's end of a WebSocket.
pub(crate) struct Peer {
    socket: WebSocketStream<TokioAdapter<DuplexStream>>,
    wire: ServerWire,
    frames: std::collections::VecDeque<ClientFrame>,
    next: Seq,
}

/// How a WebSocket ended, seen from the server.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    Code(u16),
    Cut,
}

impl Peer {
    /// Takes a WebSocket on this stream.
    pub(crate) async fn new(stream: DuplexStream) -> Self {
        let mut wire = Wire::Vendor;
        #[expect(clippy::result_large_err, reason = "the library says so")]
        let choose = |request: &Request, mut response: Response| -> Result<Response, ErrorResponse> {
            if let Some(protocol) = request.headers().get(SEC_WEBSOCKET_PROTOCOL) {
                assert_eq!(protocol, "rtm.v1");
                wire = Wire::Native;
                response.headers_mut().insert(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static("rtm.v1"));
            }
            Ok(response)
        };
        let socket = accept_hdr_async(stream, choose).await.expect("a handshake");
        Self { socket, wire: ServerWire::new(wire), frames: Default::default(), next: Seq(1) }
    }

    /// Takes the client's login.
    pub(crate) async fn login(&mut self, resumption: Resumption) -> Login {
        let ClientFrame::Login(login) = self.recv().await else { panic!("the first frame is no login") };
        let welcome = Welcome {
            user_id: login.user_id.clone().unwrap_or_else(|| UserId::new("assigned").unwrap()),
            ticket: Some(SessionTicket::new(SessionId([7; 16]), Epoch(1))),
            resumption,
            token_expires_in_ms: None,
            server_time_ms: 0,
            limits: None,
        };
        self.send(ServerFrame::Welcome(Box::new(welcome))).await;
        *login
    }

    /// The next frame, whichever.
    pub(crate) async fn recv(&mut self) -> ClientFrame {
        self.try_recv().await.expect("the client closed")
    }

    /// The next frame, or how the WebSocket ended.
    pub(crate) async fn try_recv(&mut self) -> Result<ClientFrame, End> {
        loop {
            if let Some(frame) = self.frames.pop_front() {
                return Ok(frame);
            }
            let packet = match self.socket.next().await {
                Some(Ok(Message::Text(text))) => Packet::Text(text.as_str().into()),
                Some(Ok(Message::Binary(bytes))) => Packet::Binary(bytes),
                Some(Ok(Message::Close(frame))) => {
                    // Polling on answers the client's close frame.
                    while self.socket.next().await.is_some_and(|message| message.is_ok()) {}
                    return Err(frame.map_or(End::Cut, |frame| End::Code(frame.code.into())));
                }
                Some(Ok(_)) => continue,
                Some(Err(_)) | None => return Err(End::Cut),
            };
            let mut frames = Vec::new();
            self.wire.decode(packet, &mut frames).expect("a packet of the wire");
            self.frames.extend(frames);
        }
    }

    /// The next request; pings are answered, acks are ignored.
    pub(crate) async fn request(&mut self) -> (RequestId, Command) {
        loop {
            match self.recv().await {
                ClientFrame::Request { id, command } => return (id, command),
                ClientFrame::Ping => self.send(ServerFrame::Pong).await,
                ClientFrame::Ack { .. } => {}
                other => panic!("no request: {other:?}"),
            }
        }
    }

    /// How the WebSocket ends; everything before is skipped, a logout too.
    pub(crate) async fn end(&mut self) -> End {
        loop {
            if let Err(end) = self.try_recv().await {
                return end;
            }
        }
    }

    pub(crate) async fn reply(&mut self, id: RequestId, answer: Answer) {
        self.send(ServerFrame::Reply { id, result: Ok(answer) }).await;
    }

    pub(crate) async fn send(&mut self, frame: ServerFrame) {
        self.wire.encode(&frame);
        self.flush().await;
    }

    /// Sends an event with the next number.
    pub(crate) async fn event(&mut self, event: rtm_codec::Event) {
        self.wire.encode_event(self.next, &SharedEvent::new(event));
        self.next = self.next.next();
        self.flush().await;
    }

    /// Sends bytes that are not the protocol.
    pub(crate) async fn garbage(&mut self) {
        self.socket.send(Message::binary(vec![0xFF; 16])).await.expect("the client reads");
    }

    /// Closes with a reason's code, as a server does that has one.
    pub(crate) async fn close(mut self, reason: CloseReason) {
        let frame = CloseFrame { code: reason.websocket_code().into(), reason: reason.as_str().into() };
        let _ = self.socket.close(Some(frame)).await;
        while self.socket.next().await.is_some_and(|message| message.is_ok()) {}
    }

    /// The stream below the WebSocket, to write its bytes by hand.
    pub(crate) fn stream(&mut self) -> &mut DuplexStream {
        self.socket.get_mut().get_mut()
    }

    async fn flush(&mut self) {
        while let Some(packet) = self.wire.take_packet() {
            let message = match packet {
                Packet::Text(text) => Message::text(text.as_str()),
                Packet::Binary(bytes) => Message::Binary(bytes),
            };
            poll_fn(|cx| Pin::new(&mut self.socket).poll_ready(cx)).await.expect("the client reads");
            Pin::new(&mut self.socket).start_send(message).expect("the client reads");
        }
        poll_fn(|cx| Pin::new(&mut self.socket).poll_flush(cx)).await.expect("the client reads");
    }
}
