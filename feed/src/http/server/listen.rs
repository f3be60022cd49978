//! Connections: how many, how long a stalled one is borne, and how they end.

use super::{State, router};
use axum::extract::Request;
use hyper::{body::Incoming, server::conn::http1};
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    server::graceful::GracefulShutdown,
    service::TowerToHyperService,
};
use std::{io, sync::Arc, time::Duration};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::MissedTickBehavior,
};
use tokio_io_timeout::TimeoutStream;
use tokio_util::sync::CancellationToken;
use tower::ServiceExt as _;

/// Most bytes of a connection that wait to be written before more is asked for, and of a request's
/// head: with a reader that is slow, this is what a stream costs.
const BUFFER: usize = 64 << 10;

/// Bounds of connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most connections at a time; more wait.
    pub connections: usize,
    /// How long a request's head may take.
    pub head: Duration,
    /// How long nothing can be written before a connection is closed.
    pub write: Duration,
    /// How long requests that run are waited for at the end. Streams end at once.
    pub grace: Duration,
    /// How long a consumer stays open that no request or stream is about. Its reader opens it
    /// anew; one that is gone for good is forgotten in time.
    pub idle: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 2048,
            head: Duration::from_secs(20),
            write: Duration::from_secs(60),
            grace: Duration::from_secs(2),
            idle: Duration::from_secs(300),
        }
    }
}

/// Serves `state` on `listener` until `cancel`.
pub async fn serve(listener: TcpListener, state: State, limits: Limits, cancel: CancellationToken) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let graceful = GracefulShutdown::new();
    let mut connections = JoinSet::new();
    // HTTP/1 only: each stream has a connection of its own, so that the deadline for writing
    // is the stream's, and a slow one holds up no other.
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(limits.head).max_buf_size(BUFFER);
    let service = router(state.clone())
        .map_request(|request: Request<Incoming>| request.map(axum::body::Body::new));
    let service = TowerToHyperService::new(service);
    let mut look = tokio::time::interval((limits.idle / 4).max(Duration::from_millis(1)));
    look.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while connections.try_join_next().is_some() {}
        let accepted = tokio::select! {
            () = cancel.cancelled() => break,
            _ = look.tick() => {
                state.close_idle(limits.idle);
                continue;
            }
            accepted = accept(&listener, &places) => accepted,
        };
        let (socket, place) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!("a connection can't be accepted: {error}");
                // Out of file descriptors, say: others have to be closed first.
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let mut socket = TimeoutStream::new(bounded(socket, limits));
        socket.set_write_timeout(Some(limits.write));
        let connection = http.serve_connection(TokioIo::new(Box::pin(socket)), service.clone());
        let connection = graceful.watch(connection);
        connections.spawn(async move {
            if let Err(error) = connection.await {
                tracing::debug!("a connection ended: {error}");
            }
            drop(place);
        });
    }
    drop(listener);
    state.end_streams();
    if tokio::time::timeout(limits.grace, graceful.shutdown()).await.is_err() {
        tracing::info!("connections that did not end in time are closed");
    }
    connections.shutdown().await;
}

async fn accept(
    listener: &TcpListener,
    places: &Arc<Semaphore>,
) -> io::Result<(TcpStream, tokio::sync::OwnedSemaphorePermit)> {
    let place = Arc::clone(places).acquire_owned().await.map_err(io::Error::other)?;
    let (socket, _) = listener.accept().await?;
    Ok((socket, place))
}

/// With deadlines of the kernel: one for a peer that is gone without a word.
fn bounded(socket: TcpStream, limits: Limits) -> TcpStream {
    let milliseconds = u32::try_from(limits.write.as_millis()).unwrap_or(u32::MAX);
    let set = socket.set_nodelay(true).and_then(|()| {
        rustix::net::sockopt::set_tcp_user_timeout(&socket, milliseconds).map_err(io::Error::from)
    });
    if let Err(error) = set {
        tracing::debug!("a connection is served without the kernel's deadline: {error}");
    }
    socket
}
