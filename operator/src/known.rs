//! What the cluster holds of the operator's objects, in the few words that matter: fed by watches
//! and by the answers to what is applied. Thousands of objects cost some hundred bytes each.

use crate::{
    children::{Child, ChildKind},
    fields, names,
};
use kube::core::ObjectMeta;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// A resource, by kind, namespace and name.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ResourceId {
    /// Its kind.
    pub kind: Arc<str>,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

impl ResourceId {
    /// The resource of this kind, namespace and name.
    pub fn new(kind: &str, namespace: &str, name: &str) -> Self {
        Self { kind: kind.into(), namespace: namespace.into(), name: name.into() }
    }
}

/// An object of the operator's.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ChildId {
    /// Its kind.
    pub kind: ChildKind,
    /// Its namespace.
    pub namespace: Arc<str>,
    /// Its name.
    pub name: Arc<str>,
}

/// How a Deployment or StatefulSet fares.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Workload {
    /// Pods that are wanted.
    pub wanted: i32,
    /// Pods of the present form that are ready.
    pub ready: i32,
    /// Whether its controller has seen its present form.
    pub observed: bool,
}

/// What is known of an object.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Its UID.
    pub uid: Arc<str>,
    /// Which of two is newer; the API server counts up.
    version: Option<u64>,
    owner: Option<(ResourceId, Arc<str>)>,
    /// The component and the name of the resource that it was made for, by its labels.
    made_for: Option<(Arc<str>, Arc<str>)>,
    applied: Option<Arc<str>>,
    owned: Arc<str>,
    /// How it fares, if it has pods.
    pub workload: Option<Workload>,
}

/// What is known of a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PodSeen {
    /// The pod's resource.
    pub owner: ResourceId,
    /// Whether it is being ended.
    pub ending: bool,
    /// Why it does not run: the reason and what is said of it.
    pub problem: Option<(String, String)>,
}

/// The namespace and the name of what is not the operator's.
pub type Placed = (Arc<str>, Arc<str>);

/// What a complete list held.
pub type Listed = HashSet<Placed>;

/// What classes are of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum ClassKind {
    /// StorageClass.
    Storage,
    /// IngressClass.
    Ingress,
}

#[derive(Debug, Default)]
struct Inner {
    children: HashMap<ChildId, Seen>,
    of_owner: HashMap<ResourceId, Vec<ChildId>>,
    pods: HashMap<Placed, PodSeen>,
    pods_of: HashMap<ResourceId, BTreeSet<Placed>>,
    /// Secrets that are not the operator's, by namespace and name, with their versions.
    secrets: HashMap<Placed, Arc<str>>,
    classes: BTreeMap<ClassKind, BTreeMap<String, bool>>,
    namespaces: HashMap<String, BTreeMap<String, String>>,
    /// What many objects have in common: names, owners, sets of fields.
    texts: HashSet<Arc<str>>,
    /// How many texts there were when those were dropped that nothing has any more.
    swept: usize,
}

/// What the cluster holds; clones share it.
#[derive(Clone, Debug, Default)]
pub struct Known(Arc<Mutex<Inner>>);

impl Known {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes an object as it is now, unless a newer one was seen: the answer to an apply and what the
    /// watch tells come in no order. Returns its resource.
    pub fn note(
        &self,
        kind: ChildKind,
        metadata: &ObjectMeta,
        workload: Option<Workload>,
    ) -> Option<ResourceId> {
        let id = child_id(kind, metadata)?;
        let owner = owner(&id.namespace, metadata);
        let version = metadata.resource_version.as_deref().and_then(|v| v.parse::<u64>().ok());
        let mut inner = self.lock();
        if let Some(seen) = inner.children.get(&id)
            && Some(&*seen.uid) == metadata.uid.as_deref()
            && version.is_some_and(|version| seen.version.is_some_and(|newest| version < newest))
        {
            return owner.map(|(owner, _)| owner);
        }
        // The objects of a resource share most of what is kept of them.
        let id =
            ChildId { kind, namespace: inner.intern(&id.namespace), name: inner.intern(&id.name) };
        let owner = owner.map(|(owner, uid)| {
            let owner = ResourceId {
                kind: inner.intern(&owner.kind),
                namespace: Arc::clone(&id.namespace),
                name: inner.intern(&owner.name),
            };
            (owner, inner.intern(&uid))
        });
        let made_for =
            made_for(metadata).map(|(part, name)| (inner.intern(part), inner.intern(name)));
        let owned = inner.intern(&managed(metadata));
        let applied = metadata.annotations.as_ref().and_then(|a| a.get(names::APPLIED));
        let seen = Seen {
            uid: metadata.uid.as_deref().unwrap_or_default().into(),
            version,
            owner: owner.clone(),
            made_for,
            applied: applied.map(|hash| hash.as_str().into()),
            owned,
            workload,
        };
        inner.unlink(&id);
        if let Some((owner, _)) = &owner {
            inner.of_owner.entry(owner.clone()).or_default().push(id.clone());
        }
        inner.children.insert(id, seen);
        owner.map(|(owner, _)| owner)
    }

