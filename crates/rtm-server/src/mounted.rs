//! The server behind an application's own HTTP server, at the same port.

use std::{
    convert::Infallible,
    error::Error,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http::{Request, Response, StatusCode, header::ACCESS_CONTROL_ALLOW_ORIGIN};
use http_body::{Body, Frame, SizeHint};
use http_body_util::Full;
use rtm_core::HttpId;
use tokio::sync::oneshot;

use crate::{
    clock::instant,
    handle::ServerHandle,
    http::{Exchange, handshake::is_websocket, is_rest, text},
    project::Project,
    remote::Remote,
    shared::Guest,
};

/// The body of an answer.
#[derive(Debug)]
pub struct ResponseBody {
    body: Full<Bytes>,
    handed_out: Option<HandedOut>,
}

/// An answer with stored messages. Whether it was written is told to its project when this is dropped.
#[derive(Debug)]
struct HandedOut {
    project: Arc<Project>,
    id: HttpId,
    is_written: bool,
}

impl ServerHandle {
    /// Answers a request to the application's own HTTP server: a WebSocket handshake on any path (this server then serves the
    /// connection), a request to the gateway of the vendor's wire, a call of the REST API, `/livez`, `/readyz`, or `/healthz`.
    ///
    /// The HTTP server must speak HTTP/1.1 and allow upgrades. The request counts as a connection: above the server's limits
    /// the answer is 503, above those of one address 429; a call of the REST API does not count for its address. It is also
    /// 503 once [`shutdown`](crate::Server::shutdown) has begun.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future drops the answer.
    pub async fn respond<B>(&self, request: Request<B>, remote: impl Into<Remote>) -> Response<ResponseBody>
    where
        B: Body<Data: Send> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        let shared = &self.shared;
        let remote = remote.into();
        if shared.draining.has_begun() && is_websocket(request.headers()) {
            return refusal(StatusCode::SERVICE_UNAVAILABLE, SHUTTING_DOWN);
        }
        let is_rest = is_rest(shared, &request);
        let slot = shared.admission.try_slot();
        // A call that there is no room for is refused in the form of its API.
        let is_spare = slot.is_none();
        let admitted = match slot {
            None if is_rest => shared.admission.admit_call(),
            None => {
                return refusal(StatusCode::SERVICE_UNAVAILABLE, "the server has as many connections as it may have\n");
            }
            Some(slot) => {
                let ip = shared.counted_for(&remote).filter(|_| !is_rest);
                let Some(admitted) = shared.admission.admit(ip, slot, instant()) else {
                    return refusal(
                        StatusCode::TOO_MANY_REQUESTS,
                        "there are too many connections from this address\n",
                    );
                };
                admitted
            }
        };
        let exchange = Exchange::new(Arc::clone(shared), Arc::new(Guest { remote, is_spare, admitted, carrier: None }));
        let (answer, answered) = oneshot::channel();
        // A task of the server, which ends with it.
        shared.tasks.spawn(async move {
            let body = exchange.answer(request).await;
            let handed_out = exchange.into_handed_out();
            let handed_out = handed_out.map(|(project, id)| HandedOut { project, id, is_written: false });
            // Whoever asked may have gone.
            let _ = answer.send(body.map(|body| ResponseBody { body, handed_out }));
        });
        answered.await.unwrap_or_else(|_| refusal(StatusCode::SERVICE_UNAVAILABLE, SHUTTING_DOWN))
    }
}

fn refusal(status: StatusCode, what: &'static str) -> Response<ResponseBody> {
    let mut response = text(status, what);
    response.headers_mut().insert(ACCESS_CONTROL_ALLOW_ORIGIN, http::HeaderValue::from_static("*"));
    response.map(|body| ResponseBody { body, handed_out: None })
}

impl Body for ResponseBody {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let frame = Pin::new(&mut this.body).poll_frame(cx);
        if frame.is_ready()
            && let Some(handed_out) = &mut this.handed_out
        {
            handed_out.is_written = true;
        }
        frame
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for HandedOut {
    fn drop(&mut self) {
        self.project.http_answer_ended(self.id, self.is_written);
    }
}

#[cfg(feature = "tower-service")]
mod service {
    //! The same as a service of tower's.

