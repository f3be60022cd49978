//! What is not the operator's, and matters all the same: pods, users' Secrets, classes,
//! namespaces.

use super::{FirstLists, Watch, config, events, failed, is_refused, own};
use crate::{
    context::{Context, is_own},
    kinds::Kind as _,
    known::{ClassKind, Listed, PodSeen, ResourceId},
    names,
};
use crds::Master;
use futures_util::{FutureExt as _, StreamExt as _};
use k8s_openapi::ClusterResourceScope;
use k8s_openapi::api::{
    core::v1::{Namespace, Secret},
    networking::v1::IngressClass,
    storage::v1::StorageClass,
};
use kube::{
    Api, Resource,
    core::{ApiResource, PartialObjectMeta, gvk::GroupVersionKind},
    runtime::watcher::{self, Event},
};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fmt,
    sync::Arc,
    time::Instant,
};

/// Marks the StorageClass that claims without one get.
const DEFAULT_CLASS: &str = "storageclass.kubernetes.io/is-default-class";
/// Marks the IngressClass that Ingresses without one get.
const DEFAULT_INGRESS: &str = "ingressclass.kubernetes.io/is-default-class";

/// What lists that are being read held so far, by namespace. What went while a watch was away is in no
/// list.
#[derive(Default)]
struct Lists(HashMap<Option<Arc<str>>, Listed>);

impl Lists {
    fn note<K: Resource>(&mut self, of: Option<&Arc<str>>, event: &watcher::Result<Event<K>>) {
        match event {
            Ok(Event::Init) => {
                self.0.insert(of.cloned(), Listed::new());
            }
            Ok(Event::InitApply(object)) => {
                let metadata = object.meta();
                if let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) {
                    let listed = self.0.entry(of.cloned()).or_default();
                    listed.insert((namespace.as_str().into(), name.as_str().into()));
                }
            }
            _ => {}
        }
    }

    /// All that the list held, which is complete.
    fn take(&mut self, of: Option<&Arc<str>>) -> Listed {
        self.0.remove(&of.cloned()).unwrap_or_default()
    }
}

/// The pods of resources: why they do not run.
pub(crate) fn pods(context: &Arc<Context>) -> Watch {
    let (mut first, seen) = FirstLists::new(&context.settings);
    let kind = GroupVersionKind::gvk("", "v1", "Pod");
    let resource = ApiResource::from_gvk_with_plural(&kind, "pods");
    let client = context.client.clone();
    let mut events = events(&context.settings, &own(), |namespace| match namespace {
        Some(namespace) => Api::namespaced_with(client.clone(), namespace, &resource),
        None => Api::<Pod>::all_with(client.clone(), &resource),
    });
    let context = Arc::clone(context);
    let mut lists = Lists::default();
    let run = async move {
        while let Some((of, event)) = events.next().await {
            lists.note(of.as_ref(), &event);
            let (pod, there) = match event {
                Ok(Event::Apply(pod) | Event::InitApply(pod)) => (pod, true),
                Ok(Event::Delete(pod)) => (pod, false),
                Ok(Event::Init) => continue,
                Ok(Event::InitDone) => {
                    let listed = lists.take(of.as_ref());
                    for owner in context.known.keep_only_pods(of.as_deref(), &listed) {
                        context.registry.poke(&owner);
                    }
                    first.complete(of.as_ref());
                    continue;
                }
                Err(error) => {
                    failed("Pod", &error, &context);
                    first.failed("Pod", of.as_ref(), &error, Instant::now());
                    continue;
                }
            };
            let metadata = &pod.metadata;
            let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
                continue;
            };
            let seen = pod_seen(&pod).filter(|_| there);
            if let Some(owner) = context.known.note_pod(namespace, name, seen) {
                context.registry.poke(&owner);
            }
        }
    };
    Watch { seen, run: run.boxed() }
}

/// Of a pod, what is of interest: its metadata and its status.
type Pod = kube::core::Object<Placed, Value>;

/// Of a pod's `spec`.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
struct Placed {
    node_name: String,
}

fn pod_seen(pod: &Pod) -> Option<PodSeen> {
    let annotations = pod.metadata.annotations.as_ref()?;
    let (kind, name) = annotations.get(names::OWNER)?.split_once('/')?;
    let owner = ResourceId::new(kind, pod.metadata.namespace.as_deref()?, name);
    let status = pod.status.as_ref().unwrap_or(&Value::Null);
    let problem = silent_node(kind, &pod.spec.node_name, status).or_else(|| problem(status));
    let ending = pod.metadata.deletion_timestamp.is_some();
    Some(PodSeen { owner, ending, problem })
}

