//! What goes out: what the core has becomes bytes, and the socket takes them when it can.

use std::{io, task::Context, time::Duration};

use rtm_codec::{ServerFrame, ServerWire};
use rtm_core::Outgoing;
use tokio::time::sleep;

use super::{Phase, Socket, ending::CODE_REFUSED};
use crate::{peers::End, scratch::Scratch};

impl Socket {
    /// Makes bytes of what the core had for this connection.
    pub(super) fn encode(&mut self, scratch: &mut Scratch) {
        let mut outgoing = std::mem::take(&mut scratch.outgoing);
        let mut events = 0;
        for outgoing in outgoing.drain(..) {
            match outgoing {
                Outgoing::Frame(frame) => {
                    if matches!(frame, ServerFrame::Welcome(_) | ServerFrame::Refused(_)) {
                        self.login_answered(&frame);
                    }
                    #[cfg(feature = "admin")]
                    if let Some(timed) = self.timed.take_if(|timed| timed.is_answered_by(&frame)) {
                        self.shared.call_times.add(&timed);
                    }
                    self.wire.encode(&frame);
                }
                Outgoing::Event(seq, event) => {
                    events += 1;
                    self.wire.encode_event(seq, &event);
                }
                Outgoing::Close(reason) => self.close(reason, None, scratch),
                Outgoing::Hangup => {
                    self.ends(End::Refused);
                    self.hang_up(CODE_REFUSED, "the login is refused", scratch);
                }
            }
        }
        scratch.outgoing = outgoing;
        if let Phase::Handed(handed) = &mut self.phase {
            handed.traffic.events += events;
        }
        // What the native wire has stays where it is until it is written.
        if matches!(self.wire, ServerWire::Vendor(_)) {
            self.pack(scratch);
        }
    }

    /// Moves what was encoded into the bytes to write.
    pub(super) fn pack(&mut self, scratch: &mut Scratch) {
        let (websocket, mut packets) = (&mut self.websocket, 0);
        self.wire.drain(|packet| {
            packets += 1;
            websocket.write(packet, &mut scratch.write);
        });
        if let Some(traffic) = self.traffic() {
            traffic.packets_written += packets;
        }
    }

    /// How many bytes the socket has not taken yet.
    pub(super) fn unsent(&self, scratch: &Scratch) -> usize {
        self.outbox.len() + scratch.write.len() + self.wire.waiting()
    }

    /// Writes what waits and then what is new; says whether the socket took any of it.
    pub(super) fn write(&mut self, cx: &mut Context<'_>, scratch: &mut Scratch) -> io::Result<bool> {
        let mut written = 0;
        if !self.outbox.is_flushed() {
            written = self.outbox.go_on(&mut self.stream, cx)?;
        }
        if scratch.write.is_empty()
            && let Some(messages) = self.wire.take_messages()
        {
            if !messages.is_empty() {
                written += self.outbox.send(&mut self.stream, cx, messages)?;
            }
        } else {
            self.pack(scratch);
            if !scratch.write.is_empty() {
                written += self.outbox.send(&mut self.stream, cx, &scratch.write)?;
                scratch.write.clear();
            }
        }
        let (moved, taken) = (written > 0, self.wire.taken());
        if let Some(traffic) = self.traffic() {
            traffic.written = traffic.written.saturating_add(written as u32);
            traffic.writes += u32::from(moved);
            traffic.packets_written += taken;
        }
        if matches!(self.phase, Phase::Handed(_)) && (moved || self.timer.is_none()) {
            // The time begins anew with everything that the socket takes.
            self.timer = (!self.outbox.is_empty()).then(|| Box::pin(sleep(STALL_TIMEOUT)));
        }
        Ok(moved)
    }
}

/// How long a socket may take nothing of what waits for it.
const STALL_TIMEOUT: Duration = Duration::from_secs(20);
