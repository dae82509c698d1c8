//! The server's half of the vendor's wire.

use std::{
    collections::{BTreeMap, VecDeque},
    mem,
};

use compact_str::CompactString;

use super::{
    answers,
    cmd::Cmd,
    envelope::{self, Content, Head},
    events::{self, Receipt},
    fields::{Number, Str},
    receipts::Receipts,
    requests::{self, Asked, Echo},
    shapes,
};
use crate::{
    Abilities, AppId, ClientFrame, CloseReason, DecodeError, DecodeErrorKind, ErrorKind, Event, Family, InstanceId,
    KeepAlive, Login, Packet, Refusal, RequestId, Seq, ServerFrame, SharedEvent, Text, Token, UserId, Wire,
    limits::REQUESTS_IN_FLIGHT,
};

/// One socket's state, server side: which requests wait for their answers, and what each answer has to repeat; which
/// events have arrived; which calls the client knows.
///
/// * Requests have no numbers of their own on this wire: they are numbered here, from 1, anew on each
///   socket. Number 0 is the login itself, where its arguments break the rules.
/// * The `FromUId` that a client writes is not read: it could be anybody's.
/// * More than [`REQUESTS_IN_FLIGHT`] unanswered requests, or 32,768 messages that the client does not
///   acknowledge, are an error of [`decode`](Self::decode).
/// * The SDK forgets its calls when it reconnects, and throws when an event names a forgotten one. Such an event is not
///   written, and counts as received. The latest 1,024 calls of a socket are remembered.
#[derive(Debug, Default)]
pub struct ServerCodec {
    user_id: CompactString,
    keep_alive_by_server: bool,
    keeps_calls: bool,
    last_request: RequestId,
    unanswered: BTreeMap<RequestId, Echo>,
    out: VecDeque<Packet>,
    receipts: Receipts,
    made: Calls,
    received: Calls,
}

impl ServerCodec {
    /// For a socket just accepted.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one packet of the client and appends the frames in it. An [`Ack`](ClientFrame::Ack) right
    /// behind another one takes its place.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet is not of this wire; the connection is to be closed.
    #[expect(clippy::needless_pass_by_value, reason = "one signature for both wires")]
    pub fn decode(&mut self, packet: Packet, frames: &mut Vec<ClientFrame>) -> Result<(), DecodeError> {
        self.receipts.check().map_err(|kind| DecodeError::new("unacknowledged messages", kind))?;
        envelope::read(&packet, |head, content| {
            let Some(cmd) = head.cmd else { return Ok(()) };
            match cmd {
                Cmd::RecvMsgFromPeerAck => {
                    let it = content.read::<shapes::RecvMsgFromPeerAck<'_>>()?;
                    if let Some(msg_id) = it.msg_id.0 {
                        self.receipts.acknowledge(&Receipt { msg_id, from: CompactString::new(it.from.as_str()) });
                    }
                    if let Some(received) = self.receipts.take() {
                        let ack = ClientFrame::Ack { received, consumed: received, answered: self.answered() };
                        match frames.last_mut() {
                            Some(last @ ClientFrame::Ack { .. }) => *last = ack,
                            _ => frames.push(ack),
                        }
                    }
                }
                Cmd::KeepAlive if self.keep_alive_by_server => frames.push(ClientFrame::Pong),
                Cmd::KeepAlive => frames.push(ClientFrame::Ping),
                Cmd::Login => frames.push(self.login(head, content)?),
                Cmd::Logout => frames.push(ClientFrame::Logout),
                cmd => {
                    if let Some(asked) = requests::read(cmd, content)? {
                        frames.push(self.request(asked)?);
                    }
                }
            }
            Ok(())
        })
    }

    /// Appends a frame to what goes out.
    pub fn encode(&mut self, frame: &ServerFrame) {
        match frame {
            ServerFrame::Welcome(welcome) => {
                self.user_id = CompactString::new(welcome.user_id.as_str());
                self.object(
                    Cmd::Login,
                    &shapes::LoginAnswer { code: Number(Some(0)), user_id: Str::from(&welcome.user_id) },
                );
            }
            // To the SDK that would be for good: the end of the connection says it.
            ServerFrame::Refused(refusal) if refusal.kind == ErrorKind::TooOften => {}
            ServerFrame::Refused(refusal) | ServerFrame::Reply { id: LOGIN, result: Err(refusal) } => {
                let code = Number(Some(answers::number(Family::Login, refusal.kind)));
                self.object(Cmd::Login, &shapes::LoginAnswer { code, user_id: Str::from("") });
            }
            ServerFrame::Reply { id, result } => {
                let Some(echo) = self.unanswered.remove(id) else { return };
                let answer = match (echo.cmd, result) {
                    (Cmd::AcceptCall, Err(refusal)) => self.refused_acceptance(&echo, refusal),
                    _ => answers::write(&echo, &self.user_id, result),
                };
                self.call_answered(&echo, result.as_ref().err());
                if let Some(answer) = answer {
                    self.text(Text::from(answer));
                }
            }
            ServerFrame::Event { seq, event } => self.encode_one_event(*seq, event),
            ServerFrame::Ping => self.empty(Cmd::ReqKeepAlive),
            ServerFrame::Pong => self.empty(Cmd::KeepAlive),
            ServerFrame::Close(CloseReason::RemoteLogin) => self.empty(Cmd::ForceOffline),
            ServerFrame::Close(CloseReason::TokenExpired) => self.empty(Cmd::AcsTokenDidExpire),
            ServerFrame::Close(CloseReason::Logout) => {
                let done = shapes::Done { code: Number(Some(0)), ..Default::default() };
                self.object(Cmd::Logout, &done);
            }
            // The close frame says the rest.
            ServerFrame::Close(_) => {}
        }
    }