/// Whether nothing is heard of a pod's node. Kubernetes takes the pod for not ready then, and leaves
/// everything else as the kubelet said it last.
fn silent_node(kind: &str, node: &str, status: &Value) -> Option<(String, String)> {
    let conditions = status["conditions"].as_array()?;
    let find = |type_: &str| conditions.iter().find(|condition| condition["type"] == type_);
    let (ready, containers) = (find("Ready")?, find("ContainersReady")?);
    // A kubelet that takes a pod for not ready gives a reason.
    let reason = ready["reason"].as_str().unwrap_or_default();
    if ready["status"] != "False" || !reason.is_empty() || containers["status"] != "True" {
        return None;
    }
    let next = if kind == Master::KIND {
        format!(
            "if it is down, say so, and the feed starts elsewhere: kubectl taint node {node} \
             node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        )
    } else {
        "another pod takes its place after some minutes".to_owned()
    };
    Some(("NodeNotReady".to_owned(), format!("the node {node} does not answer: {next}")))
}

/// Why a pod does not run, by its status: what the kubelet or the scheduler says.
fn problem(status: &Value) -> Option<(String, String)> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    for container in status["containerStatuses"].as_array().into_iter().flatten() {
        let waiting = &container["state"]["waiting"];
        let reason = text(&waiting["reason"]);
        // The usual way of a pod that starts.
        if reason.is_empty() || reason == "ContainerCreating" || reason == "PodInitializing" {
            continue;
        }
        let last = text(&container["lastState"]["terminated"]["message"]);
        let message = if last.is_empty() { text(&waiting["message"]) } else { last };
        return Some((
            reason.clone(),
            format!("the pod does not run: {reason}: {}", message.trim()),
        ));
    }
    let conditions = status["conditions"].as_array().into_iter().flatten();
    conditions
        .filter(|c| c["type"] == "PodScheduled" && c["status"] == "False")
        .map(|c| {
            let message = format!("the pod is not placed: {}", text(&c["message"]));
            (text(&c["reason"]), message)
        })
        .next()
}

/// The versions of users' Secrets. Their values are not asked for.
pub(crate) fn secrets(context: &Arc<Context>) -> Watch {
    let (mut first, seen) = FirstLists::new(&context.settings);
    let client = context.client.clone();
    let mut events = events(&context.settings, &config(), |namespace| match namespace {
        Some(namespace) => Api::namespaced(client.clone(), namespace),
        None => Api::<PartialObjectMeta<Secret>>::all(client.clone()),
    });
    let context = Arc::clone(context);
    let mut lists = Lists::default();
    let changed = |namespace: &str, name: &str, context: &Context| {
        for user in context.users_of_secret(namespace, name) {
            context.registry.poke_first(&user);
        }
    };
    let run = async move {
        while let Some((of, event)) = events.next().await {
            lists.note(of.as_ref(), &event);
            let (secret, there) = match event {
                Ok(Event::Apply(secret) | Event::InitApply(secret)) => (secret, true),
                Ok(Event::Delete(secret)) => (secret, false),
                Ok(Event::Init) => continue,
                Ok(Event::InitDone) => {
                    let listed = lists.take(of.as_ref());
                    for (namespace, name) in context.known.keep_only_secrets(of.as_deref(), &listed)
                    {
                        changed(&namespace, &name, &context);
                    }
                    first.complete(of.as_ref());
                    continue;
                }
                Err(error) => {
                    failed("Secret", &error, &context);
                    first.failed("Secret", of.as_ref(), &error, Instant::now());
                    continue;
                }
            };
            let metadata = &secret.metadata;
            if is_own(metadata.labels.as_ref()) {
                continue;
            }
            let (Some(namespace), Some(name)) = (&metadata.namespace, &metadata.name) else {
                continue;
            };
            let version = metadata.resource_version.as_deref().filter(|_| there);
            if context.known.note_secret(namespace, name, version) {
                changed(namespace, name, &context);
            }
        }
    };
    Watch { seen, run: run.boxed() }
}

/// The StorageClasses, and which is the default.
pub(crate) fn storage_classes(context: &Arc<Context>) -> Watch {
    classes::<StorageClass>(context, ClassKind::Storage, DEFAULT_CLASS, |context| {
        context.poke_masters();
    })
}

/// The IngressClasses, and which is the default.
pub(crate) fn ingress_classes(context: &Arc<Context>) -> Watch {
    classes::<IngressClass>(context, ClassKind::Ingress, DEFAULT_INGRESS, |context| {
        context.poke_pages();
    })
}