    /// Notes that an object is gone. Returns its resource.
    pub fn gone(&self, kind: ChildKind, metadata: &ObjectMeta) -> Option<ResourceId> {
        let id = child_id(kind, metadata)?;
        let mut inner = self.lock();
        inner.unlink(&id);
        let seen = inner.children.remove(&id)?;
        seen.owner.map(|(owner, _)| owner)
    }

    /// Objects of a kind that a complete list of a namespace (`None`: of all) did not hold are gone.
    /// Returns their resources.
    pub fn keep_only(
        &self,
        kind: ChildKind,
        namespace: Option<&str>,
        listed: &HashSet<ChildId>,
    ) -> Vec<ResourceId> {
        let mut inner = self.lock();
        let within = |id: &ChildId| namespace.is_none_or(|namespace| *id.namespace == *namespace);
        let gone: Vec<ChildId> = inner
            .children
            .keys()
            .filter(|id| id.kind == kind && within(id) && !listed.contains(*id))
            .cloned()
            .collect();
        gone.into_iter()
            .filter_map(|id| {
                inner.unlink(&id);
                inner.children.remove(&id)?.owner.map(|(owner, _)| owner)
            })
            .collect()
    }

    /// Whether an object is as it was applied last, and that is what is wanted now.
    pub fn holds(&self, id: &ChildId, wanted: &Child, hash: &str) -> bool {
        let owned = {
            let inner = self.lock();
            match inner.children.get(id) {
                Some(seen) if seen.applied.as_deref() == Some(hash) => Arc::clone(&seen.owned),
                _ => return false,
            }
        };
        serde_json::from_str::<Value>(&owned).is_ok_and(|owned| fields::owns(&owned, &wanted.body))
    }

    /// The objects of a resource.
    pub fn of(&self, owner: &ResourceId) -> Vec<ChildId> {
        self.lock().of_owner.get(owner).into_iter().flatten().cloned().collect()
    }

    /// What is known of an object.
    pub fn get(&self, id: &ChildId) -> Option<Seen> {
        self.lock().children.get(id).cloned()
    }

    /// Notes a pod; `None`: it is gone. Returns the resource if something changed for it.
    pub fn note_pod(
        &self,
        namespace: &str,
        name: &str,
        pod: Option<PodSeen>,
    ) -> Option<ResourceId> {
        let key: Placed = (namespace.into(), name.into());
        let mut inner = self.lock();
        let before = inner.pods.remove(&key);
        if let Some(PodSeen { owner, .. }) = &before
            && let Some(pods) = inner.pods_of.get_mut(owner)
        {
            pods.remove(&key);
            if pods.is_empty() {
                inner.pods_of.remove(owner);
            }
        }
        if let Some(pod) = &pod {
            inner.pods_of.entry(pod.owner.clone()).or_default().insert(key.clone());
            inner.pods.insert(key, pod.clone());
        }
        if before == pod { None } else { pod.or(before).map(|pod| pod.owner) }
    }

    /// Pods that a complete list of a namespace (`None`: of all) did not hold are gone. Returns their
    /// resources.
    pub fn keep_only_pods(&self, within: Option<&str>, listed: &Listed) -> Vec<ResourceId> {
        let keys = self.lock().pods.keys().cloned().collect();
        let gone = unlisted(keys, within, listed).into_iter();
        gone.filter_map(|(namespace, name)| self.note_pod(&namespace, &name, None)).collect()
    }

    /// Why a resource's pods do not run, if that is known.
    pub fn pod_problem(&self, owner: &ResourceId) -> Option<(String, String)> {
        let inner = self.lock();
        let pods = inner.pods_of.get(owner).into_iter().flatten();
        let pods: Vec<&PodSeen> = pods.filter_map(|pod| inner.pods.get(pod)).collect();
        // Of one that was replaced nobody needs to hear.
        let replaced = pods.iter().any(|pod| !pod.ending);
        let count = pods.iter().filter(|pod| !(replaced && pod.ending));
        count.filter_map(|pod| pod.problem.clone()).min()
    }

