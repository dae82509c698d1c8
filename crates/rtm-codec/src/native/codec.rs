//! The two halves of the native wire: packets to frames and frames to packets.

use std::{collections::VecDeque, sync::Arc};

use bytes::Bytes;

use super::{
    Field, Input, Output, VERSION, fault, frequent,
    outbox::{Fields, Outbox, TooLarge},
};
use crate::{
    ClientFrame, CloseReason, Command, DecodeError, DecodeErrorKind, ErrorKind, Event, Packet, PacketRef, PeerMessage,
    Refusal, RequestId, SendChannelMessage, SendMessageToPeer, Seq, ServerFrame, SharedEvent, limits, text::SHARE_FROM,
};

/// The client's half: one per socket.
///
/// ```
/// use rtm_codec::{ClientFrame, native::{ClientCodec, ServerCodec}};
///
/// let (mut client, mut server) = (ClientCodec::new(), ServerCodec::new());
/// client.encode(&ClientFrame::Ping);
/// client.encode(&ClientFrame::Logout);
/// let packet = client.take_packet().ok_or("nothing to send")?;
/// let mut frames = Vec::new();
/// server.decode(packet, &mut frames)?;
/// assert_eq!(frames, [ClientFrame::Ping, ClientFrame::Logout]);
/// # Ok::<_, Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Default)]
pub struct ClientCodec {
    outbox: Outbox,
    answers: VecDeque<ServerFrame>,
}

impl ClientCodec {
    /// The state of a fresh socket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the frames of `packet` to `frames`.
    ///
    /// What a newer server says and this client does not know becomes the nearest thing: an event of another kind an
    /// [`Event::Gap`], an answer [`ErrorKind::OutcomeUnknown`], a reason to close [`CloseReason::Internal`] or
    /// [`CloseReason::Banned`] (as the client may come back or not), a version a [`ServerFrame::Refused`] before the
    /// error.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet breaks the protocol; the socket is to be closed then. Frames
    /// before the fault may have been appended.
    pub fn decode(&mut self, packet: Packet, frames: &mut Vec<ServerFrame>) -> Result<(), DecodeError> {
        let decoded = each_frame(packet, |input| match frequent::event(input, frames) {
            Some(()) => Ok(()),
            None => server_frame(input).map(|frame| frames.extend(frame)),
        });
        if decoded.as_ref().is_err_and(|error| error.kind() == DecodeErrorKind::Version) {
            frames.push(ServerFrame::Refused(other_version("client")));
        }
        decoded
    }

    /// Appends a frame to what goes out next. What is larger than a packet may be is not sent but
    /// refused: see [`take_frame`](Self::take_frame).
    pub fn encode(&mut self, frame: &ClientFrame) {
        let sent = match frame {
            ClientFrame::Login(login) => self.outbox.frame(0, 0, |out| login.put(out)),
            ClientFrame::Request { id, command } => return self.encode_request(*id, command),
            ClientFrame::BadRequest { .. } | ClientFrame::Written { .. } => Ok(()),
            ClientFrame::Ack { received, consumed, answered } => self.outbox.frame(2, 0, |out| {
                received.put(out);
                consumed.put(out);
                answered.put(out);
            }),
            ClientFrame::Ping => self.outbox.frame(3, 0, |_| ()),
            ClientFrame::Pong => self.outbox.frame(4, 0, |_| ()),
            ClientFrame::Logout => self.outbox.frame(5, 0, |_| ()),
        };
        if let Err(TooLarge) = sent {
            self.answers.push_back(ServerFrame::Refused(too_large()));
        }
    }

    /// Appends a request to what goes out next, as [`encode`](Self::encode) does.
    pub fn encode_request(&mut self, id: RequestId, command: &Command) {
        let sent = self.outbox.append(1, command_at_least(command), &Asked(id, command));
        if let Err(TooLarge) = sent {
            self.answers.push_back(ServerFrame::Reply { id, result: Err(too_large()) });
        }
    }

    /// The next packet to write; `None` when everything encoded was taken.
    pub fn take_packet(&mut self) -> Option<Packet> {
        self.outbox.take()
    }

