//! HTTP receivers on loopback that note when each event arrived.

use crate::Measured;
use axum::{
    Router,
    body::Bytes,
    extract::{Path, State},
    http::StatusCode,
    routing::post,
};
use std::{
    net::SocketAddr,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};
use tokio::net::TcpListener;

/// A packet's key that [`Receivers`] find again: text that is in no other packet.
const MARK: &[u8] = b"measured-";

/// What one target brought: numbers of marked events with the time of their arrival.
type Arrivals = Vec<(u64, Instant)>;

/// The path of a receiver that takes half a second for every request.
pub const SLOW: &str = "slow";

/// One server, a path for each target: `/0`, `/1`, …; [`SLOW`]; and `/failing`, which answers 500.
#[derive(Clone, Debug)]
pub struct Receivers {
    address: SocketAddr,
    arrivals: Arc<[Mutex<Arrivals>]>,
}

/// Text that marks an event with a number; to be put where it gets into every packet.
pub fn mark(number: u64) -> String {
    format!("measured-{number}.")
}

impl Receivers {
    /// Starts the server for so many targets, on the runtime that calls.
    ///
    /// # Errors
    /// No port can be had.
    pub async fn start(targets: usize) -> Measured<Self> {
        let arrivals: Arc<[Mutex<Arrivals>]> = (0..targets).map(|_| Mutex::default()).collect();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let app = Router::new()
            .route("/failing", post(|_: Bytes| async { StatusCode::INTERNAL_SERVER_ERROR }))
            .route(
                &format!("/{SLOW}"),
                post(|_: Bytes| tokio::time::sleep(std::time::Duration::from_millis(500))),
            )
            .route("/{target}", post(take))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&arrivals));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Ok(Self { address, arrivals })
    }

    /// Where a target pushes to.
    pub fn url(&self, path: impl std::fmt::Display) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// How many marked events each target brought so far.
    pub fn counts(&self) -> Vec<usize> {
        self.arrivals.iter().map(|arrivals| lock(arrivals).len()).collect()
    }

    /// What a target brought, in the order of arrival.
    pub fn arrivals(&self, target: usize) -> Arrivals {
        lock(&self.arrivals[target]).clone()
    }
}

fn lock(arrivals: &Mutex<Arrivals>) -> MutexGuard<'_, Arrivals> {
    arrivals.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Reads no JSON: that would cost the measured process more than what is measured.
async fn take(
    State(all): State<Arc<[Mutex<Arrivals>]>>,
    Path(target): Path<usize>,
    body: Bytes,
) -> StatusCode {
    let now = Instant::now();
    let Some(arrivals) = all.get(target) else { return StatusCode::NOT_FOUND };
    let mut arrivals = lock(arrivals);
    let mut rest: &[u8] = &body;
    while let Some(at) = rest.windows(MARK.len()).position(|window| window == MARK) {
        rest = &rest[at + MARK.len()..];
        let digits = rest.iter().take_while(|byte| byte.is_ascii_digit());
        let number = digits.fold(0, |n: u64, digit| n * 10 + u64::from(digit - b'0'));
        arrivals.push((number, now));
    }
    StatusCode::OK
}
