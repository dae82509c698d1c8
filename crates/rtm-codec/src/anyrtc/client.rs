//! The client's half of the vendor's wire.

use std::collections::{BTreeMap, VecDeque};

use compact_str::CompactString;

use super::{
    answers::{self, Answered, Outcome},
    cmd::{
        ACCEPT_FAILURE, CALL_NO_RESPONSE, CALL_PEER_OFFLINE, CALL_RECEIVED, Cmd, INVITATION_EXPIRE, NOT_LOGGED_IN,
        REASON_OFFLINE, REASON_TIMEOUT,
    },
    commands,
    envelope::{self, Content},
    events::{self, Receipt},
    fields::{Field, Mark, Number, Optional, Str},
    shapes,
};
use crate::{
    Answer, CallId, ClientFrame, CloseReason, Command, DecodeError, DecodeErrorKind, ErrorKind, Event, Family,
    KeepAlive, LocalInvitationFailureReason, Login, Packet, Refusal, RemoteInvitationFailureReason, RequestId,
    Resumption, Revision, Seq, ServerFrame, Text, UserId, Welcome, limits::REQUESTS_IN_FLIGHT,
};

/// One socket's state, client side: which requests wait for their answers, and which messages for
/// their acknowledgement.
///
/// * Events have no numbers on this wire: they are numbered here, from 1, anew on each socket.
/// * A call that the wire has no answer to ([`RenewToken`](crate::RenewToken),
///   [`RefuseInvitation`](crate::RefuseInvitation)) is answered with success once it is encoded; one that
///   it cannot carry (a write at a revision, a history query, a binary message) is refused. Both
///   come from [`take_frame`](Self::take_frame).
/// * While [`REQUESTS_IN_FLIGHT`] requests have no answer, another one is refused as made too often. A request that an
///   [`Ack`](ClientFrame::Ack) calls answered does not count.
/// * Messages of a kind that is not known here are acknowledged, as the SDK does, and shown as a gap of one.
#[derive(Debug, Default)]
pub struct ClientCodec {
    user_id: CompactString,
    /// By the number that the answer has, of messages and of other requests apart.
    numbered: BTreeMap<(bool, u64), Asked>,
    /// Those whose answer names a channel or a call.
    named: Vec<(CompactString, Asked)>,
    /// Whom this client calls.
    calls: VecDeque<(CallId, UserId)>,
    /// Every request below this one is answered.
    answered: RequestId,
    last_event: Seq,
    unacknowledged: VecDeque<(Seq, Receipt)>,
    out: VecDeque<Packet>,
    frames: VecDeque<ServerFrame>,
}

/// A request that waits for its answer.
#[derive(Debug)]
struct Asked {
    id: RequestId,
    cmd: Cmd,
    /// The answer, where success is all there is to say.
    done: Option<Answer>,
}

impl ClientCodec {
    /// For a socket just opened.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes one packet of the server and appends the frames in it.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet is not of this wire; the connection is of no use then.
    #[expect(clippy::needless_pass_by_value, reason = "one signature for both wires")]
    pub fn decode(&mut self, packet: Packet, frames: &mut Vec<ServerFrame>) -> Result<(), DecodeError> {
        envelope::read(&packet, |head, content| {
            let Some(cmd) = head.cmd else { return Ok(()) };
            match cmd {
                Cmd::Login => frames.push(self.login(content)?),
                Cmd::Logout => frames.push(ServerFrame::Close(CloseReason::Logout)),
                Cmd::KeepAlive => frames.push(ServerFrame::Pong),
                Cmd::ReqKeepAlive => frames.push(ServerFrame::Ping),
                Cmd::ForceOffline => frames.push(ServerFrame::Close(CloseReason::RemoteLogin)),
                Cmd::AcsTokenDidExpire => frames.push(ServerFrame::Close(CloseReason::TokenExpired)),
                Cmd::CallStatus => self.call_status(&content.read()?, frames),
                Cmd::CancelCall => self.call_canceled(&content.read()?, frames),
                cmd => {
                    if let Some(received) = events::read(cmd, content)? {
                        self.received(received, frames);
                    } else if let Some(answered) = answers::read(cmd, content)? {
                        self.answered(cmd, answered, frames);
                    }
                }
            }
            Ok(())
        })
    }

