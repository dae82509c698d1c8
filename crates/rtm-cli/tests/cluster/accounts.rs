//! Every message of a sender is accounted for.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use rtm_client::{Client, RtmEvent, SendMessageOptions};
use tokio::{task::JoinHandle, time::sleep};

use crate::users::User;

/// A sender at work: what became of each of its texts.
pub(crate) struct Sender {
    work: JoinHandle<BTreeMap<String, String>>,
    is_over: Arc<AtomicBool>,
}

impl Sender {
    /// Sends texts to a user, one every few milliseconds, until it is stopped.
    pub(crate) fn start(client: Client, to: String, pause: Duration) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let over = Arc::clone(&is_over);
        let work = tokio::spawn(async move {
            let mut outcomes = BTreeMap::new();
            let mut calls = Vec::new();
            for n in 0.. {
                if over.load(Ordering::Relaxed) {
                    break;
                }
                let text = format!("message {n:06}");
                let options = SendMessageOptions::new().enable_offline_messaging(false);
                let call = client.send_message_to_peer_with(&to, text.as_str(), options);
                calls.push((text, tokio::spawn(async move { format!("{:?}", call.await) })));
                sleep(pause).await;
            }
            for (text, call) in calls {
                outcomes.insert(text, call.await.unwrap());
            }
            outcomes
        });
        Self { work, is_over }
    }

    /// Stops, and gives the outcome of each text.
    pub(crate) async fn stop(self) -> BTreeMap<String, String> {
        self.is_over.store(true, Ordering::Relaxed);
        self.work.await.unwrap()
    }
}

/// The texts that a user has got, in order, and the gaps that it was told of.
pub(crate) fn texts_and_gaps(user: &mut User) -> (Vec<String>, usize) {
    let (mut texts, mut gaps) = (Vec::new(), 0);
    for event in user.so_far() {
        match event {
            RtmEvent::MessageFromPeer { message, .. } => texts.extend(message.as_text().map(str::to_owned)),
            RtmEvent::Gap { .. } => gaps += 1,
            _ => {}
        }
    }
    (texts, gaps)
}
