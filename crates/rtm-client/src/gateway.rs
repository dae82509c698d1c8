//! The vendor's HTTP endpoints: one POST each, with a time limit.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rtm_codec::{
    DecodeError,
    anyrtc::gateway::{Endpoint, GatewayAnswer, GatewayRequest},
};
use tokio::time::timeout;

use crate::{
    address::Address,
    transport::{Network, is_lasting},
};

/// Why an endpoint gave no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error("it did not answer in time")]
    Timeout,
    #[error("{0}")]
    Connect(#[from] io::Error),
    #[error("{0}")]
    Http(#[from] hyper::Error),
    #[error("it answered with HTTP status {0}")]
    Status(StatusCode),
    #[error("its answer cannot be read: {0}")]
    Body(Box<dyn std::error::Error + Send + Sync>),
    #[error("its answer makes no sense: {0}")]
    Decode(#[from] DecodeError),
}

impl GatewayError {
    /// Whether the next try can only fail likewise.
    pub(crate) fn is_lasting(&self) -> bool {
        match self {
            Self::Connect(error) => is_lasting(error),
            Self::Status(status) => status.is_client_error() && *status != StatusCode::TOO_MANY_REQUESTS,
            Self::Timeout | Self::Http(_) | Self::Body(_) | Self::Decode(_) => false,
        }
    }
}

/// Sends `request` to the endpoint that takes it.
pub(crate) async fn ask(
    network: &impl Network,
    address: &Address,
    request: &GatewayRequest,
) -> Result<GatewayAnswer, GatewayError> {
    let limit = if request.endpoint() == Endpoint::Gateway { CONNECT_TIMEOUT } else { FETCH_TIMEOUT };
    timeout(limit, post(network, address, request)).await.unwrap_or(Err(GatewayError::Timeout))
}

async fn post(
    network: &impl Network,
    address: &Address,
    request: &GatewayRequest,
) -> Result<GatewayAnswer, GatewayError> {
    let stream = network.connect(address).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let endpoint = request.endpoint();
    let post = Request::post(endpoint.path_and_query())
        .header(header::HOST, address.host_and_port())
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::new(Bytes::from(request.encode())))
        .map_err(io::Error::other)?;
    let answer = async {
        let response = sender.send_request(post).await?;
        if response.status() != StatusCode::OK {
            return Err(GatewayError::Status(response.status()));
        }
        let body = Limited::new(response.into_body(), ANSWER_BYTES).collect().await.map_err(GatewayError::Body)?;
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

/// How long one try for a server takes at most, as with the vendor's SDK.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// The same for messages, of which there can be some megabytes.
const FETCH_TIMEOUT: Duration = Duration::from_secs(10);

/// The most that an answer may have: 200 stored messages of 32 KiB each, escaped.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
