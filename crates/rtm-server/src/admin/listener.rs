//! Accepts the connections of those who run the server: few at a time, and none for ever.

use std::{convert::Infallible, net::SocketAddr, pin::pin, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{ConnectInfo, Request as ApiRequest},
    middleware::Next,
    response::{IntoResponse as _, Response},
};
use futures::FutureExt as _;
use hyper::{Request, body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{OwnedSemaphorePermit, Semaphore, watch::Receiver},
    task::JoinSet,
    time::{sleep, timeout},
};
use tower_service::Service as _;
use tracing::debug;

use super::answers::ApiError;
use crate::{
    spare::{Reserve, SPARE_TIMEOUT},
    stream::Stream,
    tls::Tls,
};

/// The places for connections. The last ones are for who asks how the server is, which nobody else may keep from being answered.
struct Places {
    usual: Arc<Semaphore>,
    last: Arc<Semaphore>,
}

/// A place in use.
struct Place {
    slot: OwnedSemaphorePermit,
    is_last: bool,
}

/// Marks a request on a connection in one of the last places.
#[derive(Debug, Clone, Copy)]
struct InLastPlace;

impl Places {
    fn new(usual: usize, last: usize) -> Self {
        Self { usual: Arc::new(Semaphore::new(usual)), last: Arc::new(Semaphore::new(last)) }
    }

    /// Waits for a place.
    async fn take(&self) -> Option<Place> {
        let (usual, last) = (Arc::clone(&self.usual).acquire_owned(), Arc::clone(&self.last).acquire_owned());
        tokio::select! {
            biased;
            slot = usual => Some(Place { slot: slot.ok()?, is_last: false }),
            slot = last => Some(Place { slot: slot.ok()?, is_last: true }),
        }
    }

    /// A usual place in the stead of a last one, if there is one by now.
    fn usual(&self, place: Place) -> Place {
        match Arc::clone(&self.usual).try_acquire_owned() {
            Ok(slot) if place.is_last => Place { slot, is_last: false },
            _ => place,
        }
    }
}

/// Refuses what may take long to who has one of the last places.
pub(super) async fn refuse_in_last_places(request: ApiRequest, next: Next) -> Response {
    match request.extensions().get::<InLastPlace>() {
        Some(_) => ApiError::busy().into_response(),
        None => next.run(request).await,
    }
}

/// Accepts connections until it is to stop, and then answers what was asked. When it is aborted, all of that ends at once.
pub(super) async fn listen(listener: TcpListener, tls: Option<Tls>, router: Router, stop: Receiver<bool>) {
    accept(listener, tls, router, stop, Places::new(CONNECTIONS, LAST)).await;
}

async fn accept(listener: TcpListener, tls: Option<Tls>, router: Router, stop: Receiver<bool>, places: Places) {
    let reserve = Reserve::new();
    let mut connections = JoinSet::new();
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = async {
            let place = places.take().await?;
            Some((place, listener.accept().await))
        };
        let accepted = tokio::select! {
            accepted = accepted => accepted,
            () = stopped(stop.clone()) => None,
        };
        let Some((place, accepted)) = accepted else { break };
        let answer =
            |(stream, address), is_last| serve(stream, address, tls.clone(), router.clone(), stop.clone(), is_last);
        let error = match accepted {
            Ok(accepted) => {
                reserve.refill();
                let Place { slot, is_last } = places.usual(place);
                let answer = answer(accepted, is_last);
                connections.spawn(async move {
                    match is_last {
                        true => drop(timeout(LAST_TIMEOUT, answer).await),
                        false => answer.await,
                    }
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
                let answer = answer(accepted, true);
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

async fn serve(
    stream: TcpStream,
    address: SocketAddr,
    tls: Option<Tls>,
    router: Router,
    stop: Receiver<bool>,
    is_last: bool,
) {
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
        if is_last {
            request.extensions_mut().insert(InLastPlace);
        }
        let mut router = router.clone();
        async move { Ok::<_, Infallible>(answered(router.call(request).await)) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_TIMEOUT)
        .max_buf_size(HEAD_BYTES)
        .keep_alive(!is_last)
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
fn answered(answer: Result<Response, Infallible>) -> Response {
    match answer {
        Ok(response) => response,
        Err(never) => match never {},
    }
}

/// How many connections there may be at once; further ones wait.
const CONNECTIONS: usize = 4 * super::events::READERS;
/// How many more for those who ask how the server is, and how long each may take.
const LAST: usize = 16;
const LAST_TIMEOUT: Duration = Duration::from_secs(5);
/// How long a request's head may take, also while a connection is idle.
const HEAD_TIMEOUT: Duration = Duration::from_secs(30);
const HEAD_BYTES: usize = 64 * 1024;
/// How long accepting pauses when there are no descriptors left.
const PAUSE: Duration = Duration::from_millis(200);

#[cfg(test)]
mod tests {
    use axum::{body::Bytes, middleware::from_fn, routing::post};
    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        sync::watch,
    };

    use super::*;

    #[tokio::test]
    async fn those_who_take_all_connections_keep_nobody_from_asking_how_the_server_is() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let api = Router::new().route("/body", post(async |body: Bytes| body)).layer(from_fn(refuse_in_last_places));
        let router = Router::new().route("/livez", post(async || "ok")).nest("/api", api);
        let (_stop, stopped) = watch::channel(false);
        let listening = tokio::spawn(accept(listener, None, router, stopped, Places::new(2, 1)));
        let ask = async |path: &str, body: &str| {
            let mut stream = TcpStream::connect(address).await.unwrap();
            let request = format!("POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Length: 1\r\n\r\n{body}");
            stream.write_all(request.as_bytes()).await.unwrap();
            stream
        };
        let answer = async |mut stream: TcpStream| {
            let mut answer = String::new();
            stream.read_to_string(&mut answer).await.unwrap();
            answer
        };
        // Their bodies do not come.
        let mut unfinished = [ask("/api/body", "").await, ask("/api/body", "").await];
        for _ in 0..3 {
            assert!(answer(ask("/livez", "x").await).await.ends_with("ok"));
        }
        assert!(answer(ask("/api/body", "x").await).await.starts_with("HTTP/1.1 503"));
        // When one of them is done, the API has its place.
        unfinished[0].write_all(b"x").await.unwrap();
        let [done, _waits] = unfinished;
        let mut head = [0; 12];
        let mut done = done;
        done.read_exact(&mut head).await.unwrap();
        assert_eq!(&head, b"HTTP/1.1 200");
        drop(done);
        while !answer_closing(address).await.starts_with("HTTP/1.1 200") {}
        listening.abort();
    }

    async fn answer_closing(address: SocketAddr) -> String {
        let mut stream = TcpStream::connect(address).await.unwrap();
        let request = "POST /api/body HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Length: 1\r\n\r\nx";
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        answer
    }
}