    /// Notes a Secret's version; `None`: it is gone. Returns whether that is new.
    pub fn note_secret(&self, namespace: &str, name: &str, version: Option<&str>) -> bool {
        let key = (Arc::from(namespace), Arc::from(name));
        let mut inner = self.lock();
        let before = match version {
            Some(version) => inner.secrets.insert(key, version.into()),
            None => inner.secrets.remove(&key),
        };
        before.as_deref() != version
    }

    /// Secrets that a complete list of a namespace (`None`: of all) did not hold are gone. Returns
    /// which.
    pub fn keep_only_secrets(&self, within: Option<&str>, listed: &Listed) -> Vec<Placed> {
        let keys = self.lock().secrets.keys().cloned().collect();
        let mut gone = unlisted(keys, within, listed);
        gone.retain(|(namespace, name)| self.note_secret(namespace, name, None));
        gone
    }

    /// A Secret's version, if it is there.
    pub fn secret(&self, namespace: &str, name: &str) -> Option<Arc<str>> {
        self.lock().secrets.get(&(Arc::from(namespace), Arc::from(name))).cloned()
    }

    /// Notes the classes of a kind, and which of them are the default.
    pub fn set_classes(&self, kind: ClassKind, classes: BTreeMap<String, bool>) -> bool {
        let mut inner = self.lock();
        let changed = inner.classes.get(&kind) != Some(&classes);
        inner.classes.insert(kind, classes);
        changed
    }

    /// The classes of a kind, and which of them are the default; `None` where they can't be listed.
    pub fn classes(&self, kind: ClassKind) -> Option<BTreeMap<String, bool>> {
        self.lock().classes.get(&kind).cloned()
    }

    /// Notes a namespace's labels; `None`: it is gone. Returns whether that is new.
    pub fn note_namespace(&self, name: &str, labels: Option<&BTreeMap<String, String>>) -> bool {
        let mut inner = self.lock();
        let before = match labels {
            Some(labels) => inner.namespaces.insert(name.to_owned(), labels.clone()),
            None => inner.namespaces.remove(name),
        };
        before.as_ref() != labels
    }

    /// Namespaces that a complete list did not hold are gone. Returns which.
    pub fn keep_only_namespaces(&self, listed: &HashSet<String>) -> Vec<String> {
        let mut inner = self.lock();
        let all = inner.namespaces.keys();
        let gone: Vec<String> = all.filter(|name| !listed.contains(*name)).cloned().collect();
        for name in &gone {
            inner.namespaces.remove(name);
        }
        gone
    }

    /// Whether a namespace's labels are known.
    pub fn knows_namespace(&self, namespace: &str) -> bool {
        self.lock().namespaces.contains_key(namespace)
    }

    /// A namespace's labels.
    pub fn labels_of(&self, namespace: &str) -> BTreeMap<String, String> {
        self.lock().namespaces.get(namespace).cloned().unwrap_or_default()
    }
}

impl Inner {
    fn unlink(&mut self, id: &ChildId) {
        let Some((owner, _)) = self.children.get(id).and_then(|seen| seen.owner.clone()) else {
            return;
        };
        if let Some(children) = self.of_owner.get_mut(&owner) {
            children.retain(|child| child != id);
            if children.is_empty() {
                self.of_owner.remove(&owner);
            }
        }
    }

    fn intern(&mut self, text: &str) -> Arc<str> {
        if let Some(known) = self.texts.get(text) {
            return Arc::clone(known);
        }
        if self.texts.len() >= 2 * self.swept.max(1024) {
            self.texts.retain(|text| Arc::strong_count(text) > 1);
            self.swept = self.texts.len();
        }
        let text: Arc<str> = text.into();
        self.texts.insert(Arc::clone(&text));
        text
    }
}

impl Seen {
    /// Whether the object belongs to the resource with this UID.
    pub fn belongs_to(&self, uid: &str) -> bool {
        self.owner.as_ref().is_some_and(|(_, owner)| &**owner == uid)
    }

    /// The number of pods that the operator asks for, and nobody else does; `None` if somebody else
    /// says it.
    pub fn replicas(&self) -> Option<u32> {
        let owned = serde_json::from_str::<Value>(&self.owned).unwrap_or_default();
        owned["f:spec"].get("f:replicas")?;
        u32::try_from(self.workload?.wanted).ok()
    }

    /// Whether the object is one that stayed: it belongs to nobody, and was made for a resource of
    /// this component and name.
    pub fn was_kept_for(&self, component: &str, name: &str) -> bool {
        let made_for = self.made_for.as_ref();
        self.owner.is_none()
            && made_for
                .is_some_and(|(part, of)| &**part == component && **of == *names::label(name))
    }
}

