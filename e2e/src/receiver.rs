//! An HTTP server that takes pushes.

use axum::{Form, Router, extract::State, routing::post};
use serde_json::Value;
use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

type Packets = Arc<Mutex<Vec<Value>>>;

/// The server and the packets that it took, in the order of arrival.
#[derive(Clone, Debug)]
pub struct Receiver {
    port: u16,
    packets: Packets,
}

impl Receiver {
    /// Listens on a free port.
    pub async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let packets = Packets::default();
        let app = Router::new()
            .route("/push", post(take))
            .layer(axum::extract::DefaultBodyLimit::disable())
            .with_state(Arc::clone(&packets));
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { port, packets }
    }

    /// Where pushes go.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}/push", self.port)
    }

    /// Every packet so far.
    pub fn packets(&self) -> Vec<Value> {
        self.packets.lock().unwrap().clone()
    }
}

/// 0.8's form: one field `packets` with a JSON list.
async fn take(State(packets): State<Packets>, Form(form): Form<HashMap<String, String>>) {
    let list: Vec<Value> = serde_json::from_str(&form["packets"]).unwrap();
    packets.lock().unwrap().extend(list);
}
