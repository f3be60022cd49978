//! What Buildbot's API v2 sends, and its translation into the model.
//!
//! Unknown fields are ignored, missing and null ones are their defaults: only keys must be
//! there. Source: <https://docs.buildbot.net/4.3.0/developer/raml/>.

use model::{
    Build, BuildId, Builder, BuilderId, BuilderRef, Buildset, BuildsetId, Change, ChangeId, Log,
    LogId, LogKind, Outcome, Patch, Properties, Property, Request, RequestId, SourceStamp,
    SourceStampId, Step, StepId, StepUrl, Timestamp, Worker, WorkerId, WorkerRef,
};
use serde::{Deserialize, Deserializer, de::DeserializeOwned};
use serde_json::Value;
use std::collections::BTreeMap;

/// Most bytes of one property's value; a longer one is replaced by a note.
const MAX_PROPERTY: usize = 64 * 1024;
/// Most files of one change.
const MAX_FILES: usize = 10_000;
/// The step that a master adds for itself; the specification's pages don't have it.
const PREPARATION: &str = "worker_preparation";

/// Null is the default.
fn nullable<'de, D: Deserializer<'de>, T: Deserialize<'de> + Default>(d: D) -> Result<T, D::Error> {
    Ok(Option::<T>::deserialize(d)?.unwrap_or_default())
}

/// Whole seconds; some sources send fractions.
fn seconds<'de, D: Deserializer<'de>>(d: D) -> Result<Option<Timestamp>, D::Error> {
    let number = Option::<serde_json::Number>::deserialize(d)?;
    #[allow(clippy::cast_possible_truncation, reason = "float casts saturate")]
    Ok(number.and_then(|n| n.as_i64().or_else(|| n.as_f64().map(|f| f as i64))).map(Timestamp))
}

/// Properties as `{name: [value, source]}`; anything else of them is left out.
fn properties<'de, D: Deserializer<'de>>(d: D) -> Result<Properties, D::Error> {
    let all = Option::<BTreeMap<String, Value>>::deserialize(d)?.unwrap_or_default();
    Ok(properties_of(all))
}

fn properties_of(all: BTreeMap<String, Value>) -> Properties {
    let one = |(name, value): (String, Value)| {
        let Value::Array(pair) = value else { return None };
        let mut pair = pair.into_iter();
        let value = pair.next()?;
        let source = pair.next().and_then(|s| s.as_str().map(str::to_owned)).unwrap_or_default();
        Some((name, Property(bounded(value), source)))
    };
    Properties(all.into_iter().filter_map(one).collect())
}

/// Cheap for what is common: only strings, lists and maps are measured.
fn bounded(value: Value) -> Value {
    let length = match &value {
        Value::String(text) => text.len(),
        Value::Array(_) | Value::Object(_) => value.to_string().len(),
        _ => 0,
    };
    if length <= MAX_PROPERTY {
        return value;
    }
    Value::String(format!("({length} bytes, left out)"))
}

/// The outcome of something complete: an unknown code is an exception.
fn outcome(complete: bool, code: Option<i64>) -> Option<Outcome> {
    complete.then(|| code.and_then(Outcome::from_code).unwrap_or(Outcome::Exception))
}

/// A list as `{"builds": [...], "meta": {...}}`: the field's rows. Rows that cannot be read
/// are an error, since a caller would take them for absent.
///
/// # Errors
/// What is wrong with the answer.
pub(crate) fn rows<T: DeserializeOwned>(mut body: Value, field: &str) -> Result<Vec<T>, String> {
    let list = body.get_mut(field).map(Value::take).ok_or_else(|| format!("it has no {field}"))?;
    serde_json::from_value(list).map_err(|e| format!("{field}: {e}"))
}

/// `m` of a frame, or a row.
pub(crate) fn row<T: DeserializeOwned>(body: Value) -> Result<T, String> {
    serde_json::from_value(body).map_err(|e| e.to_string())
}

/// `m` of `builds/N/properties/update`, or the answer of `buildsets/N/properties`.
pub(crate) fn property_map(body: Value) -> Result<Properties, String> {
    row::<BTreeMap<String, Value>>(body).map(properties_of)
}

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

