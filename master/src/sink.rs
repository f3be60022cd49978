//! Where assembled events go.

use crate::MasterState;
use model::{
    Build, BuildId, BuilderId, BuildsetId, Change, Event, Live, RequestId, Timestamp, WorkerId,
    World,
};
use serde::{Deserialize, Serialize};
use std::{collections::BTreeSet, future::Future, time::SystemTime};

/// Where batches go; the feed's journal.
pub trait Sink: Send {
    /// The state to start from.
    fn known(&self) -> Known;

    /// Takes a batch; returns only when it is on disk. `world` is the state after the batch,
    /// of which `batch.dirty` tells the rows to write.
    ///
    /// # Errors
    /// After an error nothing of the batch may have been taken. The caller starts again
    /// from [`Sink::known`].
    fn commit(
        &mut self,
        batch: Batch,
        world: &World,
    ) -> impl Future<Output = Result<(), SinkError>> + Send;

    /// Takes a passing sign of life; never blocks.
    fn live(&self, live: Live);

    /// Takes a change of the connection's state; never blocks.
    fn state(&self, state: MasterState);
}

/// Why a batch was not taken.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SinkError {
    /// The disk is full or fails; may heal.
    #[error("the journal cannot be written: {0}")]
    Write(String),
    /// The journal was closed for good.
    #[error("the journal is closed")]
    Closed,
}

/// What a journal knows of its master.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The state after the last batch.
    pub world: World,
    /// The database epoch, from 0 on.
    pub database: u32,
    /// Builds by which the master's database is known again.
    pub fingerprints: Vec<Fingerprint>,
    /// Whether nothing was ever written.
    pub fresh: bool,
}

/// By what a build is known again: another database has another build of the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fingerprint {
    /// The build's key.
    pub build: BuildId,
    /// The request that it served.
    pub request: RequestId,
    /// When it began.
    pub started_at: Timestamp,
}

impl Fingerprint {
    /// Of a build's own row.
    pub fn of(build: &Build) -> Self {
        Self { build: build.id, request: build.request, started_at: build.started_at }
    }
}

/// What is to be written at once.
#[derive(Clone, Debug, Default)]
pub struct Batch {
    /// Events, in the order to journal them.
    pub events: Vec<Event>,
    /// Finished builds of the past that are no events.
    pub history: Vec<Build>,
    /// Changes of the past that are no events.
    pub history_changes: Vec<Change>,
    /// Rows of the world that differ from those of the batch before.
    pub dirty: Dirty,
    /// Whether the master has another database than before: the epoch goes up by one and
    /// all rows of the world are replaced, before anything else in this batch.
    pub new_database: bool,
    /// Replaces the stored fingerprints.
    pub fingerprints: Option<Vec<Fingerprint>>,
    /// When the first frame or answer came that this follows from, for traces.
    pub seen: Option<SystemTime>,
}

impl Batch {
    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
            && self.history.is_empty()
            && self.history_changes.is_empty()
            && self.dirty.is_empty()
            && !self.new_database
            && self.fingerprints.is_none()
    }
}

/// Rows of a [`World`] that changed: to be written, or deleted where they are no longer in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Dirty {
    /// Title, addresses, version, highest keys.
    pub meta: bool,
    /// Of [`World::builders`].
    pub builders: BTreeSet<BuilderId>,
    /// Of [`World::workers`].
    pub workers: BTreeSet<WorkerId>,
    /// Of [`World::open`].
    pub open: BTreeSet<BuildId>,
    /// Of [`World::requests`].
    pub requests: BTreeSet<RequestId>,
    /// Of [`World::buildsets`].
    pub buildsets: BTreeSet<BuildsetId>,
    /// Of [`World::recent`].
    pub recent: BTreeSet<BuilderId>,
}

impl Dirty {
    /// Whether no row changed.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Takes over the rows of `other`.
    pub fn merge(&mut self, other: Self) {
        let Self { meta, builders, workers, open, requests, buildsets, recent } = other;
        self.meta |= meta;
        self.builders.extend(builders);
        self.workers.extend(workers);
        self.open.extend(open);
        self.requests.extend(requests);
        self.buildsets.extend(buildsets);
        self.recent.extend(recent);
    }
}