    /// Appends a frame to what goes out.
    pub fn encode(&mut self, frame: &ClientFrame) {
        match frame {
            ClientFrame::Login(login) => self.write_login(login),
            ClientFrame::Request { id, command } => self.encode_request(*id, command),
            ClientFrame::BadRequest { .. } | ClientFrame::Written { .. } => {}
            ClientFrame::Ack { received, consumed: _, answered } => {
                self.answered = *answered;
                while self.unacknowledged.front().is_some_and(|(seq, _)| seq <= received) {
                    if let Some((_, receipt)) = self.unacknowledged.pop_front() {
                        let content = shapes::RecvMsgFromPeerAck {
                            msg_id: Number(Some(receipt.msg_id)),
                            from: Str::from(&receipt.from),
                        };
                        self.text(envelope::write_object(Cmd::RecvMsgFromPeerAck, &content));
                    }
                }
            }
            // The SDK writes its clock's time here; a codec has no clock, and nobody reads it.
            ClientFrame::Ping | ClientFrame::Pong => {
                let content = shapes::KeepAlive { time: Str::from("0") };
                self.text(envelope::write_object(Cmd::KeepAlive, &content));
            }
            ClientFrame::Logout => self.text(envelope::write(Cmd::Logout, 0, |_| {})),
        }
    }

    /// The next packet to send; one frame each.
    pub fn take_packet(&mut self) -> Option<Packet> {
        self.out.pop_front()
    }

    /// The next frame that the wire itself makes up: the answer to a request that this wire leaves
    /// without one, or cannot carry. To be called after [`encode`](Self::encode) until `None`.
    pub fn take_frame(&mut self) -> Option<ServerFrame> {
        self.frames.pop_front()
    }

    /// An event with its place in this socket's stream.
    fn number(&mut self, event: Event) -> ServerFrame {
        self.last_event = self.last_event.next();
        ServerFrame::Event { seq: self.last_event, event }
    }

    fn write_login(&mut self, login: &Login) {
        let Login { app_id, user_id, token, instance, keep_alive, gateway_session, .. } = login;
        let user_id = user_id.as_ref().map_or("", UserId::as_str);
        self.user_id = CompactString::new(user_id);
        let token = token.as_ref().map_or("", |token| token.expose());
        let content = shapes::Login {
            user_id: Optional::from(user_id),
            instance: Str::from(instance),
            token: Optional::from(token),
            sdk_version: Str::from(SDK_VERSION),
            session: Str::from(gateway_session.as_ref().map_or("", Text::as_str)),
            server_keep_alive: Mark(matches!(keep_alive, KeepAlive::Server { .. })),
            keeps_calls: Mark(true),
        };
        let size = token.len() + LOGIN_BYTES;
        self.text(envelope::write_for(Cmd::Login, Some(app_id.as_str()), size, |out| content.write(out)));
    }

    fn login(&mut self, content: &mut Content<'_>) -> Result<ServerFrame, DecodeErrorKind> {
        let it = content.read::<shapes::LoginAnswer<'_>>()?;
        if it.code.0 != Some(0) {
            return Ok(ServerFrame::Refused(answers::refusal(Family::Login, it.code.0)));
        }
        let user_id = UserId::new(it.user_id.as_str()).map_err(|error| DecodeErrorKind::Id(error.kind()))?;
        self.user_id = CompactString::new(user_id.as_str());
        Ok(ServerFrame::Welcome(Box::new(Welcome {
            user_id,
            ticket: None,
            resumption: Resumption::New,
            token_expires_in_ms: None,
            server_time_ms: 0,
            limits: None,
        })))
    }

