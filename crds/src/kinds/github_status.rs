//! `GitHubStatus`: the status of commits on GitHub (rows G04, G05).

use super::pod::{Egress, PodSettings};
use super::{BASE_ADDRESS, CatchUp, MasterRef, RateLimit, SAME_MASTER, SecretKeyRef, max_builds};
use crate::{TargetStatus, schema};
use kube::{CustomResource, KubeSchema};
use model::Outcome;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;

/// Tells GitHub how the builds of a commit fare: a commit status or a check run for each builder.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "GitHubStatus",
    plural = "githubstatuses",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "ghs",
    category = "statustargets",
    doc = "Tells GitHub how the builds of a commit fare: a commit status or a check run for each builder.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(name = "Master", type_ = "string", json_path = ".spec.masterRef.name"),
    printcolumn(name = "Delivered", type_ = "integer", json_path = ".status.delivered"),
    printcolumn(name = "Failed", type_ = "integer", json_path = ".status.failed"),
    printcolumn(name = "Dead", type_ = "integer", json_path = ".status.deadLetters"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastDelivered"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[x_kube(validation = Rule::new("!(has(self.builders) && has(self.categories))").message("set either builders or categories, not both").field_path(".categories"))]
#[x_kube(validation = Rule::new("has(self.tokenSecretRef) != has(self.app)").message("set either tokenSecretRef or app").field_path(".tokenSecretRef"))]
#[x_kube(validation = Rule::new("self.mode != 'checks' || has(self.app)").message("mode checks needs app: GitHub takes check runs from Apps only").field_path(".mode"))]
#[x_kube(validation = Rule::new("!has(self.caSecretRef) || self.baseUrl.startsWith('https://')").message("caSecretRef needs an https:// baseUrl").field_path(".caSecretRef"))]
#[serde(rename_all = "camelCase")]
pub struct GitHubStatusSpec {
    /// The Master whose builds are told of.
    #[x_kube(validation = Rule::new(SAME_MASTER).message("can\'t be changed, since its place in the journal can\'t go along: make another resource for another Master"))]
    pub master_ref: MasterRef,
    /// Holds statuses back until it is false again; nothing is lost within the journal's bounds.
    #[serde(default)]
    pub suspend: bool,
    /// What is told of builds whose events the journal dropped before this target was done with
    /// them, because it was down or suspended for longer than the Master's `journal` allows: how
    /// they ended is taken from the journal's history. There is no `maxAge` as other kinds have it:
    /// a commit whose build's end is never told stays pending.
    #[serde(default)]
    pub catch_up: MissedBuilds,
    /// Who the repository belongs to. Like all fields that say so, it may hold `%(prop:NAME)s` and
    /// `%(src:CODEBASE:ATTRIBUTE)s`. A build for which it is empty is not told of.
    #[schemars(length(min = 1, max = 1024), regex(pattern = schema::ONE_LINE))]
    pub repo_owner: String,
    /// The repository's name; filled in as `repoOwner`. A build for which it is empty is not told of.
    #[schemars(length(min = 1, max = 1024), regex(pattern = schema::ONE_LINE))]
    pub repo_name: String,
    /// The commit's whole hash; filled in as `repoOwner`. A build for which it is empty is not told
    /// of. The default is the revision that was asked for of the codebase without a name.
    #[serde(default = "sha")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = schema::ONE_LINE))]
    pub sha: String,
    /// What is said of a build that began; filled in as `repoOwner`, and cut at 140 characters.
    #[serde(default = "start_description")]
    #[schemars(length(max = 1024))]
    pub start_description: String,
    /// What is said of a build that ended; filled in as `repoOwner`, and cut at 140 characters.
    #[serde(default = "end_description")]
    #[schemars(length(max = 1024))]
    pub end_description: String,
    /// What tells this status from others of the commit; filled in as `repoOwner`. Builds of one
    /// commit with the same context replace each other's status. In `mode: checks` it is the check's
    /// name.
    #[serde(default = "context")]
    #[schemars(length(min = 1, max = 1024), regex(pattern = schema::ONE_LINE))]
    pub context: String,
    /// An access token that may write commit statuses. Set either this or `app`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token_secret_ref: Option<SecretKeyRef>,
    /// The GitHub App to act as. Set either this or `tokenSecretRef`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub app: Option<GitHubApp>,
    /// The address of GitHub's REST API; of an Enterprise server `https://HOST/api/v3`.
    #[serde(default = "base_url")]
    #[schemars(length(min = 8, max = 2048), regex(pattern = schema::HTTP_URL))]
    #[x_kube(validation = Rule::new(BASE_ADDRESS).message("must be the base address: without a query or fragment"))]
    pub base_url: String,
    /// What is written: commit statuses, or check runs, which name the steps that failed and need an
    /// `app`.
    #[serde(default)]
    pub mode: GitHubMode,
    /// What results count as, where it is not what is usual: for statuses `error`, as Buildbot 0.8
    /// has it; for check runs the conclusion that comes closest.
    #[serde(default)]
    pub states: GitHubStates,
    /// Only builds of these builders. Use either `builders` or `categories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<1000, 256>")]
    pub builders: Option<Vec<String>>,
    /// Only builds of builders in one of these categories (a builder's tags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<100, 256>")]
    pub categories: Option<Vec<String>>,
    /// At most so many statuses in a time; the others wait. All GitHubStatuses of a process with the
    /// same server and token or App share their limits. GitHub's own limits are kept in any case.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// PEM certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
    /// Settings of the pod, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Where the pod may connect to, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

impl GitHubStatusSpec {
    /// The builders whose builds are told of.
    pub fn selection(&self) -> model::Selection {
        super::selection(self.builders.as_ref(), self.categories.as_ref())
    }

    /// What is asked of the journal about missed builds.
    pub fn catch_up(&self) -> CatchUp {
        CatchUp { max_age: None, max_builds: self.catch_up.max_builds }
    }
}

/// What a target is told of builds whose events waited for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MissedBuilds {
    /// At most so many missed builds are told of, the newest.
    #[serde(default = "max_builds")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_builds: u32,
}

impl Default for MissedBuilds {
    fn default() -> Self {
        Self { max_builds: max_builds() }
    }
}

/// A GitHub App, as it is installed in an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct GitHubApp {
    /// The App's ID, as its settings show it.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub app_id: u64,
    /// The installation's ID: the number at the end of its page's address.
    #[schemars(range(min = 1, max = 1_000_000_000_000_000_u64))]
    pub installation_id: u64,
    /// A private key of the App, as GitHub hands it out: PEM.
    pub private_key_secret_ref: SecretKeyRef,
}

