//! A fake master over real HTTP and websocket, for faults that a real one does not have
//! when it is wanted.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, dead_code)]

use futures_util::{SinkExt, StreamExt};
use master::Settings;
use serde_json::{Value, json};
use std::{
    collections::BTreeMap,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::broadcast,
};
use tokio_tungstenite::tungstenite::Message;

/// How the fake answers a path.
#[derive(Clone)]
pub enum Reply {
    Json(Value),
    /// Status line, further header lines, body.
    Raw(&'static str, &'static str, &'static str),
    /// Never.
    Hang,
    /// A body that has no end.
    Endless,
    /// A field with rows, as their keys, `order`, `limit` and `field` ask for them.
    Rows {
        field: &'static str,
        key: &'static str,
        rows: Vec<Value>,
    },
    /// A log's lines, as `offset` and `limit` ask for them.
    Lines(Vec<String>),
    /// An answer that breaks off so many times before it is whole; the connection stays open.
    BreaksOff(usize, Value),
}

/// How the fake's websocket behaves.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Socket {
    Good,
    /// Acknowledges, and is silent from then on.
    HalfOpen,
}

pub struct Fake {
    pub address: SocketAddr,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    /// Request heads, in order.
    pub asked: Arc<Mutex<Vec<String>>>,
    frames: broadcast::Sender<String>,
}

impl Fake {
    /// A master that is well and empty.
    pub async fn start(socket: Socket) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let this = Self {
            address: listener.local_addr().unwrap(),
            replies: Arc::default(),
            asked: Arc::default(),
            frames: broadcast::Sender::new(1000),
        };
        for list in [
            "masters",
            "builders",
            "workers",
            "projects",
            "changes",
            "buildsets",
            "builds",
            "buildrequests",
        ] {
            this.reply(&format!("/api/v2/{list}"), Reply::Json(json!({list: []})));
        }
        this.reply(
            "/config",
            Reply::Json(json!({"title": "fake", "versions": [["Buildbot", "4.3.0"]]})),
        );
        let (replies, asked) = (this.replies.clone(), this.asked.clone());
        let frames = this.frames.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(serve(stream, replies.clone(), asked.clone(), frames.clone(), socket));
            }
        });
        this
    }

    pub fn reply(&self, path: &str, reply: Reply) {
        self.replies.lock().unwrap().insert(path.to_owned(), reply);
    }

    /// Sends a frame to everyone who is connected.
    pub fn send(&self, frame: &str) {
        self.frames.send(frame.to_owned()).unwrap();
    }

    pub fn times_asked(&self, start: &str) -> usize {
        self.asked.lock().unwrap().iter().filter(|head| head.starts_with(start)).count()
    }
}

/// Settings for a client of the fake, with little patience.
pub fn settings(fake: &Fake) -> Settings {
    let mut settings = Settings::new(format!("http://{}", fake.address).parse().unwrap());
    settings.timeout = Duration::from_millis(500);
    settings.ping = Duration::from_millis(200);
    settings
}

async fn serve(
    mut stream: TcpStream,
    replies: Arc<Mutex<BTreeMap<String, Reply>>>,
    asked: Arc<Mutex<Vec<String>>>,
    frames: broadcast::Sender<String>,
    socket: Socket,
) {
    let mut start = [0; 64];
    let length = stream.peek(&mut start).await.unwrap_or(0);
    if start[..length].starts_with(b"GET /ws") {
        asked.lock().unwrap().push("GET /ws".to_owned());
        return consume(stream, frames, socket).await;
    }
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    let target = head.split(' ').nth(1).unwrap().to_owned();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let path = path.to_owned();
    asked.lock().unwrap().push(head);
    let missing = Reply::Raw("404 Not Found", "", "{}");
    let reply = replies.lock().unwrap().get(&path).cloned().unwrap_or(missing);
    let answer = match reply {
        Reply::Json(body) => response("200 OK", "", &body.to_string()),
        Reply::Raw(status, headers, body) => response(status, headers, body),
        Reply::Rows { field, key, rows } => {
            let rows = asked_for(query, key, rows);
            response("200 OK", "", &json!({field: rows}).to_string())
        }
        Reply::Lines(lines) => {
            let (first, limit) = (number(query, "offset"), number(query, "limit"));
            let lines = lines.into_iter().skip(first.unwrap_or(0)).take(limit.unwrap_or(0));
            let content: String = lines.map(|line| line + "\n").collect();
            response("200 OK", "", &json!({"logchunks": [{"content": content}]}).to_string())
        }
        Reply::Hang => return std::future::pending().await,
        Reply::BreaksOff(times, body) => {
            let next = match times {
                0 | 1 => Reply::Json(body.clone()),
                _ => Reply::BreaksOff(times - 1, body.clone()),
            };
            replies.lock().unwrap().insert(path, next);
            let whole = response("200 OK", "", &body.to_string());
            let _ = stream.write_all(&whole.as_bytes()[..whole.len() - 8]).await;
            return std::future::pending().await;
        }
        Reply::Endless => {
            let head = "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n[";
            let mut result = stream.write_all(head.as_bytes()).await;
            while result.is_ok() {
                result = stream.write_all(&[b' '; 65536]).await;
            }
            return;
        }
    };
    let _ = stream.write_all(answer.as_bytes()).await;
}

fn number(query: &str, name: &str) -> Option<usize> {
    let value = |pair: &str| pair.split_once('=').filter(|(n, _)| *n == name)?.1.parse().ok();
    query.split('&').find_map(value)
}

/// Rows with a readable key in its order, and those without one at their places.
fn asked_for(query: &str, key: &str, mut rows: Vec<Value>) -> Vec<Value> {
    let id = |row: &Value| row.get(key).and_then(Value::as_u64);
    if query.contains(&format!("order=-{key}")) {
        rows.reverse();
    }
    let above = number(query, &format!("{key}__gt"));
    rows.retain(|row| id(row).is_none_or(|id| above.is_none_or(|above| id > above as u64)));
    rows.truncate(number(query, "limit").unwrap_or(usize::MAX));
    if query.contains("field=") {
        rows = rows.iter().map(|row| json!({key: id(row)})).collect();
    }
    rows
}

fn response(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n{body}"
    )
}

async fn consume(stream: TcpStream, frames: broadcast::Sender<String>, socket: Socket) {
    let mut frames = frames.subscribe();
    let Ok(mut stream) = tokio_tungstenite::accept_async(stream).await else { return };
    loop {
        tokio::select! {
            message = stream.next() => {
                let Some(Ok(message)) = message else { return };
                let Message::Text(text) = message else { continue };
                let command: Value = serde_json::from_str(&text).unwrap();
                // Subscriptions are acknowledged in any case.
                if socket == Socket::HalfOpen && command["cmd"] != "startConsuming" {
                    continue;
                }
                let answer = json!({"msg": "OK", "code": 200, "_id": command["_id"]});
                let _ = stream.send(Message::text(answer.to_string())).await;
            }
            Ok(frame) = frames.recv() => {
                let _ = stream.send(Message::text(frame)).await;
            }
        }
    }
}
