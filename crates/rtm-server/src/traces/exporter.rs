//! Sends spans to a collector, and says when it cannot.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::Duration,
};

use async_trait::async_trait;
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::{
    Resource,
    error::OTelSdkResult,
    trace::{SpanData, SpanExporter},
};
use tokio::runtime::Handle;
use tracing::info;

use super::config::{OtlpConfig, OtlpHeader};
use crate::{
    error::{ConfigError, ServerError},
    shared::Seldom,
    webhooks::client::{Broken, HttpClient as Client, Route},
};

/// Sends spans to the collector. What it does not take is lost.
#[derive(Debug)]
pub(super) struct Exporter {
    otlp: opentelemetry_otlp::SpanExporter,
    url: String,
    /// Spans that it has not taken since it took some.
    lost: AtomicU64,
    told: Seldom,
}

/// Sends from a thread that is not the runtime's.
#[derive(Debug)]
struct Sender {
    client: Client,
    headers: Vec<OtlpHeader>,
    runtime: Handle,
}

/// What asks the collector. Reads the files that are named. Blocks.
pub(super) fn client(config: &OtlpConfig) -> Result<Client, ServerError> {
    let route = Route { ca_file: config.ca_file.clone(), identity: None, allow_private: true };
    let uri = config.url().parse().map_err(|_| ConfigError::value("otlp.endpoint", "it is no URL"))?;
    Client::new(uri, &route, config.timeout, Broken::Fails).map_err(|error| error.within("otlp."))
}

impl Exporter {
    /// One that sends in this runtime. Reads the files that are named. Blocks.
    pub(super) fn new(config: &OtlpConfig, runtime: Handle) -> Result<Self, ServerError> {
        let sender = Sender { client: client(config)?, headers: config.headers.clone(), runtime };
        let otlp = opentelemetry_otlp::SpanExporter::builder()
            .with_http()
            .with_http_client(sender)
            .with_protocol(Protocol::HttpBinary)
            .with_endpoint(config.url())
            .with_timeout(config.timeout)
            .build()
            .map_err(|error| ConfigError::value("otlp.endpoint", error.to_string()))?;
        Ok(Self { otlp, url: config.url(), lost: AtomicU64::new(0), told: Seldom::default() })
    }
}

impl SpanExporter for Exporter {
    async fn export(&self, spans: Vec<SpanData>) -> OTelSdkResult {
        let count = spans.len() as u64;
        match self.otlp.export(spans).await {
            Ok(()) => {
                let lost = self.lost.swap(0, Ordering::Relaxed);
                if lost > 0 {
                    info!(lost, "{} takes traces again", self.url);
                }
            }
            Err(error) => {
                self.lost.fetch_add(count, Ordering::Relaxed);
                let text = format_args!("traces are lost, since {} does not take them: {error}", self.url);
                self.told.warn_every(WARN_PAUSE, text);
            }
        }
        Ok(())
    }

    fn shutdown_with_timeout(&self, timeout: Duration) -> OTelSdkResult {
        self.otlp.shutdown_with_timeout(timeout)
    }

    fn set_resource(&mut self, resource: &Resource) {
        self.otlp.set_resource(resource);
    }
}

#[async_trait]
impl HttpClient for Sender {
    async fn send_bytes(&self, request: Request<Bytes>) -> Result<Response<Bytes>, HttpError> {
        let client = self.client.clone();
        let (head, body) = request.into_parts();
        let mut headers = head.headers;
        headers.extend(self.headers.iter().map(|header| (header.name.clone(), header.value.clone())));
        let reply = self.runtime.spawn(async move { client.post(headers, body).await }).await??;
        let mut response = Response::new(reply.body.unwrap_or_default());
        *response.status_mut() = reply.status;
        *response.headers_mut() = reply.headers;
        Ok(response)
    }
}

/// How often it is said that a collector takes nothing.
const WARN_PAUSE: Duration = Duration::from_secs(600);
