//! What is wrong with a resource, seen with what is around it. Pure.

use super::dereference::Around;
use crate::{
    children::{ChildKind, Means},
    kinds::Kind,
};
use std::collections::BTreeMap;

/// Something wrong with a resource, for its conditions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Problem {
    /// In one word.
    pub reason: &'static str,
    /// Which field, what is wrong with it, and what to do.
    pub message: String,
    /// Whether its objects are left as they are until it is mended.
    pub stops: bool,
}

impl Problem {
    /// A field that can't be used.
    pub fn field(reason: &'static str, message: String) -> Self {
        Self { reason, message, stops: true }
    }

    /// Something that is missing beside the resource; its objects are made all the same.
    pub fn missing(reason: &'static str, message: String) -> Self {
        Self { reason, message, stops: false }
    }
}

/// What is wrong with a resource.
pub(crate) fn validate<K: Kind>(resource: &K, around: &Around, means: &Means<'_>) -> Vec<Problem> {
    let mut problems = resource.problems();
    problems.extend(master(resource, around));
    problems.extend(secrets(around, means.settings.watch_secrets));
    problems.extend(storage(around));
    problems.extend(ingress(around));
    if around.wants_route && !means.has(ChildKind::HTTPRoute) {
        problems.push(Problem::missing(
            "KindNotFound",
            "spec.httpRoute: the cluster has no HTTPRoute: install the Gateway API's CRDs"
                .to_owned(),
        ));
    }
    problems
}

fn master<K: Kind>(resource: &K, around: &Around) -> Option<Problem> {
    let about = resource.master_ref()?;
    let namespace = around.master_namespace.as_deref().unwrap_or_default();
    if !around.watched {
        return Some(Problem::field(
            "NamespaceNotWatched",
            format!(
                "spec.masterRef.namespace: the operator does not watch the namespace \
                 {namespace:?}: add it to its watchNamespaces"
            ),
        ));
    }
    let Some(master) = &around.master else {
        return Some(Problem::field(
            "MasterNotFound",
            format!(
                "spec.masterRef: there is no Master {:?} in the namespace {namespace:?}{}",
                about.name, around.hint
            ),
        ));
    };
    if !master.allowed {
        return Some(Problem::field(
            "NotAllowed",
            format!(
                "spec.masterRef: the Master {namespace}/{} does not allow resources of this \
                 namespace: set its spec.allowedNamespaces{}",
                about.name, around.hint
            ),
        ));
    }
    None
}

fn secrets(around: &Around, watched: bool) -> Vec<Problem> {
    let missing = around.secrets.iter().filter(|(_, version)| version.is_none() && watched);
    missing
        .map(|(name, _)| {
            let fields = around.secret_fields.get(name).cloned().unwrap_or_default();
            Problem::missing(
                "SecretNotFound",
                format!("{}: there is no Secret {name:?} in this namespace", fields.join(", ")),
            )
        })
        .collect()
}

fn storage(around: &Around) -> Option<Problem> {
    let classes = around.classes.as_ref()?;
    match &around.class_wanted {
        Some(class) if !classes.contains_key(class) => Some(Problem::missing(
            "StorageClassNotFound",
            format!(
                "spec.storage.className: there is no StorageClass {class:?}{}",
                there_is(classes)
            ),
        )),
        None if !classes.values().any(|default| *default) => Some(Problem::missing(
            "NoDefaultStorageClass",
            format!(
                "the cluster has no default StorageClass: set spec.storage.className{}, or \
                 spec.storage.ephemeral: true for a journal that is lost with its pod",
                if classes.is_empty() {
                    String::new()
                } else {
                    format!(" to one of {}", names(classes))
                }
            ),
        )),
        _ => None,
    }
}

/// An Ingress without a class may be some controller's all the same.
fn ingress(around: &Around) -> Option<Problem> {
    let (classes, class) = (around.ingress_classes.as_ref()?, around.ingress_wanted.as_ref()?);
    (!classes.contains_key(class)).then(|| {
        Problem::missing(
            "IngressClassNotFound",
            format!(
                "spec.ingress.className: there is no IngressClass {class:?}{}",
                there_is(classes)
            ),
        )
    })
}

fn there_is(classes: &BTreeMap<String, bool>) -> String {
    if classes.is_empty() { String::new() } else { format!("; there is {}", names(classes)) }
}

fn names(classes: &BTreeMap<String, bool>) -> String {
    classes.keys().cloned().collect::<Vec<_>>().join(", ")
}