/// What is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GitHubMode {
    /// Commit statuses.
    #[default]
    Statuses,
    /// Check runs.
    Checks,
}

/// Not derived: variants with a doc each would become a `oneOf`.
impl JsonSchema for GitHubMode {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "GitHubMode".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["statuses", "checks"] })
    }
}

/// A status that a build may end with. There is no pending: a build that ended waits for nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GitHubState {
    /// `success`.
    Success,
    /// `failure`.
    Failure,
    /// `error`; of a check run `failure`.
    Error,
}

/// See [`GitHubMode`].
impl JsonSchema for GitHubState {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "GitHubState".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "enum": ["success", "failure", "error"] })
    }
}

/// What results other than success and failure count as.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct GitHubStates {
    /// Passed with warnings.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub warnings: Option<GitHubState>,
    /// Not run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub skipped: Option<GitHubState>,
    /// Broke.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exception: Option<GitHubState>,
    /// Broke and is tried again, by a build that begins anew with pending.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub retry: Option<GitHubState>,
    /// Stopped by somebody, or superseded by a newer build.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cancelled: Option<GitHubState>,
}

impl GitHubStates {
    /// What is set for an outcome.
    pub fn of(&self, outcome: Outcome) -> Option<GitHubState> {
        match outcome {
            Outcome::Success => Some(GitHubState::Success),
            Outcome::Failure => Some(GitHubState::Failure),
            Outcome::Warnings => self.warnings,
            Outcome::Skipped => self.skipped,
            Outcome::Exception => self.exception,
            Outcome::Retry => self.retry,
            Outcome::Cancelled => self.cancelled,
        }
    }
}

fn sha() -> String {
    "%(src::revision)s".to_owned()
}

fn start_description() -> String {
    "Build started.".to_owned()
}

fn end_description() -> String {
    "Build done.".to_owned()
}

fn context() -> String {
    "buildbot/%(builder)s".to_owned()
}

fn base_url() -> String {
    "https://api.github.com".to_owned()
}
