//! Consumers as such: open, figures, forget.

use super::{
    State,
    answer::{Content, Segments, not_found},
    auth::Caller,
};
use crate::{
    ConsumerOptions, ConsumerStatus, Report,
    http::api::{Base64, Consumers, OpenRequest, Opened, Problem},
};
use axum::{Extension, Json, extract::State as Shared, http::StatusCode};
use std::time::Duration;

/// Largest window: each record in flight is a number in the feed's memory.
const WINDOW: usize = 10_000;

pub(super) async fn list(Shared(state): Shared<State>) -> Json<Consumers> {
    let feed = state.feed();
    Json(Consumers { consumers: feed.consumers(), readers: feed.readers() })
}

pub(super) async fn status(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
) -> Result<Json<ConsumerStatus>, Problem> {
    let found = state.feed().consumers().into_iter().find(|status| status.name == name);
    found.map(Json).ok_or_else(|| not_found(format!("consumer {name}")))
}

pub(super) async fn forget(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
) -> Result<StatusCode, Problem> {
    state.feed().forget(&name).await?;
    state.inner.slots.remove(&name);
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn report(
    Shared(state): Shared<State>,
    Extension(caller): Extension<Caller>,
    Segments(name): Segments<String>,
    Content(report): Content<Report>,
) -> Result<StatusCode, Problem> {
    state.feed().report(&name, caller.kind.as_str(), report)?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn open(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
    Content(request): Content<OpenRequest>,
) -> Result<Json<Opened>, Problem> {
    let OpenRequest { window, max_backlog_ms, catch_up, held, known } = request;
    let defaults = ConsumerOptions::default();
    let options = ConsumerOptions {
        window: window.map(|window| window.min(WINDOW)),
        max_backlog_age: max_backlog_ms.map_or(defaults.max_backlog_age, Duration::from_millis),
        catch_up,
        held,
        known,
    };
    let consumer = state.feed().consumer(&name, options).await?;
    let slot = state.inner.slots.put(&name, consumer);
    let values = slot.handle.state().into_iter();
    Ok(Json(Opened {
        generation: slot.generation,
        status: slot.handle.status(),
        state: values.map(|(key, value)| (key, Base64(value))).collect(),
    }))
}
