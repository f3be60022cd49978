//! What is not the operator's own, or not made by it: pods, Secrets, classes, namespaces.

use super::{Known, ResourceId};
use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

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

impl Known {
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

/// What of a namespace (`None`: of all) a list did not hold.
fn unlisted(mut known: Vec<Placed>, within: Option<&str>, listed: &Listed) -> Vec<Placed> {
    known.retain(|key| within.is_none_or(|within| *key.0 == *within) && !listed.contains(key));
    known
}

#[cfg(test)]
mod tests {
    use super::*;

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
}
