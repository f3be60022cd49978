//! An HTTP server that takes pushes.

use axum::{
    Form, Router,
    extract::State,
    http::StatusCode,
    response::{IntoResponse, Response},
    routing::post,
};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};
use tokio::sync::watch;

type Shared = Arc<Mutex<Inner>>;

#[derive(Debug, Default)]
struct Inner {
    /// Post by post.
    taken: Vec<Vec<Value>>,
    refused: Vec<Value>,
    /// Requests with a packet of this event are refused.
    refuse: Option<String>,
    /// Whether answers wait.
    hold: watch::Sender<bool>,
}

/// The server and the packets that came, in the order of arrival.
#[derive(Clone, Debug)]
pub struct Receiver {
    port: u16,
    inner: Shared,
}

impl Receiver {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let inner = Shared::default();
        let app = Router::new()
            .route("/push", post(take))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&inner));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, inner }
    }

    /// Where pushes go.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/push", self.port)
    }

    /// Every packet that was taken so far.
    pub fn packets(&self) -> Vec<Value> {
        self.inner.lock().unwrap().taken.concat()
    }

    /// The same, post by post.
    pub fn posts(&self) -> Vec<Vec<Value>> {
        self.inner.lock().unwrap().taken.clone()
    }

    /// From now on, refuses for good what holds a packet of this event; nothing if `None`.
    pub fn refuse(&self, event: Option<&str>) {
        self.inner.lock().unwrap().refuse = event.map(str::to_owned);
    }

    /// Holds up every answer to what is taken, or lets them go.
    pub fn hold(&self, hold: bool) {
        self.inner.lock().unwrap().hold.send_replace(hold);
    }

    /// Every packet that was refused so far.
    pub fn refused(&self) -> Vec<Value> {
        self.inner.lock().unwrap().refused.clone()
    }
}

/// 0.8's form: one field `packets` with a JSON list.
async fn take(State(inner): State<Shared>, Form(form): Form<HashMap<String, String>>) -> Response {
    let list: Vec<Value> = serde_json::from_str(&form["packets"]).unwrap();
    let mut hold = {
        let mut inner = inner.lock().unwrap();
        let refuse = inner.refuse.as_deref();
        if refuse.is_some_and(|event| list.iter().any(|packet| packet["event"] == event)) {
            inner.refused.extend(list);
            return (StatusCode::UNPROCESSABLE_ENTITY, "not that event").into_response();
        }
        inner.taken.push(list);
        inner.hold.subscribe()
    };
    // The sender lives as long as the receiver does.
    let _ = hold.wait_for(|hold| !hold).await;
    StatusCode::OK.into_response()
}