    /// Appends an event to what goes out; its bytes are made once for all receivers. An event that this
    /// wire cannot say (a gap, a binary message) is not written, and counts as received.
    pub fn encode_event(&mut self, seq: Seq, event: &SharedEvent) {
        // An event of an invitation names its one receiver.
        let Some(encoded) = event.encoded().filter(|_| events::call_id(event.event()).is_none()) else {
            return self.encode_one_event(seq, event.event());
        };
        let packet = encoded.vendor(|event| events::write(event, "").map(Text::shared).unwrap_or_default()).clone();
        self.event(seq, event.event(), (!packet.is_empty()).then_some(packet));
    }

    fn encode_one_event(&mut self, seq: Seq, event: &Event) {
        let packet = self.knows_call(event).then(|| events::write(event, &self.user_id)).flatten();
        self.event(seq, event, packet.map(Text::from));
    }

    /// The next packet to send; one frame each.
    pub fn take_packet(&mut self) -> Option<Packet> {
        let packet = self.out.pop_front();
        if self.out.is_empty() {
            self.receipts.written();
            if self.out.capacity() > PACKETS_AT_REST {
                self.out = VecDeque::new();
            }
        }
        packet
    }

    /// How far the events are written that need no acknowledgement of the client, to be fed to the session after the
    /// packets are written.
    pub fn take_written(&mut self) -> Option<ClientFrame> {
        self.receipts.take().map(|up_to| ClientFrame::Written { up_to })
    }

    /// Every request below this one is answered.
    fn answered(&self) -> RequestId {
        self.unanswered.first_key_value().map_or_else(|| self.last_request.next(), |(id, _)| *id)
    }

    fn login(&mut self, head: &Head<'_>, content: &mut Content<'_>) -> Result<ClientFrame, DecodeErrorKind> {
        let it = content.read::<shapes::Login<'_>>()?;
        self.keep_alive_by_server = it.server_keep_alive.0;
        self.keeps_calls = it.keeps_calls.0;
        Ok(match read_login(head, &it) {
            Ok(login) => ClientFrame::Login(Box::new(login)),
            Err(refusal) => ClientFrame::BadRequest { id: LOGIN, refusal },
        })
    }

    fn request(&mut self, Asked { echo, command }: Asked) -> Result<ClientFrame, DecodeErrorKind> {
        if self.unanswered.len() == REQUESTS_IN_FLIGHT {
            return Err(DecodeErrorKind::TooMany { limit: REQUESTS_IN_FLIGHT });
        }
        let id = self.last_request.next();
        self.last_request = id;
        if echo.cmd == Cmd::MakeCall {
            self.made.add(&echo.name);
        }
        self.unanswered.insert(id, echo);
        Ok(match command {
            Ok(command) => ClientFrame::Request { id, command },
            Err(refusal) => ClientFrame::BadRequest { id, refusal },
        })
    }

    /// The SDK waits for a word on its acceptance. Where the call ended on this socket it had that word.
    fn refused_acceptance(&self, echo: &Echo, refusal: &Refusal) -> Option<String> {
        (self.keeps_calls || self.received.has(&echo.name))
            .then(|| answers::write_refused_acceptance(echo, &self.user_id, refusal))
    }

    fn call_answered(&mut self, echo: &Echo, refusal: Option<&Refusal>) {
        match echo.cmd {
            Cmd::MakeCall if refusal.is_some_and(|refusal| refusal.kind != ErrorKind::AlreadySent) => {
                self.made.remove(&echo.name);
            }
            Cmd::CancelCall => self.made.remove(&echo.name),
            Cmd::AcceptCall | Cmd::RejectCall => self.received.remove(&echo.name),
            _ => {}
        }
    }

    /// Whether the client knows the call that an event names, or need not.
    fn knows_call(&self, event: &Event) -> bool {
        match event {
            Event::LocalInvitationReceivedByPeer { call_id, .. }
            | Event::LocalInvitationAccepted { call_id, .. }
            | Event::LocalInvitationRefused { call_id, .. }
            | Event::LocalInvitationFailure { call_id, .. } => self.keeps_calls || self.made.has(call_id.as_str()),
            _ => true,
        }
    }

