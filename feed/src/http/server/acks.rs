//! `POST /v1/consumers/{name}/acks`: what is done.

use super::{
    State,
    answer::{Content, Segments, bounds},
};
use crate::{
    ConsumerError, ConsumerHandle,
    http::api::{Ack, AckRequest, AckResponse, Problem},
};
use axum::{Json, extract::State as Shared};
use futures_util::future;

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
    // The journal's writer gets them in this order, and commits together what is there.
    let wishes = request.acks.iter().map(|ack| wish(&slot.handle, ack));
    let results = future::join_all(wishes).await;
    let results = results.into_iter().map(|result| result.err().map(Problem::from)).collect();
    Ok(Json(AckResponse { results, backlog: slot.handle.backlog() }))
}

async fn wish(handle: &ConsumerHandle, ack: &Ack) -> Result<(), ConsumerError> {
    match (ack.position, ack.change()) {
        (Some(position), _) => handle.done(position, ack.done()).await,
        (None, Some(change)) => handle.save(change).await,
        (None, None) => Err(ConsumerError::Bounds(
            "an acknowledgement has a position, or changes the state, or both".to_owned(),
        )),
    }
}
