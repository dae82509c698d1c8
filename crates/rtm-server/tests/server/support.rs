//! A server and bare clients on real sockets. Every wait ends by an event; the timeouts only keep a
//! broken server from hanging the tests.

use std::{
    collections::VecDeque,
    future::Future,
    io::{BufRead, BufReader},
    net::SocketAddr,
    path::Path,
    process::{Child, Command as Program, Stdio},
    time::Duration,
};

use async_tungstenite::{
    WebSocketStream,
    tokio::{TokioAdapter, client_async},
    tungstenite::{Error, Message, client::IntoClientRequest, handshake::client::Request},
};
use futures::{SinkExt, StreamExt};
use rtm_codec::{
    AppId, ChannelId, ClientFrame, ClientWire, Command, Event, InstanceId, JoinChannel, KeepAlive, Login, MessageId,
    Packet, RequestId, RtmMessage, SendChannelMessage, SendMessageToPeer, Seq, ServerFrame, Token, UserId, Wire,
    native::SUBPROTOCOL,
};
use rtm_server::{ProjectConfig, Server, ServerBuilder, ServerConfig};
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

pub(crate) const APP: &str = "0123456789abcdef0123456789abcdef";

pub(crate) fn app_id() -> AppId {
    AppId::new(APP).unwrap()
}

pub(crate) fn user(name: &str) -> UserId {
    UserId::new(name).unwrap()
}

/// A server with one open project.
pub(crate) async fn server() -> Server {
    Server::builder().project(app_id()).bind("127.0.0.1:0").await.unwrap()
}

/// The same with other settings.
pub(crate) async fn server_with(change: impl FnOnce(&mut ServerConfig)) -> Server {
    let mut config = ServerConfig::default();
    config.listen = vec![SocketAddr::from(([127, 0, 0, 1], 0)).into()];
    config.projects = vec![ProjectConfig::new(app_id())];
    change(&mut config);
    ServerBuilder::from(config).start().await.unwrap()
}

/// Fails the test instead of hanging it.
pub(crate) async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    match timeout(Duration::from_secs(20), future).await {
        Ok(done) => done,
        Err(_) => panic!("{what} did not happen"),
    }
}

/// A client that only knows the wire.
pub(crate) struct Client<S = TcpStream> {
    socket: WebSocketStream<TokioAdapter<S>>,
    wire: ClientWire,
    frames: VecDeque<ServerFrame>,
    pub(crate) requests: u64,
}

/// How a socket ended: with this close code and text, or without.
pub(crate) type Closed = Option<(u16, String)>;

impl Client {
    /// Shakes hands, and does not log in.
    pub(crate) async fn connect(address: SocketAddr, wire: Wire) -> Self {
        let mut request = format!("ws://{address}/").into_client_request().unwrap();
        if wire == Wire::Native {
            request.headers_mut().insert("Sec-WebSocket-Protocol", SUBPROTOCOL.parse().unwrap());
        }
        let stream = TcpStream::connect(address).await.unwrap();
        Self::connect_over(stream, request, wire).await
    }

