//! The numbered stream of the native wire: no hole, an exact resume, and never more than the window.

use rtm_codec::{ClientFrame, Resumption, Seq, ServerFrame, Wire};

use super::{Invariant, Verdict, fault};
use crate::figures::DeviceConfig;

/// The streams of all devices.
#[derive(Debug, Default)]
pub(super) struct Streams(Vec<Stream>);

/// A device's stream, as its frames show it.
#[derive(Debug)]
struct Stream {
    is_numbered: bool,
    window: u64,
    /// The last number that came.
    received: Seq,
    /// What the server was told last.
    acked: Seq,
    consumed: Seq,
    /// What the last login asked for.
    resume: Option<(Seq, Seq)>,
}

impl Streams {
    pub(super) fn add(&mut self, config: &DeviceConfig) {
        self.0.push(Stream {
            is_numbered: config.wire == Wire::Native,
            window: config.connection.window.into(),
            received: Seq(0),
            acked: Seq(0),
            consumed: Seq(0),
            resume: None,
        });
    }

    pub(super) fn sent(&mut self, device: usize, frame: &ClientFrame) -> Verdict {
        let stream = &mut self.0[device];
        if !stream.is_numbered {
            return Ok(());
        }
        match frame {
            ClientFrame::Login(login) => {
                stream.resume = login.resume.as_ref().map(|resume| (resume.received, resume.consumed));
            }
            ClientFrame::Ack { received, consumed, .. } => {
                if *received > stream.received
                    || consumed > received
                    || *received < stream.acked
                    || *consumed < stream.consumed
                {
                    let detail = format!(
                        "acknowledges {received} (consumed {consumed}) after {} (consumed {}), and has received {}",
                        stream.acked, stream.consumed, stream.received
                    );
                    return Err(fault(Invariant::Stream, detail));
                }
                stream.acked = *received;
                stream.consumed = *consumed;
            }
            _ => {}
        }
        Ok(())
    }

    pub(super) fn received(&mut self, device: usize, frame: &ServerFrame) -> Verdict {
        let stream = &mut self.0[device];
        if !stream.is_numbered {
            return Ok(());
        }
        match frame {
            ServerFrame::Welcome(welcome) => {
                let goes_on = matches!(welcome.resumption, Resumption::Resumed | Resumption::Lapsed);
                (stream.received, stream.consumed) = match stream.resume {
                    Some(resume) if goes_on => resume,
                    None if goes_on => return Err(fault(Invariant::Stream, "a session goes on that nobody resumed")),
                    _ => (Seq(0), Seq(0)),
                };
                stream.acked = stream.received;
            }
            ServerFrame::Event { seq, .. } => {
                if *seq != stream.received.next() {
                    let detail = format!("event {seq} came after {}", stream.received);
                    return Err(fault(Invariant::Stream, detail));
                }
                stream.received = *seq;
                if stream.window > 0 && seq.0 > stream.consumed.0 + stream.window {
                    let detail =
                        format!("event {seq} is beyond a window of {} after {}", stream.window, stream.consumed);
                    return Err(fault(Invariant::Stream, detail));
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// Whether the frame says that a session goes on.
    pub(super) fn went_on(&self, frame: &ServerFrame) -> bool {
        matches!(frame, ServerFrame::Welcome(welcome) if welcome.resumption != Resumption::New)
    }
}
