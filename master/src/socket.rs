//! The websocket `/ws`: subscribed, watched for silence, read into a bounded queue.
//!
//! The master never pings and offers no replay. So this side pings, and takes silence for
//! a lost connection (a half-open one tells nothing by itself); and a queue that is full
//! ends the connection too, rather than holding frames back in the master's memory.

use crate::{
    Client, ClientError, Metrics, Settings,
    assembler::Observation,
    frames::{self, Message},
};
use futures_util::{SinkExt, StreamExt};
use model::LogId;
use serde_json::json;
use std::{collections::BTreeSet, time::Duration};
use tokio::{
    net::TcpStream,
    sync::mpsc,
    time::{Instant, timeout},
};
use tokio_tungstenite::{
    Connector, MaybeTlsStream, WebSocketStream, connect_async_tls_with_config,
    tungstenite::{
        Error, Message as Wire,
        client::IntoClientRequest,
        http::{HeaderValue, StatusCode, header},
        protocol::WebSocketConfig,
    },
};

/// Most observations that wait.
const QUEUE: usize = 20_000;
/// Most bytes of one frame.
const MAX_FRAME: usize = 16 * 1024 * 1024;
/// All events that are understood, each once. `*/*/*` would bring the `append` of every log, too: a frame
/// for whatever any step prints.
const EVERYTHING: [&str; 10] = [
    "builders/*/*",
    "buildrequests/*/*",
    "builds/*/*",
    "builds/*/properties/update",
    "buildsets/*/*",
    "changes/*/*",
    "logs/*/finished",
    "logs/*/new",
    "steps/*/*",
    "workers/*/*",
];
/// The first number of `ping` commands.
const PING: u64 = 1_000_000;

/// What comes out of the websocket.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// Something seen.
    Observation(Observation),
    /// Builders came or went.
    Builders,
    /// The connection is over.
    Lost(ClientError),
}

/// A websocket whose subscriptions are acknowledged; dropping it closes it.
pub(crate) struct Socket {
    frames: mpsc::Receiver<Incoming>,
    task: tokio::task::AbortHandle,
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.task.abort();
    }
}

type Stream = WebSocketStream<MaybeTlsStream<TcpStream>>;

impl Socket {
    /// Connects and subscribes; returns when the master has acknowledged.
    pub(crate) async fn open(client: &Client, settings: &Settings) -> Result<Self, ClientError> {
        let slow = |_| ClientError::Slow { path: "ws".to_owned(), after: settings.timeout };
        let ready = async {
            let mut stream = match connect(client).await {
                Err(ClientError::Denied(_)) if settings.login.is_some() => {
                    client.forget_session().await;
                    connect(client).await?
                }
                other => other?,
            };
            let early = subscribe(&mut stream, &settings.metrics).await?;
            Ok::<_, ClientError>((stream, early))
        };
        let (stream, early) = timeout(settings.timeout, ready).await.map_err(slow)??;
        let (sender, frames) = mpsc::channel(QUEUE);
        for incoming in early {
            // The queue is larger than what can come before the acknowledgement is waited for.
            let _ = sender.try_send(incoming);
        }
        let reader = Reader { stream, sender, settings: settings.clone() };
        let task = tokio::spawn(reader.run()).abort_handle();
        Ok(Self { frames, task })
    }

    /// The next thing; [`Incoming::Lost`] when there is no more.
    pub(crate) async fn next(&mut self) -> Incoming {
        let end = || Incoming::Lost(ClientError::Unreachable("the websocket has ended".to_owned()));
        self.frames.recv().await.unwrap_or_else(end)
    }

    /// The next thing that is there already.
    pub(crate) fn waiting(&mut self) -> Option<Incoming> {
        self.frames.try_recv().ok()
    }
}

async fn connect(client: &Client) -> Result<Stream, ClientError> {
    let url = client.socket_address()?;
    let mut request =
        url.as_str().into_client_request().map_err(|e| ClientError::Settings(e.to_string()))?;
    if let Some(cookie) = client.cookie().await? {
        let value = HeaderValue::from_str(&cookie)
            .map_err(|_| ClientError::Garbage("the session's cookie".to_owned()))?;
        request.headers_mut().insert(header::COOKIE, value);
    }
    let config = WebSocketConfig::default()
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let connector = Connector::Rustls(client.tls());
    match connect_async_tls_with_config(request, Some(config), true, Some(connector)).await {
        Ok((stream, _)) => Ok(stream),
        Err(Error::Http(response)) => Err(match response.status() {
            StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => {
                ClientError::Denied("the websocket is forbidden".to_owned())
            }
            status if status.is_server_error() => {
                ClientError::Status { status: status.as_u16(), path: "ws".to_owned() }
            }
            status => ClientError::NotBuildbot(format!("its websocket answers {status}")),
        }),
        Err(error) => Err(lost(&error)),
    }
}

fn lost(error: &Error) -> ClientError {
    ClientError::Unreachable(error.to_string())
}