#[derive(Deserialize)]
pub(crate) struct RawChange {
    pub changeid: u64,
    #[serde(default, deserialize_with = "nullable")]
    author: String,
    #[serde(default)]
    committer: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    comments: String,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default)]
    revlink: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    when_timestamp: Option<Timestamp>,
    #[serde(default)]
    category: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    repository: String,
    #[serde(default, deserialize_with = "nullable")]
    codebase: String,
    #[serde(default, deserialize_with = "nullable")]
    project: String,
    #[serde(default, deserialize_with = "nullable")]
    files: Vec<String>,
    #[serde(default, deserialize_with = "properties")]
    properties: Properties,
    #[serde(default)]
    sourcestamp: Option<RawSourceStamp>,
}

impl From<RawChange> for Change {
    fn from(mut raw: RawChange) -> Self {
        raw.files.truncate(MAX_FILES);
        Self {
            id: ChangeId(raw.changeid),
            author: raw.author,
            committer: raw.committer,
            comments: raw.comments,
            branch: raw.branch,
            revision: raw.revision,
            revlink: raw.revlink.filter(|link| !link.is_empty()),
            when: raw.when_timestamp.unwrap_or_default(),
            category: raw.category,
            repository: raw.repository,
            codebase: raw.codebase,
            project: raw.project,
            files: raw.files,
            properties: raw.properties,
            source_stamp: SourceStampId(raw.sourcestamp.map_or(0, |s| s.ssid)),
        }
    }
}

#[derive(Deserialize)]
struct RawSourceStamp {
    #[serde(default, deserialize_with = "nullable")]
    ssid: u64,
    #[serde(default)]
    branch: Option<String>,
    #[serde(default)]
    revision: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    repository: String,
    #[serde(default, deserialize_with = "nullable")]
    project: String,
    #[serde(default, deserialize_with = "nullable")]
    codebase: String,
    #[serde(default)]
    patch: Option<RawPatch>,
}

#[derive(Deserialize)]
struct RawPatch {
    #[serde(default, deserialize_with = "nullable")]
    patchid: u64,
    #[serde(default, deserialize_with = "nullable")]
    body: String,
    #[serde(default, deserialize_with = "nullable")]
    level: i64,
    #[serde(default, deserialize_with = "nullable")]
    subdir: String,
    #[serde(default, deserialize_with = "nullable")]
    author: String,
    #[serde(default, deserialize_with = "nullable")]
    comment: String,
}

