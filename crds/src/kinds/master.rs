//! `Master`: a Buildbot master whose builds are told about.

use super::pod::{Egress, PodSettings};
use super::{AT_LEAST_A_SECOND, BASE_ADDRESS, CaTrust, SecretKeyRef};
use crate::{Duration, MasterStatus, Size, schema};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// A Buildbot master (4.x) to follow. One process talks to it, keeps a journal of what
/// happened, and serves all its status targets.
#[derive(Clone, Debug, PartialEq, CustomResource, KubeSchema, Serialize, Deserialize)]
#[kube(
    group = "statustargets.dev",
    version = "v1alpha1",
    kind = "Master",
    namespaced,
    status = "MasterStatus",
    derive = "PartialEq",
    shortname = "bbm",
    category = "statustargets",
    doc = "A Buildbot master (4.x) to follow. One process talks to it, keeps a journal of what happened, and serves all its status targets.",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Ready\")].status"
    ),
    printcolumn(
        name = "Connected",
        type_ = "string",
        json_path = ".status.conditions[?(@.type==\"Connected\")].reason"
    ),
    printcolumn(name = "Targets", type_ = "integer", json_path = ".status.targets"),
    printcolumn(name = "URL", type_ = "string", json_path = ".spec.url"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct MasterSpec {
    /// The master's base address, as its `buildbotURL`: pages, `/api/v2` and `/ws` are below it.
    #[schemars(length(min = 8, max = 2048), regex(pattern = schema::HTTP_URL))]
    #[x_kube(validation = Rule::new(BASE_ADDRESS).message("must be the base address: without a query or fragment"))]
    #[x_kube(validation = Rule::new("!self.matches('^[a-z]+://[^/]*@')").message("must be without a user and password: a login belongs into a Secret that auth.passwordSecretRef names"))]
    pub url: String,
    /// Login for a master that does not serve its status to everybody.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub auth: Option<MasterAuth>,
    /// Trust for a master behind HTTPS with a certificate of one's own authority.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<CaTrust>,
    /// What is read of the past when the journal is empty.
    #[serde(default)]
    pub history: MasterHistory,
    /// How long events are kept.
    #[serde(default)]
    pub journal: MasterJournal,
    /// How often everything open is compared with the master, beside the events that it sends.
    #[serde(default = "reconcile_interval")]
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub reconcile_interval: Duration,
    /// The volume of the journal, in a cluster.
    #[serde(default)]
    pub storage: MasterStorage,
    /// From which namespaces resources may name this Master.
    #[serde(default)]
    pub allowed_namespaces: AllowedNamespaces,
    /// Settings of the feed's pod, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pod: Option<PodSettings>,
    /// Where the feed's pod may connect to, in a cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub egress: Option<Egress>,
}

/// The volume of a master's journal, in a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("!self.ephemeral || !(has(self.className) || has(self.size) || self.retain)").message("an ephemeral volume has no className, size or retain").field_path(".ephemeral"))]
#[x_kube(validation = Rule::new("self.ephemeral == oldSelf.ephemeral && has(self.className) == has(oldSelf.className) && (!has(self.className) || self.className == oldSelf.className)").message("className and ephemeral can't be changed: make another Master, or delete this one first"))]
#[x_kube(validation = Rule::new("!has(oldSelf.size) || (has(self.size) && quantity(string(self.size)).compareTo(quantity(string(oldSelf.size))) >= 0)").message("size can only grow").field_path(".size"))]
#[serde(rename_all = "camelCase")]
pub struct MasterStorage {
    /// Name of the StorageClass; the cluster's default when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub class_name: Option<String>,
    /// The volume's size; three times `journal.maxSize` and 2Gi when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub size: Option<Size>,
    /// Keeps the journal in the pod (`emptyDir`): it is lost with the pod, and targets then go on
    /// with what comes next.
    #[serde(default)]
    pub ephemeral: bool,
    /// Keeps the volume when the Master is deleted.
    #[serde(default)]
    pub retain: bool,
}

impl MasterStorage {
    /// The volume's size for a journal of `max_size` bytes.
    pub fn size_for(&self, max_size: Size) -> Size {
        self.size.unwrap_or_else(|| {
            Size::from_bytes(max_size.bytes().saturating_mul(3).saturating_add(2 << 30))
        })
    }
}

/// From which namespaces resources may name a Master, in the form of the Gateway API.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("(self.from == 'Selector') == has(self.matchLabels)").message("matchLabels goes with from: Selector, and is needed there").field_path(".matchLabels"))]
#[serde(rename_all = "camelCase")]
pub struct AllowedNamespaces {
    /// Only the Master's own, those with certain labels, or all.
    #[serde(default)]
    pub from: NamespacesFrom,
    /// Labels that a namespace must have.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "schema::labels")]
    pub match_labels: Option<BTreeMap<String, String>>,
}

/// Which namespaces.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum NamespacesFrom {
    /// The Master's own.
    #[default]
    Same,
    /// Those with the labels of `matchLabels`.
    Selector,
    /// Every one.
    All,
}

