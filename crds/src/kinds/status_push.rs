//! `StatusPush`: events in batches for a program (row G06).

use super::pod::{Egress, PodSettings};
use super::{AT_LEAST_A_SECOND, CatchUp, MasterRef, SAME_MASTER, yes};
use crate::{Duration, TargetStatus, schema};
use kube::{CustomResource, KubeSchema};
use schemars::{Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// Gives events to a program, in the packets of Buildbot 0.8's StatusPush.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "StatusPush",
    plural = "statuspushes",
    namespaced,
    status = "TargetStatus",
    derive = "PartialEq",
    shortname = "sp",
    category = "statustargets",
    doc = "Gives events to a program, in the packets of Buildbot 0.8's StatusPush.",
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
#[serde(rename_all = "camelCase")]
pub struct StatusPushSpec {
    /// The Master whose events are pushed.
    #[x_kube(validation = Rule::new(SAME_MASTER).message("can\'t be changed, since its place in the journal can\'t go along: make another resource for another Master"))]
    pub master_ref: MasterRef,
    /// Holds events back until it is false again; nothing is lost within the journal's bounds.
    #[serde(default)]
    pub suspend: bool,
    /// What is told of builds whose events the journal dropped before this target was done with
    /// them, because it was down or suspended for longer than the Master's `journal` allows: they
    /// are taken from the journal's history. Without it, they are only counted.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub catch_up: Option<CatchUp>,
    /// The program and its arguments; no shell is between. It reads packets as lines of JSON on its
    /// standard input, and writes lines to its standard output, each the number of packets that it
    /// has taken since the line before: only those are not given again. A line `refused: REASON`
    /// gives up the first that it has not taken. It may run for ever or end after any packet; it is
    /// started again when there is more.
    #[schemars(schema_with = "words")]
    pub command: Vec<String>,
    /// The image that the program is in, for a cluster: this program is copied into its pod. Outside
    /// a cluster the command is run where the process runs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 512))]
    pub image: Option<String>,
    /// Only events of these builders. Use either `builders` or `categories`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<1000, 256>")]
    pub builders: Option<Vec<String>>,
    /// Only events of builders in one of these categories (a builder's tags).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::selection::<100, 256>")]
    pub categories: Option<Vec<String>>,
    /// How long events are collected before they are given together.
    #[serde(default = "buffer_delay")]
    pub buffer_delay: Duration,
    /// How long to wait when nothing was taken.
    #[serde(default = "retry_delay")]
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub retry_delay: Duration,
    /// How long the program may take to say the next number; then it is ended and started again.
    #[serde(default = "answer_timeout")]
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub answer_timeout: Duration,
    /// The most packets that are given before some must be taken.
    #[serde(default = "chunk_size")]
    #[schemars(range(min = 1, max = 10_000))]
    pub chunk_size: u32,
    /// Names of events that are not pushed, such as `stepStarted`.
    #[serde(default)]
    #[schemars(schema_with = "super::http_push::event_names")]
    pub black_list: Vec<String>,
    /// Whether empty values, false and 0 are left out of packets, as Buildbot 0.8 does.
    #[serde(default = "yes")]
    pub filter: bool,
    /// Settings of the pod, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Where the program may connect to, in a cluster; nowhere but to DNS without `cidrs`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

impl StatusPushSpec {
    /// The builders whose events are pushed.
    pub fn selection(&self) -> model::Selection {
        super::selection(self.builders.as_ref(), self.categories.as_ref())
    }
}

/// A program and its arguments.
fn words(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "minItems": 1,
        "maxItems": 64,
        "items": { "type": "string", "maxLength": 4096 },
    })
}

const fn buffer_delay() -> Duration {
    Duration::from_secs(1)
}

const fn retry_delay() -> Duration {
    Duration::from_secs(5)
}

const fn chunk_size() -> u32 {
    200
}

const fn answer_timeout() -> Duration {
    Duration::from_secs(60)
}
