//! Buildsets and build requests.

use crate::{
    BuildId, BuilderId, BuildsetId, Outcome, Properties, RequestId, SourceStamp, Timestamp,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Requests that were made together, for one reason: `/api/v2/buildsets/N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Buildset {
    /// Its key.
    pub id: BuildsetId,
    /// Why it was made.
    pub reason: String,
    /// Name of the scheduler that made it.
    pub scheduler: Option<String>,
    /// When it was made.
    pub submitted_at: Timestamp,
    /// When its last request was done, derived from the requests: the master leaves
    /// buildsets open for ever when it is killed.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// One for each codebase.
    pub source_stamps: Vec<SourceStamp>,
    /// Properties of the buildset; `owners` is here (a build may overwrite its own).
    pub properties: Properties,
    /// The build that triggered it.
    pub parent_build: Option<BuildId>,
    /// The build that it repeats.
    pub rebuilt_build: Option<BuildId>,
    /// Its builds that were journaled as finished, in that order, those that were retried among
    /// them. Only the end of a buildset tells them; a build's own buildset has none.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub builds: Vec<BuildId>,
}

/// A request for one build on one builder: `/api/v2/buildrequests/N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Request {
    /// Its key.
    pub id: RequestId,
    /// The buildset that it belongs to.
    pub buildset: BuildsetId,
    /// The builder that it waits for.
    pub builder: BuilderId,
    /// When it was made.
    pub submitted_at: Timestamp,
    /// Whether a master works on it.
    pub claimed: bool,
    /// When it was done or cancelled.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
}
