//! Sends each line of standard input as a message: many under way at once, in their order.

use std::{
    io::{BufRead as _, Read as _},
    sync::Arc,
    time::Duration,
};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesOrdered};
use rtm_client::{ConnectionState, ErrorKind, Events, RtmEvent};
use tokio::{
    sync::{Mutex, mpsc, watch},
    time::{Instant, sleep_until},
};

use super::{
    Sender,
    report::{Report, Sent},
};
use crate::exit::Unmet;

/// A line that is not empty.
struct Line {
    number: u64,
    text: String,
}

/// When the next message may go out. Whoever waits for it has its turn in the order of asking.
struct Turn {
    not_before: Mutex<Instant>,
    state: watch::Receiver<ConnectionState>,
}

/// Sends until standard input ends, and prints what became of each message.
pub(super) async fn send(sender: &Sender, mut events: Events, is_met: impl Fn(&Sent) -> bool) -> anyhow::Result<()> {
    let mut lines = read_lines();
    let (state, connected) = watch::channel(ConnectionState::Connected);
    let turn = Arc::new(Turn { not_before: Mutex::new(Instant::now()), state: connected });
    let mut under_way = FuturesOrdered::new();
    let (mut is_over, mut failed, mut unmet) = (false, 0_u64, 0_u64);
    while !is_over || !under_way.is_empty() {
        tokio::select! {
            biased;
            event = events.recv() => match event.context("the client has ended")? {
                RtmEvent::ConnectionStateChanged { state: ConnectionState::Aborted, reason } => {
                    anyhow::bail!("the server ended the session: {reason}");
                }
                RtmEvent::ConnectionStateChanged { state: now, .. } => {
                    state.send_replace(now);
                }
                _ => {}
            },
            Some((number, sent)) = under_way.next(), if !under_way.is_empty() => {
                failed += u64::from(matches!(sent, Sent::Failed(_)));
                unmet += u64::from(!is_met(&sent));
                Report { line: Some(number), sent: &sent }.print()?;
            }
            line = lines.recv(), if !is_over && under_way.len() < UNDER_WAY => match line {
                Some(line) => {
                    let (turn, line) = (Arc::clone(&turn), line.context("cannot read standard input")?);
                    under_way.push_back(async move { (line.number, turn.send(sender, line.text).await) });
                }
                None => is_over = true,
            },
        }
    }
    anyhow::ensure!(failed == 0, "{failed} messages were not sent");
    if unmet > 0 { Err(Unmet("not all messages were received").into()) } else { Ok(()) }
}

impl Turn {
    async fn send(&self, sender: &Sender, text: String) -> Sent {
        loop {
            {
                let not_before = self.not_before.lock().await;
                sleep_until(*not_before).await;
                // What is sent without a link would only grow old there. A watch that has ended is an end of its own.
                let _ = self.state.clone().wait_for(|state| *state == ConnectionState::Connected).await;
            }
            match sender.send(text.as_str().into()).await {
                Err(error) if error.kind() == ErrorKind::TooOften => {
                    let next = Instant::now() + error.retry_after().unwrap_or(PAUSE);
                    let mut not_before = self.not_before.lock().await;
                    *not_before = next.max(*not_before);
                }
                sent => return sent.into(),
            }
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
/// How long to wait when the server does not say.
const PAUSE: Duration = Duration::from_millis(500);
