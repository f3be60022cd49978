//! Streams for readers that keep no place: `/v1/events`, and `/v1/logs/{id}/watch` beside it.

use super::{
    State,
    answer::{Params, Segments, bounds},
    sse,
};
use crate::{
    Follower, Item,
    http::api::{EventsQuery, Past, Place, Problem},
};
use axum::{extract::State as Shared, http::HeaderMap, response::Response};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use model::LogId;
use serde::Serialize;

pub(super) async fn events(
    Shared(state): Shared<State>,
    Params(query): Params<EventsQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let last = headers.get("last-event-id").and_then(|id| id.to_str().ok());
    let from = match last.filter(|id| !id.is_empty()) {
        Some(id) => {
            let place = id.parse::<Place>();
            Some(place.map_err(|why| bounds(format!("Last-Event-ID: {id:?}: {why}")))?)
        }
        None => query.from,
    };
    let reader = Reader::new(state, from);
    let first = reader.state();
    let events = stream::once(std::future::ready(first)).chain(stream::unfold(reader, next));
    Ok(sse::answer(events.boxed(), || None))
}

/// Growth of a log is told on `/v1/events` for as long as this stream is open, which says nothing
/// but that it is.
pub(super) async fn watch(Shared(state): Shared<State>, Segments(id): Segments<u64>) -> Response {
    let stop = state.inner.stop.clone();
    let watch = state.feed().watch_log(LogId(id));
    let alive = stream::unfold((stop, watch), async |(stop, watch)| {
        tokio::select! {
            () = stop.cancelled() => None,
            () = tokio::time::sleep(sse::KEEP_ALIVE) => {
                Some((sse::comment(), (stop, watch)))
            }
        }
    });
    let first = stream::once(std::future::ready(sse::comment()));
    sse::answer(first.chain(alive).boxed(), || None)
}

struct Reader {
    state: State,
    follower: Follower,
    /// Where it stood when it came. Until it has heard that it missed something, that is its
    /// place: if it is cut before, it has to hear so the next time.
    begins: Place,
}

impl Reader {
    fn new(state: State, from: Option<Place>) -> Self {
        let from = from.unwrap_or_else(|| state.feed().head().into());
        let mut follower = state.feed().follow(from.position);
        let now = Past { process: state.inner.process, told: follower.told() };
        if from.past.is_some_and(|past| past != now) {
            // What was told of the past meanwhile can't be told again.
            follower.resync();
        }
        let begins = Place { past: from.past.or(Some(now)), ..from };
        Self { state, follower, begins }
    }

    fn place(&self) -> Place {
        let past = Past { process: self.state.inner.process, told: self.follower.told() };
        Place { position: self.follower.position(), past: Some(past) }
    }

    /// The state of the connection to the master.
    fn state(&self) -> BytesMut {
        let state = self.state.feed().state().borrow().clone();
        sse::event("state", Some(&self.begins), &json(&state))
    }

    fn encode(&self, item: &Item) -> BytesMut {
        let place = self.place();
        let event = |name, data: &[u8]| sse::event(name, Some(&place), data);
        match item {
            Item::Record(record) => {
                // More may have been read than was handed out.
                let place = Place { position: record.position, ..place };
                let newest = self.state.feed().tail_begins();
                let json = self.state.inner.encoded.json(record, newest);
                sse::event("record", Some(&place), &json)
            }
            Item::Live(live) => event("live", &json(live)),
            Item::State(state) => event("state", &json(state)),
            Item::History(build) => event("history", &json(build)),
            Item::HistoryChange(change) => event("historyChange", &json(change)),
            Item::Resync => event("resync", b"null"),
        }
    }
}

async fn next(mut reader: Reader) -> Option<(BytesMut, Reader)> {
    let text = tokio::select! {
        biased;
        () = reader.state.inner.stop.cancelled() => return None,
        item = reader.follower.next() => reader.encode(&item),
        () = tokio::time::sleep(sse::KEEP_ALIVE) => sse::comment(),
    };
    Some((text, reader))
}

fn json(value: &impl Serialize) -> Vec<u8> {
    // Text, numbers and maps with such keys can't fail.
    serde_json::to_vec(value).unwrap_or_default()
}
