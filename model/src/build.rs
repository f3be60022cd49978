//! Builds, their steps and logs.

use crate::{
    BuildId, BuilderId, BuilderName, Buildset, Change, LogId, Outcome, Properties, RequestId,
    StepId, Timestamp, WorkerId, short_name,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The builder of a build, as much as every reader needs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct BuilderRef {
    /// Its key.
    pub id: BuilderId,
    /// Its name.
    pub name: BuilderName,
    /// Its tags when the build was journaled: the specification's categories.
    pub tags: Vec<String>,
}

/// The worker of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct WorkerRef {
    /// Its key.
    pub id: WorkerId,
    /// Its name.
    pub name: String,
}

/// One build with all that a reader may want to say of it.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Build {
    /// Its key in the master's database.
    pub id: BuildId,
    /// Its number on its builder: `/builders/NAME/builds/NUM`.
    pub number: u64,
    /// Its builder.
    pub builder: BuilderRef,
    /// The request that it serves.
    pub request: RequestId,
    /// Its worker.
    pub worker: Option<WorkerRef>,
    /// When it began.
    pub started_at: Timestamp,
    /// When it was done.
    pub complete_at: Option<Timestamp>,
    /// How it ended; `None` while it runs.
    pub outcome: Option<Outcome>,
    /// `state_string`: `build successful`, `failed test`.
    pub text: String,
    /// Steps in the order of their numbers, hidden ones included.
    pub steps: Vec<Step>,
    /// Properties.
    pub properties: Properties,
    /// The buildset: reason, source stamps, owners.
    pub buildset: Buildset,
    /// Changes since the change that this builder had built before, of all codebases, oldest first.
    pub changes: Vec<Change>,
    /// Outcome of the highest lower-numbered finished build of this builder
    /// when this build was journaled; `None` for the first build.
    pub previous: Option<Outcome>,
}

impl Build {
    /// Authors of the changes and of patches, unique and sorted (0.8's responsible users).
    pub fn blamelist(&self) -> Vec<&str> {
        let patches = self.buildset.source_stamps.iter().filter_map(|s| s.patch.as_ref());
        let mut who: Vec<&str> = self
            .changes
            .iter()
            .map(|c| c.author.as_str())
            .chain(patches.map(|p| p.author.as_str()))
            .filter(|who| !who.is_empty())
            .collect();
        who.sort_unstable();
        who.dedup();
        who
    }

    /// The blamelist's names without mail addresses.
    pub fn blamed_names(&self) -> Vec<&str> {
        let mut names: Vec<&str> = self.blamelist().into_iter().map(short_name).collect();
        names.dedup();
        names
    }

    /// Owners: the properties `owners` and `owner` of the buildset, else of the build.
    pub fn owners(&self) -> Vec<String> {
        let of = |p: &Properties| [p.strings("owners"), p.strings("owner")].concat();
        let mut owners = of(&self.buildset.properties);
        if owners.is_empty() {
            owners = of(&self.properties);
        }
        owners.sort_unstable();
        owners.dedup();
        owners
    }

    /// The revision that a codebase was built from: property `got_revision`
    /// (text, or a map by codebase), else the requested one.
    pub fn got_revision(&self, codebase: &str) -> Option<&str> {
        let got = match self.properties.get("got_revision") {
            Some(serde_json::Value::String(one)) if codebase.is_empty() => Some(one.as_str()),
            Some(serde_json::Value::Object(all)) => all.get(codebase).and_then(|v| v.as_str()),
            _ => None,
        };
        got.filter(|rev| !rev.is_empty()).or_else(|| {
            let stamp = self.buildset.source_stamps.iter().find(|s| s.codebase == codebase)?;
            stamp.revision.as_deref()
        })
    }

    /// Whether a source stamp of the build is of `branch`; see [`crate::Selection`] for `trunk`.
    pub fn branches(&self) -> impl Iterator<Item = Option<&str>> {
        self.buildset.source_stamps.iter().map(|s| s.branch.as_deref())
    }

    /// Steps that a page shows: hidden ones only while they run.
    pub fn shown_steps(&self) -> impl DoubleEndedIterator<Item = &Step> {
        self.steps.iter().filter(|s| !(s.hidden && s.complete_at.is_some()))
    }

    /// Seconds that the build took, or has taken until `now`.
    pub fn seconds(&self, now: Timestamp) -> u64 {
        self.complete_at.unwrap_or(now).seconds_since(self.started_at)
    }
}

/// One step of a build.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Step {
    /// Its key.
    pub id: StepId,
    /// Its number in the build, from 0.
    pub number: u64,
    /// Its name; unique in its build.
    pub name: String,
    /// `state_string`: what it does or did.
    pub text: String,
    /// When it began; `None` while it waits.
    pub started_at: Option<Timestamp>,
    /// When it was done.
    pub complete_at: Option<Timestamp>,
    /// How it ended.
    pub outcome: Option<Outcome>,
    /// Whether pages leave it out once it is done.
    pub hidden: bool,
    /// Links that the step added.
    pub urls: Vec<StepUrl>,
    /// Its logs in the order of their making.
    pub logs: Vec<Log>,
}

/// A link that a step added.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct StepUrl {
    /// What it is called.
    pub name: String,
    /// Where it leads.
    pub url: String,
}

/// A log of a step, without its text.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Log {
    /// Its key.
    pub id: LogId,
    /// Its name: `stdio`.
    pub name: String,
    /// Its name in the master's paths; not the same as the name.
    pub slug: String,
    /// What its lines are.
    pub kind: LogKind,
    /// Lines so far.
    pub lines: u64,
    /// Whether more may come.
    pub complete: bool,
}

/// What a log's lines are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum LogKind {
    /// `s`: each line begins with its channel: `o` stdout, `e` stderr, `h` header.
    #[default]
    Stdio,
    /// `t`: plain text.
    Text,
    /// `h`: HTML, scripts included: never shown as part of a page.
    Html,
    /// `d`: deleted to save room.
    Deleted,
}

impl LogKind {
    /// Of the API's letter; an unknown one is plain text.
    pub fn from_letter(letter: &str) -> Self {
        match letter {
            "s" => Self::Stdio,
            "h" => Self::Html,
            "d" => Self::Deleted,
            _ => Self::Text,
        }
    }
}
