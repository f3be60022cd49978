//! Where the client of the master hands in its batches.

use crate::{
    StoreError,
    feed::Inner,
    publish::News,
    query,
    writer::{Job, Prepared},
};
use master::{Batch, Known, MasterState, Sink, SinkError};
use model::{Live, World};
use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};
use tokio::sync::oneshot;

/// The journal's side of [`master::Sink`]: events, history and rows of the world of a batch go
/// to disk in one transaction, then to all readers.
#[derive(Debug)]
pub struct Ingest {
    feed: Arc<Inner>,
    number: u64,
    /// Whether the caller was told what is known. A caller that was not would take events for
    /// history, so it is not heard.
    known: AtomicBool,
}

impl Ingest {
    pub(crate) fn new(feed: Arc<Inner>) -> Self {
        let number = feed.shared.ingest.fetch_add(1, Ordering::AcqRel) + 1;
        Self { feed, number, known: AtomicBool::new(true) }
    }

    fn is_newest(&self) -> bool {
        self.feed.shared.ingest.load(Ordering::Acquire) == self.number
    }
}

impl Sink for Ingest {
    fn known(&self) -> Known {
        let known = self.feed.shared.store.read(query::known);
        self.known.store(known.is_ok(), Ordering::Release);
        known.unwrap_or_else(|error| {
            tracing::error!(%error, "the state of the master could not be read");
            Known::default()
        })
    }

    async fn commit(&mut self, batch: Batch, world: &World) -> Result<(), SinkError> {
        if !self.is_newest() {
            return Err(SinkError::Closed);
        }
        if !self.known.load(Ordering::Acquire) {
            return Err(SinkError::Write("the state before it could not be read".to_owned()));
        }
        if batch.is_empty() {
            return Ok(());
        }
        let prepared = Prepared::new(batch, world).map_err(sink_error)?;
        let (reply, answer) = oneshot::channel();
        self.feed.send(Job::Ingest(Box::new(prepared), reply)).map_err(sink_error)?;
        answer.await.unwrap_or(Err(StoreError::Closed)).map_err(sink_error)
    }

    fn live(&self, live: Live) {
        if self.is_newest() {
            self.feed.shared.publisher.pass(News::Live(Arc::new(live)));
        }
    }

    fn state(&self, state: MasterState) {
        if self.is_newest() {
            self.feed.shared.metrics.state(state.kind);
            self.feed.shared.state.send_replace(state.clone());
            self.feed.shared.publisher.pass(News::State(state));
        }
    }
}

fn sink_error(error: StoreError) -> SinkError {
    match error {
        StoreError::Closed => SinkError::Closed,
        other => SinkError::Write(other.to_string()),
    }
}
