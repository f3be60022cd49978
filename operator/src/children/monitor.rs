//! Has Prometheus read the figures of a resource's pods, where its operator is installed.

use super::{Child, ChildKind, Parent};
use serde_json::json;

/// The PodMonitor of a resource's pods.
pub(crate) fn pod_monitor(parent: &Parent) -> Child {
    parent.child(
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
    )
}
