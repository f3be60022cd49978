//! What the cluster holds of the operator's objects, in the few words that matter: fed by watches
//! and by the answers to what is applied. Thousands of objects cost some hundred bytes each.

mod applying;
mod around;
mod object;

pub use around::{ClassKind, Listed, Placed, PodSeen};
pub use object::{Object, Workload, workload};

use crate::{
    children::{Child, ChildKind},
    fields, names,
};
use applying::UnderWay;
use kube::core::ObjectMeta;
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

#[derive(Debug, Default)]
struct Inner {
    children: HashMap<ChildId, Seen>,
    of_owner: HashMap<ResourceId, Vec<ChildId>>,
    applying: HashMap<ChildId, UnderWay>,
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
        self.lock().note(kind, metadata, workload)
    }

    /// Notes that an object is gone. Returns its resource.
    pub fn gone(&self, kind: ChildKind, metadata: &ObjectMeta) -> Option<ResourceId> {
        let id = child_id(kind, metadata)?;
        let mut inner = self.lock();
        let applied = inner.gone_meanwhile(&id, version(metadata));
        inner.unlink(&id);
        let seen = inner.children.remove(&id);
        seen.and_then(|seen| seen.owner).map(|(owner, _)| owner).or(applied)
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
        let applying = inner.applying.keys();
        let unlisted = applying
            .filter(|id| id.kind == kind && within(id) && !listed.contains(*id))
            .cloned()
            .collect::<Vec<_>>();
        let mut owners: Vec<ResourceId> =
            unlisted.iter().filter_map(|id| inner.gone_meanwhile(id, None)).collect();
        owners.extend(gone.into_iter().filter_map(|id| {
            inner.unlink(&id);
            inner.children.remove(&id)?.owner.map(|(owner, _)| owner)
        }));
        owners
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
}

impl Inner {
    /// See [`Known::note`].
    fn note(
        &mut self,
        kind: ChildKind,
        metadata: &ObjectMeta,
        workload: Option<Workload>,
    ) -> Option<ResourceId> {
        let id = child_id(kind, metadata)?;
        let owner = owner(&id.namespace, metadata);
        let version = version(metadata);
        if let Some(seen) = self.children.get(&id)
            && Some(&*seen.uid) == metadata.uid.as_deref()
            && version.is_some_and(|version| seen.version.is_some_and(|newest| version < newest))
        {
            return owner.map(|(owner, _)| owner);
        }
        // The objects of a resource share most of what is kept of them.
        let id =
            ChildId { kind, namespace: self.intern(&id.namespace), name: self.intern(&id.name) };
        let owner = owner.map(|(owner, uid)| {
            let owner = ResourceId {
                kind: self.intern(&owner.kind),
                namespace: Arc::clone(&id.namespace),
                name: self.intern(&owner.name),
            };
            (owner, self.intern(&uid))
        });
        let made_for =
            made_for(metadata).map(|(part, name)| (self.intern(part), self.intern(name)));
        let owned = self.intern(&managed(metadata));
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
        self.unlink(&id);
        if let Some((owner, _)) = &owner {
            self.of_owner.entry(owner.clone()).or_default().push(id.clone());
        }
        self.children.insert(id, seen);
        owner.map(|(owner, _)| owner)
    }

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

/// Which of two forms of an object is newer; the API server counts up.
fn version(metadata: &ObjectMeta) -> Option<u64> {
    metadata.resource_version.as_deref()?.parse().ok()
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