    /// Logs in to the open project.
    pub(crate) async fn login(address: SocketAddr, wire: Wire, name: &str) -> Self {
        let mut client = Self::connect(address, wire).await;
        client.log_in(name).await;
        client
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> Client<S> {
    /// Shakes hands over an open stream.
    pub(crate) async fn connect_over(stream: S, request: Request, wire: Wire) -> Self {
        let (socket, response) = soon("the handshake", client_async(request, stream)).await.unwrap();
        let chosen = response.headers().get("Sec-WebSocket-Protocol").map(|value| value.to_str().unwrap());
        assert_eq!(chosen, (wire == Wire::Native).then_some(SUBPROTOCOL));
        Self { socket, wire: ClientWire::new(wire), frames: VecDeque::new(), requests: 0 }
    }

    /// Logs in to the open project.
    pub(crate) async fn log_in(&mut self, name: &str) {
        self.log_in_with(name, |_| {}).await;
    }

    /// Logs in as another client object.
    pub(crate) async fn log_in_as(&mut self, name: &str, instance: &str) {
        self.log_in_with(name, |login| login.instance = InstanceId::new(instance).unwrap()).await;
    }

    pub(crate) async fn log_in_with(&mut self, name: &str, change: impl FnOnce(&mut Login)) {
        let ClientFrame::Login(mut frame) = login(name) else { panic!("a login") };
        change(&mut frame);
        self.send(ClientFrame::Login(frame)).await;
        match self.next().await {
            ServerFrame::Welcome(welcome) => assert_eq!(welcome.user_id, user(name)),
            other => panic!("{other:?}"),
        }
    }

    pub(crate) async fn send(&mut self, frame: ClientFrame) {
        self.try_send(frame).await.unwrap();
    }

    /// Sends to a server that may have closed the socket.
    pub(crate) async fn try_send(&mut self, frame: ClientFrame) -> Result<(), Error> {
        self.queue(&frame);
        self.feed().await?;
        soon("sending", self.socket.flush()).await
    }

    /// Leaves a frame for the next [`flush`](Self::flush).
    pub(crate) fn queue(&mut self, frame: &ClientFrame) {
        self.wire.encode(frame);
    }

    /// Sends what is queued.
    pub(crate) async fn flush(&mut self) {
        self.feed().await.unwrap();
        self.socket.flush().await.unwrap();
    }

    async fn feed(&mut self) -> Result<(), Error> {
        while let Some(packet) = self.wire.take_packet() {
            let message = match packet {
                Packet::Text(text) => Message::text(text.as_str()),
                Packet::Binary(bytes) => Message::binary(bytes),
            };
            self.socket.feed(message).await?;
        }
        Ok(())
    }

    /// The next WebSocket message as it is.
    pub(crate) async fn next_raw(&mut self) -> Message {
        soon("a message", self.socket.next()).await.unwrap().unwrap()
    }

    /// Sends a message as it is.
    pub(crate) async fn send_raw(&mut self, message: Message) {
        // A server that has closed already is a good answer too.
        let _ = soon("sending", self.socket.send(message)).await;
    }

    /// Sends bytes below WebSocket.
    pub(crate) async fn send_bytes(&mut self, bytes: &[u8]) {
        let stream = self.socket.get_mut().get_mut();
        // A server that has closed already is a good answer too.
        let _ = soon("sending", stream.write_all(bytes)).await;
    }

    pub(crate) async fn request(&mut self, command: impl Into<Command>) -> RequestId {
        self.requests += 1;
        let id = RequestId(self.requests);
        self.send(ClientFrame::Request { id, command: command.into() }).await;
        id
    }

    /// The next frame; pings are answered.
    pub(crate) async fn next(&mut self) -> ServerFrame {
        match self.next_or_close().await {
            Ok(frame) => frame,
            Err(closed) => panic!("the socket ended: {closed:?}"),
        }
    }

    pub(crate) async fn next_or_close(&mut self) -> Result<ServerFrame, Closed> {
        soon("a frame", async {
            loop {
                match self.frames.pop_front() {
                    Some(ServerFrame::Ping) => self.send(ClientFrame::Pong).await,
                    Some(frame) => return Ok(frame),
                    None => self.read().await?,
                }
            }
        })
        .await
    }

    async fn read(&mut self) -> Result<(), Closed> {
        let packet = match self.socket.next().await {
            Some(Ok(Message::Text(text))) => Packet::Text(text.as_str().into()),
            Some(Ok(Message::Binary(bytes))) => Packet::Binary(bytes),
            Some(Ok(Message::Close(Some(frame)))) => {
                let code = u16::from(frame.code);
                let reason = frame.reason.to_string();
                // Confirms the close.
                while let Some(Ok(_)) = self.socket.next().await {}
                return Err(Some((code, reason)));
            }
            Some(Ok(Message::Close(None))) | None => return Err(None),
            Some(Ok(_)) => return Ok(()),
            Some(Err(Error::Io(_) | Error::Protocol(_) | Error::ConnectionClosed)) => return Err(None),
            Some(Err(error)) => panic!("{error}"),
        };
        let mut frames = Vec::new();
        self.wire.decode(packet, &mut frames).unwrap();
        self.frames.extend(frames);
        while let Some(frame) = self.wire.take_frame() {
            self.frames.push_back(frame);
        }
        Ok(())
    }

    /// Waits for the end of the socket, and passes over what comes before it.
    pub(crate) async fn closed(&mut self) -> Closed {
        loop {
            if let Err(closed) = self.next_or_close().await {
                return closed;
            }
        }
    }

    /// Sends `text` to `peer`, which receives and acknowledges it: both are alive and well.
    pub(crate) async fn delivers_to(
        &mut self,
        peer: &mut Client<impl AsyncRead + AsyncWrite + Unpin>,
        name: &str,
        text: &str,
    ) {
        let message = SendMessageToPeer {
            message_id: MessageId(self.requests + 1),
            peer_id: user(name),
            message: RtmMessage::text(text),
            enable_offline_messaging: false,
            enable_historical_messaging: false,
        };
        let id = self.request(message).await;
        let seq = loop {
            match peer.next().await {
                ServerFrame::Event { seq, event: Event::MessageFromPeer(message) } => {
                    assert_eq!(message.message, RtmMessage::text(text));
                    break seq;
                }
                ServerFrame::Event { .. } | ServerFrame::Pong => {}
                other => panic!("{other:?}"),
            }
        };
        peer.ack(seq).await;
        loop {
            match self.next().await {
                ServerFrame::Reply { id: answered, result } if answered == id => {
                    let outcome = rtm_codec::Answer::SendMessageToPeer(rtm_codec::SendOutcome::Delivered);
                    assert_eq!(result, Ok(outcome));
                    return;
                }
                ServerFrame::Event { .. } | ServerFrame::Pong => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Both ways, so that both are seen to be well.
    pub(crate) async fn talks_with(
        &mut self,
        own_name: &str,
        peer: &mut Client<impl AsyncRead + AsyncWrite + Unpin>,
        name: &str,
    ) {
        self.delivers_to(peer, name, "how are you?").await;
        peer.delivers_to(self, own_name, "well").await;
    }

    /// Joins a channel, and passes over what comes before the answer.
    pub(crate) async fn joins(&mut self, channel: &str) {
        let id = self.request(JoinChannel { channel_id: ChannelId::new(channel).unwrap() }).await;
        while !matches!(self.next().await, ServerFrame::Reply { id: answered, .. } if answered == id) {}
    }

    /// Sends a message to a channel, without waiting for the answer.
    pub(crate) async fn says(&mut self, channel: &str, text: &str) {
        let message_id = MessageId(self.requests + 1);
        let channel_id = ChannelId::new(channel).unwrap();
        let message = RtmMessage::text(text);
        self.request(SendChannelMessage { message_id, channel_id, message, enable_historical_messaging: false }).await;
    }

    /// The next event that brings a message, in a channel or from a peer.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            let message = match self.next().await {
                ServerFrame::Event { event: Event::ChannelMessage { message, .. }, .. } => message,
                ServerFrame::Event { event: Event::MessageFromPeer(it), .. } => it.message,
                _ => continue,
            };
            return message.as_text().unwrap().to_owned();
        }
    }

    pub(crate) async fn ack(&mut self, seq: Seq) {
        self.send(ClientFrame::Ack { received: seq, consumed: seq, answered: RequestId(self.requests + 1) }).await;
    }
}

/// A login to the open project.
pub(crate) fn login(name: &str) -> ClientFrame {
    login_with(app_id(), name, None)
}

pub(crate) fn login_with(app_id: AppId, name: &str, token: Option<&str>) -> ClientFrame {
    ClientFrame::Login(Box::new(Login {
        app_id,
        user_id: Some(user(name)),
        token: token.map(|token| Token::new(token).unwrap()),
        instance: InstanceId::new(format!("instance-{name}")).unwrap(),
        resume: None,
        keep_alive: KeepAlive::Client { interval_ms: 10_000 },
        window: 0,
        abilities: Wire::Native.abilities(),
        gateway_session: None,
    }))
}

/// A server in a process of its own: it runs the test `process::serve_until_killed`.
pub(crate) struct Process(Child);

impl Process {
    /// Starts it after the shell command `prepare`, keeping its data in `directory` if there is one.
    pub(crate) fn start(prepare: &str, directory: Option<&Path>) -> (Self, SocketAddr) {
        let own = std::env::current_exe().unwrap();
        let serve = "exec \"$0\" process::serve_until_killed --exact --ignored --nocapture";
        let mut command = Program::new("sh");
        command.args(["-c", &format!("{prepare}; {serve}")]).arg(own).stdout(Stdio::piped());
        if let Some(directory) = directory {
            command.env("RTM_DATA_DIR", directory);
        }
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| line.unwrap().strip_prefix("listening on ")?.parse().ok());
        (Self(child), address.expect("it listens"))
    }

    /// Kills it without a chance to say goodbye.
    pub(crate) fn kill(mut self) {
        self.0.kill().unwrap();
        self.0.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have been killed already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// An HTTP answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.head.lines().skip(1).find_map(|line| {
            let (key, value) = line.split_once(": ")?;
            key.eq_ignore_ascii_case(name).then_some(value)
        })
    }

    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }
}

/// Sends bytes and reads until the server closes.
pub(crate) async fn http(address: SocketAddr, request: impl AsRef<[u8]>) -> Answer {
    let mut stream = TcpStream::connect(address).await.unwrap();
    let mut bytes = Vec::new();
    soon("an answer", async {
        // A server that has closed already is a good answer too.
        let _ = stream.write_all(request.as_ref()).await;
        let _ = stream.read_to_end(&mut bytes).await;
    })
    .await;
    parse(&bytes)
}

pub(crate) fn parse(bytes: &[u8]) -> Answer {
    let text = String::from_utf8(bytes.to_vec()).unwrap();
    let (head, body) = text.split_once("\r\n\r\n").unwrap_or_else(|| panic!("no answer: {text:?}"));
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap();
    Answer { status, head: head.to_owned(), body: body.to_owned() }
}

pub(crate) async fn post(address: SocketAddr, path: &str, body: &str) -> Answer {
    let len = body.len();
    let request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: {len}\r\n\r\n{body}");
    http(address, request).await
}

pub(crate) const GATEWAY: &str = "/arapi/v1?action=wrtm_gateway";
