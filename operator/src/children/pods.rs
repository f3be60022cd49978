//! The pods of a resource, restricted as far as Kubernetes can: no privileges, no API token, a
//! read-only root, Secrets as files.

use super::{Child, ChildKind, FEED_PORT, METRICS_PORT, Parent};
use crate::{names, settings::Settings};
use crds::{Autoscaling, DisruptionBudget, PodSettings};
use serde_json::{Map, Value, json};
use std::collections::BTreeMap;

/// Where pods find their manifest.
const MANIFEST: &str = "/etc/buildbot-status/manifest";
/// Where pods find Secrets: `NAME/KEY`.
const SECRETS: &str = "/etc/buildbot-status/secrets";
/// Where a feed finds its keys, and a reader its token.
const ACCESS: &str = "/etc/buildbot-status/access";
/// Where a feed keeps its journal.
const DATA: &str = "/var/lib/buildbot-status";
/// Where pods of another image find this program.
const PROGRAM: &str = "/opt/buildbot-status";
/// The user and group that pods run as.
const USER: u32 = 65532;

/// What a resource's pods are to be.
#[derive(Clone, Debug)]
pub(crate) struct PodPlan<'a> {
    /// Whose they are.
    pub parent: &'a Parent,
    /// The operator's settings.
    pub settings: &'a Settings,
    /// The resource's.
    pub pod: Option<&'a PodSettings>,
    /// The manifest.
    pub manifest: &'a Value,
    /// Names of the Secrets that the manifest refers to, each with its version if it is known.
    pub secrets: &'a BTreeMap<String, Option<String>>,
    /// The feed that a reader reads.
    pub feed: Option<String>,
    /// The pages that a reader's messages link to.
    pub pages: Option<&'a str>,
    /// The image of a program that runs in this program's pod: the container is of that image, and
    /// this program is copied into it.
    pub program: Option<&'a str>,
    /// The port that is served beside figures.
    pub port: Option<(&'static str, u16)>,
    /// Requests and limits, unless the resource says others.
    pub resources: Value,
}

/// A target's Deployment. One pod that sends is ended before the next begins; pages overlap.
pub(crate) fn deployment(plan: &PodPlan<'_>, replicas: Option<u32>, pages: bool) -> Child {
    let strategy = if pages {
        json!({ "type": "RollingUpdate", "rollingUpdate": { "maxUnavailable": 0, "maxSurge": 1 } })
    } else {
        json!({ "type": "Recreate" })
    };
    let mut spec = json!({
        "revisionHistoryLimit": 2,
        "strategy": strategy,
        "selector": { "matchLabels": plan.parent.selector() },
        "template": template(plan, "target", Vec::new()),
    });
    // An autoscaler owns the number.
    if let Some(replicas) = replicas {
        spec["replicas"] = replicas.into();
    }
    plan.parent.child(ChildKind::Deployment, json!({ "spec": spec }))
}

/// A feed's StatefulSet: two pods can't hold one journal.
pub(crate) fn feed_set(plan: &PodPlan<'_>, ephemeral: bool) -> Child {
    let volume = if ephemeral {
        json!({ "name": "data", "emptyDir": {} })
    } else {
        let claim = json!({ "claimName": plan.parent.child_name() });
        json!({ "name": "data", "persistentVolumeClaim": claim })
    };
    plan.parent.child(
        ChildKind::StatefulSet,
        json!({
            "spec": {
                "replicas": 1,
                "revisionHistoryLimit": 2,
                "serviceName": plan.parent.child_name(),
                "selector": { "matchLabels": plan.parent.selector() },
                "template": template(plan, "feed", vec![volume]),
            },
        }),
    )
}

