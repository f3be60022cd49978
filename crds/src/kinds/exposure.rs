//! How pages are reached in a cluster: Service, Ingress, HTTPRoute, replicas (row K04).

use crate::schema;
use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The Service of the pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", default)]
pub struct ServiceSettings {
    /// The Service's type.
    #[serde(rename = "type")]
    pub service_type: ServiceType,
    /// The Service's port.
    #[schemars(range(min = 1, max = 65535))]
    pub port: u16,
    /// Annotations of the Service.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::text_map::<32, 4096>")]
    pub annotations: BTreeMap<String, String>,
}

/// Types of a Service.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ServiceType {
    /// Reached from within the cluster.
    #[default]
    ClusterIP,
    /// Reached at a port of every node.
    NodePort,
    /// Reached at an address that the cluster's provider gives.
    LoadBalancer,
}

impl Default for ServiceSettings {
    fn default() -> Self {
        Self { service_type: ServiceType::default(), port: 80, annotations: BTreeMap::new() }
    }
}

/// An Ingress for the pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IngressSettings {
    /// Name of the IngressClass; the cluster's default when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub class_name: Option<String>,
    /// The host under which the pages are reached. They take the whole host.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub host: String,
    /// Name of a TLS Secret for the host; without it, plain HTTP.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub tls_secret_name: Option<String>,
    /// Annotations of the Ingress, such as those of cert-manager.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::text_map::<64, 8192>")]
    pub annotations: BTreeMap<String, String>,
}

/// An HTTPRoute (Gateway API) for the pages.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSettings {
    /// The Gateways that the route is attached to.
    #[schemars(extend("minItems" = 1, "maxItems" = 8))]
    pub parent_refs: Vec<ParentRef>,
    /// The hosts under which the pages are reached; all of the Gateway's when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "hostnames")]
    pub hostnames: Vec<String>,
    /// Whether the Gateway's listener speaks TLS, for the address in `status.url`.
    #[serde(default)]
    pub tls: bool,
    /// Annotations of the HTTPRoute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(schema_with = "schema::text_map::<32, 4096>")]
    pub annotations: BTreeMap<String, String>,
}

/// A Gateway, or one of its listeners.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ParentRef {
    /// Name of the Gateway.
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub name: String,
    /// Its namespace; the resource's own when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 63), regex(pattern = schema::OBJECT_NAME))]
    pub namespace: Option<String>,
    /// The listener's name; all listeners when unset.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253), regex(pattern = schema::OBJECT_NAME))]
    pub section_name: Option<String>,
}

/// How many pods serve the pages, by the load on them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[x_kube(validation = Rule::new("self.minReplicas <= self.maxReplicas").message("maxReplicas must not be less than minReplicas").field_path(".maxReplicas"))]
#[serde(rename_all = "camelCase")]
pub struct Autoscaling {
    /// The fewest pods.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub min_replicas: u32,
    /// The most pods.
    #[schemars(range(min = 1, max = 50))]
    pub max_replicas: u32,
    /// The part of the requested processor time, in percent, that the pods are kept near.
    #[serde(rename = "targetCPUUtilizationPercentage", default = "eighty")]
    #[schemars(range(min = 1, max = 1000))]
    pub target_cpu_utilization_percentage: u32,
}

/// How many pods may be away while nodes are drained.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct DisruptionBudget {
    /// The most pods that may be away at a time.
    #[serde(default = "one")]
    #[schemars(range(min = 1, max = 50))]
    pub max_unavailable: u32,
}

/// Names of hosts.
fn hostnames(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "array",
        "maxItems": 16,
        "items": {
            "type": "string", "minLength": 1, "maxLength": 253, "pattern": schema::HOSTNAME,
        },
    })
}

pub(super) const fn one() -> u32 {
    1
}

const fn eighty() -> u32 {
    80
}