impl AllowedNamespaces {
    /// Whether resources of `namespace`, which has these labels, may name a Master of `own`.
    pub fn allow(&self, own: &str, namespace: &str, labels: &BTreeMap<String, String>) -> bool {
        let wanted = self.match_labels.iter().flatten();
        own == namespace
            || match self.from {
                NamespacesFrom::Same => false,
                NamespacesFrom::All => true,
                NamespacesFrom::Selector => {
                    wanted.clone().count() > 0
                        && wanted.clone().all(|(key, value)| labels.get(key) == Some(value))
                }
            }
    }
}

/// A user of the master.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterAuth {
    /// The user's name.
    #[schemars(length(min = 1, max = 256))]
    pub username: String,
    /// The user's password.
    pub password_secret_ref: SecretKeyRef,
}

/// What is read of the past when the journal is empty.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct MasterHistory {
    /// At most so many builds, the newest. They fill pages and are never sent to a target.
    #[schemars(range(min = 0, max = 100_000))]
    pub max_builds: u32,
}

/// How long events are kept.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterJournal {
    /// Older events are dropped. Those that a target has yet to send wait for it for seven days,
    /// or for this time if that is longer.
    #[serde(default = "max_age")]
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub max_age: Duration,
    /// The oldest events are dropped when all events together are larger, but for those that a
    /// target has yet to send. These are dropped too when all are twice as large, so that a target
    /// that is down does not fill the disk; it is told what it lost (see its `catchUp`). The volume
    /// needs room for three times this size, the cache of logs (1Gi) and the history. At least
    /// 16Mi.
    #[serde(default = "max_size")]
    #[x_kube(validation = Rule::new("quantity(string(self)).compareTo(quantity('16Mi')) >= 0").message("must be at least 16Mi; a number without a unit means bytes"))]
    pub max_size: Size,
    /// A target that was not connected for this long while the journal was served is forgotten with
    /// its place and its dead letters. A suspended one that is connected is not.
    #[serde(default = "forget_targets_after")]
    #[x_kube(validation = Rule::new("self.matches('[1-9][0-9]*(h|d|w)')").message("must be at least 1h, in hours, days or weeks"))]
    pub forget_targets_after: Duration,
}

impl Default for MasterHistory {
    fn default() -> Self {
        Self { max_builds: 1000 }
    }
}

impl Default for MasterJournal {
    fn default() -> Self {
        Self {
            max_age: max_age(),
            max_size: max_size(),
            forget_targets_after: forget_targets_after(),
        }
    }
}

const fn max_age() -> Duration {
    Duration::from_secs(30 * 86_400)
}

const fn forget_targets_after() -> Duration {
    Duration::from_secs(30 * 86_400)
}

const fn max_size() -> Size {
    Size::from_bytes(1 << 30)
}

const fn reconcile_interval() -> Duration {
    Duration::from_secs(300)
}