    /// Shows every packet that is to be written, in order, without copying it out of the buffer. The buffer
    /// keeps its size until [`rest`](Self::rest).
    pub fn drain(&mut self, write: impl FnMut(PacketRef<'_>)) {
        self.outbox.drain(write);
    }

    /// Gives back the memory of large packets, where nothing is waiting to be written. For a socket that
    /// falls silent.
    pub fn rest(&mut self) {
        self.outbox.rest();
    }

    /// The next frame that the codec answers with itself: the refusal of what is too large to send.
    pub fn take_frame(&mut self) -> Option<ServerFrame> {
        self.answers.pop_front()
    }
}

/// The server's half: one per socket.
#[derive(Debug, Default)]
pub struct ServerCodec {
    outbox: Outbox,
}

impl ServerCodec {
    /// The state of a fresh socket.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Appends the frames of `packet` to `frames`.
    ///
    /// A call that is not known here, or whose arguments break the rules, becomes a [`ClientFrame::BadRequest`]. So
    /// does a login, with number 0, and a version that is not known here, before the error.
    ///
    /// # Errors
    ///
    /// [`DecodeError`] when the packet breaks the protocol; the socket is to be closed then. Frames
    /// before the fault may have been appended.
    pub fn decode(&mut self, packet: Packet, frames: &mut Vec<ClientFrame>) -> Result<(), DecodeError> {
        let decoded = each_frame(packet, |input| match frequent::request(input, frames) {
            Some(()) => Ok(()),
            None => client_frame(input).map(|frame| frames.extend(frame)),
        });
        if decoded.as_ref().is_err_and(|error| error.kind() == DecodeErrorKind::Version) {
            frames.push(ClientFrame::BadRequest { id: LOGIN, refusal: other_version("server") });
        }
        decoded
    }

    /// Appends a frame to what goes out next. An answer larger than a packet may be is replaced by a
    /// refusal, an event by an [`Event::Gap`].
    #[inline(always)]
    pub fn encode(&mut self, frame: &ServerFrame) {
        // The frequent frame is kept apart from the code for all others, which is long.
        match frame {
            ServerFrame::Event { seq, event } => self.event(*seq, event),
            frame => self.any(frame),
        }
    }

    #[inline(always)]
    fn event(&mut self, seq: Seq, event: &Event) {
        let sent = self.outbox.append(3, event_at_least(event), &Numbered(seq, event));
        if let Err(TooLarge) = sent {
            self.any(&ServerFrame::Event { seq, event: UNREADABLE });
        }
    }

    /// Apart from what is shared, which needs the registers for itself.
    #[inline(never)]
    fn event_for_one(&mut self, seq: Seq, event: &Event) {
        self.event(seq, event);
    }

    #[inline(never)]
    fn any(&mut self, frame: &ServerFrame) {
        let sent = match frame {
            ServerFrame::Welcome(welcome) => {
                let sent = self.outbox.frame(0, 0, |out| welcome.put(out));
                // Over a slow link the answer to a login is not to wait until all is there that came with it.
                self.outbox.end_packet();
                sent
            }
            ServerFrame::Refused(refusal) => self.outbox.frame(1, 0, |out| refusal.put(out)),
            ServerFrame::Reply { id, result } => self.outbox.frame(2, 0, |out| {
                id.put(out);
                result.put(out);
            }),
            ServerFrame::Event { .. } => return self.encode(frame),
            ServerFrame::Ping => self.outbox.frame(4, 0, |_| ()),
            ServerFrame::Pong => self.outbox.frame(5, 0, |_| ()),
            ServerFrame::Close(reason) => self.outbox.frame(6, 0, |out| reason.put(out)),
        };
        if let (Err(TooLarge), ServerFrame::Reply { id, .. }) = (sent, frame) {
            let refusal = Refusal::new(ErrorKind::Failure, "the answer is larger than a packet may be");
            self.any(&ServerFrame::Reply { id: *id, result: Err(refusal) });
        }
    }

    /// Appends an event whose bytes are shared by all its receivers.
    pub fn encode_event(&mut self, seq: Seq, event: &SharedEvent) {
        let Some(encoded) = event.encoded() else { return self.event_for_one(seq, event.event()) };
        let bytes = encoded.native(event_bytes);
        let sent = self.outbox.append(3, 2 + bytes.len(), &Shared(seq, bytes));
        debug_assert!(sent.is_ok(), "shared bytes fit into a packet");
    }

    /// The next packet to write; `None` when everything encoded was taken.
    pub fn take_packet(&mut self) -> Option<Packet> {
        self.outbox.take()
    }

    /// Shows every packet that is to be written, in order, without copying it out of the buffer. The buffer
    /// keeps its size until [`rest`](Self::rest).
    pub fn drain(&mut self, write: impl FnMut(PacketRef<'_>)) {
        self.outbox.drain(write);
    }

    /// How many bytes wait to be written, about.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.outbox.len()
    }

    /// Takes all packets that are to be written, each as a WebSocket message of a server. They are not copied: the next frame that is
    /// encoded overwrites them. `None`, with nothing taken, where a packet has 64 KiB or more:
    /// [`drain`](Self::drain) shows them all.
    pub fn take_messages(&mut self) -> Option<&[u8]> {
        self.outbox.messages()
    }

