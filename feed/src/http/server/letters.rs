//! Records that a consumer gave up.

use super::{
    State,
    answer::{Params, Segments, bounds},
};
use crate::http::api::{Letters, LettersQuery, Problem};
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
    Ok(Json(Letters { letters: state.feed().dead_letters(&name, limit).await? }))
}

pub(super) async fn replay(
    Shared(state): Shared<State>,
    Segments((name, position)): Segments<(String, String)>,
) -> Result<StatusCode, Problem> {
    state.feed().replay(&name, parse(&position)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn parse(position: &str) -> Result<Position, Problem> {
    position.parse().map_err(|why| bounds(format!("{position:?}: {why}")))
}
