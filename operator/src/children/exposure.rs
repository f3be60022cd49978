//! Where pages are reached: Service, Ingress, HTTPRoute.

use super::{Child, ChildKind, FEED_PORT, Parent};
use crds::{HttpRouteSettings, IngressSettings, ServiceSettings};
use serde_json::{Value, json};

/// The Service of pages.
pub(crate) fn pages_service(parent: &Parent, settings: &ServiceSettings) -> Child {
    let ServiceSettings { service_type, port, annotations } = settings;
    parent.child(
        ChildKind::Service,
        json!({
            "metadata": { "annotations": annotations },
            "spec": {
                "type": service_type,
                "selector": parent.selector(),
                "ports": [{ "name": "http", "port": port, "targetPort": "http", "protocol": "TCP" }],
            },
        }),
    )
}

/// The Service of a feed.
pub(crate) fn feed_service(parent: &Parent) -> Child {
    parent.child(
        ChildKind::Service,
        json!({
            "spec": {
                "selector": parent.selector(),
                "ports": [
                    { "name": "feed", "port": FEED_PORT, "targetPort": "feed", "protocol": "TCP" },
                ],
            },
        }),
    )
}

/// The Ingress of pages.
pub(crate) fn ingress(parent: &Parent, settings: &IngressSettings) -> Child {
    let IngressSettings { class_name, host, tls_secret_name, annotations } = settings;
    let mut spec = json!({
        "rules": [{
            "host": host,
            "http": { "paths": [{
                "path": "/",
                "pathType": "Prefix",
                "backend": { "service": { "name": parent.child_name(), "port": { "name": "http" } } },
            }] },
        }],
    });
    if let Some(class) = class_name {
        spec["ingressClassName"] = class.as_str().into();
    }
    if let Some(secret) = tls_secret_name {
        spec["tls"] = json!([{ "hosts": [host], "secretName": secret }]);
    }
    parent.child(
        ChildKind::Ingress,
        json!({ "metadata": { "annotations": annotations }, "spec": spec }),
    )
}

/// The HTTPRoute of pages.
pub(crate) fn http_route(
    parent: &Parent,
    settings: &HttpRouteSettings,
    service: &ServiceSettings,
) -> Child {
    let HttpRouteSettings { parent_refs, hostnames, tls: _, annotations } = settings;
    let parents: Vec<Value> = parent_refs
        .iter()
        .map(|gateway| serde_json::to_value(gateway).unwrap_or_default())
        .collect();
    let mut spec = json!({
        "parentRefs": parents,
        "rules": [{
            "matches": [{ "path": { "type": "PathPrefix", "value": "/" } }],
            "backendRefs": [{ "name": parent.child_name(), "port": service.port }],
        }],
    });
    if !hostnames.is_empty() {
        spec["hostnames"] = json!(hostnames);
    }
    parent.child(
        ChildKind::HTTPRoute,
        json!({ "metadata": { "annotations": annotations }, "spec": spec }),
    )
}
