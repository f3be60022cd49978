//! A feed that is served on loopback, and what is said to it.
#![allow(dead_code, reason = "each test file uses some")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use crate::common::{open, soon};
use feed::{
    Feed,
    http::{
        api::{AckRequest, OpenRequest, Opened, Problem},
        server::{About, Limits, State, serve},
        token::{Claims, Keys, Kind, Right},
    },
};
use futures_util::future::BoxFuture;
use master::{ClientError, LogChunk};
use model::{Links, Position, Record};
use reqwest::{Method, RequestBuilder, Response, StatusCode};
use serde::de::DeserializeOwned;
use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};
use tokio::{net::TcpListener, task::JoinHandle};
use tokio_util::sync::CancellationToken;

/// The name of most consumers here, with a slash as real ones have.
pub const NAME: &str = "mail/main";

pub fn keys() -> Keys {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("1"), "a key of thirty-two bytes or more").unwrap();
    Keys::from_dir(dir.path()).unwrap()
}

pub fn limits() -> Limits {
    Limits { write: Duration::from_secs(2), ..Limits::default() }
}

/// A server, its journal, and somebody who asks. Ended when dropped, without grace.
pub struct Served {
    pub feed: Feed,
    pub address: SocketAddr,
    pub token: String,
    pub cancel: CancellationToken,
    pub state: State,
    pub server: JoinHandle<()>,
    client: reqwest::Client,
}

impl Drop for Served {
    fn drop(&mut self) {
        self.server.abort();
    }
}

pub async fn served(dir: &Path) -> Served {
    served_with(open(dir), limits()).await
}

pub async fn served_with(feed: Feed, limits: Limits) -> Served {
    let about = About {
        namespace: "default".into(),
        name: "main".into(),
        links: Links::master("http://master.example/"),
        release: "0.0.1".into(),
    };
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let state = State::new(feed.clone(), keys(), about);
    let cancel = CancellationToken::new();
    let server = tokio::spawn(serve(listener, state.clone(), limits, cancel.clone()));
    // The crates of TLS want to be told which provider; another test may have done so.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().no_gzip().build().unwrap();
    let token = token(feed.master_uid(), NAME, &[Right::Read, Right::Consume]);
    Served { feed, address, token, cancel, state, server, client }
}

pub fn token(master_uid: &str, consumer: &str, rights: &[Right]) -> String {
    keys().sign(&Claims {
        master_uid: master_uid.into(),
        consumer: consumer.into(),
        kind: Kind::new("MailNotifier"),
        rights: rights.iter().copied().collect(),
        expires: None,
    })
}

impl Served {
    pub fn url(&self, path: &str) -> String {
        format!("http://{}/v1/{path}", self.address)
    }

    pub fn request(&self, method: Method, path: &str) -> RequestBuilder {
        self.client.request(method, self.url(path)).bearer_auth(&self.token)
    }

    pub fn get(&self, path: &str) -> RequestBuilder {
        self.request(Method::GET, path)
    }

    pub fn post(&self, path: &str, body: &impl serde::Serialize) -> RequestBuilder {
        self.request(Method::POST, path).json(body)
    }

    /// The client, to ask without a token or with odd headers.
    pub fn raw(&self) -> &reqwest::Client {
        &self.client
    }

    /// With the right to manage instead.
    pub fn manager(mut self) -> Self {
        self.token = token(self.feed.master_uid(), "operator", &[Right::Manage]);
        self
    }

    pub async fn open(&self, request: &OpenRequest) -> Opened {
        good(self.post("consumers/mail%2Fmain/open", request)).await
    }

    pub async fn acknowledge(&self, request: &AckRequest) -> feed::http::api::AckResponse {
        good(self.post("consumers/mail%2Fmain/acks", request)).await
    }

    /// A consumer's stream.
    pub async fn stream(&self, generation: u64) -> Events {
        let path = format!("consumers/mail%2Fmain/events?generation={generation}");
        Events::of(self.get(&path)).await
    }

    /// Ends the server as the process's end does.
    pub async fn end(mut self) {
        self.cancel.cancel();
        soon(&mut self.server).await.unwrap();
        self.feed.close().await;
    }
}

/// An answer that is a success.
pub async fn good<T: DeserializeOwned>(request: RequestBuilder) -> T {
    let response = soon(request.send()).await.unwrap();
    let (status, text) = (response.status(), response.text().await.unwrap());
    assert!(status.is_success(), "{status}: {text}");
    serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// An answer that is none.
pub async fn bad(request: RequestBuilder) -> Problem {
    problem(soon(request.send()).await.unwrap()).await
}

pub async fn problem(response: Response) -> Problem {
    let status = response.status();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let text = response.text().await.unwrap();
    assert_eq!(kind, "application/problem+json", "{status}: {text}");
    let problem: Problem = serde_json::from_str(&text).unwrap();
    assert_eq!(status, StatusCode::from_u16(problem.code.status()).unwrap(), "{text}");
    problem
}

/// One server-sent event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub name: String,
    pub id: Option<String>,
    pub data: String,
}

impl Event {
    pub fn record(&self) -> Arc<Record> {
        assert_eq!(self.name, "record", "{self:?}");
        serde_json::from_str(&self.data).unwrap()
    }

    pub fn position(&self) -> Position {
        self.id.as_deref().unwrap().split('~').next().unwrap().parse().unwrap()
    }
}

/// Reads server-sent events.
pub struct Events {
    response: Response,
    text: String,
}

impl From<Response> for Events {
    fn from(response: Response) -> Self {
        Self { response, text: String::new() }
    }
}

impl Events {
    pub async fn of(request: RequestBuilder) -> Self {
        let request = request.header("accept", "text/event-stream");
        let response = soon(request.send()).await.unwrap();
        assert_eq!(response.status(), 200);
        assert_eq!(response.headers()["content-type"], "text/event-stream");
        Self::from(response)
    }

    /// The next event; `None` at the end.
    pub async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(end) = self.text.find("\n\n") {
                let block: String = self.text.drain(..end + 2).collect();
                let mut event = Event::default();
                for line in block.lines() {
                    match line.split_once(": ") {
                        Some(("event", name)) => event.name = name.into(),
                        Some(("id", id)) => event.id = Some(id.into()),
                        Some(("data", data)) => event.data = data.into(),
                        _ => {}
                    }
                }
                if !event.name.is_empty() {
                    return Some(event);
                }
                continue;
            }
            let chunk = soon(self.response.chunk()).await.ok()??;
            self.text.push_str(std::str::from_utf8(&chunk).unwrap());
        }
    }

    /// The next event of this name.
    pub async fn until(&mut self, name: &str) -> Event {
        // Signs of life come all the time.
        soon(async {
            loop {
                let event = self.next().await.unwrap_or_else(|| panic!("no {name} came"));
                if event.name == name {
                    return event;
                }
            }
        })
        .await
    }
}

/// Gives log 10, of three lines.
pub fn log_source() -> Arc<dyn master::LogSource> {
    Arc::new(FaultyLogs)
}

/// A fake, since a real master can't be made to refuse: there is no log 11, and what else is
/// asked for is denied.
struct FaultyLogs;

impl master::LogSource for FaultyLogs {
    fn lines(
        &self,
        log: model::LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        Box::pin(async move {
            match log.0 {
                10 => {
                    let lines = first..3.min(first.saturating_add(limit));
                    let text = lines.map(|line| format!("oline {line}\n")).collect();
                    Ok(LogChunk { first, text })
                }
                11 => Err(ClientError::NotFound("log 11".into())),
                _ => Err(ClientError::Denied("not for you".into())),
            }
        })
    }
}
