//! Requests, answers and streams, each within its bounds.

use super::{
    Remote,
    failure::Failure,
    sse::{Event, Parser},
};
use crate::http::api::{Code, Problem, VERSION};
use reqwest::{
    Method, RequestBuilder, Response, StatusCode,
    header::{ACCEPT, AUTHORIZATION},
};
use serde::{Serialize, de::DeserializeOwned};
use std::{pin::Pin, time::Duration};
use tokio::time::{Instant, timeout, timeout_at};

/// Most bytes of an answer, of an event, and of a refusal.
const ANSWER: usize = 256 << 20;
const EVENT: usize = 64 << 20;
const PROBLEM: usize = 64 << 10;

impl Remote {
    /// A request below `/v1`; each segment is one, whatever is in it.
    pub(super) fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.inner.url.clone();
        // Only addresses that are no base have no segments, and `new` refuses those.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().push(VERSION).extend(path);
        }
        self.inner.http.request(method, url)
    }

    /// Asks, and reads the answer as JSON.
    pub(super) async fn json<T: DeserializeOwned>(
        &self,
        request: RequestBuilder,
    ) -> Result<T, Failure> {
        let body = self.bytes(request.timeout(self.inner.options.timeout)).await?;
        serde_json::from_slice(&body)
            .map_err(|error| Failure::lost(format!("the answer is not as documented: {error}")))
    }

    /// As [`Self::json`], with parameters after the path.
    pub(super) async fn get<T: DeserializeOwned>(
        &self,
        path: &[&str],
        query: &impl Serialize,
    ) -> Result<T, Failure> {
        self.json(self.request(Method::GET, path).query(query)).await
    }

    /// Asks, and reads the answer whole.
    pub(super) async fn bytes(&self, request: RequestBuilder) -> Result<Vec<u8>, Failure> {
        let response = self.send(request).await?;
        body(response, ANSWER).await
    }

    /// Asks with the token; once more if that was refused and the file has another by now.
    async fn send(&self, request: RequestBuilder) -> Result<Response, Failure> {
        let token = self.inner.token.header().map_err(Failure::unheard)?;
        let again = request.try_clone();
        let mut response = request.header(AUTHORIZATION, &token).send().await?;
        if response.status() == StatusCode::UNAUTHORIZED
            && let Some(again) = again
        {
            self.inner.token.forget();
            let fresh = self.inner.token.header().map_err(Failure::unheard)?;
            if fresh != token {
                response = again.header(AUTHORIZATION, fresh).send().await?;
            }
        }
        if response.status().is_success() {
            return Ok(response);
        }
        let status = response.status();
        let body = timeout(self.inner.options.timeout, body(response, PROBLEM)).await;
        Err(refusal(status, &body.ok().and_then(Result::ok).unwrap_or_default()))
    }

    /// Opens a stream of events.
    pub(super) async fn stream(&self, request: RequestBuilder) -> Result<Events, Failure> {
        let limit = self.inner.options.timeout;
        let request = request.header(ACCEPT, "text/event-stream");
        let response = timeout(limit, self.send(request))
            .await
            .map_err(|_| Failure::lost(format!("nothing within {} s", limit.as_secs_f32())))??;
        let silence = self.inner.options.silence;
        Ok(Events {
            response: Box::pin(response),
            parser: Parser::new(EVENT),
            silence,
            until: Instant::now() + silence,
        })
    }
}

/// What a status that is no success says.
fn refusal(status: StatusCode, body: &[u8]) -> Failure {
    if let Ok(problem) = serde_json::from_slice::<Problem>(body) {
        return Failure::Refused(problem);
    }
    // Not the feed: something before it, or something else at that address.
    let text = format!("HTTP status {}", status.as_u16());
    match status {
        StatusCode::UNAUTHORIZED => Failure::Refused(Problem::new(Code::Unauthorized, text)),
        StatusCode::FORBIDDEN => Failure::Refused(Problem::new(Code::Forbidden, text)),
        _ => Failure::lost(text),
    }
}

async fn body(mut response: Response, limit: usize) -> Result<Vec<u8>, Failure> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > limit {
            return Err(Failure::lost(format!("the answer has more than {limit} bytes")));
        }
        body.extend_from_slice(&piece);
    }
    Ok(body)
}

/// A stream of events. One on which nothing comes, not even a sign of life, is given up: its
/// packets may be dropped on the way.
#[derive(Debug)]
pub(super) struct Events {
    response: Pin<Box<Response>>,
    parser: Parser,
    silence: Duration,
    until: Instant,
}

impl Events {
    /// The next event of those that have come whole.
    pub(super) fn pop(&mut self) -> Option<Event> {
        self.parser.pop()
    }

    /// The next event. Safe to cancel.
    pub(super) async fn next(&mut self) -> Result<Event, Failure> {
        loop {
            if let Some(event) = self.pop() {
                return Ok(event);
            }
            let piece = timeout_at(self.until, self.response.chunk()).await.map_err(|_| {
                let seconds = self.silence.as_secs_f32();
                Failure::lost(format!("nothing was heard for {seconds} s"))
            })??;
            let piece = piece.ok_or_else(|| Failure::lost("it closed the stream"))?;
            self.until = Instant::now() + self.silence;
            self.parser.push(&piece).map_err(|error| Failure::lost(error.to_string()))?;
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn an_answer_of_something_that_is_no_feed_is_no_answer() {
        let failure = refusal(StatusCode::BAD_GATEWAY, b"<html>upstream");
        assert_eq!(failure.to_string(), "the feed does not answer: HTTP status 502");
        let body = br#"{"code": "later-code", "message": "no", "more": 1}"#;
        let Failure::Refused(problem) = refusal(StatusCode::CONFLICT, body) else { unreachable!() };
        assert_eq!(problem.code, Code::Unknown);
    }
}
