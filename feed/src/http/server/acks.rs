//! `POST /v1/consumers/{name}/acks`: what is done.

use super::{
    State,
    answer::{Content, Segments, bounds},
};
use crate::{
    ConsumerError,
    http::api::{AckRequest, AckResponse, Problem},
};
use axum::{Json, extract::State as Shared};

/// Most acknowledgements in one request.
const ACKS: usize = 1000;

pub(super) async fn acks(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
    Content(request): Content<AckRequest>,
) -> Result<Json<AckResponse>, Problem> {
    let slot = state.inner.slots.get(&name, request.generation)?;
    if request.acks.len() > ACKS {
        let count = request.acks.len();
        return Err(bounds(format!("acks: {count} in one request; {ACKS} are possible")));
    }
    let all = request.acks.iter().map(|ack| (ack.position, ack.done())).collect();
    let results = slot.handle.all_done(all).await.map_err(ConsumerError::from)?;
    let results = results.into_iter().map(|result| result.err().map(Problem::from)).collect();
    Ok(Json(AckResponse { results, backlog: slot.handle.backlog() }))
}