/// What all pods have in common.
fn template(plan: &PodPlan<'_>, command: &str, mut volumes: Vec<Value>) -> Value {
    let PodPlan { parent, settings, manifest, secrets, .. } = plan;
    let usual = PodSettings::default();
    let pod = plan.pod.unwrap_or(&usual);
    let mut mounts = Vec::new();
    if command == "feed" {
        mounts.push(json!({ "name": "data", "mountPath": DATA }));
    }
    volumes.push(json!({ "name": "manifest", "configMap": { "name": parent.child_name() } }));
    mounts.push(json!({ "name": "manifest", "mountPath": MANIFEST, "readOnly": true }));
    volumes.push(json!({
        "name": "access",
        "secret": { "secretName": parent.child_name(), "defaultMode": 0o440 },
    }));
    mounts.push(json!({ "name": "access", "mountPath": ACCESS, "readOnly": true }));
    for (index, name) in secrets.keys().enumerate() {
        let volume = format!("secret-{index}");
        // One that is missing must not keep the pod from saying so.
        let secret = json!({ "secretName": name, "optional": true, "defaultMode": 0o440 });
        volumes.push(json!({ "name": volume, "secret": secret }));
        let path = format!("{SECRETS}/{name}");
        mounts.push(json!({ "name": volume, "mountPath": path, "readOnly": true }));
    }
    volumes.extend(pod.volumes.iter().cloned());
    mounts.extend(pod.volume_mounts.iter().cloned());
    let mut ports = vec![json!({
        "name": "metrics", "containerPort": METRICS_PORT, "protocol": "TCP",
    })];
    if let Some((name, port)) = plan.port {
        ports.push(json!({ "name": name, "containerPort": port, "protocol": "TCP" }));
    }
    let probe = |path: &str, period: u32, failures: u32| {
        json!({
            "httpGet": { "path": path, "port": "metrics", "scheme": "HTTP" },
            "periodSeconds": period, "failureThreshold": failures, "timeoutSeconds": 5,
        })
    };
    let mut container = json!({
        "name": command,
        "image": settings.image,
        "args": arguments(command),
        "env": environment(plan),
        "ports": ports,
        "resources": pod.resources.clone().unwrap_or_else(|| plan.resources.clone()),
        "volumeMounts": mounts.clone(),
        "readinessProbe": probe("/readyz", 5, 2),
        "livenessProbe": probe("/healthz", 20, 6),
        // What a process says at its end is the container's last word.
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "securityContext": restricted(),
    });
    let pulled = |mut container: Value| {
        if let Some(policy) = &settings.image_pull_policy {
            container["imagePullPolicy"] = policy.as_str().into();
        }
        container
    };
    let mut copies = Vec::new();
    if let Some(image) = plan.program {
        let file = format!("{PROGRAM}/buildbot-status");
        let mount = |read_only: bool| json!({ "name": "program", "mountPath": PROGRAM, "readOnly": read_only });
        volumes.push(json!({ "name": "program", "emptyDir": {} }));
        copies.push(pulled(json!({
            "name": "copy",
            "image": settings.image,
            "args": ["copy", file],
            "resources": container["resources"],
            "volumeMounts": [mount(false)],
            "securityContext": restricted(),
        })));
        mounts.push(mount(true));
        container["volumeMounts"] = mounts.into();
        container["image"] = image.into();
        container["command"] = json!([file]);
    } else {
        container = pulled(container);
    }
    let mut spec = json!({
        "serviceAccountName": parent.child_name(),
        "automountServiceAccountToken": false,
        "enableServiceLinks": false,
        "terminationGracePeriodSeconds": 30,
        "securityContext": {
            "runAsNonRoot": true,
            "runAsUser": USER, "runAsGroup": USER, "fsGroup": USER,
            "fsGroupChangePolicy": "OnRootMismatch",
            "seccompProfile": { "type": "RuntimeDefault" },
        },
        "containers": [container],
        "volumes": volumes,
    });
    if !copies.is_empty() {
        spec["initContainers"] = copies.into();
    }
    placement(pod, settings, &mut spec);
    let mut labels = pod.labels.clone();
    labels.extend(names::labels(parent.component, &parent.name));
    let mut annotations = pod.annotations.clone();
    annotations.insert(names::OWNER.to_owned(), format!("{}/{}", parent.kind, parent.name));
    annotations.insert(names::MANIFEST.to_owned(), names::hash(&manifest.to_string()));
    if !secrets.is_empty() {
        annotations.insert(names::SECRETS.to_owned(), versions(secrets));
    }
    json!({ "metadata": { "labels": labels, "annotations": annotations }, "spec": spec })
}

/// What every container may do.
fn restricted() -> Value {
    json!({
        "allowPrivilegeEscalation": false,
        "readOnlyRootFilesystem": true,
        "capabilities": { "drop": ["ALL"] },
    })
}

