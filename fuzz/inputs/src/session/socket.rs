//! One socket of the server's core: both halves of its wire, and what is known of its session.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use rtm_codec::{
    ClientFrame, ClientWire, Event, Packet, RequestId, Seq, ServerFrame, ServerWire, SessionId, SessionTicket, UserId,
    Wire,
};
use rtm_server::core::{ConnId, Outgoing};

pub(super) struct Socket {
    pub(super) conn: ConnId,
    pub(super) wire: Wire,
    pub(super) server: ServerWire,
    client: ClientWire,
    /// The user's number.
    pub(super) number: u8,
    pub(super) user_id: Option<UserId>,
    pub(super) session: Option<SessionId>,
    pub(super) ticket: Option<SessionTicket>,
    /// Its login is answered, and whose session it gets is decided later: that is never said.
    pub(super) is_provisional: bool,
    pub(super) next_request: u64,
    /// Requests of this socket without an answer.
    pub(super) unanswered: BTreeSet<RequestId>,
    /// The last event that came.
    pub(super) received: u64,
    /// The events that the server has to keep, and their texts' lengths.
    kept: VecDeque<(u64, usize)>,
    /// The last thing came.
    pub(super) is_over: bool,
}

impl Socket {
    pub(super) fn new(conn: ConnId, wire: Wire) -> Self {
        Self {
            conn,
            wire,
            server: ServerWire::new(wire),
            client: ClientWire::new(wire),
            number: 0,
            user_id: None,
            session: None,
            ticket: None,
            is_provisional: false,
            next_request: 1,
            unanswered: BTreeSet::new(),
            received: 0,
            kept: VecDeque::new(),
            is_over: false,
        }
    }

    /// The packets that a client sends for a frame.
    pub(super) fn encode(&mut self, frame: &ClientFrame) -> Vec<Packet> {
        if let ClientFrame::Ack { received, .. } = frame {
            while self.kept.pop_front_if(|(seq, _)| *seq <= received.0).is_some() {}
        }
        self.client.encode(frame);
        let packets = std::iter::from_fn(|| self.client.take_packet()).collect();
        while self.client.take_frame().is_some() {}
        packets
    }

    /// Every request below this one is answered.
    pub(super) fn answered_below(&self) -> u64 {
        self.unanswered.first().map_or(self.next_request, |id| id.0)
    }

    /// What the server has to keep for this client, as far as messages go.
    pub(super) fn unacknowledged_bytes(&self) -> usize {
        self.kept.iter().map(|(_, bytes)| bytes).sum()
    }

    /// Takes the core's output to the client, over the wire. Gives what writing it acknowledges.
    pub(super) fn take(
        &mut self,
        out: Vec<Outgoing>,
        open: &mut BTreeMap<SessionId, BTreeMap<RequestId, u64>>,
    ) -> Vec<ClientFrame> {
        for outgoing in out {
            assert!(!self.is_over, "something comes after the end: {outgoing:?}");
            match outgoing {
                Outgoing::Frame(frame) => {
                    self.look_at(&frame, open);
                    self.server.encode(&frame);
                }
                Outgoing::Event(seq, event) => {
                    self.numbered(seq, event.event());
                    self.server.encode_event(seq, &event);
                }
                Outgoing::Close(reason) => {
                    self.is_over = true;
                    self.server.encode(&ServerFrame::Close(reason));
                }
                Outgoing::Hangup => self.is_over = true,
            }
        }
        let mut frames = Vec::new();
        while let Some(packet) = self.server.take_packet() {
            self.client.decode(packet, &mut frames).expect("what a server writes is readable");
        }
        while self.client.take_frame().is_some() {}
        std::iter::from_fn(|| self.server.take_written()).collect()
    }

    fn look_at(&mut self, frame: &ServerFrame, open: &mut BTreeMap<SessionId, BTreeMap<RequestId, u64>>) {
        match frame {
            ServerFrame::Welcome(welcome) => {
                assert!(self.session.is_none() && !self.is_provisional, "a connection logs in once");
                match welcome.ticket {
                    Some(ticket) => (self.session, self.ticket) = (Some(ticket.session), Some(ticket)),
                    None => self.is_provisional = true,
                }
                self.user_id = Some(welcome.user_id.clone());
            }
            ServerFrame::Reply { id, .. } if self.is_provisional => {
                assert!(self.unanswered.remove(id), "it was asked, and is answered once");
            }
            ServerFrame::Reply { id, .. } => {
                let session = self.session.expect("the welcome comes first");
                let times = open.get_mut(&session).and_then(|requests| requests.get_mut(id)).expect("it was asked");
                *times = times.checked_sub(1).expect("a request is answered once");
                self.unanswered.remove(id);
            }
            ServerFrame::Refused(_) => assert!(self.session.is_none(), "a login is taken or refused"),
            _ => {}
        }
    }

    fn numbered(&mut self, seq: Seq, event: &Event) {
        assert!(self.session.is_some() || self.is_provisional, "the welcome comes first");
        let follows = self.received == 0 || seq.0 == self.received + 1;
        assert!(follows, "event {seq:?} comes after {}", self.received);
        self.received = seq.0;
        let bytes = match event {
            Event::MessageFromPeer(message) => message.message.len(),
            Event::ChannelMessage { message, .. } => message.len(),
            _ => 0,
        };
        self.kept.push_back((seq.0, bytes));
    }
}
