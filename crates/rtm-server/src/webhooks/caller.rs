//! Signed requests to one back end.

use std::{
    sync::Arc,
    time::{SystemTime, UNIX_EPOCH},
};

use bytes::Bytes;
use hyper::{
    HeaderMap, Uri,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, USER_AGENT},
};

use super::{
    client::{Broken, FilesDigest, HttpClient, Reply, Route, fault},
    config::{Hook, HookConfig, HookTarget, WebhookConfig},
    signature::{WebhookSecret, signature},
};
use crate::error::ServerError;

/// Makes requests to a back end, and signs them.
#[derive(Debug)]
pub(crate) struct Caller {
    client: HttpClient,
    secrets: Vec<WebhookSecret>,
}

/// Which try of a request it is.
#[derive(Debug, Clone, Default)]
pub(crate) struct Try {
    /// How often it failed before.
    pub(crate) failures: u32,
    /// Whether an operator wants the back end to have it again.
    pub(crate) is_replay: bool,
    /// Of the log that its events are in.
    pub(crate) epoch: Option<Arc<str>>,
    /// Of which trace it is.
    pub(crate) traceparent: Option<HeaderValue>,
}

impl HookTarget {
    /// What is wrong with it, if anything is, and with which key.
    pub(crate) fn fault(&self) -> Option<(&'static str, String)> {
        let Ok(uri) = self.url.parse::<Uri>() else {
            return Some(("url", "it is no URL that begins with https:// or http://".to_owned()));
        };
        if let Some(fault) = fault(&uri, self.allow_private) {
            return Some(("url", fault));
        }
        if self.timeout.is_zero() {
            return Some(("timeout", "it has to be longer than 0".to_owned()));
        }
        if self.client_certificate.is_some() != self.client_key.is_some() {
            return Some(("client_key", "client_certificate and client_key go together".to_owned()));
        }
        match self.secrets.len() {
            0 => Some(("secrets", "a secret is needed: whoever gets requests knows by it who sent them".to_owned())),
            1..=MOST_SECRETS => None,
            _ => Some(("secrets", format!("there are at most {MOST_SECRETS} secrets"))),
        }
    }
}

impl HookConfig {
    /// Reads the files that it names, as a server does at its start. Blocks.
    ///
    /// # Errors
    ///
    /// [`ServerError::Tls`] when one of them cannot be used.
    pub fn check_files(&self) -> Result<(), ServerError> {
        let (mut webhooks, mut hooks) = (self.webhooks.iter(), self.hooks.iter());
        webhooks.try_for_each(|webhook| Caller::of_webhook(webhook).map(drop))?;
        hooks.try_for_each(|hook| Caller::of_hook(hook).map(drop))
    }
}

impl Caller {
    /// Of a webhook. Reads the files that it names. Blocks.
    pub(crate) fn of_webhook(webhook: &WebhookConfig) -> Result<Self, ServerError> {
        Self::new(&webhook.target, Broken::Fails).map_err(|error| error.within(&format!("webhook {}: ", webhook.name)))
    }

    /// Of a hook. Reads the files that it names. Blocks.
    pub(crate) fn of_hook(hook: &Hook) -> Result<Self, ServerError> {
        // Who waits for the answer has no time for the schedule of events.
        Self::new(&hook.target, Broken::SentAgain)
            .map_err(|error| error.within(&format!("hook {}: ", hook.kind.as_str())))
    }

    fn new(target: &HookTarget, broken: Broken) -> Result<Self, ServerError> {
        let route = Route {
            ca_file: target.ca_file.clone(),
            identity: target.client_certificate.clone().zip(target.client_key.clone()),
            allow_private: target.allow_private,
        };
        let uri = target.url.parse().unwrap_or_default();
        let client = HttpClient::new(uri, &route, target.timeout, broken)?;
        Ok(Self { client, secrets: target.secrets.clone() })
    }

    /// What tells the files that it has read from others.
    pub(crate) fn files(&self) -> FilesDigest {
        self.client.files()
    }

    /// Posts a body that is known by this id, as often as it is sent.
    pub(crate) async fn call(
        &self,
        id: &str,
        content_type: &'static str,
        delivery: Try,
        body: Bytes,
    ) -> Result<Reply, String> {
        let timestamp = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |time| time.as_secs()).to_string();
        let signature = signature(&self.secrets, id, &timestamp, &body);
        let mut headers = HeaderMap::new();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(USER_AGENT, HeaderValue::from_static(concat!("rtm/", env!("CARGO_PKG_VERSION"))));
        let others = [("webhook-id", id), ("webhook-timestamp", &timestamp), ("webhook-signature", &signature)];
        for (name, value) in others {
            let value = HeaderValue::from_str(value).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static(name), value);
        }
        headers.insert(HeaderName::from_static("rtm-attempt"), HeaderValue::from(delivery.failures.saturating_add(1)));
        if delivery.is_replay {
            headers.insert(HeaderName::from_static("rtm-replay"), HeaderValue::from_static("1"));
        }
        if let Some(epoch) = delivery.epoch.as_deref() {
            let value = HeaderValue::from_str(epoch).map_err(|error| error.to_string())?;
            headers.insert(HeaderName::from_static("rtm-epoch"), value);
        }
        if let Some(traceparent) = delivery.traceparent {
            headers.insert(HeaderName::from_static("traceparent"), traceparent);
        }
        self.client.post(headers, body).await
    }
}

const MOST_SECRETS: usize = 2;