fn arguments(command: &str) -> Vec<String> {
    let mut arguments = vec![
        command.to_owned(),
        "--metrics".to_owned(),
        format!("0.0.0.0:{METRICS_PORT}"),
        "--wait".to_owned(),
    ];
    if command == "feed" {
        arguments.extend([
            "--data".to_owned(),
            DATA.to_owned(),
            "--listen".to_owned(),
            format!("0.0.0.0:{FEED_PORT}"),
            "--keys".to_owned(),
            ACCESS.to_owned(),
        ]);
    }
    arguments
}

/// What another command in the same pod finds as well: `kubectl exec … -- buildbot-status test`.
fn environment(plan: &PodPlan<'_>) -> Vec<Value> {
    let mut environment = vec![
        json!({ "name": "BUILDBOT_STATUS_LOG_FORMAT", "value": "json" }),
        json!({ "name": "BUILDBOT_STATUS_FILE", "value": format!("{MANIFEST}/manifest.yaml") }),
        json!({ "name": "BUILDBOT_STATUS_SECRETS", "value": SECRETS }),
    ];
    if let Some(feed) = &plan.feed {
        let token = format!("{ACCESS}/token");
        environment.push(json!({ "name": "BUILDBOT_STATUS_FEED", "value": feed }));
        environment.push(json!({ "name": "BUILDBOT_STATUS_TOKEN_FILE", "value": token }));
    }
    if let Some(pages) = plan.pages {
        environment.push(json!({ "name": "BUILDBOT_STATUS_PAGES", "value": pages }));
    }
    if let Some(endpoint) = &plan.settings.pod_otlp_endpoint {
        let name = format!("buildbot-status-{}", plan.parent.component);
        environment.push(json!({ "name": "OTEL_EXPORTER_OTLP_ENDPOINT", "value": endpoint }));
        environment.push(json!({ "name": "OTEL_SERVICE_NAME", "value": name }));
    }
    environment
}

/// Where pods run, as the resource says it.
fn placement(pod: &PodSettings, settings: &Settings, spec: &mut Value) {
    let mut set = |name: &str, value: Value| spec[name] = value;
    if !pod.node_selector.is_empty() {
        set("nodeSelector", json!(pod.node_selector));
    }
    if !pod.tolerations.is_empty() {
        set("tolerations", pod.tolerations.clone().into());
    }
    if let Some(affinity) = &pod.affinity {
        set("affinity", affinity.clone());
    }
    if !pod.topology_spread_constraints.is_empty() {
        set("topologySpreadConstraints", pod.topology_spread_constraints.clone().into());
    }
    if let Some(class) = &pod.priority_class_name {
        set("priorityClassName", class.as_str().into());
    }
    let mut pull: Vec<&str> = settings.image_pull_secrets.iter().map(String::as_str).collect();
    pull.extend(pod.image_pull_secrets.iter().map(|secret| secret.name.as_str()));
    if !pull.is_empty() {
        let named: Vec<Value> = pull.into_iter().map(|name| json!({ "name": name })).collect();
        set("imagePullSecrets", named.into());
    }
}

/// A hash of the versions of Secrets: another one, and the pods are made anew.
fn versions(secrets: &BTreeMap<String, Option<String>>) -> String {
    let said: Map<String, Value> =
        secrets.iter().map(|(name, version)| (name.clone(), json!(version))).collect();
    names::hash(&Value::Object(said).to_string())
}

/// Keeps pages served while nodes are drained.
pub(crate) fn disruption_budget(parent: &Parent, budget: &DisruptionBudget) -> Child {
    parent.child(
        ChildKind::PodDisruptionBudget,
        json!({
            "spec": {
                "maxUnavailable": budget.max_unavailable,
                "selector": { "matchLabels": parent.selector() },
            },
        }),
    )
}

/// Has the number of pods follow the load.
pub(crate) fn autoscaler(parent: &Parent, scaling: &Autoscaling) -> Child {
    let target = json!({
        "type": "Utilization",
        "averageUtilization": scaling.target_cpu_utilization_percentage,
    });
    parent.child(
        ChildKind::HorizontalPodAutoscaler,
        json!({
            "spec": {
                "scaleTargetRef": {
                    "apiVersion": "apps/v1", "kind": "Deployment", "name": parent.child_name(),
                },
                "minReplicas": scaling.min_replicas,
                "maxReplicas": scaling.max_replicas,
                "metrics": [{ "type": "Resource", "resource": { "name": "cpu", "target": target } }],
            },
        }),
    )
}
