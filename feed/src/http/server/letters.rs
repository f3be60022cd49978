//! Records that a consumer gave up.

use super::{
    State,
    answer::{Content, Params, Segments, bounds, not_found},
};
use crate::{
    Parked,
    http::api::{Letters, LettersQuery, Problem, ReplayRequest, Replayed},
};
use axum::{Json, extract::State as Shared, http::StatusCode};
use model::Position;

/// Letters in one answer if no limit is given, and at most.
const LETTERS: (usize, usize) = (100, 500);

pub(super) async fn list(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
    Params(query): Params<LettersQuery>,
) -> Result<Json<Letters>, Problem> {
    let limit = query.limit.unwrap_or(LETTERS.0).min(LETTERS.1);
    Ok(Json(Letters { letters: state.feed().dead_letters(&name, query.after, limit).await? }))
}

pub(super) async fn letter(
    Shared(state): Shared<State>,
    Segments((name, position)): Segments<(String, String)>,
) -> Result<Json<Parked>, Problem> {
    let letter = state.feed().dead_letter(&name, parse(&position)?).await?;
    letter.map(Json).ok_or_else(|| not_found(format!("dead letter {position} of {name}")))
}

pub(super) async fn replay(
    Shared(state): Shared<State>,
    Segments((name, position)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    state.feed().replay(&name, parse(&position)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn drop_letter(
    Shared(state): Shared<State>,
    Segments((name, position)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    state.feed().drop_letter(&name, parse(&position)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn replay_history(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
    Content(ReplayRequest { catch_up }): Content<ReplayRequest>,
) -> Result<Json<Replayed>, Problem> {
    Ok(Json(Replayed { builds: state.feed().replay_history(&name, catch_up).await? }))
}

fn parse(position: &str) -> Result<Position, Problem> {
    position.parse().map_err(|why| bounds(format!("{position:?}: {why}")))
}