    /// How many messages [`take_messages`](Self::take_messages) has given since this was last asked.
    pub fn taken(&mut self) -> u32 {
        self.outbox.taken()
    }

    /// Swaps the buffer that frames are written into with `buffer`, unless something waits in it. Many sockets share
    /// one buffer this way: each borrows it before a batch and gives it back afterwards, so a silent socket holds none.
    /// Only the buffer's length matters, which is its room; its content is overwritten.
    pub fn lend(&mut self, buffer: &mut Vec<u8>) {
        self.outbox.lend(buffer);
    }

    /// Gives back the memory of large packets, where nothing is waiting to be written. For a socket that
    /// falls silent.
    pub fn rest(&mut self) {
        self.outbox.rest();
    }
}

/// Reads a frame of a server, unless it can be skipped.
#[inline(never)]
fn server_frame(mut input: Input<'_>) -> Result<Option<ServerFrame>, DecodeError> {
    Ok(Some(match input.tag()? {
        0 => ServerFrame::Welcome(Field::get(&mut input)?),
        1 => ServerFrame::Refused(Field::get(&mut input)?),
        2 => {
            let id = Field::get(&mut input)?;
            ServerFrame::Reply {
                id,
                result: known(Field::get(&mut input))?.unwrap_or_else(|_| Err(unreadable_answer())),
            }
        }
        3 => {
            let seq = Field::get(&mut input)?;
            ServerFrame::Event { seq, event: known(Event::get(&mut input))?.unwrap_or(UNREADABLE) }
        }
        4 => ServerFrame::Ping,
        5 => ServerFrame::Pong,
        6 => ServerFrame::Close(match known(Field::get(&mut input))? {
            Ok(reason) => reason,
            Err(tag) if tag < FINAL_FROM => CloseReason::Internal,
            Err(_) => CloseReason::Banned,
        }),
        OPTIONAL_FROM..=LAST_TAG => return Ok(None),
        tag => return Err(fault(DecodeErrorKind::UnknownTag { tag: tag.into() })),
    }))
}

/// Reads a frame of a client, unless it can be skipped.
#[inline(never)]
fn client_frame(mut input: Input<'_>) -> Result<Option<ClientFrame>, DecodeError> {
    Ok(Some(match input.tag()? {
        0 => match Field::get(&mut input) {
            Ok(login) => ClientFrame::Login(login),
            Err(error) => bad_request(LOGIN, &error.named("login")),
        },
        1 => {
            let id = Field::get(&mut input)?;
            match Command::get(&mut input) {
                Ok(command) => ClientFrame::Request { id, command },
                Err(error) => bad_request(id, &error.named("command")),
            }
        }
        2 => ClientFrame::Ack {
            received: Field::get(&mut input)?,
            consumed: Field::get(&mut input)?,
            answered: Field::get(&mut input)?,
        },
        3 => ClientFrame::Ping,
        4 => ClientFrame::Pong,
        5 => ClientFrame::Logout,
        OPTIONAL_FROM..=LAST_TAG => return Ok(None),
        tag => return Err(fault(DecodeErrorKind::UnknownTag { tag: tag.into() })),
    }))
}

// The frequent frames are no closures, since those cannot be told to be inlined wherever they are called.

/// A request with its number.
struct Asked<'c>(RequestId, &'c Command);

/// An event with its number.
struct Numbered<'e>(Seq, &'e Event);

/// An event whose bytes are there already, with its number.
struct Shared<'b>(Seq, &'b [u8]);

impl Fields for Asked<'_> {
    #[inline(always)]
    fn write(&self, out: &mut Output<'_>) {
        let Self(id, command) = self;
        id.put(out);
        command.put(out);
    }
}

impl Fields for Numbered<'_> {
    #[inline(always)]
    fn write(&self, out: &mut Output<'_>) {
        let Self(seq, event) = self;
        seq.put(out);
        event.put(out);
    }
}

impl Fields for Shared<'_> {
    #[inline(always)]
    fn write(&self, out: &mut Output<'_>) {
        let Self(seq, bytes) = self;
        seq.put(out);
        out.raw(bytes);
    }
}

fn too_large() -> Refusal {
    Refusal::new(ErrorKind::InvalidArgument, "the call is larger than a packet may be")
}

fn unreadable_answer() -> Refusal {
    Refusal::new(ErrorKind::OutcomeUnknown, "the server answered what this client cannot read")
}

#[cold]
fn other_version(reader: &str) -> Refusal {
    let detail = format!("the version of the wire is not the one that this {reader} speaks, which is {VERSION}");
    Refusal::new(ErrorKind::Unsupported, &detail)
}