    fn event(&mut self, seq: Seq, event: &Event, packet: Option<Text>) {
        let receipt = match event {
            Event::MessageFromPeer(message) if packet.is_some() => Some(Receipt {
                msg_id: events::msg_id(message.message_id).0.unwrap_or_default(),
                from: CompactString::new(message.peer_id.as_str()),
            }),
            Event::RemoteInvitationReceived { call_id, .. } => {
                self.received.add(call_id.as_str());
                None
            }
            Event::RemoteInvitationCanceled { call_id, .. } | Event::RemoteInvitationFailure { call_id, .. } => {
                self.received.remove(call_id.as_str());
                None
            }
            Event::LocalInvitationAccepted { call_id, .. }
            | Event::LocalInvitationRefused { call_id, .. }
            | Event::LocalInvitationFailure { call_id, .. } => {
                self.made.remove(call_id.as_str());
                None
            }
            _ => None,
        };
        self.receipts.encoded(seq, receipt);
        match packet {
            Some(packet) => self.text(packet),
            None if self.out.is_empty() => self.receipts.written(),
            None => {}
        }
    }

    fn object<'a>(&mut self, cmd: Cmd, content: &impl super::fields::Field<'a>) {
        self.text(Text::from(envelope::write_object(cmd, content)));
    }

    /// The SDK parses the content of everything, and throws where there is none.
    fn empty(&mut self, cmd: Cmd) {
        self.text(Text::from(envelope::write(cmd, 0, |out| out.raw("{}"))));
    }

    fn text(&mut self, text: Text) {
        self.out.push_back(Packet::Text(text));
    }
}

fn read_login(head: &Head<'_>, it: &shapes::Login<'_>) -> Result<Login, Refusal> {
    let refused = |kind, detail: String| Refusal::new(kind, &detail);
    let app_id =
        AppId::new(head.app_id.as_str()).map_err(|error| refused(ErrorKind::InvalidAppId, error.to_string()))?;
    let user_id = it.user_id.text("UserId", ErrorKind::InvalidArgument)?;
    let user_id =
        user_id.map(UserId::new).transpose().map_err(|error| refused(ErrorKind::InvalidArgument, error.to_string()))?;
    let instance = InstanceId::new(it.instance.as_str())
        .map_err(|error| refused(ErrorKind::InvalidArgument, error.to_string()))?;
    let token = it.token.text("AcsToken", ErrorKind::InvalidToken)?;
    let token =
        token.map(Token::new).transpose().map_err(|error| refused(ErrorKind::InvalidToken, error.to_string()))?;
    let gateway_session = match it.session.as_str() {
        "" => None,
        text if text.len() <= SESSION_BYTES => Some(Text::from(text)),
        _ => return Err(refused(ErrorKind::InvalidArgument, "the gateway's session id is too long".to_owned())),
    };
    let keep_alive = match it.server_keep_alive.0 {
        true => KeepAlive::Server { interval_ms: KEEP_ALIVE_MS },
        false => KeepAlive::Client { interval_ms: KEEP_ALIVE_MS },
    };
    Ok(Login {
        app_id,
        user_id,
        token,
        instance,
        resume: None,
        keep_alive,
        window: 0,
        abilities: Abilities {
            // Stored messages are fetched with the session's id.
            fetches_stored: gateway_session.is_some(),
            // A client that keeps its calls is none of the SDK's: it sends all of its attributes again.
            repeats_attributes: !it.keeps_calls.0,
            ..Wire::Vendor.abilities()
        },
        gateway_session,
    })
}

/// The calls that a client knows, in the order in which it learnt of them.
#[derive(Debug, Default)]
struct Calls(VecDeque<CompactString>);

impl Calls {
    fn add(&mut self, call_id: &str) {
        if self.has(call_id) {
            return;
        }
        if self.0.len() == CALLS {
            self.0.pop_front();
        }
        self.0.push_back(CompactString::new(call_id));
    }

    fn has(&self, call_id: &str) -> bool {
        self.0.iter().any(|known| known == call_id)
    }

    fn remove(&mut self, call_id: &str) {
        self.0.retain(|known| known != call_id);
        if self.0.is_empty() {
            mem::take(&mut self.0);
        }
    }
}

/// What a login that breaks the rules is numbered.
const LOGIN: RequestId = RequestId(0);
/// How often the SDK, or the server for it, gives signs of life.
const KEEP_ALIVE_MS: u32 = 10_000;
/// The longest session id that is taken from a client.
const SESSION_BYTES: usize = 256;
/// The calls that are remembered.
const CALLS: usize = 1024;
/// The room for packets that an idle socket keeps.
const PACKETS_AT_REST: usize = 16;
