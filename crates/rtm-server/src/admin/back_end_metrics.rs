//! The figures of what back ends are told and asked.

use std::sync::PoisonError;
#[cfg(feature = "webhooks")]
use std::time::SystemTime;

use super::{
    Admin,
    page::{Labels, Page},
};
use crate::gate::ANSWERS;
#[cfg(feature = "webhooks")]
use crate::webhooks::{delivery::ANSWERS as TAKEN, worker::Webhook};

impl Admin {
    /// What back ends were told, and what they were asked.
    pub(super) fn add_back_ends(&self, page: &mut Page) {
        let live = self.shared.live();
        let mut hooks = Vec::new();
        for (app_id, judge) in &live.judges {
            let questions = judge.questions();
            let questions = questions.lock().unwrap_or_else(PoisonError::into_inner);
            hooks.extend(
                questions.iter().map(|(hook, figures)| {
                    (vec![("app_id", app_id.to_string()), ("hook", (*hook).to_owned())], *figures)
                }),
            );
        }
        let calls = hooks.iter().flat_map(|(labels, figures)| {
            ANSWERS
                .into_iter()
                .zip(figures.answers)
                .map(|(result, count)| (with(labels, "result", result), count as f64))
        });
        page.counter("rtm_hook_calls", "What back ends decided that were asked before something was done", calls);
        page.latencies(
            "rtm_hook_duration_seconds",
            "How long back ends took to decide",
            hooks.iter().map(|(labels, figures)| (labels.clone(), figures.took)),
        );
        #[cfg(feature = "webhooks")]
        add_webhooks(
            page,
            live.webhooks.iter().flat_map(|(app_id, all)| {
                all.iter().map(move |webhook| {
                    (vec![("app_id", app_id.to_string()), ("webhook", webhook.config.name.clone())], &**webhook)
                })
            }),
        );
    }
}

#[cfg(feature = "webhooks")]
fn add_webhooks<'a>(page: &mut Page, all: impl Iterator<Item = (Labels, &'a Webhook)>) {
    let all: Vec<_> = all.map(|(labels, webhook)| (labels, webhook.status())).collect();
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_millis() as u64;
    let attempts = all.iter().flat_map(|(labels, status)| {
        TAKEN.into_iter().zip(status.answers).map(|(result, count)| (with(labels, "result", result), count as f64))
    });
    page.counter("rtm_webhook_attempts", "Requests to endpoints, by what was answered", attempts);
    page.latencies(
        "rtm_webhook_duration_seconds",
        "How long requests to endpoints took",
        all.iter().map(|(labels, status)| (labels.clone(), status.took)),
    );
    page.gauge(
        "rtm_webhook_pending_events",
        "Events that were read from the log for an endpoint, and that it has not taken; at most 10000",
        all.iter().map(|(labels, status)| (labels.clone(), status.pending.0 as f64)),
    );
    page.gauge(
        "rtm_webhook_oldest_pending_seconds",
        "How long ago the oldest event happened that an endpoint has not taken",
        all.iter().map(|(labels, status)| {
            let age = status.pending.1.map_or(0, |oldest| now.saturating_sub(oldest));
            (labels.clone(), age as f64 / 1000.0)
        }),
    );
    page.gauge(
        "rtm_webhook_enabled",
        "0 for an endpoint that gets no events, since it said so or an operator paused it",
        all.iter().map(|(labels, status)| {
            let is_enabled = status.health.is_none_or(|health| !health.is_off());
            (labels.clone(), f64::from(u8::from(is_enabled)))
        }),
    );
}

fn with(labels: &Labels, label: &'static str, value: &str) -> Labels {
    let mut labels = labels.clone();
    labels.push((label, value.to_owned()));
    labels
}