/// Subscribes to everything; gives what came before the acknowledgements.
async fn subscribe(stream: &mut Stream, metrics: &Metrics) -> Result<Vec<Incoming>, ClientError> {
    let mut waiting = BTreeSet::new();
    for (id, path) in (1..).zip(EVERYTHING) {
        send(stream, "startConsuming", Some(path), id).await?;
        waiting.insert(id);
    }
    let mut early = Vec::new();
    while !waiting.is_empty() {
        let Some(message) = stream.next().await else {
            return Err(ClientError::Unreachable("the websocket was closed".to_owned()));
        };
        let message = message.map_err(|e| lost(&e))?;
        if let Wire::Text(text) = message {
            let message = frames::read(&text);
            metrics.frame(message.kind());
            match message {
                Message::Answer { id, refused: None } => {
                    waiting.remove(&id);
                }
                Message::Answer { refused: Some(why), .. } => return Err(ClientError::Denied(why)),
                other => early.extend(incoming(other)),
            }
        }
    }
    Ok(early)
}

async fn send(
    stream: &mut Stream,
    command: &str,
    path: Option<&str>,
    id: u64,
) -> Result<(), ClientError> {
    let mut body = json!({"cmd": command, "_id": id});
    if let Some(path) = path {
        body["path"] = path.into();
    }
    stream.send(Wire::text(body.to_string())).await.map_err(|e| lost(&e))
}

fn incoming(message: Message) -> Option<Incoming> {
    match message {
        Message::Observation(observation) => Some(Incoming::Observation(observation)),
        Message::Builders => Some(Incoming::Builders),
        Message::Garbage(why) => {
            tracing::warn!(%why, "a frame that cannot be understood; what it told will be read");
            Some(Incoming::Observation(Observation::Doubt))
        }
        Message::Answer { .. } | Message::Other => None,
    }
}

/// The task that owns the websocket.
struct Reader {
    stream: Stream,
    sender: mpsc::Sender<Incoming>,
    settings: Settings,
}

impl Reader {
    async fn run(mut self) {
        let end = self.read().await;
        self.settings.metrics.logs_watched(0);
        // A full queue ends the connection: the end itself may wait for room.
        let _ = self.sender.send(Incoming::Lost(end)).await;
        let _ = timeout(Duration::from_secs(1), self.stream.close(None)).await;
    }

    async fn read(&mut self) -> ClientError {
        let period = self.settings.ping.max(Duration::from_millis(10));
        let mut ping = tokio::time::interval_at(Instant::now() + period, period);
        let mut heard = Instant::now();
        let mut next = PING;
        let mut watched = self.settings.watch.subscribe();
        watched.mark_changed();
        let mut consumed: BTreeSet<LogId> = BTreeSet::new();
        loop {
            let outcome = tokio::select! {
                message = self.stream.next() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Wire::Text(text))) => self.take(&text),
                        Some(Ok(_)) => Ok(()),
                        Some(Err(error)) => Err(lost(&error)),
                        None => Err(ClientError::Unreachable("the master closed the websocket".into())),
                    }
                }
                _ = ping.tick() => {
                    if heard.elapsed() > period.saturating_mul(2) {
                        return ClientError::Slow { path: "ws".to_owned(), after: heard.elapsed() };
                    }
                    next += 1;
                    self.command("ping", None, next).await
                }
                Ok(()) = watched.changed() => {
                    let wanted = watched.borrow_and_update().keys().copied().collect();
                    let result = self.follow(&consumed, &wanted, &mut next).await;
                    consumed = wanted;
                    self.settings.metrics.logs_watched(consumed.len());
                    result
                }
            };
            if let Err(error) = outcome {
                return error;
            }
        }
    }

    fn take(&self, text: &str) -> Result<(), ClientError> {
        let message = frames::read(text);
        let metrics = &self.settings.metrics;
        metrics.frame(message.kind());
        match incoming(message) {
            Some(incoming) => self.sender.try_send(incoming).map_err(|_| {
                metrics.overflowed();
                ClientError::Unreachable(format!("more than {QUEUE} frames wait to be written"))
            }),
            None => Ok(()),
        }
    }

    /// Begins and ends the consumption of logs' appended lines.
    async fn follow(
        &mut self,
        consumed: &BTreeSet<LogId>,
        wanted: &BTreeSet<LogId>,
        next: &mut u64,
    ) -> Result<(), ClientError> {
        let ends = consumed.difference(wanted).map(|log| ("stopConsuming", log));
        let begins = wanted.difference(consumed).map(|log| ("startConsuming", log));
        for (command, log) in ends.chain(begins) {
            *next += 1;
            self.command(command, Some(&format!("logs/{log}/append")), *next).await?;
        }
        Ok(())
    }

    async fn command(
        &mut self,
        command: &str,
        path: Option<&str>,
        id: u64,
    ) -> Result<(), ClientError> {
        let period = self.settings.ping;
        match timeout(period, send(&mut self.stream, command, path, id)).await {
            Ok(result) => result,
            Err(_) => Err(ClientError::Slow { path: "ws".to_owned(), after: period }),
        }
    }
}
