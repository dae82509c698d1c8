//! Accepts the connections of those who run the server: few at a time, and none for ever.

use std::{convert::Infallible, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::TcpListener,
    sync::Semaphore,
    time::{sleep, timeout},
};
use tower_service::Service as _;
use tracing::debug;

use crate::{stream::Stream, tls::Tls};

/// Accepts connections until it is aborted; those that are there end with it.
pub(super) async fn listen(listener: TcpListener, tls: Option<Tls>, router: Router) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let mut connections = tokio::task::JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let Ok(slot) = Arc::clone(&slots).acquire_owned().await else { return };
        let (stream, address) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                debug!("the admin listener accepts nothing: {error}");
                sleep(PAUSE).await;
                continue;
            }
        };
        let (router, tls) = (router.clone(), tls.clone());
        connections.spawn(async move {
            let _slot = slot;
            let stream = match tls {
                None => Stream::Plain(stream),
                Some(tls) => match timeout(HEAD_TIMEOUT, tls.acceptor().accept(stream)).await {
                    Ok(Ok(stream)) => Stream::Tls(Box::new(stream)),
                    Ok(Err(error)) => return debug!(remote = %address, "{error}"),
                    Err(_) => return debug!(remote = %address, "the handshake takes too long"),
                },
            };
            let service = service_fn(move |mut request: Request<Incoming>| {
                request.extensions_mut().insert(ConnectInfo(address));
                let mut router = router.clone();
                async move { Ok::<_, Infallible>(answered(router.call(request).await)) }
            });
            let connection = http1::Builder::new()
                .timer(TokioTimer::new())
                .header_read_timeout(HEAD_TIMEOUT)
                .max_buf_size(HEAD_BYTES)
                .serve_connection(TokioIo::new(stream), service);
            if let Err(error) = connection.await {
                debug!(remote = %address, "{error}");
            }
        });
    }
}

/// A router answers always.
fn answered(answer: Result<axum::response::Response, Infallible>) -> axum::response::Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// How many connections there may be at once; further ones wait.
const CONNECTIONS: usize = 64;
/// How long a request's head may take, also while a connection is idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 64 * 1024;
/// How long accepting pauses when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);