    /// Appends a request to what goes out next, as [`encode`](Self::encode) does.
    pub fn encode_request(&mut self, id: RequestId, command: &Command) {
        let result = self.write_request(id, command);
        let answer = match result {
            Ok(None) => return,
            Ok(Some(answer)) => Ok(answer),
            Err(refusal) => Err(refusal),
        };
        self.frames.push_back(ServerFrame::Reply { id, result: answer });
    }

    /// Writes a request. Returns its answer where the server gives none.
    fn write_request(&mut self, id: RequestId, command: &Command) -> Result<Option<Answer>, Refusal> {
        if self.unanswered() == REQUESTS_IN_FLIGHT {
            let answered = self.answered;
            self.numbered.retain(|_, asked| asked.id >= answered);
            self.named.retain(|(_, asked)| asked.id >= answered);
            if self.unanswered() == REQUESTS_IN_FLIGHT {
                return Err(Refusal::new(ErrorKind::TooOften, "too many calls wait for their answers"));
            }
        }
        let (is_message, msg_id) = match command {
            Command::SendMessageToPeer(it) => (true, events::msg_id(it.message_id)),
            Command::SendChannelMessage(it) => (true, events::msg_id(it.message_id)),
            _ => (false, Number(Some(FIRST_MSG_ID + id.0 % (MAX_MSG_ID - FIRST_MSG_ID)))),
        };
        let msg_id = msg_id.0.unwrap_or_default();
        let (cmd, packet) = commands::write(command, &self.user_id, msg_id)
            .map_err(|kind| Refusal::new(kind, "the vendor's wire cannot carry this"))?;
        self.text(packet);
        let asked = Asked { id, cmd, done: done(command) };
        let name = match command {
            Command::RenewToken(_) | Command::RefuseInvitation(_) => return Ok(asked.done),
            Command::JoinChannel(it) => it.channel_id.as_str(),
            Command::LeaveChannel(it) => it.channel_id.as_str(),
            Command::SendInvitation(it) => {
                if self.calls.len() == CALLS {
                    self.calls.pop_front();
                }
                self.calls.push_back((it.call_id.clone(), it.callee_id.clone()));
                it.call_id.as_str()
            }
            Command::CancelInvitation(it) => it.call_id.as_str(),
            Command::AcceptInvitation(it) => it.call_id.as_str(),
            _ => {
                self.numbered.insert((is_message, msg_id), asked);
                return Ok(None);
            }
        };
        self.named.push((CompactString::new(name), asked));
        Ok(None)
    }

    fn unanswered(&self) -> usize {
        self.numbered.len() + self.named.len()
    }

    fn answered(&mut self, cmd: Cmd, answered: Answered, frames: &mut Vec<ServerFrame>) {
        let Answered { msg_id, name, outcome } = answered;
        let asked = match cmd {
            Cmd::JoinChannel | Cmd::LeaveChannel | Cmd::CancelCallAck | Cmd::AcceptCallAck => {
                self.take_named(cmd, &name)
            }
            _ => msg_id.and_then(|msg_id| self.take_numbered(cmd, msg_id)),
        };
        let Some(asked) = asked else { return };
        let family = asked.cmd.family().unwrap_or(Family::Login);
        let result = match outcome {
            Outcome::Done => asked.done.ok_or_else(|| Refusal::from(ErrorKind::Failure)),
            Outcome::Answer(answer) => Ok(answer),
            Outcome::Refused(code) => Err(answers::refusal(family, code)),
        };
        frames.push(ServerFrame::Reply { id: asked.id, result });
    }

    fn take_numbered(&mut self, answer: Cmd, msg_id: u64) -> Option<Asked> {
        let key = (matches!(answer, Cmd::MsgStatus | Cmd::SendChannelMsg), msg_id);
        if self.numbered.get(&key)?.cmd.answer() != answer {
            return None;
        }
        self.numbered.remove(&key)
    }

