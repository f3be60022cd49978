//! The objects that a resource needs, as they are applied. Pure: what a cluster gets is what these
//! functions return, and golden files show it.
//!
//! Bodies are JSON in Kubernetes' own words. The API server checks them strictly
//! (`fieldValidation=Strict`), and settings that users pass on go in as they are.

mod configuration;
mod exposure;
mod monitor;
mod network;
mod pods;
mod volume;

pub(crate) use configuration::{config_map, keys_secret, manifest, service_account, token_secret};
pub(crate) use exposure::{feed_service, http_route, ingress, pages_service};
pub(crate) use monitor::pod_monitor;
pub(crate) use network::{NetworkRules, network_policy};
pub(crate) use pods::{PodPlan, autoscaler, deployment, disruption_budget, feed_set};
pub(crate) use volume::volume_claim;

use crate::{Seeds, Settings, names};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::core::{ApiResource, GroupVersionKind};
use serde_json::{Value, json};
use std::collections::BTreeSet;

/// The port of health and figures.
pub(crate) const METRICS_PORT: u16 = 9464;
/// The port of a feed.
pub(crate) const FEED_PORT: u16 = 9465;

macro_rules! child_kinds {
    ($($(#[$doc:meta])* $kind:ident: $group:literal, $version:literal, $plural:literal;)*) => {
        /// A kind of object that the operator makes. The order is that of applying: what a pod
        /// needs comes before it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub enum ChildKind { $($(#[$doc])* $kind,)* }

        impl ChildKind {
            /// All of them, in the order of applying.
            pub const ALL: &[Self] = &[$(Self::$kind,)*];

            /// The kind's name.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$kind => stringify!($kind),)* }
            }

            /// How an API server knows it.
            pub fn resource(self) -> ApiResource {
                let (group, version, plural) = match self {
                    $(Self::$kind => ($group, $version, $plural),)*
                };
                let kind = GroupVersionKind::gvk(group, version, self.name());
                ApiResource::from_gvk_with_plural(&kind, plural)
            }
        }
    };
}

child_kinds! {
    /// What pods run as; without rights.
    ServiceAccount: "", "v1", "serviceaccounts";
    /// Keys of a feed, or a token for one.
    Secret: "", "v1", "secrets";
    /// A resource's manifest.
    ConfigMap: "", "v1", "configmaps";
    /// A journal's volume.
    PersistentVolumeClaim: "", "v1", "persistentvolumeclaims";
    /// Where a feed or pages are reached in the cluster.
    Service: "", "v1", "services";
    /// Who may reach whom.
    NetworkPolicy: "networking.k8s.io", "v1", "networkpolicies";
    /// A feed's pod.
    StatefulSet: "apps", "v1", "statefulsets";
    /// A target's pod, or the pods of pages.
    Deployment: "apps", "v1", "deployments";
    /// How many pods may be away.
    PodDisruptionBudget: "policy", "v1", "poddisruptionbudgets";
    /// The number of pods by load.
    HorizontalPodAutoscaler: "autoscaling", "v2", "horizontalpodautoscalers";
    /// Where pages are reached from outside.
    Ingress: "networking.k8s.io", "v1", "ingresses";
    /// The same, by the Gateway API.
    HTTPRoute: "gateway.networking.k8s.io", "v1", "httproutes";
    /// Has Prometheus read the pods' figures.
    PodMonitor: "monitoring.coreos.com", "v1", "podmonitors";
}

impl ChildKind {
    /// Whether a cluster may lack the kind.
    pub const fn is_optional(self) -> bool {
        matches!(self, Self::HTTPRoute | Self::PodMonitor)
    }

    /// Whether it has pods, whose state is of interest.
    pub const fn has_pods(self) -> bool {
        matches!(self, Self::Deployment | Self::StatefulSet)
    }
}

/// An object as it is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct Child {
    /// Its kind.
    pub kind: ChildKind,
    /// Its name, in the resource's namespace.
    pub name: String,
    /// All of it.
    pub body: Value,
}

/// What objects are made with, beside the resource.
#[derive(Clone, Debug)]
pub(crate) struct Means<'a> {
    /// The operator's settings.
    pub settings: &'a Settings,
    /// What keys and tokens are made from.
    pub seeds: Seeds,
    /// The optional kinds that the cluster has.
    pub optional: BTreeSet<ChildKind>,
}

impl Means<'_> {
    /// Whether the cluster has this kind of object.
    pub fn has(&self, kind: ChildKind) -> bool {
        !kind.is_optional() || self.optional.contains(&kind)
    }
}

/// Whose objects are made: what all of them have in common.
#[derive(Clone, Debug)]
pub(crate) struct Parent {
    /// The resource's kind.
    pub kind: &'static str,
    /// The resource's name.
    pub name: String,
    /// The resource's namespace.
    pub namespace: String,
    /// The resource's UID.
    pub uid: String,
    /// `feed`, `web`, `mail`, …: part of names and labels.
    pub component: &'static str,
}

impl Parent {
    /// The name of the resource's objects.
    pub fn child_name(&self) -> String {
        names::child(self.component, &self.name)
    }

    /// An object of the resource, with its metadata.
    pub fn child(&self, kind: ChildKind, mut body: Value) -> Child {
        let resource = kind.resource();
        body["apiVersion"] = resource.api_version.into();
        body["kind"] = kind.name().into();
        let metadata = &mut body["metadata"];
        metadata["name"] = self.child_name().into();
        metadata["namespace"] = self.namespace.as_str().into();
        metadata["labels"] = json!(names::labels(self.component, &self.name));
        metadata["ownerReferences"] = json!([self.owner()]);
        Child { kind, name: self.child_name(), body }
    }

    fn owner(&self) -> OwnerReference {
        OwnerReference {
            api_version: crds::API_VERSION.to_owned(),
            kind: self.kind.to_owned(),
            name: self.name.clone(),
            uid: self.uid.clone(),
            controller: Some(true),
            // A deleted resource is not kept by its objects.
            block_owner_deletion: Some(false),
        }
    }

    /// The labels that select the resource's pods.
    pub fn selector(&self) -> Value {
        json!(names::selector(self.component, &self.name))
    }
}
