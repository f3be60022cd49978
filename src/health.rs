//! `/healthz`, `/readyz` and `/metrics`, on a port of their own.

use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use feed::AnyFeed;
use prometheus::{Encoder as _, Registry, TextEncoder};
use std::{
    io,
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// Whether the pages can be served. Says nothing of peers: a dead SMTP server or master
/// must not take the pages away.
#[derive(Clone, Debug, Default)]
pub struct Readiness(Arc<AtomicBool>);

impl Readiness {
    /// From now on (not) ready.
    pub fn set(&self, ready: bool) {
        self.0.store(ready, Ordering::Release);
    }

    fn get(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What `/metrics` shows.
#[derive(Clone, Debug)]
pub struct Figures {
    /// Where all figures are registered.
    pub registry: Registry,
    /// Journals, whose gauges are read when they are asked for.
    pub feeds: Vec<AnyFeed>,
}

/// Serves until `cancel`; the address is the one bound, so port 0 can be given.
///
/// # Errors
/// The address can't be bound.
pub async fn serve(
    address: SocketAddr,
    figures: Figures,
    ready: Readiness,
    cancel: CancellationToken,
) -> io::Result<(SocketAddr, tokio::task::JoinHandle<io::Result<()>>)> {
    let listener = TcpListener::bind(address).await?;
    let bound = listener.local_addr()?;
    let app = router(figures, ready);
    let task = tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(cancel.cancelled_owned()).await
    });
    Ok((bound, task))
}

fn router(figures: Figures, ready: Readiness) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((figures, ready))
}

async fn readyz(State((_, ready)): State<(Figures, Readiness)>) -> impl IntoResponse {
    if ready.get() {
        (StatusCode::OK, "ready\n")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "starting\n")
    }
}

async fn metrics(State((figures, _)): State<(Figures, Readiness)>) -> impl IntoResponse {
    let Figures { registry, feeds } = figures;
    for feed in &feeds {
        feed.refresh_metrics().await;
    }
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&registry.gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
