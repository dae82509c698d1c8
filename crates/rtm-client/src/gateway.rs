//! The HTTP requests to the vendor's gateway: one POST each, until it is answered or canceled.

use std::{
    collections::HashMap,
    io,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use foldhash::fast::RandomState;
use futures::{
    StreamExt,
    future::{AbortHandle, Abortable, Aborted, BoxFuture},
    stream::FuturesUnordered,
};
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rtm_codec::{
    DecodeError,
    anyrtc::gateway::{GatewayAnswer, GatewayRequest},
};
use rtm_connection::{AskId, TransportError};
use tokio::sync::mpsc;

use crate::{
    address::Address,
    cause::{explained, explanation, transport_error},
    handshake::{Bounded, HEAD_BYTES, is_lasting, is_lasting_status, location},
    network::Network,
};

/// What is asked of the gateways.
pub(crate) struct Gateway<N> {
    network: Arc<N>,
    asks: FuturesUnordered<BoxFuture<'static, Result<Asked, Aborted>>>,
    cancels: HashMap<AskId, AbortHandle, RandomState>,
    /// Of which answers a part came.
    parts: mpsc::UnboundedReceiver<AskId>,
    part: mpsc::UnboundedSender<AskId>,
}

/// What came of a request.
pub(crate) struct Asked {
    pub(crate) id: AskId,
    /// `None` when only a part of the answer is here.
    pub(crate) answer: Option<Result<GatewayAnswer, TransportError>>,
}

impl<N: Network> Gateway<N> {
    pub(crate) fn new(network: Arc<N>) -> Self {
        let (part, parts) = mpsc::unbounded_channel();
        Self { network, asks: FuturesUnordered::new(), cancels: HashMap::default(), parts, part }
    }

    /// Starts a request to the gateway at `address`.
    pub(crate) fn ask(&mut self, id: AskId, address: &Address, request: Box<GatewayRequest>) {
        let (network, address, part) = (Arc::clone(&self.network), address.clone(), self.part.clone());
        let asked = async move {
            // The other end lives as long as this future.
            let on_part = move || _ = part.send(id);
            let answer = post(&*network, &address, &request, on_part).await.map_err(|error| {
                let error = error.into_transport_error();
                crate::log::not_answered(&address, request.endpoint(), &error);
                error
            });
            Asked { id, answer: Some(answer) }
        };
        let (cancel, canceled) = AbortHandle::new_pair();
        self.asks.push(Box::pin(Abortable::new(asked, canceled)));
        self.cancels.insert(id, cancel);
    }

    /// Ends a request that nobody waits for any more.
    pub(crate) fn cancel(&mut self, id: AskId) {
        if let Some(cancel) = self.cancels.remove(&id) {
            cancel.abort();
        }
    }

    /// The next one of which something came.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>) -> Poll<Asked> {
        while let Poll::Ready(Some(asked)) = self.asks.poll_next_unpin(cx) {
            if let Ok(asked) = asked
                && self.cancels.remove(&asked.id).is_some()
            {
                return Poll::Ready(asked);
            }
        }
        self.parts.poll_recv(cx).map(|id| Asked { id: id.expect("this end holds a sender"), answer: None })
    }
}

/// Why an endpoint gave no answer.
#[derive(Debug, thiserror::Error)]
enum GatewayError {
    #[error(transparent)]
    Connect(#[from] io::Error),
    #[error(transparent)]
    Http(hyper::Error),
    #[error("the server redirects to Location {0:?}, and clients do not follow: use that address as the gateway")]
    Redirected(String),
    #[error("the answer is not HTTP: if the server speaks TLS, use https:// or wss://")]
    NotHttp,
    #[error("it answered with HTTP status {0}")]
    Status(StatusCode),
    #[error("its answer cannot be read")]
    Body(#[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer is not valid")]
    Decode(#[from] DecodeError),
}

impl GatewayError {
    /// Whether the next try can only fail likewise.
    fn is_lasting(&self) -> bool {
        match self {
            Self::Connect(error) => is_lasting(error),
            Self::Status(status) => is_lasting_status(*status),
            Self::Redirected(_) | Self::NotHttp => true,
            Self::Http(_) | Self::Body(_) | Self::Decode(_) => false,
        }
    }

    /// What the machine is told, which knows whom it asked.
    fn into_transport_error(self) -> TransportError {
        let (retry, what) = (!self.is_lasting(), self.to_string());
        let error = match self {
            Self::Connect(error) => error.into(),
            Self::Http(error) => error.into(),
            Self::Body(error) => explained(io::ErrorKind::Other, what, error).into(),
            Self::Decode(error) => explained(io::ErrorKind::Other, what, error).into(),
            Self::Redirected(_) | Self::NotHttp | Self::Status(_) => explanation(what),
        };
        transport_error(error, retry)
    }
}

impl From<hyper::Error> for GatewayError {
    fn from(error: hyper::Error) -> Self {
        if error.is_parse() { Self::NotHttp } else { Self::Http(error) }
    }
}

/// Sends `request` to the endpoint that takes it.
async fn post(
    network: &impl Network,
    address: &Address,
    request: &GatewayRequest,
    on_part: impl Fn(),
) -> Result<GatewayAnswer, GatewayError> {
    let stream = network.connect(address).await?;
    let (mut sender, connection) =
        http1::handshake(TokioIo::new(Bounded::new(stream, HEAD_BYTES + ANSWER_BYTES))).await?;
    let endpoint = request.endpoint();
    let post = Request::post(address.path_of(endpoint.path_and_query()))
        .header(header::HOST, address.authority())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(request.encode())))
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(post).await?;
        if let Some(location) = location(&response) {
            return Err(GatewayError::Redirected(location));
        }
        let status = response.status();
        if status != StatusCode::OK {
            return GatewayAnswer::of_status(status.as_u16()).ok_or(GatewayError::Status(status));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES).map_frame(|frame| {
            on_part();
            frame
        });
        let body = body.collect().await.map_err(GatewayError::Body)?;
        Ok(GatewayAnswer::decode(endpoint, &body.to_bytes())?)
    };
    // The connection does its work only while it is polled, and is of no use after the answer.
    let connection = async {
        match connection.await {
            Ok(()) => std::future::pending().await,
            Err(error) => GatewayError::from(error),
        }
    };
    tokio::select! {
        biased;
        answer = answer => answer,
        error = connection => Err(error),
    }
}

/// The most that an answer may have: 200 stored messages of 32 KiB each, escaped.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
