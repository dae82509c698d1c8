//! Where an endpoint goes on in the log, and when this node is the one that tells it.

use std::sync::Arc;

use rtm_core::EventAnswer;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};

use super::{KEEP_EVERY, Order, Webhook};
use crate::{events::last_number, project::Project};

/// Has the store know where a new endpoint begins: with what happens from now on, whichever node tells it, and however much later.
/// `false` when it is to stop.
pub(super) async fn claim(
    webhook: &Webhook,
    project: &Arc<Project>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> bool {
    let name = webhook.cursor();
    let mut last = None;
    loop {
        let from = project.event_cursor(&name);
        if from.revision.0 > 0 {
            return true;
        }
        if last.is_none() {
            last = last_number(project).await.ok();
        }
        if let Some(last) = last
            && project.may_write()
            && let Some(Ok(_)) = project.move_event_cursor(&name, from, last, false).await
        {
            // By this node, or by one that has the endpoint too.
            continue;
        }
        tokio::select! {
            order = orders.recv() => if matches!(order, Some(Order::Stop) | None) {
                return false;
            },
            () = sleep(KEEP_EVERY) => {}
        }
    }
}

/// Where an endpoint goes on.
pub(super) struct Start {
    /// What the store has of it.
    pub(super) kept: (u64, bool),
    /// What it has of the events behind that.
    pub(super) taken_ahead: Vec<(u64, u64)>,
    pub(super) is_paused: bool,
}

/// Waits until this node is the one that tells the endpoint, and the one before it cannot have anything on its way any more.
/// `None` when it is to stop.
pub(super) async fn wait_for_home(
    webhook: &Webhook,
    project: &Arc<Project>,
    orders: &mut mpsc::UnboundedReceiver<Order>,
) -> Option<Start> {
    let (cursor, timeout) = (webhook.cursor(), webhook.config.target.timeout);
    // Whoever is alone waits for nobody.
    let (mut since, mut was_away) = (None, project.is_one_of_several());
    // What an operator wants of it meanwhile.
    #[cfg_attr(not(feature = "admin"), expect(unused_mut, reason = "nobody can pause it"))]
    let mut is_paused = None;
    loop {
        let is_home = project.may_write() && project.is_home_of(&cursor);
        webhook.tell(|status| status.is_awaited = is_home);
        let kept = match is_home {
            true => {
                let since = *since.get_or_insert_with(Instant::now);
                if !was_away || Instant::now() >= since + timeout + KEEP_EVERY * 2 {
                    Some(first(webhook, project).await)
                } else {
                    take_new(&cursor, project).await.map(|kept| (kept, Vec::new()))
                }
            }
            false => {
                (since, was_away) = (None, true);
                None
            }
        };
        if let Some((kept, taken_ahead)) = kept {
            return Some(Start { kept, taken_ahead, is_paused: is_paused.unwrap_or(kept.1) });
        }
        tokio::select! {
            order = orders.recv() => match order {
                Some(Order::Stop) | None => return None,
                #[cfg(feature = "admin")]
                Some(Order::Pause) => is_paused = Some(true),
                #[cfg(feature = "admin")]
                Some(Order::Enable) => is_paused = Some(false),
                #[cfg(feature = "admin")]
                Some(_) => {}
            },
            () = sleep(KEEP_EVERY) => {}
        }
    }
}

/// Takes an endpoint over that no node has told anything yet, as its cursor says, which is as it was first written.
async fn take_new(cursor: &str, project: &Arc<Project>) -> Option<(u64, bool)> {
    let from = project.event_cursor(cursor);
    if from.revision.0 != 1 {
        return None;
    }
    match project.move_event_cursor(cursor, from, from.read.0, from.is_paused).await {
        Some(Ok(EventAnswer::Moved(taken))) => Some((taken.read.0, taken.is_paused)),
        _ => None,
    }
}

/// Where an endpoint begins: where it was, or with what happens from now on; and whether it is paused; and what it has behind that.
/// What another node has written counts too.
async fn first(webhook: &Webhook, project: &Arc<Project>) -> ((u64, bool), Vec<(u64, u64)>) {
    let name = webhook.cursor();
    loop {
        let from = project.event_cursor(&name);
        let after = if from.revision.0 > 0 { Some(from.read.0) } else { last_number(project).await.ok() };
        if let Some(after) = after
            && let Some(accepted) = project.accepted_events(&name).await
        {
            match project.move_event_cursor(&name, from, after, from.is_paused).await {
                Some(Ok(EventAnswer::Moved(_))) => {
                    let is_of_cursor = accepted.cursor == from.revision;
                    return ((after, from.is_paused), if is_of_cursor { accepted.spans } else { Vec::new() });
                }
                Some(Ok(_)) => continue,
                _ => {}
            }
        }
        sleep(KEEP_EVERY).await;
    }
}