    /// The oldest request about `name` that `answer` answers.
    fn take_named(&mut self, answer: Cmd, name: &str) -> Option<Asked> {
        let at = self.named.iter().position(|(known, asked)| known == name && asked.cmd.answer() == answer)?;
        Some(self.named.remove(at).1)
    }

    fn received(&mut self, received: events::Received, frames: &mut Vec<ServerFrame>) {
        let Some(event) = received.event else { return };
        let seq = self.last_event.next();
        if let Some(receipt) = received.ack {
            if self.unacknowledged.len() == UNACKNOWLEDGED {
                self.unacknowledged.pop_front();
            }
            self.unacknowledged.push_back((seq, receipt));
        }
        if let Event::LocalInvitationAccepted { call_id, .. } | Event::LocalInvitationRefused { call_id, .. } = &event {
            let call_id = call_id.clone();
            self.calls.retain(|(known, _)| *known != call_id);
        }
        self.push(event, frames);
    }

    fn push(&mut self, event: Event, frames: &mut Vec<ServerFrame>) {
        frames.push(self.number(event));
    }

    fn call_status(&mut self, it: &shapes::CallStatus<'_>, frames: &mut Vec<ServerFrame>) {
        let Ok(call_id) = CallId::new(it.call_id.as_str()) else { return };
        if let Some(asked) = self.take_named(Cmd::CallStatus, call_id.as_str()) {
            let result = match it.code.0 {
                Some(code) => Err(answers::refusal(Family::Invitation, Some(code))),
                None => asked.done.ok_or_else(|| Refusal::from(ErrorKind::Failure)),
            };
            frames.push(ServerFrame::Reply { id: asked.id, result });
        }
        let callee_id = match UserId::new(it.to.as_str()) {
            Ok(callee_id) => Some(callee_id),
            Err(_) => self.calls.iter().find(|(known, _)| *known == call_id).map(|(_, callee_id)| callee_id.clone()),
        };
        let Some(callee_id) = callee_id.filter(|_| it.code.is_absent()) else { return };
        let reason = match (it.status.0, it.failure.as_str()) {
            (Some(CALL_RECEIVED), _) => {
                return self.push(Event::LocalInvitationReceivedByPeer { call_id, callee_id }, frames);
            }
            (Some(CALL_PEER_OFFLINE), NOT_LOGGED_IN) => LocalInvitationFailureReason::NotLoggedIn,
            (Some(CALL_PEER_OFFLINE), _) => LocalInvitationFailureReason::PeerOffline,
            (Some(CALL_NO_RESPONSE), INVITATION_EXPIRE) => LocalInvitationFailureReason::InvitationExpire,
            (Some(CALL_NO_RESPONSE), _) => LocalInvitationFailureReason::PeerNoResponse,
            _ => return,
        };
        self.calls.retain(|(known, _)| *known != call_id);
        if it.status.0 == Some(CALL_NO_RESPONSE) && it.to.is_absent() {
            // A server of the vendor's leaves it to the caller to end the call for the callee.
            self.text(commands::write_cancel_call(&call_id, &self.user_id, &callee_id, REASON_TIMEOUT, ""));
        }
        self.push(Event::LocalInvitationFailure { call_id, callee_id, reason }, frames);
    }

