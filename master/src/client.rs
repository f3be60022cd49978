//! REST reads of a master: bounded in time and size, never an unbounded list.

mod paging;
mod reads;
pub(crate) mod session;

pub(crate) use paging::{Cursor, PAGE};

use crate::{ClientError, LogChunk, LogSource, Metrics, Settings, Watch, WatchGuard};
use futures_util::{FutureExt, StreamExt, future::BoxFuture};
use model::LogId;
use reqwest::{Response, StatusCode, header};
use serde_json::Value;
use session::Session;
use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, Instant},
};
use url::Url;

/// Most bytes of one answer.
const MAX_BODY: usize = 32 * 1024 * 1024;
/// Most bytes of one answer with several lines of a log: there may be less of them at a time.
const MAX_LINES_BODY: usize = 8 * 1024 * 1024;
/// How long an answer that has begun may pause. Buildbot 4.2 and 4.3 write answers from a second thread, and
/// now and then lose a piece (buildbot#9065): the rest never comes, and the master closes after a minute.
const STALLED: Duration = Duration::from_secs(5);
/// How often an answer that broke off is asked for.
const TRIES: u32 = 3;
/// Most lines of a log in one answer.
const MAX_LINES: u64 = 20_000;

/// A client of one master; clones share its session.
#[derive(Clone, Debug)]
pub struct Client(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    url: Url,
    timeout: Duration,
    http: reqwest::Client,
    tls: Arc<rustls::ClientConfig>,
    session: Session,
    metrics: Metrics,
    watch: Watch,
}

impl Client {
    /// A client for the master of the settings; connects to nothing yet.
    ///
    /// # Errors
    /// [`ClientError::Settings`] when the address or the certificates cannot be used.
    pub fn new(settings: &Settings) -> Result<Self, ClientError> {
        if !matches!(settings.url.scheme(), "http" | "https") || settings.url.host().is_none() {
            let url = &settings.url;
            return Err(ClientError::Settings(format!("{url} is no http or https address")));
        }
        let tls = crate::tls::config(settings.ca_pem.as_deref())?;
        let http = reqwest::Client::builder()
            .tls_backend_preconfigured((*tls).clone())
            .redirect(reqwest::redirect::Policy::none())
            .connect_timeout(settings.timeout.min(Duration::from_secs(10)))
            .timeout(settings.timeout)
            // The master has one core: it has better to do than to compress.
            .no_gzip()
            .no_proxy()
            .user_agent(concat!("buildbot-status/", env!("CARGO_PKG_VERSION")))
            .build()
            .map_err(|e| ClientError::Settings(e.to_string()))?;
        Ok(Self(Arc::new(Inner {
            url: settings.url.clone(),
            timeout: settings.timeout,
            http,
            tls,
            session: Session::new(settings.login.clone()),
            metrics: settings.metrics.clone(),
            watch: settings.watch.clone(),
        })))
    }

    /// The address of something below the master's, query included.
    fn address(&self, path: &str) -> Result<Url, ClientError> {
        self.0.url.join(path).map_err(|e| ClientError::Settings(format!("{path}: {e}")))
    }

    pub(crate) fn tls(&self) -> Arc<rustls::ClientConfig> {
        self.0.tls.clone()
    }

    /// The address of the websocket.
    pub(crate) fn socket_address(&self) -> Result<Url, ClientError> {
        let mut url = self.address("ws")?;
        let scheme = if url.scheme() == "https" { "wss" } else { "ws" };
        url.set_scheme(scheme).map_err(|()| ClientError::Settings(url.to_string()))?;
        Ok(url)
    }

    /// The session's cookie, got or renewed where there is a login.
    pub(crate) async fn cookie(&self) -> Result<Option<String>, ClientError> {
        let login = self.address("auth/login")?;
        self.0.session.cookie(&self.0.http, login, self.0.timeout).await
    }

    /// Forgets the session, so that the next request logs in again.
    pub(crate) async fn forget_session(&self) {
        self.0.session.forget().await;
    }

    /// Reads `path` below the master's address as JSON.
    pub(crate) async fn json(&self, path: &str) -> Result<Value, ClientError> {
        self.json_within(path, MAX_BODY).await
    }

    /// The same of at most so many bytes.
    async fn json_within(&self, path: &str, most: usize) -> Result<Value, ClientError> {
        let mut read = self.read(path, most).await;
        for _ in 1..TRIES {
            // The master closes connections under answers now and then; reading is repeatable.
            if !matches!(read, Err(ClientError::Unreachable(_))) {
                break;
            }
            read = self.read(path, most).await;
        }
        let body = match read {
            // An expired or foreign session: once more with a new one.
            Err(ClientError::Denied(_)) if self.0.session.has_login() => {
                self.forget_session().await;
                self.read(path, most).await?
            }
            other => other?,
        };
        serde_json::from_slice(&body).map_err(|e| {
            let start: String = String::from_utf8_lossy(&body).chars().take(40).collect();
            ClientError::NotBuildbot(format!("{path} answers no JSON but {start:?} ({e})"))
        })
    }

