//! How parts of a request are read, and how it is answered: whatever goes wrong is a [`Problem`].

use crate::http::api::{Code, Problem};
use axum::{
    Json,
    body::Bytes,
    extract::{FromRequest, FromRequestParts, Path, Query, Request},
    http::{Method, StatusCode, Uri, header, request::Parts},
    response::{IntoResponse, Response},
};
use serde::de::DeserializeOwned;
use std::time::Duration;

/// How long a body may take to arrive.
const BODY_TIME: Duration = Duration::from_secs(30);

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.code.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(&self)).into_response();
        let headers = response.headers_mut();
        headers.insert(
            header::CONTENT_TYPE,
            header::HeaderValue::from_static("application/problem+json"),
        );
        if self.code == Code::Unauthorized {
            headers.insert(header::WWW_AUTHENTICATE, header::HeaderValue::from_static("Bearer"));
        }
        response
    }
}

pub(super) async fn no_such_path(uri: Uri) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {}: see docs/feed-api.md", uri.path()))
}

pub(super) async fn no_such_method(method: Method, uri: Uri) -> Problem {
    Problem::new(Code::Method, format!("{method} is not possible on {}", uri.path()))
}

/// The query, as `T`.
pub(super) struct Params<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::from_request_parts(parts, state).await {
            Ok(Query(params)) => Ok(Self(params)),
            Err(rejection) => Err(bounds(rejection.body_text())),
        }
    }
}

/// Parts of the path, as `T`.
pub(super) struct Segments<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned + Send> FromRequestParts<S> for Segments<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(segments)) => Ok(Self(segments)),
            Err(rejection) => Err(bounds(rejection.body_text())),
        }
    }
}

/// The body, as JSON of `T`, whatever its type is said to be.
pub(super) struct Content<T>(pub(super) T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for Content<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, state: &S) -> Result<Self, Problem> {
        let body = tokio::time::timeout(BODY_TIME, Bytes::from_request(request, state)).await;
        let body = body
            .map_err(|_| bounds(format!("no whole body came in {} s", BODY_TIME.as_secs())))?
            .map_err(|rejection| bounds(rejection.body_text()))?;
        match serde_json::from_slice(&body) {
            Ok(content) => Ok(Self(content)),
            Err(error) => Err(bounds(format!("the body: {error}"))),
        }
    }
}

pub(super) fn bounds(message: impl Into<String>) -> Problem {
    Problem::new(Code::Bounds, message)
}

pub(super) fn not_found(what: impl std::fmt::Display) -> Problem {
    Problem::new(Code::NotFound, format!("there is no {what}"))
}

/// JSON that is made already.
pub(super) fn json(body: Vec<u8>) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}
