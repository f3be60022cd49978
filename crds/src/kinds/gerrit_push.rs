//! `GerritPush`: reviews of changes on a Gerrit (rows G01 to G03).

use super::pod::{Egress, PodSettings};
use super::{CatchUp, MasterRef, RateLimit, SAME_MASTER, SecretKeyRef};
use crate::{TargetStatus, schema};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Reviews the Gerrit changes that builds were about: messages and votes.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "GerritPush",
    plural = "gerritpushes",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "gp",
    category = "statustargets",
    doc = "Reviews the Gerrit changes that builds were about: messages and votes.",
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
#[x_kube(validation = Rule::new("has(self.server) != has(self.http)").message("set either server, for SSH, or http, for REST").field_path(".server"))]
#[x_kube(validation = Rule::new("!has(self.server) || has(self.identitySecretRef)").message("server needs identitySecretRef, the private key to log in with").field_path(".server"))]
#[x_kube(validation = Rule::new("!has(self.server) || has(self.knownHostsSecretRef)").message("server needs knownHostsSecretRef, the host keys to accept: ssh-keyscan -p PORT SERVER writes them").field_path(".server"))]
#[x_kube(validation = Rule::new("has(self.server) || !(has(self.identitySecretRef) || has(self.knownHostsSecretRef))").message("identitySecretRef and knownHostsSecretRef are for SSH: they need server").field_path(".http"))]
#[serde(rename_all = "camelCase")]
pub struct GerritPushSpec {
    /// The Master whose builds are told of.
    #[x_kube(validation = Rule::new(SAME_MASTER).message("can\'t be changed, since its place in the journal can\'t go along: make another resource for another Master"))]
    pub master_ref: MasterRef,
    /// Holds reviews back until it is false again; nothing is lost within the journal's bounds.
    #[serde(default)]
    pub suspend: bool,
    /// What is told of builds whose events the journal dropped before this target was done with
    /// them, because it was down or suspended for longer than the Master's `journal` allows: they
    /// are taken from the journal's history. Without it, they are only counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// Gerrit's SSH server. Use either `server` or `http`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::HOST))]
    pub server: Option<String>,
    /// The SSH server's port.
    #[serde(default = "port")]
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// The account's name.
    #[schemars(length(min = 1, max = 255), regex(pattern = schema::USER))]
    pub username: String,
    /// The account's private key (`identity_file`), without a passphrase.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub identity_secret_ref: Option<SecretKeyRef>,
    /// The server's host keys, as `known_hosts` files have them. A server with another key is
    /// refused.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub known_hosts_secret_ref: Option<SecretKeyRef>,
    /// Gerrit's REST API, instead of SSH.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub http: Option<GerritHttp>,
    /// Sends a review when a build begins.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub start: Option<StartReview>,
    /// Sends a review for each build that ends.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub review: Option<BuildReview>,
    /// Sends one review for all builds of a buildset, when the last has ended. Without `review`,
    /// this is done anyway, with the defaults.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub summary: Option<SummaryReview>,
    /// Names of the labels that are voted on.
    #[serde(default)]
    pub labels: GerritLabels,
    /// Marks the reviews, so that Gerrit's pages can hide those of programs.
    #[serde(default = "tag")]
    #[schemars(length(min = 1, max = 200), regex(pattern = schema::ONE_LINE))]
    pub tag: String,
    /// Whom Gerrit mails about a review; its own choice when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify: Option<GerritNotify>,
    /// Only builds of these builders. Use either `builders` or `categories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<1000, 256>")]
    pub builders: Option<Vec<String>>,
    /// Only builds of builders in one of these categories (a builder's tags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<100, 256>")]
    pub categories: Option<Vec<String>>,
    /// At most so many events' reviews in a time; the others wait. All GerritPushes of a process
    /// that use the same server, user and key or password share their limits.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Settings of the pod, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Where the pod may connect to, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

impl GerritPushSpec {
    /// The builders that are told of.
    pub fn selection(&self) -> model::Selection {
        super::selection(self.builders.as_ref(), self.categories.as_ref())
    }

