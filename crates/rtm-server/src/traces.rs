//! Traces of what is done for back ends and operators: calls, deliveries to webhooks, batches of the store. A message to a user
//! has none. Without the feature `otlp`, or a collector to send them to, nothing is done.

#[cfg(feature = "otlp")]
pub(crate) mod config;
#[cfg(feature = "otlp")]
mod exporter;
#[cfg(not(feature = "otlp"))]
mod off;
#[cfg(feature = "otlp")]
pub(crate) mod spans;

#[cfg(all(not(feature = "otlp"), feature = "rest"))]
pub(crate) use off::Span;
#[cfg(not(feature = "otlp"))]
pub(crate) use off::Traces;
#[cfg(all(feature = "otlp", feature = "rest"))]
pub(crate) use spans::Span;
#[cfg(feature = "otlp")]
pub(crate) use spans::Traces;
