//! Who may reach a resource's pods, and whom they may reach.

use super::{Child, ChildKind, FEED_PORT, METRICS_PORT, Parent};
use crate::names;
use serde_json::{Value, json};

/// What a resource's pods need of the network.
#[derive(Clone, Debug, Default)]
pub(crate) struct NetworkRules {
    /// Ports that anybody may reach, beside figures.
    pub open: Vec<u16>,
    /// Whether the feed's readers and the operator may reach the feed's port.
    pub feed_readers: bool,
    /// The namespace and name of the Master whose feed is read.
    pub feed: Option<(String, String)>,
    /// The peer's port; any within `cidrs` if it is not known.
    pub peer: Option<u16>,
    /// Where the peer may be; with a port, anywhere when empty.
    pub cidrs: Vec<String>,
    /// Whether traces may be sent, to whatever port.
    pub traces: Option<u16>,
}

/// The NetworkPolicy of a resource's pods.
pub(crate) fn network_policy(parent: &Parent, rules: &NetworkRules) -> Child {
    let tcp = |port: u16| json!({ "protocol": "TCP", "port": port });
    let mut ports = vec![tcp(METRICS_PORT)];
    ports.extend(rules.open.iter().copied().map(tcp));
    let mut ingress = vec![json!({ "ports": ports })];
    if rules.feed_readers {
        let from = json!([
            // Pods of this operator in any namespace; the token says whose they are.
            { "namespaceSelector": {}, "podSelector": { "matchLabels": { "app.kubernetes.io/name": "buildbot-status" } } },
            { "namespaceSelector": {}, "podSelector": { "matchLabels": { "app.kubernetes.io/name": names::MANAGER } } },
        ]);
        ingress.push(json!({ "from": from, "ports": [tcp(FEED_PORT)] }));
    }
    let mut egress = vec![json!({
        "to": [{ "namespaceSelector": {}, "podSelector": { "matchLabels": { "k8s-app": "kube-dns" } } }],
        "ports": [{ "protocol": "UDP", "port": 53 }, tcp(53)],
    })];
    if let Some((namespace, name)) = &rules.feed {
        egress.push(json!({
            "to": [{
                "namespaceSelector": { "matchLabels": { "kubernetes.io/metadata.name": namespace } },
                "podSelector": { "matchLabels": names::selector("feed", name) },
            }],
            "ports": [tcp(FEED_PORT)],
        }));
    }
    if rules.peer.is_some() || !rules.cidrs.is_empty() {
        let mut rule = json!({});
        if let Some(port) = rules.peer {
            rule["ports"] = json!([tcp(port)]);
        }
        if !rules.cidrs.is_empty() {
            let blocks: Vec<Value> =
                rules.cidrs.iter().map(|cidr| json!({ "ipBlock": { "cidr": cidr } })).collect();
            rule["to"] = blocks.into();
        }
        egress.push(rule);
    }
    if let Some(port) = rules.traces {
        egress.push(json!({ "ports": [tcp(port)] }));
    }
    parent.child(
        ChildKind::NetworkPolicy,
        json!({
            "spec": {
                "podSelector": { "matchLabels": parent.selector() },
                "policyTypes": ["Ingress", "Egress"],
                "ingress": ingress,
                "egress": egress,
            },
        }),
    )
}
