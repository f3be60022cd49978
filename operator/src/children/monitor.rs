//! Has Prometheus read the figures of a resource's pods, where its operator is installed.

use super::{Child, ChildKind, Parent};
use serde_json::{Value, json};
use std::collections::BTreeMap;

/// The PodMonitor of a resource's pods; `labels` are those by which a Prometheus chooses it.
pub(crate) fn pod_monitor(parent: &Parent, labels: &BTreeMap<String, String>) -> Child {
    let mut child = parent.child(
        ChildKind::PodMonitor,
        json!({
            "spec": {
                "selector": { "matchLabels": parent.selector() },
                // Figures have labels of their own, such as `endpoint`.
                "podMetricsEndpoints": [
                    { "port": "metrics", "path": "/metrics", "honorLabels": true },
                ],
            },
        }),
    );
    // The operator knows its objects by its own labels, so those stay as they are.
    let own = child.body["metadata"]["labels"].take();
    let mut all = json!(labels);
    if let (Value::Object(all), Value::Object(own)) = (&mut all, own) {
        all.extend(own);
    }
    child.body["metadata"]["labels"] = all;
    child
}
