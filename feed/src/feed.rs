//! The feed itself.

use crate::{
    BuildQuery, Consumer, ConsumerError, ConsumerOptions, ConsumerStatus, Follower, Ingest,
    LogError, OpenError, Options, Parked, ReadError, Snapshot, SnapshotLimits, StoreError,
};
use master::{LogChunk, LogSource, MasterState};
use model::{Build, BuildId, Change, ChangeId, LogId, Position};
use std::{path::Path, sync::Arc};
use tokio::sync::watch;

/// The journal of one master; clones share it.
#[derive(Clone, Debug)]
pub struct Feed {
    state: Arc<watch::Sender<MasterState>>,
}

impl Feed {
    /// Opens or makes the journal in `dir`.
    ///
    /// # Errors
    /// [`OpenError`]; a damaged journal is moved aside and is no error.
    pub fn open(_dir: &Path, _options: Options) -> Result<Self, OpenError> {
        Ok(Self { state: Arc::new(watch::Sender::new(MasterState::default())) })
    }

    /// Where the client of the master hands in its batches. Only the newest is heard.
    pub fn ingest(&self) -> Ingest {
        Ingest {}
    }

    /// Gives the feed somebody to ask for the text of logs.
    pub fn set_log_source(&self, _source: Arc<dyn LogSource>) {}

    /// How the connection to the master stands.
    pub fn state(&self) -> watch::Receiver<MasterState> {
        self.state.subscribe()
    }

    /// The position of the newest record.
    pub fn head(&self) -> Position {
        Position::default()
    }

    /// The master's UID, as in every [`model::Identity`].
    pub fn master_uid(&self) -> &str {
        ""
    }

    /// What is so now, with the newest of the past.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn snapshot(&self, _limits: SnapshotLimits) -> Result<Snapshot, ReadError> {
        Err(StoreError::Closed)
    }

    /// Reads on from a position. History of the past comes from this call on, so a reader that
    /// wants all of it uses [`Feed::subscribe`].
    pub fn follow(&self, _from: Position) -> Follower {
        Follower {}
    }

    /// A snapshot, and a follower that misses nothing after it.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn subscribe(
        &self,
        limits: SnapshotLimits,
    ) -> Result<(Snapshot, Follower), ReadError> {
        Ok((self.snapshot(limits).await?, Follower {}))
    }

    /// A finished build.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn build(&self, _id: BuildId) -> Result<Option<Build>, ReadError> {
        Err(StoreError::Closed)
    }

    /// Finished builds, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn builds(&self, _query: BuildQuery) -> Result<Vec<Build>, ReadError> {
        Err(StoreError::Closed)
    }

    /// A change.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn change(&self, _id: ChangeId) -> Result<Option<Change>, ReadError> {
        Err(StoreError::Closed)
    }

    /// At most `limit` changes below `below`, newest first.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn changes(
        &self,
        _below: Option<ChangeId>,
        _limit: usize,
    ) -> Result<Vec<Change>, ReadError> {
        Err(StoreError::Closed)
    }

    /// Lines of a log, from the cache on disk or from the master; at most 10 000 at once.
    ///
    /// # Errors
    /// [`LogError`].
    pub async fn log(&self, _log: LogId, _first: u64, _limit: u64) -> Result<LogChunk, LogError> {
        Err(LogError::NoSource)
    }

    /// Opens a durable consumer. A new one starts at the head.
    ///
    /// # Errors
    /// [`ConsumerError::Bounds`] for a name that is empty or longer than 256 bytes;
    /// [`ConsumerError::Store`].
    pub async fn consumer(
        &self,
        _name: &str,
        _options: ConsumerOptions,
    ) -> Result<Consumer, ConsumerError> {
        Err(StoreError::Closed.into())
    }

    /// Figures of all consumers, by name.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn consumers(&self) -> Result<Vec<ConsumerStatus>, ReadError> {
        Err(StoreError::Closed)
    }

    /// Forgets a consumer with its state and dead letters.
    ///
    /// # Errors
    /// [`ConsumerError::Store`].
    pub async fn forget(&self, _name: &str) -> Result<(), ConsumerError> {
        Err(StoreError::Closed.into())
    }

    /// Records that a consumer gave up, oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`ReadError`].
    pub async fn dead_letters(&self, _name: &str, _limit: usize) -> Result<Vec<Parked>, ReadError> {
        Err(StoreError::Closed)
    }

    /// Has a consumer's dead letter handed out again.
    ///
    /// # Errors
    /// [`ConsumerError::NotFound`], [`ConsumerError::Store`].
    pub async fn replay(&self, _name: &str, _position: Position) -> Result<(), ConsumerError> {
        Err(StoreError::Closed.into())
    }

    /// Writes what is pending and closes the file; everything after that is `Closed`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn close(&self) -> Result<(), StoreError> {
        Ok(())
    }
}
