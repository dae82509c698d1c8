//! Sends each line of standard input as a message: many under way at once, in their order.

use std::{
    io::{BufRead as _, Read as _},
    sync::Arc,
    task::Poll,
};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesOrdered};
use rtm_client::{ConnectionState, Events, RtmEvent};
use tokio::sync::{Mutex, mpsc, watch};

use super::{
    Sender,
    report::{Report, Sent, is_unknown},
};
use crate::exit::Unmet;

/// A line that is not empty.
struct Line {
    number: u64,
    text: String,
}

/// Whose message goes out next: in the order of asking, and only over a connection.
struct Turn {
    order: Mutex<()>,
    state: watch::Receiver<ConnectionState>,
}

/// How many messages did not become what they should.
#[derive(Default)]
struct Count {
    refused: u64,
    unknown: u64,
    unmet: u64,
}

/// Sends until standard input ends, and prints what became of each message. The client waits for the limits of calls.
pub(super) async fn send(sender: &Sender, mut events: Events, is_met: impl Fn(&Sent) -> bool) -> anyhow::Result<()> {
    let mut lines = read_lines();
    let (state, connected) = watch::channel(ConnectionState::Connected);
    let turn = Arc::new(Turn { order: Mutex::new(()), state: connected });
    let mut under_way = FuturesOrdered::new();
    let (mut is_over, mut count) = (false, Count::default());
    while !is_over || !under_way.is_empty() {
        tokio::select! {
            biased;
            event = events.recv() => match event.context("the client has ended")? {
                RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason, .. } => {
                    anyhow::bail!("the server ended the session: {reason}");
                }
                RtmEvent::ConnectionStateChanged { state: now, .. } => {
                    let before = state.send_replace(now);
                    match (before, now) {
                        (_, ConnectionState::Reconnecting) => eprintln!("rtm: connection lost, waiting for the server"),
                        (ConnectionState::Reconnecting, ConnectionState::Connected) => eprintln!("rtm: reconnected"),
                        _ => {}
                    }
                }
                _ => {}
            },
            Some((number, sent)) = under_way.next(), if !under_way.is_empty() => {
                count.add(&sent, is_met(&sent));
                Report { line: Some(number), sent: &sent }.print()?;
            }
            line = lines.recv(), if !is_over && under_way.len() < UNDER_WAY => match line {
                Some(line) => {
                    let (turn, line) = (Arc::clone(&turn), line.context("cannot read standard input")?);
                    under_way.push_back(async move { (line.number, turn.send(sender, &line.text).await) });
                }
                None => is_over = true,
            },
        }
    }
    count.verdict()
}

impl Turn {
    async fn send(&self, sender: &Sender, text: &str) -> Sent {
        let sending = {
            let _turn = self.order.lock().await;
            // What is sent without a link would only grow old there. A watch that has ended is an end of its own.
            let _ = self.state.clone().wait_for(|state| *state == ConnectionState::Connected).await;
            let mut sending = Box::pin(sender.send(text.into()));
            // A call is made when it is first polled, and the next message must come after it.
            match futures::poll!(&mut sending) {
                Poll::Ready(sent) => return sent.into(),
                Poll::Pending => sending,
            }
        };
        sending.await.into()
    }
}

impl Count {
    fn add(&mut self, sent: &Sent, is_met: bool) {
        match sent {
            Sent::Failed(error) if is_unknown(error) => self.unknown += 1,
            Sent::Failed(_) => self.refused += 1,
            Sent::Peer(_) | Sent::Accepted => {}
        }
        self.unmet += u64::from(!is_met);
    }

    fn verdict(&self) -> anyhow::Result<()> {
        let messages = |count| if count == 1 { "1 message".to_owned() } else { format!("{count} messages") };
        let (refused, unknown) = (messages(self.refused), messages(self.unknown));
        match self {
            Self { refused: 0, unknown: 0, unmet: 0 } => Ok(()),
            Self { refused: 0, unknown: 0, .. } => Err(Unmet("not all messages were received").into()),
            Self { refused: 0, .. } => anyhow::bail!("{unknown} may or may not have been sent"),
            Self { unknown: 0, .. } => anyhow::bail!("not sent: {refused}"),
            _ => anyhow::bail!("not sent: {refused}; {unknown} may or may not have been sent"),
        }
    }
}

/// Reads lines on a thread of its own: standard input knows no other way to wait.
fn read_lines() -> mpsc::Receiver<std::io::Result<Line>> {
    let (sender, receiver) = mpsc::channel(UNDER_WAY);
    std::thread::spawn(move || {
        let mut stdin = std::io::stdin().lock();
        let mut bytes = Vec::new();
        for number in 1.. {
            bytes.clear();
            // What is longer than any message is cut, so that it is refused for its length.
            let read = stdin.by_ref().take(LINE_BYTES).read_until(b'\n', &mut bytes);
            let line = match read {
                Ok(0) => return,
                Ok(_) if !bytes.ends_with(b"\n") => stdin.skip_until(b'\n').map(|_| ()),
                Ok(_) => Ok(()),
                Err(error) => Err(error),
            };
            let text = String::from_utf8_lossy(&bytes);
            let text = text.strip_suffix('\n').unwrap_or(&text);
            let text = text.strip_suffix('\r').unwrap_or(text);
            let line = line.map(|()| Line { number, text: text.to_owned() });
            let has_failed = line.is_err();
            let is_empty = text.is_empty() && !has_failed;
            if !is_empty && sender.blocking_send(line).is_err() || has_failed {
                return;
            }
        }
    });
    receiver
}

/// How many messages may be under way.
const UNDER_WAY: usize = 256;
/// More than a message may have.
const LINE_BYTES: u64 = 64 * 1024;