/// Takes the tag that is not known here out of the faults: what is of a newer kind is no breach of the protocol.
#[inline(always)]
fn known<T>(value: Result<T, DecodeError>) -> Result<Result<T, u32>, DecodeError> {
    match value {
        Ok(value) => Ok(Ok(value)),
        Err(error) => match error.kind() {
            DecodeErrorKind::UnknownTag { tag } => Ok(Err(tag)),
            _ => Err(error),
        },
    }
}

fn event_bytes(event: &Event) -> Bytes {
    // Kept until every receiver has it, so without room to spare.
    let mut short = [0; SHORT];
    let mut out = Output::new(&mut short);
    event.put(&mut out);
    let Output { room, missing } = out;
    let left = room.len();
    if missing == 0 {
        return Bytes::copy_from_slice(&short[..SHORT - left]);
    }
    // At least as many as there are.
    let mut bytes = vec![0; SHORT + missing];
    let mut out = Output::new(&mut bytes);
    event.put(&mut out);
    let left = out.room.len();
    bytes.truncate(bytes.len() - left);
    // Frame tag, number and length take less than 32 bytes.
    if bytes.len() > limits::PACKET_BYTES - 32 {
        return event_bytes(&UNREADABLE);
    }
    Bytes::from(bytes.into_boxed_slice())
}

/// A lower bound of an event's bytes that costs nothing to know.
#[inline(always)]
fn event_at_least(event: &Event) -> usize {
    match event {
        Event::MessageFromPeer(PeerMessage { message, .. }) | Event::ChannelMessage { message, .. } => {
            10 + message.len()
        }
        _ => 0,
    }
}

#[inline(always)]
fn command_at_least(command: &Command) -> usize {
    match command {
        Command::SendMessageToPeer(SendMessageToPeer { message, .. })
        | Command::SendChannelMessage(SendChannelMessage { message, .. }) => 10 + message.len(),
        _ => 0,
    }
}

fn bad_request(id: RequestId, error: &DecodeError) -> ClientFrame {
    let kind = match error.kind() {
        DecodeErrorKind::UnknownTag { .. } => ErrorKind::Unsupported,
        _ => ErrorKind::InvalidArgument,
    };
    ClientFrame::BadRequest { id, refusal: Refusal::new(kind, &error.to_string()) }
}

/// Takes a packet apart and has each frame read.
fn each_frame(packet: Packet, mut read: impl FnMut(Input<'_>) -> Result<(), DecodeError>) -> Result<(), DecodeError> {
    let Packet::Binary(bytes) = packet else {
        return Err(DecodeError::new("packet", DecodeErrorKind::MessageType));
    };
    if bytes.len() > limits::PACKET_BYTES {
        return Err(DecodeError::new("packet", DecodeErrorKind::TooLarge { limit: limits::PACKET_BYTES }));
    }
    if bytes.len() < SHARE_FROM {
        frames_of(&mut Input::new(&bytes, None), &mut read)
    } else {
        let bytes = Arc::new(bytes);
        frames_of(&mut Input::new(&bytes, Some(&bytes)), &mut read)
    }
}

fn frames_of(
    input: &mut Input<'_>,
    read: &mut impl FnMut(Input<'_>) -> Result<(), DecodeError>,
) -> Result<(), DecodeError> {
    let mut left = limits::PACKET_FRAMES;
    match input.tag().map_err(|error| error.named("packet"))? {
        VERSION => (),
        _ => return Err(DecodeError::new("packet", DecodeErrorKind::Version)),
    }
    loop {
        let frame = input.part().map_err(|error| error.named("packet"))?;
        read(frame).map_err(|error| error.named("frame"))?;
        left -= 1;
        if input.is_at_end() {
            return Ok(());
        }
        if left == 0 {
            return Err(DecodeError::new("packet", DecodeErrorKind::TooMany { limit: limits::PACKET_FRAMES }));
        }
    }
}

/// What stands for an event that cannot be carried or read.
const UNREADABLE: Event = Event::Gap { channel_id: None, lost: Some(1) };
/// The number of a login, which the requests after it do not have.
const LOGIN: RequestId = RequestId(0);
/// A frame whose tag is at least this can be skipped by a reader that does not know it.
const OPTIONAL_FROM: u8 = 128;
/// The largest tag that takes one byte.
const LAST_TAG: u8 = 250;
/// After a reason to close whose tag is at least this, a client that does not know it stays away.
const FINAL_FROM: u32 = 128;
/// Events of up to about as many bytes are written on the stack first.
const SHORT: usize = 512;