    async fn read(&self, path: &str, most: usize) -> Result<Vec<u8>, ClientError> {
        let began = Instant::now();
        let result = self.get(path, most).await;
        self.0.metrics.request(path, &status(&result), began.elapsed());
        result
    }

    async fn get(&self, path: &str, most: usize) -> Result<Vec<u8>, ClientError> {
        let mut request =
            self.0.http.get(self.address(path)?).header(header::ACCEPT, "application/json");
        if let Some(cookie) = self.cookie().await? {
            request = request.header(header::COOKIE, cookie);
        }
        let response = request.send().await.map_err(|e| failed(&e, path, self.0.timeout))?;
        body(checked(response, path)?, path, self.0.timeout, most).await
    }
}

/// How a read ended: an HTTP status where there was one that says it.
fn status(result: &Result<Vec<u8>, ClientError>) -> Cow<'static, str> {
    match result {
        Ok(_) => "200".into(),
        Err(ClientError::NotFound(_)) => "404".into(),
        Err(ClientError::Status { status, .. }) => status.to_string().into(),
        Err(ClientError::Denied(_)) => "denied".into(),
        Err(ClientError::Slow { .. }) => "timeout".into(),
        Err(ClientError::Unreachable(_)) => "unreachable".into(),
        Err(_) => "unusable".into(),
    }
}

/// The error of a request that got no whole answer.
fn failed(error: &reqwest::Error, path: &str, after: Duration) -> ClientError {
    if error.is_timeout() && !error.is_connect() {
        return ClientError::Slow { path: path.to_owned(), after };
    }
    // The outermost message only repeats the address; the causes say what is wrong.
    let mut reason = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        reason = inner.to_string();
        cause = inner.source();
    }
    ClientError::Unreachable(reason)
}

/// The answer, if its status is a good one.
fn checked(response: Response, path: &str) -> Result<Response, ClientError> {
    let status = response.status();
    match status {
        _ if status.is_success() => Ok(response),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
            Err(ClientError::Denied(format!("{path} answers {status}")))
        }
        StatusCode::NOT_FOUND => Err(ClientError::NotFound(path.to_owned())),
        _ if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            Err(ClientError::Status { status: status.as_u16(), path: path.to_owned() })
        }
        _ => Err(ClientError::NotBuildbot(format!("{path} answers {status}"))),
    }
}

/// The body, if it is not too large.
async fn body(
    response: Response,
    path: &str,
    after: Duration,
    most: usize,
) -> Result<Vec<u8>, ClientError> {
    let too_large = || ClientError::TooLarge { path: path.to_owned(), limit: most };
    if response.content_length().is_some_and(|length| length > most as u64) {
        return Err(too_large());
    }
    let mut body = Vec::new();
    let mut stream = response.bytes_stream();
    let pause = STALLED.min(after / 2);
    loop {
        let Ok(chunk) = tokio::time::timeout(pause, stream.next()).await else {
            // Dropped, the connection is closed: nothing else is asked on it.
            return Err(ClientError::Unreachable(format!("the answer to {path} broke off")));
        };
        let Some(chunk) = chunk else { break };
        let chunk = chunk.map_err(|e| failed(&e, path, after))?;
        if body.len() + chunk.len() > most {
            return Err(too_large());
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}

impl LogSource for Client {
    fn lines(
        &self,
        log: LogId,
        first: u64,
        limit: u64,
    ) -> BoxFuture<'_, Result<LogChunk, ClientError>> {
        async move {
            let mut limit = limit.clamp(1, MAX_LINES);
            loop {
                let path = format!("api/v2/logs/{log}/contents?offset={first}&limit={limit}");
                let most = if limit > 1 { MAX_LINES_BODY } else { MAX_BODY };
                match self.json_within(&path, most).await {
                    // Lines may be long: fewer of them at a time.
                    Err(ClientError::TooLarge { .. }) if limit > 1 => limit = (limit / 8).max(1),
                    other => return Ok(LogChunk { first, text: contents(other?)? }),
                }
            }
        }
        .boxed()
    }

    fn watch(&self, log: LogId) -> Option<WatchGuard> {
        Some(self.0.watch.log(log))
    }
}

/// The text in the answer of `logs/N/contents`; an unknown log has no text.
fn contents(body: Value) -> Result<String, ClientError> {
    #[derive(serde::Deserialize)]
    struct Chunk {
        #[serde(default)]
        content: Option<String>,
    }
    let chunks: Vec<Chunk> = crate::raw::rows(body, "logchunks").map_err(ClientError::Garbage)?;
    Ok(chunks.into_iter().next().and_then(|c| c.content).unwrap_or_default())
}
