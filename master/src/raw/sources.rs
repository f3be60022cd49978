//! Changes, source stamps, buildsets, requests.

use super::{nullable, outcome, properties, seconds};
use model::{
    BuildId, BuilderId, Buildset, BuildsetId, Change, ChangeId, Patch, Properties, Request,
    RequestId, SourceStamp, SourceStampId, Timestamp,
};
use serde::Deserialize;

/// Most files of one change.
const MAX_FILES: usize = 10_000;

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
            builds: Vec::new(),
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
