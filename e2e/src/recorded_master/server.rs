//! Where the recorded master listens: HTTP with kept connections, and the websocket.

use super::{Asked, Question, Shared, rest, socket};
use axum::{
    Router,
    extract::{Path, RawQuery, State},
    http::{StatusCode, header},
    response::{IntoResponse, Response},
    routing::get,
};
use serde_json::{Value, json};
use std::{net::SocketAddr, sync::Arc, time::Instant};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::mpsc,
    task::{JoinHandle, JoinSet},
};
use url::form_urlencoded;

/// Connections that are not websockets.
struct Plain(mpsc::UnboundedReceiver<TcpStream>);

impl axum::serve::Listener for Plain {
    type Io = TcpStream;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (TcpStream, SocketAddr) {
        match self.0.recv().await {
            Some(stream) => (stream, SocketAddr::from(([127, 0, 0, 1], 0))),
            None => std::future::pending().await,
        }
    }

    fn local_addr(&self) -> std::io::Result<SocketAddr> {
        Ok(SocketAddr::from(([127, 0, 0, 1], 0)))
    }
}

/// Listens on a free port.
pub(super) async fn start(shared: Arc<Shared>) -> (u16, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new()
        .route("/config", get(config))
        .route("/api/v2/{*path}", get(api))
        .with_state(Arc::clone(&shared));
    let (plain, connections) = mpsc::unbounded_channel();
    let task = tokio::spawn(async move {
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let _ = axum::serve(Plain(connections), app).await;
        });
        while let Ok((stream, _)) = listener.accept().await {
            let (shared, plain) = (Arc::clone(&shared), plain.clone());
            tasks.spawn(async move {
                let mut start = [0; 7];
                match stream.peek(&mut start).await {
                    Ok(_) if start == *b"GET /ws" => socket::serve(shared, stream).await,
                    _ => drop(plain.send(stream)),
                }
            });
        }
    });
    (port, task)
}

fn json_answer(body: &Value) -> Response {
    ([(header::CONTENT_TYPE, "application/json; charset=utf-8")], body.to_string()).into_response()
}

async fn config(State(shared): State<Arc<Shared>>) -> Response {
    json_answer(&shared.tape.config)
}

async fn api(
    State(shared): State<Arc<Shared>>,
    Path(path): Path<String>,
    RawQuery(query): RawQuery,
) -> Response {
    let query: rest::Query =
        form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned().collect();
    let mut state = shared.lock();
    state.rest = Some(Instant::now());
    state.database.order += 1;
    if let Some(what) = question(&path, &query) {
        let (database, order) = (state.database.number, state.database.order);
        state.asked.push(Asked { database, order, what });
    }
    match rest::answer(&state.database, path.trim_end_matches('/'), &query) {
        Some(body) => json_answer(&body),
        None => {
            let error = json!({"error": format!("not found while getting from {path}")});
            (StatusCode::NOT_FOUND, json_answer(&error)).into_response()
        }
    }
}

fn question(path: &str, query: &rest::Query) -> Option<Question> {
    let has = |name: &str, value: &str| query.iter().any(|(n, v)| n == name && v == value);
    if path != "builds" {
        return None;
    }
    if has("order", "-buildid") && has("limit", "1") {
        Some(Question::Highest)
    } else if has("complete", "false") {
        Some(Question::Open)
    } else if query.iter().any(|(name, _)| name == "buildid__lt") {
        Some(Question::Past)
    } else {
        None
    }
}
