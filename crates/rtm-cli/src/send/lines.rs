//! Sends each line of standard input as a message: many under way at once, in their order.

use std::{sync::Arc, task::Poll};

use anyhow::Context as _;
use futures::{StreamExt as _, stream::FuturesOrdered};
use rtm_client::{ConnectionState, Events, RtmEvent};
use tokio::sync::{Mutex, watch};

use super::{
    Sender,
    report::{Report, Sent, is_unknown},
};
use crate::{exit::Unmet, input, output};

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
    let mut lines = input::lines();
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
                        (_, ConnectionState::Reconnecting) => output::note("rtm: connection lost, waiting for the server"),
                        (ConnectionState::Reconnecting, ConnectionState::Connected) => output::note("rtm: reconnected"),
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

/// How many messages may be under way.
const UNDER_WAY: usize = 256;