    /// The summary that is sent: as it is set; else the usual one, unless each build has a review.
    pub fn summary(&self) -> Option<SummaryReview> {
        match (&self.summary, &self.review) {
            (Some(summary), _) => Some(summary.clone()),
            (None, Some(_)) => None,
            (None, None) => Some(SummaryReview::default()),
        }
    }
}

/// Gerrit's REST API.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!has(self.caSecretRef) || self.url.startsWith('https://')").message("caSecretRef needs an https:// url").field_path(".caSecretRef"))]
#[serde(rename_all = "camelCase")]
pub struct GerritHttp {
    /// Gerrit's address: what its pages begin with.
    #[schemars(length(min = 8, max = 2048), regex(pattern = schema::HTTP_URL))]
    pub url: String,
    /// The account's HTTP password, which Gerrit makes in the account's settings.
    pub password_secret_ref: SecretKeyRef,
    /// PEM certificates to trust instead of the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ca_secret_ref: Option<SecretKeyRef>,
}

/// The review of a build that begins.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct StartReview {
    /// A template (Jinja) of the message. It sees the build as `docs/build-context.md` lists it.
    /// Nothing is sent when it gives nothing.
    #[serde(default = "start_message")]
    #[schemars(length(min = 1, max = 65_536))]
    pub message: String,
    /// The vote of the label `verified`: an expression (CEL) that gives a whole number; 0 is no
    /// vote.
    #[serde(default = "no_vote")]
    #[schemars(length(min = 1, max = 4096))]
    pub verified: String,
    /// The vote of the label `reviewed`, likewise.
    #[serde(default = "no_vote")]
    #[schemars(length(min = 1, max = 4096))]
    pub reviewed: String,
}

/// The review of a build that has ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct BuildReview {
    /// A template (Jinja) of the message. It sees the build as `docs/build-context.md` lists it.
    /// Nothing is sent when it gives nothing.
    #[serde(default = "review_message")]
    #[schemars(length(min = 1, max = 65_536))]
    pub message: String,
    /// The vote of the label `verified`: an expression (CEL) that gives a whole number; 0 is no
    /// vote.
    #[serde(default = "review_vote")]
    #[schemars(length(min = 1, max = 4096))]
    pub verified: String,
    /// The vote of the label `reviewed`, likewise.
    #[serde(default = "no_vote")]
    #[schemars(length(min = 1, max = 4096))]
    pub reviewed: String,
}

/// The review of a buildset that is complete.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SummaryReview {
    /// A template (Jinja) of the message. It sees `builds`, a list sorted by `name` whose items
    /// have `name`, `number`, `result`, `result_code`, `result_text`, `text` and `url`; `results`,
    /// the result of the buildset; and the first build, as `docs/build-context.md` lists it.
    /// Nothing is sent when it gives nothing.
    #[serde(default = "summary_message")]
    #[schemars(length(min = 1, max = 65_536))]
    pub message: String,
    /// The vote of the label `verified`: an expression (CEL) that sees the same and gives a whole
    /// number; 0 is no vote.
    #[serde(default = "summary_vote")]
    #[schemars(length(min = 1, max = 4096))]
    pub verified: String,
    /// The vote of the label `reviewed`, likewise.
    #[serde(default = "no_vote")]
    #[schemars(length(min = 1, max = 4096))]
    pub reviewed: String,
}

/// As Buildbot 0.8's `defaultSummaryCB`.
impl Default for SummaryReview {
    fn default() -> Self {
        Self { message: summary_message(), verified: summary_vote(), reviewed: no_vote() }
    }
}

/// Names of labels.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct GerritLabels {
    /// The label of the votes `verified`.
    #[serde(default = "verified_label")]
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::LABEL))]
    pub verified: String,
    /// The label of the votes `reviewed`.
    #[serde(default = "reviewed_label")]
    #[schemars(length(min = 1, max = 64), regex(pattern = schema::LABEL))]
    pub reviewed: String,
}

impl Default for GerritLabels {
    fn default() -> Self {
        Self { verified: verified_label(), reviewed: reviewed_label() }
    }
}

/// Whom Gerrit mails about a review, in its own words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
#[schemars(inline)]
pub enum GerritNotify {
    /// Nobody.
    None,
    /// The change's owner.
    Owner,
    /// The owner and the reviewers.
    OwnerReviewers,
    /// Everybody who watches the change.
    All,
}

const fn port() -> u16 {
    29418
}

fn tag() -> String {
    "autogenerated:buildbot".to_owned()
}

fn verified_label() -> String {
    "Verified".to_owned()
}

fn reviewed_label() -> String {
    "Code-Review".to_owned()
}

fn no_vote() -> String {
    "0".to_owned()
}

fn start_message() -> String {
    "Buildbot started compiling your patchset\non configuration: {{ builder.name }}\n".to_owned()
}

fn review_message() -> String {
    "{% if result != 'retry' %}Buildbot finished compiling your patchset\n\
     on configuration: {{ builder.name }}\nThe result is: {{ result|upper }}\n{% endif %}"
        .to_owned()
}

fn review_vote() -> String {
    "result == 'success' ? 1 : -1".to_owned()
}

fn summary_message() -> String {
    "{% for build in builds %}Builder {{ build.name }} {{ build.result_text }} ({{ build.text }})\
     {% if build.url %} - {{ build.url }}{% else %}.{% endif %}\
     {% if not loop.last %}\n\n{% endif %}{% endfor %}"
        .to_owned()
}

fn summary_vote() -> String {
    "builds.all(build, build.result == 'success') ? 1 : -1".to_owned()
}
