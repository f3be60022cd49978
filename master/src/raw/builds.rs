//! Builds, steps, logs.

use super::{nullable, outcome, properties, seconds};
use model::{
    Build, BuildId, BuilderId, BuilderRef, Log, LogId, LogKind, Properties, RequestId, Step,
    StepId, StepUrl, Timestamp, WorkerId, WorkerRef,
};
use serde::Deserialize;

/// The step that a master adds for itself; the specification's pages don't have it.
pub(crate) const PREPARATION: &str = "worker_preparation";

#[derive(Deserialize)]
pub(crate) struct RawBuild {
    pub buildid: u64,
    #[serde(default, deserialize_with = "nullable")]
    number: u64,
    #[serde(default, deserialize_with = "nullable")]
    builderid: u64,
    #[serde(default, deserialize_with = "nullable")]
    buildrequestid: u64,
    #[serde(default)]
    workerid: Option<u64>,
    #[serde(default, deserialize_with = "seconds")]
    started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "seconds")]
    complete_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    complete: bool,
    #[serde(default, deserialize_with = "nullable")]
    state_string: String,
    #[serde(default)]
    results: Option<i64>,
    #[serde(default, deserialize_with = "properties")]
    properties: Properties,
}

impl From<RawBuild> for Build {
    fn from(raw: RawBuild) -> Self {
        let started_at = raw.started_at.unwrap_or_default();
        Self {
            id: BuildId(raw.buildid),
            number: raw.number,
            builder: BuilderRef { id: BuilderId(raw.builderid), ..BuilderRef::default() },
            request: RequestId(raw.buildrequestid),
            worker: raw.workerid.map(|id| WorkerRef { id: WorkerId(id), name: String::new() }),
            started_at,
            complete_at: raw.complete.then(|| raw.complete_at.unwrap_or(started_at)),
            outcome: outcome(raw.complete, raw.results),
            text: raw.state_string,
            properties: raw.properties,
            ..Self::default()
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawStep {
    stepid: u64,
    pub buildid: u64,
    #[serde(default, deserialize_with = "nullable")]
    number: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "seconds")]
    started_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "seconds")]
    complete_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    complete: bool,
    #[serde(default, deserialize_with = "nullable")]
    state_string: String,
    #[serde(default)]
    results: Option<i64>,
    #[serde(default, deserialize_with = "nullable")]
    urls: Vec<RawUrl>,
    #[serde(default, deserialize_with = "nullable")]
    hidden: bool,
}

#[derive(Deserialize)]
struct RawUrl {
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    url: String,
}

impl From<RawStep> for Step {
    fn from(raw: RawStep) -> Self {
        let end = raw.complete_at.or(raw.started_at).unwrap_or_default();
        Self {
            id: StepId(raw.stepid),
            number: raw.number,
            hidden: raw.hidden || raw.name == PREPARATION,
            name: raw.name,
            text: raw.state_string,
            started_at: raw.started_at,
            complete_at: raw.complete.then_some(end),
            outcome: outcome(raw.complete, raw.results),
            urls: raw.urls.into_iter().map(|u| StepUrl { name: u.name, url: u.url }).collect(),
            logs: Vec::new(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawLog {
    logid: u64,
    pub stepid: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    slug: String,
    #[serde(default, deserialize_with = "nullable")]
    complete: bool,
    #[serde(default, deserialize_with = "nullable")]
    num_lines: u64,
    #[serde(default, rename = "type", deserialize_with = "nullable")]
    kind: String,
}

impl From<RawLog> for Log {
    fn from(raw: RawLog) -> Self {
        Self {
            id: LogId(raw.logid),
            name: raw.name,
            slug: raw.slug,
            kind: LogKind::from_letter(&raw.kind),
            lines: raw.num_lines,
            complete: raw.complete,
        }
    }
}
