//! The vendor's HTTP endpoints: one POST each, with a time limit.

use std::{io, time::Duration};

use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::{Request, StatusCode, client::conn::http1, header};
use hyper_util::rt::TokioIo;
use rtm_codec::{
    DecodeError,
    vendor::gateway::{GatewayAnswer, GatewayRequest},
};
use tokio::time::timeout;

use crate::{address::Address, transport::Network};

/// Why an endpoint gave no answer. All of these are worth another try.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    #[error("it did not answer within 3 s")]
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

/// Sends `request` to the endpoint that takes it.
pub(crate) async fn ask(
    network: &impl Network,
    address: &Address,
    request: &GatewayRequest,
) -> Result<GatewayAnswer, GatewayError> {
    timeout(TRY_TIMEOUT, post(network, address, request)).await.unwrap_or(Err(GatewayError::Timeout))
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

/// How long the vendor's SDK waits for one try.
const TRY_TIMEOUT: Duration = Duration::from_secs(3);

/// The most that an answer may have: 200 stored messages of 32 KiB each, escaped.
const ANSWER_BYTES: usize = 16 * 1024 * 1024;
