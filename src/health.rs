//! `/healthz`, `/readyz` and `/metrics` of a process, on a port of their own.
//!
//! They are served before anything else begins, so that a slow start can be told from a dead
//! process: a journal may take minutes to be checked after it was damaged.

mod process;
mod readiness;

pub use readiness::{Readiness, Waiting};

use crate::fail::Failure;
use axum::{
    Router,
    extract::State,
    http::{StatusCode, header},
    response::IntoResponse,
    routing::get,
};
use feed::Feed;
use prometheus::{Encoder as _, Registry, TextEncoder};
use std::{
    io,
    net::SocketAddr,
    sync::{Arc, Mutex, PoisonError},
};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

/// How long requests that run are waited for at the end.
const GRACE: std::time::Duration = std::time::Duration::from_secs(2);

/// The health and the figures of this process; clones share them.
#[derive(Clone, Debug)]
pub struct Health {
    registry: Registry,
    ready: Readiness,
    /// Journals, whose gauges are read when they are asked for.
    feeds: Arc<Mutex<Vec<Feed>>>,
}

/// Where health is served, and the task that does it.
#[derive(Debug)]
pub struct Served {
    /// The address bound, so port 0 can be given.
    pub address: SocketAddr,
    /// Ends when the process is cancelled.
    pub task: tokio::task::JoinHandle<io::Result<()>>,
}

impl Health {
    /// Health of a process with nothing to wait for yet, and the process's own figures.
    ///
    /// # Errors
    /// Two figures of one name: a fault of this program.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        process::register(&registry)?;
        Ok(Self { registry, ready: Readiness::default(), feeds: Arc::default() })
    }

    /// Where figures are registered that `/metrics` is to show.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// The process is not ready before the value is dropped; `until` says in plain words what it
    /// waits for, as in "the journal of Master default/main is open".
    #[must_use = "the wait ends when this is dropped"]
    pub fn wait(&self, until: impl Into<String>) -> Waiting {
        self.ready.wait(until)
    }

    /// Has `/metrics` show a journal's gauges too.
    pub fn watch(&self, feed: &Feed) {
        self.feeds.lock().unwrap_or_else(PoisonError::into_inner).push(feed.clone());
    }

    /// Serves at `address` until `cancel`; from then on the process is not ready.
    ///
    /// # Errors
    /// The address can't be bound.
    pub async fn serve(
        &self,
        address: SocketAddr,
        cancel: CancellationToken,
    ) -> Result<Served, Failure> {
        let failed = |source| Failure::Metrics { address, source };
        let listener = TcpListener::bind(address).await.map_err(failed)?;
        let address = listener.local_addr().map_err(failed)?;
        tracing::info!("health and figures are served at http://{address}/metrics");
        let app = router(self.clone(), cancel.clone());
        let task = tokio::spawn(async move {
            let end = cancel.clone().cancelled_owned();
            // A request that is never sent whole would be waited for without an end.
            let late = async {
                cancel.cancelled().await;
                tokio::time::sleep(GRACE).await;
            };
            tokio::select! {
                served = axum::serve(listener, app).with_graceful_shutdown(end).into_future() => served,
                () = late => Ok(()),
            }
        });
        Ok(Served { address, task })
    }
}

fn router(health: Health, cancel: CancellationToken) -> Router {
    Router::new()
        .route("/healthz", get(|| async { "ok\n" }))
        .route("/readyz", get(readyz))
        .route("/metrics", get(metrics))
        .with_state((health, cancel))
}

async fn readyz(State((health, cancel)): State<(Health, CancellationToken)>) -> impl IntoResponse {
    let waits = health.ready.waits();
    if cancel.is_cancelled() {
        (StatusCode::SERVICE_UNAVAILABLE, "ending\n".to_owned())
    } else if waits.is_empty() {
        (StatusCode::OK, "ready\n".to_owned())
    } else {
        let text = format!("starting; waits until {}\n", waits.join(", and until "));
        (StatusCode::SERVICE_UNAVAILABLE, text)
    }
}

async fn metrics(State((health, _)): State<(Health, CancellationToken)>) -> impl IntoResponse {
    let feeds = health.feeds.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for feed in &feeds {
        feed.refresh_metrics().await;
    }
    let encoder = TextEncoder::new();
    let mut text = Vec::new();
    match encoder.encode(&health.registry.gather(), &mut text) {
        Ok(()) => {
            ([(header::CONTENT_TYPE, encoder.format_type().to_owned())], text).into_response()
        }
        Err(error) => (StatusCode::INTERNAL_SERVER_ERROR, error.to_string()).into_response(),
    }
}
