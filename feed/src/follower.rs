//! Ephemeral readers: pages and live updates.

use master::MasterState;
use model::{Build, Change, Live, Record};
use std::sync::Arc;

/// What a follower sees.
#[derive(Clone, Debug)]
pub enum Item {
    /// A journaled event, in order, each once.
    Record(Arc<Record>),
    /// A passing sign of life.
    Live(Arc<Live>),
    /// A finished build of the past.
    History(Arc<Build>),
    /// A change of the past.
    HistoryChange(Arc<Change>),
    /// The connection to the master changed.
    State(MasterState),
    /// Something was missed that cannot be read on (or the master has a new database): forget
    /// everything and take a new snapshot. This follower goes on from before that snapshot, so
    /// nothing is lost between; records at or below its position may be skipped.
    Resync,
}

/// Reads on from a position; see [`crate::Feed::follow`].
#[derive(Debug)]
pub struct Follower {}

impl Follower {
    /// The next item; waits for it, for ever once the feed is closed. Safe to cancel.
    pub async fn next(&mut self) -> Item {
        std::future::pending().await
    }
}
