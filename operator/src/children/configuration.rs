//! What pods read: their resource's manifest, keys and tokens; and what they run as.

use super::{Child, ChildKind, Parent};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::Serialize;
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;
use zeroize::Zeroizing;

/// What pods run as. It has no rights, and its token is not mounted.
pub(crate) fn service_account(parent: &Parent) -> Child {
    parent.child(ChildKind::ServiceAccount, json!({ "automountServiceAccountToken": false }))
}

/// Fields that are about objects in the cluster, and that no process reads: a change of them is no
/// reason for other pods.
const OF_THE_CLUSTER: [&str; 10] = [
    "allowedNamespaces",
    "autoscaling",
    "disruptionBudget",
    "egress",
    "httpRoute",
    "ingress",
    "pod",
    "replicas",
    "service",
    "storage",
];

/// The resource as its pods read it, and as `standalone -f` would: without what is the cluster's.
pub(crate) fn manifest(parent: &Parent, spec: &impl Serialize) -> Value {
    let mut spec = serde_json::to_value(spec).unwrap_or_default();
    if let Some(fields) = spec.as_object_mut() {
        fields.retain(|name, _| !OF_THE_CLUSTER.contains(&name.as_str()));
    }
    json!({
        "apiVersion": crds::API_VERSION,
        "kind": parent.kind,
        "metadata": {
            "name": parent.name,
            "namespace": parent.namespace,
            // A feed knows its master by it.
            "uid": parent.uid,
        },
        "spec": spec,
    })
}

/// The manifest's ConfigMap.
pub(crate) fn config_map(parent: &Parent, manifest: &Value) -> Child {
    // JSON is YAML, and says the same bytes whenever it is written.
    let text = serde_json::to_string_pretty(manifest).unwrap_or_default();
    parent.child(ChildKind::ConfigMap, json!({ "data": { "manifest.yaml": text } }))
}

/// The keys of a feed.
pub(crate) fn keys_secret(parent: &Parent, keys: &BTreeMap<String, Zeroizing<String>>) -> Child {
    secret(parent, keys.iter().map(|(name, key)| (name.as_str(), key.as_str())))
}

/// A token for a feed.
pub(crate) fn token_secret(parent: &Parent, token: &str) -> Child {
    secret(parent, [("token", token)])
}

fn secret<'a>(parent: &Parent, values: impl IntoIterator<Item = (&'a str, &'a str)>) -> Child {
    let data: Map<String, Value> = values
        .into_iter()
        .map(|(name, value)| (name.to_owned(), STANDARD.encode(value).into()))
        .collect();
    parent.child(ChildKind::Secret, json!({ "type": "Opaque", "data": data }))
}
