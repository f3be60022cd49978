//! What is so on a master at one moment: all that is not history.

use crate::{
    Build, BuildId, Builder, BuilderId, Buildset, BuildsetId, ChangeId, Outcome, Request,
    RequestId, Worker, WorkerId,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet};

/// The state that events change. Finished builds and changes are history and not in here,
/// so its size follows the master's configuration and load, not its age.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct World {
    /// Title of the master's project.
    pub title: String,
    /// The project's home page.
    pub title_url: String,
    /// The master's own pages.
    pub buildbot_url: String,
    /// Buildbot's version.
    pub version: String,
    /// Builders by key.
    pub builders: BTreeMap<BuilderId, Builder>,
    /// Workers by key.
    pub workers: BTreeMap<WorkerId, Worker>,
    /// Builds that run, as far as they are known.
    pub open: BTreeMap<BuildId, Build>,
    /// Requests that wait or run.
    pub requests: BTreeMap<RequestId, Request>,
    /// Buildsets of those requests and builds.
    pub buildsets: BTreeMap<BuildsetId, Buildset>,
    /// Each builder's latest finished builds, ordered by number, at most [`RECENT`] of them.
    pub recent: BTreeMap<BuilderId, Vec<Finished>>,
    /// Where catch-up begins.
    pub highest: Highest,
    /// What catch-up reads besides. Readers are not told: it is nothing to them.
    #[serde(skip)]
    pub waiting: Waiting,
}

/// Keys, up to the highest, of what was seen and is not journaled yet since details of it are still
/// missing. Others may have been journaled far above it by then, so no number says where it would
/// be found again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Waiting {
    pub builds: BTreeSet<BuildId>,
    pub buildsets: BTreeSet<BuildsetId>,
    pub requests: BTreeSet<RequestId>,
}

/// How many finished builds of a builder the world remembers.
pub const RECENT: usize = 64;

/// What later builds of a builder need to know of an earlier one.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Finished {
    /// The build's number.
    pub number: u64,
    /// How it ended.
    pub outcome: Outcome,
    /// The newest change that was built, by codebase: where the changes of a later build begin.
    #[serde(default)]
    pub heads: BTreeMap<String, ChangeId>,
}

impl World {
    /// The outcome of the highest finished build of `builder` below `number`, if it is remembered.
    pub fn previous(&self, builder: BuilderId, number: u64) -> Option<Outcome> {
        let recent = self.recent.get(&builder)?;
        recent.iter().rev().find(|f| f.number < number).map(|f| f.outcome)
    }

    /// Remembers a finished build for those that follow.
    pub fn remember(&mut self, builder: BuilderId, finished: Finished) {
        let recent = self.recent.entry(builder).or_default();
        match recent.binary_search_by_key(&finished.number, |f| f.number) {
            Ok(at) => recent[at] = finished,
            Err(at) => recent.insert(at, finished),
        }
        if recent.len() > RECENT {
            recent.remove(0);
        }
    }
}

/// The highest keys seen, where catch-up begins (a little below them).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Highest {
    pub build: BuildId,
    pub change: ChangeId,
    pub buildset: BuildsetId,
    pub request: RequestId,
    /// Which of the 64 keys up to the highest build were seen: bit 0 is the highest itself.
    /// Masters commit out of order; a key seen is never an event again.
    pub seen_builds: u64,
    /// The same of changes.
    pub seen_changes: u64,
    /// The same of buildsets.
    pub seen_buildsets: u64,
    /// The same of requests.
    pub seen_requests: u64,
    /// Builds below this key are still to be loaded as history; 0 when none are.
    pub history: BuildId,
}