/// The component and the name of the resource that an object of the operator was made for.
fn made_for(metadata: &ObjectMeta) -> Option<(&str, &str)> {
    let labels = metadata.labels.as_ref()?;
    let label = |name: &str| labels.get(name).map(String::as_str);
    if label(names::MANAGED_BY) != Some(names::MANAGER) {
        return None;
    }
    Some((label(names::COMPONENT)?, label(names::INSTANCE)?))
}

/// What of a namespace (`None`: of all) a list did not hold.
fn unlisted(mut known: Vec<Placed>, within: Option<&str>, listed: &Listed) -> Vec<Placed> {
    known.retain(|key| within.is_none_or(|within| *key.0 == *within) && !listed.contains(key));
    known
}

/// Which object metadata is of.
pub fn child_id(kind: ChildKind, metadata: &ObjectMeta) -> Option<ChildId> {
    let namespace = metadata.namespace.as_deref()?.into();
    Some(ChildId { kind, namespace, name: metadata.name.as_deref()?.into() })
}

/// The resource that controls an object, and its UID.
pub fn owner(namespace: &Arc<str>, metadata: &ObjectMeta) -> Option<(ResourceId, Arc<str>)> {
    let mut owners = metadata.owner_references.iter().flatten();
    let owner =
        owners.find(|o| o.controller == Some(true) && o.api_version == crds::API_VERSION)?;
    let kind = owner.kind.as_str().into();
    let id =
        ResourceId { kind, namespace: Arc::clone(namespace), name: owner.name.as_str().into() };
    Some((id, owner.uid.as_str().into()))
}

/// The fields that the operator applied and nobody took from it, as JSON.
fn managed(metadata: &ObjectMeta) -> String {
    let applied = metadata.managed_fields.iter().flatten().find(|entry| {
        entry.manager.as_deref() == Some(names::MANAGER)
            && entry.operation.as_deref() == Some("Apply")
            && entry.subresource.as_deref().unwrap_or_default().is_empty()
    });
    applied.and_then(|entry| entry.fields_v1.as_ref()).map(|f| f.0.to_string()).unwrap_or_default()
}

/// An object of the operator's: its metadata, and of its pods what is of interest, if it has any.
/// All else is skipped as it is read.
pub type Object = kube::core::Object<Option<Pods>, Running>;

/// Of the `spec` of a Deployment or StatefulSet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Pods {
    /// Pods that are wanted.
    pub replicas: Option<i32>,
}

/// Of the `status` of a Deployment or StatefulSet.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct Running {
    /// Pods that are ready.
    pub ready_replicas: i32,
    /// Pods of the present form.
    pub updated_replicas: i32,
    /// What its controller has seen.
    pub observed_generation: i64,
}