    fn call_canceled(&mut self, it: &shapes::CancelCall<'_>, frames: &mut Vec<ServerFrame>) {
        if let Some(asked) = self.take_named(Cmd::AcceptCallAck, it.call_id.as_str()) {
            let refusal = match it.code.0 {
                Some(code) => answers::refusal(Family::Invitation, Some(code)),
                None => Refusal::from(ErrorKind::AlreadyEnd),
            };
            frames.push(ServerFrame::Reply { id: asked.id, result: Err(refusal) });
        }
        let (Ok(call_id), Ok(caller_id)) = (CallId::new(it.call_id.as_str()), UserId::new(it.from.as_str())) else {
            return;
        };
        let reason = match (it.reason.as_str(), it.failure.as_str()) {
            (REASON_OFFLINE, ACCEPT_FAILURE) => RemoteInvitationFailureReason::AcceptFailure,
            (REASON_OFFLINE, _) => RemoteInvitationFailureReason::PeerOffline,
            (REASON_TIMEOUT, _) => RemoteInvitationFailureReason::InvitationExpire,
            _ => {
                let content = Text::from(it.content.as_str());
                return self.push(Event::RemoteInvitationCanceled { call_id, caller_id, content }, frames);
            }
        };
        self.push(Event::RemoteInvitationFailure { call_id, caller_id, reason }, frames);
    }

    fn text(&mut self, text: String) {
        self.out.push_back(Packet::Text(Text::from(text)));
    }
}

/// The good answer to a call, where there is but one.
fn done(command: &Command) -> Option<Answer> {
    Some(match command {
        Command::RenewToken(_) => Answer::RenewToken(()),
        Command::SubscribePeersOnlineStatus(_) => Answer::SubscribePeersOnlineStatus(()),
        Command::UnsubscribePeersOnlineStatus(_) => Answer::UnsubscribePeersOnlineStatus(()),
        Command::SendInvitation(_) => Answer::SendInvitation(()),
        Command::CancelInvitation(_) => Answer::CancelInvitation(()),
        Command::AcceptInvitation(_) => Answer::AcceptInvitation(()),
        Command::RefuseInvitation(_) => Answer::RefuseInvitation(()),
        Command::SetLocalUserAttributes(_) => Answer::SetLocalUserAttributes(()),
        Command::AddOrUpdateLocalUserAttributes(_) => Answer::AddOrUpdateLocalUserAttributes(()),
        Command::DeleteLocalUserAttributesByKeys(_) => Answer::DeleteLocalUserAttributesByKeys(()),
        Command::ClearLocalUserAttributes(_) => Answer::ClearLocalUserAttributes(()),
        Command::JoinChannel(_) => Answer::JoinChannel(()),
        Command::LeaveChannel(_) => Answer::LeaveChannel(()),
        Command::SendChannelMessage(_) => Answer::SendChannelMessage(()),
        Command::SetChannelAttributes(_) => Answer::SetChannelAttributes(UNTOLD),
        Command::AddOrUpdateChannelAttributes(_) => Answer::AddOrUpdateChannelAttributes(UNTOLD),
        Command::DeleteChannelAttributesByKeys(_) => Answer::DeleteChannelAttributesByKeys(UNTOLD),
        Command::ClearChannelAttributes(_) => Answer::ClearChannelAttributes(UNTOLD),
        Command::SendMessageToPeer(_)
        | Command::QueryPeersOnlineStatus(_)
        | Command::QueryPeersBySubscriptionOption(_)
        | Command::GetUserAttributes(_)
        | Command::GetMembers(_)
        | Command::GetChannelMemberCount(_)
        | Command::GetChannelAttributes(_)
        | Command::QueryHistory(_) => return None,
    })
}

/// The SDK whose wire this is.
const SDK_VERSION: &str = "1.0.15";
/// The wire does not tell revisions.
const UNTOLD: Revision = Revision(0);
/// Requests are numbered with 13 digits, as the SDK numbers them.
const FIRST_MSG_ID: u64 = 1_000_000_000_000;
const MAX_MSG_ID: u64 = 10_000_000_000_000;
/// The calls whose callees are remembered.
const CALLS: usize = 1024;
/// The messages that may wait to be acknowledged. Beyond, the oldest is never.
const UNACKNOWLEDGED: usize = 65_536;
/// Room for a login without its token.
const LOGIN_BYTES: usize = 320;
