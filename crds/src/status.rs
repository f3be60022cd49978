//! What the operator reports of a resource.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

/// State of a Master.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct MasterStatus {
    /// The `metadata.generation` that this state is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is so, in Kubernetes' form: `Ready` and its reasons.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// How many resources name this Master.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1_000_000))]
    pub targets: Option<u32>,
    /// The epoch of the journal: another one means that the volume was lost.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 999_999_999_999_999_i64))]
    pub journal_epoch: Option<i64>,
}

/// State of a WebStatus.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WebStatusStatus {
    /// The `metadata.generation` that this state is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is so, in Kubernetes' form: `Ready` and its reasons.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Where the pages are.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub url: Option<String>,
}

/// State of a target that sends.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct TargetStatus {
    /// The `metadata.generation` that this state is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// What is so, in Kubernetes' form: `Ready` and its reasons.
    #[serde(skip_serializing_if = "Vec::is_empty", default)]
    #[schemars(schema_with = "conditions")]
    pub conditions: Vec<Condition>,
    /// Records that were delivered, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 999_999_999_999_999_i64))]
    pub delivered: Option<i64>,
    /// Attempts that failed, in all.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 999_999_999_999_999_i64))]
    pub failed: Option<i64>,
    /// Records that were given up and wait for a replay.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 999_999_999_999_999_i64))]
    pub dead_letters: Option<i64>,
    /// Records that wait to be delivered.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 999_999_999_999_999_i64))]
    pub backlog: Option<i64>,
    /// When something was last delivered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "time")]
    pub last_delivered: Option<String>,
}

/// A time in the form of RFC 3339.
fn time(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "format": "date-time" })
}

/// `metav1.Condition` with the bounds that Kubernetes' own types give it.
fn conditions(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "lastTransitionTime", "reason", "message"],
            "properties": {
                "type": {
                    "description": "What the condition is about, such as `Ready`.",
                    "type": "string",
                    "maxLength": 316,
                    "pattern": r"^([A-Za-z0-9][-A-Za-z0-9_./]*)?[A-Za-z0-9]$",
                },
                "status": {
                    "description": "Whether it is so.",
                    "type": "string",
                    "enum": ["True", "False", "Unknown"],
                },
                "observedGeneration": {
                    "description": "The `metadata.generation` that the condition is about.",
                    "type": "integer",
                    "format": "int64",
                    "minimum": 0,
                },
                "lastTransitionTime": {
                    "description": "When the status last changed.",
                    "type": "string",
                    "format": "date-time",
                },
                "reason": {
                    "description": "Why, in one word for programs.",
                    "type": "string",
                    "minLength": 1,
                    "maxLength": 1024,
                    "pattern": r"^[A-Za-z]([A-Za-z0-9_,:]*[A-Za-z0-9_])?$",
                },
                "message": {
                    "description": "Why, in a sentence for people.",
                    "type": "string",
                    "maxLength": 32768,
                },
            },
        },
    })
}