impl From<RawSourceStamp> for SourceStamp {
    fn from(raw: RawSourceStamp) -> Self {
        let patch = raw.patch.map(|p| Patch {
            id: p.patchid,
            body: p.body,
            level: p.level,
            subdir: p.subdir,
            author: p.author,
            comment: p.comment,
        });
        Self {
            id: SourceStampId(raw.ssid),
            branch: raw.branch,
            revision: raw.revision,
            repository: raw.repository,
            project: raw.project,
            codebase: raw.codebase,
            patch,
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawBuildset {
    pub bsid: u64,
    #[serde(default, deserialize_with = "nullable")]
    reason: String,
    #[serde(default)]
    scheduler: Option<String>,
    #[serde(default, deserialize_with = "seconds")]
    submitted_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    complete: bool,
    #[serde(default, deserialize_with = "seconds")]
    complete_at: Option<Timestamp>,
    #[serde(default)]
    results: Option<i64>,
    #[serde(default, deserialize_with = "nullable")]
    sourcestamps: Vec<RawSourceStamp>,
    #[serde(default)]
    parent_buildid: Option<u64>,
    #[serde(default)]
    rebuilt_buildid: Option<u64>,
}

impl From<RawBuildset> for Buildset {
    fn from(raw: RawBuildset) -> Self {
        let submitted_at = raw.submitted_at.unwrap_or_default();
        Self {
            id: BuildsetId(raw.bsid),
            reason: raw.reason,
            scheduler: raw.scheduler,
            submitted_at,
            complete_at: raw.complete.then(|| raw.complete_at.unwrap_or(submitted_at)),
            outcome: outcome(raw.complete, raw.results),
            source_stamps: raw.sourcestamps.into_iter().map(Into::into).collect(),
            properties: Properties::default(),
            parent_build: raw.parent_buildid.map(BuildId),
            rebuilt_build: raw.rebuilt_buildid.map(BuildId),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawRequest {
    pub buildrequestid: u64,
    #[serde(default, deserialize_with = "nullable")]
    buildsetid: u64,
    #[serde(default, deserialize_with = "nullable")]
    builderid: u64,
    #[serde(default, deserialize_with = "seconds")]
    submitted_at: Option<Timestamp>,
    #[serde(default, deserialize_with = "nullable")]
    claimed: bool,
    #[serde(default, deserialize_with = "nullable")]
    complete: bool,
    #[serde(default, deserialize_with = "seconds")]
    complete_at: Option<Timestamp>,
    #[serde(default)]
    results: Option<i64>,
}

impl From<RawRequest> for Request {
    fn from(raw: RawRequest) -> Self {
        let submitted_at = raw.submitted_at.unwrap_or_default();
        Self {
            id: RequestId(raw.buildrequestid),
            buildset: BuildsetId(raw.buildsetid),
            builder: BuilderId(raw.builderid),
            submitted_at,
            claimed: raw.claimed,
            complete_at: raw.complete.then(|| raw.complete_at.unwrap_or(submitted_at)),
            outcome: outcome(raw.complete, raw.results),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawBuilder {
    pub builderid: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default)]
    description: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    tags: Vec<String>,
    #[serde(default)]
    projectid: Option<u64>,
    #[serde(default, deserialize_with = "nullable")]
    masterids: Vec<u64>,
}

impl RawBuilder {
    /// The builder, its project's name looked up.
    pub(crate) fn with(self, projects: &BTreeMap<u64, String>) -> Builder {
        Builder {
            id: BuilderId(self.builderid),
            name: self.name.into(),
            description: self.description,
            tags: self.tags,
            project: self.projectid.and_then(|id| projects.get(&id).cloned()),
            configured: !self.masterids.is_empty(),
        }
    }
}

#[derive(Deserialize)]
pub(crate) struct RawProject {
    pub projectid: u64,
    #[serde(default, deserialize_with = "nullable")]
    pub name: String,
}

#[derive(Deserialize)]
pub(crate) struct RawWorker {
    pub workerid: u64,
    #[serde(default, deserialize_with = "nullable")]
    name: String,
    #[serde(default, deserialize_with = "nullable")]
    paused: bool,
    #[serde(default)]
    pause_reason: Option<String>,
    #[serde(default, deserialize_with = "nullable")]
    graceful: bool,
    #[serde(default, deserialize_with = "nullable")]
    connected_to: Vec<Value>,
    #[serde(default, deserialize_with = "nullable")]
    configured_on: Vec<RawConfigured>,
    #[serde(default, deserialize_with = "nullable")]
    workerinfo: BTreeMap<String, Value>,
}

#[derive(Deserialize)]
struct RawConfigured {
    #[serde(default, deserialize_with = "nullable")]
    builderid: u64,
}

impl From<RawWorker> for Worker {
    fn from(raw: RawWorker) -> Self {
        let info = |name: &str| {
            raw.workerinfo.get(name).and_then(Value::as_str).unwrap_or_default().trim().to_owned()
        };
        let mut builders: Vec<BuilderId> =
            raw.configured_on.iter().map(|c| BuilderId(c.builderid)).collect();
        builders.sort_unstable();
        builders.dedup();
        Self {
            id: WorkerId(raw.workerid),
            connected: !raw.connected_to.is_empty(),
            paused: raw.paused,
            pause_reason: raw.pause_reason,
            graceful: raw.graceful,
            admin: info("admin"),
            host: info("host"),
            version: info("version"),
            name: raw.name,
            builders,
        }
    }
}

/// `/config`: what the master tells its own pages.
#[derive(Deserialize)]
pub(crate) struct RawConfig {
    #[serde(default, deserialize_with = "nullable")]
    title: String,
    #[serde(default, rename = "titleURL", deserialize_with = "nullable")]
    title_url: String,
    #[serde(default, rename = "buildbotURL", deserialize_with = "nullable")]
    buildbot_url: String,
    #[serde(default, deserialize_with = "nullable")]
    versions: Vec<Vec<String>>,
}

impl RawConfig {
    /// Buildbot's version, if it is told.
    pub(crate) fn version(&self) -> Option<&str> {
        let named =
            |v: &&Vec<String>| v.first().is_some_and(|n| n.eq_ignore_ascii_case("buildbot"));
        self.versions.iter().find(named).and_then(|v| v.get(1)).map(String::as_str)
    }
}

impl From<RawConfig> for crate::assembler::Observation {
    fn from(raw: RawConfig) -> Self {
        let version = raw.version().unwrap_or_default().to_owned();
        let RawConfig { title, title_url, buildbot_url, .. } = raw;
        Self::Meta { title, title_url, buildbot_url, version }
    }
}
