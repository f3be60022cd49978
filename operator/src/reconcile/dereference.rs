//! What a resource names, and what else it depends on: read from what watches and feeds told, so it
//! costs no request.

use crate::{
    context::Context,
    figures::FeedFigures,
    kinds::{Kind, TargetSeen},
    known::{ClassKind, ResourceId, Workload},
};
use crds::{Master, NamespacesFrom, SecretKeyRef};
use feed::{ConsumerStatus, Report, http::api::Info};
use kube::ResourceExt as _;
use serde_json::Value;
use std::collections::BTreeMap;

/// What is around a resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Around {
    /// The namespace of the Master that it names.
    pub master_namespace: Option<String>,
    /// Whether the operator sees that namespace.
    pub watched: bool,
    /// That Master.
    pub master: Option<MasterSeen>,
    /// For a Master that is missing or not to be used: what may be done.
    pub hint: String,
    /// Names of the Secrets that it refers to, with their versions where they are known.
    pub secrets: BTreeMap<String, Option<String>>,
    /// The fields that refer to each.
    pub secret_fields: BTreeMap<String, Vec<String>>,
    /// For a Master: those that name it, and may.
    pub targets: Vec<TargetSeen>,
    /// For a Master: those that can't be read, and may name it.
    pub unreadable: Vec<ResourceId>,
    /// Where people see the builds that it tells about.
    pub pages: Option<String>,
    /// How its pods fare, if it has any.
    pub workload: Option<Workload>,
    /// How many pods the operator asked for, unless somebody else says it by now.
    pub replicas: Option<u32>,
    /// Why its pods do not run.
    pub pod_problem: Option<(String, String)>,
    /// What its feed says of it.
    pub figures: Option<Figures>,
    /// The cluster's StorageClasses, and which is the default; `None`: of no interest or unknown.
    pub classes: Option<BTreeMap<String, bool>>,
    /// The StorageClass that it names.
    pub class_wanted: Option<String>,
    /// The cluster's IngressClasses; `None`: of no interest or unknown.
    pub ingress_classes: Option<BTreeMap<String, bool>>,
    /// The IngressClass that it names.
    pub ingress_wanted: Option<String>,
    /// Whether it asks for an HTTPRoute.
    pub wants_route: bool,
    /// Whether it is suspended.
    pub suspended: bool,
}

/// A Master, as those who name it see it.
#[derive(Clone, Debug)]
pub(crate) struct MasterSeen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// Its UID.
    pub uid: String,
    /// Whether it allows resources of this namespace.
    pub allowed: bool,
    /// Whether it is known for sure that it does not.
    pub denies: bool,
}

/// What a feed says of a resource.
#[derive(Clone, Debug, Default)]
pub(crate) struct Figures {
    /// The feed itself.
    pub info: Option<Info>,
    /// Why it could not be asked.
    pub away: Option<String>,
    /// The resource's consumer.
    pub consumer: Option<ConsumerStatus>,
    /// What the resource's process says of itself.
    pub report: Option<Report>,
}

impl Around {
    /// Reads how the resource's pods fare. What is applied meanwhile makes it old.
    pub(super) fn see_pods(&mut self, id: &ResourceId, context: &Context) {
        self.pod_problem = context.known.pod_problem(id);
        let children = context.known.of(id);
        let mut with_pods = children.iter().filter(|child| child.kind.has_pods());
        let seen = with_pods.find_map(|child| context.known.get(child));
        self.workload = seen.as_ref().and_then(|seen| seen.workload);
        self.replicas = seen.and_then(|seen| seen.replicas());
    }
}

