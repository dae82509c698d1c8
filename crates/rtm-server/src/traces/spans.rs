//! Spans, and who gives them to the exporter.

use std::{fmt, sync::Arc, thread, time::Duration};

#[cfg(any(feature = "rest", feature = "admin"))]
use hyper::Method;
use hyper::{HeaderMap, header::HeaderValue};
use opentelemetry::{
    Context, KeyValue,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanKind, Status, TraceContextExt as _, Tracer as _, TracerProvider as _},
};
#[cfg(any(feature = "rest", feature = "admin"))]
use opentelemetry_http::HeaderExtractor;
use opentelemetry_http::HeaderInjector;
use opentelemetry_sdk::{
    Resource,
    propagation::TraceContextPropagator,
    trace::{Sampler, SdkTracer, SdkTracerProvider, Span as SdkSpan},
};
use tokio::{runtime::Handle, task::spawn_blocking};

use super::{config::OtlpConfig, exporter::Exporter};
use crate::error::ServerError;

/// Makes spans, if there is a collector.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces(Option<Arc<Tracing>>);

#[derive(Debug)]
struct Tracing {
    provider: SdkTracerProvider,
    tracer: SdkTracer,
}

/// Something that takes time, from when it is made to when it is dropped.
pub(crate) struct Span(Option<SdkSpan>);

impl Traces {
    /// Traces of the server that is called so. Reads the files that the configuration names. Blocks.
    pub(crate) fn start(config: &OtlpConfig, instance: String, runtime: Handle) -> Result<Self, ServerError> {
        let own = [
            KeyValue::new("service.name", config.service_name.clone()),
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", instance),
        ];
        let said = config.resource_attributes.iter();
        let said = said.map(|attribute| KeyValue::new(attribute.name.clone(), attribute.value.clone()));
        let resource = Resource::builder_empty().with_attributes(own).with_attributes(said).build();
        let provider = SdkTracerProvider::builder()
            .with_resource(resource)
            .with_sampler(Sampler::ParentBased(Box::new(Sampler::TraceIdRatioBased(config.sample_ratio))))
            .with_batch_exporter(Exporter::new(config, runtime)?)
            .build();
        let tracer = provider.tracer("rtm-server");
        Ok(Self(Some(Arc::new(Tracing { provider, tracer }))))
    }

    /// A call that somebody makes, who may say in its headers of which trace it is.
    #[cfg(any(feature = "rest", feature = "admin"))]
    pub(crate) fn served(&self, method: &Method, headers: &HeaderMap) -> Span {
        let parent = || TraceContextPropagator::new().extract(&HeaderExtractor(headers));
        let mut span = self.span(SpanKind::Server, name(method), parent);
        span.text("http.request.method", name(method));
        span
    }

    /// A request to a back end.
    pub(crate) fn delivery(&self, name: &str) -> Span {
        self.span(SpanKind::Client, name, Context::new)
    }

    /// What the store does at once.
    pub(crate) fn batch(&self) -> Span {
        self.span(SpanKind::Internal, "store batch", Context::new)
    }

    fn span(&self, kind: SpanKind, name: &str, parent: impl FnOnce() -> Context) -> Span {
        let span = |tracing: &Arc<Tracing>| {
            let tracer = &tracing.tracer;
            tracer.span_builder(name.to_owned()).with_kind(kind).start_with_context(tracer, &parent())
        };
        Span(self.0.as_ref().map(span))
    }

    /// Sends what has not been sent, as far as that takes no more than a moment.
    pub(crate) async fn close(&self) {
        let Some(tracing) = self.0.clone() else { return };
        // Whoever loses something here knows from the log that the collector takes nothing.
        let _ = spawn_blocking(move || tracing.provider.shutdown_with_timeout(CLOSE_WITHIN)).await;
    }
}

impl Span {
    /// Whether anybody gets to see it.
    #[cfg(feature = "rest")]
    pub(crate) fn is_recorded(&self) -> bool {
        self.0.as_ref().is_some_and(SdkSpan::is_recording)
    }

    /// Names it after the kind of call that it turned out to be.
    #[cfg(any(feature = "rest", feature = "admin"))]
    pub(crate) fn is_of(&mut self, method: &Method, route: &'static str) {
        if let Some(span) = &mut self.0 {
            span.update_name(format!("{} {route}", name(method)));
            span.set_attribute(KeyValue::new("http.route", route));
        }
    }

    pub(crate) fn text(&mut self, name: &'static str, value: &str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, value.to_owned()));
        }
    }

    pub(crate) fn number(&mut self, name: &'static str, value: u64) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new(name, i64::try_from(value).unwrap_or(i64::MAX)));
        }
    }

    /// What was answered. For whoever answers only a fault of its own is one.
    pub(crate) fn answered(&mut self, status: u16, is_fault: bool) {
        self.number("http.response.status_code", status.into());
        if is_fault {
            self.failed(&status.to_string());
        }
    }

    pub(crate) fn failed(&mut self, what: &str) {
        if let Some(span) = &mut self.0 {
            span.set_attribute(KeyValue::new("error.type", what.to_owned()));
            span.set_status(Status::error(what.to_owned()));
        }
    }

    /// What tells others of which trace they are.
    pub(crate) fn traceparent(&self) -> Option<HeaderValue> {
        let context = Context::new().with_remote_span_context(self.0.as_ref()?.span_context().clone());
        let mut headers = HeaderMap::new();
        TraceContextPropagator::new().inject_context(&context, &mut HeaderInjector(&mut headers));
        headers.remove("traceparent")
    }
}

/// A method that is one: a caller may send any word, and there would be as many names.
#[cfg(any(feature = "rest", feature = "admin"))]
fn name(method: &Method) -> &str {
    let known = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::PATCH, Method::HEAD, Method::OPTIONS];
    if known.contains(method) { method.as_str() } else { "_OTHER" }
}

impl Drop for Tracing {
    /// Its last spans are sent by a runtime that may wait for whoever drops it.
    fn drop(&mut self) {
        let (provider, tracer) = (self.provider.clone(), self.tracer.clone());
        let closing = move || {
            let _ = provider.shutdown_with_timeout(CLOSE_WITHIN);
            drop(tracer);
        };
        // Without a thread they are lost.
        let _ = thread::Builder::new().name("rtm-traces".into()).spawn(closing);
    }
}

impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Span").field(&self.0.as_ref().map(|span| span.span_context())).finish()
    }
}

/// How long the last spans may take.
pub(crate) const CLOSE_WITHIN: Duration = Duration::from_secs(5);