    use std::{fmt, future::Future};

    use http::request::Parts;
    use rtm_codec::{anyrtc::gateway::Endpoint, native::SUBPROTOCOL};
    use tower_service::Service;

    use super::*;
    use crate::http::handshake::words;

    /// A server as a `tower` service, for axum and other HTTP servers. It answers as [`ServerHandle::respond`] does.
    ///
    /// As a fallback service it gets all requests without a route of the application. Rust clients and the vendor's SDK then connect
    /// to the application's own address:
    ///
    /// ```no_run
    /// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
    /// use std::net::SocketAddr;
    ///
    /// use axum::{Router, extract::ConnectInfo, routing::get};
    /// use rtm_server::{AppId, Remote, Server};
    ///
    /// let server = Server::builder().project(AppId::new("0123456789abcdef0123456789abcdef")?).build().await?;
    /// // Limits by address need the client's. Behind a proxy it is in a header of the proxy's.
    /// let rtm = server.service().remote(|request| match request.extensions.get() {
    ///     Some(ConnectInfo::<SocketAddr>(address)) => Remote::at(*address),
    ///     None => Remote::unknown(),
    /// });
    /// let app = Router::new().route("/hello", get(async || "hello")).fallback_service(rtm);
    ///
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await?;
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// With `Router::nest_service("/rtm", rtm)` it serves clients whose gateway URL has that path: `http://host/rtm`. The vendor's
    /// SDK cannot use a path: its WebSockets go to `/`. If the application has a route for `/` itself, use
    /// [`is_for_rtm`](Self::is_for_rtm) to tell them apart.
    #[derive(Clone)]
    pub struct RtmService {
        handle: ServerHandle,
        remote: Arc<dyn Fn(&Parts) -> Remote + Send + Sync>,
    }

    impl RtmService {
        pub(crate) fn new(handle: ServerHandle) -> Self {
            Self { handle, remote: Arc::new(|_| Remote::unknown()) }
        }

        /// Sets how to find the client of a request. Unless set, clients have no address, and limits per address do not apply.
        #[must_use]
        pub fn remote(mut self, remote: impl Fn(&Parts) -> Remote + Send + Sync + 'static) -> Self {
            self.remote = Arc::new(remote);
            self
        }

        /// Whether a request can only be for this service: a WebSocket handshake with the subprotocol of the native wire on any path,
        /// one without a subprotocol on `/`, or a request to the gateway of the vendor's wire.
        #[must_use]
        pub fn is_for_rtm<B>(request: &Request<B>) -> bool {
            let (headers, path) = (request.headers(), request.uri().path());
            if is_websocket(headers) {
                let mut subprotocols = words(headers, http::header::SEC_WEBSOCKET_PROTOCOL).peekable();
                return if subprotocols.peek().is_some() {
                    subprotocols.any(|word| word == SUBPROTOCOL)
                } else {
                    path == "/"
                };
            }
            Endpoint::find(path, request.uri().query()).is_some()
        }
    }

    impl<B> Service<Request<B>> for RtmService
    where
        B: Body<Data: Send> + Send + 'static,
        B::Error: Into<Box<dyn Error + Send + Sync>>,
    {
        type Response = Response<ResponseBody>;
        type Error = Infallible;
        type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

        fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
            Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request<B>) -> Self::Future {
            let (parts, body) = request.into_parts();
            let remote = (self.remote)(&parts);
            let (handle, request) = (self.handle.clone(), Request::from_parts(parts, body));
            Box::pin(async move { Ok(handle.respond(request, remote).await) })
        }
    }

    impl fmt::Debug for RtmService {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.debug_struct("RtmService").finish_non_exhaustive()
        }
    }
}

#[cfg(feature = "tower-service")]
pub use service::RtmService;

const SHUTTING_DOWN: &str = "the server is shutting down\n";
