//! The demo's receiver of pushes: an HTTP server on loopback that writes each packet as a line.

use axum::{Form, Router, extract::State, http::StatusCode, routing::post};
use serde::Deserialize;
use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    sync::Arc,
};
use tokio::{fs::OpenOptions, io::AsyncWriteExt as _, net::TcpListener, sync::Mutex};
use tokio_util::sync::CancellationToken;

#[derive(Deserialize)]
struct Push {
    packets: String,
}

/// Listens on a free port until `cancel`.
///
/// # Errors
/// No port is free.
pub async fn start(file: PathBuf, cancel: CancellationToken) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
    let address = listener.local_addr()?;
    let app = Router::new().route("/push", post(take)).with_state(Arc::new(Mutex::new(file)));
    tokio::spawn(async move {
        axum::serve(listener, app).with_graceful_shutdown(cancel.cancelled_owned()).await
    });
    Ok(address)
}

async fn take(
    State(file): State<Arc<Mutex<PathBuf>>>,
    Form(push): Form<Push>,
) -> Result<StatusCode, (StatusCode, String)> {
    let packets: Vec<serde_json::Value> = serde_json::from_str(&push.packets)
        .map_err(|error| (StatusCode::BAD_REQUEST, error.to_string()))?;
    let lines: String = packets.iter().map(|packet| format!("{packet}\n")).collect();
    // One writer at a time, so that lines stay whole.
    let path = file.lock().await;
    let put = async {
        let mut file = OpenOptions::new().create(true).append(true).open(&*path).await?;
        file.write_all(lines.as_bytes()).await?;
        file.flush().await
    };
    put.await.map_err(|error| (StatusCode::INSUFFICIENT_STORAGE, error.to_string()))?;
    Ok(StatusCode::NO_CONTENT)
}
