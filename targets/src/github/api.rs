//! One request to GitHub's REST API and its answer.

use crate::{
    BuildError, answer,
    http::{self, Refused},
};
use delivery::SendError;
use reqwest::{
    Client, Method, Response,
    header::{ACCEPT, AUTHORIZATION, HeaderMap, HeaderValue},
};
use serde_json::{Map, Value};
use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// The version of the API whose description this follows.
const VERSION: &str = "2022-11-28";
/// Bytes of an answer that are read; a page of 100 check runs has some 500 KB.
const ANSWER: usize = 8 << 20;

/// The server.
pub struct Api {
    client: Client,
    /// Without a slash at its end.
    base: String,
    origin: String,
    /// Until when nothing is asked, because the limit of requests is used up.
    quiet: Mutex<Option<Instant>>,
}

impl fmt::Debug for Api {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Api({})", self.base)
    }
}

/// Why a request has no good answer.
#[derive(Debug)]
pub enum Unwell {
    /// It has none at all.
    Failed(SendError),
    /// GitHub says no.
    Refused(Refused),
}

impl Api {
    pub fn new(base_url: &str, ca: Option<&[u8]>) -> Result<Self, BuildError> {
        let mut url = crate::about::address("spec.baseUrl", base_url)?;
        if !url.username().is_empty() || url.password().is_some() {
            let text = "must be without user and password: tokenSecretRef and app say who asks";
            return Err(BuildError::new("spec.baseUrl", text));
        }
        url.set_query(None);
        url.set_fragment(None);
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.github+json"));
        headers.insert("x-github-api-version", HeaderValue::from_static(VERSION));
        let builder = http::client(ca)?.user_agent("buildbot-status").default_headers(headers);
        Ok(Self {
            client: http::build(builder)?,
            base: url.as_str().trim_end_matches('/').to_owned(),
            origin: url.origin().ascii_serialization(),
            quiet: Mutex::default(),
        })
    }

    /// The server, as limits are counted by it.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The address of a path.
    pub fn place(&self, path: &str) -> String {
        let path = path.split('?').next().unwrap_or_default();
        format!("{}/{path}", self.base)
    }

    /// Asks, with this `Authorization`. The answer's JSON; null if it has none.
    pub async fn ask(
        &self,
        method: Method,
        path: &str,
        body: Option<&Map<String, Value>>,
        authorization: HeaderValue,
    ) -> Result<Value, Unwell> {
        self.is_quiet().map_err(Unwell::Failed)?;
        let url = format!("{}/{path}", self.base);
        let mut request = self.client.request(method, url).header(AUTHORIZATION, authorization);
        if let Some(body) = body {
            request = request.json(body);
        }
        let failed = |error| Unwell::Failed(http::failed(&self.place(path), error));
        let response = request.send().await.map_err(failed)?;
        self.heed(response.headers());
        if !response.status().is_success() {
            return Err(Unwell::Refused(Refused::read(response).await));
        }
        let body = read(response).await.map_err(failed)?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// Asks nothing more until there is something left to ask for: whoever goes on is shut out.
    fn heed(&self, headers: &HeaderMap) {
        let Some(wait) = answer::used_up(headers, jiff::Timestamp::now()) else { return };
        let mut quiet = self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        *quiet = Some(Instant::now() + wait);
    }

    fn is_quiet(&self) -> Result<(), SendError> {
        let quiet = *self.quiet.lock().unwrap_or_else(PoisonError::into_inner);
        let left = quiet.map(|until| until.saturating_duration_since(Instant::now()));
        match left {
            Some(after) if after > Duration::ZERO => Err(SendError::Throttled {
                after: Some(after),
                text: format!(
                    "{}: the limit of requests is used up (x-ratelimit-remaining 0)",
                    self.base
                ),
            }),
            _ => Ok(()),
        }
    }
}

async fn read(mut response: Response) -> Result<Vec<u8>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > ANSWER {
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body)
}