/// How a Deployment or StatefulSet fares.
pub fn workload(object: &Object) -> Workload {
    let status = object.status.clone().unwrap_or_default();
    let generation = object.metadata.generation.unwrap_or_default();
    Workload {
        wanted: object.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1),
        ready: status.ready_replicas.min(status.updated_replicas),
        observed: status.observed_generation >= generation,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use serde_json::json;

    fn metadata(hash: &str, fields: &Value) -> ObjectMeta {
        serde_json::from_value(json!({
            "name": "buildbot-mail-a", "namespace": "ci", "uid": "u1",
            "annotations": {names::APPLIED: hash},
            "ownerReferences": [{"apiVersion": crds::API_VERSION, "kind": "MailNotifier",
                                 "name": "a", "uid": "o1", "controller": true}],
            "managedFields": [{"manager": names::MANAGER, "operation": "Apply",
                               "fieldsType": "FieldsV1", "fieldsV1": fields}],
        }))
        .unwrap()
    }

    #[test]
    fn of_a_pod_that_was_replaced_nothing_is_said() {
        let known = Known::default();
        let owner = ResourceId::new("MailNotifier", "ci", "a");
        let pod = |ending, reason: Option<&str>| {
            let problem = reason.map(|reason| (reason.to_owned(), String::new()));
            Some(PodSeen { owner: owner.clone(), ending, problem })
        };
        let said = || known.pod_problem(&owner).map(|(reason, _)| reason);
        known.note_pod("ci", "old", pod(true, Some("NodeNotReady")));
        assert_eq!(said().as_deref(), Some("NodeNotReady"));
        known.note_pod("ci", "new", pod(false, None));
        assert_eq!(said(), None);
        known.note_pod("ci", "new", pod(false, Some("Unschedulable")));
        assert_eq!(said().as_deref(), Some("Unschedulable"));
    }

    #[test]
    fn k05_what_went_while_nobody_watched_is_not_in_the_next_list() {
        let known = Known::default();
        let owner = ResourceId::new("MailNotifier", "ci", "a");
        let crash = Some(("CrashLoopBackOff".to_owned(), String::new()));
        let pod = PodSeen { owner: owner.clone(), ending: false, problem: crash };
        let other = PodSeen { owner: ResourceId::new("MailNotifier", "qa", "b"), ..pod.clone() };
        known.note_pod("ci", "old", Some(pod));
        known.note_pod("qa", "other", Some(other));
        assert_eq!(known.keep_only_pods(Some("ci"), &Listed::new()), std::slice::from_ref(&owner));
        assert_eq!(known.pod_problem(&owner), None);
        // Of the other namespace nothing was told.
        assert!(known.pod_problem(&ResourceId::new("MailNotifier", "qa", "b")).is_some());

        known.note_secret("ci", "smtp", Some("1"));
        known.note_secret("ci", "stays", Some("2"));
        known.note_secret("qa", "smtp", Some("3"));
        let listed = [("ci".into(), "stays".into())].into();
        assert_eq!(known.keep_only_secrets(Some("ci"), &listed), [("ci".into(), "smtp".into())]);
        let there = ["ci", "qa"].map(|namespace| known.secret(namespace, "smtp").is_some());
        assert_eq!(there, [false, true]);

        let labels = BTreeMap::from([("team".to_owned(), "a".to_owned())]);
        known.note_namespace("ci", Some(&labels));
        known.note_namespace("qa", Some(&labels));
        assert_eq!(known.keep_only_namespaces(&["qa".to_owned()].into()), ["ci"]);
        assert!(known.labels_of("ci").is_empty() && !known.labels_of("qa").is_empty());
    }

    #[test]
    fn an_object_is_as_wanted_until_something_of_it_is_changed() {
        let known = Known::default();
        let wanted = Child {
            kind: ChildKind::ConfigMap,
            name: "buildbot-mail-a".into(),
            body: json!({"data": {"x": "1"}}),
        };
        let id = ChildId {
            kind: ChildKind::ConfigMap,
            namespace: "ci".into(),
            name: "buildbot-mail-a".into(),
        };
        assert!(!known.holds(&id, &wanted, "h"));
        let owner = ResourceId::new("MailNotifier", "ci", "a");
        let whole = json!({"f:data": {"f:x": {}}});
        assert_eq!(known.note(id.kind, &metadata("h", &whole), None), Some(owner.clone()));
        assert!(known.holds(&id, &wanted, "h"));
        assert!(!known.holds(&id, &wanted, "other"));
        let scaled = json!({"f:spec": {"f:replicas": {}, "f:template": {}}});
        let three = Workload { wanted: 3, ..Workload::default() };
        let deployment = ChildId { kind: ChildKind::Deployment, ..id.clone() };
        known.note(deployment.kind, &metadata("h", &scaled), Some(three));
        assert_eq!(known.get(&deployment).unwrap().replicas(), Some(3));
        // An autoscaler took it.
        let without = json!({"f:spec": {"f:template": {}}});
        known.note(deployment.kind, &metadata("h", &without), Some(three));
        assert_eq!(known.get(&deployment).unwrap().replicas(), None);
        known.keep_only(ChildKind::Deployment, None, &HashSet::new());
        // The answer to an earlier apply comes late.
        let version = |metadata: ObjectMeta, version: &str| ObjectMeta {
            resource_version: Some(version.to_owned()),
            ..metadata
        };
        let ready = Workload { wanted: 1, ready: 1, observed: true };
        known.note(id.kind, &version(metadata("h", &whole), "10"), Some(ready));
        known.note(id.kind, &version(metadata("old", &whole), "9"), Some(Workload::default()));
        assert!(known.holds(&id, &wanted, "h"));
        assert_eq!(known.get(&id).unwrap().workload, Some(ready));
        let taken = metadata("h", &json!({"f:data": {".": {}, "f:y": {}}}));
        known.note(id.kind, &version(taken, "11"), None);
        assert!(!known.holds(&id, &wanted, "h"));
        assert_eq!(known.of(&owner), std::slice::from_ref(&id));
        assert!(known.get(&id).unwrap().belongs_to("o1"));
        assert_eq!(
            known.keep_only(ChildKind::ConfigMap, None, &HashSet::new()),
            std::slice::from_ref(&owner)
        );
        assert!(known.of(&owner).is_empty());
    }
}
