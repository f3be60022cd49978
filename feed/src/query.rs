//! Questions that readers ask, and what they get.

use model::{Build, BuilderId, Change, Position, World};
use serde::{Deserialize, Serialize};

/// How much of the past a snapshot holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct SnapshotLimits {
    /// Newest finished builds of each builder.
    pub builds_per_builder: usize,
    /// Newest finished builds of all builders together.
    pub builds_total: usize,
    /// Newest changes.
    pub changes: usize,
}

impl Default for SnapshotLimits {
    fn default() -> Self {
        Self { builds_per_builder: 25, builds_total: 2_000, changes: 500 }
    }
}

/// What is so at one position of the journal.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The last record that is part of it: follow from here.
    pub position: Position,
    /// The database epoch of the master.
    pub database: u32,
    /// The present state.
    pub world: World,
    /// Finished builds, highest key first.
    pub builds: Vec<Build>,
    /// Changes, highest key first.
    pub changes: Vec<Change>,
}

/// Which finished builds to read: highest number (of one builder) or key (of all) first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct BuildQuery {
    /// Only builds of this builder.
    pub builder: Option<BuilderId>,
    /// Only builds below this number of the builder; below this key where no builder is given.
    pub below: Option<u64>,
    /// Most builds in the answer; 0 and anything above [`BuildQuery::MAX`] mean that bound.
    pub limit: usize,
}

impl BuildQuery {
    /// Most builds in one answer.
    pub const MAX: usize = 500;
}
