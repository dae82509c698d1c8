//! Messages sent and received, many under way at once or one after another.

use std::{
    collections::VecDeque,
    future::poll_fn,
    pin::Pin,
    task::{Context, Poll, ready},
    time::{Duration, Instant},
};

use futures::{FutureExt as _, StreamExt as _, TryStreamExt as _, stream::FuturesUnordered};
use rtm_client::{Call, Channel, Client, ErrorKind, Events, RtmError, RtmEvent, RtmMessage, SendOutcome, limits};
use tokio::{
    task::unconstrained,
    time::{Sleep, sleep},
};

use crate::{Latency, LoadError, User, Window};

/// Sends `messages` to a user, up to `window` and 4,096 of them under way at once, and waits until the user's device has them
/// all. How long each took goes into `latency`. A message that the server's limits hold up is sent when they allow it,
/// and `held` is told.
///
/// # Errors
///
/// [`LoadError::Call`], and [`LoadError::NotReceived`] for a message that the device did not confirm.
///
/// # Cancel safety
///
/// What was sent stays sent.
pub async fn send_to_peer(
    client: &Client,
    peer_id: &str,
    message: &RtmMessage,
    messages: u64,
    window: usize,
    latency: Option<&mut Latency>,
    held: impl Fn(),
) -> Result<(), LoadError> {
    // Answers come in the order of the messages, so the oldest call tells what there is to do.
    let mut calls: VecDeque<(Call<SendOutcome>, Option<Instant>)> = VecDeque::new();
    let mut answers = Answers { latency, held, refused: 0, pause: None };
    let mut left = messages;
    let mut sent = 0;
    let window = window.clamp(1, limits::REQUESTS_IN_FLIGHT);
    // Without a budget of the runtime: that would leave calls unsent until they are the oldest.
    unconstrained(poll_fn(|cx| {
        loop {
            while let Some((oldest, start)) = calls.front_mut()
                && let Poll::Ready(answer) = oldest.poll_unpin(cx)
            {
                answers.take(answer, *start)?;
                calls.pop_front();
            }
            ready!(answers.poll_pause(cx));
            left += std::mem::take(&mut answers.refused);
            if left == 0 || calls.len() >= window {
                return if calls.is_empty() { Poll::Ready(Ok(())) } else { Poll::Pending };
            }
            if sent >= BATCH {
                // The client's turn.
                sent = 0;
                cx.waker().wake_by_ref();
                return Poll::Pending;
            }
            while left > 0 && calls.len() < window && sent < BATCH {
                left -= 1;
                sent += 1;
                let start = answers.latency.is_some().then(Instant::now);
                let mut call = client.send_message_to_peer(peer_id, message.clone());
                // The first look sends it.
                match call.poll_unpin(cx) {
                    Poll::Ready(answer) => answers.take(answer, start)?,
                    Poll::Pending => calls.push_back((call, start)),
                }
            }
        }
    }))
    .await
}

/// What became of the messages to a user.
struct Answers<'a, F> {
    latency: Option<&'a mut Latency>,
    held: F,
    /// How many the server's limits held up, which are to be sent again after the pause.
    refused: u64,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<F: Fn()> Answers<'_, F> {
    fn take(&mut self, answer: Result<SendOutcome, RtmError>, start: Option<Instant>) -> Result<(), LoadError> {
        match answer {
            Ok(outcome) if outcome.has_peer_received() => {
                if let (Some(start), Some(latency)) = (start, &mut self.latency) {
                    latency.record(start.elapsed());
                }
            }
            Ok(_) => return Err(LoadError::NotReceived),
            Err(error) => {
                let pause = pause_after(error)?;
                (self.held)();
                self.refused += 1;
                self.pause.get_or_insert_with(|| Box::pin(sleep(pause)));
            }
        }
        Ok(())
    }

    /// Ready when nothing is to be waited for.
    fn poll_pause(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.poll_unpin(cx));
            self.pause = None;
        }
        Poll::Ready(())
    }
}

/// Sends `messages` to a channel, as many under way at once as `window` lets out. Returns when the server has them all.
/// A message that the server's limits hold up is sent when they allow it, and `held` is told.
///
/// # Errors
///
/// [`LoadError::Call`].
///
/// # Cancel safety
///
/// What was sent stays sent.
pub async fn publish_to_channel(
    channel: &Channel,
    message: &RtmMessage,
    messages: u64,
    window: &Window,
    held: impl Fn(),
) -> Result<(), LoadError> {
    let held = &held;
    let mut calls = FuturesUnordered::new();
    let mut left = messages;
    while left > 0 {
        // Calls go on while room is awaited: they are what fills it.
        let room = tokio::select! {
            biased;
            room = window.take(left) => room,
            Some(result) = calls.next() => { result?; continue }
        };
        left -= room;
        for _ in 0..room {
            let message = message.clone();
            calls.push(async move {
                loop {
                    match channel.send_message(message.clone()).await {
                        Err(error) => wait_out(error, held).await?,
                        Ok(()) => return Ok::<_, LoadError>(()),
                    }
                }
            });
        }
    }
    while calls.try_next().await?.is_some() {}
    Ok(())
}

