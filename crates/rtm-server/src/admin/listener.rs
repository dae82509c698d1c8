//! Accepts the connections of those who run the server: few at a time, and none for ever.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{Router, extract::ConnectInfo};
use futures::FutureExt as _;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch::Receiver},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_service::Service as _;
use tracing::debug;

use crate::{
    spare::{Reserve, SPARE_TIMEOUT},
    stream::Stream,
    tls::Tls,
};

/// Accepts connections until it is to stop, and then answers what was asked. When it is aborted, all of that ends at once.
pub(super) async fn listen(listener: TcpListener, tls: Option<Tls>, router: Router, stop: Receiver<bool>) {
    let slots = Arc::new(Semaphore::new(CONNECTIONS));
    let reserve = Reserve::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let slot = Arc::clone(&slots).acquire_owned().await.ok()?;
            Some((slot, listener.accept().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stopped(stop.clone()) => None,
        };
        let Some((slot, accepted)) = accepted else { break };
        let answer = |(stream, address)| serve(stream, address, tls.clone(), router.clone(), stop.clone());
        let error = match accepted {
            Ok(accepted) => {
                reserve.refill();
                let answer = answer(accepted);
                connections.spawn(async move {
                    answer.await;
                    drop(slot);
                });
                continue;
            }
            Err(error) => error,
        };
        debug!("the admin listener accepts nothing: {error}");
        // Who asks whether the server lives is answered also where there are no descriptors.
        let spare = reserve.lend();
        match listener.accept().now_or_never() {
            Some(Ok(accepted)) if spare.is_some() => {
                let answer = answer(accepted);
                connections.spawn(async move {
                    // Its descriptor is spare again when it has ended, so it may not take long.
                    let _ = timeout(SPARE_TIMEOUT, answer).await;
                    drop(spare);
                });
            }
            _ => sleep(PAUSE).await,
        }
    }
    drop(listener);
    while connections.join_next().await.is_some() {}
}

async fn serve(stream: TcpStream, address: SocketAddr, tls: Option<Tls>, router: Router, stop: Receiver<bool>) {
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
    let mut connection = pin!(connection);
    let result = tokio::select! {
        result = connection.as_mut() => result,
        () = stopped(stop) => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = result {
        debug!(remote = %address, "{error}");
    }
}

/// Waits until the listener is to stop, or nobody is left to say so.
async fn stopped(mut stop: Receiver<bool>) {
    // Its sender is dropped with the server.
    let _ = stop.wait_for(|stop| *stop).await;
}

/// A router answers always.
fn answered(answer: Result<axum::response::Response, Infallible>) -> axum::response::Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// How many connections there may be at once; further ones wait.
const CONNECTIONS: usize = 4 * super::events::READERS;
/// How long a request's head may take, also while a connection is idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 64 * 1024;
/// How long accepting pauses when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);
