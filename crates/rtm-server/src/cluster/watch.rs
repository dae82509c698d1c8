//! The watch of a bucket, or of some subjects of a stream: what each key holds, and then every change, for ever.

use std::time::Duration;

use async_nats::{
    Message,
    jetstream::{
        Context,
        consumer::{DeliverPolicy, push::OrderedConfig},
    },
};
use futures::StreamExt as _;
use tokio::time::{sleep, timeout};

use crate::shared::Seldom;

/// Hands over what each key of a bucket holds, and what is written to it: see [`watch`].
pub(crate) async fn watch_bucket(jetstream: Context, bucket: String, take: impl FnMut(Vec<(u64, Message)>)) {
    watch(jetstream, format!("KV_{bucket}"), format!("$KV.{bucket}.>"), take).await;
}

/// Hands over the last message of each subject of a stream that the filter matches, and what is written to these, many at once.
/// What fails is begun anew, so that old messages may come again.
pub(crate) async fn watch(
    jetstream: Context,
    stream: String,
    filter: String,
    mut take: impl FnMut(Vec<(u64, Message)>),
) {
    let told = Seldom::default();
    loop {
        let Err(error) = once(&jetstream, &stream, &filter, &mut take).await;
        told.warn(format_args!("the watch of {filter} begins anew: {error}"));
        sleep(PAUSE).await;
    }
}

async fn once(
    jetstream: &Context,
    stream: &str,
    filter: &str,
    take: &mut impl FnMut(Vec<(u64, Message)>),
) -> Result<std::convert::Infallible, async_nats::Error> {
    let config = OrderedConfig {
        deliver_subject: jetstream.client().new_inbox(),
        deliver_policy: DeliverPolicy::LastPerSubject,
        filter_subject: filter.to_owned(),
        ..OrderedConfig::default()
    };
    let created = jetstream.create_consumer_on_stream(config, stream);
    let consumer = timeout(ANSWER, created).await??;
    let messages = timeout(ANSWER, consumer.messages()).await??;
    let mut messages = messages.ready_chunks(AT_ONCE);
    while let Some(chunk) = messages.next().await {
        let mut changes = Vec::with_capacity(chunk.len());
        for message in chunk {
            let message = message?;
            let revision = message.info()?.stream_sequence;
            changes.push((revision, message.message));
        }
        take(changes);
    }
    Err("it has ended".into())
}

const AT_ONCE: usize = 256;
const ANSWER: Duration = Duration::from_secs(5);
const PAUSE: Duration = Duration::from_millis(500);