/// Takes events until `messages` of them were messages, of users or channels. `seen` is told of each batch.
///
/// # Errors
///
/// [`LoadError::Lost`] when a gap says so, or the stream ends.
///
/// # Cancel safety
///
/// Messages counted so far are forgotten.
pub async fn receive(events: &mut Events, messages: u64, mut seen: impl FnMut(u64)) -> Result<(), LoadError> {
    let mut left = messages;
    while left > 0 {
        let mut batch = 0;
        let mut event = Some(events.recv().await.ok_or(LoadError::Lost)?);
        while let Some(taken) = event {
            batch += u64::from(is_message(&taken)?);
            event = if batch < left.min(BATCH) { events.try_recv() } else { None };
        }
        if batch > 0 {
            left -= batch;
            seen(batch);
        }
    }
    Ok(())
}

/// Sends a message to a user, waits for the user's [`echo`], and so on, `rounds` times.
///
/// # Errors
///
/// [`LoadError::Call`] and [`LoadError::Lost`].
///
/// # Cancel safety
///
/// What was sent stays sent.
pub async fn ping(
    user: &mut User,
    peer_id: &str,
    message: &RtmMessage,
    rounds: u64,
    latency: &mut Latency,
) -> Result<(), LoadError> {
    let User { client, events } = user;
    let mut calls = FuturesUnordered::new();
    for _ in 0..rounds {
        let start = Instant::now();
        calls.push(client.send_message_to_peer(peer_id, message.clone()));
        loop {
            // The receipt comes on its own; the round is over when the echo is here.
            tokio::select! {
                biased;
                Some(result) = calls.next(), if !calls.is_empty() => {
                    result.map_err(LoadError::call("send"))?;
                }
                event = events.recv() => {
                    if is_message(&event.ok_or(LoadError::Lost)?)? {
                        break;
                    }
                }
            }
        }
        latency.record(start.elapsed());
    }
    while let Some(result) = calls.next().await {
        result.map_err(LoadError::call("send"))?;
    }
    Ok(())
}

/// Sends `rounds` messages back to who sent them.
///
/// # Errors
///
/// [`LoadError::Call`] and [`LoadError::Lost`].
///
/// # Cancel safety
///
/// What was sent stays sent.
pub async fn echo(user: &mut User, rounds: u64) -> Result<(), LoadError> {
    let User { client, events } = user;
    let mut calls = FuturesUnordered::new();
    let mut left = rounds;
    while left > 0 || !calls.is_empty() {
        tokio::select! {
            biased;
            Some(result) = calls.next(), if !calls.is_empty() => {
                result?;
            }
            event = events.recv(), if left > 0 => {
                if let RtmEvent::MessageFromPeer { message, peer_id, .. } = event.ok_or(LoadError::Lost)? {
                    left -= 1;
                    let client = &*client;
                    calls.push(async move {
                        client.send_message_to_peer(&peer_id, message).await.map_err(LoadError::call("send"))
                    });
                }
            }
        }
    }
    Ok(())
}

/// Waits until a call that was made too often may be made again; any other error is one.
async fn wait_out(error: RtmError, held: impl Fn()) -> Result<(), LoadError> {
    let pause = pause_after(error)?;
    held();
    sleep(pause).await;
    Ok(())
}

/// After what time a call that was made too often may be made again; any other error is one.
fn pause_after(error: RtmError) -> Result<Duration, LoadError> {
    match error.kind() {
        ErrorKind::TooOften => Ok(error.retry_after().unwrap_or(PAUSE)),
        _ => Err(LoadError::call("send")(error)),
    }
}

fn is_message(event: &RtmEvent) -> Result<bool, LoadError> {
    match event {
        RtmEvent::MessageFromPeer { .. } | RtmEvent::ChannelMessage { .. } => Ok(true),
        RtmEvent::Gap { .. } => Err(LoadError::Lost),
        _ => Ok(false),
    }
}

/// After how many messages a busy sender lets others go on, and a busy receiver tells of them.
const BATCH: u64 = 64;

/// How long to wait where the server does not say it.
const PAUSE: Duration = Duration::from_millis(500);
