//! Where the client of the master hands in its batches.

use master::{Batch, Known, MasterState, Sink, SinkError};
use model::{Live, World};

/// The journal's side of [`master::Sink`].
#[derive(Debug)]
pub struct Ingest {}

impl Sink for Ingest {
    fn known(&self) -> Known {
        Known::default()
    }

    async fn commit(&mut self, _batch: Batch, _world: &World) -> Result<(), SinkError> {
        Err(SinkError::Closed)
    }

    fn live(&self, _live: Live) {}

    fn state(&self, _state: MasterState) {}
}
