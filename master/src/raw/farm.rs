//! Builders, workers, and the master itself.

use super::nullable;
use model::{Builder, BuilderId, Worker, WorkerId};
use serde::Deserialize;
use serde_json::Value;
use std::collections::BTreeMap;

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
