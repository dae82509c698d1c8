//! What stands for traces in a server that was compiled without them.

#[cfg(any(feature = "webhooks", all(feature = "admin", feature = "cluster")))]
use hyper::header::HeaderValue;
#[cfg(any(feature = "rest", feature = "admin"))]
use hyper::{HeaderMap, Method};

/// See `spans.rs`.
#[derive(Debug, Clone, Default)]
pub(crate) struct Traces(());

/// See `spans.rs`.
#[derive(Debug)]
pub(crate) struct Span;

impl Traces {
    #[cfg(any(feature = "rest", feature = "admin"))]
    pub(crate) fn served(&self, _: &Method, _: &HeaderMap) -> Span {
        Span
    }

    #[cfg(feature = "webhooks")]
    pub(crate) fn delivery(&self, _: &str) -> Span {
        Span
    }

    pub(crate) fn batch(&self) -> Span {
        Span
    }
}

impl Span {
    #[cfg(feature = "rest")]
    pub(crate) fn is_recorded(&self) -> bool {
        false
    }

    #[cfg(any(feature = "rest", feature = "admin"))]
    pub(crate) fn is_of(&mut self, _: &Method, _: &'static str) {}

    #[cfg(any(feature = "rest", feature = "admin", feature = "webhooks"))]
    pub(crate) fn text(&mut self, _: &'static str, _: &str) {}

    pub(crate) fn number(&mut self, _: &'static str, _: u64) {}

    #[cfg(any(feature = "rest", feature = "admin", feature = "webhooks"))]
    pub(crate) fn answered(&mut self, _: u16, _: bool) {}

    pub(crate) fn failed(&mut self, _: &str) {}

    #[cfg(any(feature = "webhooks", all(feature = "admin", feature = "cluster")))]
    pub(crate) fn traceparent(&self) -> Option<HeaderValue> {
        None
    }
}