/// Classes of a kind. Where they may not be listed, nothing is said of them.
fn classes<K>(
    context: &Arc<Context>,
    kind: ClassKind,
    mark: &'static str,
    changed: fn(&Context),
) -> Watch
where
    K: Resource<DynamicType = (), Scope = ClusterResourceScope>
        + Clone
        + fmt::Debug
        + Send
        + Sync
        + 'static,
{
    let (mut first, seen) = FirstLists::one();
    let api = Api::<PartialObjectMeta<K>>::all(context.client.clone());
    let mut events = super::watching(api, &config());
    let context = Arc::clone(context);
    let run = async move {
        let mut classes = BTreeMap::new();
        let mut complete = false;
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Init) => {
                    classes = BTreeMap::new();
                    complete = false;
                }
                Ok(Event::Apply(class) | Event::InitApply(class)) => {
                    let annotations = class.metadata.annotations.unwrap_or_default();
                    let default = annotations.get(mark).is_some_and(|is| is == "true");
                    classes.insert(class.metadata.name.unwrap_or_default(), default);
                }
                Ok(Event::Delete(class)) => {
                    classes.remove(&class.metadata.name.unwrap_or_default());
                }
                Ok(Event::InitDone) => complete = true,
                Err(error) => {
                    refused(&error, &mut first, &K::kind(&()), &context);
                    continue;
                }
            }
            if complete {
                first.complete(None);
                if context.known.set_classes(kind, classes.clone()) {
                    changed(&context);
                }
            }
        }
    };
    Watch { seen, run: run.boxed() }
}

/// The labels of namespaces, for Masters that allow some of them.
pub(crate) fn namespaces(context: &Arc<Context>) -> Watch {
    let (mut first, seen) = FirstLists::one();
    let api = Api::<PartialObjectMeta<Namespace>>::all(context.client.clone());
    let mut events = super::watching(api, &config());
    let context = Arc::clone(context);
    let mut listed = HashSet::new();
    let run = async move {
        while let Some(event) = events.next().await {
            if let Ok(Event::InitApply(namespace)) = &event {
                listed.extend(namespace.metadata.name.clone());
            }
            let (namespace, there) = match event {
                Ok(Event::Apply(namespace) | Event::InitApply(namespace)) => (namespace, true),
                Ok(Event::Delete(namespace)) => (namespace, false),
                Ok(Event::Init) => {
                    listed.clear();
                    continue;
                }
                Ok(Event::InitDone) => {
                    for gone in context.known.keep_only_namespaces(&std::mem::take(&mut listed)) {
                        context.poke_of(&gone);
                    }
                    first.complete(None);
                    continue;
                }
                Err(error) => {
                    refused(&error, &mut first, "Namespace", &context);
                    continue;
                }
            };
            let name = namespace.metadata.name.unwrap_or_default();
            let labels = there.then(|| namespace.metadata.labels.unwrap_or_default());
            if context.known.note_namespace(&name, labels.as_ref()) && first.is_complete() {
                context.poke_of(&name);
                context.poke_masters();
            }
        }
    };
    Watch { seen, run: run.boxed() }
}

/// What is cluster-wide may be out of reach of an operator of some namespaces.
fn refused(error: &watcher::Error, first: &mut FirstLists, kind: &str, context: &Context) {
    if !is_refused(error) {
        return failed(kind, error, context);
    }
    if !first.is_complete() {
        tracing::info!(kind, "they may not be listed, so nothing is said of them");
        first.give_up();
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::{problem, silent_node};
    use serde_json::json;

    #[test]
    fn a_pod_on_a_silent_node_is_told_from_one_that_is_not_ready() {
        let pod = |reason: Option<&str>, containers: &str| {
            json!({
                "conditions": [
                    {"type": "Ready", "status": "False", "reason": reason},
                    {"type": "ContainersReady", "status": containers},
                ],
            })
        };
        let said = |kind: &str, pod| silent_node(kind, "node1", &pod).map(|(_, message)| message);
        assert_eq!(
            said("Master", pod(None, "True")).unwrap(),
            "the node node1 does not answer: if it is down, say so, and the feed starts elsewhere: \
             kubectl taint node node1 node.kubernetes.io/out-of-service=nodeshutdown:NoExecute"
        );
        assert_eq!(
            said("WebStatus", pod(None, "True")).unwrap(),
            "the node node1 does not answer: another pod takes its place after some minutes"
        );
        assert_eq!(said("Master", pod(Some("ContainersNotReady"), "False")), None);
        assert_eq!(said("Master", pod(Some("ReadinessGatesNotReady"), "True")), None);
    }

    #[test]
    fn what_keeps_a_pod_from_running_is_read_off_its_status() {
        let waiting = |reason: &str, last: Option<&str>| {
            json!({"containerStatuses": [{
                "state": {"waiting": {"reason": reason, "message": "back-off 10s"}},
                "lastState": {"terminated": {"message": last}},
            }]})
        };
        assert_eq!(problem(&waiting("ContainerCreating", None)), None);
        assert_eq!(
            problem(&waiting("CrashLoopBackOff", Some("no journal\n"))),
            Some((
                "CrashLoopBackOff".to_owned(),
                "the pod does not run: CrashLoopBackOff: no journal".to_owned()
            ))
        );
        let unplaced = json!({"conditions": [{"type": "PodScheduled", "status": "False",
            "reason": "Unschedulable", "message": "0/1 nodes are available"}]});
        assert_eq!(problem(&unplaced).map(|p| p.0), Some("Unschedulable".to_owned()));
        assert_eq!(problem(&json!({"phase": "Running"})), None);
    }
}