/// Reads what is around a resource.
pub(super) fn dereference<K: Kind>(resource: &K, id: &ResourceId, context: &Context) -> Around {
    let namespace = &*id.namespace;
    let spec = serde_json::to_value(resource).map(|mut value| value["spec"].take());
    let spec = spec.unwrap_or_default();
    let mut around = Around {
        suspended: spec["suspend"].as_bool().unwrap_or_default(),
        wants_route: spec["httpRoute"].is_object(),
        watched: true,
        ..Around::default()
    };
    around.see_pods(id, context);
    around.ingress_wanted = spec["ingress"]["className"].as_str().map(str::to_owned);
    if context.settings.ingress_classes && around.ingress_wanted.is_some() {
        around.ingress_classes = context.known.classes(ClassKind::Ingress);
    }
    secret_references(&spec, "spec", &mut |field, reference| {
        around.secret_fields.entry(reference.name).or_default().push(field);
    });
    around.secrets = around
        .secret_fields
        .keys()
        .map(|name| (name.clone(), context.known.secret(namespace, name).map(|v| v.to_string())))
        .collect();
    context.uses_secrets(id, around.secrets.keys().cloned());
    match resource.master_ref() {
        Some(about) => {
            let of = about.namespace.clone().unwrap_or_else(|| namespace.to_owned());
            around.watched = context.settings.covers(&of);
            around.master = master(&of, &about.name, namespace, context);
            around.hint = match &around.master {
                None => hint(&of, context),
                // Where certain namespaces are watched, no namespace's labels are read.
                Some(_) if !context.settings.namespaces.is_empty() => {
                    " (from: All; an operator with watchNamespaces reads no labels of namespaces)"
                        .to_owned()
                }
                Some(_) => String::new(),
            };
            around.pages = pages(namespace, &of, &about.name, context);
            around.figures = context.figures(&of, &about.name).map(|said| {
                let consumer = resource.consumer(&of);
                said.of(consumer.as_deref())
            });
            around.master_namespace = Some(of);
        }
        None => {
            around.targets = context.allowed_targets_of(namespace, &id.name);
            around.unreadable = context.unreadable_of(namespace, &id.name);
            around.figures = context.figures(namespace, &id.name).map(|said| said.of(None));
            let storage = &spec["storage"];
            if context.settings.storage_classes && storage["ephemeral"] != true {
                around.classes = context.known.classes(ClassKind::Storage);
                around.class_wanted = storage["className"].as_str().map(str::to_owned);
            }
        }
    }
    around
}

impl FeedFigures {
    /// What is said of one consumer or reader.
    fn of(&self, name: Option<&str>) -> Figures {
        let consumer = name.and_then(|name| self.consumers.get(name));
        let reader = name.and_then(|name| self.readers.get(name));
        let report = consumer.and_then(|c| c.report.clone()).or_else(|| reader.cloned());
        Figures {
            info: self.info.clone(),
            away: self.away.clone(),
            consumer: consumer.cloned(),
            report,
        }
    }
}

fn master(namespace: &str, name: &str, from: &str, context: &Context) -> Option<MasterSeen> {
    let found = context.registry.masters.get(namespace, name)?;
    let master: &Master = found.0.as_ref().ok()?;
    let allowed = context.allows(master, from);
    let by_labels = master.spec.allowed_namespaces.from == NamespacesFrom::Selector;
    Some(MasterSeen {
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        uid: master.uid()?,
        allowed,
        // Labels that can't be read say nothing.
        denies: !allowed && (!by_labels || context.known.knows_namespace(from)),
    })
}

fn hint(namespace: &str, context: &Context) -> String {
    let masters = context.registry.masters.store.state();
    let mut names: Vec<String> = masters
        .iter()
        .filter(|master| master.namespace().as_deref() == Some(namespace))
        .map(|master| master.name_any())
        .collect();
    names.sort();
    names.truncate(5);
    if names.is_empty() { String::new() } else { format!("; there is {}", names.join(", ")) }
}

/// The pages that messages link to: the first of the same Master and namespace that says where it
/// is reached.
fn pages(own: &str, namespace: &str, master: &str, context: &Context) -> Option<String> {
    let pages = context.registry.web_statuses.of(namespace, master);
    let of = pages.iter().filter_map(|page| page.0.as_ref().ok()).filter(|page| {
        page.metadata.namespace.as_deref() == Some(own)
            && page.metadata.deletion_timestamp.is_none()
    });
    let reached = of.filter_map(|page| Some((page.metadata.name.as_deref()?, page.url()?)));
    reached.min().map(|(_, url)| url)
}

/// Calls `found` for every member whose name ends in `SecretRef`, and each item of one that ends in
/// `SecretRefs`.
fn secret_references(value: &Value, path: &str, found: &mut impl FnMut(String, SecretKeyRef)) {
    if let Some(items) = value.as_array() {
        for (at, item) in items.iter().enumerate() {
            let place = format!("{path}[{at}]");
            match serde_json::from_value(item.clone()) {
                Ok(reference) if path.ends_with("SecretRefs") => found(place, reference),
                _ => secret_references(item, &place, found),
            }
        }
        return;
    }
    let Some(members) = value.as_object() else { return };
    for (key, value) in members {
        let path = format!("{path}.{key}");
        // What Kubernetes defines is not this program's to read.
        if key == "pod" {
            continue;
        }
        match serde_json::from_value(value.clone()) {
            Ok(reference) if key.ends_with("SecretRef") => found(path, reference),
            _ => secret_references(value, &path, found),
        }
    }
}
