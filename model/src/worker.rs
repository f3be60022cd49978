//! Workers (0.8: buildslaves).

use crate::{BuilderId, WorkerId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A worker: `/api/v2/workers/N`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Worker {
    /// Its key.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
    /// Whether it is connected to a master.
    pub connected: bool,
    /// Whether it takes no new builds.
    pub paused: bool,
    /// Why it is paused.
    pub pause_reason: Option<String>,
    /// Whether it shuts down once it is idle.
    pub graceful: bool,
    /// `Admin` from the worker's own files.
    pub admin: String,
    /// Host description from the worker's own files.
    pub host: String,
    /// The worker's version of Buildbot.
    pub version: String,
    /// Builders that may use it.
    pub builders: Vec<BuilderId>,
}
