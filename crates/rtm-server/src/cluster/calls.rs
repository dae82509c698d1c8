//! Calls that a node passes on to another one, and their answers: over NATS, in parts where one message cannot hold them.

use std::{sync::Arc, time::Duration};

use async_nats::{Client, Message, StatusCode};
use bytes::{BufMut as _, Bytes, BytesMut};
use futures::{StreamExt as _, future::BoxFuture};
use rtm_core::cluster::NodeName;
use tokio::{task::JoinHandle, time::timeout};
use tracing::warn;

use super::names::Names;

/// The way to the other nodes of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct NodeCalls {
    client: Client,
    names: Names,
}

/// Why a node did not answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum NotAnswered {
    #[error("nobody listens there")]
    Nobody,
    #[error("no answer came within {} s", .0.as_secs())]
    TimedOut(Duration),
    #[error("a part of the answer was lost")]
    Torn,
    #[error("NATS takes no call of {0} bytes")]
    TooLong(usize),
    #[error("{0}")]
    NotSent(String),
}

/// What answers calls.
pub(crate) type Answerer = Arc<dyn Fn(Bytes) -> BoxFuture<'static, Vec<u8>> + Send + Sync>;

impl NodeCalls {
    pub(super) fn new(client: Client, names: Names) -> Self {
        Self { client, names }
    }

    /// The answer of a node, if it comes in time. A node does not begin with a call for which nobody waits any more.
    pub(crate) async fn call(&self, node: &NodeName, request: Bytes, within: Duration) -> Result<Vec<u8>, NotAnswered> {
        if request.len() > self.client.max_payload() {
            return Err(NotAnswered::TooLong(request.len()));
        }
        timeout(within, self.call_patiently(node, request)).await.unwrap_or(Err(NotAnswered::TimedOut(within)))
    }

    async fn call_patiently(&self, node: &NodeName, request: Bytes) -> Result<Vec<u8>, NotAnswered> {
        let not_sent = |error: &dyn std::fmt::Display| NotAnswered::NotSent(error.to_string());
        let inbox = self.client.new_inbox();
        let mut parts = self.client.subscribe(inbox.clone()).await.map_err(|error| not_sent(&error))?;
        let subject = self.names.calls(node);
        self.client.publish_with_reply(subject, inbox, request).await.map_err(|error| not_sent(&error))?;
        let mut answer = Vec::new();
        let mut expected = 0;
        loop {
            let part = parts.next().await.ok_or(NotAnswered::Torn)?;
            if part.status == Some(StatusCode::NO_RESPONDERS) {
                return Err(NotAnswered::Nobody);
            }
            // The node asks whether it is waited for.
            if let Some(asks) = part.reply {
                self.client.publish(asks, Bytes::new()).await.map_err(|error| not_sent(&error))?;
                continue;
            }
            let (number, is_last, bytes) = read_part(&part.payload).ok_or(NotAnswered::Torn)?;
            if number != expected || answer.len() + bytes.len() > MOST_BYTES {
                return Err(NotAnswered::Torn);
            }
            answer.extend_from_slice(bytes);
            if is_last {
                return Ok(answer);
            }
            expected += 1;
        }
    }

    /// Answers what other nodes ask of this one, until the task is aborted.
    pub(crate) fn answer(&self, me: &NodeName, answerer: Answerer) -> JoinHandle<()> {
        let (client, subject) = (self.client.clone(), self.names.calls(me));
        tokio::spawn(async move {
            let calls = match client.subscribe(subject).await {
                Ok(calls) => calls,
                Err(error) => {
                    warn!("other nodes cannot ask this one for what it has: {error}");
                    return;
                }
            };
            let (client, answerer) = (&client, &answerer);
            calls.for_each_concurrent(AT_ONCE, |call| answer(client, call, answerer)).await;
        })
    }
}

async fn answer(client: &Client, call: Message, answerer: &Answerer) {
    let Some(reply) = call.reply else { return };
    // It may have waited here, or this process have stood still.
    let is_waited_for = timeout(CONFIRM_WITHIN, client.request(reply.clone(), Bytes::new())).await;
    if !matches!(is_waited_for, Ok(Ok(_))) {
        return;
    }
    // What has begun is done to its end.
    let done = tokio::spawn(answerer(call.payload));
    let Ok(Ok(answer)) = timeout(ANSWER_WITHIN, done).await else { return };
    let room = client.max_payload().saturating_sub(HEAD_BYTES).max(1);
    let count = answer.len().div_ceil(room).max(1);
    for number in 0..count {
        let bytes = &answer[number * room..answer.len().min((number + 1) * room)];
        let Ok(place) = u32::try_from(number) else { return };
        let part = write_part(place, number + 1 == count, bytes);
        if client.publish(reply.clone(), part).await.is_err() {
            return;
        }
    }
}

/// A part: its number, whether it is the last, and its bytes.
fn write_part(number: u32, is_last: bool, bytes: &[u8]) -> Bytes {
    let mut part = BytesMut::with_capacity(HEAD_BYTES + bytes.len());
    part.put_u32(number);
    part.put_u8(is_last.into());
    part.put_slice(bytes);
    part.freeze()
}

fn read_part(part: &[u8]) -> Option<(u32, bool, &[u8])> {
    let (number, rest) = part.split_first_chunk()?;
    let (is_last, bytes) = rest.split_first()?;
    Some((u32::from_be_bytes(*number), *is_last != 0, bytes))
}

const HEAD_BYTES: usize = 5;
/// How long somebody who waits takes to say so.
const CONFIRM_WITHIN: Duration = Duration::from_secs(2);
/// Nobody waits longer.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// How long an answer may be.
const MOST_BYTES: usize = 16 * 1024 * 1024;
/// How many calls of other nodes are answered at once.
const AT_ONCE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_comes_back_and_less_than_a_head_is_none() {
        let part = write_part(7, true, b"rest");
        assert_eq!(read_part(&part), Some((7, true, &b"rest"[..])));
        assert_eq!(read_part(&write_part(0, false, b"")), Some((0, false, &b""[..])));
        assert_eq!(read_part(&part[..HEAD_BYTES - 1]), None);
    }
}
