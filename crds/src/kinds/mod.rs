//! The kinds, one file each, and what they share.

// Two `printcolumn`s of one type are no duplicates.
#![allow(clippy::duplicated_attributes)]

pub mod exposure;
pub mod gerrit_push;
pub mod github_status;
pub mod http_push;
pub mod mail_message;
pub mod mail_notifier;
pub mod mail_values;
pub mod master;
pub mod pod;
pub mod status_push;
pub mod web_status;

use crate::Duration;
use kube::KubeSchema;
use model::Selection;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Names the Master whose builds a target tells about.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct MasterRef {
    /// Name of the Master.
    #[schemars(length(min = 1, max = 253), regex(pattern = crate::schema::OBJECT_NAME))]
    pub name: String,
    /// Namespace of the Master, whose `allowedNamespaces` must allow it; the resource's own when
    /// unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = crate::schema::OBJECT_NAME))]
    pub namespace: Option<String>,
}

/// A rule for changes: a target's place in a journal can't be taken to another one.
pub(crate) const SAME_MASTER: &str = "self == oldSelf";

/// Names one value of a Secret in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub struct SecretKeyRef {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = crate::schema::OBJECT_NAME))]
    pub name: String,
    /// Key of the value in the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = crate::schema::SECRET_KEY))]
    pub key: String,
}

/// Which certificate authorities are trusted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CaTrust {
    /// PEM certificates to trust instead of the system's.
    pub ca_secret_ref: SecretKeyRef,
}

/// How much a target may send.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RateLimit {
    /// The most messages in any span of `period`.
    #[schemars(range(min = 1, max = 1_000_000))]
    pub messages: u32,
    /// The span, such as `1h`.
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub period: Duration,
}

/// What a target is told of builds that it missed because their events waited for too long.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct CatchUp {
    /// Nothing is told that happened longer ago than this; without it, age does not matter.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(AT_LEAST_A_SECOND).message("must be at least 1s"))]
    pub max_age: Option<Duration>,
    /// At most so many missed builds are told of, the newest.
    #[serde(default = "max_builds")]
    #[schemars(range(min = 1, max = 100_000))]
    pub max_builds: u32,
}

const fn max_builds() -> u32 {
    1000
}

/// The builders that a target is about; without names and categories, all of them (C01).
pub(crate) fn selection(
    builders: Option<&Vec<String>>,
    categories: Option<&Vec<String>>,
) -> Selection {
    let list = |names: Option<&Vec<String>>| names.cloned().unwrap_or_default();
    Selection { builders: list(builders), categories: list(categories), branches: Vec::new() }
}

pub(crate) const fn yes() -> bool {
    true
}

/// A rule for addresses that others are made below.
pub(crate) const BASE_ADDRESS: &str = "!self.contains('?') && !self.contains('#')";

/// A rule for lengths of time: some part of it is at least a second. (An API server's CEL knows no
/// days, so it can't compare them.)
pub(crate) const AT_LEAST_A_SECOND: &str =
    "self.matches('[1-9][0-9]*(s|m([^s]|$)|h|d|w)|[1-9][0-9]{3,5}ms')";
