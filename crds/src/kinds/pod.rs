//! What users may say about the pods of a resource, and about who may reach whom (row K02).

use crate::schema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;

/// Settings of a resource's pods, in a cluster. What Kubernetes defines is passed on as it is: the
/// API server checks it when the pods' Deployment or StatefulSet is applied.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct PodSettings {
    /// More labels of the pods. The operator's own win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::text_map::<32, 63>")]
    pub labels: BTreeMap<String, String>,
    /// More annotations of the pods. The operator's own win.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::text_map::<32, 4096>")]
    pub annotations: BTreeMap<String, String>,
    /// The container's requests and limits. Given ones take the place of the usual ones whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object")]
    pub resources: Option<Value>,
    /// Labels of the nodes that the pods may run on.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::text_map::<32, 63>")]
    pub node_selector: BTreeMap<String, String>,
    /// Taints that the pods tolerate.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "objects::<32>")]
    pub tolerations: Vec<Value>,
    /// Rules about nodes and other pods.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "object")]
    pub affinity: Option<Value>,
    /// How the pods are spread over nodes and zones.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "objects::<16>")]
    pub topology_spread_constraints: Vec<Value>,
    /// Name of the pods' PriorityClass.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub priority_class_name: Option<String>,
    /// Secrets for pulling the image, beside those that the operator knows.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(extend("maxItems" = 16))]
    pub image_pull_secrets: Vec<LocalName>,
    /// More volumes, such as a ConfigMap with templates or static files.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "objects::<16>")]
    pub volumes: Vec<Value>,
    /// Where the container sees these volumes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "objects::<16>")]
    pub volume_mounts: Vec<Value>,
}

/// Names an object in the same namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct LocalName {
    /// Name of the object.
    #[schemars(length(min = 1, max = 253), regex(pattern = crate::schema::OBJECT_NAME))]
    pub name: String,
}

/// Where pods may connect to, in a cluster that enforces NetworkPolicies.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct Egress {
    /// Ranges of addresses, such as `10.1.2.0/24`, that the peer is in. Any address on the peer's
    /// port when empty. The feed and DNS may be reached in any case.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "cidrs")]
    pub cidrs: Vec<String>,
}

/// Ranges of addresses.
fn cidrs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 64,
        "items": { "type": "string", "maxLength": 49, "pattern": schema::CIDR },
    })
}

/// An object that Kubernetes defines.
fn object(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true })
}

/// A list of objects that Kubernetes defines.
fn objects<const ITEMS: u32>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": ITEMS,
        "items": { "type": "object", "x-kubernetes-preserve-unknown-fields": true },
    })
}
