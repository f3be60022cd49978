//! Before every request: a token, its rights, and how much it has open.

use super::{Need, State, answer::bounds, held, places::Permit};
use crate::http::{
    api::{Code, Problem},
    token::{Claims, Kind, Right},
};
use axum::{
    body::Body,
    extract::{RawPathParams, Request, State as Shared, rejection::RawPathParamsRejection},
    http::{HeaderMap, header},
    middleware::Next,
    response::Response,
};
use std::sync::Arc;

/// Most bytes of a query.
const QUERY_BYTES: usize = 4096;

/// Who asks, as an extension of the request.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// What kind of reader it is.
    pub(super) kind: Kind,
    /// Its place, which it keeps until the answer is written.
    pub(super) permit: Arc<Permit>,
}

/// Lets a request through, or answers it with a problem.
pub(super) async fn guard(
    Shared((state, need)): Shared<(State, Need)>,
    path: Result<RawPathParams, RawPathParamsRejection>,
    mut request: Request,
    next: Next,
) -> Result<Response, Problem> {
    let token = bearer(request.headers())?;
    let claims = {
        let keys = state.inner.keys.read().unwrap_or_else(|e| e.into_inner());
        keys.verify(token, state.feed().master_uid())
    };
    let claims = claims.map_err(|error| Problem::new(Code::Unauthorized, error.to_string()))?;
    let path = path.map_err(|error| bounds(format!("the path: {error}")))?;
    let name = path.iter().find(|(key, _)| *key == "name").map(|(_, name)| name);
    allowed(need, &claims, name.unwrap_or_default())?;
    if request.uri().query().is_some_and(|query| query.len() > QUERY_BYTES) {
        return Err(bounds(format!("the query is longer than {QUERY_BYTES} bytes")));
    }
    let permit = Arc::new(state.inner.places.enter(&claims.consumer)?);
    let caller = Caller { kind: claims.kind, permit: Arc::clone(&permit) };
    request.extensions_mut().insert(caller);
    let response = next.run(request).await;
    Ok(response.map(|body| Body::new(held::Answer::new(body, permit))))
}

fn bearer(headers: &HeaderMap) -> Result<&str, Problem> {
    let refuse = || {
        let message = "a request carries `Authorization: Bearer TOKEN`; \
                       `buildbot-status token` makes one";
        Problem::new(Code::Unauthorized, message)
    };
    let value = headers.get(header::AUTHORIZATION).ok_or_else(refuse)?;
    let (scheme, token) = value.to_str().ok().and_then(|v| v.split_once(' ')).ok_or_else(refuse)?;
    if scheme.eq_ignore_ascii_case("bearer") { Ok(token.trim()) } else { Err(refuse()) }
}

/// Whether these claims suffice to do with consumer `name` what needs `need`.
fn allowed(need: Need, claims: &Claims, name: &str) -> Result<(), Problem> {
    let has = |right| claims.rights.contains(&right);
    let own = has(Right::Consume) && claims.consumer == name;
    let named = claims.consumer == name && (has(Right::Consume) || has(Right::Read));
    let (yes, needed) = match need {
        Need::Read => (has(Right::Read), "the right `read`"),
        Need::Own => (own, "the right `consume`, for this consumer"),
        Need::OwnOrManage => {
            (own || has(Right::Manage), "the right `manage`, or `consume` for this consumer")
        }
        Need::Manage => (has(Right::Manage), "the right `manage`"),
        Need::Named => (named, "the right `consume` or `read`, for this name"),
    };
    if yes {
        return Ok(());
    }
    let rights: Vec<String> = claims.rights.iter().map(Right::to_string).collect();
    let rights = if rights.is_empty() { "none".to_owned() } else { rights.join(", ") };
    let message = format!(
        "this needs {needed}; the token is for consumer {:?}, with the rights: {rights}",
        claims.consumer
    );
    Err(Problem::new(Code::Forbidden, message))
}
