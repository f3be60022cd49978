//! `GET /v1/consumers/{name}/events`: records of a consumer, as a stream or by long poll.

use super::{
    State,
    answer::{Params, Segments, json},
    slots::{InUse, Slot},
    sse,
};
use crate::{
    ConsumerError,
    http::api::{Backlog, Code, ConsumeQuery, Problem, consumed},
};
use axum::{
    extract::State as Shared,
    http::{HeaderMap, header},
    response::Response,
};
use bytes::BytesMut;
use futures_util::{StreamExt as _, stream};
use model::Record;
use std::{collections::VecDeque, sync::Arc, time::Duration};
use tokio::sync::watch;

/// How long a poll waits if it does not say, and at most: seconds.
const WAIT: (u64, u64) = (30, 60);
/// How many records a poll is answered with if it does not say, and at most; and after how many
/// bytes there are no more.
const LIMIT: (usize, usize) = (100, 1000);
const POLL_BYTES: usize = 1 << 20;
/// Most records that are taken from a consumer at a time.
const FEW: usize = 32;

pub(super) async fn events(
    Shared(state): Shared<State>,
    Segments(name): Segments<String>,
    Params(query): Params<ConsumeQuery>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let slot = state.inner.slots.get(&name, query.generation)?;
    let turn = slot.take_turn();
    let reader = Reader { state, slot, turn, taken: VecDeque::new() };
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    if accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        let slot = reader.slot.share();
        // At once, so that the reader sees that it is connected.
        let first = stream::once(std::future::ready(sse::comment()));
        let events = first.chain(stream::unfold(Some(reader), next_events));
        return Ok(sse::answer(events.boxed(), move || Some(backlog(&slot))));
    }
    poll(reader, query).await
}

struct Reader {
    state: State,
    slot: InUse,
    turn: watch::Receiver<u64>,
    /// Handed out by the consumer and not yet written.
    taken: VecDeque<Arc<Record>>,
}

/// Why there is no record.
enum No {
    /// None came in time.
    Time,
    /// There will be none.
    End(Problem),
}

impl Reader {
    /// Takes the next records, at most `most`, if there is one within `time`.
    async fn take(&mut self, most: usize, time: Duration) -> Result<(), No> {
        let taken = tokio::select! {
            biased;
            () = self.state.inner.stop.cancelled() => {
                let message = "the feed ends: connect again in a while";
                Err(No::End(Problem::new(Code::Unavailable, message)))
            }
            _ = self.turn.changed() => Err(No::End(self.slot.replaced())),
            taken = records(&self.slot, most) => taken.map_err(|error| No::End(error.into())),
            () = tokio::time::sleep(time) => Err(No::Time),
        };
        self.taken = taken?.into();
        Ok(())
    }

    /// What was taken as events, as much as is written at once.
    fn write(&mut self) -> BytesMut {
        let newest = self.state.feed().tail_begins();
        let mut text = BytesMut::new();
        while text.len() < sse::AT_ONCE
            && let Some(record) = self.taken.pop_front()
        {
            let json = self.state.inner.encoded.json(&record, newest);
            sse::write(&mut text, consumed::RECORD, Some(&record.position), &json);
        }
        text
    }
}

async fn records(slot: &Slot, most: usize) -> Result<Vec<Arc<Record>>, ConsumerError> {
    slot.consumer.lock().await.next_few(most).await
}

async fn next_events(reader: Option<Reader>) -> Option<(BytesMut, Option<Reader>)> {
    let mut reader = reader?;
    if !reader.taken.is_empty() {
        return Some((reader.write(), Some(reader)));
    }
    match reader.take(FEW, sse::KEEP_ALIVE).await {
        Ok(()) => Some((reader.write(), Some(reader))),
        Err(No::Time) => Some((sse::comment(), Some(reader))),
        Err(No::End(problem)) => {
            let data = serde_json::to_vec(&problem).unwrap_or_default();
            Some((sse::event(consumed::END, None, &data), None))
        }
    }
}

fn backlog(slot: &Slot) -> BytesMut {
    let data = serde_json::to_vec(&Backlog { backlog: slot.handle.backlog() });
    sse::event(consumed::BACKLOG, None, &data.unwrap_or_default())
}

/// Answers with [`crate::http::api::Records`].
async fn poll(mut reader: Reader, query: ConsumeQuery) -> Result<Response, Problem> {
    let limit = query.limit.unwrap_or(LIMIT.0).clamp(1, LIMIT.1);
    let mut wait = Duration::from_secs(query.wait.unwrap_or(WAIT.0).min(WAIT.1));
    let mut body = b"{\"records\":[".to_vec();
    let mut count = 0;
    while count < limit && body.len() < POLL_BYTES {
        match reader.take(FEW.min(limit - count), wait).await {
            Ok(()) => {
                let newest = reader.state.feed().tail_begins();
                for record in reader.taken.drain(..) {
                    if count > 0 {
                        body.push(b',');
                    }
                    body.extend_from_slice(&reader.state.inner.encoded.json(&record, newest));
                    count += 1;
                }
            }
            // What was handed out is answered first; the next request hears of the problem.
            Err(No::End(problem)) if count == 0 => return Err(problem),
            Err(_) => break,
        }
        // Only what is there already.
        wait = Duration::ZERO;
    }
    body.extend_from_slice(format!("],\"backlog\":{}}}", reader.slot.handle.backlog()).as_bytes());
    Ok(json(body))
}
